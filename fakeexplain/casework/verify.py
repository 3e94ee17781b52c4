"""Checks a case folder or a bag of one: chain, hashes, files missing, extra or changed, permissions, recomputation.

Nothing is changed, not even mended, and every problem is listed at once. Left out: whether the clock was right, who the
actor was, and a log that was rewritten as a whole, which only a head hash written down elsewhere shows (`expect`).
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fakeexplain.casework.bag import BAGIT, bag_problems, walk
from fakeexplain.casework.case import Case
from fakeexplain.casework.errors import CaseDamagedError, CaseError
from fakeexplain.casework.log import LOG_NAME, LogReading
from fakeexplain.casework.recompute import recompute
from fakeexplain.casework.records import CaseState, ExaminationEntry, FileFacts, replay
from fakeexplain.casework.redaction import REDACTION_NAME, redacted_copy, redaction_record, stays_out
from fakeexplain.casework.sealing import sha256_of
from fakeexplain.casework.storage import hash_regular, locked, read_regular, require_folder, shown
from fakeexplain.casework.transaction import EXAMINATIONS, LOCK, ORIGINALS, STAGING, read_case_log
from fakeexplain.errors import SettingsError
from fakeexplain.records import Examination

CASE_IN_BAG = "data/case"


@dataclass
class Verification:
    """What a check found.

    Attributes:
        problems: everything that is not as recorded; empty means intact.
        remarks: what a reader should know and is no damage.
        head: hash of the last log entry that could be read.
        entries, items, examinations, files: how many were checked.
        recomputed: evidence records that were measured again and compared; None if that was not asked for.
        redacted: kinds of fields left out of a redacted bag, with their number; empty for a case or a full bag.
    """

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    head: str = ""
    entries: int = 0
    items: int = 0
    examinations: int = 0
    files: int = 0
    recomputed: int | None = None
    redacted: dict[str, int] = field(default_factory=dict)

    @property
    def intact(self) -> bool:
        return not self.problems


def verify(
    path: str | os.PathLike[str],
    *,
    expect: str | None = None,
    recompute_all: bool = False,
    lock_timeout: float = 30.0,
    on_done: Callable[[str], None] | None = None,
) -> Verification:
    """Checks everything about a case folder, or about a bag that holds one.

    Args:
        expect: a log head written down earlier; it must still be in the chain.
        recompute_all: examine every original again and compare every record.
        on_done: called with the examination id after each recomputation.

    Raises:
        CaseError: `path` is neither. CaseLockedError: another process keeps the case busy.
        SettingsError: `expect` is no hash; recomputation asked for where the originals were left out.
    """
    path = Path(path)
    require_folder(path)
    if expect is not None:
        expect = expect.strip().lower()
        if len(expect) != 64 or set(expect) - set("0123456789abcdef"):
            raise SettingsError(f"--expect {shown(expect)!r}: wanted a log head, 64 hexadecimal digits")
    found = Verification()
    in_bag = os.path.lexists(path / BAGIT)
    if in_bag:
        found.problems += bag_problems(path)
        path = path / CASE_IN_BAG
        require_folder(path.parent)
    case = Case(path)
    with ExitStack() as stack:
        if not in_bag and os.path.lexists(path / LOCK):
            try:
                stack.enter_context(locked(path / LOCK, lock_timeout))
            except OSError:  # a read-only medium has no writers either
                found.remarks.append("the case could not be locked; if something else writes to it now, check again")
        try:
            reading = read_case_log(path)
        except CaseDamagedError as error:
            found.problems.append(str(error))
            return found
        state = _check_log(reading, found)
        _check_files(path, reading, state, found, in_bag=in_bag)
    if expect is not None:
        _check_expected(expect, reading, found)
    if recompute_all:
        _recompute_all(case, state, found, on_done)
    return found


def _check_log(reading: LogReading, found: Verification) -> CaseState:
    found.problems += reading.problems
    if reading.torn:
        found.problems.append(
            f"the log ends in {len(reading.torn)} bytes without an end of line: a command was interrupted, or the log "
            "was cut; the next command on the case sets them aside"
        )
    state, problems = replay(reading.entries())
    found.problems += problems
    found.head, found.entries = reading.head, len(reading.lines)
    found.items, found.examinations = len(state.items), len(state.examinations)
    if not reading.lines:
        found.problems.append("the log holds no entry that can be read")
    for before, after in zip(state.entries, state.entries[1:], strict=False):
        if after.time < before.time:
            found.remarks.append(f"log entry {after.sequence} bears an earlier time than the one before it")
    recovered = [e.sequence for e in state.entries if e.action == "recover"]
    for sequence in recovered:
        found.remarks.append(f"log entry {sequence} records that an unfinished line was set aside before it")
    return state


def _check_expected(expect: str, reading: LogReading, found: Verification) -> None:
    hashes = [line.hash for line in reading.lines]
    if expect not in hashes:
        found.problems.append(
            f"the expected head {expect} is not in the log: it was rewritten or cut, or the head is of another case"
        )
    elif expect != hashes[-1]:
        later = len(hashes) - 1 - hashes.index(expect)
        found.remarks.append(f"the expected head is entry {hashes.index(expect) + 1}; {later} entries follow it")


def expected_files(state: CaseState) -> dict[str, FileFacts]:
    """Relative name -> facts of every file that the log says is in the case."""
    files = {f"{ORIGINALS}/{i.sha256}": FileFacts(sha256=i.sha256, size=i.size) for i in state.items.values()}
    for number, entry in state.examinations.items():
        files |= {f"{EXAMINATIONS}/{number}/{name}": facts for name, facts in entry.examined.files.items()}
    return files


def _check_files(path: Path, reading: LogReading, state: CaseState, found: Verification, *, in_bag: bool) -> None:
    wanted = expected_files(state)
    present: dict[str, str] = {}  # name as wanted -> name as found
    redaction = None
    hashes = {line.hash for line in reading.lines}
    for name, mode in walk(path):
        inside = name.split("/")
        if not stat.S_ISREG(mode):
            found.problems.append(f"{shown(name)}: is a link or no regular file, which a case never holds")
        elif name in (LOG_NAME, LOCK):
            if name == LOCK and (path / name).lstat().st_size:
                found.problems.append(f"{name}: is not empty, wanted 0 bytes")
        elif name == REDACTION_NAME and in_bag:
            redaction = read_regular(path / name)
        elif inside[0] == STAGING and len(inside) > 2 and inside[1] in hashes and "/".join(inside[2:]) in wanted:
            present.setdefault("/".join(inside[2:]), name)
            found.remarks.append(f"{shown(name)}: left by an interrupted action; the next command puts it in place")
        elif inside[0] == STAGING and len(inside) > 1:
            found.remarks.append(f"{shown(name)}: left by an interrupted command; the next one removes it")
        elif name in wanted:
            present[name] = name
        else:
            found.problems.append(f"{shown(name)}: is not in the log; it was added")
        if name in wanted and not in_bag and stat.S_ISREG(mode) and mode & 0o222:
            found.problems.append(f"{name}: can be written to (mode {stat.S_IMODE(mode):04o}), wanted read-only (0444)")
    _check_folders(path, state, found)
    redacted = redaction is not None
    for name, facts in wanted.items():
        if name in present:
            _check_file(path / present[name], name, facts, state, found, redacted=redacted)
        elif not (redacted and stays_out(name)):
            found.problems.append(f"{name}: is missing")
    for number, entry in state.examinations.items():
        _check_examination(path, number, entry, state, present, found, redacted=redacted)
    if redaction is not None:
        found.redacted = dict(reading.hidden_kinds) or {"file": len(wanted) - len(present)}
        try:
            copies = {n: read_regular(path / EXAMINATIONS / n / "examination.json") for n in state.examinations}
            right = redaction == redaction_record(reading, state, copies)
        except (OSError, ValueError):
            right = False
        if right:
            found.redacted = json.loads(redaction)["fields"]
        else:
            found.problems.append(f"{REDACTION_NAME}: does not list what was left out; it or a file was changed")
    elif reading.hidden_kinds:
        kinds = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(reading.hidden_kinds.items()))
        found.problems.append(f"the log lacks the openings of sealed fields ({kinds}); they were taken away")


def _check_folders(path: Path, state: CaseState, found: Verification) -> None:
    known = {"", ORIGINALS, EXAMINATIONS, STAGING} | {f"{EXAMINATIONS}/{n}" for n in state.examinations}
    for place, folders, _ in os.walk(path):
        for name in folders:
            relative = (Path(place) / name).relative_to(path).as_posix()
            if relative not in known and not relative.startswith(STAGING + "/"):
                found.problems.append(f"{shown(relative)}: a folder that the log does not know")


def _check_file(
    path: Path, name: str, facts: FileFacts, state: CaseState, found: Verification, *, redacted: bool
) -> None:
    found.files += 1
    try:
        stored = hash_regular(path)
    except OSError as error:
        found.problems.append(f"{name}: cannot be read ({error.strerror or error})")
        return
    parts = name.split("/")
    if redacted and parts[0] == EXAMINATIONS and parts[2] == "examination.json":
        if stored[0] != state.examinations[parts[1]].examined.redacted_sha256:
            found.problems.append(f"{name}: is not the redacted copy that the log names; its sha256 does not fit")
    elif stored != (facts.sha256, facts.size):
        found.problems.append(
            f"{name}: was changed (sha256 {stored[0][:12]}..., {stored[1]} bytes; "
            f"recorded {facts.sha256[:12]}..., {facts.size} bytes)"
        )


def _check_examination(
    path: Path,
    number: str,
    entry: ExaminationEntry,
    state: CaseState,
    present: Mapping[str, str],
    found: Verification,
    *,
    redacted: bool,
) -> None:
    """That an examination is of the bytes that were received, says what the log says, and can be redacted."""
    name = f"{EXAMINATIONS}/{number}/examination.json"
    if name not in present:
        return
    try:
        data = read_regular(path / present[name])
        examination = Examination.model_validate_json(data)
    except (OSError, ValueError):
        found.problems.append(f"{name}: cannot be read as an examination")
        return
    said = (examination.source.sha256, examination.verdict.label, examination.verdict.probability)
    item = state.items[entry.examined.item]
    if said != (item.sha256, entry.examined.label, entry.examined.probability):
        found.problems.append(f"{name}: says something else than log entry {entry.sequence}")
    ids = {e.id for e in examination.evidence}
    for remark in state.remarks:
        if remark.note.examination == number and remark.note.evidence not in (None, *ids):
            found.problems.append(f"log entry {remark.sequence}: cites {remark.note.evidence}, which {number} lacks")
    salts = f"{EXAMINATIONS}/{number}/salts.json"
    if redacted or salts not in present:
        return
    try:
        if sha256_of(redacted_copy(data, read_regular(path / present[salts]))) != entry.examined.redacted_sha256:
            raise ValueError("another hash")
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        found.problems.append(f"{salts}: does not lead to the redacted copy that the log names ({error})")


def _recompute_all(case: Case, state: CaseState, found: Verification, on_done: Callable[[str], None] | None) -> None:
    if found.redacted:
        raise SettingsError("--recompute: the originals were left out of this redacted bag; ask for the case itself")
    found.recomputed = 0
    other: dict[str, None] = {}
    for number, entry in state.examinations.items():
        try:
            data = case.original(state.items[entry.examined.item])
            stored = case.examination(state, number)
        except CaseError as error:
            found.problems.append(f"{number}: cannot be recomputed ({error})")
            continue
        result = recompute(stored, data, state.entries[entry.sequence - 1].weights)
        found.recomputed += result.compared
        found.problems += [f"{number}: recomputed: {clause}" for clause in result.differences]
        other |= dict.fromkeys(result.other_versions)
        if on_done is not None:
            on_done(number)
    if other:
        found.remarks.append(
            "recomputed with other versions, so figures were compared with the wider tolerance: " + "; ".join(other)
        )
