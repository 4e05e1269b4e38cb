"""Check of rules on user's modules, which have no leak, synapses or cell types of their own."""

from __future__ import annotations

from tca.eligibilities import Diagonal, Eligibility, Full, Instant, Windowed
from tca.signals.broadcast import Broadcast, Sparse
from tca.signals.direct import Direct
from tca.signals.exact import Exact, Horizon
from tca.signals.feedback import Adaptive, Random
from tca.signals.signal import Signal
from tca.tape.population import Population

__all__ = ["check_module"]

ELIGIBILITIES = (Instant, Diagonal, Full, Windowed)
SIGNALS = (Direct, Exact, Horizon, Random, Adaptive, Sparse, Broadcast)


def check_module(signal: Signal, eligibility: Eligibility, population: Population) -> None:
    """Raise if a rule is not defined on the module that computes a population.

    Args:
        signal: The learning signal.

    Raises:
        ValueError: The rule needs parts that a module does not show.
    """
    if population.module == "model" and not (isinstance(signal, Direct | Exact) and isinstance(eligibility, Instant)):
        raise ValueError(
            f"{type(signal).__name__} with {type(eligibility).__name__} is not defined on a whole model, whose states "
            "and synapses are unknown: use RULES['bptt'] or RULES['backprop'], or give its cell to tca.nets.from_module"
        )
    if population.module != "cell":
        return
    for part, allowed in ((eligibility, ELIGIBILITIES), (signal, SIGNALS)):
        if not isinstance(part, allowed):
            raise ValueError(
                f"{type(part).__name__} is not defined on a cell module, whose Jacobian is dense, without a leak, "
                f"synapses or cell types of its own: use {', '.join(each.__name__ for each in allowed)}, as bptt, "
                "tbptt, rtrl, snap1 and three_factor do, or write the cell elementwise for tca.nets.CellRNN"
            )
