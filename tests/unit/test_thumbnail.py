"""An embedded preview of the same picture matches; another picture, or a changed part, does not."""

import struct

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from fakeexplain.imaging.regions import mask_of_region
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.metadata import Metadata
from fakeexplain.provenance.thumbnail import compare_thumbnail
from tests.unit.metadata_files import ASTRONAUT, CAMERA, TAKEN, exif_block, jpeg, with_exif


def letterboxed(rgb, size):
    """A preview as cameras make it: black bars fill the wrong aspect ratio."""
    width, height = size
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    inner = cv2.resize(rgb, (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


@pytest.mark.parametrize("rgb", [ASTRONAUT, pictures.coffee(), pictures.chelsea(), pictures.rocket()])
def test_own_preview_matches_in_all_usual_shapes(rgb):
    source = SourceImage.from_bytes(jpeg(rgb))
    small = cv2.resize(rgb, (160, round(160 * rgb.shape[0] / rgb.shape[1])), interpolation=cv2.INTER_AREA)
    toned = (255 * (small / 255.0) ** 0.7).astype(np.uint8)
    one_bar = np.vstack([np.zeros((14, 160, 3), np.uint8), small])
    for view in (small, letterboxed(rgb, (160, 120)), one_bar, toned, np.ascontiguousarray(np.rot90(small))):
        result = compare_thumbnail(jpeg(view, quality=75), source)
        assert result["correlation"] > 0.9
        assert result["changed_mask"] is None


def test_other_picture_as_preview_is_a_mismatch():
    found = with_exif(exif_block(CAMERA, TAKEN, thumbnail=jpeg(cv2.resize(pictures.rocket(), (160, 120)))))
    assert found["thumbnail_mismatch"].value < 0.65
    assert found["thumbnail_mismatch"].region is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_changed_part_is_placed_in_the_upright_frame(orientation):
    """The preview still shows the original; the picture was altered at the lower right (stored frame)."""
    rgb = pictures.coffee()
    altered = rgb.copy()
    altered[250:350, 430:560] = pictures.chelsea()[60:160, 100:230]
    entries = (*CAMERA, (0x0112, 3, 1, struct.pack("<H", orientation)))
    block = exif_block(entries, thumbnail=jpeg(cv2.resize(rgb, (160, 107), interpolation=cv2.INTER_AREA)))
    source = SourceImage.from_bytes(jpeg(altered, exif=b"Exif\x00\x00" + block))
    truth = np.zeros(rgb.shape[:2], dtype=bool)
    truth[250:350, 430:560] = True
    truth = source.upright(truth)
    mismatch = {e.trace: e for e in Metadata().examine(source)}["thumbnail_mismatch"]
    assert mismatch.value > 0.65
    found_mask = mask_of_region(mismatch.region)
    wider = cv2.dilate(truth.astype(np.uint8), np.ones((31, 31), np.uint8)).astype(bool)
    assert (found_mask & wider).sum() > 0.99 * found_mask.sum()
    assert (found_mask & truth).sum() > 0.3 * truth.sum()


def test_broken_or_tiny_preview_is_not_compared():
    source = SourceImage.from_bytes(jpeg())
    assert compare_thumbnail(b"\xff\xd8\xff\xe0broken", source) is None
    assert compare_thumbnail(jpeg(ASTRONAUT[:10, :10]), source) is None
    assert compare_thumbnail(jpeg(np.full((100, 100, 3), 90, np.uint8)), source) is None
