"""Networks of two streams written out with inhibitory relays, so that they obey Dale's principle cell by cell.

Shapes: T time, B batch, K inputs, O outputs, I postsynaptic cells or maps, J presynaptic of both streams.

Every presynaptic cell stands beside a relay that copies its activity: cells first, then their relays, ``2 J`` in all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.connections.convolution import Conv
from tca.connections.signed import Signed, SignedConv, negated
from tca.nets.dual_stream.dual_stream_networks import DualStream
from tca.nets.dual_stream.dual_stream_rnn import DualStreamRNN
from tca.utils.checks import checked

__all__ = ["Relayed", "relayed"]


@checked
@dataclass(frozen=True, eq=False)
class Relayed:
    """A network of two streams whose cells excite only, and whose inhibition goes through a relay of each cell.

    With ``sigma_ij = t_i t_j`` a cell excites its own stream and inhibits the other. A relay k of cell j copies its
    activity, ``h_k = h_j``, by one excitatory synapse and without delay. Synapses of positive sign leave the cell,
    those of negative sign its relay:

        drive_i = sum_j [sigma_ij > 0] m_ij h_j - sum_k [sigma_ij < 0] m_ij h_k

    which is the drive ``sum_j sigma_ij m_ij h_j``. Outputs are excited by the + stream and inhibited by the relays of
    the - stream. Inputs are lines of which each stream has a copy, and have relays as well. Weights
    are computed from the present parameters, and autograd goes through them, so that training the network trains this
    one. The cost is one relay for each cell and line.

    Args:
        net: The network; its parameters are shared.

    Paper: Yamada et al. (2026), arXiv:2606.31700; the relays are derived here.

    >>> from tca.nets import DualStreamMLP
    >>> net = DualStreamMLP(3, [4], 2)
    >>> strict = relayed(net)
    >>> weights, signs = strict.weights()["w_1"], strict.signs()["w_1"]
    >>> weights.shape, signs.tolist()
    (torch.Size([8, 12]), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0])
    >>> bool((weights * signs >= 0).all())
    True
    >>> inputs = torch.ones(1, 5, 3)
    >>> torch.allclose(strict.forward(inputs), net(inputs))
    True
    """

    net: DualStream | DualStreamRNN

    def weights(self) -> dict[str, Tensor]:
        """Return the signed weights from cells and relays by the name of their magnitudes, each ``(I, 2 J, ...)``.

        Weights of convolutions end in the sides of the kernel, and I and J count maps. They belong to the graph of the
        parameters where gradients are enabled.
        """
        return {each.name: _written_out(each) for each in _signed(self.net)}

    def signs(self) -> dict[str, Tensor]:
        """Return the sign of the synapses of every cell and relay by the name of the magnitudes, each ``(2 J,)``.

        It is +1 for the cells, of both streams, and -1 for the relays.
        """
        sides = {each.name: each.weight for each in _signed(self.net)}
        return {name: negated(each.new_ones(2 * each.shape[1], requires_grad=False)) for name, each in sides.items()}

    @checked
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of cells and relays, shape ``(T, B, O)``, without noise or random operations.

        Args:
            inputs: Inputs, shape ``(T, B, K)``.

        Raises:
            ValueError: The shape does not fit.
        """
        self.net.check(inputs)
        rates = _in_time(self.net, inputs) if isinstance(self.net, DualStreamRNN) else _upwards(self.net, inputs)
        return sum((_drive(each, rates) for each in self.net.readout_connections()), start=rates.new_zeros(()))


@checked
def relayed(net: DualStream | DualStreamRNN) -> Relayed:
    """Return a network of two streams written out with relays, which obeys Dale's principle cell by cell.

    Args:
        net: A `DualStreamMLP`, `DualStreamCNN` or `DualStreamRNN` with ``wiring="streams"``.

    Raises:
        TypeError: The network has one stream.
        ValueError: Its wiring obeys the principle as it is.
    """
    if not isinstance(net, (DualStream, DualStreamRNN)):
        raise TypeError(
            f"net must be a DualStreamMLP, DualStreamCNN or DualStreamRNN, got {type(net).__name__}: its weights have "
            "no streams"
        )
    if not any(each.by_post for each in _signed(net)):
        raise ValueError(
            "net must have wiring='streams', got wiring='presynaptic', by which every cell makes synapses of one sign "
            "without relays"
        )
    return Relayed(net)


def _signed(net: DualStream | DualStreamRNN) -> tuple[Signed, ...]:
    every = (*net.hidden_connections(), *net.readout_connections())
    return tuple(each for each in every if isinstance(each, Signed))


def _written_out(connection: Signed) -> Tensor:
    """Return positive weights from the cells, then negative ones from their relays."""
    magnitude = connection.masked(connection.weight)
    ones = [magnitude.new_ones(side) for side in magnitude.shape[:2]]
    post, pre = connection.post(ones[0]), negated(ones[1]) if connection.by_pre else ones[1]
    factor = torch.outer(post, pre).view(*magnitude.shape[:2], *[1] * (magnitude.ndim - 2))
    return torch.cat([magnitude * factor.clamp(min=0), magnitude * factor.clamp(max=0)], 1)


def _drive(connection: Connection, pre: Tensor) -> Tensor:
    """Return the drive of a connection, that of a signed one from cells and their relays."""
    if not isinstance(connection, Signed):
        return connection.apply(connection.masked(connection.weight), pre)
    cells = torch.cat([pre, pre], -1) if connection.copied else pre
    every, weight = torch.cat([cells, cells], -1), _written_out(connection)
    if not isinstance(connection, SignedConv):
        return every @ weight.t()
    channels, *sides = connection.geometry.shape
    doubled = replace(connection.geometry, shape=(2 * channels, sides[0], sides[1]))
    return Conv(connection.name, weight, None, doubled).apply(weight, every)


def _upwards(net: DualStream, inputs: Tensor) -> Tensor:
    """Return the input of the readout, population by population."""
    into = net.hidden_connections()
    rates = inputs
    for hidden, synapses, biases in zip(net.hidden_layers, into[::2], into[1::2], strict=True):
        rates = hidden.activation(_drive(synapses, rates) + _drive(biases, rates))
        shape = hidden.shape
        for operation in hidden.operations:
            rates, shape = operation.through(rates, shape, None), operation.shape(shape)
    return rates


def _in_time(net: DualStreamRNN, inputs: Tensor) -> Tensor:
    """Return the rates of the cells, step by step."""
    w_in, w_rec, b = net.hidden_connections()
    external = _drive(w_in, inputs) + _drive(b, inputs)
    state = torch.zeros_like(external[0])
    rate, rates = net.form.start(net.activation, state), []
    for each in external.unbind(0):
        driven = each + _drive(w_rec, rate)
        state, rate, _ = net.form.advance(net.activation, net.leak, net.gain, state, driven)
        rates.append(rate)
    return torch.stack(rates)
