"""What a careless user makes networks of is refused by name: the argument, what came, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tca.nets import (
    CNN,
    MLP,
    PRESETS,
    AlternatingNet,
    ConvLayer,
    DenseLayer,
    DualStreamCNN,
    DualStreamMLP,
    DualStreamRNN,
    Feedforward,
    LocalLayer,
    LocalNet,
    VectorCNN,
    VectorLocalNet,
    VectorMLP,
    VectorNet,
)
from tca.nets.accepted_options import options_of
from tca.utils.names import nearest

IMAGE = (1, 6, 6)


PERCEPTRONS = (MLP, VectorMLP, DualStreamMLP)
FIXED = ("self", "options", "n_in", "sizes", "shape", "layers", "n_out")
HANDING_ON: dict[Callable[..., Any], tuple[Any, ...]] = {
    MLP: (4, [2], 3),
    CNN: (IMAGE, [ConvLayer(2)], 3),
    LocalNet: (IMAGE, [LocalLayer(2)], 3),
    VectorNet: (4, [DenseLayer(2)], 3),
    VectorMLP: (4, [2], 3),
    VectorCNN: (IMAGE, [ConvLayer(2)], 3),
    VectorLocalNet: (IMAGE, [LocalLayer(2)], 3),
    DualStreamMLP: (4, [2], 3),
    DualStreamCNN: (IMAGE, [ConvLayer(2)], 3),
}  # fmt: skip


@pytest.mark.parametrize("kind", PERCEPTRONS)
@pytest.mark.parametrize("sizes", [32, 2.5, None, "32", {"dense": 3}], ids=repr)
def test_sizes_are_a_list(kind: Callable[..., Any], sizes: Any) -> None:
    """One number, a word or a mapping is no list of sizes."""
    with pytest.raises(TypeError, match="sizes must be a list or tuple of integers, got") as learning_signal:
        kind(64, sizes, 10)
    assert repr(sizes) in str(learning_signal.value)


@pytest.mark.parametrize("kind", PERCEPTRONS)
def test_any_list_of_sizes_is_taken(kind: Callable[..., Any]) -> None:
    """Lists, tuples and ranges make the same layers; a size that is none is named by its layer."""
    shapes = [each.w_1.shape for each in (kind(3, [4], 2), kind(3, (4,), 2), kind(3, range(4, 5), 2))]
    assert len(set(shapes)) == 1
    with pytest.raises(TypeError, match=r"sizes\[0\] must be an integer of at least 1, got 2\.5"):
        kind(3, [2.5], 2)


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        (lambda layers: Feedforward(4, layers, 2), "DenseLayer or ConvLayer or LocalLayer or Layer"),
        (lambda layers: AlternatingNet(4, layers, 2), "DenseLayer or ConvLayer or LocalLayer or Layer"),
        (lambda layers: VectorNet(4, layers, 2), "DenseLayer or ConvLayer or LocalLayer or Layer"),
        (lambda layers: CNN(IMAGE, layers, 2), "ConvLayer or DenseLayer"),
        (lambda layers: VectorLocalNet(IMAGE, layers, 2), "LocalLayer or DenseLayer"),
        (lambda layers: DualStreamCNN(IMAGE, layers, 2), "DenseLayer or ConvLayer"),
    ],
)
@pytest.mark.parametrize("layers", [DenseLayer(2), [2], 3, "dense"], ids=repr)
def test_layers_are_a_list_of_layers(call: Callable[[Any], Any], allowed: str, layers: Any) -> None:
    """A layer that is in no list, numbers and words are refused with the classes that may be given."""
    with pytest.raises(TypeError, match=r"layers must be a list or tuple, got|layers\[0\] must be a Layer such as"):
        call(layers)
    other = next((kind(2) for kind in (LocalLayer, ConvLayer) if kind.__name__ not in allowed), None)
    if other is not None:
        with pytest.raises(TypeError, match=f"layers must be {allowed}, got {type(other).__name__}"):
            call([other])


@pytest.mark.parametrize("kind", HANDING_ON)
def test_unknown_options_are_refused_with_those_there_are(
    kind: type,
) -> None:
    """Every class that hands options on names itself, what came, the nearest name and all that it takes."""
    arguments = HANDING_ON[kind]
    with pytest.raises(
        TypeError, match=f"unknown option of {kind.__name__} 'sed', did you mean 'seed'"
    ) as learning_signal:
        kind(*arguments, sed=1)
    assert str(learning_signal.value).endswith(f"Allowed: {nearest('sed', options_of(kind, FIXED))}")
    assert kind(*arguments, seed=1, dtype=torch.float64).w_out.dtype == torch.float64


def test_options_a_network_has_not_are_named() -> None:
    """Vector networks have no masks, whatever the value; layers are no option of a perceptron."""
    with pytest.raises(TypeError, match=r"unknown option of VectorMLP 'masks'\. Allowed: by_position, device, dtype"):
        VectorMLP(4, [2], 2, masks={})
    with pytest.raises(TypeError, match="unknown option of MLP 'layers'"):
        MLP(4, [2], 2, layers=[DenseLayer(2)])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (3, TypeError, "must be a list or tuple of 2 numbers, got 3"),
        ("3:1", TypeError, "must be a list or tuple of 2 numbers, got '3:1'"),
        ((1.5,), ValueError, r"must be a list or tuple of 2 numbers, got \(1.5,\)"),
        ((1.5, 0.5, 1.0), ValueError, "must be a list or tuple of 2 numbers, got"),
        ((1.5, 0.0), ValueError, r"\[1\] must be greater than 0, got 0"),
        ((1.5, "1"), TypeError, r"\[1\] must be a number, got '1'"),
    ],
)
def test_asymmetry_is_two_numbers(value: Any, error: type[Exception], message: str) -> None:
    """Whatever is no pair of positive numbers is refused."""
    with pytest.raises(error, match=f"asymmetry{'' if message.startswith(chr(92)) else ' '}{message}"):
        DualStreamMLP(4, [3], 2, asymmetry=value)
    twice = DualStreamMLP(4, [3], 2, asymmetry=[3.0, 1.0], dtype=torch.float64).w_1
    assert torch.allclose(twice, 2 * DualStreamMLP(4, [3], 2, dtype=torch.float64).w_1, rtol=1e-12)


def test_presets_are_asked_for_by_name() -> None:
    """A name that is not there is refused with the nearest one and all there are; membership is answered."""
    with pytest.raises(
        KeyError, match="unknown preset 'gevb_mnist_fk', did you mean 'gevb_mnist_fc'"
    ) as learning_signal:
        PRESETS["gevb_mnist_fk"]
    assert f"and {len(PRESETS) - 5} more" in str(learning_signal.value)
    with pytest.raises(KeyError, match=r"unknown preset 'mnist'\. Allowed: .*_mnist_.* and \d+ more"):
        PRESETS["mnist"]
    assert "mnist" not in PRESETS
    assert PRESETS.get("mnist") is None
    assert dict(PRESETS)["gevb_mnist_fc"] is PRESETS["gevb_mnist_fc"]


def test_presets_refuse_what_their_class_has_not() -> None:
    """An option that the class does not take, or that the architecture fixes, is refused before anything is drawn."""
    with pytest.raises(TypeError, match=r"unknown option of VectorNet 'bogus'\. Allowed: by_position"):
        PRESETS["gevb_mnist_fc"].build(bogus=2)
    with pytest.raises(TypeError, match=r"unknown option of Feedforward 'layers'\. Allowed: .* and 4 more"):
        PRESETS["ebd_mnist_fc"].build(layers=[])


@pytest.mark.parametrize(
    ("n_rec", "options", "within"),
    [
        (200, {"loop_gain_bound": 0.005}, False),
        (200, {"loop_gain_bound": 399e-4 / 6 * 1.001}, True),
        (200, {"loop_gain_bound": 399e-4 / 6 * 0.999}, False),
        (200, {"loop_gain_bound": 0.005, "width": 4.0}, True),
        (200, {"loop_gain_bound": 0.005, "floor": 7e-5}, True),
        (20, {"floor": 0.2}, False),
        (20, {"floor": 0.2, "loop_gain_bound": None}, True),
        (20, {"floor": 0.13}, True),
    ],
)
def test_a_floor_above_the_bound_of_the_loops_is_refused(n_rec: int, options: dict[str, Any], within: bool) -> None:
    """Where all synapses at the floor exceed the bound no network is made; where they do not, the bound holds."""
    if not within:
        with pytest.raises(ValueError, match=f"loop_gain_bound must be .*{2 * n_rec - 1} synapses of at least floor"):
            DualStreamRNN(8, n_rec, 10, **options)
        return
    net = DualStreamRNN(8, n_rec, 10, dtype=torch.float64, **options)
    most = float(net.w_rec.detach().sum(1).max())
    if net.loop_gain_bound is not None:
        assert most <= net.loop_gain_bound * 2 * options.get("width", 3.0) * (1 + 1e-12)
    assert float(net.w_rec.detach()[net.w_rec > 0].min()) >= net.floor
