"""The trace encoder: residual statistics first, content second; the expert's forensic vocabulary.

Two halves. `LocalEncoder` turns pixels into features at 1/4 and JPEG features at 1/8; it sees 16 pixels around a cell
at most and normalises nothing over the picture, so a large picture is encoded tile by tile with the very same result.
`Trunk` then sees the whole picture at 1/4, 1/8 and 1/16: a forgery is relative, so features are compared with windows
of several sizes and with the picture as a whole.

Why statistics first: small clipped residuals, averaged and not strided, learn where plain convolutions on RGB do not
(docs/experiments.md). Deliberately left out: resizing of any kind.

Frames: B,C,H,W; H and W are multiples of 16 (see `processing`), grid cell (i, j) at stride s covers pixels
[s i, s i + s) x [s j, s j + s).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fakeexplain.imaging.jpeg import DCT8, ZIGZAG
from fakeexplain.models.configuration import TraceConfig
from fakeexplain.models.layers import PlainResidualBlock, PooledAttention, ResidualBlock, group_norm, silu, window_mean

# Pixels of context that a tile needs on each side so that its inner cells come out as in the whole picture: 2 (filters)
# + 1 (to half resolution) + 2 (at half resolution) + 4 per block there, rounded up to whole cells of 1/16.
LOCAL_MARGIN = 16

# SRM kernels (Fridrich and Kodovsky 2012): second difference along a row, 3x3 and 5x5 squares. The divisors are powers
# of two (16 where the literature has 12), because bfloat16 then holds kernels and grey levels exactly.
_SRM: tuple[tuple[list[list[int]], int], ...] = (
    ([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, -2, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], 2),
    ([[0, 0, 0, 0, 0], [0, -1, 2, -1, 0], [0, 2, -4, 2, 0], [0, -1, 2, -1, 0], [0, 0, 0, 0, 0]], 4),
    ([[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]], 16),
)


@dataclass(frozen=True)
class LocalFeatures:
    """What the local half gives.

    Attributes:
        quarter: B,C,H/4,W/4.
        colour: B,3,H/4,W/4 mean colour, in [-1, 1].
        jpeg: B,J,H/8,W/8, None when the branch is left out.
    """

    quarter: Tensor
    colour: Tensor
    jpeg: Tensor | None


@dataclass(frozen=True)
class TraceFeatures:
    """B,C,H/s,W/s for s = 4, 8, 16, in that order."""

    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((self.quarter, self.eighth, self.sixteenth))


class ResidualFilters(nn.Module):
    """Grey levels -> small clipped residuals: fixed SRM, constrained Bayar, free high-pass filters, NPR."""

    srm: Tensor

    def __init__(self, config: TraceConfig) -> None:
        super().__init__()
        self.clip, self.npr = config.clip, config.npr
        kernels = torch.zeros(9 if config.srm else 0, 3, 5, 5)
        for i in range(kernels.shape[0]):
            kernel, divisor = _SRM[i // 3]
            kernels[i, i % 3] = torch.tensor(kernel, dtype=torch.float32) / divisor
        self.register_buffer("srm", kernels, persistent=False)
        self.bayar = nn.Parameter(torch.rand(config.bayar, 3, 5, 5) * 0.1 + 0.02)
        self.free = nn.Parameter(torch.randn(config.free, 3, 5, 5) * 0.15)
        # With every filter left out (an ablation), the grey levels themselves take their place.
        self.channels = kernels.shape[0] + config.bayar + config.free + (3 if config.npr else 0) or 3

    def learned_kernels(self) -> Tensor:
        """(bayar + free), 3, 5, 5 with their constraints: every filter adds up to 0, Bayar's have -1 in the centre."""
        ring = self.bayar.clone()
        ring[:, :, 2, 2] = 0
        ring = ring / (ring.sum(dim=(1, 2, 3), keepdim=True) + 1e-6)
        centre = torch.zeros_like(ring)
        centre[:, :, 2, 2] = -1.0 / 3  # the three colours share the centre, as they share the neighbours
        free = self.free - self.free.mean(dim=(1, 2, 3), keepdim=True)
        return torch.cat([ring + centre, free])

    def forward(self, rgb: Tensor) -> Tensor:
        """B,3,H,W grey levels -> B,channels,H,W in [-clip, clip]."""
        if not self.npr and not len(self.srm) + len(self.bayar) + len(self.free):
            return (rgb - 128.0) * (self.clip / 128.0)
        centred = F.pad(rgb - 128.0, (2, 2, 2, 2), mode="reflect")
        out = F.conv2d(centred, torch.cat([self.srm, self.learned_kernels()]))
        if self.npr:
            corner = F.interpolate(rgb[:, :, ::2, ::2], scale_factor=2.0, mode="nearest")
            out = torch.cat([out, (rgb - corner).to(out.dtype)], dim=1)
        return F.hardtanh(out, -self.clip, self.clip)


