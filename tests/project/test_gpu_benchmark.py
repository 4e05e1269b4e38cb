"""The benchmark of one GPU: a line where there is none, and all of it where there is."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="says so where there is no GPU")
def test_without_a_gpu_it_says_so_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu"])
    gpu.main()
    assert capsys.readouterr().out == "benchmarks.gpu: there is no CUDA device here, and nothing was measured\n"


@pytest.mark.cuda
def test_all_that_it_measures_runs_eagerly_and_captured() -> None:
    """A piece of work that PyTorch refuses to capture has no second time; 64 networks are as one."""
    for column, make in gpu.questions().items():
        if "S = 64" not in column:
            works = {graphs: gpu.warmed_up(make, graphs) for graphs in ("off", "auto")}
            assert None not in works.values(), column
            assert all(seconds > 0 for seconds in gpu.race(works, 1, 0.0).values())  # type: ignore[arg-type]
