"""The assistant's three stages, one task: alignment, instruction tuning, mask decoding.

The stages differ in what they train (`train` of the config), in the data, and in that the third one also decodes
regions: from `<SEG>`, and from simulated clicks and boxes. LoRA lies in the language model from the first stage on, so
that the weights of one stage are those the next begins with; where the first one does not train it, it is zero.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_configuration import SEG_MARK, load_assistant_config
from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor
from fakeexplain.models.weights import load_expert
from training.assistant_data import open_records
from training.assistant_model import Clicked, Tokens, TrainedAssistant
from training.assistant_samples import IGNORED, AssistantDataset, Sequences, list_sequences
from training.config import TrainingConfig
from training.data import Batch
from training.expert_maps import MapFolder
from training.judging import judging, moved
from training.losses import Loss, binary, dice
from training.word_targets import WordTargets, turned

_EVAL_BATCH = 8
_PLAIN = ("iou", "_right")  # endings of figures that are no losses
_MODEL_INPUTS = (
    "input_ids",
    "attention_mask",
    "pixel_values",
    "mask_inputs",
    "trace_features",
    "mask_present",
    "region_inputs",
)
MAP_INPUTS = ("mask_inputs", "trace_features", "mask_present", "region_inputs")  # what `<mask>` and `<region>` read


def _words(weights: dict[str, float]) -> bool:
    """Whether a run teaches tokens the words for what they show."""
    return any(v for n, v in weights.items() if n.endswith("_words"))


class _Saved:
    """A transformers configuration in the clothes the loop saves."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def model_dump_json(self, indent: int) -> str:
        text: str = self.config.to_json_string(use_diff=False)
        return text


