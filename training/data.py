"""Forge samples as tensors, and the order in which a run sees them.

The order is a function of the optimiser step alone: step s of a run with a global batch of b sees samples s b ...
s b + b - 1 of its phase, on however many processes. A run that was stopped therefore goes on with the very next sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge, ForgeSample
from fakeexplain.models.configuration import OPERATIONS

# What the operation head is asked for, from what the forge calls its edits.
OPERATION_OF = {
    "splice": "splice",
    "copy_move": "copy_move",
    "removal_diffusion": "removal",
    "removal_exemplar": "removal",
    "removal_patchmatch": "removal",
    "resample": "processed",
    "blur": "processed",
    "median": "processed",
    "denoise": "processed",
    "sharpen": "processed",
    "tone": "processed",
    "noise": "processed",
    "jpeg_ghost": "recompressed",
    "foreign_grid": "recompressed",
}
NO_OPERATION = 255
Batch = dict[str, Tensor]


def sample_tensors(sample: ForgeSample, size: int, *, withhold_table: bool = False) -> Batch:
    """One sample as tensors of size x size; smaller ones are padded by reflection and `valid` says where they are.

    Returns:
        rgb uint8 3xHxW, forged, valid uint8 1xHxW, edits uint8 HxW (0 authentic, k the k-th edit), operation uint8 HxW
        (`NO_OPERATION` outside edits), tables float32 64, has_jpeg bool, label float32.
    """
    height, width = sample.image.shape[:2]
    edits = np.zeros((height, width), np.uint8)
    operation = np.full((height, width), NO_OPERATION, np.uint8)
    for number, (mask, name) in enumerate(zip(sample.edit_masks, sample.operations, strict=True), start=1):
        edits[mask], operation[mask] = number, OPERATIONS.index(OPERATION_OF[name])
    rgb, valid = sample.image, np.ones((height, width), np.uint8)
    below, right = size - height, size - width
    if below or right:
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        valid = np.pad(valid, ((0, below), (0, right)))
        edits = np.pad(edits, ((0, below), (0, right)))
        operation = np.pad(operation, ((0, below), (0, right)), constant_values=NO_OPERATION)
    jpeg = None if withhold_table else sample.jpeg
    table = np.ones((8, 8)) if jpeg is None else jpeg.luma_table
    return {
        "rgb": torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))),
        "forged": torch.from_numpy((edits > 0).astype(np.uint8))[None],
        "valid": torch.from_numpy(valid)[None],
        "edits": torch.from_numpy(edits),
        "operation": torch.from_numpy(operation),
        "tables": torch.from_numpy(table.astype(np.float32).ravel()),
        "has_jpeg": torch.tensor(jpeg is not None),
        "label": torch.tensor(float(sample.label)),
    }


def turned(batch: Batch, turn: int) -> Batch:
    """One of the eight mirrorings and quarter turns of a square sample, 0 the sample itself.

    The side is a multiple of 8, so the JPEG grid stays where it is; where rows and columns are exchanged, so are those
    of the table.
    """
    flips = [axis for axis, bit in ((-1, 1), (-2, 2)) if turn & bit]
    out = dict(batch)
    for name in ("rgb", "forged", "valid", "edits", "operation"):
        value = batch[name].flip(flips) if flips else batch[name]
        out[name] = (value.transpose(-1, -2) if turn & 4 else value).contiguous()
    if turn & 4:
        out["tables"] = batch["tables"].view(8, 8).T.reshape(64).contiguous()
    return out


class ForgeDataset(Dataset[Batch]):
    """Samples of the forge by index; builds its forge in the process that uses it.

    Args:
        views: neighbouring indices that show one forged picture, the later ones mirrored or turned; forging costs as
            much as training on the result.
    """

    def __init__(
        self, photos: Path, seed: int, size: int, config: ForgeConfig, drop_table: float = 0.0, views: int = 1
    ) -> None:
        self._arguments = (photos, seed, size, config)
        self._seed, self._size, self._drop_table, self._views = seed, size, drop_table, views
        self._forge: Forge | None = None
        self._last: tuple[int, ForgeSample] | None = None

    def __getitem__(self, index: int) -> Batch:
        if self._forge is None:
            self._forge = Forge(*self._arguments)
        number, view = divmod(index, self._views)
        if self._last is None or self._last[0] != number:
            self._last = number, self._forge.sample(number)
        rng = np.random.default_rng([7, self._seed, index])
        withhold = bool(rng.random() < self._drop_table)
        batch = sample_tensors(self._last[1], self._size, withhold_table=withhold)
        return turned(batch, int(rng.integers(1, 8))) if view else batch


class StepSampler(Sampler[list[int]]):
    """Batches of indices of one process for the optimiser steps [first, last).

    Args:
        per_step: samples of one process in one optimiser step (batch size times accumulation).
        batch: samples of one process in one forward pass; divides `per_step`.
    """

    def __init__(self, first: int, last: int, *, batch: int, per_step: int, rank: int, world: int) -> None:
        self.first, self.last = first, last
        self.batch, self.per_step, self.rank, self.world = batch, per_step, rank, world

    def __len__(self) -> int:
        return (self.last - self.first) * self.per_step // self.batch

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            start = (step * self.world + self.rank) * self.per_step
            for offset in range(0, self.per_step, self.batch):
                yield list(range(start + offset, start + offset + self.batch))


def _start_worker(worker: int) -> None:
    # The network has the cores first: workers fill the gaps. Threads of their own would only get in its way.
    os.nice(5)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def make_loader(dataset: Dataset[Batch], sampler: StepSampler, workers: int) -> DataLoader[Batch]:
    """A loader over the steps of `sampler`; spawned workers, because OpenCV's threads do not survive a fork.

    A data set whose samples differ in size brings a method `collate`.
    """
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=getattr(dataset, "collate", None),
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
    )


def held_out_forge(config: ForgeConfig, operation: str, finish: str) -> ForgeConfig:
    """The forge for training: without the held-out operation and finish, on the training side of the photographs."""

    def without(weights: dict, name: str) -> dict:
        return {k: (0.0 if k == name else w) for k, w in weights.items()}

    return config.model_copy(
        update={
            "split": "training",
            "new_content": without(config.new_content, operation),
            "same_content": without(config.same_content, operation),
            "finishes": without(config.finishes, finish),
        }
    )


def validation_forges(config: ForgeConfig, operation: str, finish: str) -> dict[str, ForgeConfig]:
    """Validation sets on photographs of the validation side: the trained mix, the held-out operation, the held-out
    finish."""
    trained = held_out_forge(config, operation, finish).model_copy(update={"split": "validation"})
    kind = "new_content" if operation in config.new_content else "same_content"
    alone = {k: float(k == operation) for k in getattr(config, kind)}
    return {
        "seen": trained,
        f"operation:{operation}": trained.model_copy(
            update={kind: alone, "same_content_share": float(kind == "same_content")}
        ),
        f"finish:{finish}": trained.model_copy(update={"finishes": {finish: 1.0}}),  # trained without it, or not
    }
