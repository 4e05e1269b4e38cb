"""Which cell of one network does the work of which cell of another.

Shapes: T time, B batch, N cells, I inputs, O outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from analysis.fixed_data import Trials, as_batch
from analysis.representations.activity import about_mean, rates
from analysis.statistics.ties import round_off
from tca.batch import Batch
from tca.nets import LeakyRNN, Network
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["match_cells", "permuted"]

NEVER = 1e12  # cost of a pair of cells that are not of one kind
ROWS = {"w_in", "w_rec", "b", "s_0"}  # parameters with a row, and
COLUMNS = {"w_rec", "w_out"}  # with a column for every cell


@checked
def match_cells(net: Network, other: Network, trials: Trials | Batch, by: str = "activity") -> Tensor:
    """Return which cell of another network stands for each cell of this one, shape ``(N,)``.

    Permuting the hidden cells of a network does not change its outputs, so two solutions can only be compared weight
    by weight once their cells are in the same order. Cells of different type or time constant are not exchanged.

    - ``"activity"``: the assignment with the largest sum of correlations of the cells' rates over the trials.
    - ``"weights"``: from there, the assignment with the largest inner product of all weights of the two networks, by
      assignments one after the other until it no longer grows; a local maximum.

    Args:
        other: Another of the same kind and size.
        by: Quantity to match, default the activity.

    Raises:
        TypeError: A network is not a recurrent one of one population.
        ValueError: The networks are of different kinds, a name is unknown, or cells of different kinds are not equally
            many.

    Papers: Li, Yosinski, Clune, Lipson and Hopcroft (2016), ICLR, arXiv:1511.07543, for activity; Ainsworth, Hayase and
    Srinivasa (2023), ICLR, arXiv:2209.04836, for weights.

    >>> from tca.losses import MSE
    >>> net = LeakyRNN(1, 4, 1)
    >>> batch = Batch(torch.ones(6, 2, 1), torch.zeros(6, 2, 1), torch.full((6, 2), 1 / 6), MSE())
    >>> match_cells(net, permuted(net, torch.tensor([2, 0, 3, 1])), batch).tolist()
    [1, 3, 0, 2]
    """
    match = lookup(MATCHINGS, by, "by")
    mine, theirs = _one_population(net), _one_population(other)
    same_kind(net, other)
    return match(mine, theirs, as_batch(trials))


@checked
def permuted(net: Network, order: Tensor) -> Network:
    """Return a copy of a network with its hidden cells in another order; its outputs stay the same.

    Args:
        order: Which of its cells comes at each place, shape ``(N,)``.

    Raises:
        ValueError: The order is no permutation, or moves cells to where synapses, types or time constants differ.

    >>> net = LeakyRNN(1, 3, 1)
    >>> other = permuted(net, torch.tensor([2, 0, 1]))
    >>> bool(other.w_rec[0, 1] == net.w_rec[2, 0]), torch.allclose(net(torch.ones(4, 1, 1)), other(torch.ones(4, 1, 1)))
    (True, True)
    """
    kinds = _kinds(_one_population(net))
    cells, order = len(kinds), order.to(kinds.device)
    if tuple(order.shape) != (cells,) or sorted(order.tolist()) != list(range(cells)):
        raise ValueError(f"order must be a permutation of {cells} cells, got {order.tolist()}")
    if not torch.equal(kinds[order], kinds):
        raise ValueError("order must keep cells among those of their type and time constant")
    changed = copy.deepcopy(net)
    with torch.no_grad():
        for each in changed.connections():
            each.weight.copy_(_reordered(each.name, each.weight, order))
            if each.mask is not None and not torch.equal(_reordered(each.name, each.mask, order), each.mask):
                raise ValueError(f"order must keep missing synapses in place, got one that moves those of {each.name}")
    return changed


def same_kind(net: nn.Module, other: nn.Module) -> None:
    """Raise unless two networks or modules differ in learned values only.

    Raises:
        ValueError: They differ in kind, sizes, time constants, types or masks.
    """
    sizes = [{name: each.shape for name, each in one.named_parameters()} for one in (net, other)]
    if type(net) is not type(other) or repr(net) != repr(other) or sizes[0] != sizes[1]:
        raise ValueError(f"networks must be of the same kind and size, got {net} and {other}")
    first, second = _constants(net), _constants(other)
    for name in sorted(set(first) | set(second)):
        a, b = (
            first.get(name, torch.empty(0, dtype=torch.float64, device="cpu")),
            second.get(name, torch.empty(0, dtype=torch.float64, device="cpu")),
        )
        if a.shape != b.shape or not torch.equal(a, b.to(a)):
            raise ValueError(f"networks must have the same {name}, got different ones")


def _constants(net: nn.Module) -> dict[str, Tensor]:
    """Return the state of a network that is not learned; of any other module no statistics of training."""
    own = {name: each.cpu() for name, each in net.named_buffers() if name != "noise_state"}
    network = isinstance(net, Network)
    constants = {name: each for name, each in own.items() if network or not _learned(name, each)}
    if isinstance(net, LeakyRNN):
        leaks = {"leak": net.leak, "readout_leak": net.readout_leak}
        constants |= {
            name: torch.as_tensor(each, dtype=torch.float64, device="cpu").cpu() for name, each in leaks.items()
        }
    return constants


def _learned(name: str, buffer: Tensor) -> bool:
    """Return whether a buffer of a module may be a statistic of training, such as those of batch normalisation."""
    return buffer.is_floating_point() or name.endswith("num_batches_tracked")


def _one_population(net: Network) -> LeakyRNN:
    if not isinstance(net, LeakyRNN) or {one.name for one in net.connections()} - ROWS - COLUMNS - {"b_out"}:
        raise TypeError(f"cells are matched in a LeakyRNN without learned constants, got {type(net).__name__}")
    return net


def _kinds(net: LeakyRNN) -> Tensor:
    """Return the kind of every cell, as numbers that are equal for cells that may be exchanged, shape ``(N, 2)``."""
    leak = torch.as_tensor(net.leak, dtype=torch.float64, device="cpu").to(net.types.device).expand(net.n_rec)
    return torch.stack([net.types.double(), leak], 1)


def _reordered(name: str, weight: Tensor, order: Tensor) -> Tensor:
    weight = weight[order] if name in ROWS else weight
    return weight[:, order] if name in COLUMNS else weight


def _assign(gain: Tensor, net: LeakyRNN, other: LeakyRNN) -> Tensor:
    """Return the assignment with the largest total gain ``[i, j]`` of cell i and the other network's cell j."""
    forbidden = (_kinds(net)[:, None] != _kinds(other)[None].to(net.types.device)).any(-1).cpu()
    cost = torch.where(forbidden, NEVER, -gain.double().cpu())
    return torch.from_numpy(linear_sum_assignment(cost.numpy())[1])


