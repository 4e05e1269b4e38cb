"""Times on one GPU: the launch-bound eager path, and the same captured in CUDA graphs.

    python -m benchmarks.gpu

takes less than twelve minutes on one GPU. Times are of the wall clock between synchronised points, the least of several
rounds in turns. Updates are those of runs, eager with ``TCA_GRAPHS=off`` and else captured as in a run
(`tca.experiments.training.captured_updates`), products those of `analysis.operator`, by hand and by autograd, and an
evaluation is that of a measurement of a run; what PyTorch refuses to capture runs eagerly, and its row says so. S
networks stand for runs of S seeds, one after another in both rows.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import analysis
import tca
from benchmarks.results import Result, Row, add_options, finish
from tca.experiments.training.captured_updates import CapturedUpdates, updates_of
from tca.experiments.training.evaluation import evaluate
from tca.utils.cuda_graphs import EAGER, VARIABLE, Captured, CaptureWarning, CudaGraphs, replays_on

REFERENCE, CAPTURED = "eager", "captured in CUDA graphs"
STEPS, TRIALS, CHANNELS = 50, 32, 3
Work = Callable[[], object]


def batch_of(steps: int, channels: int, outputs: int, trials: int, device: str) -> tca.Batch:
    """Return trials of random inputs and classes."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, trials, channels, generator=source)
    targets = torch.randint(outputs, (steps, trials), generator=source)
    return tca.Batch(inputs, targets, torch.full((steps, trials), 1 / steps), tca.losses.CrossEntropy()).to(device)


def updates(nets: list[tca.nets.Network], rule: str, batch: tca.Batch) -> Work:
    """Return one update of each network by a rule, captured once they have been made a few times."""
    made = [updates_of(tca.Learner(net, tca.RULES[rule]), tca.Optimizer(), 1, 0) for net in nets]
    batch.check(nets[0].n_in, nets[0].n_out)

    def work() -> None:
        for each in made:
            each.make(batch, 0)

    if os.environ[VARIABLE] != "off":
        assert all(isinstance(each, CapturedUpdates) for each in made), f"updates of {rule} state that they cannot be"
    return work


class Correct:
    """The share of right classes over all steps."""

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        """Return the share.

        Args:
            outputs: Outputs, shape ``(T, B, O)``.
            batch: The trials, with classes as targets.
        """
        return float((outputs.argmax(-1) == batch.targets).double().mean())


def warmed_up(make: Callable[[], Work], graphs: str) -> Work | None:
    """Return a piece of work that has been done a few times; ``None`` if it should be captured and PyTorch refuses.

    Args:
        graphs: Value of ``TCA_GRAPHS`` meanwhile.
    """
    before = os.environ.get(VARIABLE, "auto")
    os.environ[VARIABLE] = graphs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CaptureWarning)
            work = make()
            for _ in range(EAGER + 2):
                work()
    except CaptureWarning as refusal:
        print(refusal)
        return None
    finally:
        os.environ[VARIABLE] = before
    return work


def race(works: dict[str, Work], rounds: int, turn: float) -> dict[str, float]:
    """Return the least seconds of one run, of turns that last about as long as ``turn``."""
    least = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            torch.cuda.synchronize()
            start, runs = time.perf_counter(), 0
            while runs == 0 or time.perf_counter() - start < turn:
                work()
                runs += 1
            torch.cuda.synchronize()
            least[name] = min(least[name], (time.perf_counter() - start) / runs)
    return least


def questions() -> dict[str, Callable[[], Work]]:
    """Return what is measured, by column; a piece of work is captured as `TCA_GRAPHS` says when it is made."""
    batch = batch_of(STEPS, CHANNELS, CHANNELS, TRIALS, "cuda")

    def recurrent(rule: str, cells: int, count: int) -> Work:
        nets = [tca.nets.LeakyRNN(CHANNELS, cells, CHANNELS, seed=seed).to("cuda") for seed in range(count)]
        return updates(list(nets), rule, batch)

    def spiking() -> Work:
        return updates([tca.nets.SpikingRNN(CHANNELS, 128, CHANNELS).to("cuda")], "eprop", batch)

    def vision() -> Work:
        layers = [tca.nets.ConvLayer(64, 3, padding=1, then=(tca.nets.AvgPool(2),)), tca.nets.DenseLayer(1024)]
        net = tca.nets.CNN((3, 32, 32), layers, 10).to("cuda")
        return updates([net], "dfa", batch_of(1, 3 * 32 * 32, 10, 128, "cuda"))

    def product(net: tca.nets.Network, trials: tca.Batch) -> Work:
        operator = analysis.operator(net.double().to("cuda"), trials.to(dtype=torch.float64), "all")
        vector = torch.randn(operator.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to("cuda")
        return partial(operator.product, vector)

    def by_hand() -> Work:
        return product(tca.nets.LeakyRNN(CHANNELS, 128, CHANNELS), batch)

    def by_autograd() -> Work:
        return product(tca.nets.MLP(784, [256] * 4, 10), batch_of(1, 784, 10, 512, "cuda"))

    def evaluation() -> Work:
        net, trials = (
            tca.nets.LeakyRNN(CHANNELS, 128, CHANNELS).to("cuda"),
            batch_of(STEPS, CHANNELS, CHANNELS, 2048, "cuda"),
        )
        return partial(evaluate, net, Correct(), trials, replays_on(next(net.parameters()).device, "measurements"))

    def plain() -> Work:
        net = nn.RNN(CHANNELS, 128).to("cuda")

        def work() -> None:
            net(batch.inputs)[0].sum().backward()

        if os.environ[VARIABLE] == "off":
            return work
        graphs = CudaGraphs(torch.device("cuda", torch.cuda.current_device()))
        for _ in range(EAGER):
            graphs.aside(work)
        return Captured(graphs, work).replay

    found: dict[str, Callable[[], Work]] = {}
    for rule in ("eprop", "bptt"):
        for count in (1, 8, 64):
            found[f"{rule}, N = 128, S = {count}"] = partial(recurrent, rule, 128, count)
    found |= {"e-prop, 128 spiking cells": spiking, "CNN on 3 x 32 x 32, dfa, B = 128": vision}
    found |= {"Hessian product, float64": by_hand, "Hessian product of an MLP, float64": by_autograd}
    return found | {"evaluation, N = 128, 2048 trials": evaluation, "nn.RNN, forwards and backwards": plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=3, longest=3.0)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.gpu: there is no CUDA device here, and nothing was measured")
        return
    rows = {REFERENCE: Row({}, {}), CAPTURED: Row({}, {})}
    for column, make in questions().items():
        found = {name: warmed_up(make, graphs) for name, graphs in ((REFERENCE, "off"), (CAPTURED, "auto"))}
        works = {name: work for name, work in found.items() if work is not None}
        for name, seconds in race(works, options.rounds, options.longest).items():
            rows[name].seconds[column] = seconds
        times = ", ".join(f"{name} {1 / rows[name].seconds[column]:.0f}" for name in works)
        print(f"{column}: a second {times}{'' if len(works) == len(rows) else '; not captured'}", flush=True)
    result = Result("gpu", f"Updates, products and an evaluation on a {torch.cuda.get_device_name()}", REFERENCE, rows)
    finish(result, options.save)


if __name__ == "__main__":
    main()
