"""Own tasks by object, name and import path: in `make`, runs, records, comparisons and the commands."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import tasks
import tca
from tasks.own.registry import REGISTERED
from tca.experiments.records.files import RecordError
from tca.utils.class_paths import UntrustedNameError
from tests.tasks.own import user_tasks
from tests.tasks.own.user_tasks import Doubled, Sides, made

HERE = "tests.tasks.own.user_tasks"
SMALL = {"n_train": 16, "n_test": 8, "steps": 4, "evaluate_every": 2}
DATASET = TensorDataset(torch.randn(40, 5, 2), torch.arange(40) % 2)


def small(task: object, **options: object) -> tca.Run:
    return tca.Run(task, net={"size": 6}, **{**SMALL, **options})


@pytest.mark.thirds
@pytest.mark.parametrize(
    "source",
    [
        made(), (made(20), made(20, 0.1)), DATASET, Doubled(), Doubled, made, Sides, Sides(),
        tasks.FixedTask(made(), dt=5.0),
        f"{HERE}:Doubled", f"{HERE}.made", f"{HERE}:fixed", f"{HERE}:Sides",
    ],
    ids=["trials", "two sets", "dataset", "task of own", "class", "function", "task class", "task", "fixed task",
         "path of a task", "path of a function", "path of trials", "path of a class"],
)  # fmt: skip
def test_whatever_yields_trials_trains(source: object) -> None:
    result = tca.train(small(source), progress=False)
    assert (result.outcome, result.step) == ("completed", 4)
    assert tca.train(small(source), progress=False).metrics[-1].train_loss == result.metrics[-1].train_loss
    fresh = tca.train(small(source, fresh=True), progress=False)
    assert fresh.step == 4


def test_trials_of_own_tasks_are_what_was_given() -> None:
    train, test = tasks.make(made()).split(25, 15, seed=3)
    numbers = [each.batch().info["number"].tolist() for each in (train, test)]
    assert sorted(numbers[0] + numbers[1]) == list(range(40))
    whole = made().batch()
    assert torch.equal(train.batch().inputs, whole.inputs[:, numbers[0]])
    again = tasks.make(made()).split(25, 15, seed=3)[0].batch()
    assert torch.equal(again.inputs, train.batch().inputs)
    stream = tasks.make(made()).stream(16, seed=0)
    epoch = np.concatenate([next(stream).info["number"] for _ in range(3)])
    assert sorted(epoch.tolist()) == list(range(40))
    later = next(tasks.make(made()).stream(16, seed=0, start=4))
    for _ in range(1):
        next(stream)
    assert later.info["number"].tolist() == next(stream).info["number"].tolist()


def test_environments_of_the_user() -> None:
    gymnasium.register("UserSides-v0", entry_point=f"{HERE}:Sides")
    try:
        for source, options in (
            (Sides, {"strength": 3.0}),
            ("UserSides-v0", {"strength": 3.0}),
            (Sides(strength=3.0), {}),
        ):
            task = tasks.make(source, **options)
            batch = task.split(20, 1, seed=0)[0].batch()
            assert (task.n_in, task.n_out, task.dt, task.chance) == (2, 3, 100.0, 0.5)
            assert (batch.inputs[0].argmax(1).numpy() == batch.info["side"]).all()
            assert float(batch.inputs.max()) == 3.0
            assert (batch.targets[-1].numpy() == batch.info["ground_truth"]).all()
        assert small("UserSides-v0").make_task().provenance["first_trials"]["count"] == 8
        env = tasks.make(Sides).environments(2, seed=0)
        assert len(env) == 2
    finally:
        del gymnasium.registry["UserSides-v0"]
    with pytest.raises(ValueError, match=r"CartPoleEnv can not be supervised: it is no neurogym.TrialEnv"):
        tasks.make(gymnasium.make("CartPole-v1").unwrapped)
    with pytest.raises(ValueError, match="it takes no options"):
        tasks.make(Sides(), strength=2.0)
    with pytest.raises(ValueError, match="unknown option of Sides 'strenght', did you mean 'strength'"):
        tasks.make(Sides, strenght=2.0)


def test_registered_tasks_have_their_import_path_in_records(tmp_path: Path) -> None:
    tasks.register("doubled", Doubled)
    assert "doubled" in tasks.list()
    assert tasks.describe("doubled") == "Say twice the input."
    run = small("doubled", task_options={"factor": 3.0})
    assert run.make_task().factor == 3.0
    values = run.to_json()
    assert (values["task"], values["task_options"]) == (f"{HERE}.Doubled", {"factor": 3.0})
    assert tca.Run.from_json(values) == run
    tca.train(run, run.folder(tmp_path), progress=False)
    recorded = json.loads((run.folder(tmp_path) / "run.json").read_text())
    assert "first_trials" in json.dumps(recorded)
    del REGISTERED["doubled"]
    assert tca.Run.from_json(values).name == run.name


@pytest.mark.slow
def test_a_task_by_import_path_reads_back_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "my_tasks.py").write_text(Path(user_tasks.__file__).read_text())
    code = (
        "import tca; from tca.experiments.config.run import Run\n"
        "run = Run('my_tasks:made', net={'size': 4}, n_train=16, n_test=8, steps=2)\n"
        "tca.train(run, run.folder('runs'), progress=False); print(run.folder('runs').name)"
    )
    name = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    values = json.loads((tmp_path / "runs" / name.stdout.strip() / "run.json").read_text())
    run = values.get("run") or values["values"]["run"]
    with pytest.raises(UntrustedNameError, match="task 'my_tasks:made' is not imported"):
        tca.Run.from_json(run)


def test_objects_cannot_be_named_by_a_record(tmp_path: Path) -> None:
    run = small(made())
    with pytest.raises(ValueError, match="a record must name its task, got an object of type TrialSet: define it in a"):
        tca.train(run, tmp_path / "run", progress=False)
    tasks.register("local", lambda: made())
    with pytest.raises(ValueError, match="the factory of 'local' cannot be imported"):
        small("local").to_json()


def test_a_resume_with_changed_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small(f"{HERE}:fixed")
    folder = run.folder(tmp_path)

    class StopError(Exception):
        pass

    def stop(learner: object, batch: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 3:
            raise StopError
        return {}

    calls: list[int] = []
    with pytest.raises(StopError):
        tca.train(run, folder, progress=False, observe=stop)
    changed = made(shift=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(user_tasks, "fixed", changed)
        with pytest.raises(RecordError, match=r"is of other data: trials had SHA-256 .* put the data back"):
            tca.train(small(f"{HERE}:fixed"), folder, progress=False)
    assert tca.train(run, folder, progress=False).outcome == "completed"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tasks.make("tasks.task:DrawnTask"), ValueError, "must be a class with all methods, got 'DrawnTask'"),
        (lambda: tasks.make("no_module:task"), ValueError, "task 'no_module:task' does not exist"),
        (lambda: tasks.make(f"{HERE}:Missing"), ValueError, "has no 'Missing'"),
        (lambda: tasks.make(f"{HERE}:np.pi"), TypeError, "task must be a name, an import path, a Task"),
        (lambda: tasks.make("builtins:int"), TypeError, "task must be a name, an import path, a Task, .* got <class"),
        (lambda: tasks.make("torch.nn:GRU"), TypeError, "task must be a name, an import path, a Task, .* got <class"),
        (lambda: tasks.make("os:system"), ValueError, "task 'os:system' needs the option 'command'"),
        (lambda: tasks.make(3), TypeError, "name must be a string or an object that yields trials"),
        (lambda: tasks.make(made(), dtt=1.0), ValueError, "type TrialSet 'dtt', did you mean 'dt'"),
        (lambda: tasks.make(Doubled(), dt=1.0), ValueError, "task_options must be empty"),
        (lambda: tasks.make(Doubled, facto=1.0), ValueError, "did you mean 'factor'"),
        (lambda: tasks.register("delayed_xor", Doubled), ValueError, "name must not be that of a task"),
        (lambda: tasks.register("a b", Doubled), ValueError, "name must consist of letters"),
        (lambda: tasks.register("mine", "nothing"), ValueError, "factory must be a class, a function or"),
        (lambda: tasks.FixedTask(made()).split(30, 11, 0), ValueError, r"add up to at most 40, .* got 30 \+ 11"),
        (lambda: tasks.FixedTask(made(9), made(8)).split(9, 9, 0), ValueError, "n_test must be at most 8"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_names_of_environments_with_dots_are_no_import_paths() -> None:
    run = tca.Run("yang19.dms-v0", steps=1, n_train=2, n_test=2)
    assert tca.Run.from_json(run.to_json()) == run
