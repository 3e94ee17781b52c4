"""How people really write: chat spelling, slips, several questions in one, indirect forms, other languages.

`normal` makes a question regular before its patterns are looked for; `parts` takes several questions apart; `SPEECH`
holds the indirect and everyday forms of each intent. Left out: scoring, and the formal wordings (`intent_patterns`).
"""

from __future__ import annotations

import re

# weighted like INTENTS of intent_patterns, and added to it
SPEECH: dict[str, tuple[tuple[float, str], ...]] = {
    "injection": (
        (
            6,
            r"\b(?:print|reveal|show|repeat|tell|leak)\b.{0,20}\b(?:prompt|instructions)\b|^\W*(?:system|assistant)\s*:",
        ),
    ),
    "pressure": (
        (5, r"\b(?:nonsense|rubbish|bullshit|look again|think again|(?:stop|quit) lying|made a mistake)\b"),
        (5, r"\b(?:that|this)(?:'s| is) (?:wrong|ridiculous|absurd|not true|false|a lie)\b"),
    ),
    "child": (
        (6, r"\b(?:no expert|not an expert|easy words|put (?:it|that) simply|in everyday (?:words|language))\b"),
    ),
    "court": ((6, r"\b(?:under oath|the bench|arbitration|notari\w+)\b"),),
    "causes": (
        (6, r"\bexplain\w* .{0,15}\baway\b|\b(?:some|any|an)\s?other (?:way|reason|cause)\b|\bother possibilit"),
        (
            5,
            r"\b(?:just|only|merely|simply|maybe|perhaps)\b.{0,20}\b(?:because|due to|caused|the result)\b",
        ),
        (
            5,
            r"\b(?:could|might|may|can|would)\b.{0,40}\b(?:done (?:this|that|it)|caused?|explain|produced?|"
            r"be (?:harmless|innocent|nothing))\b",
        ),
        (4, r"\bpossible that\b|\b(?:harmless|innocent)\b"),
    ),
    "not_tested": (
        (6, r"\b(?:slip|slide|get|sneak|go) (?:past|through|by|unnoticed|undetected)\b|\bfool (?:you|it|the)\b"),
        (5, r"\b(?:can't|cannot|couldn't|can not|could not|unable to) (?:you )?(?:see|tell|find|detect|know|notice)\b"),
        (7, r"\b(?:stable diffusion|firefly|chatgpt|gans?|computer[- ]generated)\b"),
    ),
    "next_steps": (
        (6, r"\b(?:make|be|become) (?:really |absolutely |quite )?(?:sure|certain)\b"),
        (6, r"\bwhom? (?:should|can|could|do|must) (?:i|we)\b|\b(?:and now|what next|what then)\b"),
        (
            6,
            r"\b(?:what|which) (?:other |more |further )*(?:materials?|files?|documents?|information|copies)\b.{0,12}\b"
            r"(?:need|want|require|help)",
        ),
        (6, r"\bwhat (?:would|could|can|shall|should|must|do) (?:i|we) (?:do|try|ask|get|need)\b"),
    ),
    "confidence": (
        (
            6,
            r"\b(?:money on|how convinced|"
            r"convinced are|on a scale|beyond (?:\w+ )?doubts?|false (?:positive|alarm) rates?)",
        ),
        (5, r"\b(?:be|been|are you) (?:wrong|mistaken|in error)\b.*\?"),
        (5, r"\b(?:are you (?:\w+ )?(?:sure|certain|positive))\b"),
        (7, r"\b(?:wie sicher|sind sie sicher|êtes-vous sûre?|est-ce sûr|est[aá]s? segur[oa]|sei sicur[oa])"),
    ),
    "show": ((7, r"\b(?:put|make|place) (?:a|an|some) (?:\w+ )?(?:line|box|frame|circle|ring|rectangle)\b"),),
    "file": ((5, r"\bre-?saved\b|\b(?:last|first) saved\b"),),
    "instruments": (
        (6, r"\bhow (?:do|does) (?:it|you|this|that|the)(?: \w+)? (?:work|function|operate)\b"),
        (7, r"\b(?:list|name|enumerate)\b.{0,15}\b(?:techniques|methods|tests|instruments|tools|checks)\b"),
    ),
    "quality": (
        (7, r"\bresolution\b.{0,20}\b(?:hurt|matter|enough|affect|limit|spoil|problem)|\btoo (?:blurr|compress)"),
    ),
    "explain": (
        (5, r"\b(?:gave|gives|give) (?:it|that|this|them) away\b|\bback (?:that|this|it) up\b|\bproof\b|\bprove\b"),
        (5, r"\b(?:leads?|brings?|brought|persuad\w+|convinc\w+|tipped) you\b"),
        (5, r"\bhow (?:did|do|can|could) you (?:\w+ )?(?:figure|know|tell|find|see|say|decide|work|spot)\b"),
        (6, r"\b(?:warum|wieso|weshalb|pourquoi|por qu[eé]|perch[eé])\b"),
    ),
    "locate": (
        (5, r"\b(?:which|what) (?:bits?|zones?|pieces?|sections?|corners?|spots?|places?)\b|\bcoordinates\b"),
        (5, r"\bhow many (?:places|spots|parts|areas|regions)\b|\b(?:point|direct|lead|take) me (?:to|at)\b"),
        (7, r"^\W*(?:und )?wo\b|\bo[uù] (?:est|a|se|sont)\b|\bd[oó]nde\b|\bdov[e']\W*è"),
    ),
    "off_topic": ((7, r"\bwhere (?:was|is|were)\b.{0,20}\b(?:taken|shot|photographed|recorded)\b"),),
    "thanks": (
        (6, r"^\W*(?:many thanks|thanks|thank you|cheers|much appreciated|perfect|brilliant)(?:\W+\w+){0,3}\W*$"),
    ),
    "help": ((6, r"\bhow (?:do|can|should) (?:i|you|we) use (?:this|it|you)\b"),),
    "detect": (
        (4, r"\b(?:mess(?:ed|ing)|tinker\w*|fiddl\w+|meddl\w+|play(?:ed|ing)) (?:about |around )?with\b"),
        (3, r"\b(?:touched|hoax|legit\w*|bogus|phon[e]?y|kosher|sham|work(?:ed)? on|in order|nothing)\b"),
        (4, r"\b(?:short version|in short|in a nutshell|tl;?dr)\b"),
        (6, r"\b(?:came?|straight|right) (?:out of|from) (?:the|a) camera\b"),
        (
            4,
            r"\b(?:nothing|anything|something|what(?:'s| is)?) (?:\w+ )?(?:wrong|suspicious|odd|strange|"
            r"off|fishy|unusual)\b",
        ),
        (
            4,
            r"\b(?:bearbeitet|gefälscht|manipuliert|verändert|retuschiert|retouch[eé]\w*|falsifi\w+|truqu\w+|modifi[eé]\w*|"
            r"manipulad[oa]|editad[oa]|retocad[oa]|fals[oa]|alterad[oa]|modificat[oa]|ritoccat[oa])(?!\w)",
        ),
    ),
}

