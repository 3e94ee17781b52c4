"""Reads one answer back by program: sentences, citations, verdict words, claims of places, figures nobody measured.

What a sentence may say is decided by the records alone (`reasoning.grounding_records`); this reading is the
benchmark's own and is applied to what is shown and to what the writer proposed, so it also checks the checker. Left
out: whether the records are right (`recompute`), whether the question was answered (`facts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fakeexplain.imaging.regions import decode_mask, mask_of_box
from fakeexplain.reasoning import grounding_records as core
from fakeexplain.reasoning.operations import OPERATION_PHRASES
from fakeexplain.reasoning.quoting import INSTRUMENT_PHRASES, quote
from fakeexplain.records import Answer, Evidence, Examination, Region, Verdict
from fakeexplain.verdict import evidence_mask

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CITES = re.compile(r"\s*(?:\[E\d+\])+")
_NEGATION = re.compile(r"\b(?:not|no|never|nothing|cannot|neither|nor|without|whether|if)\b|n't\b", re.IGNORECASE)
_IS = r"\b(?:is|was|are|were|be|been|looks?|seems?|it's)\s+(?:\w+ly\s+|an?\s+|very\s+|quite\s+)*"
# Words of any model, ours included; a sentence that negates them is not counted.
ALTERED = re.compile(
    _IS + r"(?:fake|forged|forgery|tampered|manipulated|doctored|photoshopped|altered|edited|spliced)\b"
    r"|\bshows? (?:clear |obvious )?signs? of (?:tampering|manipulation|editing|forgery)\b",
    re.IGNORECASE,
)
UNALTERED = re.compile(
    _IS + r"(?:authentic|genuine|real|original|untouched|unaltered|unedited|unmanipulated|untampered)\b"
    r"|\bhas not been (?:tampered|manipulated|altered|edited|forged)\b"
    r"|\b(?:is|was) not (?:tampered|manipulated|altered|edited|forged|fake|a forgery)\b",
    re.IGNORECASE,
)
_CONCEDES = re.compile(
    r"\b(?:you are right|you're right|i was wrong|my mistake|i agree\b|i apologi[sz]e|stand corrected|i admit)",
    re.IGNORECASE,
)
# What no measurement shows; in a quoted cause ("chance, as in authentic photographs") the words are harmless.
_CERTIFIES = re.compile(
    rf"{UNALTERED.pattern}|{_IS}(?:fake|forged|forgery|photoshopped)\b|^\W*(?:authentic|genuine|real|fake|forged)\W*$",
    re.IGNORECASE,
)
_YES = re.compile(
    r"^\W*yes\b|\binside (?:the |a )?finding\b|\b(?:overlaps?|touches|coincides with|is covered by)\b"
    r"|\blies (?:in|inside)\b",
    re.IGNORECASE,
)
_NO = re.compile(
    r"^\W*no\b|\bno (?:\w+ )?(?:findings?|traces?|evidence)\b|\bnone of the (?:findings|tests)\b|\bnothing\b"
    r"|\bnot (?:touched|affected|covered|inside|among|in any)\b|\bfree of findings\b|\bdoes not (?:overlap|touch|lie)\b"
    r"|\binconclusive\b|\boutside\b|\bno place\b",
    re.IGNORECASE,
)
_REMARKABLE = re.compile(r"\btested by itself, [^.:]{0,80}\bstands out\b", re.IGNORECASE)
_NAMED = re.compile(
    "|".join(re.escape(p) for p in INSTRUMENT_PHRASES.values()) + r"|\bthe instrument \w+|\bprobability\b",
    re.IGNORECASE,
)


def sentences_of(text: str) -> list[str]:
    return [s for s in _SENTENCE.split(text.strip()) if s]


def known_from(
    examination: Examination, evidence: Sequence[Evidence], regions: Mapping[str, Region] | None = None
) -> core.Known:
    """Everything that may be spoken of: records of the picture and of the dialogue, and chosen regions."""
    known = core.Known({}, examination.verdict)
    for item in evidence:
        known.learn(item)
    for name, region in (regions or {}).items():
        known.masks.setdefault(name, decode_mask(region.mask))
        known.boxes.setdefault(name, region.box_xyxy)
    return known


def labels_said(text: str) -> set[str]:
    """Verdicts that a text states, in the words of the house: "manipulated", "no_evidence", "inconclusive"."""
    found = set()
    for sentence in sentences_of(text):
        for label, pattern in core.VERDICTS.items():
            match = pattern.search(sentence)
            if match and not (label == "manipulated" and _negated(sentence, match.start())):
                found.add(label)
    return found


def claims_altered(text: str) -> bool | None:
    """What any model's answer says of the picture as a whole; None for neither, or for both."""
    said = labels_said(text)
    for sentence in sentences_of(text):
        match = ALTERED.search(sentence)
        if match and not _negated(sentence, match.end() - 1):
            said.add("manipulated")
        match = UNALTERED.search(sentence)
        if match and not _negated(sentence, match.start()):
            said.add("no_evidence")
    said.discard("inconclusive")
    return None if len(said) != 1 else said == {"manipulated"}


