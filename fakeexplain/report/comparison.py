"""The page about two pictures: answer, both pictures, their difference, close views of each place, both examinations.

Self-contained like the examination report and made with the same parts. Left out: scripts, links to anywhere, and the
full examinations, whose records are in comparison.json.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fakeexplain.compare import Compared
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.numbers import percent_of
from fakeexplain.reasoning.wording import label_words
from fakeexplain.records import Claim, Examination
from fakeexplain.report.content import file_rows
from fakeexplain.report.html import render_template
from fakeexplain.report.overlay import COLOURS, Mark, heatmap, outline, overlay
from fakeexplain.report.pictures import Picture, display_mask, display_rgb
from fakeexplain.report.strings import COMPARISON, TEXT

_SIDE = 1100  # pixels, long side of the three large pictures
_CROP_SIDE = 420
_OUTSIDE = 235  # grey of what the original does not cover


@dataclass(frozen=True)
class _Examined:
    """One picture's own examination, in short."""

    title: str
    label: str
    tone: str
    percent: str
    claims: tuple[Claim, ...]
    file_rows: tuple[tuple[str, str], ...]


def draw_difference(compared: Compared, questioned: SourceImage) -> np.ndarray:
    """The questioned picture at source size with the places outlined: uint8 HxWx3."""
    return overlay(questioned.display_rgb, compared.pair.mask, regions=_marks(compared))


def render_comparison(compared: Compared, questioned: SourceImage) -> str:
    """The comparison as one self-contained HTML document. questioned: the very picture that was compared."""
    comparison = compared.comparison
    return render_template(
        "comparison.html.j2",
        x=comparison,
        t=TEXT,
        w=COMPARISON,
        pictures=_pictures(compared, questioned),
        places=[(p, _views(compared, questioned, i)) for i, p in enumerate(comparison.places)],
        examined=[
            _examined(COMPARISON["original"], comparison.original),
            _examined(COMPARISON["questioned"], comparison.questioned),
        ],
        geometry_rows=_geometry_rows(compared),
        figures=[(k.replace("_", " "), f"{v:.4g}") for k, v in comparison.figures.items()],
    )


def _marks(compared: Compared) -> list[Mark]:
    return [
        Mark(p.region.id, decode_mask(p.region.mask), None, COLOURS[i % len(COLOURS)])
        for i, p in enumerate(compared.comparison.places)
    ]


def _pictures(compared: Compared, questioned: SourceImage) -> list[Picture]:
    """Original in the questioned frame, questioned picture with marks, difference; all of one size."""
    pair = compared.pair
    before = compared.moved_rgb.copy()
    before[~pair.registration.overlap_mask] = _OUTSIDE
    before, after = display_rgb(before, _SIDE), display_rgb(questioned.display_rgb, _SIDE)
    height, width = after.shape[:2]
    marks = [Mark(m.label, display_mask(m.region_mask, height, width), None, m.colour) for m in _marks(compared)]
    marked = overlay(after, display_mask(pair.mask, height, width), regions=marks) if marks else after
    level = cv2.resize(pair.difference_map, (width, height), interpolation=cv2.INTER_AREA)
    scale = COMPARISON["map_exact" if pair.exact else "map_noise"]
    return [
        Picture(before, COMPARISON["original_alt"], COMPARISON["original_caption"]),
        Picture(marked, COMPARISON["questioned_alt"], COMPARISON["questioned_caption"]),
        Picture(heatmap(after, level), COMPARISON["map_alt"], scale),
    ]


def _views(compared: Compared, questioned: SourceImage, number: int) -> tuple[Picture, Picture]:
    """Close views of one place, original and questioned, of one frame and size."""
    place = compared.comparison.places[number]
    x0, y0, x1, y1 = place.region.box_xyxy
    margin = max(16, max(x1 - x0, y1 - y0) // 4)
    ys = slice(max(y0 - margin, 0), min(y1 + margin, questioned.height))
    xs = slice(max(x0 - margin, 0), min(x1 + margin, questioned.width))
    before, after = compared.moved_rgb[ys, xs], questioned.display_rgb[ys, xs]
    inside = decode_mask(place.region.mask)[ys, xs]
    scale = _CROP_SIDE / max(after.shape[:2])
    if scale < 1:
        size = (max(1, round(after.shape[1] * scale)), max(1, round(after.shape[0] * scale)))
        before, after = (cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in (before, after))
        inside = display_mask(inside, *after.shape[:2])
    else:
        factor = min(4, int(scale))
        before, after, inside = (v.repeat(factor, axis=0).repeat(factor, axis=1) for v in (before, after, inside))
    outlined = outline(after, inside, COLOURS[number % len(COLOURS)])
    alt = COMPARISON["view_alt"].format(id=place.region.id, words=place.region.words)
    return (
        Picture(np.ascontiguousarray(before), alt, COMPARISON["original"]),
        Picture(outlined, alt, COMPARISON["questioned"]),
    )


def _examined(title: str, examination: Examination) -> _Examined:
    claims = tuple(c for c in examination.reasoning if c.section == "finding")
    verdict = examination.verdict
    rows = file_rows(examination.source)
    return _Examined(title, label_words(verdict), verdict.label, percent_of(verdict.probability), claims, rows)


def _geometry_rows(compared: Compared) -> list[tuple[str, str]]:
    g = compared.comparison.geometry
    return [
        (COMPARISON["model"], g.model),
        (COMPARISON["scale"], f"{g.scale:.5g}"),
        (COMPARISON["rotation"], f"{g.rotation_degrees:.3g}°"),
        (COMPARISON["shift"], f"{g.shift_xy[0]:g}, {g.shift_xy[1]:g}"),
        (COMPARISON["visible"], f"{100 * g.visible_fraction:.4g} %"),
        (COMPARISON["overlap"], f"{100 * g.overlap_fraction:.4g} %"),
        (COMPARISON["correlation"], f"{g.correlation:.3g}"),
        (COMPARISON["matrix"], "; ".join(", ".join(f"{v:.6g}" for v in row) for row in g.matrix)),
    ]
