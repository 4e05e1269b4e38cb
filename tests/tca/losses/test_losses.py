"""Losses: values are the oracle's, scores their derivatives, also where exponentials overflow and outputs are many."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.losses import LOSSES, ExponentialFamily, Focal, GaussianNLL, Hinge, Loss, SmoothedCrossEntropy, families
from tests.support import oracle
from tests.support.cases import LOSS_CASES, TARGETS, Case
from tests.support.draws import short
from tests.support.rows import relative

each_loss = pytest.mark.parametrize("name", LOSSES)
SIZES = {1.0: dict.fromkeys(LOSSES, 1.0), 1000.0: dict.fromkeys(LOSSES, 1000.0)}
SIZES[1000.0] |= {"itakura_saito": 30.0, "poisson": 30.0, "gamma": 30.0, "gaussian_nll": 30.0}  # exponentials by nature
LEAST_OUTPUTS = {"focal": 2}


def example(name: str, n_out: int, size: float) -> tuple[Tensor, Tensor]:
    """Return outputs ``(T, B, O)`` of a size and targets that fit the loss; O is twice as large for some."""
    n_out = 2 * n_out if name == "gaussian_nll" else max(n_out, LEAST_OUTPUTS.get(name, 1))
    generator = torch.Generator().manual_seed(n_out)
    outputs, drawn = torch.randn(2, 4, 3, n_out, dtype=torch.float64, generator=generator)
    return outputs * size, TARGETS[name](drawn)


@each_loss
@pytest.mark.parametrize("n_out", [1, 3, 33])
@pytest.mark.parametrize("size", SIZES)
def test_scores_are_derivatives(name: str, n_out: int, size: float) -> None:
    """The score of a step is the derivative of its loss by the unconstrained outputs."""
    loss, (outputs, targets) = LOSSES[name], example(name, n_out, SIZES[size][name])
    loss.check(tuple(outputs.shape), targets)
    leaf = outputs.clone().requires_grad_()
    wanted = oracle.LOSSES[name](leaf, targets)
    assert wanted.shape == outputs.shape[:2]
    assert torch.allclose(loss.value(outputs, targets), wanted.detach(), rtol=1e-12, atol=1e-13)
    assert relative(loss.value(outputs, targets), wanted.detach()) < 1e-14
    (slope,) = torch.autograd.grad(wanted.sum(), leaf)
    assert torch.allclose(loss.output_error(outputs, targets), slope, rtol=1e-12, atol=1e-14)


@each_loss
def test_values_can_be_differentiated_twice(name: str) -> None:
    """Curvature needs second derivatives, which autograd's agree with differences of; the first are the score."""
    loss, (outputs, targets) = LOSSES[name], example(name, 2, 1.0)
    leaf = outputs.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: loss.value(y, targets), leaf)
    assert torch.autograd.gradgradcheck(lambda y: loss.value(y, targets), leaf)
    (slope,) = torch.autograd.grad(loss.value(leaf, targets).sum(), leaf)
    assert (loss.output_error(outputs, targets) - slope).abs().max() < 1e-14


def _doubt(outputs: Tensor, targets: Tensor) -> Tensor:
    return 1 - outputs.softmax(-1).gather(-1, targets[..., None])[..., 0]


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (SmoothedCrossEntropy(0.0), oracle.LOSSES["cross_entropy"]),
        (Focal(0.0), oracle.LOSSES["cross_entropy"]),
        (Focal(0.5), lambda y, t: _doubt(y, t).sqrt() * oracle.LOSSES["cross_entropy"](y, t)),
        (Hinge(0.3), lambda y, t: 0.3 * oracle.LOSSES["hinge"](y / 0.3, t)),
        (ExponentialFamily(families.CategoricalFamily()), oracle.LOSSES["cross_entropy"]),
    ],
    ids=short,
)  # fmt: skip
def test_options_of_losses_of_classes(loss: Loss, wanted: Any) -> None:
    """Parameters other than the defaults do what the equations say; at their ends they give cross-entropy."""
    outputs, targets = example("cross_entropy", 4, 2.0)
    leaf = outputs.clone().requires_grad_()
    value = wanted(leaf, targets)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    assert relative(loss.value(outputs, targets), value.detach()) < 1e-14
    assert relative(loss.output_error(outputs, targets), slope) < 1e-13


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_outputs_give_finite_numbers(name: str, dtype: torch.dtype, sign: int) -> None:
    """Values, scores and autograd's derivatives stay finite where softmax, sigmoid or softplus saturate.

    Where a rate or a scale is an exponential by nature, up to the largest that the type holds.
    """
    loss, (outputs, targets) = LOSSES[name], example(name, 3, 1.0)
    steep = {"itakura_saito", "poisson", "gamma", "gaussian_nll"}
    most = (80.0 if dtype == torch.float32 else 600.0) if name in steep else 1e4
    outputs = (sign * torch.linspace(-most, most, outputs.numel(), dtype=dtype)).view(outputs.shape).requires_grad_()
    targets = targets.to(dtype) if targets.is_floating_point() else targets
    value, score = loss.value(outputs, targets), loss.output_error(outputs.detach(), targets)
    (slope,) = torch.autograd.grad(value.sum(), outputs)
    assert value.dtype == score.dtype == dtype
    for found in (value, score, slope):
        assert torch.isfinite(found).all()
    assert torch.allclose(score, slope, rtol=1e-4 if dtype == torch.float32 else 1e-12, atol=1e-6)


