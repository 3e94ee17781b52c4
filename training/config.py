"""Settings of a training run: one YAML file plus `key=value` on the command line; unknown keys are refused.

Names are those that people already type (Hugging Face's TrainingArguments). The resolved settings are saved in the
output folder beside the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from data_tools.forge.config import ForgeConfig
from fakeexplain.errors import SettingsError
from training.precision import computes_bf16


def _yaml_no(value: object) -> object:
    """YAML reads a bare `no` as false."""
    return "no" if value is False else value


class Phase(BaseModel):
    """A part of the run with crops of one size.

    Attributes:
        steps: how long, in optimiser steps; the last phase goes on to `max_steps` whatever it says.
        size: side of the crops in pixels, a multiple of 16; for dialogues, the most tokens of a sequence.
        per_device_train_batch_size: samples a process takes per forward pass.
        forge: fields of ForgeConfig that differ in this phase. A network that begins with the full mix learns content
            instead of traces (docs/experiments.md): begin with large regions and few recompressions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    size: int = Field(ge=64, multiple_of=16)
    per_device_train_batch_size: int = Field(ge=1)
    forge: dict[str, Any] = {}


class LanguageConfig(BaseModel):
    """The small language model, LLaMA's architecture at another size; names as in transformers' LlamaConfig.

    Attributes:
        hidden_size, intermediate_size, num_hidden_layers, num_attention_heads: as there; heads divide the width.
        num_key_value_heads: fewer than heads for grouped-query attention; a divisor of them.
        max_position_embeddings: longest sequence that generation may reach. rope_theta: base of the rotary embedding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_size: int = Field(default=256, ge=16)
    intermediate_size: int = Field(default=704, ge=16)
    num_hidden_layers: int = Field(default=6, ge=1)
    num_attention_heads: int = Field(default=8, ge=1)
    num_key_value_heads: int = Field(default=4, ge=1)
    max_position_embeddings: int = Field(default=2048, ge=64)
    rope_theta: float = Field(default=10000.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> LanguageConfig:
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if self.hidden_size % heads or heads % groups:
            raise ValueError(
                f"hidden_size {self.hidden_size}, num_attention_heads {heads}, num_key_value_heads {groups}: "
                "wanted each to be a multiple of the next"
            )
        return self


class DialogueConfig(BaseModel):
    """Data of the language model and of the assistant.

    Attributes:
        sources: records of this project (.jsonl), chat messages (.jsonl), LLaVA's or ShareGPT's JSON, or folders that
            Hugging Face `datasets` reads; see `training.assistant_data`.
        images: folder that pictures in list files are relative to; None for each file's own folder.
        text: plain text files, or folders of *.txt; task `language` only.
        text_share: share of the groups of samples that are plain text.
        prompt_weight: weight of a token that the assistant reads against one that it writes; task `language` only.
        share_prompts: dialogues about one picture share a sequence, in which their common lines are read once; task
            `language` only (`training.shared_prompts`).
        held_out: share of the photographs, with everything made from them, that only validation sees.
        sights: questions about map and picture that are asked of every picture, behind words in place of their tokens
            (`training.sight_dialogues`), 0 for no such words; task `language` only.
        sights_alone: nothing but such questions, each behind words of its own, without lines of evidence: short
            sequences, from which a language model learns to read such words; task `language` only.
        sight_share: share of the samples that ask such a question; tasks `assistant_*` only.
        maps: folder that `python -m training.expert_maps` wrote.
        predicted_share: share of the samples that see the expert's map, if there is one; the others see the true mask,
            drawn as an expert that is right would.
        absent_share: share of the samples that see no map at all.
        leave_out: what no sample shows, in training and in validation, to find out what it is worth: the lines of
            evidence, the map and regions, or the picture; tasks `assistant_*`.
        group: samples of neighbouring numbers that have similar lengths and are padded to the longest of them; a
            multiple of the batch. Runs with other numbers of processes see the same samples if they agree in it.
        clicks: rounds of simulated clicks per region; task `assistant_mask_decoding` only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Path, ...] = ()
    images: Path | None = None
    text: tuple[Path, ...] = ()
    text_share: float = Field(default=0.2, ge=0, le=1)
    prompt_weight: float = Field(default=0.2, ge=0, le=1)
    share_prompts: bool = False
    held_out: float = Field(default=0.05, gt=0, lt=1)
    sights: int = Field(default=0, ge=0)
    sights_alone: bool = False
    sight_share: float = Field(default=0.0, ge=0, le=1)
    maps: Path | None = None
    predicted_share: float = Field(default=0.75, ge=0, le=1)
    absent_share: float = Field(default=0.05, ge=0, le=1)
    leave_out: tuple[Literal["evidence", "map", "picture"], ...] = ()
    group: int = Field(default=16, ge=1)
    clicks: int = Field(default=2, ge=0, le=8)


