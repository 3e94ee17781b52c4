"""How far annotators agree: Cohen's kappa, Krippendorff's alpha (nominal), overlap of masks. Pure figures.

A unit is what was judged (a picture's verdict, one claim); ratings are what each person said of it, None where a person
did not. Both coefficients are 1 for perfect agreement and 0 for what chance would give; they are None where they are
not defined (nobody judged the same unit, or all said one and the same). Cohen, Educ. Psychol. Meas. 20, 1960;
Krippendorff, Content Analysis, 2004. Deliberately left out: weighted and ordinal variants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import mean, median
from typing import Any

import numpy as np

from data_tools.review_rows import done_reviews, inline_of, mask_overlap, state_of
from data_tools.review_store import ReviewStore

Units = Mapping[Hashable, Mapping[int, Hashable]]  # unit -> rater -> rating


@dataclass(frozen=True)
class Coefficient:
    """Agreement of one kind of rating.

    Attributes:
        units: judged by two people or more. raters: people in them.
        observed: share of pairs of ratings that are equal.
        alpha: Krippendorff's, over all. kappa: Cohen's for each pair of people, "A|B" -> (value or None, units).
        kappa_mean: of the pairs, weighted by units.
    """

    units: int
    raters: int
    observed: float | None
    alpha: float | None
    kappa: dict[str, tuple[float | None, int]]
    kappa_mean: float | None


@dataclass(frozen=True)
class MaskAgreement:
    """Intersection over union of the masks of two people who both called a picture manipulated."""

    pairs: int
    mean: float | None
    median: float | None
    least: float | None


def cohen_kappa(one: Sequence[Hashable], two: Sequence[Hashable]) -> float | None:
    """Of two people's ratings of the same units, in the same order."""
    if len(one) != len(two):
        raise ValueError(f"{len(one)} ratings and {len(two)}; wanted the same units")
    if not one:
        return None
    count = len(one)
    observed = sum(a == b for a, b in zip(one, two, strict=True)) / count
    first, second = Counter(one), Counter(two)
    expected = sum(first[value] * second[value] for value in first) / count**2
    return None if expected == 1.0 else (observed - expected) / (1.0 - expected)


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Nominal alpha; each unit is the list of the ratings it got, those with one are left out."""
    pairable = [list(u) for u in units if len(u) >= 2]
    totals = Counter(value for u in pairable for value in u)
    count = sum(totals.values())
    if count == 0:
        return None
    # Pairs that differ, within units (weighted so that each rating counts once) and over all ratings.
    within = sum((len(u) ** 2 - sum(c * c for c in Counter(u).values())) / (len(u) - 1) for u in pairable)
    overall = count**2 - sum(c * c for c in totals.values())
    return None if overall == 0 else 1.0 - (count - 1) * within / overall


def coefficient(units: Units, names: Mapping[int, str]) -> Coefficient:
    """Every figure of one kind of rating; `names` of the raters."""
    shared = {key: ratings for key, ratings in units.items() if len(ratings) >= 2}
    raters = sorted({rater for ratings in shared.values() for rater in ratings})
    kappa: dict[str, tuple[float | None, int]] = {}
    equal = pairs = 0
    for one, two in combinations(raters, 2):
        both = [(r[one], r[two]) for r in shared.values() if one in r and two in r]
        if both:
            kappa[f"{names[one]}|{names[two]}"] = (cohen_kappa(*zip(*both, strict=True)), len(both))
            equal += sum(a == b for a, b in both)
            pairs += len(both)
    known = [(value, n) for value, n in kappa.values() if value is not None]
    total = sum(n for _, n in known)
    return Coefficient(
        units=len(shared),
        raters=len(raters),
        observed=equal / pairs if pairs else None,
        alpha=krippendorff_alpha([list(r.values()) for r in shared.values()]),
        kappa=kappa,
        kappa_mean=sum(value * n for value, n in known) / total if total else None,
    )


@dataclass(frozen=True)
class Agreement:
    """Of finished reviews, adjudications apart. `decisions` are accept, edit, reject, unsure; `kept` keeps or not."""

    verdicts: Coefficient
    decisions: Coefficient
    kept: Coefficient
    masks: MaskAgreement

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def agreement(store: ReviewStore, *, names: bool = False) -> Agreement:
    """Agreement over every picture that two people or more have finished.

    Args:
        names: call people by name; else "annotator 1", ...
    """
    verdicts: dict[Hashable, dict[int, Hashable]] = {}
    decisions: dict[Hashable, dict[int, Hashable]] = {}
    overlaps: list[float] = []
    with store.database.read() as connection:
        called = {
            int(r["id"]): r["name"] if names else f"annotator {r['id']}"
            for r in connection.execute("SELECT id, name FROM annotators")
        }
        tasks = connection.execute(
            "SELECT task_id FROM reviews WHERE role = 'review' AND stage = 'done' GROUP BY task_id HAVING COUNT(*) >= 2"
        ).fetchall()
        for (task_id,) in tasks:
            masks: list[np.ndarray] = []
            for review_id in done_reviews(connection, task_id):
                who = int(
                    connection.execute("SELECT annotator_id FROM reviews WHERE id = ?", (review_id,)).fetchone()[0]
                )
                state = state_of(connection, review_id)
                verdicts.setdefault(task_id, {})[who] = state.verdict
                for number, decision in state.decisions.items():
                    decisions.setdefault((task_id, number), {})[who] = decision.decision
                mask = inline_of(connection, state.mask_id)
                if state.verdict == "manipulated" and mask is not None:
                    masks.append(mask.mask())
            overlaps += [mask_overlap(one, two) for one, two in combinations(masks, 2)]
    kept = {key: {who: said in ("accept", "edit") for who, said in r.items()} for key, r in decisions.items()}
    figures = MaskAgreement(
        len(overlaps),
        mean(overlaps) if overlaps else None,
        median(overlaps) if overlaps else None,
        min(overlaps, default=None),
    )
    return Agreement(coefficient(verdicts, called), coefficient(decisions, called), coefficient(kept, called), figures)
