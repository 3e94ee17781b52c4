"""The report of a whole case: index.html with items, hashes, findings, statuses, remarks and the log; one page an
examination.

Every page is self-contained and escaped, without scripts; index.html links to the pages beside it. Left out: the pages'
content, which is the examination report (`report.render`).
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup
from PIL import Image

from fakeexplain.casework.errors import CaseDamagedError
from fakeexplain.casework.records import Entry, ExaminationEntry, Item, Remark
from fakeexplain.casework.sealing import sealed_kind, sha256_of, shortened
from fakeexplain.casework.storage import read_regular, shown
from fakeexplain.casework.transaction import EXAMINATIONS
from fakeexplain.casework.view import View
from fakeexplain.imaging.source import DEFAULT_MAX_MEGAPIXELS, SourceImage
from fakeexplain.reasoning.numbers import percent_of
from fakeexplain.reasoning.wording import instrument_title, is_significant, label_words, trace_title
from fakeexplain.records import Evidence, Examination
from fakeexplain.report.render import render_html
from fakeexplain.report.templating import make_environment, printed_or_nothing, style_hash, template_reader

_read = template_reader("fakeexplain.casework")
_PREVIEW_SIDE = 640  # pixels


@dataclass(frozen=True)
class _Row:
    """A finding or another cited record, with what people said about it."""

    item: Evidence
    title: str
    instrument: str
    status: str
    said: tuple[Remark, ...]


@dataclass(frozen=True)
class _Examined:
    """One examination of an item."""

    logged: ExaminationEntry
    examination: Examination
    label: str
    percent: str
    page: str
    preview: str
    rows: tuple[_Row, ...]
    remarks: tuple[Remark, ...]


def report_files(view: View) -> dict[str, bytes]:
    """index.html and pages/X1.html, ...: name -> content.

    In a full report the pages are the very files that were recorded with the examinations.

    Raises:
        CaseDamagedError: a file is not as recorded.
    """
    files: dict[str, bytes] = {}
    items = []
    for item in view.state.items.values():
        examined = [_examined(view, item, number) for number in item.examinations]
        for one in examined:
            files[one.page] = _page(view, item, one)
        general = [r for r in view.state.remarks if r.note.item == item.id and r.note.examination is None]
        items.append((item, examined, general))
    css = _read("case.css")
    files["index.html"] = (
        _template()
        .render(
            css=Markup(css),
            style_hash=style_hash(css),
            state=view.state,
            items=items,
            head=view.reading.head,
            lines=[(e, line.hash, _summary(e)) for e, line in zip(view.state.entries, view.reading.lines, strict=True)],
            fields=view.fields,
            redacted=view.redacted is not None,
        )
        .encode()
    )
    return files


def _examined(view: View, item: Item, number: str) -> _Examined:
    examination = view.examination(number)
    remarks = [r for r in view.state.remarks if r.note.item == item.id and r.note.examination == number]
    rows = []
    for evidence in examination.evidence:
        said = tuple(r for r in remarks if r.note.evidence == evidence.id)
        if not said and not is_significant(evidence, examination.verdict):
            continue
        last = view.state.status_of(number, evidence.id)
        status = last.note.status if last is not None and last.note.status is not None else "open"
        rows.append(_Row(evidence, trace_title(evidence), instrument_title(evidence.instrument), status, said))
    return _Examined(
        view.state.examinations[number],
        examination,
        label_words(examination.verdict),
        percent_of(examination.verdict.probability),
        f"pages/{number}.html",
        _preview(_stored(view, number, "overlay.png")),
        tuple(rows),
        tuple(r for r in remarks if r.note.evidence is None),
    )


def _stored(view: View, number: str, name: Any) -> bytes:
    """A file of an examination, its hash checked."""
    path = view.case.path / EXAMINATIONS / number / name
    try:
        data = read_regular(path)
    except OSError as error:
        raise CaseDamagedError(f"{shown(path)}: cannot be read ({error.strerror or error})") from None
    if sha256_of(data) != view.state.examinations[number].examined.files[name].sha256:
        raise CaseDamagedError(f"{shown(path)}: was changed, its sha256 does not fit the log; see `case verify`")
    return data


def _page(view: View, item: Item, one: _Examined) -> bytes:
    number = one.logged.examined.examination
    if view.redacted is None:
        return _stored(view, number, "report.html")
    limit = float(one.examination.settings.get("max_megapixels", DEFAULT_MAX_MEGAPIXELS))  # what was examined then
    source = SourceImage.from_bytes(view.case.original(item), name=one.examination.source.name, max_megapixels=limit)
    return render_html(one.examination, source).encode()


def _preview(png: bytes) -> str:
    """A small JPEG of a stored overlay as a data URI; drawn from pixels, so that nothing else travels with it."""
    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB")
    small.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _summary(entry: Entry) -> str:
    """An entry in a few words, for the table of the log."""
    said = shortened(entry.payload)
    if entry.action == "add":
        again = " (the same bytes again)" if said["again"] else ""
        return f"{said['item']} received as {said['received_name']}{again}"
    if entry.action == "examine":
        return f"{said['item']} examined: {said['examination']}, {said['label']}"
    if entry.action == "examine_failed":
        return f"{said['item']} could not be examined: {said['error']}"
    if entry.action == "note":
        place = " ".join(p for p in (said["item"], said["examination"], said["evidence"]) if p)
        return f"{place}: {said['status'] or 'remark'}"
    if entry.action in ("report", "pack"):
        left_out = f", without {', '.join(said['redacted'])}" if said["redacted"] else ""
        return f"{said['files']} files handed out{left_out}"
    if entry.action == "recover":
        return f"an unfinished line of {said['size']} bytes was set aside"
    return "case opened"


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = make_environment(_read, _plain)
    environment.filters["when"] = lambda text: str(text).split(".")[0].replace("T", " ").rstrip("Z") + " UTC"
    return environment.get_template("case.html.j2")


def _plain(value: object) -> object:
    """What the template prints: as everywhere, with commitments shortened."""
    if isinstance(value, str) and not isinstance(value, Markup) and sealed_kind(value):
        value = shortened(value)
    return printed_or_nothing(value)
