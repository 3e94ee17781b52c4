"""What an examination holds on one thing that may be asked of a file: where, when, with what, how often.

Everything is read from the records of `metadata` and `double_jpeg` and from the file itself; nothing is parsed again.
Strings out of the file stand in quotation marks, shortened and cleaned. Left out: which thing a question asks for
(`particulars`), and any conclusion from what a file says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.quoting import end_with, quote
from fakeexplain.reasoning.wording import fact_sentence
from fakeexplain.records import Examination

TEXT = {
    "position": (
        "The file gives the position {latitude:.3f}, {longitude:.3f} (GPS, degrees north and east), which anybody can "
        "write into a file"
    ),
    "position_unread": "The file has an entry for a position (GPS), and no position can be read from it",
    "no_position": "The file gives no position (GPS)",
    "taken": "The file gives “{date}” as the time it was taken, by the camera's own clock, which anybody can set",
    "digitised": "The file gives “{date}” as the time it was digitised",
    "saved": "The file gives “{date}” as the time it was last saved",
    "no_date": "The file gives no date",
    "no_camera": "The file names no camera",
    "lens": "The file names the lens “{lens}”",
    "software": "The file names “{software}” as the camera's own software or a program that wrote it",
    "no_program": "The file names no program that wrote or changed it",
    "author": "The file names “{name}” ({entry}), which anybody can write into a file",
    "no_author": "The file names no author and no owner",
    "no_credentials": "The file carries no Content Credentials (C2PA)",
    "no_preview": "No embedded preview that could be compared was found in the file",
    "no_earlier_save": "No record tells of an earlier JPEG save, which can leave no trace.",
    "saves": "How often a file was saved in all cannot be counted from it.",
    "not_seen": (
        "Where, when and by whom a picture was taken cannot be told from its pixels; only what the file says is given "
        "here."
    ),
    "no_record": "This examination holds no record of what the file says of itself.",
    "checksum": "The SHA-256 checksum of the file as received is {sha256}.",
    "dimensions": "The file is {format} of {width} x {height} pixels and {size_bytes} bytes.",
}
_NAMES = ("Artist", "Copyright", "IPTC Byline", "IPTC Credit", "IPTC Source", "XMP Credit", "text Author")
_LONGEST = 160  # characters of an entry
_QUOTABLE = str.maketrans("[]<>{}“”", "()()()''")


class FileFacts:
    """Words for the file of one examination. `of(thing)` gives the sentences on one thing of `THINGS`."""

    def __init__(self, examination: Examination) -> None:
        self._source = examination.source
        self._facts = [e for e in examination.evidence if e.kind == "fact"]
        self._said = next((e for e in self._facts if e.trace in ("camera_facts", "no_metadata")), None)
        self._entries: Mapping[str, Any] = {} if self._said is None else self._said.details

    def of(self, thing: str) -> list[str]:
        """Sentences on one thing; KeyError for one that is not in `THINGS`."""
        return THINGS[thing](self)

    def sentences(self) -> set[str]:
        """All that can be said of the file, for the checker of answers."""
        return {s for words in THINGS.values() for s in words(self)}

    def position(self) -> list[str]:
        latitude, longitude = self._entries.get("gps_latitude"), self._entries.get("gps_longitude")
        if isinstance(latitude, (int, float)) and isinstance(longitude, (int, float)):
            said = [self._cited(TEXT["position"].format(latitude=latitude, longitude=longitude))]
        elif self._entries.get("gps_present"):
            said = [self._cited(TEXT["position_unread"])]
        else:
            said = self._none("no_position")
        return [*said, TEXT["not_seen"]]

    def date(self) -> list[str]:
        dates = [(key, self._entry(name)) for key, name in _DATES.items()]
        told = [(key, date) for key, date in dates if date and re.search(r"[1-9]", date)]
        # One date in three entries is told once, as what it means most.
        once = {date: key for key, date in reversed(told)}
        said = [self._cited(TEXT[key].format(date=date)) for key, date in told if once[date] == key]
        return [*(said or self._none("no_date")), *self._worded("date_conflict"), TEXT["not_seen"]]

    def camera(self) -> list[str]:
        said = self._worded("camera_facts") if self._said is not None and self._said.value else self._none("no_camera")
        lens = self._entry("Lens") or self._entry("LensModel")
        return [*said, *([self._cited(TEXT["lens"].format(lens=lens))] if lens else [])]

    def program(self) -> list[str]:
        said = self._worded("editor_software", "edit_history", "local_edits_listed", "generator_text")
        software = self._entry("Software")
        if software and not any(f"“{software}”" in s for s in said):
            said.append(self._cited(TEXT["software"].format(software=software)))
        return said or self._none("no_program")

    def saves(self) -> list[str]:
        told = self._worded("double_compression") or [TEXT["no_earlier_save"]]
        return [*told, *self._worded("quantisation_tables"), TEXT["saves"]]

    def author(self) -> list[str]:
        entries: dict[str, list[str]] = {}
        for entry in _NAMES:
            if name := self._entry(entry):
                entries.setdefault(name, []).append(entry)
        said = [self._cited(TEXT["author"].format(name=n, entry=", ".join(e))) for n, e in entries.items()]
        return [*(said or self._none("no_author")), TEXT["not_seen"]]

    def credentials(self) -> list[str]:
        told = [e.trace for e in self._facts if e.trace.startswith("content_credentials")]
        return self._worded(*told) or self._none("no_credentials")

    def preview(self) -> list[str]:
        return self._worded("thumbnail_match", "thumbnail_mismatch") or self._none("no_preview")

    def checksum(self) -> list[str]:
        return [TEXT["checksum"].format(sha256=self._source.sha256)]

    def dimensions(self) -> list[str]:
        facts = self._source
        name = quote(re.sub(r"[^A-Za-z0-9 ]", "", facts.format))
        size = {"width": facts.width, "height": facts.height, "size_bytes": facts.size_bytes}
        return [TEXT["dimensions"].format(format=name, **size)]

    def _entry(self, name: str) -> str:
        """A string of the metadata, cleaned; "" where there is none."""
        value = self._entries.get(name)
        text = printable(" ".join(value.split()), _LONGEST) if isinstance(value, str) else ""
        text = re.sub(r"[\[(]\s*([ER]\d+[^\[\]()]*)[\])]", r"\1", text)  # nothing in it passes for a citation
        return text.translate(_QUOTABLE).strip()

    def _none(self, key: str) -> list[str]:
        """That the file says nothing of a thing, and why that means little where it says nothing at all."""
        if self._said is None:
            return [TEXT["no_record"]]
        return [self._cited(TEXT[key]), *self._worded("no_metadata")]

    def _worded(self, *traces: str) -> list[str]:
        """The library's own sentence on each record of these kinds, in the order of the records."""
        return [end_with(quote(fact_sentence(e)), [e]) for e in self._facts if e.trace in traces]

    def _cited(self, text: str) -> str:
        return end_with(text, [] if self._said is None else [self._said])


_DATES = {"taken": "DateTimeOriginal", "digitised": "DateTimeDigitized", "saved": "DateTime"}
THINGS: dict[str, Callable[[FileFacts], list[str]]] = {
    "position": FileFacts.position,
    "date": FileFacts.date,
    "camera": FileFacts.camera,
    "program": FileFacts.program,
    "saves": FileFacts.saves,
    "author": FileFacts.author,
    "credentials": FileFacts.credentials,
    "preview": FileFacts.preview,
    "checksum": FileFacts.checksum,
    "dimensions": FileFacts.dimensions,
}
