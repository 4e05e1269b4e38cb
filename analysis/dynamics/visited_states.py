"""States that a network visits in trials, from which fixed points are sought.

Shapes: N cells, M starts, B batch, T time, I inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from analysis.dynamics.state_map import state_map
from analysis.dynamics.step_map import StateMap
from tca.utils.checks import Count, NotNegative, Seed, checked

__all__ = ["sampled_states"]


@checked
def sampled_states(
    net: nn.Module | StateMap,
    inputs: Tensor,
    count: Count,
    *,
    steps: slice | Tensor | None = None,
    noise: NotNegative = 0.1,
    seed: Seed = 0,
) -> Tensor:
    """Return states that a network visits in trials, with noise, to look for fixed points from, shape ``(M, N)``.

    Args:
        net: The network or population, or its `state_map`, which for any function needs a state to start from.
        inputs: Inputs of the trials, shape ``(T, B, I)``: for a population of a stack the rates below it.
        steps: Which steps to take them from, counted from the first, such as those of the decision: a slice, or whether
            each step of each trial counts, boolean, shape ``(T, B)``; ``None`` (default) for all.
        noise: Standard deviation of the noise, relative to that of the states visited, default 0.1.
        seed: Seed of the choice and of the noise.

    Raises:
        TypeError: The network is not recurrent.
        ValueError: A shape does not fit, a number is out of range, or there is no such step.

    >>> from tca.nets import LeakyRNN
    >>> sampled_states(LeakyRNN(1, 4, 1), torch.ones(5, 3, 1), 7).shape
    torch.Size([7, 4])
    """
    one = net if isinstance(net, StateMap) else state_map(net)
    states = one.trajectory(inputs)[1:]
    visited = states[slice(None) if steps is None else steps].reshape(-1, one.cells)
    if not len(visited):
        raise ValueError(f"steps must hold at least one of the {len(inputs)} steps, got {steps}")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(visited), (count,), generator=generator, device="cpu")
    drawn = torch.randn(count, one.cells, generator=generator, dtype=torch.float64, device="cpu")
    size = noise * visited.std(correction=0)
    return visited[chosen.to(visited.device)] + size * drawn.to(visited.device)
