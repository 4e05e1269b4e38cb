"""Images as sequences: every step holds the row, column or pixel that it should, and counts where it should."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import tasks
from tasks.images import Shift
from tasks.images.pixels import ImageData, Pixels, originals
from tasks.images.sequential_images import SequentialImages
from tasks.seeds import STREAM, TRAIN, generator
from tca.losses import MSE

HEIGHT, WIDTH = 4, 3


def task_of(channels: int, **options: Any) -> SequentialImages:
    """A task of eight images that are in memory."""
    images = np.random.default_rng(0).integers(0, 256, (8, channels, HEIGHT, WIDTH), np.uint8)
    pixels = Pixels(images, np.arange(8) % 3)
    task = SequentialImages(**options)
    vars(task)["data"] = ImageData("small", pixels, pixels, ("a", "b", "c"), originals(images, images))
    return task


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("by", ["rows", "columns", "pixels"])
def test_every_step_shows_its_part_of_the_image(channels: int, by: str) -> None:
    task = task_of(channels, by=by, dt=10.0, frame=20.0, blank=30.0, cue=True)
    trials, _ = task.split(8, 1, seed=0)
    batch = trials.to(dtype=torch.float64).batch()
    batch.check(task.n_in, task.n_out)
    parts = {"rows": HEIGHT, "columns": WIDTH, "pixels": HEIGHT * WIDTH}[by]
    assert batch.steps == trials.steps == 2 * parts + 3
    for place, number in enumerate(trials.chosen_N.tolist()):
        image = task.data.train.images[number] / 255
        for step in range(batch.steps):
            wanted = np.zeros(task.n_in)
            if step >= 2 * parts:
                wanted[-1] = 1
            else:
                part = step // 2
                shown = {
                    "rows": lambda image=image, part=part: np.concatenate([channel[part] for channel in image]),
                    "columns": lambda image=image, part=part: np.concatenate([channel[:, part] for channel in image]),
                    "pixels": lambda image=image, part=part: image[:, part // WIDTH, part % WIDTH],
                }[by]()
                wanted[:-1] = shown
            np.testing.assert_array_equal(batch.inputs[step, place].numpy(), wanted)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(
    ("answer", "weighed", "decided"),
    [("last", [6], [6]), ("blank", [4, 5, 6], [4, 5, 6]), ("all", list(range(7)), [6])],
)
def test_the_steps_that_count(loss: str, answer: str, weighed: list[int], decided: list[int]) -> None:
    task = task_of(1, answer=answer, blank=60.0, loss=loss)
    batch = task.split(8, 1, seed=0)[0].to(dtype=torch.float64).batch()
    batch.check(task.n_in, task.n_out)
    weights = torch.zeros(7, 8, dtype=torch.float64)
    weights[weighed] = 1 / len(weighed)
    torch.testing.assert_close(batch.weights, weights, atol=1e-15, rtol=0)
    assert batch.decision_steps.nonzero()[:, 0].unique().tolist() == decided
    labels = torch.from_numpy(task.data.train.labels)[task.split(8, 1, seed=0)[0].chosen_N]
    hot = torch.nn.functional.one_hot(labels, 3).double()
    for step in range(7):
        wanted = (labels if loss == "cross_entropy" else hot) * (step in weighed)
        assert torch.equal(batch.targets[step], wanted)
    outputs = torch.zeros(7, 8, 3, dtype=torch.float64)
    outputs[decided] = hot
    assert task.accuracy(outputs, batch) == 1
    outputs[decided] = hot.roll(1, -1)
    assert task.accuracy(outputs, batch) == 0


def test_without_blank_time_or_cue_there_is_nothing_but_the_image() -> None:
    task = task_of(3, by="pixels")
    batch = task.split(8, 1, seed=0)[0].batch()
    assert (batch.steps, task.n_in, task.dt, task.measure) == (12, 3, 20.0, "accuracy")
    assert isinstance(task_of(1, loss="mse").loss, MSE)


def test_augmented_and_normalised_before_they_are_read() -> None:
    options: dict[str, Any] = {"normalise": "standard", "augment": [Shift(1, 1)]}
    whole = tasks.images(**options)
    task = tasks.make("sequential_images", **options)
    at_once, by_rows = (next(each.split(50, 1, seed=0)[0].batches(9, seed=3)) for each in (whole, task))
    assert torch.equal(by_rows.inputs.transpose(0, 1).reshape(1, 9, 64), at_once.inputs)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": "row"}, ValueError, "unknown by 'row', did you mean 'rows'"),
        ({"answer": "first"}, ValueError, "unknown answer 'first'"),
        ({"answer": "blank"}, ValueError, "answer='blank' needs a blank time greater than 0, got blank=0"),
        ({"cue": True}, ValueError, "cue=True needs a blank time greater than 0"),
        ({"cue": 1}, TypeError, "cue must be True or False, got 1"),
        ({"frame": 5}, ValueError, "frame must be 0 or at least one time step"),
        ({"blank": 5}, ValueError, "blank must be 0 or at least one time step"),
        ({"blank": -1}, ValueError, "blank must be 0 or greater"),
        ({"dt": 0}, ValueError, "dt must be greater than 0"),
        ({"grey": "yes"}, TypeError, "grey must be True or False"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tasks.make("sequential_images", **options)


def test_sequential_digits_are_sequential_images_with_a_cue() -> None:
    digits = tasks.make("sequential_digits", row=40.0, decision=60.0)
    images = tasks.make("sequential_images", frame=40.0, blank=60.0, cue=True, answer="blank")
    for one, other in zip(digits.split(100, 50, seed=2), images.split(100, 50, seed=2), strict=True):
        first, second = one.batch(), other.batch()
        for part in ("inputs", "targets", "weights", "decision_steps"):
            assert torch.equal(getattr(first, part), getattr(second, part)), part
    assert (digits.n_in, digits.n_out, digits.dt) == (images.n_in, images.n_out, images.dt)


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_sequential_digits_keep_their_numbers(noise: float) -> None:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pool = torch.tensor([number for number in range(1797) if number % 3 != 2])
    task = tasks.make("sequential_digits", dt=10.0, row=20.0, decision=30.0, noise=noise)
    streamed = list(zip(range(2), task.stream(16, seed=5), strict=False))
    cases = [(generator(5, TRAIN), None, task.split(200, 9, seed=5)[0].batch())]
    cases += [(generator(5, STREAM, index), 16, batch) for index, batch in streamed]
    for source, drawn, batch in cases:
        if drawn is None:
            chosen = pool[torch.randperm(1198, generator=source)[:200]]
        else:
            chosen = pool[torch.randint(1198, (drawn,), generator=source)]
        wanted = torch.zeros(19, len(chosen), 9)
        if noise:
            wanted = torch.randn(wanted.shape, generator=source) * (noise / math.sqrt(10))
        for place, number in enumerate(chosen.tolist()):
            rows = torch.from_numpy(values[number] / 16).float().view(8, 8)
            wanted[:16, place, :8] += rows.repeat_interleave(2, 0)
        wanted[16:, :, 8] += 1
        assert torch.equal(batch.inputs, wanted)
        assert torch.equal(batch.targets[16:], torch.from_numpy(labels)[chosen].expand(3, -1))
        assert not batch.targets[:16].any()
        assert torch.equal(batch.weights[16:], torch.full((3, len(chosen)), 1 / 3))
        assert not batch.weights[:16].any()


def test_the_builder_makes_what_its_name_makes_and_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tasks.sequential_images` is a function as `tasks.images` is; what is missing is said by it, not later."""
    options: dict[str, Any] = {"by": "pixels", "blank": 80.0, "answer": "blank"}
    task = tasks.sequential_images("digits", **options)
    assert type(task) is SequentialImages
    assert task == tasks.make("sequential_images", name="digits", **options)
    assert "data" in vars(task)
    assert tasks.sequential_images() == SequentialImages()
    monkeypatch.delenv("TCA_DATA", raising=False)
    assert tasks.make("sequential_images", name="mnist").name == "mnist"
    with pytest.raises(FileNotFoundError, match="MNIST is not here"):
        tasks.sequential_images("mnist")
    with pytest.raises(ValueError, match="unknown option of sequential_images 'bye', did you mean 'by'"):
        tasks.sequential_images(bye="rows")


def test_options_are_those_of_images_in_every_form_that_json_has() -> None:
    options = {"loss": "mse", "augment": [{"class": "Shift", "vertical": 1, "horizontal": 0}], "size": [6, 5]}
    rows, at_once = (tasks.make(name, **options) for name in ("sequential_images", "images"))
    assert rows.options() == at_once.options() == options
