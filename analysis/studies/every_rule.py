"""Every rule of recurrent networks on one quick task, from the same weights and on the same trials at a given seed.

The task is delayed exclusive or (28 steps), the network 64 tanh cells, 80 % of them excitatory, with a readout that
leaks. Two runs stand beside the rules: backpropagation through time, and the readout alone, whose feedback is so weak
that every number a cell is told rounds to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import analysis
from tca.batch import Batch
from tca.eligibilities import Leak
from tca.ingredients import Leaky, Optimizer, Seeds
from tca.rule import Learner, Rule
from tca.run import Run
from tca.signals import Random

__all__ = ["COMMON", "FULL", "READOUT_ONLY", "SEEDS", "TEMPORAL", "observe_all", "observe_own", "seeded", "with_rule"]

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
READOUT_ONLY = Rule(Random(scale=1e-300), Leak())
FEEDBACK = 2_000_003  # added to a seed, so that weights and feedback are drawn apart
SEEDS = 3

COMMON = Run(
    "delayed_xor",
    net=Leaky(size=64, tau=100.0, readout_tau=50.0, types=(0.8, 0.2), dale=(1, -1)),
    optimizer=Optimizer(lr=1e-3),
    batch_size=32,
    steps=600,
    n_train=2000,
    n_test=500,
    evaluate_every=25,
)
FULL = replace(COMMON, net=replace(COMMON.net, size=128), steps=2000, evaluate_every=50)


def with_rule(run: Run, rule: str | Rule) -> Run:
    """Return the same run with another rule, in the form of its paper.

    Args:
        run: The run.
        rule: Name of a rule, or a rule.

    >>> with_rule(COMMON, "rflo").net.form
    'B'
    """
    form = replace(run, rule=rule).the_rule.form
    return replace(run, rule=rule, net=run.net if form is None else replace(run.net, form=form))


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

    What is ``cosine`` or ``ratio`` (of norms); the parameter ``recurrent`` stands for all of them but the readout. The
    feedback is what a learner of the network as it is would begin with.

    Args:
        learner: Whoever trains the network.
        batch: The trials.
    """
    return _observed(learner, batch, TEMPORAL, "{}/")


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
