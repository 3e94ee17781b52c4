"""Questions with short answers, by kind. {it} is "the marked area" or a region's id. Strings only."""

from __future__ import annotations

_PIC = "{picture|photograph|image}"

# What only the map can answer. Kinds of one group tell of the same thing: a record asks one of them,
# those that stand there more than once more often.
MARK_QUESTIONS: dict[str, tuple[str, ...]] = {
    "marked": ("Is anything marked{ in this " + _PIC + "|}?", "Does the map mark anything{ here|}?"),
    "where": ("Where {is|lies} {it}?", "In which place {is|lies} {it}?", "{Name|Tell me} the place of {it}."),
    "side": (
        "Is {it} more to the left or to the right?",
        "Does {it} lie more to the left or to the right?",
    ),
    "height": ("Is {it} in the upper or the lower half?", "Does {it} lie in the upper or the lower half?"),
    "half": ("Is {it} in the {name} half?", "Does {it} lie in the {name} half?"),
    "cell": ("Is {it} in the {name}?", "Does {it} lie in the {name}?"),
    "share": (
        "{How much|What share} of the " + _PIC + " does {it} cover?",
        "How large is {it}, as a share of the " + _PIC + "?",
    ),
    "size": (
        "Is {it} tiny, small, medium-sized or large?",
        "Would you call {it} tiny, small, medium-sized or large?",
    ),
    "parts": ("How many parts does {it} have?", "{Of|In} how many parts is {it}?"),
    "shape": ("Is {it} compact, elongated or ragged?", "Is the outline of {it} compact, elongated or ragged?"),
    "border": ("Does {it} {touch|reach} the {border|edge} of the " + _PIC + "?",),
    "middle": ("Is {it} near the middle of the " + _PIC + "?", "Does {it} lie near the middle?"),
    "strength": ("Is the mark faint or clear?", "Is what the map marks faint or clear?"),
    "all": ("Describe {it}{ in one sentence|}.", "What can you say about {it}?"),
}
MARK_GROUPS: dict[str, tuple[str, ...]] = {
    "place": ("where", "where", "where", "side", "height", "half", "cell", "middle"),
    "extent": ("share", "size"),
    "parts": ("parts",),
    "shape": ("shape",),
    "border": ("border",),
    "strength": ("strength",),
}

# What only the picture can answer; {name} is a colour or an object.
SIGHT_QUESTIONS: dict[str, tuple[str, ...]] = {
    "light": ("Is the " + _PIC + " dark, of medium brightness or bright?",),
    "colourful": ("Is the " + _PIC + " colourful or nearly grey?", "Is it colourful or nearly grey?"),
    "busy": ("Is the " + _PIC + " plain or busy?", "Is it plain or busy?"),
    "brightest": ("Where is the " + _PIC + " brightest?",),
    "darkest": ("Where is the " + _PIC + " darkest?",),
    "colour": ("Which colour covers most of the " + _PIC + "?", "Which colour covers most of it?"),
    "has_colour": ("Is there much {name} in the " + _PIC + "?", "Does it show much {name}?"),
    "object": ("Does the " + _PIC + " show this: {name}?", "Is this to be seen: {name}?"),
    "object_side": ("On which side is this, left or right: {name}?",),
}
SIGHT_GROUPS: dict[str, tuple[str, ...]] = {
    **{kind: (kind,) for kind in ("light", "colourful", "busy", "brightest", "darkest")},
    "colour": ("colour", "has_colour"),
    "object": ("object", "object_side"),
}
MARKED_AREA = "the marked area"
