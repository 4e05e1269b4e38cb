"""Checks of the derivatives of a user's cell: automatic, in closed form, in place and by constants.

Shapes: B batch, N cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tca.cells.cell import Cell, State
from tca.cells.cell_samples import CELLS, TRIALS, all_of, at_rest, bound_sample, drawn_sample, first_bad
from tca.cells.local_derivatives import blocks_of, slope_of
from tca.utils.check_report import SkippedCheckError

__all__ = ["check_closed_forms", "check_derivatives", "check_in_place", "check_learned"]

SCALES = (1.0, 10.0, 1e-1, 1e-2, 1e-3)  # of states at which a rate may have a derivative
TOLERANCE = 1e-9  # of closed forms against automatic derivatives, relative


def check_derivatives(cell: Cell) -> str:
    """Check that step and rate have finite derivatives, and step alone those by learned constants."""
    bound = bound_sample(cell)
    for state, drive in (drawn_sample(cell, TRIALS), at_rest(cell)):
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
                raise ValueError(f"{method}: derivatives must be finite, got {first_bad(each)}")
    drawn = drawn_sample(cell, TRIALS)
    if not _blocks(bound, *drawn, closed=False)[1].any():
        raise ValueError("step: not differentiable: no component has a derivative by any drive (detached, or constant)")
    states = torch.stack(drawn[0], -2)
    if not any(slope_of(bound, scale * states, None).any() for scale in SCALES):  # surrogates end beside a threshold
        raise ValueError("rate: not differentiable: it has no derivative by the state (detached, rounded, or constant)")
    check_learned(bound, [name for name, each in cell.bounds().items() if each.learned])
    return "by autograd"


def check_closed_forms(cell: Cell) -> str:
    """Compare ``derivatives`` with automatic derivatives."""
    state, drive = drawn_sample(cell, TRIALS)
    bound = bound_sample(cell)
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


def check_in_place(cell: Cell) -> str:
    """Compare ``advance_`` with ``step`` and ``gate_derivatives`` with automatic derivatives."""
    state, drive = drawn_sample(cell, TRIALS)
    bound, before, gates = bound_sample(cell), torch.stack(state, -2), torch.stack(drive, -2)
    kept, after = before.clone(), torch.full_like(before, float("nan"))
    if not bound.advance_(gates, before, after):
        raise SkippedCheckError("advance_() is not defined")
    if not torch.equal(kept, before):
        raise ValueError("advance_: changes the state before the step; write the memory of the next one instead")
    for name, one, other in zip(cell.components, after.unbind(-2), all_of(bound.step(state, drive)), strict=True):
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
    state = drawn_sample(cell, TRIALS)[0]
    for name in learned:
        theta = torch.ones(CELLS, dtype=torch.float64, device="cpu").requires_grad_()
        with torch.enable_grad():
            rates = all_of(cell.bound({name: theta}).rate(state))
        if any(each.requires_grad for each in rates):
            raise ValueError(f"rate: depends on the constant {name}, which may be learned if it acts in step alone")


def _blocks(
    cell: Cell, state: State, drive: State, learned: Sequence[str] = (), *, closed: bool
) -> tuple[Tensor, Tensor]:
    """Return leak and gain as tables."""
    stacked = torch.stack(state, -2)
    return blocks_of(cell, stacked, torch.stack(drive, -2), learned, closed=closed).tables(stacked)
