"""Evidence and verdict -> plain sentences, by rule; the same records always give the same words.

Every sentence that states a fact cites its evidence as "[E3]". All wording lives in the tables of `phrases`, so that a
translation replaces one file. Strings that come out of the examined file are data: made printable, shortened, quoted,
and their square brackets replaced, so that a file cannot forge a citation. Left out: any judgement (that is
made in `verdict`), free text from a language model (`grounding` checks it), and the words authentic, real or genuine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from fakeexplain.imaging.source import printable
from fakeexplain.quality import BANDS
from fakeexplain.reasoning.numbers import CHECKABLE, number_words, one_in, percent_of, rate_words
from fakeexplain.reasoning.phrases import (
    EXPECTATIONS,
    FACTS,
    INSTRUMENTS,
    LABELS,
    TEXT,
    TRACES,
    TraceWords,
)
from fakeexplain.reasoning.touching import of_one_place
from fakeexplain.records import REGION_TEST, Answer, Claim, Evidence, QualityReport, Region, Scalar, Verdict
from fakeexplain.verdict import PRIOR

_DATA_LENGTH = 160  # characters of a string out of the file
_CLAUSE_LENGTH = 400  # of a clause that an instrument wrote
_SMALLEST_LOG10 = -300.0
_LOG10_2 = math.log10(2)
# Facts that accuse of nothing, so that no alternative causes need to be listed.
_NEUTRAL_FACTS = frozenset(
    {
        *("camera_facts", "no_metadata", "quantisation_tables", "thumbnail_match", "main_grid"),
    }
)


def explain(quality: QualityReport, evidence: Sequence[Evidence], verdict: Verdict) -> tuple[Claim, ...]:
    """All sentences of the answer, in reading order: conclusion, finding, fact, quality, not_tested.

    Args:
        quality: what the picture allowed to be examined.
        evidence: numbered records of one picture.
        verdict: decided from that evidence.
    """
    claims = [*_conclusion(evidence, verdict)]
    detections = [e for e in evidence if e.kind == "detection"]
    for item in detections:
        if is_significant(item, verdict):
            claims += [_claim(text, (item,), "finding") for text in finding_sentences(item)]
    claims += [_claim(quiet_sentence(e), (e,), "finding") for e in detections if not is_significant(e, verdict)]
    claims += [_claim(describe_bare(e), (e,), "finding") for e in evidence if e.kind == "measurement"]
    claims += [_claim(fact_sentence(e), (e,), "fact") for e in evidence if e.kind == "fact"]
    claims += _quality(quality)
    claims += _not_tested(evidence, verdict)
    return tuple(claims)


def account_claims(account: Answer | None) -> tuple[Claim, ...]:
    """The sentences of an assistant's account; none where there is none, or where all of them are the rules' own."""
    sentences = account.sentences if account is not None else ()
    if all(s.written_by != "model" for s in sentences):
        return ()
    return tuple(Claim(text=s.text, evidence_ids=s.evidence_ids, section="conclusion") for s in sentences)


def describe(item: Evidence) -> str:
    """Everything to be said about one record, as a paragraph; cites it if it has an id."""
    if item.kind == "detection":
        sentences = finding_sentences(item)
    else:
        sentences = [describe_bare(item)]
        if item.kind == "measurement":
            sentences += [_upper_first(_clean(item.reason)).rstrip(".") + "."] if item.reason else []
            sentences += [TEXT["difference"].format(causes=_listed(item.limits))] if item.limits else []
    return " ".join(_cited(s, (item,)) for s in sentences)


def is_significant(item: Evidence, verdict: Verdict) -> bool:
    """Whether a detection passed its witness's threshold."""
    if item.kind != "detection":
        return False
    if item.log10_nfa is not None:
        return item.log10_nfa < verdict.threshold_log10
    limit = verdict.expert_threshold_log10
    return limit is not None and item.p_value is not None and math.log10(max(item.p_value, 1e-12)) < limit


def instrument_title(name: str) -> str:
    """For people: "jpeg_grid" -> "JPEG grid"."""
    return INSTRUMENTS[name][0] if name in INSTRUMENTS else _clean(name).replace("_", " ")


def trace_title(item: Evidence) -> str:
    """Heading of a finding, e.g. "Less noise than its surroundings"."""
    if item.trace in TRACES:
        return TRACES[item.trace].title
    return _upper_first(_clean(item.trace).replace("_", " "))


