"""Launches and host waits of a gradient on a second device, counted on PyTorch's meta device: no accelerator is needed.

Run ``python -m benchmarks.launches`` from the root; ``--waits`` names the lines that wait for the device.

A dispatch mode sees every operation. One that computes on tensors of the second device is a launch; one with operands
on two devices is an error there; a number or a copy that the host reads is a wait, in which a device stalls. Launches
of a step are those that a trial of one more step takes. Kinds of network without time have launches of a pass.

Meta tensors have no values. Where the host reads one, it gets the value of a batch that passes the checks. The counts
are those of operations: a kernel library may need several launches for one of them, and waits of its own are not seen.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tca
from tca import nets
from tca.experiments.training.update import Updates
from tca.nets import Network
from tca.utils.deferred_checks import deferred
from tca.utils.numerics import Workspace

__all__ = ["KINDS", "Counts", "SecondDevice", "checked", "counted", "launches_table", "one_pass", "one_update", "saved"]

ROOT = Path(__file__).parents[1]
PATH = Path(__file__).parent / "results" / "launches.csv"
DEVICE = "meta"
STEPS, TRIALS, CHANNELS, OUTPUTS, CELLS = 3, 2, 3, 2, 6
READ, NONZERO = "aten._local_scalar_dense.default", "aten.nonzero.default"
COPY = "aten._to_copy.default"
FREE = frozenset(  # operations that return a view, or memory, and launch no kernel
    """alias as_strided detach diagonal empty empty_like empty_strided expand lift_fresh new_empty new_empty_strided
    permute _reshape_alias reshape resize_ select set_ slice split split_with_sizes squeeze t transpose unbind unflatten
    unfold _unsafe_view unsqueeze view view_as_real""".split()  # noqa: SIM905
)


@dataclass
class Counts:
    """What a piece of work asks of a second device.

    Attributes:
        launches: Number of kernels.
        waits: Number of values and tensors that the host reads, by the line that reads them.
        mixed: Operations with operands on two devices, by line.
    """

    launches: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    mixed: Counter[str] = field(default_factory=Counter)


class SecondDevice(TorchDispatchMode):
    """Counts launches, waits and operations across devices within a ``with`` block, in ``counts``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self._last = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, str(func)
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        here = any(each.device.type == DEVICE for each in tensors)
        if name == READ:
            return self._read(tensors[0]) if here else func(*args, **kwargs)
        target = torch.device(kwargs.get("device") or DEVICE)
        if here and name == COPY and target.type != DEVICE:
            self.counts.waits[_line()] += 1
            return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype, device=target)
        found = self._positions(tensors[0]) if here and name == NONZERO else func(*args, **kwargs)
        if name not in (COPY, "aten.copy_.default") and len({each.device.type for each in tensors if each.ndim}) > 1:
            self.counts.mixed[f"{_line()} {name}"] += 1
        if here and name.split(".")[1] not in FREE:
            self.counts.launches += 1
            self._last = name
        return found

    def _positions(self, values: Tensor) -> Tensor:
        """Count a wait for the number of nonzero values and return the positions of as many as there are values."""
        self.counts.waits[_line()] += 1
        return values.new_empty(values.numel(), values.ndim, dtype=torch.int64)

    def _read(self, value: Tensor) -> bool | int | float:
        """Count a read and return the value of a batch that passes: true for ``all``, false for ``any``, or one."""
        self.counts.waits[_line()] += 1
        if value.dtype == torch.bool:
            return ".any." not in self._last
        return 1.0 if value.is_floating_point() else 1


def _line() -> str:
    """Return the innermost line of the library that is being executed."""
    frame, own = sys._getframe(1), str(ROOT / "tca")
    while frame.f_back is not None and not frame.f_code.co_filename.startswith(own):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT)}:{frame.f_lineno}" if frame.f_back is not None else "?"


