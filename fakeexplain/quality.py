"""The quality gate: what a picture still allows to be examined, decided before any verdict.

`assess` looks at the file alone: size, compression, texture, rescaling, what was drawn around or over the photograph,
traces of services and screenshots. `review` comes between the instruments and the verdict: a finding on something that
was drawn there, or one that rescaling explains, becomes an abstention with its reason. Bands are coarse on purpose, for
each must hold enough photographs to count its false alarms (`fakeexplain bench-gate`). The limits of the bands
were set on tuning photographs: judgements about where traces survive, not measurements of authenticity.

A caption is a local change, and everybody sees it. The gate therefore says that it is there and keeps it from being
called a manipulation or from hiding one elsewhere; whether it was added in good faith no pixel tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fakeexplain._quality_added import Added, find_added
from fakeexplain._quality_history import (
    is_rescaled,
    looks_like_screenshot,
    looks_passed_on,
    rescaling,
    screenshot_signs,
)
from fakeexplain._quality_rates import rate_figures, rate_sentences
from fakeexplain.imaging.regions import decode_mask, region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Evidence, QualityReport, Region, Scalar

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


# Name -> what it means, as a clause; neutral. "several_saves" is added by `review`, from what the instruments saw.
TRACES: dict[str, str] = {
    "border": "strips of one colour lie around the photograph and are no part of it",
    "box": "a flat box with straight sides was drawn over the photograph, a caption say; what lay under it is gone",
    "text": "lettering was drawn on the photograph, or a sign in the scene looks so",
    "rescaled": "the whole picture was rescaled, which wipes out or displaces the traces of earlier saves",
    "screenshot": "size and content are consistent with a screenshot, which keeps no history of what it shows",
    "passed_on": "size, tables and missing camera data are consistent with a picture that a messenger or a social "
    "service passed on, and with many other programs",
    "several_saves": "traces of more than one JPEG save are visible, as sharing and exporting leave them",
}
# Traces that keep something from being examined; the others are only told.
_LIMITING = ("border", "box", "text", "rescaled", "screenshot")
MARGIN = 12  # pixels around what was drawn that its sharp edges disturb
# Share of a finding on added pixels and their margin from which on it is about them; below, a forgery beside a caption
# may have been marked together with it.
ON_ADDED = 0.7
WHOLE_CONTENT = 0.7  # share of the photograph inside its borders above which a finding is no local one
LEAST_BORDER = 0.02  # of the picture, for that
LARGEST_SHARE = 0.25  # of false alarms that a witness can have (`verdict.Panel`); weaker findings stay as they are
RESCALED_OUT = frozenset({"foreign_grid", "missing_grid"})  # findings that rescaling of the whole explains


def assess(source: SourceImage) -> QualityReport:
    """The quality report of a picture, from its pixels and headers; figures of what it costs: docs/quality_gate.md."""
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
    if min(source.height, source.width) < MIN_SIDE:
        return QualityReport(band=band, examinable=False, reasons=tuple(fatal), figures=figures)
    traces, added = _traces(source, figures)
    limiting += [TRACES[t] for t in traces if t in _LIMITING]
    return QualityReport(
        band=band,
        examinable=not fatal,
        reasons=tuple(fatal or limiting),
        figures={**figures, **rate_figures(band, traces)},
        traces=traces,
        added=added,
        rates=rate_sentences(band, traces),
    )


def review(evidence: Sequence[Evidence], quality: QualityReport) -> tuple[list[Evidence], QualityReport]:
    """Evidence (not numbered yet) and quality report as the verdict may use them.

    A localizing finding becomes an abstention, with its figures kept in `details`, when (1) most of it, or of either
    place of a pair, lies on added pixels, (2) it fills nearly all that the borders leave of the picture, or (3)
    it is about block grids and the whole picture was rescaled. Facts of the instruments tell of further JPEG saves.
    """
    added = [decode_mask(r.mask) for r in quality.added]
    union = np.logical_or.reduce(added) if added else None
    near = None if union is None else cv2.dilate(union.astype(np.uint8), np.ones((2 * MARGIN + 1,) * 2, np.uint8)) > 0
    reviewed, reasons = [], []
    for item in evidence:
        reason = _objection(item, quality, union, near)
        if reason:
            reasons.append(f"{item.instrument}: {reason}")
            item = _abstained(item, reason)
        reviewed.append(item)
    saves = visible_saves(reviewed, bool(quality.figures.get("jpeg_quality")))
    figures = {**quality.figures, "jpeg_saves_visible": saves}
    traces = (*quality.traces, *(("several_saves",) if saves > 1 else ()))
    return reviewed, quality.model_copy(
        update={"set_aside": tuple(dict.fromkeys(reasons)), "figures": figures, "traces": traces}
    )


def visible_saves(evidence: Sequence[Evidence], is_jpeg: bool) -> int:
    """JPEG saves that left a trace: the file's own, one of another quality on its grid, and other grids."""
    saves = int(is_jpeg)
    for item in evidence:
        if item.kind != "fact":
            continue
        if item.trace == "double_compression":
            saves += 1 if is_jpeg else 2  # of a decoded copy it shows the last save and the one before
        elif item.trace == "main_grid":
            other = item.value is not None and (not is_jpeg or item.details.get("cropped_after_jpeg") is True)
            saves += len(item.details.get("second_grids_xy") or ()) + int(other)
    return saves - int(_counted_twice(evidence, is_jpeg))


