"""Curvature against the Hessian written out by other means.

The reference is ``torch.autograd.functional.hessian`` over the oracle's loop, which shares no code with the library, or
a case that can be worked out by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

import tca
from analysis import curvature
from analysis.curvature.network_operators import operator
from analysis.curvature.parameters import choose
from tasks.trials import TrialSet
from tca.losses import MSE, Loss
from tests.support import oracle
from tests.support.cases import CASES, DT, F1, Case, tau, weights_of

CUBIC = Case("quick", leak=0.5, sizes=(3, 8, 1), steps=8, trials=2)
MASKED = next(case for case in CASES if case.name == "A-rectified-masked")


def reference(
    case: Case,
    weights: oracle.Weights,
    names: tuple[str, ...] = ("w_rec",),
    l2: float = 0.0,
    problem: oracle.Problem | None = None,
) -> Tensor:
    """The Hessian of the existing synapses, dense, from the oracle."""
    model, problem = case.model(), problem or case.problem()
    weights = {name: value.double() for name, value in weights.items()}

    def loss(*values: Tensor) -> Tensor:
        changed = weights | dict(zip(names, values, strict=True))
        return problem.value(oracle.outputs(model, changed, problem.inputs)) + l2 / 2 * sum(
            v.square().sum() for v in values
        )

    blocks = torch.autograd.functional.hessian(loss, tuple(weights[name] for name in names))
    sizes = [weights[name].numel() for name in names]
    rows = [
        torch.cat([b.reshape(m, n) for b, n in zip(row, sizes, strict=True)], 1)
        for row, m in zip(blocks, sizes, strict=True)
    ]
    exists = torch.cat([model.masks.get(name, torch.ones_like(weights[name])).flatten() for name in names]).bool()
    return torch.cat(rows)[exists][:, exists]


def spectrum(case: Case, net: tca.nets.LeakyRNN, *names: str) -> Tensor:
    return torch.linalg.eigvalsh(reference(case, weights_of(net), names or ("w_rec",)))


@pytest.mark.thirds
@pytest.mark.parametrize("engine", ["dense", "lanczos"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_ends_are_those_of_the_dense_hessian(case: Case, engine: str) -> None:
    net = case.net()
    exact = spectrum(case, net)
    found = curvature(net, case.batch(), engine=engine, probes=0)
    close = 1e-8 * exact.abs().max().item()
    assert found.largest.value == pytest.approx(exact[-1].item(), abs=close)
    assert found.smallest.value == pytest.approx(exact[0].item(), abs=close)
    assert abs(found.largest_magnitude.value) == pytest.approx(exact.abs().max().item(), abs=close)
    assert found.count == len(exact)
    assert found.converged


@pytest.mark.thirds
@pytest.mark.parametrize("dtype", [torch.float64, None], ids=["default", "own"])
@pytest.mark.parametrize("engine", ["dense", "lanczos"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_curvature_of_a_float32_network(case: Case, engine: str, dtype: torch.dtype | None) -> None:
    """Six digits in float64; in the network's own float32 its rounding is left, some units of 2^-23 a step."""
    net, batch = case.net(dtype=torch.float32), case.batch().to(dtype=torch.float32)
    rounded = batch.to(dtype=torch.float64)
    problem = oracle.Problem(rounded.inputs, rounded.targets, rounded.weights, case.loss)
    exact = torch.linalg.eigvalsh(reference(case, weights_of(net), problem=problem))
    found = curvature(net, batch, engine=engine, dtype=dtype, probes=0)
    close = (1e-6 if dtype else 4e-6) * exact.abs().max().item()
    assert found.largest.value == pytest.approx(exact[-1].item(), abs=close)
    assert found.smallest.value == pytest.approx(exact[0].item(), abs=close)
    assert found.dtype == ("float64" if dtype else "float32")


@pytest.mark.parametrize(
    "names", [("b",), ("w_out", "w_rec"), ("s_0", "w_in"), ("w_in", "w_rec", "b", "s_0", "w_out", "b_out")]
)
def test_parameters_can_be_chosen(names: tuple[str, ...]) -> None:
    net = F1.net()
    exact = spectrum(F1, net, *names)
    found = curvature(net, F1.batch(), names, engine="lanczos")
    assert (found.smallest.value, found.largest.value) == pytest.approx((exact[0].item(), exact[-1].item()), abs=1e-7)
    assert found.parameters == names
    if len(names) == 6:
        everything = curvature(net, F1.batch(), "all", engine="lanczos")
        assert set(everything.parameters) == set(names)
        assert everything.largest.value == pytest.approx(found.largest.value, rel=1e-10)


