"""Evidence -> the calibrated three-way verdict. The only place where "manipulated" is decided.

Witnesses: each localizing instrument, and the learned expert, has a share of the promised false-alarm rate, and
testifies when its statistic, log10 NFA or log10 p, falls below log10 of its share. The instruments together hold half
of the whole rate, divided evenly; the expert holds the other half. Shares are set before anything is measured and do
not depend on which witnesses abstain, so the promise stands for every picture (a union bound).

The probability is a posterior with a stated prior: P = prior x LR / (prior x LR + 1 - prior), where the likelihood
ratio LR of the strongest witness was counted on authentic and forged pictures (`verdict_calibration.json`), smoothed
and made monotone. Witnesses are compared by the rate of false alarms that would have to be accepted for each to
testify. The probability never contradicts the label: at most the prior without evidence, at least with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from fakeexplain.errors import SettingsError
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.records import Evidence, QualityReport, Verdict

DEFAULT_FALSE_ALARMS = 0.02
PRIOR = 0.5
EXPERT = "expert"  # name of the learned witness in evidence and on the panel
WHOLE_IMAGE = 0.8  # a finding that covers more of the picture than this is an effect of the whole file, not a local one
OVERLAP = 0.3  # intersection over union above which two findings speak of the same place

# Traces that cannot both be true of one place. A foreign grid and the main grid missing there agree with each other.
EXCLUSIVE_TRACES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"noise_low", "noise_high"}), "one says less noise than elsewhere, the other more"),
)

NEVER_TESTED = (
    "whether the whole picture was made by a generative model",
    "generative fill and other repainting that leaves no trace of the kinds listed",
    "staging, false captions, or a picture of a picture",
)


NO_EXPERT = "what a trained network might see, for none was used"


@dataclass(frozen=True)
class Panel:
    """Who testifies, and with which share of the false alarms.

    Attributes:
        false_alarms: promised rate of `manipulated` among authentic photographs, instruments and expert together.
        instruments: names of the localizing instruments on the panel.
        expert: name of the learned witness, None while there is none; its half then stays unused.
    """

    false_alarms: float = DEFAULT_FALSE_ALARMS
    instruments: tuple[str, ...] = ()
    expert: str | None = None

    def __post_init__(self) -> None:
        if not 1e-6 <= self.false_alarms <= 0.5:
            raise SettingsError(f"--false-alarms {self.false_alarms:g}: wanted a rate from 0.000001 to 0.5, say 0.02")

    def threshold_log10(self, witness: str) -> float:
        """log10 of the witness's share; its statistic must lie below it."""
        if witness == self.expert:
            return math.log10(self.false_alarms / 2)
        return math.log10(self.false_alarms / 2 / max(len(self.instruments), 1))

    def witnesses(self) -> tuple[str, ...]:
        return self.instruments + ((self.expert,) if self.expert else ())

    def rate_log10(self, witness: str, statistic: float) -> float:
        """log10 of the promised rate of false alarms from which on this witness would testify with this statistic."""
        return statistic - self.threshold_log10(witness) + math.log10(self.false_alarms)

    def suspicion(self, statistics: Iterable[tuple[str, float | None]]) -> float:
        """-log10 of the rate of false alarms from which on the verdict would be `manipulated`, so larger is worse.

        A statistic above one (10^0) counts as one, for larger ones say nothing, and so does an abstention (None).

        Args:
            statistics: (witness, its log10 statistic), any number of each; 0 comes out of none at all.
        """
        return -min((self.rate_log10(w, min(s or 0.0, 0.0)) for w, s in statistics), default=0.0)


def statistic_log10(item: Evidence) -> float | None:
    """What a witness is judged by: log10 NFA, or log10 of a conformal p-value."""
    if item.kind != "detection":
        return None
    if item.log10_nfa is not None:
        return item.log10_nfa
    return math.log10(max(item.p_value, 1e-12)) if item.p_value is not None else None


