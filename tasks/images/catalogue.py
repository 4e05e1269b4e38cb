"""Published image sets by name: their contents, titles and places on the hub.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

from tca.utils.checks import Count, checked

__all__ = ["DIGITS", "KNOWN", "KnownSet"]

DIGITS = "digits"
"""The one set that needs no files: it comes with scikit-learn."""
CIFAR = "Krizhevsky (2009), Learning multiple layers of features from tiny images"


@checked
@dataclass(frozen=True)
class KnownSet:
    """A published image set. A folder that bears its name must hold exactly this.

    Args:
        title: Name in reports.
        hub: Its name on the Hugging Face hub.
        train: Number of training images.
        test: Number of test images.
        shape: Shape ``(C, H, W)`` of an image; grey images in a set of colour images are converted.
        classes: Number of classes.
        lossless: Whether it is published without loss, so that JPEG files under its name are another set.
        reference: The paper.
        image: Column of the images on the hub.
        label: Column of the classes on the hub.
        test_split: Split of the hub with the labelled test images.
        folders: Further names that its folder may have.
    """

    title: str
    hub: str
    train: Count
    test: Count
    shape: tuple[int, int, int]
    classes: Count
    lossless: bool
    reference: str
    image: str = "image"
    label: str = "label"
    test_split: str = "test"
    folders: tuple[str, ...] = ()


KNOWN: dict[str, KnownSet] = {
    "mnist": KnownSet(
        "MNIST", "ylecun/mnist", 60_000, 10_000, (1, 28, 28), 10, lossless=True,
        reference="LeCun, Bottou, Bengio and Haffner (1998), Proc. IEEE 86:2278-2324",
    ),
    "fashion_mnist": KnownSet(
        "Fashion-MNIST", "zalando-datasets/fashion_mnist", 60_000, 10_000, (1, 28, 28), 10, lossless=True,
        reference="Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747", folders=("fashion-mnist",),
    ),
    "cifar10": KnownSet(
        "CIFAR-10", "uoft-cs/cifar10", 50_000, 10_000, (3, 32, 32), 10, lossless=True,
        reference=CIFAR, image="img", folders=("cifar-10",),
    ),
    "cifar100": KnownSet(
        "CIFAR-100", "uoft-cs/cifar100", 50_000, 10_000, (3, 32, 32), 100, lossless=True,
        reference=CIFAR, image="img", label="fine_label", folders=("cifar-100",),
    ),
    "tiny_imagenet": KnownSet(
        "Tiny ImageNet", "zh-plus/tiny-imagenet", 100_000, 10_000, (3, 64, 64), 200, lossless=False,
        reference="Le and Yang (2015), Tiny ImageNet visual recognition challenge",
        test_split="valid", folders=("tiny-imagenet", "tiny-imagenet-200"),
    ),
}  # fmt: skip
