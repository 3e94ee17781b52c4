"""The noise instrument: planted noise is found and outlined, clean pictures are left alone, nothing crashes."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from PIL import Image

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.jpeg import STANDARD_LUMA
from fakeexplain.imaging.regions import mask_of_box, mask_of_region
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments._noise_blocks import bands_of, read_blocks
from fakeexplain.instruments.noise import _HIGH, _LOW, NoiseLevel
from fakeexplain.records import Evidence

PICTURES = Path(skimage.__file__).parent / "data"
CLEAN = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "brick.png",
    "gravel.png",
    "moon.png",
)
ALARM = math.log10(0.0025)


def picture(name: str) -> np.ndarray:
    return np.array(Image.open(PICTURES / name).convert("RGB"))


def as_source(rgb: np.ndarray, quality: int | None = None) -> SourceImage:
    buffer = io.BytesIO()
    if quality is None:
        Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    else:
        Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return SourceImage.from_bytes(buffer.getvalue())


def smooth_scene(height: int = 384, width: int = 512, sigma: float = 0.8) -> np.ndarray:
    """Shaded planes and soft discs with camera-like noise of `sigma` everywhere."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    plane = 70 + 90 * x / width + 30 * np.sin(y / 60)
    for cy, cx, radius, grey in ((90, 120, 60, 40), (280, 380, 80, -35), (200, 250, 40, 30)):
        plane += grey * ((y - cy) ** 2 + (x - cx) ** 2 < radius**2)
    plane = cv2.GaussianBlur(plane, (0, 0), 2)
    rgb = plane[..., None] + rng.normal(0, sigma, (height, width, 3))
    return np.clip(rgb.round(), 0, 255).astype(np.uint8)


def add_noise(rgb: np.ndarray, box_xyxy: tuple[int, int, int, int], sigma: float) -> np.ndarray:
    x0, y0, x1, y1 = box_xyxy
    changed = rgb.copy()
    noise = np.random.default_rng(3).normal(0, sigma, (y1 - y0, x1 - x0, 1))
    changed[y0:y1, x0:x1] = np.clip((changed[y0:y1, x0:x1] + noise).round(), 0, 255)
    return changed


def best(records: list[Evidence]) -> Evidence:
    return min(records, key=lambda e: 0.0 if e.log10_nfa is None else e.log10_nfa)


def f1_of(evidence: Evidence, box_xyxy: tuple[int, int, int, int]) -> float:
    assert evidence.region is not None
    found = mask_of_region(evidence.region)
    truth = mask_of_box(box_xyxy, *found.shape)
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


BOX = (160, 120, 320, 280)


@pytest.mark.parametrize(("sigma", "quality"), [(2, None), (3, None), (3, 95), (5, 90)])
def test_noise_added_to_a_region_is_found_and_outlined(sigma: float, quality: int | None) -> None:
    found = best(NoiseLevel().examine(as_source(add_noise(smooth_scene(), BOX, sigma), quality)))
    assert found.log10_nfa is not None
    assert found.log10_nfa < ALARM
    assert found.trace == "noise_high"
    assert f1_of(found, BOX) > 0.8
    assert found.value == pytest.approx(math.hypot(sigma, 0.55), rel=0.15), "sigma of the luma noise"


