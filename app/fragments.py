"""The parts of the page that we draw ourselves, as markup: verdict card, findings, conversation, progress, tables.

Templates lie in app/assets/templates. Every string is escaped and stripped of control characters: file names,
metadata, questions, what a model wrote. Left out: what the parts say (`views` and the library), and events.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup, escape

from app.theme import asset
from fakeexplain.casework.records import STATUSES
from fakeexplain.imaging.source import printable
from fakeexplain.report.strings import COMPARISON
from fakeexplain.report.templating import make_environment

if TYPE_CHECKING:
    from app.batches import BatchRow
    from app.comparing import CompareView
    from app.pictures import Picture
    from app.service import Progress
    from app.views import EvidenceItem, PictureView
    from fakeexplain.records import Answer, AnswerSentence, Region, ToolCall

EXPORTS = (
    ("html", "Report (HTML)"),
    ("pdf", "Report (PDF)"),
    ("json", "Figures (JSON)"),
    ("mask", "Mask (PNG)"),
    ("overlay", "Marked picture (PNG)"),
    ("conversation", "Conversation (JSON)"),
    ("zip", "Everything (ZIP)"),
)
_LONGEST = 1 << 20
_CITED = re.compile(r"\[((?:[ER]\d+)(?:\s*,\s*[ER]\d+)*)\]")


def header() -> str:
    return _render("header.html.j2")


def intro() -> str:
    return _render("intro.html.j2")


def progress(event: Progress, name: str) -> str:
    """How far an examination is."""
    words = {
        "waiting": f"{event.done} requests are before this one.",
        "reading": "Reading the file …",
        "measuring": f"{event.done} of {event.total} instruments have finished." if event.total else "Measuring …",
    }
    return _render("status.html.j2", kind="busy", title=name, words=words.get(event.stage, ""), event=event)


def status(words: str, kind: str = "done", title: str = "") -> str:
    """A message where the reader is looking. kind: "done", "busy" or "error"."""
    return _render("status.html.j2", kind=kind, title=title, words=words, event=None)


def summary(view: PictureView) -> str:
    """File, verdict, probability, promise, limits."""
    known = {e.id for e in view.evidence}
    return _render("summary.html.j2", v=view, c=view.card, cite=lambda text: cited(text, known))


def findings(view: PictureView, tones: dict[str, int]) -> str:
    """The evidence list: what counts first, then what was measured on request, then everything else, folded."""
    strong = [e for e in view.evidence if e.significant]
    asked = [e for e in view.evidence if e.measured_on_request]
    rest = [e for e in view.evidence if not e.significant and not e.measured_on_request]
    known = {e.id for e in view.evidence}
    return _render(
        "findings.html.j2",
        v=view,
        groups=(strong, asked, rest),
        tones=tones,
        statuses=STATUSES,
        cite=lambda text: cited(text, known),
    )


def thread(turns: Sequence[Answer], pending: Pending | None, known: set[str], about: dict[int, str]) -> str:
    """The conversation so far. about: number of a turn -> id of the region that was asked about."""
    return _render("thread.html.j2", turns=turns, pending=pending, about=about, cite=lambda text: cited(text, known))


class Pending:
    """An answer that is still being written. error: why it ended early, "" otherwise."""

    def __init__(self, question: str, about: str = "") -> None:
        self.question, self.about, self.error = question, about, ""
        self.sentences: list[AnswerSentence] = []
        self.tool_calls: list[ToolCall] = []


def suggestions(questions: Sequence[str]) -> str:
    return _render("suggestions.html.j2", questions=questions)


def about_region(region: Region | None, words: str = "") -> str:
    """The region that the next question is about; "" for none."""
    return "" if region is None else _render("about.html.j2", region=region, words=words)


def exports(picture: Picture) -> str:
    return _render("exports.html.j2", id=picture.id, kinds=EXPORTS)


def notes(view: PictureView) -> str:
    """Remarks on the picture as a whole, and the form for another one."""
    return _render("notes.html.j2", v=view)


def comparison(view: CompareView, kept: str) -> str:
    """kept: the id by which its files can be fetched."""
    return _render("comparison.html.j2", v=view, kept=kept, answers=COMPARISON)


def comparison_line(view: CompareView) -> str:
    """The answer in one line above the pictures, with the names of both files."""
    names = f"{view.questioned.name}, laid on {view.original.name}. All that was measured stands below the picture."
    return status(names, title=f"{COMPARISON[view.answer]}:")


def batch_table(rows: Sequence[BatchRow], thumbnails: dict[str, str], name: str) -> str:
    """thumbnails: name of a picture -> data URI. name: of the batch."""
    return _render("batch.html.j2", rows=rows, thumbnails=thumbnails, name=name)


def batch_status(title: str, words: str, done: int, total: int, *, busy: bool) -> str:
    """How far a batch is."""
    event = {"done": done, "total": total} if busy else None
    return _render("status.html.j2", kind="busy" if busy else "done", title=title, words=words, event=event)


def tones_of(items: Sequence[EvidenceItem]) -> dict[str, int]:
    """Evidence id -> number of its colour, the same as in the viewer and the report."""
    return {e.id: i % 5 for i, e in enumerate(e for e in items if e.significant)}


def cited(text: str, known: set[str]) -> Markup:
    """Escaped text whose citations of known evidence and regions are links that light up the place.

    >>> str(cited("A <b> [E1]", {"E1"})).count("<a ")
    1
    """

    def links(match: re.Match[str]) -> str:
        return "".join(
            f'<a class="fx-cite" href="#{i}" data-select="{i}">{i}</a>' if i in known else f"[{i}]"
            for i in re.findall(r"[ER]\d+", match.group(1))
        )

    plain = re.sub(r"(?<=\d) %", "\u00a0%", str(escape(printable(text, _LONGEST))))
    linked = _CITED.sub(links, plain)
    # The last citations stay on one line with the full stop.
    return Markup(re.sub(r"((?:<a [^>]*>\w+</a>\s?){1,4}[.;,])", r'<span class="fx-nb">\1</span>', linked))


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return make_environment(lambda name: asset(f"templates/{name}"))
