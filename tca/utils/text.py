"""Text from files, made safe to print: unprintable characters are escaped."""

from __future__ import annotations

__all__ = ["in_a_line", "printable"]

LONGEST = 1000


def printable(text: str, kept: str = "\n\t") -> str:
    r"""Return text in which control characters, escapes and lone surrogates are written out.

    Args:
        kept: Characters that stay as they are all the same, default newlines and tabs.

    >>> printable("\x1b[31mred\u202e")
    '\\x1b[31mred\\u202e'
    """
    if text.translate(dict.fromkeys(map(ord, kept))).isprintable():
        return text
    return "".join(each if each.isprintable() or each in kept else _escaped(each) for each in text)


def in_a_line(value: object, most: int = LONGEST) -> str:
    r"""Return a value as one printable line, cut where it is very long.

    Args:
        value: The value, such as an error or a path.
        most: Characters that stay, default 1000.

    >>> in_a_line(ValueError("no\nsuch\x07 task")), in_a_line("abcdef", 4)
    ('no such\\x07 task', 'abcd...')
    """
    text = str(value)
    cut = text[: 4 * most]
    line = printable(" ".join(cut.split()), "")
    return line if len(line) <= most and len(cut) == len(text) else f"{line[:most]}..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
