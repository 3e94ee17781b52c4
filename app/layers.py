"""Regions and pictures as a page needs them: polygons, run lengths, transparent layers, overlays, all from one frame.

Display size is the source's, reduced to a longest side; never enlarged. Boxes and polygons are in source pixels. Left
out: which region is meant (`handlers`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import box_of_mask, decode_mask
from fakeexplain.records import Region, RunLengths
from fakeexplain.report.overlay import COLOURS, heatmap
from fakeexplain.report.pictures import display_mask

DISPLAY_SIDE = 1600  # pixels, longest side of what a page shows

Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class RegionLayer:
    """One region, ready to be drawn.

    Attributes:
        id: of the region, say "R1". label: what to write beside it, say "E1a". words: place and size.
        box_xyxy: source pixels, right and bottom exclusive. area_fraction: in [0, 1].
        polygons: closed outlines of areas and of their holes, (x, y) in source pixels; draw with the even-odd rule.
        mask: the exact pixels as run lengths at source size.
        rgba: uint8 hxwx4 at display size: tint inside, outline around, transparent elsewhere.
        colour: of the outline.
    """

    id: str
    label: str
    words: str
    box_xyxy: tuple[int, int, int, int]
    area_fraction: float
    polygons: tuple[tuple[tuple[float, float], ...], ...]
    mask: RunLengths = field(repr=False)
    rgba: np.ndarray = field(repr=False)
    colour: Colour = COLOURS[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the pixels of `rgba`."""
        return {
            "id": self.id,
            "label": self.label,
            "words": self.words,
            "box_xyxy": self.box_xyxy,
            "area_fraction": self.area_fraction,
            "polygons": self.polygons,
            "mask": self.mask.model_dump(),
        }


def display_size(height: int, width: int, side: int | None = DISPLAY_SIDE) -> tuple[int, int]:
    """(height, width) at which a picture is shown; None for its own size."""
    scale = 1.0 if side is None else min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shown_picture(rgb: np.ndarray, side: int | None = DISPLAY_SIDE) -> np.ndarray:
    """uint8 hxwx3 at display size."""
    height, width = display_size(rgb.shape[0], rgb.shape[1], side)
    if (height, width) == rgb.shape[:2]:
        return rgb
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def shown_mask(region_mask: np.ndarray, side: int | None = DISPLAY_SIDE) -> np.ndarray:
    """bool hxw at display size; what would vanish is kept."""
    size = display_size(region_mask.shape[0], region_mask.shape[1], side)
    return region_mask if size == region_mask.shape else display_mask(region_mask, *size)


def region_layer(
    region: Region, label: str = "", colour: Colour = COLOURS[0], *, side: int | None = DISPLAY_SIDE
) -> RegionLayer:
    """The layer of a region."""
    region_mask = decode_mask(region.mask)
    return RegionLayer(
        id=region.id,
        label=label or region.id,
        words=region.words,
        box_xyxy=region.box_xyxy,
        area_fraction=region.area_fraction,
        polygons=polygons_of(region_mask),
        mask=region.mask,
        rgba=_layer(shown_mask(region_mask, side), colour),
        colour=colour,
    )


def polygons_of(region_mask: np.ndarray) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Outlines of a bool HxW mask and of its holes along pixel borders, simplified by at most 0.75 pixels."""
    x0, y0, x1, y1 = box_of_mask(region_mask)
    if x1 <= x0:
        return ()
    # Doubled, a pixel's first and last row or column differ, so that outlines can run along the borders of pixels.
    part = np.pad(region_mask[y0:y1, x0:x1].astype(np.uint8), 1).repeat(2, axis=0).repeat(2, axis=1)
    polygons = []
    for contour in cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]:
        border = (contour + 1) // 2 - 1
        simple = cv2.approxPolyDP(border, 0.75, True)
        points = (simple if len(simple) > 3 else cv2.approxPolyDP(border, 0.0, True))[:, 0] + (x0, y0)
        polygons.append(tuple((float(x), float(y)) for x, y in points))
    return tuple(polygons)


def _layer(mask: np.ndarray, colour: Colour, opacity: float = 0.35) -> np.ndarray:
    """uint8 hxwx4: tint inside, a dark line with a bright core around."""
    out = np.zeros((*mask.shape, 4), np.uint8)
    out[mask] = (*colour, round(255 * opacity))
    core = max(1, round(max(mask.shape) / 500))
    for thickness, line in ((core + 2, (16, 18, 22, 230)), (core, (*colour, 255))):
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(out, contours, -1, line, thickness)
    return out


def blend(
    rgb: np.ndarray, mask: np.ndarray, *, opacity: float, contour: bool, colour: Colour = COLOURS[0]
) -> np.ndarray:
    """The picture with a tinted mask: uint8 hxwx3, new. opacity: of the tint, in [0, 1]."""
    out = np.ascontiguousarray(rgb).copy()
    if mask.any():
        tinted = cv2.addWeighted(out, 1 - opacity, np.full_like(out, colour), opacity, 0)
        out[mask] = tinted[mask]
        if contour:
            layer = _layer(mask, colour, 0.0)
            line = layer[..., 3] > 0
            out[line] = layer[line, :3]
    return out


def draw_layers(rgb: np.ndarray, layers: Sequence[RegionLayer]) -> np.ndarray:
    """The picture with layers over it: uint8 hxwx3, new."""
    out: np.ndarray = rgb.astype(np.float32)
    for layer in layers:
        alpha = layer.rgba[..., 3:].astype(np.float32) / 255
        out = out * (1 - alpha) + layer.rgba[..., :3].astype(np.float32) * alpha
    return np.rint(out).astype(np.uint8)


def full_size(region_mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask of source or of display size -> bool HxW. Raises MeasurementError for any other size."""
    chosen: np.ndarray = np.asarray(region_mask) > 0
    if chosen.ndim == 3:
        chosen = np.asarray(chosen.any(axis=2))
    if chosen.shape == (height, width):
        return chosen
    if chosen.ndim == 2 and chosen.shape == display_size(height, width):
        large = cv2.resize(chosen.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return large > 0
    raise MeasurementError(
        f"the area is {'x'.join(map(str, chosen.shape[::-1]))} pixels, the picture {width}x{height}; "
        "wanted both in one frame"
    )


def ordered_box(box_xyxy: Sequence[Any]) -> tuple[float, float, float, float]:
    """A box with its corners in order. Raises MeasurementError unless there are four finite numbers."""
    try:
        x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    except (TypeError, ValueError):
        raise MeasurementError("a box needs four numbers x0, y0, x1, y1 in pixels of the picture") from None
    if not np.isfinite([x0, y0, x1, y1]).all():
        raise MeasurementError("a box needs four finite numbers x0, y0, x1, y1 in pixels of the picture")
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def shown_map(rgb: np.ndarray, score_map: np.ndarray, side: int | None = DISPLAY_SIDE) -> np.ndarray:
    """A score map as colours over the faint picture, at display size."""
    small = shown_picture(rgb, side)
    resized = cv2.resize(score_map, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    return heatmap(small, resized)


def png_bytes(array: np.ndarray, text: dict[str, str] | None = None) -> bytes:
    """Any uint8 picture, layer or mask as PNG; `text` goes into tEXt or iTXt chunks."""
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=3, pnginfo=info)
    return buffer.getvalue()


def jpeg_bytes(rgb: np.ndarray) -> bytes:
    """A picture to look at as JPEG, quality 92."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
