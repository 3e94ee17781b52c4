"""What a `<SEG>` should have stood for: the altered region that a finding points at, or the source of a copy.

A dialogue about an examination says "<SEG> marks R1", and R1 is what an instrument or the expert found: a part of the
edit, or more than it. Where the truth is known, the mask decoder learns that instead, so that it can be better than
what it is shown. A finding that has hardly anything to do with the truth keeps its own region, for the sentence speaks
of that place. Deliberately left out: which of an answer's `<SEG>` has a region at all (`assistant_prompts`).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

LEAST_SHARE = 0.5  # of the finding that has to lie inside a true region


def true_region(found: np.ndarray, altered: np.ndarray | None, source: np.ndarray | None = None) -> np.ndarray:
    """The true region that a finding points at; the finding where it points at none.

    Args:
        found: bool HxW. altered, source: bool HxW of what was altered and of where a copy came from; None: unknown.

    Returns:
        bool HxW: the connected parts of `altered`, or of `source` where more of the finding lies in that, that the
        finding touches.
    """
    area = int(found.sum())
    true = [t for t in (altered, source) if t is not None and t.shape == found.shape]
    shares = [int((found & t).sum()) / max(area, 1) for t in true]
    if not shares or max(shares) < LEAST_SHARE:
        return found
    best = true[int(np.argmax(shares))]
    return np.asarray(ndimage.binary_propagation(found & best, np.ones((3, 3)), best))
