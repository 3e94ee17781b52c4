"""Looks at the pixels of two places that a map relates: how alike they are, how far the likeness reaches, and whether
they share what only a copy shares.

Two exposures of similar things (windows of a facade, two bottles of one brand) agree in their large edges; their fine
residual - noise, small texture, compression errors - does not. A copy agrees in both, window after window, also between
the edges. So the law counts small windows whose high-pass residuals correlate, over the *filled* region that the
likeness spans, not only where it is best. Left out: proposing places (`keypoints`) and wording (`copy_move`).

Frames: everything computed here lives in a patch of the picture, `box_xyxy`, around the first place.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

WINDOW, STRIDE = 9, 8
SURROUNDINGS = 41
_RESIDUAL_SIGMA = 1.5
_ROUGH_AGREEMENT = 0.25  # residual correlation around the seeds below which registration is not tried
_SIMILAR = 0.75  # local correlation of grey levels that the region grows through
_MIN_REGION = 300  # pixels
_HALF_STEPS = ((-0.3, -0.3), (0.3, -0.3), (-0.3, 0.3), (0.3, 0.3))


@dataclass(frozen=True)
class Comparison:
    """What two places share.

    Attributes:
        transform: float64 (2, 3), from the first place to the second, after registration.
        box_xyxy: patch of the first place.
        region_mask: bool, patch: the first place.
        correlation: float32 (n,), of the residuals in each eligible window of the region.
        activity: float32 (n,), standard deviation of the weaker residual, grey levels.
        exact: bool (n,): the window is bit-identical in both places (whole-pixel shifts only).
        windows: windows of the region, eligible or not.
    """

    transform: np.ndarray
    box_xyxy: tuple[int, int, int, int]
    region_mask: np.ndarray
    correlation: np.ndarray
    activity: np.ndarray
    exact: np.ndarray
    windows: int


def scale_of(transform: np.ndarray) -> float:
    """Linear magnification, sqrt(|det|)."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def apply_map(transform: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(n, 2) -> (n, 2)."""
    return xy @ transform[:, :2].T + transform[:, 2]


def invert_map(transform: np.ndarray) -> np.ndarray:
    """The inverse affine map (2, 3)."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def is_shift(transform: np.ndarray) -> bool:
    """A whole-pixel shift, exactly."""
    return bool((transform[:, :2] == np.eye(2)).all() and (transform[:, 2] == np.rint(transform[:, 2])).all())


def patch_box(seeds: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """Box around the seeds with room to grow, at most 1200 pixels wide and high (time and memory on large pictures)."""
    middle = np.median(seeds, axis=0)
    low, high = np.maximum(seeds.min(axis=0), middle - 500), np.minimum(seeds.max(axis=0), middle + 500)
    margin = np.clip(0.6 * (high - low).max(), 80, 100)
    x0, y0 = np.maximum(low - margin, 0).astype(int)
    x1, y1 = np.minimum(high + margin + 1, (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def warp(plane: np.ndarray, transform: np.ndarray, box_xyxy: tuple[int, int, int, int]) -> np.ndarray:
    """The second place in the frame of the patch: float32 of the patch's shape; NaN outside the picture."""
    x0, y0, x1, y1 = box_xyxy
    height, width = plane.shape
    corners = apply_map(transform, np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], float))
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - 3, 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 4, (left + 1, top + 1), (width, height))
    if is_shift(transform):
        result = np.full((y1 - y0, x1 - x0), np.nan, np.float32)
        dx, dy = int(transform[0, 2]), int(transform[1, 2])
        xa, ya, xb, yb = max(x0 + dx, 0), max(y0 + dy, 0), min(x1 + dx, width), min(y1 + dy, height)
        if xb > xa and yb > ya:
            result[ya - dy - y0 : yb - dy - y0, xa - dx - x0 : xb - dx - x0] = plane[ya:yb, xa:xb]
        return result
    local = transform.copy()
    local[:, 2] += transform[:, :2] @ (x0, y0) - (left, top)
    return cv2.warpAffine(
        np.ascontiguousarray(plane[top:bottom, left:right]),
        local,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float("nan"),
    )


