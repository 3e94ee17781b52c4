"""Noise-level inconsistency: regions whose noise is stronger or weaker than the rest of the picture allows.

Camera noise is everywhere and, at equal brightness, equally strong. Pasted or freshly noised content breaks this
upwards, smoothed or generated content downwards. After Noisesniffer (Gardella, Muse, Morel, Colom, IWBF 2021) noise is
read in small DCT blocks, in homogeneous ones where one can (`_noise_blocks`). Noisesniffer's background, lowest-noise
blocks falling anywhere with equal probability, does not hold on photographs: textures, in-camera denoising and JPEG
flattening all clump. So the number of false alarms rests on a measured law instead (`_Law`): candidate regions are
scored by how well they agree with *added* (or removed) noise, namely all frequency bands raised alike, no dependence
on content, a step against the surroundings; and the tail of a picture's best score was counted on photographs.

Deliberately left out: chroma noise (JPEG subsampling destroys it), noise weaker than what compression leaves (the
instrument abstains), and the cause of a difference: a filter, a paste and a stitched panorama look alike here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import checked_region, region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments._noise_blocks import (
    Blocks,
    Candidate,
    bands_of,
    candidates_high,
    candidates_low,
    luma_table_of,
    noise_curve,
    read_blocks,
)
from fakeexplain.instruments.base import Instrument
from fakeexplain.instruments.statistics import LOG10_E, strength_of
from fakeexplain.records import Evidence

_MIN_BLOCKS = 60  # homogeneous blocks a picture must have
_LOWEST_LOG10 = -5.0


@dataclass(frozen=True)
class _Law:
    """Score of a candidate and the tail of a photograph's best score.

    score = bias + sum of weight x feature, a logistic discriminant between planted regions and the candidates of
    authentic photographs; P(best score of an authentic photograph > s) = rate * exp(-(s - start) / scale), an
    exponential tail fitted to the largest scores. The two sides divide the false alarms between them by `share`, so
    NFA = that probability / share.

    Fitted on 1,363 authentic photographs, of which 879 could be examined, and on regions planted in half of them
    (Gaussian noise of sigma 2, 3, 5; Gaussian, median and bilateral smoothing; PNG, JPEG 95, 90, 80). Weights are those
    of all photographs; `start`, `rate` and `scale` come from scores cross-fitted over two halves that share no photo.
    """

    bias: float
    weights: dict[str, float]
    start: float
    rate: float
    scale: float
    share: float

    def score(self, features: dict[str, float]) -> float:
        return self.bias + sum(weight * features[name] for name, weight in self.weights.items())

    def log10_nfa(self, score: float) -> float:
        """Bounded below: no collection of photographs vouches for more."""
        log10_tail = math.log10(self.rate) - (score - self.start) / self.scale * LOG10_E
        return max(min(log10_tail, 0.0) - math.log10(self.share), _LOWEST_LOG10)


_HIGH = _Law(
    bias=-0.402,
    weights={
        "count": 0.488,
        "step": 0.959,
        "ring_step": 0.117,
        "ring_gap": 0.212,
        "edge_floor": 0.499,
        "share": 1.420,
        "spectrum_range": -2.950,
        "sigma": -0.563,
        "tail": -0.432,
        "white": -4.056,
        "brightness_step": -0.368,
        "floor_sigma": -0.728,
        "floor_gap": 0.482,
        "floor_outside": -0.278,
        "floor_spread": -0.740,
        "content_slope": -0.220,
    },
    start=0.626,
    rate=0.0489,
    scale=0.471,
    share=0.9,
)
_LOW = _Law(
    bias=-6.221,
    weights={
        "count": 0.551,
        "ring_gap": -0.085,
        "edge_step": 0.521,
        "outside": -1.134,
        "ring_outside": -1.472,
        "ring_white": 1.243,
        "brightness_step": -0.786,
        "content_step": 0.556,
        "zero": -5.224,
    },
    start=0.022,
    rate=0.0489,
    scale=0.723,
    share=0.1,
)

_TOO_COMPRESSED = (
    "the compression is so strong that it wiped out the noise in all but the coarsest detail, so that noise levels "
    "cannot be compared"
)
_TOO_SMALL = "the picture is too small: at least 64 pixels each way are needed to compare noise levels"
_TOO_FEW = (
    "too few even areas: nearly everything is textured, clipped or wiped flat by compression, so that noise cannot be "
    "told from content"
)
_LIMITS_HIGH = (
    "a fine, even texture such as sand, asphalt, fabric or foliage",
    "stronger in-camera amplification in shadows or towards the corners",
    "in-camera noise reduction that spared this area",
    "film grain, print raster or a picture within the picture",
)
_LIMITS_LOW = (
    "in-camera noise reduction of even areas",
    "a smooth surface out of focus after noise reduction",
    "very dark or nearly white parts where noise is compressed",
    "JPEG compression that wiped out noise here but not elsewhere",
)
_QUANTITY_HIGH = "noise in the even parts of a region that is noisier than the rest of the picture"
_QUANTITY_LOW = "noise in a region that is smoother than the rest of the picture"
_MAX_RECORDS = 8


class NoiseLevel(Instrument):
    """Looks for regions whose noise is stronger or weaker than that of the rest at equal brightness."""

    name = "noise"
    version = "1.0"
    title = "Noise level"
    needs = (
        "at least 64x64 pixels, even areas, and compression mild enough for noise to survive (JPEG quality 90 or more)"
    )
    measures = "regions whose noise level does not fit the rest of the picture"

    def examine(self, source: SourceImage) -> list[Evidence]:
        """Candidate regions with their number of false alarms, most significant first, or one abstention."""
        blocks = self._read(source)
        if isinstance(blocks, str):
            return [self.abstain(blocks)]
        curve = noise_curve(blocks)
        found = [("noise_high", _HIGH.score(c.features), _HIGH, c) for c in candidates_high(blocks)]
        found += [("noise_low", _LOW.score(c.features), _LOW, c) for c in candidates_low(blocks)]
        ranked = sorted(
            ((law.log10_nfa(score), -score, trace, law, c) for trace, score, law, c in found), key=lambda item: item[:2]
        )
        taken = np.zeros(blocks.mean.shape, bool)
        heat = np.zeros(blocks.mean.shape, np.float32)
        records: list[Evidence] = []
        for log10_nfa, negative_score, trace, law, candidate in ranked:
            part = heat[candidate.window]
            part[candidate.mask] = np.maximum(part[candidate.mask], special.expit(-0.5 * negative_score))
            if records and (
                log10_nfa > -1 or len(records) >= _MAX_RECORDS or taken[candidate.window][candidate.mask].any()
            ):
                continue
            taken[candidate.window] |= candidate.mask
            records.append(self._detection(source, blocks, curve, trace, candidate, law, log10_nfa, -negative_score))
        if not records:
            return [self._flat_record(source, blocks)]
        score_map = _to_pixels(heat, source.height, source.width)
        return [records[0].model_copy(update={"score_map": score_map}), *records[1:]]

    def measure(self, source: SourceImage, region_mask: np.ndarray) -> Evidence:
        """Noise sigma in the region's even blocks and in the rest's at equal brightness."""
        mask = checked_region(region_mask, source.height, source.width, 16 * 64, self.name)
        blocks = self._read(source)
        if isinstance(blocks, str):
            raise MeasurementError(f"{self.name}: {blocks}")
        rows, columns = blocks.mean.shape
        cover = mask[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).mean(axis=(1, 3))
        inside, outside = blocks.white_mask & (cover > 0.9), blocks.white_mask & (cover == 0)
        if inside.sum() < 8 or outside.sum() < 30:
            raise MeasurementError(
                f"{self.name}: {int(inside.sum())} even blocks inside and {int(outside.sum())} outside the region, at "
                "least 8 and 30 are needed; choose a region with even areas"
            )
        difference = float(np.median(blocks.level[inside]) - np.median(noise_curve(blocks, outside)[inside]))
        sigma = math.exp(float(np.median(blocks.level[inside])))
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="measurement",
            trace="noise_high" if difference > 0 else "noise_low",
            quantity="noise in the even parts of the region",
            value=round(sigma, 2),
            unit="grey levels",
            reference=round(sigma / math.exp(difference), 2),
            reference_text="noise in even parts of the rest at equal brightness",
            region=region_of_mask(mask),
            limits=_LIMITS_HIGH if difference > 0 else _LIMITS_LOW,
            details={"even_blocks_inside": int(inside.sum()), "even_blocks_outside": int(outside.sum())},
        )

    @staticmethod
    def _read(source: SourceImage) -> Blocks | str:
        """The blocks, or why they cannot be compared."""
        if min(source.height, source.width) < 64:
            return _TOO_SMALL
        table = luma_table_of(source)
        bands = bands_of(table)
        if len(bands) < 2:
            return _TOO_COMPRESSED
        blocks = read_blocks(source.luma, table, bands)
        return blocks if blocks.white_mask.sum() >= _MIN_BLOCKS else _TOO_FEW

    def _detection(
        self,
        source: SourceImage,
        blocks: Blocks,
        curve: np.ndarray,
        trace: str,
        candidate: Candidate,
        law: _Law,
        log10_nfa: float,
        score: float,
    ) -> Evidence:
        high = trace == "noise_high"
        where = candidate.mask & (blocks.white_mask if high else blocks.usable_mask)[candidate.window]
        level = (blocks.level if high else blocks.ceiling)[candidate.window][where]
        reference = curve[candidate.window][where]
        mask_blocks = np.zeros(blocks.mean.shape, bool)
        mask_blocks[candidate.window] = ndimage.binary_fill_holes(candidate.mask)
        region_mask = _to_pixels(mask_blocks, source.height, source.width)
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace=trace,
            quantity=_QUANTITY_HIGH if high else _QUANTITY_LOW,
            value=round(math.exp(float(np.median(level))), 2),
            unit="grey levels",
            reference=round(math.exp(float(np.median(reference))), 2),
            reference_text="noise in even parts of the whole picture at equal brightness",
            region=region_of_mask(region_mask),
            log10_nfa=log10_nfa,
            log10_tests=-math.log10(law.share),
            strength=strength_of(log10_nfa),
            limits=_LIMITS_HIGH if high else _LIMITS_LOW,
            details={"score": round(score, 3), **{k: round(v, 3) for k, v in candidate.features.items()}},
        )

    def _flat_record(self, source: SourceImage, blocks: Blocks) -> Evidence:
        """No region stands out at all: a detection record that detects nothing."""
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace="noise_high",
            quantity="regions whose noise stands out from the rest of the picture",
            value=0,
            reference=0,
            reference_text="regions expected in an unaltered picture",
            log10_nfa=0.0,
            log10_tests=0.0,
            details={"even_blocks": int(blocks.white_mask.sum())},
            score_map=np.zeros((source.height, source.width), np.float32),
        )


def _to_pixels(block_values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Block grid -> HxW, zeros in the partial blocks at the right and bottom."""
    pixels = np.zeros((height, width), block_values.dtype)
    full = block_values.repeat(8, axis=0).repeat(8, axis=1)
    pixels[: full.shape[0], : full.shape[1]] = full
    return pixels
