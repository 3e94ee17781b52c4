"""Counting the quality gate: cells draw what they say, rows survive a run cut short, tables and rates add up."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fakeexplain.commands.gate import bench_gate, count_picture
from fakeexplain.evaluation.gate_cells import AS_RECEIVED, CELLS, run_cell
from fakeexplain.evaluation.gate_tables import GateRow, gate_tables, rates_of, row_from_json, row_to_json
from fakeexplain.examiner import Settings
from fakeexplain.imaging.source import SourceImage
from fakeexplain.quality import TRACES
from tests.pictures import photograph


def row(**changes: object) -> GateRow:
    values = {
        **{"photograph": "a.jpg", "cell": "border", "forged": False, "kind": "", "band": "not_jpeg"},
        **{"traces": ("border",), "label": "no_evidence", "label_without": "manipulated", "found": False},
        **{"found_without": False, "set_aside": ("noise",), "seconds_gate": 0.05, "megapixels": 0.5},
    }
    return GateRow(**{**values, **changes})


ROWS = [
    row(),
    row(photograph="b.jpg", label="manipulated"),
    row(photograph="c.jpg", label_without="no_evidence", traces=()),
    row(forged=True, kind="noise", label="manipulated", found=True, found_without=True),
    row(photograph="b.jpg", forged=True, label="no_evidence", label_without="manipulated", found_without=True),
]


def test_rows_are_their_json():
    assert [row_from_json(row_to_json(r)) for r in ROWS] == ROWS


def test_rates_are_counted_per_band_and_trace():
    assert rates_of(ROWS) == {
        "not_jpeg": {
            "any": {
                **{"authentic": 3, "alarms": 1, "alarms_without": 2},
                **{"forged": 2, "detected": 1, "detected_without": 2},
            },
            "border": {
                **{"authentic": 2, "alarms": 1, "alarms_without": 2},
                **{"forged": 2, "detected": 1, "detected_without": 2},
            },
        }
    }


def test_tables_show_both_columns():
    table = gate_tables(ROWS)[0]
    (line,) = table.rows
    assert line[:2] == ("border", "3")
    assert line[2].startswith("2 = 66.7")
    assert line[3].startswith("1 = 33.3")
    assert line[5].startswith("2 = 100")
    assert line[6].startswith("1 = 50")


@pytest.mark.parametrize("cell", CELLS)
def test_cells_give_readable_files_and_carry_the_truth(cell):
    rgb = photograph("coffee")
    truth = np.zeros(rgb.shape[:2], bool)
    truth[150:250, 200:320] = True
    data, mask = run_cell(rgb, truth, cell, [1, 2])
    assert run_cell(rgb, truth, cell, [1, 2])[0] == data
    picture = SourceImage.from_bytes(data)
    assert mask is not None
    assert mask.shape == picture.rgb.shape[:2]
    assert mask.any()
    assert CELLS[cell].trace in (*TRACES, "")


def test_truth_under_a_caption_is_gone():
    rgb = photograph("coffee")
    truth = np.ones(rgb.shape[:2], bool)
    _, mask = run_cell(rgb, truth, "caption", [3])
    assert 0 < (~mask).sum() < 0.4 * mask.size


def test_border_moves_the_truth():
    rgb = photograph("coffee")
    truth = np.zeros(rgb.shape[:2], bool)
    truth[0, 0] = True
    data, mask = run_cell(rgb, truth, "border", [4])
    y, x = np.argwhere(mask)[0]
    assert y >= 4
    assert (SourceImage.from_bytes(data).rgb[y, x] == rgb[0, 0]).all()


def photographs(folder):
    folder.mkdir()
    for name in ("coffee", "chelsea"):
        Image.fromarray(photograph(name)[:240, :320]).save(folder / f"{name}_1.jpg", quality=95)
    return folder


def test_one_picture_is_decided_twice(tmp_path):
    folder = photographs(tmp_path / "photos")
    made = count_picture((folder / "coffee_1.jpg", "border", True, 640, Settings(expert=None)))
    assert made is not None
    assert made.forged
    assert "border" in made.traces
    received = count_picture((folder / "coffee_1.jpg", AS_RECEIVED, False, 640, Settings(expert=None)))
    assert received is not None
    assert received.kind == ""


def test_command_goes_on_from_where_it_stopped(tmp_path, monkeypatch):
    import typer

    from fakeexplain.commands import gate
    from fakeexplain.evaluation import gate_cells

    few = {name: CELLS[name] for name in ("jpeg 90",)}
    for module in (gate_cells,):
        monkeypatch.setattr(module, "CELLS", few)
    folder, out = photographs(tmp_path / "photos"), tmp_path / "out"
    counted = []

    def fake(job):
        counted.append(job)
        return row(photograph=job[0].name, cell=job[1], forged=job[2])

    monkeypatch.setattr(gate, "count_picture", fake)
    app = typer.Typer()
    app.command()(bench_gate)
    rates = tmp_path / "rates.json"
    arguments = [str(folder), "--out", str(out), "--jobs", "1", "--limit", "1"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(counted) == 4  # as received and one cell, unaltered and forged
    (log,) = out.glob("gate-rows-*.jsonl")
    log.write_text(log.read_text("utf-8") + '{"photograph": "torn', encoding="utf-8")
    arguments = [*arguments[:-2], "--rates", str(rates)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(counted) == 8  # the second photograph only
    assert json.loads(rates.read_text("utf-8"))["bands"]["not_jpeg"]["any"]["authentic"] == 4
    assert "False alarms and detection" in (out / "gate.md").read_text("utf-8")


def test_command_names_a_wrong_folder(tmp_path):
    import typer

    app = typer.Typer()
    app.command()(bench_gate)
    result = CliRunner().invoke(app, [str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "no such folder" in result.output
