"""A whole assistant taken apart and built again says what it said; what cannot be taken apart is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig
from fakeexplain.models.assistant_loading import load_assistant
from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor
from fakeexplain.models.assistant_tokenizer import train_tokenizer
from tests.pictures import photograph
from tests.unit.models.tiny_assistant import TEXTS, settings, text_config
from training.assistant_stages import build
from training.checkpoints import load_weights
from training.config import TrainingConfig
from training.unpack import PARTS, unpack


def _assistant(folder: Path) -> Path:
    tokenizer = train_tokenizer(TEXTS, 380, context=512)
    config = ForgeryAssistantConfig.from_parts(text_config("llama", len(tokenizer)), settings())
    ForgeryAssistantProcessor.for_model(config, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    model = ForgeryAssistant(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    return folder


def test_taken_apart_and_built_again_it_says_the_same(tmp_path: Path) -> None:
    whole, processor = load_assistant(_assistant(tmp_path / "whole"))
    count = unpack(tmp_path / "whole", tmp_path / "base")
    assert count == sum(p.numel() for p in whole.language_model.parameters())
    names = load_file(tmp_path / "base" / PARTS).keys()
    assert not any(n.startswith("language_model.") for n in names)
    model_file = tmp_path / "model.yaml"
    assistant = settings().model_dump(mode="json")
    model_file.write_text(yaml.safe_dump({"language_model": {"path": "somewhere"}, "assistant": assistant}))
    config = TrainingConfig.model_validate(
        {
            "task": "assistant_instruction",
            "model": str(model_file),
            "language_model_path": str(tmp_path / "base"),
            "output_dir": str(tmp_path / "run"),
            "data": {"sources": [str(tmp_path / "none.jsonl")]},
            "train": ["projector"],
            "phases": [{"steps": 1, "size": 512, "per_device_train_batch_size": 1}],
            "max_steps": 1,
            "warmup_steps": 0,
            "mixed_precision": "no",
        }
    )
    again, _ = build(config)
    load_weights(tmp_path / "base" / PARTS, again, partial=True)
    inputs = processor([{"role": "user", "content": "<image>\n<mask>\nWhere?"}], image=photograph("coffee"))
    with torch.no_grad():
        said, expected = (m.eval()(**inputs).logits for m in (again, whole))
    width = min(said.shape[-1], expected.shape[-1])
    assert torch.allclose(said[..., :width], expected[..., :width], atol=1e-4)


def test_what_cannot_be_taken_apart_is_told(tmp_path: Path) -> None:
    folder = _assistant(tmp_path / "whole")
    with pytest.raises(SettingsError, match="own folder"):
        unpack(folder, folder)
    with pytest.raises(SettingsError, match=r"config\.json"):
        unpack(tmp_path / "none", tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "parts.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError, match="merge first"):
        unpack(tmp_path / "adapter", tmp_path / "base")
