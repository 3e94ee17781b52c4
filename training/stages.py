"""The tasks: each binds a network, its data, its losses and its validation. The loop is blind to which one it runs.

A task trains exactly the parameters that `TrainingConfig.train` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from fakeexplain.errors import SettingsError
from fakeexplain.evaluation.metrics import auc_score, f1_score
from fakeexplain.models.configuration import load_config
from fakeexplain.models.forgery_expert import ExpertOutput, ForgeryLocalizationExpert
from fakeexplain.models.layers import as_grey_levels, upsample
from fakeexplain.models.text_tokenizer import CaptionTokenizer
from fakeexplain.models.vision_encoder import VisionEncoder
from training.alignment_pairs import AlignmentPairs, retrieval_metrics, split_pairs
from training.config import TrainingConfig
from training.data import NO_OPERATION, Batch, ForgeDataset, held_out_forge, validation_forges
from training.judging import judging, moved
from training.losses import Loss, binary, dice, history_contrast, weighted
from training.region_samples import region_samples


class Task(Protocol):
    """What the loop needs."""

    model: nn.Module
    model_config: Any  # pydantic, saved beside the weights
    default_weights: ClassVar[dict[str, float]]

    def dataset(self, phase: int, size: int) -> Dataset[Batch]: ...
    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]: ...
    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        """(figures for the log, the score that decides which weights are best: larger is better)."""

    def picture(self, model: nn.Module, path: Path) -> None:
        """A picture of validation results to look at."""


class ExpertTask:
    """The forgery localization expert, first phase."""

    default_weights: ClassVar[dict[str, float]] = {
        "mask": 1.0,
        "dice": 0.5,
        "edge": 0.2,
        "image": 0.2,
        "operation": 0.1,
        "history": 0.05,
    }

    def __init__(self, config: TrainingConfig) -> None:
        assert config.model is not None
        self.config = config
        self.model_config = load_config(config.model)
        torch.manual_seed(config.seed)
        self.model: nn.Module = ForgeryLocalizationExpert(self.model_config)
        self._validation: dict[str, list[Batch]] | None = None

    def dataset(self, phase: int, size: int) -> Dataset[Batch]:
        config = self.config
        assert config.photos is not None
        forge = held_out_forge(config.forge_of(config.phases[phase]), config.held_out_operation, config.held_out_finish)
        return ForgeDataset(config.photos, 1000 * config.seed + phase, size, forge, config.drop_table, config.views)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        return expert_losses(self.forward(model, batch), batch)

    @staticmethod
    def forward(model: nn.Module, batch: Batch) -> ExpertOutput:
        output: ExpertOutput = model(as_grey_levels(batch["rgb"]), batch["tables"], batch["has_jpeg"])
        return output

    def _validation_batches(self) -> dict[str, list[Batch]]:
        if self._validation is None:
            size = 256
            forges = validation_forges(self.config.forge, self.config.held_out_operation, self.config.held_out_finish)
            self._validation = {}
            assert self.config.photos is not None
            for name, forge in forges.items():
                dataset = ForgeDataset(self.config.photos, 99, size, forge)
                items = [dataset[i] for i in range(self.config.eval_samples)]
                self._validation[name] = [_collate(items[i : i + 16]) for i in range(0, len(items), 16)]
        return self._validation

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        figures: dict[str, float] = {}
        for name, batches in self._validation_batches().items():
            f1s: list[float] = []
            scores: dict[int, list[float]] = {0: [], 1: []}
            false_area: list[float] = []
            for batch in moved(batches, model):
                with judging(model, self.config):
                    output = self.forward(model, batch)
                predicted = upsample(output.mask_logits, _size(batch)) > 0
                predicted &= batch["valid"].bool()
                for i in range(len(predicted)):
                    forged, mask = bool(batch["label"][i] > 0), predicted[i, 0].cpu().numpy()
                    scores[int(forged)].append(float(output.image_logits[i]))
                    truth = batch["forged"][i, 0].bool().cpu().numpy()
                    if forged and truth.mean() >= 0.01:
                        f1s.append(f1_score(mask, truth))
                    elif not forged:
                        false_area.append(float(mask.mean()))
            figures[f"{name}/f1"] = sum(f1s) / max(len(f1s), 1)
            figures[f"{name}/auc"] = auc_score(scores[1], scores[0])
            figures[f"{name}/false_area"] = sum(false_area) / max(len(false_area), 1)
        held_out = [n for n in self._validation_batches() if n != "seen"]
        score = sum(figures[f"{n}/f1"] - figures[f"{n}/false_area"] for n in held_out) / max(len(held_out), 1)
        return figures, score

    def picture(self, model: nn.Module, path: Path) -> None:
        """Rows of (picture, truth, probability) for the first batch of the trained mix."""
        from torchvision.utils import save_image

        (batch,) = moved(self._validation_batches()["seen"][:1], model)
        with judging(model, self.config):
            output = self.forward(model, batch)
        map_ = upsample(torch.sigmoid(output.mask_logits.float()), _size(batch)).expand(-1, 3, -1, -1)
        truth = batch["forged"].float().expand(-1, 3, -1, -1)
        rows = torch.stack([batch["rgb"] / 255.0, truth, map_], dim=1).flatten(0, 1)
        save_image(F.avg_pool2d(rows, 2), path, nrow=12)


class ConfidenceTask(ExpertTask):
    """Second phase: the confidence head learns the probability that the mask gave the true class (Corbiere et al.,
    NeurIPS 2019), on a frozen trunk."""

    default_weights: ClassVar[dict[str, float]] = {"confidence": 1.0}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        output = self.forward(model, batch)
        target, valid = quarter_targets(batch)
        probability = torch.sigmoid(output.mask_logits.detach())
        truth = torch.where(target >= 0.5, probability, 1 - probability)
        # Forged cells are few; without a weight the head would learn "nearly always right".
        weight = valid * torch.where(target >= 0.5, 3.0, 1.0)
        return {"confidence": weighted((torch.sigmoid(output.confidence_logits) - truth).square(), weight)}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        """How well confidence ranks right cells over wrong ones (AUC), beside the maximum class probability."""
        right: dict[str, list[Tensor]] = {"confidence": [], "probability": []}
        correct: list[Tensor] = []
        for batch in moved(self._validation_batches()["seen"], model):
            with judging(model, self.config):
                output = self.forward(model, batch)
            target, valid = quarter_targets(batch)
            known = valid > 0
            right["confidence"].append(output.confidence_logits.float()[known])
            right["probability"].append(output.mask_logits.abs()[known])
            correct.append(((output.mask_logits > 0) == (target >= 0.5))[known])
        flags = torch.cat(correct)
        figures = {}
        for name, values in right.items():
            joined = torch.cat(values)[::7]
            figures[f"{name}/auc"] = auc_score(joined[flags[::7]].tolist(), joined[~flags[::7]].tolist())
        return figures, figures["confidence/auc"]


class RegionTask(ExpertTask):
    """Third phase: the head for a region that somebody names learns to tell boxes around an edit from boxes of the same
    sizes elsewhere, on a frozen network."""

    default_weights: ClassVar[dict[str, float]] = {"region": 1.0}

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__(config)
        if self.model_config.region == 0:
            raise SettingsError(f"{config.model}: region is 0; wanted the hidden units of the region head")

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        logits, labels, known = self._asked(model, batch)
        return {"region": binary(logits, labels, known, positive_weight=2.0)}

    @staticmethod
    def _asked(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """B,R logits of the network, what they should be, and 1 where there is a region at all."""
        regions, labels, known = (t.to(batch["rgb"].device) for t in region_samples(batch))
        output = model(as_grey_levels(batch["rgb"]), batch["tables"], batch["has_jpeg"], regions=regions)
        return output.region_logits, labels, known

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        """How well edits rank over all other places (AUC), and the share of edits above 98 % of these."""
        figures = {}
        for name, batches in self._validation_batches().items():
            edits: list[float] = []
            others: list[float] = []
            for batch in moved(batches, model):
                with judging(model, self.config):
                    logits, labels, known = self._asked(model, batch)
                edits += logits[(labels > 0) & (known > 0)].tolist()
                others += logits[(labels == 0) & (known > 0)].tolist()
            figures[f"{name}/auc"] = auc_score(edits, others)
            level = float(np.quantile(others, 0.98, method="higher")) if others else 0.0
            figures[f"{name}/found_at_2"] = sum(e > level for e in edits) / max(len(edits), 1)
        return figures, figures["seen/auc"]


def _size(batch: Batch) -> tuple[int, int]:
    return batch["rgb"].shape[2], batch["rgb"].shape[3]


def quarter_targets(batch: Batch) -> tuple[Tensor, Tensor]:
    """(share of forged pixels of each cell at 1/4, 1 where the cell lies inside the picture), float B,1,h,w."""
    return F.avg_pool2d(batch["forged"].float(), 4), (F.avg_pool2d(batch["valid"].float(), 4) > 0.99).float()


def expert_losses(output: ExpertOutput, batch: Batch) -> dict[str, Loss]:
    target, valid = quarter_targets(batch)
    outline = F.max_pool2d(target, 3, stride=1, padding=1) - (1 - F.max_pool2d(1 - target, 3, stride=1, padding=1))
    forged = batch["label"]
    losses = {
        "mask": binary(output.mask_logits, target, valid, positive_weight=2.0),
        "dice": dice(output.mask_logits, target, valid, forged),
        "edge": binary(output.edge_logits, outline.clamp(0, 1), valid, positive_weight=3.0),
        "image": binary(output.image_logits, forged, torch.ones_like(forged)),
    }
    operation = batch["operation"][:, 4::8, 4::8].long()
    inside = operation != NO_OPERATION
    values = F.cross_entropy(
        output.operation_logits, operation.where(inside, torch.zeros_like(operation)), reduction="none"
    )
    # Each picture counts the same however large its region is.
    share = inside.float() / inside.float().sum(dim=(1, 2), keepdim=True).clamp(min=1)
    losses["operation"] = weighted(values, share)
    eighth = batch["edits"].float()[:, None]
    most, least = F.max_pool2d(eighth, 8), -F.max_pool2d(-eighth, 8)
    numbers = torch.where(most == least, most, torch.full_like(most, -1.0))[:, 0].long()
    known = F.avg_pool2d(batch["valid"].float(), 8)[:, 0] > 0.99
    losses["history"] = history_contrast(output.embedding, numbers, known)
    return losses


def _collate(items: Iterable[Batch]) -> Batch:
    from torch.utils.data import default_collate

    collated: Batch = default_collate(list(items))
    return collated


class AlignmentModel(nn.Module):
    """Holds the vision encoder under the name it has inside the expert, so that its weights can be taken over."""

    def __init__(self, vision: VisionEncoder) -> None:
        super().__init__()
        self.vision = vision

    def forward(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 B,3,h,w and int64 B,L -> image and text embeddings B,E of unit length, and the logit scale."""
        return self.vision(image.float() / 255).pooled, self.vision.encode_tokens(tokens), self.vision.logit_scale