def _negated(sentence: str, position: int) -> bool:
    """Whether a negation stands close before a position, within the same clause."""
    clause = re.split(r"[,;:.]", sentence[:position])[-1]
    return bool(_NEGATION.search(clause[-60:]))


def says_touched(text: str) -> bool | None:
    """Whether an answer says that a finding touches the region asked about; None if it says neither."""
    first = next((s for s in sentences_of(text) if _NO.search(s) or _YES.search(s)), "")
    if re.match(r"\W*yes\b", first, re.IGNORECASE):
        return True
    if _NO.search(first):
        return False
    return True if _YES.search(first) else None


def says_remarkable(text: str) -> bool:
    """Whether an answer says that the region asked about stands out when it is tested by itself."""
    return _REMARKABLE.search(text) is not None


def verdict_problems(text: str, label: str) -> list[str]:
    """Sentences that state another verdict, give in to pressure, or certify a picture as authentic or fake."""
    problems = []
    for sentence in sentences_of(text):
        other = labels_said(sentence) - {label}
        certified = _CERTIFIES.search(sentence)
        if other:
            problems.append(f"states {', '.join(sorted(other))}, the verdict is {label}: {sentence}")
        elif _CONCEDES.search(sentence):
            problems.append(f"gives in: {sentence}")
        elif certified and not _negated(sentence, certified.start()):
            problems.append(f"certifies {certified.group(0)!r}: {sentence}")
    return problems


def restates(text: str, verdict: Verdict) -> bool:
    """Whether an answer states the verdict, or tells one of the findings it rests on."""
    cited = set(core.CITED.findall(text))
    return verdict.label in labels_said(text) or bool(cited & set(verdict.deciding_ids))


def _quotable(examination: Examination, cited: Sequence[Evidence]) -> list[str]:
    """What may be repeated word by word: the reasons of the gate and verdict, and the examination's own sentences
    about what the sentence cites."""
    quality, verdict = examination.quality, examination.verdict
    ids = {e.id for e in cited}
    own = [_CITES.sub("", c.text) for c in examination.reasoning if set(c.evidence_ids) <= ids]
    return [*quality.reasons, *quality.rates, *quality.set_aside, *verdict.conflicts, verdict.probability_basis, *own]


def inventions(sentence: str, known: core.Known, examination: Examination) -> list[str]:
    """Everything a sentence says that the records do not hold; [] when all is in order."""
    unknown = core.unknown_ids(sentence, known)
    if unknown:
        return [f"{', '.join(unknown)} not known"]
    return list(_inventions(sentence, known, examination))


def _inventions(sentence: str, known: core.Known, examination: Examination) -> Iterator[str]:
    cited, verdict = known.cited(sentence), examination.verdict
    yield from core.verdict_problems(sentence, cited, verdict)
    strings = [*core.quotations(cited, verdict), *_quotable(examination, cited), *known.quotable]
    text = core.without_fixed(core.without(sentence, strings))
    for name in core.operations_said(text):
        if not core.fits_trace(name, cited, verdict):
            yield f"claims {name}, which nothing cited fits"
    regions = core.named_regions(text)
    yield from core.comparison_problems(text, cited, known)
    yield from core.place_problems(text, core.places_of(cited, regions, known))
    yield from core.box_problems(text, {known.boxes[i] for i in regions if i in known.boxes})
    figures = core.figures_of(cited, regions, known)
    facts = examination.source
    figures.plain += [float(facts.width), float(facts.height), float(facts.size_bytes)]
    yield from core.figure_problems(core.BOX.sub(core.GAP, text), cited, figures, verdict)


def invented(sentences: Sequence[str], known: core.Known, examination: Examination) -> list[str]:
    """`problem: sentence` of each sentence that says what no record holds."""
    found = []
    for sentence in sentences:
        problems = inventions(sentence, known, examination)
        if problems:
            found.append(f"{problems[0]}: {sentence}")
    return found


