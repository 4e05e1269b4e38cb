"""Sweeps: runs that differ in their settings, trained by many workers, on one machine or on a cluster.

>>> from tca.sweep import grid
>>> from tca.run import Run
>>> [each.net.size for each in grid(Run("delayed_xor"), {"net.size": [16, 32]})]
[16, 32]
"""

from tca.sweep.crews import CrewError
from tca.sweep.grids import grid
from tca.sweep.settings import settings, varying
from tca.sweep.sources import SourceError, read_runs
from tca.sweep.sweeping import sweep
from tca.sweep.swept import Swept

__all__ = ["CrewError", "SourceError", "Swept", "grid", "read_runs", "settings", "sweep", "varying"]
