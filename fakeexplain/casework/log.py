"""The log: one canonical JSON line an entry, each with the hash of the one before; append, read, check, recover.

A line is {"entry": ..., "hash": ..., "open": ...}. The hash is taken over the entry in its *sealed* form (see
`sealing`), in which names, paths and remarks are commitments; "open" holds what they stand for. An export without some
openings is still the same chain with the same head. Left out: what entries mean (`records`) and the files (`case`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fakeexplain.casework.records import SEALED_FIELDS, Entry
from fakeexplain.casework.sealing import (
    Opening,
    canonical,
    commitments,
    nodes,
    opening_problems,
    seal,
    sealed_kind,
    sha256_of,
    unseal,
)
from fakeexplain.casework.storage import sync, write_all

LOG_NAME = "log.jsonl"
FIRST_PREVIOUS = "0" * 64


@dataclass(frozen=True)
class Line:
    """One line of the log: the sealed entry, its hash, and the openings at hand."""

    sealed: dict[str, Any]
    hash: str
    openings: dict[str, Opening]

    def entry(self) -> Entry:
        """The entry in plain; fields without an opening stay sealed. Raises ValidationError."""
        return Entry.model_validate(unseal(self.sealed, self.openings))

    def encode(self) -> bytes:
        shown = {p: o.model_dump() for p, o in self.openings.items()}
        return canonical({"entry": self.sealed, "hash": self.hash, "open": shown}) + b"\n"


@dataclass
class LogReading:
    """Everything a log file says.

    Attributes:
        lines: those that can be read, in order.
        problems: what is wrong, one sentence each.
        torn: bytes after the last end of line.
        hidden_kinds: kinds of fields that have no opening, with their number.
    """

    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    torn: bytes = b""
    hidden_kinds: dict[str, int] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.lines[-1].hash if self.lines else FIRST_PREVIOUS

    def entries(self) -> list[Entry]:
        return [line.entry() for line in self.lines]


def make_line(entry: Entry) -> Line:
    """Seals and hashes an entry."""
    kinds = {"/actor": "name", **SEALED_FIELDS.get(entry.action, {})}
    # Through JSON once, so that what is hashed is what will be read back.
    document = json.loads(canonical(entry.model_dump(mode="json")))
    for pointer, value in nodes(document["settings"], "/settings"):
        if isinstance(value, str) and ("/" in value or "\\" in value):  # a folder with weights of one's own
            kinds[pointer] = "path"
    sealed, openings = seal(document, kinds)
    return Line(sealed, sha256_of(canonical(sealed)), openings)


def read_log(data: bytes) -> LogReading:
    """Reads and checks every line of a log; finds all problems, raises nothing."""
    reading = LogReading()
    *raw_lines, reading.torn = data.split(b"\n")
    previous: str | None = FIRST_PREVIOUS
    for number, raw in enumerate(raw_lines, 1):
        try:
            line = _parse(raw)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reading.problems.append(f"log line {number}: {_reason(error)}")
            previous = None
            continue
        problems, unopened = _check(line, raw, number, previous)
        reading.problems += [f"log line {number}: {p}" for p in problems]
        for pointer in unopened:
            kind = sealed_kind(commitments(line.sealed)[pointer]) or ""
            reading.hidden_kinds[kind] = reading.hidden_kinds.get(kind, 0) + 1
        reading.lines.append(line)
        previous = line.hash
    return reading


def _parse(raw: bytes) -> Line:
    document = json.loads(raw)
    if not isinstance(document, dict) or set(document) != {"entry", "hash", "open"}:
        raise ValueError("wanted an object of entry, hash and open")
    openings = {p: Opening.model_validate(o) for p, o in document["open"].items()}
    line = Line(document["entry"], document["hash"], openings)
    if not isinstance(line.hash, str):
        raise ValueError("its hash is not a string")
    line.entry()
    canonical(document)  # no NaN
    return line


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"cannot be read ({'.'.join(map(str, fault['loc']))}: {fault['msg']})"
    return f"cannot be read ({type(error).__name__}: {error})"


def _check(line: Line, raw: bytes, number: int, previous: str | None) -> tuple[list[str], set[str]]:
    problems = []
    if line.encode() != raw + b"\n":
        problems.append("is not in canonical form: it was changed")
    if line.hash != sha256_of(canonical(line.sealed)):
        problems.append("its hash does not fit its content: one of them was changed")
    if line.sealed["sequence"] != number:
        problems.append(f"has sequence number {line.sealed['sequence']}: lines are missing, added or moved")
    if previous is not None and line.sealed["previous"] != previous:
        problems.append("does not continue the line before it: one of them was changed, added or removed")
    wrong, unopened = opening_problems(line.sealed, line.openings)
    return problems + wrong, unopened


def append(path: Path, line: Line) -> None:
    """Adds one line and returns when it is on the medium; on failure the log is as before.

    Raises:
        OSError: it could not be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, line.encode())
            sync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
            raise
    finally:
        os.close(descriptor)


def end_last_line(path: Path) -> None:
    """Adds the end of line that a whole last line lacks. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_all(descriptor, b"\n")
        sync(descriptor)
    finally:
        os.close(descriptor)
