"""Whether an answer holds what was asked for, and the deterministic sentences that complete it where it does not.

A model's sentences are true one by one (`grounding`) and may still be beside the point: asked how sure we are, it tells
what was found. For questions that ask for one definite thing this looks for that thing in the answer. Left out:
questions whose answer is a matter of choice (explain, court): there the model's word stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from fakeexplain.reasoning.grounding import Checked
from fakeexplain.reasoning.grounding_records import QUIET
from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.plain_answers import PlainAnswers
from fakeexplain.reasoning.plain_records import TEXT
from fakeexplain.reasoning.quoting import instrument_words, place_of, quote, size_of
from fakeexplain.reasoning.touching import touching
from fakeexplain.records import AnswerSentence, Region

_STATES = {
    "manipulated": r"\bevidence\b|\bpoints? to\b|\balter|\bchange|\bedit|\bfinding",
    "no_evidence": r"\bno (?:\w+ ){0,3}evidence\b|\bno findings?\b|\bnothing\b|\bnone\b|\bnowhere\b",
    "inconclusive": r"\binconclusive\b|\bno answer\b|\bopen\b",
}
_STEPS = r"\b(?:ask|obtain|get|request|look|compare|search|find|keep|preserve|repeat|second)\b"
_DECLINES = (
    r"\bno answer\b|\bcannot help\b|\bleave it open\b|\boutside\b|\bnothing about that\b|\bdo not recogni[sz]e\b"
)
_CHILDLIKE = r"\bevidence\b|\bpuzzle\b|\bdots\b|\bpattern\b|\bclues\b|\bfootprints?\b|\binconclusive\b"
_UNTOUCHED = r"\bno (?:\w+ ){0,2}finding|\bnot touched by (?:a|any) finding|\bfree of findings\b"
_NO_RESULT = re.compile(r"\b(?:(?:no|without a) result|abstained|could not be applied)\b")
_UNTOLD = r"\bwhich of the two [\w ]{3,20} cannot be told\b"
MOST = 4  # sentences that complete an answer


def completion(answers: PlainAnswers, text: str) -> list[str]:
    """Sentences to add to an answer; none where it holds what was asked for.

    Args:
        answers: by rule, to the same question. text: the answer as shown so far.
    """
    intent = answers.asked.intent
    missing: dict[str, Callable[[], list[str]]] = {
        "detect": lambda: _unless(_states(answers, text), answers.detect),
        "pressure": lambda: _unless(_states(answers, text), answers.detect),
        "leading": lambda: _unless(_states(answers, text), answers.detect),
        "injection": lambda: _unless(_states(answers, text), answers.detect),
        "locate": lambda: _unless(_places(answers, text), answers.locate),
        "show": lambda: _unless(_places(answers, text), answers.locate),
        "confidence": lambda: _unsure(answers, text),
        "causes": lambda: _unless(_causes(answers, text), answers.causes),
        "child": lambda: _unless(_says(_CHILDLIKE, text), answers.child),
        "region": lambda: _of_region(answers, text),
        "tool": lambda: _untold(answers, text),
        "evidence": lambda: _unless(_named(answers, text), answers.about_evidence),
        "off_topic": lambda: _unless(_says(_DECLINES, text), answers.sentences),
        "source_of_copy": lambda: _of_source(answers, text),
        "file": lambda: _untold_of_file(answers, text),
        "glossary": lambda: [s for s in answers.glossary() if s not in text],
        "not_tested": lambda: _unless(_not_tested(answers, text), answers.not_tested),
        "instruments": lambda: _unless(_instruments(answers, text), answers.instruments),
        "dimensions": lambda: _unless(_size(answers, text), answers.dimensions),
        "operation": lambda: _unless(TEXT["kind_unknown"] in text, answers.operation),
        "quality": lambda: _unless(any(s.rstrip(".") in text for s in answers.quality()), answers.quality),
        "next_steps": lambda: _unless(_says(_STEPS, text), answers.sentences),
        "map": lambda: _unseen(answers, text, picture=False),
        "picture": lambda: _unseen(answers, text, picture=True),
    }
    said = missing.get(intent, list)()
    for other in answers.asked.also:
        said += [s for s in missing.get(other, list)() if s not in said]
    if not said and not _named(answers, text):  # whatever else was asked, a record that was named is told
        said = answers.about_evidence()
    return [s for s in said if not s.startswith("measure ")][: MOST * (1 + len(answers.asked.also))]


def _unless(holds: bool, by_rule: Callable[[], Iterable[str]]) -> list[str]:
    return [] if holds else list(by_rule())


def _says(pattern: str, text: str) -> bool:
    return bool(re.search(pattern, text, re.IGNORECASE))


def _states(answers: PlainAnswers, text: str) -> bool:
    return _says(_STATES[answers.verdict.label], text)


def _places(answers: PlainAnswers, text: str) -> bool:
    """One of the places found, by its id or in words; that there is none, where there is none."""
    regions = [r for e in answers.findings for r in e.areas]
    if not regions:
        return _states(answers, text)
    return any(re.search(rf"\b{r.id}\b", text) or place_of(r).lower() in text.lower() for r in regions)


def _causes(answers: PlainAnswers, text: str) -> bool:
    limits = [quote(c) for e in answers.findings for c in e.limits]
    if not limits:
        return _says(r"no (?:\w+ ){0,2}finding|nothing|no (?:\w+ ){0,3}evidence", text)
    return any(c in text for c in limits)


def _unsure(answers: PlainAnswers, text: str) -> list[str]:
    """What is missing of the probability and of how often such a verdict is wrong: one misleads without the other."""
    *probability, promise = answers.confidence()
    said = [] if percent_of(answers.verdict.probability) in text else probability
    return said if rate_words(answers.verdict.false_alarms) in text else [*said, promise]


def _untold(answers: PlainAnswers, text: str) -> list[str]:
    """What was measured for the question, or why it could not be, where the answer leaves it out."""
    said: list[str] = []
    for call in answers.request.calls:
        item = answers.known.get(call.evidence_id or "")
        if item is not None and f"[{item.id}]" not in text:
            said += answers.measured(item)
        elif item is None and call.error and "could not be measured" not in text and "No figure" not in text:
            said += answers.failed(call)
    return said


def _of_region(answers: PlainAnswers, text: str) -> list[str]:
    """What an answer about a region lacks: whether a finding touches it, and its size where that was asked for."""
    region = answers.region_asked()
    ids = {answers.request.region_id, *answers.asked.region_ids} - {None}
    named = not ids or any(re.search(rf"\b{i}\b", text) for i in ids)
    if region is not None and answers.asked.size:
        return _unless(named and size_of(region) in text, lambda: [answers.extent(region)])
    said = [] if named else answers.region()
    if region is not None and named and not _touch_told(answers, region, text):
        said = answers.touching(region)
    if region is not None:
        said = [*said, *(s for s in _test_untold(answers, region, text) if s not in said)]
    return said


def _test_untold(answers: PlainAnswers, region: Region, text: str) -> list[str]:
    """What is missing of the expert's test of a region: what it gave; where that is remarkable, what it is worth."""
    first, *worth = answers.tested(region) or [""]
    cited = re.search(r"\[E\d+\]", first)
    if cited is None or not _says(rf"\bstands? out\b[^\[]*{re.escape(cited.group(0))}", text):
        return [s for s in (first, *worth) if s and s not in text]
    told = {0: _says(r"\bverdict\b", text), 1: _says(r"\bcould also come from\b|\breasons for such a figure\b", text)}
    return [s for number, s in enumerate(worth) if not told.get(number)]


