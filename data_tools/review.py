"""Command line of the review database: `python -m data_tools.review import|list|stats|agreement|export`.

    python -m data_tools.review import drafts.jsonl --database reviews.sqlite --annotators 2 --overlap 0.2 --blind
    python -m data_tools.review stats reviews.sqlite
    python -m data_tools.review agreement reviews.sqlite
    python -m data_tools.review export reviews.sqlite --to jsonl --out reviewed

Reviewing itself is done on the page (`fakeexplain app`, tab Annotate; docs/annotate.md), where every action is stored
at once. Deliberately left out: deciding anything from the command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from data_tools.export import EXPORT_LAYOUTS, ExportLayout, ExportOptions, export
from data_tools.review_agreement import Coefficient, agreement
from data_tools.review_grounding import finding_of_claim
from data_tools.review_import import ImportPlan, import_drafts
from data_tools.review_statistics import progress, task_list
from data_tools.review_store import ReviewStore
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Drafts to review, and what reviews have come to.",
)
_out, _err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
DATABASE = Path("reviews.sqlite")
Database = Annotated[Path, typer.Argument(metavar="DATABASE", help="The review database.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def _fail(error: FakeExplainError) -> typer.Exit:
    _err.print(f"[bold red]error:[/] {escape(str(error))}")
    return typer.Exit(3 if isinstance(error, OutputError) else 2)


@app.command("import")
def import_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Drafts (.jsonl), a data set, or a folder of pictures.")],
    database: Annotated[Path, typer.Option(help="The review database; made where there is none.")] = DATABASE,
    annotators: Annotated[int, typer.Option(min=1, max=26, help="People for a picture that several review.")] = 1,
    overlap: Annotated[float, typer.Option(min=0, max=1, help="Share of pictures that several people review.")] = 1.0,
    blind: Annotated[bool, typer.Option("--blind", help="Hide the draft until a person's own opinion is in.")] = False,
) -> None:
    """Add drafts to the queue; pictures without drafts are drafted on the way. Can be repeated."""
    try:
        plan = ImportPlan(annotators, overlap, blind)
        columns = TextColumn("{task.description}"), TextColumn("{task.completed} pictures"), TimeElapsedColumn()
        bar = Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal)
        with ReviewStore(database, create=True) as store, bar:
            number = bar.add_task("importing", total=None)
            outcome = import_drafts(store, path, plan, finding_of=finding_of_claim, step=lambda: bar.advance(number))
    except FakeExplainError as error:
        raise _fail(error) from None
    for problem in outcome.problems:
        _err.print(f"error: {escape(problem)}")
    _out.print(
        f"{outcome.added} drafts added to {escape(str(database))}, {outcome.there} were there, "
        f"{len(outcome.problems)} could not be taken"
    )
    if outcome.problems:
        raise typer.Exit(1)


@app.command("list")
def list_command(
    database: Database,
    outcome: Annotated[
        str | None, typer.Option(help="Only these: open, reviewed, agreed, disputed, adjudicated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List pictures and how far each is."""
    try:
        if outcome not in (None, "open", "reviewed", "agreed", "disputed", "adjudicated"):
            raise SettingsError(f"--outcome {outcome}; wanted open, reviewed, agreed, disputed or adjudicated")
        with ReviewStore(database) as store:
            rows = task_list(store, outcome=outcome, limit=limit)
    except FakeExplainError as error:
        raise _fail(error) from None
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table("picture", "file", "outcome", "reviews", "blind")
    for row in rows:
        reviews = f"{row['done']} of {row['wanted']}"
        table.add_row(str(row["task"]), escape(row["image"]), row["outcome"], reviews, "yes" if row["blind"] else "")
    Console(highlight=False).print(table)


