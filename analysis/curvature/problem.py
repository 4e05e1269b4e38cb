"""A loss as a function of one flat vector: a model, some of its parameters, and fixed data in chunks.

Shapes: T time, B batch, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from analysis.curvature.operators.second_order import GraphExpansion
from analysis.curvature.parameters import Parameters, choose
from analysis.fixed_data import Data, as_data, generators_kept
from analysis.models import run, separate_copy
from analysis.samples import Criterion, Samples, joined, share, tensors, total
from tca.batch import Batch
from tca.nets.network import Network
from tca.utils.checks import Count, DType, NotNegative, checked

__all__ = ["Problem", "problem_of"]

TENSORS_A_STEP = 36  # the most (B, N) tensors that a kept graph and a product were seen to hold for every step
STEPS = (1e-8, 1e-6, 1e-4)  # of differences of gradients, relative to the length of the parameters
AGREE = 0.05  # difference of a product from those, relative to it
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
    """

    net: nn.Module
    parameters: Parameters
    theta: Tensor
    batch: Batch | Samples
    parts: tuple[Batch, ...] | tuple[Samples, ...]
    memory: float

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

    @property
    def needed(self) -> float:
        """Memory in MB for all trials together, an estimate."""
        return self.batch.trials * _per_trial(self.network, self.batches[0]) / 1e6

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
    problem = Problem(net, chosen, theta, data, (), memory)
    if chunk is None:
        chunk = max(1, int(min(memory * 1e6 / _bytes_a_trial(problem.on(own, own.trials)), own.trials)))
    problem = problem.on(own, chunk)
    _check_outputs(problem)
    if not isinstance(net, Network) and theta.dtype == torch.float64:
        _check_second_derivative(problem)
    if isinstance(own, Samples) and len(problem.parts) > 1:
        own = replace(own, sums=_summed(problem, own))
        problem = problem.on(own, chunk)
    whole = replace(data, sums=own.sums) if isinstance(data, Samples) and isinstance(own, Samples) else data
    return replace(problem, batch=whole)


def _per_trial(net: Network, batch: Batch) -> int:
    """Return the memory in bytes that derivatives of one trial take, an estimate."""
    cells = sum(population.cells for population in net.populations())
    return TENSORS_A_STEP * batch.steps * cells * batch.inputs.element_size()


def _bytes_a_trial(problem: Problem) -> int:
    """Return the memory in bytes that derivatives of one trial take, an estimate; 1 where one trial cannot be run."""
    (data,) = problem.parts
    if isinstance(problem.net, Network) and isinstance(data, Batch):
        return _per_trial(problem.net, data)
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
            return 1
        sizes[index] = sum(held.values())
        del graph
    return max(1, PRODUCT * (sizes[1] - sizes[0]))


@torch.no_grad()
def _check_outputs(problem: Problem) -> None:
    """Raise if the model does not run, or does not give the same outputs twice, but for round-off."""
    part = problem.parts[0]
    with generators_kept(), _running(problem):
        one, other = (tensors(problem.outputs(part, problem.theta)) for _ in range(2))
        if isinstance(part, Samples):
            problem.part_loss(part, problem.theta)
    if any(_differ(a, b) for a, b in zip(one, other, strict=True)):
        raise ValueError("outputs of the network must be the same each time, got different ones from the same inputs")
    if isinstance(part, Batch) and not isinstance(problem.net, Network):
        if [each.ndim for each in one] != [3] or one[0].shape[:2] != part.inputs.shape[:2]:
            shapes = ", ".join(str(tuple(each.shape)) for each in one)
            raise ValueError(f"outputs must have shape (T, B, O) as a Batch is time-major, got {shapes}")
        part.check(part.inputs.shape[2], one[0].shape[2])


@contextmanager
def _running(problem: Problem) -> Iterator[None]:
    """Name the model and its loss in an error of theirs, which come in all kinds."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, IndexError, AttributeError) as error:
        if isinstance(problem.net, Network):
            raise
        raise ValueError(
            f"net and its loss must run on the data in {problem.theta.dtype}, got {type(error).__name__}: "
            f"{str(error).splitlines()[0]} (dtype=None computes in the type of the parameters)"
        ) from error


def _check_second_derivative(problem: Problem) -> None:
    """Raise if a product is no difference of gradients, as where a backward pass of a user cannot be differentiated.

    Autograd then leaves terms out in silence. Steps and directions differ, since few of them may cross the kink of a
    rectifier or drown in round-off.
    """
    part = problem.parts[0]
    try:
        part = part.select(slice(0, 2))
        loss = partial(problem.part_loss, part)
        here = GraphExpansion.of(loss, problem.theta)
    except (RuntimeError, ValueError, IndexError):
        loss = partial(problem.part_loss, problem.parts[0])
        here = GraphExpansion.of(loss, problem.theta)
    source = torch.Generator().manual_seed(0)
    for size in STEPS:
        drawn = torch.randn(len(problem.theta), generator=source, dtype=torch.float64, device="cpu").to(problem.theta)
        unit, step = drawn / drawn.norm(), size * (1 + problem.theta.norm())
        ends = [GraphExpansion.of(loss, problem.theta + sign * step * unit).gradient for sign in (1, -1)]
        slope, product = (ends[0] - ends[1]) / (2 * step), here.second(unit[:, None])[:, 0]
        noise = 1e3 * torch.finfo(torch.float64).eps * here.gradient.norm() / step
        if not bool((slope - product).norm() > AGREE * product.norm() + noise):
            return
    raise ValueError(
        "the model and its loss must be differentiable twice by autograd, but products differ from differences of the "
        "gradient: a custom backward pass is detached or marked once_differentiable, or an operation of PyTorch has a "
        "wrong second derivative, as that of weight_norm"
    )


@torch.no_grad()
def _summed(problem: Problem, data: Samples) -> bool:
    """Return whether the losses of chunks add up to that of all, or their mean does; raise if neither does."""
    across = problem.parts[0].trials - 1, problem.parts[0].trials + 1  # the last of a chunk and the first of the next
    with _running(problem):
        outputs = [problem.outputs(part, problem.theta) for part in problem.parts]
        alone = tensors(problem.outputs(data.select(slice(*across)), problem.theta))
        together = joined(outputs, data.answers)
    beside = [each[(slice(None),) * data.answers + (slice(*across),)] for each in tensors(together)]
    if any(a.shape != b.shape or _differ(a, b) for a, b in zip(alone, beside, strict=True)):
        raise ValueError(
            f"samples must be independent along axis {data.axis} to be taken in chunks, but the outputs of some change "
            "with the others: give Samples(..., axis=...), or chunk and memory large enough for all at once"
        )
    whole = data.value(together)
    guesses = (data.summed,) if data.stated else (False, True)
    for summed in guesses:
        parts = [replace(part, sums=summed) for part in problem.parts if isinstance(part, Samples)]
        added = sum(share(part, each, total(data)) for part, each in zip(parts, outputs, strict=True))
        if not _differ(torch.as_tensor(added), whole) and (data.stated or bool(whole != 0)):
            return summed
    raise ValueError(
        "loss must be a mean or a sum over samples to be taken in chunks, and chunks of it add up to neither: "
        "give one with reduction='sum', or chunk and memory large enough for all at once"
    )


def _differ(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors differ by more than round-off."""
    if not one.is_floating_point():
        return not torch.equal(one, other)
    close = torch.finfo(one.dtype).eps ** 0.5 * one.abs().amax()
    return bool((one - other).abs().amax() > close)
