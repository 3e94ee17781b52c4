"""Alignment pairs: captions true of the very crop, reproducible, split by photograph, and retrieval that can fail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from data_tools.forge.config import ForgeConfig
from data_tools.forge.photos import list_photos
from data_tools.instructions import seen
from data_tools.instructions.categories import CATEGORIES
from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.models.text_tokenizer import CaptionTokenizer
from tests.pictures import PHOTOGRAPHS, photograph
from training.alignment_pairs import (
    TEXT_TOWER_VOCABULARY,
    AlignmentPairs,
    caption_of,
    caption_texts,
    facts_of,
    random_crop,
    retrieval_metrics,
    split_pairs,
    vary,
)

TOWERS = Path(__file__).parents[2] / "configs/model/open_clip"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photographs; the astronaut's left half is labelled person (1) and its right half wall (199)."""
    root = tmp_path_factory.mktemp("alignment")
    (root / "photos").mkdir()
    (root / "object_masks").mkdir()
    for name in PHOTOGRAPHS:
        Image.fromarray(photograph(name)).save(root / "photos" / f"{name}.png")
    height, width = photograph("astronaut").shape[:2]
    labels = np.full((height, width), 199, np.uint8)
    labels[:, : width // 2] = 1
    Image.fromarray(labels).save(root / "object_masks" / "astronaut.png")
    return root / "photos"


def photos_of(folder: Path):
    return list_photos(folder, 64, ForgeConfig())


def test_captions_are_true_of_the_pixels_that_come_with_them(folder: Path) -> None:
    pairs = AlignmentPairs(photos_of(folder), count=80, seed=3)
    words_seen: set[str] = set()
    for index in range(80):
        item = pairs[index]
        assert item["image"].shape == (3, 128, 128)
        assert item["image"].dtype == torch.uint8
        facts = seen.look(item["image"].permute(1, 2, 0).numpy())
        for attribute, scale in seen.SCALES.items():
            named = [w for _, w in scale if re.search(rf"\b{w}\b", item["caption"], re.IGNORECASE)]
            longest = max(named, key=len, default=None)  # "bright" is part of "very bright"
            if attribute == "light" and longest in ("bright", None):
                continue  # "brightest" aside, the word is too common to read back
            if longest is not None:
                assert longest == facts[attribute], item["caption"]
                words_seen.add(attribute)
        for colour, share in re.findall(r"(\w+) \((\d+) %\)", item["caption"]):
            assert abs(facts["colours"][colour.lower()] - int(share) / 100) <= 0.0051
            words_seen.add("colours")
    assert words_seen == {*seen.SCALES, "colours"}


def test_objects_follow_flips_and_crops(folder: Path) -> None:
    astronaut = [p for p in photos_of(folder) if p.labels_path]
    places = set()
    for item in (AlignmentPairs(astronaut, count=60, seed=1)[i] for i in range(60)):
        found = re.search(r"[pP]erson (?:in|across|along|from)? ?(?:the )?([\w ,]*?),? (\d+)", item["caption"])
        if found:
            places.add("left" if "left" in found[1] else "right" if "right" in found[1] else "else")
    assert {"left", "right"} <= places  # person is on the left of the photograph, on the right of flipped crops
    still = AlignmentPairs(astronaut, count=60, seed=1, varied=False)
    assert not any(
        re.search(r"[pP]erson (in the|on the|along the)? ?\w* ?right", still[i]["caption"]) for i in range(60)
    )


def test_labels_are_those_of_the_crop(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "object_masks").mkdir()
    columns = np.arange(480)[None].repeat(320, axis=0)
    Image.fromarray(np.where(columns[..., None] < 200, (200, 30, 30), (30, 30, 200)).astype(np.uint8)).save(
        tmp_path / "photos" / "halves.png"
    )
    Image.fromarray(np.where(columns < 200, 17, 18).astype(np.uint8)).save(tmp_path / "object_masks" / "halves.png")
    pairs, shares = AlignmentPairs(photos_of(tmp_path / "photos"), count=60), []
    for item in (pairs[i] for i in range(60)):
        found = re.search(r"[cC]at [^;%]*, (\d+(?:\.\d+)?) %", item["caption"])
        if found:
            image = item["image"].float()
            shares.append((float(found[1]) / 100, float((image[0] > image[2]).float().mean())))
    named, shown = np.array(shares).T
    colourful = shown > 0  # some variations take all colour away
    assert np.abs(named - shown)[colourful].max() < 0.015
    assert np.ptp(shown[colourful]) > 0.3
    assert colourful.sum() > 15


def test_photographs_without_labels_name_no_object(folder: Path) -> None:
    plain = [p for p in photos_of(folder) if not p.labels_path]
    pairs = AlignmentPairs(plain, count=60)
    names = {n for n in CATEGORIES.values() if n not in seen.COLOURS} - {"orange fruit"}
    for index in range(60):
        words = set(re.findall(r"\w+", pairs[index]["caption"].lower()))
        assert not words & names, pairs[index]["caption"]
        assert "labels" not in words


def test_pairs_depend_on_seed_and_index_alone_in_workers_too(folder: Path) -> None:
    photos = photos_of(folder)
    pairs = AlignmentPairs(photos, count=12, seed=5)
    alone = [pairs[i] for i in (7, 0, 7)]
    assert torch.equal(alone[0]["image"], alone[2]["image"])
    assert alone[0]["caption"] == alone[2]["caption"]
    assert not torch.equal(alone[0]["image"], alone[1]["image"])
    assert not torch.equal(AlignmentPairs(photos, count=12, seed=6)[7]["image"], alone[0]["image"])
    batches = list(DataLoader(pairs, batch_size=4, num_workers=2))
    assert [len(b["caption"]) for b in batches] == [4, 4, 4]
    assert torch.equal(batches[1]["image"][3], alone[0]["image"])
    assert batches[1]["caption"][3] == alone[0]["caption"]
    with pytest.raises(IndexError):
        pairs[12]


def test_split_parts_photographs_not_crops(tmp_path: Path) -> None:
    rgb = photograph("chelsea")
    for number in range(12):
        for crop in range(2):
            shade = np.full((150, 150, 3), 20 * number + 5, np.uint8)
            Image.fromarray(shade if crop else rgb[:150, :150]).save(tmp_path / f"photo{number}_{crop}.png")
    training, held_out = split_pairs(tmp_path, count=8, held_out_count=6)
    assert (len(training), len(held_out)) == (8, 6)
    config = ForgeConfig(split="validation")
    groups = {p.group for p in list_photos(tmp_path, 64, config)}
    assert 0 < len(groups) < 12
    shades = {int(held_out[i]["image"].float().std() == 0) * int(held_out[i]["image"].max()) for i in range(6)} - {0}
    assert shades
    assert shades <= {20 * int(g.removeprefix("photo")) + 5 for g in groups}
    with pytest.raises(SettingsError, match="no such folder"):
        split_pairs(tmp_path / "none", count=1, held_out_count=1)
    with pytest.raises(SettingsError, match="count 0"):
        AlignmentPairs(list_photos(tmp_path, 64, config), count=0)
    next(tmp_path.glob("photo*_0.png")).write_bytes(b"broken")
    with pytest.raises(SourceError, match="take it out"):
        AlignmentPairs(list_photos_kept(tmp_path, rgb), count=1)


def list_photos_kept(folder: Path, rgb: np.ndarray):
    """Photos listed while whole, one of them broken since."""
    path = folder / "later.png"
    Image.fromarray(rgb).save(path)
    photos = [p for p in list_photos(folder, 64, ForgeConfig()) if p.path == path]
    path.write_bytes(path.read_bytes()[:2000])
    return photos


def test_stored_orientation_is_undone(tmp_path: Path) -> None:
    rgb = np.zeros((160, 240, 3), np.uint8)
    rgb[:80] = 255  # bright above in the stored frame
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    item = AlignmentPairs(list_photos(tmp_path, 64, ForgeConfig()), count=1, varied=False, longest_side=240)
    kept = item._pixels.view(160, 240, 3)
    assert kept[:70].max() < 10
    assert kept[90:].min() > 245


def test_crops_cover_scales_and_stay_inside() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_crop(360, 480, rng) for _ in range(500)])
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() == 0
    assert boxes[:, 2].max() == 480
    assert boxes[:, 3].max() == 360
    assert widths.min() >= 128
    assert heights.min() >= 128
    assert (widths < 240).mean() > 0.2
    assert (widths > 400).mean() > 0.1
    assert random_crop(90, 300, rng)[3] == 90


