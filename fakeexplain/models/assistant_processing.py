"""Messages, a picture, a map and regions in; tensors out: the edge of the assistant.

Marks in a text stand for tokens: `<image>` and `<mask>` (once, and once more as the last line of a question),
`R1 <region>` (the mark after a region's id, which stays as text), `<SEG>` in answers. Placeholders are expanded here
and nowhere else. Whatever else looks like a special token is broken up, so that nothing a user or a file says can
become one. Deliberately left out: what a prompt says (`fakeexplain.reasoning.prompting`), resampling
(`assistant_views`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoProcessor, PreTrainedTokenizerBase
from transformers.processing_utils import ProcessorMixin

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_configuration import (
    IMAGE_MARK,
    MARKS,
    MASK_MARK,
    REGION_MARK,
    SEG_MARK,
    ForgeryAssistantConfig,
)
from fakeexplain.models.assistant_tokenizer import add_marks
from fakeexplain.models.assistant_views import feature_view, map_view, mask_view, picture_view, region_view
from fakeexplain.models.vision_encoder import VisionEncoder

IGNORED = -100  # label of tokens without a loss
_REGION = re.compile(r"(R\d+)(\s*)<region>")


class HasMap(Protocol):
    """What is read of a `Localization`: float32 HxW in [0, 1] each, source frame."""

    map: np.ndarray
    confidence: np.ndarray


class ForgeryAssistantProcessor(ProcessorMixin):
    """See the module. `for_model` makes one; `save_pretrained` and `from_pretrained` as in transformers.

    Args:
        tokenizer: with the marks as single tokens (`add_marks`).
        image_size: (height, width) of the vision tower's view.
        grid, trace_channels, vision_tokens, mask_tokens, region_tokens: as in the model's settings.
        context: most tokens of a text.
    """

    def __init__(
        self,
        tokenizer: Any = None,
        image_size: Sequence[int] = (128, 128),
        grid: int = 64,
        trace_channels: int = 0,
        vision_tokens: int = 16,
        mask_tokens: int = 12,
        region_tokens: int = 4,
        context: int = 1024,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or getattr(tokenizer, "chat_template", None))
        self.image_size = tuple(image_size)
        self.grid, self.trace_channels = grid, trace_channels
        self.vision_tokens, self.mask_tokens, self.region_tokens = vision_tokens, mask_tokens, region_tokens
        self.context = context

    @classmethod
    def for_model(cls, config: ForgeryAssistantConfig, tokenizer: PreTrainedTokenizerBase) -> ForgeryAssistantProcessor:
        """The processor of a configuration; gives the tokenizer the marks and the configuration their ids."""
        add_marks(tokenizer, config)
        settings = config.settings
        with torch.device("meta"):
            size = VisionEncoder.from_config(settings.vision, load_weights=False).image_size
        return cls(
            tokenizer,
            image_size=size,
            grid=settings.grid,
            trace_channels=settings.trace_channels,
            vision_tokens=settings.vision_tokens,
            mask_tokens=settings.mask_tokens,
            region_tokens=settings.mask_encoder.region_tokens,
            context=config.context,
        )

    def __call__(
        self,
        messages: Sequence[dict[str, str]],
        *,
        image: np.ndarray | None = None,
        localization: HasMap | None = None,
        trace_features: Tensor | None = None,
        regions: dict[str, np.ndarray] | None = None,
        seg_targets: Sequence[np.ndarray | None] | None = None,
        labels: bool = False,
    ) -> dict[str, Tensor]:
        """One dialogue about one picture, as a batch of one.

        Args:
            messages: {"role", "content"} in order; without labels the last one is the user's.
            image: uint8 HxWx3, upright source.
            localization: the expert's; None where it did not run, and then `<mask>` stands for its absence.
            trace_features: 1,C,G,G from `assistant_views.localize`, or 1,C,H/8,W/8 as the trunk gives them; zeros
                when None.
            regions: bool HxW of every id that a `<region>` follows.
            seg_targets: bool HxW for each `<SEG>` in order; None for one without truth.
            labels: also labels, for everything that the assistant says.

        Returns:
            input_ids, attention_mask: 1,T. pixel_values: 1,3,h,w. mask_inputs: 1,3,G,G. trace_features: 1,C,G,G.
            mask_present: 1. region_inputs: 1,R,2,G,G, where there are any. labels: 1,T. seg_targets: 1,S,4G,4G.

        Raises:
            SettingsError: a text too long, a mark without its input, or a chat template that does not keep order.
        """
        texts, named = self._expand(messages, image is not None, regions or {}, labels)
        input_ids, label_ids = self._tokens(texts, labels)
        out: dict[str, Tensor] = {
            "input_ids": torch.tensor([input_ids]),
            "attention_mask": torch.ones(1, len(input_ids), dtype=torch.long),
        }
        if labels:
            out["labels"] = torch.tensor([label_ids])
        if image is not None:
            out["pixel_values"] = picture_view(image, (self.image_size[0], self.image_size[1]))
        out |= self._maps(localization, trace_features)
        if named:
            out["region_inputs"] = torch.stack([region_view(mask, self.grid) for mask in named])[None]
        if seg_targets is not None:
            count = input_ids.count(self.tokenizer.convert_tokens_to_ids(SEG_MARK))
            if count != len(seg_targets):
                raise SettingsError(f"seg_targets: {len(seg_targets)} came for {count} {SEG_MARK} in the answers")
            if seg_targets:
                out["seg_targets"] = torch.stack([self._target(t) for t in seg_targets])[None]
        return out

    def _target(self, target: np.ndarray | None) -> Tensor:
        side = 4 * self.grid
        if target is None:
            return torch.full((side, side), -1.0)
        return map_view(target.astype(np.float32), side)[0]

    def _maps(self, localization: HasMap | None, trace_features: Tensor | None) -> dict[str, Tensor]:
        if localization is None:
            empty = torch.zeros(1, 3, self.grid, self.grid)
            absent = torch.zeros(1, self.trace_channels, self.grid, self.grid)
            return {"mask_inputs": empty, "trace_features": absent, "mask_present": torch.tensor([False])}
        view = torch.zeros(1, self.trace_channels, self.grid, self.grid)
        if trace_features is not None and self.trace_channels:
            if trace_features.ndim != 4 or trace_features.shape[1] != self.trace_channels:
                raise SettingsError(
                    f"trace_features: {tuple(trace_features.shape)} came, wanted (1, {self.trace_channels}, h, w); "
                    "set trace_channels to the expert's channels at 1/8"
                )
            if tuple(trace_features.shape[2:]) == (self.grid, self.grid):
                view = trace_features.float()
            else:
                height, width = localization.map.shape
                view = feature_view(trace_features, height, width, self.grid)
        return {
            "mask_inputs": mask_view(localization.map, localization.confidence, self.grid),
            "trace_features": view,
            "mask_present": torch.tensor([True]),
        }

    def plain_text(self, text: str) -> str:
        """A text in which nothing is a special token or a mark: a blank after the first character of each."""
        specials = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special} | set(MARKS)
        for special in sorted(specials, key=len, reverse=True):
            if special.strip() and special in text:
                text = text.replace(special, special[0] + " " + special[1:])
        return text

    def _expand(
        self, messages: Sequence[dict[str, str]], has_image: bool, regions: dict[str, np.ndarray], labels: bool
    ) -> tuple[list[dict[str, str]], list[np.ndarray]]:
        """Contents with placeholders, and the regions in the order in which they are read."""
        if not messages or (messages[-1]["role"] == "assistant") != labels:
            raise SettingsError(
                f"messages: the last one has to be {'the assistant' if labels else 'the user'}'s "
                f"{'with' if labels else 'without'} labels"
            )
        seen: set[str] = set()
        named: list[np.ndarray] = []
        expanded = []
        for message in messages:
            role, content = message["role"], message["content"]
            parts: list[str] = []
            position = 0
            for match in re.finditer(r"R\d+\s*<region>|<image>|<mask>|<SEG>", content):
                kind = match.group()
                if kind in seen and content[match.start() - 1 :] != f"\n{kind}":
                    continue
                if (filled := self._placeholder(kind, role, has_image, regions, named)) is None:
                    continue
                parts += [self.plain_text(content[position : match.start()]), filled]
                seen |= {kind} & {IMAGE_MARK, MASK_MARK}
                position = match.end()
            parts.append(self.plain_text(content[position:]))
            expanded.append({"role": role, "content": "".join(parts)})
        return expanded, named

    def _placeholder(
        self,
        mark: str,
        role: str,
        has_image: bool,
        regions: dict[str, np.ndarray],
        named: list[np.ndarray],
    ) -> str | None:
        """What a mark becomes; None where it is only a text that looks like one."""
        if mark == SEG_MARK:
            return SEG_MARK if role == "assistant" else None
        if role == "assistant":
            return None
        if mark == IMAGE_MARK:
            if not has_image:
                raise SettingsError("messages hold <image> but no image came; wanted uint8 HxWx3")
            return IMAGE_MARK * self.vision_tokens
        if mark == MASK_MARK:
            return MASK_MARK * self.mask_tokens
        match = _REGION.fullmatch(mark)
        if match is None or match.group(1) not in regions:
            return None
        named.append(regions[match.group(1)])
        return match.group(1) + match.group(2) + REGION_MARK * self.region_tokens

    def _tokens(self, messages: list[dict[str, str]], labels: bool) -> tuple[list[int], list[int]]:
        """Ids and labels, turn by turn: what the assistant said is what a turn adds to the prompt before it."""
        input_ids: list[int] = []
        label_ids: list[int] = []
        done = ""
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._render(messages[:i], True)
            whole = self._render(messages[: i + 1], False)
            if not prompt.startswith(done) or not whole.startswith(prompt):
                raise SettingsError("chat_template: it rewrites earlier turns; give the tokenizer one that does not")
            for text, is_answer in ((prompt[len(done) :], False), (whole[len(prompt) :], True)):
                ids = self.tokenizer.encode(text, add_special_tokens=False)
                input_ids += ids
                label_ids += ids if is_answer else [IGNORED] * len(ids)
            done = whole
        if not labels:
            prompt = self._render(messages, True)
            if not prompt.startswith(done):
                raise SettingsError("chat_template: it rewrites earlier turns; give the tokenizer one that does not")
            input_ids += self.tokenizer.encode(prompt[len(done) :], add_special_tokens=False)
        if len(input_ids) > self.context:
            raise SettingsError(
                f"messages: {len(input_ids)} tokens, the language model takes {self.context}; leave out earlier turns "
                "or evidence"
            )
        return input_ids, label_ids

    def _render(self, messages: list[dict[str, str]], generation: bool) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, chat_template=self.chat_template, add_generation_prompt=generation, tokenize=False
            )
        except Exception as error:  # templates are programs with errors of their own
            raise SettingsError(f"chat_template: {error}; is every role known to this language model?") from None
        return text

    def collate(self, samples: Sequence[dict[str, Tensor]], *, padding_side: str = "right") -> dict[str, Tensor]:
        """Batches of one to a batch; "left" for generation, "right" for training."""
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side {padding_side!r}: wanted left or right")
        length = max(s["input_ids"].shape[1] for s in samples)
        fills = {"input_ids": self.tokenizer.pad_token_id, "attention_mask": 0, "labels": IGNORED}
        batch: dict[str, Tensor] = {}
        for name in {name for sample in samples for name in sample}:
            values = [s.get(name) for s in samples]
            if name in fills:
                rows = []
                for value in values:
                    assert value is not None
                    gap = length - value.shape[1]
                    rows.append(F.pad(value, (gap, 0) if padding_side == "left" else (0, gap), value=fills[name]))
                batch[name] = torch.cat(rows)
            elif name in ("region_inputs", "seg_targets"):
                first = next(v for v in values if v is not None)
                count = max(v.shape[1] for v in values if v is not None)
                rows = [first.new_full((1, count, *first.shape[2:]), 0.0 if name == "region_inputs" else -1.0)] * len(
                    values
                )
                batch[name] = torch.cat(rows)
                for i, value in enumerate(values):
                    if value is not None:
                        batch[name][i, : value.shape[1]] = value[0]
            else:
                if any(v is None for v in values):
                    raise ValueError(f"{name}: in some samples and not in others; wanted all or none")
                batch[name] = torch.cat([v for v in values if v is not None])
        return batch


AutoProcessor.register(ForgeryAssistantConfig, ForgeryAssistantProcessor)
