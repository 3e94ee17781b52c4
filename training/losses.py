"""Losses as sums with counts, so that several processes together take the very step that one would take (but where a
loss compares samples with each other: contrastive alignment, whose negatives are those of each process).

Each function returns `Loss(total, count)`; the loop divides by the count over all processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Loss:
    """A sum over `count` terms; both are scalar tensors, `total` carries the gradient even when count is 0."""

    total: Tensor
    count: Tensor


def weighted(values: Tensor, weights: Tensor) -> Loss:
    return Loss((values * weights).sum(), weights.sum().detach())


def binary(logits: Tensor, target: Tensor, weights: Tensor, positive_weight: float = 1.0) -> Loss:
    """Binary cross entropy; all of one shape, target in [0, 1], weights 0 where nothing is known."""
    factor = torch.full((), positive_weight, dtype=logits.dtype, device=logits.device)
    values = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=factor)
    return weighted(values, weights)


def dice(logits: Tensor, target: Tensor, weights: Tensor, forged: Tensor) -> Loss:
    """1 - soft Dice of each forged picture (Milletari et al., 3DV 2016). logits, target, weights B,1,h,w; forged B."""
    probability = torch.sigmoid(logits) * weights
    overlap = (probability * target).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + (target * weights).sum(dim=(1, 2, 3))
    return weighted(1 - (2 * overlap + 1) / (total + 1), forged)


def history_contrast(
    embedding: Tensor, edits: Tensor, valid: Tensor, cells: int = 24, temperature: float = 0.1
) -> Loss:
    """Cells of one edit history together, of different ones apart (supervised contrast, Khosla et al., NeurIPS 2020).

    Within each picture: up to `cells` cells of the authentic part and of each edit, taken at regular distances, so
    that nothing is drawn by chance.

    Args:
        embedding: B,E,h,w of unit length. edits: B,h,w long, the edit's number, 0 authentic, -1 for mixed cells.
        valid: B,h,w bool.
    """
    total, count = embedding.sum() * 0.0, 0
    for vectors, numbers, known in zip(embedding.flatten(2), edits.flatten(1), valid.flatten(1), strict=True):
        chosen, labels = [], []
        for number in numbers[known & (numbers >= 0)].unique().tolist():
            places = torch.nonzero(known & (numbers == number)).flatten()
            places = places[torch.linspace(0, len(places) - 1, min(cells, len(places))).long()]
            chosen.append(places)
            labels += [number] * len(places)
        if len(chosen) < 2:
            continue
        picked = vectors[:, torch.cat(chosen)].T
        group = torch.tensor(labels, device=picked.device)
        itself = torch.eye(len(group), dtype=torch.bool, device=picked.device)
        same = (group[:, None] == group[None]) & ~itself
        scores = (picked @ picked.T / temperature).masked_fill(itself, -1e4)
        log_probability = scores - scores.logsumexp(dim=1, keepdim=True)
        friends = same.sum(dim=1)
        per_cell = -(log_probability * same).sum(dim=1) / friends.clamp(min=1)
        total = total + per_cell[friends > 0].sum()
        count += int((friends > 0).sum())
    return Loss(total, torch.tensor(float(count), device=embedding.device))
