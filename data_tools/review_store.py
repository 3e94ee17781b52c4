"""Reviews of drafts in a database: queues, decisions, undo, adjudication. Everything a person does is one transaction.

A task (one draft) wants one or more annotators. `next_review` hands tasks out so that no more than wanted work on one;
who skips frees the place. When all wanted reviews are done and differ, the task is disputed and waits for an
adjudication, which is a review of the same kind by whoever decides, started from what the others agreed on. In blind
mode a view holds nothing of the draft before the person's own verdict is in. What the same client sends twice (after
an answer was lost) is done once. Names are not checked: whoever can reach the database can say who they are.
Deliberately left out: import (`review_import`), figures over many reviews (`review_statistics`), export.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.review_database import ReviewDatabase
from data_tools.review_rows import (
    ReviewView,
    Task,
    claims_of_task,
    events_of,
    free_task,
    mask_row,
    own_row,
    plain,
    state_of,
    taken,
    task_of,
    view_of,
)
from data_tools.review_state import (
    SKIP_REASONS,
    ReviewError,
    State,
    as_verdict,
    clean_text,
    make_decision,
    missing,
)
from data_tools.review_writing import log_event, now, open_review, release_stale, settle, store_mask
from fakeexplain.imaging.source import printable

Checker = Callable[[str, Task], tuple[str, tuple[str, ...]]]  # sentence, its task -> (finding, problems)


@dataclass(frozen=True)
class Stamp:
    """What comes with every action: seconds of work on it, the client's id for it, the last event the client saw.

    `action_id` "" makes a new one. `after` None does not care what happened meanwhile.
    """

    seconds: float = 0.0
    action_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    after: int | None = None


class ReviewStore:
    """See the module.

    Args:
        path: of the database.
        create: make it where there is none.
        checker: says of an edited sentence whether evidence carries it; None leaves it "unchecked".

    Raises:
        SourceError, OutputError: as `ReviewDatabase`.
    """

    def __init__(self, path: Path, *, create: bool = False, checker: Checker | None = None) -> None:
        self.database = ReviewDatabase(path, create=create)
        self._checker = checker

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> ReviewStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- people and queues

    def annotator(self, name: str) -> int:
        """The id of a person, who is added on first sight; capitals do not matter.

        Raises:
            ReviewError: an empty or endless name.
        """
        cleaned = clean_text(printable(name, 80), "the name")
        if not cleaned or len(name) > 80:
            raise ReviewError("say who you are: a name of 1 to 80 characters")
        with self.database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO annotators (name, since) VALUES (?, ?)", (cleaned, now()))
            row = connection.execute("SELECT id FROM annotators WHERE name = ?", (cleaned,)).fetchone()
        return int(row[0])

    def need_annotator(self, annotator_id: int) -> None:
        """Raises ReviewError for an id that nobody has."""
        with self.database.read() as connection:
            if connection.execute("SELECT 1 FROM annotators WHERE id = ?", (annotator_id,)).fetchone() is None:
                raise ReviewError("say who you are first")

    def next_review(self, annotator_id: int) -> ReviewView | None:
        """The review to go on with: an unfinished one of this person's, else a new one; None when all is done."""
        with self.database.write() as connection:
            row = connection.execute(
                "SELECT id FROM reviews WHERE annotator_id = ? AND role = 'review' AND stage IN ('opinion', 'review') "
                "ORDER BY task_id LIMIT 1",
                (annotator_id,),
            ).fetchone()
            if row is not None:
                return view_of(connection, int(row[0]))
            found = free_task(connection, annotator_id)
            if found is None and release_stale(connection, annotator_id):
                found = free_task(connection, annotator_id)
            return None if found is None else view_of(connection, open_review(connection, found, annotator_id))

    def open_task(self, task_id: int, annotator_id: int) -> ReviewView:
        """This person's review of a task, begun if it is free.

        Raises:
            ReviewError: no such task, or as many people as wanted are on it.
        """
        with self.database.write() as connection:
            task = task_of(connection, task_id)
            row = connection.execute(
                "SELECT id FROM reviews WHERE task_id = ? AND annotator_id = ? AND role = 'review' "
                "AND stage != 'released'",
                (task_id, annotator_id),
            ).fetchone()
            if row is not None:
                return view_of(connection, int(row[0]))
            if taken(connection, task_id) >= task.wanted:
                raise ReviewError(f"picture {task_id} has as many annotators as are wanted ({task.wanted})")
            return view_of(connection, open_review(connection, task_id, annotator_id))

    def view(self, review_id: int, annotator_id: int) -> ReviewView:
        """Raises ReviewError for a review of somebody else, or none."""
        with self.database.read() as connection:
            own_row(connection, review_id, annotator_id)
            return view_of(connection, review_id)

    def adjudicate(self, task_id: int, annotator_id: int) -> ReviewView:
        """The adjudication of a disputed task, begun with what all agreed on.

        Raises:
            ReviewError: the task is not disputed, or somebody else adjudicates it.
        """
        with self.database.write() as connection:
            task = task_of(connection, task_id)
            row = connection.execute(
                "SELECT id, annotator_id FROM reviews WHERE task_id = ? AND role = 'adjudication' "
                "AND stage IN ('review', 'done')",
                (task_id,),
            ).fetchone()
            if row is not None and row["annotator_id"] != annotator_id:
                raise ReviewError(f"picture {task_id} is being adjudicated by somebody else")
            if row is not None:
                return view_of(connection, int(row["id"]))
            if task.outcome != "disputed":
                raise ReviewError(f"picture {task_id} is {task.outcome}; only disputed ones are adjudicated")
            return view_of(connection, open_review(connection, task_id, annotator_id, role="adjudication"))

    # ---- decisions

    def decide(self, review_id: int, annotator_id: int, claim: int, values: dict[str, Any], stamp: Stamp) -> ReviewView:
        """Accepts, edits, rejects or doubts one claim; `values` as `make_decision` takes them."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "review")
            if claim not in {c.number for c in claims_of_task(connection, task.id)}:
                raise ReviewError(f"no claim {claim} in this draft")
            decision = make_decision(values, [e.id for e in task.record.evidence])
            if decision.decision == "edit":
                finding, problems = self._checker(decision.text, task) if self._checker else ("unchecked", ())
                decision = decision.model_copy(update={"finding": finding, "problems": problems})
            before = state.decisions.get(claim)
            return {"claim": claim, "before": plain(before), "after": plain(decision)}

        return self._act(review_id, annotator_id, "claim", change, stamp)

    def set_verdict(self, review_id: int, annotator_id: int, verdict: object, stamp: Stamp) -> ReviewView:
        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "opinion", "review")
            return {"before": state.verdict, "after": as_verdict(verdict)}

        return self._act(review_id, annotator_id, "verdict", change, stamp)

    def set_mask(self, review_id: int, annotator_id: int, mask: np.ndarray, stamp: Stamp) -> ReviewView:
        """A new version of the mask: bool HxW in the source frame."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "opinion", "review")
            if mask.shape != (task.height, task.width) or mask.dtype != bool:
                raise ReviewError(
                    f"the mask is {mask.shape} of {mask.dtype}; wanted bool {task.height}x{task.width}, as the picture"
                )
            mask_id = store_mask(connection, task.id, mask)
            return {"mask_id": mask_id, "before": state.mask_id, "after": mask_id}

        return self._act(review_id, annotator_id, "mask", change, stamp)

    def take_draft_mask(self, review_id: int, annotator_id: int, stamp: Stamp) -> ReviewView:
        """Replaces the mask by the draft's."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "review")
            if task.draft_mask_id is None:
                raise ReviewError("the draft marks no place")
            return {"mask_id": task.draft_mask_id, "before": state.mask_id, "after": task.draft_mask_id}

        return self._act(review_id, annotator_id, "mask", change, stamp)

    def set_note(self, review_id: int, annotator_id: int, text: str, stamp: Stamp) -> ReviewView:
        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "opinion", "review")
            return {"before": state.note, "after": clean_text(text, "the note")}

        return self._act(review_id, annotator_id, "note", change, stamp)

    def reveal(self, review_id: int, annotator_id: int, stamp: Stamp) -> ReviewView:
        """Blind mode: sets this person's own opinion down for good and shows the draft."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "opinion")
            if state.verdict is None:
                raise ReviewError("give your own verdict first; the draft is shown after that")
            opinion = {"verdict": state.verdict, "mask": state.mask_id}
            return {"before": None, "after": opinion, "mask_id": state.mask_id}

        return self._act(review_id, annotator_id, "opinion", change, stamp)

    def finish(self, review_id: int, annotator_id: int, stamp: Stamp) -> ReviewView:
        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "opinion", "review")
            area = mask_row(connection, state.mask_id)["area"] if state.mask_id is not None else 0
            if left := missing(state, claims_of_task(connection, task.id), area):
                raise ReviewError(f"not finished: {'; '.join(left)}")
            return {"before": {"stage": state.stage}, "after": {"stage": "done"}}

        return self._act(review_id, annotator_id, "finished", change, stamp)

    def skip(self, review_id: int, annotator_id: int, reason: str, stamp: Stamp) -> ReviewView:
        """Leaves the task to somebody else; `reason` is a code of SKIP_REASONS."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "opinion", "review")
            if reason not in SKIP_REASONS:
                raise ReviewError(f"reason {reason!r}; wanted one of {', '.join(SKIP_REASONS)}")
            return {"before": {"stage": state.stage}, "after": {"reason": reason}}

        return self._act(review_id, annotator_id, "skipped", change, stamp)

    def reopen(self, review_id: int, annotator_id: int, stamp: Stamp) -> ReviewView:
        """Takes a finished or skipped review up again."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            _need(state, "done", "skipped")
            events = events_of(connection, review_id)
            blind = (
                task.blind and not any(e.kind == "opinion" for e in events) and events[0].after["stage"] == "opinion"
            )
            return {"before": {"stage": state.stage}, "after": {"stage": "opinion" if blind else "review"}}

        return self._act(review_id, annotator_id, "reopened", change, stamp)

    def undo(self, review_id: int, annotator_id: int, stamp: Stamp) -> ReviewView:
        """Takes back the last action that is not taken back yet."""

        def change(connection: sqlite3.Connection, task: Task, state: State) -> dict[str, Any]:
            if state.undo is None:
                raise ReviewError("nothing to undo")
            done = state.undo
            return {"before": done.after, "after": done.before, "undoes": done.id}

        return self._act(review_id, annotator_id, "undo", change, stamp)

    # ---- inside

    def _act(
        self,
        review_id: int,
        annotator_id: int,
        kind: str,
        change: Callable[[sqlite3.Connection, Task, State], dict[str, Any]],
        stamp: Stamp,
    ) -> ReviewView:
        """One action: checked against the state it meets, logged, and its consequences stored, or nothing at all."""
        action_id = stamp.action_id or uuid.uuid4().hex
        with self.database.write() as connection:
            row = own_row(connection, review_id, annotator_id)
            known = connection.execute(
                "SELECT review_id, kind FROM events WHERE action_id = ?", (action_id,)
            ).fetchone()
            if known is not None:
                if (known["review_id"], known["kind"]) != (review_id, kind):
                    raise ReviewError("this action id was used for something else; reload the page")
                return view_of(connection, review_id)
            task, state = task_of(connection, row["task_id"]), state_of(connection, review_id)
            last = events_of(connection, review_id)[-1].id
            if stamp.after is not None and stamp.after != last:
                raise ReviewError("this review was changed in another window meanwhile; it was loaded again")
            event = change(connection, task, state)
            log_event(connection, review_id, task, kind, event, stamp.seconds, action_id)
            self._follow(connection, row, task, state)
            return view_of(connection, review_id)

    def _follow(self, connection: sqlite3.Connection, row: sqlite3.Row, task: Task, before: State) -> None:
        """Stores the stage that the log now leads to, and the task's outcome with it."""
        state = state_of(connection, row["id"])
        was_open, is_open = before.stage != "skipped", state.stage != "skipped"
        if row["role"] == "review" and is_open and not was_open and taken(connection, task.id) >= task.wanted:
            raise ReviewError("somebody else has taken this picture meanwhile")
        finished = now() if state.stage == "done" else None
        connection.execute(
            "UPDATE reviews SET stage = ?, changed_at = ?, finished_at = ? WHERE id = ?",
            (state.stage, now(), finished, row["id"]),
        )
        if state.stage != before.stage:
            settle(connection, task, row["role"])


def _need(state: State, *stages: str) -> None:
    """Raises ReviewError where the review is at another stage."""
    says = {
        "opinion": "give your own verdict first, then show the draft",
        "review": "the draft is shown already; your first opinion stays as you gave it",
        "done": "this review is finished; reopen it to change it",
        "skipped": "you skipped this picture; reopen it to go on",
        "released": "this picture went to somebody else; ask for the next one",
    }
    if state.stage not in stages:
        raise ReviewError(says[state.stage])
