"""Images as a task: parts never overlap, seed and step decide every bit, pixels are bytes until a batch is made."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tasks
import tca
from tasks.images import Affine, Centred, HorizontalFlip, Images, ImageTrials, Noise, Normalisation, RandomCrop, Shift
from tasks.images.pixels import ImageData, Pixels, originals
from tasks.images.pools import chosen, order
from tasks.seeds import generator
from tasks.trials import FixedTrials
from tca.batch import Batch
from tca.experiments.training.evaluation import evaluate
from tca.losses import MSE, CrossEntropy, Logistic, Loss
from tests.support.peak import peak_bytes


def numbered(count: int, classes: int = 4, shape: tuple[int, int, int] = (1, 2, 3), seed: int = 0) -> Pixels:
    """Images whose first two bytes are their number, of random classes, none of which is missing."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, *shape), np.uint8)
    flat = images.reshape(count, -1)
    flat[:, 0], flat[:, 1] = np.arange(count) % 256, np.arange(count) // 256
    labels = np.concatenate([np.arange(classes), draw.integers(0, classes, count - classes)])
    return Pixels(images, labels.astype(np.int64))


def task_of(train: Pixels, test: Pixels, **options: Any) -> Images:
    """A task of images that are in memory."""
    task = Images(**options)
    classes = tuple(str(each) for each in range(int(train.labels.max()) + 1))
    same = originals(train.images, test.images)
    vars(task)["data"] = ImageData("numbered", train, test, classes, same)
    return task


def numbers(batch: Batch) -> list[int]:
    bytes_BI = (batch.inputs[0].double() * 255).round().long()
    return (bytes_BI[:, 0] + 256 * bytes_BI[:, 1]).tolist()


def same(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, part), getattr(other, part)) for part in ("inputs", "targets", "weights")]
    return all(torch.equal(*pair) for pair in pairs)


def test_a_trial_is_one_step_of_channels_rows_and_columns_with_weight_one() -> None:
    pixels = numbered(9, shape=(3, 2, 5))
    task = task_of(pixels, pixels)
    assert (task.shape, task.n_in, task.n_out, task.measure) == ((3, 2, 5), 30, 4, "accuracy")
    trials, _ = task.split(9, 1, seed=0)
    batch = trials.batch()
    batch.check(task.n_in, task.n_out)
    assert (batch.inputs.shape, batch.targets.shape, batch.loss) == ((1, 9, 30), (1, 9), CrossEntropy())
    assert torch.equal(batch.weights, torch.ones(1, 9))
    for place, number in enumerate(numbers(batch)):
        np.testing.assert_array_equal(
            batch.inputs[0, place].numpy(), pixels.images[number].ravel().astype(np.float32) / np.float32(255)
        )
        assert batch.targets[0, place] == pixels.labels[number]


@pytest.mark.parametrize("balanced", [False, True])
def test_no_image_is_in_two_parts_whatever_the_seeds(balanced: bool) -> None:
    task = task_of(numbered(600), numbered(300, seed=1), validation=100, balanced=balanced)
    held: list[set[int]] = []
    trained: set[int] = set()
    for seed in range(4):
        train, validation, test = task.split_in_three(200, 60, 100, seed)
        for part, pixels in ((train, task.data.train), (validation, task.data.train), (test, task.data.test)):
            assert part.pixels is pixels, "training images come from the training split, test images from the other"
            assert len(set(part.chosen_N.tolist())) == len(part), "no image twice"
        assert numbers(train.batch()) == train.chosen_N.tolist()
        trained |= set(numbers(train.batch())) | set(numbers(next(task.stream(150, seed))))
        held.append(set(numbers(validation.batch())))
    assert not trained & set.union(*held), "what is held out is never trained on, in no seed"
    assert len(set.union(*held)) <= 100
    assert len({frozenset(each) for each in held}) == 4
    assert task.pool_sizes == {"train": 500, "validation": 100, "test": 300}
    everything = task.split_in_three(500 if not balanced else 400, 60, 200, seed=0)[0]
    assert not set(everything.chosen_N.tolist()) & set(task._pools["validation"].tolist())


