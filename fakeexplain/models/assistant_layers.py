"""Small parts of the assistant, and the record of its outputs. Deliberately left out: how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import Cache
from transformers.utils import ModelOutput

from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig


@dataclass
class ForgeryAssistantOutput(ModelOutput):
    """All outputs; N is the number of `<SEG>` tokens in the batch, in reading order.

    Attributes:
        loss: language_loss plus the weighted losses of masks, where labels or seg_targets were given.
        logits: B,T,V (V: up to the last added id).
        cache: keys and values of the language model.
        hidden_states, attentions: as the language model gives them, where asked for.
        last_hidden_state: B,T,D, what the head and the mask decoder read.
        language_loss: cross-entropy over the labels that are not -100.
        seg_bce, seg_dice, seg_quality_loss: of the decoded masks that have a target.
        seg_logits: N,1,4G,4G.
        seg_quality: N, estimated intersection over union.
        seg_rows: N int64, the row of the batch that each belongs to.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    last_hidden_state: Tensor | None = None
    language_loss: Tensor | None = None
    seg_bce: Tensor | None = None
    seg_dice: Tensor | None = None
    seg_quality_loss: Tensor | None = None
    seg_logits: Tensor | None = None
    seg_quality: Tensor | None = None
    seg_rows: Tensor | None = None


def token_norm(hidden_size: int, scale: float = 0.02) -> nn.RMSNorm:
    """Gives tokens the size of a language model's own (`compose` sets the scale to that of its embedding).

    Without it they grow without bound in training: a language model normalises what it reads, so that size costs
    nothing, and the larger they are the less a step turns them.
    """
    norm = nn.RMSNorm(hidden_size, eps=1e-6)
    nn.init.constant_(norm.weight, scale)
    return norm


class VisionProjector(nn.Module):
    """Patches of the tower -> P tokens: averages on a grid, then two linear layers (LLaVA-1.5, 2024)."""

    def __init__(self, channels: int, hidden_size: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(channels)
        self.linear_in = nn.Linear(channels, hidden_size)
        self.linear_out = nn.Linear(hidden_size, hidden_size)
        self.out_norm = token_norm(hidden_size)

    def forward(self, patches: Tensor) -> Tensor:
        """B,C,h,w -> B,P,D, row by row."""
        cells = F.adaptive_avg_pool2d(patches, self.grid).flatten(2).transpose(1, 2)
        tokens = self.linear_out(F.gelu(self.linear_in(self.norm(cells.to(self.linear_in.weight.dtype)))))
        out: Tensor = self.out_norm(tokens.float()).to(tokens.dtype)
        return out


class AddedRows(nn.Module):
    """The rows of `<SEG>` beside the language model's embedding and head."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(hidden_size) * 0.02)
        self.output = nn.Parameter(torch.zeros(hidden_size))


class ImageHalf(nn.Module):
    """An open_clip model without its text half, which the assistant never asks."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.visual = clip.visual


def fill_placeholders(
    text: Tensor, places: Tensor, tokens: Tensor, each: int, name: str, *, again: bool = False
) -> Tensor:
    """Puts tokens B,N,D into the places B,T of each row, in order; a row uses none, or `each` for every one it names.

    Args:
        again: the same tokens (N is `each`) may be shown several times in a row.

    Raises:
        ValueError: numbers that do not agree.
    """
    counts = places.sum(1)
    if again:
        tokens = tokens.repeat(1, max(int(counts.max()) // each, 1), 1)
    if bool((counts % each).any()) or int(counts.max()) > tokens.shape[1]:
        raise ValueError(
            f"{name} placeholders and {name} tokens do not match: {counts.tolist()} placeholders in the rows, "
            f"{tokens.shape[1]} tokens for each row, {each} for one {name}; let the processor expand the marks"
        )
    used = torch.arange(tokens.shape[1], device=counts.device) < counts[:, None]
    return text.masked_scatter(places[..., None], tokens[used].to(text.dtype))


def language_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the next token over labels that are not -100; 0 where there are none."""
    wanted = labels[:, 1:].to(logits.device)
    kept = wanted != -100
    if not kept.any():
        return logits.sum() * 0
    return F.cross_entropy(logits[:, :-1][kept].float(), wanted[kept])


def with_added_columns(logits: Tensor, hidden: Tensor, seg_row: Tensor, config: ForgeryAssistantConfig) -> Tensor:
    """Logits B,T,V with the column of `<SEG>` (hidden B,T,D times its row); placeholders are never written."""
    ids = (config.seg_token_id, config.image_token_id, config.mask_token_id, config.region_token_id)
    lowest = torch.finfo(logits.dtype).min
    if (missing := max(ids) + 1 - logits.shape[-1]) > 0:  # type: ignore[type-var,operator]
        logits = F.pad(logits, (0, missing), value=lowest)
    seg = (hidden @ seg_row.to(hidden.dtype)).to(logits.dtype)[..., None]
    columns = torch.cat([seg, torch.full_like(seg, lowest).expand(*seg.shape[:-1], 3)], dim=-1)
    return logits.index_copy(-1, torch.tensor(ids, device=logits.device), columns)
