"""Published tasks of spiking networks in their own units: networks, rules, sizes, and what their authors found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from studies.every_rule import seeded
from tca.eligibilities import Eligibility, Full, Leak
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.rule import Rule
from tca.signals import Diffusion, Direct, Hops, Random, Regularised, Signal, Sparse
from tca.signals.diffusion.fields import Box
from tca.signals.feedback_weights import Frozen
from tca.signals.regularisers.firing_rate import FiringRate
from tca.tape.weight_estimates import BlockMean, SynapseMean

__all__ = ["SETTINGS", "Arm", "Authors", "Cells", "Setting", "rule"]

OWN = Frozen(1.0)  # every synapse that the readout has, as it was drawn
FIELD = Diffusion(Box(0.75), gain="raw", weights=OWN, scattered=False)  # cell j on site j, as the wiring assumes
RULES: dict[str, tuple[Signal, Eligibility]] = {
    "BPTT": (Direct(), Full()),
    "MDGL": (Hops(1, SynapseMean(), receiver_leak=False), Leak()),
    "MDGL, leak of the receiver": (Hops(1, SynapseMean()), Leak()),
    "NL-MDGL": (Hops(1, BlockMean(), receiver_leak=False), Leak()),
    "e-prop": (Direct(), Leak()),
    "sparse e-prop": (Sparse(OWN), Leak()),
    "diffusion": (FIELD, Leak()),
    "diffusion, shuffled once": (replace(FIELD, shuffle="once"), Leak()),
    "dense random": (Random(), Leak()),
}


def rule(label: str, weight: float) -> Rule:
    """Return a rule that also keeps every cell at 10 Hz in every trial.

    The rates of the published term ``weight / 2 sum_i mean_B (f_i - f*)^2`` are in spikes a ms, those of `FiringRate`
    in Hz, so that its weight is a thousandth. It reaches as far back as the rule does: for BPTT it is differentiated
    through time, for all others it goes along the traces of e-prop.

    Args:
        label: What the rule is called, see `RULES`.
        weight: Weight of the term, c_reg; 0 for none.

    >>> rule("sparse e-prop", 0.1).signal.regularisers
    (FiringRate(target=10.0, weight=0.0001, dt=1.0, per_trial=True),)
    """
    signal, eligibility = RULES[label]
    if weight:
        signal = Regularised(signal, (FiringRate(10.0, weight / 1000, per_trial=True),))
    return Rule(signal, eligibility)


@dataclass(frozen=True)
class Cells:
    """A network of LIF and ALIF cells on a periodic square, of whose synapses to and from outside a tenth exists.

    Which cells adapt is drawn with the seed, since places are fixed: cell j lies on site j. The authors draw weights
    from ``N(0, 2 gain^2 / pre)``, pre counting the synapses that do not exist as well; the network divides by the
    synapses that a cell has, so that its gains are the authors' times ``sqrt(2 / 10)``.

    Args:
        side: Cells along a side, default 10.
        adaptive: Fraction of the cells that adapt, default 0.5.
        gains: The authors' gains of input, recurrent and readout weights, default 1.
        local: Whether near cells are joined more often (default), or a tenth of all pairs.
        options: Further options of `tca.nets.SpikingRNN`.
    """

    side: int = 10
    adaptive: float = 0.5
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    local: bool = True
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def net(self, seed: int) -> NetworkConfig:
        """Return the network.

        Args:
            seed: Decides which cells adapt; weights and synapses are drawn with the seed of the run.

        >>> net = Cells().net(0).build(80, 2, dt=1.0, seed=0)
        >>> int((net.beta > 0).sum()), int(net.mask_in.sum()), int(net.mask_out.sum())
        (50, 800, 20)
        """
        cells, tenth = self.side**2, {"sparse": {"density": 0.1}}
        order = torch.randperm(cells, generator=torch.Generator().manual_seed(seed), device="cpu")
        adapts = order < round(self.adaptive * cells)
        gains = {
            f"gain_{name}": math.sqrt(0.2) * gain for name, gain in zip(("in", "rec", "out"), self.gains, strict=True)
        }
        masks = {"mask_in": tenth, "mask_rec": {"torus": {"sigma": 0.012}} if self.local else tenth, "mask_out": tenth}
        options = {"n_rec": cells, "beta": (1.8 * adapts.double()).tolist(), **masks, **gains}
        return NetworkConfig("spiking_rnn", {**options, **self.options})


@dataclass(frozen=True)
class Authors:
    """What the authors of a rule found with it.

    Attributes:
        weight: Their weight of the firing rates, c_reg.
        loss: Their loss at the end, mean and standard deviation over their runs.
        accuracy: Their accuracy there, if there is one.
        curve: Mean loss by updates made.
    """

    weight: float
    loss: str
    accuracy: str = ""
    curve: Mapping[int, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Arm:
    """One line of a table: a rule at a weight of the firing rates.

    Attributes:
        label: What the rule is called.
        weight: Weight of the firing rates, c_reg.
    """

    label: str
    weight: float


@dataclass(frozen=True)
class Setting:
    """A published task with its network.

    Attributes:
        title: What it is, in a few words.
        paper: Where it comes from.
        cells: The network.
        run: All else, without rule, network and seeds.
        weight: Weight of the firing rates at which all rules are compared.
        authors: What the authors found, by rule.
        controls: Further rules that are compared at equal weight.
        short: What the shortened version changes in the run.
        baseline: The rule that all others are subtracted from.
        order: The published order, best first.
        memorised: Whether what counts is the error of the trials trained on, as a share of the targets' power.
        logs: The last evaluations in the authors' final logs, at equal weight, by rule: mean and standard deviation
            of the accuracy, or of the error where trials are memorised, and the number of seeds.
    """

    title: str
    paper: str
    cells: Cells
    run: Run
    weight: float
    authors: Mapping[str, Authors]
    short: Mapping[str, Any]
    baseline: str = "sparse e-prop"
    order: tuple[str, ...] = ("BPTT", "diffusion", "sparse e-prop")
    controls: tuple[str, ...] = ()
    memorised: bool = False
    logs: Mapping[str, str] = field(default_factory=dict, hash=False)

    def arms(self, labels: tuple[str, ...] = ()) -> list[Arm]:
        """Return all rules at equal weight, then those whose authors had another weight, at that one.

        Args:
            labels: Only these rules; none (default) for all.
        """
        equal = [Arm(label, self.weight) for label in (*self.authors, *self.controls)]
        own = [Arm(label, each.weight) for label, each in self.authors.items() if each.weight != self.weight]
        return [each for each in (*equal, *own) if not labels or each.label in labels]

    def runs(self, arm: Arm, seeds: int, short: bool, device: str = "cpu") -> list[Run]:
        """Return the runs of a line of the table.

        Args:
            arm: The line.
            seeds: How many seeds.
            short: Whether the shortened version is meant.
            device: Where to train, default the CPU.
        """
        base = replace(self.run, **(self.short if short else {}), rule=rule(arm.label, arm.weight), device=device)
        return [seeded(replace(base, net=self.cells.net(seed)), seed) for seed in range(seeds)]


def _adam(lr: float) -> Optimizer:
    return Optimizer(lr=lr, clip=None)


DIFFUSION = "Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), arXiv:2603.08949"
MDGL = "Liu, Smith, Mihalas, Shea-Brown and Sümbül (2021), PNAS 118:e2111821118"
UPDATES = (0, 100, 200, 300, 400, 500, 750, 1000, 1250, 1500, 1750, 2000)


def _curve(*losses: float) -> dict[int, float]:
    return dict(zip(UPDATES, losses, strict=True))


CLASSES = Run(
    "evidence_accumulation_spikes",
    optimizer=_adam(0.005),
    batch_size=64,
    steps=2000,
    fresh=True,
    n_train=64,
    n_test=512,
    evaluate_every=25,
)
SHORT: dict[str, Any] = {"batch_size": 32, "steps": 300, "n_train": 32, "n_test": 256, "evaluate_every": 50}
EIGHT: dict[str, Any] = {"batch_size": 8, "n_train": 8, "n_test": 8}
LATE: dict[str, Any] = {"lead": 0.0, "answer": 1.0}  # the loss counts at the last step

SETTINGS: dict[str, Setting] = {
    "delayed_match": Setting(
        "delayed match to sample, 50 LIF and 50 ALIF cells",
        DIFFUSION,
        Cells(gains=(0.5, 0.1, 0.5), options={"tau_adaptation": 1400.0}),
        replace(CLASSES, task="delayed_match_spikes"),
        0.01,
        {
            "BPTT": Authors(
                0.5, "0.041 ± 0.067", "0.993",
                _curve(0.693, 0.601, 0.444, 0.316, 0.203, 0.129, 0.103, 0.066, 0.045, 0.041, 0.041, 0.041),
            ),
            "sparse e-prop": Authors(
                0.1, "0.547 ± 0.111", "0.744 ± 0.115",
                _curve(0.693, 0.693, 0.692, 0.681, 0.672, 0.664, 0.637, 0.611, 0.599, 0.581, 0.561, 0.547),
            ),
            "diffusion": Authors(
                0.01, "0.191 ± 0.073", "0.951 ± 0.030",
                _curve(0.693, 0.666, 0.545, 0.552, 0.510, 0.421, 0.382, 0.292, 0.301, 0.241, 0.243, 0.191),
            ),
        },
        {"task_options": {"delay": 100.0}, **SHORT},
        controls=("diffusion, shuffled once", "dense random"),
        logs={
            "sparse e-prop": "0.800 (5 seeds)",
            "diffusion": "0.943 ± 0.037 (20 seeds)",
            "diffusion, shuffled once": "0.945 ± 0.050 (20 seeds)",
        },
    ),
    "cue_accumulation": Setting(
        "cue accumulation, 50 LIF and 50 ALIF cells",
        DIFFUSION,
        Cells(),
        replace(CLASSES, task="evidence_accumulation_spikes"),
        0.005,
        {
            "BPTT": Authors(0.005, "0.090 ± 0.081", "0.968"),
            "sparse e-prop": Authors(
                0.005, "0.418 ± 0.067", "0.860 ± 0.040",
                _curve(0.693, 0.689, 0.655, 0.617, 0.594, 0.570, 0.517, 0.496, 0.464, 0.446, 0.433, 0.418),
            ),
            "diffusion": Authors(
                0.005, "0.229 ± 0.034", "0.929 ± 0.018",
                _curve(0.693, 0.683, 0.632, 0.578, 0.535, 0.496, 0.413, 0.350, 0.310, 0.280, 0.262, 0.228),
            ),
        },
        {"task_options": {"cues": 3, "delay": 100.0}, **SHORT, "steps": 400},
        controls=("diffusion, shuffled once", "dense random"),
        logs={
            "sparse e-prop": "0.809, 0.856, 0.809 (3 seeds)",
            "diffusion": "0.906 ± 0.048 (10 seeds)",
            "diffusion, shuffled once": "0.910 ± 0.034 (10 seeds)",
        },
    ),
    "pattern_generation": Setting(
        "pattern generation, 400 LIF cells",
        DIFFUSION,
        Cells(20, 0.0, options={"tau": 30.0, "readout_tau": 30.0, "refractory": 2.0}),
        replace(CLASSES, task="pattern_generation_spikes", optimizer=_adam(0.01), fresh=False, **EIGHT),
        0.01,
        {
            "BPTT": Authors(0.01, "0.0054, 0.0043 (two seeds)"),
            "sparse e-prop": Authors(0.01, "0.0638, 0.1505 (two seeds)"),
            "diffusion": Authors(0.01, "0.0232, 0.0330 (two seeds)"),
        },
        {"task_options": {"duration": 500.0, "frequencies": [2.0, 4.0, 6.0]}, "steps": 150, "evaluate_every": 25},
        controls=("diffusion, shuffled once", "dense random"),
        memorised=True,
        logs={
            "sparse e-prop": "0.150, 0.064, 0.066 (3 seeds)",
            "diffusion": "0.0244 ± 0.0059 (5 seeds)",
            "diffusion, shuffled once": "0.0238 ± 0.0094 (5 seeds)",
        },
    ),
    "mdgl_accumulation": Setting(
        "cue accumulation, 50 LIF and 50 ALIF cells, 80 % excitatory",
        MDGL,
        Cells(
            gains=(math.sqrt(0.5),) * 3,  # a dense network of spectral radius one, of whose synapses a tenth is kept
            local=False,
            options={"threshold": 0.01, "reset_in_trace": True, "cell_types": [0.8, 0.2], "dale": [1, -1]},
        ),
        replace(CLASSES, task_options=LATE, optimizer=_adam(2.5e-3), evaluate_every=10),
        0.0,
        {
            "BPTT": Authors(0.0, "0.083 ± 0.011", "0.979 ± 0.004", {500: 0.284}),
            "MDGL": Authors(0.0, "0.243 ± 0.022", "0.902 ± 0.014", {500: 0.471}),
            "e-prop": Authors(0.0, "0.489 ± 0.099", "0.753 ± 0.095", {500: 0.594}),
        },
        {"task_options": {**LATE, "cues": 3, "delay": 100.0}, **SHORT, "steps": 500},
        baseline="e-prop",
        order=("BPTT", "MDGL", "e-prop"),
        controls=("MDGL, leak of the receiver", "NL-MDGL"),
    ),
}  # fmt: skip
