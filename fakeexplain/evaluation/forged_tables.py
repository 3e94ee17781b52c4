"""Tables of forged pictures: pixel scores at the fixed threshold, ranking of pixels, oracle extras.

Means are over forged pictures alone, at native size. Two means are given, for they answer different questions: over
data sets (each counts once) and over pictures (each picture counts once). A picture that could not be examined counts
as an empty mask and a constant map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fakeexplain.evaluation.metrics import YARDSTICKS, bootstrap_interval
from fakeexplain.evaluation.rows import SUITE, SUITE_MAP, Row, maps, predictors
from fakeexplain.evaluation.table import Table, counted_rate, interval, number

Value = Callable[[Row], float]
_INTERVALS = "Bootstrap 95 % intervals over pictures; the sets are taken as they are."


def forged_rows(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if r.forged]


def f1_of(predictor: str) -> Value:
    return lambda r: r.f1.get(predictor, 0.0)


def iou_of(predictor: str) -> Value:
    return lambda r: r.iou.get(predictor, 0.0)


def ap_of(name: str) -> Value:
    return lambda r: r.pixel_ap.get(name, r.true_area)


def auc_of(name: str) -> Value:
    return lambda r: r.pixel_auc.get(name, 0.5)


def data_sets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(r.dataset for r in rows))


def values_by_set(rows: Sequence[Row], value: Value, exclude: Sequence[str] = ()) -> list[list[float]]:
    """One list of values per data set that is not excluded."""
    return [[value(r) for r in rows if r.dataset == d] for d in data_sets(rows) if d not in exclude]


def mean_over_sets(groups: Sequence[Sequence[float]]) -> float:
    return float(np.mean([np.mean(g) for g in groups])) if groups else float("nan")


def mean_over_pictures(groups: Sequence[Sequence[float]]) -> float:
    return float(np.mean([v for g in groups for v in g])) if groups else float("nan")


def _with_interval(groups: Sequence[Sequence[float]], *, by_set: bool) -> str:
    mean = mean_over_sets(groups) if by_set else mean_over_pictures(groups)
    pooled = groups if by_set else [[v for g in groups for v in g]]
    return f"{number(mean)} ({interval(*bootstrap_interval(pooled))})"


def without_words(exclude: Sequence[str]) -> str:
    return "without " + ", ".join(exclude)


def forged_table(rows: Sequence[Row], exclude: Sequence[str] = ()) -> Table | None:
    """The verdict's mask per data set: detection rate, F1, IoU, ranking of the joint map, and a yardstick's F1."""
    forged = [r for r in forged_rows(rows) if r.label]
    if not forged:
        return None
    values = [f1_of(SUITE), iou_of(SUITE), ap_of(SUITE_MAP), auc_of(SUITE_MAP), f1_of("all_ones")]
    lines = []
    for name in data_sets(forged):
        chosen = [r for r in forged if r.dataset == name]
        cells = [number(float(np.mean([v(r) for r in chosen]))) for v in values]
        lines.append((name + (" (*)" if name in exclude else ""), *_found(chosen), *cells))
    kinds = [("", ())] if not exclude else [("", ()), (f", {without_words(exclude)}", exclude)]
    if len(data_sets(forged)) > 1:
        for words, left_out in kinds:
            chosen = [r for r in forged if r.dataset not in left_out]
            groups = [values_by_set(forged, v, left_out) for v in values]
            lines.append(
                (f"mean over pictures{words}", *_found(chosen), *(number(mean_over_pictures(g)) for g in groups))
            )
            rates = values_by_set(forged, lambda r: float(r.label == "manipulated"), left_out)
            mean_rate = f"{100 * mean_over_sets(rates):.0f} %" if rates else "–"
            lines.append(
                (
                    f"mean over sets{words}",
                    f"{len(rates)} sets",
                    mean_rate,
                    *(number(mean_over_sets(g)) for g in groups),
                )
            )
    columns = ("data set", "n", "detected", "F1", "IoU", "pixel AP", "pixel AUC", "F1 all_ones")
    note = (
        "Detected: verdict `manipulated`, with a 95 % interval. F1 and IoU of the verdict's mask, empty masks count "
        "as 0. Pixel AP and AUC of the joint score map."
    )
    if exclude:
        note += f" (*) left out of the means {without_words(exclude)}."
    return Table("Forged pictures", columns, tuple(lines), note)


def _found(rows: Sequence[Row]) -> tuple[str, str]:
    return str(len(rows)), counted_rate([r.label == "manipulated" for r in rows])


def predictor_table(rows: Sequence[Row], exclude: Sequence[str] = (), note: str = "") -> Table | None:
    """Every predictor beside the yardsticks: F1 and IoU, mean over sets and over pictures, with intervals."""
    forged = forged_rows(rows)
    if not forged:
        return None
    lines = []
    for name in (*predictors(forged), *YARDSTICKS):
        f1, iou = values_by_set(forged, f1_of(name)), values_by_set(forged, iou_of(name))
        cells = [_with_interval(f1, by_set=True), _with_interval(f1, by_set=False)]
        cells += [number(mean_over_sets(iou)), number(mean_over_pictures(iou))]
        if exclude:
            kept = values_by_set(forged, f1_of(name), exclude)
            cells += [_with_interval(kept, by_set=True), _with_interval(kept, by_set=False)]
        lines.append((name, *cells))
    columns = ["predictor", "F1 over sets", "F1 over pictures", "IoU over sets", "IoU over pictures"]
    if exclude:
        columns += [f"F1 over sets {without_words(exclude)}", f"F1 over pictures {without_words(exclude)}"]
    words = f"Forged pictures only, native size, threshold 0.5 for every map, yardsticks last. {_INTERVALS} {note}"
    return Table("Pixel F1 and IoU of every predictor", tuple(columns), tuple(lines), words.strip())


def by_set_table(rows: Sequence[Row]) -> Table | None:
    """F1 of every predictor on every data set."""
    forged = forged_rows(rows)
    names = data_sets(forged)
    if not forged:
        return None
    lines = [
        (p, *(number(float(np.mean(g))) for g in values_by_set(forged, f1_of(p))))
        for p in (*predictors(forged), *YARDSTICKS)
    ]
    return Table("Pixel F1 by data set", ("predictor", *names), tuple(lines), detail=True)


def ranking_table(rows: Sequence[Row], exclude: Sequence[str] = ()) -> Table | None:
    """How maps rank pixels: average precision and AUC, no threshold involved."""
    forged = forged_rows(rows)
    names = maps(forged)
    if not names:
        return None
    lines = []
    for name in (*names, ""):
        ap = values_by_set(forged, ap_of(name), exclude)
        auc = values_by_set(forged, auc_of(name), exclude)
        title = name or "a constant map"
        lines.append(
            (
                title,
                _with_interval(ap, by_set=True),
                _with_interval(ap, by_set=False),
                _with_interval(auc, by_set=True) if name else "0.500",
                _with_interval(auc, by_set=False) if name else "0.500",
            )
        )
    columns = ("map", "AP over sets", "AP over pictures", "AUC over sets", "AUC over pictures")
    note = f"Per picture, then averaged; exact, ties handled. {_INTERVALS}"
    if exclude:
        note += f" All of it {without_words(exclude)}."
    return Table("Ranking of pixels", columns, tuple(lines), note)


def ranking_by_set_table(rows: Sequence[Row]) -> Table | None:
    """Average precision and AUC of every map on every data set."""
    forged = forged_rows(rows)
    names = maps(forged)
    if not names:
        return None
    lines = []
    for name in names:
        pairs = zip(values_by_set(forged, ap_of(name)), values_by_set(forged, auc_of(name)), strict=True)
        lines.append((name, *(f"{np.mean(ap):.3f} / {np.mean(auc):.3f}" for ap, auc in pairs)))
    return Table("Pixel AP / AUC by data set", ("map", *data_sets(forged)), tuple(lines), detail=True)


def oracle_table(rows: Sequence[Row], exclude: Sequence[str] = ()) -> Table | None:
    """Scores that use the truth to choose polarity or threshold; for comparison with papers that report them."""
    forged = forged_rows(rows)
    if not forged:
        return None
    lines = []
    for name in (*predictors(forged), *YARDSTICKS):
        permuted = values_by_set(forged, _permuted_of(name), exclude)
        best = "–"
        if any(name in r.best_f1 for r in forged):
            best = number(mean_over_sets(values_by_set(forged, _best_of(name), exclude)))
        lines.append((name, number(mean_over_sets(permuted)), best))
    columns = ("predictor", "permuted F1 (oracle)", "best-threshold F1 (oracle)")
    note = (
        "Oracle: uses the truth. Permuted F1 takes the mask or its inverse, best-threshold F1 the best threshold of "
        "each picture, whichever the truth likes better. Nobody has the truth in use: do not compare these with the F1 "
        "above."
    )
    if exclude:
        note += f" All of it {without_words(exclude)}."
    return Table("Oracle extras, mean over sets", columns, tuple(lines), note, detail=True)


def _permuted_of(predictor: str) -> Value:
    return lambda r: r.permuted_f1.get(predictor, 0.0)


def _best_of(name: str) -> Value:
    return lambda r: r.best_f1.get(name, _constant_f1(r))


def _constant_f1(row: Row) -> float:
    """Best-threshold F1 of a constant map: everything marked."""
    return 2.0 * row.true_area / (row.true_area + 1.0)
