"""What the expert marks on the pictures of a data set, kept on disk: `python -m training.expert_maps --data SET ...`.

The assistant has to live with the expert's errors, so it is trained on maps that the expert really gives. A map is kept
as the small views that the assistant reads (`fakeexplain.models.assistant_views`), float16, in one file for each
picture, named by its sha256; a run that was stopped goes on where it stopped. Maps are calibrated, as in use: an
assistant that learned on others would take what it is shown later for larger and surer than it is.

Photographs the expert was itself trained on teach the wrong thing, for there it errs too little; the command counts how
many of the pictures come from the forge's validation side.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.imaging.source import SourceImage

INDEX = "maps.json"
VIEWS = ("mask_inputs", "trace_features")


class MapFolder:
    """Maps by picture.

    Args:
        folder: what the command wrote.

    Raises:
        SettingsError: no such folder, or one of another form.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            about = json.loads((folder / INDEX).read_text("utf-8"))
            self.expert, self.grid, self.channels = str(about["expert"]), int(about["grid"]), int(about["channels"])
            if "level" not in about:  # written before maps were kept calibrated, as they are in use
                raise KeyError("level")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{folder}: {INDEX} cannot be read ({error}); wanted a folder of python -m training.expert_maps"
            ) from None

    def find(self, sha256: str) -> dict[str, Tensor] | None:
        """mask_inputs 1,3,G,G and trace_features 1,C,G,G float32 of a picture; None where there are none.

        Raises:
            SettingsError: the file is broken.
        """
        path = map_path(self.folder, sha256)
        if not path.is_file():
            return None
        try:
            return {name: value.float() for name, value in load_file(path).items()}
        except (OSError, SafetensorError) as error:
            raise SettingsError(
                f"{path}: cannot be read ({error}); delete it and run training.expert_maps again"
            ) from None


def map_path(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / f"{sha256}.safetensors"


def write_maps(rows: Any, expert: Any, grid: int, out: Path, *, threads: int | None = None) -> tuple[int, int, int]:
    """Maps of all pictures of a table.

    Args:
        rows: `assistant_data.RowTable`. expert: `localization.Expert`, calibrated. grid: side of the views.

    Returns:
        (pictures, those that had no map yet, those of photographs on the forge's validation side).

    Raises:
        SettingsError: the folder holds maps of another expert or grid. SourceError: a picture cannot be read.
    """
    from data_tools.forge.config import ForgeConfig
    from data_tools.forge.photos import _validates
    from fakeexplain.models.assistant_views import localize, mask_view

    level = (1.0, 0.0) if expert.calibration is None else (expert.calibration.temperature, expert.calibration.offset)
    about = {"expert": expert.version, "grid": grid, "channels": expert.model.config.trace.channels[1]}
    about["level"] = list(level)  # temperature and offset of the map
    out.mkdir(parents=True, exist_ok=True)
    if (out / INDEX).is_file():
        known = json.loads((out / INDEX).read_text("utf-8"))
        if known != about:
            raise SettingsError(f"{out}: holds maps of {known}, these would be {about}; choose another --out")
    (out / INDEX).write_text(json.dumps(about), encoding="utf-8")
    seen: set[Any] = set()
    made = unseen = 0
    for row in rows:
        picture = row.picture
        key = row.record.sha256 or picture
        if key in seen:
            continue
        seen.add(key)
        unseen += bool(row.record.source) and _validates(row.record.source, ForgeConfig().validation_share)
        if row.record.sha256 and map_path(out, row.record.sha256).is_file():
            continue
        source = SourceImage.from_bytes(picture) if isinstance(picture, bytes) else SourceImage.from_path(picture)
        path = map_path(out, source.sha256)
        if path.is_file():
            continue
        found, features = localize(expert, source, grid, threads=threads)
        views = {"mask_inputs": mask_view(found.map, found.confidence, grid), "trace_features": features}
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file({n: v.to(torch.float16).contiguous() for n, v in views.items()}, partial)
        partial.replace(path)
        made += 1
    return len(seen), made, unseen


def main(
    data: Annotated[list[Path], typer.Option(help="Dialogues: any source that training reads.")],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    expert: Annotated[
        Path | None, typer.Option(help="Folder of the expert's weights; the embedded ones if not given.")
    ] = None,
    grid: Annotated[int, typer.Option(min=16, help="Side of the views, `grid` of the assistant.")] = 64,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as torch has them if not given.")] = None,
) -> None:
    """Keep what the expert marks on every picture of a data set."""
    from fakeexplain.localization import Expert
    from training.assistant_data import open_records

    try:
        rows = open_records(tuple(data), cache=out / "cache")
        count, made, unseen = write_maps(rows, Expert.load(expert), grid, out, threads=threads)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(
        f"{out}: maps of {count} pictures, {made} of them new; {unseen} are of photographs that the forge keeps for "
        "validation, so that an expert trained with the default split has not seen them"
    )


if __name__ == "__main__":
    typer.run(main)
