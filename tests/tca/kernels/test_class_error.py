"""The compiled output error of cross-entropy equals PyTorch's, also of logits that are not finite."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import tca
from tca.kernels import choice
from tca.kernels.compiled import CLASSES, Library
from tca.tape.tape import Tape

F32, F64 = torch.float32, torch.float64
INF, NAN = float("inf"), float("nan")
ROUNDING = {F32: 4e-7, F64: 1e-15}  # relative to the weight


def trials(steps: int, count: int, classes: int, dtype: torch.dtype, scale: float = 3.0) -> tuple[Tensor, ...]:
    """Return logits, targets and weights, of which some are zero."""
    source = torch.Generator().manual_seed(classes)
    outputs = torch.randn(steps, count, classes, generator=source, dtype=F64) * scale
    targets = torch.randint(classes, (steps, count), generator=source)
    weights = torch.rand(steps, count, generator=source, dtype=F64) * (torch.rand(steps, count, generator=source) > 0.2)
    return outputs.to(dtype), targets, weights.to(dtype)


def eager(outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    error = tca.losses.CrossEntropy().output_error(outputs, targets)
    return error * weights.unsqueeze(-1) / weights.shape[1]


@pytest.mark.parametrize(("dtype", "tolerance"), ROUNDING.items())
def test_errors_equal_those_of_pytorch(dtype: torch.dtype, tolerance: float) -> None:
    """Against doubles; also where the logits are far apart."""
    library = choice._library()
    for classes, (steps, count) in itertools.product((1, 2, 3, 10, CLASSES), ((1, 1), (3, 5), (7, 9))):
        for scale in (1e-3, 3.0, 200.0):
            given = trials(steps, count, classes, dtype, scale)
            error = library.class_error(*given)
            assert error.shape == (steps + 1, count, classes)
            assert error.dtype == dtype
            assert not error[0].any()
            exact = eager(given[0].double(), given[1], given[2].double())
            assert (error[1:] - exact).abs().max() <= tolerance / count


def test_numbers_that_are_not_finite_reach_the_error() -> None:
    """The same logits are NaN as in PyTorch, by which divergence is noticed, and no other row is touched."""
    for bad in ((NAN, 0.0, 1.0), (0.0, NAN, 1.0), (INF, 0.0, 1.0), (0.0, -INF, 1.0), (-INF,) * 3, (3e38, -3e38, 0.0)):
        outputs, targets, weights = trials(4, 5, 3, F32)
        outputs[2, 3] = torch.tensor(bad)
        weights[2, 3] = 0.5
        found = choice._library().class_error(outputs, targets, weights)[1:]
        torch.testing.assert_close(found, eager(outputs, targets, weights), equal_nan=True, rtol=1e-5, atol=1e-7)


def test_strided_targets_and_weights_are_read_in_order() -> None:
    outputs, targets, weights = trials(5, 4, 3, F64)
    strided = [torch.stack([each, each], 1)[:, 0] for each in (outputs, targets, weights)]
    torch.testing.assert_close(choice._library().class_error(*strided)[1:], eager(outputs, targets, weights))


@pytest.mark.parametrize("outside", [-1, 3, 2**40])
def test_a_target_that_is_no_class_is_an_error(outside: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can only have been written in place by another way than PyTorch since the batch was checked."""
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    _, targets, weights = trials(5, 4, 3, F32)
    net = tca.nets.LeakyRNN(2, 4, 3, seed=0)
    batch = tca.Batch(torch.zeros(5, 4, 2), targets, weights, tca.losses.CrossEntropy())
    learner = tca.Learner(net, tca.RULES["eprop"])
    learner.backward(batch)
    targets.numpy()[4, 3] = outside
    with pytest.raises(ValueError, match="targets must be classes of the outputs, got others"):
        learner.backward(batch)


class Own(tca.losses.CrossEntropy):
    """A loss with the class of the library as its parent."""


@pytest.mark.parametrize(
    ("passes", "classes", "loss", "compiled"),
    [
        ("compiled", CLASSES, tca.losses.CrossEntropy(), True),
        ("compiled", CLASSES + 1, tca.losses.CrossEntropy(), False),
        ("compiled", 3, Own(), False),
        ("compiled", 3, tca.losses.SmoothedCrossEntropy(), False),
        ("eager", 3, tca.losses.CrossEntropy(), False),
    ],
)
def test_it_is_chosen_for_the_library_s_own_loss_of_few_classes(
    passes: str, classes: int, loss: tca.losses.Loss, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setenv(choice.VARIABLE, passes)
    function = Library.class_error
    monkeypatch.setattr(Library, "class_error", lambda *given: (made.append(1), function(*given))[1])
    net = tca.nets.LeakyRNN(2, 9, classes, seed=0, dtype=F64)
    targets = torch.arange(20).view(5, 4) % classes
    batch = tca.Batch(torch.ones(5, 4, 2, dtype=F64), targets, torch.full((5, 4), 0.2, dtype=F64), loss)
    tape = tca.Learner(net, tca.RULES["eprop"]).tape(batch)
    assert bool(made) is compiled
    torch.testing.assert_close(tape.output_error, Tape.scored(tape, batch).output_error, rtol=1e-12, atol=1e-15)
