"""The pictures of a report as arrays: the picture as received, with its findings, the map, close views.

All of one display size, so that they can stand beside each other. Left out: how they are embedded (a data URI in the
page, an image object in the PDF) and what counts as a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Evidence, Examination
from fakeexplain.report.overlay import Mark, heatmap, outline, overlay
from fakeexplain.report.strings import TEXT

DISPLAY_SIDE = 1600  # pixels, long side of the embedded pictures
_SMALL_SIDE = 800  # pictures below it are enlarged by a whole factor, so that labels stay legible
_CROP_SIDE = 520  # pixels of a close view


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb: uint8 HxWx3 at display size. alt: for a reader who does not see it. caption: shown below it."""

    rgb: np.ndarray = field(repr=False)
    alt: str
    caption: str = ""

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])


def pictures_of(
    examination: Examination, source: SourceImage, marks: Sequence[Mark], score_map: np.ndarray | None
) -> dict[str, Picture]:
    """ "plain", and where there are any, "marked" with the findings and "map"."""
    rgb = display_rgb(source.display_rgb)
    height, width = rgb.shape[:2]
    small = [
        Mark(
            m.label,
            display_mask(m.region_mask, height, width),
            None if m.partner_mask is None else display_mask(m.partner_mask, height, width),
            m.colour,
        )
        for m in marks
    ]
    alt = TEXT["received_alt"].format(name=examination.source.name, width=source.width, height=source.height)
    caption = TEXT["received_caption"] if marks else f"{TEXT['received_caption']} {TEXT['nothing_marked']}"
    pictures = {"plain": Picture(rgb, alt, caption)}
    if marks:
        mask = display_mask(decode_mask(examination.mask), height, width)
        marked = TEXT["marked_caption"].format(labels=", ".join(m.label for m in marks))
        pictures["marked"] = Picture(overlay(rgb, mask, regions=small), f"{TEXT['marked_alt']} {marked}", marked)
    if score_map is not None and score_map.shape == source.rgb.shape[:2] and np.any(score_map):
        resized = cv2.resize(score_map.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        pictures["map"] = Picture(heatmap(rgb, resized), TEXT["map_alt"], TEXT["map_caption"])
    return pictures


def display_rgb(rgb: np.ndarray, side: int = DISPLAY_SIDE) -> np.ndarray:
    """At most `side` long; small pictures enlarged by a whole factor without smoothing. uint8 hxwx3."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    factor = max(1, _SMALL_SIDE // max(height, width))
    return np.ascontiguousarray(rgb.repeat(factor, axis=0).repeat(factor, axis=1))


def display_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at display size; what would vanish is kept."""
    shrinks = mask.shape[0] > height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=method)
    return small >= 0.5 if (small >= 0.5).any() else small > 0


def _labels(item: Evidence) -> tuple[str, ...]:
    """What the close views of its areas are called; as on the picture, and with their part where that is told."""
    if item.partner is None:
        return item.area_labels
    pairs = zip(item.area_labels, item.areas, strict=True)
    names = tuple(f"{label} ({r.id})" if r.id else label for label, r in pairs)
    if item.copy_and_source is None:
        return names
    return TEXT["crop_copy"].format(label=names[0]), TEXT["crop_source"].format(label=names[1])


def crops_of(item: Evidence, source: SourceImage, mark: Mark) -> tuple[Picture, ...]:
    """Close views of the finding's region and of its partner, with thin outlines."""
    crops = []
    for region, mask, label in zip(item.areas, (mark.region_mask, mark.partner_mask), _labels(item), strict=False):
        if mask is None or not mask.any():
            continue
        x0, y0, x1, y1 = region.box_xyxy
        margin = max(16, max(x1 - x0, y1 - y0) // 5)
        ys = slice(max(y0 - margin, 0), min(y1 + margin, source.height))
        xs = slice(max(x0 - margin, 0), min(x1 + margin, source.width))
        rgb, inside = source.display_rgb[ys, xs], mask[ys, xs]
        scale = _CROP_SIDE / max(rgb.shape[:2])
        caption = TEXT["crop_native"].format(label=label)
        if scale < 1:
            size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            inside = display_mask(inside, *rgb.shape[:2])
            caption = TEXT["crop_reduced"].format(label=label, percent=f"{100 * scale:.0f}")
        elif scale >= 3:
            factor = min(4, max(2, int(scale * 0.6)))
            rgb, inside = (a.repeat(factor, axis=0).repeat(factor, axis=1) for a in (rgb, inside))
            caption = TEXT["crop_enlarged"].format(label=label, factor=factor)
        alt = TEXT["crop_alt"].format(label=label, words=region.words)
        crops.append(Picture(outline(rgb, inside, mark.colour), alt, caption))
    return tuple(crops)
