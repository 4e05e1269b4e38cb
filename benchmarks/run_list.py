"""Time to list and filter many runs through their index: ``python -m benchmarks.run_list 100000 FOLDER``.

Synthetic records are written to the folder, if it does not exist, and indexed; then the list is filtered and sorted, in
process time and on the clock, minimum of five repeats.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tca
from tca.experiments.config.run_name import name_of
from tca.experiments.records.run_filters import RunCondition
from tca.experiments.records.run_index import index_path, list_runs
from tca.experiments.records.sealed_json import sealed
from tca.experiments.records.versions import environment

REPEATS = 5


def write_records(root: Path, count: int, seed: int = 0) -> None:
    """Write records of runs that nobody trained: description and result, without networks."""
    draw = random.Random(seed)
    bases = [
        tca.Run(task, rule, net=tca.NetworkConfig(size=size)).to_json()
        for task, rule, size in itertools.product(
            ("delayed_match", "flip_flop"), ("bptt", "eprop", "rflo"), (32, 64, 128)
        )
    ]
    made = environment()
    for number in range(count):
        base = bases[number % len(bases)]
        values = base | {"seeds": dict.fromkeys(base["seeds"], number // len(bases))}
        name = name_of(values)
        folder = root / name
        folder.mkdir(parents=True)
        description = {"run": values, "title": "", "measure": "accuracy", **made}
        (folder / "run.json").write_text(json.dumps(sealed(name, description)))
        if number % 10:
            last = {name: draw.random() for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")}
            last |= {"step": 1000, "elapsed": 60 * draw.random(), "observed": {}}  # type: ignore[dict-item]
            ending = {"outcome": "completed", "step": 1000, "reason": "", "last": last, "made_with": [made]}
            (folder / "result.json").write_text(json.dumps(sealed(name, ending)))


def timed(call: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, float, Any]:
    """Return the least seconds on the clock and of the process, and the result."""
    clock, process, result = [], [], None
    for _ in range(repeats):
        begun = time.perf_counter(), time.process_time()
        result = call()
        clock.append(time.perf_counter() - begun[0])
        process.append(time.process_time() - begun[1])
    return min(clock), min(process), result


def main() -> None:
    """Write records, index and list them."""
    count, root = int(sys.argv[1]), Path(sys.argv[2])
    if not root.exists():
        write_records(root, count)
        time.sleep(3)  # folders that changed just now are read again
    index_path(root).unlink(missing_ok=True)
    clock, process, _ = timed(lambda: list_runs(root, limit=1), 1)
    print(f"index of {count} runs made in {clock:.1f} s on the clock, {process:.1f} s of the process")
    conditions = [RunCondition.of(each) for each in ("rule = eprop", "test_accuracy > 0.9", "net.size = 64")]
    for title, given in (("all, newest 50", []), ("filtered by three conditions", conditions)):
        clock, process, (rows, found) = timed(
            lambda given=given: list_runs(root, given, sort="test_accuracy", descending=True, limit=50)  # type: ignore[misc]
        )
        print(f"{title}: {found} runs, {len(rows)} shown, {clock:.2f} s on the clock, {process:.2f} s of the process")


if __name__ == "__main__":
    main()
