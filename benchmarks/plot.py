"""A plot of a table that grows, as SVG: both axes logarithmic, one line a series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.words import number

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT: Final = 70
_RIGHT: Final = 20
_TOP: Final = 20
_BOTTOM: Final = 55
_LEGEND: Final = 18
_COLOURS: Final = ("#0b6e4f", "#c1440e", "#3a5a98", "#8a6d00", "#7b3f8c", "#555555", "#b0306a", "#2a7f9e")

Line = Mapping[float, float]


def plot(lines: Mapping[str, Line], *, x: str, y: str) -> str:
    """The SVG of these lines, each a value over each size. Values that are not above 0 are left out."""
    points = [(at, value) for line in lines.values() for at, value in line.items() if at > 0 and value > 0]
    if not points:
        raise ValueError(f"nothing was measured of {y} over {x}: there is nothing to draw")
    across = _Axis([at for at, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([value for _, value in points], _HEIGHT - _BOTTOM, _TOP)
    height = _HEIGHT + _LEGEND * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for mark in across.marks():
        at = across.place(mark)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(_text(at, _HEIGHT - _BOTTOM + 16, f"{mark:,.0f}", "middle"))
    for mark in up.marks():
        at = up.place(mark)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, at + 4, number(mark), "end"))
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - _BOTTOM + 36, x, "middle"))
    parts.append(_text(_LEFT - 60, _TOP - 6, y, "start"))
    for place, (name, line) in enumerate(lines.items()):
        parts += _drawn(name, line, across, up, _COLOURS[place % len(_COLOURS)], _HEIGHT + _LEGEND * place)
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self._low = math.floor(math.log10(min(values)) + 1e-9)
        self._high = max(math.ceil(math.log10(max(values)) - 1e-9), self._low + 1)
        self._begin, self._end = begin, end

    def marks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]

    def place(self, value: float) -> float:
        part = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + part * (self._end - self._begin)


def _drawn(name: str, line: Line, across: _Axis, up: _Axis, colour: str, legend: float) -> list[str]:
    places = [(across.place(at), up.place(value)) for at, value in sorted(line.items()) if at > 0 and value > 0]
    path = "L".join(f"{left:.1f} {top:.1f}" for left, top in places)
    return [
        *([f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'] if places else []),
        *(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>' for left, top in places),
        f'<path d="M{_LEFT} {legend:.1f}h24" stroke="{colour}" stroke-width="3"/>',
        _text(_LEFT + 32, legend + 4, name, "start"),
    ]


def _text(left: float, top: float, words: str, anchor: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}" fill="#222">{escape(words)}</text>'
