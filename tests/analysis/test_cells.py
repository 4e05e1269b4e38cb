"""Every measurement on networks of general cells, beside dense matrices and loops over the equations of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca
from analysis.dynamics.state_map import state_map
from analysis.representations.similarity import cka
from tca import cells, nets
from tca.conformance.properties import autograd_gradient
from tests.analysis.test_any_module import Near
from tests.support.rows import assert_same, relative

F64 = torch.float64
NETS: dict[str, Callable[[], nets.Network]] = {
    "GRU": lambda: nets.CellRNN(cells.GRU(), 2, 4, 2, seed=1, dtype=F64),
    "LSTM": lambda: nets.CellRNN(cells.LSTM(), 2, 3, 2, seed=1, dtype=F64, readout_tau=20.0),
    "LRU": lambda: nets.CellRNN(cells.LRU(r_min=0.5), 2, 4, 2, seed=1, dtype=F64, skip=True),
    "stack": lambda: nets.StackedRNN(2, [nets.CellLayer(3, cells.GRU()), nets.LeakyLayer(3, tau=20.0)], 2, dtype=F64),
    "learned": lambda: nets.LeakyRNN(2, 4, 2, tau=30.0, learn=("tau",), dtype=F64),
}
each_net = pytest.mark.parametrize("name", NETS)


def network(name: str) -> nets.Network:
    """Return a network whose biases are away from zero."""
    net, generator = NETS[name](), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, each in net.named_parameters():
            if key.rsplit(".")[-1] in ("b", "b_rec", "b_out"):
                each += 0.3 * torch.randn(each.shape, dtype=F64, generator=generator)
    return net


def trials(steps: int = 6, count: int = 5) -> tca.Batch:
    """Return random trials whose steps weigh differently."""
    generator = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randn(steps, count, 2, dtype=F64, generator=generator) for _ in range(2))
    return tca.Batch(inputs, targets, torch.rand(steps, count, dtype=F64, generator=generator), tca.losses.MSE())


def dense(net: nets.Network, batch: tca.Batch) -> Tensor:
    """Return the Hessian of the loss by all parameters, from differences of BPTT's gradient: no autograd twice."""
    bound, names = tca.Learner(net, tca.RULES["bptt"]), [each.name for each in net.connections()]
    columns, step = [], 1e-5

    def gradient() -> Tensor:
        found = bound.grads(batch)[0]
        return torch.cat([found[name].flatten() for name in names])

    for name in names:
        flat = net.get_parameter(name).detach().view(-1)
        for place in range(len(flat)):
            sides = []
            for sign in (1, -2):
                flat[place] += sign * step
                sides.append(gradient())
            flat[place] += step
            columns.append((sides[0] - sides[1]) / (2 * step))
    return torch.stack(columns, 1)


@pytest.mark.thirds
@each_net
def test_curvature_is_that_of_the_dense_hessian(name: str) -> None:
    """Products, extreme eigenvalues and trace, of all parameters; blocks of some of them by their names."""
    net, batch = network(name), trials()
    exact = dense(net, batch)
    assert relative(exact, exact.T) < 1e-7
    assert relative(analysis.operator(net, batch, "all").matrix(), exact) < 1e-7
    values = torch.linalg.eigvalsh(exact)
    found = analysis.curvature(net, batch, "all", probes=4)
    assert found.largest.value == pytest.approx(float(values[-1]), rel=1e-4)
    assert found.smallest.value == pytest.approx(float(values[0]), rel=1e-3, abs=1e-6)
    first = net.connections()[0].name
    size = net.get_parameter(first).numel()
    assert relative(analysis.operator(net, batch, first).matrix(), exact[:size, :size]) < 1e-7
    line = analysis.landscape(net, batch, "all", reach=1e-3, points=3)
    bend = (line.losses[0] - 2 * line.losses[1] + line.losses[2]) / 1e-6
    assert float(bend) == pytest.approx(float(values[values.abs().argmax()]), rel=2e-2)


@each_net
def test_alignment_is_that_of_the_gradients(name: str) -> None:
    """Cosines are those of the rules' gradients with autograd; bptt has one, e-prop of an LRU as well."""
    net, batch = network(name), trials()
    exact = autograd_gradient(net, batch)
    assert_same(tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0], exact, 1e-11)
    local = tca.Learner(net, tca.RULES["eprop"]).grads(batch)[0]
    first, second = analysis.alignment(net, batch, ["bptt", "eprop"]).rules
    for key, each in exact.items():
        assert first.parameters[key].cosine == pytest.approx(1.0, abs=1e-9)
        cosine = float((local[key] * each).sum() / (local[key].norm() * each.norm()))
        assert second.parameters[key].cosine == pytest.approx(cosine, abs=1e-9)
    exactly = second.recurrent.cosine == pytest.approx(1.0, abs=1e-9)
    assert exactly == (name == "LRU")


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_rates_gaps_and_similarity_are_those_of_pytorch(kind: Any) -> None:
    """Of the module with the same weights, which knows no cells."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module, readout = kind(2, 5, dtype=F64), nn.Linear(5, 2, dtype=F64)
    net, batch, other = nets.CellRNN.from_torch(module, readout), trials(), trials(9, 4)
    with torch.no_grad():
        hidden = module(batch.inputs)[0]
    assert relative(analysis.rates(net, batch), hidden) < 1e-12
    assert cka(analysis.rates(net, batch).flatten(0, 1), hidden.flatten(0, 1)) == pytest.approx(1.0, abs=1e-9)
    found = analysis.generalization_gap(net, Near(), batch, other, input_noise=0.1)
    with torch.no_grad():
        losses = [
            each.loss.mean(readout(module(each.inputs)[0]), each.targets, each.weights) for each in (batch, other)
        ]
    assert found.loss_gap == pytest.approx(float(losses[1] - losses[0]), abs=1e-10)
    path = analysis.barrier(net, nets.CellRNN.from_torch(module, readout), batch, points=3)
    assert float(path.height) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["GRU", "LSTM", "LRU", "learned"])
def test_fixed_points_rest_and_have_the_jacobian_of_a_step(name: str) -> None:
    """At a fixed point a step changes no state; its spectral radius is that of differences of the step."""
    net, held = network(name), torch.tensor([0.3, -0.2], dtype=F64)
    one = state_map(net)
    starts = 0.3 * torch.randn(6, one.cells, dtype=F64, generator=torch.Generator().manual_seed(2))
    found = analysis.fixed_points(net, held, starts)
    assert len(found) >= 1
    at = found.states[0]
    assert float((one.step(at[None], held[None])[0] - at).abs().max()) < 1e-8
    step = 1e-6
    columns = [
        (one.step((at + step * unit)[None], held[None]) - one.step((at - step * unit)[None], held[None]))[0]
        / (2 * step)
        for unit in torch.eye(one.cells, dtype=F64)
    ]
    radius = torch.linalg.eigvals(torch.stack(columns, 1)).abs().max()
    assert float(found.radius[0]) == pytest.approx(float(radius), rel=1e-6)
    stays = net.run(held.expand(600, 1, 2)).outputs[-1, 0] if found.kinds()[0] == "stable" else None
    if stays is not None and name == "GRU":  # the rate is the state
        assert torch.allclose(at @ net.w_out.T + net.b_out, stays, atol=1e-8)
