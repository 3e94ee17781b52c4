"""The HTML report and the terminal summary: complete, self-contained, and safe against hostile strings."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from skimage import data

from fakeexplain.errors import SourceError
from fakeexplain.imaging.regions import decode_mask, encode_mask, region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.wording import explain
from fakeexplain.records import Evidence, Examination, QualityReport, Verdict
from fakeexplain.report.content import nfa_words
from fakeexplain.report.render import render_html
from fakeexplain.report.terminal import terminal_summary

HOSTILE = "<script>alert(1)</script>\" onload='x' {{ 7*7 }} [bold red]x[/] [E1] \x1b[31mred\x07 \u202eevil"


def _ellipse(height: int, width: int, x: float, y: float, rx: float, ry: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return ((xs / width - x) / rx) ** 2 + ((ys / height - y) / ry) ** 2 < 1


def forged_picture(name: str = "holiday/IMG_2041.jpg") -> tuple[SourceImage, np.ndarray, np.ndarray, np.ndarray]:
    """The astronaut with a noisy patch pasted in and one badge copied: (source, noisy, copied from, copied to)."""
    rgb = data.astronaut().copy()
    height, width = rgb.shape[:2]
    noisy = _ellipse(height, width, 0.72, 0.27, 0.13, 0.17)
    grain = np.random.default_rng(7).normal(0, 6, rgb.shape)
    rgb[noisy] = np.clip(rgb[noisy] + grain[noisy], 0, 255).astype(np.uint8)
    first = _ellipse(height, width, 0.335, 0.76, 0.075, 0.085)
    second = np.roll(first, (-36, 190), axis=(0, 1))
    rgb[second] = np.roll(rgb, (-36, 190), axis=(0, 1))[second]
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=88)
    return SourceImage.from_bytes(buffer.getvalue(), name=name), noisy, first, second


def records_of(noisy: np.ndarray, first: np.ndarray, second: np.ndarray, text: str = "Canon EOS 80D") -> list[Evidence]:
    noise, copies = region_of_mask(noisy, "R1"), (region_of_mask(first, "R2"), region_of_mask(second, "R3"))
    return [
        Evidence(
            id="E1",
            instrument="noise",
            instrument_version="1.0",
            kind="detection",
            trace="noise_high",
            quantity="standard deviation of the noise at the same brightness",
            value=6.1,
            unit="grey levels",
            reference=3.0,
            reference_text="around it",
            region=noise,
            log10_nfa=-7.3,
            log10_tests=5.1,
            strength="strong",
            limits=("fine texture such as grass or fabric", "local sharpening by the camera"),
            details={"blocks": 412, "z": 8.2},
        ),
        Evidence(
            id="E2",
            instrument="copy_move",
            instrument_version="1.0",
            kind="detection",
            trace="duplicate_region",
            quantity="windows whose fine detail agrees in both areas",
            value=118,
            reference=4,
            reference_text="expected by chance",
            region=copies[0],
            partner=copies[1],
            log10_nfa=-12.0,
            strength="very strong",
            limits=("two things that are alike down to the grain, such as printed patterns",),
        ),
        Evidence(
            id="E3",
            instrument="jpeg_grid",
            instrument_version="1.0",
            kind="detection",
            trace="foreign_grid",
            quantity="votes for a JPEG grid other than the picture's own",
            value=14,
            reference=11.5,
            reference_text="expected by chance",
            log10_nfa=1.2,
        ),
        Evidence(
            id="E4",
            instrument="metadata",
            instrument_version="1.0",
            kind="fact",
            trace="camera_facts",
            quantity="camera the file names",
            value=text,
            reference_text="as written in the file, which anybody can change",
            details={"Artist": text, "gps_present": False},
        ),
        Evidence(
            id="E5",
            instrument="double_jpeg",
            instrument_version="1.0",
            kind="abstention",
            trace="none",
            quantity="parts that lack the traces of an earlier save",
            reason="the picture was saved as JPEG only once, so there is no earlier save to compare with",
        ),
    ]


def examination_of(name: str = "holiday/IMG_2041.jpg", text: str = "Canon EOS 80D") -> tuple[Examination, SourceImage]:
    """A realistic examination, records written by hand."""
    source, noisy, first, second = forged_picture(name)
    evidence = tuple(records_of(noisy, first, second, text))
    quality = QualityReport(
        band="jpeg_medium", examinable=True, figures={"megapixels": 0.2621, "jpeg_quality": 88, "flat_fraction": 0.11}
    )
    verdict = Verdict(
        label="manipulated",
        probability=0.9671,
        log10_nfa=-11.4,
        threshold_log10=-2.6021,
        false_alarms=0.02,
        deciding_ids=("E1", "E2"),
        reason="2 findings of copy_move, noise passed the threshold.",
        probability_basis=(
            "Posterior probability of a local manipulation for a prior of 0.5; likelihood ratios of the strongest "
            "finding counted on 1000 authentic and 800 forged pictures (made-up figures of a test)."
        ),
        not_tested=("whether the whole picture was made by a generative model", f"double_jpeg: {evidence[4].reason}"),
    )
    examination = Examination(
        source=source.facts(),
        quality=quality,
        evidence=evidence,
        verdict=verdict,
        reasoning=explain(quality, evidence, verdict),
        mask=encode_mask(noisy | first | second),
        settings={"false_alarms": 0.02, "instruments": ["jpeg_grid", "noise", text], "max_megapixels": 150.0},
        versions={"fakeexplain": "0.1.0", "numpy": "2.0", "instrument:noise": "1.0"},
        seconds={"total": 1.5},
        examined_at="2026-11-20T14:00:00+00:00",
    )
    return examination, source


class _Page(HTMLParser):
    """What a browser would see: tags with attributes, and the text outside the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def handle_data(self, text: str) -> None:
        if not self._style:
            self.texts.append(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def made() -> tuple[Examination, SourceImage, str, _Page]:
    examination, source = examination_of()
    score_map = np.linspace(0, 1, source.width, dtype=np.float32)[None].repeat(source.height, axis=0)
    html = render_html(examination, source, score_map)
    return examination, source, html, _Page(html)


def test_report_holds_everything(made: Any) -> None:
    examination, source, _, page = made
    for claim in examination.reasoning:
        plain = re.sub(r"\s*\[E\d+\]", "", claim.text).rstrip(".")
        assert plain in page.text, claim.text
    for words in (source.sha256, "IMG_2041.jpg", "97 %", "at most 2 of 100", "5 × 10⁻⁸", "jpeg_medium", "512 × 512"):
        assert words in page.text, words
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    assert {e.id for e in examination.evidence} <= set(ids)
    links = {a["href"] for t, a in page.tags if t == "a"}
    assert links <= {f"#{i}" for i in ids}


def test_report_is_self_contained_and_its_policy_admits_its_own_style(made: Any) -> None:
    _, _, html, page = made
    assert not {"script", "link", "iframe", "object", "form"} & {t for t, _ in page.tags}
    for _, attributes in page.tags:
        assert "style" not in attributes
        assert not any(k.startswith("on") for k in attributes)
        assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
    css = re.search(r"<style>(.*?)</style>", html, re.S).group(1)
    assert "url(" not in css
    assert "@import" not in css
    wanted = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{wanted}'" in policy


def test_report_is_accessible(made: Any) -> None:
    page = made[3]
    images = [a for t, a in page.tags if t == "img"]
    assert len(images) == 6  # picture, marked, map, one close view of E1, two of E2
    assert all(a.get("alt") and a.get("width") and a.get("height") for a in images)
    levels = [int(t[1]) for t, _ in page.tags if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert next(a for t, a in page.tags if t == "html")["lang"] == "en-GB"


def test_embedded_pictures_show_the_findings(made: Any) -> None:
    examination, source, _, page = made
    uris = [a["src"] for t, a in page.tags if t == "img"]
    plain, marked = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(u.split(",")[1])))).astype(int) for u in uris[:2]
    )
    assert max(plain.shape) <= 1600
    changed = np.abs(plain - marked).max(axis=2) > 24
    mask = decode_mask(examination.mask)
    assert changed[mask].mean() > 2 * changed[~mask].mean()
    assert np.abs(plain - source.rgb.astype(int)).mean() < 3


