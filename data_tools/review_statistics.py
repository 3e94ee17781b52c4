"""Where the work stands: counts of outcomes, people, decisions, reasons and time, and the list of tasks.

Deliberately left out: agreement (`review_agreement`).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from data_tools.review_rows import state_of
from data_tools.review_store import ReviewStore


@dataclass(frozen=True)
class Person:
    """One annotator: reviews by stage, adjudications done, seconds of work in all and median of a finished review."""

    name: str
    done: int
    open: int
    skipped: int
    adjudicated: int
    seconds: float
    median_seconds: float | None


@dataclass(frozen=True)
class Progress:
    """Counts over the whole database; `slots` are reviews wanted, `slots_done` those finished."""

    tasks: int
    blind: int
    slots: int
    slots_done: int
    outcomes: dict[str, int]
    people: tuple[Person, ...]
    verdicts: dict[str, int]
    decisions: dict[str, int]
    reject_reasons: dict[str, int]
    skip_reasons: dict[str, int]
    unsupported_edits: int
    events: int
    undone: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def progress(store: ReviewStore) -> Progress:
    """Figures of finished and skipped reviews are those of people's reviews; adjudications are counted apart."""
    with store.database.read() as connection:
        tasks = connection.execute("SELECT COUNT(*), TOTAL(blind), TOTAL(wanted) FROM tasks").fetchone()
        outcomes = dict(connection.execute("SELECT outcome, COUNT(*) FROM tasks GROUP BY outcome").fetchall())
        verdicts, decisions, reasons, skips = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        unsupported = done = 0
        rows = connection.execute(
            "SELECT id, stage FROM reviews WHERE role = 'review' AND stage IN ('done', 'skipped')"
        )
        for row in rows.fetchall():
            state = state_of(connection, row["id"])
            if row["stage"] == "skipped":
                skips[state.skip_reason] += 1
                continue
            done += 1
            verdicts[str(state.verdict)] += 1
            for decision in state.decisions.values():
                decisions[decision.decision] += 1
                reasons.update([decision.reason] if decision.reason else [])
                unsupported += decision.finding == "unsupported"
        events, undone = connection.execute("SELECT COUNT(*), COUNT(undoes) FROM events").fetchone()
        people = tuple(_person(connection, r) for r in connection.execute("SELECT * FROM annotators").fetchall())
    return Progress(
        tasks=int(tasks[0]),
        blind=int(tasks[1]),
        slots=int(tasks[2]),
        slots_done=done,
        outcomes=outcomes,
        people=people,
        verdicts=dict(verdicts.most_common()),
        decisions=dict(decisions.most_common()),
        reject_reasons=dict(reasons.most_common()),
        skip_reasons=dict(skips.most_common()),
        unsupported_edits=unsupported,
        events=events,
        undone=undone,
    )


def _person(connection: sqlite3.Connection, row: sqlite3.Row) -> Person:
    query = "SELECT role, stage, seconds FROM reviews WHERE annotator_id = ?"
    reviews = connection.execute(query, (row["id"],)).fetchall()
    own = [r for r in reviews if r["role"] == "review"]
    times = [r["seconds"] for r in own if r["stage"] == "done"]
    stages = Counter(r["stage"] for r in own)
    return Person(
        name=row["name"],
        done=stages["done"],
        open=stages["opinion"] + stages["review"],
        skipped=stages["skipped"],
        adjudicated=sum(r["role"] == "adjudication" and r["stage"] == "done" for r in reviews),
        seconds=round(sum(r["seconds"] for r in reviews), 1),
        median_seconds=round(median(times), 1) if times else None,
    )


def personal_progress(store: ReviewStore, annotator_id: int) -> dict[str, int]:
    """{"done", "open", "skipped", "left", "tasks", "disputed"} of one person; `left` are tasks still to be had."""
    with store.database.read() as connection:
        stages = dict(
            connection.execute(
                "SELECT stage, COUNT(*) FROM reviews WHERE annotator_id = ? AND role = 'review' GROUP BY stage",
                (annotator_id,),
            ).fetchall()
        )
        left = connection.execute(
            "SELECT COUNT(*) FROM tasks t WHERE t.outcome = 'open' AND NOT EXISTS (SELECT 1 FROM reviews r WHERE "
            "r.task_id = t.id AND r.annotator_id = ? AND r.role = 'review' AND r.stage != 'released') AND (SELECT "
            "COUNT(*) FROM reviews r WHERE r.task_id = t.id AND r.role = 'review' AND r.stage IN "
            "('opinion', 'review', 'done')) < t.wanted",
            (annotator_id,),
        ).fetchone()[0]
        tasks, disputed = connection.execute("SELECT COUNT(*), TOTAL(outcome = 'disputed') FROM tasks").fetchone()
    return {
        "done": stages.get("done", 0),
        "open": stages.get("opinion", 0) + stages.get("review", 0),
        "skipped": stages.get("skipped", 0),
        "left": int(left),
        "tasks": int(tasks),
        "disputed": int(disputed),
    }


def task_list(
    store: ReviewStore,
    *,
    annotator_id: int | None = None,
    outcome: str | None = None,
    limit: int = 500,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Tasks in order: {"task", "outcome", "wanted", "done", "blind", "image", "stage"}.

    Args:
        annotator_id: whose `stage` is told; the picture's name is left out ("") where it may say too much, which is
            in a blind task before that person's own opinion is in. None: for whoever runs the command line, all names.
    """
    with store.database.read() as connection:
        rows = connection.execute(
            "SELECT t.id, t.outcome, t.wanted, t.blind, t.image, m.stage, m.id AS review_id, "
            "(SELECT COUNT(*) FROM reviews r WHERE r.task_id = t.id AND r.role = 'review' "
            "AND r.stage = 'done') AS done "
            "FROM tasks t LEFT JOIN reviews m ON m.task_id = t.id AND m.annotator_id = ? AND m.role = 'review' "
            "WHERE (? IS NULL OR t.outcome = ?) ORDER BY t.id LIMIT ? OFFSET ?",
            (annotator_id, outcome, outcome, limit, offset),
        ).fetchall()
        opinions = {
            int(r[0])
            for r in connection.execute(
                "SELECT DISTINCT e.review_id FROM events e JOIN reviews r ON r.id = e.review_id "
                "WHERE e.kind = 'opinion' AND r.annotator_id = ?",
                (annotator_id,),
            )
        }
    found = []
    for row in rows:
        hidden = annotator_id is not None and row["blind"] and row["review_id"] not in opinions
        found.append(
            {
                "task": row["id"],
                "outcome": row["outcome"],
                "wanted": row["wanted"],
                "done": row["done"],
                "blind": bool(row["blind"]),
                "image": "" if hidden else row["image"],
                "stage": row["stage"] or "",
            }
        )
    return found
