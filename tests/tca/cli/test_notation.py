"""Rules, networks, tasks and optimizers from options and files, in every notation; files of other commands."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import tca
from tca.__main__ import main
from tca.cli.notation import plain_words
from tca.cli.train_command import chosen_run, parser
from tca.eligibilities import Diagonal, Leak
from tca.experiments import records
from tca.experiments.config.schedules import Cosine
from tca.signals import Random, Sparse
from tca.signals.feedback_weights import Drawn

SMALL = ["--steps=2", "--n_train=4", "--n_test=4", "--net.size=4"]


def run_of(*words: str) -> tca.Run:
    """Return the run that the words of ``tca train`` describe."""
    made = parser()
    given = plain_words(words)
    options = made.instantiate(made.parse_args(given))
    if "optimizer" not in made.parse_args(given, defaults=False):
        options.optimizer = None
    return chosen_run(options)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--rule", "rflo"], "rflo"),
        (["--rule=rflo", "--rule.signal.scale", "2.0"], tca.Rule(Random(2.0), Leak())),
        (["--rule.signal.scale", "1e-2", "--rule=rflo"], tca.Rule(Random(0.01), Leak())),
        (["--rule=rflo", "--rule.signal.init_args.scale=2"], tca.Rule(Random(2), Leak())),
        (["--rule.signal", "Random", "--rule.signal.scale=2", "--rule.eligibility=Diagonal"],
         tca.Rule(Random(2), Diagonal())),
        (["--rule.signal.scale=2", "--rule.signal=Random", "--rule.eligibility.class_path=Leak"],
         tca.Rule(Random(2), Leak())),
        (["--rule.signal=Sparse", "--rule.signal.weights=Drawn", "--rule.signal.weights.fraction=0.3",
          "--rule.eligibility=Leak"], tca.Rule(Sparse(Drawn(0.3)), Leak())),
        (["--rule", "{signal: {class_path: Random, init_args: {scale: 2}}, eligibility: Leak}"],
         tca.Rule(Random(2), Leak())),
        (["--rule", "tca.rules:RULES"], TypeError),
    ],
)  # fmt: skip
def test_options_of_a_rule(words: list[str], rule: str | tca.Rule | type[Exception]) -> None:
    if isinstance(rule, type):
        with pytest.raises(rule, match=r"must be a tca\.Rule"):
            run_of("delayed_xor", *words)
    else:
        assert run_of("delayed_xor", *words).rule == rule


def written(folder: Path, text: str, name: str = "run.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_file_has_any_notation_and_options_change_it(tmp_path: Path) -> None:
    """The part that an option names changes, and the rest of the file stays."""
    file = written(
        tmp_path,
        """
        task: {class_path: delayed_xor, init_args: {dt: 25}}
        rule: {signal: {class_path: Random, init_args: {scale: 2}}, eligibility: Leak}
        net: {class_path: LeakyRNN, init_args: {n_rec: 5, tau: 8e1}}
        optimizer: {class_path: torch.optim.SGD, init_args: {lr: 1e-1, momentum: 0.5, clip: null}}
        """,
    )
    run = run_of(file)
    assert run.task_options == {"dt": 25}
    assert run.net == tca.NetworkConfig(size=5, tau=80.0, form="A")
    assert run.optimizer == tca.Optimizer("SGD", lr=0.1, clip=None, options={"momentum": 0.5})
    assert run.rule == tca.Rule(Random(2), Leak())
    changed = run_of(file, "--net.size=6", "--optimizer.lr=0.2")
    assert (changed.net.size, changed.net.tau) == (6, 80.0)
    assert changed.optimizer == tca.Optimizer("SGD", lr=0.2, clip=None, options={"momentum": 0.5})
    assert run_of("--rule.signal.scale", "3", "--config", file).rule == tca.Rule(Random(3), Leak())
    assert run_of(file, "--rule=eprop").rule == "eprop"
    assert run_of(file, "--net", "mlp", "--net.sizes", "[3]").net == tca.NetworkConfig("mlp", sizes=[3])


def test_options_of_networks_of_every_kind(tmp_path: Path) -> None:
    wanted = tca.NetworkConfig("spiking_rnn", size=7, beta=1.5)
    other = written(tmp_path, "kind: spiking_rnn\nsize: 7\nbeta: 1.5\n", "net.yaml")
    for words in (
        ["--net", "spiking_rnn", "--net.size", "7", "--net.beta", "1.5"],
        ["--net.kind=spiking_rnn", "--net.init_args.size=7", "--net.beta=1.5"],
        ["--network", '{"kind": "spiking_rnn", "options": {"size": 7, "beta": 1.5}}'],
        ["--network", "spiking_rnn", "--network.size", "7", "--network.options.beta=1.5"],
        ["--net", "{class_path: tca.nets.SpikingRNN, init_args: {n_rec: 7, beta: 1.5}}"],
        ["--net", other],
        [written(tmp_path, "task: delayed_xor\nnet: net.yaml\n")],
    ):
        assert run_of(*([] if words[0].endswith("run.yaml") else ["delayed_xor"]), *words).net == wanted, words


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["--net.size=5"], "mlp"),
        (["--net=leaky_rnn", "--net.size=5"], "leaky_rnn"),
        (["--net.size=5", "--net.tau=20"], "leaky_rnn"),
        (["--net.size=5", "--rule=rflo"], "leaky_rnn"),
    ],
)
def test_a_size_alone_keeps_the_kind_of_network_of_the_task(words: list[str], kind: str) -> None:
    net = run_of("images", *words).net
    assert net.kind == kind
    assert net.size == 5 if kind == "leaky_rnn" else net.sizes == [5]


def test_one_seed_for_all_and_others_beside_it() -> None:
    assert run_of("delayed_xor", "--seeds.net=5", "--seed", "3").seeds == tca.Seeds(3, 5, 3, 3)


def test_an_optimizer_by_its_name() -> None:
    assert run_of("delayed_xor", "--optimizer", "SGD", "--optimizer.lr", "0.5").optimizer == tca.Optimizer(
        "SGD", lr=0.5
    )


def test_arguments_of_an_optimizer_stand_beside_those_of_its_update(tmp_path: Path) -> None:
    """As users of Lightning write them, and as they are recorded."""
    wanted = tca.Optimizer("SGD", lr=0.5, options={"momentum": 0.9})
    for form in ("momentum", "init_args.momentum", "options.momentum"):
        for chosen in ("--optimizer=SGD", "--optimizer.name=SGD", "--optimizer.class_path=torch.optim.SGD"):
            words = ["delayed_xor", chosen, "--optimizer.lr", "0.5", f"--optimizer.{form}", "0.9"]
            assert run_of(*words).optimizer == wanted, words
    file = written(tmp_path, "task: delayed_xor\noptimizer: {name: AdamW, lr: 0.5, options: {weight_decay: 0.1}}\n")
    assert run_of(file, "--optimizer.momentum=0.9", "--optimizer", "torch.optim.SGD").optimizer == wanted
    assert run_of(file, "--optimizer", "torch.optim.AdamW").optimizer.options == {"weight_decay": 0.1}


RUN = tca.Run(
    "delayed_xor",
    tca.Rule(Sparse(Drawn(0.3)), Leak()),
    net=tca.NetworkConfig(size=4),
    optimizer=tca.Optimizer("SGD", lr=0.5, schedule=Cosine(), lr_multipliers={"w_out": 2.0}),
    steps=2,
    n_train=4,
    n_test=4,
    snapshot_losses=(0.5,),
    callbacks=(tca.Callback("alignment", every=2),),
    seeds=tca.Seeds(1, 2, 3, 4),
)


def test_a_record_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``run.json`` as it was written, and its run alone, describe the run of the record."""
    agent = tca.Run("PerceptualDecisionMaking-v0", "eprop", agent=tca.Agent(steps=7), net=tca.NetworkConfig(size=4))
    runs = [RUN, agent]
    for number, run in enumerate(runs):
        described = {"format": 2, "name": run.name, "run": run.to_json()}
        for name, values in (("record", described), ("values", run.to_json())):
            assert run_of(written(tmp_path, json.dumps(values), f"{name}{number}.json")) == run
    tca.train(RUN, RUN.folder(tmp_path / "runs"), progress=False)
    record = RUN.folder(tmp_path / "runs") / "run.json"
    assert main(["train", str(record), f"--folder={tmp_path / 'again'}", "--quiet"]) == 0
    assert records.read(RUN.folder(tmp_path / "again")).run == RUN


