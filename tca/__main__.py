"""The command ``tca``: demo, train, compare, sweep, resume, runs, show, verify, report, list."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tca
from tca.cli.commands import COMMANDS, CommandOutput
from tca.utils import interruption
from tca.utils.names import lookup
from tca.utils.text import printable

__all__ = ["main"]

HELP = f"""usage: tca COMMAND ...

Train networks by learning rules other than backpropagation, and compare the rules.

commands:
{chr(10).join(f"    {name:<10}{command.purpose}" for name, command in COMMANDS.items())}

options:
    -h, --help        show this message; tca COMMAND --help explains a command
    --version         show the version
    --debug           add the traceback to an error

First steps: `tca demo` draws a figure in half a minute, `tca list` shows rules, tasks and networks,
`tca train --task delayed_xor --rule eprop` trains a network, `tca compare --rules bptt,eprop` compares rules."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 on success, 1 if some runs of a sweep or records of a report failed, 2 after an error, which is one line on
    stderr, 130 after an interruption.

    Args:
        arguments: Arguments after ``tca``; ``None`` (default) for those of the command line.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    interruption.allow()
    try:
        output = _output(words)
        print(printable(output.text))
    except KeyboardInterrupt:
        interruption.ignore()
        print(interruption.TEXT, file=sys.stderr)
        return interruption.STATUS
    except BrokenPipeError:
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        from tca.cli.errors import one_line

        print(f"tca: {printable(one_line(error, words), '')}", file=sys.stderr)
        return 2
    finally:
        interruption.ignore()
    return output.status


def _output(words: list[str]) -> CommandOutput:
    """Run a command; only the chosen one is imported."""
    if words[:1] == ["--version"]:
        return CommandOutput(f"tca {tca.__version__}")
    if words[:1] in (["--help"], ["-h"]):
        return CommandOutput(HELP)
    if not words or words[0].startswith("-"):
        raise ValueError(f"a command is missing, one of: {', '.join(COMMANDS)}; see tca --help")
    chosen, given = lookup(COMMANDS, words[0], "command"), words[1:]
    with _uncollected():
        command = chosen.module
    if chosen.configured:
        from tca.cli.notation import plain_words

        given = plain_words(given, several=chosen.configured == "comparison")
    parser = command.parser()
    options = parser.instantiate(parser.parse_args(given))
    if chosen.configured:
        options.given = parser.parse_args(given, defaults=False).as_dict()
        if "optimizer" not in options.given:
            options.optimizer = None  # without an option of it, each rule has its own
    output: CommandOutput = command.act(options)
    return output


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let imports run without the garbage collector, which would go through all of PyTorch several times.

    The command does not collect later what it has imported, either; a program that calls `main` may.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        if interruption.is_command():
            gc.freeze()
    finally:
        if enabled:
            gc.enable()


if __name__ == "__main__":
    sys.exit(main())
