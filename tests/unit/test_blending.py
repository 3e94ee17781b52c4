"""Blending: nothing outside the mask changes, gradients survive, tone is softened more widely than detail."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest

from data_tools.forge import blending, operations, regions
from tests.pictures import photograph

BLENDS = get_args(blending.Blend)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Host, patch of the same size, mask."""
    host = photograph("coffee")[:256, :256]
    patch = photograph("chelsea")[20:276, 100:356]
    return host, np.ascontiguousarray(patch), regions.blob_region(256, 256, 6000.0, np.random.default_rng(1))


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("inside", [True, False])
def test_outside_of_the_mask_nothing_changes_and_inside_the_patch_shows(pair, blend, inside):
    host, patch, _ = pair
    mask = regions.blob_region(256, 256, 6000.0, np.random.default_rng(2), inside=inside)
    before = host.copy()
    out = blending.composite(host, patch, mask, 2.0, blend)
    assert np.array_equal(host, before)
    assert np.array_equal(out[~mask], host[~mask])
    core = cv2.erode(np.pad(mask, 15).astype(np.uint8), np.ones((31, 31), np.uint8))[15:-15, 15:-15].astype(bool)
    assert core.any()
    high = [image.astype(float) - cv2.GaussianBlur(image, (0, 0), 1.5) for image in (out, patch, host)]
    assert np.corrcoef(high[0][core].ravel(), high[1][core].ravel())[0, 1] > 0.9
    assert np.corrcoef(high[0][core].ravel(), high[2][core].ravel())[0, 1] < 0.3


def _step(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean difference across the outline, in grey levels."""
    inner = mask & ~cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    outer = ~mask & cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return float(np.abs(image[inner].astype(float).mean(axis=0) - image[outer].astype(float).mean(axis=0)).mean())


def test_poisson_closes_the_step_of_another_exposure_and_keeps_the_texture(pair):
    host, _, mask = pair
    brighter = np.clip(host.astype(int) + 45, 0, 255).astype(np.uint8)
    hard = blending.composite(host, brighter, mask)
    healed = blending.composite(host, brighter, mask, blend="poisson")
    assert _step(hard, mask) > 30
    assert np.abs(healed[mask].astype(int) - host[mask]).mean() < 2  # the same gradients: the host itself comes back


def test_multiscale_moves_tone_slowly_and_detail_fast():
    host = np.full((160, 160, 3), 100, np.uint8)
    grain = np.random.default_rng(0).normal(0, 10, host.shape)
    patch = np.clip(160 + grain, 0, 255).astype(np.uint8)
    mask = np.zeros((160, 160), bool)
    mask[30:130, 30:130] = True
    out = blending.composite(host, patch, mask, 2.0, "multiscale")
    band = np.s_[60:100, 34:38]  # 4 to 8 pixels inside
    tone = (out[band].mean() - 100) / 60
    detail = (out[band] - cv2.GaussianBlur(out, (0, 0), 3.0)[band].astype(float)).std() / 10
    assert 0.2 < tone < 0.7
    assert detail > 0.75
    plain = blending.composite(host, patch, mask, 2.0)
    assert plain[band].mean() > 150


def test_light_is_matched_to_the_pixels_that_are_named_and_colour_is_kept(pair):
    host, patch, mask = pair
    patch = patch // 2
    around = cv2.dilate(mask.astype(np.uint8), np.ones((31, 31), np.uint8)).astype(bool) & ~mask
    lit = operations.transfer_colour(patch, host, 1.0, donor_mask=mask, host_mask=around, light_only=True)

    def lab(image: np.ndarray, where: np.ndarray) -> np.ndarray:
        return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[where].astype(float).mean(axis=0)

    wanted, was, now = lab(host, around), lab(patch, mask), lab(lit, mask)
    assert abs(wanted[0] - was[0]) > 10
    assert abs(wanted[0] - now[0]) < 4
    assert np.abs(was[1:] - now[1:]).max() < 4
    coloured = operations.transfer_colour(patch, host, 1.0, donor_mask=mask, host_mask=around)
    assert np.abs(lab(coloured, mask) - wanted).max() < 5


def test_exact_copy_with_gradients_differs_from_the_source_by_a_smooth_level_only():
    host = photograph("astronaut")[:300, :300]
    mask = np.zeros((300, 300), bool)
    mask[40:100, 40:100] = True
    rng = np.random.default_rng(0)
    edit = operations.copy_move(host, mask, rng, shift=(120, 150), blend="poisson")
    difference = edit.image[190:250, 160:220].astype(float) - host[40:100, 40:100]
    clear = (edit.image[190:250, 160:220] > 0) & (edit.image[190:250, 160:220] < 255)
    smooth = cv2.GaussianBlur(difference, (0, 0), 4.0)
    assert np.abs(difference)[clear].mean() > 3 * np.abs(difference - smooth)[clear].mean()
