"""Writes forged data sets: images/, masks/, donors/, manifest.jsonl, forge.json and a data card; can be resumed.

A run that was stopped goes on where it stopped when it is started again with the same settings: finished samples are
named in manifest.jsonl. Deliberately left out: reading the set for training, splits (see
`ForgeConfig.split`).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import FORGE_VERSION, Forge, ForgeSample
from fakeexplain.errors import OutputError, SettingsError

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_worker: tuple[Forge, Path] | None = None


def save_sample(sample: ForgeSample, index: int, out: Path) -> dict[str, Any]:
    """Writes image, mask (0 or 255) and, for copied content, donor mask; returns the manifest's row."""
    name = f"{index:07d}"
    data = sample.file_bytes()
    image_path = f"images/{name}.{_EXTENSIONS[sample.file_format]}"
    mask_path = f"masks/{name}.png"
    donor_path = f"donors/{name}.png" if sample.donor_mask is not None else None
    (out / image_path).write_bytes(data)
    _save_mask(sample.mask, out / mask_path)
    if donor_path is not None and sample.donor_mask is not None:
        _save_mask(sample.donor_mask, out / donor_path)
    return {
        "index": index,
        "image": image_path,
        "mask": mask_path,
        "donor_mask": donor_path,
        "sha256": hashlib.sha256(data).hexdigest(),
        "label": sample.label,
        "granularity": sample.granularity,
        "operations": list(sample.operations),
        "width": int(sample.image.shape[1]),
        "height": int(sample.image.shape[0]),
        "forged_fraction": round(float(sample.mask.mean()), 6),
        "format": sample.file_format,
        "jpeg_quality": sample.jpeg.quality if sample.jpeg is not None else None,
        "photo": sample.photo,
        "donors": list(sample.donors),
        "licence": list(sample.licence),
        "history": sample.history,
    }


def _save_mask(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).convert("1").save(path, optimize=False)


def _start_worker(photos: str, seed: int, size: int, config: ForgeConfig, out: str) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = Forge(Path(photos), seed, size, config), Path(out)


def _make(index: int) -> dict[str, Any]:
    assert _worker is not None
    forge, out = _worker
    return save_sample(forge.sample(index), index, out)


def _rows(
    photos: Path, seed: int, size: int, config: ForgeConfig, out: Path, indices: list[int], workers: int
) -> Iterator[dict[str, Any]]:
    arguments = (str(photos), seed, size, config, str(out))
    if workers == 1:
        _start_worker(*arguments)
        yield from map(_make, indices)
        return
    # Spawned, not forked: OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_start_worker, initargs=arguments) as pool:
        yield from pool.imap(_make, indices, chunksize=8)


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Rows of a manifest; a last line that was cut off by a stop is left out. [] where there is no file."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        rows.append(json.loads(line))
    return rows


def settings_of(forge: Forge) -> dict[str, Any]:
    """What a sample depends on, as JSON: version, seed, size, configuration, fingerprint of the list of photographs."""
    names = "\n".join(f"{p.path.name} {p.width}x{p.height} {p.labels_path is not None}" for p in forge.photos)
    return {
        "forge_version": FORGE_VERSION,
        "seed": forge.seed,
        "size": forge.size,
        "photographs": len(forge.photos),
        "photographs_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "config": forge.config.model_dump(mode="json"),
    }


def write(
    photos: Path,
    out: Path,
    *,
    count: int,
    size: int = 512,
    seed: int = 0,
    workers: int = 1,
    config: ForgeConfig | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Makes samples 0 .. count - 1 in `out` and returns all rows of the manifest, by index.

    Raises:
        SettingsError: no photographs; or `out` holds samples made with other settings.
        OutputError: the folder cannot be written.
    """
    if count < 1 or workers < 1:
        raise SettingsError(f"count {count} and workers {workers} must be at least 1")
    config = config or ForgeConfig()
    settings = settings_of(Forge(photos, seed, size, config))
    settings_path, manifest_path = out / "forge.json", out / "manifest.jsonl"
    try:
        for name in ("images", "masks", "donors"):
            (out / name).mkdir(parents=True, exist_ok=True)
        if settings_path.is_file() and json.loads(settings_path.read_text(encoding="utf-8")) != settings:
            raise SettingsError(
                f"{out}: holds samples made with other settings (see forge.json); choose another folder"
            )
        settings_path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        rows = read_manifest(manifest_path)
        manifest_path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        done = {row["index"] for row in rows}
        missing = [index for index in range(count) if index not in done]
        columns = (TextColumn("forging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with manifest_path.open("a", encoding="utf-8") as manifest, Progress(*columns, disable=quiet) as progress:
            task = progress.add_task("forging", total=count, completed=count - len(missing))
            for row in _rows(photos, seed, size, config, out, missing, min(workers, max(len(missing), 1))):
                manifest.write(json.dumps(row) + "\n")
                manifest.flush()
                rows.append(row)
                progress.advance(task)
        rows.sort(key=lambda row: int(row["index"]))
        (out / "README.md").write_text(data_card(rows, settings), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    return rows


def _lines(counts: Counter[str], total: int) -> str:
    return "\n".join(f"| {name} | {n} | {100 * n / max(total, 1):.1f} % |" for name, n in counts.most_common())


def data_card(rows: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    """README.md of a written set: what is in it, counted from the manifest."""
    granularity = Counter(str(row["granularity"]) for row in rows)
    operations = Counter(str(name) for row in rows for name in row["operations"])
    formats = Counter(str(row["format"]) for row in rows)
    licences = Counter(str(text) for row in rows for text in row["licence"] or ["not stated"])
    edges = [0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0]
    fractions = [row["forged_fraction"] for row in rows if row["label"]]
    histogram, _ = np.histogram(fractions, bins=edges)
    areas = Counter(
        {f"{100 * low:g}-{100 * high:g} %": int(n) for low, high, n in zip(edges, edges[1:], histogram, strict=False)}
    )
    photographs = len({row["photo"] for row in rows} | {name for row in rows for name in row["donors"]})
    forged = sum(row["label"] for row in rows)
    area_lines = "\n".join(f"| {name} | {n} | {100 * n / max(forged, 1):.1f} % |" for name, n in areas.items())
    head = "| | samples | share |\n|---|---|---|"
    return f"""# Forged photographs: data card

{len(rows)} samples of at most {settings["size"]}x{settings["size"]} pixels, {forged} of them locally forged, made from
{photographs} photographs by forge version {settings["forge_version"]} with seed {settings["seed"]}. The settings are in
`forge.json`; the same settings and photographs give the same files again, bit for bit, with the same codec libraries.

- `images/`: the files as finished. `masks/`: 255 where forged. `donors/`: where copied content came from.
- `manifest.jsonl`: one row per sample with SHA-256, label, operations, photographs, licences and the whole history.
- Authentic samples went through the same histories and finishes as forged ones; `global`: processed as a whole.

## Granularity
{head}
{_lines(granularity, len(rows))}

## Edits (of {sum(operations.values())})
{head}
{_lines(operations, sum(operations.values()))}

## Forged area (of {forged} forged samples)
{head}
{area_lines}

## File formats
{head}
{_lines(formats, len(rows))}

## Licences of the photographs behind the samples
A sample inherits the strictest terms of the photographs in it; check them before passing images on.

{head}
{_lines(licences, len(rows))}
"""
