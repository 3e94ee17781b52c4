"""Small random networks: every part present, a second to build."""

from __future__ import annotations

import torch

from fakeexplain.models.configuration import ExpertConfig, PromptConfig, TraceConfig
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.vision_encoder import VisionConfig

TOWER = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 300,
        "width": 32,
        "heads": 2,
        "layers": 1,
        "pool_type": "eos",
        "pad_id": 0,
        "eos_id": 2,
    },
}


def trace_config(**changes: object) -> TraceConfig:
    small = {"front": (8, 8), "channels": (16, 16, 16), "blocks": (1, 1, 1), "jpeg": 8, "relative": 8, "heads": 2}
    return TraceConfig(**{**small, **changes})  # type: ignore[arg-type]


def expert_config(*, vision: bool = True, prompt: bool = True, region: int = 0, **changes: object) -> ExpertConfig:
    tower = VisionConfig(custom=TOWER, layers=(0, 1)) if vision else None
    words = PromptConfig(length=3) if vision and prompt else None
    return ExpertConfig(
        trace=trace_config(**changes), vision=tower, prompt=words, decoder=16, embedding=8, region=region
    )


def expert(seed: int = 0, *, lively: bool = False, **changes: object) -> ForgeryLocalizationExpert:
    """A random network; `lively` also draws the parts that start at zero, so that nothing cancels out."""
    torch.manual_seed(seed)
    model = ForgeryLocalizationExpert(expert_config(**changes))  # type: ignore[arg-type]
    if lively:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


__all__ = ["TOWER", "expert", "expert_config", "trace_config"]
