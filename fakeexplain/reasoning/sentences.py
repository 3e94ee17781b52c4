"""Text that arrives in pieces -> sentences, as soon as each is finished.

A line break ends a sentence, and so does a full stop that blanks and something else follow, unless it stands in quoted
or bracketed text. A citation that comes after the full stop belongs to the sentence before it. Left out:
what sentences say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 1500  # characters after which a bracket or quotation mark that never closes stops counting
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|cf|approx|vs|no|fig)|\b[A-Z])\.$", re.IGNORECASE)
_OPEN, _CLOSE = "(“", ")”"


class Sentences:
    """Collects pieces; gives whole sentences."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, piece: str) -> Iterator[str]:
        """Sentences that this piece finished."""
        self._text += piece
        while (end := self._end()) is not None:
            sentence, self._text = self._text[:end].strip(), self._text[end:].lstrip(" \t\r\n")
            if sentence:
                yield sentence

    def flush(self) -> Iterator[str]:
        """What is left at the end."""
        sentence, self._text = self._text.strip(), ""
        if sentence:
            yield sentence

    def _end(self) -> int | None:
        depth = 0
        text = self._text
        for i, character in enumerate(text):
            if character == "\n":
                return i + 1
            if character in _OPEN:
                depth += 1
            elif character in _CLOSE:
                depth = max(depth - 1, 0)
            elif character in ".!?" and (depth == 0 or i > _LONGEST):
                rest = text[i + 1 :]
                after = rest.lstrip(" \t")
                if rest == after or not after or after[0] in "[" or after[0] == "\n":
                    cites = re.match(r"\s*((?:\[E\d+[^\]]*\]\s*)+)(?=\S)", rest)
                    if cites is not None and rest != after:
                        return i + 1 + cites.end(1)
                    continue
                if character != "." or not _ABBREVIATED.search(text[: i + 1][-8:]) or text[: i + 1].endswith("E."):
                    return i + 1
        return None
