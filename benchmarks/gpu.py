"""Times of passes on one GPU: the launch-bound eager path, and the same captured in a CUDA graph.

    python -m benchmarks.gpu

takes less than twelve minutes on one GPU. Times are of the wall clock between synchronised points, the least of several
rounds in turns. A gradient is captured with static inputs (`captured`); what cannot be captured runs eagerly, and its
row says so. S networks stand for runs of S seeds, one after another in both rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

import analysis
import tca
from benchmarks.results import Result, Row, add_options, finish

REFERENCE, CAPTURED = "eager", "captured in a CUDA graph"
STEPS, TRIALS, CHANNELS = 50, 32, 3
Work = Callable[[], object]


def batch_of(steps: int, channels: int, outputs: int, trials: int, device: str) -> tca.Batch:
    """Return trials of random inputs and classes."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, trials, channels, generator=source)
    targets = torch.randint(outputs, (steps, trials), generator=source)
    return tca.Batch(inputs, targets, torch.full((steps, trials), 1 / steps), tca.losses.CrossEntropy()).to(device)


def gradients(nets: list[tca.nets.Network], rule: str, batch: tca.Batch) -> Work:
    """Return passes of a rule through networks, without the checks of an update."""
    learners = [tca.Learner(net, tca.RULES[rule]) for net in nets]
    _ = batch.padded  # read here: within a capture the host reads no value

    def work() -> None:
        for learner in learners:
            learner._execute(
                learner._by_default, learner._taped(batch, None, learner._workspace), learner.buffers, None
            )

    return work


def captured(work: Work) -> tuple[Work, bool]:
    """Return a replay of a piece of work captured in a CUDA graph, and true; the work itself and false if it cannot be.

    Args:
        work: Work whose tensors keep their addresses, warmed up here on a stream of its own as PyTorch asks for.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            work()
    except RuntimeError:  # the work waits for a value, or allocates in a way that a graph cannot
        torch.cuda.synchronize()
        return work, False
    return graph.replay, True


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
    """Return what is measured, by column."""
    batch = batch_of(STEPS, CHANNELS, CHANNELS, TRIALS, "cuda")

    def recurrent(rule: str, cells: int, count: int) -> Work:
        nets = [tca.nets.LeakyRNN(CHANNELS, cells, CHANNELS, seed=seed).to("cuda") for seed in range(count)]
        return gradients(list(nets), rule, batch)

    def spiking() -> Work:
        return gradients([tca.nets.SpikingRNN(CHANNELS, 128, CHANNELS).to("cuda")], "eprop", batch)

    def vision() -> Work:
        layers = [tca.nets.ConvLayer(64, 3, padding=1, then=(tca.nets.AvgPool(2),)), tca.nets.DenseLayer(1024)]
        net = tca.nets.CNN((3, 32, 32), layers, 10).to("cuda")
        return gradients([net], "dfa", batch_of(1, 3 * 32 * 32, 10, 128, "cuda"))

    def product() -> Work:
        net = tca.nets.LeakyRNN(CHANNELS, 128, CHANNELS, dtype=torch.float64).to("cuda")
        operator = analysis.operator(net, batch.to("cpu").to(dtype=torch.float64).to("cuda"), "all")
        vector = torch.randn(operator.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to("cuda")
        return partial(operator.product, vector)

    def plain() -> Work:
        net = nn.RNN(CHANNELS, 128).to("cuda")
        return lambda: net(batch.inputs)[0].sum().backward()

    found: dict[str, Callable[[], Work]] = {}
    for rule in ("eprop", "bptt"):
        for count in (1, 8, 64):
            found[f"{rule}, N = 128, S = {count}"] = partial(recurrent, rule, 128, count)
    found |= {"e-prop, 128 spiking cells": spiking, "CNN on 3 x 32 x 32, dfa, B = 128": vision}
    return found | {"Hessian product, float64": product, "nn.RNN, forwards and backwards": plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=3, longest=3.0)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.gpu: there is no CUDA device here, and nothing was measured")
        return
    rows = {REFERENCE: Row({}, {}), CAPTURED: Row({}, {})}
    for column, make in questions().items():
        work = make()
        replay, whole = captured(work)
        for name, seconds in race({REFERENCE: work, CAPTURED: replay}, options.rounds, options.longest).items():
            if name == REFERENCE or whole:
                rows[name].seconds[column] = seconds
        updates = ", ".join(
            f"{name} {1 / row.seconds[column]:.0f}" for name, row in rows.items() if column in row.seconds
        )
        print(f"{column}: passes a second {updates}{'' if whole else '; cannot be captured'}", flush=True)
    result = Result("gpu", f"Passes on a {torch.cuda.get_device_name()}", REFERENCE, rows)
    finish(result, options.save)


if __name__ == "__main__":
    main()
