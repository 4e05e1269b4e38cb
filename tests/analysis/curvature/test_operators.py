"""Operators against the same matrices written out from the oracle's Jacobian and textbook formulas."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigs, eigsh
from torch import Tensor

import tca
from analysis import operator, spectrum, update_jacobian
from analysis.curvature.network_operators import OPERATORS
from analysis.curvature.operators import Block, BlockDiagonal, Hessian, Pullback, UpdateJacobian
from analysis.fixed_data import as_batch
from tasks.trials import TrialSet
from tca.losses import MSE, Loss
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.dense import jacobian, output_hessian, outputs, share, step_gradients

MANY = Case("many", sizes=(3, 24, 3), loss="cross_entropy", steps=6, trials=8, leak=0.3)
PRODUCTS = {**dict.fromkeys(OPERATORS, 1e-10), "update": 1e-8}


def near(found: Tensor, exact: Tensor, relative: float = 1e-10) -> bool:
    return bool((found - exact).norm() <= relative * exact.norm() + 1e-14)


def built(kind: str, net: tca.nets.LeakyRNN, batch: tca.Batch, **options: object) -> object:
    return (
        update_jacobian(net, batch, "eprop", **options)
        if kind == "update"
        else operator(net, batch, kind=kind, **options)
    )  # type: ignore[arg-type]


@pytest.mark.thirds
@pytest.mark.parametrize("case", [*CASES, MANY], ids=str)
def test_gauss_newton_and_fisher_are_the_loss_metric_carried_back(case: Case) -> None:
    net, batch = case.net(), case.batch()
    rows = jacobian(case, weights_of(net))
    exact = rows.T @ output_hessian(case, outputs(case)) @ rows
    for kind in ("gauss_newton", "fisher"):
        assert near(operator(net, batch, kind=kind).matrix(), exact)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_empirical_fisher_matrices_are_outer_products_of_gradients(case: Case) -> None:
    net, batch = case.net(), case.batch()
    gradients = step_gradients(case, weights_of(net), batch.targets)
    exact = gradients.T @ (share(case)[:, None] * gradients)
    assert near(operator(net, batch, kind="empirical_fisher").matrix(), exact)
    weighted = (share(case)[:, None] * gradients).view(batch.steps, batch.trials, -1).sum(0)
    assert near(operator(net, batch, kind="trial_fisher").matrix(), batch.trials * weighted.T @ weighted)


def test_the_fisher_matrix_is_the_mean_over_drawn_targets() -> None:
    case = next(case for case in CASES if case.name == "B-tanh")
    net = case.net()
    probabilities = outputs(case).softmax(-1)
    total = torch.zeros(25, 25).double()
    for drawn in range(3):
        gradients = step_gradients(case, weights_of(net), torch.full_like(case.batch().targets, drawn))
        total += gradients.T @ ((share(case) * probabilities[..., drawn].flatten())[:, None] * gradients)
    found = operator(net, case.batch(), kind="fisher").matrix()
    assert near(found, total)
    assert not near(operator(net, case.batch(), kind="empirical_fisher").matrix(), total, 0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_without_errors_the_hessian_is_the_gauss_newton_matrix(seed: int) -> None:
    case = replace(F1, seed=seed)
    net, batch = case.net(), case.batch()
    hessian, newton = (operator(net, batch, kind=kind).matrix() for kind in ("hessian", "gauss_newton"))
    assert not near(hessian, newton, 0.01)
    at_rest = replace(batch, targets=net(batch.inputs).detach())
    hessian, newton = (operator(net, at_rest, kind=kind).matrix() for kind in ("hessian", "gauss_newton"))
    assert near(hessian, newton)


def test_linear_regression_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 7, 4, generator=generator, dtype=torch.float64)
    weights = torch.rand(1, 7, generator=generator, dtype=torch.float64)
    net = tca.nets.LeakyRNN(4, 5, 1, activation="linear", tau=1e-3, dtype=torch.float64)
    batch = tca.Batch(inputs, torch.zeros(1, 7, 1).double(), weights, MSE())
    features = inputs[0] @ net.w_in.detach().T
    exact = features.T @ (weights[0, :, None] * features) / 7
    for kind in ("hessian", "gauss_newton", "fisher"):
        assert near(operator(net, batch, "w_out", kind).matrix(), exact)
    shifted = operator(net, batch, "w_out", "gauss_newton", l2=0.3).matrix()
    assert near(shifted - exact, 0.3 * torch.eye(5).double())
    assert near(update_jacobian(net, batch, "eprop", "w_out").matrix(), exact, 1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case.activation in ("tanh", "softplus", "linear")], ids=str)
def test_the_update_jacobian_of_backpropagation_is_the_hessian(case: Case) -> None:
    net, batch = case.net(), case.batch()
    hessian = operator(net, batch).matrix()
    assert near(update_jacobian(net, batch, "bptt").matrix(), hessian, 1e-8)


@pytest.mark.parametrize(("rule", "surgery"), [("eprop", oracle.LEAK_ONLY), ("three_factor", oracle.NOTHING)])
def test_the_update_jacobian_is_that_of_the_truncated_gradient(rule: str, surgery: oracle.Surgery) -> None:
    net, weights = F1.net(), weights_of(F1.net())
    columns, step = [], 1e-5
    for index in range(36):
        ends = []
        for sign in (1, -1):
            moved = weights["w_rec"].clone()
            moved.view(-1)[index] += sign * step
            ends.append(oracle.gradient(F1.model(), weights | {"w_rec": moved}, F1.problem(), surgery)["w_rec"])
        columns.append((ends[0] - ends[1]).flatten() / (2 * step))
    exact = torch.stack(columns, 1)
    found = update_jacobian(net, F1.batch(), rule)
    assert near(found.matrix(), exact, 1e-7)
    assert not near(found.matrix(), found.matrix().T, 0.01)
    assert not near(found.matrix(), operator(net, F1.batch()).matrix(), 0.1)


def test_a_learner_is_used_with_the_feedback_it_has() -> None:
    net, batch = F1.net(), F1.batch()
    learner = tca.Learner(net, tca.RULES["eprop_random"], seed=3)
    fresh = update_jacobian(net, batch, "eprop_random", seed=3).matrix()
    assert torch.equal(update_jacobian(net, batch, learner).matrix(), fresh)
    learner.buffers["feedback"].mul_(2)
    assert near(update_jacobian(net, batch, learner).matrix(), 2 * fresh)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_chunks_add_up(kind: str) -> None:
    case = replace(F1, trials=7, loss="cross_entropy")
    net, batch = case.net(), case.batch()
    vector = torch.randn(36, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole, parts, tight = (built(kind, net, batch, **each) for each in ({}, {"chunk": 3}, {"memory": 1e-9}))
    assert near(parts.product(vector), whole.product(vector), PRODUCTS[kind])  # type: ignore[attr-defined]
    assert near(tight.product(vector), whole.product(vector), PRODUCTS[kind])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", OPERATORS)
def test_missing_synapses_are_no_parameters(kind: str) -> None:
    case = next(case for case in CASES if case.name == "A-rectified-masked")
    masked = operator(case.net(), case.batch(), ["w_rec", "w_in"], kind)
    count = int(case.options["mask_rec"].sum() + case.options["mask_in"].sum())
    assert masked.size == count < 36 + 18
    assert masked.matrix().shape == (count, count)


@pytest.mark.parametrize("kind", OPERATORS)
def test_blocks_are_the_operators_of_their_parameters(kind: str) -> None:
    case = replace(F1, sizes=(2, 4, 2), steps=5)
    net, batch = case.net(), case.batch()
    whole = operator(net, batch, "all", kind)
    written = whole.matrix()
    assert set(whole.groups) == {"w_in", "w_rec", "b", "s_0", "w_out", "b_out"}
    for name, where in whole.groups.items():
        block = Block.of(whole, name).matrix()
        assert near(block, operator(net, batch, name, kind).matrix())
        assert near(block, written[where, where])
    apart = BlockDiagonal.of(whole)
    assert near(apart.matrix(), torch.block_diag(*(written[where, where] for where in whole.groups.values())))
    assert apart.groups == whole.groups
    assert not near(apart.matrix(), written, 0.01)


@pytest.mark.parametrize("kind", OPERATORS)
def test_scipy_takes_them(kind: str) -> None:
    built_operator = operator(MANY.net(), MANY.batch(), kind=kind)
    assert built_operator.size == 576
    wrapped = built_operator.linear_operator()
    exact = torch.linalg.eigvalsh(built_operator.matrix())
    before = built_operator.products
    found = eigsh(wrapped, k=3, which="LA", return_eigenvectors=False, rng=np.random.default_rng(0))
    assert sorted(found) == pytest.approx(exact[-3:].tolist(), rel=1e-9)
    assert built_operator.products > before
    vector = np.arange(576.0)
    assert wrapped.rmatvec(vector) == pytest.approx(wrapped.matvec(vector), rel=1e-12)


def test_scipy_takes_an_unsymmetric_one_without_its_adjoint() -> None:
    built_operator = update_jacobian(F1.net(), F1.batch(), "eprop")
    exact = torch.linalg.eigvals(built_operator.matrix())
    found = eigs(built_operator.linear_operator(), k=1, which="LM", return_eigenvectors=False, v0=np.ones(36))
    assert abs(found[0]) == pytest.approx(exact.abs().max().item(), rel=1e-7)
    with pytest.raises(NotImplementedError):
        built_operator.linear_operator().rmatvec(np.ones(36))
    with pytest.raises(ValueError, match="operator must be symmetric, got UpdateJacobian"):
        spectrum(built_operator, k=1)


class Redrawing:
    """A source that draws new trials each time."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def batch(self) -> tca.Batch:
        batch = F1.batch()
        return replace(batch, inputs=torch.randn(batch.inputs.shape, generator=self.generator, dtype=torch.float64))


