"""Check the arguments of constructors and entry points against their annotations.

An annotation is taken at its word, and more strictly than Python takes it: an integer is no bool, a number is finite, a
sequence is no string and no generator, a tensor is real. NumPy's scalars are numbers; arrays and tensors of one entry
are not. Bounds stand in the annotation (`Count`, `Positive`, `Fraction`). The types are
checked by pydantic, when the first argument is given and not at import; defaults are not checked.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from annotated_types import Ge, Gt, Le, Lt, MinLen

from tca.utils.marks import Made, Missing, Named, Such

__all__ = [
    "DEVICE",
    "FLOATS",
    "Count",
    "DType",
    "Device",
    "DivergenceError",
    "Filled",
    "Folder",
    "Fraction",
    "Kept",
    "Made",
    "Mask",
    "Measured",
    "Named",
    "NotNegative",
    "Positive",
    "Seed",
    "Size",
    "Such",
    "Whole",
    "check",
    "checked",
    "choice",
    "finite",
    "instance",
    "not_negative",
    "positive",
    "quick_counts",
    "quick_instance",
    "settle",
    "whole",
]

Checked = TypeVar("Checked", bound=Callable[..., Any])


class DivergenceError(ValueError):
    """A trace or signal grows without bound at the present weights; such training has diverged."""


FLOATS = (torch.float32, torch.float64)
STRICT = (int, float, torch.Tensor, Any)  # of which not every instance is allowed: bools, NaN, complex tensors


def _as_tensor(rows: Any) -> Any:
    try:
        return torch.as_tensor(rows, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError):
        return rows


def _is_device(value: torch.device | str) -> bool:
    try:
        return bool(torch.device(value).type)
    except RuntimeError:
        return False


Whole = Annotated[int, Ge(0)]
"""An integer of at least 0."""
Count = Annotated[int, Ge(1)]
"""An integer of at least 1."""
Size = Annotated[int, Ge(1), Lt(2**31)]
"""A number of cells, channels or pixels: an integer of at least 1 that tensors can be as long as."""
Seed = Annotated[int, Ge(0)]
"""The seed of a generator, from 0 to ``2^63 - 1``."""
Positive = Annotated[float, Gt(0)]
"""A number greater than 0."""
NotNegative = Annotated[float, Ge(0)]
"""A number of at least 0."""
Measured = Annotated[float, Missing(), Such(lambda value: not math.isinf(value), "a finite number or NaN")]
"""A number, NaN where it is missing."""
Probability = Annotated[float, Gt(0), Lt(1)]
"""A number between 0 and 1, these excluded."""
Fraction = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1."""
Kept = Annotated[float, Ge(0), Lt(1)]
"""The share of an average that is kept from step to step, at least 0 and below 1."""
DEVICE = Such(_is_device, "a device of torch such as cpu, cuda or cuda:0")
"""A mark of names of devices."""
Device = Annotated[torch.device | str, DEVICE]
"""A device of torch or its name."""
DType = Annotated[torch.dtype, Such(lambda value: value in FLOATS, "torch.float32 or torch.float64")]
"""A floating-point type in which networks compute."""
Folder = Annotated[str | Path, Such(lambda value: str(value) != "", "a path")]
"""The path of a folder or file."""
Mask = Annotated[torch.Tensor, Made(_as_tensor, Sequence)]
"""Which synapses exist, zeros and ones: a tensor, an array or a list of rows."""
Filled = MinLen(1)
"""A mark of sequences: they hold at least one entry."""


def check(argument: str, value: object, kind: Any) -> Any:
    """Return a value, with NumPy's scalars as Python's and sequences as tuples, if it is of a kind.

    Args:
        argument: Name of the argument, for the message.
        kind: The annotation that it has to meet.

    Raises:
        ValueError: It is of the type and not allowed.

    >>> check("n_train", 3, Count)
    3
    >>> check("n_train", 0, Count)
    Traceback (most recent call last):
    ValueError: n_train must be at least 1, got 0
    """
    plain = isinstance(kind, type) and kind not in STRICT and not getattr(kind, "_is_protocol", False)
    if plain and isinstance(value, kind):
        return value  # nearly every part of a rule: without pydantic, which `import tca` then does not need
    from pydantic_core import ValidationError

    from tca.utils.argument_errors import refusal
    from tca.utils.schemas import validator

    try:
        return validator(kind).validate_python(value)
    except ValidationError as error:
        raise refusal(argument, error.errors(include_url=False)) from None


