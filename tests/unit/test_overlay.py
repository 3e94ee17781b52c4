"""Drawing: the input stays, outlines show on any background, labels stay inside, sizes from 1 pixel to megapixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from fakeexplain.report.overlay import COLOURS, Mark, heatmap, outline, overlay

DARK = np.array((16, 18, 22))


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return np.hypot(xs - x * width, ys - y * height) < radius * min(height, width)


def near(picture: np.ndarray, colour: tuple[int, int, int] | np.ndarray, tolerance: int = 12) -> np.ndarray:
    return np.abs(picture.astype(int) - np.asarray(colour)).max(axis=2) <= tolerance


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_outline_is_dark_and_bright_around_the_region(grey: int) -> None:
    rgb = np.full((300, 400, 3), grey, np.uint8)
    before = rgb.copy()
    mask = disc(300, 400, 0.5, 0.5, 0.2)
    out = overlay(rgb, mask, regions=[Mark("", mask)])
    assert (rgb == before).all()
    assert out.dtype == np.uint8
    assert out.shape == rgb.shape
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    ring = grown & ~cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert (near(out, COLOURS[0]) & ring).sum() > 300
    assert (near(out, DARK) & ring).sum() > 300
    assert (out[~grown] == grey).all()
    inside = cv2.erode(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
    assert 0 < np.abs(out[inside].astype(int) - grey).max() < 60  # a tint, no cover


def test_empty_mask_changes_nothing_and_memory_is_new() -> None:
    rgb = data.chelsea()[:120, :160].copy()
    rgb.setflags(write=False)
    out = overlay(rgb, np.zeros(rgb.shape[:2], bool))
    assert (out == rgb).all()
    assert not np.shares_memory(out, rgb)
    assert out.flags.writeable


def test_a_mask_without_regions_is_outlined_itself() -> None:
    rgb = np.full((400, 600, 3), 200, np.uint8)
    out = overlay(rgb, disc(400, 600, 0.4, 0.4, 0.2))
    assert near(out, DARK).sum() > 200
    assert near(out, COLOURS[0]).sum() > 200


def test_pairs_are_linked_and_their_second_area_is_dashed() -> None:
    rgb = np.full((400, 600, 3), 128, np.uint8)
    first, second = disc(400, 600, 0.2, 0.5, 0.15), disc(400, 600, 0.8, 0.5, 0.15)
    out = overlay(rgb, first | second, regions=[Mark("E2", first, second, COLOURS[1])])
    between = out[190:210, 250:350]
    assert near(between, DARK).any()
    assert near(between, COLOURS[1]).any()
    solid, dashed = (near(out[:, s], COLOURS[1]).sum() for s in (slice(0, 215), slice(385, 600)))
    assert dashed < 0.85 * solid
    single = overlay(rgb, first | second, regions=[Mark("E2", first, None, COLOURS[1])])
    assert not near(single[190:210, 250:350], DARK).any()


@pytest.mark.parametrize(("height", "width"), [(150, 200), (512, 512), (1500, 2000)])
def test_labels_and_lines_grow_with_the_picture(height: int, width: int) -> None:
    rgb = np.full((height, width, 3), 90, np.uint8)
    mask = disc(height, width, 0.5, 0.6, 0.2)
    labelled = overlay(rgb, mask, regions=[Mark("E1", mask)])
    bare = overlay(rgb, mask, regions=[Mark("", mask)])
    ys, xs = np.nonzero((labelled != bare).any(axis=2))
    tall, wide = ys.max() - ys.min(), xs.max() - xs.min()
    assert max(12, 0.03 * height) < tall < 0.16 * height
    assert wide < 0.25 * width
    assert (near(labelled, (255, 255, 255), 60) & ~near(bare, (255, 255, 255), 60)).sum() > 10


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.02)])
def test_labels_stay_inside_and_apart(x: float, y: float) -> None:
    rgb = np.full((300, 300, 3), 200, np.uint8)
    masks = [disc(300, 300, x, y, r) for r in (0.1, 0.12, 0.14)]
    union = masks[0] | masks[1] | masks[2]
    marks = [Mark(f"E{i}", m, None, COLOURS[i]) for i, m in enumerate(masks)]
    with_labels = overlay(rgb, union, regions=marks)
    without = overlay(rgb, union, regions=[Mark("", m.region_mask, None, m.colour) for m in marks])
    one = overlay(rgb, union, regions=[marks[0], *(Mark("", m.region_mask, None, m.colour) for m in marks[1:])])
    changed, single = ((picture != without).any(axis=2).sum() for picture in (with_labels, one))
    assert single > 150
    assert changed > 2.6 * single  # three labels beside each other, none upon another or cut off


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (900, 7), (3, 3)])
def test_no_size_is_too_odd(shape: tuple[int, int]) -> None:
    rgb = np.zeros((*shape, 3), np.uint8)
    mask = np.ones(shape, bool)
    assert overlay(rgb, mask, regions=[Mark("E1", mask, mask.copy())]).shape == rgb.shape
    assert heatmap(rgb, mask.astype(np.float32)).shape == rgb.shape


def test_heatmap_rises_in_lightness_and_survives_bad_numbers() -> None:
    rgb = np.full((20, 256, 3), 128, np.uint8)
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(20, axis=0)
    out = heatmap(rgb, ramp)
    lightness = cv2.cvtColor(out, cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= -1).all()
    assert lightness[-1] - lightness[0] > 120
    bad = ramp.copy()
    bad[0, :3] = (np.nan, np.inf, -5)
    assert (heatmap(rgb, bad)[0, 0] == out[0, 0]).all()
    assert (heatmap(rgb, bad)[0, 1] == out[0, -1]).all()


def test_wrong_sizes_are_refused() -> None:
    rgb = np.zeros((10, 20, 3), np.uint8)
    with pytest.raises(ValueError, match="picture is 20x10"):
        overlay(rgb, np.zeros((20, 10), bool))
    with pytest.raises(ValueError, match="picture is 20x10"):
        heatmap(rgb, np.zeros((20, 10), np.float32))
    with pytest.raises(ValueError, match="picture is 20x10"):
        overlay(rgb, np.zeros((10, 20), bool), regions=[Mark("E1", np.zeros((5, 5), bool))])


def test_close_view_leaves_the_region_untouched() -> None:
    rgb = data.coffee()[:200, :200]
    mask = disc(200, 200, 0.5, 0.5, 0.25)
    out = outline(rgb, mask)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert (out[inside] == rgb[inside]).all()
    assert (out != rgb).any()
