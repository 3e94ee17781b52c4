"""The expert as a witness: conformal p-values, bands, regions, weights on disk, and a whole examination with it."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest

from fakeexplain.errors import MeasurementError, SettingsError
from fakeexplain.examiner import Examiner, Settings, examination_map
from fakeexplain.imaging.source import SourceImage
from fakeexplain.localization import LEAST_PIXELS, Calibration, Expert, without_specks
from fakeexplain.models.weights import load_expert, save_expert, weights_sha256
from fakeexplain.records import Examination, QualityReport
from fakeexplain.region_test import SIZES
from tests.pictures import copy_move, encode, photograph
from tests.unit.tiny_models import expert
from training import calibrate
from training.calibrate import LEVELS, fit_confidence, fit_offset, fit_temperature, reliability_of_hints


def calibration(digest: str, **scores: tuple[float | None, ...]) -> Calibration:
    return Calibration(
        weights_sha256=digest,
        temperature=2.0,
        scores=scores or {"all": tuple(float(i) for i in range(199))},
        operation_reliability={"splice": 0.5},
        data="made for a test",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random weights with a calibration under which everything that is marked is an alarm."""
    path = tmp_path_factory.mktemp("weights")
    digest = save_expert(expert(lively=True), path)
    made = calibration(digest, all=(None,) * 199)
    (path / "calibration.json").write_text(json.dumps(made.model_dump(mode="json")))
    return path


def test_p_values_keep_their_promise_on_exchangeable_scores():
    rng = np.random.default_rng(0)
    low = 0
    for _ in range(400):
        known = calibration("x", all=tuple(sorted(rng.normal(size=120).tolist())))
        low += known.p_value(float(rng.normal()), "jpeg_high")[0] <= 0.05
    assert low / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert low / 400 > 0.02


def test_a_band_with_few_photographs_is_judged_by_all():
    known = calibration("x", all=(0.0,) * 150, small=(5.0,) * 99, jpeg_high=(5.0,) * 100)
    assert known.band_of("small") == "all"
    assert known.band_of("jpeg_high") == "jpeg_high"
    assert known.p_value(1.0, "small") == (1 / 151, 150)
    assert known.p_value(1.0, "jpeg_high") == (1.0, 100)


def test_a_picture_without_a_marked_place_is_never_an_alarm():
    known = calibration("x", all=(None,) * 150)
    assert known.p_value(-math.inf, "jpeg_high")[0] == 1.0


def test_the_law_of_regions_is_added_to_a_calibration_and_changes_nothing_else(folder, tmp_path, monkeypatch):
    weights, photographs = tmp_path / "weights", tmp_path / "photographs"
    shutil.copytree(folder, weights)
    photographs.mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        (photographs / f"{name}.jpg").write_bytes(encode(photograph(name), "JPEG", quality=90))
    before = Expert.load(weights).calibration
    with pytest.raises(SettingsError, match="at least 100"):
        calibrate.recalibrate_regions(weights, photographs, workers=1)
    monkeypatch.setattr(calibrate, "LEAST_BAND", 3)
    monkeypatch.setattr(calibrate, "_expert", None)
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(calibrate, "worker_pool", lambda workers: nullcontext(pool))
        made = calibrate.recalibrate_regions(weights, photographs, workers=1)
    assert set(made.regions) == set(SIZES)
    assert made.region_photographs == 3
    assert made.model_copy(update={"regions": {}, "region_photographs": 0}) == before
    (weights / "calibration.json").write_text(json.dumps(made.model_dump(mode="json")))
    examiner = Examiner(Settings(expert=str(weights)), threads=1)
    measured = examiner.measure(photographs / "coffee.jpg", "expert", box_xyxy=(50, 50, 150, 150))
    assert examiner.tests_regions
    assert measured.p_value in (0.3, 0.4, 0.5, 1.0)  # three photographs tell no rarer


def test_specks_are_not_regions():
    mask = np.zeros((60, 60), bool)
    mask[2:9, 2:9] = True  # 49 pixels
    mask[20:30, 20:30] = True
    kept = without_specks(mask)
    assert not kept[5, 5]
    assert kept[25, 25]
    assert kept.sum() == 100 >= LEAST_PIXELS


def test_temperature_is_found_again_and_leaves_signs():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-logits))
    assert fit_temperature(3.0 * logits, truth) == pytest.approx(3.0, rel=0.08)


def test_the_offset_weighs_marks_on_forgeries_against_marks_on_photographs():
    best = np.exp(-((LEVELS + 1.5) ** 2))  # one picture is marked best at a logit of -1.5, the other at -0.5
    other = np.exp(-((LEVELS + 0.5) ** 2))
    nothing, much = np.zeros((1, len(LEVELS))), np.where(LEVELS < 0, 1.0, 0.0)[None]
    assert fit_offset(np.stack([best, other]), nothing, temperature=2.0) == pytest.approx(0.5)
    assert fit_offset(np.stack([best, other]), much, temperature=2.0) == pytest.approx(0.0)


