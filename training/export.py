"""Takes trained weights into a folder that the library loads: `python -m training.export --run RUN --out FOLDER`.

Calibrate afterwards (`python -m training.calibrate`): an expert without calibration gives maps but no evidence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.models.configuration import load_config
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.layers import count_parameters
from fakeexplain.models.weights import save_expert
from training.checkpoints import load_weights


def export(run: Path, out: Path, weights: str = "final.safetensors") -> str:
    """Writes the weights of a run (averaged ones) into `out`; returns their sha256.

    Raises:
        SettingsError: the run has no such weights, or they do not fit its model.json.
    """
    if not (run / "model.json").is_file():
        raise SettingsError(f"{run}: no model.json there; wanted the output_dir of a training run")
    model = ForgeryLocalizationExpert(load_config(run / "model.json"), load_weights=False)
    load_weights(run / weights, model)
    return save_expert(model, out)


def main(
    run: Annotated[Path, typer.Option(help="output_dir of a training run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    weights: Annotated[
        str, typer.Option(help="final.safetensors or best.safetensors of the run.")
    ] = "final.safetensors",
) -> None:
    """Take trained weights over into a folder for the library."""
    try:
        digest = export(run, out, weights)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    size = (out / "model.safetensors").stat().st_size / 1e6
    parameters = count_parameters(ForgeryLocalizationExpert(load_config(out / "config.json"), load_weights=False))
    typer.echo(f"{out}: {parameters:,} parameters, {size:.1f} MB, sha256 {digest[:12]}; calibrate it next")


if __name__ == "__main__":
    typer.run(main)
