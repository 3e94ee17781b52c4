"""What every action in a review writes: the entry of the log, the task's outcome, mask versions, begun reviews.

All functions run inside a transaction of the caller. Deliberately left out: whether the action is allowed
(`review_store`).
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import uuid
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from data_tools.review_rows import Task, agreed_start, disputes, task_of
from data_tools.review_state import ReviewError, Role
from data_tools.rle import mask_to_rle

STALE_HOURS = 24.0  # a task that was opened, and nothing done on it for so long, may go to somebody else
_MOST_SECONDS = 3600.0  # of one action; longer ones were spent elsewhere


@cache
def program_version() -> str:
    try:
        return f"fakeexplain {version('fakeexplain')}"
    except PackageNotFoundError:
        return "fakeexplain (not installed)"


def now() -> str:
    """UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def log_event(
    connection: sqlite3.Connection,
    review_id: int,
    task: Task,
    kind: str,
    event: dict[str, Any],
    seconds: float,
    action_id: str,
) -> None:
    spent = min(max(float(seconds), 0.0), _MOST_SECONDS) if math.isfinite(seconds) else 0.0
    texts = [json.dumps(event.get(key), ensure_ascii=False) for key in ("before", "after")]
    values = (event.get("claim"), *texts, event.get("mask_id"), event.get("undoes"), now(), spent)
    connection.execute(
        "INSERT INTO events (review_id, task_id, action_id, kind, claim, before, after, mask_id, undoes, at, "
        "seconds, model, config_hash, program) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (review_id, task.id, action_id, kind, *values, task.model, task.config_hash, program_version()),
    )
    connection.execute("UPDATE reviews SET seconds = seconds + ? WHERE id = ?", (spent, review_id))


def settle(connection: sqlite3.Connection, task: Task, role: Role) -> None:
    rows = connection.execute(
        "SELECT id, role, stage FROM reviews WHERE task_id = ? AND stage IN ('opinion', 'review', 'done')",
        (task.id,),
    ).fetchall()
    judged = [r for r in rows if r["role"] == "adjudication"]
    if role == "review" and judged:
        raise ReviewError("the adjudication of this picture has begun; its reviews stay as they are")
    done = [int(r["id"]) for r in rows if r["role"] == "review" and r["stage"] == "done"]
    if any(r["stage"] == "done" for r in judged):
        outcome = "adjudicated"
    elif len(done) < task.wanted:
        outcome = "open"
    elif len(done) == 1:
        outcome = "reviewed"
    else:
        outcome = "disputed" if disputes(connection, done) else "agreed"
    connection.execute("UPDATE tasks SET outcome = ? WHERE id = ?", (outcome, task.id))


def open_review(connection: sqlite3.Connection, task_id: int, annotator_id: int, role: Role = "review") -> int:
    task = task_of(connection, task_id)
    start: dict[str, Any] = {"stage": "opinion" if task.blind and role == "review" else "review"}
    mask_id = task.draft_mask_id if start["stage"] == "review" else None
    if role == "adjudication":
        start, mask_id = agreed_start(connection, task)
    at = now()
    cursor = connection.execute(
        "INSERT INTO reviews (task_id, annotator_id, role, stage, opened_at, changed_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (task_id, annotator_id, role) DO UPDATE SET stage = excluded.stage, "
        "opened_at = excluded.opened_at, changed_at = excluded.changed_at RETURNING id",
        (task_id, annotator_id, role, start["stage"], at, at),
    )
    review_id = int(cursor.fetchone()[0])
    event = {"after": start, "mask_id": mask_id}
    log_event(connection, review_id, task, "opened", event, 0.0, uuid.uuid4().hex)
    return review_id


def release_stale(connection: sqlite3.Connection, annotator_id: int) -> int:
    """Frees tasks that others opened long ago without doing anything; returns how many."""
    limit = datetime.now(timezone.utc) - timedelta(hours=STALE_HOURS)
    rows = connection.execute(
        "SELECT id, task_id FROM reviews WHERE role = 'review' AND stage IN ('opinion', 'review') "
        "AND annotator_id != ? AND changed_at < ? AND changed_at = opened_at",
        (annotator_id, limit.isoformat(timespec="milliseconds")),
    ).fetchall()
    for row in rows:
        event = {"before": None, "after": {"stage": "released"}}
        log_event(connection, row["id"], task_of(connection, row["task_id"]), "released", event, 0.0, uuid.uuid4().hex)
        connection.execute("UPDATE reviews SET stage = 'released' WHERE id = ?", (row["id"],))
    return len(rows)


def store_mask(connection: sqlite3.Connection, task_id: int, mask: np.ndarray) -> int:
    """The id of a mask version (bool HxW); equal masks of one task are stored once."""
    runs = mask_to_rle(mask)
    height, width = mask.shape
    digest = hashlib.sha256(f"{height} {width} {runs['counts']}".encode()).hexdigest()
    connection.execute(
        "INSERT OR IGNORE INTO masks (task_id, sha256, height, width, counts, area) VALUES (?, ?, ?, ?, ?, ?)",
        (task_id, digest, height, width, runs["counts"], int(mask.sum())),
    )
    found = connection.execute("SELECT id FROM masks WHERE task_id = ? AND sha256 = ?", (task_id, digest)).fetchone()
    return int(found[0])