def label_words(verdict: Verdict) -> str:
    """The verdict in a few words."""
    return LABELS[verdict.label]


def finding_sentences(item: Evidence) -> list[str]:
    """What was measured and where, what such a trace is, how often chance does that, what else could cause it."""
    words = TRACES.get(item.trace)
    sentences = [_measured(item, words)]
    if words is not None:
        sentences.append(words.meaning)
    if item.partner is not None:
        sentences.append(order_sentence(item))
    if guess := kind_of_edit_sentence(item):
        sentences.append(guess)
    chance = chance_words(item)
    if chance:
        sentences.append(_upper_first(chance) + ".")
    if item.limits:
        sentences.append(TEXT["alternatives"].format(causes=_listed(item.limits)))
    return sentences


def order_sentence(item: Evidence) -> str:
    """Which of two equal areas is the copy, or that nothing tells it."""
    order = item.copy_and_source
    if order is None:
        return TEXT["order_unknown"]
    copy, source = (f"{r.id}, {place_words(r)}," if r.id else f"the area {place_words(r)}" for r in order)
    names = [r.id or name for r, name in zip(order, ("the first", "the second"), strict=True)]
    return TEXT["order"].format(
        copy=copy,
        source=source.rstrip(","),
        copy_name=names[0],
        source_name=names[1],
        right=item.details.get("order_right"),
        told=item.details.get("order_told"),
    )


def kind_of_edit_sentence(item: Evidence) -> str:
    """The expert's guess at what was done, with how often such guesses were right; "" where that was not counted."""
    operation, share = item.details.get("operation_words"), item.details.get("operation_reliability")
    if not operation or not isinstance(share, (int, float)):
        return ""
    return TEXT["kind_of_edit"].format(operation=operation, share=percent_of(share))


def kind_of_edit_sentences(item: Evidence) -> list[str]:
    """What can be said of how a part was altered: what leaves such a trace, or the expert's guess, and the copy."""
    words, guess = TRACES.get(item.trace), kind_of_edit_sentence(item)
    said = [guess] if guess else [words.meaning] if words is not None else []
    return [*said, order_sentence(item)] if item.partner is not None else said


def quiet_sentence(item: Evidence) -> str:
    """One sentence for a detection that did not pass the threshold."""
    return TEXT["quiet"].format(instrument=_upper_first(_instrument_phrase(item)))


def fact_sentence(item: Evidence) -> str:
    """One sentence for a fact about the file."""
    value, reference = _scalar_words(item, item.value), _scalar_words(item, item.reference)
    template = FACTS.get("main_grid_moved" if _grid_moved(item) else item.trace)
    if template is None or value == "" or (item.reference is None and "{reference}" in template):
        template = TEXT["fact"] if value else TEXT["fact_without_value"]
    text = template.format(
        quantity=_upper_first(_clean(item.quantity)),
        value=value,
        reference=reference,
        reference_text=_clean(item.reference_text),
        compared=_compared(item) if value or item.trace != "main_grid" else "",  # what is not there has no place
    )
    if item.limits and (item.trace not in _NEUTRAL_FACTS or _grid_moved(item)):
        text = TEXT["fact_alternatives"].format(fact=text, causes=_listed(item.limits))
    return text + "."


def _grid_moved(item: Evidence) -> bool:
    return item.trace == "main_grid" and bool(item.value) and item.value != item.reference


def describe_bare(item: Evidence) -> str:
    """One sentence for a fact, a measurement or an abstention, without citation."""
    if item.kind == "abstention":
        return TEXT["abstained"].format(
            instrument=_upper_first(_instrument_phrase(item)), reason=_clean(item.reason).rstrip(".")
        )
    if item.kind == "fact":
        return fact_sentence(item)
    if item.trace == REGION_TEST:
        return _region_tested(item)
    return TEXT["measurement"].format(
        place=_upper_first(place_words(item.region)), quantity=_clean(item.quantity), figure=figure_words(item)
    )


def stands_out(item: Evidence) -> bool:
    """Whether a region that somebody chose is remarkable by the expert's test of it."""
    return item.trace == REGION_TEST and item.strength != "none"


