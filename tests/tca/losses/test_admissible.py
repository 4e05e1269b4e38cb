"""Whose score has zero mean where the loss is smallest, and whose has not: sums over all targets, no samples.

Shapes: n possible targets, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from tca.losses import (
    LOSSES,
    MSE,
    Admissibility,
    CrossEntropy,
    ExponentialFamily,
    GaussianNLL,
    Likelihood,
    Logistic,
    Loss,
    Poisson,
    families,
)
from tests.support.draws import every_target, expected

P = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2], dtype=torch.float64)  # five classes
CHANCES = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
VALUES = torch.tensor([[0.5, 2.0], [1.0, 0.1], [4.0, 0.7]], dtype=torch.float64)  # three targets of two numbers
MEAN = CHANCES @ VALUES
MIXTURES = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.3, 0.6, 0.1]], dtype=torch.float64)
ANSWERS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Given:
    """What may follow one input: targets ``(n, ...)``, their probabilities, and the best outputs ``(O,)`` for them."""

    targets: Tensor
    chances: Tensor
    best: Tensor

    def mean_value(self, loss: Loss, outputs: Tensor) -> Tensor:
        return expected(loss.value(*self._trials(outputs)), self.chances)

    def mean_score(self, loss: Loss, outputs: Tensor) -> Tensor:
        return expected(loss.output_error(*self._trials(outputs)), self.chances)

    def _trials(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.expand(len(self.chances), 1, -1), self.targets.unsqueeze(1)


def focal_optimum() -> Tensor:
    """Found from values alone, by a simplex; the last logit is held at zero, as adding a number to all does nothing."""

    def mean_value(free: np.ndarray[Any, Any]) -> float:
        p = np.exp(np.append(free, 0.0))
        p /= p.sum()
        return float((-P.numpy() * (1 - p) ** 2 * np.log(p)).sum())

    options = {"xatol": 1e-10, "fatol": 1e-16, "maxfev": 9999}
    found = minimize(mean_value, np.zeros(4), method="Nelder-Mead", options=options)
    return torch.from_numpy(np.append(found.x, 0.0))


CLASSES = torch.arange(5)
BEST: dict[str, Callable[[], Given]] = {
    "mse": lambda: Given(VALUES, CHANCES, MEAN),
    "cross_entropy": lambda: Given(CLASSES, P, P.log()),
    "logistic": lambda: Given(ANSWERS, CHANCES, (CHANCES @ ANSWERS).logit()),
    "smoothed_cross_entropy": lambda: Given(CLASSES, P, (0.9 * P + 0.02).log()),
    "focal": lambda: Given(CLASSES, P, focal_optimum()),
    "brier": lambda: Given(CLASSES, P, P.log()),
    "kullback_leibler": lambda: Given(MIXTURES, CHANCES, (CHANCES @ MIXTURES).log()),
    "itakura_saito": lambda: Given(VALUES, CHANCES, MEAN.log()),
    "poisson": lambda: Given(VALUES, CHANCES, MEAN.log()),
    "gamma": lambda: Given(VALUES, CHANCES, MEAN.log()),
    "gaussian_nll": lambda: Given(VALUES, CHANCES, torch.cat([MEAN, (CHANCES @ (VALUES - MEAN).square()).log()])),
    "hinge": lambda: Given(torch.arange(2), P.new_tensor([0.7, 0.3]), P.new_tensor([0.5, -0.5])),
    "absolute_error": lambda: Given(VALUES, CHANCES, VALUES[[1, 2], [0, 1]]),
}
"""Targets of any distribution at all, not only of the one that a loss has in mind, and where it is smallest."""

MODELS: list[tuple[Likelihood, list[float]]] = [
    (MSE(), [0.3, -1.2]),
    (CrossEntropy(), [0.1, -1.0, 2.0, 0.5, -0.3]),
    (Logistic(), [0.1, -1.0, 2.0, 0.5, -0.3]),
    (Poisson(), [-0.5, 2.3]),
    (GaussianNLL(), [0.3, -1.2, 0.8, -1.5]),
    (ExponentialFamily(families.BernoulliFamily()), [0.4, -2.0]),
    (ExponentialFamily(families.CategoricalFamily()), [0.1, -1.0, 2.0]),
    (ExponentialFamily(families.PoissonFamily()), [-0.5, 2.3]),
    (ExponentialFamily(families.GaussianFamily(2.5)), [0.3, -1.2]),
    (ExponentialFamily(families.GammaFamily()), [0.7, -0.4]),
    (ExponentialFamily(families.GammaFamily(3.5)), [0.7, -0.4]),
]
each_loss = pytest.mark.parametrize("name", LOSSES)
each_model = pytest.mark.parametrize(("loss", "outputs"), MODELS, ids=[repr(loss) for loss, _ in MODELS])


def under_the_model(loss: Likelihood, outputs: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Return outputs ``(n, 1, O)``, every score ``(n, 1, O)`` and its probability."""
    z = torch.tensor(outputs, dtype=torch.float64)
    targets, chances = every_target(loss, z)
    repeated = z.expand(len(chances), 1, -1)
    return repeated, loss.output_error(repeated, targets), chances


