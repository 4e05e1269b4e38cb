"""Loggers receive every measurement once, from Python and from every command that trains."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tca
from tca.__main__ import main
from tca.experiments import records
from tca.experiments.loggers import LOGGERS, Logger, TensorBoard, WandB, loggers_of
from tca.experiments.loggers.logger import Writer
from tca.experiments.records.result import Metrics
from tca.experiments.sweep import sweep

RUN = tca.Run("delayed_xor", "eprop", net=tca.NetworkConfig(size=4), steps=4, n_train=6, n_test=5, evaluate_every=1)
WORDS = ["--net.size=4", "--steps=4", "--n_train=6", "--n_test=5", "--evaluate_every=1", "--quiet"]
HERE = f"{__name__}:Lines"


@dataclass(frozen=True)
class Lines(Logger):
    """A logger of a user: a line of JSON for each measurement beside the record."""

    @contextlib.contextmanager
    def writing(self, run: tca.Run, folder: Path | None) -> Iterator[Writer]:
        assert folder is not None
        with open(folder.parent / f"{folder.name}.jsonl", "w") as file:
            yield lambda metrics: print(json.dumps(metrics.to_json()), file=file)


def written(folder: Path) -> list[Metrics]:
    """Return the measurements that `Lines` received of a run."""
    log = folder.parent / f"{folder.name}.jsonl"
    return [Metrics.from_json(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def interrupted(folder: Path) -> None:
    """Train a run up to its third measurement."""
    seen = iter(range(3))

    def stop(*_: object) -> dict[str, float]:
        if next(seen) == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        tca.train(RUN, folder, progress=False, observe=stop, loggers=[Lines()])


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard reads from a folder of event files, by name."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(folder)).Reload()
    return {name: [(each.step, each.value) for each in found.Scalars(name)] for name in found.Tags()["scalars"]}


def sent(file: Path) -> Iterator[str]:
    """Yield settings and measurements that W&B wrote to a file: records of a log of LevelDB in its first block."""
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    content, place = file.read_bytes(), 7
    assert content[:4] == b":W&B"
    assert len(content) < 1 << 15
    while place < len(content):
        _, length, kind = struct.unpack_from("<IHB", content, place)
        assert kind == 1
        record = proto.Record.FromString(content[place + 7 : place + 7 + length])
        place += 7 + length
        if record.HasField("run"):
            yield json.dumps({"name": record.run.display_name, "id": record.run.run_id, "project": record.run.project})
        elif record.HasField("history"):
            items = {each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.history.item}
            yield json.dumps(items)


def test_every_measurement_is_written_once_also_after_an_interruption(tmp_path: Path) -> None:
    folder = RUN.folder(tmp_path)
    interrupted(folder)
    assert [each.step for each in written(folder)] == [0, 1]
    result = tca.train(RUN, folder, progress=False, loggers=HERE)
    assert tuple(written(folder)) == result.metrics
    (tmp_path / f"{folder.name}.jsonl").unlink()
    tca.train(RUN, folder, progress=False, loggers=HERE)
    assert not (tmp_path / f"{folder.name}.jsonl").exists(), "a finished record is not logged again"


def test_training_without_a_record_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    result = tca.train(RUN, progress=False, loggers="tensorboard")
    found = scalars(Path("runs") / "tensorboard" / RUN.folder("runs").name)
    assert [step for step, _ in found["test_loss"]] == [each.step for each in result.metrics]
    assert [each.name for each in tmp_path.iterdir()] == ["runs"]


def test_tensorboard_has_the_numbers_of_the_record(tmp_path: Path) -> None:
    """A resumed run is one curve; numbers that are missing are left out."""
    pytest.importorskip("tensorboard")
    folder = RUN.folder(tmp_path)
    interrupted(folder)
    result = tca.train(RUN, folder, progress=False, observe=lambda *_: {"three": 3.0}, loggers=[TensorBoard()])
    found = scalars(tmp_path / "tensorboard" / folder.name)
    assert set(found) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "elapsed", "three"}
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        wanted = [(each.step, pytest.approx(getattr(each, name), rel=1e-6)) for each in result.metrics]
        assert found[name] == wanted
    assert [step for step, _ in found["three"]] == [2, 3, 4]


@pytest.mark.slow  # starts a service
def test_wandb_offline_has_the_numbers_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself in offline mode, in a process of its own, whose file is read back."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    words = [sys.executable, "-m", "tca", "train", "delayed_xor", "--rule=eprop", *WORDS, "--logger=wandb"]
    subprocess.run([*words, f"--folder={tmp_path}"], check=True, cwd=tmp_path, capture_output=True)
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*-{RUN.name}/*.wandb")
    rows = [json.loads(text) for text in sent(file)]
    names = [row for row in rows if "id" in row]
    history = [row for row in rows if "_step" in row]
    assert names[0] == {"name": RUN.folder(tmp_path).name, "id": RUN.name, "project": "tca"}
    metrics = records.read(RUN.folder(tmp_path)).metrics
    assert [(each["_step"], each["test_loss"]) for each in history] == [(one.step, one.test_loss) for one in metrics]


def test_every_command_that_trains_takes_loggers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [f"--logger={HERE}", *WORDS]
    assert main(["train", "delayed_xor", "--rule=eprop", f"--folder={tmp_path / 'one'}", *sizes]) == 0
    assert tuple(written(RUN.folder(tmp_path / "one"))) == records.read(RUN.folder(tmp_path / "one")).metrics
    words = ["--tasks=delayed_xor", "--rules=bptt,eprop", "--seeds=1", "--curvature_trials=5", "--workers=1"]
    assert main(["compare", *words, f"--folder={tmp_path / 'two'}", *sizes]) == 0
    logs = list((tmp_path / "two" / "runs").glob("*.jsonl"))
    assert len(logs) == 2
    for log in logs:
        assert tuple(written(log.with_suffix(""))) == records.read(log.with_suffix("")).metrics
    (tmp_path / "runs_of.py").write_text(
        "import tca\ndef runs():\n    yield tca.Run('delayed_xor', 'eprop', net=tca.NetworkConfig(size=4), steps=4, "
        "n_train=6, n_test=5, evaluate_every=1)\n"
    )
    words = ["sweep", str(tmp_path / "runs_of.py"), f"--folder={tmp_path / 'three'}", "--scheduler=here", "--quiet"]
    assert main([*words, f"--logger={HERE}"]) == 0
    assert len(written(RUN.folder(tmp_path / "three"))) == 5
    interrupted(RUN.folder(tmp_path / "four"))
    assert main(["resume", str(RUN.folder(tmp_path / "four")), f"--logger={HERE}", "--quiet"]) == 0
    assert len(written(RUN.folder(tmp_path / "four"))) == 5
    capsys.readouterr()


def test_workers_of_a_sweep_write_logs(tmp_path: Path) -> None:
    (each,) = sweep([RUN], tmp_path, "processes", progress=False, loggers=[Lines()])
    assert each.outcome == "completed"
    assert tuple(written(each.folder)) == each.result().metrics


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_an_extra_that_is_missing_is_one_line_before_training(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (package, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install 'temporal-credit-assignment"):
        loggers_of([name])
    assert main(["train", "delayed_xor", f"--logger={name}", f"--folder={tmp_path / 'runs'}", *WORDS]) == 2
    remedy = f"pip install 'temporal-credit-assignment[{name}]'"
    assert capsys.readouterr().err == f"tca: logger '{name}' needs the extra `{name}`: {remedy}\n"
    assert not (tmp_path / "runs").exists()


def test_names_of_loggers() -> None:
    assert loggers_of(HERE) == (Lines(),)
    assert loggers_of([Lines(), HERE]) == (Lines(), Lines())
    with pytest.raises(ValueError, match="unknown logger 'tensorbord', did you mean 'tensorboard'"):
        loggers_of("tensorbord")
    with pytest.raises(TypeError, match="logger must be a name or a Logger, got PosixPath"):
        loggers_of("pathlib:Path")
    with pytest.raises(TypeError, match="loggers must"):
        tca.train(RUN, progress=False, loggers=3)  # type: ignore[arg-type]
    assert set(LOGGERS) == {"tensorboard", "wandb"}
    assert {each.__name__ for each in (TensorBoard, WandB)} == {path.rpartition(":")[2] for path in LOGGERS.values()}