def test_confidence_is_the_share_of_right_cells_on_either_side_of_the_threshold():
    rng = np.random.default_rng(0)
    logits, marked = rng.normal(0, 1, 40_000), rng.random(40_000) < 0.5
    chance = 1 / (1 + np.exp(-np.where(marked, 0.5 * logits - 1.0, 2.0 * logits + 1.5)))
    truth = marked == (rng.random(40_000) < chance)
    found = fit_confidence(logits, marked, truth)
    assert found["marked"] == pytest.approx((0.5, -1.0), abs=0.1)
    assert found["unmarked"] == pytest.approx((2.0, 1.5), abs=0.15)


def test_confidence_is_calibrated_on_either_side_of_the_threshold(folder):
    source = SourceImage.from_bytes(encode(photograph("coffee")[:160, :160]))
    witness = Expert.load(folder)
    first = witness.localize(source).map
    half = -float(np.median(np.log(first / (1 - first))))
    witness.calibration = witness.calibration.model_copy(update={"offset": half})
    plain = witness.localize(source)
    held = {"marked": (0.5, -1.0), "unmarked": (2.0, 1.5)}
    witness.calibration = witness.calibration.model_copy(update={"confidence": held})
    found = witness.localize(source)
    assert np.array_equal(found.map, plain.map)
    marked = found.map >= 0.5
    assert 0 < marked.sum() < marked.size
    logit = np.log(plain.confidence / (1 - plain.confidence))
    wanted = 1 / (1 + np.exp(-np.where(marked, 0.5 * logit - 1.0, 2.0 * logit + 1.5)))
    assert np.allclose(found.confidence, wanted, atol=1e-4)


def test_a_table_with_a_step_of_zero_does_not_silence_the_expert(folder):
    data = bytearray(encode(photograph("coffee")[:160, :160], "JPEG", quality=90))
    place = data.index(b"\xff\xdb") + 5 + 3  # a frequency that even the tiny network reads
    before = Expert.load(folder).localize(SourceImage.from_bytes(bytes(data)))
    data[place] = 0
    source = SourceImage.from_bytes(bytes(data))
    assert source.jpeg.luma_table.min() == 0
    found = Expert.load(folder).localize(source)
    assert np.isfinite(found.map).all()
    assert np.corrcoef(found.map.ravel(), before.map.ravel())[0, 1] > 0.9


