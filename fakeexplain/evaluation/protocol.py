"""The benchmark protocol: every picture at native size, fixed thresholds, authentic photographs always counted.

A forged picture that cannot be examined counts as undetected; every such picture is listed and none is dropped in
silence. Reading data sets is `datasets`, the rows themselves are `rows`; both are named here for callers. Left out:
averages, intervals and tables (`tables`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.evaluation.datasets import Item, dataset_names, read_dataset, read_true_mask
from fakeexplain.evaluation.metrics import YARDSTICKS, yardstick_masks
from fakeexplain.evaluation.pixels import map_figures, mask_figures
from fakeexplain.evaluation.robustness import degrade_source
from fakeexplain.evaluation.rows import SUITE, SUITE_MAP, Row, gather, row_from_json, row_to_json
from fakeexplain.examiner import Examiner, Settings, examination_map, examination_mask
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.records import Examination
from fakeexplain.verdict import evidence_mask, significant, statistic_log10
from fakeexplain.workers import worker_pool

# Part of the name of stored rows: raise it whenever a figure of a row changes its meaning.
PROTOCOL_VERSION = 2

__all__ = [
    "PROTOCOL_VERSION",
    "Item",
    "Prediction",
    "Row",
    "dataset_names",
    "predict",
    "read_dataset",
    "read_true_mask",
    "row_from_json",
    "row_to_json",
    "run_benchmark",
    "score_item",
]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What every predictor says of one picture, all of one size.

    Attributes:
        source: the picture as examined (after its cell, if it has one).
        examination: everything about it.
        true_mask: bool HxW, None for an authentic picture.
        masks: bool HxW per predictor: the verdict's mask and each witness's significant regions.
        maps: float32 HxW in [0, 1] per map; None where the witness gave none.
    """

    source: SourceImage
    examination: Examination
    true_mask: np.ndarray | None
    masks: dict[str, np.ndarray]
    maps: dict[str, np.ndarray | None]


@lru_cache(maxsize=1)
def process_examiner(settings: Settings) -> Examiner:
    """One Examiner a process and settings, so that a model is loaded once and not once a picture."""
    return Examiner(settings, threads=1, keep=1)


class _NotExamined(Exception):
    """The picture, and not the data set, is at fault; holds one line."""


def predict(item: Item, settings: Settings) -> Prediction:
    """Examines one picture.

    Raises:
        FakeExplainError: the picture cannot be examined, or its mask cannot be used.
    """
    try:
        return _predict(item, settings)
    except _NotExamined as problem:
        raise SourceError(str(problem)) from None


def _predict(item: Item, settings: Settings) -> Prediction:
    examiner = process_examiner(settings)
    try:
        source = examiner.load(item.image_path)
    except FakeExplainError as error:
        raise _NotExamined(str(error)) from None
    true_mask = None if item.mask_path is None else read_true_mask(item.mask_path, source.height, source.width)
    try:
        if item.cell:
            degraded = degrade_source(source, true_mask, item.cell)
            source, true_mask = degraded.source, degraded.true_mask
            if true_mask is not None and not true_mask.any():
                raise _NotExamined(f"{printable(item.image_path.name)}: {item.cell} leaves nothing of the forged part")
        examination = examiner.examine(source)
    except FakeExplainError as error:
        raise _NotExamined(str(error)) from None
    found = significant(examination.evidence, examiner.panel)
    masks = {SUITE: examination_mask(examination)}
    maps: dict[str, np.ndarray | None] = {SUITE_MAP: examination_map(examination)}
    for witness in examiner.panel.witnesses():
        own = [e for e in found if e.instrument == witness]
        masks[witness] = evidence_mask(own, source.height, source.width)
        scored = [e.score_map for e in examination.evidence if e.instrument == witness and e.score_map is not None]
        maps[f"{witness} map"] = scored[0] if scored else None
    return Prediction(source, examination, true_mask, masks, maps)


def score_item(item: Item, settings: Settings) -> Row:
    """Examines one picture and scores every predictor on it.

    Raises:
        FakeExplainError: the data set is at fault, say a mask of another size than its picture.
    """
    try:
        prediction = _predict(item, settings)
    except _NotExamined as problem:
        return not_examined(item, str(problem))
    examination, true_mask = prediction.examination, prediction.true_mask
    height, width = prediction.source.height, prediction.source.width
    figures = {name: mask_figures(mask, true_mask) for name, mask in prediction.masks.items()}
    for name, score_map in prediction.maps.items():
        # A witness that gives no map suspects no pixel more than another.
        figures[name] = map_figures(
            np.zeros((height, width), np.float32) if score_map is None else score_map, true_mask
        )
    if true_mask is not None:
        figures |= {name: mask_figures(mask, true_mask) for name, mask in yardstick_masks(height, width).items()}
    statistics: dict[str, float | None] = {}
    for witness in process_examiner(settings).panel.witnesses():
        values = [s for e in examination.evidence if e.instrument == witness and (s := statistic_log10(e)) is not None]
        statistics[witness] = min(values) if values else None
    return Row(
        dataset=item.dataset,
        image=printable(item.image_path.name),
        group=item.group,
        forged=true_mask is not None,
        strata=item.strata,
        megapixels=prediction.source.megapixels,
        band=examination.quality.band,
        label=examination.verdict.label,
        probability=examination.verdict.probability,
        statistics=statistics,
        area=figures[SUITE]["marked"],
        true_area=0.0 if true_mask is None else float(true_mask.mean()),
        seconds=examination.seconds["total"],
        stamp=item.key[2],
        cell=item.cell,
        recipe=item.recipe,
        **gather(figures),  # type: ignore[arg-type]
    )


def not_examined(item: Item, error: str) -> Row:
    """The row of a picture that could not be examined: a forged one counts as undetected by everybody."""
    forged = item.mask_path is not None
    zeros = {name: {"f1": 0.0, "iou": 0.0, "permuted_f1": 0.0} for name in (SUITE, *YARDSTICKS)} if forged else {}
    return Row(
        dataset=item.dataset,
        image=printable(item.image_path.name),
        group=item.group,
        forged=forged,
        strata=item.strata,
        label="error",
        true_area=_area_of(item),
        error=printable(error),
        stamp=item.key[2],
        cell=item.cell,
        recipe=item.recipe,
        **gather(zeros),  # type: ignore[arg-type]
    )


def _area_of(item: Item) -> float:
    """Forged share of a picture that cannot be opened: its mask can, or it is none that anybody could use."""
    if item.mask_path is None:
        return 0.0
    try:
        with Image.open(item.mask_path) as image:
            return float((np.asarray(image.convert("L")) >= 128).mean())
    except (OSError, ValueError):
        return 0.0


def run_benchmark(items: Sequence[Item], settings: Settings, *, workers: int = 2) -> Iterator[Row]:
    """Rows as they are finished. An error of the data set itself (a mask of the wrong size) ends the run."""
    if workers <= 1:
        for item in items:
            yield score_item(item, settings)
        return
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(score_item, item, settings) for item in items]):
            yield future.result()
