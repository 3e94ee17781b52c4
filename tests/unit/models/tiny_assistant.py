"""Tiny random assistants over LLaMA- and Qwen-type language models, with inputs; a second to build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_configuration import AssistantSettings, ForgeryAssistantConfig
from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor
from fakeexplain.models.assistant_tokenizer import train_tokenizer
from tests.unit.tiny_models import TOWER

ARCHITECTURES = ("llama", "qwen2")
GRID, CHANNELS, CONTEXT = 16, 8, 192
TEXTS = ["The noise in R1 is 0.25, compared with 0.11 [E1].", "Show me the region. It is in the upper left."] * 3


@dataclass
class Found:
    """A localization of HxW."""

    map: np.ndarray
    confidence: np.ndarray


def settings(**changes: Any) -> AssistantSettings:
    values: dict[str, Any] = {
        "vision": {"custom": TOWER, "layers": [0, 1], "frozen": False},
        "vision_grid": 2,
        "grid": GRID,
        "trace_channels": CHANNELS,
        "mask_encoder": {"tokens": 3, "prompt_tokens": 2, "region_tokens": 2, "width": 16, "heads": 2},
        "mask_decoder": {"width": 16, "depth": 1, "heads": 2, "mlp": 16},
        "lora_r": 4,
        "lora_dropout": 0.0,
        "lora_targets": ("q_proj", "v_proj", "down_proj"),
    }
    return AssistantSettings.model_validate({**values, **changes})


def text_config(architecture: str, vocab_size: int) -> Any:
    """LLaMA with a shared embedding and head, Qwen with two and grouped key-value heads."""
    values: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if architecture == "llama" else 2,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": architecture == "llama",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return LlamaConfig(**values) if architecture == "llama" else Qwen2Config(**values)


def parts(architecture: str = "llama", **changes: Any) -> tuple[ForgeryAssistantConfig, ForgeryAssistantProcessor]:
    """Configuration and processor; the marks lie inside the vocabulary, as in the embedded default."""
    tokenizer = train_tokenizer(TEXTS, 380, context=CONTEXT)
    config = ForgeryAssistantConfig.from_parts(text_config(architecture, len(tokenizer)), settings(**changes))
    return config, ForgeryAssistantProcessor.for_model(config, tokenizer)


def assistant(
    architecture: str = "llama", seed: int = 0, **changes: Any
) -> tuple[ForgeryAssistant, ForgeryAssistantProcessor]:
    """A random assistant and its processor."""
    config, processor = parts(architecture, **changes)
    torch.manual_seed(seed)
    return ForgeryAssistant(config).eval(), processor


def base_folder(folder: Path, architecture: str = "llama", seed: int = 0) -> Path:
    """A language model as its maker would publish it: config, safetensors, tokenizer."""
    tokenizer = train_tokenizer(TEXTS, 380, context=CONTEXT)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(text_config(architecture, len(tokenizer)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def picture(seed: int = 0, height: int = 50, width: int = 70) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def found(seed: int = 0, height: int = 50, width: int = 70) -> Found:
    rng = np.random.default_rng(seed)
    return Found(*(rng.random((height, width), dtype=np.float32) for _ in range(2)))


def box(x0: int, y0: int, x1: int, y1: int, height: int = 50, width: int = 70) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def features(seed: int = 0) -> Tensor:
    return torch.randn(1, CHANNELS, GRID, GRID, generator=torch.Generator().manual_seed(seed))


QUESTION = [{"role": "user", "content": "<image>\n<mask>\nWhat of R1 <region>?"}]
ANSWERED = [*QUESTION, {"role": "assistant", "content": "It is here <SEG> [E1]."}]


def question(processor: ForgeryAssistantProcessor, seed: int = 0, **changes: Any) -> dict[str, Tensor]:
    """A prompt with every kind of mark."""
    values: dict[str, Any] = {
        "messages": QUESTION,
        "image": picture(seed),
        "localization": found(seed),
        "trace_features": features(seed),
        "regions": {"R1": box(10, 5, 40, 30)},
    }
    return processor(**{**values, **changes})


def answered(processor: ForgeryAssistantProcessor, seed: int = 0, **changes: Any) -> dict[str, Tensor]:
    """The same with an answer that decodes a region."""
    values = {"messages": ANSWERED, "labels": True, "seg_targets": [box(10, 5, 40, 30)]}
    return question(processor, seed, **{**values, **changes})