def _region_tested(item: Evidence) -> str:
    share = 1.0 if item.p_value is None else item.p_value
    key = "region_stands_out" if stands_out(item) else "region_ordinary" if share < 1 else "region_common"
    name = item.region.id if item.region is not None else ""
    region = name or f"the region {place_words(item.region)}"
    return TEXT[key].format(region=region, rate=rate_words(share))


def place_words(region: Region | None) -> str:
    """ "in the upper left (12 % of the image)" """
    if region is None:
        return TEXT["whole_image"]
    place, _, size = _clean(region.words).rpartition(", ")
    if not place:
        place, size = size, ""
    if place.split(" ", 1)[0] not in ("across", "along", "from", "in", "at"):
        place = TEXT["in_the"].format(place=place)
    return f"{place} ({size})" if size else place


def figure_words(item: Evidence) -> str:
    """The figure, its unit and its reference: "6.1 grey levels, compared with 3.0 grey levels (around it)"."""
    value = _scalar_words(item, item.value)
    if not value:
        return TEXT["no_figure"]
    return value + _compared(item)


def chance_words(item: Evidence) -> str:
    """How often a result like this comes from chance alone, without capital and full stop; "" if not known."""
    if item.log10_nfa is not None:
        if item.log10_nfa > -_LOG10_2:
            return TEXT["chance_common"]
        key = "chance_floor" if item.log10_nfa < -math.log10(CHECKABLE) else "chance"
        return TEXT[key].format(rate=one_in(max(item.log10_nfa, _SMALLEST_LOG10)))
    if item.p_value is not None and item.p_value > 0:
        if math.log10(item.p_value) > -_LOG10_2:
            return TEXT["chance_common"]
        return TEXT["chance_p"].format(rate=one_in(math.log10(item.p_value)))
    return ""


def expectation_words(verdict: Verdict) -> str:
    """How much more the findings are expected under one proposition than under the other (ENFSI, 2015), from the
    likelihood ratio that the probability and its prior imply."""
    probability = min(max(verdict.probability, 1e-6), 1 - 1e-6)
    ratio = probability / (1 - probability) * (1 - PRIOR) / PRIOR
    size = max(ratio, 1 / ratio)
    degree = next(words for limit, words in EXPECTATIONS if size < limit)
    if not degree:
        return TEXT["expect_equal"]
    return TEXT["expect_altered" if ratio > 1 else "expect_unaltered"].format(degree=degree)


def _conclusion(evidence: Sequence[Evidence], verdict: Verdict) -> list[Claim]:
    detections = tuple(e for e in evidence if e.kind == "detection")
    chosen = tuple(e for e in evidence if e.id in verdict.deciding_ids) or detections
    claims = [_claim(TEXT[f"conclusion_{verdict.label}"], chosen, "conclusion")]
    claims += [_claim(text, items, "conclusion") for text, items in _one_place(evidence, verdict)]
    if verdict.label == "inconclusive":
        claims.append(_claim(_sentence(verdict.reason), chosen, "conclusion"))
    known = {e.id: e for e in evidence if e.id}
    for conflict in verdict.conflicts:
        cited = tuple(known[i] for i in dict.fromkeys(re.findall(r"\bE\d+\b", conflict)) if i in known)
        claims.append(_claim(_sentence(conflict), cited or chosen, "conclusion"))
    if verdict.label != "inconclusive":
        claims.append(_claim(expectation_words(verdict), chosen, "conclusion"))
    probability = TEXT["probability"].format(percent=percent_of(verdict.probability))
    claims.append(_claim(probability, chosen, "conclusion"))
    claims.append(Claim(text=_sentence(verdict.probability_basis), section="conclusion"))
    promise = TEXT["promise"].format(rate=rate_words(verdict.false_alarms))
    claims.append(Claim(text=promise, section="conclusion"))
    return claims


def _one_place(evidence: Sequence[Evidence], verdict: Verdict) -> list[tuple[str, list[Evidence]]]:
    """That several findings point to one place: who reads only their list would count several alterations."""
    if verdict.label != "manipulated":
        return []
    deciding = [e for e in evidence if e.id in verdict.deciding_ids and e.region is not None]
    together = [group for group in of_one_place(deciding) if len(group) > 1]
    said = []
    for group in together:
        regions = [e.region for e in group if e.region is not None]
        *first, last = [r.id for r in regions]
        names = f"{', '.join(first)}{TEXT['and']}{last}"
        largest = max(regions, key=lambda r: r.area_fraction)
        said.append((TEXT["one_place"].format(findings=names, place=place_words(largest)), group))
    return said


