"""Text and dialogues as tokens for the small language model, written once and memory-mapped by every worker.

Plain text is cut into windows of the full length; a dialogue is a sequence of its own, in a batch with others of its
length. Both are functions of a sample's number, so that a run goes on with the very next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from fakeexplain.errors import OutputError, SettingsError
from fakeexplain.models.assistant_tokenizer import START
from fakeexplain.models.assistant_views import map_view
from training.assistant_data import Row, RowTable, open_records
from training.assistant_prompts import PROMPT_VERSION, dialogues_of, tokens_of
from training.assistant_samples import seen_of
from training.assistant_tokenizer import read_texts
from training.config import DialogueConfig
from training.data import Batch
from training.expert_maps import MapFolder
from training.length_groups import LengthGroups
from training.shared_prompts import PADDING, beginnings, pack
from training.sight_dialogues import drawn, region_words, sight_dialogue, sights_of, token_ids

TOKENS_VERSION = 3  # raise it whenever sequences change
_PARTS = ("ids", "answers", "branches", "starts")
GRID = 64  # side of the views of regions that are told in words
ROUND = 16  # lengths are rounded up to a multiple: fewer shapes, and whole vector registers


@dataclass(frozen=True)
class Tokens:
    """Sequences one behind the other.

    Attributes:
        ids: uint16 or int32 N. answers: uint8 N, 1 where the assistant writes the token.
        branches: uint8 N, see `shared_prompts`; 0 in a sequence that is one dialogue or text.
        starts: int64 number of sequences + 1, where each begins; the last entry is N.
    """

    ids: np.ndarray
    answers: np.ndarray
    branches: np.ndarray
    starts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def save(self, folder: Path) -> None:
        """One .npy file each in a folder that appears whole or not at all. Raises OutputError."""
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        try:
            partial.mkdir(parents=True, exist_ok=True)
            for name in _PARTS:
                np.save(partial / f"{name}.npy", getattr(self, name))
            if not folder.exists():
                partial.rename(folder)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be written ({error.strerror or error}); free some disk space"
            ) from None

    @classmethod
    def load(cls, folder: Path) -> Tokens:
        """What `save` wrote, memory-mapped."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _PARTS))

    @classmethod
    def of(cls, sequences: Iterable[tuple[list[int], list[int], list[int]]], vocabulary: int) -> Tokens:
        """From (ids, 1 where an answer, branches)."""
        kinds: tuple[Any, ...] = (np.uint16 if vocabulary <= 65536 else np.int32, np.uint8, np.uint8)
        parts: tuple[list[np.ndarray], ...] = ([], [], [])
        for sequence in sequences:
            for part, values, kind in zip(parts, sequence, kinds, strict=True):
                part.append(np.asarray(values, kind))
        starts = np.concatenate([[0], np.cumsum([len(s) for s in parts[0]], dtype=np.int64)]).astype(np.int64)
        ids, answers, branches = (
            np.concatenate([np.zeros(0, kind), *part]) for part, kind in zip(parts, kinds, strict=True)
        )
        return cls(ids, answers, branches, starts)


@dataclass(frozen=True)
class LanguageSets:
    """Text (one sequence) and dialogues, each for training and held out; held-out dialogues stand alone."""

    text: Tokens
    held_out_text: Tokens
    dialogues: Tokens
    held_out_dialogues: Tokens


def prepare(data: DialogueConfig, tokenizer: Any, cache: Path, size: int) -> LanguageSets:
    """Tokens of all texts and dialogues, from `cache` where nothing has changed.

    Args:
        size: most tokens of a sequence in which dialogues share what is common.

    Raises:
        SettingsError, SourceError: nothing to learn from, or something in it cannot be read.
    """
    if not data.text and not data.sources:
        raise SettingsError("data: neither text nor sources; wanted at least one of them")
    rows = open_records(data.sources, cache=cache, images=data.images) if data.sources else None
    names = ("text", "held_out_text", "dialogues", "held_out_dialogues")
    folder = cache / f"tokens-{_state(data, tokenizer, rows, size)}"
    if not all((folder / name).is_dir() for name in names):
        made = dict(zip(names, (*_text(data, tokenizer), *_dialogues(data, tokenizer, rows, size)), strict=True))
        for name, tokens in made.items():
            tokens.save(folder / name)
    return LanguageSets(*(Tokens.load(folder / name) for name in names))