@dataclass(frozen=True)
class Negative(Loss):
    """Minus another loss."""

    of: Loss

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -self.of.value(outputs, targets)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -self.of.output_error(outputs, targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        self.of.check(outputs_shape, targets)


@pytest.mark.thirds
@pytest.mark.parametrize("engine", ["dense", "lanczos", "pyhessian"])
def test_the_sign_of_the_loss_flips_signs_and_ends(engine: str) -> None:
    if engine == "pyhessian":
        pytest.importorskip("pyhessian")
    net, batch = F1.net(), F1.batch()
    exact = spectrum(F1, net)
    assert exact[-1] > -1.5 * exact[0] > 0
    found = curvature(net, replace(batch, loss=Negative(batch.loss)), engine=engine, tolerance=1e-5, probes=0)
    close = 1e-6 * exact[-1].item()
    assert found.largest.value == pytest.approx(-exact[0].item(), abs=close)
    assert found.smallest.value == pytest.approx(-exact[-1].item(), abs=close)
    assert found.largest_magnitude == found.smallest


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-7, 1e-12])
def test_scaling_the_loss_scales_the_eigenvalues_only(scale: float) -> None:
    net, batch = F1.net(), F1.batch()
    whole = curvature(net, batch, engine="lanczos")
    scaled = curvature(net, replace(batch, weights=batch.weights * scale), engine="lanczos")
    for end in ("largest", "smallest"):
        assert getattr(scaled, end).value == pytest.approx(scale * getattr(whole, end).value, rel=1e-9)
    assert scaled.converged
    assert whole.trace is not None
    assert scaled.trace is not None
    assert scaled.trace.value == pytest.approx(scale * whole.trace.value, rel=1e-9)


@pytest.mark.parametrize("engine", ["dense", "lanczos"])
def test_l2_adds_its_coefficient_to_every_eigenvalue(engine: str) -> None:
    net, batch, c = F1.net(), F1.batch(), 0.37
    plain, ridge = (curvature(net, batch, ["w_rec", "b"], engine=engine, l2=l2) for l2 in (0.0, c))
    exact = torch.linalg.eigvalsh(reference(F1, weights_of(net), ("w_rec", "b"), l2=c))
    assert ridge.largest.value == pytest.approx(exact[-1].item(), abs=1e-9)
    for end in ("largest", "smallest"):
        assert getattr(ridge, end).value - getattr(plain, end).value == pytest.approx(c, abs=1e-10)
    assert plain.trace is not None
    assert ridge.trace is not None
    assert ridge.trace.value - plain.trace.value == pytest.approx(c * plain.count, abs=1e-9)
    norm = sum(weights_of(net)[name].square().sum().item() for name in ("w_rec", "b"))
    assert ridge.loss - plain.loss == pytest.approx(c / 2 * norm, abs=1e-10)


def test_missing_synapses_are_no_parameters() -> None:
    net = Case("masked", sizes=(3, 6, 3), trials=20, options={"mask_out": MASKED.options["mask_out"]}).net()
    case = Case("masked", sizes=(3, 6, 3), trials=20, options={"mask_out": MASKED.options["mask_out"]})
    exact = spectrum(case, net, "w_out")
    found = curvature(net, case.batch(), "w_out", engine="dense")
    assert found.count == int(MASKED.options["mask_out"].sum()) == len(exact) < 18
    assert found.smallest.value == pytest.approx(exact[0].item(), rel=1e-6)
    assert found.smallest.value > 0  # a missing synapse would have brought a zero


def test_cells_may_be_renamed() -> None:
    net, batch = F1.net(), F1.batch()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    renamed = F1.net()
    with torch.no_grad():
        for name in ("w_in", "b", "s_0"):
            renamed.get_parameter(name).copy_(net.get_parameter(name)[order])
        renamed.w_rec.copy_(net.w_rec[order][:, order])
        renamed.w_out.copy_(net.w_out[:, order])
    one, other = curvature(net, batch, engine="lanczos"), curvature(renamed, batch, engine="lanczos")
    assert (one.largest.value, one.smallest.value) == pytest.approx(
        (other.largest.value, other.smallest.value), rel=1e-9
    )


