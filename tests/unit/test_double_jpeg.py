"""double_jpeg: planted positives in photographs of scikit-image's wheel, clean negatives, odd pictures, the frame."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import mask_of_box, mask_of_region
from fakeexplain.imaging.source import SourceImage, orient
from fakeexplain.instruments._dq_histogram import SmoothLaw, gains, histogram, informative_steps
from fakeexplain.instruments.double_jpeg import DoubleJpeg
from fakeexplain.records import Evidence

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
SIGNIFICANT = np.log10(0.0025)


@cache
def photo(name: str) -> np.ndarray:
    """uint8 HxWx3, halved so that no earlier JPEG grid survives."""
    image = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
    width, height = image.size
    scale = 0.5 if min(width, height) > 600 else 0.8
    return np.asarray(image.resize((int(width * scale), int(height * scale)), Image.Resampling.LANCZOS))


def save(rgb: np.ndarray, quality: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def load(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def as_png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def forge(first: int, second: int, size: int = 96) -> tuple[bytes, np.ndarray]:
    """astronaut saved at `first`, a square of coffee pasted at an odd place, saved at `second`: (bytes, bool mask)."""
    rgb = load(save(photo("astronaut.png"), first))
    y, x = 203, 109
    rgb[y : y + size, x : x + size] = photo("coffee.png")[60 : 60 + size, 150 : 150 + size]
    return save(rgb, second), mask_of_box((x, y, x + size, y + size), *rgb.shape[:2])


def examine(data: bytes) -> list[Evidence]:
    return DoubleJpeg().examine(SourceImage.from_bytes(data))


def detections(records: list[Evidence]) -> list[Evidence]:
    return [r for r in records if r.kind == "detection"]


def f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((predicted & truth).sum()) / float(predicted.sum() + truth.sum())


@pytest.mark.parametrize(("first", "second"), [(60, 75), (70, 90), (80, 90), (85, 95)])
def test_pasted_square_is_found_where_it_is(first: int, second: int) -> None:
    data, truth = forge(first, second)
    best = detections(examine(data))[0]
    assert best.log10_nfa is not None
    assert best.log10_nfa < -8
    assert best.trace == "missing_double_quantisation"
    assert best.region is not None
    assert f1(mask_of_region(best.region), truth) > 0.7
    assert isinstance(best.value, float)
    assert isinstance(best.reference, float)
    assert best.value > 0.5 > best.reference
    assert best.score_map.shape == truth.shape
    assert best.score_map.dtype == np.float32
    assert best.score_map[truth].mean() > 0.5 > 4 * best.score_map[~truth].mean()


def test_png_copy_of_the_forgery_is_found_too() -> None:
    data, truth = forge(65, 85)
    best = detections(examine(as_png(load(data))))[0]
    assert best.log10_nfa is not None
    assert best.log10_nfa < -8
    assert best.region is not None
    assert f1(mask_of_region(best.region), truth) > 0.7


def test_resaved_photographs_raise_no_alarm_and_state_the_first_quality() -> None:
    """The law: at most 0.05 x N of N authentic photographs below NFA 0.05; here N = 18, so none below 0.0025."""
    smallest, right = [], 0
    pairs = ((60, 80), (75, 90), (85, 95))
    for name in PHOTOS:
        for first, second in pairs:
            records = examine(save(load(save(photo(name), first)), second))
            smallest.append(min((r.log10_nfa or 0.0 for r in detections(records)), default=0.0))
            facts = [r for r in records if r.kind == "fact"]
            right += bool(facts) and abs(int(facts[0].value or 0) - first) <= 2
            assert all(r.log10_nfa is None and r.trace == "double_compression" for r in facts)
    assert sum(v < np.log10(0.05) for v in smallest) <= 1
    assert min(smallest) > SIGNIFICANT
    assert right >= 15


@pytest.mark.parametrize("quality", [60, 75, 90, 97])
def test_photographs_saved_once_are_not_judged(quality: int) -> None:
    for name in PHOTOS:
        records = examine(save(photo(name), quality))
        assert [r.kind for r in records] == ["abstention"], (name, records)
        assert "no trace of an earlier JPEG save" in records[0].reason


def test_same_settings_twice_and_shifted_grid_are_not_judged() -> None:
    rgb = photo("chelsea.png")
    assert examine(save(load(save(rgb, 80)), 80))[0].kind == "abstention"
    assert examine(save(load(save(rgb, 70))[3:, 5:], 90))[0].kind == "abstention"


def test_uncompressed_png_is_not_judged() -> None:
    (record,) = examine(as_png(photo("chelsea.png")))
    assert record.kind == "abstention"
    assert "JPEG" in record.reason


@pytest.mark.parametrize("orientation", [3, 6, 7, 8])
def test_region_is_in_the_upright_frame(orientation: int) -> None:
    data, truth = forge(65, 85)
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(data)) as image:
        tables = image.quantization  # type: ignore[attr-defined]
    turned = io.BytesIO()
    first = load(save(photo("astronaut.png"), 65))
    first[truth] = load(data)[truth]
    Image.fromarray(first).save(turned, "JPEG", qtables=tables, exif=exif)
    best = detections(examine(turned.getvalue()))[0]
    assert best.region is not None
    assert f1(mask_of_region(best.region), orient(truth, orientation)) > 0.7


def test_measure_compares_region_with_the_rest() -> None:
    data, truth = forge(65, 85)
    source = SourceImage.from_bytes(data)
    record = DoubleJpeg().measure(source, truth)
    assert record.kind == "measurement"
    assert record.log10_nfa is None
    assert isinstance(record.value, float)
    assert isinstance(record.reference, float)
    assert record.value < 0.3
    assert record.reference > 0.9
    with pytest.raises(MeasurementError, match="region is"):
        DoubleJpeg().measure(source, truth[1:])
    with pytest.raises(MeasurementError, match="no earlier JPEG save"):
        DoubleJpeg().measure(SourceImage.from_bytes(save(photo("astronaut.png"), 80)), truth)


def test_first_step_is_recovered_from_the_forward_model() -> None:
    """A Laplace law quantised by 7 and then by 4: the search names 7, and nothing when quantised by 4 alone."""
    values = np.random.default_rng(0).laplace(scale=12.0, size=(2, 8000))
    law, steps = SmoothLaw(np.abs(values[0])), informative_steps(4)
    noise = np.random.default_rng(1).normal(scale=0.4, size=8000)
    twice = np.rint((7 * np.rint(values[1] / 7) + noise) / 4).astype(int)
    gain, share = gains(histogram(twice, 4), law, 4, steps)
    assert steps[gain.argmax()] == 7
    assert gain.max() > 500
    assert share[gain.argmax()] > 0.8
    gain, _ = gains(histogram(np.rint(values[1] / 4).astype(int), 4), law, 4, steps)
    assert gain.max() < 20
    assert not {2, 4} & set(informative_steps(4).tolist())


def test_odd_pictures_do_not_crash() -> None:
    rng = np.random.default_rng(0)
    shapes: list[np.ndarray] = [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((7, 2000, 3), np.uint8),
        np.zeros((200, 200, 3), np.uint8),
        np.full((200, 200, 3), 255, np.uint8),
        rng.integers(0, 256, (200, 203, 3), dtype=np.uint8),
        np.kron(rng.integers(0, 2, (25, 25, 1), dtype=np.uint8) * 255, np.ones((8, 8, 3), np.uint8)),
        np.kron(rng.integers(0, 16, (40, 40, 1), dtype=np.uint8) * 15 + 8, np.ones((5, 5, 3), np.uint8)),
    ]
    for rgb in shapes:
        for data in (as_png(rgb), save(rgb, 75), save(load(save(rgb, 60)), 85)):
            records = examine(data)
            assert records
            assert all(r.log10_nfa is None or r.log10_nfa > SIGNIFICANT for r in records)
    grey = io.BytesIO()
    Image.fromarray(photo("chelsea.png")[..., 0]).save(grey, "JPEG", quality=80)
    assert examine(grey.getvalue())[0].kind == "abstention"
