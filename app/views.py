"""What a page shows of one picture, as plain frozen data: verdict card, evidence list, sentences, file facts.

Everything is words and numbers that the library computed; nothing here judges. Left out: pixels (`layers`), and markup:
strings may come out of the examined file, so whoever draws them escapes them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.phrases import INSTRUMENTS
from fakeexplain.reasoning.wording import (
    describe_bare,
    finding_sentences,
    instrument_title,
    is_significant,
    label_words,
    quiet_sentence,
    trace_title,
)
from fakeexplain.records import Claim, Evidence, Examination
from fakeexplain.report.content import file_rows, further_figures, nfa_words
from fakeexplain.report.strings import TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.service import FindingNote, Picture


@dataclass(frozen=True)
class Sentence:
    """One sentence and what it cites. section: see `records.Claim`."""

    text: str
    evidence_ids: tuple[str, ...]
    section: str


@dataclass(frozen=True)
class VerdictCard:
    """The calibrated answer.

    Attributes:
        label: "manipulated", "no_evidence" or "inconclusive"; title: the same in words.
        probability: in [0, 1]; percent: in words; basis: how it is defined.
        promise: the promised rate of false alarms, in words.
        conclusion: sentences, the first one is the answer. conflicts: contradictions between instruments.
        not_tested: what this examination could not look for. deciding_ids: what the label rests on.
    """

    label: str
    title: str
    probability: float
    percent: str
    basis: str
    promise: str
    conclusion: tuple[Sentence, ...]
    conflicts: tuple[str, ...]
    not_tested: tuple[Sentence, ...]
    deciding_ids: tuple[str, ...]


@dataclass(frozen=True)
class EvidenceItem:
    """One piece of evidence.

    Attributes:
        significant: whether it passed its threshold. measured_on_request: taken on a region somebody chose; it never
            changes the verdict.
        sentence: what was measured, in one sentence. explanation: what such a trace is and how often chance does it.
        looks_for: what the instrument looks for.
        other_causes: what else could cause it. reason: why it abstained, "" otherwise.
        region_id, partner_id: "" for none. box_xyxy: of the region, source pixels.
        nfa: number of false alarms in words, "" for none. figures: (name, text) of all further figures.
        status: "open", "accepted", "rejected" or "needs second opinion". notes: remarks in order.
    """

    id: str
    title: str
    instrument: str
    looks_for: str
    kind: str
    significant: bool
    measured_on_request: bool
    strength: str
    sentence: str
    explanation: str
    other_causes: tuple[str, ...]
    reason: str
    region_id: str
    partner_id: str
    box_xyxy: tuple[int, int, int, int] | None
    where: str
    nfa: str
    figures: tuple[tuple[str, str], ...]
    status: str
    notes: tuple[FindingNote, ...]


@dataclass(frozen=True)
class PictureView:
    """Everything a page says about one picture; `sha256` is that of the bytes as they arrived."""

    id: str
    name: str
    sha256: str
    size_bytes: int
    format: str
    width: int
    height: int
    card: VerdictCard
    evidence: tuple[EvidenceItem, ...]
    sentences: tuple[Sentence, ...]
    file_rows: tuple[tuple[str, str], ...]
    quality_band: str
    examinable: bool
    has_map: bool
    notes: tuple[FindingNote, ...]
    questions: tuple[str, ...]
    examined_at: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def picture_view(picture: Picture, *, has_map: bool, more: Sequence[Evidence] = ()) -> PictureView:
    """The view of an examined picture. more: evidence measured in its conversation."""
    examination = picture.examination
    facts = examination.source
    return PictureView(
        id=picture.id,
        name=picture.name,
        sha256=facts.sha256,
        size_bytes=facts.size_bytes,
        format=facts.format,
        width=facts.width,
        height=facts.height,
        card=verdict_card(examination),
        evidence=tuple(evidence_item(e, examination, picture.notes) for e in (*examination.evidence, *more)),
        sentences=tuple(_sentence(c) for c in examination.reasoning),
        file_rows=file_rows(facts),
        quality_band=examination.quality.band,
        examinable=examination.quality.examinable,
        has_map=has_map,
        notes=tuple(n for n in picture.notes if not n.evidence_id),
        questions=suggested_questions(examination),
        examined_at=examination.examined_at,
        seconds=examination.seconds.get("total", 0.0),
    )


def verdict_card(examination: Examination) -> VerdictCard:
    verdict = examination.verdict
    basis = verdict.probability_basis.rstrip(".")
    said = [c for c in examination.reasoning if c.section == "conclusion" and c.text.rstrip(".") != basis]
    return VerdictCard(
        label=verdict.label,
        title=label_words(verdict),
        probability=verdict.probability,
        percent=percent_of(verdict.probability),
        basis=verdict.probability_basis,
        promise=TEXT["promise"].format(rate=rate_words(verdict.false_alarms)),
        conclusion=tuple(_sentence(c) for c in said),
        conflicts=verdict.conflicts,
        not_tested=tuple(_sentence(c) for c in examination.reasoning if c.section == "not_tested"),
        deciding_ids=verdict.deciding_ids,
    )


def evidence_item(item: Evidence, examination: Examination, notes: Sequence[FindingNote] = ()) -> EvidenceItem:
    own = tuple(n for n in notes if n.evidence_id == item.id)
    region, partner = item.region, item.partner
    significant = is_significant(item, examination.verdict)
    if significant:
        said = [s for s in finding_sentences(item) if not item.limits or s != finding_sentences(item)[-1]]
    else:
        said = [quiet_sentence(item) if item.kind == "detection" else describe_bare(item)]
    return EvidenceItem(
        id=item.id,
        title=trace_title(item),
        instrument=instrument_title(item.instrument),
        looks_for=INSTRUMENTS[item.instrument][1] if item.instrument in INSTRUMENTS else "",
        kind=item.kind,
        significant=significant,
        measured_on_request=item.kind == "measurement",
        strength=item.strength,
        sentence=said[0],
        explanation=" ".join(said[1:]),
        other_causes=item.limits,
        reason=item.reason,
        region_id=region.id if region else "",
        partner_id=partner.id if partner else "",
        box_xyxy=region.box_xyxy if region else None,
        where=region.words if region else "",
        nfa=nfa_words(item.log10_nfa),
        figures=further_figures(item),
        status=next((n.status for n in reversed(own) if n.status), "open"),
        notes=own,
    )


def suggested_questions(examination: Examination) -> tuple[str, ...]:
    """Up to five questions that this examination can answer."""
    found = [e for e in examination.evidence if is_significant(e, examination.verdict)]
    questions = ["How sure are you?"]
    if found:
        first = found[0]
        questions = [f"Why does {first.id} speak for a manipulation?", f"What else could cause {first.id}?", *questions]
        if first.region is not None:
            questions.insert(0, "Where was the picture altered?")
    elif examination.verdict.label == "inconclusive":
        questions.insert(0, "Why can this picture not be judged?")
    else:
        questions.insert(0, "Does this mean that the picture is authentic?")
    return (*questions, "What could not be tested?")[:5]


def _sentence(claim: Claim) -> Sentence:
    return Sentence(claim.text, claim.evidence_ids, claim.section)
