"""OTTT (Xiao et al. 2022) and OSTL (Bohnstingl et al. 2022) in stacks of spiking cells, as their papers write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.cells import GRU, LSTM
from tca.nets import CellRNN, SpikingLayer, SpikingRNN, StackedRNN
from tests.support import oracle_spiking as oracle
from tests.support.oracle import Weights
from tests.support.rows import assert_same, relative
from tests.tca.nets.spiking.test_stacks import EXACT, autograd, batch_of, gradients, lively

F64 = torch.float64
ADAPTIVE = {"beta": 1.8, "adaptive": 1.0, "tau_adaptation": 40.0}


def stack(**options: Any) -> StackedRNN:
    """Two recurrent spiking layers, those of the papers without adaptation."""
    common = {"threshold": 0.4, "refractory": 0.0, "beta": 0.0} | options
    layers = [SpikingLayer(6, tau=10.0, **common), SpikingLayer(5, tau=15.0, **common)]
    return lively(StackedRNN(3, layers, 2, dt=1.0, dtype=F64))


def model_of(tau: float, cells: int, beta: float) -> oracle.Model:
    """The oracle's layer."""
    kappa, rho = (torch.full((cells,), math.exp(-1 / each), dtype=F64) for each in (tau, 40.0))
    strength = torch.full((cells,), beta, dtype=F64)
    masks = {"w_rec": 1 - torch.eye(cells, dtype=F64)}
    return oracle.Model(kappa, 1 - kappa, rho, 1 - rho, strength, 0.4, 0, "triangular", masks=masks)


def layers_of(net: StackedRNN, beta: float) -> list[tuple[str, oracle.Model, Weights]]:
    """Name, oracle and weights of every layer, from the first."""
    taus = (10.0, 15.0)
    return [
        (name, model_of(tau, cells.n_rec, beta), {key: each.detach() for key, each in cells.named_parameters()})
        for tau, (name, cells) in zip(taus, net.hidden_layers, strict=True)
    ]


def spatial(net: StackedRNN, batch: tca.Batch, layers: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs of every layer and the errors of its spikes within the step, ``dE_t / dz_t``, by autograd.

    The layers above take part with the memory of the step before held fixed.
    """
    inputs, trails = [batch.inputs], []
    for _, model, weights in layers:
        trails.append(oracle.states(model, weights, inputs[-1]))
        inputs.append(torch.stack([state.z for state in trails[-1][1:]]).detach())
    errors = []
    for index in range(len(layers)):
        learning_signal = []
        for t in range(batch.steps):
            leaf = z = inputs[index + 1][t].clone().requires_grad_()
            for (_, model, weights), trail in zip(layers[index + 1 :], trails[index + 1 :], strict=True):
                z = model.step(weights, trail[t], z).z
            y = z @ net.w_out.detach().t() + net.b_out.detach()
            loss = batch.loss.mean(y[None], batch.targets[t : t + 1], batch.weights[t : t + 1])
            learning_signal.append(torch.autograd.grad(loss, leaf)[0])
        errors.append(torch.stack(learning_signal))
    return inputs, errors


def separated(net: StackedRNN, batch: tca.Batch, beta: float, which: str) -> dict[str, Tensor]:
    """``sum_t (dE_t / dz_t) . dz_t / dW``: the first factor spatial, the second a run of the layer alone."""
    layers = layers_of(net, beta)
    inputs, errors = spatial(net, batch, layers)
    found = {}
    for (name, model, weights), pre, error in zip(layers, inputs, errors, strict=False):
        leaves = {key: each.clone().requires_grad_() for key, each in weights.items()}
        run = oracle.states if which == "ostl" else oracle.presynaptic
        rates = torch.stack([state.z for state in run(model, leaves, pre)[1:]])
        each = torch.autograd.grad((error * rates).sum(), list(leaves.values()))
        found |= {f"{name}.{key}": value for key, value in zip(leaves, each, strict=True)}
    return found


@pytest.mark.parametrize("rule", ["ottt", "ostl"])
@pytest.mark.parametrize("options", [{}, ADAPTIVE], ids=["lif", "adaptive"])
def test_spatial_and_temporal_parts_are_separate(rule: str, options: dict[str, Any]) -> None:
    """Errors of the step through the layers above, times a run of the layer with its inputs held fixed."""
    net = stack(**options)
    batch = batch_of(net)
    found = gradients(net, tca.RULES[rule], batch)
    hidden = {name: each for name, each in found.items() if "out" not in name}
    assert_same(hidden, separated(net, batch, options.get("beta", 0.0), rule), EXACT)
    assert_same(gradients(net, tca.RULES[rule], batch, execution="forward"), found, EXACT)
    whole = autograd(net, batch)
    assert max(relative(found[name], whole[name]) for name in hidden) > 1e-2


def test_ottt_is_errors_of_the_step_times_a_presynaptic_trace() -> None:
    """``dW = sum_t g_t a_t^T`` with ``a_t = kappa a_{t-1} + pre_t`` and ``g`` by the surrogate gradient of the step."""
    net = stack()
    batch = batch_of(net)
    found = gradients(net, tca.RULES["ottt"], batch)
    layers = layers_of(net, 0.0)
    inputs, errors = spatial(net, batch, layers)
    for (name, model, weights), pre, error in zip(layers, inputs, errors, strict=False):
        psi = oracle.slopes(model, weights, pre)
        trail = oracle.states(model, weights, pre)
        for key, sent in (("w_in", pre), ("w_rec", torch.stack([state.z for state in trail[:-1]]))):
            trace, wanted = torch.zeros_like(sent[0]), torch.zeros_like(weights[key])
            for t in range(batch.steps):
                trace = model.kappa[0] * trace + sent[t]
                wanted += (model.gain * psi[t] * error[t]).t() @ trace
            assert relative(found[f"{name}.{key}"], model.weight({key: wanted}, key)) < EXACT, key


def test_ostl_of_one_layer_is_backpropagation_through_time() -> None:
    """The paper's equivalence for shallow networks, recurrence, adaptation and reset included."""
    net = SpikingRNN(3, 6, 2, tau=10.0, threshold=0.3, refractory=0.0, dtype=F64, seed=4, **ADAPTIVE)
    with torch.no_grad():
        net.w_in.mul_(20)
    batch = batch_of(net)
    assert int(net.run(batch.inputs).rate.sum()) > 10
    for execution in ("reverse", "forward"):
        assert_same(gradients(net, tca.RULES["ostl"], batch, execution=execution), autograd(net, batch), EXACT)


def test_ottt_is_eprop_where_cells_do_not_adapt() -> None:
    """The two differ by the trace of the adaptation alone."""
    for options, same in (({}, True), (ADAPTIVE, False)):
        net = stack(**options)
        batch = batch_of(net)
        first = next(name for name, _ in net.named_parameters() if name.endswith("w_rec"))
        found, other = (gradients(net, tca.RULES[name], batch)[first] for name in ("ottt", "eprop"))
        assert (relative(found, other) < EXACT) == same


def test_a_presynaptic_trace_needs_a_potential() -> None:
    """General cells with several components have no single driven one; those of one component have the leak."""
    for name in ("ottt", "superspike", "decolle"):
        with pytest.raises(ValueError, match=r"have 2, which may all be: use Leak"):
            tca.Learner(CellRNN(LSTM(), 3, 4, 2), tca.RULES[name])
    net = CellRNN(GRU(), 3, 4, 2, dtype=F64, seed=2)
    batch = batch_of(net)
    assert_same(gradients(net, tca.RULES["ottt"], batch), gradients(net, tca.RULES["eprop"], batch), EXACT)
