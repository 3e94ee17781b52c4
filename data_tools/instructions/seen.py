"""What is plainly there, measured: light, contrast, colours, sharpness, texture, framing, labelled objects and layout.

Everything is a deterministic function of the pixels (and of a label picture where there is one), so that a description
can be recomputed. Deliberately left out: any recognition; objects are named only where labels name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from data_tools.instructions.categories import CATEGORIES
from fakeexplain.imaging.colours import COLOURS, colour_numbers
from fakeexplain.imaging.regions import place_words

# attribute -> (upper limit, word) in rising order; limits apply to the figure named in `classes_of`.
SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "light": (
        (20, "very dark"),
        (38, "rather dark"),
        (62, "of medium brightness"),
        (78, "bright"),
        (999, "very bright"),
    ),
    "contrast": ((11, "low contrast"), (23, "moderate contrast"), (999, "high contrast")),
    "colourfulness": ((3, "almost no colour"), (25, "muted colours"), (55, "moderate colours"), (999, "vivid colours")),
    "sharpness": ((0.12, "soft"), (0.35, "moderately sharp"), (999, "crisp")),
    "texture": ((0.2, "finely textured"), (0.6, "partly smooth"), (1.01, "mostly smooth")),
}
FORMATS = ("square", "landscape format", "portrait format")
LEAST_COLOUR, LEAST_OBJECT = 0.1, 0.005  # shares of the picture from which a colour or an object is named


def _class(attribute: str, figure: float) -> str:
    return next(word for limit, word in SCALES[attribute] if figure < limit)


def _colour_shares(rgb: np.ndarray) -> dict[str, float]:
    """Share of each colour name, from lightness, chroma and hue of CIELAB on a 96x96 view."""
    index = colour_numbers(cv2.resize(rgb, (96, 96), interpolation=cv2.INTER_AREA)).ravel()
    counts = np.bincount(index, minlength=len(COLOURS)) / index.size
    return {name: round(float(share), 4) for name, share in zip(COLOURS, counts, strict=True)}


def _cell(grey: np.ndarray, brightest: bool) -> str:
    """Words for the brightest (darkest) cell of a 3x3 grid."""
    cells = cv2.resize(grey, (3, 3), interpolation=cv2.INTER_AREA)
    row, column = np.unravel_index(int(cells.argmax() if brightest else cells.argmin()), (3, 3))
    mask = np.zeros((3, 3), bool)
    mask[row, column] = True
    return place_words(mask)


def objects_of(labels: np.ndarray) -> list[dict[str, Any]]:
    """Labelled categories by falling share: name, share, place, centre (x, y as fractions)."""
    found = []
    for category in np.unique(labels[labels > 0]):
        mask = labels == category
        share = float(mask.mean())
        if share < LEAST_OBJECT or int(category) not in CATEGORIES:
            continue
        y, x = np.nonzero(mask)
        centre = [round(float(x.mean()) / mask.shape[1], 3), round(float(y.mean()) / mask.shape[0], 3)]
        name = CATEGORIES[int(category)]
        found.append({"name": name, "share": round(share, 4), "place": place_words(mask), "centre": centre})
    return sorted(found, key=lambda o: -o["share"])


def look(rgb: np.ndarray, labels: np.ndarray | None = None) -> dict[str, Any]:
    """Facts about a picture, as JSON values.

    Args:
        rgb: uint8 HxWx3.
        labels: uint8 HxW category ids, 0 where nothing is known.

    Returns:
        width, height, format, light, contrast, colourfulness, sharpness, texture (words of SCALES), figures behind
        them, colours {name: share} of a tenth or more, brightest and darkest place, objects.
    """
    height, width = rgb.shape[:2]
    pixels = rgb.astype(np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    lightness = cv2.cvtColor(pixels / 255, cv2.COLOR_RGB2LAB)[..., 0]
    red_green, yellow_blue = pixels[..., 0] - pixels[..., 1], 0.5 * (pixels[..., 0] + pixels[..., 1]) - pixels[..., 2]
    spread = np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())
    fine = cv2.Laplacian(grey, cv2.CV_32F)
    coarse = cv2.Laplacian(
        cv2.resize(grey, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA), cv2.CV_32F
    )
    blocks = (max(width // 8, 1), max(height // 8, 1))
    mean = cv2.resize(grey, blocks, interpolation=cv2.INTER_AREA)
    deviation = np.sqrt(np.maximum(cv2.resize(grey**2, blocks, interpolation=cv2.INTER_AREA) - mean**2, 0))
    figures = {
        "light": round(float(lightness.mean()), 2),
        "contrast": round(float(lightness.std()), 2),
        "colourfulness": round(float(spread), 2),
        "sharpness": round(float(fine.var() / max(float(coarse.var()), 1e-6)), 4),
        "texture": round(float((deviation < 3.0).mean()), 4),
    }
    colours = {n: s for n, s in sorted(_colour_shares(rgb).items(), key=lambda i: -i[1]) if s >= LEAST_COLOUR}
    return {
        "width": width,
        "height": height,
        "format": FORMATS[0] if width == height else FORMATS[1] if width > height else FORMATS[2],
        **{name: _class(name, figure) for name, figure in figures.items()},
        "figures": figures,
        "colours": dict(list(colours.items())[:4]),
        "brightest": _cell(lightness, True),
        "darkest": _cell(lightness, False),
        "objects": [] if labels is None else objects_of(labels),
    }


SHAPES = ("compact", "elongated", "ragged", "in several parts")


def outline(mask: np.ndarray) -> dict[str, Any]:
    """Shape of a region: word, parts, compactness 4 pi area / perimeter^2, elongation of the rotated box.

    Args:
        mask: bool HxW with at least one True pixel.
    """
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    parts = int((sizes >= 0.05 * sizes.sum()).sum())
    largest = (pieces == 1 + int(sizes.argmax())).astype(np.uint8)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)
    perimeter = max(cv2.arcLength(contour, True), 1.0)
    compactness = float(4 * np.pi * largest.sum() / perimeter**2)
    _, (a, b), _ = cv2.minAreaRect(contour)
    elongation = (max(a, b) + 1) / (min(a, b) + 1)
    if parts > 1:
        word = SHAPES[3]
    elif elongation > 2.5:
        word = SHAPES[1]
    else:
        word = SHAPES[0] if compactness >= 0.45 else SHAPES[2]
    return {"word": word, "parts": parts, "compactness": round(compactness, 3), "elongation": round(elongation, 2)}


def size_word(fraction: float) -> str:
    """ "tiny" (under 0.5 % of the picture), "small" (under 3 %), "medium-sized" (under 15 %), "large"."""
    limits: Mapping[str, float] = {"tiny": 0.005, "small": 0.03, "medium-sized": 0.15, "large": 2.0}
    return next(word for word, limit in limits.items() if fraction < limit)
