"""A rule looks the same in every figure, and different from the others."""

from __future__ import annotations

import pytest

from analysis.figures.looks import COLOURS, CONTROLS, FAMILIES, GREY, OF_RULES, looks_of, rule_of_label
from tca.rules import RULES


def test_rules_of_the_table_exist_and_look_different() -> None:
    assert set(OF_RULES) - {"readout_only"} <= set(RULES)
    looks = {rule: look for rule, look in OF_RULES.items() if rule != "backprop"}  # it is bptt within a step
    assert OF_RULES["backprop"] == OF_RULES["bptt"]
    assert len({(look.colour, look.dash) for look in looks.values()}) == len(looks)
    for dash, members in FAMILIES.values():
        assert {OF_RULES[rule].dash for rule in members} == {dash}
        assert len({OF_RULES[rule].marker for rule in members}) == len({*members} - {"backprop"})
    assert sum(len(members) for _, members in FAMILIES.values()) == len(OF_RULES)  # no rule in two families


def test_grey_is_for_controls_alone() -> None:
    assert {rule for rule, look in OF_RULES.items() if look.colour == COLOURS[GREY]} == set(CONTROLS)


@pytest.mark.parametrize("others", [[], ["bptt", "rflo", "w_rec"], ["EBD, fast", "sbd", "eprop, mlp"]])
def test_a_rule_looks_the_same_beside_any_others(others: list[str]) -> None:
    for place in range(len(others) + 1):
        labels = [*others[:place], "eprop", *others[place:]]
        found = looks_of(labels)
        assert list(found) == labels
        assert found["eprop"] == OF_RULES["eprop"]
        assert len({(look.colour, look.dash) for look in found.values()}) == len(labels)


def test_names_of_papers_and_variants_have_the_colour_of_the_rule() -> None:
    assert [rule_of_label(each) for each in ("three-factor", "BP", "SBD + expansion", "readout only", "all")] == [
        "three_factor", "backprop", "sbd_expansion", "readout_only", None
    ]  # fmt: skip
    assert [rule_of_label(each) for each in ("leaky, BPTT", "no path (e-prop)", "mean (n = 3), fast")] == [
        "bptt", "eprop", None
    ]  # fmt: skip
    found = looks_of(["EBD, fast", "EBD, slow", "ebd"])
    assert found["ebd"] == OF_RULES["ebd"]
    assert {look.colour for look in found.values()} == {OF_RULES["ebd"].colour}
    assert len({look.dash for look in found.values()}) == len({look.marker for look in found.values()}) == 3


def test_many_names_that_are_no_rules_differ() -> None:
    found = list(looks_of(f"name {place}" for place in range(90)).values())
    assert len({(look.colour, look.dash) for look in found}) == 90
    assert len({look.colour for look in found[:9]}) == len({look.marker for look in found[:9]}) == 9
