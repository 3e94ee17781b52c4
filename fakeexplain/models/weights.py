"""Weights on disk: a folder with config.json and model.safetensors; loads are strict and list what is missing.

Weights are stored as float16 and computed with as float32. No pickles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fakeexplain.errors import SettingsError
from fakeexplain.models.configuration import ExpertConfig
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert


def save_expert(model: ForgeryLocalizationExpert, folder: Path) -> str:
    """Writes config.json and model.safetensors (float16); returns the sha256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(model.config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    halves = {n: v.detach().cpu().half().clone().contiguous() for n, v in model.state_dict().items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    return weights_sha256(folder)


def weights_sha256(folder: Path) -> str:
    """Hex digest over configuration and weights: what an examination names as the version of the network."""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def misfits(own: dict[str, Tensor], values: dict[str, Tensor], *, may_miss: Collection[str] = ()) -> list[str]:
    """What keeps `values` from being loaded as `own`, a line each: missing, unexpected, of another shape.

    Args:
        may_miss: names that `values` may lack.
    """
    problems = [f"missing {n}" for n in own if n not in values and n not in may_miss]
    problems += [f"unexpected {n}" for n in values if n not in own]
    return problems + [
        f"{n} is {tuple(v.shape)}, wanted {tuple(own[n].shape)}"
        for n, v in values.items()
        if n in own and v.shape != own[n].shape
    ]


def load_expert(folder: Path) -> ForgeryLocalizationExpert:
    """The network of a folder, in evaluation mode, float32, on the CPU.

    Raises:
        SettingsError: files are missing or broken, or weights and configuration do not fit; every name is listed.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise SettingsError(f"{folder}: no {name} there; wanted a folder with config.json and model.safetensors")
    try:
        config = ExpertConfig.model_validate_json((folder / "config.json").read_text("utf-8"))
        values = load_file(folder / "model.safetensors")
    except (ValidationError, json.JSONDecodeError, SafetensorError, OSError) as error:
        raise SettingsError(f"{folder}: cannot be loaded ({error})") from None
    # Towers that came with weights of their own are in the file like everything else.
    generator_state = torch.get_rng_state()
    model = ForgeryLocalizationExpert(config, load_weights=False)
    torch.set_rng_state(generator_state)  # building draws random values; a library must not move the caller's
    own = model.state_dict()
    if problems := misfits(own, values):
        raise SettingsError(f"{folder}: weights do not fit config.json:\n  " + "\n  ".join(problems))
    model.load_state_dict({n: v.to(own[n].dtype) for n, v in values.items()}, strict=True)
    return model.eval()
