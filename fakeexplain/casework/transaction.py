"""One exclusive visit to a case folder: lock, mend what an interrupted command left, read the log, add one entry.

An action first puts its files on the medium in `staging`, then appends its log entry, which is the one moment at which
it counts, then renames the files into place. A crash before that moment leaves the case as it was; a crash after it
leaves files that the next visit puts in place. Left out: what the actions are (`case`).
"""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

from fakeexplain.casework.errors import CaseDamagedError, CaseError
from fakeexplain.casework.log import (
    FIRST_PREVIOUS,
    LOG_NAME,
    Line,
    LogReading,
    append,
    end_last_line,
    make_line,
    read_log,
)
from fakeexplain.casework.records import Action, CaseState, Entry, Recovered, replay
from fakeexplain.casework.sealing import sha256_of
from fakeexplain.casework.storage import (
    cannot_write,
    hash_regular,
    locked,
    read_regular,
    require_folder,
    shown,
    sync_folder,
    write_new,
)
from fakeexplain.errors import OutputError
from fakeexplain.examiner import versions
from fakeexplain.records import Record

ORIGINALS, EXAMINATIONS, STAGING, LOCK = "originals", "examinations", "staging", "lock"


def default_actor() -> str:
    """FAKEEXPLAIN_ACTOR, else the user's name on this machine."""
    try:
        return os.environ.get("FAKEEXPLAIN_ACTOR") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"user {os.getuid()}"


def weights_hashes() -> dict[str, str]:
    """File -> sha256 of the trained weights that ship with the library; empty if there are none."""
    folder = Path(str(resources.files("fakeexplain"))) / "weights"
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".json"))
    return {p.relative_to(folder).as_posix(): hash_regular(p, follow=True)[0] for p in files}


def utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Transaction:
    """The right to add one entry after another; made by `transaction`.

    Attributes:
        state: the case as logged, kept up to date by `commit`.
    """

    def __init__(self, path: Path, reading: LogReading) -> None:
        self._path = path
        self._lines = reading.lines
        self.state = state_of(path, reading)
        self._staged: Path | None = None

    def stage(self, name: str) -> Path:
        """Where to write a new file that will lie at `name` once the action is recorded."""
        if self._staged is None:
            self._staged = Path(tempfile.mkdtemp(prefix="new-", dir=self._path / STAGING))
        target = self._staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def commit(
        self,
        action: Action,
        payload: Record,
        actor: str | None,
        *,
        settings: Mapping[str, Any] | None = None,
        instruments: Mapping[str, str] | None = None,
    ) -> str:
        """Records an action with its staged files; returns the new log head once everything is on the medium.

        Args:
            settings, instruments: of an examination: its settings, and versions beyond those of the libraries.

        Raises:
            OutputError: it could not be recorded and the case is as before, or, as the message then says, it is
                recorded but its files could not be moved into place.
        """
        line = make_line(make_entry(self._lines, action, payload, actor, settings, instruments))
        staging, log = self._path / STAGING, self._path / LOG_NAME
        size = None
        try:
            if self._staged is not None:
                for place, _, _ in os.walk(self._staged, topdown=False):
                    sync_folder(Path(place))
                os.rename(self._staged, staging / line.hash)
                self._staged = None
                sync_folder(staging)
            size = log.stat().st_size
            append(log, line)
        except OSError as error:
            # Only where the log is certainly as before: a line that made it needs its files.
            if size is not None and log.stat().st_size == size:
                shutil.rmtree(staging / line.hash, ignore_errors=True)
            raise cannot_write(self._path, error) from None
        self._lines.append(line)
        self.state = state_of(self._path, LogReading(self._lines))
        try:
            publish(self._path, line.hash)
        except OSError as error:
            raise OutputError(
                f"{shown(self._path)}: entry {len(self._lines)} is recorded, but its files are not in place yet "
                f"({error.strerror or error}); make room, and the next command on this case finishes it"
            ) from None
        return line.hash

    def discard(self) -> None:
        """Removes staged files that were not recorded."""
        if self._staged is not None:
            shutil.rmtree(self._staged, ignore_errors=True)


def make_entry(
    lines: list[Line],
    action: Action,
    payload: Record,
    actor: str | None,
    settings: Mapping[str, Any] | None = None,
    instruments: Mapping[str, str] | None = None,
) -> Entry:
    return Entry(
        sequence=len(lines) + 1,
        time=utc_now(),
        actor=actor or default_actor(),
        action=action,
        payload=payload.model_dump(mode="json"),
        versions={**versions(), **(instruments or {})},
        settings=dict(settings or {}),
        weights=weights_hashes() if action == "examine" else {},
        previous=lines[-1].hash if lines else FIRST_PREVIOUS,
    )


