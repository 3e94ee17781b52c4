"""The model card that is written beside an assistant's weights: what it is made of, what for, and what it cannot do.

Deliberately left out: figures of any benchmark, which belong to `fakeexplain bench` and its pages.
"""

from __future__ import annotations

from typing import Any

from torch import nn

_HEAD = """---
library_name: transformers
pipeline_tag: image-text-to-text
tags:
- image-forensics
- forgery-localization
- explainability
---
# Forgery assistant

A multimodal language model that words what instruments and a forgery localization expert measured on a photograph.
It never decides whether a photograph was altered: that is one calibrated number, computed before it speaks. Written by
`fakeexplain`.
"""
_USE = """
## Use

```python
from fakeexplain.models.assistant_loading import load_assistant

model, processor = load_assistant("THIS_FOLDER")
```

Give it only evidence that was measured, and check every sentence of an answer against that evidence before somebody
reads it (`fakeexplain.reasoning.grounding`). It is not a detector, and not for photographs of people without cause.

## Limits

- It may word things that no evidence supports; unchecked output is not evidence.
- The expert's errors are its own errors: a map that marks an honest part is described as if it were right.
- Regions that `<SEG>` decodes are as fine as the grid, {cells} x {cells} cells, and no finer.
"""


def model_card(model: Any) -> str:
    """Markdown for an assistant, from its configuration and parameters."""
    config, settings = model.config, model.config.settings
    text = config.text_config
    vision = settings.vision.name or "custom"
    where = config.language_model_path or "inside this folder"
    lora = "merged, or none"
    if model.has_lora:
        lora = f"rank {settings.lora_r}, alpha {settings.lora_alpha}, on {_words(settings.lora_targets)}"
    rows = [
        ("language model", f"{text.model_type}, hidden {text.hidden_size}, {text.num_hidden_layers} layers; {where}"),
        ("LoRA", lora),
        ("vision tower", f"open_clip {vision}, {settings.vision_tokens} tokens"),
        (
            "mask encoder",
            f"{settings.mask_encoder.tokens} tokens and {settings.mask_encoder.prompt_tokens} learned ones",
        ),
        (
            "mask decoder",
            f"segment_anything's, {settings.mask_decoder.width} channels on {settings.grid} x {settings.grid}",
        ),
    ]
    counts = [(name, _count(getattr(model, name))) for name in _PARTS]
    lines = [_HEAD, "## Parts\n", "| part | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    lines += ["\n| parameters | |", "|---|---|", *(f"| {name} | {count:,} |" for name, count in counts)]
    return "\n".join(lines) + "\n" + _USE.format(cells=4 * settings.grid)


_PARTS = (
    "language_model",
    "vision_encoder",
    "projector",
    "mask_encoder",
    "added_rows",
    "seg_projection",
    "mask_decoder",
)


def _words(targets: tuple[str, ...] | str) -> str:
    return targets if isinstance(targets, str) else ", ".join(targets)


def _count(module: nn.Module) -> int:
    """Parameters; of quantised weights, the numbers they hold and not the bytes."""
    total = 0
    for parameter in module.parameters():
        state = getattr(parameter, "quant_state", None)
        total += parameter.numel() if state is None else state.shape.numel()
    return total
