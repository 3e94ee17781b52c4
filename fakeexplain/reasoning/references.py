"""References instead of copies: "{E1 value}" stands for a field of a record, and the record's own words are put in.

The assistant writes `In {R1 place}, {E1 value} of the blocks lack the grid [E1].`; before anybody reads it, each
reference becomes the figure, place or quotation that the record holds. A figure can then belong to no other record than
the one that is named, and a small model need not copy digits and long strings, which it does badly. Answers that it is
trained on, and its own of earlier turns, are turned the other way. Delexicalised generation, after Wen et al. (EMNLP
2015). What is said of a figure is still the checker's to judge (`grounding`).

Fields of evidence: instrument, value, reference, against (what the reference is), quantity, reason, cause1, cause2,
..., rate (by chance), side (higher or lower than the reference), fact (the record's own sentence). Of regions: place,
spot ("lower centre"), size, box, failure (why it could not be measured), `R3 in R1` (part of R3 that lies in R1).
Of the verdict: probability, promise, grounds, expectation. A capital at the beginning gives one in the text, as in
"{R1 Place}". What the question of the moment is about has names of its own: `region` for the region chosen
("{region}", "{region place}"), `record` for the evidence it names ("{record value} [{record}]").

Left out: writers of other makes (`local_writer`, `url_writer`), which are given figures and copy them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fakeexplain.imaging.regions import percent_words
from fakeexplain.reasoning.grounding_records import CITED, named_regions
from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.quoting import box_words, instrument_words, place_of, quote, rate_of, size_of, value_words
from fakeexplain.reasoning.touching import share_inside
from fakeexplain.reasoning.wording import expectation_words, fact_sentence, is_significant
from fakeexplain.records import REGION_TEST, Evidence, Region, Verdict

REFERENCE = re.compile(r"\{([A-Za-z][A-Za-z0-9 ]*)\}")
_BETWEEN = re.compile(r"((?<=[.!?])\s+)")
_PROBABLE = re.compile(r"probab|chance (?:of|that) a|likely", re.IGNORECASE)
_SHORT = 2  # characters; a shorter string without a unit is too common to be recognised
_LONG = 24  # characters from which a string belongs to its record whatever is cited
_NAMES = re.compile(r"\{[^{}]*\}|(?<![A-Za-z])[ER]\d+\b")
REGION, RECORD = "region", "record"
_LONGEST = 40  # characters of a reference
_SHARED = ("instrument", "quantity")  # fields that many records have in common
_IN_LINES = ("against", "reason", "cause")  # fields whose words are long and seldom needed to answer


class References:
    """All that may be referred to at one point of a dialogue.

    Args:
        verdict: of the examination. evidence: all that may be cited. regions: by id, those of the evidence among them.
        failed: region id and reason of measurements that could not be made.
        region_id, record_id: what the question is about, None for nothing of that kind.
    """

    def __init__(
        self,
        verdict: Verdict,
        evidence: Iterable[Evidence],
        regions: Mapping[str, Region],
        failed: Sequence[tuple[str, str]] = (),
        *,
        region_id: str | None = None,
        record_id: str | None = None,
    ) -> None:
        self._evidence = {e.id: e for e in evidence if e.id}
        found = (r for e in self._evidence.values() for r in (e.region, e.partner))
        self._regions = {r.id: r for r in found if r is not None and r.id} | dict(regions)
        self._fields = {e.id: _fields(e, verdict) for e in self._evidence.values()}
        self._verdict = {
            "probability": percent_of(verdict.probability),
            "promise": rate_words(verdict.false_alarms),
            "grounds": quote(verdict.reason),
            "expectation": quote(expectation_words(verdict)),
        }
        self._places = {i: _region_fields(r) for i, r in self._regions.items()}
        for failed_id, reason in failed:
            if failed_id in self._places:
                self._places[failed_id]["failure"] = quote(reason)
        self._about = {REGION: region_id, RECORD: record_id}
        self._about = {name: i for name, i in self._about.items() if i in self._places or i in self._fields}

    @property
    def names(self) -> tuple[str, ...]:
        """Every reference that can be filled, without braces and without those that begin with a capital."""
        held = [*self._fields.items(), *self._places.items()]
        pairs = (f"{one} in {two}" for one in self._regions for two in self._regions if one != two)
        names = (*(f"{i} {name}" for i, fields in held for name in fields), *pairs, *self._verdict)
        about = (a for n in names if (a := self._named_by_question(n)) != n)
        return (*names, *about, *self._about)

    def fill(self, text: str) -> str:
        """The text with every reference that can be filled; others stay, for the checker to refuse."""
        return REFERENCE.sub(lambda m: self._filled(m.group(1)) or m.group(0), text)

    def filled(self, pieces: Iterable[str]) -> Iterator[str]:
        """`fill` for text that arrives in pieces; one that is cut within a reference waits for the rest of it."""
        held = ""
        for piece in pieces:
            held += piece
            begun = held.rfind("{")
            cut = begun if begun >= 0 and "}" not in held[begun:] and len(held) - begun <= _LONGEST else len(held)
            if cut:
                yield self.fill(held[:cut])
            held = held[cut:]
        if held:
            yield held

    def put(self, text: str, *, answers: bool = False) -> str:
        """The text with references for what it takes from the records that each of its sentences cites or names.

        `fill` gives the text again.

        Args:
            answers: whether it answers the question of the moment, whose region and record have names of their own.
        """
        parts = _BETWEEN.split(text)
        said = "".join(part if number % 2 else self._referring(part) for number, part in enumerate(parts))
        return _NAMES.sub(self._by_question, said) if answers and self._about else said

    def _by_question(self, found: re.Match[str]) -> str:
        said = found.group(0)
        if said[0] == "{":
            return self._named_by_question(said)
        named = self._named_by_question(said)
        return said if named == said else "{" + named + "}"

    def _named_by_question(self, name: str) -> str:
        for alias, held in self._about.items():
            name = re.sub(rf"(?<![A-Za-z]){held}\b", alias, name)
        return name

    def shorten(self, line: str) -> str:
        """A line of a prompt with references for long quotations; figures, places and kinds of traces stay."""
        told = [
            (words, f"{i} {name}")
            for i, fields in self._fields.items()
            for name, words in fields.items()
            if name.startswith(_IN_LINES) and len(words) >= _LONG
        ]
        begun = re.match(r"(E\d+) ", line)
        if begun is not None:
            told = [t for t in told if t[1].startswith(f"{begun.group(1)} ")]
        return _replaced(line, told)

    def _filled(self, reference: str) -> str:
        owner, _, name = reference.rpartition(" ")
        if name in self._regions:  # the second one of a pair, whose capital is its own
            return self._text(owner, name)
        said = self._text(owner, name[:1].lower() + name[1:])
        return said[:1].upper() + said[1:] if name[:1].isupper() else said

    def _text(self, owner: str, name: str) -> str:
        if not owner and name in self._about:
            return str(self._about[name])
        name = self._about.get(name) or name if owner.endswith(" in") else name
        one = owner.removesuffix(" in")
        owner = self._about.get(one) or one if owner else ""
        if name in self._regions and owner in self._regions:
            return self._overlap(owner, name)
        held = self._verdict if not owner else self._fields.get(owner) or self._places.get(owner) or {}
        return held.get(name, "")

    def _overlap(self, one: str, two: str) -> str:
        return percent_words(share_inside(self._regions[one], self._regions[two]))

    def _referring(self, sentence: str) -> str:
        cited = [i for i in dict.fromkeys(CITED.findall(sentence)) if i in self._fields]
        named = [i for i in named_regions(sentence) if i in self._regions]
        probable = bool(_PROBABLE.search(sentence))
        told = list(self._of_verdict(probable))
        for i in cited:
            told += [(words, f"{i} {name}") for name, words in self._fields[i].items()]
        for i in self._fields:
            if i not in cited:
                told += [(w, f"{i} {n}") for n, w in self._fields[i].items() if len(w) >= _LONG and n not in _SHARED]
        of_cited = [r.id for i in cited for r in (self._evidence[i].region, self._evidence[i].partner) if r is not None]
        for i in dict.fromkeys([*named, *of_cited]):
            told += [(words, f"{i} {name}") for name, words in self._places.get(i, {}).items()]
        for one in named:
            told += [(self._overlap(one, two), f"{one} in {two}") for two in named if two != one]
        return _replaced(sentence, told)

    def _of_verdict(self, probable: bool) -> Iterator[tuple[str, str]]:
        for name, words in self._verdict.items():
            if name != "probability" or probable:
                yield words, name


def _fields(item: Evidence, verdict: Verdict) -> dict[str, str]:
    """What may be said of one record; of a test that found nothing, no more than which it was."""
    instrument = {"instrument": instrument_words(item.instrument)}
    if item.kind == "abstention":
        return instrument | {"reason": quote(item.reason)}
    if item.kind == "detection" and not is_significant(item, verdict):
        return instrument
    value, reference = value_words(item, item.value), value_words(item, item.reference)
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (item.value, item.reference))
    told = {
        **instrument,
        "value": value,
        "reference": reference,
        "side": ("higher" if item.value > item.reference else "lower")  # type: ignore[operator]
        if numeric and item.value != item.reference
        else "",
        "fact": quote(fact_sentence(item)) if item.kind == "fact" else "",
        "quantity": quote(item.quantity),
        "against": quote(item.reference_text),
        "rate": rate_of(item) if item.kind == "detection" or item.trace == REGION_TEST else "",
        **{f"cause{n}": quote(c) for n, c in enumerate(item.limits, start=1)},
    }
    return {name: words for name, words in told.items() if words}


def _region_fields(region: Region) -> dict[str, str]:
    place = place_of(region)
    spot = place.removeprefix("in the ")
    told = {"place": place, "spot": spot if spot != place else "", "size": size_of(region)}
    return {k: v for k, v in told.items() if v} | {"box": box_words(region.box_xyxy)}


def _replaced(text: str, told: Sequence[tuple[str, str]]) -> str:
    """References for strings, the longest first; a string that several fields hold refers to each of them in turn."""
    names: dict[str, list[str]] = {}
    for words, name in told:
        if len(words) < _SHORT and not words.endswith("%"):
            continue
        if words in text:  # most are not, and an expression of all would take longer to compile than to use
            names.setdefault(words, []).append(name)
        first = words[:1].upper() + words[1:]
        if first != words and first in text:
            names.setdefault(first, []).append(capital(name))
    if not names:
        return text
    choice = "|".join(re.escape(words) for words in sorted(names, key=len, reverse=True))
    seen: dict[str, int] = {}

    def reference(found: re.Match[str]) -> str:
        words = found.group(0)
        seen[words] = seen.get(words, 0) + 1
        return "{" + names[words][min(seen[words], len(names[words])) - 1] + "}"

    return re.sub(rf"(?<![\w.,{{])(?:{choice})(?!\w|[.,]\d)", reference, text)


def capital(name: str) -> str:
    """The name of a reference as it stands at the beginning of a sentence: "E1 value" -> "E1 Value"."""
    owner, _, field = name.rpartition(" ")
    return f"{owner} {field[:1].upper() + field[1:]}".strip()
