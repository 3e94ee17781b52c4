"""The record of a training picture: one line of JSON, the same for forged, converted, reviewed and dialogue data.

A data set is a folder with a `manifest.jsonl` (any name) and the files it names by paths relative to itself. Records
are frozen and refuse unknown fields, so that a misspelt field is an error and not a silent loss. The rows that
`data_tools.forge` writes are read as they are: their `label` 0/1, `photo`, `host`, `operations` and `donors` are
understood here, in one place. `fakeexplain bench` reads the same lines ("image", "strata").

Deliberately left out: whether the files exist and agree with the record. That is `data_tools.check`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from data_tools.forge.photos import group_of
from data_tools.rle import mask_to_rle, rle_to_mask
from fakeexplain.errors import OutputError, SourceError
from fakeexplain.records import Evidence

SCHEMA_VERSION = "1.0"
IMAGE_TOKEN = "<image>"

Label = Literal["forged", "authentic", "unknown"]
Role = Literal["system", "user", "assistant", "tool"]
Split = Literal["train", "val", "test"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InlineMask(_Frozen):
    """A mask inside the record: COCO's run lengths, `size` is (height, width), `counts` a string or plain integers."""

    size: tuple[int, int]
    counts: str | tuple[int, ...]

    def mask(self) -> np.ndarray:
        """bool HxW. Raises SourceError for broken run lengths."""
        return rle_to_mask(self.size, self.counts)


MaskField = str | InlineMask | None


class TurnRegion(_Frozen):
    """The region a turn asks about: id ("R1"), box (xyxy source pixels, right and bottom exclusive), mask or words."""

    id: str = ""
    box_xyxy: tuple[int, int, int, int] | None = None
    mask: MaskField = None
    words: str = ""


class Message(_Frozen):
    """One turn. `content` of the first user turn holds `<image>` once; `evidence_ids` are those the turn rests on."""

    role: Role
    content: str
    evidence_ids: tuple[str, ...] = ()
    region: TurnRegion | None = None


