"""The expert as tensors: shapes, gradients, constraints of the filters, variants, and that a tile equals the whole."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fakeexplain.errors import SettingsError
from fakeexplain.imaging.jpeg import block_dct, parse_jpeg
from fakeexplain.models.configuration import OPERATIONS, ExpertConfig, TraceConfig, load_config
from fakeexplain.models.layers import PooledAttention, count_parameters, window_mean
from fakeexplain.models.processing import _cores, encode_tiles, run_expert, window_boxes
from fakeexplain.models.trace_encoder import JpegBranch, Relative, ResidualFilters
from tests.pictures import encode, photograph
from tests.unit.tiny_models import expert, trace_config

TABLE = torch.full((2, 64), 5.0)


def pictures(height=64, width=96, count=2):
    return (
        torch.from_numpy(photograph("coffee")[:height, :width].transpose(2, 0, 1).copy())[None]
        .float()
        .repeat(count, 1, 1, 1)
    )


VARIANTS = {
    "whole": {},
    "no_jpeg": {"jpeg": 0},
    "no_filters_but_free": {"srm": False, "bayar": 0, "npr": False},
    "not_relative": {"windows": ()},
    "no_attention": {"heads": 0},
    "deeper": {"front_blocks": 1, "blocks": (1, 2, 2)},
    "no_prompt": {"prompt": False},
    "no_vision": {"vision": False},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_shapes_are_as_declared_and_every_trained_parameter_gets_a_gradient(changes):
    model = expert(lively=True, **changes).train()
    output = model(pictures(), TABLE, torch.tensor([True, False]))
    assert output.mask_logits.shape == output.edge_logits.shape == output.confidence_logits.shape == (2, 1, 16, 24)
    assert output.operation_logits.shape == (2, len(OPERATIONS), 8, 12)
    assert output.image_logits.shape == (2,)
    assert output.embedding.norm(dim=1).allclose(torch.ones(2, 8, 12), atol=1e-4)
    tensors = (output.mask_logits, output.edge_logits, output.confidence_logits, output.operation_logits)
    total = sum((t.sin() * torch.randn_like(t)).sum() for t in (*tensors, output.image_logits, output.embedding))
    total.backward()
    # Of the towers' own parts, those that only contrastive training uses stay without.
    unused = ("vision.clip.logit_scale", "vision.clip.text", "vision.clip.visual.proj", "vision.clip.visual.ln_post",
              "vision.clip.token_embedding", "vision.clip.transformer", "vision.clip.ln_final",
              "vision.clip.positional_embedding")  # fmt: skip
    without = [
        n
        for n, p in model.named_parameters()
        if p.numel() and (p.grad is None or not p.grad.any()) and not n.startswith(unused)
    ]
    assert without == []


def test_learned_prompts_get_gradients_through_the_text_tower():
    model = expert().train()
    model(pictures(), TABLE, torch.tensor([True, False])).mask_logits.square().sum().backward()
    assert model.prompt.vectors.grad.abs().sum() > 0


def test_learned_filters_keep_their_constraints_whatever_the_parameters():
    filters = ResidualFilters(TraceConfig())
    with torch.no_grad():
        filters.bayar.uniform_(0.1, 3)
        filters.free.normal_(2, 3)
    kernels = filters.learned_kernels()
    assert kernels.sum(dim=(1, 2, 3)).abs().max() < 1e-4
    assert kernels[:3, :, 2, 2].sum(dim=1).allclose(torch.full((3,), -1.0))
    assert filters.srm.sum(dim=(1, 2, 3)).abs().max() == 0


def test_residuals_of_a_flat_picture_are_zero_and_large_ones_are_cut():
    filters = ResidualFilters(TraceConfig())
    assert filters(torch.full((1, 3, 16, 16), 77.0)).abs().max() < 1e-3
    noisy = filters(torch.randint(0, 256, (1, 3, 32, 32)).float())
    assert noisy.abs().max() == 6.0


def test_npr_is_zero_after_nearest_neighbour_enlargement_only():
    filters = ResidualFilters(TraceConfig(srm=False, bayar=0, free=1))
    small = torch.randint(0, 256, (1, 3, 8, 8)).float()
    assert filters(F.interpolate(small, scale_factor=2, mode="nearest"))[:, 1:].abs().max() == 0
    assert filters(torch.randint(0, 256, (1, 3, 16, 16)).float())[:, 1:].abs().max() > 0


def test_jpeg_branch_sees_the_stored_coefficients():
    data = encode(photograph("chelsea")[:96, :96], "JPEG", quality=70, subsampling=0)
    facts = parse_jpeg(data)
    from fakeexplain.imaging.degrade import decode

    rgb = decode(data)
    branch = JpegBranch(trace_config(jpeg_levels=9))
    seen = {}
    branch.with_table.register_forward_pre_hook(lambda _, inputs: seen.update(volume=inputs[0]))
    table = torch.from_numpy(facts.luma_table.astype(np.float32)).reshape(1, 64)
    branch(torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None].float(), table, torch.tensor([True]))
    levels = seen["volume"].reshape(35, 9, 12, 12).argmax(dim=0 + 1).numpy()
    luma = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) - 128
    stored = np.abs(np.rint(block_dct(luma) / facts.luma_table)).reshape(12, 12, 64)
    # Zigzag order: after DC come (0, 1), (1, 0), (2, 0), (1, 1), (0, 2).
    for k, place in enumerate([1, 8, 16, 9, 2]):
        assert (levels[k] == np.minimum(stored[..., place], 8)).mean() > 0.99
    assert (seen["volume"].reshape(35, 9, 12, 12).sum(dim=1) == 1).all(), "one magnitude per frequency"


def test_the_table_matters_and_its_absence_too():
    model = expert(lively=True)
    rgb = pictures(count=1)
    with torch.no_grad():
        fine, coarse, none = (
            model(rgb, torch.full((1, 64), q), torch.tensor([has])).mask_logits
            for q, has in ((2.0, True), (20.0, True), (2.0, False))
        )
    assert not torch.allclose(fine, coarse)
    assert not torch.allclose(fine, none)


def test_window_means_are_those_of_a_plain_loop():
    x = torch.randn(1, 2, 7, 9)
    found = window_mean(x, 5)
    for i in range(7):
        for j in range(9):
            part = x[:, :, max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3]
            assert found[:, :, i, j].allclose(part.mean(dim=(2, 3)), atol=1e-5)


def test_relative_with_sums_of_parts_is_the_same_as_with_the_whole():
    torch.manual_seed(0)
    layer = Relative(16, 8, (3,))
    x = torch.randn(1, 16, 12, 10)
    sums = layer.sums(x[:, :, :5]) + layer.sums(x[:, :, 5:])
    assert layer(x).allclose(layer(x, sums), atol=1e-4)
    assert not layer(x[:, :, :5]).allclose(layer(x[:, :, :5], sums), atol=1e-2), "a part alone is judged differently"


def test_attention_starts_as_the_identity_and_then_mixes():
    torch.manual_seed(0)
    layer = PooledAttention(16, 2, 4)
    x = torch.randn(1, 16, 9, 11)
    assert layer(x).equal(x)
    torch.nn.init.normal_(layer.out.weight)
    changed = x.clone()
    changed[:, :, 0, 0] += 50
    assert (layer(changed) - layer(x))[0, :, -1, -1].abs().max() > 1e-4, "a far cell notices"


@pytest.mark.parametrize("front_blocks", [0, 2])
def test_tiles_give_the_features_of_the_whole_picture(front_blocks):
    model = expert(lively=True, front_blocks=front_blocks)
    rgb = photograph("astronaut")[:176, :240]
    whole = model.local(torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None].float(), TABLE[:1], torch.tensor([True]))
    with torch.inference_mode():
        tiled = encode_tiles(model, rgb, TABLE[:1], torch.tensor([True]), tile=64)
    for name in ("quarter", "colour", "jpeg"):
        assert getattr(whole, name).allclose(getattr(tiled, name), atol=1e-4), name


def test_windows_cover_everything_with_overlap():
    for height, width in ((64, 64), (1024, 3008), (2576, 2560), (6000, 800)):
        boxes = window_boxes(height, width, 1024)
        seen = np.zeros((height, width), bool)
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert not (x0 % 16)
            assert not (y0 % 16)
            assert x1 - x0 <= 1024
            assert y1 - y0 <= 1024
            seen[y0:y1, x0:x1] = True
        assert seen.all()
        covered = np.zeros((height, width), int)
        for x0, y0, x1, y1 in _cores(boxes):
            covered[y0:y1, x0:x1] += 1
        assert (covered == 1).all(), "the statistics of the whole count no cell twice"
    assert window_boxes(1024, 1024, 1024) == [(0, 0, 1024, 1024)]


def test_windows_of_a_large_picture_repeat_little_of_it():
    """12 megapixels were once computed as 26, in four windows of the largest size."""
    boxes = window_boxes(3008, 4000, 2560)
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) < 1.25 * 3008 * 4000


def test_windows_share_the_statistics_of_the_whole():
    """A picture that is judged in windows comes out as in one piece, but near the rims and for local norms."""
    model = expert(lively=True, heads=0, vision=False)
    rgb = np.tile(photograph("coffee")[:384, :512], (2, 2, 1))
    judged: list[tuple[torch.Tensor, torch.Tensor]] = []
    judge = model.judge
    model.judge = lambda deep, mask: (judged.append((deep, mask)), judge(deep, mask))[1]
    whole = run_expert(model, rgb, None).mask_logits
    found = run_expert(model, rgb, None, window=640)
    parts = found.mask_logits
    (deep, _), (together, mask) = judged[0], judged[-1]
    assert together.shape == deep.shape == (1, deep.shape[1], 48, 64), "judged as a whole, not by its worst window"
    assert np.corrcoef(deep.ravel(), together.ravel())[0, 1] > 0.98
    assert found.image_logit == float(judge(together, mask))
    assert whole.shape == parts.shape == (768, 1024)
    assert np.corrcoef(whole.ravel(), parts.ravel())[0, 1] > 0.99
    seam = np.abs(np.diff(parts, axis=1)).max(axis=0)
    assert seam.max() < 3 * np.abs(np.diff(whole, axis=1)).max() + 1e-3


def test_a_window_sees_the_semantic_features_of_its_own_part():
    model = expert(lively=True)
    rgb = np.tile(photograph("coffee")[:384, :512], (2, 2, 1))
    seen: list[torch.Tensor] = []
    see, decode = model.see, model.decode
    whole: list[torch.Tensor] = []
    model.see = lambda view: whole.append(see(view)) or whole[-1]
    model.decode = lambda local, semantic, sums=None: seen.append(semantic) or decode(local, semantic, sums)
    run_expert(model, rgb, None, window=640)
    spread = F.interpolate(whole[0], size=(48, 64), mode="bilinear", align_corners=False)
    boxes = window_boxes(768, 1024, 640)
    assert len(seen) == len(boxes) > 1
    for semantic, box in zip(seen, boxes, strict=True):
        x0, y0, x1, y1 = (v // 16 for v in box)
        part = F.interpolate(semantic, size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)
        assert torch.allclose(part, spread[:, :, y0:y1, x0:x1], atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (65, 71), (16, 200), (9, 9), (133, 64)])
def test_maps_have_the_size_of_the_picture_whatever_it_is(size):
    found = run_expert(expert(), photograph("rocket")[: size[0], : size[1]], None)
    assert found.mask_logits.shape == found.confidence_logits.shape == size
    assert np.isfinite(found.mask_logits).all()
    assert np.isfinite(found.image_logit)


def test_the_default_variant_is_small_and_its_file_is_read(tmp_path):
    config = load_config("configs/model/tiny.yaml")
    from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert

    assert 1e6 < count_parameters(ForgeryLocalizationExpert(config)) < 4e6
    again = ExpertConfig.model_validate_json(config.model_dump_json())
    assert again == config


def test_a_wrong_key_and_a_prompt_without_tower_are_refused(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("trace: {jpg: 3}\ndecoder: tiny\n")
    with pytest.raises(SettingsError, match=r"trace\.jpg.*decoder"):
        load_config(path)
    path.write_text("prompt: {length: 4}\n")
    with pytest.raises(SettingsError, match="prompt needs vision"):
        load_config(path)
