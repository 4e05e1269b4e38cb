"""An ensemble of leaky networks: several networks of one architecture that run as one.

Shapes: S networks, T time, B batch, J inputs, N cells, O outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from tca.connections.connection import Bias, Connection, ConnectionInput, Initial, constant_input
from tca.connections.ensemble import EnsembleBias, EnsembleDense, EnsembleInitial, through
from tca.kernels.compiled import Passes
from tca.nets.leaky.leaky_population import WIDEST
from tca.nets.leaky.leaky_rnn import LeakyRNN
from tca.tape.ensemble_tape import EnsembleTape
from tca.tape.leaky_tape import LeakyTape
from tca.tape.projections import Readout
from tca.tape.tape import filtered
from tca.tape.weight_estimates import Recurrence
from tca.utils.numerics import Lasting, Workspace

__all__ = ["LeakyEnsemble", "shared"]


@torch.no_grad()
def shared(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of one shape stacked, and let each become a view of its part.

    A change of one of them in place, as by an optimizer, changes the stack.

    >>> first, second = torch.ones(2), torch.ones(2)
    >>> both = shared([first, second])
    >>> second.add_(1).tolist(), both.tolist()
    ([2.0, 2.0], [[1.0, 1.0], [2.0, 2.0]])
    """
    whole = torch.stack([each.detach() for each in tensors])
    for each, part in zip(tensors, whole.unbind(0), strict=True):
        each.data = part
    return whole


