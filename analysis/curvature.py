"""Curvature of the loss: both ends of the spectrum of its Hessian, and its trace.

Shapes: T time, B batch, I inputs, O outputs, P parameters.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from analysis.engines import ENGINES, Pair
from analysis.hessian import Hessian
from analysis.parameters import Parameters, choose
from tca.batch import Batch
from tca.names import lookup
from tca.nets import LeakyRNN

__all__ = ["Curvature", "Eigenvalue", "Trace", "Trials", "curvature", "hessian_of"]

AUTO_DENSE = 100  # parameters up to which writing the matrix out costs no more products than Lanczos and probes do
TENSORS_A_STEP = 36  # the most (B, N) tensors that a kept graph and a product were seen to hold for every step


class Trials(Protocol):
    """A fixed set of trials, such as a ``TrialSet``."""

    def batch(self) -> Batch:
        """Return all trials as one batch."""
        ...


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue and how far it is to be trusted.

    Attributes:
        value: The eigenvalue with its sign, ``lambda = v . H v``.
        residual: ``|H v - lambda v|`` of the unit vector found: an eigenvalue lies within this distance of ``value``.
        converged: Whether the residual is at most the tolerance times the largest modulus of the spectrum.
    """

    value: float
    residual: float
    converged: bool

    def __str__(self) -> str:
        """Return the value and its residual in one line."""
        return f"{self.value:.6g} (residual {self.residual:.1e}{'' if self.converged else ', NOT CONVERGED'})"


@dataclass(frozen=True)
class Trace:
    """Hutchinson's estimate of the trace, ``mean over probes of z . H z`` with random signs z.

    Attributes:
        value: The estimate; the exact trace if there were no probes.
        standard_error: Standard deviation over probes divided by the root of their number; 0 if exact.
        probes: Number of probes, 0 if exact.
    """

    value: float
    standard_error: float
    probes: int

    def __str__(self) -> str:
        """Return the value and its error in one line."""
        error = f"+- {self.standard_error:.2g} ({self.probes} probes)" if self.probes else "(exact)"
        return f"{self.value:.6g} {error}"


@dataclass(frozen=True)
class Curvature:
    """What ``curvature`` has found, and for what.

    Attributes:
        largest: The largest algebraic eigenvalue.
        smallest: The smallest algebraic eigenvalue.
        largest_magnitude: The one of the two with the larger modulus, sign kept.
        trace: The trace, ``None`` if it was not asked for.
        parameters: Names of the parameters.
        count: Number of parameters P, missing synapses not counted.
        trials: Number of trials B.
        steps: Number of steps T.
        data: The first digits of the SHA-256 of inputs, targets and weights: equal for equal data.
        loss: The loss at this point, with the L2 term if there is one.
        gradient_norm: Norm of its gradient in these parameters: zero at a minimum.
        l2: Coefficient of the L2 term that is included.
        engine: What found the eigenvalues.
        dtype: Type of the numbers in which products were computed.
        tolerance: Relative tolerance of the eigenvalues.
    """

    largest: Eigenvalue
    smallest: Eigenvalue
    largest_magnitude: Eigenvalue
    trace: Trace | None
    parameters: tuple[str, ...]
    count: int
    trials: int
    steps: int
    data: str
    loss: float
    gradient_norm: float
    l2: float
    engine: str
    dtype: str
    tolerance: float

    @property
    def converged(self) -> bool:
        """Whether both ends have converged."""
        return self.largest.converged and self.smallest.converged

    def __str__(self) -> str:
        """Return a small table."""
        lines = {
            "largest": self.largest,
            "smallest": self.smallest,
            "largest modulus": self.largest_magnitude,
            "trace": "not computed" if self.trace is None else self.trace,
            "parameters": f"{', '.join(self.parameters)}: {self.count}",
            "data": f"{self.trials} trials of {self.steps} steps ({self.data})",
            "loss": f"{self.loss:.6g}, gradient norm {self.gradient_norm:.3g}, L2 {self.l2:g}",
            "engine": f"{self.engine}, {self.dtype}, tolerance {self.tolerance:g}",
        }
        return "\n".join(f"{name:<16}{value}" for name, value in lines.items())


