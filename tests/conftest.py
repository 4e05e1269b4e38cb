"""What every test relies on: one thread a process, no test for a device that is not there, a third of large sets."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from zlib import crc32

import pytest
import torch

torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the tests themselves, a million objects that stay, out of every search for garbage."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    whole = defaultdict(list)
    for item in items:
        if "thirds" in item.keywords and "slow" not in item.keywords:
            whole[item.nodeid.partition("[")[0]].append(item)
    for group in whole.values():
        group.sort(key=lambda item: crc32(item.name.encode()))
        for item in group[-(-len(group) // 3) :]:
            item.add_marker("slow")
    if torch.cuda.is_available():
        return
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _registered_tasks() -> Iterator[None]:
    """Forget the tasks that a test registers."""
    from tasks.own.registry import REGISTERED

    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.fixture
def image_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep image sets and their cache in folders of the test's own, and let warnings be given anew."""
    from tasks.images import image_task as task

    task._warn_once.cache_clear()
    monkeypatch.delenv("TCA_DATA", raising=False)
    monkeypatch.setenv("TCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures of comparisons, which take longer than small runs, where a test does not look at them."""
    monkeypatch.setattr("tca.cli.compare.report.report_figures", lambda _: ())