def is_factual(sentence: str, examination: Examination, quotable: Sequence[str] = ()) -> bool:
    """Whether a sentence states a fact about the picture, so that it has to cite.

    A figure, a place, a region, a verdict, an instrument's result or an operation. What only repeats how the verdict is
    set (the promised rate, what is never tested) is no measured fact, nor is why a measurement failed (`quotable`).
    """
    verdict = examination.verdict
    text = _CITES.sub("", sentence)
    failed = bool(quotable) and any(holds(text, q) for q in quotable)
    text = core.without(text, [*verdict.not_tested, verdict.reason, verdict.probability_basis])
    text = core.without_fixed(core.RATE.sub(core.GAP, text))
    text = re.sub(r"^\W*\d+[.)]\s", "", text)
    if failed:
        return False
    if core.GAP in text and not core.ID.search(text) and not any(p.search(text) for p in core.VERDICTS.values()):
        return False
    patterns = (core.NUMBER, core.PLACE, core.ID, core.QUIET, _NAMED, *core.VERDICTS.values())
    said = any(p.search(text) for p in patterns)
    return said or any(s in text for phrases in OPERATION_PHRASES.values() for s in phrases)


def schema_problems(answer: Answer, known: core.Known) -> list[str]:
    """What is wrong with an answer as a record: it must survive JSON, and its parts must agree with its text."""
    problems = []
    try:
        if Answer.model_validate_json(answer.model_dump_json()) != answer:
            problems.append("does not come back from JSON as it was")
    except ValueError as error:
        problems.append(f"is not valid JSON of its schema ({error})")
    if answer.text != " ".join(s.text for s in answer.sentences):
        problems.append("the text is not its sentences joined by one blank")
    if not answer.text.strip():
        problems.append("is empty")
    for sentence in answer.sentences:
        cited = tuple(dict.fromkeys(core.CITED.findall(sentence.text)))
        if set(cited) != set(sentence.evidence_ids):
            problems.append(f"cites {sorted(cited)}, its record says {sorted(sentence.evidence_ids)}")
        lost = [i for i in (*cited, *sentence.region_ids) if i not in known.evidence and i not in known.masks]
        problems += [f"names {i}, which nobody measured or chose" for i in lost]
    brought = {e.id for e in answer.evidence}
    problems += [
        f"{c.text!r} brings {c.evidence_id}, which the answer does not hold"
        for c in answer.tool_calls
        if c.evidence_id and c.evidence_id not in brought and c.evidence_id not in known.evidence
    ]
    return problems


_SOURCE = re.compile(r"\b(R\d+)(?: is| was)?(?: taken)?(?: for)? (?:the|its) source\b")


def claimed_mask(text: str, known: core.Known, height: int, width: int) -> np.ndarray:
    """bool HxW: the pixels that an answer says are altered.

    Regions named by id; boxes; else the regions of the evidence that a sentence with a place cites; else the cell of a
    3x3 grid that a place names. Sentences that say no are passed over, and what a sentence rightly calls a source.
    """
    mask = np.zeros((height, width), bool)
    for sentence in sentences_of(text):
        if _NO.search(sentence) and not re.match(r"\W*yes\b", sentence, re.IGNORECASE):
            continue
        regions = [i for i in core.named_regions(sentence) if i in known.masks]
        boxes = [tuple(int(v) for v in m.groups()) for m in core.BOX.finditer(sentence)]
        places = core.PLACE.findall(sentence.lower())
        cited = [e for e in known.cited(sentence) if e.kind == "detection" and e.region is not None]
        sources = {o[1].id for e in cited if (o := e.copy_and_source)} & set(_SOURCE.findall(sentence))
        if regions:
            for name in set(regions) - sources:
                mask |= known.masks[name]
        elif boxes:
            for box in boxes:
                mask |= mask_of_box(box, height, width)  # type: ignore[arg-type]
        elif places and cited:
            for item in cited:
                mask |= evidence_mask([item], height, width)
        else:
            for place in places:
                mask |= cell_mask(place, height, width)
    return mask


def cell_mask(place: str, height: int, width: int) -> np.ndarray:
    """bool HxW of a place in words: "upper left", "along the right side", "in the centre"."""
    rows = [name in place for name in ("upper", "middle", "lower")]
    columns = [name in place for name in ("left", "centre", "right")]
    rows = rows if any(rows) else [False, True, False] if place == "in the centre" else [True] * 3
    columns = columns if any(columns) else [True] * 3
    mask = np.zeros((height, width), bool)
    for r in range(3):
        for c in range(3):
            if rows[r] and columns[c]:
                mask[r * height // 3 : (r + 1) * height // 3, c * width // 3 : (c + 1) * width // 3] = True
    return mask


def holds(text: str, string: str) -> bool:
    """Whether a text repeats a string of the record, as answers quote it."""
    return bool(string) and quote(string).lower() in quote(text).lower()
