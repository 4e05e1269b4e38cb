"""Trains a run in child processes that are killed, until one of them gets to the end.

``python -m tests.robustness.interrupted FOLDER RUN.json random SEED`` kills at random moments;
``python -m tests.robustness.interrupted FOLDER RUN.json writes STEP`` kills at every write and rename in turn, or at
every STEP-th, each in a record of its own below FOLDER, and lets the next child go on undisturbed. Prints how many
children were killed.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records import files
from tca.experiments.training.train import train


def child(work: Callable[[], None], life: float | None = None) -> bool:
    """Do the work in a forked process, killed after ``life`` seconds; return whether it was killed."""
    number = os.fork()
    if number == 0:
        try:
            work()
        finally:
            os._exit(0)
    if life is not None:
        time.sleep(life)
        os.kill(number, signal.SIGKILL)
    _, status = os.waitpid(number, 0)
    return os.WIFSIGNALED(status)


def die_at(moment: int) -> None:
    """Let this process die at the given write or rename: of a write, half is done."""
    left = moment
    write_all, replace = files._write_all, os.replace

    def dying_write(file: IO[bytes], content: bytes) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            write_all(file, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write_all(file, content)

    def dying_replace(source: Any, target: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    files._write_all, os.replace = dying_write, dying_replace


def at_random(folder: Path, run: Run, seed: int) -> int:
    """Kill at random moments until the record is finished, giving every child a little more time."""
    draw, killed = random.Random(seed), 0
    while not records.finished(folder):
        killed += child(lambda: void(train(run, folder, progress=False)), draw.uniform(0.02, 0.1 + 0.02 * killed))
    return killed


def at_every_write(folder: Path, run: Run, step: int) -> int:
    """Kill at the first write or rename, at the second in a new record, and so on until nothing is left to kill."""
    for moment in itertools.count(1, step):
        record = folder / str(moment)

        def doomed(record: Path = record, moment: int = moment) -> None:
            die_at(moment)
            train(run, record, progress=False)

        if not child(doomed):
            return (moment - 1) // step
        child(lambda record=record: void(train(run, record, progress=False)))


def void(_: object) -> None:
    """Forget a value."""


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, asked = Path(sys.argv[1]), Run.from_json(json.loads(Path(sys.argv[2]).read_text()))
    train(dataclasses.replace(asked, steps=1), progress=False)  # what comes first is slow: not once for every child
    kill = {"random": at_random, "writes": at_every_write}[sys.argv[3]]
    print(kill(place, asked, int(sys.argv[4])))
