"""Dialogues with their pictures and maps as batches for the assistant.

Sample `index` is a function of the index alone: which dialogue, and what the mask encoder is shown. Most samples
should see what the expert really marked (`predicted_share`), so that the assistant learns to live with the
expert's errors; the others see the true mask, and some see none at all.

Deliberately left out: how a picture becomes tensors (`fakeexplain.models.assistant_processing`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data_tools.schema import read_mask
from fakeexplain.errors import FakeExplainError, SettingsError, SourceError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.models.assistant_views import map_view
from fakeexplain.reasoning.sights import PICTURE_SIDE, MapSight, PictureSight, map_sight, smaller
from training.assistant_data import Row, RowTable
from training.assistant_prompts import PROMPT_VERSION, Dialogue, dialogues_of, examined
from training.config import DialogueConfig
from training.data import Batch
from training.expert_maps import VIEWS, MapFolder
from training.length_groups import LengthGroups
from training.sight_dialogues import Seen, sight_dialogue
from training.true_regions import true_region

IGNORED = -100  # label of a token without a loss
_SURE = 0.9  # confidence of a map that is drawn from the true mask
_SHOWS = {  # what a sample loses; lines are never made in the first place
    "evidence": (),
    "map": ("mask_inputs", "trace_features", "mask_present", "region_inputs"),
    "picture": ("pixel_values",),
}
_TINY = np.zeros((8, 8), bool)


@dataclass(frozen=True)
class Sequences:
    """Which dialogues there are, without the dialogues.

    Attributes:
        rows, positions: int64 N, number of the row and of the dialogue in it.
        lengths: int64 N, tokens with placeholders expanded. targets: bool N, has a `<SEG>` with a true region.
    """

    rows: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray

    def chosen(self, kept: np.ndarray) -> Sequences:
        """Those where `kept` (bool N) is True."""
        return Sequences(self.rows[kept], self.positions[kept], self.lengths[kept], self.targets[kept])

    def __len__(self) -> int:
        return len(self.rows)


def list_sequences(
    rows: RowTable, numbers: Sequence[int], processor: Any, cache: Path, *, lines: bool = True
) -> Sequences:
    """All dialogues of some rows with their lengths, from `cache` where nothing has changed.

    Args:
        lines: as in `dialogues_of`.

    Raises:
        SettingsError: a dialogue that the processor refuses, with the number of its record and the reason.
    """
    sizes = {name: value for name, value in vars(processor).items() if isinstance(value, int | str | tuple)}
    vocabulary = sorted(processor.tokenizer.get_vocab().items())
    told = [rows.fingerprint, list(numbers), PROMPT_VERSION, vocabulary, sizes, lines]
    file = cache / f"lengths-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}.npy"
    if not file.is_file():
        found = [
            (number, position, _length(dialogue, processor, rows[number]), any(t is not None for t in dialogue.targets))
            for number in numbers
            for position, dialogue in enumerate(dialogues_of(rows[number], lines=lines))
        ]
        cache.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, np.array(found, np.int64).reshape(-1, 4))
        partial.replace(file)
    table = np.load(file)
    return Sequences(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0)


def _length(dialogue: Dialogue, processor: Any, row: Row) -> int:
    """Tokens of a dialogue, without opening its picture; one longer than the model takes counts as endless."""
    regions = dict.fromkeys(dialogue.regions, _TINY)
    image = np.zeros((8, 8, 3), np.uint8)
    context, processor.context = processor.context, 10**9
    try:
        return int(processor(dialogue.messages, image=image, regions=regions, labels=True)["input_ids"].shape[1])
    except FakeExplainError as error:
        raise SettingsError(f"record {row.number + 1} ({row.record.image}): {error}") from None
    finally:
        processor.context = context


@dataclass(frozen=True, eq=False)
class DrawnMap:
    """A map drawn from a true mask, in the form of a `Localization`."""

    map: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, peak: float = 1.0) -> DrawnMap:
        """bool HxW -> a map with soft rims, as an expert that is right would give; thin parts reach `peak` too."""
        soft = np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3.0))
        soft = soft * np.float32(peak / max(float(soft.max()), 1e-6))
        return cls(np.clip(soft, 0.02, 0.98), np.full(mask.shape, _SURE, np.float32))


class AssistantDataset(Dataset[Batch]):
    """Samples by number; `collate` makes batches of them.

    Args:
        rows, sequences: from `open_records` and `list_sequences`.
        processor: the assistant's.
        data: shares and groups. size: most tokens; longer dialogues are left out.
        seed: of the order and of what is shown.
        maps: of the expert, None where there are none.

    Raises:
        SettingsError: every dialogue is longer than `size`.
    """

    def __init__(
        self,
        rows: RowTable,
        sequences: Sequences,
        processor: Any,
        data: DialogueConfig,
        size: int,
        seed: int,
        maps: MapFolder | None,
    ) -> None:
        kept = sequences.chosen(sequences.lengths <= size)
        if not len(kept):
            raise SettingsError(
                f"data: {len(sequences)} dialogues, none of them within {size} tokens; the shortest has "
                f"{int(sequences.lengths.min(initial=0))}"
            )
        self.left_out = len(sequences) - len(kept)
        self.sequences, self._rows, self._processor, self._data = kept, rows, processor, data
        self._seed, self._maps = seed, maps
        self._groups = LengthGroups(kept.lengths, data.group, seed)

    def __getitem__(self, index: int) -> Batch:
        number = self._groups.place(index).sample
        row = self._rows[int(self.sequences.rows[number])]
        dialogue = list(dialogues_of(row, lines="evidence" not in self._data.leave_out))[
            int(self.sequences.positions[number])
        ]
        try:
            return self.sample(row, dialogue, np.random.default_rng([self._seed, index]))
        except FakeExplainError as error:
            raise SourceError(f"record {row.number + 1} ({row.record.image}): {error}") from None

    def sample(self, row: Row, dialogue: Dialogue, rng: np.random.Generator) -> Batch:
        """A dialogue of a row as a batch of one; `rng` draws which map is shown.

        Raises:
            FakeExplainError: a file of the row cannot be read, or the dialogue is too long.
        """
        picture = row.picture
        source = SourceImage.from_bytes(picture) if isinstance(picture, bytes) else SourceImage.from_path(picture)
        predicted = self._maps.find(source.sha256) if self._maps is not None else None
        sighted = bool(self._data.sight_share) and rng.random() < self._data.sight_share
        absent, wants_predicted = rng.random() < self._data.absent_share, rng.random() < self._data.predicted_share
        truth = dialogue.given if dialogue.given is not None else true_mask(row, source)
        if dialogue.targets and truth is not None and examined(row.record):
            donor = None if row.record.donor_mask is None else read_mask(row.record.donor_mask, row.root)
            true = (None if t is None else true_region(t, truth, donor) for t in dialogue.targets)
            dialogue = replace(dialogue, targets=tuple(true))
        drawn = None
        if dialogue.given is not None or (not absent and truth is not None and not (predicted and wants_predicted)):
            assert truth is not None
            drawn = DrawnMap.of(truth, dialogue.peak)
        if sighted:
            shown = None if absent and drawn is None else drawn or predicted
            dialogue = self._sight(row, source, shown, rng)
        sample: dict[str, Tensor] = self._processor(
            dialogue.messages,
            image=source.rgb,
            localization=drawn,
            trace_features=None if predicted is None or drawn is None else predicted["trace_features"],
            regions=dialogue.regions,
            seg_targets=list(dialogue.targets) if dialogue.targets else None,
            labels=True,
        )
        sample["labels"] = without_repeated(sample["labels"], dialogue.repeated)
        if predicted is not None and drawn is None and not absent:
            sample |= {name: predicted[name] for name in VIEWS} | {"mask_present": torch.tensor([True])}
        for name in (n for what in self._data.leave_out for n in _SHOWS[what] if n in sample):
            sample[name] = torch.zeros_like(sample[name])
        sample["click_target"] = self._click_target(dialogue, truth, rng)
        sample["click_seed"] = torch.tensor([int(rng.integers(2**31))])
        return sample

    def _sight(self, row: Row, source: SourceImage, shown: Any, rng: np.random.Generator) -> Dialogue:
        """A question about what is shown: the picture, and a `DrawnMap`, views of the expert's map, or no map."""
        sight = None
        if isinstance(shown, DrawnMap):
            sight = map_sight(shown.map)
        elif shown is not None:
            sight = _map_sight(shown["mask_inputs"])
        seen = Seen(_picture_sight(source), sight)
        kind = "map" if rng.random() < 0.6 else "picture"
        return sight_dialogue(row, kind, seen, rng, lines="evidence" not in self._data.leave_out)

    def _click_target(self, dialogue: Dialogue, truth: np.ndarray | None, rng: np.random.Generator) -> Tensor:
        """1,4G,4G of a region that somebody could click at, -1 where there is none."""
        masks = [m for m in (*dialogue.targets, *dialogue.regions.values(), truth) if m is not None and m.any()]
        side = 4 * self._processor.grid
        if not masks:
            return torch.full((1, side, side), -1.0)
        return map_view(masks[int(rng.integers(len(masks)))].astype(np.float32), side)[:1]

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Batches of one to a batch, padded on the right."""
        batch: Batch = self._processor.collate(samples)
        return {"input_ids": batch.pop("input_ids"), **{name: batch[name] for name in sorted(batch)}}


def seen_of(row: Row, maps: MapFolder | None) -> Seen | None:
    """What a picture and its map show; None for a picture without a map. Raises SourceError: it cannot be read."""
    found = None if maps is None or row.record.sha256 is None else maps.find(row.record.sha256)
    if found is None:
        return None
    picture = row.picture
    source = SourceImage.from_bytes(picture) if isinstance(picture, bytes) else SourceImage.from_path(picture)
    return Seen(_picture_sight(source), _map_sight(found["mask_inputs"]))


def _picture_sight(source: SourceImage) -> PictureSight:
    return PictureSight.of(smaller(source.rgb, PICTURE_SIDE))


def _map_sight(views: Tensor) -> MapSight:
    """Of views 1,3,G,G."""
    return MapSight.of(views[0, 0].numpy(), views[0, 1].numpy())


def without_repeated(labels: Tensor, repeated: int) -> Tensor:
    """Labels 1,T without those of the first `repeated` answers, each a run of tokens that are not ignored."""
    wanted = labels[0] != IGNORED
    begins = wanted & ~torch.cat([torch.zeros(1, dtype=torch.bool), wanted[:-1]])
    return torch.where(begins.cumsum(0) > repeated, labels[0], torch.full_like(labels[0], IGNORED))[None]


def true_mask(row: Row, source: SourceImage) -> np.ndarray | None:
    """bool HxW of what was altered, all False for an authentic picture; None where nobody knows.

    Raises:
        SourceError: the mask cannot be read, or is not of the picture's size.
    """
    record = row.record
    if record.mask is None:
        return np.zeros(source.rgb.shape[:2], bool) if record.label == "authentic" else None
    mask = read_mask(record.mask, row.root)
    if mask.shape != source.rgb.shape[:2]:
        raise SourceError(f"mask is {mask.shape[1]}x{mask.shape[0]}, the picture {source.width}x{source.height} pixels")
    return mask
