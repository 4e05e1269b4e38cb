"""Rules as plain values: names, class paths in both notations, changed parts, and names that may be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tca
from tca.eligibilities import Diagonal, Instant, Leak
from tca.experiments.config.rule_config import rule_of, rule_values
from tca.signals import Decorrelation, OutputError, Random, Sparse
from tca.signals.feedback_weights import Drawn
from tests.support.rows import ELIGIBILITIES, SIGNALS

MODULE = """
from dataclasses import dataclass

import tca
from tca.signals import Random


@dataclass(frozen=True)
class Doubled(Random):
    def rate_signal(self, score, population, buffers):
        return 2 * super().rate_signal(score, population, buffers)


mine = tca.Rule(Doubled(3.0), tca.eligibilities.Leak())
number = 3
"""
NAMES = iter(f"own_parts_{number}" for number in range(100))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the name of a module that is not imported yet."""
    name = next(NAMES)
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


RFLO = tca.RULES["rflo"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("rflo", "rflo"),
        ({"name": "rflo"}, "rflo"),
        ({"name": "rflo", "signal": {"scale": 1.0}}, "rflo"),
        ({"name": "rflo", "signal": {"scale": 2.0}}, tca.Rule(Random(2.0), Leak())),
        ({"name": "rflo", "eligibility": "Diagonal"}, tca.Rule(Random(), Diagonal())),
        ({"signal": {"class_path": "Random", "init_args": {"scale": 2}}, "eligibility": "Leak"},
         tca.Rule(Random(2), Leak())),
        ({"signal": {"class": "Random", "scale": 2}, "eligibility": {"class": "Leak"}}, tca.Rule(Random(2), Leak())),
        ({"class_path": "tca.Rule", "init_args": {"signal": "tca.signals.Random", "eligibility": "Leak"}},
         tca.Rule(Random(), Leak())),
        ({"signal": {"class_path": "Sparse", "weights": {"class_path": "Drawn", "init_args": {"fraction": 0.3}}},
          "eligibility": "tca.eligibilities:Instant"}, tca.Rule(Sparse(Drawn(0.3)), Instant())),
        ({"name": "sbd", "signal": {"source": "OutputError", "centred": True}},
         tca.Rule(Decorrelation(source=OutputError(), centred=True), Leak())),
    ],
)  # fmt: skip
def test_every_notation_gives_the_rule(value: Any, rule: str | tca.Rule) -> None:
    assert rule_of(value, trusted=False) == rule


@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
def test_every_signal_comes_back_from_its_record(signal: tca.signals.Signal) -> None:
    for eligibility in (Leak(), *ELIGIBILITIES):
        if signal.fitted and not eligibility.shared:
            continue
        rule = tca.Rule(signal, eligibility)
        assert rule_of(json.loads(json.dumps(rule_values(rule))), trusted=False) == rule


def test_a_changed_rule_keeps_the_form_that_it_needs() -> None:
    """RFLO with other feedback weights is still defined on cells whose leak acts on the rate."""
    rule = rule_of({"name": "rflo", "signal": {"scale": 2.0}})
    assert isinstance(rule, tca.Rule)
    assert rule.form == "B"
    run = tca.Run("delayed_xor", rule)
    assert run.net.form == "B"
    assert tca.Run.from_json(run.to_json()) == run


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("rflx", ValueError, "unknown rule 'rflx', did you mean 'rflo'?"),
        ({"name": "rflo", "signal": {"scal": 2}}, ValueError, "unknown option of Random 'scal', did you mean 'scale'?"),
        ({"signal": "Random"}, ValueError, "needs signal and eligibility, or the name .* got no eligibility"),
        ({"signal": "Randm", "eligibility": "Leak"}, ValueError, "unknown class of signal 'Randm', did you mean 'Ran"),
        (
            {"signal": "os.system", "eligibility": "Leak"},
            ValueError,
            "signal must be a class of Signal, got 'os.system",
        ),
        ({"signal": "Leak", "eligibility": "Leak"}, ValueError, "unknown class of signal 'Leak'"),
        ({"signal": "tca.eligibilities.Leak", "eligibility": "Leak"}, ValueError, "must be a class of Signal"),
        ({"signal": "no_such.Part", "eligibility": "Leak"}, ValueError, "there is no module 'no_such'"),
        ({"signal": "tca.signals.Part", "eligibility": "Leak"}, ValueError, "tca.signals has no 'Part'"),
        ({"signal": {"class": "Random", "scale": -1}, "eligibility": "Leak"}, ValueError, "scale must be greater than"),
        ({"signal": {"class_path": "Random", "init_args": 3}}, ValueError, "init_args must be a mapping"),
        ({"sigal": "Random"}, ValueError, "unknown part of a rule 'sigal', did you mean 'signal'?"),
        ({"class_path": "os.system"}, ValueError, "class_path of a rule must be tca.Rule"),
        ("os:path", TypeError, "rule 'os:path' must be a tca.Rule"),
        ("a b.c", ValueError, "must be a name or an import path"),
        (3, TypeError, "rule must be a name or a mapping with signal and eligibility, got 3"),
    ],
)
def test_mistakes_are_named(value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rule_of(value)


def test_a_user_names_a_module_and_a_record_does_not(module: str) -> None:
    """An import path is imported for the user; out of a record only with leave, or if the module is there already."""
    value = {"signal": {"class_path": f"{module}.Doubled", "init_args": {"scale": 2.0}}, "eligibility": "Leak"}
    with pytest.raises(ValueError, match=r"class '.*Doubled' is not imported, as a record names it: .*--trust"):
        rule_of(value, trusted=False)
    assert module not in sys.modules
    rule = rule_of(value)
    assert isinstance(rule, tca.Rule)
    assert type(rule.signal).__module__ == module
    values = json.loads(json.dumps(tca.Run("delayed_xor", rule).to_json()))
    assert values["rule"]["signal"] == {"class": f"{module}.Doubled", "scale": 2.0}
    assert tca.Run.from_json(values).rule == rule
    named = rule_of(f"{module}:mine")
    assert isinstance(named, tca.Rule)
    assert named.title == f"{module}:mine"
    assert rule_of(json.loads(json.dumps(rule_values(named))), trusted=False) == named
    with pytest.raises(TypeError, match=r"must be a tca\.Rule, got 3"):
        rule_of(f"{module}:number")


@pytest.mark.slow
def test_another_process_reads_the_record_of_an_own_part(module: str, tmp_path: Path) -> None:
    """Only with leave; then with the same name of the run."""
    run = tca.Run("delayed_xor", rule_of(f"{module}.mine"), net=tca.NetworkConfig(size=4), steps=1, n_train=4, n_test=4)
    result = tca.train(run, tmp_path / "run", progress=False)
    code = (
        "import sys; from tca.experiments import records; "
        "read = records.read(sys.argv[1], trusted=sys.argv[2] == 'yes'); print(read.run.name, read.run.rule_title)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "run")]
    refused, read = (
        subprocess.run([*words, each], cwd=tmp_path, capture_output=True, text=True, check=False)
        for each in ("no", "yes")
    )
    assert "allow it with --trust" in refused.stderr
    assert refused.returncode == 1
    assert read.stdout.split() == [result.run.name, f"{module}.mine"]