def build(
    config: TrainingConfig, kind: type[ForgeryAssistant] = TrainedAssistant
) -> tuple[ForgeryAssistant, ForgeryAssistantProcessor]:
    """The assistant of a config and its processor, with LoRA in it.

    Args:
        kind: class of the assistant.

    Raises:
        SettingsError: files are missing or do not fit each other.
    """
    from transformers import AutoTokenizer

    assert config.model is not None
    ours = load_assistant_config(config.model, language_model_path=config.language_model_path)
    path = ours.language_model_path
    if path is None:
        raise SettingsError(f"{config.model}: names no language model; set language_model_path=FOLDER")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise SettingsError(f"language_model_path {path}: its tokenizer cannot be loaded ({error})") from None
    own_row = tokenizer.get_vocab().get(SEG_MARK)
    processor = ForgeryAssistantProcessor.for_model(ours, tokenizer)
    halved = config.quantization is not None and config.autocast("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if halved else torch.float32
    model = kind.compose(ours, quantization=config.quantization, dtype=dtype)
    if config.expert is not None:
        tower = load_expert(config.expert).vision
        if tower is None:
            raise SettingsError(f"expert {config.expert}: has no vision tower; leave `expert` out")
        model.take_tower(tower)
    if own_row is not None:  # a language model that has read <SEG> already knows when to say it
        with torch.no_grad():
            model.added_rows.input.copy_(model.get_input_embeddings().weight[own_row].float())  # type: ignore[index]
            model.added_rows.output.copy_(model.get_output_embeddings().weight[own_row].float())  # type: ignore[index]
    model.add_lora()
    if config.gradient_checkpointing:
        model.language_model.gradient_checkpointing_enable({"use_reentrant": False})
    return model, processor


class AssistantTask:
    """See the module. The held-out score is minus the loss of the answers; for mask decoding, the IoU of regions."""

    default_weights: ClassVar[dict[str, float]] = {
        "answer": 1.0,
        "mask_bce": 2.0,
        "mask_dice": 0.5,
        "click_bce": 1.0,
        "click_dice": 0.5,
        "picture_words": 0.0,
        "map_words": 0.0,
        "region_words": 0.0,
    }

    def __init__(self, config: TrainingConfig) -> None:
        assert config.data is not None
        self.config, self._data = config, config.data
        self.decodes = config.task == "assistant_mask_decoding"
        torch.manual_seed(config.seed)
        model, self.processor = build(config)
        self.model: nn.Module = model
        self.model_config = _Saved(model.config)
        weights = {**self.default_weights, **config.loss_weights}
        self.words = WordTargets(self.processor.tokenizer, model.get_input_embeddings()) if _words(weights) else None
        self.words_only = self.words is not None and weights["answer"] == 0  # the language model need not run
        self._seg_id = model.config.mark_ids[SEG_MARK]
        cache = config.output_dir / "cache"
        self._rows = open_records(self._data.sources, cache=cache, images=self._data.images)
        sides = self._rows.held_out(self._data.held_out)
        lines = "evidence" not in self._data.leave_out
        self._training, self._held_out = (
            list_sequences(self._rows, s, self.processor, cache, lines=lines) for s in sides
        )
        for name, found in (("to train on", self._training), ("held out", self._held_out)):
            if not len(found):
                raise SettingsError(f"data: no dialogue {name}; change data.held_out, or give more photographs")
        self._maps = None if self._data.maps is None else MapFolder(self._data.maps)
        settings = model.config.settings
        if self._maps is not None and (self._maps.grid, self._maps.channels) != (
            settings.grid,
            settings.trace_channels,
        ):
            raise SettingsError(
                f"{self._data.maps}: grid {self._maps.grid}, {self._maps.channels} channels; the model has "
                f"{settings.grid}, {settings.trace_channels}. Run training.expert_maps again, or change the model"
            )
        if self.decodes and not self._training.targets.any():
            raise SettingsError(
                f"data: no answer with {SEG_MARK} and a region in it; mask decoding has nothing to learn"
            )

    def dataset(self, phase: int, size: int) -> Dataset[Batch]:
        seed = 1000 * self.config.seed + phase
        chosen = _with_regions(self._training, seed) if self.decodes else self._training
        made = AssistantDataset(self._rows, chosen, self.processor, self._data, size, seed, self._maps)
        if made.left_out:
            print(f"{made.left_out} of {len(chosen)} dialogues are longer than {size} tokens and are left out")
        return made

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        if self.words is not None and self.words_only:
            batch = turned(batch, int(batch["click_seed"][0]))
            return self.words.losses(self._tokens(model, batch), batch)
        output, clicked = self._run(model, batch)
        found = {"answer": answer_loss(output.logits, batch["labels"])}
        if self.decodes:
            found |= mask_losses(output, batch, self._seg_id)
            found |= click_losses(clicked, output.logits)
        if self.words is not None:
            found |= self.words.losses(self._tokens(model, batch), batch)
        return found

    @staticmethod
    def _tokens(model: nn.Module, batch: Batch) -> Tokens:
        inputs = {n: batch[n] for n in (*MAP_INPUTS, "pixel_values") if n in batch}
        tokens: Tokens = model(tokens_only=True, **inputs)
        return tokens

    def _run(self, model: nn.Module, batch: Batch) -> tuple[Any, Clicked | None]:
        inputs: dict[str, Any] = {name: batch[name] for name in _MODEL_INPUTS if name in batch}
        inputs |= {
            "use_cache": False,
            "decode_regions": self.decodes and bool((batch["input_ids"] == self._seg_id).any()),
        }
        if not self.decodes or not self._data.clicks:
            return model(**inputs), None
        clicks = {"click_target": batch["click_target"], "click_seed": batch["click_seed"]}
        output, clicked = model(**clicks, click_rounds=self._data.clicks, **inputs)
        return output, clicked

    @cached_property
    def _validation(self) -> list[Batch]:
        size = max(phase.size for phase in self.config.phases)
        chosen = self._held_out
        if self.decodes and chosen.targets.any():
            chosen = chosen.chosen(chosen.targets)
        data = self._data.model_copy(update={"group": 1, "absent_share": 0.0, "predicted_share": 1.0})
        dataset = AssistantDataset(self._rows, chosen, self.processor, data, size, 99, self._maps)
        count = min(self.config.eval_samples, len(dataset.sequences))
        return [
            dataset.collate([dataset[i] for i in range(start, min(start + _EVAL_BATCH, count))])
            for start in range(0, count, _EVAL_BATCH)
        ]

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        """Perplexity of held-out answers, IoU of regions; both also with another map, another picture: to be worse."""
        totals: dict[str, list[float]] = {}

        def add(name: str, loss: Loss) -> None:
            total = totals.setdefault(name, [0.0, 0.0])
            total[0], total[1] = total[0] + float(loss.total), total[1] + float(loss.count)

        for batch in moved(self._validation, model):
            with judging(model, self.config):
                output, clicked = self._run(model, batch)
                add("answer", answer_loss(output.logits, batch["labels"]))
                if self.words is not None:
                    for name, right in self.words.exact(self._tokens(model, batch), batch).items():
                        add(name, right)
                if self.decodes:
                    add("region_iou", region_iou(output, batch, self._seg_id))
                    add("expert_iou", expert_iou(output, batch, self._seg_id))
                    for number, logits in enumerate(clicked.rounds if clicked else [], start=1):
                        assert clicked is not None
                        add(f"click_{number}_iou", iou(logits, clicked.targets))
                if len(batch["input_ids"]) < 2:
                    continue
                for name, inputs in (("map", MAP_INPUTS), ("picture", ("pixel_values",))):
                    swapped, _ = self._run(model, {**batch, **{i: batch[i].roll(1, 0) for i in inputs if i in batch}})
                    add(f"other_{name}", answer_loss(swapped.logits, batch["labels"]))
                    if self.decodes:
                        add(f"other_{name}_iou", region_iou(swapped, batch, self._seg_id))
        means = {name: total / max(count, 1e-6) for name, (total, count) in totals.items()}
        figures = {
            n if n.endswith(_PLAIN) else f"{n}_perplexity": v if n.endswith(_PLAIN) else float(np.exp(min(v, 50)))
            for n, v in means.items()
        }
        if self.words_only:
            return figures, means["map_words_right"]
        return figures, means["region_iou"] if self.decodes else -means["answer"]

    def picture(self, model: nn.Module, path: Path) -> None:
        """Nothing to look at: figures are in the log."""


def _with_regions(sequences: Sequences, seed: int) -> Sequences:
    """All dialogues with a `<SEG>` and as many others: who only ever sees `<SEG>` says it always."""
    kept = sequences.targets.copy()
    others = np.flatnonzero(~kept)
    chosen = np.random.default_rng(seed).permutation(others)[: int(kept.sum())]
    kept[chosen] = True
    return sequences.chosen(kept)


def answer_loss(logits: Tensor, labels: Tensor) -> Loss:
    """Cross entropy of the answers' tokens: logits B,T,V, labels B,T with -100 elsewhere."""
    wanted = labels[:, 1:]
    kept = wanted != IGNORED
    values = F.cross_entropy(logits[:, :-1][kept].float(), wanted[kept], reduction="sum")
    return Loss(values, kept.sum().float())


def seg_targets(output: Any, batch: Batch, seg_id: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """(logits N,1,h,w, targets N,1,h,w, row of the batch N) of the decoded `<SEG>` that have a true region; None where
    there are none."""
    if output.seg_logits is None or "seg_targets" not in batch:
        return None
    seg = batch["input_ids"] == seg_id
    order = (seg.cumsum(1) - 1)[seg]
    targets = batch["seg_targets"][output.seg_rows, order][:, None].float()
    kept = (targets >= 0).flatten(1).all(dim=1)
    return (output.seg_logits[kept], targets[kept], output.seg_rows[kept]) if bool(kept.any()) else None


def mask_losses(output: Any, batch: Batch, seg_id: int) -> dict[str, Loss]:
    """BCE and Dice of what `<SEG>` decodes to."""
    found = seg_targets(output, batch, seg_id)
    return _region_losses("mask", None if found is None else [found[:2]], output.logits)


def click_losses(clicked: Clicked | None, logits: Tensor) -> dict[str, Loss]:
    """BCE and Dice of the masks after every round of clicks."""
    pairs = None if clicked is None else [(answer, clicked.targets) for answer in clicked.rounds]
    return _region_losses("click", pairs, logits)


def _region_losses(name: str, pairs: list[tuple[Tensor, Tensor]] | None, anything: Tensor) -> dict[str, Loss]:
    if not pairs:
        nothing = Loss(anything[..., 0].float().sum() * 0.0, torch.zeros((), device=anything.device))
        return {f"{name}_bce": nothing, f"{name}_dice": nothing}
    logits, targets = (torch.cat(values).float() for values in zip(*pairs, strict=True))
    everywhere, forged = torch.ones_like(targets), torch.ones(len(targets), device=targets.device)
    return {
        f"{name}_bce": binary(logits, targets, everywhere),
        f"{name}_dice": dice(logits, targets, everywhere, forged),
    }


def iou(logits: Tensor, targets: Tensor) -> Loss:
    """Intersection over union of N masks, summed, and N; two empty masks agree."""
    found, wanted = logits.flatten(1) > 0, targets.flatten(1) > 0.5
    union, both = (found | wanted).sum(1), (found & wanted).sum(1)
    values = torch.where(union > 0, both / union.clamp(min=1), torch.ones_like(union, dtype=torch.float32))
    return Loss(values.sum(), torch.tensor(float(len(values))))


def expert_iou(output: Any, batch: Batch, seg_id: int) -> Loss:
    """`iou` of the map that was shown, at 0.5, for the same `<SEG>`: the yardstick of `region_iou`."""
    found = seg_targets(output, batch, seg_id)
    if found is None:
        return Loss(torch.zeros(()), torch.zeros(()))
    _, targets, rows = found
    shown = F.interpolate(batch["mask_inputs"][rows, :1].float(), size=targets.shape[2:], mode="bilinear")
    return iou(shown - 0.5, targets)


def region_iou(output: Any, batch: Batch, seg_id: int) -> Loss:
    """`iou` of the `<SEG>` that have a true region."""
    found = seg_targets(output, batch, seg_id)
    return Loss(torch.zeros(()), torch.zeros(())) if found is None else iou(*found[:2])
