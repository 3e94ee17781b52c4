"""What a view of 64 x 64 cells can tell of a marked area, and a view of 128 x 128 pixels of a picture, in a few words.

The truth behind the short answers: classes with gaps between them. A figure that falls into a gap has no answer (None)
and is not asked about, so that an answer never hangs on a pixel. Deliberately left out: wording (`short_answers`), and
format and proportions of a picture, for its view is a square whatever the picture is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_tools.instructions import seen
from fakeexplain.imaging.regions import box_of_mask, place_words

NOTHING = "Nothing is marked."
STEPS = (
    (0.01, "under 1 %"),
    (0.02, "1 to 2 %"),
    (0.05, "2 to 5 %"),
    (0.1, "5 to 10 %"),
    (0.2, "10 to 20 %"),
    (0.4, "20 to 40 %"),
    (2.0, "over 40 %"),
)
HALVES = ("left", "right", "upper", "lower")
CELLS = tuple(
    "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"
    for row in ("upper", "middle", "lower")
    for column in ("left", "centre", "right")
)
FAINT, CLEAR = 0.5, 0.7  # largest value of a map: under the first it is faint, from the second on clear
_SIDE, _LINE = 0.05, 0.02  # how far a centre has to lie from the middle, and from the lines between nine cells
_EDGE = 0.04  # of the side: what stays this far away does not touch the border
_ACROSS = 0.8  # of a side: from here on `place_words` says "across"
_NEAR, _FAR = 0.15, 0.22  # of the side: how far a centre lies from the middle of the picture


def step_of(fraction: float) -> str | None:
    """The step of a share of the picture, say "2 to 5 %"; None within a twentieth of a limit."""
    if _near(fraction, [limit for limit, _ in STEPS]):
        return None
    return next(words for limit, words in STEPS if fraction < limit)


def _size_of(fraction: float) -> str | None:
    return None if _near(fraction, [0.005, 0.03, 0.15]) else seen.size_word(fraction)


def _shape_of(outline: Mapping[str, Any]) -> str | None:
    """The shape of one part, where neither elongation nor compactness is close to its limit (`seen.outline`)."""
    if outline["parts"] > 1 or _near(outline["elongation"], [2.5]) or abs(outline["compactness"] - 0.45) < 0.04:
        return None
    return str(outline["word"])


def _near(figure: float, limits: Sequence[float]) -> bool:
    return any(abs(figure / limit - 1) < 0.05 for limit in limits)


@dataclass(frozen=True)
class MarkFacts:
    """A marked area (bool HxW) and the largest value of the map that marks it, in words.

    Attributes:
        marked: whether anything is. place: of `place_words`; None where its centre lies on a line between two cells.
        left, upper, border, middle, clear: yes, no, or None in between.
        step, size: "2 to 5 %", "small"; None close to a limit. parts: 0, 1, 2 or 3 for several. shape: of one part that
            is plainly of it, else None.
        cell: of the nine, by the centre; None on a line.
    """

    marked: bool
    place: str | None = None
    cell: str | None = None
    left: bool | None = None
    upper: bool | None = None
    step: str | None = None
    size: str | None = None
    parts: int = 0
    shape: str | None = None
    border: bool | None = None
    middle: bool | None = None
    clear: bool | None = None

    @classmethod
    def of(cls, mask: np.ndarray, peak: float = 1.0) -> MarkFacts:
        """Facts of a mask, bool HxW; `peak` in [0, 1]."""
        if not mask.any():
            return cls(False)
        y, x = _centre(mask.sum(axis=1)), _centre(mask.sum(axis=0))
        outline = seen.outline(mask)
        share, apart = float(mask.mean()), max(abs(x - 0.5), abs(y - 0.5))
        on_line = min(abs(v - line) for v in (x, y) for line in (1 / 3, 2 / 3)) < _LINE
        x0, y0, x1, y1 = box_of_mask(mask)
        spread = (x1 - x0) / mask.shape[1], (y1 - y0) / mask.shape[0]
        unsure = on_line or any(abs(v - _ACROSS) < 0.05 for v in spread)
        return cls(
            marked=True,
            place=None if unsure else place_words(mask),
            cell=None if on_line else CELLS[3 * min(int(y * 3), 2) + min(int(x * 3), 2)],
            left=None if abs(x - 0.5) < _SIDE else x < 0.5,
            upper=None if abs(y - 0.5) < _SIDE else y < 0.5,
            step=step_of(share),
            size=_size_of(share),
            parts=min(int(outline["parts"]), 3),
            shape=_shape_of(outline),
            border=_touches(mask),
            middle=True if apart < _NEAR else False if apart > _FAR else None,
            clear=True if peak >= CLEAR else False if peak < FAINT else None,
        )


def _centre(weights: np.ndarray) -> float:
    """Centre of weights along one side, as a share of it."""
    return float((weights * (np.arange(weights.size) + 0.5)).sum() / weights.sum()) / weights.size


def _touches(mask: np.ndarray) -> bool | None:
    """Whether a mask reaches the border; None where it comes near and does not touch."""
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return True
    margin = max(round(_EDGE * min(mask.shape)), 1)
    inner = mask[margin:-margin, margin:-margin]
    return False if inner.sum() == mask.sum() else None


@dataclass(frozen=True)
class SightFacts:
    """A picture's `seen.look` facts in classes with gaps.

    Attributes:
        light: "dark", "of medium brightness", "bright". colourful: yes, no (nearly grey). busy: yes, no (plain).
        brightest, darkest: of nine cells. colour: the leading one. colours: those with a tenth or more.
        objects: labelled names -> left (True), right (False), or None near the middle; empty without labels.
    """

    light: str | None
    colourful: bool | None
    busy: bool | None
    brightest: str
    darkest: str
    colour: str | None
    colours: frozenset[str]
    objects: Mapping[str, bool | None]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> SightFacts:
        """From what `seen.look` gives, or a record's "seen" entry."""
        figures, shares = facts["figures"], sorted(facts["colours"].items(), key=lambda i: -i[1])
        lightness = figures["light"]
        gap = any(abs(lightness - line) < 3 for line in (38, 62))
        leads = bool(shares) and (len(shares) == 1 or shares[0][1] - shares[1][1] >= 0.08)
        return cls(
            light=None if gap else "dark" if lightness < 38 else "bright" if lightness > 62 else "of medium brightness",
            colourful=_between(figures["colourfulness"], 15, 35),
            busy=_between(-figures["texture"], -0.5, -0.25),
            brightest=facts["brightest"],
            darkest=facts["darkest"],
            colour=shares[0][0] if leads else None,
            colours=frozenset(facts["colours"]),
            objects={o["name"]: _side(o["centre"][0]) for o in facts["objects"]},
        )


