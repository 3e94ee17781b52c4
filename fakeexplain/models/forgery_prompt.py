"""The object-agnostic forgery prompt: two learned prompts, read by the text tower, compared with every cell.

"Authentic" and "forged" are continuous vectors that name no object (Zhou et al., AnomalyCLIP, ICLR 2024; ForgeryGPT
uses the same idea). Their embeddings are compared by cosine with the cells of each scale; the difference of the two
similarities is a mask logit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fakeexplain.models.configuration import PromptConfig
from fakeexplain.models.layers import upsample
from fakeexplain.models.vision_encoder import VisionEncoder


class ForgeryPrompt(nn.Module):
    """Mask logits from the similarity of cells to the two prompts.

    Args:
        channels: of each scale that is compared.
        tower: gives the width of the prompt vectors and reads them.
    """

    def __init__(self, config: PromptConfig, channels: Sequence[int], tower: VisionEncoder) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(2, config.length, tower.prompt_width) * 0.02)
        self.project = nn.ModuleList(nn.Linear(tower.embed_dim, c, bias=False) for c in channels)
        self.scales = nn.Parameter(torch.full((len(channels),), config.scale))

    def forward(self, features: Sequence[Tensor], tower: VisionEncoder) -> Tensor:
        """features of the scales, finest first -> B,1,h,w logits at the finest scale, positive where forged."""
        prompts = tower.encode_prompt(self.vectors)
        size = (features[0].shape[2], features[0].shape[3])
        total: Tensor | None = None
        for project, scale, feature in zip(self.project, self.scales, features, strict=True):
            # The prompts come to the channels of the scale, not the cells to the width of the prompts: far less work.
            authentic, forged = F.normalize(project(prompts).float(), dim=1)
            length = feature.float().square().sum(dim=1, keepdim=True).add(1e-6).sqrt()
            cosine = F.conv2d(feature, (forged - authentic)[None, :, None, None].to(feature.dtype)).float() / length
            logits = upsample(cosine * scale, size)
            total = logits if total is None else total + logits
        assert total is not None
        return total
