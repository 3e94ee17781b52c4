"""Sentences that reach further than what they cite: to the whole picture, to all tests, to where content came from.

Left out: what a sentence says of its own records (`grounding_claims`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from fakeexplain.reasoning.grounding_records import QUIET, Known
from fakeexplain.reasoning.grounding_words import ALTER
from fakeexplain.reasoning.touching import TOUCHES
from fakeexplain.reasoning.wording import is_significant
from fakeexplain.records import Evidence

ASSERTS = re.compile(rf"\b{ALTER}\b", re.IGNORECASE)
_EXTENT = re.compile(
    rf"\b(?:whole|entire) (?:picture|image|photo\w*)|\b(?:everywhere|throughout|all over)\b|\boutside (?:of )?R\d+"
    rf"|\b{ALTER} (?:twice|more than once|again)\b",
    re.IGNORECASE,
)
# Nothing measured tells where content was before, that a place is in order, or that there is no other one.
_ORIGIN = re.compile(
    r"\b(?:came|comes?|coming|taken|brought|put|placed) (?:in |here |there |over )?(?:from|into)\b(?! ?[…‹])"
    r"|\bfrom (?:an)?other\b"
    r"|\b(?:put|placed|added|found|made|took|(?<!upper )(?<!middle )(?<!lower )(?<!the )left)\b[^.;:]{0,30}"
    r"\b(?:here|(?<!, so )there|later|elsewhere|out|back)\b",
    re.IGNORECASE,
)
_IN_ORDER = re.compile(
    r"\b(?:rest|remainder|others?|everything|all|R\d+)\b[^.;:]{0,40}\b(?:is|are|was|were|looks?|seems?) (?:\w+ )?"
    r"(?:well|fine|good|clean|okay|ok|normal|as (?:it|they) (?:was|were|should)|left alone|free of (?!findings))"
    r"|\b(?:match(?:es)?|fits?|agrees? with|like) (?:its|the) (?:surroundings?|neighbou?r\w*|rest|picture)\b"
    r"|\b(?:like|similar to|the same as) R\d+|\btwo areas (?:touch|overlap)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"\bonly (?:the |this |that |one )?(?:R\d+|part|place|area|region|spot)\b|\bR\d+ (?:alone|only)\b"
    r"|\ball (?:that|there) (?:is|was|has been)\b",
    re.IGNORECASE,
)
_UNANIMOUS = re.compile(
    r"\b(?:all|every|each|both)(?: of)?(?: the| these| those)?(?: other)? "
    r"(?:tests?|instruments?|checks?|measurements?|records?)\b"
    r"|\b(?:tests|instruments|checks|measurements|records) (?:all )?agree\b",
    re.IGNORECASE,
)
_AFTER_ALL = re.compile(r"\b(?:with all instruments heard|after all tests)\b", re.IGNORECASE)


def reach_problems(
    said: str, cited: Sequence[Evidence], regions: Sequence[str], known: Known, *, positive: bool, denies: bool
) -> Iterator[str]:
    """said: without quotations, fixed phrases and boxes. positive: it speaks of evidence that there is. denies: it says
    that there is none."""
    if positive:
        yield from _extent_problems(said, cited, regions, known)
    if match := _ORIGIN.search(said) or _IN_ORDER.search(said) or _ALONE.search(said):
        yield f"says {match.group(0)!r}, which nothing measured can show"
    if not denies and not QUIET.search(said) and _UNANIMOUS.search(_AFTER_ALL.sub("", said)):
        yield from _unanimous_problems(known)


def _unanimous_problems(known: Known) -> Iterator[str]:
    assert known.verdict is not None
    quiet = [e.id for e in known.evidence.values() if e.kind == "detection" and not is_significant(e, known.verdict)]
    if quiet:
        yield f"speaks for all tests, {quiet[0]} found nothing"


def _extent_problems(said: str, cited: Sequence[Evidence], regions: Sequence[str], known: Known) -> Iterator[str]:
    """Evidence reaches as far as the regions of what is cited."""
    if ASSERTS.search(said) and (match := _EXTENT.search(said)):
        yield f"says {match.group(0)!r} of evidence that has a place"
    own = {r.id for e in cited for r in e.areas}
    for region_id in regions if own else ():
        masks = [known.masks[i] for i in own if i in known.masks]
        if region_id not in own and not any(meet(known.masks[region_id], m) for m in masks):
            yield f"{region_id} has no part in what is cited"


def meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two bool HxW have a part of either in common."""
    return float((one & other).sum()) >= TOUCHES * max(min(int(one.sum()), int(other.sum())), 1)
