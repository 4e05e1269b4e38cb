"""The command ``tca``: train, compare, report, list."""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from tca.cli.compare import compare
from tca.cli.comparison import Comparison
from tca.cli.listing import listing
from tca.cli.report import write_report
from tca.cli.summary import describe, report
from tca.run import Run
from tca.train import train

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 after an error, which is one line on stderr.

    Args:
        arguments: The words after ``tca``; ``None`` (default) for those of the command line.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    commands = _commands()
    parser = _parser(commands)
    try:
        chosen = parser.parse_args([word for word in words if word != "--debug"])
        options = parser.instantiate(chosen)[chosen.command]
        print(COMMANDS[chosen.command](options))
    except KeyboardInterrupt:
        print("tca: interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"tca: {_one_line(error, commands)}", file=sys.stderr)
        return 2
    return 0


def _train(options: Namespace) -> str:
    run = Run(**_values(options, ("config", "folder", "quiet")))
    folder = run.folder(options.folder)
    result = train(run, folder, progress=not options.quiet)
    return describe(result, folder)


def _compare(options: Namespace) -> str:
    comparison = Comparison(**_values(options, ("config", "folder", "quiet", "workers")))
    folder = Path(options.folder)
    measured = compare(comparison, folder, options.workers, progress=not options.quiet)
    return f"{write_report(comparison, measured, folder)}\n\nreport: {folder / 'report.html'}"


def _report(options: Namespace) -> str:
    return report(Path(options.path))


def _list(options: Namespace) -> str:
    return listing()


COMMANDS: dict[str, Callable[[Namespace], str]] = {
    "train": _train,
    "compare": _compare,
    "report": _report,
    "list": _list,
}


def _values(options: Namespace, others: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in others}


def _parser(commands: Mapping[str, tuple[ArgumentParser, str]]) -> ArgumentParser:
    parser = ArgumentParser(
        prog="tca",
        description="Train recurrent networks by rules other than backpropagation, and compare what the rules find.",
        epilog="Errors are one line; --debug shows where they come from.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    group = parser.add_subcommands(required=True, dest="command", title="commands")
    for name, (subparser, text) in commands.items():
        group.add_subcommand(name, subparser, help=text)
    return parser


def _commands() -> dict[str, tuple[ArgumentParser, str]]:
    """Return the parser of every command and what it is for."""
    report_parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    report_parser.add_argument("path", metavar="FOLDER", help="a record, a folder of records, or a comparison")
    return {
        "train": (_value_parser(Run, "runs"), "train one network and record it"),
        "compare": (
            _value_parser(Comparison, "runs/compare"),
            "train several rules on the same trials and report on them",
        ),
        "report": (report_parser, "show what a folder of records holds; write the report of a comparison anew"),
        "list": (ArgumentParser(exit_on_error=False, allow_abbrev=False), "list rules, tasks and networks"),
    }


def _value_parser(value: type, folder: str) -> ArgumentParser:
    """Return a parser with a flag for every field of a dataclass."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="file with any of the options below, as YAML or JSON")
    parser.add_argument("--folder", default=folder, help="where records are kept")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    if value is Run:
        parser.add_argument("--rule", default="bptt", help="name of the rule, see tca list")
    else:
        parser.add_argument("--workers", type=int, default=2, help="processes that train at the same time")
    parser.add_class_arguments(value, skip={"rule"})
    return parser


def _one_line(error: Exception, commands: Mapping[str, tuple[ArgumentParser, str]]) -> str:
    """Return an error as one line, in the words of the command line, with the nearest name where one was mistyped."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, ArgumentError):
        return text
    text = re.sub(r'Parser key "([^"]+)":', r"--\1:", text)
    text = re.sub(r"<class '(\w+)'>", r"\1", text)
    text = re.sub(r"arguments are required: \w+\.", "arguments are required: --", text)
    if found := re.search(
        r"nrecognized arguments: --([\w.]+)|not accept option '([\w.]+)'|invalid choice: '(\w+)'", text
    ):
        name = next(each for each in found.groups() if each)
        options = {option for subparser, _ in commands.values() for option in _flat(subparser.get_defaults())}
        near = difflib.get_close_matches(name, commands if found.group(3) else options, n=1)
        text += f", did you mean {near[0] if found.group(3) else '--' + near[0]}?" if near else "; see tca --help"
    return text


def _flat(values: Namespace, prefix: str = "") -> Iterator[str]:
    for name, value in vars(values).items():
        yield prefix + name
        if isinstance(value, Namespace):
            yield from _flat(value, f"{prefix}{name}.")


if __name__ == "__main__":
    sys.exit(main())
