"""Every rule on a quick task and in a network that it belongs to, from the same weights and on the same trials.

Rules of recurrent networks learn delayed exclusive or (28 steps) in 64 tanh cells, 80 % of them excitatory, with a
readout that leaks; those that draw, try things out or decorrelate over time in 32 cells without these constraints.
Rules of feedforward networks learn digits. Two runs stand beside the rules everywhere: the true gradient, and the
readout alone, whose feedback is so weak that every learning signal rounds to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import analysis
from tca.batch import Batch
from tca.eligibilities import Leak, NodeNoise
from tca.eligibilities.deviations import Displaced
from tca.experiments.config.agent import Agent
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.training.train import Observer
from tca.learner import Learner
from tca.rule import Rule
from tca.rules import RULES
from tca.signals import Random, RewardDifference

__all__ = [
    "ALIGNED",
    "COMMON",
    "FULL",
    "READOUT_ONLY",
    "SEEDS",
    "SETTINGS",
    "TEMPORAL",
    "Setting",
    "observe_all",
    "observe_own",
    "seeded",
]

# The rules made for recurrent networks. Those of feedforward networks run here too, but without their point.
TEMPORAL = (
    "bptt",
    "tbptt",
    "tbptt_future",
    "tbptt_rate_cut",
    "rtrl",
    "snap1",
    "snap2",
    "eprop",
    "eprop_random",
    "eprop_adaptive",
    "rflo",
    "three_factor",
    "homotopy",
    "one_hop",
    "two_hops",
    "mdgl_exact",
    "mdgl",
    "nl_mdgl",
    "mdgl_online",
    "mdgl_one_hop",
    "modprop",
    "eprop_sparse",
    "global_broadcast",
    "diffusion",
)
# Beside them, in the study of alignment: those that draw or try things out, and decorrelation.
ALIGNED = (
    *TEMPORAL,
    "uoro",
    "kf_rtrl",
    "r_kf_rtrl",
    "kernl",
    "node_perturbation",
    "weight_perturbation",
    "miconi",
    "ebd",
    "sbd",
)
READOUT_ONLY = Rule(Random(scale=1e-300), Leak())
FEEDBACK = 2_000_003  # added to a seed, so that weights and feedback are drawn apart
SEEDS = 3

COMMON = Run(
    "delayed_xor",
    net=NetworkConfig(size=64, tau=100.0, readout_tau=50.0, cell_types=(0.8, 0.2), dale=(1, -1)),
    optimizer=Optimizer(lr=1e-3),
    batch_size=32,
    steps=600,
    n_train=2000,
    n_test=500,
    evaluate_every=25,
)
FULL = replace(COMMON, net=COMMON.net.with_options(size=128), steps=2000, evaluate_every=50)


def seeded(run: Run, seed: int) -> Run:
    """Return the same run with other weights, trials and feedback.

    Args:
        run: The run.
        seed: The seed.
    """
    return replace(run, seeds=Seeds(data=seed, net=seed, rule=seed + FEEDBACK, batches=seed))


def observe_own(learner: Learner, batch: Batch) -> Mapping[str, float]:
    """Return how the learner's own gradient matches that of BPTT, see `observe_all`, without the rule's name.

    Args:
        learner: The learner, whose feedback is used as it is.
        batch: The trials.
    """
    return _observed(learner, batch, [learner], "")


def observe_all(learner: Learner, batch: Batch) -> Mapping[str, float]:
    """Return how every rule's gradient matches that of BPTT: ``rule/what/parameter``, and ``rule/dropped``.

    Every rule but those of the other form of leak.

    What is ``cosine`` or ``ratio`` (of norms); the parameter ``recurrent`` stands for all of them but the readout. The
    feedback is what a learner of the network as it is would begin with.

    Args:
        learner: Whoever trains the network.
        batch: The trials.
    """
    form = learner.net.populations()[0].form
    fitting = [rule for rule in ALIGNED if RULES[rule].form in (None, form)]
    return _observed(learner, batch, fitting, "{}/")


def _observed(learner: Learner, batch: Batch, rules: Sequence[str | Learner], prefix: str) -> dict[str, float]:
    found: dict[str, float] = {}
    hidden = [each.name for each in learner.net.hidden_connections()]
    for one in analysis.alignment(learner.net, batch, rules, seed=FEEDBACK).rules:
        start = prefix.format(one.name)
        for name, match in (("recurrent", one.recurrent), *((each, one.parameters[each]) for each in hidden)):
            found[f"{start}cosine/{name}"] = match.cosine
            found[f"{start}ratio/{name}"] = match.norm_ratio
        found[f"{start}dropped"] = one.dropped
    return found


SILENT = "readout only"


@dataclass(frozen=True)
class Setting:
    """A task and a network in which some rules learn, and what stands beside them.

    Attributes:
        title: What it is called.
        base: The run that its rules have in common.
        rules: Names of the rules that belong here.
        exact: Name of the rule that is the true gradient here, default bptt.
        short: What that is called, default BPTT.
        own: What a rule has in the place of the common values, by the name of the rule, or `SILENT` for the readout.
        beside: Relatives that have no name of their own, by label, beside the rule of that name.
        observe: What else to measure, default how the gradient matches the true one; ``None`` where rewards are learnt.
    """

    title: str
    base: Run
    rules: tuple[str, ...]
    exact: str = "bptt"
    short: str = "BPTT"
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    beside: Mapping[str, Mapping[str, Rule]] = field(default_factory=dict)
    observe: Observer | None = observe_own

    def run(self, rule: str | Rule) -> Run:
        """Return the run of a rule.

        Args:
            rule: Its name, or the rule.
        """
        own = self.own.get(rule if isinstance(rule, str) else SILENT if rule == READOUT_ONLY else "", {})
        return (replace(self.base, **own) if own else self.base).with_rule(rule)


DIGITS: dict[str, Any] = {"name": "digits"}
LAYERS = Run(
    "images",
    task_options=DIGITS,
    net=NetworkConfig("mlp", {"sizes": [128, 64]}),
    optimizer=Optimizer(lr=1e-3, clip=None),
    batch_size=32,
    steps=400,
    n_train=1198,
    n_test=599,
    evaluate_every=20,
)
SMALL = replace(COMMON, net=NetworkConfig(size=32, tau=100.0), steps=300, evaluate_every=15)
OF_IMAGES: dict[str, Any] = {"exact": "backprop", "short": "BP"}
DESCENT = {rate: Optimizer("SGD", lr=rate, clip=None) for rate in (1.0, 10.0, 30.0)}
ENVIRONMENT = "PerceptualDecisionMaking-v0"
BRIEF = {"fixation": 100, "stimulus": 300, "delay": 0, "decision": 200}

SETTINGS = (
    Setting(COMMON.task, COMMON, TEMPORAL),
    Setting(
        f"{COMMON.task}, {SMALL.net.size} cells",
        SMALL,
        (
            "uoro",
            "kf_rtrl",
            "r_kf_rtrl",
            "kernl",
            "node_perturbation",
            "weight_perturbation",
            "sbd_filtered",
            "sbd_lagged",
            "weight_mirror",
            "dni",
        ),
        beside={
            "node_perturbation": {"node_perturbation, by activity": Rule(RewardDifference(), NodeNoise(by=Displaced()))}
        },
    ),
    Setting(
        f"{COMMON.task}, 32 spiking cells",
        replace(
            SMALL,
            net=NetworkConfig(
                "spiking_rnn", n_rec=32, tau=100.0, beta=0.5, refractory=0.0, gain_in=2.0, readout_tau=50.0
            ),
            optimizer=Optimizer(lr=3e-3),
        ),
        ("ottt", "ostl", "superspike", "decolle"),
    ),
    Setting(
        "pattern_generation",
        replace(
            SMALL,
            task="pattern_generation",
            optimizer=Optimizer(lr=1e-2),
            batch_size=8,
            steps=60,
            n_train=64,
            n_test=32,
            evaluate_every=4,
        ),
        ("force",),
        own={
            "force": {
                "optimizer": Optimizer("SGD", lr=1e-2, clip=None, lr_multipliers={"w_out": 100.0, "b_out": 100.0})
            }
        },
    ),
    Setting(
        "perceptual_decision",
        replace(
            SMALL,
            task="perceptual_decision",
            task_options={"stimulus": 500.0, "coherences": [25.6, 51.2]},
            steps=600,
            evaluate_every=30,
        ),
        ("miconi",),
    ),
    Setting(
        "digits, perceptron",
        LAYERS,
        (
            "backprop",
            "feedback_alignment",
            "sign_symmetric",
            "dfa",
            "dfa_sparse",
            "dfa_shared",
            "ebd",
            "sbd",
            "sbd_expansion",
        ),
        own={"ebd": {"task_options": {**DIGITS, "loss": "mse"}}},
        **OF_IMAGES,
    ),
    Setting(
        "digits, perceptron of vectors",
        replace(
            LAYERS,
            task_options={**DIGITS, "normalise": "centred"},
            net=NetworkConfig("vector_mlp", {"sizes": [64, 32]}),
            optimizer=Optimizer(lr=3e-4, clip=None),
            batch_size=64,
        ),
        ("gevb",),
        **OF_IMAGES,
    ),
    Setting(
        f"{COMMON.task}, 32 vectors",
        replace(SMALL, net=NetworkConfig("vector_rnn", {"n_rec": 32})),
        ("gevb_local", "gevb_network"),
    ),
    Setting(
        "digits, two streams",
        replace(
            LAYERS,
            task_options={**DIGITS, "loss": "logistic"},
            net=NetworkConfig("dual_stream_mlp", {"sizes": [100, 50]}),
            optimizer=DESCENT[10.0],
            batch_size=128,
        ),
        ("error_diffusion", "error_diffusion_online", "kaneko"),
        own={
            "kaneko": {"optimizer": DESCENT[1.0]},
            "backprop": {"optimizer": DESCENT[30.0]},
            SILENT: {"optimizer": DESCENT[1.0]},
        },
        **OF_IMAGES,
    ),
    Setting(
        ENVIRONMENT,
        Run(
            ENVIRONMENT,
            task_options={"dt": 100, "cohs": [51.2], "timing": BRIEF},
            net=NetworkConfig(size=32, tau=50.0),
            optimizer=Optimizer(lr=1e-2),
            batch_size=8,
            steps=60,
            n_train=50,
            n_test=300,
            evaluate_every=6,
            agent=Agent(steps=30, discount=0.9),
        ),
        ("reward_eprop",),
        observe=None,
    ),
)
