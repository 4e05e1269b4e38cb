"""Any network of the library, described by its kind and its options, for runs.

Shapes: C channels, H height, W width of an image.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tca import nets
from tca.experiments.config.components import Leaky, plain
from tca.experiments.config.spiking_config import Pseudo
from tca.nets import PRESETS, Network
from tca.nets.accepted_options import options_of
from tca.nets.feedforward.interlayer import AvgPool, Dropout, MaxPool, Passage, RMSNorm
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, LocalLayer
from tca.nets.feedforward.networks import GIVEN
from tca.nets.masks import mask_of
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["Net", "layer_of", "net_of", "passage_of"]

PASSAGES: dict[str, type[Passage]] = {
    "avg_pool": AvgPool,
    "max_pool": MaxPool,
    "dropout": Dropout,
    "rms_norm": RMSNorm,
}
RECURRENT_LAYERS: dict[str, type[nets.LeakyLayer] | type[nets.SpikingLayer]] = {
    "leaky": nets.LeakyLayer,
    "spiking": nets.SpikingLayer,
}
LAYERS: dict[str, type[Layer]] = {"dense": DenseLayer, "conv": ConvLayer, "local": LocalLayer}


def passage_of(described: str | Mapping[str, Any]) -> Passage:
    """Return what rates pass between layers: a name, or a name with its options.

    Args:
        described: ``"avg_pool"``, ``"max_pool"``, ``"dropout"`` or ``"rms_norm"``, or one of these as the only key of a
            mapping to its options.

    Raises:
        ValueError: The name or an option is unknown, or a value is not allowed.

    >>> passage_of("avg_pool"), passage_of({"dropout": {"share": 0.1}})
    (AvgPool(kernel=2, stride=None), Dropout(share=0.1))
    """
    name, options = (described, {}) if isinstance(described, str) else _only(described, "passage")
    kind = lookup(PASSAGES, name, "passage")
    return kind(**_known(kind, options, f"option of {name}"))


def layer_of(described: Mapping[str, Any]) -> Layer:
    """Return a layer: its kind with its size, further options, and what its rates pass.

    Args:
        described: One of the keys ``dense`` (number of cells), ``conv`` or ``local`` (number of channels), then
            ``kernel``, ``stride`` and ``padding`` where they apply, and ``then``, a list of passages.

    Raises:
        ValueError: There is no kind or more than one, an option is unknown, or a value is not allowed.

    >>> layer_of({"conv": 8, "kernel": 5, "then": ["avg_pool"]})
    ConvLayer(channels=8, kernel=5, stride=1, padding=0, then=(AvgPool(kernel=2, stride=None),))
    """
    options = dict(described)
    kinds = [name for name in options if name in LAYERS]
    if len(kinds) != 1:
        raise ValueError(f"a layer must have one of the keys {', '.join(LAYERS)}, got {sorted(options)}")
    size = options.pop(kinds[0])
    then = tuple(passage_of(each) for each in options.pop("then", ()))
    kind = LAYERS[kinds[0]]
    return kind(size, **_known(kind, options, f"option of a {kinds[0]} layer"), then=then)  # type: ignore[call-arg]


@checked
@dataclass(frozen=True)
class Net:
    """A network of any kind, described; see `tca.nets` for the options of each.

    Options are those of the class in `tca.nets`, but for sizes of inputs and outputs, duration of a step, seed, device
    and floating-point type, which a run knows. Layers are mappings, see `layer_of`; those of a stack of recurrent
    populations hold the options of `tca.nets.LeakyLayer`, or with ``"cells": "spiking"`` those of
    `tca.nets.SpikingLayer`. Masks may be described, see `tca.nets.masks.mask_of`, and are then drawn with the seed.
    Images are taken to be square and grey, or to have three channels, unless ``shape`` says otherwise. Presets have one
    size.

    Args:
        kind: A name in ``tca.nets.NETWORKS`` or ``tca.nets.PRESETS``.
        options: Its options, of numbers, strings, lists and mappings.

    Raises:
        ValueError: The kind or an option is unknown, or one is missing.
        TypeError: An option is not of these types.

    >>> net = Net("mlp", {"sizes": [32, 16], "activation": "tanh"})
    >>> net.build(64, 10, dt=1.0, seed=0).w_2.shape
    torch.Size([16, 32])
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the names; values are checked when the network is built."""
        object.__setattr__(self, "options", plain("net options", self.options))
        build = lookup(BUILDERS, self.kind, "kind of network")
        build.check(self.options)

    @property
    def form(self) -> str:
        """The form of a leaky network; empty for any other."""
        return str(self.options.get("form", ""))

    @property
    def title(self) -> str:
        """What the network is, in a few words."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.kind} of {options}" if options else self.kind

    def build(
        self, n_in: int, n_out: int, *, dt: float, seed: int, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Network:
        """Return the network.

        Args:
            n_in: Number of input channels.
            n_out: Number of outputs.
            dt: Duration of a step in ms.
            seed: Seed of the weights and of whatever is drawn.
            device: Where it lives, default the CPU.
            dtype: Its floating-point type, default ``torch.float32``.

        Raises:
            ValueError: A value is not allowed, or a published architecture has other numbers of inputs and outputs.
        """
        builder = BUILDERS[self.kind]
        options = dict(self.options)
        known: dict[str, Any] = {"n_in": n_in, "n_out": n_out, "dt": dt, "seed": seed, "device": device, "dtype": dtype}
        return builder.make(options, known)


def net_of(described: Mapping[str, Any]) -> Leaky | Net:
    """Return a network's description from a mapping: of a `Net` if it names a kind, of a `Leaky` network otherwise.

    Args:
        described: The fields of the one or the other.

    Raises:
        ValueError: A name is unknown or a value not allowed.
        TypeError: A field is unknown.

    >>> net_of({"size": 8}).size, net_of({"kind": "mlp", "options": {"sizes": [4]}}).kind
    (8, 'mlp')
    """
    return Net(**described) if "kind" in described else Leaky(**described)


class _Builder(abc.ABC):
    """How a kind of network is made of options and of what a run knows."""

    @abc.abstractmethod
    def check(self, options: Mapping[str, Any]) -> None:
        """Raise if an option is unknown or missing."""

    @abc.abstractmethod
    def make(self, options: dict[str, Any], known: dict[str, Any]) -> Network:
        """Return the network."""


@dataclass(frozen=True)
class _OfClass(_Builder):
    """A kind of network that is a class.

    Args:
        network: The class.
        needs: Options without which it cannot be made.
        images: Whether its first argument is the layout of an image.
        timed: Whether it has a duration of a step.
        layer: What makes a layer of a mapping, if it has layers.
    """

    network: type[Network]
    needs: tuple[str, ...]
    images: bool = False
    timed: bool = False
    layer: Callable[[Mapping[str, Any]], Any] | None = None

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise if an option is unknown or missing."""
        _check_names(self.network, options)
        for name in self.needs:
            if name not in options:
                raise ValueError(f"{self.network.__name__} needs the option {name!r}, got {sorted(options)}")

    def make(self, options: dict[str, Any], known: dict[str, Any]) -> Network:
        """Return the network."""
        if self.layer is not None:
            options["layers"] = [self.layer(each) for each in options["layers"]]
        for place, (name, sizes) in enumerate(MASKED.items()):
            if isinstance(options.get(name), Mapping):
                post, pre = ({**options, **known}[size] for size in sizes)
                options[name] = mask_of(options[name], post, pre, len(MASKED) * known["seed"] + place)
        if self.images:
            options.setdefault("shape", _square(known["n_in"]))
            known.pop("n_in")
        if not self.timed:
            known.pop("dt")
        return self.network(**options, **known)


@dataclass(frozen=True)
class _OfPreset(_Builder):
    """A kind of network that is a published architecture; see `tca.nets.PRESETS`.

    Args:
        name: Its name.
    """

    name: str

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise if an option is unknown: layers and sizes are known."""
        _check_names(PRESETS[self.name].kind, options, GIVEN)

    def make(self, options: dict[str, Any], known: dict[str, Any]) -> Network:
        """Return the network, once the task has been found to have its numbers of inputs and outputs."""
        PRESETS[self.name].check_sizes(known["n_in"], known["n_out"])
        return PRESETS[self.name].build(**options, **{name: known[name] for name in ("seed", "device", "dtype")})


RUN_KNOWS = ("n_in", "n_out", "dt", "seed", "device", "dtype")
# Masks by the names of their numbers of postsynaptic and presynaptic cells.
MASKED = {"mask_in": ("n_rec", "n_in"), "mask_rec": ("n_rec", "n_rec"), "mask_out": ("n_out", "n_rec")}


def _check_names(network: type[Network], options: Mapping[str, Any], fixed: Sequence[str] = ()) -> None:
    allowed = dict.fromkeys(options_of(network, (*RUN_KNOWS, *fixed)))
    for name in options:
        lookup(allowed, name, f"option of {network.__name__}")


def _recurrent_layer(described: Mapping[str, Any]) -> nets.LeakyLayer | nets.SpikingLayer:
    options = dict(described)
    cells = options.pop("cells", "leaky")
    kind = lookup(RECURRENT_LAYERS, cells, "cells of a layer")
    for name in options:
        lookup({"size": int, **kind.options()}, name, f"option of a {cells} layer")
    if isinstance(options.get("pseudo"), Mapping):
        options["pseudo"] = Pseudo(**options["pseudo"]).build()
    return kind(**options)


def _square(n_in: int) -> tuple[int, ...]:
    """Return the layout of an image of so many numbers: grey or of three colours, as high as wide."""
    for channels in (1, 3):
        side = round((n_in / channels) ** 0.5)
        if channels * side * side == n_in:
            return (channels, side, side)
    raise ValueError(f"{n_in} inputs are no square image of one or three channels: give the option 'shape'")


def _only(described: Mapping[str, Any], what: str) -> tuple[str, Mapping[str, Any]]:
    if len(described) != 1:
        raise ValueError(f"a {what} must be a name or a mapping with one key, got {described!r}")
    ((name, options),) = described.items()
    return name, options


def _known(kind: type, options: Mapping[str, Any], what: str) -> dict[str, Any]:
    allowed = dict.fromkeys(name for name in inspect.signature(kind).parameters if name != "then")
    for name in options:
        lookup(allowed, name, what)
    return dict(options)


BUILDERS: dict[str, _Builder] = {
    "leaky_rnn": _OfClass(nets.LeakyRNN, ("n_rec",), timed=True),
    "spiking_rnn": _OfClass(nets.SpikingRNN, ("n_rec",), timed=True),
    "stacked_rnn": _OfClass(nets.StackedRNN, ("layers",), timed=True, layer=_recurrent_layer),
    "feedforward": _OfClass(nets.Feedforward, ("layers",), images=True, layer=layer_of),
    "mlp": _OfClass(nets.MLP, ("sizes",)),
    "cnn": _OfClass(nets.CNN, ("layers",), images=True, layer=layer_of),
    "local_net": _OfClass(nets.LocalNet, ("layers",), images=True, layer=layer_of),
    "alternating_net": _OfClass(nets.AlternatingNet, ("layers",), images=True, layer=layer_of),
    "vector_net": _OfClass(nets.VectorNet, ("layers",), images=True, layer=layer_of),
    "vector_mlp": _OfClass(nets.VectorMLP, ("sizes",)),
    "vector_cnn": _OfClass(nets.VectorCNN, ("layers",), images=True, layer=layer_of),
    "vector_local_net": _OfClass(nets.VectorLocalNet, ("layers",), images=True, layer=layer_of),
    "vector_rnn": _OfClass(nets.VectorRNN, ("n_rec",)),
    "dual_stream_mlp": _OfClass(nets.DualStreamMLP, ("sizes",)),
    "dual_stream_cnn": _OfClass(nets.DualStreamCNN, ("layers",), images=True, layer=layer_of),
    "dual_stream_rnn": _OfClass(nets.DualStreamRNN, ("n_rec",), timed=True),
    **{name: _OfPreset(name) for name in PRESETS},
}
