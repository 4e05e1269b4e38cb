"""Broadcast signals made of wrong parts, with losses that do not fit, online, and with channels that do not fit.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Instant
from tca.losses import LOSSES, MSE, Admissibility, CrossEntropy, ExponentialFamily, SmoothedCrossEntropy, families
from tca.losses.expansions import (
    Bartlett,
    Expansion,
    HiddenGates,
    InputGates,
    Plain,
    PredictionGates,
    ScorePowers,
    Seen,
)
from tca.nets import DualStreamRNN, LeakyRNN
from tca.rule import Rule
from tca.signals import Decay, Decorrelation, Direct, ErrorDiffusion, OutputError, Regularised, Score, Signal
from tca.signals.decorrelation.score_sources import output_error
from tca.signals.error_diffusion import NoCentre, RunningCentre, SingleClassWarning
from tca.signals.regularisers.activity_regularisers import Power
from tests.tca.signals.test_error_diffusion import NETS, batch_of

F64 = torch.float64

WRONG: tuple[tuple[Callable[[], Any], str], ...] = (
    (
        lambda: Decorrelation(average="slow"),
        "average must be an Average such as .* got 'slow'",
    ),
    (lambda: Decorrelation(average=True), "average must be an Average such as Decay, Share, TimeConstant, got True"),
    (lambda: Decorrelation(average=Decay), "average must be an Average such as Decay, Share, TimeConstant, got <class"),
    (lambda: Decorrelation(start=0.01), "start must be a CorrelationStart such as NormalStart, UniformStart, got 0.01"),
    (lambda: Decorrelation(reach=0.7), "reach must be a Reach such as .* got 0.7"),
    (lambda: Decorrelation(source="score"), "source must be a Source such as .* got 'score'"),
    (lambda: Decorrelation(source=PredictionGates()), "source must be a Source such as .* got PredictionGates("),
    (lambda: Decorrelation(observable=torch.square), "observable must be an Observable such as .* got <built-in"),
    (lambda: Decorrelation(centred="yes"), "centred must be True or False, got 'yes'"),
    (lambda: Decorrelation(keep_norm=None), "keep_norm must be True or False, got None"),
    (lambda: Score("bartlett"), "expansion must be an Expansion such as .* got 'bartlett'"),
    (lambda: Score(None), "expansion must be an Expansion such as .* got None"),
    (lambda: PredictionGates("softmax"), "link must be a Link such as .* got 'softmax'"),
    (lambda: Regularised(Decorrelation(), Power()), "regularisers must be a list or tuple, got Power("),
    (lambda: Regularised(Decorrelation(), None), "regularisers must be a list or tuple, got None"),
    (lambda: Regularised(Decorrelation(), ("power",)), "regularisers[0] must be a Regulariser such as .* got 'power'"),
    (
        lambda: Regularised(Decorrelation(), (Power(), Direct())),
        "regularisers[1] must be a Regulariser .* got Direct(",
    ),
    (lambda: Regularised(Decorrelation(), "power"), "regularisers must be a list or tuple, got 'power'"),
    (lambda: Regularised(tca.RULES["sbd"], (Power(),)), "signal must be a Signal such as .* got Rule("),
    (lambda: ErrorDiffusion(centring=False), "centring must be a Centring such as .* got False"),
    (lambda: ErrorDiffusion(centring="online"), "centring must be a Centring such as .* got 'online'"),
    (lambda: ErrorDiffusion(routing="modulo"), "routing must be a Routing such as .* got 'modulo'"),
    (lambda: ErrorDiffusion(gate_outputs="no"), "gate_outputs must be True or False, got 'no'"),
    (lambda: ErrorDiffusion(grow_only=1), "grow_only must be True or False, got 1"),
    (lambda: ErrorDiffusion(gain="2"), "gain must be a number, got '2'"),
    (lambda: RunningCentre("0.01"), "rate must be a number, got '0.01'"),
)


def pattern(message: str) -> str:
    """A message as a regular expression in which only ``.*`` means anything."""
    return "".join(f"\\{letter}" if letter in "()[]" else letter for letter in message)


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_parts_of_a_wrong_kind_are_refused_when_made(make: Callable[[], Any], message: str) -> None:
    """The error names the argument, what is allowed, and what came."""
    with pytest.raises(TypeError, match=pattern(message)):
        make()


@pytest.mark.parametrize("kept", [0, 0.99, 1])
def test_a_number_is_how_much_an_average_keeps(kept: float) -> None:
    """The same value as with `Decay`, in equation, comparison and hash; out of range it is refused as there."""
    number, made = Decorrelation(average=kept), Decorrelation(Decay(kept))  # type: ignore[arg-type]
    assert number == made
    assert hash(number) == hash(made)
    assert number.equation == made.equation
    for wrong in (1.5, -0.1):
        with pytest.raises(ValueError, match="kept must lie in"):
            Decorrelation(average=wrong)  # type: ignore[arg-type]


def test_regularisers_may_come_in_a_list() -> None:
    """They are kept in a tuple, so that the signal stays a value."""
    listed, power = Regularised(Direct(), [Power()]), Regularised(Direct(), (Power(),))  # type: ignore[arg-type]
    assert listed == power
    assert hash(listed) == hash(power)
    with pytest.raises(ValueError, match="at least one regulariser"):
        Regularised(Direct(), [])  # type: ignore[arg-type]


def onehot(classes: Tensor, smoothing: float = 0.0) -> Tensor:
    """Rows of the unit matrix, less a share that is spread over all of them."""
    return (1 - smoothing) * torch.eye(3, dtype=F64)[classes] + smoothing / 3


def softmax(outputs: Tensor) -> Tensor:
    """Written out."""
    return outputs.exp() / outputs.exp().sum(-1, keepdim=True)


ERRORS: dict[str, tuple[tca.losses.Loss, Callable[[Tensor, Tensor], Tensor]]] = {
    "mse": (LOSSES["mse"], lambda y, t: t - y),
    "cross-entropy": (LOSSES["cross_entropy"], lambda y, t: onehot(t) - softmax(y)),
    "smoothed": (SmoothedCrossEntropy(0.3), lambda y, t: onehot(t, 0.3) - softmax(y)),
    "brier": (LOSSES["brier"], lambda y, t: onehot(t) - softmax(y)),
    "logistic": (LOSSES["logistic"], lambda y, t: t - 1 / (1 + (-y).exp())),
    "poisson": (LOSSES["poisson"], lambda y, t: t - y.exp()),
    "itakura-saito": (LOSSES["itakura_saito"], lambda y, t: t - y.exp()),
    "kullback-leibler": (LOSSES["kullback_leibler"], lambda y, t: t - softmax(y)),
    "categorical": (ExponentialFamily(families.CategoricalFamily()), lambda y, t: onehot(t) - softmax(y)),
    "gaussian": (ExponentialFamily(families.GaussianFamily(2.0)), lambda y, t: t - 2 * y),
}
OF_CLASSES = {"cross_entropy", "smoothed_cross_entropy", "focal", "brier", "hinge"}
SIGNALS: dict[str, ErrorDiffusion] = {
    "centred": ErrorDiffusion(),
    "online": ErrorDiffusion(centring=RunningCentre()),
    "kaneko": ErrorDiffusion(centring=NoCentre(), grow_only=True),
}


def batch_with(net: Any, loss: tca.losses.Loss, classes: bool) -> tca.Batch:
    """Three steps of seven trials: classes, or distributions over the outputs."""
    generator = torch.Generator().manual_seed(3)
    shares = torch.rand(3, 7, net.n_out, dtype=F64, generator=generator)
    labels = torch.arange(21).view(3, 7) % net.n_out
    batch = replace(batch_of(net, 3, 7), weights=torch.ones(3, 7, dtype=F64), loss=loss)
    return replace(batch, targets=labels if classes else shares / shares.sum(-1, keepdim=True))


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("net_of", ["mlp", "cnn", "rnn"])
def test_cells_hear_target_minus_prediction(name: str, net_of: str) -> None:
    """Whatever the loss; the readout learns from it too. For the Brier score and Itakura-Saito the score is another."""
    loss, error = ERRORS[name]
    net = NETS[net_of]()
    batch = batch_with(net, loss, classes=name in {"cross-entropy", "smoothed", "brier", "categorical"})
    outputs = net.run(batch.inputs).outputs
    errors = error(outputs, batch.targets)
    wanted = (errors - errors.mean(1, keepdim=True)) / 7
    learner = tca.Learner(net, Rule(ErrorDiffusion(gate_outputs=False), Instant()))
    tape = learner.tape(batch)
    level = tape.levels[0]
    signal, buffers = learner.rule.signal, {"routing": torch.eye(3, dtype=F64), "mean": torch.zeros(3, dtype=F64)}
    assert isinstance(signal, ErrorDiffusion)
    assert torch.allclose(signal.diffused(level, buffers)[1:], wanted, rtol=1e-12, atol=1e-15)
    found = -signal.output_signal(level, buffers)[0][1:]
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-15)
    score = -loss.output_error(outputs, batch.targets)
    matched = name not in {"brier", "itakura-saito"}
    assert torch.allclose(score, errors, rtol=1e-10, atol=1e-12) == matched


@pytest.mark.parametrize("name", ["mse", "cross_entropy", "logistic"])
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_the_error_of_a_matched_loss_is_minus_its_score_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    """No digit is lost on the way over the prediction."""
    net = NETS["mlp"]().to(dtype)
    batch = batch_with(net, LOSSES[name], name in OF_CLASSES)
    targets = batch.targets.to(dtype) if batch.targets.is_floating_point() else batch.targets
    batch = replace(batch, inputs=batch.inputs.to(dtype), weights=batch.weights.to(dtype), targets=targets)
    learner = tca.Learner(net, Rule(ErrorDiffusion(centring=NoCentre()), Instant()))
    tape = learner.tape(batch)
    learning_signal = ErrorDiffusion(centring=NoCentre()).diffused(tape.levels[0], {})[1:]
    assert torch.equal(
        learning_signal, -batch.loss.output_error(tape.outputs, targets) * (batch.weights.unsqueeze(-1) / 7)
    )


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize("name", ["hinge", "focal", "absolute_error", "gamma"])
def test_losses_without_a_known_prediction_are_refused(signal: ErrorDiffusion, name: str) -> None:
    """By training and by looking, with the reason and what would do."""
    net = NETS["mlp"]()
    learner = tca.Learner(net, Rule(signal, Instant()))
    batch = batch_with(net, LOSSES[name], name in OF_CLASSES)
    for call in (learner.backward, learner.grads, learner.signals):
        with pytest.raises(
            ValueError, match=r"ErrorDiffusion needs a loss whose predictions are means of targets.*got"
        ):
            call(batch)


def test_means_and_variances_are_no_prediction_either() -> None:
    """Half of the outputs of a normal likelihood are log variances, which no target is compared with."""
    net = tca.nets.DualStreamMLP(6, [5], 4, dtype=F64)
    batch = replace(batch_of(net, 1, 5), targets=torch.zeros(1, 5, 2, dtype=F64), loss=LOSSES["gaussian_nll"])
    with pytest.raises(ValueError, match=r"means of targets.*got GaussianNLL"):
        tca.Learner(net, tca.RULES["error_diffusion"]).grads(batch)


@dataclass(frozen=True)
class OwnLoss(MSE):
    """A loss of one's own, which may compare anything with its targets."""


