"""The verdict: thresholds, shares, conflicts, whole-image effects, a probability that never contradicts the label."""

import itertools
import math

import numpy as np
import pytest

from fakeexplain import verdict as module
from fakeexplain.errors import SettingsError
from fakeexplain.imaging.regions import mask_of_box, region_of_mask
from fakeexplain.records import Evidence, QualityReport
from fakeexplain.verdict import Panel, decide, fit_likelihood_ratios, suspicion

H, W = 100, 120
GOOD = QualityReport(band="jpeg_high", examinable=True)
PANEL = Panel(0.02, ("jpeg_grid", "double_jpeg", "noise", "copy_move"))


def detection(log10_nfa, box=(10, 10, 40, 40), trace="foreign_grid", instrument="jpeg_grid", id="E1", **fields):
    region = region_of_mask(mask_of_box(box, H, W))
    return Evidence(id=id, instrument=instrument, instrument_version="1", kind="detection", trace=trace, quantity="q",
                    region=region, log10_nfa=log10_nfa, **fields)  # fmt: skip


def test_threshold_is_the_share_of_the_promise():
    limit = math.log10(0.01 / 4)
    assert PANEL.threshold_log10("noise") == pytest.approx(limit)
    assert decide([detection(limit + 0.01)], GOOD, PANEL, H, W)[0].label == "no_evidence"
    found, mask = decide([detection(limit - 0.01)], GOOD, PANEL, H, W)
    assert found.label == "manipulated"
    assert found.deciding_ids == ("E1",)
    assert mask.sum() == 900


def test_fewer_instruments_and_looser_promise_move_the_threshold():
    assert Panel(0.1, ("noise",)).threshold_log10("noise") == pytest.approx(math.log10(0.05))
    with pytest.raises(SettingsError, match="--false-alarms"):
        Panel(0.9)


def test_the_expert_has_the_other_half():
    panel = Panel(0.02, PANEL.instruments, expert="expert")
    expert = detection(None, instrument="expert", trace="expert_region", p_value=0.009)
    assert panel.threshold_log10("expert") == pytest.approx(-2.0)
    assert decide([expert], GOOD, panel, H, W)[0].label == "manipulated"
    assert decide([expert], GOOD, PANEL, H, W)[0].label == "inconclusive"  # not on this panel: nobody testified


def test_suspicion_hears_the_expert_as_well_and_abstentions_as_silence():
    panel = Panel(0.02, PANEL.instruments, expert="expert")
    quiet = detection(0.7)
    expert = detection(None, instrument="expert", trace="expert_region", p_value=0.004)
    score = suspicion([quiet, expert], panel)
    assert score == pytest.approx(-math.log10(0.02 * 0.004 / 0.01))  # manipulated from a promise of 0.8 % on
    assert suspicion([quiet], panel) == suspicion([], panel) < score
    assert suspicion([detection(-6.0), detection(-1.0), expert], panel) > score


def test_measurements_and_facts_never_decide():
    fact = detection(-50.0).model_copy(update={"kind": "fact"})
    measured = detection(-50.0).model_copy(update={"kind": "measurement"})
    found, mask = decide([fact, measured, detection(1.0, id="E3")], GOOD, PANEL, H, W)
    assert found.label == "no_evidence"
    assert not mask.any()


def test_quality_gate_overrules_findings():
    gate = QualityReport(band="unexaminable", examinable=False, reasons=("too small",))
    found, mask = decide([detection(-9)], gate, PANEL, H, W)
    assert found.label == "inconclusive"
    assert "too small" in found.reason
    assert not mask.any()


def test_no_applicable_instrument_is_inconclusive_and_listed():
    abstention = Evidence(instrument="noise", instrument_version="1", kind="abstention", trace="none", quantity="q",
                          reason="too few blocks")  # fmt: skip
    found, _ = decide([abstention], GOOD, PANEL, H, W)
    assert found.label == "inconclusive"
    assert any("too few blocks" in line for line in found.not_tested)
    assert any("generative" in line for line in found.not_tested)


def test_contradicting_findings_cancel_out():
    low = detection(-6, trace="noise_low", instrument="noise", id="E1")
    high = detection(-6, trace="noise_high", instrument="noise", id="E2")
    found, mask = decide([low, high], GOOD, PANEL, H, W)
    assert found.label == "inconclusive"
    assert found.conflicts
    assert not mask.any()
    elsewhere = detection(-6, box=(70, 60, 110, 95), trace="noise_high", instrument="noise", id="E2")
    assert decide([low, elsewhere], GOOD, PANEL, H, W)[0].label == "manipulated"
    third = detection(-4, box=(60, 60, 80, 80), id="E3")
    found, mask = decide([low, high, third], GOOD, PANEL, H, W)
    assert found.deciding_ids == ("E3",)
    assert mask.sum() == 400


def test_a_foreign_grid_where_the_main_one_is_missing_is_one_story():
    foreign = detection(-6, trace="foreign_grid", id="E1")
    missing = detection(-6, trace="missing_grid", id="E2")
    found, mask = decide([foreign, missing], GOOD, PANEL, H, W)
    assert found.label == "manipulated"
    assert found.deciding_ids == ("E1", "E2")
    assert mask.sum() == 900


def test_an_effect_of_the_whole_picture_is_not_local():
    found, mask = decide([detection(-9, box=(0, 0, W, 85))], GOOD, PANEL, H, W)
    assert found.label == "inconclusive"
    assert not mask.any()


def test_partner_belongs_to_the_mask():
    partner = region_of_mask(mask_of_box((60, 60, 80, 80), H, W))
    _, mask = decide([detection(-9, partner=partner)], GOOD, PANEL, H, W)
    assert mask.sum() == 900 + 400


@pytest.mark.parametrize("value", [-30.0, -3.0, -2.0, -0.5, 3.0])
def test_probability_never_contradicts_the_label(value):
    found, _ = decide([detection(value)], GOOD, PANEL, H, W)
    if found.label == "manipulated":
        assert found.probability >= 0.5
    else:
        assert found.probability <= 0.5


def test_shipped_calibration_is_monotone_and_measured():
    calibration = module.load_calibration()
    ratios = calibration["likelihood_ratios"]
    assert len(ratios) == len(calibration["edges"]) + 1
    assert all(a <= b for a, b in itertools.pairwise(ratios))
    assert calibration["authentic"] >= 1000
    assert calibration["forged"] >= 500


def test_likelihood_ratios_are_monotone_counts():
    rng = np.random.default_rng(0)
    authentic, forged = rng.exponential(0.5, 2000), rng.exponential(2.0, 1000)
    ratios = fit_likelihood_ratios(authentic, forged, (1.0, 2.0, 4.0))
    assert all(a <= b for a, b in itertools.pairwise(ratios))
    exact = (forged < 1).mean() / (authentic < 1).mean()
    assert ratios[0] == pytest.approx(exact, rel=0.02)


def test_likelihood_ratio_is_capped_without_authentic_pictures():
    ratios = fit_likelihood_ratios([0.1] * 99, [9.0] * 500, (1.0,))
    assert 100 < ratios[-1] < 250
