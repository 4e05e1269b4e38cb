"""The real sets, where there are any: ``TCA_DATA`` names their folder, and each test skips without its set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks.images import Images
from tasks.images.folders import found

pytest.importorskip("datasets")
DATA = os.environ.get("TCA_DATA")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One cache for all tests here, so that each set is decoded once."""
    return str(tmp_path_factory.mktemp("cache"))


def opened(name: str, cache: str, **options: Any) -> Images:
    if DATA is None or name not in found(Path(DATA)):
        pytest.skip(f"TCA_DATA names no folder with {name}")
    return tasks.images(name, data_dir=DATA, cache_dir=cache, **options)


def test_mnist(cache: str) -> None:
    task = opened("mnist", cache)
    assert (task.title, task.shape, task.n_out) == ("MNIST", (1, 28, 28), 10)
    assert task.pool_sizes == {"train": 60_000, "validation": 0, "test": 10_000}
    assert task.data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(task.data.train.labels).tolist() == counts
    mean, deviation = task.data.train.moments(task._pools["train"])
    assert (mean[0] / 255, deviation[0] / 255) == pytest.approx((0.1307, 0.3081), abs=5e-5)
    assert task.chance == 0.1135
    assert task.data.originals.tolist() == list(range(70_000)), "no two of its images are the same"
    train, test = task.split(60_000, 10_000, seed=0)
    assert sum(batch.trials for batch in train.batches(1000, seed=0, epochs=1)) == 60_000
    assert test.batch().inputs.shape == (1, 10_000, 784)


def test_a_nearest_neighbour_finds_its_way_through_mnist(cache: str) -> None:
    train, test = (each.batch() for each in opened("mnist", cache).split(3000, 500, seed=0))
    (near,) = (test.inputs[0] @ train.inputs[0].T - train.inputs[0].square().sum(1) / 2).topk(1).indices.T
    assert (train.targets[0][near] == test.targets[0]).double().mean() > 0.9


def test_the_jpeg_version_of_cifar10_is_another_set(cache: str) -> None:
    task = opened("cifar10_jpeg", cache)
    assert (task.title, task.shape, task.pool_sizes["train"]) == ("cifar10_jpeg", (3, 32, 32), 50_000)
    mean, deviation = (each / 255 for each in task.data.train.moments(task._pools["train"]))
    assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-3)
    assert deviation == pytest.approx([0.2470, 0.2435, 0.2616], abs=5e-3)
    assert np.bincount(task.data.train.labels).tolist() == [5000] * 10
    true = opened("cifar10_lossless_small", cache)
    for part in ("train", "test"):
        pixels, compressed = getattr(true.data, part), getattr(task.data, part)
        count = len(pixels)
        assert pixels.labels.tolist() == compressed.labels[:count].tolist()
        difference = np.abs(pixels.images.astype(int) - compressed.images[:count].astype(int)).mean()
        assert 1 < difference < 8, "the same images, with the traces of compression"
    assert task.classes == true.classes


def test_grey_images_of_tiny_imagenet_are_made_coloured(cache: str) -> None:
    task = opened("tiny_imagenet_200x50", cache)
    assert (task.shape, task.n_out) == ((3, 64, 64), 200)
    assert task.chance == 1 / 200
    images = task.data.test.images
    grey = (images[:, 0] == images[:, 1]).all((1, 2)) & (images[:, 1] == images[:, 2]).all((1, 2))
    assert 0.005 < grey.mean() < 0.05
    train, _ = opened("tiny_imagenet_200x50", cache, balanced=True).split(400, 200, seed=0)
    assert np.bincount(task.data.train.labels[train.chosen_N]).tolist() == [2] * 200