@pytest.mark.parametrize("signal", [ErrorDiffusion(), Decorrelation(source=OutputError())], ids=repr)
def test_a_loss_of_ones_own_has_no_known_prediction(signal: Signal) -> None:
    """Also where its score is that of a loss of the library; both signals that need errors say so."""
    net = NETS["mlp"]()
    batch = batch_with(net, OwnLoss(), False)
    with pytest.raises(ValueError, match=r"(ErrorDiffusion|OutputError) needs a loss .* got OwnLoss"):
        tca.Learner(net, Rule(signal, Instant())).backward(batch)


def test_the_error_of_smoothed_classes_is_their_score() -> None:
    """Where no mean over trials is taken away, what all classes share in the smoothed target counts."""
    net = NETS["mlp"]()
    batch = batch_with(net, SmoothedCrossEntropy(0.3), classes=True)
    outputs = net.run(batch.inputs).outputs
    error = output_error(outputs, batch, "a test")
    assert torch.allclose(error, softmax(outputs) - onehot(batch.targets, 0.3), rtol=1e-12, atol=1e-15)
    assert torch.allclose(error.sum(-1), torch.zeros(3, 7, dtype=F64), atol=1e-14)
    of_error, of_score = (
        tca.Learner(net, Rule(Decorrelation(Decay(0.9), source=source), Instant())).grads(batch)[0]
        for source in (OutputError(), Score())
    )
    for name, each in of_score.items():
        assert torch.allclose(of_error[name], each, rtol=1e-11, atol=1e-15), name


