"""Benchmark rows -> the charts of the page: ROC, precision-recall, reliability, forged area, robustness.

Every chart shows what a table states. Left out: drawing (`charts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from fakeexplain.evaluation.alarm_tables import authentic_rows
from fakeexplain.evaluation.calibration import reliability_bins
from fakeexplain.evaluation.charts import Axis, Series, chart, unit_axis
from fakeexplain.evaluation.forged_tables import f1_of, mean_over_sets, values_by_set
from fakeexplain.evaluation.image_tables import calibration_pictures, image_scores
from fakeexplain.evaluation.metrics import bootstrap_interval, clopper_pearson, precision_recall_curve, roc_curve
from fakeexplain.evaluation.pixels import REGION_SHARE
from fakeexplain.evaluation.rows import Row, main_predictors
from fakeexplain.evaluation.tables import AREAS, area_name, cells_of
from fakeexplain.verdict import PRIOR


@dataclass(frozen=True)
class Figure:
    """A chart with its title and a sentence on how to read it."""

    title: str
    svg: Markup
    caption: str


def ranking_figures(rows: Sequence[Row]) -> list[Figure]:
    """ROC and precision-recall curves of the pictures; [] unless both classes are there."""
    forged, authentic = [r for r in rows if r.forged], authentic_rows(rows)
    scores = image_scores(rows)
    if not forged or not authentic or not scores:
        return []
    roc, recall = [], []
    first = "strongest witness" if "strongest witness" in scores else next(iter(scores))
    order = [first, *(n for n in scores if n not in (first, "verdict's probability"))]
    for tone, name in enumerate(order):
        high, low = [scores[name](r) for r in forged], [scores[name](r) for r in authentic]
        false, true = roc_curve(high, low)
        roc.append(Series(name, list(false), list(true), tone))
        found, precision = precision_recall_curve(high, low)
        recall.append(_steps(name, found, precision, tone))
    detected = [r.label == "manipulated" for r in forged]
    alarms = [r.label == "manipulated" for r in authentic]
    if any(r.label for r in forged):
        point = ([float(np.mean(alarms))], [float(np.mean(detected))])
        roc.insert(0, Series("the verdict", *point, 0, line=False, markers=True))
        if any(detected):
            precision_here = sum(detected) / (sum(detected) + sum(alarms))
            place = ([float(np.mean(detected))], [precision_here])
            recall.insert(0, Series("the verdict", *place, 0, line=False, markers=True))
    counts = f"{len(forged)} forged and {len(authentic)} authentic pictures"
    false_axis = unit_axis("false-positive rate (authentic)")
    first_figure = chart(
        f"ROC curves, {counts}", false_axis, unit_axis("true-positive rate (forged)"), roc, diagonal=True
    )
    second_figure = chart(f"Precision-recall curves, {counts}", unit_axis("recall"), unit_axis("precision"), recall)
    base = len(forged) / (len(forged) + len(authentic))
    return [
        Figure("ROC, whole pictures", first_figure, f"{counts}. Up and left is better; the dashed line is guessing."),
        Figure(
            "Precision and recall, whole pictures",
            second_figure,
            f"Precision depends on the mix: {100 * base:.0f} % of these pictures are forged, guessing has {base:.2f}.",
        ),
    ]


def _steps(name: str, recall: np.ndarray, precision: np.ndarray, tone: int) -> Series:
    """Between two scores the precision is that of the larger set, so the curve has steps and no slopes."""
    x, y = [0.0], [float(precision[0])]
    for r, p in zip(recall, precision, strict=True):
        x += [x[-1], float(r)]
        y += [float(p), float(p)]
    return Series(name, x, y, tone)


def reliability_figure(rows: Sequence[Row]) -> Figure | None:
    """Stated probability against observed share; None unless both classes were examined."""
    chosen = calibration_pictures(rows)
    truth = [r.forged for r in chosen]
    if not any(truth) or all(truth):
        return None
    bins = reliability_bins([r.probability for r in chosen], truth, PRIOR)
    series = Series(
        "",
        [b.predicted for b in bins],
        [b.observed for b in bins],
        2,
        line=False,
        markers=True,
        whiskers=[b.interval for b in bins],
    )
    description = "Reliability: " + "; ".join(f"stated {b.predicted:.2f}, observed {b.observed:.2f}" for b in bins)
    svg = chart(
        description, unit_axis("stated probability"), unit_axis("observed share forged"), [series], diagonal=True
    )
    caption = (
        "On the dashed line a probability means what it says; below it says too much. Both classes weighted to the "
        f"stated prior of {PRIOR:g}; bars are 95 % intervals."
    )
    return Figure("Reliability of the probability", svg, caption)


def area_figure(rows: Sequence[Row]) -> Figure | None:
    """F1 against the forged area, beside marking everything; None without forged pictures."""
    forged = [r for r in rows if r.forged]
    parts = [(name, [r for r in forged if area_name(r) == name]) for name, _, _ in AREAS]
    parts = [p for p in parts if p[1]]
    if not parts:
        return None
    series = []
    for tone, name in enumerate((*main_predictors(forged), "all_ones")):
        groups = [[f1_of(name)(r) for r in part] for _, part in parts]
        series.append(
            Series(
                name,
                [i + 0.06 * (tone - 1) for i in range(len(parts))],
                [float(np.mean(g)) for g in groups],
                7 if name == "all_ones" else tone,
                markers=True,
                whiskers=[bootstrap_interval([g]) for g in groups],
            )
        )
    short = {"under 1 %": "<1 %", "1 to 5 %": "1–5 %", "5 to 20 %": "5–20 %", "20 % and more": "≥20 %"}
    ticks = tuple((float(i), f"{short[name]} ({len(part)})") for i, (name, part) in enumerate(parts))
    x_axis = Axis("forged share of the picture (pictures)", -0.4, len(parts) - 0.6, ticks)
    svg = chart("F1 by forged area", x_axis, unit_axis("mean pixel F1"), series)
    caption = "Small regions are the hard ones. Marking everything (grey) earns F1 from large regions for nothing."
    return Figure("F1 by forged area", svg, caption)


def robustness_figures(rows: Sequence[Row], exclude: Sequence[str] = ()) -> list[Figure]:
    """What is found and what is wrongly marked, cell by cell; [] when there are no cells."""
    cells = cells_of(rows)
    if len(cells) < 2:
        return []
    names = [n for n in main_predictors(rows) if any(n in r.marked for r in rows if r.cell)]
    parts = {c: [r for r in rows if r.cell == c] for c in cells}
    ticks = tuple((float(i), c or "as received") for i, c in enumerate(cells))
    x_axis = Axis("", -0.5, len(cells) - 0.5, ticks, turned=True)
    families = [c.split(" ")[0] for c in cells]
    found, wrong = [], []
    for tone, name in enumerate(names):
        shift = 0.12 * (tone - (len(names) - 1) / 2)
        values: list[float] = []
        bounds: list[tuple[float, float] | None] = []
        shares: list[float] = []
        share_bounds: list[tuple[float, float] | None] = []
        for cell in cells:
            groups = values_by_set([r for r in parts[cell] if r.forged], f1_of(name), exclude)
            values.append(mean_over_sets(groups))
            bounds.append(bootstrap_interval(groups) if groups else None)
            flags = [r.largest.get(name, 0.0) >= REGION_SHARE for r in authentic_rows(parts[cell])]
            shares.append(sum(flags) / len(flags) if flags else float("nan"))
            share_bounds.append(clopper_pearson(sum(flags), len(flags)) if flags else None)
        found.append(_family_lines(name, values, bounds, families, tone, shift))
        wrong.append(_family_lines(name, shares, share_bounds, families, tone, shift))
    width = max(440, 90 + 48 * len(cells))
    words = f"a marked region of {100 * REGION_SHARE:g} % or more"
    figures = []
    if any(r.forged for r in rows):
        svg = chart("Pixel F1 by robustness cell", x_axis, unit_axis("pixel F1, mean over sets"), found, width=width)
        figures.append(Figure("Robustness: what is still found", svg, "Bars are bootstrap 95 % intervals."))
    if authentic_rows(rows):
        high = max([0.0, *(b[1] for s in wrong for b in s.whiskers if b is not None)])
        top = next(t for t in (0.05, 0.1, 0.2, 0.5, 1.0) if high <= t)
        y_ticks = tuple((top * k / 5, f"{100 * top * k / 5:g} %") for k in range(6))
        y_axis = Axis("authentic photographs", 0.0, top, y_ticks)
        svg = chart("False alarms by robustness cell", x_axis, y_axis, wrong, width=width)
        caption = f"Share of authentic photographs with {words}, with 95 % intervals."
        figures.append(Figure("Robustness: what is wrongly marked", svg, caption))
    return figures


def _family_lines(
    name: str,
    values: Sequence[float],
    bounds: Sequence[tuple[float, float] | None],
    families: Sequence[str],
    tone: int,
    shift: float,
) -> Series:
    """Points joined only within a family (all JPEG qualities, all blurs): there is no way from one to the other."""
    x: list[float] = []
    y: list[float | None] = []
    whiskers: list[tuple[float, float] | None] = []
    for i, value in enumerate(values):
        if i and families[i] != families[i - 1]:
            x.append(i + shift)
            y.append(None)
            whiskers.append(None)
        x.append(i + shift)
        y.append(value if np.isfinite(value) else None)
        whiskers.append(bounds[i])
    return Series(name, x, y, tone, markers=True, whiskers=whiskers)
