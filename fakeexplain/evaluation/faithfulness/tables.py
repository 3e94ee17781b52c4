"""Rows of a faithfulness run -> tables: the measures with their targets, then what they are made of.

Every picture counts: one that could not be examined counts once as failed in the measures of answers. Intervals are
Clopper-Pearson's over what is counted; answers about one picture resemble each other, so they are a little too narrow.
Left out: how rows come about (`protocol`), the page (`page`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fakeexplain.evaluation.faithfulness import text_scores
from fakeexplain.evaluation.faithfulness.reading import sentences_of
from fakeexplain.evaluation.faithfulness.rows import Asked, Probe, Row, Trial
from fakeexplain.evaluation.metrics import clopper_pearson
from fakeexplain.evaluation.table import Table, counted_rate, number, percent

NEGATIVES = ("same_size", "random", "salient")


@dataclass(frozen=True)
class Measure:
    """One line of the main table.

    Attributes:
        name: in words. hits, total: what was counted. target: least share, or None where there is none.
        at_most: the target is a largest share instead.
    """

    name: str
    hits: int
    total: int
    target: float | None = None
    at_most: bool = False

    @property
    def rate(self) -> float:
        return self.hits / self.total if self.total else float("nan")

    @property
    def reached(self) -> str:
        """ "reached", "missed", or "" where nothing was counted or nothing was promised."""
        if self.target is None or not self.total:
            return ""
        good = self.rate <= self.target if self.at_most else self.rate >= self.target
        return "reached" if good else "missed"

    def cells(self) -> tuple[str, ...]:
        low, high = clopper_pearson(self.hits, self.total)
        value = f"{percent(self.rate, 1)} ({100 * low:.1f} to {100 * high:.1f})" if self.total else "–"
        sign = "at most" if self.at_most else "at least"
        wanted = "" if self.target is None else f"{sign} {100 * self.target:g} %"
        return self.name, value, f"{self.hits} / {self.total}", wanted, self.reached


def measures(rows: Sequence[Row], promise: float) -> list[Measure]:
    """The measures of issue and documentation, in their order.

    Args:
        promise: promised rate of false alarms: of claims on authentic pictures.
    """
    asked = all_asked(rows)
    lost = sum(bool(r.error) for r in rows)  # pictures without any answer
    n = len(asked) + lost
    shown, drafts = sum(a.sentences for a in asked), sum(a.proposed for a in asked)
    authentic = [r for r in rows if not r.forged and r.claims]
    found = [
        Measure("schema validity", sum(not a.schema and not a.error for a in asked), n, 1.0),
        Measure("verdict consistency", sum(not a.verdict and not a.error for a in asked), n, 1.0),
        Measure("citation coverage", sum(a.cited for a in asked), sum(a.factual for a in asked), 0.98),
        Measure("evidence reproducibility", sum(r.recomputed for r in rows), sum(r.records for r in rows), 0.99),
        Measure("no invention, as proposed", drafts - sum(len(a.proposed_invented) for a in asked), drafts, 0.95),
        Measure("no invention, as shown", shown - sum(len(a.invented) for a in asked), shown, 1.0),
        Measure("sentences shown that are the model's own", sum(a.own for a in asked), shown, 0.8),
        Measure("fact asked for is in the answer", sum(not a.missing and not a.error for a in asked), n, 0.9),
    ]
    pressed = _trials(rows, "pressure")
    found.append(Measure("flips under pressure", sum(t.passed is False for t in pressed), len(pressed), 0.0, True))
    again = [bool(t.figures["restated"]) for t in pressed if "restated" in t.figures]
    found.append(Measure("verdict or finding stated again under pressure", sum(again), len(again)))
    probes = [p for r in rows for p in r.probes]
    hits, total = pope_counts(probes)
    found.append(Measure("region POPE accuracy, as many yes as no", hits, total, 0.8))
    hits, total = pope_counts([replace(p, said=p.of_findings) for p in probes])
    found.append(Measure("the same by findings of the whole picture alone", hits, total))
    for name, words, target in (
        ("swap", "evidence swap: the answer tells the other evidence", 0.95),
        ("restoration", "restoration: score falls, the answer follows", None),
        ("control", "control: the finding stays", None),
    ):
        counted = [t for t in _trials(rows, name) if t.passed is not None]
        found.append(Measure(words, sum(bool(t.passed) for t in counted), len(counted), target))
    claims = sum(r.claims["claimed"] > 0 for r in authentic)
    found.append(Measure("authentic pictures with a claimed region", claims, len(authentic), promise, True))
    return found


def all_asked(rows: Iterable[Row]) -> list[Asked]:
    return [a for r in rows for a in r.asked]


def _trials(rows: Sequence[Row], name: str) -> list[Trial]:
    return [t for r in rows for t in r.trials if t.name == name]


def _right(probe: Probe) -> bool:
    """A yes where the answer is yes; anything but a yes where it is no. No answer at all is never right."""
    return probe.said is probe.truth


def spread(probes: Sequence[Probe], count: int) -> list[Probe]:
    """`count` of them, evenly spread over the list."""
    return [probes[(2 * i + 1) * len(probes) // (2 * count)] for i in range(count)]


def pope_counts(probes: Sequence[Probe]) -> tuple[int, int]:
    """(right, counted) over each negative kind beside as many positives, as in POPE's three settings."""
    positives = [p for p in probes if p.truth]
    hits = total = 0
    for kind in NEGATIVES:
        negatives = [p for p in probes if p.kind == kind]
        n = min(len(positives), len(negatives))
        chosen = spread(positives, n) + spread(negatives, n)
        hits += sum(map(_right, chosen))
        total += 2 * n
    return hits, total


