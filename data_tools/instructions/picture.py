"""One picture of the instruction data: forged, examined once, with everything its records are made from.

The verdict of the library decides what may be claimed; the forge's history only says what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge, ForgeSample
from data_tools.forge.photos import by_group
from data_tools.instructions import seen
from data_tools.instructions.file_tags import draw_tags, with_tags
from fakeexplain.errors import MeasurementError
from fakeexplain.examiner import Examiner
from fakeexplain.imaging import degrade
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Evidence, Examination
from fakeexplain.verdict import significant

ATTEMPTS = 6  # forged samples tried for a picture whose alteration should be measurable
WANTED = 0.8  # share of the forged pictures for which that is tried

# More traces that last than in the forge's own mixture: what nobody can measure teaches no explanation.
CONFIG = ForgeConfig(
    authentic_share=0.44,
    several_share=0.12,
    same_content_share=0.3,
    global_share=0.25,
    area_low=0.008,
    area_high=0.35,
    new_content={
        **{"splice": 0.45, "copy_move": 0.38},
        **{"removal_diffusion": 0.05, "removal_exemplar": 0.05, "removal_patchmatch": 0.07},
    },
    finishes={
        **{"none": 0.4, "jpeg": 0.32, "resize_jpeg": 0.06, "social": 0.06, "social_twice": 0.02, "webp": 0.03},
        **{"screenshot": 0.04, "noise": 0.03, "blur": 0.04},
    },
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished sample, its file and its examination.

    Attributes:
        index: of the picture in the set. sample: what the forge made.
        source: the finished file, as the library reads it. examination: of that file.
        labels: uint8 HxW category ids in the finished frame, 0 where unknown or altered; None without labels.
        examiner: for measurements of chosen regions.
    """

    index: int
    sample: ForgeSample
    source: SourceImage
    examination: Examination
    labels: np.ndarray | None
    examiner: Examiner

    @property
    def verdict(self) -> str:
        return self.examination.verdict.label

    @cached_property
    def findings(self) -> tuple[Evidence, ...]:
        """Detections that the verdict rests on, strongest first; empty unless it says `manipulated`."""
        if self.verdict != "manipulated":
            return ()
        passed = significant(self.examination.evidence, self.examiner.panel)
        return tuple(e for e in passed if e.id in self.examination.verdict.deciding_ids and e.region is not None)

    @cached_property
    def facts(self) -> dict[str, Any]:
        return seen.look(self.source.rgb, self.labels)

    def measure(self, instrument: str, region_mask: np.ndarray) -> Evidence | str:
        """New evidence on a chosen region (bool HxW), or why there is none."""
        try:
            return self.examiner.measure(self.source, instrument, region_mask=region_mask)
        except MeasurementError as error:
            return str(error)


def open_forge(
    photos: Path, object_masks: Path | None, seed: int, size: int, config: ForgeConfig | None = None
) -> Forge:
    """A forge whose photographs have their labels in `object_masks` (the forge's own place when None)."""
    forge = Forge(photos, seed, size, config or CONFIG)
    if object_masks is not None:
        labelled = {p.stem: p for p in object_masks.glob("*.png")}
        forge.photos = [replace(p, labels_path=labelled.get(p.path.stem)) for p in forge.photos]
        forge.groups = by_group(forge.photos)
        forge.labelled = [p for p in forge.photos if p.labels_path is not None]
    return forge


def labels_of(sample: ForgeSample, read: Callable[[str], np.ndarray | None]) -> np.ndarray | None:
    """Labels of the host carried through the sample's geometry; what was altered afterwards is unknown (0).

    Args:
        read: file name of a photograph -> uint8 HxW labels in its stored frame, or None.
    """
    labels = read(sample.photo)
    if labels is None:
        return None
    for entry in sample.history:
        step = {key: value for key, value in entry.items() if key != "on"}
        if entry.get("on") not in ("host", "whole") or step.get("op") not in ("resize", "crop", "turn"):
            continue
        if step["op"] == "resize":
            labels = cv2.resize(labels, (step["width"], step["height"]), interpolation=cv2.INTER_NEAREST)
        else:
            labels = degrade.chain_from_json([step])[0].apply(labels)
    if labels.shape != sample.mask.shape:
        return None
    return np.where(sample.mask, 0, labels).astype(np.uint8)


def make(forge: Forge, examiner: Examiner, index: int, seed: int, tags_share: float = 0.0) -> Picture:
    """Picture `index`: deterministic in (seed, index) and the photographs.

    For most forged ones up to ATTEMPTS samples are tried until the library finds the alteration; authentic samples are
    taken as they come, whatever the verdict. Tags are drawn before anything else is known of the picture and do not
    change between attempts, so that they tell nothing of what was done.

    Args:
        tags_share: share of the files that carry tags (`file_tags`).
    """
    rng = np.random.default_rng([1, seed, index])
    patient = bool(rng.random() < WANTED)
    names = {p.path.name: p for p in forge.photos}
    tags_rng = np.random.default_rng([2, seed, index])
    tags = draw_tags(tags_rng) if tags_rng.random() < tags_share else None
    wanted_label: int | None = None
    attempt = 0
    while True:
        sample = forge.sample(index * 64 + attempt)
        attempt += 1
        if wanted_label is None:
            wanted_label = sample.label
        elif sample.label != wanted_label and attempt < 60:
            continue
        if tags is not None:
            tagged = with_tags(sample.file_bytes(), tags, (sample.image.shape[1], sample.image.shape[0]))
            sample = replace(sample, encoded=tagged, history=[*sample.history, {"on": "file", "tags": tags.told}])
        source = SourceImage.from_bytes(sample.file_bytes(), name=f"{index:07d}")
        examination = examiner.examine(source)
        picture = Picture(index, sample, source, examination, None, examiner)
        hit = any(_lies_on(e, sample) for e in picture.findings)
        if not sample.label or not patient or hit or attempt >= ATTEMPTS:
            labels = labels_of(sample, lambda name: names[name].read_labels())
            return replace(picture, labels=labels)


def _lies_on(item: Evidence, sample: ForgeSample) -> bool:
    return any(
        bool((decode_mask(r.mask) & sample.mask).sum() > 0.3 * max(int(decode_mask(r.mask).sum()), 1))
        for r in (item.region, item.partner)
        if r is not None
    )
