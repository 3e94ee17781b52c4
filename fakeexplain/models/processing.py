"""Pictures in, maps out: the edge between numpy and the expert's tensors.

The only place where a network meets a `SourceImage`. Nothing is resized before the traces are read: the picture is
encoded in tiles whose overlap makes them equal to the whole, and the trunk sees all of it at 1/4, or, when memory would
not hold it, in large windows that are compared with the statistics of the whole (attention and norms are the window's).
Deliberately left out: thresholds and probabilities that mean something (`fakeexplain.localization`).

The network works in the *stored* frame, where the JPEG grid begins at (0, 0); maps come back upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fakeexplain.imaging.source import SourceImage, orient
from fakeexplain.models.forgery_expert import ExpertOutput, ForgeryLocalizationExpert
from fakeexplain.models.region_head import RegionQuestion
from fakeexplain.models.trace_encoder import LOCAL_MARGIN, LocalFeatures

TILE = 384  # pixels of a tile's inner side; larger ones leave the processor's cache
WINDOW = 2560  # pixels; a picture whose sides are both at most this goes through the trunk whole
OVERLAP = 256  # pixels that neighbouring windows share
STRIDE = 16
_NOT_ASKED = np.zeros(0, np.float32)
_INVERSE = {6: 8, 8: 6}  # all other EXIF orientations are their own inverse


@dataclass(frozen=True)
class RawMaps:
    """What the network says, upright, before any calibration.

    Attributes:
        mask_logits: float32 HxW at source size.
        confidence_logits: float32 HxW at source size.
        operation_logits: float32 O, averaged over the cells weighted by their mask probability.
        image_logit: of the whole picture, also where it was seen in windows.
        region_logits: float32 R, of the regions asked about; empty without any, or without a region head.
    """

    mask_logits: np.ndarray
    confidence_logits: np.ndarray
    operation_logits: np.ndarray
    image_logit: float
    region_logits: np.ndarray


def stored_rgb(source: SourceImage) -> np.ndarray:
    """uint8 HxWx3 in the stored frame, undoing the EXIF orientation."""
    return as_stored(source, source.rgb)


def as_stored(source: SourceImage, upright: np.ndarray) -> np.ndarray:
    """HxW or HxWxC of the upright frame in the stored one."""
    return orient(upright, _INVERSE.get(source.orientation, source.orientation))


def table_of(source: SourceImage) -> np.ndarray | None:
    """float32 64, the luma quantisation table, at least 1; None where there is no 8-bit JPEG."""
    if source.jpeg is None or source.jpeg.precision != 8:
        return None
    # A step of 0 is not allowed, yet decoders read such files, and all that is divided by it would be no number. Every
    # coefficient there is 0, so any step says the same.
    table: np.ndarray = np.maximum(source.jpeg.luma_table.astype(np.float32).ravel(), 1.0)
    return table


@torch.inference_mode()
def run_expert(
    model: ForgeryLocalizationExpert,
    rgb: np.ndarray,
    table: np.ndarray | None,
    *,
    regions: Sequence[np.ndarray] = (),
    window: int = WINDOW,
) -> RawMaps:
    """Runs the network on one picture of any size.

    Args:
        rgb: uint8 HxWx3, its corner on the JPEG grid.
        table: float 64 luma quantisation table in natural order, or None.
        regions: bool HxW each, in the same frame, for the region head.
        window: see `WINDOW`; at least 2.5 * OVERLAP.
    """
    height, width = rgb.shape[:2]
    device = next(model.parameters()).device
    padded = cv2.copyMakeBorder(rgb, 0, -height % STRIDE, 0, -width % STRIDE, cv2.BORDER_REFLECT_101)
    tables = torch.from_numpy(np.ones(64, np.float32) if table is None else table)[None].to(device)
    local = encode_tiles(model, padded, tables, torch.tensor([table is not None], device=device))
    semantic = _semantic(model, padded, device)
    boxes = window_boxes(padded.shape[0], padded.shape[1], window)
    asked = None
    if regions and model.region_head is not None:
        asked = RegionQuestion(model.region_head, regions, padded.shape[0], padded.shape[1], device)
    del padded  # the trunk wants the memory
    if len(boxes) == 1:
        return _maps(model.decode(local, semantic), asked, height, width)
    sums = None
    for box in _cores(boxes):
        part = model.trunk.sums(_cut(local, box))
        sums = part if sums is None or part is None else sums + part
    return _merge(model, local, semantic, sums, boxes, asked, height, width)


def encode_tiles(
    model: ForgeryLocalizationExpert, rgb: np.ndarray, tables: Tensor, has_jpeg: Tensor, *, tile: int = TILE
) -> LocalFeatures:
    """Local features of a whole picture, tile by tile; the same numbers as in one pass but for rounding.

    Args:
        rgb: uint8 HxWx3, sides multiples of 16. tile: a multiple of 16.
    """
    height, width = rgb.shape[:2]
    whole: dict[str, Tensor] = {}
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            y0, x0 = max(y - LOCAL_MARGIN, 0), max(x - LOCAL_MARGIN, 0)
            y1, x1 = min(y + tile + LOCAL_MARGIN, height), min(x + tile + LOCAL_MARGIN, width)
            pixels = torch.from_numpy(np.ascontiguousarray(rgb[y0:y1, x0:x1])).to(tables.device)
            piece = pixels.permute(2, 0, 1)[None].float().contiguous(memory_format=torch.channels_last)
            found = model.local(piece, tables, has_jpeg)
            for name, stride in (("quarter", 4), ("colour", 4), ("jpeg", 8)):
                part: Any = getattr(found, name)
                if part is None:
                    continue
                if name not in whole:
                    shape = (1, part.shape[1], height // stride, width // stride)
                    # Channels last: pooling windows and 1x1 convolutions are several times faster so on a processor.
                    whole[name] = torch.empty(
                        shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last
                    )
                top, left = (y - y0) // stride, (x - x0) // stride
                h, w = min(tile, height - y) // stride, min(tile, width - x) // stride
                target = whole[name][:, :, y // stride : y // stride + h, x // stride : x // stride + w]
                target.copy_(part[:, :, top : top + h, left : left + w])
    return LocalFeatures(whole["quarter"], whole["colour"], whole.get("jpeg"))


def window_boxes(height: int, width: int, window: int) -> list[tuple[int, int, int, int]]:
    """xyxy boxes in pixels, multiples of 16, that cover the picture with an overlap; one when it is small enough.

    As few windows of at most 4/5 of `window` as possible, and each no larger than their number asks for, so that no
    cell is computed more often than the overlap wants; 4/5, for a large picture needs memory for more than its windows.
    """

    def spans(length: int) -> list[tuple[int, int]]:
        if length <= limit:
            return [(0, length)]
        count = -(-(length - OVERLAP) // (limit - OVERLAP))
        side = -(-(length + (count - 1) * OVERLAP) // count)
        side = -(-side // STRIDE) * STRIDE
        step = (side - OVERLAP) // STRIDE * STRIDE
        return [(start, start + side) for start in (min(i * step, length - side) for i in range(count))]

    if max(height, width) <= window // STRIDE * STRIDE:
        return [(0, 0, width, height)]
    limit = window * 4 // 5 // STRIDE * STRIDE
    return [(x0, y0, x1, y1) for y0, y1 in spans(height) for x0, x1 in spans(width)]


def _cores(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """The boxes cut where the next one begins, so that every cell belongs to one of them."""

    def cut(start: int, end: int, starts: list[int]) -> int:
        return min((s for s in starts if s > start), default=end)

    columns, rows = sorted({b[0] for b in boxes}), sorted({b[1] for b in boxes})
    return [(x0, y0, cut(x0, x1, columns), cut(y0, y1, rows)) for x0, y0, x1, y1 in boxes]


def _cut(local: LocalFeatures, box: tuple[int, int, int, int]) -> LocalFeatures:
    def part(features: Tensor, stride: int) -> Tensor:
        x0, y0, x1, y1 = (v // stride for v in box)
        return features[:, :, y0:y1, x0:x1]

    jpeg = None if local.jpeg is None else part(local.jpeg, 8)
    return LocalFeatures(part(local.quarter, 4), part(local.colour, 4), jpeg)


def _semantic(model: ForgeryLocalizationExpert, rgb: np.ndarray, device: torch.device) -> Tensor | None:
    if model.vision is None:
        return None
    height, width = model.vision.image_size
    # Reduced here by areas, for a float copy of a large picture would be many times its size.
    small = cv2.resize(rgb, (min(2 * width, rgb.shape[1]), min(2 * height, rgb.shape[0])), interpolation=cv2.INTER_AREA)
    view = torch.from_numpy(small).to(device).permute(2, 0, 1)[None].float() / 255.0
    return model.see(view)


def _maps(output: ExpertOutput, asked: RegionQuestion | None, height: int, width: int) -> RawMaps:
    if asked is not None:
        asked.see(output.maps, (0, 0, width + -width % STRIDE, height + -height % STRIDE))
    return RawMaps(
        _full_size(output.mask_logits, height, width),
        _full_size(output.confidence_logits, height, width),
        _operation(output),
        float(output.image_logits[0]),
        _NOT_ASKED if asked is None else asked.logits(output.mask_logits),
    )


def _operation(output: ExpertOutput) -> np.ndarray:
    """float32 O: operation logits averaged over the cells, weighted by their mask probability."""
    weights = torch.sigmoid(F.avg_pool2d(output.mask_logits, 2))
    operation = (output.operation_logits * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)).clamp(min=1e-6)
    found: np.ndarray = operation[0].float().cpu().numpy()
    return found


def _full_size(logits: Tensor, height: int, width: int) -> np.ndarray:
    """B,1,h,w at 1/4 -> float32 HxW; bilinear, cell centres where they belong."""
    cells = logits[0, 0].float().cpu().numpy()
    return cv2.resize(cells, (cells.shape[1] * 4, cells.shape[0] * 4), interpolation=cv2.INTER_LINEAR)[:height, :width]


def _merge(
    model: ForgeryLocalizationExpert,
    local: LocalFeatures,
    semantic: Tensor | None,
    sums: Tensor | None,
    boxes: list[tuple[int, int, int, int]],
    asked: RegionQuestion | None,
    height: int,
    width: int,
) -> RawMaps:
    """Windows blended with weights that fall towards their rims, so that no seam shows."""
    rows, columns = local.quarter.shape[2:]
    totals = np.zeros((3, rows, columns), np.float32)
    deep: Tensor | None = None
    operations, areas = [], []
    if semantic is not None:  # as the trunk does with a whole picture, so that every window sees its own part
        semantic = F.interpolate(semantic, size=(rows // 4, columns // 4), mode="bilinear", align_corners=False)
    for box, core in zip(boxes, _cores(boxes), strict=True):
        x0, y0, x1, y1 = (v // 4 for v in box)
        seen = None if semantic is None else semantic[:, :, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4]
        output = model.decode(_cut(local, box), seen, sums)
        weight = np.minimum.outer(_ramp(y1 - y0), _ramp(x1 - x0))
        view = np.s_[y0:y1, x0:x1]
        totals[0][view] += weight * output.mask_logits[0, 0].float().cpu().numpy()
        totals[1][view] += weight * output.confidence_logits[0, 0].float().cpu().numpy()
        totals[2][view] += weight
        operations.append(_operation(output))
        areas.append(float(torch.sigmoid(output.mask_logits).sum()))
        part = output.features.sixteenth
        if deep is None:
            deep = part.new_empty(1, part.shape[1], rows // 4, columns // 4)
        left, top, right, bottom = (v // STRIDE for v in core)
        deep[:, :, top:bottom, left:right] = part[:, :, : bottom - top, : right - left]
        if asked is not None:
            asked.see(output.maps, core)
    assert deep is not None
    mask, confidence = (torch.from_numpy(t / totals[2])[None, None] for t in totals[:2])
    return RawMaps(
        _full_size(mask, height, width),
        _full_size(confidence, height, width),
        np.average(np.stack(operations), axis=0, weights=np.maximum(areas, 1e-6)).astype(np.float32),
        float(model.judge(deep, mask.to(deep.device))[0]),
        _NOT_ASKED if asked is None else asked.logits(mask),
    )


def _ramp(length: int) -> np.ndarray:
    """Weights that rise from the rims over the overlap (in cells of 1/4), never 0."""
    distance = np.minimum(np.arange(length) + 1, np.arange(length, 0, -1))
    return np.minimum(distance / (OVERLAP // 4), 1.0).astype(np.float32)