def _quality(quality: QualityReport) -> list[Claim]:
    band = TEXT["band"].format(band=BANDS.get(quality.band, _clean(quality.band)))
    key = "limit" if quality.examinable else "unexaminable"
    texts = [band, *(TEXT[key].format(reason=_clean(r).rstrip(".")) for r in quality.reasons)]
    if quality.examinable and not quality.reasons:
        texts.append(TEXT["no_limits"])
    texts += [_clean(r) for r in quality.rates]
    return [Claim(text=t, section="quality") for t in texts]


def _not_tested(evidence: Sequence[Evidence], verdict: Verdict) -> list[Claim]:
    abstained = [e for e in evidence if e.kind == "abstention"]
    told = {e.open_point for e in abstained}
    claims = [_claim(describe_bare(e), (e,), "not_tested") for e in abstained]
    clauses = [c for c in verdict.not_tested if c not in told]
    return claims + [
        Claim(text=TEXT["not_tested"].format(what=_clean(c).rstrip(".")), section="not_tested") for c in clauses
    ]


def _measured(item: Evidence, words: TraceWords | None) -> str:
    numeric = isinstance(item.value, (int, float)) and not isinstance(item.value, bool)
    template = TEXT["found"]
    if words is not None and words.measured and numeric and item.reference is not None:
        template = words.measured
    elif item.partner is not None:
        template = TEXT["found_pair"]
    return template.format(
        place=_upper_first(place_words(item.region)),
        partner=place_words(item.partner),
        quantity=_clean(item.quantity),
        value=_scalar_words(item, item.value),
        reference=_scalar_words(item, item.reference),
        figure=figure_words(item),
    )


def _scalar_words(item: Evidence, value: Scalar) -> str:
    """A value with its unit; shares as per cent; strings as quoted data."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return TEXT["yes"] if value else TEXT["no"]
    if isinstance(value, (int, float)):
        is_share = not item.unit and item.quantity.startswith(("share", "fraction")) and 0 <= value <= 1
        if is_share:
            return f"{number_words(100 * value)} %"
        return f"{number_words(value)} {_clean(item.unit)}".rstrip()
    text = _clean(value, _DATA_LENGTH)
    return f"“{text}”" if item.instrument == "metadata" and not item.unit else f"{text} {_clean(item.unit)}".rstrip()


def _compared(item: Evidence) -> str:
    """The reference as it follows a value: ", compared with 3.0 (around it)", or " (explained)", or ""."""
    reference, explained = _scalar_words(item, item.reference), _clean(item.reference_text)
    if reference:
        return TEXT["compared"].format(reference=reference) + (f" ({explained})" if explained else "")
    return f" ({explained})" if explained else ""


def _instrument_phrase(item: Evidence) -> str:
    if item.instrument in INSTRUMENTS:
        return TEXT["instrument"].format(what=INSTRUMENTS[item.instrument][1], name=item.instrument)
    return TEXT["instrument_unknown"].format(name=_clean(item.instrument))


def _clean(text: str, limit: int = _CLAUSE_LENGTH) -> str:
    """Data as one short printable line that cannot pass for a citation."""
    text = printable(" ".join(text.split()), limit)
    return text.replace("[", "(").replace("]", ")").replace("“", "'").replace("”", "'")


def _sentence(text: str) -> str:
    """A sentence of the verdict's own; longer than data may be, but as little able to cite."""
    text = printable(" ".join(text.split()), 800).replace("[", "(").replace("]", ")")
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def _listed(clauses: Sequence[str]) -> str:
    cleaned = [_clean(c).rstrip(".") for c in clauses]
    if len(cleaned) == 1:
        return cleaned[0]
    return "; ".join(cleaned[:-1]) + TEXT["or"] + cleaned[-1]


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cited(text: str, items: Sequence[Evidence]) -> str:
    """Puts "[E1][E2]" before the closing full stop."""
    marks = "".join(f"[{e.id}]" for e in items if e.id)
    if not marks:
        return text
    return f"{text[:-1]} {marks}." if text.endswith(".") else f"{text} {marks}"


def _claim(text: str, items: Sequence[Evidence], section: str) -> Claim:
    ids = tuple(e.id for e in items if e.id)
    return Claim(text=_cited(text, items), evidence_ids=ids, section=section)  # type: ignore[arg-type]
