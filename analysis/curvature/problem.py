"""A loss as a function of one flat vector: a network, some of its parameters, and fixed trials in chunks.

Shapes: T time, B batch, P parameters.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from analysis.curvature.parameters import Parameters, choose
from tca.batch import Batch
from tca.nets.network import Network
from tca.utils.checks import Count, DType, NotNegative, checked

__all__ = ["Problem", "Trials", "as_batch", "fingerprint", "problem_of"]

TENSORS_A_STEP = 36  # the most (B, N) tensors that a kept graph and a product were seen to hold for every step


@runtime_checkable
class Trials(Protocol):
    """A fixed set of trials, such as a ``TrialSet``."""

    def batch(self) -> Batch:
        """Return all trials as one batch."""
        ...


@dataclass(frozen=True, eq=False)
class Problem:
    """The loss of a network as a function of chosen parameters.

    Attributes:
        net: A copy of the network that no one else uses, whose parameters want no gradient.
        parameters: The parameters that vary, the others being fixed.
        theta: Their values, shape ``(P,)``.
        batch: The trials, as they were given.
        parts: The trials in chunks, in the type and on the device of the parameters.
        memory: Memory for derivatives in MB.
    """

    net: Network
    parameters: Parameters
    theta: Tensor
    batch: Batch
    parts: tuple[Batch, ...]
    memory: float

    def outputs(self, part: Batch, theta: Tensor) -> Tensor:
        """Return the outputs of the un-truncated network without noise, shape ``(T, B, O)``.

        Args:
            part: The trials.
            theta: The flat parameters, shape ``(P,)``.
        """
        return self.net.functional(self.parameters.unflatten(theta), part.inputs)

    def part_loss(self, part: Batch, theta: Tensor) -> Tensor:
        """Return the share of a chunk in the loss, a scalar.

        Args:
            part: The trials.
            theta: The flat parameters, shape ``(P,)``.
        """
        loss = part.loss.mean(self.outputs(part, theta), part.targets, part.weights)
        return loss * (part.trials / self.batch.trials)

    @property
    def needed(self) -> float:
        """Memory in MB for all trials together, an estimate."""
        return self.batch.trials * _per_trial(self.net, self.parts[0]) / 1e6

    def losses(self) -> list[Callable[[Tensor], Tensor]]:
        """Return the shares of chunks in the loss, as functions of the flat parameters."""
        return [partial(self.part_loss, part) for part in self.parts]

    @torch.no_grad()
    def loss(self, theta: Tensor) -> float:
        """Return the loss.

        Args:
            theta: The flat parameters, shape ``(P,)``.
        """
        return sum(loss(theta).item() for loss in self.losses())


@checked
@torch.inference_mode(False)
def problem_of(
    net: Network,
    trials: Trials | Batch,
    parameters: str | Sequence[str] | None = None,
    *,
    chunk: Count | None = None,
    memory: NotNegative = 2048.0,
    dtype: DType | None = torch.float64,
) -> Problem:
    """Return the loss of a network on fixed trials as a function of chosen parameters.

    Args:
        net: The network; it is copied.
        trials: A fixed set of trials, or a batch.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A name is unknown, a number is out of range, the batch does not fit the network, or trials or
            outputs differ from one call to the next.
        TypeError: The trials are no fixed set.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> problem = problem_of(LeakyRNN(1, 4, 2), batch, "b_out", chunk=2)
    >>> len(problem.parts), problem.loss(problem.theta)
    (3, 1.0)
    """
    batch = as_batch(trials).kept()
    batch.check(net.n_in, net.n_out)
    net = copy.deepcopy(net).to(dtype=dtype).eval().requires_grad_(False)
    chosen = choose(net, parameters)
    theta = chosen.flat()
    own = batch.to(theta.device, theta.dtype)
    if chunk is None:
        chunk = max(1, int(memory * 1e6 / _per_trial(net, own)))
    parts = tuple(own.select(slice(start, start + chunk)) for start in range(0, own.trials, chunk))
    problem = Problem(net, chosen, theta, batch, parts, memory)
    _probe(problem)
    return problem


def as_batch(trials: Trials | Batch, name: str = "trials", like: Network | None = None) -> Batch:
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


def fingerprint(batch: Batch) -> str:
    """Return the first digits of the SHA-256 of inputs, targets and weights: equal for equal data.

    Args:
        batch: The trials.

    >>> from tca.losses import MSE
    >>> batch = Batch(torch.zeros(4, 2, 1), torch.zeros(4, 2, 1), torch.ones(4, 2), MSE())
    >>> fingerprint(batch) == fingerprint(batch.select(slice(0, 1)))
    False
    """
    digest = hashlib.sha256()
    for part in (batch.inputs, batch.targets, batch.weights):
        digest.update(f"{part.dtype} {tuple(part.shape)} ".encode())
        digest.update(part.detach().to("cpu").contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _per_trial(net: Network, batch: Batch) -> int:
    """Return the memory in bytes that derivatives of one trial take, an estimate."""
    cells = sum(population.cells for population in net.populations())
    return TENSORS_A_STEP * batch.steps * cells * batch.inputs.element_size()


@torch.no_grad()
def _probe(problem: Problem) -> None:
    """Raise if the network does not give the same outputs twice, but for round-off."""
    one, other = (problem.outputs(problem.parts[0], problem.theta) for _ in range(2))
    close = torch.finfo(one.dtype).eps ** 0.5 * one.abs().amax()
    if bool((one - other).abs().amax() > close):
        raise ValueError("outputs of the network must be the same each time, got different ones from the same inputs")
