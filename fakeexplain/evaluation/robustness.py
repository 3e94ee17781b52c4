"""The robustness grid: what happens to pictures on their way, applied to forged and authentic ones alike.

Each cell is a chain of `imaging.degrade` steps, real codecs throughout; true masks follow the geometry. Cells start
from the decoded pixels of the file as received, so "jpeg 100" is one more save of whatever the file was before. Nothing
is random but the noise, whose seed comes from the file's hash: a cell gives the same bytes every time.

Left out: the figures of each cell (`tables`); attacks made to deceive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fakeexplain.imaging import degrade
from fakeexplain.imaging.source import SourceImage

AS_RECEIVED = ""


def _scaled(width: int, height: int, factor: float, method: degrade.Interpolation) -> list[degrade.Step]:
    if factor == 1.0:
        return []
    return [degrade.Resize(width=max(1, round(width * factor)), height=max(1, round(height * factor)), method=method)]


def _service(width: int, height: int, side: int, quality: int) -> list[degrade.Step]:
    """A social service: pictures longer than `side` are shrunk to it, lightly sharpened, and all are saved anew."""
    factor = min(1.0, side / max(width, height))
    shrunk = _scaled(width, height, factor, "area")
    sharpened: list[degrade.Step] = [degrade.Sharpen(amount=0.25)] if shrunk else []
    return [*shrunk, *sharpened, degrade.Jpeg(quality=quality, progressive=True)]


def _service_twice(width: int, height: int) -> list[degrade.Step]:
    """Sent on from one service to another that keeps less."""
    factor = min(1.0, 1600 / max(width, height))
    between = max(1, round(width * factor)), max(1, round(height * factor))
    return [*_service(width, height, 1600, 82), *_service(*between, 1080, 75)]


_Maker = Callable[[int, int, int], list[degrade.Step]]


def _same(*steps: degrade.Step) -> _Maker:
    return lambda width, height, seed: list(steps)


def _noise(sigma: float) -> _Maker:
    return lambda width, height, seed: [degrade.Noise(sigma=sigma, seed=seed)]


def _resize(factor: float) -> _Maker:
    return lambda width, height, seed: _scaled(width, height, factor, "bicubic")


# Name -> steps for a picture of (width, height) with a seed. In the order of tables and plots.
CELLS: dict[str, _Maker] = {
    **{f"jpeg {q}": _same(degrade.Jpeg(quality=q)) for q in (100, 90, 80, 70, 60, 50)},
    "webp 80": _same(degrade.WebP(quality=80)),
    "blur 0.5": _same(degrade.Blur(sigma=0.5)),
    "blur 1": _same(degrade.Blur(sigma=1.0)),
    "noise 1": _noise(1.0),
    "noise 3": _noise(3.0),
    "resize 0.75": _resize(0.75),
    "resize 1.25": _resize(1.25),
    "social": lambda width, height, seed: _service(width, height, 1080, 78),
    "social twice": lambda width, height, seed: _service_twice(width, height),
    "screenshot": lambda width, height, seed: _scaled(width, height, 0.85, "bilinear"),
}


@dataclass(frozen=True, eq=False)
class Degraded:
    """A picture after its cell: the new file and the truth that followed its geometry (None if there was none)."""

    source: SourceImage
    true_mask: np.ndarray | None


def degrade_source(source: SourceImage, true_mask: np.ndarray | None, cell: str) -> Degraded:
    """Applies a cell to the upright pixels of a source.

    Args:
        source: as received.
        true_mask: bool HxW of the source, None for an authentic picture.
        cell: a name of `CELLS`.
    """
    seed = int(source.sha256[:8], 16) & 0x7FFFFFFF
    steps = CELLS[cell](source.width, source.height, seed)
    finished = degrade.finish(source.rgb, () if true_mask is None else (true_mask,), steps)
    made = SourceImage.from_bytes(finished.file_bytes(), name=source.name)
    return Degraded(made, None if true_mask is None else finished.masks[0])
