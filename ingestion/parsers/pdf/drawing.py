"""Drawn lines: the paths of a page, as rules of a table."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterable, Iterator
from ctypes import c_int
from typing import NamedTuple

from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.pdfium import Matrix

IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
LINE_TO = 0  # the type of a straight segment
THIN_RULE = 3.0  # points: a filled rectangle no thicker than this is a line
MAX_RULES = 6_000  # on a page: more are a drawing
MAX_SEGMENTS = 1_000  # in a path: more are a drawing
MAX_FORM_DEPTH = 12

Point = tuple[float, float]


class Rule(NamedTuple):
    """A drawn straight line, in page coordinates before rotation: x0 <= x1, y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float


def find_rules(page: pdfium.Page) -> list[Rule]:
    """The straight lines on a page; none if it has more than a table can need."""
    rules: list[Rule] = []
    for rule in _rules(page.objects(), IDENTITY, 0):
        if len(rules) == MAX_RULES:
            return []
        rules.append(rule)
    return rules


def _rules(objects: list[int], placed: Matrix, depth: int) -> Iterator[Rule]:
    for drawn in objects:
        kind = pdfium.object_type(drawn)
        if kind == pdfium.PATH:
            yield from _path(drawn, placed)
        elif kind == pdfium.FORM and depth < MAX_FORM_DEPTH:
            own = multiply(pdfium.matrix_of(drawn), placed)
            yield from _rules(pdfium.objects_of(drawn), own, depth + 1)


def multiply(m: Matrix, n: Matrix) -> Matrix:
    return (
        m[0] * n[0] + m[1] * n[2],
        m[0] * n[1] + m[1] * n[3],
        m[2] * n[0] + m[3] * n[2],
        m[2] * n[1] + m[3] * n[3],
        m[4] * n[0] + m[5] * n[2] + n[4],
        m[4] * n[1] + m[5] * n[3] + n[5],
    )


def _path(path: int, placed: Matrix) -> Iterator[Rule]:
    count = pdfium.count_segments(path)
    filled, stroked = c_int(), c_int()
    pdfium.draw_mode(path, ctypes.addressof(filled), ctypes.addressof(stroked))
    if not (filled.value or stroked.value) or not 1 < count <= MAX_SEGMENTS:
        return
    matrix = multiply(pdfium.matrix_of(path), placed)
    for points in _outlines(path, count, matrix):
        yield from _edges(points) if stroked.value else _thin(points)


def _outlines(path: int, count: int, matrix: Matrix) -> Iterator[list[Point]]:
    """The corners of each part of the path, without the parts that are curved."""
    points: list[Point] = []
    a, b, c, d, e, f = matrix
    for kind, x, y in pdfium.corners_of(path, count):
        point = (x * a + y * c + e, x * b + y * d + f)
        if kind == LINE_TO:
            points.append(point)
            continue
        if len(points) > 1:
            yield points
        points = [point]
    if len(points) > 1:
        yield points


def _edges(points: list[Point]) -> list[Rule]:
    """The level and upright lines between the corners; one for a shape as thin as a line."""
    whole = _around(points)
    if _is_thin(whole):
        return [whole]
    lines = [_around(pair) for pair in itertools.pairwise(points)]
    return [line for line in lines if _is_thin(line)]


def _thin(points: list[Point]) -> list[Rule]:
    """The shape itself, if it is thin enough to be a line."""
    whole = _around(points)
    return [whole] if _is_thin(whole) else []


def _around(points: Iterable[Point]) -> Rule:
    xs, ys = zip(*points, strict=True)
    return Rule(min(xs), min(ys), max(xs), max(ys))


def _is_thin(rule: Rule) -> bool:
    return min(rule.x1 - rule.x0, rule.y1 - rule.y0) <= THIN_RULE
