"""What a question asks for: its intent, and the places, boxes, ids and instruments it names.

Each intent has weighted patterns (`intent_patterns`, `intent_speech`), and a small linear reader weighs their sums
together with the words (`intent_reader`). Orders to ignore the rules, ids, places and boxes are found by patterns
alone. A question never changes a verdict, so a wrong guess costs an unfitting answer and no more.
Left out: answers (`plain_answers`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fakeexplain.reasoning.intent_patterns import INSTRUMENT_WORDS, INTENTS, MEASURE, OPERATION
from fakeexplain.reasoning.intent_reader import embedded_reader
from fakeexplain.reasoning.intent_speech import SPEECH, normal, parts
from fakeexplain.reasoning.particulars import intent_of, term_asked, things_of

_OBJECTS = (
    r"arm|arms|hand|hands|face|head|eyes?|person|man|woman|girl|boy|people|sky|"
    r"cloud|clouds|car|sign|building|house|"
    r"tree|shadow|shadows|reflection|dog|cat|animal|text|logo|number plate|licen[cs]e plate|water|ground|wall|"
    r"background|foreground|hair|clothes|shirt|flag|weapon|gun|bird|object|hat|cup|table|window"
)
_OBJECT = re.compile(
    rf"\b(?:the|this|that|his|her|their|an?)\s+(?:(?:left|right|upper|lower|small|"
    rf"big|red|blue|white|black)\s+)*({_OBJECTS})\b"
)

_COMPILED = {
    name: tuple((w, re.compile(p, re.IGNORECASE)) for w, p in (*patterns, *SPEECH.get(name, ())))
    for name, patterns in INTENTS.items()
}
_OPERATION = tuple(re.compile(p, re.IGNORECASE) for p in OPERATION)
# These have an answer in every examination; of several questions in one, they can be answered one after the other.
ANSWERABLE = frozenset(
    (
        "detect",
        "locate",
        "explain",
        "confidence",
        "causes",
        "not_tested",
        "next_steps",
        "file",
        "source_of_copy",
        "operation",
        "instruments",
        "quality",
        "dimensions",
        "glossary",
        "map",
        "picture",
    )
)
# Beside a region, a box or a place these ask for what is known of it.
_OF_A_REGION = frozenset(
    (
        "detect",
        "locate",
        "dimensions",
        "unclear",
        "off_topic",
        "picture",
        "help",
        "instruments",
        "thanks",
        "leading",
        "pressure",
    )
)
_MOST_ALSO, _ORDER = 2, 6.0
# probabilities; below the first a question is called unclear
_UNSURE, _HALF_CLEAR, _CLEAR, _FIRM, _VERY_FIRM = 0.15, 0.3, 0.4, 0.5, 0.8

_ROW = {"upper": 0, "top": 0, "above": 0, "middle": 1, "mid": 1, "central": 1, "lower": 2, "bottom": 2}
_COLUMN = {"left": 0, "centre": 1, "center": 1, "middle": 1, "right": 2}
_PLACE = re.compile(
    r"\b(?:(upper|top|middle|mid|central|lower|bottom)[\s-]*(?:the\s+)?(left|"
    r"centre|center|middle|right)(?:[\s-]*(?:hand)?)?"
    r"|(left|right)[\s-]*(?:hand\s*)?(upper|top|lower|bottom)\b"
    r"|(upper|top|lower|bottom)(?=\s*(?:part|half|third|edge|side|of|corner|area|region|strip))"
    r"|(left|right)(?=[\s-]*(?:hand)?\s*(?:part|half|third|edge|side|of|corner|area|region|strip))"
    r"|(?:in|on|at|to|near|along|about) the (left|right|top|bottom)\b(?![\s-]*(?:the )?(?:left|right|top|bottom)\b)"
    r"|\bthe (left|right|top|bottom)(?=\s*(?:[?,.;!]|$|is|was|looks?|seems?|been|alter|chang|edit))"
    r"|(?:the )?(?:very )?(centre|center|middle)\b)",
    re.IGNORECASE,
)
_HALF = re.compile(r"[\s-]*(?:hand)?\s*(?:half|quarter)\b", re.IGNORECASE)
Part = tuple[float, float, float, float]
# "What in the picture is fake?" asks for more than colours, and a map may be what is pictured.
_ALTERED = re.compile(
    r"\b(?:alter|chang|edit|manipulat|tamper|fake|faking|forg|photoshop|doctor|retouch|modif|suspicious|paste)",
    re.IGNORECASE,
)
_IN_ORDER = re.compile(r"\b(?:ok|okay|fine|clean|in order|all right|alright|suspicious|odd|strange)\b", re.IGNORECASE)
_OWN_MAP = re.compile(r"\bheat ?map|\b(?:expert|network|model|examination)'s map", re.IGNORECASE)
_CAMERA = re.compile(r"\b(?:canon|eos|leica)(?: \w+)? r\d+\b", re.IGNORECASE)  # its name, no region's id
_BOX = re.compile(r"[(\[]?\s*(\d{1,6})\s*[,; ]\s*(\d{1,6})\s*[,; ]\s*(\d{1,6})\s*[,; ]\s*(\d{1,6})\s*[)\]]?")


@dataclass(frozen=True)
class Asked:
    """What a question asks for.

    Attributes:
        intent: a key of INTENTS, "operation", "glossary", "tool", "region" or "unclear".
        also: intents of further questions in the same breath, in order.
        size: how large a region is, was asked for.
        certain: the reading is more likely than all others together, or each of several questions was read clearly;
            ids, places and orders always are.
        evidence_ids, region_ids: named in it, in order. instrument: named in it, "" for none.
        place: words of the place named, "" for none; part: box of it in shares of width and height, xyxy.
        box_xyxy: four numbers of a box. thing: an object named ("arm"), "" for none.
        things: single entries of the file, or "coordinates" (`particulars`). term: asked the meaning of, "" for none.
    """

    intent: str
    evidence_ids: tuple[str, ...] = ()
    region_ids: tuple[str, ...] = ()
    instrument: str = ""
    place: str = ""
    part: Part | None = None
    box_xyxy: tuple[int, int, int, int] | None = None
    thing: str = ""
    also: tuple[str, ...] = ()
    certain: bool = True
    size: bool = False
    things: tuple[str, ...] = ()
    term: str = ""


def understand(question: str, *, has_region: bool = False) -> Asked:
    """Reads a question. has_region: somebody chose a region for it."""
    text = normal(" ".join(question.split()))
    evidence_ids = tuple(dict.fromkeys(i.upper() for i in re.findall(r"\b[Ee]\d+\b", text)))
    region_ids = tuple(dict.fromkeys(i.upper() for i in re.findall(r"\b[Rr]\d+\b", _CAMERA.sub("", text))))
    thing = match.group(1) if (match := _OBJECT.search(text.lower())) else ""
    place, part = ("", None) if thing else find_place(text)
    box = find_box(text)
    instrument = next((n for n, p in INSTRUMENT_WORDS if re.search(p, text, re.IGNORECASE)), "")
    intent, probability = _read(text)
    if intent in ("map", "picture") and _ALTERED.search(text) and not _OWN_MAP.search(text):
        intent = "locate" if re.search(r"\b(?:what|where|which)\b", text, re.IGNORECASE) else "detect"
    pieces = parts(text)
    things = tuple(dict.fromkeys(t for piece in pieces for t in things_of(piece)))
    term = next((t for piece in pieces if (t := term_asked(piece))), "")
    if thing and intent == "off_topic" and _IN_ORDER.search(text):
        intent = "detect"  # what is shown is not recognised, and whether anything was altered can be told
    size = intent == "dimensions" and "checksum" not in things
    if evidence_ids and intent == "child":
        intent = "evidence"  # "E5 in plain words" asks for that record
    about = bool(has_region or region_ids or box or place)
    # "In the upper right?" ends like "It is real, right?": beside a place such a reading has to be surer.
    firm = intent in ("injection", "pressure", "leading") and probability >= (_VERY_FIRM if place else _FIRM)
    if about and not firm and intent != "compare" and "checksum" not in things:
        chosen = bool(has_region or region_ids or box)
        if (
            instrument
            and chosen
            and (re.search(MEASURE, text, re.IGNORECASE) or re.search(r"\b(?:what|how)\b", text, re.IGNORECASE))
        ):
            intent = "tool"
        elif (
            intent in _OF_A_REGION
            or probability < _FIRM
            or (chosen and intent in ("explain", "show") and has_region)
            or (place and intent in ("show", "explain"))
        ):
            intent = "region"
    elif instrument and not firm and re.search(r"\bmeasur\w+\b", text, re.IGNORECASE):
        intent = "tool"
    also = _further(text, intent) if intent in (*ANSWERABLE, "pressure", "injection") else ()
    wanted = [*(intent_of(t) for t in things if t != "coordinates"), *(["glossary"] if term else [])]
    also = tuple(dict.fromkeys([*also, *(i for i in wanted if i != intent)]))
    certain = probability >= _FIRM or intent in ("region", "tool") or bool(also)
    size = size and intent == "region"
    return Asked(
        intent, evidence_ids, region_ids, instrument, place, part, box, thing, also, certain, size, things, term
    )


def pattern_scores(text: str) -> dict[str, float]:
    """Sum of the weights of each intent's patterns in a question that `normal` has made regular."""
    return {n: sum(w for w, p in patterns if p.search(text)) for n, patterns in _COMPILED.items()}