class JpegBranch(nn.Module):
    """Quantised block DCT of the luminance as a binary volume (Kwon et al., CAT-Net, IJCV 2022), per block.

    Coefficients are recomputed from the pixels and divided by the file's own table, so the branch needs no entropy
    decoding and works on crops whose corner lies on the grid. Without a table ("no JPEG") the coefficients are divided
    by 2 and read by weights of their own: a PNG copy of a JPEG still shows its steps.
    """

    basis: Tensor
    order: Tensor
    magnitudes: Tensor

    def __init__(self, config: TraceConfig) -> None:
        super().__init__()
        self.frequencies, self.levels = config.jpeg_frequencies, config.jpeg_levels
        order = [r * 8 + c for r, c in ZIGZAG[1 : config.jpeg_frequencies + 1]]
        basis = torch.from_numpy(DCT8).float()
        rows = torch.einsum("ui,vj->uvij", basis, basis).reshape(64, 1, 8, 8)
        self.register_buffer("basis", rows[order].contiguous(), persistent=False)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        magnitudes = torch.arange(config.jpeg_levels, dtype=torch.uint8).view(1, 1, -1, 1, 1)
        self.register_buffer("magnitudes", magnitudes, persistent=False)
        inputs = config.jpeg_frequencies * config.jpeg_levels
        self.with_table = nn.Conv2d(inputs, config.jpeg, 1)
        self.without_table = nn.Conv2d(inputs, config.jpeg, 1)
        for layer in (self.with_table, self.without_table):  # a one-hot vector has one 1 per frequency
            nn.init.normal_(layer.weight, std=config.jpeg_frequencies**-0.5)
        self.table = nn.Sequential(
            nn.Linear(config.jpeg_frequencies, config.jpeg), nn.ReLU(), nn.Linear(config.jpeg, 2 * config.jpeg)
        )
        self.mix = nn.Conv2d(config.jpeg, config.jpeg, 1)

    def forward(self, rgb: Tensor, tables: Tensor, has_jpeg: Tensor) -> Tensor:
        """B,3,H,W grey levels, B,64 luma tables (natural order), B bool -> B,J,H/8,W/8."""
        with torch.autocast(rgb.device.type, enabled=False):
            luma = 0.299 * rgb[:, 0:1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:3] - 128.0
            coefficients = F.conv2d(luma.float(), self.basis, stride=8)
            steps = tables.float()[:, self.order]
            steps = torch.where(has_jpeg[:, None], steps, torch.full_like(steps, 2.0))
            levels = (coefficients / steps[..., None, None]).abs().round().clamp(max=self.levels - 1).to(torch.uint8)
        batch, _, height, width = levels.shape
        volume = (levels[:, :, None] == self.magnitudes).reshape(batch, -1, height, width)
        half = torch.bfloat16 if torch.is_autocast_enabled(rgb.device.type) else rgb.dtype
        volume = volume.to(half).contiguous(memory_format=torch.channels_last)
        seen = torch.where(has_jpeg[:, None, None, None], self.with_table(volume), self.without_table(volume))
        gain, offset = self.table(steps.log() / 4).chunk(2, dim=1)
        return F.relu(self.mix(F.relu(seen * (1 + gain[..., None, None]) + offset[..., None, None])))


class LocalEncoder(nn.Module):
    """Pixels -> features at 1/4 (residual statistics) and at 1/8 (JPEG), independent of anything farther away."""

    def __init__(self, config: TraceConfig) -> None:
        super().__init__()
        self.filters = ResidualFilters(config)
        first, second = config.front
        # A step of 2 keeps the phases of a 2x2 colour filter array apart, which averaging at full resolution would mix;
        # windows of 3x3 still see every residual.
        self.enter = nn.Conv2d(self.filters.channels, first, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(PlainResidualBlock(first) for _ in range(config.front_blocks)))
        self.second = nn.Conv2d(first, second, 3, padding=1)
        self.jpeg = JpegBranch(config) if config.jpeg else None

    def forward(self, rgb: Tensor, tables: Tensor, has_jpeg: Tensor) -> LocalFeatures:
        """rgb B,3,H,W grey levels (H, W multiples of 16), tables B,64, has_jpeg B bool."""
        h = self.blocks(F.relu(self.enter(self.filters(rgb))))
        quarter = F.avg_pool2d(F.relu(self.second(h)), 2)
        colour = F.avg_pool2d(rgb, 4) / 128.0 - 1.0
        return LocalFeatures(quarter, colour, None if self.jpeg is None else self.jpeg(rgb, tables, has_jpeg))


