"""`compare` and `duplicates` on the command line: files, lines and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from fakeexplain.commands.compare import compare, duplicates
from tests.pictures import encode, photograph

RUNNER = CliRunner()
APP = typer.Typer()
APP.command()(compare)
APP.command()(duplicates)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """A photograph and its forgery as files."""
    rgb = np.ascontiguousarray(photograph("astronaut")[:256, :256])
    edited = rgb.copy()
    edited[60:110, 90:160] = edited[150:200, 20:90]
    (tmp_path / "original.png").write_bytes(encode(rgb))
    (tmp_path / "questioned.jpg").write_bytes(encode(edited, "JPEG", quality=75))
    return str(tmp_path / "original.png"), str(tmp_path / "questioned.jpg")


def _compare(*arguments: str) -> tuple[int, str]:
    result = RUNNER.invoke(APP, ["compare", *arguments, "--expert", "none"])
    return result.exit_code, result.output


def test_compare_writes_everything(pair: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "results" / "one"
    code, output = _compare(*pair, "--out", str(out))
    assert code == 0
    assert "D1: in the upper centre" in output
    assert {p.name for p in out.iterdir()} == {
        *("comparison.html", "comparison.json", "mask.png", "difference.png", "overlay.png")
    }
    record = json.loads((out / "comparison.json").read_text())
    assert record["answer"] == "changed"
    with Image.open(out / "mask.png") as image:
        mask = np.asarray(image)
    assert set(np.unique(mask)) == {0, 255}
    assert mask[60:110, 90:160].mean() > 230
    assert _compare(*pair, "--out", str(out))[0] == 0, "an earlier comparison may be replaced"
    assert [p.name for p in out.parent.iterdir()] == ["one"], "nothing is left beside it"


def test_json_is_one_record(pair: tuple[str, str]) -> None:
    code, output = _compare(*pair, "--json")
    assert code == 0
    assert json.loads(output)["place_count"] == 1


def test_exit_codes(pair: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(encode(photograph("chelsea")[:256, :256]))
    code, output = _compare(pair[0], str(tmp_path / "other.png"), "--out", str(tmp_path / "no"))
    assert code == 1
    assert "do not show the same scene" in output
    assert not (tmp_path / "no").exists()
    assert _compare(pair[0], str(tmp_path / "missing.png"))[0] == 1
    assert _compare(*pair, "--false-alarms", "7")[0] == 2
    assert _compare(*pair, "--max-megapixels", "-1")[0] == 2
    code, output = _compare(*pair, "--out", str(tmp_path))
    assert code == 3
    assert "holds other files" in output
    assert _compare(*pair, "--out", f"{pair[0]}/below")[0] == 3
    assert Path(pair[0]).is_file()


def test_duplicates(tmp_path: Path) -> None:
    rgb = photograph("astronaut")
    (tmp_path / "original.png").write_bytes(encode(rgb))
    (tmp_path / "saved.jpg").write_bytes(encode(np.ascontiguousarray(rgb[::2, ::2]), "JPEG", quality=50))
    (tmp_path / "other.png").write_bytes(encode(photograph("chelsea")[:256, :256]))
    result = RUNNER.invoke(APP, ["duplicates", str(tmp_path), "--json"])
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert found["pictures"] == 3
    assert [[Path(row["picture"]).name for row in g] for g in found["groups"]] == [["original.png", "saved.jpg"]]
    (tmp_path / "broken.png").write_bytes(b"nothing")
    result = RUNNER.invoke(APP, ["duplicates", str(tmp_path)])
    assert result.exit_code == 1
    assert "broken.png" in result.output
    assert RUNNER.invoke(APP, ["duplicates", str(tmp_path / "missing")]).exit_code == 1
