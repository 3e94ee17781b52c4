"""Small layers that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of 8 channels (or of one when 8 does not divide them): statistics of one picture only, so
    that authentic and forged pictures of a batch do not mix."""
    return nn.GroupNorm(channels // 8 if channels % 8 == 0 else channels, channels)


def silu(fresh: Tensor) -> Tensor:
    """SiLU of a tensor that nobody else needs: in place where nothing is to be differentiated, which saves memory."""
    return F.silu(fresh, inplace=not torch.is_grad_enabled())


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), 3x3, same size (pre-activation: He et al., ECCV 2016)."""

    starts_as_identity = True  # a network may be given more of them later (`training.checkpoints.load_weights`)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_in = group_norm(channels)
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_out = group_norm(channels)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)  # the block starts as the identity
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(silu(self.norm_in(x)))
        return x + self.conv_out(silu(self.norm_out(h)))


class PlainResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3, same size, without a norm: nothing in it depends on more than the surroundings of a
    cell, so tiles of a picture give what the whole gives."""

    starts_as_identity = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv_out(F.relu(self.conv_in(x)))
        return x + residual


class PooledAttention(nn.Module):
    """Every cell attends to at most `key_grid` x `key_grid` averages of the picture: linear in the number of cells.

    Args:
        channels, heads: heads divides channels.
    """

    def __init__(self, channels: int, heads: int, key_grid: int) -> None:
        super().__init__()
        self.heads, self.key_grid = heads, key_grid
        self.norm = group_norm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """B,C,h,w -> the same."""
        batch, channels, height, width = x.shape
        h = self.norm(x)
        grid = (min(self.key_grid, height), min(self.key_grid, width))
        keys, values = self.key_value(F.adaptive_avg_pool2d(h, grid)).flatten(2).chunk(2, dim=1)
        query = self.query(h).flatten(2)

        def split(t: Tensor) -> Tensor:
            return t.reshape(batch, self.heads, channels // self.heads, -1).transpose(2, 3)

        mixed = F.scaled_dot_product_attention(split(query), split(keys), split(values))
        return x + self.out(mixed.transpose(2, 3).reshape(batch, channels, height, width))


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel centres aligned to the frame (align_corners False)."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def window_mean(x: Tensor, side: int) -> Tensor:
    """Mean over a side x side window (odd), over the cells inside the picture only."""
    rows = F.avg_pool2d(x, (side, 1), stride=1, padding=(side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, side // 2), count_include_pad=False)


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def as_grey_levels(rgb: Tensor) -> Tensor:
    """uint8 or float grey levels in [0, 255] -> float, memory laid out for CPU convolutions."""
    return rgb.float().contiguous(memory_format=torch.channels_last)
