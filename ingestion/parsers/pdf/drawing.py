"""Drawn lines: the result of path operators, as rules of a table."""

from __future__ import annotations

from typing import Any, NamedTuple

Matrix = tuple[float, float, float, float, float, float]

THIN_RULE = 3.0  # points: a filled rectangle no thicker than this is a line


class Rule(NamedTuple):
    """A drawn straight line, in page coordinates before rotation: x0 <= x1, y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float


class Path:
    """The current path (ISO 32000-1, 8.5): straight lines and rectangles, until it is painted."""

    def __init__(self) -> None:
        self.parts: list[Rule] = []
        self.point = (0.0, 0.0)

    def move(self, operands: list[Any], ctm: Matrix) -> None:
        self.point = _on_page(ctm, *operands[:2])

    def line(self, operands: list[Any], ctm: Matrix) -> None:
        start, self.point = self.point, _on_page(ctm, *operands[:2])
        self.parts.append(_rule(start, self.point))

    def rectangle(self, operands: list[Any], ctm: Matrix) -> None:
        x, y, width, height = (float(v) for v in operands[:4])
        corner = _on_page(ctm, x, y)
        self.parts.append(_rule(corner, _on_page(ctm, x + width, y + height)))
        self.point = corner

    def stroked(self) -> list[Rule]:
        """End the path; return the lines that a stroke draws."""
        return [edge for rule in self.drop() for edge in _edges(rule)]

    def filled(self) -> list[Rule]:
        """End the path; return the filled shapes thin enough to be lines."""
        return [rule for rule in self.drop() if _is_thin(rule)]

    def drop(self) -> list[Rule]:
        parts, self.parts = self.parts, []
        return parts


def _on_page(ctm: Matrix, x: Any, y: Any) -> tuple[float, float]:
    a, b, c, d, e, f = ctm
    x, y = float(x), float(y)
    return x * a + y * c + e, x * b + y * d + f


def _rule(start: tuple[float, float], end: tuple[float, float]) -> Rule:
    (x0, y0), (x1, y1) = start, end
    return Rule(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _is_thin(rule: Rule) -> bool:
    return min(rule.x1 - rule.x0, rule.y1 - rule.y0) <= THIN_RULE


def _edges(rule: Rule) -> list[Rule]:
    """The four sides of a stroked rectangle, or the line itself."""
    if _is_thin(rule):
        return [rule]
    x0, y0, x1, y1 = rule
    return [Rule(x0, y0, x1, y0), Rule(x0, y1, x1, y1), Rule(x0, y0, x0, y1), Rule(x1, y0, x1, y1)]
