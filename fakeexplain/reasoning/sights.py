"""What the small views of map and picture show, in a few words: what an assistant may say of them, and is read back by.

The assistant sees the expert's map and the picture as tokens and nothing else says what is on them; the sentences
here are all that may be said, each recomputed from the very views. A fact that lies close to a limit has two answers,
and either may be given. Views are those of `models.assistant_views`, so words never hang on the picture's size.

What the map marks is where it reaches half of its own largest value: what stands out on it, be it faint. That is no
finding; the verdict weighs the map. Of the picture only colours are told: nothing here recognises things.

Left out: which sentence is said (writers), regions that passed a threshold (`imaging.regions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from fakeexplain.imaging.colours import PLAIN, plain_colours
from fakeexplain.records import Evidence

EXPERT = "expert"  # `verdict.EXPERT`
LEAST = 0.2  # largest value of a map; below it nothing stands out
_SHARES = (0.5, 0.45, 0.55)  # of the largest value; the first one is told, what holds for another is accepted
_STRENGTHS = ((0.5, "faintly"), (0.9, "clearly"), (2.0, "strongly"))
_SIZES = ((0.005, "tiny"), (0.03, "small"), (0.15, "medium-sized"), (2.0, "large"))
_COUNTS = {1: "one part", 2: "two parts", 3: "several parts"}
_NEAR = 0.08  # relative distance from a limit at which its two sides are both accepted
_LINE = 0.03  # of a side: distance of a centre from the line between two ninths
_PART = 0.2  # of the largest part's area: smaller ones are not counted
MUCH, MOSTLY = 0.25, 0.4  # shares of the pixels from which a colour covers much of the picture, most of a half
MAP_SIDE, PICTURE_SIDE = 64, 128
NOTHING, ABSENT = "The expert's map marks nothing", "There is no map of the expert here"
LOST = "The expert's map is not kept with this examination"
_OPENINGS = (
    "The expert's map",
    "On the ",
    "The largest part",
    "What the map",
    "This part",
    "There is no map",
    "Much of",
    *(f"{c.capitalize()} covers" for c in PLAIN),
    "Its upper",
    "Both its upper",
)
CAUTION = "What the map marks is not a finding by itself."


@dataclass(frozen=True)
class MapSight:
    """What stands out on a map; every attribute holds what may be said, the first of it is what is said.

    Attributes:
        strengths: "faintly" (below 50 % everywhere), "clearly", "strongly" (from 90 %); empty where nothing stands out.
        counts: 1, 2, 3 for several. rows, columns: of the largest part's centre. sizes, shapes, borders: of that part.
    """

    strengths: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    borders: tuple[bool, ...] = ()

    @classmethod
    def of(cls, mean: np.ndarray, most: np.ndarray | float) -> MapSight:
        """From views of the map, float G,G in [0, 1].

        Args:
            mean: over each cell. most: largest value in each cell, or only the largest of all.
        """
        peak, view = float(np.max(most)), mean
        if isinstance(most, np.ndarray) and mean.max() < _SHARES[0] * peak:
            view = most  # a mark smaller than a cell, which its surroundings have averaged away
        if not peak >= LEAST or not view.max() > 0:
            return cls()
        found = [_outline(view >= share * view.max()) for share in _SHARES]
        return cls(
            strengths=_either(peak, _STRENGTHS),
            counts=_once(f.count for f in found),
            rows=_once(w for f in found for w in _thirds(f.y, ("upper", "middle", "lower"))),
            columns=_once(w for f in found for w in _thirds(f.x, ("left", "centre", "right"))),
            sizes=_once(w for f in found for w in _either(f.area, _SIZES)),
            shapes=_once(f.shape for f in found),
            borders=_once(f.border for f in found),
        )

    def sentences(self) -> dict[str, tuple[str, ...]]:
        """By what they tell, all sentences that hold, without full stop; the first of each is the one that is told."""
        if not self.strengths:
            return {"nothing": (NOTHING, "On the expert's map nothing stands out")}
        marks, places, outlines = [], [], []
        for count in self.counts:
            parts = _COUNTS[count]
            for strength in self.strengths:
                marks.append(f"The expert's map marks {parts} {strength}")
                marks.append(f"On the map {parts} {'stands' if count == 1 else 'stand'} out {strength}")
        for row in self.rows:
            for column in self.columns:
                place = "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"
                places.append(f"The largest part of what it marks lies in the {place}")
                places.append(f"What the map marks lies most of all in the {place}")
        for size in self.sizes:
            for shape in self.shapes:
                for border in self.borders:
                    does = "touches" if border else "does not touch"
                    outlines.append(f"This part is {size} and {shape}, and {does} the border")
        return {"marks": tuple(marks), "place": tuple(places), "outline": tuple(outlines)}

    def told(self) -> dict[str, tuple[str, ...]]:
        """`sentences` of nothing but what is said: the same facts in every form."""
        return MapSight(*(getattr(self, f.name)[:1] for f in fields(self))).sentences()

    def words(self) -> tuple[str, ...]:
        """Eight single words, in the order in which sentences tell them, in place of the map's tokens."""
        if not self.strengths:
            return ("map",) + ("nothing",) * 7
        said = {"faintly": "little", "clearly": "clear", "strongly": "strong"}[self.strengths[0]]
        count = ("one", "two", "several")[self.counts[0] - 1]
        size = self.sizes[0].partition("-")[0]
        side = "outside" if self.borders[0] else "inside"
        return ("map", count, said, self.rows[0], self.columns[0], size, self.shapes[0], side)


