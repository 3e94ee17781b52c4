"""What a JPEG file proves about a pair: the smallest change of the original that explains the stored coefficients.

A JPEG stores each frequency of each 8 x 8 block as a whole number of steps: the pixels it was made from lay within half
a step of it (the quantisation constraint set of Zakhor, IEEE TCSVT 1992). Where the original, brought into the same
blocks, lies inside all of these intervals, the block is explained without any change, however coarse the steps are.
Where it does not, something was changed, and the change is sought that is zero in as many pixels as possible while it
brings the block inside: a weighted L1 minimum by ADMM (Boyd et al., 2011). Comparing decoded pixels instead would mix
the change with the noise of the save, which at quality 75 is larger than many edits.

Deliberately left out: pairs that are not aligned to whole pixels or were toned (their original is only known
approximately: `pair_mask` then judges by noise), saves after the last one, and whether a change is believed.

Frames: pictures are upright, uint8 HxWx3; blocks lie in the stored frame of the file.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field

import cv2
import numpy as np

from fakeexplain.imaging.jpeg import DCT8
from fakeexplain.imaging.source import SourceImage, orient

_SLACK = 0.3  # of a coefficient: what the rounding of different encoders amounts to
# When a component proves anything: enough blocks are explained, and few stand alone among blocks of the other kind. Two
# saves of one photograph also agree in many blocks, but which ones is chance; an edit is of one piece or a few.
_LEAST_CONSISTENT, _MOST_ALONE, _ALONE_ALLOWED = 0.1, 0.01, 8
_LEAST_BUSY = 8
_ROUNDS = 14
# libjpeg's conversion in units of 1/65536: rows Y, Cb, Cr. A half is rounded up in luma and down in chroma.
_FIXED_YCC = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]], np.int32)
_FIXED_HALF = np.array([32768, 32767, 32767], np.int32)
_INVERSE_ORIENTATION = {6: 8, 8: 6}
_PIXELS_TO_COEFFICIENTS = np.einsum("ui,vj->uvij", DCT8, DCT8).reshape(64, 64).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Component:
    """One colour component: centres of the intervals and steps, float32 (n, 64); blocks; pixels per sample."""

    centres: np.ndarray = field(repr=False)
    steps: np.ndarray = field(repr=False)
    block_rows: int
    block_columns: int
    rows_per_sample: int
    columns_per_sample: int


@dataclass(frozen=True, eq=False)
class StoredJpeg:
    """The coefficients of a JPEG file as intervals. orientation: EXIF, from the stored to the upright frame."""

    components: tuple[_Component, ...]
    orientation: int


@dataclass(frozen=True, eq=False)
class Change:
    """The smallest change found; upright frame of the file.

    Attributes:
        levels: float32 HxW, grey levels >= 0: the largest change among R, G and B.
        stored_levels: float32 HxW, grey levels >= 0: how far the file's luma differs from the original's, saved with
            the same steps, before either is clipped or rounded.
        contradicted_mask: bool HxW: blocks that the original alone does not explain.
        consistent_fraction: share of the busy luma blocks that it does explain, in [0, 1].
    """

    levels: np.ndarray = field(repr=False)
    stored_levels: np.ndarray = field(repr=False)
    contradicted_mask: np.ndarray = field(repr=False)
    consistent_fraction: float


def read_stored(source: SourceImage) -> StoredJpeg | None:
    """The intervals that a JPEG file prescribes; None for other formats and for JPEGs of unusual make."""
    facts = source.jpeg
    if facts is None or facts.precision != 8 or len(facts.sampling) not in (1, 3):
        return None
    whole = facts.sampling[0]
    if any(whole[0] % h or whole[1] % v or h > whole[0] or v > whole[1] for h, v in facts.sampling):
        return None
    try:
        planes = _read_coefficients(source.data)
    except (OSError, RuntimeError, ValueError):
        return None
    if len(planes) != len(facts.sampling):
        return None
    components = []
    for plane, table_id, (h, v) in zip(planes, facts.component_tables, facts.sampling, strict=True):
        rows, columns = plane.shape[:2]
        steps = facts.tables[table_id].reshape(1, 64).astype(np.float32)
        centres = plane.reshape(rows * columns, 64).astype(np.float32) * steps
        components.append(_Component(centres, steps, rows, columns, whole[1] // v, whole[0] // h))
    return StoredJpeg(tuple(components), source.orientation)


def _read_coefficients(data: bytes) -> list[np.ndarray]:
    """Quantised coefficients of all components, int16 (block rows, block columns, 8, 8), stored frame.

    Raises:
        OSError: libjpeg refuses the stream.
    """
    import jpeglib

    handle, path = tempfile.mkstemp(suffix=".jpg", prefix="fakeexplain_")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        image = jpeglib.read_dct(path)
        return [np.ascontiguousarray(p) for p in (image.Y, image.Cb, image.Cr) if p is not None]
    finally:
        os.unlink(path)


def least_change(
    original_rgb: np.ndarray, stored: StoredJpeg, edited_belief: np.ndarray | None = None
) -> Change | None:
    """The smallest change that explains the file.

    Args:
        original_rgb: uint8 HxWx3, moved into the frame of the file by whole pixels, not toned.
        stored: of the edited file.
        edited_belief: float32 HxW in [0, 1], how far a pixel is already believed to be edited: a change there costs
            less, so that it gathers in few places. None for the first look.

    Returns:
        None where the original is not what the edit began with: it explains too little of the file, or blocks
        without pattern.
    """
    inverse = _INVERSE_ORIENTATION.get(stored.orientation, stored.orientation)
    rgb = orient(original_rgb, inverse)
    belief = None if edited_belief is None else orient(edited_belief, inverse)
    planes = _libjpeg_ycc(rgb)
    height, width = rgb.shape[:2]
    changes, contradicted = [], np.zeros((height, width), bool)
    consistent, stored_levels = 0.0, np.zeros((height, width), np.float32)
    for number, component in enumerate(stored.components):
        low, high = _intervals(_libjpeg_samples(planes[..., number], component), component)
        beyond = np.maximum(low, -high).max(axis=1) > _SLACK
        share, telling = _consistency(beyond, component, height, width)
        if number == 0:
            consistent = share
        if not telling:
            if number == 0:
                return None
            changes.append(np.zeros((height, width), np.float32))  # chroma of another encoder proves nothing
            continue
        if number == 0:
            saved_change = _saved_change(low, component) @ _PIXELS_TO_COEFFICIENTS
            stored_levels = np.abs(_to_pixels(saved_change, component, height, width))
        cost = None if belief is None else _cost(belief, component)[beyond]
        change = np.zeros((len(beyond), 64), np.float32)
        change[beyond] = _sparsest(low[beyond], high[beyond], cost)
        changes.append(_to_pixels(change, component, height, width))
        marked = np.repeat(beyond[:, None], 64, axis=1).astype(np.float32)
        contradicted |= _to_pixels(marked, component, height, width) > 0.5
    levels = _largest_of_rgb(changes)
    levels, stored_levels, contradicted = (
        orient(plane, stored.orientation) for plane in (levels, stored_levels, contradicted)
    )
    return Change(levels, stored_levels, contradicted, round(consistent, 4))


def _consistency(beyond: np.ndarray, component: _Component, height: int, width: int) -> tuple[float, bool]:
    """(share of the blocks that need no change, whether that tells anything).

    Counted among blocks with detail, for a flat block agrees with any other flat one. Blocks that reach over the
    picture's edge hold whatever the encoder padded them with and do not count.
    """
    shape = (component.block_rows, component.block_columns)
    inside = np.zeros(shape, bool)
    inside[: height // (8 * component.rows_per_sample), : width // (8 * component.columns_per_sample)] = True
    busy = inside & (component.centres[:, 1:] != 0).any(axis=1).reshape(shape)
    counted = busy if busy.sum() >= _LEAST_BUSY else inside
    if not counted.any():
        return 0.0, False
    changed = beyond.reshape(shape)
    share = float(1.0 - changed[counted].mean())
    around = cv2.boxFilter(changed.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    alone = counted & np.where(changed, around < 2.5, around > 6.5)
    few = alone.sum() <= max(_MOST_ALONE * counted.sum(), _ALONE_ALLOWED)
    return share, bool(share >= _LEAST_CONSISTENT and few)


def _intervals(samples: np.ndarray, component: _Component) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), both (n, 64): the changes of each coefficient that lead to what the file stores."""
    distance = component.centres - _blocks(samples) @ _PIXELS_TO_COEFFICIENTS.T
    return distance - component.steps / 2, distance + component.steps / 2


