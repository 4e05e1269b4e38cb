"""Global error-vector broadcasting: the output error itself, without feedback weights.

Shapes: T time, B batch, K components and outputs, I cells, N = K I, C consecutive steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from tca.connections.connection import ConnectionInput
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
    """``G_ik,t = score_k,t``: the output error, component by component, in every cell.

    In a network of vectors the exact signal is ``g_i score_k`` with one number ``g_i`` for each cell, nonnegative where
    all weights above the first layer are. Global error-vector broadcasting replaces it by one:

        dw_ij = G_i (error . h_j),   db_ik = G_i error_k

    For a single example and weights that are not shared, every change of a nonnegative network has the sign of its
    gradient; sums over examples, positions or steps have no such guarantee. The outputs get their exact gradient. Mean
    pooling between two populations does not scale the learning signal.

    Args:
        gated: Whether the gate of a cell multiplies its learning signal, default ``True``; ``False`` for an eligibility
            that applies the gates of earlier steps itself, `tca.eligibilities.NetworkKernel`.

    Paper: Clark, Abbott and Chung (2021), Credit assignment through broadcasting a global error vector, NeurIPS,
    arXiv:2106.04089.
    """

    gated: bool = True
    factored: ClassVar[bool] = True

    @property
    def equation(self) -> str:
        return "G_t = score_t" if self.gated else "L_t = score_t"

    def check(self, population: Population) -> None:
        """Refuse cells without a vector component for each output."""
        efferent = population.onwards
        if not isinstance(efferent, Vectors) or efferent.components != population.n_out:
            raise ValueError(
                "GlobalVector needs cells that carry a vector with one component for each output, and "
                f"{population.title} "
                "has none: use a network of vectors, for example nets.VectorMLP"
            )

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to the output error per component, gated if ``gated``."""
        assert isinstance(tape, VectorTape)
        filters = FILTERS.get((type(eligibility), self.gated))
        tape.explain(
            None if filters is None else Products(tape.gates, tape.filtered_error, *filters(eligibility, tape))
        )

        def read(steps: slice) -> Tensor:
            if not self.gated:
                return _spread(tape.filtered_error[steps], tape.population)
            return (tape.gates[steps].unsqueeze(-2) * tape.filtered_error[steps].unsqueeze(-1)).flatten(-2)

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        return lambda error: _spread(error, population)

    def gather_(self, tape: Tape, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add gates times ``error . p_j`` for the whole trial at once.

        This happens at the last window and takes a K-th of the time of the product of signal and activity. The latter
        is used where a filter differs between cells, and for inputs of cells without memory: there the output
        error adds a factor to every weight, and one product takes less time than K.
        """
        connection = link.connection
        products = tape.products if isinstance(tape, VectorTape) and any(link is each for each in tape.links) else None
        if products is None or (isinstance(connection, InputVectors) and not tape.population.recurrent):
            connection.outer_(gradient, driven, link.at(steps))
        elif steps.stop == tape.steps + 1:
            products.gather_(gradient, link)


Filters = Callable[[Any, VectorTape], tuple[float, float]]

FILTERS: dict[tuple[type[Eligibility], bool], Filters] = {  # decay of later errors and of presynaptic traces
    (Instant, True): lambda _, tape: (0.0, 0.0),
    (Leak, True): lambda _, tape: (0.0, tape.leak),
    (NetworkKernel, False): lambda kernel, tape: (
        kernel.decay(tape.leak, tape.gain, tape.population.perron_root_bound),
        tape.leak if kernel.leaky else 0.0,
    ),
}


def _spread(error: Tensor, population: Population) -> Tensor:
    """Repeat the output error for every entry of the vectors, ``(..., N)``."""
    return error.repeat_interleave(population.cells // population.n_out, -1)