def test_testing_on_held_out_images_leaves_the_test_split_alone() -> None:
    task = task_of(numbered(60), numbered(30), validation=20, test_on="validation")
    train, test = task.split(40, 20, seed=0)
    assert test.pixels is task.data.train
    assert sorted(train.chosen_N.tolist() + test.chosen_N.tolist()) == list(range(60))
    with pytest.raises(ValueError, match="n_test must be at most 20, the images in its pool, got 21"):
        task.split(40, 21, seed=0)


def test_smaller_sets_are_part_of_larger_ones_and_seeds_differ() -> None:
    task = task_of(numbered(300), numbered(100))
    small, large = (task.split(count, 10, seed=3)[0].chosen_N.tolist() for count in (20, 200))
    assert large[:20] == small
    assert task.split(20, 10, seed=4)[0].chosen_N.tolist() != small
    assert small != sorted(small)


@pytest.mark.parametrize("count", [1, 5, 16, 39])
def test_balanced_sets_hold_every_class_as_often(count: int) -> None:
    labels = torch.tensor([0] * 50 + [1] * 12 + [3] * 10)
    orders = [order(labels, True, generator(seed)) for seed in range(2)]
    assert not torch.equal(*orders)
    assert sorted(orders[0].tolist()) == list(range(72))
    if count <= 32:
        places = chosen("n", count, labels, balanced=True, repeat=False, source=generator(0))
        counts = torch.bincount(labels[places], minlength=4)[[0, 1, 3]]
        assert counts.max() - counts.min() <= 1
    else:
        with pytest.raises(ValueError, match="n must be at most 32 for balanced classes, as the rarest of 3 has 10"):
            chosen("n", count, labels, balanced=True, repeat=False, source=generator(0))


def test_plain_sets_are_not_balanced_and_each_order_is_as_likely() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    first = [int(order(labels, False, generator(seed))[0]) for seed in range(400)]
    assert np.bincount(first, minlength=4).min() > 70
    turns = [order(labels, True, generator(seed))[:2].tolist() for seed in range(400)]
    assert all(3 in turn for turn in turns)
    counts = np.bincount([number for turn in turns for number in turn], minlength=4)[:3]
    assert counts.min() > 100


def test_sets_drawn_with_replacement_may_be_larger_than_their_pool() -> None:
    task = task_of(numbered(30), numbered(20), repeat=True, distort=[Noise(0.1)])
    train, test = task.split(100, 80, seed=0)
    assert (len(train), len(test)) == (100, 80)
    batch = train.batch()
    (first, *_), *_ = [places for number in range(30) if len(places := _places(train, number)) > 1]
    twice = _places(train, int(train.chosen_N[first]))
    assert not torch.equal(batch.inputs[0, twice[0]], batch.inputs[0, twice[1]]), "each draw is distorted by itself"


def _places(trials: ImageTrials, number: int) -> list[int]:
    return (trials.chosen_N == number).nonzero()[:, 0].tolist()


AUGMENT = (RandomCrop(1), HorizontalFlip(), Affine(20, 0.2, 1.0), Noise(0.1), Shift(1, 0))


