"""MathML as one line of text."""

from __future__ import annotations

from lxml import etree

MAX_DEPTH = 120

_MATH = {
    "mfrac": "({})/({})",
    "msup": "{}^{}",
    "msub": "{}_{}",
    "msubsup": "{}_{}^{}",
    "munder": "{}_{}",
    "mover": "{}^{}",
    "munderover": "{}_{}^{}",
    "msqrt": "sqrt({})",
    "mroot": "root({}, {})",
}


def math_text(element: etree._Element, depth: int = 0) -> str:
    """A MathML tree as one line: `a/b`, `x^2`, `sqrt(n)`."""
    name = _name(element)
    children = [child for child in element if _name(child) != "annotation"]
    if not children or depth > MAX_DEPTH:
        return " ".join(" ".join(map(str, element.itertext())).split())
    parts = [math_text(child, depth + 1) for child in children]
    form = _MATH.get(name)
    if form and form.count("{}") == 1:
        return form.format("".join(parts))
    if form and form.count("{}") == len(parts):
        return form.format(*(f"({p})" if len(p) > 1 and "^" in form else p for p in parts))
    return " ".join(part for part in parts if part)


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
