"""Curvature of the loss: both ends of the spectrum of its Hessian, and its trace.

Shapes: T time, B batch, I inputs, O outputs, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import nn

from analysis.curvature.network_operators import hessian
from analysis.curvature.problem import problem_of
from analysis.curvature.spectrum import Eigenvalue, spectrum
from analysis.curvature.trace import ESTIMATORS, TraceEstimate, trace
from analysis.fixed_data import Data, fingerprint
from analysis.samples import Criterion
from tca.batch import Batch
from tca.utils.checks import Count, DType, Named, NotNegative, Positive, Seed, Whole, checked
from tca.utils.tables import Tabular

__all__ = ["Curvature", "curvature"]


@dataclass(frozen=True)
class Curvature(Tabular):
    """Result of `curvature`.

    Attributes:
        largest: The largest algebraic eigenvalue.
        smallest: The smallest algebraic eigenvalue.
        largest_magnitude: The one of the two with the larger modulus, sign kept.
        trace: The trace, ``None`` if it was not asked for.
        parameters: Names of the parameters.
        count: Number of parameters P, missing synapses not counted.
        trials: Number of trials B.
        steps: Steps of the longest trial.
        data: The first digits of the SHA-256 of inputs, targets and weights: equal for equal data.
        loss: The loss at this point, with the L2 term if there is one.
        gradient_norm: Norm of its gradient in these parameters: zero at a minimum.
        l2: Coefficient of the L2 term that is included.
        engine: The eigensolver.
        dtype: Type of the numbers in which products were computed.
        tolerance: Relative tolerance of the eigenvalues.
    """

    largest: Eigenvalue
    smallest: Eigenvalue
    largest_magnitude: Eigenvalue
    trace: TraceEstimate | None
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

    def _columns(self) -> dict[str, list[object]]:
        """Return one row: ends of the spectrum, trace with its standard error, data and parameters."""
        trace = self.trace
        values = {
            "largest": self.largest.value,
            "smallest": self.smallest.value,
            "largest_magnitude": self.largest_magnitude.value,
            "converged": self.converged,
            "trace": None if trace is None else trace.value,
            "trace_standard_error": None if trace is None else trace.standard_error,
        }
        values |= {name: getattr(self, name) for name in ("count", "trials", "loss", "gradient_norm", "l2", "data")}
        return {name: [each] for name, each in {**values, "parameters": ", ".join(self.parameters)}.items()}

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


@checked
@torch.inference_mode(False)
def curvature(
    net: nn.Module,
    trials: Data,
    parameters: str | Sequence[str] | None = None,
    *,
    loss: Criterion | None = None,
    engine: str = "auto",
    tolerance: float = 1e-6,
    only_largest: bool = False,
    of_values: bool = False,
    products: Count = 2000,
    probes: Whole = 32,
    estimator: Annotated[str, Named(ESTIMATORS)] = "hutchinson",
    l2: NotNegative = 0.0,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
    seed: Seed = 0,
) -> Curvature:
    """Return both ends of the spectrum of the Hessian of the loss in chosen parameters, and its trace.

    ``H = d2/d theta2 [1/B sum_b sum_t w_tb l_tb + l2/2 |theta|^2]`` at the network's present weights, over all trials
    given, the rest of the network fixed, without noise and without any path cut, for any learning rule.
    Networks that have been trained for different times differ in curvature for that reason alone: compare them at equal
    loss.

    The network, its mode, its gradients and the global generators are left as they are: all is done on a copy.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: A batch or a fixed set of trials; or samples, a pair or a loader of inputs and targets, see ``as_data``.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        engine: ``"lanczos"``; ``"dense"``, for up to 2,000 parameters; ``"pyhessian"``, power iteration, slow and given
            to missing the end of smaller modulus (see ``analysis.curvature.eigensolvers.power_iteration``);
            or ``"auto"`` (default), dense for up to 100 parameters and Lanczos for more.
        tolerance: Residual to reach, relative to the largest modulus of the spectrum, default 1e-6. Eigenvalues are
            right to this fraction of the largest modulus, and isolated ones to about its square: 1e-3 gives six digits
            of an isolated eigenvalue, as the largest one often is, in a fraction of the time.
        only_largest: Whether Lanczos iteration stops when the largest eigenvalue has converged, default ``False``; the
            smallest is then an estimate with its residual.
        of_values: Whether the tolerance is for the errors of the two values, default ``False``. Lanczos iteration then
            stops by the estimate ``residual^2 / gap``, with the gap to the nearest other eigenvalue found, or by the
            residual where that gap is not resolved: six digits of both ends take up to a third fewer products. At
            tolerances above 1e-3 estimates may be several times too small.
        products: Hessian-vector products after which to stop looking for eigenvalues, default 2000: for the two ends
            together with Lanczos, for each with PyHessian. The estimates of then are returned, not converged.
        probes: Probes of the trace, default 32; 0 for no trace. The dense engine computes the trace. With few large
            eigenvalues, as in trained networks, 32 probes may leave a standard error of half the trace, which the
            result shows; ``analysis.trace(operator, rtol=0.05)`` goes on until it is small.
        estimator: How the trace is estimated: ``"hutchinson"`` (default), ``"hutch++"`` or ``"xtrace"``.
        l2: Coefficient c of an L2 penalty ``c/2 |theta|^2`` to include, default 0; it adds c to every eigenvalue.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``. Chunks add up to
            the same Hessian, but for round-off. Values that do not fit into ``memory`` is computed anew for every
            product, at 1.5 times the cost.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64`` for any network; ``None``
            for the network's own. In float32 the Hessian itself is only right to about 1e-6 of its largest eigenvalue.
        seed: Seed of starting vectors and probes.

    Raises:
        ValueError: A name is unknown, a number is out of range, the batch does not fit the network, trials or outputs
            differ from one call to the next, or the loss is not finite.
        TypeError: The trials are no fixed set, such as a stream of fresh ones.

    Paper: Pearlmutter (1994), Neural Computation 6:147, for the products.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> net = LeakyRNN(1, 4, 2)
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.zeros(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> result = curvature(net, batch, "b_out")                  # the loss is |b_out - target|^2 / 2: curvature one
    >>> round(result.largest.value, 12), round(result.smallest.value, 12), round(result.trace.value, 12)
    (1.0, 1.0, 2.0)
    """
    if probes == 1:
        raise ValueError("probes must be 0, or at least 2 to have a standard error, got 1")
    problem = problem_of(net, trials, parameters, loss=loss, chunk=chunk, memory=memory, dtype=dtype)
    operator = hessian(problem, l2=l2)
    ends = spectrum(
        operator,
        k=1,
        engine=engine,
        tolerance=tolerance,
        products=products,
        seed=seed,
        only_largest=only_largest,
        of_values=of_values,
    )
    known = None if ends.trace is None else TraceEstimate(ends.trace, 0.0, 0, "exact")
    estimated = trace(operator, estimator=estimator, probes=probes, seed=seed) if probes and known is None else None
    return Curvature(
        largest=ends.largest[0],
        smallest=ends.smallest[0],
        largest_magnitude=ends.largest_magnitude,
        trace=known or estimated,
        parameters=problem.parameters.names,
        count=operator.size,
        trials=problem.batch.trials,
        steps=int(problem.batch.trial_lengths.max()) if isinstance(problem.batch, Batch) else 1,
        data=fingerprint(problem.batch),
        loss=operator.loss,
        gradient_norm=operator.gradient.norm().item(),
        l2=l2,
        engine=ends.engine,
        dtype=str(operator.theta.dtype).removeprefix("torch."),
        tolerance=tolerance,
    )
