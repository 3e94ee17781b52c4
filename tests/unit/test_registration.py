"""Registration: known motions recovered to a fraction of a pixel, other scenes refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fakeexplain.imaging.registration import is_whole_pixel_shift, register, warp_to
from tests.pictures import jpeg_round_trip, photograph


def _corner_error(found: np.ndarray, true: np.ndarray, rgb: np.ndarray) -> float:
    height, width = rgb.shape[:2]
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]], float)
    one, two = corners @ found.T, corners @ true.T
    return float(np.abs(one[:, :2] / one[:, 2:] - two[:, :2] / two[:, 2:]).max())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_saved_again_is_the_exact_identity(name: str) -> None:
    rgb = photograph(name)
    found = register(rgb, jpeg_round_trip(rgb, 70))
    assert found.quality.found
    assert found.exact
    assert np.array_equal(found.matrix, np.eye(3))
    assert found.overlap_mask.all()


def test_resize_by_two_percent() -> None:
    rgb = photograph("astronaut")
    small = jpeg_round_trip(cv2.resize(rgb, (502, 502), interpolation=cv2.INTER_CUBIC), 90)
    s = 502 / 512
    true = np.array([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2], [0, 0, 1]])
    found = register(rgb, small)
    assert found.quality.found
    assert _corner_error(found.matrix, true, rgb) < 0.15


def test_rotation_by_one_degree() -> None:
    rgb = photograph("coffee")
    height, width = rgb.shape[:2]
    affine = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 1.0, 1.0)
    turned = jpeg_round_trip(cv2.warpAffine(rgb, affine, (width, height), flags=cv2.INTER_CUBIC), 90)
    found = register(rgb, turned)
    assert found.quality.found
    assert _corner_error(found.matrix, np.vstack([affine, [0, 0, 1]]), rgb) < 0.2
    assert 0.95 < found.overlap_mask.mean() < 1.0


def test_crop_is_a_whole_pixel_shift() -> None:
    rgb = photograph("chelsea")
    cropped = jpeg_round_trip(np.ascontiguousarray(rgb[11:290, 7:430]), 85)
    found = register(rgb, cropped)
    assert found.quality.model == "translation"
    assert found.exact
    assert found.matrix[:2, 2].tolist() == [-7, -11]
    assert np.array_equal(warp_to(rgb, found.matrix, (423, 279)), rgb[11:290, 7:430])


def test_an_edited_third_does_not_pull() -> None:
    rgb, other = photograph("astronaut"), photograph("chelsea")
    edited = rgb.copy()
    edited[100:400, 80:430] = cv2.resize(other, (350, 300))
    found = register(rgb, edited)
    assert found.quality.found
    assert np.array_equal(found.matrix, np.eye(3))


def test_perspective() -> None:
    rgb = photograph("astronaut")
    true = np.array([[1.02, 0.01, 3.0], [-0.02, 0.99, 5.0], [2e-5, -1e-5, 1.0]])
    seen = cv2.warpPerspective(rgb, true, (512, 512), flags=cv2.INTER_CUBIC)
    found = register(rgb, seen)
    assert found.quality.model == "homography"
    assert _corner_error(found.matrix, true, rgb) < 0.3


@pytest.mark.parametrize("pair", [("astronaut", "coffee"), ("chelsea", "rocket"), ("coffee", "chelsea")])
def test_other_scenes_are_refused(pair: tuple[str, str]) -> None:
    found = register(photograph(pair[0]), photograph(pair[1]))
    assert not found.quality.found
    assert found.quality.reason


@pytest.mark.parametrize("shapes", [((1, 1), (1, 1)), ((7, 300), (9, 40)), ((64, 64), (64, 64)), ((30, 2), (5, 80))])
def test_never_breaks_on_odd_pictures(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes)
    black = np.zeros((*shapes[1], 3), np.uint8)
    for questioned in (second, black):
        found = register(first, questioned)
        assert found.overlap_mask.shape == questioned.shape[:2]
        assert not found.quality.found
    assert register(black, black).quality.found


def test_whole_pixel_shift_is_told_from_a_fraction() -> None:
    matrix = np.eye(3)
    matrix[0, 2] = 3.0
    assert is_whole_pixel_shift(matrix)
    matrix[0, 2] = 3.01
    assert not is_whole_pixel_shift(matrix)
