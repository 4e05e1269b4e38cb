"""The compiled passes equal PyTorch's operations, for every form, activation function, type, size and kind of trial."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.cells.activations import ACTIVATIONS, Tanh
from tca.eligibilities import Full, Instant, Leak, PotentialLeak, TypePropagation
from tca.kernels import choice
from tca.kernels.compiled import Passes
from tca.signals import Adaptive, Direct, Exact, Hops, Random
from tca.tape.weight_estimates import BlockMean, ExactWeights, SynapseMean
from tca.utils.checks import DivergenceError

CELLS, TRIALS = (1, 3, 7, 16, 33, 64, 100, 128), (1, 5, 6, 7, 32)
DTYPES = {torch.float32: 1e-4, torch.float64: 1e-12}  # with their tolerances
LEAKY = tca.Rule(Direct(), Leak())  # e-prop, and in form B RFLO with symmetric feedback
Gradients = dict[str, Tensor]


def batch_of(net: Any, trials: int, steps: int, lengths: Tensor | None = None) -> tca.Batch:
    source = torch.Generator().manual_seed(1)
    like = net.w_out
    inputs, targets = (
        torch.randn(steps, trials, n, generator=source, dtype=torch.float64).to(like) for n in (net.n_in, net.n_out)
    )
    weights = torch.full((steps, trials), 1 / steps).to(like)
    if lengths is not None:
        weights[torch.arange(steps).unsqueeze(1) >= lengths] = 0.0
    return tca.Batch(inputs, targets, weights, tca.losses.MSE())


def both(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], Gradients]) -> tuple[Gradients, Gradients]:
    """Return the result of PyTorch's operations and that of the compiled passes, which must have been used."""
    results, used = [], []
    forward = Passes.forward_
    monkeypatch.setattr(Passes, "forward_", lambda *given: (used.append(1), forward(*given))[1])
    for name in ("eager", "compiled"):
        monkeypatch.setenv(choice.VARIABLE, name)
        results.append({key: each.clone() for key, each in compute().items()})
        assert bool(used) == (name == "compiled")
    monkeypatch.setattr(Passes, "forward_", forward)
    return results[0], results[1]


def assert_same(expected: Gradients, got: Gradients, tolerance: float) -> None:
    assert expected.keys() == got.keys()
    for name, each in expected.items():
        assert (got[name] - each).abs().max() <= tolerance * each.abs().max() + 1e-16, name


def learn(net: Any, rule: tca.Rule, batch: tca.Batch, noise: Tensor | None = None) -> Callable[[], Gradients]:
    def compute() -> Gradients:
        gradients, info = tca.Learner(net, rule).grads(batch, noise=noise)
        return {**gradients, "outputs": info.outputs}

    return compute


