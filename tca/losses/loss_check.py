"""A numerical check that the output error of a loss is the derivative of its value.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from tca.losses.loss import Loss
from tca.utils.check_report import CheckLine, CheckReport, SkippedCheckError, checked_line
from tca.utils.checks import checked

__all__ = ["check_at", "check_loss"]

OUTPUTS = (1, 2, 3, 5)
STEPS, TRIALS = 7, 11  # do not broadcast against any number of outputs
RELATIVE, ABSOLUTE = 1e-6, 1e-7  # constants of a loss may be in single precision
DRAWN = 8  # steps of a batch that are checked
Made = Callable[[Tensor], Tensor]

# Kinds of targets, made from normal samples (T, B, O).
TARGETS: dict[str, Made] = {
    "classes": lambda drawn: drawn.argmax(-1),
    "real numbers": lambda drawn: drawn,
    "positive numbers": torch.exp,
    "counts": lambda drawn: drawn.exp().round(),
    "numbers in [0, 1]": torch.sigmoid,
    "zeros and ones": lambda drawn: (drawn > 0).to(drawn),
    "distributions": lambda drawn: drawn.softmax(-1),
    "signs": lambda drawn: drawn.sign(),
    "real numbers for half of the outputs": lambda drawn: drawn[..., : drawn.shape[-1] // 2],
    "one real number": lambda drawn: drawn[..., 0],
}


@checked
def check_loss(loss: Loss, outputs: Tensor | None = None, targets: Tensor | None = None) -> CheckReport:
    """Check that the output error of a loss is the derivative of its value.

    By autograd in float64, for 1, 2, 3 and 5 outputs and every kind of targets that the loss accepts: classes, real and
    positive numbers, counts, distributions and others; a line for each kind. Outputs are drawn, so kinks are met with
    probability zero and not checked. A learner checks every user-defined loss once, on the targets of its first batch.

    Args:
        outputs: Unconstrained outputs near which to check it, shape ``(T, B, O)``; default drawn.
        targets: Targets for these outputs; required if the loss accepts none of the kinds above.

    Raises:
        TypeError: ``loss`` is not a `Loss`, or only one of ``outputs`` and ``targets`` is given.

    >>> from tca.losses import MSE
    >>> bool(check_loss(MSE()))
    True
    >>> class Uphill(MSE):
    ...     def output_error(self, outputs, targets):
    ...         return targets - outputs
    >>> print(check_loss(Uphill()).failures[0])
    failed  real numbers: output_error of Uphill() for output 1 of 1 is 3.71, and the derivative of its value is -3.71
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a Loss of tca.losses, got {type(loss).__name__}")
    if (outputs is None) != (targets is None):
        raise TypeError("outputs and targets must be given together, got one of them")
    if outputs is not None and targets is not None:
        return CheckReport(repr(loss), (checked_line("the targets given", partial(_given, loss, outputs, targets)),))
    lines = tuple(checked_line(kind, partial(_kind, loss, make)) for kind, make in TARGETS.items())
    if all(each.outcome == "skipped" for each in lines):
        detail = f"{loss!r} accepts none of the targets tried: give outputs and targets"
        lines = (CheckLine("targets", "failed", detail), *lines)
    return CheckReport(repr(loss), lines)


def _given(loss: Loss, outputs: Tensor, targets: Tensor) -> str:
    loss.check(tuple(outputs.shape), targets)
    check_at(loss, outputs.flatten(0, 1), targets.flatten(0, 1))
    return ""


def _kind(loss: Loss, make: Made) -> str:
    """Check a loss on one kind of targets; return the numbers of outputs that it accepts."""
    accepted, refusals = [], []
    for count in OUTPUTS:
        drawn = _normal(2, STEPS, TRIALS, count)
        outputs, targets = drawn[0], make(drawn[1])
        if refusal := _refusal(loss, outputs, targets):
            refusals.append(refusal)
            continue
        check_at(loss, outputs.flatten(0, 1), targets.flatten(0, 1))
        accepted.append(count)
    if not accepted:
        raise SkippedCheckError(refusals[0])
    return f"{', '.join(map(str, accepted))} outputs"


def _refusal(loss: Loss, outputs: Tensor, targets: Tensor) -> str:
    """Return the message of a loss that rejects targets, else an empty string."""
    if not targets.numel():
        return "no targets"
    try:
        loss.check(tuple(outputs.shape), targets)
        loss.value(outputs, targets)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        return str(error) or type(error).__name__
    return ""


def check_at(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    """Check that the output error is the derivative of the value near given outputs.

    Args:
        outputs: Outputs of S steps, shape ``(S, O)``; the first 8 are used.

    Raises:
        ValueError: The two differ, or autograd cannot differentiate ``value``.
    """
    with torch.inference_mode(False), torch.enable_grad():
        near, kept = outputs[:DRAWN].detach().cpu().double().clone(), targets[:DRAWN].detach().cpu().clone()
        kept = kept.double() if kept.is_floating_point() else kept
        about = torch.cat([near + size * _normal(*near.shape) for size in (0.1, 1.0)]).unsqueeze(1)
        wanted = torch.cat([kept, kept]).unsqueeze(1)
        _compare(loss, about, wanted)


def _compare(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    leaf, scored = outputs.clone().requires_grad_(), outputs.clone()
    value, score = loss.value(leaf, targets), loss.output_error(scored, targets)
    for name, found, shape in (("value", value, outputs.shape[:2]), ("output_error", score, outputs.shape)):
        if found.shape != shape:
            raise ValueError(
                f"{name} of {loss!r} must have shape {tuple(shape)} for outputs of shape {tuple(outputs.shape)}, "
                f"got {tuple(found.shape)}"
            )
    if not torch.equal(scored, outputs) or score.data_ptr() == scored.data_ptr():
        raise ValueError(f"output_error of {loss!r} must be a new tensor and must not change the outputs")
    if not value.requires_grad:
        raise ValueError(
            f"value of {loss!r} cannot be differentiated by autograd: write it in torch operations on the outputs"
        )
    apart = torch.linspace(0, 1, value.numel(), dtype=torch.float64, device="cpu")
    weights = 1 + apart.view_as(value)
    (slope,) = torch.autograd.grad((weights * value).sum(), leaf, allow_unused=True, materialize_grads=True)
    found, wanted = score.detach().double(), slope / weights.unsqueeze(-1)
    wrong = ~((found - wanted).abs() <= ABSOLUTE + RELATIVE * wanted.abs())
    if wrong.any():
        step, trial, output = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"output_error of {loss!r} for output {output + 1} of {outputs.shape[-1]} is "
            f"{found[step, trial, output]:.3g}, and the derivative of its value is {wanted[step, trial, output]:.3g}"
        )


def _normal(*shape: int) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=source, dtype=torch.float64, device="cpu")
