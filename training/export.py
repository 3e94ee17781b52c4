"""Takes trained weights into a folder that the library loads: `python -m training.export --run RUN --out FOLDER`.

Calibrate afterwards (`python -m training.calibrate`): an expert without calibration gives maps but no evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.models.configuration import load_config
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.layers import count_parameters
from fakeexplain.models.weights import save_expert
from training.checkpoints import load_weights


def export(run: Path, out: Path, weights: str = "final.safetensors", average_with: Sequence[Path] = ()) -> str:
    """Writes the weights of a run (its moving average) into `out`; returns their sha256.

    Args:
        average_with: folders of weights that this run was trained on from; what is written is the mean of all, which
            is often better than each of them (Wortsman et al., ICML 2022). Of networks trained apart it is nothing.

    Raises:
        SettingsError: the run has no such weights, they do not fit its model.json, or others not its network.
    """
    if not (run / "model.json").is_file():
        raise SettingsError(f"{run}: no model.json there; wanted the output_dir of a training run")
    model = ForgeryLocalizationExpert(load_config(run / "model.json"), load_weights=False)
    load_weights(run / weights, model)
    states = [model.state_dict()]
    for folder in average_with:
        other = ForgeryLocalizationExpert(model.config, load_weights=False)
        load_weights(folder, other)
        states.append(other.state_dict())
    if average_with:
        model.load_state_dict({name: torch.stack([s[name] for s in states]).mean(dim=0) for name in states[0]})
    return save_expert(model, out)


def main(
    run: Annotated[Path, typer.Option(help="output_dir of a training run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    weights: Annotated[
        str, typer.Option(help="final.safetensors or best.safetensors of the run.")
    ] = "final.safetensors",
    average_with: Annotated[
        list[Path] | None,
        typer.Option(help="Weights that this run went on from; the mean of all is written. Several times for several."),
    ] = None,
) -> None:
    """Take trained weights over into a folder for the library."""
    try:
        digest = export(run, out, weights, average_with or ())
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    size = (out / "model.safetensors").stat().st_size / 1e6
    parameters = count_parameters(ForgeryLocalizationExpert(load_config(out / "config.json"), load_weights=False))
    typer.echo(f"{out}: {parameters:,} parameters, {size:.1f} MB, sha256 {digest[:12]}; calibrate it next")


if __name__ == "__main__":
    typer.run(main)
