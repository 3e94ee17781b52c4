"""`fakeexplain case`: new, add, examine, note, list, show, report, verify, pack. Only options, lines and exit codes.

Exit codes: 0 done (`verify`: intact), 1 something could not be done (`verify`: damaged), 2 wrong usage, 3 results could
not be written, 130 interrupted. After each action the log head is printed: write it down, it shows later that the log
was not rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fakeexplain.commands.ask import ExpertChoice
from fakeexplain.commands.console import EXIT_OUTPUT, EXIT_SOME_FAILED, EXIT_USAGE, err
from fakeexplain.commands.console import out as console
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError

if TYPE_CHECKING:
    from fakeexplain.casework.case import Case
    from fakeexplain.casework.export import Export

app = typer.Typer(
    help="""Keep a case: originals bit by bit, every action in a hash-chained log, exports that others can check.

    [bold]fakeexplain case new bridge --title "Bridge photographs"[/]  opens it
    [bold]fakeexplain case add bridge inbox/*.jpg[/]                   receives files
    [bold]fakeexplain case examine bridge[/]                           examines them
    [bold]fakeexplain case pack bridge --out bag --redact[/]           hands it on
    [bold]fakeexplain case verify bag --expect HEAD[/]                 checks it
    """,
    no_args_is_help=True,
    rich_markup_mode="rich",
)

CaseFolder = Annotated[Path, typer.Argument(metavar="CASE", help="The case folder.", show_default=False)]
Actor = Annotated[
    str | None,
    typer.Option("--actor", help="Who acts; default FAKEEXPLAIN_ACTOR or your user name.", show_default=False),
]
LockTimeout = Annotated[
    float, typer.Option("--lock-timeout", min=0, help="Seconds to wait for another command on this case.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Redact = Annotated[
    bool,
    typer.Option("--redact", help="Leave out GPS, names, serial numbers, device ids, paths, free text, originals."),
]
RedactRemarks = Annotated[
    bool, typer.Option("--redact-remarks", help="With --redact: leave out your remarks and reasons, too.")
]


@contextmanager
def _told() -> Generator[None, None, None]:
    """User errors become one line and an exit code."""
    try:
        yield
    except SettingsError as error:
        _tell("error", str(error))
        raise typer.Exit(EXIT_USAGE) from None
    except OutputError as error:
        _tell("error", str(error))
        raise typer.Exit(EXIT_OUTPUT) from None
    except FakeExplainError as error:
        _tell("error", str(error))
        raise typer.Exit(EXIT_SOME_FAILED) from None


def _printable(text: str) -> str:
    from fakeexplain.imaging.source import printable  # brings OpenCV along, which `--help` need not wait for

    return printable(text, 1 << 16)


def _tell(kind: str, text: str) -> None:
    style = "yellow" if kind == "note" else "bold red"
    err.print(f"[{style}]{kind}:[/] {escape(_printable(text))}", highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    """One line on stdout, as it is: no markup, no wrapping, no control characters."""
    console.print(_printable(text), highlight=False, soft_wrap=True, markup=False)


@contextmanager
def _case(path: Path, lock_timeout: float = 30.0) -> Generator[Case, None, None]:
    """The case; whatever had to be mended is told, also if the command then fails."""
    from fakeexplain.casework.case import Case

    with _told():
        case = Case(path, lock_timeout=lock_timeout)
        try:
            yield case
        finally:
            for notice in case.notices:
                _tell("note", notice)


def _head(head: str) -> None:
    _say(f"log head {head}")


@app.command()
def new(
    case: CaseFolder,
    title: Annotated[str, typer.Option("--title", help="What the case is about.")] = "",
    actor: Actor = None,
) -> None:
    """Open a new case folder.

    [bold]fakeexplain case new bridge-2024 --title "Bridge photographs"[/]
    """
    from fakeexplain.casework.case import Case

    with _told():
        _, head = Case.create(case, title=title, actor=actor)
        _say(f"case opened in {case}")
        _head(head)


@app.command()
def add(
    case: CaseFolder,
    files: Annotated[list[Path], typer.Argument(help="Files as received; only read, never changed.")],
    actor: Actor = None,
    lock_timeout: LockTimeout = 30.0,
) -> None:
    """Receive files: copied bit by bit, named by hash, read-only. Bytes that are there already are recognised.

    [bold]fakeexplain case add CASE inbox/*.jpg[/]
    """
    failed = False
    with _case(case, lock_timeout) as opened:
        for file in files:
            try:
                added, head = opened.add(file, actor=actor)
            except FakeExplainError as error:
                if isinstance(error, OutputError) or len(files) == 1:
                    raise
                failed = True
                _tell("error", str(error))
                continue
            what = "the same bytes as before" if added.again else f"{added.size:,} bytes"
            _say(f"{added.item}  sha256 {added.sha256}  {added.received_name} ({what})")
            _head(head)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def examine(
    case: CaseFolder,
    items: Annotated[
        list[str] | None, typer.Argument(help="Items, say I1 I3; default: those not examined yet.", show_default=False)
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Promised rate of `manipulated` among unaltered photographs.")
    ] = 0.02,
    instruments: Annotated[
        str | None, typer.Option("--instruments", help="Comma-separated names; default all.", show_default=False)
    ] = None,
    max_megapixels: Annotated[float, typer.Option("--max-megapixels", help="Refuse larger pictures.")] = 150.0,
    expert: ExpertChoice = "embedded",
    no_expert: Annotated[bool, typer.Option("--no-expert", hidden=True, help="The same as --expert none.")] = False,
    actor: Actor = None,
    lock_timeout: LockTimeout = 30.0,
) -> None:
    """Examine items and store the results in the case.

    [bold]fakeexplain case examine CASE[/]        every item that was not examined yet
    [bold]fakeexplain case examine CASE I2 I3[/]  these
    """
    from fakeexplain.examiner import Examiner, Settings
    from fakeexplain.reasoning.numbers import percent_of
    from fakeexplain.reasoning.wording import label_words

    failed = False
    with _case(case, lock_timeout) as opened:
        names = tuple(n.strip() for n in instruments.split(",") if n.strip()) if instruments is not None else None
        network = None if no_expert or expert == "none" else expert
        examiner = Examiner(Settings(false_alarms, names, max_megapixels, network))
        state = opened.state()
        chosen = items or [i.id for i in state.items.values() if not i.examinations]
        for item in chosen:
            opened.item(state, item)
        if not chosen:
            _say("nothing to examine: every item has been examined; name items to examine them again")
        for item in chosen:
            try:
                number, examination, head = opened.examine(item, examiner, actor=actor)
            except OutputError:
                raise
            except FakeExplainError as error:
                failed = True
                _tell("error", str(error))
                continue
            verdict = examination.verdict
            _say(f"{item}  {number}  {label_words(verdict)}, probability {percent_of(verdict.probability)}")
            _head(head)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def note(
    case: CaseFolder,
    item: Annotated[str, typer.Argument(help="The item, say I1.")],
    text: Annotated[str, typer.Argument(help="The remark, or the reason of the status.")],
    evidence: Annotated[
        str | None, typer.Option("--evidence", help="The finding it is about, say E2.", show_default=False)
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", help='open, accepted, rejected or "needs second opinion"; needs --evidence.', show_default=False
        ),
    ] = None,
    examination: Annotated[
        str | None, typer.Option("--examination", help="Default: the item's last, say X1.", show_default=False)
    ] = None,
    actor: Actor = None,
    lock_timeout: LockTimeout = 30.0,
) -> None:
    """Record a remark on an item or a finding, or a finding's status with its reason.

    [bold]fakeexplain case note CASE I1 "sent by the agency, no original to be had"[/]
    [bold]fakeexplain case note CASE I1 --evidence E1 --status rejected "the caption explains it"[/]
    """
    from fakeexplain.casework.records import STATUSES

    with _case(case, lock_timeout) as opened:
        wanted = next((s for s in STATUSES if s == status), None)
        if status is not None and wanted is None:
            raise SettingsError(f"--status {status!r}: wanted one of {', '.join(STATUSES)}")
        noted, head = opened.note(item, text, evidence=evidence, status=wanted, examination=examination, actor=actor)
        place = " ".join(p for p in (noted.item, noted.examination, noted.evidence) if p)
        _say(f"{place}: {noted.status or 'remark'} recorded")
        _head(head)


@app.command("list")
def list_items(case: CaseFolder, json_output: AsJson = False, redact: Redact = False) -> None:
    """List the items of a case: hash, name, examinations, answer."""
    from fakeexplain.casework.text import list_json, list_lines
    from fakeexplain.casework.view import view_of

    with _case(case) as opened:
        view = view_of(opened, redact=redact)
        if json_output:
            typer.echo(json.dumps(list_json(view), indent=1))
            return
        for line in list_lines(view):
            _say(line)
        _tell_left_out(view.fields)
        _head(view.reading.head)


@app.command()
def show(
    case: CaseFolder,
    item: Annotated[str | None, typer.Argument(help="One item, say I1; default all.", show_default=False)] = None,
    json_output: AsJson = False,
    redact: Redact = False,
    redact_remarks: RedactRemarks = False,
) -> None:
    """Show items with receipts, examinations, findings, statuses and remarks. With --json, the whole case in full."""
    from fakeexplain.casework.export import case_json
    from fakeexplain.casework.text import item_lines
    from fakeexplain.casework.view import view_of

    with _case(case) as opened:
        view = view_of(opened, redact=redact, redact_remarks=redact_remarks)
        chosen = [opened.item(view.state, item)] if item is not None else list(view.state.items.values())
        if json_output:
            document = case_json(view)
            if item is not None:
                document["items"] = [i for i in document["items"] if i["id"] == item]
            typer.echo(json.dumps(document, indent=1))
            return
        for one in chosen:
            for line in item_lines(view, one):
                _say(line)
        _tell_left_out(view.fields)
        _head(view.reading.head)


def _tell_left_out(fields: dict[str, int]) -> None:
    if fields:
        _say("left out: " + ", ".join(f"{kind} ({count})" for kind, count in sorted(fields.items())))


def _handed_out(export: Export, redact: bool) -> None:
    _say(f"{export.files} files in {export.path}")
    if redact:
        _say("left out: originals")
        _tell_left_out(export.fields)
    _say(f"log head inside {export.head_inside}")
    _head(export.head)


def _check_redaction(redact: bool, redact_remarks: bool) -> None:
    if redact_remarks and not redact:
        raise SettingsError("--redact-remarks goes with --redact; wanted both")


@app.command()
def report(
    case: CaseFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder: index.html and a page an examination.")],
    redact: Redact = False,
    redact_remarks: RedactRemarks = False,
    actor: Actor = None,
    lock_timeout: LockTimeout = 30.0,
) -> None:
    """Write the report of the whole case as HTML.

    [bold]fakeexplain case report CASE --out report[/]
    """
    from fakeexplain.casework.export import write_report

    with _case(case, lock_timeout) as opened:
        _check_redaction(redact, redact_remarks)
        done = write_report(opened, out, redact=redact, redact_remarks=redact_remarks, actor=actor)
        _handed_out(done, redact)


@app.command()
def pack(
    case: CaseFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the bag.")],
    redact: Redact = False,
    redact_remarks: RedactRemarks = False,
    actor: Actor = None,
    lock_timeout: LockTimeout = 30.0,
) -> None:
    """Pack the case into a BagIt bag that another person can verify and, in full, examine again.

    [bold]fakeexplain case pack CASE --out bag[/]           everything
    [bold]fakeexplain case pack CASE --out bag --redact[/]  without originals, names, positions and serial numbers
    """
    from fakeexplain.casework.export import pack as pack_case

    with _case(case, lock_timeout) as opened:
        _check_redaction(redact, redact_remarks)
        done = pack_case(opened, out, redact=redact, redact_remarks=redact_remarks, actor=actor)
        _handed_out(done, redact)
        # The bag was closed before its making became an entry, so it holds the head before that one.
        _say(f"whoever checks the bag: fakeexplain case verify {done.path.name} --expect {done.head_inside}")


@app.command()
def verify(
    case: Annotated[Path, typer.Argument(metavar="CASE|BAG", help="A case folder or a bag of one.")],
    expect: Annotated[
        str | None, typer.Option("--expect", help="A log head written down earlier.", show_default=False)
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Examine every original again and compare every record.")
    ] = False,
    json_output: AsJson = False,
    lock_timeout: LockTimeout = 30.0,
) -> None:
    """Check everything and change nothing. Exit codes: 0 intact, 1 damaged (every problem listed), 2 wrong usage."""
    from fakeexplain.casework.errors import CaseDamagedError, CaseLockedError
    from fakeexplain.casework.verify import verify as verify_case

    progress: Callable[[str], None] | None = None
    if err.is_terminal and recompute:
        progress = lambda number: _tell("note", f"{number} recomputed")  # noqa: E731
    try:
        found = verify_case(case, expect=expect, recompute_all=recompute, lock_timeout=lock_timeout, on_done=progress)
    except (CaseDamagedError, CaseLockedError) as error:
        _tell("error", str(error))
        raise typer.Exit(EXIT_SOME_FAILED) from None
    except FakeExplainError as error:  # no case at all, a malformed head: nothing was checked
        _tell("error", str(error))
        raise typer.Exit(EXIT_USAGE) from None
    if json_output:
        typer.echo(
            json.dumps(
                {
                    "intact": found.intact,
                    "problems": found.problems,
                    "remarks": found.remarks,
                    "head": found.head,
                    "entries": found.entries,
                    "items": found.items,
                    "examinations": found.examinations,
                    "files": found.files,
                    "recomputed": found.recomputed,
                    "redacted": found.redacted,
                },
                indent=1,
            )
        )
    else:
        for problem in found.problems:
            _tell("problem", problem)
        for remark in found.remarks:
            _say(f"note: {remark}")
        counts = f"{found.entries} log entries, {found.items} items, {found.examinations} examinations"
        _say(f"{counts}, {found.files} files checked")
        if found.recomputed is not None:
            _say(f"{found.recomputed} evidence records measured again")
        if found.redacted:
            _say("redacted copy, originals not included; left out in it:")
            _tell_left_out(found.redacted)
        if expect is None:
            _say("no --expect: a log that was rewritten from scratch, or cut at its end, would not be noticed")
        _head(found.head)
        _say("intact" if found.intact else f"DAMAGED: {len(found.problems)} problems")
    if not found.intact:
        raise typer.Exit(EXIT_SOME_FAILED)
