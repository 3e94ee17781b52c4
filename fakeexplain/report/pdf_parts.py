"""Building blocks of the PDF: fonts, styles, safe text, pictures, tables, the page frame with its numbers.

The font is Bitstream Vera, embedded from reportlab's wheel: Latin letters only. A character it lacks is written as its
number, ‹U+65E5›, so that no name is ever garbled or lost. Left out: what the document says (`pdf`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from xml.sax.saxutils import escape

from PIL import Image as PillowImage
from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, Image, PageTemplate, Paragraph, Table, TableStyle

from fakeexplain.imaging.source import printable
from fakeexplain.report.pictures import Picture
from fakeexplain.report.strings import TEXT

rl_config.useA85 = 0  # pictures as bytes, a fifth smaller

MARGIN, FOOT = 19 * mm, 16 * mm
WIDTH = A4[0] - 2 * MARGIN
INK, SOFT, LINE, WASH = HexColor("#1c2126"), HexColor("#59626b"), HexColor("#d5d0c5"), HexColor("#f3f0ea")
TONES = {
    "manipulated": HexColor("#a8431a"),
    "inconclusive": HexColor("#7a5c0d"),
    "no_evidence": HexColor("#35597f"),
}
CELL_LENGTH = 420  # characters: a row of a table must fit on a page
_SUPERSCRIPT, _SUBSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"), str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FACES = {"Vera": "Vera.ttf", "Vera-Bold": "VeraBd.ttf"}


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Code points the font has; registers the fonts on the first call."""
    for name, file in _FACES.items():
        pdfmetrics.registerFont(TTFont(name, file))
    pdfmetrics.registerFontFamily("Vera", normal="Vera", bold="Vera-Bold", italic="Vera", boldItalic="Vera-Bold")
    return frozenset(pdfmetrics.getFont("Vera").face.charToGlyph)


def safe(text: str, limit: int = 1 << 20) -> str:
    """Any string as reportlab's markup: data stays data, and every character can be seen."""
    glyphs, out = _glyphs(), []
    for character in printable(text, limit):
        if ord(character) in glyphs and character not in "²³¹":
            out.append(escape(character))
        elif character.translate(_SUPERSCRIPT) != character:
            out.append(f"<super>{character.translate(_SUPERSCRIPT)}</super>")
        elif character.translate(_SUBSCRIPT) != character:
            out.append(f"<sub>{character.translate(_SUBSCRIPT)}</sub>")
        else:
            out.append(f"‹U+{ord(character):04X}›")
    return "".join(out).replace("</super><super>", "").replace("</sub><sub>", "")


def lacks(text: str) -> bool:
    """Whether some of its characters are written as numbers."""
    return "‹U+" in safe(text) and "‹U+" not in text


def style(
    size: float = 9.2, *, bold: bool = False, color: HexColor = INK, after: float = 4, before: float = 0
) -> ParagraphStyle:
    _glyphs()
    return ParagraphStyle(
        "s",
        fontName="Vera-Bold" if bold else "Vera",
        fontSize=size,
        leading=size * 1.45,
        textColor=color,
        spaceAfter=after,
        spaceBefore=before,
        splitLongWords=1,
    )


def text(words: str, size: float = 9.2, *, bold: bool = False, color: HexColor = INK, after: float = 4) -> Paragraph:
    """A paragraph of data or of our own words."""
    return Paragraph(safe(words), style(size, bold=bold, color=color, after=after))


def cell(words: str, size: float = 7.4, *, bold: bool = False, color: HexColor = INK) -> Paragraph:
    """A paragraph short enough for a row of a table."""
    return Paragraph(safe(words, CELL_LENGTH), style(size, bold=bold, color=color, after=0))


class Heading(Paragraph):
    """A heading that is also an entry of the document's outline. level: 0 for sections, 1 below them."""

    def __init__(self, words: str, level: int = 0) -> None:
        size = 13.5 if level == 0 else 10.5
        heading = style(size, bold=True, after=5 if level == 0 else 3, before=13 if level == 0 else 8)
        heading.keepWithNext = 1
        super().__init__(safe(words), heading)
        self.words, self.level = printable(words, 200), level


def picture(shown: Picture, width: float, height: float) -> Image:
    """A picture as large as fits into width x height points, embedded as JPEG."""
    buffer = io.BytesIO()
    PillowImage.fromarray(shown.rgb).save(buffer, "JPEG", quality=88, subsampling=0)
    buffer.seek(0)
    scale = min(width / shown.width, height / shown.height)
    return Image(buffer, max(shown.width * scale, 1.0), max(shown.height * scale, 1.0), hAlign="LEFT")


