"""Turns rows of `fakeexplain bench` into the two small files that the library carries.

    python benchmarks/record_figures.py alarms ROWS.jsonl              -> fakeexplain/evaluation/measured.json
    python benchmarks/record_figures.py probability ROWS.jsonl ...     -> fakeexplain/verdict_calibration.json

`alarms` counts on authentic pictures that nothing was tuned on. `probability` fits the likelihood ratios of the
verdict; its pictures must be others than those that accuracy is reported on.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from fakeexplain.evaluation.protocol import Row, row_from_json
from fakeexplain.evaluation.tables import image_score, passes
from fakeexplain.instruments.suite import all_instruments
from fakeexplain.verdict import fit_likelihood_ratios

PACKAGE = Path(__file__).resolve().parent.parent / "fakeexplain"
# Of image scores; with four instruments the same as log10 NFA of -0.5, -1, -1.5, -2, -2.6, -4 and -8.
EDGES = tuple(round(e - math.log10(8), 5) for e in (0.5, 1.0, 1.5, 2.0, 2.6, 4.0, 8.0))
app = typer.Typer(add_completion=False, help=__doc__)


def read_rows(paths: list[Path]) -> list[Row]:
    return [row_from_json(line) for path in paths for line in path.read_text("utf-8").splitlines()]


@app.command()
def alarms(rows: list[Path], alpha: Annotated[float, typer.Option(help="Counted at NFA < alpha.")] = 0.01) -> None:
    """Count each instrument's false alarms."""
    authentic = [r for r in read_rows(rows) if not r.forged]
    counted = {
        i.name: {
            "version": i.version,
            "alpha": alpha,
            "alarms": sum(passes(r, i.name, alpha) for r in authentic),
            "abstained": sum(r.statistics.get(i.name) is None for r in authentic),
            "photographs": len(authentic),
        }
        for i in all_instruments()
        if i.localizes
    }
    _write(PACKAGE / "evaluation" / "measured.json", {"instruments": counted})


@app.command()
def probability(
    rows: list[Path],
    data: Annotated[str, typer.Option(help="What the pictures are, for the record's own words.")],
) -> None:
    """Fit the likelihood ratios behind the verdict's probability."""
    found = [r for r in read_rows(rows) if not r.error and r.band != "unexaminable"]
    authentic = [image_score(r) for r in found if not r.forged]
    forged = [image_score(r) for r in found if r.forged]
    ratios = fit_likelihood_ratios(authentic, forged, EDGES)
    calibration = {
        "data": data,
        "authentic": len(authentic),
        "forged": len(forged),
        "edges": list(EDGES),
        "likelihood_ratios": [round(r, 5) for r in ratios],
    }
    _write(PACKAGE / "verdict_calibration.json", calibration)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{path.relative_to(PACKAGE.parent)}:\n{path.read_text('utf-8')}")


if __name__ == "__main__":
    app()
