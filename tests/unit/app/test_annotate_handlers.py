"""The handlers of the annotation page: what a client may see and do, and what becomes of nonsense."""

from __future__ import annotations

import base64
import io
import json
import uuid

import numpy as np
import pytest
from PIL import Image

from app import annotate_views
from app.annotate_handlers import Workbench
from app.annotate_views import _evidence_json, mask_from_page, mask_size, mask_to_page
from data_tools.review_import import ImportPlan
from data_tools.review_state import ReviewError
from data_tools.schema import inline_mask
from fakeexplain.errors import SourceError
from fakeexplain.examiner import Examiner, Settings
from tests.pictures import encode, photograph
from tests.unit.data_tools.review_cases import SIZE, fresh_store, square


@pytest.fixture
def bench(tmp_path):
    fresh_store(tmp_path, 3, ImportPlan(annotators=2)).close()
    made = Workbench(tmp_path / "reviews.sqlite")
    yield made
    made.close()


def hello(bench, name="Anna"):
    return bench.call({"do": "hello", "name": name})["annotator"]


def act(bench, annotator, review, what, **values):
    request = {"do": "act", "annotator": annotator, "review": review, "what": what, "id": uuid.uuid4().hex}
    return bench.call(request | {"seconds": 1.0} | values)


def test_a_picture_is_annotated_from_beginning_to_end(bench):
    who = hello(bench)
    review = bench.call({"do": "next", "annotator": who})["review"]
    number = review["id"]
    assert [c["number"] for c in review["claims"]] == [1, 2, 3, 4]
    assert review["machine"]["words"] == "evidence of local alteration"
    assert review["evidence"][0]["regions"][0]["box"] == (10, 20, 40, 50)
    for n, values in enumerate(
        [
            {"decision": "accept"},
            {"decision": "edit", "text": "The noise there is 99 grey levels [E1]."},
            {"decision": "reject", "reason": "unclear"},
            {"decision": "unsure"},
        ],
        start=1,
    ):
        assert act(bench, who, number, "claim", claim=n, **values)["ok"]
    act(bench, who, number, "verdict", verdict="manipulated")
    act(bench, who, number, "note", text="looked twice")
    painted = mask_to_page(inline_mask(square(50)), SIZE, SIZE)
    answer = act(bench, who, number, "mask", mask=painted)
    assert answer["review"]["mask_area"] == 900
    assert bench.call({"do": "open", "annotator": who, "review": number})["review"]["mask"] == painted
    edited = answer["review"]["claims"][1]["decision"]
    assert edited["finding"] == "unsupported"
    assert any("99" in p for p in edited["problems"])
    undone = act(bench, who, number, "undo")["review"]
    assert undone["mask_area"] == 900
    assert undone["mask"] != painted
    done = act(bench, who, number, "finish")
    assert done["review"]["stage"] == "done"
    assert done["progress"]["done"] == 1
    assert bench.call({"do": "next", "annotator": who})["review"]["task"] == 2
    json.dumps(done)  # everything is plain


def test_blind_answers_hold_nothing_of_the_draft(tmp_path):
    fresh_store(tmp_path, 2, ImportPlan(blind=True)).close()
    bench = Workbench(tmp_path / "reviews.sqlite")
    who = hello(bench)
    answers = [
        bench.call({"do": "next", "annotator": who}),
        bench.call({"do": "open", "annotator": who, "task": 1}),
        bench.call({"do": "list", "annotator": who}),
        act(bench, who, 1, "claim", claim=1, decision="accept"),
        act(bench, who, 1, "draft_mask"),
        act(bench, who, 1, "finish"),
        act(bench, who, 1, "verdict", verdict="inconclusive"),
        bench.call({"do": "figures"}),
    ]
    for answer in answers:
        text = json.dumps(answer)
        for secret in ("noise", "E1", "points to", "picture0", "0.9", "[980"):
            assert secret not in text, (secret, text)
    assert [a["ok"] for a in answers] == [True, True, True, False, False, False, True, True]
    shown = act(bench, who, 1, "reveal")["review"]
    assert len(shown["claims"]) == 4
    assert shown["opinion"] == "inconclusive"
    bench.close()


def test_a_refused_action_shows_what_is_stored(bench):
    who = hello(bench)
    review = bench.call({"do": "next", "annotator": who})["review"]
    answer = act(bench, who, review["id"], "finish")
    assert not answer["ok"]
    assert "decide claims" in answer["error"]
    assert answer["review"]["stage"] == "review"
    late = act(bench, who, review["id"], "verdict", verdict="manipulated", after=review["last"] - 1)
    assert "another window" in late["error"]
    assert late["review"]["verdict"] is None


def test_adjudication_through_the_handlers(bench):
    people = hello(bench), hello(bench, "Ben"), hello(bench, "Cleo")
    for who, verdict in zip(people, ("manipulated", "no_evidence"), strict=False):
        review = bench.call({"do": "next", "annotator": who})["review"]["id"]
        for n in (1, 2, 3, 4):
            act(bench, who, review, "claim", claim=n, decision="accept")
        act(bench, who, review, "verdict", verdict=verdict)
        assert act(bench, who, review, "finish")["ok"]
    answer = bench.call({"do": "adjudicate", "annotator": people[2]})
    assert [o["verdict"] for o in answer["review"]["others"]] == ["manipulated", "no_evidence"]
    assert answer["review"]["others"][0]["mask"]["size"] == [SIZE, SIZE]
    assert "Anna" not in json.dumps(answer)
    act(bench, people[2], answer["review"]["id"], "verdict", verdict="no_evidence")
    assert act(bench, people[2], answer["review"]["id"], "finish")["review"]["outcome"] == "adjudicated"
    assert bench.call({"do": "adjudicate", "annotator": people[2]})["review"] is None
    figures = bench.call({"do": "figures"})
    assert figures["agreement"]["verdicts"]["units"] == 1
    assert "Anna" not in json.dumps(figures)


