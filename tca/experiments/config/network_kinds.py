"""The kinds of networks by name: their options, defaults, and how they are built."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

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
from tca.utils.checks import Filled, Size, check
from tca.utils.class_paths import is_import_path
from tca.utils.names import Table, lookup

__all__ = ["KINDS", "RUN_KNOWS", "SIZE", "NetworkKind", "kind_of"]

SIZE = 128
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


@dataclass(frozen=True)
class NetworkKind:
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


def kind_of(name: str) -> NetworkKind | NetworkFunction:
    """Return a kind of network by name or import path."""
    if not is_import_path(name):
        return lookup(KINDS, name, "kind of network")
    found = own_network(name)
    return found if isinstance(found, NetworkFunction) else NetworkKind(network_of_cell(found))


def _square(n_in: int) -> tuple[int, ...]:
    """Return the layout of an image of so many numbers: grey or of three colours, as high as wide."""
    for channels in (1, 3):
        side = round((n_in / channels) ** 0.5)
        if channels * side * side == n_in:
            return (channels, side, side)
    raise ValueError(f"{n_in} inputs are no square image of one or three channels: give the option 'shape'")


KINDS: dict[str, NetworkKind] = Table(
    "kind of network",
    {
        **{name: NetworkKind(each) for name, each in {**NETWORKS, **CELL_NETWORKS}.items()},
        **{name: NetworkKind(each.kind, each) for name, each in PRESETS.items()},
    },
)
