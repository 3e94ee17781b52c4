"""The assistant on disk: whole, as adapters, merged; strict loads, peft and the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_adapters import OWN_PARTS
from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig
from fakeexplain.models.assistant_loading import load_assistant
from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor
from tests.unit.models.tiny_assistant import (
    ARCHITECTURES,
    answered,
    assistant,
    base_folder,
    question,
    settings,
)


def composed(
    folder: Path, architecture: str = "llama", **changes: Any
) -> tuple[ForgeryAssistant, ForgeryAssistantProcessor]:
    """An assistant over a language model in a folder."""
    if not (folder / "config.json").is_file():
        base_folder(folder, architecture)
    config = ForgeryAssistantConfig.from_parts(
        AutoConfig.from_pretrained(folder), settings(**changes), language_model_path=str(folder)
    )
    processor = ForgeryAssistantProcessor.for_model(config, AutoTokenizer.from_pretrained(folder))
    torch.manual_seed(1)
    return ForgeryAssistant.compose(config), processor


def stir(model: torch.nn.Module) -> None:
    """Makes everything that trains differ from where it began."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


@torch.no_grad()
def outputs(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    output = model.eval()(**inputs)
    return output.logits, output.seg_logits


def agree(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], tolerance: float = 0.0) -> None:
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_whole_assistant_comes_back(architecture: str, tmp_path: Path) -> None:
    model, processor = assistant(architecture)
    inputs = answered(processor)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.stat().st_size > 50_000) == [".safetensors"]
    ways = (
        ForgeryAssistant.from_pretrained(tmp_path),
        AutoModel.from_pretrained(tmp_path),
        load_assistant(tmp_path)[0],
    )
    for again in ways:
        assert isinstance(again, ForgeryAssistant)
        assert again.config.settings == model.config.settings
        assert again.config.mark_ids == model.config.mark_ids
        assert again.config.text_config.model_type == architecture
        assert again.generation_config.eos_token_id == 2
        agree(outputs(again, inputs), outputs(model, inputs), 1e-6)
    reader = ForgeryAssistantProcessor.from_pretrained(tmp_path)
    same = answered(reader)
    assert {n: v.tolist() for n, v in same.items()} == {n: v.tolist() for n, v in inputs.items()}
    written = again.generate(**question(reader), max_new_tokens=4, do_sample=False)
    assert written.tolist() == model.generate(**question(processor), max_new_tokens=4, do_sample=False).tolist()


def test_stored_in_half_precision_and_computed_in_full(tmp_path: Path) -> None:
    model, processor = assistant()
    inputs = answered(processor)
    before = outputs(model, inputs)
    model.half().save_pretrained(tmp_path)
    again = ForgeryAssistant.from_pretrained(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    agree(outputs(again, inputs), before, 2e-2)
    half = ForgeryAssistant.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.mask_decoder.parameters()} == {torch.float32}
    assert half.language_model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert outputs(half, inputs)[1].isfinite().all()


