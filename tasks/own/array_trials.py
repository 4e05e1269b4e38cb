"""Trials from arrays and from datasets of torch.

Shapes: T time, B trials, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from tasks.trials import TrialSet
from tca.batch import Batch
from tca.losses import MSE, CrossEntropy, Loss
from tca.utils.checks import checked

__all__ = ["from_arrays", "from_dataset"]


@checked
def from_arrays(
    inputs: ArrayLike | Sequence[ArrayLike],
    targets: ArrayLike | Sequence[ArrayLike],
    lengths: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    info: Mapping[str, Any] | None = None,
    batch_first: bool = False,
    loss: Loss | None = None,
) -> TrialSet:
    """Return trials of arrays as a set.

    Integers are classes, real numbers real targets. A target may be given for every step or one for a trial, which then
    counts at its last step. Tensors keep their floating-point type, other real numbers become float32.

    Args:
        inputs: Shape ``(T, B, I)``, or a list of B arrays of shape ``(T_b, I)``, one a trial.
        targets: Classes ``(T, B)`` or ``(B,)``, real targets ``(T, B, O)`` or ``(B, O)``; or, if inputs are a list, a
            list with the targets of each trial.
        lengths: Steps of every trial, shape ``(B,)``; default all, or those of the arrays of a list.
        weights: Weight of each step in the loss, shape ``(T, B)``, zero after the end; by default those of a trial sum
            to 1: equal for a target a step, all at the last step for a target a trial.
        info: Columns with one value a trial, see `tca.Batch`; default none.
        batch_first: Whether arrays start with ``(B, T)`` instead of ``(T, B)``, default no.
        loss: Loss of a step; default the cross-entropy for classes, the squared error for real targets.

    Raises:
        ValueError: Shapes do not fit each other; the message names ``batch_first`` where that would help.
        TypeError: A value is no number.

    >>> from_arrays(torch.zeros(5, 3, 2), [0, 1, 1])
    TrialSet(trials=3, steps=5, inputs=2, loss=CrossEntropy())
    >>> from_arrays([np.zeros((4, 2)), np.zeros((6, 2))], [0.5, 1.0]).batch().trial_lengths
    tensor([4, 6])
    """
    given = None if weights is None else _numbers("weights", weights)
    if isinstance(inputs, (list, tuple)):
        listed = _listed("inputs", inputs)
        inputs_TBI, target = pad_sequence(listed), _listed_targets(targets, listed)
        lengths = [len(each) for each in listed] if lengths is None else lengths
    else:
        inputs_TBI, target = _numbers("inputs", inputs), _numbers("targets", targets)
        if inputs_TBI.ndim != 3:
            order = "(B, T, I)" if batch_first else "(T, B, I)"
            raise ValueError(f"inputs must have shape {order}, got {tuple(inputs_TBI.shape)}")
        _check_order(inputs_TBI, target, given, lengths, info or {}, batch_first)
        if batch_first:
            inputs_TBI, target = inputs_TBI.transpose(0, 1), _time_first(target, tuple(inputs_TBI.shape[:2]))
            given = None if given is None else given.transpose(0, 1)
    if not inputs_TBI.is_floating_point():
        inputs_TBI = inputs_TBI.float()
    steps, trials = inputs_TBI.shape[:2]
    lengths_B = _lengths(lengths, steps, trials)
    times_T1 = torch.arange(steps, device="cpu")[:, None]
    inside_TB, last_TB = times_T1 < lengths_B, times_T1 == lengths_B - 1
    target, per_trial = _at_steps(target, steps, trials)
    weights_TB = (last_TB.float() if per_trial else inside_TB / lengths_B) if given is None else given
    if tuple(weights_TB.shape) != (steps, trials):
        raise ValueError(f"weights must have shape (T, B) = ({steps}, {trials}), got {tuple(weights_TB.shape)}")
    if (weights_TB * ~inside_TB).any():
        raise ValueError("weights must be zero after the lengths of the trials, got a weight after the end of one")
    if per_trial:
        target = torch.where((weights_TB > 0).view(steps, trials, *[1] * (target.ndim - 2)), target, 0)
    if target.is_floating_point():
        target = target.to(inputs_TBI.dtype)
    if loss is None:
        loss = MSE() if target.is_floating_point() else CrossEntropy()
    known = bool((weights_TB * last_TB).sum(0).all())  # lengths are those of the weights
    weights_TB = weights_TB.to(inputs_TBI.dtype)
    return TrialSet(Batch(inputs_TBI, target, weights_TB, loss, lengths=None if known else lengths_B, info=info or {}))


@checked
def from_dataset(dataset: Dataset[Any], loss: Loss | None = None) -> TrialSet:
    """Return the samples of a map-style dataset of torch as a set of trials, read once.

    A sample is ``(inputs, target)``: inputs of shape ``(T, I)``, or ``(I,)`` for one step; the target is one a trial or
    one a step, as of `from_arrays`.

    Args:
        dataset: A dataset with a length.
        loss: As of `from_arrays`.

    Raises:
        ValueError: It has no samples, or a sample is no pair.
        TypeError: It has no length.

    >>> from torch.utils.data import TensorDataset
    >>> from_dataset(TensorDataset(torch.zeros(4, 7, 2), torch.tensor([0, 1, 1, 0])))
    TrialSet(trials=4, steps=7, inputs=2, loss=CrossEntropy())
    """
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TypeError(
            f"dataset must have a length, as map-style datasets of torch do, got {type(dataset).__name__}: "
            "collect its samples in a list of arrays for tasks.from_arrays"
        )
    samples = [dataset[place] for place in range(len(dataset))]
    if not samples or not all(isinstance(each, (tuple, list)) and len(each) == 2 for each in samples):
        got = "no samples" if not samples else f"a sample of type {type(samples[0]).__name__}"
        raise ValueError(f"dataset must hold pairs (inputs, target), got {got}")
    inputs = [_numbers("inputs", each) for each, _ in samples]
    return from_arrays(
        [each[None] if each.ndim == 1 else each for each in inputs], [each for _, each in samples], loss=loss
    )


def _numbers(name: str, values: Any) -> Tensor:
    """Return numbers as a tensor on the CPU: integers as int64, real numbers of other types than tensors as float32."""
    if isinstance(values, Tensor):
        return values.detach().cpu() if values.is_floating_point() else values.detach().cpu().long()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers, got an array of {array.dtype}")
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))


def _listed(name: str, values: Sequence[Any]) -> list[Tensor]:
    """Return the arrays of a list, one a trial, shape ``(T_b, I)``."""
    arrays = [_numbers(name, each) for each in values]
    if not arrays or any(each.ndim != 2 or 0 in each.shape or each.shape[1] != arrays[0].shape[1] for each in arrays):
        shapes = sorted({tuple(each.shape) for each in arrays})[:3]
        raise ValueError(f"{name} must be a list of arrays (T_b, I) with the same channels, got shapes {shapes}")
    return [each if each.is_floating_point() else each.float() for each in arrays]


def _listed_targets(targets: Any, listed: Sequence[Tensor]) -> Tensor:
    """Return the targets of trials in a list: one a trial or, padded, one a step."""
    if len(targets) != len(listed):
        raise ValueError(f"targets must hold one entry a trial, {len(listed)}, got {len(targets)}")
    each_B = [_numbers("targets", each) for each in targets]
    per_step = all(each.ndim > 0 and len(each) == len(one) for each, one in zip(each_B, listed, strict=True))
    if per_step and not all(each.ndim == 1 and each.is_floating_point() for each in each_B):
        return pad_sequence(each_B)
    if any(each.shape != each_B[0].shape for each in each_B):
        raise ValueError("targets must have the steps of their inputs, or the same shape in all trials")
    return torch.stack(each_B)


def _time_first(target: Tensor, order: tuple[int, ...]) -> Tensor:
    """Return targets of shape ``(B, T, ...)`` with time first; those of one a trial as they are."""
    one_real = target.ndim == 2 and target.is_floating_point()
    return target.transpose(0, 1) if target.ndim > 1 and tuple(target.shape[:2]) == order and not one_real else target


def _lengths(lengths: Any, steps: int, trials: int) -> Tensor:
    lengths_B = (
        torch.full((trials,), steps, dtype=torch.int64, device="cpu")
        if lengths is None
        else _numbers("lengths", lengths)
    )
    if tuple(lengths_B.shape) != (trials,):
        raise ValueError(f"lengths must have shape (B,) = ({trials},), got {tuple(lengths_B.shape)}")
    if lengths_B.is_floating_point() or lengths_B.min() < 1 or lengths_B.max() > steps:
        raise ValueError(f"lengths must be integers from 1 to {steps}, the steps of inputs, got {lengths_B.tolist()}")
    return lengths_B


def _check_order(
    inputs: Tensor, targets: Tensor, weights: Tensor | None, lengths: Any, info: Mapping[str, Any], batch_first: bool
) -> None:
    """Raise if the sizes of other arrays show that time and trials of the inputs are the other way round."""
    order = tuple(inputs.shape[:2])
    steps, trials = order[::-1] if batch_first else order
    if trials == steps:
        return
    sizes: dict[str, tuple[int, ...]] = {f"info[{name!r}]": np.shape(column) for name, column in info.items()}
    sizes |= {} if lengths is None else {"lengths": np.shape(lengths)}
    sizes |= {} if weights is None else {"weights": tuple(weights.shape)}
    sizes["targets"] = tuple(targets.shape)
    for name, shape in sizes.items():
        of_trials = name == "targets" and targets.is_floating_point() and len(shape) == 2  # (B, O)
        if shape == (steps,) or (shape[:2] == order[::-1] and not of_trials):
            orders = ("(B, T, I)", "(T, B, I)") if batch_first else ("(T, B, I)", "(B, T, I)")
            raise ValueError(
                f"inputs of shape {tuple(inputs.shape)} are taken as {orders[0]}, but {name} of shape {shape} fit "
                f"{orders[1]}: give batch_first={not batch_first}"
            )


def _at_steps(targets: Tensor, steps: int, trials: int) -> tuple[Tensor, bool]:
    """Return targets of every step, ``(T, B)`` or ``(T, B, O)``, and whether they were one a trial."""
    shape = tuple(targets.shape)
    if targets.is_floating_point() and shape == (trials,):
        targets, shape = targets[:, None], (trials, 1)
    real = targets.is_floating_point()
    if shape[:2] == (steps, trials) and len(shape) == 2 + real:
        return targets, False
    if shape[:1] == (trials,) and len(shape) == 1 + real:
        return targets.expand(steps, *shape), True
    kinds = ("(T, B, O) or (B, O)", " real") if real else ("(T, B) or (B,)", " integer")
    hint = "; one real target a step needs a last axis: targets[..., None]" if real and len(shape) == 2 else ""
    raise ValueError(f"targets must have shape {kinds[0]} with T = {steps}, B = {trials}, got{kinds[1]} {shape}{hint}")
