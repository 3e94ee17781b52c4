from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from app.layers import (
    blend,
    display_size,
    draw_layers,
    full_size,
    ordered_box,
    png_bytes,
    polygons_of,
    region_layer,
    shown_picture,
)
from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import decode_mask, region_of_mask


def ring(height: int = 90, width: int = 120) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[20:70, 30:100] = True
    mask[40:50, 50:60] = False
    mask[5, 5] = True
    return mask


def filled(polygons, shape) -> np.ndarray:
    """Even-odd filling at eight times the size, sampled at pixel centres."""
    canvas = np.zeros((shape[0] * 8, shape[1] * 8), np.uint8)
    cv2.fillPoly(canvas, [np.round(np.array(p) * 8).astype(np.int32) for p in polygons], 1)
    return canvas[4::8, 4::8] > 0


def test_polygons_hold_exactly_the_pixels_of_a_mask_with_a_hole():
    mask = ring()
    polygons = polygons_of(mask)
    assert len(polygons) == 3
    assert (filled(polygons, mask.shape) != mask).sum() == 0
    assert filled(polygons, mask.shape)[45, 55] == False  # noqa: E712 - the hole


def test_polygons_of_nothing_and_of_everything():
    assert polygons_of(np.zeros((5, 5), bool)) == ()
    (whole,) = polygons_of(np.ones((5, 8), bool))
    xs, ys = np.array(whole).T
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (0, 8, 0, 5)


def test_a_layer_is_transparent_outside():
    mask = ring()
    layer = region_layer(region_of_mask(mask, "R1"), "E1")
    assert layer.rgba.shape == (90, 120, 4)
    assert layer.rgba[80:, :20, 3].max() == 0
    assert layer.rgba[30, 40, 3] == round(255 * 0.35)
    assert layer.rgba[20, 60, 3] > 200  # outline
    assert np.array_equal(decode_mask(layer.mask), mask)
    assert "rgba" not in layer.to_dict()


def test_large_pictures_are_reduced_and_small_ones_kept():
    assert display_size(4000, 3000) == (1600, 1200)
    assert display_size(300, 200) == (300, 200)
    assert shown_picture(np.zeros((2000, 1000, 3), np.uint8), 100).shape == (100, 50, 3)
    layer = region_layer(region_of_mask(ring(2000, 3000), "R1"), side=300)
    assert layer.rgba.shape == (200, 300, 4)


def test_blend_leaves_its_input_and_the_outside_alone():
    rgb = np.full((90, 120, 3), 100, np.uint8)
    out = blend(rgb, ring(), opacity=0.5, contour=False)
    assert (rgb == 100).all()
    assert (out[80:, :20] == 100).all()
    assert (out[30, 40] != 100).any()
    assert (draw_layers(rgb, [])).tolist() == rgb.tolist()


def test_masks_come_back_at_source_size():
    small = np.zeros((1600, 1200), np.uint8)
    small[800:, :] = 255
    large = full_size(small, 4000, 3000)
    assert large.shape == (4000, 3000)
    assert large[:1990].sum() == 0
    assert large[2010:].all()
    with pytest.raises(MeasurementError, match="one frame"):
        full_size(np.ones((10, 10)), 4000, 3000)


def test_boxes():
    assert ordered_box((5, 9, 1, 2)) == (1, 2, 5, 9)
    for wrong in ((1, 2, 3), (1, 2, 3, "x"), (1, 2, 3, float("nan")), (1, 2, 3, None)):
        with pytest.raises(MeasurementError):
            ordered_box(wrong)


def test_png_says_where_it_comes_from():
    data = png_bytes(np.zeros((4, 4), np.uint8), {"Source-SHA256": "ab", "Name": "ü"})
    with Image.open(io.BytesIO(data)) as image:
        assert image.text == {"Source-SHA256": "ab", "Name": "ü"}
