"""The benchmark of one GPU: a line where there is none, the same gradients from a captured graph where there is."""

from __future__ import annotations

import pytest
import torch

import tca
from benchmarks import gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="says so where there is no GPU")
def test_without_a_gpu_it_says_so_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu"])
    gpu.main()
    assert capsys.readouterr().out == "benchmarks.gpu: there is no CUDA device here, and nothing was measured\n"


@pytest.mark.cuda
@pytest.mark.parametrize("rule", ["eprop", "bptt"])
def test_a_captured_pass_gives_the_gradients_of_the_eager_one(rule: str) -> None:
    net, batch = tca.nets.LeakyRNN(3, 16, 3).to("cuda"), gpu.batch_of(8, 3, 3, 4, "cuda")
    learner, kept = tca.Learner(net, tca.RULES[rule]), {}
    _ = batch.padded

    def work() -> None:
        tape = learner._taped(batch, None, learner._workspace)
        kept.update(learner._execute(learner._by_default, tape, learner.buffers, None))

    replay, whole = gpu.captured(work)
    assert whole
    replay()
    torch.cuda.synchronize()
    expected, _ = tca.Learner(net, tca.RULES[rule]).grads(batch)
    for name, gradient in expected.items():
        torch.testing.assert_close(kept[name], gradient, rtol=1e-5, atol=1e-6)
