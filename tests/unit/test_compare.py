"""Two pictures: answers in words and places, motions told, other scenes refused; groups of near-duplicates."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fakeexplain.commands.compare import group_duplicates
from fakeexplain.compare import Comparison, compare
from fakeexplain.errors import MeasurementError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.perceptual import perceptual_hash
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.report.comparison import render_comparison
from tests.pictures import encode, jpeg_round_trip, photograph

EXAMINER = Examiner(Settings(instruments=("metadata",), expert=None))


def _forged() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(original, edited, mask): a large disc of another photograph and a small rectangle of the same one."""
    rgb = photograph("astronaut")
    donor = cv2.resize(photograph("coffee"), (512, 512))
    mask = cv2.ellipse(np.zeros((512, 512), np.uint8), (330, 200), (70, 50), 20, 0, 360, 1, -1).astype(bool)
    edited = np.where(mask[..., None], donor, rgb)
    edited[400:430, 40:90] = rgb[380:410, 140:190]
    mask[400:430, 40:90] = True
    return rgb, edited, mask


def _source(rgb: np.ndarray, name: str, format: str = "PNG", **options: object) -> SourceImage:
    return SourceImage.from_bytes(encode(np.ascontiguousarray(rgb), format, **options), name=name)


def test_places_are_found_and_told() -> None:
    original, edited, mask = _forged()
    questioned = _source(edited, "q.jpg", "JPEG", quality=75)
    compared = compare(_source(original, "o.png"), questioned, EXAMINER)
    record = compared.comparison
    assert record.answer == "changed"
    assert record.exact
    found = decode_mask(record.mask)
    assert (found & mask).sum() / (found | mask).sum() > 0.9
    assert [p.region.id for p in record.places] == ["D1", "D2"]
    assert record.places[0].region.area_fraction > record.places[1].region.area_fraction
    text = " ".join(record.sentences)
    for words in ("differs from the original", "D1: in the centre", "D2: in the lower left", "can also come from"):
        assert words in text
    assert record.questioned.source.sha256 == questioned.sha256
    again = Comparison.model_validate_json(record.to_json())
    assert (again.sentences, again.places, again.geometry) == (record.sentences, record.places, record.geometry)
    assert again.questioned.verdict == record.questioned.verdict


@pytest.mark.parametrize(("quality", "answer"), [(0.29, "unclear"), (0.31, "changed")])
def test_blocks_that_do_not_hold_together_are_unclear(quality, answer, monkeypatch) -> None:
    """A mask told by the file's blocks was once always `changed`, whatever its quality."""
    import fakeexplain.compare as module

    original, edited, _ = _forged()
    found = module.mask_from_sources
    monkeypatch.setattr(module, "mask_from_sources", lambda *pair: replace(found(*pair), quality=quality))
    record = compare(_source(original, "o.png"), _source(edited, "q.jpg", "JPEG", quality=75), EXAMINER).comparison
    assert record.exact
    assert record.answer == answer
    assert ("do not hold together" in " ".join(record.sentences)) == (answer == "unclear")


@pytest.mark.parametrize(("dots", "words"), [(1, "One smaller place is marked"), (2, "2 smaller places are marked")])
def test_places_too_small_to_list_are_counted(dots, words) -> None:
    original, edited, _ = _forged()
    for i in range(dots):
        edited[30:42, 40 + 60 * i : 52 + 60 * i] ^= 128
    record = compare(_source(original, "o.png"), _source(edited, "q.png"), EXAMINER).comparison
    assert words in " ".join(record.sentences)


def test_the_motion_is_told() -> None:
    original, edited, _ = _forged()
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -2.0, 0.9)
    turned = cv2.warpAffine(edited, turn, (512, 512), flags=cv2.INTER_CUBIC)[30:480, 30:480]
    record = compare(_source(original, "o.png"), _source(turned, "q.png"), EXAMINER).comparison
    assert record.geometry.scale == pytest.approx(0.9, abs=0.001)
    assert record.geometry.rotation_degrees == pytest.approx(2.0, abs=0.05)
    assert record.geometry.shift_xy == pytest.approx((1.0, 1.0), abs=0.1)
    assert "scaled to 90" in " ".join(record.sentences)
    assert "turned clockwise by 2°" in " ".join(record.sentences)
    assert record.answer == "changed"


def test_a_crop_is_told_with_what_is_seen_of_the_original() -> None:
    original = photograph("coffee")
    questioned = _source(original[:300, :300], "q.jpg", "JPEG", quality=80)
    record = compare(_source(original, "o.png"), questioned, EXAMINER).comparison
    assert record.answer == "no_change"
    assert record.geometry.visible_fraction == pytest.approx(90_000 / (400 * 600), abs=0.002)
    assert "38 % of the original is seen" in " ".join(record.sentences)


@pytest.mark.parametrize("quality", [50, 85])
def test_a_save_alone_is_no_change(quality: int) -> None:
    original = photograph("astronaut")
    record = compare(
        _source(original, "o.png"), _source(original, "q.jpg", "JPEG", quality=quality), EXAMINER
    ).comparison
    assert record.answer == "no_change"
    assert not record.places
    assert "No difference was found" in record.sentences[0]
    assert compare(_source(original, "o"), _source(original, "q"), EXAMINER).comparison.sentences[0] == (
        "Both files hold the same pixels."
    )


def test_another_scene_is_refused() -> None:
    with pytest.raises(MeasurementError, match="do not show the same scene"):
        compare(_source(photograph("astronaut"), "o"), _source(photograph("chelsea"), "q"), EXAMINER)


def test_the_page_is_self_contained_and_escapes_names() -> None:
    original, edited, _ = _forged()
    hostile = "<script>x</script>{{ 7*7 }}\u202e.jpg"
    questioned = replace(_source(edited, "q.jpg", "JPEG", quality=75), name=hostile)
    html = render_comparison(compare(_source(original, "o.png"), questioned, EXAMINER), questioned)
    assert "<script" not in html
    assert "{{ 7*7 }}" in html
    assert "\u202e" not in html
    assert html.count('src="data:image/jpeg;base64,') == 3 + 2 * 2
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'none'" in html


def test_duplicates_are_grouped_and_equal_files_named() -> None:
    pictures = [
        photograph("astronaut"),
        jpeg_round_trip(photograph("astronaut"), 40),
        photograph("coffee"),
        cv2.resize(photograph("astronaut"), (300, 300), interpolation=cv2.INTER_AREA),
        photograph("chelsea"),
        photograph("coffee"),
        np.full((64, 64, 3), 7, np.uint8),
        np.full((64, 64, 3), 9, np.uint8),
    ]
    files = [(f"{i}.png", hashlib.sha256(p.tobytes()).hexdigest()) for i, p in enumerate(pictures)]
    groups = group_duplicates(files, [perceptual_hash(p) for p in pictures], 8)
    assert [[row["picture"] for row in group] for group in groups] == [["0.png", "1.png", "3.png"], ["2.png", "5.png"]]
    assert groups[1][1]["same_file_as"] == "2.png"
    assert all(row["bits"] <= 8 for group in groups for row in group)
