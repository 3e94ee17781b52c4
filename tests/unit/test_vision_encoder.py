"""The vision encoder: declared shapes, the view, prompts against texts, frozen towers, strict weights, vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from open_clip import SimpleTokenizer
from pydantic import ValidationError
from safetensors.torch import save_file

from fakeexplain.errors import SettingsError
from fakeexplain.models.text_tokenizer import END_ID, PAD_ID, START_ID, CaptionTokenizer
from fakeexplain.models.vision_encoder import VisionConfig, VisionEncoder
from tests.pictures import photograph

TINY = Path(__file__).parents[2] / "configs/model/open_clip/tiny.json"
VOCABULARY = TINY.with_name("tiny_tokenizer.json")
TEXT = {"context_length": 16, "vocab_size": 1280, "width": 32, "heads": 2, "layers": 1, "pool_type": "eos", "eos_id": 2}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16, "patch_size": None}
CONVNET = {"image_size": 64, "timm_model_name": "test_convnext", "timm_pool": "avg", "timm_proj": "linear"}
TIMM_VIT = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear"}
TOWERS = {
    "tiny": (json.loads(TINY.read_text()), (1, 3)),
    "vit_custom_text": (
        {
            "embed_dim": 24,
            "custom_text": True,
            "vision_cfg": {"image_size": [48, 64], "patch_size": 16, "width": 32, "layers": 3, "head_width": 16},
            "text_cfg": TEXT,
        },
        (0, 2),
    ),
    "resnet": ({"embed_dim": 24, "vision_cfg": RESNET, "text_cfg": TEXT}, (1, 3)),
    "timm_convnet": ({"embed_dim": 24, "vision_cfg": CONVNET, "text_cfg": TEXT}, (0, 2)),
    "timm_vit": ({"embed_dim": 24, "vision_cfg": TIMM_VIT, "text_cfg": TEXT}, (2,)),
}


def build(name: str = "tiny", **settings: object) -> VisionEncoder:
    torch.manual_seed(0)
    custom, layers = TOWERS[name]
    config = VisionConfig.model_validate({"custom": custom, "layers": layers, **settings})
    return VisionEncoder.from_config(config, tokenizer=CaptionTokenizer.from_file(VOCABULARY)).eval()


def picture(name: str = "chelsea") -> torch.Tensor:
    return torch.from_numpy(photograph(name)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", TOWERS)
def test_declared_shapes_hold_and_every_parameter_learns(name: str) -> None:
    encoder = build(name).train()
    rgb = torch.rand(2, 3, 70, 93)
    features = encoder(rgb)
    assert features.pooled.shape == (2, encoder.embed_dim)
    shapes = [tuple(p.shape[1:]) for p in features.patches]
    assert shapes == [(c, *g) for c, g in zip(encoder.patch_channels, encoder.patch_grids, strict=True)]
    assert len(shapes) == len(encoder.config.layers)
    texts = encoder.encode_text(["a dark picture", "Colours: red (12 %)"])
    for embedding in (features.pooled, texts):
        assert torch.allclose(embedding.norm(dim=-1), torch.ones(2), atol=1e-5)
    # two pictures, so that the difference does not vanish under normalisation
    (encoder.logit_scale * (features.pooled @ texts.T)).log_softmax(1).diagonal().sum().backward()
    without = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


@pytest.mark.parametrize("name", TOWERS)
def test_pooled_is_what_open_clip_gives(name: str) -> None:
    """Also guards against open_clip's ResNets, which pool the last stage that was asked for."""
    encoder = build(name)
    rgb = torch.rand(2, 3, 70, 93)
    with torch.no_grad():
        wanted = encoder.clip.encode_image(encoder.view(rgb), normalize=True)
        assert torch.allclose(encoder(rgb).pooled, wanted, atol=1e-5)


def test_the_default_is_small() -> None:
    encoder = build()
    assert sum(p.numel() for p in encoder.parameters()) < 2_500_000
    assert encoder.image_size == (128, 128)
    assert (encoder.embed_dim, encoder.patch_channels, encoder.patch_grids) == (128, (128, 128), ((8, 8), (8, 8)))
    assert (encoder.context_length, encoder.prompt_width) == (48, 128)


def test_patches_of_a_layer_are_those_of_that_block_in_place() -> None:
    encoder = build()
    seen: list[torch.Tensor] = []
    hook = encoder.clip.visual.transformer.resblocks[1].register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        first = encoder(picture()).patches[0]
    hook.remove()
    assert torch.equal(first[0, :, 2, 5], seen[0][0, 1 + 2 * 8 + 5])


