"""The generalization gap on networks and trials whose scores can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tca
from analysis import generalization_gap
from tasks.trials import TrialSet
from tca.losses import MSE, CrossEntropy
from tests.support import oracle
from tests.support.cases import DT, Case, tau, weights_of


class Within:
    """Accuracy: the share of decisions that come within one half of a real target."""

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        hits = (outputs - batch.targets).abs().amax(-1) < 0.5
        return hits[batch.decision_steps].double().mean().item()


class Right:
    """Accuracy: the share of decisions for the right class."""

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        return (outputs.argmax(-1) == batch.targets)[batch.decision_steps].double().mean().item()


def echo() -> tca.nets.LeakyRNN:
    """A network that answers its last input: ``y_t = x_t``."""
    net = tca.nets.LeakyRNN(1, 1, 1, tau=tau(0.0), dt=DT, activation="linear", dtype=torch.float64)
    with torch.no_grad():
        net.w_in.fill_(1.0)
        net.w_rec.zero_()
        net.w_out.fill_(1.0)
    return net


def trials(inputs: list[float], targets: list[float]) -> tca.Batch:
    x, y = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1) for values in (inputs, targets))
    return tca.Batch(x, y, torch.ones(1, len(inputs), dtype=torch.float64), MSE())


def test_loss_accuracy_and_gaps_by_hand() -> None:
    train, test = trials([1.0, 2.0], [1.0, 2.0]), trials([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 1.0, 4.0])
    found = generalization_gap(echo(), Within(), train, TrialSet(test))
    assert (found.train.loss, found.train.accuracy, found.train.trials) == (0.0, 1.0, 2)
    assert (found.test.loss, found.test.accuracy, found.test.trials) == (0.5, 0.75, 4)
    assert (found.loss_gap, found.accuracy_gap) == (0.5, 0.25)
    assert (found.noisy_test, found.noisy_loss_gap, found.noisy_accuracy_gap) == (None, None, None)


def test_noise_adds_its_variance_to_the_loss_of_an_echo() -> None:
    x = [0.5] * 20_000
    found = generalization_gap(echo(), Within(), trials(x, x), trials(x, x), input_noise=0.5)
    assert found.noisy_test is not None
    assert found.noisy_loss_gap == pytest.approx(0.5 * 0.5**2, rel=0.05)
    assert found.noisy_accuracy_gap == pytest.approx(0.3173, abs=0.02)  # beyond one standard deviation
    assert (found.loss_gap, found.test.accuracy) == (0.0, 1.0)
    assert found.input_noise == 0.5


def test_noisy_inputs_stay_within_limits() -> None:
    x = [0.0] * 20_000
    found = generalization_gap(echo(), Within(), trials(x, x), trials(x, x), input_noise=0.2, clip=(0.0, 1.0))
    assert found.noisy_loss_gap == pytest.approx(0.5 * 0.2**2 / 2, rel=0.05)  # the negative half is cut off
    tight = generalization_gap(echo(), Within(), trials(x, x), trials(x, x), input_noise=10.0, clip=(-0.1, 0.1))
    assert tight.noisy_loss_gap is not None
    assert 0.8 * 0.005 < tight.noisy_loss_gap < 0.005 * (1 + 1e-9)
    assert tight.noisy_accuracy_gap == 0.0


def test_scores_are_those_of_the_oracle_however_many_trials_there_are() -> None:
    case = Case("many", loss="cross_entropy", sizes=(3, 6, 3), steps=5, trials=1100)
    net, batch = case.net(), case.batch()
    outputs = oracle.outputs(case.model(), weights_of(net), batch.inputs)
    found = generalization_gap(net, Right(), batch, batch.select(slice(0, 7)))
    assert found.train.loss == pytest.approx(case.problem().value(outputs).item(), rel=1e-12)
    assert found.train.accuracy == Right().accuracy(outputs, batch)
    few = CrossEntropy().mean(outputs[:, :7], batch.targets[:, :7], batch.weights[:, :7]).item()
    assert found.test.loss == pytest.approx(few, rel=1e-12)
    assert found.loss_gap == pytest.approx(few - found.train.loss, rel=1e-12)


def test_the_seed_decides_on_the_noise_and_nothing_else_does() -> None:
    case = Case("seeded", options={"noise": 0.4})
    net, batch = case.net(), case.batch()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state, inputs = torch.get_rng_state(), batch.inputs.clone()
    one, again, other = (
        generalization_gap(net, Within(), batch, batch, input_noise=0.3, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again
    assert one.noisy_test != other.noisy_test
    assert one.test == other.test == one.train
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(batch.inputs, inputs)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    silent = generalization_gap(net, Within(), batch, batch, input_noise=0.0)
    assert silent.noisy_test == silent.test


def test_float32_is_close_to_float64() -> None:
    case = Case("precision")
    exact = generalization_gap(case.net(), Within(), case.batch(), case.batch(), input_noise=0.2)
    batch = case.batch().to(dtype=torch.float32)
    single = generalization_gap(case.net(dtype=torch.float32), Within(), batch, batch, input_noise=0.2)
    assert single.noisy_test is not None
    assert exact.noisy_test is not None
    assert single.noisy_test.loss == pytest.approx(exact.noisy_test.loss, rel=1e-5)


def test_the_table_reads_well() -> None:
    x = [1.0, 2.0]
    text = str(generalization_gap(echo(), Within(), trials(x, x), trials(x, [1.0, 3.0]), input_noise=0.2))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["train", "test", "test,"]
    assert lines[2].split()[-4:] == ["0.25", "0.5", "0.25", "0.5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_noise": -0.1}, "input_noise must be"),
        ({"input_noise": float("nan")}, "input_noise must be"),
        ({"clip": (0.0, 1.0)}, "clip must be"),
        ({"clip": (1.0, 0.0), "input_noise": 0.1}, "clip must be"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    batch = trials([1.0], [1.0])
    with pytest.raises(ValueError, match=message):
        generalization_gap(echo(), Within(), batch, batch, **options)  # type: ignore[arg-type]


def test_trials_that_do_not_fit_are_refused() -> None:
    good = trials([1.0], [1.0])
    bad = replace(good, inputs=torch.zeros(1, 1, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="inputs must have 1 channels"):
        generalization_gap(echo(), Within(), good, bad)
