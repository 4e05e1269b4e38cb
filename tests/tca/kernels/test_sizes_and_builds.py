"""The compiled passes equal PyTorch's operations in large networks and in builds for other processors."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from pathlib import Path

import pytest
import torch

import tca
from tca.cells.activations import ACTIVATIONS
from tca.kernels import build, choice
from tca.kernels.gated import GATED
from tests.tca.kernels import test_class_error as class_error
from tests.tca.kernels import test_compiled_activations as activations
from tests.tca.kernels import test_gated_passes as gated_passes
from tests.tca.kernels import test_passes as passes
from tests.tca.kernels.conftest import QUICK

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12}  # sums over 512 cells, relative to the largest entry
ARCHITECTURES = {"x86-64": "__SSE2__", "x86-64-v3": "__AVX2__"}  # vectors of 16 and 32 bytes, by their macros


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("cells", [130, 257, choice.LARGEST])
def test_large_networks_have_the_gradients_of_pytorch(
    cells: int, form: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose last tile is nearly empty, or whose weights fill the second cache; leaks are the cells' own."""
    tau = torch.linspace(20, 200, cells).tolist()
    net = tca.nets.LeakyRNN(3, cells, 2, form=form, tau=tau, dt=20, dtype=dtype)
    for rule in (passes.LEAKY, tca.RULES["bptt"]):
        expected, got = passes.both(monkeypatch, passes.learn(net, rule, passes.batch_of(net, 7, 5)))
        passes.assert_same(expected, got, TOLERANCES[dtype])


EXHAUSTED = """
#include "tiles.h"

extern "C" int exhausted_at(int64_t item, int64_t* done) {
    return guarded([&] {
        share(4, 4 * WORTH, 4, [&](int64_t first, int64_t last) {
            for (int64_t each = first; each < last; each++) {
                if (each == item) throw std::bad_alloc();
                done[each] = 1;
            }
        });
    });
}
"""


def test_the_end_of_memory_in_a_thread_reaches_the_caller(tmp_path: Path) -> None:
    """Four threads with an item each; the others end theirs."""
    source, library = tmp_path / "exhausted.cpp", tmp_path / "exhausted.so"
    source.write_text(EXHAUSTED)
    build._run([build._compiler(), *QUICK, "-I", str(build.SOURCES[0].parent), str(source), "-o", str(library)])
    function = ctypes.CDLL(str(library)).exhausted_at
    function.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    for item in range(5):
        done = torch.zeros(4, dtype=torch.int64)
        assert function(item, done.data_ptr()) == (item < 4)
        assert [each for each in range(4) if not done[each]] == [each for each in range(4) if each == item]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_builds_for_narrower_vectors_have_the_gradients_of_pytorch(
    architecture: str, unbuilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of six trials and all remainders of their tiles; form, activation function and number format."""
    macros = _macros(architecture)
    assert ARCHITECTURES[architecture] in macros
    assert "__AVX512F__" not in macros
    own = tuple(f"-march={architecture}" if flag == "-march=native" else flag for flag in build.FLAGS)
    assert own != build.FLAGS
    monkeypatch.setattr(build, "FLAGS", own)
    for form, activation, dtype in itertools.product("AB", ACTIVATIONS, passes.DTYPES):
        passes.test_gradients_equal_those_of_pytorch(form, activation, dtype, monkeypatch)
    for form, dtype in itertools.product("AB", passes.DTYPES):
        test_large_networks_have_the_gradients_of_pytorch(130, form, dtype, monkeypatch)
    for form in "AB":
        passes.test_gradients_in_one_pass_equal_those_of_windows(form, monkeypatch)
        passes.test_padding_noise_wide_inputs_and_windows(form, monkeypatch)
    for function, dtype in itertools.product(activations.ROUNDED, passes.DTYPES):
        assert activations.largest_error(function, dtype) <= (6 if "__FMA__" not in macros else 5)
    for dtype, tolerance in class_error.ROUNDING.items():
        class_error.test_errors_equal_those_of_pytorch(dtype, tolerance)
    for kind, dtype, rule in itertools.product(GATED, passes.DTYPES, ("eprop", "bptt")):
        gated_passes.test_gradients_equal_those_of_pytorch(kind, dtype, rule, monkeypatch)
    passes.test_a_trial_has_the_same_bits_in_every_batch_and_on_any_number_of_threads()
    assert [each.suffix for each in unbuilt.iterdir()] == [".so"]


def _macros(architecture: str) -> set[str]:
    """Return the macros of a build, unless this processor cannot run it."""
    if "avx2" not in build._processor().split() or "fma" not in build._processor().split():
        pytest.skip("not a processor with AVX2")
    command = [build._compiler(), f"-march={architecture}", "-dM", "-E", "-x", "c++", "/dev/null"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.split()[1] for line in printed.splitlines()}