def test_batches_show_every_image_once_an_epoch_and_resume_at_any_step() -> None:
    task = task_of(numbered(50), numbered(20), augment=AUGMENT)
    plain = task_of(task.data.train, task.data.test)
    train, clean = (each.split(23, 5, seed=1)[0] for each in (task, plain))
    batches = list(itertools.islice(train.batches(5, seed=7), 14))
    shown = list(itertools.islice(clean.batches(5, seed=7), 14))
    assert [each.trials for each in batches] == [5, 5, 5, 5, 3] * 2 + [5, 5, 5, 5]
    epochs = [list(itertools.chain(*map(numbers, shown[start : start + 5]))) for start in (0, 5)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(train.chosen_N.tolist())
    assert epochs[0] != epochs[1]
    for start in (1, 4, 5, 11):
        again = train.batches(5, seed=7, start=start)
        assert all(same(next(again), batch) for batch in batches[start:])
    assert len(list(train.batches(5, seed=7, epochs=2, start=8))) == 2
    assert not same(batches[0], next(iter(train.batches(5, seed=8))))
    for batch, original in zip(batches, shown, strict=True):
        assert torch.equal(batch.targets, original.targets), "an image keeps its class"
    assert not torch.equal(batches[0].inputs, shown[0].inputs)
    one = task_of(numbered(1, classes=1), task.data.test, augment=[Noise(0.1)]).split(1, 1, seed=0)[0]
    first, second = itertools.islice(one.batches(1, seed=0), 2)
    assert not torch.equal(first.inputs, second.inputs), "every batch is augmented anew"


def test_augmentation_touches_training_batches_only() -> None:
    options: dict[str, Any] = {"validation": 10}
    plain = task_of(numbered(50), numbered(20), **options)
    augmented = task_of(plain.data.train, plain.data.test, augment=AUGMENT, **options)
    sets, references = (each.split_in_three(20, 10, 10, seed=0) for each in (augmented, plain))
    for part, reference in zip(sets, references, strict=True):
        assert same(part.batch(), reference.batch())
        assert same(part.subset(5).batch(), reference.subset(5).batch())
        assert all(map(same, part.pieces(3), reference.pieces(3)))
    for part, reference in zip(sets[1:], references[1:], strict=True):
        assert all(map(same, part.batches(4, 0, epochs=1), reference.batches(4, 0, epochs=1)))
    assert not same(next(iter(sets[0].batches(4, 0))), next(iter(references[0].batches(4, 0))))


def test_a_distortion_stays_with_its_image_and_a_test_condition_with_the_test() -> None:
    task = task_of(numbered(50), numbered(20), distort=AUGMENT, test_distort=[Noise(0.3)])
    train, test = task.split(20, 10, seed=0)
    whole = train.batch()
    assert same(whole, train.batch())
    assert torch.equal(train.subset([7, 3]).batch().inputs, whole.inputs[:, [7, 3]])
    (shuffled,) = train.batches(20, seed=0, epochs=1)
    position = [whole.inputs[0].eq(image).all(1).nonzero().item() for image in shuffled.inputs[0]]
    assert sorted(position) == list(range(20))
    assert torch.equal(torch.cat([piece.inputs for piece in train.pieces(6)], 1), whole.inputs)
    without = task_of(task.data.train, task.data.test, distort=AUGMENT)
    reference, clean = without.split(20, 10, seed=0)
    assert same(reference.batch(), whole)
    assert torch.equal(clean.chosen_N, test.chosen_N), "a condition does not change which images are chosen"
    added = (test.batch().inputs - clean.batch().inputs).double()
    assert added.std().item() == pytest.approx(0.3, rel=0.2)
    assert not torch.equal(task.split(20, 10, seed=1)[0].batch().inputs, whole.inputs)


def test_a_set_can_be_put_under_a_condition() -> None:
    task = task_of(numbered(50), numbered(40))
    _, test = task.split(5, 40, seed=0)
    noisy = test.under(Noise(0.2, clip=True), seed=1)
    assert same(noisy.batch(), test.under([Noise(0.2, clip=True)], seed=1).batch())
    assert not same(noisy.batch(), test.under(Noise(0.2, clip=True), seed=2).batch())
    assert torch.equal(noisy.batch().targets, test.batch().targets)
    assert (noisy.batch().inputs.min(), noisy.batch().inputs.max()) == (0, 1)
    both = noisy.under(Shift(0, 3), seed=0).subset(3)
    assert len(both.kept) == 2
    assert len(both) == 3


def test_a_stream_goes_through_the_whole_pool_and_resumes() -> None:
    task = task_of(numbered(33), numbered(20), validation=10)
    batches = list(itertools.islice(task.stream(7, seed=2), 10))
    assert [batch.trials for batch in batches] == [7] * 10
    seen = list(itertools.chain(*map(numbers, batches)))
    for epoch in range(3):
        assert sorted(seen[23 * epoch : 23 * epoch + 23]) == task._pools["train"].tolist()
    assert seen[:23] != seen[23:46]
    assert {*numbers(task.split(20, 10, seed=0)[0].batch())} <= {*seen[:23]}, "images of a set too"
    augmented = task_of(task.data.train, task.data.test, validation=10, augment=[Noise(0.1)], distort=[Noise(0.2)])
    noisy = list(itertools.islice(augmented.stream(7, seed=2), 10))
    for start in (0, 3, 8):
        stream = augmented.stream(7, seed=2, start=start)
        assert all(same(next(stream), batch) for batch in noisy[start:])
    spread = torch.cat([(one.inputs - two.inputs).flatten() for one, two in zip(noisy, batches, strict=True)]).std()
    assert spread.item() == pytest.approx((0.1**2 + 0.2**2) ** 0.5, rel=0.1)
    large = next(task.stream(60, seed=0))
    assert np.bincount(numbers(large), minlength=33).max() == 3, "a batch may be larger than the pool"


@pytest.mark.parametrize("normalise", ["unit", "centred", "standard", Centred()])
def test_normalisation_against_numpy_on_the_images_that_are_trained_on(normalise: str | Normalisation) -> None:
    task = task_of(numbered(300, shape=(3, 4, 5)), numbered(20, shape=(3, 4, 5)), normalise=normalise, validation=150)
    task.data.train.images[task._pools["validation"].numpy()] = 255  # would show if they counted
    unit = task.data.train.images[task._pools["train"].numpy()].astype(np.float64) / 255
    mean, deviation = unit.mean((0, 2, 3)), unit.std((0, 2, 3))
    shift, scale = {"unit": (0 * mean, 1 + 0 * mean), "standard": (mean, deviation)}.get(
        str(normalise), (0.5 + 0 * mean, 0.5 + 0 * mean)
    )
    train, test = (each.to(dtype=torch.float64) for each in task.split(150, 20, seed=0))
    for part, pixels in ((train, task.data.train), (test, task.data.test)):
        wanted = pixels.images[part.chosen_N].astype(np.float64) / 255
        wanted = (wanted - shift[:, None, None]) / scale[:, None, None]
        np.testing.assert_allclose(part.batch().inputs[0].numpy(), wanted.reshape(len(part), -1), rtol=0, atol=1e-12)
    if normalise == "standard":
        images = train.batch().inputs[0].view(150, 3, -1)
        torch.testing.assert_close(images.mean((0, 2)), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
        assert images.std((0, 2), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-12)


def test_a_channel_without_variation_becomes_zero() -> None:
    pixels = Pixels(np.full((4, 1, 2, 2), 7, np.uint8), np.arange(4))
    assert not task_of(pixels, pixels, normalise="standard").split(4, 4, seed=0)[0].batch().inputs.any()


@dataclass(frozen=True)
class Margin(Loss):
    """A loss that wants neither classes nor one number each."""

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Unused."""
        raise NotImplementedError

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Unused."""
        raise NotImplementedError

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Refuse whatever comes."""
        raise ValueError("targets must be -1 or 1")


@pytest.mark.parametrize(("loss", "kind"), [("mse", MSE()), (MSE(), MSE()), ("logistic", Logistic())])
def test_losses_of_real_targets_get_one_number_for_each_class(loss: Any, kind: Loss) -> None:
    pixels = numbered(40)
    task = task_of(pixels, pixels, loss=loss)
    assert (task.loss, task.measure) == (kind, "accuracy")
    batch = task.split(40, 5, seed=0)[0].to(dtype=torch.float64).batch()
    batch.check(task.n_in, task.n_out)
    labels = torch.from_numpy(pixels.labels[numbers(batch)])
    assert torch.equal(batch.targets[0], torch.eye(4, dtype=torch.float64)[labels])
    outputs = batch.targets.clone()
    assert task.accuracy(outputs, batch) == 1
    outputs[0, :10] = outputs[0, :10].roll(1, -1)
    assert task.accuracy(outputs, batch) == 0.75


def test_a_loss_that_wants_neither_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss must take classes or one number for each of them, got Margin\(\)"):
        Images(loss=Margin())


def test_chance_is_the_share_of_the_most_common_class_that_is_tested_on() -> None:
    train, test = numbered(10), Pixels(numbered(8).images, np.array([0, 1, 1, 1, 2, 3, 1, 1]))
    assert task_of(train, test).chance == 5 / 8


def test_bytes_stay_bytes_until_a_batch_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = numbered(500, shape=(3, 8, 8))
    task = task_of(pixels, pixels, normalise="standard")
    train, test = task.split(500, 500, seed=0)
    taken: list[int] = []
    take = Pixels.take

    def counting(self: Pixels, chosen_B: Tensor) -> tuple[Tensor, Tensor]:
        taken.append(len(chosen_B))
        return take(self, chosen_B)

    monkeypatch.setattr(Pixels, "take", counting)
    list(train.batches(50, seed=0, epochs=1))
    list(test.pieces(50))
    next(task.stream(50, seed=0))
    assert repr(train.to(dtype=torch.float64).subset(400)).startswith("ImageTrials(trials=400, steps=1, inputs=192")
    assert max(taken) == 50
    assert sum(taken) <= 1060


def test_types_agree_and_sets_behave_as_sets_of_trials_do() -> None:
    task = task_of(numbered(50), numbered(20), augment=AUGMENT, distort=AUGMENT, normalise="standard")
    train, _ = task.split(20, 10, seed=0)
    double = train.to(dtype=torch.float64)
    assert isinstance(train, FixedTrials)
    assert (len(train), train.steps, train.loss) == (20, 1, CrossEntropy())
    assert double.batch().inputs.dtype == double.batch().weights.dtype == torch.float64
    singles, doubles = ([part.batch(), *part.batches(6, seed=0, epochs=1)] for part in (train, double))
    for one, other in zip(singles, doubles, strict=True):
        torch.testing.assert_close(one.inputs.double(), other.inputs, atol=1e-4, rtol=0)
        assert torch.equal(one.targets, other.targets)
    assert double.to("cpu").batch().inputs.dtype == torch.float64
    assert same(train.trials, train.batch())
    batch = train.batch()
    batch.inputs.fill_(-1)
    assert not same(train.batch(), batch), "batches are copies"
    for bad, message in ((21, "0 to 19"), ([], "at least one index"), (0, "trials must be at least 1")):
        with pytest.raises(ValueError, match=message):
            train.subset(bad)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        train.batches(0, seed=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        train.pieces(0)


def test_a_whole_set_is_measured_without_holding_it_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers to the last bit as of the set as one batch, in the memory of a piece and of the outputs."""
    task = task_of(numbered(10), numbered(400, shape=(3, 16, 16)), normalise="standard")
    _, test = task_of(task.data.test, task.data.test).split(400, 400, seed=0)
    net = tca.nets.MLP(768, [8], task.n_out)
    monkeypatch.setattr("tca.experiments.training.evaluation.TRIALS_AT_ONCE", 50)
    whole = test.batch()
    assert evaluate(net, task, test) == evaluate(net, task, whole)
    assert evaluate(net, task, test.under(Noise(0.3), 0)) != evaluate(net, task, whole)
    piece, everything = 50 * 768 * 4, whole.inputs.numel() * 4
    assert everything == 8 * piece
    assert peak_bytes(lambda: evaluate(net, task, test)) < 4 * piece
    assert peak_bytes(lambda: evaluate(net, task, test.batch())) > everything


@pytest.mark.cuda
def test_a_gpu_sees_what_the_cpu_sees() -> None:
    task = task_of(numbered(50), numbered(20), augment=AUGMENT, distort=AUGMENT, normalise="standard")
    train, _ = task.split(20, 10, seed=0)
    for one, other in zip(train.batches(6, 0, 1), train.to("cuda").batches(6, 0, 1), strict=True):
        assert other.inputs.is_cuda
        assert other.targets.is_cuda
        torch.testing.assert_close(one.inputs, other.inputs.cpu(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nmae": "mnist"}, ValueError, "unknown option of images 'nmae', did you mean 'name'"),
        ({"size": 0}, ValueError, "size must be at least 1, got 0"),
        ({"size": (8, 8, 1)}, ValueError, "size must be .*a list or tuple of 2 integers.*, got"),
        ({"size": 100_000}, ValueError, "size must be at most 89478485 pixels in all, got 100000"),
        ({"size": (1, 10**8)}, ValueError, "size must be at most 89478485 pixels in all"),
        ({"size": "8"}, TypeError, "size must be an integer"),
        ({"grey": 1}, TypeError, "grey must be True or False, got 1"),
        ({"normalise": "standart"}, ValueError, "unknown normalise 'standart', did you mean 'standard'"),
        ({"validation": -1}, ValueError, "validation must be at least 0"),
        ({"test_on": "train"}, ValueError, "unknown test_on 'train'"),
        ({"test_on": "validation"}, ValueError, "needs a number of images to hold out as validation, got 0"),
        ({"balanced": True, "repeat": True}, ValueError, "balanced and repeat exclude each other"),
        ({"augment": "crop"}, TypeError, r"augment: must be augmentations such as RandomCrop\(\), got 'crop'"),
        ({"augment": [{"class": "RandomCorp"}]}, ValueError, "augment: unknown class 'RandomCorp', did you mean 'R"),
        ({"distort": [{"class": "Noise", "std": 1}]}, ValueError, "unknown option of Noise 'std', did you mean 'sd'"),
        ({"augment": [3]}, TypeError, "augment: must hold augmentations, or dictionaries with a class, got 3"),
        ({"loss": "msee"}, ValueError, "unknown loss 'msee', did you mean 'mse'"),
        ({"dt": 0}, ValueError, "dt must be greater than 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        tasks.make("images", **options)
    assert "\n" not in str(caught.value)


def test_more_images_than_there_are_is_refused() -> None:
    task = tasks.images()
    with pytest.raises(ValueError, match="n_train must be at most 1198, the images in its pool, got 1199"):
        task.split(1199, 10, seed=0)
    with pytest.raises(ValueError, match="validation must be less than 1198, the training images, got 1198"):
        tasks.images(validation=1198).split(1, 1, seed=0)
    with pytest.raises(ValueError, match="three sets need a number of images to hold out"):
        task.split_in_three(1, 1, 1, seed=0)


def test_options_survive_json_and_name_a_run() -> None:
    options: dict[str, Any] = {
        "name": "mnist",
        "size": (14, 14),
        "validation": 100,
        "augment": AUGMENT,
        "loss": MSE(),
        "normalise": Centred(),
    }
    task = Images(**options)
    written = json.loads(json.dumps(task.options()))
    assert tasks.make("images", **written) == Images(**options | {"normalise": "centred"})
    assert Images().options() == {}
    run = tca.Run("images", task_options=written)
    assert tca.Run.from_json(run.to_json()) == run
    assert run.make_task().options() == written
    assert run.name != tca.Run("images", task_options=written | {"validation": 99}).name


def test_digits_are_those_of_scikit_learn_and_can_be_enlarged() -> None:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    known = {(row / 16).astype(np.float32).tobytes(): label for row, label in zip(values, labels, strict=True)}
    task = tasks.images()
    parts = [part.batch() for part in task.split(1198, 599, seed=0)]
    shown = [[image.numpy().tobytes() for image in part.inputs[0]] for part in parts]
    assert len(set(shown[0]) | set(shown[1])) == 1797
    for part, images in zip(parts, shown, strict=True):
        assert [known[image] for image in images] == part.targets[0].tolist()
    large = tasks.images(size=(16, 12))
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(task.data.test.images).double() / 16, (16, 12), mode="bilinear", antialias=True
    )
    found = torch.from_numpy(large.data.test.images.copy()).double() / 255
    assert (found - reference).abs().max() < 0.51 / 255 + 1e-5


def test_a_run_learns_from_images() -> None:
    options = tasks.images(augment=[Shift(1, 1)], normalise="standard", validation=100).options()
    parts: dict[str, Any] = {
        "net": tca.NetworkConfig(size=32, activation="relu", tau=10.0),
        "optimizer": tca.Optimizer(lr=1e-2),
    }
    run = tca.Run("images", task_options=options, **parts, steps=60, n_train=800, n_test=300, evaluate_every=60)
    result = tca.train(run, progress=False)
    assert result.last.test_accuracy > 0.7
    assert result.metrics[0].test_accuracy < 0.3
