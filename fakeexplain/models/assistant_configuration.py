"""Settings of the assistant: which language model, which towers, how many tokens of what.

`AssistantSettings` is what a YAML file of `configs/model/assistant_*.yaml` says about our own parts (pydantic, unknown
keys refused); `ForgeryAssistantConfig` is the transformers configuration that holds it beside the language model's.
Nothing in the code depends on a name. Deliberately left out: training (see `training/`), the expert's settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub.dataclasses import strict
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

from fakeexplain.errors import SettingsError
from fakeexplain.models.vision_tower import VisionConfig

IMAGE_MARK, MASK_MARK, REGION_MARK, SEG_MARK = "<image>", "<mask>", "<region>", "<SEG>"
MARKS = (IMAGE_MARK, MASK_MARK, REGION_MARK, SEG_MARK)


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MaskEncoderSettings(_Config):
    """The mask encoder.

    Attributes:
        tokens: K, tokens that say what the expert's map marks and how sure it is.
        prompt_tokens: learned tokens after them that depend on nothing.
        region_tokens: tokens of a region that somebody points at.
        width: channels inside.
        heads: of the attention by which tokens read the map; they divide `width`.
    """

    tokens: int = Field(default=8, ge=1)
    prompt_tokens: int = Field(default=4, ge=0)
    region_tokens: int = Field(default=4, ge=1)
    width: int = Field(default=96, ge=16, multiple_of=8)
    heads: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _check(self) -> MaskEncoderSettings:
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} do not divide width {self.width}")
        return self


class MaskDecoderSettings(_Config):
    """The mask decoder, made of segment_anything's prompt encoder and two-way transformer.

    Attributes:
        width: channels of the embedding grid; a multiple of 8.
        depth, heads, mlp: of the two-way transformer; `heads` divide width / 2.
    """

    width: int = Field(default=64, ge=16, multiple_of=8)
    depth: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    mlp: int = Field(default=256, ge=8)

    @model_validator(mode="after")
    def _check(self) -> MaskDecoderSettings:
        if (self.width // 2) % self.heads:
            raise ValueError(f"heads {self.heads} do not divide half of width {self.width}")
        return self


class SamSettings(_Config):
    """SAM weights of the user's, which refine masks from clicks and boxes; never part of the assistant's own weights.

    Attributes:
        model_type: a name of segment_anything's `sam_model_registry`.
        checkpoint: path of the weights, .safetensors or the published .pth (read without unpickling objects).
    """

    model_type: Literal["vit_b", "vit_l", "vit_h"]
    checkpoint: str | None = None


class AssistantSettings(_Config):
    """Our own parts around the language model.

    Attributes:
        vision: the open_clip tower; only its image half is built.
        vision_grid: side of the grid of vision tokens: P = vision_grid**2.
        grid: side of the square views in which maps, masks and trace features come; decoded masks are 4 * grid wide.
        trace_channels: channels of the expert's trace features, 0 to leave them out.
        mask_encoder, mask_decoder: see there.
        lora_r, lora_alpha, lora_dropout, lora_targets: low-rank adapters of the language model (Hu et al., ICLR 2022);
            targets are the last parts of module names in it, or "all-linear".
        seg_bce_weight, seg_dice_weight, seg_quality_weight: of the losses of decoded masks (LISA, Lai et al., CVPR
            2024, for the first two; SAM for the quality estimate).
        sam: None where no SAM weights are used.
        largest_entropy: nats; where the next word could be nearly any, the answer ends (`grounded_decoding`). What is
            large depends on the language model: measure it on questions like those of the training. None for no limit.
    """

    vision: VisionConfig
    vision_grid: int = Field(default=4, ge=1)
    grid: int = Field(default=64, ge=16, multiple_of=8)
    trace_channels: int = Field(default=80, ge=0, multiple_of=8)
    mask_encoder: MaskEncoderSettings = MaskEncoderSettings()
    mask_decoder: MaskDecoderSettings = MaskDecoderSettings()
    lora_r: int = Field(default=8, ge=1)
    lora_alpha: int = Field(default=16, ge=1)
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    lora_targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    seg_bce_weight: float = Field(default=2.0, ge=0)
    seg_dice_weight: float = Field(default=0.5, ge=0)
    seg_quality_weight: float = Field(default=0.1, ge=0)
    sam: SamSettings | None = None
    largest_entropy: float | None = Field(default=None, gt=0)

    @property
    def vision_tokens(self) -> int:
        """P."""
        return self.vision_grid**2

    @property
    def mask_tokens(self) -> int:
        """Tokens that stand for one `<mask>`: K and the learned prompt."""
        return self.mask_encoder.tokens + self.mask_encoder.prompt_tokens


@strict
class ForgeryAssistantConfig(PreTrainedConfig):
    """Configuration of `ForgeryAssistant`; `save_pretrained` and `from_pretrained` as in every transformers model.

    Attributes:
        text_config: of any causal language model that transformers knows.
        language_model_path: folder or name of its weights, read by `ForgeryAssistant.compose`; None for random ones.
        assistant: `AssistantSettings` as plain values; read them through `settings`.
        image_token_id, mask_token_id, region_token_id, seg_token_id: of the four marks; the four ids after the language
            model's vocabulary where none are given (`set_marks` takes them from a tokenizer).
    """

    model_type = "forgery_assistant"
    sub_configs_defaults = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")}  # noqa: RUF012

    text_config: dict[str, Any] | PreTrainedConfig | None = None
    language_model_path: str | None = None
    assistant: dict[str, Any] | None = None
    image_token_id: int | None = None
    mask_token_id: int | None = None
    region_token_id: int | None = None
    seg_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        vocabulary = int(self.text_config.vocab_size)  # type: ignore[union-attr]
        for i, name in enumerate(("image_token_id", "mask_token_id", "region_token_id", "seg_token_id")):
            if getattr(self, name) is None:
                setattr(self, name, vocabulary + i)
        if self.assistant is not None:
            self.assistant = _settings(self.assistant).model_dump(mode="json")

    @property
    def settings(self) -> AssistantSettings:
        """The settings of our own parts.

        Raises:
            SettingsError: there are none.
        """
        if self.assistant is None:
            raise SettingsError("config has no `assistant` settings; build it with load_assistant_config or from_parts")
        return _settings(self.assistant)

    @classmethod
    def from_parts(
        cls, text_config: PreTrainedConfig, settings: AssistantSettings, *, language_model_path: str | None = None
    ) -> ForgeryAssistantConfig:
        """A configuration from the language model's and our own."""
        return cls(
            text_config=text_config,
            assistant=settings.model_dump(mode="json"),
            language_model_path=language_model_path,
        )

    @property
    def mark_ids(self) -> dict[str, int]:
        """Ids of `MARKS`."""
        ids = (self.image_token_id, self.mask_token_id, self.region_token_id, self.seg_token_id)
        return {mark: int(i) for mark, i in zip(MARKS, ids, strict=True)}  # type: ignore[arg-type]

    def set_marks(self, ids: dict[str, int]) -> None:
        """Takes the ids of `MARKS` from a tokenizer that has them."""
        self.image_token_id, self.mask_token_id, self.region_token_id, self.seg_token_id = (ids[m] for m in MARKS)

    @property
    def context(self) -> int:
        """Most positions of the language model."""
        return int(self.text_config.max_position_embeddings)  # type: ignore[union-attr]