def _state(data: DialogueConfig, tokenizer: Any, rows: RowTable | None, size: int) -> str:
    """A digest of everything that changes the tokens."""
    files = [f for p in data.text for f in (sorted(p.glob("*.txt")) if p.is_dir() else [p])]
    found = [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
    vocabulary = tokenizer.backend_tokenizer.to_str() + str(tokenizer.chat_template)
    told = [found, rows.fingerprint if rows else "", data.held_out, vocabulary, PROMPT_VERSION, TOKENS_VERSION]
    told += [size if data.share_prompts else 0, data.sights, data.sights_alone, str(data.maps)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _text(data: DialogueConfig, tokenizer: Any) -> tuple[Tokens, Tokens]:
    """All text as one sequence; the end of it is held out, so that no window of training reaches into it."""
    ids: list[int] = []
    batch: list[str] = []

    def flush() -> None:
        for encoding in tokenizer.backend_tokenizer.encode_batch(batch, add_special_tokens=False):
            ids.extend(encoding.ids)
        batch.clear()

    for paragraph in read_texts(data.text):
        batch.append(paragraph + "\n")
        if len(batch) == 1000:
            flush()
    flush()
    cut = round(len(ids) * (1 - data.held_out))
    start = tokenizer.convert_tokens_to_ids(START)
    size = len(tokenizer)
    parts = [[start, *ids[:cut]], [start, *ids[cut:]]] if ids else [[], []]
    one, two = (Tokens.of([(part, [0] * len(part), [0] * len(part))] if part else [], size) for part in parts)
    return one, two


def _dialogues(data: DialogueConfig, tokenizer: Any, rows: RowTable | None, size: int) -> tuple[Tokens, Tokens]:
    if rows is None:
        return Tokens.of([], 1), Tokens.of([], 1)
    trained, held_out = rows.held_out(data.held_out)

    def made(numbers: list[int], size: int) -> Tokens:
        return Tokens.of(pack(_sequences(data, tokenizer, rows, numbers), size), len(tokenizer))

    return made(trained, size if data.share_prompts else 0), made(held_out, 0)


def _sequences(
    data: DialogueConfig, tokenizer: Any, rows: RowTable, numbers: list[int]
) -> Iterator[tuple[list[int], list[int]]]:
    """(ids, 1 where an answer) of all dialogues; with `data.sights` behind what is seen of picture, map and regions."""
    if not data.sights:
        yield from (tokens_of(d, tokenizer) for n in numbers for d in dialogues_of(rows[n]))
        return
    maps = None if data.maps is None else MapFolder(data.maps)
    last: tuple[Any, Any, dict[str, list[int]]] = (None, None, {})
    for number in numbers:
        row = rows[number]
        rng = np.random.default_rng([11, number])
        if data.sights_alone:
            if row.record.image != last[0]:
                yield from _alone(data.sights, row, tokenizer, rng)
            last = (row.record.image, None, {})
            continue
        if row.record.image != last[0]:  # what is shown stays the same for all records of a picture: they share it
            shown, asked = sights_of(row, seen_of(row, maps), data.sights, rng)
            last = (row.record.image, shown, token_ids(shown.words(), tokenizer))
            yield from (tokens_of(d, tokenizer, last[2]) for d in asked)
        for dialogue in dialogues_of(row):
            regions = {
                i: region_words(map_view(m.astype(np.float32), GRID)[0].numpy()) for i, m in dialogue.regions.items()
            }
            yield tokens_of(dialogue, tokenizer, {**last[2], **token_ids(regions, tokenizer)})


def _alone(count: int, row: Row, tokenizer: Any, rng: np.random.Generator) -> Iterator[tuple[list[int], list[int]]]:
    """Short sequences, each behind words that were drawn for it."""
    for _ in range(count):
        seen = drawn(rng)
        kind = "map" if rng.random() < 0.6 else "picture"
        words = token_ids(seen.words(), tokenizer)
        yield tokens_of(sight_dialogue(row, kind, seen, rng, lines=False), tokenizer, words)


class LanguageDataset(Dataset[Batch]):
    """Samples by number: every so many groups one of plain text, the others of dialogues.

    Args:
        sets: from `prepare`; text or dialogues may be empty, not both.
        size: most tokens of a sequence; longer dialogues lose their end.
        data: shares, weights and groups. pad: id of padding.
        seed: of the order.

    Raises:
        SettingsError: less text than one window, and no dialogues.
    """

    def __init__(self, sets: LanguageSets, size: int, data: DialogueConfig, pad: int, seed: int) -> None:
        self._sets, self._size, self._data, self._pad = sets, size, data, pad
        windows = max(len(sets.text.ids) - 1, 0) // size
        documents = np.minimum(sets.dialogues.lengths, size)
        if not windows and not len(documents):
            raise SettingsError(f"data: {len(sets.text.ids)} tokens of text and no dialogue; wanted a window of {size}")
        self._share = 0.0 if not windows else 1.0 if not len(documents) else data.text_share
        self._windows = LengthGroups(np.full(windows, size), data.group, seed) if windows else None
        self._documents = LengthGroups(documents, data.group, seed + 1) if len(documents) else None

    def __getitem__(self, index: int) -> Batch:
        """input_ids, branches int64 T, weights float32 T (0 where nothing is to be foreseen), T the same in a group."""
        group, slot = divmod(index, self._data.group)
        before = int(group * self._share + 1e-9)
        if int((group + 1) * self._share + 1e-9) > before:
            assert self._windows is not None
            start = self._windows.place(before * self._data.group + slot).sample * self._size
            ids = self._sets.text.ids[start : start + self._size]
            return text_sample(ids, self._size, self._pad)
        assert self._documents is not None
        place = self._documents.place((group - before) * self._data.group + slot)
        found = sequence(self._sets.dialogues, place.sample, self._size, self._data.prompt_weight)
        return padded(*found, -(-place.longest // ROUND) * ROUND, self._pad)


def sequence(tokens: Tokens, number: int, size: int, prompt_weight: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, float32 weights, branches) of one sequence, cut to `size`."""
    part = slice(int(tokens.starts[number]), min(int(tokens.starts[number + 1]), int(tokens.starts[number]) + size))
    branches = tokens.branches[part]
    weights = np.where(tokens.answers[part] > 0, 1.0, prompt_weight).astype(np.float32)
    return tokens.ids[part], np.where(beginnings(branches), np.float32(0), weights), branches


def padded(ids: np.ndarray, weights: np.ndarray, branches: np.ndarray, length: int, pad: int) -> Batch:
    """One sample as tensors of `length`."""
    input_ids = torch.full((length,), pad, dtype=torch.long)
    input_ids[: len(ids)] = torch.from_numpy(ids.astype(np.int64))
    full = torch.zeros(length)
    full[: len(ids)] = torch.from_numpy(np.array(weights))
    full[0] = 0.0
    branch = torch.full((length,), PADDING, dtype=torch.long)
    branch[: len(ids)] = torch.from_numpy(branches.astype(np.int64))
    return {"input_ids": input_ids, "weights": full, "branches": branch}


def text_sample(ids: np.ndarray, length: int, pad: int) -> Batch:
    """A window of plain text, every token of which counts."""
    return padded(ids, np.ones(len(ids), np.float32), np.zeros(len(ids), np.uint8), length, pad)