MODULE = """
from dataclasses import dataclass
from tca.signals import Random

@dataclass(frozen=True)
class Own(Random):
    pass
"""


def test_names_in_a_file_are_imported_and_those_in_a_record_only_with_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_signals.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    rule: Any = {"signal": {"class": "own_signals.Own", "scale": 2.0}, "eligibility": {"class": "Leak"}}
    record = written(tmp_path, json.dumps({"run": {"task": "delayed_xor", "rule": rule}}), "record.json")
    with pytest.raises(ValueError, match=r"'own_signals.Own' is not imported, as a record names it: .* --trust"):
        run_of(record)
    assert "own_signals" not in sys.modules
    trusted = run_of(record, "--trust")
    del sys.modules["own_signals"]
    own = run_of(written(tmp_path, json.dumps({"task": "delayed_xor", "rule": rule})))
    del sys.modules["own_signals"]
    words = ["--rule.signal=own_signals.Own", "--rule.signal.scale=2.0", "--rule.eligibility=Leak"]
    assert trusted.name == own.name == run_of("delayed_xor", *words).name
    del sys.modules["own_signals"]


def test_a_task_by_its_class_path_is_that_by_its_import_path(tmp_path: Path) -> None:
    """Its record is the same."""
    file = written(tmp_path, "task: {class_path: tasks.native.delayed_xor.DelayedXor, init_args: {delay: 400.0}}\n")
    by_path = run_of("tasks.native.delayed_xor:DelayedXor", "--task_options.delay", "400.0")
    assert run_of(file).name == by_path.name


