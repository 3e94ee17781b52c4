"""How much one region that somebody names differs from the rest of its picture, to the expert's features.

The mask head has to judge every cell without knowing where an edit might end; here the outline is given, so two samples
of cells can be compared: means and deviations of the decoder and of the trunk at every scale, and quantiles of the mask
logits, inside against outside. Only differences go in, never where or how large the region is: sizes of edits are a
habit of the training data. What a logit is worth is counted afterwards, on authentic photographs
(`fakeexplain.region_test`).

Sums are additive, so a picture that is seen in windows gives what it gives as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INSIDE = (0.1, 0.5, 0.8, 0.9, 0.95, 0.99)  # quantiles of mask logits
OUTSIDE = (0.5, 0.9, 0.99, 0.999)
_MOST = 5.0  # deviations; what lies further out says no more
_LEAST = 1e-3


def moments(features: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums over cells: of 1, of the features, of their squares.

    Args:
        features: B,C,h,w. weights: B,R,h,w in [0, 1], the part of each cell that lies in each of R regions.

    Returns:
        float32 B,R,1+2C.
    """
    cells, shares = features.float().flatten(2).transpose(1, 2), weights.float().flatten(2)
    return torch.cat([shares.sum(dim=2, keepdim=True), shares @ cells, shares @ cells.square()], dim=2)


class RegionHead(nn.Module):
    """Logits of regions, from maps of `channels` channels at the strides 4, 4, 8 and 16 (decoder first)."""

    def __init__(self, channels: Sequence[int], hidden: int) -> None:
        super().__init__()
        width = 2 * sum(channels) + len(INSIDE) + len(OUTSIDE)
        self.layers = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(0.3), nn.Linear(hidden, 1)
        )

    def forward(self, maps: Sequence[Tensor], mask_logits: Tensor, weights: Tensor) -> Tensor:
        """B,R logits of a picture that was seen as a whole; `maps` as in `sums`, the others as in `score`."""
        return self.score(self.sums(maps, weights), mask_logits, weights)

    @staticmethod
    def sums(maps: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...]:
        """`moments` of every map, of the regions and behind them of the whole part; those of a picture's parts add up.

        Args:
            maps: B,C,H/s,W/s for s = 4, 4, 8, 16. weights: B,R,H/4,W/4.
        """
        whole = torch.cat([weights, torch.ones_like(weights[:, :1])], dim=1)
        return tuple(moments(m, F.avg_pool2d(whole, whole.shape[2] // m.shape[2])) for m in maps)

    def score(self, sums: Sequence[Tensor], mask_logits: Tensor, weights: Tensor) -> Tensor:
        """B,R logits of a whole picture.

        Args:
            sums: of `sums`. mask_logits: B,1,H/4,W/4. weights: B,R,H/4,W/4.
        """
        parts = [_difference(s[:, :-1], s[:, -1:] - s[:, :-1]) for s in sums]
        quantiles = torch.stack([_quantiles(m[0], w) for m, w in zip(mask_logits.float(), weights, strict=True)])
        logits: Tensor = self.layers(torch.cat([*parts, quantiles], dim=2)).squeeze(2).float()
        return logits


def _difference(inside: Tensor, outside: Tensor) -> Tensor:
    """B,R,2C from two `moments`: means apart in the rest's deviations, and the logarithm of the deviations' ratio."""
    (mean, deviation), (rest_mean, rest_deviation) = _statistics(inside), _statistics(outside)
    apart = (mean - rest_mean) / rest_deviation
    return torch.cat([apart, torch.log(deviation / rest_deviation)], dim=2).clamp(-_MOST, _MOST)


def _statistics(sums: Tensor) -> tuple[Tensor, Tensor]:
    count, total, squares = sums.split([1, (sums.shape[2] - 1) // 2, (sums.shape[2] - 1) // 2], dim=2)
    mean = total / count.clamp(min=_LEAST)
    return mean, (squares / count.clamp(min=_LEAST) - mean.square()).clamp(min=0).sqrt() + _LEAST


def _quantiles(logits: Tensor, weights: Tensor) -> Tensor:
    """R,Q quantiles of one picture's mask logits h,w inside and outside of each region R,h,w."""
    rows = []
    for share in weights:
        inside = share >= min(0.5, float(share.max()))
        values = [_at(logits[inside], INSIDE), _at(logits[~inside], OUTSIDE)]
        rows.append(torch.cat(values) / 4)
    return torch.stack(rows)


def _at(values: Tensor, quantiles: Sequence[float]) -> Tensor:
    if not values.numel():  # a region that fills the picture
        return values.new_zeros(len(quantiles))
    ordered = values.sort().values
    places = [min(int(q * ordered.numel()), ordered.numel() - 1) for q in quantiles]
    return ordered[places]
