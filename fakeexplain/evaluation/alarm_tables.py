"""Tables of authentic photographs: kept and broken promises, and how much is marked where nothing was altered.

Only examined photographs are counted here; those that could not be examined are listed by `tables.error_table`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from fakeexplain.evaluation.metrics import clopper_pearson
from fakeexplain.evaluation.pixels import REGION_SHARE
from fakeexplain.evaluation.rows import Row, main_predictors, passes, predictors, witnesses
from fakeexplain.evaluation.table import Table, counted_rate, percent
from fakeexplain.verdict import EXPERT

ALPHAS = (0.01, 0.05)
SIZES = (("under 0.2 MP", 0.0, 0.2), ("0.2 to 1 MP", 0.2, 1.0), ("1 MP and more", 1.0, math.inf))
MOST_VALUES = 30  # lines of one breakdown; rarer values are joined


def authentic_rows(rows: Sequence[Row]) -> list[Row]:
    """Authentic photographs that somebody looked at."""
    return [r for r in rows if not r.forged and not r.error]


def share_of(witness: str, alpha: float, names: Sequence[str]) -> float:
    """A witness's share of a rate, as `verdict.Panel` divides it; without an expert the instruments have it all."""
    instruments = max(sum(n != EXPERT for n in names), 1)
    if EXPERT not in names:
        return alpha / instruments
    return alpha / 2 if witness == EXPERT else alpha / 2 / instruments


def suite_alarms(row: Row, alpha: float, names: Sequence[str]) -> bool:
    return any(passes(row, w, share_of(w, alpha, names)) for w in names)


def _counted(alarms: Sequence[bool], promise: float) -> tuple[str, ...]:
    """Cells for alarms among authentic pictures; "BROKEN" when the whole interval lies above the promise."""
    count, total = sum(alarms), len(alarms)
    low, high = clopper_pearson(count, total)
    kept = "kept" if count <= promise * total else "within error" if low <= promise else "BROKEN"
    if count == 0 and promise * total < 1:
        kept = "too few to tell"
    rate, interval = 100 * count / max(total, 1), f"{100 * low:.2f} to {100 * high:.2f} %"
    return (f"{count} / {total}", f"{rate:.2f} %", interval, f"{100 * promise:g} %", kept)


def false_alarm_tables(
    rows: Sequence[Row], alphas: Sequence[float] = ALPHAS, promise: float | None = None
) -> list[Table]:
    """Alarms on authentic photographs: each instrument, then the whole suite; by source, size and quality band.

    An instrument is counted at NFA < alpha (its own law) and at its share of the suite's rate.

    Args:
        promise: of the verdict as examined, None for the first of `alphas`.
    """
    authentic = [r for r in authentic_rows(rows) if r.label]
    if not authentic:
        return []
    names = witnesses(authentic)
    columns = ("", "alarms", "rate", "95 % interval", "promise", "")
    lines: list[tuple[str, ...]] = []
    for alpha in alphas:
        for witness in names:
            abstained = sum(r.statistics.get(witness) is None for r in authentic)
            flags = [passes(r, witness, alpha) for r in authentic]
            lines.append(
                (f"{witness}, {_law(witness)} < {alpha:g} (abstained on {abstained})", *_counted(flags, alpha))
            )
        for witness in names:
            share = share_of(witness, alpha, names)
            flags = [passes(r, witness, share) for r in authentic]
            lines.append((f"{witness}, its share: {_law(witness)} < {share:g}", *_counted(flags, share)))
        flags = [suite_alarms(r, alpha, names) for r in authentic]
        lines.append((f"suite at {alpha:g}", *_counted(flags, alpha)))
    stated = alphas[0] if promise is None else promise
    verdicts = [r.label == "manipulated" for r in authentic]
    lines.append(("verdict `manipulated`, as examined", *_counted(verdicts, stated)))
    tables = [Table("False alarms on authentic photographs", columns, tuple(lines), "Clopper-Pearson intervals.")]
    for title, key in _BREAKDOWNS:
        lines = []
        for value, chosen in broken_down(authentic, key):
            for alpha in alphas:
                flags = [suite_alarms(r, alpha, names) for r in chosen]
                lines.append((f"{value}, suite at {alpha:g}", *_counted(flags, alpha)))
        tables.append(Table(f"False alarms by {title}", columns, tuple(lines), detail=True))
    return tables


def _law(witness: str) -> str:
    return "p" if witness == EXPERT else "NFA"


def _size(row: Row) -> str:
    return next(name for name, low, high in SIZES if low <= row.megapixels < high)


_BREAKDOWNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("source", lambda r: r.group),
    ("size", _size),
    ("quality band", lambda r: r.band),
)


def broken_down(rows: Sequence[Row], key: Callable[[Row], str]) -> list[tuple[str, list[Row]]]:
    """(value, its rows), values in natural order; beyond `MOST_VALUES` values the rarest are joined as "others"."""
    counts = Counter(key(r) for r in rows)
    kept = {value for value, _ in counts.most_common(MOST_VALUES)}
    parts = [(value, [r for r in rows if key(r) == value]) for value in sorted(kept, key=natural)]
    rest = [r for r in rows if key(r) not in kept]
    return [*parts, (f"others ({len(counts) - len(kept)} values)", rest)] if rest else parts


def natural(value: str) -> tuple[int, float, str]:
    """A sort key: numbers by size, then words."""
    return (0, float(value), "") if value.replace(".", "", 1).isdigit() else (1, 0.0, value)


def marked_table(rows: Sequence[Row]) -> Table | None:
    """How much of authentic photographs is marked, by the verdict, by each witness alone, and by each raw map."""
    authentic = authentic_rows(rows)
    lines = []
    for name in predictors(authentic):
        chosen = [r for r in authentic if name in r.marked]
        areas = np.array([r.marked[name] for r in chosen])
        regions = [r.largest[name] >= REGION_SHARE for r in chosen]
        lines.append(
            (
                name,
                str(len(chosen)),
                counted_rate([a > 0 for a in areas], 1),
                counted_rate(regions, 1),
                percent(float(areas.mean())),
                percent(float(np.median(areas))),
                percent(float(np.percentile(areas, 95))),
                percent(float(areas.max())),
            )
        )
    if not lines:
        return None
    columns = ("predictor", "n", "anything marked", REGION_WORDS, "mean area", "median", "p95", "max")
    note = (
        'Shares of photographs with 95 % intervals; area: marked share of a photograph, over all photographs. "suite" '
        'is the verdict\'s mask, "NAME" a witness\'s significant regions, "NAME map" its raw map at 0.5, whatever the '
        "verdict says; only the expert's map is meant as a probability."
    )
    return Table("Marked on authentic photographs", columns, tuple(lines), note)


REGION_WORDS = f"a region of {100 * REGION_SHARE:g} % or more"


def marked_by_source(rows: Sequence[Row]) -> Table | None:
    """Share of authentic photographs with a marked region that a reader would notice, by where they come from."""
    authentic = authentic_rows(rows)
    names = [n for n in main_predictors(authentic) if any(n in r.largest for r in authentic)]
    if not names:
        return None
    lines = []
    for value, chosen in broken_down(authentic, lambda r: r.group):
        rates = [counted_rate([r.largest.get(n, 0.0) >= REGION_SHARE for r in chosen]) for n in names]
        lines.append((value, str(len(chosen)), *rates))
    return Table(
        f"Authentic photographs with {REGION_WORDS} marked, by source",
        ("source", "n", *names),
        tuple(lines),
        detail=True,
    )