def _settings(values: dict[str, Any]) -> AssistantSettings:
    try:
        return AssistantSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"assistant settings: {_problems(error)}") from None


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())


def load_assistant_config(path: Path | str, *, language_model_path: str | None = None) -> ForgeryAssistantConfig:
    """A configuration from a YAML file of `configs/model/`.

    The file holds `language_model` with a `path` (a folder, or a name that transformers may fetch) or a `config` (the
    values of a transformers configuration, `model_type` among them), and under `assistant` the settings of our parts.

    Args:
        language_model_path: takes the place of the file's `language_model`.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown or wrong; every problem in one message.
    """
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a file of configs/model/") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML ({error})") from None
    if not isinstance(content, dict) or set(content) != {"language_model", "assistant"}:
        raise SettingsError(f"{path}: wanted exactly the keys language_model and assistant")
    language, ours = content["language_model"], content["assistant"]
    if not isinstance(language, dict) or set(language) - {"path", "config"} or not isinstance(ours, dict):
        raise SettingsError(f"{path}: language_model wants path or config, assistant wants settings")
    vision = ours.get("vision")
    if isinstance(vision, dict) and isinstance(vision.get("custom"), str):  # a path beside the file that names it
        vision["custom"] = str(Path(path).parent / vision["custom"])
    try:
        settings = AssistantSettings.model_validate(ours)
    except ValidationError as error:
        raise SettingsError(f"{path}: {_problems(error)}") from None
    if language_model_path is not None:
        language = {"path": language_model_path}
    return ForgeryAssistantConfig.from_parts(
        _text_config(language, path), settings, language_model_path=language.get("path")
    )


def _text_config(language: dict[str, Any], path: Path | str) -> PreTrainedConfig:
    given = language.get("config")
    if (given is None) == (language.get("path") is None):
        raise SettingsError(f"{path}: language_model wants exactly one of path and config")
    try:
        if given is None:
            return AutoConfig.from_pretrained(language["path"])
        known = AutoConfig.for_model(given["model_type"])
        if unknown := [key for key in given if key != "model_type" and not hasattr(known, key)]:
            raise SettingsError(f"{path}: language_model.config: {known.model_type} has no {', '.join(unknown)}")
        return AutoConfig.for_model(**given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: language_model: {error}") from None


AutoConfig.register(ForgeryAssistantConfig.model_type, ForgeryAssistantConfig)

__all__ = [
    "MARKS",
    "AssistantSettings",
    "ForgeryAssistantConfig",
    "MaskDecoderSettings",
    "MaskEncoderSettings",
    "SamSettings",
    "load_assistant_config",
]