def curvature(
    net: LeakyRNN,
    trials: Trials | Batch,
    parameters: str | Sequence[str] = "w_rec",
    *,
    engine: str = "auto",
    tolerance: float = 1e-6,
    products: int = 2000,
    probes: int = 32,
    l2: float = 0.0,
    chunk: int | None = None,
    memory: float = 2048.0,
    dtype: torch.dtype | None = torch.float64,
    seed: int = 0,
) -> Curvature:
    """Return both ends of the spectrum of the Hessian of the loss in chosen parameters, and its trace.

    ``H = d2/d theta2 [1/B sum_b sum_t w_tb l_tb + l2/2 |theta|^2]`` at the network's present weights, over all trials
    given, the rest of the network fixed, without noise and without any path cut, whatever rule has trained the network.
    Networks that have been trained for different times differ in curvature for that reason alone: compare them at equal
    loss.

    The network, its mode, its gradients and the global generators are left as they are: all is done on a copy.

    Args:
        net: The network.
        trials: A fixed set of trials, or a batch.
        parameters: Name of a parameter, several names, or ``"all"``; default the recurrent weights.
        engine: ``"lanczos"``; ``"dense"``, for up to 2,000 parameters; ``"pyhessian"``, power iteration, slow and given
            to missing the end of smaller modulus (see ``analysis.engines.power``); or ``"auto"`` (default), dense for
            up to 100 parameters and Lanczos for more.
        tolerance: Residual to reach, relative to the largest modulus of the spectrum, default 1e-6. Eigenvalues are
            right to this fraction of the largest modulus, and isolated ones to about its square.
        products: Hessian-vector products after which to stop looking for eigenvalues, default 2000: for the two ends
            together with Lanczos, for each with PyHessian. What has been found by then is returned, not converged.
        probes: Probes of the trace, default 32; 0 for no trace. The dense engine knows the trace without.
        l2: Coefficient c of an L2 penalty ``c/2 |theta|^2`` to include, default 0; it adds c to every eigenvalue.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``. Chunks add up to
            the same Hessian, but for round-off. With more than one, graphs are rebuilt for every product, at 1.5 times
            the cost.
        memory: Memory for graphs in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64`` whatever the network's type; ``None``
            for the network's own. In float32 the Hessian itself is only right to about 1e-6 of its largest eigenvalue.
        seed: Seed of starting vectors and probes.

    Raises:
        ValueError: A name is unknown, a number is out of range, the batch does not fit the network, or the loss is not
            finite.
        ImportError: The engine is not installed.

    Papers: Pearlmutter (1994), Neural Computation 6:147, for the products; Hutchinson (1990), Communications in
    Statistics 19:433, for the trace.

    >>> from tca.losses import MSE
    >>> net = LeakyRNN(1, 4, 2)
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.zeros(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> found = curvature(net, batch, "b_out")                  # the loss is |b_out - target|^2 / 2: curvature one
    >>> round(found.largest.value, 12), round(found.smallest.value, 12), round(found.trace.value, 12)
    (1.0, 1.0, 2.0)
    """
    lookup({**ENGINES, "auto": None}, engine, "engine")
    _check_range("tolerance", tolerance, 0.0, 1.0)
    _check_range("l2", l2, 0.0, math.inf)
    _check_range("memory", memory, 0.0, math.inf)
    _check_whole("products", products, 1)
    _check_whole("probes", probes, 0)
    if probes == 1:
        raise ValueError("probes must be 0, or at least 2 to have a standard error, got 1")

    hessian, chosen, batch = hessian_of(net, trials, parameters, l2=l2, chunk=chunk, memory=memory, dtype=dtype)
    if engine == "auto":
        engine = "dense" if hessian.size <= AUTO_DENSE else "lanczos"
    ends = ENGINES[engine](hessian, tolerance, products, seed)

    def judged(pair: Pair) -> Eigenvalue:
        return Eigenvalue(pair.value, pair.residual, pair.residual <= tolerance * ends.magnitude)

    largest, smallest = judged(ends.largest), judged(ends.smallest)
    return Curvature(
        largest=largest,
        smallest=smallest,
        largest_magnitude=max(largest, smallest, key=lambda each: abs(each.value)),
        trace=_trace(hessian, probes, seed) if ends.trace is None else Trace(ends.trace, 0.0, 0),
        parameters=chosen.names,
        count=hessian.size,
        trials=batch.trials,
        steps=batch.steps,
        data=_fingerprint(batch),
        loss=hessian.loss,
        gradient_norm=hessian.gradient.norm().item(),
        l2=l2,
        engine=engine,
        dtype=str(hessian.theta.dtype).removeprefix("torch."),
        tolerance=tolerance,
    )


