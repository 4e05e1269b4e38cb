"""Recursive least squares for the readout: FORCE, with any signal for the cells.

Shapes: M samples (steps and trials), J inputs of the readout, O outputs, G one or O groups of outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection, Dense
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, Signal
from tca.signals.wrapped import Wrapped
from tca.tape.population import Population
from tca.tape.tape import Tape, filtered
from tca.utils.checks import Positive, checked

__all__ = ["RecursiveLeastSquares"]

STATE = "inverse_correlation"


@checked
@dataclass(frozen=True)
class RecursiveLeastSquares(Wrapped):
    """A learning signal for the cells, and recursive least squares for the readout.

    With the input of the readout ``x_t = [zbar_t, 1]`` the inverse correlation ``P^-1 = ridge I + sum_t w_t x_t x_t^T``
    runs over all trials so far, the present ones included, ``w_t`` their weights in the loss. The gradient of readout
    weights and biases becomes ``(sum_t score_t x_t^T) P``. A step of SGD with learning rate 1 for both is then the
    recursion of FORCE, and for the mean squared error of a network whose cells do not change, the readout after every
    batch is the ridge regression to all targets so far, with the penalty ``ridge / 2 |W - W_0|^2``. Other losses are
    descended along ``P``, other optimizers rescale it.

    The state is in the buffer ``inverse_correlation`` of the last population, shape ``(G, J + 1, J + 1)``: one matrix,
    or one for every output of a masked readout.

    Args:
        signal: The learning signal for the cells, default ``Direct()``.
        ridge: Penalty of the ridge regression, default 1, positive: ``alpha`` of the paper, ``P = I / ridge`` before
            the first trial. It should be small against the number of cells.

    Paper: Sussillo and Abbott (2009), Generating coherent patterns of activity from chaotic neural networks, Neuron
    63:544.

    >>> RecursiveLeastSquares(ridge=0.1).equation
    'G_t = W_o^T score_t, readout by P = (0.1 I + sum x x^T)^-1'
    """

    signal: Signal = field(default_factory=Direct)
    ridge: Positive = 1.0
    couples_trials: ClassVar[bool] = True

    @property
    def needs_reward(self) -> bool:  # type: ignore[override]
        """Whether the signal for the cells is a reward."""
        return self.signal.needs_reward

    @property
    def equation(self) -> str:
        return f"{self.signal.equation}, readout by P = ({self.ridge} I + sum x x^T)^-1"

    def check(self, population: Population) -> None:
        """Refuse readouts with shared or structured weights."""
        super().check(population)
        readout = _readout_of(population)
        if readout is not None and type(readout) is not Dense:
            raise ValueError(
                f"RecursiveLeastSquares needs a readout of all-to-all weights (Dense), and that of {population.title} "
                f"is {type(readout).__name__}"
            )

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return the state of the signal and ``P = I / ridge``."""
        found = super().buffers(population, generator)
        readout = _readout_of(population)
        if readout is not None:
            groups = 1 if readout.mask is None else readout.n_post
            size = readout.n_pre + 1
            start = torch.eye(size, dtype=torch.float64, device="cpu") / self.ridge
            found[STATE] = start.expand(groups, size, size).to(population.like).contiguous()
        return found

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Update the signal, then ``P`` by the inputs of the readout at all steps that count."""
        super().update_statistics_(tape, buffers)
        if STATE not in buffers:
            return
        batch = tape.trials_shown
        readout, pre = tape.readout.links[0]
        inputs, weights = filtered(pre, tape.readout.leak).flatten(0, 1), batch.weights.flatten() / batch.trials
        if weights.device.type == "cpu":  # elsewhere samples without weight cost less than a wait for their number
            inputs, weights = inputs[weights != 0], weights[weights != 0]
        self.observe_readout_(readout, inputs, weights, buffers)

    def observe_readout_(self, readout: Connection, inputs: Tensor, weights: Tensor, buffers: Buffers) -> None:
        """Update ``P`` in blocks of at most as many samples as it has rows.

        ``P <- P - P X^T (I + X P X^T)^-1 X P`` for samples ``X``, times the roots of their weights.
        """
        inverse = buffers[STATE]
        samples = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1) * weights.sqrt().unsqueeze(1)
        exists = samples.new_ones(len(inverse), 1, inverse.shape[-1])
        if readout.mask is not None:
            exists[:, 0, :-1] = readout.mask
        for block in torch.split(samples, inverse.shape[-1]):
            rows = block * exists  # (G, M, J + 1)
            known = rows @ inverse
            gram = known @ rows.mT
            gram.diagonal(dim1=-2, dim2=-1).add_(1)
            factor, failed = torch.linalg.cholesky_ex(gram)
            factor.masked_fill_(failed.ne(0).view(-1, 1, 1), torch.nan)  # seen as a divergence, without a wait here
            inverse.sub_(known.mT @ torch.cholesky_solve(known, factor))

    def condition_readout_(self, weight: Tensor, bias: Tensor, buffers: Buffers) -> None:
        """Multiply the gradients of readout weights and biases by ``P``."""
        joint = torch.cat([weight, bias.unsqueeze(1)], 1).unsqueeze(1) @ buffers[STATE]  # (O, 1, J + 1)
        weight.copy_(joint[:, 0, :-1])
        bias.copy_(joint[:, 0, -1])


def _readout_of(population: Population) -> Connection | None:
    """Return the readout of a population; ``None`` if it projects to another population."""
    onwards = population.onwards
    return onwards if onwards is not None and onwards.name == "w_out" else None
