"""The generalization gap: how much worse a network does on trials that are new to it, clean and under other conditions.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import tasks
from analysis.fixed_data import Data, as_data
from analysis.generalization.conditions import Condition, InputNoise
from analysis.models import run, separate_copy
from analysis.samples import Criterion, Samples, joined
from tca.batch import Batch
from tca.experiments.training.evaluation import TRIALS_AT_ONCE, Measure, evaluate
from tca.losses import CrossEntropy, Logistic
from tca.nets import Network
from tca.utils.checks import NotNegative, Seed, checked
from tca.utils.tables import Tabular, columns_of, row_of

__all__ = ["Gap", "Generalization", "Performance", "generalization_gap"]


@dataclass(frozen=True)
class Performance:
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
class Gap:
    """How much worse a network does than on its training trials; positive is worse.

    Attributes:
        loss: Loss less the training loss.
        accuracy: Training accuracy less the accuracy.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Generalization(Tabular):
    """Result of `generalization_gap`; every gap is positive where the network does worse on the test set.

    Attributes:
        train: Score on the training trials, clean.
        test: Score on the test trials, clean.
        noisy_test: Score on the test trials with noise on their inputs, ``None`` if not asked for.
        input_noise: Standard deviation of that noise, ``None`` for none.
        under: Score under every further condition, by name.
    """

    train: Performance
    test: Performance
    noisy_test: Performance | None
    input_noise: float | None
    under: Mapping[str, Performance] = field(default_factory=dict)

    def _columns(self) -> dict[str, Any]:
        """Return a row for each set of trials, with its gap to the training trials."""
        scores = {"train": self.train, **self._tested}
        gaps = {name: self.gap(score) for name, score in scores.items()}
        return columns_of(
            {"set": name, **row_of(score), "loss_gap": gaps[name].loss, "accuracy_gap": gaps[name].accuracy}
            for name, score in scores.items()
        )

    def gap(self, score: Performance) -> Gap:
        """Return how much worse a score is than that on the training trials."""
        return Gap(score.loss - self.train.loss, self.train.accuracy - score.accuracy)

    @property
    def gaps(self) -> dict[str, Gap]:
        """Every gap by name: ``test``, ``noisy`` if there is one, and those under further conditions."""
        return {name: self.gap(score) for name, score in self._tested.items()}

    @property
    def _tested(self) -> dict[str, Performance]:
        noisy = {} if self.noisy_test is None else {"noisy": self.noisy_test}
        return {"test": self.test, **noisy, **self.under}

    @property
    def loss_gap(self) -> float:
        """Test minus training loss."""
        return self.gap(self.test).loss

    @property
    def accuracy_gap(self) -> float:
        """Training minus test accuracy."""
        return self.gap(self.test).accuracy

    @property
    def noisy_loss_gap(self) -> float | None:
        """Loss on noisy test trials minus training loss."""
        return None if self.noisy_test is None else self.gap(self.noisy_test).loss

    @property
    def noisy_accuracy_gap(self) -> float | None:
        """Training accuracy minus accuracy on noisy test trials."""
        return None if self.noisy_test is None else self.gap(self.noisy_test).accuracy

    def __str__(self) -> str:
        noisy = {} if self.noisy_test is None else {f"test, noise {self.input_noise:g}": self.noisy_test}
        named = {"test": self.test, **noisy, **self.under}
        width = max(18, *(len(name) + 1 for name in named))
        lines = [f"{'':<{width}}{'trials':>8}{'loss':>11}{'accuracy':>11}{'loss gap':>11}{'acc. gap':>11}"]
        for name, score in {"train": self.train, **named}.items():
            gap = self.gap(score)
            shown = "" if name == "train" else f"{gap.loss:>11.4g}{gap.accuracy:>11.4g}"
            lines.append(f"{name:<{width}}{score.trials:>8}{score.loss:>11.4g}{score.accuracy:>11.4g}{shown}")
        return "\n".join(lines)


