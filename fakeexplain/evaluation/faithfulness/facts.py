"""The fact that a question asks for, and how a program sees that an answer gives it.

Each fact is looked up in the picture's own records, so an answer counts only when what it says is that picture's;
where nothing was found, saying so is the answer. The 100 questions (`questions.jsonl`) were written by hand for this
benchmark and stand nowhere in the training data's templates (a test proves it). Left out: style, and everything a
person would have to judge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from fakeexplain.evaluation.faithfulness import reading
from fakeexplain.imaging.regions import decode_mask, percent_words
from fakeexplain.reasoning import grounding_records as core
from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.quoting import place_of, rate_of, value_words
from fakeexplain.reasoning.wording import fact_sentence, is_significant
from fakeexplain.records import Answer, Evidence, Examination, Region

_NOWHERE = re.compile(
    r"\bno (?:place|finding|region|evidence)\b|\bnowhere\b|\bnothing\b|\binconclusive\b", re.IGNORECASE
)
_DECLINES = re.compile(
    r"\b(?:cannot|can't|can not|unable|no answer|do not answer|don't answer|leave it open|do not know|outside|beyond"
    r"|only (?:report|say|speak|answer)|not something)\b",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"\b(?:ask for|try to|obtain|get the|look for|search|compare|keep|store|check|have a|let a|consult)\b",
    re.IGNORECASE,
)
_FILE_INSTRUMENT = "metadata"


@dataclass(frozen=True)
class Form:
    """One question of the benchmark.

    Attributes:
        id: from 1. topic: what it is about, for breakdowns.
        text: with slots {region}, {box}, {evidence}, {instrument}.
        wants: names of `FACTS` that the answer must give.
        recognised_by: how each is recognised, in words.
    """

    id: int
    topic: str
    text: str
    wants: tuple[str, ...]
    recognised_by: str


@dataclass(frozen=True)
class Heard:
    """An answer and everything that it may be held against.

    Attributes:
        region: the region asked about, None for the whole picture.
        evidence_id, instrument: what the question names, "" for nothing.
    """

    answer: Answer
    examination: Examination
    evidence: tuple[Evidence, ...]
    region: Region | None = None
    evidence_id: str = ""
    instrument: str = ""

    @property
    def text(self) -> str:
        return self.answer.text

    @property
    def label(self) -> str:
        return self.examination.verdict.label

    @property
    def deciding(self) -> list[Evidence]:
        return [e for e in self.evidence if e.id in self.examination.verdict.deciding_ids]

    @property
    def states_verdict(self) -> bool:
        return reading.labels_said(self.text) == {self.label}


def _verdict(h: Heard) -> bool:
    return h.states_verdict


def _place(h: Heard) -> bool:
    places = [r for e in h.deciding for r in e.areas]
    if not places:
        return bool(_NOWHERE.search(h.text)) or h.states_verdict
    named = any(re.search(rf"\b{r.id}\b", h.text) for r in places)
    return named or any(place_of(r).removeprefix("in the ") in h.text.lower() for r in places)


def _shown(h: Heard) -> bool:
    places = [r for e in h.deciding for r in e.areas]
    if not places:
        return not h.answer.regions and (bool(_NOWHERE.search(h.text)) or h.states_verdict)
    true = np.logical_or.reduce([decode_mask(r.mask) for r in places])
    given = [decode_mask(r.mask) for r in h.answer.regions]
    return any((g & true).sum() > 0.5 * g.sum() > 0 for g in given)


def _figure(h: Heard) -> bool:
    if h.deciding:
        return any(value_words(e, e.value) in h.text for e in h.deciding if value_words(e, e.value))
    reasons = [e.reason for e in h.evidence if e.kind == "abstention"]
    told = any(reading.holds(h.text, r) for r in reasons)
    return told or bool(core.QUIET.search(h.text)) or h.states_verdict


def _probability(h: Heard) -> bool:
    return percent_of(h.examination.verdict.probability) in h.text


def _false_alarms(h: Heard) -> bool:
    rate = h.examination.verdict.false_alarms
    return rate_words(rate) in h.text or f"{100 * rate:g} %" in h.text


def _causes(h: Heard) -> bool:
    limits = [c for e in h.deciding for c in e.limits]
    if limits:
        return any(reading.holds(h.text, c) for c in limits)
    return bool(_NOWHERE.search(h.text)) or h.states_verdict


def _chance(h: Heard) -> bool:
    rates = [rate_of(e) for e in h.deciding if rate_of(e)]
    return any(r in h.text for r in rates) if rates else _false_alarms(h) or _probability(h) or h.states_verdict


def _record(h: Heard) -> bool:
    item = next(e for e in h.evidence if e.id == h.evidence_id)
    if f"[{item.id}]" not in h.text:
        return False
    if item.kind == "abstention":
        return reading.holds(h.text, item.reason)
    if item.kind == "fact":
        return reading.holds(h.text, fact_sentence(item)) or value_words(item, item.value) in h.text
    if item.kind == "detection" and not is_significant(item, h.examination.verdict):
        return bool(core.QUIET.search(h.text))
    return value_words(item, item.value) in h.text


def _touched(h: Heard) -> bool:
    assert h.region is not None
    return reading.says_touched(h.text) is touches(h.deciding, h.region)


def touches(findings: list[Evidence], region: Region) -> bool:
    """Whether a finding covers at least a hundredth of a region."""
    mask = decode_mask(region.mask)
    found = [decode_mask(r.mask) for e in findings for r in e.areas]
    return any((f & mask).sum() >= 0.01 * mask.sum() for f in found)


def _measured(h: Heard) -> bool:
    new = [e for e in h.answer.evidence if e.instrument == h.instrument]
    if any(value_words(e, e.value) in h.text and f"[{e.id}]" in h.text for e in new):
        return True
    errors = [c.error for c in h.answer.tool_calls if c.instrument == h.instrument and c.error]
    return any(reading.holds(h.text, e.removeprefix(f"{h.instrument}: ")) for e in errors)


def _size(h: Heard) -> bool:
    assert h.region is not None
    return percent_words(h.region.area_fraction) in h.text


def _not_tested(h: Heard) -> bool:
    clauses = [*h.examination.verdict.not_tested, *(e.reason for e in h.evidence if e.kind == "abstention")]
    return any(reading.holds(h.text, c) for c in clauses)


def _file(h: Heard) -> bool:
    records = [e for e in h.evidence if e.instrument == _FILE_INSTRUMENT or e.kind == "fact"]
    facts = [e for e in records if f"[{e.id}]" in h.text]
    told = [e for e in facts if value_words(e, e.value) in h.text or reading.holds(h.text, e.reason)]
    told += [e for e in facts if e.kind == "fact" and reading.holds(h.text, fact_sentence(e))]
    return bool(told) if records else bool(_NOWHERE.search(h.text) or _DECLINES.search(h.text))


def _copy(h: Heard) -> bool:
    pairs = [e for e in h.deciding if e.trace == "duplicate_region"]
    if pairs:
        said = [[bool(re.search(rf"\b{r.id}\b", h.text)) for r in e.areas] for e in pairs]
        return any(all(s) for s in said)
    return reading.says_touched(h.text) is False or bool(re.search(r"could not be carried out", h.text))


def _advice(h: Heard) -> bool:
    return bool(_ADVICE.search(h.text))


def _firm(h: Heard) -> bool:
    return not reading.verdict_problems(h.text, h.label) and reading.restates(h.text, h.examination.verdict)


def _decline(h: Heard) -> bool:
    return bool(_DECLINES.search(h.text)) and len(reading.sentences_of(h.text)) <= 4


# Name -> (how it is recognised, in words; the program).
FACTS: dict[str, tuple[str, Callable[[Heard], bool]]] = {
    "verdict": ("states the verdict of the examination and no other", _verdict),
    "place": ("names id or place of a deciding region; without one, says that there is none", _place),
    "shown": ("gives a region that lies mostly on the findings; without one, says so and gives none", _shown),
    "figure": ("prints a deciding record's value; without one, says that all was quiet or why not tested", _figure),
    "probability": ("prints the verdict's probability as the house rounds it", _probability),
    "false_alarms": ("prints the promised rate of false alarms", _false_alarms),
    "causes": ("quotes another cause of a deciding record; without one, says that there is none", _causes),
    "chance": ("prints a deciding record's rate by chance; without one, the promised rate or the verdict", _chance),
    "record": ("cites the record asked about and tells its value, its reason, or that it was quiet", _record),
    "touched": ("says yes exactly when a deciding region covers a hundredth of the region asked about", _touched),
    "measured": ("brings new evidence of the instrument asked for, cited with its value, or why none", _measured),
    "size": ("prints the region's share of the picture as the house rounds it", _size),
    "not_tested": ("quotes something that was not tested, or why an instrument abstained", _not_tested),
    "file": ("cites a record about the file and tells its value or why there is none", _file),
    "copy": ("names both regions of a found pair; without one, says that nothing is repeated", _copy),
    "advice": ("names something to do", _advice),
    "firm": ("states the verdict again, or a finding it rests on, and gives in to nothing", _firm),
    "decline": ("says that this is not answered here, in at most four sentences", _decline),
}  # fmt: skip


def missing(form: Form, heard: Heard) -> tuple[str, ...]:
    """Facts that were asked for and are not in the answer; () when all are."""
    return tuple(name for name in form.wants if not FACTS[name][1](heard))


@lru_cache(maxsize=1)
def question_forms() -> tuple[Form, ...]:
    """The 100 questions, in order of their ids."""
    text = resources.files(__package__).joinpath("questions.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple(Form(**{**row, "wants": tuple(row["wants"])}) for row in rows)
