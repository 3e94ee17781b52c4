"""What a sentence asserts about a picture, against the records: its side, comparisons, roles of figures, who measured.

These are the lies that right ids and right figures can still tell. Each function yields one clause a problem. Left out:
ids, places and figures as such (`grounding_records`), vocabulary (`grounding_words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fakeexplain.reasoning import grounding_words as words
from fakeexplain.reasoning.grounding_reach import ASSERTS, meet, reach_problems
from fakeexplain.reasoning.grounding_records import (
    ID,
    NUMBER,
    QUIET,
    RATE,
    Figures,
    Known,
    printed_as,
)
from fakeexplain.reasoning.grounding_words import ALTER
from fakeexplain.reasoning.quoting import place_of
from fakeexplain.reasoning.touching import TOUCHES
from fakeexplain.reasoning.wording import is_significant
from fakeexplain.records import REGION_TEST, Evidence

_NO = r"(?:no|not any|none|nothing|nowhere|never|nobody|neither|without|lack of|absence of)"
_DENIES = re.compile(
    rf"\b{_NO}\b[^.;:]{{0,60}}\b(?:evidence|traces?|signs?|findings?|{ALTER}|"
    rf"passed|reached|stands? out|found|place|difference)\b"
    rf"|\b(?:evidence|traces?|signs?|findings?)\b[^.;:]{{0,25}}\b(?:was|were|is|are|did|does|has|have) not\b"
    r"|\bR\d+ is (?:free of findings|not touched)"
    rf"|\b(?:was|were|is|are|has been|have been|did) (?:not|never) {ALTER}\b",
    re.IGNORECASE,
)
_EVIDENCE = re.compile(r"\b(?:evidence|points? to|pointed to|suggests?|indicates?|signs?|traces?)\b", re.IGNORECASE)
_HEDGES = re.compile(
    r"\b(?:evidence|can|could|may|might|would|if|whether|unless|points? to|probab\w+|"
    r"chance|suggests?|fits?|consistent|cannot|"
    r"indicates?|signs?|possible|sign of)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:no|not|never|none|nothing|nowhere|neither|nor|without|nobody)\b|n't\b", re.IGNORECASE)
_MORE = re.compile(
    r"\b(?:more|higher|greater|above|exceed\w*|stronger|grainier|larger)\b(?! "
    r"(?:than )?(?:probable|likely|measurements|often))",
    re.IGNORECASE,
)
_LESS = re.compile(
    r"\b(?:less|lower|below|fewer|weaker|smoother|smaller)\b(?! (?:probable|likely|left|right|part|centre))",
    re.IGNORECASE,
)
_LIKELIHOOD = re.compile(r"\b(?:likel\w+|unlikel\w+|probable|improbable)\b", re.IGNORECASE)
_PROBABILITY = re.compile(r"\b(?:probability|chance (?:of|that)|chance at)\b", re.IGNORECASE)
_FIRM = re.compile(
    r"\b(?:very strong|strong|moderate|weak)\b(?= (?:evidence|finding|trace|sign|result))", re.IGNORECASE
)
_TOUCH = re.compile(
    r"\b(?=R\d+ is (?:free of|not touched))(R\d+)|\b(?:touch\w*|lies in|lie "
    r"in|overlaps?|inside|in) (?:the (?:region|box|area) )?(R\d+)"
)
# What makes a denial about one region one about the picture.
_BEYOND = re.compile(
    rf"\b(?:anywhere|nowhere|nothing|nobody|picture|image|photo\w*|rest|elsewhere|{ALTER})\b", re.IGNORECASE
)
_SHARE_OF = re.compile(r"(?:share|fraction) of (?:the )?(?:\w+ )*?(\w+)(?= (?:that|there|in|inside|for)\b|$)")
_SIZE = re.compile(r"\b(?:size|large|areas?|covers?|takes up)\b", re.IGNORECASE)
_MEANINGS = (
    (re.compile(r"\bin blocks of 8 by 8 pixels\b", re.IGNORECASE), {"foreign_grid", "missing_grid"}),
    (re.compile(r"\bwas saved twice\b", re.IGNORECASE), {"missing_double_quantisation"}),
    (re.compile(r"\bgrain does not repeat\b", re.IGNORECASE), {"duplicate_region"}),
    (re.compile(r"\bcamera (?:leaves the same )?grain\b", re.IGNORECASE), {"noise_low", "noise_high"}),
)
_OF_IMAGE = re.compile(r" % of the (?:image|picture|photograph|photo)\b")
_CONTACT = re.compile(
    r"\b(R\d+) (?:partly |also )?(?:touch\w*|overlap\w*|(?:lies?|is|falls) (?:in|inside|within)) "
    r"(?:of )?(?:the )?(?:finding |region |area |box |marked )*(R\d+)\b"
)
_COUNTED = re.compile(
    r"\b(one|two|both|three|four|five|six|seven|eight|nine|ten|dozen|several|"
    r"many|most|all|half)\b(?: of)?(?: the| these| those)?(?: other| further| more)? (findings?|instruments?|"
    r"tests?|regions?|detections?|witnesses|parts?|places?|areas?|spots?)\b",
    re.IGNORECASE,
)
_SHARE = re.compile(
    r"\b(?:half|a third|a quarter|most|nearly all|the whole|all) of (?:it|the "
    r"(?:picture|image|photograph|region))\b",
    re.IGNORECASE,
)
_CHANCE = re.compile(
    r"\b(?:beyond chance|where chance allows|chance level|\(by chance:|(?:probability|"
    r"chance) (?:of|that)|the chance)\b",
    re.IGNORECASE,
)
_CULPRIT = re.compile(
    r"\b(?:is|was|are|as|be|being) the copied\b|\b(?:the|its) (?:copy|source)\b|"
    r"\bcame (?:first|later|earlier|before|after)\b|\bthere (?:first|before)\b",
    re.IGNORECASE,
)
_PAIRED = re.compile(r"\b(?:repeats|matches|counterpart of) R\d+\b", re.IGNORECASE)
_ORDER = re.compile(r"\b(R\d+) (?:is|was) (?:taken for )?(?:the|its) (copy|source)\b", re.IGNORECASE)
_WHERE = re.compile(r"\b(left|right|upper|lower|top|bottom|middle|centre|center|corner|edge)\b", re.IGNORECASE)


def claim_problems(
    said: str, cited: Sequence[Evidence], regions: Sequence[str], known: Known, figures: Figures, whole: str
) -> Iterator[str]:
    """Everything below. said: the sentence without quotations, fixed phrases and boxes; whole: with them."""
    yield from _side_problems(said, cited, regions, known)
    yield from _kind_problems(said, cited)
    yield from _meaning_problems(whole, cited)
    yield from _direction_problems(said, cited)
    yield from _figure_role_problems(said, cited, figures, whole)
    yield from _name_problems(said, cited)
    yield from _strength_problems(said, cited, known)
    yield from _count_problems(said, cited, known)
    yield from _where_problems(said, cited, regions, known)


def _side_problems(said: str, cited: Sequence[Evidence], regions: Sequence[str], known: Known) -> Iterator[str]:
    verdict = known.verdict
    assert verdict is not None
    denies = _DENIES.search(said) is not None and not QUIET.search(said)
    if not denies:
        yield from _contact_problems(said, known)
    local = denies and bool(regions) and _TOUCH.search(said) is not None and not _BEYOND.search(said)
    if local:
        yield from _touch_problems(said, known)
    elif denies and verdict.label != "no_evidence" and not (verdict.label == "inconclusive" and "inconclusive" in said):
        yield "denies what the verdict does not deny"
    asserts = ASSERTS.search(said) is not None
    if asserts and not denies and not _HEDGES.search(said):
        yield "tells an alteration as a fact; there is evidence, no evidence, or no answer"
    if asserts and denies and not re.search(r"\b(?:evidence|findings?|traces?|signs?)\b", said, re.IGNORECASE):
        yield "tells that nothing was altered, which no measurement can show"
    positive = not denies and _EVIDENCE.search(said) is not None and not QUIET.search(said)
    yield from reach_problems(said, cited, regions, known, positive=positive, denies=denies)
    if (
        positive
        and asserts
        and verdict.label != "manipulated"
        and not re.search(r"\b(?:if|whether|could|may|might|would)\b", said)
    ):
        yield f"says there is evidence, the verdict is {verdict.label}"
    if verdict.label != "inconclusive" and re.search(r"\bno answer\b", said):
        yield f"says there is no answer, the verdict is {verdict.label}"
    if re.search(r"\bchance\b", _CHANCE.sub("", said), re.IGNORECASE) and not RATE.search(said):
        yield "speaks of chance without the record's figure"
    if _PAIRED.search(said) and not any(e.partner and {r.id for r in e.areas} <= set(regions) for e in cited):
        yield "says that two areas repeat each other, the record does not"
    if _CULPRIT.search(_without_order(said, cited)):
        yield "tells which of two areas is the copy, which the record does not"
    if _LIKELIHOOD.search(said) and not _PROBABILITY.search(said):
        yield "says how likely something is in words of its own"
    decides = [e for e in cited if e.id in verdict.deciding_ids and verdict.label == "manipulated"]
    if decides and not denies and _NEGATED.search(said) and not re.search(r"\b(?:cannot|not (?:from|by) the)\b", said):
        yield f"negates {decides[0].id}"
    if QUIET.search(said) and verdict.label == "manipulated":
        named = any(
            re.search(words.NAMES.get(e.instrument, re.escape(e.instrument)), said, re.IGNORECASE) for e in cited
        )
        if not named and not ID.search(re.sub(r"\[E\d+\]", "", said)):
            yield "says that nothing was found, without saying by whom"


def _without_order(said: str, cited: Sequence[Evidence]) -> str:
    """The sentence less what it says rightly of which of two areas is the copy."""
    told = [e.copy_and_source for e in cited]
    right = {(r.id, role) for o in told if o for r, role in zip(o, ("copy", "source"), strict=True)}
    return _ORDER.sub(lambda m: "…" if (m.group(1), m.group(2).lower()) in right else m.group(0), said)


def _touch_problems(said: str, known: Known) -> Iterator[str]:
    verdict = known.verdict
    assert verdict is not None
    for region_id in (a or b for a, b in _TOUCH.findall(said)):
        mask = known.masks[region_id]
        for evidence_id in verdict.deciding_ids if verdict.label == "manipulated" else ():
            item = known.evidence.get(evidence_id)
            for region in () if item is None else item.areas:
                if region.id not in known.masks:
                    continue
                share = float((known.masks[region.id] & mask).sum()) / max(int(mask.sum()), 1)
                if share >= TOUCHES:
                    yield f"{region_id} is touched by {region.id}"


def _contact_problems(said: str, known: Known) -> Iterator[str]:
    for one, other in _CONTACT.findall(said):
        if one in known.masks and other in known.masks and not meet(known.masks[one], known.masks[other]):
            yield f"{one} does not touch {other}"


def _kind_problems(said: str, cited: Sequence[Evidence]) -> Iterator[str]:
    kinds = {e.kind for e in cited}
    if kinds == {"abstention"} and not re.search(
        r"\b(?:no result|abstained|could not|cannot|not tested|not applied|inconclusive|"
        r"no answer|no evidence|no finding|needs|probab)",
        said,
    ):
        yield "tells a test that gave no result as one that did"
    if kinds == {"measurement"} and re.search(rf"\b(?:evidence|signs?|traces?|suspicious|points to|{ALTER})\b", said):
        yield "makes evidence of a region that somebody chose"
    tests = [e for e in cited if e.trace == REGION_TEST]
    if tests and "‹cause›" not in said and (len(tests) == len(cited) or re.search(r"\bstands? out\b", said)):
        yield "words the test of a region in its own way"
    if kinds == {"fact"} and re.search(r"\b(?:no result|abstained|could not be applied)\b", said):
        yield "tells a fact about the file as a test without result"
    if kinds == {"fact"} and "…" not in said:
        yield "words a fact about the file in its own way"
    if (
        kinds == {"fact"}
        and re.search(rf"\b(?:evidence|points to|{ALTER}|suggests?|indicates?)\b", said)
        and not _DENIES.search(said)
    ):
        yield "draws a conclusion from a fact about the file"


def _meaning_problems(said: str, cited: Sequence[Evidence]) -> Iterator[str]:
    """What a trace is and how it comes about is told of that kind of trace alone."""
    traces = {e.trace for e in cited}
    for pattern, kinds in _MEANINGS:
        if pattern.search(said) and not traces & kinds:
            yield "explains a trace that nothing cited is"


def _direction_problems(said: str, cited: Sequence[Evidence]) -> Iterator[str]:
    if QUIET.search(said):
        return
    text = re.sub(r"\b(?:fewer|less|no more|more) than …|\bfewer than (?=\d[\d,]* of)", "…", said)
    text = re.sub(
        r"\bR\d+ is larger than R\d+|\bmore than (?:chance|was measured)|\blarger "
        r"than\b(?= R)",
        "…",
        text,
    )
    for rate in RATE.finditer(said):
        before = said[: rate.start()].lower().rstrip()
        if not before.endswith(("fewer than", "less than", "at most", "no more than", "below", "under")):
            yield f"{rate.group(0)!r} is an upper bound"
    text = re.sub(r"\bfewer than …", "…", RATE.sub("…", text), flags=re.IGNORECASE)
    for pattern, sign in ((_MORE, 1), (_LESS, -1)):
        if not pattern.search(text):
            continue
        for item in cited:
            value, reference = item.value, item.reference
            if not _numeric(value) or not _numeric(reference):
                if item.kind == "detection":
                    yield f"{item.id} holds no comparison"
                continue
            if (value > reference) - (value < reference) != sign:  # type: ignore[operator]
                yield f"{item.id} was measured the other way round"


def _figure_role_problems(said: str, cited: Sequence[Evidence], figures: Figures, whole: str) -> Iterator[str]:
    text = ID.sub("…", RATE.sub("…", said))
    probable = _PROBABILITY.search(text) is not None
    numbers = list(NUMBER.finditer(text))
    for match in numbers:
        after = text[match.end() :]
        if after.startswith(" %"):
            is_area = _OF_IMAGE.match(after) is not None
            areas = [*figures.areas, *figures.overlaps]
            allowed = figures.probability if probable else figures.areas if is_area else [*figures.shares, *areas]
            tiny = match.group(0) == "0.01" and "under 0.01" in text
            if not probable and not any(printed_as(match.group(0), c) for c in areas):
                told_as_size = _SIZE.search(re.split(r"[;,]", text[: match.start()])[-1]) is not None
                if told_as_size and any(printed_as(match.group(0), c) for c in figures.shares):
                    yield f"tells {match.group(0)} % as a size"
                elif _bare_share(match.group(0), whole, cited):
                    yield f"tells {match.group(0)} % without saying of what"
            if not tiny and not any(printed_as(match.group(0), c) for c in allowed):
                yield f"the figure {match.group(0)} % stands for something else in the record"
            continue
        units = [
            e.unit
            for e in cited
            if any(_numeric(v) and printed_as(match.group(0), float(v or 0)) for v in (e.value, e.reference))
        ]
        unit = re.match(
            r" (dB|decibels?|pixels?|px|degrees?|grey levels?|levels?|bits?|times|x|"
            r"MB|KB)\b",
            after,
        )
        if unit is not None and units and not any(u.startswith(unit.group(1).rstrip("s")) for u in units):
            yield f"the unit of {match.group(0)} is {units[0] or 'none'}, not {unit.group(1)}"
    for item in cited if len(cited) == 1 else ():
        value, reference = item.value, item.reference
        if not _numeric(value) or not _numeric(reference) or value == reference:
            continue
        scale = 100.0 if figures.shares and not item.unit and 0 <= float(value) <= 1 else 1.0  # type: ignore[arg-type]
        roles = []
        for match in (m for m in numbers if not _OF_IMAGE.match(text[m.end() :])):  # an area may have the same digits
            is_value = printed_as(match.group(0), scale * float(value))  # type: ignore[arg-type]
            is_reference = printed_as(match.group(0), scale * float(reference))  # type: ignore[arg-type]
            if is_value != is_reference:
                roles.append("value" if is_value else "reference")
        if roles[:2] == ["reference", "value"]:
            yield "tells the figure and its reference the wrong way round"
        if roles == ["reference"] and not re.search(
            r"\b(?:reference|elsewhere|around|surround\w*|rest|comparable|chance|compared|against)\b", said
        ):
            yield "tells the reference as the figure"


def _bare_share(printed: str, said: str, cited: Sequence[Evidence]) -> bool:
    """Whether a share of something (of blocks, of votes) is told without saying of what."""
    held = [
        e
        for e in cited
        if not e.unit
        and e.quantity.startswith(("share", "fraction"))
        and any(_numeric(v) and printed_as(printed, 100.0 * float(v or 0)) for v in (e.value, e.reference))
    ]
    nouns = {m.group(1) for e in held if (m := _SHARE_OF.match(e.quantity))}
    return bool(held) and not any(re.search(rf"\b{n}\b", said, re.IGNORECASE) for n in nouns)


def _name_problems(said: str, cited: Sequence[Evidence]) -> Iterator[str]:
    mine = {e.instrument for e in cited}
    for name, pattern in words.NAMES.items():
        if name not in mine and re.search(rf"\b(?:{pattern})", said, re.IGNORECASE):
            yield f"names {name}, which it does not cite"


def _strength_problems(said: str, cited: Sequence[Evidence], known: Known) -> Iterator[str]:
    for match in _FIRM.finditer(said):
        if not any(e.strength == match.group(0).lower() for e in cited):
            yield f"says {match.group(0)!r}, the record does not"
    if re.search(r"\bpassed (?:its|the|their) threshold", said) and not _DENIES.search(said):
        assert known.verdict is not None
        if not any(is_significant(e, known.verdict) for e in cited):
            yield "says that a threshold was passed"


def _count_problems(said: str, cited: Sequence[Evidence], known: Known) -> Iterator[str]:
    verdict = known.verdict
    assert verdict is not None
    names = {"one": 1, "two": 2, "both": 2, **words.COUNT_WORDS}
    deciding = [known.evidence[i] for i in verdict.deciding_ids if i in known.evidence]
    areas = [sum(len(e.areas) for e in records) for records in (cited, deciding)]
    for number, noun in _COUNTED.findall(said):
        counts = {
            **{name: {1, len(deciding), *areas} for name in ("part", "place", "area", "spot")},
            "finding": {len(deciding)},
            "detection": {len(deciding)},
            "instrument": {len({e.instrument for e in deciding})},
        }
        held = counts.get(noun.lower().rstrip("s"), {len(deciding), len({e.instrument for e in deciding})})
        if number.lower() not in names:
            if number.lower() == "all" and noun.lower().startswith(("test", "instrument")):
                continue  # "with all instruments heard"; what they found is read elsewhere
            yield f"counts {number!r} {noun}"
        elif names[number.lower()] not in held and not re.search(
            r"\b(?:at least )?one (?:test|or more)\b", said, re.IGNORECASE
        ):
            yield f"counts {number} {noun}, the record does not"
    if _SHARE.search(said):
        yield "gives a share in words of its own"
    for word in re.findall(r"[a-z]+", said.lower()):
        if word in words.COUNT_WORDS and not _COUNTED.search(said):
            yield f"counts {word!r}"


def _where_problems(said: str, cited: Sequence[Evidence], regions: Sequence[str], known: Known) -> Iterator[str]:
    """Single words of place, in any wording, have to be part of a place that is cited or named."""
    from fakeexplain.imaging.regions import place_words

    held = " ".join(place_of(r) for e in cited for r in e.areas)
    held += " " + " ".join(place_words(known.masks[i]) for i in regions)
    same = {"top": "upper", "bottom": "lower", "center": "centre"}
    text = re.sub(r"\bleft (?:nothing|a|no|to)\b|\b(?:leaves|left) nothing", "…", said)
    for match in _WHERE.finditer(text):
        word = match.group(1).lower()
        if word in ("lower",) and re.match(r"\s*(?:than|noise|values?)", text[match.end() :]):
            continue
        if word in ("corner", "edge") and any(w in held for w in ("upper", "lower")):
            continue
        if word == "middle" and re.match(r" 95 %", text[match.end() :]):
            continue
        if not {word, same.get(word, word)} & set(held.replace(",", " ").split()):
            yield f"the place {word!r} is not in the record"


def _numeric(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
