"""Votes for the origin of the JPEG block grid, and clusters of votes: the measuring half of `jpeg_grid`.

Nikoukhah, Anger, Colom, Morel, Grompone von Gioi, "ZERO: a Local JPEG Grid Origin Detector Based on the Number of DCT
Zeros and its Applications in Image Forensics", IPOL 2021. Everything is in the stored frame; a grid is the number
8 * (origin y) + (origin x). Deliberately left out: what a cluster means for the picture (that is `jpeg_grid`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fakeexplain.imaging.jpeg import DCT8
from fakeexplain.instruments.statistics import log10_binomial_tail

NO_VOTE = 255
_HALF = 0.49999  # inclusive limit of cv2.inRange that keeps an exact 0.5 out
_LANES = np.uint64(0x0101010101010101)
_CHANCE = 1.0 / 64.0
MIN_VOTES = 16.0  # effective votes (64 pixels each) below which nothing is said
LOG10_TRACES = math.log10(2)
_WON = 24  # pixels of its 64 that a block must win to belong to a cluster
_MIN_CLUSTER = 2.5  # effective votes
_FILLS_LOG10_P = -3.0  # outside its clusters a grid this far above chance belongs to the whole picture
_FILLS_FRACTION = 0.6  # and so does one whose clusters span more than this part of it
_MIN_MAIN_SHARE = 0.6  # of the votes, for a missing grid to mean anything
_CLEAR_MAIN_SHARE = 0.92  # met by photographs saved at 95 or below, and few others
_TRIAL_QUALITY = 95
_LOST_CHANCE = 1.0 / 3.0
_MAX_LOST_SHARE = 0.08  # of the blocks outside a cluster, above which lost blocks are no rarity in this picture


def zero_counts(luma: np.ndarray) -> np.ndarray:
    """Number of AC coefficients with |c| < 0.5 in the 8x8 block that starts at each pixel.

    Args:
        luma: float32 HxW, H and W at least 8; the grey level offset does not matter, DC is not counted.

    Returns:
        uint8 (H - 7, W - 7), values 0..63.
    """
    height, width = luma.shape
    rows, columns = height - 7, width - 7
    counts = np.empty((rows, columns), np.uint8)
    strip = max(1, min(rows, (1 << 17) // columns))
    basis = np.ascontiguousarray(DCT8.T)
    for top in range(0, rows, strip):
        band = np.ascontiguousarray(luma[top : min(top + strip, rows) + 7], dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(band, 8, axis=1)
        horizontal = (windows.reshape(-1, 8) @ basis).reshape(band.shape[0], columns * 8)
        for row in range(band.shape[0] - 7):
            coefficients = DCT8 @ horizontal[row : row + 8]
            # One byte per coefficient; the eight horizontal frequencies of a block are the bytes of one word, so
            # adding words adds eight counters at once, and the product with _LANES adds up the bytes.
            small = cv2.inRange(coefficients, -_HALF, _HALF).view(np.uint64).reshape(8, columns) & _LANES
            small[0] &= ~np.uint64(0xFF)
            total = small.sum(axis=0, dtype=np.uint64)
            counts[top + row] = (total * _LANES) >> np.uint64(56)
    return counts


def usable_blocks(luma: np.ndarray) -> np.ndarray:
    """bool (H - 7, W - 7): the block starting there is constant neither along its rows nor along its columns.

    Constant rows or columns (flat or saturated areas, drawn edges, text) make zeros without any JPEG.
    """
    rows, columns = luma.shape[0] - 7, luma.shape[1] - 7
    flat = np.zeros((rows, columns), np.uint8)
    for axis, shape in ((1, (8, 7)), (0, (7, 8))):
        ahead, behind = (luma[:, 1:], luma[:, :-1]) if axis else (luma[1:], luma[:-1])
        same = (ahead == behind).astype(np.uint8)
        flat |= cv2.erode(same, np.ones(shape, np.uint8), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)[
            :rows, :columns
        ]
    return flat == 0


def cast_votes(zeros: np.ndarray, usable: np.ndarray, excluded: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel votes for the origin of the block around it that has most zeros; ties and unusable blocks: no vote.

    Args:
        zeros: uint8 (H - 7, W - 7) of `zero_counts`.
        usable: bool, same shape, of `usable_blocks`.
        excluded: grids 0..63 that do not stand for election.

    Returns:
        votes: uint8 HxW, grid 8 * (origin y) + (origin x) or NO_VOTE.
        won: uint8 HxW, pixels (0..64) won by the block that starts at each pixel.
    """
    rows, columns = zeros.shape
    height, width = rows + 7, columns + 7
    votes = np.full((height, width), NO_VOTE, np.uint8)
    won = np.zeros((height, width), np.uint8)
    grid_x = np.arange(columns, dtype=np.uint16)[None] % 8
    window = np.ones((8, 8), np.uint8)
    for top in range(7, rows, 256):  # pixels of the outer 7 rows and columns are not covered by all 64 grids
        bottom = min(top + 256, rows)
        first = top - 7  # blocks that start in rows first..bottom-1 cover the pixels of this strip
        grids = (np.arange(first, bottom, dtype=np.uint16)[:, None] % 8) * 8 + grid_x
        ballot = (zeros[first:bottom].astype(np.uint16) + 1) * 64
        for grid in excluded:
            ballot[grids == grid] = 0
        # The winner is the maximum of (zeros, grid); it is unique if that of (zeros, 63 - grid) is the same grid.
        highest = np.asarray(cv2.dilate(ballot + grids, window, anchor=(7, 7)), np.uint16)[7:] & 63
        lowest = 63 - (np.asarray(cv2.dilate(ballot + (63 - grids), window, anchor=(7, 7)), np.uint16)[7:] & 63)
        valid = highest == lowest
        valid[:, :7] = False
        pixel_y, pixel_x = np.nonzero(valid)
        winner = highest[pixel_y, pixel_x].astype(np.int64)
        start_y = pixel_y + 7 - ((pixel_y + top - (winner >> 3)) & 7)
        start_x = pixel_x - ((pixel_x - (winner & 7)) & 7)
        good = usable[first + start_y, start_x]
        pixel_y, pixel_x, winner = pixel_y[good], pixel_x[good], winner[good]
        votes[top + pixel_y, pixel_x] = winner
        index = start_y[good] * width + start_x[good]
        count = np.bincount(index, minlength=(bottom - first) * width)
        won[first:bottom] += count.reshape(-1, width).astype(np.uint8)
    return votes, won


