"""What tasks made of images share: options, pools that do not overlap, sets and streams.

Shapes: T time, B batch, N images of a pool, I inputs, O outputs, C channels, H height, W width.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.images.augmentation import Augmentation, augmentations
from tasks.images.copies import copied, distinct, shared
from tasks.images.folders import check_name
from tasks.images.image_options import background, plain, size, takes_classes
from tasks.images.image_sources import load
from tasks.images.image_trials import Changes, ImageTrials, View
from tasks.images.normalisation import Normalisation, normalisation
from tasks.images.pixels import ImageData, Pixels
from tasks.images.pools import chosen, held_out
from tasks.images.provenance import provenance
from tasks.images.purposes import DISTORT, FRESH, VALIDATION
from tasks.seeds import STREAM, TEST, TRAIN, generator
from tasks.task import Task
from tca.batch import Batch
from tca.losses import LOSSES, Loss
from tca.utils.checks import check, settle, whole
from tca.utils.names import lookup

__all__ = ["ImageTask"]

PURPOSES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
TESTED_ON = {"test": "the test split", "validation": "images held out from the training split"}


@dataclass(frozen=True)
class ImageTask(Task):
    """Images with their classes; what is common to `Images` and `SequentialImages`.

    The files of a set are looked for when its images are first needed, not before.

    Args:
        name: ``"digits"`` (default, comes with scikit-learn), ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``,
            ``"cifar100"``, ``"tiny_imagenet"``, or the name of a folder with ``train.parquet`` and ``test.parquet``.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.
        cache_dir: Folder in which decoded images are kept; default ``TCA_CACHE``, else the user's cache.
        size: Pixels to resample to, one number or height and width; default as they are.
        grey: Whether to make colours grey, default no.
        background: Colour that shows through where images are transparent, a name or ``"#rrggbb"``; of grey images its
            luma. Default white, where an image of which nothing is visible on white is refused.
        dedupe: Whether training images are left out that have the pixels of a test image or of another training image,
            default no; test images all stay.
        normalise: ``"unit"`` (default), ``"centred"``, ``"standard"``, or a `Normalisation`.
        validation: Images of the training split that are never trained on, default 0; which, depends on nothing else.
        test_on: Where the second set of `split` comes from: ``"test"`` (default) or ``"validation"``.
        balanced: Whether every class comes as often in each set, give or take one, default no.
        repeat: Whether sets are drawn with replacement, so that they may be larger than their pool, default no.
        augment: Augmentations of training batches, drawn anew for each batch, default none.
        distort: Changes of every image of every set, drawn once for each image of a set, default none.
        test_distort: Further changes of every image that is not trained on, default none.
        loss: A name in ``tca.losses.LOSSES`` or a `Loss`, default the cross-entropy. One that takes real targets gets
            1 for the right class and 0 for the others.

    Raises:
        ValueError: An option is unknown or not allowed.
        TypeError: An option is of a wrong kind.
    """

    name: str = "digits"
    data_dir: str | None = None
    cache_dir: str | None = None
    size: int | tuple[int, int] | None = None
    grey: bool = False
    background: str | None = None
    dedupe: bool = False
    normalise: str | Normalisation = "unit"
    validation: int = 0
    test_on: str = "test"
    balanced: bool = False
    repeat: bool = False
    augment: tuple[Augmentation, ...] = ()
    distort: tuple[Augmentation, ...] = ()
    test_distort: tuple[Augmentation, ...] = ()
    loss: Loss = LOSSES["cross_entropy"]

    def __post_init__(self) -> None:
        """Check every option that can be checked without opening a file."""
        for option in ("data_dir", "cache_dir"):
            if getattr(self, option) is not None:
                settle(self, **{option: str(check(option, getattr(self, option), str | Path))})
        check_name(self.name, self.data_dir)
        settle(self, size=size(self.size), validation=whole("validation", self.validation, 0))
        background(self.background)
        for option in ("grey", "dedupe", "balanced", "repeat"):
            if not isinstance(getattr(self, option), bool):
                raise TypeError(f"{option} must be true or false, got {getattr(self, option)!r}")
        for option in ("augment", "distort", "test_distort"):
            settle(self, **{option: augmentations(option, getattr(self, option))})
        normalisation(self.normalise)
        lookup(TESTED_ON, self.test_on, "test_on")
        if self.test_on == "validation" and not self.validation:
            raise ValueError("test_on='validation' needs a number of images to hold out as validation, got 0")
        if self.balanced and self.repeat:
            raise ValueError("balanced and repeat exclude each other: draws with replacement are not balanced")
        settle(self, loss=self.loss if isinstance(self.loss, Loss) else lookup(LOSSES, self.loss, "loss"))
        takes_classes(self.loss)

    @abc.abstractmethod
    def arrange(self, images_BCHW: Tensor, labels_B: Tensor) -> Batch:
        """Return images as trials.

        Args:
            images_BCHW: The images, ready to be seen, shape ``(B, C, H, W)``.
            labels_B: Their classes.
        """

    @functools.cached_property
    def data(self) -> ImageData:
        """The images themselves; asking for them opens the files, and decodes them if that has not been done.

        Warns once in a process of classes that were numbered anew, of transparent images whose background was not
        chosen, and of training and test images with the same pixels.

        Raises:
            FileNotFoundError: The set is not there; the message says which command fetches it.
            ImportError: A library is missing.
            ValueError: The files are not what they should be.
            CacheError: The cache cannot be written.
        """
        pixels = (self.size, self.size) if isinstance(self.size, int) else self.size
        data = load(self.name, self.data_dir, self.cache_dir, pixels, self.grey, background(self.background))
        for note in (*data.notes, None if self.dedupe else copied(data)):
            _say_once(note)
        return data

    @property
    def title(self) -> str:
        """What the set is called in reports."""
        return self.data.title

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of an image."""
        return self.data.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class."""
        return self.data.classes

    @property
    def n_out(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def chance(self) -> float:
        """Share of the most common class among the images that are tested on."""
        counts = torch.bincount(self._labels(self.test_on))
        return int(counts.max()) / int(counts.sum())

    @property
    def measure(self) -> str:
        """Fraction of right answers, whatever the loss."""
        return "accuracy"

    @property
    def pool_sizes(self) -> dict[str, int]:
        """Number of images to choose from for training, validation and test."""
        return {part: len(self._pools[part]) for part in PURPOSES}

    @property
    def provenance(self) -> dict[str, Any]:
        """Facts of the images: options that took effect, counts, names of classes; see `Task.provenance`."""
        return provenance(self.data, self._pools, self.dedupe, background(self.background))

    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the fraction of images whose class has the largest output; see `Task.accuracy`."""
        if batch.targets.ndim == 3:
            batch = dataclasses.replace(batch, targets=batch.targets.argmax(-1))
        return super().accuracy(outputs, batch)

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[ImageTrials, ImageTrials]:
        """Return images to train on and others to test on, chosen by the seed; see `Task.split`.

        With the same seed a smaller set is part of a larger one.
        """
        return self._set("n_train", "train", n_train, seed), self._set("n_test", self.test_on, n_test, seed)

    def split_in_three(
        self, n_train: int, n_validation: int, n_test: int, seed: int
    ) -> tuple[ImageTrials, ImageTrials, ImageTrials]:
        """Return images to train on, others to choose by, and others to test on.

        Args:
            n_train: Images of the training split.
            n_validation: Images of those held out from the training split.
            n_test: Images of the test split.
            seed: Seed of all three, 0 or greater.

        Raises:
            ValueError: A number is too small, or a pool does not have that many images.
            TypeError: A number is no integer.
        """
        if not self.validation:
            raise ValueError("three sets need a number of images to hold out as validation, got 0")
        counts = {"train": n_train, "validation": n_validation, "test": n_test}
        train, validation, test = (self._set(f"n_{part}", part, count, seed) for part, count in counts.items())
        return train, validation, test

    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Return an endless iterator over the training pool, all of it once an epoch, augmented; see `Task.stream`."""
        whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start", start, 0)
        return self._endless(batch_size, seed, start)

    def options(self) -> dict[str, Any]:
        """Return the options that are not at their defaults as JSON knows them, for ``tca.Run(task_options=...)``.

        Raises:
            ValueError: The loss or the normalisation has no name.
        """
        differing = [each for each in dataclasses.fields(self) if getattr(self, each.name) != each.default]
        return {each.name: plain(getattr(self, each.name)) for each in differing}

    def targets(self, labels: Tensor, like: Tensor) -> Tensor:
        """Return classes as the loss takes them: as they are, or as one number for each class.

        Args:
            labels: Classes.
            like: A tensor of the floating-point type and on the device that real targets should have.
        """
        return labels if takes_classes(self.loss) else functional.one_hot(labels, self.n_out).to(like)

    @functools.cached_property
    def _pools(self) -> dict[str, Tensor]:
        """Numbers of the images in each pool, within the split that the pool is from."""
        rows_N = torch.from_numpy(distinct(self.data) if self.dedupe else np.arange(len(self.data.train)))
        labels_N = torch.from_numpy(self.data.train.labels)[rows_N]
        if self.validation >= len(labels_N):
            raise ValueError(
                f"validation must be less than {len(labels_N)}, the training images, got {self.validation}"
            )
        kept, held = held_out(labels_N, self.validation, self.balanced, generator(0, VALIDATION))
        tested_N = torch.arange(len(self.data.test), device="cpu")
        _say_once(shared(self.data, rows_N[kept], rows_N[held]))
        return {"train": rows_N[kept], "validation": rows_N[held], "test": tested_N}

    @functools.cached_property
    def _view(self) -> View:
        data = self.data
        scaling = normalisation(self.normalise).fit(data.train, self._pools["train"], data.white)
        return View(data.white, scaling, self.arrange, self.loss)

    def _pixels(self, part: str) -> Pixels:
        return self.data.test if part == "test" else self.data.train

    def _labels(self, part: str) -> Tensor:
        return torch.from_numpy(self._pixels(part).labels)[self._pools[part]]

    def _set(self, argument: str, part: str, count: int, seed: int) -> ImageTrials:
        source = generator(seed, PURPOSES[part])
        places = chosen(argument, count, self._labels(part), balanced=self.balanced, repeat=self.repeat, source=source)
        always, augment = (self.distort, self.augment) if part == "train" else (self.distort + self.test_distort, ())
        kept = Changes.draw(always, count, generator(seed, PURPOSES[part], DISTORT))
        return ImageTrials(self._pixels(part), self._pools[part][places], self._view, augment, kept)

    def _endless(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        pool_N = self._pools["train"]
        trials = ImageTrials(self._pixels("train"), pool_N, self._view, self.distort + self.augment)
        epoch, order_N = -1, pool_N
        for index in itertools.count(start):
            parts, place = [], index * batch_size
            while place < (index + 1) * batch_size:
                if place // len(pool_N) != epoch:
                    epoch = place // len(pool_N)
                    order_N = torch.randperm(len(pool_N), generator=generator(seed, STREAM, epoch), device="cpu")
                ahead = (index + 1) * batch_size - place
                parts.append(order_N[place % len(pool_N) :][:ahead])
                place += len(parts[-1])
            yield trials.show(torch.cat(parts), generator(seed, FRESH, index))


@functools.cache
def _say_once(note: str | None) -> None:
    if note:
        warnings.warn(note, stacklevel=4)
