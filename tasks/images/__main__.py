"""``python -m tasks.images``: fetch an image set from the Hugging Face hub, or list known and present sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from tasks.images.catalogue import DIGITS, KNOWN
from tasks.images.fetch import fetch
from tasks.images.folders import VARIABLE, data_root, found, locate, shown

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 after an error, which is one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tasks.images", description="Image sets for tasks.")
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch", help="download a set from the Hugging Face hub")
    fetching.add_argument("name", help=f"one of {', '.join(KNOWN)}")
    listing = commands.add_parser("list", help="show known sets and those that are present")
    for each in (fetching, listing):
        each.add_argument("--data-dir", metavar="DIR", help=f"folder that holds the sets, default ${VARIABLE}")
    chosen = parser.parse_args(arguments)
    try:
        print(COMMANDS[chosen.command](chosen))
    except Exception as error:  # errors of `datasets` and of the network have no common base
        print(f"tasks.images: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _fetch(chosen: argparse.Namespace) -> str:
    folder = fetch(chosen.name, chosen.data_dir)
    return f"{KNOWN[chosen.name].title} is in {folder}"


def _list(chosen: argparse.Namespace) -> str:
    root = data_root(chosen.data_dir)
    lines = [f"{DIGITS}: comes with scikit-learn"]
    for name in [*KNOWN, *(each for each in found(root) if each not in KNOWN)]:
        try:
            located = locate(name, chosen.data_dir)
            lines.append(f"{shown(name)}: {located.title}, in {shown(located.train[0].parent)}")
        except (FileNotFoundError, ValueError) as error:
            lines.append(f"{shown(name)}: {error}")
    return "\n".join(lines)


COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {"fetch": _fetch, "list": _list}

if __name__ == "__main__":
    sys.exit(main())
