"""What the viewer draws of one examined picture, as JSON: overview, map, and every region as outlines with its words.

Polygons and boxes are in source pixels, colours those of the report in the same order. Left out: drawing (`viewer.js`).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from app import handlers
from app.layers import polygons_of, shown_picture
from app.service import Picture, Service
from app.viewer import data_uri
from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.reasoning.wording import is_significant
from fakeexplain.records import Evidence, Region
from fakeexplain.report.overlay import COLOURS

_OWN_COLOUR = (236, 238, 242)  # regions that somebody drew: neither a finding nor its colour
_LOSSLESS_MEGAPIXELS = 1.6  # overviews up to this size are PNG, so that 1:1 shows the very pixels
_MOST_CROP = 6_500_000  # pixels of one part at native size
_MAP_SIDE = 800


def scene_of(service: Service, picture_id: str) -> dict[str, Any]:
    """The scene of a picture.

    Returns:
        {"id", "name", "width", "height", "picture", "lossless", "map": data URI or None, "regions": [...]}.

    Raises:
        UnknownPictureError: it was deleted meanwhile.
    """
    picture = service.picture(picture_id)
    rgb = service.source(picture).display_rgb
    small = shown_picture(rgb)
    lossless = small.shape[0] * small.shape[1] <= _LOSSLESS_MEGAPIXELS * 1e6
    score_map = service.score_map(picture)
    return {
        "id": picture.id,
        "name": picture.name,
        "width": int(rgb.shape[1]),
        "height": int(rgb.shape[0]),
        "picture": data_uri(small, lossless=lossless),
        "lossless": lossless and small.shape == rgb.shape,
        "map": None if score_map is None or not score_map.any() else _map_uri(score_map),
        "regions": regions_of(picture),
    }


def scene_key(picture: Picture) -> str:
    """Changes whenever the scene has got another region."""
    return f"{picture.id}:{len(handlers.all_regions(picture))}:{len(picture.notes)}"


def regions_of(picture: Picture) -> list[dict[str, Any]]:
    """Every region that can be spoken of; `shown` for findings that count and for those of the conversation."""
    examination, drawn = picture.examination, set()
    later = () if picture.conversation is None else picture.conversation.evidence[len(examination.evidence) :]
    found: list[dict[str, Any]] = []
    rank = 0
    for item in (*examination.evidence, *later):
        significant = is_significant(item, examination.verdict)
        colour = COLOURS[rank % len(COLOURS)] if significant else _OWN_COLOUR
        rank += significant
        for region, label, dashed in _areas(item):
            drawn.add(region.id)
            found.append(_entry(region, label, colour, evidence=item.id, dashed=dashed, shown=significant))
    for region_id, region in handlers.all_regions(picture).items():
        if region_id not in drawn:
            found.append(_entry(region, region_id, _OWN_COLOUR, evidence="", dashed=False, shown=True))
    return found


def crop_of(service: Service, picture_id: str, box_xyxy: Any) -> dict[str, Any]:
    """A part of the source at its own pixels: {"box", "picture": PNG data URI}. Raises MeasurementError."""
    rgb = service.source(service.picture(picture_id)).display_rgb
    try:
        x0, y0, x1, y1 = (int(v) for v in box_xyxy)
    except (TypeError, ValueError, OverflowError):
        raise MeasurementError("a part of the picture needs four whole numbers x0, y0, x1, y1") from None
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, rgb.shape[1]), min(y1, rgb.shape[0])
    if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) > _MOST_CROP:
        raise MeasurementError(f"part {x0}, {y0}, {x1}, {y1}: wanted one inside the picture of at most 6.5 megapixels")
    return {"box": [x0, y0, x1, y1], "picture": data_uri(np.ascontiguousarray(rgb[y0:y1, x0:x1]), lossless=True)}


def _areas(item: Evidence) -> list[tuple[Region, str, bool]]:
    """(region, label, whether it is the second of a pair)."""
    return [(r, label, n == 1) for n, (r, label) in enumerate(zip(item.areas, item.area_labels, strict=True))]


def _entry(
    region: Region, label: str, colour: tuple[int, int, int], *, evidence: str, dashed: bool, shown: bool
) -> dict[str, Any]:
    return {
        "id": region.id,
        "evidence": evidence,
        "label": label,
        "words": region.words,
        "box_xyxy": region.box_xyxy,
        "area_fraction": region.area_fraction,
        "polygons": polygons_of(decode_mask(region.mask)),
        "colour": "#{:02x}{:02x}{:02x}".format(*colour),
        "dashed": dashed,
        "shown": shown,
    }


def _map_uri(score_map: np.ndarray) -> str:
    """8-bit grey PNG of a score map, at most `_MAP_SIDE` long."""
    height, width = score_map.shape
    scale = min(1.0, _MAP_SIDE / max(height, width))
    size = (max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale)))
    levels = np.rint(np.clip(cv2.resize(score_map, size, interpolation=cv2.INTER_AREA), 0, 1) * 255)
    return data_uri(levels.astype(np.uint8), lossless=True)
