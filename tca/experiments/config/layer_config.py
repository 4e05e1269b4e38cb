"""Layers of feedforward networks and populations of stacks as plain values."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from tca.experiments.config.own_parts import cell_layer
from tca.nets import LeakyLayer, SpikingLayer
from tca.nets.cell_rnn.named_cells import CELL_LAYERS
from tca.nets.feedforward.interlayer import AvgPool, Dropout, InterlayerOperation, MaxPool, RMSNorm
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, LocalLayer
from tca.nets.recurrent_layer import RecurrentLayer
from tca.utils.class_paths import is_import_path
from tca.utils.names import lookup

__all__ = ["filled_layer", "filled_operation", "filled_population", "layer_of", "passage_of", "population_of"]

OPERATIONS: dict[str, type[InterlayerOperation]] = {
    "avg_pool": AvgPool,
    "max_pool": MaxPool,
    "dropout": Dropout,
    "rms_norm": RMSNorm,
}
LAYERS: dict[str, type[Layer]] = {"dense": DenseLayer, "conv": ConvLayer, "local": LocalLayer}
POPULATIONS: dict[str, type[RecurrentLayer]] = {"leaky": LeakyLayer, "spiking": SpikingLayer, **CELL_LAYERS}


def passage_of(described: str | Mapping[str, Any] | InterlayerOperation) -> InterlayerOperation:
    """Return an operation between layers from its name, or from its name with its options.

    Args:
        described: ``"avg_pool"``, ``"max_pool"``, ``"dropout"`` or ``"rms_norm"``, or one of these as the only key of a
            mapping to its options; or the operation.

    Raises:
        ValueError: The name or an option is unknown, or a value is not allowed.

    >>> passage_of("avg_pool"), passage_of({"dropout": {"share": 0.1}})
    (AvgPool(kernel=2, stride=None), Dropout(share=0.1))
    """
    if isinstance(described, InterlayerOperation):
        return described
    if not isinstance(described, str) and (not isinstance(described, Mapping) or len(described) != 1):
        raise ValueError(f"an interlayer operation must be a name or a mapping with one key, got {described!r}")
    ((name, options),) = ((described, {}),) if isinstance(described, str) else described.items()
    kind = lookup(OPERATIONS, name, "interlayer operation")
    return kind(**_known(kind, options, f"option of {name}"))


def filled_operation(described: str | Mapping[str, Any] | InterlayerOperation) -> dict[str, Any]:
    """Return an operation between layers by name with all of its options.

    Args:
        described: The operation, as for `passage_of`.

    >>> filled_operation("rms_norm")
    {'rms_norm': {'eps': 1e-08}}
    """
    operation = passage_of(described)
    names = {kind: name for name, kind in OPERATIONS.items()}
    if type(operation) not in names:
        raise ValueError(f"an interlayer operation of a run must be one of {', '.join(OPERATIONS)}, got {operation!r}")
    return {names[type(operation)]: dataclasses.asdict(operation)}


def layer_of(described: Mapping[str, Any]) -> Layer:
    """Return a layer of a feedforward network.

    Args:
        described: One of the keys ``dense`` (number of cells), ``conv`` or ``local`` (number of channels), then
            ``kernel``, ``stride`` and ``padding`` where they apply, and ``then``, a list of operations that follow.

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


def filled_layer(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer of a feedforward network with all of its options.

    Args:
        described: The layer, as for `layer_of`.

    Raises:
        ValueError: See `layer_of`.

    >>> filled_layer({"dense": 8, "then": ["rms_norm"]})["then"]
    [{'rms_norm': {'eps': 1e-08}}]
    """
    layer = layer_of(described)
    (name,) = (name for name in described if name in LAYERS)
    size, *others = dataclasses.fields(layer)
    then = [filled_operation(each) for each in layer.operations]
    options = {each.name: getattr(layer, each.name) for each in others}
    return {name: getattr(layer, size.name), **options, "then": then}


def population_of(described: Mapping[str, Any]) -> RecurrentLayer:
    """Return a population of a stack.

    Args:
        described: Options of `tca.nets.LeakyLayer`, or with ``"cells": "spiking"`` of `tca.nets.SpikingLayer`, or with
            the name of a cell, such as ``"cells": "gru"``, or the import path of a class of one, of the cell and of
            `tca.nets.CellLayer`.

    Raises:
        ValueError: An option is unknown, or a value is not allowed.

    >>> population_of({"size": 4, "tau": 20.0}).cell.tau
    20.0
    """
    options = {name: value for name, value in described.items() if (name, value) != ("form", None)}
    cells = options.pop("cells", "leaky")
    kind = _population(cells)
    for name in options:
        lookup({"size": None, **kind.options()}, name, f"option of a {cells} layer")
    return kind(**options)


def filled_population(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a population of a stack with all of its options; masks, form and learned constants if given.

    Args:
        described: The population, as for `population_of`.

    Raises:
        ValueError: See `population_of`.

    >>> filled_population({"size": 4})["tau"], filled_population({"size": 4})["form"]
    (100.0, None)
    """
    population_of(described)
    cells = described.get("cells", "leaky")
    options = {
        name: value
        for name, value in _population(cells).options().items()
        if not name.startswith("mask") and name != "learn"
    }
    return {"cells": cells, **options, **({"form": None} if "form" in options else {}), **described}


def _population(cells: str) -> type[RecurrentLayer]:
    return cell_layer(cells) if is_import_path(cells) else lookup(POPULATIONS, cells, "cells of a layer")


def _known(kind: type, options: Mapping[str, Any], what: str) -> dict[str, Any]:
    allowed = dict.fromkeys(name for name in inspect.signature(kind).parameters if name != "then")
    for name in options:
        lookup(allowed, name, what)
    return dict(options)
