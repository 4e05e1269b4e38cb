"""Native tasks: each is solved, without noise, by a solver of its own that sees the inputs alone and shares no code."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch

import tasks
from tasks.seeds import generator
from tca.batch import Batch
from tca.losses import MSE, CrossEntropy

# A solver sees one trial's inputs up to its end, shape (T, I), and returns the answer at each step, (T,) or (T, O).
Solver = Callable[[np.ndarray], np.ndarray]


def at_the_end(inputs: np.ndarray, go: np.ndarray, answer: int) -> np.ndarray:
    return np.where(go, answer, 0)


def solve_perceptual_decision(inputs: np.ndarray) -> np.ndarray:
    go = inputs[:, 0] == 0
    return at_the_end(inputs, go, 1 + int(inputs[:, 1:].sum(0).argmax()))


def solve_delayed_match(inputs: np.ndarray) -> np.ndarray:
    go = inputs[:, 0] == 0
    shown = [step for step in range(len(inputs)) if inputs[step, 1:].any()]
    return at_the_end(inputs, go, 1 if np.allclose(inputs[shown[0]], inputs[shown[-1]]) else 2)


def solve_context_decision(inputs: np.ndarray) -> np.ndarray:
    go = inputs[:, 0] == 0
    first, second = (1, 2) if inputs[0, 5] == 1 else (3, 4)
    return at_the_end(inputs, go, 1 if inputs[:, first].sum() > inputs[:, second].sum() else 2)


def solve_evidence_accumulation(inputs: np.ndarray) -> np.ndarray:
    return at_the_end(inputs, inputs[:, 2] == 1, int(inputs[:, 1].sum() > inputs[:, 0].sum()))


def solve_delayed_xor(inputs: np.ndarray) -> np.ndarray:
    signs = [value for value in inputs[:, 0] if value != 0]
    return at_the_end(inputs, inputs[:, 1] == 1, int(signs[0] != signs[-1]))


def solve_flip_flop(inputs: np.ndarray) -> np.ndarray:
    answer, state = np.zeros_like(inputs), np.zeros(inputs.shape[1])
    for step, pulses in enumerate(inputs):
        state = np.where(pulses == 0, state, np.sign(pulses))
        answer[step] = state
    return answer


def solve_pattern_generation(inputs: np.ndarray) -> np.ndarray:
    source = generator(3)
    amplitudes = 0.5 + 1.5 * torch.rand(3, 2, 4, generator=source, dtype=torch.float64).numpy()
    phases = 2 * math.pi * torch.rand(3, 2, 4, generator=source, dtype=torch.float64).numpy()
    pattern = int(inputs[0, :3].argmax())
    answer = np.zeros((len(inputs), 2))
    for step in range(len(inputs)):
        for output in range(2):
            for place, frequency in enumerate((1, 2, 3, 5)):
                angle = 2 * math.pi * frequency * step * 0.01 + phases[pattern, output, place]
                answer[step, output] += amplitudes[pattern, output, place] * math.sin(angle)
    return answer / answer.std(0)


def solve_context_integration(inputs: np.ndarray) -> np.ndarray:
    relevant = inputs[:, 1] if inputs[0, 3] == 1 else inputs[:, 2]
    return at_the_end(inputs, inputs[:, 0] == 0, 1 + int(relevant.sum() > 0))


def solve_center_out_reach(inputs: np.ndarray) -> np.ndarray:
    """Reach after 150 ms, for 450 ms: minimum jerk is the distribution function of a beta variable (3, 3)."""
    goal = inputs[inputs[:, :2].any(1)][0, :2]
    since_go = 10.0 * (np.arange(len(inputs)) - np.argmin(inputs[:, 2]))
    return scipy.stats.beta(3, 3).cdf((since_go - 150) / 450)[:, None] * goal


def solve_adding_problem(inputs: np.ndarray) -> np.ndarray:
    return np.full((len(inputs), 1), inputs[:, 0] @ inputs[:, 1])


def solve_copy_memory(inputs: np.ndarray) -> np.ndarray:
    answer, recall = np.zeros(len(inputs)), inputs[:, -1] == 1
    answer[recall] = [symbols.argmax() for symbols in inputs[:, :-1] if symbols.any()]
    return answer


def solve_anbn(inputs: np.ndarray) -> np.ndarray:
    letters_a, letters_b = inputs[:, :2].cumsum(0).T
    return np.where(letters_b < letters_a, 1, 2)


def solve_rotation(inputs: np.ndarray) -> np.ndarray:
    answer = np.zeros((len(inputs), 2))
    answer[0] = inputs[0, :2]
    for step in range(1, len(inputs)):
        c, s = math.cos(inputs[step, 2]), math.sin(inputs[step, 2])
        answer[step] = np.array([[c, -s], [s, c]]) @ answer[step - 1]
    return answer


SOLVERS: dict[str, tuple[Solver, list[dict]]] = {
    "perceptual_decision": (solve_perceptual_decision, [{}, {"delay": (0, 500), "stimulus": (300, 800), "choices": 5}]),
    "delayed_match": (solve_delayed_match, [{}, {"delay": (200, 1500), "stimuli": 4}, {"fixation": (200, 500, 900)}]),
    "context_decision": (solve_context_decision, [{}, {"delay": 0, "fixation": (100, 900)}]),
    "evidence_accumulation": (solve_evidence_accumulation, [{}, {"delay": (0, 500), "cues": 3}, {"gap": 0, "dt": 10}]),
    "delayed_xor": (solve_delayed_xor, [{}, {"delay": (100, 900), "wait": (0, 600)}]),
    "flip_flop": (solve_flip_flop, [{}, {"bits": 1, "rate": 25.0}, {"rate": 0.0}]),
    "pattern_generation": (solve_pattern_generation, [{"outputs": 2, "pattern_seed": 3}]),
    "context_integration": (solve_context_integration, [{}, {"delay": 0, "motion": (0.4, 0.9), "dt": 10}]),
    "center_out_reach": (
        solve_center_out_reach, [{}, {"targets": 3, "visible": False, "fixation": (100, 400), "radius": 2.0}],
    ),
    "adding_problem": (solve_adding_problem, [{}, {"steps": 7}]),
    "copy_memory": (solve_copy_memory, [{}, {"symbols": 3, "length": 4, "delay": 0}]),
    "anbn": (solve_anbn, [{}, {"longest": 3}]),
    "rotation": (solve_rotation, [{}, {"steps": 50, "spread": 1.0}]),
}  # fmt: skip
NOISY = [name for name in SOLVERS if "noise" in inspect.signature(tasks.NATIVE[name]).parameters]
CASES = [(name, options) for name, (_, cases) in SOLVERS.items() for options in cases]


def trials_of(batch: Batch) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Return inputs, targets and decisions of each trial up to its last decision step, and the trial's length."""
    result = []
    for trial in range(batch.trials):
        length = 1 + int(batch.decision_steps[:, trial].nonzero().max())
        parts = (batch.inputs, batch.targets, batch.decision_steps)
        result.append((*(part[:length, trial].numpy() for part in parts), length))
    return result


