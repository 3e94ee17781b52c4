"""The photographs a forge works on: which there are, which belong together, how their pixels are read.

Pixels are read in the *stored* frame (EXIF orientation is not applied), so that a JPEG's own 8x8 grid begins at (0, 0).
Deliberately left out: caching (a decode takes a few milliseconds, less than most edits).
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from data_tools.forge.config import ForgeConfig
from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.imaging import degrade
from fakeexplain.imaging.jpeg import STANDARD_CHROMA, parse_jpeg, scaled_table

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
CAMERA_SOURCES = ("metadata_extractor", "exif_samples")
# Sources whose stated terms allow any use of what is made from them.
PERMISSIVE_SOURCES = ("metadata_extractor", "wallpapers", "osie", "azure")
_HEADER = 1 << 18  # bytes; tables further back than that are not looked for
_CROP = re.compile(r"_\d$")


@dataclass(frozen=True)
class Photo:
    """One picture file.

    Attributes:
        path, width, height: stored frame.
        group: name shared by crops and copies of one photograph.
        source: collection it comes from ("" when unknown).
        licence: as stated in photos.csv ("" when there is none).
        labels_path: object labels of the same stem, uint8 PNG of the stored size, or None.
        camera: straight from a camera at native resolution: never shrunk by the forge.
    """

    path: Path
    width: int
    height: int
    group: str
    source: str = ""
    licence: str = ""
    labels_path: Path | None = field(default=None)

    @property
    def camera(self) -> bool:
        return self.source in CAMERA_SOURCES

    @property
    def short_side(self) -> int:
        return min(self.width, self.height)

    def read(self) -> np.ndarray:
        """uint8 HxWx3, stored frame.

        Raises:
            SourceError: the file has gone or is broken.
        """
        try:
            with Image.open(self.path) as image:
                return np.array(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise SourceError(f"{self.path}: cannot be decoded ({error}); take it out of the folder") from None

    def saved(self) -> degrade.Jpeg | None:
        """How the file was saved: quality, chroma sampling, and its tables where they are not libjpeg's.

        None for files that are no JPEG, are under quality 50, are grey, or have tables that no baseline file can hold.
        """
        return _saved(self.path)

    def read_labels(self) -> np.ndarray | None:
        """uint8 HxW category ids, or None where there are none or they are of another size."""
        if self.labels_path is None:
            return None
        with Image.open(self.labels_path) as image:
            labels = np.array(image.convert("L"))
        return labels if labels.shape == (self.height, self.width) else None


@lru_cache(maxsize=8192)  # a look at a header takes as long as a tenth of a sample, and a photograph is met often
def _saved(path: Path) -> degrade.Jpeg | None:
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return None
    with path.open("rb") as file:
        facts = parse_jpeg(file.read(_HEADER))
    if facts is None or facts.quality < 50 or len(facts.component_tables) != 3:
        return None
    luma, chroma = facts.luma_table, facts.tables.get(facts.component_tables[1])
    if chroma is None or max(luma.max(), chroma.max()) > 255 or min(luma.min(), chroma.min()) < 1:
        return None
    standard = facts.quality_exact and np.array_equal(chroma, scaled_table(facts.quality, STANDARD_CHROMA))
    tables = None if standard else (tuple(luma.ravel().tolist()), tuple(chroma.ravel().tolist()))
    sampling = facts.subsampling
    return degrade.Jpeg(
        quality=facts.quality,
        subsampling=sampling if sampling in get_args(degrade.Subsampling) else "4:2:0",  # type: ignore[arg-type]
        tables=tables,
    )


def group_of(stem: str) -> str:
    """Name of the photograph behind a file: the stem less a trailing _0 ... _9.

    >>> group_of("metadata_extractor_ec445e9b5b89_1")
    'metadata_extractor_ec445e9b5b89'
    """
    return _CROP.sub("", stem)


def _table(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of photos.csv by file name, from the folder itself or the one above; {} where there is none."""
    for path in (folder / "photos.csv", folder.parent / "photos.csv"):
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return {r["file"]: r for r in rows if r.get("file") and r.get("folder", folder.name) == folder.name}
    return {}


def _source_of(stem: str) -> str:
    return next((name for name in CAMERA_SOURCES if stem.startswith(name)), "")


def _validates(group: str, share: float) -> bool:
    """Side of the split, from a hash of the group's name: it does not change when photographs are added."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") < share * 2**32


def list_photos(folder: Path, size: int, config: ForgeConfig) -> list[Photo]:
    """The usable photographs of a folder in the order of their names.

    Files that cannot be opened and pictures under 64 pixels are left out. Object labels are looked for in
    `config.labels_dir`, or in ../object_masks, as <stem>.png.

    Raises:
        SettingsError: no folder, no folder of labels where one is named, or nothing usable.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder}: no such folder; --photos wants a folder of photographs")
    labels = folder.parent / "object_masks" if config.labels_dir is None else Path(config.labels_dir)
    if config.labels_dir is not None and not labels.is_dir():
        raise SettingsError(f"labels_dir {labels}: no such folder; `sam-proposals` writes one")
    table = _table(folder)
    photos: list[Photo] = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        row = table.get(path.name, {})
        source, group = row.get("source", "") or _source_of(path.stem), group_of(path.stem)
        if config.permissive and source not in PERMISSIVE_SOURCES:
            continue
        if config.split != "all" and _validates(group, config.validation_share) != (config.split == "validation"):
            continue
        try:
            with Image.open(path) as image:
                width, height = image.size
        except (OSError, ValueError, SyntaxError):
            continue
        labels_path = labels / f"{path.stem}.png"
        photo = Photo(
            path, width, height, group, source, row.get("licence", ""), labels_path if labels_path.is_file() else None
        )
        if photo.short_side >= (64 if config.allow_smaller else size):
            photos.append(photo)
    if not photos:
        raise SettingsError(f"{folder}: no usable photograph among its files; check --photos, size and configuration")
    return photos


def by_group(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Photos gathered by photograph, in order of first appearance."""
    groups: dict[str, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(photo.group, []).append(photo)
    return list(groups.values())
