"""Records say which options of images took effect, and on how many of them; names of runs do not depend on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
import tca
from tasks.images import pixels
from tca.__main__ import main
from tca.experiments.records.files import RecordError
from tca.experiments.records.reader import look, read_description
from tca.experiments.records.sealed_json import sealed
from tests.support.image_sets import drawn, write, write_table

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.usefixtures("image_folders"), pytest.mark.filterwarnings("ignore::UserWarning")]
TRAIN, TEST = (
    [0, 1, 2, 1, 3, 4, 1, 5],
    [6, 1, 6, 3],
)  # which of seven pictures is where; all but the last are seen through
CLASSES = {0: 3, 1: 10_985, 2: 3, 3: 3, 4: 10_985, 5: 3, 6: 10_985}


def trained(tmp_path: Path, **options: Any) -> tuple[tca.Run, dict[str, Any]]:
    """Return a run on the pictures, and what its record says of them."""
    pictures = drawn(7, 4, 4, 4)
    pictures[:6, 0, 0, 3], pictures[6, :, :, 3] = 7, 255
    for split, numbers in (("train", TRAIN), ("test", TEST)):
        labels = [CLASSES[number] for number in numbers]
        if split == "train":
            labels[3] = 3  # of picture 1, whose other copies are of the other class
        write_table(
            tmp_path / "set" / f"{split}.parquet", {"image": [pictures[each] for each in numbers], "label": labels}
        )
    given = {"name": "set", "data_dir": str(tmp_path), **options}
    run = tca.Run(
        "images",
        "backprop",
        task_options=given,
        net=tca.NetworkConfig("mlp", {"sizes": [3]}),
        steps=1,
        n_train=2,
        n_test=2,
        batch_size=2,
        evaluate_every=1,
    )
    tca.train(run, run.folder(tmp_path / "runs"), progress=False)
    written = json.loads((run.folder(tmp_path / "runs") / "run.json").read_text())
    assert written["run"] == run.to_json()
    return run, written.get("data", {})


def test_the_default_background_counts_and_renumbered_classes_are_recorded_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted by hand: 8 training and 2 test images are seen through; picture 1 comes 3 times, it and 3 are tested."""
    run, data = trained(tmp_path)
    assert "decoded" in data
    decoded = data.pop("decoded")
    assert (decoded["count"], len(decoded["sha256"])) == (12, 64)
    assert data == {
        "set": "set",
        "images": {"train": 8, "validation": 0, "test": 4},
        "background": "#ffffff",
        "transparent": 10,
        "dedupe": False,
        "copies": {"test": 2, "train": 2, "under_another_class": 1, "validation": 0},
        "classes": ["3", "10985"],
    }
    assert "background" not in run.to_json()["task_options"]
    capsys.readouterr()
    assert main(["show", str(run.folder(tmp_path / "runs"))]) == 0
    chapter = capsys.readouterr().out.split("\n\n")[1].splitlines()
    entries = dict(line.split(maxsplit=1) for line in chapter[1:])
    assert chapter[0] == "data"
    assert (entries.pop("decoded.count"), entries.pop("decoded.sha256")) == ("12", decoded["sha256"])
    assert entries == {
        "set": "set", "images.train": "8", "images.validation": "0", "images.test": "4", "background": "#ffffff",
        "transparent": "10", "dedupe": "false", "copies.test": "2", "copies.train": "2",
        "copies.under_another_class": "1", "copies.validation": "0", "classes": '["3", "10985"]',
    }  # fmt: skip


