"""What the quality gate changes, counted: false alarms and detection with and without it, by cell, band and trace.

"Without" is the same evidence decided as if the gate had said nothing: no band refused, no finding set aside. A forged
picture counts as found only when the verdict's mask meets the forged part; a verdict that rests on a caption alone is
no detection. Left out: making the pictures (`gate_cells`) and running them (`commands.gate`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from fakeexplain.evaluation.gate_cells import AS_RECEIVED, CELLS
from fakeexplain.evaluation.table import Table, counted_rate
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.suite import number_evidence, run_suite
from fakeexplain.quality import BANDS, TRACES, assess, review
from fakeexplain.verdict import decide

FOUND = 0.1  # share of the forged part that the verdict's mask must meet
ROWS_VERSION = 1  # raise it when a field changes its meaning


@dataclass(frozen=True)
class GateRow:
    """One picture, examined once and decided twice.

    Attributes:
        photograph, cell, forged: which picture, how it arrived (a name of `gate_cells.CELLS`), the truth.
        kind: of the forgery, "" for an authentic picture.
        band, traces: of its quality report after `review`.
        label, label_without: the verdict with and without the gate.
        found, found_without: whether it is `manipulated` and marks the forged part; False for authentic pictures.
        set_aside: instruments whose findings the gate took out.
        seconds_gate, megapixels: cost of `assess`, size.
    """

    photograph: str
    cell: str
    forged: bool
    kind: str
    band: str
    traces: tuple[str, ...]
    label: str
    label_without: str
    found: bool
    found_without: bool
    set_aside: tuple[str, ...]
    seconds_gate: float
    megapixels: float

    @property
    def key(self) -> tuple[str, str, bool]:
        return self.photograph, self.cell, self.forged


def row_to_json(row: GateRow) -> str:
    return json.dumps(asdict(row))


def row_from_json(line: str) -> GateRow:
    value = json.loads(line)
    return GateRow(**{**value, "traces": tuple(value["traces"]), "set_aside": tuple(value["set_aside"])})


def gate_row(
    examiner: Examiner, source: SourceImage, true_mask: np.ndarray | None, photograph: str, cell: str, kind: str
) -> GateRow:
    """Examines one picture and decides it with and without the gate."""
    _ = source.luma
    start = time.process_time()
    quality = assess(source)
    seconds = time.process_time() - start
    found, _ = run_suite(source, examiner.instruments, threads=1)
    if examiner.expert is not None:
        found.append(examiner.expert.evidence(examiner.expert.localize(source, threads=1), quality))
    reviewed, judged = review(found, quality)
    open_ended = quality.model_copy(update={"examinable": True})
    size = (source.height, source.width)
    verdict, mask = decide(number_evidence(reviewed), judged, examiner.panel, *size)
    verdict_without, mask_without = decide(number_evidence(found), open_ended, examiner.panel, *size)
    return GateRow(
        photograph=photograph,
        cell=cell,
        forged=true_mask is not None,
        kind=kind,
        band=judged.band,
        traces=judged.traces,
        label=verdict.label,
        label_without=verdict_without.label,
        found=_meets(mask, true_mask),
        found_without=_meets(mask_without, true_mask),
        set_aside=tuple(sorted({clause.split(":")[0] for clause in judged.set_aside})),
        seconds_gate=round(seconds, 4),
        megapixels=round(source.megapixels, 4),
    )


def _meets(mask: np.ndarray, true_mask: np.ndarray | None) -> bool:
    return true_mask is not None and bool(true_mask.any()) and bool(mask[true_mask].mean() >= FOUND)


def _alarm(row: GateRow) -> bool:
    return row.label == "manipulated"


def _alarm_without(row: GateRow) -> bool:
    return row.label_without == "manipulated"


def gate_tables(rows: Sequence[GateRow]) -> list[Table]:
    """All tables: by cell, by group of cells, by band, by trace, and how often each trace is named."""
    by_cell = _compared("False alarms and detection by what the picture went through", _cells(rows))
    names = dict.fromkeys(cell.group for cell in CELLS.values())
    groups = {g: [c for c, cell in CELLS.items() if cell.group == g] for g in names}
    parts = [(AS_RECEIVED, [r for r in rows if r.cell == AS_RECEIVED])]
    parts += [(g, [r for r in rows if r.cell in cells]) for g, cells in groups.items()]
    parts.append(("all", list(rows)))
    by_group = _compared("False alarms and detection by group", parts)
    by_band = _compared(
        "False alarms and detection by quality band", [(b, [r for r in rows if r.band == b]) for b in BANDS]
    )
    by_trace = _compared(
        "False alarms and detection by trace",
        [("none", [r for r in rows if not r.traces]), *((t, [r for r in rows if t in r.traces]) for t in TRACES)],
    )
    return [by_cell, by_group, by_band, by_trace, *_trace_tables(rows), _cost_table(rows)]


def _cells(rows: Sequence[GateRow]) -> list[tuple[str, list[GateRow]]]:
    return [(c, [r for r in rows if r.cell == c]) for c in (AS_RECEIVED, *CELLS)]


def _compared(title: str, parts: Sequence[tuple[str, Sequence[GateRow]]]) -> Table:
    lines = []
    for name, chosen in parts:
        authentic, forged = [r for r in chosen if not r.forged], [r for r in chosen if r.forged]
        if not chosen:
            continue
        lines.append(
            (
                name,
                str(len(authentic)),
                _count(authentic, _alarm_without),
                _count(authentic, _alarm),
                str(len(forged)),
                _count(forged, lambda r: r.found_without),
                _count(forged, lambda r: r.found),
                str(sum(r.label == "inconclusive" for r in chosen)),
            )
        )
    columns = ("", "authentic", "alarms without", "alarms with", "forged", "found without", "found with", "undecided")
    note = (
        "Without and with the gate; 95 % Clopper-Pearson intervals in per cent. Found: `manipulated`, and at least "
        f"{100 * FOUND:g} % of the forged part marked. Undecided: `inconclusive` with the gate, authentic and forged."
    )
    return Table(title, columns, tuple(lines), note)


def _count(rows: Sequence[GateRow], flag: Callable[[GateRow], bool]) -> str:
    flags = [flag(r) for r in rows]
    return f"{sum(flags)} = {counted_rate(flags, 1)}" if flags else "–"


def _trace_tables(rows: Sequence[GateRow]) -> list[Table]:
    """How often each trace is named where it was not put, and where it was."""
    received = [r for r in rows if r.cell == AS_RECEIVED and not r.forged]
    lines = []
    for trace in TRACES:
        meant = [c for c, cell in CELLS.items() if cell.trace == trace]
        put = [r for r in rows if r.cell in meant]
        lines.append(
            (
                trace,
                _count(received, lambda r, t=trace: t in r.traces),  # type: ignore[misc]
                _count(put, lambda r, t=trace: t in r.traces),  # type: ignore[misc]
                ", ".join(meant) or "–",
            )
        )
    columns = ("trace", "named on photographs as received", "named where it was put", "cells")
    note = (
        "Photographs as received have a history that nobody wrote down: many were rescaled for the web, and some carry "
        "borders or lettering. The second column is therefore an upper bound of the false rate."
    )
    return [Table("How often each trace is named", columns, tuple(lines), note)]


def _cost_table(rows: Sequence[GateRow]) -> Table:
    large = [r for r in rows if r.megapixels >= 0.2]
    per = [1000 * r.seconds_gate / r.megapixels for r in large]
    cells = ("–", "–") if not per else (f"{np.median(per):.0f}", f"{np.quantile(per, 0.95):.0f}")
    return Table("Cost of the gate before the instruments", ("", "median", "p95"), (("CPU ms per megapixel", *cells),))


def rates_of(rows: Sequence[GateRow]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts per band and trace ("any" for the whole band), as `_quality_rates.load_rates` describes them."""
    bands: dict[str, dict[str, dict[str, int]]] = {}
    for band in BANDS:
        inside = [r for r in rows if r.band == band]
        parts = {"any": inside, **{t: [r for r in inside if t in r.traces] for t in TRACES}}
        counted = {name: _counts(chosen) for name, chosen in parts.items() if chosen}
        if counted:
            bands[band] = counted
    return bands


def _counts(rows: Sequence[GateRow]) -> dict[str, int]:
    authentic, forged = [r for r in rows if not r.forged], [r for r in rows if r.forged]
    return {
        "authentic": len(authentic),
        "alarms": sum(map(_alarm, authentic)),
        "alarms_without": sum(map(_alarm_without, authentic)),
        "forged": len(forged),
        "detected": sum(r.found for r in forged),
        "detected_without": sum(r.found_without for r in forged),
    }
