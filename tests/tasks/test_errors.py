"""Careless input: each is refused with an error that names the argument, what came and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

import tasks


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("delayed_mach", "did you mean 'delayed_match'"),
        ("Delayed_Match", "did you mean 'delayed_match'"),
        ("DelayMatchSample", "did you mean 'DelayMatchSample-v0'"),
        ("DelayMatchSampel-v0", "did you mean 'DelayMatchSample-v0'"),
        ("", "unknown task ''"),
        (None, "name must be a string or an object that yields trials, got None"),
        (3, "name must be a string or an object that yields trials, got 3"),
        (["flip_flop"], "name must be a string or"),
    ],
)
def test_unknown_names_offer_the_nearest(name: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        tasks.make(name)


def test_describing_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'flip_flop'"):
        tasks.describe("flipflop")


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("delayed_match", {"delai": 100}, ValueError, "unknown option of delayed_match 'delai', did you mean 'delay'"),
    ("delayed_match", {"loss": None}, ValueError, "unknown option of delayed_match 'loss'"),
    ("delayed_match", {"dt": 0}, ValueError, "dt must be greater than 0, got 0"),
    ("delayed_match", {"dt": -10.0}, ValueError, "dt must be greater than 0, got -10"),
    ("delayed_match", {"dt": float("nan")}, ValueError, "dt must be finite, got nan"),
    ("delayed_match", {"dt": "100"}, TypeError, "dt must be a number, got '100'"),
    ("delayed_match", {"dt": 600}, ValueError, "at least one time step, got 300 ms with dt = 600 ms"),
    ("delayed_match", {"delay": -5}, ValueError, "delay must be 0 or greater, got -5"),
    ("delayed_match", {"delay": (900, 300)}, ValueError, "delay's high must be greater than its low"),
    ("delayed_match", {"delay": (-900, 300)}, ValueError, r"delay\[0\] must be 0 or greater"),
    ("delayed_match", {"delay": (0, 300, 900)}, ValueError, "delay's mean must be greater than 0"),
    ("delayed_match", {"delay": (1, 2, 3, 4)}, TypeError, "delay must be a time in ms"),
    ("delayed_match", {"delay": (300, float("inf"))}, ValueError, r"delay\[1\] must be finite"),
    ("delayed_match", {"delay": "long"}, TypeError, "delay must be a number or a list or tuple of numbers, got 'long'"),
    ("delayed_match", {"sample": 0}, ValueError, "sample must be greater than 0"),
    ("delayed_match", {"decision": 0}, ValueError, "decision must be greater than 0"),
    ("delayed_match", {"stimuli": 1}, ValueError, "stimuli must be at least 2, got 1"),
    ("delayed_match", {"noise": -1}, ValueError, "noise must be 0 or greater, got -1"),
    ("perceptual_decision", {"coherences": ()}, ValueError, "coherences must hold at least 1"),
    ("perceptual_decision", {"coherences": 5.0}, TypeError, "coherences must be a list or tuple"),
    ("perceptual_decision", {"coherences": (120,)}, ValueError, r"coherences\[0\] must be at most 100, got 120"),
    ("perceptual_decision", {"stimulus": 0}, ValueError, "stimulus must be greater than 0"),
    ("perceptual_decision", {"choices": 2.0}, TypeError, "choices must be an integer"),
    ("context_decision", {"coherences": (-5,)}, ValueError, r"coherences\[0\] must be 0 or greater, got -5"),
    ("context_decision", {"stimulus": 0}, ValueError, "stimulus must be greater than 0"),
    ("evidence_accumulation", {"cues": 4}, ValueError, "cues must be odd"),
    ("evidence_accumulation", {"bias": 0.3}, ValueError, "bias must be at least 0.5, got 0.3"),
    ("evidence_accumulation", {"dt": 100}, ValueError, "gap must be 0 or at least one time step"),
    ("delayed_xor", {"pulse": 0}, ValueError, "pulse must be greater than 0"),
    ("flip_flop", {"rate": 100}, ValueError, "rate must lie between 0 and 1000 / pulse = 25, got 100"),
    ("flip_flop", {"duration": 10}, ValueError, "duration must be at least pulse = 40 ms, got 10"),
    ("flip_flop", {"bits": 0}, ValueError, "bits must be at least 1"),
    ("pattern_generation", {"duration": 5}, ValueError, "duration must be 0 or at least one time step"),
    ("pattern_generation", {"duration": 15}, ValueError, "duration must be at least 2 steps"),
    ("pattern_generation", {"frequencies": [60]}, ValueError, "frequencies must lie between 0 and 500 / dt = 50 Hz"),
    ("pattern_generation", {"clock": 101}, ValueError, "clock must be at most the number of steps, 100, got 101"),
    ("pattern_generation", {"pattern_seed": -1}, ValueError, "pattern_seed must be at least 0"),
    ("sequential_digits", {"row": 5}, ValueError, "row must be 0 or at least one time step"),
    ("DelayMatchSample-v0", {"dt": -100}, ValueError, "dt must be greater than 0"),
    ("DelayMatchSample-v0", {"dt": 400}, ValueError, "dt must be at most 300 ms, the period 'fixation'"),
    ("PulseDecisionMaking-v0", {"dt": 20}, ValueError, "dt must be at most 10 ms, the period 'cue0'"),
    (
        "DelayMatchSample-v0",
        {"sigmma": 1},
        ValueError,
        "unknown option of DelayMatchSample-v0 'sigmma', did you mean 's",
    ),
    ("yang19.dms-v0", {"dimring": 8}, ValueError, "unknown option of yang19.dms-v0 'dimring', did you mean 'dim_ring'"),
    ("yang19.dms-v0", {"dim_ring": 7}, ValueError, "yang19.dms-v0 refuses the options {'dim_ring': 7}: .*even number"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD)
def test_bad_options_are_refused(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        tasks.make(name, **options)
    assert "\n" not in str(caught.value), "one readable line"


@pytest.mark.parametrize("name", ["delayed_xor", "sequential_digits", "GoNogo-v0"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 5, 0), ValueError, "n_train must be at least 1, got 0"),
        ((5, 0, 0), ValueError, "n_test must be at least 1, got 0"),
        ((5, -3, 0), ValueError, "n_test must be at least 1, got -3"),
        ((5.0, 5, 0), TypeError, "n_train must be an integer of at least 1, got 5.0"),
        ((5, 5, -1), ValueError, "seed must be at least 0, got -1"),
        ((5, 5, None), TypeError, "seed must be an integer of at least 0, got None"),
    ],
)
def test_bad_splits_are_refused(name: str, arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tasks.make(name).split(*arguments)


@pytest.mark.parametrize("name", ["delayed_xor", "sequential_digits", "GoNogo-v0"])
def test_bad_streams_are_refused_at_once(name: str) -> None:
    task = tasks.make(name)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        task.stream(0, seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        task.stream(4, seed=-1)
    with pytest.raises(ValueError, match="start must be at least 0"):
        task.stream(4, seed=0, start=-1)


def test_more_digits_than_there_are_is_refused() -> None:
    task = tasks.make("sequential_digits")
    with pytest.raises(ValueError, match="n_train must be at most 1198, the images in its pool, got 1199"):
        task.split(1199, 10, seed=0)
    with pytest.raises(ValueError, match="n_test must be at most 599, the images in its pool, got 600"):
        task.split(10, 600, seed=0)
