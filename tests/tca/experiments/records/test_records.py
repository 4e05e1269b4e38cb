"""Records: what is killed resumes to the same bits, and what cannot be written is said in one line."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch

import tca
from tca.eligibilities import Diagonal
from tca.experiments import records
from tca.experiments.config.agent import Agent
from tca.experiments.config.run import Callback, NetworkConfig, Optimizer, Run, Seeds
from tca.experiments.config.schedules import Cosine
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.experiments.records import files
from tca.experiments.records.files import RecordError
from tca.experiments.records.record import Record
from tca.experiments.records.tensor_files import pack, unpack
from tca.experiments.training.train import train
from tca.nets import CNN, ConvLayer, DenseLayer, Dropout, MaxPool
from tca.rule import Rule
from tca.signals import Random

ROOT = Path(__file__).resolve().parents[4]
SMALL = Run(
    "delayed_xor",
    "eprop_adaptive",
    net=NetworkConfig(size=6, noise=0.1),
    batch_size=4,
    steps=7,
    n_train=10,
    n_test=6,
    evaluate_every=3,
)


def content(folder: Path) -> dict[str, bytes]:
    """Everything in a finished record that must not depend on interruptions: the time taken is left out."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    ending = json.loads((folder / "result.json").read_text())
    for line in (*lines, ending["last"]):
        del line["elapsed"]
    del ending["companions"], ending["sha256"]
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".safetensors"}
    return {**files, "metrics": json.dumps(lines).encode(), "ending": json.dumps(ending).encode()}


