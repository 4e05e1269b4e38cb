"""Native tasks of the similarity literature and of real-time recurrent learning, against closed forms."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

import tasks
from tasks.native.center_out_reach import minimum_jerk


def test_context_integration_has_the_published_times_and_conditions() -> None:
    task = tasks.make("context_integration")
    batch = task.conditions()
    assert (batch.steps, batch.trials) == (23 + 50 + 20 + 20, 72)
    rows = {tuple(batch.info[name][c] for name in ("context", "motion", "colour")) for c in range(72)}
    assert len(rows) == 72
    assert sorted(set(batch.info["motion"])) == [-0.5, -0.15, -0.05, 0.05, 0.15, 0.5]
    assert sorted(set(batch.info["colour"])) == [-0.5, -0.18, -0.06, 0.06, 0.18, 0.5]
    assert batch.info["condition"].tolist() == list(range(72))
    for c in range(72):
        x_TI, context = batch.inputs[:, c].double().numpy(), int(batch.info["context"][c])
        np.testing.assert_allclose(x_TI[23:73, 1], batch.info["motion"][c], rtol=1e-6)
        np.testing.assert_allclose(x_TI[23:73, 2], batch.info["colour"][c], rtol=1e-6)
        assert (x_TI[:23, 1:3] == 0).all()
        assert (x_TI[73:, 1:3] == 0).all()
        assert x_TI[:, 0].tolist() == [1.0] * 93 + [0.0] * 20
        assert (x_TI[:, 3 + context] == 1).all()
        assert (x_TI[:, 4 - context] == 0).all()
        assert batch.targets[:, c].tolist() == [0] * 93 + [1 + int(x_TI[30, 1 + context] > 0)] * 20


def test_context_integration_an_ideal_observer_is_right_as_often_as_theory_has_it() -> None:
    task = tasks.make("context_integration", noise=4.0)
    batch = task.split(20000, 1, seed=0)[0].batch()
    sums_B2 = batch.inputs[23:73, :, 1:3].double().sum(0).numpy()
    relevant_B = np.where(batch.info["context"] == 0, sums_B2[:, 0], sums_B2[:, 1])
    right_B = (relevant_B > 0) == (batch.info["side"] == 1)
    for name, context in (("motion", 0), ("colour", 1)):
        for coherence in getattr(task, name):
            here = (batch.info["context"] == context) & (np.abs(batch.info["evidence"]) == coherence)
            p = scipy.stats.norm.cdf(coherence * math.sqrt(50) / (4.0 / math.sqrt(15)))
            assert abs(right_B[here].mean() - p) < 4 * math.sqrt(p * (1 - p) / here.sum()) + 1e-9
    assert np.bincount(batch.info["condition"], minlength=72).min() > 200


def test_a_reach_is_the_polynomial_without_velocity_and_acceleration_at_its_ends() -> None:
    task = tasks.make("center_out_reach", delay=300.0, noise=0.0, radius=2.0)
    batch = task.conditions()
    times, movement = np.arange(batch.steps) * 10.0, task.movement
    onset = task.fixation + 300.0 + task.reaction
    assert batch.info["onset"].tolist() == [onset] * 8
    # Six conditions on place, velocity and acceleration at both ends; powers of the fraction of the movement.
    powers = np.arange(6)
    rows = [np.where(powers == 0, 1, 0), np.where(powers == 1, 1, 0), np.where(powers == 2, 2, 0),
            np.ones(6), powers, powers * (powers - 1)]  # fmt: skip
    polynomial = np.linalg.solve(np.array(rows, float), [0, 0, 0, 1, 0, 0])
    way = np.polynomial.polynomial.polyval(np.clip((times - onset) / movement, 0, 1), polynomial)
    for target in range(8):
        goal = 2.0 * np.array([math.cos(math.pi * target / 4), math.sin(math.pi * target / 4)])
        np.testing.assert_allclose(batch.targets[:, target].numpy(), way[:, None] * goal, atol=1e-6)
        np.testing.assert_allclose(batch.inputs[30, target, :2].numpy(), goal, atol=1e-6)
    assert (batch.inputs[:20, :, :2] == 0).all()
    assert batch.inputs[:, 0, 2].tolist() == [1.0] * 50 + [0.0] * (batch.steps - 50)


def test_the_jerk_of_a_reach_is_the_smallest() -> None:
    """``int x'''^2 = 720`` for a unit way in unit time, by differences; any other path with the same ends has more."""
    s = torch.linspace(0, 1, 20001, dtype=torch.float64)
    step = 1 / 20000

    def jerk(path: torch.Tensor) -> float:
        return float((torch.diff(path, n=3) / step**3).square().sum() * step)

    bump = s**3 * (1 - s) ** 3
    assert jerk(minimum_jerk(s)) == pytest.approx(720, rel=1e-3)
    assert min(jerk(minimum_jerk(s) + each * bump) for each in (-0.5, 0.5)) > 720 * 1.0005
    assert float(torch.diff(minimum_jerk(s)).max() / step) == pytest.approx(15 / 8, rel=1e-6)


def test_reaches_wait_for_their_own_go_cue() -> None:
    task = tasks.make("center_out_reach", noise=0.0, visible=False)
    batch = task.split(50, 1, seed=0)[0].batch()
    hold_B = (batch.inputs[..., 2] == 1).sum(0)
    moved_B = (batch.targets.norm(dim=-1) > 0).int().argmax(0)
    assert (moved_B == hold_B + task.reaction / 10 + 1).all()
    assert len(hold_B.unique()) > 10
    seen_TB = batch.inputs[..., :2].norm(dim=-1) > 0
    assert (seen_TB.sum(0) == hold_B - 20).all()
    assert (batch.trial_lengths == hold_B + (task.reaction + task.movement + task.hold) / 10).all()
    angles = torch.tensor(batch.info["target"]) * 2 * math.pi / 8
    last = batch.targets[batch.trial_lengths - 1, torch.arange(50)]
    torch.testing.assert_close(last, torch.stack((angles.cos(), angles.sin()), 1).float())


def test_adding_problem() -> None:
    batch = tasks.make("adding_problem", steps=21).split(20000, 1, seed=0)[0].batch()
    numbers_TB, marks_TB = batch.inputs.double().unbind(-1)
    assert marks_TB[:10].sum(0).unique().tolist() == marks_TB[10:].sum(0).unique().tolist() == [1.0]
    sums_B = torch.where(marks_TB == 1, numbers_TB, 0).sum(0)
    torch.testing.assert_close(batch.targets[-1, :, 0].double(), sums_B)
    assert (batch.weights[:-1] == 0).all()
    constant = batch.loss.mean(torch.ones_like(batch.targets), batch.targets, batch.weights).item()
    assert constant == pytest.approx(1 / 12, abs=4 * math.sqrt(7 / 720 / 20000))  # half of the variance of a sum of two
    assert (marks_TB[:10].argmax(0).numpy() == batch.info["first"]).all()


def test_copy_memory() -> None:
    task = tasks.make("copy_memory", symbols=5, length=4, delay=7)
    batch = task.split(3000, 1, seed=0)[0].batch()
    shown = batch.inputs[:4, :, :5].argmax(-1)
    assert torch.equal(batch.targets[-4:], shown)
    assert batch.inputs[4:11].sum() == 0
    assert batch.inputs[:, 0, 5].tolist() == [0.0] * 11 + [1.0] * 4
    flat = batch.loss.mean(torch.zeros(15, 3000, 5), batch.targets, batch.weights).item()
    assert flat == pytest.approx(math.log(5), rel=1e-5)
    counts = torch.bincount(shown.flatten(), minlength=5) / 12000
    assert float((counts - 0.2).abs().max()) < 4 * math.sqrt(0.16 / 12000)


def test_anbn_the_best_prediction_has_the_information_of_n() -> None:
    longest = 6
    batch = tasks.make("anbn", longest=longest).split(400, 1, seed=0)[0].batch()
    for trial in range(400):
        length = int(batch.trial_lengths[trial])
        symbols = batch.inputs[:length, trial].argmax(-1).tolist()
        n = (length - 1) // 2
        assert symbols == [2] + [0] * n + [1] * n
        assert batch.targets[:length, trial].tolist() == [*symbols[1:], 2]
        assert batch.info["n"][trial] == n
        # a hazard of 1 / (longest - k + 1) after k letters a; all else is certain
        nll = -sum(math.log(1 / (longest - k + 1) if k == n else 1 - 1 / (longest - k + 1)) for k in range(1, n + 1))
        assert nll == pytest.approx(math.log(longest), rel=1e-12)
        assert int(batch.decision_steps[:, trial].sum()) == n
    assert sorted(set(batch.info["n"])) == list(range(1, longest + 1))


def test_anbn_chance_is_that_of_the_better_constant() -> None:
    task = tasks.make("anbn", longest=6)
    batch = task.split(20000, 1, seed=1)[0].batch()
    scores = [task.accuracy(torch.eye(3)[each].expand(batch.steps, batch.trials, 3), batch) for each in range(3)]
    assert max(scores) == pytest.approx(task.chance, abs=0.01)


def test_rotation_the_error_of_not_integrating_grows_as_theory_has_it() -> None:
    task = tasks.make("rotation", steps=12, spread=0.4)
    batch = task.split(40000, 1, seed=0)[0].batch()
    targets, turns = batch.targets.double(), batch.inputs[..., 2].double()
    plane = torch.view_as_complex(targets.contiguous())
    expected = plane[0] * torch.exp(1j * turns.cumsum(0))
    torch.testing.assert_close(torch.view_as_real(expected), targets, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.inputs[0, :, :2], batch.targets[0])
    assert (batch.inputs[1:, :, :2] == 0).all()
    for t in (1, 5, 11):
        start = (targets[t] - targets[0]).square().sum(-1)
        shrunk = (targets[t] - math.exp(-t * 0.16 / 2) * targets[0]).square().sum(-1)
        for error, theory in ((start, 2 - 2 * math.exp(-t * 0.16 / 2)), (shrunk, 1 - math.exp(-t * 0.16))):
            assert float(error.mean()) == pytest.approx(theory, abs=4 * float(error.std()) / 200)
