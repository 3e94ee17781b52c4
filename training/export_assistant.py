"""Takes trained weights into folders that transformers and the library load.

    python -m training.export_assistant --run runs/language --out runs/language_model
    python -m training.export_assistant --run runs/assistant_mask_decoding --out fakeexplain/weights/assistant

A run of task `language` becomes a language model with its tokenizer; a run of a later stage becomes a whole assistant
with LoRA merged, in float16, or with --adapter-only what was trained and no more. Written beside are the processor and
a model card.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import ValidationError
from safetensors.torch import load_file

from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.models.weights import misfits
from training.checkpoints import load_weights
from training.config import TrainingConfig

_NOTICE = """
## Training

Trained by fakeexplain's own commands (docs/assistant_training.md): {steps} steps of `{task}` in the last stage, on
dialogues that programs wrote about pictures of the forge. The photographs behind them are partly research-only; the
weights hold none of them. Weights: `{digest}`.
"""


def run_config(run: Path) -> TrainingConfig:
    """The settings of a run.

    Raises:
        SettingsError: no run there.
    """
    try:
        return TrainingConfig.model_validate_json((run / "training.json").read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise SettingsError(f"{run}: training.json cannot be read ({error}); wanted a run's output_dir") from None


def export_language(run: Path, out: Path, weights: str = "final.safetensors") -> int:
    """Writes the language model of a run and its tokenizer; returns the number of parameters.

    Raises:
        SettingsError: no such run or weights.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    from training.assistant_tokenizer import load_tokenizer
    from training.language import LanguageModel

    config = run_config(run)
    if config.task != "language" or config.tokenizer is None:
        raise SettingsError(f"{run}: a run of task {config.task}, wanted language")
    model = LanguageModel(LlamaForCausalLM(LlamaConfig.from_dict(json.loads((run / "model.json").read_text("utf-8")))))
    load_weights(run / weights, model)
    model.language_model.save_pretrained(out)  # type: ignore[operator]
    load_tokenizer(config.tokenizer).save_pretrained(out)
    return sum(p.numel() for p in model.parameters())


def export_assistant(run: Path, out: Path, weights: str = "final.safetensors", *, adapter_only: bool = False) -> int:
    """Writes the assistant of a run with its processor and model card; returns the number of parameters.

    Raises:
        SettingsError: no such run or weights; weights that are quantised can only be written as adapters.
    """
    from fakeexplain.models.assistant import ForgeryAssistant
    from training.assistant_model import is_base_weight
    from training.assistant_stages import build

    config = run_config(run)
    if not config.task.startswith("assistant_"):
        raise SettingsError(f"{run}: a run of task {config.task}, wanted one of the assistant's")
    # The vision tower is in the run's weights, the language model's own weights where the run found them.
    trained: Any
    trained, processor = build(config.model_copy(update={"expert": None}), ForgeryAssistant)
    path = run / weights
    if not path.is_file():
        raise SettingsError(f"{path}: no such weights; is the run finished?")
    values, own = load_file(path), trained.state_dict()
    if problems := misfits(own, values, may_miss=[n for n in own if is_base_weight(n)]):
        raise SettingsError(f"{path} does not fit the model:\n  " + "\n  ".join(problems))
    trained.load_state_dict(values, strict=False)
    trained.eval()
    if adapter_only:
        trained.save_adapter(out)
    else:
        trained.merge_lora()
        trained.config.language_model_path = None  # it is inside now, and where it lay is nobody's business
        text = trained.config.text_config
        for owner in (trained.config, text, trained.language_model.config):
            owner._name_or_path = ""
        trained.to(torch.float16).save_pretrained(out)
    processor.save_pretrained(out)
    file = out / ("parts.safetensors" if adapter_only else "model.safetensors")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with (out / "README.md").open("a", encoding="utf-8") as card:
        card.write(_NOTICE.format(steps=config.max_steps, task=config.task, digest=digest[:12]))
    return sum(p.numel() for p in trained.parameters())


def main(
    run: Annotated[Path, typer.Option(help="output_dir of a training run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    weights: Annotated[
        str, typer.Option(help="final.safetensors or best.safetensors of the run.")
    ] = "final.safetensors",
    adapter_only: Annotated[bool, typer.Option("--adapter-only", help="Only what was trained, LoRA unmerged.")] = False,
) -> None:
    """Take a trained language model or assistant over into a folder."""
    try:
        if run_config(run).task == "language":
            count = export_language(run, out, weights)
        else:
            count = export_assistant(run, out, weights, adapter_only=adapter_only)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
    typer.echo(f"{out}: {count:,} parameters, {size:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
