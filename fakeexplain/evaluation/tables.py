"""Benchmark rows -> all tables. This file breaks results down by strata and robustness cells and puts all in order.

Every table counts every picture. The other tables are in `alarm_tables` (authentic photographs), `forged_tables`
(pixels) and `image_tables` (whole pictures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fakeexplain.evaluation import alarm_tables, forged_tables, image_tables
from fakeexplain.evaluation.alarm_tables import authentic_rows, broken_down, false_alarm_tables, natural, share_of
from fakeexplain.evaluation.forged_tables import f1_of, mean_over_sets, values_by_set
from fakeexplain.evaluation.pixels import REGION_SHARE
from fakeexplain.evaluation.robustness import AS_RECEIVED, CELLS
from fakeexplain.evaluation.rows import Row, image_score, main_predictors, passes, witnesses
from fakeexplain.evaluation.table import Table, counted_rate, number

__all__ = ["Table", "all_tables", "false_alarm_tables", "image_score", "passes"]

AREAS = (("under 1 %", 0.0, 0.01), ("1 to 5 %", 0.01, 0.05), ("5 to 20 %", 0.05, 0.2), ("20 % and more", 0.2, 1.01))


def area_name(row: Row) -> str:
    """The stratum of a forged picture's true area."""
    return next(name for name, low, high in AREAS if low <= row.true_area < high)


def area_table(rows: Sequence[Row]) -> Table | None:
    """Forged pictures by how much of them is forged."""
    forged = [r for r in rows if r.forged]
    parts = [(name, [r for r in forged if area_name(r) == name]) for name, _, _ in AREAS]
    return _breakdown("Forged pictures by forged area", "forged area", [p for p in parts if p[1]])


def recipe_tables(rows: Sequence[Row]) -> list[Table]:
    """Forged pictures by operation, finish, format and each stratum of the manifests, one table a key."""
    forged = [r for r in rows if r.forged]
    tables = []
    for key in _keys(forged):
        told = [r for r in forged if key in _facts(r)]
        table = _breakdown(f"Forged pictures by {key}", key, broken_down(told, _fact_of(key)))
        tables += [table] if table is not None else []
    return tables


def authentic_recipe_table(rows: Sequence[Row]) -> Table | None:
    """False alarms by finish, format and each stratum of the manifests."""
    authentic = authentic_rows(rows)
    names = main_predictors(authentic)
    lines = []
    for key in _keys(authentic):
        told = [r for r in authentic if key in _facts(r)]
        for value, chosen in broken_down(told, _fact_of(key)):
            alarms = counted_rate([r.label == "manipulated" for r in chosen], 1) if chosen[0].label else "–"
            regions = [counted_rate([r.largest.get(n, 0.0) >= REGION_SHARE for r in chosen], 1) for n in names]
            lines.append((f"{key}: {value}", str(len(chosen)), alarms, *regions))
    if not lines:
        return None
    columns = ("", "n", "verdict `manipulated`", *(f"{n}: {alarm_tables.REGION_WORDS}" for n in names))
    return Table("Authentic photographs by how they were made", columns, tuple(lines), detail=True)


def _facts(row: Row) -> dict[str, str]:
    return row.recipe | row.strata


def _fact_of(key: str) -> Callable[[Row], str]:
    return lambda row: _facts(row)[key]


def _keys(rows: Sequence[Row]) -> list[str]:
    """Names of all strata; those that tell only one value of all pictures break nothing down."""
    keys = dict.fromkeys(k for r in rows for k in _facts(r))
    return [k for k in keys if len({_facts(r).get(k) for r in rows}) > 1]


def _breakdown(title: str, key: str, parts: Sequence[tuple[str, Sequence[Row]]]) -> Table | None:
    everything = [r for _, part in parts for r in part]
    if not everything:
        return None
    names = main_predictors(everything)
    lines = []
    for value, chosen in parts:
        detected = counted_rate([r.label == "manipulated" for r in chosen]) if any(r.label for r in chosen) else "–"
        scores = [number(float(np.mean([f1_of(n)(r) for r in chosen]))) for n in (*names, "all_ones")]
        lines.append((value, str(len(chosen)), detected, *scores))
    columns = (key, "n", "detected", *(f"F1 {n}" for n in names), "F1 all_ones")
    note = "Mean over pictures. F1 grows with the forged area by itself: see the yardstick that marks everything."
    return Table(title, columns, tuple(lines), note)


