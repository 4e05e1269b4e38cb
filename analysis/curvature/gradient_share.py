"""The part of a gradient, or of a rule's update, in the top eigenspace of the Hessian.

Shapes: P parameters, k eigenvectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from analysis.curvature.network_operators import hessian
from analysis.curvature.problem import Trials, problem_of
from analysis.curvature.spectrum import spectrum
from tca.batch import Batch
from tca.nets import Network
from tca.utils.checks import Count, Kept, Seed, checked

__all__ = ["GradientShare", "gradient_share"]


@dataclass(frozen=True, eq=False)
class GradientShare:
    """The result of ``gradient_share``.

    Attributes:
        shares: ``(v_i . g)^2 / |g|^2`` of the eigenvectors, float64, shape ``(k,)``.
        eigenvalues: The eigenvalues, falling.
        chance: ``k / P``, the share of a random direction.
    """

    shares: Tensor
    eigenvalues: tuple[float, ...]
    chance: float

    @property
    def share(self) -> float:
        """Share of the squared length of the gradient in the space of the k eigenvectors, 0 to 1."""
        return float(self.shares.sum())

    @property
    def participation_ratio(self) -> float:
        """``(sum_i c_i)^2 / sum_i c_i^2`` of the shares c: over how many of the eigenvectors the share is spread."""
        return float(self.shares.sum().square() / self.shares.square().sum()) if self.share else 0.0


@checked
def gradient_share(
    net: Network,
    trials: Trials | Batch,
    k: Count = 10,
    parameters: str | Sequence[str] | None = None,
    *,
    update: Mapping[str, Tensor] | None = None,
    tolerance: Kept = 1e-6,
    seed: Seed = 0,
) -> GradientShare:
    """Return which part of the gradient lies in the space of the top k eigenvectors of the Hessian.

    ``|V^T g|^2 / |g|^2``, V the eigenvectors of the k largest algebraic eigenvalues. In gradient descent the share is
    often near one while k is the number of classes; updates of approximate rules may have another.

    Args:
        net: The network.
        trials: A fixed set of trials, or a batch.
        k: Number of eigenvectors, default 10.
        parameters: Names as in `curvature`; default the recurrent weights of a recurrent network.
        update: An update by parameter name instead of the gradient, such as ``learner.grads(batch)[0]``.
        tolerance: Residual of eigenvectors to reach, as in `spectrum`, default 1e-6.
        seed: Seed of starting vectors, default 0.

    Raises:
        ValueError: The gradient is zero, eigenvectors have not converged, or an argument does not fit.

    Paper: Gur-Ari, Roberts and Dyer (2018), arXiv:1812.04754.

    >>> import torch
    >>> from tca.losses import MSE
    >>> from tca.nets import wrap
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 1.0]]))
    >>> batch = Batch(torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]), torch.zeros(1, 2, 1), torch.ones(1, 2), MSE())
    >>> round(gradient_share(wrap(model), batch, 1, "all").share, 12) == round(16 / 17, 12)  # H = diag(4, 1) / 2
    True
    """
    problem = problem_of(net, trials, parameters)
    curved = hessian(problem)
    if k > curved.size:
        raise ValueError(f"k must be at most the number of parameters, {curved.size}, got {k}")
    direction = curved.gradient if update is None else problem.parameters.gather(update)
    direction = direction.detach().double().cpu()
    if not direction.any():
        raise ValueError(f"{'the gradient' if update is None else 'update'} must not be zero: it has no direction")
    found = spectrum(curved, k, tolerance=tolerance, seed=seed)
    if not all(each.converged for each in found.largest):
        raise ValueError(f"eigenvectors of the Hessian must converge, to a residual of {tolerance:g}: raise tolerance")
    shares = (found.largest_vectors.mT @ direction).square() / direction.square().sum()
    return GradientShare(shares, tuple(each.value for each in found.largest), k / curved.size)
