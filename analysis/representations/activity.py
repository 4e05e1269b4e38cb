"""Activity as an array, from which all measures start.

Shapes: T time, B batch, I inputs, N units, M samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from analysis.fixed_data import Data, Trials, as_batch, as_data
from analysis.models import run, separate_copy
from analysis.samples import mapped, tensors
from analysis.statistics.ties import round_off
from tca.batch import Batch
from tca.nets import Network
from tca.utils.arrays import tensor_of
from tca.utils.checks import checked
from tca.utils.names import lookup, nearest

__all__ = ["Activity", "about_mean", "centred", "joint_uncertainty", "rates", "rates_of_trials", "uncertainty"]

Activity = Tensor | NDArray[Any]
"""Activity of N units at M samples, shape ``(M, N)``, or over time and trials, shape ``(T, B, N)``."""

RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def centred(name: str, activity: Activity) -> Tensor:
    """Return activity with the mean of every unit taken away, float64, shape ``(M, N)``.

    Args:
        name: Its name in errors.
        activity: Activity, shape ``(M, N)`` or ``(T, B, N)``.

    Raises:
        ValueError: The shape is wrong, there are fewer than two samples, a value is not finite, or values are equal.

    >>> centred("activity", torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    values = tensor_of(activity).detach().to(torch.float64)
    if values.ndim not in (2, 3) or not values.numel():
        raise ValueError(f"{name} must have shape (samples, units) or (time, trials, units), got {tuple(values.shape)}")
    values = values.reshape(-1, values.shape[-1])
    if len(values) < 2:
        raise ValueError(f"{name} must have at least two samples, got {len(values)}")
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    exact = round_off(tensor_of(activity).dtype)
    moved = about_mean(values, exact)
    if moved.norm() <= exact * values.norm():
        raise ValueError(f"{name} must vary from sample to sample, got the same values in all")
    return moved


def about_mean(values: Tensor, exact: float) -> Tensor:
    """Return values less the mean of every unit, exactly zero in units that vary by no more than round-off.

    Args:
        values: Activity, shape ``(M, N)``.
        exact: Round-off as a fraction of the values, see ``analysis.statistics.ties.round_off``.

    >>> about_mean(torch.tensor([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]]).double(), 1e-11).tolist()
    [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """
    moved = values - values.mean(0)
    return torch.where(moved.norm(dim=0) > exact * values.norm(dim=0), moved, 0.0)


def uncertainty(activity: Activity) -> float:
    """Return how exactly samples of activity are known: round-off of the type it came in, times the largest sample.

    Distances of samples that differ by no more are equal.

    Args:
        activity: Activity, shape ``(M, N)`` or ``(T, B, N)``, before any mean is taken away.

    >>> uncertainty(torch.tensor([[3.0, 4.0], [0.0, 1.0]])) == 5 * 2**-20
    True
    """
    values = tensor_of(activity).detach()
    return round_off(values.dtype) * float(values.to(torch.float64).norm(dim=-1).max())


def joint_uncertainty(activity: Activity) -> float:
    """Return how exactly singular values of activity are known: round-off of its type, times the size of all samples.

    Args:
        activity: Activity, shape ``(M, N)`` or ``(T, B, N)``, before any mean is taken away.

    >>> joint_uncertainty(torch.tensor([[3.0], [4.0]])) == 5 * 2**-20
    True
    """
    values = tensor_of(activity).detach()
    return round_off(values.dtype) * float(values.to(torch.float64).norm())


@checked
def rates(net: nn.Module, trials: Tensor | Data, layer: str | None = None) -> Tensor:
    """Return the rates of a network's last hidden population without private noise, shape ``(T, B, N)``.

    They come in the network's own type, which bounds their precision. Padding is left out: of trials that end
    at different steps the rates at all their steps are returned as samples, shape ``(M, N)``, in the order of time.

    Of a module of PyTorch they are the outputs of one of its parts in evaluation mode: of a recurrent layer in shape
    ``(T, B, N)``, of a part that is called at every step the outputs of all calls, else as the part returns them, with
    all axes after the second joined if there are more than three.

    Args:
        net: A network of the library, or any module.
        trials: A fixed set of trials, a batch, samples, a pair or a loader of inputs and targets, or inputs alone.
        layer: Name of a part of a module, such as ``"encoder.1"``; ``None`` (default) for its last recurrent one.

    Raises:
        ValueError: The inputs do not fit the network, trials are drawn or shuffled anew, none has a step, or there is
            no such part.
        TypeError: They are none of these, or a network of the library is given a layer.

    >>> from tca.nets import LeakyRNN
    >>> rates(LeakyRNN(2, 5, 1), torch.zeros(4, 3, 2)).shape
    torch.Size([4, 3, 5])
    >>> rates(nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)), torch.zeros(3, 2), "1").shape
    torch.Size([3, 5])
    """
    data = trials if isinstance(trials, Tensor) else as_data(trials, _loss_of(trials), net)
    inputs = data if isinstance(data, Tensor) else data.inputs
    if not isinstance(net, Network):
        found = _of_layer(net, inputs, layer)
    elif layer is None:
        found = net.run(inputs.to(next(net.parameters()))).rate[1:]
    else:
        raise TypeError(f"layer must be None for a network of the library, got {layer!r}")
    if not isinstance(data, Batch) or found.shape[:2] != data.weights.shape:
        return found.clone()
    batch = data.to(found.device)
    lengths = batch.trial_lengths
    longest = int(lengths.max())
    if not longest:
        raise ValueError("trials must have a step with a weight, got none")
    return found[:longest].clone() if (lengths == longest).all() else found[batch.inside]


def _loss_of(trials: object) -> Callable[[Any, Any], Any] | None:
    """Return a loss for inputs and targets that have none: activity does not depend on it."""
    return (lambda outputs, targets: outputs) if isinstance(trials, tuple | list | DataLoader) else None


@torch.no_grad()
def _of_layer(net: nn.Module, inputs: Any, layer: str | None) -> Tensor:
    """Return the outputs of a part of a copy of a module, of all its calls."""
    net = separate_copy(net)
    parts = {name: each for name, each in net.named_modules() if name or isinstance(each, RECURRENT)}
    recurrent = [name for name, each in parts.items() if isinstance(each, RECURRENT)]
    if layer is None and not recurrent:
        raise ValueError(f"layer must be given for a module without a recurrent one, of {nearest('', parts)}")
    part = lookup(parts, recurrent[-1] if layer is None else layer, "layer")
    calls: list[Tensor] = []
    part.register_forward_hook(lambda _, __, outputs: calls.append(tensors(outputs)[0]))
    own = next(net.parameters(), None)

    def moved(given: Tensor) -> Tensor:
        return given if own is None else given.to(own.device, own.dtype if given.is_floating_point() else None)

    run(net, {}, mapped(inputs, moved))
    if not calls:
        raise ValueError(f"layer must be called by the module, got {layer!r}, which is not")
    found = torch.stack(calls) if len(calls) > 1 else calls[0]
    if isinstance(part, nn.RNNBase) and part.batch_first:
        found = found.transpose(0, 1)
    return found.flatten(2) if found.ndim > 3 else found


@checked
def rates_of_trials(net: Network, trials: Trials | Batch) -> list[Tensor]:
    """Return the rates of the last hidden population in every trial, up to its end, each of shape ``(T_b, N)``.

    Args:
        trials: A fixed set of trials, or a batch.

    Raises:
        ValueError: The trials do not fit the network, or are drawn or shuffled anew.
        TypeError: They are neither.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> weights = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    >>> batch = Batch(torch.zeros(3, 2, 1), torch.zeros(3, 2, 1), weights, MSE())
    >>> [each.shape for each in rates_of_trials(LeakyRNN(1, 5, 1), batch)]
    [torch.Size([3, 5]), torch.Size([1, 5])]
    """
    batch = as_batch(trials, like=net)
    found = net.run(batch.inputs).rate[1:]
    return [found[:length, trial].clone() for trial, length in enumerate(batch.trial_lengths.tolist())]
