"""Rescaling, services and screenshots: named where they happened, and neutral headers read without a parser."""

import numpy as np
import pytest
from PIL import Image

from fakeexplain._quality_history import (
    has_camera_data,
    is_rescaled,
    looks_like_screenshot,
    looks_passed_on,
    rescaling,
    screenshot_signs,
)
from fakeexplain.imaging import degrade
from fakeexplain.imaging.source import SourceImage
from tests.pictures import PHOTOGRAPHS, jpeg_round_trip, photograph, source


def scaled(rgb: np.ndarray, factor: float, method: str = "bicubic") -> np.ndarray:
    return degrade.resize(rgb, round(rgb.shape[1] * factor), round(rgb.shape[0] * factor), method)


def figures(rgb: np.ndarray, *, own_grid: bool = False) -> dict[str, float]:
    return rescaling(source(rgb).luma, own_grid=own_grid)


# Astronaut as it comes carries a period of its own: it was very likely resized on its way into the library.
@pytest.mark.parametrize(
    ("name", "quality"), [(n, 75) for n in PHOTOGRAPHS] + [(n, None) for n in PHOTOGRAPHS if n != "astronaut"]
)
def test_pictures_that_were_not_rescaled(name, quality):
    """Also after a save whose blocks begin elsewhere: blocks of 8 pixels are no rescaling."""
    rgb = photograph(name)
    rgb = rgb if quality is None else np.ascontiguousarray(jpeg_round_trip(rgb, quality)[3:, 5:])
    assert not is_rescaled(figures(rgb))


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.parametrize("factor", [1.25, 1.45])
def test_enlarged_pictures(name, factor):
    assert is_rescaled(figures(scaled(photograph(name), factor)))


def test_block_period_tells_the_factor():
    """Blocks of 8 pixels come out of a shrinking to 85 % as blocks of 6.8."""
    found = figures(scaled(jpeg_round_trip(photograph("coffee"), 60), 0.85, "bilinear"))
    assert is_rescaled(found)
    assert found["block_period"] == pytest.approx(6.8, abs=0.05)


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_slow_drift_of_the_blocks(name):
    found = figures(scaled(jpeg_round_trip(photograph(name), 75), 1.004))
    assert is_rescaled(found)
    assert 0.5 <= found["block_drift"] <= 2.5


def test_small_pictures_are_not_judged():
    assert not is_rescaled(figures(scaled(photograph("coffee")[:100, :100], 1.5)))


def exif(make: str | None) -> bytes:
    block = Image.Exif()
    block[0x010E] = "a picture"
    if make:
        block[0x010F] = make
    return block.tobytes()[6:]


def test_camera_data():
    assert has_camera_data(exif("Canon"))
    assert not has_camera_data(exif(None))
    for broken in (None, b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(5), bytes(40)):
        assert not has_camera_data(broken)


def test_passed_on_needs_size_and_headers():
    rgb = scaled(photograph("coffee"), 2.0)[:720, :960]
    passed = SourceImage.from_bytes(degrade.encode_jpeg(rgb, 80, progressive=True))
    assert max(passed.rgb.shape) == 960
    assert looks_passed_on(passed)
    assert not looks_passed_on(SourceImage.from_bytes(degrade.encode_jpeg(rgb[:, :-8], 80, progressive=True)))
    assert not looks_passed_on(SourceImage.from_bytes(degrade.encode_jpeg(rgb, 97)))
    assert not looks_passed_on(source(rgb))
    camera = source(rgb, "JPEG", quality=80, progressive=True, exif=b"Exif\0\0" + exif("Canon"))
    assert not looks_passed_on(camera)


def test_screenshot_needs_two_signs():
    rgb = np.full((1280, 720, 3), 250, np.uint8)
    shown = scaled(photograph("coffee"), 1.2)
    rgb[300 : 300 + shown.shape[0]] = shown[:, :720]
    assert screenshot_signs(source(rgb)) == ("it has the size of a screen",)  # nothing is drawn in its bars
    rgb[20:44, 30:60] = rgb[20:44, 640:700] = 0
    signs = screenshot_signs(source(rgb))
    assert len(signs) == 2
    assert looks_like_screenshot(signs)
    assert not looks_like_screenshot(screenshot_signs(source(photograph("coffee"))))


def test_a_screenshot_that_says_so():
    block = Image.Exif()
    block[0x010E] = "Screenshot"
    picture = source(photograph("coffee"), "PNG", exif=block)
    assert looks_like_screenshot(screenshot_signs(picture))
