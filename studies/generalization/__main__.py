"""The study's command: ``python -m studies.generalization``."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from studies.generalization.gap_measurements import Job, work
from studies.generalization.gap_plan import (
    ARMS,
    BPTT,
    CONTROLS,
    IMAGES,
    RULES_COMPARED,
    SETTINGS,
    SIZES,
    THREE,
)
from studies.generalization.gap_report import write_report
from studies.workloads import command, options_of, spread
from tca.utils.names import lookup

__all__ = ["main"]

LONGER = 4  # times as many updates in the full study


def main(words: Sequence[str] | None = None) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` for those of this process.
    """
    parser = command(
        "generalization",
        "Do rules that find sharper places generalize worse, at matched training loss?",
        "three tasks, ten seeds, in less than half an hour on two cores",
        "thirty seeds and longer training, on a GPU if there is one",
    )
    parser.add_argument("--seeds", type=int, help="repetitions, default 10, or 30 with --full")
    parser.add_argument("--settings", nargs="+", help=f"some of {', '.join(SETTINGS)}, default all")
    parser.add_argument("--arms", nargs="+", help=f"some of {'; '.join(ARMS)}; default all for digits, and for other "
                        "settings the rules and BPTT at matched step length")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder of image data: adds sequential images to the settings")
    options = options_of(parser, words)
    try:
        if options.data is not None:
            os.environ["TCA_DATA"] = str(options.data)  # where the task looks, here and in worker processes
        jobs = _jobs(options.out / "runs", options.settings, options.arms, options.seeds, options.full, options.data)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    entries = spread(work, jobs, options.workers)
    write_report(entries, list(dict.fromkeys(job.setting for job in jobs)), options.out)
    print(options.out / "report.md")
    return 0


def _jobs(
    folder: Path, names: Sequence[str] | None, arms: Sequence[str] | None, seeds: int | None, full: bool,
    data: Path | None,
) -> list[Job]:  # fmt: skip
    device = "cuda" if full and torch.cuda.is_available() else "cpu"
    repeats = seeds or (30 if full else 10)
    settings = [lookup(SETTINGS, name, "setting") for name in names or SETTINGS] + ([IMAGES] if data else [])
    if full:
        settings = [dataclasses.replace(each, steps=LONGER * each.steps) for each in settings]
    jobs = []
    for setting in settings:
        default = (*RULES_COMPARED, *CONTROLS) if setting.name == "digits" else (*RULES_COMPARED, CONTROLS[0])
        chosen = default if arms is None else tuple(lookup(ARMS, name, "arm") for name in arms)
        swept = [ARMS[name] for name in (BPTT, THREE)] if setting.name == "digits" and arms is None else []
        for seed in range(repeats):
            jobs += [Job(setting, arm, setting.run(arm, seed, device), folder) for arm in chosen]
            jobs += [
                Job(setting, arm, setting.run(arm, seed, device, n_train=size), folder)
                for arm in swept
                for size in SIZES
            ]
    return jobs


if __name__ == "__main__":
    sys.exit(main())
