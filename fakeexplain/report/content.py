"""What a report says, before it has a form: the HTML page and the PDF draw from this one structure.

Everything is computed from one examination and its picture; strings out of the file are data and are cleaned by whoever
prints them. Left out: layout, escaping, fonts (`render`, `pdf`), and any judgement (`verdict`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fakeexplain.errors import SourceError
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.reasoning.numbers import number_words, percent_of, rate_words
from fakeexplain.reasoning.phrases import INSTRUMENTS
from fakeexplain.reasoning.wording import account_claims, instrument_title, is_significant, label_words, trace_title
from fakeexplain.records import Answer, Claim, Evidence, Examination, Scalar, SourceFacts, Verdict
from fakeexplain.report.overlay import Mark, marks_of
from fakeexplain.report.pictures import Picture, crops_of, pictures_of
from fakeexplain.report.strings import FILE_ROWS, SUPPORT, TEXT
from fakeexplain.verdict import PRIOR, load_calibration

STRENGTHS = ("none", "weak", "moderate", "strong", "very strong")
_CELL_LENGTH = 4000  # characters of one further figure


@dataclass(frozen=True, eq=False)
class Finding:
    """One finding that passed its threshold.

    Attributes:
        item: the evidence. tone: number of its colour among the marks.
        title, instrument: in words. claims: the sentences about it alone.
        bars: (name, length in per cent of the longer one, figure) of value and reference; () unless both are numbers.
        crops: close views. nfa: in words, "" where there is none. dots: strength from 0 to 4.
        further: (name, text) of all other figures.
    """

    item: Evidence
    tone: int
    title: str
    instrument: str
    claims: tuple[Claim, ...]
    bars: tuple[tuple[str, float, str], ...]
    crops: tuple[Picture, ...]
    nfa: str
    dots: int
    further: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class Method:
    """One instrument of the examination. outcome: in words. detail: why it could not be applied, "" otherwise."""

    title: str
    version: str
    looks_for: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Support:
    """How far the findings support one proposition against the other (ENFSI, 2015).

    Attributes:
        statement: one sentence, with the degree in words.
        ratio: the likelihood ratio, at least 1, in favour of the proposition that `statement` names first; None where
            none was counted.
        sentences: the ratio, what it was counted on, and how it may be used.
    """

    statement: str
    ratio: float | None
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything a report says about one picture; claims in reading order."""

    examination: Examination
    label: str
    percent: str
    rate: str
    conclusion: tuple[Claim, ...]
    account: tuple[Claim, ...]
    account_note: str
    support: Support
    pictures: dict[str, Picture]
    findings: tuple[Finding, ...]
    quiet: tuple[Claim, ...]
    quality: tuple[Claim, ...]
    facts: tuple[Claim, ...]
    fact_details: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    not_tested: tuple[Claim, ...]
    methods: tuple[Method, ...]
    file_rows: tuple[tuple[str, str], ...]
    settings_rows: tuple[tuple[str, str], ...]
    version_rows: tuple[tuple[str, str], ...]

    @property
    def evidence_ids(self) -> frozenset[str]:
        return frozenset(e.id for e in self.examination.evidence)


def build_content(examination: Examination, source: SourceImage, score_map: np.ndarray | None = None) -> ReportContent:
    """The content of a report.

    Args:
        examination: what to report.
        source: the very picture that was examined.
        score_map: float HxW in [0, 1] at source size (`examiner.examination_map`); None for none.

    Raises:
        SourceError: `source` is another picture.
    """
    if source.sha256 != examination.source.sha256:
        raise SourceError(
            f"{source.name}: sha256 {source.sha256[:12]}..., the examination is of "
            f"{examination.source.sha256[:12]}...; give the picture that was examined"
        )
    marks, claims, verdict = marks_of(examination), examination.reasoning, examination.verdict
    findings = _findings(examination, source, marks)
    shown = {f.item.id for f in findings}
    return ReportContent(
        examination=examination,
        label=label_words(verdict),
        percent=percent_of(verdict.probability),
        rate=rate_words(verdict.false_alarms),
        conclusion=tuple(c for c in claims if c.section == "conclusion" and not _is_basis(c, verdict)),
        account=account_claims(examination.account),
        account_note=account_note(examination.account),
        support=support_of(verdict),
        pictures=pictures_of(examination, source, marks, score_map),
        findings=findings,
        quiet=tuple(c for c in claims if c.section == "finding" and not set(c.evidence_ids) & shown),
        quality=tuple(c for c in claims if c.section == "quality"),
        facts=tuple(c for c in claims if c.section == "fact"),
        fact_details=tuple((e.id, further_figures(e)) for e in examination.evidence if e.kind == "fact" and e.details),
        not_tested=tuple(c for c in claims if c.section == "not_tested"),
        methods=_methods(examination, shown),
        file_rows=file_rows(examination.source),
        settings_rows=_settings_rows(examination),
        version_rows=_version_rows(examination),
    )