@checked
def generalization_gap(
    net: nn.Module,
    task: Measure | Callable[[Any, Any], float] | None,
    train: Data,
    test: Data,
    *,
    loss: Criterion | None = None,
    input_noise: NotNegative | None = None,
    clip: tuple[float, float] | None = None,
    seed: Seed = 0,
    conditions: Mapping[str, Condition] | None = None,
) -> Generalization:
    """Return loss and accuracy on training and test trials with their gaps, positive where the test trials do worse.

    The gaps are ``test - train`` loss and ``train - test`` accuracy. With ``input_noise`` the test trials are shown a
    second time with ``x + N(0, input_noise^2)``, independent for every step, trial and channel, held within ``clip``.
    Private noise of the network is left out; the network stays unchanged.

    Args:
        net: A network of the library, or any module, which is run in evaluation mode.
        task: The task, for its accuracy; conditions that draw trials need a whole ``tasks.Task``. Of inputs and targets
            a function ``accuracy(outputs, targets)``, or ``None`` for the fraction of classes, or of signs of logits,
            that are right, NaN for other losses.
        train: The trials that the network was trained on; or samples, a pair or a loader, see ``as_data``.
        test: Trials that it was not trained on.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        input_noise: Standard deviation of the noise on test inputs; ``None`` (default) for no noisy condition. For
            images with pixels in [0, 1], 0.2 with ``clip=(0, 1)`` separates rules better than clean test images.
        clip: Lowest and highest value of noisy inputs; ``None`` (default) for no limits.
        conditions: Further conditions to test under, by a name of your own, see ``analysis.generalization.conditions``.

    Raises:
        ValueError: The noise is negative or not finite, the limits are not in order or come without noise, a condition
            cannot be met, or trials do not fit the network.
        TypeError: A condition needs a whole task and there is none.

    Paper: Liu, Ghosh, Richards, Shea-Brown and Lajoie (2022), Beyond accuracy: generalization properties of
    bio-plausible temporal credit assignment rules, arXiv:2206.00823.

    >>> from tca.nets import LeakyRNN
    >>> from tca.losses import MSE
    >>> class Near:
    ...     def accuracy(self, outputs, batch):
    ...         return (outputs - batch.targets).abs().lt(0.5).double().mean().item()
    >>> train = Batch(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1), torch.full((2, 3), 0.5), MSE())
    >>> test = Batch(torch.zeros(2, 5, 1), torch.ones(2, 5, 1), torch.full((2, 5), 0.5), MSE())
    >>> result = generalization_gap(LeakyRNN(1, 4, 1), Near(), train, test)        # the untrained network answers zero
    >>> result.loss_gap, result.accuracy_gap
    (0.5, 1.0)
    >>> data = torch.eye(2), torch.tensor([0, 1])
    >>> result = generalization_gap(nn.Identity(), None, data, (data[0], data[1].flip(0)), loss=nn.CrossEntropyLoss())
    >>> round(result.loss_gap, 6), result.accuracy_gap
    (1.0, 1.0)
    """
    if clip is not None and (input_noise is None or not clip[0] < clip[1]):
        raise ValueError(f"clip must be a lower and a higher limit, together with input_noise, got {clip!r}")
    seen, new = as_data(train, loss, net, "train"), as_data(test, loss, net, "test")
    net = net if isinstance(net, Network) else separate_copy(net)
    noisy = None if input_noise is None else InputNoise(input_noise, clip, seed).noisy(new)
    return Generalization(
        train=_score(net, task, seen),
        test=_score(net, task, new),
        noisy_test=None if noisy is None else _score(net, task, noisy),
        input_noise=input_noise,
        under=_under(net, task, new, conditions or {}),
    )


def _score(net: nn.Module, task: Measure | Callable[[Any, Any], float] | None, data: Batch | Samples) -> Performance:
    if isinstance(data, Samples):
        return _of_samples(net, task, data)
    if not isinstance(task, Measure):
        raise TypeError(f"task must have the accuracy of trials, such as a tasks.Task, got {type(task).__name__}")
    if isinstance(net, Network):
        data.check(net.n_in, net.n_out)
    return Performance(*evaluate(net, task, data), data.trials)


@torch.no_grad()
def _of_samples(net: nn.Module, accuracy: Any, data: Samples) -> Performance:
    """Return the loss and accuracy of all samples, whose outputs are computed some at a time."""
    own = next(net.parameters(), None)
    data = data if own is None else data.to(own.device, own.dtype)
    outputs = joined([run(net, {}, piece.inputs) for piece in data.pieces(TRIALS_AT_ONCE)], data.answers)
    right = _fraction_right(data, outputs) if accuracy is None else float(accuracy(outputs, data.targets))
    loss = data.value(outputs).item()
    return Performance(loss if math.isfinite(loss) else math.nan, right, data.trials)


def _fraction_right(data: Samples, outputs: Any) -> float:
    """Return the fraction of targets that the outputs name: the largest, or those above zero."""
    if isinstance(data.loss, nn.BCEWithLogitsLoss | Logistic):
        return float((outputs > 0).eq(data.targets > 0.5).double().mean())
    axis = {nn.CrossEntropyLoss: 1, nn.NLLLoss: 1, CrossEntropy: -1}.get(type(data.loss))
    if axis is None:
        return math.nan
    named, given = outputs.argmax(axis), data.targets
    given = given.argmax(axis) if given.is_floating_point() else given
    return float(named.eq(given)[given != getattr(data.loss, "ignore_index", -1)].double().mean())


def _under(
    net: nn.Module, task: object, test: Batch | Samples, conditions: Mapping[str, Condition]
) -> dict[str, Performance]:
    if not conditions:
        return {}
    if not isinstance(task, tasks.Task) or not isinstance(test, Batch):
        raise TypeError(f"task must be a tasks.Task where there are conditions, got {type(task).__name__}")
    return {name: _score(net, task, each.batch(task, test)) for name, each in conditions.items()}
