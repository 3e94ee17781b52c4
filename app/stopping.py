"""A writer that stops when its task must: between two pieces of text, so also in the middle of a sentence.

Left out: stopping a model inside one piece; a thread cannot be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fakeexplain.reasoning.plain_writer import PlainWriter
from fakeexplain.reasoning.writers import SegmentingWriter, Writer, WriteRequest


def stoppable(writer: Writer | None, check: Callable[[], None]) -> Writer:
    """The writer, with `check` called before each piece; None is the deterministic one, which needs no stopping."""
    if writer is None or isinstance(writer, PlainWriter):
        return writer or PlainWriter()
    return _StoppableSegmenting(writer, check) if isinstance(writer, SegmentingWriter) else _Stoppable(writer, check)


class _Stoppable:
    def __init__(self, writer: Writer, check: Callable[[], None]) -> None:
        self._writer = writer
        self._check = check
        self.name = writer.name

    def write(self, request: WriteRequest) -> Iterator[str]:
        self._check()
        pieces = self._writer.write(request)
        try:
            for piece in pieces:
                self._check()
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()


class _StoppableSegmenting(_Stoppable):
    def segment(self, request: WriteRequest, answer: str) -> np.ndarray | None:
        self._check()
        assert isinstance(self._writer, SegmentingWriter)
        return self._writer.segment(request, answer)
