"""Detection of modules of the user that hide the packages ``tasks`` and ``analysis``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["conflict"]

HOME = Path(__file__).resolve().parents[2]


def conflict() -> ImportError | None:
    """Return an error that names the module which Python would import instead of ``tasks`` or ``analysis``, if any."""
    for name in ("tasks", "analysis"):
        try:
            spec = importlib.util.find_spec(name)
        except ValueError:  # a module made by hand
            continue
        places = [spec.origin, *(spec.submodule_search_locations or [])] if spec else []
        place = next((os.path.abspath(each) for each in places if each), None)
        if place and Path(place).resolve() != HOME / name / "__init__.py":
            return ImportError(f"{place} hides the package {name} that tca uses: rename it", name=name, path=place)
    return None
