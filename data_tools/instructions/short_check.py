"""Reads short questions and answers back and checks them: which question it is, and what the record says to it.

The question is recognised by its words, not by the template it came from, and the facts are worked out again from the
mask or the picture's figures. A question that is not recognised is a problem, and so is one that cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from data_tools.instructions.seen import COLOURS
from data_tools.instructions.short_facts import CELLS, HALVES, MarkFacts, SightFacts, mark_answer, sight_answer
from data_tools.schema import IMAGE_TOKEN, InlineMask, Record

_CELL = "|".join(sorted(CELLS, key=len, reverse=True))
# kind -> what its questions say; the first that is found counts, and a group holds the name that is asked about.
_MARK: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("marked", re.compile(r"\banything marked\b|\bmark anything\b")),
    ("side", re.compile(r"\bto the left or to the right\b")),
    ("height", re.compile(r"\bthe upper or the lower half\b")),
    ("half", re.compile(rf"\bin the ({'|'.join(HALVES)}) half\b")),
    ("cell", re.compile(rf"\bin the ({_CELL})\b")),
    ("where", re.compile(r"^where\b|\bwhich place\b|\bthe place of\b")),
    ("share", re.compile(r"\bhow much\b|\bwhat share\b|\bas a share\b")),
    ("size", re.compile(r"\btiny, small, medium-sized or large\b")),
    ("parts", re.compile(r"\bhow many parts\b")),
    ("shape", re.compile(r"\bcompact, elongated or ragged\b")),
    ("border", re.compile(r"\b(?:touch|reach) the (?:border|edge)\b")),
    ("middle", re.compile(r"\bnear the middle\b")),
    ("strength", re.compile(r"\bfaint or clear\b")),
    ("all", re.compile(r"^describe\b|\bwhat can you say\b")),
)
_SIGHT: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("light", re.compile(r"\bdark, of medium brightness or bright\b")),
    ("colourful", re.compile(r"\bcolourful or nearly grey\b")),
    ("busy", re.compile(r"\bplain or busy\b")),
    ("brightest", re.compile(r"\bbrightest\b")),
    ("darkest", re.compile(r"\bdarkest\b")),
    ("colour", re.compile(r"\bwhich colour\b")),
    ("has_colour", re.compile(rf"\bmuch ({'|'.join(COLOURS)})\b")),
    ("object_side", re.compile(r"\bleft or right: (.+)\?$")),
    ("object", re.compile(r"\b(?:show this|to be seen): (.+)\?$")),
)


def read_question(text: str, about_map: bool) -> tuple[str, str] | None:
    """(kind, name that is asked about) of a question; None for one that is not recognised."""
    for kind, pattern in _MARK if about_map else _SIGHT:
        if found := pattern.search(text.lower()):
            return kind, found.group(1) if pattern.groups else ""
    return None


def is_short(record: Record) -> bool:
    """Whether a record is one of short answers."""
    return any(entry.get("on") in ("map", "sight") for entry in record.history)


def check_short(record: Record) -> list[str]:
    """Everything in a record of short answers that does not agree with its mask, or with what is seen."""
    entry = next(e for e in record.history if e.get("on") in ("map", "sight"))
    return list(_problems(record, entry))


def _problems(record: Record, entry: dict[str, Any]) -> Iterator[str]:
    marks: MarkFacts | None = None
    if entry["on"] == "map":
        region = record.dialogue[0].region
        if region is None or not isinstance(region.mask, InlineMask):
            yield "no mask comes with the first question"
            return
        marks = MarkFacts.of(region.mask.mask(), float(entry["peak"]))
    turns = record.dialogue
    if len(turns) % 2 or any(m.role != ("user", "assistant")[i % 2] for i, m in enumerate(turns)):
        yield "the turns are not questions and answers"
        return
    for number in range(0, len(turns), 2):
        question, said = turns[number].content.replace(IMAGE_TOKEN, "").strip(), turns[number + 1].content
        asked = read_question(question, marks is not None)
        if asked is None:
            yield f"turn {number}: no known question: {question!r}"
            continue
        truth = mark_answer(*asked, marks) if marks is not None else sight_answer(*asked, SightFacts.of(entry))
        if truth is None:
            yield f"turn {number}: nobody can tell: {question!r}"
        elif said != truth:
            yield f"turn {number + 1}: {said!r} to {question!r}, the record says {truth!r}"
