"""Who proposes sentences: the protocol of all writers, and what a writer is given.

A writer proposes; it never decides. The verdict is in the examination, and whatever a writer says is read back by
`grounding` before anybody sees it. Left out: the writers themselves (`plain_writer`, `url_writer`, `local_writer`,
`assistant_writer`) and the dialogue (`fakeexplain.conversation`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.sights import Sights
from fakeexplain.records import Evidence, Examination, Region, ToolCall

SEG_MARK = "<SEG>"
_TOOL_LINE = re.compile(r"\s*[`*>-]*\s*measure\s+([A-Za-z_]+)\s+on\s+(R\d+)\s*[`*]*\.?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class WriteRequest:
    """Everything that may be spoken of in one answer.

    Attributes:
        source: the picture. examination: of it; holds the verdict.
        evidence: the examination's and all that was measured in the dialogue so far.
        regions: every id that may be named (R1, ...).
        history: (question, text of the answer) of earlier turns.
        question: as asked. region_id: what it is about, None for the whole picture.
        feedback: what the checker refused, for the one regeneration; "" at first.
        calls: tool calls of this turn, in order; their evidence is the last in `evidence`.
        said: with feedback, the writer's own sentences that stand before the refused one; "" where there are none.
        more: whether `said` stands and leaves something out that was asked for; `feedback` says so, too.
        sights: what may be said of the views of map and picture; None where nobody looks.
        failed: region id and reason of every measurement of the dialogue that could not be made.
    """

    source: SourceImage
    examination: Examination
    evidence: tuple[Evidence, ...]
    regions: Mapping[str, Region]
    history: tuple[tuple[str, str], ...]
    question: str
    region_id: str | None = None
    feedback: str = ""
    calls: tuple[ToolCall, ...] = ()
    said: str = ""
    failed: tuple[tuple[str, str], ...] = ()
    more: bool = False
    sights: Sights | None = None


class Writer(Protocol):
    """Proposes sentences and tool lines (`measure noise on R1`, alone on a line).

    Attributes:
        name: goes into `Answer.writer`.
    """

    @property
    def name(self) -> str: ...

    def write(self, request: WriteRequest) -> Iterator[str]:
        """Pieces of text, cut anywhere; the caller splits sentences and may stop listening at any time.

        Raises:
            WriterError: it cannot answer now (a server that does not reply, a text too long).
        """
        ...


@runtime_checkable
class SegmentingWriter(Protocol):
    """A writer that can also point: its `<SEG>` stands for a region."""

    def segment(self, request: WriteRequest, answer: str) -> np.ndarray | None:
        """bool HxW that the last `<SEG>` of the answer so far stands for, at source size; None if there is none."""
        ...


@runtime_checkable
class LookingWriter(Protocol):
    """A writer that sees the expert's map: whoever examines lets it run the expert, and it need not run twice."""

    def localize(self, source: SourceImage, *, threads: int | None = None) -> Any:
        """The expert's `Localization` of a picture, and what the writer wants to keep of the run."""
        ...


def tool_line(text: str) -> tuple[str, str] | None:
    """(instrument, region id) of a line that is nothing but a tool call.

    >>> tool_line("measure noise on R2"), tool_line("I measure noise on R2 for you.")
    (('noise', 'R2'), None)
    """
    match = _TOOL_LINE.fullmatch(text)
    return (match.group(1).lower(), match.group(2).upper()) if match else None
