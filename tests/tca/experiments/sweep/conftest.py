"""What tests of sweeps share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tca.experiments.training.train import train
from tests.support.sweeps import GRID


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which every run of the grid has been trained by `train` alone."""
    folder = tmp_path_factory.mktemp("reference")
    for run in GRID:
        train(run, run.folder(folder), progress=False)
    return folder
