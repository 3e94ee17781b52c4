"""Keeping a picture, its findings, remarks and conversation in a case folder of the library, whose log can be checked.

The original goes in bit by bit and is examined again there, so that the case rests on its own bytes; remarks, statuses
and every turn of the conversation become notes in the log. Left out: case folders themselves (`fakeexplain.casework`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from app.errors import AppError
from app.service import Picture, Progress, Service
from app.tasks import Task
from fakeexplain.casework.records import Status
from fakeexplain.imaging.source import printable

if TYPE_CHECKING:
    from fakeexplain.casework.case import Case
    from fakeexplain.records import Answer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,79}")
_LONGEST_TURN = 60_000
Note = tuple[str | None, Status | None, str]  # id of a record, status, words


@dataclass(frozen=True)
class SavedCase:
    """What was recorded.

    Attributes:
        case: its folder's name. path: the folder. item: e.g. "I1". examination: e.g. "X1".
        notes: remarks, statuses and turns that were recorded this time.
        head: hash of the log's last entry; written down elsewhere, it shows later that the log was not rewritten.
        notices: what had to be mended after an interruption.
    """

    case: str
    path: Path
    item: str
    examination: str
    notes: int
    head: str
    notices: tuple[str, ...]


def list_cases(service: Service) -> tuple[str, ...]:
    """Names of the cases in the folder that the user gave, () without one."""
    if service.cases is None or not service.cases.is_dir():
        return ()
    return tuple(
        sorted(p.name for p in service.cases.iterdir() if (p / "log.jsonl").is_file() and _NAME.fullmatch(p.name))
    )


def save_events(
    service: Service, picture_id: str, case_name: str, *, actor: str = "", title: str = ""
) -> Iterator[Progress | SavedCase]:
    """Saves into a case, opening it first where there is none of that name; `Progress`, then one `SavedCase`.

    Saving again adds only what is new.

    Raises:
        AppError: no folder for cases was given, or the name is none.
        CaseError, OutputError: see `fakeexplain.casework`.
    """
    path = case_path(service, case_name)
    picture = service.picture(picture_id)
    task = service.submit(lambda task: _save(task, service, picture, path, actor.strip() or None, title.strip()))
    try:
        yield from task.events()
        yield task.result()
    finally:
        task.cancel()


def save_to_case(service: Service, picture_id: str, case_name: str, *, actor: str = "", title: str = "") -> SavedCase:
    """`save_events` without the events."""
    events = save_events(service, picture_id, case_name, actor=actor, title=title)
    return [e for e in events if isinstance(e, SavedCase)][-1]


def case_path(service: Service, case_name: str) -> Path:
    """The folder of a case by name. Raises AppError."""
    if service.cases is None:
        raise AppError("no folder for cases; start the app with --cases FOLDER")
    return service.cases / check_name(case_name, "case")


def check_name(name: str, kind: str) -> str:
    """A name that cannot lead out of its folder. Raises AppError."""
    name = name.strip()
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise AppError(
            f"{kind} name {printable(name, 60)!r}: wanted 1 to 80 letters, digits, blanks, dots, hyphens or "
            "underscores, a letter or digit first"
        )
    return name


def _save(
    task: Task[SavedCase], service: Service, picture: Picture, path: Path, actor: str | None, title: str
) -> SavedCase:
    from fakeexplain.casework.case import Case

    task.emit(Progress("reading"))
    path.parent.mkdir(parents=True, exist_ok=True)
    case = Case(path) if path.exists() else Case.create(path, title=title, actor=actor)[0]
    service.source(picture)  # raises where the upload was deleted meanwhile
    with picture.lock:
        added, head = case.add(picture.path, actor=actor)
        task.emit(Progress("measuring"))
        number = _same_examination(case, added.item, picture)
        if number is None:
            number, _, head = case.examine(added.item, service.examiner(), actor=actor)
        task.check()
        wanted = [*_noted(picture), *_turns(picture)]
        state = case.state()
        notes = [r.note for r in state.remarks if r.note.examination == number]
        known = Counter((n.evidence, n.status, n.text) for n in notes)
        standing = {n.evidence: n.status for n in notes if n.status is not None}
        stored = {e.id for e in case.examination(state, number).evidence}
        wanted = [_of_a_case(note, stored) for note in wanted]
        last = {evidence: i for i, (evidence, status, _) in enumerate(wanted) if status is not None}
        count = 0
        for i, note in enumerate(wanted):
            evidence, status, text = note
            known[note] -= 1
            # What was noted before is there already, unless somebody has come back to a status since.
            if known[note] < 0 or (last.get(evidence) == i and standing.get(evidence) != status):
                _, head = case.note(added.item, text, evidence=evidence, status=status, examination=number, actor=actor)
                standing |= {evidence: status} if status is not None else {}
                count += 1
    return SavedCase(path.name, path, added.item, number, count, head, tuple(case.notices))


def _same_examination(case: Case, item: str, picture: Picture) -> str | None:
    """An examination of this item that the case has already, made with the same settings and versions."""
    state = case.state()
    for number in reversed(state.items[item].examinations):
        entry = state.examinations[number]
        if (entry.versions, entry.settings) == (picture.examination.versions, picture.examination.settings):
            return number
    return None


def _of_a_case(note: Note, stored: set[str]) -> Note:
    """A note as a case can keep it: what was measured in the conversation is no record of the case."""
    evidence, status, text = note
    if evidence is None or evidence in stored:
        return note
    return None, None, f"{evidence} (measured on request): {status or 'remark'}: {text}"


def _noted(picture: Picture) -> list[Note]:
    notes: list[Note] = []
    for n in picture.notes:
        status = next((s for s in get_args(Status) if s == n.status), None)
        author = f" ({n.author})" if n.author else ""
        notes.append((n.evidence_id or None, status, (n.text or f"set to {n.status}") + author))
    return notes


def _turns(picture: Picture) -> list[Note]:
    if picture.conversation is None:
        return []
    return [(None, None, turn_text(i, a)) for i, a in enumerate(picture.conversation.turns, start=1)]


def turn_text(number: int, answer: Answer) -> str:
    """One turn of a conversation as a note: question, answer, who worded it, what was measured for it."""
    from fakeexplain.reasoning.wording import describe

    lines = [f"Question {number}: {answer.question}", f"Answer: {answer.text}", f"Worded by: {answer.writer}"]
    for region in answer.regions:
        lines.append(f"Region {region.id}: {region.words}, box {', '.join(map(str, region.box_xyxy))}")
    lines += [f"Measured: {describe(item)}" for item in answer.evidence]
    if answer.struck:
        lines.append(f"Sentences that were struck because no evidence supported them: {answer.struck}")
    return printable_lines("\n".join(lines))[:_LONGEST_TURN]


def printable_lines(text: str) -> str:
    """Text of several lines without control characters."""
    return "\n".join(printable(line, _LONGEST_TURN) for line in text.splitlines())
