"""Gradients of a GRU by the online rules of braintrace, beside those of this library with the same weights and trials.

    .venv-peers/bin/python -m benchmarks.gru_peers

For each algorithm of braintrace the relative difference from each rule of the library, over all weights but those of
the readout, and the time of both. Shapes: T time, B batch, N cells, I inputs, O outputs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

import tca
from benchmarks.spiking_peers import installed
from benchmarks.timing import one_core, race
from tca import cells

CHANNELS, OUTPUTS = 3, 2
RULES = ("bptt", "snap1", "eprop", "three_factor")
ALGORITHMS: dict[str, dict[str, Any]] = {"D_RTRL": {}, "EProp": {}}
GATES = "rzn"

Gradients = dict[str, torch.Tensor]


def problem(n_rec: int, steps: int, trials: int, gain: float) -> tuple[tca.nets.CellRNN, tca.Batch]:
    """Return a GRU and trials with targets at every step.

    Args:
        n_rec: Number of cells N.
        steps: Number of steps T.
        trials: Number of trials B.
        gain: Factor of the recurrent weights.
    """
    net = tca.nets.CellRNN(cells.GRU(), CHANNELS, n_rec, OUTPUTS, gain_rec=gain, seed=0)
    generator = torch.Generator().manual_seed(1)
    inputs, targets = (torch.randn(steps, trials, each, generator=generator) for each in (CHANNELS, OUTPUTS))
    return net, tca.Batch(inputs, targets, torch.full((steps, trials), 1 / steps), tca.losses.MSE())


def braintrace_gradients(net: tca.nets.CellRNN, batch: tca.Batch, algorithm: str) -> Callable[[], Gradients]:
    """Return a function to the gradients of an algorithm of braintrace, compiled whole.

    Args:
        net: The network.
        batch: The trials.
        algorithm: Name of the algorithm.
    """
    import brainstate
    import braintrace
    import jax
    import jax.numpy as jnp

    cell = _cell({name: each.detach() for name, each in net.named_parameters()})
    w_out, b_out = (jnp.array(each.detach().numpy()) for each in (net.w_out, net.b_out))
    inputs, targets = jnp.array(batch.inputs.numpy()), jnp.array(batch.targets.numpy())
    size, steps = batch.trials, batch.steps
    learner = braintrace.compile(
        cell, getattr(braintrace, algorithm), inputs[0], batch_size=size, **ALGORITHMS[algorithm]
    )

    def step_loss(seen: Any, target: Any) -> Any:
        return 0.5 * ((learner(seen) @ w_out.T + b_out - target) ** 2).sum() / (size * steps)

    @brainstate.transform.jit
    def run(inputs: Any, targets: Any) -> Any:
        brainstate.nn.init_all_states(learner, batch_size=size)
        return learner.etrace_grad(inputs, targets, step_fn=step_loss, weights=cell.weights, reduction="sum")

    def work() -> Gradients:
        found = jax.block_until_ready(run(inputs, targets))
        stacked = {
            name: [torch.tensor(found[f"{name}{gate}"].__array__()) for gate in GATES] for name in ("w_in", "w_rec")
        }
        return {name: torch.cat([each.T for each in parts]) for name, parts in stacked.items()}

    return work


def _cell(weights: dict[str, torch.Tensor]) -> Any:
    """Return the GRU of PyTorch, whose reset gate acts behind the recurrent weights, as a module of braintrace."""
    import brainstate
    import braintrace
    import jax
    import jax.numpy as jnp

    blocks = {
        f"{name}{gate}": jnp.array(block.T.contiguous().numpy())
        for name in ("w_in", "w_rec")
        for gate, block in zip(GATES, weights[name].chunk(3), strict=True)
    }
    n_rec = len(weights["w_out"].T)

    class GRUCell(brainstate.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = {name: brainstate.ParamState(each) for name, each in blocks.items()}

        def init_state(self, batch_size: int | None = None, **_: Any) -> None:
            self.h = brainstate.HiddenState(jnp.zeros((batch_size, n_rec)))

        def update(self, seen: Any) -> Any:
            h = self.h.value
            into, back = (
                {gate: braintrace.matmul(of, self.weights[f"{name}{gate}"].value) for gate in GATES}
                for name, of in (("w_in", seen), ("w_rec", h))
            )
            r, z = (jax.nn.sigmoid(into[gate] + back[gate]) for gate in "rz")
            self.h.value = (1 - z) * jnp.tanh(into["n"] + r * back["n"]) + z * h
            return self.h.value

    return GRUCell()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gru_peers", description=__doc__)
    parser.add_argument("--cells", type=int, default=64, help="number of cells N")
    parser.add_argument("--steps", type=int, default=50, help="steps T of a trial")
    parser.add_argument("--trials", type=int, default=16, help="trials B of a batch")
    parser.add_argument("--gain", type=float, default=1.0, help="factor of the recurrent weights")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns")
    options = parser.parse_args()
    if not installed():
        print("braintrace is not installed: make bench-peers")
        return
    one_core()
    net, batch = problem(options.cells, options.steps, options.trials, options.gain)
    mine = {rule: tca.Learner(net, tca.RULES[rule]) for rule in RULES}
    found = {rule: each.grads(batch)[0] for rule, each in mine.items()}
    works: dict[str, Callable[[], object]] = {rule: lambda each=each: each.grads(batch) for rule, each in mine.items()}
    print("| relative difference from | " + " | ".join(RULES) + " |\n| --- |" + " ---: |" * len(RULES))
    for name in ALGORITHMS:
        works[name] = work = braintrace_gradients(net, batch, name)
        theirs = work()
        apart = [
            max(float((theirs[key] - found[rule][key]).norm() / found[rule][key].norm()) for key in theirs)
            for rule in RULES
        ]
        print(f"| {name} | " + " | ".join(f"{each:.2g}" for each in apart) + " |")
    times = race(works, options.rounds, 60.0)
    print("\n" + ", ".join(f"{name} {1e3 * each:.1f} ms" for name, each in times.items()))


if __name__ == "__main__":
    main()
