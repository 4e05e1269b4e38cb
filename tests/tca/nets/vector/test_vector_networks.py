"""Networks of vectors and their conventional twins: forward pass, gates, weights at the start, signs kept, presets.

Shapes: T time, B batch, K components and outputs, I postsynaptic cells, J presynaptic. Everything is float64 unless a
test converts it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tca
from tca.connections.convolution import Conv, Geometry, Local
from tca.connections.vector_weights import InputVectors, VectorBias, VectorConnection, Vectors
from tca.eligibilities import Full, Homotopy, Instant, Leak, NetworkKernel, Windowed
from tca.losses import CrossEntropy
from tca.nets import (
    PRESETS,
    AlternatingNet,
    AvgPool,
    ConvLayer,
    DenseLayer,
    LocalLayer,
    MaxPool,
    Network,
    VectorCNN,
    VectorLocalNet,
    VectorMLP,
    VectorRNN,
)
from tca.signals import Direct, Exact, Horizon

F64 = torch.float64
MAPS = [ConvLayer(4, 3, padding=1, then=(AvgPool(),)), ConvLayer(2, 2), DenseLayer(4)]
LOCAL = [LocalLayer(4, 3, padding=1, then=(AvgPool(),)), LocalLayer(2, 2), DenseLayer(4)]
BOTH_WAYS = (
    "bptt",
    "rtrl",
    "snap1",
    "eprop",
    "modprop",
    "backprop",
    "feedback_alignment",
    "sign_symmetric",
    "dfa",
    "dfa_shared",
    "sbd",
    "error_diffusion",
    "gevb",
    "gevb_local",
    "gevb_network",
)
SMALL = [ConvLayer(2, 2, then=(AvgPool(),))]
NETS: dict[str, Callable[..., Any]] = {
    "mlp": partial(VectorMLP, 6, [8, 6], 4),
    "mixed mlp": partial(VectorMLP, 6, [8, 6], 4, signs="mixed"),
    "cnn": partial(VectorCNN, (2, 6, 6), MAPS, 3),
    "cnn without a dense layer": partial(VectorCNN, (1, 5, 5), SMALL, 2, by_position=True),
    "local": partial(VectorLocalNet, (2, 6, 6), LOCAL, 3),
    "rnn": partial(VectorRNN, 3, 6, 4),
    "alternating": partial(AlternatingNet, (2, 6, 6), [*MAPS[:1], LocalLayer(4, 2), DenseLayer(12)], 3),
}
each_net = pytest.mark.parametrize("build", NETS.values(), ids=NETS)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def scattered(net: Any, size: float = 0.3) -> Any:
    """Add noise to every parameter, then put them back where they are allowed to be."""
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter += size * normal(*parameter.shape, seed=number)
    net.project_()
    return net


def batch_of(net: Network, steps: int = 5, trials: int = 4) -> tca.Batch:
    generator = torch.Generator().manual_seed(11)
    classes = torch.randint(net.n_out, (steps, trials), generator=generator)
    weights = torch.rand(steps, trials, dtype=F64, generator=generator)
    return tca.Batch(normal(steps, trials, net.n_in, seed=12), classes, weights, CrossEntropy())


def autograd(net: Network, batch: tca.Batch) -> dict[str, Tensor]:
    names = [name for name, _ in net.named_parameters()]
    loss = batch.loss.mean(net.functional({}, batch.inputs), batch.targets, batch.weights)
    return dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    assert found.keys() == wanted.keys()
    return max(float((found[name] - each).norm() / each.norm()) for name, each in wanted.items())


def by_hand(net: Any, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs of an all-to-all network of vectors from its equations, and the gates of its layers."""
    received, gates = None, []
    for number, population in enumerate(net.hidden_layers, 1):
        weight, bias = net.get_parameter(f"w_{number}"), net.get_parameter(f"b_{number}")
        signs = population.activation.vectors[..., 0]
        if received is None:
            drive = torch.einsum("kij,tbj->tbki", weight, inputs) + bias
        else:
            drive = torch.einsum("ij,tbkj->tbki", weight, received) + bias
        gates.append((torch.einsum("ki,tbki->tbi", signs, drive) >= 0).double())
        received = drive * gates[-1].unsqueeze(2)
    return torch.einsum("j,tbkj->tbk", net.w_out[0], received) + net.b_out, gates


