"""Rows of the review database as records: tasks, claims, events, masks, and the view of a review that a person gets.

The view is where blind mode is kept: before a person's own opinion is in, it holds neither the draft's claims, nor its
evidence, mask or verdict, nor the name of the file. Deliberately left out: everything that writes (`review_store`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from data_tools.review_state import (
    ClaimDecision,
    DraftClaim,
    Event,
    Outcome,
    ReviewError,
    Role,
    State,
    fold,
    missing,
)
from data_tools.schema import InlineMask, Record
from fakeexplain.records import Verdict

AGREED_IOU = 0.5  # masks of two people that overlap less are disputed


@dataclass(frozen=True)
class Task:
    """One draft to be reviewed; `record` is the draft as it came, `wanted` the number of annotators."""

    id: int
    import_id: int
    record: Record
    sha256: str
    width: int
    height: int
    draft_mask_id: int | None
    model: str
    config_hash: str
    blind: bool
    wanted: int
    outcome: Outcome

    @property
    def verdict(self) -> Verdict | None:
        """The machine's verdict, where the draft holds one."""
        return machine_verdict(self.record)


@dataclass(frozen=True)
class OtherReview:
    """What one annotator said, as shown to whoever adjudicates: under a letter, without the name."""

    letter: str
    state: State
    mask: InlineMask | None


@dataclass(frozen=True)
class ReviewView:
    """What a person sees of a review.

    Attributes:
        record, claims, draft_mask: of the draft; None and empty while `revealed` is False.
        mask, mask_area: the person's mask as it stands.
        last_event: id of the last event, for `Stamp.after`.
        missing: what is left to do before it can be finished.
        others: in an adjudication, what the annotators said.
    """

    id: int
    task_id: int
    role: Role
    width: int
    height: int
    blind: bool
    revealed: bool
    state: State
    record: Record | None
    claims: tuple[DraftClaim, ...]
    mask: InlineMask | None
    mask_area: int
    draft_mask: InlineMask | None
    last_event: int
    missing: tuple[str, ...]
    outcome: Outcome
    seconds: float
    others: tuple[OtherReview, ...] = ()


def draft_entry(record: Record) -> dict[str, Any]:
    """The last entry of the history that a draft wrote; {} where there is none."""
    return next((e for e in reversed(record.history) if e.get("on") == "draft"), {})


def machine_verdict(record: Record) -> Verdict | None:
    """Of the draft entry in the history; None where there is none that can be read."""
    found = draft_entry(record).get("verdict")
    try:
        return Verdict.model_validate(found) if isinstance(found, dict) else None
    except ValueError:
        return None


def task_of(connection: sqlite3.Connection, task_id: int) -> Task:
    """Raises ReviewError where there is no such task."""
    row = connection.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if row is None:
        raise ReviewError(f"no picture {task_id} in this database")
    values = {key: row[key] for key in row.keys() if key not in ("record", "key", "image", "blind")}  # noqa: SIM118
    return Task(record=Record.from_json(row["record"]), blind=bool(row["blind"]), **values)


def claims_of_task(connection: sqlite3.Connection, task_id: int) -> tuple[DraftClaim, ...]:
    rows = connection.execute("SELECT * FROM claims WHERE task_id = ? ORDER BY number", (task_id,))
    return tuple(
        DraftClaim(r["number"], r["text"], tuple(json.loads(r["evidence_ids"])), r["turn"], r["section"], r["finding"])
        for r in rows
    )


def events_of(connection: sqlite3.Connection, review_id: int) -> list[Event]:
    rows = connection.execute("SELECT * FROM events WHERE review_id = ? ORDER BY id", (review_id,))
    return [
        Event(
            r["id"],
            r["kind"],
            json.loads(r["before"]),
            json.loads(r["after"]),
            r["claim"],
            r["mask_id"],
            r["undoes"],
            r["at"],
            r["seconds"],
        )
        for r in rows
    ]


def state_of(connection: sqlite3.Connection, review_id: int) -> State:
    return fold(events_of(connection, review_id))


def mask_row(connection: sqlite3.Connection, mask_id: int) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute("SELECT * FROM masks WHERE id = ?", (mask_id,)).fetchone()
    return row


def inline_of(connection: sqlite3.Connection, mask_id: int | None) -> InlineMask | None:
    if mask_id is None:
        return None
    row = mask_row(connection, mask_id)
    return InlineMask(size=(row["height"], row["width"]), counts=row["counts"])


def view_of(connection: sqlite3.Connection, review_id: int) -> ReviewView:
    row = connection.execute("SELECT * FROM reviews WHERE id = ?", (review_id,)).fetchone()
    task, events = task_of(connection, row["task_id"]), events_of(connection, review_id)
    state = fold(events)
    revealed = row["role"] == "adjudication" or not task.blind or any(e.kind == "opinion" for e in events)
    claims = claims_of_task(connection, task.id) if revealed else ()
    area = mask_row(connection, state.mask_id)["area"] if state.mask_id is not None else 0
    return ReviewView(
        id=review_id,
        task_id=task.id,
        role=row["role"],
        width=task.width,
        height=task.height,
        blind=task.blind,
        revealed=revealed,
        state=state,
        record=task.record if revealed else None,
        claims=claims,
        mask=inline_of(connection, state.mask_id),
        mask_area=area,
        draft_mask=inline_of(connection, task.draft_mask_id) if revealed else None,
        last_event=events[-1].id,
        missing=tuple(missing(state, claims, area)) if state.stage in ("opinion", "review") else (),
        outcome=task.outcome,
        seconds=row["seconds"],
        others=others_of(connection, task.id) if row["role"] == "adjudication" else (),
    )


