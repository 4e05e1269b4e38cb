"""A network as a value: a kind and its options, which compare, hash, can be written as JSON and build the network."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

import torch

from tca import nets
from tca.experiments.config.components import plain
from tca.experiments.config.layer_config import (
    filled_layer,
    filled_operation,
    filled_population,
    layer_of,
    passage_of,
    population_of,
)
from tca.experiments.config.own_parts import NetworkFunction, own_network
from tca.nets import NETWORKS, PRESETS, Network
from tca.nets.accepted_options import annotations_of, options_of
from tca.nets.cell_rnn.named_cells import CELL_NETWORKS, network_of_cell
from tca.nets.feedforward.networks import GIVEN
from tca.nets.masks import filled_mask, mask_of
from tca.nets.presets import Preset
from tca.rule import LEAKS
from tca.utils.checks import Device, DType, Filled, Made, Named, Positive, Seed, Size, check, checked, settle
from tca.utils.class_paths import canonical_path, is_import_path
from tca.utils.names import Table, lookup

__all__ = ["NetworkConfig"]

DEFAULT, SIZE, NONE = "leaky_rnn", 128, MappingProxyType[str, Any]({})
Kind = Annotated[str, Made(canonical_path, Callable)]
RUN_KNOWS = ("n_in", "n_out", "dt", "seed", "device", "dtype")
# Masks by the names of their numbers of postsynaptic and presynaptic cells.
MASKED = {"mask_in": ("n_rec", "n_in"), "mask_rec": ("n_rec", "n_rec"), "mask_out": ("n_out", "n_rec")}
# Kinds of layers of a number of cells or channels, for the option ``size``; maps stay as large as the image.
SIZED: dict[type[Network], tuple[str, dict[str, Any]]] = {
    nets.StackedRNN: ("size", {}),
    nets.CNN: ("conv", {"padding": 1}),
    nets.DualStreamCNN: ("conv", {"padding": 1}),
    nets.VectorCNN: ("conv", {"padding": 1}),
    nets.LocalNet: ("local", {"padding": 1}),
    nets.VectorLocalNet: ("local", {"padding": 1}),
}
# Options that are written down only where they are given.
UNUSED = (*MASKED, "masks", "shape", "rewiring", "learn", "activation", "then")


@checked
@dataclass(frozen=True, init=False)
class NetworkConfig:
    """A network of any kind as a value; equal networks are equal however they were written.

    Options are those of the class in `tca.nets`, but for sizes of inputs and outputs, duration of a step, seed, device
    and floating-point type, which come from the run. Missing options have their defaults. Values are
    checked against the annotations of the class, and the rest when the network is built. Layers are mappings, see
    `tca.experiments.config.layer_config`. Masks may be mappings, see `tca.nets.masks.mask_of`, and are then drawn with
    the seed. Images are taken to be square and grey, or to have three channels, unless ``shape`` is given.
    Options are attributes, too.

    Args:
        kind: A name in ``tca.nets.NETWORKS``, ``tca.nets.PRESETS`` or ``tca.cells.CELLS``, default ``"leaky_rnn"``; or
            of the user's own, itself or by import path, a class of a cell (``"my_module:MyCell"``) or a function that
            returns a network or a module for `tca.nets.wrap`, see
            `tca.experiments.config.own_parts.NetworkFunction`.
        options: Its options, of numbers, strings, lists and mappings.
        more: Further options by name. ``size`` is the number of cells, or one for each layer, of any kind (also
            ``n_rec``), of channels for convolutions of 3 x 3; default 128 in a leaky network. ``form`` is ``"A"``,
            ``"B"`` or by default that of the rule of the run.

    Raises:
        ValueError: The kind or an option is unknown, one is missing, or a value is not allowed.
        TypeError: A value is of another type.

    >>> NetworkConfig(size=8).build(3, 2, dt=10.0, seed=0).w_rec.shape
    torch.Size([8, 8])
    >>> NetworkConfig("mlp", size=[32, 16]) == NetworkConfig("mlp", sizes=[32, 16])
    True
    >>> NetworkConfig("mlp", sizes=[32, 16]) == NetworkConfig("mlp", {"sizes": (32, 16), "activation": "relu"})
    True
    """

    kind: Kind
    options: Mapping[str, Any] = field(hash=False)

    def __init__(self, kind: Kind = DEFAULT, options: Mapping[str, Any] = NONE, **more: Any) -> None:
        """Check the options and fill in the defaults; see the class."""
        name = canonical_path(kind) if is_import_path(kind) else kind
        settle(self, kind=name, options=_kind(name).filled({**options, **more}))

    def __getattr__(self, name: str) -> Any:
        """Return an option."""
        options = vars(self).get("options", {})
        if name not in options:
            raise AttributeError(f"{type(self).__name__} has no option {name!r}")
        return options[name]

    @property
    def title(self) -> str:
        """The network in a few words."""
        options = self.options
        if self.kind == DEFAULT and not isinstance(options["tau"], list):
            return f"{self.size} {self.activation} cells with a time constant of {self.tau:g} ms"
        defaults = {name: list(each) if isinstance(each, tuple) else each
                    for name, each in _kind(self.kind).defaults.items()}  # fmt: skip
        layers = [f"{len(self.layers)} layers"] if "layers" in options else []
        others = {name: value for name, value in options.items() if name != "layers" and value != defaults.get(name)}
        chosen = layers + [f"{name} {value}" for name, value in others.items()]
        return f"{self.kind} of {', '.join(chosen)}" if chosen else self.kind

    @property
    def form(self) -> str:
        """Form of a leaky population; empty for other networks."""
        return self.options.get("form") or ""

    @property
    def forms(self) -> list[str]:
        """Forms of all leaky populations."""
        populations = (self.options, *self.options.get("layers", ()))
        return [each["form"] or "A" for each in populations if "form" in each]

    @checked
    def in_form(self, form: Annotated[str, Named(LEAKS)] | None, *, anew: bool = True) -> NetworkConfig:
        """Return the network with its leaky populations in a form; unchanged for ``None``.

        Args:
            anew: Whether also those that have a form, default ``True``.

        >>> NetworkConfig("stacked_rnn", layers=[{"size": 4}, {"size": 3, "form": "A"}]).in_form("B", anew=False).forms
        ['B', 'A']
        """
        if form is None:
            return self

        def put(population: Mapping[str, Any]) -> dict[str, Any]:
            free = "form" in population and (anew or population["form"] is None)
            return {**population, "form": form} if free else dict(population)

        options = put(self.options)
        if "layers" in options:
            options["layers"] = [put(each) for each in options["layers"]]
        return NetworkConfig(self.kind, options)

    def with_options(self, **options: Any) -> NetworkConfig:
        """Return the network with other options.

        Args:
            options: The options that change.

        >>> NetworkConfig(size=8).with_options(tau=20.0).size
        8
        """
        return NetworkConfig(self.kind, self.options, **options)

    def to_json(self) -> dict[str, Any]:
        """Return the kind, unless it is the default, and all options as one dictionary of plain values."""
        return {**({} if self.kind == DEFAULT else {"kind": self.kind}), **self.options}

    @checked
    def build(
        self,
        n_in: Size,
        n_out: Size,
        *,
        dt: Positive,
        seed: Seed,
        device: Device = "cpu",
        dtype: DType = torch.float32,
    ) -> Network:
        """Return the network.

        Args:
            n_in: Number of input channels.
            n_out: Number of outputs.
            dt: Duration of a step in ms.
            seed: Seed of the weights, of masks that are drawn and of private noise.
            device: Where it lives, default the CPU.
            dtype: Its floating-point type, default ``torch.float32``.

        Raises:
            ValueError: A value is not allowed, or a published architecture has other numbers of inputs and outputs.
        """
        known = dict(zip(RUN_KNOWS, (n_in, n_out, dt, seed, device, dtype), strict=True))
        return _kind(self.kind).make(self.options, known)


@dataclass(frozen=True)
class _Kind:
    """A kind of network: a class, or a published architecture of it.

    Args:
        network: The class.
        preset: The architecture, ``None`` (default) for any.
    """

    network: type[Network]
    preset: Preset | None = None

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Options and their defaults, `inspect.Parameter.empty` where there is none."""
        fixed = (*RUN_KNOWS, "cell", "wiring", *(GIVEN if self.preset else ()))
        found = {"size" if name == "n_rec" else name: each for name, each in options_of(self.network, fixed).items()}
        sized = {"size": SIZE} if issubclass(self.network, nets.LeakyRNN | nets.CellRNN) else {}
        own = {"form": None, "shape": None, **sized}
        preset = self.preset.options if self.preset else {}
        return found | {name: each for name, each in own.items() if name in found} | dict(preset)

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, checked, as plain values.

        Args:
            given: Options by name.

        Raises:
            ValueError: An option is unknown or missing, or a value is not allowed.
            TypeError: A value is of another type.
        """
        renamed = {
            "size" if (name, "size" in self.defaults) == ("n_rec", True) else name: given[name] for name in given
        }
        given = self._sized(renamed)
        for name in given:
            lookup(self.defaults, name, f"option of {self.network.__name__}")
        options = self.defaults | given
        for name, value in options.items():
            if value is inspect.Parameter.empty:
                raise ValueError(f"{self.network.__name__} needs the option {name!r}, got {sorted(given)}")
        options = {name: value for name, value in options.items() if value is not None or name not in UNUSED}
        return plain("net options", dict(self._checked(options)))

    def _sized(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return options with ``size``, a number of cells or one for each layer, as the option that the class has."""
        if "size" not in given or "size" in self.defaults or self.preset is not None:
            return given
        own = next((each for each in ("sizes", "layers") if each in self.defaults), None)
        if own is None or own in given:
            return given  # refused as an unknown option
        size = given.pop("size")
        sizes = check("size", [size] if isinstance(size, int) else size, Annotated[Sequence[Size], Filled])
        key, options = SIZED.get(self.network, ("dense", {}))
        return given | {own: list(sizes) if own == "sizes" else [{key: each, **options} for each in sizes]}

    def _checked(self, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        annotations = annotations_of(self.network)
        for name, value in options.items():
            if name == "layers":
                fill = filled_population if self.network is nets.StackedRNN else filled_layer
                yield name, [fill(each) for each in check(name, value, Sequence[Mapping[str, Any]])]
            elif name == "then" and value is not None:
                yield name, [filled_operation(each) for each in check(name, value, Sequence[Any])]
            elif name in MASKED and isinstance(value, Mapping):
                yield name, filled_mask(value)
            elif value is None and name == "form":
                yield name, None
            elif name == "rewiring" and value is not None:
                yield name, dataclasses.asdict(check(name, value, annotations[name]))
            else:
                found = check(name, value, annotations["n_rec" if name == "size" else name])
                yield name, value if isinstance(value, Mapping | list | tuple) else found
        if self.network.layer is not None:
            names = self.network.layer.options().keys() & options.keys() - MASKED.keys()
            own = {name: options[name] for name in names if (name, options[name]) != ("form", None)}
            self.network.layer(options["size"], **own)

    def make(self, options: Mapping[str, Any], known: dict[str, Any]) -> Network:
        """Return the network.

        Args:
            options: All options.
            known: Options that the run adds to them.
        """
        if self.preset is not None:
            self.preset.check_sizes(known["n_in"], known["n_out"])
            return self.preset.build(**options, **{name: known[name] for name in ("seed", "device", "dtype")})
        chosen = {"n_rec" if name == "size" else name: value for name, value in options.items()}
        if "layers" in chosen:
            layer = population_of if self.network is nets.StackedRNN else layer_of
            chosen["layers"] = [layer(each) for each in chosen["layers"]]
        if chosen.get("then") is not None:
            chosen["then"] = tuple(passage_of(each) for each in chosen["then"])
        for place, (name, sizes) in enumerate(MASKED.items()):
            if isinstance(chosen.get(name), Mapping):
                post, pre = ({**chosen, **known}[size] for size in sizes)
                chosen[name] = mask_of(chosen[name], post, pre, len(MASKED) * known["seed"] + place)
        if chosen.get("form", "A") is None:
            chosen["form"] = "A"
        taken = inspect.signature(self.network).parameters
        if "shape" in taken:
            chosen.setdefault("shape", _square(known["n_in"]))
        unused = {"n_in", "dt"} - taken.keys()
        return self.network(**chosen, **{name: each for name, each in known.items() if name not in unused})


def _kind(name: str) -> _Kind | NetworkFunction:
    """Return a kind of network by name or import path."""
    if not is_import_path(name):
        return lookup(KINDS, name, "kind of network")
    found = own_network(name)
    return found if isinstance(found, NetworkFunction) else _Kind(network_of_cell(found))


def _square(n_in: int) -> tuple[int, ...]:
    """Return the layout of an image of so many numbers: grey or of three colours, as high as wide."""
    for channels in (1, 3):
        side = round((n_in / channels) ** 0.5)
        if channels * side * side == n_in:
            return (channels, side, side)
    raise ValueError(f"{n_in} inputs are no square image of one or three channels: give the option 'shape'")


KINDS: dict[str, _Kind] = Table(
    "kind of network",
    {
        **{name: _Kind(each) for name, each in {**NETWORKS, **CELL_NETWORKS}.items()},
        **{name: _Kind(each.kind, each) for name, each in PRESETS.items()},
    },
)
