"""The quality gate on real photographs and on pictures that nothing can be said about."""

import numpy as np
import pytest

from fakeexplain.quality import BANDS, assess
from tests.pictures import PHOTOGRAPHS, photograph, source


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
