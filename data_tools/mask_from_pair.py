"""Masks from pairs on the command line: an original and its edited copy -> a mask with a score of how far to trust it.

    python -m data_tools.mask_from_pair ORIGINAL EDITED --out mask.png
    python -m data_tools.mask_from_pair --originals DIR --edited DIR --out DIR      # paired by stem, resumable

Exit codes: 0 every pair was compared (whatever its quality), 1 some could not be (unreadable, or registration failed:
then there is no mask), 2 wrong usage, 3 cannot write, 130 interrupted. Deliberately left out: the comparison itself
(`fakeexplain.imaging.pair_mask`), recursion into folders, and any decision which masks to keep (that is the reader's,
with the quality in table.csv).
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fakeexplain.errors import FakeExplainError, MeasurementError, OutputError, SettingsError
from fakeexplain.imaging.pair_mask import mask_from_sources
from fakeexplain.imaging.source import SUFFIXES, SourceImage, printable

_SHEET_ROWS, _SHEET_SIDE = 40, 220
_TABLE_FIELDS = ("stem", "quality", "area_fraction", "reasons", "original", "edited", "error")


def _save_png(array: np.ndarray, path: Path) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(part, "PNG")
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from None


def pair_by_stem(originals: Path, edited: Path) -> tuple[list[tuple[str, Path, Path]], list[str]]:
    """([(stem, original, edited)] sorted, one line for each picture without a partner or with several).

    Raises:
        SettingsError: a folder is missing.
    """
    found: list[dict[str, list[Path]]] = []
    for folder in (originals, edited):
        if not folder.is_dir():
            raise SettingsError(f"{folder}: no such folder; wanted a folder of pictures")
        stems: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix.lower() in SUFFIXES:
                stems.setdefault(path.stem, []).append(path)
        found.append(stems)
    pairs, problems = [], []
    for stem in sorted(found[0].keys() | found[1].keys()):
        sides = [stems.get(stem, []) for stems in found]
        if len(sides[0]) == len(sides[1]) == 1:
            pairs.append((stem, sides[0][0], sides[1][0]))
            continue
        for folder, paths in zip((originals, edited), sides, strict=True):
            if not paths:
                problems.append(f"{printable(stem)}: no partner in {folder}")
            elif len(paths) > 1:
                problems.append(f"{printable(stem)}: {len(paths)} pictures of this stem in {folder}, wanted one")
    return pairs, problems


def _one(stem: str, original: Path, edited: Path, out: Path, done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Row of one pair; from an earlier run when both files are still the same."""
    row: dict[str, Any] = {"stem": stem, "original": original.name, "edited": edited.name, "error": ""}
    mask_path = out / "masks" / f"{stem}.png"
    try:
        row["sha256"] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (original, edited)]
        earlier = done.get(stem)
        if earlier is not None and earlier.get("sha256") == row["sha256"] and mask_path.is_file():
            return earlier
        found = mask_from_sources(SourceImage.from_path(original), SourceImage.from_path(edited))
    except (FakeExplainError, OSError) as error:
        return {**row, "error": printable(str(error)), "quality": 0.0, "area_fraction": 0.0, "reasons": []}
    if not found.found:
        return {**row, "error": found.reasons[0], "quality": 0.0, "area_fraction": 0.0, "reasons": []}
    _save_png(np.rint(found.difference_map * 255).astype(np.uint8), out / "differences" / f"{stem}.png")
    _save_png(found.mask.astype(np.uint8) * 255, mask_path)
    row |= {"quality": found.quality, "area_fraction": float(found.mask.mean()), "reasons": list(found.reasons)}
    return row | {"figures": found.figures, "transform": found.transform.tolist()}