def local_correlation(a: np.ndarray, b: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(correlation, std of a, std of b) in size x size windows, float32 at every pixel."""

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, (size, size), borderType=cv2.BORDER_REFLECT)

    a, b = a - a.mean(), b - b.mean()  # keeps float32 accurate
    ma, mb = mean(a), mean(b)
    va = np.maximum(mean(a * a) - ma * ma, 0.0)
    vb = np.maximum(mean(b * b) - mb * mb, 0.0)
    correlation = (mean(a * b) - ma * mb) / np.sqrt(np.maximum(va * vb, 1e-6))
    return (
        np.clip(correlation, -1, 1).astype(np.float32),
        np.sqrt(va).astype(np.float32),
        np.sqrt(vb).astype(np.float32),
    )


def high_pass(plane: np.ndarray, scale: float) -> np.ndarray:
    """Residual of float32 HxW. `scale` < 1 says that the other place holds less detail: smooth to its level first."""
    if scale < 0.97:
        plane = cv2.GaussianBlur(plane, (0, 0), 0.45 * float(np.sqrt(1 / scale**2 - 1)) + 0.3)
    return plane - cv2.GaussianBlur(plane, (0, 0), _RESIDUAL_SIGMA)


def compare(
    luma: np.ndarray, rgb: np.ndarray, transform: np.ndarray, seeds: np.ndarray, exact: bool
) -> Comparison | None:
    """Grows the region from the seeds and measures the residual in it.

    Args:
        luma: float32 HxW; rgb: uint8 HxWx3.
        transform: first place -> second; magnification at most 1, see `orient_map`.
        seeds: (k, 2) points of the first place.
        exact: only bit-identical pixels count as alike.

    Returns:
        None when nothing of at least 300 pixels grows, or when both places are the same.
    """
    height, width = luma.shape
    box = patch_box(seeds, height, width)
    x0, y0, x1, y1 = box
    seeds = seeds[((seeds >= (x0, y0)) & (seeds <= (x1 - 1, y1 - 1))).all(axis=1)]
    if len(seeds) < 3:
        return None
    first = np.ascontiguousarray(luma[y0:y1, x0:x1])
    if exact:
        region = _grow_exact(rgb, transform, box, seeds)
    else:
        registered = _register(luma, first, transform, box, seeds)
        if registered is None:
            return None
        transform = registered
        region = _grow_alike(luma, first, transform, box, seeds)
    region = _one_side(region, transform, box)
    if int(region.sum()) < _MIN_REGION:
        return None
    second = warp(luma, transform, box)
    valid = np.isfinite(second)
    second = np.where(valid, second, first)
    scale = scale_of(transform)
    residual_a, residual_b = high_pass(first, scale), high_pass(second, 1.0)
    correlation, std_a, std_b = local_correlation(residual_a, residual_b, WINDOW)
    same = _identical_map(rgb, transform, box) if is_shift(transform) else np.zeros(region.shape, bool)
    same_window = cv2.erode(same.astype(np.uint8), np.ones((WINDOW, WINDOW), np.uint8)) > 0
    lattice = np.zeros(region.shape, bool)
    lattice[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] = True
    # Windows that hang over the rim of the region would mix copy and surroundings.
    core = cv2.erode(region.astype(np.uint8), np.ones((WINDOW - 2, WINDOW - 2), np.uint8)) > 0
    lattice &= core & valid
    eligible = lattice & _eligible(rgb, box, std_a, std_b, same_window)
    return Comparison(
        transform,
        box,
        region,
        correlation[eligible],
        np.minimum(std_a, std_b)[eligible],
        same_window[eligible],
        int(lattice.sum()),
    )


def _eligible(
    rgb: np.ndarray, box: tuple[int, int, int, int], std_a: np.ndarray, std_b: np.ndarray, same: np.ndarray
) -> np.ndarray:
    """Windows that could tell a copy: not flat, not clipped, not drawn (few levels, sharp steps between flat parts)."""
    x0, y0, x1, y1 = box
    patch = rgb[y0:y1, x0:x1]
    green = patch[..., 1]
    kernel = np.ones((WINDOW, WINDOW), np.uint8)
    clipped = cv2.boxFilter(
        ((patch.max(axis=2) > 245) | (patch.max(axis=2) < 10)).astype(np.float32), -1, (WINDOW, WINDOW)
    )
    flat = np.zeros(green.shape, np.float32)
    flat[:, 1:] = green[:, 1:] == green[:, :-1]
    mostly_flat = cv2.boxFilter(flat, -1, (WINDOW, WINDOW)) > 0.6
    # A drawing is flat all around its edges; a photograph's surroundings carry noise.
    drawing = cv2.boxFilter(flat, -1, (SURROUNDINGS, SURROUNDINGS)) > 0.6
    steep = cv2.dilate(green, kernel).astype(np.int16) - cv2.erode(green, kernel) > 60
    weakest = np.minimum(std_a, std_b)
    strongest = np.maximum(std_a, std_b)
    active = np.where(same, weakest > 0.35, (weakest > 0.8) & (strongest < 4 * weakest))
    drawn = drawing | (mostly_flat & (steep | ~same)) | (steep & (clipped > 0.06))
    return active & ~drawn & (clipped < 0.25)


def _identical_map(rgb: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """bool, patch: all three channels equal at a whole-pixel shift."""
    x0, y0, x1, y1 = box
    height, width = rgb.shape[:2]
    dx, dy = int(transform[0, 2]), int(transform[1, 2])
    same = np.zeros((y1 - y0, x1 - x0), bool)
    xa, ya, xb, yb = max(x0, -dx), max(y0, -dy), min(x1, width - dx), min(y1, height - dy)
    if xb > xa and yb > ya:
        equal = (rgb[ya:yb, xa:xb] == rgb[ya + dy : yb + dy, xa + dx : xb + dx]).all(axis=2)
        same[ya - y0 : yb - y0, xa - x0 : xb - x0] = equal
    return same


def _seeded(alike: np.ndarray, box: tuple[int, int, int, int], seeds: np.ndarray, close: int) -> np.ndarray:
    """Components of `alike` that hold seeds, bridged over gaps of `close` pixels, holes filled."""
    labels, count = ndimage.label(alike)
    if not count:
        return alike
    at = np.rint(seeds - (box[0], box[1])).astype(int)
    votes = np.bincount(labels[at[:, 1], at[:, 0]], minlength=count + 1)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    wanted = (votes > 0) & (areas >= 60)
    wanted[0] = False
    chosen = wanted[labels].astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (close, close))
    padded = cv2.copyMakeBorder(chosen, close, close, close, close, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[close:-close, close:-close]
    filled = ndimage.binary_fill_holes(closed).astype(np.uint8)
    opened = cv2.morphologyEx(filled, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    return _largest_parts(opened > 0)


def _largest_parts(mask: np.ndarray) -> np.ndarray:
    """Without the crumbs: components of less than a tenth of the largest."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return (areas >= 0.1 * areas.max())[labels] & mask


def _grow_exact(
    rgb: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int], seeds: np.ndarray
) -> np.ndarray:
    same = _identical_map(rgb, transform, box)
    share = cv2.boxFilter(same.astype(np.float32), -1, (5, 5))
    return _seeded(share > 0.9, box, seeds, 7)


