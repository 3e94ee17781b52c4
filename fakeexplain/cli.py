"""The command line: examine, measure, instruments here, all others in `commands/`. Stands above all rooms.

Exit codes: 0 everything asked for was done (whatever the verdicts), 1 at least one picture could not be examined,
2 wrong usage or settings, 3 results could not be written, 130 interrupted.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fakeexplain import __version__
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

if TYPE_CHECKING:
    from fakeexplain.batch import Outcome

# Instruments and pictures run side by side already, and their matrices are small: BLAS threads of their own only spin.
# Set before numpy is imported; worker processes inherit it.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from fakeexplain.commands.app import app as serve_app  # noqa: E402
from fakeexplain.commands.app import mcp  # noqa: E402
from fakeexplain.commands.ask import ask  # noqa: E402
from fakeexplain.commands.bench import bench  # noqa: E402
from fakeexplain.commands.case import app as case_app  # noqa: E402
from fakeexplain.commands.chat import chat  # noqa: E402
from fakeexplain.commands.compare import compare, duplicates  # noqa: E402
from fakeexplain.commands.console import (  # noqa: E402
    DEFAULT_JOBS,
    EXIT_INTERRUPTED,
    EXIT_OUTPUT,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    err,
    fail,
    prepare_folder,
    progress_bar,
    tell_error,
)
from fakeexplain.commands.console import out as console  # noqa: E402
from fakeexplain.commands.faithfulness import faithfulness  # noqa: E402
from fakeexplain.commands.gate import bench_gate  # noqa: E402

app = typer.Typer(
    name="fakeexplain",
    help="Was this photograph altered: where, why we think so, how sure we are, and what we cannot tell.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

FalseAlarms = Annotated[
    float,
    typer.Option("--false-alarms", help="Promised rate of `manipulated` among unaltered photographs (0.02 = 2 %)."),
]
Instruments = Annotated[
    str | None,
    typer.Option(
        "--instruments",
        help="Comma-separated names; default all. See [bold]fakeexplain instruments[/].",
        show_default=False,
    ),
]
MaxMegapixels = Annotated[float, typer.Option("--max-megapixels", help="Refuse larger pictures before decoding.")]
Expert = Annotated[
    str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Pictures examined at the same time.")]


def _names(instruments: str | None) -> tuple[str, ...] | None:
    return None if instruments is None else tuple(n.strip() for n in instruments.split(",") if n.strip())


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def examine(
    paths: Annotated[list[str], typer.Argument(help="Pictures, or folders searched for pictures.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a folder per picture: report, JSON, mask, overlay.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print examinations as JSON, one per line.")] = False,
    false_alarms: FalseAlarms = 0.02,
    instruments: Instruments = None,
    expert: Expert = "embedded",
    wording: Annotated[
        str,
        typer.Option(
            "--wording",
            "--writer",
            help="`assistant` (default; or a folder of weights) adds an account in its words; `plain`: rules alone, "
            "faster. The verdict is the same.",
            show_default=False,
        ),
    ] = "",
    max_megapixels: MaxMegapixels = 150.0,
    jobs: Jobs = DEFAULT_JOBS,
    trust_anchors: Annotated[
        Path | None,
        typer.Option(
            "--trust-anchors", help="PEM file: certificates whose Content Credentials are trusted; default nobody."
        ),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write report.pdf into each folder of --out.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep results in --out that are still up to date.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Of several pictures, print the whole answers and not a line each.")
    ] = False,
) -> None:
    """Examine photographs: verdict, where, why, how sure, and what could not be tested.

    [bold]fakeexplain examine photo.jpg[/]                      answer on the terminal
    [bold]fakeexplain examine photo.jpg --out results[/]        also results/photo.jpg/report.html and more
    [bold]fakeexplain examine folder --out results --resume[/]  a whole folder, a line each, going on where it stopped

    Exit codes: 0 all examined, 1 some could not be, 2 wrong usage, 3 cannot write, 130 interrupted.
    """
    from fakeexplain.imaging.worker import start_worker

    start_worker()  # its start-up runs beside the imports below
    from fakeexplain.batch import (
        SUMMARY_NAME,
        examine_batch,
        examine_job,
        find_pictures,
        finished_unheard,
        outcome_json,
        write_summary,
    )
    from fakeexplain.examiner import Examiner, Settings
    from fakeexplain.imaging.source import printable
    from fakeexplain.report.terminal import terminal_line, terminal_summary

    if resume and out is None:
        raise fail("--resume needs --out: there is nothing to go on from", EXIT_USAGE)
    if pdf and out is None:
        raise fail("--pdf needs --out: the report has to go somewhere", EXIT_USAGE)
    network = None if expert == "none" else expert
    try:
        anchors = _read_anchors(trust_anchors)
        settings = Settings(false_alarms, _names(instruments), max_megapixels, network, anchors, wording)
        Examiner(settings)  # wrong settings are told once, before the first picture
        if not 0 < max_megapixels < float("inf"):
            raise SettingsError(f"--max-megapixels {max_megapixels:g}: wanted a positive number, say 150")
        if not all(paths):
            raise SettingsError("an empty path was given, wanted a picture or a folder; is a variable unset?")
        if out is not None:
            prepare_folder(out)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    pictures, errors = find_pictures([Path(p) for p in paths])
    outcomes = []
    for line in errors:
        tell_error(line)
    if len(pictures) == 1:
        arriving = (examine_job(job, settings, out, threads=2, resume=resume, pdf=pdf) for job in pictures)
    else:
        arriving = examine_batch(
            pictures, settings, out, workers=min(jobs, max(len(pictures), 1)), resume=resume, pdf=pdf
        )
    written, interrupted, started = True, False, time.time() - 1  # file systems round down
    with progress_bar() as progress:
        task = progress.add_task("examining", total=len(pictures))
        try:
            for outcome in arriving:
                progress.advance(task)
                outcomes.append(outcome)
                if outcome.error:
                    written = written and not outcome.fatal
                    tell_error(outcome.error)
                if json_output:
                    typer.echo(outcome_json(outcome))
                elif outcome.examination is not None and len(pictures) > 1 and not details:
                    told = terminal_line(outcome.examination)
                    console.print(told.append("  (kept from before)") if outcome.skipped else told, soft_wrap=True)
                elif outcome.examination is not None:
                    console.print(terminal_summary(outcome.examination))
                    if out is not None:
                        kept = " (kept from before)" if outcome.skipped else ""
                        place = escape(printable(str(out / outcome.job.relative / "report.html")))
                        console.print(f"report: {place}{kept}", highlight=False, soft_wrap=True)
        except KeyboardInterrupt:
            arriving.close()
            interrupted = True
    if interrupted:
        if out is not None:
            outcomes += finished_unheard(pictures, outcomes, out, settings, started)
        err.print(f"interrupted after {len(outcomes)} of {len(pictures)}; finished results are kept, --resume goes on")
    if out is not None and outcomes and (len(pictures) > 1 or any(Path(p).is_dir() for p in paths)):
        try:
            write_summary(outcomes, out)
        except OutputError as error:
            raise fail(error, EXIT_OUTPUT) from None
    if not json_output and len(pictures) > 1:
        _print_counts(outcomes)
        if out is not None:
            place = escape(printable(str(out)))
            where = f"reports: {place}{os.sep}PICTURE{os.sep}report.html; a table of all: {place}{os.sep}{SUMMARY_NAME}"
            console.print(where, highlight=False, soft_wrap=True)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not written:
        raise typer.Exit(EXIT_OUTPUT)
    if errors or any(o.error for o in outcomes):
        raise typer.Exit(EXIT_SOME_FAILED)


def _read_anchors(path: Path | None) -> str:
    """The text of a PEM file, "" for none. Raises SettingsError."""
    try:
        return "" if path is None else path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"--trust-anchors {path}: cannot be read ({error}); wanted certificates in PEM form"
        ) from None


def _print_counts(outcomes: list[Outcome]) -> None:
    labels = [o.examination.verdict.label if o.examination else "not examined" for o in outcomes]
    counts = ", ".join(f"{labels.count(k)} {k}" for k in ("manipulated", "inconclusive", "no_evidence", "not examined"))
    console.print(f"{len(outcomes)} pictures: {counts}", highlight=False)


@app.command()
def measure(
    picture: Annotated[Path, typer.Argument(help="A picture.", show_default=False)],
    box: Annotated[
        str, typer.Option("--box", help="x0,y0,x1,y1 in pixels of the upright picture.", show_default=False)
    ],
    instrument: Annotated[
        str, typer.Option("--instrument", help="Who measures; `expert` is the trained network, asked about this place.")
    ] = "region_contrast",
    json_output: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Measure a region that you choose. It informs; it never changes a verdict.

    [bold]fakeexplain measure photo.jpg --box 120,80,260,220 --instrument noise[/]

    [bold]fakeexplain measure photo.jpg --box 120,80,260,220 --instrument expert[/]
    """
    from fakeexplain.examiner import Examiner, measuring_names
    from fakeexplain.reasoning.wording import describe

    try:
        corners = tuple(float(v) for v in box.split(","))
        if len(corners) != 4 or not all(math.isfinite(v) for v in corners):
            raise ValueError
    except ValueError:
        raise fail(f"--box {box!r}: wanted four numbers x0,y0,x1,y1", EXIT_USAGE) from None
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        raise fail(f"--box {box!r}: holds nothing; wanted x0 < x1 and y0 < y1", EXIT_USAGE)
    if instrument not in measuring_names():
        raise fail(f"--instrument {instrument!r}: wanted one of {', '.join(measuring_names())}", EXIT_USAGE)
    try:
        found = Examiner().measure(picture, instrument, box_xyxy=corners)
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    if json_output:
        typer.echo(found.model_dump_json(indent=1))
    else:
        console.print(escape(describe(found)), highlight=False)


