"""Double JPEG compression on one grid: which part of a resaved picture lacks the traces of its first save.

A picture saved at one quality, edited, and saved again on the same grid has periodic coefficient histograms (Popescu &
Farid 2004); what was pasted in between was never quantised by the first save on this grid and shows none (Lin, He,
Tang, Tang, "Fast, automatic and fine-grained tampered JPEG image detection via DCT coefficient analysis", Pattern
Recognition 2009; Bianchi & Piva, IEEE TIFS 2012). Each block votes "once" or "twice"; clusters of "once" are judged a
contrario against the picture's own rate of such votes at equal information.

For PNG or TIFF copies of a JPEG the last save's steps are read off the pixels.

Left out: grids that do not coincide (instrument `jpeg_grid`), pictures edited after their last JPEG save, and the
whole-picture question whether a second save is suspicious: it is not, sharing does it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.jpeg import ZIGZAG, block_dct
from fakeexplain.imaging.regions import checked_region, region_of_mask
from fakeexplain.imaging.source import SourceImage, orient
from fakeexplain.instruments._dq_histogram import (
    FREQUENCIES,
    Coefficients,
    Period,
    Votes,
    block_votes,
    estimate_steps,
    find_periods,
    nearest_quality,
)
from fakeexplain.instruments.base import Instrument
from fakeexplain.instruments.statistics import LOG10_E, strength_of
from fakeexplain.records import Evidence

MIN_BLOCKS = 64
# Rate of "once" votes in photographs saved twice: 2 % with no pixel this near to 0 or 255 in any channel, 6 % with up
# to two, 10 % with five or more, 25 % with forty. Blocks with more than two are left out.
CLIP_MARGIN = 4
WINDOWS = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # window sides in blocks
MIN_SPEAKERS = 8
MIN_VOTERS = 6
MAX_DETECTIONS = 8
MIN_KNOWN_STEPS = 4  # for pictures whose last save must be estimated from the pixels
MIN_SHARE = 0.5
# The rest of the picture must be saved twice beyond doubt, or the periods found are not what we take them for.
MAX_REST_RATE = 0.25
_PLACES = (np.array([ZIGZAG[i][0] for i in FREQUENCIES]), np.array([ZIGZAG[i][1] for i in FREQUENCIES]))
_LIMITS = (
    "a logo, text or frame that was added between the two saves",
    "clipped or very smooth content, where the first save leaves little trace",
    "local sharpening or blurring by a camera or an app between the two saves",
)


def _stored(array: np.ndarray, orientation: int) -> np.ndarray:
    """Upright -> stored frame: the inverse of `orient`."""
    return orient(array, {6: 8, 8: 6}.get(orientation, orientation))


def _clipped_blocks(rgb: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """bool (rows, columns): blocks in which clipping to 0..255 may have disturbed the second save."""
    near_mask = np.any((rgb <= CLIP_MARGIN) | (rgb >= 255 - CLIP_MARGIN), axis=2)
    near = np.asarray(near_mask)[: rows * 8, : columns * 8]
    return near.reshape(rows, 8, columns, 8).sum(axis=(1, 3)) > 2


def _spectrum(plane: np.ndarray) -> np.ndarray:
    """Block DCT at the frequencies used: float32 (frequencies, rows, columns)."""
    u, v = _PLACES
    result = np.empty((len(FREQUENCIES), plane.shape[0] // 8, plane.shape[1] // 8), dtype=np.float32)
    for top in range(0, result.shape[1], 64):  # strips keep the spectrum of all 64 frequencies small
        result[:, top : top + 64] = np.moveaxis(block_dct(plane[top * 8 : (top + 64) * 8] - 128.0)[..., u, v], 2, 0)
    return result


def _coefficients(source: SourceImage) -> Coefficients | None:
    """Aligned levels and shifted coefficients, None if neither file nor pixels show a last JPEG save on this grid.

    Partial blocks at the right and bottom were padded anew by each save and are left out.
    """
    u, v = _PLACES
    rgb = _stored(source.rgb, source.orientation)
    luma = _stored(source.luma, source.orientation)
    rows, columns = luma.shape[0] // 8, luma.shape[1] // 8
    usable_mask = ~_clipped_blocks(rgb, rows, columns)
    levels = source.luma_coefficients
    if source.jpeg is not None and levels is not None:
        if levels.shape[0] < rows or levels.shape[1] < columns:
            return None
        steps = source.jpeg.luma_table[u, v].astype(int)
        aligned = np.ascontiguousarray(np.moveaxis(levels[:rows, :columns, u, v], 2, 0))
    else:
        spectrum = _spectrum(luma)
        steps = estimate_steps(spectrum[:, usable_mask])
        if (steps > 0).sum() < MIN_KNOWN_STEPS:
            return None
        scale = np.where(steps > 0, 1.0 / np.maximum(steps, 1), 0.0).astype(np.float32)
        aligned = np.rint(spectrum * scale[:, None, None]).astype(np.int16)
    padded = np.pad(luma[: rows * 8, : columns * 8], ((0, 4), (0, 4)), mode="edge")[4:, 4:]
    return Coefficients(aligned, _spectrum(padded), steps, usable_mask)


def _box_sums(plane: np.ndarray, side: int) -> np.ndarray:
    """Sums over all side x side windows inside the plane: float64 (rows - side + 1, columns - side + 1)."""
    total = np.pad(plane.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _best_window(votes: Votes, free_mask: np.ndarray) -> tuple[float, float, tuple[int, int, int]] | None:
    """(log10 p, log10 of the number of windows, (row, column, side)) of the most surprising window of free blocks.

    Under the null, with blocks independent, the likelihood ratio of a window has mean 1, so P(ratio >= r) <= 1 / r
    (Markov). That neighbours are not quite independent is left to the slack of this bound, which is counted.
    """
    rows, columns = free_mask.shape
    speakers = votes.speaker_mask & free_mask
    log_ratio = np.where(free_mask, votes.log_ratio, 0.0)
    best: tuple[float, tuple[int, int, int]] | None = None
    tests = 0
    for side in WINDOWS:
        if side > min(rows, columns):
            break
        tests += (rows - side + 1) * (columns - side + 1)
        total = np.where(_box_sums(speakers, side) >= MIN_SPEAKERS, _box_sums(log_ratio, side), 0.0)
        i = int(total.argmax())
        log10_p = -float(total.flat[i]) * LOG10_E
        if log10_p < 0 and (best is None or log10_p < best[0]):
            best = (log10_p, (i // total.shape[1], i % total.shape[1], side))
    if best is None:
        return None
    return best[0], float(np.log10(max(tests, 1))), best[1]


def _share_map(votes: Votes) -> np.ndarray:
    """Local share of content without a first save, smoothed over about 5x5 blocks: float32 in [0, 1]."""
    evidence = ndimage.gaussian_filter(np.where(votes.speaker_mask, votes.evidence, 0.0), 1.2)
    information = ndimage.gaussian_filter(np.where(votes.speaker_mask, votes.information, 0.0), 1.2)
    return np.clip(evidence / (information + 0.3), 0.0, 1.0).astype(np.float32)


def _grow(votes: Votes, share_map: np.ndarray, window: tuple[int, int, int], free_mask: np.ndarray) -> np.ndarray:
    """Blocks connected to the window in which "once" prevails, holes filled: bool (rows, columns)."""
    row, column, side = window
    likely = (share_map > MIN_SHARE) & free_mask
    likely = ndimage.binary_closing(np.pad(likely, 2), iterations=1)[2:-2, 2:-2] & free_mask
    labels, count = ndimage.label(likely)
    inside = np.bincount(labels[row : row + side, column : column + side].ravel(), minlength=count + 1)
    inside[0] = 0
    # Small specks in the window belong to the noise, not to the region.
    chosen = np.flatnonzero(inside > max(2, 0.1 * inside.sum()))
    grown = ndimage.binary_fill_holes(np.isin(labels, chosen))
    grown = ndimage.binary_opening(grown, np.ones((2, 2), bool)) if grown.sum() > 30 else grown
    if not grown.any():
        grown = np.zeros_like(free_mask)
        grown[row : row + side, column : column + side] = True
    return np.asarray(grown)


@dataclass(frozen=True)
class _Finding:
    blocks_mask: np.ndarray
    log10_nfa: float
    log10_tests: float
    voters: int
    singles: int
    share: float
    shifted_excess: float
    rest_rate: float


def _findings(votes: Votes, share_map: np.ndarray) -> list[_Finding]:
    free_mask = np.ones(votes.voter_mask.shape, bool)
    found: list[_Finding] = []
    for _ in range(MAX_DETECTIONS):
        best = _best_window(votes, free_mask)
        if best is None:
            break
        log10_p, log10_tests, window = best
        blocks = _grow(votes, share_map, window, free_mask)
        speakers = blocks & votes.speaker_mask
        information = float(votes.information[speakers].sum()) + 1e-9
        share = float(votes.evidence[speakers].sum()) / information
        # The same content on the shifted grid was never quantised by the first save. Pasted content looks there as
        # it does here; content that is merely unusual keeps its distance.
        excess = float((votes.shifted[speakers] - votes.evidence[speakers]).sum()) / information
        log10_nfa = log10_p + log10_tests
        voters = int((votes.voter_mask & blocks).sum())
        outside = votes.voter_mask & ~blocks
        rest_rate = float((votes.single_mask & outside).sum() / max(int(outside.sum()), 1))
        unclear = share < MIN_SHARE or excess > MIN_SHARE or voters < MIN_VOTERS or rest_rate > MAX_REST_RATE
        if unclear:
            log10_nfa = max(log10_nfa, 0.0)
        found.append(
            _Finding(
                blocks_mask=blocks,
                log10_nfa=log10_nfa,
                log10_tests=log10_tests,
                voters=voters,
                singles=int((votes.single_mask & blocks).sum()),
                share=share,
                shifted_excess=excess,
                rest_rate=rest_rate,
            )
        )
        if log10_p + log10_tests > -1:
            break
        row, column, side = window
        free_mask &= ~ndimage.binary_dilation(blocks, iterations=2)
        free_mask[row : row + side, column : column + side] = False
    found.sort(key=lambda f: f.log10_nfa)
    return [f for f in found if f.log10_nfa < -1] or found[:1]


def _to_pixels(blocks: np.ndarray, source: SourceImage) -> np.ndarray:
    """A map on the stored block grid as a map of the upright picture (nearest), zero beyond the last full block."""
    swapped = source.orientation >= 5
    height, width = (source.width, source.height) if swapped else (source.height, source.width)
    full = np.zeros((height, width), dtype=blocks.dtype)
    rows, columns = blocks.shape
    full[: rows * 8, : columns * 8] = np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)
    return source.upright(full)


class DoubleJpeg(Instrument):
    """Regions of a resaved JPEG that lack the first save's quantisation."""

    name = "double_jpeg"
    version = "1.0"
    title = "Double JPEG compression"
    needs = "a picture saved twice as JPEG on the same 8x8 grid with different steps, neither cropped nor resized since"
    measures = "blocks that lack the traces of the picture's first JPEG save"

    def examine(self, source: SourceImage) -> list[Evidence]:
        if min(source.height, source.width) < 24 or source.height * source.width < MIN_BLOCKS * 64:
            return [self.abstain("the picture is too small to compare one part of it with the rest")]
        data = _coefficients(source)
        if data is None:
            return [self.abstain("neither the file nor its pixels show a JPEG save on the grid of the picture")]
        periods = find_periods(data) if data.usable_mask.sum() >= MIN_BLOCKS else []
        if not periods:
            return [
                self.abstain(
                    "no trace of an earlier JPEG save on the same grid: the picture was saved once, was resized or "
                    "cropped in between, or both saves used the same settings"
                )
            ]
        records = [self._fact(source, periods)]
        votes = block_votes(data, periods)
        if votes.speaker_mask.sum() < MIN_BLOCKS:
            return [
                *records,
                self.abstain("the earlier save is visible, but too few blocks carry enough detail to compare parts"),
            ]
        share_map = _share_map(votes)
        findings: list[_Finding | None] = [*_findings(votes, share_map)] or [None]
        detections = [self._detection(source, votes, f) for f in findings]
        detections[0] = detections[0].model_copy(update={"score_map": _to_pixels(share_map, source)})
        return [*detections, *records]

    def _fact(self, source: SourceImage, periods: list[Period]) -> Evidence:
        last = (
            source.jpeg.quality
            if source.jpeg is not None
            else nearest_quality(periods, [p.second_step for p in periods])
        )
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="fact",
            trace="double_compression",
            quantity="quality of an earlier JPEG save on the same grid, estimated from the coefficients",
            value=nearest_quality(periods, [p.first_step for p in periods]),
            reference=last,
            reference_text="quality of the last JPEG save",
            limits=("sharing, downloading or exporting the picture again, which is common and no manipulation",),
            details={
                "frequencies": len(periods),
                "last_save_read_from": "file" if source.jpeg is not None else "pixels",
                "zigzag_indices": [p.index for p in periods],
                "first_steps": [p.first_step for p in periods],
                "second_steps": [p.second_step for p in periods],
                "gain_nats": [round(p.gain, 1) for p in periods],
                "share_doubly_quantised": round(float(np.median([p.share for p in periods])), 2),
            },
        )

    def _detection(self, source: SourceImage, votes: Votes, finding: _Finding | None) -> Evidence:
        """One finding as a record; None says that no window of the picture leans towards one save."""
        whole = float(votes.single_mask.sum() / max(int(votes.voter_mask.sum()), 1))
        value, reference, reference_text = whole, whole, "the same share over the whole picture: no part stands out"
        log10_nfa = log10_tests = float(np.log10(votes.voter_mask.size))
        region, details = None, {}
        if finding is not None:
            value, reference = finding.singles / max(finding.voters, 1), finding.rest_rate
            reference_text = "the same share in the rest of the picture"
            log10_nfa, log10_tests = finding.log10_nfa, finding.log10_tests
            region = region_of_mask(_to_pixels(finding.blocks_mask, source))
            details = {
                "blocks_compared": finding.voters,
                "blocks_without_first_save": finding.singles,
                "share_once": round(finding.share, 3),
                "shifted_grid_excess": round(finding.shifted_excess, 3),
            }
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace="missing_double_quantisation",
            quantity="share of comparable blocks that show no trace of the picture's first JPEG save",
            value=round(value, 4),
            reference=round(reference, 4),
            reference_text=reference_text,
            region=region,
            log10_nfa=round(log10_nfa, 2),
            log10_tests=round(log10_tests, 2),
            strength=strength_of(log10_nfa),
            limits=_LIMITS,
            details=details,
        )

    def measure(self, source: SourceImage, region_mask: np.ndarray) -> Evidence:
        """Share of blocks consistent with two saves inside the region, and in the rest of the picture.

        Raises:
            MeasurementError: wrong frame, region too small, or no trace of an earlier save to compare with.
        """
        mask = checked_region(region_mask, source.height, source.width, 16 * 64, self.name)
        data = _coefficients(source)
        periods = find_periods(data) if data is not None and data.usable_mask.sum() >= MIN_BLOCKS else []
        if data is None or not periods:
            raise MeasurementError(
                f"{self.name}: this file shows no earlier JPEG save on its grid, so nothing can be compared; "
                "give a JPEG that was saved twice"
            )
        votes = block_votes(data, periods)
        rows, columns = votes.voter_mask.shape
        stored = _stored(mask, source.orientation)[: rows * 8, : columns * 8]
        covered = stored.reshape(rows, 8, columns, 8).mean(axis=(1, 3))
        inside, outside = votes.voter_mask & (covered > 0.5), votes.voter_mask & (covered == 0.0)
        if inside.sum() < 8 or outside.sum() < 8:
            raise MeasurementError(
                f"{self.name}: {int(inside.sum())} blocks inside and {int(outside.sum())} outside the region carry "
                "enough detail, at least 8 of each are needed; choose a region with more texture"
            )
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="measurement",
            trace="double_quantisation_share",
            quantity="share of comparable blocks in the region that agree with two JPEG saves",
            value=round(1.0 - float(votes.single_mask[inside].mean()), 4),
            reference=round(1.0 - float(votes.single_mask[outside].mean()), 4),
            reference_text="the same share outside the region",
            region=region_of_mask(mask),
            limits=_LIMITS,
            details={"blocks_inside": int(inside.sum()), "blocks_outside": int(outside.sum())},
        )
