"""The one definite thing that a question asks for: an entry of the file, coordinates of a place, or what a term means.

Such questions have one right answer and are read by patterns alone, before the learned reader (`intents`) is asked.
Left out: the answers (`file_facts`, `glossary`, `plain_answers`).
"""

from __future__ import annotations

import re

from fakeexplain.reasoning.glossary import term_of

_PICTURE = r"(?:(?:this|that|the|my) )?(?:picture|photo(?:graph)?|image|shot|file|jpeg|scene|it|this|that)"
_TAKEN = r"(?:taken|shot|photographed|snapped|captured|made|recorded)"
_EDITED = r"(?:edit|alter|chang|manipulat|modif|tamper|forg|fak)"
_EDITORS = r"(?:photoshop|lightroom|gimp|snapseed|affinity|canva)"
_OF_THE_FILE = r"(?:header|metadata|exif|file|according)"
# thing -> (the intent it belongs to, patterns)
_THINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "position": (
        "file",
        (
            r"\bgps\b|\bgeo-?(?:tag|locat|data|position)\w*|\b(?:latitude|longitude)\b",
            rf"\bwhere (?:was|were|is|are|did) .{{0,30}}\b{_TAKEN}\b(?! (?:from|up)\b)",
            rf"\b(?:which|what) (?:city|country|town|place|location|continent) (?:was|were|is) {_PICTURE} .{{0,12}}"
            rf"\b{_TAKEN}\b",
            rf"\b(?:place|location|position) (?:where )?(?:of|was|the) (?:the )?"
            rf"(?:shot|shoot|photographer|{_PICTURE} {_TAKEN})",
        ),
    ),
    "date": (
        "file",
        (
            r"\b(?:(?:when|(?:on |in )?(?:which|what) (?:date|day|year|month|time)) (?:was|were|did)"
            r"|how old (?:is|was))"
            rf" {_PICTURE}\b(?!.*\b{_EDITED})",
            r"\b(?:date|time) of (?:the )?(?:shot|capture|recording|picture|photo\w*|image)\b|\btimestamps?\b",
            r"\b(?:capture|creation|shooting) (?:date|time)\b",
            r"\b(?:which|what) dates?\b.{0,20}\b(?:file|exif|metadata|say|give)",
        ),
    ),
    "camera": (
        "file",
        (
            r"\b(?:which|what|name the) (?:\w+ )?(?:cameras?|phone|device|lens|smartphone)(?: model)?\b"
            r"(?!.*\b(?:could|might|should|cause|leave|noise|buy|best)\b)",
            r"\b(?:camera|device|phone) (?:model|make|brand)\b|\bwith (?:which|what) (?:camera|phone|device)\b",
        ),
    ),
    "program": (
        "file",
        (
            r"^(?!.*\b(?:you|examination|analysis)\b).*\b(?:which|what|name the) (?:\w+ )?"
            r"(?:program|software|app|application|editor|tool)\b.{0,30}"
            r"\b(?:sav|wrot|writ|export|creat|process|produc|made|used|open|edit|chang|alter)\w*\b",
            r"\b(?:by|with) (?:which|what) (?:program|software|app)\b(?!.*\byou\b)",
            rf"\b(?:program|software|app) (?:that )?(?:saved|wrote|exported|created|made|produced) {_PICTURE}",
            rf"\b{_EDITORS}\b.{{0,30}}\b{_OF_THE_FILE}\b|\b{_OF_THE_FILE}\b.{{0,30}}\b{_EDITORS}\b",
        ),
    ),
    "saves": (
        "file",
        (
            r"\bhow (?:often|many times)\b.{0,30}\b(?:sav\w+|compress\w+|export\w*|re-?saved|re-?compress\w+)\b",
            rf"\b{_PICTURE} (?:been |was )?(?:re-?saved|re-?compressed)\b",
            r"^(?!.*\b(?:if|could|might|may)\b).*\b(?:saved|compressed|exported)\b.{0,24}"
            r"\b(?:more than once|several times|twice|again|before|times)\b",
            r"\b(?:jpeg|compression) (?:quality|level|setting)\b(?!.*\b(?:enough|good|limit|hurt)\b)",
        ),
    ),
    "author": (
        "file",
        (
            rf"(?:^\W*|\b(?:and|or|know|say|tell me|tells?) )who (?:took|shot|owns|photographed|wrote|created|saved) "
            rf"{_PICTURE}\b(?!.*\b{_EDITED})",
            r"\bwho is the (?:photographer|author|owner|copyright holder)\b",
            r"\bname of the (?:photographer|author|owner|copyright holder)\b",
        ),
    ),
    "credentials": ("file", (r"\bc2pa\b|\bcontent credentials?\b|\bsigned (?:file|record|manifest|history)\b",)),
    "preview": (
        "file",
        (
            r"\b(?:thumbnail|embedded preview|preview (?:image|picture))\b",
            r"\bpreview\b.{0,30}\b(?:match|agree|same|differ|fit)\w*",
        ),
    ),
    "checksum": (
        "dimensions",
        (r"\bsha-?(?:256|2)?\b|\bcheck-?sum\b|\bhash(?: value| code|sum)?\b|\bfingerprint of the file\b",),
    ),
    "coordinates": (
        "locate",
        (
            r"^(?!.*\b(?:instead|not|no|rather|large|big|size|much|many|share|per ?cent)\b).*"
            r"(?:\bco-?ordinates?\b|\bbounding[ -]?box(?:es)?\b|\bpixel (?:positions?|range)\b)",
            r"\b(?:where|from)\b.{0,40}\bin pixels\b|\b(?:which|what) pixels\b",
        ),
    ),
}
_COMPILED = {
    name: (intent, tuple(re.compile(p, re.IGNORECASE) for p in patterns))
    for name, (intent, patterns) in _THINGS.items()
}
_LEAD = r"^\W*(?:(?:and|but|so|ok(?:ay)?|please|then|sorry|can you|could you|tell me|in plain words|first)\W+)*"
_END = r"(?: (?:here|in (?:this|the|your) (?:report|answer|examination|result)|exactly|please))*\W*$"
_MEANING = re.compile(
    rf"{_LEAD}(?:what (?:do|does|did|would) (?:you mean (?:by|with) )?(.+?)(?: mean| stand for| refer to)*"
    rf"|what(?:'s| is| are) (?:the meaning of |meant by |an? )(.+?)"
    rf"|(?:define|(?:the )?(?:meaning|definition) of|explain (?:the (?:term|word)|what)) (.+?)"
    rf"(?: (?:is|are|means?|stands? for))?){_END}",
    re.IGNORECASE,
)
_WORKING = re.compile(
    rf"{_LEAD}(?:what (?:do|does) (.+?) (?:do|test|test for|check|check for|look for|look at|detect|measure|compare)"
    rf"|how (?:do|does) (.+?) work|explain (.+?)|what(?:'s| is| are) (.+?)(?: for| about| all about)?){_END}",
    re.IGNORECASE,
)
_MEANS = re.compile(
    r"\bmean(?:s|t|ing)?\b|\bstands? for\b|\brefers? to\b|\bdefin\w+"
    r"|\bwhat(?:'s| is| are) (?!(?:the|this|that|these|your|its|of|in)\b)",
    re.IGNORECASE,
)
# "What is the verdict?" asks for the verdict; "What does the verdict mean?" for what such a word means.
_ONLY_BY_MEANING = frozenset(
    (
        *("verdict", "no evidence", "inconclusive", "heat map", "false alarm", "sha-256", "metadata", "noise"),
        *("record", "region", "expert"),
    )
)
_AROUND = re.compile(
    r"^(?:(?:the|an?|your|this|that|these|of)\s+)+"
    r"|\s+(?:tests?|instruments?|checks?|values?|analysis|detectors?|method|search|module)$",
    re.IGNORECASE,
)


