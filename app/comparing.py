"""A picture beside its alleged original: the registered difference, the mask from the pair, both examinations.

What differs is measured by `fakeexplain.compare`; here it becomes a view. Left out: which of the two was first, which
the person at the screen says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from app.exports import ExportFile
from app.layers import DISPLAY_SIDE, RegionLayer, png_bytes, region_layer, shown_map, shown_picture
from app.service import Picture, Progress, Service
from app.tasks import Task
from app.views import PictureView, picture_view
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Examination
from fakeexplain.report.overlay import COLOURS


@dataclass(frozen=True, eq=False)
class CompareView:
    """Two pictures compared; all pictures are uint8 hxwx3 of the questioned picture's display size.

    Attributes:
        answer: "changed", "unclear" or "no_change". sentences: the answer in words, in reading order.
        before: the original laid on the questioned picture. after: the questioned picture with the places outlined.
        difference: in colours. places: largest first, ids D1, D2, ...
        original, questioned: both examinations as if the other picture did not exist.
        files: report, JSON and mask to take away.
    """

    answer: str
    quality: float
    sentences: tuple[str, ...]
    before: np.ndarray = field(repr=False)
    after: np.ndarray = field(repr=False)
    difference: np.ndarray = field(repr=False)
    places: tuple[RegionLayer, ...]
    original: PictureView
    questioned: PictureView
    files: tuple[ExportFile, ...]


class _Examined(Examiner):
    """Hands out the examinations that both pictures already have."""

    def __init__(self, pictures: tuple[Picture, Picture]) -> None:
        self._known = {p.sha256: p.examination for p in pictures}

    def examine(self, picture, *, name=None, on_done=None) -> Examination:  # type: ignore[no-untyped-def]
        assert isinstance(picture, SourceImage)
        return self._known[picture.sha256]


def compare_events(
    service: Service, original_id: str, questioned_id: str, *, side: int = DISPLAY_SIDE
) -> Iterator[Progress | CompareView]:
    """`Progress` events, then one `CompareView`.

    Raises:
        MeasurementError: the pictures do not show the same scene. UnknownPictureError.
    """
    pair = service.picture(original_id), service.picture(questioned_id)
    task = service.submit(lambda task: _compare(task, service, pair, side))
    try:
        yield from task.events()
        yield task.result()
    finally:
        task.cancel()


def compare(service: Service, original_id: str, questioned_id: str, *, side: int = DISPLAY_SIDE) -> CompareView:
    """`compare_events` without the events."""
    events = compare_events(service, original_id, questioned_id, side=side)
    return [e for e in events if isinstance(e, CompareView)][-1]


def _compare(task: Task[CompareView], service: Service, pair: tuple[Picture, Picture], side: int) -> CompareView:
    from fakeexplain.compare import compare as compare_sources
    from fakeexplain.report.comparison import draw_difference, render_comparison

    task.emit(Progress("reading"))
    original, questioned = (service.source(p) for p in pair)
    task.emit(Progress("measuring"))
    compared = compare_sources(original, questioned, _Examined(pair))
    task.check()
    stem = f"{pair[0].sha256[:8]}-{pair[1].sha256[:8]}"
    mask = compared.pair.mask.astype(np.uint8) * 255
    origin = {"Original-SHA256": pair[0].sha256, "Questioned-SHA256": pair[1].sha256}
    files = (
        ExportFile(
            f"comparison.{stem}.html", "text/html; charset=utf-8", render_comparison(compared, questioned).encode()
        ),
        ExportFile(f"comparison.{stem}.json", "application/json", compared.comparison.to_json().encode()),
        ExportFile(f"comparison.{stem}.mask.png", "image/png", png_bytes(mask, origin)),
    )
    comparison = compared.comparison
    views = [picture_view(p, has_map=service.private.map_path(p.sha256).exists()) for p in pair]
    return CompareView(
        answer=comparison.answer,
        quality=comparison.quality,
        sentences=comparison.sentences,
        before=shown_picture(compared.moved_rgb, side),
        after=shown_picture(draw_difference(compared, questioned), side),
        difference=shown_map(questioned.display_rgb, compared.pair.difference_map, side),
        places=tuple(
            region_layer(p.region, p.region.id, COLOURS[i % len(COLOURS)], side=side)
            for i, p in enumerate(comparison.places)
        ),
        original=views[0],
        questioned=views[1],
        files=files,
    )