def test_every_native_task_is_solved_here() -> None:
    told_in_spikes = [name for name in tasks.NATIVE if name.endswith("_spikes")]  # solved in a file of their own
    assert sorted([*SOLVERS, "sequential_digits", *told_in_spikes]) == sorted(tasks.NATIVE)


@pytest.mark.thirds
@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_answer_follows_from_the_inputs(name: str, options: dict) -> None:
    task = tasks.make(name, **({"noise": 0.0} if name in NOISY else {}), **options)
    batch = task.split(200, 1, seed=5)[0].batch()
    lengths = set()
    for inputs, targets, decisions, length in trials_of(batch):
        np.testing.assert_allclose(SOLVERS[name][0](inputs)[decisions], targets[decisions], atol=1e-5)
        if batch.targets.ndim == 2 and name != "anbn":  # which predicts all along, in part by chance
            assert not targets[~decisions].any(), "class 0 until the decision"
        lengths.add(length)
    drawn = any(isinstance(value, tuple) for value in vars(task).values() if _is_time(value))
    assert (len(lengths) > 1) == (drawn or name == "anbn")


def _is_time(value: object) -> bool:
    return isinstance(value, tuple) and value[-1] > 60  # coherences and frequencies are smaller than any time here


def test_noise_is_missing_where_inputs_are_exact() -> None:
    assert {*SOLVERS} - {*NOISY} == {"adding_problem", "copy_memory", "anbn", "rotation"}


@pytest.mark.parametrize("name", sorted(NOISY))
def test_noise_has_the_declared_size_and_scales_with_the_step(name: str) -> None:
    for dt in (5.0, 10.0):
        quiet, noisy = (tasks.make(name, dt=dt, noise=noise) for noise in (0.0, 0.8))
        reference = quiet.split(400, 1, seed=0)[0].batch().inputs
        inputs = noisy.split(400, 1, seed=0)[0].batch().inputs
        if name == "context_decision":
            inputs, reference = inputs[60:130:, :, 1:5], reference[60:130:, :, 1:5]
        spread = (inputs - reference)[(inputs - reference) != 0].std()
        assert spread == pytest.approx(0.8 / math.sqrt(dt), rel=0.02)


