"""The writers without a model: an answer by rule to every kind of question, the same records always in the same words.

It is the default, the fallback where a model is missing, and the measure a model has to beat. Left out: what the
sentences say (`plain_answers`) and what a question asks for (`intents`).
"""

from __future__ import annotations

from collections.abc import Iterator

from fakeexplain.reasoning.intents import understand
from fakeexplain.reasoning.plain_answers import PlainAnswers
from fakeexplain.reasoning.writers import WriteRequest


class PlainWriter:
    """Deterministic wording by intent; needs nothing and never fails."""

    name = "plain"

    def write(self, request: WriteRequest) -> Iterator[str]:
        """One sentence, or one tool line, a line."""
        answers = PlainAnswers(request, understand(request.question, has_region=request.region_id is not None))
        for sentence in answers.sentences():
            yield sentence + "\n"


class TellingWriter:
    """Tells what a tool call of the user's brought."""

    name = "plain"

    def __init__(self, instrument: str, region_id: str) -> None:
        self._instrument, self._region_id = instrument, region_id

    def write(self, request: WriteRequest) -> Iterator[str]:
        """One sentence a line."""
        answers = PlainAnswers(request, understand(request.question))
        call = request.calls[0]
        item = next((e for e in request.evidence if e.id and e.id == call.evidence_id), None)
        if item is not None:
            yield from (s + "\n" for s in answers.measured(item))
        elif self._region_id in request.regions:
            yield from (s + "\n" for s in answers.failed(call))
        else:
            yield "There is no region of that number; mark one with a box.\n"
