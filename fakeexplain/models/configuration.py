"""Settings of the networks: pydantic, unknown keys refused, saved beside the weights they describe.

A variant is one YAML file of `configs/model/`; nothing in the code depends on a variant's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fakeexplain.errors import SettingsError
from fakeexplain.models.vision_encoder import VisionConfig

# What an edit was, coarse enough that its traces can tell; the order is that of the operation head's outputs.
OPERATIONS = ("splice", "copy_move", "removal", "processed", "recompressed")


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TraceConfig(_Config):
    """The trace encoder.

    Attributes:
        srm: fixed SRM residuals, three kernels on each colour channel (Fridrich and Kodovsky, TIFS 2012).
        bayar: constrained filters whose centre is -1 and whose neighbours add up to 1 (Bayar and Stamm, TIFS 2018).
        free: learned filters that add up to 0.
        npr: differences inside each 2x2 cell, which upsampling leaves behind (Tan et al., CVPR 2024).
        clip: residuals are cut at this many grey levels: large ones are content, not traces.
        front: channels of the two convolutions at half resolution.
        front_blocks: plain residual blocks between the two; with more than 2, cells would see beyond a tile's margin.
        channels: channels at 1/4, 1/8 and 1/16.
        blocks: residual blocks at 1/4, 1/8 and 1/16.
        jpeg: channels of the JPEG branch, 0 to leave it out.
        jpeg_frequencies, jpeg_levels: first zigzag frequencies (without DC), and magnitudes (the last one and up), that
            are told apart.
        windows: sides of the windows, in cells of 1/8, against which a feature is compared; () for none, and then it
            is not compared with the whole image either.
        relative: channels that are compared.
        heads: attention heads at 1/16, 0 to leave attention out.
        key_grid: attention looks at the picture through at most key_grid x key_grid averages.
    """

    srm: bool = True
    bayar: int = Field(default=3, ge=0)
    free: int = Field(default=9, ge=0)
    npr: bool = True
    clip: float = Field(default=6.0, gt=0)
    front: tuple[int, int] = (32, 32)
    front_blocks: int = Field(default=0, ge=0, le=2)
    channels: tuple[int, int, int] = (48, 80, 112)
    blocks: tuple[int, int, int] = (0, 2, 1)
    jpeg: int = Field(default=48, ge=0)
    jpeg_frequencies: int = Field(default=35, ge=1, le=63)
    jpeg_levels: int = Field(default=16, ge=2)
    windows: tuple[int, ...] = (5, 9, 17)
    relative: int = Field(default=32, ge=8)
    heads: int = Field(default=4, ge=0)
    key_grid: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _check(self) -> TraceConfig:
        if any(w < 3 or w % 2 == 0 for w in self.windows):
            raise ValueError(f"windows {self.windows}: wanted odd numbers of at least 3")
        if self.heads and self.channels[2] % self.heads:
            raise ValueError(f"heads {self.heads} do not divide channels[2] {self.channels[2]}")
        return self


class PromptConfig(_Config):
    """The object-agnostic forgery prompt: two learned prompts, authentic and forged, that name no object.

    Attributes:
        length: learned vectors in each prompt (Zhou et al., AnomalyCLIP, ICLR 2024).
        scale: initial factor of the cosine similarities.
    """

    length: int = Field(default=8, ge=1)
    scale: float = Field(default=8.0, gt=0)


class ExpertConfig(_Config):
    """The forgery localization expert.

    Attributes:
        trace: the trace encoder.
        vision: the vocabulary-enhanced vision encoder (an open_clip tower), None to leave it out.
        prompt: None to leave it out; needs `vision`, for its text tower reads the prompts.
        decoder: channels of the decoder at 1/4.
        embedding: channels of the contrastive embedding at 1/8.
        region: hidden units of the head for a region that somebody names, 0 to leave it out; it has a training phase of
            its own (`configs/training/expert_region.yaml`).
    """

    trace: TraceConfig = TraceConfig()
    vision: VisionConfig | None = None
    prompt: PromptConfig | None = None
    decoder: int = Field(default=32, ge=8)
    embedding: int = Field(default=32, ge=4)
    region: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> ExpertConfig:
        if self.prompt is not None and self.vision is None:
            raise ValueError("prompt needs vision: its text tower reads the prompts; set vision, or prompt to null")
        return self


def load_config(path: Path | str) -> ExpertConfig:
    """An ExpertConfig from YAML or JSON.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown or wrong; every problem in one message.
    """
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a file of configs/model/") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML ({error})") from None
    content = content or {}
    vision = content.get("vision") if isinstance(content, dict) else None
    if isinstance(vision, dict) and isinstance(vision.get("custom"), str):  # a path beside the file that names it
        vision["custom"] = str(Path(path).parent / vision["custom"])
    try:
        return ExpertConfig.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{path}: {problems}") from None
