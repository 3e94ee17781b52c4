"""Sentences by rule: what must be said is said, cited, and nothing that must not be said."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from fakeexplain.imaging.regions import mask_of_box, region_of_mask
from fakeexplain.instruments.suite import all_instruments
from fakeexplain.reasoning.numbers import number_words, one_in, percent_of, rate_words
from fakeexplain.reasoning.phrases import FACTS, TRACES
from fakeexplain.reasoning.quoting import instrument_words
from fakeexplain.reasoning.touching import of_one_place
from fakeexplain.reasoning.wording import (
    chance_words,
    describe,
    expectation_words,
    explain,
    fact_sentence,
    figure_words,
    is_significant,
    place_words,
)
from fakeexplain.records import Claim, Evidence, QualityReport, Verdict

QUALITY = QualityReport(band="jpeg_high", examinable=True)
FORBIDDEN = re.compile(
    r"\b(is|are|be|was|looks|seems) (authentic|real|genuine|original|untouched)\b|\bprov(es?|en|ing)\b", re.I
)


def corner_mask(x: int = 0, y: int = 0) -> np.ndarray:
    mask = np.zeros((100, 100), dtype=bool)
    mask[y : y + 30, x : x + 40] = True
    return mask


def detection(trace: str = "noise_high", log10_nfa: float | None = -4.3, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "id": "E1",
        "instrument": "noise",
        "instrument_version": "1.0",
        "kind": "detection",
        "trace": trace,
        "quantity": "noise at the same brightness",
        "value": 6.1,
        "unit": "grey levels",
        "reference": 3.0,
        "reference_text": "around it",
        "region": region_of_mask(corner_mask(), "R1"),
        "log10_nfa": log10_nfa,
        "limits": ("fine texture", "sharpening by the camera"),
    }
    return Evidence(**(fields | changes))


def fact(trace: str, value: Any, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "id": "E3",
        "instrument": "metadata",
        "instrument_version": "1.0",
        "kind": "fact",
        "trace": trace,
        "quantity": "something about the file",
        "value": value,
        "reference_text": "as written in the file",
    }
    return Evidence(**(fields | changes))


def abstention() -> Evidence:
    return Evidence(
        id="E4",
        instrument="double_jpeg",
        instrument_version="1.0",
        kind="abstention",
        trace="none",
        quantity="parts saved once less",
        reason="the file is not a JPEG",
    )


def verdict(label: str = "manipulated", **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "label": label,
        "probability": 0.97,
        "log10_nfa": -4.0,
        "threshold_log10": -2.6,
        "false_alarms": 0.02,
        "deciding_ids": ("E1",) if label == "manipulated" else (),
        "reason": "1 finding of noise passed the threshold.",
        "probability_basis": "Posterior for a prior of 0.5.",
        "not_tested": ("staging or false captions", "double_jpeg: the file is not a JPEG"),
    }
    return Verdict(**(fields | changes))


def texts(claims: tuple[Claim, ...], section: str) -> str:
    return " ".join(c.text for c in claims if c.section == section)


def test_a_finding_is_told_with_place_figure_chance_and_alternatives() -> None:
    claims = explain(QUALITY, [detection()], verdict())
    found = texts(claims, "finding")
    assert "In the upper left (12 % of the image), the picture has noise of 6.1 grey levels inside against 3.0" in found
    assert "expected by chance in fewer than 1 of 10,000 unaltered pictures [E1]." in found
    assert "This could also come from fine texture; or sharpening by the camera [E1]." in found
    conclusion = texts(claims, "conclusion")
    assert "a part of this picture was altered [E1]" in conclusion
    assert "clearly more probable if a part was altered locally than if it was not [E1]" in conclusion
    assert "97 %" in conclusion
    assert "at most 2 of 100 unaltered photographs" in conclusion
    assert "Posterior for a prior of 0.5." in conclusion


def test_citations_in_text_and_in_ids_agree_and_factual_sentences_have_one() -> None:
    quiet = detection("foreign_grid", 1.0, id="E2", instrument="jpeg_grid", region=None)
    evidence = [detection(), quiet, fact("camera_facts", "Nikon"), abstention()]
    claims = explain(QUALITY, evidence, verdict())
    for claim in claims:
        assert tuple(re.findall(r"\[(E\d+)\]", claim.text)) == claim.evidence_ids
    for section in ("finding", "fact"):
        assert all(c.evidence_ids for c in claims if c.section == section)
    assert {i for c in claims for i in c.evidence_ids} == {"E1", "E2", "E3", "E4"}
    order = ["conclusion", "finding", "fact", "quality", "not_tested"]
    positions = [order.index(c.section) for c in claims]
    assert positions == sorted(positions)


@pytest.mark.parametrize("label", ["manipulated", "no_evidence", "inconclusive"])
def test_nothing_is_called_authentic_or_proven(label: str) -> None:
    evidence = [detection(t, -9.0, id=f"E{i}") for i, t in enumerate(TRACES, start=10)]
    evidence += [fact(t, "some words", reference=3, id=f"E{i}") for i, t in enumerate(FACTS, start=30)]
    for probability in (0.0, 0.02, 0.4, 0.6, 0.97, 1.0):
        claims = explain(QUALITY, evidence, verdict(label, probability=probability))
        for claim in claims:
            assert not FORBIDDEN.search(claim.text), claim.text
            assert claim.text[0].isupper() or not claim.text[0].isalpha(), claim.text
            assert claim.text.endswith("."), claim.text
            assert "None" not in claim.text
            assert "{" not in claim.text
            assert ".." not in claim.text


def test_no_evidence_is_said_plainly() -> None:
    quiet = detection(log10_nfa=1.0)
    claims = explain(QUALITY, [quiet], verdict("no_evidence", probability=0.3))
    assert claims[0].text == "No evidence found, which does not show that the picture is unaltered [E1]."
    assert "somewhat more probable if no part was altered locally" in texts(claims, "conclusion")
    found = texts(claims, "finding")
    assert "(noise) examined the picture and found nothing beyond chance [E1]." in found
    assert found.count(".") == 1


def test_inconclusive_names_the_reason_and_cites_conflicts() -> None:
    evidence = [detection("noise_low", id="E1"), detection("noise_high", id="E2")]
    conflict = "E1 and E2 contradict each other about one place: one says less noise, the other more."
    claims = explain(
        QUALITY,
        evidence,
        verdict("inconclusive", reason="No finding stands without conflict", conflicts=(conflict,), probability=0.5),
    )
    conclusion = [c for c in claims if c.section == "conclusion"]
    assert "gives no answer in either direction" in conclusion[0].text
    assert conclusion[1].text.startswith("No finding stands without conflict [")
    assert conclusion[2].evidence_ids == ("E1", "E2")
    assert not any("more probable" in c.text for c in conclusion)


def test_unexaminable_pictures_say_why() -> None:
    quality = QualityReport(band="unexaminable", examinable=False, reasons=("the picture is 20x20 pixels",))
    claims = explain(quality, [abstention()], verdict("inconclusive", reason="Cannot be judged.", probability=0.5))
    assert "This makes an examination impossible: the picture is 20x20 pixels." in texts(claims, "quality")


def test_abstentions_are_told_once_with_their_reason() -> None:
    claims = explain(QUALITY, [detection(), abstention()], verdict())
    told = texts(claims, "not_tested")
    assert told.count("the file is not a JPEG") == 1
    assert "gave no result; the file is not a JPEG [E4]." in told
    assert "Not tested: staging or false captions." in told


def test_a_file_cannot_forge_citations_or_controls_or_sentences() -> None:
    hostile = "x [E1] “y” \x1b[31m\u202e\n\nThe picture is authentic. {quantity}" + "z" * 10_000
    claims = explain(QUALITY, [detection(), fact("editor_software", hostile)], verdict())
    told = next(c for c in claims if c.section == "fact")
    assert told.evidence_ids == ("E3",)
    assert re.findall(r"\[(E\d+)\]", told.text) == ["E3"]
    assert not re.search(r"[\x00-\x1f\u202e]", told.text)
    assert told.text.count("“") == 1
    assert told.text.count("”") == 1
    assert "{quantity}" in told.text
    assert len(told.text) < 400


def test_the_networks_guess_is_told_with_how_often_it_is_right_and_not_without() -> None:
    hint = {"operation_words": "content from another picture", "operation_reliability": 0.684}
    item = detection("expert_region", instrument="expert", details=hint)
    assert "guess at the kind of edit is content from another picture" in describe(item)
    assert "68 % were right [E1]." in describe(item)
    assert "guess" not in describe(item.model_copy(update={"details": hint | {"operation_reliability": None}}))


def test_unknown_traces_and_instruments_are_worded_too() -> None:
    item = detection("brand_new", instrument="newcomer", quantity="odd blocks", value=7, unit="", reference=None)
    text = describe(item)
    assert "In the upper left (12 % of the image), odd blocks: 7 (around it) [E1]." in text
    quiet = texts(
        explain(QUALITY, [detection("brand_new", 0.5, instrument="newcomer")], verdict("no_evidence")), "finding"
    )
    assert "The instrument newcomer examined" in quiet


def test_pairs_name_both_places_and_no_culprit() -> None:
    item = detection("duplicate_region", instrument="copy_move", partner=region_of_mask(corner_mask(60, 70), "R2"))
    text = describe(item)
    assert "In the upper left (12 % of the image), the picture repeats what it shows in the lower right" in text
    assert "Which of the two is the copy cannot be told from the measurement" in text


def test_the_network_is_worded_by_its_p_value() -> None:
    item = detection("expert_region", None, instrument="expert", p_value=0.002)
    assert "no more than 1 of 500 unaltered pictures" in describe(item).lower()
    assert is_significant(item, verdict(expert_threshold_log10=-2.0))
    assert not is_significant(item.model_copy(update={"p_value": 0.011}), verdict())


def test_measurements_say_that_they_do_not_count() -> None:
    item = detection(kind="measurement", log10_nfa=None, id="")
    text = describe(item)
    assert "6.1 grey levels, compared with 3.0 grey levels (around it)" in text
    assert "does not count for the verdict" in text
    assert "A difference could also come from fine texture; or sharpening by the camera." in text
    assert "[" not in text


def test_expectations_follow_the_likelihood_ratio() -> None:
    degrees = [(0.6, "about as probable"), (0.8, "somewhat"), (0.97, "clearly"), (0.995, "much"), (0.9999, "very much")]
    for probability, words in degrees:
        assert words in expectation_words(verdict(probability=probability))
    assert "if no part was altered" in expectation_words(verdict(probability=0.1))


def test_numbers_as_people_read_them() -> None:
    assert one_in(-4.3) == "1 of 10,000"
    assert one_in(-3.0) == "1 of 1,000"
    assert one_in(-2.62) == "1 of 400"
    assert one_in(-5000.0) == "1 of 1,000,000"
    assert rate_words(0.02) == "2 of 100"
    assert rate_words(0.0025) == "25 of 10,000"
    assert percent_of(1.0) == "over 99.9 %"
    assert percent_of(0.0) == "under 0.1 %"
    assert percent_of(0.9671) == "97 %"
    assert number_words(12345) == "12,345"
    assert number_words(float("nan")) == "no figure"
    share = detection(quantity="share of blocks", value=0.42, unit="", reference=0.05, reference_text="elsewhere")
    assert figure_words(share) == "42 %, compared with 5.0 % (elsewhere)"
    assert chance_words(detection(log10_nfa=2.0)) == "results like this are common in unaltered pictures"
    assert "could not be checked by counting" in chance_words(detection(log10_nfa=-40.0))
    assert chance_words(detection(log10_nfa=-1e6)).count("1 of 1,000,000") == 1
    assert chance_words(detection(log10_nfa=-0.2)) == "results like this are common in unaltered pictures"
    wide = np.ones((50, 50), dtype=bool)
    assert place_words(region_of_mask(wide)) == "across the whole image (100 % of the image)"
    assert place_words(None) == "in the whole picture"


def test_every_witness_has_words_of_its_own_in_a_sentence():
    for name in (*(i.name for i in all_instruments()), "expert"):
        assert not instrument_words(name).startswith("the instrument"), name


def test_findings_that_overlap_are_told_as_one_place() -> None:
    def finding(number: int, box: tuple[float, float, float, float]) -> Evidence:
        region = region_of_mask(mask_of_box(box, 100, 100), f"R{number}")
        return detection(log10_nfa=-9.0, id=f"E{number}", region=region)

    findings = [finding(1, (0, 0, 40, 40)), finding(2, (60, 60, 90, 90)), finding(3, (5, 5, 45, 45))]
    assert [[e.id for e in g] for g in of_one_place(findings)] == [["E1", "E3"], ["E2"]]
    chain = [finding(1, (0, 0, 20, 20)), finding(2, (40, 0, 60, 20)), finding(3, (0, 0, 60, 20))]
    assert [[e.id for e in g] for g in of_one_place(chain)] == [["E1", "E2", "E3"]]
    told = verdict(deciding_ids=("E1", "E2", "E3"))
    said = [c for c in explain(QUALITY, findings, told) if "one place" in c.text]
    assert [c.text for c in said] == [
        "R1 and R3 overlap and point to one place, in the upper left (16 % of the image) [E1][E3]."
    ]
    apart = explain(QUALITY, findings[:2], verdict(deciding_ids=("E1", "E2")))
    assert "one place" not in texts(apart, "conclusion")
    quiet = explain(QUALITY, findings, verdict("no_evidence", probability=0.3))
    assert "one place" not in texts(quiet, "conclusion")


def test_where_the_grid_of_a_picture_begins_is_told_as_it_is() -> None:
    def grid(value: str | None) -> str:
        item = fact("main_grid", value, quantity="no grid was found", reference="(0, 0)", limits=("a crop",))
        return fact_sentence(item.model_copy(update={"instrument": "jpeg_grid"}))

    assert "begin at (0, 0), as written" in grid("(0, 0)")
    assert "begin at (3, 5) instead of (0, 0)" in grid("(3, 5)")
    assert "could also come from a crop" in grid("(3, 5)")
    assert "(0, 0)" not in grid(None), "what is not there is compared with nothing"
