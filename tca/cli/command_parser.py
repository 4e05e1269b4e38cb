"""The parser of a command, with its purpose, and help without the defaults that are none."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from tca.cli.commands import COMMANDS

__all__ = ["command_parser"]


class CommandHelp(DefaultHelpFormatter):
    """Shows types and defaults, but no default where there is none."""

    def _expand_help(self, action: Any) -> str:
        return str(super()._expand_help(action)).replace(" (default: null)", "").replace(", default: null)", ")")


def command_parser(usage: str, description: str | None = None) -> ArgumentParser:
    """Return a parser of a command without options.

    Args:
        usage: The line of its usage, ``"tca COMMAND ..."``.
        description: Purpose of the command; ``None`` (default) for that in `COMMANDS`.
    """
    purpose = COMMANDS[usage.split()[1]].purpose
    return ArgumentParser(
        usage=usage,
        description=description or f"{purpose[0].upper()}{purpose[1:]}.",
        formatter_class=CommandHelp,
        exit_on_error=False,
        allow_abbrev=False,
    )
