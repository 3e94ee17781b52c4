"""The library's PDF report with one more page: what the person at the screen remarked.

Left out: every page of the report itself (`fakeexplain.report.pdf`), which is only put before the remarks here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from reportlab.platypus import Flowable

from app.service import FindingNote
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Examination
from fakeexplain.report.pdf import render_pdf
from fakeexplain.report.pdf_parts import SOFT, Heading, grid, text

_COLUMNS = ("about", "status", "remark", "by", "time")


def render_pdf_with_remarks(
    examination: Examination, source: SourceImage, score_map: np.ndarray | None, notes: Sequence[FindingNote]
) -> bytes:
    """The bytes of one PDF; without remarks exactly the library's report. Raises as `render_pdf`."""
    return render_pdf(examination, source, score_map, remarks=remarks_pages(notes) if notes else ())


def remarks_pages(notes: Sequence[FindingNote]) -> list[Flowable]:
    """The remarks as a table."""
    from app.exports import REMARKS_NOTE, REMARKS_TITLE

    body = [(n.evidence_id or "picture", n.status or "–", n.text or "–", n.author or "–", n.time) for n in notes]
    return [Heading(REMARKS_TITLE), text(REMARKS_NOTE, color=SOFT), grid(_COLUMNS, body, (10, 14, 44, 15, 17))]