def suspicion(evidence: Sequence[Evidence], panel: Panel) -> float:
    """`Panel.suspicion` of what the panel's witnesses found."""
    silent = [(witness, None) for witness in panel.witnesses()]
    return panel.suspicion([*silent, *_judged(evidence, panel)])


def _judged(evidence: Sequence[Evidence], panel: Panel) -> list[tuple[str, float]]:
    """(witness, its statistic) of every detection by a witness of the panel, in the given order."""
    witnesses = panel.witnesses()
    return [(e.instrument, s) for e in evidence if e.instrument in witnesses and (s := statistic_log10(e)) is not None]


def significant(evidence: Sequence[Evidence], panel: Panel) -> list[Evidence]:
    """Detections of the panel's witnesses that pass their threshold, in the given order."""
    chosen = []
    for item in evidence:
        statistic = statistic_log10(item)
        on_panel = item.instrument in panel.witnesses()
        if statistic is not None and on_panel and statistic < panel.threshold_log10(item.instrument):
            chosen.append(item)
    return chosen


def evidence_mask(items: Sequence[Evidence], height: int, width: int, *, sources: bool = False) -> np.ndarray:
    """bool HxW: union of the regions of these items; of a pair both, unless it is told which one is the copy.

    Args:
        sources: both of every pair.
    """
    mask = np.zeros((height, width), dtype=bool)
    for item in items:
        told = item.copy_and_source is not None and not sources
        for region in item.areas[:1] if told else item.areas:
            mask |= decode_mask(region.mask)
    return mask


def decide(
    evidence: Sequence[Evidence], quality: QualityReport, panel: Panel, height: int, width: int
) -> tuple[Verdict, np.ndarray]:
    """The verdict and the mask it rests on (bool HxW, empty unless `manipulated`)."""
    found = significant(evidence, panel)
    sound, conflicts = _settle_conflicts(found, height, width)
    judged = _judged(evidence, panel)
    empty = np.zeros((height, width), dtype=bool)
    mask = empty
    deciding: tuple[str, ...] = ()
    if not quality.examinable:
        label, reason = "inconclusive", f"The picture cannot be judged: {quality.reasons[0]}."
    elif sound and evidence_mask(sound, height, width, sources=True).mean() > WHOLE_IMAGE:
        label = "inconclusive"
        conflicts = (*conflicts, "The findings cover nearly the whole picture, so they do not show a local change.")
        reason = "Something measurable happened to nearly the whole picture, which is not evidence of a local change."
        deciding = tuple(e.id for e in sound)
    elif sound:
        label, deciding = "manipulated", tuple(e.id for e in sound)
        mask = evidence_mask(sound, height, width)
        names = sorted({e.instrument for e in sound})
        reason = f"{_count(len(sound), 'finding')} of {', '.join(names)} passed the threshold."
    elif found:
        label, reason = "inconclusive", "The instruments contradict each other, and no finding stands without conflict."
        deciding = tuple(e.id for e in found)
    elif not judged:
        label, reason = "inconclusive", "No instrument could be applied to this picture."
    else:
        label, reason = "no_evidence", f"None of {_count(len(judged), 'test result')} passed the threshold."
    rates = [panel.rate_log10(witness, statistic) for witness, statistic in judged]
    nfas = [statistic for witness, statistic in judged if witness != panel.expert]
    probability, basis = _probability(label, min(rates) if rates else None)
    verdict = Verdict(
        label=label,  # type: ignore[arg-type]
        probability=round(probability, 4),
        log10_nfa=round(min(nfas) + math.log10(max(len(panel.instruments), 1)), 3) if nfas else None,
        threshold_log10=round(panel.threshold_log10(panel.instruments[0] if panel.instruments else ""), 4),
        expert_threshold_log10=round(panel.threshold_log10(panel.expert), 4) if panel.expert else None,
        false_alarms=panel.false_alarms,
        deciding_ids=deciding,
        reason=reason,
        probability_basis=basis,
        conflicts=conflicts,
        not_tested=NEVER_TESTED
        + (() if panel.expert else (NO_EXPERT,))
        + tuple(e.open_point for e in evidence if e.kind == "abstention"),
    )
    return verdict, mask


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _settle_conflicts(found: list[Evidence], height: int, width: int) -> tuple[list[Evidence], tuple[str, ...]]:
    """Removes findings that contradict each other about one place; says which."""
    out: set[str] = set()
    messages = []
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            for traces, explanation in EXCLUSIVE_TRACES:
                if {a.trace, b.trace} == traces and _iou(a, b, height, width) > OVERLAP:
                    out |= {a.id, b.id}
                    messages.append(f"{a.id} and {b.id} contradict each other about one place: {explanation}.")
    return [e for e in found if e.id not in out], tuple(messages)


