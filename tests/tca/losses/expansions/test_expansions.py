"""Expansions of scores: their conditional mean stays zero, by sums over all targets, and that of others does not.

Shapes: n possible targets, O outputs, N cells of a hidden layer, I inputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca.losses.expansions
from tca.losses import LOSSES, MSE, CrossEntropy, Likelihood, Logistic, Loss, links
from tca.losses.expansions import (
    Bartlett,
    Expansion,
    HiddenGates,
    InputGates,
    Plain,
    PredictionGates,
    ScorePowers,
    Seen,
)
from tests.support.draws import every_target, expected, short
from tests.tca.losses.test_admissible import MODELS, P

EXPANSIONS: list[Expansion] = [
    Plain(),
    PredictionGates(),
    PredictionGates(links.SigmoidLink(), top=2),
    HiddenGates(3),
    InputGates(4),
    Bartlett(),
    ScorePowers(),
    ScorePowers(3),
    ScorePowers(4),
]
GATES = [each for each in EXPANSIONS if "loss" not in each.needs]
MOMENTS = [each for each in EXPANSIONS if "loss" in each.needs]
N_HIDDEN, N_IN = 6, 5
each_expansion = pytest.mark.parametrize("expansion", EXPANSIONS, ids=repr)
each_model = pytest.mark.parametrize(("loss", "outputs"), MODELS, ids=[repr(loss) for loss, _ in MODELS])
LOGITS = P.log()  # of the true distribution of five classes


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def drawn(expansion: Expansion, seed: int = 0) -> dict[str, Tensor]:
    return expansion.buffers(N_HIDDEN, N_IN, torch.Generator().manual_seed(seed))


def seen(loss: Loss, outputs: Tensor) -> Seen:
    """One input, so the same activity for all targets that may follow it."""
    grid = outputs.shape[:-1]
    return Seen(outputs, loss, normal(1, N_HIDDEN).expand(*grid, -1), normal(2, N_IN).expand(*grid, -1))


def mean_channels(expansion: Expansion, loss: Loss, outputs: Tensor, targets: Tensor, chances: Tensor) -> Tensor:
    """Mean of every channel of the longer score over the targets, shape ``(K',)``."""
    repeated = outputs.expand(len(chances), 1, -1)
    longer = expansion.expand(loss.output_error(repeated, targets), seen(loss, repeated), drawn(expansion))
    return expected(longer, chances)


def test_every_expansion_is_tried() -> None:
    """None enters the library without entering this list."""
    kinds = {each for _, each in inspect.getmembers(tca.expansions, inspect.isclass) if issubclass(each, Expansion)}
    assert {type(each) for each in EXPANSIONS} == {each for each in kinds if not inspect.isabstract(each)}


@each_expansion
@each_model
def test_channels_have_zero_mean_under_the_model(expansion: Expansion, loss: Likelihood, outputs: list[float]) -> None:
    """With targets drawn from the prediction, every channel; and none of them is zero altogether."""
    z = torch.tensor(outputs, dtype=torch.float64)
    targets, chances = every_target(loss, z)
    repeated = z.expand(len(chances), 1, -1)
    longer = expansion.expand(loss.output_error(repeated, targets), seen(loss, repeated), drawn(expansion))
    assert longer.shape == (len(chances), 1, expansion.channels(len(z)))
    scale = max(1.0, longer.square().mul(chances.view(-1, 1, 1)).sum(0).max().sqrt())
    assert expected(longer, chances).abs().max() < 1e-10 * scale
    assert expected(longer.abs(), chances).max() > 0.1


@pytest.mark.parametrize("expansion", GATES, ids=repr)
@pytest.mark.parametrize("name", ["brier", "smoothed_cross_entropy", "cross_entropy"])
def test_gated_scores_need_no_model(expansion: Expansion, name: str) -> None:
    """Gates are functions of the input: zero mean for every admissible loss at its own best outputs."""
    best = (0.9 * P + 0.02).log() if name == "smoothed_cross_entropy" else LOGITS
    means = mean_channels(expansion, LOSSES[name], best, torch.arange(5).unsqueeze(1), P)
    assert means.abs().max() < 1e-10


@pytest.mark.parametrize("expansion", [each for each in MOMENTS if each != ScorePowers(3)], ids=repr)
def test_moments_need_the_right_model(expansion: Expansion) -> None:
    """Targets of the predicted mean but not of the predicted variance: their moments are off, the score is not."""
    targets, chances = torch.tensor([[[-3.0]], [[3.0]]]).double(), torch.full((2,), 0.5).double()
    means = mean_channels(expansion, MSE(), torch.zeros(1).double(), targets, chances)
    assert means[0].abs() < 1e-15
    assert means[1:].abs().max() > 1
    gated = mean_channels(PredictionGates(links.IdentityLink()), MSE(), torch.ones(1).double(), targets + 1, chances)
    assert gated.abs().max() < 1e-15


def test_skewed_targets_have_a_third_moment() -> None:
    """Of variance one, as a normal variable has, but not symmetric."""
    targets, chances = torch.tensor([[[-0.5]], [[2.0]]]).double(), torch.tensor([0.8, 0.2], dtype=torch.float64)
    means = mean_channels(ScorePowers(3), MSE(), torch.zeros(1).double(), targets, chances)
    assert means.tolist() == pytest.approx([0.0, -1.5], abs=1e-12)
    assert mean_channels(ScorePowers(2), MSE(), torch.zeros(1).double(), targets, chances).abs().max() < 1e-12


@pytest.mark.parametrize("change", [torch.square, torch.tanh], ids=["square", "tanh"])
@pytest.mark.parametrize(("loss", "logits"), [(CrossEntropy(), LOGITS), (Logistic(), LOGITS)], ids=short)
def test_functions_of_the_score_that_are_not_centred_fail(
    change: Callable[[Tensor], Tensor], loss: Likelihood, logits: Tensor
) -> None:
    """Negative control: the square of the score and its tanh have means far above what the channels offered have."""
    targets, chances = every_target(loss, logits)
    score = loss.output_error(logits.expand(len(chances), 1, -1), targets)
    assert expected(score, chances).abs().max() < 1e-10
    assert expected(change(score), chances).abs().max() > 1e-3


def test_what_is_appended() -> None:
    """Channel by channel, against the outer products written out."""
    outputs, score = normal(3, 2, 3, 4), normal(4, 2, 3, 4)
    for place in [(0, 0), (1, 2)]:
        s, p = score[place], outputs[place].softmax(0)
        view = seen(CrossEntropy(), outputs)
        hidden, inputs = view.hidden[place], view.inputs[place]
        wanted = {
            Plain(): torch.empty(0),
            PredictionGates(): torch.outer(p, s),
            PredictionGates(top=2): torch.outer(p.sort(descending=True).values[:2], s),
            PredictionGates(links.IdentityLink()): torch.outer(outputs[place], s),
            HiddenGates(3): torch.outer(drawn(HiddenGates(3))["gates"] @ hidden, s),
            InputGates(3): torch.outer(drawn(InputGates(3))["gates"] @ inputs, s),
            Bartlett(): torch.outer(s, s) - torch.diag(p) + torch.outer(p, p),
            ScorePowers(2): s**2 - p * (1 - p),
            ScorePowers(3): s**3 + p * (1 - p) * (1 - 2 * p),
        }
        for expansion, appended in wanted.items():
            longer = expansion.expand(score, view, drawn(expansion))
            assert torch.equal(longer[..., :4], score)
            assert torch.allclose(longer[place][4:], appended.flatten().double(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("expansion", "n_out", "channels"),
    [
        (Plain(), 10, 10),
        (PredictionGates(), 200, 40_200),
        (PredictionGates(top=5), 200, 1_200),
        (PredictionGates(top=5), 3, 12),
        (HiddenGates(8), 200, 1_800),
        (InputGates(1), 1, 2),
        (Bartlett(), 10, 110),
        (ScorePowers(), 10, 20),
    ],
    ids=repr,
)
def test_numbers_of_channels(expansion: Expansion, n_out: int, channels: int) -> None:
    """As declared, which is what the covariance of activity and score is made for."""
    assert expansion.channels(n_out) == channels
    view = seen(CrossEntropy(), torch.zeros(1, n_out).double())
    assert expansion.expand(torch.zeros(1, n_out).double(), view, drawn(expansion)).shape == (1, channels)


@pytest.mark.parametrize("expansion", [HiddenGates(400), InputGates(400)], ids=repr)
def test_gates_are_drawn_once(expansion: Expansion) -> None:
    """By the generator given, in float64; of the size of the activity; in the score's type when they are used."""
    gates = drawn(expansion)["gates"]
    assert gates.dtype == torch.float64
    assert torch.equal(gates, drawn(expansion)["gates"])
    assert not torch.equal(gates, drawn(expansion, seed=1)["gates"])
    assert gates.square().mean().item() * gates.shape[1] == pytest.approx(1, rel=0.1)
    view = seen(MSE(), torch.zeros(1, 2))
    single = Seen(view.outputs, view.loss, view.hidden.float(), view.inputs.float())
    assert expansion.expand(torch.zeros(1, 2), single, drawn(expansion)).dtype == torch.float32


@each_expansion
def test_scores_are_left_alone(expansion: Expansion) -> None:
    """The longer score is a tensor of its own, and what was seen stays as it is."""
    score, outputs = normal(5, 1, 4), normal(6, 1, 4)
    view, before = seen(CrossEntropy(), outputs), (score.clone(), outputs.clone())
    expansion.expand(score, view, drawn(expansion)).zero_()
    assert torch.equal(score, before[0])
    assert torch.equal(outputs, before[1])


@pytest.mark.parametrize(
    ("expansion", "given", "message"),
    [
        (HiddenGates(), {}, r"HiddenGates\(size=8\) requires hidden, got None"),
        (InputGates(), {"hidden": torch.zeros(1, 6)}, r"InputGates\(size=8\) requires inputs, got None"),
        (Bartlett(), {"loss": LOSSES["brier"]}, r"Bartlett\(\) needs a negative log likelihood .* got Brier\(\)"),
        (ScorePowers(), {"loss": LOSSES["hinge"]}, r"ScorePowers\(order=2\) needs .* got Hinge\(margin=1.0\)"),
        (Plain(), {"outputs": torch.zeros(1, 3)}, r"score must have the shape \(1, 3\) of the outputs, got \(1, 2\)"),
    ],
    ids=short,
)
def test_what_is_missing_is_named(expansion: Expansion, given: dict[str, Any], message: str) -> None:
    """An expansion says what it needs and what it cannot take."""
    with pytest.raises(ValueError, match=message):
        expansion.expand(torch.zeros(1, 2), Seen(**{"outputs": torch.zeros(1, 2), "loss": MSE(), **given}))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PredictionGates(top=0), ValueError, "top must be at least 1, got 0"),
        (lambda: PredictionGates(top=1.5), TypeError, "top must be an integer of at least 1 or None, got 1.5"),
        (lambda: HiddenGates(0), ValueError, "size must be at least 1, got 0"),
        (lambda: ScorePowers(1), ValueError, "order must be at least 2, got 1"),
        (lambda: ScorePowers(5), ValueError, "order must be at most 4, got 5"),
    ],
    ids=short,
)
def test_options_that_do_not_fit(make: Callable[[], Expansion], error: type[Exception], message: str) -> None:
    """An option out of its range is refused by name."""
    with pytest.raises(error, match=message):
        make()


@each_expansion
def test_expansions_are_values(expansion: Expansion) -> None:
    """They compare, hash, say their equation in one line, and what they read."""
    assert expansion == eval(repr(expansion), vars(tca.expansions) | vars(links))
    assert len({expansion, eval(repr(expansion), vars(tca.expansions) | vars(links))}) == 1
    assert "s" in expansion.equation
    assert set(expansion.needs) <= {"outputs", "loss", "hidden", "inputs"}
