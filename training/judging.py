"""How held-out samples are judged: where the network is, without gradients, in the precision of the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from training.config import TrainingConfig
from training.data import Batch


def moved(batches: Iterable[Batch], model: nn.Module) -> Iterator[Batch]:
    """Batches where the network is."""
    device = next(model.parameters()).device
    for batch in batches:
        yield {name: value.to(device) for name, value in batch.items()}


@contextmanager
def judging(model: nn.Module, config: TrainingConfig) -> Iterator[None]:
    """Without gradients, in the precision of the training on the network's device."""
    kind = next(model.parameters()).device.type
    with torch.no_grad(), torch.autocast(kind, torch.bfloat16, config.autocast(kind)):
        yield
