"""The faithfulness command on a forged and an authentic picture: whole run, resumed run, and a writer that invents."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

from fakeexplain.commands.faithfulness import faithfulness
from fakeexplain.evaluation.datasets import read_dataset
from fakeexplain.evaluation.faithfulness import protocol
from fakeexplain.evaluation.faithfulness.protocol import Choice, Plan, forms_for, run_task, tasks_of
from fakeexplain.evaluation.faithfulness.tables import faithfulness_tables
from fakeexplain.examiner import Settings
from tests.pictures import copy_move, photograph

SETTINGS = Settings(instruments=None, expert=None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faithfulness") / "set"
    for part in ("images", "masks", "originals"):
        (folder / part).mkdir(parents=True)
    original = photograph("astronaut")[:360, :460]
    forged, both = copy_move(original, size=90, start=(60, 30), shift=(150, 200))
    mask, donor = both.copy(), both.copy()
    mask[60:150, 30:120], donor[210:300, 230:320] = False, False
    Image.fromarray(forged).save(folder / "images" / "forged.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / "forged.png")
    (folder / "donors").mkdir()
    Image.fromarray(donor.astype(np.uint8) * 255).save(folder / "donors" / "forged.png")
    Image.fromarray(original).save(folder / "originals" / "forged.png")
    Image.fromarray(photograph("chelsea")[:240, :320]).save(folder / "images" / "plain.png")
    return folder


def test_the_forms_are_dealt_out_evenly():
    dealt = [f.id for number in range(10) for f in forms_for(number, 10)]
    assert sorted(dealt) == list(range(1, 101))


def test_a_whole_run_and_its_resumption(dataset, tmp_path):
    app = Typer()
    app.command()(faithfulness)
    command = [str(dataset), "--writer", "plain", "--expert", "none", "--questions", "3", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    forged, plain = rows
    assert forged["label"] == "manipulated"
    assert forged["claims"]["cover"] > 0.5
    assert forged["claims"]["chair"] < 0.3
    assert plain["claims"]["claimed"] == 0
    assert forged["records"] == forged["recomputed"] > 0
    done = {t["name"]: t for t in forged["trials"]}
    assert done["restoration"]["passed"] is True
    assert done["control"]["passed"] is True
    assert done["swap"]["passed"] is True
    assert {p["kind"]: p["said"] for p in forged["probes"]}["true"] is True
    assert "Faithfulness" in (tmp_path / "tables.md").read_text()
    assert "</html>" in (tmp_path / "faithfulness.html").read_text()
    log = next(tmp_path.glob("rows-*.jsonl"))
    lines = log.read_text().splitlines()
    log.write_text(lines[0] + "\n" + lines[1][:40])  # killed while the second row was written
    assert CliRunner().invoke(app, command).exit_code == 0
    assert len(log.read_text().splitlines()) == 2
    assert log.read_text().splitlines()[0] == lines[0]


class _Inventor:
    """Says one true thing and one that nobody measured."""

    name = "inventor"

    def write(self, request):
        ids = "".join(f"[{i}]" for i in request.examination.verdict.deciding_ids)
        yield f"The examination found evidence of a local change {ids}. "
        yield "The noise in the lower left is 77.7 grey levels [E1]."


def test_inventions_are_counted_before_repair_and_not_shown(dataset, monkeypatch):
    monkeypatch.setattr(Choice, "make", lambda self, examiner: _Inventor())
    protocol._writer.cache_clear()
    task = tasks_of(read_dataset(dataset))[0]
    row = run_task(task, Plan(SETTINGS, Choice(), questions=2, trials=False))
    protocol._writer.cache_clear()
    for asked in row.asked:
        assert len(asked.proposed_invented) >= 1
        assert "77.7" in asked.proposed_invented[0]
        assert not asked.invented
        assert "77.7" not in asked.text


class _Pointer(_Inventor):
    """Points at the upper left quarter when it is asked to show something, if `seg`."""

    def __init__(self, seg: bool) -> None:
        self.seg = seg

    def write(self, request):
        deciding = next(e for e in request.evidence if e.id in request.examination.verdict.deciding_ids)
        mark = "<SEG> marks" if self.seg else "This is"
        yield f"{mark} {deciding.region.id}, {deciding.region.words.rpartition(', ')[0]} [{deciding.id}]. "

    def segment(self, request, answer):
        mask = np.zeros((request.source.height, request.source.width), bool)
        mask[:180, :230] = True
        return mask


@pytest.mark.parametrize("seg", [True, False])
def test_what_seg_points_at_is_held_against_the_truth(dataset, monkeypatch, seg):
    monkeypatch.setattr(Choice, "make", lambda self, examiner: _Pointer(seg))
    protocol._writer.cache_clear()
    task = tasks_of(read_dataset(dataset))[0]
    row = run_task(task, Plan(SETTINGS, Choice(), questions=1, trials=False))
    protocol._writer.cache_clear()
    altered, source = row.pointed
    assert (altered.kind, source.kind) == ("altered", "source")
    assert altered.finding > 0.3  # both of the equal areas
    if seg:
        assert altered.iou == 0.0  # it points at where the copy came from
        assert source.iou == pytest.approx(90 * 90 / (180 * 230))
    else:
        assert altered.iou is None
    table = next(t for t in faithfulness_tables([row], 0.02) if t.title.startswith("Regions pointed at"))
    assert table.rows[0][1:4] == ("1", "1" if seg else "0", f"{altered.iou or 0.0:.3f}")


def test_wrong_options_are_told_before_the_first_picture(dataset):
    app = Typer()
    app.command()(faithfulness)
    result = CliRunner().invoke(app, [str(dataset), "--writer", "plain", "--llm", "x", "--expert", "none"])
    assert result.exit_code == 2
