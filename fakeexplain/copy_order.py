"""Which of two equal places is the copy: the expert's map asked about both places of a copy-move finding.

The trace of `copy_move` is the same in both places, so it cannot say which one was there first. What was pasted also
carries a history of its own, at its rim and inside, and that is what the expert's map shows: it mostly marks the pasted
place and leaves its source alone. Told only where the map is clear (one place marked on the whole, the other not, and
far apart), and only with weights whose answers were counted (`python benchmarks/copy_order.py`, kept in
calibration.json). The verdict's label and probability never depend on it; its mask then leaves the source out.

Source and target were told apart by learning in BusterNet (Wu et al., ECCV 2018); here no network is trained for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt
from scipy import special

from fakeexplain.imaging.regions import decode_mask
from fakeexplain.instruments.copy_move import other_way_round
from fakeexplain.records import Evidence
from fakeexplain.verdict import EXPERT

TRACE = "duplicate_region"
MARKED = 0.0  # mean logit of the map from which a place counts as marked; 0 is the map's own threshold of 0.5
APART = 1.5  # least difference of the two means in logits
LEAST_OWN = 0.25  # of a place must not lie in the other one
_LIMIT = 1e-6  # of a map value, so that its logit is finite


class CopyOrderCounts(BaseModel):
    """How often the order was told, and rightly, on pairs found in forgeries made by program.

    Attributes:
        pairs: found by `copy_move`, one place of which is the copy. told: of them, with an answer. right: of these.
        data: what they were, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: NonNegativeInt
    told: NonNegativeInt
    right: NonNegativeInt
    data: str


def mean_logits(map_: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float] | None:
    """Mean logits of the map in what each of two places has for itself; None where they lie in each other.

    Args:
        map_: float32 HxW in [0, 1], the expert's, calibrated. first, second: bool HxW.
    """
    own = first & ~second, second & ~first
    for place, part in zip((first, second), own, strict=True):
        if not place.any() or part.sum() < LEAST_OWN * place.sum():
            return None
    a, b = (float(special.logit(np.clip(map_[p].astype(np.float64), _LIMIT, 1 - _LIMIT)).mean()) for p in own)
    return a, b


def copy_first(means: tuple[float, float] | None) -> bool | None:
    """Whether the first of two places is the copy; None where the map does not tell."""
    if means is None or max(means) <= MARKED or min(means) > MARKED or abs(means[0] - means[1]) < APART:
        return None
    return means[0] > means[1]


def with_order(evidence: Sequence[Evidence], counts: CopyOrderCounts | None) -> list[Evidence]:
    """The records, in their order; a pair whose order can be told has its copy as `region` and says so in its details.

    Args:
        evidence: of one picture; the expert's carries its map. counts: of these weights; None tells nothing.
    """
    map_ = next((e.score_map for e in evidence if e.instrument == EXPERT and e.kind == "detection"), None)
    if map_ is None or counts is None or not counts.told:
        return list(evidence)
    return [_told(e, map_, counts) if e.trace == TRACE and e.partner is not None else e for e in evidence]


def _told(item: Evidence, map_: np.ndarray, counts: CopyOrderCounts) -> Evidence:
    assert item.region is not None
    assert item.partner is not None
    means = mean_logits(map_, decode_mask(item.region.mask), decode_mask(item.partner.mask))
    first = copy_first(means)
    if first is None or means is None:
        return item
    item = item if first else other_way_round(item)
    order = {
        "copy_mean_logit": round(max(means), 3),
        "source_mean_logit": round(min(means), 3),
        "order_told": counts.told,
        "order_right": counts.right,
    }
    return item.model_copy(update={"details": {**item.details, **order}})
