"""A batch of trials: inputs, targets, weights and loss.

Shapes: T time, B batch, I inputs, O outputs. Time comes first, batch second.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from tca.batch_checks import check_fit, check_parts
from tca.losses import Loss
from tca.losses.loss import foreign
from tca.utils.checks import Count, Device, DType, checked, quick_counts, quick_instance, settle
from tca.utils.numerics import kept, mark_of
from tca.utils.trial_info import joined_info, selected_info, trial_info

__all__ = ["Batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Trials with targets, weights and a loss, padded to the same number of steps.

    The loss of a network with outputs ``y`` on the batch is ``1/B sum_b sum_t weights_tb l(y_tb, targets_tb)``.

    A trial ends at its last step with a positive weight, or at its length if ``lengths`` are given. Steps after its end
    are padding, as in `torch.nn.utils.rnn.pack_padded_sequence`: no gradient, regulariser, noise or measure of activity
    depends on them, nor on how many there are. Steps without weight before the end, such as a delay, belong to the
    trial. A trial without any weight has no steps; it counts among the B trials of the loss and in no mean of activity.

    Args:
        inputs: Inputs of the network, shape ``(T, B, I)``.
        targets: Class indices ``(T, B)`` or real targets ``(T, B, O)``, as ``loss`` requires.
        weights: Weight of every step of every trial in the loss, shape ``(T, B)``, not negative; zero where padded.
        loss: The loss of a step.
        decisions: Steps that count towards accuracy, boolean, shape ``(T, B)``; by default the steps
            with a positive weight.
        lengths: Steps of every trial, integers from 0 to T, shape ``(B,)``, weights being zero after them; ``None``
            (default) for up to the last step with a positive weight. Needed only where steps after that belong to a
            trial.
        info: Columns with one value a trial, such as coherence, delay and side, which learning does not read: arrays,
            tensors or sequences of numbers, truth values or text, ``None`` where a value is missing; none by default.
            They become arrays of shape ``(B,)``, in which a missing value is NaN or the empty text.
        start: State of the cells at time zero, ``(B, M)``, a constant, of a network that can start there
            (``Network.starts_anywhere``): N potentials or rates of leaky cells, all components of others, one after
            another, then the N filtered rates of a filtered readout; ``None`` (default) for its initial state.

    Raises:
        ValueError: A shape does not fit the others, a value is not finite, or a weight is negative.

    >>> from tca.losses import MSE
    >>> Batch(torch.zeros(5, 2, 3), torch.zeros(5, 2, 1), torch.full((5, 2), 0.2), MSE())
    Batch(steps=5, trials=2, inputs=3, loss=MSE())
    >>> batch = Batch(torch.zeros(5, 2, 3), torch.zeros(5, 2, 1), torch.full((5, 2), 0.2), MSE(), info={"side": [0, 1]})
    >>> batch.select(slice(1, 2)).info["side"]
    array([1])
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    loss: Loss
    decisions: Tensor | None = None
    lengths: Tensor | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    start: Tensor | None = None

    # What is known of the tensors while none of them changes, with their marks.
    _fits: ClassVar[tuple[object, ...] | None] = None  # sizes that they were checked for
    _padded: ClassVar[tuple[object, ...] | None] = None  # whether a trial is padded

    def __post_init__(self) -> None:
        check_parts(self)
        settle(self, info=trial_info(self.info, self.trials))

    def __repr__(self) -> str:
        return f"Batch(steps={self.steps}, trials={self.trials}, inputs={self.inputs.shape[2]}, loss={self.loss!r})"

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return self.inputs.shape[0]

    @property
    def trials(self) -> int:
        """Number of trials B."""
        return self.inputs.shape[1]

    @property
    def decision_steps(self) -> Tensor:
        """Steps that count towards accuracy, boolean, shape ``(T, B)``."""
        return self.weights > 0 if self.decisions is None else self.decisions

    @property
    def trial_lengths(self) -> Tensor:
        """Steps of every trial, int64, shape ``(B,)``: up to its last weight unless ``lengths`` are given."""
        if self.lengths is not None:
            return self.lengths.to(self.weights.device, torch.int64)
        steps = torch.arange(1, self.steps + 1, device=self.weights.device).unsqueeze(1)
        return torch.where(self.weights != 0, steps, 0).amax(0)

    @property
    def padded(self) -> bool:
        """Whether any trial ends before the last step."""
        mark = mark_of(self.weights, self.lengths)
        if mark is None or self._padded is None or self._padded[1:] != mark:
            short = self.weights[-1] == 0 if self.lengths is None else self.lengths < self.steps
            settle(self, _padded=(bool(short.any()), *(mark or ())))
        assert self._padded is not None
        return bool(self._padded[0])

    @property
    def inside(self) -> Tensor:
        """Steps before the end of their trial, boolean, shape ``(T, B)``."""
        return torch.arange(self.steps, device=self.weights.device).unsqueeze(1) < self.trial_lengths

    def check(self, n_in: Count, n_out: Count) -> None:
        """Raise unless the batch fits a network of these sizes.

        Trials are checked again only after one of their tensors was changed, selections of checked ones not at all.

        Args:
            n_in: Number of input channels of the network.
            n_out: Number of outputs of the network.

        Raises:
            ValueError: Sizes differ, or inputs, targets or weights hold a value that is not allowed.
        """
        mark = self._marked()
        if mark is not None and self._fits == (n_in, n_out, *mark):
            return
        quick_counts(n_in=n_in, n_out=n_out)
        padded = check_fit(self, n_in)
        settle(self, _padded=(padded, *(mark_of(self.weights, self.lengths) or ())))
        self.loss.check((self.steps, self.trials, n_out), self.targets)
        settle(self, _fits=None if mark is None else (n_in, n_out, *mark))

    def _marked(self) -> tuple[object, ...] | None:
        return mark_of(self.inputs, self.targets, self.weights, self.decisions, self.lengths)

    def select(self, trials: Tensor | slice) -> Batch:
        """Return the batch of the chosen trials, in that order.

        Args:
            trials: Indices of trials, or a slice of them.
        """
        quick_instance("trials", trials, Tensor | slice, Tensor, slice)
        if isinstance(trials, Tensor) and (trials.is_floating_point() or trials.is_complex()):
            raise TypeError(f"trials must be integer indices or a mask, got dtype {trials.dtype}")
        listed = isinstance(trials, Tensor) and trials.dtype == torch.int64 and trials.ndim == 1
        listed = listed and trials.is_cpu and self.inputs.is_cpu  # type: ignore[union-attr]

        def of(part: Tensor) -> Tensor:
            if listed:
                with contextlib.suppress(RuntimeError):  # some count from the end, or are none
                    return part.index_select(1, trials)  # type: ignore[arg-type]
            return part[:, trials]

        parts: dict[str, Any] = {
            "inputs": of(self.inputs),
            "targets": of(self.targets),
            "weights": of(self.weights),
            "decisions": None if self.decisions is None else of(self.decisions),
            "lengths": None if self.lengths is None else self.lengths[trials],
            "info": selected_info(self.info, trials),
            "start": None if self.start is None else self.start[trials],
        }
        if parts["inputs"].ndim != 3 or 0 in parts["inputs"].shape:
            return replace(self, **parts)  # which raises
        chosen = object.__new__(type(self))  # parts of what fits fit
        settle(chosen, loss=self.loss, **parts)
        fits, mark = self._fits, chosen._marked()
        if fits is not None and mark is not None and fits[2:] == self._marked() and not foreign(self.loss):
            settle(chosen, _fits=(*fits[:2], *mark))
        if not self.padded:
            settle(chosen, _padded=(False, *(mark_of(chosen.weights, chosen.lengths) or ())))
        return chosen

    @staticmethod
    @checked
    def joined(parts: Sequence[Batch]) -> Batch:
        """Return the trials of several batches as one, padded to the longest.

        Args:
            parts: Batches with the same channels and loss, at least one.

        Raises:
            ValueError: There is none, or losses differ.

        >>> from tca.losses import MSE
        >>> parts = [Batch(torch.ones(t, 1, 1), torch.ones(t, 1, 1), torch.ones(t, 1), MSE()) for t in (2, 3)]
        >>> Batch.joined(parts).trial_lengths.tolist()
        [2, 3]
        """
        if not parts:
            raise ValueError("parts must hold at least one batch, got none")
        for part in parts:
            if part.loss is not parts[0].loss and part.loss != parts[0].loss:
                raise ValueError(f"parts must have one loss, got {parts[0].loss!r} and {part.loss!r}")
        if len({part.start is None for part in parts}) > 1:
            raise ValueError("parts must all have a start, or none of them")
        steps = max(part.steps for part in parts)

        def together(each: Sequence[Tensor]) -> Tensor:
            padded = [torch.cat([part, part.new_zeros(steps - len(part), *part.shape[1:])]) for part in each]
            return torch.cat(padded if any(len(part) < steps for part in each) else list(each), 1)

        decided, timed = (any(getattr(part, name) is not None for part in parts) for name in ("decisions", "lengths"))
        return Batch(
            together([part.inputs for part in parts]),
            together([part.targets for part in parts]),
            together([part.weights for part in parts]),
            parts[0].loss,
            together([part.decision_steps for part in parts]) if decided else None,
            torch.cat([part.trial_lengths for part in parts]) if timed else None,
            joined_info([(part.info, part.trials) for part in parts]),
            None if parts[0].start is None else torch.cat([part.start for part in parts if part.start is not None]),
        )

    def kept(self) -> Batch:
        """Return the batch with inference-mode tensors copied, since no graph may save them."""
        parts = (self.inputs, self.targets, self.weights)
        if not any(each.is_inference() for each in parts):
            return self
        inputs, targets, weights = (kept(each) for each in parts)
        start = None if self.start is None else kept(self.start)
        return replace(self, inputs=inputs, targets=targets, weights=weights, start=start)

    @checked
    def to(self, device: Device | None = None, dtype: DType | None = None) -> Batch:
        """Return the batch on a device and in a floating-point type; class indices keep theirs.

        A batch that was checked needs no further check there.

        Args:
            device: The device; ``None`` keeps it.
            dtype: Floating-point type of inputs, weights and real targets; ``None`` keeps it.
        """

        def move(part: Tensor) -> Tensor:
            return part.to(device=device, dtype=dtype if part.is_floating_point() else None)

        moved = replace(
            self,
            inputs=move(self.inputs),
            targets=move(self.targets),
            weights=move(self.weights),
            decisions=None if self.decisions is None else move(self.decisions),
            lengths=None if self.lengths is None else move(self.lengths),
            start=None if self.start is None else move(self.start),
        )
        fits, mark = self._fits, moved._marked()
        wide = dtype is None or torch.finfo(dtype).max >= torch.finfo(self.inputs.dtype).max  # finite numbers stay so
        if fits is not None and mark is not None and wide and self._marked() == fits[2:] and not foreign(self.loss):
            settle(
                moved, _fits=(*fits[:2], *mark), _padded=(self.padded, *(mark_of(moved.weights, moved.lengths) or ()))
            )
        return moved
