"""Bregman divergences as losses, of the outputs or of predictions through a link.

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
from tca.utils.checks import checked
from tca.utils.numerics import check_real

__all__ = ["Bregman"]


@checked
@dataclass(frozen=True)
class Bregman(Loss):
    """The Bregman divergence ``l = F(target) - F(r) - grad F(r).(target - r)`` with predictions ``r = r(y)``.

    The output error is ``J^T Hess F(r) (r - target)`` with ``J = dr/dy``: ``Hess F(y) (y - target)`` for the identity
    link, ``r - target`` for the matched link, the inverse of ``grad F``. For every F the best prediction is the
    conditional mean of the target. Targets are real, shape ``(T, B, O)``, with finite F and a mean in the range of the
    link.

    Banerjee, Guo and Wang (2005), On the optimality of conditional expectation as a Bregman predictor, IEEE
    Transactions on Information Theory 51:2664-2669.

    Args:
        generator: Convex function F, one of `tca.losses.generators`.
        link: Link r, one of `tca.losses.links`; default the one that matches F.

    Raises:
        ValueError: No link is given and F has no matched link defined for all real outputs.
        TypeError: Predictions of the link lie outside the domain of F.

    >>> import torch
    >>> from tca.losses import generators, links
    >>> targets = torch.tensor([[[0.25, 0.75]]])
    >>> Bregman(generators.NegativeEntropy(), links.SoftmaxLink()).output_error(torch.zeros(1, 1, 2), targets).tolist()
    [[[0.25, -0.25]]]
    >>> Bregman(generators.ExponentialSum(), links.IdentityLink()).output_error(torch.zeros(1, 1, 2), targets).tolist()
    [[[-0.25, -0.75]]]
    """

    generator: Generator[Any]
    link: Link | None = None
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum the prediction is the conditional mean of the target"
    )

    def __post_init__(self) -> None:
        name = type(self.generator).__name__
        if self.link is None:
            if self.generator.matched is None:
                raise ValueError(f"{name} has no matched link defined for all real outputs; link must be given")
            object.__setattr__(self, "link", self.generator.matched)
        elif not isinstance(self.link, self.generator.links):
            allowed = ", ".join(repr(each) for each in LINKS if isinstance(each, self.generator.links))
            raise TypeError(f"link must be one of {allowed} for {name} to be defined, got {self.link!r}")

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.generator.divergence(targets, outputs, self.link)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``J^T Hess F(r) (r - targets)``."""
        return self.generator.output_error(targets, outputs, self.link)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are finite and lie in the domain of F and the closed range of the link."""
        check_real(outputs_shape, targets)
        name = f"Bregman with {self.generator!r} and {self.link!r}"
        self.generator.check(name, targets)
        if self.link is not None:
            self.link.check(name, targets)
