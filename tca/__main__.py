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

    It is 0, or 2 after an error, which is one line on stderr; 1 if a sweep has come to its end and some of its runs
    have not; 130 after an interruption.

    Args:
        arguments: The words after ``tca``; ``None`` (default) for those of the command line.
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
            options.optimizer = None  # no option of it was given: each rule has its own
        said = COMMANDS[chosen.command].act(options)
        print(printable(said.text))
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
    return said.status


def _parser(parsers: Mapping[str, ArgumentParser]) -> ArgumentParser:
    parser = ArgumentParser(
        prog="tca",
        usage="tca COMMAND ...",
        description="Train networks by rules other than backpropagation, and compare what the rules find.",
        epilog="First steps: `tca list` shows what there is, `tca train --task delayed_xor --rule eprop` trains one "
        "network, `tca compare --rules bptt,eprop` compares rules. `tca COMMAND --help` explains a command. Errors are "
        "one line; --debug shows where they come from.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    group = parser.add_subcommands(required=True, dest="command", title="commands")
    for name, subparser in parsers.items():
        group.add_subcommand(name, subparser, help=COMMANDS[name].purpose)
    return parser


if __name__ == "__main__":
    sys.exit(main())
