"""One HTML file per examination: readable without a network, printable, and safe to open.

What it says is `content`'s, how pages are made is `html`'s. Left out: scripts of any kind, links to anywhere, and the
full-size overlay and mask, which are files of their own.
"""

from __future__ import annotations

import numpy as np

from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.numbers import percent_of
from fakeexplain.records import Examination
from fakeexplain.report.content import build_content
from fakeexplain.report.html import render_template
from fakeexplain.report.strings import GLOSSARY, GUIDE, TEXT
from fakeexplain.verdict import PRIOR


def render_html(examination: Examination, source: SourceImage, score_map: np.ndarray | None = None) -> str:
    """The report as one self-contained HTML document.

    Args:
        examination: what to report.
        source: the very picture that was examined.
        score_map: float HxW in [0, 1] at source size (`examiner.examination_map`), shown as a heat map; None for none.

    Raises:
        SourceError: `source` is another picture.
    """
    return render_template(
        "report.html.j2",
        x=examination,
        c=build_content(examination, source, score_map),
        t=TEXT,
        guide=GUIDE,
        glossary=GLOSSARY,
        prior=percent_of(PRIOR),
        prior_x=100 * PRIOR,
    )
