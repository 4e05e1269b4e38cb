"""Lyapunov exponents of a recurrent network along its trajectories.

Shapes: T time, B batch, I inputs, M numbers in the state of a trial, K exponents.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.dynamics.spiking import SPIKES, spikes
from tca.eligibilities import Full
from tca.nets import Network
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.recurrent import RecurrentPopulation
from tca.utils.checks import Count, Seed, Whole, checked
from tca.utils.tables import Tabular

__all__ = ["LyapunovSpectrum", "lyapunov"]

BLOCKS = 10  # blocks of steps whose means give the standard error


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum(Tabular):
    """Lyapunov exponents per step, falling; see `lyapunov`.

    Attributes:
        exponents: Mean over steps and trials of the logarithmic growth per step, float64, shape ``(K,)``.
        errors: Standard errors of these, from the means of ten blocks of steps in every trial, shape ``(K,)``.
        states: Numbers M in the state of a trial.
        steps: Steps of a trial that count.
    """

    exponents: Tensor
    errors: Tensor
    states: int
    steps: int

    def _columns(self) -> dict[str, Any]:
        """Return a row for each exponent."""
        return {"exponent": self.exponents, "error": self.errors}

    @property
    def largest(self) -> float:
        """The largest exponent: positive in chaos, negative where trajectories converge."""
        return float(self.exponents[0])

    @property
    def entropy_rate(self) -> float:
        """Sum of the positive exponents, an upper bound of the Kolmogorov-Sinai entropy a step (Pesin)."""
        return float(self.exponents.clamp(min=0).sum())

    @property
    def dimension(self) -> float:
        """Kaplan-Yorke dimension ``k + (l_1 + ... + l_k) / |l_{k+1}|``, k the most exponents with a sum of at least 0.

        Raises:
            ValueError: The sum of all computed exponents is positive, and more exist.
        """
        sums = self.exponents.cumsum(0)
        k = int((sums >= 0).sum())
        if k == len(sums):
            if k < self.states:
                raise ValueError(f"the dimension needs more than {k} of the {self.states} exponents: raise count")
            return float(k)
        return k + (float(sums[k - 1]) / abs(float(self.exponents[k])) if k else 0.0)


@checked
@torch.no_grad()
def lyapunov(
    net: Network, inputs: Tensor, *, count: Count | None = None, discard: Whole | None = None, seed: Seed = 0
) -> LyapunovSpectrum:
    """Return the largest Lyapunov exponents of a recurrent network along its trajectories.

    ``lambda_i = lim 1/T log sigma_i(J_T ... J_1)``, ``J_t`` the Jacobian of the state: perturbations of the state grow
    as ``exp(lambda_1 t)``. K orthonormal vectors are propagated through the transposed Jacobians of the network's own
    backward pass, last step first, and orthonormalised at every step (QR method); the exponents of the transposed
    product are those of the product. In float64, without private noise.

    Args:
        net: A recurrent network of one population that does not spike, such as `LeakyRNN`, or a cell module.
        inputs: Inputs that drive it, shape ``(T, B, I)``; repeat one input for the autonomous network.
        count: Number of exponents K, the largest; ``None`` (default) for all M. Memory is that of K copies of a trial.
        discard: Steps left out at both ends: at the first the state approaches the attractor, at the last the vectors
            align. Default a tenth of T.
        seed: Seed of the vectors, default 0.

    Raises:
        ValueError: The network has no state, several populations, or spikes; fewer than ten steps are left; ``count``
            exceeds M; or inputs do not fit.

    Papers: Benettin, Galgani, Giorgilli and Strelcyn (1980), Meccanica 15:9; Engelken, Wolf and Abbott (2023), Physical
    Review Research 5:043044 (networks).

    >>> from tca.nets import LeakyRNN
    >>> net = LeakyRNN(1, 2, 1, activation="linear", tau=10.0, dt=10.0, dtype=torch.float64)
    >>> _ = net.w_rec.data.copy_(torch.diag(torch.tensor([0.5, -1.0])))
    >>> spectrum = lyapunov(net, torch.zeros(60, 1, 1))
    >>> keep = math.exp(-1)  # J = keep + (1 - keep) W
    >>> bool(abs(spectrum.largest - math.log(keep + (1 - keep) * 0.5)) < 1e-6), spectrum.dimension
    (True, 0.0)
    """
    _check_states(net)
    steps, trials = len(inputs), inputs.shape[1] if inputs.ndim == 3 else 0
    left_out = steps // 10 if discard is None else discard
    if steps - 2 * left_out < BLOCKS:
        raise ValueError(f"inputs must have at least {BLOCKS} steps beside {2 * left_out} left out, got {steps}")
    net = copy.deepcopy(net).to(torch.float64)
    if isinstance(net, BlockPopulation) and net.cell is not None and spikes(net.bound_cell(), net.n_rec):
        raise ValueError(SPIKES)
    given = inputs.to(next(net.parameters()))
    shape = _state_shape(net, given[:1])
    states = math.prod(shape)
    k = states if count is None else count
    if k > states:
        raise ValueError(f"count must be at most the {states} numbers of the state, got {k}")
    tape = net.run(given.repeat_interleave(k, 1))
    source = torch.Generator().manual_seed(seed)
    start = torch.randn(trials, states, k, generator=source, dtype=torch.float64, device="cpu").to(given)
    vectors, growth = torch.linalg.qr(start)[0], []
    for t in range(steps, left_out, -1):
        later = vectors.mT.reshape(trials * k, *shape)
        into = torch.zeros_like(later)
        Full().propagate_back_(tape, t, into, later)
        vectors, triangle = torch.linalg.qr(into.view(trials, k, states).mT)
        growth.append(triangle.diagonal(dim1=1, dim2=2).abs().log())
    counted = torch.stack(growth[left_out:]).cpu()
    means = torch.stack([block.mean(0) for block in counted.tensor_split(BLOCKS)]).flatten(0, 1)
    exponents = counted.mean((0, 1))
    order = exponents.argsort(descending=True)
    errors = means.std(0) / math.sqrt(len(means))
    return LyapunovSpectrum(exponents[order], errors[order], states, len(counted))


def _check_states(net: Network) -> None:
    """Raise unless a network has one population with a differentiable state."""
    population, *others = net.populations()
    if not any(each.recurrent for each in (population, *others)) and not isinstance(net, RecurrentPopulation):
        raise ValueError(f"net must have a state that a step leads to the next one, got {type(net).__name__}")
    if others:
        raise ValueError(f"net must have one population, got {len(others) + 1}: their joint state has no Jacobian here")
    if population.spiking:
        raise ValueError(SPIKES)


def _state_shape(net: Network, inputs: Tensor) -> tuple[int, ...]:
    """Return the shape of the state of a trial."""
    tape = net.run(inputs[:, :1])
    return tuple(tape.lift(torch.zeros_like(tape.rate[1:]), slice(1, 2)).shape[2:])