def test_pixels_arrive_unaltered_and_parts_of_them(bench, tmp_path):
    given = bench.call({"do": "picture", "task": 1})
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(given["picture"].partition(",")[2]))))
    stored = np.asarray(Image.open(tmp_path / "set" / "picture0.png"))
    assert given["lossless"]
    assert np.array_equal(pixels, stored)
    part = bench.call({"do": "crop", "task": 1, "box": [-5, 10, 30, 20]})
    assert part["box"] == [0, 10, 30, 20]
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(part["picture"].partition(",")[2]))))
    assert np.array_equal(crop, stored[10:20, 0:30])
    (tmp_path / "set" / "picture1.png").write_bytes(b"other bytes")
    (tmp_path / "set" / "picture2.png").unlink()
    assert "changed since" in bench.call({"do": "picture", "task": 2})["error"]
    assert "was it moved" in bench.call({"do": "picture", "task": 3})["error"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": "drop tables"},
        {"do": "next"},
        {"do": "next", "annotator": "x"},
        {"do": "next", "annotator": 99},
        {"do": "open", "annotator": 1, "task": 99},
        {"do": "open", "annotator": 1, "review": 99},
        {"do": "picture", "task": 99},
        {"do": "picture", "task": "../../etc/passwd"},
        {"do": "crop", "task": 1, "box": [0, 0]},
        {"do": "crop", "task": 1, "box": [50, 50, 10, 10]},
        {"do": "act", "annotator": 1, "review": 1, "what": "fly", "id": "a"},
        {"do": "act", "annotator": 1, "review": 1, "what": "mask", "id": "b", "mask": {"size": [1, 1], "counts": [1]}},
        {
            "do": "act",
            "annotator": 1,
            "review": 1,
            "what": "mask",
            "id": "c",
            "mask": {"size": [SIZE, SIZE], "counts": [5]},
        },
        {"do": "act", "annotator": 1, "review": 1, "what": "mask", "id": "d", "mask": None},
        {"do": "act", "annotator": 1, "review": 1, "what": "claim", "id": "e", "claim": 1, "decision": {"a": 1}},
        {"do": "act", "annotator": 2, "review": 1, "what": "finish", "id": "f"},
        {"do": "hello", "name": "x" * 81},
    ],
)
def test_nonsense_gets_a_clear_answer_and_changes_nothing(bench, request_):
    who = hello(bench)
    before = bench.call({"do": "next", "annotator": who})["review"]
    answer = bench.call(request_)
    assert answer["ok"] is False, answer
    assert isinstance(answer["error"], str)
    assert answer["error"]
    assert bench.call({"do": "open", "annotator": who, "review": before["id"]})["review"]["last"] == before["last"]


def test_without_a_database_the_page_says_how_to_make_one(tmp_path):
    answer = Workbench(tmp_path / "none.sqlite").call({"do": "hello", "name": "Anna"})
    assert "python -m data_tools.review import" in answer["error"]


def test_twelve_megapixels_keep_their_mask_and_come_as_a_small_overview(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (750, 1000, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    assert mask_size(*rgb.shape[:2]) == (3000, 4000)
    fresh_store(tmp_path, 1).close()
    bench = Workbench(tmp_path / "reviews.sqlite", read=lambda path, sha256: rgb)
    shown = bench.call({"do": "picture", "task": 1})
    assert (shown["width"], shown["height"], shown["mask_size"], shown["lossless"]) == (4000, 3000, [3000, 4000], False)
    kind, _, data = shown["picture"].partition(";base64,")
    assert kind == "data:image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (2048, 1536)
    part = bench.call({"do": "crop", "task": 1, "box": [1000, 800, 1100, 900]})
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(part["picture"].partition(",")[2]))))
    assert np.array_equal(pixels, rgb[800:900, 1000:1100])
    bench.close()


def test_masks_of_large_pictures_are_painted_smaller_and_come_back_in_the_source_frame(monkeypatch):
    monkeypatch.setattr(annotate_views, "_MASK_PIXELS", 96 * 96 // 4)
    assert mask_size(96, 96) == (48, 48)
    page = mask_to_page(inline_mask(square(10, 20, 30)), 96, 96)
    assert page["size"] == [48, 48]
    assert np.array_equal(mask_from_page(page, 96, 96), square(10, 20, 30))
    with pytest.raises(ReviewError, match="reload"):
        mask_from_page({"size": [96, 96], "counts": [96 * 96]}, 96, 96)
    with pytest.raises(SourceError):
        mask_from_page({"size": [48, 48], "counts": [3]}, 96, 96)
    assert mask_to_page(inline_mask(np.ones((4, 4), bool)), 4, 4)["counts"] == [0, 16]
    assert mask_to_page(inline_mask(np.zeros((4, 4), bool)), 4, 4)["counts"] == [16]


def test_a_test_without_finding_is_told_as_such_and_marks_nothing(tmp_path):
    examination = Examiner(Settings(expert=None), threads=1).examine(encode(photograph("coffee"), "JPEG", quality=85))
    quiet = next(e for e in examination.evidence if e.kind == "detection")
    assert examination.verdict.label == "no_evidence"
    told = _evidence_json(quiet, examination.verdict)
    assert "nothing beyond chance" in told["words"]
    assert told["regions"] == []
