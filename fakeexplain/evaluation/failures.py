"""The worst pictures of a run, drawn: picture, truth and prediction side by side.

The pictures are examined again for it, by the same code with the same settings, so that nothing need be kept of those
that went well. Left out: what is wrong with them; that is for a reader to see.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fakeexplain.evaluation.datasets import Item, read_true_mask
from fakeexplain.evaluation.external_maps import fitted_map
from fakeexplain.evaluation.pixels import MAP_THRESHOLD
from fakeexplain.evaluation.protocol import predict, process_examiner
from fakeexplain.evaluation.rows import SUITE, SUITE_MAP, Row, main_predictors
from fakeexplain.examiner import Settings
from fakeexplain.report.overlay import Mark, heatmap, outline, overlay
from fakeexplain.workers import worker_pool

COUNT = 10  # of each kind
_SIDE = 420  # pixels, long side of an embedded picture
_TRUTH, _GUESS = (46, 184, 138), (240, 166, 20)  # bluish green and orange of `report.overlay`

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Failure:
    """One picture that a predictor got wrong: its row and the predictor."""

    row: Row
    predictor: str


def worst_forged(rows: Sequence[Row], predictor: str, count: int = COUNT) -> list[Failure]:
    """Forged pictures with the lowest F1, the larger forged area first among equals; never one with F1 above 0.5."""
    chosen = [r for r in rows if r.forged and not r.error and not r.cell and r.f1.get(predictor, 0.0) <= 0.5]
    chosen.sort(key=lambda r: (r.f1.get(predictor, 0.0), -r.true_area, r.dataset, r.image))
    return [Failure(r, predictor) for r in chosen[:count]]


def largest_alarms(rows: Sequence[Row], predictor: str, count: int = COUNT) -> list[Failure]:
    """Authentic photographs with the largest marked area, none of them unmarked."""
    chosen = [r for r in rows if not r.forged and not r.cell and r.marked.get(predictor, 0.0) > 0.0]
    chosen.sort(key=lambda r: (-r.marked[predictor], r.dataset, r.image))
    return [Failure(r, predictor) for r in chosen[:count]]


@dataclass(frozen=True)
class Gallery:
    """Failures of one kind and predictor, with a title and a sentence on what was chosen."""

    title: str
    note: str
    failures: tuple[Failure, ...]


def galleries(rows: Sequence[Row]) -> list[Gallery]:
    """The worst forged pictures and the largest false alarms of each main predictor."""
    plain = [r for r in rows if not r.cell]
    found = []
    for name in main_predictors(plain):
        title = "the verdict's mask" if name == SUITE else name
        if any(r.forged for r in plain):
            missed = worst_forged(plain, name)
            words = f"The {len(missed)} forged pictures with the lowest F1 (none above 0.5), larger forged areas first."
            words = words if missed else "No forged picture has an F1 of 0.5 or less."
            found.append(Gallery(f"Forged, {title}", words, tuple(missed)))
        if any(not r.forged for r in plain):
            alarms = largest_alarms(plain, name)
            marked = sum(r.marked.get(name, 0.0) > 0 for r in plain if not r.forged)
            words = f"The {len(alarms)} largest of {marked} authentic photographs on which something is marked."
            words = words if alarms else "Nothing is marked on any of them."
            found.append(Gallery(f"False alarms, {title}", words, tuple(alarms)))
    return found


def draw_failures(
    failures: Sequence[Failure],
    items: dict[Key, Item],
    settings: Settings,
    map_files: dict[str, dict[Key, Path]],
    *,
    workers: int,
) -> Iterator[tuple[Key, dict[str, list[bytes]]]]:
    """(picture's key, predictor -> JPEG files), as they are finished: picture, truth if forged, prediction, and for the
    verdict's mask the joint score map.

    Args:
        items: every picture of the run by key.
        map_files: files of other tools' maps by predictor and key.
    """
    wanted: dict[Key, list[str]] = {}
    for failure in failures:
        names = wanted.setdefault(failure.row.key, [])
        names += [failure.predictor] if failure.predictor not in names else []
    jobs = []
    for key, names in wanted.items():
        files = {n: map_files[n][key] for n in names if n in map_files}
        jobs.append((items[key], names, settings, files))
    if workers <= 1:
        for job in jobs:
            yield draw(*job)
        return
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(draw, *job) for job in jobs]):
            yield future.result()


def draw(
    item: Item, predictors: Sequence[str], settings: Settings, map_files: dict[str, Path]
) -> tuple[Key, dict[str, list[bytes]]]:
    """See `draw_failures`."""
    if all(name in map_files for name in predictors):  # nothing of ours is asked for
        source = process_examiner(settings).load(item.image_path)
        size = source.height, source.width
        true_mask = None if item.mask_path is None else read_true_mask(item.mask_path, *size)
        masks: dict[str, np.ndarray] = {}
        maps: dict[str, np.ndarray | None] = {}
    else:
        prediction = predict(item, settings)
        source, true_mask = prediction.source, prediction.true_mask
        masks, maps = prediction.masks, dict(prediction.maps)
    for name, path in map_files.items():
        maps[name] = fitted_map(path, source.height, source.width, resize=True)[0]
    small = _shrunk(source.display_rgb)
    height, width = small.shape[:2]
    before = [_jpeg(small)]
    if true_mask is not None:
        small_mask = _shrunk_mask(true_mask, height, width)
        before.append(_jpeg(overlay(small, small_mask, regions=[Mark("", small_mask, colour=_TRUTH)])))
    drawn = {}
    for name in predictors:
        if name in masks:
            shown = overlay(small, _shrunk_mask(masks[name], height, width))
        else:
            shown = _drawn_map(small, maps[name])
        drawn[name] = [*before, _jpeg(shown)]
        if name == SUITE:  # what the instruments suspected, whether or not it was enough
            drawn[name].append(_jpeg(_drawn_map(small, maps[SUITE_MAP])))
    return item.key, drawn


def _drawn_map(small: np.ndarray, score_map: np.ndarray | None) -> np.ndarray:
    """The map as colours, what passes the threshold outlined."""
    height, width = small.shape[:2]
    if score_map is None:
        score_map = np.zeros((height, width), np.float32)
    colours = heatmap(small, cv2.resize(score_map.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA))
    marked = score_map >= MAP_THRESHOLD
    return outline(colours, _shrunk_mask(marked, height, width), _GUESS) if marked.any() else colours


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.ascontiguousarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb)


def _shrunk_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at display size; what would vanish is kept."""
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return share >= 0.5 if (share >= 0.5).any() else share > 0


def _jpeg(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=84, subsampling=0)
    return buffer.getvalue()
