"""Regions that `<SEG>` is decoded to, against the truth: the altered region, and the source of a copy, each apart.

Nobody puts a `<SEG>` into the answer: a picture of which the writer points at nothing counts as 0. Beside it, for the
same pictures, the expert's map at 0.5 and the finding whose evidence the answer could read. Left out: averages
(`tables`), claims in words (`claims`).
"""

from __future__ import annotations

import numpy as np

from fakeexplain.errors import WriterError
from fakeexplain.evaluation.faithfulness.dialogue import Talk, ask
from fakeexplain.evaluation.faithfulness.rows import Pointed
from fakeexplain.evaluation.metrics import iou_score
from fakeexplain.evaluation.pixels import MAP_THRESHOLD
from fakeexplain.examiner import examination_mask, expert_map
from fakeexplain.imaging.regions import decode_mask, region_of_mask
from fakeexplain.records import Examination

QUESTIONS = {
    "altered": "Show me the altered region, if there is one.",
    "source": "Show me where the copied content was taken from.",
}


def pointed(talk: Talk, true_mask: np.ndarray, donor: np.ndarray | None) -> tuple[Pointed, ...]:
    """What the writer points at when it is asked for the altered region and, where a copy was made, for its source.

    Args:
        true_mask, donor: bool HxW of the picture; the donor as far as it was not altered itself.
    """
    wanted = {"altered": true_mask}
    if donor is not None and (donor & ~true_mask).any():
        wanted["source"] = donor & ~true_mask
    score_map = expert_map(talk.examination)
    found = []
    for kind, truth in wanted.items():
        shown = shown_region(talk, QUESTIONS[kind])
        finding = examination_mask(talk.examination) if kind == "altered" else _partner(talk.examination)
        found.append(
            Pointed(
                kind,
                iou=None if shown is None else iou_score(shown, truth),
                expert=None if score_map is None else iou_score(score_map >= MAP_THRESHOLD, truth),
                finding=None if finding is None or not finding.any() else iou_score(finding, truth),
            )
        )
    return tuple(found)


def shown_region(talk: Talk, question: str) -> np.ndarray | None:
    """bool HxW of all that `<SEG>` was decoded to in the answer as shown; None where nothing was."""
    try:
        answer, _ = ask(talk.conversation(), talk.writer, question)
    except WriterError:
        return None
    known = {r.mask for r in answer.regions}
    masks = [m for m in talk.writer.regions if region_of_mask(m).mask in known]
    return np.any(masks, axis=0) if masks else None


def _partner(examination: Examination) -> np.ndarray | None:
    """The source of the first finding that has one; where its order is not told, the other of its two areas."""
    deciding = [e for e in examination.evidence if e.id in examination.verdict.deciding_ids]
    pair = next((e for e in deciding if e.partner is not None), None)
    if pair is None:
        return None
    order = pair.copy_and_source
    source = order[1] if order is not None else pair.partner
    return None if source is None else decode_mask(source.mask)