class Overwriting(Redrawing):
    """A source that draws new trials into the memory of the old ones."""

    def __init__(self) -> None:
        super().__init__()
        self.held = F1.batch()

    def batch(self) -> tca.Batch:
        self.held.inputs.normal_(generator=self.generator)
        return self.held


class Shuffling(Redrawing):
    """A source that shows the same trials in another order each time."""

    def batch(self) -> tca.Batch:
        trials = replace(F1, trials=6).batch()
        return trials.select(torch.randperm(6, generator=self.generator))


@pytest.mark.parametrize("source", [Redrawing, Overwriting, Shuffling])
def test_a_source_that_does_not_repeat_itself_is_refused(source: type[Redrawing]) -> None:
    with pytest.raises(ValueError, match="trials must be fixed"):
        operator(F1.net(), source())
    with pytest.raises(ValueError, match="trials must be fixed"):
        update_jacobian(F1.net(), source(), "eprop")


def test_streams_of_batches_are_refused() -> None:
    trials = TrialSet(replace(F1, trials=6).batch())
    assert as_batch(trials) is trials.batch()
    with pytest.raises(TypeError, match=r"trials must be a Batch or a Trials or a Samples or .*, got <generator"):
        operator(F1.net(), trials.batches(2, seed=0))  # type: ignore[arg-type]


