"""Shapes of forged regions as bool HxW masks: blobs, polygons, segments, strokes, text, objects, boxes.

Every function draws from the numpy Generator it is given and from nothing else, so a seed reproduces its masks.
A shape is drawn for a wanted area and is moved so that it lies fully or partly inside; the part outside is lost.

Deliberately left out: learnt proposals (segmentation networks). Masks made elsewhere (people's, or those of
`proposals.py`) enter through `object_region`.
"""

from __future__ import annotations

import string
from typing import Literal, get_args

import cv2
import numpy as np
from scipy.ndimage import find_objects

from fakeexplain.imaging.regions import box_of_mask, mask_of_box

Shape = Literal["blob", "polygon", "segment", "stroke", "text", "object", "box"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
MINIMUM_PIXELS = 64  # below this neither a person nor an instrument could say anything

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_SUB = 3  # cv2 draws with this many fractional bits, so that shapes are not snapped to whole pixels


def sample_area(rng: np.random.Generator, low: float = 0.001, high: float = 0.4) -> float:
    """Area fraction, log-uniform in [low, high]."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _polygon_area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _place(points: np.ndarray, height: int, width: int, rng: np.random.Generator, inside: bool) -> np.ndarray:
    """Moves an outline (N, 2) so that its box lies inside the image, or its centre does when `inside` is False."""
    low, high = points.min(axis=0), points.max(axis=0)
    frame = np.array([width, height], dtype=np.float64)
    if inside:
        first, last = -low, frame - high
        # A shape that is larger than the frame is centred on it.
        middle = (first + last) / 2
        first, last = np.where(first > last, middle, first), np.where(first > last, middle, last)
        return points + rng.uniform(first, np.maximum(last, first))
    return points - (low + high) / 2 + rng.uniform(0, frame)


def _fill(points: np.ndarray, height: int, width: int) -> np.ndarray:
    canvas = np.zeros((height, width), np.uint8)
    fixed = np.rint(points * (1 << _SUB)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 1, shift=_SUB)
    return canvas.astype(bool)


def _outline(
    points: np.ndarray, area: float, height: int, width: int, rng: np.random.Generator, inside: bool
) -> np.ndarray:
    points = points * np.sqrt(area / max(_polygon_area(points), 1e-6))
    return _fill(_place(points, height, width, rng, inside), height, width)


def _stretch(points: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Anisotropic scaling by up to `most`, then any rotation."""
    ratio = np.exp(rng.uniform(-np.log(most), np.log(most)) / 2)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points * np.array([ratio, 1 / ratio])) @ turn.T


def blob_region(
    height: int, width: int, area: float, rng: np.random.Generator, *, inside: bool = True, roughness: float = 0.35
) -> np.ndarray:
    """Smooth closed curve r(t) = exp(sum of a few harmonics), `area` in pixels."""
    t = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    order = np.arange(2, 8)
    amplitude = rng.normal(0, roughness / order)
    phase = rng.uniform(0, 2 * np.pi, order.size)
    radius = np.exp((amplitude[:, None] * np.cos(order[:, None] * t + phase[:, None])).sum(axis=0))
    points = np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)
    return _outline(_stretch(points, rng, 2.0), area, height, width, rng, inside)


def polygon_region(
    height: int, width: int, area: float, rng: np.random.Generator, *, inside: bool = True
) -> np.ndarray:
    """Star-shaped polygon with 3 to 9 corners."""
    corners = int(rng.integers(3, 10))
    # Jittered equal angles keep the centre inside; sorted uniform ones often leave it out.
    t = (np.arange(corners) + rng.uniform(-0.4, 0.4, corners)) * 2 * np.pi / corners
    radius = rng.uniform(0.5, 1.0, corners)
    points = np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)
    return _outline(_stretch(points, rng, 2.0), area, height, width, rng, inside)


def box_region(height: int, width: int, area: float, rng: np.random.Generator, *, inside: bool = True) -> np.ndarray:
    """Axis-aligned rectangle of aspect 1/3 to 3."""
    aspect = np.exp(rng.uniform(-np.log(3), np.log(3)))
    w, h = min(np.sqrt(area * aspect), width), min(np.sqrt(area / aspect), height)
    points = np.array([[0, 0], [w, 0], [w, h], [0, h]])
    placed = _place(points, height, width, rng, inside)
    return mask_of_box((placed[0, 0], placed[0, 1], placed[2, 0], placed[2, 1]), height, width)


