"""Adds LoRA to the weights it belongs to: `python -m training.merge --adapter FOLDER --out FOLDER`.

From an assistant saved as adapters beside a language model (`export_assistant --adapter-only`) to a whole one that
loads without peft. Deliberately left out: merging into quantised weights, which would round the adapters away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from fakeexplain.errors import FakeExplainError, SettingsError


def merge(adapter: Path, out: Path, *, language_model_path: str | None = None, half: bool = True) -> None:
    """Writes the whole assistant with its processor and model card.

    Args:
        adapter: a folder that `save_adapter` wrote.
        language_model_path: where the language model lies now, if it was moved.
        half: in float16, else as it is.

    Raises:
        SettingsError: files are missing or do not fit.
    """
    from fakeexplain.models.assistant import ForgeryAssistant
    from fakeexplain.models.assistant_processing import ForgeryAssistantProcessor

    if out.resolve() == adapter.resolve():
        raise SettingsError(f"--out {out}: is the adapter's own folder; choose another")
    model: Any = ForgeryAssistant.load_trained(adapter, language_model_path=language_model_path)
    processor = ForgeryAssistantProcessor.from_pretrained(adapter)
    model.merge_lora()
    model.config.language_model_path = None
    (model.to(torch.float16) if half else model).save_pretrained(out)
    processor.save_pretrained(out)


def main(
    adapter: Annotated[Path, typer.Option(help="Folder with adapters.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    language_model_path: Annotated[str | None, typer.Option(help="Where the language model lies now.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Keep float32 instead of float16.")] = False,
    push_to_hub: Annotated[str | None, typer.Option(help="Also upload to this repository; needs a login.")] = None,
) -> None:
    """Merge LoRA into the language model."""
    try:
        merge(adapter, out, language_model_path=language_model_path, half=not full)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    if push_to_hub is not None:  # the only place in training that uses a network, and only when asked
        from fakeexplain.models.assistant_loading import load_assistant

        whole: Any
        whole, processor = load_assistant(out)
        whole.push_to_hub(push_to_hub)
        processor.push_to_hub(push_to_hub)
    typer.echo(f"{out}: merged")


if __name__ == "__main__":
    typer.run(main)
