"""Checks of a user's cell module, and the network made of it.

Shapes: B batch, I inputs, N cells that the readout reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tca.nets.modules.cell_network import CellNetwork
from tca.nets.modules.cell_state import flat, returned
from tca.nets.modules.probes import check_function, draws, numbers_of
from tca.utils.checks import Size, checked

__all__ = ["from_module"]


@checked
def from_module(
    cell: nn.Module,
    readout: nn.Linear,
    n_in: Size | None = None,
    initial: Tensor | Sequence[Tensor] | None = None,
) -> CellNetwork:
    """Return a recurrent network made of any cell module and a linear readout.

    A cell maps inputs ``(B, I)`` and a state to the next state, or to a pair of an output and the next state. A state
    is one tensor ``(B, ...)`` or a tuple of them. The readout ``y_t = W_o z_t + b_o`` reads the output, or without one
    the first tensor of the state. The inside of a step is free (layers, attention, convolution): its Jacobian ``J_t =
    ds_t / ds_{t-1}`` is dense, taken by autograd, and has no part of its own for a leak. Rules:

    - ``bptt``, ``tbptt``, ``tbptt_future`` and ``rtrl`` in reverse execution, by products with ``J_t^T``;
    - ``rtrl``, ``tbptt`` in forward execution: ``J_t`` and ``ds_t / dtheta`` by `torch.func`, ``trace_bytes``, at most
      1 GiB;
    - ``snap1``, the diagonal of ``J_t``, and ``three_factor``, no memory at all;
    - the same eligibilities with direct, exact, random, adaptive, sparse or broadcast signals;
    - online (`tca.Learner.stream`) those of them that need no later error, with the memory of forward execution.

    Every other rule is refused with the reason, for a leak, synapses or cell types that a module does not have. Cells
    run in evaluation mode and without noise. The network shares the modules' parameters, named ``cell.`` and
    ``readout.`` with their own names.

    Args:
        n_in: Number of input channels I; by default ``cell.input_size``.
        initial: State of a trial at time zero, without the batch axis, one tensor or several; a `torch.nn.Parameter` is
            learned. By default ``cell.initial_state`` if there is one, else N zeros, N the inputs of the readout, twice
            for `torch.nn.LSTMCell`.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sizes do not fit, or the cell is no differentiable function of each trial; the reason is given.

    >>> import tca
    >>> net = from_module(nn.GRUCell(3, 8), nn.Linear(8, 2))
    >>> learner = tca.Learner(net, tca.RULES["bptt"])
    >>> batch = tca.Batch(torch.ones(5, 4, 3), torch.zeros(5, 4, 2), torch.full((5, 4), 0.2), tca.losses.MSE())
    >>> info = learner.backward(batch)
    >>> net.cell.weight_hh.grad.shape, net.trace_bytes(4)
    (torch.Size([24, 8]), 80896)
    """
    like = numbers_of("cell", cell)
    if n_in is None:
        n_in = getattr(cell, "input_size", None)
        if not isinstance(n_in, int):
            raise ValueError(f"n_in must be given, since {type(cell).__name__} has no input_size")
    given = getattr(cell, "initial_state", None) if initial is None else initial
    if given is None:
        zero = torch.zeros(readout.in_features, dtype=like.dtype, device=like.device)
        given = (zero, zero.clone()) if isinstance(cell, nn.LSTMCell) else zero
    start = tuple(
        each if isinstance(each, nn.Parameter) else each.detach().to(like)
        for each in ([given] if isinstance(given, Tensor) else given)
    )
    if not all(each.isfinite().all() for each in start):
        raise ValueError("initial must be finite, got NaN or infinity")
    source = torch.Generator().manual_seed(0)
    x = torch.randn(3, n_in, generator=source, dtype=torch.float64, device="cpu").to(like)
    shapes = tuple(each.shape for each in start)
    emits: list[bool] = []

    def call(probed: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
        found, emitting = returned(probed(given[0], given[1:] if len(start) > 1 else given[1]), shapes, len(x))
        emits.append(emitting)
        return flat(found)

    trials = (x, *(each.detach().expand(3, *each.shape) for each in start))
    check_function("cell", cell, call, trials, "n_in and initial")
    if draws(cell, call, trials):
        raise ValueError(
            "cell must be deterministic, and it draws random numbers in training mode: set it to evaluation mode with "
            ".eval(), or train the whole network with tca.nets.wrap"
        )
    read = readout.in_features if emits[0] else math.prod(shapes[0])
    if read != readout.in_features:
        raise ValueError(
            f"readout must have {read} inputs, the numbers of the first tensor of the state, got {readout.in_features}"
        )
    net = CellNetwork(cell, readout, n_in, start, emits[0])
    for each in net._learned_start():
        if any(each.weight is other for other in _used(net, x)):
            raise ValueError(f"{each.name} must be read at time zero alone, and the cell also reads it at every step")
    return net


def _used(net: CellNetwork, x: Tensor) -> list[Tensor]:
    """Return the parameters of the cell that a step depends on."""
    with torch.enable_grad():
        use = {name: each.detach() for name, each in net.named_parameters()}
        states = net._evaluated(None, x, net._initial(use, len(x)))
        own = [each for each in net.cell.parameters() if each.requires_grad]
        found = torch.autograd.grad(states.sum(), own, allow_unused=True)
    return [each for each, gradient in zip(own, found, strict=True) if gradient is not None]
