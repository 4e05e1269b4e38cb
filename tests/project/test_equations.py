"""Equations of pages and docstrings: plain notation to LaTeX to MathML, code left alone."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tools import equations
from tools.equations import latex, runs

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("e_ij,t = leak e_ij,t-1", r"e_{ij, t} = \mathrm{leak}\,e_{ij, t-1}"),
        ("nu_t = alpha nu_{t+1}", r"\nu_{t} = \alpha\,\nu_{t+1}"),
        ("G_t = W_o^T score_t", r"G_{t} = W_{o}^{\mathsf{T}}\,\mathrm{score}_{t}"),
        ("R^-T", r"R^{-\mathsf{T}}"),
        ("L_T = 0", "L_{T} = 0"),
        ("G^l_t", "G_{t}^{l}"),
        ("psibar_t", r"{\bar{\psi}}_{t}"),
        ("W~ psi", r"{\tilde{W}}\,\psi"),
        ("gain_t (x) pre_t", r"\mathrm{gain}_{t} \otimes \mathrm{pre}_{t}"),
        ("R <- lam R", r"R \leftarrow \lambda\,R"),
        ("g'(z) * (R s)", r"g^{\prime}(z) \ast (R\,s)"),
        ("a . score / sqrt(N)", r"a \cdot \mathrm{score} / \sqrt{N}"),
        ("c = 2.5e-3", r"c = 2.5\times 10^{-3}"),
        ("p0 J_t", r"p_{0}\,J_{t}"),
        ("post_i,t pre_j,t", r"\mathrm{post}_{i, t}\,\mathrm{pre}_{j, t}"),
    ],
)
def test_notation_becomes_latex(plain: str, expected: str) -> None:
    assert latex(plain) == expected


@pytest.mark.parametrize("code", ["net.forward()", "--rule eprop", '"eprop"', "a == b", "project_", "x ** 2", "f`x`"])
def test_code_is_no_mathematics(code: str) -> None:
    assert runs(code) == []
    assert latex(code) is None


def test_the_examples_of_the_tools_hold() -> None:
    assert doctest.testmod(equations).failed == 0
    site = pytest.importorskip("tools.site", reason="`make docs` installs Sphinx")
    assert doctest.testmod(site).failed == 0


def test_words_stay_words_beside_mathematics() -> None:
    assert runs("eprop_random") == [(False, "eprop_random")]
    assert runs("the readout's own weights") == [(False, "the readout's own weights")]
    assert runs("F drawn once from N(0, 1/N) and fixed") == [
        (True, "F"),
        (False, " drawn once from "),
        (True, "N(0, 1/N)"),
        (False, " and fixed"),
    ]


def test_words_and_symbols_are_all_kept() -> None:
    """LaTeX commands aside, every letter of a line is in its pieces, in order of words."""
    for page in PAGES:
        for line in re.findall(r"^ {4}(\S.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            words = re.findall(
                r"[A-Za-z]{4,}", "|".join("" if mathematics else text for mathematics, text in runs(line))
            )
            assert [word for word in words if word not in line] == [], line


def test_every_equation_of_the_pages_is_mathml() -> None:
    docutils = pytest.importorskip("docutils.utils.math.latex2mathml", reason="`make docs` installs docutils")
    counted = 0
    for page in PAGES:
        for line in re.findall(r"^ {4}(\S.*)$|`([^`\n]+)`", page.read_text(encoding="utf-8"), re.MULTILINE):
            for mathematics, text in runs(line[0] or line[1]):
                if mathematics:
                    assert docutils.tex2mathml(text).startswith("<math"), line
                    counted += 1
    assert counted > 300
