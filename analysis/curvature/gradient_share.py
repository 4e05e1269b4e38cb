"""The part of a gradient, or of a rule's update, in the top eigenspace of the Hessian.

Shapes: P parameters, k eigenvectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.curvature.network_operators import hessian
from analysis.curvature.problem import problem_of
from analysis.curvature.spectrum import spectrum
from analysis.fixed_data import Data
from analysis.samples import Criterion
from tca.utils.checks import Count, Kept, Seed, checked
from tca.utils.tables import Tabular

__all__ = ["GradientShare", "gradient_share"]


@dataclass(frozen=True, eq=False)
class GradientShare(Tabular):
    """The result of ``gradient_share``.

    Attributes:
        shares: ``(v_i . g)^2 / |g|^2`` of the eigenvectors, float64, shape ``(k,)``.
        eigenvalues: The eigenvalues, falling.
        chance: ``k / P``, the share of a random direction.
    """

    shares: Tensor
    eigenvalues: tuple[float, ...]
    chance: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each eigenvector."""
        return {"eigenvalue": self.eigenvalues, "share": self.shares}

    @property
    def share(self) -> float:
        """Share of the squared length of the gradient in the space of the k eigenvectors, 0 to 1."""
        return float(self.shares.sum())

    @property
    def participation_ratio(self) -> float:
        """``(sum_i c_i)^2 / sum_i c_i^2`` of the shares c: over how many of the eigenvectors the share is spread."""
        return float(self.shares.sum().square() / self.shares.square().sum()) if self.share else 0.0


@checked
@torch.inference_mode(False)
def gradient_share(
    net: nn.Module,
    trials: Data,
    k: Count = 10,
    parameters: str | Sequence[str] | None = None,
    *,
    loss: Criterion | None = None,
    update: Mapping[str, Tensor] | None = None,
    tolerance: Kept = 1e-6,
    seed: Seed = 0,
) -> GradientShare:
    """Return which part of the gradient lies in the space of the top k eigenvectors of the Hessian.

    ``|V^T g|^2 / |g|^2``, V the eigenvectors of the k largest algebraic eigenvalues. In gradient descent the share is
    often near one while k is the number of classes; updates of approximate rules may have another.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: Trials or samples, as in `curvature`.
        k: Number of eigenvectors, default 10.
        parameters: Names, as in `curvature`.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        update: An update by parameter name instead of the gradient, such as ``learner.grads(batch)[0]``.
        tolerance: Residual of eigenvectors to reach, as in `spectrum`, default 1e-6.
        seed: Seed of starting vectors, default 0.

    Raises:
        ValueError: The gradient is zero, eigenvectors have not converged, or an argument does not fit.

    Paper: Gur-Ari, Roberts and Dyer (2018), arXiv:1812.04754.

    >>> import torch
    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 1.0]]))
    >>> data = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> found = gradient_share(model, data, 1, "all", loss=nn.MSELoss())  # H = diag(4, 1), g = (4, 1)
    >>> round(found.share, 12) == round(16 / 17, 12)
    True
    """
    problem = problem_of(net, trials, parameters, loss=loss)
    curved = hessian(problem)
    if k > curved.size:
        raise ValueError(f"k must be at most the number of parameters, {curved.size}, got {k}")
    direction = curved.gradient if update is None else problem.parameters.gather(update)
    direction = direction.detach().double().cpu()
    if not direction.any():
        raise ValueError(f"{'the gradient' if update is None else 'update'} must not be zero: it has no direction")
    found = spectrum(curved, k=k, tolerance=tolerance, seed=seed)
    if not all(each.converged for each in found.largest):
        raise ValueError(f"eigenvectors of the Hessian must converge, to a residual of {tolerance:g}: raise tolerance")
    shares = (found.largest_vectors.mT @ direction).square() / direction.square().sum()
    return GradientShare(shares, tuple(each.value for each in found.largest), k / curved.size)
