"""Many pictures: finding them, examining each in a worker process, writing each folder whole or not at all.

A file that cannot be examined costs one line, not the batch, even if a decoder brings its process down.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fakeexplain.errors import FakeExplainError, OutputError
from fakeexplain.examiner import Examiner, Settings, examination_map, examination_mask, versions
from fakeexplain.imaging.source import SUFFIXES, SourceImage, printable
from fakeexplain.imaging.worker import renamed
from fakeexplain.records import SCHEMA_VERSION, Examination
from fakeexplain.workers import worker_pool

SUMMARY_NAME = "summary.csv"
# What spreadsheets take for the start of a formula; the wide forms count too where Japanese or Chinese is set.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SUMMARY_FIELDS = ("picture", "verdict", "probability", "log10_nfa", "area_fraction", "sha256", "error")


@dataclass(frozen=True)
class Job:
    """One picture of a batch: where it lies and the relative path its result folder is named after."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: an examination, or one line saying why not."""

    job: Job
    examination: Examination | None = None
    error: str = ""
    fatal: bool = False
    skipped: bool = False


def find_pictures(paths: Sequence[Path]) -> tuple[list[Job], list[str]]:
    """Files as given; folders searched for image suffixes, recursively and sorted.

    Returns:
        (jobs with distinct relative paths, one error line for each path that cannot be used).
    """
    jobs: list[Job] = []
    errors: list[str] = []
    for path in paths:
        if path.is_dir():
            found, problems = _search(path)
            jobs += [Job(f, f.relative_to(path)) for f in found]
            errors += problems
        else:
            jobs.append(Job(path, Path(path.name or "image")))
    return _distinct(jobs), errors


def _search(folder: Path) -> tuple[list[Path], list[str]]:
    """(pictures below a folder, sorted; one line for each subfolder that cannot be listed, or for finding nothing)."""
    problems: list[str] = []

    def unreadable(error: OSError) -> None:
        problems.append(f"{printable(str(error.filename))}: cannot be listed ({error.strerror}); check its permissions")

    found = []
    for place, subfolders, files in os.walk(folder, onerror=unreadable):
        # Results of an earlier run that lie inside the folder are pictures too, but not the user's.
        subfolders[:] = sorted(f for f in subfolders if not (Path(place) / f / "examination.json").exists())
        found += [Path(place) / f for f in sorted(files) if Path(f).suffix.lower() in SUFFIXES]
    if not found and not problems:
        wanted = " ".join(sorted(SUFFIXES))
        problems.append(f"{printable(str(folder))}: no pictures in this folder; looked for {wanted}")
    return found, problems


def _distinct(jobs: list[Job]) -> list[Job]:
    """Adds parent folders' names, then numbers, to relative paths that would share a result folder.

    Case is ignored, for some file systems do.
    """
    taken: set[str] = set()
    out = []
    for job in jobs:
        relative, parents = job.relative, list(job.path.absolute().parent.parts[1:])
        while str(relative).casefold() in taken and parents:
            relative = Path(parents.pop()) / relative
        number = 2
        while str(relative).casefold() in taken:
            relative = job.relative.with_name(f"{job.relative.name}-{number}")
            number += 1
        taken.add(str(relative).casefold())
        out.append(Job(job.path, relative))
    return out


