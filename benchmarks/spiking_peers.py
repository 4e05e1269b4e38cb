"""The e-prop of braintrace (JAX) on adaptive spiking cells of the same equations, beside the library's.

Shapes: T time, B batch, N cells.

Half the cells adapt, the loss is read in the last steps, as in ``benchmarks.spiking``. braintrace makes traces from a
cell that it is given: this one detaches the reset, as the library does. Its driver averages over steps, and it has
synapses of cells onto themselves; gradients are compared without either. Compilation is not timed.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

import tca
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.spiking import network, trials
from benchmarks.timing import one_core

Gradients = dict[str, Tensor]
TRIALS = 32


def installed() -> bool:
    """Whether JAX and braintrace are here."""
    return all(importlib.util.find_spec(name) is not None for name in ("jax", "brainstate", "braintrace"))


def ours(net: tca.nets.SpikingRNN, batch: tca.Batch) -> Callable[[], Gradients]:
    """Return the library's e-prop."""
    learner = tca.Learner(net, tca.RULES["eprop"])
    return lambda: learner.grads(batch)[0]


def theirs(net: tca.nets.SpikingRNN, batch: tca.Batch) -> Callable[[], Gradients]:
    """Return braintrace's e-prop on the same cells, weights and trials."""
    import brainstate
    import braintrace
    import jax
    import jax.numpy as jnp
    import numpy as np

    parameters = {
        name: brainstate.ParamState(jnp.array(net.get_parameter(name).detach().numpy().T)) for name in ("w_in", "w_rec")
    }
    w_out = jnp.array(net.w_out.detach().numpy().T)
    inputs, targets, weights = (jnp.array(each.numpy()) for each in (batch.inputs, batch.targets, batch.weights))
    learner = braintrace.compile(_cell(net, parameters), braintrace.EProp, inputs[0], batch_size=batch.trials)

    def step_loss(seen: Any, wanted: Any) -> Any:
        outputs = learner(seen) @ w_out
        chosen = jnp.take_along_axis(outputs, wanted[0][:, None], -1)[:, 0]
        return ((jax.nn.logsumexp(outputs, -1) - chosen) * wanted[1]).mean()

    @brainstate.transform.jit
    def run(inputs: Any, targets: Any, weights: Any) -> Any:
        brainstate.nn.init_all_states(learner, batch_size=batch.trials)
        return learner.etrace_grad(inputs, (targets, weights), step_fn=step_loss, weights=parameters)

    def work() -> Gradients:
        found = jax.block_until_ready(run(inputs, targets, weights))
        return {name: torch.from_numpy(np.array(each)).t() * batch.steps for name, each in found.items()}

    return work


def _cell(net: tca.nets.SpikingRNN, parameters: dict[str, Any]) -> Any:
    import brainstate
    import braintrace
    import jax
    import jax.numpy as jnp

    kappa, gain, rho, gain_a = (
        float(each[0]) for each in (net.leak, net.gain, net.adaptation_leak, net.adaptation_gain)
    )
    beta, threshold = jnp.array(net.beta.numpy()), net.threshold

    @jax.custom_jvp
    def spike(distance: Any) -> Any:
        return (distance > 0).astype(distance.dtype)

    @spike.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (distance,), (moved,) = primals, tangents
        return spike(distance), 0.3 * jnp.maximum(0, 1 - jnp.abs(distance)) * moved

    class AdaptiveCell(brainstate.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w_in, self.w_rec = parameters["w_in"], parameters["w_rec"]

        def init_state(self, batch_size: int | None = None, **_: Any) -> None:
            silent = jnp.zeros((batch_size, net.n_rec))
            self.potential, self.adaptation = brainstate.HiddenState(silent), brainstate.HiddenState(silent)
            self.wait = brainstate.ShortTermState(silent)

        def spikes(self, wait: Any) -> Any:
            distance = (self.potential.value - threshold - beta * self.adaptation.value) / threshold
            return spike(distance) * (wait == 0)

        def update(self, seen: Any) -> Any:
            before = self.spikes(self.wait.value)
            reset = jax.lax.stop_gradient(before)
            wait = jnp.where(reset > 0, float(net.refractory), jnp.maximum(self.wait.value - 1, 0))
            drive = braintrace.matmul(seen, self.w_in.value) + braintrace.matmul(before, self.w_rec.value)
            potential = kappa * self.potential.value + gain * drive - threshold * reset
            adaptation = rho * self.adaptation.value + gain_a * before
            self.potential.value, self.adaptation.value = potential, adaptation
            self.wait.value = jax.lax.stop_gradient(wait)
            return self.spikes(wait)

    return AdaptiveCell()


def checked(cells: int, steps: int) -> dict[str, Callable[[], Gradients]]:
    """Return both for N cells, after a check that they compute the same."""
    net, batch = network(cells), trials(TRIALS, steps)
    works = {"tca": ours(net, batch), "braintrace": theirs(net, batch)}
    wanted, found = works["tca"](), works["braintrace"]()
    found["w_rec"] = found["w_rec"] * (1 - torch.eye(cells))
    apart = max(float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in found)
    if apart > 1e-3:
        raise RuntimeError(f"tca and braintrace differ by {apart:.1e}: one of them is wrong")
    return works


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spiking_peers", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 128], help="numbers of cells (default: 64 128)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a trial (default: 100)")
    add_options(parser, rounds=3, longest=20.0)
    given = parser.parse_args()
    if not installed():
        print("braintrace is not installed: make bench-peers")
        return
    one_core()
    columns = {f"{cells} cells": partial(checked, cells, given.steps) for cells in given.cells}
    rows = measure(columns, given.rounds, given.longest)
    question = f"E-prop of spiking networks, {TRIALS} trials of {given.steps} steps, float32"
    finish(Result("spiking_peers", question, "tca", rows), given.save)


if __name__ == "__main__":
    main()
