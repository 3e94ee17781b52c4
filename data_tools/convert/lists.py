"""Plain image-and-mask layouts, read and written: our own records, images/ + masks/, IMDL-BenCo's JSON and Tp/Gt.

Masks are white (128 and more) where forged. Apart from the records these layouts hold a picture, its label and its mask
and nothing else: operations, texts, licences and splits are lost in them, and that cannot be helped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.convert.base import (
    Item,
    MaskFile,
    MaskSource,
    Problems,
    Ready,
    inside,
    need_folder,
    pair_masks,
    pictures,
    relative,
    stem,
    write_text,
)
from data_tools.schema import InlineMask, Record, is_file, parse_json, read_lines, resolve, write_jsonl
from fakeexplain.errors import SourceError

MANIFEST = "manifest.jsonl"
NEGATIVE = "Negative"


def load_json(path: Path) -> Any:
    """Raises SourceError for a missing file or what is no JSON."""
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None


def list_file(path: Path, name: str) -> Path:
    """`path`, or the file of the usual name in it where it is a folder."""
    return path / name if path.is_dir() else path


def mask_source(field: str | InlineMask | None, root: Path) -> MaskSource:
    """What a record's mask field names. Raises SourceError for a path that leads elsewhere."""
    if field is None:
        return None
    return field.mask if isinstance(field, InlineMask) else MaskFile(resolve(root, field))


def item_of_record(record: Record, root: Path) -> Item:
    """Raises SourceError for paths that lead out of `root`, and for a picture that does not exist."""
    image = resolve(root, record.image)
    if not is_file(image):
        raise SourceError("does not exist")
    return Item(
        record.updated(mask=None, donor_mask=None),
        image,
        mask_source(record.mask, root),
        mask_source(record.donor_mask, root),
    )


def placed_record(ready: Ready, root: Path, images: str = "images", masks: str = "masks") -> Record:
    """Saves picture and masks and returns the record that names them."""
    mask, donor = ready.mask, ready.donor_mask
    return ready.record.updated(
        image=ready.save_image(root, images),
        mask=None if mask is None else ready.save_mask(root, masks, mask),
        donor_mask=None if donor is None else ready.save_mask(root, "donors", donor),
    )


def read_records(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """Our own records; PATH is the .jsonl file or the folder of a manifest.jsonl."""
    file = list_file(path, MANIFEST)
    root = images or file.parent
    items: list[Item] = []
    for number, record in read_lines(file):
        if isinstance(record, str):
            problems.add(f"line {number}: {record}")
            continue
        try:
            items.append(item_of_record(record, root))
        except SourceError as error:
            problems.add(f"line {number}: {record.image}: {error}")
    return items


def write_records(ready: Iterator[Ready], root: Path) -> None:
    write_jsonl((placed_record(item, root) for item in ready), root / MANIFEST)


def refuse_without_truth(record: Record, has_mask: bool) -> str | None:
    """Why a layout of pictures and masks cannot hold a record; None where it can."""
    if record.label == "authentic" or (record.label == "forged" and has_mask):
        return None
    if record.label == "forged":
        return "forged without a mask; the layout tells the label by the mask"
    return "label unknown; the layout holds only forged and authentic pictures"


def read_images_masks(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """images/ and masks/ with the same stems; a picture without a mask is authentic, as for `fakeexplain bench`."""
    folder = need_folder(path, ("images",), problems)
    found = pictures(folder) if folder else []
    masks = {p.stem: p for p in pictures(path / "masks")}
    items: list[Item] = []
    for image in found:
        mask = masks.pop(image.stem, None)
        record = Record(image=relative(image, path), label="authentic" if mask is None else "forged")
        items.append(Item(record, image, None if mask is None else MaskFile(mask)))
    for mask in masks.values():
        problems.add(f"{relative(mask, path)}: mask without a picture")
    return items


def write_images_masks(ready: Iterator[Ready], root: Path) -> None:
    """Masks of authentic pictures are left out: the layout tells the label by whether there is one."""
    for item in ready:
        item.save_image(root, "images")
        if item.record.label == "forged" and item.mask is not None:
            item.save_mask(root, "masks", item.mask)


def read_tp_gt(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """Tp/ and Gt/ with the same stems; an all-black mask says authentic."""
    forged = need_folder(path, ("Tp",), problems)
    truth = need_folder(path, ("Gt",), problems)
    if forged is None or truth is None:
        return []
    items: list[Item] = []
    for image, mask in pair_masks(pictures(forged), pictures(truth), stem, stem, path, problems).items():
        try:
            marked = bool(MaskFile(mask).read().any())
        except SourceError as error:
            problems.add(f"{relative(image, path)}: {error}")
            continue
        record = Record(image=relative(image, path), label="forged" if marked else "authentic")
        items.append(Item(record, image, MaskFile(mask) if marked else None))
    return items


def write_tp_gt(ready: Iterator[Ready], root: Path) -> None:
    """IMDL-BenCo pairs the folders by sorting, so every picture gets a mask: all black where it is authentic."""
    for item in ready:
        item.save_image(root, "Tp")
        blank = np.zeros((item.record.height or 1, item.record.width or 1), dtype=bool)
        item.save_mask(root, "Gt", blank if item.mask is None else item.mask)


def read_imdl_json(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """[[image, mask or "Negative"], ...]; paths relative to the file's folder, or to --images."""
    file = list_file(path, "imdl.json")
    root = images or file.parent
    rows = load_json(file)
    if not isinstance(rows, list):
        raise SourceError(f"{file}: holds a {type(rows).__name__}, wanted a list of [image, mask]")
    items: list[Item] = []
    for number, row in enumerate(rows, start=1):
        if not (isinstance(row, list) and len(row) == 2 and all(isinstance(x, str) for x in row)):
            problems.add(f"entry {number}: is not [image, mask or {NEGATIVE!r}]")
            continue
        try:
            image = inside(root, row[0])
            mask = None if row[1] == NEGATIVE else inside(root, row[1])
        except SourceError as error:
            problems.add(f"entry {number}: {error}")
            continue
        missing = [text for text, p in zip(row, (image, mask), strict=True) if p is not None and not is_file(p)]
        for text in missing:
            problems.add(f"entry {number}: {text} does not exist")
        if not missing:
            record = Record(image=relative(image, root.resolve()), label="authentic" if mask is None else "forged")
            items.append(Item(record, image, None if mask is None else MaskFile(mask)))
    return items


def write_imdl_json(ready: Iterator[Ready], root: Path) -> None:
    """imdl.json beside Tp/ and Gt/. Its paths are relative: start IMDL-BenCo in this folder."""
    rows: list[list[str]] = []
    for item in ready:
        mask = item.mask if item.record.label == "forged" else None
        rows.append([item.save_image(root, "Tp"), NEGATIVE if mask is None else item.save_mask(root, "Gt", mask)])
    write_text(root / "imdl.json", json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
