"""What the log of a case says, action by action, and what follows from it: items, examinations, remarks, statuses.

The state of a case is nothing but its log replayed, so that there is no second truth to disagree with. Left out: how
the log is stored and chained (`log`), and the files (`case`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, ValidationError

from fakeexplain.records import Record

Status = Literal["open", "accepted", "rejected", "needs second opinion"]
STATUSES: tuple[Status, ...] = ("open", "accepted", "rejected", "needs second opinion")
Action = Literal["new", "add", "examine", "examine_failed", "note", "report", "pack", "recover"]

StoredName = Literal["examination.json", "mask.png", "overlay.png", "report.html", "salts.json"]

_ITEM = r"^I[1-9][0-9]*$"
_EXAMINATION = r"^X[1-9][0-9]*$"
_EVIDENCE = r"^E[1-9][0-9]*$"
_SHA256 = r"^[0-9a-f]{64}$"
Sha256 = Field(pattern=_SHA256)


class FileFacts(Record):
    """A stored file: sha256 and size in bytes."""

    sha256: str = Sha256
    size: int


class Opened(Record):
    """`new`: the case was opened."""

    format: Literal["fakeexplain-case/1"]
    case_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    title: str


class Added(Record):
    """`add`: a file was received. `again`: its bytes were there already, nothing was copied.

    `received_name` and `received_path` are data, never used as a path; `modified` is the file system's time of the
    file outside, UTC.
    """

    item: str = Field(pattern=_ITEM)
    sha256: str = Sha256
    size: int
    received_name: str
    received_path: str
    modified: str
    again: bool


class Examined(Record):
    """`examine`: files by name within the examination's folder; the sealed examination's hash; the answer.

    `redacted_sha256` is the hash of the redacted copy of examination.json, which an export may carry in its place.
    """

    item: str = Field(pattern=_ITEM)
    examination: str = Field(pattern=_EXAMINATION)
    files: dict[StoredName, FileFacts]
    redacted_sha256: str = Sha256
    label: Literal["manipulated", "no_evidence", "inconclusive"]
    probability: float


class Failed(Record):
    """`examine_failed`: an item that cannot be examined, and why."""

    item: str = Field(pattern=_ITEM)
    error: str


class Noted(Record):
    """`note`: a remark on an item, an examination or one piece of its evidence; with a status, `text` is the reason."""

    item: str = Field(pattern=_ITEM)
    examination: str | None = Field(default=None, pattern=_EXAMINATION)
    evidence: str | None = Field(default=None, pattern=_EVIDENCE)
    status: Status | None = None
    text: str


class Exported(Record):
    """`report` and `pack`: what was handed out. `head` is the log head that the export shows or holds.

    `manifest_sha256` is the hash of a list of all files: of a bag's manifest-sha256.txt, or of a report's files as
    lines "SHA256  NAME".
    """

    redacted: tuple[str, ...]
    head: str = Sha256
    manifest_sha256: str = Sha256
    files: int


class Recovered(Record):
    """`recover`: the log ended in a line that was not finished; its bytes, which nobody was told were recorded."""

    size: int
    sha256: str = Sha256
    base64: str


PAYLOADS: dict[str, type[Record]] = {
    "new": Opened,
    "add": Added,
    "examine": Examined,
    "examine_failed": Failed,
    "note": Noted,
    "report": Exported,
    "pack": Exported,
    "recover": Recovered,
}
# What is sealed in an entry: JSON pointer -> kind.
SEALED_FIELDS: dict[str, dict[str, str]] = {
    "new": {"/payload/title": "name"},
    "add": {"/payload/received_name": "file name", "/payload/received_path": "path"},
    "examine_failed": {"/payload/error": "text"},
    "note": {"/payload/text": "remark"},
    "recover": {"/payload/base64": "text"},
}


class Entry(Record):
    """One entry of the log.

    Attributes:
        sequence: 1, 2, 3, ...
        time: UTC by this machine's clock, ISO 8601 with microseconds.
        actor: who acted, as given or the user's name.
        payload: see the record of the action.
        versions: of everything that can change a figure.
        settings: of the examination; empty for other actions.
        weights: file -> sha256 of the trained weights used; empty for other actions, or if there are none.
        previous: hash of the entry before, 64 zeros for the first.
    """

    sequence: int
    time: str
    actor: str
    action: Action
    payload: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    weights: dict[str, str]
    previous: str = Sha256


@dataclass(frozen=True)
class Remark:
    """A `note` with its place in the log."""

    sequence: int
    time: str
    actor: str
    note: Noted


@dataclass
class ExaminationEntry:
    """An examination as logged."""

    sequence: int
    time: str
    actor: str
    examined: Examined
    settings: dict[str, Any]
    versions: dict[str, str]


@dataclass
class Item:
    """One original: its bytes' hash, every receipt, its examinations in order, failed attempts (time, error)."""

    id: str
    sha256: str
    size: int
    receipts: list[tuple[Entry, Added]] = field(default_factory=list)
    examinations: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.receipts[0][1].received_name


