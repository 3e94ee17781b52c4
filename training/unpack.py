"""Takes an assistant apart, to train on: `python -m training.unpack --out FOLDER`, by default the embedded one.

A trained assistant is one file: its language model, with merged adapters, and our own parts around it. Training wants
the two apart, for the language model stays frozen under new adapters and the parts go on learning:

    python -m training.unpack --out base
    python -m training.run --config configs/training/2_instruction.yaml language_model_path=base \\
        init_from=base/parts.safetensors data.sources=[reviewed] output_dir=runs/mine

Left out: adapters saved beside a language model (`export_assistant --adapter-only`); they are apart already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fakeexplain.errors import FakeExplainError, OutputError, SettingsError
from fakeexplain.reasoning.assistant_writer import embedded_folder

PARTS = "parts.safetensors"


def unpack(assistant: Path, out: Path) -> int:
    """Writes the language model and its tokenizer as transformers folder `out`, and `out`/parts.safetensors.

    Returns:
        Number of the language model's parameters.

    Raises:
        SettingsError: no whole assistant there, or its marks are no words of its language model.
        OutputError: the folder cannot be written.
    """
    from fakeexplain.models.assistant_adapters import PARTS_FILE
    from fakeexplain.models.assistant_loading import load_assistant

    if (assistant / PARTS_FILE).is_file() and not (assistant / "model.safetensors").is_file():
        raise SettingsError(f"{assistant}: adapters beside a language model; merge first: python -m training.merge")
    if out.resolve() == assistant.resolve():
        raise SettingsError(f"--out {out}: is the assistant's own folder; choose another")
    loaded, processor = load_assistant(assistant)
    model: Any = loaded
    rows = model.get_input_embeddings().weight.shape[0]
    if beyond := [m for m, i in model.config.mark_ids.items() if i >= rows]:
        raise SettingsError(
            f"{assistant}: {', '.join(beyond)} are no words of its language model ({rows} rows); "
            "train on from the adapters instead (export_assistant --adapter-only)"
        )
    return _save_apart(model, processor.tokenizer, out)


def _save_apart(model: Any, tokenizer: Any, out: Path) -> int:
    """An assistant without adapters as transformers folder `out` of its language model, and `out`/parts.safetensors.

    Returns:
        Number of the language model's parameters.

    Raises:
        OutputError: the folder cannot be written.
    """
    import torch
    from safetensors.torch import save_file
    from transformers.utils import logging as hf_logging

    from training.assistant_model import is_base_weight

    parts = {
        n: v.detach().to(torch.float32).contiguous() for n, v in model.state_dict().items() if not is_base_weight(n)
    }
    hf_logging.disable_progress_bar()
    try:
        out.mkdir(parents=True, exist_ok=True)
        model.language_model.to(torch.float32).save_pretrained(out)
        tokenizer.save_pretrained(out)
        save_file(parts, out / PARTS)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    return sum(p.numel() for p in model.language_model.parameters())


def main(
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    assistant: Annotated[
        Path | None, typer.Option(help="Folder of a whole assistant; default: the embedded one.", show_default=False)
    ] = None,
) -> None:
    """Take an assistant apart into a frozen language model and the parts that train on."""
    try:
        count = unpack(assistant or embedded_folder(), out)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: language model of {count:,} parameters, other parts in {out / PARTS}")
    typer.echo(f"train on with: language_model_path={out} init_from={out / PARTS}")


if __name__ == "__main__":
    typer.run(main)
