"""One HTML file per examination: readable without a network, printable, and safe to open.

Every string is escaped and stripped of control characters; pictures are data URIs; a content security policy admits
nothing but those pictures and the one style sheet, by its hash. Left out: scripts of any kind, links to anywhere, and
the full-size overlay and mask, which are files of their own.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from PIL import Image

from fakeexplain.errors import SourceError
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.reasoning.wording import (
    instrument_title,
    is_significant,
    label_words,
    number_words,
    percent_of,
    rate_words,
    trace_title,
)
from fakeexplain.records import Claim, Evidence, Examination, Scalar
from fakeexplain.report.overlay import Mark, heatmap, marks_of, outline, overlay
from fakeexplain.verdict import PRIOR

DISPLAY_SIDE = 1600  # pixels, long side of the embedded pictures
_SMALL_SIDE = 800  # pictures below it are enlarged by a whole factor, so that labels stay legible
_CROP_SIDE = 520  # pixels of a close view
_CELL_LENGTH = 4000  # characters of one further figure
_STRENGTHS = ("none", "weak", "moderate", "strong", "very strong")


@dataclass(frozen=True)
class _Picture:
    """An embedded picture: data URI, size in pixels, what it shows."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class _Finding:
    """What a finding's card shows."""

    item: Evidence
    tone: int
    title: str
    instrument: str
    claims: tuple[Claim, ...]
    bars: tuple[tuple[str, float, str], ...]
    crops: tuple[_Picture, ...]
    nfa: str
    dots: int
    further: tuple[tuple[str, str], ...] = field(default=())


def render_html(examination: Examination, source: SourceImage, score_map: np.ndarray | None = None) -> str:
    """The report as one self-contained HTML document.

    Args:
        examination: what to report.
        source: the very picture that was examined.
        score_map: float HxW in [0, 1] at source size (`examiner.examination_map`), shown as a heat map; None for none.

    Raises:
        SourceError: `source` is another picture.
    """
    if source.sha256 != examination.source.sha256:
        raise SourceError(
            f"{source.name}: sha256 {source.sha256[:12]}..., the examination is of "
            f"{examination.source.sha256[:12]}...; give the picture that was examined"
        )
    marks = marks_of(examination)
    css = _read("report.css")
    reasoning = examination.reasoning
    quiet_ids = {e.id for e in examination.evidence if e.kind == "detection"} - {m.label for m in marks}
    findings = _findings(examination, source, marks)
    shown = {f.item.id for f in findings}
    return _template().render(
        x=examination,
        css=Markup(css),
        style_hash=_style_hash(css),
        label=label_words(examination.verdict),
        percent=percent_of(examination.verdict.probability),
        prior=percent_of(PRIOR),
        prior_x=100 * PRIOR,
        rate=rate_words(examination.verdict.false_alarms),
        conclusion=[c for c in reasoning if c.section == "conclusion" and not _is_basis(c, examination)],
        findings=findings,
        quiet=[c for c in reasoning if c.section == "finding" and not set(c.evidence_ids) & shown],
        quiet_count=len(quiet_ids - shown),
        facts=[c for c in reasoning if c.section == "fact"],
        fact_details=[(e.id, _further(e)) for e in examination.evidence if e.kind == "fact" and e.details],
        not_tested=[c for c in reasoning if c.section == "not_tested"],
        quality=[c for c in reasoning if c.section == "quality"],
        pictures=_pictures(examination, source, marks, score_map),
        jpeg=examination.source.jpeg or {},
        ids={e.id for e in examination.evidence},
    )


def nfa_words(log10_nfa: float | None) -> str:
    """A number of false alarms as people write it.

    >>> nfa_words(-7.3), nfa_words(-1.0), nfa_words(2.1)
    ('5 × 10⁻⁸', '0.1', '130')
    """
    if log10_nfa is None:
        return ""
    if -3 <= log10_nfa < 6:
        return number_words(float(f"{10.0**log10_nfa:.2g}"))
    exponent = math.floor(log10_nfa)
    mantissa = round(10.0 ** (log10_nfa - exponent))
    mantissa, exponent = (1, exponent + 1) if mantissa == 10 else (mantissa, exponent)
    return f"{mantissa} × 10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(nfa=nfa_words, scalar=_scalar, size=_size_words)
    environment.globals["cite"] = _cite
    return environment.from_string(_read("report.html.j2"))


def _read(name: str) -> str:
    return resources.files("fakeexplain.report").joinpath("templates", name).read_text("utf-8")


def _style_hash(css: str) -> str:
    """The CSP source expression of the style element's exact content."""
    return "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()


def _plain(value: object) -> object:
    """What the template prints: strings without control characters; our own markup untouched; None as nothing."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, 1 << 20)
    return value


def _cite(claim: Claim, ids: set[str]) -> Markup:
    """A claim's text, escaped, its citations of existing evidence as links inside the page."""

    def link(match: re.Match[str]) -> str:
        found = match.group(1)
        return f'<a class="cite" href="#{found}">{found}</a>' if found in ids else match.group(0)

    text = re.sub(r"(?<=\d) %", "\u00a0%", str(escape(printable(claim.text, 1 << 20))))
    linked = re.sub(r"\[(E\d+)\]", link, text)
    # At most four citations stay on one line with the full stop; more may break.
    return Markup(re.sub(r'((?:<a class="cite"[^>]*>E\d+</a>){1,4}\.)$', r'<span class="nb">\1</span>', linked))


def _is_basis(claim: Claim, examination: Examination) -> bool:
    """The definition of the probability has its place beside the bar."""
    return claim.text.rstrip(".") == examination.verdict.probability_basis.rstrip(".")


