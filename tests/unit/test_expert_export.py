"""Weights of a run into a folder for the library, alone or as the mean with those it went on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fakeexplain.errors import SettingsError
from fakeexplain.models.weights import load_expert, save_expert
from tests.unit.tiny_models import expert, expert_config
from training.export import export


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.json").write_text(expert_config().model_dump_json())
    save_file(expert(1, lively=True).state_dict(), folder / "final.safetensors")
    return folder


def test_weights_of_a_run(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out")
    for name, value in expert(1, lively=True).state_dict().items():
        assert torch.allclose(load_expert(tmp_path / "out").state_dict()[name], value, atol=2e-3, rtol=2e-3), name


def test_the_mean_with_those_it_went_on_from(run: Path, tmp_path: Path) -> None:
    for seed in (2, 3):
        save_expert(expert(seed, lively=True), tmp_path / str(seed))
    export(run, tmp_path / "out", average_with=(tmp_path / "2", tmp_path / "3"))
    found = load_expert(tmp_path / "out").state_dict()
    held = [expert(seed, lively=True).state_dict() for seed in (1, 2, 3)]
    for name, value in found.items():
        assert torch.allclose(value, sum(h[name] for h in held) / 3, atol=2e-3, rtol=2e-3), name


def test_the_mean_with_another_network_is_refused(run: Path, tmp_path: Path) -> None:
    save_expert(expert(2, jpeg=0), tmp_path / "other")
    with pytest.raises(SettingsError):
        export(run, tmp_path / "out", average_with=(tmp_path / "other",))
    with pytest.raises(SettingsError, match=r"no model\.json"):
        export(tmp_path, tmp_path / "out")