def _grow_alike(
    luma: np.ndarray, first: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int], seeds: np.ndarray
) -> np.ndarray:
    second = warp(luma, transform, box)
    valid = np.isfinite(second)
    second = np.where(valid, second, 0.0)
    a = cv2.GaussianBlur(first, (0, 0), 0.8)
    b = cv2.GaussianBlur(second, (0, 0), 0.8)
    correlation, std_a, std_b = local_correlation(a, b, WINDOW)
    at = np.rint(seeds - (box[0], box[1])).astype(int)
    offset = float(np.median((a - b)[at[:, 1], at[:, 0]]))
    difference = cv2.boxFilter((a - b - offset) ** 2, -1, (WINDOW, WINDOW))
    smooth = (np.maximum(std_a, std_b) < 3.0) & (difference < 2.0) & (correlation > 0.3)
    alike = ((correlation > _SIMILAR) & (np.minimum(std_a, std_b) > 0.5)) | smooth
    inside = cv2.erode(valid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return _seeded(alike & inside, box, seeds, 11)


def _register(
    luma: np.ndarray, first: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int], seeds: np.ndarray
) -> np.ndarray | None:
    """The map refined on the pixels around the seeds; a whole-pixel shift where that fits at least as well.

    None when the residuals do not agree at all, even roughly: not worth refining.
    """
    spots = np.zeros(first.shape, np.uint8)
    at = np.rint(seeds - (box[0], box[1])).astype(int)
    spots[at[:, 1], at[:, 0]] = 1
    near = cv2.dilate(spots, np.ones((25, 25), np.uint8))
    candidates = [transform]
    # A plain, mirrored or quarter-turned copy moves whole pixels, and then nothing needs resampling.
    whole = np.rint(transform[:, :2])
    if np.abs(transform[:, :2] - whole).max() * max(float(np.ptp(seeds, axis=0).max()), 50.0) < 4.0:
        middle = np.median(apply_map(transform, seeds) - seeds @ whole.T, axis=0)
        candidates += [np.column_stack([whole, np.rint(middle + d)]) for d in _HALF_STEPS]
    scored = [(_fit_quality(luma, first, t, box, near), -i, t) for i, t in enumerate(candidates)]
    best_quality, _, best = max(scored, key=lambda s: s[:2])
    if best_quality < _ROUGH_AGREEMENT:
        return None
    if (best is not transform and best_quality > 0.6) or best_quality > 0.9:
        return best
    rough = warp(luma, best, box)
    mask = near * np.isfinite(rough).astype(np.uint8)
    try:
        _, step = cv2.findTransformECC(
            cv2.GaussianBlur(first, (0, 0), 0.7),
            cv2.GaussianBlur(np.nan_to_num(rough), (0, 0), 0.7),
            np.eye(2, 3, dtype=np.float32),
            cv2.MOTION_AFFINE,
            (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 8, 1e-6),
            mask,
            1,
        )
    except cv2.error:  # does not converge: the rough map stays
        return best
    # ECC maps patch to warped patch: compose in the frame of the picture.
    local = step.astype(np.float64)
    corner = np.array([box[0], box[1]], float)
    local[:, 2] += corner - local[:, :2] @ corner
    refined = np.column_stack([best[:, :2] @ local[:, :2], best[:, :2] @ local[:, 2] + best[:, 2]])
    if not np.isfinite(refined).all() or _fit_quality(luma, first, refined, box, near) < best_quality:
        return best
    return refined


