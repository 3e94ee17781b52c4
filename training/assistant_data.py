"""Dialogues and descriptions of any supported layout as one memory-mapped table with random access.

Read are: records of this project and chat messages (.jsonl), LLaVA's and ShareGPT's JSON, and folders of Hugging Face
`datasets` (parquet, save_to_disk). Each source is read once, streamed into an Arrow file below `cache`, and opened by
`datasets` without loading it: a table of a million dialogues costs as much memory as one of ten. Whatever is wrong with
a source is told before training begins, with the record and the reason.

Deliberately left out: prompts and tokens (`assistant_prompts`, `assistant_samples`).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.convert.base import Item, Problems, read_source
from data_tools.convert.dialogues import read_llava, read_messages, read_sharegpt
from data_tools.convert.huggingface import read_huggingface
from data_tools.convert.lists import load_json
from data_tools.instructions.short_answers import SHORT_FILE
from data_tools.instructions.write import FILES
from data_tools.schema import Record, inline_mask, is_file, path_problem, read_lines, resolve
from fakeexplain.errors import OutputError, SourceError

TABLE_VERSION = 1  # raise it whenever rows change, so that no old cache is read
_SHOWN = 20  # problems told at once


@dataclass(frozen=True)
class Row:
    """One record with where its picture is.

    Attributes:
        number: in its table. record: as in `data_tools.schema`.
        root: folder that paths in the record are relative to.
        image: bytes of the picture where it lies inside a larger file.
    """

    number: int
    record: Record
    root: Path
    image: bytes | None = None

    @property
    def picture(self) -> Path | bytes:
        """The picture's file, or its bytes. Raises SourceError for a path that leads out of `root`."""
        return self.image if self.image is not None else resolve(self.root, self.record.image)


class RowTable:
    """Rows by number, from one or several Arrow files."""

    def __init__(self, table: Any, fingerprint: str = "") -> None:
        self._table = table
        self.fingerprint = fingerprint  # changes when anything in the table does

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, number: int) -> Row:
        row = self._table[number]
        return Row(number, Record.from_json(row["record"]), Path(row["root"]), row["image"])

    def __iter__(self) -> Iterator[Row]:
        for number in range(len(self)):
            yield self[number]

    def held_out(self, share: float) -> tuple[list[int], list[int]]:
        """(numbers to train on, numbers held out). The record's own split decides where it has one (`test` is in
        neither); else the photograph does: what shares one is never parted."""
        sides: tuple[list[int], list[int]] = ([], [])
        columns = zip(self._table["split"], self._table["photograph"], strict=True)
        for number, (split, photograph) in enumerate(columns):
            if split != "test":
                sides[split == "val" if split else is_held_out(photograph, share)].append(number)
        return sides


