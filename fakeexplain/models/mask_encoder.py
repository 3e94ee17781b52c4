"""The mask encoder: what the expert marks, how sure it is and what lies there -> a few tokens for the language model.

After ForgeryGPT's mask-aware forgery extractor: the map, its confidence and features pooled inside and outside of it
become K tokens, followed by learned prompt tokens. The expert's absence has tokens of its own: "no map" is never taken
for "nothing marked". A region that somebody points at (a box, a mask) is read by the same network with queries of
its own. Deliberately left out: pixels, thresholds, and any resizing (views come ready, see `assistant_processing`).

Frames: views are B,C,G,G over the whole upright picture, cell (0, 0) at the upper left.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fakeexplain.models.assistant_configuration import MaskEncoderSettings
from fakeexplain.models.assistant_layers import token_norm
from fakeexplain.models.layers import group_norm

MASK_CHANNELS = 3  # of `mask_inputs`: map (mean over the cell), map (largest in the cell), confidence (mean)
REGION_CHANNELS = 2  # of a region: share of the cell inside it, 1 where any of the cell is inside it
_GEOMETRY = 8  # area, centre x and y, spread x and y, largest value, expert's map and confidence inside
_READ = 8  # side of the grid that tokens attend to


class MaskEncoder(nn.Module):
    """See the module.

    Initialisation: convolutions and linear layers as torch does; queries, absent and prompt tokens N(0, 0.02).

    Args:
        settings: numbers of tokens and channels.
        trace_channels: channels of the expert's features, 0 for none.
        hidden_size: D, width of the language model.
    """

    def __init__(self, settings: MaskEncoderSettings, trace_channels: int, hidden_size: int) -> None:
        super().__init__()
        width = settings.width
        self.settings, self.trace_channels = settings, trace_channels
        if trace_channels:
            self.trace_norm = group_norm(trace_channels)
        self.stem = nn.Conv2d(4 + trace_channels, width // 2, 1)
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1), group_norm(o), nn.SiLU())
            for i, o in ((width // 2, width // 2), (width // 2, width), (width, width))
        )
        self.position = nn.Parameter(torch.randn(1, width, _READ, _READ) * 0.02)
        self.facts = nn.Sequential(nn.Linear(_GEOMETRY + 3 * trace_channels, width), nn.SiLU(), nn.Linear(width, width))
        self.mask_queries = nn.Parameter(torch.randn(settings.tokens, width) * 0.02)
        self.region_queries = nn.Parameter(torch.randn(settings.region_tokens, width) * 0.02)
        self.attention = nn.MultiheadAttention(width, settings.heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, hidden_size))
        self.out_norm = token_norm(hidden_size)
        self.absent_tokens = nn.Parameter(torch.randn(settings.tokens, hidden_size) * 0.02)
        self.prompt_tokens = nn.Parameter(torch.randn(settings.prompt_tokens, hidden_size) * 0.02)

    def forward(self, mask_inputs: Tensor, trace_features: Tensor, mask_present: Tensor) -> Tensor:
        """The expert's map as tokens.

        Args:
            mask_inputs: B,3,G,G in [0, 1], see `MASK_CHANNELS`.
            trace_features: B,C,G,G, any scale.
            mask_present: B bool, False where the expert did not run.

        Returns:
            B,K+Q,D.
        """
        tokens = self._read(mask_inputs[:, :2], mask_inputs[:, [0, 2]], trace_features, self.mask_queries)
        tokens = torch.where(mask_present[:, None, None], tokens, self.absent_tokens.to(tokens.dtype))
        prompt = self.prompt_tokens.to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([tokens, prompt], dim=1)

    def regions(self, region_inputs: Tensor, mask_inputs: Tensor, trace_features: Tensor) -> Tensor:
        """Regions that somebody points at, as tokens; the expert's map is read beside each.

        Args:
            region_inputs: B,R,2,G,G in [0, 1], see `REGION_CHANNELS`.
            mask_inputs, trace_features: as in `forward`; zeros where the expert did not run.

        Returns:
            B,R,T,D with T = `region_tokens`.
        """
        batch, count = region_inputs.shape[:2]
        expert = mask_inputs[:, [0, 2]].repeat_interleave(count, dim=0)
        features = trace_features.repeat_interleave(count, dim=0)
        tokens = self._read(region_inputs.flatten(0, 1), expert, features, self.region_queries)
        return tokens.unflatten(0, (batch, count))

    def _read(self, mask: Tensor, expert: Tensor, features: Tensor, queries: Tensor) -> Tensor:
        """mask N,2,G,G; expert N,2,G,G (map and confidence); features N,C,G,G; queries T,W -> N,T,D."""
        dtype = self.stem.weight.dtype
        mask, expert, features = mask.to(dtype), expert.to(dtype), features.to(dtype)
        if self.trace_channels:
            features = self.trace_norm(features)
        x = F.silu(self.stem(torch.cat([mask, expert, features], dim=1)))
        for block in self.reduce:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, _READ) + self.position
        facts = self.facts(self._facts(mask[:, :1], expert, features))
        read = torch.cat([facts[:, None], x.flatten(2).transpose(1, 2)], dim=1)
        asked = queries.expand(len(read), -1, -1)
        answer = asked + self.attention(asked, read, read, need_weights=False)[0] + facts[:, None]
        tokens = self.out(self.norm(answer))
        out: Tensor = self.out_norm(tokens.float()).to(tokens.dtype)
        return out

    @staticmethod
    def _facts(mask: Tensor, expert: Tensor, features: Tensor) -> Tensor:
        """Geometry of the mask, and features pooled inside, outside and everywhere: N, 8 + 3C."""
        grid = mask.shape[-1]
        axis = (torch.arange(grid, device=mask.device, dtype=mask.dtype) + 0.5) / grid
        total = mask.sum(dim=(2, 3))
        inside = mask / total.clamp(min=1e-3)[..., None, None]
        across, down = inside.sum(dim=2), inside.sum(dim=3)  # N,1,G: weights of columns and of rows
        x, y = (across * axis).sum(-1), (down * axis).sum(-1)
        spread_x = (across * (axis - x[..., None]).square()).sum(-1).clamp(min=1e-8).sqrt()
        spread_y = (down * (axis - y[..., None]).square()).sum(-1).clamp(min=1e-8).sqrt()
        found = (expert * inside).sum(dim=(2, 3))
        geometry = [total / grid**2, x, y, spread_x, spread_y, mask.amax(dim=(2, 3)), found]
        outside = (1 - mask) / (1 - mask).sum(dim=(2, 3), keepdim=True).clamp(min=1e-3)
        pooled = [(features * w).sum(dim=(2, 3)) for w in (inside, outside)] + [features.mean(dim=(2, 3))]
        return torch.cat([*geometry, *pooled], dim=1)
