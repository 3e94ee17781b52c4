"""Belief from a file's own coefficients: high on a planted edit, low beside it and elsewhere, and calibrated enough."""

from __future__ import annotations

import numpy as np
import pytest

from fakeexplain.imaging._change_belief import WEIGHTS, log_odds, measurements
from fakeexplain.imaging.least_change import Change, least_change, read_stored
from fakeexplain.imaging.pair_mask import mask_from_sources
from fakeexplain.imaging.source import SourceImage
from tests.pictures import encode, photograph


def _faint(levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(original, edited, truth): a disc off the block grid, brighter by a few grey levels."""
    rgb = np.ascontiguousarray(photograph("coffee")[:320, :400])
    ys, xs = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    disc = (ys - 101) ** 2 + (xs - 139) ** 2 < 27**2
    edited = rgb.copy()
    edited[disc] = np.clip(edited[disc].astype(int) + levels, 0, 255)
    return rgb, edited, disc & (edited != rgb).any(axis=2)


def _change(original: np.ndarray, edited: np.ndarray) -> Change:
    stored = read_stored(SourceImage.from_bytes(encode(edited, "JPEG", quality=75)))
    assert stored is not None
    change = least_change(original, stored)
    assert change is not None
    return change


def test_one_measurement_for_each_weight() -> None:
    rgb, edited, _ = _faint(12)
    planes = list(measurements(_change(rgb, edited)))
    assert len(planes) == len(WEIGHTS)
    assert all(p.shape == rgb.shape[:2] and p.dtype == np.float32 and np.isfinite(p).all() for p in planes)


def test_odds_are_high_on_the_edit_and_low_elsewhere() -> None:
    rgb, edited, truth = _faint(12)
    odds = log_odds(_change(rgb, edited))
    assert odds.dtype == np.float32
    assert (odds[truth] > 0).mean() > 0.9
    assert (odds[~truth] > 0).mean() < 0.005
    near = np.zeros_like(truth)
    near[64:144, 96:192] = True  # whole blocks around the disc: a change leaks into them
    assert (odds[near & ~truth] > 0).mean() < 0.15


def test_an_unedited_picture_is_believed_nowhere() -> None:
    rgb, _, _ = _faint(0)
    assert log_odds(_change(rgb, rgb)).max() < -6


@pytest.mark.parametrize("levels", [4, 8])
def test_edits_fainter_than_a_step_of_the_save_are_found(levels: int) -> None:
    """The first step of luma at quality 75 is 8, the higher ones 5 to 61."""
    rgb, edited, truth = _faint(levels)
    found = mask_from_sources(
        SourceImage.from_bytes(encode(rgb)), SourceImage.from_bytes(encode(edited, "JPEG", quality=75))
    )
    assert found.exact
    iou = (found.mask & truth).sum() / (found.mask | truth).sum()
    assert iou > 0.85
    assert abs(found.quality - iou) < 0.15, "quality is the IoU that the beliefs expect"
