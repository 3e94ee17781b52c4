"""Reads every answer of a record back and checks it against the record, sentence by sentence, by program.

Checked: evidence and region ids, figures (to the printed digits, of the kind they are printed as), places, sizes,
boxes, shapes, verdict words, operations, directions ("higher than"), words that must never be used, tool calls, what is
plainly there, and short answers (`short_check`). Quotations of the record are recognised as such and taken out first.
A figure or word that the record does not hold is a problem; so is telling as a finding what did not pass its threshold.
What every checker needs is the library's (`fakeexplain.reasoning.grounding_records`); here is what a record adds.
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
from data_tools.instructions.quotes import FORBIDDEN
from data_tools.instructions.short_check import check_short, is_short
from data_tools.schema import InlineMask, Message, Record, read_lines, read_mask, resolve
from fakeexplain.errors import FakeExplainError
from fakeexplain.imaging.regions import mask_of_box, place_words
from fakeexplain.reasoning import grounding_records as core
from fakeexplain.records import Evidence, Verdict

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CALL = re.compile(r"measure (\w+) on (R\d+)")
_SIDE = re.compile(r"^The (.+) is (left|right) of the (.+?)\.$")


@dataclass
class _Known(core.Known):
    """What a record allows to be said at one point of its dialogue."""

    record: Record = field(default_factory=lambda: Record(image="none"))
    shape: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None
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
    if is_short(record):
        sight = {key: value for key, value in entries.get("sight", {}).items() if key != "on"}
        return check_short(record) + (_look_again(record, sight, root) if sight and root is not None else [])
    examined, mask_entry, facts = entries.get("examination"), entries.get("mask"), entries.get("seen")
    verdict = Verdict.model_validate(examined["verdict"]) if examined else None
    brought = {i for m in record.dialogue if m.role == "tool" for i in m.evidence_ids}
    start = {e.id: e for e in record.evidence if e.id not in brought}
    problems = []
    if facts is not None:
        facts = {key: value for key, value in facts.items() if key != "on"}
        if root is not None:
            problems += _look_again(record, facts, root)
    known = _Known(dict(start), verdict, record=record, shape=mask_entry, facts=facts)
    for item in start.values():
        known.learn(item)
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


def _check_turn(message: Message, known: _Known) -> Iterator[str]:
    if message.region is not None and message.role == "user":
        region = message.region
        if isinstance(region.mask, InlineMask):
            known.masks[region.id] = region.mask.mask()
        elif region.box_xyxy is not None:
            known.masks[region.id] = mask_of_box(region.box_xyxy, *known.size)
        if region.box_xyxy is not None:
            known.boxes[region.id] = region.box_xyxy
        if region.words and region.id in known.masks:
            found = place_words(known.masks[region.id])
            if found != region.words:
                yield f"{region.id} is called {region.words!r} but lies {found!r}"
    if message.role == "tool":
        brought = {e.id: e for e in known.record.evidence}
        for evidence_id in message.evidence_ids:
            if evidence_id not in brought:
                yield f"the tool brings {evidence_id}, which the record does not hold"
                continue
            known.learn(brought[evidence_id])
        known.tool_text = message.content
    if message.role != "assistant":
        return
    call = _CALL.fullmatch(message.content)
    if call is not None:
        if call.group(2) not in known.masks:
            yield f"measures {call.group(2)}, which nobody named"
        return
    if FORBIDDEN.search(message.content):
        yield f"uses the word {FORBIDDEN.search(message.content).group(0)!r}"  # type: ignore[union-attr]
    cited = set(core.CITED.findall(message.content))
    if cited != set(message.evidence_ids):
        yield f"cites {sorted(cited)}, evidence_ids say {sorted(message.evidence_ids)}"
    if "<SEG>" in message.content and (message.region is None or message.region.id not in message.content):
        yield "<SEG> without its region"
    if message.region is not None:
        if "<SEG>" not in message.content:
            yield "region without <SEG>"
        expected = known.masks.get(message.region.id)
        given = message.region.mask.mask() if isinstance(message.region.mask, InlineMask) else None
        if expected is None or given is None or not np.array_equal(given, expected):
            yield f"<SEG> stands for {message.region.id}, whose mask is another one"
    for sentence in _SENTENCE.split(message.content):
        for problem in _check_sentence(sentence, known):
            yield f"{problem}: {sentence!r}"


def _check_sentence(sentence: str, known: _Known) -> Iterator[str]:
    unknown = core.unknown_ids(sentence, known)
    if unknown:
        yield f"{', '.join(unknown)} not known here"
        return
    cited = [known.evidence[i] for i in core.CITED.findall(sentence)]
    if known.verdict is not None:
        yield from core.verdict_problems(sentence, cited, known.verdict)
    text = _without_quotes(sentence, cited, known)
    yield from _operation_problems(text, cited, known)
    regions = [i for i in core.ID.findall(text) if i.startswith("R")]
    yield from core.comparison_problems(text, cited, known)
    yield from core.place_problems(text, _places(cited, regions, known))
    if known.facts is not None:
        yield from _seen_problems(text, known.facts)
    if known.shape is not None:
        yield from _shape_problems(text, known)
    boxes = {known.boxes[i] for i in core.ID.findall(text) if i in known.boxes}
    boxes |= {known.boxes["R1"]} if known.shape is not None else set()
    yield from core.box_problems(text, boxes)
    yield from core.figure_problems(core.BOX.sub(core.GAP, text), cited, _figures(cited, regions, known), known.verdict)


def _without_quotes(sentence: str, cited: list[Evidence], known: _Known) -> str:
    """The sentence less what it quotes word by word from the record."""
    strings = [*core.quotations(cited, known.verdict), known.tool_text.partition(": ")[2]]
    if known.shape is not None:
        strings.append(known.shape.get("reason", ""))
    return core.without_fixed(core.without(sentence, strings))


def _operation_problems(text: str, cited: list[Evidence], known: _Known) -> Iterator[str]:
    for name in core.operations_said(text):
        if known.shape is not None:
            held = known.shape["fits"] == name and set(known.shape["operations"]) == {name} and bool(cited)
        else:
            held = name in known.record.operations and core.fits_trace(name, cited, known.verdict)
        if not held:
            yield f"claims {name}, the record does not"


def _places(cited: list[Evidence], regions: list[str], known: _Known) -> set[str]:
    places = core.places_of(cited, regions, known)
    if known.shape is not None:
        places |= core.places_of((), ("R1",), known)
    if known.facts is not None:
        named = [known.facts["brightest"], known.facts["darkest"], *(o["place"] for o in known.facts["objects"])]
        places |= {n if n.startswith(("across", "along", "from")) else f"in the {n}" for n in named}
    return places


def _figures(cited: list[Evidence], regions: list[str], known: _Known) -> core.Figures:
    """Figures that a sentence may print: the core's, and those of the shape or of what is plainly there."""
    figures = core.figures_of(cited, regions, known)
    if known.shape is not None:
        figures.areas.append(100.0 * float(known.masks["R1"].mean()))
        figures.plain.append(float(known.shape["shape"]["parts"]))
    if known.facts is not None:
        figures.plain += [float(known.facts["width"]), float(known.facts["height"])]
        figures.shares += [100.0 * s for s in known.facts["colours"].values()]
        figures.shares += [100.0 * o["share"] for o in known.facts["objects"]]
    return figures


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
        if name not in facts["colours"] or not core.printed_as(share, 100 * facts["colours"][name]):
            yield f"{name} at {share} % is not in the record"
    named = {o["name"]: o for o in facts["objects"]}
    for name, share in re.findall(
        rf"\b({'|'.join(CATEGORIES.values())}) (?:in|across|along|from)\b[^;]*?, ([\d.]+) %", text
    ):
        if name not in named or not core.printed_as(share, 100 * named[name]["share"]):
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
    mask = known.masks["R1"]
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
