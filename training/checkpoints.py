"""Checkpoints of a run: safetensors and JSON only, written beside the old one and renamed, so that a kill at any moment
leaves a whole one.

`checkpoint-N/` holds model.safetensors (weights as they are), ema.safetensors (averaged weights, if any),
optimizer.safetensors (Adam's moments) and state.json. Random numbers need no saving: what a step does depends on its
number alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fakeexplain.errors import OutputError, SettingsError
from fakeexplain.models.weights import misfits

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)$")


class AveragedWeights:
    """Exponential moving average of the trained parameters; what does not train is not averaged."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """`step` from 0; early steps average over fewer."""
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        current: list[Tensor] = [p for n, p in model.named_parameters() if n in self.values]
        torch._foreach_lerp_(list(self.values.values()), current, weight)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchanges averaged and current weights; a second call exchanges them back."""
        for name, parameter in model.named_parameters():
            if name in self.values:
                kept = parameter.detach().clone()
                parameter.copy_(self.values[name])
                self.values[name].copy_(kept)


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: AveragedWeights | None,
    state: dict[str, Any],
) -> Path:
    """Writes checkpoint-`step` and removes all but the latest `KEPT`.

    Raises:
        OutputError: the folder cannot be written.
    """
    target, partial = folder / f"checkpoint-{step}", folder / f".partial-{step}-{os.getpid()}"
    moments: dict[str, Tensor] = {}
    trained = [name for group in optimizer.param_groups for name in group["names"]]
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            for key, value in optimizer.state.get(parameter, {}).items():
                moments[f"{name}|{key}"] = torch.as_tensor(value).detach().clone().contiguous()
    try:
        partial.mkdir(parents=True, exist_ok=True)
        save_file(_plain(model.state_dict()), partial / "model.safetensors")
        save_file(moments, partial / "optimizer.safetensors")
        if ema is not None:
            save_file(_plain(ema.values), partial / "ema.safetensors")
        (partial / "state.json").write_text(
            json.dumps({"step": step, **state, "trained": trained}, indent=1), encoding="utf-8"
        )
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); free some disk space") from None
    for old in list_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    found = [p for p in folder.glob("checkpoint-*") if _NAME.search(p.name) and (p / "state.json").is_file()]
    return sorted(found, key=lambda p: int(_NAME.search(p.name).group(1)))  # type: ignore[union-attr]


def find_checkpoint(folder: Path, wanted: str | None) -> Path | None:
    """The checkpoint to go on from: None, "latest" of `folder` (None when there is none), or a path.

    Raises:
        SettingsError: the named path is no checkpoint.
    """
    if wanted is None:
        return None
    if wanted == "latest":
        found = list_checkpoints(folder)
        return found[-1] if found else None
    path = Path(wanted)
    if not (path / "state.json").is_file():
        raise SettingsError(f"resume_from_checkpoint={wanted}: no state.json there; wanted a checkpoint-N folder")
    return path


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: AveragedWeights | None
) -> dict[str, Any]:
    """Restores everything; returns state.json.

    Raises:
        SettingsError: other weights, other trained parameters, or averaged weights there and not here.
    """
    load_weights(path / "model.safetensors", model)
    state: dict[str, Any] = json.loads((path / "state.json").read_text("utf-8"))
    averages = path / "ema.safetensors"
    values = load_file(averages) if averages.is_file() else {}
    trained = {name for group in optimizer.param_groups for name in group["names"]}
    # Checkpoints of before kept no names beside the averages.
    if set(state.pop("trained", values or trained)) != trained or bool(values) != (ema is not None):
        raise SettingsError(
            f"{path}: other parameters were trained there; give the same `train`, `ema_decay` and model"
        )
    moments = load_file(path / "optimizer.safetensors")
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            keys = [k for k in moments if k.rpartition("|")[0] == name]
            optimizer.state[parameter] = {k.rpartition("|")[2]: moments[k].clone() for k in keys}
    if ema is not None:
        for name, value in values.items():
            ema.values[name].copy_(value)
    return state


def moments_to_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Moves what the optimiser remembers to where its parameters are by now; its step counts stay where they are."""
    for parameter, held in optimizer.state.items():
        for name, value in held.items():
            if name != "step" and isinstance(value, Tensor):
                held[name] = value.to(parameter.device)


def load_weights(path: Path, model: nn.Module, *, partial: bool = False) -> list[str]:
    """Weights from a safetensors file (or the model.safetensors of a folder); returns the names that were missing.

    Args:
        partial: a part of the network (by the first name) that the file does not have at all keeps its initial values,
            and so does a residual block that starts as the identity, so that a trained network can be made deeper; any
            other part that it has must be whole.

    Raises:
        SettingsError: anything else is missing, unexpected or of another shape; all of it in one message.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise SettingsError(f"{path}: no such weights; wanted a safetensors file or a folder with model.safetensors")
    values = load_file(path)
    own = model.state_dict()
    missing = [n for n in own if n not in values]
    parts = {n.split(".")[0] for n in values}
    identities = (f"{n}." for n, module in model.named_modules() if getattr(module, "starts_as_identity", False))
    added = tuple(block for block in identities if not any(n.startswith(block) for n in values))
    optional = [n for n in missing if partial and (n.split(".")[0] not in parts or n.startswith(added))]
    if problems := misfits(own, values, may_miss=optional):
        raise SettingsError(f"{path} does not fit this model:\n  " + "\n  ".join(problems))
    model.load_state_dict({**own, **values})
    return missing
