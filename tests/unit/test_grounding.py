"""The checker of answers: what a sentence can do wrong with right ids, and what it may say."""

from __future__ import annotations

import numpy as np
import pytest

from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.reasoning.grounding import Checker
from fakeexplain.reasoning.quoting import place_of, rate_of, size_of
from fakeexplain.records import Examination
from tests.pictures import copy_move, encode, photograph


@pytest.fixture(scope="module")
def forged() -> Examination:
    return Examiner(Settings(expert=None), threads=1).examine(encode(copy_move(photograph("astronaut"), size=90)[0]))


@pytest.fixture(scope="module")
def checker(forged: Examination) -> Checker:
    regions = {r.id: r for e in forged.evidence for r in e.areas}
    corner = np.zeros((forged.source.height, forged.source.width), bool)
    corner[-60:, -60:] = True
    return Checker(forged, forged.evidence, {**regions, "R9": region_of_mask(corner, "R9")})


@pytest.mark.parametrize(
    "sentence",
    [
        # a region in place of a citation
        "R9 shows signs of a change.",
        "R9 is the part that the instruments found.",
        "R1 is fine.",
        "R9 came from another picture.",
        # a denial about one region that denies the verdict
        "None of the findings lies in R9, so nothing in the picture was altered [E1].",
        "There are no findings anywhere in the picture, nor inside R9 [E1].",
        "Nobody found a difference anywhere, not in R9 [E1].",
        # further than what was measured
        "R1 came from another picture [E1].",
        "Somebody put this part there later [E1].",
        "The rest of the picture is fine [E1].",
        "All is well with the rest of the picture [E1].",
        "Only R1 was changed, the evidence shows [E1].",
        "R1 is all that was altered, by the evidence [E1].",
        "Every test points to a local change [E1].",
        "All instruments agree on this [E1].",
        "The instruments agree, with one another, on R1 [E1].",
        "R9 is like R1 [E1].",
        "R1 matches its surroundings [E1].",
        # sentences that state nothing, with something in them
        "We may disagree; the man on the left was added by the police, for that is what was measured.",
        "Look, the file was saved by a messenger service.",
        "Check the file: it was saved by a person from the service.",
        # no sentences
        "The touch R1 [E1].",
        "R1 of R1 is inside the finding R1, (8 % of the image [E1].",
        "Not tested) [E1].",
        "The threshold is set so that at most in the lower right in R1 [E1].",
        "No figure for R9, as evidence was found is in the centre [E1].",
        "The two places of the two places repeat each other [E1].",
        "The finding lies in the [E1].",
        "R1 is R2, along the right side; it repeats R2, along the right side [E1].",
        "I set the chance that a evidence of a local alteration [E1].",
        "The probability that a part was altered is put, which a part was altered [E1].",
        "There is evidence of a local change",
    ],
)
def test_what_the_records_do_not_carry_is_refused(checker: Checker, sentence: str) -> None:
    assert checker.check(sentence).finding == "unsupported"


@pytest.mark.parametrize(
    ("sentence", "finding"),
    [
        ("With all instruments heard, there is evidence of a local change [E1].", "supported"),
        ("No finding touches R9 [E1].", "supported"),
        # a verdict that "stays as it is" breaks off nowhere
        ("As the place was picked, the verdict stays as it is.", "no_claim"),
        ("I see your view, but the measurements stay as they are.", "no_claim"),
        ("R1 is larger than R9.", "supported"),
        ("We may disagree; the evidence has not changed.", "no_claim"),
        ("Ask for the file as the camera saved it, before any messenger or service.", "no_claim"),
        ("Look for other copies of the picture and compare them.", "no_claim"),
        ("Keep the received file and note its SHA-256.", "no_claim"),
        ("Mark a region with a box, and I can say what was measured there.", "no_claim"),
    ],
)
def test_what_they_carry_stays(checker: Checker, sentence: str, finding: str) -> None:
    checked = checker.check(sentence)
    assert checked.finding == finding, checked.problems


def test_evidence_is_cited_from_those_who_found_it(forged: Examination, checker: Checker) -> None:
    quiet = next(e.id for e in forged.evidence if e.kind == "detection" and e.id not in forged.verdict.deciding_ids)
    assert forged.verdict.deciding_ids == ("E1",)
    checked = checker.check(f"This image shows evidence of local editing [E1][{quiet}].")
    assert (checked.finding, checked.text) == ("supported", "This image shows evidence of local editing [E1].")
    assert checker.check(f"There is evidence that a part was changed [{quiet}].").finding == "unsupported"


