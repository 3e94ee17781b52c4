"""Claimed regions against the truth: F-CHAIR, Cover and F0.5, in the manner of AMBER (Wang et al., 2023), on pixels.

CHAIR counts objects that a text names and the picture does not hold; here the objects are pixels that an answer claims
to be altered. Where a copy came from is neither right nor wrong to name and is left out of the count when it is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BETA = 0.5  # precision weighs more: a wrong accusation is worse than a part that is missed


@dataclass(frozen=True)
class ClaimScores:
    """Of one answer, each in [0, 1].

    Attributes:
        chair: share of the claimed pixels that were not altered; 0 when nothing is claimed.
        cover: share of the altered pixels that are claimed; nan for an authentic picture.
        f05: of precision (1 - chair) and cover; 0 when nothing is claimed of a forged picture, nan for an authentic
            one.
        claimed: share of the picture that is claimed.
    """

    chair: float
    cover: float
    f05: float
    claimed: float


def claim_scores(claimed: np.ndarray, true_mask: np.ndarray | None, donor: np.ndarray | None = None) -> ClaimScores:
    """Args: bool HxW each; `true_mask` None for an authentic picture, `donor` where copied content came from."""
    counted = claimed if donor is None or true_mask is None else claimed & ~(donor & ~true_mask)
    area, share = int(counted.sum()), float(claimed.mean())
    if true_mask is None:
        return ClaimScores(float(area > 0), float("nan"), float("nan"), share)
    hit = int((counted & true_mask).sum())
    precision, cover = hit / area if area else 0.0, hit / max(int(true_mask.sum()), 1)
    weight = _BETA**2
    f05 = (1 + weight) * precision * cover / (weight * precision + cover) if hit else 0.0
    return ClaimScores(1 - precision if area else 0.0, cover, f05, share)