class LeakyEnsemble(Lasting):
    """S leaky networks of one architecture, whose parameters become views of tensors with a leading axis.

    Args:
        nets: The networks; alike in sizes, constants, form, biases and kinds of masks, without learned constants.

    >>> nets = [LeakyRNN(2, 4, 1, seed=seed) for seed in range(3)]
    >>> tape = LeakyEnsemble(nets).record(torch.ones(3, 5, 1, 2), None, Workspace())
    >>> tape.outputs.shape, bool((tape.outputs[:, 2] - nets[2](torch.ones(5, 1, 2))).abs().max() < 1e-6)
    (torch.Size([5, 3, 1, 1]), True)
    """

    def __init__(self, nets: Sequence[LeakyRNN]) -> None:
        self.nets = tuple(nets)
        first = self.nets[0]
        self.parameters = {
            name: shared([each.get_parameter(name) for each in self.nets]) for name, _ in first.named_parameters()
        }
        self.into = tuple(map(self._together, zip(*(each.into_cells() for each in self.nets), strict=True)))
        self.readout = tuple(map(self._together, zip(*(each.readout_connections() for each in self.nets), strict=True)))
        place = first._place(self.readout[0].effective())
        self.population = dataclasses.replace(place, weights=self.parameters["w_out"])
        self._passes: tuple[Passes | None, Passes | None] = None, None  # of one network, and of all

    def _together(self, connections: Sequence[Connection]) -> Connection:
        """Return a connection of all networks."""
        one = connections[0]
        kind = EnsembleInitial if isinstance(one, Initial) else EnsembleBias if isinstance(one, Bias) else EnsembleDense
        masks = [each.mask for each in connections if each.mask is not None]
        return kind(one.name, self.parameters[one.name], torch.stack(masks) if masks else None)

    def release(self) -> None:
        """Let every network own its parameters again."""
        for net in self.nets:
            for each in net.parameters():
                each.data = each.data.clone()

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> EnsembleTape:
        """Return the tape of all networks with their outputs, without a graph.

        Args:
            inputs: Inputs, shape ``(S, T, B, J)``, contiguous.
            noise: Private noise in the drive of every step, shape ``(S, T, B, N)``; ``None`` for none.
            space: Memory to reuse; the next run with it overwrites the tape, its outputs included.
        """
        first = self.nets[0]
        networks, steps, trials, _ = inputs.shape
        w_in, w_rec, b, *initial = self.into
        recurrent, shape = w_rec.effective(), (networks, steps + 1, trials, first.n_rec)
        rate = space.empty("rate", shape, recurrent)
        in_place = first.form.slope_at_emission
        activity = rate if in_place else space.empty("drive", shape, recurrent)
        passes = self._of_all(first._passes())
        fused = passes is not None and noise is None and first.n_pre <= WIDEST
        if not fused:
            self._drive_(activity, w_in.effective(), b.effective(), inputs, noise)
        start = initial[0].effective().unsqueeze(1).expand(rate[:, 0].shape) if initial else None
        rate_first, activity_first = rate.transpose(0, 1), activity.transpose(0, 1)
        if passes is None:
            folded = self._fold(recurrent, 1)
            begin = rate.new_zeros(()) if start is None else start
            first.form.run_(first.activation, first.leak, activity_first, folded, begin, rate_first)
            delivered = through(rate_first[1:], self.population.readout.mT)
        else:
            bias = b.effective() if fused else torch.zeros_like(passes.leak)  # else in the drive
            weights = (w_in.effective(), recurrent, bias, self.population.readout)
            external = None if fused else activity
            out = space.empty("outputs", (networks, steps, trials, first.n_out), rate)
            passes.forward_(weights, inputs if fused else None, external, start, rate, activity, out)
            delivered = out.transpose(0, 1)
        w_out, b_out = self.readout
        rates = rate_first[1:]
        outputs = filtered(delivered, first.readout_leak).add_(b_out.effective().unsqueeze(1))
        one = constant_input(1.0, rate)
        pres = (inputs.transpose(0, 1), rate_first[:-1], one, constant_input(0.0, rate))
        return EnsembleTape(
            population=self.population,
            rate=rate_first,
            activity=activity_first,
            activation=first.activation,
            leak=first.leak,
            gain=first.gain,
            links=tuple(map(ConnectionInput, self.into, pres)),
            recurrence=Recurrence(recurrent, w_rec.mask, first.types),
            passes=passes,
            readout=Readout((ConnectionInput(w_out, rates), ConnectionInput(b_out, one)), first.readout_leak),
            outputs=outputs,
            network=self._network,
        )

    def _of_all(self, passes: Passes | None) -> Passes | None:
        """Return the passes of all networks, given those of one."""
        if passes is not self._passes[0]:
            together = None
            if passes is not None:
                leak, gain = (each.expand(len(self.nets), -1).contiguous() for each in (passes.leak, passes.gain))
                together = dataclasses.replace(passes, leak=leak, gain=gain)
            self._passes = passes, together
        return self._passes[1]

    def _network(self, tape: EnsembleTape, index: int) -> LeakyTape:
        """Return the tape of one network, a view of that of all."""
        net, passes = self.nets[index], tape.passes
        (population,) = net.populations()
        own = {each.name: each for each in net.connections()}
        if passes is not None:
            one = slice(index, index + 1)
            passes = dataclasses.replace(passes, leak=passes.leak[one], gain=passes.gain[one])

        def links(given: tuple[ConnectionInput, ...]) -> tuple[ConnectionInput, ...]:
            pres = (each.pre if each.pre.ndim == 3 else each.pre[:, index] for each in given)
            return tuple(ConnectionInput(own[each.connection.name], pre) for each, pre in zip(given, pres, strict=True))

        return LeakyTape(
            population=population,
            rate=tape.rate[:, index],
            activity=tape.activity[:, index],
            activation=tape.activation,
            leak=tape.leak,
            gain=tape.gain,
            links=links(tape.links),
            recurrence=Recurrence(tape.recurrent[index], net.mask_rec, net.types),
            passes=passes,
            readout=Readout(links(tape.readout.links), tape.readout.leak),
            outputs=tape.outputs[:, index],
            output_error=tape.output_error[:, index],
            batch=tape.batches[index],
        )

    def _drive_(self, drive: Tensor, w_in: Tensor, b: Tensor, inputs: Tensor, noise: Tensor | None) -> None:
        """Write the drive of every step but for the recurrent part, with folded weights."""
        flat = drive[:, 1:].flatten(1, 2)
        torch.baddbmm(self._fold(b, 0).unsqueeze(1), inputs.flatten(1, 2), self._fold(w_in, 1).mT, out=flat)
        if noise is not None:
            drive[:, 1:].addcmul_(noise, self._fold(torch.ones_like(b[0]), 0))

    def _fold(self, weight: Tensor, presynaptic: int) -> Tensor:
        """Return weights for ``Form.run_``, see ``Form.fold``.

        Args:
            presynaptic: Number of presynaptic axes.
        """
        fold = self.nets[0].form.fold
        gain = self.nets[0].gain
        return fold(gain, weight.movedim(-1 - presynaptic, 0)).movedim(0, -1 - presynaptic)