def _by_activity(net: LeakyRNN, other: LeakyRNN, batch: Batch) -> Tensor:
    first, second = (rates(each, batch).flatten(0, -2).cpu() for each in (net, other))
    first, second = (about_mean(each.double(), round_off(each.dtype)) for each in (first, second))
    sizes = first.norm(dim=0)[:, None] * second.norm(dim=0)
    return _assign(torch.where(sizes > 0, first.mT @ second / sizes, 0.0), net, other)


def _by_weights(net: LeakyRNN, other: LeakyRNN, batch: Batch) -> Tensor:
    mine, theirs = ({each.name: each.effective().double().cpu() for each in one.connections()} for one in (net, other))

    def agreement(order: Tensor) -> float:
        return sum((mine[name] * _reordered(name, theirs[name], order)).sum().item() for name in mine)

    def gain(order: Tensor) -> Tensor:
        """Return the gain in agreement by assigning j to i, the partners in recurrent synapses being held."""
        total = mine["w_rec"] @ theirs["w_rec"][:, order].mT + mine["w_rec"].mT @ theirs["w_rec"][order]
        total = total + mine["w_out"].mT @ theirs["w_out"]
        for name in (ROWS - COLUMNS) & set(mine):
            a, b = (each[name].flatten(1) if each[name].ndim > 1 else each[name][:, None] for each in (mine, theirs))
            total = total + a @ b.mT
        return total

    order = _by_activity(net, other, batch)
    while agreement(better := _assign(gain(order), net, other)) > agreement(order) + 1e-12:
        order = better
    return order


MATCHINGS: dict[str, Callable[[LeakyRNN, LeakyRNN, Batch], Tensor]] = {
    "activity": _by_activity,
    "weights": _by_weights,
}