def test_view_shows_the_whole_picture_antialiased_and_normalised() -> None:
    encoder = build()
    stripes = torch.zeros(1, 3, 500, 500)
    stripes[..., ::2] = 1.0  # aliasing would leave bands
    grey = encoder.view(stripes) * encoder.std + encoder.mean
    assert grey.shape == (1, 3, 128, 128)
    assert (grey[..., 2:-2] - 0.5).abs().max() < 0.02
    corner = torch.zeros(1, 3, 300, 700)
    corner[..., -40:, -40:] = 1.0
    shown = encoder.view(corner) * encoder.std + encoder.mean
    assert shown[0, 0, -1, -1] > 0.9
    assert shown[0, 0, :64, :64].max() < 1e-3
    with pytest.raises(ValueError, match="uint8"):
        encoder.view(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["tiny", "vit_custom_text"])
def test_a_prompt_of_real_words_is_the_text_itself(name: str) -> None:
    encoder = build(name)
    for text in ("a dark picture", "zebra in the lower left"):
        with torch.no_grad():
            prompt = encoder.encode_prompt(encoder.embed_words(text)[None])
            assert torch.allclose(prompt, encoder.encode_text([text]), atol=1e-5)


def test_open_clip_vocabulary_serves_prompts_too() -> None:
    text = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    custom = {**TOWERS["vit_custom_text"][0], "text_cfg": text}
    encoder = VisionEncoder.from_config(VisionConfig(custom=custom, layers=(0,))).eval()
    assert isinstance(encoder.tokenizer, SimpleTokenizer)
    with torch.no_grad():
        prompt = encoder.encode_prompt(encoder.embed_words("a forged part")[None])
        assert torch.allclose(prompt, encoder.encode_text(["a forged part"]), atol=1e-5)


def test_gradients_reach_prompts_through_a_frozen_tower_and_nothing_else_moves() -> None:
    encoder = build(frozen=True).train()
    assert not any(m.training for m in encoder.modules())
    prompts = torch.randn(2, 8, encoder.prompt_width, requires_grad=True)
    (encoder(picture()).pooled @ encoder.encode_prompt(prompts).T).sum().backward()
    assert prompts.grad is not None
    assert (prompts.grad.abs().amax(dim=-1) > 0).all()  # every vector of both prompts
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())
    with pytest.raises(ValueError, match="at most 46"):
        encoder.encode_prompt(torch.zeros(1, 47, encoder.prompt_width))


def test_bfloat16_autocast_stays_close_and_runs_are_equal() -> None:
    encoder = build()
    rgb = picture()
    with torch.no_grad():
        exact, again = encoder(rgb), encoder(rgb)
        words = encoder.encode_text(["snow"])
        with torch.autocast("cpu", torch.bfloat16):
            rough, rough_words = encoder(rgb), encoder.encode_text(["snow"])
    assert torch.equal(exact.pooled, again.pooled)
    assert torch.equal(exact.patches[1], again.patches[1])
    assert rough.pooled.dtype == rough_words.dtype == torch.float32
    assert (exact.pooled * rough.pooled).sum() > 0.99
    assert (words * rough_words).sum() > 0.99