_CHAT = {
    "u": "you", "ur": "your", "r": "are", "pls": "please", "plz": "please", "pic": "picture", "pics": "pictures",
    "foto": "photo", "dis": "this", "dat": "that", "smth": "something", "sth": "something", "cant": "can't",
    "dont": "don't", "whats": "what's", "becos": "because", "bcs": "because", "cuz": "because", "coz": "because",
    "wot": "what", "wich": "which", "wher": "where", "ware": "where", "jpg": "jpeg",
}  # fmt: skip
_WORDS = (  # noqa: SIM905
    "altered changed edited manipulated tampered forged photoshopped doctored retouched modified authentic genuine "
    "original verdict summary certain confident probability highlight outline evidence explain reason because measure "
    "compression compressed compress camera metadata copied cloned duplicated repeated region picture suspicious "
    "strange instruments methods quality resolution certainty limitations without further recommend"
).split()
_SPLIT = re.compile(
    r"(?<=[?!.;])\s+|,?\s+(?:and|but|or)\s+(?=(?:also\s+)?(?:how|why|what|when|where|which|who|could|can|is|was|are|do|does|"
    r"should|did|tell|show)\b)",
    re.IGNORECASE,
)


def normal(text: str) -> str:
    """The question with chat spelling written out and single slips in long telling words put right.

    >>> normal("r u sure? pls higlight it, were is it")
    'are you sure? please highlight it, where is it'
    """
    text = text.replace("’", "'")
    text = re.sub(r"\bwere(?= (?:is|was|are|did|exactly)\b)", "where", text, flags=re.IGNORECASE)
    return re.sub(r"\b[A-Za-z]+(?:'[a-z]+)?\b", lambda m: _word(m.group()), text)


def _word(word: str) -> str:
    low = word.lower()
    if low in _CHAT:
        return _CHAT[low]
    if len(low) < 6 or low in _WORDS:
        return word
    # A word that only ends differently ("change", "cameras") is another form, not a slip.
    return next((w for w in _WORDS if w[0] == low[0] and low[:-1] != w and w[:-1] != low and _one_slip(low, w)), word)


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter more, less, another, or two swapped make b of a."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    x, y = a[start:], b[start:]
    return x[1:] == y or x == y[1:] or x[1:] == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])


def parts(text: str) -> list[str]:
    """The questions in one, in order.

    >>> parts("Is it fake, and how sure are you?")
    ['Is it fake', 'how sure are you?']
    """
    return [p for p in _SPLIT.split(text) if p and p.strip()]