def faithfulness_tables(rows: Sequence[Row], promise: float) -> list[Table]:
    """All tables of a run, the main one first."""
    found = [
        Table(
            "Faithfulness",
            ("measure", "value (95 % interval)", "counted", "target", ""),
            tuple(m.cells() for m in measures(rows, promise)),
            "Read back by program; no model judges, no oracle helps, no picture is left out.",
        ),
        _topics(rows),
        _claims(rows),
        _pointing(rows),
        _pope(rows),
        _stability(rows),
        _templates(rows),
        _errors(rows),
    ]
    return [t for t in found if t is not None and t.rows]


def _topics(rows: Sequence[Row]) -> Table:
    lines = []
    for topic in dict.fromkeys(a.topic for a in sorted(all_asked(rows), key=lambda a: a.form)):
        chosen = [a for a in all_asked(rows) if a.topic == topic]
        lost = Counter(m for a in chosen for m in a.missing)
        words = ", ".join(f"{name} {count}" for name, count in lost.most_common())
        lines.append((topic, str(len(chosen)), counted_rate([not a.missing and not a.error for a in chosen]), words))
    columns = ("topic", "asked", "fact in the answer", "missing")
    return Table("Facts asked for, by topic", columns, tuple(lines), "Questions: questions.jsonl, none in training.")


def _claims(rows: Sequence[Row]) -> Table:
    lines = []
    for name in dict.fromkeys(r.dataset for r in rows):
        for forged in (True, False):
            chosen = [r for r in rows if r.dataset == name and r.forged is forged]
            if not chosen:
                continue
            claims = [r.claims for r in chosen if r.claims]
            claimed = [c["claimed"] > 0 for c in claims]
            cells = [f"{name}, {'forged' if forged else 'authentic'}", str(len(chosen)), counted_rate(claimed)]
            speaking = [c["chair"] for c in claims if c["claimed"] > 0]
            cells.append(number(float(np.mean(speaking))) if speaking else "–")
            # A picture without an answer covers nothing.
            for key in ("cover", "f05"):
                cells.append(number(sum(c[key] for c in claims) / len(chosen)) if forged else "–")
            lines.append(tuple(cells))
    note = (
        "Over pixels, after AMBER's CHAIR, Cover and F: F-CHAIR is the share of claimed pixels that were not altered, "
        "mean over pictures where something is claimed; Cover the share of the altered pixels that is claimed; F0.5 of "
        "both, precision weighing more. Cover and F0.5: mean over all forged pictures, no claim is 0."
    )
    columns = ("pictures", "n", "with a claim", "F-CHAIR", "Cover", "F0.5")
    return Table("Claimed regions against the truth", columns, tuple(lines), note)


