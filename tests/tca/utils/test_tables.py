"""Results as tables of pandas, and in notebooks."""

from __future__ import annotations

import sys
from typing import Any

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
