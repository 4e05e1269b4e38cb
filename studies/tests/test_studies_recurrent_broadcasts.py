"""The study of broadcast rules in recurrent networks: rates chosen on held-out images, and what is compared."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from studies import recurrent_broadcasts
from studies.recurrent_broadcasts import NETWORKS, RATES, Setting
from studies.tables import COMPARED
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.training.training_loop import TrainingLoop
from tca.rule import Rule
from tca.rules import RULES

# Trainings of two updates renew correlations fast, whatever their share.
pytestmark = pytest.mark.filterwarnings("ignore::tca.signals.decorrelation.averages.CollapseWarning")
SMALL = Setting(n_train=16, n_test=8, batch_size=8, epochs=1)
TINY = {
    "leaky": (NetworkConfig(size=6, tau=56.0), ("eprop_random", "sbd")),
    "vectors": (NetworkConfig("vector_rnn", {"n_rec": 4}), ("eprop_random", "gevb_local")),
}


@pytest.mark.parametrize(("net", "rules"), NETWORKS.values(), ids=NETWORKS)
def test_every_rule_belongs_into_its_network(net: NetworkConfig, rules: tuple[str, ...]) -> None:
    """It makes an update there."""
    for rule in rules:
        training = TrainingLoop(SMALL.run(net, rule, 1e-3, 0))
        assert training.update() == ""


def test_rates_are_chosen_on_images_that_are_not_tested_on() -> None:
    """They are part of the training split; correlations renew a tenth of themselves in either training."""
    run = SMALL.run(*TINY["leaky"][:1], "sbd", 1e-3, 0)
    held = SMALL.held_out(run)
    assert isinstance(run.rule, Rule)
    assert run.rule.eligibility == RULES["sbd"].eligibility
    assert run.steps * (1 - run.rule.signal.average.lam) == pytest.approx(0.1)  # type: ignore[attr-defined]
    _, test = run.make_task().split(run.n_train, run.n_test, seed=0)
    train, kept = held.make_task().split(held.n_train, held.n_test, seed=0)
    shown, seen = ({each.numpy().tobytes() for each in some.batch().inputs.unbind(1)} for some in (train, kept))
    assert not shown & seen
    assert not seen & {each.numpy().tobytes() for each in test.batch().inputs.unbind(1)}


def test_the_table_compares_with_random_broadcast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule at the best of its rates; a second call trains nothing and says the same."""
    monkeypatch.setattr(recurrent_broadcasts, "SEEDS", 2)
    monkeypatch.setattr(recurrent_broadcasts, "RATES", RATES[:2])
    assert recurrent_broadcasts.main([f"--out={tmp_path}"], SMALL, TINY) == 0
    with (tmp_path / "recurrent_broadcasts.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [(each["network"], each["rule"]) for each in found] == [
        (where, rule) for where, (_, rules) in TINY.items() for rule in rules
    ]
    assert all(float(each["rate"]) in RATES[:2] for each in found)
    upper = f"above eprop_random, {COMPARED}"
    assert [bool(each[upper]) for each in found] == [False, True, False, True]
    for each, base in ((found[1], found[0]), (found[3], found[2])):
        reached, other = (float(one["test accuracy"].split(" ")[0]) for one in (each, base))
        assert float(each[upper].split(" ")[0]) == pytest.approx(reached - other, abs=2e-3)
    with (tmp_path / "recurrent_broadcasts_runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [row["seed"] for row in runs] == ["0", "1"] * len(found)
    for place, each in enumerate(found):
        mean = sum(float(row["test_accuracy"]) for row in runs[2 * place : 2 * place + 2]) / 2
        assert f"{mean:.3f}" == each["test accuracy"].split(" ")[0]
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    assert recurrent_broadcasts.main([f"--out={tmp_path}"], SMALL, TINY) == 0
