"""The loss that teaches tokens of map, picture and regions the language model's own words for what they show.

Each token is to point where the embedding of its word points (cosine), and nearer to it than to the other words
(cross-entropy over all words in use). Words are functions of the inputs alone (`sight_dialogues`), so neither data nor
truth is needed, and the language model is not run. Left out: which inputs are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fakeexplain.reasoning.sights import PICTURE_SIDE, PictureSight, smaller
from training.assistant_model import Tokens
from training.data import Batch
from training.losses import Loss
from training.sight_dialogues import WORDS, region_words, target_words

_TEMPERATURE = 0.1  # of the cosines


class WordTargets:
    """Embeddings of words, from a language model's own vocabulary; a word of several tokens is their mean.

    Args:
        tokenizer, embedding: of the language model.
    """

    def __init__(self, tokenizer: Any, embedding: torch.nn.Module) -> None:
        weight: Tensor = embedding.weight  # type: ignore[assignment]
        self.numbers = {word: number for number, word in enumerate(WORDS)}
        rows = []
        for word in WORDS:
            ids = torch.tensor(tokenizer.encode(f" {word}", add_special_tokens=False), device=weight.device)
            with torch.no_grad():
                rows.append(F.normalize(embedding(ids).float().mean(0), dim=0))
        self.rows = torch.stack(rows)

    def losses(self, tokens: Tokens, batch: Batch) -> dict[str, Loss]:
        """ "picture_words", "map_words", "region_words": means over tokens."""
        picture, map_, regions = wanted_words(batch, tokens.picture.shape[1])
        found = {"picture_words": self._loss(tokens.picture, picture), "map_words": self._loss(tokens.map, map_)}
        named = [w for row in regions for w in row]
        kept = [i for i, w in enumerate(named) if w]
        if tokens.regions is None or not kept:
            return {**found, "region_words": Loss(tokens.map.sum() * 0.0, torch.zeros((), device=tokens.map.device))}
        chosen = tokens.regions.flatten(0, 1)[kept]
        return {**found, "region_words": self._loss(chosen, [named[i] for i in kept])}

    def exact(self, tokens: Tokens, batch: Batch) -> dict[str, Loss]:
        """Share of tokens that lie nearest to their own word among all words in use."""
        picture, map_, _ = wanted_words(batch, tokens.picture.shape[1])
        named = (("picture", tokens.picture, picture), ("map", tokens.map, map_))
        return {f"{n}_words_right": self._right(t, w) for n, t, w in named}

    def _cosines(self, tokens: Tensor, words: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """(cosines with all words N,K,V, numbers N,K) of the first K tokens, those that have words."""
        numbers = torch.tensor([[self.numbers[w] for w in row] for row in words], device=tokens.device)
        said = F.normalize(tokens[:, : numbers.shape[1]].float(), dim=-1)
        numbers = numbers[:, : said.shape[1]]
        return said @ self.rows.to(tokens.device).T, numbers

    def _loss(self, tokens: Tensor, words: Sequence[Sequence[str]]) -> Loss:
        with torch.autocast(tokens.device.type, enabled=False):
            cosines, numbers = self._cosines(tokens, words)
            nearest = F.cross_entropy((cosines / _TEMPERATURE).flatten(0, 1), numbers.flatten(), reduction="sum")
            apart = (1 - cosines.gather(-1, numbers[..., None])).sum()
        return Loss(nearest + apart, torch.tensor(float(numbers.numel()), device=tokens.device))

    def _right(self, tokens: Tensor, words: Sequence[Sequence[str]]) -> Loss:
        cosines, numbers = self._cosines(tokens, words)
        return Loss((cosines.argmax(-1) == numbers).sum().float(), torch.tensor(float(numbers.numel())))


def wanted_words(
    batch: Batch, cells: int
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], list[list[tuple[str, ...]]]]:
    """Words of each row's picture (`cells` of them), map and regions (empty for those that are padding)."""
    pictures, maps, regions = [], [], []
    grid = round(cells**0.5)
    shown = batch.get("region_inputs")
    for row in range(len(batch["pixel_values"])):
        view = batch["pixel_values"][row].permute(1, 2, 0).float().cpu().numpy()
        pictures.append(PictureSight.of(smaller(view, PICTURE_SIDE), grid).words())
        maps.append(target_words(batch["mask_inputs"][row].float().cpu().numpy(), bool(batch["mask_present"][row])))
        own = () if shown is None else tuple(shown[row].float().cpu().numpy())
        regions.append([region_words(r[0]) if r[0].any() else () for r in own])
    return pictures, maps, regions


def turned(batch: Batch, seed: int) -> Batch:
    """All views of a batch mirrored or turned alike, drawn from the seed; written places then do not hold."""
    generator = torch.Generator().manual_seed(seed)
    across, down, swap = (bool(torch.rand(1, generator=generator) < 0.5) for _ in range(3))
    dims = [d for d, wanted in ((-1, across), (-2, down)) if wanted]

    def turn(view: Tensor) -> Tensor:
        moved = view.flip(dims) if dims else view
        return moved.transpose(-1, -2) if swap and view.shape[-1] == view.shape[-2] else moved

    views = ("pixel_values", "mask_inputs", "trace_features", "region_inputs")
    return {n: turn(v) if n in views else v for n, v in batch.items()}
