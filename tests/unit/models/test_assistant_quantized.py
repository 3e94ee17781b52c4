"""LoRA over 4- and 8-bit language models on the CPU, through bitsandbytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BitsAndBytesConfig

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_adapters import Quantization
from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig
from fakeexplain.models.assistant_sizes import linear_layers, quantised_bytes
from tests.unit.models.test_assistant_files import agree, composed, outputs
from tests.unit.models.tiny_assistant import ARCHITECTURES, answered, assistant, question

bitsandbytes = pytest.importorskip("bitsandbytes")
KINDS = {"8bit": bitsandbytes.nn.Linear8bitLt, "4bit": bitsandbytes.nn.Linear4bit}


def quantised(path: Path, config: ForgeryAssistantConfig, quantization: Quantization) -> ForgeryAssistant:
    torch.manual_seed(1)
    return ForgeryAssistant.compose(config, quantization=quantization)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_lora_trains_over_quantised_weights(quantization: Quantization, architecture: str, tmp_path: Path) -> None:
    full, processor = composed(tmp_path / "base", architecture)
    inputs = answered(processor)
    model = quantised(tmp_path, full.config, quantization)
    layers = model.language_model.model.layers
    assert isinstance(layers[0].self_attn.q_proj, KINDS[quantization])
    assert type(model.get_output_embeddings()) is torch.nn.Linear
    exact, rough = outputs(full, inputs)[0], outputs(model, inputs)[0]
    assert 0 < (exact - rough).abs().max() < 0.5

    expected = quantised_bytes(linear_layers(full.language_model), 8 if quantization == "8bit" else 4)
    held = 0
    for module in model.language_model.modules():
        if isinstance(module, KINDS[quantization]):
            weight = module.weight
            held += weight.numel() * weight.element_size()
            if quantization == "4bit":
                state = weight.quant_state
                held += state.absmax.numel() * state.absmax.element_size()
                held += 4 * state.state2.absmax.numel()
            else:
                scale = weight.SCB if weight.SCB is not None else module.state.SCB
                held += 4 * scale.numel()
    assert held == pytest.approx(expected, rel=0.02)

    model.add_lora()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(6):
        loss = model.train()(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3, losses
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    language = {n for n in moved if n.startswith("language_model.")}
    assert language == {n for n in before if "lora_" in n}

    before_evaluation = model.train()(**inputs).loss.detach()
    after = outputs(model, inputs)
    # bitsandbytes would pack 4-bit weights for evaluation on some CPUs and then train on what it takes them for.
    torch.testing.assert_close(model.train()(**inputs).loss.detach(), before_evaluation)
    written = model.generate(**question(processor), max_new_tokens=4, do_sample=False)
    assert written.shape[1] > question(processor)["input_ids"].shape[1]
    with pytest.raises(SettingsError, match="quantised"):
        model.merge_lora()
    model.save_adapter(tmp_path / "adapter")
    again = ForgeryAssistant.load_trained(tmp_path / "adapter", quantization=quantization)
    agree(outputs(again, inputs), after, 1e-4)
    whole = ForgeryAssistant.load_trained(tmp_path / "adapter")
    apart = outputs(whole, inputs)
    whole.merge_lora()
    agree(outputs(whole, inputs), apart, 1e-4)


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_whole_assistant_is_quantised_as_transformers_does_it(quantization: str, tmp_path: Path) -> None:
    model, processor = assistant()
    model.save_pretrained(tmp_path)
    bits = BitsAndBytesConfig(**{f"load_in_{quantization}": True})
    again = ForgeryAssistant.from_pretrained(tmp_path, quantization_config=bits, device_map={"": "cpu"})
    kinds = {name: type(module) for name, module in again.named_modules()}
    changed = {name for name, kind in kinds.items() if kind is KINDS[quantization]}
    assert changed
    assert all(name.startswith("language_model.") for name in changed)
    inputs = answered(processor)
    rough, exact = outputs(again, inputs)[0], outputs(model, inputs)[0]
    assert 0 < (rough - exact).abs().max() < 0.5
    again.add_lora()
    again.train()(**inputs).loss.backward()
    lora = [p for n, p in again.named_parameters() if "lora_B" in n]
    assert lora
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in lora)


def test_quantised_weights_have_to_come_from_somewhere() -> None:
    config = assistant()[0].config
    with pytest.raises(SettingsError, match="language_model_path"):
        ForgeryAssistant.compose(config, quantization="4bit")
