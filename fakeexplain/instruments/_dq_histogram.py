"""Histograms of doubly quantised DCT coefficients: the forward model, the search for the first step, block scores.

Everything here works on absolute values of one AC frequency: `q2` is the step of the file, `q1` the step of a possible
earlier save on the same grid. "Smooth" samples are coefficients of the same picture on a grid shifted by four pixels,
which no quantisation has touched (Bianchi & Piva, "Image forgery localization via block-grained analysis of JPEG
artifacts", IEEE TIFS 2012). Left out: anything that knows about places in the picture, and DC, whose histogram is too
wide and too much the scene's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage, special

from fakeexplain.imaging.jpeg import ZIGZAG, scaled_table

# Rounding to 8-bit RGB between the two saves, seen in one luma DCT coefficient (grey levels).
ROUNDING_SIGMA = 0.45
# Share of coefficients that may follow no model: bounds a single coefficient's score to log(1 / FLOOR).
FLOOR = 0.03
MAX_FIRST_STEP = 72
FREQUENCIES = range(1, 21)  # zigzag indices; higher ones are mostly zero and cost time
MIN_COUNT = 60  # nonzero coefficients in a frequency
# A period counts when it explains a histogram by this many nats, and by this many per coefficient. Photographs saved
# once reach 0.03 per coefficient in under 1 % of their frequencies, saved twice they mostly stand above 0.2.
MIN_GAIN = 30.0
MIN_GAIN_PER_COEFFICIENT = 0.03
MIN_JOINT_GAIN = 40.0
MIN_JOINT_GAIN_PER_COEFFICIENT = 0.008
MIN_FREQUENCIES = 3
MAX_LAW_SAMPLES = 40_000
ACTIVITY_CLASSES = 4  # within which scores are compared
MIN_INFORMATION = 0.5  # nats between "once" and "twice" that a block must offer to have a say
VOTE_INFORMATION = 1.5  # ... and to be counted as one block in the figures people read
INFORMATION_CLASSES = 6
# Edges of evidence / information, which is about 0 for a block saved twice and about 1 for one saved once.
RATIO_EDGES = np.array([-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
NULL_FLOOR = 0.02  # share of blocks that may look "once" anywhere, for any reason
_TABLES = np.stack([scaled_table(q) for q in range(30, 100)])[
    :, [ZIGZAG[i][0] for i in FREQUENCIES], [ZIGZAG[i][1] for i in FREQUENCIES]
]
_LARGEST_VALUE = 160.0
_LARGEST_STEP = 255  # 16-bit tables leave nothing to measure
_ALPHAS = np.array([0.35, 0.6, 0.85, 1.0 - FLOOR])


@dataclass(frozen=True)
class Period:
    """A first quantisation step found in one frequency.

    Attributes:
        index: zigzag index of the frequency.
        first_step, second_step: q1 and q2.
        gain: log-likelihood (nats) by which double quantisation explains the histogram better than a smooth law.
        share: estimated share of coefficients that are doubly quantised.
        count: informative (nonzero) coefficients behind it.
        score: float64 (levels + 1,), log P(|k| | once) / P(|k| | twice) given k != 0; 0 for |k| = 0 and beyond.
    """

    index: int
    first_step: int
    second_step: int
    gain: float
    share: float
    count: int
    score: np.ndarray


def level_count(second_step: int) -> int:
    """Quantised levels 1..n that are modelled: up to 160 grey levels, at least 6 and at most 48 of them."""
    return int(np.clip(_LARGEST_VALUE // second_step, 6, 48))


def informative_steps(second_step: int) -> np.ndarray:
    """First steps that leave a period: all but the divisors of `second_step` (they look like a single save)."""
    steps = np.arange(2, MAX_FIRST_STEP + 1)
    return steps[second_step % steps != 0]


@lru_cache(maxsize=4096)
def _transition(first_step: int, second_step: int) -> np.ndarray:
    """P(|k| | |n|): float64 (n, levels + 1), where |n| is the level of the first save."""
    levels = level_count(second_step)
    n = np.arange(0, int((levels + 1) * second_step / first_step) + 2)[:, None] * float(first_step)
    edges = (np.arange(-levels, levels + 2) - 0.5) * second_step
    below = special.ndtr((edges[None, :] - n) / ROUNDING_SIGMA)
    signed = np.diff(below, axis=1)
    folded = signed[:, levels:].copy()
    folded[:, 1:] += signed[:, :levels][:, ::-1]
    return folded


class SmoothLaw:
    """Distribution function of |coefficient| before any quantisation, from samples on the shifted grid."""

    def __init__(self, magnitudes: np.ndarray) -> None:
        # Equal bins in asinh keep the bandwidth proportional to the magnitude, so no step of up to ~100 can survive.
        scaled = np.arcsinh(magnitudes / 2.0)
        self._edges = np.linspace(0.0, float(np.arcsinh(600.0)), 241)
        counts = np.histogram(scaled, bins=self._edges)[0].astype(float)
        density = ndimage.gaussian_filter1d(counts, 6.0, mode="reflect") + 1e-6
        self._below = np.concatenate(([0.0], np.cumsum(density))) / density.sum()

    def below(self, magnitudes: np.ndarray) -> np.ndarray:
        return np.interp(np.arcsinh(magnitudes / 2.0), self._edges, self._below)

    def once(self, second_step: int) -> np.ndarray:
        """P(|k|) for k != 0 after one save: float64 (levels,), adding up to 1."""
        edges = (np.arange(1, level_count(second_step) + 2) - 0.5) * second_step
        mass = np.diff(self.below(edges)) + 1e-9
        return mass / mass.sum()

    def twice(self, first_step: int, second_step: int) -> np.ndarray:
        """P(|k|) for k != 0 after two saves: float64 (levels,), adding up to 1."""
        transition = _transition(first_step, second_step)
        edges = np.maximum((np.arange(transition.shape[0] + 1) - 0.5) * first_step, 0.0)
        mass = (np.diff(self.below(edges)) @ transition)[1:] + 1e-9
        return mass / mass.sum()


def histogram(levels_found: np.ndarray, second_step: int) -> np.ndarray:
    """Counts of |k| = 1 .. level_count: float64 (levels,)."""
    top = level_count(second_step)
    return np.bincount(np.minimum(np.abs(levels_found), top + 1).ravel(), minlength=top + 2)[1 : top + 1].astype(float)


def gains(counts: np.ndarray, law: SmoothLaw, second_step: int, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(gain in nats, share doubly quantised) for each candidate first step: float64 (len(steps),) each.

    The gain is the log-likelihood ratio of a mixture (share doubly, rest singly quantised) to the smooth law alone.
    """
    once = law.once(second_step)
    ratio = np.stack([law.twice(int(q), second_step) for q in steps]) / once
    mixed = np.log(_ALPHAS[:, None, None] * ratio[None] + (1.0 - _ALPHAS)[:, None, None])
    value = mixed @ counts
    best = value.argmax(axis=0)
    return value[best, np.arange(len(steps))], _ALPHAS[best]


