"""Perceptual hash of a picture and groups of near-duplicates.

A 64-bit pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010): grey, 32x32 by area
averaging, DCT, the 8x8 lowest frequencies without the mean, each above their median or not. Deliberately left out:
recognising crops, mirrored or rotated copies (`registration` recognises crops and small
rotations, pair by pair).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

# Photographs with less contrast than this (standard deviation of the 32x32 view, grey levels) hash to noise.
FLAT = 2.0
# Largest Hamming distance at which two pictures count as near-duplicates; docs/data.md has the figures behind it.
NEAR = 8


def perceptual_hash(rgb: np.ndarray) -> int | None:
    """uint8 HxWx3 -> 64 bits; None for a flat picture, which resembles every other flat one."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(small.std()) < FLAT:
        return None
    low = cv2.dct(small)[:8, :8].ravel()
    low[0] = np.median(low[1:])
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class Groups:
    """Union-find over the numbers 0 .. count - 1."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, item: int) -> int:
        """The group's representative: its smallest number."""
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        first, second = self.find(a), self.find(b)
        if first != second:
            self._parent[max(first, second)] = min(first, second)


def near_pairs(hashes: Sequence[int | None], distance: int = NEAR) -> list[tuple[int, int]]:
    """Pairs of positions, the smaller first, whose hashes differ in at most `distance` bits; None pairs with nothing.

    The 64 bits are cut into distance + 1 bands; two hashes that close agree in one of them, so that only pictures of
    the same band are compared.
    """
    present = [i for i, value in enumerate(hashes) if value is not None]
    values = np.array([hashes[i] for i in present], dtype=np.uint64)
    edges = np.linspace(0, 64, distance + 2).astype(int)
    pairs: set[tuple[int, int]] = set()
    for low, high in pairwise(edges):
        band = (values >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.r_[True, band[order][1:] != band[order][:-1]]) if order.size else np.zeros(0, int)
        for start, end in zip(starts, np.r_[starts[1:], order.size], strict=False):
            members = order[start:end]
            for offset, member in enumerate(members[:-1]):
                others = members[offset + 1 :]
                differing = np.unpackbits((values[others] ^ values[member]).view(np.uint8).reshape(-1, 8), axis=1)
                for other in others[differing.sum(axis=1) <= distance]:
                    a, b = present[int(member)], present[int(other)]
                    pairs.add((min(a, b), max(a, b)))
    return sorted(pairs)
