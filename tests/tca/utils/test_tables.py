"""Results as tables of pandas, and in notebooks."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
import torch

import analysis
import tasks
import tca

pandas = pytest.importorskip("pandas")
NET = tca.nets.LeakyRNN(3, 4, 3, dt=100.0, seed=0, dtype=torch.float64)


@pytest.fixture(scope="module")
def trials() -> tasks.TrialSet:
    task = tasks.make("perceptual_decision")
    return task.split(6, 2, seed=0)[0]


def test_trials_have_a_row_each(trials: tasks.TrialSet) -> None:
    frame, batch = trials.to_frame(), trials.batch()
    assert batch.decisions is not None
    assert len(frame) == 6
    assert frame["steps"].tolist() == batch.trial_lengths.tolist()
    assert frame["decision_steps"].tolist() == batch.decisions.sum(0).tolist() == [1] * 6
    assert frame["weight"].tolist() == pytest.approx([1.0] * 6)
    for name, values in batch.info.items():
        assert frame[name].tolist() == values.tolist()


def test_a_result_has_a_row_for_each_measurement() -> None:
    run = tca.Run(
        "delayed_xor",
        "eprop",
        net=tca.NetworkConfig(size=4),
        callbacks=(tca.Callback("alignment", every=2),),
        steps=3,
        evaluate_every=1,
        n_train=4,
        n_test=4,
    )
    result = tca.train(run, progress=False)
    frame = result.to_frame()
    assert frame["step"].tolist() == [0, 1, 2, 3]
    assert frame["test_loss"].tolist() == [each.test_loss for each in result.metrics]
    assert frame["cosine"].isna().tolist() == ["cosine" not in each.observed for each in result.metrics]
    assert frame["cosine"].iloc[-1] == result.last.observed["cosine"]


def test_alignment_and_curvature() -> None:
    batch = tasks.make("delayed_match").split(4, 1, seed=0)[0].to(dtype=torch.float64).batch()
    aligned = analysis.alignment(NET, batch, ["bptt", "rflo" if NET.form == "B" else "eprop"])
    frame = aligned.to_frame().set_index("rule")
    assert frame.loc["bptt", "cosine"] == pytest.approx(1.0)
    assert frame.loc["eprop", "norm_ratio"] == aligned["eprop"].recurrent.norm_ratio
    assert frame.loc["eprop", "cosine.w_in"] == aligned["eprop"].parameters["w_in"].cosine
    found = analysis.curvature(NET, batch, probes=4)
    (row,) = found.to_frame().to_dict("records")
    assert (row["largest"], row["smallest"]) == (found.largest.value, found.smallest.value)
    assert found.trace is not None
    assert (row["trace"], row["trace_standard_error"]) == (found.trace.value, found.trace.standard_error)


@pytest.fixture(scope="module")
def batch() -> tca.Batch:
    return tasks.make("delayed_match").split(6, 1, seed=0)[0].to(dtype=torch.float64).batch()


def test_measures_of_curvature_have_tables(batch: tca.Batch) -> None:
    operator = analysis.operator(NET, batch, "w_rec")
    spectrum = analysis.spectrum(operator, k=2)
    frame = spectrum.to_frame()
    assert frame["end"].tolist() == ["largest"] * 2 + ["smallest"] * 2
    assert frame["value"].tolist() == [each.value for each in (*spectrum.largest, *spectrum.smallest)]
    density = analysis.density(operator, probes=2, steps=3, seed=0)
    frame = density.to_frame()
    assert frame.groupby("probe")["weight"].sum().tolist() == pytest.approx([1.0] * len(density.nodes))
    assert (frame["node"] * frame["weight"]).sum() / len(density.nodes) == pytest.approx(density.mean(density.nodes)[0])
    share = analysis.gradient_share(NET, batch, 2, parameters="w_rec")
    assert share.to_frame()["share"].sum() == pytest.approx(share.share)
    found = analysis.random_sharpness(NET, batch, pairs=3)
    (row,) = found.to_frame().to_dict("records")
    assert (row["rise"], row.get("rise_low"), row["trace"]) == (found.rise.value, found.rise.low, found.trace.value)
    assert row["parameters"] == ", ".join(found.parameters)
    trace = analysis.trace(operator, probes=3)
    assert trace.to_frame().to_dict("list") == {
        "value": [trace.value],
        "standard_error": [trace.standard_error],
        "probes": [trace.probes],
        "estimator": [trace.estimator],
    }


def test_gaps_and_landscapes_have_tables(batch: tca.Batch) -> None:
    task = tasks.make("delayed_match")
    train, test = (each.to(dtype=torch.float64) for each in task.split(6, 4, seed=0))
    gap = analysis.generalization_gap(NET, task, train, test)
    frame = gap.to_frame().set_index("set")
    assert frame.loc["test", "loss_gap"] == gap.test.loss - gap.train.loss
    assert (frame.loc["train", "trials"], frame.loc["train", "accuracy_gap"]) == (6, 0)
    plane = analysis.landscape(NET, batch, "w_rec", points=3, dimensions=2)
    frame = plane.to_frame().set_index(["position", "second"])
    for (i, first), (j, second) in itertools.product(
        enumerate(plane.positions.tolist()), enumerate(plane.second.tolist())
    ):
        assert frame.loc[(first, second), "loss"] == plane.losses[i, j].item()
    line = analysis.landscape(NET, batch, "w_rec", points=3)
    assert line.to_frame()["parabola"].tolist() == line.parabola.tolist()
    barrier = analysis.barrier(NET, tca.nets.LeakyRNN(3, 4, 3, dt=100.0, seed=1, dtype=torch.float64), batch, points=3)
    frame = barrier.to_frame()
    assert (frame["loss"] - frame["chord"]).max() == pytest.approx(barrier.height)


def test_measures_of_dynamics_and_stability_have_tables(batch: tca.Batch) -> None:
    exponents = analysis.lyapunov(NET, batch.inputs, count=2)
    assert exponents.to_frame()["exponent"].tolist() == exponents.exponents.tolist()
    points = analysis.fixed_points(NET, torch.zeros(3), analysis.sampled_states(NET, batch.inputs, 4))
    frame = points.to_frame()
    assert frame["kind"].tolist() == points.kinds()
    assert frame["found"].sum() == points.starts - points.unfinished
    stability = analysis.stability(NET, batch.select(slice(0, 1)), ["bptt", "eprop"])
    frame = stability.to_frame().set_index("rule")
    assert frame.loc["bptt", "rho"] == pytest.approx(1.0)
    assert frame.loc["eprop", "critical_rate"] == stability["eprop"].critical_rate
    assert frame.loc["bptt", "largest_real_mu"] == pytest.approx(stability.largest)


def test_a_psychometric_curve_has_a_row_a_level_and_its_fit_a_row_a_parameter() -> None:
    coherence = np.repeat([-2.0, -1.0, 1.0, 2.0], 10)
    choices = (coherence > 0).astype(np.int64)
    choices[[3, 12, 25]] ^= 1  # wrong ones
    right = torch.tensor(coherence > 0).long().expand(1, -1)
    x = torch.zeros(1, 40, 1)
    trials = tca.Batch(x, right, torch.ones(1, 40), tca.losses.CrossEntropy(), info={"coherence": coherence})
    curve = analysis.psychometric(choices, trials, variable="coherence", lapse=0.0)
    frame = curve.to_frame().set_index("levels")
    assert frame["trials"].tolist() == [10] * 4
    assert frame.loc[-2.0, "proportion"] == 0.1
    assert (frame["low"] < frame["proportion"]).all()
    assert (frame["fitted"] == curve(frame.index)).all()
    parameters = curve.fit.to_frame().set_index("parameter")
    assert parameters.loc["threshold", "high"] == curve.threshold.high


def test_notebooks_show_tables_and_text_without_pandas(trials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = tca.Batch(
        torch.zeros(2, 1, 1), torch.zeros(2, 1, 1), torch.ones(2, 1), tca.losses.MSE(), info={"side": ["<b>left"]}
    )
    shown = tasks.TrialSet(batch)._repr_html_()
    assert shown is not None
    assert "<table" in shown
    assert "&lt;b&gt;left" in shown
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert trials._repr_html_() is None
    with pytest.raises(ImportError, match=r"temporal-credit-assignment\[tables\]"):
        trials.to_frame()
