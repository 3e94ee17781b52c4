"""What one sentence says against what the records hold: ids, figures, places, sizes, verdict words, operations.

The core that the checker of answers (`grounding`) and the check of training records (`data_tools.instructions.verify`)
share. Each function yields one clause a problem. Quotations of the record are taken out first; every figure must then
be the cited record's, rounded to the digits it is printed with, and of the kind it is printed as. Left out: what a
sentence without figure, place, id or verdict word says (`grounding`), and whether instruments are right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fakeexplain.imaging.regions import decode_mask, region_of_mask
from fakeexplain.reasoning.numbers import rate_words
from fakeexplain.reasoning.operations import OPERATION_PHRASES, TRACE_OPERATIONS
from fakeexplain.reasoning.quoting import place_of, quote, rate_of
from fakeexplain.reasoning.wording import expectation_words, fact_sentence, is_significant
from fakeexplain.records import Evidence, Verdict

CITED = re.compile(r"\[(E\d+)\]")
ID = re.compile(r"\b([ER]\d+)\b")
BOX = re.compile(r"\((\d+), (\d+), (\d+), (\d+)\)")
RATE = re.compile(r"\b(\d[\d,]*) of (\d[\d,]*)\b")
NUMBER = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
PLACE = re.compile(
    r"\b(?:(?:upper|middle|lower) (?:left|centre|right)|across the whole image|across the (?:upper|middle|lower) part"
    r"|along the (?:left|right) side|from top to bottom, centre|in the centre)\b"
)
QUIET = re.compile(r"nothing beyond chance", re.IGNORECASE)
VERDICTS = {
    "manipulated": re.compile(
        r"(?:\b(?:there is|found|shows?|so|and|but|yet)|[,;:]) (?:measured |measurable )?evidence\b"
        r"|\bpoints? to a local (?:change|alteration)",
        re.IGNORECASE,
    ),
    "no_evidence": re.compile(r"\bno (?:measurable )?evidence\b|\bnone of the tests\b", re.IGNORECASE),
    "inconclusive": re.compile(r"\binconclusive\b|\bno answer in either direction\b", re.IGNORECASE),
}
_GROUND = re.compile(
    r"\bprobab\w+\b|\bI (?:put|set) the chance\b|\bno finding\b|\bnothing (?:needs|stands out)\b", re.IGNORECASE
)
_COMPARISON = re.compile(r"\b(R\d+) is larger than (R\d+)")
GAP = "…"  # stands where a quotation, a checked figure or a fixed phrase was


@dataclass
class Known:
    """What may be spoken of at one point of a dialogue.

    Attributes:
        evidence: by id. verdict: None where a record has none.
        masks: bool HxW by region id. boxes: xyxy by region id.
        quotable: strings beside those of the cited evidence that may be repeated word by word.
    """

    evidence: dict[str, Evidence]
    verdict: Verdict | None = None
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    boxes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    quotable: tuple[str, ...] = ()

    def learn(self, item: Evidence) -> None:
        """Adds a record and its regions."""
        self.evidence[item.id] = item
        for region in (item.region, item.partner):
            if region is not None and region.id and region.id not in self.masks:
                self.masks[region.id] = decode_mask(region.mask)
                self.boxes[region.id] = region.box_xyxy

    def cited(self, sentence: str) -> list[Evidence]:
        return [self.evidence[i] for i in dict.fromkeys(CITED.findall(sentence)) if i in self.evidence]


@dataclass
class Figures:
    """Figures that a sentence may print, by kind: shares are in per cent."""

    plain: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)

    @property
    def percent(self) -> list[float]:
        return [*self.shares, *self.areas, *self.overlaps, *self.probability]


def unknown_ids(sentence: str, known: Known) -> list[str]:
    return [i for i in ID.findall(sentence) if i not in known.evidence and i not in known.masks]


def named_regions(text: str) -> list[str]:
    return [i for i in dict.fromkeys(ID.findall(text)) if i.startswith("R")]


def verdict_problems(sentence: str, cited: Sequence[Evidence], verdict: Verdict) -> Iterator[str]:
    says = {label for label, pattern in VERDICTS.items() if pattern.search(sentence)}
    if says - {verdict.label}:
        yield f"says {sorted(says)}, the verdict is {verdict.label}"
    quiet = bool(QUIET.search(sentence))
    # The verdict's own reason (why a picture cannot be judged) is no finding, whichever instruments it cites.
    grounds = bool(_GROUND.search(sentence)) or without(sentence, [verdict.reason]) != sentence
    for item in cited:
        if item.kind != "detection":
            continue
        passed = is_significant(item, verdict)
        if quiet and passed and item.id in verdict.deciding_ids:
            yield f"{item.id} passed its threshold but is called quiet"
        # That there is no evidence, or no answer, rests on all tests together; that there is, on those that found it.
        together = says == {verdict.label} and verdict.label != "manipulated"
        if not passed and not quiet and not together and not grounds:
            yield f"{item.id} did not pass its threshold but is told as a finding"


def quotations(cited: Iterable[Evidence], verdict: Verdict | None) -> list[str]:
    """Strings of the record that a sentence citing this evidence may repeat word by word."""
    strings: list[str] = []
    for item in cited:
        strings += [*item.limits, item.reason, item.quantity, item.reference_text]
        strings += [v for v in (item.value, item.reference) if isinstance(v, str)]
        if item.kind == "fact":
            strings.append(fact_sentence(item))
    if verdict is not None:
        strings += [*verdict.not_tested, verdict.reason, expectation_words(verdict)]
    return strings


def without(text: str, strings: Iterable[str], mark: str = GAP) -> str:
    """The text less what it quotes word by word, longest first."""
    for string in sorted({quote(s) for s in strings if len(s) > 3}, key=len, reverse=True):
        text = re.sub(re.escape(string), mark, text, flags=re.IGNORECASE)
    return text


def without_fixed(text: str) -> str:
    return text.replace("blocks of 8 by 8 pixels", GAP).replace("SHA-256", GAP)


def operations_said(text: str) -> list[str]:
    """Operations that a text words as training does."""
    return [
        name
        for name, said in OPERATION_PHRASES.items()
        if any(re.search(rf"\b{re.escape(s)}(?= |\.|,|;)", text) for s in said)
    ]


def fits_trace(operation: str, cited: Sequence[Evidence], verdict: Verdict | None) -> bool:
    """Whether something cited passed its threshold, and its kind of trace fits the operation."""
    passed = verdict is not None and all(is_significant(e, verdict) for e in cited)
    return passed and any(operation in TRACE_OPERATIONS.get(e.trace, frozenset()) for e in cited)


def comparison_problems(text: str, cited: Sequence[Evidence], known: Known) -> Iterator[str]:
    for comparison in _COMPARISON.finditer(text):
        larger, smaller = (int(known.masks[i].sum()) for i in comparison.groups())
        if larger <= smaller:
            yield "the comparison of sizes is the wrong way round"
    for direction in re.findall(r"\b(higher|lower) than the reference", text):
        pairs = [(e.value, e.reference) for e in cited]
        numbers = [(v, r) for v, r in pairs if isinstance(v, (int, float)) and isinstance(r, (int, float))]
        right = [v > r if direction == "higher" else v < r for v, r in numbers]
        if not pairs or len(right) < len(pairs) or not all(right):
            yield f"{direction!r} is not what was measured"


def places_of(cited: Iterable[Evidence], regions: Iterable[str], known: Known) -> set[str]:
    """Places of what a sentence cites and names: "in the upper left", "along the left side"."""
    places = {place_of(r) for e in cited for r in e.areas}
    return places | {place_of(region_of_mask(known.masks[i])) for i in regions}


def place_problems(text: str, places: Iterable[str]) -> Iterator[str]:
    places = set(places)
    allowed = {p.removeprefix("in the ") for p in places} | {p for p in places if p == "in the centre"}
    for said in PLACE.findall(text.lower()):
        if said not in allowed:
            yield f"the place {said!r} is not in the record"


def figures_of(cited: Iterable[Evidence], regions: Sequence[str], known: Known) -> Figures:
    """Figures of what a sentence cites and of the regions it names."""
    masks = [known.masks[i] for i in regions]
    found = Figures(areas=[100.0 * float(m.mean()) for m in masks])
    for item in cited:
        for value in (item.value, item.reference):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                is_share = not item.unit and item.quantity.startswith(("share", "fraction")) and 0 <= value <= 1
                (found.shares if is_share else found.plain).append(100.0 * value if is_share else float(value))
        for region in (item.region, item.partner):
            if region is not None:
                found.areas.append(100.0 * region.area_fraction)
                marked = decode_mask(region.mask)
                found.overlaps += [100.0 * float((marked & m).sum() / max(int(m.sum()), 1)) for m in masks]
        if item.trace == "region_contrast":
            rows = [row for row in item.details.values() if isinstance(row, Mapping)]
            found.plain += [float(row[k]) for row in rows for k in ("inside", "surroundings") if row.get(k) is not None]
            found.shares += [float(row["percentile"]) for row in rows if row.get("percentile") is not None]
            if "same_size_regions" in item.details:
                found.plain.append(float(item.details["same_size_regions"]))
    if known.verdict is not None:
        found.probability.append(100.0 * known.verdict.probability)
    return found


def box_problems(text: str, boxes: Iterable[tuple[int, ...]]) -> Iterator[str]:
    allowed = set(boxes)
    for match in BOX.finditer(text):
        if tuple(int(v) for v in match.groups()) not in allowed:
            yield f"the box {match.group(0)} is not in the record"


def figure_problems(text: str, cited: Sequence[Evidence], figures: Figures, verdict: Verdict | None) -> Iterator[str]:
    """Rates, per cents and plain figures; boxes have been taken out."""
    rates = {rate_of(e) for e in cited} | ({rate_words(verdict.false_alarms)} if verdict else set())
    for scale in re.findall(r"\(\d+ to \d+\)", text):
        if not any(scale in e.quantity for e in cited):
            yield f"the scale {scale} is not that of a cited figure"
    for match in RATE.finditer(text):
        if match.group(0) not in rates:
            yield f"the rate {match.group(0)!r} is not in the record"
    text = ID.sub(GAP, RATE.sub(GAP, text))
    if verdict is not None:
        text = re.sub(r"\b(?:over 99\.9|under 0\.1) %", lambda m: _extreme(m.group(0), verdict), text)
    for match in NUMBER.finditer(text):
        is_percent = text[match.end() :].startswith(" %")
        if match.group(0) == "0.01" and "under 0.01 %" in text and any(0 < c < 0.01 for c in figures.percent):
            continue
        if not any(printed_as(match.group(0), c) for c in (figures.percent if is_percent else figures.plain)):
            yield f"the figure {match.group(0)}{' %' if is_percent else ''} is not in the record"


def _extreme(said: str, verdict: Verdict) -> str:
    held = verdict.probability > 0.999 if said[0] == "o" else verdict.probability < 0.001
    return GAP if held else said


def printed_as(printed: str, value: float) -> bool:
    """Whether a printed figure is `value`, rounded to the digits it is printed with.

    >>> printed_as("6.1", 6.104), printed_as("6.2", 6.104), printed_as("12,300", 12_345)
    (True, False, False)
    """
    digits = printed.replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return abs(float(digits) - value) <= 0.5000001 * 10.0 ** (int(exponent or 0) - decimals) + 1e-9
