"""The head for a region that somebody names: what it compares, in one piece and in windows; what it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fakeexplain.imaging.source import SourceImage
from fakeexplain.localization import Expert
from fakeexplain.models.processing import run_expert
from fakeexplain.models.region_head import STRIDES, RegionHead, moments
from tests.pictures import encode, photograph
from tests.unit.tiny_models import expert
from training.region_samples import LEAST, REGIONS, region_samples

CHANNELS = (4, 3, 5, 6)


def features(seed: int, height: int = 32, width: int = 48) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(1, c, height * 4 // s, width * 4 // s) for c, s in zip(CHANNELS, STRIDES, strict=True)]


def box(height: int, width: int, x0: int, y0: int, x1: int, y1: int) -> torch.Tensor:
    weights = torch.zeros(1, 1, height, width)
    weights[..., y0:y1, x0:x1] = 1
    return weights


def test_moments_are_sums_over_the_cells_of_each_region() -> None:
    values = torch.arange(12.0).reshape(1, 1, 3, 4)
    weights = torch.zeros(1, 2, 3, 4)
    weights[0, 0, 0, :2], weights[0, 1, 2, 3] = 1.0, 0.5
    assert moments(values, weights).tolist() == [[[2.0, 1.0, 1.0], [0.5, 5.5, 60.5]]]


def test_sums_of_parts_are_those_of_the_whole() -> None:
    maps, weights = features(0), box(32, 48, 5, 3, 30, 29)
    whole = RegionHead.sums(maps, weights)
    left = RegionHead.sums([m[..., : m.shape[3] // 3] for m in maps], weights[..., :16])
    right = RegionHead.sums([m[..., m.shape[3] // 3 :] for m in maps], weights[..., 16:])
    for a, b, c in zip(whole, left, right, strict=True):
        torch.testing.assert_close(a, b + c)


def test_only_differences_count_not_where_and_how_large_a_region_is() -> None:
    """Features that are the same everywhere give the same logit for any box."""
    head = RegionHead(CHANNELS, 8).eval()
    maps = [m.new_ones(m.shape) for m in features(1)]
    logits = torch.zeros(1, 1, 32, 48)
    found = [head(maps, logits, box(32, 48, *b)).item() for b in ((0, 0, 8, 8), (16, 4, 48, 32), (40, 20, 44, 24))]
    assert found == pytest.approx([found[0]] * 3)
    maps[0][..., :8, :8] += 1.0
    assert abs(head(maps, logits, box(32, 48, 0, 0, 8, 8)).item() - found[0]) > 1e-3


def test_a_region_that_fills_the_picture_or_no_cell_by_half_has_a_logit_too() -> None:
    head = RegionHead(CHANNELS, 8).eval()
    weights = torch.cat([torch.ones(1, 1, 32, 48), 0.2 * box(32, 48, 3, 3, 30, 4)], dim=1)
    assert head(features(2), torch.randn(1, 1, 32, 48), weights).isfinite().all()


def test_regions_of_a_picture_in_windows_come_out_nearly_as_in_one_piece() -> None:
    model = expert(lively=True, heads=0, vision=False, region=8)
    rgb = np.tile(photograph("coffee")[:384, :512], (2, 2, 1))
    regions = [np.zeros(rgb.shape[:2], bool) for _ in range(2)]
    regions[0][100:400, 300:700] = True
    regions[1][500:700, 50:200] = True
    whole = run_expert(model, rgb, None, regions=regions).region_logits
    parts = run_expert(model, rgb, None, regions=regions, window=640).region_logits
    assert whole.shape == parts.shape == (2,)
    assert parts == pytest.approx(whole, abs=0.1)
    assert abs(whole[0] - whole[1]) > 1e-3
    assert run_expert(model, rgb, None).region_logits.size == 0


def test_a_region_is_given_in_the_upright_frame() -> None:
    """A file turned by EXIF is read as it is stored, and its region is turned with it."""
    picture = Image.fromarray(photograph("coffee")[:160, :224])
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = SourceImage.from_bytes(encode(np.asarray(picture), "PNG"))
    turned_file = encode(np.asarray(picture.transpose(Image.Transpose.ROTATE_90)), "PNG", exif=exif)
    turned = SourceImage.from_bytes(turned_file)
    assert np.array_equal(plain.rgb, turned.rgb)
    witness = Expert(expert(lively=True, region=8), None, "test")
    mask = np.zeros((160, 224), bool)
    mask[32:96, 16:112] = True
    stored = SourceImage.from_bytes(encode(np.asarray(picture.transpose(Image.Transpose.ROTATE_90)), "PNG"))
    expected = witness.localize(stored, regions=[np.rot90(mask)]).region_scores
    assert witness.localize(turned, regions=[mask]).region_scores == pytest.approx(expected, abs=1e-4)


def test_an_expert_without_the_head_compares_its_map() -> None:
    mask = np.zeros((160, 224), bool)
    mask[32:96, 16:112] = True
    source = SourceImage.from_bytes(encode(photograph("coffee")[:160, :224]))
    found = Expert(expert(lively=True), None, "test").localize(source, regions=[mask, mask[::-1, ::-1]])
    assert len(found.region_scores) == 2
    assert found.region_scores[0] != found.region_scores[1]


def batch(*edits: tuple[int, int, int, int] | None, side: int = 128) -> dict[str, torch.Tensor]:
    forged = torch.zeros(len(edits), 1, side, side, dtype=torch.uint8)
    for one, edit in zip(forged, edits, strict=True):
        if edit is not None:
            x0, y0, x1, y1 = edit
            one[0, y0:y1, x0:x1] = 1
    rgb = torch.from_numpy(photograph("chelsea")[:side, :side].copy()).permute(2, 0, 1).expand(len(edits), -1, -1, -1)
    return {"rgb": rgb, "forged": forged}


def test_regions_to_learn_from_lie_around_edits_or_far_from_them_in_the_same_sizes() -> None:
    samples = batch((20, 30, 52, 70), None, None, (64, 64, 96, 104))
    regions, labels, known = region_samples(samples)
    assert regions.shape == (4, REGIONS, 32, 32)
    around, nothing = [1] * (REGIONS // 2) + [0] * (REGIONS // 2), [0] * REGIONS
    assert labels.tolist() == [around, nothing, nothing, around]
    assert known.all()
    forged = torch.nn.functional.avg_pool2d(samples["forged"].float(), 4)
    inside = (regions * forged).sum(dim=(2, 3)) / regions.sum(dim=(2, 3))
    assert (inside[labels == 0] <= 0.02).all()
    assert (inside[labels == 1] > 0.3).all()
    assert (16 * regions.sum(dim=(2, 3))[labels == 0]).tolist() == [32.0 * 40.0] * (3 * REGIONS)
    again = region_samples(samples)
    assert all(torch.equal(a, b) for a, b in zip((regions, labels, known), again, strict=True))


def test_a_picture_without_a_free_place_has_fewer_regions_and_tiny_edits_a_least_size() -> None:
    regions, labels, known = region_samples(batch((0, 0, 128, 128), (5, 5, 9, 9)))
    assert known[0].tolist() == labels[0].tolist() == [1] * (REGIONS // 2) + [0] * (REGIONS // 2)
    assert (regions[1][labels[1] > 0].sum(dim=(1, 2)) * 16 >= LEAST * LEAST).all()