def stroke_region(height: int, width: int, area: float, rng: np.random.Generator, *, inside: bool = True) -> np.ndarray:
    """Brush stroke: a smooth curve of constant thickness, 4 to 16 times as long as thick."""
    slender = rng.uniform(4, 16)
    thickness = max(np.sqrt(area / slender), 2.0)
    heading = np.cumsum(rng.normal(0, 0.35, 24)) + rng.uniform(0, 2 * np.pi)
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * (slender * thickness / 24)
    points = _place(np.cumsum(steps, axis=0), height, width, rng, inside)
    canvas = np.zeros((height, width), np.uint8)
    fixed = np.rint(points * (1 << _SUB)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 1, thickness=max(round(thickness), 1), shift=_SUB)
    return canvas.astype(bool)


def text_region(height: int, width: int, area: float, rng: np.random.Generator, *, inside: bool = True) -> np.ndarray:
    """A word of 3 to 10 letters or digits in one of OpenCV's fonts, `area` counting the inked pixels."""
    letters = rng.choice(list(string.ascii_letters + string.digits), int(rng.integers(3, 11)))
    word = "".join(letters)
    font = int(rng.choice(_FONTS))
    weight = rng.uniform(2.0, 5.0)  # thickness at scale 1
    (w, h), _ = cv2.getTextSize(word, font, 1.0, round(weight))
    scale = float(np.sqrt(area / (0.3 * w * h)))
    scale = max(min(scale, width / w, height / (1.4 * h)), 0.3)
    thickness = max(round(weight * scale), 1)
    (w, h), below = cv2.getTextSize(word, font, scale, thickness)
    corners = np.array([[0.0, 0.0], [w, h + below]])
    x, y = np.rint(_place(corners, height, width, rng, inside)[0]).astype(int)
    canvas = np.zeros((height, width), np.uint8)
    cv2.putText(canvas, word, (int(x), int(y + h)), font, scale, 1, thickness)
    return canvas.astype(bool)