def publish(path: Path, line_hash: str) -> None:
    """Moves the staged files of a recorded entry into place; goes on where an earlier attempt stopped."""
    staged = path / STAGING / line_hash
    if not os.path.lexists(staged):
        return
    require_folder(staged)
    for place, folders, files in os.walk(staged):
        target = path / Path(place).relative_to(staged)
        for name in folders:
            (target / name).mkdir(exist_ok=True)
            require_folder(target / name)
        for name in files:
            os.rename(Path(place) / name, target / name)
        sync_folder(target)
    shutil.rmtree(staged)
    sync_folder(path / STAGING)


def read_case_log(path: Path) -> LogReading:
    """The log as it is on disk. Raises CaseDamagedError if there is no reading it."""
    log = path / LOG_NAME
    try:
        return read_log(read_regular(log))
    except OSError as error:
        raise CaseDamagedError(
            f"{shown(log)}: cannot be read ({error.strerror or error}); wanted a regular file"
        ) from None


def state_of(path: Path, reading: LogReading) -> CaseState:
    """The state after a log. Raises CaseDamagedError with the first of its problems."""
    problems, state = reading.problems, CaseState()
    if not problems:
        state, problems = replay(reading.entries())
    if problems or not state.case_id:
        first = problems[0] if problems else "it is empty"
        raise CaseDamagedError(
            f"{shown(path)}: the log is damaged ({first}); nothing was added to it, "
            "see `fakeexplain case verify` for everything that is wrong"
        )
    return state


@contextmanager
def transaction(path: Path, lock_timeout: float, notices: list[str]) -> Generator[Transaction, None, None]:
    """Exclusive access: waits for the lock, mends what an interrupted command left, reads the log anew.

    Args:
        notices: gets a sentence for everything that was mended.

    Raises:
        CaseLockedError: another process keeps the case busy.
        CaseDamagedError: the log does not check out.
        OutputError: the case cannot be written.
    """
    try:
        with locked(path / LOCK, lock_timeout):
            for name in (ORIGINALS, EXAMINATIONS, STAGING):
                if not os.path.lexists(path / name):
                    (path / name).mkdir()
                    sync_folder(path)
                require_folder(path / name)
            visit = Transaction(path, _recovered(path, notices))
            try:
                yield visit
            finally:
                visit.discard()
    except OSError as error:
        raise cannot_write(path, error) from None


def _recovered(path: Path, notices: list[str]) -> LogReading:
    """The log after mending its end and putting staged files in place; needs the lock."""
    reading = read_case_log(path)
    if reading.torn:
        reading = _mended(path, reading, notices)
    state_of(path, reading)  # nothing is touched in a damaged case
    if reading.hidden_kinds or (path.parent.name == "data" and os.path.lexists(path.parent.parent / "bagit.txt")):
        raise CaseError(f"{shown(path)}: is part of a bag, to which nothing can be added; use the case itself")
    hashes = {line.hash for line in reading.lines}
    for staged in sorted((path / STAGING).iterdir()):
        if staged.name in hashes:
            publish(path, staged.name)
            notices.append("the last command was interrupted after it was recorded; its files are now in place")
        elif staged.is_symlink() or not staged.is_dir():
            staged.unlink()
        else:
            shutil.rmtree(staged)
            notices.append("a command was interrupted before it was recorded; its leftovers were removed")
    return reading


def _mended(path: Path, reading: LogReading, notices: list[str]) -> LogReading:
    """Completes or cuts a last line without an end; what is cut is kept in an entry of its own."""
    log = path / LOG_NAME
    data = read_regular(log)
    if not read_log(data + b"\n").problems:
        end_last_line(log)
        notices.append("the last log line lacked its end of line; it is whole and was completed")
        return read_log(data + b"\n")
    state_of(path, reading)
    torn = reading.torn
    payload = Recovered(size=len(torn), sha256=sha256_of(torn), base64=base64.b64encode(torn).decode())
    line = make_line(make_entry(reading.lines, "recover", payload, None))
    mended = data[: len(data) - len(torn)] + line.encode()
    scratch = path / STAGING / f"log-{uuid.uuid4().hex}"
    write_new(scratch, mended, 0o644)  # the old log or the new one, nothing in between
    os.rename(scratch, log)
    sync_folder(path)
    notices.append(
        f"the log ended in a line that was not finished ({len(torn)} bytes); they were set aside in entry "
        f"{len(reading.lines) + 1}. If you wrote down a later log head, check it with verify --expect"
    )
    return read_log(mended)
