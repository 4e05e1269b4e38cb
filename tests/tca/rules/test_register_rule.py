"""Rules under names of their own: in runs, records, other processes, sweeps, measurements and installed packages."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import analysis
import tca
from tca.__main__ import main
from tca.eligibilities import Diagonal, Leak
from tca.experiments import records
from tca.experiments.sweep import sweep
from tca.rules import RULES, register_rule
from tca.signals import Random
from tca.utils.plugins import PluginTable, PluginWarning

SMALL: dict[str, Any] = {"net": tca.NetworkConfig(size=4), "steps": 2, "n_train": 4, "n_test": 4}
MINE = tca.Rule(Random(2.0), Diagonal())


@pytest.fixture
def mine() -> Iterator[str]:
    """Return the name of a registered rule."""
    register_rule("mine", MINE, summary="random feedback with diagonal traces")
    yield "mine"
    RULES.pop("mine", None)


def test_a_registered_rule_is_used_by_its_name(mine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tca.Run("delayed_xor", mine, **SMALL)
    assert (run.the_rule, run.rule_title) == (MINE, "mine")
    assert run == tca.Run("delayed_xor", RULES[mine], **SMALL)
    parts = tca.train(tca.Run("delayed_xor", MINE, **SMALL), progress=False)
    trained = tca.train(run, run.folder(tmp_path), progress=False)
    assert all(
        torch.equal(one, other) for one, other in zip(trained.net.parameters(), parts.net.parameters(), strict=True)
    )
    assert records.read(run.folder(tmp_path)).run == run
    assert main(["list", "rules"]) == 0
    assert "  mine\n      random feedback with diagonal traces" in capsys.readouterr().out
    words = ["--net.size=4", "--steps=2", "--n_train=4", "--n_test=4", f"--folder={tmp_path}", "--quiet"]
    assert main(["train", "delayed_xor", "--rule=mine", *words]) == 0
    assert run.name in capsys.readouterr().out


def test_a_record_is_read_where_the_name_is_not_registered(mine: str, tmp_path: Path) -> None:
    """It has name and parts; a rule of the same name and other parts is another rule."""
    run = tca.Run("delayed_xor", mine, **SMALL)
    values = json.loads(json.dumps(run.to_json()))
    assert values["rule"] == {
        "name": "mine",
        "signal": {"class": "Random", "scale": 2.0},
        "eligibility": {"class": "Diagonal"},
    }
    tca.train(run, tmp_path / "run", progress=False)
    del RULES["mine"]
    read = records.read(tmp_path / "run").run
    assert (read.rule, read.rule_title, read.name) == (MINE, "mine", run.name)
    register_rule("mine", tca.Rule(Random(), Leak()))
    other = tca.Run.from_json(values)
    assert (other.rule, other.rule_title, other.name) == (MINE, "mine", run.name)
    assert tca.Run("delayed_xor", "mine", **SMALL).name != run.name


MODULE = """
from dataclasses import dataclass

import tca
from tca.signals import Random


@dataclass(frozen=True)
class Doubled(Random):
    def rate_signal(self, score, population, buffers):
        return 2 * super().rate_signal(score, population, buffers)


tca.register_rule("doubled", tca.Rule(Doubled(), tca.eligibilities.Leak()))


def runs():
    net = tca.NetworkConfig(size=4)
    return [tca.Run("delayed_xor", "doubled", net=net, steps=2, n_train=4, n_test=4, evaluate_every=1)]
