"""Which fields of an examination tell of a person, a place or a device; what `--redact` takes away.

Known to be harmless is kept, everything else that comes out of the file is sealed: metadata is free text, and a rule
that lists what is dangerous would miss the next field. A sentence that repeats a sealed value is sealed with it. Left
out: the picture itself (faces, signs and number plates are not searched for), and the wording of remarks that people
write, beyond repeated values, paths, addresses and coordinates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fakeexplain.casework.log import LogReading
from fakeexplain.casework.records import CaseState
from fakeexplain.casework.sealing import Opening, apply_openings, canonical, child, commitments, nodes, sealed_kind
from fakeexplain.casework.transaction import EXAMINATIONS, ORIGINALS

REDACTION_NAME = "redaction.json"

KINDS = ("gps", "name", "file name", "serial number", "device id", "path", "text", "remark")

# First match wins; looked for in the names of entries.
_KEY_KINDS = (
    ("gps", re.compile(r"gps|latitude|longitude|altitude|location|city|country|province|state$|address", re.I)),
    ("serial number", re.compile(r"serial", re.I)),
    ("device id", re.compile(r"unique|uuid|documentid|instanceid|derivedfrom|hostcomputer|device ?id|imei|hash", re.I)),
    ("name", re.compile(r"artist|author|owner|creator$|by-?line|credit|copyright|person|contact|writer|issuer", re.I)),
)
_TEXT_KINDS = (
    ("path", re.compile(r"[A-Za-z]:[\\/]|\\\\\w|file://|(?<![\w./<])~?/(?:[\w.-]+/)+[\w.-]*|(?<![\w./<])/\w{2,}")),
    ("name", re.compile(r"[\w.+-]+@[\w-]+\.\w+")),
    (
        "gps",
        re.compile(
            r"[-+]?\d{1,3}\.\d{3,}°?\s*[NSEW]?\s*[,;/ ]\s*[-+]?\d{1,3}\.\d{3,}|\d{1,3}\s*°\s*\d{1,2}\s*['′]"
            r"|[-+]\d{2}\.\d+[-+]\d{3}\.\d+"
        ),
    ),
)
# Entries of facts that cameras write and that name no device, and entries that we measured ourselves.
_CAMERA_KEYS = (
    "Make Model Orientation Software ExposureTime FNumber ISO FocalLength CompositeImage PixelXDimension "
    "PixelYDimension DigitalZoomRatio LensMake LensModel Lens"
)
_MEASURED_KEYS = (
    "orientation_applied gps_present subsampling progressive segments blocks_in_order adobe_marker signatures "
    "announced_by_camera_index luma_family luma_words chroma_family chroma_words chroma_matches_luma tables_defined "
    "tables_used nearest_quality luma_steps chroma_steps correlation fit turn width height changed_fraction "
    "content_credentials maker_note maker_note_of maker_note_bytes maker_note_entries"
)
_SAFE_KEYS = frozenset(_CAMERA_KEYS.split() + _MEASURED_KEYS.split())
_DATE_KEYS = frozenset({"DateTime", "DateTimeOriginal", "DateTimeDigitized"})
_DATE = re.compile(r"\d{4}[:-]\d\d[:-]\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[-+]\d\d:?\d\d)?")
# Names of entries that no file chooses. PNG text chunks bring names of their own; the usual ones are listed.
_KNOWN_KEY = re.compile(
    r"[A-Za-z][A-Za-z0-9_]{0,39}|(?:XMP|IPTC) [A-Za-z0-9_-]{1,40}|text (?:JPEG comment|APP12 segment|Title|Author|"
    r"Description|Copyright|Creation Time|Software|Disclaimer|Warning|Source|Comment|parameters|prompt|workflow|dream)"
)
# Facts whose figure and reference are our own words or the camera's model.
_SAFE_TRACES = (
    "camera_facts no_metadata quantisation_tables dimension_conflict thumbnail_match thumbnail_mismatch trailing_data "
    "double_compression main_grid maker_note segment_order"
)
# Fields with a fixed vocabulary of our own: a file whose comment reads "manipulated" must not blot out the verdict.
_RECORD_FIELDS = (
    "label kind strength section id instrument instrument_version trace unit words schema_version format mode band "
    "sha256 examined_at evidence_ids deciding_ids instruments versions"
)
_OUR_WORDS = frozenset(_MEASURED_KEYS.split() + _RECORD_FIELDS.split())
SHORTEST = 4  # characters; a shorter value would be found in any sentence


def sensitive_fields(examination: Mapping[str, Any]) -> dict[str, str]:
    """JSON pointer -> kind of every field of an examination's JSON that a redacted copy leaves out."""
    found: dict[str, str] = {}
    values: dict[str, str] = {}  # text of a sealed value -> kind

    def mark(pointer: str, kind: str, value: Any) -> None:
        found[pointer] = kind
        for _, part in nodes(value):
            if isinstance(part, str | int | float) and not isinstance(part, bool):
                text = str(part).casefold()
                if len(text) >= SHORTEST:
                    values.setdefault(text, kind)

    name = str(examination["source"]["name"])
    mark("/source/name", "path" if "/" in name or "\\" in name else "file name", name)
    for index, item in enumerate(examination["evidence"]):
        if item["kind"] == "fact" or item["instrument"] == "metadata":
            _mark_fact(item, child("/evidence", index), mark)
    for pointer, value in nodes(examination):
        if not isinstance(value, str) or _OUR_WORDS & set(pointer.split("/")):
            continue
        if not any(pointer == p or pointer.startswith(p + "/") for p in found):
            kind = sensitive_text(value, values)
            if kind is not None:
                found[pointer] = kind
    sealed_ids = {
        item["id"]
        for index, item in enumerate(examination["evidence"])
        for part in ("value", "reference", "reference_text")
        if f"/evidence/{index}/{part}" in found
    }
    for index, claim in enumerate(examination["reasoning"]):
        if claim["section"] == "fact" and sealed_ids & set(claim["evidence_ids"]):  # cut or turned, perhaps
            found.setdefault(f"/reasoning/{index}/text", "text")
    return found


