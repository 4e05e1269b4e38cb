"""Networks: populations, their forward passes and their parameters, without a word about learning."""

from tca.nets.dual_stream import DualStream, DualStreamCNN, DualStreamMLP
from tca.nets.dual_stream_rnn import DualStreamRNN
from tca.nets.feedforward import CNN, MLP, Feedforward, LocalNet
from tca.nets.layers import ConvLayer, DenseLayer, LocalLayer
from tca.nets.leaky_rnn import LeakyRNN
from tca.nets.network import Network
from tca.nets.passages import AvgPool, Dropout, MaxPool, RMSNorm
from tca.nets.spiking_rnn import SpikingRNN
from tca.nets.stacked_rnn import LeakyLayer, StackedRNN

NETWORKS: dict[str, type[Network]] = {
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
}

__all__ = [
    "CNN",
    "MLP",
    "NETWORKS",
    "AvgPool",
    "ConvLayer",
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
    "SpikingRNN",
    "StackedRNN",
]
