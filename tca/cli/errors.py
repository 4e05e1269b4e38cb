"""Errors of the command line as one line, with the nearest name to a mistyped one."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from jsonargparse import ArgumentParser, Namespace

import tasks
from tca.cli.commands import COMMANDS
from tca.rules import RULES

__all__ = ["one_line"]

EMPTY = "the file of --config is empty: it must hold options, such as task: flip_flop"
SYNONYMS = {"learning_rate": "optimizer.lr", "learning-rate": "optimizer.lr", "n_rec": "net.size", "hidden": "net.size"}
# Values that suggest a missing option: names of tasks and rules.
WORDS: Mapping[str, Callable[[], Collection[str]]] = {"task": tasks.list, "rule": RULES.keys}


def one_line(error: Exception, words: Sequence[str]) -> str:
    """Return an error as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, ArgumentError):
        return text
    parser = COMMANDS[words[0]].module.parser()
    text = re.sub(r"Unexpected config:$", EMPTY, text)
    text = re.sub(r'Parser key "([^"]+)":', r"--\1:", text)
    text = re.sub(r"<class '(\w+)'>", r"\1", text)
    text = re.sub(r"Group '(\w+)' does not accept option '", r"\g<0>\1.", text)
    text = re.sub(r"arguments are required: (\w+)", lambda found: _required(found[1], parser), text)
    if found := re.search(r"nrecognized arguments: --([\w.-]+)|not accept option '([\w.]+)'", text):
        name, options = found[1] or found[2], _options(parser)
        within = sorted(each for each in options if each.endswith(f".{name}"))  # --lr for --optimizer.lr
        near = [SYNONYMS[name]] if SYNONYMS.get(name) in options else within
        if near:
            text += f", did you mean --{near[0]}{_value(name, words)}?"
        else:
            near = difflib.get_close_matches(name, options, n=1)
            text += f", did you mean --{near[0]}?" if near else "; see tca --help"
    elif found := re.search(r"nrecognized arguments: (\w[\w.-]*)", text):
        word = found.group(1)
        option = next((each for each, words in WORDS.items() if word in words()), None)
        text += f", did you mean --{option} {word}?" if option else ": options begin with --; see tca --help"
    return text


def _value(name: str, words: Sequence[str]) -> str:
    """Return the value of an option as it was written after its name, ``""`` without one."""
    for word, following in pairwise([*words, "--"]):
        if word.startswith(f"--{name}="):
            return word.removeprefix(f"--{name}")
        if word == f"--{name}":
            return "" if following.startswith("--") else f" {following}"
    return ""


def _required(name: str, parser: ArgumentParser) -> str:
    """Return the required argument as written on the command line, an option with dashes."""
    action = next(each for each in parser._actions if each.dest == name)
    return f"arguments are required: {'--' + name if action.option_strings else action.metavar}"


def _options(parser: ArgumentParser) -> list[str]:
    written = [each.lstrip("-") for action in parser._actions for each in action.option_strings]
    return [*written, *_flat(parser.get_defaults())]


def _flat(values: Namespace, prefix: str = "") -> Iterator[str]:
    for name, value in vars(values).items():
        yield prefix + name
        if isinstance(value, Namespace):
            yield from _flat(value, f"{prefix}{name}.")
