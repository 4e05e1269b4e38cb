"""Checks of a user's cell: shapes, elementwise computation, derivatives, constants.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from tca.cells.cell import Cell, State
from tca.cells.local_derivatives import blocks_of, slope_of
from tca.utils.check_report import CheckReport, SkippedCheckError, checked_line
from tca.utils.checks import checked
from tca.utils.text import in_a_line

__all__ = ["check_cell", "check_learned"]

STEPS, TRIALS, CELLS = 3, 2, 5  # no two alike, so that axes cannot be exchanged unnoticed
SCALES = (1.0, 10.0, 1e-1, 1e-2, 1e-3)  # of states at which a rate may have a derivative
TOLERANCE = 1e-9  # of closed forms against automatic derivatives, relative


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
        "numbers": _numbers,
        "elementwise": _elementwise,
        "derivatives": _derivatives,
        "closed forms": _closed_forms,
        "in place": _in_place,
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
        state, drive = _drawn(cell, *lead)
        shape = state[0].shape
        bound = _bound(cell)
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
        bound = _bound(cell, dtype)
        rest = tuple(torch.zeros(TRIALS, CELLS, dtype=dtype, device="cpu") for _ in cell.components)
        drives = tuple(torch.zeros(TRIALS, CELLS, dtype=dtype, device="cpu") for _ in cell.drives)
        drawn = _drawn(cell, TRIALS, dtype=dtype)
        for words, state, drive in (("at rest", rest, drives), ("at random states", *drawn)):
            for method, values in (("step", _all(bound.step(state, drive))), ("rate", _all(bound.rate(state)))):
                again = _all(bound.step(state, drive) if method == "step" else bound.rate(state))
                for one, other in zip(values, again, strict=True):
                    if one.dtype != dtype:
                        raise ValueError(f"{method}: must return {dtype} for {dtype}, got {one.dtype}")
                    if not one.isfinite().all():
                        raise ValueError(f"{method}: must be finite, got {_first_bad(one)} {words}")
                    if not torch.equal(one, other):
                        raise ValueError(f"{method}: must return the same values for the same state, got others")
    return "finite, in float32 and float64"


def _unchanged(cell: Cell) -> str:
    bound = _bound(cell)
    for method in ("step", "rate"):
        state, drive = _drawn(cell, TRIALS)
        before = [each.clone() for each in (*state, *drive)]
        _ = bound.step(state, drive) if method == "step" else bound.rate(state)
        for name, one, other in zip((*cell.components, *cell.drives), (*state, *drive), before, strict=True):
            if not torch.equal(one, other):
                raise ValueError(f"{method}: changes {name} in place; return new tensors instead")
    return "step and rate"


def _elementwise(cell: Cell) -> str:
    bound = _bound(cell)
    state, drive = _drawn(cell, STEPS, TRIALS)
    one = (0, 0, 1)  # step, trial and neuron that change
    for method, inputs in (("step", (*state, *drive)), ("rate", state)):

        def values(of: Sequence[Tensor], method: str = method) -> State:
            size = len(state)
            return _all(bound.step(tuple(of[:size]), tuple(of[size:])) if method == "step" else bound.rate(tuple(of)))

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


def _derivatives(cell: Cell) -> str:
    bound = _bound(cell)
    for state, drive in (_drawn(cell, TRIALS), _rest(cell)):
        try:
            leak, gain = _blocks(bound, state, drive, closed=False)
        except RuntimeError as error:
            raise ValueError(f"step: not differentiable: {str(error).splitlines()[0]}") from None
        try:
            slope = slope_of(bound, torch.stack(state, -2), None)
        except RuntimeError as error:
            raise ValueError(f"rate: not differentiable: {str(error).splitlines()[0]}") from None
        for method, each in (("step", leak), ("step", gain), ("rate", slope)):
            if not each.isfinite().all():
                raise ValueError(f"{method}: derivatives must be finite, got {_first_bad(each)}")
    drawn = _drawn(cell, TRIALS)
    if not _blocks(bound, *drawn, closed=False)[1].any():
        raise ValueError("step: not differentiable: no component has a derivative by any drive (detached, or constant)")
    states = torch.stack(drawn[0], -2)
    if not any(slope_of(bound, scale * states, None).any() for scale in SCALES):  # surrogates end beside a threshold
        raise ValueError("rate: not differentiable: it has no derivative by the state (detached, rounded, or constant)")
    check_learned(bound, [name for name, each in cell.bounds().items() if each.learned])
    return "by autograd"


def _closed_forms(cell: Cell) -> str:
    state, drive = _drawn(cell, TRIALS)
    bound = _bound(cell)
    found = bound.derivatives(state, drive)
    if found is None:
        raise SkippedCheckError("derivatives() is not defined")
    names = tuple(cell.bounds()) if found.constants else ()
    shapes = {"leak": (found.leak, len(cell.components)), "gain": (found.gain, len(cell.drives))}
    shapes |= {"constants": (found.constants, len(names))} if names else {}
    for name, (rows, columns) in shapes.items():
        if [len(row) for row in rows] != [columns] * len(cell.components):
            raise ValueError(
                f"derivatives: {name} must have {len(cell.components)} rows of {columns} entries, got "
                f"{[len(row) for row in rows]}"
            )
    closed, automatic = (_blocks(bound, state, drive, names, closed=each) for each in (True, False))
    worst = 0.0
    for name, one, other in zip(("leak", "gain"), closed, automatic, strict=True):
        scale = float(other.abs().max().clamp(min=1.0))
        for a, component in enumerate(cell.components):
            by = cell.components if name == "leak" else (*cell.drives, *names)
            for b, source in enumerate(by):
                error = float((one[..., a, b, :] - other[..., a, b, :]).abs().max()) / scale
                if not error < TOLERANCE:
                    raise ValueError(
                        f"derivatives: {name} of {component} by {source} is off by {error:.2g} from autograd"
                    )
                worst = max(worst, error)
    return f"{worst:.1g} from autograd"


def _in_place(cell: Cell) -> str:
    """Compare ``advance_`` with ``step`` and ``gate_derivatives`` with automatic derivatives."""
    state, drive = _drawn(cell, TRIALS)
    bound, before, gates = _bound(cell), torch.stack(state, -2), torch.stack(drive, -2)
    kept, after = before.clone(), torch.full_like(before, float("nan"))
    if not bound.advance_(gates, before, after):
        raise SkippedCheckError("advance_() is not defined")
    if not torch.equal(kept, before):
        raise ValueError("advance_: changes the state before the step; write the memory of the next one instead")
    for name, one, other in zip(cell.components, after.unbind(-2), _all(bound.step(state, drive)), strict=True):
        if not float((one - other).abs().max()) < TOLERANCE:
            raise ValueError(f"advance_: {name} differs from that of step")
    names = [name for name, each in cell.bounds().items() if each.learned]
    try:
        found = blocks_of(bound, before, gates, names, after=after).tables(before)
    except NotImplementedError as error:
        raise ValueError(str(error)) from None
    for one, other in zip(found, _blocks(bound, state, drive, names, closed=False), strict=True):
        if not float((one - other).abs().max()) < TOLERANCE * float(other.abs().max().clamp(min=1.0)):
            raise ValueError("gate_derivatives: differ from autograd")
    return "the state of step, derivatives of autograd"


def check_learned(cell: Cell, learned: Sequence[str]) -> None:
    """Raise if the rate depends on a learned constant, whose derivative the step alone has.

    Args:
        learned: Names of the constants.

    Raises:
        ValueError: It does.
    """
    state = _drawn(cell, TRIALS)[0]
    for name in learned:
        theta = torch.ones(CELLS, dtype=torch.float64, device="cpu").requires_grad_()
        with torch.enable_grad():
            rates = _all(cell.bound({name: theta}).rate(state))
        if any(each.requires_grad for each in rates):
            raise ValueError(f"rate: depends on the constant {name}, which may be learned if it acts in step alone")


def _bound(cell: Cell, dtype: torch.dtype = torch.float64) -> Cell:
    """Return the cell with drawn constants, and one number per neuron for each."""
    drawn = cell.draw(CELLS, torch.Generator().manual_seed(0))
    values = {name: drawn.get(name, getattr(cell, name)) for name in cell.bounds()}
    return cell.bound(
        {name: torch.as_tensor(each, dtype=dtype, device="cpu").expand(CELLS).clone() for name, each in values.items()}
    )


def _drawn(cell: Cell, *lead: int, dtype: torch.dtype = torch.float64) -> tuple[State, State]:
    """Return random states and drives."""
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> State:
        return tuple(
            torch.randn(*lead, CELLS, generator=generator, dtype=torch.float64, device="cpu").to(dtype)
            for _ in range(count)
        )

    return draw(len(cell.components)), draw(len(cell.drives))


def _rest(cell: Cell) -> tuple[State, State]:
    return tuple(  # type: ignore[return-value]
        tuple(torch.zeros(TRIALS, CELLS, dtype=torch.float64, device="cpu") for _ in names)
        for names in (cell.components, cell.drives)
    )


def _blocks(
    cell: Cell, state: State, drive: State, learned: Sequence[str] = (), *, closed: bool
) -> tuple[Tensor, Tensor]:
    """Return leak and gain as tables."""
    stacked = torch.stack(state, -2)
    return blocks_of(cell, stacked, torch.stack(drive, -2), learned, closed=closed).tables(stacked)


def _all(results: Tensor | State) -> State:
    return results if isinstance(results, tuple) else (results,)


def _kind(results: object) -> str:
    return f"{len(results)} of them" if isinstance(results, tuple) else type(results).__name__


def _first_bad(values: Tensor) -> str:
    return str(float(values[~values.isfinite()][0]))
