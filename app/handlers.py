"""Everything a page, a server or a tool can ask for, as plain functions over a `Service`; no gradio types, no HTTP.

Functions that compute for long go through the service's queue and yield events; closing their generator cancels the
work. All others answer at once. Pictures are named by the random id of their upload. Errors are `FakeExplainError`s:
one sentence for the user. Cases are in `casebook`, files to download in `exports`, batches in `batches`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import AppError, UnknownEvidenceError
from app.layers import (
    DISPLAY_SIDE,
    RegionLayer,
    blend,
    draw_layers,
    full_size,
    ordered_box,
    region_layer,
    shown_map,
    shown_mask,
    shown_picture,
)
from app.service import FindingNote, Picture, Progress, Service
from app.tasks import Task
from app.views import EvidenceItem, PictureView, evidence_item, picture_view
from fakeexplain.casework.records import STATUSES
from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import decode_mask, mask_of_box
from fakeexplain.imaging.source import printable
from fakeexplain.records import Evidence, Region
from fakeexplain.report.overlay import COLOURS

if TYPE_CHECKING:
    from fakeexplain.records import Answer, AnswerSentence, ToolCall

RegionChoice = str | tuple[float, float, float, float] | np.ndarray
LONGEST_QUESTION = 4000  # characters
LONGEST_REMARK = 10_000


@dataclass(frozen=True, eq=False)
class Selection:
    """What lights up when a piece of evidence is chosen: its region and, for a pair, the partner."""

    item: EvidenceItem
    layers: tuple[RegionLayer, ...] = field(default=())


# ---- examining and looking


def examine_events(service: Service, data: bytes, name: str | None) -> Iterator[Progress | PictureView]:
    """Examines an upload: `Progress` events, then exactly one `PictureView`.

    Raises:
        SourceError: the picture cannot be read. TooLargeError, BusyError: see `app.errors`.
    """
    task = service.submit_examination(data, name)
    try:
        waiting = service.waiting_before(task)
        if waiting:
            yield Progress("waiting", waiting)
        yield from task.events()
        yield view(service, task.result().id)
    finally:
        task.cancel()


def examine(service: Service, data: bytes, name: str | None) -> PictureView:
    """`examine_events` without the events."""
    return [e for e in examine_events(service, data, name) if isinstance(e, PictureView)][-1]


def view(service: Service, picture_id: str) -> PictureView:
    """Everything a page says about a picture. Raises UnknownPictureError."""
    picture = service.picture(picture_id)
    has_map = service.private.map_path(picture.sha256).exists()
    return picture_view(picture, has_map=has_map, more=_later_evidence(picture))


def plain_picture(service: Service, picture_id: str, *, side: int | None = DISPLAY_SIDE) -> np.ndarray:
    """The picture as received, uint8 hxwx3 at display size; `side` None for its own size."""
    return shown_picture(service.source(service.picture(picture_id)).display_rgb, side)


def overlay_picture(
    service: Service,
    picture_id: str,
    *,
    opacity: float = 0.35,
    contour: bool = True,
    threshold: float | None = None,
    side: int | None = DISPLAY_SIDE,
) -> np.ndarray:
    """The picture with the mask drawn on it, uint8 hxwx3; of the size of `plain_picture`.

    Args:
        threshold: in [0, 1], draws the map above it instead of the verdict's regions; None for those.
    """
    picture = service.picture(picture_id)
    rgb = shown_picture(service.source(picture).display_rgb, side)
    chosen = shown_mask(mask_of(service, picture_id, threshold), side)
    return blend(rgb, chosen, opacity=min(max(opacity, 0.0), 1.0), contour=contour)


def map_picture(service: Service, picture_id: str, *, side: int | None = DISPLAY_SIDE) -> np.ndarray | None:
    """The score map in colours, uint8 hxwx3; None where there is no map."""
    picture = service.picture(picture_id)
    score_map = service.score_map(picture)
    return None if score_map is None else shown_map(service.source(picture).display_rgb, score_map, side)


def mask_of(service: Service, picture_id: str, threshold: float | None = None) -> np.ndarray:
    """bool HxW at source size: the regions the verdict rests on, or the map above a threshold."""
    picture = service.picture(picture_id)
    if threshold is not None:
        score_map = service.score_map(picture)
        if score_map is not None:
            return score_map >= threshold
    return decode_mask(picture.examination.mask)


def select_evidence(
    service: Service, picture_id: str, evidence_id: str, *, side: int | None = DISPLAY_SIDE
) -> Selection:
    """A piece of evidence and the layers to show for it; no layers where it is about the whole picture.

    Raises:
        UnknownPictureError, UnknownEvidenceError.
    """
    picture = service.picture(picture_id)
    every = (*picture.examination.evidence, *_later_evidence(picture))
    index = next((i for i, e in enumerate(every) if e.id == evidence_id), None)
    if index is None:
        wanted = ", ".join(e.id for e in every)
        raise UnknownEvidenceError(f"no evidence {printable(evidence_id, 20)!r}; wanted one of {wanted}")
    item, colour = every[index], COLOURS[index % len(COLOURS)]
    pairs = zip(item.areas, item.area_labels, strict=True)
    layers = [region_layer(r, label, colour, side=side) for r, label in pairs]
    return Selection(evidence_item(item, picture.examination, picture.notes), tuple(layers))


def selection_picture(
    service: Service, picture_id: str, evidence_id: str, *, side: int | None = DISPLAY_SIDE
) -> np.ndarray:
    """The picture with a piece of evidence drawn on it, uint8 hxwx3 at display size."""
    return draw_layers(
        plain_picture(service, picture_id, side=side),
        select_evidence(service, picture_id, evidence_id, side=side).layers,
    )


def show_region(service: Service, picture_id: str, region_id: str, *, side: int | None = DISPLAY_SIDE) -> RegionLayer:
    """The layer of any region that can be spoken of. Raises UnknownEvidenceError."""
    return region_layer(_region(service.picture(picture_id), region_id), side=side)


def all_regions(picture: Picture) -> dict[str, Region]:
    """Every region by id: the examination's, then those of the conversation."""
    found: dict[str, Region] = {}
    for item in picture.examination.evidence:
        found |= {r.id: r for r in item.areas}
    if picture.conversation is not None:
        found |= picture.conversation.regions
    return found


