"""The number of threads that suits a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tca.experiments.config.network_config import NetworkConfig

__all__ = ["WIDEST", "threads_for"]

WIDEST = 256  # cells up to which a second thread saves less time than a second run makes use of


def threads_for(net: NetworkConfig) -> int:
    """Return one thread for networks of at most 256 cells a layer, else as many as torch has.

    Small products do not pay for the threads that share them, least of all beside other processes.

    Args:
        net: The network. Kinds whose sizes are not among their options count as large.

    >>> threads_for(NetworkConfig(size=256)), threads_for(NetworkConfig(size=257)) == torch.get_num_threads()
    (1, True)
    """
    sizes = _sizes(net.options)
    small = bool(sizes) and all(isinstance(each, int) and each <= WIDEST for each in sizes)
    return 1 if small else torch.get_num_threads()


def _sizes(options: Mapping[str, Any]) -> list[Any]:
    """Return the number of cells of every layer, ``None`` for a layer that has no such option."""
    given = next((options[name] for name in ("size", "sizes", "layers") if name in options), None)
    layers = given if isinstance(given, list | tuple) else [given]
    return [each.get("size") if isinstance(each, Mapping) else each for each in layers]