@pytest.mark.parametrize("name", ["cross_entropy", "smoothed_cross_entropy", "brier"])
def test_a_single_class_is_named_for_every_loss_of_classes(name: str) -> None:
    """Centring leaves as little of it whatever the loss."""
    net = NETS["mlp"]()
    batch = replace(batch_with(net, LOSSES[name], True), targets=torch.ones(3, 7, dtype=torch.int64))
    with pytest.warns(SingleClassWarning, match="single class"):
        tca.Learner(net, tca.RULES["error_diffusion"]).grads(batch)


def test_what_runs_online_is_told_as_it_is() -> None:
    """The network first; then later errors only where some are needed, and else that there is no form step by step."""
    streams = DualStreamRNN(8, 20, 10)
    for rule in ("error_diffusion", "error_diffusion_online", "bptt"):
        with pytest.raises(ValueError, match=r"^DualStreamRNN runs through whole trials, not step by step"):
            tca.Learner(streams, tca.RULES[rule]).stream(4)
    net = LeakyRNN(3, 4, 2)
    whole = Rule(Regularised(Direct(), (Power(),)), Instant())
    assert whole.signal.horizon == 0
    with pytest.raises(ValueError, match="Regularised is made from whole trials only and cannot run online; use"):
        tca.Learner(net, whole).stream(1)
    for rule in ("bptt", "sbd"):
        with pytest.raises(ValueError, match="needs later errors and cannot run online"):
            tca.Learner(net, tca.RULES[rule]).stream(1)
    tca.Learner(net, tca.RULES["eprop"]).stream(1)


