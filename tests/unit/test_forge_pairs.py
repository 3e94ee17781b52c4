"""Twins of forged samples: bit for bit the sample's own history without its edits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from data_tools.forge.config import ForgeConfig
from data_tools.forge.pairs import original_of, write_pairs
from data_tools.forge.writer import write
from fakeexplain.errors import SettingsError
from tests.pictures import photograph


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    (root / "photos").mkdir()
    for name in ("astronaut", "coffee"):
        Image.fromarray(photograph(name)).save(root / "photos" / f"{name}.png")
    config = ForgeConfig(authentic_share=0.5)
    rows = write(root / "photos", root / "set", count=8, size=192, seed=3, config=config, quiet=True)
    return root, rows


def test_the_history_of_an_authentic_sample_gives_the_sample_again(forged):
    root, rows = forged
    authentic = [r for r in rows if not r["label"]]
    assert authentic
    for row in authentic:
        image = np.array(Image.open(root / "set" / row["image"]).convert("RGB"))
        assert np.array_equal(original_of(row["history"], root / "photos"), image)


def test_originals_differ_inside_the_mask_and_hardly_outside(forged):
    root, rows = forged
    paths = list(write_pairs(root / "set", root / "photos"))
    assert len(paths) == sum(r["label"] for r in rows) > 0
    for row, path in zip([r for r in rows if r["label"]], paths, strict=True):
        image = np.array(Image.open(root / "set" / row["image"]).convert("RGB")).astype(int)
        mask = np.array(Image.open(root / "set" / row["mask"]).convert("L")) > 0
        difference = np.abs(image - np.array(Image.open(path))).mean(axis=2)
        assert difference[mask].mean() > 5 * difference[~mask].mean()


def test_other_photographs_and_foreign_sets_are_refused(forged, tmp_path):
    root, rows = forged
    with pytest.raises(SettingsError, match="cannot be read"):
        original_of(rows[0]["history"], tmp_path)
    with pytest.raises(SettingsError, match="without its photograph"):
        original_of([{"on": "whole", "finish": "none"}], root / "photos")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"image": "images/a.png", "label": 0}) + "\n")
    with pytest.raises(SettingsError, match=r"no manifest\.jsonl with forged samples"):
        list(write_pairs(tmp_path, root / "photos"))