def _read(text: str) -> tuple[str, float]:
    """(intent, its probability) of a regular question."""
    scores = pattern_scores(text)
    # An order is answered as one, whatever is asked beside it; that comes after (`also`).
    best = "injection" if scores["injection"] >= _ORDER else max(scores, key=lambda n: scores[n])
    if scores[best] >= _ORDER and best in ("injection", "evidence", "compare"):
        return best, 1.0
    plain = not max(scores[n] for n in ("leading", "pressure", "injection"))
    if plain and len(parts(text)) < 2 and (single := _single(text)):
        return single, 1.0
    if plain and any(p.search(text) for p in _OPERATION):
        return "operation", 1.0
    found = embedded_reader().probabilities(text, scores)
    likeliest = max(found, key=lambda n: found[n])
    return (likeliest, found[likeliest]) if found[likeliest] >= _UNSURE else ("unclear", 0.0)


def _single(text: str) -> str:
    """The intent of a question for one definite thing, "" for any other."""
    if term_asked(text):
        return "glossary"
    return next((intent_of(t) for t in things_of(text)), "")


def _further(text: str, intent: str) -> tuple[str, ...]:
    """What the single questions in a text ask for beside `intent`."""
    pieces = parts(text)
    found = []
    for piece in pieces if len(pieces) > 1 else ():
        best, probability = _read(piece)
        if best == "leading" and probability >= _HALF_CLEAR:
            best, probability = "detect", 1.0  # "Was it edited, and ...?" waits for the verdict
        if probability >= _CLEAR and best in ANSWERABLE and best != intent:
            found.append(best)
    return tuple(dict.fromkeys(found))[:_MOST_ALSO]


