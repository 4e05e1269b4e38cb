"""Where a learning rule can rest: the eigenvalues of its update map at a minimum, and its critical learning rate.

Shapes: N outputs that have a weight, P parameters.

Near a minimum without error a rule that is linear in the error, ``theta <- theta - eta Jh^T s``, acts as
``I - eta Jh^T S J`` with the Jacobian J of the outputs and the second derivative S of the loss by them; backpropagation
has ``Jh = J``. Its eigenvalues other than 1 are ``1 - eta mu`` with those, mu, of the N x N matrix ``R J Jh^T R^T``,
``S = R^T R``, since AB and BA share their nonzero eigenvalues.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.alignment import Match
from analysis.curvature.network_operators import rule_field
from analysis.curvature.problem import problem_of
from analysis.fixed_data import Trials
from analysis.learners import Rules, named
from analysis.stability.jacobians import output_jacobian, root_metric, rule_jacobian, scores
from tca.batch import Batch
from tca.nets import Network
from tca.utils.checks import Seed, checked
from tca.utils.names import lookup
from tca.utils.tables import Tabular, columns_of

__all__ = ["RuleStability", "Stability", "critical_rate", "critical_rates", "stability"]

NEGLIGIBLE = 1e-10  # eigenvalues below this fraction of the largest modulus are round-off of zero


@dataclass(frozen=True, eq=False)
class RuleStability:
    """A rule's update map at a place.

    Attributes:
        name: Name of the rule.
        eigenvalues: The mu of the map's eigenvalues ``1 - eta mu``, complex, falling by real part, shape ``(N,)``; all
            other eigenvalues of the map are 1, along the minima.
        rho: ``v . Jh^T S J v / lambda_1`` with the eigenvector v of the largest curvature ``lambda_1``: the rule's step
            relative to the gradient's there. With one output it is ``<gh, g> / |g|^2`` for every error. NaN where
            the largest curvature occurs more than once and the number depends on the vector taken.
        gradient_rho: ``<gh, g> / |g|^2`` of the present gradients; NaN where the true one is zero.
        critical_rate: Learning rate below which the place attracts and above which it repels; 0 if at no rate it
            attracts, infinity without motion.
    """

    name: str
    eigenvalues: Tensor
    rho: float
    gradient_rho: float
    critical_rate: float

    def map_eigenvalues(self, rate: float) -> Tensor:
        """Return the eigenvalues of the update map other than 1, ``1 - eta mu``, complex, shape ``(N,)``."""
        return 1 - rate * self.eigenvalues


@dataclass(frozen=True, eq=False)
class Stability(Tabular):
    """Result of `stability`.

    Attributes:
        rules: One entry per rule, in the order asked for.
        eigenvalues: Nonzero curvatures ``eig(R J J^T R^T)``, falling, shape ``(N,)``: those of the Gauss-Newton matrix,
            which is the Hessian where there is no error.
        error: Largest derivative of the loss by an output; the result is exact where it is zero.
        parameters: Names of the parameters.
    """

    rules: tuple[RuleStability, ...]
    eigenvalues: Tensor
    error: float
    parameters: tuple[str, ...]

    def _columns(self) -> dict[str, Any]:
        """Return a row for each rule."""
        names = ("rho", "gradient_rho", "critical_rate")
        return columns_of(
            {"rule": each.name, "largest_real_mu": each.eigenvalues.real.max().item()}
            | {name: getattr(each, name) for name in names}
            for each in self.rules
        )

    @property
    def largest(self) -> float:
        """The largest curvature ``lambda_1``."""
        return self.eigenvalues[0].item()

    def __getitem__(self, name: str) -> RuleStability:
        """Return the entry of a rule.

        Raises:
            ValueError: There is none.
        """
        return lookup({each.name: each for each in self.rules}, name, "rule")

    def bound(self, name: str, rate: float) -> float:
        """Return ``2 / (eta rho)``, the largest curvature at which a rule can rest.

        Infinity if rho is not positive, NaN if it is not determined.

        It is exact for a single output and an estimate for more: compare it with ``largest``, and the rate with the
        rule's critical one.
        """
        pull = rate * self[name].rho
        return 2 / pull if pull > 0 else math.nan if math.isnan(pull) else math.inf

    def __str__(self) -> str:
        head = f"{'rule':<16}{'rho':>9}{'max Re mu':>12}{'critical rate':>15}"
        rows = [
            f"{each.name:<16}{each.rho:>9.4f}{each.eigenvalues.real.max().item():>12.5g}{each.critical_rate:>15.5g}"
            for each in self.rules
        ]
        last = f"lambda_1 {self.largest:.6g}, largest error {self.error:.1e}, parameters {', '.join(self.parameters)}"
        return "\n".join([head, *rows, last])


@checked
@torch.inference_mode(False)
def stability(
    net: Network,
    trials: Trials | Batch,
    rules: Rules,
    parameters: str | Sequence[str] | None = None,
    *,
    seed: Seed = 0,
) -> Stability:
    """Return at which learning rates each rule can rest where the network is.

    At a minimum without error a map with eigenvalues ``1 - eta mu`` attracts if ``|1 - eta mu| < 1`` for all of them
    but those that are zero: ``eta < min 2 Re mu / |mu|^2``, and at no rate if a real part is negative. With a single
    output number there is one mu, ``rho lambda_1``, so that backpropagation rests where ``lambda_1 < 2 / eta`` and an
    approximate rule where ``lambda_1 < 2 / (eta rho)``: for ``0 < rho < 1`` at minima that are sharper by ``1 / rho``.
    That is a matter of step length: backpropagation with the rate ``rho eta`` has the same bound. With more outputs
    rho, along the direction of largest curvature, predicts ``max Re mu / lambda_1`` but does not bound it.

    Away from such a minimum the terms that the errors add are left out; ``update_jacobian`` has them. For cross-entropy
    S vanishes with the error, so that rules must be compared at equal loss.

    All is done in float64 on a copy. Adaptive feedback is held as it is.

    Args:
        trials: A fixed set of trials, or a batch, with at most 2,000 outputs that have a weight.
        rules: Rules by name, as ``Rule``, or as a ``Learner`` of this network; one by itself is allowed. Each must be
            linear in the error.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        seed: Seed of the feedback that rules draw, default 0.

    Raises:
        ValueError: A name is unknown, a rule is not linear in the error, a learner belongs to another network, the
            batch does not fit, or it has too many outputs.
        TypeError: The trials are no fixed set.

    Paper: Liu, Ghosh, Richards, Shea-Brown and Lajoie (2022), Beyond accuracy: generalization properties of
    bio-plausible temporal credit assignment rules, arXiv:2206.00823.

    >>> from tca.nets import LeakyRNN
    >>> from analysis.stability.gauss_newton_minimum import minimum
    >>> from tca.losses import MSE
    >>> batch = Batch(torch.ones(4, 1, 1), torch.full((4, 1, 1), 0.25), torch.eye(4)[3:].t(), MSE())
    >>> result = stability(minimum(LeakyRNN(1, 4, 1), batch), batch, ["bptt", "eprop"])
    >>> [round(each.critical_rate * each.rho * result.largest, 12) for each in result.rules]
    [2.0, 2.0]
    """
    learners = named(net, rules, seed)
    problem = problem_of(net, trials, parameters)
    root, score = root_metric(problem), scores(problem, problem.theta)
    plain = output_jacobian(problem)
    curvatures, directions = torch.linalg.eigh(root @ plain @ plain.mT @ root.mT)
    largest, true = curvatures[-1], score @ plain
    top = directions[:, curvatures >= largest - NEGLIGIBLE * largest.abs()]
    entries = []
    for name, learner in learners.items():
        back = rule_jacobian(problem, learner)
        product = root @ plain @ back.mT @ root.mT
        values = torch.linalg.eigvals(product).cpu()
        entries.append(
            RuleStability(
                name=name,
                eigenvalues=values[values.real.argsort(descending=True)],
                rho=_along(product, top) / largest.item() if largest > 0 else math.nan,
                gradient_rho=Match.of(rule_field(problem, learner)(problem.theta), true).rho,
                critical_rate=critical_rate(values),
            )
        )
    return Stability(tuple(entries), curvatures.flip(0).cpu(), score.abs().max().item(), problem.parameters.names)


def _along(product: Tensor, vectors: Tensor) -> float:
    """Return ``v . A v`` of any unit vector v in a space, given by columns; NaN if it depends on the vector."""
    forms = vectors.mT @ product @ vectors
    values = torch.linalg.eigvalsh((forms + forms.mT) / 2)
    alike = values[-1] - values[0] <= NEGLIGIBLE * product.norm()
    return values.mean().item() if alike else math.nan


def critical_rates(eigenvalues: Tensor) -> Tensor:
    """Return for each mu the learning rate at which ``|1 - eta mu|`` reaches one, ``2 Re mu / |mu|^2``, same shape.

    Infinity for those mu that are zero to round-off; not positive where no rate is small enough.

    Args:
        eigenvalues: The mu, real or complex, shape ``(N,)``.

    >>> critical_rates(torch.tensor([4.0, -1.0, 0.0])).tolist()
    [0.5, -2.0, inf]
    """
    moduli = eigenvalues.abs()
    moving = moduli > NEGLIGIBLE * moduli.max()
    return torch.where(moving, 2 * eigenvalues.real / moduli.square(), math.inf)


def critical_rate(eigenvalues: Tensor) -> float:
    """Return the learning rate at which a map with eigenvalues ``1 - eta mu`` stops attracting; 0 if none attracts.

    Args:
        eigenvalues: The mu, real or complex, shape ``(N,)``.

    >>> critical_rate(torch.tensor([2.0, 4.0])), critical_rate(torch.tensor([1.0, -0.1]))
    (0.5, 0.0)
    """
    return max(0.0, critical_rates(eigenvalues).min().item())