def account_note(account: Answer | None) -> str:
    """Who worded it, and how much of it did not hold."""
    if account is None:
        return ""
    own = sum(s.written_by == "model" for s in account.sentences)
    return TEXT["account_note"].format(
        writer=printable(account.writer, 80), own=own, total=len(account.sentences), struck=account.struck
    )


def support_of(verdict: Verdict) -> Support:
    """The verdict as support for one proposition against the other.

    The ratio is the one the verdict's probability was computed with. It is given only where one was counted: not for an
    inconclusive picture, and not where it would contradict the label (the probability then rests at its prior).
    """
    if verdict.label == "inconclusive":
        return Support(TEXT["support_inconclusive"], None, ())
    if abs(verdict.probability - PRIOR) < 1e-9:
        return Support(TEXT["support_none"], None, (TEXT["support_uncounted"],))
    probability = min(max(verdict.probability, 1e-6), 1 - 1e-6)
    ratio = probability / (1 - probability) * (1 - PRIOR) / PRIOR
    first, second = ("A", "B") if ratio > 1 else ("B", "A")
    ratio = max(ratio, 1 / ratio)
    calibration = load_calibration()
    ratios = [float(r) for r in calibration["likelihood_ratios"]]
    most = max(max(ratios), 1 / min(ratios))
    degree = next(words for limit, words in SUPPORT if ratio < limit)
    statement = TEXT["support"].format(degree=degree, first=first, second=second) if degree else TEXT["support_none"]
    return Support(
        statement,
        ratio,
        (
            TEXT["ratio"].format(ratio=f"{ratio:.2g}", first=first, second=second),
            TEXT["ratio_counted"].format(
                authentic=f"{calibration['authentic']:,}",
                forged=f"{calibration['forged']:,}",
                data=calibration["data"],
                most=f"{most:.2g}",
            ),
            TEXT["ratio_use"].format(percent=percent_of(verdict.probability)),
        ),
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


def scalar_words(value: Scalar) -> str:
    """A value of the table: "–" for none, six digits of a float."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def further_figures(item: Evidence) -> tuple[tuple[str, str], ...]:
    """Further figures of a record as (name, text) pairs."""
    pairs = []
    for key, value in item.details.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        pairs.append((str(key), printable(text, _CELL_LENGTH)))
    return tuple(pairs)


def file_rows(facts: SourceFacts) -> tuple[tuple[str, str], ...]:
    """(name, text) of what is known about a file."""
    rows = [
        (FILE_ROWS["name"], facts.name),
        (FILE_ROWS["sha256"], facts.sha256),
        (FILE_ROWS["size"], _size_words(facts.size_bytes)),
        (FILE_ROWS["format"], TEXT["format_of"].format(format=facts.format, mode=facts.mode, bits=facts.bit_depth)),
        (FILE_ROWS["dimensions"], TEXT["size_of"].format(width=facts.width, height=facts.height)),
    ]
    if facts.jpeg:
        nearest = "" if facts.jpeg.get("quality_exact", True) else TEXT["nearest"]
        quality, sampling = facts.jpeg.get("quality"), facts.jpeg.get("subsampling")
        text = TEXT["jpeg_of"].format(quality=quality, nearest=nearest, sampling=sampling)
        rows.append((FILE_ROWS["jpeg"], text))
    return tuple(rows) + tuple((FILE_ROWS["remark"], remark) for remark in facts.remarks)


def _size_words(size_bytes: int) -> str:
    if size_bytes < 1 << 20:
        return f"{size_bytes / 1024:.1f} KiB ({size_bytes:,} bytes)"
    return f"{size_bytes / (1 << 20):.1f} MiB ({size_bytes:,} bytes)"


def _settings_rows(examination: Examination) -> tuple[tuple[str, str], ...]:
    rows = [(TEXT["band"], examination.quality.band)]
    rows += [(k.replace("_", " "), scalar_words(v)) for k, v in examination.quality.figures.items()]
    for key, value in examination.settings.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else scalar_words(value)
        rows.append((key.replace("_", " "), text))
    limit = scalar_words(examination.verdict.threshold_log10)
    return (*rows, (TEXT["threshold"], TEXT["threshold_of"].format(limit=limit)))


def _version_rows(examination: Examination) -> tuple[tuple[str, str], ...]:
    rows = [(k.replace("instrument:", ""), v) for k, v in examination.versions.items()]
    if "total" in examination.seconds:
        rows.append((TEXT["time_taken"], f"{examination.seconds['total']:.1f} s"))
    return (*rows, (TEXT["schema"], examination.schema_version))


def _is_basis(claim: Claim, verdict: Verdict) -> bool:
    """The definition of the probability has its place beside the bar."""
    return claim.text.rstrip(".") == verdict.probability_basis.rstrip(".")


def _methods(examination: Examination, shown: set[str]) -> tuple[Method, ...]:
    """One row an instrument, in the order of the evidence."""
    by_name: dict[str, list[Evidence]] = {}
    for item in examination.evidence:
        by_name.setdefault(item.instrument, []).append(item)
    methods = []
    for name, items in by_name.items():
        looks_for = INSTRUMENTS[name][1] if name in INSTRUMENTS else ""
        parts, detail = [], ""
        found = [e.id for e in items if e.id in shown]
        abstained = [e for e in items if e.kind == "abstention"]
        if found:
            parts.append(TEXT["outcome_finding"].format(ids=", ".join(found)))
        elif any(e.kind == "detection" for e in items):
            parts.append(TEXT["outcome_quiet"])
        elif abstained:
            parts.append(TEXT["outcome_abstained"])
            detail = abstained[0].reason
        for kind in ("fact", "measurement"):
            ids = [e.id for e in items if e.kind == kind]
            if ids:
                parts.append(TEXT[f"outcome_{kind}"].format(ids=", ".join(ids)))
        outcome = "; ".join(parts)
        methods.append(Method(instrument_title(name), items[0].instrument_version, looks_for, outcome, detail))
    return tuple(methods)


def _findings(examination: Examination, source: SourceImage, marks: Sequence[Mark]) -> tuple[Finding, ...]:
    by_label = {m.label: (tone, m) for tone, m in enumerate(marks)}
    found = []
    for item in examination.evidence:
        if not is_significant(item, examination.verdict):
            continue
        tone, mark = by_label.get(item.id, (0, None))
        found.append(
            Finding(
                item=item,
                tone=tone % 5,
                title=trace_title(item),
                instrument=instrument_title(item.instrument),
                claims=tuple(
                    c for c in examination.reasoning if c.section == "finding" and c.evidence_ids == (item.id,)
                ),
                bars=_bars(item),
                crops=crops_of(item, source, mark) if mark is not None else (),
                nfa=nfa_words(item.log10_nfa),
                dots=STRENGTHS.index(item.strength),
                further=further_figures(item),
            )
        )
    return tuple(found)


def _bars(item: Evidence) -> tuple[tuple[str, float, str], ...]:
    pair = (item.value, item.reference)
    numbers = [v for v in pair if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) != 2 or min(numbers) < 0 or max(numbers) == 0 or not all(map(math.isfinite, numbers)):
        return ()
    names = (TEXT["here"], TEXT["reference"])
    return tuple((n, 100 * v / max(numbers), number_words(v)) for n, v in zip(names, numbers, strict=True))
