"""Helpers of the converters' tests: small pictures and masks put into trees, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

from data_tools.convert.base import Item, Problems, read_source
from data_tools.convert.convert import read_layout

H, W = 48, 64
TRUE_MASK = np.zeros((H, W), dtype=bool)
TRUE_MASK[10:30, 20:44] = True

Put = Callable[..., None]


@cache
def photograph() -> np.ndarray:
    """uint8 512x512x3, from scikit-image's wheel."""
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as image:
        return np.asarray(image.convert("RGB"))


def _put(
    usual_root: Path, name: str, number: int = 0, mask: np.ndarray | None = None, root: Path | None = None
) -> None:
    path = (root or usual_root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = divmod(number, 7)
    pixels = photograph()[y * H : (y + 1) * H, x * W : (x + 1) * W] if mask is None else mask
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def putter(root: Path) -> Put:
    """put("a/b.jpg", n): crop n of the photograph; put("a/m.png", mask=array): a mask picture."""
    return partial(_put, root)


def white(mask: np.ndarray = TRUE_MASK, value: int = 255) -> np.ndarray:
    """uint8, `value` where True."""
    return mask.astype(np.uint8) * np.uint8(value)


def black(mask: np.ndarray = TRUE_MASK) -> np.ndarray:
    """uint8, 0 where True, else 255."""
    return np.uint8(255) - white(mask)


def read(path: Path, name: str) -> dict[str, Item]:
    """Items by picture; fails on any problem."""
    problems = Problems(path)
    items = read_layout(path, name, problems)
    problems.raise_any()
    return {item.record.image: item for item in items}


def assert_marks(item: Item, mask: np.ndarray = TRUE_MASK, tolerance: float = 0.0) -> None:
    """The item's mask is `mask` but for a fraction of the pixels."""
    found = read_source(item.mask)
    assert found is not None
    assert found.shape == mask.shape
    assert float((found ^ mask).mean()) <= tolerance


def labels(items: dict[str, Item]) -> dict[str, str]:
    return {name: item.record.label for name, item in items.items()}
