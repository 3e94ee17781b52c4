"""Masks, run lengths, boxes and words must say the same thing."""

import numpy as np
import pytest

from fakeexplain.imaging.regions import (
    box_of_mask,
    decode_mask,
    encode_mask,
    mask_of_box,
    mask_of_region,
    percent_words,
    place_words,
    region_of_mask,
)
from fakeexplain.records import Region, RunLengths


def box_mask(x0, y0, x1, y1, height=90, width=120):
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_round_trip_on_random_masks(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(v) for v in rng.integers(1, 60, size=2))
    mask = rng.random(shape) < rng.choice([0.02, 0.3, 0.5, 0.98])
    runs = encode_mask(mask)
    assert (runs.height, runs.width) == shape
    assert sum(runs.counts) == mask.size
    assert all(count > 0 for count in runs.counts[1:])
    assert np.array_equal(decode_mask(runs), mask)
    again = RunLengths.model_validate_json(runs.model_dump_json())
    assert np.array_equal(decode_mask(again), mask)


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 5)])
def test_uniform_masks(value, shape):
    mask = np.full(shape, value)
    assert encode_mask(mask).counts == ((0, mask.size) if value else (mask.size,))
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)


def test_runs_are_column_major_as_in_coco():
    mask = np.array([[0, 1, 1], [1, 1, 0]], dtype=bool)  # columns: 01 11 10
    assert encode_mask(mask).counts == (1, 4, 1)


@pytest.mark.parametrize("counts", [(3,), (4, 3), (), (8, -2)])
def test_wrong_run_lengths_are_refused(counts):
    with pytest.raises(ValueError, match="run lengths add up to"):
        decode_mask(RunLengths(height=2, width=3, counts=counts))


def test_box_is_tight_and_inverse():
    assert box_of_mask(box_mask(10, 20, 31, 47)) == (10, 20, 31, 47)
    assert box_of_mask(np.zeros((5, 5), dtype=bool)) == (0, 0, 0, 0)
    scattered = np.zeros((50, 70), dtype=bool)
    scattered[3, 60] = scattered[44, 8] = True
    assert box_of_mask(scattered) == (8, 3, 61, 45)
    for box in [(0, 0, 120, 90), (5, 6, 7, 8), (119, 89, 120, 90)]:
        assert box_of_mask(mask_of_box(box, 90, 120)) == box


def test_boxes_are_clipped_to_the_image():
    assert np.array_equal(mask_of_box((-10, -10, 20, 15), 90, 120), box_mask(0, 0, 20, 15))
    assert np.array_equal(mask_of_box((100, 80, 500, 500), 90, 120), box_mask(100, 80, 120, 90))
    assert not mask_of_box((-30, -30, -1, -1), 90, 120).any()
    assert not mask_of_box((200, 10, 300, 20), 90, 120).any()
    assert np.array_equal(mask_of_box((9.6, 20.4, 31.2, 46.9), 90, 120), box_mask(10, 20, 31, 47))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 30, 20), "upper left"),
        ((50, 0, 70, 20), "upper centre"),
        ((95, 2, 118, 20), "upper right"),
        ((0, 40, 20, 50), "middle left"),
        ((50, 40, 70, 50), "centre"),
        ((100, 40, 118, 50), "middle right"),
        ((0, 70, 20, 90), "lower left"),
        ((50, 70, 70, 90), "lower centre"),
        ((100, 70, 120, 90), "lower right"),
        ((0, 0, 120, 90), "across the whole image"),
        ((0, 0, 120, 20), "across the upper part"),
        ((0, 40, 120, 50), "across the middle part"),
        ((0, 0, 20, 90), "along the left side"),
        ((50, 0, 70, 90), "from top to bottom, centre"),
        ((0, 0, 0, 0), "nowhere"),
    ],
)
def test_place_in_words(box, words):
    assert place_words(box_mask(*box)) == words


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.0, "0 %"),
        (0.00005, "under 0.01 %"),
        (0.0004, "0.04 %"),
        (0.004, "0.4 %"),
        (0.04, "4 %"),
        (0.412, "41 %"),
        (1.0, "100 %"),
    ],
)
def test_percent_in_words(fraction, words):
    assert percent_words(fraction) == words


def test_region_carries_everything_and_survives_json():
    mask = box_mask(0, 0, 30, 20)
    region = region_of_mask(mask, "R7")
    assert (region.id, region.box_xyxy) == ("R7", (0, 0, 30, 20))
    assert region.area_fraction == pytest.approx(600 / (90 * 120))
    assert region.words == "upper left, 6 % of the image"
    again = Region.model_validate_json(region.model_dump_json())
    assert again == region
    assert np.array_equal(mask_of_region(again), mask)


def test_region_of_an_empty_or_numeric_mask():
    empty = region_of_mask(np.zeros((4, 6), dtype=bool))
    assert (empty.area_fraction, empty.box_xyxy, empty.words) == (0.0, (0, 0, 0, 0), "nowhere, 0 % of the image")
    numeric = region_of_mask(box_mask(2, 3, 9, 8).astype(np.uint8) * 255)
    assert numeric == region_of_mask(box_mask(2, 3, 9, 8))