def test_hostile_strings_are_data() -> None:
    examination, source = examination_of(name=HOSTILE, text=HOSTILE)
    html = render_html(examination, source)
    page = _Page(html)
    assert "script" not in {t for t, _ in page.tags}
    assert not any(k.startswith("on") for _, a in page.tags for k in a)
    assert "<script" not in html.lower()
    assert "49" not in re.findall(r"onload=.{0,60}", page.text)[0]
    assert "{{ 7*7 }}" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    forged = [
        c for c in examination.reasoning if "E1" in c.text and "E1" not in c.evidence_ids and "E4" in c.evidence_ids
    ]
    assert all("[E1]" not in c.text for c in forged)


def test_endless_strings_are_kept_short_or_wrapped() -> None:
    examination, source = examination_of(text="x" * 10_000)
    html = render_html(examination, source)
    assert "overflow-wrap: anywhere" in html
    assert len(_Page(html).text) < 60_000
    assert all(len(c.text) < 1500 for c in examination.reasoning)


@pytest.mark.parametrize("label", ["no_evidence", "inconclusive"])
def test_other_verdicts_render_without_findings(label: str) -> None:
    examination, source = examination_of()
    quiet = tuple(e.model_copy(update={"log10_nfa": 2.0}) if e.kind == "detection" else e for e in examination.evidence)
    verdict = examination.verdict.model_copy(update={"label": label, "probability": 0.31, "deciding_ids": ()})
    changed = examination.model_copy(
        update={
            "evidence": quiet,
            "verdict": verdict,
            "mask": encode_mask(np.zeros(source.rgb.shape[:2], bool)),
            "reasoning": explain(examination.quality, quiet, verdict),
        }
    )
    page = _Page(render_html(changed, source))
    assert "No finding passed the threshold" in page.text
    assert len([t for t, _ in page.tags if t == "img"]) == 1  # nothing to mark, so no second picture
    assert label.split("_")[0] in _printed(changed).lower()
    if label == "no_evidence":
        assert "No evidence found, which does not show that the picture is unaltered" in page.text


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (150, 200), (1300, 1700)])
def test_any_size_renders(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (*shape, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    source = SourceImage.from_bytes(buffer.getvalue())
    examination, _ = examination_of()
    mask = np.ones(shape, dtype=bool)
    item = examination.evidence[0].model_copy(update={"region": region_of_mask(mask, "R1")})
    verdict = examination.verdict.model_copy(update={"deciding_ids": ("E1",)})
    changed = examination.model_copy(
        update={
            "source": source.facts(),
            "evidence": (item,),
            "verdict": verdict,
            "mask": encode_mask(mask),
            "reasoning": explain(examination.quality, (item,), verdict),
        }
    )
    page = _Page(render_html(changed, source, np.ones(shape, np.float32)))
    widths = [int(a["width"]) for t, a in page.tags if t == "img"]
    assert len(widths) == 4
    assert max(widths) <= 1600


def test_report_wants_the_examined_picture() -> None:
    examination, source = examination_of()
    other = examination.source.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(SourceError, match="give the picture that was examined"):
        render_html(examination.model_copy(update={"source": other}), source)


def test_number_of_false_alarms_in_figures() -> None:
    assert nfa_words(-7.3) == "5 × 10⁻⁸"
    assert nfa_words(-1.0) == "0.1"
    assert nfa_words(-9.0001) == "1 × 10⁻⁹"
    assert nfa_words(None) == ""


def _printed(examination: Examination) -> str:
    console = Console(width=100, force_terminal=True, color_system="truecolor", record=True, file=io.StringIO())
    console.print(terminal_summary(examination))
    raw = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[31m" not in raw
    return console.export_text()


def test_terminal_summary_says_the_same() -> None:
    examination, _ = examination_of()
    text = " ".join(_printed(examination).split())
    for words in (
        "EVIDENCE OF LOCAL ALTERATION",
        "97 %",
        "at most 2 of 100",
        "holiday/IMG_2041.jpg",
        "Not tested",
        "[E2]",
    ):
        assert words in text, words


def test_terminal_summary_shows_markup_as_text() -> None:
    examination, _ = examination_of(name="[bold]a[/bold].jpg", text=HOSTILE)
    text = _printed(examination)
    assert "[bold]a[/bold].jpg" in text
    assert "\u202e" not in text
    assert "(bold red)x(/)" in " ".join(text.split())
