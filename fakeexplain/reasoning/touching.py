"""Which findings a region touches, and with how much of itself; which findings point to one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fakeexplain.imaging.regions import decode_mask
from fakeexplain.records import Evidence, Region

SAME_PLACE = 0.5  # part of the smaller of two findings that has to lie in the other for both to point to one place
TOUCHES = 0.01  # part of a region that has to lie in a finding for the two to touch


def touching(region: Region, findings: Iterable[Evidence]) -> list[tuple[Evidence, Region, float]]:
    """(finding, its region or partner, share of `region` inside it, 0 to 1) of all that touch, in their order.

    A region that is a finding's own comes with 1.
    """
    found = []
    for item in findings:
        for place in (r for r in item.areas):
            share = 1.0 if place.id == region.id else share_inside(region, place)
            if share >= TOUCHES:
                found.append((item, place, share))
    return found


def of_one_place(findings: Sequence[Evidence]) -> list[list[Evidence]]:
    """Findings in groups, in their order: those whose places overlap by half of the smaller one stand together.

    Of a pair the copy counts where it is told from its source, and both areas do where it is not.
    """
    if len(findings) < 2:
        return [[e] for e in findings]
    masks = [[decode_mask(r.mask) for r in _altered(e)] for e in findings]
    groups: list[list[int]] = []
    for i, own in enumerate(masks):
        meeting = [g for g in groups if any(_overlap(a, b) for k in g for a in masks[k] for b in own)]
        groups = [g for g in groups if g not in meeting] + [sorted({i, *(k for g in meeting for k in g)})]
    return [[findings[k] for k in g] for g in sorted(groups)]


def _altered(item: Evidence) -> tuple[Region, ...]:
    order = item.copy_and_source
    return item.areas if order is None else order[:1]


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    smaller = min(int(a.sum()), int(b.sum()))
    return smaller > 0 and int((a & b).sum()) >= SAME_PLACE * smaller


def share_inside(region: Region, place: Region) -> float:
    """Part of `region` that lies in `place`, 0 to 1."""
    mask = decode_mask(region.mask)
    return float((decode_mask(place.mask) & mask).sum() / max(int(mask.sum()), 1))