"""


def test_workers_and_resumed_runs_import_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of a sweep, which is another process, and a process that resumes the record."""
    (tmp_path / "doubled_rule.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import doubled_rule  # type: ignore[import-not-found]

    try:
        (run,) = doubled_rule.runs()
        (swept,) = sweep([run], tmp_path / "runs", "processes", 1, progress=False)
        assert (swept.outcome, swept.reason) == ("completed", "")
        here = tca.train(run, progress=False)
        assert same_weights(swept.result(), here)
        with pytest.raises(KeyboardInterrupt):
            tca.train(run, tmp_path / "stopped", progress=False, observe=stopped())
    finally:
        RULES.pop("doubled", None)
        sys.modules.pop("doubled_rule", None)
    code = (
        "import sys, tca; from tca.experiments.records.reader import look; folder = sys.argv[1]; "
        "run = tca.Run.from_json(look(folder).description['run'], trusted=True); "
        "print(tca.train(run, folder, progress=False).outcome, run.rule_title)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "stopped")]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "completed doubled\n"
    try:
        assert same_weights(records.read(tmp_path / "stopped", trusted=True), here), "which imports and registers anew"
    finally:
        RULES.pop("doubled", None)
        sys.modules.pop("doubled_rule", None)


def same_weights(one: tca.Result, other: tca.Result) -> bool:
    return all(torch.equal(*pair) for pair in zip(one.net.parameters(), other.net.parameters(), strict=True))


def stopped() -> Callable[..., dict[str, float]]:
    """Return a callback that interrupts the training at its second measurement."""
    seen = iter(range(2))

    def stop(*_: object) -> dict[str, float]:
        if next(seen):
            raise KeyboardInterrupt
        return {}

    return stop


@pytest.mark.parametrize(
    ("name", "rule", "error", "words"),
    [
        ("rflo", MINE, ValueError, "must be a new one, got that of the rule 'rflo'"),
        ("rflo", RULES["rflo"], ValueError, "must be a new one"),
        ("my rule", MINE, ValueError, "letters, digits and underscores only, got 'my rule'"),
        ("my_rule", "rflo", TypeError, "rule must be a Rule, got 'rflo'"),
        (3, MINE, TypeError, "name must be a string, got 3"),
    ],
)
def test_mistakes(name: Any, rule: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        register_rule(name, rule)


def test_the_same_rule_may_be_registered_twice_and_no_other(mine: str) -> None:
    assert register_rule(mine, MINE) == MINE
    with pytest.raises(ValueError, match="must be a new one, got that of the rule 'mine'"):
        register_rule(mine, tca.Rule(Random(), Leak()))


def test_measures_take_a_mapping_of_own_rules(mine: str) -> None:
    net = tca.nets.LeakyRNN(2, 5, 1, seed=1)
    source = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(6, 3, size, generator=source) for size in (2, 1))
    batch = tca.Batch(inputs, targets, torch.full((6, 3), 1 / 6), tca.losses.MSE())
    found = analysis.alignment(net, batch, {"own": MINE, "exact": "bptt", "learner": tca.Learner(net, MINE)})
    assert [each.name for each in found.rules] == ["own", "exact", "learner"]
    alone = analysis.alignment(net, batch, [mine]).rules[0]
    assert alone.name == "mine"
    assert found["own"].parameters == found["learner"].parameters == alone.parameters
    with pytest.raises(ValueError, match="rules must hold at least one rule"):
        analysis.alignment(net, batch, {})


class Point:
    """An entry point of an installed package."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value, self.found = name, "package:thing", value

    def load(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def table(monkeypatch: pytest.MonkeyPatch, *points: Point) -> tuple[PluginTable[tca.Rule], list[str]]:
    """Return a table of rules with entry points, and the groups that were asked for."""
    asked: list[str] = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: asked.append(group) or points)
    return PluginTable("rule", {"eprop": RULES["eprop"]}, "tca.rules", RULES.take), asked  # type: ignore[attr-defined]


def test_installed_packages_add_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first name that the library lacks, and once."""
    rules, asked = table(monkeypatch, Point("mine", MINE))
    assert rules["eprop"] == RULES["eprop"]
    assert asked == []
    assert (rules["mine"], rules["mine"].name) == (MINE, "mine")
    assert asked == ["tca.rules"]
    assert list(rules) == ["eprop", "mine"] == list({**rules})
    assert asked == ["tca.rules"]
    with pytest.raises(ValueError, match="unknown rule 'mien', did you mean 'mine'"):
        rules["mien"]
    assert copy.deepcopy(rules) == rules
    for look in (lambda each: "mine" in each, lambda each: len(each) == 2, lambda each: each.get("mine") == MINE,
                 lambda each: len(each.items()) == len(each.values()) == 2):  # fmt: skip
        assert look(table(monkeypatch, Point("mine", MINE))[0])


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (Point("eprop", MINE), "'eprop' of tca.rules .package:thing. is left out: ValueError: the name is taken"),
        (Point("mine", ImportError("no module")), "'mine' .* is left out: ImportError: no module"),
        (Point("mine", "rflo"), "'mine' .* is left out: TypeError: rule must be a Rule"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_a_warning(
    point: Point, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, _ = table(monkeypatch, point, Point("other", MINE))
    with pytest.warns(PluginWarning, match=words):
        assert rules["other"] == MINE
    assert list(rules) == ["eprop", "other"]
    assert rules["eprop"] == RULES["eprop"]
