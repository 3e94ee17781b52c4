"""Content-aware fill: a hole is closed with many small patches of its surroundings, from coarse to fine.

The coherence-driven completion of Wexler, Shechtman and Irani (2007) with the nearest-neighbour field of PatchMatch
(Barnes et al. 2009), in numpy and OpenCV. At the coarsest level the hole is closed ring by ring from its rim inwards (a
simpler order than that of Criminisi et al. 2004). Then each level alternates between looking for better source patches
(the neighbours' sources, moved along, and random places) and letting the patches vote for the pixels they cover.

Deliberately left out: patches that are turned or scaled, guiding by structure lines, learnt priors.

Inside, pictures carry a margin of `_PAD` pixels, so that a pixel is one flat index and a neighbour is a constant away.
They hold whole numbers in float32: sums of their products stay below 2**24 and so are exact, whatever the order in
which a matrix product adds them up. Otherwise a seed would not give the same filling on another machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_tools.forge.regions import padded_box

_PAD = 4  # at least the reach of a patch
_REACH = 3  # a patch reads so many pixels to each side: samples at 0 and +-2 of a picture averaged over 3x3
_EXACT = 400_000  # target patches times source patches up to which all pairs are compared
_SEARCHED = 45_000  # target patches up to which a level is searched again; finer ones only take their sources over
_COARSEST = 28  # pixels of the shorter side of the surroundings under which nothing is halved
_COMPARED = 3_000  # source patches, drawn by chance, that the first filling looks at
# A source replaces the present one when it costs less than so many times as much. Neighbours that agree copy real
# texture; patches that each found a slightly better stranger average it away.
_NEIGHBOURS, _STRANGERS = 1.1, 0.6
# Halving goes on until hole and surroundings have at most so many pixels, and the hole at most this inner radius.
_SMALL, _THIN = 10_000, 4.0


@dataclass(frozen=True, eq=False)
class Filled:
    """A closed hole.

    Attributes:
        image: uint8 HxWx3; outside the hole the host's pixels.
        sources: int32 HxWx2, (x, y) in the host's frame from where a pixel of the hole mostly comes; -1 elsewhere.
    """

    image: np.ndarray
    sources: np.ndarray


@dataclass(eq=False)
class _Level:
    """One resolution, margins included: `image` float32 HxWx3; `hole`, `usable` bool HxW (usable: centres of patches
    that know all their pixels); `nearest` int64 (H*W,), flat index of a target's source, -1 where there is no target;
    `cost` float32 (targets,)."""

    image: np.ndarray
    hole: np.ndarray
    usable: np.ndarray
    hole_at: np.ndarray
    targets: np.ndarray
    nearest: np.ndarray
    cost: np.ndarray

    @property
    def width(self) -> int:
        return int(self.image.shape[1])


def _level(image: np.ndarray, hole: np.ndarray, frame: np.ndarray) -> _Level:
    """Puts the margin around a level; `frame` bool HxW is False where the picture had to be continued."""
    border = (_PAD, _PAD, _PAD, _PAD)
    known = cv2.copyMakeBorder((frame & ~hole).astype(np.uint8), *border, cv2.BORDER_CONSTANT, value=0)
    window = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    usable = cv2.erode(known, window, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
    padded = cv2.copyMakeBorder(hole.astype(np.uint8), *border, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.copyMakeBorder(frame.astype(np.uint8), *border, cv2.BORDER_CONSTANT, value=0).astype(bool)
    # Patches centred beside the hole know most of their pixels: they tie the filling to its surroundings.
    targets = np.flatnonzero(cv2.dilate(padded, np.ones((5, 5), np.uint8)).astype(bool) & inside)
    return _Level(
        image=cv2.copyMakeBorder(image, *border, cv2.BORDER_REFLECT_101),
        hole=padded.astype(bool),
        usable=usable,
        hole_at=np.flatnonzero(padded),
        targets=targets,
        nearest=np.full(padded.size, -1, np.int64),
        cost=np.full(targets.size, np.inf, np.float32),
    )


def _pyramid(image: np.ndarray, hole: np.ndarray) -> list[_Level]:
    """Fine to coarse, each half the size; a coarse pixel that saw a bit of the hole is hole, lest old content leaks."""
    thickness = float(cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 3).max())
    count = 1
    while min(hole.shape) / 2**count >= _COARSEST and (
        thickness / 2 ** (count - 1) > _THIN or hole.size / 4 ** (count - 1) > _SMALL
    ):
        count += 1
    block = 2 ** (count - 1)
    bottom, right = -hole.shape[0] % block, -hole.shape[1] % block
    frame = np.pad(np.ones(hole.shape, bool), ((0, bottom), (0, right)))
    hole = np.pad(hole, ((0, bottom), (0, right)))
    image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    levels = [_level(image, hole, frame)]
    for _ in range(count - 1):
        size = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.rint(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        hole = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        frame = cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA) == 1
        levels.append(_level(image, hole, frame))
    return levels


def _shifts(width: int, reach: int, step: int) -> np.ndarray:
    """Flat steps of a square neighbourhood."""
    along = np.arange(-reach, reach + 1, step)
    return (along[:, None] * width + along[None, :]).ravel()


def _descriptor_plane(level: _Level) -> np.ndarray:
    """float32 (H*W, 3): the picture averaged over 3x3, its margin mirrored anew; nine samples of it make a patch."""
    inner = level.image[_PAD:-_PAD, _PAD:-_PAD]
    level.image = cv2.copyMakeBorder(inner, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REFLECT_101)
    return np.rint(cv2.blur(level.image, (3, 3))).reshape(-1, 3)


def _patches(plane: np.ndarray, at: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """float32 (len(at), 27)."""
    return np.take(plane, at[:, None] + shifts, axis=0).reshape(len(at), -1)


def _distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    difference = first - second
    return np.einsum("ij,ij->i", difference, difference)


def _close_from_rim(level: _Level, rng: np.random.Generator) -> None:
    """First filling of the coarsest level: ring by ring, each pixel from one of the patches that fit what is known."""
    shifts = _shifts(level.width, 2, 1)
    candidates = np.flatnonzero(level.usable)
    if candidates.size > _COMPARED:
        candidates = np.sort(rng.choice(candidates, _COMPARED, replace=False))
    flat = level.image.reshape(-1, 3)
    plane = flat[candidates[:, None] + shifts].reshape(len(candidates), -1)
    squares = plane * plane
    known = ~level.hole
    known[:_PAD] = known[-_PAD:] = known[:, :_PAD] = known[:, -_PAD:] = False
    known_flat = known.reshape(-1)
    while not known_flat[level.hole_at].all():
        front = cv2.dilate(known.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & level.hole & ~known
        ring = np.flatnonzero(front)
        weight = np.repeat(known_flat[ring[:, None] + shifts], 3, axis=1).astype(np.float32)
        wanted = flat[ring[:, None] + shifts].reshape(len(ring), -1) * weight
        cost = weight @ squares.T - 2.0 * (wanted @ plane.T)
        best = np.argpartition(cost, 2, axis=1)[:, :3]
        chosen = candidates[best[np.arange(len(ring)), rng.integers(0, 3, len(ring))]]
        flat[ring] = flat[chosen]
        level.nearest[ring] = chosen
        known_flat[ring] = True


def _match_exactly(level: _Level) -> None:
    """Every target's best source of all."""
    shifts = _shifts(level.width, 2, 2)
    plane = _descriptor_plane(level)
    candidates = np.flatnonzero(level.usable)
    source, target = _patches(plane, candidates, shifts), _patches(plane, level.targets, shifts)
    cost = (source * source).sum(1) - 2.0 * (target @ source.T)
    best = np.argmin(cost, axis=1)
    level.nearest[level.targets] = candidates[best]
    level.cost = _distance(target, source[best])