class _TokenPairs(Dataset[Batch]):
    """Alignment pairs with their captions as tokens."""

    def __init__(self, pairs: AlignmentPairs, tokenizer: CaptionTokenizer, length: int) -> None:
        self.pairs, self._tokenizer, self._length = pairs, tokenizer, length

    def __getitem__(self, index: int) -> Batch:
        pair = self.pairs[index]
        return {"image": pair["image"], "tokens": self._tokenizer([pair["caption"]], self._length)[0]}


class AlignmentTask:
    """The vision encoder, contrastively on image-text pairs (Radford et al., ICML 2021)."""

    default_weights: ClassVar[dict[str, float]] = {"contrastive": 1.0}

    def __init__(self, config: TrainingConfig) -> None:
        assert config.model is not None
        assert config.photos is not None
        self.config = config
        self.model_config = load_config(config.model)
        if self.model_config.vision is None or config.tokenizer is None:
            raise SettingsError("task alignment needs a model with `vision` and the file of its `tokenizer`")
        torch.manual_seed(config.seed)
        self._tokenizer = CaptionTokenizer.from_file(config.tokenizer)
        self._vision = VisionEncoder.from_config(self.model_config.vision, tokenizer=self._tokenizer)
        self.model: nn.Module = AlignmentModel(self._vision)
        largest = max(p.per_device_train_batch_size for p in config.phases)
        training, self._held_out = split_pairs(
            config.photos,
            count=64 * config.max_steps * largest * config.gradient_accumulation_steps,
            held_out_count=config.eval_samples,
            view=self._vision.image_size[0],
            seed=config.seed,
            permissive=config.forge.permissive,
        )
        self._training = _TokenPairs(training, self._tokenizer, self._vision.context_length)

    def dataset(self, phase: int, size: int) -> Dataset[Batch]:
        return self._training

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        images, texts, scale = model(batch["image"], batch["tokens"])
        logits = scale * images @ texts.T
        own = torch.arange(len(logits), device=logits.device)
        values = (F.cross_entropy(logits, own, reduction="none") + F.cross_entropy(logits.T, own, reduction="none")) / 2
        return {"contrastive": weighted(values, torch.ones_like(values))}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], float]:
        held_out = _TokenPairs(self._held_out, self._tokenizer, self._vision.context_length)
        (batch,) = moved([_collate(held_out[i] for i in range(self.config.eval_samples))], model)
        with torch.no_grad():
            images, texts, _ = model(batch["image"], batch["tokens"])
        figures = retrieval_metrics(images.float().cpu(), texts.float().cpu())
        return figures, figures["image_to_text_r5"]

    def picture(self, model: nn.Module, path: Path) -> None:
        """Nothing to look at: retrieval figures are in the log."""


def _language(config: TrainingConfig) -> Task:
    from training.language import LanguageTask  # brings transformers along, which the expert does not need

    return LanguageTask(config)


def _assistant(config: TrainingConfig) -> Task:
    from training.assistant_stages import AssistantTask

    return AssistantTask(config)


TASKS: dict[str, Callable[[TrainingConfig], Task]] = {
    "alignment": AlignmentTask,
    "expert": ExpertTask,
    "expert_confidence": ConfidenceTask,
    "expert_region": RegionTask,
    "language": _language,
    "assistant_alignment": _assistant,
    "assistant_instruction": _assistant,
    "assistant_mask_decoding": _assistant,
}
