"""Intervals of the gaps of one network, by drawing its trials again.

Shapes: B batch, R resamples.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.fixed_data import Trials, as_batch
from tca.batch import Batch
from tca.experiments.training.evaluation import Measure, outputs_of
from tca.nets import Network
from tca.utils.checks import Count, Probability, Seed, checked

__all__ = ["gap_intervals"]


@checked
def gap_intervals(
    net: Network,
    task: Measure,
    train: Trials | Batch,
    test: Trials | Batch,
    *,
    confidence: Probability = 0.95,
    resamples: Count = 1000,
    seed: Seed = 0,
) -> dict[str, tuple[float, float]]:
    """Return bootstrap intervals of one network's gaps over trials, ``"loss"`` and ``"accuracy"``.

    Training and test trials are drawn with replacement, each set from its own; the interval lies between percentiles.
    It is the uncertainty of this network's gap due to these trials. The spread between networks differs:
    where every seed has trials of its own, an interval over seeds, ``analysis.statistics.mean``, holds both.

    Args:
        train: The trials that the network was trained on.
        test: Trials that it was not trained on.
        confidence: Probability with which such intervals hold the gap, default 0.95.
        resamples: Number of resamples R, default 1000.
        seed: Seed of the resamples, default 0.

    Raises:
        ValueError: A number is out of range, or trials do not fit the network.
    """
    sets = [as_batch(train, "train"), as_batch(test, "test")]
    source = np.random.default_rng(seed)
    (train_loss, train_accuracy), (test_loss, test_accuracy) = (
        _resampled(net, task, batch, resamples, source) for batch in sets
    )
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    gaps = {"loss": test_loss - train_loss, "accuracy": train_accuracy - test_accuracy}
    ends = {name: np.quantile(values, tails).tolist() for name, values in gaps.items()}
    return {name: (low, high) for name, (low, high) in ends.items()}


def _resampled(
    net: Network, task: Measure, batch: Batch, resamples: int, source: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return loss and accuracy of trials drawn with replacement, each of shape ``(R,)``."""
    batch.check(net.n_in, net.n_out)
    outputs = outputs_of(net, batch.inputs)
    losses_B = (batch.weights * batch.loss.value(outputs, batch.targets)).sum(0).double()
    draws_RB = torch.from_numpy(source.integers(0, batch.trials, (resamples, batch.trials))).to(outputs.device)
    losses_R = losses_B[draws_RB].mean(1).cpu().numpy()
    accuracies = [task.accuracy(outputs[:, drawn], batch.select(drawn)) for drawn in draws_RB]
    return losses_R, np.asarray(accuracies, dtype=np.float64)
