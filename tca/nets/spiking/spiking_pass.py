"""The forward pass of a spiking population, in place, a few steps at a time.

Shapes: T time, B batch, N cells, C consecutive steps.

Memory is written while it is in the cache: drives turn into potentials less the rise of the threshold, ``v - beta a``,
and these into slopes before the next few steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.cells.spiking_cell import SpikingCells
from tca.cells.surrogate_gradients import SurrogateGradient
from tca.connections.spike_products import few_times

__all__ = ["SpikingPass"]


class SpikingPass:
    """A population between two steps of a trial.

    Args:
        cells: The constants of the cells.
        threshold: The threshold at rest.
        refractory: Number of silent steps after a spike.
        surrogate_gradient: The surrogate gradient.
        recurrent: Recurrent weights W, missing synapses at zero, shape ``(N, N)``.
        drive: Drive of the potentials by inputs, biases and noise, shape ``(T + 1, B, N)``; turned into slopes.
        rate: Memory for the spikes, same shape.
    """

    def __init__(
        self,
        cells: SpikingCells,
        threshold: float,
        refractory: int,
        surrogate_gradient: SurrogateGradient,
        recurrent: Tensor,
        drive: Tensor,
        rate: Tensor,
    ) -> None:
        self.cells, self.threshold, self.refractory, self.surrogate_gradient = (
            cells,
            threshold,
            refractory,
            surrogate_gradient,
        )
        self.weights = (recurrent * cells.gain.unsqueeze(-1) - torch.diag(cells.reset)).t().contiguous()
        self.drive, self.rates, self.adapts = drive, rate.unbind(0), bool(len(cells.adaptive))
        drive[0].zero_(), rate[0].zero_()
        self._slope_(drive[0])
        self.potential, self.before, self.adaptation = (torch.zeros_like(drive[0]) for _ in range(3))
        self.ready = torch.ones_like(drive[:1])  # of the last window, zero for refractory cells
        self.wait: Tensor | None = None  # steps for which cells stay refractory from the start on
        # Adaptation as a mean of past spikes takes one pass over it instead of two: a spike enters it with 1 - rho.
        self.rise = cells.strength * (cells.adaptation_gain / (1 - cells.adaptation_leak))

    def start_from(self, potential: Tensor, adaptation: Tensor, rate: Tensor, wait: Tensor) -> None:
        """Start at a state, each part ``(B, N)``; see `tca.nets.spiking.spiking_population.SpikingState`."""
        cells = self.cells
        self.rates[0].copy_(rate)
        self.potential.copy_(potential)
        self.adaptation.copy_(adaptation * (1 - cells.adaptation_leak) / cells.adaptation_gain)
        self.ready = (wait == 0).to(rate).unsqueeze(0)
        self.wait = wait

    def through_(self, steps: slice) -> None:
        """Run the next window of steps.

        Args:
            steps: The steps, counted from the initial state, from one on.
        """
        drives, last = self.drive[steps], self.ready[-1]
        ready = torch.empty_like(drives) if self.refractory else self.ready
        for index, drive in enumerate(drives.unbind(0)):
            t = steps.start + index
            self._drive_(drive, self.rates[t - 1])
            torch.gt(drive, self.threshold, out=self.rates[t])
            if self.refractory:
                last = self._silence_(t, last, ready[index])
        self._slope_(drives)
        if self.refractory:
            drives.mul_(ready)
        self.ready = ready

    def _slope_(self, distance: Tensor) -> None:
        """Turn potentials less the rise of the threshold into surrogate gradients, in place.

        Args:
            distance: The difference, any shape.
        """
        slope = self.surrogate_gradient(distance.sub_(self.threshold).div_(self.threshold))
        torch.mul(slope, 1 / self.threshold, out=distance)

    def _drive_(self, drive: Tensor, previous: Tensor) -> None:
        """Turn the drive of a step into its potentials less the rise of the threshold.

        Args:
            drive: Drive of the step, shape ``(B, N)``, changed in place.
            previous: Spikes of the step before, same shape.
        """
        self.potential, self.before = self.before, self.potential
        arriving = few_times(previous, self.weights, spikes=True)
        if arriving is None:
            torch.addmm(drive, previous, self.weights, out=self.potential)
        else:
            torch.add(drive, arriving, out=self.potential)
        self.potential.addcmul_(self.before, self.cells.leak)
        if self.adapts:
            torch.lerp(previous, self.adaptation, self.cells.adaptation_leak, out=self.adaptation)
            torch.addcmul(self.potential, self.adaptation, self.rise, value=-1, out=drive)
        else:
            drive.copy_(self.potential)

    def _silence_(self, t: int, before: Tensor, ready: Tensor) -> Tensor:
        """Silence the refractory cells of a step and return the others.

        Args:
            before: Non-refractory cells of the step before, zeros and ones, shape ``(B, N)``.
            ready: Memory for those of this step, same shape.
        """
        torch.sub(before, self.rates[t - 1], out=ready)
        if t > self.refractory:
            ready.add_(self.rates[t - 1 - self.refractory])
        elif self.wait is not None:
            ready.add_((self.wait == t).to(ready))
        self.rates[t].mul_(ready)
        return ready