def done_reviews(connection: sqlite3.Connection, task_id: int) -> list[int]:
    """Ids of the finished reviews of a task, the first finished first; adjudications apart."""
    rows = connection.execute(
        "SELECT id FROM reviews WHERE task_id = ? AND role = 'review' AND stage = 'done' ORDER BY finished_at, id",
        (task_id,),
    )
    return [int(r[0]) for r in rows]


def others_of(connection: sqlite3.Connection, task_id: int) -> tuple[OtherReview, ...]:
    found = []
    for index, review_id in enumerate(done_reviews(connection, task_id)):
        state = state_of(connection, review_id)
        found.append(OtherReview(chr(ord("A") + index % 26), state, inline_of(connection, state.mask_id)))
    return tuple(found)


def mask_overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Intersection over union of two bool HxW masks; 1 where both are empty."""
    union = int(np.logical_or(one, two).sum())
    return 1.0 if union == 0 else int(np.logical_and(one, two).sum()) / union


def same_mask(connection: sqlite3.Connection, one: State, two: State) -> bool:
    """Whether two states agree on the place; only where both say that there is one."""
    if one.mask_id == two.mask_id or "manipulated" not in (one.verdict, two.verdict):
        return True
    masks = [inline_of(connection, s.mask_id) for s in (one, two)]
    if masks[0] is None or masks[1] is None:
        return False
    return mask_overlap(masks[0].mask(), masks[1].mask()) >= AGREED_IOU


def disputes(connection: sqlite3.Connection, review_ids: Sequence[int]) -> list[str]:
    """What finished reviews of one task differ in: "verdict", "mask", "claim 3", ...; nothing where they agree."""
    states = [state_of(connection, i) for i in review_ids]
    found = set[str]()
    for one, two in combinations(states, 2):
        if one.verdict != two.verdict:
            found.add("verdict")
        elif not same_mask(connection, one, two):
            found.add("mask")
        for number, decision in one.decisions.items():
            if number not in two.decisions or not decision.same_as(two.decisions[number]):
                found.add(f"claim {number}")
    return sorted(found)


def agreed_start(connection: sqlite3.Connection, task: Task) -> tuple[dict[str, Any], int | None]:
    """(`after` of the opening event, mask id) of an adjudication: what all reviews agree on, the rest open."""
    states = [state_of(connection, i) for i in done_reviews(connection, task.id)]
    first = states[0]
    agreed: dict[str, Any] = {}
    for number, decision in first.decisions.items():
        if all(number in s.decisions and decision.same_as(s.decisions[number]) for s in states):
            agreed[str(number)] = decision.model_dump(mode="json")
    verdict = first.verdict if all(s.verdict == first.verdict for s in states) else None
    same = all(same_mask(connection, first, s) for s in states[1:])
    mask_id = first.mask_id if same else task.draft_mask_id
    return {"stage": "review", "decisions": agreed, "verdict": verdict}, mask_id


def taken(connection: sqlite3.Connection, task_id: int) -> int:
    """How many people are, or were, on a task."""
    row = connection.execute(
        "SELECT COUNT(*) FROM reviews WHERE task_id = ? AND role = 'review' AND stage IN ('opinion', 'review', 'done')",
        (task_id,),
    ).fetchone()
    return int(row[0])


def free_task(connection: sqlite3.Connection, annotator_id: int) -> int | None:
    """The first task that wants somebody and that this person has not had."""
    row = connection.execute(
        "SELECT t.id FROM tasks t WHERE t.outcome = 'open' "
        "AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.task_id = t.id AND r.annotator_id = ? AND r.role = 'review' "
        "AND r.stage != 'released') "
        "AND (SELECT COUNT(*) FROM reviews r WHERE r.task_id = t.id AND r.role = 'review' "
        "AND r.stage IN ('opinion', 'review', 'done')) < t.wanted ORDER BY t.id LIMIT 1",
        (annotator_id,),
    ).fetchone()
    return None if row is None else int(row[0])


def own_row(connection: sqlite3.Connection, review_id: int, annotator_id: int) -> sqlite3.Row:
    """The row of a review. Raises ReviewError where it is not this person's."""
    row: sqlite3.Row | None = connection.execute("SELECT * FROM reviews WHERE id = ?", (review_id,)).fetchone()
    if row is None or row["annotator_id"] != annotator_id:
        raise ReviewError(f"review {review_id} is not yours; load the page again")
    return row


def plain(decision: ClaimDecision | None) -> dict[str, Any] | None:
    return None if decision is None else decision.model_dump(mode="json", exclude_defaults=True)
