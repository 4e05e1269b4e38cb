"""Arguments are taken as their annotations say, and refused in one line that names them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch

import tca
from tca.nets import LeakyLayer, LeakyRNN, StackedRNN
from tca.utils.checks import Count, Filled, Measured, Positive, Seed, check, checked
from tests.support.arguments import public


@pytest.mark.parametrize(
    ("value", "kind", "taken"),
    [
        (np.int64(3), Count, 3),
        (np.float32(0.5), Positive, 0.5),
        (np.bool_(True), bool, True),
        (3, float, 3),
        ([np.int64(1), 2], Sequence[int], (1, 2)),
        (range(2), Sequence[int], (0, 1)),
        (None, Count | None, None),
        ({"a": 1}, Mapping[str, int], {"a": 1}),
    ],
)
def test_what_is_taken(value: Any, kind: Any, taken: Any) -> None:
    """NumPy's scalars are numbers, sequences become tuples, and an integer stays one where a number is meant."""
    try:
        found = check("x", value, kind)
    except (TypeError, ValueError) as error:
        pytest.fail(str(error))
    assert found == taken
    assert type(found) is type(taken)


@pytest.mark.parametrize(
    ("value", "kind", "error", "message"),
    [
        (True, int, TypeError, "x must be an integer, got True"),
        (torch.tensor(3), int, TypeError, "x must be an integer, got a tensor of torch.int64 and shape ()"),
        (2**63, Seed, ValueError, "x must be below 9223372036854775808, got 9223372036854775808"),
        (0, Count, ValueError, "x must be at least 1, got 0"),
        (-1, Positive | None, ValueError, "x must be greater than 0, got -1"),
        ("1", Positive | None, TypeError, "x must be a number or None, got '1'"),
        (float("nan"), float, ValueError, "x must be finite, got nan"),
        (float("inf"), Measured, ValueError, "x must be a finite number or NaN, got inf"),
        ("abc", Sequence[str], TypeError, "x must be a list or tuple of strings, got 'abc'"),
        ([], Annotated[Sequence[int], Filled], ValueError, "x must hold at least 1, got ()"),
        (["a"], float | tuple[float, ...], TypeError, "x[0] must be a number, got 'a'"),
        ([1, [2]], Sequence[int], TypeError, "x[1] must be an integer, got [2]"),
        ({"a": {"b": "c"}}, Mapping[str, Mapping[str, int]], TypeError, "x['a']['b'] must be an integer, got 'c'"),
        ({1: 1}, Mapping[str, int], TypeError, "a key of x must be a string, got 1"),
        ("tahn", Literal["tanh", "relu"], ValueError, "unknown x 'tahn', did you mean 'tanh'? Allowed: relu, tanh"),
        (torch.ones(1) * 1j, torch.Tensor, TypeError, "x must be a real tensor, got a tensor of torch.complex64"),
    ],
)
def test_what_is_refused(value: Any, kind: Any, error: type[Exception], message: str) -> None:
    """The entry at fault, what came and what is allowed."""
    with pytest.raises(error) as refused:
        check("x", value, kind)
    assert str(refused.value).startswith(message)


def test_a_generator_makes_no_empty_stack() -> None:
    """Layers that are drawn from a generator are refused, where they made a stack without populations."""
    with pytest.raises(TypeError, match="layers must be a list or tuple, got <generator"):
        StackedRNN(2, (LeakyLayer(size) for size in (3, 4)), 1)  # type: ignore[arg-type]


def test_public_callables_are_checked() -> None:
    """Every one that takes something, but for batches, which check themselves."""
    bare = [
        name
        for name, call in public().items()
        if inspect.signature(call).parameters
        and not hasattr(call.__init__ if isinstance(call, type) else call, "__wrapped__")
    ]
    assert bare == ["tca.Batch"]


def test_nothing_is_checked_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update of a learner and the batch that it is given check no annotation."""
    learner = tca.Learner(LeakyRNN(2, 3, 1), tca.RULES["eprop"])
    parts = torch.ones(4, 2, 2), torch.ones(4, 2, 1), torch.ones(4, 2)
    loss = tca.losses.MSE()
    learner.backward(tca.Batch(*parts, loss))
    monkeypatch.setattr("tca.utils.checks.check", lambda *_: pytest.fail("checked"))
    learner.backward(tca.Batch(*parts, loss))


def test_long_tables_offer_the_nearest_five() -> None:
    """A missing key of a table of names is a bad argument and a missing key, and lists few names."""
    with pytest.raises(KeyError) as missing:
        tca.RULES["epropp"]
    text = str(missing.value)
    assert isinstance(missing.value, ValueError)
    assert text.startswith("unknown rule 'epropp', did you mean 'eprop'? Allowed: eprop, ")
    assert text.endswith(f" and {len(tca.RULES) - 5} more")
    assert text.count(",") == 5
    assert "epropp" not in tca.RULES
    assert tca.RULES.get("epropp") is None


def test_a_call_that_does_not_fit_is_refused_as_python_does() -> None:
    """A missing or unknown argument is named with the function."""

    @checked
    def area(side: Positive) -> float:
        return side * side

    with pytest.raises(TypeError, match=r"area\(\) missing 1 required positional argument: 'side'"):
        area()  # type: ignore[call-arg]