def test_figures_that_are_none_are_an_error_and_no_quiet_result(folder):
    source = SourceImage.from_bytes(encode(photograph("coffee")[:160, :160]))
    witness = Expert.load(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(witness.model, "judge", lambda deep, mask: deep.new_full((1,), float("nan")))
        with pytest.raises(MeasurementError, match="no figure"):
            witness.localize(source)


def test_no_photograph_stands_twice_in_its_band(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "_expert", None)
    rgb = photograph("coffee")[:320, :320]
    for name, kind, expected in (("a.png", "PNG", ["jpeg_low"]), ("b.jpg", "JPEG", ["not_jpeg", "jpeg_low"])):
        (tmp_path / name).write_bytes(encode(rgb, kind))
        found = calibrate.copies((folder, (1.0, 0.0), tmp_path / name, ("not_jpeg", "jpeg_low")))
        assert [band for band, _ in found] == expected


def test_bands_with_few_photographs_are_filled_up_and_nothing_else_changes(folder, tmp_path, monkeypatch):
    weights, photographs = tmp_path / "weights", tmp_path / "photographs"
    shutil.copytree(folder, weights)
    photographs.mkdir()
    for name, quality in (("astronaut", 90), ("chelsea", 95), ("coffee", 75)):
        (photographs / f"{name}.jpg").write_bytes(encode(photograph(name), "JPEG", quality=quality))
    before = Expert.load(weights).calibration
    monkeypatch.setattr(calibrate, "LEAST_BAND", 3)
    monkeypatch.setattr(calibrate, "_expert", None)
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(calibrate, "worker_pool", lambda workers: nullcontext(pool))
        made = calibrate.recalibrate_scores(weights, photographs, workers=1)
    assert made.model_copy(update={"scores": before.scores, "data": before.data}) == before
    counts = {band: len(values) for band, values in made.scores.items()}
    assert counts == {"all": 3, "not_jpeg": 3, "jpeg_low": 3, "jpeg_medium": 3, "jpeg_high": 3, "small": 3}
    assert "jpeg_medium, jpeg_high" in made.data


def test_an_offset_moves_what_is_marked(folder):
    source = SourceImage.from_bytes(encode(photograph("coffee")[:160, :160]))
    witness = Expert.load(folder)
    plain = witness.localize(source)
    witness.calibration = witness.calibration.model_copy(update={"offset": 2.0})
    moved = witness.localize(source)
    logit = np.log(plain.map / (1 - plain.map))
    assert np.allclose(np.log(moved.map / (1 - moved.map)), logit + 2.0, atol=1e-3)
    assert moved.mask.sum() > plain.mask.sum()


def test_weights_come_back_as_they_were_but_for_half_precision(folder):
    again = load_expert(folder).state_dict()
    for name, value in expert(lively=True).state_dict().items():
        assert again[name].allclose(value, atol=2e-3, rtol=2e-3), name


def test_loading_says_what_is_missing_and_what_belongs_to_others(folder, tmp_path):
    with pytest.raises(SettingsError, match=r"no config\.json"):
        Expert.load(tmp_path)
    digest = save_expert(expert(3), tmp_path)
    with pytest.raises(SettingsError, match=r"training\.calibrate"):
        Expert.load(tmp_path)
    (tmp_path / "calibration.json").write_text(json.dumps(calibration("f" * 64).model_dump(mode="json")))
    with pytest.raises(SettingsError, match=f"these are {digest[:12]}"):
        Expert.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load_expert(tmp_path)


def test_weights_of_another_configuration_are_refused(folder, tmp_path):
    save_expert(expert(lively=True), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["decoder"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingsError, match=r"mask_head\.weight is \(1, 16, 1, 1\), wanted \(1, 24, 1, 1\)"):
        load_expert(tmp_path)


def test_the_expert_sees_the_stored_frame_and_answers_upright(folder):
    known = Expert.load(folder)
    rgb = photograph("coffee")[:256, :384]
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    plain = known.localize(SourceImage.from_bytes(encode(rgb, "JPEG", quality=90)))
    turned = known.localize(SourceImage.from_bytes(encode(rgb, "JPEG", quality=90, exif=exif.tobytes())))
    assert turned.map.shape == (384, 256)
    assert np.allclose(turned.map, np.rot90(plain.map, -1), atol=1e-5)


def test_evidence_carries_region_p_value_and_hint(folder):
    known = Expert.load(folder)
    source = SourceImage.from_bytes(encode(copy_move(photograph("chelsea"))[0], "JPEG", quality=90))
    found = known.localize(source)
    item = known.evidence(found, QualityReport(band="jpeg_high", examinable=True))
    assert item.score_map is found.map
    assert item.instrument_version == weights_sha256(folder)[:12]
    if found.score > -math.inf:
        assert item.p_value == pytest.approx(1 / 200)
        assert item.region is not None
        assert item.region.area_fraction == pytest.approx(found.mask.mean())
        assert item.details["operation"] in item.details["operation_hint"]
    else:
        assert item.p_value == 1.0
        assert item.region is None
    assert sum(found.operation_probability.values()) == pytest.approx(1.0, abs=1e-3)


def test_an_examination_with_an_expert_and_one_without(folder):
    data = encode(copy_move(photograph("astronaut"))[0], "JPEG", quality=92)
    examined = Examiner(Settings(instruments=("noise",), expert=str(folder))).examine(data)
    without = Examiner(Settings(instruments=("noise",), expert=None)).examine(data)
    assert [e.instrument for e in examined.evidence if e.instrument == "expert"] == ["expert"]
    assert examined.verdict.expert_threshold_log10 == pytest.approx(-2.0)
    assert without.verdict.expert_threshold_log10 is None
    assert any("trained network" in c for c in without.verdict.not_tested)
    assert not any("trained network" in c for c in examined.verdict.not_tested)
    assert examined.versions["weights:expert"] == weights_sha256(folder)[:12]
    found = examination_map(examined)
    assert found is not None
    assert found.shape == (512, 512)
    assert 0 <= found.min() <= found.max() <= 1
    assert Examination.model_validate_json(examined.to_json()).verdict == examined.verdict


def test_the_map_is_raised_where_an_instrument_is_sure():
    rgb, mask = copy_move(photograph("astronaut"))
    examined = Examiner(Settings(instruments=("copy_move",), expert=None)).examine(encode(rgb))
    assert examined.verdict.label == "manipulated"
    dim = next(e for e in examined.evidence if e.kind == "detection").model_copy(
        update={"instrument": "expert", "log10_nfa": None, "p_value": 0.9, "region": None, "partner": None,
                "score_map": np.full(mask.shape, 0.1, np.float32)}
    )  # fmt: skip
    joined = examination_map(examined.model_copy(update={"evidence": (*examined.evidence, dim)}))
    assert joined is not None
    assert joined[mask].mean() > 0.6
    assert joined[~mask].mean() < 0.2


def _sample(named: str, true: str, logit: float, marked: float = 0.1) -> dict[str, object]:
    return {
        "forged": True,
        "image_logit": logit,
        "marked": np.full(LEVELS.shape, marked),
        "named": named,
        "true": [true],
    }


def test_guesses_at_operations_are_counted_where_there_is_an_alarm() -> None:
    authentic = [i / 100 for i in range(200)]  # one in a hundred lies above 1.97
    alarmed = [_sample("splice", "splice", 3.0)] * 9 + [_sample("splice", "removal", 3.0)] * 3
    quiet = [_sample("splice", "removal", 1.0)] * 50 + [_sample("splice", "removal", 3.0, marked=0.0)] * 50
    few = [_sample("copy_move", "copy_move", 3.0)] * 9
    assert reliability_of_hints(alarmed + quiet + few, authentic, (1.0, 0.0)) == {"splice": 0.75}
