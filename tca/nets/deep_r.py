"""Rewiring of sparse weights during learning, at a constant number of synapses: DEEP R.

Shapes: I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from tca.nets.options import drawing
from tca.utils.checks import Made, NotNegative, Seed, checked
from tca.utils.numerics import lasting

__all__ = ["DeepR", "RewiredPopulation", "Rewiring"]

GENERATOR = "rewiring_state"  # buffer with the state of the generator


@checked
@dataclass(frozen=True)
class DeepR:
    """Deep rewiring: synapses whose weight crosses zero are removed, and as many others grow.

    Every pair of cells has a fixed sign: that of the presynaptic cell under Dale's principle, else that of its first
    weight, or a random one. After a step of the optimizer a synapse whose weight has another sign becomes dormant, and
    as many pairs, drawn uniformly from all dormant ones, become synapses of weight zero. Where masks allow no further
    pair (``autapses=False``), none grows.

    Before that, magnitudes shrink by ``shrinkage`` and take a step of a random walk of standard deviation ``noise``
    (`tca.nets.Network.walk_weights_`, which a run calls): for SGD of learning rate ``eta``, ``eta alpha`` and
    ``sqrt(2 eta T)`` of the paper, ``alpha`` the strength of an L1 penalty and ``T`` a temperature.

    Args:
        shrinkage: Decrement of every magnitude per update, default 0, not negative.
        noise: Standard deviation of the random walk per update, default 0, not negative.
        seed: Seed of signs, new synapses and random walk, default 0.

    Paper: Bellec, Kappel, Maass and Legenstein (2018), Deep rewiring: training very sparse deep networks, ICLR,
    arXiv:1711.05136.

    >>> import tca
    >>> from tca.nets.wiring import sparse
    >>> mask = sparse(20, 20, density=0.1)
    >>> net = tca.nets.LeakyRNN(2, 20, 1, mask_rec=mask, rewiring=DeepR())
    >>> with torch.no_grad():
    ...     _ = net.w_rec.neg_()  # every weight crosses zero
    >>> net.project_()
    >>> int(net.mask_rec.sum()), int((net.mask_rec * mask).sum()) < 40, int(net.w_rec.count_nonzero())
    (40, True, 0)
    """

    shrinkage: NotNegative = 0.0
    noise: NotNegative = 0.0
    seed: Seed = 0


Rewiring = DeepR | Annotated[DeepR, Made(DeepR, spread=True)]


class RewiredPopulation(nn.Module):
    """A population whose sparse weights may be rewired; without ``rewiring`` it does nothing."""

    rewiring: DeepR | None = None

    def declare_rewiring(self, rewiring: DeepR | None, allowed: dict[str, Tensor]) -> None:
        """Draw the signs of all pairs; the weights and their masks have been made.

        Args:
            allowed: Which pairs may be synapses, by the name of the weight without ``w_``.

        Raises:
            ValueError: No weight is sparse.
        """
        self.rewiring = rewiring
        if rewiring is None:
            return
        if not allowed:
            raise ValueError("rewiring needs mask_in or mask_rec, the synapses that exist at the start")
        generator = torch.Generator().manual_seed(rewiring.seed)
        for name, pairs in allowed.items():
            weight = self.get_parameter(f"w_{name}").detach()
            drawn = torch.randint(2, weight.shape, generator=generator, device="cpu").to(weight) * 2 - 1
            signs = torch.where(weight != 0, weight.sign(), drawn)
            if name == "rec" and isinstance(self.signs, Tensor):
                signs = torch.where(self.signs == 0, signs, self.signs.expand_as(signs))
            self.register_buffer(f"rewiring_signs_{name}", signs * pairs)
            self.register_buffer(f"mask_{name}", self.get_buffer(f"mask_{name}").clone())  # changes, unlike the user's
        self.register_buffer(GENERATOR, generator.get_state())

    @lasting
    def rewire_(self) -> None:
        """Remove synapses whose weight has crossed zero and grow as many, of weight zero."""

        def rewire(weight: Tensor, mask: Tensor, signs: Tensor, generator: torch.Generator) -> None:
            dead = (mask != 0) & (weight * signs < 0)
            count = int(dead.sum())
            if not count:
                return
            mask.masked_fill_(dead, 0.0)
            dormant = ((mask == 0) & (signs != 0)).flatten().nonzero().squeeze(1).cpu()
            grown = dormant[torch.randperm(len(dormant), generator=generator, device="cpu")[:count]]
            mask.view(-1)[grown.to(mask.device)] = 1.0
            weight.masked_fill_(dead, 0.0)

        self._each(rewire)

    @lasting
    def walk_(self) -> None:
        """Shrink the magnitudes of the synapses and move them at random."""
        rewiring = self.rewiring
        if rewiring is None or not (rewiring.shrinkage or rewiring.noise):
            return

        def walk(weight: Tensor, mask: Tensor, signs: Tensor, generator: torch.Generator) -> None:
            moved = torch.full_like(weight, -rewiring.shrinkage)
            if rewiring.noise:
                drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64, device="cpu")
                moved.add_(drawn.to(weight), alpha=rewiring.noise)
            weight.add_(moved * signs * mask)

        self._each(walk)

    def _each(self, change: Callable[[Tensor, Tensor, Tensor, torch.Generator], None]) -> None:
        """Call a function with every rewired weight, its mask and signs, and the generator of the population."""
        if self.rewiring is None:
            return
        with drawing(self.get_buffer(GENERATOR)) as generator:
            for name in ("in", "rec"):
                signs = getattr(self, f"rewiring_signs_{name}", None)
                if signs is not None:
                    change(self.get_parameter(f"w_{name}"), self.get_buffer(f"mask_{name}"), signs, generator)
