"""Models of PyTorch alone with inputs and targets, and dense matrices of their losses by autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parameters_to_vector

SAMPLES, CLASSES = 10, 3


class Recurrent(nn.Module):
    """A recurrent layer of PyTorch whose last step is read out."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(2, 3, batch_first=True)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.rnn(inputs)[0][:, -1])


class Transformer(nn.Module):
    """One encoder layer between linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(2, 4)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.2, activation="gelu", batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(inputs)).mean(1))


def convolutional() -> nn.Module:
    """Return a CNN with batch normalisation that has seen other data, and dropout."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Softplus(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, CLASSES)
    )
    net[:2](torch.randn(5, 1, 4, 4) + 1)
    return net


@dataclass(frozen=True)
class Foreign:
    """A model, and how its inputs are shaped."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def net(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.build().to(dtype)

    def data(self, dtype: torch.dtype = torch.float64, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
        """Return inputs and classes."""
        draw = torch.Generator().manual_seed(1)
        inputs = torch.randn(samples, *self.shape, generator=draw, dtype=torch.float64).to(dtype)
        return inputs, torch.randint(0, CLASSES, (samples,), generator=draw)


FOREIGN = [
    Foreign("mlp", lambda: nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, CLASSES)), (2,)),
    Foreign("cnn", convolutional, (1, 4, 4)),
    Foreign("gru", lambda: Recurrent(nn.GRU), (5, 2)),
    Foreign("lstm", lambda: Recurrent(nn.LSTM), (5, 2)),
    Foreign("transformer", Transformer, (5, 2)),
]


def _flat(net: nn.Module) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
    own = dict(net.named_parameters())

    def unflatten(theta: Tensor) -> dict[str, Tensor]:
        parts = torch.split(theta, [each.numel() for each in own.values()])
        return {name: part.view_as(each) for (name, each), part in zip(own.items(), parts, strict=True)}

    return parameters_to_vector(own.values()).detach(), unflatten


def dense_hessian(net: nn.Module, data: tuple[Any, Any], loss: Callable[[Any, Any], Tensor]) -> Tensor:
    """Return the Hessian in all parameters, in evaluation mode."""
    theta, unflatten = _flat(net.eval())
    with sdpa_kernel(SDPBackend.MATH):
        return hessian(lambda at: loss(functional_call(net, unflatten(at), (data[0],)), data[1]), theta)


def dense_jacobian(net: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs and their Jacobian in all parameters."""
    theta, unflatten = _flat(net.eval())
    with sdpa_kernel(SDPBackend.MATH):
        slopes = jacobian(lambda at: functional_call(net, unflatten(at), (inputs,)), theta)
        return net(inputs).detach(), slopes
