"""The forgery localization expert (FL-Expert): pixels -> forged cells, edge, confidence, operation, image score.

After ForgeryGPT's mask-aware extractor: a trace encoder, a vocabulary-enhanced vision encoder, an object-agnostic
prompt, a decoder. A network of tensors only: `processing` brings pictures in and maps out, `localization` calibrates.

Initialisation: convolutions as torch does (Kaiming uniform); the last convolution of each residual block and of the
attention is zero, so that blocks start as the identity; the mask head's bias starts at logit(0.1), the share of forged
cells; prompt vectors N(0, 0.02).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fakeexplain.models.configuration import OPERATIONS, ExpertConfig
from fakeexplain.models.forgery_prompt import ForgeryPrompt
from fakeexplain.models.layers import ResidualBlock, group_norm, silu, upsample
from fakeexplain.models.region_head import RegionHead
from fakeexplain.models.trace_encoder import LocalEncoder, LocalFeatures, TraceFeatures, Trunk
from fakeexplain.models.vision_encoder import VisionEncoder

TOP_SHARES = (0.005, 0.02, 0.1)  # of the cells, whose highest logits the image head sees


@dataclass(frozen=True)
class ExpertOutput:
    """All outputs, for a picture of H x W (multiples of 16).

    Attributes:
        mask_logits: B,1,H/4,W/4; sigmoid is the probability that a cell is forged.
        edge_logits: B,1,H/4,W/4; the outline of the forged region, two cells wide.
        confidence_logits: B,1,H/4,W/4; sigmoid estimates the probability that the mask's side of 0.5 is right.
        operation_logits: B,O,H/8,W/8 over `configuration.OPERATIONS`, meant inside the forged region.
        image_logits: B; forged somewhere.
        embedding: B,E,H/8,W/8, unit length: cells of one edit history lie together.
        features: of the trunk, for the mask encoder of the assistant.
        decoded: B,D,H/4,W/4, what the heads at 1/4 read.
        region_logits: B,R, of the regions asked about; None without any, or without a region head.
    """

    mask_logits: Tensor
    edge_logits: Tensor
    confidence_logits: Tensor
    operation_logits: Tensor
    image_logits: Tensor
    embedding: Tensor
    features: TraceFeatures
    decoded: Tensor
    region_logits: Tensor | None = None

    @property
    def maps(self) -> tuple[Tensor, ...]:
        """What the region head compares: `decoded`, then the trunk's features."""
        return (self.decoded, *self.features)


