"""Trial information: it agrees with the inputs and targets of its trial, and stays with it."""

import math

import numpy as np
import pytest
import torch

import tasks
import tca
from tasks.seeds import TRAIN, generator
from tca.utils.trial_info import info_of_rows, missing

LOSS = tca.losses.MSE()


def numbered(trials: int = 6, steps: int = 3, first: int = 0) -> tca.Batch:
    number_B = torch.arange(first, first + trials)
    values = number_B.double().expand(steps, trials)[..., None]
    info = {"number": number_B, "name": [f"trial {int(each)}" for each in number_B]}
    return tca.Batch(values, values, torch.full((steps, trials), 1 / steps, dtype=torch.float64), LOSS, info=info)


def follows(batch: tca.Batch) -> None:
    assert batch.info["number"].tolist() == batch.inputs[0, :, 0].tolist()
    assert batch.info["name"].tolist() == [f"trial {int(each)}" for each in batch.inputs[0, :, 0]]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("context_decision", {}),
        ("perceptual_decision", {}),
        ("perceptual_decision", {"choices": 4, "delay": (0.0, 500.0)}),
        ("delayed_match", {"stimuli": 5, "delay": (200.0, 900.0)}),
        ("delayed_xor", {}),
        ("evidence_accumulation", {}),
    ],
)
def test_information_of_native_tasks_is_what_inputs_show(name: str, options: dict) -> None:
    task = tasks.make(name, noise=0.0, **options)
    batch = task.split(40, 1, seed=1)[0].batch()
    x_TBI, info = batch.inputs.double(), batch.info
    answer_B = torch.where(batch.decision_steps, batch.targets, 0).amax(0).numpy()
    for trial in range(batch.trials):
        row, x_TI = {key: column[trial] for key, column in info.items()}, x_TBI[:, trial]
        if name == "context_decision":
            spread_2 = 100 * (x_TI[:, 2:5:2] - x_TI[:, 1:4:2]).sum(0) / round(row["stimulus"] / task.dt - 0.25)
            expected = {"evidence_0": spread_2[0], "evidence_1": spread_2[1], "evidence": spread_2[row["context"]]}
            assert x_TI[0, 5 + row["context"]] == 1
            assert row["side"] == answer_B[trial] - 1 == (row["evidence"] > 0)
        elif name == "perceptual_decision":
            shown_C = x_TI[:, 1:].abs().amax(0)
            expected = {"coherence": 200 * (shown_C.max() - 0.5), "side": shown_C.argmax()}
            if task.choices == 2:
                expected["evidence"] = 100 * (shown_C[1] - shown_C[0])
            assert row["side"] == answer_B[trial] - 1
        elif name == "delayed_match":
            on_T = (x_TI[:, 1:] != 0).any(1)
            shown = x_TI[on_T][:, 1:].argmax(1)
            expected = {"sample": shown[0], "test": shown[-1], "match": shown[0] == shown[-1]}
            expected["delay"] = task.dt * (on_T.nonzero()[5] - on_T.nonzero()[4] - 1)
            assert row["match"] == (answer_B[trial] == 1)
        elif name == "delayed_xor":
            pulses = x_TI[:, 0][x_TI[:, 0] != 0]
            expected = {"first": pulses[0] > 0, "second": pulses[-1] > 0}
        else:
            cues_2 = x_TI[:, :2].sum(0) / (task.cue // task.dt)
            expected = {"evidence": cues_2[1] - cues_2[0], "side": cues_2[1] > cues_2[0]}
            assert row["side"] == answer_B[trial]
        for key, value in expected.items():
            assert row[key] == pytest.approx(float(value), abs=1e-4), key


def test_periods_are_the_times_of_the_trial() -> None:
    task = tasks.make("delayed_xor", delay=(200.0, 900.0), wait=(100.0, 200.0, 900.0))
    batch = task.split(30, 1, seed=0)[0].batch()
    go_B = batch.decision_steps.int().argmax(0) * task.dt
    assert (batch.info["delay"] + batch.info["wait"] + 500 == go_B.numpy()).all()
    assert len(np.unique(batch.info["delay"])) > 5


def test_information_of_neurogym_is_the_trial_of_the_environment() -> None:
    from tasks.neurogym.neurogym_environment import SupervisedEnvironment

    batch = tasks.make("PerceptualDecisionMaking-v0").split(20, 1, seed=3)[0].batch()
    drawn = SupervisedEnvironment("PerceptualDecisionMaking-v0", {}).draw(20, generator(3, TRAIN))
    assert batch.info["coh"].tolist() == [trial.info["coh"] for trial in drawn]
    assert batch.info["stimulus"].tolist() == [2000.0] * 20
    answer_B = (batch.targets * batch.decision_steps).amax(0).numpy()
    assert (batch.info["ground_truth"] == answer_B - 1).all()


def test_entries_of_several_numbers_become_columns() -> None:
    pulses = tasks.make("PulseDecisionMaking-v0").split(8, 1, seed=0)[0].batch().info
    assert [f"pulse1_{place}" in pulses for place in (0, 5, 6)] == [True, True, False]
    assert "ground_truth_0" not in tasks.make("SpatialSuppressMotion-v0").split(2, 1, seed=0)[0].batch().info


def test_rows_may_lack_entries_and_nest_them() -> None:
    info = info_of_rows([{"of": {"v": 0.5}, "side": "left", "other": object()}, {"of": {}}, {"of": {"v": 1}}])
    assert info.keys() == {"of_v", "side"}
    np.testing.assert_array_equal(info["of_v"], [0.5, np.nan, 1.0])
    assert info["side"].tolist() == ["left", "", ""]


@pytest.mark.parametrize("name", ["images", "sequential_images", "sequential_digits"])
def test_information_of_images_is_their_class(name: str) -> None:
    train, _ = tasks.make(name).split(30, 5, seed=0)
    for batch in (
        train.batch(),
        next(train.batches(7, seed=0)),
        train.subset([3, 1]).batch(),
        next(tasks.make(name).stream(9, 0)),
    ):
        assert (batch.info["label"] == batch.targets[-1].numpy()).all()
    twice = train.batch()
    same = torch.tensor(twice.info["image"][None, :] == twice.info["image"][:, None])
    equal = (twice.inputs[:, None] == twice.inputs[:, :, None]).all(-1).all(0)
    assert torch.equal(same & equal, same)


def test_information_stays_with_its_trial() -> None:
    trials = tasks.TrialSet(numbered())
    for batch in trials.batches(4, seed=0, epochs=2):
        follows(batch)
    for batch in (
        *trials.pieces(4),
        trials.subset([5, 0]).batch(),
        trials.to(dtype=torch.float32).batch(),
        numbered().kept(),
    ):
        follows(batch)
    follows(tca.Batch.joined([numbered(2, 3), numbered(3, 5, first=7)]))


def test_information_stays_with_its_trial_in_streams() -> None:
    task = tasks.make("perceptual_decision", noise=0.0, stimulus=(200.0, 900.0))
    for batch, _ in zip(task.stream(5, seed=0), range(3), strict=False):
        shown_B = 200 * (batch.inputs[..., 1:].amax((0, 2)) - 0.5)
        np.testing.assert_allclose(batch.info["coherence"], shown_B.numpy(), atol=1e-4)


def test_joined_batches_are_padded_to_the_longest() -> None:
    one, other = numbered(2, 3), numbered(3, 5)
    whole = tca.Batch.joined([one, other])
    assert (whole.steps, whole.trials, whole.trial_lengths.tolist()) == (5, 5, [3, 3, 5, 5, 5])
    net = tca.nets.LeakyRNN(1, 4, 1, tau=100.0, dt=10.0, dtype=torch.float64, seed=0)
    losses = [LOSS.mean(net(each.inputs), each.targets, each.weights).item() for each in (one, other, whole)]
    assert losses[2] == pytest.approx((2 * losses[0] + 3 * losses[1]) / 5, rel=1e-12)


def test_missing_values_are_marked() -> None:
    weights = torch.ones(1, 3)
    info = {"delay": [300, None, 500], "side": ["left", None, "right"], "go": [True, False, True]}
    batch = tca.Batch(torch.zeros(1, 3, 1), torch.zeros(1, 3, 1), weights, LOSS, info=info)
    assert [missing(batch.info[name]).tolist() for name in ("delay", "side", "go")] == [
        [False, True, False],
        [False, True, False],
        [False] * 3,
    ]
    assert math.isnan(batch.info["delay"][1])
    assert batch.info["delay"].dtype == np.float64
    assert batch.info["go"].dtype == np.bool_


@pytest.mark.parametrize(
    ("info", "error", "message"),
    [
        ([1, 2, 3], TypeError, "info must be a mapping from names of columns to values, got list"),
        ({1: [1, 2, 3]}, TypeError, "info must have columns with names, got the name 1"),
        ({"side": [0, 1]}, ValueError, r"info\['side'\] must hold one value a trial, shape \(3,\), got shape \(2,\)"),
        ({"side": 1.0}, ValueError, r"info\['side'\] must hold one value a trial"),
        ({"side": [1j, 0, 0]}, TypeError, r"info\['side'\] must hold numbers, truth values or text, got complex128"),
        ({"side": [{}, 0, 0]}, TypeError, r"info\['side'\] must hold numbers, truth values or text, got \{\}"),
    ],
)
def test_bad_information_is_refused(info: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        tca.Batch(torch.zeros(1, 3, 1), torch.zeros(1, 3, 1), torch.ones(1, 3), LOSS, info=info)


def test_unknown_column_offers_the_nearest() -> None:
    with pytest.raises(KeyError, match="unknown column of info 'nmber', did you mean 'number'"):
        numbered().info["nmber"]
    with pytest.raises(ValueError, match="parts must hold at least one batch"):
        tca.Batch.joined([])
    half = tca.Batch(
        *(getattr(numbered(), name) for name in ("inputs", "targets", "weights")), tca.losses.CrossEntropy()
    )
    with pytest.raises(ValueError, match="parts must have one loss"):
        tca.Batch.joined([numbered(), half])
