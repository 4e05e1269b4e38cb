"""Errors of the command line as one line, with the nearest name to a mistyped one."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from jsonargparse import ArgumentParser, Namespace

import tasks
from tca.rules import RULES

__all__ = ["one_line"]

EMPTY = "the file of --config is empty: it must hold options, such as task: flip_flop"
# Values that suggest a missing option: names of tasks and rules.
WORDS: Mapping[str, Callable[[], Collection[str]]] = {"task": tasks.list, "rule": RULES.keys}


def one_line(error: Exception, parsers: Mapping[str, ArgumentParser]) -> str:
    """Return an error as one line.

    Args:
        error: Error to format.
        parsers: Parsers of the commands, by name.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, ArgumentError):
        return text
    missing = f"a command is missing, one of: {', '.join(parsers)}; see tca --help"
    text = re.sub(r'expected "command" to be one of .*, but it was not provided.', missing, text)
    text = re.sub(r"Unexpected config:$", EMPTY, text)
    text = re.sub(r'Parser key "([^"]+)":', r"--\1:", text)
    text = re.sub(r"<class '(\w+)'>", r"\1", text)
    text = re.sub(r"arguments are required: (\w+)\.(\w+)", lambda found: _required(found, parsers), text)
    if found := re.search(
        r"nrecognized arguments: --([\w.-]+)|not accept option '([\w.]+)'|invalid choice: '(\w+)'", text
    ):
        name = next(each for each in found.groups() if each)
        options = {option for parser in parsers.values() for option in _options(parser)}
        within = sorted(each for each in options if each.endswith(f".{name}"))  # --lr for --optimizer.lr
        near = within or difflib.get_close_matches(name, parsers if found.group(3) else options, n=1)
        text += f", did you mean {near[0] if found.group(3) else '--' + near[0]}?" if near else "; see tca --help"
    elif found := re.search(r"nrecognized arguments: (\w[\w.-]*)", text):
        word = found.group(1)
        option = next((each for each, words in WORDS.items() if word in words()), None)
        text += f", did you mean --{option} {word}?" if option else ": options begin with --; see tca --help"
    return text


def _required(found: re.Match[str], parsers: Mapping[str, ArgumentParser]) -> str:
    """Return the required argument as written on the command line, an option with dashes."""
    command, name = found.groups()
    action = next(each for each in parsers[command]._actions if each.dest == name)
    return f"arguments are required: {'--' + name if action.option_strings else action.metavar}"


def _options(parser: ArgumentParser) -> Iterable[str]:
    written = [each.lstrip("-") for action in parser._actions for each in action.option_strings]
    return [*written, *_flat(parser.get_defaults())]


def _flat(values: Namespace, prefix: str = "") -> Iterator[str]:
    for name, value in vars(values).items():
        yield prefix + name
        if isinstance(value, Namespace):
            yield from _flat(value, f"{prefix}{name}.")
