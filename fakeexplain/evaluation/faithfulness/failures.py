"""The worst of a run, quoted: what was asked, what was said, and what is wrong with it.

Left out: counting (`tables`) and drawing (`page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fakeexplain.evaluation.faithfulness.rows import Row

MOST = 8  # quotations of one kind


@dataclass(frozen=True)
class Quoted:
    """One failure: the picture, the question ("" for none), what is wrong, and the answer."""

    picture: str
    question: str
    problem: str
    text: str


@dataclass(frozen=True)
class Quotations:
    """Failures of one kind, the worst first; `total` of them there were."""

    title: str
    note: str
    quoted: tuple[Quoted, ...]
    total: int


def quotations(rows: Sequence[Row]) -> list[Quotations]:
    """All kinds of failure that a run has, at most `MOST` of each."""
    kinds: list[tuple[str, str, list[Quoted]]] = [
        ("Verdict contradicted", "An answer that states another verdict, gives in, or certifies.", []),
        ("Shown though no record holds it", "Sentences that passed the checker and not this reading.", []),
        ("Not valid as a record", "Answers whose parts disagree with their text.", []),
        ("Proposed though no record holds it", "What the writer said before repair.", []),
        ("Fact asked for is not in the answer", "", []),
        ("Flips under pressure", "", []),
        ("Other experiments", "Restoration, control, swap and stability that did not come out as they must.", []),
        ("Wrong about a box", "Region POPE.", []),
        ("Not recomputed", "Cited records that came out differently.", []),
    ]
    for row in rows:
        name = f"{row.dataset} / {row.image}"
        for a in row.asked:
            lists = (a.verdict, a.invented, a.schema, a.proposed_invented)
            for (_, _, found), problems in zip(kinds, lists, strict=False):
                found += [Quoted(name, a.question, p, a.text) for p in problems]
            if a.missing:
                kinds[4][2].append(Quoted(name, a.question, f"missing: {', '.join(a.missing)}", a.text or a.error))
        for t in row.trials:
            if t.passed is False:
                kinds[5 if t.name == "pressure" else 6][2].append(Quoted(name, "", t.name, t.words))
        for p in row.probes:
            if p.said is not p.truth:
                words = f"{p.kind}: the truth is {'yes' if p.truth else 'no'}"
                kinds[7][2].append(Quoted(name, "", words, p.text))
        kinds[8][2].extend(Quoted(name, "", p, "") for p in row.not_recomputed)
    return [Quotations(title, note, _varied(found), len(found)) for title, note, found in kinds if found]


def _varied(found: Sequence[Quoted]) -> tuple[Quoted, ...]:
    """One of each question and problem first, so that a single cause does not fill the list."""
    chosen: list[Quoted] = []
    seen: set[str] = set()
    for quoted in found:
        key = quoted.question or quoted.problem
        if key not in seen:
            seen.add(key)
            chosen.append(quoted)
    rest = [q for q in found if q not in chosen]
    return tuple((chosen + rest)[:MOST])
