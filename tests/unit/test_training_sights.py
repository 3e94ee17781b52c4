"""Words in place of tokens: what a language model reads, and what the tokens are taught."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakeexplain.reasoning.sights import CAUTION, MapSight, Sights
from fakeexplain.records import Evidence
from training.assistant_model import Tokens
from training.assistant_samples import DrawnMap
from training.sight_dialogues import ABSENT_WORDS, PROMPT_WORDS, WORDS, Seen, drawn, sight_answer, target_words
from training.word_targets import WordTargets, turned, wanted_words


class Letters:
    """A tokenizer of words that it numbers as they come."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [self.known.setdefault(w, len(self.known)) for w in text.split()]


def batch_of(masks: list[np.ndarray], colours: list[tuple[float, float, float]], present: list[bool]) -> dict:
    maps = torch.stack([torch.from_numpy(np.stack([m, m, m])).float() for m in masks])
    pictures = torch.stack([torch.tensor(c).view(3, 1, 1).expand(3, 32, 32) for c in colours])
    return {
        "mask_inputs": maps,
        "pixel_values": pictures,
        "mask_present": torch.tensor(present),
        "trace_features": torch.zeros(len(masks), 2, 64, 64),
    }


def corner() -> np.ndarray:
    mask = np.zeros((64, 64), np.float32)
    mask[2:10, 2:10] = 1
    return mask


def test_every_drawn_answer_holds_of_what_is_shown():
    rng = np.random.default_rng(0)
    for _ in range(200):
        seen: Seen = drawn(rng)
        said = sight_answer("map", seen, "E3", rng)
        if seen.map is None:
            assert said == "There is no map of the expert here."
            continue
        facts = {s for forms in seen.map.sentences().values() for s in forms}
        for sentence in said.removesuffix(CAUTION).strip().split(". "):
            assert sentence.rstrip(".").removesuffix(" [E3]") in facts
        told = sight_answer("picture", seen, "E3", rng).split(". ")
        known = {s for forms in seen.picture.sentences().values() for s in forms}
        assert told[0] in known
        assert {s for s in told if "half" in s} <= known


def test_words_of_a_view_are_those_of_the_map_that_it_was_made_from():
    mask = np.zeros((256, 256), bool)
    mask[10:60, 180:240] = True
    shown = DrawnMap.of(mask)
    record = Evidence(
        id="E1", instrument="expert", instrument_version="1", kind="detection", trace="t", quantity="q",
        score_map=shown.map,
    )  # fmt: skip
    sight = Sights(None, [record]).map
    small = np.stack([shown.map.reshape(64, 4, 64, 4).mean((1, 3)), shown.map.reshape(64, 4, 64, 4).max((1, 3))])
    assert sight is not None
    assert target_words(small, True) == (*sight.words(), *PROMPT_WORDS)
    assert sight.words()[3:5] == ("upper", "right")
    assert target_words(small, False) == (*ABSENT_WORDS, *PROMPT_WORDS)


def test_wanted_words_follow_each_row_and_padding_has_none():
    batch = batch_of([corner(), corner().T[::-1].copy()], [(1, 0, 0), (0, 0, 0)], [True, False])
    regions = torch.zeros(2, 2, 2, 64, 64)
    regions[0, 1, :, 40:60, 2:20] = 1
    pictures, maps, named = wanted_words({**batch, "region_inputs": regions}, 4)
    assert pictures == [("red",) * 4, ("black",) * 4]
    assert maps[0][:5] == ("map", "one", "strong", "upper", "left")
    assert maps[1][:8] == ABSENT_WORDS
    assert named == [[(), ("lower", "left", "medium", "compact")], [(), ()]]


def test_every_word_that_a_view_may_get_is_known():
    rng = np.random.default_rng(1)
    for _ in range(300):
        assert {w for words in drawn(rng).words().values() for w in words} <= set(WORDS)


def test_the_loss_is_small_for_the_words_own_embeddings_and_large_for_others():
    torch.manual_seed(0)
    words = WordTargets(Letters(), torch.nn.Embedding(64, 32))
    batch = batch_of([corner()], [(1, 0, 0)], [True])
    picture, map_, _ = wanted_words(batch, 4)
    rows, numbers = words.rows, words.numbers
    right = Tokens(
        torch.stack([torch.stack([rows[numbers[w]] for w in picture[0]])]) * 3,
        torch.stack([torch.stack([rows[numbers[w]] for w in map_[0]])]) * 0.1,
        None,
    )
    wrong = Tokens(right.picture.roll(1, -1), -right.map, None)
    good, bad = words.losses(right, batch), words.losses(wrong, batch)
    for name in ("picture_words", "map_words"):
        assert float(good[name].total / good[name].count) < 0.2
        assert float(bad[name].total / bad[name].count) > 1
    assert float(good["map_words"].count) == len(map_[0])
    assert float(good["region_words"].count) == 0
    exact = words.exact(right, batch)
    assert all(float(v.total) == float(v.count) for v in exact.values())
    assert float(words.exact(wrong, batch)["map_words_right"].total) < 4


@pytest.mark.parametrize("seed", range(8))
def test_turned_views_stay_together(seed):
    batch = batch_of([corner()], [(1, 0, 0)], [True])
    batch["pixel_values"] = batch["pixel_values"].clone()
    batch["pixel_values"][:, :, :8, :8] = 0.0
    moved = turned(batch, seed)
    marked = moved["mask_inputs"][0, 0] > 0.5
    dark = moved["pixel_values"][0].sum(0) < 0.5
    half = dark.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert bool(half[marked].all())
    assert int(marked.sum()) == 64
    assert MapSight.of(moved["mask_inputs"][0, 0].numpy(), 1.0).words()[1] == "one"
