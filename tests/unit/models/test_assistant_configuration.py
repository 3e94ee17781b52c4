"""Configurations of the assistant: the files of configs/model, refused keys, sizes without weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_configuration import (
    MARKS,
    AssistantSettings,
    ForgeryAssistantConfig,
    load_assistant_config,
)
from fakeexplain.models.assistant_sizes import sizes, table
from fakeexplain.models.configuration import load_config
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.layers import count_parameters
from tests.unit.models.tiny_assistant import assistant, base_folder, parts, settings

CONFIGS = Path(__file__).parents[3] / "configs" / "model"


def written(tmp_path: Path, **changes: object) -> Path:
    content = yaml.safe_load((CONFIGS / "assistant_default.yaml").read_text("utf-8"))
    content["assistant"]["vision"]["custom"] = str(CONFIGS / "open_clip" / "tiny.json")
    for key, value in changes.items():
        group, _, name = key.partition("__")
        content[group] = {**content[group], name: value} if name else value
    path = tmp_path / "assistant.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_configuration_comes_back(tmp_path: Path) -> None:
    config = load_assistant_config(CONFIGS / "assistant_default.yaml")
    config.save_pretrained(tmp_path)
    again = ForgeryAssistantConfig.from_pretrained(tmp_path)
    assert again.settings == config.settings
    assert again.text_config.to_dict() == config.text_config.to_dict()
    assert isinstance(again.settings.vision.custom, dict)  # a path would not travel
    assert again.mark_ids == {m: 5000 + i for i, m in enumerate(MARKS)}
    assert again.settings.vision_tokens == 16
    assert again.settings.mask_tokens == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"assistant__lora_rank": 4}, "lora_rank"),
        ({"assistant__grid": 20}, "grid"),
        ({"assistant__mask_encoder": {"width": 32, "heads": 3}}, "do not divide width"),
        ({"assistant__mask_decoder": {"width": 24, "heads": 8}}, "do not divide half"),
        ({"language_model": {"config": {"model_type": "llama", "hidden": 3}}}, "has no hidden"),
        ({"language_model": {"config": {"model_type": "nobody"}}}, "nobody"),
        ({"language_model": {"config": {"hidden_size": 3}}}, "model_type"),
        ({"language_model": {"config": {"model_type": "llama"}, "path": "x"}}, "exactly one"),
        ({"language_model": {"path": "/nowhere/at/all"}}, "language_model"),
        ({"more": {}}, "exactly the keys"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_assistant_config(written(tmp_path, **changes))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_assistant_config(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(SettingsError, match="not YAML"):
        load_assistant_config(tmp_path / "odd.yaml")
    with pytest.raises(SettingsError, match="no `assistant` settings"):
        _ = ForgeryAssistantConfig().settings


def test_a_language_model_by_its_path(tmp_path: Path) -> None:
    base = base_folder(tmp_path / "base", "qwen2")
    config = load_assistant_config(written(tmp_path), language_model_path=str(base))
    assert config.text_config.model_type == "qwen2"
    assert config.language_model_path == str(base)


def test_nothing_depends_on_a_name() -> None:
    """The same settings give the same network, whatever folder the language model lies in."""
    config, _ = parts()
    shapes = []
    for path in ("llava-sam-qwen-8bit", None):
        config.language_model_path = path
        with torch.device("meta"):
            model = ForgeryAssistant(config)
        shapes.append({n: tuple(p.shape) for n, p in model.named_parameters()})
    assert shapes[0] == shapes[1]


def test_settings_refuse_unknown_keys_everywhere() -> None:
    values = settings().model_dump(mode="json")
    assert AssistantSettings.model_validate(values) == settings()
    with pytest.raises(SettingsError, match="extra"):
        ForgeryAssistantConfig(assistant={**values, "extra": 1})


def test_sizes_are_those_of_the_parts() -> None:
    model, _ = assistant()
    rows = {row.name: row for row in sizes(model.config)}
    language = count_parameters(model.language_model)
    assert rows["language model (llama)"].parameters == language
    assert rows["language model (llama)"].bf16 == 2 * language
    assert rows["mask_decoder"].bf16 == 4 * count_parameters(model.mask_decoder)
    assert rows["mask_decoder"].trained == count_parameters(model.mask_decoder)
    model.add_lora()
    trained = sum(p.numel() for n, p in model.named_parameters() if "lora_" in n)
    assert rows["LoRA, rank 4"].trained == trained == rows["LoRA, rank 4"].parameters
    text = table(list(rows.values()))
    assert f"| {sum(r.parameters for r in rows.values()) / 1e6:,.3f} |" in text


def test_the_default_fits_into_40_megabytes() -> None:
    rows = sizes(load_assistant_config(CONFIGS / "assistant_default.yaml"))
    merged = sum(row.parameters for row in rows if not row.name.startswith("LoRA"))
    expert = count_parameters(ForgeryLocalizationExpert(load_config(CONFIGS / "tiny.yaml")))
    assert 2 * (merged + expert) < 38e6
    channels = load_config(CONFIGS / "tiny.yaml").trace.channels[1]
    assert load_assistant_config(CONFIGS / "assistant_default.yaml").settings.trace_channels == channels


@pytest.mark.parametrize(
    ("name", "billions", "vision"), [("assistant_llama7b", 6.738, 303.5e6), ("assistant_qwen7b", 7.616, 303.5e6)]
)
def test_the_real_sizes_are_counted_without_weights(name: str, billions: float, vision: float) -> None:
    """Parameters as published: LLaMA-2 7B 6.738, Qwen2.5 7B 7.616 billion; CLIP ViT-L/14's image half; SAM ViT-H."""
    rows = {row.name.split(" (")[0]: row for row in sizes(load_assistant_config(CONFIGS / f"{name}.yaml"))}
    language = rows["language model"]
    assert language.parameters / 1e9 == pytest.approx(billions, abs=0.001)
    assert rows["vision_encoder"].parameters == pytest.approx(vision, rel=0.005)
    assert rows["SAM vit_h"].parameters == pytest.approx(641e6, rel=0.001)
    assert language.bf16 > 1.7 * language.int8
    assert language.int8 > 1.5 * language.nf4
    assert rows["LoRA, rank 16"].trained < 0.01 * language.parameters
