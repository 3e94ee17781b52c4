"""What leaves a case: a BagIt bag, a report for people, JSON; each in full or redacted, and each recorded in the log.

A redacted export carries the log with openings taken away (the same chain, the same head), and of every examination the
redacted copy whose hash the log holds since the examination was made. Originals stay behind, for they carry EXIF; their
hashes are in the log. Left out: sending anything anywhere.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeexplain.casework.bag import MANIFEST, bag_files, manifest_of
from fakeexplain.casework.case import Case
from fakeexplain.casework.case_report import report_files
from fakeexplain.casework.errors import CaseDamagedError
from fakeexplain.casework.log import LOG_NAME
from fakeexplain.casework.records import Exported
from fakeexplain.casework.redaction import (
    KINDS,
    REDACTION_NAME,
    redaction_record,
    stays_out,
)
from fakeexplain.casework.sealing import sha256_of
from fakeexplain.casework.storage import shown, write_folder
from fakeexplain.casework.transaction import EXAMINATIONS
from fakeexplain.casework.verify import CASE_IN_BAG, expected_files, verify
from fakeexplain.casework.view import View, view_of
from fakeexplain.errors import OutputError, SettingsError


@dataclass(frozen=True)
class Export:
    """What was handed out: where, the head it holds or shows, the case's head after it was recorded, kinds left out."""

    path: Path
    head_inside: str
    head: str
    fields: dict[str, int]
    files: int


def pack(
    case: Case,
    bag: str | os.PathLike[str],
    *,
    redact: bool = False,
    redact_remarks: bool = False,
    actor: str | None = None,
) -> Export:
    """Writes the case into a new BagIt bag that another person can verify, and records that.

    Raises:
        CaseDamagedError: the case does not verify; a bag of it would not, either.
        OutputError: the bag exists already or cannot be written. SettingsError: it would lie inside the case.
    """
    bag = _outside(case, bag)
    check = verify(case.path, lock_timeout=case.lock_timeout)
    if not check.intact:
        raise CaseDamagedError(
            f"{shown(case.path)}: {len(check.problems)} problems, the first: {check.problems[0]}; nothing was packed"
        )
    view = view_of(case, redact=redact, redact_remarks=redact_remarks)
    inside = CASE_IN_BAG.removeprefix("data/")
    payload: dict[str, bytes | Path] = {f"{inside}/{LOG_NAME}": b"".join(n.encode() for n in view.reading.lines)}
    for name in expected_files(view.state):
        if not redact or not stays_out(name):
            payload[f"{inside}/{name}"] = case.path / name
    if view.redacted is not None:
        for number, copy in view.redacted.items():
            payload[f"{inside}/{EXAMINATIONS}/{number}/examination.json"] = copy
        payload[f"{inside}/{REDACTION_NAME}"] = redaction_record(view.reading, view.state, view.redacted)
    payload.update({f"report/{name}": content for name, content in report_files(view).items()})
    info = {
        "External-Identifier": view.state.case_id,
        "External-Description": f"{'Redacted case' if redact else 'Case'} folder of fakeexplain and its report",
        "Internal-Sender-Description": f"Log head {view.reading.head}",
    }
    try:
        files = bag_files(payload, info)
    except OSError as error:
        raise CaseDamagedError(f"{shown(case.path)}: cannot be read ({error.strerror or error})") from None
    write_folder(bag, files)
    written = verify(bag)
    if not written.intact:
        raise OutputError(f"{shown(bag)}: does not verify after writing ({written.problems[0]}); check the disk")
    manifest = files[MANIFEST]
    assert isinstance(manifest, bytes)
    return _recorded(case, view, "pack", bag, sha256_of(manifest), len(payload), actor)


def write_report(
    case: Case,
    out: str | os.PathLike[str],
    *,
    redact: bool = False,
    redact_remarks: bool = False,
    actor: str | None = None,
) -> Export:
    """Writes index.html and a page for each examination into a new folder, and records their hashes.

    Raises:
        CaseDamagedError: what is to be shown is not as recorded.
        OutputError: the folder exists already or cannot be written. SettingsError: it would lie inside the case.
    """
    out = _outside(case, out)
    view = view_of(case, redact=redact, redact_remarks=redact_remarks)
    files = report_files(view)
    write_folder(out, files)
    manifest = manifest_of({name: sha256_of(content) for name, content in files.items()})
    return _recorded(case, view, "report", out, sha256_of(manifest), len(files), actor)


def _recorded(case: Case, view: View, action: Any, path: Path, digest: str, files: int, actor: str | None) -> Export:
    left_out = tuple(kind for kind in KINDS if view.fields.get(kind))
    payload = Exported(redacted=left_out, head=view.reading.head, manifest_sha256=digest, files=files)
    head = case.record_export(action, payload, actor=actor)
    return Export(path, view.reading.head, head, view.fields, files)


def _outside(case: Case, target: str | os.PathLike[str]) -> Path:
    path = Path(target)
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(case.path)):
        raise SettingsError(f"{shown(path)}: lies inside the case, wanted a place outside of it")
    return path


def case_json(view: View) -> dict[str, Any]:
    """The whole case as one JSON object: items, examinations in full, remarks, statuses, log, head."""
    state = view.state
    items = []
    for item in state.items.values():
        examinations = []
        for number in item.examinations:
            logged = state.examinations[number]
            stored = view.redacted[number] if view.redacted is not None else None
            examination = json.loads(stored) if stored else view.examination(number).model_dump(mode="json")
            statuses = {
                e["id"]: remark.note.status
                for e in examination["evidence"]
                if (remark := state.status_of(number, e["id"])) is not None
            }
            examinations.append(
                {
                    "id": number,
                    "time": logged.time,
                    "actor": logged.actor,
                    "files": {n: f.model_dump() for n, f in logged.examined.files.items()},
                    "statuses": statuses,
                    "examination": examination,
                }
            )
        receipts = [{"time": e.time, "actor": e.actor, **a.model_dump()} for e, a in item.receipts]
        items.append(
            {
                "id": item.id,
                "sha256": item.sha256,
                "size": item.size,
                "receipts": receipts,
                "failures": [{"time": t, "error": e} for t, e in item.failures],
                "examinations": examinations,
                "remarks": [
                    {"sequence": r.sequence, "time": r.time, "actor": r.actor, **r.note.model_dump()}
                    for r in state.remarks
                    if r.note.item == item.id
                ],
            }
        )
    return {
        "format": "fakeexplain-case-export/1",
        "case_id": state.case_id,
        "title": state.title,
        "head": view.reading.head,
        "entries": len(view.reading.lines),
        "redacted": view.fields,
        "items": items,
    }