def _scalar(value: Scalar) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _size_words(size_bytes: int) -> str:
    if size_bytes < 1 << 20:
        return f"{size_bytes / 1024:.1f} KiB ({size_bytes:,} bytes)"
    return f"{size_bytes / (1 << 20):.1f} MiB ({size_bytes:,} bytes)"


def _further(item: Evidence) -> tuple[tuple[str, str], ...]:
    """Further figures as (name, text) pairs."""
    pairs = []
    for key, value in item.details.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        pairs.append((str(key), printable(text, _CELL_LENGTH)))
    return tuple(pairs)


def _findings(examination: Examination, source: SourceImage, marks: Sequence[Mark]) -> list[_Finding]:
    by_label = {m.label: (tone, m) for tone, m in enumerate(marks)}
    found = []
    for item in examination.evidence:
        if not is_significant(item, examination.verdict):
            continue
        tone, mark = by_label.get(item.id, (0, None))
        claims = tuple(c for c in examination.reasoning if c.section == "finding" and c.evidence_ids == (item.id,))
        found.append(
            _Finding(
                item=item,
                tone=tone % 5,
                title=trace_title(item),
                instrument=instrument_title(item.instrument),
                claims=claims,
                bars=_bars(item),
                crops=_crops(item, source, mark) if mark is not None else (),
                nfa=nfa_words(item.log10_nfa),
                dots=_STRENGTHS.index(item.strength),
                further=_further(item),
            )
        )
    return found


def _bars(item: Evidence) -> tuple[tuple[str, float, str], ...]:
    """(name, length in per cent of the longer one, figure) of value and reference; empty unless both are numbers."""
    pair = (item.value, item.reference)
    numbers = [v for v in pair if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) != 2 or min(numbers) < 0 or max(numbers) == 0 or not all(map(math.isfinite, numbers)):
        return ()
    names = ("here", "reference")
    return tuple((n, 100 * v / max(numbers), number_words(v)) for n, v in zip(names, numbers, strict=True))


def _pictures(
    examination: Examination, source: SourceImage, marks: Sequence[Mark], score_map: np.ndarray | None
) -> dict[str, _Picture]:
    """The picture and, where there are any, the picture with its findings and the map, all of one display size."""
    rgb = _display(source.display_rgb)
    height, width = rgb.shape[:2]
    small = [
        Mark(
            m.label,
            _display_mask(m.region_mask, height, width),
            None if m.partner_mask is None else _display_mask(m.partner_mask, height, width),
            m.colour,
        )
        for m in marks
    ]
    name, share = examination.source.name, f"{source.width}x{source.height} pixels"
    received = "The picture as received." + ("" if marks else " Nothing to mark: no finding passed the threshold.")
    pictures = {"plain": _embed(rgb, f"The examined picture {name}, {share}", received)}
    if marks:
        mask = _display_mask(decode_mask(examination.mask), height, width)
        marked = "Findings outlined: " + ", ".join(m.label for m in marks) + "."
        drawn = overlay(rgb, mask, regions=small)
        pictures["marked"] = _embed(drawn, f"The examined picture. {marked}", marked)
    if score_map is not None and score_map.shape == source.rgb.shape[:2] and np.any(score_map):
        resized = cv2.resize(score_map.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        alt = "Map of suspicion, dark blue low, yellow high"
        caption = (
            "Map of suspicion: yellow is more. It is not calibrated; the verdict rests on the findings, not on it."
        )
        pictures["map"] = _embed(heatmap(rgb, resized), alt, caption)
    return pictures


def _display(rgb: np.ndarray) -> np.ndarray:
    """At most DISPLAY_SIDE long; small pictures enlarged by a whole factor without smoothing. uint8 hxwx3."""
    height, width = rgb.shape[:2]
    scale = DISPLAY_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    factor = max(1, _SMALL_SIDE // max(height, width))
    return np.ascontiguousarray(rgb.repeat(factor, axis=0).repeat(factor, axis=1))


def _display_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at display size; what would vanish is kept."""
    shrinks = mask.shape[0] > height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=method)
    return small >= 0.5 if (small >= 0.5).any() else small > 0


def _crops(item: Evidence, source: SourceImage, mark: Mark) -> tuple[_Picture, ...]:
    """Close views of the finding's region and of its partner, with thin outlines."""
    crops = []
    areas = [(item.region, mark.region_mask, item.id), (item.partner, mark.partner_mask, f"{item.id}b")]
    for region, mask, label in areas:
        if region is None or mask is None or not mask.any():
            continue
        label = f"{item.id}a" if item.partner is not None and label == item.id else label
        x0, y0, x1, y1 = region.box_xyxy
        margin = max(16, max(x1 - x0, y1 - y0) // 5)
        ys = slice(max(y0 - margin, 0), min(y1 + margin, source.height))
        xs = slice(max(x0 - margin, 0), min(x1 + margin, source.width))
        rgb, inside = source.display_rgb[ys, xs], mask[ys, xs]
        scale = _CROP_SIDE / max(rgb.shape[:2])
        how = "at native pixels"
        if scale < 1:
            size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            inside = _display_mask(inside, *rgb.shape[:2])
            how = f"reduced to {100 * scale:.0f} %"
        elif scale >= 3:
            factor = min(4, max(2, int(scale * 0.6)))
            rgb, inside = (a.repeat(factor, axis=0).repeat(factor, axis=1) for a in (rgb, inside))
            how = f"enlarged {factor} times"
        crops.append(
            _embed(outline(rgb, inside, mark.colour), f"Close view of {label}: {region.words}", f"{label}, {how}")
        )
    return tuple(crops)


def _embed(rgb: np.ndarray, alt: str, caption: str) -> _Picture:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=90, subsampling=0)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return _Picture(uri, rgb.shape[1], rgb.shape[0], alt, caption)
