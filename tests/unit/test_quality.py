"""The quality gate on real photographs and on pictures that nothing can be said about."""

import json

import cv2
import numpy as np
import pytest

from fakeexplain import _quality_rates
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import mask_of_box, region_of_mask
from fakeexplain.instruments.suite import number_evidence
from fakeexplain.quality import BANDS, TRACES, assess, review, visible_saves
from fakeexplain.records import Evidence, QualityReport, Region
from fakeexplain.verdict import Panel, decide
from tests.pictures import PHOTOGRAPHS, copy_move, jpeg_round_trip, photograph, source


def drawing() -> np.ndarray:
    """Seven grey levels in squares of 20 pixels."""
    levels = np.arange(256).reshape(16, 16) % 7 * 30
    return np.kron(levels, np.ones((20, 20)))[..., None].repeat(3, 2).astype(np.uint8)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_examinable(name):
    for picture in (source(photograph(name)), source(photograph(name), "JPEG", quality=80)):
        report = assess(picture)
        assert report.examinable, report.reasons
        assert report.band in BANDS


@pytest.mark.parametrize(("quality", "band"), [(50, "jpeg_low"), (75, "jpeg_medium"), (95, "jpeg_high")])
def test_bands_follow_jpeg_quality(quality, band):
    assert assess(source(photograph("coffee"), "JPEG", quality=quality)).band == band


def test_band_of_other_formats_and_small_pictures():
    assert assess(source(photograph("coffee"))).band == "not_jpeg"
    assert assess(source(photograph("coffee")[:200, :200])).band == "small"


@pytest.mark.parametrize(
    ("rgb", "word"),
    [
        (np.zeros((1, 1, 3), np.uint8), "pixels"),
        (photograph("coffee")[:40], "pixels"),
        (np.full((300, 300, 3), 200, np.uint8), "texture"),
        (drawing(), "colours"),
    ],
)  # fmt: skip
def test_hopeless_pictures_are_named(rgb, word):
    report = assess(source(rgb))
    assert not report.examinable
    assert report.band == "unexaminable"
    assert word in report.reasons[0]


def test_jpeg_that_lost_everything():
    report = assess(source(photograph("chelsea"), "JPEG", quality=1))
    assert report.figures["empty_block_fraction"] > 0.8


@pytest.mark.parametrize(("quality", "examinable"), [(10, False), (34, False), (40, True)])
def test_strong_compression_is_no_absence_of_evidence(quality, examinable):
    report = assess(source(photograph("coffee"), "JPEG", quality=quality))
    assert report.examinable == examinable
    if not examinable:
        assert f"quality {quality}" in report.reasons[0]


def region(*boxes: tuple[int, int, int, int]) -> Region:
    mask = np.zeros((400, 600), bool)
    for box in boxes:
        mask |= mask_of_box(box, 400, 600)
    return region_of_mask(mask)


def finding(place: Region | None, *, trace: str = "noise_low", partner: Region | None = None, nfa: float = -9.0):
    return Evidence(
        instrument="noise",
        instrument_version="1",
        kind="detection",
        trace=trace,
        quantity="noise",
        region=place,
        partner=partner,
        log10_nfa=nfa,
        strength="strong",
        details={"bands": 3},
    )


CAPTION = (0, 340, 600, 400)


def report(*traces: str, added: tuple[Region, ...] = ()) -> QualityReport:
    return QualityReport(band="jpeg_high", examinable=True, traces=traces, added=added, figures={"jpeg_quality": 95})


def test_a_finding_on_the_caption_is_set_aside_with_its_figures():
    quality = report("box", added=(region(CAPTION),))
    on_caption, elsewhere = finding(region((20, 345, 300, 398))), finding(region((50, 50, 150, 150)))
    (first, second), judged = review([on_caption, elsewhere], quality)
    assert first.kind == "abstention"
    assert first.log10_nfa is None
    assert first.details["set_aside_log10_nfa"] == -9.0
    assert first.details["bands"] == 3
    assert "flat boxes" in first.reason
    assert second == elsewhere
    assert judged.set_aside == (f"noise: {first.reason}",)


def test_a_forgery_that_only_touches_the_caption_stands():
    quality = report("box", added=(region(CAPTION),))
    for top in (200, 270):  # the second lies on the caption by half
        (item,), judged = review([finding(region((50, top, 250, 400)))], quality)
        assert item.kind == "detection"
        assert not judged.set_aside


def test_either_place_of_a_pair_counts():
    quality = report("text", added=(region((100, 10, 500, 50)),))
    pair = finding(region((200, 200, 260, 240)), trace="duplicate_region", partner=region((120, 15, 180, 45)))
    (item,), _ = review([pair], quality)
    assert item.kind == "abstention"