def test_variation_reaches_the_words() -> None:
    view = np.ascontiguousarray(photograph("coffee")[:256, :256])
    rng = np.random.default_rng(0)
    seen_words = [facts_of(vary(view, rng), None, (3, 2)) for _ in range(60)]
    assert {f["format"] for f in seen_words} == {"landscape format"}
    for attribute in ("light", "colourfulness", "sharpness"):
        assert len({f[attribute] for f in seen_words}) > 1


def test_shipped_vocabulary_reads_captions_whole() -> None:
    tokenizer = CaptionTokenizer.from_file(TOWERS / "tiny_tokenizer.json")
    text_cfg = json.loads((TOWERS / "tiny.json").read_text())["text_cfg"]
    assert text_cfg["vocab_size"] == TEXT_TOWER_VOCABULARY >= tokenizer.vocab_size
    captions = list(caption_texts(500, seed=9))
    assert max(len(tokenizer.encode(c)) for c in captions) <= text_cfg["context_length"] - 2
    assert all(len(tokenizer.encode(name)) <= 3 for name in CATEGORIES.values())
    assert captions[100:] == list(caption_texts(500, seed=9))[100:]
    assert len(set(captions)) > 450


def test_caption_names_objects_first() -> None:
    view = photograph("coffee")[:128, :128]
    labels = np.full((128, 128), 47, np.uint8)
    captions = [caption_of(facts_of(view, labels, (4, 4)), np.random.default_rng(i)) for i in range(20)]
    named = [c for c in captions if "cup across the whole image" in c]
    assert len(named) > 10
    assert all("100 %" in c.split(". ")[0] for c in named)


def test_retrieval_metrics_on_known_ranks() -> None:
    eye = torch.eye(8)
    perfect = retrieval_metrics(eye, eye)
    assert (perfect["image_to_text_r1"], perfect["text_to_image_median_rank"]) == (1.0, 1.0)
    collapsed = retrieval_metrics(eye, torch.ones(8, 8) / 8**0.5)
    assert collapsed["image_to_text_r1"] == 0.0
    assert collapsed["image_to_text_median_rank"] == 8.0
    swapped = retrieval_metrics(eye[[1, 0, 2, 3, 4, 5, 6, 7]] + 0.5 * eye, eye)
    assert swapped["image_to_text_r1"] == 0.75
    assert swapped["image_to_text_r5"] == 1.0
    angles = torch.tensor([0.0, 0.3, 0.35])
    images = torch.stack([angles.cos(), angles.sin()], 1)
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    uneven = retrieval_metrics(images, texts)
    assert uneven["image_to_text_median_rank"] == 2.0
    assert uneven["text_to_image_r1"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="wanted"):
        retrieval_metrics(eye, eye[:4])