def change_checkpoint(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the state that a checkpoint holds, and seal it anew."""
    packed = unpack((folder / "checkpoint").read_bytes())
    change(packed["state"])
    (folder / "checkpoint").write_bytes(pack(packed))


def interrupted(folder: Path, run: Run, *how: str) -> int:
    """Train in processes that are killed; return how many were."""
    description = folder.with_suffix(".json")
    description.write_text(json.dumps(run.to_json()))
    command = [sys.executable, "-m", "tests.robustness.interrupted", str(folder), str(description), *how]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


# A run that uses everything that must come back after a kill: what was kept at two losses, one of them by replaying,
# vectors that a measurement starts from, and averages that scale the steps.
RICH = dataclasses.replace(
    SMALL, net=NetworkConfig(size=6), batch_size=10, steps=4, evaluate_every=2, snapshot_losses=(0.698, 0.69, 0.0),
    seeds=Seeds(rule=7), callbacks=(Callback("curvature", 2, {"trials": 4, "products": 3, "first": 4}),),
    optimizer=Optimizer("SGD", lr=0.3, options={"momentum": 0.9}, schedule=Cosine(),
                        matched=MatchedStepSize("eprop_adaptive"), sam=SAM(0.1)),
)  # fmt: skip


@pytest.mark.slow  # as are a thousand kills of `make test-kills`
def test_killed_at_random_moments_gives_the_same_bits(tmp_path: Path) -> None:
    run = dataclasses.replace(SMALL, steps=120, evaluate_every=2)
    train(run, tmp_path / "whole", progress=False)
    killed = interrupted(tmp_path / "killed", run, "random", "0")
    assert killed >= 3
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize("apart", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_write_gives_the_same_bits(tmp_path: Path, apart: int) -> None:
    train(SMALL, tmp_path / "whole", progress=False)
    killed = interrupted(tmp_path / "killed", SMALL, "writes", str(apart))
    # The lock and 4 lines are written; run, metrics, 4 checkpoints, weights, learner and result written and renamed.
    assert killed == -(-(1 + 2 * 9 + 4) // apart)
    whole = content(tmp_path / "whole")
    for moment in range(1, 1 + 2 * 9 + 4 + 1, apart):
        assert content(tmp_path / "killed" / str(moment)) == whole, f"killed at write or rename {moment}"


@pytest.mark.slow
def test_what_was_kept_and_what_is_remembered_survive_a_kill(tmp_path: Path) -> None:
    result = train(RICH, tmp_path / "whole", progress=False)
    assert [each.loss for each in result.crossings] == [0.698, 0.69]
    assert result.crossings[0].metrics.train_loss not in [each.train_loss for each in result.metrics]
    assert 0 < result.crossings[0].metrics.step <= result.crossings[1].metrics.step < result.step
    killed = interrupted(tmp_path / "killed", RICH, "writes", "3")
    # The lock and 3 lines; run, metrics, 2 kept, 3 checkpoints, weights, learner and result written and renamed.
    assert killed == (1 + 2 * 10 + 3) // 3
    whole = content(tmp_path / "whole")
    assert {"at_loss_0.698.safetensors", "at_loss_0.69.safetensors"} < set(whole)
    for moment in range(1, 3 * killed, 3):
        assert content(tmp_path / "killed" / str(moment)) == whole, f"killed at write or rename {moment}"


@pytest.mark.parametrize(
    "forget",
    [
        lambda state: state["length"].update(inner=0.0),
        lambda state: state["length"]["rule"]["feedback"].zero_(),
        lambda state: state["watchers"][0]["ends"].copy_(torch.ones(36, 2)),
    ],
)
def test_forgetting_what_is_remembered_would_be_noticed(tmp_path: Path, forget) -> None:  # type: ignore[no-untyped-def]
    train(RICH, tmp_path / "whole", progress=False)
    with pytest.raises(StopError):
        train(RICH, tmp_path / "stopped", progress=False, observe=raise_at_step(4, 2))
    change_checkpoint(tmp_path / "stopped", forget)
    train(RICH, tmp_path / "stopped", progress=False)
    assert content(tmp_path / "stopped") != content(tmp_path / "whole")


def test_networks_are_kept_as_they_were_when_the_loss_was_first_reached(tmp_path: Path) -> None:
    """The same weights and feedback as a run that stops there, in memory, from the record, and read again."""
    plain = dataclasses.replace(SMALL, evaluate_every=1, optimizer=Optimizer(lr=0.03), steps=20)
    losses = [each.train_loss for each in train(plain, progress=False).metrics]
    loss = 1.002 * next(each for place, each in enumerate(losses) if place and each < 0.99 * min(losses[:place]))
    run = dataclasses.replace(plain, snapshot_losses=(loss,))
    stopped = train(dataclasses.replace(plain, stop_loss=loss), progress=False)
    assert 0 < stopped.step < 20
    results = [train(run, None, progress=False), train(run, tmp_path, progress=False), records.read(tmp_path)]
    for result in results:
        (crossing,) = result.crossings
        assert (crossing.loss, crossing.metrics.step) == (loss, stopped.step)
        assert crossing.metrics.train_loss == stopped.last.train_loss
        for name, value in stopped.net.state_dict().items():
            assert torch.equal(crossing.net.state_dict()[name], value), name
        for name, value in stopped.learner.state_dict().items():
            assert torch.equal(crossing.learner.state_dict()[name], value), name
        assert crossing.learner.net is crossing.net
        assert result.step == 20
        assert not torch.equal(result.net.w_rec, crossing.net.w_rec)


def test_what_was_kept_after_the_checkpoint_is_taken_back(tmp_path: Path) -> None:
    """A network written between a measurement and its checkpoint is not there before it is reached again."""
    whole = train(RICH, tmp_path / "whole", progress=False)
    at = whole.crossings[1].metrics.step
    with pytest.raises(StopError):
        train(RICH, tmp_path / "stopped", progress=False, observe=raise_at_step(at, 2))
    stray = tmp_path / "stopped" / "at_loss_0.69.safetensors"
    stray.write_bytes(b"half a file")
    with pytest.raises(StopError):
        train(RICH, tmp_path / "stopped", progress=False, observe=raise_at_step(0, 2))
    assert not stray.exists()
    train(RICH, tmp_path / "stopped", progress=False)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


class StopError(Exception):
    pass


@pytest.mark.thirds
@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop", "Rprop", "NAdam", "Adafactor", "ASGD"])
@pytest.mark.parametrize("fresh", [False, True])
def test_every_optimizer_resumes_to_the_same_bits(tmp_path: Path, name: str, fresh: bool) -> None:
    options = {"momentum": 0.9} if name == "SGD" else {}
    run = dataclasses.replace(SMALL, optimizer=Optimizer(name, lr=0.01, options=options), fresh=fresh)
    train(run, tmp_path / "whole", progress=False)
    seen = 0

    def stop_at_third(*_: object) -> dict[str, float]:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise StopError
        return {}

    with pytest.raises(StopError):
        train(run, tmp_path / "stopped", progress=False, observe=stop_at_third)
    assert not records.finished(tmp_path / "stopped")
    train(run, tmp_path / "stopped", progress=False)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_resuming_from_nothing_but_weights_would_be_noticed(tmp_path: Path) -> None:
    """The comparison above can fail: forgetting the optimizer's state changes the bits."""
    train(SMALL, tmp_path / "whole", progress=False)
    with pytest.raises(StopError):
        train(SMALL, tmp_path / "stopped", progress=False, observe=raise_at_step(6))

    def forget(state: dict[str, Any]) -> None:
        assert state["step"] == 3
        state["optimizer"]["state"] = {}

    change_checkpoint(tmp_path / "stopped", forget)
    train(SMALL, tmp_path / "stopped", progress=False)
    assert content(tmp_path / "stopped") != content(tmp_path / "whole")


def raise_at_step(step: int, every: int = SMALL.evaluate_every):  # type: ignore[no-untyped-def]
    calls = iter(range(0, 10**6, every))

    def observe(*_: object) -> dict[str, float]:
        if next(calls) >= step:
            raise StopError
        return {}

    return observe


def test_a_finished_record_is_read_and_not_trained_again(tmp_path: Path) -> None:
    first = train(SMALL, tmp_path, progress=False, observe=lambda learner, batch: {"trials": float(batch.trials)})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = train(SMALL, tmp_path, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert again.metrics == first.metrics
    assert again.last.observed == {"trials": 4.0}
    assert (again.outcome, again.step, again.run) == (first.outcome, first.step, first.run)
    for name, value in first.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)
    for name, value in first.learner.state_dict().items():
        assert torch.equal(again.learner.state_dict()[name], value)


def test_a_rule_nobody_has_named_is_recorded_too(tmp_path: Path) -> None:
    run = dataclasses.replace(SMALL, rule=Rule(Random(scale=2.0), Diagonal()))
    train(run, tmp_path, progress=False)
    assert records.read(tmp_path).run == run


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train(SMALL, tmp_path, progress=False)
    with pytest.raises(RecordError, match=r"another run: steps is 7 there, 8 here"):
        train(dataclasses.replace(SMALL, steps=8), tmp_path, progress=False)
    (tmp_path / "result.json").unlink()
    with pytest.raises(RecordError, match=r"another run: steps is 7 there, 8 here"):
        train(dataclasses.replace(SMALL, steps=8), tmp_path, progress=False)


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    with (
        Record(tmp_path, SMALL, {}),
        pytest.raises(RecordError, match=rf"in use by another process \(number {os.getpid()}\)"),
    ):
        train(SMALL, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), "holds no record: there is no run.json"),
        (lambda folder: (folder / "result.json").unlink(), "has measurements and no checkpoint; remove it"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"\0" * 20), "its size is another"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "cannot be read: No such file"),
        (lambda folder: (folder / "run.json").write_text("{"), "run.json cannot be read"),
        (
            lambda folder: (folder / "run.json").write_text('{"run": {"task": "delayed_xor"}}'),
            "run.json cannot be read: it is of format 1, and this version reads format 2 alone",
        ),
    ],
)
def test_spoilt_records_are_refused_in_one_line(tmp_path: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    train(SMALL, tmp_path, progress=False)
    spoil(tmp_path)
    with pytest.raises(RecordError, match=message) as caught:
        records.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_spoilt_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        train(SMALL, tmp_path, progress=False, observe=raise_at_step(6))
    packed = (tmp_path / "checkpoint").read_bytes()
    (tmp_path / "checkpoint").write_bytes(packed[:-5])
    with pytest.raises(RecordError, match=r"cannot resume from .*checkpoint: this is not a packed state"):
        train(SMALL, tmp_path, progress=False)


@pytest.mark.parametrize("room", [0, 40, 200, 1500, 3000])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, room: int) -> None:
    """No file may grow past ``room`` bytes; when there is room again, the run goes on to the same bits."""
    train(SMALL, tmp_path / "whole", progress=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(
            RecordError, match=f"cannot write the record in {tmp_path / 'full'}: File too large"
        ) as caught:
            train(SMALL, tmp_path / "full", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "full").glob("*.tmp"))
    for path in (tmp_path / "full").glob("*.json"):
        json.loads(path.read_text())
    metrics = tmp_path / "full" / "metrics.jsonl"
    assert not metrics.exists() or all(json.loads(line) for line in metrics.read_text().splitlines())
    train(SMALL, tmp_path / "full", progress=False)
    assert content(tmp_path / "full") == content(tmp_path / "whole")


