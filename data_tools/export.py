"""Reviewed work out of the database: accepted texts, verdicts and masks as training data, with where each came from.

    python -m data_tools.review export reviews.sqlite --to jsonl --out reviewed

What is accepted: pictures one annotator finished (where one was wanted), pictures on which all agreed (the first
finished review is taken), and adjudicated ones. Of these, claims that were accepted or edited; rejected and doubted
ones are counted with their reasons and leave no text behind. An edited claim that the grounding checker did not find
supported is left out unless asked for. Everything that is left out is counted in `export.json`. Layouts are those of
`data_tools.convert` (records, LLaVA, Hugging Face, COCO), and Label Studio's. Deliberately left out: splits
(`data_tools.split`), checks (`data_tools.check`).
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from data_tools.convert.base import Item, Problems, Ready, make_ready, whole_folder, write_text
from data_tools.convert.layouts import LAYOUTS
from data_tools.export_label_studio import write_label_studio
from data_tools.review_dialogue import reviewed_dialogue
from data_tools.review_import import picture_path
from data_tools.review_rows import (
    Task,
    claims_of_task,
    done_reviews,
    draft_entry,
    inline_of,
    machine_verdict,
    state_of,
    task_of,
)
from data_tools.review_state import ClaimDecision, DraftClaim, State
from data_tools.review_store import ReviewStore
from data_tools.review_writing import now, program_version
from data_tools.schema import Message, Record
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

ExportLayout = Literal["jsonl", "llava", "huggingface", "coco", "label-studio"]
EXPORT_LAYOUTS: tuple[ExportLayout, ...] = ("jsonl", "llava", "huggingface", "coco", "label-studio")
REPORT = "export.json"


@dataclass(frozen=True)
class ExportOptions:
    """What goes out.

    Attributes:
        keep_unsupported: export edited claims that the grounding checker did not find supported, too.
        names: name the annotators; else they are "annotator 1", ...
        licence, origin: for records that state none.
        link: hard-link pictures instead of copying them.
    """

    keep_unsupported: bool = False
    names: bool = False
    licence: str = ""
    origin: str = "review"
    link: bool = False


@dataclass
class ExportReport:
    """Counts: pictures exported, pictures left out by reason, claims by what became of them."""

    layout: str
    exported: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    at: str = field(default_factory=now)

    def to_dict(self) -> dict[str, Any]:
        return {
            "layout": self.layout,
            "exported": self.exported,
            "outcomes": dict(self.outcomes),
            "verdicts": dict(self.verdicts),
            "left_out": dict(self.left_out),
            "claims": dict(self.claims),
            "rejected_reasons": dict(self.rejected),
            "problems": self.problems,
            "program": program_version(),
            "at": self.at,
        }


def export(store: ReviewStore, layout: ExportLayout, out: Path, options: ExportOptions | None = None) -> ExportReport:
    """Writes the folder `out`: all or nothing.

    Raises:
        SettingsError: no such layout. OutputError: `out` is in use or cannot be written, or nothing is accepted yet.
    """
    options = options or ExportOptions()
    if layout not in EXPORT_LAYOUTS:
        raise SettingsError(f"no layout {layout!r}; there are {', '.join(EXPORT_LAYOUTS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists and is not empty; choose another --out")
    report = ExportReport(layout)
    refuses = LAYOUTS[layout].refuses if layout in LAYOUTS else None
    items = []
    for item in accepted_items(store, report, options):
        reason = refuses(item.record, item.mask is not None) if refuses else None
        if reason is None:
            items.append(item)
        else:
            report.left_out[f"the layout cannot hold it: {reason}"] += 1
    if not items:
        raise OutputError(f"nothing to export: {json.dumps(dict(report.left_out), ensure_ascii=False)}")
    problems = Problems(store.database.path)
    writer = LAYOUTS[layout].write if layout in LAYOUTS else write_label_studio
    assert writer is not None
    _write(writer, _counted(make_ready(items, problems, link=options.link), report), out, report, problems)
    return report


def _write(
    writer: Callable[[Iterator[Ready], Path], None],
    ready: Iterator[Ready],
    out: Path,
    report: ExportReport,
    problems: Problems,
) -> None:
    with whole_folder(out) as temporary:
        writer(ready, temporary)
        report.problems = problems.texts
        report.left_out.update({"the picture cannot be read": len(problems.texts)} if problems.texts else {})
        write_text(temporary / REPORT, json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n")


def _counted(ready: Iterator[Ready], report: ExportReport) -> Iterator[Ready]:
    for item in ready:
        report.exported += 1
        report.outcomes[item.record.strata["review"]] += 1
        report.verdicts[item.record.strata["reviewer_verdict"]] += 1
        yield item


def accepted_items(store: ReviewStore, report: ExportReport, options: ExportOptions) -> Iterator[Item]:
    """Accepted reviews as items of `data_tools.convert`; the rest is counted in `report`."""
    with store.database.read() as connection:
        tasks = [int(r[0]) for r in connection.execute("SELECT id FROM tasks ORDER BY id")]
    for task_id in tasks:
        with store.database.read() as connection:
            task = task_of(connection, task_id)
            final = _final_review(connection, task)
            if final is None:
                report.left_out[_why_not(connection, task)] += 1
                continue
            record = _record(connection, task, final, report, options)
            state = state_of(connection, final)
            mask = inline_of(connection, state.mask_id) if state.verdict == "manipulated" else None
        if record is None:
            report.left_out["no claim was kept"] += 1
            continue
        try:
            file, _ = picture_path(store, task_id)
        except FakeExplainError as error:
            report.problems.append(str(error))
            continue
        yield Item(record, file, mask.mask if mask is not None else None)


def _final_review(connection: sqlite3.Connection, task: Task) -> int | None:
    if task.outcome == "adjudicated":
        row = connection.execute(
            "SELECT id FROM reviews WHERE task_id = ? AND role = 'adjudication' AND stage = 'done'", (task.id,)
        ).fetchone()
        return int(row[0])
    return done_reviews(connection, task.id)[0] if task.outcome in ("reviewed", "agreed") else None


def _why_not(connection: sqlite3.Connection, task: Task) -> str:
    if task.outcome == "disputed":
        return "waits for adjudication"
    stages = Counter(
        r[0] for r in connection.execute("SELECT stage FROM reviews WHERE task_id = ? AND role = 'review'", (task.id,))
    )
    if stages["skipped"] and not (stages["done"] or stages["review"] or stages["opinion"]):
        return "skipped by all who had it"
    return "not reviewed by all who are wanted" if stages["done"] else "not reviewed yet"


def _kept(claims: Sequence[DraftClaim], state: State, report: ExportReport, options: ExportOptions) -> dict[int, str]:
    """Claim number -> text to export."""
    kept: dict[int, str] = {}
    for claim in claims:
        decision = state.decisions.get(claim.number, ClaimDecision(decision="unsure"))
        if decision.decision == "edit" and decision.finding == "unsupported" and not options.keep_unsupported:
            report.claims["edited, but not supported by evidence"] += 1
            continue
        report.claims[
            {"accept": "accepted", "edit": "edited", "reject": "rejected"}.get(decision.decision, "unsure")
        ] += 1
        if decision.reason:
            report.rejected[decision.reason] += 1
        if decision.kept:
            kept[claim.number] = decision.text or claim.text
    return kept


def _record(
    connection: sqlite3.Connection, task: Task, review_id: int, report: ExportReport, options: ExportOptions
) -> Record | None:
    """The draft's record with what the review left of its texts; None where nothing was left."""
    state, claims, draft = state_of(connection, review_id), claims_of_task(connection, task.id), task.record
    kept = _kept(claims, state, report, options)
    dialogue: tuple[Message, ...] = reviewed_dialogue(draft, claims, kept)
    if not dialogue:
        return None
    machine = machine_verdict(draft)
    strata = {"review": task.outcome, "reviewer_verdict": str(state.verdict)}
    if machine is not None:
        strata["verdict"] = machine.label
    return draft.updated(
        sha256=task.sha256,
        width=task.width,
        height=task.height,
        mask=None,
        # A person who finds nothing has not shown that a picture is authentic.
        label="forged" if state.verdict == "manipulated" else "unknown",
        dialogue=dialogue,
        description=" ".join(kept[n] for n in sorted(kept)),
        history=(*_history(draft), provenance(connection, task, review_id, options)),
        origin=options.origin if draft.origin in ("", "draft") else draft.origin,
        licence=draft.licence or ((options.licence,) if options.licence else ()),
        strata=draft.strata | strata,
    )


