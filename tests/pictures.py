"""Photographs from scikit-image's wheel and forgeries made from them; nothing here reads the network."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from skimage import data

from fakeexplain.imaging.source import SourceImage

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def photograph(name: str) -> np.ndarray:
    """uint8 HxWx3, writable."""
    return np.array(getattr(data, name)())[..., :3]


def encode(rgb: np.ndarray, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format, **options)
    return buffer.getvalue()


def jpeg_round_trip(rgb: np.ndarray, quality: int) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(encode(rgb, "JPEG", quality=quality, subsampling=0))))


def source(rgb: np.ndarray, format: str = "PNG", **options: object) -> SourceImage:
    return SourceImage.from_bytes(encode(rgb, format, **options))


def copy_move(rgb: np.ndarray, size: int = 110, start: tuple[int, int] = (60, 60), shift: tuple[int, int] = (20, 230)):
    """(forged rgb, mask of both places): a square copied by (rows, columns)."""
    forged, mask = rgb.copy(), np.zeros(rgb.shape[:2], bool)
    (y, x), (dy, dx) = start, shift
    forged[y + dy : y + dy + size, x + dx : x + dx + size] = rgb[y : y + size, x : x + size]
    mask[y : y + size, x : x + size] = mask[y + dy : y + dy + size, x + dx : x + dx + size] = True
    return forged, mask


__all__ = ["PHOTOGRAPHS", "copy_move", "encode", "jpeg_round_trip", "photograph", "source"]
