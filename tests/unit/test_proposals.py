"""Proposals of Segment Anything: a random tiny model runs the whole path; the forge cuts objects from the labels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data_tools.forge import photos, proposals
from data_tools.forge.__main__ import app
from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge
from fakeexplain.errors import SettingsError
from fakeexplain.imaging import degrade
from tests.pictures import photograph

torch = pytest.importorskip("torch")
segment_anything = pytest.importorskip("segment_anything")


def _tiny_sam():
    """Sam from its own parts, 16 channels wide, for pictures of 64 pixels."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(1)
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=64,
            patch_size=16,
            embed_dim=16,
            depth=1,
            num_heads=2,
            out_chans=16,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=0,
            global_attn_indexes=(0,),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=16, image_embedding_size=(4, 4), input_image_size=(64, 64), mask_in_chans=4
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=1, embedding_dim=16, mlp_dim=16, num_heads=2),
            transformer_dim=16,
            iou_head_hidden_dim=16,
        ),
    )


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Path of weights of the tiny model, which takes the place of vit_b."""
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", _tiny_sam)
    path = tmp_path / "tiny.pth"
    model = _tiny_sam()
    last = model.mask_decoder.iou_prediction_head.layers[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 0.5)  # every mask is said to be half right
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture
def photos_dir(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("coffee", "chelsea"):
        rgb = np.ascontiguousarray(photograph(name)[40:260, 60:360])
        (folder / f"{name}.jpg").write_bytes(degrade.encode_jpeg(rgb, 92))
    return folder


def test_command_writes_labels_once_and_goes_on(tiny, photos_dir, tmp_path):
    out = tmp_path / "labels"
    arguments = ["sam-proposals", "--photos", str(photos_dir), "--checkpoint", str(tiny), "--out", str(out)]
    arguments += ["--model-type", "vit_b", "--points", "4", "--quality", "0", "--stability", "0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "2 photographs" in result.output
    labels = np.array(Image.open(out / "coffee.png"))
    assert labels.dtype == np.uint8
    assert labels.shape == (220, 300)
    assert labels.max() > 0  # the tiny model is random, but something it said must have been written
    marked = np.full_like(labels, 7)
    Image.fromarray(marked).save(out / "coffee.png")
    (out / "chelsea.png").unlink()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert np.array_equal(np.array(Image.open(out / "coffee.png")), marked)
    assert (out / "chelsea.png").is_file()
    assert not list(out.glob("*.part"))


def test_only_proposals_of_the_asked_quality_are_kept(tiny):
    rgb = photograph("coffee")
    counts = []
    for quality in (0.4, 0.6):
        generator = proposals.load_generator(tiny, "vit_b", points_per_side=3, quality=quality, stability=0.0)
        counts.append(int(proposals.propose(generator, rgb).max()))
    assert counts[0] > counts[1] == 0


def test_large_photographs_are_looked_at_small_and_labelled_in_full(monkeypatch):
    class Halves:
        """Stands in for the generator; says where it was asked."""

        def generate(self, image):
            self.seen = image.shape
            left = np.zeros(image.shape[:2], bool)
            left[:, : image.shape[1] // 2] = True
            return [{"segmentation": left, "predicted_iou": 1.0}]

    monkeypatch.setattr(proposals, "SIDE", 100)
    generator = Halves()
    labels = proposals.propose(generator, np.zeros((300, 400, 3), np.uint8))
    assert generator.seen == (75, 100, 3)
    assert labels.shape == (300, 400)
    assert np.array_equal(labels > 0, np.arange(400)[None].repeat(300, 0) < 200)


def test_small_proposals_lie_on_large_ones_and_background_is_left_out():
    def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        mask = np.zeros((100, 100), bool)
        mask[y0:y1, x0:x1] = True
        return mask

    masks = [box(20, 20, 40, 40), box(10, 10, 70, 70), box(0, 0, 100, 100), box(0, 0, 3, 3)]
    labels = proposals.label_picture(masks, [0.5, 0.9, 1.0, 1.0], 100, 100)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert (labels[masks[0]] == 2).all()
    assert (labels == 1).sum() == 60 * 60 - 20 * 20
    many = [box(x, y, x + 8, y + 8) for x in range(0, 90, 5) for y in range(0, 90, 5)]
    assert proposals.label_picture(many, list(np.linspace(0, 1, len(many))), 100, 100).max() == 255


def test_forge_cuts_its_objects_from_the_labels(photos_dir, tmp_path):
    labels_dir = tmp_path / "elsewhere"
    labels_dir.mkdir()
    labels = np.zeros((220, 300), np.uint8)
    labels[60:140, 90:170] = 200
    Image.fromarray(labels).save(labels_dir / "coffee.png")
    config = ForgeConfig(
        labels_dir=str(labels_dir),
        shapes={"object": 1.0},
        authentic_share=0,
        several_share=0,
        same_content_share=0,
        global_share=0,
        new_content={"splice": 1.0},
        finishes={"none": 1.0},
    )
    forge = Forge(photos_dir, seed=0, size=128, config=config)
    assert [p.path.stem for p in forge.labelled] == ["coffee"]
    made = [forge.sample(index) for index in range(12)]
    by_object = [s for s in made if any(entry.get("shape") == "object" for entry in s.history)]
    objects = [s for s in by_object if s.donors == ("coffee.jpg",)]
    assert objects
    for sample in objects:
        rows, columns = np.nonzero(sample.mask)
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert sample.mask.sum() > 0.95 * box  # the labelled object is a square, and nothing else has this shape here
    with pytest.raises(SettingsError, match="labels_dir"):
        photos.list_photos(photos_dir, 64, ForgeConfig(labels_dir=str(tmp_path / "nowhere")))


def test_wrong_weights_are_refused_with_a_reason(tiny, tmp_path):
    garbage = tmp_path / "garbage.pth"
    garbage.write_bytes(b"no weights")
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    with pytest.raises(SettingsError, match="model-type"):
        proposals.load_generator(tiny, "vit_x")
    with pytest.raises(SettingsError, match="cannot be read"):
        proposals.load_generator(tmp_path / "none.pth", "vit_b")
    with pytest.raises(SettingsError, match="cannot be read"):
        proposals.load_generator(garbage, "vit_b")
    with pytest.raises(SettingsError, match="no weights of vit_b"):
        proposals.load_generator(other, "vit_b")


def test_weights_that_would_run_code_are_refused(tiny, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    path = tmp_path / "evil.pth"
    torch.save(Evil(), path)
    with pytest.raises(SettingsError, match="cannot be read"):
        proposals.load_generator(path, "vit_b")
    assert not (tmp_path / "run").exists()
