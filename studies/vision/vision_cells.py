"""A number in a published table as a value: a network, a rule, a recipe, and how much of it to run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from studies.vision.questions import opened
from tasks.images.catalogue import KNOWN
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_kinds import KINDS
from tca.experiments.config.run import NetworkConfig, Run
from tca.experiments.config.schedules import ExponentialDecay
from tca.rule import Rule
from tca.rules import RULES
from tca.signals.decorrelation.averages import Share
from tca.signals.decorrelation.decorrelation import Decorrelation
from tca.utils.checks import positive, settle, whole

__all__ = ["SIZES", "Cell", "Layers", "Scale"]

Value = TypeVar("Value")
Layers = list[dict[str, Any]]
SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000)}
MLP_OF = {"mlp": "sizes", "vector_mlp": "sizes", "dual_stream_mlp": "sizes"}


@dataclass(frozen=True)
class Scale:
    """How much of a cell to run; by default all of it.

    Args:
        epochs: Epochs, default those of the cell.
        n_train: Training images, default all of the set.
        n_test: Test images, default all of the set.
        thin: What all sizes and channels are divided by, default 1.
        lr: Learning rate, default that of the cell.
        batch_size: Images a batch, default that of the cell.
        images: Name of another set of images with the same shape and number of classes, default that of the cell.

    Raises:
        ValueError: A number is out of range.
        TypeError: A number is of a wrong kind.
    """

    epochs: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    thin: int = 1
    lr: float | None = None
    batch_size: int | None = None
    images: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        settle(self, thin=whole("thin", self.thin, 1))
        for name in ("epochs", "n_train", "n_test", "batch_size"):
            if getattr(self, name) is not None:
                settle(self, **{name: whole(name, getattr(self, name), 1)})
        if self.lr is not None:
            settle(self, lr=positive("lr", self.lr))

    @property
    def title(self) -> str:
        """What differs from the cell, in a few words; nothing if nothing."""
        said = {
            "images": self.images,
            "epochs": self.epochs,
            "training images": self.n_train,
            "test images": self.n_test,
            "learning rate": self.lr,
            "batch": self.batch_size,
            "sizes divided by": self.thin if self.thin > 1 else None,
        }
        return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)


@dataclass(frozen=True)
class Cell:
    """A number in a published table, and what to run for it.

    Args:
        name: ``paper/images/network/what``.
        images: Name of the set.
        kind: Kind of network.
        layers: Its layers from the inputs upwards.
        rule: Name of the rule, or the rule.
        published: Published test accuracy in percent; NaN where there is none.
        epochs: Epochs of the recipe.
        batch_size: Images a batch.
        optimizer: The optimizer; a schedule's ``every`` counts epochs.
        options: Further options of the network.
        task_options: Further options of the task.
        note: What is our own, or not known.
    """

    name: str
    images: str
    kind: str
    layers: Layers = field(hash=False)
    rule: str | Rule
    published: float
    epochs: int
    batch_size: int
    optimizer: Optimizer
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    task_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    note: str = ""

    @property
    def lacking(self) -> str:
        """What the library lacks for it, nothing if nothing."""
        if self.kind not in KINDS:
            return f"networks of kind {self.kind!r}"
        return f"the rule {self.rule!r}" if isinstance(self.rule, str) and self.rule not in RULES else ""

    def fitted(self, scale: Scale) -> Scale:
        """Return how much to run, with the sizes of another set of images where they are not those of the cell.

        Args:
            scale: How much of it; another set of images is opened.

        Raises:
            ValueError: The other set cannot be opened or has images of another shape or other classes, or there are
                fewer images than are asked for.
        """
        name, sizes = _given(scale.images, self.images), SIZES[self.images]
        if name != self.images:
            other = opened({"name": name, **self.task_options})
            found, wanted = (other.shape, other.n_out), _shape_and_classes(self.images)
            if found != wanted:
                raise ValueError(
                    f"images must have the shape {wanted[0]} and {wanted[1]} classes, as {self.images} in cell "
                    f"{self.name}, got {name!r} with the shape {found[0]} and {found[1]} classes"
                )
            sizes = (other.pool_sizes["train"], other.pool_sizes["test"])
        filled: list[int | None] = []
        for argument, asked, there, own in zip(
            ("n_train (--train)", "n_test (--test)"),
            (scale.n_train, scale.n_test),
            sizes,
            SIZES[self.images],
            strict=True,
        ):
            if asked is not None and asked > there:
                raise ValueError(f"{argument} must be at most {there}, the images of {name}, got {asked}")
            filled.append(there if asked is None and there != own else asked)
        return dataclasses.replace(scale, n_train=filled[0], n_test=filled[1])

    def run(self, seed: int, scale: Scale = Scale(), device: str = "cpu") -> Run:
        """Return the run.

        Args:
            seed: The seed.
            scale: How much of it, default all.
            device: Where to train, default the CPU.

        Raises:
            ValueError: The library lacks the rule or the network, a number is out of range, or another set of images
                does not fit.
        """
        if self.lacking:
            raise ValueError(f"cell {self.name} needs {self.lacking}, which this library lacks")
        scale = self.fitted(scale)
        train, test = SIZES[self.images]
        n_train, batch_size = _given(scale.n_train, train), _given(scale.batch_size, self.batch_size)
        batches = -(-n_train // batch_size)
        steps = _given(scale.epochs, self.epochs) * batches
        chosen = dataclasses.replace(self.optimizer, lr=_given(scale.lr, self.optimizer.lr))
        if isinstance(chosen.schedule, ExponentialDecay):
            each = dataclasses.replace(chosen.schedule, every=chosen.schedule.every * batches)
            chosen = dataclasses.replace(chosen, schedule=each)
        return Run(
            "images",
            _renewing(self.rule, steps),
            task_options={"name": _given(scale.images, self.images), **self.task_options},
            net=NetworkConfig(
                self.kind, {**_net_options(self.kind, _thinned(self.layers, scale.thin)), **self.options}
            ),
            optimizer=chosen,
            batch_size=batch_size,
            steps=steps,
            n_train=n_train,
            n_test=_given(scale.n_test, test),
            evaluate_every=batches,
            seeds=Seeds(seed, seed, seed, seed),
            device=device,
        )


def _given(value: Value | None, default: Value) -> Value:
    return default if value is None else value


def _shape_and_classes(name: str) -> tuple[tuple[int, int, int], int]:
    """Return what a set of images holds; of a known set without opening a file."""
    if name in KNOWN:
        return KNOWN[name].shape, KNOWN[name].classes
    task = opened({"name": name})
    return task.shape, task.n_out


def _renewing(rule: str | Rule, steps: int) -> str | Rule:
    """Return a rule whose correlations, if their paper does not say how fast they forget, renew 0.3 in a training.

    With the rule's own memory of 10,000 updates the activity of a long training vanishes.
    """
    named = RULES[rule] if isinstance(rule, str) else None
    if named is None or not isinstance(named.signal, Decorrelation):
        return rule
    return Rule(dataclasses.replace(named.signal, average=Share(steps)), named.eligibility)


def _thinned(layers: Layers, by: int) -> Layers:
    """Return layers with their sizes and channels divided, even numbers."""
    sizes = {"dense", "conv", "local"}
    return [
        {key: max(2, value // by // 2 * 2) if key in sizes and by > 1 else value for key, value in layer.items()}
        for layer in layers
    ]


def _net_options(kind: str, layers: Layers) -> dict[str, Any]:
    return {"sizes": [each["dense"] for each in layers]} if kind in MLP_OF else {"layers": layers}
