"""What the study trains, as data: panels (a set of images and a network) and arms (a rule and how it is trained)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tca.eligibilities import Instant
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_kinds import KINDS
from tca.experiments.config.run import NetworkConfig, Run
from tca.experiments.config.schedules import Cosine
from tca.rule import Rule
from tca.rules import RULES
from tca.signals import Decorrelation, ErrorDiffusion
from tca.signals.decorrelation.averages import Share
from tca.signals.error_diffusion import NoCentre

__all__ = ["ARMS", "BASELINE", "MNIST", "PANELS", "Arm", "Panel", "arms_of", "falling", "missing"]

BASELINE = "BP"  # what times are relative to, in the same network
ADAM = Optimizer(lr=1e-3, clip=None)
IN_VECTORS = Optimizer(lr=3e-3, clip=None)
FAST_ADAM = Optimizer(lr=1e-2, clip=None)
SHARE_IN_MAPS = 0.01  # with few updates a larger share makes the activity of maps vanish, see the search
ENTROPY, SQUARED, LOGISTIC = "cross_entropy", "mse", "logistic"


@dataclass(frozen=True)
class Arm:
    """A rule, the networks it belongs to, and how it is trained there.

    Args:
        name: What it is called in tables and figures.
        rule: Name of the rule, or the rule.
        nets: Kinds of network.
        optimizer: The optimizer.
        loss: Name of the loss, default the cross-entropy.
        share: Share of a correlation that all of the training renews, ``None`` (default) for a rule without one.
        options: Further options of the network, default none.
    """

    name: str
    rule: str | Rule
    nets: tuple[str, ...]
    optimizer: Optimizer = ADAM
    loss: str = ENTROPY
    share: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def the_rule(self, updates: int) -> str | Rule:
        """Return the rule for a training of so many updates.

        Args:
            updates: How many.
        """
        if self.share is None:
            return self.rule
        rule = RULES[self.rule] if isinstance(self.rule, str) else self.rule
        assert isinstance(rule.signal, Decorrelation)
        return Rule(dataclasses.replace(rule.signal, average=Share(updates, self.share)), rule.eligibility)


@dataclass(frozen=True)
class Panel:
    """A set of images and a network that classifies them, the same for all arms.

    Args:
        images: What the set is called.
        net: What the network is called.
        kind: Its kind, see `tca.NetworkConfig`.
        options: Its options.
        task_options: Options of the task ``images``.
        n_train: Training images.
        n_test: Test images.
        batch_size: Images a batch.
        epochs: How often all training images are shown.
        every: Epochs between two measurements, default 1.
        curvature_trials: Training images over which curvature is measured, default 200; 0 for no curvature.
    """

    images: str
    net: str
    kind: str
    options: Mapping[str, Any] = field(hash=False)
    task_options: Mapping[str, Any] = field(hash=False)
    n_train: int
    n_test: int
    batch_size: int
    epochs: int
    every: int = 1
    curvature_trials: int = 200

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.images}, {self.net}"

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return -(-self.n_train // self.batch_size)

    def run(self, arm: Arm, seed: int, device: str = "cpu") -> Run:
        """Return the run of an arm; arms of a seed have the same images in the same order and the same first weights.

        Args:
            arm: The arm.
            seed: The seed.
            device: Where to train, default the CPU.
        """
        steps = self.epochs * self.batches
        return Run(
            "images",
            arm.the_rule(steps),
            task_options={**self.task_options, "loss": arm.loss},
            net=NetworkConfig(self.kind, {**self.options, **arm.options}),
            optimizer=arm.optimizer,
            batch_size=self.batch_size,
            steps=steps,
            n_train=self.n_train,
            n_test=self.n_test,
            evaluate_every=self.every * self.batches,
            seeds=Seeds(seed, seed, seed, seed),
            device=device,
        )


def falling(lr: float) -> Optimizer:
    """Return plain descent at a rate that falls to zero along half a cosine, for networks of two streams.

    Args:
        lr: The rate at the start.
    """
    return Optimizer("SGD", lr=lr, clip=None, schedule=Cosine())


def fast_readout(multiple: float) -> Optimizer:
    """Return Adam with a readout faster than the hidden layers.

    Args:
        multiple: The rate of the readout as a multiple of that of the hidden layers.
    """
    return dataclasses.replace(ADAM, lr_multipliers={"w_out": multiple, "b_out": multiple})


DENSE, MAPS = ("mlp",), ("cnn",)
SINGLE, VECTORS, STREAMS = (*DENSE, *MAPS), ("vector_mlp", "vector_cnn"), ("dual_stream_mlp", "dual_stream_cnn")
UNCENTRED = Rule(ErrorDiffusion(centring=NoCentre()), Instant())

ARMS = (  # rates as chosen on held-out images, see the search
    Arm(BASELINE, "backprop", DENSE, fast_readout(3.0)),
    Arm("FA", "feedback_alignment", DENSE, fast_readout(10.0)),
    Arm("DFA", "dfa", DENSE, fast_readout(10.0)),
    Arm("SBD", "sbd", DENSE, fast_readout(10.0), share=0.3),
    Arm("SBD + expansion", "sbd_expansion", DENSE, fast_readout(10.0), share=0.3),
    Arm("BP, squared error", "backprop", DENSE, ADAM, SQUARED),
    Arm("DFA, squared error", "dfa", DENSE, fast_readout(3.0), SQUARED),
    Arm("EBD", "ebd", DENSE, fast_readout(3.0), SQUARED, share=0.3),
    Arm(BASELINE, "backprop", MAPS, fast_readout(30.0)),
    Arm("FA", "feedback_alignment", MAPS, fast_readout(30.0)),
    Arm("DFA", "dfa", MAPS, fast_readout(30.0)),
    Arm("SBD", "sbd", MAPS, fast_readout(30.0), share=SHARE_IN_MAPS),
    Arm("SBD + expansion", "sbd_expansion", MAPS, fast_readout(30.0), share=SHARE_IN_MAPS),
    Arm("BP, squared error", "backprop", MAPS, fast_readout(30.0), SQUARED),
    Arm("DFA, squared error", "dfa", MAPS, fast_readout(30.0), SQUARED),
    Arm("EBD", "ebd", MAPS, fast_readout(30.0), SQUARED, share=SHARE_IN_MAPS),
    Arm(BASELINE, "backprop", VECTORS[:1], IN_VECTORS),
    Arm("GEVB", "gevb", VECTORS[:1], IN_VECTORS),
    Arm("GEVB, mixed signs", "gevb", VECTORS[:1], IN_VECTORS, options={"signs": "mixed"}),
    Arm(BASELINE, "backprop", VECTORS[1:], FAST_ADAM),
    Arm("GEVB", "gevb", VECTORS[1:], FAST_ADAM),
    Arm("GEVB, mixed signs", "gevb", VECTORS[1:], FAST_ADAM, options={"signs": "mixed"}),
    Arm(BASELINE, "backprop", STREAMS, FAST_ADAM, LOGISTIC),
    Arm("DFA", "dfa", STREAMS[:1], falling(45.0), LOGISTIC),
    Arm("DFA", "dfa", STREAMS[1:], falling(0.01), LOGISTIC),
    Arm("ED", "error_diffusion", STREAMS[:1], falling(15.0), LOGISTIC),
    Arm("ED", "error_diffusion", STREAMS[1:], falling(100.0), LOGISTIC),
    Arm("ED, not centred", UNCENTRED, STREAMS[:1], falling(5.0), LOGISTIC),
    Arm("ED, not centred", UNCENTRED, STREAMS[1:], falling(0.01), LOGISTIC),
)

DIGITS: dict[str, Any] = {"name": "digits"}
CENTRED: dict[str, Any] = {"name": "digits", "normalise": "centred"}
# Rotated, scaled, shifted and noisy digits: hard enough for rules to differ.
DISTORTED: dict[str, Any] = {
    "name": "digits",
    "repeat": True,
    "distort": [
        {"class": "Affine", "rotation": 20.0, "scale": 0.2, "shift": 1.0},
        {"class": "Noise", "sd": 0.25},
    ],
}


def _maps(first: int, second: int, cells: int) -> dict[str, Any]:
    """Return two convolutions of 3 x 3, each with mean pooling, and a layer of cells."""
    maps = [{"conv": each, "padding": 1, "then": ["avg_pool"]} for each in (first, second)]
    return {"layers": [*maps, {"dense": cells}]}


PANELS = (
    Panel("digits", "MLP", "mlp", {"sizes": [256, 128]}, DIGITS, 1198, 599, 32, 20, 2),
    Panel("digits", "CNN", "cnn", _maps(16, 32, 64), DIGITS, 1198, 599, 32, 20, 2),
    Panel("digits", "vector MLP", "vector_mlp", {"sizes": [256, 128]}, CENTRED, 1198, 599, 64, 20, 2),
    Panel("digits", "vector CNN", "vector_cnn", _maps(8, 16, 32), CENTRED, 1198, 599, 64, 60, 6),
    Panel("digits", "dual-stream MLP", "dual_stream_mlp", {"sizes": [200, 100]}, DIGITS, 1198, 599, 32, 60, 6),
    Panel("digits", "dual-stream CNN", "dual_stream_cnn", _maps(10, 20, 50), DIGITS, 1198, 599, 128, 60, 6),
    Panel("distorted digits", "MLP", "mlp", {"sizes": [256, 128]}, DISTORTED, 4000, 2000, 32, 8),
)

GREY: dict[str, Any] = {"name": "mnist"}
MNIST = (
    Panel("MNIST", "MLP", "mlp", {"sizes": [256, 128]}, GREY, 10_000, 2000, 32, 4),
    Panel("MNIST", "CNN", "cnn", _maps(8, 16, 64), GREY, 10_000, 2000, 32, 2),
    Panel("MNIST", "vector MLP", "vector_mlp", {"sizes": [128, 64]}, {**GREY, "normalise": "centred"}, 10_000, 2000,
          64, 4),
    Panel("MNIST", "dual-stream MLP", "dual_stream_mlp", {"sizes": [200, 100]}, GREY, 10_000, 2000, 32, 6),
)  # fmt: skip


def missing(arm: Arm, panel: Panel) -> str:
    """Return what the library lacks for an arm in a panel, nothing if nothing.

    Args:
        arm: The arm.
        panel: The panel.
    """
    if panel.kind not in KINDS:
        return f"networks of kind {panel.kind!r}"
    return f"the rule {arm.rule!r}" if isinstance(arm.rule, str) and arm.rule not in RULES else ""


def arms_of(panel: Panel, arms: Sequence[Arm] = ARMS) -> list[Arm]:
    """Return the arms that belong into the network of a panel.

    Args:
        panel: The panel.
        arms: The arms to choose from, default all.
    """
    return [arm for arm in arms if panel.kind in arm.nets]