@app.command("stats")
def stats_command(database: Database, as_json: AsJson = False) -> None:
    """Count outcomes, people, decisions, reasons and time."""
    try:
        with ReviewStore(database) as store:
            found = progress(store)
    except FakeExplainError as error:
        raise _fail(error) from None
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=1))
        return
    _out.print(f"{found.tasks} pictures ({found.blind} blind), {found.slots_done} of {found.slots} reviews done")
    for name, counted in (
        ("outcomes", found.outcomes),
        ("verdicts", found.verdicts),
        ("claims", found.decisions),
        ("rejected because", found.reject_reasons),
        ("skipped because", found.skip_reasons),
    ):
        if counted:
            _out.print(f"{name}: " + ", ".join(f"{count} {key}" for key, count in counted.items()))
    _out.print(
        f"{found.unsupported_edits} edits not supported by evidence; {found.events} events, {found.undone} undone"
    )
    if found.people:
        table = Table("annotator", "done", "open", "skipped", "adjudicated", "hours", "median s")
        for p in found.people:
            hours, middle = f"{p.seconds / 3600:.2f}", "" if p.median_seconds is None else f"{p.median_seconds:.0f}"
            counts = [str(n) for n in (p.done, p.open, p.skipped, p.adjudicated)]
            table.add_row(escape(p.name), *counts, hours, middle)
        Console(highlight=False).print(table)


@app.command("agreement")
def agreement_command(
    database: Database,
    as_json: AsJson = False,
    names: Annotated[bool, typer.Option("--names", help="Call annotators by name.")] = False,
) -> None:
    """Print how far annotators agree: Krippendorff's alpha, Cohen's kappa, mask overlap."""
    try:
        with ReviewStore(database) as store:
            found = agreement(store, names=names)
    except FakeExplainError as error:
        raise _fail(error) from None
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=1))
        return
    rows: Mapping[str, Coefficient] = {
        "verdict": found.verdicts,
        "sentence: accept, edit, reject, unsure": found.decisions,
        "sentence: kept or not": found.kept,
    }
    if not any(c.units for c in rows.values()):
        _out.print("nothing to compare yet: agreement is counted on pictures that two people have finished")
        return
    table = Table("", "units", "people", "equal", "alpha", "mean kappa", "kappa of pairs (units)")
    for name, c in rows.items():
        pairs = "\n".join(f"{escape(pair)}: {_figure(value)} ({n})" for pair, (value, n) in c.kappa.items())
        figures = [_figure(x) for x in (c.observed, c.alpha, c.kappa_mean)]
        table.add_row(name, str(c.units), str(c.raters), *figures, pairs)
    Console(highlight=False).print(table)
    m = found.masks
    overlap = f"mean {_figure(m.mean)}, median {_figure(m.median)}, least {_figure(m.least)}"
    _out.print(f"masks where two people say manipulated: {m.pairs} pairs, overlap (IoU) {overlap}")


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


@app.command("export")
def export_command(
    database: Database,
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    to: Annotated[str, typer.Option("--to", help=f"Layout: {', '.join(EXPORT_LAYOUTS)}.")] = "jsonl",
    keep_unsupported: Annotated[
        bool, typer.Option("--keep-unsupported", help="Export edited sentences that evidence does not support, too.")
    ] = False,
    names: Annotated[bool, typer.Option("--names", help="Name annotators in the provenance.")] = False,
    licence: Annotated[str, typer.Option(help="Terms to note in records that state none.")] = "",
    link: Annotated[bool, typer.Option("--link", help="Hard-link pictures instead of copying them.")] = False,
) -> None:
    """Write accepted work as training data; everything left out is counted in export.json."""
    try:
        if to not in EXPORT_LAYOUTS:
            raise SettingsError(f"--to {to}; wanted one of {', '.join(EXPORT_LAYOUTS)}")
        layout: ExportLayout = to
        options = ExportOptions(keep_unsupported=keep_unsupported, names=names, licence=licence, link=link)
        with ReviewStore(database) as store:
            report = export(store, layout, out, options)
    except FakeExplainError as error:
        raise _fail(error) from None
    _out.print(f"{report.exported} pictures in {escape(str(out))} ({_counts(report.verdicts)})")
    _out.print(f"claims: {_counts(report.claims)}")
    for name, counter in (("rejected because", report.rejected), ("left out", report.left_out)):
        if counter:
            _out.print(f"{name}: {_counts(counter)}")
    for problem in report.problems:
        _err.print(f"error: {escape(problem)}")
    if report.problems:
        raise typer.Exit(1)


def _counts(counter: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {escape(str(key))}" for key, count in counter.items()) or "none"


if __name__ == "__main__":
    app(prog_name="python -m data_tools.review")
