"""Projection of parameters onto their constraints, with a reset of the optimizer's momentum.

After a step ``net.project_()`` projects every parameter onto its constraint. The running mean of an optimizer with
momentum still points out of the allowed region and keeps driving the weight there after the gradient has changed sign.
For projected weights that mean is set to zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.nets import Network

__all__ = ["project_", "project_and_reset_"]

MEANS = ("exp_avg", "momentum_buffer")  # names of the running mean in Adam and its variants, and in SGD and RMSprop


@torch.no_grad()
def project_(net: Network, optimizer: torch.optim.Optimizer) -> int:
    """Project the parameters onto their constraints and reset the momentum of those projected.

    Running means of squares stay: they hold the size of gradients, not their direction.

    Args:
        net: The network; its ``project_`` defines the constraints.

    Returns:
        Number of projected values.

    >>> net = __import__("tca").nets.LeakyRNN(1, 2, 1, dale=(1,))
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=10.0)
    >>> net.w_rec.grad = torch.ones(2, 2)
    >>> optimizer.step()
    >>> project_(net, optimizer), optimizer.state[net.w_rec]["exp_avg"].abs().sum().item()
    (4, 0.0)
    """
    return int(project_and_reset_(net, optimizer))


@torch.no_grad()
def project_and_reset_(net: Network, optimizer: torch.optim.Optimizer) -> Tensor:
    """Project as ``project_`` does; return the number of projected values as a scalar that has not been read.

    Args:
        net: The network.
        optimizer: Its optimizer.
    """
    before = {name: each.clone() for name, each in net.named_parameters()}
    net.project_()
    counts = []
    for name, parameter in net.named_parameters():
        moved = parameter != before[name]
        counts.append(moved.sum())
        for mean in MEANS:
            value = optimizer.state[parameter].get(mean)
            if isinstance(value, Tensor):
                value.masked_fill_(moved, 0.0)
    return torch.stack(counts).sum()
