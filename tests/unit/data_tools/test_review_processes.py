"""Processes: a kill at any moment loses nothing acknowledged; two annotators at once do not disturb each other."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from data_tools.review_import import ImportPlan
from data_tools.review_rows import events_of, view_of
from data_tools.review_state import fold
from data_tools.review_statistics import progress
from data_tools.review_store import ReviewStore, Stamp
from tests.unit.data_tools.review_cases import fresh_store, review_all, square

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None


def _work(path: Path, seed: int, acknowledged: int) -> None:
    """Decides at random for ever and writes the id of each action into a pipe once it is acknowledged."""
    rng = random.Random(seed)
    store = ReviewStore(path)
    who = store.annotator(f"worker {seed}")
    review = store.next_review(who).id
    number = 0
    while True:
        number += 1
        action = f"{seed}-{number}"
        stamp = Stamp(seconds=0.1, action_id=action)
        kind = rng.randrange(4)
        if kind == 0:
            store.set_mask(review, who, square(rng.randrange(60)), stamp)
        elif kind == 1:
            store.set_verdict(review, who, rng.choice(["manipulated", "no_evidence"]), stamp)
        elif kind == 2 and number % 5 == 0 and store.view(review, who).state.undo is not None:
            store.undo(review, who, stamp)
        else:
            store.decide(review, who, rng.randrange(1, 5), {"decision": rng.choice(["accept", "unsure"])}, stamp)
        os.write(acknowledged, f"{action}\n".encode())


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_loses_nothing_acknowledged(tmp_path, seed):
    with fresh_store(tmp_path, 1, ImportPlan(annotators=6)) as store:
        path = store.database.path
    reading, writing = os.pipe()
    process = FORK.Process(target=_work, args=(path, seed, writing), daemon=True)
    process.start()
    os.close(writing)
    first = os.read(reading, 64)  # it is at work
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    rest = b"".join(iter(lambda: os.read(reading, 65536), b""))
    os.close(reading)
    acknowledged = (first + rest).decode().split()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        stored = {row[0] for row in raw.execute("SELECT action_id FROM events")}
    assert acknowledged
    assert set(acknowledged) <= stored
    assert len(stored) - len(acknowledged) <= 2  # the opening, and one action that was stored but not yet told
    with ReviewStore(path) as again:
        view = again.next_review(again.annotator(f"worker {seed}"))
        with again.database.read() as connection:
            assert fold(events_of(connection, view.id)) == view_of(connection, view.id).state


def _annotate(path: Path, name: str, decision: str) -> None:
    with ReviewStore(path) as store:
        who = store.annotator(name)
        while (view := store.next_review(who)) is not None:
            review_all(store, view, who, decision=decision)


def test_two_annotators_at_once(tmp_path):
    with fresh_store(tmp_path, 6, ImportPlan(annotators=2, overlap=0.5)) as store:
        path = store.database.path
        slots = progress(store).slots
    assert 6 < slots < 12
    workers = [FORK.Process(target=_annotate, args=(path, name, "accept")) for name in ("Anna", "Ben")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    with ReviewStore(path) as store:
        found = progress(store)
        assert found.slots_done == slots
        assert found.outcomes == {"agreed": slots - 6, "reviewed": 12 - slots}
        assert sum(p.done for p in found.people) == slots
        assert found.events == slots * 8  # opened, four claims, verdict, mask, finished


@pytest.mark.parametrize("number", range(8))
def test_processes_that_make_the_database_at_once(tmp_path, number):
    path = tmp_path / "reviews.sqlite"
    start = FORK.Barrier(6)

    def work() -> None:
        start.wait(60)
        ReviewStore(path, create=True).annotator("Anna")

    workers = [FORK.Process(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    with ReviewStore(path) as store:
        assert len(progress(store).people) == 1