class Record(_Frozen):
    """One picture with its truth and, where there are any, texts about it.

    Attributes:
        schema_version: of this form; the part before the dot changes when a reader must change.
        image: path relative to the data set's folder, forward slashes.
        sha256: hex digest of the picture's file; None where nobody has hashed it yet.
        width, height: of the upright picture, pixels.
        label: `authentic` may be processed as a whole (see `granularity`), but nothing in it was forged.
        mask: white (128 and more) or True where forged, upright frame: relative path, run lengths, or None.
        donor_mask: where copied content came from within this picture (copy-move).
        operations: what was done to the region, one name per edit, in order: splice, copy_move, ...
        history: everything that was done, in order, as JSON values.
        dialogue: turns about the picture.
        caption: what is plainly there. description: what was altered and why one can tell, as a text.
        evidence: measured facts the texts may cite, ids unique.
        source: name of the photograph behind the picture; pictures that share it must not be split. photo: its file.
        donors: names of the photographs that content was copied from; they bind a split too.
        licence: terms of the photographs in it, each once.
        split: where it belongs, None before `data_tools.split`. origin: name of the data set it came from.
        strata: what results are broken down by, e.g. {"size": "64"}.
        index, granularity, forged_fraction, format, jpeg_quality: as the forge states them.
    """

    schema_version: str = SCHEMA_VERSION
    image: str = Field(min_length=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    label: Label = "unknown"
    mask: MaskField = None
    donor_mask: MaskField = None
    operations: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    dialogue: tuple[Message, ...] = ()
    caption: str = ""
    description: str = ""
    evidence: tuple[Evidence, ...] = ()
    source: str = ""
    photo: str = ""
    donors: tuple[str, ...] = ()
    licence: tuple[str, ...] = ()
    split: Split | None = None
    origin: str = ""
    strata: dict[str, str] = Field(default_factory=dict)
    index: int | None = None
    granularity: str = ""
    forged_fraction: float | None = Field(default=None, ge=0, le=1)
    format: str = ""
    jpeg_quality: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _understand_forge(cls, data: Any) -> Any:
        """Brings rows of the forge and short forms into this form. Nothing is overwritten."""
        if not isinstance(data, dict):
            return data
        row = dict(data)
        if row.get("label") in (0, 1) and not isinstance(row["label"], str):
            row["label"] = "forged" if row["label"] else "authentic"
        elif "label" not in row and row.get("mask") is not None:
            row["label"] = "forged"  # the planted sets of the forge name a mask and no label
        if "operation" in row:
            name = row.pop("operation")
            if row.get("operations"):
                raise ValueError('both "operation" and "operations" are given; keep "operations"')
            row["operations"] = () if name in (None, "", "none") else (name,)
        if "host" in row:
            row.setdefault("photo", row.pop("host"))
        if isinstance(row.get("photo"), str) and row["photo"] and not row.get("source"):
            row["source"] = group_of(PurePosixPath(row["photo"]).stem)
        if isinstance(row.get("licence"), str):
            row["licence"] = (row["licence"],) if row["licence"] else ()
        if isinstance(row.get("strata"), dict):
            row["strata"] = {str(key): str(value) for key, value in row["strata"].items()}
        return row

    @field_validator("schema_version")
    @classmethod
    def _known_version(cls, value: str) -> str:
        if value.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise ValueError(f"record of schema {value}, this program reads {SCHEMA_VERSION}; update it")
        return value

    @property
    def operation(self) -> str:
        """ "none", the one operation, or "several"."""
        return "none" if not self.operations else self.operations[0] if len(self.operations) == 1 else "several"

    @property
    def donor_photographs(self) -> tuple[str, ...]:
        """`donors` as names like `source`: where the forge wrote them they are files, crops of one photograph apart."""
        return tuple(group_of(PurePosixPath(d).stem) if self.photo else d for d in self.donors)

    def to_json(self) -> str:
        """One line; fields that hold their default are left out.

        Raises:
            OutputError: a value that JSON has no word for (infinity, not-a-number, an array).
        """
        # Not mode="json": that would turn an infinity into null without a word.
        row = {"schema_version": self.schema_version} | self.model_dump(exclude_defaults=True)
        row.setdefault("label", self.label)
        try:
            return json.dumps(row, ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError) as error:
            raise OutputError(f"{self.image}: cannot be written as JSON ({error}); mend the record") from None

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Inverse of `to_json`.

        Raises:
            ValueError: in one line, everything that is wrong with it.
        """
        data = parse_json(line)
        if not isinstance(data, dict):
            raise ValueError(f"holds a {type(data).__name__}, wanted an object with at least an image")
        return cls.from_row(data)

    @classmethod
    def from_row(cls, data: dict[str, Any]) -> Record:
        """A record from JSON values. Raises ValueError as `from_json`."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ValueError("; ".join(_describe(item) for item in error.errors())) from None

    def updated(self, **fields: Any) -> Record:
        """The record with other field values, validated."""
        return Record.model_validate({name: getattr(self, name) for name in self.model_fields_set} | fields)


def parse_json(text: str) -> Any:
    """Values of a JSON text. Raises ValueError for what is none, is nested too deeply, or cannot be written back."""
    try:
        data = json.loads(text)
        if "\\ud" in text.lower():  # half of a character, which no UTF-8 file can hold
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("no JSON (holds half of a surrogate pair)") from None
    except RecursionError:
        raise ValueError("no JSON (nested too deeply)") from None
    except ValueError as error:
        raise ValueError(f"no JSON ({error})") from None
    return data


def is_file(path: Path) -> bool:
    """Whether there is such a file; no name is too strange to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _describe(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "record"
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown field"
    if item["type"] == "missing":
        return f"{where}: missing"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}"


def path_problem(relative: str) -> str | None:
    """What is wrong with a path in a record ("absolute", "leads out of the data set", ...); None where it is fine."""
    if (
        PurePosixPath(relative).is_absolute()
        or PureWindowsPath(relative).is_absolute()
        or PureWindowsPath(relative).drive
    ):
        return "is absolute; wanted a path relative to the data set's folder"
    if "\\" in relative:
        return "has backslashes; wanted forward slashes"
    if ".." in PurePosixPath(relative).parts:
        return "leads out of the data set's folder (..)"
    if "\0" in relative:
        return "has a zero character"
    return None


def resolve(root: Path, relative: str) -> Path:
    """The file a record's path names.

    Raises:
        SourceError: absolute, or leading out of the folder (by "..", or by a link).
    """
    problem = path_problem(relative)
    path = root / relative
    try:
        if problem is None and not path.resolve().is_relative_to(root.resolve()):
            problem = "leads out of the data set's folder by a link"
    except (OSError, ValueError, RuntimeError):
        problem = "is no path that can be followed"
    if problem is not None:
        raise SourceError(f"{relative} {problem}")
    return path


def read_mask(field: str | InlineMask, root: Path) -> np.ndarray:
    """bool HxW of a record's `mask` or `donor_mask`; in files, values of 128 and more are True.

    Raises:
        SourceError: missing, unreadable or broken.
    """
    if isinstance(field, InlineMask):
        return field.mask()
    path = resolve(root, field)
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L")) >= 128
    except FileNotFoundError:
        raise SourceError(f"{field} does not exist") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceError(f"{field} cannot be read as a picture ({error})") from None


def inline_mask(mask: np.ndarray) -> InlineMask:
    """bool HxW -> compressed run lengths for a record."""
    return InlineMask.model_validate(mask_to_rle(mask))


def read_lines(path: Path) -> Iterator[tuple[int, Record | str]]:
    """(line number, record or what is wrong with the line), streaming; empty lines are passed over.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if not raw.strip():
                    continue
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    yield number, f"is not UTF-8 ({error.reason} at byte {error.start})"
                    continue
                try:
                    yield number, Record.from_json(line)
                except ValueError as error:
                    yield number, str(error)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; wanted records, one JSON object a line") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_jsonl(path: Path) -> Iterator[Record]:
    """Records of a file, streaming.

    Raises:
        SourceError: at the first line that is not a record, with its number and everything wrong with it.
    """
    for number, item in read_lines(path):
        if isinstance(item, str):
            raise SourceError(f"{path}: line {number}: {item}")
        yield item


def write_jsonl(records: Iterable[Record], path: Path) -> int:
    """Writes records, one a line, and returns how many. All or nothing: a file of that name stays until all is written.

    Raises:
        OutputError: the folder cannot be written; or a record names files outside the data set.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
        count = 0
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            for record in records:
                for field in (record.image, record.mask, record.donor_mask):
                    if isinstance(field, str) and (problem := path_problem(field)):
                        raise OutputError(f"{path}: record {count + 1}: {field} {problem}")
                file.write(record.to_json() + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        return count
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
