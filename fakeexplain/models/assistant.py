"""The assistant: vision tokens + mask tokens + text -> a causal language model -> text, and `<SEG>` -> a region.

A composition on transformers' bases: any causal language model, an open_clip tower with a projector, the mask encoder
and the mask decoder. The expert is not inside: its map, confidence and features are inputs. The language model is left
exactly as it came: its vocabulary is not resized; the one added token that is ever read or written (`<SEG>`) has rows
of its own beside the embedding and the head; placeholders have none, for they are replaced and never written.

Sub-modules, by whose names stages train: `vision_encoder`, `projector`, `mask_encoder`, `language_model`, `added_rows`,
`seg_projection`, `mask_decoder`. Deliberately left out: text and pictures (`assistant_processing`), LoRA and files
(`assistant_adapters`), the verdict.

Initialisation: towers as their libraries do; linear layers as torch does; the `<SEG>` input row N(0, 0.02), its output
row zero (`compose` sets both to the mean of the language model's rows).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.modeling_utils import slice_logits_to_keep

from fakeexplain.models.assistant_adapters import OWN_PARTS, AdapterMixin
from fakeexplain.models.assistant_configuration import SEG_MARK, ForgeryAssistantConfig
from fakeexplain.models.assistant_layers import (
    AddedRows,
    ForgeryAssistantOutput,
    ImageHalf,
    VisionProjector,
    fill_placeholders,
    language_loss,
    with_added_columns,
)
from fakeexplain.models.mask_decoder import RegionDecoder, mask_losses
from fakeexplain.models.mask_encoder import MASK_CHANNELS, MaskEncoder
from fakeexplain.models.vision_encoder import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, VisionEncoder
from fakeexplain.models.vision_tower import tag_of

_PREFILL_ONLY = ("mask_inputs", "trace_features", "mask_present", "region_inputs", "seg_targets")


class ForgeryAssistant(AdapterMixin, PreTrainedModel, GenerationMixin):
    """See the module. `compose` builds one from parts, `from_pretrained` reads a whole one."""

    config: ForgeryAssistantConfig
    config_class = ForgeryAssistantConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # Never quantised, and float32 where the language model is loaded in half precision (see mask_decoder).
    _keep_in_fp32_modules = list(OWN_PARTS)  # noqa: RUF012
    _keep_in_fp32_modules_strict = ["seg_projection", "mask_decoder"]  # noqa: RUF012

    def __init__(
        self,
        config: ForgeryAssistantConfig,
        *,
        language_model: PreTrainedModel | None = None,
        load_vision_weights: bool = False,
    ) -> None:
        """Random weights, unless given.

        Args:
            language_model: a loaded one (`compose`).
            load_vision_weights: read `vision.pretrained`; otherwise a strict load of all weights is to follow.
        """
        super().__init__(config)
        self.settings = settings = config.settings
        hidden_size = int(config.text_config.hidden_size)  # type: ignore[union-attr]
        tower = VisionEncoder.from_config(settings.vision, load_weights=load_vision_weights)
        self._vision_channels = sum(tower.patch_channels)
        tower.clip = ImageHalf(tower.clip)
        self.vision_encoder = tower
        self.projector = VisionProjector(self._vision_channels, hidden_size, settings.vision_grid)
        self.mask_encoder = MaskEncoder(settings.mask_encoder, settings.trace_channels, hidden_size)
        if language_model is None:
            language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.language_model = language_model
        self.added_rows = AddedRows(hidden_size)
        width = settings.mask_decoder.width
        self.seg_projection = nn.Sequential(
            nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, width)
        )
        self.mask_decoder = RegionDecoder(
            settings.mask_decoder, settings.grid, settings.trace_channels, self._vision_channels
        )
        self.post_init()
        self.generation_config = language_model.generation_config

    def _init_weights(self, module: nn.Module) -> None:
        """Constructors initialise; only the tower's constants are lost when a model is built before its weights."""
        if isinstance(module, VisionEncoder):
            tag = tag_of(module.config)
            for name, default in (("mean", OPENAI_DATASET_MEAN), ("std", OPENAI_DATASET_STD)):
                values = torch.tensor(tag.get(name) or default).view(1, 3, 1, 1)
                init.copy_(getattr(module, name), values)

    def get_input_embeddings(self) -> nn.Module:
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def get_output_embeddings(self) -> nn.Module:
        head: nn.Module = self.language_model.get_output_embeddings()
        return head

    def get_decoder(self) -> nn.Module:
        decoder: nn.Module = self.language_model.get_decoder()
        return decoder

    def see(self, pixel_values: Tensor) -> Tensor:
        """Patches of the tower, all chosen layers beside each other: B,3,h,w in [0, 1] -> B,V,h',w'."""
        dtype = next(self.vision_encoder.parameters()).dtype
        patches = self.vision_encoder(pixel_values.to(dtype)).patches
        grid = (patches[-1].shape[2], patches[-1].shape[3])
        return torch.cat([F.adaptive_avg_pool2d(p, grid) for p in patches], dim=1)

    def region_features(
        self,
        pixel_values: Tensor,
        mask_inputs: Tensor | None = None,
        trace_features: Tensor | None = None,
        mask_present: Tensor | None = None,
    ) -> Tensor:
        """What regions are decoded from, once for a picture: B,width,G,G. Arguments as in `forward`."""
        maps, features, _ = self._mask_views(len(pixel_values), mask_inputs, trace_features, mask_present)
        decoded: Tensor = self.mask_decoder.features(maps, features, self.see(pixel_values))
        return decoded

    def project_seg(self, hidden: Tensor) -> Tensor:
        """`<SEG>` states N,D -> prompt tokens N,width of the mask decoder."""
        with torch.autocast(hidden.device.type, enabled=False):
            token: Tensor = self.seg_projection(hidden.to(next(self.seg_projection.parameters()).dtype))
        return token

    def decode_region(self, hidden: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """`<SEG>` states N,D over features N,width,G,G -> (N,1,4G,4G logits, N estimated intersection over union)."""
        found: tuple[Tensor, Tensor] = self.mask_decoder(features, token=self.project_seg(hidden))
        return found

    def refine(
        self,
        features: Tensor,
        *,
        points: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        previous_logits: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Clicks, boxes and earlier masks, as in `RegionDecoder.forward`; `hidden` N,D adds a `<SEG>` state.

        Returns:
            (N,1,4G,4G logits, N estimated intersection over union).
        """
        found: tuple[Tensor, Tensor] = self.mask_decoder(
            features,
            token=None if hidden is None else self.project_seg(hidden),
            points=points,
            point_labels=point_labels,
            boxes=boxes,
            previous_logits=previous_logits,
        )
        return found

    def _mask_views(
        self, batch: int, mask_inputs: Tensor | None, trace_features: Tensor | None, mask_present: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map, features and presence; what is absent is zero and said to be absent."""
        settings, device = self.settings, self.added_rows.input.device
        grid = settings.grid
        if mask_inputs is None:
            if trace_features is not None:
                raise ValueError("trace_features without mask_inputs: wanted both, as the expert gives them")
            mask_inputs = torch.zeros(batch, MASK_CHANNELS, grid, grid, device=device)
            mask_present = torch.zeros(batch, dtype=torch.bool, device=device)
        if trace_features is None:
            trace_features = torch.zeros(batch, settings.trace_channels, grid, grid, device=device)
        if mask_present is None:
            mask_present = torch.ones(batch, dtype=torch.bool, device=device)
        wanted = (batch, MASK_CHANNELS, grid, grid), (batch, settings.trace_channels, grid, grid)
        came = tuple(mask_inputs.shape), tuple(trace_features.shape)
        if came != wanted:
            raise ValueError(f"mask_inputs, trace_features: {came[0]}, {came[1]} came, wanted {wanted[0]}, {wanted[1]}")
        present = mask_present.to(device)[:, None, None, None]
        return mask_inputs.to(device) * present, trace_features.to(device) * present, mask_present.to(device)

    def embed(
        self,
        input_ids: Tensor,
        patches: Tensor | None,
        views: tuple[Tensor, Tensor, Tensor] | None,
        region_inputs: Tensor | None,
    ) -> Tensor:
        """Text and placeholders as B,T,D embeddings; every placeholder is filled, or a ValueError says what is off.

        Args:
            patches: from `see`. views: from `_mask_views`; wanted where there are placeholders at all.
        """
        config, settings = self.config, self.settings
        images, masks, regions, seg = (input_ids == i for i in config.mark_ids.values())
        added = images | masks | regions | seg
        text: Tensor = self.get_input_embeddings()(input_ids.masked_fill(added, 0))
        text = torch.where(seg[..., None], self.added_rows.input.to(text.dtype), text)
        if images.any():
            if patches is None:
                raise ValueError("input_ids hold image placeholders but no pixel_values came; wanted a picture")
            text = fill_placeholders(text, images, self.projector(patches), settings.vision_tokens, "image", again=True)
        if masks.any():
            assert views is not None
            text = fill_placeholders(text, masks, self.mask_encoder(*views), settings.mask_tokens, "mask", again=True)
        if regions.any():
            assert views is not None
            if region_inputs is None:
                raise ValueError("input_ids hold region placeholders but no region_inputs came; wanted B,R,2,G,G")
            tokens = self.mask_encoder.regions(region_inputs.to(text.device), *views[:2]).flatten(1, 2)
            text = fill_placeholders(text, regions, tokens, settings.mask_encoder.region_tokens, "region")
        return text

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        mask_inputs: Tensor | None = None,
        trace_features: Tensor | None = None,
        mask_present: Tensor | None = None,
        region_inputs: Tensor | None = None,
        labels: Tensor | None = None,
        seg_targets: Tensor | None = None,
        decode_regions: bool | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        return_dict: bool | None = None,
    ) -> ForgeryAssistantOutput | tuple[Any, ...]:
        """One pass.

        Args:
            input_ids: B,T with placeholders expanded by the processor.
            pixel_values: B,3,h,w float in [0, 1].
            mask_inputs: B,3,G,G, see `mask_encoder.MASK_CHANNELS`. trace_features: B,C,G,G.
            mask_present: B bool; all True when None and mask_inputs are given.
            region_inputs: B,R,2,G,G; the i-th region placeholder of a row reads region i, rows with fewer are padded.
            labels: B,T, -100 where no loss is taken.
            seg_targets: B,S,4G,4G in [0, 1]; target i belongs to the i-th `<SEG>` of the row, -1 where there is none.
            decode_regions: decode every `<SEG>`; None: where seg_targets are given.

        Raises:
            ValueError: placeholders and inputs do not agree.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("wanted exactly one of input_ids and inputs_embeds")
        decode = decode_regions if decode_regions is not None else seg_targets is not None
        patches: Tensor | None = None
        views: tuple[Tensor, Tensor, Tensor] | None = None
        if input_ids is not None:
            marks = torch.tensor(list(self.config.mark_ids.values())[:3], device=input_ids.device)
            if decode or bool(torch.isin(input_ids, marks).any()):  # not while single words are generated
                views = self._mask_views(len(input_ids), mask_inputs, trace_features, mask_present)
                if pixel_values is not None:
                    patches = self.see(pixel_values.to(self.added_rows.input.device))
            inputs_embeds = self.embed(input_ids, patches, views, region_inputs)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=True,
            logits_to_keep=logits_to_keep,
        )
        hidden: Tensor = outputs.hidden_states[-1]
        kept = slice_logits_to_keep(hidden, logits_to_keep)
        logits = with_added_columns(outputs.logits, kept, self.added_rows.output, self.config)
        output = ForgeryAssistantOutput(
            logits=logits,
            cache=outputs.cache,
            hidden_states=outputs.hidden_states if output_hidden_states else None,
            attentions=outputs.attentions if output_attentions else None,
            last_hidden_state=hidden,
        )
        if labels is not None:
            output.language_loss = output.loss = language_loss(logits, labels)
        if decode:
            if input_ids is None or patches is None or views is None:
                raise ValueError("regions are decoded from input_ids and pixel_values; one of them is missing")
            self._decode(output, torch.eq(input_ids, self.config.mark_ids[SEG_MARK]), patches, views, seg_targets)
        return output.to_tuple() if return_dict is False else output

    def _decode(
        self,
        output: ForgeryAssistantOutput,
        seg: Tensor,
        patches: Tensor,
        views: tuple[Tensor, Tensor, Tensor],
        targets: Tensor | None,
    ) -> None:
        rows, _ = seg.nonzero(as_tuple=True)
        features = self.mask_decoder.features(views[0], views[1], patches)
        assert output.last_hidden_state is not None
        states = output.last_hidden_state[seg]
        if not len(rows):  # a batch without a single <SEG>: nothing to decode, and no loss but a gradient of zero
            zero = features.sum() * 0 + self.project_seg(states).sum()
            output.seg_rows, output.seg_bce, output.seg_dice, output.seg_quality_loss = rows, zero, zero, zero
            output.loss = zero if output.loss is None else output.loss + zero
            return
        logits, quality = self.mask_decoder(features[rows], token=self.project_seg(states))
        output.seg_logits, output.seg_quality, output.seg_rows = logits, quality, rows
        if targets is None:
            return
        order = (seg.cumsum(1) - 1)[seg]  # which of its row's <SEG> each is
        counts = seg.sum(1)
        if int(counts.max()) > targets.shape[1] or targets.shape[2:] != logits.shape[2:]:
            raise ValueError(
                f"seg_targets: {tuple(targets.shape)} came, wanted at least {int(counts.max())} targets of "
                f"{tuple(logits.shape[2:])} a row; -1 where a <SEG> has no target"
            )
        wanted = targets.to(logits.device)[rows, order][:, None].float()
        kept = (wanted >= 0).all(dim=3).all(dim=2)[:, 0]
        if not kept.any():
            output.seg_bce = output.seg_dice = output.seg_quality_loss = logits.sum() * 0 + quality.sum() * 0
        else:
            losses = mask_losses(logits[kept], wanted[kept], quality[kept])
            output.seg_bce, output.seg_dice, output.seg_quality_loss = losses["bce"], losses["dice"], losses["quality"]
        settings = self.settings
        total = settings.seg_bce_weight * output.seg_bce + settings.seg_dice_weight * output.seg_dice
        total = total + settings.seg_quality_weight * output.seg_quality_loss
        output.loss = total if output.loss is None else output.loss + total

    @torch.no_grad()
    def segment(self, input_ids: Tensor, **inputs: Any) -> ForgeryAssistantOutput:
        """Regions of every `<SEG>` in a finished text (say, what `generate` returned); `inputs` as for `forward`."""
        for name in ("attention_mask", "labels", "seg_targets"):
            inputs.pop(name, None)  # of the prompt alone, or of training
        output = self(input_ids=input_ids, decode_regions=True, logits_to_keep=1, use_cache=False, **inputs)
        assert isinstance(output, ForgeryAssistantOutput)
        return output

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As transformers does; pictures and maps are read once, with the prompt."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)
        if not kwargs.get("is_first_iteration", False) and kwargs.get("use_cache", True):
            for name in _PREFILL_ONLY:
                inputs.pop(name, None)
        return inputs


AutoModel.register(ForgeryAssistantConfig, ForgeryAssistant)