def _saved_change(low: np.ndarray, component: _Component) -> np.ndarray:
    """(n, 64): the stored coefficients less those of the original after the same quantisation.

    Encoders compute in whole numbers: a coefficient of the original within 0.02 steps of a tie may have gone the other
    way, which leaves a step of difference in about one unedited block of seven. What is made of it must bear that.
    """
    return np.asarray(np.rint((low + component.steps / 2) / component.steps) * component.steps, np.float32)


def _gathered(plane: np.ndarray, component: _Component) -> np.ndarray:
    """HxW -> (rows, down, columns, across): whole blocks, padded as libjpeg does, the pixels of each sample apart."""
    down, across = component.rows_per_sample, component.columns_per_sample
    rows, columns = 8 * component.block_rows, 8 * component.block_columns
    plane = plane[: rows * down, : columns * across]
    below, right = rows * down - plane.shape[0], columns * across - plane.shape[1]
    plane = cv2.copyMakeBorder(np.ascontiguousarray(plane), 0, below, 0, right, cv2.BORDER_REPLICATE)
    return plane.reshape(rows, down, columns, across)


def _libjpeg_ycc(rgb: np.ndarray) -> np.ndarray:
    """float32 HxWx3, whole numbers about 0: what libjpeg makes of RGB. Grey pixels sit on its ties, so it is exact."""
    planes = np.empty(rgb.shape, np.float32)
    channels = [rgb[..., c].astype(np.int32) for c in range(3)]
    for number, (weights, half) in enumerate(zip(_FIXED_YCC, _FIXED_HALF, strict=True)):
        total = sum(int(w) * channel for w, channel in zip(weights, channels, strict=True)) + int(half)
        planes[..., number] = np.right_shift(total, 16)
    planes[..., 0] -= 128.0
    return planes


