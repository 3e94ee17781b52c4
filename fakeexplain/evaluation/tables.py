"""Benchmark rows -> tables: false alarms with exact intervals, masks against truth beside yardsticks, strata.

Every table counts every picture. A table is plain data, shown on a terminal, as Markdown, or as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table as RichTable

from fakeexplain.evaluation.metrics import auc_score, bootstrap_interval, clopper_pearson
from fakeexplain.evaluation.protocol import Row

ALPHAS = (0.01, 0.05)
SIZES = (("under 0.2 MP", 0.0, 0.2), ("0.2 to 1 MP", 0.2, 1.0), ("1 MP and more", 1.0, math.inf))


@dataclass(frozen=True)
class Table:
    """Title, column names, cells as text, and a line of explanation."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_markdown(self) -> str:
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])

    def to_rich(self) -> RichTable:
        table = RichTable(title=self.title, caption=self.note or None, title_justify="left", caption_justify="left")
        for i, column in enumerate(self.columns):
            table.add_column(column, justify="left" if i == 0 else "right")
        for row in self.rows:
            table.add_row(*row)
        return table


def passes(row: Row, witness: str, threshold: float) -> bool:
    """Whether a witness's smallest statistic lies below log10(threshold)."""
    statistic = row.statistics.get(witness)
    return statistic is not None and statistic < math.log10(threshold)


def _witnesses(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(w for r in rows for w in r.statistics))


def _counted(alarms: Sequence[bool], promise: float) -> tuple[str, ...]:
    """Cells for alarms among authentic pictures; "BROKEN" when the whole interval lies above the promise."""
    count, total = sum(alarms), len(alarms)
    low, high = clopper_pearson(count, total)
    kept = "kept" if count <= promise * total else "within error" if low <= promise else "BROKEN"
    if count == 0 and promise * total < 1:
        kept = "too few to tell"
    rate, interval = 100 * count / max(total, 1), f"{100 * low:.2f} to {100 * high:.2f} %"
    return (f"{count} / {total}", f"{rate:.2f} %", interval, f"{100 * promise:g} %", kept)


def false_alarm_tables(rows: Sequence[Row], alphas: Sequence[float] = ALPHAS) -> list[Table]:
    """Alarms on authentic photographs: each instrument, then the whole suite; by source, size and quality band.

    An instrument is counted at NFA < alpha (its own law) and at NFA < alpha / K (its share of the suite's rate).
    """
    authentic = [r for r in rows if not r.forged and not r.error]  # nobody looked at the others
    if not authentic:
        return []
    witnesses = _witnesses(authentic)
    share = max(len(witnesses), 1)
    columns = ("", "alarms", "rate", "95 % interval", "promise", "")
    lines: list[tuple[str, ...]] = []
    for alpha in alphas:
        for witness in witnesses:
            abstained = sum(r.statistics.get(witness) is None for r in authentic)
            flags = [passes(r, witness, alpha) for r in authentic]
            lines.append((f"{witness}, NFA < {alpha:g} (abstained on {abstained})", *_counted(flags, alpha)))
        for witness in witnesses:
            flags = [passes(r, witness, alpha / share) for r in authentic]
            lines.append((f"{witness}, its share: NFA < {alpha / share:g}", *_counted(flags, alpha / share)))
        flags = [_suite(r, alpha, witnesses) for r in authentic]
        lines.append((f"suite at {alpha:g}", *_counted(flags, alpha)))
    lines.append(
        ("verdict `manipulated`, as examined", *_counted([r.label == "manipulated" for r in authentic], alphas[0]))
    )
    tables = [Table("False alarms on authentic photographs", columns, tuple(lines), "Clopper-Pearson intervals.")]
    strata: list[tuple[str, Callable[[Row], str]]] = [
        ("source", lambda r: r.group),
        ("size", lambda r: next(n for n, low, high in SIZES if low <= r.megapixels < high)),
        ("quality band", lambda r: r.band or "error"),
    ]
    for title, key in strata:
        lines = []
        for value in sorted({key(r) for r in authentic}):
            chosen = [r for r in authentic if key(r) == value]
            for alpha in alphas:
                flags = [_suite(r, alpha, witnesses) for r in chosen]
                lines.append((f"{value}, suite at {alpha:g}", *_counted(flags, alpha)))
        tables.append(Table(f"False alarms by {title}", columns, tuple(lines)))
    return tables


def _suite(row: Row, alpha: float, witnesses: Sequence[str]) -> bool:
    return any(passes(row, w, alpha / len(witnesses)) for w in witnesses)


