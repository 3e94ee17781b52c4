"""Many pictures: kept in a folder of their own, examined one after another, going on where it stopped.

    BATCH/pictures/NAME          the files as they arrived
    BATCH/results/NAME/...       what `fakeexplain examine --out` writes
    BATCH/results/summary.csv    one row a picture
    BATCH/thumbnails/NAME.jpg    with the findings drawn
    BATCH/rows.json              the table as it stands

A batch lies below the folder for cases, or, without one, in the private folder and then only for a while. It never
takes more than one worker. Left out: searching folders of the server, which a browser must not name.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.casebook import check_name
from app.errors import AppError, BusyError, TaskCancelledError, TooLargeError
from app.exports import ExportFile
from app.layers import jpeg_bytes, shown_picture
from app.security import safe_name
from app.service import Service
from app.tasks import Task
from fakeexplain.batch import SUMMARY_NAME, Job, Outcome, finished_before, write_examination, write_summary
from fakeexplain.errors import FakeExplainError, OutputError
from fakeexplain.examiner import examination_mask
from fakeexplain.files import write_whole
from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.numbers import percent_of
from fakeexplain.reasoning.wording import label_words
from fakeexplain.report.overlay import draw_evidence

MOST_PICTURES = 2000
_THUMBNAIL_SIDE = 240  # pixels
_ORDER = {"manipulated": 0, "inconclusive": 1, "no_evidence": 2, "": 3}


@dataclass(frozen=True)
class BatchRow:
    """One picture of a batch.

    Attributes:
        state: "waiting", "examined", "kept" (from an earlier run) or "failed".
        label, title, probability, percent: of the verdict; "" and None before there is one.
        area_fraction: of the verdict's regions. error: why it failed.
        thumbnail: path of a small picture with the findings drawn, "" before there is one.
    """

    name: str
    state: str = "waiting"
    label: str = ""
    title: str = ""
    probability: float | None = None
    percent: str = ""
    area_fraction: float | None = None
    sha256: str = ""
    error: str = ""
    thumbnail: str = ""


def batch_folder(service: Service, name: str) -> Path:
    """Where a batch lies. Raises AppError for a name that is none."""
    base = service.private.path if service.cases is None else service.cases
    return base / "batches" / check_name(name, "batch")


def list_batches(service: Service) -> tuple[str, ...]:
    """Names of the batches that are there."""
    base = (service.private.path if service.cases is None else service.cases) / "batches"
    return tuple(sorted(p.name for p in base.iterdir() if (p / "pictures").is_dir())) if base.is_dir() else ()


def add_pictures(service: Service, batch: str, files: Iterable[tuple[str, bytes]]) -> tuple[BatchRow, ...]:
    """Puts pictures into a batch, making it where there is none; equal files are taken once. Returns the table.

    Raises:
        AppError: too many pictures. TooLargeError: one file is too large.
    """
    folder = batch_folder(service, batch) / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    taken = {p.name.casefold(): p for p in folder.iterdir()}
    for name, data in files:
        if len(data) > service.limits.max_bytes:
            limit = service.limits.max_bytes / 2**20
            raise TooLargeError(f"{safe_name(name)}: {len(data) / 2**20:.1f} MiB, wanted at most {limit:g} MiB")
        chosen = Path(safe_name(name))
        number = 1
        while (before := taken.get(chosen.name.casefold())) is not None and before.read_bytes() != data:
            number += 1
            chosen = Path(f"{Path(safe_name(name)).stem}-{number}{Path(safe_name(name)).suffix}")
        if before is None:
            if len(taken) >= MOST_PICTURES:
                raise AppError(f"a batch holds at most {MOST_PICTURES} pictures; open another one")
            _write(folder / chosen.name, data)
            taken[chosen.name.casefold()] = folder / chosen.name
    return batch_rows(service, batch)


def batch_rows(service: Service, batch: str) -> tuple[BatchRow, ...]:
    """The table as it stands, by name; also after a restart."""
    folder = batch_folder(service, batch)
    known: dict[str, dict[str, Any]] = {}
    try:
        known = {row["name"]: row for row in json.loads((folder / "rows.json").read_text("utf-8"))}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}  # never written or not finished: results themselves are found again by `run_batch`
    names = sorted(p.name for p in (folder / "pictures").glob("*") if p.is_file() and not p.name.startswith("."))
    return tuple(BatchRow(**known[n]) if n in known else BatchRow(n) for n in names)


def sorted_rows(rows: Iterable[BatchRow], by: str = "verdict") -> tuple[BatchRow, ...]:
    """by: "verdict" (manipulated first, the most probable on top) or "name"."""
    if by == "name":
        return tuple(sorted(rows, key=lambda r: r.name.casefold()))
    return tuple(sorted(rows, key=lambda r: (_ORDER.get(r.label, 3), -(r.probability or 0.0), r.name.casefold())))


def run_batch(service: Service, batch: str) -> Iterator[BatchRow]:
    """Examines what is not up to date; a row as each picture is done. Closing the generator stops after this picture.

    Raises:
        TaskCancelledError: the server ends; what is done is kept, and running it again goes on.
        AppError: no picture was ever dropped into this batch.
        OutputError: results cannot be written.
    """
    folder = batch_folder(service, batch)
    if not (folder / "pictures").is_dir():
        raise AppError(f"no batch of the name {folder.name!r} here; drop pictures first")
    rows = {row.name: row for row in batch_rows(service, batch)}
    outcomes: list[Outcome] = []
    try:
        (folder / "results").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder.name}: results cannot be written ({error.strerror or error})") from None
    for name in list(rows):
        job = Job(folder / "pictures" / name, Path(name))
        task = _submit_patiently(service, job, folder)
        try:
            outcome = task.result()
        finally:
            task.cancel()
        outcomes.append(outcome)
        rows[name] = _row(outcome, folder)
        _write(folder / "rows.json", json.dumps([asdict(r) for r in rows.values()], indent=1).encode())
        write_summary(outcomes, folder / "results")
        yield rows[name]


def batch_csv(service: Service, batch: str) -> ExportFile:
    """The table as CSV. Raises AppError before anything was examined."""
    path = batch_folder(service, batch) / "results" / SUMMARY_NAME
    try:
        return ExportFile(f"{path.parents[1].name}.csv", "text/csv; charset=utf-8", path.read_bytes())
    except OSError:
        raise AppError("nothing of this batch was examined yet; run it first") from None


def _submit_patiently(service: Service, job: Job, folder: Path) -> Task[Outcome]:
    """Waits for a place in the queue: a batch has time."""
    while True:
        try:
            return service.submit(lambda task: _examine(task, service, job, folder))
        except BusyError as error:
            if service.closing:
                raise TaskCancelledError("the server is shutting down; run the batch again to go on") from None
            time.sleep(min(error.retry_after or 1, 2))


def _examine(task: Task[Outcome], service: Service, job: Job, folder: Path) -> Outcome:
    results = folder / "results"
    try:
        before = finished_before(job, results, service.settings)
        if before is not None:
            return Outcome(job, before, skipped=True)
        data = job.path.read_bytes()
        source = service.load(data, job.relative.name, hashlib.sha256(data).hexdigest())
        task.check()
        examination = service.examiner().examine(source, on_done=lambda _: task.check())
        write_examination(examination, source, results / job.relative)
        thumbnail = jpeg_bytes(shown_picture(draw_evidence(examination, source), _THUMBNAIL_SIDE))
        (folder / "thumbnails").mkdir(exist_ok=True)
        _write(folder / "thumbnails" / f"{job.relative.name}.jpg", thumbnail)
        return Outcome(job, examination)
    except AppError:
        raise
    except FakeExplainError as error:
        return Outcome(job, error=str(error))
    except OSError as error:
        return Outcome(job, error=f"{printable(str(job.relative))}: cannot be read or written ({error.strerror})")


def _row(outcome: Outcome, folder: Path) -> BatchRow:
    name, found = outcome.job.relative.name, outcome.examination
    if found is None:
        return BatchRow(name, "failed", error=outcome.error)
    thumbnail = folder / "thumbnails" / f"{name}.jpg"
    return BatchRow(
        name=name,
        state="kept" if outcome.skipped else "examined",
        label=found.verdict.label,
        title=label_words(found.verdict),
        probability=found.verdict.probability,
        percent=percent_of(found.verdict.probability),
        area_fraction=round(float(examination_mask(found).mean()), 6),
        sha256=found.source.sha256,
        thumbnail=str(thumbnail) if thumbnail.exists() else "",
    )


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all. Raises OutputError."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(f"{path.name}: cannot be written ({error.strerror or error})") from None
