"""A spiking network as an ingredient of a run: a value that prints, compares, hashes, and builds what it describes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import torch

from tca.cells.surrogate_gradients import PSEUDO_DERIVATIVES, PseudoDerivative
from tca.experiments.config.components import smallest
from tca.nets.spiking.spiking_rnn import SpikingRNN
from tca.utils.checks import Fraction, Made, NotNegative, Positive, Size, checked
from tca.utils.names import lookup

__all__ = ["Pseudo", "Spiking"]


@checked
@dataclass(frozen=True)
class Pseudo:
    """A pseudo-derivative, described; see `tca.cells.surrogate_gradients`.

    Args:
        name: triangular (default), fast_sigmoid, gaussian, exponential or boxcar.
        gamma: Height at the threshold, default 0.3.
        width: Width in units of the threshold, default 1.

    Raises:
        ValueError: There is none of that name, or a number is not positive.

    >>> Pseudo("gaussian", width=0.5).build()
    Gaussian(gamma=0.3, width=0.5)
    """

    name: str = "triangular"
    gamma: float = 0.3
    width: float = 1.0

    def __post_init__(self) -> None:
        """Check what the pseudo-derivative checks."""
        self.build()

    def build(self) -> PseudoDerivative:
        """Return the pseudo-derivative."""
        return lookup(PSEUDO_DERIVATIVES, self.name, "pseudo-derivative")(self.gamma, self.width)


@checked
@dataclass(frozen=True)
class Spiking:
    """A spiking recurrent network, described; see `tca.nets.SpikingRNN` for the equations.

    Args:
        size: Number of recurrent cells, default 100.
        tau: Time constant of the potential in ms, default 20.
        tau_adaptation: Time constant of the adaptation in ms, default 2000.
        threshold: The threshold at rest, default 0.03.
        beta: How much adaptation raises the threshold, default 1.8.
        adaptive: Fraction of the cells that adapt, default 0.5.
        refractory: How long a cell is silent after a spike in ms, default 5.
        pseudo: What stands in for the derivative of a spike, default a triangle of height 0.3 as wide as the threshold.
        leak: How a time constant becomes a factor per step: exponential (default) or euler.
        scaled_drive: Whether the drive enters with one minus the leak, default yes.
        scaled_adaptation: Whether a spike enters the adaptation with one minus its leak, default yes.
        reset_in_trace: Whether traces keep the reset, as in MDGL, or cut it, as in e-prop (default).
        noise: Standard deviation of the private noise of a cell's potential while it is trained, default 0.
        readout_tau: Time constant of the readout in ms, default 20.
        bias: Whether cells have biases, default no.
        autapses: Whether cells may have synapses onto themselves, default no.
        gain_in: Standard deviation of the initial input weights times the square root of the in-degree, default 1.
        gain_rec: That of the recurrent weights, default 1.
        gain_out: That of the readout weights, default 1.
        density_in: Fraction of the input synapses that exist, drawn at random, default 1.
        density_rec: That of the recurrent synapses, default 1.
        density_out: That of the readout synapses, default 1.
        types: Fractions of the cell types, which add up to one, or the type of every cell; default one type.
        dale: Sign of the recurrent synapses that each type makes, -1, 0 (both) or 1; default both for all.

    Raises:
        ValueError: A value is not allowed.

    >>> net = Spiking(size=8, density_rec=0.5).build(3, 2, dt=1.0, seed=0)
    >>> net.w_rec.shape, int(net.mask_rec.sum())
    (torch.Size([8, 8]), 28)
    """

    size: Size = 100
    tau: Positive = 20.0
    tau_adaptation: Positive = 2000.0
    threshold: Positive = 0.03
    beta: NotNegative = 1.8
    adaptive: Fraction = 0.5
    refractory: NotNegative = 5.0
    pseudo: Annotated[Pseudo, Made(Pseudo, spread=True)] = Pseudo()
    leak: str = "exponential"
    scaled_drive: bool = True
    scaled_adaptation: bool = True
    reset_in_trace: bool = False
    noise: NotNegative = 0.0
    readout_tau: Positive | None = 20.0
    bias: bool = False
    autapses: bool = False
    gain_in: NotNegative = 1.0
    gain_rec: NotNegative = 1.0
    gain_out: NotNegative = 1.0
    density_in: Fraction = 1.0
    density_rec: Fraction = 1.0
    density_out: Fraction = 1.0
    types: tuple[float, ...] | None = None
    dale: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check what the network itself checks, with one input, one output and one cell of each type."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("density")}
        tiny = smallest(**own | {"pseudo": self.pseudo.build()})
        SpikingRNN(1, n_out=1, **tiny, dt=1e-6, seed=0, dtype=torch.float64)

    def build(
        self, n_in: int, n_out: int, *, dt: float, seed: int, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> SpikingRNN:
        """Return the network.

        Which synapses exist is drawn with the seed, before the weights and independently of them.

        Args:
            n_in: Number of input channels.
            n_out: Number of outputs.
            dt: Duration of a step in ms.
            seed: Seed of the synapses, the weights and the noise.
            device: Where it lives, default the CPU.
            dtype: Its floating-point type, default ``torch.float32``.
        """
        described = {"size", "pseudo", "density_in", "density_rec", "density_out"}
        own = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name not in described}
        generator = torch.Generator().manual_seed(seed + 2)
        return SpikingRNN(
            n_in,
            self.size,
            n_out,
            **own,
            pseudo=self.pseudo.build(),
            mask_in=_drawn(self.density_in, self.size, n_in, generator),
            mask_rec=_drawn(self.density_rec, self.size, self.size, generator, own=self.autapses),
            mask_out=_drawn(self.density_out, n_out, self.size, generator),
            dt=dt,
            seed=seed,
            device=device,
            dtype=dtype,
        )


def _drawn(
    density: float, rows: int, columns: int, generator: torch.Generator, own: bool = True
) -> torch.Tensor | None:
    """Return which synapses exist, as many of the candidates as the density says, ``None`` for all.

    Args:
        density: Fraction of them.
        rows: Number of postsynaptic cells.
        columns: Number of presynaptic cells.
        generator: Source of the choice.
        own: Whether a cell may have a synapse onto itself.
    """
    if density == 1:
        return None
    candidates = (
        torch.ones(rows, columns, dtype=torch.float64, device="cpu")
        if own
        else 1 - torch.eye(rows, dtype=torch.float64, device="cpu")
    )
    places = candidates.flatten().nonzero().squeeze(1)
    chosen = places[torch.randperm(len(places), generator=generator, device="cpu")[: round(density * len(places))]]
    mask = torch.zeros(rows * columns, dtype=torch.float64, device="cpu")
    mask[chosen] = 1
    return mask.view(rows, columns)
