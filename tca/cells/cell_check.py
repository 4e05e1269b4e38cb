"""Checks of a user's cell: names, constants, shapes, numbers and elementwise computation.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from tca.cells.cell import Cell, State
from tca.cells.cell_derivative_check import check_closed_forms, check_derivatives, check_in_place
from tca.cells.cell_samples import CELLS, STEPS, TRIALS, all_of, at_rest, bound_sample, drawn_sample, first_bad
from tca.cells.value_reads import check_reads
from tca.utils.check_report import CheckReport, checked_line
from tca.utils.checks import checked
from tca.utils.text import in_a_line

__all__ = ["check_cell"]


@checked
def check_cell(cell: Cell) -> CheckReport:
    """Check that a cell is one: elementwise, differentiable, finite, with true closed forms.

    A line for each check, with the method that fails and the reason. `tca.nets.CellRNN` runs the same checks on every
    cell that is not of the library. Derivatives of spikes are surrogate gradients and therefore not compared with
    finite differences.

    Raises:
        TypeError: ``cell`` is no `tca.cells.Cell`.

    >>> from tca.cells import GRU
    >>> bool(check_cell(GRU()))
    True
    >>> class Mixed(GRU):
    ...     def rate(self, state):
    ...         return state[0].softmax(-1)
    >>> print(check_cell(Mixed()).failures[0])
    failed  elementwise: rate: neuron 0 changes with the state of neuron 1; each must depend on its own alone
    """
    checks: dict[str, Callable[[Cell], str]] = {
        "names": _names,
        "constants": _constants,
        "shapes": _shapes,
        "state left as it was": _unchanged,
        "function of the state": _function,
        "numbers": _numbers,
        "elementwise": _elementwise,
        "derivatives": check_derivatives,
        "closed forms": check_closed_forms,
        "in place": check_in_place,
    }
    lines = []
    for name, check in checks.items():
        lines.append(checked_line(name, partial(check, cell)))
        if lines[-1].outcome == "failed" and name in ("names", "constants", "shapes"):
            break  # what follows would fail for the same reason
    return CheckReport(repr(cell), tuple(lines))


def _names(cell: Cell) -> str:
    for name in ("components", "drives", "rates"):
        given = getattr(cell, name, None)
        if not (isinstance(given, tuple) and given and all(isinstance(each, str) for each in given)):
            raise ValueError(f"{name} must be a tuple of names, got {given!r}")
        if len(set(given)) < len(given):
            raise ValueError(f"{name} must be different names, got {given}")
    for name in ("input_drives", "recurrent_drives"):
        for each in getattr(cell, name) or ():
            if each not in cell.drives:
                raise ValueError(f"{name} must be names of drives, {cell.drives}, got {each!r}")
    if len(cell.rates) > 1 and cell.places(cell.recurrent_drives):
        raise ValueError("recurrent_drives must be empty for a cell with several rates")
    if not (dataclasses.is_dataclass(cell) and cell.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise ValueError(f"{type(cell).__name__} must be a frozen dataclass")
    return f"{len(cell.components)} components, {len(cell.drives)} drives"


def _constants(cell: Cell) -> str:
    drawn = cell.draw(CELLS, torch.Generator().manual_seed(0))
    for name, bounds in cell.bounds().items():
        value = drawn.get(name, getattr(cell, name))
        if value is None:
            raise ValueError(f"{name} must be a number, one for each neuron, or be drawn by draw(), got None")
        if not bounds.hold(torch.as_tensor(value, dtype=torch.float64, device="cpu")):
            raise ValueError(f"{name} must be finite and within [{bounds.low}, {bounds.high}], got {value}")
    return ", ".join(cell.bounds()) or "none"


def _shapes(cell: Cell) -> str:
    for lead in ((STEPS, TRIALS), (TRIALS,)):
        state, drive = drawn_sample(cell, *lead)
        shape = state[0].shape
        bound = bound_sample(cell)
        for method, call, names in (
            ("step", partial(bound.step, state, drive), cell.components),
            ("rate", partial(bound.rate, state), cell.rates),
        ):
            try:
                results: object = call()
            except Exception as error:  # a cell of the user may raise any
                raise ValueError(f"{method}: raised {type(error).__name__}: {in_a_line(error)}") from error
            each = results if isinstance(results, tuple) else (results,)
            if isinstance(results, list) or len(each) != len(names):
                raise ValueError(
                    f"{method}: must return a tuple of {len(names)} tensors for {names}, got {_kind(results)}"
                )
            for name, one in zip(names, each, strict=True):
                if not isinstance(one, Tensor) or one.shape != shape:
                    got = tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__
                    raise ValueError(f"{method}: {name} must have the shape {tuple(shape)} of the state, got {got}")
    return "step and rate"


def _numbers(cell: Cell) -> str:
    for dtype in (torch.float32, torch.float64):
        bound = bound_sample(cell, dtype)
        rest = tuple(torch.zeros(TRIALS, CELLS, dtype=dtype, device="cpu") for _ in cell.components)
        drives = tuple(torch.zeros(TRIALS, CELLS, dtype=dtype, device="cpu") for _ in cell.drives)
        drawn = drawn_sample(cell, TRIALS, dtype=dtype)
        for words, state, drive in (("at rest", rest, drives), ("at random states", *drawn)):
            for method, values in (("step", all_of(bound.step(state, drive))), ("rate", all_of(bound.rate(state)))):
                again = all_of(bound.step(state, drive) if method == "step" else bound.rate(state))
                for one, other in zip(values, again, strict=True):
                    if one.dtype != dtype:
                        raise ValueError(f"{method}: must return {dtype} for {dtype}, got {one.dtype}")
                    if not one.isfinite().all():
                        raise ValueError(f"{method}: must be finite, got {first_bad(one)} {words}")
                    if not torch.equal(one, other):
                        raise ValueError(f"{method}: must return the same values for the same state, got others")
    return "finite, in float32 and float64"


def _unchanged(cell: Cell) -> str:
    bound = bound_sample(cell)
    for method in ("step", "rate"):
        state, drive = drawn_sample(cell, TRIALS)
        before = [each.clone() for each in (*state, *drive)]
        _ = bound.step(state, drive) if method == "step" else bound.rate(state)
        for name, one, other in zip((*cell.components, *cell.drives), (*state, *drive), before, strict=True):
            if not torch.equal(one, other):
                raise ValueError(f"{method}: changes {name} in place; return new tensors instead")
    return "step and rate"


def _function(cell: Cell) -> str:
    bound = bound_sample(cell)
    for state, drive in (at_rest(cell), drawn_sample(cell, TRIALS)):
        check_reads("step", partial(bound.step, state, drive), bound)
        check_reads("rate", partial(bound.rate, state), bound)
    return "step and rate"


def _elementwise(cell: Cell) -> str:
    bound = bound_sample(cell)
    state, drive = drawn_sample(cell, STEPS, TRIALS)
    one = (0, 0, 1)  # step, trial and neuron that change
    for method, inputs in (("step", (*state, *drive)), ("rate", state)):

        def values(of: Sequence[Tensor], method: str = method) -> State:
            size = len(state)
            return all_of(bound.step(tuple(of[:size]), tuple(of[size:])) if method == "step" else bound.rate(tuple(of)))

        before = values(inputs)
        for index, name in enumerate((*cell.components, *cell.drives)[: len(inputs)]):
            other = [each.clone() for each in inputs]
            other[index][one] += 0.37
            for after, was in zip(values(other), before, strict=True):
                moved = (after != was).nonzero().tolist()
                for step, trial, neuron in moved:
                    if (step, trial, neuron) != one:
                        what = "the state" if index < len(state) else f"the drive {name}"
                        alike = (step, trial) == one[:2]
                        who = f"neuron {neuron}" if alike else "a step or trial"
                        whose = f"neuron {one[2]}" if alike else "another"
                        raise ValueError(
                            f"{method}: {who} changes with {what} of {whose}; each must depend on its own alone"
                        )
    return "step and rate"


def _kind(results: object) -> str:
    return f"{len(results)} of them" if isinstance(results, tuple) else type(results).__name__
