"""One conversion: read a layout, check everything, write another. All or nothing unless told to leave pictures out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from data_tools.convert.base import Item, Problems, Ready, make_ready, whole_folder
from data_tools.convert.layouts import LAYOUTS, Layout
from data_tools.schema import Record, Split
from fakeexplain.errors import OutputError, SettingsError, SourceError


@dataclass(frozen=True)
class Options:
    """What to set while converting.

    Attributes:
        images: folder that the paths in a list file are relative to; None for the list's own folder.
        licence: terms to write into records that state none.
        split: split of every record; None keeps what the layout says.
        origin: name of the data set; "" for the layout's name.
        link: hard-link pictures instead of copying them.
        skip: leave out pictures with problems instead of stopping.
        progress: show a bar on standard error.
    """

    images: Path | None = None
    licence: str = ""
    split: Split | None = None
    origin: str = ""
    link: bool = False
    skip: bool = False
    progress: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a conversion wrote, and what it left out and why (`skip` only)."""

    records: tuple[Record, ...]
    left_out: tuple[str, ...]


def layout_named(name: str, *, writing: bool = False) -> Layout:
    """Raises SettingsError for a name that is not in the list, or one that is not written."""
    if name not in LAYOUTS:
        raise SettingsError(f"no layout {name!r}; there are {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    if writing and layout.write is None:
        known = ", ".join(key for key, value in LAYOUTS.items() if value.write is not None)
        raise SettingsError(f"the layout {name} is only read; --to takes {known}")
    return layout


def _finish(item: Item, name: str, options: Options) -> Item:
    fields: dict[str, Any] = {}
    if not item.record.licence and options.licence:
        fields["licence"] = (options.licence,)
    if options.split is not None:
        fields["split"] = options.split
    if options.origin or not item.record.origin:
        fields["origin"] = options.origin or ("" if LAYOUTS[name].write is not None else name)
    return Item(item.record.updated(**fields), item.image, item.mask, item.donor_mask) if fields else item


def read_layout(path: Path, name: str, problems: Problems, options: Options | None = None) -> list[Item]:
    """Items of a data set; what is wrong with it is noted in `problems`.

    Raises:
        SettingsError: no such layout. SourceError: PATH does not exist or its list cannot be read at all.
    """
    options = options or Options()
    layout = layout_named(name)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    try:
        items = layout.read(path, problems, options.images)
    except OSError as error:
        raise SourceError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    if not items and not problems.texts:
        problems.add("no pictures in it")
    return [_finish(item, name, options) for item in items]


def convert(path: Path, from_name: str, to_name: str, out: Path, options: Options | None = None) -> Outcome:
    """Reads `path` in one layout and writes the folder `out` in another.

    Files are laid out beside `out` first and moved there when all went well.

    Raises:
        SourceError: the tree is wrong (one message that lists every problem), unless `skip`.
        SettingsError: unknown layout. OutputError: `out` is in use or cannot be written.
    """
    options = options or Options()
    layout = layout_named(to_name, writing=True)
    assert layout.write is not None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists and is not empty; choose another --out")
    problems = Problems(path)
    items = read_layout(path, from_name, problems, options)
    kept: list[Item] = []
    for item in items:
        reason = layout.refuses(item.record, item.mask is not None) if layout.refuses else None
        if reason is None:
            kept.append(item)
        else:
            problems.add(f"{item.record.image}: {reason}")
    written: list[Record] = []

    def checked() -> Iterator[Ready]:
        made = make_ready(kept, problems, link=options.link)
        console = Console(stderr=True)
        for ready in track(
            made, "converting", total=len(kept), console=console, transient=True, disable=not options.progress
        ):
            written.append(ready.record)
            yield ready

    with whole_folder(out) as temporary:
        layout.write(checked(), temporary)
        if not options.skip or not written:
            problems.raise_any("Mend the tree, or leave these pictures out with --skip." if written else "")
    return Outcome(tuple(written), tuple(problems.texts))
