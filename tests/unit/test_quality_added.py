"""Borders, boxes and lettering: found where they were drawn, to the pixel where nothing was lossy, and nowhere else."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from fakeexplain._quality_added import find_added
from tests.pictures import PHOTOGRAPHS, jpeg_round_trip, photograph

BOX = (40, 300, 360, 344)


def captioned(rgb: np.ndarray, fill=(255, 255, 220)) -> np.ndarray:
    image = Image.fromarray(rgb)
    pen = ImageDraw.Draw(image)
    pen.rectangle((BOX[0], BOX[1], BOX[2] - 1, BOX[3] - 1), fill=fill)
    pen.text((BOX[0] + 20, BOX[1] + 10), "Seen yesterday in town", fill=(20, 20, 20), font=ImageFont.load_default(18))
    return np.array(image)


def lettered(rgb: np.ndarray) -> np.ndarray:
    image = Image.fromarray(rgb)
    font = ImageFont.load_default(26)
    ImageDraw.Draw(image).text(
        (40, 300), "SEEN YESTERDAY", fill=(255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0)
    )
    return np.array(image)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("lossy", [False, True])
def test_photographs_have_nothing_added(name, lossy):
    rgb = photograph(name)
    found = find_added(jpeg_round_trip(rgb, 80) if lossy else rgb, lossy=lossy)
    assert found.borders == (0, 0, 0, 0)
    assert not found.boxes
    assert not found.mask.any()


@pytest.mark.parametrize("colour", [0, 255, 128])
def test_border_widths_are_exact(colour):
    rgb = cv2.copyMakeBorder(photograph("coffee"), 24, 31, 9, 17, cv2.BORDER_CONSTANT, value=(colour,) * 3)
    found = find_added(rgb, lossy=False)
    assert found.borders == (9, 24, 17, 31)
    height, width = rgb.shape[:2]
    assert found.mask.sum() == height * width - (height - 55) * (width - 26)


def test_border_after_jpeg_is_found_to_a_few_pixels():
    rgb = cv2.copyMakeBorder(photograph("coffee"), 37, 37, 21, 21, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    borders = find_added(jpeg_round_trip(rgb, 85), lossy=True).borders
    assert np.abs(np.array(borders) - (21, 37, 21, 37)).max() <= 4


def test_black_strip_beside_a_dark_scene_is_believed_for_its_twin():
    """Astronaut is dark along its lower edge: the lower strip alone would end on no edge."""
    rgb = cv2.copyMakeBorder(photograph("astronaut"), 37, 37, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert find_added(rgb, lossy=False).borders == (0, 37, 0, 37)


def test_clipped_sky_is_no_border():
    """Rows of pure white that end on a ragged line."""
    rgb = photograph("coffee")
    x = np.arange(rgb.shape[1])
    skyline = (60 + 30 * np.sin(x / 23.0)).astype(int)
    rgb[np.arange(rgb.shape[0])[:, None] < skyline[None]] = 255
    found = find_added(rgb, lossy=False)
    assert found.borders == (0, 0, 0, 0)
    assert not found.boxes


@pytest.mark.parametrize("quality", [None, 95, 90])
def test_caption_box_is_found_with_its_text(quality):
    rgb = captioned(photograph("coffee"))
    rgb = rgb if quality is None else jpeg_round_trip(rgb, quality)
    found = find_added(rgb, lossy=quality is not None)
    assert len(found.boxes) == 1
    assert np.abs(np.array(found.boxes[0]) - BOX).max() <= (2 if quality is None else 4)
    assert not found.lines  # its text is inside it and is not told twice


def test_smooth_ramp_is_no_box():
    """As straight as a caption, but of many colours: sky in a window, say."""
    rgb = photograph("coffee")
    rgb[100:200, 100:300] = np.linspace(120, 180, 200).astype(np.uint8)[None, :, None]
    assert not find_added(rgb, lossy=False).boxes


@pytest.mark.parametrize("quality", [None, 90])
def test_lettering_is_one_line(quality):
    rgb = lettered(photograph("coffee"))
    rgb = rgb if quality is None else jpeg_round_trip(rgb, quality)
    found = find_added(rgb, lossy=quality is not None)
    assert len(found.lines) == 1
    x0, y0, x1, y1 = found.lines[0]
    assert x0 <= 40
    assert 220 <= x1 <= 320
    assert 285 <= y0 < 310 < 320 < y1 <= 345


def test_tiny_and_plain_pictures_do_not_break_it():
    for shape in ((1, 1, 3), (3, 400, 3), (64, 64, 3), (400, 3, 3)):
        for level in (0, 255):
            found = find_added(np.full(shape, level, np.uint8), lossy=True)
            assert found.mask.shape == shape[:2]
            assert not found.mask.any()
