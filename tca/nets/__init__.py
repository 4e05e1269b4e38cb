"""Networks: populations, their parameters and their forward passes, independent of learning rules."""

from tca.nets.cell_rnn.cell_population import CellLayer
from tca.nets.cell_rnn.cell_rnn import CellRNN
from tca.nets.deep_r import DeepR
from tca.nets.dual_stream.dual_stream_networks import DualStream, DualStreamCNN, DualStreamMLP
from tca.nets.dual_stream.dual_stream_rnn import DualStreamRNN
from tca.nets.dual_stream.relays import Relayed, relayed
from tca.nets.feedforward.interlayer import AvgPool, Dropout, MaxPool, RMSNorm
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, LocalLayer
from tca.nets.feedforward.networks import CNN, MLP, Feedforward, LocalNet
from tca.nets.leaky.leaky_population import LeakyLayer
from tca.nets.leaky.leaky_rnn import LeakyRNN
from tca.nets.modules.wrapped_cell import from_module
from tca.nets.modules.wrapped_model import wrap
from tca.nets.network import Network
from tca.nets.presets import PRESETS
from tca.nets.spiking.spiking_population import SpikingLayer
from tca.nets.spiking.spiking_rnn import SpikingRNN
from tca.nets.stacked_rnn import StackedRNN
from tca.nets.vector.vector_networks import AlternatingNet, VectorCNN, VectorLocalNet, VectorMLP, VectorNet
from tca.nets.vector.vector_rnn import VectorRNN
from tca.utils.names import Table

NETWORKS: dict[str, type[Network]] = Table(
    "kind of network",
    {
        "leaky_rnn": LeakyRNN,
        "stacked_rnn": StackedRNN,
        "spiking_rnn": SpikingRNN,
        "feedforward": Feedforward,
        "mlp": MLP,
        "cnn": CNN,
        "local_net": LocalNet,
        "dual_stream_mlp": DualStreamMLP,
        "dual_stream_cnn": DualStreamCNN,
        "dual_stream_rnn": DualStreamRNN,
        "alternating_net": AlternatingNet,
        "vector_net": VectorNet,
        "vector_mlp": VectorMLP,
        "vector_cnn": VectorCNN,
        "vector_local_net": VectorLocalNet,
        "vector_rnn": VectorRNN,
    },
)

__all__ = [
    "CNN",
    "MLP",
    "NETWORKS",
    "PRESETS",
    "AlternatingNet",
    "AvgPool",
    "CellLayer",
    "CellRNN",
    "ConvLayer",
    "DeepR",
    "DenseLayer",
    "Dropout",
    "DualStream",
    "DualStreamCNN",
    "DualStreamMLP",
    "DualStreamRNN",
    "Feedforward",
    "LeakyLayer",
    "LeakyRNN",
    "LocalLayer",
    "LocalNet",
    "MaxPool",
    "Network",
    "RMSNorm",
    "Relayed",
    "SpikingLayer",
    "SpikingRNN",
    "StackedRNN",
    "VectorCNN",
    "VectorLocalNet",
    "VectorMLP",
    "VectorNet",
    "VectorRNN",
    "from_module",
    "relayed",
    "wrap",
]
