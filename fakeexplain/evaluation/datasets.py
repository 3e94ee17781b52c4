"""Data sets on disk -> the list of pictures to measure on, with their truth and what results are broken down by.

A data set is a folder with `images/` and `masks/` (white = forged, same stem; a picture without a mask file, or with a
black one, counts as authentic), or a folder of authentic photographs. A `manifest.jsonl` beside them may give a label
and strata of each picture ({"image": "images/a.png", "label": "authentic", "strata": {"size": 64}}); those that
`data_tools.forge` writes also tell operations, finish and format. Left out: masks inside a manifest's lines
(`python -m data_tools.convert` writes them as files).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fakeexplain.errors import SourceError
from fakeexplain.imaging.source import SUFFIXES, printable

_LABELS = {0: "authentic", "authentic": "authentic", 1: "forged", "forged": "forged"}


@dataclass(frozen=True)
class Item:
    """One picture of a data set.

    Attributes:
        dataset: name of the set in rows and tables.
        image_path: the picture.
        mask_path: its truth, None for an authentic one.
        group: where an authentic picture comes from: the part of its stem before the first "_".
        strata: what the manifest breaks results down by.
        recipe: how the forge made it: operation ("none", one name, or "several"), finish, format; {} if unknown.
        label: what the manifest says: "forged", "authentic", or "" for nothing.
        cell: what is done to the picture before it is examined, a name of `robustness.CELLS`; "" for nothing.
    """

    dataset: str
    image_path: Path
    mask_path: Path | None
    group: str
    strata: dict[str, str] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)
    label: str = ""
    cell: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a finished row is recognised by; another file under an old name is another picture."""
        status = self.image_path.stat()
        stamp = f"{status.st_size}-{status.st_mtime_ns}"
        return self.dataset, printable(self.image_path.name), f"{stamp}+{self.cell}" if self.cell else stamp


@dataclass(frozen=True)
class _Entry:
    """What a manifest says of one picture."""

    label: str = ""
    strata: dict[str, str] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)


def read_dataset(folder: Path, name: str | None = None) -> list[Item]:
    """The pictures of a data set, sorted; `name` stands for the folder's own in rows and tables.

    Raises:
        SourceError: not a folder, or no pictures in it, or masks without pictures, or a broken manifest.
    """
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: no such folder; wanted one with images/ and masks/, or with authentic photographs"
        )
    images = folder / "images" if (folder / "images").is_dir() else folder
    masks = folder / "masks" if (folder / "masks").is_dir() else None
    pictures = sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES)
    if not pictures:
        raise SourceError(f"{images}: no pictures; wanted {folder}/images/* with {folder}/masks/*, or photographs")
    by_stem = {} if masks is None else {p.stem: p for p in masks.iterdir() if p.suffix.lower() in SUFFIXES}
    orphans = sorted(set(by_stem) - {p.stem for p in pictures})
    if orphans:
        raise SourceError(f"{folder}: {len(orphans)} masks without a picture of the same stem, first {orphans[0]}")
    entries = _read_manifest(folder / "manifest.jsonl")
    set_name = name or folder.resolve().name
    items = []
    for path in pictures:
        entry = entries.get(path.name, _Entry())
        first = path.stem.split("_")[0]
        items.append(
            Item(
                dataset=set_name,
                image_path=path,
                mask_path=None if entry.label == "authentic" else _forged(by_stem.get(path.stem)),
                group=set_name if first.isdigit() else first,  # numbered pictures are of one source: the set
                strata=entry.strata,
                recipe=entry.recipe,
                label=entry.label,
            )
        )
    return items


def refuse_unmasked(items: Sequence[Item]) -> None:
    """Raises SourceError when a manifest calls pictures forged that have no mask, which would count as authentic."""
    wrong = [i for i in items if i.label == "forged" and i.mask_path is None]
    if wrong:
        names = ", ".join(printable(i.image_path.name) for i in wrong[:5])
        raise SourceError(
            f"{wrong[0].dataset}: {len(wrong)} pictures are labelled forged but masks/ holds nothing white for them "
            f"({names}{', ...' if len(wrong) > 5 else ''}); add the masks, or write them as files with "
            "python -m data_tools.convert"
        )


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly spread over the sorted list, so that a small run meets every source."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]


def _forged(mask_path: Path | None) -> Path | None:
    """The path of a mask that marks something. A black mask says "authentic"; one that cannot be read fails later."""
    if mask_path is None:
        return None
    try:
        with Image.open(mask_path) as image:
            return mask_path if (np.asarray(image.convert("L")) >= 128).any() else None
    except (OSError, ValueError):
        return mask_path


def dataset_names(folders: Sequence[Path]) -> list[str]:
    """Distinct names of data sets: the folders' own, with as many parents before them as it takes.

    Raises:
        SourceError: one folder is given twice.
    """
    parts = [f.resolve().parts[1:] or ("data",) for f in folders]
    if len(set(parts)) < len(parts):
        raise SourceError("one data set is named twice; name each once")
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return [printable("/".join(p[-depth:])) for p in parts]


def _read_manifest(manifest: Path) -> dict[str, _Entry]:
    """What the manifest says, by file name; {} where there is none."""
    entries: dict[str, _Entry] = {}
    if not manifest.is_file():
        return entries
    for number, line in enumerate(manifest.read_text("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            strata = {_short(k): _short(v) for k, v in (record.get("strata") or {}).items()}
            entries[os.path.basename(record["image"])] = _Entry(
                label=_LABELS.get(record.get("label"), ""), strata=strata, recipe=_recipe(record)
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SourceError(f'{manifest}: line {number} is not a record with "image"; mend or remove it') from None
    return entries


def _recipe(record: dict[str, Any]) -> dict[str, str]:
    """Operation, finish, processing and format as `data_tools.forge` states them; only what is stated."""
    recipe = {}
    operations = record.get("operations")
    if operations is not None and (operations or _LABELS.get(record.get("label")) == "authentic"):
        recipe["operation"] = "none" if not operations else str(operations[0]) if len(operations) == 1 else "several"
    for entry in record.get("history") or ():
        if "finish" in entry:
            recipe["finish"] = str(entry["finish"])
            if "processed" in entry:
                recipe["processed as a whole"] = "yes" if entry["processed"] else "no"
    if record.get("format"):
        recipe["format"] = str(record["format"])
    return {k: _short(v) for k, v in recipe.items()}


def _short(value: object) -> str:
    return printable(str(value), 80)


def read_true_mask(path: Path, height: int, width: int) -> np.ndarray:
    """bool HxW from a mask picture, values of 128 and more are forged.

    Raises:
        SourceError: unreadable, or of another size than its picture.
    """
    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) >= 128
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: mask cannot be read ({error})") from None
    if mask.shape != (height, width):
        raise SourceError(f"{path}: mask is {mask.shape[1]}x{mask.shape[0]}, its picture {width}x{height}")
    return mask
