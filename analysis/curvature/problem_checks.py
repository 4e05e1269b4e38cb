"""Checks of a model on fixed data: that it runs, repeats itself, has second derivatives, and divides into chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.curvature.operators.second_order import GraphExpansion
from analysis.fixed_data import generators_kept
from analysis.samples import Samples, joined, share, tensors, total
from tca.batch import Batch
from tca.nets.network import Network

if TYPE_CHECKING:
    from analysis.curvature.problem import Problem

__all__ = ["adds_up", "check_outputs", "check_second_derivative"]

STEPS = (1e-8, 1e-6, 1e-4)  # of differences of gradients, relative to the length of the parameters
AGREE = 0.05  # difference of a product from those, relative to it


@torch.no_grad()
def check_outputs(problem: Problem) -> None:
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


def check_second_derivative(problem: Problem) -> None:
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
def adds_up(problem: Problem, data: Samples) -> bool:
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
        shares = [share(part, each, total(data)) for part, each in zip(parts, outputs, strict=True)]
        if not _differ(torch.stack(shares).sum(), whole) and (data.stated or bool(whole != 0)):
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
