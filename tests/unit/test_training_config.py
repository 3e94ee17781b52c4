"""Settings of a training run: how precision is written and chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import config as config_module
from training.config import load_training_config

EXPERT = Path(__file__).parents[2] / "configs" / "training" / "expert.yaml"


@pytest.mark.parametrize(("written", "read"), [("no", "no"), ("'no'", "no"), ("bf16", "bf16"), ("auto", "auto")])
def test_precision_on_the_command_line(written: str, read: str) -> None:
    """YAML reads a bare `no` as false, which used to be refused."""
    config = load_training_config(EXPERT, (f"mixed_precision={written}", "photos=photos"))
    assert config.mixed_precision == read


@pytest.mark.parametrize("native", [True, False])
def test_automatic_precision_is_bf16_only_where_the_machine_computes_in_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulated, bf16 made training twice as slow as float32."""
    monkeypatch.setattr(config_module, "computes_bf16", lambda device: native)
    auto = load_training_config(EXPERT, ("photos=photos",))
    assert auto.mixed_precision == "auto"
    assert auto.autocast("cpu") is native
    assert load_training_config(EXPERT, ("photos=photos", "mixed_precision=bf16")).autocast("cpu")
    assert not load_training_config(EXPERT, ("photos=photos", "mixed_precision=no")).autocast("cpu")
