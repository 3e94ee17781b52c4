"""Reads every answer of a record back and checks it against the record, sentence by sentence, by program.

Checked: evidence and region ids, figures (to the printed digits, of the kind they are printed as), places, sizes,
boxes, shapes, verdict words, operations, directions ("higher than"), words that must never be used, tool calls, and
what is plainly there. Quotations of the record are recognised as such and taken out first. A figure or word that the
record does not hold is a problem; so is telling as a finding what did not pass its threshold.
Deliberately left out: whether the instruments were right (the library's tests and benchmarks count that).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_tools.instructions import seen
from data_tools.instructions.categories import CATEGORIES
from data_tools.instructions.phrases import OPERATION_PHRASES, TRACE_OPERATIONS
from data_tools.instructions.quotes import FORBIDDEN, place_of, quote, rate_of
from data_tools.schema import InlineMask, Message, Record, read_lines, read_mask, resolve
from fakeexplain.errors import FakeExplainError
from fakeexplain.imaging.regions import decode_mask, mask_of_box, place_words, region_of_mask
from fakeexplain.reasoning.wording import expectation_words, fact_sentence, is_significant, rate_words
from fakeexplain.records import Evidence, Verdict

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CITED = re.compile(r"\[(E\d+)\]")
_ID = re.compile(r"\b([ER]\d+)\b")
_BOX = re.compile(r"\((\d+), (\d+), (\d+), (\d+)\)")
_RATE = re.compile(r"\b(\d[\d,]*) of (\d[\d,]*)\b")
_NUMBER = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
_PLACE = re.compile(
    r"\b(?:(?:upper|middle|lower) (?:left|centre|right)|across the whole image|across the (?:upper|middle|lower) part"
    r"|along the (?:left|right) side|from top to bottom, centre|in the centre)\b"
)
_CALL = re.compile(r"measure (\w+) on (R\d+)")
_VERDICTS = {
    "manipulated": re.compile(
        r"\b(?:there is|found|shows?) (?:measured |measurable )?evidence\b|\bpoints? to a local (?:change|alteration)",
        re.IGNORECASE,
    ),
    "no_evidence": re.compile(r"\bno (?:measurable )?evidence\b|\bnone of the tests\b", re.IGNORECASE),
    "inconclusive": re.compile(r"\binconclusive\b|\bno answer in either direction\b", re.IGNORECASE),
}
_QUIET = re.compile(r"nothing beyond chance", re.IGNORECASE)
_COMPARISON = re.compile(r"\b(R\d+) is larger than (R\d+)")
_SIDE = re.compile(r"^The (.+) is (left|right) of the (.+?)\.$")


@dataclass
class _Known:
    """What a record allows to be said at one point of its dialogue."""

    record: Record
    evidence: dict[str, Evidence]
    verdict: Verdict | None
    shape: dict[str, Any] | None
    facts: dict[str, Any] | None
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    boxes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tool_text: str = ""

    @property
    def size(self) -> tuple[int, int]:
        return self.record.height or 0, self.record.width or 0


def check_record(record: Record, root: Path | None = None) -> list[str]:
    """Everything an answer of the record says that the record does not hold; [] when all is in order.

    Args:
        root: folder of the data set; given, what is plainly there is measured again on the picture itself.
    """
    entries: dict[str, dict[str, Any]] = {str(e.get("on")): e for e in record.history}
    examined, mask_entry, facts = entries.get("examination"), entries.get("mask"), entries.get("seen")
    verdict = Verdict.model_validate(examined["verdict"]) if examined else None
    brought = {i for m in record.dialogue if m.role == "tool" for i in m.evidence_ids}
    start = {e.id: e for e in record.evidence if e.id not in brought}
    problems = []
    if facts is not None:
        facts = {key: value for key, value in facts.items() if key != "on"}
        if root is not None:
            problems += _look_again(record, facts, root)
    known = _Known(record, start, verdict, mask_entry, facts)
    for item in start.values():
        _learn_regions(item, known)
    for number, message in enumerate(record.dialogue):
        problems += [f"turn {number}: {p}" for p in _check_turn(message, known)]
    return problems


def _look_again(record: Record, facts: dict[str, Any], root: Path) -> list[str]:
    try:
        with Image.open(resolve(root, record.image)) as image:
            again = seen.look(np.array(image.convert("RGB")))
    except (OSError, FakeExplainError) as error:
        return [f"{record.image} cannot be read ({error})"]
    return [
        f"{k}: the record says {facts[k]!r}, the picture {v!r}"
        for k, v in again.items()
        if k != "objects" and v != facts[k]
    ]


def _learn_regions(item: Evidence, known: _Known) -> None:
    for region in (item.region, item.partner):
        if region is not None:
            known.regions[region.id] = decode_mask(region.mask)
            known.boxes[region.id] = region.box_xyxy


def _check_turn(message: Message, known: _Known) -> Iterator[str]:
    if message.region is not None and message.role == "user":
        region = message.region
        if isinstance(region.mask, InlineMask):
            known.regions[region.id] = region.mask.mask()
        elif region.box_xyxy is not None:
            known.regions[region.id] = mask_of_box(region.box_xyxy, *known.size)
        if region.box_xyxy is not None:
            known.boxes[region.id] = region.box_xyxy
        if region.words and region.id in known.regions:
            found = place_words(known.regions[region.id])
            if found != region.words:
                yield f"{region.id} is called {region.words!r} but lies {found!r}"
    if message.role == "tool":
        brought = {e.id: e for e in known.record.evidence}
        for evidence_id in message.evidence_ids:
            if evidence_id not in brought:
                yield f"the tool brings {evidence_id}, which the record does not hold"
                continue
            known.evidence[evidence_id] = brought[evidence_id]
            _learn_regions(brought[evidence_id], known)
        known.tool_text = message.content
    if message.role != "assistant":
        return
    call = _CALL.fullmatch(message.content)
    if call is not None:
        if call.group(2) not in known.regions:
            yield f"measures {call.group(2)}, which nobody named"
        return
    if FORBIDDEN.search(message.content):
        yield f"uses the word {FORBIDDEN.search(message.content).group(0)!r}"  # type: ignore[union-attr]
    cited = set(_CITED.findall(message.content))
    if cited != set(message.evidence_ids):
        yield f"cites {sorted(cited)}, evidence_ids say {sorted(message.evidence_ids)}"
    if "<SEG>" in message.content and (message.region is None or message.region.id not in message.content):
        yield "<SEG> without its region"
    if message.region is not None:
        if "<SEG>" not in message.content:
            yield "region without <SEG>"
        expected = known.regions.get(message.region.id)
        given = message.region.mask.mask() if isinstance(message.region.mask, InlineMask) else None
        if expected is None or given is None or not np.array_equal(given, expected):
            yield f"<SEG> stands for {message.region.id}, whose mask is another one"
    for sentence in _SENTENCE.split(message.content):
        for problem in _check_sentence(sentence, known):
            yield f"{problem}: {sentence!r}"


def _check_sentence(sentence: str, known: _Known) -> Iterator[str]:
    unknown = [i for i in _ID.findall(sentence) if i not in known.evidence and i not in known.regions]
    if unknown:
        yield f"{', '.join(unknown)} not known here"
        return
    cited = [known.evidence[i] for i in _CITED.findall(sentence)]
    if known.verdict is not None:
        yield from _verdict_problems(sentence, cited, known.verdict)
    text = _without_quotes(sentence, cited, known)
    yield from _operation_problems(text, cited, known)
    regions = [i for i in _ID.findall(text) if i.startswith("R")]
    masks = [known.regions[i] for i in regions]
    for comparison in _COMPARISON.finditer(text):
        larger, smaller = (int(known.regions[i].sum()) for i in comparison.groups())
        if larger <= smaller:
            yield "the comparison of sizes is the wrong way round"
    for direction in re.findall(r"\b(higher|lower) than the reference", text):
        pairs = [(e.value, e.reference) for e in cited]
        numbers = [(v, r) for v, r in pairs if isinstance(v, (int, float)) and isinstance(r, (int, float))]
        right = [v > r if direction == "higher" else v < r for v, r in numbers]
        if not pairs or len(right) < len(pairs) or not all(right):
            yield f"{direction!r} is not what was measured"
    yield from _place_problems(text, cited, regions, known)
    if known.facts is not None:
        yield from _seen_problems(text, known.facts)
    if known.shape is not None:
        yield from _shape_problems(text, known)
    yield from _figure_problems(text, cited, masks, known)


def _verdict_problems(sentence: str, cited: list[Evidence], verdict: Verdict) -> Iterator[str]:
    says = {label for label, pattern in _VERDICTS.items() if pattern.search(sentence)}
    if says - {verdict.label}:
        yield f"says {sorted(says)}, the verdict is {verdict.label}"
    quiet = bool(_QUIET.search(sentence))
    for item in cited:
        if item.kind != "detection":
            continue
        passed = is_significant(item, verdict)
        if quiet and passed and item.id in verdict.deciding_ids:
            yield f"{item.id} passed its threshold but is called quiet"
        if not passed and not quiet and says != {verdict.label} and not _cites_ground(sentence):
            yield f"{item.id} did not pass its threshold but is told as a finding"


def _cites_ground(sentence: str) -> bool:
    """Sentences that speak of all tests together may cite any of them."""
    pattern = r"\bprobab\w+\b|\bI (?:put|set) the chance\b|\bno finding\b|\bnothing (?:needs|stands out)\b"
    return bool(re.search(pattern, sentence, re.IGNORECASE))


def _without_quotes(sentence: str, cited: list[Evidence], known: _Known) -> str:
    """The sentence less what it quotes word by word from the record, longest first."""
    strings: list[str] = []
    for item in cited:
        strings += [*item.limits, item.reason, item.quantity, item.reference_text]
        strings += [v for v in (item.value, item.reference) if isinstance(v, str)]
        if item.kind == "fact":
            strings.append(fact_sentence(item))
    if known.verdict is not None:
        strings += [*known.verdict.not_tested, known.verdict.reason, expectation_words(known.verdict)]
    strings.append(known.tool_text.partition(": ")[2])
    if known.shape is not None:
        strings.append(known.shape.get("reason", ""))
    text = sentence
    for string in sorted({quote(s) for s in strings if len(s) > 3}, key=len, reverse=True):
        text = re.sub(re.escape(string), "…", text, flags=re.IGNORECASE)
    return text.replace("blocks of 8 by 8 pixels", "…").replace("SHA-256", "…")


def _operation_problems(text: str, cited: list[Evidence], known: _Known) -> Iterator[str]:
    for name, said in OPERATION_PHRASES.items():
        if not any(re.search(rf"\b{re.escape(s)}(?= |\.|,|;)", text) for s in said):
            continue
        if known.shape is not None:
            if known.shape["fits"] != name or known.shape["operations"] != [name] or not cited:
                yield f"claims {name}, the record does not"
            continue
        families = [TRACE_OPERATIONS.get(e.trace, frozenset()) for e in cited]
        passed = known.verdict is not None and all(is_significant(e, known.verdict) for e in cited)
        if name not in known.record.operations or not passed or not any(name in f for f in families):
            yield f"claims {name}, the record does not"


def _place_problems(text: str, cited: list[Evidence], regions: list[str], known: _Known) -> Iterator[str]:
    places = {place_of(r) for e in cited for r in (e.region, e.partner) if r is not None}
    places |= {place_of(region_of_mask(known.regions[i])) for i in regions}
    if known.shape is not None:
        places |= {place_of(region_of_mask(known.regions["R1"]))}
    if known.facts is not None:
        named = [known.facts["brightest"], known.facts["darkest"], *(o["place"] for o in known.facts["objects"])]
        places |= {n if n.startswith(("across", "along", "from")) else f"in the {n}" for n in named}
    allowed = {p.removeprefix("in the ") for p in places} | {p for p in places if p == "in the centre"}
    for said in _PLACE.findall(text.lower()):
        if said not in allowed:
            yield f"the place {said!r} is not in the record"


def _seen_problems(text: str, facts: dict[str, Any]) -> Iterator[str]:
    for attribute, scale in seen.SCALES.items():
        words = sorted((w for _, w in scale), key=len, reverse=True)
        for said in re.findall(rf"\b(?:{'|'.join(words)})\b", text):
            if said != facts[attribute]:
                yield f"{attribute} is {facts[attribute]!r}, not {said!r}"
    for said in re.findall(rf"\b(?:{'|'.join(seen.FORMATS)})\b", text):
        if said != facts["format"]:
            yield f"format is {facts['format']!r}"
    for name, share in re.findall(rf"\b({'|'.join(seen.COLOURS)}) \(([\d.]+) %\)", text):
        if name not in facts["colours"] or not _matches(share, 100 * facts["colours"][name]):
            yield f"{name} at {share} % is not in the record"
    named = {o["name"]: o for o in facts["objects"]}
    for name, share in re.findall(
        rf"\b({'|'.join(CATEGORIES.values())}) (?:in|across|along|from)\b[^;]*?, ([\d.]+) %", text
    ):
        if name not in named or not _matches(share, 100 * named[name]["share"]):
            yield f"{name} at {share} % is not in the record"
        elif not re.search(rf"\b{name} (?:in the )?{re.escape(named[name]['place'])}, ", text):
            yield f"{name} lies {named[name]['place']!r}"
    said_as = {
        "brightest": "brightest(?: part)?(?: is)?|[Ll]ight gathers|light falls",
        "darkest": "darkest|shadow|least light",
    }
    for key, words_for in said_as.items():
        match = re.search(rf"\b(?:{words_for}) in the ((?:upper|middle|lower) \w+|centre)", text)
        if match and match.group(1) != facts[key]:
            yield f"the {key} part is {facts[key]!r}"
    side = _SIDE.match(text)
    if side is not None:
        first, word, second = side.groups()
        if first not in named or second not in named:
            yield f"{first} or {second} is not in the record"
        elif (named[first]["centre"][0] < named[second]["centre"][0]) != (word == "left"):
            yield "the sides are the wrong way round"


def _shape_problems(text: str, known: _Known) -> Iterator[str]:
    mask = known.regions["R1"]
    found = seen.outline(mask)
    for said in re.findall(rf"\b(?:{'|'.join(seen.SHAPES)})\b", text):
        if said != found["word"]:
            yield f"the shape is {found['word']!r}, not {said!r}"
    for said in re.findall(r"\b(tiny|small|medium-sized|large) region\b", text):
        if said != seen.size_word(float(mask.mean())):
            yield f"the region is not {said}"
    for said in re.findall(r"\bhas (\d+) separate parts", text):
        if int(said) != found["parts"]:
            yield f"the region has {found['parts']} parts"


def _figure_problems(text: str, cited: list[Evidence], masks: list[np.ndarray], known: _Known) -> Iterator[str]:
    boxes = {known.boxes[i] for i in _ID.findall(text) if i in known.boxes}
    boxes |= {known.boxes["R1"]} if known.shape is not None else set()
    for match in _BOX.finditer(text):
        if tuple(int(v) for v in match.groups()) not in boxes:
            yield f"the box {match.group(0)} is not in the record"
    text = _BOX.sub("…", text)
    rates = {rate_of(e) for e in cited} | ({rate_words(known.verdict.false_alarms)} if known.verdict else set())
    for match in _RATE.finditer(text):
        if match.group(0) not in rates:
            yield f"the rate {match.group(0)!r} is not in the record"
    text = _ID.sub("…", _RATE.sub("…", text))
    if known.verdict is not None:
        text = re.sub(r"\b(?:over 99\.9|under 0\.1) %", lambda m: _extreme(m.group(0), known.verdict), text)
    percent, plain = _candidates(cited, masks, known)
    for match in _NUMBER.finditer(text):
        is_percent = text[match.end() :].startswith(" %")
        if match.group(0) == "0.01" and "under 0.01 %" in text and any(0 < c < 0.01 for c in percent):
            continue
        if not any(_matches(match.group(0), c) for c in (percent if is_percent else plain)):
            yield f"the figure {match.group(0)}{' %' if is_percent else ''} is not in the record"


def _extreme(said: str, verdict: Verdict | None) -> str:
    held = verdict is not None and (verdict.probability > 0.999 if said[0] == "o" else verdict.probability < 0.001)
    return "…" if held else said


def _candidates(cited: list[Evidence], masks: list[np.ndarray], known: _Known) -> tuple[list[float], list[float]]:
    """(figures that may be printed in per cent, other figures) of what a sentence cites and names."""
    percent: list[float] = [100.0 * float(m.mean()) for m in masks]
    plain: list[float] = []
    for item in cited:
        for value in (item.value, item.reference):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                is_share = not item.unit and item.quantity.startswith(("share", "fraction")) and 0 <= value <= 1
                (percent if is_share else plain).append(100.0 * value if is_share else float(value))
        for region in (item.region, item.partner):
            if region is not None:
                percent.append(100.0 * region.area_fraction)
                found = decode_mask(region.mask)
                percent += [100.0 * float((found & m).sum() / max(int(m.sum()), 1)) for m in masks]
        if item.trace == "region_contrast" and known.shape is not None:
            rows = [row for row in item.details.values() if isinstance(row, dict)]
            plain += [float(row[k]) for row in rows for k in ("inside", "surroundings") if row[k] is not None]
            percent += [float(row["percentile"]) for row in rows if row["percentile"] is not None]
            plain.append(float(item.details["same_size_regions"]))
    if known.verdict is not None:
        percent.append(100.0 * known.verdict.probability)
    if known.shape is not None:
        percent.append(100.0 * float(known.regions["R1"].mean()))
        plain.append(float(known.shape["shape"]["parts"]))
    if known.facts is not None:
        plain += [float(known.facts["width"]), float(known.facts["height"])]
        percent += [100.0 * s for s in known.facts["colours"].values()]
        percent += [100.0 * o["share"] for o in known.facts["objects"]]
    return percent, plain


def _matches(printed: str, value: float) -> bool:
    """Whether a printed figure is `value`, rounded to the digits it is printed with."""
    digits = printed.replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return abs(float(digits) - value) <= 0.5000001 * 10.0 ** (int(exponent or 0) - decimals) + 1e-9


def check_files(paths: Iterable[Path], *, look: bool = True) -> Iterator[tuple[Path, int, list[str]]]:
    """(file, line number, problems) of every record of the files; masks and pictures are looked for beside them.

    Raises:
        SourceError: a file cannot be read.
    """
    for path in paths:
        for number, item in read_lines(path):
            if isinstance(item, str):
                yield path, number, [item]
                continue
            problems = check_record(item, path.parent if look else None)
            if look and isinstance(item.mask, str):
                try:
                    mask = read_mask(item.mask, path.parent)
                    if mask.shape != (item.height, item.width):
                        problems.append(f"{item.mask} has another size than the picture")
                except FakeExplainError as error:
                    problems.append(str(error))
            yield path, number, problems
