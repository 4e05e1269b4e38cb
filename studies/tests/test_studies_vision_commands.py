"""What the commands about images are asked for: names, numbers, folders, refused before anything is trained."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from studies import published_vision
from studies.published_vision import Outcome
from studies.vision import __main__ as study
from studies.vision.published import CELLS
from studies.vision.vision_cells import SIZES, Scale
from studies.vision.vision_plan import MNIST, PANELS, Panel
from tca.experiments.training.training_loop import TrainingLoop

CELL = "ebd/cifar10/MLP/DFA"
TINY = Panel("digits", "MLP", "mlp", {"sizes": [6]}, {"name": "digits"}, 20, 12, 8, 1, 1, 0)
TINY_MNIST = dataclasses.replace(TINY, images="MNIST", task_options={"name": "mnist"})


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the folders of who runs it, nor leaves its own to the next."""
    monkeypatch.setenv("TCA_DATA", "")
    monkeypatch.setenv("TCA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training fail the test."""
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained"))


@pytest.fixture
def write_set() -> Any:
    """Return what writes a set of images to a folder, of ten classes."""
    pytest.importorskip("datasets")
    from tests.tasks.images.test_files import drawn, write_set

    def write(folder: Path, train: int, test: int, *shape: int, classes: int = 10) -> None:
        names = [f"{number}" for number in range(classes)]
        write_set(folder, drawn(train, *shape), drawn(test, *shape, seed=1), classes=names)

    return write


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a table."""
    return list(csv.DictReader(path.read_text().splitlines()))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line that a command ended with."""
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/nope", "--images", "MNIST"], "argument --data: must be a folder that is there, got /nope"),
        (["--data", "{here}"], "MNIST is not here: there should be {here}/mnist/train.parquet"),
        (["--images", "MNIST"], "--images MNIST needs a folder of image data: give --data or the variable TCA_DATA"),
        (["--images", "MNITS"], "--images must be among digits, distorted digits, got MNITS"),
        (["--seeds", "0"], "argument --seeds: must be a whole number of at least 1, got 0"),
        (["--seeds", "two"], "argument --seeds: must be a whole number of at least 1, got two"),
        (
            ["--networks", "vector MLP", "--rules", "SBD"],
            "none of these rules belongs into one of these networks on these images: "
            "--networks vector MLP; --rules SBD",
        ),
        (
            ["--images", "distorted digits", "--networks", "CNN"],
            "none of these rules belongs into one of these networks on these images: "
            "--images distorted digits; --networks CNN",
        ),
    ],
)
def test_the_study_refuses_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """The option, what came and what is allowed; no table is written."""
    with pytest.raises(SystemExit) as e:
        study.main([f"--out={tmp_path}/out", *(each.format(here=tmp_path) for each in words)], PANELS)
    assert e.value.code == 2
    assert f"error: {message.format(here=tmp_path)}" in said(capsys)
    assert not list((tmp_path / "out").rglob("*.csv"))


