"""Planted positives: one picture, one known trace of a known size, for measuring what an instrument can find.

`plant` controls the whole history from the pixels it is given: what the host went through, what the region went
through, how it was finished. Deliberately left out: variety and plausibility (that is `forge.py`); one plant shows one
trace.

The pixels that come in carry the history of the file they come from. Where that matters, give pixels without one (a
photograph shrunk by a third or more); a plant does not do that itself, for it would take the camera's noise away too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from data_tools.forge import operations
from data_tools.forge.regions import blob_region
from fakeexplain.imaging import degrade

Kind = Literal["foreign_grid", "double_jpeg", "noise", "copy_move_exact", "copy_move_rotated", "copy_move_scaled"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Planted:
    """One planted forgery.

    Attributes:
        image_bytes: the finished file, PNG or JPEG.
        mask: bool HxW, the forged pixels.
        donor_mask: bool HxW, the source of a copy; None for other kinds.
        history: what was done, in order, as JSON values.
    """

    image_bytes: bytes
    mask: np.ndarray
    donor_mask: np.ndarray | None
    history: list[dict[str, Any]]


def plant(
    kind: Kind,
    rgb: np.ndarray,
    *,
    size: int,
    rng: np.random.Generator,
    quality: int | None = None,
    donor: np.ndarray | None = None,
    sigma: float = 3.0,
) -> Planted:
    """Plants one forgery of about `size` x `size` pixels (a blob of size**2 pixels).

    kinds:
        foreign_grid: the host is saved as JPEG (quality 75..92), the region comes from `donor` (or from the same
            photo, turned by quarters and shrunk by 15 %, which leaves nothing to match) and was saved at 70..90 on
            another grid.
        double_jpeg: the host is saved at Q1 in 55..80, the region was never compressed, the whole is saved at `quality`
            (90..95 by chance when None) on the same grid, which must be above Q1. Always finished as JPEG.
        noise: Gaussian noise of `sigma` grey levels per channel, added to the region of the pixels as given.
        copy_move_*: the region is copied elsewhere, exactly, turned by 15..90 degrees, or scaled by 1/1.3..1/1.08 or
            1.08..1.3. The most textured of eight places is copied: a patch of clear sky proves nothing.

    Args:
        rgb: uint8 HxWx3 of the host.
        size: side of a square as large as the region.
        quality: JPEG quality of the finish; None finishes as PNG (but see double_jpeg).
        donor: uint8 HxWx3 of another photograph, at least as large as the region; foreign_grid and double_jpeg only.
        sigma: noise only.

    Raises:
        ValueError: unknown kind; the region does not fit; `quality` not above Q1's range for double_jpeg.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; wanted one of {', '.join(KINDS)}")
    height, width = rgb.shape[:2]
    if size < 8 or size * 2 > min(height, width):
        raise ValueError(f"a region of {size} pixels does not fit twice into {width}x{height}; use a larger picture")
    if kind == "double_jpeg" and quality is not None and quality <= 82:
        raise ValueError(f"double_jpeg needs a final quality above 82, got {quality}; Q1 is drawn from 55..80")
    host, history = rgb, []
    if kind in ("foreign_grid", "double_jpeg"):
        first = int(rng.integers(75, 93) if kind == "foreign_grid" else rng.integers(55, 81))
        step = degrade.Jpeg(quality=first)
        host = step.apply(rgb)
        history.append({"on": "host", **step.model_dump(mode="json", exclude_none=True)})
        edit = _from_elsewhere(kind, rgb, host, donor, size, rng, history)
    elif kind == "noise":
        mask = _blob(height, width, size, rng)
        edit = operations.process(host, mask, degrade.Noise(sigma=sigma, seed=int(rng.integers(2**31))))
    else:
        edit = _copy(kind, host, size, rng)
    history.append({"on": "region", "operation": edit.operation, **edit.parameters})
    if kind == "double_jpeg" and quality is None:
        quality = int(rng.integers(90, 96))
    steps: list[degrade.Step] = [] if quality is None else [degrade.Jpeg(quality=quality)]
    finished = degrade.finish(edit.image, [edit.mask], steps)
    history.extend({"on": "whole", **entry} for entry in degrade.chain_to_json(steps))
    return Planted(finished.file_bytes(), edit.mask, edit.donor_mask, history)


