"""`tca.check_rule`: rules of the library pass, and a rule with one mistake fails in the line that names it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import tca
from tca.conformance import rule_check
from tca.eligibilities import Diagonal, Leak
from tca.signals import Direct, Exact, InstantSignal, Random
from tca.tape.tape import Tape

LINES = list(rule_check.CHECKS)


NAMES = ["bptt", "eprop", "rflo", "mdgl", "modprop", "sbd_lagged", "diffusion", "snap2", "uoro", "node_perturbation"]


@pytest.mark.thirds
@pytest.mark.parametrize("name", NAMES)
def test_rules_of_the_library_pass(name: str) -> None:
    report = tca.check_rule(name)
    assert report, str(report)
    assert [each.name for each in report.lines] == LINES


@pytest.mark.parametrize(
    ("net", "names"),
    [
        (tca.nets.VectorRNN(3, 6, 4), ["gevb_local", "bptt"]),
        (tca.nets.DualStreamRNN(6, 5, 3), ["error_diffusion"]),
        (tca.nets.MLP(5, [6, 4], 3), ["dfa", "backprop"]),
        (tca.nets.SpikingRNN(3, 6, 2), ["eprop"]),
        (tca.nets.StackedRNN(3, [tca.nets.LeakyLayer(5), tca.nets.LeakyLayer(4)], 2), ["eprop"]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_rules_pass_in_the_network_that_is_given(net: Any, names: list[str]) -> None:
    """It stays as it is, in its own floating-point type."""
    before = {name: each.clone() for name, each in net.state_dict().items()}
    for name in names:
        report = tca.check_rule(name, net)
        assert report, str(report)
        outcomes = {each.name: each.outcome for each in report.lines}
        assert outcomes["order of cells"] == "skipped"
        assert outcomes["padding"] == outcomes["single precision"] == "passed"
    assert all(torch.equal(before[name], each) for name, each in net.state_dict().items())
    assert next(net.parameters()).dtype == torch.float32


@dataclass(frozen=True)
class Later(Direct):
    """Declares that it needs no later error, and adds the error of the next step."""

    def windowed_signal(self, tape: Tape, buffers: Any, eligibility: Any) -> Any:
        read = super().windowed_signal(tape, buffers, eligibility)
        later = torch.cat([tape.output_error[1:], 0 * tape.output_error[:1]])
        return lambda steps: read(steps) + tape.lift(later[steps] @ tape.population.readout, steps)


@dataclass(frozen=True)
class Secret(Direct):
    """Declares that it is local, and sends errors through the recurrent weights."""

    local: ClassVar[bool] = True

    def windowed_signal(self, tape: Tape, buffers: Any, eligibility: Any) -> Any:
        read = super().windowed_signal(tape, buffers, eligibility)
        assert tape.recurrent is not None
        return lambda steps: read(steps) @ tape.recurrent


@dataclass(frozen=True)
class Decayed(Leak):
    """Its traces decay by another factor than its filter."""

    def propagate_back_(self, tape: Any, t: int, into: Tensor, later: Tensor) -> None:
        super().propagate_back_(tape, t, into, 0.9 * later)


@dataclass(frozen=True)
class Skewed(Diagonal):
    """Adds a factor to both, so that filter and traces agree and no signal fits the filter alone."""

    def filter_(self, tape: Any, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        first = super().filter_(tape, signal, steps, later)
        signal.mul_(1.01)
        return first


@dataclass(frozen=True)
class Own(InstantSignal):
    """An instant signal, right by default."""

    mistake: str = ""

    @property
    def equation(self) -> str:
        return "G_t = W_o^T score_t"

    def rate_signal(self, score: Tensor, population: Any, buffers: Any) -> Tensor:
        learning_signal = score @ population.readout
        if self.mistake == "order":
            return learning_signal * torch.arange(1, learning_signal.shape[-1] + 1).to(learning_signal)
        if self.mistake == "precision":
            return (learning_signal.half() if learning_signal.dtype == torch.float32 else learning_signal).to(
                learning_signal
            )
        if self.mistake == "trials":
            return learning_signal + learning_signal.mean(-2, keepdim=True)
        if self.mistake == "draw":
            return learning_signal * torch.rand(learning_signal.shape[-1]).to(learning_signal)
        if self.mistake == "state":
            population.readout.mul_(1.5)
        return learning_signal


@dataclass(frozen=True)
class Louder(tca.signals.signal.CustomSignal):
    """Sends outputs twice their error; the line on the readout does not apply to signals that may."""

    local: ClassVar[bool] = True

    @property
    def horizon(self) -> int:
        return 0

    @property
    def equation(self) -> str:
        return "G_t = W_o^T score_t"

    def windowed_signal(self, tape: Tape, buffers: Any, eligibility: Any) -> Any:
        return Direct().windowed_signal(tape, buffers, eligibility)

    def output_signal(self, tape: Tape, buffers: Any) -> tuple[Tensor, Tensor]:
        return 2 * tape.filtered_error, 2 * tape.output_error


WRONG: list[tuple[tca.Rule, str, str]] = [
    (tca.Rule(Later(), Leak()), "horizon", "0 declared, and the signal of step 1 needs errors after that"),
    (tca.Rule(Secret(), Leak()), "locality", "local is declared, and weight changes depend on synapses of other cells"),
    (tca.Rule(Direct(), Decayed()), "forward equals reverse", "relative difference .* in "),
    (tca.Rule(Exact(), Skewed()), "exact with the signal that fits its eligibility", "relative difference .* in "),
    (tca.Rule(Own("order"), Leak()), "order of cells", "relative difference"),
    (tca.Rule(Own("precision"), Leak()), "single precision", "relative difference .*, allowed 0.001"),
    (tca.Rule(Own("trials"), Leak()), "padding", "relative difference"),
    (tca.Rule(Own("draw"), Leak()), "equal seeds, equal bits", "two learners of the same seed differ in"),
    (tca.Rule(Own("state"), Leak()), "grads changes no state", "grads changes w_out"),
]


@pytest.mark.thirds
@pytest.mark.parametrize(("rule", "line", "words"), WRONG, ids=[line for _, line, _ in WRONG])
def test_a_mistake_fails_in_its_line(rule: tca.Rule, line: str, words: str) -> None:
    report = tca.check_rule(rule)
    assert not report
    (failed,) = [each for each in report.failures if each.name == line]
    with pytest.raises(ValueError, match=words):
        replace(report, lines=(failed,)).require()
    assert f"  failed  {line}: " in str(report)


def test_every_line_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the readout with a wrong gradient of autograd, since only signals to which it does not apply could."""
    assert {line for _, line, _ in WRONG} | {"readout equals autograd"} == set(LINES)
    assert tca.check_rule(tca.Rule(Own(), Leak()))
    gradient = rule_check.autograd_gradient
    doubled = lambda *given: {name: 2 * each for name, each in gradient(*given).items()}  # noqa: E731
    monkeypatch.setattr("tca.conformance.rule_check.autograd_gradient", doubled)
    failed = [each.name for each in tca.check_rule(tca.Rule(Own(), Leak())).failures]
    assert failed == ["exact with the signal that fits its eligibility", "readout equals autograd"]


