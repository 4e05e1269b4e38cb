"""What tests of builds share: an empty cache, with libraries forgotten before and after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tca.kernels import build, choice

QUICK = ("-std=c++17", "-O0", "-fPIC", "-shared", "-pthread")  # a build of a second


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Forget what was built, and build into an empty folder."""
    caches = (build.build, choice._library, choice._if_built, choice.choose)
    monkeypatch.setenv(build.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    for each in caches:
        each.cache_clear()
    yield tmp_path / "cache"
    for each in caches:
        each.cache_clear()


@pytest.fixture
def fresh(unbuilt: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forget what was built, and build into an empty folder, without optimisation."""
    monkeypatch.setattr(build, "FLAGS", QUICK)
    return unbuilt