def score_table(law: SmoothLaw, first_step: int, second_step: int) -> np.ndarray:
    """log P(|k| | once) / P(|k| | twice) for |k| = 0 .. levels: float64, 0 where |k| = 0."""
    once, twice = law.once(second_step), law.twice(first_step, second_step)
    score = -np.log((1.0 - FLOOR) * twice / once + FLOOR)
    return np.concatenate(([0.0], np.maximum(score, -3.0)))


@dataclass(frozen=True)
class Coefficients:
    """First AC frequencies of all full blocks in the stored frame, frequency first (the order of `FREQUENCIES`).

    Attributes:
        aligned: quantised levels of the last save, integers (frequencies, rows, columns).
        shifted: unquantised coefficients of the decoded picture on the grid shifted by (4, 4), float32, same shape.
        steps: quantisation steps of the last save, int (frequencies,), 0 where unknown.
        usable_mask: bool (rows, columns), blocks where clipping did not disturb the second save.
    """

    aligned: np.ndarray
    shifted: np.ndarray
    steps: np.ndarray
    usable_mask: np.ndarray


@dataclass(frozen=True)
class Votes:
    """What each block says, on the stored block grid (float32 or bool, rows x columns).

    Attributes:
        evidence: score towards "once" minus the picture's mean at equal activity, nats.
        information: how much of it a block of the same content saved once would show on average, nats.
        shifted: evidence of the same content on a grid shifted by 4 pixels, where the first save is invisible.
        speaker_mask: blocks with enough information to be used and no clipped pixels.
        log_ratio: log P(block | once) / P(block | as this picture), 0 outside `speaker_mask`.
        voter_mask: speakers with so much information that one block alone can be read.
        single_mask: voters nearer to "once" than to "twice".
    """

    evidence: np.ndarray
    information: np.ndarray
    shifted: np.ndarray
    speaker_mask: np.ndarray
    log_ratio: np.ndarray
    voter_mask: np.ndarray
    single_mask: np.ndarray


