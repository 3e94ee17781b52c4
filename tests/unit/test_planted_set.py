"""Planted sets on disk: what a benchmark reads of them is what was planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.forge.planted_set import QUALITIES, SIZES, write_planted
from fakeexplain.evaluation.datasets import read_dataset
from tests.pictures import encode, photograph


def test_the_truth_of_a_copy_is_the_pasted_place(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        (photos / f"{name}.png").write_bytes(encode(photograph(name)))
    count = write_planted(photos, tmp_path / "planted", per_cell=1, seed=0, host_side=400, kinds=("copy_move_exact",))
    assert count == len(SIZES) * len(QUALITIES)
    folder = tmp_path / "planted" / "copy_move_exact"
    records = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert len(read_dataset(folder)) == len(records) == count
    for record in records:
        mask = np.array(Image.open(folder / record["mask"])) > 0
        source = np.array(Image.open(folder / record["mask"].replace("masks/", "donors/"))) > 0
        assert mask.any()
        assert not (mask & source).any()
        assert mask.sum() == source.sum()
        if record["strata"]["quality"] == "PNG":  # nothing came after: both places are one and the same
            rgb = np.array(Image.open(folder / record["image"]).convert("RGB"))
            (y, x), (v, u) = (np.argwhere(m).min(axis=0) for m in (mask, source))
            shifted = np.zeros_like(mask)
            rows, columns = np.nonzero(source)
            shifted[rows - v + y, columns - u + x] = True
            assert np.array_equal(shifted, mask)
            assert np.array_equal(rgb[mask], rgb[source])
