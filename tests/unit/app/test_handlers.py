from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from app import handlers
from app.errors import AppError, UnknownEvidenceError, UnknownPictureError
from app.service import Service, ServiceLimits
from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import decode_mask
from tests.pictures import encode
from tests.unit.app.conftest import QUICK


def test_the_verdict_card(service, examined):
    card = examined.card
    assert card.label == "manipulated"
    assert card.title
    assert card.deciding_ids == ("E1",)
    assert "%" in card.percent
    assert "2 of 100" in card.promise
    assert card.conclusion[0].text
    assert card.not_tested
    assert card.probability == service.picture(examined.id).examination.verdict.probability


def test_each_evidence_says_what_it_measures_and_what_else_causes_it(examined):
    first = examined.evidence[0]
    assert (first.id, first.significant, first.status) == ("E1", True, "open")
    assert first.sentence
    assert first.explanation
    assert first.other_causes
    assert first.looks_for
    assert first.region_id
    assert first.partner_id
    assert all(e.sentence or e.reason for e in examined.evidence)
    assert first.other_causes[0] not in first.sentence + first.explanation  # told once


def test_a_view_is_json(examined):
    assert json.loads(json.dumps(examined.to_dict()))["sha256"] == examined.sha256


def test_choosing_evidence_lights_its_regions(service, examined):
    chosen = handlers.select_evidence(service, examined.id, "E1")
    assert [layer.label for layer in chosen.layers] == ["E1a", "E1b"]
    evidence = service.picture(examined.id).examination.evidence[0]
    assert chosen.layers[0].mask == evidence.region.mask
    assert chosen.layers[1].box_xyxy == evidence.partner.box_xyxy
    fact = next(e for e in examined.evidence if e.kind == "fact")
    assert handlers.select_evidence(service, examined.id, fact.id).layers == ()
    shown = handlers.selection_picture(service, examined.id, "E1")
    inside = decode_mask(evidence.region.mask)
    changed = (shown != handlers.plain_picture(service, examined.id)).any(axis=2)
    assert changed[inside].mean() > 0.9
    with pytest.raises(UnknownEvidenceError, match="wanted one of E1"):
        handlers.select_evidence(service, examined.id, "E99")
    with pytest.raises(UnknownPictureError):
        handlers.select_evidence(service, "nothing", "E1")


def test_the_overlay_follows_mask_and_threshold(service, examined):
    plain = handlers.plain_picture(service, examined.id)
    marked = handlers.overlay_picture(service, examined.id, opacity=0.5)
    mask = handlers.mask_of(service, examined.id)
    assert marked.shape == plain.shape == (512, 512, 3)
    assert ((marked != plain).any(axis=2) & mask).sum() > 0.95 * mask.sum()
    everything = handlers.overlay_picture(service, examined.id, threshold=0.0, contour=False)
    assert (everything != plain).any(axis=2).mean() > 0.99
    assert handlers.mask_of(service, examined.id, 1.1).sum() == 0
    assert handlers.map_picture(service, examined.id).shape == plain.shape
    assert handlers.overlay_picture(service, examined.id, side=100).shape == (100, 100, 3)


def test_the_mask_is_that_of_the_examination(service, examined):
    assert np.array_equal(
        handlers.mask_of(service, examined.id), decode_mask(service.picture(examined.id).examination.mask)
    )


def test_regions_that_cannot_be(service, examined):
    for wrong in ({}, {"box_xyxy": (0, 0, 5, 5), "region_mask": np.ones((512, 512), bool)}):
        with pytest.raises(MeasurementError, match="either"):
            handlers.add_region(service, examined.id, **wrong)
    with pytest.raises(MeasurementError, match="inside the picture"):
        handlers.add_region(service, examined.id, box_xyxy=(900, 900, 950, 950))
    with pytest.raises(UnknownEvidenceError):
        handlers.show_region(service, examined.id, "R99")
    assert handlers.show_region(service, examined.id, "R1").id == "R1"


def test_questions_that_are_refused(service, examined):
    with pytest.raises(AppError, match="empty"):
        handlers.submit_question(service, examined.id, "  \n")
    with pytest.raises(AppError, match="at most 4000"):
        handlers.submit_question(service, examined.id, "a" * 4001)
    with pytest.raises(UnknownEvidenceError, match="no region"):
        handlers.submit_question(service, examined.id, "why?", region="R77")


def test_remarks_and_statuses(tmp_path):
    rng = np.random.default_rng(0)
    facts = dataclasses.replace(QUICK, instruments=("metadata",))
    with Service(facts, ServiceLimits(workers=1), folder=tmp_path) as made:
        view = handlers.examine(made, encode(rng.integers(0, 255, (64, 64, 3), np.uint8)), "a.png")
        chosen = view.evidence[0].id
        handlers.note(made, view.id, "looked at", author="A")
        handlers.note(made, view.id, "the caption explains it", evidence_id=chosen, status="rejected")
        after = handlers.note(made, view.id, "second thought", evidence_id=chosen, author="B")
        assert [n.text for n in after.notes] == ["looked at"]
        assert after.evidence[0].status == "rejected"
        assert [n.text for n in after.evidence[0].notes] == ["the caption explains it", "second thought"]
        for wrong, message in (
            ({"text": ""}, "empty"),
            ({"text": "x", "status": "rejected"}, "belongs to a finding"),
            ({"text": "x", "evidence_id": chosen, "status": "maybe"}, "wanted one of open"),
            ({"text": "x" * 10_001}, "at most"),
            ({"text": "x", "evidence_id": "E99"}, "no evidence"),
        ):
            with pytest.raises(AppError, match=message):
                handlers.note(made, view.id, **wrong)
