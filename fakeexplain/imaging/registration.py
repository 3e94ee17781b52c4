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

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import cv2
import numpy as np

Model = Literal["identity", "translation", "stretch", "similarity", "affine", "homography"]
_MODELS: tuple[Model, ...] = get_args(Model)

_WORKING_PIXELS = 1.2e6  # keypoints and refinement see at most this; places scale back by less than a twentieth pixel
_MAX_KEYPOINTS = 2500
_RATIO = 0.8
_SAMPLES = 60_000  # pixels that drive the refinement: those with the steepest slopes
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
            starts: dict[Model, np.ndarray] = {m: _nearest(seen, m, questioned.shape) for m in _MODELS[1:]}
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
        self.samples = [_steepest(q) for _, q in self.levels]
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


@dataclass(frozen=True)
class _Samples:
    """xy float64 (n, 2), values and slopes (n, 2) of the questioned picture there."""

    xy: np.ndarray
    values: np.ndarray
    slopes: np.ndarray


def _steepest(plane: np.ndarray) -> _Samples:
    """The pixels with the steepest slopes, evenly taken from a 4 x 4 grid so that no corner is left without a say."""
    gx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    gy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    power = gx * gx + gy * gy
    power[:2], power[-2:], power[:, :2], power[:, -2:] = 0, 0, 0, 0
    height, width = plane.shape
    chosen = []
    for y0, y1 in _parts(height):
        for x0, x1 in _parts(width):
            part = power[y0:y1, x0:x1]
            count = min(_SAMPLES // 16, int(part.size * 0.4))
            if count < 1:
                continue
            flat = np.argpartition(part.ravel(), part.size - count)[-count:]
            rows, columns = np.unravel_index(flat, part.shape)
            keep = part[rows, columns] > 1e-4
            chosen.append(np.stack([columns[keep] + x0, rows[keep] + y0], axis=1))
    xy = np.concatenate(chosen) if chosen else np.zeros((0, 2), np.int64)
    x, y = xy[:, 0], xy[:, 1]
    return _Samples(xy.astype(np.float64), plane[y, x], np.stack([gx[y, x], gy[y, x]], axis=1))


def _parts(length: int) -> Iterator[tuple[int, int]]:
    edges = np.linspace(0, length, 5).astype(int)
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


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


# --- refinement -----------------------------------------------------------------------------------------------------


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
    fits = [_refined(pair, start, model) for model, start in starts.items()]
    least = min(fit.cost for fit in fits)
    chosen = next(fit for fit in fits if fit.cost <= 1.02 * least + 1e-9)
    return _Fit(chosen.matrix, chosen.model, chosen.cost, *pair.agreement(chosen.matrix))


def _nearest(matrix: np.ndarray, model: Model, shape: tuple[int, ...]) -> np.ndarray:
    """The motion of a model that is closest to a homography over a frame (the target's), in the target's pixels."""
    if model == "homography":
        return matrix
    x, y = np.meshgrid(np.linspace(0, shape[1] - 1, 5), np.linspace(0, shape[0] - 1, 5))
    there = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    here = there @ np.linalg.inv(matrix).T
    here = here[:, :2] / here[:, 2:]
    basis = _basis(model, here)
    wanted = there[:, :2] - here
    p = np.linalg.lstsq(basis.reshape(-1, basis.shape[2]), wanted.ravel(), rcond=None)[0]
    return _increment(model, p)


def _basis(model: Model, xy: np.ndarray) -> np.ndarray:
    """Displacement (n, 2, k) of points per unit of each of the model's k parameters; xy are centred, of size 1."""
    x, y = xy[:, 0], xy[:, 1]
    one, nil = np.ones_like(x), np.zeros_like(x)
    columns = {
        "identity": [],
        "translation": [(one, nil), (nil, one)],
        "stretch": [(one, nil), (nil, one), (x, nil), (nil, y)],
        "similarity": [(one, nil), (nil, one), (x, y), (-y, x)],
        "affine": [(one, nil), (nil, one), (x, nil), (nil, y), (y, nil), (nil, x)],
        "homography": [(one, nil), (nil, one), (x, nil), (nil, y), (y, nil), (nil, x), (x * x, x * y), (x * y, y * y)],
    }[model]
    return np.stack([np.stack(c, axis=1) for c in columns], axis=2) if columns else np.zeros((len(x), 2, 0))


def _increment(model: Model, p: np.ndarray) -> np.ndarray:
    """3x3 matrix whose first-order displacement is `_basis` @ p."""
    m = np.eye(3)
    if p.size:
        m[0, 2], m[1, 2] = p[0], p[1]
    if model == "stretch":
        m[0, 0], m[1, 1] = 1 + p[2], 1 + p[3]
    elif model == "similarity":
        m[:2, :2] += [[p[2], -p[3]], [p[3], p[2]]]
    elif model in ("affine", "homography"):
        m[:2, :2] += [[p[2], p[4]], [p[5], p[3]]]
    if model == "homography":
        m[2, :2] = -p[6], -p[7]
    return m


def _refined(pair: _Pair, start: np.ndarray, model: Model) -> _Fit:
    """Robust inverse-compositional Gauss-Newton from coarse to fine; the cost is the mean Tukey loss of the fine
    level."""
    height, width = pair.questioned.shape
    size = max(height, width) / 2
    centred = np.array([[1 / size, 0, -(width - 1) / 2 / size], [0, 1 / size, -(height - 1) / 2 / size], [0, 0, 1.0]])
    back = np.linalg.inv(start)  # questioned -> reference
    cost = np.inf
    for (reference, _), samples in zip(pair.levels, pair.samples, strict=True):
        if len(samples.xy) < 50:
            break
        basis = _basis(model, samples.xy @ centred[:2, :2].T + centred[:2, 2])
        steepest = np.einsum("nc,nck->nk", samples.slopes, basis) * size
        last = np.inf
        for _ in range(12):
            residual, inside = _residual(reference, samples, back)
            if inside.sum() < 50:
                return _Fit(start, model, np.inf)
            scale = 1.4826 * float(np.median(np.abs(residual[inside]))) + 1e-3
            u = np.clip(residual / (4.0 * scale), -1, 1)
            weight = np.where(inside, (1 - u * u) ** 2, 0.0)
            # A fixed loss: one that followed the scale could not be compared between models.
            cost = float(np.minimum(residual[inside] ** 2, 0.25).mean())
            if not basis.shape[2] or cost > last * 0.9995:
                break
            last = cost
            normal = steepest.T @ (weight[:, None] * steepest)
            normal += 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
            p = np.linalg.solve(normal, steepest.T @ (weight * residual))
            step = np.linalg.inv(centred) @ _increment(model, p) @ centred
            back = back @ np.linalg.inv(step)
            back /= back[2, 2]
    return _Fit(np.linalg.inv(back), model, cost)


def _residual(reference: np.ndarray, samples: _Samples, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(reference at the mapped samples less the questioned values, whether the place lies inside)."""
    mapped = np.column_stack([samples.xy, np.ones(len(samples.xy))]) @ back.T
    xy = (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)
    height, width = reference.shape
    inside = (xy >= 1).all(axis=1) & (xy[:, 0] <= width - 2) & (xy[:, 1] <= height - 2)
    rows = -(-len(xy) // 256)
    padded = np.zeros((rows * 256, 2), np.float32)  # remap takes no more than 32767 rows or columns
    padded[: len(xy)] = xy
    grid = padded.reshape(rows, 256, 2)
    # OpenCV's own bilinear remap rounds places to 1/32 pixel, which is where the steps below would stop.
    values = _bilinear(reference, grid.reshape(-1, 2)[: len(xy)])
    return np.where(inside, values - samples.values, 0.0), inside


def _bilinear(plane: np.ndarray, xy: np.ndarray) -> np.ndarray:
    x = np.clip(xy[:, 0].astype(np.float64), 0, plane.shape[1] - 1.001)
    y = np.clip(xy[:, 1].astype(np.float64), 0, plane.shape[0] - 1.001)
    c, r = x.astype(np.int64), y.astype(np.int64)
    fx, fy = x - c, y - r
    flat = plane.ravel()
    place = r * plane.shape[1] + c
    below = place + plane.shape[1]
    top = flat[place] * (1 - fx) + flat[place + 1] * fx
    return np.asarray(top * (1 - fy) + (flat[below] * (1 - fx) + flat[below + 1] * fx) * fy)


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
