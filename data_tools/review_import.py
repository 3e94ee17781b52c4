"""Drafts into the review database: from JSONL, from a data set, or from a folder of pictures (drafted on the way).

A draft is split into claims: those that `data_tools.drafts` wrote down in its history entry, else the sentences of the
assistant's turns, else those of the description. Pictures stay where they are; their sha256 is checked now and again
when they are shown. What is in the database already is passed over, so an import can be repeated and goes on where it
stopped. Deliberately left out: how drafts are written (`data_tools.drafts`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.convert.base import pictures
from data_tools.convert.lists import MANIFEST
from data_tools.drafts import write_drafts
from data_tools.review_rows import draft_entry, machine_verdict
from data_tools.review_state import DraftClaim, ReviewError, cited_ids
from data_tools.review_store import ReviewStore
from data_tools.review_writing import now, program_version, store_mask
from data_tools.schema import Message, Record, is_file, read_lines, read_mask, resolve
from fakeexplain.errors import FakeExplainError, SettingsError, SourceError
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage

DRAFTS = "drafts.jsonl"
_CITATION_AFTER = re.compile(r"([.!?])\s+(\[E\d+(?:\s*[,;]\s*E\d+)*\])(?=\s|$)")
_BETWEEN = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')]))(?<!e\.g\.)(?<!i\.e\.)(?<!approx\.)\s+(?=[\"'(]?[A-Z0-9])")
_CALL = re.compile(r"measure \w+ on R\d+")


@dataclass(frozen=True)
class ImportPlan:
    """How drafts are to be reviewed.

    Attributes:
        annotators: people for a picture that is reviewed by several.
        overlap: share of such pictures, in [0, 1]; the others get one. Drawn by the draft's hash, so it is repeatable.
        blind: the draft stays hidden until a person's own opinion is in.
    """

    annotators: int = 1
    overlap: float = 1.0
    blind: bool = False

    def wanted(self, key: str) -> int:
        return self.annotators if int(key[:8], 16) / 2**32 < self.overlap else 1


@dataclass
class ImportOutcome:
    """Counts of an import, and one line for each draft that could not be taken."""

    added: int = 0
    there: int = 0
    problems: tuple[str, ...] = ()


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, with the citations that belong to them.

    >>> split_sentences("It is so [E1]. It was 3.5 here. [E2] So be it.")
    ['It is so [E1].', 'It was 3.5 here. [E2]', 'So be it.']
    """
    found: list[str] = []
    for line in _CITATION_AFTER.sub("\\1 \\2\n", text).splitlines():
        found += [s for s in _BETWEEN.split(line.strip()) if s]
    return found


def answers(dialogue: Sequence[Message]) -> list[int]:
    """Indexes of the assistant's turns that state something: tool calls are left out."""
    return [
        i
        for i, m in enumerate(dialogue)
        if m.role == "assistant" and not _CALL.fullmatch(m.content.strip()) and m.content.strip()
    ]


def claims_of_draft(record: Record) -> tuple[DraftClaim, ...]:
    """The claims of a draft in order; () where it holds no text."""
    turns = answers(record.dialogue)
    claims: list[DraftClaim] = []
    if rows := _rows(draft_entry(record).get("claims")):
        starts = _turns_of(rows, [record.dialogue[i].content for i in turns])
        for number, (row, which) in enumerate(zip(rows, starts, strict=True), start=1):
            turn = turns[which] if turns else -1
            ids = tuple(str(i) for i in row.get("evidence_ids") or cited_ids(row["text"]))
            claims.append(DraftClaim(number, row["text"], ids, turn, str(row.get("section", "finding"))))
        return tuple(claims)
    texts = [(i, s) for i in turns for s in split_sentences(record.dialogue[i].content)]
    texts = texts or [(-1, s) for s in split_sentences(record.description)]
    return tuple(DraftClaim(n, s, cited_ids(s), turn) for n, (turn, s) in enumerate(texts, start=1))


def _rows(claims: Any) -> list[dict[str, Any]]:
    rows = claims if isinstance(claims, list) else []
    return [r for r in rows if isinstance(r, dict) and isinstance(r.get("text"), str) and r["text"].strip()]


