"""The case folder: create, open, add, examine, note; every action is one log entry, on the medium before it returns.

    CASE/log.jsonl             the log; the only truth about what the case holds
    CASE/originals/SHA256      what was received, bit by bit, read-only
    CASE/examinations/X1/...   examination.json, mask.png, overlay.png, report.html, salts.json, read-only
    CASE/staging/              files of the action that is being recorded; empty in between
    CASE/lock                  empty; held while a command writes

Left out: how an action survives a crash (`transaction`), checking a whole case (`verify`), and exports (`export`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from fakeexplain.casework.errors import CaseDamagedError, CaseError
from fakeexplain.casework.log import LOG_NAME, make_line
from fakeexplain.casework.records import (
    Action,
    Added,
    CaseState,
    Examined,
    Exported,
    Failed,
    FileFacts,
    Item,
    Noted,
    Opened,
    Status,
    StoredName,
)
from fakeexplain.casework.redaction import sensitive_fields
from fakeexplain.casework.sealing import canonical, seal, sha256_of
from fakeexplain.casework.storage import copy_exactly, read_regular, require_folder, shown, write_folder, write_new
from fakeexplain.casework.transaction import (
    EXAMINATIONS,
    LOCK,
    ORIGINALS,
    Transaction,
    make_entry,
    read_case_log,
    state_of,
    transaction,
)
from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.examiner import Examiner, examination_map, examination_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Examination

DEFAULT_LOCK_TIMEOUT = 30.0  # seconds


class Case:
    """A case folder.

    Args:
        path: the folder itself, not a link to it.
        lock_timeout: seconds to wait for another process that is working on the case.

    Attributes:
        notices: what had to be mended after an interruption, as sentences to show to the user.

    Raises:
        CaseError: `path` is no case folder.
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_timeout: float = DEFAULT_LOCK_TIMEOUT) -> None:
        self.path = Path(path)
        self.lock_timeout = lock_timeout
        self.notices: list[str] = []
        require_folder(self.path)
        if not os.path.lexists(self.path / LOG_NAME):
            raise CaseError(f"{shown(self.path)}: holds no {LOG_NAME}; wanted a case folder, see `case new`")

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, title: str = "", actor: str | None = None) -> tuple[Case, str]:
        """A new case; returns it with its log head. Raises OutputError: the folder exists or cannot be written."""
        path = Path(path)
        payload = Opened(format="fakeexplain-case/1", case_id=uuid.uuid4().hex, title=title)
        line = make_line(make_entry([], "new", payload, actor))
        write_folder(path, {LOG_NAME: line.encode(), LOCK: b""})
        return cls(path), line.hash

    def state(self) -> CaseState:
        """The case as logged. Raises CaseDamagedError."""
        return state_of(self.path, read_case_log(self.path))

    def transaction(self) -> AbstractContextManager[Transaction]:
        """See `transaction.transaction`; everything that adds to the case goes through it."""
        return transaction(self.path, self.lock_timeout, self.notices)

    def add(self, picture: str | os.PathLike[str], *, actor: str | None = None) -> tuple[Added, str]:
        """Receives a file: copied bit by bit, or recognised as one that is there. Returns (record, log head).

        Raises:
            SourceError: the file cannot be read, or changed meanwhile.
            OutputError, CaseLockedError, CaseDamagedError: see `transaction`.
        """
        outside = Path(picture)
        with self.transaction() as visit:
            staged = visit.stage(f"{ORIGINALS}/incoming")
            sha256, size = copy_exactly(outside, staged)
            known = next((i.id for i in visit.state.items.values() if i.sha256 == sha256), None)
            if known is None:
                os.rename(staged, staged.with_name(sha256))
            else:
                self.original(visit.state.items[known])  # what is said to be there is there
                staged.unlink()
            payload = Added(
                item=known or f"I{len(visit.state.items) + 1}",
                sha256=sha256,
                size=size,
                received_name=outside.name,
                received_path=str(outside.absolute()),
                modified=_modified(outside),
                again=known is not None,
            )
            return payload, visit.commit("add", payload, actor)

    def original(self, item: Item) -> bytes:
        """The bytes of an original. Raises CaseDamagedError if they are not those that were received."""
        path = self.path / ORIGINALS / item.sha256
        try:
            data = read_regular(path)
        except OSError as error:
            raise CaseDamagedError(
                f"{shown(path)}: the original of {item.id} cannot be read ({error.strerror or error})"
            ) from None
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise CaseDamagedError(f"{shown(path)}: the original of {item.id} was changed; its sha256 does not fit")
        return data

    def item(self, state: CaseState, item_id: str) -> Item:
        """Raises CaseError for an item that is not in the case."""
        if item_id not in state.items:
            names = ", ".join(state.items) or "none, see `fakeexplain case add`"
            raise CaseError(f"no item {shown(item_id)!r} in this case; wanted one of: {names}")
        return state.items[item_id]

    def examine(self, item_id: str, examiner: Examiner, *, actor: str | None = None) -> tuple[str, Examination, str]:
        """Examines an original and stores the result: (examination id, examination, log head).

        A picture that cannot be examined is recorded as such, and the reason raised.

        Raises:
            CaseError: no such item.
            SourceError: the picture cannot be examined.
            OutputError, CaseLockedError, CaseDamagedError: see `transaction`.
        """
        item = self.item(self.state(), item_id)
        data = self.original(item)
        settings = {**asdict(examiner.settings), "instruments": [i.name for i in examiner.instruments]}
        try:
            source = examiner.load(data, name=item.name)
            examination = examiner.examine(source)
        except FakeExplainError as error:
            with self.transaction() as visit:
                visit.commit("examine_failed", Failed(item=item_id, error=str(error)), actor, settings=settings)
            raise SourceError(f"{item_id}: {error}") from None
        files, redacted_sha256 = examination_files(examination, source)
        with self.transaction() as visit:
            number = f"X{len(visit.state.examinations) + 1}"
            for name, content in files.items():
                write_new(visit.stage(f"{EXAMINATIONS}/{number}/{name}"), content)
            payload = Examined(
                item=item_id,
                examination=number,
                files={name: FileFacts(sha256=sha256_of(c), size=len(c)) for name, c in files.items()},
                redacted_sha256=redacted_sha256,
                label=examination.verdict.label,
                probability=examination.verdict.probability,
            )
            head = visit.commit(
                "examine", payload, actor, settings=examination.settings, instruments=examination.versions
            )
            return number, examination, head

    def examination(self, state: CaseState, examination_id: str) -> Examination:
        """A stored examination. Raises CaseError: there is none of that name; CaseDamagedError: it was changed."""
        found = state.examinations.get(examination_id)
        if found is None:
            names = ", ".join(state.examinations) or "none"
            raise CaseError(f"no examination {shown(examination_id)!r} in this case; wanted one of: {names}")
        path = self.path / EXAMINATIONS / examination_id / "examination.json"
        try:
            data = read_regular(path)
            if sha256_of(data) not in (found.examined.files["examination.json"].sha256, found.examined.redacted_sha256):
                raise ValueError("its sha256 does not fit the log")
            return Examination.model_validate_json(data)
        except (OSError, ValueError) as error:
            raise CaseDamagedError(f"{shown(path)}: was changed or is missing ({error})") from None

    def note(
        self,
        item_id: str,
        text: str,
        *,
        evidence: str | None = None,
        status: Status | None = None,
        examination: str | None = None,
        actor: str | None = None,
    ) -> tuple[Noted, str]:
        """A remark on an item or on one finding, which may set the finding's status. Returns (record, log head).

        Args:
            text: the remark; with a status, its reason.
            evidence: e.g. "E2", of `examination` (default: the item's last).

        Raises:
            CaseError: no such item, examination or evidence; no text; a status without evidence.
            OutputError, CaseLockedError, CaseDamagedError: see `transaction`.
        """
        if not text.strip():
            raise CaseError("the text is empty; wanted a remark, or the reason of the status")
        if status is not None and evidence is None:
            raise CaseError("a status belongs to a finding; name it with --evidence, say --evidence E1")
        with self.transaction() as visit:
            item = self.item(visit.state, item_id)
            chosen = examination
            if evidence is not None or examination is not None:
                if not item.examinations:
                    raise CaseError(f"{item_id} has not been examined; see `fakeexplain case examine`")
                chosen = examination or item.examinations[-1]
                if chosen not in item.examinations:
                    wanted = ", ".join(item.examinations)
                    raise CaseError(f"{shown(chosen)} is no examination of {item_id}; wanted one of: {wanted}")
            if evidence is not None and chosen is not None:
                ids = [e.id for e in self.examination(visit.state, chosen).evidence]
                if evidence not in ids:
                    wanted = ", ".join(ids)
                    raise CaseError(f"{shown(evidence)} is no evidence of {chosen}; wanted one of: {wanted}")
            payload = Noted(item=item_id, examination=chosen, evidence=evidence, status=status, text=text)
            return payload, visit.commit("note", payload, actor)

    def record_export(self, action: Action, payload: Exported, *, actor: str | None = None) -> str:
        """Records that something was handed out; returns the log head."""
        with self.transaction() as visit:
            return visit.commit(action, payload, actor)


def _modified(path: Path) -> str:
    try:
        stamp = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    except (OSError, OverflowError, ValueError):
        return ""
    return stamp.isoformat(timespec="seconds").replace("+00:00", "Z")


def examination_files(examination: Examination, source: SourceImage) -> tuple[dict[StoredName, bytes], str]:
    """(name -> content of an examination's files, sha256 of the redacted copy of its JSON).

    salts.json holds kind and salt of every sealed field, so that the redacted copy can be made again from
    examination.json. Maps are left out: they are large, and `examine` makes them again.
    """
    from fakeexplain.report.overlay import draw_evidence
    from fakeexplain.report.render import render_html

    text = examination.to_json()
    document = json.loads(text)
    sealed, openings = seal(document, sensitive_fields(document))
    salts = {p: {"kind": o.kind, "salt": o.salt} for p, o in openings.items()}
    files: dict[StoredName, bytes] = {
        "examination.json": text.encode(),
        "mask.png": _png(examination_mask(examination).astype(np.uint8) * 255),
        "overlay.png": _png(draw_evidence(examination, source)),
        "report.html": render_html(examination, source, examination_map(examination)).encode(),
        "salts.json": canonical(salts),
    }
    return files, sha256_of(canonical(sealed))


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
