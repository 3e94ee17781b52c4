"""The assistant as it is trained: clicks are simulated inside its forward pass, and only what can train is kept.

Everything happens in `forward`, so that several processes can train it. Its state leaves out the weights of the
language model, which stay where they are: a checkpoint of a 7-billion-parameter assistant is as small as its adapters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fakeexplain.models.assistant import ForgeryAssistant, ForgeryAssistantOutput

_MAP_INPUTS = ("mask_inputs", "trace_features", "mask_present")
_JITTER = 0.1  # of a box's side, how far its edges may lie beside the region's


@dataclass
class Clicked:
    """Masks after each round of clicks: logits M,1,4G,4G and targets M,1,4G,4G, M = regions that have one."""

    rounds: list[Tensor]
    targets: Tensor


@dataclass
class Tokens:
    """What a language model reads: picture B,P,D; map B,K,D; regions B,R,T,D, None where there are none."""

    picture: Tensor
    map: Tensor
    regions: Tensor | None


class TrainedAssistant(ForgeryAssistant):
    """A `ForgeryAssistant` with the same parts and names."""

    def forward(  # type: ignore[override]
        self,
        click_target: Tensor | None = None,
        click_seed: Tensor | None = None,
        click_rounds: int = 0,
        tokens_only: bool = False,
        **inputs: Any,
    ) -> Any:
        """As `ForgeryAssistant.forward`; with `click_rounds` a pair of its output and `Clicked` (None without targets).

        With `tokens_only` nothing but what the language model would read of picture, map and regions: `Tokens`.

        Args:
            click_target: B,4G,4G in [0, 1], -1 where there is no region to click at.
            click_seed: int64 B; what is drawn depends on it alone.
        """
        if tokens_only:
            return self._tokens(**inputs)
        output = super().forward(**inputs)
        if not click_rounds or click_target is None or click_seed is None:
            return (output, None) if click_rounds else output
        return output, self._click(inputs, click_target[:, None].float(), click_seed.tolist(), click_rounds)

    def _tokens(self, pixel_values: Tensor, region_inputs: Tensor | None = None, **maps: Tensor) -> Tokens:
        views = self._mask_views(len(pixel_values), *(maps.get(n) for n in _MAP_INPUTS))
        regions = None if region_inputs is None else self.mask_encoder.regions(region_inputs, *views[:2])
        return Tokens(self.projector(self.see(pixel_values)), self.mask_encoder(*views), regions)

    def _click(self, inputs: dict[str, Any], targets: Tensor, seeds: list[int], rounds: int) -> Clicked | None:
        """Even seeds begin with a box, odd ones with a click inside; every further round clicks at an error."""
        kept = [i for i in range(len(targets)) if bool((targets[i] > 0.5).any())]
        if not kept:
            return None
        names = ("pixel_values", "mask_inputs", "trace_features", "mask_present")
        features = self.region_features(**{n: inputs[n][kept] for n in names if inputs.get(n) is not None})
        truth = targets[kept]
        generators = [torch.Generator().manual_seed(seeds[i]) for i in kept]
        answers: list[Tensor] = []
        points = torch.zeros(len(kept), 0, 2, device=truth.device)
        labels = torch.zeros(len(kept), 0, device=truth.device)
        boxed = [i for i, k in enumerate(kept) if seeds[k] % 2 == 0]
        boxes = torch.stack([_box(t[0], g) for t, g in zip(truth, generators, strict=True)]).to(truth.device)
        logits: Tensor | None = None
        for number in range(rounds):
            wrong = truth > 0.5 if logits is None else (logits > 0) != (truth > 0.5)
            clicks = [_click(w[0], g) for w, g in zip(wrong, generators, strict=True)]
            points = torch.cat([points, torch.stack([p for p, _ in clicks])[:, None].to(points)], dim=1)
            said = torch.tensor([_label(t[0], where) for t, (_, where) in zip(truth, clicks, strict=True)])
            if number == 0:
                said[boxed] = -1.0  # a box is all they begin with
            labels = torch.cat([labels, said[:, None].to(labels)], dim=1)
            logits = self._answer(features, points, labels, boxes, boxed, logits)
            answers.append(logits)
        return Clicked(answers, truth)

    def _answer(
        self, features: Tensor, points: Tensor, labels: Tensor, boxes: Tensor, boxed: list[int], previous: Tensor | None
    ) -> Tensor:
        """One call for those with a box and one for those without, in the order of `features`."""
        others = [i for i in range(len(features)) if i not in set(boxed)]
        parts: list[Tensor] = []
        for members, has_box in ((boxed, True), (others, False)):
            if members:
                found, _ = self.refine(
                    features[members],
                    points=points[members],
                    point_labels=labels[members],
                    boxes=boxes[members] if has_box else None,
                    previous_logits=None if previous is None else previous[members].detach(),
                )
                parts.append(found)
        order = torch.tensor([*boxed, *others], device=features.device).argsort()
        return torch.cat(parts)[order]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Without the language model's own weights; its adapters are in it."""
        whole = super().state_dict(*args, **kwargs)
        return type(whole)((n, v) for n, v in whole.items() if not is_base_weight(n))

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Inverse of `state_dict`: every other name has to be there."""
        if strict and (odd := set(self.state_dict()) ^ set(state_dict)):
            raise RuntimeError(f"state does not fit: {', '.join(sorted(odd)[:5])}")
        return super().load_state_dict(state_dict, strict=False, assign=assign)


def is_base_weight(name: str) -> bool:
    """Whether a parameter's name is one of the language model's own, which no stage trains."""
    return name.startswith("language_model.") and "lora_" not in name


def base_weights(model: nn.Module) -> dict[str, Tensor]:
    """The language model's own weights by name."""
    return {n: p for n, p in model.named_parameters() if is_base_weight(n)}


def _box(target: Tensor, generator: torch.Generator) -> Tensor:
    """xyxy in [0, 1] around the region of h,w, with edges a little off."""
    rows, columns = (target > 0.5).nonzero(as_tuple=True)
    height, width = target.shape
    tight = torch.tensor(
        [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1], dtype=torch.float32
    )
    sides = torch.stack([tight[2] - tight[0], tight[3] - tight[1]]).repeat(2)
    moved = tight + (2 * torch.rand(4, generator=generator) - 1) * _JITTER * sides
    return (moved / torch.tensor([width, height, width, height])).clamp(0, 1)


def _click(wrong: Tensor, generator: torch.Generator) -> tuple[Tensor, tuple[int, int] | None]:
    """(x, y in [0, 1] of a cell drawn among the wrong ones of h,w, its row and column; None where none is wrong)."""
    draw = float(torch.rand(1, generator=generator))
    rows, columns = wrong.nonzero(as_tuple=True)
    if not len(rows):
        return torch.zeros(2), None
    i = min(int(draw * len(rows)), len(rows) - 1)
    row, column = int(rows[i]), int(columns[i])
    return torch.tensor([(column + 0.5) / wrong.shape[1], (row + 0.5) / wrong.shape[0]]), (row, column)


def _label(target: Tensor, where: tuple[int, int] | None) -> float:
    """1 inside the region, 0 outside, -1 for no click."""
    return -1.0 if where is None else float(target[where] > 0.5)


__all__ = [
    "Clicked",
    "ForgeryAssistantOutput",
    "Tokens",
    "TrainedAssistant",
    "base_weights",
    "is_base_weight",
]