# ---- regions a person draws


def add_region(
    service: Service,
    picture_id: str,
    *,
    box_xyxy: tuple[float, float, float, float] | None = None,
    region_mask: np.ndarray | None = None,
    side: int | None = DISPLAY_SIDE,
) -> RegionLayer:
    """Gives an id to a drawn box (source pixels) or brushed mask (bool HxW, source or display size).

    Raises:
        MeasurementError: neither or both, or nothing inside the picture.
    """
    picture = service.picture(picture_id)
    facts = picture.examination.source
    if (box_xyxy is None) == (region_mask is None):
        raise MeasurementError("give either a box or a brushed area")
    if region_mask is None:
        assert box_xyxy is not None
        region_mask = mask_of_box(ordered_box(box_xyxy), facts.height, facts.width)
    region_mask = full_size(region_mask, facts.height, facts.width)
    if not region_mask.any():
        raise MeasurementError("this area holds no pixel of the picture; draw it inside the picture")
    with picture.lock:
        return region_layer(service.conversation(picture).add_region(region_mask=region_mask), side=side)


def refine(
    service: Service,
    picture_id: str,
    clicks: Sequence[tuple[float, float, bool]],
    *,
    base: str | None = None,
    side: int | None = DISPLAY_SIDE,
) -> RegionLayer:
    """A region corrected by clicks, as a new region that can be asked about; the verdict's mask stays as it is.

    Args:
        clicks: (x, y, whether it belongs to the region) in source pixels, at least one.
        base: id of the region to start from; None for the verdict's mask.
    """
    from app.refinement import refine_mask

    picture = service.picture(picture_id)
    if base is None:
        start = decode_mask(picture.examination.mask)
    else:
        start = decode_mask(_region(picture, base).mask)
    refined = refine_mask(service.source(picture).rgb, start, clicks)
    return add_region(service, picture_id, region_mask=refined, side=side)


# ---- asking