def things_of(text: str) -> tuple[str, ...]:
    """The things that a question asks for, in the order of the table.

    >>> things_of("Which camera took it, and when was it taken?")
    ('date', 'camera')
    """
    found = [n for n, (_, patterns) in _COMPILED.items() if any(p.search(text) for p in patterns)]
    if "position" in found and "coordinates" in found:
        found.remove("coordinates")
    return tuple(found)


def intent_of(thing: str) -> str:
    """The intent (`intents`) that a thing belongs to."""
    return _COMPILED[thing][0]


def term_asked(text: str) -> str:
    """The term of the glossary that a question asks the meaning of, "" for none.

    >>> term_asked("What is an NFA?"), term_asked("What does double_jpeg do?"), term_asked("What is the verdict?")
    ('nfa', 'double_jpeg', '')
    """
    for pattern in (_MEANING, _WORKING):
        match = pattern.search(text)
        words = next((g for g in match.groups() if g), "") if match is not None else ""
        term = term_of(_bare(words)) if words else ""
        if term and (term not in _ONLY_BY_MEANING or _MEANS.search(text) or _asks_working(text, words)):
            return term
    return ""


def _bare(words: str) -> str:
    """Without articles, quotation marks and words like "test" around it."""
    words = words.strip(" \"'“”‘’?!.,")
    while (shorter := _AROUND.sub("", words).strip(" \"'“”‘’")) != words:
        words = shorter
    return words


def _asks_working(text: str, words: str) -> bool:
    """Whether what a test does is asked for, as in "what does the noise test look for", not what it found."""
    return bool(re.search(rf"\b(?:do|does) {re.escape(words)} \w", text, re.IGNORECASE))
