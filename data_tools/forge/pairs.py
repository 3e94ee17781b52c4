"""The unedited twin of each forged sample of a written set: the same history, but for the edits.

    python -m data_tools.forge write --photos PHOTOS --out set --count 200
    python -m data_tools.forge.pairs --photos PHOTOS --set set

Every sample's manifest holds its whole history, so the twin is made from that alone: the photograph, its cut-out and
its past, then the finish. It goes to set/originals/, lossless, in the frame of the finished picture. Outside the edits
it agrees with the sample, but for what a codec carries across a block. Used for restoration tests (paste the original
back). Left out: twins of authentic samples, which are the samples themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from pydantic import ValidationError
from rich.progress import track

from data_tools.forge.writer import read_manifest
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError
from fakeexplain.imaging import degrade


def original_of(history: Sequence[Mapping[str, Any]], photos: Path) -> np.ndarray:
    """uint8 HxWx3: what a sample's history gives without its edits, in the finished picture's frame.

    Args:
        history: of `ForgeSample`, as in manifest.jsonl.
        photos: the folder that the set was made from.

    Raises:
        SettingsError: the photograph is not there, or the history is not one of this forge.
    """
    host = [e for e in history if e.get("on") == "host"]
    whole = [e for e in history if e.get("on") == "whole"]
    if not host or "photo" not in host[0] or not whole or "finish" not in whole[0]:
        raise SettingsError("a history without its photograph or its finish; wanted one that the forge has written")
    path = photos / os.path.basename(str(host[0]["photo"]))
    try:
        before, after = _steps(host[1:]), _steps(whole[1:])
        with Image.open(path) as image:
            rgb = np.array(image.convert("RGB"))
    except ValidationError as error:
        raise SettingsError(f"a history with an unknown step ({error.errors()[0]['msg']})") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}); --photos wants the folder the set was made from"
        ) from None
    return degrade.finish(degrade.apply_steps(rgb, before), (), after).rgb


def _steps(entries: Sequence[Mapping[str, Any]]) -> list[degrade.Step]:
    return degrade.chain_from_json([{k: v for k, v in e.items() if k != "on"} for e in entries])


def write_pairs(folder: Path, photos: Path) -> Iterator[Path]:
    """Writes originals/ of a set's forged samples; the paths as they are written. What is there already is kept.

    Raises:
        SettingsError: no manifest with forged samples, or a photograph that is missing or of another size.
        OutputError: the folder cannot be written.
    """
    rows = [r for r in read_manifest(folder / "manifest.jsonl") if r.get("label")]
    if not rows:
        raise SettingsError(f"{folder}: no manifest.jsonl with forged samples; `data_tools.forge write` makes one")
    try:
        (folder / "originals").mkdir(exist_ok=True)
        for row in rows:
            path = folder / "originals" / f"{Path(row['image']).stem}.png"
            if not path.is_file():
                rgb = original_of(row["history"], photos)
                if rgb.shape[:2] != (row["height"], row["width"]):
                    raise SettingsError(
                        f"{row['image']} is {row['width']}x{row['height']}, its original "
                        f"{rgb.shape[1]}x{rgb.shape[0]}: the photographs are not those that the set was made from"
                    )
                scratch = path.with_suffix(".part")
                scratch.write_bytes(degrade.encode_png(rgb))
                os.replace(scratch, path)
            yield path
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from None


def main(
    photos: Annotated[Path, typer.Option(help="The folder of photographs that the set was made from.")],
    set_folder: Annotated[Path, typer.Option("--set", help="A set written by `data_tools.forge write`.")],
) -> None:
    """Write originals/ beside the images/ of a forged set: the same pictures without the edits."""
    try:
        written = list(track(write_pairs(set_folder, photos), description="originals"))
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(written)} originals in {set_folder / 'originals'}")


if __name__ == "__main__":
    typer.run(main)
