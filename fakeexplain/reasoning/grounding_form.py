"""Whether a sentence is one: small language models break off, repeat themselves and run two sentences into one.

A sentence can be true in each of its parts and say nothing as a whole ("The touch R1 [E2]."). Nothing here reads
records. Left out: grammar in general; only what was seen to go wrong is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CITATIONS = re.compile(r"\s*\[E\d+\]")
_BROKEN = (
    (
        "breaks off",
        re.compile(
            r"\b(?:of|the|an?|than|to|at|and|or|in|as|by|from|most|compared|has|have|which"
            r"|(?<!as it )(?:is|was)|(?<!as they )(?:are|were))\s*[.)!?]*$"
            r"|\bat most (?!\d|…|RATE)",
            re.IGNORECASE,
        ),
    ),
    (
        "holds words that do not follow each other",
        re.compile(
            r"\b(?:the|an?) (?:touch(?:es)?|lies?|covers|is|are|was|were|has|have|of|in|and|at|no|not|which|that)\b"
            r"|\ba (?:evidence|[aeio]\w{2,})\b|\bput(?:,| which\b| that\b)"
            r"|(?<!what )(?<!that )(?<!which )\b(?:was|were) found (?:is|are|was|were)\b"
            r"|\b(?:is|are|was|were) (?:is|are|was|were|has|lies|covers)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "says the same twice",
        re.compile(
            r"\b(R\d+) (?:of|in|is|lies in|is inside|touches) (?:the )?(?:finding |region |area )?\1\b"
            r"|\bR\d+ (?:is|are) R\d+\b"
            r"|\b([a-z]+(?: [a-z]+){1,2}) (?:of |in |and |the |is )?\2\b",
            re.IGNORECASE,
        ),
    ),
)


def form_problems(said: str) -> Iterator[str]:
    """said: a sentence without what it quotes from the records."""
    text = _CITATIONS.sub("", said)
    if not re.search(r"[.!?:…”\")›]\s*$", text):
        yield "does not end"
    if text.count("(") != text.count(")"):
        yield "opens or closes a bracket and not both"
    for problem, pattern in _BROKEN:
        if pattern.search(text):
            yield problem
