"""The errors of pydantic's validator as one exception with one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tca.utils.names import shorten, unknown

__all__ = ["MEMBER", "refusal", "shown"]

MEMBER = "|"  # label of every member of a union, which is no part of the path to a value
KEY = "[key]"  # pydantic's own, for a key of a mapping
ALLOWED = {
    "float_type": "a number",
    "finite_number": "finite",
    "string_type": "a string",
    "bool_type": "True or False",
    "none_required": "None",
    "greater_than": "greater than {gt:.19g}",
    "greater_than_equal": "at least {ge:.19g}",
    "less_than": "below {lt:.19g}",
    "less_than_equal": "at most {le:.19g}",
}


def refusal(argument: str, errors: Sequence[Mapping[str, Any]]) -> Exception:
    """Return the error to raise for a value that is not allowed: of the entry at fault, where there is one.

    Args:
        errors: Pydantic's errors: one for each member of a union and each entry.
    """
    paths = [tuple(each for each in error["loc"] if each != MEMBER) for error in errors]
    path = max(paths, key=len)  # the first of the longest
    found = [error for each, error in zip(paths, errors, strict=True) if each == path]
    name = f"a key of {argument}" if KEY in path else argument + "".join(f"[{each!r}]" for each in path)
    came = found[0]["input"]
    if not all(mistyped := [each["type"].endswith(("_type", "required")) for each in found]):
        found = [each for each, other in zip(found, mistyped, strict=True) if not other]  # the type is right
    if found[0]["type"] == "value_error":
        error = found[0]["ctx"]["error"]
        return (TypeError if isinstance(error.__cause__, TypeError) else ValueError)(f"{name}: {error}")
    if found[0]["type"] == "too_short":
        return ValueError(f"{name} must hold at least {found[0]['ctx']['min_length']}, got {shown(came)}")
    if found[0]["type"] == "unlisted_name":
        return unknown(came, found[0]["ctx"]["names"], name)
    allowed = " or ".join(dict.fromkeys(_allowed(each) for each in found))
    return (TypeError if all(mistyped) else ValueError)(f"{name} must be {allowed}, got {shown(came)}")


def shown(value: object) -> str:
    """Return a value in one short line.

    >>> shown(torch.zeros(2, 3)), shown("x" * 100)[-6:]
    ('a tensor of torch.float32 and shape (2, 3)', 'xxx...')
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        kind = "a tensor" if isinstance(value, torch.Tensor) else "an array"
        return f"{kind} of {value.dtype} and shape {tuple(value.shape)}"
    return shorten(value)


def _allowed(error: Mapping[str, Any]) -> str:
    if error["type"] == "greater_than_equal" and repr(error["ctx"]["ge"]) == "0.0":
        return "0 or greater"
    text = ALLOWED.get(error["type"])
    return str(error["msg"]) if text is None else text.format(**error.get("ctx", {}))