def _between(figure: float, low: float, high: float) -> bool | None:
    return True if figure >= high else False if figure <= low else None


def _side(x: float) -> bool | None:
    return None if abs(x - 0.5) < 2 * _SIDE else x < 0.5


def in_place(place: str) -> str:
    """ "upper left" -> "in the upper left" """
    return place if place.split(" ")[0] in ("across", "along", "from") else f"in the {place}"


_PARTS = {1: "one", 2: "two", 3: "several"}


def _choice(answer: bool | None, yes: str, no: str) -> str | None:
    return None if answer is None else yes if answer else no


def mark_answer(kind: str, name: str, facts: MarkFacts) -> str | None:
    """The one answer to a question of `short_phrases.MARK_QUESTIONS`; None where it cannot be told.

    Args:
        name: of the half or the cell that is asked about, else "".
    """
    if kind == "marked":
        return "Yes." if facts.marked else "No."
    if not facts.marked:
        return NOTHING
    halves = {"left": facts.left, "right": _not(facts.left), "upper": facts.upper, "lower": _not(facts.upper)}
    answers = {
        "where": None if facts.place is None else _sentence(in_place(facts.place)),
        "side": _choice(facts.left, "To the left.", "To the right."),
        "height": _choice(facts.upper, "In the upper half.", "In the lower half."),
        "half": _choice(halves.get(name), "Yes.", "No."),
        "cell": None if facts.cell is None else _choice(facts.cell == name, "Yes.", "No."),
        "share": None if facts.step is None else _sentence(facts.step),
        "size": None if facts.size is None else _sentence(facts.size),
        "parts": _sentence(_PARTS[facts.parts]),
        "shape": None if facts.shape is None else _sentence(facts.shape),
        "border": _choice(facts.border, "Yes.", "No."),
        "middle": _choice(facts.middle, "Yes.", "No."),
        "strength": _choice(facts.clear, "Clear.", "Faint."),
        "all": _everything(facts),
    }
    return answers[kind]


def _everything(facts: MarkFacts) -> str | None:
    if facts.place is None or facts.border is None or facts.step is None:
        return None
    if facts.parts == 1 and facts.shape is None:
        return None
    parts = "one part" if facts.parts == 1 else f"{_PARTS[facts.parts]} parts"
    shape = f", {facts.shape}" if facts.shape else ""
    border = "touches" if facts.border else "does not touch"
    return f"It lies {in_place(facts.place)}, covers {facts.step}, has {parts}{shape} and {border} the border."


def sight_answer(kind: str, name: str, facts: SightFacts) -> str | None:
    """The one answer to a question of `short_phrases.SIGHT_QUESTIONS`; None where it cannot be told.

    Args:
        name: of the colour or the object that is asked about, else "".
    """
    answers = {
        "light": None if facts.light is None else _sentence(facts.light),
        "colourful": _choice(facts.colourful, "Colourful.", "Nearly grey."),
        "busy": _choice(facts.busy, "Busy.", "Plain."),
        "brightest": _sentence(in_place(facts.brightest)),
        "darkest": _sentence(in_place(facts.darkest)),
        "colour": None if facts.colour is None else _sentence(facts.colour),
        "has_colour": "Yes." if name in facts.colours else "No.",
        "object": "Yes." if name in facts.objects else "No.",
        "object_side": _choice(facts.objects.get(name), "On the left.", "On the right."),
    }
    return answers[kind]


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