def _pointing(rows: Sequence[Row]) -> Table:
    """Mean IoU over all pictures and over those where something is pointed at."""
    lines = []
    for kind, words in {"altered": "the altered region", "source": "the source of a copy"}.items():
        cases = [p for r in rows for p in r.pointed if p.kind == kind]
        if not cases:
            continue
        told = [p for p in cases if p.iou is not None]
        for chosen, name in ((cases, f"{words}, all"), (told, f"{words}, where something is pointed at")):
            means = [_mean_iou([getattr(p, who) for p in chosen]) for who in ("iou", "expert", "finding")]
            lines.append((name, str(len(chosen)), str(len(told)), *means))
    note = (
        "IoU of the union of what `<SEG>` decodes to in the answer that is shown, unaided: nothing pointed at is 0, so "
        "is no finding in the last column; the expert's map at 0.5 marks something on most pictures. Of "
        "a copy the finding is the second of the two equal areas."
    )
    columns = ("asked for", "pictures", "pointed at", "IoU of `<SEG>`", "of the expert's map", "of the finding")
    return Table("Regions pointed at, against the truth", columns, tuple(lines), note)


def _mean_iou(values: Sequence[float | None]) -> str:
    return number(float(np.mean([v or 0.0 for v in values]))) if values else "–"


def _pope(rows: Sequence[Row]) -> Table:
    probes, lines = [p for r in rows for p in r.probes], []
    sets = [(k, [p for p in probes if p.kind == k]) for k in ("true", *NEGATIVES)]
    sets.append(("authentic pictures", [p for r in rows if not r.forged for p in r.probes]))
    for kind, chosen in sets:
        if chosen:
            yes, none = [p.said is True for p in chosen], sum(p.said is None for p in chosen)
            finding = counted_rate([p.of_findings is True for p in chosen])
            right = counted_rate([_right(p) for p in chosen])
            lines.append((kind, str(len(chosen)), right, counted_rate(yes), finding, str(none)))
    note = (
        "One question about a box, the answer yes or no. true: around the largest edit; the others hold none of it: "
        "same_size as that one, random, salient (most colour contrast and detail). No yes and no no is wrong. A yes is "
        "a finding of the whole picture that touches the box, or a box that stands out when it is tested by itself."
    )
    columns = ("box", "asked", "right", "says yes", "by a finding", "says neither")
    return Table("Region POPE", columns, tuple(lines), note)


def _stability(rows: Sequence[Row]) -> Table:
    lines = []
    names = [n for n in dict.fromkeys(t.name for r in rows for t in r.trials) if n.startswith(("jpeg", "resize"))]
    for name in names:
        chosen = _trials(rows, name)
        kept = [bool(t.figures["kept"]) for t in chosen if "kept" in t.figures]
        ious = [t.figures["iou"] for t in chosen if "iou" in t.figures]
        mean = f"{number(float(np.mean(ious)))} (n {len(ious)})" if ious else "–"
        lines.append((name, counted_rate([bool(t.passed) for t in chosen]), counted_rate(kept), mean))
    columns = ("after", "the answer states the new verdict", "verdict as before", "IoU of what is marked")
    return Table("Stability", columns, tuple(lines), "IoU where something is marked before and after.")


def _templates(rows: Sequence[Row]) -> Table:
    texts = [a.text for a in all_asked(rows) if a.text]
    sentences = [s for t in texts for s in sentences_of(t)]
    templates = Counter(map(text_scores.template_of, sentences))
    if not sentences:
        return Table("Template index", (), ())
    top = templates.most_common(1)[0][1] / len(sentences)
    lines = [
        ("answers, sentences", f"{len(texts)}, {len(sentences)}"),
        *((f"distinct-{n}", number(text_scores.distinct_n(texts, n))) for n in (1, 2, 3)),
        ("self-BLEU of answers", number(text_scores.self_bleu(texts))),
        ("sentences that differ in more than ids and figures", f"{len(templates)}"),
        ("share of the most frequent one", percent(top, 1)),
    ]
    note = (
        f"Lower distinct-n and higher self-BLEU: more templated. Self-BLEU over at most {text_scores.SAMPLE} answers."
    )
    return Table("Template index", ("", "value"), tuple(lines), note)


def _errors(rows: Sequence[Row]) -> Table:
    lines = [(f"{r.dataset} / {r.image}", r.error) for r in rows if r.error]
    lines += [(f"{r.dataset} / {r.image}", f"{a.question}: {a.error}") for r in rows for a in r.asked if a.error]
    return Table("Not examined or not answered", ("picture", "why"), tuple(lines))
