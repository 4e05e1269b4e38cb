"""Networks: populations, their forward passes and their parameters, without a word about learning."""

from tca.nets.feedforward import CNN, MLP, Feedforward, LocalNet
from tca.nets.layers import ConvLayer, DenseLayer, LocalLayer
from tca.nets.leaky_rnn import LeakyRNN
from tca.nets.network import Network
from tca.nets.passages import AvgPool, Dropout, MaxPool, RMSNorm
from tca.nets.stacked_rnn import LeakyLayer, StackedRNN

NETWORKS: dict[str, type[Network]] = {
    "leaky_rnn": LeakyRNN,
    "stacked_rnn": StackedRNN,
    "feedforward": Feedforward,
    "mlp": MLP,
    "cnn": CNN,
    "local_net": LocalNet,
}

__all__ = [
    "CNN",
    "MLP",
    "NETWORKS",
    "AvgPool",
    "ConvLayer",
    "DenseLayer",
    "Dropout",
    "Feedforward",
    "LeakyLayer",
    "LeakyRNN",
    "LocalLayer",
    "LocalNet",
    "MaxPool",
    "Network",
    "RMSNorm",
    "StackedRNN",
]