def figure(shown: Picture, width: float, height: float) -> list[Flowable]:
    """A picture and its caption."""
    return [picture(shown, width, height), text(shown.caption, 7.6, color=SOFT, after=0)]


def stack(columns: Sequence[Sequence[Flowable]], widths: Sequence[float], *, wash: bool = False) -> Table:
    """Columns side by side. They do not break over pages: keep them short."""
    table = Table([[list(c) for c in columns]], colWidths=list(widths), hAlign="LEFT")
    commands = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]
    commands += [("RIGHTPADDING", (0, 0), (-1, -1), 9), ("TOPPADDING", (0, 0), (-1, -1), 2)]
    if wash:
        commands += [("BACKGROUND", (0, 0), (-1, -1), WASH), ("LEFTPADDING", (0, 0), (-1, -1), 9)]
        commands += [("TOPPADDING", (0, 0), (-1, -1), 7), ("BOTTOMPADDING", (0, 0), (-1, -1), 5)]
    table.setStyle(TableStyle(commands))
    return table


def rows(pairs: Sequence[tuple[str, str]], name_width: float = 92, width: float = WIDTH) -> Table:
    """Name and text, line by line."""
    data = [[cell(name, color=SOFT), cell(value)] for name, value in pairs]
    table = Table(data, colWidths=[name_width, width - name_width], hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ]
        )
    )
    return table


def grid(header: Sequence[str], body: Sequence[Sequence[str]], widths: Sequence[float], size: float = 7.4) -> Table:
    """A table whose header comes again on each page. widths: shares of the page's width."""
    data = [[cell(words, size, bold=True, color=SOFT) for words in header]]
    data += [[cell(words, size) for words in row] for row in body]
    table = Table(data, colWidths=[WIDTH * w / sum(widths) for w in widths], repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, 0), WASH),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
                ("LEFTPADDING", (0, 0), (-1, -1), 3.5),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3.5),
                ("TOPPADDING", (0, 0), (-1, -1), 2.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
            ]
        )
    )
    return table


class Bar(Flowable):
    """A share of a width, with an optional tick (the prior)."""

    def __init__(self, share: float, width: float, color: HexColor, tick: float | None = None) -> None:
        super().__init__()
        self.width, self.height = width, 9.0
        self._share, self._color, self._tick = min(max(share, 0.0), 1.0), color, tick

    def draw(self) -> None:
        canvas = self.canv
        canvas.setFillColor(LINE)
        canvas.rect(0, 2, self.width, 5, stroke=0, fill=1)
        canvas.setFillColor(self._color)
        canvas.rect(0, 2, self.width * self._share, 5, stroke=0, fill=1)
        if self._tick is not None:
            canvas.setFillColor(INK)
            canvas.rect(self.width * self._tick - 0.5, 0, 1, 9, stroke=0, fill=1)


class _NumberedCanvas(Canvas):
    """Writes each page's footer when the number of pages is known."""

    foot = ""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._pages: list[dict[str, object]] = []

    def showPage(self) -> None:
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setStrokeColor(LINE)
            self.setLineWidth(0.5)
            self.line(MARGIN, FOOT - 3 * mm, A4[0] - MARGIN, FOOT - 3 * mm)
            self.setFont("Vera", 6.8)
            self.setFillColor(SOFT)
            self.drawString(MARGIN, FOOT - 7 * mm, self.foot)
            of = TEXT["page"].format(page=number, pages=len(self._pages))
            self.drawRightString(A4[0] - MARGIN, FOOT - 7 * mm, of)
            super().showPage()
        super().save()


class _Document(BaseDocTemplate):
    def afterFlowable(self, flowable: Flowable) -> None:
        if isinstance(flowable, Heading):
            key = f"h{self.page}-{id(flowable)}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.words, key, level=flowable.level)


def build(story: list[Flowable], *, title: str, subject: str, foot: str) -> bytes:
    """The pages as the bytes of one PDF; the same story gives the same bytes."""
    buffer = io.BytesIO()
    document = _Document(
        buffer,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=15 * mm,
        bottomMargin=FOOT,
        title=printable(title, 300),
        subject=subject,
        creator=TEXT["brand"],
        lang="en-GB",
        invariant=1,
    )
    frame = Frame(
        MARGIN, FOOT, WIDTH, A4[1] - 15 * mm - FOOT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
    )
    document.addPageTemplates([PageTemplate("page", [frame])])
    canvas = type("_Canvas", (_NumberedCanvas,), {"foot": foot})
    document.build(story, canvasmaker=canvas)
    return buffer.getvalue()
