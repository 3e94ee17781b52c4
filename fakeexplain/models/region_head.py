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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (4, 4, 8, 16)  # of the maps that are compared: decoder, trunk
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
    """Logits of regions, from maps of `channels` channels at `STRIDES`."""

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
            maps: B,C,H/s,W/s for s of `STRIDES`. weights: B,R,H/4,W/4.
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


class RegionQuestion:
    """Regions of one picture, asked about while it is seen part by part.

    Args:
        regions: bool HxW each, corner at the picture's.
        height, width: of the padded picture, multiples of 16; the padding lies in no region.
    """

    def __init__(
        self, head: RegionHead, regions: Sequence[np.ndarray], height: int, width: int, device: torch.device
    ) -> None:
        self._head = head
        self._sums: list[Tensor] = []
        cells = []
        for region in regions:
            mask = np.zeros((height, width), np.uint8)
            mask[: region.shape[0], : region.shape[1]] = region
            cells.append(F.avg_pool2d(torch.from_numpy(mask)[None].float(), 4))
        self._weights = torch.stack(cells, dim=1).to(device)

    def see(self, maps: Sequence[Tensor], box: tuple[int, int, int, int]) -> None:
        """A part of the picture: its maps, which may go on to the right and below, and its xyxy box in pixels."""
        x0, y0, x1, y1 = box
        own = [m[:, :, : (y1 - y0) // s, : (x1 - x0) // s] for m, s in zip(maps, STRIDES, strict=True)]
        found = self._head.sums(own, self._weights[:, :, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4])
        self._sums = [a + b for a, b in zip(self._sums, found, strict=True)] if self._sums else list(found)

    def logits(self, mask_logits: Tensor) -> np.ndarray:
        """float32 R, when all parts have been seen; `mask_logits` B,1,H/4,W/4 of the whole picture."""
        found: np.ndarray = (
            self._head.score(self._sums, mask_logits.to(self._weights.device), self._weights)[0].cpu().numpy()
        )
        return found
