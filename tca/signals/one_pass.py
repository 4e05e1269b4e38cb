"""Rules whose gradients are one compiled pass of a leaky network."""

from __future__ import annotations

from torch import Tensor

from tca.eligibilities import Eligibility, Full, Instant, Leak, PotentialLeak
from tca.signals.direct import Direct
from tca.signals.exact import Exact
from tca.signals.feedback import Adaptive, Random
from tca.signals.signal import Buffers, Signal
from tca.tape.leaky_tape import LeakyTape

__all__ = ["gradients_in_one_pass"]

# Whether the filter of the learning signal contains the leak, and whether it contains the synapses.
FILTERS = {Instant: (False, False), Leak: (True, False), PotentialLeak: (True, False), Full: (True, True)}


def gradients_in_one_pass(
    signal: Signal, eligibility: Eligibility, tape: LeakyTape, buffers: Buffers
) -> dict[str, Tensor] | None:
    """Return the gradients of all parameters by a compiled pass, see `LeakyTape.gradients`.

    They are those of `tca.execution.reverse` to round-off. ``None`` where the rule has another kind of learning signal
    or propagator, or the network no such pass.

    Args:
        signal: The learning signal; errors of the step through forward or feedback weights, or the exact signal.
        eligibility: The eligibility; without memory, with that of the leak, or with that of the Jacobian.
        tape: The forward pass with its output errors.
        buffers: The state of the signal.
    """
    if type(eligibility) not in FILTERS:
        return None
    leak, synapses = FILTERS[type(eligibility)]
    if type(signal) is Exact and type(eligibility) is Instant:
        return tape.gradients(None, leak=True, synapses=True)
    if type(signal) is Direct:
        return tape.gradients(None, leak, synapses)
    if type(signal) in (Random, Adaptive):
        return tape.gradients(buffers["feedback"].mT, leak, synapses)
    return None
