"""Charts as SVG text: lines, points and error bars on two axes. No script, no inline style, no plotting library.

Colours come from the classes of `CHART_CSS`, which the page has in its own sheet and `standalone` puts into the file; a
name in the legend and a marker's shape tell lines apart without colour. Left out: what is drawn (`curves`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

# Okabe and Ito's colour-blind-safe palette; tone 0 is the text colour, for what matters most.
CHART_CSS = """
.chart text { font: 13px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: var(--soft, #59626b); }
.chart .grid { stroke: var(--line, #dfdad0); stroke-width: 1; } .chart .axis { stroke: var(--soft, #59626b); }
.chart .diagonal { stroke: var(--soft, #59626b); stroke-dasharray: 4 4; }
.chart .curve { fill: none; stroke-width: 1.9; stroke-linejoin: round; } .chart .main { stroke-width: 3; }
.chart .whisker { stroke-width: 1.4; }
.chart .s0 { stroke: var(--ink, #1c2126); } .chart .f0 { fill: var(--ink, #1c2126); }
.chart .s1 { stroke: #d55e00; } .chart .f1 { fill: #d55e00; }
.chart .s2 { stroke: #2f8fce; } .chart .f2 { fill: #2f8fce; }
.chart .s3 { stroke: #009e73; } .chart .f3 { fill: #009e73; }
.chart .s4 { stroke: #cc79a7; } .chart .f4 { fill: #cc79a7; }
.chart .s5 { stroke: #c58a00; } .chart .f5 { fill: #c58a00; }
.chart .s6 { stroke: #8a7fd6; } .chart .f6 { fill: #8a7fd6; }
.chart .s7 { stroke: #7f8c8d; } .chart .f7 { fill: #7f8c8d; }
"""
_LEFT, _RIGHT, _TOP, _LEGEND = 64, 14, 10, 21
_LETTER = 6.7  # pixels of an average character, for placing the legend


@dataclass(frozen=True)
class Series:
    """One line or set of points.

    Attributes:
        name: for the legend, "" for none.
        x, y: in data units, one length; a None in `y` breaks the line.
        tone: 0 for what matters most, 1 and more for the others, see `CHART_CSS`.
        line, markers: whether the points are joined and whether they are drawn.
        whiskers: (low, high) of y at each point, empty for none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    tone: int
    line: bool = True
    markers: bool = False
    whiskers: Sequence[tuple[float, float] | None] = field(default=())


@dataclass(frozen=True)
class Axis:
    """Label, range and ticks (position, text); `turned` writes long tick texts slanted."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    turned: bool = False


UNIT_TICKS = tuple((v / 5, f"{v / 5:g}") for v in range(6))


def unit_axis(label: str) -> Axis:
    """From 0 to 1 in fifths."""
    return Axis(label, 0.0, 1.0, UNIT_TICKS)


def chart(
    description: str, x_axis: Axis, y_axis: Axis, series: Sequence[Series], *, diagonal: bool = False, width: int = 440
) -> Markup:
    """One chart as an `<svg>` element.

    Args:
        description: for those who cannot see it.
        diagonal: a dashed line from corner to corner.
        width: of the drawing, pixels; the plot is 300 pixels high and grows with the page.
    """
    plot_width, plot_height = width - _LEFT - _RIGHT, 300
    below = 90 if x_axis.turned else 50
    rows = _legend_rows([s for s in series if s.name], width - 20)
    height = _TOP + plot_height + below + _LEGEND * len(rows)

    def px(x: float) -> float:
        return _LEFT + (x - x_axis.low) / (x_axis.high - x_axis.low) * plot_width

    def py(y: float) -> float:
        return _TOP + (1.0 - (y - y_axis.low) / (y_axis.high - y_axis.low)) * plot_height

    out = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">']
    bottom, right = _TOP + plot_height, width - _RIGHT
    for value, text in x_axis.ticks:
        x = px(value)
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        place = f'transform="translate({x:.1f} {bottom + 14}) rotate(-42)" text-anchor="end"'
        flat = f'x="{x:.1f}" y="{bottom + 19}" text-anchor="middle"'
        out.append(f"<text {place if x_axis.turned else flat}>{escape(text)}</text>")
    for value, text in y_axis.ticks:
        y = py(value)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{_LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{escape(text)}</text>')
    out.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    middle = _LEFT + plot_width / 2
    if x_axis.label:
        out.append(
            f'<text x="{middle:.0f}" y="{bottom + below - 10}" text-anchor="middle">{escape(x_axis.label)}</text>'
        )
    turn = f'transform="translate(15 {_TOP + plot_height / 2:.0f}) rotate(-90)"'
    out.append(f'<text {turn} text-anchor="middle">{escape(y_axis.label)}</text>')
    if diagonal:
        corners = f'x1="{px(x_axis.low):.1f}" y1="{py(y_axis.low):.1f}" x2="{px(x_axis.high):.1f}"'
        out.append(f'<line class="diagonal" {corners} y2="{py(y_axis.high):.1f}"/>')
    for one in reversed(series):  # the first, which matters most, lies on top
        out += _drawn(one, px, py)
    top = bottom + below
    for number, row in enumerate(rows):
        for x, one in row:
            out += _key(one, x, top + _LEGEND * number + 9)
    out.append("</svg>")
    return Markup("".join(out))


def standalone(svg: Markup) -> str:
    """An `<svg>` element as a file of its own, on white."""
    head, rest = str(svg).split(">", 1)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f'{head}><style>{CHART_CSS}</style><rect width="100%" height="100%" fill="#fff"/>{rest}\n'


def _tone(one: Series) -> int:
    """Tone 0 stays with what matters most; the others come round again after the seventh."""
    return 0 if one.tone == 0 else 1 + (one.tone - 1) % 7


def _drawn(one: Series, px, py) -> list[str]:  # type: ignore[no-untyped-def]
    out = []
    tone = _tone(one)
    if one.line:
        main = " main" if tone == 0 else ""
        for piece in _pieces(one):
            points = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in piece)
            out.append(f'<polyline class="curve s{tone}{main}" points="{points}"/>')
    for x, bounds in zip(one.x, one.whiskers, strict=False):
        if bounds is not None:
            ends = f'y1="{py(bounds[0]):.1f}" y2="{py(bounds[1]):.1f}"'
            out.append(f'<line class="whisker s{tone}" x1="{px(x):.1f}" x2="{px(x):.1f}" {ends}/>')
    if one.markers:
        out += [_marker(tone, px(x), py(y)) for x, y in zip(one.x, one.y, strict=True) if y is not None]
    return out


def _pieces(one: Series) -> list[list[tuple[float, float]]]:
    """The runs of points between the breaks."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(one.x, one.y, strict=True):
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [p for p in pieces if len(p) > 1]


def _marker(tone: int, x: float, y: float) -> str:
    """A shape of its own for neighbouring tones: disc, square, triangle, diamond."""
    shape, r = tone % 4, 4.6
    if shape == 0:
        return f'<circle class="f{tone}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    corners = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0.0, -r - 1), (r + 1, r), (-r - 1, r)),
        3: ((0.0, -r - 1.4), (r + 1.4, 0.0), (0.0, r + 1.4), (-r - 1.4, 0.0)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="f{tone}" points="{points}"/>'


def _key(one: Series, x: float, y: float) -> list[str]:
    tone = _tone(one)
    out = []
    if one.line:
        main = " main" if tone == 0 else ""
        out.append(f'<line class="curve s{tone}{main}" x1="{x:.0f}" x2="{x + 20:.0f}" y1="{y:.0f}" y2="{y:.0f}"/>')
    if one.markers:
        out.append(_marker(tone, x + 10, y))
    out.append(f'<text x="{x + 26:.0f}" y="{y + 4.5:.1f}">{escape(one.name)}</text>')
    return out


def _legend_rows(series: Sequence[Series], width: float) -> list[list[tuple[float, Series]]]:
    """Legend entries with their x, broken into rows of at most `width`."""
    rows: list[list[tuple[float, Series]]] = []
    x = width
    for one in series:
        wide = 26 + _LETTER * len(one.name) + 16
        if not rows or x + wide > width + 16:
            rows.append([])
            x = 10.0
        rows[-1].append((x, one))
        x += wide
    return rows
