"""Networks: populations, their forward passes and their parameters, without a word about learning."""

from tca.nets.leaky_rnn import LeakyRNN
from tca.nets.network import Network

NETWORKS: dict[str, type[Network]] = {"leaky_rnn": LeakyRNN}

__all__ = ["NETWORKS", "LeakyRNN", "Network"]