def contact_sheet(rows: list[dict[str, Any]], originals: Path, edited: Path, out: Path) -> np.ndarray:
    """uint8 HxWx3: original, edited, difference, outline of the mask and quality of at most 40 pairs, worst first."""
    shown = sorted((r for r in rows if not r["error"]), key=lambda r: float(r["quality"]))[:_SHEET_ROWS]
    sheet = Image.new("RGB", (4 * (_SHEET_SIDE + 6) + 330, max(len(shown), 1) * (_SHEET_SIDE + 6)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(shown):
        y = number * (_SHEET_SIDE + 6)
        before = SourceImage.from_path(originals / row["original"]).rgb
        after = SourceImage.from_path(edited / row["edited"]).rgb
        with Image.open(out / "masks" / f"{row['stem']}.png") as image:
            mask = np.asarray(image) > 0
        with Image.open(out / "differences" / f"{row['stem']}.png") as image:
            difference = np.repeat(np.asarray(image)[..., None], 3, axis=2)
        outlined = after.copy()
        width = max(1, round(max(mask.shape) / _SHEET_SIDE))
        edge = cv2.morphologyEx(
            mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        )
        outlined[edge > 0] = (255, 0, 90)
        for column, picture in enumerate((before, after, difference, outlined)):
            thumbnail = Image.fromarray(picture)
            thumbnail.thumbnail((_SHEET_SIDE, _SHEET_SIDE), Image.Resampling.BOX)
            sheet.paste(thumbnail, (column * (_SHEET_SIDE + 6), y))
        text = [printable(row["stem"], 48), f"quality {row['quality']:.2f}, area {100 * row['area_fraction']:.2f} %"]
        text += [line for reason in row["reasons"] for line in (reason[:52], reason[52:104]) if line]
        draw.multiline_text((4 * (_SHEET_SIDE + 6) + 6, y + 6), "\n".join(text), fill="black")
    return np.asarray(sheet)


def run_batch(
    originals: Path, edited: Path, out: Path, *, quiet: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """Masks of all pairs of two folders into `out`: masks/, differences/, pairs.jsonl, table.csv, contact_sheet.png.

    An interrupted run is taken up again; a pair is done anew when one of its files has changed.

    Returns:
        (rows, one line per picture without partner).

    Raises:
        SettingsError: a folder is missing, or no two pictures share a stem.
        OutputError: `out` cannot be written.
    """
    pairs, problems = pair_by_stem(originals, edited)
    if not pairs:
        raise SettingsError(f"no two pictures share a stem in {originals} and {edited}; pairs are found by file name")
    record = out / "pairs.jsonl"
    rows: list[dict[str, Any]] = []
    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        out.mkdir(parents=True, exist_ok=True)
        done: dict[str, dict[str, Any]] = {}
        if record.is_file():
            for line in record.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):  # the last line may have been cut off by a stop
                    earlier = json.loads(line)
                    done[earlier["stem"]] = earlier
        record.write_text("".join(json.dumps(row) + "\n" for row in done.values()), encoding="utf-8")
        with record.open("a", encoding="utf-8") as log, Progress(*columns, disable=quiet) as progress:
            for pair in progress.track(pairs, description="comparing"):
                row = _one(*pair, out, done)
                rows.append(row)
                if row is not done.get(pair[0]):
                    log.write(json.dumps(row) + "\n")
                    log.flush()
        with (out / "table.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _TABLE_FIELDS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**row, "reasons": "; ".join(row["reasons"])} for row in rows)
        _save_png(contact_sheet(rows, originals, edited, out), out / "contact_sheet.png")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    return rows, problems


def command(
    original: Annotated[Path | None, typer.Argument(help="The picture before the edit.")] = None,
    edited_picture: Annotated[Path | None, typer.Argument(metavar="EDITED", help="The picture after it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Mask to write (PNG), or folder in batch mode.")] = None,
    originals: Annotated[Path | None, typer.Option(help="Batch: folder of originals.")] = None,
    edited: Annotated[Path | None, typer.Option(help="Batch: folder of edited pictures of the same stems.")] = None,
) -> None:
    """Mask of what differs between an original and its edited copy, with a quality score."""
    console, errors = Console(highlight=False, markup=False), Console(stderr=True, highlight=False, markup=False)
    single, batch = (original, edited_picture), (originals, edited)
    try:
        if out is None or (not (all(single) and not any(batch)) and not (all(batch) and not any(single))):
            raise SettingsError("wanted ORIGINAL EDITED --out FILE, or --originals DIR --edited DIR --out DIR")
        if original is not None and edited_picture is not None:
            found = mask_from_sources(SourceImage.from_path(original), SourceImage.from_path(edited_picture))
            if not found.found:
                raise MeasurementError(
                    f"{printable(str(original))}, {printable(str(edited_picture))}: {found.reasons[0]}; "
                    "wanted two versions of one picture; no mask was written"
                )
            _save_png(found.mask.astype(np.uint8) * 255, out)
            console.print(f"quality {found.quality:.2f}, {100 * found.mask.mean():.2f} % of the picture, mask in {out}")
            for reason in found.reasons:
                console.print(f"  {reason}")
            return
        assert originals is not None
        assert edited is not None
        rows, problems = run_batch(originals, edited, out)
    except OutputError as error:
        errors.print(f"error: {error}")
        raise typer.Exit(3) from None
    except SettingsError as error:
        errors.print(f"error: {error}")
        raise typer.Exit(2) from None
    except FakeExplainError as error:
        errors.print(f"error: {error}")
        raise typer.Exit(1) from None
    for row in rows:
        state = row["error"] or f"quality {row['quality']:.2f}, {100 * row['area_fraction']:.2f} %"
        console.print(
            f"{printable(row['stem'])}: {state}" + "".join(f"; {reason}" for reason in row["reasons"]), soft_wrap=True
        )
    for problem in problems:
        errors.print(f"not compared: {problem}")
    failed = sum(bool(row["error"]) for row in rows)
    console.print(f"{len(rows) - failed} pairs compared, {failed} failed, {len(problems)} without partner; see {out}")
    if failed or problems:
        raise typer.Exit(1)


def main() -> None:
    try:
        typer.run(command)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
