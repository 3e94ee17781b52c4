"""The vocabulary-enhanced vision encoder: an open_clip tower that sees a small view of the picture, and its text tower.

It says what is shown, not how the file was made: it looks at a resized *view*, beside the trace encoder, which never
does. Any open_clip model can be named; the embedded default is `configs/model/open_clip/tiny.json`. Deliberately left
out: training (see `training/`), the learned prompts themselves (`forgery_prompt`), downloads that nobody asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from fakeexplain.errors import SettingsError
from fakeexplain.models.text_tokenizer import END_ID, START_ID, CaptionTokenizer
from fakeexplain.models.vision_tower import (
    VisionConfig,
    build,
    check_pretrained,
    check_vocabulary,
    load_pretrained,
    model_cfg_of,
    open_clip_tokenizer,
    tag_of,
)

__all__ = ["VisionConfig", "VisionEncoder", "VisionFeatures"]

_LOGIT_SCALE_LIMIT = math.log(100)  # as in CLIP: larger scales make training unstable


@dataclass(frozen=True)
class VisionFeatures:
    """What the tower sees in the whole picture.

    Attributes:
        pooled: (B, E) float32, joint image-text embedding of L2 norm 1.
        patches: for each chosen layer (B, C, h, w), cell (0, 0) at the upper left; before any final norm, as the block
            gives them out.
    """

    pooled: Tensor
    patches: tuple[Tensor, ...]


class VisionEncoder(nn.Module):
    """An open_clip model behind one interface (Radford et al., ICML 2021; Ilharco et al., OpenCLIP, 2021).

    Build it with `from_config`. `clip` is the open_clip module; all parameters are its own.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        clip: nn.Module,
        config: VisionConfig,
        tokenizer: Any,
        mean: Sequence[float] = OPENAI_DATASET_MEAN,
        std: Sequence[float] = OPENAI_DATASET_STD,
    ) -> None:
        super().__init__()
        self.clip = clip
        self.config = config
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        # open_clip 3.3 stops its ResNets at the last stage asked for and then pools that one: ask for the last too.
        last = (4,) if isinstance(self._visual, ModifiedResNet) and config.layers[-1] < 4 else ()
        self._indices = [*config.layers, *last]
        self._pooled_shape, self._patch_shapes = self._shapes()
        if config.frozen:
            self.requires_grad_(False).eval()

    @classmethod
    def from_config(
        cls, config: VisionConfig, *, tokenizer: CaptionTokenizer | None = None, load_weights: bool = True
    ) -> VisionEncoder:
        """Builds the tower; random weights come from torch's global generator.

        Args:
            tokenizer: the vocabulary of a custom tower that has its own (vocab_size other than 49408). Without it
                everything works but `encode_text` and `embed_words`.
            load_weights: False leaves `pretrained` alone, for a strict `load_state_dict` that follows.

        Raises:
            SettingsError: unknown name, tag or key, layers that the tower does not have, weights that do not fit, or a
                tower that would have to be fetched although no `pretrained` asks for it.
        """
        model_cfg, tag = model_cfg_of(config), tag_of(config)
        if tokenizer is not None:
            check_vocabulary(tokenizer, config)
        wants_weights = config.pretrained is not None and load_weights
        if wants_weights:
            check_pretrained(config)  # before a large tower is built in vain
        clip = build(model_cfg, config)
        if wants_weights:
            load_pretrained(clip, config)
        words = tokenizer or open_clip_tokenizer(model_cfg, config)
        return cls(clip, config, words, tag.get("mean") or OPENAI_DATASET_MEAN, tag.get("std") or OPENAI_DATASET_STD)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the view in pixels."""
        size = self._visual.image_size
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    @property
    def embed_dim(self) -> int:
        """E, the width of the joint embedding."""
        return self._pooled_shape[-1]

    @property
    def patch_channels(self) -> tuple[int, ...]:
        """C of each chosen layer."""
        return tuple(shape[1] for shape in self._patch_shapes)

    @property
    def patch_grids(self) -> tuple[tuple[int, int], ...]:
        """(h, w) of each chosen layer."""
        return tuple((shape[2], shape[3]) for shape in self._patch_shapes)

    @property
    def context_length(self) -> int:
        """Most tokens of a text, start and end included."""
        return int(self._text.context_length)

    @property
    def prompt_width(self) -> int:
        """W, the width of a token embedding."""
        return int(self._token_embedding.weight.shape[1])

    @property
    def logit_scale(self) -> Tensor:
        """Factor of the cosine similarities in the contrastive loss, a scalar of at most 100."""
        return cast(Any, self.clip).logit_scale.clamp(max=_LOGIT_SCALE_LIMIT).exp().squeeze()

    @property
    def _visual(self) -> Any:
        return self.clip.visual

    @property
    def _text(self) -> Any:
        """The module that holds the text tower's parts: open_clip keeps them in `clip.text` or in `clip` itself."""
        return getattr(self.clip, "text", self.clip)

    @property
    def _token_embedding(self) -> nn.Embedding:
        if not isinstance(getattr(self._text, "token_embedding", None), nn.Embedding):
            raise SettingsError(f"{self.config.name}: its text tower has no token embedding; take a CLIP text tower")
        return cast(nn.Embedding, self._text.token_embedding)

    def _shapes(self) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """Shapes of pooled and patches for one picture, from a forward pass that computes no values."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
                features = self(torch.zeros(1, 3, *self.image_size, device=self.mean.device))
        except (AssertionError, AttributeError, IndexError, TypeError, ValueError) as error:
            raise SettingsError(
                f"layers {self.config.layers}: this tower cannot give them out ({error}); count its blocks from 0"
            ) from None
        self.train(training)
        return tuple(features.pooled.shape), tuple(tuple(p.shape) for p in features.patches)

    def train(self, mode: bool = True) -> VisionEncoder:
        super().train(mode and not self.config.frozen)
        return self

    def view(self, rgb: Tensor) -> Tensor:
        """The picture as the tower sees it: all of it, squeezed to `image_size`, antialiased bilinear, normalised.

        Args:
            rgb: (B, 3, H, W) floating point in [0, 1], any size.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3 or not rgb.is_floating_point():
            raise ValueError(f"rgb: {rgb.dtype} {tuple(rgb.shape)} came, wanted floating point (B, 3, H, W) in [0, 1]")
        if tuple(rgb.shape[2:]) != self.image_size:
            rgb = F.interpolate(rgb, self.image_size, mode="bilinear", align_corners=False, antialias=True)
        return (rgb - self.mean) / self.std

    def forward(self, rgb: Tensor) -> VisionFeatures:
        """Features of the whole picture, in a resized view: good for content, useless for traces.

        Args:
            rgb: (B, 3, H, W) floating point in [0, 1], any size.
        """
        found = self._visual.forward_intermediates(self.view(rgb), indices=self._indices)
        pooled = F.normalize(found["image_features"].float(), dim=-1)
        return VisionFeatures(pooled, tuple(found["image_intermediates"][: len(self.config.layers)]))

    def encode_tokens(self, token_ids: Tensor) -> Tensor:
        """(B, E) float32 of norm 1, for int64 (B, context_length) ids from `tokenizer`."""
        return F.normalize(cast(Any, self.clip).encode_text(token_ids).float(), dim=-1)

    def encode_text(self, texts: list[str]) -> Tensor:
        """(B, E) float32 of norm 1, for B texts; texts longer than the context lose their end.

        Raises:
            SettingsError: the tower has its own vocabulary and none was given.
        """
        if isinstance(texts, str) or not texts:
            raise ValueError(f"texts: {type(texts).__name__} {texts!r:.40} came, wanted a list of at least one str")
        token_ids: Tensor = self._tokenizer()(texts, self.context_length)
        return self.encode_tokens(token_ids.to(self.mean.device))

    def embed_words(self, text: str) -> Tensor:
        """(L, W) token embeddings of a text without start and end: a prompt to begin learning from.

        Raises:
            SettingsError: as `encode_text`.
        """
        ids = torch.tensor(self._tokenizer().encode(text), dtype=torch.long, device=self.mean.device)
        return self._token_embedding(ids)

    def encode_prompt(self, prompt_embeddings: Tensor) -> Tensor:
        """(P, E) float32 of norm 1, for prompts of free vectors between the start and the end token.

        After CoOp (Zhou et al., IJCV 2022) and AnomalyCLIP (Zhou et al., ICLR 2024). The feature is that of the end
        token. Gradients reach the prompts whether the text tower is frozen or not.

        Args:
            prompt_embeddings: (P, L, W) floating point; L at most `context_length` - 2, W = `prompt_width`.

        Raises:
            SettingsError: the text tower is not a causal one that is pooled at its end token.
        """
        text, width = self._text, self.prompt_width
        count = prompt_embeddings.shape[1] + 2 if prompt_embeddings.ndim == 3 else 0
        if prompt_embeddings.ndim != 3 or prompt_embeddings.shape[2] != width or count > self.context_length:
            raise ValueError(
                f"prompt_embeddings: {tuple(prompt_embeddings.shape)} came, wanted (P, L, {width}) with L of at most "
                f"{self.context_length - 2}"
            )
        start_end = torch.tensor(self._start_end(), device=self.mean.device)
        start, end = self._token_embedding(start_end).unsqueeze(1).expand(2, len(prompt_embeddings), width)
        x = torch.cat([start.unsqueeze(1), prompt_embeddings.to(start.dtype), end.unsqueeze(1)], dim=1)
        x = (x + text.positional_embedding[:count]).to(text.transformer.get_cast_dtype())
        x = text.ln_final(text.transformer(x, attn_mask=text.attn_mask[:count, :count])[:, -1])
        if isinstance(text.text_projection, nn.Linear):
            x = text.text_projection(x)
        elif text.text_projection is not None:
            x = x @ text.text_projection
        return F.normalize(x.float(), dim=-1)

    def _start_end(self) -> tuple[int, int]:
        text = self._text
        pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
        known = isinstance(self.tokenizer, open_clip.SimpleTokenizer | CaptionTokenizer)
        known = known or (self.tokenizer is None and self.config.custom is not None)
        classless = getattr(text, "cls_emb", None) is None
        if pool not in ("argmax", "eos") or text.attn_mask is None or not classless or not known:
            raise SettingsError(
                f"{self.config.name or 'custom'}: learned prompts want a causal text tower that is pooled at its end "
                f"token, this one is pooled by {pool!r} or its vocabulary is not here; take a CLIP text tower"
            )
        if isinstance(self.tokenizer, open_clip.SimpleTokenizer):
            return self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        return START_ID, END_ID

    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise SettingsError(
                "this tower has its own vocabulary and it was not given; pass from_config(..., tokenizer="
                "CaptionTokenizer.from_file(...)) with the file that was saved beside its weights"
            )
        return self.tokenizer