def test_a_finding_as_large_as_the_photograph_inside_its_border_is_set_aside():
    border = region((0, 0, 600, 60), (0, 340, 600, 400))
    whole = finding(region((0, 64, 600, 336)), trace="foreign_grid")
    (item,), _ = review([whole], report("border", added=(border,)))
    assert item.kind == "abstention"
    (item,), _ = review([whole], report())
    assert item.kind == "detection"


def test_rescaling_takes_grids_out_and_nothing_else():
    grid, noise = finding(region((50, 50, 150, 150)), trace="foreign_grid"), finding(region((50, 50, 150, 150)))
    (first, second), _ = review([grid, noise], report("rescaled"))
    assert (first.kind, second.kind) == ("abstention", "detection")


def test_verdict_rests_on_what_is_left():
    quality = report("box", added=(region(CAPTION),))
    panel = Panel(instruments=("noise",))
    caption = finding(region((20, 345, 300, 398)))
    without, _ = decide(number_evidence([caption]), quality, panel, 400, 600)
    reviewed, judged = review([caption, finding(None, nfa=2.0)], quality)
    with_gate, mask = decide(number_evidence(reviewed), judged, panel, 400, 600)
    assert (without.label, with_gate.label) == ("manipulated", "no_evidence")
    assert not mask.any()
    assert any("flat boxes" in clause for clause in with_gate.not_tested)


def test_traces_of_a_framed_picture():
    framed = cv2.copyMakeBorder(photograph("coffee"), 30, 30, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    quality = assess(source(framed))
    assert quality.traces == ("border",)
    assert quality.figures["borders"] == "0 30 0 30"
    assert TRACES["border"] in quality.reasons
    assert len(quality.added) == 1
    assert QualityReport.model_validate_json(quality.model_dump_json()) == quality


def test_a_bordered_copy_move_is_still_found():
    forged, _ = copy_move(photograph("astronaut"))
    framed = cv2.copyMakeBorder(forged, 40, 40, 24, 24, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    examination = Examiner(Settings(instruments=("copy_move",), expert=None)).examine(source(framed))
    assert examination.quality.figures["borders"] is not None
    assert examination.verdict.label == "manipulated"


def fact(trace: str, value: object, **details: object) -> Evidence:
    return Evidence(
        instrument="x", instrument_version="1", kind="fact", trace=trace, quantity="q", value=value, details=details
    )


@pytest.mark.parametrize(
    ("facts", "is_jpeg", "saves"),
    [
        ([], True, 1),
        ([], False, 0),
        ([fact("main_grid", "(0, 0)")], True, 1),
        ([fact("main_grid", "(0, 0)")], False, 1),
        ([fact("main_grid", "(3, 5)", cropped_after_jpeg=True)], True, 2),
        ([fact("main_grid", None)], False, 0),
        ([fact("double_compression", 75)], True, 2),
        ([fact("double_compression", 75), fact("main_grid", "(0, 0)")], False, 2),
        ([fact("main_grid", "(0, 0)", second_grids_xy=[[2, 4]])], True, 2),
    ],
)
def test_saves_that_left_a_trace(facts, is_jpeg, saves):
    assert visible_saves(facts, is_jpeg) == saves


def test_a_resaved_picture_shows_two_saves():
    resaved = source(jpeg_round_trip(photograph("coffee"), 60), "JPEG", quality=92)
    quality = Examiner(Settings(instruments=("double_jpeg",), expert=None)).examine(resaved).quality
    assert quality.figures["jpeg_saves_visible"] == 2
    assert "several_saves" in quality.traces


COUNTS = {"authentic": 60, "alarms": 1, "alarms_without": 5, "forged": 50, "detected": 21, "detected_without": 21}


def test_rates_of_the_band_are_carried(monkeypatch):
    few = {**COUNTS, "authentic": 3, "forged": 2}
    monkeypatch.setattr(
        _quality_rates, "load_rates", lambda: {"bands": {"not_jpeg": {"any": COUNTS, "border": COUNTS, "text": few}}}
    )
    plain = assess(source(photograph("coffee")))
    assert plain.figures["band_authentic"] == 60
    assert plain.figures["band_false_alarms"] == 1
    assert plain.rates == (
        "Of 60 unaltered pictures of this quality band, 1 was called manipulated.",
        "Of 50 altered pictures of this quality band, 21 were found.",
    )
    framed = cv2.copyMakeBorder(photograph("coffee"), 30, 30, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert len(assess(source(framed)).rates) == 4
    assert _quality_rates.rate_sentences("not_jpeg", ("text",)) == plain.rates  # too few with that trace
    assert _quality_rates.rate_sentences("jpeg_low", ()) == ()


def test_the_counts_that_ship_are_counts():
    rates = _quality_rates.load_rates()
    json.dumps(rates)
    for band, parts in rates["bands"].items():
        assert band in BANDS
        assert set(parts) <= {"any", *TRACES}
        for counts in parts.values():
            assert counts["alarms"] <= counts["authentic"]
            assert counts["detected"] <= counts["forged"]
