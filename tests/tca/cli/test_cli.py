"""The command line: what it prints and writes, and how it refuses."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import analysis
import tasks
import tca
from tca.__main__ import main
from tca.cli.commands import COMMANDS
from tca.cli.compare.comparison import Comparison
from tca.experiments import records
from tca.experiments.config.run import NetworkConfig, Optimizer, Run, Seeds
from tca.experiments.sweep import settings


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line on stderr of a command that must fail with status 2."""
    capsys.readouterr()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert re.fullmatch(r"tca: .+\n", err), err
    return err.strip()


def test_an_empty_file_of_options_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert "the file of --config is empty" in refusal(capsys, "train", "--config", str(tmp_path / "empty.yaml"))


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [],
            "one of: demo, train, compare, sweep, resume, runs, show, verify, report, cite, list; see tca --help",
        ),
        (["trian"], "unknown command 'trian', did you mean 'train'?"),
        (["train"], "required: --task"),
        (["train", "--tsk", "delayed_xor"], "--tsk delayed_xor, did you mean --task?"),
        (["train", "--lr", "0.1"], "--lr 0.1, did you mean --optimizer.lr 0.1?"),
        (["train", "--steps=3", "--lr=0.1"], "did you mean --optimizer.lr=0.1?"),
        (["train", "--learning-rate", "0.1"], "did you mean --optimizer.lr 0.1?"),
        (["compare", "--lr", "0.1"], "did you mean --optimizer.lr 0.1?"),
        (["train", "--n_rec", "64"], "did you mean --net.size 64?"),
        (["train", "eprop"], "did you mean --rule eprop?"),
        (["train", "--task", "delayed_xr"], "unknown task 'delayed_xr', did you mean 'delayed_xor'?"),
        (["train", "--task", "delayed_xor", "--net.sise", "3"], "option of LeakyRNN 'sise', did you mean 'size'?"),
        (["train", "--task", "delayed_xor", "--net.size", "3x"], "size must be an integer of at least 1, got '3x'"),
        (["train", "--task", "delayed_xor", "--net.tau", "-5"], "tau must be positive and finite"),
        (["train", "--task", "delayed_xor", "--steps", "0"], "steps must be at least 1, got 0"),
        (["train", "--task", "delayed_xor", "--rule", "bptx"], "unknown rule 'bptx', did you mean 'bptt'?"),
        (["train", "--task", "delayed_xor", "--optimizer.name", "SDG"], "did you mean 'SGD'?"),
        (
            ["train", "--task", "delayed_xor", "--optimizer.options.betta", "3"],
            "unknown option of Adam 'betta', did you mean 'betas'?",
        ),
        (["train", "--task", "Null-v0"], "no ground truth"),
        (["train", "--config", "/no/such/file"], "--config: File does not exist: '/no/such/file'"),
        (["train", "--task", "delayed_xor", "--folder", "/dev/null/runs"], "cannot write the record in /dev/null/runs"),
        (["compare", "--rules", "bptt,epro"], "unknown rule 'epro', did you mean 'eprop'?"),
        (["compare", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["compare", "--workers", "0", "--folder", "/dev/null/x"], "workers must be at least 1, got 0"),
        (["compare", "--folder", "/dev/null/x"], "cannot write the record in /dev/null/x"),
        (["compare", "--task_options.flip_flop.dt", "3"], "given for 'flip_flop', which is not one of the tasks"),
        (["report"], "exactly one FOLDER is required, got none"),
        (["sweep"], "required: FILE.py[:FUNCTION]"),
        (["sweep", "/no/such/file.py"], "there is no file /no/such/file.py"),
        (["sweep", "x.py", "--worker", "2"], "did you mean --workers?"),
        (["sweep", "x.py", "--no-wiat"], "did you mean --no-wait?"),
        (["show"], "exactly one FOLDER is required, got none"),
        (["show", "/no/such/folder"], "has no record of a run (run.json is missing)"),
        (["report", "/no/such/folder"], "contains neither a comparison nor the record of a run"),
    ],
)
def test_mistakes_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert message in refusal(capsys, *words)


def test_debug_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--task", "delayed_xr", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_in_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("task: delayed_xor\nnet: {sise: 3}\n")
    assert "option of LeakyRNN 'sise', did you mean 'size'?" in refusal(capsys, "train", f"--config={file}")
    file.write_text("task: [\n")
    refusal(capsys, "train", f"--config={file}")


