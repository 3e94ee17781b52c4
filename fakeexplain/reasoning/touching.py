"""Which findings a region touches, and with how much of itself."""

from __future__ import annotations

from collections.abc import Iterable

from fakeexplain.imaging.regions import decode_mask
from fakeexplain.records import Evidence, Region

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


def share_inside(region: Region, place: Region) -> float:
    """Part of `region` that lies in `place`, 0 to 1."""
    mask = decode_mask(region.mask)
    return float((decode_mask(place.mask) & mask).sum() / max(int(mask.sum()), 1))
