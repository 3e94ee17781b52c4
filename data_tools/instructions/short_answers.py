"""The fourth data set: short questions that only the map or the picture can answer, many for each picture.

From them a small language model can learn to read its picture and map tokens: nothing in the prompt gives the answer,
every answer is a few words of a closed vocabulary that a small view can tell, and where a question has two or three
answers each is about as frequent (docs/experiments.md says what longer descriptions with coordinates taught: nothing).
Made from the pictures of a written set, without examining anything again. Marked areas are drawn, beside the true ones,
so that places, sizes and shapes do not depend on what the forge likes.

Deliberately left out: the truth (`short_facts`), reading answers back (`short_check`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_tools.forge.regions import draw_region
from data_tools.instructions import seen
from data_tools.instructions import short_phrases as p
from data_tools.instructions.grammar import choose
from data_tools.instructions.short_check import check_short
from data_tools.instructions.short_facts import CELLS, HALVES, MarkFacts, SightFacts, mark_answer, sight_answer
from data_tools.schema import IMAGE_TOKEN, Message, Record, TurnRegion, inline_mask, read_jsonl, read_mask
from fakeexplain.errors import OutputError, SettingsError
from fakeexplain.imaging.regions import box_of_mask

SHORT_FILE = "short_answers.jsonl"
EMPTY_SHARE = 0.125  # of the maps mark nothing
REGION_SHARE = 0.25  # of the areas are pointed at as R1, the others are what the map marks
SIGHT_SHARE = 0.25  # of the records ask about the picture, the others about a map
_SHAPES = ("blob", "polygon", "box", "stroke")
_FRAME = 192  # largest side of the frame that areas are drawn in
_TWO, _MORE = 1.1, 2.0  # how much more frequent an answer may be than the rarest of its question: of two, of several
_ANSWERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("marked", "half", "cell", "border", "middle", "has_colour", "object"), ("Yes.", "No.")),
    "side": ("To the left.", "To the right."),
    "height": ("In the upper half.", "In the lower half."),
    "strength": ("Clear.", "Faint."),
    "colourful": ("Colourful.", "Nearly grey."),
    "busy": ("Busy.", "Plain."),
    "object_side": ("On the left.", "On the right."),
    "parts": ("One.", "Two.", "Several."),
    "shape": ("Compact.", "Elongated.", "Ragged."),
    "light": ("Dark.", "Of medium brightness.", "Bright."),
    "size": ("Tiny.", "Small.", "Medium-sized.", "Large."),
}

Exchange = tuple[str, str, str]  # kind, question, answer


class Balance:
    """Counts answers, and says which ones there are enough of."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def takes(self, kind: str, name: str, answer: str) -> bool:
        """Whether another one is welcome; it is counted then. Colours and objects are counted name by name."""
        name = name if kind in ("has_colour", "object", "object_side") else ""
        known = _ANSWERS.get(kind, ())
        if answer in known:
            rarest = min(self._counts[kind, name, a] for a in known)
            if self._counts[kind, name, answer] > rarest * (_TWO if len(known) == 2 else _MORE) + 1:
                return False
        self._counts[kind, name, answer] += 1
        return True


