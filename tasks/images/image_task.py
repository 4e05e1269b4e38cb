"""Tasks made of images: options, pools that do not overlap, sets and streams.

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
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.images.folders import check_name
from tasks.images.image_options import (
    Augmentations,
    Background,
    Directory,
    NamedLoss,
    PixelSize,
    Scaling,
    plain,
    takes_classes,
)
from tasks.images.image_sources import PixelFormat, load
from tasks.images.image_trials import ImageTrials, drawn
from tasks.images.normalisation import NORMALISATIONS, Normalisation
from tasks.images.pixels import Colour, ImageData, Pixels
from tasks.images.pools import chosen, order
from tasks.seeds import DISTORT, FRESH, STREAM, TEST, TRAIN, VALIDATION, generator
from tasks.task import Task
from tca.batch import Batch
from tca.losses import LOSSES
from tca.utils.checks import Count, Seed, Whole, checked

__all__ = ["ImageTask"]

PURPOSES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class ImageTask(Task):
    """Images with their classes; the base of `Images` and `SequentialImages`.

    The files of a set are looked for when its images are first needed, not before.

    Args:
        name: ``"digits"`` (default, comes with scikit-learn), ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``,
            ``"cifar100"``, ``"tiny_imagenet"``, or the name of a folder with ``train.parquet`` and ``test.parquet``.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.
        cache_dir: Folder of the cache of decoded images; default ``TCA_CACHE``, else the user's cache.
        size: Pixels to resample to, one number or height and width; default as they are.
        grey: Whether to make colours grey, default no.
        background: Colour behind transparent images, a name or ``"#rrggbb"``; of grey images its luma. Default white,
            where an image that is invisible on white is refused.
        dedupe: Whether training images are left out that have the pixels of a test image or of another training image,
            default no; test images all stay.
        normalise: ``"unit"`` (default), ``"centred"``, ``"standard"``, or a `Normalisation`.
        validation: Images of the training split to hold out, default 0; which ones depends on no seed.
        test_on: Source of the second set of `split`: ``"test"`` (default) or ``"validation"``.
        balanced: Whether every class comes as often in each set, give or take one, default no.
        repeat: Whether sets are drawn with replacement, so that they may be larger than their pool, default no.
        augment: Augmentations of training batches, drawn anew for each batch, default none.
        distort: Changes of every image of every set, drawn once for each image of a set, default none.
        test_distort: Further changes of every image that is not trained on, default none.
        loss: A name in ``tca.losses.LOSSES`` or a `Loss`, default the cross-entropy. One that takes real targets gets
            1 for the right class and 0 for the others.

    Raises:
        ValueError: An option is unknown or not allowed.
    """

    name: str = "digits"
    data_dir: Directory | None = None
    cache_dir: Directory | None = None
    size: PixelSize = None
    grey: bool = False
    background: Background | None = None
    dedupe: bool = False
    normalise: Scaling = "unit"
    validation: Whole = 0
    test_on: Literal["test", "validation"] = "test"
    balanced: bool = False
    repeat: bool = False
    augment: Augmentations = ()
    distort: Augmentations = ()
    test_distort: Augmentations = ()
    loss: NamedLoss = LOSSES["cross_entropy"]

    def __post_init__(self) -> None:
        check_name(self.name, self.data_dir)
        if self.test_on == "validation" and not self.validation:
            raise ValueError("test_on='validation' needs a number of images to hold out as validation, got 0")
        if self.balanced and self.repeat:
            raise ValueError("balanced and repeat exclude each other: draws with replacement are not balanced")
        takes_classes(self.loss)

    @abc.abstractmethod
    def arrange(self, images_BCHW: Tensor, labels_B: Tensor) -> Batch:
        """Return images as trials.

        Args:
            images_BCHW: The normalised images, shape ``(B, C, H, W)``.
        """

    @functools.cached_property
    def data(self) -> ImageData:
        """The images themselves; the files are opened, and decoded if they are not in the cache.

        Warns once in a process of classes that were numbered anew, of transparent images whose background was not
        chosen, and of training and test images with the same pixels.

        Raises:
            FileNotFoundError: The set is not there; the message names the command that fetches it.
            ImportError: A library is missing.
            ValueError: The files are not valid.
            CacheError: The cache cannot be written.
        """
        pixels = (self.size, self.size) if isinstance(self.size, int) else self.size
        data = load(self.name, self.data_dir, self.cache_dir, PixelFormat(pixels, self.grey, self._background))
        for note in data.notes if self.dedupe else (*data.notes, *data.repeats):
            _warn_once(note)
        return data

    @property
    def title(self) -> str:
        """Name of the set in reports."""
        return self.data.title

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of an image."""
        return self.data.train.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class."""
        return self.data.classes

    @property
    def n_out(self) -> int:
        return len(self.classes)

    @property
    def chance(self) -> float:
        """Share of the most common class among the images that are tested on."""
        counts = torch.bincount(self._labels(self.test_on))
        return int(counts.max()) / int(counts.sum())

    @property
    def measure(self) -> str:
        return "accuracy"

    @property
    def pool_sizes(self) -> dict[str, int]:
        """Number of images to choose from for training, validation and test."""
        return {part: len(self._pools[part]) for part in PURPOSES}

    @property
    def provenance(self) -> dict[str, Any]:
        """Facts of the images: options that took effect, counts, names of classes; see `Task.provenance`."""
        return self.data.provenance(self._pools, self.dedupe, self._background)

    @checked
    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the fraction of images whose class has the largest output; see `Task.accuracy`."""
        if batch.targets.ndim == 3:
            batch = dataclasses.replace(batch, targets=batch.targets.argmax(-1))
        return super().accuracy(outputs, batch)

    @checked
    def split(self, n_train: Count, n_test: Count, seed: Seed) -> tuple[ImageTrials, ImageTrials]:
        """Return images to train on and others to test on, chosen by the seed; see `Task.split`.

        With the same seed a smaller set is part of a larger one.
        """
        return self._set("n_train", "train", n_train, seed), self._set("n_test", self.test_on, n_test, seed)

    @checked
    def split_in_three(
        self, n_train: Count, n_validation: Count, n_test: Count, seed: Seed
    ) -> tuple[ImageTrials, ImageTrials, ImageTrials]:
        """Return images to train on, others to choose by, and others to test on.

        Args:
            n_validation: Images of those held out from the training split.
            seed: Seed of all three, 0 or greater.

        Raises:
            ValueError: A number is too small, or a pool does not have that many images.
        """
        if not self.validation:
            raise ValueError("three sets need a number of images to hold out as validation, got 0")
        counts = {"train": n_train, "validation": n_validation, "test": n_test}
        train, validation, test = (self._set(f"n_{part}", part, count, seed) for part, count in counts.items())
        return train, validation, test

    @checked
    def stream(self, batch_size: Count, seed: Seed, start: Whole = 0) -> Iterator[Batch]:
        """Return an endless iterator over the training pool, all of it once an epoch, augmented; see `Task.stream`."""
        return self._endless(batch_size, seed, start)

    def options(self) -> dict[str, Any]:
        """Return the options that are not at their defaults as JSON, for ``tca.Run(task_options=...)``.

        Raises:
            ValueError: The loss or the normalisation has no name.
        """
        differing = [each for each in dataclasses.fields(self) if getattr(self, each.name) != each.default]
        return {each.name: plain(getattr(self, each.name)) for each in differing}

    def targets(self, labels: Tensor, like: Tensor) -> Tensor:
        """Return classes as the loss takes them: as they are, or as one number for each class.

        Args:
            like: A tensor of the floating-point type and on the device that real targets should have.
        """
        return labels if takes_classes(self.loss) else functional.one_hot(labels, self.n_out).to(like)

    @property
    def _background(self) -> Colour | None:
        from PIL import ImageColor

        return None if self.background is None else ImageColor.getrgb(self.background)[:3]

    @functools.cached_property
    def _pools(self) -> dict[str, Tensor]:
        """Numbers of the images in each pool, within the split that the pool is from."""
        rows_N = torch.from_numpy(self.data.distinct if self.dedupe else np.arange(len(self.data.train)))
        labels_N, held = torch.from_numpy(self.data.train.labels)[rows_N], self.validation
        if held >= len(labels_N):
            raise ValueError(f"validation must be less than {len(labels_N)}, the training images, got {held}")
        order_N = order(labels_N, self.balanced, generator(0, VALIDATION))
        parts = {"train": order_N[held:], "validation": order_N[:held]}
        pools = {part: rows_N[places.sort().values] for part, places in parts.items()}
        if leaked := self.data.leaked(pools):
            _warn_once(
                f"{self.title}: {leaked} of {held} images held out have the pixels of an image that is trained on; "
                "dedupe=True leaves such images out"
            )
        return {**pools, "test": torch.arange(len(self.data.test), device="cpu")}

    @functools.cached_property
    def _scaling(self) -> tuple[Tensor, Tensor]:
        kind = self.normalise if isinstance(self.normalise, Normalisation) else NORMALISATIONS[self.normalise]
        return kind.fit(self.data.train, self._pools["train"])

    def _view(self, images_BCHW: Tensor, labels_B: Tensor) -> Batch:
        """Return images between 0 and 1, which are overwritten, as normalised trials."""
        shift_C11, scale_C11 = (each.to(images_BCHW)[:, None, None] for each in self._scaling)
        return self.arrange(images_BCHW.sub_(shift_C11).div_(scale_C11), labels_B)

    def _pixels(self, part: str) -> Pixels:
        return self.data.test if part == "test" else self.data.train

    def _labels(self, part: str) -> Tensor:
        return torch.from_numpy(self._pixels(part).labels)[self._pools[part]]

    def _set(self, argument: str, part: str, count: int, seed: int) -> ImageTrials:
        source = generator(seed, PURPOSES[part])
        places = chosen(argument, count, self._labels(part), balanced=self.balanced, repeat=self.repeat, source=source)
        always, augment = (self.distort, self.augment) if part == "train" else (self.distort + self.test_distort, ())
        kept = drawn(always, count, generator(seed, PURPOSES[part], DISTORT))
        return ImageTrials(self._pixels(part), self._pools[part][places], self._view, augment, kept)

    def _endless(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        pool_N = self._pools["train"]
        trials = ImageTrials(self._pixels("train"), pool_N, self._view, self.distort + self.augment)

        @functools.lru_cache(maxsize=2)
        def shuffled(epoch: int) -> Tensor:
            return torch.randperm(len(pool_N), generator=generator(seed, STREAM, epoch), device="cpu")

        for index in itertools.count(start):
            epoch_B, place_B = np.divmod(np.arange(index * batch_size, (index + 1) * batch_size), len(pool_N))
            chosen_B = torch.cat([shuffled(each)[place_B[epoch_B == each]] for each in np.unique(epoch_B).tolist()])
            yield trials.show(chosen_B, generator(seed, FRESH, index))


@functools.cache
def _warn_once(note: str) -> None:
    warnings.warn(note, stacklevel=4)
