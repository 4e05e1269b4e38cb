"""Annotations as schemas of pydantic's validator that convert NumPy's scalars alone.

Built on ``pydantic_core``, which imports in hundredths of a second, and only when the first argument is checked.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import itertools
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt, MinLen
from numpy.typing import ArrayLike
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator
from pydantic_core import core_schema as schemas

from tca.utils.argument_errors import MEMBER
from tca.utils.arrays import tensor_of
from tca.utils.marks import Made, Missing, Named, Such
from tca.utils.names import NEAREST

__all__ = ["validator"]

MOST_ENTRIES = 10_000_000  # of a sequence: a range may say that it holds far more, and an iterator may not end


@functools.cache
def validator(kind: Any) -> SchemaValidator:
    """Return the validator of a kind.

    Args:
        kind: An annotation, evaluated.
    """
    return SchemaValidator(_schema(kind))


def _schema(kind: Any) -> CoreSchema:
    """Return the schema of an annotation."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind == ArrayLike:
        return schemas.any_schema()
    if origin is Annotated:
        return _marked(args[0], args[1:])
    if origin in (Union, types.UnionType):
        return schemas.union_schema([(_schema(each), MEMBER) for each in args])
    if origin is Literal:
        return _literal(args)
    if origin in SEQUENCES:
        return _sequence(origin, args)
    if origin in MAPPINGS:
        entries = schemas.dict_schema(_schema(args[0]), _schema(args[1]))
        return schemas.no_info_before_validator_function(_mapping, entries)
    if origin is type:
        return _tested(lambda value: _is_class(value, args[0]), f"a class of {_named(args[0])}")
    return _plain(origin or kind)


def _marked(kind: Any, marks: Sequence[Any]) -> CoreSchema:
    """Return the schema of an annotation with bounds, lengths or tests."""
    bounds: dict[str, Any] = {}
    for mark in marks:
        bounds |= {name: getattr(mark, name) for each, name in BOUNDS.items() if isinstance(mark, each)}
        bounds |= {"allow_inf_nan": True} if isinstance(mark, Missing) else {}
    if kind in NUMBERS:
        schema = _number(kind, bounds)
    elif bounds:
        schema = _sequence(typing.get_origin(kind), typing.get_args(kind), **bounds)
    else:
        schema = _schema(kind)
    for mark in marks:
        if isinstance(mark, Such):
            test = _test(mark.test, mark.allowed, "mark_type" if mark.mistyped else "mark")
            schema = schemas.no_info_after_validator_function(test, schema)
        if isinstance(mark, Made):
            schema = schemas.no_info_before_validator_function(_made(mark), schema)
        if isinstance(mark, Named):
            schema = schemas.no_info_after_validator_function(_listed(mark), schema)
    return schema


def _number(kind: type, bounds: Mapping[str, Any]) -> CoreSchema:
    """Return the schema of a number; arrays and tensors of one entry are none."""
    if kind is int:
        allowed = "an integer" + (f" of at least {bounds['ge']}" if "ge" in bounds else "")
        schema: CoreSchema = schemas.int_schema(strict=True, **(LONG | dict(bounds)))
    else:
        allowed = "a number"
        schema = schemas.float_schema(strict=True, **({"allow_inf_nan": False} | dict(bounds)))

    def convert(value: Any, handler: Callable[[Any], Any]) -> Any:
        number = _python(value)
        if isinstance(number, bool) or not isinstance(number, (int, kind)):
            raise PydanticCustomError("number_type", "{allowed}", {"allowed": allowed})
        handler(number)
        return number  # an integer stays one where numbers are meant: indices differ from fractions

    return schemas.no_info_wrap_validator_function(convert, schema)


def _plain(kind: Any) -> CoreSchema:
    """Return the schema of a class."""
    if kind in (Any, object) or isinstance(kind, TypeVar):
        return schemas.any_schema()
    if kind in NUMBERS:
        return _number(kind, {})
    if kind in (None, type(None)):
        return schemas.none_schema()
    if kind is bool:
        return schemas.no_info_before_validator_function(_python, schemas.bool_schema(strict=True))
    if kind is str:
        return schemas.no_info_before_validator_function(_python, schemas.str_schema(strict=True))
    if kind is torch.Tensor:
        schema = _tested(lambda value: isinstance(value, torch.Tensor) and not value.is_complex(), "a real tensor")
        return schemas.no_info_before_validator_function(_tensor, schema)
    if kind is np.ndarray:
        return _tested(lambda value: isinstance(value, np.ndarray) and value.dtype.kind in REAL, "an array of numbers")
    if kind is collections.abc.Callable:
        return _tested(callable, "a function")
    if kind is Path:
        schema = _tested(lambda value: isinstance(value, Path), "a path")
        return schemas.no_info_before_validator_function(_path, schema)
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        return schemas.any_schema()
    return _tested(lambda value: isinstance(value, kind), _named(kind))