def planted_table(rows: Sequence[Row]) -> Table | None:
    """Detection rate and F1 per combination of strata, for sets that name the instrument that is meant to find them."""
    forged = [r for r in rows if r.forged and "instrument" in r.strata]
    if not forged:
        return None
    keys = list(dict.fromkeys(k for r in forged for k in r.strata))
    names = witnesses(forged)
    lines = []
    combinations = {tuple(r.strata.get(k, "") for k in keys) for r in forged}
    for values in sorted(combinations, key=lambda v: tuple(map(natural, v))):
        chosen = [r for r in forged if tuple(r.strata.get(k, "") for k in keys) == values]
        own = values[keys.index("instrument")]
        found = sum(passes(r, own, share_of(own, 0.01, names)) for r in chosen)
        lines.append(
            (
                *values,
                str(len(chosen)),
                counted_rate([r.label == "manipulated" for r in chosen]),
                f"{100 * found / len(chosen):.0f} %",
                f"{np.mean([f1_of('suite')(r) for r in chosen]):.2f}",
                f"{np.mean([f1_of(own)(r) for r in chosen]):.2f}",
            )
        )
    columns = (*keys, "n", "detected", "by the instrument meant", "F1", "F1 of the instrument meant")
    return Table("Forged pictures by strata", columns, tuple(lines), detail=True)


def cells_of(rows: Sequence[Row]) -> list[str]:
    """The robustness cells that rows exist for, in the grid's order, the untouched pictures first."""
    present = {r.cell for r in rows}
    return [c for c in (AS_RECEIVED, *CELLS) if c in present]


def robustness_table(rows: Sequence[Row], exclude: Sequence[str] = ()) -> Table | None:
    """One line a cell: what is still found among forged pictures, and what is wrongly marked on authentic ones."""
    if not any(r.cell for r in rows):
        return None
    names = [n for n in main_predictors(rows) if any(n in r.f1 or n in r.marked for r in rows if r.cell)]
    lines = []
    for cell in cells_of(rows):
        chosen = [r for r in rows if r.cell == cell]
        forged, authentic = [r for r in chosen if r.forged], authentic_rows(chosen)
        f1 = [number(mean_over_sets(values_by_set(forged, f1_of(n), exclude))) for n in names]
        regions = [counted_rate([r.largest.get(n, 0.0) >= REGION_SHARE for r in authentic]) for n in names]
        found = counted_rate([r.label == "manipulated" for r in forged])
        alarms = counted_rate([r.label == "manipulated" for r in authentic])
        lines.append((cell or "as received", str(len(forged)), found, *f1, str(len(authentic)), alarms, *regions))
    columns = ["cell", "forged", "detected", *(f"F1 {n}" for n in names)]
    columns += ["authentic", "false alarms", *(f"{n}: {alarm_tables.REGION_WORDS}" for n in names)]
    note = "F1: mean over sets" + (f" {forged_tables.without_words(exclude)}" if exclude else "")
    note += ". Each cell is applied to forged and authentic pictures alike, and truth follows its geometry."
    return Table("Robustness", tuple(columns), tuple(lines), note)


def error_table(rows: Sequence[Row]) -> Table | None:
    """Pictures that could not be examined: forged ones count as undetected above, authentic ones are left out."""
    failed = [r for r in rows if r.error]
    if not failed:
        return None
    lines = tuple((f"{r.dataset}/{r.image}" + (f", {r.cell}" if r.cell else ""), r.error) for r in failed)
    return Table("Not examined", ("picture", "error"), lines)


def all_tables(
    rows: Sequence[Row], exclude: Sequence[str] = (), *, promise: float | None = None, note: str = ""
) -> list[Table]:
    """Everything a run can show, empty tables left out.

    Args:
        rows: of one run, robustness cells and all.
        exclude: data sets that are shown but kept out of the further means.
        promise: rate of `manipulated` among authentic photographs that the verdict was set for.
        note: a remark on maps of other tools.
    """
    plain = [r for r in rows if not r.cell]
    one: list[Callable[[], Table | None]] = [
        lambda: forged_tables.forged_table(plain, exclude),
        lambda: forged_tables.predictor_table(plain, exclude, note),
        lambda: forged_tables.ranking_table(plain, exclude),
        lambda: image_tables.verdict_table(plain),
        lambda: image_tables.image_ranking_table(plain),
        lambda: alarm_tables.marked_table(plain),
        lambda: area_table(plain),
        lambda: robustness_table(rows, exclude),
        lambda: error_table(rows),
        lambda: forged_tables.by_set_table(plain),
        lambda: forged_tables.ranking_by_set_table(plain),
        lambda: image_tables.image_auc_table(plain),
        lambda: forged_tables.oracle_table(plain, exclude),
        lambda: alarm_tables.marked_by_source(plain),
        lambda: authentic_recipe_table(plain),
        lambda: planted_table(plain),
    ]
    made = [table for make in one if (table := make()) is not None]
    made += false_alarm_tables(plain, promise=promise) + image_tables.calibration_tables(plain) + recipe_tables(plain)
    return [t for t in made if not t.detail] + [t for t in made if t.detail]
