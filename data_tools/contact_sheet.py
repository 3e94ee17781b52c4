"""A data set at a glance: thumbnails with outlined masks, and what is in it in figures.

    python -m data_tools.contact_sheet DATASET --out sheet.png --count 48

Works on any folder with a manifest.jsonl (`data_tools.schema`). Thumbnails are sorted by operation; forged regions are
outlined in orange, places that content was copied from in blue. The figures are counted over the whole manifest, not
over the thumbnails. Deliberately left out: judging any of it (`data_tools.check`, `data_tools.shortcuts`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import cv2
import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_tools.forge.config import SameContent
from data_tools.schema import MaskField, Record, read_jsonl, read_mask, resolve
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError, SourceError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.report.overlay import COLOURS, outline

_GAP, _LINE = 6, 13  # pixels between thumbnails; height of a line of caption
_PAPER, _INK = (250, 250, 248), (24, 26, 30)
_SAME_CONTENT = frozenset(get_args(SameContent))
_AREA_PERCENTILES = (1, 10, 25, 50, 75, 90, 99)


# --- the sheet ------------------------------------------------------------------------------------------------------


def choose(records: Sequence[Record], count: int, seed: int = 0) -> list[Record]:
    """`count` records drawn by chance (all where there are fewer), authentic ones first, then by operation."""
    drawn = np.random.default_rng(seed).permutation(len(records))[:count]
    chosen = [records[i] for i in sorted(drawn)]
    return sorted(chosen, key=lambda r: (r.label != "authentic", len(r.operations), r.operations, r.granularity))


def caption(record: Record, forged_fraction: float | None) -> tuple[str, str]:
    """Two lines: what was done; how large the region is (or the granularity) and what kind of file it is."""
    first = ", ".join(name.replace("_", " ") for name in record.operations) or record.label
    size = f"{100 * forged_fraction:.2g} %" if forged_fraction else record.granularity
    quality = f" {record.jpeg_quality}" if record.jpeg_quality is not None else ""
    return first, "  ".join(part for part in (size, f"{record.format}{quality}") if part)


def thumbnail(record: Record, root: Path, side: int) -> tuple[np.ndarray, float | None]:
    """Picture of a record, its longer side `side` pixels, with outlines.

    Returns:
        uint8 hxwx3, share of the picture that is forged (None without a mask).

    Raises:
        SourceError: a file of the record is missing, unreadable, or its mask is of another size.
    """
    source = SourceImage.from_path(resolve(root, record.image))
    height, width = source.rgb.shape[:2]
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    small = cv2.resize(source.rgb, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    fraction = None
    marks: tuple[tuple[MaskField, int], ...] = ((record.donor_mask, 1), (record.mask, 0))
    for field, colour in marks:  # the forged region last: it lies on top
        if field is None:
            continue
        mask = read_mask(field, root)
        if mask.shape != (height, width):
            raise SourceError(f"{record.image}: mask of {mask.shape[1]}x{mask.shape[0]}, picture of {width}x{height}")
        if colour == 0:
            fraction = float(mask.mean())
        # A region that is thinner than a pixel of the thumbnail still has to be seen.
        share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        reduced = share >= min(0.5, 0.5 * float(share.max()))
        if mask.any():
            small = outline(small, reduced, COLOURS[colour])
    return small, fraction


def contact_sheet(records: Sequence[Record], root: Path, *, columns: int = 8, side: int = 150) -> Image.Image:
    """All records on one sheet, in order, row by row.

    Args:
        records: at least one; paths relative to `root`.
        columns: thumbnails in a row.
        side: longer side of a thumbnail in pixels.

    Raises:
        SettingsError: no records. SourceError: see `thumbnail`.
    """
    if not records:
        raise SettingsError("there are no records to show; choose another data set")
    columns = min(columns, len(records))
    rows = -(-len(records) // columns)
    cell_width, cell_height = side + _GAP, side + 2 * _LINE + _GAP + 4
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, record in enumerate(records):
        picture, fraction = thumbnail(record, root, side)
        x, y = _GAP + number % columns * cell_width, _GAP + number // columns * cell_height
        height, width = picture.shape[:2]
        sheet.paste(Image.fromarray(picture), (x + (side - width) // 2, y + (side - height) // 2))
        for line, text in enumerate(caption(record, fraction)):
            draw.text((x, y + side + 2 + line * _LINE), _fitted(text, font, side), _INK, font)
    return sheet


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened with an ellipsis to `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def save_sheet(sheet: Image.Image, path: Path, *, palette: bool = False) -> None:
    """Writes the sheet in the format its name ends in; with `palette` in 256 colours, a third of the size as PNG.

    Raises:
        OutputError: the folder cannot be written, or the ending names no picture format.
    """
    if palette:
        sheet = sheet.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        if path.suffix.lower() != ".png":
            sheet = sheet.convert("RGB")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, optimize=True)
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); choose a name that ends in .png or .jpg") from None


# --- the figures ----------------------------------------------------------------------------------------------------


def composition(records: Sequence[Record]) -> dict[str, Counter[str]]:
    """Counts over a data set: granularity or label per picture, operation and shape per edit, format per picture."""
    shapes = [str(e["shape"]) for r in records for e in r.history if e.get("on") == "region" and "shape" in e]
    return {
        "granularity": Counter(r.granularity or r.label for r in records),
        "operation": Counter(name for r in records for name in r.operations),
        "shape": Counter(shapes),
        "format": Counter(r.format or "not stated" for r in records),
    }


def same_content_share(records: Sequence[Record]) -> float | None:
    """Share of the forged pictures with known operations in which all edits only process the region's own content."""
    known = [set(r.operations) for r in records if r.label == "forged" and r.operations]
    return sum(names <= _SAME_CONTENT for names in known) / len(known) if known else None


