"""The mask encoder: what its tokens depend on, and what not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fakeexplain.models.assistant_configuration import MaskEncoderSettings
from fakeexplain.models.mask_encoder import MaskEncoder

GRID, CHANNELS, WIDTH = 16, 8, 24


@pytest.fixture
def encoder() -> MaskEncoder:
    torch.manual_seed(0)
    settings = MaskEncoderSettings(tokens=3, prompt_tokens=2, region_tokens=4, width=16, heads=2)
    return MaskEncoder(settings, CHANNELS, WIDTH).eval()


def inputs(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(batch, 3, GRID, GRID, generator=generator)
    return maps, torch.randn(batch, CHANNELS, GRID, GRID, generator=generator), torch.ones(batch, dtype=torch.bool)


def test_shapes_and_the_learned_prompt(encoder: MaskEncoder) -> None:
    maps, features, present = inputs()
    tokens = encoder(maps, features, present)
    assert tokens.shape == (2, 5, WIDTH)
    torch.testing.assert_close(tokens[:, 3:], encoder.prompt_tokens.expand(2, -1, -1))
    assert (tokens[0, :3] - tokens[1, :3]).abs().max() > 1e-3


def test_absence_has_tokens_of_its_own_in_its_row_only(encoder: MaskEncoder) -> None:
    maps, features, present = inputs()
    whole = encoder(maps, features, present)
    present[1] = False
    tokens = encoder(maps, features, present)
    torch.testing.assert_close(tokens[1, :3], encoder.absent_tokens)
    torch.testing.assert_close(tokens[0], whole[0])


@pytest.mark.parametrize("channel", range(3))
def test_every_channel_of_the_map_matters(encoder: MaskEncoder, channel: int) -> None:
    maps, features, present = inputs()
    other = maps.clone()
    other[:, channel] = 1 - other[:, channel]
    assert (encoder(maps, features, present) - encoder(other, features, present)).abs().max() > 1e-4


def test_place_and_features_under_the_mask_matter(encoder: MaskEncoder) -> None:
    _, features, present = inputs(1)
    maps = torch.zeros(1, 3, GRID, GRID)
    maps[:, :, 2:6, 3:7] = 1
    moved = maps.roll((6, 7), (2, 3))
    still = torch.zeros_like(features)
    assert (encoder(maps, still, present) - encoder(moved, still, present)).abs().max() > 1e-3
    louder = features.clone()
    louder[:, :, 2:6, 3:7] *= 3
    assert (encoder(maps, features, present) - encoder(maps, louder, present)).abs().max() > 1e-3


def test_facts_of_a_rectangle() -> None:
    mask = torch.zeros(1, 1, GRID, GRID)
    mask[:, :, 4:8, 8:16] = 1
    expert = torch.stack([mask[:, 0] * 0.75, torch.full((1, GRID, GRID), 0.5)], dim=1)
    features = torch.zeros(1, CHANNELS, GRID, GRID)
    features[:, 0, 4:8, 8:16], features[:, 1] = 2.0, 5.0
    facts = MaskEncoder._facts(mask, expert, features)[0]
    area, x, y, spread_x, spread_y, largest, map_inside, confidence_inside = facts[:8].tolist()
    assert area == pytest.approx(32 / 256)
    assert (x, y) == (pytest.approx(0.75), pytest.approx(0.375))
    assert spread_x == pytest.approx(0.1432, abs=1e-3)  # sqrt((8**2 - 1) / 12) / 16
    assert spread_y == pytest.approx(0.0699, abs=1e-3)
    assert (largest, map_inside, confidence_inside) == (1.0, pytest.approx(0.75), pytest.approx(0.5))
    inside, outside, everywhere = facts[8:].view(3, CHANNELS)
    assert (inside[0], outside[0], everywhere[0]) == (pytest.approx(2.0), pytest.approx(0.0), pytest.approx(0.25))
    assert (inside[1], outside[1]) == (pytest.approx(5.0), pytest.approx(5.0))


def test_an_empty_and_a_full_map_are_finite(encoder: MaskEncoder) -> None:
    _, features, present = inputs()
    for value in (0.0, 1.0):
        maps = torch.full((2, 3, GRID, GRID), value, requires_grad=True)
        tokens = encoder(maps, features, present)
        tokens.sum().backward()
        assert torch.isfinite(tokens).all()
        assert torch.isfinite(maps.grad).all()  # type: ignore[arg-type]


def test_regions_are_read_one_by_one(encoder: MaskEncoder) -> None:
    maps, features, _ = inputs()
    regions = torch.rand(2, 3, 2, GRID, GRID, generator=torch.Generator().manual_seed(2))
    tokens = encoder.regions(regions, maps, features)
    assert tokens.shape == (2, 3, 4, WIDTH)
    one = encoder.regions(regions[1:, 2:], maps[1:], features[1:])
    torch.testing.assert_close(tokens[1, 2], one[0, 0], atol=1e-5, rtol=1e-4)
    other = encoder.regions(regions, 1 - maps, features)
    assert (tokens - other).abs().max() > 1e-4  # the expert's map is read beside them


def test_without_trace_features() -> None:
    torch.manual_seed(0)
    encoder = MaskEncoder(MaskEncoderSettings(width=16, heads=2), 0, WIDTH)
    maps, _, present = inputs()
    assert encoder(maps, torch.zeros(2, 0, GRID, GRID), present).shape == (2, 12, WIDTH)
