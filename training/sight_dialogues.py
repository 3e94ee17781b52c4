"""Map and picture in a language model's own words: what tokens of them are taught to mean, and questions about them.

A small language model does not learn what tokens of a map mean through its own loss (docs/experiments.md). So it first
reads single words in their places (task `language`): eight about the map, one for the colour of each cell of the
picture, four about a region. Then the mask encoder and the projector are taught to give the embeddings of the very
words that their inputs would get (`target_words`), and nothing else tells what is there.

Words and answers are functions of the views, so nothing has to be written down beforehand: any data set serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_tools.instructions.grammar import choose
from data_tools.instructions.questions import SIGHT_QUESTIONS
from fakeexplain.imaging.colours import PLAIN
from fakeexplain.reasoning import prompting
from fakeexplain.reasoning.plain_records import TEXT
from fakeexplain.reasoning.references import References
from fakeexplain.reasoning.sights import ABSENT, CAUTION, EXPERT, MapSight, PictureSight
from fakeexplain.records import Verdict
from training.assistant_data import Row
from training.assistant_prompts import Dialogue

PROMPT_WORDS = ("is", "what", "it", "marks")  # in place of the mask encoder's learned prompt tokens
ABSENT_WORDS = ("map", "is", "no", "map", "is", "here", "no", "map")
REGION_PLACES = slice(3, 7)  # of the words of a map: row, column, size and shape of a region
_OF_MAPS = (
    *("nothing", "map", "little", "clear", "strong", "one", "two", "several", "upper", "middle", "lower", "left"),
    *("centre", "right", "tiny", "small", "medium", "large", "compact", "elongated", "ragged", "outside", "inside"),
)
WORDS = tuple(dict.fromkeys((*PictureSight(PLAIN).words(), *_OF_MAPS, *ABSENT_WORDS, *PROMPT_WORDS)))  # all in use
_SEEN = 0.5  # of the pictures are told as they are, the others as drawn at random: answers must follow the words
_VALUES: dict[str, tuple[Any, ...]] = {
    "strengths": ("faintly", "clearly", "strongly"),
    "counts": (1, 2, 3),
    "rows": ("upper", "middle", "lower"),
    "columns": ("left", "centre", "right"),
    "sizes": ("tiny", "small", "medium-sized", "large"),
    "shapes": ("compact", "elongated", "ragged"),
    "borders": (True, False),
}


@dataclass(frozen=True)
class Seen:
    """What is seen of one picture: its colours, and its map (None for no map)."""

    picture: PictureSight
    map: MapSight | None

    def words(self) -> dict[str, tuple[str, ...]]:
        """By mark, the words in its place."""
        told = ABSENT_WORDS if self.map is None else self.map.words()
        return {prompting.IMAGE_MARK: self.picture.words(), prompting.MASK_MARK: (*told, *PROMPT_WORDS)}


def drawn(rng: np.random.Generator, cells: int = 16) -> Seen:
    """A picture and a map that nobody saw: two leading colours with others between, any facts of a map."""
    first, second = (PLAIN[int(i)] for i in rng.integers(len(PLAIN), size=2))
    colours = [first] * (cells // 2) + [second] * (cells - cells // 2)
    for place in rng.permutation(cells)[: int(rng.integers(cells // 2))]:
        colours[int(place)] = PLAIN[int(rng.integers(len(PLAIN)))]
    kind = rng.random()
    shown = {n: (v[int(rng.integers(len(v)))],) for n, v in _VALUES.items()}
    sight = None if kind < 0.04 else MapSight() if kind < 0.12 else MapSight(**shown)
    return Seen(PictureSight(tuple(colours)), sight)


def region_words(mask: np.ndarray) -> tuple[str, ...]:
    """The four words of a region, float or bool G,G: share of each cell inside it."""
    return MapSight.of(np.asarray(mask, np.float32), 1.0).words()[REGION_PLACES]


def target_words(mask_view: np.ndarray, present: bool) -> tuple[str, ...]:
    """The words of a map's tokens, prompt tokens included. mask_view: 2,G,G or more channels, see `assistant_views`."""
    sight = MapSight.of(mask_view[0], mask_view[1]) if present else None
    return (*(ABSENT_WORDS if sight is None else sight.words()), *PROMPT_WORDS)


def sight_answer(kind: str, seen: Seen, record_id: str, rng: np.random.Generator) -> str:
    """An answer to a question of `SIGHT_QUESTIONS`; every sentence holds."""
    if kind == "map" and seen.map is None:
        return f"{ABSENT}."
    told = seen.map.told() if kind == "map" and seen.map is not None else seen.picture.told()
    said = [forms[int(rng.integers(len(forms)))] for forms in told.values()]
    cited = f" [{record_id}]" if record_id and kind == "map" else ""
    return " ".join([*(f"{s}{cited}." for s in said), CAUTION if kind == "map" else TEXT["thing"]])


def sight_dialogue(row: Row, kind: str, seen: Seen, rng: np.random.Generator, *, lines: bool = True) -> Dialogue:
    """One question about the map or the picture ("map", "picture") with its answer, behind the lines of a record.

    Args:
        seen: what is shown. lines: as in `assistant_prompts.dialogues_of`.
    """
    record = row.record
    question = choose(SIGHT_QUESTIONS[kind], {}, rng)
    examined = next((h for h in reversed(record.history) if h.get("on") == "examination"), None)
    if examined is None or not lines:
        mark = prompting.MASK_MARK if kind == "map" else prompting.IMAGE_MARK
        messages = [{"role": "user", "content": prompting.opening([], f"{question}\n{mark}")}]
        answer = sight_answer(kind, seen, "", rng)
    else:
        verdict = Verdict.model_validate(examined["verdict"])
        brought = {i for m in record.dialogue if m.role == "tool" for i in m.evidence_ids}
        known = [e for e in record.evidence if e.id not in brought]
        asked = prompting.question_text(question, None, known, verdict)
        references = References(verdict, known, {}, [], region_id=None, record_id=None)
        messages = prompting.referred(prompting.record_lines(verdict, known), [("user", asked)], references)
        answer = sight_answer(kind, seen, next((e.id for e in known if e.instrument == EXPERT), ""), rng)
    return Dialogue((*messages, {"role": "assistant", "content": answer}))


def sights_of(row: Row, seen: Seen | None, number: int, rng: np.random.Generator) -> tuple[Seen, Iterator[Dialogue]]:
    """What is shown of a row's picture in task `language`, and `number` dialogues about it.

    Args:
        seen: as it is, None where nobody looked.
    """
    shown = seen if seen is not None and rng.random() < _SEEN else drawn(rng)
    kinds = ["map" if rng.random() < 0.6 else "picture" for _ in range(number)]
    return shown, (sight_dialogue(row, kind, shown, rng) for kind in kinds)


def token_ids(words: Mapping[str, Sequence[str]], tokenizer: Any) -> dict[str, list[int]]:
    """Ids of the words in place of each mark. A word of several tokens counts with its first (task `language`)."""
    return {m: [tokenizer.encode(f" {w}", add_special_tokens=False)[0] for w in said] for m, said in words.items()}
