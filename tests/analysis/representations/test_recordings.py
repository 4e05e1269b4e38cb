"""Recordings: the same numbers from every kind of file, in time order; what is no recording is refused."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

import analysis
from analysis.representations import recordings

CELLS = np.random.default_rng(0).normal(size=(5, 12, 3)).astype(np.float32)


def written(folder: Path, kind: str, **arrays: np.ndarray) -> Path:
    path = folder / f"cells.{kind}"
    if kind == "npz":
        np.savez_compressed(path, **arrays)
    elif kind == "mat":
        scipy.io.savemat(path, {**arrays, "comment": "text", "cells": np.array([1, "a"], object)}, do_compression=True)
    else:
        np.save(path, arrays["rate"])
    return path


@pytest.mark.parametrize("kind", ["npz", "npy", "mat"])
@pytest.mark.parametrize("axes", [("neurons", "steps", "conditions"), ("conditions", "neurons", "steps")])
def test_every_kind_of_file_gives_time_conditions_neurons(tmp_path: Path, kind: str, axes: tuple[str, ...]) -> None:
    order = [("neurons", "steps", "conditions").index(each) for each in axes]
    path = written(tmp_path, kind, rate=CELLS.transpose(order), onset=np.arange(3.0))
    found = analysis.load_recording(path, axes=axes)
    assert found.activity.dtype == torch.float64
    for neuron in range(5):
        np.testing.assert_array_equal(found.activity[..., neuron].numpy(), CELLS[neuron])
    if kind != "npy":
        assert np.ravel(found.others["onset"]).tolist() == [0, 1, 2]
        assert "comment" not in found.others


def test_a_recording_is_compared_with_a_network(tmp_path: Path) -> None:
    import tasks
    import tca

    batch = tasks.make(
        "center_out_reach", fixation=20.0, delay=20.0, reaction=20.0, movement=40.0, hold=20.0
    ).conditions()
    net = tca.nets.LeakyRNN(3, 20, 2, dt=10.0, seed=0)
    with torch.no_grad():
        own = analysis.rates(net, batch).double()
    np.savez(tmp_path / "cells.npz", rate=own.permute(2, 0, 1).numpy())
    recorded = analysis.load_recording(tmp_path / "cells.npz").activity
    assert analysis.procrustes_distance(own, recorded) == pytest.approx(0, abs=1e-6)
    turned = recorded.flip(1)
    assert analysis.procrustes_distance(own, turned) > 0.01


def test_what_is_no_recording_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = written(tmp_path, "npz", one=CELLS, two=CELLS, flat=CELLS[0])
    for call, error, message in (
        (lambda: analysis.load_recording(two), ValueError, r"which has \['one', 'two'\]"),
        (lambda: analysis.load_recording(two, "oen"), ValueError, "unknown name of an array 'oen', did you mean 'one'"),
        (lambda: analysis.load_recording(two, "flat"), ValueError, "name must be that of numbers with three axes"),
        (lambda: analysis.load_recording(two, "one", ("steps", "neurons")), ValueError, "axes must be an order of"),
        (lambda: analysis.load_recording(tmp_path / "none.npz"), FileNotFoundError, "there is no recording"),
        (lambda: analysis.load_recording(tmp_path / "cells.txt"), ValueError, r"unknown kind of file '\.txt'"),
    ):
        with pytest.raises(error, match=message):
            call()
    np.savez(tmp_path / "nan.npz", rate=np.full((2, 3, 4), np.nan))
    with pytest.raises(ValueError, match="must be finite"):
        analysis.load_recording(tmp_path / "nan.npz")
    np.savez(tmp_path / "pickle.npz", rate=np.array([[[{}]]], object))
    with pytest.raises(ValueError, match=r"cannot be read as a recording: .*allow_pickle=False"):
        analysis.load_recording(tmp_path / "pickle.npz")
    for name in ("damaged.npz", "damaged.mat", "damaged.npy"):
        (tmp_path / name).write_bytes(two.read_bytes()[:150] if name.endswith("z") else b"no arrays" * 30)
        with pytest.raises(ValueError, match="cannot be read as a recording"):
            analysis.load_recording(tmp_path / name)
    monkeypatch.setattr(recordings, "LARGEST", 1000)
    for kind in ("npz", "npy", "mat"):
        with pytest.raises(ValueError, match="its arrays must have at most 1000 bytes"):
            analysis.load_recording(written(tmp_path, kind, rate=np.ones((5, 12, 40))))