class Relative(nn.Module):
    """Features beside their z-scores against windows around the cell and against the whole picture."""

    def __init__(self, channels: int, compared: int, windows: tuple[int, ...]) -> None:
        super().__init__()
        self.windows = windows
        self.reduce = nn.Conv2d(channels, compared, 1)
        self.mix = nn.Conv2d(channels + compared * (len(windows) + 1), channels, 1)

    def sums(self, x: Tensor) -> Tensor:
        """3,B,K: cells, sums and sums of squares of the compared channels; those of several tiles add up."""
        compared = self.reduce(x).double().flatten(2)
        cells = torch.full(compared.shape[:2], float(compared.shape[2]), dtype=torch.float64, device=x.device)
        return torch.stack([cells, compared.sum(dim=2), compared.square().sum(dim=2)])

    def forward(self, x: Tensor, sums: Tensor | None = None) -> Tensor:
        """B,C,h,w -> the same.

        Args:
            sums: of the whole picture, when x is a part of it.
        """
        compared = self.reduce(x).float()
        if sums is None:
            whole = compared.mean(dim=(2, 3), keepdim=True)
            deviation = compared.std(dim=(2, 3), keepdim=True, correction=0)
        else:
            mean, square = sums[1] / sums[0], sums[2] / sums[0]
            whole = mean.float()[..., None, None]
            deviation = (square - mean.square()).clamp(min=0).sqrt().float()[..., None, None]
        deviation = deviation + 1e-3
        means = [whole, *(window_mean(compared, w) for w in self.windows)]
        scores = [((compared - mean) / deviation).clamp(-8, 8).to(x.dtype) for mean in means]
        return self.mix(torch.cat([x, *scores], dim=1))


class Trunk(nn.Module):
    """The whole picture at 1/4, 1/8 and 1/16.

    Args:
        vision: channels of semantic features that join at 1/16, 0 for none.
    """

    def __init__(self, config: TraceConfig, vision: int = 0) -> None:
        super().__init__()
        quarter, eighth, sixteenth = config.channels
        self.enter = nn.Conv2d(config.front[1] + 3, quarter, 3, padding=1)
        self.quarter = nn.Sequential(*(ResidualBlock(quarter) for _ in range(config.blocks[0])))
        self.down = nn.Conv2d(quarter + config.jpeg, eighth, 1)
        self.relative = Relative(eighth, config.relative, config.windows) if config.windows else None
        self.eighth = nn.Sequential(*(ResidualBlock(eighth) for _ in range(config.blocks[1])))
        self.deep = nn.Conv2d(eighth + vision, sixteenth, 1)
        self.sixteenth = nn.Sequential(*(ResidualBlock(sixteenth) for _ in range(config.blocks[2])))
        self.attention = PooledAttention(sixteenth, config.heads, config.key_grid) if config.heads else None
        self.norms = nn.ModuleList(group_norm(c) for c in config.channels)

    def _begin(self, local: LocalFeatures) -> tuple[Tensor, Tensor]:
        quarter = self.quarter(self.enter(torch.cat([local.quarter, local.colour.to(local.quarter.dtype)], dim=1)))
        h = F.avg_pool2d(F.silu(quarter), 2)
        if local.jpeg is not None:
            h = torch.cat([h, local.jpeg.to(h.dtype)], dim=1)
        return quarter, self.down(h)

    def sums(self, local: LocalFeatures) -> Tensor | None:
        """What `Relative` needs to know of a part of a picture, see `Relative.sums`; None when nothing is compared."""
        return None if self.relative is None else self.relative.sums(self._begin(local)[1])

    def forward(
        self, local: LocalFeatures, semantic: Tensor | None = None, sums: Tensor | None = None
    ) -> TraceFeatures:
        """semantic B,V,h,w of any grid, None when the trunk was built without; sums when `local` is a part."""
        quarter, eighth = self._begin(local)
        if self.relative is not None:
            eighth = self.relative(eighth, sums)
        eighth = self.eighth(eighth)
        h = F.avg_pool2d(F.silu(eighth), 2)
        if semantic is not None:
            view = F.interpolate(semantic.to(h.dtype), size=h.shape[2:], mode="bilinear", align_corners=False)
            h = torch.cat([h, view], dim=1)
        sixteenth = self.sixteenth(self.deep(h))
        if self.attention is not None:
            sixteenth = self.attention(sixteenth)
        return TraceFeatures(*(silu(n(f)) for n, f in zip(self.norms, (quarter, eighth, sixteenth), strict=True)))