def draw_area(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """bool HxW: one to three drawn shapes anywhere, half of them cut by the border."""
    scale = min(_FRAME / max(height, width), 1.0)
    small = max(round(height * scale), 16), max(round(width * scale), 16)
    frame, mask = np.zeros((*small, 3), np.uint8), np.zeros(small, bool)
    for _ in range(int(rng.choice((1, 2, 3), p=(0.6, 0.2, 0.2)))):
        shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
        area = float(np.exp(rng.uniform(np.log(0.002), np.log(0.45))))
        mask |= draw_region(shape, frame, area, rng, inside=bool(rng.random() < 0.5))  # type: ignore[arg-type]
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _exchanges(
    groups: Mapping[str, tuple[str, ...]],
    questions: Mapping[str, tuple[str, ...]],
    named: Callable[[str], str],
    answer: Callable[[str, str], str | None],
    balance: Balance,
    it: str,
    rng: np.random.Generator,
) -> Iterator[Exchange]:
    """At most one question of every group, in any order."""
    for group in rng.permutation(list(groups)):
        for kind in rng.permutation(groups[str(group)]):
            name = named(str(kind))
            said = None if name == "-" else answer(str(kind), name)
            if said is not None and balance.takes(str(kind), name, said):
                yield str(kind), choose(questions[str(kind)], {"it": it, "name": name}, rng), said
                break


def mark_exchanges(facts: MarkFacts, as_map: bool, balance: Balance, rng: np.random.Generator) -> list[Exchange]:
    """Questions about a marked area with their answers, drawn for one record."""

    def named(kind: str) -> str:
        if kind == "half":
            return HALVES[int(rng.integers(4))]
        if kind != "cell":
            return ""
        others = [c for c in CELLS if c != facts.cell]
        return facts.cell if facts.cell and rng.random() < 0.5 else others[int(rng.integers(len(others)))]

    def answer(kind: str, name: str) -> str | None:
        return mark_answer(kind, name, facts)

    groups = dict(p.MARK_GROUPS)
    if as_map:
        groups["marked"] = ("marked",)
    else:
        del groups["strength"]  # a region that somebody points at has none
    if not facts.marked:  # one question: its answer gives all others away
        groups = {"any": ("marked", "marked", "marked", "where", "share", "parts", "border", "all")}
    elif rng.random() < 0.2:
        groups = {"all": ("all",)}
    it = p.MARKED_AREA if as_map else "R1"
    made = list(_exchanges(groups, p.MARK_QUESTIONS, named, answer, balance, it, rng))
    return sorted(
        made, key=lambda e: e[0] != "marked"
    )  # who hears of its shape first need not look whether it is there


def sight_exchanges(
    facts: SightFacts, names: tuple[str, ...], balance: Balance, rng: np.random.Generator
) -> list[Exchange]:
    """Questions about what is to be seen; `names` are those of objects in the whole set."""

    def named(kind: str) -> str:
        if kind == "has_colour":
            shown = sorted(facts.colours) if rng.random() < 0.5 else seen.COLOURS
            return shown[int(rng.integers(len(shown)))] if shown else "-"
        if kind not in ("object", "object_side"):
            return ""
        asked = sorted(facts.objects) if kind == "object_side" or rng.random() < 0.5 else names
        return asked[int(rng.integers(len(asked)))] if facts.objects and len(asked) else "-"

    def answer(kind: str, name: str) -> str | None:
        return sight_answer(kind, name, facts)

    return list(_exchanges(p.SIGHT_GROUPS, p.SIGHT_QUESTIONS, named, answer, balance, "", rng))


def _record(base: Record, exchanges: list[Exchange], entry: dict[str, Any], mask: np.ndarray | None) -> Record:
    turns = []
    for _, question, answer in exchanges:
        turns += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    region = None if mask is None else TurnRegion(id="R1", box_xyxy=box_of_mask(mask), mask=inline_mask(mask))
    turns[0] = turns[0].model_copy(update={"content": f"{IMAGE_TOKEN}\n{turns[0].content}", "region": region})
    return base.updated(dialogue=tuple(turns), history=(entry,), caption="", evidence=())


def short_records(records: list[Record], root: Path, per_picture: int, seed: int) -> Iterator[Record]:
    """Records of short answers, `per_picture` for each picture.

    Args:
        records: one with a "seen" entry for each picture, as in alignment.jsonl. root: folder of their files.

    Raises:
        AssertionError: an answer does not agree with its record; a bug.
    """
    rng, balance = np.random.default_rng([7, seed]), Balance()
    facts = [next(h for h in r.history if h.get("on") == "seen") for r in records]
    counts = Counter(o["name"] for f in facts for o in f["objects"])
    names = tuple(sorted(n for n, c in counts.items() if c >= 3))
    for base, look in zip(records, facts, strict=True):
        sight = SightFacts.of(look)
        for number in range(per_picture):
            if rng.random() < SIGHT_SHARE:
                made, mask = sight_exchanges(sight, names, balance, rng), None
                entry = {**look, "on": "sight"}
            else:
                mask, peak, as_map = _area(base, root, number, rng)
                made = mark_exchanges(MarkFacts.of(mask, peak), as_map, balance, rng)
                entry = {"on": "map", "peak": peak, "read": "map" if as_map else "region"}
            if made:
                record = _record(base, made, entry, mask)
                problems = check_short(record)
                assert not problems, f"{record.image}: {'; '.join(problems)}"
                yield record


def _area(base: Record, root: Path, number: int, rng: np.random.Generator) -> tuple[np.ndarray, float, bool]:
    """(marked area, largest value of the map, whether the map marks it rather than somebody who points at it)."""
    assert base.height is not None
    assert base.width is not None
    peak = float(rng.uniform(0.2, 0.48) if rng.random() < 0.5 else rng.uniform(0.72, 1.0))
    if rng.random() < EMPTY_SHARE:
        return np.zeros((base.height, base.width), bool), 1.0, True
    mask = read_mask(base.mask, root) if number == 0 and base.mask is not None else np.zeros((1, 1), bool)
    if not mask.any():
        mask = draw_area(base.height, base.width, rng)
    as_map = bool(rng.random() >= REGION_SHARE)
    return mask, round(peak, 3) if as_map else 1.0, as_map


def write_short(folder: Path, *, per_picture: int = 8, seed: int = 0) -> int:
    """Writes SHORT_FILE beside the alignment.jsonl of a set, all of it anew; returns how many records.

    Raises:
        SettingsError: no alignment.jsonl in `folder`, or none of its records says what is seen. OutputError: no place
            to write. SourceError: a file of the set cannot be read.
    """
    pictures: dict[str, Record] = {}
    for record in read_jsonl(folder / "alignment.jsonl"):
        if any(h.get("on") == "seen" for h in record.history) and record.height and record.width:
            pictures.setdefault(record.image, record)
    if not pictures:
        raise SettingsError(
            f"{folder}: alignment.jsonl holds no picture with what is seen; wanted a folder of `write` with alignment "
            "records"
        )
    part, count = folder / f"{SHORT_FILE}.part", 0
    try:
        with part.open("w", encoding="utf-8") as file:
            for record in short_records(list(pictures.values()), folder, per_picture, seed):
                file.write(record.to_json() + "\n")
                count += 1
        os.replace(part, folder / SHORT_FILE)
    except OSError as error:
        raise OutputError(f"{folder}: {SHORT_FILE} cannot be written ({error.strerror or error})") from None
    return count