@pytest.mark.parametrize(
    ("several", "words", "message"),
    [
        (
            False,
            ["eprop"],
            "the first argument must be a task or a file, got the rule 'eprop': did you mean --rule",
        ),
        (False, ["--rule.signal.scale"], "--rule.signal.scale needs a value"),
        (False, ["--rule", "[1]"], "a name or a mapping was expected, got [1]"),
        (False, ["--config", "comparison.yaml"], "describes a comparison (rules and tasks): use tca compare --config"),
        (True, ["--config", "run.yaml"], "describes one run (task): use tca train --config"),
        (False, ["--net", "{class_path: LeakyRN}"], "unknown class of network 'LeakyRN', did you mean 'LeakyRNN'?"),
    ],
)
def test_mistakes(
    several: bool, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "tasks: [delayed_xor]\nrules: [bptt]\n", "comparison.yaml")
    written(tmp_path, "task: delayed_xor\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        plain_words(words, several)


def test_the_first_word_is_the_task_or_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for first in ("delayed_xor", written(tmp_path, "task: delayed_xor\n")):
        assert main(["train", first, *SMALL, "--quiet", f"--folder={tmp_path / 'runs'}"]) == 0
        assert capsys.readouterr().out.startswith("delayed_xor, bptt, form A, 4 tanh cells")


def test_a_comparison_is_a_configuration_with_networks_of_any_kind(tmp_path: Path) -> None:
    """``comparison.json`` comes back, and its files and numbers are read as those of a run."""
    values = {"tasks": ["delayed_xor"], "net": {"kind": "mlp", "sizes": [4]}, "optimizer": {"lr": 1e-3}}
    words = plain_words(["--config", written(tmp_path, json.dumps(values)), "--net.activation=tanh"], several=True)
    assert words[1] == '--network={"kind": "mlp", "options": {"sizes": [4], "activation": "tanh"}}'
    assert json.loads(words[0].removeprefix("--config=")) == {"tasks": ["delayed_xor"], "optimizer": {"lr": 1e-3}}