@each_net
def test_run_equals_functional(build: Callable[..., Any]) -> None:
    """The pass without a graph gives what the differentiable one gives."""
    net = scattered(build(dtype=F64))
    inputs = batch_of(net).inputs
    assert torch.allclose(net.run(inputs).outputs, net.functional({}, inputs), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("signs", ["nonnegative", "mixed"])
def test_equations_of_the_layers(signs: str) -> None:
    """Outputs and gates equal those of the equations written with einsum."""
    net = scattered(VectorMLP(6, [8, 6], 4, signs=signs, dtype=F64))
    inputs = normal(3, 5, 6)
    outputs, gates = by_hand(net, inputs)
    tape = net.run(inputs)
    assert torch.allclose(tape.outputs, outputs, rtol=1e-12)
    for level, wanted in zip(tape.levels, reversed(gates), strict=True):
        assert torch.equal(level.gates[1:], wanted)


def test_a_zero_drive_opens_every_gate() -> None:
    """The condition includes equality."""
    net = VectorMLP(3, [4], 2, dtype=F64)
    tape = net.run(torch.zeros(1, 2, 3, dtype=F64))
    assert bool((tape.gates[1:] == 1).all())


def test_equations_of_the_recurrent_network() -> None:
    """Outputs equal those of the equations written with einsum, step by step."""
    net = scattered(VectorRNN(3, 6, 4, integration_rate=0.3, dtype=F64))
    inputs = normal(5, 2, 3)
    state = rate = torch.zeros(2, 4, 6, dtype=F64)
    outputs = []
    for each in inputs:
        drive = torch.einsum("ij,bkj->bki", net.w_rec, rate) + torch.einsum("kij,bj->bki", net.w_in, each) + net.b
        state = 0.7 * state + 0.3 * drive
        gate = (torch.einsum("ki,bki->bi", net.gates.vectors[..., 0], state) >= 0).double()
        rate = state * gate.unsqueeze(1)
        outputs.append(rate @ net.w_out[0] + net.b_out)
    assert torch.allclose(net.run(inputs).outputs, torch.stack(outputs), rtol=1e-12)


@each_net
@pytest.mark.parametrize("eligibility", [Instant(), Leak(), Full(), Windowed(3), Homotopy(0.4)], ids=repr)
def test_exact_signals_give_the_gradient(build: Callable[..., Any], eligibility: Any) -> None:
    """With gates held constant, every eligibility with its exact signal equals autograd, forwards and backwards."""
    net = scattered(build(dtype=F64))
    batch = batch_of(net)
    true = autograd(net, batch)
    learner = tca.Learner(net, tca.Rule(Exact(), eligibility))
    assert distance(learner.grads(batch)[0], true) < 1e-12
    if len(net.populations()) == 1 or not eligibility.joint:
        assert distance(learner.grads(batch, execution="forward")[0], true) < 1e-12


@pytest.mark.thirds
@each_net
@pytest.mark.parametrize("name", BOTH_WAYS)
def test_forward_equals_reverse(build: Callable[..., Any], name: str) -> None:
    """Every rule runs both ways to the same sum, or says what it cannot do here."""
    net = scattered(build(dtype=F64))
    batch = batch_of(net, steps=4)
    refusal = ""
    try:
        learner = tca.Learner(net, tca.RULES[name])
        reverse = learner.grads(batch)[0]
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert "population" in refusal
        return
    if tca.RULES[name].eligibility.joint and len(net.populations()) > 1:
        return
    assert distance(learner.grads(batch, execution="forward")[0], reverse) < 1e-12


@each_net
def test_windows_leave_no_seam(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps a window give what the whole trial in one gives, and the network trains in single precision."""
    net = scattered(build(dtype=F64))
    batch = batch_of(net, steps=7)
    rules = [rule for name in ("bptt", "gevb", "gevb_local", "gevb_network") if works(net, rule := tca.RULES[name])]
    wanted = [tca.Learner(net, rule).grads(batch)[0] for rule in rules]
    widest = max(population.cells for population in net.populations())
    monkeypatch.setattr("tca.tape.tape.WINDOW_BYTES", 2 * batch.trials * widest * 8)
    assert len(list(net.run(batch.inputs).windows())) == 4
    for rule, whole in zip(rules, wanted, strict=True):
        assert distance(tca.Learner(net, rule).grads(batch)[0], whole) < 1e-12
    single = copy.deepcopy(net).float()
    for rule, whole in zip(rules, wanted, strict=True):
        found = tca.Learner(single, rule).grads(batch.to(dtype=torch.float32))[0]
        assert distance({name: each.double() for name, each in found.items()}, whole) < 1e-4


def test_later_errors_of_many_steps_at_once() -> None:
    """Errors of all later steps, propagated for the whole trial at a time, are the gradient; of two steps, not."""
    net = scattered(VectorRNN(3, 6, 4, dtype=F64))
    batch = batch_of(net)
    true = autograd(net, batch)
    assert distance(tca.Learner(net, tca.Rule(Horizon(9), Instant())).grads(batch)[0], true) < 1e-12
    assert distance(tca.Learner(net, tca.Rule(Horizon(2), Instant())).grads(batch)[0], true) > 1e-2


def works(net: Network, rule: tca.Rule) -> bool:
    try:
        tca.Learner(net, rule)
    except ValueError:
        return False
    return True


def test_expanded_inputs_are_a_linear_layer() -> None:
    """One vector for each input and component, through scalar weights, is what ``InputVectors`` computes."""
    weight = normal(4, 8, 6)
    inputs = normal(5, 6, seed=1)
    expanded = torch.einsum("bc,kl->blkc", inputs, torch.eye(4, dtype=F64)).flatten(2)  # component l: x at (l, c)
    whole = Vectors("w", weight.movedim(0, 1).flatten(1), components=4)
    assert torch.allclose(InputVectors("w", weight).drive(inputs), whole.drive(expanded.flatten(1)), rtol=1e-12)


AT = Geometry((3, 5, 4), 2, 1, 1)
CONNECTIONS: dict[str, tuple[Any, int]] = {
    "dense": (Vectors("w", normal(6, 5), components=3), 15),
    "masked": (Vectors("w", normal(6, 5), (normal(6, 5, seed=3) > 0).double(), components=3), 15),
    "conv": (Vectors("w", normal(2, 3, 2, 2), components=3, inner=partial(Conv, geometry=AT)), 180),
    "local": (Vectors("w", normal(2, 30, 12), components=3, inner=partial(Local, geometry=AT)), 180),
    "inputs": (InputVectors("w", normal(3, 6, 5)), 5),
    "masked inputs": (InputVectors("w", normal(3, 6, 5), (normal(3, 6, 5, seed=3) > 0).double()), 5),
    "maps of inputs": (InputVectors("w", normal(3, 2, 3, 2, 2), inner=partial(Conv, geometry=AT)), 60),
    "bias": (VectorBias("b", normal(3, 4)), 1),
    "bias of maps": (VectorBias("b", normal(3, 4), positions=5), 1),
}


@pytest.mark.parametrize(("connection", "n_pre"), CONNECTIONS.values(), ids=CONNECTIONS)
def test_connections_equal_autograd(connection: Any, n_pre: int) -> None:
    """Drive, way back, gathered gradient and folded pairs agree with derivatives of ``apply``."""
    pre = normal(2, 4, n_pre, seed=1) if n_pre > 1 else torch.ones(2, 4, 1, dtype=F64)
    weight = connection.weight.clone().requires_grad_()
    received = pre.clone().requires_grad_()
    drive = connection.apply(connection.masked(weight), received)
    assert torch.allclose(connection.drive(pre), drive.detach(), rtol=1e-13)
    assert (connection.n_post, connection.n_pre) == (drive.shape[-1], n_pre)
    signal = normal(2, 4, connection.n_post, seed=2)
    of_weight, of_pre = torch.autograd.grad(
        (drive.expand(2, 4, -1) * signal).sum(), (weight, received), allow_unused=True
    )
    gathered = connection.gradient()
    connection.outer_(gathered, signal, pre)
    assert torch.allclose(connection.finish(gathered), of_weight, rtol=1e-12)
    per_pair = torch.einsum("tbi,tbj->ij", signal, pre)
    assert torch.allclose(connection.fold(per_pair), of_weight, rtol=1e-12)
    if n_pre > 1:
        assert torch.allclose(connection.back(signal), of_pre, rtol=1e-12)


@pytest.mark.parametrize("name", CONNECTIONS)
def test_broadcast_products_equal_outer_products(name: str) -> None:
    """Gate times ``score . h`` is the sum over components of gate, score and activity."""
    connection, n_pre = CONNECTIONS[name]
    assert isinstance(connection, VectorConnection)
    pre = normal(2, 4, n_pre, seed=1) if n_pre > 1 else torch.ones(1, 1, 1, dtype=F64)
    gate, score = (normal(2, 4, connection.n_post // 3, seed=2) > 0).double(), normal(2, 4, 3, seed=3)
    found, wanted = connection.gradient(), connection.gradient()
    connection.broadcast_(found, gate, connection.meet(score, pre))
    connection.outer_(wanted, (score.unsqueeze(-1) * gate.unsqueeze(-2)).flatten(-2), pre)
    assert float(wanted.abs().max()) > 0.1
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-13)


def test_convolutions_and_local_layers_of_vectors() -> None:
    """Each component passes the same convolution; a local layer with copies of the kernel gives the same."""
    conv = scattered(VectorCNN((2, 6, 6), MAPS[:1], 3, dtype=F64))
    local = VectorLocalNet((2, 6, 6), LOCAL[:1], 3, dtype=F64)
    inputs = normal(1, 5, 72)
    with torch.no_grad():
        local.w_1.copy_(conv.w_1.flatten(2).unsqueeze(2).expand(3, 4, 36, 18))
        local.b_1.copy_(conv.b_1.repeat_interleave(36, 1))
        local.w_out.copy_(conv.w_out)
        local.b_out.copy_(conv.b_out)
        local.gates_1.vectors.copy_(conv.gates_1.vectors)
    assert torch.allclose(local(inputs), conv(inputs), rtol=1e-12)
    passed = []
    for kernel, bias, signs in zip(conv.w_1, conv.b_1, conv.gates_1.vectors, strict=True):
        maps = functional.conv2d(inputs[0].view(5, 2, 6, 6), kernel, bias, padding=1)
        passed.append((maps, signs.unsqueeze(-1) * maps))
    open_gates = (torch.stack([along for _, along in passed]).sum(0) >= 0).double()
    for component, (maps, _) in enumerate(passed):
        pooled = functional.avg_pool2d(maps * open_gates, 2).permute(0, 2, 3, 1).flatten(1)  # channels last
        wanted = pooled @ conv.w_out[0] + conv.b_out[component]
        assert torch.allclose(conv(inputs)[0, :, component], wanted, rtol=1e-12)


COUNTS = {
    "gevb_mnist_fc": 784 * 10240 + 10240 + 1024 * 512 + 5120 + 512 + 10,
    "conventional_mnist_fc": 784 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 10 + 10,
    "ebd_mnist_fc": 784 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 10 + 10,
    "gevb_mnist_conv": 640 * 9 + 640 + 64 * 32 * 9 + 320 + 1568 * 1024 + 10240 + 1024 + 10,
    "gevb_mnist_lc": 784 * 320 * 9 + 784 * 320 + 196 * 32 * 32 * 9 + 196 * 320 + 1568 * 1024 + 10240 + 1024 + 10,
    "gevb_cifar10_conv": 1280 * 75 + 1280 + 128 * 64 * 25 + 640 + 64 * 64 * 4 + 640 + 1024 * 1024 + 10240 + 1024 + 10,
    "conventional_cifar10_lc": 1024 * 64 * 75 + 65536 + 256 * 32 * 64 * 25 + 8192 + 16 * 32 * 32 * 4 + 512
    + 512 * 512 + 512 + 5120 + 10,
    "ebd_mnist_conv": 576 + 64 * 32 * 9 + 1568 * 1024 + 10240 + 10,
    "ebd_cifar100_conv": 96 * 75 + 96 * 128 * 25 + 128 * 256 * 25 + 4096 * 2048 + 204800 + 100,
}  # fmt: skip


@pytest.mark.thirds
@pytest.mark.parametrize("name", COUNTS)
def test_presets_have_their_parameters(name: str) -> None:
    """The number of parameters of published architectures, counted by hand."""
    net = PRESETS[name].build()
    assert sum(each.numel() for each in net.parameters()) == COUNTS[name]
    assert net(torch.zeros(1, 1, net.n_in)).shape == (1, 1, PRESETS[name].n_out)


def test_presets_of_fact() -> None:
    """The two numbers printed for the smallest pair, and the width in which one pair of networks differs."""
    assert COUNTS["gevb_mnist_fc"] == 8_568_330
    assert COUNTS["conventional_mnist_fc"] == 1_333_770
    assert {name.split("_")[0] for name in PRESETS} == {"gevb", "conventional", "ebd"}
    assert PRESETS["gevb_cifar10_lc"].layers[-1] == DenseLayer(256)
    assert PRESETS["conventional_cifar10_lc"].layers[-1] == DenseLayer(512)


CARELESS: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: VectorMLP(3, [4, 5], 2), ValueError, "even sizes and channels, got 5"),
    (lambda: VectorMLP(3, [], 2), ValueError, "layers must hold at least one layer"),
    (lambda: VectorMLP(3, [4], 2, signs="positive"), ValueError, "signs"),
    (lambda: VectorMLP(3, [4], 2, readout="ones"), ValueError, "readout"),
    (lambda: VectorCNN((1, 4, 4), [ConvLayer(2, then=(MaxPool(),))], 2), TypeError, "only AvgPool may follow"),
    (lambda: VectorCNN((1, 4, 4), [LocalLayer(2)], 2), TypeError, "ConvLayer or DenseLayer"),
    (lambda: VectorLocalNet((1, 4, 4), [ConvLayer(2)], 2), TypeError, "LocalLayer or DenseLayer"),
    (lambda: VectorRNN(3, 5, 2), ValueError, "n_rec must be even"),
    (lambda: VectorRNN(3, 4, 2, integration_rate=0.0), ValueError, "integration_rate must lie in"),
    (lambda: VectorRNN(3, 4, 2, perron_root_bound=0.0), ValueError, "perron_root_bound must be greater than 0"),
    (lambda: NetworkKernel(-1.0), ValueError, "root"),
    (lambda: VectorMLP(3, [4], 2).functional({"w": torch.zeros(1)}, torch.zeros(1, 1, 3)), ValueError, "parameter"),
    (lambda: VectorRNN(3, 4, 2).functional({"w": torch.zeros(1)}, torch.zeros(1, 1, 3)), ValueError, "parameter"),
    (lambda: tca.Rule(Exact(), NetworkKernel()), ValueError, "fit a propagator of states, and NetworkKernel has none"),
    (lambda: tca.Learner(VectorMLP(3, [4], 2), tca.Rule(Direct(), NetworkKernel())), ValueError, "use nets.VectorRNN"),
    (lambda: tca.Learner(VectorMLP(3, [4], 2), tca.RULES["eprop_adaptive"]), ValueError, "no readout weights"),
    (lambda: tca.Learner(AlternatingNet(3, [DenseLayer(4)], 2), tca.RULES["gevb"]), ValueError, "carry a vector"),
)


@pytest.mark.parametrize(("call", "kind", "message"), CARELESS, ids=[message for _, _, message in CARELESS])
def test_careless_use_is_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error says what was wrong."""
    with pytest.raises(kind, match=message):
        call()


@each_net
def test_networks_are_copied_and_restored(build: Callable[..., Any]) -> None:
    """A copy has gates of its own, and a state dictionary brings the gating vectors along."""
    net, other = scattered(build(dtype=F64)), build(dtype=F64, seed=1)
    inputs = batch_of(net).inputs
    outputs = net(inputs)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(inputs), outputs)
    assert not torch.equal(other(inputs), outputs)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(inputs), outputs)
    for buffer in net.buffers():
        buffer.zero_()
    assert torch.equal(twin(inputs), outputs)


@pytest.mark.cuda
@each_net
def test_gpu_equals_cpu(build: Callable[..., Any]) -> None:
    """The same changes on a GPU."""
    net = scattered(build(dtype=F64))
    batch = batch_of(net)
    for name in ("bptt", "gevb", "gevb_local", "gevb_network"):
        if works(net, tca.RULES[name]):
            wanted = tca.Learner(net, tca.RULES[name]).grads(batch)[0]
            found = tca.Learner(copy.deepcopy(net).to("cuda"), tca.RULES[name]).grads(batch.to("cuda"))[0]
            assert distance({key: each.cpu() for key, each in found.items()}, wanted) < 1e-10
