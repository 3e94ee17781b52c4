"""Colour names of pixels, by lightness, chroma and hue of CIELAB. Left out: any recognition of what is coloured."""

from __future__ import annotations

import cv2
import numpy as np

COLOURS = (*("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "cyan", "blue", "violet", "pink"),)
PLAIN = (*("black", "grey", "white", "red", "orange", "brown", "beige", "yellow", "green", "blue", "pink"),)
_MERGED = {"cyan": "blue", "violet": "blue"}  # hue of CIELAB calls pure blue violet
_PLAIN_OF = np.array([PLAIN.index(_MERGED.get(n, n)) for n in COLOURS])
_BOUNDS = np.array([10, 48, 72, 108, 170, 225, 295, 325, 350])  # degrees of hue
_HUES = np.array([11, 3, 4, 6, 7, 8, 9, 10, 11, 11])


_PALE = 30.0  # chroma below which bright orange and yellow are beige


def colour_numbers(rgb: np.ndarray) -> np.ndarray:
    """uint8 or float32 (in [0, 1]) HxWx3 -> int HxW, numbers of `COLOURS`; dark orange is brown."""
    light, chroma, hue = _light_chroma_hue(rgb)
    grey = np.where(light < 22, 0, np.where(light > 86, 2, 1))
    hues = _HUES[np.searchsorted(_BOUNDS, hue)]
    hues = np.where((hues == 4) & (light < 58), 5, hues)
    numbers: np.ndarray = np.where((chroma < 11) | (light < 10), grey, hues)
    return numbers


def plain_colours(rgb: np.ndarray) -> np.ndarray:
    """As `colour_numbers`, numbers of `PLAIN`: pale orange and yellow are beige, dark yellow is brown; cyan
    and violet count as blue."""
    light, chroma, _ = _light_chroma_hue(rgb)
    numbers = _PLAIN_OF[colour_numbers(rgb)]
    warm = np.isin(numbers, (PLAIN.index("orange"), PLAIN.index("yellow"), PLAIN.index("brown")))
    numbers = np.where(warm & (light < 50), PLAIN.index("brown"), numbers)
    numbers = np.where(warm & (light >= 50) & (chroma < _PALE), PLAIN.index("beige"), numbers)
    return np.asarray(numbers)


def _light_chroma_hue(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = rgb.astype(np.float32) / 255 if rgb.dtype == np.uint8 else np.ascontiguousarray(rgb, np.float32)
    lab = cv2.cvtColor(values, cv2.COLOR_RGB2LAB)
    return lab[..., 0], np.hypot(lab[..., 1], lab[..., 2]), np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
