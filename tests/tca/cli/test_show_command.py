"""The command that trains a run again, and the run that is trained again and compared."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

import tca
from tca.__main__ import main
from tca.experiments.config.run_command import command_of
from tca.experiments.config.schedules import Cosine
from tca.experiments.records.sealed_json import companions, sealed
from tca.losses import Focal
from tests.support import user_parts
from tests.tca.cli.test_notation import run_of

SMALL: dict[str, Any] = {"net": tca.NetworkConfig(size=4), "steps": 2, "n_train": 4, "n_test": 4}
RUNS = [
    tca.Run("delayed_xor"),
    tca.Run("delayed_xor", "rflo", seeds=tca.Seeds(1, 2, 3, 4), task_options={"dt": 25}, **SMALL),
    tca.Run("flip_flop", tca.Rule(tca.signals.Random(2.0), tca.eligibilities.Leak()), seeds=tca.Seeds(3, 3, 3, 3)),
    tca.Run("delayed_match", loss=Focal(3.0), optimizer=tca.Optimizer("SGD", lr=0.5, options={"momentum": 0.5})),
    tca.Run("delayed_xor", optimizer=tca.Optimizer(lr=0.1, clip=None, schedule=Cosine(), lr_multipliers={"w_out": 2})),
    tca.Run("images", "ebd", net=tca.NetworkConfig("mlp", sizes=[8, 4]), held_out=3, dtype="float64", fresh=True),
    tca.Run("PerceptualDecisionMaking-v0", "eprop", agent=tca.Agent(steps=7, clip=0.2, epochs=2), stop_loss=0.1),
    tca.Run("PerceptualDecisionMaking-v0", "reward_eprop"),
    tca.Run("delayed_xor", callbacks=(tca.Callback("alignment", every=2),), snapshot_losses=(0.5, 0.25)),
    tca.Run("flip_flop", "three_factor", net=tca.NetworkConfig(user_parts.gru, cells=3), loss=user_parts.narrow),
    tca.Run("flip_flop", optimizer=tca.Optimizer(user_parts.Smoothed)),
    tca.Run("flip_flop", net=tca.NetworkConfig("stacked_rnn", layers=[{"size": 3, "form": "B"}, {"size": 2}])),
]  # fmt: skip


@pytest.mark.parametrize("run", RUNS, ids=range(len(RUNS)))
def test_the_command_of_a_run_describes_it(run: tca.Run) -> None:
    words = shlex.split(command_of(run.to_json()))
    assert words[:2] == ["tca", "train"]
    assert run_of(*words[2:]).name == run.name


def test_a_record_is_verified_bit_by_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tca.Run("delayed_xor", "eprop_random", callbacks=(tca.Callback("alignment"),), **SMALL)
    folder = run.folder(tmp_path)
    tca.train(run, folder, progress=False)
    files = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert main(["show", str(folder)]) == 0
    again = capsys.readouterr().out.splitlines()[-1]
    assert again.strip().startswith("tca train delayed_xor --rule eprop_random --steps 2 ")
    assert main(["verify", str(folder), "--quiet"]) == 0
    assert "the same bits, 2 measurements and " in capsys.readouterr().out
    other = tca.Run("delayed_xor", "eprop_random", seeds=tca.Seeds(0, 0, 1, 0), **SMALL)
    forged(folder, tca.train(other, progress=False))
    assert main(["verify", f"--folder={folder}", "--quiet"]) == 1
    shown = capsys.readouterr().out
    assert "w_rec of the network" in shown
    assert "w_out of the network" not in shown
    assert files.keys() == {each.name for each in folder.iterdir()}


def forged(folder: Path, result: tca.Result) -> None:
    """Put the recurrent weights of another run into a record, with checksums that fit."""
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    weights["w_rec"] = result.net.get_parameter("w_rec").detach()
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    ending = json.loads((folder / "result.json").read_text())
    values = {name: each for name, each in ending.items() if name not in ("format", "name", "sha256")}
    values["companions"] |= companions(folder, ["weights.safetensors"])
    (folder / "result.json").write_text(json.dumps(sealed(ending["name"], values)))


def test_an_unfinished_record_is_not_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        tca.train(RUNS[0], tmp_path, progress=False, observe=lambda learner, batch: {"bad": 1 / 0})
    assert main(["verify", str(tmp_path)]) == 2
    assert "is unfinished: tca resume trains it to its end" in capsys.readouterr().err
