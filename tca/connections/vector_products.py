"""Gradients of vector cells as products of gates and output errors.

Shapes: T time, B batch, K components and outputs, I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.connections.connection import ConnectionInput
from tca.connections.vector_weights import VectorConnection

__all__ = ["Products"]

WINDOW_BYTES = 2**19  # traces that stay in the cache of one core


class Products:
    """``sum_t G_i,t (s^_t . p_j,t)`` with ``s^_t = s_t + ahead s^_t+1`` and ``p_t = behind p_t-1 + pre_t``.

    Output error and both filters are the same for all cells. Hence the sum over components precedes that over time and
    trials: a K-th of the cost of filtering the signal of every component, and less if few steps have an error. The
    result equals the gradient by the signal ``G_i,t s_k,t`` filtered backwards by ``behind``, with gates of earlier
    steps applied to the filtered error if ``ahead``.

    Args:
        gates: One where a cell passes its vector, zero elsewhere, shape ``(T + 1, B, I)``.
        error: Output error, zero at time zero, shape ``(T + 1, B, K)``.
        ahead: Leak per step of the backward filter of the output error.
        behind: Leak per step of the trace of presynaptic activity.
    """

    def __init__(self, gates: Tensor, error: Tensor, ahead: float = 0.0, behind: float = 0.0) -> None:
        self.gates, self.behind = gates, behind
        self.error = error.clone() if ahead else error
        if ahead:
            entries = self.error.unbind(0)
            for t in range(len(entries) - 2, 0, -1):
                entries[t].add_(entries[t + 1], alpha=ahead)
        self.steps = _steps_with_error(self.error)

    def gather_(self, gradient: Tensor, link: ConnectionInput) -> None:
        """Add the sum over the whole trial to a gradient in place.

        Args:
            gradient: Accumulated gradient, in the shape of the weight.
            link: The connection, of vectors, and its presynaptic activity.
        """
        if self.steps.start == self.steps.stop:
            return
        connection = link.connection
        assert isinstance(connection, VectorConnection)
        met = self._met_late(connection, link) if self.behind else self._met(connection, link)
        connection.broadcast_(gradient, self.gates[self.steps], met)

    def _met(self, connection: VectorConnection, link: ConnectionInput) -> Tensor:
        return connection.meet(self.error[self.steps], link.at(self.steps))

    def _met_late(self, connection: VectorConnection, link: ConnectionInput) -> Tensor:
        """Return products of output errors and presynaptic traces, a few steps in memory at a time."""
        trace = torch.zeros_like(link.pre[0])
        at_once = max(1, WINDOW_BYTES // (trace.numel() * trace.element_size()))
        always = link.pre[0] if len(link.pre) == 1 else None
        met: list[Tensor] = []
        held: list[Tensor] = []
        for t in range(1, self.steps.stop):
            trace = torch.add(link.pre[t - 1] if always is None else always, trace, alpha=self.behind)
            if t >= self.steps.start:
                held.append(trace)
            if len(held) == at_once or (held and t == self.steps.stop - 1):
                met.append(connection.meet(self.error[t + 1 - len(held) : t + 1], torch.stack(held)))
                held = []
        return torch.cat(met)


def _steps_with_error(error: Tensor) -> slice:
    """Return the steps from the first to the last with an error; all on devices that the host would wait for."""
    if error.device.type != "cpu":
        return slice(1, len(error))
    errs = (error[1:] != 0).flatten(1).any(1).tolist()
    steps = [t for t, any_error in enumerate(errs, 1) if any_error]
    return slice(steps[0], steps[-1] + 1) if steps else slice(1, 1)
