"""Running means and variances of observations and rewards.

Shapes: B environments side by side, I inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tca.utils.numerics import Lasting

__all__ = ["Normaliser", "RunningMoments"]

FLOOR = 1e-8  # added to variances
MOST = 10.0  # largest magnitude of a normalised number


class RunningMoments:
    """Mean and variance over all rows so far, in float64, updated batch by batch.

    Args:
        size: Numbers in a row.

    Paper: Chan, Golub and LeVeque (1983), The American Statistician 37:242.

    >>> moments = RunningMoments(1)
    >>> moments.add(torch.tensor([[1.0], [3.0]]))
    >>> moments.add(torch.tensor([[5.0]]))
    >>> moments.mean.item(), round(moments.variance.item(), 6)
    (3.0, 2.666667)
    """

    def __init__(self, size: int) -> None:
        self.count = 0.0
        self.mean = torch.zeros(size, dtype=torch.float64, device="cpu")
        self.squares = torch.zeros(size, dtype=torch.float64, device="cpu")  # sum of squared distances from the mean

    @property
    def variance(self) -> Tensor:
        """Variance of the rows so far, one before the first."""
        return self.squares / self.count if self.count > 0 else torch.ones_like(self.squares)

    def add(self, rows: Tensor) -> None:
        """Add rows.

        Args:
            rows: Shape ``(n, size)``.
        """
        added = float(len(rows))
        total = self.count + added
        variance, mean = torch.var_mean(rows.double().cpu(), 0, correction=0)
        shift = mean.sub_(self.mean)
        self.squares.add_(variance, alpha=added).addcmul_(shift, shift, value=self.count * added / total)
        self.mean.add_(shift, alpha=added / total)
        self.count = total

    def state(self) -> dict[str, Tensor]:
        """Return the state by name."""
        count = torch.tensor(self.count, dtype=torch.float64, device="cpu")
        return {"count": count, "mean": self.mean.clone(), "squares": self.squares.clone()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a value of ``state``."""
        self.count, self.mean, self.squares = float(state["count"]), state["mean"].clone(), state["squares"].clone()


class Normaliser(Lasting):
    """Observations to mean zero and variance one, rewards to returns of variance one, both within ten.

    A reward is divided by the standard deviation of the discounted sums of the rewards of a trial so far,
    ``R_t = discount R_t-1 + r_t``; its mean stays.

    Args:
        size: Number of inputs; 0 to leave observations as they are.
        environments: Number of environments; 0 to leave rewards as they are.
        discount: Discount of the sums of rewards.
    """

    def __init__(self, size: int, environments: int, discount: float) -> None:
        self.observations = RunningMoments(size) if size else None
        self.returns = RunningMoments(1) if environments else None
        self.discount = discount
        self.sums = torch.zeros(environments, dtype=torch.float64, device="cpu")
        self.learning = True

    def observed(self, observations: Tensor) -> Tensor:
        """Return normalised observations, shape ``(B, I)``, which count while ``learning``."""
        if self.observations is None:
            return observations
        if self.learning:
            self.observations.add(observations)
        return self.shown(observations)

    def shown(self, observations: Tensor) -> Tensor:
        """Return normalised observations, which do not count."""
        if self.observations is None:
            return observations
        scale = self.observations.variance.add_(FLOOR).rsqrt_()
        return (observations.double().cpu() - self.observations.mean).mul_(scale).clamp_(-MOST, MOST)

    def earned(self, rewards: Tensor, ends: Tensor) -> Tensor:
        """Return scaled rewards, shape ``(B,)``.

        Args:
            ends: Whether the trial ended with the reward, boolean, shape ``(B,)``.
        """
        if self.returns is None:
            return rewards
        if self.learning:
            self.sums.mul_(self.discount).add_(rewards)
            self.returns.add(self.sums.unsqueeze(-1))
            self.sums.masked_fill_(ends, 0.0)
        return (rewards * self.returns.variance.add_(FLOOR).rsqrt_()).clamp_(-MOST, MOST)

    def state(self) -> dict[str, Tensor]:
        """Return the state by name."""
        parts = {"observations": self.observations, "returns": self.returns}
        found = {f"{name}.{key}": value for name, part in parts.items() if part for key, value in part.state().items()}
        return found | {"sums": self.sums.clone()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a value of ``state``."""
        for name, part in (("observations", self.observations), ("returns", self.returns)):
            if part:
                part.restore({key: state[f"{name}.{key}"] for key in ("count", "mean", "squares")})
        self.sums = state["sums"].clone()