def test_a_share_of_blocks_is_no_size(forged: Examination) -> None:
    quantity = "share of comparable blocks that show no trace of the picture's first JPEG save"
    held = {"instrument": "double_jpeg", "quantity": quantity, "value": 0.98, "reference": 0.05, "unit": ""}
    first = forged.evidence[0].model_copy(update=held)
    checker = Checker(forged, (first, *forged.evidence[1:]), {r.id: r for r in first.areas})
    assert (
        checker.check("98 % of the comparable blocks lack the trace of the first JPEG save [E1].").finding
        == "supported"
    )
    quoted = f"In {place_of(first.areas[0]).removeprefix('in ')}: {quantity}, 98 % [E1]."
    assert checker.check(quoted).finding == "supported", checker.check(quoted).problems
    for lie in (
        "The region R1 has a size of 98 % [E1].",
        "R1 covers 98 % of the image [E1].",
        "The trace lies in R1: 98 % [E1].",
    ):
        assert checker.check(lie).finding == "unsupported", lie


def test_a_denial_does_not_cover_what_follows_it() -> None:
    """ "None of the tests passed its threshold, so evidence of a local change was found" was let through."""
    quiet = Examiner(Settings(expert=None), threads=1).examine(encode(photograph("coffee"), "JPEG", quality=85))
    assert quiet.verdict.label == "no_evidence"
    cited = next(e.id for e in quiet.evidence if e.kind == "detection")
    checker = Checker(quiet, quiet.evidence, {})
    said = "None of the tests passed its threshold, so {}evidence of a local change was found [{}]."
    assert checker.check(said.format("no ", cited)).finding == "supported"
    assert checker.check(said.format("", cited)).finding == "unsupported"
    assert checker.check(said.format("measurable ", cited)).finding == "unsupported"


@pytest.mark.parametrize("number", ["Fewer", "By chance alone, a result like this is expected in fewer"])
def test_an_upper_bound_may_begin_a_sentence(forged: Examination, checker: Checker, number: str) -> None:
    item = next(e for e in forged.evidence if e.id == forged.verdict.deciding_ids[0])
    rest = "pictures without alteration would show this by chance" if number == "Fewer" else "pictures"
    checked = checker.check(f"{number} than {rate_of(item)} {rest} [{item.id}].")
    assert checked.finding == "supported", checked.problems


@pytest.mark.parametrize(
    ("trace", "holds"), [("missing_grid", True), ("foreign_grid", True), ("missing_double_quantisation", False)]
)
def test_what_a_trace_means_is_told_of_that_trace(forged: Examination, trace: str, holds: bool) -> None:
    item = next(e for e in forged.evidence if e.id == forged.verdict.deciding_ids[0])
    other = item.model_copy(update={"instrument": "jpeg_grid", "trace": trace, "partner": None})
    checker = Checker(forged, tuple(other if e is item else e for e in forged.evidence), {})
    said = "JPEG saves in blocks of 8 by 8 pixels, and a part that lacks them can have come later than the rest"
    assert (checker.check(f"{said} [{item.id}].").finding == "supported") is holds


def test_a_fact_is_no_test_without_result(forged: Examination, checker: Checker) -> None:
    fact = next(e for e in forged.evidence if e.kind == "fact" and e.instrument == "metadata")
    said = f"The reading of the file's metadata has no result: {fact.quantity} [{fact.id}]."
    assert checker.check(said).finding == "unsupported"


def test_an_area_with_the_digits_of_the_reference_is_an_area(forged: Examination) -> None:
    item = next(e for e in forged.evidence if e.id == forged.verdict.deciding_ids[0])
    assert item.region is not None
    share = float(size_of(item.region).split(" %")[0]) / 100
    same = item.model_copy(update={"value": 0.7, "reference": share, "unit": "", "partner": None})
    checker = Checker(forged, tuple(same if e is item else e for e in forged.evidence), {})
    said = f"The finding is R1, {place_of(item.region)} ({size_of(item.region)}) [{item.id}]."
    assert checker.check(said).finding == "supported", checker.check(said).problems


@pytest.mark.parametrize(
    ("part", "place", "said"),
    [
        (np.s_[:, 0.4:0.6], "from top to bottom, centre", "The finding is R1, {place} [{id}]."),
        (
            np.s_[0.4:0.6, 0.1:0.2],
            "in the middle left",  # no verb
            "Think of a puzzle: one piece, {place}, does not quite fit, so there is evidence of a change [{id}].",
        ),
    ],
    ids=["top and bottom", "left"],
)
def test_words_of_a_place_are_read_as_such(
    forged: Examination, part: tuple[slice, slice], place: str, said: str
) -> None:
    height, width = forged.source.height, forged.source.width
    mask = np.zeros((height, width), bool)
    rows, columns = (
        slice(int((p.start or 0) * n), int((p.stop or 1) * n)) for p, n in zip(part, (height, width), strict=True)
    )
    mask[rows, columns] = True
    item = next(e for e in forged.evidence if e.id == forged.verdict.deciding_ids[0])
    placed = item.model_copy(update={"region": region_of_mask(mask, "R1"), "partner": None})
    assert place_of(placed.region) == place
    checker = Checker(forged, tuple(placed if e is item else e for e in forged.evidence), {})
    checked = checker.check(said.format(place=place, id=item.id))
    assert checked.finding == "supported", checked.problems
