"""The score of the outputs itself, told to every cell that carries a vector: no feedback weights at all.

Shapes: T time, B batch, K components and outputs, I cells, N = K I, C consecutive steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tca.connections import Link
from tca.eligibilities.base import Eligibility
from tca.place import Place
from tca.signals.base import Buffers, CausalSignal, Reader, Teller
from tca.tape import Tape
from tca.vector_tape import VectorTape
from tca.vectors import VectorConnection, Vectors

__all__ = ["GlobalVector"]


@dataclass(frozen=True)
class GlobalVector(CausalSignal):
    """``G_ik,t = score_k,t``: every cell is told the score of the outputs, component by component.

    In a network of vectors the exact signal is ``g_i score_k`` with one number ``g_i`` for each cell, which is not
    negative where no weight above the first layer is. Global error-vector broadcasting puts one in its place:

        dw_ij = G_i (score . h_j),   db_ik = G_i score_k

    For a single example and weights that are not shared, every change of a nonnegative network has the sign of its
    gradient; sums over examples, positions or steps have no such warrant. The outputs get their exact gradient. Mean
    pooling between two populations does not scale what is told.

    Args:
        gated: Whether a cell that is closed at a step hears nothing of its score, default ``True``; ``False`` for an
            eligibility that applies the gates of earlier steps itself, `tca.eligibilities.NetworkKernel`.

    Paper: Clark, Abbott and Chung (2021), Credit assignment through broadcasting a global error vector, NeurIPS,
    arXiv:2106.04089.
    """

    gated: bool = True

    @property
    def equation(self) -> str:
        """The signal in one line."""
        return "G_t = score_t" if self.gated else "L_t = score_t"

    def check(self, place: Place) -> None:
        """Refuse cells that carry no vector with a component for each output.

        Raises:
            ValueError: They do not.
        """
        heard = place.onwards
        if not isinstance(heard, Vectors) or heard.components != place.n_out:
            raise ValueError(
                f"GlobalVector needs cells that carry a vector with one component for each output, and {place.title} "
                "has none: use a network of vectors, for example nets.VectorMLP"
            )

    def reader(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> Reader:
        """Return a function from a window of steps to the score of every component, times the gates if so wanted."""

        def read(steps: slice) -> Tensor:
            if not self.gated:
                return _spread(tape.score[steps], tape.place)
            assert isinstance(tape, VectorTape)
            return (tape.gates[steps].unsqueeze(-2) * tape.score[steps].unsqueeze(-1)).flatten(-2)

        return read

    def teller(self, place: Place, buffers: Buffers) -> Teller:
        """Return the score of the step for every component."""
        return lambda score: _spread(score, place)

    def gather_(self, tape: Tape, link: Link, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add the product of gates and ``score . h_j`` where no memory has mixed steps, else of signal and activity.

        The first takes a K-th of the time.
        """
        connection = link.connection
        product = isinstance(tape, VectorTape) and not tape.place.recurrent and any(link is each for each in tape.links)
        if product and isinstance(connection, VectorConnection):
            assert isinstance(tape, VectorTape)
            connection.broadcast_(gradient, tape.gates[steps], tape.score[steps], link.at(steps))
        else:
            connection.outer_(gradient, driven, link.at(steps))


def _spread(score: Tensor, place: Place) -> Tensor:
    """Return the score as a new tensor for every entry of the vectors, shape ``(..., N)``."""
    return score.repeat_interleave(place.cells // place.n_out, -1)