def area_percentiles(records: Sequence[Record]) -> dict[int, float]:
    """Percentiles of the forged share of the picture, forged pictures that state it only; {} where none does."""
    fractions = [r.forged_fraction for r in records if r.label == "forged" and r.forged_fraction is not None]
    if not fractions:
        return {}
    return dict(zip(_AREA_PERCENTILES, np.percentile(fractions, _AREA_PERCENTILES).tolist(), strict=True))


def _show(records: Sequence[Record], console: Console) -> None:
    table = Table("", "value", "count", "share")
    for name, counts in composition(records).items():
        for value, count in counts.most_common():
            table.add_row(name, escape(value), str(count), f"{100 * count / counts.total():.1f} %")
    console.print(table)
    areas = "   ".join(f"{q} %: {100 * area:.2f} %" for q, area in area_percentiles(records).items())
    if areas:
        console.print(f"forged area, percentiles: {areas}", highlight=False, soft_wrap=True)
    share = same_content_share(records)
    if share is not None:
        console.print(f"forged pictures whose content is the host's own: {100 * share:.1f} %", highlight=False)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder with manifest.jsonl, or a .jsonl file.")],
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")],
    count: Annotated[int, typer.Option(min=1, help="How many thumbnails.")] = 48,
    columns: Annotated[int, typer.Option(min=1, help="Thumbnails in a row.")] = 8,
    side: Annotated[int, typer.Option(min=32, help="Longer side of a thumbnail in pixels.")] = 150,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of pictures.")] = 0,
    palette: Annotated[bool, typer.Option("--palette", help="256 colours, for a small PNG.")] = False,
) -> None:
    """Draw a contact sheet of a data set and count what is in it."""
    manifest = dataset / "manifest.jsonl" if dataset.is_dir() else dataset
    try:
        records = list(read_jsonl(manifest))
        sheet = contact_sheet(choose(records, count, seed), manifest.parent, columns=columns, side=side)
        save_sheet(sheet, out, palette=palette)
    except FakeExplainError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    console = Console()
    _show(records, console)
    shown = min(count, len(records))
    console.print(f"{shown} of {len(records)} pictures on {escape(str(out))}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app(prog_name="python -m data_tools.contact_sheet")
