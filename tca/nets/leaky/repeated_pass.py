"""A forward pass made again: the same network, sizes and memory, and only the inputs are others.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from tca.kernels.compiled import INPUTS, WEIGHTS, Call
from tca.tape.leaky_tape import LeakyTape
from tca.tape.tape import filtered

__all__ = ["RepeatedPass"]


class RepeatedPass(NamedTuple):
    """A compiled forward pass that reads the parameters of its network.

    Attributes:
        tape: Its tape.
        call: The call of the compiled library, whose results are in the tape's memory.
    """

    tape: LeakyTape
    call: Call

    @classmethod
    def of(cls, tape: LeakyTape) -> Self | None:
        """Return the pass of a tape, ``None`` if more than weights and inputs went into it, or in inference mode.

        Args:
            tape: Tape of a network of one population.
        """
        alone = tape.delivered is not None and len(tape.readout.links) == 2  # weights and biases from the cells alone
        lasts = not (tape.links[0].pre.is_inference() or tape.outputs.is_inference())
        return cls(tape, tape.call) if tape.call is not None and alone and lasts else None

    def fits(self, net: Any, inputs: Tensor) -> bool:
        """Return whether the pass would be made anew in the same way.

        It would not after a change of the sizes, of the passes, or of where weights are. Masked weights are copies that
        are computed for every pass.

        Args:
            net: The network as it is, a `tca.nets.LeakyRNN`.
            inputs: Inputs, shape ``(T, B, I)``.
        """
        tape, parts, masks = (
            self.tape,
            (net.w_in, net.w_rec, net.b, net.w_out),
            (net.mask_in, net.mask_rec, net.mask_out),
        )
        return bool(
            inputs.shape == tape.links[0].pre.shape
            and inputs.is_contiguous()
            and [each.data_ptr() for each in parts] == self.call.values[WEIGHTS]
            and all(each is None for each in masks)
            and tape.readout.links[1].connection.weight is net.b_out
            and tape.recurrence.types is net.types
            and tape.passes is net._passes()
        )

    def __call__(self, inputs: Tensor) -> LeakyTape:
        """Make the pass and return its tape, which shares the memory of the one before.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
        """
        tape, values = self.tape, self.call.values
        values[INPUTS], values[-1] = inputs.data_ptr(), torch.get_num_threads()
        self.call()
        assert tape.delivered is not None
        outputs = filtered(tape.delivered, tape.readout.leak) + tape.readout.links[1].connection.effective()
        return tape.changed(links=(tape.links[0]._replace(pre=inputs), *tape.links[1:]), outputs=outputs)
