"""Asks one question and keeps what is needed to judge the answer: the records known then, and what was proposed.

Left out: which questions are asked (`protocol`) and what an answer must hold (`facts`, `reading`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fakeexplain.conversation import Conversation
from fakeexplain.errors import WriterError
from fakeexplain.evaluation.faithfulness import reading
from fakeexplain.evaluation.faithfulness.boxes import Box
from fakeexplain.evaluation.faithfulness.facts import Form, Heard, missing
from fakeexplain.evaluation.faithfulness.recording import Recorder
from fakeexplain.evaluation.faithfulness.rows import Asked
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning import grounding_records as core
from fakeexplain.reasoning.quoting import box_words
from fakeexplain.records import Answer, Evidence, Examination, Region

INSTRUMENTS = ("noise", "jpeg_grid", "region_contrast")  # that measure a chosen region; see `Instrument.measure`


@dataclass(frozen=True)
class Talk:
    """Who answers, and about what.

    Attributes:
        examiner: measures in the dialogue. writer: proposes sentences, and is heard.
        source, examination: the picture and everything about it (or another picture's, in a swap).
    """

    examiner: Examiner
    writer: Recorder
    source: SourceImage
    examination: Examination

    def conversation(self) -> Conversation:
        return Conversation(self.examiner, self.source, writer=self.writer.writer, examination=self.examination)


def ask(
    conversation: Conversation, writer: Recorder, question: str, region: Region | None = None
) -> tuple[Answer, str]:
    """(the answer, what the writer proposed at first). Raises FakeExplainError."""
    writer.clear()
    answer = conversation.ask(question, region=None if region is None else region.id)
    return answer, writer.proposed()


def text_of(conversation: Conversation, writer: Recorder, question: str, region: Region | None = None) -> str:
    """The answer's text; "" where the writer could not answer, which then counts as an answer without anything."""
    try:
        return ask(conversation, writer, question, region)[0].text
    except WriterError:
        return ""


def question_about(form: Form, talk: Talk, conversation: Conversation, rng: np.random.Generator) -> tuple[str, Heard]:
    """A form filled in for a picture, and what the answer (still empty) will be held against."""
    region, evidence_id, instrument = None, "", ""
    if "{region}" in form.text:
        region = conversation.add_region(box_xyxy=_box(talk.examination, rng))
    values = {} if region is None else {"region": region.id, "box": box_words(region.box_xyxy)}
    if "{evidence}" in form.text:
        evidence_id = str(rng.choice([e.id for e in talk.examination.evidence]))
    if "{instrument}" in form.text:
        instrument = str(rng.choice(INSTRUMENTS))
    question = form.text.format(**values, evidence=evidence_id, instrument=instrument)
    empty = Answer(question=question, text="", sentences=(), writer="")
    return question, Heard(empty, talk.examination, conversation.evidence, region, evidence_id, instrument)


def _box(examination: Examination, rng: np.random.Generator) -> Box:
    """Half of the boxes lie about a finding, the others anywhere; the truth is not looked at."""
    height, width = examination.source.height, examination.source.width
    w, h = (max(24, int(side * rng.uniform(0.15, 0.4))) for side in (width, height))
    x, y = int(rng.integers(max(width - w, 1))), int(rng.integers(max(height - h, 1)))
    regions = [e.region for e in examination.evidence if e.id in examination.verdict.deciding_ids and e.region]
    if regions and rng.random() < 0.5:
        x0, y0, x1, y1 = regions[int(rng.integers(len(regions)))].box_xyxy
        x = int(np.clip((x0 + x1 - w) // 2, 0, max(width - w, 0)))
        y = int(np.clip((y0 + y1 - h) // 2, 0, max(height - h, 0)))
    return x, y, min(x + w, width), min(y + h, height)


def judge(
    form: Form, heard: Heard, proposed: str, regions: Mapping[str, Region]
) -> tuple[Asked, list[Evidence], core.Known]:
    """(what an answer was worth, the records it cites, everything it may speak of)."""
    answer, examination = heard.answer, heard.examination
    known = reading.known_from(examination, heard.evidence, regions)
    known.quotable = tuple(c.error for c in answer.tool_calls if c.error)
    shown = [s.text for s in answer.sentences]
    factual = [s for s in shown if reading.is_factual(s, examination, known.quotable)]
    drafts = reading.sentences_of(proposed)
    asked = Asked(
        form=form.id,
        topic=form.topic,
        question=answer.question,
        text=answer.text,
        missing=missing(form, heard),
        schema=tuple(reading.schema_problems(answer, known)),
        verdict=tuple(reading.verdict_problems(answer.text, heard.label)),
        sentences=len(shown),
        own=sum(s.written_by == "model" for s in answer.sentences),
        factual=len(factual),
        cited=sum(bool(core.CITED.search(s)) for s in factual),
        invented=tuple(reading.invented(shown, known, examination)),
        proposed=len(drafts),
        proposed_invented=tuple(reading.invented(drafts, known, examination)),
        struck=answer.struck,
        seconds=answer.seconds.get("total", 0.0),
    )
    cited = [known.evidence[i] for i in dict.fromkeys(core.CITED.findall(answer.text)) if i in known.evidence]
    return asked, cited, known