def gauss_newton(case: Case, net: tca.nets.LeakyRNN, steps: slice) -> Tensor:
    """Jacobian of the outputs of some steps in ``w_rec``, one row per number, from the oracle."""
    weights, model, problem = weights_of(net), case.model(), case.problem()

    def outputs(w_rec: Tensor) -> Tensor:
        return oracle.outputs(model, weights | {"w_rec": w_rec}, problem.inputs)[steps].flatten()

    return torch.autograd.functional.jacobian(outputs, weights["w_rec"]).flatten(1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_at_zero_residual_the_top_eigenvalue_is_the_squared_norm_of_the_jacobian(seed: int) -> None:
    case = replace(CUBIC, trials=1, seed=seed)
    net, batch = case.net(), case.batch()
    weights = torch.zeros_like(batch.weights)
    weights[-1] = 1.0
    at_rest = replace(batch, targets=net(batch.inputs).detach(), weights=weights)
    jacobian = gauss_newton(case, net, slice(-1, None))
    assert jacobian.shape[0] == 1
    found = curvature(net, at_rest, engine="lanczos")
    assert found.loss == pytest.approx(0.0, abs=1e-25)
    assert found.largest.value == pytest.approx(jacobian.square().sum().item(), rel=1e-8)
    assert found.smallest.value == pytest.approx(0.0, abs=1e-8)


def test_at_zero_residual_the_spectrum_is_that_of_the_products_of_jacobians() -> None:
    case = replace(CUBIC, trials=1)
    net, batch = case.net(), case.batch()
    weights = torch.zeros_like(batch.weights)
    weights[-4:] = 1.0
    at_rest = replace(batch, targets=net(batch.inputs).detach(), weights=weights)
    jacobian = gauss_newton(case, net, slice(-4, None))
    hessian = operator(net, at_rest)
    assert torch.linalg.eigvalsh(hessian.matrix())[-4:] == pytest.approx(
        torch.linalg.eigvalsh(jacobian @ jacobian.T), rel=1e-8
    )


def test_products_are_differences_of_the_true_gradient_not_of_a_truncated_one() -> None:
    net, model, problem = CUBIC.net(), CUBIC.model(), CUBIC.problem()
    weights = weights_of(net)
    hessian = operator(net, CUBIC.batch())
    direction = torch.randn(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-5 * direction.view(8, 8)

    def difference(surgery: oracle.Surgery) -> Tensor:
        ahead, behind = (
            oracle.gradient(model, weights | {"w_rec": weights["w_rec"] + move}, problem, surgery)["w_rec"]
            for move in (step, -step)
        )
        return ((ahead - behind) / 2e-5).flatten()

    product = hessian.product(direction)
    true, truncated = difference(oracle.WHOLE), difference(oracle.LEAK_ONLY)
    assert (product - true).norm() < 1e-6 * true.norm()
    assert (product - truncated).norm() > 1e-2 * true.norm()


def test_chunks_add_up() -> None:
    case = replace(F1, trials=7)
    net, batch = case.net(), case.batch()
    whole = operator(net, batch)
    parts = operator(net, batch, chunk=3)
    tight = operator(net, batch, memory=1e-9)
    assert (len(whole.losses), len(parts.losses), len(tight.losses)) == (1, 3, 7)
    vector = torch.randn(36, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for other in (parts, tight):
        assert other.loss == pytest.approx(whole.loss, rel=1e-12)
        assert other.gradient == pytest.approx(whole.gradient, rel=1e-10, abs=1e-13)
        assert other.product(vector) == pytest.approx(whole.product(vector), rel=1e-10, abs=1e-12)


def test_the_trace_is_unbiased_and_knows_its_error() -> None:
    net, batch = F1.net(), F1.batch()
    exact = reference(F1, weights_of(net)).trace().item()
    assert curvature(net, batch, engine="dense").trace.value == pytest.approx(exact, rel=1e-10)  # type: ignore[union-attr]
    traces = [curvature(net, batch, engine="lanczos", tolerance=0.5, probes=8, seed=seed).trace for seed in range(60)]
    values = torch.tensor([trace.value for trace in traces if trace is not None], dtype=torch.float64)
    claimed = torch.tensor([trace.standard_error for trace in traces if trace is not None], dtype=torch.float64)
    assert len(values) == 60
    assert abs(values.mean().item() - exact) < 4 * values.std().item() / 60**0.5
    assert (values - exact).abs().div(claimed).median() < 1.5
    assert claimed.square().mean().sqrt().item() == pytest.approx(values.std().item(), rel=0.35)


def test_a_trial_set_is_its_batch_and_order_does_not_matter() -> None:
    net, batch = F1.net(), replace(F1, trials=5).batch()
    one, same = curvature(net, batch), curvature(net, TrialSet(batch))
    assert one == same
    turned = curvature(net, batch.select(torch.tensor([4, 1, 0, 3, 2])))
    assert turned.data != one.data
    assert turned.largest.value == pytest.approx(one.largest.value, rel=1e-9)


def test_private_noise_is_left_out() -> None:
    quiet, noisy = (tca.nets.LeakyRNN(2, 5, 1, dt=DT, tau=tau(0.5), noise=noise) for noise in (0.0, 0.5))
    batch = tca.Batch(torch.ones(6, 4, 2), torch.ones(6, 4, 1), torch.full((6, 4), 0.25), MSE())
    before = noisy.state_dict()
    assert curvature(quiet, batch).largest == curvature(noisy, batch).largest
    assert all(torch.equal(value, before[name]) for name, value in noisy.state_dict().items())


def test_the_result_reads_well_and_equal_calls_give_equal_results() -> None:
    net, batch = F1.net(), F1.batch()
    one, again = (curvature(net, batch, engine="lanczos", seed=3) for _ in range(2))
    assert one == again
    text = str(one)
    assert "w_rec: 36" in text
    assert f"{one.largest.value:.6g}" in text
    assert "NOT CONVERGED" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": "w_rek"}, r"unknown parameter 'w_rek', did you mean 'w_rec'\?"),
        ({"parameters": ["b", "w_inn"]}, r"unknown parameter 'w_inn', did you mean 'w_in'\?"),
        ({"parameters": []}, "parameters must hold at least one name"),
        ({"parameters": ["b", "b"]}, "different names"),
        ({"parameters": ["all", "b"]}, "different names"),
        ({"engine": "lanczsos"}, r"unknown engine 'lanczsos', did you mean 'lanczos'\?"),
        ({"tolerance": -1.0}, "tolerance must be"),
        ({"tolerance": float("nan")}, "tolerance must be"),
        ({"l2": -0.1}, "l2 must be"),
        ({"probes": 1}, "probes must be 0, or at least 2"),
        ({"probes": -1}, "probes must be at least 0"),
        ({"products": 0}, "products must be at least 1"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"memory": -1.0}, "memory must be"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        curvature(F1.net(), F1.batch(), **options)  # type: ignore[arg-type]


def test_unfit_data_and_lost_networks_are_refused() -> None:
    net, batch = F1.net(), F1.batch()
    with pytest.raises(ValueError, match="inputs must have 3 channels"):
        curvature(net, replace(batch, inputs=batch.inputs[..., :2]))
    with pytest.raises(ValueError, match="engine 'dense' takes up to 2000 parameters, got 2025"):
        curvature(tca.nets.LeakyRNN(3, 45, 2), batch.to(dtype=torch.float32), engine="dense")
    empty = tca.nets.LeakyRNN(3, 1, 2, autapses=False)
    with pytest.raises(ValueError, match="no existing synapse"):
        curvature(empty, batch.to(dtype=torch.float32))
    with torch.no_grad():
        net.b_out.fill_(float("nan"))
    with pytest.raises(ValueError, match="must be finite to have a curvature"):
        curvature(net, batch)


@pytest.mark.cuda
def test_the_device_does_not_matter() -> None:
    here, there = F1.net(), F1.net().cuda()
    on_cpu, on_gpu = curvature(here, F1.batch(), engine="lanczos"), curvature(there, F1.batch(), engine="lanczos")
    assert on_gpu.largest.value == pytest.approx(on_cpu.largest.value, rel=1e-9)
    assert on_gpu.smallest.value == pytest.approx(on_cpu.smallest.value, rel=1e-9)


def test_part_of_a_name_stands_for_every_population() -> None:
    """The recurrent weights of a stack are the default, and a population is a group of its own."""
    net = tca.nets.StackedRNN(2, [tca.nets.LeakyLayer(3), tca.nets.LeakyLayer(2)], 1, dtype=torch.float64)
    names = [each.name for each in net.connections()]
    recurrent = [name for name in names if name.endswith(".w_rec")]
    first = recurrent[0].removesuffix(".w_rec")
    assert choose(net, "w_rec").names == tuple(recurrent)
    assert len(recurrent) == 2
    assert choose(net, first).names == tuple(name for name in names if name.startswith(f"{first}."))
    assert choose(net, ["w_out", "w_rec"]).names == ("w_out", *recurrent)
    with pytest.raises(ValueError, match="must be different names"):
        choose(net, ["w_rec", recurrent[0]])
