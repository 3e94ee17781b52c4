"""Questions that lean on what was said before: "and there?", "the other one", "tell me more", "compare the two".

`resolved` puts ids in the place of such words, so that the reading of questions (`intents`) stays free of history;
`foreign` notices a question that is probably not English. Left out: what a question asks for, and answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fakeexplain.records import Region

_THING = r"(?:ones?|places?|parts?|areas?|regions?|spots?|findings?|marks?|patch(?:es)?)"
_LEAD = r"^\W*(?:(?:and|but|so|ok(?:ay)?|then|now)\W+)*(?:(?:what|how)(?: is|'s)? about\s+|what of\s+)?"
_THERE = re.compile(
    rf"{_LEAD}(?:over |in |on |at )?(?:there|here|(?:that|this|the same) {_THING}|that|this|it)\W*$", re.IGNORECASE
)
_SAME = re.compile(rf"\b(?:that|this|the same) {_THING}\b", re.IGNORECASE)
_OTHER = re.compile(rf"\bthe (?:(?:other|second|remaining|next) {_THING}\b|(?:other|second)(?=\W*$))", re.IGNORECASE)
_FIRST = re.compile(rf"\bthe first {_THING}\b", re.IGNORECASE)
_BOTH = re.compile(
    r"\b(?:both|(?:the|these|those) two|each other|them|(?:the|these|those) (?:places|parts|areas|regions|spots))\b",
    re.IGNORECASE,
)
_COMPARE = re.compile(r"\b(?:compar\w+|differ\w*|similar|alike|versus|vs)\b", re.IGNORECASE)
_SIDED = re.compile(
    rf"\bthe (left|right|upper|top|lower|bottom|larger|bigger|largest|biggest|smaller|smallest)(?:most)? {_THING}\b",
    re.IGNORECASE,
)
_MORE = re.compile(
    rf"{_LEAD}(?:please\s+)?(?:(?:tell|give|show) me (?:some )?more(?: (?:about (?:it|that|this)|details?))?"
    r"|more(?: details?| please)?|go on|continue|elaborate|expand on (?:it|that|this)|details?|and\??|so\??|go ahead)"
    r"(?:\W+please)?\W*$",
    re.IGNORECASE,
)
_ID = re.compile(r"\bR\d+\b", re.IGNORECASE)
_WORDS = {  # the commonest words of questions
    "German": "ist das der die und nicht wurde wie warum wo welche bild foto ein eine sind sie kann mir bitte",
    "French": "est que cette cette-ci une les des pas pourquoi quelle quel photo image été sont vous dans peut où ce",
    "Spanish": "es esta este una los las por qué dónde cómo foto imagen ha sido está son puede cuál del",
    "Italian": "è questa questo una gli che perché dove come foto immagine stata sono può quale della il",
    "Portuguese": "é esta uma os as não por onde como foto imagem foi são pode qual esta isto",
    "Dutch": "is deze een het de niet waarom waar welke foto beeld zijn kan hoe bewerkt dit",
    # words that English has too say nothing
    "English": (
        "a about altered an and any are as at be can changed come copy did die do does fake for from has have he here "
        "how i image in is it me no not of on or part photo picture real see she so tell that the there these they "
        "this to us was we were what when where which who why will with you your"
    ),
}
_SETS = {name: frozenset(words.split()) for name, words in _WORDS.items()}
_ENGLISH = _SETS.pop("English")


def resolved(question: str, last: Sequence[str], regions: Mapping[str, Region]) -> str:
    """The question with region ids in place of words that point back.

    Args:
        last: ids of the regions of the answer before, in the order in which it named them.
        regions: all that can be spoken of, by id.

    >>> resolved("and there?", ["R2"], {})
    'and there? (R2)'
    >>> resolved("tell me more", [], {})
    'explain in detail'
    """
    if _ID.search(question):
        return question
    if _MORE.search(question):
        return "explain in detail"
    known = [i for i in dict.fromkeys(last) if i in regions or not regions]
    everything = list(dict.fromkeys([*known, *regions]))
    if _COMPARE.search(question) and _BOTH.search(question) and len(everything) > 1:
        return f"compare {everything[0]} and {everything[1]}"
    if match := _SIDED.search(question):
        chosen = _sided(match.group(1).lower(), known if len(known) > 1 else everything, regions)
    elif _OTHER.search(question):
        chosen = everything[1] if len(everything) > 1 else None
    elif _FIRST.search(question) or _THERE.search(question) or _SAME.search(question):
        chosen = known[0] if known else None
    else:
        return question
    return f"{question} ({chosen})" if chosen else question


def _sided(word: str, ids: Sequence[str], regions: Mapping[str, Region]) -> str | None:
    """The region farthest to a side, or of the extreme size; None when there are no two to choose from."""
    if len(ids) < 2 or any(i not in regions for i in ids):
        return None
    by_size = word in ("larger", "bigger", "largest", "biggest", "smaller", "smallest")
    axis = None if by_size else 0 if word in ("left", "right") else 1

    def key(i: str) -> float:
        region = regions[i]
        return region.area_fraction if axis is None else region.box_xyxy[axis] + region.box_xyxy[axis + 2]

    least = word in ("left", "upper", "top", "smaller", "smallest")
    return min(ids, key=key) if least else max(ids, key=key)


def foreign(question: str) -> bool:
    """Whether a question is probably not English: other letters, or words of another language and few of English.

    >>> foreign("Ist das Bild bearbeitet?"), foreign("Is this picture real?"), foreign("вот это фото настоящее?")
    (True, False, True)
    """
    letters = [c for c in question if c.isalpha()]
    if letters and sum(ord(c) > 0x24F for c in letters) > len(letters) / 2:
        return True
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)?", question.lower())
    plain = sum(w in _ENGLISH for w in words)
    best = max(sum(w in known and w not in _ENGLISH for w in words) for known in _SETS.values())
    accents = sum(any("\xc0" <= c <= "\u024f" for c in w) for w in words)
    return best + accents >= max(2, plain) or (accents > 0 and plain == 0) or (0 < len(words) <= 3 and best > plain)