def test_what_is_nearly_known_keeps_its_digits() -> None:
    """The focal loss of a class of which a thousandth of a millionth of a millionth is in doubt is not rounded off."""
    doubt = math.exp(-40.0)
    outputs, targets = torch.tensor([[[40.0, 0.0]]]).double(), torch.zeros(1, 1, dtype=torch.int64)
    assert LOSSES["focal"].value(outputs, targets).item() == pytest.approx(doubt**3, rel=1e-12)
    score = LOSSES["focal"].output_error(outputs, targets)[0, 0].tolist()
    assert score == pytest.approx([-3 * doubt**3, 3 * doubt**3], rel=1e-12)


@each_loss
def test_single_precision_is_close(name: str) -> None:
    """Float32 gives what float64 gives, to its own precision."""
    loss, (outputs, targets) = LOSSES[name], example(name, 3, 3.0)
    single = targets.float() if targets.is_floating_point() else targets
    assert relative(loss.value(outputs.float(), single).double(), loss.value(outputs, targets)) < 1e-6
    assert relative(loss.output_error(outputs.float(), single).double(), loss.output_error(outputs, targets)) < 1e-6


@pytest.mark.cuda
@each_loss
def test_gpu_equals_cpu(name: str) -> None:
    """A GPU gives what the CPU gives, and leaves it there."""
    loss, (outputs, targets) = LOSSES[name], example(name, 3, 3.0)
    value, score = loss.value(outputs.cuda(), targets.cuda()), loss.output_error(outputs.cuda(), targets.cuda())
    assert value.is_cuda
    assert score.is_cuda
    assert relative(value.cpu(), loss.value(outputs, targets)) < 1e-12
    assert relative(score.cpu(), loss.output_error(outputs, targets)) < 1e-12


@each_loss
def test_scores_are_tensors_of_their_own(name: str) -> None:
    """A rule scales the score in place, which must not reach outputs or targets."""
    loss, (outputs, targets) = LOSSES[name], example(name, 3, 1.0)
    before = outputs.clone(), targets.clone()
    loss.output_error(outputs, targets).fill_(7.0)
    loss.value(outputs, targets).fill_(7.0)
    assert torch.equal(outputs, before[0])
    assert torch.equal(targets, before[1])


def test_losses_are_values() -> None:
    """They compare, hash and print, and every kind of loss has its row in the table, of a fresh one's making."""
    kinds = {each for _, each in inspect.getmembers(tca.losses, inspect.isclass) if issubclass(each, Loss)}
    assert {type(loss) for loss in LOSSES.values()} == {each for each in kinds if not inspect.isabstract(each)}
    assert len(set(LOSSES.values())) == len(LOSSES)
    assert Focal(2) == LOSSES["focal"] != Focal(1.0)
    assert repr(ExponentialFamily(families.GammaFamily(2))) == "ExponentialFamily(family=GammaFamily(shape=2))"


def test_the_loss_of_a_batch_is_a_weighted_sum_over_steps_and_a_mean_over_trials() -> None:
    """``1/B sum_b sum_t w_tb l_tb``."""
    outputs, targets = example("mse", 2, 1.0)
    weights = torch.arange(12.0, dtype=torch.float64).view(4, 3)
    wanted = sum(
        float(weights[t, b]) * 0.5 * float((outputs[t, b] - targets[t, b]).square().sum())
        for t in range(4)
        for b in range(3)
    )
    assert float(tca.losses.MSE().mean(outputs, targets, weights)) == pytest.approx(wanted / 3, rel=1e-14)


@pytest.mark.parametrize("case", LOSS_CASES, ids=str)
@pytest.mark.parametrize(("rule", "cut"), [("bptt", oracle.WHOLE), ("eprop", oracle.LEAK_ONLY)])
def test_networks_learn_with_every_loss(case: Case, rule: str, cut: oracle.Surgery) -> None:
    """A learner's backward pass gives autograd's gradient of the oracle's loss, in both executions."""
    net, batch, problem = case.net(), case.batch(), case.problem()
    learner = tca.Learner(net, tca.RULES[rule], seed=0)
    weights = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    wanted = oracle.gradient(case.model(), weights, problem, cut)
    info = learner.backward(batch)
    ahead, _ = learner.grads(batch, execution="forward")
    assert relative(info.loss, problem.value(oracle.outputs(case.model(), weights, problem.inputs))) < 1e-13
    for name, parameter in net.named_parameters():
        assert relative(parameter.grad, wanted[name]) < 1e-12
        assert relative(ahead[name], wanted[name]) < 1e-12


