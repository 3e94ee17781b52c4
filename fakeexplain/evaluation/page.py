"""One HTML file per benchmark run: headline, curves, tables, and the worst failures as pictures.

Self-contained: no script, no link to anywhere, pictures as data URIs, one style sheet admitted by its hash. Every
string is escaped and stripped of control characters. Left out: the figures themselves, which are those of `tables`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from fakeexplain.evaluation import curves
from fakeexplain.evaluation.alarm_tables import REGION_WORDS, authentic_rows
from fakeexplain.evaluation.charts import CHART_CSS
from fakeexplain.evaluation.failures import Failure, Gallery, Key
from fakeexplain.evaluation.forged_tables import data_sets, f1_of, mean_over_sets, values_by_set, without_words
from fakeexplain.evaluation.image_tables import image_scores
from fakeexplain.evaluation.metrics import auc_interval, auc_score, bootstrap_interval
from fakeexplain.evaluation.pixels import REGION_SHARE
from fakeexplain.evaluation.rows import SUITE, Row, main_predictors
from fakeexplain.evaluation.table import Table, counted_rate, interval, number, percent
from fakeexplain.imaging.source import printable
from fakeexplain.report.templating import LONGEST, make_environment, printed, style_hash, template_reader

_read = template_reader("fakeexplain.evaluation")


@dataclass(frozen=True)
class Facts:
    """What a run was: shown in the page and stored in tables.json.

    Attributes:
        settings: names and values as people read them. versions: of everything that can change a figure.
        exclude: data sets kept out of the further means. made_at: ISO time.
    """

    settings: dict[str, str]
    versions: dict[str, str]
    exclude: tuple[str, ...] = ()
    made_at: str = ""


@dataclass(frozen=True)
class _Tile:
    figure: str
    interval: str
    words: str


@dataclass(frozen=True)
class _Shown:
    """A failure with its pictures as (what it shows, data URI)."""

    title: str
    words: str
    pictures: tuple[tuple[str, str], ...]


def render_page(
    rows: Sequence[Row],
    tables: Sequence[Table],
    facts: Facts,
    galleries: Sequence[Gallery],
    pictures: Mapping[Key, Mapping[str, Sequence[bytes]]],
) -> str:
    """The page as one document.

    Args:
        rows: of one run, robustness cells and all.
        tables: see `tables.all_tables`.
        galleries: the failures to show.
        pictures: JPEG files by picture and predictor, see `failures.draw_failures`.
    """
    plain = [r for r in rows if not r.cell]
    css = _read("bench.css") + CHART_CSS
    found = [curves.reliability_figure(plain), curves.area_figure(plain)]
    return str(
        _template().render(
            css=Markup(css),
            style_hash=style_hash(css),
            facts=facts,
            sets=[_set_line(plain, name, facts.exclude) for name in data_sets(plain)],
            forged=sum(r.forged for r in plain),
            authentic=sum(not r.forged for r in plain),
            failed=sum(bool(r.error) for r in plain),
            tiles=_tiles(plain, facts.exclude),
            headline=_headline(plain, facts.exclude),
            figures=curves.ranking_figures(plain) + [f for f in found if f is not None],
            robustness=curves.robustness_figures(rows, facts.exclude),
            tables=[t for t in tables if not t.detail],
            details=[t for t in tables if t.detail],
            galleries=[(g.title, g.note, [_shown(f, pictures) for f in g.failures]) for g in galleries],
        )
    )


def _set_line(rows: Sequence[Row], name: str, exclude: Sequence[str]) -> str:
    forged = sum(r.forged for r in rows if r.dataset == name)
    authentic = sum(not r.forged for r in rows if r.dataset == name)
    counts = ", ".join(f"{n} {word}" for n, word in ((forged, "forged"), (authentic, "authentic")) if n)
    return f"{name}: {counts}" + (" (kept out of the second mean)" if name in exclude else "")


def _tiles(rows: Sequence[Row], exclude: Sequence[str]) -> list[_Tile]:
    """The few figures of the verdict that a reader should remember, each with its interval."""
    forged, authentic = [r for r in rows if r.forged], authentic_rows(rows)
    judged = any(r.label for r in rows)
    tiles = []
    for left_out in ([(), tuple(exclude)] if exclude else [()]) if forged and judged else []:
        groups = values_by_set(forged, f1_of(SUITE), left_out)
        over = f", mean over {len(groups)} data sets" if len(groups) > 1 else ""
        without = f" {without_words(left_out)}" if left_out else ""
        words = f"pixel F1 of the verdict's mask{over}{without}"
        tiles.append(_Tile(number(mean_over_sets(groups)), interval(*bootstrap_interval(groups)), words))
    if forged and judged:
        tiles.append(_rate_tile([r.label == "manipulated" for r in forged], "of forged pictures detected"))
    if authentic and judged:
        words = "of authentic photographs called manipulated"
        tiles.append(_rate_tile([r.label == "manipulated" for r in authentic], words, 1))
    strongest = image_scores(rows).get("strongest witness")
    if forged and authentic and strongest is not None:
        pair = [strongest(r) for r in forged], [strongest(r) for r in authentic]
        words = "AUC of whole pictures, by the strongest witness"
        tiles.append(_Tile(number(auc_score(*pair)), interval(*auc_interval(*pair)), words))
    return tiles


def _headline(rows: Sequence[Row], exclude: Sequence[str]) -> Table | None:
    """The main predictors side by side; None when there is only the verdict's mask, which the tiles show."""
    forged, authentic = [r for r in rows if r.forged], authentic_rows(rows)
    names = main_predictors(rows)
    if set(names) <= {SUITE}:
        return None
    lines = []
    for name in names:
        cells = []
        for left_out in [(), tuple(exclude)] if exclude else [()]:
            groups = values_by_set(forged, f1_of(name), left_out)
            cells.append(f"{number(mean_over_sets(groups))} ({interval(*bootstrap_interval(groups))})")
        regions = [r.largest[name] >= REGION_SHARE for r in authentic if name in r.largest]
        areas = [r.marked[name] for r in authentic if name in r.marked]
        mean_area = percent(sum(areas) / len(areas)) if areas else "–"
        lines.append((_title(name), *cells, counted_rate(regions, 1), mean_area))
    columns = ["predictor", "pixel F1 over sets", *([f"{without_words(exclude)}"] if exclude else [])]
    columns += [f"authentic with {REGION_WORDS}", "mean marked area"]
    return Table("The verdict's mask and the maps at 0.5", tuple(columns), tuple(lines))


