"""Local edits: a host picture, a region, and what is done to it; each function returns an exact `Edit`.

All functions are pure: they leave their arguments alone and draw randomness from the Generator they are given. One law
holds for every edit: where `edit.mask` is False, `edit.image` equals the host bit for bit. With a feather the mask is
where alpha > 0.

Deliberately left out: how edges are blended (`blending.py`), choosing operations and parameters (`edits.py`), global
processing and files (`imaging.degrade`), learnt generators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np

from data_tools.forge import patchmatch
from data_tools.forge.blending import Blend, composite, membrane
from data_tools.forge.regions import padded_box
from fakeexplain.imaging import degrade


@dataclass(frozen=True, eq=False)
class Edit:
    """One local edit.

    Attributes:
        image: uint8 HxWx3 after the edit.
        mask: bool HxW, the edited pixels (some may by chance keep their value).
        operation: machine name.
        parameters: JSON scalars.
        donor_mask: bool HxW, where in the *host* the pasted pixels came from (copy-move, exemplar and
            content-aware fill), else None.
    """

    image: np.ndarray
    mask: np.ndarray
    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    donor_mask: np.ndarray | None = None


def _process_box(
    host: np.ndarray, mask: np.ndarray, process: Callable[[np.ndarray], np.ndarray], feather: float, margin: int = 16
) -> np.ndarray:
    """Applies `process` to the surroundings of the mask (cut on the 8x8 grid) and composites the result."""
    x0, y0, x1, y1 = padded_box(mask, margin, 16)
    view = np.s_[y0:y1, x0:x1]
    out = host.copy()
    out[view] = composite(host[view], process(host[view]), mask[view], feather)
    return out


# --- content from elsewhere -----------------------------------------------------------------------------------------


def transfer_colour(
    donor: np.ndarray,
    host: np.ndarray,
    strength: float,
    *,
    donor_mask: np.ndarray | None = None,
    host_mask: np.ndarray | None = None,
    light_only: bool = False,
) -> np.ndarray:
    """Moves mean and spread of the donor's Lab channels towards the host's (Reinhard et al. 2001).

    Args:
        donor, host: uint8 HxWx3, of any two sizes.
        strength: 0 (nothing) to 1 (all the way).
        donor_mask, host_mask: bool, pixels of each that are measured (say, an object and its new surroundings);
            None: all.
        light_only: brightness and contrast alone; colours stay the donor's.

    Returns:
        uint8 of the donor's size, all of it changed.
    """
    source = cv2.cvtColor(donor, cv2.COLOR_RGB2LAB).astype(np.float32)
    target = cv2.cvtColor(host, cv2.COLOR_RGB2LAB).astype(np.float32)
    seen = source.reshape(-1, 3) if donor_mask is None else source[donor_mask]
    wanted = target.reshape(-1, 3) if host_mask is None else target[host_mask]
    gain = np.clip((wanted.std(axis=0) + 1.0) / (seen.std(axis=0) + 1.0), 0.5, 2.0)
    change = (source - seen.mean(axis=0)) * gain + wanted.mean(axis=0) - source
    if light_only:
        change[..., 1:] = 0.0
    blended = np.clip(np.rint(source + strength * change), 0, 255).astype(np.uint8)
    return cv2.cvtColor(blended, cv2.COLOR_LAB2RGB)


def splice(
    host: np.ndarray, mask: np.ndarray, patch: np.ndarray, *, feather: float = 0.0, blend: Blend = "alpha"
) -> Edit:
    """Pixels of another photograph; `patch` is uint8 of the host's size, its history already behind it."""
    image = composite(host, patch, mask, feather, blend)
    return Edit(image, mask, "splice", {"feather": feather, "blend": blend})


def _affine(mask: np.ndarray, angle: float, scale: float, mirror: bool, shift: tuple[float, float]) -> np.ndarray:
    """2x3 map source -> target: mirror, scale and rotate (degrees, anticlockwise) about the mask's centre, then
    shift."""
    rows, columns = np.nonzero(mask)
    cx, cy = float(columns.mean()), float(rows.mean())
    radians = np.deg2rad(angle)
    turn = scale * np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    if mirror:
        turn = turn @ np.diag([-1.0, 1.0])
    move = np.array([cx, cy]) - turn @ np.array([cx, cy]) + np.array(shift)
    return np.hstack([turn, move[:, None]])