def test_weights_are_loaded_strictly(tmp_path: Path) -> None:
    encoder = build()
    save_file(encoder.clip.state_dict(), tmp_path / "tiny.safetensors")
    torch.manual_seed(1)
    config = encoder.config.model_copy(update={"pretrained": str(tmp_path / "tiny.safetensors")})
    loaded = VisionEncoder.from_config(config)
    assert all(
        torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    blank = VisionEncoder.from_config(config, load_weights=False)
    assert not torch.equal(blank.clip.visual.proj, encoder.clip.visual.proj)
    blank.load_state_dict(encoder.state_dict(), strict=True)

    partial = {k: v for k, v in encoder.clip.state_dict().items() if k != "visual.proj"}
    save_file(partial, tmp_path / "partial.safetensors")
    for path, message in (
        ("partial.safetensors", "visual.proj"),
        ("none.safetensors", "wanted an existing"),
        ("a.pt", "wanted"),
    ):
        with pytest.raises(SettingsError, match=message):
            VisionEncoder.from_config(config.model_copy(update={"pretrained": str(tmp_path / path)}))


def test_wrong_settings_are_refused_with_what_to_do(tmp_path: Path) -> None:
    custom, layers = TOWERS["tiny"]
    assert VisionConfig(custom=str(TINY), layers=layers).custom == custom  # type: ignore[arg-type]
    wrong: list[tuple[dict[str, object], str]] = [
        ({"layers": (1,)}, "exactly one"),
        ({"name": "ViT-B-32", "custom": custom, "layers": (1,)}, "exactly one"),
        ({"custom": custom, "layers": (3, 1)}, "rising"),
        ({"custom": custom, "layers": ()}, "at least 1"),
        ({"custom": {**custom, "depth": 3}, "layers": (1,)}, "depth"),
        ({"custom": {**custom, "text_cfg": {**custom["text_cfg"], "pool_type": "argmax"}}, "layers": (1,)}, "eos"),
        ({"custom": str(tmp_path / "no.json"), "layers": (1,)}, "cannot be read"),
        ({"custom": custom, "layers": (1,), "froze": True}, "froze"),
    ]
    for settings, message in wrong:
        with pytest.raises(ValidationError, match=message):
            VisionConfig.model_validate(settings)
    unbuildable = {**custom, "vision_cfg": {**custom["vision_cfg"], "widht": 3}}
    for config, message in (
        (VisionConfig(name="ViT-B-33", layers=(1,)), "did you mean"),
        (VisionConfig(name="hf-hub:someone/something", layers=(1,)), "no such model"),
        (VisionConfig(name="roberta-ViT-B-32", layers=(1,)), "fetched"),
        (VisionConfig(name="ViT-B-32", pretrained="nobody", layers=(1,)), "laion2b"),
        (VisionConfig(custom=custom, layers=(4,)), "count its blocks"),
        (VisionConfig(custom=unbuildable, layers=(1,)), "widht"),
    ):
        with pytest.raises(SettingsError, match=message):
            VisionEncoder.from_config(config)


def test_a_tower_without_its_vocabulary_still_sees_and_reads_prompts() -> None:
    custom, layers = TOWERS["tiny"]
    encoder = VisionEncoder.from_config(VisionConfig(custom=custom, layers=layers))
    assert encoder.encode_prompt(torch.zeros(1, 2, 128)).shape == (1, 128)
    with pytest.raises(SettingsError, match="saved beside its weights"):
        encoder.encode_text(["a"])
    with pytest.raises(ValueError, match="list"):
        encoder.encode_text("a")  # type: ignore[arg-type]
    small = {**custom, "text_cfg": {**custom["text_cfg"], "vocab_size": 300}}
    with pytest.raises(SettingsError, match="300"):
        VisionEncoder.from_config(
            VisionConfig(custom=small, layers=layers), tokenizer=CaptionTokenizer.from_file(VOCABULARY)
        )


def test_any_text_has_ids_and_none_of_them_is_special() -> None:
    tokenizer = CaptionTokenizer.from_file(VOCABULARY)
    texts = ["", "  \n", "日本 😀", "<|endoftext|> <pad> [SEP]", "\udc80 lone", "x" * 5000, "A\x00b"]
    for text in texts:
        ids = tokenizer.encode(text)
        assert all(max(START_ID, END_ID, PAD_ID) < i < tokenizer.vocab_size for i in ids)
    assert tokenizer.decode(tokenizer.encode("Zebra,  日本 <END>!")) == "zebra, 日本 <end>!"
    rows = tokenizer(texts, 10)
    assert rows.shape == (7, 10)
    assert ((rows == END_ID).sum(1) == 1).all()
    assert rows[0].tolist() == [START_ID, END_ID, *[PAD_ID] * 8]
    assert rows[5, -1] == END_ID
    with pytest.raises(TypeError, match="list"):
        tokenizer("text", 10)


def test_vocabulary_is_reproducible_and_survives_its_file(tmp_path: Path) -> None:
    texts = [f"the {a} part is {b}" for a in ("upper", "lower", "middle") for b in ("dark", "bright", "soft")] * 3
    first, second = CaptionTokenizer.train(texts, 300), CaptionTokenizer.train(texts, 300)
    first.save(tmp_path / "a.json")
    second.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert 259 < first.vocab_size <= 300
    read = CaptionTokenizer.from_file(tmp_path / "a.json")
    assert read.encode("the upper part is soft") == first.encode("The  upper part is soft")
    assert len(read.encode("upper")) < len("upper")
    (tmp_path / "bad.json").write_text("{}")
    for path in ("bad.json", "none.json"):
        with pytest.raises(SettingsError, match=path):
            CaptionTokenizer.from_file(tmp_path / path)
    with pytest.raises(SettingsError, match="259"):
        CaptionTokenizer.train(texts, 100)