def _iou(a: Evidence, b: Evidence, height: int, width: int) -> float:
    first, second = evidence_mask([a], height, width), evidence_mask([b], height, width)
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0


@lru_cache(maxsize=1)
def load_calibration() -> dict[str, Any]:
    """Score bins, counts and likelihood ratios; written by `benchmarks/record_figures.py probability`."""
    text = resources.files("fakeexplain").joinpath("verdict_calibration.json").read_text("utf-8")
    calibration: dict[str, Any] = json.loads(text)
    return calibration


def fit_likelihood_ratios(authentic: Sequence[float], forged: Sequence[float], edges: Sequence[float]) -> list[float]:
    """Monotone likelihood ratios P(score in bin | forged) / P(score in bin | authentic).

    Args:
        authentic, forged: scores, -log10 of the smallest `Panel.rate_log10` of a picture.
        edges: inner bin edges, rising; bins are (-inf, edges[0]), [edges[0], edges[1]), ...

    Returns:
        One ratio a bin, non-decreasing: add-one-half smoothing, then pooling of adjacent violators. A bin without
        authentic pictures gets a finite ratio that the number of authentic pictures caps.
    """
    counts_a = np.bincount(np.searchsorted(edges, authentic, side="right"), minlength=len(edges) + 1).astype(float)
    counts_f = np.bincount(np.searchsorted(edges, forged, side="right"), minlength=len(edges) + 1).astype(float)
    blocks = [[a + 0.5, f + 0.5, 1] for a, f in zip(counts_a, counts_f, strict=True)]
    i = 0
    while i + 1 < len(blocks):
        if blocks[i][1] / blocks[i][0] > blocks[i + 1][1] / blocks[i + 1][0]:
            blocks[i] = [x + y for x, y in zip(blocks[i], blocks.pop(i + 1), strict=True)]
            i = max(i - 1, 0)
        else:
            i += 1
    scale = (len(authentic) + 0.5 * len(counts_a)) / (len(forged) + 0.5 * len(counts_f))
    return [b[1] / b[0] * scale for b in blocks for _ in range(int(b[2]))]


def _probability(label: str, rate_log10: float | None) -> tuple[float, str]:
    calibration = load_calibration()
    basis = (
        f"It starts from an even chance (prior {PRIOR:g}) and weighs how much more often forged than authentic "
        f"pictures gave a strongest finding like this one (likelihood ratio, counted on {calibration['authentic']} "
        f"authentic and {calibration['forged']} forged pictures: {calibration['data']})."
    )
    if label == "inconclusive" or rate_log10 is None:
        return PRIOR, basis + " An inconclusive picture keeps the prior."
    index = int(np.searchsorted(calibration["edges"], -rate_log10, side="right"))
    ratio = float(calibration["likelihood_ratios"][index])
    posterior = PRIOR * ratio / (PRIOR * ratio + 1 - PRIOR)
    return (max(posterior, PRIOR) if label == "manipulated" else min(posterior, PRIOR)), basis