@pytest.mark.usefixtures("untrained")
def test_a_study_without_a_run_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the library lacks all that is asked for there is no table."""
    arm = dataclasses.replace(study.ARMS[0], rule="unheard")
    with pytest.raises(SystemExit):
        study.main([f"--out={tmp_path}"], [TINY], [arm])
    assert "error: left out, as the library lacks the rule 'unheard'" in said(capsys)


def test_mnist_is_there_by_name_or_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_set: Any
) -> None:
    """With the variable it is run if it is named; with ``--data`` always."""
    from tests.tasks.images.test_files import small

    assert {each.images for each in MNIST} == {"MNIST"}
    monkeypatch.setattr(study, "MNIST", (TINY_MNIST,))
    small(monkeypatch, "mnist", 24, 12)
    write_set(tmp_path / "data" / "mnist", 24, 12, 28, 28, classes=3)

    def images_of(*words: str) -> list[str]:
        assert study.main([f"--out={tmp_path}", "--seeds=1", "--rules", "BP", *words], [TINY]) == 0
        return [each["images, network"] for each in rows_of(tmp_path / "vision.csv")]

    monkeypatch.setenv("TCA_DATA", str(tmp_path / "data"))
    assert images_of("--images", "MNIST") == ["MNIST, MLP"]
    assert images_of() == ["digits, MLP"]
    monkeypatch.setenv("TCA_DATA", "")
    assert images_of("--data", str(tmp_path / "data")) == ["digits, MLP", "MNIST, MLP"]


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"CIFAR-10 is not here: .* name its folder by --data or the variable TCA_DATA"),
        (["--data", "/nope"], "argument --data: must be a folder that is there, got /nope"),
        (["--epochs", "0"], "argument --epochs: must be a whole number of at least 1, got 0"),
        (["--train", "0"], "argument --train: must be a whole number of at least 1, got 0"),
        (["--test", "0"], "argument --test: must be a whole number of at least 1, got 0"),
        (["--thin", "0"], "argument --thin: must be a whole number of at least 1, got 0"),
        (["--thin", "-3"], "argument --thin: must be a whole number of at least 1, got -3"),
        (["--batch", "0"], "argument --batch: must be a whole number of at least 1, got 0"),
        (["--seeds", "0"], "argument --seeds: must be a whole number of at least 1, got 0"),
        (["--workers", "0"], "argument --workers: must be a whole number of at least 1, got 0"),
        (["--lr", "0"], "argument --lr: must be a finite number greater than 0, got 0"),
        (["--lr", "nan"], "argument --lr: must be a finite number greater than 0, got nan"),
        (["--train", "50001"], r"n_train \(--train\) must be at most 50000, the images of cifar10, got 50001"),
        (["--test", "10001"], r"n_test \(--test\) must be at most 10000, the images of cifar10, got 10001"),
        (
            ["--images", "digits"],
            r"images must have the shape \(3, 32, 32\) and 10 classes, as cifar10 in cell ebd/cifar10/MLP/DFA, "
            r"got 'digits' with the shape \(1, 8, 8\) and 10 classes",
        ),
        (["--images", "digitz"], "unknown image set 'digitz', did you mean 'digits'"),
    ],
)
def test_cells_refuse_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """The option, what came and what is allowed; missing images are said at once."""
    with pytest.raises(SystemExit) as e:
        published_vision.main(["run", CELL, f"--out={tmp_path}/out", *words])
    assert e.value.code == 2
    assert re.search(f"error: .*{message}", said(capsys))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["epochs", "n_train", "n_test", "thin", "batch_size"])
def test_how_much_is_whole_and_at_least_one(name: str) -> None:
    """Zero is not taken for all of it."""
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Scale(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer of at least 1, got 1.5"):
        Scale(**{name: 1.5})
    with pytest.raises(ValueError, match="lr must be greater than 0, got 0"):
        Scale(lr=0)


def test_another_set_has_its_own_sizes_and_the_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_set: Any
) -> None:
    """All of its images, unless fewer are asked for; a set as large as that of the cell is only named."""
    write_set(tmp_path / "data" / "part", 24, 12, 32, 32, 3)
    words = ["run", CELL, f"--out={tmp_path}", "--images=part", f"--data={tmp_path}/data", "--epochs=1", "--thin=128"]
    assert published_vision.main(words) == 0
    (row,) = rows_of(tmp_path / "published_vision.csv")
    assert row["short"] == "images part, epochs 1, training images 24, test images 12, sizes divided by 128"
    cell = CELLS[CELL]
    runs = [cell.run(0, Scale(images="part", n_train=each)) for each in (None, 10)]
    assert [(run.n_train, run.n_test) for run in runs] == [(24, 12), (10, 12)]
    assert [run.evaluate_every for run in runs] == [-(-24 // cell.batch_size), -(-10 // cell.batch_size)]
    assert runs[0].steps == cell.epochs * runs[0].evaluate_every
    assert runs[0].task_options["name"] == "part"
    with pytest.raises(ValueError, match=r"n_train .* must be at most 24, the images of part, got 25"):
        cell.run(0, Scale(images="part", n_train=25))
    with pytest.raises(ValueError, match=r"n_test .* must be at most 12, the images of part, got 13"):
        cell.run(0, Scale(images="part", n_test=13))
    monkeypatch.setitem(SIZES, "cifar10", (24, 12))
    assert cell.fitted(Scale(images="part")).title == "images part"
    write_set(tmp_path / "data" / "three", 6, 3, 32, 32, 3, classes=3)
    with pytest.raises(ValueError, match=r"10 classes, .* got 'three' with the shape \(3, 32, 32\) and 3 classes"):
        cell.run(0, Scale(images="three"))
    (tmp_path / "data" / "part" / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="the images 'part' cannot be used"):
        cell.run(0, Scale(images="part"))


def test_rules_of_one_network_are_compared_in_the_published_order_where_seeds_are_enough() -> None:
    """Not across networks or shortened settings, and not with four seeds."""
    means = {"ebd/cifar10/MLP/DFA": 40.0, "ebd/cifar10/MLP/BP": 50.0, "ebd/cifar10/MLP/EBD": 45.0}
    found = [Outcome(cell, "epochs 2", seed, mean + 0.1 * seed * (1 + (cell > "ebd/cifar10/MLP/E")))
             for cell, mean in means.items() for seed in range(5)]  # fmt: skip
    found += [Outcome("ebd/cifar10/CNN/BP", "epochs 2", seed, 60.0) for seed in range(5)]
    found += [Outcome("ebd/cifar10/MLP/DFA + entropy", "epochs 2", seed, 70.0) for seed in range(4)]
    rows = published_vision.order(found).rows
    assert [row[0] for row in rows] == ["ebd/cifar10/MLP: BP above EBD", "ebd/cifar10/MLP: EBD above DFA"]
    assert [row[1] for row in rows] == ["5", "5"]
    assert [row[2] for row in rows] == ["+4.8 [+4.6, +5.0]", "+5.2 [+5.0, +5.4]"]  # deviation .158, t 2.776
    assert [row[-1] for row in rows] == ["**holds**", "**holds**"]