@pytest.mark.parametrize("changed", ["pixel", "class", "test", "none"])
def test_a_resume_with_other_images_is_refused(changed: str, tmp_path: Path) -> None:
    """One pixel, or one class, of a training or test image; the same images in other files go on."""
    pictures, labels = drawn(6, 4, 4), [0, 1, 2, 0, 1, 2]
    write(tmp_path / "set" / "train.parquet", pictures, labels)
    write(tmp_path / "set" / "test.parquet", pictures[:3], labels[:3])
    net = tca.NetworkConfig("mlp", sizes=[3])
    sizes: dict[str, Any] = {"steps": 2, "n_train": 4, "n_test": 2, "evaluate_every": 1}
    run = tca.Run("images", "backprop", task_options={"name": "set", "data_dir": str(tmp_path)}, net=net, **sizes)
    calls: list[int] = []

    def stop(learner: tca.Learner, batch: tca.Batch) -> dict[str, float]:
        calls.append(1)
        return {"inverse": 1 / (2 - len(calls))}

    with pytest.raises(ZeroDivisionError):
        tca.train(run, tmp_path / "run", progress=False, observe=stop)
    pictures[5 if changed == "pixel" else 0, 1, 1] ^= int(changed in ("pixel", "test"))
    labels[3] = 1 if changed == "class" else 0
    part, count = ("test", 3) if changed == "test" else ("train", 6)
    (tmp_path / "set" / f"{part}.parquet").unlink()
    write(tmp_path / "set" / f"{part}.parquet", pictures[:count], labels[:count])
    if changed == "none":
        assert tca.train(run, tmp_path / "run", progress=False).step == 2
    else:
        with pytest.raises(RecordError, match=r"is of other data: decoded had SHA-256 '.*' when the run began, .* now"):
            tca.train(run, tmp_path / "run", progress=False)


def test_a_background_and_the_images_that_dedupe_leaves_are_recorded(tmp_path: Path) -> None:
    """Pictures 0, 2, 4 and 5 are neither tested nor doubled; what the files hold is counted all the same."""
    _, data = trained(tmp_path, background="black", dedupe=True)
    assert (data["background"], data["dedupe"], data["images"]["train"]) == ("#000000", True, 4)
    assert data["copies"] == {"test": 2, "train": 2, "under_another_class": 1, "validation": 0}


def test_held_out_images_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    """Against the pixels of the pools themselves."""
    run, data = trained(tmp_path, validation=5)
    task: Any = run.make_task()
    shown = {part: [task.data.train.images[place].tobytes() for place in task._pools[part]]
             for part in ("train", "validation")}  # fmt: skip
    expected = sum(each in shown["train"] for each in shown["validation"])
    assert data["copies"]["validation"] == expected > 0
    assert data["images"] == {"train": 3, "validation": 5, "test": 4}


def test_classes_that_are_their_numbers_and_very_many_names_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tasks.make("images").provenance["classes"] == 10
    trained(tmp_path)
    task = tasks.images("set", data_dir=str(tmp_path))
    monkeypatch.setattr(pixels, "LONGEST_NAMES", 6)  # characters of "3" and "10985"
    assert task.provenance["classes"] == ["3", "10985"]
    monkeypatch.setattr(pixels, "LONGEST_NAMES", 5)
    assert task.provenance["classes"] == 2


def test_tasks_that_draw_their_trials_record_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tca.train(tca.Run("delayed_xor", steps=1, n_train=4, n_test=4), tmp_path, progress=False)
    assert "data" not in json.loads((tmp_path / "run.json").read_text())
    capsys.readouterr()
    assert main(["show", str(tmp_path)]) == 0
    assert "\ndata\n" not in capsys.readouterr().out


@pytest.mark.parametrize("data", [[], "white", 3, None])
def test_facts_that_are_no_dictionary_are_refused_in_a_line(tmp_path: Path, data: object) -> None:
    tca.train(tca.Run("delayed_xor", steps=1, n_train=4, n_test=4), tmp_path, progress=False)
    values = json.loads((tmp_path / "run.json").read_text())
    rest = {name: each for name, each in values.items() if name not in ("format", "name", "sha256")}
    (tmp_path / "run.json").write_text(json.dumps(sealed(values["name"], {**rest, "data": data})))
    for read in (read_description, look):
        with pytest.raises(RecordError, match=r"run\.json cannot be read: .*items") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_record_is_of_pixels_not_of_modes(tmp_path: Path) -> None:
    """Images with an alpha channel that is opaque everywhere count as opaque."""
    pictures = drawn(2, 3, 3, 4)
    pictures[..., 3] = 255
    for split, each in zip(("train", "test"), pictures, strict=True):
        write_table(tmp_path / "set" / f"{split}.parquet", {"image": [np.asarray(each)], "label": [0]})
    assert tasks.images("set", data_dir=str(tmp_path)).provenance["transparent"] == 0
