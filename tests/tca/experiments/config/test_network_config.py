"""Networks described in a run: every kind that is listed, with the options of its class and no others."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

import tca
from tca.cells import CELLS
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.network_kinds import KINDS
from tca.experiments.config.run import Run
from tca.nets import NETWORKS, PRESETS, Network, RMSNorm
from tca.nets.presets import Preset

RECURRENT: dict[str, Any] = {"n_rec": 4}
FLAT: dict[str, Any] = {"sizes": [6, 4]}
MAPS: dict[str, Any] = {"layers": [{"conv": 2}, {"dense": 4}]}
OPTIONS: dict[str, dict[str, Any]] = {
    "leaky_rnn": RECURRENT,
    "spiking_rnn": RECURRENT,
    "vector_rnn": RECURRENT,
    "dual_stream_rnn": RECURRENT,
    "stacked_rnn": {"layers": [{"size": 4}, {"size": 3, "cells": "spiking"}]},
    "mlp": FLAT,
    "vector_mlp": FLAT,
    "dual_stream_mlp": FLAT,
    "feedforward": {"layers": [{"dense": 4}]},
    "alternating_net": {"layers": [{"dense": 4}]},
    "vector_net": {"layers": [{"dense": 4}]},
    "local_net": {"layers": [{"local": 2}]},
    "vector_local_net": {"layers": [{"local": 2}]},
}
DIFFERENT: dict[str, dict[str, Any]] = {
    "n_rec": {"size": 6},
    "sizes": {"sizes": [4, 6]},
    "layers": {"layers": [{"dense": 8}]},
    "stacked": {"layers": [{"size": 8}]},
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_that_is_listed_can_be_described_and_built(kind: str) -> None:
    """The class is that of the list, it computes, and the description survives a record."""
    described = tca.NetworkConfig(kind, OPTIONS.get(kind, MAPS))
    net = described.build(64, 3, dt=1.0, seed=0)
    assert type(net) is NETWORKS[kind]
    assert net.run(torch.rand(1, 5, 64)).outputs.shape[:2] == (1, 5)
    run = Run("sequential_digits", "eprop", net=described)
    assert Run.from_json(run.to_json()).net == run.net == described.in_form("A", anew=False)


def test_options_that_a_class_gives_its_base_are_not_its_own() -> None:
    """A perceptron makes its layers of sizes, and says what it takes."""
    with pytest.raises(ValueError, match="unknown option of MLP 'layers'") as learning_signal:
        tca.NetworkConfig("mlp", {"sizes": [4], "layers": [{"dense": 4}]})
    assert "masks" in str(learning_signal.value)
    assert "shape" not in str(learning_signal.value)
    assert tca.NetworkConfig("mlp", {"sizes": [4], "bias": False}).build(3, 2, dt=1.0, seed=0).n_out == 2


def test_kinds_are_the_networks_and_the_presets() -> None:
    """Whatever is listed can be described, under one name."""
    assert set(KINDS) == {*NETWORKS, *PRESETS, *CELLS}
    assert not set(NETWORKS) & set(PRESETS)


@pytest.mark.parametrize("kind", PRESETS)
def test_every_preset_can_be_described(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset of the name is built, with its options, seed and type; the description survives a record.

    No network is made, as some are large: the call is written down in the place of it.
    """
    built: list[tuple[Preset, dict[str, Any]]] = []

    def build(self: Preset, **options: Any) -> Network:
        built.append((self, options))
        return NETWORKS["mlp"](2, [1], 1)

    monkeypatch.setattr(Preset, "build", build)
    preset = PRESETS[kind]
    options = {"init": "he_uniform"} if kind.startswith("ebd") else {"signs": "mixed"}
    for given in ({}, options):
        described = tca.NetworkConfig(kind, given)
        described.build(math.prod(preset.shape), preset.n_out, dt=5.0, seed=7, dtype=torch.float64)
        assert built.pop() == (preset, {**described.options, "seed": 7, "device": "cpu", "dtype": torch.float64})
        assert described.options.items() >= given.items()
        run = Run("images", "gevb", net=described)
        again = Run.from_json(json.loads(json.dumps(run.to_json())))
        assert again.net == described
        assert again.name == run.name
    for n_in, n_out in ((64, preset.n_out), (math.prod(preset.shape), preset.n_out + 1)):
        with pytest.raises(ValueError, match=f"{preset.n_out} outputs, got a task of {n_in} and {n_out}"):
            tca.NetworkConfig(kind).build(n_in, n_out, dt=1.0, seed=0)
    for known in ("layers", "shape", "n_out", "seed", "bogus"):
        with pytest.raises(ValueError, match=f"unknown option of {preset.kind.__name__} '{known}'"):
            tca.NetworkConfig(kind, {known: 1})
    assert not built


