"""Regions drawn on pictures: outlines, light tints, labels, linked pairs; and score maps as colours.

An outline is a dark line with a bright core, so that it shows on any background and to any eye; colours (Okabe & Ito
2008) only help, labels identify. Lines and letters grow with the picture. Left out: deciding what is drawn as a
finding (that is `verdict`'s), and resizing. Nothing here alters its input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fakeexplain.imaging.regions import box_of_mask, decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.wording import is_significant
from fakeexplain.records import Evidence, Examination

# Orange, sky blue, yellow, reddish purple, bluish green: those of the Okabe-Ito palette that are bright.
COLOURS: tuple[tuple[int, int, int], ...] = (
    (240, 166, 20),
    (102, 190, 242),
    (244, 230, 82),
    (224, 142, 188),
    (46, 184, 138),
)
_DARK = (16, 18, 22)
_TINT = 0.2


@dataclass(frozen=True)
class Mark:
    """One thing to outline.

    Attributes:
        label: e.g. "E1"; a pair is labelled "E1a" and "E1b".
        region_mask: bool HxW.
        partner_mask: bool HxW, the other area of a pair, drawn dashed and linked; None for a single region.
        colour: RGB of the bright core.
    """

    label: str
    region_mask: np.ndarray = field(repr=False)
    partner_mask: np.ndarray | None = field(default=None, repr=False)
    colour: tuple[int, int, int] = COLOURS[0]


@dataclass(frozen=True)
class _Pen:
    core: int
    casing: int
    font_size: int

    @property
    def style(self) -> int:
        """Smoothed lines, but for a core of one pixel, which smoothing would dim."""
        return int(cv2.LINE_AA if self.core > 1 else cv2.LINE_8)

    @classmethod
    def for_size(cls, height: int, width: int) -> _Pen:
        scale = math.sqrt(height * width) / 512.0
        core = max(1, round(2 * scale))
        return cls(core, core + 2 * math.ceil(1.2 * scale), max(13, round(19 * scale)))


def overlay(rgb: np.ndarray, mask: np.ndarray, *, regions: Sequence[Mark] = ()) -> np.ndarray:
    """The picture with a tinted mask and outlined, labelled regions.

    Args:
        rgb: uint8 HxWx3.
        mask: bool HxW, tinted; outlined itself when no regions are given.
        regions: what to outline, see `marks_of`.

    Returns:
        uint8 HxWx3, a new array.

    Raises:
        ValueError: a mask of another size than the picture.
    """
    height, width = rgb.shape[:2]
    for shape in (mask.shape, *(m.region_mask.shape for m in regions)):
        if shape != (height, width):
            raise ValueError(f"mask is {shape[1]}x{shape[0]}, picture is {width}x{height}; give both in one frame")
    out = np.ascontiguousarray(rgb).copy()
    marks = list(regions)
    if not marks and mask.any():
        marks = [Mark("", np.asarray(mask, dtype=bool))]
    _tint(out, np.asarray(mask, dtype=bool), COLOURS[0], marks)
    pen = _Pen.for_size(height, width)
    for mark in marks:
        _outline(out, mark.region_mask, mark.colour, pen, dashed=False)
        if mark.partner_mask is not None:
            _outline(out, mark.partner_mask, mark.colour, pen, dashed=True)
            _link(out, mark.region_mask, mark.partner_mask, mark.colour, pen)
    return _label_all(out, marks, pen)


def outline(rgb: np.ndarray, region_mask: np.ndarray, colour: tuple[int, int, int] = COLOURS[0]) -> np.ndarray:
    """The picture with a thin outline around a region and nothing over it; for close views. uint8 HxWx3, new."""
    out = np.ascontiguousarray(rgb).copy()
    _outline(out, np.asarray(region_mask, dtype=bool), colour, _Pen(2, 4, 11), dashed=False)
    return out


def heatmap(rgb: np.ndarray, score_map: np.ndarray) -> np.ndarray:
    """A score map in cividis (perceptually uniform, safe for colour-blind readers) over a faint grey picture.

    Args:
        rgb: uint8 HxWx3.
        score_map: float HxW in [0, 1]; dark blue is 0, yellow is 1. Not finite counts as 0.

    Returns:
        uint8 HxWx3, a new array. Raises ValueError for maps of another size.
    """
    if score_map.shape != rgb.shape[:2]:
        raise ValueError(
            f"map is {score_map.shape[1]}x{score_map.shape[0]}, picture is {rgb.shape[1]}x{rgb.shape[0]}; "
            "give both in one frame"
        )
    levels = np.clip(np.nan_to_num(score_map, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    colours = cv2.applyColorMap(np.round(levels * 255).astype(np.uint8), cv2.COLORMAP_CIVIDIS)[..., ::-1]
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[..., None]
    return np.round(0.78 * colours + 0.22 * grey).astype(np.uint8)


def marks_of(examination: Examination) -> list[Mark]:
    """Marks of the significant findings of an examination, in source size; colours by rank."""
    chosen = [e for e in examination.evidence if e.region is not None and is_significant(e, examination.verdict)]
    return [_mark(item, COLOURS[i % len(COLOURS)]) for i, item in enumerate(chosen)]


def draw_evidence(examination: Examination, source: SourceImage) -> np.ndarray:
    """The examined picture at source size with its findings drawn: uint8 HxWx3."""
    return overlay(source.display_rgb, decode_mask(examination.mask), regions=marks_of(examination))


def _mark(item: Evidence, colour: tuple[int, int, int]) -> Mark:
    first, *second = (decode_mask(r.mask) for r in item.areas)
    return Mark(item.id, first, second[0] if second else None, colour)


def _tint(out: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], marks: Sequence[Mark]) -> None:
    """Blends each mark's colour into its part of the mask, the default colour into the rest; in place."""
    left = mask.copy()
    for mark in marks:
        union = mark.region_mask if mark.partner_mask is None else mark.region_mask | mark.partner_mask
        part = union & left
        left &= ~union
        _blend(out, part, mark.colour)
    _blend(out, left, colour)


