"""Peers in JAX: plain scans, and the online rules of braintrace, on the same leaky network (leak on the potential).

Shapes: T time, B batch, N cells, I inputs, O outputs. JAX must not be imported before the benchmark has chosen its
one core.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from benchmarks.contestants import Contestant, Gradients, Work
from benchmarks.problem import TRIALS, Problem

__all__ = ["JAX_PEERS", "installed"]


def installed(module: str) -> bool:
    """Return whether an optional package is there."""
    return importlib.util.find_spec(module) is not None


def scan(gradient: Callable[[dict[str, Any], Any, Any, float], Gradients]) -> Callable[[Problem], Work]:
    """Return a contestant's preparation: a compiled function of parameters, inputs, targets and leak."""

    def prepare(problem: Problem) -> Work:
        import jax

        parameters, inputs, targets = _arrays(problem)
        compiled = jax.jit(gradient, static_argnums=3)
        leak = float(problem.nets["A"].leak)
        return lambda: jax.block_until_ready(compiled(parameters, inputs, targets, leak))

    return prepare


def bptt(parameters: dict[str, Any], inputs: Any, targets: Any, leak: float) -> Gradients:
    """Reverse-mode differentiation of a scan."""
    import jax
    import jax.numpy as jnp

    def loss(parameters: dict[str, Any]) -> Any:
        drives = inputs @ parameters["w_in"].T + parameters["b"]

        def step(potential: Any, drive: Any) -> tuple[Any, Any]:
            drive = drive + jnp.tanh(potential) @ parameters["w_rec"].T
            potential = leak * potential + (1 - leak) * drive
            return potential, jnp.tanh(potential)

        _, rates = jax.lax.scan(step, jnp.zeros((inputs.shape[1], len(parameters["b"]))), drives)
        return _cross_entropy(rates @ parameters["w_out"].T + parameters["b_out"], targets)

    return jax.grad(loss)(parameters)


def eprop(parameters: dict[str, Any], inputs: Any, targets: Any, leak: float) -> Gradients:
    """A scan that carries presynaptic traces, and one product for each gradient at the end."""
    import jax
    import jax.numpy as jnp

    (cells, channels), trials = parameters["w_in"].shape, inputs.shape[1]
    drives = inputs @ parameters["w_in"].T + parameters["b"]
    gain = 1 - leak

    def step(carried: tuple[Any, ...], given: tuple[Any, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        potential, rate, trace, trace_in, trace_one = carried
        drive, seen = given
        trace, trace_in, trace_one = (
            leak * trace + gain * rate,
            leak * trace_in + gain * seen,
            leak * trace_one + gain,
        )
        potential = leak * potential + gain * (drive + rate @ parameters["w_rec"].T)
        rate = jnp.tanh(potential)
        return (potential, rate, trace, trace_in, trace_one), (rate, trace, trace_in, trace_one)

    start = tuple(jnp.zeros(shape) for shape in ((trials, cells),) * 3 + ((trials, channels), ()))
    _, (rates, traces, traces_in, traces_one) = jax.lax.scan(step, start, (drives, inputs))
    outputs = rates @ parameters["w_out"].T + parameters["b_out"]
    score = (jax.nn.softmax(outputs) - jax.nn.one_hot(targets, outputs.shape[-1])) / targets.size
    signal = (score @ parameters["w_out"]) * (1 - rates**2)
    return {
        "w_in": jnp.einsum("tbi,tbj->ij", signal, traces_in),
        "w_rec": jnp.einsum("tbi,tbj->ij", signal, traces),
        "b": jnp.einsum("tbi,t->i", signal, traces_one),
        "w_out": jnp.einsum("tbi,tbj->ij", score, rates),
        "b_out": score.sum((0, 1)),
    }


def braintrace_rule(algorithm: str, **options: Any) -> Callable[[Problem], Work]:
    """Return a contestant's preparation: an algorithm of braintrace, its own driver for a sequence compiled whole.

    The readout stands outside the learner: inside it, version 0.2.6 gives it a gradient of zero.
    """

    def prepare(problem: Problem) -> Work:
        import brainstate
        import braintrace
        import jax

        arrays, inputs, targets = _arrays(problem)
        leak = float(problem.nets["A"].leak)
        parameters = {name: brainstate.ParamState(each.T) for name, each in arrays.items()}
        cell = _braintrace_cell(parameters, leak)
        settings = {name: leak if value == "leak" else value for name, value in options.items()}
        learner = braintrace.compile(cell, getattr(braintrace, algorithm), inputs[0], batch_size=TRIALS, **settings)

        def step_loss(seen: Any, target: Any) -> Any:
            return _cross_entropy(learner(seen) @ parameters["w_out"].value + parameters["b_out"].value, target)

        @brainstate.transform.jit
        def run(inputs: Any, targets: Any) -> Any:
            brainstate.nn.init_all_states(learner, batch_size=TRIALS)
            return learner.etrace_grad(inputs, targets, step_fn=step_loss, weights=parameters)

        def work() -> Gradients:
            found = jax.block_until_ready(run(inputs, targets))
            return {name: each.T for name, each in found.items()}

        return work

    return prepare


def _braintrace_cell(parameters: dict[str, Any], leak: float) -> Any:
    import brainstate
    import braintrace
    import jax.numpy as jnp

    class LeakyCell(brainstate.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w_in, self.w_rec, self.b = (parameters[name] for name in ("w_in", "w_rec", "b"))

        def init_state(self, batch_size: int | None = None, **_: Any) -> None:
            self.potential = brainstate.HiddenState(jnp.zeros((batch_size, *self.b.value.shape)))

        def update(self, seen: Any) -> Any:
            before = self.potential.value
            drive = braintrace.matmul(jnp.tanh(before), self.w_rec.value)
            drive = drive + braintrace.matmul(seen, self.w_in.value, self.b.value)
            self.potential.value = leak * before + (1 - leak) * drive
            return jnp.tanh(self.potential.value)

    return LeakyCell()


def _cross_entropy(outputs: Any, targets: Any) -> Any:
    import jax
    import jax.numpy as jnp

    chosen = jnp.take_along_axis(outputs, targets[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(outputs, -1) - chosen).mean()


def _arrays(problem: Problem) -> tuple[dict[str, Any], Any, Any]:
    import jax.numpy as jnp

    parameters = {name: jnp.array(each.detach().numpy()) for name, each in problem.nets["A"].named_parameters()}
    return parameters, jnp.array(problem.batch.inputs.numpy()), jnp.array(problem.batch.targets.numpy())


JAX_PEERS: dict[Contestant, str] = {  # and the package each needs
    Contestant("JAX scan, BPTT", scan(bptt), ("bptt",), floor="floor of BPTT"): "jax",
    Contestant("JAX scan, e-prop", scan(eprop), ("eprop",), floor="floor of e-prop"): "jax",
    Contestant(
        "braintrace D-RTRL", braintrace_rule("D_RTRL"), ("snap1", "eprop"), exact=False, floor="floor of e-prop"
    ): "braintrace",
    Contestant(
        "braintrace ES-D-RTRL",
        braintrace_rule("ES_D_RTRL", decay_or_rank="leak"),
        ("snap1", "eprop"),
        exact=False,
        floor="floor of e-prop",
    ): "braintrace",
}
