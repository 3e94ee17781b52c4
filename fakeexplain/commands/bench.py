"""`fakeexplain bench`: plans a benchmark run, carries it through with progress, and writes its files.

What is measured is in `fakeexplain.evaluation`; here is only what a command does: options, resuming, printing, exit
codes. Heavy modules are imported inside the functions, so that `fakeexplain --help` stays quick. Left out: `main`
and signals, which are `fakeexplain.cli`'s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from fakeexplain.commands.console import (
    DEFAULT_JOBS,
    EXIT_INTERRUPTED,
    EXIT_OUTPUT,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    err,
    fail,
    prepare_folder,
    progress_bar,
)
from fakeexplain.commands.console import out as console
from fakeexplain.commands.resuming import open_rows
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError
from fakeexplain.files import write_whole

if TYPE_CHECKING:
    from fakeexplain.evaluation.datasets import Item
    from fakeexplain.evaluation.external_maps import MapFolder
    from fakeexplain.evaluation.failures import Gallery
    from fakeexplain.evaluation.rows import Row
    from fakeexplain.evaluation.table import Table
    from fakeexplain.examiner import Examiner, Settings


Key = tuple[str, str, str]


@dataclass
class _Run:
    """A planned run: the pictures, what is done to them, where results go, and the rows so far by key."""

    settings: Settings
    examiner: Examiner
    items: list[Item]
    cells: list[Item]
    folders: list[MapFolder]
    exclude: tuple[str, ...]
    maps_only: bool
    resize_maps: bool
    jobs: int
    out: Path | None
    rows: dict[Key, Row]


def bench(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Data sets: images/ and masks/, or authentic photographs.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for bench.html, tables.md, tables.json, rows.jsonl.", show_default=False
        ),
    ] = None,
    false_alarms: Annotated[
        float,
        typer.Option("--false-alarms", help="Promised rate of `manipulated` among unaltered photographs (0.02 = 2 %)."),
    ] = 0.02,
    instruments: Annotated[
        str | None, typer.Option("--instruments", help="Comma-separated names; default all.", show_default=False)
    ] = None,
    expert: Annotated[
        str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
    ] = "embedded",
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also after JPEG, WebP, blur, noise, resizing, services, screenshot.")
    ] = False,
    degrade: Annotated[
        list[str] | None,
        typer.Option("--degrade", help="Only this step of that grid, say 'jpeg 70'. Repeatable."),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--maps", help="FOLDER or FOLDER=NAME of another tool's maps (PNG, NPY). Repeatable."),
    ] = None,
    maps_only: Annotated[
        bool, typer.Option("--maps-only", help="Score only the maps of --maps; examine nothing.")
    ] = False,
    resize_maps: Annotated[
        bool, typer.Option("--resize-maps", help="Accept maps of another size than their pictures.")
    ] = False,
    exclude_from_mean: Annotated[
        list[str] | None,
        typer.Option("--exclude-from-mean", help="Also show means without this data set. Repeatable."),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Pictures examined at the same time.")
    ] = DEFAULT_JOBS,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many pictures a data set, evenly spread.", show_default=False),
    ] = None,
) -> None:
    """Measure on data sets: masks against truth beside yardsticks, false alarms with exact intervals.

    A data set is a folder with images/ and masks/ (white = forged, same stem; no mask = authentic), or a folder of
    authentic photographs. With --out, a run that was stopped goes on where it was when started again.

    [bold]fakeexplain bench data/authentic data/my_forgeries --out results[/]
    [bold]fakeexplain bench data/my_forgeries --maps other_tool=other --out results[/]   another tool's maps beside ours
    [bold]fakeexplain bench data/* --robustness --limit 20 --out results[/]              after recompression and more
    """
    try:
        run = _plan(
            folders,
            out,
            false_alarms,
            None if instruments is None else tuple(n.strip() for n in instruments.split(",") if n.strip()),
            None if expert == "none" or maps_only else expert,  # maps alone need no weights
            _cells(robustness, degrade or []),
            maps or [],
            maps_only,
            resize_maps,
            tuple(exclude_from_mean or ()),
            jobs,
            limit,
        )
        log = None if out is None or maps_only else _resume(run, out)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    try:
        with progress_bar() as progress:
            if not maps_only:
                _examine(run, log, progress)
            if run.folders:
                _score_maps(run, progress)
            tables = _tables(run)
            for table in tables:
                if out is None or not table.detail:
                    console.print(table.to_rich())
            if out is not None:
                _write(run, tables, out, progress)
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    except BrokenProcessPool:
        words = "a worker process died (out of memory, or a hostile file); lower --jobs, or use --jobs 1 to find it"
        raise fail(words + _kept(log), EXIT_SOME_FAILED) from None
    except KeyboardInterrupt:
        err.print(f"interrupted after {len(run.rows)} rows{_kept(log)}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if any(r.error for r in run.rows.values()):
        raise typer.Exit(EXIT_SOME_FAILED)


def _kept(log: Path | None) -> str:
    return "; the same command goes on from here" if log is not None else "; nothing was kept without --out"


def _cells(robustness: bool, degrade: Sequence[str]) -> tuple[str, ...]:
    """Names of the robustness grid in its order. Raises SettingsError for names it does not have."""
    from fakeexplain.evaluation.robustness import CELLS

    unknown = [c for c in degrade if c not in CELLS]
    if unknown:
        raise SettingsError(f"--degrade {unknown[0]!r}: there is no such step; wanted one of {', '.join(CELLS)}")
    return tuple(c for c in CELLS if robustness or c in degrade)


def _plan(
    folders: Sequence[Path],
    out: Path | None,
    false_alarms: float,
    instruments: tuple[str, ...] | None,
    expert: str | None,
    wanted_cells: Sequence[str],
    maps: Sequence[str],
    maps_only: bool,
    resize_maps: bool,
    exclude: tuple[str, ...],
    jobs: int,
    limit: int | None,
) -> _Run:
    """Everything that can be wrong is found here, before the first picture. Raises FakeExplainError."""
    from fakeexplain.evaluation.datasets import dataset_names, read_dataset, refuse_unmasked, spread
    from fakeexplain.evaluation.external_maps import check_names, find_maps, parse_map_option
    from fakeexplain.examiner import Examiner, Settings

    if (maps_only or resize_maps) and not maps:
        raise SettingsError("--maps-only and --resize-maps need --maps FOLDER: there are no maps to score")
    if maps_only and wanted_cells:
        raise SettingsError("--robustness and --degrade examine pictures, --maps-only examines none; leave one out")
    settings = Settings(false_alarms, instruments, expert=expert)
    examiner = Examiner(settings)
    names = dataset_names(folders)
    unknown = [n for n in exclude if n not in names]
    if unknown:
        raise SettingsError(f"--exclude-from-mean {unknown[0]}: no such data set here; there are {', '.join(names)}")
    items = [i for f, n in zip(folders, names, strict=True) for i in spread(read_dataset(f, n), limit)]
    refuse_unmasked(items)
    named = [parse_map_option(text) for text in maps]
    check_names([name for _, name in named], examiner.panel.witnesses())
    found = [find_maps(items, folder, name) for folder, name in named]
    cells = [replace(i, cell=c) for i in items for c in wanted_cells]
    if out is not None:
        prepare_folder(out)
    return _Run(settings, examiner, items, cells, found, exclude, maps_only, resize_maps, jobs, out, {})


def _resume(run: _Run, out: Path) -> Path:
    """Takes over the rows of an earlier run with the same settings and versions; the file further rows go to."""
    from fakeexplain.evaluation.protocol import PROTOCOL_VERSION
    from fakeexplain.evaluation.rows import row_from_json
    from fakeexplain.examiner import versions

    parts = (
        PROTOCOL_VERSION,
        run.settings,
        run.examiner.panel,
        sorted(versions(run.examiner.instruments, run.examiner.expert).items()),
    )
    log, lines = open_rows(out, "rows", parts)
    wanted = {i.key for i in (*run.items, *run.cells)}
    run.rows.update((r.key, r) for r in map(row_from_json, lines) if r.key in wanted)
    return log


def _examine(run: _Run, log: Path | None, progress: Progress) -> None:
    """Examines what has no row yet; a row is on disk as soon as it is there."""
    from fakeexplain.evaluation.protocol import run_benchmark
    from fakeexplain.evaluation.rows import row_to_json

    left = [i for i in (*run.items, *run.cells) if i.key not in run.rows]
    total = len(run.items) + len(run.cells)
    task = progress.add_task("measuring", total=total, completed=total - len(left))
    stream = None if log is None else log.open("a", encoding="utf-8")
    try:
        for row in run_benchmark(left, run.settings, workers=min(run.jobs, max(len(left), 1))):
            run.rows[row.key] = row
            progress.advance(task)
            if stream is not None:
                stream.write(row_to_json(row) + "\n")
                stream.flush()
    except OSError as error:
        raise OutputError(f"{log}: cannot be written ({error.strerror or error})") from None
    finally:
        if stream is not None:
            stream.close()


def _score_maps(run: _Run, progress: Progress) -> None:
    from fakeexplain.evaluation.external_maps import run_maps

    task = progress.add_task("scoring maps", total=len(run.items))
    for row in run_maps(run.items, run.rows, run.folders, resize=run.resize_maps, workers=run.jobs):
        run.rows[row.key] = row
        progress.advance(task)


def _sorted_rows(run: _Run) -> list[Row]:
    return sorted(run.rows.values(), key=lambda r: (r.dataset, r.image, r.cell))


def _tables(run: _Run) -> list[Table]:
    from fakeexplain.evaluation.tables import all_tables

    rows = _sorted_rows(run)
    resized = {f.name: sum(f.name in r.resized for r in rows) for f in run.folders}
    words = [
        f"Maps of {n} were resized to the picture for {c} of {len(run.items)} pictures."
        for n, c in resized.items()
        if c
    ]
    # Without an expert, its half of the rate stays unused.
    promise = run.settings.false_alarms if run.examiner.panel.expert else run.settings.false_alarms / 2
    return all_tables(rows, run.exclude, promise=promise, note=" ".join(words))


def _write(run: _Run, tables: Sequence[Table], out: Path, progress: Progress) -> None:
    """bench.html, tables.md, tables.json, rows.jsonl, and charts of what this run has. Raises OutputError."""
    from fakeexplain.evaluation.charts import standalone
    from fakeexplain.evaluation.curves import robustness_figures
    from fakeexplain.evaluation.failures import galleries
    from fakeexplain.evaluation.page import Facts, render_page
    from fakeexplain.evaluation.plots import plot_planted
    from fakeexplain.evaluation.rows import row_to_json
    from fakeexplain.examiner import versions

    rows = _sorted_rows(run)
    facts = Facts(
        settings=_settings_words(run),
        versions=versions(run.examiner.instruments, run.examiner.expert),
        exclude=run.exclude,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    worst = galleries(rows)
    pictures = _draw(run, worst, progress)
    stored = {
        "made_at": facts.made_at,
        "settings": facts.settings,
        "versions": facts.versions,
        "tables": [t.to_dict() for t in tables],
    }
    files = {
        "bench.html": render_page(rows, tables, facts, worst, pictures),
        "tables.md": "\n".join(t.to_markdown() for t in tables),
        "tables.json": json.dumps(stored, indent=1, ensure_ascii=False) + "\n",
        "rows.jsonl": "".join(row_to_json(r) + "\n" for r in rows),
    }
    for name, figure in zip(
        ("robustness.svg", "robustness_alarms.svg"), robustness_figures(rows, run.exclude), strict=False
    ):
        files[name] = standalone(figure.svg)
    try:
        for name, text in files.items():
            write_whole(out / name, text)
        if not run.maps_only:
            plot_planted([r for r in rows if not r.cell], out / "planted.png")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    except SettingsError as error:
        err.print(f"no plot of planted forgeries: {escape(str(error))}")
    console.print(f"page, tables and rows: {escape(str(out / 'bench.html'))}", highlight=False, soft_wrap=True)


def _settings_words(run: _Run) -> dict[str, str]:
    words = {"promised false alarms": f"{100 * run.settings.false_alarms:g} %"}
    if run.maps_only:
        words = {"examined": "nothing, only maps were scored"}
    else:
        words["instruments"] = ", ".join(i.name for i in run.examiner.instruments)
        words["expert"] = "none" if run.examiner.expert is None else f"weights {run.examiner.expert.version}"
    if run.folders:
        words["maps of other tools"] = ", ".join(f.name for f in run.folders)
    if run.exclude:
        words["kept out of the further means"] = ", ".join(run.exclude)
    return words


def _draw(run: _Run, wanted: Sequence[Gallery], progress: Progress) -> dict[Key, dict[str, list[bytes]]]:
    """The pictures that the galleries of the page need."""
    from fakeexplain.evaluation.failures import draw_failures

    failures = [f for gallery in wanted for f in gallery.failures]
    items = {i.key: i for i in run.items}
    files = {f.name: f.files for f in run.folders}
    task = progress.add_task("drawing", total=len({f.row.key for f in failures}))
    pictures = {}
    for key, drawn in draw_failures(failures, items, run.settings, files, workers=run.jobs):
        pictures[key] = drawn
        progress.advance(task)
    return pictures


if __name__ == "__main__":
    typer.run(bench)
