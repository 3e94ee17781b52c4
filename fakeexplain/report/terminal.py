"""A compact answer for the terminal: verdict, probability, sentences, what was not tested; a line where there are many.

Text is never parsed as markup and carries no control characters, for file names and metadata come from strangers. Left
out: pictures and the table of values (see `render`).
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.numbers import percent_of, rate_words
from fakeexplain.reasoning.phrases import LABELS
from fakeexplain.reasoning.touching import of_one_place
from fakeexplain.reasoning.wording import account_claims, is_significant, label_words, place_words
from fakeexplain.records import Claim, Examination
from fakeexplain.report.strings import TEXT
from fakeexplain.verdict import PRIOR

# No green: nothing here says that a picture is in order.
_STYLES = {"manipulated": "dark_orange3", "no_evidence": "steel_blue", "inconclusive": "yellow4"}
_BAR = 28
_LABEL = max(map(len, LABELS.values()))
_MAX_FACTS = 8


def terminal_summary(examination: Examination) -> RenderableType:
    """Something to give to `rich.console.Console.print`."""
    verdict = examination.verdict
    style = _STYLES[verdict.label]
    claims = examination.reasoning
    strong = {e.id for e in examination.evidence if is_significant(e, verdict)}
    findings = [c for c in claims if c.section == "finding"]
    conclusion = [
        c for c in claims if c.section == "conclusion" and c.text.rstrip(".") != verdict.probability_basis.rstrip(".")
    ]
    promise = f"at most {rate_words(verdict.false_alarms)} false alarms promised"
    head = Group(
        Text(label_words(verdict).upper(), style=f"bold {style}"),
        _bar(verdict.probability, style),
        Text(f"{_size(examination)}; {promise}", style="dim"),
    )
    lead = Text("\n").join(_text(c) for c in conclusion[:1])
    panel = Panel(
        Group(head, Text(""), lead),
        title=Text(_short(examination.source.name), style="bold"),
        title_align="left",
        border_style=style,
        padding=(1, 2),
    )
    sections = [
        (TEXT["account"], list(account_claims(examination.account))),
        ("Why", conclusion[1:]),
        ("Found", [c for c in findings if set(c.evidence_ids) & strong]),
        ("Examined without a finding", [c for c in findings if not set(c.evidence_ids) & strong]),
        ("What the file says", [c for c in claims if c.section == "fact"][:_MAX_FACTS]),
        ("What the file allows", [c for c in claims if c.section == "quality"]),
        ("Not tested", [c for c in claims if c.section == "not_tested"]),
    ]
    return Group(panel, *(part for title, some in sections if some for part in _section(title, some)))


def terminal_line(examination: Examination) -> Text:
    """One picture of many: verdict, probability, name, and where."""
    verdict = examination.verdict
    line = Text(f"{label_words(verdict):<{_LABEL}} ", style=f"bold {_STYLES[verdict.label]}")
    line.append(f"{percent_of(verdict.probability):>12}  ", style="default")
    line.append(_short(examination.source.name), style="default")
    found = [e for e in examination.evidence if e.id in verdict.deciding_ids and e.region is not None]
    if verdict.label == "manipulated" and found:
        largest = [
            max(group, key=lambda e: e.region.area_fraction if e.region else 0.0) for group in of_one_place(found)
        ]
        line.append(f"  {'; '.join(place_words(e.region) for e in largest)}", style="dim")
    return line


def _section(title: str, claims: Iterable[Claim]) -> list[RenderableType]:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(width=1)
    rows.add_column(ratio=1, overflow="fold")
    for claim in claims:
        rows.add_row(Text("·", style="dim"), _text(claim))
    return [Text(f"  {title}", style="bold"), Padding(rows, (0, 2, 1, 2))]


def _text(claim: Claim) -> Text:
    text = Text(printable(claim.text, 2000))
    text.highlight_regex(r"\[E\d+\]", "dim")
    return text


def _bar(probability: float, style: str) -> Text:
    filled = round(_BAR * probability)
    bar = Text("━" * filled, style=style)
    bar.append("─" * (_BAR - filled), style="grey50")  # thinner, so that it reads without colour
    bar.append(f"  {percent_of(probability)}", style="bold")
    bar.append(f"  ({percent_of(PRIOR)} before anything was measured)", style="dim")
    return bar


def _size(examination: Examination) -> str:
    source = examination.source
    quality = f", quality {source.jpeg['quality']}" if source.jpeg and source.jpeg.get("quality") else ""
    return f"{source.width} × {source.height} pixels, {source.format}{quality}"


def _short(name: str, limit: int = 120) -> str:
    name = printable(name)
    return name if len(name) <= limit else "…" + name[1 - limit :]