@dataclass(frozen=True)
class Cluster:
    """Neighbouring blocks of one grid. Box and mask are in blocks of that grid: (y0, x0, y1, x1), exclusive ends.

    `votes` of `trials` effective votes in the box, against a chance of `chance` each.
    """

    grid: int
    box: tuple[int, int, int, int]
    block_mask: np.ndarray
    votes: float
    trials: float
    chance: float
    log10_nfa: float


@dataclass(frozen=True)
class Election:
    """One ballot: see `cast_votes`. `totals` float64 (64,): effective votes (pixels / 64) of each grid."""

    won: np.ndarray
    totals: np.ndarray
    excluded: tuple[int, ...]

    def blocks(self, grid: int) -> np.ndarray:
        """uint8 (block rows, block columns): pixels won by each block of one grid."""
        return self.won[grid >> 3 :: 8, grid & 7 :: 8]

    @property
    def turnout(self) -> float:
        return float(self.totals.sum())


def _log10_tail(trials: float, votes: float, chance: float) -> float:
    """Binomial tail of effective, not whole, numbers of votes."""
    return float(log10_binomial_tail(np.asarray(trials), np.asarray(votes), chance))


def hold_election(zeros: np.ndarray, usable: np.ndarray, excluded: tuple[int, ...] = ()) -> Election:
    """`cast_votes`, counted."""
    votes, won = cast_votes(zeros, usable, excluded)
    totals = np.bincount(votes.ravel(), minlength=NO_VOTE + 1)[:64] / 64.0
    return Election(won, totals, excluded)


