"""The report as a PDF: question, answer and picture on page one, then what it rests on, then every value.

It draws from the same `content` as the HTML page. A reader who stops after page one has the answer, how sure it is and
what it does not say. Left out: signatures and seals (a case folder has them), and links to anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Spacer

from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.reasoning.wording import place_words
from fakeexplain.records import Claim, Examination
from fakeexplain.report.content import STRENGTHS, Finding, ReportContent, build_content, scalar_words
from fakeexplain.report.pdf_parts import (
    SOFT,
    TONES,
    WIDTH,
    Bar,
    Heading,
    build,
    figure,
    grid,
    lacks,
    rows,
    stack,
    text,
)
from fakeexplain.report.strings import GLOSSARY, GLOSSARY_PRINT, METHOD_COLUMNS, TEXT, VALUE_COLUMNS
from fakeexplain.verdict import PRIOR

_MOST_ROWS = 24  # further figures of one record in print; all are in examination.json
_NAME_LENGTH = 90
_MOST_PLACES = 4  # findings on page one; all follow on page two


def render_pdf(
    examination: Examination,
    source: SourceImage,
    score_map: np.ndarray | None = None,
    *,
    remarks: Sequence[Flowable] = (),
) -> bytes:
    """The report as the bytes of one PDF, A4.

    Args:
        examination: what to report.
        source: the very picture that was examined.
        score_map: float HxW in [0, 1] at source size (`examiner.examination_map`); None for none.
        remarks: what a person adds; between the conclusion and the methods.

    Raises:
        SourceError: `source` is another picture.
    """
    content = build_content(examination, source, score_map)
    version = examination.versions.get("fakeexplain", "")
    foot = f"{TEXT['brand']} {printable(version, 20)} · sha256 {examination.source.sha256[:24]}…"
    story = [*_page_one(content), PageBreak(), *_findings(content), *_facts(content), *_limits(content)]
    story += [*_conclusion(content), *remarks, *_methods(content), PageBreak(), *_appendix(content)]
    title = TEXT["title"].format(label=content.label, name=examination.source.name)
    return build(story, title=title, subject=TEXT["pdf_subject"], foot=foot)


def _page_one(content: ReportContent) -> list[Flowable]:
    examination, verdict = content.examination, content.examination.verdict
    tone = TONES[verdict.label]
    when = examination.examined_at.replace("T", " ").replace("+00:00", " UTC")
    name = printable(examination.source.name)
    name = name if len(name) <= _NAME_LENGTH else "…" + name[1 - _NAME_LENGTH :]
    left, right = 0.62 * WIDTH, 0.38 * WIDTH
    shown = content.pictures.get("marked", content.pictures["plain"])
    lead, *then = content.conclusion or [Claim(text=content.label, section="conclusion")]
    places = [
        TEXT["where"].format(id=f.item.id, title=f.title, place=place_words(f.item.region)) for f in content.findings
    ]
    causes = [
        TEXT["harmless_of"].format(id=f.item.id, causes="; ".join(f.item.limits))
        for f in content.findings
        if f.item.limits
    ]
    picture = [*figure(shown, left - 12, 300), Spacer(1, 4), *(text(p, 8.6, after=2) for p in places[:_MOST_PLACES])]
    untold = [c.text for c in content.not_tested if not c.evidence_ids][:3]
    head = stack([[text(TEXT["brand"], 9, bold=True, after=0)], [text(when, 8, color=SOFT, after=0)]], [left, right])
    return [
        head,
        Spacer(1, 8),
        text(f"{TEXT['items']}: {name}", 8.6, color=SOFT, after=7),
        text(TEXT["question_title"], 8.6, bold=True, color=SOFT, after=1),
        text(TEXT["question"], 9.6, after=9),
        text(TEXT["answer_title"], 8.6, bold=True, color=SOFT, after=1),
        text(content.label, 23, bold=True, color=tone, after=5),
        text(_without_citations(lead), 10.6, after=8),
        stack([picture, _how_sure(content, right - 12, then)], [left, right]),
        Spacer(1, 7),
        stack(
            [
                [
                    text(TEXT["not_said"], 8.6, bold=True, after=3),
                    text(TEXT["about_pixels"], 8.2, after=3),
                    *(text(words, 8.2, after=2) for words in untold),
                    *_causes(causes[:_MOST_PLACES]),
                ]
            ],
            [WIDTH],
            wash=True,
        ),
        Spacer(1, 6),
        text(TEXT["program"], 7.8, color=SOFT, after=0),
    ]


def _how_sure(content: ReportContent, width: float, then: list[Claim]) -> list[Flowable]:
    """The probability, what it means in counts, and the promise."""
    verdict, ratio = content.examination.verdict, content.support.ratio
    scale = stack(
        [[text(words, 6.6, color=SOFT, after=0)] for words in ("0 %", TEXT["even"], "100 %")],
        [0.35 * width, 0.41 * width, 0.24 * width],
    )
    story: list[Flowable] = [
        text(content.percent, 21, bold=True, after=0),
        text(TEXT["probability"], 8, color=SOFT, after=3),
        Bar(verdict.probability, width, TONES[verdict.label], PRIOR),
        scale,
        Spacer(1, 4),
        *(text(_without_citations(c), 8.6, after=5) for c in then[:1]),
    ]
    if ratio is not None:
        lay = TEXT["lay_altered" if verdict.probability > PRIOR else "lay_unaltered"]
        story.append(text(lay.format(ratio=f"{ratio:.2g}"), 8.6, after=5))
    promise = f"{TEXT['promised']}: {TEXT['promise'].format(rate=content.rate)}."
    return [*story, text(promise, 8, color=SOFT, after=0)]


def _causes(causes: list[str]) -> list[Flowable]:
    if not causes:
        return []
    return [Spacer(1, 4), text(TEXT["harmless"], 8.6, bold=True, after=3), *(text(c, 8.2, after=2) for c in causes)]


def _without_citations(claim: Claim) -> str:
    """The claim for page one, where the records it cites are not explained yet."""
    words = claim.text
    for evidence_id in claim.evidence_ids:
        words = words.replace(f"[{evidence_id}]", "")
    return words.replace(" .", ".")


def _paragraphs(claims: Iterable[Claim]) -> list[Flowable]:
    return [text(c.text) for c in claims]


def _findings(content: ReportContent) -> list[Flowable]:
    story: list[Flowable] = [Heading(TEXT["found"])]
    if not content.findings:
        story.append(text(TEXT["nothing"]))
    for finding in content.findings:
        story += _finding(finding)
    if content.quiet:
        story += [Heading(TEXT["quiet"], 1), *_paragraphs(content.quiet)]
    if "map" in content.pictures:
        story.append(KeepTogether([Heading(TEXT["map"], 1), *figure(content.pictures["map"], 0.55 * WIDTH, 210)]))
    return story


def _finding(finding: Finding) -> list[Flowable]:
    item = finding.item
    strength = item.strength if finding.dots else TEXT["not_graded"]
    by = f"{finding.instrument} · {strength} ({finding.dots} / {len(STRENGTHS) - 1})"
    numbers: list[Flowable] = []
    for name, length, value in finding.bars:
        numbers.append(text(f"{name}: {value} {item.unit}".rstrip(), 7.8, after=0))
        numbers.append(Bar(length / 100, 0.38 * WIDTH - 20, TONES["no_evidence"]))
    if item.reference_text and finding.bars:
        numbers.append(text(TEXT["reference_is"].format(text=item.reference_text), 7.4, color=SOFT))
    if finding.nfa:
        numbers.append(text(f"{TEXT['nfa']}: {finding.nfa}", 7.8))
    if item.p_value is not None:
        numbers.append(text(f"{TEXT['p_value']}: {scalar_words(item.p_value)}", 7.8))
    crops = [figure(c, 0.36 * WIDTH / len(finding.crops), 130) for c in finding.crops]
    if crops:
        numbers += [Spacer(1, 4), stack(crops, [0.37 * WIDTH / len(crops)] * len(crops))]
    words = [text(by, 8, color=SOFT), *_paragraphs(finding.claims)]
    card = stack([words, numbers], [0.62 * WIDTH, 0.38 * WIDTH])
    return [KeepTogether([Heading(f"{item.id}  {finding.title}", 1), card])]


def _facts(content: ReportContent) -> list[Flowable]:
    if not content.facts:
        return []
    return [Heading(TEXT["facts"]), text(TEXT["facts_note"], color=SOFT), *_paragraphs(content.facts)]


def _limits(content: ReportContent) -> list[Flowable]:
    return [
        Heading(TEXT["not_tested"]),
        *_paragraphs(content.not_tested),
        Heading(TEXT["quality"]),
        *_paragraphs(content.quality),
    ]


def _conclusion(content: ReportContent) -> list[Flowable]:
    return [
        Heading(TEXT["conclusion"]),
        *_paragraphs(content.conclusion),
        *_account(content),
        text(TEXT["propositions"], after=2),
        text(TEXT["proposition_altered"], after=2),
        text(TEXT["proposition_unaltered"], after=6),
        text(content.support.statement, bold=True),
        *(text(s) for s in content.support.sentences),
    ]


def _account(content: ReportContent) -> list[Flowable]:
    if not content.account:
        return []
    said = text(" ".join(c.text for c in content.account), after=2)
    return [KeepTogether([Heading(TEXT["account"], 1), said, text(content.account_note, 7.8, color=SOFT)])]


def _methods(content: ReportContent) -> list[Flowable]:
    body = [
        (m.title, m.version, m.looks_for, f"{m.outcome}: {m.detail}" if m.detail else m.outcome)
        for m in content.methods
    ]
    story: list[Flowable] = [Heading(TEXT["items"]), rows(content.file_rows)]
    if lacks(content.examination.source.name):
        story.append(text(TEXT["lacking"], 7.4, color=SOFT))
    story += [Heading(TEXT["methods"]), text(TEXT["methods_note"])]
    return [*story, grid(METHOD_COLUMNS, body, (17, 9, 40, 34))]


def _appendix(content: ReportContent) -> list[Flowable]:
    body = []
    for e in content.examination.evidence:
        quantity = e.quantity + (f" ({e.region.words})" if e.region else "") + (f": {e.reason}" if e.reason else "")
        reference = f"{scalar_words(e.reference)} {e.reference_text}".strip()
        value = f"{scalar_words(e.value)} {e.unit}".strip()
        body.append((e.id, e.instrument, e.kind, quantity, value, reference, scalar_words(e.log10_nfa)))
    story: list[Flowable] = [Heading(TEXT["appendix"]), grid(VALUE_COLUMNS, body, (6, 14, 13, 32, 16, 18, 11), 6.6)]
    detailed = [(f.item.id, f.further) for f in content.findings if f.further] + list(content.fact_details)
    for evidence_id, pairs in detailed:
        shown = list(pairs[:_MOST_ROWS])
        if len(pairs) > _MOST_ROWS:
            shown.append(("…", TEXT["omitted"].format(count=len(pairs) - _MOST_ROWS)))
        story += [Heading(TEXT["all_entries"].format(id=evidence_id), 1), rows(shown, 130)]
    half = WIDTH / 2
    settings = [Heading(TEXT["quality_settings"], 1), rows(content.settings_rows, 100, half - 10)]
    versions = [Heading(TEXT["versions"], 1), rows(content.version_rows, 120, half - 10)]
    story += [Spacer(1, 6), stack([settings, versions], [half, half]), Heading(TEXT["glossary"])]
    return [*story, rows((*GLOSSARY, *GLOSSARY_PRINT), 110)]
