"""Colours, dashes and markers of rules, the same in every figure, report and study.

A family of rules has a dash, and a rule in it a colour; the true gradient is black and solid. Rules that are not in the
table, and names that are no rules, take the first look that is free in their figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["COLOURS", "CONTROLS", "FAMILIES", "Look", "looks_of", "rule_of_label"]

# Okabe and Ito (2008), Color Universal Design, and a brown: distinct with every kind of colour vision. Dashes and
# markers repeat the distinction for print without colour. Grey is for controls.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#7A4A1F")
BLACK, BLUE, RED, GREEN, PINK, ORANGE, SKY, GREY, BROWN = range(len(COLOURS))
Dash = str | tuple[int, tuple[float, ...]]
SOLID, DASHED, DOTTED, DASH_DOT, LONG, DASH_DOT_DOT, SPARSE, LONG_DOT, LONG_SHORT, SHORT = DASHES = (
    "solid",
    (0, (5, 1.5)),
    (0, (1.5, 1)),
    (0, (5, 1.5, 1.5, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 1.5)),
    (0, (9, 1.5, 1.5, 1.5)),
    (0, (9, 1.5, 4, 1.5)),
    (0, (2.5, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

# Families: their dash, and the colour of every rule.
FAMILIES: dict[str, tuple[Dash, dict[str, int]]] = {
    "true gradient and truncations": (SOLID, {
        "bptt": BLACK, "backprop": BLACK, "rtrl": ORANGE, "tbptt": BLUE, "tbptt_future": SKY, "tbptt_rate_cut": GREEN,
        "dni": PINK,
    }),
    "eligibility traces": (DASHED, {
        "eprop": BLUE, "rflo": RED, "three_factor": GREEN, "eprop_random": SKY, "eprop_adaptive": PINK, "snap1": ORANGE,
        "snap2": BROWN, "homotopy": BLACK,
    }),
    "hops and cell types": (DASH_DOT, {
        "mdgl": PINK, "modprop": ORANGE, "nl_mdgl": RED, "mdgl_exact": GREEN, "mdgl_online": SKY, "mdgl_one_hop": BLUE,
        "one_hop": BLACK, "two_hops": BROWN,
    }),
    "online and spiking": (LONG, {
        "ottt": BLUE, "ostl": GREEN, "superspike": RED, "decolle": ORANGE, "weight_mirror": PINK, "force": SKY,
    }),
    "feedback through fixed weights": (DOTTED, {
        "dfa": BLUE, "feedback_alignment": SKY, "sign_symmetric": ORANGE, "dfa_sparse": RED, "dfa_shared": GREEN,
        "readout_only": GREY,
    }),
    "sparse and diffusing feedback": (LONG_SHORT, {"diffusion": RED, "eprop_sparse": ORANGE, "global_broadcast": PINK}),
    "decorrelation": (DASH_DOT_DOT, {
        "ebd": RED, "sbd": GREEN, "sbd_expansion": ORANGE, "sbd_filtered": SKY, "sbd_lagged": BLUE,
    }),
    "vectors and two streams": (SPARSE, {
        "gevb": PINK, "error_diffusion": ORANGE, "gevb_local": BLUE, "gevb_network": GREEN, "kaneko": RED,
        "error_diffusion_online": SKY,
    }),
    "stochastic approximations": (LONG_DOT, {"uoro": PINK, "kf_rtrl": GREEN, "r_kf_rtrl": SKY, "kernl": ORANGE}),
    "perturbation and reward": (SHORT, {
        "node_perturbation": GREEN, "weight_perturbation": BLUE, "miconi": RED, "reward_eprop": PINK,
    }),
}  # fmt: skip
# Names of rules in figures of papers and studies.
ALIASES = {
    "bp": "backprop", "fa": "feedback_alignment", "ed": "error_diffusion", "e_prop": "eprop",
    "sparse_e_prop": "eprop_sparse", "dense_random": "eprop_random", "sbd_+_expansion": "sbd_expansion",
    "kf": "kf_rtrl", "snap_1": "snap1", "snap_2": "snap2", "symmetric": "eprop", "e_prop_online": "eprop",
    "own_weights": "eprop", "random_weights": "eprop_random", "decorrelation": "sbd", "diffusion_in_time": "diffusion",
    "diffusion_of_random_feedback": "diffusion",
}  # fmt: skip

CONTROLS = ("readout_only",)  # no learning of the recurrent or hidden weights


class Look(NamedTuple):
    """Colour, dash and marker of a label."""

    colour: str
    dash: Dash
    marker: str


OF_RULES = {
    rule: Look(COLOURS[colour], dash, MARKERS[colour if colour == BROWN else (colour + place) % BROWN])
    for place, (dash, members) in enumerate(FAMILIES.values())
    for rule, colour in members.items()
}


def rule_of_label(label: str) -> str | None:
    """Return the first rule that a label names between commas or in parentheses, if any.

    >>> [rule_of_label(each) for each in ("e-prop", "BPTT, step x 1/5", "all paths (RTRL)", "w_rec")]
    ['eprop', 'bptt', 'rtrl', None]
    """
    parts = (re.sub(r"[\s-]+", "_", part.strip().lower()) for part in re.split("[,()]", label))
    names = (ALIASES.get(part, part) for part in parts)
    return next((name for name in names if name in OF_RULES), None)


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """Return a look for every label, in their order; different for up to 90 labels.

    A label that names a rule has the colour of the rule: the first its dash too, further ones, such as the same rule in
    two networks, the next dash that is free. Other labels take the colours that are used least.

    >>> [look.colour for look in looks_of(["eprop", "bptt", "eprop, mlp"]).values()]
    ['#0072B2', '#000000', '#0072B2']
    """
    labels = list(dict.fromkeys(labels))
    rules = {label: rule_of_label(label) for label in labels}
    found: dict[str, Look] = {}
    # the rule itself before its variants, and both before names that may have any look
    for label in sorted(labels, key=lambda each: (rules[each] is None, "," in each)):
        rule = rules[label]
        if rule is None:
            used = [look.colour for look in found.values()]
            place = COLOURS.index(min(COLOURS, key=used.count))
            preferred = Look(COLOURS[place], DASHES[place], MARKERS[place])
        else:
            preferred = OF_RULES[rule]
        found[label] = _free(preferred, found.values())
    return {label: found[label] for label in labels}


def _free(preferred: Look, taken: Iterable[Look]) -> Look:
    """Return a look, with the next dash and marker that no other look of its colour has."""
    alike = [look for look in taken if look.colour == preferred.colour]

    def next_of(kinds: tuple[Dash, ...] | tuple[str, ...], kind: Dash, used: list[Dash]) -> Dash:
        start = kinds.index(kind)
        around = [*kinds[start:], *kinds[:start]]
        return next((each for each in around if each not in used), kind)

    dash = next_of(DASHES, preferred.dash, [look.dash for look in alike])
    marker = next_of(MARKERS, preferred.marker, [look.marker for look in alike])
    return Look(preferred.colour, dash, str(marker))
