"""Documents from which single fields can be taken away later without breaking the hash over the rest.

A sensitive value is replaced by a commitment, the hash of its kind, a random salt and itself, and the document is
hashed in this *sealed* form. Kind, salt and value, the *opening*, are kept beside it. Who has the opening can check
that it is the value that was sealed; who gets the sealed document alone can still check the document's hash, and
learns nothing about the value, for the salt of 128 random bits forbids trying out likely ones. Left out: which fields
are sensitive (see `redaction`).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from fakeexplain.records import Record

_SEALED = re.compile(r"\[redacted:([a-z ]+):([0-9a-f]{64})\]")


class Opening(Record):
    """What proves a commitment: the kind of field, 32 hex digits of salt, and the JSON value."""

    kind: str
    salt: str
    value: Any


def canonical(document: Any) -> bytes:
    """The one byte string of a JSON document: sorted keys, no spaces, ASCII, no NaN. Raises ValueError, TypeError."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def commitment(kind: str, salt: str, value: Any) -> str:
    """The string that stands in a sealed document: "[redacted:KIND:SHA256]"."""
    return f"[redacted:{kind}:{sha256_of(canonical([kind, salt, value]))}]"


def sealed_kind(value: Any) -> str | None:
    """The kind of field that was taken away here, None for anything but a commitment."""
    match = _SEALED.fullmatch(value) if isinstance(value, str) else None
    return match.group(1) if match else None


def child(pointer: str, key: str | int) -> str:
    """The JSON pointer (RFC 6901) one step further down."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def nodes(document: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """(JSON pointer, value) of everything in a document, from the top down."""
    yield pointer, document
    if isinstance(document, dict):
        for key, value in document.items():
            yield from nodes(value, child(pointer, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from nodes(value, child(pointer, index))


def replaced(document: Any, values: Mapping[str, Any], pointer: str = "") -> Any:
    """A copy with the values at these pointers replaced; pointers that lead nowhere are passed over."""
    if pointer in values:
        return values[pointer]
    if isinstance(document, dict):
        return {k: replaced(v, values, child(pointer, k)) for k, v in document.items()}
    if isinstance(document, list):
        return [replaced(v, values, child(pointer, i)) for i, v in enumerate(document)]
    return document


def seal(document: Any, kinds: Mapping[str, str]) -> tuple[Any, dict[str, Opening]]:
    """Seals the values at these pointers (pointer -> kind); below a sealed object nothing is sealed again.

    A string that looks like a commitment is sealed too, so that nothing in a sealed document is one by accident.

    Returns:
        (the sealed document, its openings by pointer).
    """
    openings: dict[str, Opening] = {}
    inside = None
    for pointer, value in nodes(document):
        if inside is not None and pointer.startswith(inside):
            continue
        kind = kinds.get(pointer) if value is not None else None
        if kind is None and sealed_kind(value) is not None:
            kind = "text"
        if kind is not None:
            openings[pointer] = Opening(kind=kind, salt=secrets.token_hex(16), value=value)
            inside = pointer + "/"
    return apply_openings(document, openings), openings


def apply_openings(document: Any, openings: Mapping[str, Opening]) -> Any:
    """The sealed form of a plain document, from openings made before.

    An object stays an object, {"redacted": COMMITMENT}, so that the sealed document keeps to the same schema.
    """
    stand_ins: dict[str, Any] = {}
    for pointer, opening in openings.items():
        sealed = commitment(opening.kind, opening.salt, opening.value)
        stand_ins[pointer] = {"redacted": sealed} if isinstance(opening.value, dict) else sealed
    return replaced(document, stand_ins)


def unseal(document: Any, openings: Mapping[str, Opening]) -> Any:
    """The plain document; commitments without an opening stay. Openings must have been checked."""
    return replaced(document, {p: o.value for p, o in openings.items()})


def commitments(document: Any) -> dict[str, str]:
    """The commitments of a sealed document by pointer, a sealed object's by the pointer of the object."""
    found = {p: v for p, v in nodes(document) if sealed_kind(v) is not None}
    whole = {p for p, v in nodes(document) if isinstance(v, dict) and set(v) == {"redacted"}}
    return {(parent if (parent := p.rpartition("/")[0]) in whole else p): v for p, v in found.items()}


def opening_problems(document: Any, openings: Mapping[str, Opening]) -> tuple[list[str], set[str]]:
    """What is wrong with the openings of a sealed document, and which commitments have none (pointers)."""
    sealed, problems = commitments(document), []
    for pointer, opening in openings.items():
        if pointer not in sealed:
            problems.append(f"an opening for {pointer}, where nothing is sealed")
        elif sealed[pointer] != commitment(opening.kind, opening.salt, opening.value):
            problems.append(f"the value of {pointer} is not the one that was recorded")
    return problems, set(sealed) - set(openings)


def shortened(document: Any) -> Any:
    """For people: commitments cut to their kind and first digits."""
    short = {
        p: f"[redacted: {kind}, {v.rsplit(':', 1)[1][:8]}]"
        for p, v in nodes(document)
        if (kind := sealed_kind(v)) is not None
    }
    return replaced(document, short)
