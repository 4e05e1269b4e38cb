"""Defaults that are published, or chosen for a reason: whoever leaves an option alone gets these."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import tca
from analysis import curvature
from studies.generalization.gap_plan import ARMS, RULES_COMPARED, SETTINGS
from tca.cells.activations import Sigmoid
from tca.eligibilities import KFRTRL, UORO, Diagonal, Fluctuations, LearnedKernel, NodeNoise, Windowed
from tca.eligibilities.factors import GUARD
from tca.experiments.config.components import Optimizer
from tca.experiments.config.schedules import Piecewise
from tca.losses.expansions import Plain
from tca.nets import ConvLayer, DenseLayer, DualStream, DualStreamRNN, LeakyRNN, SpikingRNN
from tca.signals import (
    Adaptive,
    Decay,
    Decorrelation,
    Diffusion,
    ErrorDiffusion,
    Filtered,
    Hops,
    Horizon,
    NormalStart,
    Random,
    RewardPredictionError,
    Score,
    Share,
    StationaryDiffusion,
    TypeReturn,
)
from tca.signals.decorrelation.observables import Identity
from tca.signals.decorrelation.time_lags import SameStep
from tca.signals.diffusion.fields import Box, Explicit, Exponential, Grid, Quasistatic
from tca.signals.diffusion.release import Shared
from tca.signals.error_diffusion import BatchCentre, ModuloRouting
from tca.signals.feedback_weights import Frozen
from tca.signals.regularisers.activity_regularisers import LayerEntropy, Power
from tca.signals.regularisers.firing_rate import FiringRate
from tca.tape.population import Population
from tca.utils.noise import Rare, Signs, Uniform


def default(made: Any, option: str) -> Any:
    """Default of an argument, or of a field of the cell or the wiring that the class takes."""
    parameters = inspect.signature(made).parameters
    return parameters[option].default if option in parameters else made.layer.options()[option]


RECURRENT = {
    "leak on the potential": (default(LeakyRNN, "form"), "A"),
    "leak exp(-dt / tau)": (default(LeakyRNN, "leak"), "exponential"),
    "synapses of a cell onto itself": (default(LeakyRNN, "autapses"), True),
    "none of a spiking cell": (default(SpikingRNN, "autapses"), False),
    "rates read out without a filter": (default(LeakyRNN, "readout_tau"), None),
    "spikes through the membrane's": (default(SpikingRNN, "readout_tau"), default(SpikingRNN, "tau")),
    "no reset in the trace": (default(SpikingRNN, "reset_in_trace"), False),
    "membrane, adaptation, refractory time": (
        tuple(default(SpikingRNN, each) for each in ("tau", "tau_adaptation", "refractory", "beta", "threshold")),
        (20.0, 2000.0, 5.0, 1.8, 0.03),
    ),
    "decay of adaptive feedback": (Adaptive().decay, 1e-3),
    "random feedback": (Random().scale, 1.0),
    "windows of ten steps": (tca.RULES["tbptt"].eligibility, Windowed(10)),
    "all of the state is cut": (Windowed().keep_leak, False),
    "ten steps ahead": (tca.RULES["tbptt_future"].signal, Horizon(10)),
    "one step of SnAp": (tca.RULES["snap1"].eligibility, Diagonal()),
    "signs for UORO and KF-RTRL": ((UORO().noise, KFRTRL().noise), (Signs(), Signs())),
    "guards of factors": (GUARD, 1e-12),
    "forgetting of a learned kernel": (LearnedKernel().decay, 0.8),
    "MDGL as published": (
        [tca.RULES[name].signal for name in ("mdgl_exact", "mdgl")],
        [Hops(1, receiver_leak=False), Hops(1, tca.RULES["mdgl"].signal.weights, receiver_leak=False)],  # type: ignore[attr-defined]
    ),
    "slope and reading of ModProp": (TypeReturn(), TypeReturn(0.25, "mean", None)),
    "node perturbation": ((NodeNoise().sigma, NodeNoise().rates), (1e-2, "clean")),
    "Miconi's noise, power, means": (
        (Fluctuations().noise, Fluctuations().power, Fluctuations().keep, RewardPredictionError().keep),
        (Rare(0.003, Uniform(16.0)), 3, 0.05, 0.75),
    ),
    "Miconi's synapses": (Fluctuations().recurrent_only, True),
    "Miconi's limit at a rate of 0.1": (0.1 * (Fluctuations().limit or 0), pytest.approx(3e-4)),
    "firing rates": ((FiringRate().target, FiringRate().weight), (10.0, 0.01)),
}
DIFFUSION = {
    "box of 3/4": ((Diffusion().propagator, StationaryDiffusion().propagator), (Box(0.75), Box(0.75))),
    "settled within a step where steps are long": (tca.RULES["diffusion"].signal, StationaryDiffusion()),
    "diffusion and decay in a ms": (
        [(each.diffusion, each.decay) for each in (Explicit(), Exponential(), Quasistatic())],
        [(1 / 3, 0.288)] * 3,
    ),
    "unit mass": ((Diffusion().gain, StationaryDiffusion().gain), ("unit", "unit")),
    "one field": (Diffusion().release, Shared()),
    "a torus": (Grid((3, 3)).boundary, "periodic"),
    "a full square": (Diffusion().medium(100).space, Grid((10, 10))),
    "a tenth of the readout, frozen": (Diffusion().weights, Frozen(0.1)),
    "not shuffled, cells anywhere": ((Diffusion().shuffle, Diffusion().scattered), ("none", True)),
}
DECORRELATION = {
    "average": (Decorrelation().average, Decay(0.9999)),
    "share renewed by a training": (Share(3000).lam, pytest.approx(1 - 0.3 / 3000)),
    "first correlation": (Decorrelation().start, NormalStart(1e-2)),
    "of the squared error": (tca.RULES["ebd"].signal.start, NormalStart(1e-3)),  # type: ignore[attr-defined]
    "activity itself, score itself": (
        (Decorrelation().observable, Decorrelation().source),
        (Identity(), Score(Plain())),
    ),
    "of the same step": (Decorrelation().reach, SameStep()),
    "filter": (Filtered().kappas, (0.7,)),
    "power": (Power(), Power(1e-3, 0.25)),
    "entropy": (
        (
            LayerEntropy(1.0).kept,
            *(LayerEntropy(1.0).floor_of(Population("", each, 2, torch.zeros(1))) for each in ((6,), (2, 3, 3))),
        ),
        (0.99999, 1e-8, 1e-5),
    ),
    "nothing else": (
        (Decorrelation().centred, Decorrelation().keep_norm, Decorrelation().forward_broadcast),
        (False, False, 0.0),
    ),
    "optimizer": ((Optimizer().name, Optimizer().lr), ("Adam", 1e-3)),
}
STREAMS = {
    "wiring": (default(DualStream, "wiring"), "streams"),
    "widths": ([each.activation for each in DualStream((1, 4, 4), [ConvLayer(2), DenseLayer(2)], 2).hidden_layers],
               [Sigmoid(3.0), Sigmoid(6.0)]),
    "width of outputs": (default(DualStream, "width_out"), 6.0),
    "start": (default(DualStream, "asymmetry"), (1.5, 0.5)),
    "floor": ((default(DualStream, "floor"), default(DualStreamRNN, "floor")), (1e-4, 1e-4)),
    "full readout": (default(DualStream, "block"), False),
    "rule": (ErrorDiffusion(), ErrorDiffusion(ModuloRouting(), BatchCentre(), 1.0, grow_only=False)),
    "bound and width of recurrence": (
        (default(DualStreamRNN, "loop_gain_bound"), default(DualStreamRNN, "width")), (0.9, 3.0)),
    "leak of recurrence": (1 - float(DualStreamRNN(1, 1, 1).leak), pytest.approx(0.2, abs=2e-3)),
}  # fmt: skip
CURVATURE = {
    "recurrent weights": (tca.nets.LeakyRNN(1, 2, 1).default_parameters(), ("w_rec",)),
    "without a penalty": (default(curvature, "l2"), 0.0),
    "relative tolerance": (default(curvature, "tolerance"), 1e-6),
    "losses that match": (SETTINGS["digits"].losses, (0.2, 0.1, 0.05)),
    "noise of tests": (next(iter(SETTINGS["digits"].conditions.values())).sd, 0.2),  # type: ignore[attr-defined]
    "early steps": (ARMS["three-factor, step x 3 early"].schedule, Piecewise((3.0, 1.0), (0.1,))),
    "rules": ([each.rule for each in RULES_COMPARED][:3], ["bptt", "bptt", "mdgl_exact"]),
}
TABLES = {"recurrent": RECURRENT, "diffusion": DIFFUSION, "decorrelation": DECORRELATION, "streams": STREAMS,
          "curvature": CURVATURE}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "wanted"),
    [pair for table in TABLES.values() for pair in table.values()],
    ids=[f"{name}: {what}" for name, table in TABLES.items() for what in table],
)
def test_options_left_alone(found: Any, wanted: Any) -> None:
    """A default is what it is said to be."""
    assert found == wanted


def test_random_feedback_has_the_variance_of_the_number_of_cells() -> None:
    """``N(0, 1 / N)``."""
    net = LeakyRNN(2, 400, 50, dtype=torch.float64)
    feedback = tca.Learner(net, tca.RULES["eprop_random"]).buffers["feedback"]
    assert float(feedback.var()) * 400 == pytest.approx(1, rel=0.05)


def test_first_magnitudes_of_two_streams() -> None:
    """``U[0, 1) / sqrt(fan-in)``, three to one within hidden streams, one to one onto outputs."""
    net = DualStream(100, [DenseLayer(80)], 5, dtype=torch.float64)
    within, between = net.w_1.detach()[:80, :100] * 10, net.w_1.detach()[:80, 100:] * 10
    assert float(within.max()) == pytest.approx(1.5, rel=0.01)
    assert float(between.max()) == pytest.approx(0.5, rel=0.01)
    assert float(within.mean() / between.mean()) == pytest.approx(3, rel=0.05)
    out = net.w_out.detach() * 80**0.5
    assert float(out[:, :80].mean() / out[:, 80:].mean()) == pytest.approx(1, rel=0.15)
    assert float(out.max()) == pytest.approx(1, rel=0.02)
    assert not net.b_1.any()