TYPED: dict[str, Any] = {"cell_types": (0.5, 0.5)}
KINDS: dict[str, Callable[[], Network]] = {
    "leaky A": lambda: nets.LeakyRNN(CHANNELS, CELLS, OUTPUTS, **TYPED),
    "leaky B": lambda: nets.LeakyRNN(CHANNELS, CELLS, OUTPUTS, form="B", **TYPED),
    "stack": lambda: nets.StackedRNN(CHANNELS, [CELLS, nets.LeakyLayer(CELLS)], OUTPUTS),
    "spiking": lambda: nets.SpikingRNN(CHANNELS, CELLS, OUTPUTS, **TYPED),
    "GRU": lambda: nets.CellRNN(tca.cells.GRU(), CHANNELS, CELLS, OUTPUTS),
    "vectors": lambda: nets.VectorRNN(CHANNELS, CELLS, OUTPUTS),
    "two streams": lambda: nets.DualStreamRNN(CHANNELS, CELLS // 2, OUTPUTS),
    "MLP": lambda: nets.MLP(CHANNELS, [CELLS, CELLS], OUTPUTS),
    "CNN": lambda: nets.CNN((1, 4, 4), [nets.ConvLayer(2, 3, padding=1), nets.DenseLayer(CELLS)], OUTPUTS),
    "vector MLP": lambda: nets.VectorMLP(CHANNELS, [CELLS, CELLS], OUTPUTS),
    "two-stream MLP": lambda: nets.DualStreamMLP(CHANNELS, [CELLS, CELLS], OUTPUTS),
}
LAYERED = frozenset({"MLP", "CNN", "vector MLP", "two-stream MLP"})


def learner_there(rule: str, kind: str) -> tca.Learner | None:
    """Return a learner whose network and state are on the second device, ``None`` where the rule does not fit.

    It is made on the CPU, where its draws have values, and moved as a learner made there would have it: numbers of the
    network's type are on its device, seeds on the host.
    """
    net = KINDS[kind]()
    try:
        learner = tca.Learner(net, tca.RULES[rule])
    except (ValueError, TypeError):
        return None
    net.to(DEVICE)
    learner.buffers = {
        name: each.to(DEVICE) if each.is_floating_point() else each for name, each in learner.buffers.items()
    }
    return learner


def batch_there(learner: tca.Learner, steps: int) -> tca.Batch:
    """Return trials on the second device, with classes as targets."""
    inputs = torch.zeros(steps, TRIALS, learner.net.n_in, device=DEVICE)
    targets = torch.zeros(steps, TRIALS, dtype=torch.int64, device=DEVICE)
    return tca.Batch(inputs, targets, torch.zeros(steps, TRIALS, device=DEVICE), tca.losses.CrossEntropy())


def one_pass(learner: tca.Learner, batch: tca.Batch) -> None:
    """Take a rule from a batch to its gradients, without the checks of an update."""
    tape = learner.net.record(batch.inputs, learner.net.draw_noise(batch.steps, batch.trials), Workspace())
    tape = tape.scored(batch)
    with deferred():  # as in an update, which reads their flags with its norms
        learner._execute(learner._by_default, tape, learner.buffers, None)


def one_update(learner: tca.Learner, batch: tca.Batch) -> None:
    """Make an update of a run: the pass, norms and their bound, the optimizer, constraints."""
    Updates(learner, tca.Optimizer(), 1, 0).make(batch, 0)


def checked(learner: tca.Learner, batch: tca.Batch) -> None:
    """Check a batch as its set is checked, once."""
    batch.check(learner.net.n_in, learner.net.n_out)


def counted(
    rule: str,
    kind: str,
    work: Callable[[tca.Learner, tca.Batch], object],
    before: Callable[[tca.Learner, tca.Batch], object] = lambda _, batch: batch.padded,
) -> tuple[Counts, int] | None:
    """Return the counts of a pass and the launches of a step, or of a pass without time; ``None`` if a rule fits not.

    Args:
        rule: Name of the rule.
        kind: Kind of network.
        work: From a learner and a batch to a gradient.
        before: Reads of the batch before, by default whether a trial is padded; its waits do not count.
    """
    learner = learner_there(rule, kind)
    if learner is None:
        return None
    found = []
    for steps in (1, 1) if kind in LAYERED else (STEPS - 1, STEPS - 1, STEPS):
        batch = batch_there(learner, steps)
        with SecondDevice() as mode:
            before(learner, batch)
            mode.counts.waits.clear()
            work(learner, batch)
        found.append(mode.counts)  # the first pass builds what later ones reuse
    return found[-1], found[-1].launches - (0 if kind in LAYERED else found[-2].launches)


def measured() -> dict[tuple[str, str], int]:
    """Return the launches of every rule in every kind of network that it fits."""
    found = {(rule, kind): counted(rule, kind, one_pass) for rule in tca.RULES for kind in KINDS}
    return {each: counts[1] for each, counts in found.items() if counts is not None}


def saved() -> dict[tuple[str, str], int]:
    """Return the launches that the table of the page holds."""
    with open(PATH, encoding="utf-8", newline="") as file:
        return {(row["rule"], row["network"]): int(row["launches"]) for row in csv.DictReader(file)}


def launches_table(launches: Mapping[tuple[str, str], int]) -> str:
    """Return a table with a row for each rule and a column for each kind of network, ``-`` where a rule fits not."""
    rules = dict.fromkeys(rule for rule, _ in launches)
    lines = [f"| rule | {' | '.join(KINDS)} |", f"| --- |{' ---: |' * len(KINDS)}"]
    lines += [f"| `{rule}` | {' | '.join(str(launches.get((rule, kind), '-')) for kind in KINDS)} |" for rule in rules]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waits", action="store_true", help="print the lines of an update that wait instead")
    parser.add_argument("--save", action="store_true", help="write the table of docs/benchmarks.md")
    options = parser.parse_args()
    if options.waits:
        for rule, kind in itertools.product(tca.RULES, KINDS):
            both = counted(rule, kind, one_update, checked)
            if both is not None and both[0].waits:
                print(f"{rule}, {kind}: {', '.join(f'{line} ({count})' for line, count in both[0].waits.items())}")
        return
    launches = measured()
    print(launches_table(launches))
    if options.save:
        with open(PATH, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["rule", "network", "launches"])
            writer.writerows((*names, count) for names, count in launches.items())


if __name__ == "__main__":
    main()