def _shifts(mask: np.ndarray, rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """Whole-pixel moves that keep the centre of the mask's box inside the frame."""
    x0, y0, x1, y1 = padded_box(mask, 0)
    height, width = mask.shape
    w, h = x1 - x0, y1 - y0
    # Fully inside where the box fits; otherwise at least its centre.
    dx = rng.integers(-x0, width - w - x0 + 1, count) if w < width else rng.integers(-w // 2, w // 2 + 1, count)
    dy = rng.integers(-y0, height - h - y0 + 1, count) if h < height else rng.integers(-h // 2, h // 2 + 1, count)
    return [(int(a), int(b)) for a, b in zip(dx, dy, strict=True)]


def copy_move(
    host: np.ndarray,
    source_mask: np.ndarray,
    rng: np.random.Generator,
    *,
    shift: tuple[int, int] | None = None,
    angle: float = 0.0,
    scale: float = 1.0,
    mirror: bool = False,
    feather: float = 0.0,
    blend: Blend = "alpha",
) -> Edit | None:
    """Copies the pixels under `source_mask` to another place of the same picture.

    Args:
        source_mask: bool HxW, what is copied.
        shift: (dx, dy) in whole pixels of the region's centre; None takes the first of 24
            drawn that is far enough, else the longest.
        angle: rotation in degrees, anticlockwise as seen.
        scale: size of the copy over size of the source.
        mirror: flip left-right before rotating.
        feather: pixels of soft edge, inside the copy.
        blend: see `blending.composite`.

    Returns:
        Edit whose mask is the copy and whose donor_mask is the source less what the copy covers, or None when copy and
        source share more than a fifth of the copy (nothing that one would call a copy-move comes out then).
    """
    if shift is None:
        turned = _warp_mask(source_mask, _affine(source_mask, angle, scale, mirror, (0.0, 0.0)))
        if not turned.any():
            return None
        x0, y0, x1, y1 = padded_box(source_mask, 0)
        diagonal = float(np.hypot(x1 - x0, y1 - y0))
        options = _shifts(turned, rng, 24)
        clear = [s for s in options if np.hypot(*s) > 0.75 * diagonal * max(scale, 1.0)]
        shift = clear[0] if clear else max(options, key=lambda s: float(np.hypot(*s)))
    forward = _affine(source_mask, angle, scale, mirror, (float(shift[0]), float(shift[1])))
    height, width = source_mask.shape
    if angle == 0.0 and scale == 1.0 and not mirror:
        mask, patch = _move(source_mask, shift), _move(host, shift)
        nothing = ~_move(np.ones(mask.shape, dtype=bool), shift)
        patch[nothing] = host[nothing]
        reached = _move(mask, (-shift[0], -shift[1]))
    else:
        mask = _warp_mask(source_mask, forward)
        patch = cv2.warpAffine(host, forward, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        reached = _warp_mask(mask, forward, inverse=True)
    if not mask.any() or (mask & source_mask).sum() > 0.2 * mask.sum():
        return None
    parameters: dict[str, Any] = {
        "dx": shift[0],
        "dy": shift[1],
        "angle": angle,
        "scale": scale,
        "mirror": mirror,
        "feather": feather,
    }
    parameters["blend"] = blend
    donor_mask = source_mask & reached & ~mask
    return Edit(composite(host, patch, mask, feather, blend), mask, "copy_move", parameters, donor_mask)


def _warp_mask(mask: np.ndarray, forward: np.ndarray, inverse: bool = False) -> np.ndarray:
    flags = cv2.INTER_NEAREST | (cv2.WARP_INVERSE_MAP if inverse else 0)
    return cv2.warpAffine(mask.astype(np.uint8), forward, mask.shape[::-1], flags=flags).astype(bool)


def _move(array: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """Shifts by whole pixels, zeros (False) where nothing arrives; no resampling."""
    dx, dy = shift
    height, width = array.shape[:2]
    out = np.zeros_like(array)
    if abs(dx) < width and abs(dy) < height:
        target = np.s_[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
        origin = np.s_[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
        out[target] = array[origin]
    return out


# --- removal --------------------------------------------------------------------------------------------------------


def remove_by_diffusion(host: np.ndarray, mask: np.ndarray, method: Literal["telea", "ns"], *, side: int = 72) -> Edit:
    """OpenCV's inpainting (Telea 2004; Bertalmio et al. 2001). Regions wider than `side` are filled at reduced size,
    for both methods only carry the rim inwards and their time grows with the region."""
    x0, y0, x1, y1 = padded_box(mask, 12)
    view = np.s_[y0:y1, x0:x1]
    part, hole = host[view], mask[view].astype(np.uint8)
    factor = max(1.0, max(hole.shape) / side)
    if factor > 1.0:
        size = (max(int(hole.shape[1] / factor), 4), max(int(hole.shape[0] / factor), 4))
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        # Any pixel that saw the hole is hole: the old content must not leak through the reduction.
        small_hole = (cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    else:
        small, small_hole = part, hole
    flag = cv2.INPAINT_TELEA if method == "telea" else cv2.INPAINT_NS
    filled = cv2.inpaint(np.ascontiguousarray(small), small_hole, 3, flag)
    if factor > 1.0:
        filled = cv2.resize(filled, part.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    out = host.copy()
    out[view][mask[view]] = filled[mask[view]]
    return Edit(out, mask, "removal_diffusion", {"method": method, "reduced": round(factor, 3)})


def remove_by_exemplar(host: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Edit | None:
    """Healing brush: the hole is filled with one patch of the same picture whose rim fits best, levelled by a membrane.

    The rim of the hole is searched for all over the picture by masked squared differences at reduced size; one of the
    three best places far enough from the hole is taken by chance. The filling copies real texture, so it is a copy-move
    too and `donor_mask` names its source.

    Returns:
        None when the hole is too large to find a source beside it.
    """
    height, width = mask.shape
    x0, y0, x1, y1 = padded_box(mask, 8)
    w, h = x1 - x0, y1 - y0
    if w > 0.6 * width or h > 0.6 * height:
        return None
    factor = max(1.0, np.sqrt(height * width) / 160.0, max(w, h) / 40.0)
    size = (max(round(width / factor), 8), max(round(height / factor), 8))
    small = cv2.resize(host, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sx, sy = size[0] / width, size[1] / height
    left, top = int(x0 * sx), int(y0 * sy)
    right, bottom = min(int(np.ceil(x1 * sx)), size[0]), min(int(np.ceil(y1 * sy)), size[1])
    hole = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)[top:bottom, left:right] > 0
    rim = np.repeat((~hole).astype(np.float32)[..., None], 3, axis=2)
    if not rim.any() or right - left >= size[0] or bottom - top >= size[1]:
        return None
    cost = cv2.matchTemplate(small, small[top:bottom, left:right], cv2.TM_SQDIFF, mask=rim)
    rows, columns = np.mgrid[: cost.shape[0], : cost.shape[1]]
    apart = (np.abs(columns - left) >= right - left) | (np.abs(rows - top) >= bottom - top)
    cost = np.where(apart & np.isfinite(cost), cost, np.inf)
    sources = []
    for _ in range(3):
        best = np.unravel_index(int(np.argmin(cost)), cost.shape)
        if not np.isfinite(cost[best]):
            break
        sources.append((int(best[1]), int(best[0])))
        cost[max(best[0] - 4, 0) : best[0] + 5, max(best[1] - 4, 0) : best[1] + 5] = np.inf
    if not sources:
        return None
    place = sources[int(rng.integers(len(sources)))]
    ox = int(np.clip(round(place[0] / sx), 0, width - w)) - x0
    oy = int(np.clip(round(place[1] / sy), 0, height - h)) - y0
    view, origin = np.s_[y0:y1, x0:x1], np.s_[y0 + oy : y1 + oy, x0 + ox : x1 + ox]
    source = host[origin].astype(np.float32)
    around = ~cv2.dilate(mask[view].astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    level = membrane(host[view].astype(np.float32) - source, around)
    patch = host.copy()
    patch[view] = np.clip(np.rint(source + level), 0, 255).astype(np.uint8)
    donor_mask = _move(mask, (ox, oy)) & ~mask
    # No feather: it would let the removed content shine through along the rim; the membrane has closed the seam.
    parameters = {"dx": -ox, "dy": -oy}
    return Edit(composite(host, patch, mask), mask, "removal_exemplar", parameters, donor_mask)


def remove_by_patchmatch(host: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Edit | None:
    """Content-aware fill: many small patches of the surroundings, see `patchmatch`.

    Where neighbours took neighbouring sources, whole pieces were copied. If that holds for most of the hole,
    `donor_mask` names those pieces (less what the hole covers); otherwise the filling has no source worth naming.

    Returns:
        None when too little is known around the hole.
    """
    filled = patchmatch.fill(host, mask, rng)
    if filled is None:
        return None
    rows, columns = np.nonzero(mask)
    shift = filled.sources - np.stack(np.meshgrid(np.arange(mask.shape[1]), np.arange(mask.shape[0])), axis=-1)
    agree = np.zeros(mask.shape, np.uint8)
    for axis in (0, 1):
        same = (np.diff(shift, axis=axis) == 0).all(axis=2)
        head, tail = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        agree[head] += same & mask[head] & mask[tail]
        agree[tail] += same & mask[head] & mask[tail]
    whole = agree[rows, columns] >= 3
    coherence = float(whole.mean())
    donor_mask = None
    if coherence >= 0.5:
        x, y = filled.sources[rows[whole], columns[whole]].T
        taken = np.zeros(mask.shape, np.uint8)
        taken[y, x] = 1
        donor_mask = cv2.morphologyEx(taken, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool) & ~mask
    parameters = {"coherence": round(coherence, 3)}
    return Edit(filled.image, mask, "removal_patchmatch", parameters, donor_mask)


# --- same content, processed again ----------------------------------------------------------------------------------


def resample(host: np.ndarray, mask: np.ndarray, *, scale: float, angle: float = 0.0, feather: float = 0.0) -> Edit:
    """The region enlarged (or shrunk) and turned about its own centre, as when one body part is made larger."""
    forward = _affine(mask, angle, scale, False, (0.0, 0.0))
    patch = cv2.warpAffine(host, forward, host.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    parameters = {"scale": scale, "angle": angle, "feather": feather}
    return Edit(composite(host, patch, mask, feather), mask, "resample", parameters)


def process(host: np.ndarray, mask: np.ndarray, step: degrade.Step, *, feather: float = 0.0) -> Edit:
    """Blur, median, sharpening, tone, noise: the region alone goes through one step that keeps the size."""
    if isinstance(step, (degrade.Resize, degrade.Crop, degrade.Turn)):
        raise ValueError(f"step {step.op!r} changes the geometry; use `resample` or `copy_move` for that")
    image = _process_box(host, mask, step.apply, feather)
    return Edit(image, mask, step.op, {**step.model_dump(mode="json"), "feather": feather})


def denoise(host: np.ndarray, mask: np.ndarray, *, strength: float = 20.0, feather: float = 0.0) -> Edit:
    """Bilateral smoothing, which keeps edges and takes the sensor noise away."""
    image = _process_box(host, mask, lambda part: cv2.bilateralFilter(part, 5, strength, 3.0), feather)
    return Edit(image, mask, "denoise", {"strength": strength, "feather": feather})


def jpeg_ghost(host: np.ndarray, mask: np.ndarray, quality: int, *, feather: float = 0.0) -> Edit:
    """The region was once saved at `quality` on the grid that begins at (0, 0) (Farid 2009).

    That is the picture's own grid, unless it was cut at another place and never saved since.
    """
    step = degrade.Jpeg(quality=quality)
    return Edit(
        _process_box(host, mask, step.apply, feather), mask, "jpeg_ghost", {"quality": quality, "feather": feather}
    )


def foreign_grid(
    host: np.ndarray, mask: np.ndarray, quality: int, offset: tuple[int, int], *, feather: float = 0.0
) -> Edit:
    """The region was once saved at `quality` with blocks that begin at `offset` (x, y), each 0..7, not both 0."""
    if offset == (0, 0):
        raise ValueError("offset (0, 0) is no foreign grid; use `jpeg_ghost` for that")
    step = degrade.Jpeg(quality=quality, offset=offset)
    parameters = {"quality": quality, "grid_x": offset[0], "grid_y": offset[1], "feather": feather}
    return Edit(_process_box(host, mask, step.apply, feather), mask, "foreign_grid", parameters)
