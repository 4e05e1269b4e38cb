"""Constraints that the state of an optimizer honours too.

After a step ``net.project_()`` puts every parameter back where it is allowed to be. An optimizer with momentum does not
know of it: its running mean still points across the border and pulls the weight there again, long after the gradient
has turned round. Where a weight has been put back, that mean is set to zero here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.nets import Network

__all__ = ["project_"]

MEANS = ("exp_avg", "momentum_buffer")  # what Adam and its kin, and SGD and RMSprop, call their running mean


@torch.no_grad()
def project_(net: Network, optimizer: torch.optim.Optimizer) -> int:
    """Put the parameters back where they are allowed to be, forget the momentum across the border, and count them.

    Running means of squares stay: they say how large gradients are, not where they point.

    Args:
        net: The network; its ``project_`` says what is allowed.
        optimizer: The optimizer, whose step has just been made.

    Returns:
        How many numbers were put back.

    >>> net = __import__("tca").nets.LeakyRNN(1, 2, 1, dale=(1,))
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=10.0)
    >>> net.w_rec.grad = torch.ones(2, 2)
    >>> optimizer.step()
    >>> project_(net, optimizer), optimizer.state[net.w_rec]["exp_avg"].abs().sum().item()
    (4, 0.0)
    """
    before = {name: each.clone() for name, each in net.named_parameters()}
    net.project_()
    count = 0
    for name, parameter in net.named_parameters():
        moved = parameter != before[name]
        if moved.any():
            count += int(moved.sum())
            for mean in MEANS:
                value = optimizer.state[parameter].get(mean)
                if isinstance(value, Tensor):
                    value.masked_fill_(moved, 0.0)
    return count
