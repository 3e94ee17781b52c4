"""`fakeexplain bench-gate`: counts what the quality gate changes, and the rates per band that it then carries.

Each photograph is examined as received and after every cell (`evaluation.gate_cells`), unaltered and with one planted
forgery (`data_tools.forge.planted`). Rows go to disk as they come, and the same command goes on from there. Left out:
what is counted from the rows (`evaluation.gate_tables`).
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape

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
    from fakeexplain.evaluation.gate_tables import GateRow
    from fakeexplain.examiner import Settings

LARGEST_FORGERY = 128  # pixels a side
LEAST_HOST = 160  # pixels of a photograph's short side, for a forgery to fit


def bench_gate(
    photographs: Annotated[Path, typer.Argument(help="Folder of authentic photographs.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for gate.md, gate.json and rows.", show_default=False)
    ],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many photographs, drawn by chance.")
    ] = None,
    side: Annotated[
        int, typer.Option("--side", min=LEAST_HOST, help="Photographs are cropped to this side before a cell.")
    ] = 640,
    false_alarms: Annotated[float, typer.Option("--false-alarms", help="Promised rate of `manipulated`.")] = 0.02,
    expert: Annotated[
        str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
    ] = "none",
    rates: Annotated[
        Path | None,
        typer.Option(
            "--rates", help="Also write the counts per band here; reports read fakeexplain/quality_rates.json."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Pictures examined at the same time.")
    ] = DEFAULT_JOBS,
) -> None:
    """Count false alarms and detection with and without the quality gate, by quality, size, chain and screenshot.

    [bold]fakeexplain bench-gate calibration --out results[/]                       all photographs, every cell
    [bold]fakeexplain bench-gate calibration --out results --limit 40[/]            a sample
    [bold]fakeexplain bench-gate calibration --out results --rates rates.json[/]    also what reports quote
    """
    from fakeexplain.evaluation.gate_tables import gate_tables
    from fakeexplain.examiner import Settings

    settings = Settings(false_alarms, expert=None if expert == "none" else expert)
    try:
        prepare_folder(out)
        jobs_left, rows, log = _plan(photographs, out, settings, limit, side)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    failed = 0
    try:
        failed = _run(jobs_left, rows, log, jobs)
    except BrokenProcessPool:
        raise fail(
            "a worker process died; lower --jobs. The same command goes on from here", EXIT_SOME_FAILED
        ) from None
    except OSError as error:
        raise fail(f"{log}: cannot be written ({error.strerror or error})", EXIT_OUTPUT) from None
    except KeyboardInterrupt:
        err.print(f"interrupted after {len(rows)} rows; the same command goes on from here")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    ordered = sorted(rows.values(), key=lambda r: r.key)
    tables = gate_tables(ordered)
    for table in tables:
        console.print(table.to_rich())
    try:
        _write(out, ordered, [t.to_markdown() for t in tables], photographs, false_alarms, side, rates)
    except OSError as error:
        raise fail(f"{out}: cannot be written ({error.strerror or error})", EXIT_OUTPUT) from None
    if failed:
        err.print(f"{failed} pictures could not be made or examined; they are in no count")
        raise typer.Exit(EXIT_SOME_FAILED)


Job = tuple[Path, str, bool, int, "Settings"]


def _plan(
    photographs: Path, out: Path, settings: Settings, limit: int | None, side: int
) -> tuple[list[Job], dict[tuple[str, str, bool], GateRow], Path]:
    """What is left to do, the rows of an earlier run with the same settings and versions, and their file."""
    from fakeexplain.evaluation.datasets import read_dataset
    from fakeexplain.evaluation.gate_cells import AS_RECEIVED, CELLS
    from fakeexplain.evaluation.gate_tables import ROWS_VERSION, row_from_json
    from fakeexplain.examiner import Examiner, versions

    examiner = Examiner(settings)
    parts = (ROWS_VERSION, settings, side, sorted(versions(examiner.instruments, examiner.expert).items()))
    log, lines = open_rows(out, "gate-rows", parts)
    # In an order of chance that is always the same, so that a small run meets every source and a larger one goes on.
    files = sorted((i.image_path for i in read_dataset(photographs) if i.mask_path is None), key=_chance)[:limit]
    # One after another through the cells, so that a run cut short has counted a little of everything.
    wanted = [(p, c, forged, side, settings) for p in files for c in (AS_RECEIVED, *CELLS) for forged in (False, True)]
    keys = {(p.name, c, f) for p, c, f, _, _ in wanted}
    rows = {r.key: r for r in map(row_from_json, lines) if r.key in keys}
    return [j for j in wanted if (j[0].name, j[1], j[2]) not in rows], rows, log


def _chance(path: Path) -> bytes:
    return hashlib.sha256(path.name.encode()).digest()


def _run(left: list[Job], rows: dict[tuple[str, str, bool], GateRow], log: Path, jobs: int) -> int:
    """Rows as they come, on disk at once; returns how many pictures failed."""
    from fakeexplain.evaluation.gate_tables import row_to_json
    from fakeexplain.workers import worker_pool

    failed = 0
    with progress_bar() as progress, log.open("a", encoding="utf-8") as stream:
        task = progress.add_task("examining", total=len(rows) + len(left), completed=len(rows))

        def keep(row: GateRow | None) -> None:
            nonlocal failed
            progress.advance(task)
            if row is None:
                failed += 1
                return
            rows[row.key] = row
            stream.write(row_to_json(row) + "\n")
            stream.flush()

        if jobs == 1 or len(left) < 2:
            for job in left:
                keep(count_picture(job))
            return failed
        with worker_pool(min(jobs, len(left))) as pool:
            for future in as_completed([pool.submit(count_picture, job) for job in left]):
                keep(future.result())
    return failed


def count_picture(job: Job) -> GateRow | None:
    """Makes one picture, examines it, decides it twice; None when it cannot be made. Runs in a worker."""
    from fakeexplain.evaluation.gate_cells import AS_RECEIVED, CELLS, run_cell
    from fakeexplain.evaluation.gate_tables import gate_row
    from fakeexplain.evaluation.protocol import process_examiner
    from fakeexplain.imaging import degrade
    from fakeexplain.imaging.source import SourceImage

    path, cell, forged, side, settings = job
    digest = hashlib.sha256(f"{path.name} {cell}".encode()).digest()  # twins get the same drawing
    seed = [int.from_bytes(digest[i : i + 4], "little") for i in (0, 4)]
    try:
        source = SourceImage.from_path(path)
        if cell == AS_RECEIVED and not forged:
            return gate_row(process_examiner(settings), source, None, path.name, cell, "")
        rgb = _crop(source.rgb, side)
        if cell != AS_RECEIVED:
            rgb = degrade.apply_steps(rgb, CELLS[cell].before)
        true_mask, kind, data = None, "", b""
        if forged:
            kind, data, true_mask = _forge(rgb, path.name, seed)
            rgb = SourceImage.from_bytes(data).rgb
        if cell != AS_RECEIVED:
            data, true_mask = run_cell(rgb, true_mask, cell, seed)
        made = SourceImage.from_bytes(data, name=path.name)
        if true_mask is not None and not true_mask.any():
            return None  # a drawing covers all of it
        return gate_row(process_examiner(settings), made, true_mask, path.name, cell, kind)
    except (FakeExplainError, ValueError):
        return None


def _crop(rgb: np.ndarray, side: int) -> np.ndarray:
    """At most side x side pixels around the centre, cut at multiples of 8 so that an old JPEG grid stays in place."""
    y, x = (max(0, (n - side) // 16 * 8) for n in rgb.shape[:2])
    return np.ascontiguousarray(rgb[y : y + side, x : x + side])


def _forge(rgb: np.ndarray, name: str, seed: list[int]) -> tuple[str, bytes, np.ndarray]:
    """(kind, file, mask of what was forged, both places of a copy); the kinds take turns by the photograph's name.

    Raises:
        ValueError: the photograph is too small or too plain.
    """
    from data_tools.forge.planted import KINDS, plant

    short = min(rgb.shape[:2])
    if short < LEAST_HOST:
        raise ValueError("too small for a forgery")
    kind = KINDS[hashlib.sha256(name.encode()).digest()[0] % len(KINDS)]
    made = plant(kind, rgb, size=min(LARGEST_FORGERY, short // 3), rng=np.random.default_rng(seed))
    mask = made.mask if made.donor_mask is None else made.mask | made.donor_mask
    return kind, made.image_bytes, mask


def _write(
    out: Path,
    rows: list[GateRow],
    markdown: list[str],
    photographs: Path,
    false_alarms: float,
    side: int,
    rates: Path | None,
) -> None:
    """gate.md, gate.json (the counts), and the counts once more where `rates` says."""
    from fakeexplain import __version__
    from fakeexplain.evaluation.gate_tables import rates_of

    names = {r.photograph for r in rows}
    counts = {
        "data": (
            f"{sum(not r.forged for r in rows)} unaltered and {sum(r.forged for r in rows)} forged versions of "
            f"{len(names)} photographs ({photographs.resolve().name}), as received and saved, shrunk, shared, shown on "
            "a screen or drawn on"
        ),
        "command": f"fakeexplain bench-gate {photographs.resolve().name} --side {side}",
        "false_alarms": false_alarms,
        "version": __version__,
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "bands": rates_of(rows),
    }
    text = json.dumps(counts, indent=1, ensure_ascii=False) + "\n"
    files = {out / "gate.md": "\n".join(markdown), out / "gate.json": text}
    if rates is not None:
        files[rates] = text
    for path, content in files.items():
        write_whole(path, content)
    console.print(f"tables and counts: {escape(str(out / 'gate.md'))}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(bench_gate)
