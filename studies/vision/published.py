"""Published tables of image classification as cells: a network, a rule, a recipe, and the number that was published.

Networks are those of the papers. Where a recipe is not known, or not certain, the one here is our own and its cell
says so.

Papers: Erdogan et al. (2025), arXiv:2504.11558 (EBD); Clark, Abbott and Chung (2021), arXiv:2106.04089 (GEVB), numbers
as printed in the authors' public notebooks; Yamada et al. (2026), arXiv:2606.31700 (ED).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from studies.vision.vision_cells import Cell, Layers
from studies.vision.vision_plan import falling
from tca.eligibilities import Instant
from tca.experiments.config.components import Optimizer
from tca.experiments.config.schedules import ExponentialDecay
from tca.rule import Rule
from tca.signals import Decorrelation, ErrorDiffusion, Random, Regularised, SharedRandom
from tca.signals.decorrelation.averages import Decay, NormalStart, UniformStart
from tca.signals.decorrelation.score_sources import OutputError
from tca.signals.error_diffusion import NoCentre
from tca.signals.regularisers.activity_regularisers import LayerEntropy

__all__ = ["CELLS"]


def _dense(*sizes: int) -> Layers:
    return [{"dense": size} for size in sizes]


POOL: Any = {"then": ["avg_pool"]}


def _maps(images: str, of: str, wide: tuple[int, ...], cells: int) -> Layers:
    """Return the maps of the papers: 3 x 3 for MNIST; 5 x 5, 5 x 5 and 2 x 2 with stride 2 for CIFAR-10."""
    if images == "mnist":
        return [*({of: each, "kernel": 3, "padding": 1, **POOL} for each in wide), *_dense(cells)]
    *pooled, last = wide
    lower = [{of: each, "kernel": 5, "padding": 2, **POOL} for each in pooled]
    return [*lower, {of: last, "kernel": 2, "stride": 2}, *_dense(cells)]


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
SHORTER = {("cifar100", "BP"): 200}  # epochs of a recipe of its own
# Rates of the entropy in the paper, which hold the share 1e-5 of the covariance that is new: the middle one of a MLP's
# layers, the largest of those of networks with maps.
ENTROPY = {True: LayerEntropy(1e-3 / 1e-5), False: LayerEntropy(1e-7 / 1e-5)}


# Rates of the hidden layers, of the readout as a multiple of them, and the factor of an epoch, all of Adam. Of layers
# without convolution the paper's rates do not carry over to other optimizers, so one rate for all is ours.
RATES = {
    ("mnist", "MLP"): (1e-4, 1.0, 0.97),
    ("cifar10", "MLP"): (1e-4, 1.0, 0.97),
    ("mnist", "CNN"): (1e-5, 100.0, 0.97),
    ("cifar10", "CNN"): (1e-5, 100.0, 0.97),
    ("cifar100", "CNN"): (1e-5, 100.0, 0.97),
    ("mnist", "LC"): (1e-5, 100.0, 0.96),
    ("cifar10", "LC"): (5e-5, 10.0, 0.98),
}
# Factors of an epoch of the baselines, where the paper has another than for EBD.
FALLS = {
    ("cifar10", "MLP", "BP"): 0.85,
    ("cifar10", "CNN", "BP"): 0.92,
    ("cifar10", "LC", "BP"): 0.90,
    ("cifar10", "LC", "DFA"): 0.96,
    ("cifar100", "CNN", "DFA"): 0.95,
}
# DFA on CIFAR-100: rates of maps, of the layer above and of the readout, no weight decay.
OWN_DFA = (2.5e-6, {"w_4": 10.0, "w_out": 500.0, "b_out": 500.0})
DECAY = {"mnist": 1e-8, "cifar10": 1e-5, "cifar100": 1e-5}  # of weights, in the networks with maps
SIMPLER = {"MLP": "Adam, one rate for all layers", "LC": "R begins as in the CNN"}
UNAUGMENTED = "no shifts, flips or means over views"


def _note(images: str, net: str, what: str) -> str:
    """Return what of a cell is ours."""
    plain = what == "BP"
    said = [SIMPLER.get(net, "") if not plain and (net == "MLP" or what == "EBD") else ""]
    said += ["average of constant speed, no l1, no entropy" if what == "EBD" else ""]
    said += ["one rate of the entropy for all layers" if "entropy" in what else ""]
    said += [UNAUGMENTED if images == "cifar100" else ""]
    said += ["rates of six layers for our five" if (images, what) == ("cifar100", "DFA") else ""]
    return "; ".join(each for each in said if each)


def _ebd_optimizer(images: str, net: str, what: str) -> Optimizer:
    """Return the recipe of a cell: the rates of EBD, but for DFA on CIFAR-100 and for BP."""
    lr, multiple, fall = RATES[images, net]
    fall = FALLS.get((images, net, what), fall)
    if what == "BP":
        lr, multiple = (1e-4 if (images, net) == ("cifar10", "LC") else 5e-5), 1.0
    options = {} if net == "MLP" else {"weight_decay": DECAY[images]}
    factors = {} if multiple == 1 else {"w_out": multiple, "b_out": multiple}
    if (images, what) == ("cifar100", "DFA"):
        (lr, factors), options = OWN_DFA, {}
    return Optimizer(
        lr=lr, clip=None, options=options, schedule=ExponentialDecay(fall, every=1), lr_multipliers=factors
    )


def _ebd_cells() -> Iterator[Cell]:
    """Yield the table of the EBD paper."""
    for (images, net), numbers in EBD_TABLE.items():
        dense = net == "MLP"
        start = UniformStart(1e-2) if dense else NormalStart(1e-2)
        ebd = Decorrelation(average=Decay(0.999999 if dense else 0.99999), start=start, source=OutputError())
        rules: dict[str, str | Rule] = {
            "DFA": Rule(Random(), Instant()),
            "DFA + entropy": Rule(Regularised(Random(), (ENTROPY[dense],)), Instant()),
            "BP": "backprop",
            "EBD": Rule(ebd, Instant()),
        }
        options: dict[str, Any] = (
            {"init": "he_uniform", "gain": 0.75}
            if dense
            else {"init": "he_uniform" if net == "LC" else "he_normal", "gain": (1 / 6) ** 0.5, "bias": False}
        )
        for (what, rule), published in zip(rules.items(), numbers, strict=True):
            if math.isnan(published):
                continue
            layers = LAYERS[images, net]
            if (images, what) == ("cifar100", "BP"):
                layers = [*layers[:2], {**layers[2], "then": ["max_pool", {"dropout": {"share": 0.5}}]}, *layers[3:]]
            yield Cell(
                f"ebd/{images}/{net}/{what}", images, {"MLP": "mlp", "CNN": "cnn", "LC": "local_net"}[net],
                layers, rule, published, 120 if dense else SHORTER.get((images, what), EPOCHS[images]),
                20 if dense else 16,
                _ebd_optimizer(images, net, what), options,
                {"loss": "cross_entropy" if (images, what) == ("cifar100", "BP") else "mse"},
                _note(images, net, what),
            )  # fmt: skip
    yield from _sbd_cells()


def _sbd_cells() -> Iterator[Cell]:
    """Yield SBD and backpropagation with cross-entropy in the networks of the EBD paper; no number is known."""
    for (images, net), layers in LAYERS.items():
        for what, rule in (("SBD", "sbd"), ("SBD + expansion", "sbd_expansion"), ("BP, cross-entropy", "backprop"),
                           ("DFA, cross-entropy", "dfa")):  # fmt: skip
            yield Cell(
                f"sbd/{images}/{net}/{what}", images, {"MLP": "mlp", "CNN": "cnn", "LC": "local_net"}[net], layers,
                rule, math.nan, EPOCHS[images], 32,
                Optimizer(lr=1e-4, clip=None, schedule=ExponentialDecay(0.97, every=1)),
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
# Test accuracy in percent, from the paper's abstract (ED) and from its ablation (the others).
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
                f"ed/{images}/{what}", images, plain if free else kind, layers, rule, numbers[what], 100, 32,
                Optimizer(lr=1e-3, clip=None) if free else falling(15.0), options,
                {"loss": "cross_entropy" if free else "logistic"},
                "network and recipe of the paper are not known: ours",
            )  # fmt: skip


def _all() -> Sequence[Cell]:
    return [*_ebd_cells(), *_gevb_cells(), *_ed_cells()]


CELLS: dict[str, Cell] = {each.name: each for each in _all()}
