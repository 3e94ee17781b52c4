"""`fakeexplain compare` and `fakeexplain duplicates`: options, files, lines and exit codes.

What is measured is in `fakeexplain.compare` and `imaging.perceptual`. Heavy modules are imported inside the functions,
so that `fakeexplain --help` stays quick. Left out: masks of many pairs (`python -m data_tools.mask_from_pair`).

Exit codes: 0 compared (whatever was found), 1 the pictures cannot be compared or read, 2 wrong usage, 3 results could
not be written, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from fakeexplain.commands.console import EXIT_OUTPUT, EXIT_SOME_FAILED, EXIT_USAGE, err, fail, tell_error
from fakeexplain.commands.console import out as console
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

if TYPE_CHECKING:
    from fakeexplain.compare import Compared
    from fakeexplain.imaging.source import SourceImage

_RESULT = "comparison.json"


def compare(
    original: Annotated[Path, typer.Argument(help="The picture before the change.", show_default=False)],
    questioned: Annotated[Path, typer.Argument(help="The picture in question.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for comparison.html, JSON, mask, difference.", show_default=False),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="For both pictures' own examinations, as in `examine`.")
    ] = 0.02,
    expert: Annotated[
        str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
    ] = "embedded",
    max_megapixels: Annotated[float, typer.Option("--max-megapixels", help="Refuse larger pictures.")] = 150.0,
) -> None:
    """Compare a picture with its original: where they differ, how sure that is, what else could cause it.

    [bold]fakeexplain compare original.jpg questioned.jpg[/]                 answer on the terminal
    [bold]fakeexplain compare original.jpg questioned.jpg --out result[/]    also result/comparison.html and more

    The questioned picture may be cropped, resized, turned, toned and saved again. Two different scenes are refused.
    """
    from fakeexplain.compare import compare as compare_sources
    from fakeexplain.examiner import Examiner, Settings
    from fakeexplain.imaging.source import SourceImage

    try:
        if not 0 < max_megapixels < float("inf"):
            raise SettingsError(f"--max-megapixels {max_megapixels:g}: wanted a positive number, say 150")
        network = None if expert == "none" else expert
        examiner = Examiner(Settings(false_alarms, max_megapixels=max_megapixels, expert=network))
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    try:
        first, second = (SourceImage.from_path(p, max_megapixels=max_megapixels) for p in (original, questioned))
        compared = compare_sources(first, second, examiner)
        if out is not None:
            write_comparison(compared, second, out)
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    if json_output:
        typer.echo(compared.comparison.to_json())
        return
    for sentence in compared.comparison.sentences:
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    if out is not None:
        console.print(f"report: {escape(str(out / 'comparison.html'))}", highlight=False, soft_wrap=True)


def write_comparison(compared: Compared, questioned: SourceImage, folder: Path) -> None:
    """Writes comparison.html, comparison.json, mask.png, difference.png and overlay.png, all or none.

    Raises:
        OutputError: the folder cannot be written, or holds files that are not an earlier comparison.
    """
    import numpy as np
    from PIL import Image

    from fakeexplain.imaging.source import printable
    from fakeexplain.report.comparison import draw_difference, render_comparison

    shown = printable(str(folder))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / _RESULT).exists())):
            raise OutputError(f"{shown}: holds other files, wanted an empty or new folder; choose another --out")
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.", dir=folder.parent))
        try:
            new = scratch / "new"
            new.mkdir()
            Image.fromarray(compared.pair.mask.astype(np.uint8) * 255).save(new / "mask.png")
            difference = np.rint(compared.pair.difference_map * 255).astype(np.uint8)
            Image.fromarray(difference).save(new / "difference.png")
            Image.fromarray(draw_difference(compared, questioned)).save(new / "overlay.png", compress_level=3)
            (new / "comparison.html").write_text(render_comparison(compared, questioned), encoding="utf-8")
            (new / _RESULT).write_text(compared.comparison.to_json(), encoding="utf-8")
            if folder.exists():
                os.replace(folder, scratch / "old")
            os.replace(new, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{shown}: cannot be written ({error.strerror or error}); choose another --out") from None


def duplicates(
    folders: Annotated[list[Path], typer.Argument(help="Pictures, or folders searched for them.", show_default=False)],
    distance: Annotated[
        int, typer.Option("--distance", min=0, max=16, help="Bits of 64 by which two hashes may differ.")
    ] = 8,
    json_output: Annotated[bool, typer.Option("--json", help="Print the groups as JSON.")] = False,
) -> None:
    """Find near-duplicates: the same photograph saved again, resized, toned or lightly edited.

    Groups by perceptual hash. Crops, mirrored and turned copies are not found; flat pictures are not compared. Two
    pictures of a group may be linked through a third one.

    [bold]fakeexplain duplicates evidence/[/]
    """
    from fakeexplain.batch import find_pictures
    from fakeexplain.imaging.perceptual import perceptual_hash
    from fakeexplain.imaging.source import SourceImage, printable

    jobs, errors = find_pictures(folders)
    hashes: list[int | None] = []
    files: list[tuple[str, str]] = []
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        for job in progress.track(jobs):
            try:
                source = SourceImage.from_path(job.path)
            except FakeExplainError as error:
                errors.append(str(error))
                continue
            hashes.append(perceptual_hash(source.rgb))
            files.append((printable(str(job.path)), source.sha256))
    groups = group_duplicates(files, hashes, distance)
    flat = hashes.count(None)
    for line in errors:
        tell_error(line)
    if json_output:
        typer.echo(json.dumps({"distance": distance, "pictures": len(files), "flat": flat, "groups": groups}, indent=1))
    else:
        for number, group in enumerate(groups, start=1):
            console.print(f"[bold]group {number}[/]: {len(group)} pictures", highlight=False)
            for row in group:
                same = f"  same file as {escape(row['same_file_as'])}" if row["same_file_as"] else ""
                bits = "" if row["same_file_as"] else f"  {row['bits']} bits from the nearest"
                console.print(f"  {escape(row['picture'])}[dim]{bits}{same}[/]", highlight=False, soft_wrap=True)
        grouped = sum(len(g) for g in groups)
        console.print(
            f"{len(files)} pictures: {grouped} in {len(groups)} groups of near-duplicates; {flat} too flat to compare",
            highlight=False,
        )
    if errors:
        raise typer.Exit(EXIT_SOME_FAILED)


def group_duplicates(
    files: list[tuple[str, str]], hashes: list[int | None], distance: int
) -> list[list[dict[str, Any]]]:
    """Groups of two and more pictures, largest first.

    Args:
        files: (name, sha256) of each picture. hashes: `perceptual_hash` of each. distance: bits that may differ.

    Returns:
        Rows {"picture", "sha256", "bits": to the nearest of the group, "same_file_as": "" or an earlier name}.
    """
    from fakeexplain.imaging.perceptual import Groups, near_pairs

    joined = Groups(len(files))
    nearest: dict[int, int] = {}
    first_of: dict[str, int] = {}
    for i, (_, sha256) in enumerate(files):  # equal files belong together, flat ones too
        first = first_of.setdefault(sha256, i)
        if first != i:
            joined.join(first, i)
            nearest[first] = nearest[i] = 0
    for a, b in near_pairs(hashes, distance):
        bits = (int(hashes[a] or 0) ^ int(hashes[b] or 0)).bit_count()
        joined.join(a, b)
        nearest[a], nearest[b] = min(bits, nearest.get(a, 64)), min(bits, nearest.get(b, 64))
    members: dict[int, list[int]] = {}
    for i in range(len(files)):
        members.setdefault(joined.find(i), []).append(i)
    groups = sorted((g for g in members.values() if len(g) > 1), key=lambda g: (-len(g), g[0]))
    rows = []
    for group in groups:
        row = []
        for i in group:
            name, sha256 = files[i]
            first = first_of[sha256]
            same = files[first][0] if first != i else ""
            row.append({"picture": name, "sha256": sha256, "bits": nearest.get(i, 0), "same_file_as": same})
        rows.append(row)
    return rows
