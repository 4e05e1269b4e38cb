"""A loss whose score is not the derivative of its value is found before it trains anything uphill."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca import check_loss
from tca.experiments.reinforcement.actor_critic import ActorCritic
from tca.losses import LOSSES, MSE, AbsoluteError, Bregman, CrossEntropy, Loss, generators
from tca.losses.loss import foreign
from tests.support.rows import relative

F64 = torch.float64


@dataclass(frozen=True)
class Quartic(Loss):
    """``1/4 sum (y - t)^4`` with a factor on its score; right with 1."""

    factor: float = 1.0
    output: int | None = None  # the only one that is wrong

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).pow(4).sum(-1) / 4

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        found = (outputs - targets).pow(3)
        if self.output is None:
            return self.factor * found
        if outputs.shape[-1] > self.output:
            found[..., self.output] *= self.factor
        return found

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        MSE().check(outputs_shape, targets)


class RightHandSlope(AbsoluteError):  # noqa: N818
    """The absolute error with its right-hand derivative on the kink, where autograd has zero."""

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.where(outputs < targets, -torch.ones_like(outputs), torch.ones_like(outputs))


class Lenient(Quartic):
    """The same, which accepts everything."""

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        pass


class Classes(CrossEntropy):
    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -super().output_error(outputs, targets)


class Short(Quartic):
    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().value(outputs, targets).mean(0)


class Flat(Quartic):
    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().output_error(outputs, targets).sum(-1)


class Detached(Quartic):
    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().value(outputs.detach(), targets)


class InPlace(Quartic):
    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sub_(targets).pow(3)


class Itself(Quartic):
    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.square().sum(-1) / 2

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs


class Coupled(Quartic):
    """Trials are not independent: the derivative of the sum is right, that of a weighted one is not."""

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        own = super().value(outputs, targets)
        return own.flip(0)


class Steps(Quartic):
    """Counts outputs above zero: autograd has no derivative where the score is that of something else."""

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs > targets).to(outputs).sum(-1) + 0 * outputs.sum(-1)


class NotFinite(Quartic):
    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().output_error(outputs, targets) * math.nan


class Nothing(Quartic):
    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        raise ValueError("targets must be words")


def batch_for(loss: Loss, n_out: int = 2) -> tca.Batch:
    """Return a batch whose targets are real numbers, or classes."""
    source = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(5, 3, 2, generator=source), torch.randn(5, 3, n_out, generator=source)
    if isinstance(loss, CrossEntropy):
        return tca.Batch(inputs, targets.argmax(-1), torch.full((5, 3), 0.2), loss)
    return tca.Batch(inputs, targets, torch.full((5, 3), 0.2), loss)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_the_library_passes(name: str) -> None:
    """Also those with kinks, since outputs are drawn."""
    check_loss(LOSSES[name]).require()
    assert not foreign(LOSSES[name])


def test_losses_that_are_right_pass_whatever_they_accept() -> None:
    for loss in (Quartic(), Lenient(), AbsoluteError(), ActorCriticTargets()):
        assert check_loss(loss)
    outputs, targets = torch.zeros(4, 2, 3, dtype=F64), torch.zeros(4, 2, 3)
    assert check_loss(AbsoluteError(), outputs, targets)  # all of it on the kink
    assert check_loss(RightHandSlope(), outputs, targets)  # with another value there than autograd has
    actions = torch.stack([torch.ones(4, 2), torch.randn(4, 2), torch.randn(4, 2)], -1)
    assert check_loss(ActorCritic(), outputs, actions)


class ActorCriticTargets(ActorCritic):
    """Takes classes as actions, of an advantage and a return of one half."""

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().value(outputs, self._filled(targets))

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().output_error(outputs, self._filled(targets))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        if targets.is_floating_point() or outputs_shape[-1] < 3:
            raise ValueError("targets must be classes")
        super().check(outputs_shape, self._filled(targets.clamp(max=outputs_shape[-1] - 2)))

    def _filled(self, targets: Tensor) -> Tensor:
        taken = targets.clamp(max=1).double()
        return torch.stack([taken, torch.full_like(taken, 0.5), torch.full_like(taken, 0.5)], -1)


WRONG: list[tuple[Loss, str]] = [
    (Quartic(-1.0), r": output_error of Quartic\(factor=-1.0, output=None\) for output 1 of 1 is \S+, and the .* \S+$"),
    (Quartic(2.0), "for output 1 of 1 is .* derivative of its value is"),
    (Quartic(1 + 1e-5), "for output 1 of 1"),
    (Quartic(2.0, output=4), "for output 5 of 5"),
    (Lenient(-1.0), "for output 1 of 1"),
    (Classes(), r"output_error of Classes\(.*\) for output 1 of 2 is"),
    (Short(), r"value of Short\(.*\) must have shape \(16, 1\) for outputs of shape \(16, 1, 1\), got \(1,\)"),
    (Flat(), r"output_error of Flat\(.*\) must have shape \(16, 1, 1\).*, got \(16, 1\)"),
    (Detached(), "cannot be differentiated by autograd: write it in torch operations on the outputs"),
    (InPlace(), "must be a new tensor and must not change the outputs"),
    (Itself(), "must be a new tensor and must not change the outputs"),
    (Coupled(), "derivative of its value"),
    (Steps(), "derivative of its value is 0$"),
    (NotFinite(), "is nan, and the derivative of its value is"),
    (Nothing(), "accepts none of the targets tried: give outputs and targets$"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "words"), WRONG, ids=lambda each: type(each).__name__)
def test_what_is_wrong_is_said_in_a_line(loss: Loss, words: str) -> None:
    report = check_loss(loss)
    assert not report
    with pytest.raises(ValueError, match=words) as raised:
        report.require()
    assert "\n" not in str(raised.value)
    assert str(report.failures[0]) in str(report)


def test_a_kind_of_targets_that_is_refused_is_skipped_with_the_reason() -> None:
    """A line for each kind of targets; those that the loss refuses are not counted as checks."""
    report = check_loss(Classes())
    outcomes = {each.name: each.outcome for each in report.lines}
    assert outcomes["classes"] == "failed"
    assert outcomes["one real number"] == "skipped"
    assert "must be words" in str(check_loss(Nothing()))
    assert str(check_loss(MSE())).splitlines()[0].endswith("checks passed")
    assert "passed  real numbers: 1, 2, 3, 5 outputs" in str(check_loss(MSE()))
    assert str(check_loss(CrossEntropy())).startswith("CrossEntropy(): 1 check passed")


def test_both_numbers_are_right() -> None:
    """The numbers of the message are a cube and its negative, at one drawn output of double precision."""
    with pytest.raises(ValueError, match="Quartic") as raised:
        check_loss(Quartic(3.0)).require()
    found, wanted = (float(part.rsplit(" ", 1)[1]) for part in str(raised.value).split(", and "))
    assert found == pytest.approx(3 * wanted, rel=1e-2)


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match=r"loss must be a Loss such as AbsoluteError, .*, got .mse."):
        check_loss("mse")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="outputs and targets must be given together"):
        check_loss(MSE(), torch.zeros(1, 1, 1))
    with pytest.raises(ValueError, match="targets must have shape"):
        check_loss(MSE(), torch.zeros(1, 1, 1), torch.zeros(1, 1, 2)).require()


@pytest.mark.parametrize("loss", [Quartic(-1.0), Quartic(2.0, output=1), Classes(), Detached()], ids=repr)
@pytest.mark.parametrize("rule", ["bptt", "eprop", "uoro"])
def test_a_learner_refuses_it_before_anything_is_changed(loss: Loss, rule: str) -> None:
    """However it is used: backward, grads, online, and within inference mode."""
    net = tca.nets.LeakyRNN(2, 4, 2)
    learner, batch = tca.Learner(net, tca.RULES[rule]), batch_for(loss)
    uses = [lambda: learner.backward(batch), lambda: learner.grads(batch), lambda: learner.signals(batch)]
    for use in uses if rule == "bptt" else [*uses[:2], lambda: online(learner, batch)]:
        with pytest.raises(ValueError, match=r"derivative|differentiated"):
            use()
        with torch.inference_mode(), pytest.raises(ValueError, match=r"derivative|differentiated"):
            use()
    assert all(each.grad is None for each in net.parameters())


def online(learner: tca.Learner, batch: tca.Batch) -> None:
    """Learn the first step online."""
    stream = learner.stream(batch.trials, batch.steps)
    stream.step(batch.inputs[0], batch.targets[0], batch.weights[0], batch.loss)


def test_a_learner_looks_once_and_a_right_loss_trains_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    check_at = tca.losses.loss_check.check_at
    monkeypatch.setattr("tca.learner.check_at", lambda *given: (looked.append(given), check_at(*given)))
    net = tca.nets.LeakyRNN(2, 4, 2)
    learner, loss = tca.Learner(net, tca.RULES["bptt"]), Quartic()
    for _ in range(3):
        learner.backward(batch_for(loss))
        learner.backward(batch_for(MSE()))
    assert len(looked) == 1
    assert looked[0][0] is loss
    unweighted = replace(batch_for(Quartic()), weights=torch.zeros(5, 3))
    tca.Learner(net, tca.RULES["bptt"]).backward(unweighted)
    assert len(looked) == 1, "nothing counts, nothing is looked at"
    batch = batch_for(loss)
    found = learner.grads(batch)[0]
    values = net.functional({}, batch.inputs)
    wanted = torch.autograd.grad(loss.mean(values, batch.targets, batch.weights), list(net.parameters()))
    assert all(
        relative(found[name], each) < 1e-5 for (name, _), each in zip(net.named_parameters(), wanted, strict=True)
    )


@dataclass(frozen=True)
class Doubled(type(generators.SquaredNorm())):  # type: ignore[misc]
    """A generator of one's own inside a loss of the library."""


def test_parts_of_ones_own_count() -> None:
    assert foreign(Bregman(Doubled()))
    assert foreign(Quartic())
    assert not foreign(Bregman(generators.SquaredNorm()))
    assert check_loss(Bregman(Doubled()))
