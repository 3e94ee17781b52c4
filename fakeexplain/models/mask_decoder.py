"""The mask decoder: a `<SEG>` token, clicks, boxes or an earlier mask -> a region, over trace and vision features.

Made of segment_anything's prompt encoder and two-way transformer (Kirillov et al., ICCV 2023); a `<SEG>` state is one
more prompt beside clicks and boxes (LISA, Lai et al., CVPR 2024). With SAM's own weights, which only the user can
give, `SamRefiner` refines masks from clicks and boxes with SAM's image encoder. Deliberately left out: thresholds, and
where `<SEG>` stands in a text (`assistant`).

All of it computes in float32: positional codes of clicks lose a pixel's precision in half precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_configuration import MaskDecoderSettings, SamSettings
from fakeexplain.models.layers import ResidualBlock, group_norm, upsample
from fakeexplain.models.mask_encoder import MASK_CHANNELS

UPSCALE = 4  # decoded masks are this many times wider than the grid
_FRAME = 1024.0  # nominal side in which SAM's prompt encoder counts; ours come in [0, 1]


class BatchedMaskDecoder(MaskDecoder):
    """segment_anything's decoder, one prompt set for each picture (its own takes one picture with many prompts)."""

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """N,C,G,G embeddings with N prompt sets -> (N,M,4G,4G logits, N,M quality)."""
        count = len(image_embeddings)
        tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(count, -1, -1)
        tokens = torch.cat([tokens, sparse_prompt_embeddings], dim=1)
        cells = image_embeddings + dense_prompt_embeddings
        read, keys = self.transformer(cells, image_pe.expand(count, -1, -1, -1), tokens)
        fine = self.output_upscaling(keys.transpose(1, 2).reshape(cells.shape))
        weights = [mlp(read[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        masks = torch.einsum("nmc,nchw->nmhw", torch.stack(weights, dim=1), fine)
        return masks, self.iou_prediction_head(read[:, 0])


class RegionDecoder(nn.Module):
    """Features of a picture, and prompts, to a mask.

    Initialisation: as segment_anything's and torch's.

    Args:
        settings: its size.
        grid: G, side of the embedding grid.
        trace_channels: of the expert's features, 0 for none.
        vision_channels: of the vision tower's patches.
    """

    def __init__(self, settings: MaskDecoderSettings, grid: int, trace_channels: int, vision_channels: int) -> None:
        super().__init__()
        width = settings.width
        self.grid, self.width, self.trace_channels = grid, width, trace_channels
        if trace_channels:
            self.trace_norm = group_norm(trace_channels)
            self.trace_in = nn.Conv2d(trace_channels, width, 1)
        self.vision_norm = nn.GroupNorm(1, vision_channels)
        self.vision_in = nn.Conv2d(vision_channels, width, 1)
        self.map_in = nn.Conv2d(MASK_CHANNELS, width, 3, padding=1)
        self.fuse = nn.Sequential(ResidualBlock(width), ResidualBlock(width), group_norm(width))
        self.prompt_encoder = PromptEncoder(width, (grid, grid), (int(_FRAME), int(_FRAME)), mask_in_chans=16)
        transformer = TwoWayTransformer(settings.depth, width, settings.heads, settings.mlp)
        self.decoder = BatchedMaskDecoder(
            transformer_dim=width, transformer=transformer, num_multimask_outputs=0, iou_head_hidden_dim=width
        )

    def features(self, mask_inputs: Tensor, trace_features: Tensor, patches: Tensor) -> Tensor:
        """What masks are decoded from; once for a picture, for any number of prompts.

        Args:
            mask_inputs: B,3,G,G in [0, 1] (`mask_encoder.MASK_CHANNELS`), zeros where the expert did not run.
            trace_features: B,C,G,G, zeros where the expert did not run.
            patches: B,V,h,w of the vision tower.

        Returns:
            B,width,G,G float32.
        """
        with _full_precision(mask_inputs):
            total: Tensor = self.map_in(mask_inputs.float())
            total = total + upsample(self.vision_in(self.vision_norm(patches.float())), (self.grid, self.grid))
            if self.trace_channels:
                total = total + self.trace_in(self.trace_norm(trace_features.float()))
            fused: Tensor = self.fuse(total)
            return fused

    def forward(
        self,
        features: Tensor,
        *,
        token: Tensor | None = None,
        points: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        previous_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Masks for N pictures with at least one prompt each.

        Args:
            features: N,width,G,G from `features`.
            token: N,width, a projected `<SEG>` state.
            points: N,n,2 as x, y in [0, 1] of the picture.
            point_labels: N,n; 1 inside the region, 0 outside, -1 no click (padding).
            boxes: N,4 xyxy in [0, 1].
            previous_logits: N,1,4G,4G of an earlier answer.

        Returns:
            (N,1,4G,4G logits, N estimated intersection over union).

        Raises:
            ValueError: no prompt, or points without labels.
        """
        if (points is None) != (point_labels is None):
            raise ValueError("points and point_labels: wanted both or neither")
        if all(p is None for p in (token, points, boxes, previous_logits)):
            raise ValueError("no prompt: wanted a token, points, boxes or previous_logits")
        with _full_precision(features):
            clicks = None
            if points is not None and point_labels is not None:
                clicks = (points.float() * _FRAME - 0.5, point_labels)  # SAM adds half a pixel
            corners = None if boxes is None else boxes.float() * _FRAME - 0.5
            earlier = None if previous_logits is None else previous_logits.float()
            sparse, dense = self.prompt_encoder(points=clicks, boxes=corners, masks=earlier)
            if token is not None:
                sparse = torch.cat([sparse.expand(len(token), -1, -1), token.float()[:, None]], dim=1)
            if len(dense) != len(features):
                dense = dense.expand(len(features), -1, -1, -1)
            logits, quality = self.decoder(
                image_embeddings=features.float(),
                image_pe=self.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        return logits, quality[:, 0]


def _full_precision(like: Tensor) -> Any:
    return torch.autocast(like.device.type, enabled=False)


def mask_losses(logits: Tensor, targets: Tensor, quality: Tensor) -> dict[str, Tensor]:
    """Losses of decoded masks, each averaged over N masks.

    Args:
        logits: N,1,h,w. targets: N,1,h,w in [0, 1]. quality: N, estimated intersection over union.

    Returns:
        bce, dice (smoothed by one cell, so that an empty target is answered by an empty mask) and quality (squared
        error of the estimate).
    """
    bce = F.binary_cross_entropy_with_logits(logits, targets)
    chances, truth = logits.sigmoid().flatten(1), targets.flatten(1)
    overlap = (chances * truth).sum(1)
    dice = 1 - (2 * overlap + 1) / (chances.sum(1) + truth.sum(1) + 1)
    with torch.no_grad():
        found, wanted = logits.flatten(1) > 0, truth > 0.5
        union = (found | wanted).sum(1)
        both = (found & wanted).sum(1)
        iou = torch.where(union > 0, both / union.clamp(min=1), torch.ones_like(dice))
    return {"bce": bce, "dice": dice.mean(), "quality": F.mse_loss(quality, iou)}


class SamRefiner:
    """SAM with the user's weights: the image is encoded once, then clicks and boxes are cheap.

    Works on numpy at the public edge: SAM sees a resized view, masks come back at source size.
    """

    def __init__(self, sam: Sam) -> None:
        self._predictor = SamPredictor(sam.eval())

    @classmethod
    def load(cls, settings: SamSettings, *, device: str = "cpu") -> SamRefiner:
        """Builds SAM and loads its weights strictly.

        Raises:
            SettingsError: no checkpoint, or one that cannot be read or does not fit.
        """
        if settings.checkpoint is None or not Path(settings.checkpoint).is_file():
            raise SettingsError(f"sam.checkpoint {settings.checkpoint!r}: no such file; give the path of SAM's weights")
        sam = sam_model_registry[settings.model_type]()
        try:
            if settings.checkpoint.endswith(".safetensors"):
                from safetensors.torch import load_file

                state = load_file(settings.checkpoint)
            else:
                state = torch.load(settings.checkpoint, map_location="cpu", weights_only=True)
            sam.load_state_dict(state, strict=True)
        except Exception as error:  # unpickling, key and file problems all have types of their own
            raise SettingsError(
                f"sam.checkpoint {settings.checkpoint}: cannot be loaded as {settings.model_type} ({error})"
            ) from None
        return cls(sam.to(device))

    def look(self, rgb: np.ndarray) -> None:
        """Encodes a picture, uint8 HxWx3: the expensive step."""
        self._predictor.set_image(rgb)

    def refine(
        self,
        *,
        points_xy: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box_xyxy: tuple[int, int, int, int] | None = None,
        previous_logits: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """A mask of the picture last looked at.

        Args:
            points_xy: n,2 source pixels. point_labels: n, 1 inside, 0 outside.
            box_xyxy: source pixels.
            previous_logits: 1x256x256 that an earlier call gave.

        Returns:
            (bool HxW mask, logits to hand to the next call, estimated intersection over union).
        """
        masks, quality, low = self._predictor.predict(
            point_coords=None if points_xy is None else np.asarray(points_xy, np.float32),
            point_labels=None if point_labels is None else np.asarray(point_labels, np.int64),
            box=None if box_xyxy is None else np.asarray(box_xyxy, np.float32),
            mask_input=previous_logits,
            multimask_output=False,
        )
        return masks[0], low, float(quality[0])