@pytest.mark.parametrize("name", ["rocket.jpg", "brick.png"])
def test_noise_added_to_a_photograph_is_found(name: str) -> None:
    rgb = picture(name)
    height, width = rgb.shape[:2]
    box = (width // 2 - 80, height // 2 - 64, width // 2 + 80, height // 2 + 64)
    found = best(NoiseLevel().examine(as_source(add_noise(rgb, box, 5))))
    assert found.log10_nfa is not None
    assert found.log10_nfa < ALARM
    assert found.trace == "noise_high"
    assert f1_of(found, box) > 0.8


def test_noise_taken_from_a_region_is_found() -> None:
    rgb = smooth_scene(sigma=4)
    x0, y0, x1, y1 = BOX
    rgb[y0:y1, x0:x1] = cv2.GaussianBlur(rgb[y0:y1, x0:x1], (0, 0), 1.5)
    found = best(NoiseLevel().examine(as_source(rgb)))
    assert found.log10_nfa is not None
    assert found.log10_nfa < ALARM
    assert found.trace == "noise_low"
    assert f1_of(found, BOX) > 0.8


@pytest.mark.parametrize("quality", [None, 95, 90])
def test_clean_pictures_raise_no_alarm(quality: int | None) -> None:
    sources = [as_source(picture(name), quality) for name in CLEAN]
    sources += [as_source(smooth_scene(sigma=s), quality) for s in (0.8, 4)]
    smallest = [best(NoiseLevel().examine(s)).log10_nfa or 0.0 for s in sources]
    assert min(smallest) > ALARM, "0.03 alarms are expected in ten pictures"


def test_score_map_marks_the_region() -> None:
    first = NoiseLevel().examine(as_source(add_noise(smooth_scene(), BOX, 3)))[0]
    assert first.score_map.dtype == np.float32
    assert first.score_map.shape == (384, 512)
    assert first.score_map.min() >= 0
    assert first.score_map.max() <= 1
    inside = mask_of_box(BOX, 384, 512)
    assert first.score_map[inside].mean() > 0.8 > 0.1 > first.score_map[~inside].mean()


def test_block_sigma_is_unbiased_with_and_without_quantisation() -> None:
    plane = 128 + np.random.default_rng(0).normal(0, 3, (512, 512))
    rgb = np.repeat(plane.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    for quality, table in ((None, np.ones((8, 8), np.int32)), (92, None)):
        source = as_source(rgb, quality)
        if table is None:
            assert source.jpeg is not None
            table = source.jpeg.luma_table
        blocks = read_blocks(source.luma, table, bands_of(table))
        assert math.exp(float(np.median(blocks.level))) == pytest.approx(3, rel=0.12)
        assert blocks.white_mask.mean() > 0.8


def test_bands_shrink_with_compression() -> None:
    assert len(bands_of(np.ones((8, 8), np.int32))) == 5
    assert bands_of(STANDARD_LUMA) == []


def test_law_decreases_with_score_and_is_bounded() -> None:
    for law in (_HIGH, _LOW):
        values = [law.log10_nfa(s) for s in np.linspace(-5, 20, 60)]
        assert all(a >= b for a, b in itertools.pairwise(values))
        assert values[-1] == -5
        assert law.log10_nfa(law.start) == pytest.approx(math.log10(law.rate / law.share))
    assert _HIGH.share + _LOW.share == pytest.approx(1)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((7, 3000, 3), np.uint8),
        np.zeros((200, 300, 3), np.uint8),
        np.full((200, 300, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 16, (13, 19, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1) * 16,
        np.tile(np.random.default_rng(1).choice([0, 255], (256, 256, 1)).astype(np.uint8), (1, 1, 3)),
    ],
    ids=["1x1", "7x3000", "black", "white", "pure noise", "16 colours", "black and white"],
)
def test_awkward_pictures_never_crash_nor_alarm(rgb: np.ndarray) -> None:
    for quality in (None, 30, 95):
        records = NoiseLevel().examine(as_source(rgb, quality))
        assert records
        for record in records:
            assert record.kind != "abstention" or record.reason
            assert record.log10_nfa is None or record.log10_nfa > ALARM


def test_strong_compression_makes_it_abstain() -> None:
    record = NoiseLevel().examine(as_source(add_noise(smooth_scene(), BOX, 3), 40))[0]
    assert record.kind == "abstention"
    assert "compression" in record.reason


def test_measure_reads_both_levels() -> None:
    source = as_source(add_noise(smooth_scene(sigma=1.5), BOX, 3))
    record = NoiseLevel().measure(source, mask_of_box(BOX, 384, 512))
    assert record.kind == "measurement"
    assert record.log10_nfa is None
    assert record.trace == "noise_high"
    luma_share = math.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert record.reference == pytest.approx(1.5 * luma_share, rel=0.15)
    assert record.value == pytest.approx(math.hypot(3, 1.5 * luma_share), rel=0.15)


def test_measure_refuses_what_it_cannot_do() -> None:
    source = as_source(smooth_scene())
    with pytest.raises(MeasurementError, match="pixels"):
        NoiseLevel().measure(source, mask_of_box((0, 0, 8, 8), 384, 512))
    with pytest.raises(MeasurementError, match="compression"):
        NoiseLevel().measure(as_source(smooth_scene(), 30), mask_of_box(BOX, 384, 512))
