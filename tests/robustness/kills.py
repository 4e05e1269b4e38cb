"""Kills processes by the hundred and looks at what is left: `make test-kills`, `KILLS=n` sets how many.

Five ways of working are killed again and again until each is done: training, sweeps on processes, sweeps on Dask, two
sweeps at once of short runs of neurogym, and the cache of images. At the end every record must hold the same bits as
one that nobody has disturbed, with every line once, and no run may have been trained to its end twice. A kill is
effective if the process was at work when it came. The exit status is not zero if anything was lost or doubled.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tasks.images.cache import entry
from tca.experiments import records
from tca.experiments.config.run import NetworkConfig, Run
from tca.experiments.sweep import grid, sweep
from tca.experiments.training.train import train
from tests.tca.experiments.records.test_records import content

SMALL = Run("delayed_xor", "eprop_adaptive", net=NetworkConfig(size=6, noise=0.1), batch_size=4, steps=40, n_train=10,
            n_test=6, evaluate_every=1)  # fmt: skip
GYM = Run("PerceptualDecisionMaking-v0", net=NetworkConfig(size=6), batch_size=4, steps=3, n_train=6, n_test=6,
          evaluate_every=1)  # fmt: skip
SHARES = {"train": 0.62, "two sweeps at once": 0.2, "cache": 0.165, "sweep on processes": 0.012, "sweep on dask": 0.003}


@dataclass
class Tally:
    """What has happened so far.

    Attributes:
        sent: Kills sent.
        effective: Those that found a process at work.
        lost: Records and entries that are not what they would be undisturbed.
        doubled: Runs that were trained to their end more than once.
    """

    sent: int = 0
    effective: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def child(work: Callable[[], object]) -> int:
    """Do something in a forked process; return its number."""
    number = os.fork()
    if number == 0:
        try:
            work()
        finally:
            os._exit(0)
    return number


def killed(number: int, after: float, tally: Tally) -> bool:
    """Kill a child after some seconds; return whether it was at work until then."""
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        if os.waitpid(number, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(number, signal.SIGKILL)
    tally.sent += 1
    _, status = os.waitpid(number, 0)
    tally.effective += os.WIFSIGNALED(status)
    return os.WIFSIGNALED(status)


def counting(log: Path) -> None:
    """Write down in this process every run that is trained to its end, as soon as its result is there."""
    finish = records.Record.finish

    def counted(record: records.Record, result: object) -> None:
        finish(record, result)  # type: ignore[arg-type]
        with open(log, "a") as file:
            file.write(f"{record.run.name}\n")

    records.Record.finish = counted  # type: ignore[method-assign,assignment]


def judge(what: str, runs: list[Run], folder: Path, whole: Path, log: Path, tally: Tally) -> None:
    """Compare records with those that nobody has disturbed."""
    for run in runs:
        same = records.finished(run.folder(folder)) and content(run.folder(folder)) == content(run.folder(whole))
        steps = [json.loads(line)["step"] for line in (run.folder(folder) / "metrics.jsonl").read_text().splitlines()]
        if not same or steps != sorted(set(steps)):
            tally.lost.append(f"{what}: {run.folder(folder).name}")
    trained = Counter(log.read_text().split()) if log.exists() else Counter()
    tally.doubled += [f"{what}: {name}, {number} times" for name, number in trained.items() if number > 1]


def undisturbed(runs: list[Run], folder: Path) -> None:
    for run in runs:
        if not records.finished(run.folder(folder)):
            train(run, run.folder(folder), progress=False)


def training(kills: int, here: Path, draw: random.Random, tally: Tally) -> None:
    """Kill training at random moments, in one record after the other."""
    whole, log, batch = here / "whole", here / "log", 0
    undisturbed([SMALL], whole)
    goal = tally.effective + kills
    while tally.effective < goal:
        folder, batch, patience = here / str(batch), batch + 1, 0.0
        log.unlink(missing_ok=True)

        def work(folder: Path = folder) -> None:
            counting(log)
            train(SMALL, SMALL.folder(folder), progress=False)

        while not records.finished(SMALL.folder(folder)) and tally.effective < goal:
            killed(child(work), draw.uniform(0.005, 0.15 + patience), tally)
            patience += 0.01
        undisturbed([SMALL], folder)
        judge("train", [SMALL], folder, whole, log, tally)
        shutil.rmtree(folder)


def two_at_once(kills: int, here: Path, draw: random.Random, tally: Tally) -> None:
    """Kill the one or the other of two sweeps that share a folder of short runs."""
    runs = grid(GYM, {"seeds.net": range(8)})
    whole, log, batch = here / "whole", here / "log", 0
    undisturbed(runs, whole)
    goal = tally.effective + kills
    while tally.effective < goal:
        folder, batch, patience = here / str(batch), batch + 1, 0.0
        log.unlink(missing_ok=True)

        def work(folder: Path = folder) -> None:
            counting(log)
            list(sweep(runs, folder, "here", progress=False))

        numbers = [child(work), child(work)]
        while not all(records.finished(run.folder(folder)) for run in runs) and tally.effective < goal:
            place = draw.randrange(2)
            killed(numbers[place], draw.uniform(0.02, 0.3 + patience), tally)
            numbers[place] = child(work)
            patience += 0.02
        for number in numbers:
            os.waitpid(number, 0)
        judge("two sweeps at once", runs, folder, whole, log, tally)
        shutil.rmtree(folder)


def cache(kills: int, here: Path, draw: random.Random, tally: Tally) -> None:
    """Kill what fills entries of the cache of images."""

    def fill(folder: Path) -> dict[str, int]:
        for name in range(5):
            (folder / str(name)).write_bytes(bytes([name]) * 100_000)
            time.sleep(0.004)
        return {"files": 5}

    goal, number = tally.effective + kills, 0
    while tally.effective < goal:
        number += 1
        killed(
            child(lambda number=number: entry(here, "set", {"n": number // 4}, fill)), draw.uniform(0.001, 0.03), tally
        )
    for each in range(number // 4 + 1):
        found = entry(here, "set", {"n": each}, fill)
        wanted = {str(name): bytes([name]) * 100_000 for name in range(5)}
        if any((found.folder / name).read_bytes() != text for name, text in wanted.items()):
            tally.lost.append(f"cache: {found.folder.name}")
        shutil.rmtree(found.folder)
    if left := [each.name for each in here.iterdir() if not each.name.endswith(".lock")]:
        tally.lost.append(f"cache: {left} are left over")


def sweeps(scheduler: str) -> Callable[[int, Path, random.Random, Tally], None]:
    """Return what kills the workers of a sweep, and now and then the one that asks."""

    def kill(kills: int, here: Path, draw: random.Random, tally: Tally) -> None:
        runs = grid(dataclasses.replace(SMALL, steps=400, evaluate_every=5), {"seeds.net": range(4)})
        undisturbed(runs, here / "whole")
        goal, batch = tally.effective + kills, 0
        while tally.effective < goal:
            folder, batch = here / str(batch), batch + 1

            def work(folder: Path = folder) -> None:
                os.setsid()
                list(sweep(runs, folder, scheduler, workers=2, retries=10**6, progress=False))

            number, begun = child(work), time.monotonic()
            while not os.waitpid(number, os.WNOHANG)[0]:
                time.sleep(draw.uniform(0.05, 0.5))
                busy = at_work(folder)
                if tally.effective < goal and busy:
                    tally.sent += 1
                    ask = draw.random() < 0.1
                    tally.effective += end(number if ask else draw.choice(busy))
                    if ask:
                        os.waitpid(number, 0)
                        number = child(work)
                if time.monotonic() - begun > 600:
                    raise TimeoutError(f"a sweep on {scheduler} does not come to its end")
            judge(f"sweep on {scheduler}", runs, folder, here / "whole", here / "none", tally)
            shutil.rmtree(folder)

    return kill


def at_work(folder: Path) -> list[int]:
    """Return the processes that hold records that have not ended."""
    found = []
    for each in folder.glob("*/checkpoint"):
        try:
            found.append(int((each.parent / ".lock").read_text()))
        except (OSError, ValueError):
            continue
    return [number for number in found if Path(f"/proc/{number}").exists()]


def end(number: int) -> bool:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


WAYS: dict[str, Callable[[int, Path, random.Random, Tally], None]] = {
    "train": training,
    "two sweeps at once": two_at_once,
    "cache": cache,
    "sweep on processes": sweeps("processes"),
    "sweep on dask": sweeps("dask"),
}


def campaign(kills: int, ways: dict[str, float], seed: int = 0) -> Tally:
    """Kill so many processes, shared among ways of working, and return what was lost or doubled.

    Args:
        kills: How many.
        ways: The share of each way.
        seed: Seed of the moments.
    """
    tally, draw = Tally(), random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        for name, share in ways.items():
            here, before, begun = Path(place) / name.replace(" ", "_"), tally.effective, time.monotonic()
            here.mkdir()
            WAYS[name](max(1, round(share * kills)), here, draw, tally)
            took = time.monotonic() - begun
            print(f"{name}: {tally.effective - before} effective kills in {took:.0f} s", flush=True)
    return tally


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, SHARES)
    for each in (*found.lost, *found.doubled):
        print(each)
    print(f"{found.sent} kills, {found.effective} effective, {len(found.lost)} lost, {len(found.doubled)} doubled")
    sys.exit(1 if found.lost or found.doubled else 0)