def _touch_told(answers: PlainAnswers, region: Region, text: str) -> bool:
    """Whether an answer says which findings a region touches, or that it touches none."""
    touched = touching(region, answers.findings)
    if not touched:
        quiet = answers.verdict.label != "manipulated" and _states(answers, text)
        return quiet or _says(_UNTOUCHED, text)
    return any(re.search(rf"\b{found.id}\b", text) or f"[{item.id}]" in text for item, found, _ in touched)


def _named(answers: PlainAnswers, text: str) -> bool:
    """The records asked about, by their ids."""
    return all(f"[{i}]" in text for i in answers.asked.evidence_ids if i in answers.known)


def _of_source(answers: PlainAnswers, text: str) -> list[str]:
    """Both places of a copy; which of them is the copy, or that nobody can tell which came first, unless said."""
    pairs = [e for e in answers.findings if e.partner is not None]
    if not pairs:
        untold = _unless(_says(r"\bno\b|\bnothing\b|\bnone\b|could not", text), answers.source_of_copy)
        return untold or _unless(not answers.findings or _states(answers, text), answers.detect)
    if pairs[0].copy_and_source is not None:
        return [s for s in answers.source_of_copy() if s.rpartition(" [")[0] not in text]
    partners = [e.partner for e in pairs if e.partner is not None]
    if any(re.search(rf"\b{p.id}\b", text) or place_of(p) in text for p in partners):
        return []
    return [s for s in answers.source_of_copy() if not (_says(_UNTOLD, s) and _says(_UNTOLD, text))]