def _search(level: _Level, rng: np.random.Generator, radius: int) -> None:
    """One round of PatchMatch, all targets at once: sources of the four neighbours (and of four farther ones), moved
    along, then random places at `radius`, half of it, ... from the present source."""
    width, targets = level.width, level.targets
    shifts = _shifts(width, 2, 2)
    plane = _descriptor_plane(level)
    usable = level.usable.reshape(-1)
    wanted = _patches(plane, targets, shifts)
    current = level.nearest[targets]
    cost = _distance(wanted, _patches(plane, current, shifts))

    def offer(candidates: np.ndarray, among: np.ndarray, bonus: float) -> None:
        """Takes `candidates` for the targets `among` (indices) where they cost less than `bonus` times the present."""
        offered = _distance(wanted[among], _patches(plane, candidates, shifts))
        better = offered < bonus * cost[among]
        cost[among[better]] = offered[better]
        current[among[better]] = candidates[better]

    for reach in (1, 3):
        for step in (1, -1, width, -width):
            neighbour = level.nearest[targets + step * reach]
            candidate = np.where(neighbour >= 0, neighbour - step * reach, 0)
            among = np.flatnonzero(usable[candidate] & (candidate != current))
            if among.size:
                offer(candidate[among], among, _NEIGHBOURS)
        level.nearest[targets] = current
    rows, limit = level.image.shape[0], radius
    while limit >= 1:
        move = rng.integers(-limit, limit + 1, (2, targets.size))
        y = np.clip(current // width + move[0], 0, rows - 1)
        x = np.clip(current % width + move[1], 0, width - 1)
        candidate = y * width + x
        among = np.flatnonzero(usable[candidate])
        offer(candidate[among], among, _STRANGERS)
        limit //= 3
    level.nearest[targets] = current
    level.cost = cost


def _vote(level: _Level, reach: int) -> None:
    """Each pixel of the hole becomes the mean of what the patches over it say, the better ones counting more."""
    flat, width = level.image.reshape(-1, 3), level.width
    scale = 0.3 * float(np.median(level.cost)) + 1.0
    trust = np.zeros(level.nearest.size, np.float32)
    good = 1.0 / np.square(1.0 + level.cost / scale)
    trust[level.targets] = good * good
    total = np.zeros((level.hole_at.size, 3), np.float32)
    weights = np.zeros(level.hole_at.size, np.float32)
    for step in _shifts(width, reach, 1):
        centre = level.hole_at + step
        weight = trust[centre]
        source = np.where(level.nearest[centre] >= 0, level.nearest[centre] - step, 0)
        total += weight[:, None] * flat[source]
        weights += weight
    flat[level.hole_at] = np.rint(total / weights[:, None])


def _take_over(coarse: _Level, fine: _Level, rng: np.random.Generator) -> None:
    """Filling and sources of a coarse level become the beginning of the next finer one."""
    inner = coarse.image[_PAD:-_PAD, _PAD:-_PAD]
    height, width = fine.image.shape[0] - 2 * _PAD, fine.width - 2 * _PAD
    larger = np.zeros_like(fine.image)
    larger[_PAD:-_PAD, _PAD:-_PAD] = np.rint(cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR))
    fine.image[fine.hole] = larger[fine.hole]
    y, x = fine.targets // fine.width - _PAD, fine.targets % fine.width - _PAD
    above = coarse.nearest[(y // 2 + _PAD) * coarse.width + x // 2 + _PAD]
    sy = 2 * (above // coarse.width - _PAD) + y % 2 + _PAD
    sx = 2 * (above % coarse.width - _PAD) + x % 2 + _PAD
    source = np.where(above >= 0, sy * fine.width + sx, 0)
    usable = fine.usable.reshape(-1)
    lost = np.flatnonzero(~usable[source])
    if lost.size:
        everywhere = np.flatnonzero(usable)
        source[lost] = everywhere[rng.integers(everywhere.size, size=lost.size)]
    fine.nearest[fine.targets] = source


def _surroundings(hole: np.ndarray) -> tuple[int, int, int, int]:
    """Box in which sources are looked for: as far from the hole as it is large, at least 32 pixels."""
    x0, y0, x1, y1 = padded_box(hole, 0)
    return padded_box(hole, max(32, int(0.75 * max(x1 - x0, y1 - y0))))


def fill(host: np.ndarray, hole: np.ndarray, rng: np.random.Generator) -> Filled | None:
    """Closes a hole with texture of its surroundings.

    Args:
        host: uint8 HxWx3; what it shows inside the hole is not looked at.
        hole: bool HxW with at least one True pixel.
        rng: the same state gives the same filling.

    Returns:
        None when too little is known around the hole.
    """
    x0, y0, x1, y1 = _surroundings(hole)
    view = np.s_[y0:y1, x0:x1]
    levels = _pyramid(host[view].astype(np.float32), hole[view])
    while levels and np.count_nonzero(levels[-1].usable) < 40:
        levels.pop()
    if not levels:
        return None
    coarsest = levels[-1]
    _close_from_rim(coarsest, rng)
    exact = coarsest.targets.size * np.count_nonzero(coarsest.usable) <= _EXACT
    if not exact:
        everywhere = np.flatnonzero(coarsest.usable)
        rim = coarsest.targets[coarsest.nearest[coarsest.targets] < 0]
        coarsest.nearest[rim] = everywhere[rng.integers(everywhere.size, size=rim.size)]
    for _ in range(2):
        if exact:
            _match_exactly(coarsest)
        else:
            _search(coarsest, rng, max(coarsest.image.shape) // 3)
        _vote(coarsest, 1)
    for number in range(len(levels) - 2, -1, -1):
        fine = levels[number]
        _take_over(levels[number + 1], fine, rng)
        if fine.targets.size > _SEARCHED:
            fine.cost[:] = 0.0
            _vote(fine, 1)
            continue
        for _ in range(2 if number else 1):
            _search(fine, rng, 9 if number else 3)
            _vote(fine, 1)
    finest = levels[0]
    inner = finest.image[_PAD : _PAD + y1 - y0, _PAD : _PAD + x1 - x0]
    image = host.copy()
    image[view][hole[view]] = inner[hole[view]].astype(np.uint8)
    sources = np.full((*hole.shape, 2), -1, np.int32)
    rows, columns = np.nonzero(hole)
    at = finest.nearest[(rows - y0 + _PAD) * finest.width + columns - x0 + _PAD]
    sources[rows, columns] = np.stack([at % finest.width - _PAD + x0, at // finest.width - _PAD + y0], axis=1)
    return Filled(image, sources)
