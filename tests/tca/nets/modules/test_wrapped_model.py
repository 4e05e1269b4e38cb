"""Whole models: the gradient is that of autograd, random numbers come from a seed, and other rules are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca

F64 = torch.float64


class Recurrent(nn.Module):
    """A stack of two recurrent layers with a readout, time first."""

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.layers, self.readout = kind(3, 5, 2, **options), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.layers(x)[0])  # type: ignore[no-any-return]


class Attention(nn.Module):
    """A causal layer of attention, trials along the second axis."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed, self.readout = nn.Linear(3, 8), nn.Linear(8, 2)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(len(x), dtype=x.dtype, device=x.device)
        return self.readout(self.layer(self.embed(x), mask, is_causal=True))  # type: ignore[no-any-return]


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 2)
    ).eval()


MODELS: dict[str, Any] = {
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "attention": Attention,
    "mlp": lambda: nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)),
}
each_model = pytest.mark.parametrize("name", MODELS)


def batch(n_in: int = 3, steps: int = 6, dtype: torch.dtype = F64) -> tca.Batch:
    source = torch.Generator().manual_seed(1)
    x = torch.randn(steps, 4, n_in, generator=source, dtype=F64).to(dtype)
    target = torch.randint(2, (steps, 4), generator=source)
    weights = torch.rand(steps, 4, generator=source, dtype=F64).to(dtype)
    weights[steps - 2 :, 0] = 0.0
    return tca.Batch(x, target, weights, tca.losses.CrossEntropy())


def autograd(model: nn.Module, outputs: Tensor, given: tca.Batch) -> dict[str, Tensor]:
    loss = nn.functional.cross_entropy(outputs.movedim(-1, 1), given.targets, reduction="none")
    total = (given.weights * loss).sum() / given.trials
    named = dict(model.named_parameters())
    found = torch.autograd.grad(total, list(named.values()))
    return dict(zip((f"model.{name}" for name in named), found, strict=True))


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    assert found.keys() == wanted.keys()
    for name, each in wanted.items():
        assert (found[name] - each).abs().max() <= tolerance * each.abs().max().clamp(min=1e-3), name


@each_model
@pytest.mark.parametrize("execution", ["reverse", "forward"])
@pytest.mark.parametrize("rule", ["bptt", "backprop"])
def test_the_gradient_is_that_of_autograd(name: str, rule: str, execution: Any) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().to(F64)
    net, given = tca.nets.wrap(model), batch()
    found, info = tca.Learner(net, tca.RULES[rule]).grads(given, execution)
    outputs = model(given.inputs)
    torch.testing.assert_close(info.outputs, outputs.detach(), rtol=0, atol=1e-14)
    assert_same(found, autograd(model, outputs, given))


def padded(given: tca.Batch) -> tca.Batch:
    pad = nn.functional.pad
    return replace(
        given,
        inputs=pad(given.inputs, (0, 0, 0, 0, 0, 3), value=2.0),
        targets=pad(given.targets, (0, 0, 0, 3)),
        weights=pad(given.weights, (0, 0, 0, 3)),
    )


@each_model
def test_padding_changes_no_gradient_of_a_causal_model(name: str) -> None:
    torch.manual_seed(0)
    learner, given = tca.Learner(tca.nets.wrap(MODELS[name]().to(F64)), tca.RULES["bptt"]), batch()
    assert_same(learner.grads(padded(given))[0], learner.grads(given)[0])


def test_a_model_that_reads_later_steps_sees_padding() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Both(), nn.Linear(10, 2)).to(F64)
    learner, given = tca.Learner(tca.nets.wrap(model), tca.RULES["bptt"]), batch()
    more, less = learner.grads(padded(given))[0], learner.grads(given)[0]
    name = "model.1.weight"
    assert (more[name] - less[name]).abs().max() > 1e-2 * less[name].abs().max()


class Both(nn.GRU):
    """A recurrent layer in both directions of time."""

    def __init__(self) -> None:
        super().__init__(3, 5, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]  # type: ignore[no-any-return]


def test_items_are_steps() -> None:
    torch.manual_seed(0)
    model = convolution().to(F64)
    net, given = tca.nets.wrap(model, torch.zeros(2, 1, 4, 4)), batch(16)
    assert (net.n_in, net.n_out, net.shape) == (16, 2, (1, 4, 4))
    learner = tca.Learner(net, tca.RULES["backprop"])
    info = learner.backward(given)
    outputs = torch.stack([model(x.view(-1, 1, 4, 4)) for x in given.inputs])
    torch.testing.assert_close(info.outputs, outputs.detach(), rtol=0, atol=1e-14)
    found = {name: each.grad for name, each in net.named_parameters() if each.grad is not None}
    assert_same(found, autograd(model, outputs, given))


