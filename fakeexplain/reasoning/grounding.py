"""The checker of answers: one sentence in, and whether the records carry it; by program, no model judges.

A sentence is `supported` when it cites known evidence and all it says is in what it cites: ids, figures with their unit
and kind, places, sizes, the side of a comparison, instruments, operations, strength, and the verdict's own side. It is
`no_claim` when it states nothing about the picture. Everything else is `unsupported`: vocabulary is closed, so what
cannot be checked is not said. The verdict is `examination.verdict`; neither question nor file nor model changes it.
Left out: what to do about an unsupported sentence (`fakeexplain.conversation`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fakeexplain.reasoning import grounding_records as core
from fakeexplain.reasoning import grounding_words as words
from fakeexplain.reasoning.file_facts import FileFacts
from fakeexplain.reasoning.glossary import SENTENCES as GLOSSARY_SENTENCES
from fakeexplain.reasoning.grounding_claims import claim_problems
from fakeexplain.reasoning.grounding_form import form_problems
from fakeexplain.reasoning.numbers import rate_words
from fakeexplain.reasoning.operations import OPERATION_PHRASES
from fakeexplain.reasoning.quoting import box_sentence, quote
from fakeexplain.reasoning.sights import Sights
from fakeexplain.reasoning.wording import (
    describe_bare,
    expectation_words,
    fact_sentence,
    finding_sentences,
    is_significant,
    quiet_sentence,
)
from fakeexplain.records import Evidence, Examination, Region

MAX_LENGTH = 900  # characters of one sentence
_GROUPED = re.compile(r"\[(\s*E\d+(?:\s*[,;&]\s*E\d+)+\s*)\]")
_ROUND = re.compile(r"\((E\d+(?:\s*[,;]\s*E\d+)*)\)")
_WORD = re.compile(r"[A-Za-z][A-Za-z_'-]*")
_QUOTED = re.compile(r"[“\"]([^”\"]*)[”\"]")
_UNMEASURABLE = re.compile(r"R\d+ could not be measured\b|(?:There is )?no figure for R\d+\b", re.IGNORECASE)
_HEDGE = re.compile(
    r"\b(?:could|may|might|can|would|not ruled out|causes?|explanations?|reasons?|no result|abstained|not tested"
    r"|could not)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Checked:
    """What the checker found about one sentence; `text` is the sentence with its citations in the common form."""

    text: str
    finding: Literal["supported", "no_claim", "unsupported"]
    problems: tuple[str, ...] = ()
    evidence_ids: tuple[str, ...] = ()
    region_ids: tuple[str, ...] = ()


def normalise(sentence: str) -> str:
    """One line, without Markdown, citations in the form "[E1][E2]" and before the full stop."""
    text = " ".join(sentence.split()).strip("*_#> ")
    text = re.sub(r"^(?:[-•]|\d+[.)])\s+", "", text).replace("**", "").replace("`", "")
    pieces = re.split(r"(“[^”]*”)", text)  # data of the file cites nothing, whatever brackets it holds
    for number in range(0, len(pieces), 2):
        for pattern in (_GROUPED, _ROUND):
            pieces[number] = pattern.sub(_in_common_form, pieces[number])
    text = "".join(pieces)
    text = re.sub(r"\.\s*((?:\[E\d+\]\s*)+)\.?$", lambda m: f" {m.group(1).strip()}.", text)
    return re.sub(r"(?<=\d)%", " %", text)


def _in_common_form(match: re.Match[str]) -> str:
    return "".join(f"[{i}]" for i in re.findall(r"E\d+", match.group(1)))


class Checker:
    """Checks sentences about one picture.

    Args:
        examination: holds the verdict and the facts of the source.
        evidence: all that may be cited. regions: all that may be named.
        failed: region id and reason of measurements that could not be made.
        sights: what may be said of the map and of what the picture looks like; None for nothing.
    """

    def __init__(
        self,
        examination: Examination,
        evidence: Sequence[Evidence],
        regions: Mapping[str, Region],
        failed: Sequence[tuple[str, str]] = (),
        sights: Sights | None = None,
    ) -> None:
        self.examination, self.verdict = examination, examination.verdict
        self.known = core.Known({}, examination.verdict)
        for item in evidence:
            self.known.learn(item)
        for region in regions.values():
            if region.id not in self.known.masks:
                from_region = core.decode_mask(region.mask)
                self.known.masks[region.id], self.known.boxes[region.id] = from_region, region.box_xyxy
        self._sights, self._file = sights, FileFacts(examination)
        self._failed = {(region_id, quote(reason)) for region_id, reason in failed}
        self._rules = {c.text for c in examination.reasoning if c.section != "conclusion" or c.evidence_ids}

    def check(self, sentence: str) -> Checked:
        """Reads one sentence."""
        text = self._by_those_who_found(normalise(sentence))
        ids = tuple(dict.fromkeys(core.CITED.findall(text)))
        regions = tuple(core.named_regions(text))
        problems = tuple(dict.fromkeys(self._problems(text)))
        if problems:
            return Checked(text, "unsupported", problems, ids, regions)
        claims = bool(ids or regions) or self._is_record(text)
        return Checked(text, "supported" if claims else "no_claim", (), ids, regions)

    def _by_those_who_found(self, text: str) -> str:
        """ "There is evidence [E1][E2]" without the citations of tests that found nothing, where one did."""
        deciding = self.verdict.deciding_ids
        if self.verdict.label != "manipulated" or core.QUIET.search(text):
            return text
        if not core.VERDICTS["manipulated"].search(text) or not set(core.CITED.findall(text)) & set(deciding):
            return text
        others = {e.id for e in self.known.evidence.values() if e.kind == "detection" and e.id not in deciding}
        return re.sub(r"\s*\[(E\d+)\]", lambda m: "" if m.group(1) in others else m.group(0), text)

    def _is_record(self, text: str) -> bool:
        """A sentence about the whole examination that needs no evidence id, for its own record carries it."""
        return (
            text in self._rules
            or self._promise(text)
            or self._open(text)
            or self._of_file(text)
            or self._box(text)
            or self._unmeasurable(text)
            or (self._sights is not None and self._sights.hold(text))
        )

    def _unmeasurable(self, text: str) -> bool:
        said = re.fullmatch(r"(?:(R\d+) could not be measured|(?:There is )?[Nn]o figure for (R\d+)): (.+?)\.?", text)
        return said is not None and (said.group(1) or said.group(2), said.group(3)) in self._failed

    def _promise(self, text: str) -> bool:
        said = text.replace(rate_words(self.verdict.false_alarms), "RATE").rstrip(".")
        return words.PROMISE.fullmatch(said) is not None

    def _open(self, text: str) -> bool:
        """That something on the verdict's own list was not tested, or the verdict's reason."""
        clauses = {quote(c) for c in self.verdict.not_tested}
        before, _, what = text.rstrip(".").partition(": ")
        openings = (
            "not tested|left open|out of reach here|beyond this examination|outside its scope|it was not tested"
            "|nobody tested here"
        )
        if what in clauses:
            return re.fullmatch(openings, before, re.IGNORECASE) is not None
        reason = quote(self.verdict.reason).lower()
        return text.rstrip(".").lower() in {reason, f"the reason: {reason}", f"why: {reason}"}

    def _box(self, text: str) -> bool:
        bare = re.sub(r"\s*\[E\d+\](?=\.$)", "", text)
        return any(bare == f"{box_sentence(*known)}." for known in self.known.boxes.items())

    def _of_file(self, text: str) -> bool:
        """What the library says of single entries of the file, and its size in shorter words."""
        facts = self.examination.source
        [whole] = self._file.dimensions()
        shorter = whole.replace(f" and {facts.size_bytes} bytes", "")
        said = map(normalise, self._file.sentences())
        return text in (shorter, f"The picture has {facts.width} x {facts.height} pixels.", *said)

    def _problems(self, text: str) -> Iterator[str]:
        if not _WORD.search(text):
            yield "says nothing"
            return
        if re.search(r"[{}]", _without_data(text)):
            yield "refers to something that no record holds"
            return
        unknown = core.unknown_ids(_without_data(text), self.known)
        if unknown:
            yield f"{', '.join(dict.fromkeys(unknown))} not known here"
            return
        cited = self.known.cited(text)
        if self._by_rule(text, cited) or self._is_record(text) or text in GLOSSARY_SENTENCES:
            return
        if len(text) > MAX_LENGTH:
            yield f"is longer than {MAX_LENGTH} characters"
            return
        if _UNMEASURABLE.match(text):  # it is none of these that failed (`_is_record`)
            yield "tells of a measurement that did not fail"
        said = self._without_quotes(text, cited)
        quoted = _QUOTED.search(said)
        if quoted is not None and quoted.group(1).strip(core.GAP + " "):
            yield f"quotes {quoted.group(1)[:40]!r}, which is not in what it cites"
        if "‹cause›" in said and not _HEDGE.search(said):
            yield "tells another possible cause as a fact"
        said = self._without_promise(said)
        yield from form_problems(said)
        if words.ORDER_UNKNOWN.search(said):
            if any(e.copy_and_source for e in cited):
                yield "says that the copy cannot be told from its source, the record tells it"
            elif not any(e.partner is not None for e in cited):
                yield "speaks of two areas, nothing cited has two"
        for fixed in words.FIXED:
            said = fixed.sub(core.GAP, said)
        said = words.UNCHANGED.sub("keep the file", said)
        if refused := words.REFUSED.search(said):
            yield f"uses {refused.group(0)!r}"
        regions = core.named_regions(said)
        if not cited and not regions:
            if not _states_nothing(said):
                yield "states something without a citation"
            return
        if not cited and (
            strange := [w for w in _WORD.findall(core.ID.sub(core.GAP, said)) if w.lower() not in words.OF_A_REGION]
        ):
            yield f"says {strange[0]!r} of a region without a citation"
        yield from self._against_records(text, said, cited, regions)

    def _against_records(self, text: str, said: str, cited: list[Evidence], regions: list[str]) -> Iterator[str]:
        yield from core.verdict_problems(text, cited, self.verdict)
        for name in core.operations_said(said):
            if not core.fits_trace(name, cited, self.verdict) or not re.search(
                r"\b(?:fits|consistent|leaves?|can)\b", said
            ):
                yield f"claims {name}, which nothing cited carries"
            for phrase in OPERATION_PHRASES[name]:
                said = said.replace(phrase, core.GAP)
        yield from core.comparison_problems(said, cited, self.known)
        yield from core.place_problems(said, core.places_of(cited, regions, self.known))
        yield from core.box_problems(said, {self.known.boxes[i] for i in regions if i in self.known.boxes})
        figures = core.figures_of(cited, regions, self.known)
        bare = core.BOX.sub(core.GAP, said)
        yield from core.figure_problems(bare, cited, figures, self.verdict)
        yield from claim_problems(bare, cited, regions, self.known, figures, text)
        yield from self._vocabulary_problems(bare, cited)

    def _by_rule(self, text: str, cited: list[Evidence]) -> bool:
        """Whether the library itself says exactly this of what is cited."""
        if text in self._rules:
            return True
        if len(cited) != 1:
            return False
        bare = re.sub(r"\s*\[E\d+\](?=\.?$)", "", text).rstrip(".")
        return bare in {s.rstrip(".") for s in self._sentences_of(cited[0])}

    def _sentences_of(self, item: Evidence) -> list[str]:
        if item.kind == "detection":
            return finding_sentences(item) if is_significant(item, self.verdict) else [quiet_sentence(item)]
        said = describe_bare(item)
        return [said, quote(said)] + ([quote(fact_sentence(item))] if item.kind == "fact" else [])

    def _without_quotes(self, text: str, cited: list[Evidence]) -> str:
        """The sentence less what it repeats from the records; other causes leave a mark of their own.

        What the file says about itself is data of a stranger: it may stand in quotation marks, or in the library's own
        sentence about it, and nowhere else.
        """
        causes = [c for e in cited for c in e.limits]
        text = core.without(text, causes, "‹cause›")
        strings: list[str] = []
        for item in cited:
            strings += [item.quantity, item.reference_text]
            data = [v for v in (item.value, item.reference) if isinstance(v, str)]
            if item.kind == "abstention":
                text = core.without(text, [item.reason], "‹reason›")
            if item.kind == "fact":
                strings += [fact_sentence(item)]
                strings += [f"“{quote(v)}”" for v in data] + [f'"{quote(v)}"' for v in data]
            else:
                strings += data
        strings += [expectation_words(self.verdict), self.verdict.reason]
        if any(e.instrument == "metadata" for e in cited):
            strings = [s for s in strings if not words.REFUSED.search(s) or s.startswith(("“", '"')) or len(s) > 60]
        return core.without_fixed(core.without(text, strings))

    def _without_promise(self, text: str) -> str:
        said = text.replace(rate_words(self.verdict.false_alarms), "RATE")
        replaced = words.PROMISE.sub(core.GAP, said)
        return replaced if replaced != said else text

    def _vocabulary_problems(self, said: str, cited: list[Evidence]) -> Iterator[str]:
        own: set[str] = set()
        for item in cited:
            own |= words.TOPICS.get(item.instrument, frozenset())
            if item.kind != "fact":
                # What else could cause it is quoted whole, or not at all: its words are nobody's to use.
                told = self._sentences_of(item.model_copy(update={"limits": ()}))
                own |= {w.lower() for s in told for w in _WORD.findall(s)} - _RISKY
                own |= {w.lower() for w in _WORD.findall(f"{item.instrument} {item.trace} {item.unit}")}
            own |= set(re.findall(r"[a-z]+", item.instrument))
        bare = core.ID.sub(core.GAP, said.replace("‹cause›", "").replace("‹reason›", ""))
        allowed = words.GENERAL | words.COUNT_WORDS.keys() | own
        strange = [
            w
            for w in _WORD.findall(bare)
            if w.lower() not in allowed and w.lower().removesuffix("'s") not in own and not _CHILD_WORDS.fullmatch(w)
        ]
        if strange:
            yield f"says {', '.join(repr(w) for w in dict.fromkeys(strange))}, which is not in what it cites"


_RISKY = frozenset(
    (
        *("camera", "altered", "alteration", "retouched", "pasted", "painted", "added", "blurred"),
        *("sharpened", "removed", "taken"),
    )
)
_CHILD_WORDS = re.compile(
    r"(?:photo|dots|sand|threads|cloth|pattern|puzzle|piece|stamp|twins|footprints?|rain|washed|imagine|place|little)",
    re.IGNORECASE,
)


def _states_nothing(said: str) -> bool:
    """Whether a sentence without citation is one of those that state nothing about the picture."""
    if any(p.fullmatch(said) or p.fullmatch(said.rstrip(".") + ".") for p in words.NO_CLAIM):
        return True
    lowered = said.lower()
    if words.ADVICE.match(lowered) and not re.search(r"\d", lowered.replace("sha-256", "")):
        lowered = words.ADVICE_CLAUSES.sub("", lowered)  # all else that has a verb of its own would tell something
        return all(w in words.ADVICE_WORDS for w in re.findall(r"[a-z][a-z'-]*", lowered))
    return False


def _without_data(text: str) -> str:
    """Without quoted data of the file, whose letters and digits are no ids."""
    return re.sub(r"“[^”]*”", core.GAP, text)
