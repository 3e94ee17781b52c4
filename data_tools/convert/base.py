"""What all layouts share: items, mask codings, the list of problems, and the placing of files.

A reader turns a folder into `Item`s (nothing is decoded yet) and notes every problem it meets; a writer receives
`Ready` items one at a time (one picture's masks in memory) and lays them out. The coding of a mask belongs to the
layout and is written down there: it is never guessed from a picture.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from data_tools.schema import Record
from fakeexplain.errors import FakeExplainError, OutputError, SourceError
from fakeexplain.imaging.source import SUFFIXES, SourceImage

_UNSAFE = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class MaskCoding:
    """How a layout marks forged pixels: `channel` is `at_least` or `at_most` a level, or greener than red.

    Attributes:
        rule: "at_least", "at_most" (of the grey value), or "green" (green above red: coloured edge masks).
        level: grey level in [0, 255] for the first two.
    """

    rule: Literal["at_least", "at_most", "green"] = "at_least"
    level: int = 128

    def decode(self, image: Image.Image) -> np.ndarray:
        """bool HxW, True where forged."""
        if self.rule == "green":
            rgb = np.asarray(image.convert("RGB")).astype(np.int16)
            return rgb[..., 1] > rgb[..., 0]
        if image.mode in ("I;16", "I;16B", "I"):
            raise SourceError("has 16 bits a pixel; no layout here is known to have such masks")
        grey = np.asarray(image.convert("L"))
        return grey >= self.level if self.rule == "at_least" else grey <= self.level


WHITE = MaskCoding("at_least", 128)
NONZERO = MaskCoding("at_least", 1)
BLACK = MaskCoding("at_most", 127)


@dataclass(frozen=True)
class MaskFile:
    """A mask file and how it is coded."""

    path: Path
    coding: MaskCoding = WHITE

    def read(self) -> np.ndarray:
        """bool HxW. Raises SourceError for a missing or unreadable file."""
        try:
            with Image.open(self.path) as image:
                return self.coding.decode(image)
        except SourceError as error:
            raise SourceError(f"mask {self.path.name} {error}") from None
        except FileNotFoundError:
            raise SourceError(f"mask {self.path.name} does not exist") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SourceError(f"mask {self.path.name} cannot be read ({error})") from None


# A callable stands for what lies inside a larger file and is fetched when its turn comes.
MaskSource = MaskFile | np.ndarray | Callable[[], np.ndarray] | None
ImageSource = Path | bytes | Callable[[], bytes]


def read_source(mask: MaskSource) -> np.ndarray | None:
    """bool HxW, or None where there is none. Raises SourceError."""
    if isinstance(mask, MaskFile):
        return mask.read()
    return mask if mask is None or isinstance(mask, np.ndarray) else mask()


@dataclass(frozen=True, eq=False)
class Item:
    """One picture as a reader found it.

    Attributes:
        record: what the layout says about it; `image` is its path below the folder that was read, masks are not set.
        image: the file, or its bytes.
        mask, donor_mask: files to decode, or bool HxW; None where there is none.
    """

    record: Record
    image: ImageSource
    mask: MaskSource = None
    donor_mask: MaskSource = None


@dataclass(eq=False)
class Problems:
    """Everything that is wrong with a tree, to be told at once. `path` is what was read."""

    path: Path
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.texts.append(text)

    def raise_any(self, hint: str = "") -> None:
        """Raises SourceError naming every problem, if there are any."""
        if self.texts:
            count = len(self.texts)
            head = f"{self.path}: {count} problem{'s' if count > 1 else ''}"
            raise SourceError("\n".join([head, *(f"  - {text}" for text in self.texts), *([hint] if hint else [])]))


@dataclass(frozen=True, eq=False)
class Ready:
    """A checked item: its unique name, its bytes, its decoded masks, its record with hash and size filled in."""

    name: str
    suffix: str
    record: Record
    mask: np.ndarray | None
    donor_mask: np.ndarray | None
    image: Path | bytes
    link: bool = False

    def save_image(self, root: Path, folder: str) -> str:
        """Copies (or hard-links) the picture's file to root/folder/name.suffix, byte for byte; returns that path."""
        target = root / folder / f"{self.name}{self.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.image, bytes):
            target.write_bytes(self.image)
        elif self.link:
            try:
                os.link(self.image.resolve(), target)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(self.image, target)
        else:
            shutil.copyfile(self.image, target)
        return f"{folder}/{target.name}"

    def save_mask(self, root: Path, folder: str, mask: np.ndarray, suffix: str = "") -> str:
        """Writes bool HxW as an 8-bit PNG, 255 where forged, to root/folder/name+suffix.png; returns that path."""
        target = root / folder / f"{self.name}{suffix}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(target)
        return f"{folder}/{target.name}"


def unique_names(items: Iterable[Item]) -> list[str]:
    """A file name without ending for each item, in order: the stem where no other item shares it (whatever its ending
    or capitals), else the folders before it too, else a number behind."""
    stems: list[tuple[str, str]] = []
    for item in items:
        parts = Path(item.record.image).with_suffix("").parts
        stems.append((_safe(parts[-1]), _safe("-".join(parts))))
    seen: dict[str, int] = {}
    for stem, _ in stems:
        seen[stem.lower()] = seen.get(stem.lower(), 0) + 1
    names: list[str] = []
    taken: set[str] = set()
    for stem, full in stems:
        base = stem if seen[stem.lower()] == 1 else full
        name, number = base, 2
        while name.lower() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text).lstrip(".") or "picture"


