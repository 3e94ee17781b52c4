"""How figures, places and strings of a record are printed in answers; shared by writing, prompting and checking.

Deliberately left out: sentences (`wording`, `plain_answers`) and parsing (`grounding`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fakeexplain.reasoning.numbers import number_words, one_in, rate_words
from fakeexplain.reasoning.wording import instrument_title, place_words
from fakeexplain.records import REGION_TEST, Evidence, Region, Scalar

FORBIDDEN = re.compile(r"\b(authentic|authenticity|genuine|genuinely|real|really)\b", re.IGNORECASE)
INSTRUMENT_PHRASES = {
    "jpeg_grid": "the check of the JPEG block grid",
    "double_jpeg": "the check for parts saved once less than the rest",
    "noise": "the comparison of noise",
    "copy_move": "the search for areas that repeat each other",
    "metadata": "the reading of the file's metadata",
    "region_contrast": "the comparison of a region with what surrounds it",
    "expert": "the trained network",
}


def quote(text: str) -> str:
    """A string of the record as part of a sentence: one line, no brackets that pass for a citation, no full stops."""
    text = " ".join(text.split()).replace("[", "(").replace("]", ")").replace("<", "(").replace(">", ")")
    text = re.sub(r"\s+([,.;?!])", r"\1", text)  # as the grammar will print it
    return re.sub(r"[.!?]\s+", "; ", text).rstrip(".!?; ")


def value_words(item: Evidence, value: Scalar) -> str:
    """A value with its unit; shares in per cent."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else "yes" if value else "no"
    if isinstance(value, (int, float)):
        if not item.unit and item.quantity.startswith(("share", "fraction")) and 0 <= value <= 1:
            return f"{number_words(100 * value)} %"
        return f"{number_words(value)} {item.unit}".rstrip()
    return quote(value)


def place_of(region: Region | None) -> str:
    """ "in the upper left", "along the left side", without size."""
    return re.sub(r" \([^()]*\)$", "", place_words(region))


def size_of(region: Region) -> str:
    """ "12 % of the image" """
    return region.words.rpartition(", ")[2]


def cite(items: Sequence[Evidence]) -> str:
    """ "[E1][E2]" """
    return "".join(f"[{e.id}]" for e in items)


def end_with(sentence: str, items: Sequence[Evidence]) -> str:
    """Puts citations before the full stop."""
    marks = cite(items)
    return f"{sentence.rstrip('. ')} {marks}." if marks else f"{sentence.rstrip('. ')}."


def box_words(box_xyxy: Sequence[int]) -> str:
    """ "(10, 20, 200, 180)" """
    return f"({', '.join(str(int(v)) for v in box_xyxy)})"


def box_sentence(region_id: str, box_xyxy: Sequence[int]) -> str:
    return f"In pixels, {region_id} spans the box {box_words(box_xyxy)}: left, top, right and bottom edge"


def instrument_words(name: str) -> str:
    return INSTRUMENT_PHRASES.get(name, f"the instrument {instrument_title(name)}")


def rate_of(item: Evidence) -> str:
    """ "1 of 10,000", "" where the model allows no such sentence; of a region tested by itself, that of its size."""
    if item.trace == REGION_TEST:
        return "" if item.p_value is None or item.p_value >= 1 else rate_words(item.p_value)
    if item.log10_nfa is None or item.log10_nfa > -0.302:
        return ""
    return one_in(max(item.log10_nfa, -300.0))


def quotable(text: str) -> bool:
    """Whether a string of the record may be repeated: it has none of the words that are never used."""
    return not FORBIDDEN.search(text)