def test_train_records_the_run_that_the_flags_describe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "task: delayed_xor\nrule: eprop\nsteps: 4\nnet: {size: 5}\noptimizer: {options: {betas: [0.8, 0.9]}}\n"
    )
    words = [
        "train",
        f"--config={file}",
        "--n_train=6",
        "--n_test=5",
        "--seeds.net=3",
        "--task_options.dt=25",
        "--net.tau=50",
    ]
    assert main([*words, "--quiet", f"--folder={tmp_path / 'runs'}"]) == 0
    run = Run("delayed_xor", "eprop", task_options={"dt": 25}, steps=4, n_train=6, n_test=5, seeds=Seeds(net=3),
              net=NetworkConfig(size=5, tau=50.0), optimizer=Optimizer(options={"betas": [0.8, 0.9]}))  # fmt: skip
    result = records.read(run.folder(tmp_path / "runs"))
    assert result.run == run
    shown = capsys.readouterr().out
    assert f"test loss {result.last.test_loss:.4g}, accuracy {result.last.test_accuracy:.3f}" in shown
    assert shown.endswith(
        "optimizer: Adam 0.001, betas [0.8, 0.9], clipped at 1 (given; recommended: Adam 0.001, clipped at 1)\n"
    )
    assert main(["report", str(tmp_path / "runs")]) == 0
    assert shown.startswith(capsys.readouterr().out)
    assert main(["report", str(run.folder(tmp_path / "runs"))]) == 0
    assert shown.startswith(capsys.readouterr().out)
    assert "optimizer: Adam 0.001, betas [0.8, 0.9], clipped at 1 (given; recommended: Adam 0.001, clipped" in shown


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what a command prints."""
    capsys.readouterr()
    assert main(words) == 0
    return capsys.readouterr().out


def test_list_names_everything_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in listed(capsys, "list").splitlines() if line.startswith("  ")]
    figures = [name for name in analysis.figures.__all__ if name not in ("Series", "save")]
    names = [line.split()[0] for line in lines]
    assert names == [*tca.RULES, *tasks.list(), *tca.nets.NETWORKS, *tca.losses.LOSSES]
    shown = listed(capsys, "list", "figures")
    assert re.findall(r"^  (\w+)$", shown, re.MULTILINE) == figures
    assert all(len(line.split()) > 3 for line in lines)


def test_a_rule_without_a_summary_is_listed_by_its_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tca.Rule(tca.signals.Random(), tca.eligibilities.Diagonal(), name="own")
    monkeypatch.setitem(tca.RULES, "own", own)
    assert re.search(r"^  own +Rule\(signal=Random\(scale=1.0\), eli", listed(capsys, "list"), re.MULTILINE)
    assert "\n\n" not in listed(capsys, "list", "rules").rpartition("  own\n")[2]


def test_a_chapter_of_the_list_tells_all_that_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each rule its equations, form and paper; of each native task its measure and its options."""
    rules = listed(capsys, "list", "rules")
    for rule in tca.RULES.values():
        first = rule.reference.split(";")[0].split(",")[0]
        assert rule.equations.split(";")[0][:60] in rules
        assert first in rules
    assert "networks of form B" in rules
    text = " ".join(listed(capsys, "list", "tasks").split())
    assert "R2, 0 by chance --task_options.NAME VALUE: dt 20, bits 3," in text
    for name in tasks.NATIVE:
        for option in inspect.signature(tasks.NATIVE[name]).parameters:
            assert re.search(rf"[:,] {option} ", text), (name, option)
    assert "unknown chapter 'taks', did you mean 'tasks'?" in refusal(capsys, "list", "taks")


def described(value: type, prefix: str = "") -> Iterator[str]:
    """Yield the names of all settings of a dataclass and of the dataclasses in it."""
    for each in dataclasses.fields(value):
        yield prefix + each.name
        if each.name in ("optimizer", "seeds") and not prefix and value is Run:
            yield from described({"optimizer": Optimizer, "seeds": Seeds}[each.name], f"{each.name}.")
    yield from () if prefix else (f"net.{name}" for name in NetworkConfig().options)


