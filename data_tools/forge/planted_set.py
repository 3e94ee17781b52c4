"""Writes planted positives to disk as a benchmark set: kinds x region sizes x final qualities, the same for everybody.

    python -m data_tools.forge.planted_set --photos PHOTOS --out planted --per-cell 20
    fakeexplain bench planted/* --out results

Each kind becomes a folder with images/, masks/ and a manifest that names the strata and the full history. Hosts are
brought to one size by a central crop at native resolution; photographs too small for a region are passed over. The
mask of a copy is the pasted place, and donors/ holds where it was taken from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.progress import track

from data_tools.forge.planted import KINDS, plant
from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.imaging.source import SUFFIXES, SourceImage

# Which instrument is meant to see which kind.
MEANT = {
    "foreign_grid": "jpeg_grid",
    "double_jpeg": "double_jpeg",
    "noise": "noise",
    "copy_move_exact": "copy_move",
    "copy_move_rotated": "copy_move",
    "copy_move_scaled": "copy_move",
}
SIZES = (48, 64, 96, 128, 192)
QUALITIES: tuple[int | None, ...] = (None, 95, 90, 75)


def write_planted(
    photos: Path, out: Path, *, per_cell: int, seed: int, host_side: int, kinds: tuple[str, ...] = tuple(KINDS)
) -> int:
    """Writes the sets; returns how many pictures. Hosts are drawn from (seed, cell).

    Raises:
        SettingsError: no usable photographs.
    """
    files = sorted(p for p in photos.iterdir() if p.suffix.lower() in SUFFIXES)
    hosts = [p for p in files if _big_enough(p, 2 * min(SIZES))]
    if not hosts:
        raise SettingsError(f"{photos}: no photographs of at least {2 * min(SIZES)} pixels on the short side")
    cells = [(k, s, q) for k in kinds for s in SIZES for q in QUALITIES if not (k == "double_jpeg" and (q or 0) < 83)]
    written = 0
    for number, (kind, size, quality) in enumerate(track(cells, description="planting")):
        rng = np.random.default_rng([seed, number])
        folder = out / kind
        (folder / "images").mkdir(parents=True, exist_ok=True)
        label = "PNG" if quality is None else str(quality)
        records = []
        for index in range(per_cell):
            made = None
            for path in rng.permutation(np.array(hosts, dtype=object))[:40]:
                rgb = _central_crop(SourceImage.from_path(path).rgb, host_side)
                try:
                    made = plant(kind, rgb, size=size, rng=rng, quality=quality)  # type: ignore[arg-type]
                    break
                except ValueError:
                    continue
            if made is None:
                raise SettingsError(
                    f"{kind}, {size} pixels: no photograph in {photos} is large enough; use larger ones"
                )
            stem = f"{Path(path).stem}-{size}-{label}-{index:03d}"
            name = f"{stem}.{'png' if quality is None else 'jpg'}"
            (folder / "images" / name).write_bytes(made.image_bytes)
            for part, mask in (("masks", made.mask), ("donors", made.donor_mask)):
                if mask is not None:
                    (folder / part).mkdir(exist_ok=True)
                    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / part / f"{stem}.png")
            strata = {"kind": kind, "instrument": MEANT[kind], "size": size, "quality": label}
            records.append(
                {
                    "image": f"images/{name}",
                    "mask": f"masks/{stem}.png",
                    "strata": strata,
                    "host": path.name,
                    "history": made.history,
                }
            )
            written += 1
        with (folder / "manifest.jsonl").open(
            "w" if (size, quality) == _first(kind) else "a", encoding="utf-8"
        ) as file:
            file.writelines(json.dumps(r) + "\n" for r in records)
    return written


def _first(kind: str) -> tuple[int, int | None]:
    return (SIZES[0], 95) if kind == "double_jpeg" else (SIZES[0], QUALITIES[0])


def _big_enough(path: Path, side: int) -> bool:
    with Image.open(path) as image:
        return min(image.size) >= side


def _central_crop(rgb: np.ndarray, side: int) -> np.ndarray:
    """At most side x side pixels around the centre, cut at multiples of 8 so that an old JPEG grid stays in place."""
    height, width = rgb.shape[:2]
    y, x = max(0, (height - side) // 16 * 8), max(0, (width - side) // 16 * 8)
    return np.ascontiguousarray(rgb[y : y + side, x : x + side])


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photographs.")],
    out: Annotated[Path, typer.Option(help="Where the sets go.")],
    per_cell: Annotated[int, typer.Option(min=1, help="Pictures per kind, size and quality.")] = 20,
    host_side: Annotated[int, typer.Option(min=128, help="Hosts are cropped to this many pixels a side.")] = 768,
    seed: Annotated[int, typer.Option(help="Same seed, same set.")] = 0,
) -> None:
    """Write planted positives as benchmark sets for `fakeexplain bench`."""
    try:
        written = write_planted(photos, out, per_cell=per_cell, seed=seed, host_side=host_side)
    except (FakeExplainError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{written} pictures in {out}")


if __name__ == "__main__":
    typer.run(main)