def _blob(height: int, width: int, size: int, rng: np.random.Generator) -> np.ndarray:
    return blob_region(height, width, float(size * size), rng, roughness=0.2)


def _from_elsewhere(
    kind: Kind,
    rgb: np.ndarray,
    host: np.ndarray,
    donor: np.ndarray | None,
    size: int,
    rng: np.random.Generator,
    history: list[dict[str, Any]],
) -> operations.Edit:
    """Pastes foreign content into `host`; its own grid is part of the donor's history."""
    height, width = host.shape[:2]
    mask = _blob(height, width, size, rng)
    x0, y0, x1, y1 = operations.padded_box(mask, 16)
    w, h = x1 - x0, y1 - y0
    if donor is None:
        donor = degrade.Turn(quarters=int(rng.integers(1, 4)), mirror=True).apply(rgb)
        smaller = degrade.Resize(width=int(donor.shape[1] * 0.85), height=int(donor.shape[0] * 0.85), method="area")
        donor = smaller.apply(donor)
        history.append({"on": "donor", "donor": "the same photograph, turned and shrunk"})
    if donor.shape[0] < h or donor.shape[1] < w:
        raise ValueError(f"the donor is {donor.shape[1]}x{donor.shape[0]}, the region needs {w}x{h}; use a larger one")
    ox, oy = _liveliest(donor, w, h, rng)
    piece = np.ascontiguousarray(donor[oy : oy + h, ox : ox + w])
    if kind == "foreign_grid":
        grid = int(rng.integers(1, 64))
        # The grid is named in the host's frame; the piece begins at (x0, y0) of it.
        offset = ((grid % 8 - x0) % 8, (grid // 8 - y0) % 8)
        step = degrade.Jpeg(quality=int(rng.integers(70, 91)), offset=offset)
        piece = step.apply(piece)
        history.append(
            {"on": "donor", **step.model_dump(mode="json", exclude_none=True), "offset": [grid % 8, grid // 8]}
        )
    patch = host.copy()
    patch[y0:y1, x0:x1] = piece
    return operations.splice(host, mask, patch)


def _liveliest(rgb: np.ndarray, w: int, h: int, rng: np.random.Generator) -> tuple[int, int]:
    """Corner of the most textured of eight random windows: median block spread, so that one edge does not win."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    best, found = -1.0, (0, 0)
    for _ in range(8):
        x, y = int(rng.integers(0, rgb.shape[1] - w + 1)), int(rng.integers(0, rgb.shape[0] - h + 1))
        window = luma[y : y + h, x : x + w]
        detail = float(np.median(np.abs(window - cv2.blur(window, (5, 5)))))
        if detail > best:
            best, found = detail, (x, y)
    return found


def _copy(kind: Kind, host: np.ndarray, size: int, rng: np.random.Generator) -> operations.Edit:
    height, width = host.shape[:2]
    luma = cv2.cvtColor(host, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(luma - cv2.blur(luma, (5, 5)))
    for _ in range(20):
        masks = [_blob(height, width, size, rng) for _ in range(8)]
        source = max(masks, key=lambda m: float(np.median(detail[m])))
        angle, scale = 0.0, 1.0
        if kind == "copy_move_rotated":
            angle = float(rng.choice([-1, 1]) * rng.uniform(15, 90))
        elif kind == "copy_move_scaled":
            scale = float(np.exp(rng.choice([-1, 1]) * rng.uniform(np.log(1.08), np.log(1.3))))
        edit = operations.copy_move(host, source, rng, angle=angle, scale=scale)
        if edit is not None and edit.mask.sum() > 0.5 * size * size and not (edit.mask & source).any():
            return edit
    raise ValueError(f"no free place for a copy of {size} pixels in {width}x{height}; use a smaller size")
