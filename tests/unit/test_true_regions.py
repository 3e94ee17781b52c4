"""What a `<SEG>` learns to stand for, and where the finding itself stays the target."""

from __future__ import annotations

import numpy as np

from training.true_regions import true_region


def _box(x0, y0, x1, y1):
    mask = np.zeros((60, 80), bool)
    mask[y0:y1, x0:x1] = True
    return mask


ALTERED = _box(10, 10, 30, 30) | _box(50, 40, 70, 55)
SOURCE = _box(50, 5, 70, 25)


def test_a_part_that_was_found_stands_for_the_whole_edit_it_belongs_to():
    assert np.array_equal(true_region(_box(12, 12, 20, 34), ALTERED, SOURCE), _box(10, 10, 30, 30))


def test_both_edits_where_the_finding_touches_both():
    assert np.array_equal(true_region(ALTERED, ALTERED), ALTERED)


def test_the_source_of_a_copy_is_told_from_the_copy():
    assert np.array_equal(true_region(_box(52, 7, 68, 24), ALTERED, SOURCE), SOURCE)


def test_a_finding_elsewhere_keeps_its_place():
    elsewhere = _box(0, 0, 14, 14)  # 16 of 196 pixels were altered
    assert np.array_equal(true_region(elsewhere, ALTERED, SOURCE), elsewhere)
    assert np.array_equal(true_region(elsewhere, np.zeros((60, 80), bool)), elsewhere)
    assert np.array_equal(true_region(elsewhere, None), elsewhere)
    assert np.array_equal(true_region(elsewhere, np.ones((9, 9), bool)), elsewhere)  # of another picture
