"""Reviews as the annotation page needs them: plain JSON values, masks as run lengths, pictures as data URIs.

Deliberately left out: what may be shown at all; a `ReviewView` of a hidden draft holds nothing of it to begin with.
"""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from app.layers import jpeg_bytes, png_bytes, polygons_of
from data_tools.review_rows import OtherReview, ReviewView, machine_verdict
from data_tools.review_state import DraftClaim, ReviewError, State
from data_tools.rle import rle_to_mask
from data_tools.schema import InlineMask
from fakeexplain.imaging.regions import box_of_mask, decode_mask
from fakeexplain.reasoning.wording import describe_bare, finding_sentences, is_significant, quiet_sentence
from fakeexplain.records import Evidence, Region, Verdict

VERDICT_WORDS = {
    "manipulated": "evidence of local alteration",
    "no_evidence": "no evidence found",
    "inconclusive": "inconclusive",
}
_MASK_PIXELS = 16_000_000  # masks are painted at source size up to this; telephones allow no larger canvas


def data_uri(rgb: np.ndarray, *, lossless: bool) -> str:
    """A uint8 picture as a data URI."""
    kind, data = ("png", png_bytes(rgb)) if lossless else ("jpeg", jpeg_bytes(rgb))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def mask_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which a mask is painted: the source's, reduced where that is too much for a browser."""
    scale = min(1.0, (_MASK_PIXELS / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def mask_to_page(mask: InlineMask | None, height: int, width: int) -> dict[str, Any] | None:
    """Plain run lengths (column by column, False first) at `mask_size`; None for no mask."""
    if mask is None:
        return None
    pixels = mask.mask()
    size = mask_size(height, width)
    if pixels.shape != size:
        area = cv2.resize(pixels.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
        pixels = area >= 0.5
    flat = pixels.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(size), "counts": ([0] if flat.size and flat[0] else []) + counts}


def mask_from_page(value: dict[str, Any], height: int, width: int) -> np.ndarray:
    """Inverse: bool HxW in the source frame.

    Raises:
        ReviewError: not of the size that was handed out. SourceError: broken run lengths.
    """
    size = (int(value["size"][0]), int(value["size"][1]))
    if size != mask_size(height, width):
        raise ReviewError(f"the mask is {size[1]}x{size[0]}, wanted {mask_size(height, width)[::-1]}; reload the page")
    mask = rle_to_mask(size, tuple(int(c) for c in value["counts"]))
    if size == (height, width):
        return mask
    resized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return resized.astype(bool)


def review_json(view: ReviewView, *, mask: bool = True, draft: bool = True) -> dict[str, Any]:
    """A view as the page needs it; nothing of a hidden draft is in the view to begin with.

    Args:
        mask: with the person's mask. draft: with what does not change while it is reviewed (evidence, the draft's
            mask, what others said); the page keeps these between actions.
    """
    state, size = view.state, (view.height, view.width)
    found: dict[str, Any] = {
        "id": view.id,
        "task": view.task_id,
        "role": view.role,
        "stage": state.stage,
        "blind": view.blind,
        "revealed": view.revealed,
        "width": view.width,
        "height": view.height,
        "verdict": state.verdict,
        "note": state.note,
        "mask_area": view.mask_area,
        "opinion": state.opinion_verdict,
        "claims": [_claim_json(c, state) for c in view.claims],
        "missing": list(view.missing),
        "last": view.last_event,
        "undo": None if state.undo is None else _undo_words(state),
        "seconds": view.seconds,
        "outcome": view.outcome if view.revealed else "",
    }
    if mask:
        found["mask"] = mask_to_page(view.mask, *size)
    if draft:
        machine = None if view.record is None else machine_verdict(view.record)
        found |= {
            "image": view.record.image if view.record is not None else "",
            "draft_mask": mask_to_page(view.draft_mask, *size),
            "machine": _machine(machine),
            "evidence": [_evidence_json(e, machine) for e in (view.record.evidence if view.record is not None else ())],
            "others": [_other_json(o, *size) for o in view.others],
        }
    return found


def _machine(found: Verdict | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"verdict": found.label, "words": VERDICT_WORDS[found.label], "probability": found.probability}


def _claim_json(claim: DraftClaim, state: State) -> dict[str, Any]:
    decision = state.decisions.get(claim.number)
    return {
        "number": claim.number,
        "text": claim.text,
        "evidence_ids": list(claim.evidence_ids),
        "section": claim.section,
        "finding": claim.finding,
        "decision": None if decision is None else decision.model_dump(mode="json"),
    }


def _evidence_json(item: Evidence, verdict: Verdict | None) -> dict[str, Any]:
    """A record as the page tells it; a test that did not pass its threshold found nothing, and marks nothing."""
    quiet = item.kind == "detection" and verdict is not None and not is_significant(item, verdict)
    regions = () if quiet else item.areas
    found = " ".join(finding_sentences(item)[:2]) if item.kind == "detection" else describe_bare(item)
    return {
        "id": item.id,
        "instrument": item.instrument,
        "kind": item.kind,
        "words": quiet_sentence(item) if quiet else found,
        "regions": [_region_json(r) for r in regions],
    }


def _region_json(region: Region) -> dict[str, Any]:
    return {"box": region.box_xyxy, "words": region.words, "polygons": polygons_of(decode_mask(region.mask))}


def _other_json(other: OtherReview, height: int, width: int) -> dict[str, Any]:
    state = other.state
    mask = other.mask if state.verdict == "manipulated" else None
    return {
        "letter": other.letter,
        "verdict": state.verdict,
        "note": state.note,
        "mask": mask_to_page(mask, height, width),
        "box": box_of_mask(mask.mask()) if mask is not None else None,
        "decisions": {str(n): d.model_dump(mode="json") for n, d in state.decisions.items()},
    }


def _undo_words(state: State) -> str:
    event = state.undo
    assert event is not None
    words = {
        "verdict": "the verdict",
        "mask": "the last change of the mask",
        "claim": f"the decision on claim {event.claim}",
        "note": "the note",
        "finished": "finishing",
        "skipped": "skipping",
        "reopened": "taking it up again",
    }
    return words[event.kind]
