"""Broadcasting where it was published: networks of those sizes, single images through maps; and memory over delays.

Shapes: T time, B batch, K components and outputs, I cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

import tasks
import tca
from tca.losses import CrossEntropy
from tca.nets import PRESETS, VectorRNN
from tests.tca.nets.vector.test_vector_networks import autograd, distance
from tests.tca.signals.test_global_vector import angles, changes, cosine, examples

Draw = Callable[[torch.Generator], tca.Batch]
PUBLISHED = {
    "digits, all to all": ("gevb_mnist_fc", "nonnegative"),
    "digits, both signs": ("gevb_mnist_fc", "mixed"),
    "digits, maps": ("gevb_mnist_conv", "nonnegative"),
    "photographs, all to all": ("gevb_cifar10_fc", "nonnegative"),
}


@pytest.mark.thirds
@pytest.mark.parametrize(("name", "signs"), PUBLISHED.values(), ids=PUBLISHED)
def test_published_networks_in_single_precision(name: str, signs: str) -> None:
    """One number for each cell, sent back, is the gradient to round-off; the broadcast is so at the outputs alone."""
    net = PRESETS[name].build(signs=signs)
    batch = examples(net.n_in, 10, 4).to(dtype=torch.float32)
    true, learning_signal = autograd(net, batch), changes(net, "gevb", batch)
    assert distance(changes(net, "backprop", batch), true) < 2e-6
    for parameter, each in true.items():
        error = float((learning_signal[parameter] - each).norm() / each.norm())
        assert error < 2e-6 if parameter.endswith("out") else error > 0.1, parameter


def images(count: int) -> list[tca.Batch]:
    """Handwritten digits, one a batch, brought to 28 x 28 pixels between -1 and 1."""
    found = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    pixels, labels = (torch.as_tensor(each[:count]) for each in found)
    large = functional.interpolate(pixels.view(-1, 1, 8, 8), size=(28, 28), mode="bilinear")
    one = torch.ones(1, 1, dtype=torch.float64)
    return [
        tca.Batch(image[None, None], label.long()[None, None], one, CrossEntropy())
        for image, label in zip((large / 8 - 1).flatten(1), labels, strict=True)
    ]


MAPS = {
    "gevb_mnist_conv": ((0.986, 0.994, 1.0, 1.0), (0.995, 1.000, 0.565, 1.0)),
    "gevb_mnist_lc": ((1.0, 1.0, 1.0, 1.0), (0.973, 0.994, 0.565, 1.0)),
}


@pytest.mark.parametrize(("name", "wanted"), MAPS.items(), ids=MAPS)
def test_signs_of_single_images_through_maps(name: str, wanted: tuple[tuple[float, ...], ...]) -> None:
    """A kernel for each position: every sign is right. One kernel for all: a sum over positions, most are."""
    net = PRESETS[name].build(dtype=torch.float64)
    weights = ("w_1", "w_2", "w_3", "w_out")
    right, along = torch.zeros(2, 4, 4, dtype=torch.float64)  # image, layer
    for number, batch in enumerate(images(4)):
        found, true = changes(net, "gevb", batch), changes(net, "backprop", batch)
        for layer, weight in enumerate(weights):
            product = found[weight] * true[weight]
            right[number, layer] = (product[product != 0] > 0).double().mean()
            along[number, layer] = cosine(found[weight], true[weight])
    assert right.mean(0).tolist() == pytest.approx(wanted[0], abs=0.01)
    assert along.mean(0).tolist() == pytest.approx(wanted[1], abs=0.012)
    untied = name.endswith("lc")
    assert bool((right == 1).all()) == untied
    assert bool((right[:, 2:] == 1).all())


def law(cells: int, deep: bool) -> float:
    """The angle in degrees of a layer below one of so many cells, the last of all or one that lies deeper."""
    spread = math.pi / 2 - 1 if deep else (math.pi - 1) * math.pi / 2
    return math.degrees(math.atan(math.sqrt(spread) / math.sqrt(cells / 4)))


LAST = math.degrees(math.acos(1 / math.sqrt(math.pi)))
ANGLES = {
    "gevb_mnist_fc": ((law(512, deep=False), LAST), (9.20, 55.7)),
    "gevb_cifar10_fc": ((law(512, deep=True), law(512, deep=False), LAST), (3.98, 9.04, 55.57)),
}


@pytest.mark.parametrize(("name", "wanted"), ANGLES.items(), ids=ANGLES)
def test_angles_of_published_networks(name: str, wanted: tuple[tuple[float, ...], ...]) -> None:
    """At the start the number of every cell and ones lie as far apart as the law says and as has been published."""
    net = PRESETS[name].build()
    found = angles(net, examples(net.n_in, 10, 32).to(dtype=torch.float32))
    for each in wanted:
        assert found == pytest.approx(each, rel=0.05)  # a single network scatters by two parts in a hundred
    assert wanted[0] == pytest.approx(wanted[1], rel=0.05)


def cue(generator: torch.Generator) -> tca.Batch:
    """One of four cues for two of 15 steps; which one it was is asked for at the last."""
    shown = torch.randint(4, (64,), generator=generator)
    inputs, weights = 0.1 * torch.randn(15, 64, 4, generator=generator), torch.zeros(15, 64)
    inputs[:2] += functional.one_hot(shown, 4)
    weights[-1] = 1
    return tca.Batch(inputs, shown.expand(15, 64), weights, CrossEntropy())


def match(generator: torch.Generator) -> tca.Batch:
    """Two stimuli eight steps apart within 15: were they the same?"""
    task = tasks.make("delayed_match", fixation=0.0, sample=200.0, delay=800.0, test=200.0, decision=300.0)
    return task.draw(64, generator)


def accuracy(
    draw: Callable[[torch.Generator], tca.Batch], rule: str, updates: int, readout_only: bool = False
) -> float:
    """Share of right answers at the last step in the last 30 updates of training."""
    generator = torch.Generator().manual_seed(2)
    sizes = draw(generator)
    assert sizes.steps == 15
    net = VectorRNN(sizes.inputs.shape[-1], 64, 4 if draw is cue else 3)
    for name in ("w_in", "w_rec", "b") if readout_only else ():
        net.get_parameter(name).requires_grad_(False)
    learned = [each for each in net.parameters() if each.requires_grad]
    learner, optimizer = tca.Learner(net, tca.RULES[rule]), torch.optim.Adam(learned, 3e-3)
    right = []
    for _ in range(updates):
        batch = draw(generator)
        optimizer.zero_grad()
        info = learner.backward(batch)
        optimizer.step()
        net.project_()
        right.append(float((info.outputs[-1].argmax(-1) == batch.targets[-1]).double().mean()))
    return sum(right[-30:]) / 30


@pytest.mark.slow
def test_two_stimuli_are_compared() -> None:
    """The local kernel learns to compare a stimulus with one held over a delay; the readout alone does not."""
    assert accuracy(match, "gevb_local", 230) >= 0.97
    assert accuracy(match, "gevb_local", 230, readout_only=True) <= 0.8


LONG: dict[str, tuple[Draw, int]] = {"cue": (cue, 150), "match": (match, 400)}


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "updates"), LONG.values(), ids=LONG)
def test_delays_are_bridged(draw: Draw, updates: int) -> None:
    """Both kernels learn what must be held over a delay, as backpropagation through time does; the readout does not."""
    for rule in ("bptt", "gevb_local", "gevb_network"):
        assert accuracy(draw, rule, updates) >= 0.97, rule
    assert accuracy(draw, "gevb_local", updates, readout_only=True) <= 0.8
