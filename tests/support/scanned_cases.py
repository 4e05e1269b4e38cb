"""Small networks of every kind, with trials, on which derivatives by hand are held against autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

import tca
from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS
from tca.losses import CrossEntropy
from tca.nets import (
    CNN,
    MLP,
    AlternatingNet,
    AvgPool,
    ConvLayer,
    DenseLayer,
    Dropout,
    DualStream,
    DualStreamCNN,
    DualStreamMLP,
    DualStreamRNN,
    Feedforward,
    LeakyLayer,
    LeakyRNN,
    LocalLayer,
    LocalNet,
    MaxPool,
    Network,
    RMSNorm,
    SpikingRNN,
    StackedRNN,
    VectorCNN,
    VectorLocalNet,
    VectorMLP,
    VectorNet,
    VectorRNN,
)
from tests.support.cases import mask

__all__ = ["CURVED", "FEEDFORWARD", "NETS", "RECURRENT", "network", "trials"]

EXACT = {"dtype": torch.float64}
TAUS = [20.0, 50.0, 100.0, 30.0, 20.0, 10.0]
SPIKING = {"gain_in": 4.0, "tau_adaptation": 30.0, "refractory": 2.0, **EXACT}
MAPS = (1, 6, 6)

RECURRENT: dict[str, Callable[[], Network]] = {
    "leaky A": lambda: LeakyRNN(3, 6, 3, tau=TAUS, readout_tau=20.0, learn_initial=True, **EXACT),
    "leaky B": lambda: LeakyRNN(3, 6, 3, form="B", mask_rec=mask(1, 6, 6), learn_initial=True, **EXACT),
    "stack": lambda: StackedRNN(
        3,
        [
            LeakyLayer(5, learn_initial=True, mask_in=mask(2, 5, 3)),
            LeakyLayer(6, form="B", activation="softplus", learn_initial=True, tau=TAUS),
            LeakyLayer(4, activation="rectified_tanh", mask_rec=mask(3, 4, 4)),
        ],
        3,
        readout_tau=30.0,
        **EXACT,
    ),
    **{
        f"spiking {name}": lambda name=name: SpikingRNN(3, 6, 3, surrogate_gradient=name, bias=True, **SPIKING)
        for name in SURROGATE_GRADIENTS
    },
    "spiking, none adapts": lambda: SpikingRNN(
        3, 6, 3, beta=0.0, reset_in_trace=True, readout_tau=None, scaled_drive=False, threshold=0.5, **SPIKING
    ),
    "spiking, all adapt": lambda: SpikingRNN(
        3, 6, 3, adaptive=1.0, scaled_adaptation=False, readout_tau=5.0, mask_rec=mask(4, 6, 6), **SPIKING
    ),
    "two streams": lambda: DualStreamRNN(3, 4, 3, **EXACT),
    "two streams, B": lambda: DualStreamRNN(3, 4, 3, form="B", wiring="presynaptic", **EXACT),
    "vectors": lambda: VectorRNN(3, 6, 3, **EXACT),
}
FEEDFORWARD: dict[str, Callable[[], Network]] = {
    "perceptron": lambda: MLP(4, [5, 6], 3, activation="tanh", masks={"w_1": mask(5, 5, 4)}, **EXACT),
    "normalised": lambda: MLP(4, [5, 6], 3, activation="softplus", bias=False, then=(RMSNorm(),), **EXACT),
    "of any layers": lambda: Feedforward(4, [DenseLayer(5)], 3, **EXACT),
    "convolutions": lambda: CNN(
        MAPS,
        [
            ConvLayer(2, then=(MaxPool(),)),
            ConvLayer(2, kernel=1, then=(AvgPool(), RMSNorm(), Dropout())),
            DenseLayer(4),
        ],
        3,
        activation="tanh",
        **EXACT,
    ),
    "convolution below the readout": lambda: CNN(MAPS, [ConvLayer(2, then=(RMSNorm(),))], 3, **EXACT),
    "local": lambda: LocalNet(
        MAPS, [LocalLayer(2, then=(AvgPool(),)), DenseLayer(4)], 3, activation="softplus", **EXACT
    ),
    "alternating": lambda: AlternatingNet(MAPS, [ConvLayer(2, then=(AvgPool(),)), DenseLayer(4)], 3, **EXACT),
    "vectors of any layers": lambda: VectorNet(4, [DenseLayer(4)], 3, **EXACT),
    "perceptron of vectors": lambda: VectorMLP(4, [6, 4], 3, **EXACT),
    "convolutions of vectors": lambda: VectorCNN(MAPS, [ConvLayer(2, then=(AvgPool(),)), DenseLayer(4)], 3, **EXACT),
    "local vectors": lambda: VectorLocalNet((1, 4, 4), [LocalLayer(2), DenseLayer(4)], 3, **EXACT),
    "two streams of any layers": lambda: DualStream(4, [DenseLayer(3)], 3, block=True, **EXACT),
    "perceptron of two streams": lambda: DualStreamMLP(4, [3, 2], 3, **EXACT),
    "convolutions of two streams": lambda: DualStreamCNN(
        MAPS, [ConvLayer(2, then=(AvgPool(),)), DenseLayer(3)], 3, **EXACT
    ),
}
NETS: Mapping[str, Callable[[], Network]] = RECURRENT | FEEDFORWARD

CURVED = [name for name in NETS if "spiking" not in name]  # weights may be moved far without silence


def network(name: str) -> Network:
    """Return a network whose biases and initial states are not zero.

    Args:
        name: One of ``NETS``.
    """
    net, source = NETS[name](), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in net.parameters():
            scale = parameter.abs().mean().clamp(min=0.1 if name in CURVED else 0.0)
            drawn: Tensor = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.add_(0.3 * scale * drawn)
    net.project_()
    return net


def trials(net: Network, steps: int | None = None, count: int = 3) -> tca.Batch:
    """Return trials of unequal weights.

    Args:
        net: The network that will see them.
        steps: Number of steps; ``None`` (default) for enough to show what the network does in time.
        count: Number of trials, default 3.
    """
    source = torch.Generator().manual_seed(3)
    recurrent = any(population.recurrent for population in net.populations())
    steps = steps or (20 if isinstance(net, SpikingRNN) else 7 if recurrent else 2)

    def drawn(size: int) -> Tensor:
        return torch.randn(steps, count, size, generator=source, dtype=torch.float64)

    inputs, targets = drawn(net.n_in), drawn(net.n_out).argmax(-1)
    weights = torch.rand(steps, count, generator=source, dtype=torch.float64)
    return tca.Batch(inputs, targets, weights, CrossEntropy())
