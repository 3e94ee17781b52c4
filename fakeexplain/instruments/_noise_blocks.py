"""Noise read from a picture's 8x8 blocks, and candidate regions with figures of how noise-like they are.

The measuring half of `instruments.noise`, which judges what is found here. For each block and each band of DCT
frequencies we ask which noise sigma would explain the energy seen, *after* the quantiser of the file's own compression;
blocks where all bands give one answer are homogeneous ("white"): content never does that, for its spectrum falls.
Deliberately left out: decisions, and chroma (JPEG subsampling destroys its noise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from fakeexplain.imaging.jpeg import block_dct
from fakeexplain.imaging.source import SourceImage

_LEVELS = np.exp(np.linspace(math.log(0.25), math.log(40.0), 60))  # noise sigmas, grey levels
_MAX_STEP = 9  # coarsest quantiser step that still lets noise of sigma 2..3 through
_MAX_SIGMA = 12.0  # above this a block is texture, not noise
_ROUNDING = 1 / 12  # variance that rounding to 8 bits adds to every coefficient
_ROWS, _COLUMNS = np.mgrid[0:8, 0:8]
_FREQUENCY = _ROWS + _COLUMNS
_MIN_REGION = 12  # blocks of a candidate region
_RAISED = (0.3, 0.5, 0.75, 1.1, 1.6)  # thresholds: log noise above the picture's own curve
_LOWERED = (0.15, 0.3, 0.5, 0.8, 1.2)  # thresholds: log noise below the picture's own curve
_FLOORS = (0.6, 0.85, 1.2, 1.7, 2.4, 3.4)  # thresholds: noise floor, grey levels
_MIN_STEP = 0.25  # log sigma: a weaker step could not be stated as a difference
_REACH = 8  # width of the surroundings, blocks
_MAX_PER_LEVEL = 25


@dataclass(frozen=True)
class Blocks:
    """Noise read in 8x8 blocks; arrays are (block rows, block columns) float32 unless said otherwise.

    Attributes:
        log_sigma: (rows, columns, bands) log noise sigma that would explain each band's energy; band 0 is the lowest.
        counts: (bands,) coefficients per band.
        mean: mean grey level. level: log sigma over all bands. floor: log sigma of the weakest band but the lowest.
        ceiling: log sigma of the strongest band but the lowest.
        usable_mask: not clipped. white_mask: homogeneous, that is usable with all bands agreeing on one sigma.
        zero_mask: no band shows any noise (wiped out by compression or flat by nature).
    """

    log_sigma: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    level: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray
    usable_mask: np.ndarray
    white_mask: np.ndarray
    zero_mask: np.ndarray


def _quantised_energy(step: float) -> np.ndarray:
    """E[c^2] once c ~ N(0, sigma^2) was rounded to multiples of `step`, per sigma of _LEVELS, plus pixel rounding."""
    if step <= 1:
        return _LEVELS**2 + _ROUNDING
    k = np.arange(1, int(160 / step) + 2)
    tail = special.ndtr(-(k - 0.5) * step / _LEVELS[:, None])
    probability = tail.copy()
    probability[:, :-1] -= tail[:, 1:]
    return (2 * probability * (k * step) ** 2).sum(axis=1) + _ROUNDING


def bands_of(table: np.ndarray) -> list[np.ndarray]:
    """Disjoint bool 8x8 sets of coefficients with a fine enough quantiser, the lowest frequencies first; may be empty.

    The first-order coefficients are left out everywhere: shading lives there.
    """
    fine = (table <= _MAX_STEP) & (_FREQUENCY >= 2)
    count = int(fine.sum())
    if count < 8:
        return []
    last = 4 if count > 40 else 3
    low = fine & np.less_equal(_FREQUENCY, last)
    high = fine & ~low
    flat, upright = high & (_COLUMNS > _ROWS + 2), high & (_ROWS > _COLUMNS + 2)
    diagonal = high & ~flat & ~upright
    if count > 50:
        sets = [low, flat, upright, diagonal & (_FREQUENCY <= 9), diagonal & (_FREQUENCY > 9)]
    elif count > 24:
        sets = [low, flat, upright, diagonal]
    else:
        sets = [low, high]
    return [s for s in sets if s.sum() >= 4]


def luma_table_of(source: SourceImage) -> np.ndarray:
    """Quantiser steps of the last compression in the upright frame; ones for files that are not JPEG."""
    if source.jpeg is None:
        return np.ones((8, 8), dtype=np.int32)
    table = source.jpeg.luma_table
    return table.T if source.orientation >= 5 else table


def read_blocks(luma: np.ndarray, table: np.ndarray, bands: list[np.ndarray]) -> Blocks:
    """Noise per block of a float32 HxW luma plane, in strips so that 12 MP stay small."""
    rows, columns = luma.shape[0] // 8, luma.shape[1] // 8
    weights = np.stack([b.ravel() / b.sum() for b in bands], axis=1).astype(np.float32)
    expected = [np.log(np.mean([_quantised_energy(float(q)) for q in table[b]], axis=0)) for b in bands]
    counts = np.array([b.sum() for b in bands], dtype=np.float32)
    log_sigma = np.empty((rows, columns, len(bands)), np.float32)
    mean = np.empty((rows, columns), np.float32)
    usable = np.empty((rows, columns), bool)
    for top in range(0, rows, 64):
        strip = luma[top * 8 : min(top + 64, rows) * 8, : columns * 8]
        coefficients = block_dct(strip - 128.0).reshape(-1, columns, 64)
        energy = np.log(coefficients**2 @ weights + 1e-6)
        part = slice(top, top + energy.shape[0])
        for i, table_energy in enumerate(expected):
            log_sigma[part, :, i] = np.interp(energy[..., i], table_energy, np.log(_LEVELS))
        mean[part] = coefficients[..., 0] / 8 + 128
        pixels = strip.reshape(-1, 8, columns, 8)
        usable[part] = (pixels.min(axis=(1, 3)) > 3) & (pixels.max(axis=(1, 3)) < 252)
    level = log_sigma @ (counts / counts.sum())
    excess = log_sigma[..., 0] - log_sigma[..., 1:] @ (counts[1:] / counts[1:].sum())
    spread = log_sigma.max(axis=2) - log_sigma.min(axis=2)
    # A chi-square energy of n coefficients has a log sigma of standard deviation sqrt(1 / 2n).
    agree = spread < 0.45 + 2.2 * math.sqrt(float((1 / counts).mean()))
    floor, ceiling = log_sigma[..., 1:].min(axis=2), log_sigma[..., 1:].max(axis=2)
    return Blocks(
        log_sigma=log_sigma,
        counts=counts,
        mean=mean,
        level=level,
        floor=floor,
        ceiling=ceiling,
        usable_mask=usable,
        white_mask=usable & agree & (excess < 0.6) & (level < math.log(_MAX_SIGMA)),
        zero_mask=log_sigma.max(axis=2) <= math.log(_LEVELS[0]) + 0.05,
    )


def noise_curve(blocks: Blocks, from_mask: np.ndarray | None = None) -> np.ndarray:
    """Log sigma expected at each block's brightness, float32 (block rows, block columns).

    Medians of the homogeneous blocks (or those of bool `from_mask`) in 8 bins of brightness, drawn to the common median
    where a bin holds few. A region of a minority of the blocks hardly moves it.
    """
    white = blocks.white_mask if from_mask is None else from_mask
    bins = np.clip(blocks.mean / 32, 0, 7).astype(int)
    common = float(np.median(blocks.level[white]))
    medians = np.full(8, common)
    for i in range(8):
        values = blocks.level[white & (bins == i)]
        if values.size:
            trust = values.size / (values.size + 20.0)
            medians[i] = trust * float(np.median(values)) + (1 - trust) * common
    return np.interp(blocks.mean, np.arange(8) * 32 + 16, medians).astype(np.float32)


def _mean_of(values: np.ndarray, where: np.ndarray, size: int, prior: float) -> np.ndarray:
    """Mean of values[where] in size x size windows, drawn to 0 by `prior` blocks; -9 where fewer than 4 count."""
    area = size * size
    count = ndimage.uniform_filter(where.astype(np.float32), size, mode="constant") * area
    total = ndimage.uniform_filter(np.where(where, values, 0).astype(np.float32), size, mode="constant") * area
    return np.where(count > 3.5, total / (count + prior), -9.0)


def _components(field: np.ndarray, thresholds: tuple[float, ...]) -> list[tuple[tuple[slice, slice], np.ndarray]]:
    """Connected sets above each threshold, largest first: (window, bool mask in that window)."""
    found = []
    for threshold in thresholds:
        labels, count = ndimage.label(field > threshold)
        if not count:
            break
        sizes = np.bincount(labels.ravel())[1:]
        windows = ndimage.find_objects(labels)
        for i in np.argsort(-sizes)[:_MAX_PER_LEVEL]:
            if _MIN_REGION <= sizes[i] <= field.size // 2:
                found.append((windows[i], labels[windows[i]] == i + 1))
    return found


@dataclass(frozen=True)
class Candidate:
    """A region to be judged: bool `mask` of whole blocks in `window` of the block grid, with its figures."""

    window: tuple[slice, slice]
    mask: np.ndarray
    features: dict[str, float]


@dataclass(frozen=True)
class _Surroundings:
    """Bool block masks of one candidate: `window` holds it with _REACH blocks around; `rest` is the whole grid."""

    window: tuple[slice, slice]
    region: np.ndarray
    ring: np.ndarray
    inner_edge: np.ndarray
    outer_edge: np.ndarray
    rest: np.ndarray


def _surroundings(shape: tuple[int, int], window: tuple[slice, slice], part_mask: np.ndarray) -> _Surroundings:
    grown = (
        slice(max(window[0].start - _REACH, 0), min(window[0].stop + _REACH, shape[0])),
        slice(max(window[1].start - _REACH, 0), min(window[1].stop + _REACH, shape[1])),
    )
    region = np.zeros((grown[0].stop - grown[0].start, grown[1].stop - grown[1].start), bool)
    y, x = window[0].start - grown[0].start, window[1].start - grown[1].start
    region[y : y + part_mask.shape[0], x : x + part_mask.shape[1]] = part_mask
    outwards = ndimage.distance_transform_cdt(~region, "chessboard")
    inwards = ndimage.distance_transform_cdt(np.pad(region, 1, mode="edge"), "chessboard")[1:-1, 1:-1]
    rest = np.ones(shape, bool)
    rest[grown] = outwards > 1
    return _Surroundings(
        window=grown,
        region=region,
        ring=(outwards >= 2) & (outwards <= _REACH),
        inner_edge=region & (inwards <= 2),
        outer_edge=(outwards >= 1) & (outwards <= 3),
        rest=rest,
    )


def _quantile(values: np.ndarray, q: float) -> float:
    return float(np.quantile(values, q))


def _edge_step(values: np.ndarray, where: np.ndarray, around: _Surroundings) -> float:
    """Median just inside the outline minus median just outside, over blocks in `where`; 0 when too few."""
    inside, outside = values[around.inner_edge & where], values[around.outer_edge & where]
    if inside.size < 5 or outside.size < 5:
        return 0.0
    return float(np.clip(np.median(inside) - np.median(outside), -2.0, 2.0))


def _features_high(
    blocks: Blocks, relative: np.ndarray, window: tuple[slice, slice], part_mask: np.ndarray
) -> dict[str, float] | None:
    """How much a candidate looks like added noise; None when too few blocks can tell.

    All figures compare logs of sigma; "floor" ones come from the weakest band of all usable blocks, the others from
    homogeneous blocks at equal brightness.
    """
    around = _surroundings(blocks.mean.shape, window, part_mask)
    grown = around.window
    white, usable = blocks.white_mask[grown], blocks.usable_mask[grown]
    inside, inside_all = around.region & white, around.region & usable
    ring = around.ring & white
    rest, rest_all = around.rest & blocks.white_mask, around.rest & blocks.usable_mask
    if inside.sum() < 6 or inside_all.sum() < 10 or rest.sum() < 30:
        return None
    rel, floor = relative[grown], blocks.floor[grown]
    values, others = rel[inside], relative[rest]
    near = rel[ring] if ring.sum() >= 8 else others
    floor_inside, floor_rest = floor[inside_all], blocks.floor[rest_all]
    low = _quantile(floor_inside, 0.2)
    spectrum = np.median(blocks.log_sigma[grown][inside], axis=0)
    sigmas = blocks.log_sigma[grown][inside_all]
    content, high = sigmas[:, 0], sigmas[:, 1:].mean(axis=1)
    centre, variance = float(np.median(values)), float(content.var())
    if centre < _MIN_STEP:
        return None
    outer = blocks.mean[grown][around.ring]
    return {
        "count": math.log(float(inside.sum())),
        "step": min(centre - float(np.median(others)), 2.0),
        "ring_step": min(centre - float(np.median(near)), 2.0),
        "ring_gap": float(np.clip(_quantile(values, 0.2) - _quantile(near, 0.85), -1.5, 1.5)),
        "edge_floor": _edge_step(floor, usable, around),
        "share": float(inside.sum() / inside_all.sum()),
        "spectrum_range": float(spectrum.max() - spectrum.min()),
        "sigma": float(np.median(blocks.level[grown][inside])),
        "tail": min(_quantile(others, 0.9) - float(np.median(others)), 2.0),
        "white": float(blocks.white_mask.mean()),
        "brightness_step": abs(float(blocks.mean[grown][inside].mean() - outer.mean())) / 50 if outer.size else 0.0,
        "floor_sigma": low,
        "floor_gap": float(np.clip(low - _quantile(floor_rest, 0.8), -2.5, 2.5)),
        "floor_outside": math.log10(float((floor_rest > low).mean()) + 1e-3),
        "floor_spread": _quantile(floor_inside, 0.8) - low,
        "content_slope": float(np.cov(content, high)[0, 1] / variance) if variance > 1e-4 else 0.0,
    }


def _features_low(
    blocks: Blocks, depth: np.ndarray, window: tuple[slice, slice], part_mask: np.ndarray
) -> dict[str, float] | None:
    """How much a candidate looks like noise taken away; None when too few blocks can tell.

    `depth` is how far the strongest high band lies below the picture's noise curve: content can only lower it.
    """
    around = _surroundings(blocks.mean.shape, window, part_mask)
    grown = around.window
    usable, white = blocks.usable_mask[grown], blocks.white_mask[grown]
    inside, ring, rest = around.region & usable, around.ring & usable, around.rest & blocks.usable_mask
    if inside.sum() < 10 or ring.sum() < 10 or rest.sum() < 60:
        return None
    values, near, others = depth[grown][inside], depth[grown][ring], depth[rest]
    low = _quantile(values, 0.2)
    content = blocks.log_sigma[grown][..., 0]
    return {
        "count": math.log(float(inside.sum())),
        "ring_gap": float(np.clip(low - _quantile(near, 0.9), -2.0, 2.0)),
        "edge_step": _edge_step(depth[grown], usable, around),
        "outside": math.log10(float((others > max(low, 0.2)).mean()) + 1e-3),
        "ring_outside": math.log10(float((near > max(low, 0.2)).mean()) + 1e-2),
        "ring_white": float((around.ring & white).sum() / ring.sum()),
        "brightness_step": abs(float(blocks.mean[grown][inside].mean() - blocks.mean[grown][ring].mean())) / 50,
        "content_step": float(np.clip(np.median(content[inside]) - np.median(content[ring]), -2.5, 2.5)),
        "zero": float(blocks.zero_mask[grown][inside].mean()),
    }


def candidates_high(blocks: Blocks) -> list[Candidate]:
    """Regions that may hold more noise than their surroundings."""
    relative = blocks.level - noise_curve(blocks)
    raised = _mean_of(np.clip(relative, -1.5, 2.5), blocks.white_mask, 5, 2.0)
    floor = np.where(blocks.usable_mask, blocks.floor, -9.0).astype(np.float32)
    floor = ndimage.percentile_filter(floor, 25, size=3)
    parts = _components(raised, _RAISED) + _components(floor, tuple(math.log(f) for f in _FLOORS))
    judged = [(window, mask, _features_high(blocks, relative, window, mask)) for window, mask in parts]
    return [Candidate(window, mask, features) for window, mask, features in judged if features is not None]


def candidates_low(blocks: Blocks) -> list[Candidate]:
    """Regions that may hold less noise than their surroundings."""
    depth = noise_curve(blocks) - blocks.ceiling
    field = ndimage.percentile_filter(np.where(blocks.usable_mask, depth, -9.0).astype(np.float32), 25, size=3)
    parts = _components(field, _LOWERED)
    judged = [(window, mask, _features_low(blocks, depth, window, mask)) for window, mask in parts]
    return [Candidate(window, mask, features) for window, mask, features in judged if features is not None]