@pytest.mark.thirds
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("form", ["A", "B"])
def test_gradients_equal_those_of_pytorch(
    form: str, activation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes with all remainders; every other network has leaks of its cells' own, masks and a learned initial state."""
    for index, (cells, trials) in enumerate([*itertools.product(CELLS, TRIALS)][::2]):
        mask = (torch.rand(cells, cells, generator=torch.Generator().manual_seed(0)) < 0.7).double()
        own = {"tau": torch.linspace(20, 200, cells).tolist(), "mask_rec": mask, "learn_initial": True}
        net = tca.nets.LeakyRNN(
            3, cells, 2, form=form, activation=activation, dtype=dtype, dt=20, **(own if index % 2 else {})
        )
        if net.s_0 is not None:
            torch.nn.init.normal_(net.s_0, std=0.3, generator=torch.Generator().manual_seed(3))
        for rule in (LEAKY, tca.RULES["bptt"]):
            expected, got = both(monkeypatch, learn(net, rule, batch_of(net, trials, 4)))
            assert_same(expected, got, DTYPES[dtype])


@pytest.mark.parametrize("form", ["A", "B"])
def test_padding_noise_wide_inputs_and_windows(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tca.tape.tape.WINDOW_BYTES", 3 * 7 * 9 * 8)  # of three steps
    for n_in, noisy, padded in itertools.product((3, 200), (False, True), (False, True)):
        net = tca.nets.LeakyRNN(n_in, 9, 2, form=form, noise=0.1, learn_initial=True, dt=20, dtype=torch.float64)
        torch.nn.init.normal_(net.s_0, std=0.3, generator=torch.Generator().manual_seed(3))
        lengths = torch.tensor([11, 3, 1, 7, 8, 11, 5]) if padded else None
        batch = batch_of(net, 7, 11, lengths)
        noise = torch.randn(11, 7, 9, dtype=torch.float64) if noisy else None
        for rule in (LEAKY, tca.RULES["bptt"]):
            expected, got = both(monkeypatch, learn(net, rule, batch, noise))
            assert_same(expected, got, 1e-13)


BY_TYPE = TypePropagation(0.6)
HOPS = tuple(Hops(1, each, receiver_leak=False) for each in (ExactWeights(), SynapseMean(), BlockMean()))
PAIRS = (
    *itertools.product((Direct(),), (Instant(), Leak(), PotentialLeak(), Full(), BY_TYPE)),
    *((Random(), Leak()), (Random(), BY_TYPE), (Adaptive(), Instant()), (Adaptive(), Full()), (Exact(), Instant())),
    *itertools.product(HOPS, (Instant(), Leak())),
)
OTHERS = ((Hops(2, BlockMean(), receiver_leak=False), Leak()), (Hops(1, BlockMean()), Leak()), (HOPS[2], Full()))


@pytest.mark.parametrize("form", ["A", "B"])
def test_gradients_in_one_pass_equal_those_of_windows(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair that has the pass; trials longer than a block keeps, padding, filtered readouts, masks, cell types."""
    used = []
    pass_ = Passes.gradients_
    monkeypatch.setattr(Passes, "gradients_", lambda *given: (used.append(1), pass_(*given))[1])
    masks = {f"mask_{name}": torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.7 for name, shape in
             {"in": (9, 3), "rec": (9, 9), "out": (2, 9)}.items()}  # fmt: skip
    given: tuple[dict[str, Any], ...] = (
        {"readout_tau": 30.0, "tau": torch.linspace(20, 200, 9).tolist(), "cell_types": (0.5, 0.3, 0.2)},
        {**masks, "noise": 0.1, "activation": "softplus", "cell_types": (0.6, 0.4)},
    )
    for (signal, eligibility), options in itertools.product((*PAIRS, *OTHERS), given):
        net = tca.nets.LeakyRNN(3, 9, 2, form=form, dt=20, dtype=torch.float64, **options)
        batch = batch_of(net, 7, 60, torch.tensor([60, 3, 1, 47, 8, 11, 59]))
        noise = torch.randn(60, 7, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        rule, before = tca.Rule(signal, eligibility), len(used)
        expected, got = both(monkeypatch, learn(net, rule, batch, noise if net.noise else None))
        assert len(used) - before == ((signal, eligibility) in PAIRS)
        assert_same(expected, got, 1e-12)


def test_an_unstable_propagation_by_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tca.nets.LeakyRNN(2, 4, 1, dt=20, dtype=torch.float64)
    with torch.no_grad():
        net.w_rec.fill_(1.0)
    for name in ("eager", "compiled"):
        monkeypatch.setenv(choice.VARIABLE, name)
        with pytest.raises(DivergenceError, match=r"spectral radius 1\.\d+"):
            tca.Learner(net, tca.Rule(Direct(), TypePropagation(0.3))).grads(batch_of(net, 5, 6))


@pytest.mark.parametrize("rule", ["eprop", "bptt", "backprop"])
def test_stacks_have_the_gradients_of_pytorch(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = tca.nets.StackedRNN(3, [7, 5], 2, dt=20, dtype=torch.float64)
    expected, got = both(monkeypatch, learn(net, tca.RULES[rule], batch_of(net, 7, 11)))
    assert_same(expected, got, 1e-12)


def test_sums_of_many_trials_have_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tca.nets.LeakyRNN(2, 64, 1, dt=20, dtype=torch.float64)
    compute = learn(net, tca.RULES["bptt"], batch_of(net, 500, 40))  # 80 million multiplications, in parts
    expected, got = both(monkeypatch, compute)
    assert_same(expected, got, 1e-12)
    torch.set_num_threads(3)
    try:
        threaded = compute()
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(threaded[name], each) for name, each in got.items())


def leaky_rules() -> list[str]:
    """Return the rules of a leaky network."""
    names = []
    for name, rule in tca.RULES.items():
        try:
            tca.Learner(tca.nets.LeakyRNN(2, 4, 1, form=rule.form or "A"), rule)
        except ValueError:
            continue
        names.append(name)
    return names


@pytest.mark.parametrize("form", ["A", "B"])
def test_every_rule_has_the_gradient_of_pytorch(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in leaky_rules() if tca.RULES[name].form in (None, form)]
    assert len(names) > 20
    for name in names:
        net = tca.nets.LeakyRNN(2, 6, 3, form=form, dt=20, dtype=torch.float64, cell_types=(0.5, 0.5))
        expected, got = both(monkeypatch, learn(net, tca.RULES[name], batch_of(net, 5, 6)))
        assert_same(expected, got, 1e-9)


def test_a_subclass_with_a_propagator_of_its_own_is_not_the_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    class Halved(Leak):
        def propagate_back_(self, tape: Any, t: int, into: Tensor, later: Tensor) -> None:
            into.add_(later, alpha=0.5)

    class Cut(Full):
        def propagate_back_(self, tape: Any, t: int, into: Tensor, later: Tensor) -> None:
            pass

    class Apart(TypePropagation):
        def propagate_back_(self, tape: Any, t: int, into: Tensor, later: Tensor) -> None:
            tape.leak_(t, into, later)

    net = tca.nets.LeakyRNN(2, 4, 1, dt=20, dtype=torch.float64)
    for own, published in ((Halved(), Leak()), (Cut(), Full()), (Apart(0.6), BY_TYPE)):
        rule = tca.Rule(Direct(), own)
        expected, got = both(monkeypatch, learn(net, rule, batch_of(net, 5, 6)))
        assert_same(expected, got, 1e-12)
        other = learn(net, tca.Rule(Direct(), published), batch_of(net, 5, 6))()
        assert (other["w_rec"] - got["w_rec"]).abs().max() > 1e-3 * got["w_rec"].abs().max()


def stacked(networks: int, cells: int, steps: int, trials: int) -> tuple[dict[str, Tensor], Passes]:
    """Return random tensors of several networks with leaks of their own, and their passes."""
    source = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> Tensor:
        return torch.randn(networks, *shape, generator=source, dtype=torch.float64)

    values = {
        "w_in": draw(cells, 2), "w_rec": draw(cells, cells) / cells**0.5, "bias": draw(cells),
        "inputs": draw(steps, trials, 2), "initial": draw(trials, cells), "signal": draw(steps, trials, cells),
    }  # fmt: skip
    leak = torch.rand(networks, cells, generator=source, dtype=torch.float64)
    return values, Passes(choice._library(), Tanh(), True, leak, 1 - leak)


def run(passes: Passes, values: dict[str, Tensor]) -> tuple[Tensor, ...]:
    networks, steps, trials, cells = values["signal"].shape
    rate, activity = (torch.zeros(networks, steps + 1, trials, cells, dtype=torch.float64) for _ in range(2))
    weights = (values["w_in"], values["w_rec"], values["bias"])
    passes.forward_(weights, values["inputs"], None, values["initial"], rate, activity)
    adjoint, filtered = values["signal"].clone(), values["signal"].clone()
    passes.adjoint_(values["w_rec"], activity[:, 1:], adjoint, None)
    passes.filter_(filtered, None)
    return rate, activity, adjoint, filtered


def test_several_networks_are_each_by_itself() -> None:
    values, passes = stacked(3, 7, 5, 8)
    together = run(passes, values)
    for s in range(3):
        own = Passes(passes.library, passes.activation, passes.on_rate, passes.leak[s : s + 1], passes.gain[s : s + 1])
        for all_of_them, alone in zip(together, run(own, {k: v[s : s + 1] for k, v in values.items()}), strict=True):
            assert torch.equal(all_of_them[s : s + 1], alone)


def test_a_trial_has_the_same_bits_in_every_batch_and_on_any_number_of_threads() -> None:
    values, passes = stacked(1, 128, 40, 129)
    whole = run(passes, values)
    per_trial = {"inputs": 2, "initial": 1, "signal": 2}
    for first, last in ((0, 1), (5, 12), (100, 129)):
        part = {
            name: each.narrow(per_trial[name], first, last - first) if name in per_trial else each
            for name, each in values.items()
        }
        for all_of_them, some in zip(whole, run(passes, part), strict=True):
            assert torch.equal(all_of_them[:, :, first:last], some)
    torch.set_num_threads(3)
    try:
        threaded = run(passes, values)
    finally:
        torch.set_num_threads(1)
    assert all(map(torch.equal, whole, threaded))


def test_signals_that_are_not_contiguous_change_in_place() -> None:
    values, passes = stacked(1, 7, 5, 8)
    *_, adjoint, filtered = run(passes, values)
    rate = run(passes, values)[1]
    for expected, change in (
        (adjoint, lambda signal: passes.adjoint_(values["w_rec"], rate[:, 1:], signal, None)),
        (filtered, lambda signal: passes.filter_(signal, None)),
    ):
        signal = values["signal"].transpose(2, 3).contiguous().transpose(2, 3)
        assert not signal.is_contiguous()
        change(signal)
        assert torch.equal(signal, expected)
