"""Drafts: from evidence only, blind to labels unless asked, resumable, one line per error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from data_tools.drafts import Task, draft, main, measure_mask, tasks_of, write_drafts
from data_tools.schema import Record, read_jsonl, write_jsonl
from fakeexplain.errors import SourceError
from fakeexplain.examiner import Examiner
from tests.pictures import copy_move, encode, photograph


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return Examiner(threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of a forged and an untouched picture that says what was done to each."""
    forged, mask = copy_move(photograph("astronaut"), size=90)
    (tmp_path / "forged.png").write_bytes(encode(forged))
    (tmp_path / "plain.png").write_bytes(encode(photograph("chelsea")))
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    rows = [
        Record(
            image="forged.png",
            mask="mask.png",
            label="forged",
            operations=("copy_move",),
            history=({"on": "region", "operation": "copy_move"},),
        ),
        Record(image="plain.png", label="authentic"),
        Record(image="gone.png"),
    ]
    write_jsonl(rows, tmp_path / "set.jsonl")
    return tmp_path


def test_a_draft_is_blind_and_every_claim_cites_its_evidence(folder: Path, examiner: Examiner) -> None:
    problems = list(write_drafts([folder / "set.jsonl"], folder / "drafts.jsonl", examiner=examiner))
    assert problems == [None, None, "".join(p for p in problems if p)]
    assert "gone.png: no such file" in str(problems[2])
    forged, plain = read_jsonl(folder / "drafts.jsonl")
    assert (forged.label, forged.mask, forged.operations, forged.strata) == ("unknown", None, (), {})
    entry = forged.history[-1]
    assert entry["on"] == "draft"
    assert entry["label_blind"] is True
    assert entry["verdict"]["label"] == "manipulated"
    assert plain.history[-1]["verdict"]["label"] == "no_evidence"
    known = {e.id for e in forged.evidence}
    for claim in entry["claims"]:
        assert claim["text"] in forged.description
        assert set(re.findall(r"\[(E\d+)\]", claim["text"])) == set(claim["evidence_ids"]) <= known
    assert forged.dialogue[1].evidence_ids
    assert "copy_move" not in json.dumps([h for h in forged.history if h["on"] != "draft"])


def test_with_mask_measures_it_without_changing_the_verdict(folder: Path, examiner: Examiner) -> None:
    task = next(t for t in tasks_of([folder / "set.jsonl"], folder / "d.jsonl") if isinstance(t, Task))
    blind, told = draft(examiner, task), draft(examiner, task, with_mask=True)
    added = told.evidence[len(blind.evidence) :]
    assert {e.instrument for e in added} >= {"region_contrast", "copy_move"}
    assert all(e.kind == "measurement" and e.log10_nfa is None and e.id for e in added)
    assert len({e.id for e in told.evidence}) == len(told.evidence)
    assert told.history[-1]["verdict"] == blind.history[-1]["verdict"]
    assert told.history[-1]["label_blind"] is False
    assert told.dialogue[2].region is not None
    assert told.dialogue[2].region.id in told.dialogue[2].content


def test_a_mask_that_does_not_fit_is_refused(folder: Path, examiner: Examiner) -> None:
    source = examiner.load(folder / "plain.png")
    with pytest.raises(SourceError, match="not empty"):
        measure_mask(examiner, source, np.zeros((source.height, source.width), bool), "R1", 1)
    with pytest.raises(SourceError, match="5x4"):
        measure_mask(examiner, source, np.ones((4, 5), bool), "R1", 1)


def test_a_stopped_run_goes_on(folder: Path, examiner: Examiner) -> None:
    out = folder / "drafts.jsonl"
    list(write_drafts([folder / "forged.png"], out, examiner=examiner))
    whole = out.read_bytes()
    out.write_bytes(whole + b'{"image": "cut o')
    assert list(write_drafts([folder / "forged.png", folder / "plain.png"], out, examiner=examiner)) == [None]
    assert out.read_bytes().startswith(whole)
    assert [r.image for r in read_jsonl(out)] == ["forged.png", "plain.png"]


def test_pictures_from_elsewhere_are_copied_beside_the_drafts(folder: Path) -> None:
    out = folder / "other" / "drafts.jsonl"
    (folder / "broken.png").write_bytes(b"no picture")
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(folder / "plain.png"), str(folder / "broken.png"), "--out", str(out)])
    assert result.exit_code == 1
    assert "1 drafts written" in result.output
    (record,) = read_jsonl(out)
    assert (out.parent / record.image).read_bytes() == (folder / "plain.png").read_bytes()
    lines = [line for line in result.output.splitlines() if "broken.png" in line]
    assert len(lines) == 1
