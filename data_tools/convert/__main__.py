"""Command line: `python -m data_tools.convert casia2 CASIA --to jsonl --out casia2` and `... list`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from data_tools.convert.convert import Options, convert
from data_tools.convert.layouts import LAYOUTS
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

_out, _err = Console(), Console(stderr=True)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"terminal_width": 100},
)


def show_layouts() -> None:
    """Prints every layout with an example of its tree."""
    for name, layout in LAYOUTS.items():
        way = "in and out" if layout.write is not None else "in"
        _out.print(f"[bold]{name}[/] ({way}): {escape(layout.about)}", highlight=False, soft_wrap=True)
        for line in layout.tree.splitlines():
            _out.print(f"    {escape(line)}", highlight=False, soft_wrap=True)
        _out.print()


@app.command(
    epilog="Example: python -m data_tools.convert casia2 CASIA2 --to jsonl --out casia2 --licence 'research only'"
)
def main(
    from_layout: Annotated[
        str, typer.Argument(metavar="FROM-LAYOUT", help="Layout of PATH, or `list` to see all with example trees.")
    ],
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help="Folder, or list file, to read.")] = None,
    to: Annotated[str, typer.Option("--to", metavar="LAYOUT", help="Layout to write.")] = "jsonl",
    out: Annotated[Path | None, typer.Option("--out", metavar="PATH", help="New folder to write.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Where the paths in a list file begin; default: the list's own folder.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Terms to note in records that state none.")] = "",
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Put all pictures in this split.")
    ] = None,
    origin: Annotated[str, typer.Option(help="Name of the data set; default: the benchmark's layout name.")] = "",
    link: Annotated[bool, typer.Option("--link", help="Hard-link pictures instead of copying them.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out pictures with problems (they are named).")] = False,
) -> None:
    """Convert a data set from one layout to another.

    Pictures are copied byte for byte; masks are decoded as their layout codes them and written white = forged. A tree
    with anything wrong is refused with one message that names every problem.
    """
    if from_layout == "list":
        show_layouts()
        return
    try:
        if path is None or out is None:
            raise SettingsError(
                "wanted FROM-LAYOUT PATH --to LAYOUT --out PATH; see --help, and `list` for the layouts"
            )
        options = Options(
            images=images, licence=licence, split=split, origin=origin, link=link, skip=skip, progress=_err.is_terminal
        )
        outcome = convert(path, from_layout, to, out, options)
    except FakeExplainError as error:
        _err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        code = 2 if isinstance(error, SettingsError) else 3 if isinstance(error, OutputError) else 1
        raise typer.Exit(code) from None
    for text in outcome.left_out:
        _err.print(f"left out: {escape(text)}", highlight=False, soft_wrap=True)
    labels = Counter(record.label for record in outcome.records)
    counted = ", ".join(f"{count} {label}" for label, count in sorted(labels.items()))
    _out.print(f"{len(outcome.records)} pictures ({counted}) in {escape(str(out))}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app(prog_name="python -m data_tools.convert")