def _fit_quality(
    luma: np.ndarray, first: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int], near: np.ndarray
) -> float:
    """Correlation of the residuals over all pixels near the seeds."""
    second = warp(luma, transform, box)
    use = (near > 0) & np.isfinite(second)
    if use.sum() < 50:
        return -1.0
    a = high_pass(first, scale_of(transform))[use]
    b = high_pass(np.nan_to_num(second), 1.0)[use]
    a, b = np.clip(a - a.mean(), -12, 12), np.clip(b - b.mean(), -12, 12)
    return float((a * b).mean() / max(np.sqrt((a * a).mean() * (b * b).mean()), 1e-6))


def _one_side(region: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Without what belongs to the other place: a region and its image may not overlap.

    Under a mirror map or a half turn both places grow at once; components that are images of larger ones go.
    """
    labels, count = ndimage.label(region)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    kept = np.zeros(region.shape, bool)
    image = np.zeros(region.shape, bool)
    for label in areas.argsort(kind="stable")[::-1][:count]:
        part = labels == label
        if (part & image).sum() > 0.3 * areas[label]:
            continue
        own_image = image_of(part, transform, box, box)
        if (part & own_image).sum() > 0.3 * areas[label]:
            continue
        kept |= part
        image |= own_image
    return kept & ~image


def image_of(
    mask: np.ndarray, transform: np.ndarray, box: tuple[int, int, int, int], target: tuple[int, int, int, int]
) -> np.ndarray:
    """The mask of patch `box` moved by the map, as a mask of patch `target`."""
    back = invert_map(transform)
    local = back.copy()
    local[:, 2] += back[:, :2] @ (target[0], target[1]) - (box[0], box[1])
    size = (target[2] - target[0], target[3] - target[1])
    moved = cv2.warpAffine(mask.astype(np.float32), local, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return moved > 0.5