def hessian_of(
    net: LeakyRNN,
    trials: Trials | Batch,
    parameters: str | Sequence[str] = "w_rec",
    *,
    l2: float = 0.0,
    chunk: int | None = None,
    memory: float = 2048.0,
    dtype: torch.dtype | None = torch.float64,
) -> tuple[Hessian, Parameters, Batch]:
    """Return the Hessian of the loss as an operator, the parameters that it acts on, and the trials as one batch.

    Args:
        net: The network; it is copied.
        trials: A fixed set of trials, or a batch.
        parameters: Name of a parameter, several names, or ``"all"``; default the recurrent weights.
        l2: Coefficient of an L2 penalty, default 0.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for graphs in MB, default 2048.
        dtype: Type in which derivatives are computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A name is unknown, the batch does not fit the network, or the loss is not finite.

    >>> from tca.losses import MSE
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.zeros(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> hessian, chosen, _ = hessian_of(LeakyRNN(1, 4, 2), batch, "b_out")
    >>> hessian.product(torch.tensor([1.0, 2.0])).tolist(), chosen.names
    ([1.0, 2.0], ('b_out',))
    """
    original = trials if isinstance(trials, Batch) else trials.batch()
    original.check(net.n_in, net.n_out)
    net = copy.deepcopy(net).to(dtype=dtype).eval()
    chosen = choose(net, parameters)
    flat = chosen.flat()
    batch = original.to(flat.device, flat.dtype)
    if chunk is None:
        per_trial = TENSORS_A_STEP * batch.steps * net.n_rec * flat.element_size()
        chunk = max(1, int(memory * 1e6 / per_trial))
    _check_whole("chunk", chunk, 1)

    def loss_of(part: Batch) -> Callable[[Tensor], Tensor]:
        def loss(theta: Tensor) -> Tensor:
            outputs = net.functional(chosen.unflatten(theta), part.inputs)
            return part.loss.mean(outputs, part.targets, part.weights) * (part.trials / batch.trials)

        return loss

    parts = [batch.select(slice(start, start + chunk)) for start in range(0, batch.trials, chunk)]
    return Hessian([loss_of(part) for part in parts], flat, l2=l2, keep_graph=len(parts) == 1), chosen, original


def _trace(hessian: Hessian, probes: int, seed: int) -> Trace | None:
    if not probes:
        return None
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(probes):
        signs = torch.randint(0, 2, (hessian.size,), generator=generator).mul_(2).sub_(1).to(torch.float64)
        draws.append((signs @ hessian.product(signs).to(signs)).item())
    values = torch.tensor(draws, dtype=torch.float64)
    return Trace(values.mean().item(), (values.std() / math.sqrt(probes)).item(), probes)


def _fingerprint(batch: Batch) -> str:
    digest = hashlib.sha256()
    for part in (batch.inputs, batch.targets, batch.weights):
        digest.update(f"{part.dtype} {tuple(part.shape)} ".encode())
        digest.update(part.detach().to("cpu").contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _check_range(name: str, value: float, above: float, below: float) -> None:
    if not above <= value < below:
        raise ValueError(f"{name} must be at least {above:g} and below {below:g}, got {value!r}")


def _check_whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
