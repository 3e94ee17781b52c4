"""JPEG grid: votes against a direct search, planted grids found, clean pictures left alone, no crash on oddities."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from skimage import data

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import mask_of_region
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments._grid_votes import NO_VOTE, cast_votes, usable_blocks, zero_counts
from fakeexplain.instruments.jpeg_grid import JpegGrid

ALARM = np.log10(0.0025)
SIZE = 384


def jpeg(rgb, quality):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def source(rgb, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, kind, **options)
    return SourceImage.from_bytes(buffer.getvalue(), name="test")


def detections(evidence):
    return [e for e in evidence if e.kind == "detection"]


def main_fact(evidence):
    return next(e for e in evidence if e.trace == "main_grid" and e.kind == "fact")


def best_nfa(evidence):
    return min((e.log10_nfa for e in detections(evidence)), default=99.0)


def f1(found_mask, true_mask):
    return 2 * (found_mask & true_mask).sum() / (found_mask.sum() + true_mask.sum())


@pytest.fixture(scope="module")
def photo():
    """Never compressed: JPEG traces of the stored pictures are averaged away by halving."""

    def halved(rgb):
        return np.asarray(Image.fromarray(rgb).reduce(2))

    return {"host": halved(data.retina())[100 : 100 + SIZE, 100 : 100 + SIZE], "donor": data.astronaut()[:SIZE, :SIZE]}


@pytest.fixture(scope="module")
def spliced(photo):
    """A part of the donor, saved on its own grid, in a host saved on grid (0, 0), box (120, 96) to (280, 256)."""
    host, donor = jpeg(photo["host"], 88), jpeg(photo["donor"], 85)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[96:256, 120:280] = True
    forged = host.copy()
    forged[mask] = donor[32 + 3 : 32 + 163, 100 + 6 : 100 + 166].reshape(-1, 3)
    return forged, mask, [(120 - 106) % 8, (96 - 35) % 8]


def test_zero_counts_equal_a_direct_dct():
    luma = np.rint(np.random.default_rng(0).normal(128, 3, (21, 30))).astype(np.float32)
    counts = zero_counts(luma)
    assert counts.shape == (14, 23)
    for y, x in ((0, 0), (3, 5), (13, 22)):
        coefficients = dctn(luma[y : y + 8, x : x + 8].astype(float), norm="ortho").ravel()[1:]
        assert counts[y, x] == (np.abs(coefficients) < 0.49999).sum()


def test_votes_equal_a_direct_search():
    luma = np.rint(np.random.default_rng(1).normal(128, 2, (40, 45))).astype(np.float32)
    zeros, usable = zero_counts(luma), usable_blocks(luma)
    votes, won = cast_votes(zeros, usable)
    for y, x in ((7, 7), (12, 20), (32, 37), (20, 8), (25, 30)):
        window = zeros[y - 7 : y + 1, x - 7 : x + 1]
        winners = np.argwhere(window == window.max()) + np.array([y - 7, x - 7])
        expected = winners[0][0] % 8 * 8 + winners[0][1] % 8 if len(winners) == 1 else NO_VOTE
        assert votes[y, x] == expected
    assert (votes[:7] == NO_VOTE).all()
    assert (votes[:, -7:] == NO_VOTE).all()
    assert won.sum() == (votes != NO_VOTE).sum()


def test_an_excluded_grid_gets_no_vote():
    luma = np.rint(np.random.default_rng(2).normal(128, 2, (64, 64))).astype(np.float32)
    zeros, usable = zero_counts(luma), usable_blocks(luma)
    assert (cast_votes(zeros, usable)[0] == 5).any()
    assert not (cast_votes(zeros, usable, (5,))[0] == 5).any()


def test_constant_rows_and_columns_do_not_vote():
    luma = np.tile(np.random.default_rng(3).integers(0, 255, 64).astype(np.float32), (64, 1))
    assert not usable_blocks(luma).any()
    assert not usable_blocks(luma.T.copy()).any()
    luma[30, 30] += 1
    assert usable_blocks(luma).sum() == 64


@pytest.mark.parametrize("shift", [(0, 0), (3, 5), (7, 1)])
def test_main_grid_of_a_cropped_picture_is_a_fact_only(photo, shift):
    dy, dx = shift
    evidence = JpegGrid().examine(source(jpeg(photo["host"], 85)[dy:, dx:]))
    fact = main_fact(evidence)
    assert fact.details["origin_xy_stored_frame"] == [-dx % 8, -dy % 8]
    assert fact.details["cropped_after_jpeg"] is (shift != (0, 0))
    assert fact.details["log10_nfa"] < -100
    assert fact.log10_nfa is None
    assert best_nfa(evidence) > ALARM


def test_orientation_does_not_shift_the_grid(photo):
    exif = Image.Exif()
    for orientation in (3, 6, 7, 8):
        exif[0x0112] = orientation
        turned = source(photo["host"][:203, :301], "JPEG", quality=85, exif=exif)
        assert main_fact(JpegGrid().examine(turned)).details["origin_xy_stored_frame"] == [0, 0]


def test_no_grid_without_jpeg(photo):
    evidence = JpegGrid().examine(source(photo["host"]))
    assert main_fact(evidence).value is None
    assert best_nfa(evidence) > ALARM


def test_foreign_grid_is_found_and_outlined(spliced):
    forged, true_mask, origin = spliced
    best = JpegGrid().examine(source(forged))[0]
    assert (best.kind, best.trace, best.details["grid_origin_xy"]) == ("detection", "foreign_grid", origin)
    assert best.log10_nfa < -20
    assert best.strength == "very strong"
    assert f1(mask_of_region(best.region), true_mask) > 0.8
    assert best.score_map.shape == true_mask.shape
    assert best.score_map.dtype == np.float32
    assert best.score_map[true_mask].mean() > 0.7 > 0.05 > best.score_map[~true_mask].mean()
    assert 0.0 <= best.score_map.min() <= best.score_map.max() <= 1.0


def test_foreign_grid_survives_a_gentle_save(spliced):
    forged, true_mask, origin = spliced
    best = JpegGrid().examine(source(forged, "JPEG", quality=98))[0]
    assert best.log10_nfa < ALARM
    assert best.details["grid_origin_xy"] == origin
    assert f1(mask_of_region(best.region), true_mask) > 0.5


def test_region_is_in_the_upright_frame(spliced):
    forged, true_mask, _ = spliced
    exif = Image.Exif()
    exif[0x0112] = 6
    forged, true_mask = forged[:, :360], true_mask[:, :360]
    best = JpegGrid().examine(source(forged, "PNG", exif=exif))[0]
    assert best.score_map.shape == (360, SIZE)
    assert f1(mask_of_region(best.region), np.rot90(true_mask, -1)) > 0.8


def test_missing_grid_is_found(photo):
    host = jpeg(photo["donor"], 80)
    true_mask = np.zeros((SIZE, SIZE), bool)
    true_mask[100:292, 90:282] = True
    forged = host.copy()
    forged[true_mask] = photo["host"][true_mask]
    found = [e for e in JpegGrid().examine(source(forged)) if e.trace == "missing_grid"]
    assert found
    assert found[0].log10_nfa < ALARM
    outlined = mask_of_region(found[0].region)
    assert (outlined & true_mask).sum() > 0.9 * outlined.sum()


def test_a_second_save_on_another_grid_is_not_local(photo):
    for name in ("host", "donor"):
        twice = jpeg(photo[name], 70)[3:, 5:]
        for quality in (92, 97):
            assert best_nfa(JpegGrid().examine(source(twice, "JPEG", quality=quality))) > ALARM


@pytest.mark.parametrize("size", [381, 396])
def test_a_grid_that_wanders_after_rescaling_is_not_local(photo, size):
    rescaled = Image.fromarray(jpeg(photo["host"], 70)).resize((size, size), Image.Resampling.BILINEAR)
    assert best_nfa(JpegGrid().examine(source(np.asarray(rescaled)))) > ALARM


@pytest.mark.parametrize(
    "name", ["camera", "chelsea", "coffee", "rocket", "brick", "grass", "gravel", "moon", "immunohistochemistry"]
)
def test_clean_pictures_raise_no_alarm(name):
    rgb = getattr(data, name)()
    rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb[..., :3]
    rgb = rgb[:400, :400]
    for picture in (source(rgb), source(rgb, "JPEG", quality=80), source(jpeg(rgb, 92)[2:, 3:])):
        assert best_nfa(JpegGrid().examine(picture)) > ALARM


def odd_pictures():
    noise = np.random.default_rng(4).integers(0, 256, (7, 900, 3), dtype=np.uint8)
    board = np.kron(np.indices((30, 30)).sum(0) % 2 * 255, np.ones((7, 7))).astype(np.uint8)
    return {
        "one pixel": np.zeros((1, 1, 3), np.uint8),
        "sliver": noise,
        "black": np.zeros((90, 80, 3), np.uint8),
        "white": np.full((90, 80, 3), 255, np.uint8),
        "noise": np.random.default_rng(5).integers(0, 256, (70, 131, 3), dtype=np.uint8),
        "board": np.repeat(board[..., None], 3, axis=2),
        "wide": np.random.default_rng(6).normal(128, 2, (33, 2000, 3)).astype(np.uint8),
    }


@pytest.mark.parametrize("name", odd_pictures())
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_oddities_neither_crash_nor_alarm(name, kind):
    evidence = JpegGrid().examine(source(odd_pictures()[name], kind))
    assert evidence
    assert best_nfa(evidence) > ALARM
    if name in ("one pixel", "sliver", "black", "white"):
        assert evidence[0].kind == "abstention"
        assert evidence[0].reason


def test_measure_tells_inside_from_outside(spliced):
    forged, true_mask, origin = spliced
    evidence = JpegGrid().measure(source(forged), true_mask)
    assert evidence.kind == "measurement"
    assert evidence.log10_nfa is None
    assert evidence.value < 0.1 < 0.6 < evidence.reference
    assert evidence.details["favourite_origin_xy_inside"] == origin


def test_measure_refuses_what_it_cannot_do(photo):
    picture = source(jpeg(photo["host"], 85))
    with pytest.raises(MeasurementError, match="pixels"):
        JpegGrid().measure(picture, np.zeros((SIZE, SIZE), bool))
    with pytest.raises(MeasurementError, match="frame"):
        JpegGrid().measure(picture, np.ones((10, 10), bool))
    with pytest.raises(MeasurementError, match="votes"):
        JpegGrid().measure(source(np.zeros((64, 64, 3), np.uint8)), np.ones((64, 64), bool))