def sensitive_text(text: str, values: Mapping[str, str]) -> str | None:
    """The kind of the first sealed value that a text repeats, or of a path, address or position in it; else None."""
    folded = text.casefold()
    for value, kind in values.items():
        if value in folded:
            return kind
    for kind, pattern in _TEXT_KINDS:
        if pattern.search(text):
            return kind
    return None


def _mark_fact(item: Mapping[str, Any], pointer: str, mark: Any) -> None:
    details = item["details"]
    if not all(_KNOWN_KEY.fullmatch(key) for key in details):
        mark(child(pointer, "details"), "text", details)  # a name of an entry came out of the file
    else:
        for key, value in details.items():
            _mark_detail(key, value, child(child(pointer, "details"), key), mark)
    if item["trace"] not in _SAFE_TRACES.split():
        for part in ("value", "reference", "reference_text"):
            if isinstance(item[part], str) and item[part]:
                mark(child(pointer, part), "text", item[part])


def _mark_detail(key: str, value: Any, pointer: str, mark: Any) -> None:
    if key in _SAFE_KEYS or (key in _DATE_KEYS and _DATE.fullmatch(str(value))):
        return
    kind = next((kind for kind, pattern in _KEY_KINDS if pattern.search(key)), None)
    for place, part in _outermost(value, pointer):
        if isinstance(part, bool) or part is None:
            continue
        if kind is not None or isinstance(part, str | dict):
            mark(place, kind or "text", part)


def _outermost(value: Any, pointer: str) -> Iterable[tuple[str, Any]]:
    """Scalars and whole objects, looking into lists only: the names inside an object are not ours to judge."""
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from _outermost(part, child(pointer, index))
    else:
        yield pointer, value


def stays_out(name: str) -> bool:
    """Whether a redacted bag may lack this file of a case: originals, full reports, and what would undo the redaction.

    examination.json is not among them: its redacted copy, whose hash the log holds, lies in its place.
    """
    parts = name.split("/")
    return parts[0] == ORIGINALS or parts[-1] in ("report.html", "salts.json")


def redaction_record(reading: LogReading, state: CaseState, redacted: Mapping[str, bytes]) -> bytes:
    """The content of redaction.json: fields left out, by kind and number; files left out; the head of the full case.

    Args:
        reading: the redacted log.
        redacted: examination id -> the redacted copy of its examination.json.

    Raises:
        ValueError: a copy is no JSON.
    """
    fields = dict(reading.hidden_kinds)
    for number in state.examinations:
        for sealed in commitments(json.loads(redacted[number])).values():
            kind = sealed_kind(sealed) or ""
            fields[kind] = fields.get(kind, 0) + 1
    left_out = [f"{ORIGINALS}/{i.sha256}" for i in state.items.values()]
    left_out += [f"{EXAMINATIONS}/{n}/{f}" for n in state.examinations for f in ("report.html", "salts.json")]
    record = {"format": "fakeexplain-redaction/1", "head": reading.head, "fields": fields, "left_out": sorted(left_out)}
    return canonical(record) + b"\n"


def redacted_copy(examination_json: bytes, salts_json: bytes) -> bytes:
    """The redacted copy of a stored examination, byte for byte as it was hashed when it was recorded."""
    return canonical(apply_openings(json.loads(examination_json), opened(examination_json, salts_json)))


def opened(examination_json: bytes, salts_json: bytes) -> dict[str, Opening]:
    """The openings of an examination's sealed fields. Raises ValueError, TypeError, LookupError if they do not fit."""
    document = json.loads(examination_json)
    salts = json.loads(salts_json)
    return {p: Opening(kind=s["kind"], salt=s["salt"], value=_at(document, p)) for p, s in salts.items()}


def _at(document: object, pointer: str) -> object:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]  # type: ignore[index]
    return document
