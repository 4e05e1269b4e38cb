"""The generalization gap: how much worse a network does on trials that are new to it, clean and with noisy inputs.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from analysis.problem import Trials
from tca.batch import Batch
from tca.nets import LeakyRNN

__all__ = ["Generalization", "Measure", "Score", "generalization_gap"]

TRIALS_AT_ONCE = 512


class Measure(Protocol):
    """What says how good outputs are, such as a ``Task``."""

    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the accuracy of outputs of shape ``(T, B, O)`` on the batch, 1 at best."""
        ...


@dataclass(frozen=True)
class Score:
    """How a network does on a set of trials.

    Attributes:
        loss: Mean loss of a trial.
        accuracy: Accuracy as the task defines it, 1 at best.
        trials: Number of trials.
    """

    loss: float
    accuracy: float
    trials: int


@dataclass(frozen=True)
class Generalization:
    """What ``generalization_gap`` has found; every gap is positive where the network does worse on the test set.

    Attributes:
        train: Score on the training trials, clean.
        test: Score on the test trials, clean.
        noisy_test: Score on the test trials with noise on their inputs, ``None`` if not asked for.
        input_noise: Standard deviation of that noise, ``None`` for none.
    """

    train: Score
    test: Score
    noisy_test: Score | None
    input_noise: float | None

    @property
    def loss_gap(self) -> float:
        """Test minus training loss."""
        return self.test.loss - self.train.loss

    @property
    def accuracy_gap(self) -> float:
        """Training minus test accuracy."""
        return self.train.accuracy - self.test.accuracy

    @property
    def noisy_loss_gap(self) -> float | None:
        """Loss on noisy test trials minus training loss."""
        return None if self.noisy_test is None else self.noisy_test.loss - self.train.loss

    @property
    def noisy_accuracy_gap(self) -> float | None:
        """Training accuracy minus accuracy on noisy test trials."""
        return None if self.noisy_test is None else self.train.accuracy - self.noisy_test.accuracy

    def __str__(self) -> str:
        """Return a small table."""
        rows = [("train", self.train, None, None), ("test", self.test, self.loss_gap, self.accuracy_gap)]
        if self.noisy_test is not None:
            rows.append(
                (f"test, noise {self.input_noise:g}", self.noisy_test, self.noisy_loss_gap, self.noisy_accuracy_gap)
            )
        lines = [f"{'':<18}{'trials':>8}{'loss':>11}{'accuracy':>11}{'loss gap':>11}{'acc. gap':>11}"]
        for name, score, *gaps in rows:
            shown = "".join("" if gap is None else f"{gap:>11.4g}" for gap in gaps)
            lines.append(f"{name:<18}{score.trials:>8}{score.loss:>11.4g}{score.accuracy:>11.4g}{shown}")
        return "\n".join(lines)


def generalization_gap(
    net: LeakyRNN,
    task: Measure,
    train: Trials | Batch,
    test: Trials | Batch,
    *,
    input_noise: float | None = None,
    clip: tuple[float, float] | None = None,
    seed: int = 0,
) -> Generalization:
    """Return loss and accuracy on training and test trials with their gaps, positive where the test trials do worse.

    The gaps are ``test - train`` loss and ``train - test`` accuracy. With ``input_noise`` the test trials are shown a
    second time with ``x + N(0, input_noise^2)``, independent for every step, trial and channel, held within ``clip``.
    Private noise of the network is left out. Nothing is changed.

    Args:
        net: The network.
        task: The task, for its accuracy.
        train: The trials that the network was trained on.
        test: Trials that it was not trained on.
        input_noise: Standard deviation of the noise on test inputs; ``None`` (default) for no noisy condition. For
            images with pixels in [0, 1], 0.2 with ``clip=(0, 1)`` separates rules better than clean test images.
        clip: Lowest and highest value of noisy inputs; ``None`` (default) for no limits.
        seed: Seed of the noise.

    Raises:
        ValueError: The noise is negative or not finite, the limits are not in order or come without noise, or trials do
            not fit the network.

    Paper: Liu, Ghosh, Richards, Shea-Brown and Lajoie (2022), Beyond accuracy: generalization properties of
    bio-plausible temporal credit assignment rules, arXiv:2206.00823.

    >>> from tca.losses import MSE
    >>> class Near:
    ...     def accuracy(self, outputs, batch):
    ...         return (outputs - batch.targets).abs().lt(0.5).double().mean().item()
    >>> train = Batch(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1), torch.full((2, 3), 0.5), MSE())
    >>> test = Batch(torch.zeros(2, 5, 1), torch.ones(2, 5, 1), torch.full((2, 5), 0.5), MSE())
    >>> found = generalization_gap(LeakyRNN(1, 4, 1), Near(), train, test)        # the untrained network answers zero
    >>> found.loss_gap, found.accuracy_gap
    (0.5, 1.0)
    """
    if input_noise is not None and not (math.isfinite(input_noise) and input_noise >= 0):
        raise ValueError(f"input_noise must be finite and not negative, got {input_noise!r}")
    if clip is not None and (input_noise is None or not clip[0] < clip[1]):
        raise ValueError(f"clip must be a lower and a higher limit, together with input_noise, got {clip!r}")
    train, test = (each if isinstance(each, Batch) else each.batch() for each in (train, test))
    noisy = None if input_noise is None else _noisy(test, input_noise, clip, seed)
    return Generalization(
        train=_score(net, task, train),
        test=_score(net, task, test),
        noisy_test=None if noisy is None else _score(net, task, noisy),
        input_noise=input_noise,
    )


@torch.no_grad()
def _score(net: LeakyRNN, task: Measure, batch: Batch) -> Score:
    batch.check(net.n_in, net.n_out)
    outputs = torch.cat([net(inputs) for inputs in torch.split(batch.inputs, TRIALS_AT_ONCE, 1)], 1)
    loss = batch.loss.mean(outputs, batch.targets, batch.weights)
    return Score(loss.item(), task.accuracy(outputs, batch), batch.trials)


def _noisy(batch: Batch, input_noise: float, clip: tuple[float, float] | None, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch.inputs.shape, generator=generator, dtype=torch.float64)
    inputs = batch.inputs + input_noise * noise.to(batch.inputs)
    return replace(batch, inputs=inputs if clip is None else inputs.clamp(*clip))
