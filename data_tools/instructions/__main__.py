"""Command line: `python -m data_tools.instructions write|short|verify|captions|forms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_tools.forge.config import Split
from data_tools.instructions.captions import read_captions
from data_tools.instructions.questions import question_forms
from data_tools.instructions.short_answers import SHORT_FILE, write_short
from data_tools.instructions.verify import check_files
from data_tools.instructions.write import FILES, Plan, write
from data_tools.schema import write_jsonl
from fakeexplain.errors import FakeExplainError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Grounded instruction data from examined pictures.",
)
_out, _err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)


def _fail(error: FakeExplainError) -> typer.Exit:
    _err.print(f"[red]error:[/red] {error}")
    return typer.Exit(2)


@app.command("write")
def write_command(
    photos: Annotated[Path, typer.Option(help="Folder of authentic photographs.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted run is resumed.")],
    pictures: Annotated[int, typer.Option(min=1, help="How many pictures the folder holds in the end.")],
    object_masks: Annotated[
        Path | None, typer.Option(help="Folder of label PNGs (COCO category ids), by stem.")
    ] = None,
    records_per_picture: Annotated[int, typer.Option(min=0, help="Alignment records, half of them about masks.")] = 4,
    dialogues_per_picture: Annotated[int, typer.Option(min=0, help="Dialogues.")] = 4,
    short_per_picture: Annotated[
        int, typer.Option(min=0, help="Records of short answers that only the map or the picture can give.")
    ] = 8,
    box_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the mask descriptions that give the box in pixels.")
    ] = 0.2,
    tags_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the files that carry camera data and other tags.")
    ] = 0.4,
    size: Annotated[int, typer.Option(min=64, help="Side of a picture in pixels.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the whole set.")] = 0,
    split: Annotated[
        Split, typer.Option(help="Side of the split by photograph; the embedded expert has not seen `validation`.")
    ] = "all",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Make pictures, examine them and write the three data sets."""
    try:
        plan = Plan(
            photos,
            object_masks,
            records_per_picture,
            dialogues_per_picture,
            size,
            seed,
            split,
            box_share=box_share,
            tags_share=tags_share,
        )
        state = write(plan, out, pictures=pictures, workers=workers)
        short = write_short(out, per_picture=short_per_picture, seed=seed) if short_per_picture else 0
    except FakeExplainError as error:
        raise _fail(error) from None
    records = [sum(row["records"][i] for row in state["pictures"]) for i in range(3)]
    _out.print(
        f"{len(state['pictures'])} pictures, {records} records in {', '.join(FILES)}, {short} in {SHORT_FILE} "
        f"(data card: {out / 'README.md'})"
    )


@app.command("short")
def short_command(
    folder: Annotated[Path, typer.Argument(help="Folder written by `write`.")],
    per_picture: Annotated[int, typer.Option(min=1, help="Records for each picture.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of areas, questions and wording.")] = 0,
) -> None:
    """Write short answers that only the map or the picture can give, about the pictures of a written set."""
    try:
        count = write_short(folder, per_picture=per_picture, seed=seed)
    except FakeExplainError as error:
        raise _fail(error) from None
    _out.print(f"{count} records in {folder / SHORT_FILE}")


@app.command("verify")
def verify_command(
    paths: Annotated[list[Path], typer.Argument(help="Folders written by `write`, or their JSONL files.")],
    no_look: Annotated[bool, typer.Option("--no-look", help="Do not open pictures and masks.")] = False,
) -> None:
    """Check every answer against its record; exit status 1 when one fails."""
    files = [f for path in paths for f in ([path / n for n in FILES] if path.is_dir() else [path])]
    files += [path / SHORT_FILE for path in paths if (path / SHORT_FILE).is_file()]
    total = failed = 0
    columns = (TextColumn("records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        lines = sum(_lines(file) for file in files)
        with Progress(*columns, console=_out, transient=True, disable=not _out.is_terminal) as progress:
            task = progress.add_task("records", total=lines)
            for path, number, problems in check_files(files, look=not no_look):
                total += 1
                failed += bool(problems)
                progress.advance(task)
                for problem in problems:
                    progress.console.print(f"{path}:{number}: {problem}", markup=False)
    except FakeExplainError as error:
        raise _fail(error) from None
    _out.print(f"{total - failed} of {total} records agree with themselves")
    if failed:
        raise typer.Exit(1)


def _lines(file: Path) -> int:
    """Lines of a file, for the bar; 0 where it cannot be read, which the reading itself tells."""
    try:
        with file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError:
        return 0


@app.command("captions")
def captions_command(
    captions: Annotated[Path, typer.Argument(help="COCO captions JSON.")],
    out: Annotated[Path, typer.Option(help="JSONL to write, in the folder of the captions file.")],
    images: Annotated[str, typer.Option(help="Folder of the pictures, relative to the captions file.")] = "images",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the questions' wording.")] = 0,
) -> None:
    """Turn a COCO-style caption file into image-text alignment records."""
    try:
        count = write_jsonl(read_captions(captions, images, seed), out)
    except FakeExplainError as error:
        raise _fail(error) from None
    _out.print(f"{count} records in {out}")


@app.command("forms")
def forms_command() -> None:
    """Count the distinct question forms by intent."""
    counts = question_forms()
    for name, count in counts.items():
        _out.print(f"{name:24s}{count:7d}")
    _out.print(f"{'together':24s}{sum(counts.values()):7d}")


if __name__ == "__main__":
    app()
