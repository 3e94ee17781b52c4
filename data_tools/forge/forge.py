"""The forge: photographs in, authentic and locally forged samples with exact masks out, reproducible from their index.

    forge = Forge(Path("photos"), seed=0, size=256)
    sample = forge.sample(17)      # always the same one for (seed, index, FORGE_VERSION) and the same photographs

Each sample is planned from its end: first the finish, then how large a piece of photograph it needs, then the history
before the edit, then the edits. Authentic samples take the same way with no edit, so nothing but the edit gives the
label away. Deliberately left out: writing files (`writer.py`), captions, learnt generators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_tools.forge import edits, histories, photos
from data_tools.forge.config import ForgeConfig
from data_tools.forge.photos import Photo
from fakeexplain.imaging import degrade
from fakeexplain.imaging.jpeg import JpegFacts, parse_jpeg

FORGE_VERSION = 2  # goes into every seed; raise it whenever samples change
FOUND_TABLES = 0.25  # of the saves as JPEG, tried with tables found in the photographs' own headers

Granularity = Literal["untouched", "global", "once", "several"]


@dataclass(frozen=True, eq=False)
class ForgeSample:
    """One training picture.

    Attributes:
        image: uint8 HxWx3 RGB, exactly what the file decodes to; H and W are at most the forge's size.
        mask: bool HxW, True where forged; all False for authentic samples.
        donor_mask: bool HxW, where copied content came from within the picture, or None.
        edit_masks: one bool HxW per edit, in order.
        operations: one name per edit, in order.
        label: 1 forged, 0 authentic.
        granularity: untouched, global (processed as a whole: authentic), once, several.
        history: what was done, in order, as JSON values.
        photo, donors: file names of the host and of the donors.
        licence: of the host and donors, as stated in photos.csv, each once.
        file_format: "JPEG", "WEBP" or "PNG".
        encoded: bytes of the file if the finish ends with a codec, else None.
    """

    image: np.ndarray
    mask: np.ndarray
    donor_mask: np.ndarray | None
    edit_masks: tuple[np.ndarray, ...]
    operations: tuple[str, ...]
    label: int
    granularity: Granularity
    history: list[dict[str, Any]]
    photo: str
    donors: tuple[str, ...]
    licence: tuple[str, ...]
    file_format: str
    encoded: bytes | None = field(repr=False)

    @property
    def operation(self) -> str:
        """ "none", the one operation, or "several"."""
        return "none" if not self.operations else self.operations[0] if len(self.operations) == 1 else "several"

    @cached_property
    def jpeg(self) -> JpegFacts | None:
        """Header facts (quantisation tables, subsampling) of a JPEG finish, else None."""
        return parse_jpeg(self.encoded) if self.encoded is not None and self.file_format == "JPEG" else None

    def file_bytes(self) -> bytes:
        """The file; a lossless finish is encoded as PNG when asked for."""
        return self.encoded if self.encoded is not None else degrade.encode_png(self.image)


@dataclass(frozen=True)
class _Plan:
    """Sizes of one sample: the cut-out, the crop after the edit that breaks the grid, the finished picture."""

    scale: float
    cut: tuple[int, int]
    trim: tuple[int, int]


class Forge:
    """An endless, indexed supply of samples.

    Args:
        photos_dir: folder of authentic photographs; photos.csv and object_masks/ beside it are used when there.
        seed: any non-negative integer.
        size: wanted side; photographs too small for it give smaller samples (see `ForgeConfig.allow_smaller`).
        config: shares and weights.

    Raises:
        SettingsError: no usable photograph.
        ValueError: size under 64.
    """

    def __init__(
        self, photos_dir: Path | str, seed: int = 0, size: int = 256, config: ForgeConfig | None = None
    ) -> None:
        if size < 64:
            raise ValueError(f"size {size} is too small to hold a region; wanted at least 64")
        self.seed, self.size, self.config = seed, size, config or ForgeConfig()
        self.photos = photos.list_photos(Path(photos_dir), size, self.config)
        self.groups = photos.by_group(self.photos)
        self.labelled = [p for p in self.photos if p.labels_path is not None]

    def sample(self, index: int) -> ForgeSample:
        """The sample of an index (any non-negative integer)."""
        rng = np.random.default_rng([FORGE_VERSION, self.seed, index])
        config = self.config
        forged = bool(rng.random() >= config.authentic_share)
        wanted = 0 if not forged else int(rng.integers(2, 4)) if rng.random() < config.several_share else 1
        for _ in range(8):
            sample = self._attempt(wanted, rng)
            if sample is not None:
                return sample
        # Eight pictures refused every edit (say, all of them blank): an authentic sample is better than a wrong mask.
        sample = self._attempt(0, rng)
        assert sample is not None
        return sample

    def _attempt(self, wanted: int, rng: np.random.Generator) -> ForgeSample | None:
        """One try with one photograph; None when an edit found nothing it could change."""
        kind = histories.pick(self.config.finishes, rng)
        photo = self._any_photo(rng)
        plan = self._plan(photo, histories.finish_scale(kind, rng), rng)
        history: list[dict[str, Any]] = []
        cut = edits.cut_out(photo, plan.cut, rng, history)
        before = histories.capture(rng, cut.shrunk, self._found_save(photo, rng))
        host = self._run(before, cut.rgb, "host", history)
        saved = next((step for step in reversed(before) if isinstance(step, degrade.Jpeg)), cut.saved)
        made: list[edits.Made] = []
        for _ in range(wanted):
            current = made[-1].edit.image if made else host
            result = self._edit(current, cut, photo, saved, rng)
            if result is None:
                return None
            made.append(result)
            history.extend(result.history)
        image = made[-1].edit.image if made else host
        steps: list[degrade.Step] = []
        processed = bool(rng.random() < self.config.global_share)
        if processed:
            steps += histories.whole_processing(rng)
        height, width = image.shape[:2]
        inner = (width - plan.trim[0], height - plan.trim[1])
        if plan.trim != (0, 0):
            steps.append(degrade.Crop(box_xyxy=(*plan.trim, width, height)))
        after = (min(round(inner[0] * plan.scale), self.size), min(round(inner[1] * plan.scale), self.size))
        steps += histories.finish_steps(kind, inner, after, rng, self._found_save(photo, rng))
        history.append({"on": "whole", "finish": kind, "processed": processed})
        history.extend({"on": "whole", **entry} for entry in degrade.chain_to_json(steps))
        masks = [m.edit.mask for m in made]
        sources = [m.edit.donor_mask for m in made if m.edit.donor_mask is not None]
        finished = degrade.finish(image, [*masks, *sources], steps)
        edit_masks, source_masks = finished.masks[: len(masks)], finished.masks[len(masks) :]
        if any(mask.sum() < edits.MINIMUM_PIXELS // 2 or mask.all() for mask in edit_masks):
            return None
        blank = np.zeros(finished.rgb.shape[:2], dtype=bool)
        donors = tuple(m.donor.path.name for m in made if m.donor is not None)
        licences = [photo.licence, *(m.donor.licence for m in made if m.donor is not None)]
        return ForgeSample(
            image=finished.rgb,
            mask=np.logical_or.reduce([blank, *edit_masks]),
            donor_mask=np.logical_or.reduce([blank, *source_masks]) if source_masks else None,
            edit_masks=tuple(edit_masks),
            operations=tuple(m.edit.operation for m in made),
            label=int(bool(made)),
            granularity=("untouched", "global")[processed] if not made else "once" if len(made) == 1 else "several",
            history=history,
            photo=photo.path.name,
            donors=donors,
            licence=tuple(dict.fromkeys(text for text in licences if text)),
            file_format=finished.format,
            encoded=finished.encoded,
        )

    def _any_photo(self, rng: np.random.Generator, but: str = "") -> Photo:
        """Photographs have equal chances, however many crops each has; `but` names a group to avoid."""
        for _ in range(16):
            group = self.groups[int(rng.integers(len(self.groups)))]
            if group[0].group != but:
                break
        return group[int(rng.integers(len(group)))]

    def _plan(self, photo: Photo, scale: float, rng: np.random.Generator) -> _Plan:
        trim = (int(rng.integers(8)), int(rng.integers(8))) if rng.random() < 0.25 else (0, 0)
        available = photo.short_side - max(trim)
        if available >= self.size:  # large enough: the scale yields, so that the sample has the wanted size
            scale = max(scale, self.size / available)
        need = int(np.ceil(self.size / scale))
        return _Plan(scale, (need + trim[0], need + trim[1]), trim)

    @staticmethod
    def _run(steps: list[degrade.Step], rgb: np.ndarray, on: str, history: list[dict[str, Any]]) -> np.ndarray:
        history.extend({"on": on, **entry} for entry in degrade.chain_to_json(steps))
        return degrade.apply_steps(rgb, steps)

    def _found_save(self, photo: Photo, rng: np.random.Generator) -> degrade.Jpeg | None:
        """In a quarter of the cases: a save with tables that are not libjpeg's, this photograph's or another's.

        None where four other photographs have none either; the draw knows nothing of the label.
        """
        if rng.random() >= FOUND_TABLES:
            return None
        for candidate in (photo, *(self._any_photo(rng) for _ in range(4))):
            saved = candidate.saved()
            if saved is not None and saved.tables is not None:
                return saved
        return None

    def _edit(
        self, host: np.ndarray, cut: edits.Cut, photo: Photo, saved: degrade.Jpeg | None, rng: np.random.Generator
    ) -> edits.Made | None:
        """One edit that changes something, of up to six tries; None otherwise."""
        config = self.config
        same_content = bool(rng.random() < config.same_content_share)
        for _ in range(6):
            made: edits.Made | None
            if same_content:
                made = edits.same_content(histories.pick(config.same_content, rng), host, cut.labels, config, rng)
            else:
                operation = histories.pick(config.new_content, rng)
                if operation == "splice":
                    by_object = self.labelled and config.shapes.get("object", 0) > 0 and rng.random() < 0.4
                    if by_object:
                        donor = self.labelled[int(rng.integers(len(self.labelled)))]
                    else:
                        donor = self._any_photo(rng, but=photo.group)
                    if donor.group == photo.group:
                        continue
                    made = edits.splice(donor, host, config, rng, by_object=bool(by_object), saved=saved)
                else:
                    made = edits.within_picture(operation, host, cut.labels, config, rng)
            if made is not None and edits.changes_enough(host, made.edit):
                return made
        return None