class Restless(tca.nets.LeakyRNN):
    """A network with drop-out that evaluation does not switch off."""

    def functional(self, parameters, inputs, noise=None):  # type: ignore[no-untyped-def]
        self.calls = getattr(self, "calls", 0) + 1
        return super().functional(parameters, inputs, noise) * (1 + 1e-3 * self.calls)


def test_a_network_that_does_not_repeat_itself_is_refused() -> None:
    batch = F1.batch()
    with pytest.raises(ValueError, match="outputs of the network must be the same each time"):
        operator(Restless(3, 6, 2, dtype=torch.float64), batch)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_nothing_is_left_behind(kind: str) -> None:
    net, batch = F1.net(), F1.batch()
    net.train()
    net.w_rec.grad = torch.ones_like(net.w_rec)
    net.b.requires_grad_(False)
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    made = built(kind, net, batch)
    on = made.product(torch.ones(36))  # type: ignore[attr-defined]
    with torch.no_grad():
        assert torch.equal(built(kind, net, batch).product(torch.ones(36)), on)  # type: ignore[attr-defined]
    assert not on.requires_grad
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    assert net.training
    assert torch.equal(net.w_rec.grad, torch.ones_like(net.w_rec))
    assert [key for key, value in net.named_parameters() if value.grad is not None] == ["w_rec"]
    assert [key for key, value in net.named_parameters() if not value.requires_grad] == ["b"]
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_type_can_be_chosen(kind: str) -> None:
    net, batch = F1.net(), F1.batch()
    small = F1.net(dtype=torch.float32)
    exact = operator(net, batch, kind=kind).matrix()
    assert operator(small, batch.to(dtype=torch.float32), kind=kind).theta.dtype == torch.float64
    found = operator(small, batch.to(dtype=torch.float32), kind=kind, dtype=None).matrix()
    assert found.dtype == torch.float32
    assert near(found.double(), exact, 1e-5)


