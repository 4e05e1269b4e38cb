"""Weights of `torch.nn.GRU` and `torch.nn.LSTM` into a network of general cells and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tca.cells.cell import Cell
from tca.cells.gated_cells import GRU, LSTM

__all__ = ["cell_of", "load_", "to_torch"]

MODULES: dict[type[Cell], type[nn.Module]] = {GRU: nn.GRU, LSTM: nn.LSTM}
NAMES = {"w_in": "weight_ih_l0", "w_rec": "weight_hh_l0", "b": "bias_ih_l0", "b_rec": "bias_hh_l0"}


def cell_of(module: nn.Module, readout: nn.Linear) -> Cell:
    """Return the cell of a module of torch.

    Args:
        readout: Its readout.

    Raises:
        TypeError: The module is neither a GRU nor an LSTM, or one with another forward.
        ValueError: The module has several layers or directions, a projection or computed weights, or the readout
            another size, type or device.
    """
    found = [cell for cell, kind in MODULES.items() if isinstance(module, kind)]
    if not found or type(module).forward is not MODULES[found[0]].forward:
        raise TypeError(
            f"module must be torch.nn.GRU or torch.nn.LSTM with torch's own forward, got {type(module).__name__}: use "
            "tca.nets.wrap for another module"
        )
    for name, allowed in {"num_layers": 1, "bidirectional": False, "proj_size": 0}.items():
        if getattr(module, name) != allowed:
            raise ValueError(
                f"module must have {name}={allowed}, got {getattr(module, name)}: for several layers build a "
                "StackedRNN of CellLayer"
            )
    if readout.in_features != module.hidden_size:
        raise ValueError(f"readout must have {module.hidden_size} inputs, got {readout.in_features}")
    own, wanted = dict(module.named_parameters()), readout.weight
    for name in NAMES.values():
        if hasattr(module, name) and name not in own:
            raise ValueError(f"module must hold {name} as a parameter, and it computes it: remove its parametrization")
    for name, each in own.items():
        if (each.dtype, each.device) != (wanted.dtype, wanted.device):
            raise ValueError(
                f"module must be {wanted.dtype} on {wanted.device} as readout is, got {each.dtype} on {each.device} in "
                f"{name}"
            )
    return found[0]()


@torch.no_grad()
def load_(net: Any, module: nn.Module, readout: nn.Linear) -> None:
    """Copy the weights of a module and its readout into a network, in place.

    Args:
        readout: The readout; without a bias that of the network is zero and needs no gradient.
    """
    for name, parameter in net.named_parameters():
        if name in NAMES:
            parameter.copy_(module.get_parameter(NAMES[name]))
    net.w_out.copy_(readout.weight)
    if readout.bias is None:
        net.b_out.requires_grad_(False)
    else:
        net.b_out.copy_(readout.bias)


@torch.no_grad()
def to_torch(net: Any) -> tuple[nn.Module, nn.Linear]:
    """Return a module of torch and a linear readout with the weights of a network.

    Raises:
        TypeError: Its cell is neither GRU nor LSTM.
        ValueError: It has something that the modules do not have.
    """
    kind: Any = MODULES.get(type(net.cell))
    if kind is None:
        raise TypeError(f"to_torch needs the cell GRU or LSTM, got {net.cell}")
    extra = {
        "readout_tau": net.readout_leak,
        "noise": net.noise,
        "skip": net.w_skip is not None,
        "learn_initial": net.s_0 is not None,
    }
    for name, given in extra.items():
        if given:
            raise ValueError(f"torch's modules have no {name}: make the network without it")
    like: Tensor = net.w_out
    with torch.random.fork_rng([like.device] if like.is_cuda else []):  # torch draws weights that are overwritten below
        module = kind(net.n_in, net.n_rec, bias=net.b is not None, device=like.device, dtype=like.dtype)
        readout = nn.Linear(net.n_rec, net.n_out, device=like.device, dtype=like.dtype)
    named = {each.name: each.effective() for each in net.connections()}
    for name, theirs in NAMES.items():
        if name in named:
            module.get_parameter(theirs).copy_(named[name])
    readout.weight.copy_(named["w_out"])
    readout.bias.copy_(named["b_out"])
    return module, readout