class TrainingConfig(BaseModel):
    """One training run.

    Attributes:
        task: `alignment` (vision encoder, contrastively), `expert`, `expert_confidence` and `expert_region` (further
            phases, trunk frozen), `language` (the small language model), `assistant_alignment`,
            `assistant_instruction`, `assistant_mask_decoding` (the assistant's three stages).
        model: YAML of configs/model; not for task `language`, which takes `language`.
        language: sizes of the language model; task `language` only.
        data: dialogues; tasks `language` and `assistant_*`.
        language_model_path: folder or name of the language model, in place of the model file's; tasks `assistant_*`.
            Task `language` goes on from one of the same sizes.
        expert: folder of the expert's weights, whose vision tower the assistant takes over; tasks `assistant_*`.
        quantization: of the language model by bitsandbytes; tasks `assistant_*`.
        gradient_checkpointing: of the language model: less memory, a third more time; tasks `assistant_*`.
        init_from: folder or safetensors file with weights to begin with; missing and unexpected names are listed.
        tokenizer: vocabulary of a text tower that has its own (task `alignment`), or the folder of the language model's
            tokenizer (task `language`).
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
        mixed_precision: "bf16", "no", or "auto" for bf16 where the machine computes in it itself (see `autocast`).
        compile: torch.compile of the network.
        save_steps, eval_steps, logging_steps: in optimiser steps; eval_steps 0 for never.
        eval_samples: per validation set.
        early_stopping: evaluations without a better held-out score after which the run ends, 0 for never.
        resume_from_checkpoint: "latest", a folder, or null.
        report_to: "none" or "tensorboard"; log.jsonl is always written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal[
        "alignment",
        "expert",
        "expert_confidence",
        "expert_region",
        "language",
        "assistant_alignment",
        "assistant_instruction",
        "assistant_mask_decoding",
    ]
    output_dir: Path
    model: Path | None = None
    language: LanguageConfig | None = None
    language_model_path: str | None = None
    expert: Path | None = None
    quantization: Literal["8bit", "4bit"] | None = None
    gradient_checkpointing: bool = False
    data: DialogueConfig | None = None
    photos: Path | None = None
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
    mixed_precision: Annotated[Literal["auto", "bf16", "no"], BeforeValidator(_yaml_no)] = "auto"
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
        language, assistant = self.task == "language", self.task.startswith("assistant_")
        wanted = {
            "model": not language,
            "photos": not (language or assistant),
            "data": language or assistant,
            "language": language,
        }
        missing = [name for name, is_wanted in wanted.items() if is_wanted and getattr(self, name) is None]
        if missing:
            raise ValueError(f"task {self.task} needs {' and '.join(missing)}")
        if self.data is not None:
            for phase in self.phases:
                if self.data.group % phase.per_device_train_batch_size:
                    raise ValueError(
                        f"data.group {self.data.group} is no multiple of per_device_train_batch_size "
                        f"{phase.per_device_train_batch_size}"
                    )
        return self

    def autocast(self, device: str) -> bool:
        """Whether matrix products on `device` ("cpu", "cuda") are made in bfloat16."""
        return self.mixed_precision == "bf16" or (self.mixed_precision == "auto" and computes_bf16(device))

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
