"""The PDF: it says what the page says, survives hostile and foreign strings, and embeds its fonts and pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fakeexplain.errors import SourceError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.wording import explain
from fakeexplain.records import Examination
from fakeexplain.report import pdf
from fakeexplain.report.content import build_content, support_of
from fakeexplain.report.pdf_parts import lacks, safe
from fakeexplain.verdict import load_calibration
from tests.pictures import encode
from tests.unit.test_report import HOSTILE, examination_of


def _words(monkeypatch: pytest.MonkeyPatch, examination: Examination, source: SourceImage) -> tuple[str, str, bytes]:
    """(text of page one, text of the rest, bytes of the document)."""
    stories = []

    def build(story: list[object], **options: str) -> bytes:
        stories.append(list(story))
        return real(story, **options)

    real = pdf.build
    monkeypatch.setattr(pdf, "build", build)
    data = pdf.render_pdf(examination, source)
    first = next(i for i, part in enumerate(stories[0]) if type(part).__name__ == "PageBreak")
    return _plain(stories[0][:first]), _plain(stories[0][first:]), data


def _plain(parts: list[object]) -> str:
    """The words of flowables, those inside tables and kept-together groups too."""
    texts = []
    for part in parts:
        if hasattr(part, "getPlainText"):
            texts.append(part.getPlainText())
        elif hasattr(part, "_cellvalues"):
            for row in part._cellvalues:
                texts += [_plain(cell if isinstance(cell, (list, tuple)) else [cell]) for cell in row]
        elif hasattr(part, "_content"):
            texts.append(_plain(list(part._content)))
    return " ".join(texts)


def test_page_one_answers_and_the_rest_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    examination, source = examination_of()
    first, rest, data = _words(monkeypatch, examination, source)
    for words in (
        *("Was a part of this picture altered", "Evidence of local alteration", "97 %", "at most 2 of 100"),
        *("E1: More noise than its surroundings, in the upper right", "What this does not say", "fine texture"),
        *("times as often among altered pictures", "No person has checked it", "holiday/IMG_2041.jpg"),
    ):
        assert words in first, words
    assert "proposition" not in first, "page one is for a reader who knows none of this"
    assert not re.search(r"\[E\d", first)
    for claim in examination.reasoning:
        if claim.text != examination.verdict.probability_basis:
            assert claim.text.replace("10⁻", "") in rest, claim.text
    for words in (
        source.sha256,
        "proposition A",
        "likelihood ratio",
        "could not be applied",
        "jpeg_medium",
        "Noise level",
    ):
        assert words in rest, words
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")


def test_the_same_examination_gives_the_same_bytes() -> None:
    examination, source = examination_of()
    assert pdf.render_pdf(examination, source) == pdf.render_pdf(examination, source)


def test_fonts_and_pictures_are_embedded() -> None:
    examination, source = examination_of()
    data = pdf.render_pdf(examination, source, np.ones(source.rgb.shape[:2], np.float32))
    assert data.count(b"/FontFile2") == 2
    assert data.count(b"/DCTDecode") == 5  # marked, map, one close view of E1, two of E2
    assert b"/Lang" in data
    assert b"/URI" not in data
    assert b"/JavaScript" not in data
    assert b"/Outlines" in data
    assert len(re.findall(rb"/Type /Page\b", data)) == 5


def test_hostile_strings_are_data(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"日本/Жук & <b>ą</b> {HOSTILE}" + "x" * 300
    examination, source = examination_of(name=name, text=HOSTILE * 30)
    _, rest, _ = _words(monkeypatch, examination, source)
    assert "‹U+65E5›‹U+672C›/‹U+0416›" in rest
    assert "<b>‹U+0105›</b>" in rest
    assert "<script>alert(1)</script>" in rest
    assert "Characters that this document's font lacks" in rest
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", rest)


def test_every_character_can_be_seen() -> None:
    assert safe("a<b>&amp;") == "a&lt;b&gt;&amp;amp;"
    assert safe("5 × 10⁻⁸") == "5 × 10<super>-8</super>"
    assert safe("log₁₀") == "log<sub>10</sub>"
    assert safe("é–“”…") == "é–“”…"
    assert safe("猫\U0001f600") == "‹U+732B›‹U+1F600›"
    assert safe("a\u0000\x1b") == "a??"
    assert lacks("猫")
    assert not lacks("cat é")


@pytest.mark.parametrize("shape", [(1, 1), (9, 700), (900, 7)])
@pytest.mark.parametrize("label", ["no_evidence", "inconclusive"])
def test_any_size_and_verdict_renders(shape: tuple[int, int], label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SourceImage.from_bytes(encode(np.full((*shape, 3), 90, np.uint8)))
    examination, _ = examination_of()
    verdict = examination.verdict.model_copy(update={"label": label, "probability": 0.5, "deciding_ids": ()})
    changed = examination.model_copy(
        update={
            "source": source.facts(),
            "evidence": examination.evidence[3:],
            "verdict": verdict,
            "reasoning": explain(examination.quality, examination.evidence[3:], verdict),
        }
    )
    first, rest, _ = _words(monkeypatch, changed, source)
    assert "Nothing to mark" in first
    assert "No finding passed the threshold" in rest
    assert "times as often" not in first, "no ratio was counted for this"
    if label == "no_evidence":
        assert "does not show that the picture is unaltered" in first


def test_support_is_capped_by_what_was_counted() -> None:
    verdict = examination_of()[0].verdict
    support = support_of(verdict)
    assert support.ratio == pytest.approx(0.9671 / 0.0329, rel=1e-6)
    assert "moderate support to proposition A against proposition B" in support.statement
    most = max(load_calibration()["likelihood_ratios"])
    assert f"no ratio above {most:.2g} can be shown" in " ".join(support.sentences)
    quiet = support_of(verdict.model_copy(update={"label": "no_evidence", "probability": 0.2}))
    assert quiet.ratio == pytest.approx(4.0)
    assert "weak support to proposition B against proposition A" in quiet.statement
    even = support_of(verdict.model_copy(update={"probability": 0.5}))
    assert even.ratio is None
    assert support_of(verdict.model_copy(update={"label": "inconclusive"})).ratio is None


def test_methods_tell_what_came_of_each() -> None:
    examination, source = examination_of()
    outcomes = {m.title: (m.outcome, m.detail) for m in build_content(examination, source).methods}
    assert outcomes["Noise level"] == ("finding E1", "")
    assert outcomes["JPEG grid"] == ("nothing beyond chance", "")
    assert outcomes["File and metadata"] == ("facts E4", "")
    assert outcomes["Double JPEG saving"][0] == "could not be applied"
    assert "saved as JPEG only once" in outcomes["Double JPEG saving"][1]


def test_report_wants_the_examined_picture() -> None:
    examination, source = examination_of()
    other = examination.source.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(SourceError, match="give the picture that was examined"):
        pdf.render_pdf(examination.model_copy(update={"source": other}), source)
