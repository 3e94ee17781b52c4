"""Registration of two pictures of one scene: the only place where one picture's pixels are brought onto another's.

For pairs that share most of their content: an original and its edited, resized, cropped, turned or re-saved copy; a
thumbnail and its image. First the two cheap guesses (same place; one stretched to the other's size), then SIFT (Lowe,
IJCV 2004) with MAGSAC++ (Barath et al., CVPR 2020) as in OpenCV; every guess is refined to sub-pixel by a robust
inverse-compositional Gauss-Newton on locally normalised luminance (Baker & Matthews, IJCV 2004), which is what ECC
does but for the weights: an edited area must not pull. The simplest motion that explains the pair is kept, and motions
that need no interpolation (nothing, whole pixels) are snapped to. Deliberately left out: mirrored pairs, parallax and
local warps, lens distortion, and every decision about what differs (that is the caller's).

Frames: xy in pixels, pixel centres at integers. `Registration.matrix` maps the reference to the questioned picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import cv2
import numpy as np

from fakeexplain.imaging._refinement import Model, nearest, refine, steepest

_MODELS: tuple[Model, ...] = get_args(Model)

_WORKING_PIXELS = 1.2e6  # keypoints and refinement see at most this; places scale back by less than a twentieth pixel
_MAX_KEYPOINTS = 2500
_RATIO = 0.8
_ALIGNED_CORRELATION = 0.6  # of a block; unrelated blocks of 12 and more pixels do not reach it but by rare chance
_MIN_ALIGNED_BLOCKS = 5
_MIN_ALIGNED_FRACTION = 0.25  # a picture of which three quarters were replaced is not the same picture any more
_SNAP_PIXELS = 0.12


@dataclass(frozen=True)
class RegistrationQuality:
    """How far a registration can be believed.

    Attributes:
        found: the pictures show the same scene and `matrix` says how they lie on each other.
        model: the simplest motion that explained the pair.
        aligned_fraction: share of textured blocks of the overlap whose correlation is at least 0.6, in [0, 1].
        correlation: median over those blocks, in [-1, 1]; 0 where no block is textured.
        textured_blocks: how many blocks that judgement rests on.
        matches, inliers: keypoint matches and those that MAGSAC kept; 0 where the cheap guesses sufficed.
        overlap_fraction: share of the questioned picture that the reference covers.
        reason: why it was not found, in words; "" otherwise.
    """

    found: bool
    model: Model
    aligned_fraction: float
    correlation: float
    textured_blocks: int
    matches: int = 0
    inliers: int = 0
    overlap_fraction: float = 1.0
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Registration:
    """matrix: float64 3x3, reference xy -> questioned xy. overlap_mask: bool HxW, frame of the questioned picture."""

    matrix: np.ndarray
    overlap_mask: np.ndarray = field(repr=False)
    quality: RegistrationQuality

    @property
    def exact(self) -> bool:
        """Whether pixels fall on pixels: nothing has to be interpolated."""
        return is_whole_pixel_shift(self.matrix)


def register(reference_rgb: np.ndarray, questioned_rgb: np.ndarray) -> Registration:
    """Where the reference lies in the questioned picture.

    Args:
        reference_rgb, questioned_rgb: uint8 HxWx3, of any two sizes.

    Returns:
        Registration; with `quality.found` False its matrix is the identity and its overlap what the frames share.
    """
    reference, reference_scale = _working_luma(reference_rgb)
    questioned, questioned_scale = _working_luma(questioned_rgb)
    pair = _Pair(reference, questioned)
    tried: list[_Fit] = []
    matches = inliers = 0
    for start in _cheap_starts(reference_rgb.shape, questioned_rgb.shape):
        guess = _rescaled(start, reference_scale, questioned_scale)
        tried.append(_simplest(pair, {"identity": guess, "translation": guess}))
        if tried[-1].convincing:
            break
    else:
        seen, matches, inliers = _from_keypoints(pair)
        if seen is not None:
            starts: dict[Model, np.ndarray] = {m: nearest(seen, m, questioned.shape) for m in _MODELS[1:]}
            tried.append(_simplest(pair, starts))
    nothing = _Fit(np.eye(3), "identity", np.inf)
    best = max(tried, key=lambda fit: (fit.aligned_fraction, fit.correlation), default=nothing)
    matrix = _rescaled(best.matrix, 1 / reference_scale, 1 / questioned_scale)
    found, reason = best.found, ""
    if not found:
        for start in _cheap_starts(reference_rgb.shape, questioned_rgb.shape):
            if pair.alike(_rescaled(start, reference_scale, questioned_scale)):
                found, matrix = True, start
    if not found:
        few = pair.flat
        reason = "too little texture to compare the pictures" if few else "the pictures do not show the same scene"
        matrix = np.eye(3)
    model = best.model
    if found:
        matrix, model = _snapped(matrix, reference_rgb.shape, questioned_rgb.shape, model)
    overlap_mask = _overlap(matrix, reference_rgb.shape[:2], questioned_rgb.shape[:2])
    quality = RegistrationQuality(
        found=found,
        model=model,
        aligned_fraction=round(best.aligned_fraction, 4),
        correlation=round(best.correlation, 4),
        textured_blocks=best.blocks,
        matches=matches,
        inliers=inliers,
        overlap_fraction=round(float(overlap_mask.mean()), 4),
        reason=reason,
    )
    return Registration(matrix, overlap_mask, quality)


def is_whole_pixel_shift(matrix: np.ndarray) -> bool:
    """Whether a 3x3 matrix only moves by whole pixels."""
    moved = np.eye(3)
    moved[:2, 2] = np.rint(matrix[:2, 2])
    return bool(np.array_equal(matrix, moved))


def warp_to(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], *, cubic: bool = True) -> np.ndarray:
    """`image` (HxW or HxWxC, uint8 or float32) in another frame of `size` (width, height).

    Whole-pixel shifts copy values bit for bit. Where `matrix` makes the picture smaller it is smoothed first, so that
    nothing aliases. What lies outside repeats the border; ask `Registration.overlap_mask`.
    """
    if is_whole_pixel_shift(matrix):
        flags = cv2.INTER_NEAREST
    else:
        flags = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        shrink = 1.0 / max(_local_scale(matrix, image.shape[1] / 2, image.shape[0] / 2), 1e-6)
        if shrink > 1.05:
            image = cv2.GaussianBlur(image, (0, 0), 0.45 * np.sqrt(shrink**2 - 1.0))
    return cv2.warpPerspective(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


# --- what is compared -----------------------------------------------------------------------------------------------


class _Pair:
    """Both pictures at working size, normalised, with the pixels that drive the refinement."""

    def __init__(self, reference: np.ndarray, questioned: np.ndarray) -> None:
        self.reference, self.questioned = reference, questioned
        self.block = int(np.clip(min(questioned.shape) // 12, 12, 32))
        self.levels = [(_normalised(reference, s), _normalised(questioned, s)) for s in (2.5, 1.0)]
        self.samples = [steepest(q) for _, q in self.levels]
        textured = _block_sums(_spread(questioned), self.block)[0] / self.block**2 > 3.0
        self.textured = textured
        self.flat = int(textured.sum()) < _MIN_ALIGNED_BLOCKS

    def agreement(self, matrix: np.ndarray) -> tuple[float, float, int]:
        """(aligned fraction, median correlation, textured blocks inside the overlap) for a working-size matrix."""
        height, width = self.questioned.shape
        moved = cv2.warpPerspective(
            self.levels[1][0], matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=float("nan")
        )
        inside = np.isfinite(moved)
        here = self.levels[1][1]
        moved = np.where(inside, moved, 0.0).astype(np.float32)
        count = self.block**2
        whole = _block_sums(inside.astype(np.float32), self.block)[0] > 0.99 * count
        a, b, aa, bb, ab = _block_sums(moved, self.block, here, moved * moved, here * here, moved * here)
        covariance = ab - a * b / count
        power = np.maximum(aa - a * a / count, 0.0) * np.maximum(bb - b * b / count, 0.0)
        usable = whole & self.textured
        values = (covariance / np.sqrt(np.maximum(power, 1e-9)))[usable]
        if values.size == 0:
            return 0.0, 0.0, 0
        return float((values > _ALIGNED_CORRELATION).mean()), float(np.median(values)), int(values.size)

    def alike(self, matrix: np.ndarray) -> bool:
        """Whether most pixels hold about the same value: the judgement for scenes almost without texture."""
        height, width = self.questioned.shape
        moved = cv2.warpPerspective(self.reference, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return bool(np.mean(np.abs(moved - self.questioned) <= 6.0) > 0.7)


def _working_luma(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """(float32 luma of at most `_WORKING_PIXELS`, factor by which the sides shrank)."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    factor = min(1.0, float(np.sqrt(_WORKING_PIXELS / grey.size)))
    if factor < 1.0:
        size = (max(round(grey.shape[1] * factor), 1), max(round(grey.shape[0] * factor), 1))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return grey.astype(np.float32), factor


