"""Maps made by another tool, scored with the same protocol: paired by stem, at native size, at the same threshold.

A folder holds one map a picture, `STEM.png` (8 or 16 bit grey, white = forged) or `STEM.npy` (float in [0, 1], bool or
uint8), directly or in a subfolder named after the data set. Nothing is guessed: a map that is missing, of another size
or out of range is an error. Left out: running the other tool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fakeexplain.errors import FakeExplainError, SettingsError, SourceError
from fakeexplain.evaluation.datasets import Item, read_true_mask
from fakeexplain.evaluation.metrics import YARDSTICKS, yardstick_masks
from fakeexplain.evaluation.pixels import map_figures, mask_figures
from fakeexplain.evaluation.rows import FIGURES, SUITE, SUITE_MAP, Row, gather
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.workers import worker_pool

_SUFFIXES = (".npy", ".png")


@dataclass(frozen=True)
class MapFolder:
    """The maps of one tool: its name in tables, and the file of each picture by the picture's key."""

    name: str
    files: dict[tuple[str, str, str], Path]


def parse_map_option(text: str) -> tuple[Path, str]:
    """FOLDER or FOLDER=NAME -> (folder, name); the name is the folder's own when none is given.

    Raises:
        SettingsError: an empty name or folder.
    """
    folder, _, name = text.rpartition("=") if "=" in text and not Path(text).is_dir() else (text, "", Path(text).name)
    if not folder or not name.strip():
        raise SettingsError(f"--maps {printable(text)!r}: wanted FOLDER or FOLDER=NAME, say maps/tool=tool")
    return Path(folder), printable(name.strip(), 40)


def check_names(names: Sequence[str], witnesses: Sequence[str]) -> None:
    """Raises SettingsError when a map folder's name is taken twice or belongs to a predictor of ours."""
    taken = {SUITE, SUITE_MAP, *YARDSTICKS, *witnesses, *(f"{w} map" for w in witnesses)}
    for name in names:
        if name in taken:
            raise SettingsError(f"--maps: the name {name!r} is taken; give another with FOLDER=NAME")
        taken.add(name)


