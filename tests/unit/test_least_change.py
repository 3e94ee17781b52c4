"""What a JPEG's coefficients prove: nothing where the original explains them, the very blocks where it does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fakeexplain.imaging.least_change import least_change, read_stored
from fakeexplain.imaging.source import SourceImage, orient
from tests.pictures import encode, jpeg_round_trip, photograph


def _source(rgb: np.ndarray, **options: object) -> SourceImage:
    return SourceImage.from_bytes(encode(rgb, "JPEG", **options))


def _edited(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A disc of inverted colours, 30 pixels wide, off the block grid: (edited, bool mask)."""
    ys, xs = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    disc = (ys - 101) ** 2 + (xs - 139) ** 2 < 15**2
    out = rgb.copy()
    out[disc] = 255 - out[disc]
    return out, disc


@pytest.mark.parametrize("quality", [30, 75, 92])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_original_explains_its_own_save(quality: int, subsampling: int) -> None:
    rgb = photograph("coffee")[3:, 5:]  # of a size that leaves blocks over the edge
    found = least_change(rgb, read_stored(_source(rgb, quality=quality, subsampling=subsampling)))
    assert found is not None
    assert found.consistent_fraction > 0.999
    assert found.contradicted_mask.mean() < 0.002
    assert found.levels[~found.contradicted_mask].max() == 0.0


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_an_edit_contradicts_its_blocks_and_no_others(quality: int) -> None:
    rgb = photograph("coffee")
    edited, disc = _edited(rgb)
    found = least_change(rgb, read_stored(_source(edited, quality=quality, subsampling=2)))
    assert found is not None
    assert found.contradicted_mask[disc].all()
    blocks = np.zeros_like(disc)
    for y in range(0, disc.shape[0], 16):
        for x in range(0, disc.shape[1], 16):
            blocks[y : y + 16, x : x + 16] = disc[y : y + 16, x : x + 16].any()
    assert (found.contradicted_mask & ~blocks).mean() < 0.002
    assert np.median(found.levels[disc]) > 10 * found.levels[blocks & ~disc].mean()


def test_a_belief_gathers_the_change() -> None:
    rgb = photograph("coffee")
    edited, disc = _edited(rgb)
    stored = read_stored(_source(edited, quality=60, subsampling=2))
    blind, led = least_change(rgb, stored), least_change(rgb, stored, disc.astype(np.float32))
    assert blind is not None
    assert led is not None
    near = blind.contradicted_mask & ~disc
    assert led.levels[near].mean() < 0.85 * blind.levels[near].mean()
    assert led.levels[disc].mean() > blind.levels[disc].mean()


def test_stored_levels_are_the_difference_of_the_two_saves() -> None:
    grey = photograph("coffee")[..., 1]
    edited = grey.copy()
    edited[60:120, 100:170] = grey[60:120, 100:170] // 2 + 40
    saved = []
    for plane in (grey, edited):
        buffer = io.BytesIO()
        Image.fromarray(plane).save(buffer, "JPEG", quality=75)
        saved.append(SourceImage.from_bytes(buffer.getvalue()))
    stored = read_stored(saved[1])
    assert stored is not None
    found = least_change(np.repeat(grey[..., None], 3, axis=2), stored)
    assert found is not None
    decoded = np.abs(saved[0].rgb[..., 0].astype(float) - saved[1].rgb[..., 0])
    edit = np.s_[56:120, 96:176]  # whole blocks
    assert decoded[edit].max() > 30
    # Both decoded pictures are rounded, and a coefficient on a tie may go either way.
    assert (np.abs(found.stored_levels - decoded)[edit] <= 1.5).mean() > 0.95
    elsewhere = np.ones_like(grey, bool)
    elsewhere[edit] = False
    assert (found.stored_levels[elsewhere] < 0.01).mean() > 0.8
    assert found.levels[elsewhere].max() == 0.0


def test_another_save_of_the_photograph_proves_nothing() -> None:
    rgb = photograph("astronaut")
    for original in (jpeg_round_trip(rgb, 85), np.clip(rgb * 0.9 + 9, 0, 255).astype(np.uint8)):
        assert least_change(original, read_stored(_source(rgb, quality=75))) is None


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_turned_files_are_compared_in_their_stored_frame(orientation: int) -> None:
    upright = photograph("coffee")[:201, :333]
    edited, disc = _edited(upright)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = _source(orient(edited, back), quality=75, exif=exif.tobytes())
    assert source.rgb.shape == upright.shape
    found = least_change(upright, read_stored(source))
    assert found is not None
    assert found.contradicted_mask[disc].all()
    assert found.contradicted_mask.mean() < 6 * disc.mean()


def test_grey_files() -> None:
    grey = photograph("coffee")[..., 1]
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=75)
    source = SourceImage.from_bytes(buffer.getvalue())
    found = least_change(np.repeat(grey[..., None], 3, axis=2), read_stored(source))
    assert found is not None
    assert not found.contradicted_mask.any()


def test_files_without_coefficients_have_no_intervals() -> None:
    rgb = photograph("coffee")[:64, :64]
    assert read_stored(SourceImage.from_bytes(encode(rgb))) is None
    buffer = io.BytesIO()
    Image.fromarray(rgb).convert("CMYK").save(buffer, "JPEG")
    assert read_stored(SourceImage.from_bytes(buffer.getvalue())) is None
