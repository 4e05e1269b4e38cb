"""The command ``tca``: train, compare, sweep, show, report, list."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence

from jsonargparse import ArgumentParser

from tca.cli.commands import COMMANDS
from tca.cli.configs import check_files
from tca.cli.errors import one_line
from tca.utils import interruption
from tca.utils.text import printable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 on success, 1 if some runs of a sweep or records of a report failed, 2 after an error, which is one line on
    stderr, 130 after an interruption.

    Args:
        arguments: Arguments after ``tca``; ``None`` (default) for those of the command line.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    parsers = {name: command.parser() for name, command in COMMANDS.items()}
    parser = _parser(parsers)
    interruption.allow()
    try:
        check_files(words)
        words = [word for word in words if word != "--debug"]
        chosen = parser.parse_args(words)
        options = parser.instantiate(chosen)[chosen.command]
        if "optimizer" in options and "optimizer" not in parser.parse_args(words, defaults=False)[chosen.command]:
            options.optimizer = None  # without an option of it, each rule has its own
        output = COMMANDS[chosen.command].act(options)
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
        print(f"tca: {printable(one_line(error, parsers), '')}", file=sys.stderr)
        return 2
    finally:
        interruption.ignore()
    return output.status


def _parser(parsers: Mapping[str, ArgumentParser]) -> ArgumentParser:
    parser = ArgumentParser(
        prog="tca",
        usage="tca COMMAND ...",
        description="Train networks by learning rules other than backpropagation, and compare the rules.",
        epilog="First steps: `tca list` shows rules, tasks and networks, `tca train --task delayed_xor --rule eprop` "
        "trains a network, `tca compare --rules bptt,eprop` compares rules. `tca COMMAND --help` explains a command. "
        "Errors are one line; --debug adds the traceback.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    group = parser.add_subcommands(required=True, dest="command", title="commands")
    for name, subparser in parsers.items():
        group.add_subcommand(name, subparser, help=COMMANDS[name].purpose)
    return parser


if __name__ == "__main__":
    sys.exit(main())