def _history(draft: Record) -> Iterator[dict[str, Any]]:
    """The draft's history without its claims, for a rejected text must not come back by another door; and the
    examination entry that training takes the verdict from.
    """
    for entry in draft.history:
        yield {k: v for k, v in entry.items() if k != "claims"} if entry.get("on") == "draft" else entry
    found = draft_entry(draft)
    if machine_verdict(draft) is not None and not any(e.get("on") == "examination" for e in draft.history):
        yield {"on": "examination"} | {key: found[key] for key in ("verdict", "quality") if key in found}


def provenance(connection: sqlite3.Connection, task: Task, review_id: int, options: ExportOptions) -> dict[str, Any]:
    """Where a record comes from: draft, people, decisions claim by claim (rejected texts left out), times, versions."""
    state = state_of(connection, review_id)
    reviews = connection.execute(
        "SELECT r.id, r.role, r.seconds, r.finished_at, r.annotator_id, a.name FROM reviews r "
        "JOIN annotators a ON a.id = r.annotator_id WHERE r.task_id = ? AND r.stage = 'done' ORDER BY r.finished_at",
        (task.id,),
    ).fetchall()
    last = connection.execute("SELECT MAX(id), COUNT(*) FROM events WHERE review_id = ?", (review_id,)).fetchone()
    mask = connection.execute("SELECT sha256, area FROM masks WHERE id = ?", (state.mask_id,)).fetchone()
    draft_mask = state.mask_id is not None and state.mask_id == task.draft_mask_id
    return {
        "on": "review",
        "outcome": task.outcome,
        "verdict": state.verdict,
        "blind": task.blind,
        "opinion_before_draft": state.opinion_verdict,
        "claims": [
            {"claim": number} | decision.model_dump(mode="json", exclude_defaults=True, exclude={"text", "note"})
            for number, decision in sorted(state.decisions.items())
        ],
        "mask": {"sha256": mask["sha256"], "area": mask["area"], "from_draft": draft_mask}
        if mask is not None
        else None,
        "reviews": [
            {
                "by": r["name"] if options.names else f"annotator {r['annotator_id']}",
                "role": r["role"],
                "seconds": round(r["seconds"], 1),
                "finished_at": r["finished_at"],
            }
            for r in reviews
        ],
        "draft": {"model": task.model, "config_hash": task.config_hash},
        "events": {"last": last[0], "count": last[1]},
        "program": program_version(),
    }
