"""Hugging Face `datasets` with Image features, read and written as local folders: no network, no hub.

`datasets` is optional (`pip install datasets`). Pictures stay the bytes they were; what has no column of its own stands
as JSON in the column "record". Sets from elsewhere need a column "image"; "mask" (white = forged) and a "label" with
names (real, authentic, fake, forged, tampered) are used where they are there. Numbers without names say nothing.
"""

from __future__ import annotations

import atexit
import importlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_tools.convert.base import WHITE, Item, Problems, Ready, png_bytes, read_bytes
from data_tools.schema import Record
from fakeexplain.errors import SettingsError, SourceError

_LABELS = {
    "authentic": "authentic",
    "real": "authentic",
    "forged": "forged",
    "fake": "forged",
    "tampered": "forged",
    "unknown": "unknown",
}
_SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test", None: "unsplit"}
_PICTURES = ("image", "mask", "donor_mask")
_ROWS_AT_ONCE = 64


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise SettingsError("the layout huggingface needs the package datasets: pip install datasets") from None


def _open(path: Path) -> list[tuple[str, Any]]:
    """(split name, dataset) of a local folder; pictures are left undecoded."""
    datasets = _datasets()
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        loaded = datasets.load_from_disk(str(path))
        parts = list(loaded.items()) if hasattr(loaded, "items") else [("", loaded)]
    else:
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else []
        if not files:
            raise SourceError(f"{path}: neither a folder of save_to_disk nor one with *.parquet files")
        cache = tempfile.mkdtemp(prefix="huggingface-")
        atexit.register(shutil.rmtree, cache, ignore_errors=True)
        by_split: dict[str, list[str]] = {}
        for file in files:
            by_split.setdefault(file.name.split("-")[0].removesuffix(".parquet"), []).append(str(file))
        loaded = datasets.load_dataset("parquet", data_files=by_split, cache_dir=cache)
        parts = list(loaded.items())
    undecoded = []
    for name, part in parts:
        for column in _PICTURES:
            if column in part.column_names:
                part = part.cast_column(column, datasets.Image(decode=False))
        undecoded.append((name, part))
    return undecoded


def _bytes(part: Any, row: int, column: str) -> bytes:
    cell = part[row][column]
    if cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    try:
        return Path(cell["path"]).read_bytes()
    except OSError as error:
        raise SourceError(f"{cell.get('path')}: cannot be read ({error.strerror})") from None


def _mask(part: Any, row: int, column: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(_bytes(part, row, column))) as image:
            return WHITE.decode(image)
    except (OSError, ValueError) as error:
        raise SourceError(f"{column} cannot be read ({error})") from None


def _row_of(light: dict[str, Any], features: Any, split: str) -> dict[str, Any]:
    """Fields of the record that a row holds. Raises ValueError for a label with an unknown name."""
    if light.get("record"):
        row = json.loads(light["record"])
        if not isinstance(row, dict):
            raise ValueError('"record" is no JSON object')
        return row
    row = {"split": {"train": "train", "validation": "val", "test": "test"}.get(split)}
    label = light.get("label")
    if isinstance(label, int) and hasattr(features["label"], "int2str") and label >= 0:
        label = features["label"].int2str(label)
    if isinstance(label, str):
        if label.lower() not in _LABELS:
            raise ValueError(f"label {label!r}, wanted one of {', '.join(_LABELS)}")
        row["label"] = _LABELS[label.lower()]
    else:
        row["label"] = "unknown"
    return row


def read_huggingface(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """A local folder with parquet files, or one that `save_to_disk` wrote."""
    items: list[Item] = []
    for split, part in _open(path):
        if "image" not in part.column_names:
            problems.add(f"{split or 'set'}: no column image, only {', '.join(part.column_names)}")
            continue
        light = part.select_columns([c for c in ("record", "label") if c in part.column_names])
        for number in range(len(part)):
            cells = {c: part[number][c] for c in _PICTURES if c in part.column_names}
            if cells["image"] is None:
                problems.add(f"{split} row {number}: no picture")
                continue
            name = Path(cells["image"].get("path") or f"{split or 'picture'}-{number:07d}").name
            try:
                row = _row_of(light[number] if light.column_names else {}, part.features, split)
                record = Record.from_row(row | {"image": name, "mask": None, "donor_mask": None})
            except ValueError as error:
                problems.add(f"{split} row {number}: {error}")
                continue
            masks: list[Callable[[], np.ndarray] | None] = [
                partial(_mask, part, number, c) if cells.get(c) is not None else None for c in _PICTURES[1:]
            ]
            items.append(Item(record, partial(_bytes, part, number, "image"), *masks))
    return items


def write_huggingface(ready: Iterator[Ready], root: Path) -> None:
    """data/<split>-00000-of-00001.parquet; `datasets.load_dataset(folder)` reads it with pictures decoded."""
    datasets = _datasets()
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    picture = datasets.Image()
    text = datasets.Value("string")
    features = datasets.Features(
        {"image": picture, "mask": picture, "donor_mask": picture, "label": text, "record": text}
    )
    schema = features.arrow_schema
    (root / "data").mkdir(parents=True, exist_ok=True)
    writers: dict[str, Any] = {}
    waiting: dict[str, list[dict[str, Any]]] = {}

    def flush(split: str) -> None:
        rows = waiting.pop(split, [])
        if split not in writers:
            writers[split] = parquet.ParquetWriter(root / f"data/{split}-00000-of-00001.parquet", schema)
        writers[split].write_table(pyarrow.Table.from_pylist(rows, schema=schema))

    try:
        for item in ready:
            row = json.loads(item.record.to_json())
            row.pop("image")
            masks = {
                key: None if mask is None else {"bytes": png_bytes(mask), "path": f"{item.name}.png"}
                for key, mask in (("mask", item.mask), ("donor_mask", item.donor_mask))
            }
            image = {"bytes": read_bytes(item.image), "path": f"{item.name}{item.suffix}"}
            record = json.dumps(row, ensure_ascii=False)
            split = _SPLIT_WORDS[item.record.split]
            waiting.setdefault(split, []).append(
                {"image": image, **masks, "label": item.record.label, "record": record}
            )
            if len(waiting[split]) >= _ROWS_AT_ONCE:
                flush(split)
        for split in list(waiting):
            flush(split)
    finally:
        for writer in writers.values():
            writer.close()