def checked(target: Checked) -> Checked:
    """Check the arguments that a function or a class is called with against their annotations.

    A dataclass is decorated above ``@dataclass``; a class by the annotations of its ``__init__``.

    Args:
        target: The function or class; a class is changed in place.

    >>> @checked
    ... def area(side: Positive, sides: int = 4) -> float:
    ...     return side * side
    >>> area("2")
    Traceback (most recent call last):
    TypeError: side must be a number, got '2'
    """
    if isinstance(target, type):
        call = vars(target)["__init__"]
        target.__init__ = _checked(call, functools.partial(_kinds_of_class, target, call))  # type: ignore[misc]
        return target
    return typing.cast(Checked, _checked(target, functools.partial(_kinds, target)))


def _checked(call: Callable[..., Any], kinds: Callable[[], Mapping[str, Any]]) -> Callable[..., Any]:
    """Return a function with its arguments checked.

    Args:
        kinds: Returns the annotations of its arguments; asked once.
    """
    own = int(call.__name__ == "__init__")  # arguments that are not given: the object itself

    @functools.cache
    def known() -> tuple[inspect.Signature, dict[str, Any]]:
        """Return the signature, and the annotations of its arguments by name; evaluated at the first argument."""
        signature = inspect.signature(call)
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        spread = {each.name for each in signature.parameters.values() if each.kind in several}
        return signature, {name: kind for name, kind in kinds().items() if name not in spread}

    @functools.wraps(call)
    def wrapper(*args: Any, **options: Any) -> Any:
        if len(args) == own and not options:
            return call(*args)  # defaults are not checked
        signature, annotated = known()
        try:
            bound = signature.bind(*args, **options)
        except TypeError:
            return call(*args, **options)  # Python's own message names the function
        for name, kind in annotated.items():
            if name in bound.arguments:
                bound.arguments[name] = check(name, bound.arguments[name], kind)
        return call(*bound.args, **bound.kwargs)

    return wrapper


def _kinds(call: Callable[..., Any]) -> dict[str, Any]:
    own = inspect.unwrap(call)
    given = {name: kind for name, kind in own.__annotations__.items() if name != "return"}
    found = typing.get_type_hints(types.SimpleNamespace(__annotations__=given), own.__globals__, include_extras=True)
    return {name: kind for name, kind in found.items() if kind not in (Any, object)}


def _kinds_of_class(kind: type, call: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a constructor; those of a dataclass stand in the classes that define its fields."""
    if not dataclasses.is_dataclass(kind):
        return _kinds(call)
    found = typing.get_type_hints(kind, include_extras=True)
    return {each.name: found[each.name] for each in dataclasses.fields(kind) if found[each.name] not in (Any, object)}


def settle(options: object, /, **values: object) -> None:
    """Replace fields of a frozen dataclass by converted values.

    Args:
        options: The dataclass, in its ``__post_init__``.
    """
    for field, value in values.items():
        object.__setattr__(options, field, value)


def whole(argument: str, value: object, least: int) -> int:
    """Return ``value`` as an integer of at least ``least``."""
    return int(check(argument, value, Annotated[int, Ge(least)]))


def finite(argument: str, value: object) -> float:
    """Return ``value`` as a float."""
    return float(check(argument, value, float))


def positive(argument: str, value: object) -> float:
    """Return ``value`` as a float above zero."""
    return float(check(argument, value, Positive))


def not_negative(argument: str, value: object) -> float:
    """Return ``value`` as a float of at least zero."""
    return float(check(argument, value, NotNegative))


def choice(argument: str, values: object, least: int = 1) -> tuple[float, ...]:
    """Return a sequence of numbers as a tuple of floats."""
    return tuple(check(argument, values, Annotated[Sequence[float], MinLen(least)]))


def quick_counts(least: int = 1, /, **values: object) -> None:
    """Raise unless values are integers of at least ``least``; without pydantic, for calls that training repeats."""
    for argument, value in values.items():
        if type(value) is not int or not least <= value < 2**63:
            check(argument, value, Annotated[int, Ge(least)])


def quick_instance(argument: str, value: object, kind: Any, *known: type) -> None:
    """Raise unless a value is of a kind, as all of some classes are; without pydantic, for calls that training repeats.

    Args:
        kind: The annotation that it has to meet if it is of another class.
        known: The classes.
    """
    if type(value) not in known:
        check(argument, value, kind)


def instance(argument: str, value: object, kind: type, allowed: str) -> None:
    """Raise unless ``value`` is of a kind."""
    check(argument, value, Annotated[object, Such(lambda value: isinstance(value, kind), allowed, True)])