def test_frozen_and_shared_parameters() -> None:
    torch.manual_seed(0)
    first = nn.Linear(3, 3)
    model = nn.Sequential(first, nn.Tanh(), first, nn.Linear(3, 2)).to(F64)
    model[3].weight.requires_grad_(False)
    net, given = tca.nets.wrap(model), batch()
    tca.Learner(net, tca.RULES["bptt"]).backward(given)
    assert model[3].weight.grad is None
    outputs = model(given.inputs)
    loss = nn.functional.cross_entropy(outputs.movedim(-1, 1), given.targets, reduction="none")
    (wanted,) = torch.autograd.grad((given.weights * loss).sum() / given.trials, [first.weight])
    torch.testing.assert_close(first.weight.grad, wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_numbers_come_from_the_seed_and_leave_generators_alone(seed: int) -> None:
    torch.manual_seed(0)
    model = Recurrent(nn.GRU, dropout=0.5).to(F64)
    net, given = tca.nets.wrap(model, seed=seed), batch()
    before = torch.get_rng_state()
    noise = net.draw_noise(given.steps, given.trials)
    assert noise is not None
    drawn, info = tca.Learner(net, tca.RULES["bptt"]).grads(given, noise=noise)
    again, _ = tca.Learner(net, tca.RULES["bptt"]).grads(given, noise=noise)
    quiet, still = tca.Learner(net, tca.RULES["bptt"]).grads(given)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(drawn[name], each) for name, each in again.items())
    assert not torch.equal(info.outputs, still.outputs)
    torch.manual_seed(int(noise[0, 0, 0]))
    assert_same(drawn, autograd(model, model(given.inputs), given))
    assert model.training
    model.eval()
    assert_same(quiet, autograd(model, model(given.inputs), given))
    assert net.draw_noise(2, 2) is None


def test_updates_draw_different_masks_which_a_state_restores() -> None:
    torch.manual_seed(0)
    net = tca.nets.wrap(Recurrent(nn.GRU, dropout=0.5))
    learner, given = tca.Learner(net, tca.RULES["bptt"]), batch(dtype=torch.float32)
    state = {name: each.clone() for name, each in net.state_dict().items()}
    outputs = [learner.backward(given).outputs for _ in range(2)]
    assert not torch.equal(*outputs)
    net.load_state_dict(state)
    assert torch.equal(learner.backward(given).outputs, outputs[0])


@pytest.mark.thirds
@each_model
def test_measurements_accept_it(name: str) -> None:
    torch.manual_seed(0)
    net, given = tca.nets.wrap(MODELS[name]().to(F64)), batch(steps=4)
    parameters = [each for each, _ in net.named_parameters()][:2]
    found = analysis.operator(net, given, parameters)
    dense = torch.stack([found.product(row) for row in torch.eye(found.size, dtype=F64)])
    own = dict(net.named_parameters())
    flat = torch.cat([own[each].detach().flatten() for each in parameters])

    def loss(theta: Tensor) -> Tensor:
        split = theta.split([own[each].numel() for each in parameters])
        use = {each: part.view_as(own[each]) for each, part in zip(parameters, split, strict=True)}
        return given.loss.mean(net.functional(use, given.inputs), given.targets, given.weights)

    wanted = torch.autograd.functional.hessian(loss, flat)
    torch.testing.assert_close(dense, wanted, rtol=1e-9, atol=1e-12)


def test_it_learns_through_a_loop_of_python() -> None:
    torch.manual_seed(0)
    net, given = tca.nets.wrap(Attention(dropout=0.1)), batch(dtype=torch.float32)
    learner = tca.Learner(net, tca.RULES["bptt"])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    before = float(learner.grads(given)[1].loss)
    for _ in range(60):
        optimizer.zero_grad()
        learner.backward(given)
        optimizer.step()
        net.project_()
    assert float(learner.grads(given)[1].loss) < 0.6 * before


@pytest.mark.parametrize("rule", ["eprop", "rtrl", "dfa", "tbptt", "node_perturbation", "ebd"])
def test_other_rules_are_refused_with_the_reason(rule: str) -> None:
    words = r"is not defined on a whole model, whose states and synapses are unknown: use RULES\['bptt'\]"
    with pytest.raises(ValueError, match=words):
        tca.Learner(tca.nets.wrap(Recurrent(nn.GRU)), tca.RULES[rule])