def _turns_of(rows: Sequence[dict[str, Any]], contents: Sequence[str]) -> list[int]:
    """Which answer each claim is part of: claims come in the order of the answers that they make up."""
    found, which = [], 0
    for row in rows:
        here = next((k for k in range(which, len(contents)) if row["text"] in contents[k]), which)
        which = here
        found.append(which)
    return found


def draft_mask(record: Record, root: Path, height: int, width: int) -> np.ndarray | None:
    """The place a draft marks (bool HxW): its mask, else the regions of the evidence that its verdict rests on.

    Raises:
        SourceError: a mask that cannot be read, or not of the picture's size.
    """
    if record.mask is not None:
        mask = read_mask(record.mask, root)
        if mask.shape != (height, width):
            raise SourceError(f"the mask is {mask.shape[1]}x{mask.shape[0]}, the picture {width}x{height} pixels")
        return mask if mask.any() else None
    verdict = machine_verdict(record)
    deciding = verdict.deciding_ids if verdict is not None else ()
    regions = [r for e in record.evidence if e.id in deciding for r in e.areas]
    masks = [decode_mask(r.mask) for r in regions if (r.mask.height, r.mask.width) == (height, width)]
    return np.logical_or.reduce(masks) if masks else None


def draft_origin(record: Record) -> tuple[str, str]:
    """(model, config hash): who worded the draft, and a digest of the versions and settings it was made with."""
    entry, found = draft_entry(record), draft_entry(record).get("verdict")
    verdict = found if isinstance(found, dict) else {}
    settings = {key: verdict.get(key) for key in ("threshold_log10", "expert_threshold_log10", "false_alarms")}
    config = {"versions": entry.get("versions", {}), "label_blind": entry.get("label_blind"), "settings": settings}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()
    return str(entry.get("worded_by") or record.origin or "not stated"), digest


def import_drafts(
    store: ReviewStore,
    path: Path,
    plan: ImportPlan | None = None,
    *,
    finding_of: Callable[[DraftClaim, Record], str] | None = None,
    step: Callable[[], None] = lambda: None,
) -> ImportOutcome:
    """Adds drafts to the queue.

    Args:
        path: JSONL of drafts; JSONL or folder of a data set; or a folder of pictures. Where there are no drafts yet,
            they are made beside the database (about a second of one core for a megapixel).
        finding_of: the grounding checker's word on a claim of the draft.
        step: called after each picture.

    Raises:
        SettingsError: a plan out of range. SourceError: nothing to import. OutputError: it cannot be written.
    """
    plan = plan or ImportPlan()
    if not (1 <= plan.annotators <= 26 and 0 <= plan.overlap <= 1):
        raise SettingsError(
            f"annotators {plan.annotators}, overlap {plan.overlap}; wanted 1 to 26 annotators and a share from 0 to 1"
        )
    problems: list[str] = []
    file = _drafts_file(store, path, problems, step)
    outcome = ImportOutcome()
    root = _stored_root(file.parent, store.database.path.parent)
    import_id: int | None = None
    for line, record in read_lines(file):
        step()
        try:
            if isinstance(record, str):
                raise SourceError(record)
            key = hashlib.sha256(record.to_json().encode()).hexdigest()
            row = _task_row(record, file.parent)
            claims = claims_of_draft(record)
            if not claims:
                raise SourceError("holds no draft; write drafts with python -m data_tools.drafts")
            mask = draft_mask(record, file.parent, row["height"], row["width"])
        except FakeExplainError as error:
            problems.append(f"line {line}: {error}")
            continue
        findings = [finding_of(c, record) if finding_of else "unchecked" for c in claims]
        with store.database.write() as connection:
            if connection.execute("SELECT 1 FROM tasks WHERE key = ?", (key,)).fetchone():
                outcome.there += 1
                continue
            if import_id is None:
                import_id = _add_import(connection, path, root, plan)
            _add_task(connection, import_id, key, row, plan, claims, findings, mask)
        outcome.added += 1
    outcome.problems = tuple(problems)
    return outcome


