"""One HTML file per faithfulness run: headline, tables, the worst failures quoted.

Self-contained: no script, no link to anywhere, one style sheet (the benchmark's) admitted by its hash. Every string is
escaped and stripped of control characters. Left out: the figures themselves, which are those of `tables`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fakeexplain.evaluation.faithfulness.failures import quotations
from fakeexplain.evaluation.faithfulness.rows import Row
from fakeexplain.evaluation.faithfulness.tables import measures
from fakeexplain.evaluation.table import Table, percent
from fakeexplain.report.templating import make_environment, printed, style_hash, template_reader

_read = template_reader("fakeexplain.evaluation")


@dataclass(frozen=True)
class _Tile:
    figure: str
    target: str
    words: str


def render_page(
    rows: Sequence[Row], tables: Sequence[Table], facts: Mapping[str, str], promise: float, made_at: str
) -> str:
    """The page as one document.

    Args:
        facts: names and values of settings and versions. promise: see `tables.measures`. made_at: ISO time.
    """
    css = _read("bench.css")
    tiles = []
    for m in measures(rows, promise):
        if m.total:
            sign = "at most" if m.at_most else "at least"
            words = "" if m.target is None else f"{sign} {100 * m.target:g} % wanted: {m.reached}"
            tiles.append(_Tile(percent(m.rate, 1).replace(" %", "\u00a0%"), words, f"{m.name} (of {m.total})"))
    return str(
        make_environment(_read, printed)
        .get_template("faithfulness.html.j2")
        .render(
            css=Markup(css),
            style_hash=style_hash(css),
            made_at=made_at,
            forged=sum(r.forged for r in rows),
            authentic=sum(not r.forged for r in rows),
            failed=sum(bool(r.error) for r in rows),
            questions=sum(len(r.asked) for r in rows),
            forms=len({a.form for r in rows for a in r.asked}),
            tiles=tiles,
            tables=tables,
            failures=quotations(rows),
            facts=facts,
        )
    )
