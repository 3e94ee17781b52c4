"""Which open_clip tower: its settings, how it is built, and where its weights and vocabulary come from.

Deliberately left out: what is done with it (`vision_encoder`), and any download that no `pretrained` asked for.
"""

from __future__ import annotations

import copy
import json
import os
from difflib import get_close_matches
from typing import Any

import open_clip
from open_clip.factory import load_checkpoint
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import nn

from fakeexplain.errors import SettingsError
from fakeexplain.models.text_tokenizer import END_ID, CaptionTokenizer

_CUSTOM_KEYS = frozenset({"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text"})
_OPENAI_VOCABULARY = 49408  # entries of open_clip's SimpleTokenizer


class VisionConfig(BaseModel):
    """Which tower, with which weights; exactly one of `name` and `custom`.

    Attributes:
        name: a model of open_clip, e.g. "ViT-L-14" (`open_clip.list_models()`).
        custom: open_clip's model configuration (embed_dim, vision_cfg, text_cfg, and maybe quick_gelu, custom_text), or
            the path of a JSON file that holds it: its content replaces the path, so that a saved configuration is
            whole. With a vocabulary of its own it is pooled at `CaptionTokenizer`'s end token.
        pretrained: None for random weights; a tag of open_clip for `name` (say "openai": this downloads, because it was
            asked for); or the path of a .safetensors file.
        layers: blocks (stages, in a convolutional tower) whose features are given out, from 0, rising.
        frozen: no parameter is trained, and batch statistics and dropout stay as in evaluation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    custom: dict[str, Any] | None = None
    pretrained: str | None = None
    layers: tuple[int, ...] = Field(min_length=1)
    frozen: bool = False

    @field_validator("custom", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        if not isinstance(value, str | os.PathLike):
            return value
        try:
            with open(value, encoding="utf-8") as file:
                return json.load(file)
        except OSError as error:
            raise ValueError(f"{os.fspath(value)}: cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise ValueError(f"{os.fspath(value)}: not JSON ({error})") from None

    @model_validator(mode="after")
    def _check(self) -> VisionConfig:
        if (self.name is None) == (self.custom is None):
            raise ValueError("wanted exactly one of name (an open_clip model) and custom (its configuration)")
        if self.custom is not None:
            _check_custom(self.custom)
        if self.layers[0] < 0 or any(b <= a for a, b in zip(self.layers, self.layers[1:], strict=False)):
            raise ValueError(f"layers {self.layers}: wanted rising numbers from 0")
        return self


def _check_custom(custom: dict[str, Any]) -> None:
    missing, unknown = {"embed_dim", "vision_cfg", "text_cfg"} - set(custom), set(custom) - _CUSTOM_KEYS
    if missing or unknown:
        raise ValueError(f"custom: keys missing {sorted(missing)}, unknown {sorted(unknown)}")
    if not isinstance(custom["vision_cfg"], dict) or not isinstance(custom["text_cfg"], dict):
        raise ValueError("custom: vision_cfg and text_cfg have to be mappings")
    text = custom["text_cfg"]
    if _own_vocabulary(text) and (text.get("pool_type"), text.get("eos_id", END_ID)) != ("eos", END_ID):
        raise ValueError(
            f"custom: text_cfg with a vocabulary of its own ({text['vocab_size']} entries) wants pool_type "
            f'"eos" and eos_id {END_ID}, where CaptionTokenizer puts the end of a text'
        )


def _own_vocabulary(text_cfg: dict[str, Any]) -> bool:
    return bool(text_cfg.get("vocab_size", _OPENAI_VOCABULARY) != _OPENAI_VOCABULARY)


def check_vocabulary(tokenizer: CaptionTokenizer, config: VisionConfig) -> None:
    """Raises SettingsError where the tower does not have a vocabulary of its own, or a smaller one."""
    text = {} if config.custom is None else config.custom["text_cfg"]
    if not _own_vocabulary(text) or tokenizer.vocab_size > text["vocab_size"]:
        raise SettingsError(
            f"tokenizer: {tokenizer.vocab_size} entries came, but text_cfg.vocab_size of {config.name or 'custom'} is "
            f"{text.get('vocab_size', _OPENAI_VOCABULARY)}; take the tokenizer that was saved with the weights, or "
            "none for a model that open_clip names"
        )


def tag_of(config: VisionConfig) -> dict[str, Any]:
    """What open_clip knows about the weights that `pretrained` names (mean, std, ...); {} where it is not a tag."""
    if config.name is None or config.pretrained is None:
        return {}
    return dict(get_pretrained_cfg(config.name, config.pretrained))


def model_cfg_of(config: VisionConfig) -> dict[str, Any]:
    """open_clip's configuration of the tower, without base weights that it would fetch by itself.

    Raises:
        SettingsError: unknown name, or a text tower whose shape would have to be fetched unasked.
    """
    if config.custom is not None:
        model_cfg = copy.deepcopy(config.custom)
    else:
        if config.name not in open_clip.list_models():  # also keeps hub addresses out, which open_clip would fetch
            near = get_close_matches(str(config.name), open_clip.list_models(), 3, 0.5)
            raise SettingsError(
                f"name {config.name!r}: open_clip {open_clip.__version__} has no such model; "
                f"{'did you mean ' + ', '.join(near) + '?' if near else 'see open_clip.list_models()'}"
            )
        model_cfg = open_clip.get_model_config(config.name)  # a copy
    if model_cfg["vision_cfg"].get("timm_model_name"):
        model_cfg["vision_cfg"]["timm_model_pretrained"] = False
    if model_cfg["text_cfg"].get("hf_model_name"):
        model_cfg["text_cfg"]["hf_model_pretrained"] = False
        if config.pretrained is None:
            raise SettingsError(
                f"{config.name or 'custom'}: the shape of its text tower {model_cfg['text_cfg']['hf_model_name']!r} "
                "has to be fetched; set pretrained to allow it, or take a model with an open_clip text tower"
            )
    if "quick_gelu" in (tag := tag_of(config)):  # the activation that the weights were trained with
        model_cfg["quick_gelu"] = tag["quick_gelu"]
    return model_cfg


def build(model_cfg: dict[str, Any], config: VisionConfig) -> Any:
    """The open_clip module, with random weights. Raises SettingsError where open_clip refuses the configuration."""
    arguments = {key: value for key, value in model_cfg.items() if key != "custom_text"}
    if "multimodal_cfg" in model_cfg:
        kind: Any = open_clip.CoCa
    elif model_cfg.get("custom_text") or model_cfg["text_cfg"].get("hf_model_name"):
        kind = open_clip.CustomTextCLIP
    else:
        kind = open_clip.CLIP
    try:
        return kind(**arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"{config.name or 'custom'}: open_clip {open_clip.__version__} cannot build it ({error}); check its keys"
        ) from None


def check_pretrained(config: VisionConfig) -> None:
    """Raises SettingsError where `pretrained` is neither a tag of the model nor a .safetensors file."""
    given = str(config.pretrained)
    if not tag_of(config) and not (given.endswith(".safetensors") and os.path.isfile(given)):
        tags = open_clip.list_pretrained_tags_by_model(config.name) if config.name else []
        raise SettingsError(f"pretrained {given!r}: wanted an existing .safetensors file or one of the tags {tags}")


def load_pretrained(clip: nn.Module, config: VisionConfig) -> None:
    """Loads weights strictly. No pickles: a file has to be safetensors; torch reads downloads with weights_only.

    Raises:
        SettingsError: weights that cannot be read or do not fit, with what is missing.
    """
    given, tag = str(config.pretrained), tag_of(config)
    try:
        load_checkpoint(clip, download_pretrained(tag) if tag else given, strict=True)
    except Exception as error:  # network, file and key problems all have types of their own
        raise SettingsError(f"pretrained {given!r}: cannot be loaded into this tower ({error})") from error


def open_clip_tokenizer(model_cfg: dict[str, Any], config: VisionConfig) -> Any:
    """open_clip's own tokenizer; None for a custom vocabulary, or for one that would have to be fetched unasked."""
    text = model_cfg["text_cfg"]
    if config.custom is not None:
        return None if _own_vocabulary(text) else open_clip.SimpleTokenizer(context_length=text.get("context_length"))
    # open_clip itself takes the SigLIP vocabulary from the name
    fetched = text.get("hf_tokenizer_name") or "siglip" in str(config.name).lower()
    return None if fetched and config.pretrained is None else open_clip.get_tokenizer(config.name)