OUTPUTS = (2, 1, 3)
CLASSES, NUMBERS, NAN = torch.zeros(2, 1, dtype=torch.int64), torch.full((2, 1, 3), 0.25), float("nan")


@pytest.mark.parametrize(
    ("name", "targets", "error", "message"),
    [
        *((name, NUMBERS, TypeError, f"targets must be class indices of dtype torch.int64 for {kind}, got ")
          for name, kind in (("brier", "Brier"), ("focal", "Focal"), ("hinge", "Hinge"),
                             ("smoothed_cross_entropy", "SmoothedCrossEntropy"), ("cross_entropy", "CrossEntropy"))),
        *((name, CLASSES + 3, ValueError, "targets must be classes 0 to 2, got values from 3 to 3")
          for name in ("brier", "focal", "hinge", "smoothed_cross_entropy", "cross_entropy")),
        *((name, CLASSES[:1], ValueError, r"targets must have shape \(T, B\) = \(2, 1\) for")
          for name in ("brier", "focal", "hinge", "smoothed_cross_entropy", "cross_entropy")),
        *((name, CLASSES, TypeError, "targets must be real numbers, got dtype torch.int64")
          for name in ("mse", "logistic", "poisson", "gamma", "itakura_saito", "kullback_leibler", "absolute_error")),
        *((name, NUMBERS * NAN, ValueError, "targets must be finite, got NaN or infinity")
          for name in ("mse", "logistic", "poisson", "gamma", "itakura_saito", "kullback_leibler", "absolute_error")),
        ("poisson", -NUMBERS, ValueError, "targets must be at least 0 for Poisson, got values from -0.25 to -0.25"),
        ("gamma", 0 * NUMBERS, ValueError, "targets must be greater than 0 for GammaFamily, got values from 0 to 0"),
        ("itakura_saito", 0 * NUMBERS, ValueError, r"targets must be greater than 0 for Bregman with ItakuraSaito\(\)"),
        ("kullback_leibler", NUMBERS, ValueError, "targets must sum to 1 over the last axis .* from 0.75 to 0.75"),
        ("kullback_leibler", -NUMBERS, ValueError, r"targets must be at least 0 for Bregman with NegativeEntropy\(\)"),
        ("logistic", 8 * NUMBERS, ValueError, r"targets must lie in \[0, 1\] for Logistic, got values from 2 to 2"),
        ("gaussian_nll", NUMBERS, ValueError, "GaussianNLL needs a mean and a log variance for every target, got 3"),
    ],
    ids=short,
)  # fmt: skip
def test_targets_that_do_not_fit(name: str, targets: Tensor, error: type[Exception], message: str) -> None:
    """A loss names what came and what is allowed."""
    with pytest.raises(error, match=message):
        LOSSES[name].check(OUTPUTS, targets)


def test_sizes_that_do_not_fit() -> None:
    """Half as many targets as outputs for mean and variance, two classes at least for the focal loss."""
    GaussianNLL().check((2, 1, 6), NUMBERS)
    with pytest.raises(ValueError, match=r"targets must have shape \(T, B, O\) = \(2, 1, 3\), got \(2, 1, 6\)"):
        GaussianNLL().check((2, 1, 6), NUMBERS.repeat(1, 1, 2))
    with pytest.raises(ValueError, match="Focal needs at least 2 outputs, got 1"):
        Focal().check((2, 1, 1), CLASSES)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Focal(-1), ValueError, "gamma must be 0 or greater, got -1"),
        (lambda: Focal("2"), TypeError, "gamma must be a number, got '2'"),
        (lambda: SmoothedCrossEntropy(1.0), ValueError, "smoothing must be less than 1, got 1"),
        (lambda: SmoothedCrossEntropy(-0.1), ValueError, "smoothing must be 0 or greater, got -0.1"),
        (lambda: Hinge(0), ValueError, "margin must be greater than 0, got 0"),
        (lambda: families.GammaFamily(0), ValueError, "shape must be greater than 0, got 0"),
        (lambda: families.GaussianFamily(-1.0), ValueError, "variance must be greater than 0, got -1.0"),
    ],
    ids=short,
)
def test_options_that_do_not_fit(make: Any, error: type[Exception], message: str) -> None:
    """An option out of its range is refused by name."""
    with pytest.raises(error, match=message):
        make()
