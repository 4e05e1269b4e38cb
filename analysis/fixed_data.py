"""Data that are the same each time they are read: batches, sets of trials, pairs of tensors, loaders.

Shapes: N samples.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from analysis.samples import Criterion, Samples, joined, mapped, tensors
from tca.batch import Batch
from tca.nets.network import Network

__all__ = ["Data", "Trials", "as_batch", "as_data", "fingerprint", "generators_kept"]

SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


@runtime_checkable
class Trials(Protocol):
    """A fixed set of trials, such as a ``TrialSet``."""

    def batch(self) -> Batch:
        """Return all trials as one batch."""
        ...


Data = Batch | Trials | Samples | DataLoader[Any] | tuple[Any, ...]
"""Trials of the library; or samples, a loader of pairs, or one pair of inputs and targets, all with a loss."""


def as_data(data: Data, loss: Criterion | None, net: nn.Module, name: str = "trials") -> Batch | Samples:
    """Return data as one batch or one set of samples, having made sure that they are the same each time.

    Samples lie along the first axis, those of a network of the library along the second, after time.

    Args:
        data: A batch or a fixed set of trials, which have a loss; or ``Samples``, a pair ``(inputs, targets)``, or a
            ``DataLoader`` of such pairs, which is read twice and held in memory.
        loss: The loss of a pair or a loader; ``None`` for that of the data.
        net: The model that they are for.
        name: Their name in an error.

    Raises:
        ValueError: Data are drawn, augmented or shuffled anew, or batches of a loader cannot be joined.
        TypeError: It is none of these, or the loss is missing, or there are two.

    >>> as_data((torch.zeros(5, 2), torch.zeros(5, 1)), nn.MSELoss(), nn.Linear(2, 1)).trials
    5
    """
    if isinstance(data, DataLoader | tuple | list):
        if not isinstance(data, DataLoader):
            data = _pair(data, f"{name} must be a pair (inputs, targets) or a Batch")
        if loss is None:
            raise TypeError(f"loss must be given with {name} that have none, for example torch.nn.MSELoss()")
        axis = 1 if isinstance(net, Network) else 0
        inputs, targets = _read(data, axis, name) if isinstance(data, DataLoader) else data
        return Samples(inputs, targets, loss, axis)
    if loss is not None:
        raise TypeError(f"loss must be None for {name} that have one, got {loss!r} beside {type(data).__name__}")
    return data if isinstance(data, Samples) else as_batch(data, name)


def as_batch(trials: Trials | Batch, name: str = "trials", like: nn.Module | None = None) -> Batch:
    """Return trials as one batch, having made sure that they are the same each time, in the same order.

    Args:
        trials: A fixed set of trials, or a batch.
        name: Their name in an error.
        like: A network whose device and data type the batch is to have; ``None`` (default) for its own.

    Raises:
        ValueError: Trials are drawn or shuffled anew.
        TypeError: It is neither, such as a stream of batches.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 2, 1), torch.zeros(4, 2, 1), torch.ones(4, 2), MSE())
    >>> as_batch(batch) is batch, as_batch(batch, like=LeakyRNN(1, 2, 1).double()).inputs.dtype
    (True, torch.float64)
    """
    if not isinstance(trials, Batch | Trials):
        raise TypeError(
            f"{name} must be a Batch or a fixed set of trials such as a TrialSet, got {type(trials).__name__}: "
            "trials that are drawn or shuffled anew give another function each time"
        )
    if isinstance(trials, Batch):
        batch = trials
    else:
        first = fingerprint(trials.batch())
        batch = trials.batch()
        if fingerprint(batch) != first:
            raise ValueError(f"{name} must be fixed, but two calls of batch() gave different trials, or another order")
    if like is None:
        return batch
    own = next(like.parameters())
    return batch.to(own.device, own.dtype)


def fingerprint(data: Batch | Samples) -> str:
    """Return the first digits of the SHA-256 of inputs, targets and weights: equal for equal data.

    >>> from tca.losses import MSE
    >>> batch = Batch(torch.zeros(4, 2, 1), torch.zeros(4, 2, 1), torch.ones(4, 2), MSE())
    >>> fingerprint(batch) == fingerprint(batch.select(slice(0, 1)))
    False
    """
    return _digest([(data.inputs, data.targets, () if isinstance(data, Samples) else data.weights)])


@contextmanager
def generators_kept(*others: torch.Generator | None) -> Iterator[None]:
    """Put the global generators of torch, NumPy and Python, and others, back to their states afterwards.

    >>> state = torch.get_rng_state()
    >>> with generators_kept():
    ...     _ = torch.rand(1)
    >>> torch.equal(state, torch.get_rng_state())
    True
    """
    own = [(each, each.get_state()) for each in others if each is not None]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        for generator, state in own:
            generator.set_state(state)


def _read(loader: DataLoader[Any], axis: int, name: str) -> tuple[Any, Any]:
    """Return inputs and targets of all batches of a loader that gives the same twice."""
    if isinstance(loader.sampler, SHUFFLING):
        raise ValueError(f"{name} must come in the same order each time, got a loader that shuffles: use shuffle=False")
    with generators_kept(loader.generator, getattr(loader.sampler, "generator", None)):
        pairs = [_pair(each, f"{name} must hold pairs (inputs, targets)") for each in loader]
        if not pairs:
            raise ValueError(f"{name} must hold at least one batch, got an empty loader")
        if _digest(pairs) != _digest(loader):
            raise ValueError(f"{name} must be fixed, but two passes over the loader gave other data, or another order")
    try:
        return joined([inputs for inputs, _ in pairs], axis), joined([targets for _, targets in pairs], axis)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"batches of {name} must be equal in shape but for their size, to be joined along axis {axis}: "
            "pad them to one length"
        ) from error


def _pair(batch: Any, wanted: str) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        size = f" of {len(batch)}" if isinstance(batch, tuple | list | dict) else ""
        raise TypeError(f"{wanted}, got a {type(batch).__name__}{size}")
    inputs, targets = (mapped(each, lambda tensor: tensor) for each in batch)  # with tuples for lists
    return inputs, targets


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for each in (tensor for part in parts for tensor in tensors(part)):
        digest.update(f"{each.dtype} {tuple(each.shape)} ".encode())
        digest.update(each.detach().to("cpu").contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