def main_grid(election: Election) -> tuple[int, float]:
    """Grid with most votes and its log10 NFA among 64 under equal chances (effective votes: one per 64 pixels)."""
    grid = int(election.totals.argmax())
    tail = _log10_tail(max(election.turnout, 1.0), float(election.totals[grid]), _CHANCE)
    return grid, tail + math.log10(64)


def _related(grid: int, others: tuple[int, ...]) -> bool:
    """Shares its rows or its columns with one of the others: half of their zeros are zeros of this grid, too."""
    return any(grid >> 3 == other >> 3 or grid & 7 == other & 7 for other in others)


def _components(
    blocks: np.ndarray, member: np.ndarray, least: float
) -> list[tuple[tuple[int, int, int, int], np.ndarray]]:
    """Boxes and masks of groups of member blocks at most one block apart, with more than `least` effective votes."""
    if np.count_nonzero(member) < least:
        return []
    bridged = cv2.dilate(member.astype(np.uint8), np.ones((2, 2), np.uint8))
    count, labels = cv2.connectedComponents(bridged, connectivity=8)
    labels[~member] = 0
    weights = np.bincount(labels.ravel(), weights=blocks.ravel(), minlength=count) / 64.0
    found = []
    for label in np.flatnonzero(weights[1:] > least) + 1:
        rows, columns = np.nonzero(labels == label)
        y0, x0, y1, x1 = int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1
        found.append(((y0, x0, y1, x1), labels[y0:y1, x0:x1] == label))
    return found


def log10_boxes(rows: int, columns: int) -> float:
    """log10 of the number of boxes of whole blocks."""
    return math.log10(max(rows * (rows + 1) / 2 * columns * (columns + 1) / 2, 1.0))


def foreign_clusters(election: Election, log10_tests: float) -> tuple[list[Cluster], list[tuple[int, float]]]:
    """Local clusters of every grid that stands for election, and the grids that fill the whole picture instead.

    After an exclusion, grids related to the excluded ones inherit part of their zeros, so they are left out.

    Args:
        election: the ballot.
        log10_tests: log10 of the number of (ballot, grid, box) tests.

    Returns:
        clusters: sorted by NFA.
        filling: (grid, share of the votes outside its clusters) of grids of the whole picture: two saves with a crop.
    """
    clusters: list[Cluster] = []
    filling: list[tuple[int, float]] = []
    if election.turnout < MIN_VOTES:
        return clusters, filling
    eligible = [g for g in range(64) if not _related(g, election.excluded)]
    for grid in eligible:
        blocks = election.blocks(grid)
        groups = _components(blocks, blocks >= _WON, _MIN_CLUSTER)
        if not groups:
            continue
        inside = np.zeros(blocks.shape, bool)
        for (y0, x0, y1, x1), _ in groups:
            inside[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = True
        outside_trials = max(election.turnout * (1.0 - inside.mean()), 1.0)
        outside_votes = min(float(blocks[~inside].sum()) / 64.0, outside_trials)
        share = outside_votes / outside_trials
        rivals = [election.totals[g] for g in eligible if g != grid]
        usual = float(np.clip(np.mean(rivals) / election.turnout, 1e-4, _CHANCE))
        spread = np.argwhere(inside)
        span = float(np.prod((np.ptp(spread, axis=0) + 1) / blocks.shape))
        fills = span > _FILLS_FRACTION or _log10_tail(outside_trials, outside_votes, usual) < _FILLS_LOG10_P
        found = []
        for box, block_mask in groups:
            y0, x0, y1, x1 = box
            votes = float(blocks[y0:y1, x0:x1].sum()) / 64.0
            trials = max(float((y1 - y0) * (x1 - x0)), votes)
            chance = max(_CHANCE, share)
            log10_nfa = _log10_tail(trials, votes, chance) + log10_tests
            found.append(Cluster(grid, box, block_mask, votes, trials, chance, log10_nfa))
        if fills:
            if min(c.log10_nfa for c in found) < 0:
                filling.append((grid, share))
        else:
            clusters += found
    return sorted(clusters, key=lambda c: c.log10_nfa), filling


def resaved(luma: np.ndarray, grid: int, quality: int) -> np.ndarray | None:
    """The luma as it would be after a JPEG save on the given grid: float32 HxW; None if too large for JPEG.

    Rows above and columns left of the grid's origin keep their values: no whole block of that grid lies there.
    """
    y0, x0 = grid >> 3, grid & 7
    part = np.clip(luma[y0:, x0:], 0, 255).astype(np.uint8)
    if max(part.shape) > 65500:
        return None
    done, stream = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        return None
    result = luma.copy()
    result[y0:, x0:] = cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE)
    return result


