"""The mask decoder: segment_anything's parts in batches, prompts, losses, and SAM itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_configuration import MaskDecoderSettings, SamSettings
from fakeexplain.models.mask_decoder import BatchedMaskDecoder, RegionDecoder, SamRefiner, mask_losses
from tests.unit.models.tiny_assistant import picture

GRID, CHANNELS, WIDTH = 16, 8, 16


@pytest.fixture
def decoder() -> RegionDecoder:
    torch.manual_seed(0)
    settings = MaskDecoderSettings(width=WIDTH, depth=2, heads=2, mlp=16)
    return RegionDecoder(settings, GRID, CHANNELS, vision_channels=12).eval()


def features(decoder: RegionDecoder, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(batch, 3, GRID, GRID, generator=generator)
    trace = torch.randn(batch, CHANNELS, GRID, GRID, generator=generator)
    found: Tensor = decoder.features(maps, trace, torch.randn(batch, 12, 4, 4, generator=generator))
    return found


def test_the_batched_decoder_is_segment_anythings() -> None:
    torch.manual_seed(0)
    arguments = {"transformer_dim": WIDTH, "num_multimask_outputs": 3, "iou_head_hidden_dim": WIDTH}
    theirs = MaskDecoder(transformer=TwoWayTransformer(2, WIDTH, 2, 16), **arguments).eval()
    ours = BatchedMaskDecoder(transformer=TwoWayTransformer(2, WIDTH, 2, 16), **arguments).eval()
    ours.load_state_dict(theirs.state_dict())
    cells, code = torch.randn(3, WIDTH, GRID, GRID), torch.randn(1, WIDTH, GRID, GRID)
    sparse, dense = torch.randn(3, 2, WIDTH), torch.randn(3, WIDTH, GRID, GRID)
    with torch.no_grad():
        masks, quality = ours(cells, code, sparse, dense, multimask_output=True)
        for i in range(3):
            part = slice(i, i + 1)
            one = theirs(cells[part], code, sparse[part], dense[part], multimask_output=True)
            torch.testing.assert_close(masks[part], one[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(quality[part], one[1], atol=1e-5, rtol=1e-4)


def test_every_prompt_moves_the_mask(decoder: RegionDecoder) -> None:
    cells, token = features(decoder), torch.randn(3, WIDTH)
    with torch.no_grad():
        before, quality = decoder(cells, token=token)
        assert before.shape == (3, 1, 4 * GRID, 4 * GRID)
        assert quality.shape == (3,)
        points, labels = torch.full((3, 1, 2), 0.3), torch.ones(3, 1)
        others = [
            decoder(cells, token=-token),
            decoder(cells, token=token, points=points, point_labels=labels),
            decoder(cells, token=token, points=points, point_labels=0 * labels),
            decoder(cells, token=token, boxes=torch.tensor([[0.1, 0.2, 0.5, 0.6]]).expand(3, -1)),
            decoder(cells, token=token, previous_logits=before),
            decoder(cells.roll(1, 0), token=token),
        ]
    seen = [before, *(o[0] for o in others)]
    for i, a in enumerate(seen):
        assert all((a - b).abs().max() > 1e-5 for b in seen[i + 1 :]), i


def test_a_padded_click_is_no_click(decoder: RegionDecoder) -> None:
    cells = features(decoder)
    points, labels = torch.rand(3, 1, 2), torch.ones(3, 1)
    with torch.no_grad():
        padded = [
            decoder(
                cells,
                points=torch.cat([points, torch.full((3, 1, 2), where)], dim=1),
                point_labels=torch.cat([labels, -labels], dim=1),
            )[0]
            for where in (0.0, 0.9)
        ]
    torch.testing.assert_close(padded[0], padded[1])


def test_prompts_are_checked(decoder: RegionDecoder) -> None:
    cells = features(decoder)
    with pytest.raises(ValueError, match="no prompt"):
        decoder(cells)
    with pytest.raises(ValueError, match="both or neither"):
        decoder(cells, points=torch.zeros(3, 1, 2))


def test_clicks_teach_it_to_follow_them(decoder: RegionDecoder) -> None:
    """The same picture, two places: only the click tells which one is meant."""
    cells = features(decoder, 1).detach().expand(2, -1, -1, -1)
    points = torch.tensor([[[0.25, 0.25]], [[0.75, 0.75]]])
    targets = torch.zeros(2, 1, 64, 64)
    targets[0, :, 4:28, 4:28] = targets[1, :, 36:60, 36:60] = 1
    optimizer = torch.optim.Adam(decoder.parameters(), lr=5e-3)
    for _ in range(100):
        logits, quality = decoder(cells, points=points, point_labels=torch.ones(2, 1))
        losses = mask_losses(logits, targets, quality)
        optimizer.zero_grad()
        sum(losses.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    found = logits > 0
    iou = (found & (targets > 0)).sum((1, 2, 3)) / (found | (targets > 0)).sum((1, 2, 3))
    assert iou.min() > 0.7, iou


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[[9.0, -9.0], [-9.0, -9.0]]], [[[-9.0, -9.0], [-9.0, -9.0]]]])
    targets = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    losses = mask_losses(logits, targets, torch.tensor([0.5, 0.8]))
    assert float(losses["quality"]) == pytest.approx(0.2**2 / 2)  # one of two cells found; nothing found of nothing
    assert float(losses["dice"]) == pytest.approx((1 - 3 / 4) / 2, abs=1e-3)
    assert float(losses["bce"]) == pytest.approx(9 / 8, abs=1e-3)


def tiny_sam() -> Sam:
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        depth=1, embed_dim=16, img_size=64, mlp_ratio=2, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), num_heads=2,
        patch_size=16, qkv_bias=True, use_rel_pos=True, global_attn_indexes=(0,), window_size=2, out_chans=16,
    )  # fmt: skip
    prompt = PromptEncoder(16, (4, 4), (64, 64), mask_in_chans=8)
    masks = MaskDecoder(transformer_dim=16, transformer=TwoWayTransformer(1, 16, 2, 16), iou_head_hidden_dim=16)
    return Sam(encoder, prompt, masks)


def test_sam_refines_from_clicks_and_boxes() -> None:
    refiner = SamRefiner(tiny_sam())
    refiner.look(picture(height=40, width=56))
    mask, logits, quality = refiner.refine(points_xy=np.array([[10, 12]]), point_labels=np.array([1]))
    assert mask.shape == (40, 56)
    assert mask.dtype == bool
    assert np.isfinite(quality)
    again, more, _ = refiner.refine(box_xyxy=(5, 5, 30, 30), previous_logits=logits)
    assert again.shape == (40, 56)
    assert np.abs(more - logits).max() > 1e-6


def test_sam_weights_are_loaded_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fakeexplain.models import mask_decoder

    monkeypatch.setitem(mask_decoder.sam_model_registry, "vit_b", tiny_sam)
    sam = tiny_sam()
    with torch.no_grad():
        sam.mask_decoder.iou_token.weight.fill_(3.0)
    whole, less, pth = tmp_path / "sam.safetensors", tmp_path / "less.safetensors", tmp_path / "sam.pth"
    state = {n: v.contiguous() for n, v in sam.state_dict().items()}
    save_file(state, whole)
    torch.save(state, pth)
    save_file({n: v for n, v in state.items() if n != "mask_decoder.iou_token.weight"}, less)
    for path in (whole, pth):
        refiner = SamRefiner.load(SamSettings(model_type="vit_b", checkpoint=str(path)))
        assert float(refiner._predictor.model.mask_decoder.iou_token.weight.detach().mean()) == 3.0
    with pytest.raises(SettingsError, match=r"iou_token"):
        SamRefiner.load(SamSettings(model_type="vit_b", checkpoint=str(less)))
    with pytest.raises(SettingsError, match="no such file"):
        SamRefiner.load(SamSettings(model_type="vit_b", checkpoint=str(tmp_path / "none.pth")))
    torch.save({"model": Path("x")}, pth)  # an object that has to be unpickled
    with pytest.raises(SettingsError, match="cannot be loaded"):
        SamRefiner.load(SamSettings(model_type="vit_b", checkpoint=str(pth)))
