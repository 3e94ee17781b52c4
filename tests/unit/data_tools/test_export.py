"""Exports: what is accepted and what is not, every layout read back, provenance, and `data_tools.check` content."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

from data_tools.check import check
from data_tools.convert.base import Problems
from data_tools.convert.convert import read_layout
from data_tools.export import EXPORT_LAYOUTS, ExportOptions, export
from data_tools.export_label_studio import decode_brush, encode_brush
from data_tools.review import app
from data_tools.review_import import ImportPlan
from data_tools.review_store import ReviewStore, Stamp
from data_tools.schema import IMAGE_TOKEN, read_jsonl, read_mask
from fakeexplain.errors import OutputError, SettingsError
from fakeexplain.reasoning.references import References
from fakeexplain.records import Verdict
from tests.unit.data_tools.review_cases import SIZE, fresh_store, review_all, square

SECRET = "This sentence was rejected [E1]."
KEPT = "The noise there is higher [E1]."


@pytest.fixture
def store(tmp_path):
    """Six pictures: with an edit and a rejection, nothing found, all rejected, skipped, open, an edit unsupported."""

    def checker(text, task):
        return ("unsupported", ("no such thing",)) if "unicorn" in text else ("supported", ())

    with fresh_store(tmp_path, 6, turns=2) as made:
        made._checker = checker
        who = made.annotator("Anna Author")
        view = made.next_review(who)
        made.decide(view.id, who, 1, {"decision": "accept"}, Stamp(seconds=2))
        made.decide(view.id, who, 2, {"decision": "edit", "text": KEPT}, Stamp())
        made.decide(view.id, who, 3, {"decision": "reject", "reason": "false", "note": "secret"}, Stamp())
        made.decide(view.id, who, 4, {"decision": "unsure"}, Stamp())
        made.set_verdict(view.id, who, "manipulated", Stamp())
        made.set_mask(view.id, who, square(40), Stamp())
        made.finish(view.id, who, Stamp())
        review_all(made, made.next_review(who), who, verdict="no_evidence")
        review_all(made, made.next_review(who), who, decision="reject")
        made.skip(made.next_review(who).id, who, "cannot_judge", Stamp())
        view = made.open_task(6, who)
        made.decide(view.id, who, 1, {"decision": "edit", "text": "A unicorn was pasted in [E1]."}, Stamp())
        for number in (2, 3, 4):
            made.decide(view.id, who, number, {"decision": "accept"}, Stamp())
        made.set_verdict(view.id, who, "inconclusive", Stamp())
        made.finish(view.id, who, Stamp())
        yield made


def test_only_accepted_work_goes_out_and_the_rest_is_counted(store, tmp_path):
    report = export(store, "jsonl", tmp_path / "out")
    first, second, third = read_jsonl(tmp_path / "out" / "manifest.jsonl")
    assert [m.content for m in first.dialogue] == [
        f"{IMAGE_TOKEN}\nWhat does the examination of this picture show?",
        f"The evidence points to a local alteration [E1]. {KEPT}",
    ]
    assert first.description == first.dialogue[1].content
    assert first.dialogue[1].evidence_ids == ("E1",)
    assert (first.label, second.label, third.label) == ("forged", "unknown", "unknown")
    assert np.array_equal(read_mask(first.mask, tmp_path / "out"), square(40))
    assert (second.mask, third.mask) == (None, None)
    assert len(second.dialogue) == 4
    assert first.strata == {"review": "reviewed", "reviewer_verdict": "manipulated", "verdict": "manipulated"}
    assert report.left_out == Counter({"no claim was kept": 1, "skipped by all who had it": 1, "not reviewed yet": 1})
    assert report.claims == Counter(
        {"accepted": 8, "edited": 1, "rejected": 5, "unsure": 1, "edited, but not supported by evidence": 1}
    )
    assert report.rejected == Counter({"false": 5})
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == report.to_dict()
    text = (tmp_path / "out" / "manifest.jsonl").read_text()
    for gone in ("Nothing repeats [E2]. It was", "unicorn", "secret", "Anna Author", '"claims": [{"text"'):
        assert (gone in text) == (gone == "Nothing repeats [E2]. It was"), gone  # of pictures 2 and 6, accepted


def test_provenance_says_where_a_record_comes_from(store, tmp_path):
    export(store, "jsonl", tmp_path / "out", ExportOptions(names=True, licence="CC0", keep_unsupported=True))
    first, _, third = read_jsonl(tmp_path / "out" / "manifest.jsonl")
    entry = first.history[-1]
    assert entry["on"] == "review"
    assert entry["reviews"][0]["by"] == "Anna Author"
    assert entry["reviews"][0]["seconds"] == 2
    assert entry["claims"][2] == {"claim": 3, "decision": "reject", "reason": "false"}
    assert entry["mask"]["area"] == 900
    assert not entry["mask"]["from_draft"]
    assert entry["draft"]["model"] == "test writer"
    assert len(entry["draft"]["config_hash"]) == 64
    assert entry["events"]["count"] == 8
    assert first.licence == ("CC0",)
    assert "unicorn" in third.description
    assert third.history[-1]["claims"][0]["finding"] == "unsupported"


@pytest.mark.parametrize("layout", ["jsonl", "llava", "coco", "huggingface"])
def test_every_layout_comes_back_and_checks_clean(store, tmp_path, layout):
    report = export(store, layout, tmp_path / layout)
    problems = Problems(tmp_path)
    items = read_layout(tmp_path / layout, layout, problems)
    assert problems.texts == []
    assert len(items) == report.exported == 3
    mask = items[0].mask
    pixels = mask() if callable(mask) else mask.read()
    assert np.array_equal(pixels, square(40))
    assert items[0].record.dialogue[1].content.endswith(KEPT)
    assert items[0].record.history[-1]["on"] == "review"
    if layout == "jsonl":
        found = check(tmp_path / layout)
        assert (found.records, found.findings) == (3, [])


def test_label_studio_masks_decode_to_the_same_pixels(store, tmp_path):
    export(store, "label-studio", tmp_path / "ls")
    tasks = json.loads((tmp_path / "ls" / "label_studio.json").read_text())
    assert len(tasks) == 3
    results = {r["from_name"]: r for r in tasks[0]["annotations"][0]["result"]}
    brush = results["mask"]
    rgba = decode_brush(brush["value"]["rle"]).reshape(SIZE, SIZE, 4)
    assert np.array_equal(rgba[..., 3] > 0, square(40))
    assert (brush["original_width"], results["verdict"]["value"]["choices"]) == (SIZE, ["manipulated"])
    assert results["description"]["value"]["text"][0].endswith(KEPT)
    config = (tmp_path / "ls" / "config.xml").read_text()
    assert all(f'name="{name}"' in config for name in results)
    file = tasks[0]["data"]["image"].partition("?d=")[2]
    assert (tmp_path / "ls" / file).is_file()


@pytest.mark.parametrize("seed", range(4))
def test_brush_code_of_random_bytes_and_long_runs(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 7, 8, 9, 16, 17, 255, 256, 257, 65535, 65536, 65537, 140000], 30)
    levels = np.repeat(rng.integers(0, 256, 30).astype(np.uint8), lengths)
    assert np.array_equal(decode_brush(encode_brush(levels)), levels)


def test_disputes_wait_and_adjudications_go_out(tmp_path):
    with fresh_store(tmp_path, 1, ImportPlan(annotators=2)) as store:
        anna, ben = store.annotator("Anna"), store.annotator("Ben")
        review_all(store, store.next_review(anna), anna)
        with pytest.raises(OutputError, match="not reviewed by all who are wanted"):
            export(store, "jsonl", tmp_path / "early")
        review_all(store, store.next_review(ben), ben, verdict="no_evidence")
        with pytest.raises(OutputError, match="waits for adjudication"):
            export(store, "jsonl", tmp_path / "early")
        assert not (tmp_path / "early").exists()
        view = store.adjudicate(1, ben)
        store.set_verdict(view.id, ben, "no_evidence", Stamp())
        store.finish(view.id, ben, Stamp())
        export(store, "jsonl", tmp_path / "out")
    record = next(read_jsonl(tmp_path / "out" / "manifest.jsonl"))
    assert (record.label, record.strata["review"]) == ("unknown", "adjudicated")
    assert [r["role"] for r in record.history[-1]["reviews"]] == ["review", "review", "adjudication"]


def test_an_export_is_all_or_nothing_and_a_changed_picture_is_told(store, tmp_path):
    picture = tmp_path / "set" / "picture1.png"
    picture.write_bytes((tmp_path / "set" / "picture2.png").read_bytes())
    report = export(store, "jsonl", tmp_path / "out")
    assert report.exported == 2
    assert "sha256" in report.problems[0]
    with pytest.raises(OutputError, match="not empty"):
        export(store, "jsonl", tmp_path / "out")
    with pytest.raises(SettingsError, match="no layout"):
        export(store, "yolo", tmp_path / "other")  # type: ignore[arg-type]


def test_the_command_exports_every_layout(store, tmp_path):
    path = store.database.path
    store.close()
    for layout in EXPORT_LAYOUTS:
        result = CliRunner().invoke(app, ["export", str(path), "--to", layout, "--out", str(tmp_path / layout)])
        assert result.exit_code == 0, result.output
        assert "3 pictures" in result.output
    assert CliRunner().invoke(app, ["export", str(path), "--out", str(tmp_path / "jsonl")]).exit_code == 3
    wrong = CliRunner().invoke(app, ["export", str(path), "--to", "x", "--out", str(tmp_path / "new")])
    assert wrong.exit_code == 2
    with ReviewStore(path) as again:
        assert again.next_review(again.annotator("Anna Author")).task_id == 5


def test_stage_two_reads_the_export_with_verdict_and_evidence_in_its_prompt(store, tmp_path):
    from training.assistant_data import open_records
    from training.assistant_prompts import dialogues_of

    export(store, "jsonl", tmp_path / "out")
    rows = open_records((tmp_path / "out" / "manifest.jsonl",), cache=tmp_path / "cache")
    assert len(rows) == 3
    for row in rows:
        (dialogue, *_) = dialogues_of(row)
        said = {message["role"]: message["content"] for message in reversed(dialogue.messages)}
        prompt, answer = said["user"], said["assistant"]
        assert "E1" in prompt
        assert "evidence" in prompt.lower()
        entry = next(e for e in row.record.history if e["on"] == "examination")
        references = References(Verdict.model_validate(entry["verdict"]), row.record.evidence, {})
        assert references.fill(answer) == row.record.dialogue[1].content
    entry = next(e for e in rows[0].record.history if e["on"] == "examination")
    assert entry["verdict"]["label"] == "manipulated"