@app.command()
def instruments() -> None:
    """List the instruments: what each looks for, what it needs, its measured false alarms."""
    from fakeexplain.evaluation.measured import measured_false_alarms
    from fakeexplain.evaluation.tables import Table
    from fakeexplain.instruments.suite import all_instruments

    measured = measured_false_alarms()
    rows = []
    for instrument in all_instruments():
        figure = measured.get(
            instrument.name, "no NFA: states facts" if not instrument.localizes else "not counted yet"
        )
        rows.append((f"{instrument.name} {instrument.version}", instrument.measures, instrument.needs, figure))
    columns = ("instrument", "looks for", "needs", "false alarms counted")
    table = Table("Instruments", columns, tuple(rows)).to_rich()
    for column in table.columns:
        column.justify = "left"
    table.show_lines = True
    console.print(table)


app.command()(ask)
app.command()(chat)
app.command("app")(serve_app)
app.command()(compare)
app.command()(duplicates)
app.command()(bench)
app.command("bench-gate")(bench_gate)
app.command()(faithfulness)
app.command()(mcp)
app.add_typer(case_app, name="case")


def main() -> None:
    """Entry point: user errors are one line; being told to end is handled like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except FakeExplainError as error:
        tell_error(error)
        sys.exit(EXIT_SOME_FAILED)


if __name__ == "__main__":
    main()