class Counting(nn.Module):
    """Adds the number of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(3, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) + self.calls  # type: ignore[no-any-return]


def _uncopied(model: Any) -> nn.Module:
    model.cache = model(torch.zeros(1, 3))
    return model  # type: ignore[no-any-return]


class Refusing(nn.Linear):
    """Raises an error of its own, of two lines."""

    def __init__(self) -> None:
        super().__init__(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("two lines\nof a user")


class Partly(nn.Module):
    """One of two outputs depends on the mean over trials."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.layer(x).unbind(-1)
        return torch.stack([first, second - second.mean(1, keepdim=True)], -1)


class Neighbours(nn.Linear):
    """Outputs of a trial depend on the trial behind it."""

    def __init__(self) -> None:
        super().__init__(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return torch.cat([y[:, :-1] + y[:, 1:], y[:, -1:]], 1)


class Normalized(nn.Module):
    """Batch normalization over steps and trials."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x).movedim(0, -1)).movedim(-1, 0)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.GRU(3, 5), r"must return one tensor, got tuple"),
        (lambda: Recurrent(nn.GRU, batch_first=True), "must treat trials apart"),
        (Normalized, "must treat trials apart.*batch normalization in evaluation mode"),
        (Partly, "must treat trials apart"),
        (Neighbours, "must treat trials apart"),
        (Counting, "keeps a state between calls"),
        (lambda: nn.LazyLinear(2), "model must have been run once"),
        (lambda: _uncopied(nn.Linear(3, 2)), r"model must be a module that copy\.deepcopy copies, got: RuntimeError"),
        (nn.Identity, "model must have parameters to train"),
        (lambda: nn.Linear(3, 2, device="meta"), "model must hold numbers, got a parameter on the meta device"),
        (
            lambda: nn.Linear(3, 2, dtype=torch.complex64),
            "dtype must be torch.float32 or torch.float64, got torch.complex",
        ),
        (Refusing, r"give an example batch, wrap\(model, inputs\); it raised: ValueError: two lines$"),
        (lambda: nn.Conv2d(1, 2, 3), "the number of inputs of model cannot be inferred"),
        (lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(5, 2)), r"give an example batch, wrap\(model, inputs\)"),
        (lambda: nn.Sequential(nn.Linear(3, 2), nn.Flatten(0)), r"must return \(T, B, O\) for \(T, B, I\)"),
    ],
)
def test_models_that_cannot_be_trained_are_refused(model: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tca.nets.wrap(model())


def test_batch_normalization_that_is_turned_on_later_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.Flatten(0, 1), nn.BatchNorm1d(2), nn.Unflatten(0, (6, 4)))
    model[3].eval()
    net = tca.nets.wrap(model, torch.zeros(6, 4, 3))
    learner, given = tca.Learner(net, tca.RULES["bptt"]), batch(dtype=torch.float32)
    learner.backward(given)
    net.train()
    with pytest.raises(ValueError, match="must not normalize over the batch"):
        learner.backward(given)


def test_making_a_network_calls_a_copy() -> None:
    model = Counting()
    with pytest.raises(ValueError, match="keeps a state"):
        tca.nets.wrap(model)
    assert model.calls == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [*MODELS, "cell"])
def test_a_device_gives_the_gradient_of_the_cpu(name: str) -> None:
    torch.manual_seed(0)
    cell: Any = lambda: tca.nets.from_module(nn.GRUCell(3, 5).to(F64), nn.Linear(5, 2).to(F64))  # noqa: E731
    net = cell() if name == "cell" else tca.nets.wrap(MODELS[name]().to(F64))
    given = batch()
    for rule in ("bptt", "snap1") if name == "cell" else ("bptt",):
        wanted = tca.Learner(net.to("cpu"), tca.RULES[rule]).grads(given)[0]
        found = tca.Learner(net.to("cuda"), tca.RULES[rule]).grads(given.to("cuda"))[0]
        assert_same({each: value.cpu() for each, value in found.items()}, wanted, 1e-9)


def test_a_pass_without_a_graph_has_no_gradient() -> None:
    net = tca.nets.wrap(nn.Linear(3, 2))
    tape: Any = net.run(batch(dtype=torch.float32).inputs)
    with pytest.raises(ValueError, match="has no graph"):
        tape.pull(tape.outputs, slice(1, 7))
    with pytest.raises(TypeError, match="model must be a Module"):
        tca.nets.wrap(torch.relu)  # type: ignore[arg-type]