class ForgeryLocalizationExpert(nn.Module):
    """See the module. Parts can be left out by configuration; the heads are always there."""

    def __init__(self, config: ExpertConfig, *, load_weights: bool = True) -> None:
        """`load_weights` False leaves `vision.pretrained` alone, for a strict load of all weights that follows."""
        super().__init__()
        self.config = config
        channels, width = config.trace.channels, config.decoder
        self.local = LocalEncoder(config.trace)
        self.vision = None
        if config.vision is not None:
            self.vision = VisionEncoder.from_config(config.vision, load_weights=load_weights)
        joined = 0
        if self.vision is not None:
            joined = channels[2] // 2
            self.semantic = nn.Conv2d(sum(self.vision.patch_channels), joined, 1)
        self.trunk = Trunk(config.trace, joined)
        self.prompt = None
        if config.prompt is not None and self.vision is not None:
            self.prompt = ForgeryPrompt(config.prompt, channels, self.vision)
        self.scales = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.decoder = ResidualBlock(width)
        self.decoder_norm = group_norm(width)
        self.mask_head = nn.Conv2d(width, 1, 1)
        self.edge_head = nn.Conv2d(width, 1, 1)
        self.confidence_head = nn.Sequential(nn.Conv2d(width + 1, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))
        self.operation_head = nn.Conv2d(channels[1] + channels[2], len(OPERATIONS), 1)
        self.embedding_head = nn.Conv2d(channels[1], config.embedding, 1)
        pooled = 2 * channels[2] + len(TOP_SHARES) + 2
        self.image_head = nn.Sequential(nn.Linear(pooled, 64), nn.SiLU(), nn.Linear(64, 1))
        self.region_head = RegionHead((width, *channels), config.region) if config.region else None
        nn.init.constant_(self.mask_head.bias, math.log(0.1 / 0.9))  # type: ignore[arg-type]
        nn.init.constant_(self.edge_head.bias, math.log(0.05 / 0.95))  # type: ignore[arg-type]

    def forward(
        self,
        rgb: Tensor,
        tables: Tensor,
        has_jpeg: Tensor,
        view: Tensor | None = None,
        regions: Tensor | None = None,
    ) -> ExpertOutput:
        """One pass over pictures that fit in memory as they are.

        Args:
            rgb: B,3,H,W float grey levels in [0, 255], H and W multiples of 16, corner on the JPEG grid.
            tables: B,64 luma quantisation tables in natural order; any positive value where there is no JPEG.
            has_jpeg: B bool.
            view: B,3,h,w in [0, 1] for the vision encoder, which resizes it; the picture itself when None.
            regions: B,R,H/4,W/4 in [0, 1], the part of each cell that lies in each region.
        """
        output = self.decode(self.local(rgb, tables, has_jpeg), self.see(rgb / 255.0 if view is None else view))
        if regions is None or self.region_head is None:
            return output
        return replace(output, region_logits=self.region_head(output.maps, output.mask_logits, regions))

    def see(self, view: Tensor) -> Tensor | None:
        """Semantic features B,V,h,w of a whole picture (B,3,H,W in [0, 1]); None without a vision encoder."""
        if self.vision is None:
            return None
        seen = self.vision(view)
        grid = seen.patches[-1].shape[2:]
        semantic: Tensor = self.semantic(torch.cat([F.adaptive_avg_pool2d(p, grid) for p in seen.patches], dim=1))
        return semantic

    def decode(self, local: LocalFeatures, semantic: Tensor | None, sums: Tensor | None = None) -> ExpertOutput:
        """From local features to the heads.

        Args:
            semantic: from `see`; of the same part of the picture as `local`.
            sums: of the whole picture (`Trunk.sums` of its parts, added up) when `local` is a part.
        """
        features = self.trunk(local, semantic, sums)
        size = features.quarter.shape[2:]
        total: Tensor | None = None
        for scale, feature in zip(self.scales, features, strict=True):
            part = upsample(scale(feature), size) if feature.shape[2:] != size else scale(feature)
            total = part if total is None else total + part
        assert total is not None
        decoded = silu(self.decoder_norm(self.decoder(total)))
        mask_logits = self.mask_head(decoded).float()
        if self.prompt is not None and self.vision is not None:
            mask_logits = mask_logits + self.prompt(list(features), self.vision)
        confidence = self.confidence_head(torch.cat([decoded, mask_logits.detach().to(decoded.dtype)], dim=1))
        deep = upsample(features.sixteenth, features.eighth.shape[2:])
        return ExpertOutput(
            mask_logits=mask_logits,
            edge_logits=self.edge_head(decoded).float(),
            confidence_logits=confidence.float(),
            operation_logits=self.operation_head(torch.cat([features.eighth, deep], dim=1)).float(),
            image_logits=self.judge(features.sixteenth, mask_logits),
            embedding=F.normalize(self.embedding_head(features.eighth).float(), dim=1),
            features=features,
            decoded=decoded,
        )

    def judge(self, deep: Tensor, mask_logits: Tensor) -> Tensor:
        """Image logits B of a whole picture, which may have been put together from parts.

        Args:
            deep: B,C,H/16,W/16 of the trunk. mask_logits: B,1,H/4,W/4.
        """
        found: Tensor = self.image_head(self._pooled(deep, mask_logits)).float().squeeze(1)
        return found

    @staticmethod
    def _pooled(deep: Tensor, mask_logits: Tensor) -> Tensor:
        """Statistics of a picture: mean and deviation of deep features (a maximum would grow with the picture's size);
        mean, maximum and top means of the mask."""
        cells = F.avg_pool2d(mask_logits, 2).flatten(1)
        ordered = cells.sort(dim=1, descending=True).values
        tops = [ordered[:, : max(1, round(share * cells.shape[1]))].mean(dim=1) for share in TOP_SHARES]
        parts = torch.stack([cells.mean(dim=1), ordered[:, 0], *tops], dim=1) / 4
        deep = deep.float()
        return torch.cat([deep.mean(dim=(2, 3)), deep.std(dim=(2, 3), correction=0), parts.float()], dim=1)