def _counted_twice(evidence: Sequence[Evidence], is_jpeg: bool) -> bool:
    """The last save of a decoded copy shows in its grid and in its coefficients."""
    traces = {e.trace for e in evidence if e.kind == "fact" and e.value is not None}
    return not is_jpeg and {"double_compression", "main_grid"} <= traces


def _objection(item: Evidence, quality: QualityReport, union: np.ndarray | None, near: np.ndarray | None) -> str:
    """Why a finding says nothing about the photograph, as a clause; "" if it may stand."""
    counts = item.p_value if item.log10_nfa is None else 10.0 ** min(item.log10_nfa, 9.0)
    if item.kind != "detection" or item.region is None or counts is None or counts >= LARGEST_SHARE:
        return ""
    if item.trace in RESCALED_OUT and "rescaled" in quality.traces:
        return "the whole picture was rescaled, which moves the JPEG grid about by itself"
    if union is None or near is None:
        return ""
    for region in (item.region, item.partner):
        if region is None:
            continue
        mask = decode_mask(region.mask)
        if mask.any() and near[mask].mean() >= ON_ADDED:
            share = 100 * region.area_fraction
            return (
                f"its finding ({_place(region)}, {share:.2g} % of the picture) lies on {_words(quality)} drawn there, "
                "which says nothing about the photograph"
            )
    content = ~union
    whole = "border" in quality.traces or "box" in quality.traces
    if whole and union.mean() >= LEAST_BORDER and decode_mask(item.region.mask)[content].mean() > WHOLE_CONTENT:
        return "its finding covers nearly all of the photograph inside what was drawn around it, so it is no local one"
    return ""


def _place(region: Region) -> str:
    return region.words.rpartition(", ")[0] or region.words


def _words(quality: QualityReport) -> str:
    names = {"border": "borders", "box": "flat boxes", "text": "lettering"}
    return " or ".join(words for trace, words in names.items() if trace in quality.traces)


def _abstained(item: Evidence, reason: str) -> Evidence:
    """The record as an abstention: no NFA any more, what was measured kept in its details."""
    details = {**item.details, "set_aside_trace": item.trace, "set_aside_log10_nfa": item.log10_nfa}
    if item.p_value is not None:
        details["set_aside_p_value"] = item.p_value
    return item.model_copy(
        update={
            **{"kind": "abstention", "trace": "none", "log10_nfa": None, "p_value": None, "strength": "none"},
            **{"reason": reason, "details": details, "limits": ()},
        }
    )


def _traces(source: SourceImage, figures: dict[str, Scalar]) -> tuple[tuple[str, ...], tuple[Region, ...]]:
    """Names of the traces found and what was drawn; adds to the figures."""
    resampled = rescaling(source.luma, own_grid=source.jpeg is not None)
    added = find_added(source.rgb, lossy=source.format not in ("PNG", "BMP", "GIF", "TIFF"))
    signs = screenshot_signs(source)
    figures |= {**resampled, "added_fraction": round(float(added.mask.mean()), 4)}
    figures["borders"] = " ".join(map(str, added.borders)) if any(added.borders) else None
    found = {
        "border": any(added.borders),
        "box": bool(added.boxes),
        "text": bool(added.lines),
        "rescaled": is_rescaled(resampled),
        "screenshot": looks_like_screenshot(signs),
        "passed_on": looks_passed_on(source),
    }
    figures["screenshot_signs"] = "; ".join(signs) or None
    return tuple(name for name, is_there in found.items() if is_there), _regions(added)


def _regions(added: Added) -> tuple[Region, ...]:
    regions = [region_of_mask(added.border_mask)] if any(added.borders) else []
    for x0, y0, x1, y1 in (*added.boxes, *added.lines):
        mask = np.zeros(added.mask.shape, bool)
        mask[y0:y1, x0:x1] = True
        regions.append(region_of_mask(mask))
    return tuple(regions)


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