class Odd(Loss):
    """A loss that predicts nothing, linear in the outputs."""

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.ones_like(outputs)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        pass


def test_a_loss_without_curvature_has_no_gauss_newton_matrix_and_one_without_prediction_no_fisher_matrix() -> None:
    batch = replace(F1.batch(), loss=Odd())
    assert not operator(F1.net(), batch, kind="gauss_newton").matrix().any()
    assert operator(F1.net(), batch).matrix().any()
    with pytest.raises(
        ValueError,
        match="the Fisher matrix needs a loss that predicts targets: BCEWithLogitsLoss, CrossEntropy, ",
    ):
        operator(F1.net(), batch, kind="fisher").matrix()


def test_mistakes_are_named() -> None:
    net, batch = F1.net(), F1.batch()
    with pytest.raises(ValueError, match=r"unknown kind of operator 'fischer', did you mean 'fisher'\?"):
        operator(net, batch, kind="fischer")
    with pytest.raises(ValueError, match="l2 must be 0 or greater"):
        operator(net, batch, l2=-0.1)
    with pytest.raises(ValueError, match=r"unknown parameter of the operator 'w_in'"):
        Block.of(operator(net, batch), "w_in")
    with pytest.raises(ValueError, match="of the network that is measured"):
        update_jacobian(net, batch, tca.Learner(F1.net(), tca.RULES["bptt"]))
    with pytest.raises(TypeError, match=r"theta must be float64.*got torch.float32"):
        UpdateJacobian(lambda theta: theta, torch.ones(2))
    with pytest.raises(ValueError, match="must be finite to have a derivative"):
        UpdateJacobian(lambda theta: theta.log(), torch.zeros(2).double())
    with pytest.raises(ValueError, match="must be one for each chunk, got 1, 0 and 1"):
        Pullback([lambda theta: theta], [], torch.ones(2))
    with pytest.raises(ValueError, match="blocks must hold at least one operator"):
        BlockDiagonal([])
    with pytest.raises(ValueError, match="theta must be a vector of at least one number"):
        Block(Hessian([lambda theta: theta.sum()], torch.ones(2)), slice(2, 2))
    assert UpdateJacobian(lambda theta: theta, torch.ones(2).double()).product(torch.zeros(2)).tolist() == [0.0, 0.0]


@pytest.mark.cuda
@pytest.mark.parametrize("kind", PRODUCTS)
def test_the_device_does_not_matter(kind: str) -> None:
    here = built(kind, F1.net(), F1.batch()).matrix()  # type: ignore[attr-defined]
    there = built(kind, F1.net().cuda(), F1.batch()).matrix()  # type: ignore[attr-defined]
    assert there.is_cuda
    assert near(there.cpu(), here, PRODUCTS[kind])