def _blend(out: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = box_of_mask(mask)
    if x1 > x0:
        part, inside = out[y0:y1, x0:x1], mask[y0:y1, x0:x1].astype(np.uint8)
        tinted = cv2.addWeighted(part, 1 - _TINT, np.full_like(part, colour), _TINT, 0)
        cv2.copyTo(tinted, inside, part)


def _contours(mask: np.ndarray, grow: int) -> list[np.ndarray]:
    """Closed boundaries of the mask widened by `grow` pixels, so that the line lies around it and hides nothing."""
    x0, y0, x1, y1 = box_of_mask(mask)
    x0, y0 = max(x0 - grow - 1, 0), max(y0 - grow - 1, 0)
    part = np.ascontiguousarray(mask[y0 : y1 + grow + 1, x0 : x1 + grow + 1]).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    grown = cv2.dilate(part, kernel)
    return list(cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))[0])


def _outline(out: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], pen: _Pen, *, dashed: bool) -> None:
    if not mask.any():
        return
    contours = _contours(mask, pen.casing // 2)
    cv2.polylines(out, contours, True, _DARK, pen.casing, pen.style)
    if not dashed:
        cv2.polylines(out, contours, True, colour, pen.core, pen.style)
        return
    dash = max(5, 5 * pen.core)
    for contour in contours:
        pieces = [contour[i : i + dash] for i in range(0, len(contour), dash * 8 // 5)]
        cv2.polylines(out, pieces, False, colour, pen.core, pen.style)


def _link(out: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int], pen: _Pen) -> None:
    """A dashed line between the two areas, drawn only where it crosses neither."""
    if not (a.any() and b.any()):
        return
    start, end = _centroid(a), _centroid(b)
    steps = max(2, int(np.hypot(*(end - start))))
    points = start + np.linspace(0, 1, steps)[:, None] * (end - start)
    xs, ys = points.round().astype(int).T
    free = points[~(a | b)[ys, xs]].round().astype(np.int32)
    if len(free) < 2:
        return
    dash = max(4, 4 * pen.core)
    cv2.polylines(out, [free], False, _DARK, pen.casing, pen.style)
    pieces = [free[i : i + dash] for i in range(0, len(free), 2 * dash)]
    cv2.polylines(out, pieces, False, colour, pen.core, pen.style)


def _centroid(mask: np.ndarray) -> np.ndarray:
    """float64 (x, y) of the True pixels; inside the image whatever the shape."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


def _label_all(out: np.ndarray, marks: Sequence[Mark], pen: _Pen) -> np.ndarray:
    """Draws the labels; each keeps clear of those drawn before where there is room."""
    image = Image.fromarray(out)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(pen.font_size)
    taken: list[tuple[int, int, int, int]] = []
    for mark in marks:
        if not mark.label:
            continue
        areas = [(mark.label, mark.region_mask)]
        if mark.partner_mask is not None:
            areas = [(f"{mark.label}a", mark.region_mask), (f"{mark.label}b", mark.partner_mask)]
        for text, mask in areas:
            if mask.any():
                taken.append(_label(draw, font, text, mask, mark.colour, pen, taken))
    return np.asarray(image).copy()


def _label(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: str,
    mask: np.ndarray,
    colour: tuple[int, int, int],
    pen: _Pen,
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """One label at its region's topmost point, above it or, without room there, inside; returns its box."""
    height, width = mask.shape
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left = int(np.flatnonzero(mask[top])[0])
    pad = max(2, pen.font_size // 4)
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=font)
    wide, tall = round(x1 - x0) + 2 * pad, round(y1 - y0) + 2 * pad
    gap = pen.casing
    places = [(left, top - tall - gap), (left, bottom + gap), (left, top + gap), (left + wide + gap, top + gap)]
    places += [(left, top + gap + k * (tall + gap)) for k in range(1, 6)]
    clamped = [(min(max(x, 0), max(width - wide, 0)), min(max(y, 0), max(height - tall, 0))) for x, y in places]
    free = [
        c
        for c, p in zip(clamped, places, strict=True)
        if abs(c[1] - p[1]) < tall // 2 and not any(_overlap((*c, c[0] + wide, c[1] + tall), t) for t in taken)
    ]
    x, y = free[0] if free else clamped[0]
    box = (x, y, x + wide, y + tall)
    rim = max(1, pen.core // 2 + pen.core % 2)
    draw.rounded_rectangle((x, y, x + wide - 1, y + tall - 1), pad, fill=_DARK, outline=colour, width=rim)
    draw.text((x + pad - x0, y + pad - y0), text, font=font, fill=(255, 255, 255))
    return box


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
