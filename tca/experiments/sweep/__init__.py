"""Sweeps: runs with different settings, trained in parallel on one machine or a cluster.

>>> from tca.experiments.sweep import grid
>>> from tca.experiments.config.run import Run
>>> [each.net.size for each in grid(Run("delayed_xor"), {"net.size": [16, 32]})]
[16, 32]
"""

from tca.experiments.sweep.executors import ExecutorError
from tca.experiments.sweep.grids import grid
from tca.experiments.sweep.settings import settings, varying
from tca.experiments.sweep.sweep_files import SourceError, read_runs
from tca.experiments.sweep.sweep_loop import sweep
from tca.experiments.sweep.swept_run import Swept

__all__ = ["ExecutorError", "SourceError", "Swept", "grid", "read_runs", "settings", "sweep", "varying"]
