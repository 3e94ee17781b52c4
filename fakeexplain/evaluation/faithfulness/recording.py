"""Listens to a writer: what it proposed, before anybody checked or repaired it.

The no-invention rate before repair is counted on what is kept here. The writer that is listened to is a copy of the one
given, of its own class, so that whoever asks what kind of writer it is gets the same answer. Left out: judging.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from fakeexplain.reasoning.writers import SegmentingWriter, Writer, WriteRequest, tool_line


class Recorder:
    """A writer, and what it said.

    Attributes:
        writer: does what the one given does, and is heard.
        drafts: (text, whether it was the one regeneration), one for each time it was asked, since `clear`.
        regions: bool HxW, what a `<SEG>` was decoded to each time, since `clear`; shown or not.
    """

    def __init__(self, writer: Writer) -> None:
        self._original = writer
        self.writer = copy.copy(writer)
        self.drafts: list[tuple[str, bool]] = []
        self.regions: list[np.ndarray] = []
        object.__setattr__(self.writer, "write", self._write)  # past frozen dataclasses, too
        if isinstance(writer, SegmentingWriter):
            object.__setattr__(self.writer, "segment", self._segment)

    @property
    def name(self) -> str:
        return self._original.name

    def _write(self, request: WriteRequest) -> Iterator[str]:
        number, again = len(self.drafts), bool(request.feedback)
        self.drafts.append(("", again))
        for piece in self._original.write(request):
            self.drafts[number] = (self.drafts[number][0] + piece, again)
            yield piece

    def _segment(self, request: WriteRequest, answer: str) -> np.ndarray | None:
        assert isinstance(self._original, SegmentingWriter)
        mask = self._original.segment(request, answer)
        if mask is not None and mask.any():
            self.regions.append(mask)
        return mask

    def clear(self) -> None:
        self.drafts, self.regions = [], []

    def proposed(self) -> str:
        """What was proposed at first, without tool lines."""
        first = "\n".join(text for text, again in self.drafts if not again)
        return "\n".join(line for line in first.splitlines() if tool_line(line) is None)