def test_properties_that_do_not_apply_are_skipped_with_the_reason() -> None:
    lines = {each.name: each for each in tca.check_rule(tca.Rule(Louder(), Leak())).lines}
    assert lines["readout equals autograd"].detail == "Louder may send outputs a signal of its own"
    uoro = {each.name: each.outcome for each in tca.check_rule("uoro").lines}
    assert [name for name, outcome in uoro.items() if outcome == "skipped"] == [
        "forward equals reverse", "exact with the signal that fits its eligibility", "order of cells",
    ]  # fmt: skip


def test_a_rule_that_needs_another_network_says_so() -> None:
    report = tca.check_rule("gevb")
    assert [(each.name, each.outcome) for each in report.lines] == [("network", "failed")]
    assert "cells that carry a vector" in report.lines[0].detail
    assert "give a network that the rule fits" in report.lines[0].detail
    assert "one stream" in str(tca.check_rule("kaneko", tca.nets.LeakyRNN(2, 3, 1)))


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown rule 'epro', did you mean 'eprop'"):
        tca.check_rule("epro")
    with pytest.raises(TypeError, match="rule must be"):
        tca.check_rule(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="net must be"):
        tca.check_rule("eprop", torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    assert tca.check_rule(tca.Rule(Random(2.0), Leak())).subject == repr(tca.Rule(Random(2.0), Leak()))