def write_examination(examination: Examination, source: SourceImage, folder: Path, *, pdf: bool = False) -> None:
    """Writes examination.json, mask.png, map.npy (where a map exists), overlay.png, report.html and, if asked for,
    report.pdf into `folder`.

    Everything is written beside it first and moved into place, so an interrupted run leaves no half-written folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    from fakeexplain.report.overlay import draw_evidence
    from fakeexplain.report.render import render_html

    score_map = examination_map(examination)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"{printable(str(folder))}: is a file, wanted a folder; remove it or choose another --out"
            )
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.", dir=folder.parent))
        try:
            mask = examination_mask(examination)
            Image.fromarray(mask.astype(np.uint8) * 255).save(scratch / "mask.png")
            if score_map is not None:
                np.save(scratch / "map.npy", score_map)
            Image.fromarray(draw_evidence(examination, source)).save(scratch / "overlay.png", compress_level=3)
            (scratch / "report.html").write_text(render_html(examination, source, score_map), encoding="utf-8")
            if pdf:
                from fakeexplain.report.pdf import render_pdf

                (scratch / "report.pdf").write_bytes(render_pdf(examination, source, score_map))
            (scratch / "examination.json").write_text(examination.to_json(), encoding="utf-8")
            scratch.chmod(0o755)
            _replace_folder(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{printable(str(folder))}: cannot be written ({error.strerror or error}); choose another --out"
        ) from None


def _replace_folder(new: Path, folder: Path) -> None:
    """Puts `new` in the place of `folder`; refuses to remove a folder that is not a result of ours."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "examination.json").exists():
            raise OutputError(
                f"{printable(str(folder))}: holds other files, wanted an empty folder; choose another --out"
            )
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.old.", dir=folder.parent))
        os.replace(folder, old / "previous")
        os.replace(new, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(new, folder)


def finished_before(job: Job, out: Path, settings: Settings) -> Examination | None:
    """The stored examination of the same bytes under the same settings and versions, None when there is none."""
    import hashlib

    stored = out / job.relative / "examination.json"
    try:
        examination = Examination.model_validate_json(stored.read_bytes())
        same_bytes = hashlib.sha256(job.path.read_bytes()).hexdigest() == examination.source.sha256
    except (OSError, ValueError):
        return None
    examiner = Examiner(settings)
    same_versions = examination.versions == versions(examiner.instruments, examiner.expert)
    wanted = [i.name for i in examiner.instruments]
    kept = examination.settings
    names = ("false_alarms", "instruments", "trust_anchors_sha256", "wording")
    now = (settings.false_alarms, wanted, settings.trust_anchors_sha256, examiner.writer.name)
    same_settings = tuple(kept.get(name) for name in names) == now
    current = examination.schema_version == SCHEMA_VERSION
    return examination if same_bytes and same_versions and same_settings and current else None


def finished_unheard(
    jobs: Sequence[Job], heard: Sequence[Outcome], out: Path, settings: Settings, since: float
) -> list[Outcome]:
    """Outcomes that workers had written when the run was interrupted, and that nobody had heard of yet.

    Args:
        since: seconds since the epoch; older results are of an earlier run.
    """
    known = {outcome.job for outcome in heard}
    found = []
    for job in jobs:
        stored = out / job.relative / "examination.json"
        try:
            fresh = job not in known and stored.stat().st_mtime >= since
        except OSError:
            continue
        if fresh and (examination := finished_before(job, out, settings)) is not None:
            found.append(Outcome(job, examination))
    return found


def examine_job(
    job: Job, settings: Settings, out: Path | None, threads: int, resume: bool, pdf: bool = False
) -> Outcome:
    """One picture from file to result folder; user errors become the outcome's `error`.

    Decoding and metadata are left to a guarded worker, so that a codec that crashes or hangs costs this picture only.
    """
    try:
        if resume and out is not None:
            before = finished_before(job, out, settings)
            if before is not None and (not pdf or (out / job.relative / "report.pdf").exists()):
                return Outcome(job, before, skipped=True)
        examiner = Examiner(settings, threads=threads)
        source = renamed(examiner.load(job.path), str(job.relative))
        examination = examiner.examine(source)
        if out is not None:
            write_examination(examination, source, out / job.relative, pdf=pdf)
        return Outcome(job, examination)
    except OutputError as error:
        return Outcome(job, error=str(error), fatal=True)
    except FakeExplainError as error:
        _mark_outdated(job, out, str(error))
        return Outcome(job, error=str(error))
    except MemoryError:
        return Outcome(
            job,
            error=f"{printable(str(job.path))}: not enough memory to examine it; lower --jobs or use a larger machine",
        )


def _mark_outdated(job: Job, out: Path | None, error: str) -> None:
    """Leaves a note beside an earlier result of a picture that can no longer be examined; a new result removes it."""
    if out is not None and (out / job.relative / "examination.json").exists():
        note = f"This result is of an earlier run. The last attempt failed:\n{error}\n"
        with suppress(OSError):
            (out / job.relative / "OUTDATED.txt").write_text(note, encoding="utf-8")


def _work(job: Job, settings: Settings, out: Path | None, resume: bool, pdf: bool) -> Outcome:
    outcome = examine_job(job, settings, out, threads=1, resume=resume, pdf=pdf)
    if outcome.examination is not None:  # maps stay in the worker: they are large and already written
        bare = tuple(e.model_copy(update={"score_map": None}) for e in outcome.examination.evidence)
        outcome = Outcome(job, outcome.examination.model_copy(update={"evidence": bare}), skipped=outcome.skipped)
    return outcome


def examine_batch(
    jobs: Sequence[Job], settings: Settings, out: Path | None, *, workers: int, resume: bool = False, pdf: bool = False
) -> Generator[Outcome, None, None]:
    """Outcomes as they arrive. When a worker process dies, its picture is found by running the unfinished ones alone.

    A worker that dies takes the pool with it; those pictures are then run one to a process.
    """
    unfinished = dict.fromkeys(jobs)
    with worker_pool(workers) as pool:
        futures = [pool.submit(_work, job, settings, out, resume, pdf) for job in jobs]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                del unfinished[outcome.job]
                yield outcome
        except BrokenProcessPool:
            pass
    for job in list(unfinished):
        with worker_pool(1) as single:
            try:
                outcome = single.submit(_work, job, settings, out, resume, pdf).result()
            except BrokenProcessPool:
                line = f"{printable(str(job.path))}: examining it brought its process down; the file may be hostile"
                outcome = Outcome(job, error=line)
        yield outcome


def write_summary(outcomes: Sequence[Outcome], out: Path) -> None:
    """OUT/summary.csv, one row a picture in the order of the jobs' relative paths.

    Cells that a spreadsheet would run as formulas are prefixed with an apostrophe. Raises OutputError.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_SUMMARY_FIELDS)
    for outcome in sorted(outcomes, key=lambda o: str(o.job.relative)):
        found = outcome.examination
        row: list[object] = [printable(str(outcome.job.relative))]
        if found is not None:
            area = round(float(examination_mask(found).mean()), 6)
            verdict = found.verdict
            row += [verdict.label, verdict.probability, verdict.log10_nfa, area, found.source.sha256, ""]
        else:
            row += ["", "", "", "", "", outcome.error]
        writer.writerow([_plain_cell(cell) for cell in row])
    try:
        handle, name = tempfile.mkstemp(dir=out, prefix=".summary.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(buffer.getvalue())
        os.chmod(name, 0o644)
        os.replace(name, out / SUMMARY_NAME)
    except OSError as error:
        raise OutputError(f"{out / SUMMARY_NAME}: cannot be written ({error.strerror or error})") from None


def _plain_cell(cell: object) -> object:
    if isinstance(cell, str) and cell[:1] in _FORMULA_STARTS:
        return "'" + cell
    return cell


def outcome_json(outcome: Outcome) -> str:
    """One JSON line: the examination, or {"source": {"name": ...}, "error": ...}."""
    if outcome.examination is not None:
        return outcome.examination.model_dump_json()
    return json.dumps(
        {"schema_version": SCHEMA_VERSION, "source": {"name": printable(str(outcome.job.path))}, "error": outcome.error}
    )