def test_loads_are_strict_and_name_what_is_wrong(tmp_path: Path) -> None:
    model, _ = assistant()
    model.save_pretrained(tmp_path)
    whole = load_file(tmp_path / "model.safetensors")

    def broken(values: dict[str, Tensor]) -> None:
        save_file(values, tmp_path / "model.safetensors", metadata={"format": "pt"})

    name = "projector.linear_out.weight"
    broken({n: v for n, v in whole.items() if n != name})
    with pytest.raises(SettingsError, match=f"missing {name}"):
        ForgeryAssistant.from_pretrained(tmp_path)
    broken({**whole, "projector.more": torch.zeros(2)})
    with pytest.raises(SettingsError, match=r"unexpected projector\.more"):
        ForgeryAssistant.from_pretrained(tmp_path)
    broken({**whole, name: torch.zeros(2, 2)})
    with pytest.raises(SettingsError, match=r"linear_out\.weight is \(2, 2\), wanted \(64, 64\)"):
        ForgeryAssistant.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(whole, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        ForgeryAssistant.from_pretrained(tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapters_alone_merged_and_as_peft_reads_them(architecture: str, tmp_path: Path) -> None:
    base, adapter, merged = tmp_path / "base", tmp_path / "adapter", tmp_path / "merged"
    model, processor = composed(base, architecture)
    inputs = answered(processor)
    before = outputs(model, inputs)
    frozen = {n: p.clone() for n, p in model.language_model.named_parameters()}
    model.add_lora()
    agree(outputs(model, inputs), before)  # LoRA starts at zero
    trainable = {n for n, p in model.language_model.named_parameters() if p.requires_grad}
    assert trainable
    assert all("lora_" in n for n in trainable)
    with pytest.raises(SettingsError, match="already"):
        model.add_lora()
    stir(model)
    after = outputs(model, inputs)
    assert (after[0] - before[0]).abs().max() > 1e-2
    with pytest.raises(SettingsError, match="merge_lora"):
        model.save_pretrained(merged)

    model.save_adapter(adapter)
    stored = {n for f in adapter.rglob("*.safetensors") for n in load_file(f)}
    assert not any(n.startswith("language_model") for n in stored)
    assert {n.split(".")[0] for n in load_file(adapter / "parts.safetensors")} == set(OWN_PARTS)
    agree(outputs(ForgeryAssistant.load_trained(adapter), inputs), after)
    processor.save_pretrained(adapter)
    agree(outputs(load_assistant(adapter)[0], inputs), after)
    moved = base.rename(tmp_path / "moved")
    agree(outputs(ForgeryAssistant.load_trained(adapter, language_model_path=str(moved)), inputs), after)

    # Anybody's tools read the adapters of the language model alone.
    text = torch.arange(20, 40)[None]
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(moved), adapter / "lora").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(text).logits, model.language_model(text).logits)

    model.merge_lora()
    assert not model.has_lora
    agree(outputs(model, inputs), after, 1e-4)
    changed = {n for n, p in model.language_model.named_parameters() if not torch.equal(p, frozen[n])}
    assert {n.split(".")[-2] for n in changed} == {"q_proj", "v_proj", "down_proj"}
    model.save_pretrained(merged)
    agree(outputs(ForgeryAssistant.from_pretrained(merged), inputs), outputs(model, inputs), 1e-6)