def _literal(values: Sequence[Any]) -> CoreSchema:
    """Return the schema of one of some strings: another string is a mistyped one."""
    if not all(isinstance(each, str) for each in values):
        return schemas.literal_schema(list(values))
    return schemas.no_info_after_validator_function(_listed(Named(values)), _plain(str))


def _made(mark: Made) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, mark.of):
            return value
        given: Any = value
        try:
            return mark.make(**given) if mark.spread else mark.make(given)
        except TypeError as error:
            raise ValueError(str(error)) from error

    return convert


def _listed(named: Named) -> Callable[[Any], Any]:
    """Return a validator of names of a table."""

    def validate(value: Any) -> Any:
        if value in named.names:
            return value
        raise PydanticCustomError("unlisted_name", "one of its names", {"names": named.names})

    return validate


def _sequence(origin: Any, args: tuple[Any, ...], **bounds: Any) -> CoreSchema:
    """Return the schema of a list or tuple; of any iterable if it is annotated so."""
    fixed = len(args) if origin is tuple and args[-1] is not Ellipsis else None
    entry = typing.get_args(args[0])[0] if typing.get_origin(args[0]) is Annotated else args[0]
    number, entries = f" {fixed}" if fixed is not None else "", ENTRIES.get(entry, "")
    allowed = "a list or tuple" + (f" of{number}{entries}" if number or entries else "")
    taken = collections.abc.Iterable if origin is collections.abc.Iterable else collections.abc.Sequence

    def convert(value: Any) -> Any:
        if isinstance(value, NOT_SEQUENCES) or not isinstance(value, taken):
            raise PydanticCustomError("sequence_type", "{allowed}", {"allowed": allowed})
        entries = tuple(itertools.islice(value, MOST_ENTRIES + 1))
        if len(entries) > MOST_ENTRIES:
            raise PydanticCustomError("too_many", "{allowed}", {"allowed": f"at most {MOST_ENTRIES} entries"})
        if fixed is not None and len(entries) != fixed:
            raise PydanticCustomError("length", "{allowed}", {"allowed": allowed})
        return entries

    if fixed is not None:
        parts = schemas.tuple_schema([_schema(each) for each in args])
    else:
        parts = schemas.tuple_schema([_schema(args[0])], variadic_item_index=0, **bounds)
    return schemas.no_info_before_validator_function(convert, parts)


def _test(test: Callable[[Any], bool], allowed: str, kind: str) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if test(value):
            return value
        raise PydanticCustomError(kind, "{allowed}", {"allowed": allowed})

    return validate


def _tested(test: Callable[[Any], bool], allowed: str) -> CoreSchema:
    """Return the schema of values that pass a test, and are of another type if they do not."""
    return schemas.no_info_plain_validator_function(_test(test, allowed, "instance_type"))


def _python(value: Any) -> Any:
    """Return NumPy's scalars as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _tensor(value: Any) -> Any:
    """Return an array of numbers as a tensor."""
    return tensor_of(value) if isinstance(value, np.ndarray) and value.dtype.kind in REAL else value


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, (str, os.PathLike)) and value != "" else value


def _mapping(value: Any) -> Any:
    if not isinstance(value, collections.abc.Mapping):
        raise PydanticCustomError("mapping_type", "a mapping")
    return dict(value)


def _is_class(value: Any, base: Any) -> bool:
    return isinstance(value, type) and (not isinstance(base, type) or issubclass(value, base))


def _named(kind: Any) -> str:
    """Return the name of a class with its article, and its subclasses if it is abstract."""
    name = getattr(kind, "__name__", str(kind))
    article = f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
    kinds = sorted(each.__name__ for each in _concrete(kind)) if inspect.isabstract(kind) else []
    return article + (f" such as {', '.join(kinds[:NEAREST])}" if kinds else "")


def _concrete(kind: type) -> Iterator[type]:
    children: list[type] = kind.__subclasses__()
    for each in children:
        if not inspect.isabstract(each) and not each.__name__.startswith("_"):
            yield each
        yield from _concrete(each)


NUMBERS = (int, float)
REAL = "biuf"  # kinds of NumPy's types: of booleans, integers and real numbers
ENTRIES: Mapping[Any, str] = {int: " integers", float: " numbers", str: " strings"}
LONG: dict[str, Any] = {"ge": -(2**63), "lt": 2**63}  # range of torch's integers and seeds
BOUNDS = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt", MinLen: "min_length"}
SEQUENCES = (collections.abc.Sequence, tuple, list, collections.abc.Collection, collections.abc.Iterable)
NOT_SEQUENCES = (str, bytes, bytearray, collections.abc.Mapping, torch.Tensor, np.ndarray)
MAPPINGS = (collections.abc.Mapping, dict)