def forged_table(rows: Sequence[Row]) -> Table | None:
    """Per data set: detection rate, pixel F1 and IoU of the verdict's mask, F1 of instruments and yardsticks."""
    forged = [r for r in rows if r.forged]
    if not forged:
        return None
    predictors = [p for p in dict.fromkeys(k for r in forged for k in r.f1) if p != "suite"]
    columns = ("data set", "n", "detected", "F1", "IoU", *(f"F1 {p}" for p in predictors))
    lines = []
    datasets = list(dict.fromkeys(r.dataset for r in forged))
    per_set = []
    for dataset in datasets:
        chosen = [r for r in forged if r.dataset == dataset]
        per_set.append([r.f1["suite"] for r in chosen])
        lines.append((dataset, *_scores(chosen, predictors)))
    if len(datasets) > 1:
        lines.append(("all pictures", *_scores(forged, predictors)))
        low, high = bootstrap_interval(per_set)
        mean = np.mean([np.mean(s) for s in per_set])
        note = f"Mean F1 over the sets {mean:.3f}, bootstrap 95 % {low:.3f} to {high:.3f}. "
    else:
        note = ""
    note += (
        "Detected: verdict `manipulated`, with a 95 % interval. F1 and IoU: mean over pictures, empty masks count as 0."
    )
    return Table("Forged pictures", columns, tuple(lines), note)


def _scores(rows: Sequence[Row], predictors: Sequence[str]) -> tuple[str, ...]:
    detected = sum(r.label == "manipulated" for r in rows)
    low, high = clopper_pearson(detected, len(rows))
    mean = [f"{np.mean([r.f1['suite'] for r in rows]):.3f}", f"{np.mean([r.iou['suite'] for r in rows]):.3f}"]
    others = [f"{np.mean([r.f1.get(p, 0.0) for r in rows]):.3f}" for p in predictors]
    rate = f"{100 * detected / len(rows):.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return (str(len(rows)), rate, *mean, *others)


def image_auc_table(rows: Sequence[Row]) -> Table | None:
    """How well the smallest statistic ranks each forged set against all authentic pictures of the run."""
    authentic = [image_score(r) for r in rows if not r.forged]
    forged = [r for r in rows if r.forged]
    if not authentic or not forged:
        return None
    names = list(dict.fromkeys(r.dataset for r in forged))
    lines = [(n, f"{auc_score([image_score(r) for r in forged if r.dataset == n], authentic):.3f}") for n in names]
    return Table("Image-level AUC against the authentic pictures of this run", ("data set", "AUC"), tuple(lines))


def image_score(row: Row) -> float:
    """-log10 of the smallest statistic; 0 when every instrument abstained. Clipped at 0: larger NFAs say nothing."""
    values = [s for s in row.statistics.values() if s is not None]
    return max(-min(values), 0.0) if values else 0.0


def strata_table(rows: Sequence[Row]) -> Table | None:
    """Detection rate and F1 per combination of the strata that the manifests name."""
    forged = [r for r in rows if r.forged and r.strata]
    if not forged:
        return None
    keys = list(dict.fromkeys(k for r in forged for k in r.strata))
    lines = []
    for values in sorted({tuple(r.strata.get(k, "") for k in keys) for r in forged}, key=_natural):
        chosen = [r for r in forged if tuple(r.strata.get(k, "") for k in keys) == values]
        own = values[keys.index("instrument")] if "instrument" in keys else "suite"
        share = len(_witnesses(chosen))
        found = sum(passes(r, own, 0.01 / share) for r in chosen) if own != "suite" else None
        detected = sum(r.label == "manipulated" for r in chosen)
        low, high = clopper_pearson(detected, len(chosen))
        lines.append(
            (
                *values,
                str(len(chosen)),
                f"{100 * detected / len(chosen):.0f} % ({100 * low:.0f} to {100 * high:.0f})",
                "" if found is None else f"{100 * found / len(chosen):.0f} %",
                f"{np.mean([r.f1['suite'] for r in chosen]):.2f}",
                f"{np.mean([r.f1.get(own, 0.0) for r in chosen]):.2f}",
            )
        )
    columns = (*keys, "n", "detected", "by the instrument meant", "F1", "F1 of the instrument meant")
    return Table("Forged pictures by strata", columns, tuple(lines))


def _natural(values: tuple[str, ...]) -> tuple[tuple[int, float, str], ...]:
    return tuple((0, float(v), "") if v.replace(".", "", 1).isdigit() else (1, 0.0, v) for v in values)


def error_table(rows: Sequence[Row]) -> Table | None:
    """Pictures that could not be examined: forged ones count as undetected above, authentic ones are left out."""
    failed = [r for r in rows if r.error]
    if not failed:
        return None
    return Table("Not examined", ("picture", "error"), tuple((f"{r.dataset}/{r.image}", r.error) for r in failed))


def all_tables(rows: Sequence[Row]) -> list[Table]:
    """Everything a run can show, empty tables left out."""
    optional = [forged_table(rows), image_auc_table(rows), strata_table(rows), error_table(rows)]
    return [*false_alarm_tables(rows), *(t for t in optional if t is not None)]