def clear_share(election: Election, grid: int) -> float:
    """Share of the votes that a grid wins where it is clear: upper quartile over tiles of 8 x 8 blocks.

    A quartile, for a pasted part must not make the grid of the rest look faint.
    """
    rows, columns = (n // 64 for n in election.won.shape)
    if rows * columns < 4:
        return float(election.totals[grid] / max(election.turnout, 1.0))
    won = election.won[: rows * 64, : columns * 64].reshape(rows, 64, columns, 64)
    votes = won.sum(axis=(1, 3), dtype=np.int64)
    for_grid = won[:, grid >> 3 :: 8, :, grid & 7 :: 8].sum(axis=(1, 3), dtype=np.int64)
    voting = votes >= 512
    return float(np.quantile(for_grid[voting] / votes[voting], 0.75)) if voting.any() else 0.0


def missing_clusters(
    luma: np.ndarray, clipped_mask: np.ndarray, election: Election, grid: int
) -> tuple[list[Cluster], str]:
    """Clusters of blocks that do not show the main grid although a JPEG save would have left it on them.

    A block is capable when it elects the grid after a gentle trial save (quality 99 as in the paper; 95 where the main
    grid is so clear that the picture was saved at that or less) and holds no clipped sample: flat, saturated and drawn
    blocks are never called. It is lost when it is capable and less than a quarter of its pixels vote for the grid as
    the picture is. Lost blocks of authentic photographs crowd together, so the chance of one is put at a third.

    Args:
        luma: float32 HxW of whole numbers. clipped_mask: bool HxW. election: of all grids. grid: the main one.

    Returns:
        clusters sorted by NFA, and why the test was not possible ("" if it was).
    """
    share = clear_share(election, grid)
    trial_luma = resaved(luma, grid, _TRIAL_QUALITY if share > _CLEAR_MAIN_SHARE else 99)
    if share < _MIN_MAIN_SHARE:
        return [], "the main JPEG grid is too faint for its absence to mean anything"
    if trial_luma is None:
        return [], "the picture is too large for a trial save"
    trial = hold_election(zero_counts(trial_luma), usable_blocks(trial_luma)).blocks(grid)
    blocks = election.blocks(grid)
    y0, x0 = grid >> 3, grid & 7
    rows, columns = (luma.shape[0] - y0) // 8, (luma.shape[1] - x0) // 8
    sound = np.zeros(blocks.shape, bool)
    part = clipped_mask[y0 : y0 + 8 * rows, x0 : x0 + 8 * columns].reshape(rows, 8, columns, 8)
    sound[:rows, :columns] = ~part.any(axis=(1, 3))
    sound[[0, rows - 1]] = sound[:, [0, columns - 1]] = False  # pixels of the outer blocks vote only in part
    capable = sound & (trial >= 32)
    lost = capable & (blocks < 16)
    log10_tests = log10_boxes(luma.shape[0] // 8, luma.shape[1] // 8) + LOG10_TRACES
    clusters = []
    for box, block_mask in _components(np.where(lost, 64, 0).astype(np.uint8), lost, 4.0):
        top, left, bottom, right = box
        votes, trials = (float(np.count_nonzero(m[top:bottom, left:right])) for m in (lost, capable))
        outside = (np.count_nonzero(lost) - votes) / max(np.count_nonzero(capable) - trials, 1.0)
        if outside < _MAX_LOST_SHARE:
            log10_nfa = _log10_tail(trials, votes, _LOST_CHANCE) + log10_tests
            clusters.append(Cluster(grid, box, block_mask, votes, trials, _LOST_CHANCE, log10_nfa))
    return sorted(clusters, key=lambda c: c.log10_nfa), ""
