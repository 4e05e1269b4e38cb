"""A rule that names the form of leak of its cells is honoured wherever rules meet networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import analysis
import tca
from studies.every_rule import ALIGNED, observe_all
from tca.__main__ import main
from tca.cli.compare.comparison import Comparison
from tca.experiments import records
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.nets import MLP, DualStreamRNN, LeakyLayer, LeakyRNN, SpikingLayer, SpikingRNN, StackedRNN, VectorRNN
from tests.support import oracle
from tests.support.cases import CASES, weights_of
from tests.support.rows import assert_same

F64 = torch.float64
RFLO, RANDOM = tca.RULES["rflo"], tca.RULES["eprop_random"]
ON_POTENTIAL, ON_RATE = r"rate \(form B\), .*form A\): .*'eprop_random'", r"potential \(form A\), .*form B\): .*'rflo'"
SIZES = {
    "stacked_rnn": {"layers": [{"size": 4}, {"size": 3}]},
    "leaky_rnn": {"n_rec": 4},
    "dual_stream_rnn": {"n_rec": 4},
}
SMALL = Run(
    "delayed_xor",
    net=NetworkConfig(size=5),
    steps=3,
    n_train=8,
    n_test=8,
    batch_size=4,
    evaluate_every=2,
    dtype="float64",
)


def batch_for(net: Any) -> tca.Batch:
    """Return a batch of numbers for a network."""
    source = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randn(6, 4, size, generator=source, dtype=F64) for size in (net.n_in, net.n_out))
    return tca.Batch(inputs, targets, torch.full((6, 4), 1 / 6, dtype=F64), tca.losses.MSE())


def refused(make: Callable[[], Any]) -> str:
    """Return the reason for which something is not made, empty where it is."""
    try:
        make()
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("build", "form"),
    [
        (lambda: LeakyRNN(3, 4, 2), "A"),
        (lambda: LeakyRNN(3, 4, 2, form="B"), "B"),
        (lambda: DualStreamRNN(3, 4, 2, form="B"), "B"),
        (lambda: StackedRNN(3, [LeakyLayer(4, form="B"), LeakyLayer(4, form="B")], 2), "B"),
        (lambda: StackedRNN(3, [LeakyLayer(4, form="B"), LeakyLayer(4)], 2), "AB"),
        (lambda: StackedRNN(3, [SpikingLayer(4), LeakyLayer(4, form="B")], 2), "AB"),
        (lambda: SpikingRNN(3, 4, 2), "A"),
        (lambda: VectorRNN(3, 4, 2), "A"),
        (lambda: MLP(3, [4, 4], 2), ""),
    ],
)
def test_a_rule_is_bound_to_cells_of_its_form_and_to_no_others(build: Callable[[], Any], form: str) -> None:
    """Every population counts; the message names the rule that the same parts are there."""
    for rule, wanted, other in ((RFLO, "B", {"A": "eprop_random", "": "dfa"}), (RANDOM, "A", {"B": "rflo", "": "dfa"})):
        if form == wanted:
            assert not refused(lambda rule=rule: tca.Learner(build(), rule))
            continue
        (meant,) = {other[each] for each in form or [""] if each != wanted}
        with pytest.raises(ValueError, match=rf"there its parts are the rule '{meant}'$"):
            tca.Learner(build(), rule)
        tca.Learner(build(), tca.Rule(rule.signal, rule.eligibility))  # parts without a name have no form
    tca.Learner(build(), tca.RULES["bptt"])


@pytest.mark.parametrize("name", [name for name, rule in tca.RULES.items() if rule.otherwise])
def test_the_rule_that_is_meant_elsewhere_is_the_same_gradient_there(name: str) -> None:
    """The same parts, or without a leak the same gradient to the bit."""
    rule = tca.RULES[name]
    assert rule.form is not None
    for form, other in rule.otherwise.items():
        meant = tca.RULES[other]
        assert meant.form in (None, form)
        if form:
            assert meant == rule
            continue
        net = MLP(3, [5, 4], 2, activation="tanh", dtype=F64)
        parts = tca.Rule(rule.signal, rule.eligibility)
        one, same = (tca.Learner(net, each, seed=3).grads(batch_for(net))[0] for each in (parts, meant))
        assert all(torch.equal(one[key], same[key]) for key in one)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rflo_by_name_in_a_run_is_the_gradient_of_form_b(case: Any) -> None:
    """The network a run builds for it, and autograd with transmission cut there, with the same feedback."""
    net = case.net(form="B")
    bound = tca.Learner(net, RFLO, seed=3)
    model = replace(case, form="B").model()
    wanted = oracle.gradient(model, weights_of(net), case.problem(), oracle.LEAK_ONLY, bound.buffers["feedback"])
    assert_same(bound.grads(case.batch())[0], wanted)


@pytest.mark.parametrize("rule", ["rflo", RFLO])
def test_a_run_builds_the_network_of_its_rule(rule: Any, tmp_path: Path) -> None:
    """By name and as a value, from a leaky network and from every kind that has forms; also once written and read."""
    run = replace(SMALL, rule="bptt", net=NetworkConfig(size=5))
    for made in (Run("delayed_xor", rule), Run("delayed_xor", rule, net=NetworkConfig(size=5)), run.with_rule(rule)):
        assert made.net.form == "B"
        assert made.net.build(3, 2, dt=10.0, seed=0).form.name == "B"
        again = Run.from_json(made.to_json())
        assert (again, again.name, again.net.form) == (made, made.name, "B")
    for kind, options in SIZES.items():
        assert not refused(
            lambda kind=kind, options=options: Run("delayed_xor", rule, net=NetworkConfig(kind, options))
        )
        built = Run("delayed_xor", rule, net=NetworkConfig(kind, options)).net.build(3, 2, dt=10.0, seed=0)
        assert {place.form for place in built.populations()} == {"B"}
        assert {place.form for place in Run("delayed_xor", net=NetworkConfig(kind, options)).net.build(
            3, 2, dt=10.0, seed=0).populations()} == {"A"}  # fmt: skip
    result = tca.train(replace(SMALL, rule="bptt").with_rule(rule), tmp_path, progress=False)
    assert result.net.form.name == "B"
    assert records.read(tmp_path).net.form.name == "B"
    assert Run("delayed_xor").net.form == Run("delayed_xor", "eprop_random").net.form == "A"
    assert (
        Run("delayed_xor", net=NetworkConfig(form="B")).net.form == "B"
    )  # a rule without a form has that of the network


@pytest.mark.parametrize(
    "make",
    [
        lambda form, rule: Run("delayed_xor", rule, net=NetworkConfig(form=form)),
        lambda form, rule: Run("delayed_xor", tca.RULES[rule], net=NetworkConfig(form=form)),
        lambda form, rule: Run("delayed_xor", rule, net=NetworkConfig("leaky_rnn", {"n_rec": 4, "form": form})),
        lambda form, rule: Run("delayed_xor", rule, net=NetworkConfig("dual_stream_rnn", {"n_rec": 4, "form": form})),
        lambda form, rule: Run(
            "delayed_xor", rule, net=NetworkConfig("stacked_rnn", {"layers": [{"size": 4, "form": form}]})
        ),
        lambda form, rule: replace(Run("delayed_xor", net=NetworkConfig(form=form)), rule=rule),
        lambda form, rule: Comparison(rules=f"bptt,{rule}", net=NetworkConfig(form=form)).runs(),
        lambda form, rule: analysis.alignment(net_of(form), batch_for(net_of(form)), [rule, "bptt"]),
        lambda form, rule: analysis.update_jacobian(net_of(form), batch_for(net_of(form)), rule),
        lambda form, rule: analysis.stability(net_of(form), batch_for(net_of(form)), rule),
    ],
)
def test_a_contradiction_names_the_rule_that_is_meant(make: Callable[[str, str], object]) -> None:
    with pytest.raises(ValueError, match=ON_POTENTIAL):
        make("A", "rflo")
    with pytest.raises(ValueError, match=ON_RATE):
        make("B", "eprop_random")


def net_of(form: str) -> LeakyRNN:
    """Return a small network."""
    return LeakyRNN(3, 4, 2, form=form, dtype=F64)


def test_commands_train_and_compare_it_on_its_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--net.size=5", "--steps=2", "--n_train=6", "--n_test=6", "--batch_size=3", "--quiet"]
    folder = tmp_path / "runs"
    assert main(["train", "--task=delayed_xor", "--rule=rflo", f"--folder={folder}", *words]) == 0
    assert "rflo, form B" in capsys.readouterr().out
    (made,) = folder.iterdir()
    assert records.read(made).net.form.name == "B"
    refused = ["train", "--task=delayed_xor", "--rule=rflo", "--net.form=A", f"--folder={tmp_path}", *words]
    assert main(refused) != 0
    assert "'eprop_random'" in capsys.readouterr().err
    runs = Comparison(rules="bptt,rflo,eprop_random", seeds=1).runs()
    assert [each.run.net.form for each in runs] == ["A", "B", "A"]


def test_every_rule_is_measured_on_networks_of_its_form_only() -> None:
    """The study of alignment leaves out the rules that would be others there."""
    names: dict[str, set[str]] = {}
    for form in "AB":
        net = net_of(form)
        found = observe_all(tca.Learner(net, tca.RULES["bptt"]), batch_for(net))
        names[form] = {key.split("/")[0] for key in found}
    assert names == {"A": {*ALIGNED} - {"rflo"}, "B": {*ALIGNED} - {"eprop_random"}}


def signal_of(rule: tca.Rule) -> Tensor:
    """Return a draw of feedback."""
    return tca.Learner(net_of(rule.form or "A"), rule).buffers["feedback"]


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown form 'C'"):
        replace(RFLO, form="C")
    assert torch.equal(signal_of(RFLO), signal_of(RANDOM))
