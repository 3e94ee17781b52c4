"""SIFT keypoints of a whole picture in tiles, matching of the picture with itself, and consensus of the matches.

Proposes places where a picture may repeat itself; whether a repetition is a copy is decided by `copy_move`, which looks
at the pixels. Two kinds of proposals: groups of keypoint matches that share one affine map (Lowe, "Distinctive image
features from scale-invariant keypoints", IJCV 2004; the absolute and the relative acceptance of matches follow Ehret,
"Automatic detection of internal copy-move forgeries in images", IPOL 2018, and Amerini et al., IEEE TIFS 2011), and,
for smooth places without keypoints, whole-pixel shifts at which many small blocks are bit-identical. Left out:
recognition, matching between two pictures, and every decision.

Frames: xy in pixels of the picture, pixel centres at integers. An affine map is float64 (2, 3) with
xy' = A[:, :2] xy + A[:, 2].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fakeexplain.instruments.statistics import log10_binomial_tail

TILE, OVERLAP = 1024, 48
CONTRAST_THRESHOLD = 0.008  # a fifth of OpenCV's default: copies are often smooth
_DENSITY = 0.014  # keypoints per pixel at most; large pictures get fewer, see `keypoint_budget`
_CELL = 64
_CHUNK = 1024
_RATIO = 0.8  # of distances, nearest over second nearest
_SURE = 0.30  # distance of unit descriptors below which a match needs no ratio (several copies of one thing)
_MAX_MATCHES = 1200
_HYPOTHESES = 240
_MIN_INLIERS = 3
_BLOCK = 8


@dataclass(frozen=True)
class Keypoints:
    """xy float32 (n, 2); size, angle (degrees, OpenCV's sense) float32 (n,); descriptors float32 (n, 128), unit."""

    xy: np.ndarray
    size: np.ndarray
    angle: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True)
class Matches:
    """Alike places: first, second int (m,) keypoint numbers; distance float32 (m,); mirrored bool (m,)."""

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    mirrored: np.ndarray


@dataclass(frozen=True)
class Proposal:
    """A map under which a part of the picture may repeat.

    Attributes:
        transform: float64 (2, 3), from the first place to the second.
        seeds: float32 (k, 2), points of the first place known to agree.
        inliers: keypoint matches, or blocks for `exact`, behind it.
        mirrored: whether the map turns left into right.
        exact: found as bit-identical blocks at a whole-pixel shift.
        log10_nfa: of the consensus alone, as geometry.
    """

    transform: np.ndarray
    seeds: np.ndarray
    inliers: int
    mirrored: bool
    exact: bool
    log10_nfa: float


def keypoint_budget(pixels: int) -> int:
    """Keypoints allowed in a picture: matching costs their square, so they grow with the side, not with the area."""
    return int(min(_DENSITY * pixels, 2200 + 2800 * (pixels / 1e6) ** 0.5))


def extract(grey: np.ndarray) -> Keypoints:
    """Keypoints of uint8 HxW; the strongest of each 64 x 64 cell, so that a busy corner does not starve the rest."""
    height, width = grey.shape
    density = keypoint_budget(height * width) / max(height * width, 1)
    # Without the precise upscale OpenCV's places are off by a quarter pixel, doubled under a mirror map.
    sift = cv2.SIFT.create(0, 3, CONTRAST_THRESHOLD, 12, 1.6, True)
    xy, size, angle, descriptors = [], [], [], []
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            y0, x0 = max(y - OVERLAP, 0), max(x - OVERLAP, 0)
            tile = np.ascontiguousarray(grey[y0 : y + TILE + OVERLAP, x0 : x + TILE + OVERLAP])
            if min(tile.shape) < 16:
                continue
            points = _strongest(sift.detect(tile, None), density)
            if not points:
                continue
            described, values = sift.compute(tile, points)
            if values is None:
                continue
            place = np.array([p.pt for p in described], np.float32) + np.array([x0, y0], np.float32)
            own = (place >= (x, y)).all(axis=1) & (place < (x + TILE, y + TILE)).all(axis=1)
            xy.append(place[own])
            size.append(np.array([p.size for p in described], np.float32)[own])
            angle.append(np.array([p.angle for p in described], np.float32)[own])
            descriptors.append(values[own])
    if not xy:
        empty = np.zeros(0, np.float32)
        return Keypoints(np.zeros((0, 2), np.float32), empty, empty, np.zeros((0, 128), np.float32))
    # Square roots of L1-normalised histograms (Hellinger distance) keep single strong edges from deciding.
    root = np.sqrt(np.concatenate(descriptors))
    root /= np.maximum(np.linalg.norm(root, axis=1, keepdims=True), 1e-6)
    return Keypoints(np.concatenate(xy), np.concatenate(size), np.concatenate(angle), root)