def _normalised(luma: np.ndarray, sigma: float) -> np.ndarray:
    """Smoothed luma less its local mean, over its local spread: tone changes fall out."""
    smooth = cv2.GaussianBlur(luma, (0, 0), sigma)
    side = (21, 21)
    mean = cv2.blur(smooth, side)
    spread = np.sqrt(np.maximum(cv2.blur(smooth * smooth, side) - mean * mean, 0.0))
    return ((smooth - mean) / (spread + np.float32(5.0))).astype(np.float32)


def _spread(luma: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.0)
    mean = cv2.blur(smooth, (9, 9))
    return np.sqrt(np.maximum(cv2.blur(smooth * smooth, (9, 9)) - mean * mean, 0.0))


def _block_sums(first: np.ndarray, block: int, *others: np.ndarray) -> list[np.ndarray]:
    """Sums over whole blocks of each plane, float64; at least one block, if only a partial one."""
    height, width = first.shape
    rows, columns = np.arange(0, max(height - block, 0) + 1, block), np.arange(0, max(width - block, 0) + 1, block)
    last_row, last_column = rows[-1] + block, columns[-1] + block
    sums = []
    for plane in (first, *others):
        part = plane[:last_row, :last_column].astype(np.float64)
        sums.append(np.add.reduceat(np.add.reduceat(part, rows, axis=0), columns, axis=1))
    return sums