def segment_region(rgb: np.ndarray, area: float, rng: np.random.Generator) -> np.ndarray:
    """A superpixel that follows the edges of `rgb`: watershed from a jittered grid of seeds, one basin about `area`
    large.

    Args:
        rgb: uint8 HxWx3.
        area: wanted pixels; basins vary by a factor of two or so, the nearest one in the log is taken.
    """
    height, width = rgb.shape[:2]
    factor = max(1, round(max(height, width) / 192))
    small = cv2.resize(rgb, (max(width // factor, 8), max(height // factor, 8)), interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    pitch = max(np.sqrt(area * h * w / (height * width)), 3.0)
    rows, columns = np.mgrid[pitch / 2 : h : pitch, pitch / 2 : w : pitch].reshape(2, -1)
    jitter = rng.uniform(-pitch / 3, pitch / 3, (2, rows.size))
    markers = np.zeros((h, w), np.int32)
    r = np.clip(rows + jitter[0], 0, h - 1).astype(int)
    c = np.clip(columns + jitter[1], 0, w - 1).astype(int)
    markers[r, c] = np.arange(1, rows.size + 1)
    labels = cv2.watershed(np.ascontiguousarray(cv2.medianBlur(small, 3)), markers)
    sizes = np.bincount(np.maximum(labels, 0).ravel(), minlength=rows.size + 1)[1:]
    wanted = area * h * w / (height * width)
    candidates = rng.permutation(sizes.size)[:8]
    best = int(candidates[np.argmin(np.abs(np.log(np.maximum(sizes[candidates], 0.5) / wanted)))]) + 1
    # Basins are parted by a line one pixel wide; closing takes half of it back, smoothing hides the coarse raster.
    basin = cv2.resize((labels == best).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(basin, (0, 0), max(factor, 1) * 0.8) > 0.4


def object_region(
    labels: np.ndarray, rng: np.random.Generator, *, minimum: int = MINIMUM_PIXELS, uncut: bool = False
) -> np.ndarray | None:
    """One connected object of a label picture.

    Args:
        labels: uint8 HxW, pixel = category id or number of a proposal, 0 = background.
        minimum: pixels that it must have.
        uncut: leave out what the frame cuts off (more than a twentieth of a square's outline lies on the frame):
            pasted elsewhere, the straight edge would show.

    Returns:
        bool HxW, or None when no connected piece of one category qualifies.
    """
    height, width = labels.shape
    pieces: list[tuple[int, tuple[slice, slice], int]] = []
    for category, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        part = (labels[box] == category).astype(np.uint8)
        count, components, stats, _ = cv2.connectedComponentsWithStats(part)
        rows, columns = box
        edges = [
            line
            for touches, line in (
                (rows.start == 0, components[0]),
                (rows.stop == height, components[-1]),
                (columns.start == 0, components[:, 0]),
                (columns.stop == width, components[:, -1]),
            )
            if touches
        ]
        for i in range(1, count):
            size = int(stats[i, cv2.CC_STAT_AREA])
            if size < minimum:
                continue
            on_frame = sum(int((line == i).sum()) for line in edges)
            if not (uncut and on_frame > 0.2 * np.sqrt(size)):
                pieces.append((category, box, i))
    if not pieces:
        return None
    category, box, i = pieces[int(rng.integers(len(pieces)))]
    mask = np.zeros(labels.shape, dtype=bool)
    mask[box] = cv2.connectedComponentsWithStats((labels[box] == category).astype(np.uint8))[1] == i
    return mask


def draw_region(
    shape: Shape,
    rgb: np.ndarray,
    area_fraction: float,
    rng: np.random.Generator,
    *,
    labels: np.ndarray | None = None,
    inside: bool | None = None,
) -> np.ndarray:
    """One region of the asked shape on a picture.

    Args:
        rgb: uint8 HxWx3; its size is the frame, its edges guide "segment".
        area_fraction: wanted share of the frame.
        labels: object labels of `rgb`, for "object" only.
        inside: fully inside, or only its centre; None leaves it to chance (80 % inside).

    Returns:
        bool HxW with at least `MINIMUM_PIXELS` True and as many False pixels, at most 2.5 times the wanted area.

    Raises:
        ValueError: "object" without labels or without an object of sufficient size; a frame under 16x16.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 16:
        raise ValueError(f"a region needs a frame of at least 16x16 pixels, got {width}x{height}; use larger pictures")
    area = max(area_fraction * height * width, 1.5 * MINIMUM_PIXELS)
    if shape == "object":
        mask = object_region(labels, rng) if labels is not None else None
        if mask is None:
            raise ValueError("shape 'object' needs labels with an object of sufficient size; choose another shape")
        return mask
    for _ in range(8):
        within = bool(rng.random() < 0.8) if inside is None else inside
        if shape == "blob":
            mask = blob_region(height, width, area, rng, inside=within)
        elif shape == "polygon":
            mask = polygon_region(height, width, area, rng, inside=within)
        elif shape == "box":
            mask = box_region(height, width, area, rng, inside=within)
        elif shape == "stroke":
            mask = stroke_region(height, width, area, rng, inside=within)
        elif shape == "text":
            mask = text_region(height, width, area, rng, inside=within)
        else:
            mask = segment_region(rgb, area, rng)
        pixels = int(mask.sum())
        if MINIMUM_PIXELS <= pixels <= min(mask.size - MINIMUM_PIXELS, 2.5 * area):
            return mask
    return blob_region(height, width, min(area, 0.4 * height * width), rng, inside=True)


def padded_box(mask: np.ndarray, margin: int, multiple: int = 1) -> tuple[int, int, int, int]:
    """Box of the mask widened by `margin`, its corner moved up-left to a multiple; clipped to the frame."""
    x0, y0, x1, y1 = box_of_mask(mask)
    x0, y0 = max(x0 - margin, 0) // multiple * multiple, max(y0 - margin, 0) // multiple * multiple
    return x0, y0, min(x1 + margin, mask.shape[1]), min(y1 + margin, mask.shape[0])
