"""What a careless user passes is refused by name: the argument, what came, and what is allowed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import tca
from tca.losses import MSE, CrossEntropy, Logistic

T, B, I, O = 4, 3, 2, 2  # noqa: E741 - the sizes by their names in the library


def net(**options):
    return tca.nets.LeakyRNN(I, 5, O, **options)


def batch(**parts):
    usual = {
        "inputs": torch.zeros(T, B, I),
        "targets": torch.zeros(T, B, O),
        "weights": torch.ones(T, B),
        "loss": MSE(),
    }
    return tca.Batch(**{**usual, **parts})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tau": -5}, ValueError, "tau must be positive and finite, in milliseconds, got -5"),
        ({"tau": float("nan")}, ValueError, "tau must be finite"),
        ({"tau": "50"}, TypeError, "tau must be a number or a list or tuple of numbers or a real tensor, got '50'"),
        ({"tau": True}, TypeError, "tau must be a number or a list or tuple of numbers or a real tensor, got True"),
        ({"tau": [1.0, 2.0]}, ValueError, r"tau must be one number or 5, one for each cell, got shape \(2,\)"),
        ({"tau": [9.0, 9.0, 9.0, 9.0, 0.0]}, ValueError, "tau must be positive and finite"),
        ({"tau": 5.0, "dt": 10.0, "leak": "euler"}, ValueError, "tau must be at least dt = 10.0 with the Euler leak"),
        ({"dt": 0}, ValueError, "dt must be greater than 0, got 0"),
        ({"dt": "10"}, TypeError, "dt must be a number, got '10'"),
        ({"readout_tau": -1.0}, ValueError, "readout_tau must be greater than 0, got -1.0"),
        ({"noise": -0.1}, ValueError, "noise must be 0 or greater, got -0.1"),
        ({"noise": float("inf")}, ValueError, "noise must be finite, got inf"),
        ({"gain_rec": float("nan")}, ValueError, "gain_rec must be finite, got nan"),
        ({"form": "C"}, ValueError, "unknown form 'C'. Allowed: A, B"),
        ({"activation": "tnh"}, ValueError, "unknown activation 'tnh', did you mean 'tanh'?"),
        ({"leak": "eulr"}, ValueError, "unknown leak 'eulr', did you mean 'euler'?"),
        ({"dtype": torch.int64}, ValueError, "dtype must be torch.float32 or torch.float64, got torch.int64"),
        (
            {"mask_rec": torch.ones(5, 4)},
            ValueError,
            r"mask_rec must have the shape \(5, 5\) of its weights, got \(5, 4\)",
        ),
        ({"mask_in": torch.full((5, 2), 0.5)}, ValueError, "mask_in must hold zeros and ones only"),
    ],
)
def test_networks(options, error, message):
    with pytest.raises(error, match=message):
        net(**options)


@pytest.mark.parametrize(
    ("sizes", "error"), [((0, 5, 2), ValueError), ((2, -1, 2), ValueError), ((2, 5, 1.5), TypeError)]
)
def test_sizes(sizes, error):
    with pytest.raises(error, match=r"n_(in|rec|out) must be (an integer of )?at least 1, got"):
        tca.nets.LeakyRNN(*sizes)


def test_numbers_of_numpy_are_numbers():
    same = [net(tau=each) for each in (50.0, np.float32(50.0), np.float64(50.0), torch.tensor(50.0))]
    assert {each.leak for each in same} == {same[0].leak}
    assert tca.nets.LeakyRNN(np.int64(2), 3, 1).n_in == 2


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"inputs": torch.zeros(T, B)}, ValueError, r"inputs must have shape \(T, B, I\), got \(4, 3\)"),
        ({"inputs": torch.zeros(T, 0, I)}, ValueError, "at least one step, trial and channel"),
        ({"targets": torch.zeros(T, B + 1, O)}, ValueError, r"targets must start with the shape \(T, B\) = \(4, 3\)"),
        ({"weights": torch.ones(T, B, 1)}, ValueError, r"weights must have shape \(T, B\) = \(4, 3\)"),
        ({"decisions": torch.ones(T, B)}, TypeError, "decisions must be boolean"),
    ],
)
def test_batches_that_do_not_fit_themselves(parts, error, message):
    with pytest.raises(error, match=message):
        batch(**parts)


NAN, HALF = float("nan"), torch.full((T, B, O), 0.5)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"inputs": torch.zeros(T, B, I + 1)}, ValueError, r"inputs must have shape \(T, B, 2\), none of them 0"),
        ({"inputs": torch.full((T, B, I), NAN)}, ValueError, "inputs must be finite, got NaN or infinity"),
        (
            {"inputs": torch.zeros(T, B, I, dtype=torch.int64)},
            TypeError,
            "inputs must be real numbers, got dtype torch.int64",
        ),
        ({"weights": torch.ones(T, B, dtype=torch.int64)}, TypeError, "weights must be real numbers"),
        ({"weights": -torch.ones(T, B)}, ValueError, "weights must be finite and not negative"),
        ({"weights": torch.full((T, B), NAN)}, ValueError, "weights must be finite and not negative"),
        ({"targets": torch.zeros(T, B, O + 1)}, ValueError, r"targets must have shape \(T, B, O\) = \(4, 3, 2\)"),
        ({"targets": torch.full((T, B, O), NAN)}, ValueError, "targets must be finite"),
        ({"targets": torch.zeros(T, B, O, dtype=torch.float64)}, TypeError, "targets must be torch.float32 on cpu"),
        ({"targets": torch.zeros(T, B, dtype=torch.int64)}, TypeError, "targets must be real numbers"),
        ({"targets": 3 * HALF, "loss": Logistic()}, ValueError, r"targets must lie in \[0, 1\] for Logistic"),
        ({"targets": HALF, "loss": CrossEntropy()}, TypeError, "targets must be class indices of dtype torch.int64"),
        (
            {"targets": torch.full((T, B), 2), "loss": CrossEntropy()},
            ValueError,
            "targets must be classes 0 to 1, got values from 2 to 2",
        ),
    ],
)
def test_batches_that_do_not_fit_the_network(parts, error, message):
    network = net()
    learner = tca.Learner(network, tca.RULES["eprop"])
    bad = batch(**parts)
    with pytest.raises(error, match=message):
        learner.backward(bad)
    assert all(parameter.grad is None for parameter in network.parameters())
    stream = learner.stream(B)
    with pytest.raises((ValueError, TypeError), match=r"inputs|weights|targets"):
        stream.step(bad.inputs[0], bad.targets[0], bad.weights[0], bad.loss)


def test_a_batch_in_another_precision_says_which():
    learner = tca.Learner(net(dtype=torch.float64), tca.RULES["bptt"])
    with pytest.raises(ValueError, match=r"inputs must be torch.float64 on cpu as the network is, got torch.float32"):
        learner.backward(batch())
    learner.backward(batch().to(dtype=torch.float64))


def test_rules():
    with pytest.raises(TypeError, match="rule must be a Rule, got 'eprop'"):
        tca.Learner(net(), "eprop")
    with pytest.raises(ValueError, match=r"unknown execution 'revers', did you mean 'reverse'\?"):
        tca.Learner(net(), tca.RULES["eprop"]).grads(batch(), "revers")
    with pytest.raises(ValueError, match=r"unknown parameter 'w_rek', did you mean 'w_rec'\?"):
        net().functional({"w_rek": torch.zeros(5, 5)}, torch.zeros(T, B, I))


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        (lambda: tca.signals.Horizon(-1), ValueError, "steps must be at least 0, got -1"),
        (lambda: tca.signals.Horizon(2.5), TypeError, "steps must be an integer"),
        (lambda: tca.signals.Random(0), ValueError, "scale must be greater than 0, got 0"),
        (lambda: tca.signals.Adaptive(decay=1.0), ValueError, "decay must be below 1, got 1.0"),
        (lambda: tca.eligibilities.Windowed(0), ValueError, "steps must be at least 1, got 0"),
        (lambda: tca.eligibilities.Windowed(2.5), TypeError, "steps must be an integer"),
    ],
)
def test_parts(part, error, message):
    with pytest.raises(error, match=message):
        part()


def test_the_state_of_another_rule():
    adaptive = tca.Learner(net(), tca.RULES["eprop_adaptive"])
    state = adaptive.state_dict()
    with pytest.raises(ValueError, match="state must hold"):
        tca.Learner(net(), tca.RULES["eprop"]).load_state_dict(state)
    before = adaptive.buffers["feedback"].clone()
    with pytest.raises(ValueError, match="state must hold"):
        adaptive.load_state_dict({**state, "feedback": torch.zeros(1, 1)})
    assert torch.equal(adaptive.buffers["feedback"], before)


def test_parts_are_values():
    part = tca.signals.Random(scale=2.0)
    assert part == tca.signals.Random(scale=2.0) != tca.signals.Adaptive(scale=2.0)
    assert hash(part) == hash(dataclasses.replace(part))
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.scale = 3.0