def _drafts_file(store: ReviewStore, path: Path, problems: list[str], step: Callable[[], None]) -> Path:
    """The JSONL with drafts; drafts of plain pictures and data sets are written beside the database."""
    if path.is_dir():
        named = next((path / n for n in (DRAFTS, MANIFEST) if (path / n).is_file()), None)
        inputs = [named] if named is not None else pictures(path)
        if not inputs:
            raise SourceError(f"{path}: neither {DRAFTS} nor {MANIFEST} nor pictures in it")
    elif path.is_file():
        inputs = [path]
    else:
        raise SourceError(f"{path}: no such file or folder; wanted drafts (.jsonl) or a folder of pictures")
    first = inputs[0]
    listed = first.suffix.lower() in (".jsonl", ".ndjson")
    if listed and any(isinstance(r, Record) and claims_of_draft(r) for _, r in islice(read_lines(first), 50)):
        return first
    out = store.database.path.with_name(f"{store.database.path.stem}-drafts") / DRAFTS
    for problem in write_drafts(inputs, out):
        step()
        if problem is not None:
            problems.append(problem)
    if not out.is_file() or not out.stat().st_size:
        raise SourceError(f"{path}: no draft could be made: {'; '.join(problems[:3])}")
    return out


def _task_row(record: Record, root: Path) -> dict[str, Any]:
    """Columns of a task; the picture is read only where the record does not say how large it is.

    Raises:
        SourceError: the picture is not there, or is another one than was drafted for.
    """
    file = resolve(root, record.image)
    if not is_file(file):
        raise SourceError(f"{record.image} does not exist")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{record.image}: cannot be read ({error.strerror or error})") from None
    digest = hashlib.sha256(data).hexdigest()
    if record.sha256 is not None and record.sha256 != digest:
        raise SourceError(f"{record.image} is another file now than when it was drafted (sha256 {digest})")
    height, width = record.height, record.width
    if height is None or width is None:
        source = SourceImage.from_bytes(data, name="picture")
        height, width = source.height, source.width
    model, config_hash = draft_origin(record)
    values = {"image": record.image, "sha256": digest, "width": width, "height": height, "record": record.to_json()}
    return values | {"model": model, "config_hash": config_hash}


def _stored_root(folder: Path, base: Path) -> str:
    """The folder of the pictures, relative to the database where both are on one drive: they can be moved together."""
    try:
        return Path(os.path.relpath(folder.resolve(), base.resolve())).as_posix()
    except ValueError:
        return str(folder.resolve())


def _add_import(connection: sqlite3.Connection, path: Path, root: str, plan: ImportPlan) -> int:
    cursor = connection.execute(
        "INSERT INTO imports (path, root, annotators, overlap, at, program) VALUES (?, ?, ?, ?, ?, ?)",
        (str(path), root, plan.annotators, plan.overlap, now(), program_version()),
    )
    return int(cursor.lastrowid or 0)


def _add_task(
    connection: sqlite3.Connection,
    import_id: int,
    key: str,
    row: dict[str, Any],
    plan: ImportPlan,
    claims: Sequence[DraftClaim],
    findings: Sequence[str],
    mask: np.ndarray | None,
) -> None:
    columns = row | {"import_id": import_id, "key": key, "blind": int(plan.blind), "wanted": plan.wanted(key)}
    marks = ", ".join("?" for _ in columns)
    cursor = connection.execute(f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values()))
    task_id = int(cursor.lastrowid or 0)
    connection.executemany(
        "INSERT INTO claims (task_id, number, turn, text, evidence_ids, section, finding) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (task_id, c.number, c.turn, c.text, json.dumps(c.evidence_ids), c.section, finding)
            for c, finding in zip(claims, findings, strict=True)
        ],
    )
    if mask is not None:
        mask_id = store_mask(connection, task_id, mask)
        connection.execute("UPDATE tasks SET draft_mask_id = ? WHERE id = ?", (mask_id, task_id))


def picture_path(store: ReviewStore, task_id: int) -> tuple[Path, str]:
    """(file, sha256 it must have) of a task's picture.

    Raises:
        ReviewError: no such task. SourceError: the path leads out of its folder.
    """
    with store.database.read() as connection:
        row = connection.execute(
            "SELECT t.image, t.sha256, i.root FROM tasks t JOIN imports i ON i.id = t.import_id WHERE t.id = ?",
            (task_id,),
        ).fetchone()
    if row is None:
        raise ReviewError(f"no picture {task_id} in this database")
    return resolve(store.database.path.parent / row["root"], row["image"]), row["sha256"]
