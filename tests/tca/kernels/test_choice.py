"""Where the compiled passes come from and when they are used."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import tca
from tca.cells.activations import Sigmoid, Tanh
from tca.kernels import KernelsWarning, build, choice, use
from tca.kernels.compiled import Passes
from tests.tca.kernels.conftest import QUICK


def chosen(cells: int, dtype: torch.dtype = torch.float32, activation: object = None) -> Passes | None:
    net = tca.nets.LeakyRNN(2, cells, 1, activation=activation or "tanh")
    return net.to(dtype).run(torch.zeros(1, 1, 2, dtype=dtype)).passes  # type: ignore[attr-defined, no-any-return]


def test_the_choice_goes_by_size_type_and_activation_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "auto")
    for dtype in (torch.float32, torch.float64):
        assert chosen(choice.LARGEST, dtype) is not None
        assert chosen(choice.LARGEST + 1, dtype) is None
    assert chosen(4, activation=Sigmoid()) is None
    for dtype, device in ((torch.float16, "cpu"), (torch.float32, "meta")):
        assert choice.choose("auto", Tanh(), False, 0.8, 0.2, 4, dtype, torch.device(device)) is None
    before = use("compiled")
    assert before == "auto"
    assert os.environ[choice.VARIABLE] == "compiled"  # of processes that are started from here
    assert chosen(choice.LARGEST + 1) is not None
    assert use("eager") == "compiled"
    assert chosen(4) is None
    assert choice.in_use() == "eager"


def test_passes_of_a_network_are_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And again for another choice, number format or leak."""
    monkeypatch.setenv(choice.VARIABLE, "auto")
    net, inputs = tca.nets.LeakyRNN(2, 4, 1, tau=[20.0, 30.0, 40.0, 50.0]), torch.zeros(3, 1, 2)
    first, again = (net.run(inputs).passes for _ in range(2))  # type: ignore[attr-defined]
    assert first is again
    assert first.leak[0].tolist() == net.leak.tolist()  # type: ignore[union-attr]
    use("eager")
    assert net.run(inputs).passes is None  # type: ignore[attr-defined]
    use("auto")
    other = net.double().run(inputs.double()).passes  # type: ignore[attr-defined]
    assert other is not first
    assert other.leak.dtype == torch.float64


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"unknown kernels 'fast'.* auto, compiled, eager"):
        use("fast")
    monkeypatch.setenv(choice.VARIABLE, "quick")
    with pytest.raises(ValueError, match="unknown TCA_KERNELS 'quick'"):
        tca.nets.LeakyRNN(2, 4, 1).run(torch.zeros(3, 1, 2))


def refused(reason: str) -> None:
    """Assert that nothing is built, that this is said once, and that networks run."""
    with pytest.warns(KernelsWarning, match=reason):
        assert chosen(4) is None
    assert chosen(4) is None  # a second warning would be an error
    assert tca.nets.LeakyRNN(2, 4, 1).run(torch.zeros(3, 1, 2)).outputs.isfinite().all()
    assert choice.in_use() == "eager"
    use("compiled")
    with pytest.raises(build.BuildError, match=reason):
        chosen(4)


def test_without_a_compiler_pytorch_computes(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    refused("there is no C\\+\\+ compiler, neither no-such-compiler")
    assert not fresh.exists()


def test_a_compiler_that_fails_is_quoted(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FLAGS", (*QUICK, "-no-such-flag"))
    refused("fails: .*no-such-flag")
    assert list(fresh.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.write_text("a file")
    refused("File exists")


def test_a_cache_that_others_may_write_to_is_refused(fresh: Path) -> None:
    fresh.mkdir()
    fresh.chmod(0o777)
    refused("writable by no other user")


@pytest.mark.slow
def test_processes_that_build_at_the_same_time_share_one_library(fresh: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        built = [each.result() for each in [pool.submit(build.build.__wrapped__) for _ in range(3)]]
    assert len({each.library._name for each in built}) == 1
    assert [each.suffix for each in fresh.iterdir()] == [".so"]
    assert not next(fresh.iterdir()).name.startswith("building")


def test_a_damaged_library_is_built_anew_and_a_whole_one_is_not(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(build.build().library._name)
    path.unlink()
    path.write_bytes(b"no library")
    build.build.cache_clear()
    assert Path(build.build().library._name) == path
    build.build.cache_clear()
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("built again"))
    assert Path(build.build().library._name) == path


def test_source_flags_processor_and_compiler_have_a_library_each(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> str:
        build.build.cache_clear()
        return Path(build.build().library._name).name

    def as_if(compiler: str, path: Path) -> object:
        return type("Library", (), {"_name": str(path)})()

    monkeypatch.setattr(build, "_compile", as_if)
    names = {name()}
    with monkeypatch.context() as one:
        one.setattr(build, "FLAGS", (*QUICK, "-g"))
        names.add(name())
    with monkeypatch.context() as one:
        one.setattr(build, "_processor", lambda: "another")
        names.add(name())
    for index in range(len(build.SOURCES)):
        with monkeypatch.context() as one:
            sources = list(build.SOURCES)
            sources[index] = fresh.parent / "other"
            sources[index].write_bytes(build.SOURCES[index].read_bytes() + b"\n")
            one.setattr(build, "SOURCES", tuple(sources))
            names.add(name())
    with monkeypatch.context() as one:
        script = fresh.parent / "other-g++"
        script.write_text("#!/bin/sh\necho another version\n")
        script.chmod(0o755)
        one.setenv("CXX", str(script))
        names.add(name())
    assert len(names) == 4 + len(build.SOURCES)


def test_no_flag_changes_the_arithmetic_of_the_process() -> None:
    assert not {"-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-mdaz-ftz"} & set(build.FLAGS)


def test_a_record_holds_the_choice_and_a_resume_under_another_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tca.experiments.records.versions import differences, environment

    monkeypatch.setenv(choice.VARIABLE, "compiled")
    run = tca.Run("delayed_xor", rule="eprop", net=tca.NetworkConfig(size=5), steps=2, n_train=4, n_test=4)
    tca.train(run, tmp_path / "run", progress=False)
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    version = subprocess.run([build._compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    assert described["kernels"] == f"compiled by {version.splitlines()[0]}"
    there = environment()
    use("eager")
    assert differences(there, environment()) == f"kernels {described['kernels']} then, eager now"