def is_held_out(photograph: str, share: float) -> bool:
    """Side of a photograph, from a hash of its name: it does not change when others are added."""
    digest = hashlib.sha256(f"dialogues:{photograph}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def open_records(sources: tuple[Path, ...], *, cache: Path, images: Path | None = None) -> RowTable:
    """All rows of all sources, in their order. A source that has not changed is read from `cache`.

    Args:
        sources: files or folders, see the module.
        cache: folder for Arrow files, made where it is missing.
        images: folder that pictures in list files are relative to; None for each file's own folder.

    Raises:
        SourceError: a source cannot be read or holds what is no record; up to 20 problems are told.
        OutputError: `cache` cannot be written.
    """
    datasets: Any = importlib.import_module("datasets")
    if not sources:
        raise SourceError(
            "data.sources: none given; wanted records (.jsonl), LLaVA or ShareGPT JSON, or a datasets folder"
        )
    files = [_cached(file, cache, images) for source in sources for file in expand(source)]
    parts = [datasets.Dataset.from_file(str(file)) for file in files]
    table = datasets.concatenate_datasets(parts) if len(parts) > 1 else parts[0]
    if not len(table):
        raise SourceError(f"{', '.join(map(str, sources))}: no records in there")
    return RowTable(table, " ".join(file.stem for file in files))


def expand(source: Path) -> list[Path]:
    """A folder that `data_tools.instructions write` made stands for its files, one with a manifest.jsonl for that.

    Anything else stands for itself.
    """
    if source.is_dir() and (found := [source / name for name in (*FILES, SHORT_FILE) if is_file(source / name)]):
        return found
    return [source / "manifest.jsonl"] if is_file(source / "manifest.jsonl") else [source]


def _cached(source: Path, cache: Path, images: Path | None) -> Path:
    """The Arrow file of a source, written unless it is there."""
    datasets: Any = importlib.import_module("datasets")
    arrow_writer: Any = importlib.import_module("datasets.arrow_writer")
    name = hashlib.sha256(json.dumps([TABLE_VERSION, _state(source), str(images)]).encode()).hexdigest()[:16]
    target = cache / f"rows-{name}.arrow"
    if target.is_file():
        return target
    text, binary = datasets.Value("string"), datasets.Value("binary")
    values = datasets.Features({"record": text, "root": text, "image": binary, "split": text, "photograph": text})
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with arrow_writer.ArrowWriter(features=values, path=str(partial), writer_batch_size=256) as writer:
            for record, root, image in _read(source, images):
                writer.write(
                    {
                        "record": record.to_json(),
                        "root": str(root.resolve()),
                        "image": image,
                        "split": record.split or "",
                        # What binds records to one side of a split: the photograph behind them, else the picture.
                        "photograph": record.source or record.sha256 or record.image,
                    }
                )
            writer.finalize()
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(f"{cache}: cannot be written ({error.strerror or error})") from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def _state(source: Path) -> list[list[Any]]:
    """Names, sizes and times of a source's files: when one changes, the cache is no longer it."""
    try:
        files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        return [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    except OSError as error:
        raise SourceError(f"{source}: cannot be read ({error.strerror or error})") from None


def _read(source: Path, images: Path | None) -> Iterator[tuple[Record, Path, bytes | None]]:
    """(record with inline masks or none, folder, bytes of the picture) of one source."""
    problems = Problems(source)
    if source.suffix == ".jsonl" and not _holds_messages(source):
        yield from _read_records(source, images or source.parent, problems)
    else:
        for number, item in enumerate(_reader(source)(source, problems, images), start=1):
            try:
                yield _placed(item, images or (source if source.is_dir() else source.parent))
            except SourceError as error:
                problems.add(f"entry {number}: {error}")
    del problems.texts[_SHOWN:]
    problems.raise_any("Mend these, or leave them out.")


def _read_records(source: Path, root: Path, problems: Problems) -> Iterator[tuple[Record, Path, None]]:
    for number, found in read_lines(source):
        if isinstance(found, str):
            problems.add(f"line {number}: {found}")
        elif reason := _refused(found, root):
            problems.add(f"line {number}: {reason}")
        else:
            yield found, root, None


def _refused(record: Record, root: Path) -> str | None:
    if problem := path_problem(record.image):
        return f"{record.image} {problem}"
    if not is_file(root / record.image):
        return f"{record.image} does not exist below {root}"
    if not record.dialogue and not record.caption and not record.description:
        return "neither a dialogue nor a caption nor a description: nothing to learn from"
    return None


def _holds_messages(source: Path) -> bool:
    """Whether a .jsonl file holds chat messages and not records: by the keys of its first line."""
    try:
        with source.open(encoding="utf-8-sig") as file:
            first = json.loads(next((line for line in file if line.strip()), "{}"))
    except (OSError, ValueError):
        return False  # the reader of records says what is wrong with it
    return isinstance(first, dict) and "messages" in first


def _reader(source: Path) -> Callable[[Path, Problems, Path | None], list[Item]]:
    if source.is_dir():
        return read_huggingface
    if source.suffix == ".jsonl":
        return read_messages
    if source.suffix != ".json":
        raise SourceError(f"{source}: wanted .jsonl, .json or a folder that datasets reads")
    entries = load_json(source)
    first = entries[0] if isinstance(entries, list) and entries else {}
    if isinstance(first, dict) and "messages" in first:
        return read_messages
    return read_sharegpt if isinstance(first, dict) and "images" in first else read_llava


def _placed(item: Item, root: Path) -> tuple[Record, Path, bytes | None]:
    """An item of a layout as a record that carries its masks inline."""
    masks: dict[str, Any] = {}
    for name, source in (("mask", item.mask), ("donor_mask", item.donor_mask)):
        mask = read_source(source)
        if mask is not None:
            masks[name] = inline_mask(mask)
    record = item.record.updated(**masks) if masks else item.record
    if not record.dialogue and not record.caption and not record.description:
        raise SourceError(f"{record.image}: neither a dialogue nor a caption nor a description: nothing to learn from")
    if isinstance(item.image, Path):
        return record.updated(image=item.image.name), item.image.parent, None
    return record, root, item.image if isinstance(item.image, bytes) else item.image()
