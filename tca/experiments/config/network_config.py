"""A network as a value: a kind and its options, which compare, hash, can be written as JSON and build the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

import torch

from tca.experiments.config.network_kinds import RUN_KNOWS, kind_of
from tca.nets import Network
from tca.rule import LEAKS
from tca.utils.checks import Device, DType, Made, Named, Positive, Seed, Size, checked, settle
from tca.utils.class_paths import canonical_path, is_import_path

__all__ = ["NetworkConfig"]

DEFAULT, NONE = "leaky_rnn", MappingProxyType[str, Any]({})
Kind = Annotated[str, Made(canonical_path, Callable)]


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
        settle(self, kind=name, options=kind_of(name).filled({**options, **more}))

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
                    for name, each in kind_of(self.kind).defaults.items()}  # fmt: skip
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
        return kind_of(self.kind).make(self.options, known)
