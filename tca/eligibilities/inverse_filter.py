"""The inverse of the reverse filter: the learning signal that a filtered signal comes from.

Shapes: B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.tape.tape import Tape

__all__ = ["following", "remembered", "unfilter"]


def unfilter(
    eligibility: Eligibility, tape: Tape, filtered: Tensor, steps: slice, later: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the inverse of ``Eligibility.filter_``, ``L_t = nu_t - D_{t+1}^T nu_{t+1}``.

    The second value is ``later`` of the window before. With a propagator for each postsynaptic cell, ``D_{t+1}^T
    nu_{t+1}`` is the filter of a signal that is zero at step t.

    Args:
        filtered: Filtered state signal of these steps, shape ``(C, B, N)``.
        steps: The steps, counted from the initial state.
        later: Second value of the window after; ``None`` at the end of the trial.
    """
    if not eligibility.remembers:
        return filtered, filtered[0]
    signal = filtered.clone()
    if eligibility.shared:
        after = following(filtered, later)
        signal[: len(after)].sub_(remembered(eligibility, tape, after, steps.start + 1))
        return signal, filtered[0].clone()
    for index in range(len(signal) - 1, -1, -1):
        step, entry = slice(steps.start + index, steps.start + index + 1), signal[index : index + 1]
        returned = torch.zeros_like(entry)
        eligibility.filter_(tape, returned, step, later)
        later = eligibility.filter_(tape, entry.sub_(returned).clone(), step, later)
    assert later is not None
    return signal, later


def remembered(eligibility: Eligibility, tape: Tape, signal: Tensor, first: int) -> Tensor:
    """Return ``D_t^T signal_t`` of consecutive steps, shape ``(C, B, N)``.

    Args:
        signal: State signal of C steps, shape ``(C, B, N)``.
    """
    returned = torch.zeros_like(signal)
    if eligibility.remembers:
        for index, each in enumerate(signal.unbind(0)):
            eligibility.propagate_back_(tape, first + index, returned[index], each)
    return returned


def following(signal: Tensor, later: Tensor | None) -> Tensor:
    """Return a signal shifted one step later.

    Args:
        signal: Signal of a window, shape ``(C, B, N)``.
        later: Signal of the step after, shape ``(B, N)``; ``None`` at the end of the trial.
    """
    return signal[1:] if later is None else torch.cat([signal[1:], later.unsqueeze(0)])
