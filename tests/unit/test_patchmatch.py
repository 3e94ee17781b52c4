"""Content-aware fill: nothing of the hole comes back, its texture is that of the surroundings, a seed repeats it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data_tools.forge import operations, patchmatch, regions
from tests.pictures import photograph


def _hole(height: int, width: int, box_xyxy: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    x0, y0, x1, y1 = box_xyxy
    mask[y0:y1, x0:x1] = True
    return mask


def _detail(rgb: np.ndarray, where: np.ndarray) -> float:
    """Mean magnitude of the Laplacian: what a smooth filling has too little of."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[where].mean())


def test_what_the_hole_showed_does_not_come_back_and_nothing_outside_changes():
    host = photograph("coffee")
    mask = regions.blob_region(*host.shape[:2], 9000.0, np.random.default_rng(2))
    painted = host.copy()
    painted[mask] = (0, 255, 0)
    filled = patchmatch.fill(painted, mask, np.random.default_rng(1))
    same = patchmatch.fill(host, mask, np.random.default_rng(1))
    assert np.array_equal(filled.image, same.image)
    assert np.array_equal(filled.image[~mask], painted[~mask])
    assert not (np.abs(filled.image[mask].astype(int) - (0, 255, 0)).max(axis=1) < 60).any()


def test_sources_lie_outside_the_hole_and_name_where_the_pixels_came_from():
    host = photograph("chelsea")
    mask = _hole(*host.shape[:2], (200, 40, 250, 90))
    filled = patchmatch.fill(host, mask, np.random.default_rng(0))
    assert (filled.sources[~mask] == -1).all()
    x, y = filled.sources[mask].T
    assert not mask[y, x].any()
    taken = np.abs(filled.image[mask].astype(int) - host[y, x]).mean()
    anywhere = np.abs(filled.image[mask].astype(int) - host[(y + 60) % host.shape[0], x]).mean()
    assert taken < 0.3 * anywhere


@pytest.mark.parametrize("box", [(60, 60, 120, 110), (0, 150, 70, 220), (180, 0, 256, 50)])
def test_texture_is_kept_where_diffusion_smooths_it_away(box):
    rng = np.random.default_rng(4)
    host = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 1.2)
    mask = _hole(256, 256, box)
    filled = patchmatch.fill(host, mask, rng).image
    assert 0.92 < _detail(filled, mask) / _detail(host, mask) < 1.3
    smooth = operations.remove_by_diffusion(host, mask, "telea").image
    assert _detail(smooth, mask) < 0.5 * _detail(filled, mask)


def test_regular_pattern_is_continued():
    column, row = np.meshgrid(np.arange(240), np.arange(200))
    stripes = np.where((column + row) // 10 % 2, 200, 60).astype(np.uint8)
    host = np.repeat(stripes[..., None], 3, axis=2)
    mask = _hole(200, 240, (90, 70, 150, 125))
    filled = patchmatch.fill(host, mask, np.random.default_rng(0)).image
    assert (np.abs(filled[mask].astype(int) - host[mask]).max(axis=1) < 40).mean() > 0.85


def test_same_seed_repeats_and_another_differs():
    host = photograph("astronaut")
    mask = regions.blob_region(*host.shape[:2], 6000.0, np.random.default_rng(9))
    first, again, other = (patchmatch.fill(host, mask, np.random.default_rng(s)).image for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_hole_without_surroundings_is_refused():
    host = photograph("chelsea")[:64, :64]
    assert patchmatch.fill(host, np.ones((64, 64), bool), np.random.default_rng(0)) is None
    assert operations.remove_by_patchmatch(host, np.ones((64, 64), bool), np.random.default_rng(0)) is None


def test_levels_too_fine_to_be_searched_still_get_real_pixels(monkeypatch):
    host = photograph("astronaut")
    mask = _hole(512, 512, (300, 300, 420, 400))
    monkeypatch.setattr(patchmatch, "_SEARCHED", 4000)
    filled = patchmatch.fill(host, mask, np.random.default_rng(0))
    assert _detail(filled.image, mask) > 0.4 * _detail(host, ~mask)
    x, y = filled.sources[mask].T
    assert not mask[y, x].any()


def test_donor_mask_names_whole_copied_pieces_only():
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    host = np.tile(cv2.GaussianBlur(tile, (0, 0), 1.0), (5, 5, 1))
    mask = _hole(200, 200, (80, 80, 115, 115))
    edit = operations.remove_by_patchmatch(host, mask, np.random.default_rng(1))
    assert edit.parameters["coherence"] >= 0.5
    assert edit.donor_mask.any()
    assert not (edit.donor_mask & mask).any()
    grain = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    scattered = operations.remove_by_patchmatch(grain, mask, np.random.default_rng(1))
    assert (scattered.donor_mask is None) == (scattered.parameters["coherence"] < 0.5)
