"""Codecs and chains: real round trips, grids where they are said to be, masks that follow, JSON that comes back."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data

from fakeexplain.imaging import degrade
from fakeexplain.imaging.jpeg import block_dct, parse_jpeg, scaled_table
from fakeexplain.imaging.source import SourceImage


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[100:300, 80:340])


def _comb_residual(rgb: np.ndarray, quality: int, offset: tuple[int, int]) -> float:
    """Mean distance of luma coefficients (blocks from `offset`) to multiples of the table, in steps: 0.25 if random."""
    luma = rgb.astype(np.float64) @ [0.299, 0.587, 0.114] - 128.0
    steps = block_dct(luma[offset[1] :, offset[0] :])[..., :3, :3] / scaled_table(quality)[:3, :3]
    return float(np.abs(steps - np.rint(steps))[np.abs(steps) > 0.6].mean())


@pytest.mark.parametrize(("quality", "subsampling"), [(50, "4:2:0"), (90, "4:2:2"), (98, "4:4:4")])
def test_jpeg_has_the_tables_and_sampling_that_were_asked_for(rgb, quality, subsampling):
    facts = parse_jpeg(degrade.encode_jpeg(rgb, quality, subsampling=subsampling, progressive=True))
    assert facts is not None
    assert facts.quality == quality
    assert facts.quality_exact
    assert facts.subsampling == subsampling
    assert facts.progressive


@pytest.mark.parametrize("offset", [(0, 0), (3, 0), (0, 6), (5, 2), (7, 7)])
def test_grid_lies_at_the_offset_and_nowhere_else(rgb, offset):
    trip = degrade.jpeg_round_trip(rgb, 60, subsampling="4:4:4", offset=offset)
    assert trip.shape == rgb.shape
    assert _comb_residual(trip, 60, offset) < 0.08
    elsewhere = ((offset[0] + 3) % 8, (offset[1] + 4) % 8)
    assert _comb_residual(trip, 60, elsewhere) > 0.2


def test_round_trip_is_what_another_program_reads(rgb):
    finished = degrade.finish(rgb, [], [degrade.Jpeg(quality=80)])
    assert finished.format == "JPEG"
    assert np.array_equal(SourceImage.from_bytes(finished.file_bytes()).rgb, finished.rgb)
    assert np.array_equal(finished.rgb, degrade.jpeg_round_trip(rgb, 80))


def test_png_is_lossless_and_webp_is_webp(rgb):
    plain = degrade.finish(rgb, [], [])
    assert plain.format == "PNG"
    assert plain.encoded is None
    assert np.array_equal(degrade.decode(plain.file_bytes()), rgb)
    lossy = degrade.finish(rgb, [], [degrade.WebP(quality=70)])
    assert lossy.format == "WEBP"
    source = SourceImage.from_bytes(lossy.file_bytes())
    assert source.format == "WEBP"
    assert np.array_equal(source.rgb, lossy.rgb)


def test_pixel_step_after_a_codec_makes_the_file_lossless_again(rgb):
    finished = degrade.finish(rgb, [], [degrade.Jpeg(quality=70), degrade.Blur(sigma=0.8)])
    assert finished.format == "PNG"
    assert np.array_equal(degrade.decode(finished.file_bytes()), finished.rgb)


STEPS: list[degrade.Step] = [
    degrade.Jpeg(quality=77, offset=(2, 5)),
    degrade.WebP(quality=60),
    degrade.Resize(width=131, height=97, method="lanczos"),
    degrade.Crop(box_xyxy=(3, 5, 120, 90)),
    degrade.Turn(quarters=1, mirror=True),
    degrade.Noise(sigma=2.0, seed=4),
    degrade.Sensor(read_noise=1.0, shot_noise=0.02, pattern="GRBG", demosaicing="edge-aware", seed=9),
    degrade.Blur(sigma=1.1),
    degrade.Median(window=5),
    degrade.Sharpen(amount=0.7),
    degrade.Tone(contrast=1.2, gamma=0.9, saturation=0.6),
]


def test_every_step_kind_is_listed_here():
    kinds = {type(step) for step in STEPS}
    known = {value for value in vars(degrade).values() if isinstance(value, type) and issubclass(value, degrade._Step)}
    assert kinds == known - {degrade._Step}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.op)
def test_step_is_pure_changes_the_picture_and_repeats_itself(rgb, step):
    before = rgb.copy()
    once = step.apply(rgb)
    assert np.array_equal(rgb, before)
    assert once.dtype == np.uint8
    assert once.shape != rgb.shape or not np.array_equal(once, rgb)
    again = degrade.chain_from_json(degrade.chain_to_json([step]))[0]
    assert again == step
    assert np.array_equal(again.apply(rgb), once)


def test_chain_refuses_what_it_does_not_know():
    with pytest.raises(ValidationError):
        degrade.chain_from_json([{"op": "jpeg", "quality": 80, "chroma": "none"}])
    with pytest.raises(ValidationError):
        degrade.chain_from_json([{"op": "deepfry"}])
    with pytest.raises(ValidationError):
        degrade.Jpeg(quality=0)


def test_masks_follow_the_geometry(rgb):
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[40:80, 60:140] = True
    steps: list[degrade.Step] = [
        degrade.Crop(box_xyxy=(20, 10, width, height)),
        degrade.Resize(width=(width - 20) // 2, height=(height - 10) // 2, method="area"),
        degrade.Turn(quarters=0, mirror=True),
        degrade.Jpeg(quality=90),
    ]
    painted = rgb.copy()
    painted[mask] = (255, 0, 255)
    finished = degrade.finish(painted, [mask], steps)
    carried = finished.masks[0]
    assert carried.shape == finished.rgb.shape[:2]
    assert carried.sum() == pytest.approx(mask.sum() / 4, rel=0.02)
    magenta = (finished.rgb.astype(int) @ [1, -2, 1]) > 250
    assert (carried & magenta).sum() > 0.95 * (carried | magenta).sum()


def test_noise_has_the_sigma_asked_for_and_sensor_noise_grows_with_light():
    grey = np.full((200, 200, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    assert degrade.add_noise(grey, 3.0, rng).astype(float).std() == pytest.approx(np.sqrt(9 + 1 / 12), rel=0.03)
    dark, bright = (
        degrade.expose(np.full((200, 200, 3), level, np.uint8), read_noise=0.5, shot_noise=0.05, rng=rng).astype(float)
        for level in (20, 200)
    )
    assert bright.std() > 2 * dark.std()
    assert abs(bright.mean() - 200) < 0.5


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG"])
@pytest.mark.parametrize("demosaicing", ["bilinear", "edge-aware"])
def test_sensor_keeps_colours_in_their_channels(pattern, demosaicing):
    scene = np.full((32, 32, 3), (200, 90, 20), np.uint8)
    out = degrade.expose(
        scene, read_noise=0, shot_noise=0, rng=np.random.default_rng(0), pattern=pattern, demosaicing=demosaicing
    )
    assert np.array_equal(out[8:24, 8:24], scene[8:24, 8:24])


def test_tone_and_saturation_have_the_stated_neutral_points(rgb):
    assert np.array_equal(degrade.tone(rgb), rgb)
    assert np.abs(degrade.saturate(rgb, 1.0).astype(int) - rgb).max() <= 1
    grey = degrade.saturate(rgb, 0.0)
    assert np.ptp(grey, axis=2).max() == 0