def estimate_steps(spectrum: np.ndarray) -> np.ndarray:
    """Quantisation steps of a last JPEG save from unquantised coefficients, which then sit near multiples of a step.

    Args:
        spectrum: float32 (frequencies, blocks), coefficients of decoded pixels on the JPEG's own grid.

    Returns:
        int (frequencies,): the step, 0 where none shows. Steps of 1 and 2 drown in the rounding to 8 bits.
    """
    found = np.zeros(spectrum.shape[0], dtype=int)
    for j, values in enumerate(spectrum):
        magnitudes = np.abs(values[np.abs(values) > 1.5])
        if magnitudes.size < MIN_COUNT:
            continue
        magnitudes = magnitudes[:: max(1, magnitudes.size // 4000)]
        best = 0.0
        for step in range(3, 101):
            inside = magnitudes[magnitudes > 0.5 * step]
            if inside.size < 30:
                break
            distance = inside - step * np.rint(inside / step)
            density = np.exp(-0.5 * (distance / ROUNDING_SIGMA) ** 2) * (step / (ROUNDING_SIGMA * np.sqrt(2 * np.pi)))
            gain = float(np.log(0.9 * density + 0.1).sum())
            if gain > max(best, MIN_GAIN / 2, 0.1 * inside.size):
                best, found[j] = gain, step
    return _without_multiples(found)


def _without_multiples(found: np.ndarray) -> np.ndarray:
    """Steps after a first save's steps and multiples were told from the last save's; all 0 if that is not possible.

    Where the first step is a multiple of the last one, nearly all coefficients sit on the multiple. The Annex K table
    that the other frequencies fit exactly, and of which every step found is a multiple, then gives the last step.
    """
    known = found > 0
    steps, tables = found[known], _TABLES[:, known]
    consistent = ((tables > 1) & (steps % tables == 0)).all(axis=1)
    exact = np.where(consistent, (tables == steps).sum(axis=1), 0)
    if known.any() and exact.max() >= 3:
        return np.where(known, _TABLES[int(exact.argmax())], 0)
    low, high = found[:5], found[10:]
    # No luma table falls with frequency: this mixes steps of two saves, because the last one is too fine to be seen.
    if (low > 0).any() and (high > 0).any() and high[high > 0].min() < np.median(low[low > 0]):
        return np.zeros_like(found)
    return found


def find_periods(data: Coefficients) -> list[Period]:
    """Frequencies whose histogram shows a first quantisation step.

    A frequency counts by itself, or when it fits the Annex K table that explains all frequencies together best.
    """
    usable = data.usable_mask
    stride = max(1, int(usable.sum()) // MAX_LAW_SAMPLES)
    rows: list[tuple[int, int, int, float, SmoothLaw, np.ndarray, np.ndarray]] = []
    joint = np.zeros(len(_TABLES))
    for j, index in enumerate(FREQUENCIES):
        step = int(data.steps[j])
        if not 0 < step <= _LARGEST_STEP:
            continue
        counts = histogram(data.aligned[j][usable], step)
        total = float(counts.sum())
        if total < MIN_COUNT:
            continue
        law = SmoothLaw(np.abs(data.shifted[j][usable][::stride]))
        gain, share = np.zeros(MAX_FIRST_STEP + 1), np.zeros(MAX_FIRST_STEP + 1)
        steps = informative_steps(step)
        gain[steps], share[steps] = gains(counts, law, step, steps)
        rows.append((j, index, step, total, law, gain, share))
        joint += np.where(_TABLES[:, j] <= MAX_FIRST_STEP, gain[np.minimum(_TABLES[:, j], MAX_FIRST_STEP)], 0.0)
    counted = sum(row[3] for row in rows)
    quality = int(joint.argmax())
    joint_holds = joint[quality] >= max(MIN_JOINT_GAIN, MIN_JOINT_GAIN_PER_COEFFICIENT * counted)
    found = []
    for j, index, step, total, law, gain, share in rows:
        first = int(gain.argmax())
        if gain[first] < max(MIN_GAIN, MIN_GAIN_PER_COEFFICIENT * total):
            first = int(min(_TABLES[quality, j], MAX_FIRST_STEP))
            if not joint_holds or gain[first] < 5.0:
                continue
        score = score_table(law, first, step)
        found.append(Period(index, first, step, float(gain[first]), float(share[first]), int(total), score))
    return found if len(found) >= MIN_FREQUENCIES else []


def nearest_quality(periods: list[Period], steps: list[int]) -> int:
    """Annex K quality whose luma table is nearest to `steps` at the frequencies of `periods` (mean log ratio)."""
    u, v = [ZIGZAG[p.index][0] for p in periods], [ZIGZAG[p.index][1] for p in periods]
    tables = np.stack([scaled_table(q) for q in range(1, 101)])[:, u, v]
    return int(np.argmin(np.abs(np.log(tables / np.asarray(steps, dtype=float))).mean(axis=1))) + 1


def _scores(magnitudes: np.ndarray, period: Period) -> np.ndarray:
    table = np.concatenate((period.score, [0.0])).astype(np.float32)
    return table[np.minimum(magnitudes, table.size - 1)]


def block_votes(data: Coefficients, periods: list[Period]) -> Votes:
    """Scores of all blocks, centred and scaled within activity classes."""
    steps = np.maximum(data.steps, 1)[:, None, None]  # levels of unknown steps are 0
    aligned = np.abs(data.aligned)
    shifted = np.rint(np.abs(data.shifted) / steps).astype(np.int16)
    weight = np.minimum(steps, 32767).astype(np.float32)
    activity = (aligned * weight).sum(axis=0)
    activity_shifted = (shifted * weight).sum(axis=0)
    shape = activity.shape
    evidence, information, moved, moved_information = (np.zeros(shape, np.float32) for _ in range(4))
    for period in periods:
        j = period.index - FREQUENCIES.start
        step = float(period.second_step)
        levels = period.score.size
        here = (aligned[j] > 0) & (aligned[j] < levels) & data.usable_mask
        there = (shifted[j] > 0) & (shifted[j] < levels) & data.usable_mask
        # Activity of the other frequencies: independent of what this coefficient says.
        others = activity - aligned[j] * step
        others_shifted = activity_shifted - shifted[j] * step
        edges = np.quantile(others[here], np.arange(1, ACTIVITY_CLASSES) / ACTIVITY_CLASSES)
        kind = np.searchsorted(edges, others)
        kind_shifted = np.searchsorted(edges, others_shifted)
        score, score_shifted = _scores(aligned[j], period), _scores(shifted[j], period)
        count = np.bincount(kind[here], minlength=ACTIVITY_CLASSES) + 1e-9
        mean = np.bincount(kind[here], weights=score[here], minlength=ACTIVITY_CLASSES) / count
        count_shifted = np.bincount(kind_shifted[there], minlength=ACTIVITY_CLASSES) + 1e-9
        expected = (
            np.bincount(kind_shifted[there], weights=score_shifted[there], minlength=ACTIVITY_CLASSES) / count_shifted
        )
        excess = np.where((count > 15) & (count_shifted > 15), np.maximum(expected - mean, 0.0), 0.0)
        mean = mean.astype(np.float32)
        excess = excess.astype(np.float32)
        told = excess > 0
        evidence += np.where(here & told[kind], score - mean[kind], 0.0)
        information += np.where(here, excess[kind], 0.0)
        moved += np.where(there & told[kind_shifted], score_shifted - mean[kind_shifted], 0.0)
        moved_information += np.where(there, excess[kind_shifted], 0.0)
    speaker_mask = data.usable_mask & (information >= MIN_INFORMATION)
    shifted_speaker_mask = data.usable_mask & (moved_information >= MIN_INFORMATION)
    log_ratio = np.zeros(shape, np.float32)
    if speaker_mask.any() and shifted_speaker_mask.any():
        log_ratio[speaker_mask] = _log_ratios(
            evidence[speaker_mask],
            information[speaker_mask],
            moved[shifted_speaker_mask],
            moved_information[shifted_speaker_mask],
        )
    voter_mask = data.usable_mask & (information >= VOTE_INFORMATION)
    single_mask = voter_mask & (evidence > 0.5 * information)
    return Votes(evidence, information, moved, speaker_mask, log_ratio, voter_mask, single_mask)


def _log_ratios(
    evidence: np.ndarray, information: np.ndarray, moved: np.ndarray, moved_information: np.ndarray
) -> np.ndarray:
    """log P(block | saved once) / P(block | as this picture) for each aligned block, both laws counted in the picture.

    The picture's own blocks give the null, pasted part included, which makes it conservative; blocks on the shifted
    grid give the alternative. Both are counted within classes of equal information.
    """
    classes, bins = INFORMATION_CLASSES, RATIO_EDGES.size + 1
    edges = np.quantile(information, np.arange(1, classes) / classes)

    def cells(scores: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.searchsorted(edges, scale) * bins + np.searchsorted(RATIO_EDGES, scores / scale)

    def law(cell: np.ndarray) -> np.ndarray:
        counts = np.bincount(cell, minlength=classes * bins).reshape(classes, bins) + 0.5
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    here = cells(evidence, information)
    null, once = law(here), law(cells(moved, moved_information))
    table = np.log((0.95 * once + 0.05 * null) / ((1.0 - NULL_FLOOR) * null + NULL_FLOOR * once))
    return np.asarray(table.ravel()[here], dtype=np.float32)
