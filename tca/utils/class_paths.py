"""Objects by import path, such as ``my_module.MySignal`` or ``my_module:mine``, imported only where that is allowed."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from tca.utils.names import shorten

__all__ = ["UntrustedNameError", "canonical_path", "check_concrete", "import_path", "is_import_path", "resolved"]

OWN = ("tca", "tasks", "analysis")


class UntrustedNameError(ValueError):
    """A record names a module that is not imported, and the reader did not allow to import it."""


def is_import_path(name: object) -> bool:
    """Return whether a name is an import path instead of a short name.

    >>> is_import_path("my_module.MySignal"), is_import_path("my_module:mine"), is_import_path("Random")
    (True, True, False)
    """
    return isinstance(name, str) and bool(set(".:") & set(name))


def import_path(kind: type) -> str:
    """Return the import path of a class; of a class within a function its name alone.

    A class of the main program has the path by which another process can import it: that of its file or module.

    Args:
        kind: The class.

    >>> from fractions import Fraction
    >>> import_path(Fraction), import_path(UntrustedNameError)
    ('fractions.Fraction', 'tca.utils.class_paths.UntrustedNameError')
    """
    if "<locals>" in kind.__qualname__:
        return kind.__name__
    return f"{_module_name(kind.__module__)}{':' if '.' in kind.__qualname__ else '.'}{kind.__qualname__}"


def canonical_path(path: Any) -> str:
    """Return the import path of a class or function, or a path with a colon before the name.

    Args:
        path: The class or function, or its path.

    Raises:
        ValueError: Other processes cannot import it, since it is defined within a function.

    >>> from fractions import Fraction
    >>> canonical_path("my_module.MyCell"), canonical_path("my_module:MyCell"), canonical_path(Fraction)
    ('my_module:MyCell', 'my_module:MyCell', 'fractions:Fraction')
    """
    if not isinstance(path, str):
        given, path = path, import_path(path)
        if not is_import_path(path) or "<" in path:
            raise ValueError(f"{given!r} must be defined at the top of a module, since a record names its import path")
    if ":" in path:
        return str(path)
    module, _, name = path.rpartition(".")
    return f"{module}:{name}"


def check_concrete(kind: type, what: str) -> None:
    """Raise if a class cannot be instantiated since methods are missing.

    Args:
        kind: The class.
        what: The argument that names it, for the message.

    Raises:
        ValueError: Abstract methods are missing.

    >>> from collections.abc import Sized
    >>> check_concrete(type("Bag", (Sized,), {}), "loss")
    Traceback (most recent call last):
    ValueError: loss must be a class with all methods, got 'Bag', which lacks __len__
    """
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(getattr(kind, "__abstractmethods__", ())))
        raise ValueError(f"{what} must be a class with all methods, got {kind.__name__!r}, which lacks {missing}")


def resolved(path: str, what: str, *, trusted: bool) -> Any:
    """Return the object at an import path.

    Args:
        path: ``module.name`` or ``module:name``, where ``name`` may have dots after a colon.
        what: The kind of object, for the message.
        trusted: Whether its module may be imported; modules of the library and modules imported before always may.

    Raises:
        UntrustedNameError: The module is not imported yet and may not be.
        ValueError: There is no such module or name, or importing the module fails.

    >>> resolved("pathlib:Path.home", "function", trusted=True).__name__
    'home'
    >>> resolved("antigravity.Hidden", "class", trusted=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tca.utils.class_paths.UntrustedNameError: class 'antigravity.Hidden' is not imported, as a record names it: ...
    """
    module, sign, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not module or not sign or not all(each.isidentifier() for each in (*module.split("."), *name.split("."))):
        raise ValueError(f"{what} must be a name or an import path such as my_module.MyClass, got {shorten(path)}")
    found = _loaded(module)
    if found is None:
        if not trusted and module.partition(".")[0] not in OWN:
            raise UntrustedNameError(
                f"{what} {path!r} is not imported, as a record names it: import its module first, or allow it with "
                "--trust (trusted=True in Python)"
            )
        found = _imported(module, what, path)
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{what} {path!r} does not exist: {module} has no {name!r}{hint}")
        found = getattr(found, part)
    return found


def _loaded(module: str) -> Any:
    """Return an imported module by its path, the main program by that of `import_path`, else ``None``."""
    if module in sys.modules:
        return sys.modules[module]
    mains = (each for each in ("__main__", "__mp_main__") if each in sys.modules)
    return next((sys.modules[each] for each in mains if _module_name(each) == module), None)


def _imported(module: str, what: str, path: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:  # a command finds the modules of the present folder
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{what} {path!r} cannot be imported: {error}") from error
        raise ValueError(f"{what} {path!r} does not exist: there is no module {error.name!r}") from error
    except (Exception, SystemExit) as error:  # code of the user may raise anything
        raise ValueError(f"{what} {path!r} cannot be imported: {type(error).__name__}: {error}") from error


def _module_name(module: str) -> str:
    """Return the name by which another process can import a module."""
    if module not in ("__main__", "__mp_main__"):
        return module
    main = sys.modules[module]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None and spec.name not in ("__main__", "__mp_main__"):
        return str(spec.name).removesuffix(".__main__")
    return Path(file).stem if file else module
