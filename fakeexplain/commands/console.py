"""What all commands print with: consoles, the error line, progress, exit codes, the probe of an output folder.

Exit codes: 0 done, 1 some of it could not be done, 2 wrong usage or settings, 3 results could not be written, 130
interrupted. Imports nothing heavy, so that `--help` stays quick.
"""

from __future__ import annotations

import os
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fakeexplain.errors import OutputError

EXIT_SOME_FAILED, EXIT_USAGE, EXIT_OUTPUT, EXIT_INTERRUPTED = 1, 2, 3, 130
DEFAULT_JOBS = min(2, os.cpu_count() or 1)
# Names of files and strings of metadata are shown as they are: ":cd:" is no picture of a disk.
out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def tell_error(message: object) -> None:
    """One line on stderr, whatever markup the message holds."""
    err.print(f"[bold red]error:[/] {escape(str(message))}", highlight=False, soft_wrap=True)


def fail(message: object, code: int) -> typer.Exit:
    """Tells an error; the caller raises what comes back."""
    tell_error(message)
    return typer.Exit(code)


def progress_bar() -> Progress:
    """Counts, elapsed and remaining time on stderr; silent where that is not a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def prepare_folder(folder: Path) -> None:
    """Makes an output folder and tries that it can be written. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".fakeexplain-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from None
