"""What every rule learns in the figures of the pages, and the pages themselves."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tca
from analysis.figures.plots import Series
from studies import rule_learning
from studies.every_rule import READOUT_ONLY, SETTINGS, SILENT, Setting, seeded
from studies.rule_figure import COSINE, DROPPED, LEARNING, page_figure, panel_of
from tca.eligibilities import NodeNoise
from tca.eligibilities.deviations import Displaced
from tca.experiments.config.run import Run
from tca.learner import Learner

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "rules"
SMALLER: dict[str, dict[str, Any]] = {
    "mlp": {"sizes": [4, 4]},
    "vector_mlp": {"sizes": [4, 2]},
    "vector_rnn": {"n_rec": 4},
    "dual_stream_mlp": {"sizes": [4, 3]},
}


def quick(run: Run) -> Run:
    """Return the same run in a few small steps."""
    net = run.net.with_options(**SMALLER.get(run.net.kind, {"size": 5}))
    agent = None if run.agent is None else replace(run.agent, steps=3)
    return replace(run, agent=agent, net=net, batch_size=2, steps=2, n_train=6, n_test=6, evaluate_every=1)


def quickly(setting: Setting) -> Setting:
    return replace(setting, base=quick(setting.base))


QUICK = tuple(quickly(setting) for setting in SETTINGS)


def test_every_rule_has_one_setting_and_one_page() -> None:
    """No rule enters the table without a setting to learn in and a page that shows it."""
    homes = [rule for setting in SETTINGS for rule in setting.rules]
    assert sorted(homes) == sorted(tca.RULES)
    pages = rule_learning.pages_of(PAGES)
    assert sorted(rule for rules in pages.values() for rule in rules) == sorted(tca.RULES)


@pytest.mark.parametrize("page", rule_learning.pages_of(PAGES))
def test_pages_show_their_figure(page: str) -> None:
    """Every page shows its figure, which is there and small."""
    (figure,) = re.findall(r"!\[[^\]]+\]\((\.\./figures/rules/[^)]+)\)", (PAGES / f"{page}.md").read_text("utf-8"))
    assert Path(figure).name == f"{page}.svg"
    assert (PAGES / figure).stat().st_size < 140_000


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.title)
def test_rules_of_a_setting_learn_in_its_network(setting: Setting) -> None:
    """Every rule, what stands beside it and both references can be bound to the network; one is silent."""
    small = quickly(setting)
    rules = [
        *small.rules,
        small.exact,
        READOUT_ONLY,
        *(each for some in small.beside.values() for each in some.values()),
    ]
    for rule in rules:
        run = small.run(rule)
        assert run.rule == rule
        net = run.net.build(4, 2, dt=10.0, seed=0)
        bound = Learner(net, run.the_rule)
        if rule == READOUT_ONLY:
            assert not any(each.any() for name, each in bound.buffers.items() if name.endswith("feedback"))
    assert small.run(small.exact).net.form == small.base.net.form


def test_panels_are_settings_and_forms() -> None:
    """Rules of one page that learn different things have a panel each, with their own references."""
    found = [(title, list(runs)) for _, title, runs in rule_learning.panels_of(["rflo", "bptt", "gevb"], SETTINGS)]
    assert found == [
        ("delayed_xor, form B", ["BPTT, BP", SILENT, "rflo"]),
        ("delayed_xor, form A", ["BPTT, BP", SILENT]),
        ("digits, perceptron of vectors", ["BPTT, BP", SILENT, "gevb"]),
    ]
    ((_, _, runs),) = rule_learning.panels_of(["rflo"], SETTINGS)
    assert {run.net.form for run in runs.values()} == {"B"}
    ((_, _, runs),) = rule_learning.panels_of(["node_perturbation"], SETTINGS)
    relative = runs["node_perturbation, by activity"].rule
    assert isinstance(relative, tca.Rule)
    assert isinstance(relative.eligibility, NodeNoise)
    assert relative.eligibility.by == Displaced()
    ((_, _, runs),) = rule_learning.panels_of(["kaneko", "error_diffusion"], SETTINGS)
    rates = {label: run.optimizer.lr for label, run in runs.items()}
    assert rates == {"BP": 30.0, SILENT: 1.0, "error_diffusion": 10.0, "kaneko": 1.0}
    assert len({seeded(run, seed).name for run in runs.values() for seed in range(2)}) == 8


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_networks_that_act_are_drawn(tmp_path: Path) -> None:
    """A setting with an agent learns from rewards, the references as well; records say so."""
    pytest.importorskip("neurogym")
    learned = rule_learning.trained({"reward": ["reward_eprop"]}, QUICK, 1, tmp_path, 1)
    assert len(learned) == 3
    assert all(run.agent is not None and (run.folder(tmp_path) / "run.json").exists() for run in learned)
    assert {len(each.metrics) for each in learned.values()} == {3}


def test_learning_is_drawn_beside_the_gradient_and_the_readout(tmp_path: Path) -> None:
    """Every kind of setting is trained and drawn, with its numbers; the figure of a page has all of its curves."""
    pages = {"eprop": ("eprop",), "two": ("gevb", "gevb_local"), "streams": ("kaneko",)}
    words = [f"--out={tmp_path}", f"--runs={tmp_path / 'runs'}"]
    assert rule_learning.main(words, QUICK, pages) == 0
    for page, labels in {
        "eprop": {"BPTT", SILENT, "eprop"},
        "two": {"BP, BPTT", SILENT, "gevb", "gevb_local"},
        "streams": {"BP", SILENT, "kaneko"},
    }.items():
        lines = list(csv.DictReader((tmp_path / f"{page}.csv").read_text().splitlines()))
        assert {line["label"] for line in lines} == labels
        assert {line["seed"] for line in lines} == {"0", "1", "2"}
        assert {line["updates"] for line in lines} == {"0", "1", "2"}
        assert (tmp_path / f"{page}.svg").stat().st_size < 90_000
        assert (tmp_path / f"{page}.png").read_bytes().startswith(b"\x89PNG")
    trained = len(list((tmp_path / "runs").iterdir()))
    assert rule_learning.main([*words, "--only", "streams"], QUICK, pages) == 0
    assert len(list((tmp_path / "runs").iterdir())) == trained, "records are read"
    learned = rule_learning.trained({"two": pages["two"]}, QUICK, 1, tmp_path / "runs", 1)
    figure = page_figure(rule_learning.curves(learned, pages["two"], QUICK, 1))
    others = ("_", "chance")
    shown = {
        (axes.get_title(), axes.get_ylabel()): {
            line.get_label() for line in axes.lines if not line.get_label().startswith(others)
        }
        for axes in figure.axes
    }
    assert shown["digits, perceptron of vectors", "test accuracy"] == {"BP, BPTT", SILENT, "gevb"}
    assert shown["delayed_xor, 32 vectors", "test accuracy"] == {"BP, BPTT", SILENT, "gevb_local"}
    assert shown["", COSINE] == {"BP, BPTT", "gevb_local"}
    assert shown["", DROPPED] == {"BP, BPTT", SILENT, "gevb_local"}


def test_a_setting_that_lacks_a_measure_leaves_its_place_empty() -> None:
    panels = [("one", LEARNING), ("one", DROPPED), ("two", LEARNING), ("two", COSINE), ("two", DROPPED)]
    figure = page_figure([Series(panel_of(*each), "eprop", 0, [0, 1], [0.5, 0.6]) for each in panels])
    columns = {(axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes.get_ylabel()
               for axes in figure.axes}  # fmt: skip
    assert columns == {
        (0, 0): "test accuracy",
        (0, 2): DROPPED,
        (1, 0): "test accuracy",
        (1, 1): COSINE,
        (1, 2): DROPPED,
    }


def test_beside_learning_stand_the_cosine_and_the_dropped_part_of_each_measurement(tmp_path: Path) -> None:
    """BPTT is its own gradient and drops nothing; the readout alone has no direction and drops all."""
    learned = rule_learning.trained({"eprop": ["eprop"]}, QUICK, 1, tmp_path, 1)
    found = {(each.panel.rpartition(": ")[2], each.label): each.y for each in
             rule_learning.curves(learned, ["eprop"], QUICK, 1)}  # fmt: skip
    assert found[COSINE, "BPTT"] == pytest.approx([1.0] * 3, abs=1e-6)
    assert found[DROPPED, "BPTT"] == pytest.approx([0.0] * 3, abs=1e-6)
    assert found[DROPPED, SILENT] == pytest.approx([1.0] * 3, abs=1e-6)
    assert (COSINE, SILENT) not in found
    (run,) = (each for each in learned if each.rule == "eprop")
    assert found[COSINE, "eprop"] == tuple(each.observed["cosine/recurrent"] for each in learned[run].metrics)
    assert all(value < 0.999 for value in found[COSINE, "eprop"])


def test_rules_without_a_propagator_have_no_panel_of_the_dropped_part(tmp_path: Path) -> None:
    learned = rule_learning.trained({"uoro": ["uoro"]}, QUICK, 1, tmp_path, 1)
    found = rule_learning.curves(learned, ["uoro"], QUICK, 1)
    assert {each.panel.rpartition(": ")[2] for each in found} == {LEARNING, COSINE}
