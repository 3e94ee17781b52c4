from __future__ import annotations

import numpy as np
import pytest

from app.refinement import refine_mask
from fakeexplain.errors import MeasurementError


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(picture, left disc, right disc): two discs of one colour on a background of another, with noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:240, :360]
    left, right = (x - 90) ** 2 + (y - 120) ** 2 < 50**2, (x - 260) ** 2 + (y - 120) ** 2 < 50**2
    rgb = np.where((left | right)[..., None], (200, 60, 40), (60, 110, 90)) + rng.normal(0, 6, (240, 360, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8), left, right


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_rough_box_becomes_the_disc():
    rgb, left, _ = scene()
    rough = np.zeros_like(left)
    rough[60:180, 30:150] = True
    assert overlap(rough, left) < 0.6
    assert overlap(refine_mask(rgb, rough, [(90, 120, True)]), left) > 0.9


def test_a_click_adds_what_was_missed():
    rgb, left, right = scene()
    refined = refine_mask(rgb, left, [(260, 120, True)])
    assert overlap(refined, left | right) > 0.9


def test_a_click_takes_away_where_it_was_made():
    rgb, left, right = scene()
    refined = refine_mask(rgb, left | right, [(260, 120, False)])
    assert not refined[120, 260]
    assert refined[120, 90]


def test_a_first_click_on_an_empty_mask():
    rgb, left, _ = scene()
    refined = refine_mask(rgb, np.zeros_like(left), [(90, 120, True)])
    assert refined[120, 90]
    assert overlap(refined, left) > 0.8


def test_the_answer_is_the_same_every_time():
    rgb, left, _ = scene()
    assert np.array_equal(*(refine_mask(rgb, left, [(100, 130, True)]) for _ in range(2)))


@pytest.mark.parametrize("clicks", [[], [(400, 10, True)], [(-1, 10, True)], [(1, 1, True)] * 201])
def test_refused_clicks(clicks):
    rgb, left, _ = scene()
    with pytest.raises(MeasurementError):
        refine_mask(rgb, left, clicks)
