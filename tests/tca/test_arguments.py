"""Every public callable refuses bad arguments by name, in one line."""

from __future__ import annotations

import collections
import inspect
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.arguments import annotations, bad, made, public
from tests.support.arguments_good import arguments, called

PUBLIC = public()
LONGEST = 400  # characters of a message
PATIENCE = 2  # seconds for one call, when run as a script
# What nothing refuses, and why: by callable (or all) and parameter.
FREE: dict[tuple[str, str], str] = {
    **{
        ("", each): "free text"
        for each in ("summary", "reference", "reason", "title", "label", "panel", "measure", "hub")
    },
    ("tca.Rule", "name"): "also an import path",
    ("analysis.statistics.verdict", "sign"): "a sign may be negative",
    ("tca.experiments.loggers.WandB", "project"): "any name of a project",
    ("tca.experiments.sweep.read_runs", "target"): "the file that is not there is named",
    ("tasks.images.Images", "data_dir"): "an empty word is the folder one is in",
    ("tasks.images.Images", "cache_dir"): "an empty word is the folder one is in",
    ("tasks.images.fetch", "data_dir"): "the bundled set needs none, and no other is asked for here",
    **{
        ("", each): "free text"
        for each in ("x_name", "y_name", "needed_by", "argument", "option", "image", "test_split")
    },
}
# Which ask a server, need a package that is not installed here, or add to the table of rules.
LOGGERS = ("tca.experiments.loggers.TensorBoard", "tca.experiments.loggers.WandB")
UNCALLED = ("tasks.images.fetch", "tca.register_rule", *LOGGERS)
WORDS = ("no such name", "")  # which free text may be
PATHS = ("folder", "path", "root", "source")  # where any word may lead to


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder: some words name one, to which records are written."""
    monkeypatch.chdir(tmp_path)


def _give_up(*_: object) -> None:
    raise RuntimeError("still at it")


def refused(call: Callable[..., Any], good: dict[str, Any], parameter: str, value: Any) -> str:
    """Return what becomes of a bad argument: refused, accepted, or an unclear error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            signal.alarm(PATIENCE if signal.getsignal(signal.SIGALRM) is _give_up else 0)
            called(call, {**good, parameter: made(value)})
        except (ValueError, TypeError) as error:
            said = str(error)
            if _names(said, parameter) and "\n" not in said and len(said) <= LONGEST:
                return "refused"
            return f"{type(error).__name__}: {said}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
    return "accepted"


def _names(said: str, parameter: str) -> bool:
    """Return whether a message names a parameter, or one of several, or by its kind what has an unknown name."""
    return bool(re.search(rf"\b{parameter}\b|\b{parameter.removesuffix('s')}\b", said)) or (
        parameter in ("name", "match") and said.startswith("unknown ")
    )


def tried(name: str) -> Iterator[tuple[str, Any, str]]:
    """Yield every bad argument of a callable and what becomes of it."""
    call = PUBLIC[name]
    for parameter, kind in annotations(call).items():
        if parameter in ("options", "return") and "**options" in _signature(call):
            continue
        for value in bad(kind):
            if not free(name, parameter, value):
                yield parameter, value, refused(call, arguments(name, call), parameter, value)


def free(name: str, parameter: str, value: Any) -> bool:
    """Return whether an argument is free to take what others of its annotation refuse."""
    plain = value if isinstance(value, (str, int)) else None
    word = bool({("", parameter), (name, parameter)} & FREE.keys()) and plain in (*WORDS, -1)
    return word or (parameter in PATHS and plain in ("no such name", "x"))


def _signature(call: Callable[..., Any]) -> str:
    return str(inspect.signature(call))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any word may be the folder of a record that is written."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.thirds
@pytest.mark.parametrize("name", [each for each in PUBLIC if each not in UNCALLED])
def test_good_arguments_are_taken(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        called(PUBLIC[name], arguments(name, PUBLIC[name]))


def test_no_constructor_hides_its_parameters() -> None:
    """Nothing would be tried on one that takes any arguments by place."""
    parameters = {name: inspect.signature(call).parameters.values() for name, call in PUBLIC.items()}
    assert not [name for name, found in parameters.items() if any(each.kind is each.VAR_POSITIONAL for each in found)]


@pytest.mark.thirds
@pytest.mark.parametrize("name", PUBLIC)
def test_bad_arguments_are_refused_by_name(name: str) -> None:
    found = [f"{parameter}={value!r}: {outcome}" for parameter, value, outcome in tried(name) if outcome != "refused"]
    assert not found, "\n".join(found)


def _count() -> None:
    counts: collections.Counter[str] = collections.Counter()
    for name in PUBLIC:
        for parameter, value, outcome in tried(name):
            kind = outcome if outcome in ("refused", "accepted") else "unclear"
            counts[kind] += 1
            if kind != "refused":
                print(f"{name}({parameter}={value!r}): {outcome[:150]}".replace("\n", "\\n"), flush=True)
    print(dict(counts), sum(counts.values()))


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _give_up)
    _count()
