"""Command line of training: `accelerate launch -m training.run --config configs/training/expert.yaml key=value ...`.

Works as `python -m training.run` too. Kill it at any moment; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape

from fakeexplain.errors import FakeExplainError
from training.config import load_training_config


def main(
    config: Annotated[Path, typer.Option(help="YAML of configs/training.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings as key=value, dots reach into groups: max_steps=100.")
    ] = None,
    cpu: Annotated[bool, typer.Option(help="Stay on the CPU even where there is a GPU.")] = False,
) -> None:
    """Train a network: the vision encoder, the expert, its confidence, the language model, the assistant.

    A run writes its settings, log.jsonl, checkpoints and the best weights into `output_dir`, and goes on from there
    when it is started again.
    """
    from transformers.utils import logging as hf_logging

    from training.loop import train

    hf_logging.disable_progress_bar()  # bars of files that load in a blink
    try:
        state = train(load_training_config(config, tuple(overrides or ())), cpu=cpu or not torch.cuda.is_available())
    except FakeExplainError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on from the last checkpoint")
        raise typer.Exit(130) from None
    print(f"finished at step {state['step']}, best held-out score {state['best']}")


if __name__ == "__main__":
    typer.run(main)