def test_a_disk_that_fills_within_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all = files._write_all

    def fill_up(file: IO[bytes], line: bytes) -> None:
        if str(file.name).endswith("metrics.jsonl"):
            write_all(file, line[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(file, line)

    monkeypatch.setattr(files, "_write_all", fill_up)
    with pytest.raises(RecordError, match="No space left on device"):
        train(SMALL, tmp_path, progress=False)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write the record in .*: Not a directory"):
        train(SMALL, tmp_path / "file" / "record", progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(RecordError, match=r"cannot write the record in .*: Permission denied"):
        train(SMALL, tmp_path / "record", progress=False)


def test_equal_runs_have_one_name_and_every_value_changes_it() -> None:
    assert dataclasses.replace(SMALL, net=NetworkConfig(size=6, noise=0.1, tau=100)).name == SMALL.name
    changes = [
        {"task": "flip_flop"}, {"rule": "eprop"}, {"task_options": {"dt": 20}}, {"net": NetworkConfig(size=6)},
        {"optimizer": Optimizer(options={"eps": 1e-7})}, {"batch_size": 5}, {"steps": 8}, {"stop_loss": 0.1},
        {"fresh": True}, {"n_train": 11}, {"n_test": 7}, {"evaluate_every": 4}, {"seeds": Seeds(rule=1)},
        {"held_out": 2},
        {"snapshot_losses": (0.3, 0.2)}, {"callbacks": (Callback("curvature", 2, {"trials": 5}),)},
        {"device": "cuda"}, {"dtype": "float64"}, {"agent": Agent(), "task": "PerceptualDecisionMaking-v0"},
        {"loss": "focal"},
    ]  # fmt: skip
    changed = [dataclasses.replace(SMALL, **change) for change in changes]  # type: ignore[arg-type]
    assert {next(iter(change)) for change in changes} == {each.name for each in dataclasses.fields(Run)}
    assert len({run.name for run in (SMALL, *changed)}) == len(changed) + 1
    for run in changed:
        assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run
        assert hash(run) == hash(Run.from_json(run.to_json()))


def test_the_name_stays_the_same_from_process_to_process(tmp_path: Path) -> None:
    program = "from tests.tca.experiments.records.test_records import SMALL; print(SMALL.name)"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == SMALL.name


@pytest.mark.parametrize("name", tca.RULES)
def test_a_run_writes_down_every_rule_with_all_its_parts(name: str) -> None:
    """A rule that is given, not named, comes back from JSON as it was; nothing but the library's classes is built."""
    rule = tca.RULES[name]
    run = tca.Run("delayed_xor", rule=tca.Rule(rule.signal, rule.eligibility))
    values = json.loads(json.dumps(run.to_json()))
    assert tca.Run.from_json(values) == run
    values["rule"]["signal"]["class"] = "subprocess.Popen"
    with pytest.raises(ValueError, match="signal must be a class of Signal"):
        tca.Run.from_json(values)


def test_a_run_describes_any_network() -> None:
    """The kind and its options come back from JSON; an unknown option and a value that is no network are named."""
    run = tca.Run("images", net=tca.NetworkConfig("mlp", {"sizes": [8, 4]}), steps=2, n_train=40, n_test=20)
    assert tca.Run.from_json(json.loads(json.dumps(run.to_json()))) == run
    assert not {"n_in", "n_out", "dt", "seed", "device", "dtype"} & run.net.options.keys()
    assert tca.train(run, progress=False).step == 2
    layers = [{"conv": 3, "kernel": 2, "then": ["max_pool"]}, {"dense": 5, "then": [{"dropout": {"share": 0.2}}]}]
    found = tca.NetworkConfig("cnn", {"layers": layers}).build(3 * 8 * 8, 4, dt=1.0, seed=7)
    made = [ConvLayer(3, 2, then=(MaxPool(),)), DenseLayer(5, (Dropout(0.2),))]
    wanted = CNN((3, 8, 8), made, 4, seed=7)
    noise, inputs = wanted.draw_noise(1, 2), torch.ones(1, 2, 192)
    assert torch.equal(found(inputs, found.draw_noise(1, 2)), wanted(inputs, noise))
    for wrong, kind, message in (
        ({"kind": "mlp", "options": {"sizes": [3], "seed": 1}}, ValueError, "unknown option of MLP 'seed'"),
        ({"kind": "mlp", "options": {"sizs": [3]}}, ValueError, "did you mean 'sizes'"),
        ({"kind": "cnn", "options": {}}, ValueError, "needs the option 'layers'"),
    ):
        with pytest.raises(kind, match=message):
            tca.NetworkConfig(**wrong)
    with pytest.raises(TypeError, match="net must be a NetworkConfig, got 7"):
        tca.Run("images", net=7)


def test_every_changed_byte_of_a_packed_state_is_noticed() -> None:
    """Of tensors, whose values have no other guard, and of what stands beside them."""
    packed = pack({"step": 3, "moment": torch.arange(3.0, dtype=torch.float64)})
    values = packed.index(torch.arange(3.0, dtype=torch.float64).numpy().tobytes())
    for place in (*range(values, len(packed)), packed.index(b"3", packed.index(b"step"))):
        changed = bytearray(packed)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="not a packed state"):
            unpack(bytes(changed))
