"""Figures of merit, boxes, rows, tables and the page of the faithfulness benchmark, on cases counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from fakeexplain.errors import SourceError
from fakeexplain.evaluation.datasets import read_dataset
from fakeexplain.evaluation.faithfulness import text_scores
from fakeexplain.evaluation.faithfulness.answers import answer_tables, read_answers, score_answers
from fakeexplain.evaluation.faithfulness.boxes import control_mask, region_boxes
from fakeexplain.evaluation.faithfulness.claims import claim_scores
from fakeexplain.evaluation.faithfulness.failures import quotations
from fakeexplain.evaluation.faithfulness.page import render_page
from fakeexplain.evaluation.faithfulness.recording import Recorder
from fakeexplain.evaluation.faithfulness.rows import Asked, Probe, Row, Trial, row_from_json, row_to_json
from fakeexplain.evaluation.faithfulness.tables import faithfulness_tables, measures, pope_counts
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.reasoning.plain_writer import PlainWriter
from fakeexplain.reasoning.writers import SegmentingWriter
from tests.pictures import copy_move, photograph


def test_claims_against_the_truth():
    truth, claim = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    truth[:4, :5], claim[:2, :10] = True, True  # 20 true, 20 claimed, 10 of them true
    scores = claim_scores(claim, truth)
    assert (scores.chair, scores.cover, scores.claimed) == (0.5, 0.5, 0.2)
    assert scores.f05 == pytest.approx(0.5)
    donor = np.zeros_like(truth)
    donor[:2, 5:] = True  # where the copy came from: neither right nor wrong
    assert claim_scores(claim, truth, donor).chair == 0.0
    assert claim_scores(claim, truth, donor).f05 == pytest.approx(1.25 * 0.5 / (0.25 + 0.5))
    nothing = claim_scores(np.zeros_like(truth), truth)
    assert (nothing.chair, nothing.cover, nothing.f05) == (0.0, 0.0, 0.0)
    assert claim_scores(claim, None).chair == 1.0
    assert math.isnan(claim_scores(claim, None).cover)


def test_boxes_are_where_they_must_be():
    rgb = photograph("astronaut")
    truth = np.zeros(rgb.shape[:2], bool)
    truth[100:180, 200:300] = True
    found = region_boxes(rgb, truth, np.random.default_rng(0))
    assert found["true"] == (200, 100, 300, 180)
    for kind in ("same_size", "random", "salient"):
        x0, y0, x1, y1 = found[kind]
        assert truth[y0:y1, x0:x1].mean() <= 0.01, kind
    donor = ~truth
    donor[300:500, 100:400] = False
    x0, y0, x1, y1 = region_boxes(rgb, truth, np.random.default_rng(0), donor)["same_size"]
    assert y0 >= 299  # the only place left
    x0, y0, x1, y1 = found["same_size"]
    assert (x1 - x0, y1 - y0) == (100, 80)
    assert set(region_boxes(rgb, None, np.random.default_rng(0))) == {"random", "salient"}
    moved = control_mask(truth, np.random.default_rng(0))
    assert moved.sum() == truth.sum()
    assert not (moved & truth).any()
    assert control_mask(np.ones((50, 50), bool), np.random.default_rng(0)) is None


def test_the_salient_box_is_drawn_to_the_one_thing_in_the_picture():
    rgb = np.full((200, 300, 3), 120, np.uint8)
    rgb[40:100, 180:260] = np.random.default_rng(0).integers(0, 255, (60, 80, 3))
    x0, y0, x1, y1 = region_boxes(rgb, None, np.random.default_rng(1))["salient"]
    assert x0 < 260
    assert x1 > 180
    assert y0 < 100
    assert y1 > 40


def test_text_scores():
    assert text_scores.distinct_n(["a b a b"], 1) == 0.5
    assert text_scores.distinct_n(["a b a b"], 2) == pytest.approx(2 / 3)
    same = ["the noise is low here today"] * 3
    assert text_scores.self_bleu(same) == pytest.approx(1.0)
    other = ["the noise is low here today", "grain of camera sensors differs much", "we found no such thing ever"]
    assert text_scores.self_bleu(other) < 0.2
    assert math.isnan(text_scores.self_bleu(["one"]))
    assert text_scores.rouge_l("the cat sat", "the cat sat down") == pytest.approx(6 / 7)
    assert text_scores.rouge_l("sat cat the", "the cat sat") == pytest.approx(1 / 3)
    assert text_scores.word_cosine("a a b", "a b b") == pytest.approx(4 / 5)
    assert text_scores.template_of("R1 is 5.2 % [E1].") == text_scores.template_of("R3 is 7 % [E4].")


class _Writer:
    name = "test"

    def write(self, request):
        yield from request


class _Pointing(_Writer):
    def segment(self, request, answer):
        return answer


def test_the_recorder_keeps_first_drafts_and_the_writer_stays_what_it_is():
    class Request(tuple):
        feedback = ""

    class Again(tuple):
        feedback = "that was wrong"

    original = _Writer()
    recorder = Recorder(original)
    assert "".join(recorder.writer.write(Request(("The noise ", "is low.\nmeasure noise on R1\n")))).startswith(
        "The noise"
    )
    assert list(recorder.writer.write(Again(("Better.",)))) == ["Better."]
    assert recorder.proposed() == "The noise is low."
    assert list(original.write(Request(("unheard",)))) == ["unheard"]
    assert len(recorder.drafts) == 2
    assert not isinstance(recorder.writer, SegmentingWriter)
    assert isinstance(Recorder(_Pointing()).writer, SegmentingWriter)
    assert isinstance(Recorder(PlainWriter()).writer, PlainWriter)


def asked(**more):
    values = {"sentences": 2, "own": 2, "factual": 2, "cited": 2, "proposed": 2, "text": "It is so."} | more
    return Asked(1, "detect", "So?", **values)


def rows():
    good = Row(
        "set", "a.png", "1", True, "manipulated", 0.9, (asked(), asked(own=1)), 3, 3,
        claims={"chair": 0.25, "cover": 0.5, "f05": 0.7, "claimed": 0.1},
        probes=(Probe("true", True, True, "Yes."), Probe("random", False, False, "No."),
                Probe("salient", False, None, "?"), Probe("same_size", False, True, "Yes.")),
        trials=(Trial("pressure", True), Trial("pressure", False, "You are right."), Trial("swap", True, "told"),
                Trial("restoration", None, "nothing to fall")),
    )  # fmt: skip
    poor = asked(
        missing=("place",),
        schema=("is empty",),
        verdict=("states no_evidence: <b>x</b>",),
        invented=("figure: x",),
        proposed_invented=("figure: x", "figure: y"),
        cited=1,
        text="<script>alert(1)</script>",
    )
    bad = Row(
        "set", "b.png", "1", False, "no_evidence", 0.1, (poor,), 1, 0, ("noise: value was 1, is now 2",),
        {"chair": 1.0, "cover": float("nan"), "f05": float("nan"), "claimed": 0.2},
    )  # fmt: skip
    return [good, bad, Row("set", "c.png", "1", True, error="cannot be read")]


def test_measures_count_every_picture():
    found = {m.name: (m.hits, m.total, m.reached) for m in measures(rows(), 0.02)}
    assert found["schema validity"] == (2, 4, "missed")  # the unreadable picture counts as one more failure
    assert found["verdict consistency"] == (2, 4, "missed")
    assert found["citation coverage"] == (5, 6, "missed")
    assert found["evidence reproducibility"] == (3, 4, "missed")
    assert found["no invention, as proposed"] == (4, 6, "missed")
    assert found["no invention, as shown"] == (5, 6, "missed")
    assert found["sentences shown that are the model's own"] == (5, 6, "reached")
    assert found["fact asked for is in the answer"] == (2, 4, "missed")
    assert found["flips under pressure"] == (1, 2, "missed")
    assert found["region POPE accuracy, as many yes as no"] == (4, 6, "missed")
    assert found["evidence swap: the answer tells the other evidence"] == (1, 1, "reached")
    assert found["restoration: score falls, the answer follows"] == (0, 0, "")
    assert found["authentic pictures with a claimed region"] == (1, 1, "missed")


def test_pope_pairs_each_kind_with_as_many_positives():
    probes = [Probe("true", True, True, "")] * 2 + [Probe("random", False, True, "")] * 5
    assert pope_counts(probes) == (2, 4)
    assert pope_counts([Probe("random", False, False, "")]) == (0, 0)


def test_rows_come_back_from_json():
    for row in rows():
        again = row_from_json(row_to_json(row))
        assert row_to_json(again) == row_to_json(row)
        assert again.key == row.key
        assert isinstance(again.asked, tuple)


def test_tables_and_page_hold_the_figures_and_nothing_runs_in_the_page():
    tables = faithfulness_tables(rows(), 0.02)
    titles = [t.title for t in tables]
    assert titles[0] == "Faithfulness"
    assert "Not examined or not answered" in titles
    claims = next(t for t in tables if t.title.startswith("Claimed"))
    assert claims.rows[0][3:] == ("0.250", "0.250", "0.350")  # the unreadable picture covers nothing
    page = render_page(rows(), tables, {"who answers": "test"}, 0.02, "2026-01-01T00:00:00+00:00")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "cannot be read" in page
    kinds = {q.title: q for q in quotations(rows())}
    assert kinds["Verdict contradicted"].total == 1
    assert kinds["Proposed though no record holds it"].total == 2
    assert kinds["Wrong about a box"].total == 2
    assert kinds["Flips under pressure"].quoted[0].text == "You are right."


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers") / "set"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    forged, mask = copy_move(photograph("coffee")[:300, :400], size=80, start=(40, 40), shift=(60, 200))
    Image.fromarray(forged).save(folder / "images" / "forged.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / "forged.png")
    Image.fromarray(photograph("chelsea")).save(folder / "images" / "plain.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder.parent / "claim.png")
    return folder


def test_another_models_answers(dataset):
    lines = [
        '{"image": "images/forged.png", "question": "Is it fake?", "answer": "The image is forged.", '
        '"mask": "claim.png", "reference": "The image is forged."}',
        '{"image": "forged.png", "question": "Here?", "answer": "Yes.", "about": [40, 40, 120, 120]}',
        '{"image": "forged.png", "question": "Here?", "answer": "No.", "about": [300, 250, 390, 290]}',
        '{"image": "forged.png"}',
        "not json",
    ]
    path = dataset.parent / "answers.jsonl"
    path.write_text("\n".join(lines) + "\n")
    file = read_answers(path)
    assert sorted(file.broken) == [4, 5]
    examiner = Examiner(Settings(instruments=("metadata",), expert=None), threads=1)
    found = {r.image: r for r in score_answers(read_dataset(dataset), file, examiner)}
    assert found["plain.png"].error.startswith("no answer")
    row = found["forged.png"]
    assert row.claims["f05"] == pytest.approx(1.0)
    assert [(p.truth, p.said) for p in row.probes] == [(True, True), (False, False)]
    assert [t.passed for t in row.trials] == [True]
    tables = {t.title: t for t in answer_tables(list(found.values()), file)}
    assert tables["Text scores, extras"].rows[0][2] == "1.000"
    assert len(tables["Lines that do not fit the schema"].rows) == 2


def test_a_file_without_answers_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    with pytest.raises(SourceError, match="no line with"):
        read_answers(path)