def find_place(text: str) -> tuple[str, Part | None]:
    """(words, box in shares of width and height) of the first place named: halves and quarters, else thirds.

    >>> find_place("and the left half?")
    ('left side', (0.0, 0.0, 0.5, 1.0))
    """
    match = _PLACE.search(text)
    if match is None:
        return "", None
    row1, column1, column2, row2, row3, column3, side1, side2, middle = (g.lower() if g else "" for g in match.groups())
    side = side1 or side2
    row, column = row1 or row2 or row3, column1 or column2 or column3
    if side:
        row, column = (side, "") if side in _ROW else ("", side)
    if middle or (row in ("middle", "central", "mid") and column in ("centre", "center", "middle")):
        return "centre", (1 / 3, 1 / 3, 2 / 3, 2 / 3)
    halves = _HALF.match(text, match.end()) is not None
    x0, x1 = _span(_COLUMN[column], halves) if column else (0.0, 1.0)
    y0, y1 = _span(_ROW[row], halves) if row else (0.0, 1.0)
    names = (
        ("upper", "middle", "lower")[_ROW[row]] if row else "",
        ("left", "centre", "right")[_COLUMN[column]] if column else "",
    )
    words = " ".join(n for n in names if n) if row and column else f"{names[0]} part" if row else f"{names[1]} side"
    return words, (x0, y0, x1, y1)


def _span(third: int, halves: bool) -> tuple[float, float]:
    if halves and third != 1:
        return (0.0, 0.5) if third == 0 else (0.5, 1.0)
    return third / 3, (third + 1) / 3


def part_box(part: Part, width: int, height: int) -> tuple[int, int, int, int]:
    """The pixels of a part, xyxy; at least one.

    >>> part_box((0.0, 0.0, 0.5, 1.0), 101, 40)
    (0, 0, 50, 40)
    """
    x0, y0, x1, y1 = (int(share * side + 1e-6) for share, side in zip(part, (width, height) * 2, strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def find_box(text: str) -> tuple[int, int, int, int] | None:
    """Four numbers in a row that make a box: x0 < x1 and y0 < y1."""
    for match in _BOX.finditer(text):
        x0, y0, x1, y1 = (int(v) for v in match.groups())
        if x0 < x1 and y0 < y1:
            return x0, y0, x1, y1
    return None
