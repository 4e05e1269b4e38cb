"""What a signal becomes on its way back through pooling, dropout and normalisation, against autograd."""

from __future__ import annotations

import math

import pytest
import torch

from tca.nets import AvgPool, Dropout, MaxPool, RMSNorm
from tca.nets.feedforward.interlayer import InterlayerOperation, Shape
from tca.nets.vector.vector_start import ChannelsLast, Componentwise

CASES: dict[str, tuple[InterlayerOperation, Shape]] = {
    "mean of squares": (AvgPool(), (3, 6, 4)),
    "mean, something left over": (AvgPool(), (3, 5, 7)),
    "mean of squares that overlap": (AvgPool(3, 2), (2, 7, 6)),
    "mean of squares apart": (AvgPool(2, 3), (2, 8, 8)),
    "largest": (MaxPool(), (3, 5, 6)),
    "largest, squares overlap": (MaxPool(3, 1), (2, 5, 5)),
    "dropout": (Dropout(0.4), (3, 4, 4)),
    "root mean square": (RMSNorm(), (12,)),
    "channels last": (ChannelsLast(), (3, 4, 5)),
    "channels last, components": (ChannelsLast(), (2, 3, 4, 5)),
    "mean, component by component": (Componentwise(AvgPool(3, 2)), (4, 2, 7, 5)),
    "channels last, component by component": (Componentwise(ChannelsLast()), (4, 3, 2, 5)),
}


@pytest.mark.parametrize("drawn", [False, True], ids=["nothing drawn", "drawn"])
@pytest.mark.parametrize(("operation", "shape"), CASES.values(), ids=CASES)
def test_back_is_the_transposed_derivative(operation: InterlayerOperation, shape: Shape, drawn: bool) -> None:
    """Over steps and trials, in the shape of the rates."""
    generator = torch.Generator().manual_seed(0)
    rate = torch.randn(2, 3, math.prod(shape), generator=generator, dtype=torch.float64)
    numbers = torch.rand(rate.shape, generator=generator) if drawn and operation.random else None
    before = rate.clone().requires_grad_()
    behind = operation.through(before, shape, numbers)
    assert behind.shape == (2, 3, math.prod(operation.shape(shape)))
    signal = torch.randn(behind.shape, generator=generator, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(behind, before, signal)
    kept = signal.clone()
    found = operation.back(signal, rate, shape, numbers)
    assert found.shape == rate.shape
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-13)
    assert torch.equal(signal, kept)
    assert wanted.any()