def make_ready(items: list[Item], problems: Problems, *, link: bool) -> Iterator[Ready]:
    """Decodes and checks items one at a time. What is wrong with one is noted and the item left out."""
    for item, name in zip(items, unique_names(items), strict=True):
        try:
            yield _ready(item, name, link)
        except FakeExplainError as error:
            problems.add(f"{item.record.image}: {error}")


def _ready(item: Item, name: str, link: bool) -> Ready:
    image = item.image if isinstance(item.image, Path | bytes) else item.image()
    source = (
        SourceImage.from_bytes(image, name="picture")
        if isinstance(image, bytes)
        else SourceImage.from_path(image, name="picture")
    )
    masks = [read_source(m) for m in (item.mask, item.donor_mask)]
    for what, mask in zip(("mask", "donor mask"), masks, strict=True):
        if mask is not None and mask.shape != (source.height, source.width):
            raise SourceError(
                f"{what} is {mask.shape[1]}x{mask.shape[0]}, the picture {source.width}x{source.height} pixels"
            )
    mask, donor_mask = masks
    if item.record.label == "forged" and mask is not None and not mask.any():
        raise SourceError("is forged, but its mask marks nothing")
    if item.record.label == "authentic" and mask is not None and mask.any():
        raise SourceError("is authentic, but its mask marks something")
    said = item.record.sha256
    if said is not None and said != source.sha256:
        raise SourceError(f"sha256 is {source.sha256}, the record says {said}")
    suffix = Path(item.record.image).suffix.lower()
    suffix = suffix if suffix in SUFFIXES else f".{source.format.lower().replace('jpeg', 'jpg')}"
    record = item.record.updated(sha256=source.sha256, width=source.width, height=source.height)
    return Ready(name, suffix, record, mask, donor_mask, image, link)


def pictures(folder: Path) -> list[Path]:
    """Picture files directly in a folder, sorted; hidden files are passed over. [] where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def need_folder(root: Path, names: tuple[str, ...], problems: Problems) -> Path | None:
    """The first of some folders below `root` that exists, in whatever capitals; else a problem that names them all."""
    for name in names:
        folder: Path | None = root
        for part in name.split("/"):
            below = sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []
            folder = next((p for p in below if p.name.lower() == part.lower() and p.is_dir()), None)
        if folder is not None:
            return folder
    problems.add(f"no folder {' or '.join(f'{name}/' for name in names)}")
    return None


def pair_masks(
    images: list[Path],
    masks: list[Path],
    stem_of_mask: Callable[[Path], str],
    stem_of_image: Callable[[Path], str],
    root: Path,
    problems: Problems,
) -> dict[Path, Path]:
    """Image -> mask by name; every image without a mask, mask without an image and doubled name is a problem."""
    by_stem: dict[str, Path] = {}
    for path in masks:
        stem = stem_of_mask(path)
        if stem in by_stem:
            problems.add(f"{relative(path, root)}: a second mask for {stem}, beside {relative(by_stem[stem], root)}")
        by_stem.setdefault(stem, path)
    paired: dict[Path, Path] = {}
    used: set[str] = set()
    for path in images:
        stem = stem_of_image(path)
        used.add(stem)
        if stem in by_stem:
            paired[path] = by_stem[stem]
        else:
            problems.add(f"{relative(path, root)}: no mask")
    for stem, path in by_stem.items():
        if stem not in used:
            problems.add(f"{relative(path, root)}: mask without a picture")
    return paired


def stem(path: Path) -> str:
    return path.stem


def stem_without(suffix: str) -> Callable[[Path], str]:
    """The stem less a suffix such as "_gt"; stems without it are kept and so stand out as unmatched."""
    return lambda path: path.stem.removesuffix(suffix)


def relative(path: Path, root: Path) -> str:
    """Path below `root` with forward slashes."""
    return path.relative_to(root).as_posix()


def inside(root: Path, text: str) -> Path:
    """The file a foreign list names: relative to `root`, or absolute and below it; backslashes are understood.

    Raises:
        SourceError: it lies elsewhere.
    """
    try:
        path = (root / text.replace("\\", "/")).resolve()
    except (OSError, ValueError, RuntimeError):
        raise SourceError(f"{text!r}: is no path that can be followed") from None
    if not path.is_relative_to(root.resolve()):
        raise SourceError(f"{text}: lies outside {root}; say with --images where the pictures are")
    return path


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `out` (missing or empty) at the end, or is removed on any error.

    Raises:
        OutputError: it cannot be written.
    """
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        yield temporary
        if out.exists():
            out.rmdir()
        os.chmod(temporary, 0o755)
        os.replace(temporary, out)
        temporary = None
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None
    except UnicodeEncodeError:
        raise OutputError(f"{path}: a text holds half of a surrogate pair, which no file can hold") from None


def read_bytes(image: Path | bytes) -> bytes:
    return image if isinstance(image, bytes) else image.read_bytes()


def png_bytes(mask: np.ndarray) -> bytes:
    """bool HxW -> PNG, 255 where True."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(buffer, format="PNG")
    return buffer.getvalue()
