"""Settings of the forge: one pydantic model, unknown keys refused.

Deliberately left out: ranges of single operations (qualities, angles, ...). They live beside the code that draws them,
in `histories.py` and `edits.py`, for a change there is a change of the forge's version.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_tools.forge.regions import Shape

SameContent = Literal["resample", "blur", "median", "denoise", "sharpen", "tone", "noise", "jpeg_ghost", "foreign_grid"]
NewContent = Literal["splice", "copy_move", "removal_diffusion", "removal_exemplar", "removal_patchmatch"]
Split = Literal["all", "training", "validation"]
FinishKind = Literal["none", "jpeg", "resize_jpeg", "social", "social_twice", "webp", "screenshot", "noise", "blur"]


class ForgeConfig(BaseModel):
    """What the forge makes, in which shares. Weights are relative: they need not add up to one.

    Attributes:
        authentic_share: authentic samples among all; a third of the default ones is globally processed.
        several_share: forged samples with two or three edits, among forged ones.
        same_content_share: edits that only process the region's own content, among all edits.
        global_share: samples, authentic and forged alike, that are processed as a whole before the finish.
        area_low, area_high: range of the area fraction of a region, drawn log-uniformly.
        new_content, same_content, shapes, finishes: weights.
        permissive: only photographs whose licence allows any use (see `photos.PERMISSIVE_SOURCES`).
        labels_dir: folder of label pictures, <stem>.png for each photograph that has one (uint8, stored frame, 0 =
            nothing); None: object_masks/ beside the folder of photographs.
        allow_smaller: photographs with a short side under the wanted size give smaller samples; False leaves them out.
        split: which side of the split by photograph; copies and crops of one photograph are never parted.
        validation_share: share of the photographs on the validation side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    authentic_share: float = Field(default=0.45, ge=0, le=1)
    several_share: float = Field(default=0.2, ge=0, le=1)
    same_content_share: float = Field(default=0.4, ge=0, le=1)
    global_share: float = Field(default=0.35, ge=0, le=1)
    area_low: float = Field(default=0.001, gt=0, lt=1)
    area_high: float = Field(default=0.4, gt=0, lt=1)
    new_content: dict[NewContent, float] = {
        "splice": 0.45,
        "copy_move": 0.3,
        "removal_diffusion": 0.08,
        "removal_exemplar": 0.07,
        "removal_patchmatch": 0.1,
    }
    same_content: dict[SameContent, float] = {
        "resample": 0.2,
        "blur": 0.12,
        "median": 0.08,
        "denoise": 0.08,
        "sharpen": 0.08,
        "tone": 0.12,
        "noise": 0.1,
        "jpeg_ghost": 0.1,
        "foreign_grid": 0.12,
    }
    shapes: dict[Shape, float] = {
        "blob": 0.26,
        "polygon": 0.15,
        "segment": 0.25,
        "stroke": 0.08,
        "text": 0.05,
        "object": 0.18,
        "box": 0.03,
    }
    finishes: dict[FinishKind, float] = {
        "none": 0.17,
        "jpeg": 0.36,
        "resize_jpeg": 0.13,
        "social": 0.12,
        "social_twice": 0.05,
        "webp": 0.05,
        "screenshot": 0.04,
        "noise": 0.04,
        "blur": 0.04,
    }
    permissive: bool = False
    labels_dir: str | None = None
    allow_smaller: bool = True
    split: Split = "all"
    validation_share: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> ForgeConfig:
        if self.area_low > self.area_high:
            raise ValueError(f"area_low {self.area_low} is above area_high {self.area_high}")
        for name in ("new_content", "same_content", "shapes", "finishes"):
            weights = getattr(self, name).values()
            if any(w < 0 for w in weights) or not sum(weights) > 0:
                raise ValueError(f"{name} needs weights that are not negative and of which one is positive")
        return self
