"""A table as plain data, shown on a terminal, as Markdown or as JSON; and the few ways in which cells are worded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table as RichTable

from fakeexplain.evaluation.metrics import clopper_pearson


@dataclass(frozen=True)
class Table:
    """Title, column names, cells as text, and a line of explanation; `detail` for those that few readers need."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    detail: bool = False

    def to_markdown(self) -> str:
        lines = [f"### {_md(self.title)}", "", _line(self.columns), "|" + "---|" * len(self.columns)]
        lines += [_line(row) for row in self.rows]
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])

    def to_rich(self) -> RichTable:
        note = escape(self.note) or None
        table = RichTable(title=escape(self.title), caption=note, title_justify="left", caption_justify="left")
        for i, column in enumerate(self.columns):
            table.add_column(escape(column), justify="left" if i == 0 else "right")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def to_dict(self) -> dict[str, object]:
        """JSON-ready; figures are the texts that people read, the rows hold them unrounded."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(r) for r in self.rows],
            "note": self.note,
        }


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_md, cells)) + " |"


def number(value: float, digits: int = 3) -> str:
    """A figure, or an en dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def interval(low: float, high: float, digits: int = 3) -> str:
    return f"{number(low, digits)} to {number(high, digits)}"


def counted_rate(flags: Sequence[bool], digits: int = 0) -> str:
    """ "12 % (7 to 20)" with a 95 % Clopper-Pearson interval; an en dash when nothing was counted."""
    if not flags:
        return "–"
    count, total = sum(flags), len(flags)
    low, high = clopper_pearson(count, total)
    return f"{100 * count / total:.{digits}f} % ({100 * low:.{digits}f} to {100 * high:.{digits}f})"


def percent(fraction: float, digits: int = 2) -> str:
    return f"{100 * fraction:.{digits}f} %" if math.isfinite(fraction) else "–"