@dataclass
class CaseState:
    """What the log adds up to."""

    case_id: str = ""
    title: str = ""
    entries: list[Entry] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    examinations: dict[str, ExaminationEntry] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    def remarks_on(self, examination: str, evidence: str) -> list[Remark]:
        return [r for r in self.remarks if (r.note.examination, r.note.evidence) == (examination, evidence)]

    def status_of(self, examination: str, evidence: str) -> Remark | None:
        """The last remark that set a status; None while the finding is open and nobody said anything."""
        return next((r for r in reversed(self.remarks_on(examination, evidence)) if r.note.status is not None), None)


def replay(entries: Iterable[Entry]) -> tuple[CaseState, list[str]]:
    """(state, what in the entries does not fit together). Entries that do not fit are passed over."""
    state, problems = CaseState(), []
    for entry in entries:
        state.entries.append(entry)
        try:
            problem = _apply(state, entry)
        except ValidationError as error:
            fault = error.errors()[0]
            problem = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        if problem:
            problems.append(f"log entry {entry.sequence} ({entry.action}): {problem}")
    return state, problems


def _apply(state: CaseState, entry: Entry) -> str:
    """Adds one entry to the state; what does not fit, or ""."""
    payload = PAYLOADS[entry.action].model_validate(entry.payload)
    if (entry.action == "new") != (entry.sequence == 1):
        return "a case is opened once, by its first entry"
    if isinstance(payload, Opened):
        state.case_id, state.title = payload.case_id, payload.title
    elif isinstance(payload, Added):
        return _add(state, entry, payload)
    elif isinstance(payload, Examined | Failed | Noted) and payload.item not in state.items:
        return f"there is no item {payload.item}"
    elif isinstance(payload, Examined):
        if payload.examination != f"X{len(state.examinations) + 1}":
            return f"examination {payload.examination}, wanted X{len(state.examinations) + 1}"
        found = ExaminationEntry(entry.sequence, entry.time, entry.actor, payload, entry.settings, entry.versions)
        state.examinations[payload.examination] = found
        state.items[payload.item].examinations.append(payload.examination)
    elif isinstance(payload, Failed):
        state.items[payload.item].failures.append((entry.time, payload.error))
    elif isinstance(payload, Noted):
        if payload.examination is not None and payload.examination not in state.items[payload.item].examinations:
            return f"there is no examination {payload.examination} of {payload.item}"
        state.remarks.append(Remark(entry.sequence, entry.time, entry.actor, payload))
    return ""


def _add(state: CaseState, entry: Entry, payload: Added) -> str:
    item = state.items.get(payload.item)
    if item is None:
        same = [i.id for i in state.items.values() if i.sha256 == payload.sha256]
        if payload.again or same or payload.item != f"I{len(state.items) + 1}":
            return f"{payload.item} does not continue the items"
        item = state.items[payload.item] = Item(payload.item, payload.sha256, payload.size)
    elif not payload.again or (item.sha256, item.size) != (payload.sha256, payload.size):
        return f"{payload.item} was received before with other bytes"
    item.receipts.append((entry, payload))
    return ""