@dataclass(frozen=True)
class PictureSight:
    """Leading colour of each cell of a square grid, row by row; no cells where there is no picture.

    Attributes:
        upper, lower: share of each colour in the two halves, 0 to 1, as (colour, share) from the largest on; empty
            where only cells are known, which then count.
    """

    cells: tuple[str, ...]
    upper: tuple[tuple[str, float], ...] = ()
    lower: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, view: np.ndarray, grid: int = 4) -> PictureSight:
        """From a view of the picture, uint8 or float32 (in [0, 1]) hxwx3 with sides of `grid` or more."""
        colours = plain_colours(view)
        cells = [
            PLAIN[int(np.bincount(cell.ravel(), minlength=len(PLAIN)).argmax())]
            for rows in np.array_split(colours, grid, axis=0)
            for cell in np.array_split(rows, grid, axis=1)
        ]
        upper, lower = (_shares(half) for half in np.array_split(colours, 2, axis=0))
        return cls(tuple(cells), upper, lower)

    def sentences(self) -> dict[str, tuple[str, ...]]:
        """As `MapSight.sentences`."""
        if not self.cells:
            return {}
        half = len(self.cells) // 2
        indices = np.array([PLAIN.index(c) for c in self.cells])
        halves_of = (self.upper or _shares(indices[:half]), self.lower or _shares(indices[half:]))
        whole = Counter({n: s / 2 for n, s in halves_of[0]}) + Counter({n: s / 2 for n, s in halves_of[1]})
        much = [n for n, share in whole.most_common() if share >= MUCH]
        upper, lower = ([n for n, share in shares if share >= MOSTLY] for shares in halves_of)
        said = [(f"Much of the picture is {c}", f"{c.capitalize()} covers much of the picture") for c in much]
        halves = [
            f"Both its upper and its lower half are mostly {u}"
            if u == w
            else f"Its upper half is mostly {u}, its lower half mostly {w}"
            for u in upper
            for w in lower
        ]
        groups = {"much": tuple(s for pair in said for s in pair), "halves": tuple(halves)}
        return {name: forms for name, forms in groups.items() if forms}

    def told(self) -> dict[str, tuple[str, ...]]:
        """As `MapSight.told`."""
        return {name: forms[: 2 if name == "much" else 1] for name, forms in self.sentences().items()}

    def words(self) -> tuple[str, ...]:
        """One single word a cell, as `MapSight.words`."""
        return tuple("sand" if c == "beige" else c for c in self.cells)


