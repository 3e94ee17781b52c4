"""The quality gate: what a picture still allows to be examined, decided from the file alone and before any verdict.

Bands are coarse on purpose: each must hold enough photographs for its false alarms to be counted. The limits below were
set on tuning photographs and are judgements about where traces survive, not measurements of authenticity. Deliberately
left out for now: number of compressions, rescaling, messenger traces; later work extends the bands.
"""

from __future__ import annotations

import cv2
import numpy as np

from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import QualityReport, Scalar

MIN_SIDE = 64  # pixels; below, no instrument has enough blocks for a test
FLAT_LIMIT = 0.95  # share of 8x8 blocks without texture above which nothing can be compared
MIN_COLOURS = 64  # fewer distinct colours mean a drawing, a scan of text or a palette picture
DEAD_JPEG_LIMIT = 0.97  # share of blocks whose AC coefficients were all quantised to zero
MIN_QUALITY = 35  # of the last JPEG save; at 30, 20 and 10 none of 72 planted alterations of 160 pixels was found
LOW_QUALITY, HIGH_QUALITY = 60, 90  # JPEG quality, Annex K scale
SMALL_MEGAPIXELS = 0.1

# name -> what it means; the order is the order of the tables in reports and benchmarks.
BANDS: dict[str, str] = {
    "unexaminable": "too small, flat, graphic or compressed for any trace to be expected",
    "small": f"under {SMALL_MEGAPIXELS} megapixels",
    "jpeg_low": f"JPEG of quality {MIN_QUALITY} to {LOW_QUALITY - 1}",
    "jpeg_medium": f"JPEG of quality {LOW_QUALITY} to {HIGH_QUALITY - 1}",
    "jpeg_high": f"JPEG of quality {HIGH_QUALITY} and more",
    "not_jpeg": "any other format; an earlier JPEG history may show in the pixels",
}


def assess(source: SourceImage) -> QualityReport:
    """The quality report of a picture: one pass over its luma, about 10 ms per megapixel."""
    figures = _figures(source)
    fatal, limiting = _reasons(source, figures)
    if fatal:
        band = "unexaminable"
    elif source.megapixels < SMALL_MEGAPIXELS:
        band = "small"
    elif source.jpeg is None:
        band = "not_jpeg"
    elif source.jpeg.quality < LOW_QUALITY:
        band = "jpeg_low"
    else:
        band = "jpeg_medium" if source.jpeg.quality < HIGH_QUALITY else "jpeg_high"
    return QualityReport(band=band, examinable=not fatal, reasons=tuple(fatal or limiting), figures=figures)


def _figures(source: SourceImage) -> dict[str, Scalar]:
    luma = source.luma
    height, width = source.height // 8 * 8, source.width // 8 * 8
    figures: dict[str, Scalar] = {
        "megapixels": round(source.megapixels, 4),
        "short_side": min(source.height, source.width),
        "jpeg_quality": source.jpeg.quality if source.jpeg else None,
    }
    if height and width:
        blocks = (height // 8, width // 8)
        mean = cv2.resize(luma[:height, :width], blocks[::-1], interpolation=cv2.INTER_AREA)
        square = cv2.resize(luma[:height, :width] ** 2, blocks[::-1], interpolation=cv2.INTER_AREA)
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        figures["flat_fraction"] = round(float((deviation < 0.5).mean()), 4)
        figures["clipped_fraction"] = round(float(((mean < 2) | (mean > 253)).mean()), 4)
    else:
        figures["flat_fraction"], figures["clipped_fraction"] = 1.0, 0.0
    figures["distinct_colours"] = _count_colours(source.rgb)
    coefficients = source.luma_coefficients
    if coefficients is not None and coefficients.size:
        flat = coefficients.reshape(-1, 64)
        figures["empty_block_fraction"] = round(float((np.count_nonzero(flat[:, 1:], axis=1) == 0).mean()), 4)
    return figures


def _count_colours(rgb: np.ndarray, limit: int = 1 << 18) -> int:
    """Distinct colours among at most `limit` regularly spaced pixels."""
    step = max(1, int(np.ceil(np.sqrt(rgb.shape[0] * rgb.shape[1] / limit))))
    sample = rgb[::step, ::step].reshape(-1, 3).astype(np.uint32)
    codes = (sample[:, 0] << 16) | (sample[:, 1] << 8) | sample[:, 2]
    return int(np.unique(codes).size)


def _reasons(source: SourceImage, figures: dict[str, Scalar]) -> tuple[list[str], list[str]]:
    """(reasons that make an examination pointless, reasons that only limit it)."""
    fatal: list[str] = []
    limiting: list[str] = []
    flat, empty = float(figures["flat_fraction"] or 0.0), figures.get("empty_block_fraction")
    if min(source.height, source.width) < MIN_SIDE:
        fatal.append(
            f"the picture is {source.width}x{source.height} pixels; the short side must have {MIN_SIDE} or more"
        )
    elif flat > FLAT_LIMIT:
        fatal.append(f"{100 * flat:.0f} % of the picture has no texture at all, so there is nothing to compare")
    elif int(figures["distinct_colours"] or 0) < MIN_COLOURS:
        fatal.append(f"the picture has only {figures['distinct_colours']} colours: a drawing or scan, not a photograph")
    elif isinstance(empty, float) and empty > DEAD_JPEG_LIMIT:
        fatal.append(f"JPEG compression emptied {100 * empty:.0f} % of the blocks, no trace survives that")
    elif source.jpeg is not None and source.jpeg.quality < MIN_QUALITY:
        fatal.append(
            f"the last save, at JPEG quality {source.jpeg.quality}, leaves no trace that these instruments could find"
        )
    if flat > 0.5:
        limiting.append(f"{100 * flat:.0f} % of the picture has no texture; changes there leave no trace to measure")
    if source.jpeg is not None and source.jpeg.quality < LOW_QUALITY:
        limiting.append(f"JPEG quality {source.jpeg.quality} has removed most fine traces")
    elif source.jpeg is not None and source.jpeg.quality < HIGH_QUALITY:
        limiting.append(
            f"the last save, at JPEG quality {source.jpeg.quality}, covers most traces of noise and older block grids"
        )
    if source.megapixels < SMALL_MEGAPIXELS:
        limiting.append(f"at {source.megapixels:.2f} megapixels only large changes can be found")
    if source.jpeg is None and source.format in ("PNG", "BMP", "TIFF", "GIF"):
        limiting.append(f"a {source.format} file keeps no compression history in its header")
    return fatal, limiting
