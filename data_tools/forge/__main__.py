"""Command line of the forge: `python -m data_tools.forge write --photos DIR --out DIR --count N`; `sam-proposals`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track

from data_tools.forge.config import ForgeConfig
from data_tools.forge.photos import list_photos
from data_tools.forge.proposals import load_generator, write_proposals
from data_tools.forge.writer import write
from fakeexplain.errors import FakeExplainError, SettingsError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Forged samples from photographs.")


def _load(path: Path | None) -> ForgeConfig:
    if path is None:
        return ForgeConfig()
    try:
        return ForgeConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); --config wants a JSON file") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{path}: {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None


@app.command("write")
def write_command(
    photos: Annotated[Path, typer.Option(help="Folder of authentic photographs.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted run is resumed.")],
    count: Annotated[int, typer.Option(min=1, help="How many samples the folder holds in the end.")],
    size: Annotated[int, typer.Option(min=64, help="Side of a sample in pixels.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the whole set.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    config: Annotated[Path | None, typer.Option(help="JSON file with fields of ForgeConfig.")] = None,
) -> None:
    """Write a set of samples with masks, manifest and data card."""
    try:
        rows = write(photos, out, count=count, size=size, seed=seed, workers=workers, config=_load(config))
    except FakeExplainError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
        raise typer.Exit(2) from None
    forged = sum(row["label"] for row in rows)
    Console().print(f"{len(rows)} samples, {forged} forged, in {out} (data card: {out / 'README.md'})", highlight=False)


@app.command("sam-proposals")
def sam_proposals(
    photos: Annotated[Path, typer.Option(help="Folder of photographs.")],
    checkpoint: Annotated[Path, typer.Option(help="Your weights of Segment Anything (.pth).")],
    out: Annotated[Path, typer.Option(help="Folder of label pictures to write; a stopped run goes on.")],
    model_type: Annotated[str, typer.Option(help="vit_b, vit_l or vit_h.")] = "vit_b",
    device: Annotated[str, typer.Option(help="Device of torch, for instance cuda.")] = "cpu",
    points: Annotated[int, typer.Option(min=1, max=64, help="Points asked along each side.")] = 16,
    quality: Annotated[float, typer.Option(min=0, max=1, help="Least predicted IoU of a proposal.")] = 0.88,
    stability: Annotated[float, typer.Option(min=0, max=1, help="Least stability of a proposal.")] = 0.95,
) -> None:
    """Write object proposals of Segment Anything, for `labels_dir` of the configuration."""
    try:
        found = list_photos(photos, 64, ForgeConfig())
        generator = load_generator(
            checkpoint, model_type, device=device, points_per_side=points, quality=quality, stability=stability
        )
        counts = [count for _, count in track(write_proposals(found, generator, out), "proposing", total=len(found))]
    except FakeExplainError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
        raise typer.Exit(2) from None
    read = [count for count in counts if count is not None]
    Console().print(f"{len(read)} photographs, {sum(read)} proposals, in {out}", highlight=False)
    if len(read) < len(counts):
        Console(stderr=True).print(f"{len(counts) - len(read)} photographs could not be decoded", highlight=False)


if __name__ == "__main__":
    app()