BUILT_IN = [
    Plain(),
    PredictionGates(),
    PredictionGates(top=2),
    HiddenGates(),
    InputGates(),
    Bartlett(),
    ScorePowers(3),
]


@dataclass(frozen=True)
class Squares(Expansion):
    """The squares of the score, whose mean is not zero."""

    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def equation(self) -> str:
        """The longer score in one line."""
        return "[s; s^2]"

    def further_channels(self, n_out: int) -> int:
        """Return the number of outputs."""
        return n_out

    def further(self, score: Tensor, seen: Seen, buffers: dict[str, Tensor]) -> Tensor:
        """Return the squares."""
        return score.square()


@dataclass(frozen=True)
class Odd(Squares):
    """Said to be fit by its author."""

    admissibility: ClassVar[Admissibility] = Admissibility(True, "targets are symmetric")


@dataclass(frozen=True)
class Known(Squares):
    """Said to be unfit by its author."""

    admissibility: ClassVar[Admissibility] = Admissibility(False, "squares are positive")


@dataclass(frozen=True)
class Changed(PredictionGates):
    """Other channels than those that were said to be fit."""

    def further(self, score: Tensor, seen: Seen, buffers: dict[str, Tensor]) -> Tensor:
        """Return the squares of what is appended."""
        return super().further(score, seen, buffers).square()


@dataclass(frozen=True)
class FewerGates(PredictionGates):
    """The same channels under another name."""


@pytest.mark.parametrize("expansion", BUILT_IN, ids=repr)
def test_expansions_of_the_library_say_why_they_are_fit(expansion: Expansion) -> None:
    """Each has a reason, and is taken."""
    assert expansion.admissibility.holds
    assert expansion.admissibility.reason
    assert Score(expansion).expansion == expansion


@pytest.mark.parametrize(
    ("expansion", "reason"),
    [
        (Squares(), "its admissibility is not declared"),
        (Changed(), "its admissibility is not declared"),
        (Known(), "squares are positive"),
    ],
    ids=repr,
)
def test_channels_that_are_not_said_to_be_fit_are_refused(expansion: Expansion, reason: str) -> None:
    """With the reason, and how to say otherwise; also where only the channels of a fit expansion were changed."""
    with pytest.raises(
        ValueError, match=rf"{type(expansion).__name__}\(.*cannot be used where .* decorrelated: {reason}"
    ):
        Decorrelation(source=Score(expansion))
    if reason == "its admissibility is not declared":
        assert "admissibility = tca.losses.Admissibility(True, 'why')" in expansion.admissibility.reason


def test_channels_that_are_said_to_be_fit_are_taken() -> None:
    """A declaration is enough, is inherited with the channels, and the longer score is broadcast."""
    assert FewerGates().admissibility == PredictionGates().admissibility
    assert Score(FewerGates()).channels(3) == 12
    net = LeakyRNN(3, 4, 2, dtype=F64)
    learner = tca.Learner(net, Rule(Decorrelation(source=Score(Odd())), Instant()))
    assert learner.buffers["correlation"].shape == (4, 4)
    batch = replace(batch_of(net, 3, 7), loss=CrossEntropy(), targets=torch.arange(21).view(3, 7) % 2)
    assert float(learner.grads(batch)[0]["w_rec"].abs().sum()) > 0
