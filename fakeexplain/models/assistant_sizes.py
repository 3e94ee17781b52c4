"""How large an assistant is, before anything is downloaded: parts are built on the meta device and counted.

What is counted is what `ForgeryAssistant.compose(..., dtype=torch.bfloat16)` holds: the language model in bfloat16, or
its linear layers in 8 or 4 bits (the embedding and the head stay in bfloat16); a frozen tower in bfloat16; what trains
in float32. Deliberately left out: activations, which depend on the text's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from segment_anything import sam_model_registry
from torch import nn

from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_adapters import OWN_PARTS
from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig
from fakeexplain.models.layers import count_parameters

NF4_BLOCK, NESTED_BLOCK = 64, 256  # weights that share a scale; scales that share one in turn (double quantisation)
_ADAM = 12  # bytes for a trained float32 number beside itself: its gradient and Adam's two moments


@dataclass(frozen=True)
class PartSize:
    """One part: parameters, and bytes in each form; `trained` is how many of its parameters the last stages train."""

    name: str
    parameters: int
    bf16: int
    int8: int
    nf4: int
    trained: int


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """The layers of a language model that bitsandbytes quantises: all linear ones but the head."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return [m for m in model.modules() if isinstance(m, nn.Linear) and m is not head]


def quantised_bytes(layers: list[nn.Linear], bits: int) -> int:
    """Bytes of their weights in bitsandbytes' form: LLM.int8() with a float32 scale for each output, or NF4 with
    double quantisation."""
    total = 0
    for layer in layers:
        count = layer.weight.numel()
        if bits == 8:
            total += count + 4 * layer.weight.shape[0]
            continue
        blocks = -(-count // NF4_BLOCK)
        total += -(-count // 2) + blocks + 4 * -(-blocks // NESTED_BLOCK)
    return total


def sizes(config: ForgeryAssistantConfig) -> list[PartSize]:
    """Every part of an assistant, then LoRA, then SAM where the settings name it."""
    settings = config.settings
    with torch.device("meta"):
        model = ForgeryAssistant(config)
    language = model.language_model
    layers = linear_layers(language)
    count, linear = count_parameters(language), sum(m.weight.numel() for m in layers)
    rest = 2 * (count - linear)
    rows = [
        PartSize(
            f"language model ({language.config.model_type})",
            count,
            2 * count,
            rest + quantised_bytes(layers, 8),
            rest + quantised_bytes(layers, 4),
            0,
        )
    ]
    for name in OWN_PARTS:
        number = count_parameters(getattr(model, name))
        frozen = name == "vision_encoder" and settings.vision.frozen
        held = (2 if frozen else 4) * number
        rows.append(PartSize(name, number, held, held, held, 0 if frozen else number))
    with torch.device("meta"):
        model.add_lora()
    lora = count_parameters(language) - count
    rows.append(PartSize(f"LoRA, rank {settings.lora_r}", lora, 4 * lora, 4 * lora, 4 * lora, lora))
    if settings.sam is not None:
        with torch.device("meta"):
            sam = count_parameters(sam_model_registry[settings.sam.model_type]())
        rows.append(PartSize(f"SAM {settings.sam.model_type}", sam, 4 * sam, 4 * sam, 4 * sam, 0))
    return rows


def table(rows: list[PartSize]) -> str:
    """Markdown: millions of parameters, and MiB."""
    total = PartSize("together", *(sum(getattr(r, f) for r in rows) for f in _FIELDS))
    adam = _ADAM * total.trained
    states = PartSize("with gradients and AdamW", 0, total.bf16 + adam, total.int8 + adam, total.nf4 + adam, 0)
    lines = ["| part | parameters, M | bf16, MiB | 8-bit, MiB | 4-bit, MiB | trained, M |", "|---|--:|--:|--:|--:|--:|"]
    for row in [*rows, total, states]:
        held = " | ".join(f"{v / 2**20:,.1f}" for v in (row.bf16, row.int8, row.nf4))
        lines.append(f"| {row.name} | {_millions(row.parameters)} | {held} | {_millions(row.trained)} |")
    return "\n".join(lines)


_FIELDS = ("parameters", "bf16", "int8", "nf4", "trained")


def _millions(count: int) -> str:
    return f"{count / 1e6:,.3f}" if count else ""