def _libjpeg_samples(plane: np.ndarray, component: _Component) -> np.ndarray:
    """float32 plane of whole blocks from whole numbers, rounded as libjpeg does: halves up and down in turn."""
    pixels = _gathered(plane, component)
    count = pixels.shape[1] * pixels.shape[3]
    total = pixels.sum(axis=(1, 3))
    if count == 1:
        return total
    turn = np.arange(total.shape[1], dtype=np.float32) % 2
    bias = turn + (1.0 if count == 4 else 0.0) if count in (2, 4) else np.full_like(turn, count // 2)
    return np.floor((total + bias) / np.float32(count))


def _blocks(plane: np.ndarray) -> np.ndarray:
    """HxW -> (n, 64), row by row."""
    height, width = plane.shape
    return plane.reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3).reshape(-1, 64)


def _to_pixels(blocks: np.ndarray, component: _Component, height: int, width: int) -> np.ndarray:
    """(n, 64) -> HxW, each sample repeated over the pixels it was averaged from."""
    rows, columns = component.block_rows, component.block_columns
    plane = blocks.reshape(rows, columns, 8, 8).transpose(0, 2, 1, 3).reshape(rows * 8, columns * 8)
    plane = np.repeat(np.repeat(plane, component.rows_per_sample, axis=0), component.columns_per_sample, axis=1)
    return np.ascontiguousarray(plane[:height, :width])


def _cost(belief: np.ndarray, component: _Component) -> np.ndarray:
    """(n, 64): the cost of a change in each sample, 1 where nothing is believed, 0.05 where it is certain."""
    down, across = component.rows_per_sample, component.columns_per_sample
    height, width = belief.shape
    cost: np.ndarray = np.clip(1.0 - belief, 0.05, 1.0).astype(np.float32)
    cost = cv2.resize(cost, (-(-width // across), -(-height // down)), interpolation=cv2.INTER_AREA)
    rows, columns = 8 * component.block_rows, 8 * component.block_columns
    cost = cost[:rows, :columns]
    return _blocks(cv2.copyMakeBorder(cost, 0, rows - cost.shape[0], 0, columns - cost.shape[1], cv2.BORDER_REPLICATE))


def _sparsest(low: np.ndarray, high: np.ndarray, cost: np.ndarray | None) -> np.ndarray:
    """Per block the pixels x of least weighted |x| whose coefficients lie in [low, high]; all (n, 64) float32.

    Scaled ADMM between soft thresholding in pixels and clipping in frequencies; returns the thresholded side, whose
    zeros are exact.
    """
    weight = np.ones((1, 64), np.float32) if cost is None else cost
    inside = np.clip(0.0, low, high) @ _PIXELS_TO_COEFFICIENTS
    sparse: np.ndarray = inside
    dual: np.ndarray = np.zeros_like(inside)
    for _ in range(_ROUNDS):
        wanted = inside - dual
        sparse = np.sign(wanted) * np.maximum(np.abs(wanted) - weight, 0.0)
        inside = np.clip((sparse + dual) @ _PIXELS_TO_COEFFICIENTS.T, low, high) @ _PIXELS_TO_COEFFICIENTS
        dual += sparse - inside
    return sparse


def _largest_of_rgb(changes: list[np.ndarray]) -> np.ndarray:
    """float32 HxW: the largest change of R, G or B that changes of Y (and Cb, Cr) amount to."""
    luma = changes[0]
    if len(changes) == 1:
        return np.abs(luma)
    cb, cr = changes[1], changes[2]
    red, green, blue = luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb
    return np.asarray(np.maximum(np.abs(red), np.maximum(np.abs(green), np.abs(blue))), np.float32)