@pytest.mark.parametrize("kind", ["conventional_mnist_fc", "ebd_mnist_conv"])
def test_a_described_preset_is_the_preset(kind: str) -> None:
    """Parameters are those of the preset with the same seed, and not those of another."""
    found = tca.NetworkConfig(kind).build(784, 10, dt=1.0, seed=3)
    assert type(found) is PRESETS[kind].kind
    assert tca.NetworkConfig(kind).title == kind
    wanted, other = (PRESETS[kind].build(seed=seed) for seed in (3, 4))
    for name, each in wanted.named_parameters():
        assert torch.equal(found.get_parameter(name), each)
    assert not torch.equal(found.w_out, other.w_out)


@pytest.mark.parametrize("kind", NETWORKS)
def test_equal_networks_are_equal_however_they_are_written(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults written out, both names of a size, options by name, from JSON: one value and one name of a run."""
    monkeypatch.setattr(torch.nn.Module, "__init__", lambda *_: pytest.fail("built"))
    given = OPTIONS.get(kind, MAPS)
    one = NetworkConfig(kind, given)
    renamed = {{"n_rec": "size"}.get(name, name): value for name, value in given.items()}
    written = [NetworkConfig(kind, one.options), NetworkConfig(kind, **renamed)]
    written += [NetworkConfig(**one.to_json()), NetworkConfig(**{"kind": kind, "options": given})]
    names = {Run("delayed_xor", net=each).name for each in (one, *written)}
    assert all(each == one and hash(each) == hash(one) for each in written)
    assert len(names) == 1
    assert one != one.with_options(**DIFFERENT["stacked" if kind == "stacked_rnn" else next(iter(given))])


def test_defaults_of_layers_and_masks_are_filled_in() -> None:
    """A layer, what follows it and a mask are equal with their defaults and without."""
    short = {"conv": 2, "then": ["avg_pool"]}
    long = {"conv": 2, "kernel": 3, "stride": 1, "padding": 0, "then": [{"avg_pool": {"kernel": 2, "stride": None}}]}
    assert NetworkConfig("cnn", layers=[short]) == NetworkConfig("cnn", layers=[long])
    masked = [
        NetworkConfig(size=4, mask_rec={"sparse": {"density": 0.5, **more}}) for more in ({}, {"per_cell": False})
    ]
    assert masked[0] == masked[1]
    stacks = [
        NetworkConfig("stacked_rnn", layers=[{"size": 4, **more}]) for more in ({}, {"cells": "leaky", "tau": 100})
    ]
    assert stacks[0] == stacks[1]


@pytest.mark.parametrize("kind", ["mlp", "dual_stream_mlp"])
def test_operations_after_all_layers_are_names_mappings_or_objects(kind: str) -> None:
    ways: list[Any] = [["rms_norm"], [{"rms_norm": {"eps": 1e-8}}], (RMSNorm(),)]
    one, *others = (NetworkConfig(kind, size=[4, 3], then=each) for each in ways)
    assert all(each == one == NetworkConfig(**each.to_json()) for each in others)
    built: Any = one.build(5, 2, dt=1.0, seed=0)
    assert [each.operations for each in built.hidden_layers] == [(RMSNorm(),)] * 2
    with pytest.raises(ValueError, match="must be a name or a mapping with one key, got 3"):
        NetworkConfig(kind, size=4, then=[3])
    assert "then" not in NetworkConfig("dual_stream_mlp", size=4).to_json()


def test_the_name_of_a_run_of_the_default_network_is_the_one_it_has_always_had() -> None:
    assert Run("delayed_xor").name == "e6ac78e8976e56f8"


@pytest.mark.parametrize(
    ("kind", "size", "options"),
    [
        ("spiking_rnn", 5, {"n_rec": 5}),
        ("mlp", 5, {"sizes": [5]}),
        ("vector_mlp", [6, 4], {"sizes": [6, 4]}),
        ("stacked_rnn", [6, 4], {"layers": [{"size": 6}, {"size": 4}]}),
        ("feedforward", (6, 4), {"layers": [{"dense": 6}, {"dense": 4}]}),
        ("cnn", 5, {"layers": [{"conv": 5, "kernel": 3, "padding": 1}]}),
        ("vector_local_net", 2, {"layers": [{"local": 2, "kernel": 3, "padding": 1}]}),
    ],
)
def test_the_size_is_the_same_option_for_every_kind(kind: str, size: Any, options: dict[str, Any]) -> None:
    assert NetworkConfig(kind, size=size) == NetworkConfig(kind, options)


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_is_built_from_a_size(kind: str) -> None:
    built = NetworkConfig(kind, size=4).build(36, 4, dt=10.0, seed=0)
    assert isinstance(built, NETWORKS[kind])


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("mlp", {"size": 0}, r"size\[0\] must be at least 1, got 0"),
        ("mlp", {"size": []}, "size must hold at least 1"),
        ("mlp", {"size": 4, "sizes": [4]}, "unknown option of MLP 'size', did you mean 'sizes'"),
        ("ebd_mnist_fc", {"size": 4}, "unknown option of Feedforward 'size'"),
    ],
)
def test_sizes_that_are_not_allowed(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NetworkConfig(kind, options)
