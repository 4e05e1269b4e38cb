"""A leaky population online.

Shapes: B batch, J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

from torch import Tensor

from tca.nets.leaky.leaky_population import LeakyPopulation
from tca.nets.stepper import Stepper, carried
from tca.tape.local_step import LeakyStep
from tca.tape.weight_estimates import Recurrence

__all__ = ["LeakyStepper"]


class LeakyStepper(Stepper):
    """A leaky population online."""

    def __init__(self, cells: LeakyPopulation, trials: int) -> None:
        initial = cells.w_rec.new_zeros(cells.n_rec) if cells.s_0 is None else cells.s_0.detach()
        self.cells = cells
        self.state = initial.expand(trials, -1).clone()
        self.rate = cells.form.start(cells.activation, self.state)
        self.slope = self._slope(self.rate)

    @property
    def memory(self) -> Tensor:
        return self.state

    def start_from(self, memory: Tensor) -> None:
        self.state = memory.to(self.state)
        self.rate = self.cells.form.start(self.cells.activation, self.state)
        self.slope = self._slope(self.rate)

    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> LeakyStep:
        cells = self.cells
        into = cells.into_cells()
        pres, drive = carried(into, inputs, self.rate, noise)
        self.state, self.rate, activity = cells.form.advance(
            cells.activation, cells.leak, cells.gain, self.state, drive
        )
        slope_before, self.slope = self.slope, self._slope(activity)
        leak, gain = _at_least_1d(cells.leak, self.rate), _at_least_1d(cells.gain, self.rate)
        emits = cells.form.slope_at_emission
        return LeakyStep(
            pres=pres,
            cells=cells.n_rec,
            leak=leak,
            gain=gain if emits else gain * cells.activation.slope(activity),
            slope=self.slope,
            slope_before=slope_before,
            constant_gain=gain,
            recurrence=Recurrence(into[1].effective(), cells.mask_rec, cells.types),
            to_go=to_go,
            constant_leak=leak if emits else None,
        )

    def _slope(self, activity: Tensor) -> Tensor:
        """Return ``dz/ds`` at a rate; one if the leak is on the rate."""
        form = self.cells.form
        return self.cells.activation.slope(activity) if form.slope_at_emission else activity.new_ones(1)


def _at_least_1d(value: Tensor | float, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_full((1,), value)
