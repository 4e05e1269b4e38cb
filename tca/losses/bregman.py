"""Bregman divergences as losses, of the outputs themselves or through a link.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from tca.losses.admissibility import Admissibility
from tca.losses.generators import Generator
from tca.losses.links import LINKS, Link
from tca.losses.loss import Loss
from tca.losses.targets import check_real
from tca.utils.checks import checked

__all__ = ["Bregman"]


@checked
@dataclass(frozen=True)
class Bregman(Loss):
    """The divergence of targets from predictions, ``l = F(target) - F(r) - grad F(r).(target - r)`` with ``r = r(y)``.

    Its score is ``J^T Hess F(r) (r - target)`` with ``J = dr/dy``. With the identity as link the outputs are the
    predictions and the score is ``Hess F(y) (y - target)``; with the matched link, the inverse of ``grad F``, it is
    ``r - target``. Whatever F, the conditional mean of the target is the best prediction. Targets are real, where F is
    finite and where the link can take their mean, shape ``(T, B, O)``.

    Banerjee, Guo and Wang (2005), On the optimality of conditional expectation as a Bregman predictor, IEEE
    Transactions on Information Theory 51:2664-2669.

    Args:
        generator: The convex function F, one of `tca.losses.generators`.
        link: The link r, one of `tca.losses.links`; by default the one that matches F.

    Raises:
        ValueError: F has no matched link that takes all real outputs, and none was given.
        TypeError: The predictions of the link are not where F is defined.

    >>> import torch
    >>> from tca.losses import generators, links
    >>> targets = torch.tensor([[[0.25, 0.75]]])
    >>> Bregman(generators.NegativeEntropy(), links.Softmax()).score(torch.zeros(1, 1, 2), targets).tolist()
    [[[0.25, -0.25]]]
    >>> Bregman(generators.ExponentialSum(), links.Identity()).score(torch.zeros(1, 1, 2), targets).tolist()
    [[[-0.25, -0.75]]]
    """

    generator: Generator[Any]
    link: Link | None = None
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "it is smallest where the prediction is the conditional mean of the target"
    )

    def __post_init__(self) -> None:
        """Find the matched link if none was given, and check that F takes what the link gives."""
        name = type(self.generator).__name__
        if self.link is None:
            if self.generator.matched is None:
                raise ValueError(f"{name} has no matched link that takes all real outputs; link must be given")
            object.__setattr__(self, "link", self.generator.matched)
        elif not isinstance(self.link, self.generator.links):
            allowed = ", ".join(repr(each) for each in LINKS if isinstance(each, self.generator.links))
            raise TypeError(f"link must be one of {allowed} for {name} to be defined, got {self.link!r}")

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``."""
        return self.generator.divergence(targets, outputs, self.link)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``J^T Hess F(r) (r - targets)``."""
        return self.generator.score(targets, outputs, self.link)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` are finite, F is finite there, and their mean is a possible prediction."""
        check_real(outputs_shape, targets)
        name = f"Bregman with {self.generator!r} and {self.link!r}"
        self.generator.check(name, targets)
        if self.link is not None:
            self.link.check(name, targets)
