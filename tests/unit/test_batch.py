"""Batches: names of result folders, a worker that dies, atomic replacement, spreadsheet-safe cells."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

from fakeexplain.batch import (
    Job,
    Outcome,
    examine_batch,
    examine_job,
    find_pictures,
    finished_unheard,
    write_summary,
)
from fakeexplain.examiner import Settings
from tests.pictures import encode, photograph


class DeadlyPath:
    """A path that ends the process in which it is opened, unless that is the main one: a decoder that crashes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __fspath__(self) -> str:
        if multiprocessing.parent_process() is not None:
            os._exit(9)
        return self.name

    def __str__(self) -> str:
        return self.name


def test_one_dead_worker_costs_one_picture(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(encode(photograph("rocket")[:200, :200]))
    jobs = [Job(tmp_path / f"{i}.png", Path(f"{i}.png")) for i in range(3)]
    jobs.insert(1, Job(DeadlyPath("deadly.jpg"), Path("deadly.jpg")))
    found = {
        str(o.job.relative): o
        for o in examine_batch(jobs, Settings(instruments=("metadata",)), tmp_path / "out", workers=2)
    }
    assert set(found) == {"0.png", "1.png", "2.png", "deadly.jpg"}
    assert "deadly.jpg" in found["deadly.jpg"].error
    assert all(found[f"{i}.png"].examination for i in range(3))
    assert (tmp_path / "out/2.png/report.html").exists()


def test_result_folders_never_collide(tmp_path):
    for folder in ("a", "b", "a/deep"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "photo.jpg").write_bytes(b"x")
    (tmp_path / "b" / "PHOTO.JPG").write_bytes(b"x")
    jobs, errors = find_pictures([tmp_path / "a", tmp_path / "b", tmp_path / "a/photo.jpg", tmp_path / "a/photo.jpg"])
    assert not errors
    names = [str(j.relative).casefold() for j in jobs]
    assert len(set(names)) == len(names) == 6
    assert "photo.jpg" in names
    assert os.path.join("deep", "photo.jpg") in names


def test_folders_without_pictures_are_told(tmp_path):
    (tmp_path / "letter.txt").write_text("hello")
    jobs, errors = find_pictures([tmp_path])
    assert not jobs
    assert "no pictures" in errors[0]


def test_summary_cells_are_no_formulas(tmp_path):
    names = ("=1+1.jpg", "+x.jpg", "＝1.jpg", "plain.jpg")
    outcomes = [Outcome(Job(Path(n), Path(n)), error="@SUM(A1)") for n in names]
    write_summary(outcomes, tmp_path)
    lines = (tmp_path / "summary.csv").read_text().splitlines()[1:]
    assert [line[:2] for line in lines] == ["'+", "'=", "pl", "'＝"]
    assert all(line.endswith("'@SUM(A1)") for line in lines)


def test_what_finished_while_a_run_was_interrupted_is_counted(tmp_path):
    """A picture whose result was written, but not yet heard of, was once missing from the summary."""
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(encode(photograph("rocket")))
    jobs, out = find_pictures([tmp_path])[0], tmp_path / "out"
    settings = Settings(instruments=("metadata",), expert=None)
    heard = [examine_job(jobs[0], settings, out, 1, resume=False)]
    examine_job(jobs[1], settings, out, 1, resume=False)
    found = finished_unheard(jobs, heard, out, settings, 0.0)
    assert [o.job for o in found] == [jobs[1]]
    assert found[0].examination is not None
    assert finished_unheard(jobs, heard, out, settings, time.time() + 60) == [], "an earlier run's"
    (tmp_path / "b.png").write_bytes(b"changed since")
    assert finished_unheard(jobs, heard, out, settings, 0.0) == []
