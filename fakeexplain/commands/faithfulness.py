"""`fakeexplain faithfulness`: asks about every picture of a data set and reads the answers back.

What is measured is in `fakeexplain.evaluation.faithfulness`; here is only what a command does: options, resuming,
printing, files, exit codes. Heavy modules are imported inside the functions, so that `--help` stays quick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fakeexplain.commands.console import (
    EXIT_INTERRUPTED,
    EXIT_OUTPUT,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    err,
    fail,
    prepare_folder,
    progress_bar,
)
from fakeexplain.commands.console import out as console
from fakeexplain.commands.resuming import open_rows
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError
from fakeexplain.files import write_whole

if TYPE_CHECKING:
    from fakeexplain.evaluation.datasets import Item
    from fakeexplain.evaluation.faithfulness.protocol import Plan
    from fakeexplain.evaluation.faithfulness.rows import Row
    from fakeexplain.evaluation.table import Table


def faithfulness(
    folders: Annotated[
        list[Path], typer.Argument(help="Data sets: images/ and masks/, or authentic photographs.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for faithfulness.html, tables, rows.jsonl.", show_default=False),
    ] = None,
    writer: Annotated[
        str,
        typer.Option(
            "--wording",
            "--writer",
            help="Who answers: `assistant` (default), `plain` (rules alone), or a folder of weights.",
            show_default=False,
        ),
    ] = "",
    llm: Annotated[
        str, typer.Option("--llm", help="A language model by name or path instead.", show_default=False)
    ] = "",
    llm_url: Annotated[
        str, typer.Option("--llm-url", help="An OpenAI-compatible server instead.", show_default=False)
    ] = "",
    llm_model: Annotated[
        str, typer.Option("--llm-model", help="The model that the server is asked for.", show_default=False)
    ] = "",
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="JSONL of another model's answers; nothing is asked.", show_default=False),
    ] = None,
    questions: Annotated[
        int, typer.Option("--questions", min=1, max=100, help="Of the 100 questions, how many each picture is asked.")
    ] = 10,
    trials: Annotated[
        bool, typer.Option("--trials/--no-trials", help="Also restoration, swap, pressure and stability.")
    ] = True,
    false_alarms: Annotated[float, typer.Option("--false-alarms", help="Promised rate, as for `examine`.")] = 0.02,
    expert: Annotated[
        str, typer.Option("--expert", help="Folder with weights of the network; `embedded`, or `none` to do without.")
    ] = "embedded",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Pictures at the same time.")] = 1,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many pictures a data set.", show_default=False)
    ] = None,
) -> None:
    """Measure whether answers say what was measured, all of it, and nothing else. By program, no judge model.

    For the restoration test, the original pictures lie in originals/ (`python -m data_tools.forge.pairs`). With --out,
    a run that was stopped goes on where it was when started again.

    [bold]fakeexplain faithfulness data/my_forgeries data/authentic --out results[/]
    [bold]fakeexplain faithfulness data/my_forgeries --answers other.jsonl --out results[/]   another model's answers
    """
    from fakeexplain.evaluation.faithfulness.answers import answer_tables, read_answers, score_answers
    from fakeexplain.evaluation.faithfulness.protocol import Choice, Plan
    from fakeexplain.evaluation.faithfulness.tables import faithfulness_tables
    from fakeexplain.examiner import Examiner, Settings

    rows: dict[tuple[str, str, str], Row] = {}
    try:
        settings = Settings(false_alarms, expert=None if expert == "none" else expert)
        examiner = Examiner(settings, threads=1)
        promise = false_alarms if examiner.panel.expert else false_alarms / 2
        items = _items(folders, limit)
        choice = Choice(writer, llm, llm_url, llm_model)
        if answers is None:
            choice.make(examiner)  # what is wrong with it is told before the first picture
        plan = Plan(settings, choice, questions, trials)
        file = None if answers is None else read_answers(answers)
        log = None
        if out is not None:
            prepare_folder(out)
            log = _resume(out, plan, answers, examiner, items, rows)
        left = [i for i in items if i.key not in rows]
        found = score_answers(left, file, examiner) if file is not None else _asked(items, left, plan, jobs)
        _collect(found, rows, len(items), log)
        done = sorted(rows.values(), key=lambda r: r.key)
        tables = faithfulness_tables(done, promise) + ([] if file is None else answer_tables(done, file))
        for table in tables:
            console.print(table.to_rich())
        if out is not None:
            facts = _facts(done, plan, examiner, answers)
            _write(done, tables, facts, promise, out)
    except SettingsError as error:
        raise fail(error, EXIT_USAGE) from None
    except OutputError as error:
        raise fail(error, EXIT_OUTPUT) from None
    except FakeExplainError as error:
        raise fail(error, EXIT_SOME_FAILED) from None
    except BrokenProcessPool:
        raise fail("a worker process died (out of memory?); lower --jobs" + _kept(out), EXIT_SOME_FAILED) from None
    except KeyboardInterrupt:
        err.print(f"interrupted after {len(rows)} pictures{_kept(out)}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if any(r.error for r in rows.values()):
        raise typer.Exit(EXIT_SOME_FAILED)


def _kept(out: Path | None) -> str:
    return "; the same command goes on from here" if out is not None else "; nothing was kept without --out"


def _items(folders: Sequence[Path], limit: int | None) -> list[Item]:
    from fakeexplain.evaluation.datasets import dataset_names, read_dataset, refuse_unmasked, spread

    names = dataset_names(folders)
    items = [i for f, n in zip(folders, names, strict=True) for i in spread(read_dataset(f, n), limit)]
    refuse_unmasked(items)
    return items


def _asked(items: Sequence[Item], left: Sequence[Item], plan: Plan, jobs: int) -> Iterator[Row]:
    """Tasks are numbered over all pictures, so that a resumed run asks what the whole one would have asked."""
    from fakeexplain.evaluation.faithfulness.protocol import run_faithfulness, tasks_of

    waiting = {i.key for i in left}
    tasks = [t for t in tasks_of(items) if t.item.key in waiting]
    return run_faithfulness(tasks, plan, workers=min(jobs, max(len(tasks), 1)))


def _resume(
    out: Path,
    plan: Plan,
    answers: Path | None,
    examiner: object,
    items: Sequence[Item],
    rows: dict[tuple[str, str, str], Row],
) -> Path:
    """Takes over the rows of an earlier run of the same settings, versions and pictures; where further rows go."""
    from fakeexplain.evaluation.faithfulness.protocol import FAITHFULNESS_VERSION
    from fakeexplain.evaluation.faithfulness.rows import row_from_json
    from fakeexplain.examiner import Examiner, versions

    assert isinstance(examiner, Examiner)
    given = None if answers is None else hashlib.sha256(answers.read_bytes()).hexdigest()
    parts = (
        FAITHFULNESS_VERSION,
        plan,
        given,
        sorted(versions(examiner.instruments, examiner.expert).items()),
        [i.key for i in items],  # which questions a picture is asked depends on the pictures before it
    )
    log, lines = open_rows(out, "rows", parts)
    rows.update((r.key, r) for r in map(row_from_json, lines))
    return log


def _collect(found: Iterator[Row], rows: dict[tuple[str, str, str], Row], total: int, log: Path | None) -> None:
    """A row is on disk as soon as it is there."""
    from fakeexplain.evaluation.faithfulness.rows import row_to_json

    with progress_bar() as progress:
        task = progress.add_task("asking", total=total, completed=len(rows))
        for row in found:
            rows[row.key] = row
            progress.advance(task)
            if log is not None:
                try:
                    with log.open("a", encoding="utf-8") as stream:
                        stream.write(row_to_json(row) + "\n")
                except OSError as error:
                    raise OutputError(f"{log}: cannot be written ({error.strerror or error})") from None


def _facts(rows: Sequence[Row], plan: Plan, examiner: object, answers: Path | None) -> dict[str, str]:
    from fakeexplain.examiner import Examiner, versions

    assert isinstance(examiner, Examiner)
    writers = sorted({r.writer for r in rows if r.writer})
    seconds = [a.seconds for r in rows for a in r.asked if a.seconds]
    return {
        "who answers": ", ".join(writers) if answers is None else f"the answers in {answers.name}",
        "promised false alarms": f"{100 * plan.settings.false_alarms:g} %",
        "questions a picture": "as in the file" if answers is not None else str(plan.questions),
        "experiments": "yes" if plan.trials and answers is None else "no",
        "seconds an answer, median": f"{sorted(seconds)[len(seconds) // 2]:.2f}" if seconds else "–",
        "expert": "none" if examiner.expert is None else f"weights {examiner.expert.version}",
        **versions(examiner.instruments, examiner.expert),
    }


def _write(rows: Sequence[Row], tables: Sequence[Table], facts: dict[str, str], promise: float, out: Path) -> None:
    """faithfulness.html, tables.md, tables.json, rows.jsonl. Raises OutputError."""
    from fakeexplain.evaluation.faithfulness.page import render_page
    from fakeexplain.evaluation.faithfulness.rows import row_to_json

    made_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    stored = {"made_at": made_at, "facts": facts, "tables": [t.to_dict() for t in tables]}
    files = {
        "faithfulness.html": render_page(rows, tables, facts, promise, made_at),
        "tables.md": "\n".join(t.to_markdown() for t in tables),
        "tables.json": json.dumps(stored, indent=1, ensure_ascii=False) + "\n",
        "rows.jsonl": "".join(row_to_json(r) + "\n" for r in rows),
    }
    try:
        for name, text in files.items():
            write_whole(out / name, text)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    console.print(f"page, tables and rows: {escape(str(out / 'faithfulness.html'))}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(faithfulness)