# --- guesses --------------------------------------------------------------------------------------------------------


def _cheap_starts(reference: tuple[int, ...], questioned: tuple[int, ...]) -> list[np.ndarray]:
    """Full-size guesses: same corner when sizes agree, else one stretched to the other's size when shapes agree."""
    sx, sy = questioned[1] / reference[1], questioned[0] / reference[0]
    if sx == sy == 1.0:
        return [np.eye(3)]
    return [_stretch(sx, sy)] if abs(sx / sy - 1.0) < 0.03 else []


def _stretch(sx: float, sy: float) -> np.ndarray:
    """How a resize moves pixel centres: x' = (x + 1/2) s - 1/2."""
    return np.array([[sx, 0.0, (sx - 1.0) / 2], [0.0, sy, (sy - 1.0) / 2], [0.0, 0.0, 1.0]])


def _rescaled(matrix: np.ndarray, reference_scale: float, questioned_scale: float) -> np.ndarray:
    """A matrix between full-size frames as one between the frames shrunk by these factors."""
    shrunk = _stretch(questioned_scale, questioned_scale) @ matrix
    return np.asarray(shrunk @ np.linalg.inv(_stretch(reference_scale, reference_scale)))


def _from_keypoints(pair: _Pair) -> tuple[np.ndarray | None, int, int]:
    """(working-size homography or None, matches, inliers)."""
    sift = cv2.SIFT.create(_MAX_KEYPOINTS, 3, 0.02, 12, 1.6, True)
    described = []
    for plane in (pair.reference, pair.questioned):
        points, values = sift.detectAndCompute(np.clip(np.rint(plane), 0, 255).astype(np.uint8), None)
        if values is None or len(points) < 8:
            return None, 0, 0
        root = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-6))
        described.append((np.array([p.pt for p in points]), root.astype(np.float32)))
    (here, first), (there, second) = described
    nearest = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first, second, k=2)
    good = [(m[0].queryIdx, m[0].trainIdx) for m in nearest if len(m) == 2 and m[0].distance < _RATIO * m[1].distance]
    if len(good) < 8:
        return None, len(good), 0
    pairs = np.array(good)
    cv2.setRNGSeed(0)
    matrix, kept = cv2.findHomography(here[pairs[:, 0]], there[pairs[:, 1]], cv2.USAC_MAGSAC, 2.0, None, 5000, 0.999)
    inliers = int(kept.sum()) if kept is not None else 0
    if matrix is None or inliers < 8 or not _plausible(matrix, pair.reference.shape):
        return None, len(good), inliers
    return matrix / matrix[2, 2], len(good), inliers


