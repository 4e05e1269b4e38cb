"""The tasks on which rules that know cell types are compared: networks, sizes, and what their authors found.

In the authors' networks a tenth of the synapses exists, also in and out of the network, so that e-prop reaches a fifth
of the cells; MDGL also those that these cells receive from. Their weights are those of a dense network of
spectral radius one, of which a tenth is kept.

Papers: Liu, Smith, Mihalas, Shea-Brown and Sümbül (2021), PNAS 118:e2111821118 (evidence accumulation, spiking cells);
the same (2022), NeurIPS, arXiv:2206.01338 (delayed exclusive or, rate cells).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.config.schedules import ExponentialDecay

__all__ = ["CASES", "COMPARED", "MORE", "Case", "Published"]

COMPARED = ("bptt", "mdgl", "eprop", "modprop")
MORE = ("bptt", "mdgl", "mdgl_one_hop", "eprop", "modprop")


@dataclass(frozen=True)
class Published:
    """What a paper's authors found, mean and standard deviation over their runs.

    Attributes:
        accuracy: Mean of the last ten evaluations.
        loss: The same of the loss.
    """

    accuracy: str
    loss: str


@dataclass(frozen=True)
class Case:
    """A task with its two configurations.

    Attributes:
        key: What it is called in a command and in the names of files.
        name: What the task is called.
        published: The sizes of the paper.
        short: The shortened version.
        authors: What the authors found by rule, in their own network.
        rules: The rules that are compared.
        rates: Learning rates of which every rule gets its best in the shortened version; none: that of the run for all.
    """

    key: str
    name: str
    published: Run
    short: Run
    authors: Mapping[str, Published]
    rules: Sequence[str] = COMPARED
    rates: Sequence[float] = ()


def _cells(size: int, tau: float) -> NetworkConfig:
    return NetworkConfig(size=size, activation="relu", tau=tau, autapses=False, cell_types=(0.8, 0.2), dale=(1, -1))


XOR = {"pulse": 100.0, "delay": 700.0, "wait": 0.0, "decision": 100.0}
XOR_PUBLISHED = Run(
    "delayed_xor",
    task_options={"dt": 1.0, **XOR},
    net=_cells(120, 100.0),
    optimizer=Optimizer(lr=5e-4, options={"weight_decay": 5e-4}),
    batch_size=32,
    steps=3000,
    fresh=True,
    n_train=200,
    n_test=500,
    evaluate_every=20,
)
EVIDENCE = {"cues": 7, "cue": 100.0, "gap": 50.0, "delay": 800.0, "decision": 150.0}
EVIDENCE_PUBLISHED = Run(
    "evidence_accumulation",
    task_options={"dt": 1.0, **EVIDENCE},
    net=_cells(100, 200.0),
    optimizer=Optimizer(lr=2.5e-3),
    batch_size=64,
    steps=2000,
    fresh=True,
    n_train=200,
    n_test=500,
    evaluate_every=20,
)


def _sparse(readout: float) -> NetworkConfig:
    """A tenth of the recurrent synapses; weights as large as those of a dense network, as the authors draw them."""
    options = {"activation": "relu", "tau": 200.0, "autapses": False, "cell_types": [0.8, 0.2], "dale": [1, -1]}
    masks = {"mask_rec": {"sparse": {"density": 0.1}}, "mask_out": {"sparse": {"density": readout}}}
    return NetworkConfig("leaky_rnn", {"n_rec": 100, **options, **masks, "gain_rec": math.sqrt(0.1)})


NEAR = {**XOR, "noise": 0.01}
NEAR_PUBLISHED = replace(
    XOR_PUBLISHED,
    task_options={"dt": 1.0, **NEAR, "decision": 1.0},
    optimizer=replace(XOR_PUBLISHED.optimizer, clip=None, schedule=ExponentialDecay(0.8, 300)),
)
MDGL_AUTHORS = {
    "bptt": Published("0.979 ± 0.004", "0.083 ± 0.011"),
    "mdgl": Published("0.902 ± 0.014", "0.243 ± 0.022"),
    "eprop": Published("0.753 ± 0.095", "0.489 ± 0.099"),
}
MODPROP_AUTHORS = {"modprop": Published("1.000", "0.014 to 0.018")}
EVIDENCE_SHORT = replace(
    EVIDENCE_PUBLISHED, task_options={"dt": 25.0, **EVIDENCE}, optimizer=Optimizer(lr=1e-3), steps=500
)


def _tenth(key: str, name: str, readout: float) -> Case:
    net, rates = _sparse(readout), (1e-3, 2.5e-3, 5e-3)
    return Case(
        key, name, replace(EVIDENCE_PUBLISHED, net=net), replace(EVIDENCE_SHORT, net=net), MDGL_AUTHORS, MORE, rates
    )


CASES = (
    Case(
        "xor",
        "delayed exclusive or",
        XOR_PUBLISHED,
        replace(XOR_PUBLISHED, task_options={"dt": 25.0, **XOR}, steps=800),
        MODPROP_AUTHORS,
    ),
    Case("evidence", "evidence accumulation", EVIDENCE_PUBLISHED, EVIDENCE_SHORT, MDGL_AUTHORS),
    _tenth("sparse", "evidence accumulation, sparse", 0.1),
    _tenth("sparse_recurrent", "evidence, sparse among the cells", 1.0),
    Case(
        "xor_published",
        "exclusive or at the last step",
        NEAR_PUBLISHED,
        replace(NEAR_PUBLISHED, task_options={"dt": 10.0, **NEAR, "decision": 10.0}, steps=600),
        MODPROP_AUTHORS,
        MORE,
        (5e-4, 1e-3, 2e-3),
    ),
    Case(
        "xor_long",
        "exclusive or, published updates",
        NEAR_PUBLISHED,
        replace(NEAR_PUBLISHED, task_options={"dt": 10.0, **NEAR, "decision": 10.0}, evaluate_every=60),
        MODPROP_AUTHORS,
    ),
)
