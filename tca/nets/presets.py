"""Architectures of published studies by name.

`PRESETS` maps a name to a description; ``PRESETS["gevb_mnist_fc"].build(seed=3)`` builds the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tca.nets.accepted_options import check_options
from tca.nets.feedforward.interlayer import AvgPool, Dropout, MaxPool
from tca.nets.feedforward.layered_network import Layered
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, LocalLayer
from tca.nets.feedforward.networks import GIVEN, Feedforward
from tca.nets.vector.vector_networks import AlternatingNet, VectorNet
from tca.utils.names import Table

__all__ = ["PRESETS", "Preset"]

CLARK = "Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089"
ERDOGAN = "Erdogan et al. (2025), arXiv:2504.11558"
MNIST, CIFAR = (1, 28, 28), (3, 32, 32)


@dataclass(frozen=True)
class Preset:
    """Configuration of an architecture.

    Attributes:
        kind: The class of the network.
        shape: Channels, height and width of the inputs.
        layers: The hidden layers from the inputs upwards.
        n_out: Number of outputs.
        reference: The paper that introduced it.
        options: Further arguments of the class.
    """

    kind: type[Layered]
    shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    n_out: int
    reference: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def build(self, **options: Any) -> Layered:
        """Return the network.

        Args:
            options: Options of its class, before those of the preset: ``seed``, ``dtype``, ``signs`` and so on.

        Raises:
            TypeError: The class has no such option.
        """
        check_options(self.kind, options, GIVEN)
        return self.kind(self.shape, self.layers, self.n_out, **{**self.options, **options})

    def check_sizes(self, n_in: int, n_out: int) -> None:
        """Raise unless a task has the same numbers of inputs and outputs.

        Raises:
            ValueError: One of them differs.
        """
        if (n_in, n_out) != (math.prod(self.shape), self.n_out):
            raise ValueError(
                f"the architecture has {math.prod(self.shape)} inputs ({' x '.join(map(str, self.shape))}) and "
                f"{self.n_out} outputs, got a task of {n_in} and {n_out}"
            )


def _dense(*sizes: int) -> tuple[Layer, ...]:
    return tuple(DenseLayer(size) for size in sizes)


def _maps(kind: Any, kernel: int, *channels: int) -> tuple[Layer, ...]:
    """Return layers of maps of the same height and width as below, each followed by mean pooling."""
    return tuple(kind(each, kernel, padding=kernel // 2, then=(AvgPool(),)) for each in channels)


_LAYERS: dict[str, tuple[tuple[int, int, int], tuple[Layer, ...]]] = {
    "mnist_fc": (MNIST, _dense(1024, 512)),
    "mnist_conv": (MNIST, (*_maps(ConvLayer, 3, 64, 32), *_dense(1024))),
    "mnist_lc": (MNIST, (*_maps(LocalLayer, 3, 32, 32), *_dense(1024))),
    "cifar10_fc": (CIFAR, _dense(1024, 512, 512)),
    "cifar10_conv": (CIFAR, (*_maps(ConvLayer, 5, 128, 64), ConvLayer(64, 2, 2), *_dense(1024))),
    "cifar10_lc": (CIFAR, (*_maps(LocalLayer, 5, 64, 32), LocalLayer(32, 2, 2), *_dense(512))),
}
_NARROWER = {"cifar10_lc": (*_LAYERS["cifar10_lc"][1][:-1], DenseLayer(256))}  # the vector network has fewer cells
_WITHOUT_BIAS = MappingProxyType({"bias": False})
_CIFAR100 = (
    ConvLayer(96, 5, padding=2, then=(MaxPool(),)),
    ConvLayer(128, 5, padding=2, then=(MaxPool(),)),
    ConvLayer(256, 5, padding=2, then=(MaxPool(), Dropout(0.075))),
    DenseLayer(2048),
)

PRESETS: Mapping[str, Preset] = Table(
    "preset",
    {
        **{
            f"gevb_{name}": Preset(VectorNet, on, _NARROWER.get(name, made), 10, CLARK)
            for name, (on, made) in _LAYERS.items()
        },
        **{f"conventional_{name}": Preset(AlternatingNet, on, made, 10, CLARK) for name, (on, made) in _LAYERS.items()},
        **{
            f"ebd_{name}": Preset(
                Feedforward, on, made, 10, ERDOGAN, MappingProxyType({}) if name.endswith("fc") else _WITHOUT_BIAS
            )
            for name, (on, made) in _LAYERS.items()
        },
        "ebd_cifar100_conv": Preset(Feedforward, CIFAR, _CIFAR100, 100, ERDOGAN, _WITHOUT_BIAS),
    },
)