class Sights:
    """What may be said of one picture and its map; worked out when it is first asked for.

    Args:
        rgb: gives uint8 HxWx3 upright; None for no picture. It is called once, and nothing of it is kept.
        records: of the examination. The expert's carries the map, but for one that was read from a file.
        map_sight: of the expert's map, where somebody has let go of the map since.
    """

    def __init__(
        self,
        rgb: Callable[[], np.ndarray] | None,
        records: Sequence[Evidence] = (),
        map_sight: MapSight | None = None,
    ) -> None:
        self._rgb, self._map_sight = rgb, map_sight
        self._record = next((e for e in records if e.instrument == EXPERT and e.kind != "abstention"), None)
        self.absent = self._record is None
        self.kept = self._record is not None and (map_sight is not None or self._record.score_map is not None)

    @cached_property
    def picture(self) -> PictureSight | None:
        return None if self._rgb is None else PictureSight.of(smaller(self._rgb(), PICTURE_SIDE))

    @cached_property
    def map(self) -> MapSight | None:
        """None where there is none."""
        if self._map_sight is not None or self._record is None or self._record.score_map is None:
            return self._map_sight
        return map_sight(self._record.score_map)

    @cached_property
    def _accepted(self) -> frozenset[str]:
        said = {self._cited(s) for v in self._map.values() for s in v} if self.kept else {self._no_map()}
        if self.picture is not None:
            said |= {f"{s}." for v in self.picture.sentences().values() for s in v}
        return frozenset(said)

    @cached_property
    def _map(self) -> Mapping[str, tuple[str, ...]]:
        return {} if self.map is None else self.map.sentences()

    def _no_map(self) -> str:
        return f"{ABSENT}." if self.absent else f"{LOST}."

    def _cited(self, sentence: str) -> str:
        return f"{sentence} [{self._record.id}]." if self._record is not None and self._record.id else f"{sentence}."

    def hold(self, sentence: str) -> bool:
        """Whether a sentence, in the checker's common form, is one of those that hold."""
        return sentence.startswith(_OPENINGS) and sentence in self._accepted

    def of_map(self) -> list[str]:
        """The account of the map by rule, with its citation."""
        return [*(self._cited(v[0]) for v in self._map.values()), CAUTION] if self.kept else [self._no_map()]

    def of_picture(self) -> list[str]:
        """The account of the picture by rule."""
        return [] if self.picture is None else [f"{v[0]}." for v in self.picture.sentences().values()]

    def missing(self, text: str, *, picture: bool) -> list[str]:
        """Sentences of the account of which no form stands in a text."""
        if not picture and not self.kept:
            return [] if self._no_map().rstrip(".") in text else [self._no_map()]
        groups = (self.picture.sentences() if self.picture else {}) if picture else self._map
        left = [v[0] for v in groups.values() if not any(s in text for s in v)]
        said = [f"{s}." if picture else self._cited(s) for s in left]
        return said if picture or CAUTION in text else [*said, CAUTION]


def map_sight(values: np.ndarray) -> MapSight:
    """Of a whole map, float HxW in [0, 1]."""
    field = np.nan_to_num(np.asarray(values, np.float32))
    starts = [np.arange(MAP_SIDE) * n // MAP_SIDE for n in field.shape]
    most = np.maximum.reduceat(np.maximum.reduceat(field, starts[0], axis=0), starts[1], axis=1)
    return MapSight.of(smaller(field, MAP_SIDE), most)


def smaller(values: np.ndarray, side: int) -> np.ndarray:
    """A square view, as `models.assistant_views` makes them, without torch; what is too short is enlarged."""
    height, width = (min(n, side) for n in values.shape[:2])
    view = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(view, (side, side), interpolation=cv2.INTER_LINEAR))


@dataclass(frozen=True)
class _Part:
    """Largest part of what is marked, and how many count. Shares of the view."""

    count: int
    x: float
    y: float
    area: float
    shape: str
    border: bool


def _outline(marked: np.ndarray) -> _Part:
    """Of bool G,G with a cell that is marked."""
    _, labels, stats, centres = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + int(areas.argmax())
    grid = marked.shape[0]
    x, y = (float(v + 0.5) / grid for v in centres[largest])
    left, top, width, height = (int(v) for v in stats[largest, :4])
    border = left == 0 or top == 0 or left + width == grid or top + height == grid
    count = min(int((areas >= max(_PART * areas.max(), min(2, areas.max()))).sum()), 3)
    return _Part(count, x, y, float(areas.max()) / marked.size, _shape(labels == largest), border)


def _shape(part: np.ndarray) -> str:
    """ "elongated" (2.5 times as long as wide), "compact" (it fills most of its rotated box), "ragged"."""
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    _, (a, b), _ = cv2.minAreaRect(max(contours, key=len))
    sides = max(a, b) + 1, min(a, b) + 1
    if sides[0] / sides[1] > 2.5:
        return "elongated"
    return "compact" if part.sum() / (sides[0] * sides[1]) >= 0.6 else "ragged"


def _thirds(centre: float, names: tuple[str, str, str]) -> tuple[str, ...]:
    close = [names[min(max(int((centre + d) * 3), 0), 2)] for d in (0.0, -_LINE, _LINE)]
    return _once(close)


def _either(figure: float, classes: tuple[tuple[float, str], ...]) -> tuple[str, ...]:
    """The class of a figure, and a neighbouring one whose limit is near."""
    names = [next(n for limit, n in classes if figure * f < limit) for f in (1.0, 1 - _NEAR, 1 + _NEAR)]
    return _once(names)


def _once(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _shares(colours: np.ndarray) -> tuple[tuple[str, float], ...]:
    """(colour, share) of indices into `PLAIN`, from the largest on."""
    counts = np.bincount(colours.ravel(), minlength=len(PLAIN))
    ranked = sorted(zip(PLAIN, counts, strict=True), key=lambda item: (-item[1], item[0]))
    return tuple((name, float(count) / colours.size) for name, count in ranked if count)
