"""The writer without a model: an answer by rule to every kind of question, the same records always in the same words.

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
