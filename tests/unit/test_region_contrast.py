"""A chosen region against its surroundings and same-size regions: planted differences show, clean ones rank evenly."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import mask_of_box
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.region_contrast import STATISTICS, RegionContrast, contrast_table

GRAVEL = np.repeat(pictures.gravel()[..., None], 3, axis=2)
BOX = (200, 152, 296, 248)


def png(rgb):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return SourceImage.from_bytes(stream.getvalue())


def jpeg(rgb, **options):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", **{"quality": 60} | options)
    return SourceImage.from_bytes(stream.getvalue())


def smooth_noise(sigma, seed=0, height=512, width=512):
    """A gentle slope with white noise: every statistic is known."""
    slope = np.linspace(60, 180, width)[None, :, None] + np.zeros((height, 1, 3))
    noise = np.random.default_rng(seed).normal(0, sigma, (height, width, 1))
    return np.clip(slope + noise, 0, 255).round().astype(np.uint8)


def mask_in(source, box=BOX):
    return mask_of_box(box, source.height, source.width)


def test_noise_is_measured_in_grey_levels():
    rgb = smooth_noise(3.0)
    source = png(rgb)
    row = contrast_table(source, mask_in(source))["noise"]
    for key in ("inside", "surroundings", "median_elsewhere"):
        assert row[key] == pytest.approx(3.0, rel=0.12)
    assert 1 <= row["percentile"] <= 99


@pytest.mark.parametrize(("sigma", "percentile"), [(6.0, 100.0), (1.0, 0.0)])
def test_planted_noise_difference_is_at_the_end_of_the_ranking(sigma, percentile):
    rgb = smooth_noise(3.0)
    x0, y0, x1, y1 = BOX
    rgb[y0:y1, x0:x1] = smooth_noise(sigma, seed=1)[y0:y1, x0:x1]
    source = png(rgb)
    table = contrast_table(source, mask_in(source))
    assert table["noise"]["inside"] == pytest.approx(sigma, rel=0.15)
    assert table["noise"]["surroundings"] == pytest.approx(3.0, rel=0.15)
    assert table["noise"]["percentile"] == percentile


def test_planted_blur_lowers_sharpness():
    x0, y0, x1, y1 = BOX
    rgb = GRAVEL.copy()
    rgb[y0:y1, x0:x1] = cv2.GaussianBlur(rgb, (0, 0), 1.2)[y0:y1, x0:x1]
    source = png(rgb)
    row = contrast_table(source, mask_in(source))["sharpness"]
    assert row["percentile"] == 0
    assert row["inside"] < 0.5 * row["median_elsewhere"]
    clean = png(GRAVEL)
    assert 2 < contrast_table(clean, mask_in(clean))["sharpness"]["percentile"] < 98


def test_planted_part_without_jpeg_grid():
    """A JPEG decoded, one part taken from the uncompressed picture, stored as PNG."""
    compressed = jpeg(GRAVEL, quality=40).rgb.copy()
    x0, y0, x1, y1 = BOX
    compressed[y0:y1, x0:x1] = GRAVEL[y0:y1, x0:x1]
    source = png(compressed)
    row = contrast_table(source, mask_in(source))["jpeg_grid"]
    assert row["inside"] == pytest.approx(1.0, abs=0.05)
    assert row["median_elsewhere"] > 1.1
    assert row["percentile"] == 0
    never = png(GRAVEL)
    for value in ("inside", "surroundings", "median_elsewhere"):
        assert contrast_table(never, mask_in(never))["jpeg_grid"][value] == pytest.approx(1.0, abs=0.05)


def test_planted_colour():
    x0, y0, x1, y1 = BOX
    rgb = GRAVEL.copy()
    rgb[y0:y1, x0:x1, 0] = np.clip(rgb[y0:y1, x0:x1, 0].astype(int) + 60, 0, 255)
    source = png(rgb)
    table = contrast_table(source, mask_in(source))
    assert table["green_red"]["percentile"] == 100
    assert table["saturation"]["percentile"] == 100
    assert table["green_red"]["surroundings"] == pytest.approx(0, abs=0.5)
    assert table["green_red"]["inside"] > 10


def test_clean_regions_rank_evenly():
    """Over many random regions of a homogeneous picture the percentile has no preferred end."""
    source = png(smooth_noise(4.0))
    rng = np.random.default_rng(2)
    ranks = []
    for _ in range(40):
        x, y = rng.integers(0, 440, size=2)
        ranks.append(contrast_table(source, mask_in(source, (x, y, x + 72, y + 72)))["noise"]["percentile"])
    assert 30 < np.mean(ranks) < 70
    assert np.mean([r < 2.5 or r > 97.5 for r in ranks]) < 0.2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_upright_frame_is_used_whatever_the_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb = np.ascontiguousarray(pictures.coffee()[:395, :597])  # no multiple of 8: the grid must follow the stored frame
    plain, turned = jpeg(rgb), jpeg(rgb, exif=exif)
    mask = mask_of_box((200, 96, 360, 216), 395, 597)
    expected, found = contrast_table(plain, mask), contrast_table(turned, turned.upright(mask))
    for name in STATISTICS:
        for key, value in expected[name].items():
            assert found[name][key] == pytest.approx(value, rel=1e-3, abs=1e-3), (name, key)


def test_record_is_one_measurement_without_nfa():
    source = jpeg(pictures.coffee())
    mask = mask_in(source)
    evidence = RegionContrast().measure(source, mask)
    assert (evidence.kind, evidence.trace, evidence.log10_nfa) == ("measurement", "region_contrast", None)
    assert evidence.region.box_xyxy == BOX
    assert set(STATISTICS) <= set(evidence.details)
    for name in STATISTICS:
        assert set(evidence.details[name]) == {"inside", "surroundings", "median_elsewhere", "percentile"}
    assert evidence.value == evidence.details[evidence.details["most_unlike"]]["inside"]
    assert evidence.details["same_size_regions"] > 20
    assert evidence.reason == ""
    assert json.loads(evidence.model_dump_json())["details"] == evidence.details
    assert evidence == RegionContrast().measure(source, mask)
    assert RegionContrast.localizes is False


def test_examine_abstains():
    (record,) = RegionContrast().examine(png(GRAVEL))
    assert record.kind == "abstention"
    assert "asked about" in record.reason


@pytest.mark.parametrize("box", [(0, 0, 512, 512), (20, 20, 490, 490)])
def test_regions_too_large_for_a_comparison_say_so(box):
    source = png(GRAVEL)
    evidence = RegionContrast().measure(source, mask_in(source, box))
    assert "too large" in evidence.reason
    assert evidence.details["same_size_regions"] == 0
    assert evidence.details["noise"]["percentile"] is None
    assert evidence.details["noise"]["median_elsewhere"] is None
    assert evidence.value is not None
    whole = box == (0, 0, 512, 512)
    assert (evidence.details["noise"]["surroundings"] is None) == whole


def test_too_small_or_foreign_regions_are_refused():
    source = png(GRAVEL)
    with pytest.raises(MeasurementError, match="pixels"):
        RegionContrast().measure(source, mask_in(source, (10, 10, 20, 20)))
    line = mask_in(source, (0, 100, 512, 103))
    with pytest.raises(MeasurementError, match="blocks"):
        RegionContrast().measure(source, line)
    with pytest.raises(MeasurementError, match="upright"):
        RegionContrast().measure(source, np.ones((100, 100), dtype=bool))
    with pytest.raises(MeasurementError, match="upright"):
        contrast_table(source, np.ones((100, 100), dtype=bool))


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((200, 200, 3), np.uint8),
        np.full((200, 200, 3), 255, np.uint8),
        np.full((200, 200, 3), 120, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8),
        np.kron(np.random.default_rng(0).integers(0, 2, (20, 20, 3)), np.ones((10, 10, 1))).astype(np.uint8) * 255,
        np.zeros((16, 3000, 3), np.uint8),
    ],
    ids=["black", "white", "flat", "noise", "squares", "strip"],
)
def test_odd_pictures_never_crash(rgb):
    source = png(rgb)
    mask = mask_in(source, (40, 0, 120, 80))
    evidence = RegionContrast().measure(source, mask)
    text = evidence.model_dump_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    if rgb.max() in (0, 255) and rgb.min() == rgb.max():
        assert evidence.details["noise"]["inside"] is None


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (5, 5)])
def test_pictures_without_a_block_are_refused(shape):
    source = png(np.full((*shape, 3), 90, np.uint8))
    with pytest.raises(MeasurementError):
        RegionContrast().measure(source, np.ones(shape, dtype=bool))


def test_ring_keeps_off_the_region():
    """A bright frame around the region, further away than the ring reaches, must not be counted."""
    rgb = np.full((512, 512, 3), 100, np.uint8)
    x0, y0, x1, y1 = BOX
    rgb[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = 200  # spills over the border as a soft edge would
    rgb[:40] = rgb[-40:] = 250
    source = png(rgb)
    row = contrast_table(source, mask_in(source))["lightness"]
    grey = contrast_table(png(np.full((512, 512, 3), 100, np.uint8)), mask_in(source))["lightness"]["inside"]
    assert row["surroundings"] == pytest.approx(grey, abs=0.1)
