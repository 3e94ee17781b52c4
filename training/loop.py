"""The one training loop: accelerate underneath, blind to the task, the same on a CPU, a GPU and several processes.

Reads like a story: set up, resume, then steps; each step is a function of its number, so N steps are N/2 + resume +
N/2, bit for bit. A run can be killed at any moment and started again with the same command.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn
from torch.utils.data import DataLoader

from fakeexplain.errors import SettingsError
from training.checkpoints import (
    AveragedWeights,
    find_checkpoint,
    load_checkpoint,
    load_weights,
    moments_to_parameters,
    save_checkpoint,
)
from training.config import TrainingConfig
from training.data import Batch, StepSampler, make_loader
from training.stages import TASKS, Task


def train(config: TrainingConfig, *, cpu: bool | None = None) -> dict[str, Any]:
    """Runs or resumes a training; returns the last state (step, best score, last losses).

    Writes into `output_dir`: training.json and model.json (resolved settings), log.jsonl, checkpoint-N/,
    best.safetensors (by the held-out score), final.safetensors, validation.png.
    """
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    precision = "bf16" if config.autocast(PartialState(cpu=bool(cpu)).device.type) else "no"
    accelerator = Accelerator(mixed_precision=precision, cpu=bool(cpu), kwargs_handlers=handlers)
    task = TASKS[config.task](config)
    if config.init_from is not None:
        missing = load_weights(config.init_from, task.model, partial=True)
        if missing and accelerator.is_main_process:
            shown = ", ".join(missing[:4])
            print(f"initial values for {len(missing)} parameters that {config.init_from} lacks: {shown} ...")
    groups = choose_parameters(task.model, config)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98))
    ema = AveragedWeights(task.model, config.ema_decay) if config.ema_decay else None
    out = config.output_dir
    checkpoint = find_checkpoint(out, config.resume_from_checkpoint)
    state: dict[str, Any] = {"step": 0, "best": None, "worse": 0}
    if checkpoint is not None:
        state = load_checkpoint(checkpoint, task.model, optimizer, ema)
    run = _Run(config, accelerator, task, optimizer, ema, state)
    if accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        (out / "training.json").write_text(config.model_dump_json(indent=1), encoding="utf-8")
        (out / "model.json").write_text(task.model_config.model_dump_json(indent=1), encoding="utf-8")
        if checkpoint is not None:
            print(f"going on from {checkpoint}")
    return run.fit()


def choose_parameters(model: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Freezes all but the parameters under the prefixes of `config.train`; optimiser groups by learning-rate scale.
    Biases, norms and other vectors are not decayed.

    Raises:
        SettingsError: a prefix matches nothing, so that a typing error does not freeze a network in silence.
    """
    names = [n for n, _ in model.named_parameters()]
    for prefix in (*config.train, *config.learning_rate_scale):
        if not any(n.startswith(prefix) for n in names):
            raise SettingsError(f"train/learning_rate_scale: no parameter begins with {prefix!r}; some are {names[:5]}")
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(config.train)) and parameter.requires_grad)
        if not parameter.requires_grad:
            continue
        scale = next((s for prefix, s in config.learning_rate_scale.items() if name.startswith(prefix)), 1.0)
        decays = parameter.ndim > 1
        group = groups.setdefault(
            (scale, decays), {"params": [], "names": [], "scale": scale, **({} if decays else {"weight_decay": 0.0})}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


class _Run:
    """The state of one run between its steps."""

    def __init__(
        self,
        config: TrainingConfig,
        accelerator: Accelerator,
        task: Task,
        optimizer: torch.optim.Optimizer,
        ema: AveragedWeights | None,
        state: dict[str, Any],
    ) -> None:
        self.config, self.accelerator, self.task, self.optimizer, self.ema = config, accelerator, task, optimizer, ema
        self.state = state
        self.weights: dict[str, float] = {**task.default_weights, **config.loss_weights}
        unknown = sorted(set(config.loss_weights) - set(task.default_weights))
        if unknown:
            raise SettingsError(f"loss_weights: no loss named {unknown}; the task has {sorted(self.weights)}")
        self.bare = task.model
        if ema is not None and accelerator.device.type != "cpu":
            ema.values = {n: v.to(accelerator.device) for n, v in ema.values.items()}
        prepared = accelerator.prepare_model(task.model)
        moments_to_parameters(optimizer)  # those of a checkpoint were read before the network was moved
        self.model: nn.Module = torch.compile(prepared) if config.compile else prepared  # type: ignore[assignment]
        self.writer = None
        if config.report_to == "tensorboard" and accelerator.is_main_process:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(config.output_dir / "tensorboard"))

    def fit(self) -> dict[str, Any]:
        config = self.config
        started, first, seen, tokens = time.monotonic(), int(self.state["step"]), 0, 0
        self.bare.train()
        summed: dict[str, torch.Tensor] = {}
        step, told = first, first
        for step, batches in self._steps(first):
            # Dropout, where a network has any, must not depend on where a run was stopped.
            torch.manual_seed(
                (config.seed * 10**9 + step) * self.accelerator.num_processes + self.accelerator.process_index
            )
            rate = config.learning_rate_at(step)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            for batch in batches:
                for name, value in self._backward(batch).items():
                    summed[name] = summed.get(name, torch.zeros(())) + value
                seen += len(next(iter(batch.values()))) * self.accelerator.num_processes
                tokens += batch["input_ids"].numel() * self.accelerator.num_processes if "input_ids" in batch else 0
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            norm = torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
            if bool(torch.isfinite(norm)):  # one broken batch must not cost the run
                self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.ema is not None:
                self.ema.update(self.bare, step)
            done = step + 1
            self.state["step"] = done
            if done % config.logging_steps == 0:
                means = {k: float(v) / (done - told) / config.gradient_accumulation_steps for k, v in summed.items()}
                told = done
                passed = time.monotonic() - started
                speeds = {"samples_per_second": round(seen / passed, 2)}
                if tokens:
                    speeds["tokens_per_second"] = round(tokens / passed, 1)
                self._log(done, means, rate, speeds, first, started)
                summed = {}
            if config.eval_steps and done % config.eval_steps == 0:
                self._evaluate(done)
            if done % config.save_steps == 0:
                self._save(done)
            if config.early_stopping and self.state["worse"] >= config.early_stopping:
                self._say(f"no better held-out score in {self.state['worse']} evaluations: stopping")
                break
        self._save(int(self.state["step"]))
        self._finish()
        return self.state

    def _steps(self, first: int) -> Iterator[tuple[int, list[Batch]]]:
        """(optimiser step, its batches on this process), phase by phase."""
        config, step = self.config, first
        while step < config.max_steps:
            number, phase, end = config.phase_at(step)
            per_step = phase.per_device_train_batch_size * config.gradient_accumulation_steps
            sampler = StepSampler(
                step,
                end,
                batch=phase.per_device_train_batch_size,
                per_step=per_step,
                rank=self.accelerator.process_index,
                world=self.accelerator.num_processes,
            )
            loader: DataLoader[Batch] = make_loader(
                self.task.dataset(number, phase.size), sampler, config.dataloader_num_workers
            )
            batches: list[Batch] = []
            for batch in loader:
                batches.append({k: v.to(self.accelerator.device) for k, v in batch.items()})
                if len(batches) == config.gradient_accumulation_steps:
                    yield step, batches
                    step, batches = step + 1, []

    def _backward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """One forward and backward pass; returns mean losses over all processes, detached."""
        with self.accelerator.autocast():
            losses = self.task.losses(self.model, batch)
        counts = self.accelerator.reduce(torch.stack([losses[k].count for k in losses]), reduction="sum")
        world = self.accelerator.num_processes
        # DDP averages gradients over the processes; dividing by the count of all of them makes that the mean of all.
        means = {k: losses[k].total * world / counts[i].clamp(min=1e-6) for i, k in enumerate(losses)}
        total = sum(self.weights[k] * v for k, v in means.items() if self.weights[k])
        self.accelerator.backward(total / self.config.gradient_accumulation_steps)
        values = torch.stack([v.detach() for v in means.values()] + [total.detach()])
        values = self.accelerator.reduce(values, reduction="mean").cpu()
        return dict(zip([*means, "loss"], values, strict=True))

    def _log(
        self,
        step: int,
        losses: dict[str, float],
        rate: float,
        speeds: dict[str, float],
        first: int,
        started: float,
    ) -> None:
        left = (time.monotonic() - started) / max(step - first, 1) * (self.config.max_steps - step)
        record = {"step": step, **{k: round(v, 5) for k, v in losses.items()}, "learning_rate": rate}
        self._write({**record, **speeds})
        parts = " ".join(f"{k} {v:.3f}" for k, v in losses.items() if k != "loss")
        line = f"step {step}/{self.config.max_steps} loss {losses['loss']:.4f} ({parts})"
        tokens = f", {speeds['tokens_per_second']:.0f} tokens/s" if "tokens_per_second" in speeds else ""
        self._say(f"{line} {speeds['samples_per_second']:.1f}/s{tokens}, {left / 60:.0f} min left", live=True)

    def _evaluate(self, step: int) -> None:
        if self.accelerator.is_main_process:
            self._swap()
            self.bare.eval()
            figures, score = self.task.evaluate(self.bare)
            self.task.picture(self.bare, self.config.output_dir / "validation.png")
            best = self.state["best"]
            better = best is None or score > best or math.isnan(best)
            self.state["worse"] = 0 if better else self.state["worse"] + 1
            if better:
                self.state["best"] = score
                self._write_weights("best.safetensors")
            self.bare.train()
            self._swap()
            self._write(
                {"step": step, "validation": {k: round(v, 4) for k, v in figures.items()}, "score": round(score, 4)}
            )
            self._say(f"step {step} validation " + " ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        if self.accelerator.num_processes > 1:
            worse = torch.tensor([float(self.state["worse"])], device=self.accelerator.device)
            self.state["worse"] = int(self.accelerator.gather(worse)[0])

    def _swap(self) -> None:
        if self.ema is not None:
            self.ema.swap(self.bare)

    def _save(self, step: int) -> None:
        if self.accelerator.is_main_process:
            state = {k: v for k, v in self.state.items() if k != "step"}
            save_checkpoint(self.config.output_dir, step, self.bare, self.optimizer, self.ema, state)
        self.accelerator.wait_for_everyone()

    def _finish(self) -> None:
        if self.accelerator.is_main_process:
            self._swap()
            self._write_weights("final.safetensors")
            self._swap()
            if self.writer is not None:
                self.writer.close()

    def _write_weights(self, name: str) -> None:
        from safetensors.torch import save_file

        path = self.config.output_dir / name
        partial = path.with_suffix(".partial")
        save_file({k: v.detach().cpu().clone().contiguous() for k, v in self.bare.state_dict().items()}, partial)
        partial.replace(path)

    def _write(self, record: dict[str, Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        with (self.config.output_dir / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self.writer is not None:
            for group in (record, record.get("validation", {})):
                for key, value in group.items():
                    if isinstance(value, float):
                        self.writer.add_scalar(key, value, record["step"])

    def _say(self, line: str, *, live: bool = False) -> None:
        if self.accelerator.is_main_process:
            over = live and sys.stdout.isatty()
            print(("\r\x1b[K" if over else "") + line, end="" if over else "\n", flush=True)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Records of log.jsonl; a torn last line is left out. After a resume, steps that were done again appear twice."""
    lines = (folder / "log.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]