def _title(predictor: str) -> str:
    return "the verdict's mask" if predictor == SUITE else predictor


def _rate_tile(flags: Sequence[bool], words: str, digits: int = 0) -> _Tile:
    rate, bounds = counted_rate(flags, digits).rsplit(" (", 1)
    return _Tile(rate, bounds.rstrip(")") + " %", words)


def _shown(failure: Failure, pictures: Mapping[Key, Mapping[str, Sequence[bytes]]]) -> _Shown:
    row, name = failure.row, failure.predictor
    files = pictures.get(row.key, {}).get(name, ())
    guess = "prediction" if row.marked.get(name, 0.0) > 0 else "prediction: nothing marked"
    titles = ["picture", "truth", guess] if row.forged else ["picture", guess]
    titles += ["joint score map, yellow is more"] if len(files) > len(titles) else []
    uris = ["data:image/jpeg;base64," + base64.b64encode(f).decode() for f in files]
    words = [f"F1 {row.f1.get(name, 0.0):.2f}", f"forged {100 * row.true_area:.1f} %"] if row.forged else []
    words.append(f"marked {100 * row.marked.get(name, 0.0):.1f} %")
    if row.label:
        words.append(f"verdict {row.label}, probability {row.probability:.2f}")
    words += [f"{k}: {v}" for k, v in (row.recipe | row.strata).items()]
    return _Shown(f"{row.dataset} / {row.image}", ", ".join(words), tuple(zip(titles, uris, strict=False)))


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = make_environment(_read, printed)
    environment.filters.update(figure=_figure, prose=_prose)
    return environment.get_template("bench.html.j2")


def _prose(text: str) -> Markup:
    """Text whose `names` in backticks are set as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(printable(text, LONGEST)))))


def _figure(cell: str) -> Markup:
    """A cell with the interval in its parentheses set apart."""
    match = re.fullmatch(r"([–0-9.]+(?: %)?) (\([^()]*\))", cell)
    text = str(escape(printable(cell, 4000)))
    if match:
        text = f"{escape(match.group(1))} <small>{escape(match.group(2))}</small>"
    return Markup(re.sub(r"(?<=\d) %", "\u00a0%", text))