@pytest.mark.parametrize("value", [(200.0, 900.0), (300.0, 200.0, 900.0)])
def test_drawn_durations_have_the_declared_distribution(value: tuple[float, ...]) -> None:
    task = tasks.make("delayed_xor", delay=value, noise=0.0, dt=1.0, decision=1, wait=0, pulse=1)
    batch = task.split(6000, 1, seed=2)[0].batch()
    delays = batch.decision_steps.long().argmax(0).numpy() - 2
    low, high = value[-2:]
    assert delays.min() >= low
    assert delays.max() < high
    if len(value) == 2:
        quantiles = [low + (high - low) * share for share in (0.25, 0.5, 0.75)]
    else:
        reference = np.random.default_rng(0).exponential(value[0], 400_000)
        quantiles = np.quantile(reference[(reference >= low) & (reference < high)], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(np.quantile(delays, [0.25, 0.5, 0.75]), quantiles, atol=20)


def test_conditions_are_balanced_and_independent() -> None:
    batch = tasks.make("context_decision", noise=0.0, delay=0).split(8000, 1, seed=1)[0].batch()
    stimulus = batch.inputs[5].numpy()
    sides = (stimulus[:, 1] > stimulus[:, 2], stimulus[:, 3] > stimulus[:, 4], stimulus[:, 5] == 1)
    table = np.zeros((2, 2, 2))
    np.add.at(table, tuple(side.astype(int) for side in sides), 1)
    np.testing.assert_allclose(table / 8000, 1 / 8, atol=0.015)


def test_cues_favour_a_side_as_declared() -> None:
    def right_cues(bias: float) -> np.ndarray:
        task = tasks.make("evidence_accumulation", noise=0.0, bias=bias, cue=50)
        return task.split(8000, 1, seed=1)[0].batch().inputs[..., 1].sum(0).numpy()

    assert set(right_cues(1.0)) == {0, 7}
    for bias in (0.5, 0.7):
        binomial = 7 * bias * (1 - bias)
        spread = ((right_cues(bias) - 3.5) ** 2).mean()
        assert spread == pytest.approx(binomial + (7 * (bias - 0.5)) ** 2, rel=0.06)


def test_sequential_digits_shows_the_images_row_by_row() -> None:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    known = {(image / 16).astype(np.float32).tobytes(): digit for image, digit in zip(images, digits, strict=True)}
    task = tasks.make("sequential_digits", row=40, decision=60)
    for batch in (part.batch() for part in task.split(1198, 599, seed=0)):
        assert batch.steps == 8 * 2 + 3
        assert not batch.inputs[:16, :, 8].any()
        assert (batch.inputs[16:, :, 8] == 1).all()
        assert not batch.inputs[16:, :, :8].any()
        assert torch.equal(batch.inputs[0:16:2], batch.inputs[1:16:2]), "each row stays for two steps"
        rows = batch.inputs[0:16:2, :, :8].transpose(0, 1).reshape(batch.trials, 64).contiguous().numpy()
        assert [known[row.tobytes()] for row in rows] == batch.targets[-1].tolist()


def test_sequential_digits_without_time_to_decide_answers_at_the_last_row() -> None:
    """Without a decision there are the pixels alone, and the last step of the last row counts."""
    with_time, without = (tasks.make("sequential_digits", row=40, decision=decision) for decision in (60, 0))
    (trials, _), (same, _) = (task.split(50, 1, seed=0) for task in (without, with_time))
    batch, longer = trials.batch(), same.batch()
    assert (without.n_in, batch.inputs.shape) == (8, (16, 50, 8))
    assert torch.equal(batch.inputs, longer.inputs[:16, :, :8])
    assert torch.equal(batch.targets[-1], longer.targets[-1])
    assert batch.weights.nonzero()[:, 0].unique().tolist() == [15]
    assert torch.equal(batch.decisions, batch.weights == 1)


def test_sequential_digits_pools_are_disjoint_for_all_seeds() -> None:
    task = tasks.make("sequential_digits")

    def images(batch: Batch) -> set[bytes]:
        return {batch.inputs[:, trial].contiguous().numpy().tobytes() for trial in range(batch.trials)}

    train, test = (images(part.batch()) for part in task.split(1198, 599, seed=0))
    assert (len(train), len(test)) == (1198, 599), "no image comes twice"
    other_train, other_test = (images(part.batch()) for part in task.split(500, 500, seed=9))
    assert other_train <= train
    assert other_test <= test
    assert not train & test
    stream = task.stream(100, seed=0)
    assert all(images(next(stream)) <= train for _ in range(3))


def test_losses_and_measures() -> None:
    real = {name for name in tasks.NATIVE if isinstance(tasks.make(name).loss, MSE)}
    patterns = {"pattern_generation", "pattern_generation_spikes"}
    assert real == {"flip_flop", *patterns, "adding_problem", "rotation", "center_out_reach"}
    for name in tasks.NATIVE:
        task = tasks.make(name)
        assert task.measure == ("R2" if name in real else "accuracy")
        assert isinstance(task.loss, MSE | CrossEntropy)
