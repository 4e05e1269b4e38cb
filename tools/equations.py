"""Translate the plain notation of equations in pages and docstrings to LaTeX.

The notation: ``e_ij,t`` has the subscript ij,t and ``W_o^T`` a superscript, ``zbar`` is z with a bar, ``W~`` with a
tilde, ``(x)`` the outer product, ``<-`` an assignment, ``...`` dots; Greek letters have their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Run", "latex", "runs"]

Run = tuple[bool, str]
"""Whether a piece of a line is mathematics, and its LaTeX, or its text."""

_LETTERS = """
alpha beta gamma delta zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi psi omega
Gamma Delta Theta Lambda Pi Sigma Phi Psi Omega"""
_WORDS = """
leak gain slope score err error root pre rate drive target prediction loss thr decay mean vec diag sign sig softmax relu
Box Prop Lap reward signal scale shape width type exists mod Re eig"""
GREEK = {name: rf"\{name}" for name in _LETTERS.split()}
GREEK |= {"eps": r"\varepsilon", "lam": r"\lambda", "Om": r"\Omega", "Gam": r"\Gamma"}
FUNCTIONS = {name: rf"\{name}" for name in ("exp", "log", "tanh", "max", "min", "sin", "cos", "sum", "prod")}
FUNCTIONS |= {"grad": r"\nabla"}
WORDS = frozenset(_WORDS.split())
PROSE = {"an", "as", "at", "be", "by", "do", "if", "in", "is", "it", "no", "of", "on", "or", "so", "to", "up", "we"}
SUBSCRIPT = r"(?:[A-Za-z0-9~]+(?:\([a-z]\))?)(?:,[A-Za-z]\w*(?:\([a-z]\))?)*(?:[+-](?:\d+|[a-z])(?![\w.]))?"
TOKEN = re.compile(
    rf"""(?P<space>\s+)
    | (?P<outer>\(x\)) | (?P<sign><->|<-|->|>=|<=|!=|\.\.\.|<<|>>)
    | (?P<sub>_(?:\{{[^{{}}]*\}}|{SUBSCRIPT}))
    | (?P<sup>\^(?:\{{[^{{}}]*\}}|-?[A-Za-z0-9]+|\([^()]*\))) | (?P<prime>'+)
    | (?P<number>\d+(?:[.,_]\d+)*(?:e-?\d+)?%?)
    | (?P<word>[A-Za-zÄÖÜäöüßé]+(?:'s\b|(?:-[A-Za-z]{{2,}})*\d?~?))
    | (?P<other>.)""",
    re.VERBOSE,
)
INDICES = re.compile(r"_(?:\{.*\}|[a-zA-Z]{1,2}(?:,[a-z])*(?:[+-]\d)?)")
SIGNS = {
    "<-": r"\leftarrow", "->": r"\to", "<->": r"\leftrightarrow", ">=": r"\geq", "<=": r"\leq", "!=": r"\neq",
    "...": r"\ldots", "<<": r"\ll", ">>": r"\gg", "*": r"\ast", "~": r"\sim", "%": r"\%", "{": r"\{", "}": r"\}",
}  # fmt: skip
RELATION = r"\\(?:leftarrow|to|leq|geq|neq|sim|ast|ll|gg|cdot|otimes|ldots|times)(?![a-z])"
REFUSED = re.compile(r"""["#$&\\`@]|==|\w\(\)|\w\.\w+\(|--\w|<\w+>|__|_(?![\w{])|\^_|\*\*""")  # code


def runs(text: str) -> list[Run]:
    r"""Split a line of plain notation into mathematics and words.

    Args:
        text: The line.

    Returns:
        Pieces in order; none if the line is code.

    >>> runs("G_t = W_o^T score_t of the step")
    [(True, 'G_{t} = W_{o}^{\\mathsf{T}}\\,\\mathrm{score}_{t}'), (False, ' of the step')]
    >>> runs("python -m tools.pages()")
    []
    """
    if REFUSED.search(text):
        return []
    pieces: list[tuple[bool, str, str]] = []  # mathematics, output, kind
    tokens = [(str(found.lastgroup), found[0]) for found in TOKEN.finditer(text)]
    for at, (kind, token) in enumerate(tokens):
        if kind in ("sub", "sup", "prime"):
            continue
        following = [each for each in tokens[at + 1 : at + 3] if each[0] == "word"]
        article = token == "a" and following and not _symbol(following[0][1])
        if kind == "word" and (article or not (_symbol(token) or _indexed(tokens[at + 1 :]))):
            pieces.append((False, token + "".join(_until_base(tokens[at + 1 :])), kind))
        else:
            pieces.append((True, _token(kind, token) + _scripts(tokens[at + 1 :]), kind))
    return _joined(pieces)


def latex(text: str) -> str | None:
    r"""Return the LaTeX of an expression, ``None`` where it has words or code.

    Args:
        text: Expression in plain notation.

    >>> latex("zbar_t = k zbar_{t-1} + (1 - k) z_t")
    '{\\bar{z}}_{t} = k\\,{\\bar{z}}_{t-1} + (1 - k)\\,z_{t}'
    >>> latex("sqrt(N)")
    '\\sqrt{N}'
    >>> latex("the readout")
    """
    found = runs(text)
    return found[0][1] if [each for each, _ in found] == [True] else None


def _symbol(word: str) -> bool:
    """Return whether a word is a symbol, a function or one of the words of equations."""
    bare = word.rstrip("~0123456789")
    bare = bare.removesuffix("bar") or bare
    known = {*GREEK, *FUNCTIONS, *WORDS, "sqrt", "dloss"}
    return bare in known or (len(bare) <= 2 and bare not in PROSE)


def _token(kind: str, token: str) -> str:
    if kind == "outer":
        return r"\otimes"
    if kind == "number":
        return _number(token.replace("_", ""))
    if kind == "word":
        return _word(token)
    return SIGNS.get(token, token)


def _number(token: str) -> str:
    mantissa, e, exponent = token.rstrip("%").partition("e")
    percent = r"\%" if token.endswith("%") else ""
    if not e:
        return mantissa + percent
    return (rf"{mantissa}\times " if mantissa != "1" else "") + f"10^{{{exponent}}}" + percent


def _word(word: str) -> str:
    """Return the LaTeX of a symbol: Greek, accents, functions, roman words, letters."""
    if word.endswith("~"):
        return rf"{{\tilde{{{_word(word[:-1])}}}}}"
    if len(word) > 3 and word.endswith("bar"):
        return rf"{{\bar{{{_word(word[:-3])}}}}}"
    if word in GREEK or word in FUNCTIONS:
        return GREEK.get(word) or FUNCTIONS[word]
    if word[-1].isdigit() and len(word) > 1:
        return f"{_word(word[:-1])}_{{{word[-1]}}}"
    if len(word) == 1:
        return word
    if word == "dloss" or (len(word) == 2 and word[0] == "d"):
        return rf"\mathrm{{d}}{_word(word[1:])}"
    return rf"\mathrm{{{word}}}"


def _indexed(after: list[tuple[str, str]]) -> bool:
    """Return whether a word has indices, such as `post_i,t`, and not a second part, such as `eprop_random`."""
    return bool(after) and after[0][0] == "sub" and bool(INDICES.fullmatch(after[0][1]))


def _until_base(after: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the scripts of a word that is no symbol, such as the second part of a name, as they are written."""
    for kind, token in after:
        if kind not in ("sub", "sup", "prime"):
            return
        yield token


def _scripts(after: list[tuple[str, str]]) -> str:
    """Return the subscript and the superscript of the tokens that follow a base."""
    low, high = [], []
    for kind, token in after:
        if kind == "sub":
            low.append(_script(token[1:]))
        elif kind == "sup":
            high.append(r"\mathsf{T}".join(token[1:].split("T")) if token[1:] in ("T", "-T") else _script(token[1:]))
        elif kind == "prime":
            high.append(r"\prime" * len(token))
        else:
            break
    thin = r"\,"
    return "".join(f"{mark}{{{thin.join(each)}}}" for mark, each in (("_", low), ("^", high)) if each)


def _script(text: str) -> str:
    inner = text[1:-1] if text[0] + text[-1] in ("{}", "()") else text
    found = [(str(each.lastgroup), each[0]) for each in TOKEN.finditer(inner)]
    pieces = []
    for at, (kind, token) in enumerate(found):
        if kind in ("sub", "sup", "prime"):
            continue
        letters = kind == "word" and token.isalpha() and token.islower() and len(token) <= 3
        plain = letters and token not in GREEK and token not in WORDS
        pieces.append((token if plain else _token(kind, token)) + _scripts(found[at + 1 :]))
    return "".join(f" {each}" if at and each[0].isalpha() else each for at, each in enumerate(pieces))


def _joined(pieces: list[tuple[bool, str, str]]) -> list[Run]:
    """Join neighbours of one kind, thin spaces between factors, square roots around their brackets."""
    found: list[list[object]] = []
    for mathematics, out, kind in pieces:
        if kind == "space":
            mathematics, out = bool(found and found[-1][0]), " "
        if found and found[-1][0] == mathematics:
            before = str(found[-1][1])
            apart = mathematics and out[:1].isalpha() and re.search(r"\\[a-zA-Z]+$", before)
            found[-1][1] = before + (" " if apart else "") + out
        else:
            found.append([mathematics, out])
    result: list[Run] = []
    for at, (mathematics, out) in enumerate(found):
        text = str(out)
        punctuation = not text.strip(" .,;:=()[]") and len(found) > 1
        if not mathematics or punctuation:
            result.append((False, text))
        else:
            space = " " if text.endswith(" ") and at + 1 < len(found) else ""
            result += [(True, _spaced(text.strip()))] + ([(False, space)] if space else [])
    return _merged(result)


def _merged(found: list[Run]) -> list[Run]:
    merged: list[Run] = []
    for mathematics, text in found:
        if merged and not mathematics and not merged[-1][0]:
            merged[-1] = (False, merged[-1][1] + text)
        else:
            merged.append((mathematics, text))
    return merged


def _spaced(text: str) -> str:
    """Turn sqrt(...) into a root, a lone dot into a product, and blanks between factors into thin spaces."""
    text = re.sub(r"\\mathrm\{sqrt\}\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<=[\w})\]]) \. (?=[\\\w({\[])", r" \\cdot ", text)
    text = re.sub(rf"(?<=[}}\w)\]|]) (?=[\\\w({{\[|])(?!{RELATION})", r"\\,", text)
    return re.sub(rf"({RELATION})\\,", r"\1 ", text)
