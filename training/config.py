"""Settings of a training run: one YAML file plus `key=value` on the command line; unknown keys are refused.

Names are those that people already type (Hugging Face's TrainingArguments). The resolved settings are saved in the
output folder beside the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_tools.forge.config import ForgeConfig
from fakeexplain.errors import SettingsError


class Phase(BaseModel):
    """A part of the run with crops of one size.

    Attributes:
        steps: how long, in optimiser steps; the last phase goes on to `max_steps` whatever it says.
        size: side of the crops in pixels, a multiple of 16.
        per_device_train_batch_size: samples a process takes per forward pass.
        forge: fields of ForgeConfig that differ in this phase. A network that begins with the full mix learns content
            instead of traces (docs/experiments.md): begin with large regions and few recompressions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    size: int = Field(ge=64, multiple_of=16)
    per_device_train_batch_size: int = Field(ge=1)
    forge: dict[str, Any] = {}


class TrainingConfig(BaseModel):
    """One training run.

    Attributes:
        task: `alignment` (vision encoder, contrastively), `expert`, `expert_confidence` (second phase, trunk frozen).
        model: YAML of configs/model.
        init_from: folder or safetensors file with weights to begin with; missing and unexpected names are listed.
        tokenizer: vocabulary of a text tower that has its own; task `alignment` only.
        photos: folder of authentic photographs for the forge.
        forge: settings of the forge; `split` is set to "training" for training and "validation" for validation.
        held_out_operation, held_out_finish: never trained on; validation on them decides which weights are the best.
        drop_table: share of JPEG samples whose header is withheld, so that PNG copies are learned too.
        views: times that each forged picture is shown, mirrored or turned after the first time.
        phases: sizes of crops, in order.
        max_steps: optimiser steps in all.
        learning_rate, warmup_steps, decay_steps: linear warm-up, constant, linear decay to 0 over the last
            `decay_steps`; a longer `max_steps` continues a run that has not begun to decay.
        learning_rate_scale: factor per prefix of parameter names.
        train: prefixes of the parameters that train; all others stay bit-equal.
        loss_weights: factor per loss of the task; a loss that is not named has 1, 0 leaves it out.
        gradient_accumulation_steps, weight_decay, max_grad_norm, ema_decay: as usual; ema_decay 0 for none.
        mixed_precision: "bf16" or "no". compile: torch.compile of the network.
        save_steps, eval_steps, logging_steps: in optimiser steps; eval_steps 0 for never.
        eval_samples: per validation set.
        early_stopping: evaluations without a better held-out score after which the run ends, 0 for never.
        resume_from_checkpoint: "latest", a folder, or null.
        report_to: "none" or "tensorboard"; log.jsonl is always written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["alignment", "expert", "expert_confidence"]
    model: Path
    output_dir: Path
    photos: Path
    init_from: Path | None = None
    tokenizer: Path | None = None
    forge: ForgeConfig = ForgeConfig()
    held_out_operation: str = "denoise"
    held_out_finish: str = "webp"
    drop_table: float = Field(default=0.2, ge=0, le=1)
    views: int = Field(default=1, ge=1, le=8)
    phases: tuple[Phase, ...] = (Phase(steps=1, size=256, per_device_train_batch_size=24),)
    max_steps: int = Field(ge=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    warmup_steps: int = Field(default=200, ge=0)
    decay_steps: int = Field(default=0, ge=0)
    learning_rate_scale: dict[str, float] = {}
    train: tuple[str, ...] = ("",)
    loss_weights: dict[str, float] = {}
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    weight_decay: float = Field(default=0.02, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    mixed_precision: Literal["bf16", "no"] = "bf16"
    compile: bool = False
    seed: int = Field(default=0, ge=0)
    save_steps: int = Field(default=500, ge=1)
    eval_steps: int = Field(default=500, ge=0)
    logging_steps: int = Field(default=20, ge=1)
    eval_samples: int = Field(default=128, ge=8)
    early_stopping: int = Field(default=0, ge=0)
    dataloader_num_workers: int = Field(default=1, ge=0)
    resume_from_checkpoint: str | None = "latest"
    report_to: Literal["none", "tensorboard"] = "none"

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        if self.decay_steps + self.warmup_steps > self.max_steps:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} and decay_steps {self.decay_steps} exceed max_steps {self.max_steps}"
            )
        if not self.phases:
            raise ValueError("phases: wanted at least one")
        for phase in self.phases:
            self.forge_of(phase)
        return self

    def learning_rate_at(self, step: int) -> float:
        """The rate of optimiser step `step` (from 0), before `learning_rate_scale`."""
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        left = self.max_steps - step
        fall = min(1.0, left / self.decay_steps) if self.decay_steps else 1.0
        return self.learning_rate * min(rise, fall)

    def forge_of(self, phase: Phase) -> ForgeConfig:
        """The forge's settings in a phase."""
        return ForgeConfig.model_validate({**self.forge.model_dump(), **phase.forge})

    def phase_at(self, step: int) -> tuple[int, Phase, int]:
        """(number of the phase, phase, first step after it) for an optimiser step."""
        end = 0
        for number, phase in enumerate(self.phases):
            end += phase.steps
            if step < end and number + 1 < len(self.phases):
                return number, phase, min(end, self.max_steps)
        return len(self.phases) - 1, self.phases[-1], self.max_steps


def _override(content: dict[str, Any], assignment: str) -> None:
    key, separator, value = assignment.partition("=")
    if not separator or not key:
        raise SettingsError(f"{assignment!r}: wanted key=value, say max_steps=1000 or forge.authentic_share=0.5")
    place = content
    *parents, last = key.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise SettingsError(f"{assignment!r}: {parent} is not a group of settings")
    place[last] = yaml.safe_load(value)


def load_training_config(path: Path, overrides: tuple[str, ...] = ()) -> TrainingConfig:
    """A config from YAML with `key=value` overrides (dots reach into groups, values are YAML).

    Raises:
        SettingsError: unreadable, or with every wrong key listed at once.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a file of configs/training/") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML ({error})") from None
    for assignment in overrides:
        _override(content, assignment)
    try:
        return TrainingConfig.model_validate(content)
    except ValidationError as error:
        problems = "\n  ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{path}:\n  {problems}") from None