def test_every_loss_has_its_best_outputs() -> None:
    """No loss enters the table without saying here where it is smallest."""
    assert set(BEST) == set(LOSSES)


@each_loss
def test_the_best_outputs_are_the_best(name: str) -> None:
    """No step of any size in any direction lowers the mean loss, and some raise it."""
    loss, given = LOSSES[name], BEST[name]()
    steps = torch.randn(300, len(given.best), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    least = given.mean_value(loss, given.best)
    others = torch.stack([given.mean_value(loss, given.best + size * step) for size in (1e-2, 1.0) for step in steps])
    assert (others >= least - 1e-12).all()
    assert others.max() > least + 0.1


@each_loss
def test_admissible_scores_have_zero_mean_at_the_best_outputs(name: str) -> None:
    """What a loss says of itself is so: zero mean there if it is admissible, more than a hundredth if not."""
    loss, given = LOSSES[name], BEST[name]()
    error = given.mean_score(loss, given.best).abs().max()
    assert error < (1e-6 if name == "focal" else 1e-10) if loss.admissibility else error > 1e-2
    assert given.mean_score(loss, given.best + torch.linspace(0.5, 1.0, len(given.best))).abs().max() > 1e-2


@each_loss
def test_losses_are_refused_with_their_reason(name: str) -> None:
    """Those that are not admissible raise, with the reason; all have one."""
    loss = LOSSES[name]
    assert len(loss.admissibility.reason) > 20
    assert bool(loss.admissibility) == (name not in ("hinge", "absolute_error"))
    if loss.admissibility:
        loss.require_admissible()
    else:
        with pytest.raises(ValueError, match=r"\w+\(.*\) cannot be used where activity and score .* kink"):
            loss.require_admissible()


def test_a_loss_that_says_nothing_is_refused() -> None:
    """Being admissible is never taken for granted."""

    class Silent(Loss):
        def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.sum(-1)

        def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return torch.ones_like(outputs)

        def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
            pass

    assert not Silent().admissibility
    with pytest.raises(ValueError, match="its admissibility is not declared"):
        Silent().require_admissible()
    assert Admissibility(True, "of a reason")


def test_absolute_errors_of_targets_without_atoms_have_zero_mean() -> None:
    """The reason is the atoms: with targets spread evenly about the output, the mean sign is zero."""
    targets = torch.linspace(-1, 1, 1000, dtype=torch.float64).view(-1, 1, 1)
    assert abs(LOSSES["absolute_error"].output_error(torch.zeros_like(targets), targets).mean()) < 1e-10


def test_scores_by_probabilities_have_no_zero_mean() -> None:
    """Differentiated by the probabilities instead of the logits, the log loss has the mean -1 in every component."""
    p = P.clone().requires_grad_()
    scores = torch.stack([torch.autograd.grad(-p[drawn].log(), p)[0] for drawn in range(5)])
    assert (P @ scores + 1).abs().max() < 1e-15
    brier = torch.stack([2 * (P - torch.eye(5).double()[drawn]) for drawn in range(5)])
    assert (P @ brier).abs().max() < 1e-15, "that of the Brier score happens to be fine"


@each_model
def test_scores_have_zero_mean_under_the_model(loss: Likelihood, outputs: list[float]) -> None:
    """First Bartlett identity."""
    _, scores, chances = under_the_model(loss, outputs)
    assert expected(scores, chances).abs().max() < 1e-10
    assert expected(scores.abs(), chances).min() > 0.05


@each_model
def test_covariances_of_scores(loss: Likelihood, outputs: list[float]) -> None:
    """They are the means of products of scores, and, second Bartlett identity, the mean second derivative."""
    repeated, scores, chances = under_the_model(loss, outputs)
    covariance = expected(scores.unsqueeze(-1) * scores.unsqueeze(-2), chances)
    assert (loss.score_covariance(repeated[0, 0]) - covariance).abs().max() < 1e-10
    z = repeated[0, 0].clone()
    targets = every_target(loss, z)[0]

    def mean_value(y: Tensor) -> Tensor:
        return expected(loss.value(y.expand_as(repeated), targets), chances)

    hessian = torch.autograd.functional.hessian(mean_value, z)
    assert (hessian - covariance).abs().max() < 1e-10


@each_model
@pytest.mark.parametrize("order", [2, 3, 4])
def test_moments_of_scores(loss: Likelihood, outputs: list[float], order: int) -> None:
    """They are the means of powers of scores."""
    repeated, scores, chances = under_the_model(loss, outputs)
    wanted = expected(scores**order, chances)
    found = loss.score_moment(repeated[0, 0], order)
    assert (found - wanted).abs().max() < 1e-10 * max(1.0, wanted.abs().max())
    with pytest.raises(ValueError, match="order must be 2, 3 or 4, got 5"):
        loss.score_moment(repeated[0, 0], 5)


@each_model
def test_likelihoods_are_log_densities(loss: Likelihood, outputs: list[float]) -> None:
    """From one output to another the loss changes as minus the log density; the rest is a matter of targets."""
    here = torch.tensor(outputs, dtype=torch.float64)
    there = here + torch.linspace(-0.5, 0.7, len(here))
    family = loss.family if isinstance(loss, ExponentialFamily) else loss
    density = DENSITIES[type(family)]
    targets, _ = every_target(loss, here)
    targets = targets[:: max(1, len(targets) // 50)]

    def value(z: Tensor) -> Tensor:
        return loss.value(z.expand(len(targets), 1, -1), targets)

    wanted = density(family, there, targets) - density(family, here, targets)
    assert (value(here) - value(there) - wanted).abs().max() < 1e-10 * max(1.0, wanted.abs().max())


def _summed(made: Callable[[Any, Tensor], torch.distributions.Distribution]) -> Callable[[Any, Tensor, Tensor], Tensor]:
    return lambda family, z, targets: made(family, z).log_prob(targets).sum(-1)


_normal = torch.distributions.Normal
_answers = _summed(lambda family, z: torch.distributions.Bernoulli(logits=z))
_counts = _summed(lambda family, z: torch.distributions.Poisson(z.exp()))
DENSITIES: dict[type, Callable[[Any, Tensor, Tensor], Tensor]] = {
    MSE: _summed(lambda family, z: _normal(z, 1.0)),
    Logistic: _answers,
    Poisson: _counts,
    GaussianNLL: _summed(lambda family, z: _normal(z.chunk(2)[0], (z.chunk(2)[1] / 2).exp())),
    families.BernoulliFamily: _answers,
    families.PoissonFamily: _counts,
    families.GaussianFamily: _summed(lambda family, z: _normal(family.variance * z, math.sqrt(family.variance))),
    families.GammaFamily: _summed(lambda family, z: torch.distributions.Gamma(family.shape, (-z).exp())),
    **{
        each: lambda family, z, targets: torch.distributions.Categorical(logits=z).log_prob(targets)
        for each in (CrossEntropy, families.CategoricalFamily)
    },
}