@pytest.mark.parametrize(("command", "value"), [("train", Run), ("compare", Comparison)])
def test_help_tells_every_option(capsys: pytest.CaptureFixture[str], command: str, value: type) -> None:
    """With an explanation of more than a word, and without the names that Python has for things."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert "``" not in text
    assert "tasks.list()" not in text
    entries = dict(re.findall(r"^  --([\w.]+)\b(?:,[^\n]*)?((?:.*\n)(?: {20,}.*\n)*)", text, re.MULTILINE))
    assert "null" not in re.sub(r"\(type: [^()]*\)", "", " ".join(text.split()))
    for word in ("--net.OPTION VALUE", "--optimizer.momentum 0.9", "--seed N"):
        assert word in " ".join(text.split()) or (word, command) == ("--seed N", "compare")
    for name in described(value):
        assert len(entries[name].split()) > 4, (name, entries[name])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_begins_with_its_purpose(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    usage, purpose, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: tca {command}")
    assert purpose.lower().startswith(COMMANDS[command].purpose.split()[0])


def test_help_of_the_program_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "--help")
    for name, command in COMMANDS.items():
        assert re.search(rf"^    {name} +{command.purpose.split()[0]}", text, re.MULTILINE), name


def test_show_tells_settings_ending_and_last_measurement(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = Run("flip_flop", "eprop", steps=4, n_train=6, n_test=5, evaluate_every=2, net=NetworkConfig(size=5))
    result = tca.train(run, tmp_path, progress=False, observe=lambda *_: {"depth": 2.5})
    shown = listed(capsys, "show", str(tmp_path))
    entries = dict(line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  "))
    assert {name: entries[name] for name in settings(run)} == settings(run)
    assert "\ncompleted after 4 updates\n" in shown
    assert float(entries["test_loss"]) == pytest.approx(result.last.test_loss, rel=1e-5)
    assert (entries["step"], entries["depth"]) == ("4", "2.5")
    assert entries["torch"] == torch.__version__
    assert entries["threads"] == str(torch.get_num_threads())
    seen = iter(range(10))

    def stop(*_: object) -> dict[str, float]:
        if next(seen) == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        tca.train(run, tmp_path / "stopped", progress=False, observe=stop)
    assert "\nunfinished, 2 updates or more made" in listed(capsys, "show", str(tmp_path / "stopped"))
    (tmp_path / "stopped" / "checkpoint").unlink()
    assert "it has measurements and no checkpoint" in refusal(capsys, "show", str(tmp_path / "stopped"))
    (tmp_path / "stopped" / "metrics.jsonl").unlink()
    assert "\nunfinished, no measurements yet" in listed(capsys, "show", str(tmp_path / "stopped"))
    (tmp_path / "run.json").write_text("{}")
    assert "cannot be read: it is of format 1" in refusal(capsys, "show", str(tmp_path))


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / name) as file:
        return list(csv.DictReader(file))


SWEEP = """
from dataclasses import replace
from tca import NetworkConfig, Run
from tca.experiments.sweep import grid

SMALL = Run("delayed_xor", net=NetworkConfig(size=5), steps=2, n_train=6, n_test=5, batch_size=3)

def runs():
    yield from grid(SMALL, {"rule": ["bptt", "eprop"], "net.size": [4, 5]})

def broken():
    yield SMALL
    yield replace(SMALL, device="cuda:99")
"""


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    """Return a file with two sweeps."""
    file = tmp_path / "small.py"
    file.write_text(SWEEP)
    return file


def test_sweep_trains_what_the_file_yields(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, sweep_file: Path
) -> None:
    """First a look, then the work, then a look at what is done; the table holds what the records hold."""
    words = ["sweep", str(sweep_file), f"--out={tmp_path / 'out'}"]
    plan = listed(capsys, *words, "--dry-run")
    assert "4 runs: 4 new; none was trained." in plan
    assert not (tmp_path / "out").exists()
    table = listed(capsys, *words, "--scheduler=here", "--quiet")
    assert table.splitlines()[0].split() == ["rule", "net.size", "outcome", "updates", "train", "loss", "test", "loss",
                                             "test", "score"]  # fmt: skip
    assert "4 runs: 4 completed." in table
    written = rows(tmp_path / "out", "small.csv")
    assert [(row["rule"], row["net.size"]) for row in written] == [
        ("bptt", "4"), ("bptt", "5"), ("eprop", "4"), ("eprop", "5")
    ]  # fmt: skip
    for row, line in zip(written, table.splitlines()[1:], strict=False):
        result = records.read(tmp_path / "out" / row["record"])
        assert (row["rule"], row["net.size"]) == (result.run.rule, str(result.run.net.size))
        assert float(row["test_loss"]) == result.last.test_loss
        assert line.split()[-1] == f"{result.last.test_accuracy:.3f}"
    (tmp_path / "out" / written[0]["record"] / "result.json").unlink()
    assert "4 runs: 3 ended, 1 unfinished; none was trained." in listed(capsys, *words, "--dry-run")


def test_a_sweep_in_which_a_run_fails_ends_with_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, sweep_file: Path
) -> None:
    words = ["sweep", f"{sweep_file}:broken", f"--out={tmp_path / 'out'}", "--scheduler=here"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert "2 runs: 1 completed, 1 failed." in out
    assert "failed: device cuda:99: " in out
    assert "device cpu: completed after 2 updates" in err
    assert [row["outcome"] for row in rows(tmp_path / "out", "small_broken.csv")] == ["completed", "failed"]
