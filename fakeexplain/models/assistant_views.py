"""Views for the assistant: pictures, maps, regions and the expert's features on small square grids.

The only place where the assistant's numbers are resampled. A view is for tokens and for the mask decoder; traces were
read before, at full size. Deliberately left out: text (`assistant_processing`) and thresholds.

Public edge: numpy, upright source frame. A view covers the whole picture, cell (0, 0) at the upper left, whatever the
picture's shape.
"""

from __future__ import annotations

import copy
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fakeexplain.imaging.source import SourceImage, orient
from fakeexplain.models.forgery_expert import ExpertOutput, ForgeryLocalizationExpert
from fakeexplain.models.processing import WINDOW, window_boxes

_STRIDE = 8  # of the features that are kept


def picture_view(rgb: np.ndarray, size: tuple[int, int]) -> Tensor:
    """uint8 HxWx3 -> 1,3,h,w float32 in [0, 1], as the vision tower sees it (averaged over areas)."""
    height, width = size
    enlarged = rgb.shape[0] < height or rgb.shape[1] < width
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA)
    return torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)[None].float() / 255.0


def map_view(values: np.ndarray, grid: int) -> Tensor:
    """float HxW in [0, 1] -> 2,G,G: mean over the cell, and largest value in it, so that no small mark is lost."""
    field = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
    if field.shape[2] < grid or field.shape[3] < grid:
        mean = F.interpolate(field, (grid, grid), mode="bilinear", align_corners=False, antialias=True)
        return torch.cat([mean, mean])[:, 0]
    return torch.cat([F.adaptive_avg_pool2d(field, grid), F.adaptive_max_pool2d(field, grid)])[:, 0]


def mask_view(map_: np.ndarray, confidence: np.ndarray, grid: int) -> Tensor:
    """The expert's map and confidence, float HxW in [0, 1] -> 1,3,G,G (`mask_encoder.MASK_CHANNELS`)."""
    return torch.cat([map_view(map_, grid), map_view(confidence, grid)[:1]])[None]


def region_view(region_mask: np.ndarray, grid: int) -> Tensor:
    """bool HxW -> 2,G,G: share of the cell inside, and 1 where any of the cell is inside."""
    return map_view(region_mask.astype(np.float32), grid)


def feature_view(features: Tensor, height: int, width: int, grid: int) -> Tensor:
    """Features at 1/8 of a padded picture -> 1,C,G,G over the picture itself.

    Args:
        features: 1,C,h,w with 8 h >= height and 8 w >= width.
        height, width: of the picture, in the same frame as the features.
    """
    rows, columns = -(-height // _STRIDE), -(-width // _STRIDE)
    cells = features[:, :, :rows, :columns].float()
    if rows < grid or columns < grid:  # few cells: padding inside the last one would shift everything
        fine = cells.repeat_interleave(_STRIDE, dim=2).repeat_interleave(_STRIDE, dim=3)
        return F.interpolate(
            fine[:, :, :height, :width], (grid, grid), mode="bilinear", align_corners=False, antialias=True
        )
    return F.adaptive_avg_pool2d(cells, grid)


class _Recording:
    """An expert that remembers its features; one for each run, so that threads do not see each other's."""

    def __init__(self, model: ForgeryLocalizationExpert) -> None:
        self._model = model
        self.eighths: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def decode(self, local: Any, semantic: Tensor | None, sums: Tensor | None = None) -> ExpertOutput:
        output = self._model.decode(local, semantic, sums)
        self.eighths.append(output.features.eighth.float().cpu())
        return output


def localize(expert: Any, source: SourceImage, grid: int, *, threads: int | None = None) -> tuple[Any, Tensor]:
    """The expert's answer, and its features as the assistant wants them: (Localization, 1,C,G,G upright).

    One run of the network, the same numbers as `Expert.localize`.

    Args:
        expert: a `fakeexplain.localization.Expert` (a room above this one, hence no import).
    """
    twin = copy.copy(expert)
    twin.model = recording = _Recording(expert.model)
    found = twin.localize(source, threads=threads)
    height, width = source.rgb.shape[:2] if source.orientation < 5 else source.rgb.shape[1::-1]
    view = feature_view(_joined(recording.eighths, height, width), height, width, grid)[0]
    upright = np.stack([orient(channel, source.orientation) for channel in view.numpy()])
    return found, torch.from_numpy(upright)[None]


def _joined(eighths: list[Tensor], height: int, width: int) -> Tensor:
    """Features of one window, or of overlapping windows averaged where they meet: 1,C,h,w of the padded picture."""
    if len(eighths) == 1:
        return eighths[0]
    padded = height + -height % 16, width + -width % 16
    total = torch.zeros(1, eighths[0].shape[1], padded[0] // _STRIDE, padded[1] // _STRIDE)
    count = torch.zeros(1, 1, *total.shape[2:])
    for part, box in zip(eighths, window_boxes(*padded, WINDOW), strict=True):
        x0, y0, x1, y1 = (v // _STRIDE for v in box)
        total[:, :, y0:y1, x0:x1] += part
        count[:, :, y0:y1, x0:x1] += 1
    return total / count