def test_training_moves_only_what_it_may(tmp_path: Path) -> None:
    """The language model and its embedding stay bit-equal; the row of `<SEG>` and LoRA move."""
    model, processor = composed(tmp_path / "base")
    model.add_lora()
    before = {n: p.clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # LoRA's first factor moves once the second is not zero
        model.train()(**answered(processor)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {"added_rows.input", "added_rows.output"} <= moved
    language = {n for n in moved if n.startswith("language_model.")}
    lora = {n for n in before if "lora_" in n}
    assert language == lora


def test_adapters_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model, _ = composed(tmp_path / "base")
    model.add_lora()
    model.save_adapter(tmp_path / "adapter")
    parts = tmp_path / "adapter" / "parts.safetensors"
    values = load_file(parts)
    save_file({n: v for n, v in values.items() if n != "added_rows.input"}, parts)
    with pytest.raises(SettingsError, match=r"missing added_rows\.input"):
        ForgeryAssistant.load_trained(tmp_path / "adapter")
    save_file(values, parts)
    lora = tmp_path / "adapter" / "lora" / "adapter_model.safetensors"
    some = load_file(lora)
    first = sorted(some)[0]
    save_file({n: v for n, v in some.items() if n != first}, lora)
    with pytest.raises(SettingsError, match=r"missing .*lora_A"):
        ForgeryAssistant.load_trained(tmp_path / "adapter")
    for read in (ForgeryAssistant.load_trained, load_assistant):
        with pytest.raises(SettingsError, match="no config"):
            read(tmp_path)
    base_folder(tmp_path / "other", "qwen2")
    save_file(some, lora)
    with pytest.raises(SettingsError, match="model_type is qwen2"):
        ForgeryAssistant.load_trained(tmp_path / "adapter", language_model_path=str(tmp_path / "other"))
    whole, _ = assistant()
    with pytest.raises(SettingsError, match="language_model_path"):
        whole.save_adapter(tmp_path / "none")
    odd, _ = assistant(lora_targets=("nothing",))
    with pytest.raises(SettingsError, match="nothing"):
        odd.add_lora()


def test_a_language_model_without_some_weights_is_refused(tmp_path: Path) -> None:
    composed(tmp_path / "base")
    weights = tmp_path / "base" / "model.safetensors"
    values = load_file(weights)
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({n: v for n, v in values.items() if n != name}, weights, metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=f"missing {name}"):
        composed(tmp_path / "base")


def test_a_composed_assistant_starts_at_the_mean_of_the_rows(tmp_path: Path) -> None:
    model, _ = composed(tmp_path / "base")
    torch.testing.assert_close(model.added_rows.input, model.get_input_embeddings().weight.mean(0))  # type: ignore[union-attr, operator]
    other, _ = assistant(seed=5)
    model.take_tower(other.vision_encoder)
    name = "conv1.weight"
    state = model.vision_encoder.clip.visual.state_dict()
    assert torch.equal(state[name], other.vision_encoder.clip.visual.state_dict()[name])
    other.vision_encoder.clip.visual.proj = None
    with pytest.raises(SettingsError, match="missing proj"):
        model.take_tower(other.vision_encoder)


def test_peft_wraps_a_whole_assistant(tmp_path: Path) -> None:
    """As anybody would who knows peft and not us."""
    model, processor = assistant()
    inputs = answered(processor)
    lora = LoraConfig(
        r=2, target_modules=r"language_model\..*\.q_proj", modules_to_save=["projector"], task_type="CAUSAL_LM"
    )
    wrapped = get_peft_model(model, lora)
    stir(wrapped)
    after = outputs(wrapped, inputs)
    wrapped.save_pretrained(tmp_path)
    fresh, _ = assistant()
    agree(outputs(PeftModel.from_pretrained(fresh, tmp_path), inputs), after, 1e-6)
    merged = wrapped.merge_and_unload()
    assert isinstance(merged, ForgeryAssistant)
    agree(outputs(merged, inputs), after, 1e-4)


def test_push_to_hub_carries_our_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' own way, with a hub that only notes what it is given."""
    from transformers.utils import hub

    sent: dict[str, str] = {}

    class Hub:
        def create_repo(self, repo_id: str, **_: Any) -> Any:
            return type("Repo", (), {"repo_id": repo_id})()

    class Card:
        def save(self, path: str) -> None:
            Path(path).write_text("empty", encoding="utf-8")

    def upload(self: Any, working_dir: str, repo_id: str, *args: Any, **kwargs: Any) -> None:
        sent.update({p.name: str(p.stat().st_size) for p in Path(working_dir).iterdir()})
        sent["card"] = (Path(working_dir) / "README.md").read_text("utf-8")

    monkeypatch.setattr(hub, "hf_api", Hub)
    monkeypatch.setattr(hub, "create_and_tag_model_card", lambda *a, **k: Card())
    monkeypatch.setattr(hub.PushToHubMixin, "_upload_modified_files", upload)
    model, _ = assistant()
    model.push_to_hub("somebody/assistant")
    assert {"config.json", "model.safetensors", "generation_config.json"} <= set(sent)
    assert "# Forgery assistant" in sent["card"]


def test_the_card_says_what_is_inside(tmp_path: Path) -> None:
    model, _ = composed(tmp_path / "base")
    model.add_lora()
    model.save_adapter(tmp_path / "adapter")
    card = (tmp_path / "adapter" / "README.md").read_text("utf-8")
    assert "rank 4, alpha 16, on q_proj, v_proj, down_proj" in card
    assert "load_assistant" in card
    count = sum(p.numel() for p in model.mask_decoder.parameters())
    assert f"| mask_decoder | {count:,} |" in card
    model.merge_lora()
    model.save_pretrained(tmp_path / "whole")
    card = (tmp_path / "whole" / "README.md").read_text("utf-8")
    assert "merged, or none" in card
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["architectures"] == ["ForgeryAssistant"]