def _plausible(matrix: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Corners in front, not mirrored, no extreme scale."""
    height, width = shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], float) @ matrix.T
    if not np.isfinite(corners).all() or (corners[:, 2] / corners[0, 2] < 0.2).any():
        return False
    scale = _local_scale(matrix, width / 2, height / 2)
    return bool(np.linalg.det(matrix / matrix[2, 2]) > 0 and 0.05 < scale < 20.0)


def _local_scale(matrix: np.ndarray, x: float, y: float) -> float:
    """Square root of the area scale at a point."""
    w = matrix[2] @ np.array([x, y, 1.0])
    return float(np.sqrt(max(abs(np.linalg.det(matrix)) / max(abs(w) ** 3, 1e-12), 0.0)))


# --- fits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fit:
    matrix: np.ndarray
    model: Model
    cost: float
    aligned_fraction: float = 0.0
    correlation: float = 0.0
    blocks: int = 0

    @property
    def found(self) -> bool:
        enough = self.aligned_fraction * self.blocks >= _MIN_ALIGNED_BLOCKS
        return enough and self.aligned_fraction >= _MIN_ALIGNED_FRACTION

    @property
    def convincing(self) -> bool:
        """So good that no other guess need be tried."""
        return self.found and self.aligned_fraction >= 0.5 and self.correlation >= 0.85


def _simplest(pair: _Pair, starts: dict[Model, np.ndarray]) -> _Fit:
    """Refines each motion model from its start, simplest first, and keeps the first whose cost is within 2 % of the
    best."""
    references, shape = [reference for reference, _ in pair.levels], pair.questioned.shape
    fits = [(*refine(references, pair.samples, shape, start, model), model) for model, start in starts.items()]
    least = min(cost for _, cost, _ in fits)
    matrix, cost, model = next(fit for fit in fits if fit[1] <= 1.02 * least + 1e-9)
    return _Fit(matrix, model, cost, *pair.agreement(matrix))


# --- the last touch -------------------------------------------------------------------------------------------------


def _corner_distance(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    height, width = shape[:2]
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]], float)
    one, two = corners @ a.T, corners @ b.T
    return float(np.abs(one[:, :2] / one[:, 2:] - two[:, :2] / two[:, 2:]).max())


def _snapped(
    matrix: np.ndarray, reference: tuple[int, ...], questioned: tuple[int, ...], model: Model
) -> tuple[np.ndarray, Model]:
    """The identity, a whole-pixel shift or the plain resize, where the matrix is that but for measuring error."""
    matrix = matrix / matrix[2, 2]
    shift = np.eye(3)
    shift[:2, 2] = np.rint(matrix[:2, 2])
    if _corner_distance(matrix, shift, reference) < _SNAP_PIXELS:
        return shift, "translation" if shift[:2, 2].any() else "identity"
    plain = _stretch(questioned[1] / reference[1], questioned[0] / reference[0])
    if _corner_distance(matrix, plain, reference) < _SNAP_PIXELS:
        return plain, "stretch"
    return matrix, model


def _overlap(matrix: np.ndarray, reference: tuple[int, ...], questioned: tuple[int, ...]) -> np.ndarray:
    """bool HxW: the questioned pixels whose place in the reference lies inside its frame."""
    size = (questioned[1], questioned[0])
    everywhere = np.full(reference[:2], 255, np.uint8)
    return np.asarray(cv2.warpPerspective(everywhere, matrix, size, flags=cv2.INTER_LINEAR, borderValue=0) > 127)
