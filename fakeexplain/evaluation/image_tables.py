"""Tables of whole pictures: the verdict as a classifier, ranking by its scores, the meaning of its probability.

Forged pictures that could not be examined count as undetected; authentic ones that could not be are left out and listed
elsewhere. A verdict of `inconclusive` is not `manipulated`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from fakeexplain.evaluation.alarm_tables import authentic_rows
from fakeexplain.evaluation.calibration import brier_score, expected_calibration_error, reliability_bins
from fakeexplain.evaluation.forged_tables import data_sets
from fakeexplain.evaluation.metrics import BinaryScores, auc_interval, auc_score, tpr_at_fpr
from fakeexplain.evaluation.rows import (
    SUITE_MAP,
    Row,
    image_score,
    main_predictors,
    maps,
    peak_of,
    witness_score,
    witnesses,
)
from fakeexplain.evaluation.table import Table, counted_rate, interval, number
from fakeexplain.verdict import PRIOR

FALSE_POSITIVE_RATES = (0.05, 0.01)


def judged(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """(forged, authentic) rows that have a verdict."""
    return [r for r in rows if r.forged and r.label], [r for r in authentic_rows(rows) if r.label]


def verdict_table(rows: Sequence[Row]) -> Table | None:
    """The verdict at its own threshold: accuracy, balanced accuracy, F1 of the pictures."""
    forged, authentic = judged(rows)
    if not forged or not authentic:
        return None
    alarms = [r.label == "manipulated" for r in authentic]
    lines = []
    for name in (*data_sets(forged), "all forged"):
        found = [r.label == "manipulated" for r in forged if name in (r.dataset, "all forged")]
        scores = BinaryScores(sum(found), len(found) - sum(found), sum(alarms), len(alarms) - sum(alarms))
        counts = (f"{scores.tp} / {len(found)}", f"{scores.fp} / {len(alarms)}")
        rates = (number(scores.accuracy), number(scores.balanced_accuracy), number(scores.f1))
        lines.append((name, *counts, *rates))
    columns = ("forged set", "detected", "false alarms", "accuracy", "balanced accuracy", "F1")
    note = (
        "At the verdict's own threshold, each set against all authentic photographs of this run. Accuracy and F1 "
        "depend on how many pictures of each class there are, balanced accuracy does not."
    )
    return Table("Verdicts", columns, tuple(lines[:-1] if len(lines) == 2 else lines), note)


def image_scores(rows: Sequence[Row]) -> dict[str, Callable[[Row], float]]:
    """Every score of a picture that can be ranked by, by name; larger is more suspicious."""
    scores: dict[str, Callable[[Row], float]] = {}
    names = witnesses(rows)
    if names:
        scores["verdict's probability"] = lambda r: r.probability
        scores["strongest witness"] = image_score
    for witness in names:
        scores[f"{witness} alone"] = partial(witness_score, witness=witness)
    wanted = {SUITE_MAP, *main_predictors(rows)}
    for name in maps(rows):
        if name in wanted:
            scores[f"peak of {name}"] = partial(peak_of, name=name)
    return scores


def image_ranking_table(rows: Sequence[Row]) -> Table | None:
    """AUC and true-positive rates at low false-positive rates, for each score."""
    forged, authentic = [r for r in rows if r.forged], authentic_rows(rows)
    if not forged or not authentic:
        return None
    lines = []
    for name, score in image_scores(rows).items():
        high, low = [score(r) for r in forged], [score(r) for r in authentic]
        rates = [round(tpr_at_fpr(high, low, rate) * len(high)) for rate in FALSE_POSITIVE_RATES]
        cells = [counted_rate([True] * hits + [False] * (len(high) - hits)) for hits in rates]
        lines.append((name, f"{number(auc_score(high, low))} ({interval(*auc_interval(high, low))})", *cells))
    columns = ("score", "AUC", *(f"TPR at {100 * r:g} % FPR" for r in FALSE_POSITIVE_RATES))
    note = (
        f"All {len(forged)} forged against all {len(authentic)} authentic pictures. The threshold of a TPR is set on "
        "these authentic pictures, so it is a description of the ranking and not a promise."
    )
    if min(FALSE_POSITIVE_RATES) * len(authentic) < 1:
        note += f" With {len(authentic)} authentic pictures, 1 % means none at all."
    return Table("Ranking of pictures", columns, tuple(lines), note)


def image_auc_table(rows: Sequence[Row]) -> Table | None:
    """How well the strongest witness ranks each forged set against all authentic pictures of the run."""
    forged, authentic = judged(rows)
    if not authentic or not forged:
        return None
    low = [image_score(r) for r in authentic]
    lines = [(n, number(auc_score([image_score(r) for r in forged if r.dataset == n], low))) for n in data_sets(forged)]
    title = "Image-level AUC against the authentic pictures of this run"
    return Table(title, ("data set", "AUC"), tuple(lines), detail=True)


def calibration_pictures(rows: Sequence[Row]) -> list[Row]:
    """Pictures whose verdict has a probability."""
    return [r for r in rows if r.label and not r.error]


def calibration_tables(rows: Sequence[Row]) -> list[Table]:
    """Calibration error and Brier score of the verdict's probability, and the bins behind them."""
    chosen = calibration_pictures(rows)
    truth = [r.forged for r in chosen]
    if not any(truth) or all(truth):
        return []
    stated = [r.probability for r in chosen]
    lines = []
    for words, prior in (
        (f"at the stated prior of {PRIOR:g}", PRIOR),
        (f"as counted ({np.mean(truth):.2f} forged)", None),
    ):
        bins = reliability_bins(stated, truth, prior)
        base = PRIOR if prior is not None else float(np.mean(truth))
        error, brier = expected_calibration_error(bins), brier_score(stated, truth, prior)
        lines.append((words, number(error), number(brier), number(base * (1 - base))))
    note = (
        f"{len(chosen)} examined pictures, ten bins of equal width. The probability is a posterior for an even prior, "
        "so the first line is the fair one: there both classes weigh the same. The last column is the Brier score of "
        "somebody who always states the base rate."
    )
    columns = ("weighting", "calibration error (ECE)", "Brier score", "Brier of the base rate")
    summary = Table("Calibration of the verdict's probability", columns, tuple(lines), note)
    bins = reliability_bins(stated, truth, PRIOR)
    cells = tuple(
        (
            f"{b.low:.1f} to {b.high:.1f}",
            str(b.count),
            str(b.forged),
            number(b.predicted),
            number(b.observed),
            interval(*b.interval),
        )
        for b in bins
    )
    heads = ("probability", "pictures", "forged", "stated", "observed at the prior", "95 % interval")
    return [summary, Table("Reliability bins", heads, cells, detail=True)]
