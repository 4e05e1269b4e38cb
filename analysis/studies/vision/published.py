"""Published tables of image classification as cells: a network, a rule, a recipe, and the number that was published.

Networks are those of the papers. Where a recipe is not known, or cannot be had with one learning rate for all layers,
the one here is our own and its cell says so.

Papers: Erdogan et al. (2025), arXiv:2504.11558 (EBD); Clark, Abbott and Chung (2021), arXiv:2106.04089 (GEVB), numbers
as printed in the authors' public notebooks; Yamada et al. (2026), arXiv:2606.31700 (ED).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tca.described import BUILDERS
from tca.eligibilities import Instant
from tca.ingredients import Optimizer, Seeds
from tca.regularisers import LayerEntropy
from tca.rule import Rule
from tca.rules import RULES
from tca.run import Net, Run
from tca.schedules import Exponential
from tca.signals import Decorrelation, ErrorDiffusion, Random, Regularised, SharedRandom
from tca.signals.decorrelation_averages import Decay, Normal, Uniform
from tca.signals.decorrelation_sources import OutputError
from tca.signals.error_diffusion import NoCentre

__all__ = ["CELLS", "Cell", "Scale"]

Layers = list[dict[str, Any]]
SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000)}
MLP_OF = {"mlp": "sizes", "vector_mlp": "sizes", "dual_stream_mlp": "sizes"}


@dataclass(frozen=True)
class Scale:
    """How much of a cell to run; by default all of it.

    Args:
        epochs: Epochs, default those of the cell.
        n_train: Training images, default all.
        n_test: Test images, default all.
        thin: What all sizes and channels are divided by, default 1.
        lr: Learning rate, default that of the cell.
        batch_size: Images a batch, default that of the cell.
        images: Name of another set of images with the same shape and classes, default that of the cell.
    """

    epochs: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    thin: int = 1
    lr: float | None = None
    batch_size: int | None = None
    images: str | None = None

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
        if self.kind not in BUILDERS:
            return f"networks of kind {self.kind!r}"
        return f"the rule {self.rule!r}" if isinstance(self.rule, str) and self.rule not in RULES else ""

    def run(self, seed: int, scale: Scale = Scale(), device: str = "cpu") -> Run:
        """Return the run.

        Args:
            seed: The seed.
            scale: How much of it, default all.
            device: Where to train, default the CPU.

        Raises:
            ValueError: The library lacks the rule or the network, or a number is out of range.
        """
        if self.lacking:
            raise ValueError(f"cell {self.name} needs {self.lacking}, which this library lacks")
        train, test = SIZES[self.images]
        n_train, batch_size = scale.n_train or train, scale.batch_size or self.batch_size
        batches = -(-n_train // batch_size)
        chosen = dataclasses.replace(self.optimizer, lr=scale.lr or self.optimizer.lr)
        if isinstance(chosen.schedule, Exponential):
            each = dataclasses.replace(chosen.schedule, every=chosen.schedule.every * batches)
            chosen = dataclasses.replace(chosen, schedule=each)
        return Run(
            "images",
            self.rule,
            task_options={"name": scale.images or self.images, **self.task_options},
            net=Net(self.kind, {**_net_options(self.kind, _thinned(self.layers, scale.thin)), **self.options}),
            optimizer=chosen,
            batch_size=batch_size,
            steps=(scale.epochs or self.epochs) * batches,
            n_train=n_train,
            n_test=scale.n_test or test,
            evaluate_every=batches,
            seeds=Seeds(seed, seed, seed, seed),
            device=device,
        )


def _thinned(layers: Layers, by: int) -> Layers:
    """Return layers with their sizes and channels divided, even numbers."""
    sizes = {"dense", "conv", "local"}
    return [
        {key: max(2, value // by // 2 * 2) if key in sizes and by > 1 else value for key, value in layer.items()}
        for layer in layers
    ]


def _net_options(kind: str, layers: Layers) -> dict[str, Any]:
    return {"sizes": [each["dense"] for each in layers]} if kind in MLP_OF else {"layers": layers}


def _dense(*sizes: int) -> Layers:
    return [{"dense": size} for size in sizes]


POOL: Any = {"then": ["avg_pool"]}


def _maps(images: str, of: str, wide: tuple[int, ...], cells: int) -> Layers:
    """Return the maps of the papers: 3 x 3 for MNIST; 5 x 5, 5 x 5 and 2 x 2 with stride 2 for CIFAR-10."""
    if images == "mnist":
        return [*({of: each, "kernel": 3, "padding": 1, **POOL} for each in wide), *_dense(cells)]
    *pooled, last = wide
    below = [{of: each, "kernel": 5, "padding": 2, **POOL} for each in pooled]
    return [*below, {of: last, "kernel": 2, "stride": 2}, *_dense(cells)]


LAYERS: dict[tuple[str, str], Layers] = {
    ("mnist", "MLP"): _dense(1024, 512),
    ("cifar10", "MLP"): _dense(1024, 512, 512),
    ("mnist", "CNN"): _maps("mnist", "conv", (64, 32), 1024),
    ("cifar10", "CNN"): _maps("cifar10", "conv", (128, 64, 64), 1024),
    ("mnist", "LC"): _maps("mnist", "local", (32, 32), 1024),
    ("cifar10", "LC"): _maps("cifar10", "local", (64, 32, 32), 512),
    ("cifar100", "CNN"): [
        *({"conv": each, "kernel": 5, "padding": 2, "then": ["max_pool"]} for each in (96, 128)),
        {"conv": 256, "kernel": 5, "padding": 2, "then": ["max_pool", {"dropout": {"share": 0.075}}]},
        *_dense(2048),
    ],
}

# Test accuracy in percent, mean of five runs: DFA, DFA with entropy, BP with the squared error, EBD.
EBD_TABLE: dict[tuple[str, str], tuple[float, float, float, float]] = {
    ("mnist", "MLP"): (98.1, 98.2, 98.7, 98.2),
    ("mnist", "CNN"): (99.1, 99.1, 99.5, 99.1),
    ("mnist", "LC"): (98.9, 98.9, 99.1, 98.9),
    ("cifar10", "MLP"): (52.1, 52.2, 56.4, 55.5),
    ("cifar10", "CNN"): (58.4, 58.6, 75.2, 66.4),
    ("cifar10", "LC"): (62.2, 62.1, 67.8, 64.3),
    ("cifar100", "CNN"): (41.9, math.nan, 60.5, 45.9),
}
EPOCHS = {"mnist": 100, "cifar10": 200, "cifar100": 300}
ENTROPY = LayerEntropy(1e-9)


def _ebd_cells() -> Iterator[Cell]:
    """Yield the table of the EBD paper; one learning rate for all layers is ours, theirs differ by 100."""
    for (images, net), numbers in EBD_TABLE.items():
        dense = net == "MLP"
        start = Uniform(1e-2) if dense else Normal(1e-2)
        ebd = Decorrelation(average=Decay(0.999999 if dense else 0.99999), start=start, source=OutputError())
        rules: dict[str, str | Rule] = {
            "DFA": Rule(Random(), Instant()),
            "DFA + entropy": Rule(Regularised(Random(), (ENTROPY,)), Instant()),
            "BP": "backprop",
            "EBD": Rule(ebd, Instant()),
        }
        options: dict[str, Any] = (
            {"init": "he_uniform", "gain": 0.75}
            if dense
            else {"init": "he_normal", "gain": (1 / 6) ** 0.5, "bias": False}
        )
        for (what, rule), published in zip(rules.items(), numbers, strict=True):
            if math.isnan(published):
                continue
            schedule = Exponential(0.97, every=1)
            yield Cell(
                f"ebd/{images}/{net}/{what}", images, {"MLP": "mlp", "CNN": "cnn", "LC": "local_net"}[net],
                LAYERS[images, net], rule, published, 120 if dense else EPOCHS[images], 20 if dense else 16,
                Optimizer(lr=5e-5 if what == "BP" else 1e-4, clip=None, schedule=schedule), options,
                {"loss": "cross_entropy" if (images, what) == ("cifar100", "BP") else "mse"},
                "one rate for all layers" if what != "BP" else "",
            )  # fmt: skip
    yield from _sbd_cells()


def _sbd_cells() -> Iterator[Cell]:
    """Yield SBD and backpropagation with cross-entropy in the networks of the EBD paper; no number is known."""
    for (images, net), layers in LAYERS.items():
        for what, rule in (("SBD", "sbd"), ("SBD + expansion", "sbd_expansion"), ("BP, cross-entropy", "backprop"),
                           ("DFA, cross-entropy", "dfa")):  # fmt: skip
            yield Cell(
                f"sbd/{images}/{net}/{what}", images, {"MLP": "mlp", "CNN": "cnn", "LC": "local_net"}[net], layers,
                rule, math.nan, EPOCHS[images], 32, Optimizer(lr=1e-4, clip=None, schedule=Exponential(0.97, every=1)),
                note="recipe and numbers of the paper are not known",
            )  # fmt: skip


# Test error in percent, mean of five runs: broadcast (GEVB, or DFA in conventional networks) and BP, nonnegative; then
# the same with mixed signs.
GEVB_TABLE: dict[tuple[str, str, str], tuple[float, float, float, float]] = {
    ("mnist", "MLP", "vector"): (1.87, 1.93, 2.32, 1.84),
    ("mnist", "MLP", "scalar"): (2.20, 1.36, 2.09, 1.29),
    ("mnist", "CNN", "vector"): (2.33, 1.30, 1.83, 0.80),
    ("mnist", "CNN", "scalar"): (1.56, 0.71, 1.64, 0.65),
    ("mnist", "LC", "vector"): (1.78, 1.64, 1.84, 1.44),
    ("mnist", "LC", "scalar"): (1.98, 1.21, 1.48, 1.07),
    ("cifar10", "MLP", "vector"): (47.62, 47.03, 48.86, 45.98),
    ("cifar10", "MLP", "scalar"): (48.69, 45.42, 49.54, 45.69),
    ("cifar10", "CNN", "vector"): (33.74, 30.85, 38.43, 30.54),
    ("cifar10", "CNN", "scalar"): (54.18, 32.13, 44.07, 28.80),
    ("cifar10", "LC", "vector"): (41.08, 41.01, 40.11, 38.77),
    ("cifar10", "LC", "scalar"): (41.18, 35.51, 39.41, 32.32),
}
VECTORS = {"MLP": "vector_mlp", "CNN": "vector_cnn", "LC": "vector_local_net"}


def _gevb_cells() -> Iterator[Cell]:
    for (images, net, cells), errors in GEVB_TABLE.items():
        layers = LAYERS[images, net]
        if (images, net, cells) == ("cifar10", "LC", "vector"):
            layers = [*layers[:-1], *_dense(256)]  # as published: half as wide as its conventional twin
        for (signs, broadcast), error in zip(product(("nonnegative", "mixed"), (True, False)), errors, strict=True):
            local: str | Rule = Rule(SharedRandom(nonnegative=signs == "nonnegative"), Instant())
            local = "gevb" if cells == "vector" else local
            what = ("GEVB" if cells == "vector" else "DFA") if broadcast else "BP"
            yield Cell(
                f"gevb/{images}/{net}/{cells} {signs} {what}", images,
                VECTORS[net] if cells == "vector" else "alternating_net", layers, local if broadcast else "backprop",
                round(100 - error, 2), 190, 128, Optimizer(lr=3e-4, clip=None), {"signs": signs},
                {"normalise": "centred"},
            )  # fmt: skip


STREAMS = {
    "mnist": ("dual_stream_mlp", _dense(1024, 512)),
    "cifar10": ("dual_stream_cnn", _maps("cifar10", "conv", (64, 64, 60), 500)),
}
# Test accuracy in percent, from the paper's abstract (ED) and from what is told of its ablation (the others).
ED_TABLE: dict[str, dict[str, float]] = {
    "mnist": {"ED": 96.7, "DFA": 97.6, "not centred": 96.4, "narrow sigmoids": 25.3, "symmetric start": 96.7},
    "cifar10": {"ED": 61.7, "DFA": 69.1, "not centred": 13.8, "narrow sigmoids": 46.6, "symmetric start": 56.2},
}


def _ed_cells() -> Iterator[Cell]:
    for images, numbers in ED_TABLE.items():
        kind, layers = STREAMS[images]
        plain = "mlp" if images == "mnist" else "cnn"
        changed: dict[str, tuple[str | Rule, dict[str, Any]]] = {
            "ED": ("error_diffusion", {}),
            "DFA": ("dfa", {}),
            "not centred": (Rule(ErrorDiffusion(centring=NoCentre()), Instant()), {}),
            "narrow sigmoids": ("error_diffusion", {"width": 1.0, "width_out": 1.0}),
            "symmetric start": ("error_diffusion", {"asymmetry": [1.0, 1.0]}),
        }
        for what, (rule, options) in changed.items():
            free = what == "DFA"  # unconstrained, in a network of one stream
            yield Cell(
                f"ed/{images}/{what}", images, plain if free else kind, layers, rule, numbers[what], 100, 128,
                Optimizer(lr=1e-3, clip=None) if free else Optimizer("SGD", lr=30.0, clip=None), options,
                {"loss": "cross_entropy" if free else "logistic"},
                "network and recipe of the paper are not known: ours",
            )  # fmt: skip


def _all() -> Sequence[Cell]:
    return [*_ebd_cells(), *_gevb_cells(), *_ed_cells()]


CELLS: dict[str, Cell] = {each.name: each for each in _all()}
