"""The study's command: ``python -m studies.vision``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

from studies.vision.questions import count, folder, look_in, opened
from studies.vision.vision_measurements import Job, work
from studies.vision.vision_plan import ARMS, MNIST, PANELS, Arm, Panel, arms_of, missing
from studies.vision.vision_report import draw, table
from studies.workloads import command, options_of, spread

__all__ = ["main"]

SEEDS, FULL_SEEDS, LONGER = 3, 10, 5


def main(words: Sequence[str] | None = None, panels: Sequence[Panel] = PANELS, arms: Sequence[Arm] = ARMS) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        panels: Sets of images and networks, default those of the study.
        arms: Rules, default those of the study.
    """
    parser = command(
        "vision",
        "Do rules that broadcast an error learn images?",
        f"digits, {SEEDS} seeds",
        f"{FULL_SEEDS} seeds, {LONGER} times as many epochs, all of MNIST, on a GPU if there is one",
    )
    parser.add_argument("--data", type=folder, help="folder of image data: adds MNIST")
    parser.add_argument("--seeds", type=count, help=f"repetitions, default {SEEDS}, or {FULL_SEEDS} with --full")
    for name in ("images", "networks", "rules"):
        parser.add_argument(f"--{name}", nargs="+", help=f"some {name} only, by their names in the table, default all")
    options = options_of(parser, words)
    try:
        chosen, arms = _chosen(options, panels, arms)
        seeds = (FULL_SEEDS if options.full else SEEDS) if options.seeds is None else options.seeds
        jobs, notes = _jobs(chosen, arms, seeds, options.full, options.out / "runs")
        if not jobs:
            raise ValueError("; ".join(notes))
        for panel in dict.fromkeys(job.panel for job in jobs):
            opened(panel.task_options)  # so that what is wrong is said before anything is trained
    except ValueError as error:
        parser.error(str(error))
    for note in notes:
        print(note, file=sys.stderr)
    entries = spread(work, jobs, options.workers)
    found = table(entries)
    found.write(options.out / "vision")
    draw(entries, options.out)
    print("\n".join([str(found), *notes]))
    return 0


def _chosen(options: argparse.Namespace, panels: Sequence[Panel], arms: Sequence[Arm]) -> tuple[list[Panel], list[Arm]]:
    """Return the panels and arms that are asked for.

    Raises:
        ValueError: A name is unknown, image data are needed and not given, or no rule belongs into the networks.
    """
    there = look_in(options.data)
    by_name = [each.images for each in MNIST if each.images in (options.images or ())]
    if by_name and not there:
        raise ValueError(f"--images {by_name[0]} needs a folder of image data: give --data or the variable TCA_DATA")
    if options.data is not None or by_name:
        panels = (*panels, *MNIST)
    named = {
        "images": [each.images for each in panels],
        "networks": [each.net for each in panels],
        "rules": [each.name for each in arms],
    }
    for name, known in named.items():
        if unknown := [each for each in getattr(options, name) or () if each not in known]:
            raise ValueError(f"--{name} must be among {', '.join(dict.fromkeys(known))}, got {', '.join(unknown)}")
    asked = {name: getattr(options, name) or known for name, known in named.items()}
    chosen = [each for each in panels if each.images in asked["images"] and each.net in asked["networks"]]
    arms = [each for each in arms if each.name in asked["rules"]]
    if not any(panel.kind in arm.nets for panel, arm in product(chosen, arms)):
        some = "; ".join(f"--{name} {', '.join(getattr(options, name))}" for name in named if getattr(options, name))
        raise ValueError(f"none of these rules belongs into one of these networks on these images: {some}")
    return [_longer(each) if options.full else each for each in chosen], arms


def _longer(panel: Panel) -> Panel:
    n_train = 60_000 if panel.task_options["name"] == "mnist" else panel.n_train
    n_test = 10_000 if panel.task_options["name"] == "mnist" else panel.n_test
    return dataclasses.replace(
        panel, n_train=n_train, n_test=n_test, epochs=LONGER * panel.epochs, every=LONGER * panel.every
    )


def _jobs(
    panels: Sequence[Panel], arms: Sequence[Arm], seeds: int, full: bool, folder: Path
) -> tuple[list[Job], list[str]]:
    """Return the runs, and what was left out and why."""
    device = "cuda" if full and torch.cuda.is_available() else "cpu"
    jobs, notes = [], []
    for panel in panels:
        for arm in arms_of(panel, arms):
            if lacks := missing(arm, panel):
                notes.append(f"left out, as the library lacks {lacks}: {panel.name}, {arm.name}")
            else:
                jobs += [Job(panel, arm, panel.run(arm, seed, device), folder) for seed in range(seeds)]
    return jobs, notes


if __name__ == "__main__":
    sys.exit(main())