def find_maps(items: Sequence[Item], folder: Path, name: str) -> MapFolder:
    """Pairs every picture with its map.

    Raises:
        SourceError: no such folder, a stem that stands for two pictures or two maps, or missing maps: all are listed.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; wanted one with a .png or .npy map for each picture")
    files: dict[tuple[str, str, str], Path] = {}
    missing = []
    flat: Counter[str] = Counter()
    for item in items:
        within = folder / item.dataset
        own = within if within.is_dir() else folder
        stem = item.image_path.stem
        flat[stem] += own == folder
        found = [own / f"{stem}{s}" for s in _SUFFIXES if (own / f"{stem}{s}").is_file()]
        if len(found) > 1:
            raise SourceError(f"{found[0]} and {found[1].name} stand for one picture; remove one")
        if found:
            files[item.key] = found[0]
        else:
            missing.append(printable(f"{item.dataset}/{stem}"))
    doubled = [stem for stem, count in flat.items() if count > 1]
    if doubled:
        raise SourceError(
            f"{folder}: {printable(doubled[0])} is the stem of {flat[doubled[0]]} pictures; put the maps of each data "
            "set into a subfolder named after it"
        )
    if missing:
        raise SourceError(
            f"{folder}: {len(missing)} of {len(items)} maps are missing; wanted STEM.png or STEM.npy, or a subfolder "
            f"named after the data set. Missing: {', '.join(missing)}"
        )
    return MapFolder(name, files)


def read_map(path: Path) -> np.ndarray:
    """float32 HxW in [0, 1] from a grey PNG (8 bit / 255, 16 bit / 65535) or an .npy file (never a pickle).

    Raises:
        SourceError: unreadable, not two-dimensional, or values that are no probabilities.
    """
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _read_png(path)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"{path}: map cannot be read ({printable(str(error), 200)})") from None
    values = np.squeeze(values) if values.ndim > 2 else values
    if values.ndim != 2 or values.size == 0:
        raise SourceError(f"{path}: map has shape {values.shape}, wanted height x width")
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    if values.dtype != bool and not np.issubdtype(values.dtype, np.floating):
        raise SourceError(f"{path}: map holds {values.dtype}, wanted float in [0, 1], uint8, uint16 or bool")
    values = values.astype(np.float32)
    if not (values.min() >= 0.0 and values.max() <= 1.0):  # also false for nan
        raise SourceError(f"{path}: values from {values.min():g} to {values.max():g}, wanted probabilities in [0, 1]")
    return values


def _read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            deep = np.asarray(image)
            if deep.min() < 0 or deep.max() > 65535:
                raise ValueError("more than 16 bits")
            return deep.astype(np.uint16)
        if image.mode == "1":
            return np.asarray(image)
        if image.mode != "L":
            colours = np.asarray(image.convert("RGB"))
            if (colours != colours[..., :1]).any():
                raise ValueError("a coloured picture; wanted grey values")
            return colours[..., 0]
        return np.asarray(image)


def fitted_map(path: Path, height: int, width: int, *, resize: bool) -> tuple[np.ndarray, bool]:
    """(map of the wanted size, whether it was resized).

    Raises:
        SourceError: another size and `resize` is False; see also `read_map`.
    """
    score_map = read_map(path)
    if score_map.shape == (height, width):
        return score_map, False
    if not resize:
        raise SourceError(
            f"{path}: map is {score_map.shape[1]}x{score_map.shape[0]}, its picture {width}x{height}; write maps at "
            "native size, or allow --resize-maps"
        )
    method = cv2.INTER_AREA if score_map.size > height * width else cv2.INTER_LINEAR
    return np.clip(cv2.resize(score_map, (width, height), interpolation=method), 0.0, 1.0), True


def score_maps(item: Item, row: Row | None, folders: Sequence[MapFolder], resize: bool) -> Row:
    """A row with the figures of other tools' maps added; a new one, with yardsticks, when `row` is None.

    Raises:
        SourceError: a map cannot be used, or a new row's picture cannot be read.
    """
    true_mask: np.ndarray | None = None
    figures: dict[str, dict[str, float]] = {}
    if row is None or item.mask_path is None:
        try:
            source = SourceImage.from_path(item.image_path, name=printable(item.image_path.name))
        except FakeExplainError:
            if row is None:
                raise
            return row  # an authentic picture that nobody can open has no false alarms to count
        height, width = source.height, source.width
        megapixels = source.megapixels
    else:
        height, width = _mask_size(item.mask_path)
        megapixels = row.megapixels
    if item.mask_path is not None:
        true_mask = read_true_mask(item.mask_path, height, width)
    if row is None:
        row = Row(
            dataset=item.dataset,
            image=printable(item.image_path.name),
            group=item.group,
            forged=true_mask is not None,
            strata=item.strata,
            megapixels=megapixels,
            true_area=0.0 if true_mask is None else float(true_mask.mean()),
            stamp=item.key[2],
            recipe=item.recipe,
        )
        if true_mask is not None:
            figures |= {name: mask_figures(mask, true_mask) for name, mask in yardstick_masks(height, width).items()}
    resized = []
    for folder in folders:
        score_map, was_resized = fitted_map(folder.files[item.key], height, width, resize=resize)
        figures[folder.name] = map_figures(score_map, true_mask)
        if was_resized:
            resized.append(folder.name)
    added = gather(figures)
    merged = {name: getattr(row, name) | added[name] for name in FIGURES}
    return replace(row, resized=resized, **merged)


def _mask_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise SourceError(f"{path}: mask cannot be read ({error})") from None


def run_maps(
    items: Sequence[Item],
    rows: dict[tuple[str, str, str], Row],
    folders: Sequence[MapFolder],
    *,
    resize: bool,
    workers: int,
) -> Iterator[Row]:
    """Rows with the maps' figures, as they are finished; `rows` by key, a missing one is made new.

    Raises:
        SourceError: see `score_maps`.
    """
    jobs = [(item, rows.get(item.key), _only(folders, item), resize) for item in items]
    if workers <= 1:
        for job in jobs:
            yield score_maps(*job)
        return
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(score_maps, *job) for job in jobs]):
            yield future.result()


def _only(folders: Sequence[MapFolder], item: Item) -> list[MapFolder]:
    """The folders with this picture's files alone, so that a job carries no more than it needs."""
    return [MapFolder(f.name, {item.key: f.files[item.key]}) for f in folders]
