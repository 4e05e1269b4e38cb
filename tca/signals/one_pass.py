"""Rules whose gradients are one compiled pass of a leaky network."""

from __future__ import annotations

from torch import Tensor

from tca.eligibilities import Eligibility, Full, Instant, Leak, PotentialLeak, TypePropagation
from tca.eligibilities.type_propagation import check_stable
from tca.kernels.compiled import Return
from tca.signals.direct import Direct
from tca.signals.exact import Exact
from tca.signals.feedback import Adaptive, Random
from tca.signals.hops import Hops
from tca.signals.signal import Buffers, Signal
from tca.tape.leaky_tape import LeakyTape
from tca.tape.weight_estimates import BlockMean, ExactWeights, SynapseMean

__all__ = ["gradients_in_one_pass"]

LEAK = {Instant: False, Leak: True, PotentialLeak: True}  # eligibilities without synapses, and whether they leak
ESTIMATES = (ExactWeights, SynapseMean, BlockMean)


def gradients_in_one_pass(
    signal: Signal, eligibility: Eligibility, tape: LeakyTape, buffers: Buffers
) -> dict[str, Tensor] | None:
    """Return the gradients of all parameters by a compiled pass, see `LeakyTape.gradients`.

    They are those of `tca.execution.reverse` to round-off. ``None`` where the rule has another kind of learning signal
    or propagator.

    Args:
        signal: The learning signal; errors of the step through forward or feedback weights, these and the errors of the
            next step over one synapse, or the exact signal.
        eligibility: The eligibility; without memory, with that of the leak, of the Jacobian, or by cell type.
        tape: The forward pass with its output errors, of a network that has the pass.
        buffers: The state of the signal.

    Raises:
        DivergenceError: Propagation by cell type is unstable.
    """
    leak = LEAK.get(type(eligibility))
    if type(signal) is Exact and type(eligibility) is Instant:
        return tape.gradients(None, True, _by_jacobian(tape))
    if type(signal) is Hops:
        over_one = signal.hops == 1 and not signal.receiver_leak and type(signal.weights) in ESTIMATES
        return tape.gradients(None, leak, _over_one(signal, tape)) if over_one and leak is not None else None
    if type(signal) not in (Direct, Random, Adaptive):
        return None
    feedback = None if type(signal) is Direct else buffers["feedback"].mT
    if leak is not None:
        return tape.gradients(feedback, leak, None)
    if type(eligibility) is Full:
        return tape.gradients(feedback, True, _by_jacobian(tape))
    if type(eligibility) is TypePropagation:
        check_stable(tape.type_means, tape.leak, tape.gain, eligibility.slope)
        return tape.gradients(feedback, True, _by_type("filtered", tape, eligibility.slope))
    return None


def _by_jacobian(tape: LeakyTape) -> Return:
    return Return("driven", tape.recurrent)


def _over_one(signal: Hops, tape: LeakyTape) -> Return:
    """Return the errors of the next step over one synapse, see `Hops`."""
    if signal.weights.by_type(tape.recurrence):
        return _by_type("direct", tape, 1.0)
    return Return("direct", signal.weights.of(tape.recurrence))


def _by_type(sent: str, tape: LeakyTape, slope: float) -> Return:
    """Return the feedback by cell type, see `Tape.return_by_type_`."""
    types = tape.type_means.members.mT
    return Return(sent, slope * tape.type_means.weights @ types, types)