def _unseen(answers: PlainAnswers, text: str, *, picture: bool) -> list[str]:
    """What an account of the map or of the picture leaves out."""
    sights = answers.request.sights
    said = [] if sights is None else sights.missing(text, picture=picture)
    return [*said, TEXT["thing"]] if picture and TEXT["thing"] not in text else said


def _untold_of_file(answers: PlainAnswers, text: str) -> list[str]:
    """Single entries of the file that were asked for, whole; of the file at large, some of it."""
    if asked_for := answers.particulars("file"):
        return [s for s in asked_for if s not in text]
    return _unless(_told_of_file(answers, text), answers.file)


def _told_of_file(answers: PlainAnswers, text: str) -> bool:
    """Facts that the file states about itself, where there are any; all there are, where they are few."""
    stated = [e for e in answers.facts if e.instrument == "metadata"] or answers.facts
    told = [e for e in stated if f"[{e.id}]" in text]
    return len(told) >= min(2, len(stated))


def _not_tested(answers: PlainAnswers, text: str) -> bool:
    """Every test without a result, and what no examination here tests: by one of its clauses at least."""
    if not all(f"[{e.id}]" in text or quote(e.open_point) in text for e in answers.abstained):
        return False
    return not answers.open_points or any(quote(c) in text for c in answers.open_points)


def _instruments(answers: PlainAnswers, text: str) -> bool:
    used = {e.instrument for e in (*answers.detections, *answers.abstained)}
    named = [i for i in used if i in text or instrument_words(i) in text]
    return len(named) >= min(2, len(used))


def _size(answers: PlainAnswers, text: str) -> bool:
    facts = answers.request.examination.source
    if asked_for := answers.particulars("dimensions"):
        return all(s in text for s in asked_for)
    if re.search(r"\bcovers\b", text):  # "How large?" was taken for a question about a region
        return True
    return str(facts.width) in text and str(facts.height) in text


def alike(told: AnswerSentence, found: Checked) -> bool:
    """Whether two sentences call the same record quiet or without result, or the same region free of findings, or quote
    the same clause without a record."""
    if told.region_ids == found.region_ids and all(re.search(_UNTOUCHED, s.text, re.IGNORECASE) for s in (told, found)):
        return True
    if told.evidence_ids != found.evidence_ids:
        return False
    if len(found.evidence_ids) == 1:
        return any(p.search(told.text) is not None and p.search(found.text) is not None for p in (QUIET, _NO_RESULT))
    clause = found.text.partition(": ")[2]
    return not found.evidence_ids and bool(clause) and told.text.partition(": ")[2] == clause
