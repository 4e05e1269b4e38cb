"""A handful of kills; `make test-kills` has a thousand, of sweeps on processes and on Dask as well."""

from __future__ import annotations

from tests.robustness.kills import campaign


def test_nothing_is_lost_or_done_twice_by_those_who_are_killed() -> None:
    found = campaign(8, {"train": 0.5, "two sweeps at once": 0.25, "cache": 0.25}, seed=1)
    assert found.effective >= 8
    assert (found.lost, found.doubled) == ([], [])
