"""The score of the outputs itself, told to every cell that carries a vector: no feedback weights at all.

Shapes: T time, B batch, K components and outputs, I cells, N = K I, C consecutive steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from tca.connections.connection import Link
from tca.connections.vector_products import Products
from tca.connections.vector_weights import InputVectors, Vectors
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.instant import Instant
from tca.eligibilities.leak import Leak
from tca.eligibilities.network_kernel import NetworkKernel
from tca.signals.signal import Buffers, CausalSignal, CustomSignal, OnlineFunction, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.tape.vector_tape import VectorTape
from tca.utils.checks import checked

__all__ = ["GlobalVector"]


@checked
@dataclass(frozen=True)
class GlobalVector(CustomSignal, CausalSignal):
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
    factored: ClassVar[bool] = True

    @property
    def equation(self) -> str:
        """The equation of the signal."""
        return "G_t = score_t" if self.gated else "L_t = score_t"

    def check(self, population: Population) -> None:
        """Refuse cells that carry no vector with a component for each output.

        Raises:
            ValueError: They do not.
        """
        heard = population.onwards
        if not isinstance(heard, Vectors) or heard.components != population.n_out:
            raise ValueError(
                "GlobalVector needs cells that carry a vector with one component for each output, and "
                f"{population.title} "
                "has none: use a network of vectors, for example nets.VectorMLP"
            )

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to the score of every component, times the gates if so wanted."""
        assert isinstance(tape, VectorTape)
        filters = FILTERS.get((type(eligibility), self.gated))
        tape.explain(None if filters is None else Products(tape.gates, tape.score, *filters(eligibility, tape)))

        def read(steps: slice) -> Tensor:
            if not self.gated:
                return _spread(tape.score[steps], tape.population)
            return (tape.gates[steps].unsqueeze(-2) * tape.score[steps].unsqueeze(-1)).flatten(-2)

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return the score of the step for every component."""
        return lambda score: _spread(score, population)

    def gather_(self, tape: Tape, link: Link, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add the product of gates and ``score . p_j`` for the whole trial when its last steps come up.

        It takes a K-th of the time that the product of signal and activity takes. That one remains where a filter is
        no number for all cells. It remains for inputs of cells without memory as well: there the score adds a factor to
        every weight, and one product takes less time than K.
        """
        connection = link.connection
        products = tape.products if isinstance(tape, VectorTape) and any(link is each for each in tape.links) else None
        if products is None or (isinstance(connection, InputVectors) and not tape.population.recurrent):
            connection.outer_(gradient, driven, link.at(steps))
        elif steps.stop == tape.steps + 1:
            products.gather_(gradient, link)


Filters = Callable[[Any, VectorTape], tuple[float, float]]

FILTERS: dict[tuple[type[Eligibility], bool], Filters] = {  # of scores ahead and of presynaptic activity behind
    (Instant, True): lambda _, tape: (0.0, 0.0),
    (Leak, True): lambda _, tape: (0.0, tape.leak),
    (NetworkKernel, False): lambda kernel, tape: (
        kernel.decay(tape.leak, tape.gain, tape.population.root),
        tape.leak if kernel.leaky else 0.0,
    ),
}


def _spread(score: Tensor, population: Population) -> Tensor:
    """Return the score as a new tensor for every entry of the vectors, shape ``(..., N)``."""
    return score.repeat_interleave(population.cells // population.n_out, -1)