def ask(
    service: Service,
    picture_id: str,
    question: str,
    *,
    region: RegionChoice | None = None,
    writer: str | None = None,
) -> Iterator[AnswerSentence | ToolCall | Answer]:
    """Events of an answer as they come; the last one is the whole `Answer`. Regions: see `show_region`.

    Args:
        region: what the question is about: a region's id, a box in source pixels, or a mask (see `full_size`).
        writer: name of a writer of the service, None for the one before.
    """
    task = submit_question(service, picture_id, question, region=region, writer=writer)
    try:
        yield from task.events()
    finally:
        task.cancel()


def submit_question(
    service: Service,
    picture_id: str,
    question: str,
    *,
    region: RegionChoice | None = None,
    writer: str | None = None,
) -> Task[Answer]:
    """Queues a question; the task's events and result are those of `ask`."""
    picture = service.picture(picture_id)
    asked = question.strip()
    if not asked:
        raise AppError("the question is empty; ask something about the picture")
    if len(asked) > LONGEST_QUESTION:
        raise AppError(f"the question has {len(asked)} characters, wanted at most {LONGEST_QUESTION}")
    if isinstance(region, np.ndarray):
        region = full_size(region, picture.examination.source.height, picture.examination.source.width)
    elif isinstance(region, str):
        _region(picture, region)
    elif region is not None:
        region = ordered_box(region)

    return service.submit(lambda task: answer_now(task, service, picture, asked, region, writer), quick=True)


def answer_now(
    task: Task[Any],
    service: Service,
    picture: Picture,
    question: str,
    region: RegionChoice | None,
    writer: str | None,
) -> Answer:
    """Answers within a task that already runs, emitting the events of `ask`."""
    from fakeexplain.records import Answer

    answer = None
    with picture.lock:
        for event in service.conversation(picture, writer, task.check).stream(question, region=region):
            task.emit(event)
            answer = event if isinstance(event, Answer) else answer
    if answer is None:
        raise AppError("the answer was not finished; ask again")
    return answer


def writers(service: Service) -> tuple[str, ...]:
    """Names of who can word answers; none of them decides a verdict."""
    return tuple(service.writers)


# ---- remarks


def note(
    service: Service, picture_id: str, text: str, *, evidence_id: str = "", status: str = "", author: str = ""
) -> PictureView:
    """A remark on a finding or, without `evidence_id`, on the picture; with a status, the text is its reason.

    Raises:
        AppError: no text and no status, a status without a finding, an unknown status, too long.
        UnknownEvidenceError.
    """
    picture = service.picture(picture_id)
    if status and status not in STATUSES:
        raise AppError(f"status {printable(status, 40)!r}: wanted one of {', '.join(STATUSES)}")
    if status and not evidence_id:
        raise AppError("a status belongs to a finding; choose one")
    if not text.strip() and not status:
        raise AppError("the remark is empty; write something or set a status")
    if len(text) > LONGEST_REMARK:
        raise AppError(f"the remark has {len(text)} characters, wanted at most {LONGEST_REMARK}")
    ids = [e.id for e in (*picture.examination.evidence, *_later_evidence(picture))]
    if evidence_id and evidence_id not in ids:
        raise UnknownEvidenceError(f"no evidence {printable(evidence_id, 20)!r}; wanted one of {', '.join(ids)}")
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    picture.notes.append(FindingNote(evidence_id, status, text.strip(), author.strip(), now))
    return view(service, picture_id)


def forget(service: Service, picture_id: str) -> None:
    """Deletes an upload now."""
    service.forget(picture_id)


def _later_evidence(picture: Picture) -> tuple[Evidence, ...]:
    """Evidence measured in the conversation, after the examination's own."""
    if picture.conversation is None:
        return ()
    return picture.conversation.evidence[len(picture.examination.evidence) :]


def _region(picture: Picture, region_id: str) -> Region:
    regions = all_regions(picture)
    if region_id not in regions:
        wanted = ", ".join(regions) or "none yet"
        raise UnknownEvidenceError(f"no region {printable(region_id, 20)!r}; wanted one of {wanted}")
    return regions[region_id]


__all__ = [
    "PictureView",
    "Progress",
    "RegionLayer",
    "Selection",
    "add_region",
    "all_regions",
    "ask",
    "examine",
    "examine_events",
    "forget",
    "map_picture",
    "mask_of",
    "note",
    "overlay_picture",
    "plain_picture",
    "refine",
    "select_evidence",
    "selection_picture",
    "show_region",
    "submit_question",
    "view",
    "writers",
]