def _strongest(points: Sequence[cv2.KeyPoint], density: float) -> list[cv2.KeyPoint]:
    """As many as the budget allows, taken in turn from all cells."""
    if not points:
        return []
    place = np.array([p.pt for p in points])
    response = np.array([p.response for p in points])
    cell = (place // _CELL).astype(np.int64) @ (1, 1 << 20)
    order = np.lexsort((-response, cell))
    starts = np.flatnonzero(np.concatenate(([True], np.diff(cell[order]) != 0)))
    rank = np.arange(order.size) - np.repeat(starts, np.diff(np.concatenate((starts, [order.size]))))
    budget = max(int(density * np.ptp(place, axis=0).prod()), 8)
    # By rank within the cell first: every cell gives its best before any gives its second.
    chosen = order[np.lexsort((-response[order], rank))][:budget]
    return [points[i] for i in np.sort(chosen)]


def mirror_descriptors(descriptors: np.ndarray) -> np.ndarray:
    """What SIFT would describe in the mirrored picture: rows of cells reversed, orientations negated."""
    cells = descriptors.reshape(-1, 4, 4, 8)
    return np.ascontiguousarray(cells[:, ::-1, :, (-np.arange(8)) % 8]).reshape(-1, 128)


def self_match(points: Keypoints, min_distance: float) -> Matches:
    """Matches of the picture with itself and its mirror image, between places over `min_distance` pixels apart."""
    parts = [_match_to(points, points.descriptors, min_distance, False)]
    parts.append(_match_to(points, mirror_descriptors(points.descriptors), min_distance, True))
    first, second, distance, mirrored = (np.concatenate([p[i] for p in parts]) for i in range(4))
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, keep = np.unique((low * len(points.xy) + high) * 2 + mirrored, return_index=True)
    return Matches(low[keep], high[keep], distance[keep], mirrored[keep])


def _match_to(
    points: Keypoints, other: np.ndarray, min_distance: float, mirrored: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    count = len(points.xy)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for begin in range(0, count, _CHUNK):
        rows = np.arange(begin, min(begin + _CHUNK, count))
        similarity = points.descriptors[rows] @ other.T
        local = np.arange(rows.size)
        best: list[tuple[np.ndarray, np.ndarray]] = []
        # Keypoints with several orientations or scales sit at one place: five picks give two distinct far places.
        for _ in range(5):
            column = similarity.argmax(axis=1)
            best.append((column, similarity[local, column].copy()))
            similarity[local, column] = -2.0
        columns = np.stack([b[0] for b in best], axis=1)
        value = np.stack([b[1] for b in best], axis=1)
        gap = np.linalg.norm(points.xy[columns] - points.xy[rows][:, None], axis=2)
        value[gap < min_distance] = -1.0
        distance = np.sqrt(np.maximum(2.0 - 2.0 * value, 0.0))
        order = distance.argsort(axis=1, kind="stable")
        columns, distance = np.take_along_axis(columns, order, 1), np.take_along_axis(distance, order, 1)
        nearest = points.xy[columns[:, 0]]
        elsewhere = np.linalg.norm(points.xy[columns] - nearest[:, None], axis=2) > 8.0
        # Fewer than two far places among the picks: the last pick bounds the second distance from below.
        floor = np.sqrt(np.maximum(2.0 - 2.0 * best[-1][1], 0.0))
        second = np.where(elsewhere, distance, np.inf).min(axis=1)
        second = np.minimum(second, floor)
        valid = distance[:, 0] < 1.4
        good = valid & ((distance[:, 0] < _RATIO * second) | (distance[:, 0] < _SURE))
        found.append((rows[good], columns[good, 0], distance[good, 0]))
        also = (distance[:, 1] < _SURE) & elsewhere[:, 1]
        found.append((rows[also], columns[also, 1], distance[also, 1]))
    if not found:
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0, np.float32), np.zeros(0, bool)
    first, second_, distance_ = (np.concatenate([f[i] for f in found]) for i in range(3))
    return first, second_, distance_, np.full(first.size, mirrored)


def consensus(points: Keypoints, matches: Matches, area: float, max_models: int, seed: int) -> list[Proposal]:
    """Affine maps that several matches share, best first.

    Every match brings position, scale and angle, hence one similarity: hypotheses are single matches. The map is then
    refined to an affine one on its inliers. `log10_nfa` counts, as in AC-RANSAC (Moisan, Moulon, Monasse, IPOL 2012),
    tests x binomial tail of the inliers within the tolerance.
    """
    proposals: list[Proposal] = []
    for mirrored in (False, True):
        proposals += _consensus_one_sense(points, matches, area, max_models, seed, mirrored)
    return sorted(proposals, key=lambda p: p.log10_nfa)[:max_models]


def _consensus_one_sense(
    points: Keypoints, matches: Matches, area: float, max_models: int, seed: int, mirrored: bool
) -> list[Proposal]:
    chosen = np.flatnonzero(matches.mirrored == mirrored)
    chosen = chosen[matches.distance[chosen].argsort(kind="stable")][:_MAX_MATCHES]
    if chosen.size < _MIN_INLIERS:
        return []
    # Both directions, so that a group is found whichever end was called first.
    first = np.concatenate([matches.first[chosen], matches.second[chosen]])
    second = np.concatenate([matches.second[chosen], matches.first[chosen]])
    source, target = points.xy[first].astype(np.float64), points.xy[second].astype(np.float64)
    linear = _similarities(points, first, second, mirrored)
    pair = np.concatenate([np.arange(chosen.size)] * 2)
    rng = np.random.default_rng(seed)
    alive = np.ones(pair.size, bool)
    proposals: list[Proposal] = []
    for _ in range(max_models):
        pool = np.flatnonzero(alive)
        if pool.size < 2 * _MIN_INLIERS:
            break
        tries = pool if pool.size <= _HYPOTHESES else rng.choice(pool, _HYPOTHESES, replace=False)
        model = _best_model(source[pool], target[pool], source[tries], target[tries], linear[tries])
        if model is None:
            break
        transform, inlier, epsilon = model
        members = pool[inlier]
        log_p = np.log10(min(np.pi * epsilon**2 / area, 0.5))
        n, k = chosen.size, np.unique(pair[members]).size
        tail = float(log10_binomial_tail(max(n - 1, 1), min(k - 1, n - 1), 10.0**log_p))
        proposals.append(
            Proposal(transform, source[members].astype(np.float32), int(k), mirrored, False, np.log10(2.0 * n) + tail)
        )
        alive &= ~np.isin(pair, pair[members])
    return proposals


def _similarities(points: Keypoints, first: np.ndarray, second: np.ndarray, mirrored: bool) -> np.ndarray:
    """Linear parts (m, 2, 2) that single matches imply."""
    ratio = points.size[second] / points.size[first]
    a, b = np.deg2rad(points.angle[first]), np.deg2rad(points.angle[second])
    angle = b + a if mirrored else b - a
    c, s = ratio * np.cos(angle), ratio * np.sin(angle)
    rows = [[c, s], [s, -c]] if mirrored else [[c, -s], [s, c]]
    return np.moveaxis(np.array(rows, np.float64), 2, 0)


def _best_model(
    source: np.ndarray, target: np.ndarray, origin: np.ndarray, image: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """(transform, inlier bool (m,), tolerance in pixels) of the hypothesis with most agreeing matches, refined."""
    best_count, best = _MIN_INLIERS - 1, None
    constant = image - np.einsum("hij,hj->hi", linear, origin)
    s, t = source.astype(np.float32), target.astype(np.float32)
    for begin in range(0, len(origin), 60):
        part = slice(begin, begin + 60)
        away = np.abs(s[None] - origin[part, None].astype(np.float32)).max(axis=2)
        # Angle and scale of one keypoint are good to a few percent: tolerance grows with the distance from it.
        reach = np.minimum(3.0 + 0.06 * away, 14.0)
        agree = np.ones(reach.shape, bool)
        for axis in (0, 1):
            predicted = linear[part, axis].astype(np.float32) @ s.T + constant[part, axis, None].astype(np.float32)
            agree &= np.abs(predicted - t[:, axis]) < reach
        counts = agree.sum(axis=1)
        top = int(counts.argmax())
        if counts[top] > best_count:
            best_count, best = int(counts[top]), agree[top]
    if best is None:
        return None
    inlier, transform, epsilon = best, None, 6.0
    for epsilon in (6.0, 4.0, 2.5, 2.5):
        if inlier.sum() < _MIN_INLIERS:
            return None
        transform = fit_map(source[inlier], target[inlier])
        if transform is None:
            return None
        inlier = np.linalg.norm(source @ transform[:, :2].T + transform[:, 2] - target, axis=1) < epsilon
    if transform is None or inlier.sum() < _MIN_INLIERS:
        return None
    return transform, inlier, epsilon


def fit_map(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Least-squares affine map (2, 3); a similarity when the points are few; None when degenerate or absurd."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    a, b = source - mean_s, target - mean_t
    scatter = a.T @ a / len(a)
    spread = np.linalg.eigvalsh(scatter)
    if spread[1] < 1.0:
        return None
    if len(source) >= 12 and spread[0] > 9.0:
        linear = (b.T @ a / len(a)) @ np.linalg.inv(scatter)
    else:
        cross = b.T @ a
        u, singular, vt = np.linalg.svd(cross)
        # The better of rotation and reflection is unknown for points on a line: take the sign of the determinant.
        sign = np.diag([1.0, np.sign(np.linalg.det(cross)) or 1.0])
        linear = (u @ sign @ vt) * float((singular * np.diag(sign)).sum() / max((a**2).sum(), 1e-9))
    singular = np.linalg.svd(linear, compute_uv=False)
    if not np.isfinite(singular).all() or singular[0] > 3.0 or singular[1] < 0.33 or singular[0] > 1.6 * singular[1]:
        return None
    return np.column_stack([linear, mean_t - linear @ mean_s])


def identical_blocks(rgb: np.ndarray, min_distance: float, max_proposals: int) -> list[Proposal]:
    """Whole-pixel shifts at which many 8x8 blocks of uint8 HxWx3 are bit-identical.

    Blocks are hashed at every position; a sample of them chosen by the hash itself (so that both ends of a pair are in
    it) is sorted. Blocks with little activity and blocks that occur more than three times say nothing about a shift.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 2 * _BLOCK:
        return []
    rate = 1 if height * width < 1_500_000 else 4
    place_parts, hash_parts = [], []
    strip = 512
    for y0 in range(0, height - _BLOCK + 1, strip):
        part = rgb[y0 : y0 + strip + _BLOCK - 1]
        hashes = _block_hashes(part)
        busy = _block_activity(part)
        keep = busy & ((hashes >> np.uint64(40)) % np.uint64(rate) == 0)
        y, x = np.nonzero(keep)
        place_parts.append(np.stack([x, y + y0], axis=1).astype(np.int32))
        hash_parts.append(hashes[keep])
    place, hashes = np.concatenate(place_parts), np.concatenate(hash_parts)
    order = hashes.argsort(kind="stable")
    place, hashes = place[order], hashes[order]
    start = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1]))) if hashes.size else np.zeros(0, int)
    run = np.diff(np.concatenate((start, [hashes.size])))
    pairs = []
    for length in (2, 3):
        at = start[run == length]
        pairs += [(at + i, at + j) for i in range(length) for j in range(i + 1, length)]
    first, second = (np.concatenate([p[i] for p in pairs]) for i in (0, 1))
    shift = place[second] - place[first]  # place is in raster order within a run: dy >= 0
    far = np.hypot(shift[:, 0], shift[:, 1]) >= min_distance
    first, shift = first[far], shift[far].astype(np.int64)
    if not shift.size:
        return []
    _, inverse, counts = np.unique(
        shift[:, 1] * (4 * width) + shift[:, 0] + 2 * width, return_inverse=True, return_counts=True
    )
    proposals = []
    for index in counts.argsort(kind="stable")[::-1][:max_proposals]:
        if counts[index] * rate < 40:
            break
        members = np.flatnonzero(inverse == index)
        dx, dy = shift[members[0]]
        seeds = place[first[members]].astype(np.float32) + np.float32((_BLOCK - 1) / 2)
        transform = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
        proposals.append(Proposal(transform, seeds, int(counts[index]), False, True, -float(counts[index])))
    return proposals


def _block_hashes(rgb: np.ndarray) -> np.ndarray:
    """uint64 (H-7, W-7): a polynomial hash of the 8x8x3 block whose upper left pixel is here, modulo 2**64."""
    wide = rgb.astype(np.uint64)
    h = wide[..., 0] * np.uint64(0x9E3779B97F4A7C15) + wide[..., 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    h += wide[..., 2] * np.uint64(0x165667B19E3779F9)
    h ^= h >> np.uint64(29)
    for step, factor in ((1, 0xBF58476D1CE4E5B9), (2, 0x94D049BB133111EB), (4, 0xD6E8FEB86659FD93)):
        h = h[:, :-step] * np.uint64(factor) + h[:, step:]
        h ^= h >> np.uint64(31)
    for step, factor in ((1, 0xFF51AFD7ED558CCD), (2, 0xC4CEB9FE1A85EC53), (4, 0x2545F4914F6CDD1D)):
        h = h[:-step] * np.uint64(factor) + h[step:]
        h ^= h >> np.uint64(31)
    return h


def _block_activity(rgb: np.ndarray) -> np.ndarray:
    """bool (H-7, W-7): the block is neither flat nor a plain ramp: a third of its second differences are not zero."""
    green = rgb[..., 1].astype(np.int16)
    bend = np.zeros(green.shape, np.float32)
    bend[1:-1, 1:-1] = (np.abs(4 * green[1:-1, 1:-1] - green[:-2, 1:-1] - green[2:, 1:-1] - green[1:-1, :-2]
                               - green[1:-1, 2:]) > 0)  # fmt: skip
    inside = (green > 4) & (green < 251)
    mean = cv2.boxFilter(bend * inside, -1, (_BLOCK, _BLOCK), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    return mean[: 1 - _BLOCK, : 1 - _BLOCK] > 0.4
