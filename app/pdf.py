"""The library's PDF report with one more page: what the person at the screen remarked.

Left out: every page of the report itself (`fakeexplain.report.pdf`), which is only put before the remarks here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from reportlab.platypus import Flowable, PageBreak

from app.service import FindingNote
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.records import Examination
from fakeexplain.report import pdf as report
from fakeexplain.report.content import build_content
from fakeexplain.report.pdf_parts import SOFT, Heading, build, grid, text
from fakeexplain.report.strings import TEXT

_COLUMNS = ("about", "status", "remark", "by", "time")


def render_pdf_with_remarks(
    examination: Examination, source: SourceImage, score_map: np.ndarray | None, notes: Sequence[FindingNote]
) -> bytes:
    """The bytes of one PDF; without remarks exactly the library's report. Raises as `report.pdf.render_pdf`."""
    if not notes:
        return report.render_pdf(examination, source, score_map)
    # `render_pdf` closes its document, so its parts are put together here in the same order.
    content = build_content(examination, source, score_map)
    version = examination.versions.get("fakeexplain", "")
    foot = f"{TEXT['brand']} {printable(version, 20)} · sha256 {examination.source.sha256[:24]}…"
    story = [*report._page_one(content), PageBreak(), *report._findings(content), *report._facts(content)]
    story += [*report._limits(content), *report._conclusion(content), *remarks_pages(notes)]
    story += [*report._methods(content), PageBreak(), *report._appendix(content)]
    title = TEXT["title"].format(label=content.label, name=examination.source.name)
    return build(story, title=title, subject=TEXT["pdf_subject"], foot=foot)


def remarks_pages(notes: Sequence[FindingNote]) -> list[Flowable]:
    """The remarks as a table."""
    from app.exports import REMARKS_NOTE, REMARKS_TITLE

    body = [(n.evidence_id or "picture", n.status or "–", n.text or "–", n.author or "–", n.time) for n in notes]
    return [Heading(REMARKS_TITLE), text(REMARKS_NOTE, color=SOFT), grid(_COLUMNS, body, (10, 14, 44, 15, 17))]
