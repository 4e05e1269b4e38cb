"""Results are bit for bit the same under any default type, default device and global generator of torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch

import analysis
import tca
from tests.support.everything import EVERYTHING, MEASURES, NETS, flat

with suppress(ImportError):
    import rich.style  # noqa: F401  which others import where it is installed: it draws a number when imported

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@contextmanager
def foreign() -> Iterator[None]:
    """Make double precision and the meta device, on which nothing is computed, the defaults."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def generators() -> list[bytes]:
    """Return the states of all global generators."""
    numpy, python = np.random.get_state(), random.getstate()  # noqa: NPY002
    return [
        torch.get_rng_state().numpy().tobytes(),
        repr(numpy).encode(),
        np.asarray(numpy[1]).tobytes(),
        repr(python).encode(),
    ]


def seeded(seed: int) -> list[bytes]:
    """Seed all global generators and return their states."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    return generators()


@pytest.mark.thirds
@pytest.mark.parametrize("what", EVERYTHING)
def test_no_default_and_no_global_generator_has_a_say(what: str) -> None:
    before = seeded(1)
    wanted = list(flat(EVERYTHING[what]()))
    assert generators() == before
    with foreign():
        before = seeded(2)
        try:
            found = list(flat(EVERYTHING[what]()))
        except NotImplementedError as error:  # of numbers on the meta device, which has none
            pytest.fail(f"something was made on the default device: {error}")
        assert generators() == before
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
    assert [kind for kind, _ in found] == [kind for kind, _ in wanted]
    assert found == wanted
    assert len(wanted) > 0


def test_everything_is_everything() -> None:
    assert {name.split(" of ")[0] for name in NETS} == {*tca.nets.NETWORKS}
    assert {*MEASURES, "load", "load_curves"} == {*analysis.__all__}  # which read records
