"""A loss as a function of one flat vector: a model, some of its parameters, and fixed data in chunks.

Shapes: T time, B batch, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from analysis.curvature.operators.second_order import GraphExpansion
from analysis.curvature.parameters import Parameters, choose
from analysis.curvature.problem_checks import adds_up, check_outputs, check_second_derivative
from analysis.fixed_data import Data, as_data, generators_kept
from analysis.models import run, separate_copy
from analysis.samples import Criterion, Samples, share, total
from tca.batch import Batch
from tca.nets.network import Network
from tca.utils.checks import Count, DType, NotNegative, checked

__all__ = ["Problem", "problem_of"]

TENSORS_A_STEP = 36  # the most (B, N) tensors that a kept graph and a product were seen to hold for every step
PRODUCT = 2  # memory of a kept graph of a gradient together with a product, over that of the graph


@dataclass(frozen=True, eq=False)
class Problem:
    """The loss of a model as a function of chosen parameters.

    Attributes:
        net: A copy of the model that no one else uses, whose parameters want no gradient.
        parameters: The parameters that vary, the others being fixed.
        theta: Their values, shape ``(P,)``.
        batch: The data, as they were given.
        parts: The data in chunks, in the type and on the device of the parameters.
        memory: Memory for derivatives in MB.
        needed: Memory in MB for all trials together, an estimate; infinite where it is not known.
    """

    net: nn.Module
    parameters: Parameters
    theta: Tensor
    batch: Batch | Samples
    parts: tuple[Batch, ...] | tuple[Samples, ...]
    memory: float
    needed: float = math.inf

    def outputs(self, part: Batch | Samples, theta: Tensor) -> Any:
        """Return the outputs of the un-truncated network without noise, of the library in shape ``(T, B, O)``.

        Args:
            part: The trials.
            theta: The flat parameters, shape ``(P,)``.
        """
        return run(self.net, self.parameters.unflatten(theta), part.inputs)

    def part_loss(self, part: Batch | Samples, theta: Tensor) -> Tensor:
        """Return the share of a chunk in the loss, a scalar.

        Args:
            part: The trials.
            theta: The flat parameters, shape ``(P,)``.
        """
        return share(part, self.outputs(part, theta), total(self.batch))

    @property
    def network(self) -> Network:
        """The network, of the library.

        Raises:
            TypeError: It is any other module.
        """
        if not isinstance(self.net, Network):
            raise TypeError(f"net must be a network of the library for this measure, got {type(self.net).__name__}")
        return self.net

    @property
    def batches(self) -> tuple[Batch, ...]:
        """The chunks, of trials with steps.

        Raises:
            TypeError: They are samples without.
        """
        batches = tuple(each for each in self.parts if isinstance(each, Batch))
        if len(batches) < len(self.parts):
            raise TypeError("trials must be a Batch or a set of trials for this measure, got inputs and targets")
        return batches

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

    def on(self, data: Batch | Samples, chunk: int) -> Problem:
        """Return the same with other data, in the type of the parameters, in chunks."""
        starts = range(0, data.trials, chunk)
        parts: Any = (data,) if chunk >= data.trials else tuple(data.select(slice(at, at + chunk)) for at in starts)
        return replace(self, batch=data, parts=parts)


@checked
@torch.inference_mode(False)
def problem_of(
    net: nn.Module,
    trials: Data,
    parameters: str | Sequence[str] | None = None,
    *,
    loss: Criterion | None = None,
    chunk: Count | None = None,
    memory: NotNegative = 2048.0,
    dtype: DType | None = torch.float64,
) -> Problem:
    """Return the loss of a model on fixed data as a function of chosen parameters.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: A batch, a set of trials, samples, a pair of inputs and targets, or a loader, see ``as_data``.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        loss: The loss of inputs and targets; ``None`` (default) for that of a batch.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate, for a module measured on two samples.
        dtype: Type in which derivatives are computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A name is unknown, the data do not fit the model, data or outputs differ from one call to the next,
            or chunks do not add up to the loss.
        TypeError: The trials are no fixed set, or a loss is missing.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> problem = problem_of(LeakyRNN(1, 4, 2), batch, "b_out", chunk=2)
    >>> len(problem.parts), problem.loss(problem.theta)
    (3, 1.0)
    >>> data = torch.ones(5, 3), torch.zeros(5, 1)
    >>> problem = problem_of(nn.Linear(3, 1, bias=False), data, loss=nn.MSELoss(), chunk=2)
    >>> len(problem.parts), problem.loss(torch.ones(3).double())
    (3, 9.0)
    """
    data = as_data(trials, loss, net).kept()
    if isinstance(data, Batch) and isinstance(net, Network):
        data.check(net.n_in, net.n_out)
    net = separate_copy(net, dtype)
    chosen = choose(net, parameters)
    theta = chosen.flat()
    own = data.to(theta.device, theta.dtype)
    problem = Problem(net, chosen, theta, own, (), memory).on(own, own.trials)
    needed = _memory(problem)
    if chunk is None:
        chunk = own.trials if math.isinf(needed) else max(1, int(min(memory / needed, 1) * own.trials))
    problem = replace(problem, needed=needed).on(own, chunk)
    check_outputs(problem)
    if not isinstance(net, Network) and theta.dtype == torch.float64:
        check_second_derivative(problem)
    if isinstance(own, Samples) and len(problem.parts) > 1:
        own = replace(own, sums=adds_up(problem, own))
        problem = problem.on(own, chunk)
    whole = replace(data, sums=own.sums) if isinstance(data, Samples) and isinstance(own, Samples) else data
    return replace(problem, batch=whole)


def _memory(problem: Problem) -> float:
    """Return the memory in MB that derivatives of all trials take, an estimate; infinity where two cannot be run."""
    (data,) = problem.parts
    if isinstance(problem.net, Network) and isinstance(data, Batch):
        cells = sum(population.cells for population in problem.net.populations())
        return TENSORS_A_STEP * data.steps * cells * data.inputs.element_size() * data.trials / 1e6
    sizes = [0, 0]
    for index in range(2):
        held: dict[int, int] = {}

        def note(tensor: Tensor, held: dict[int, int] = held) -> Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        try:
            few = data.select(slice(0, index + 1))
            with generators_kept(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                graph = GraphExpansion.of(partial(problem.part_loss, few), problem.theta)
        except (RuntimeError, ValueError, IndexError):
            return math.inf
        sizes[index] = sum(held.values())
        del graph
    return PRODUCT * max(1, sizes[1] - sizes[0]) * data.trials / 1e6
