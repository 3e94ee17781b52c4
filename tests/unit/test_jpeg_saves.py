"""Saves with tables that are not libjpeg's: written exactly, found in photographs, drawn for either label."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data

from data_tools.forge import edits, histories, photos
from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge
from fakeexplain.imaging import degrade
from fakeexplain.imaging.jpeg import parse_jpeg

LUMA = tuple(2 + (row * 3 + column) // 2 for row in range(8) for column in range(8))  # not symmetric: order is tested
CHROMA = tuple(3 + row + column * 2 for row in range(8) for column in range(8))


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saves") / "photos"
    folder.mkdir()
    own = {"quality": 90, "tables": (LUMA, CHROMA), "subsampling": "4:2:2"}
    for name, rgb, save in (
        ("astronaut", data.astronaut(), own),
        ("coffee", data.coffee(), own),
        ("chelsea", data.chelsea(), {"quality": 88}),
    ):
        (folder / f"{name}.jpg").write_bytes(degrade.encode_jpeg(rgb, **save))
    return folder


def test_file_has_exactly_the_given_tables():
    facts = parse_jpeg(degrade.encode_jpeg(data.coffee(), 30, tables=(LUMA, CHROMA)))
    assert tuple(facts.luma_table.ravel()) == LUMA
    assert tuple(facts.tables[facts.component_tables[1]].ravel()) == CHROMA


def test_chain_with_tables_survives_json_and_finishes_with_them():
    step = degrade.Jpeg(quality=90, subsampling="4:4:4", tables=(LUMA, CHROMA))
    text = json.dumps(degrade.chain_to_json([step, degrade.Jpeg(quality=80)]))
    again = degrade.chain_from_json(json.loads(text))
    assert again == [step, degrade.Jpeg(quality=80)]
    assert "null" not in text
    finished = degrade.finish(data.coffee(), [], again[:1])
    assert tuple(parse_jpeg(finished.encoded).luma_table.ravel()) == LUMA
    assert np.array_equal(finished.rgb, step.apply(data.coffee()))


@pytest.mark.parametrize("table", [LUMA[:-1], (0, *LUMA[1:]), (256, *LUMA[1:])])
def test_tables_that_no_baseline_file_can_hold_are_refused(table):
    with pytest.raises(ValidationError):
        degrade.Jpeg(quality=90, tables=(LUMA, table))


def test_photograph_tells_how_it_was_saved(photos_dir):
    saves = {p.path.stem: p.saved() for p in photos.list_photos(photos_dir, 64, ForgeConfig())}
    assert saves["astronaut"].tables == (LUMA, CHROMA)
    assert saves["astronaut"].subsampling == "4:2:2"
    assert saves["chelsea"] == degrade.Jpeg(quality=88)


@pytest.mark.parametrize("file", ["grey.jpg", "poor.jpg", "other.png", "broken.jpg"])
def test_nothing_is_told_of_files_that_are_no_model(tmp_path, file):
    rgb = data.chelsea()
    (tmp_path / "poor.jpg").write_bytes(degrade.encode_jpeg(rgb, 30))
    (tmp_path / "other.png").write_bytes(degrade.encode_png(rgb))
    (tmp_path / "broken.jpg").write_bytes(degrade.encode_jpeg(rgb, 90)[:40])
    (tmp_path / "grey.jpg").write_bytes(degrade.encode_jpeg(rgb[..., 0], 90))
    assert photos.Photo(tmp_path / file, 64, 64, "x").saved() is None


def test_found_tables_are_used_for_authentic_and_forged_samples_alike(photos_dir):
    forge = Forge(photos_dir, seed=3, size=96, config=ForgeConfig(authentic_share=0.5, finishes={"jpeg": 1.0}))
    share: dict[int, list[bool]] = {0: [], 1: []}
    for index in range(160):
        sample = forge.sample(index)
        share[sample.label].append(tuple(sample.jpeg.luma_table.ravel()) == LUMA)
        last = [h for h in sample.history if h["on"] == "whole"][-1]
        assert ("tables" in last) == share[sample.label][-1]
    assert all(0.1 < np.mean(found) < 0.45 for found in share.values()), share


def test_cut_knows_the_grid_and_save_of_its_photograph(photos_dir):
    photo = next(p for p in photos.list_photos(photos_dir, 64, ForgeConfig()) if p.path.stem == "coffee")
    checked = 0
    for seed in range(12):
        history: list[dict] = []
        cut = edits.cut_out(photo, (128, 128), np.random.default_rng(seed), history)
        assert (cut.saved is None) == cut.shrunk
        if cut.saved is not None:
            x, y = history[-1]["box_xyxy"][:2]
            assert ((x + cut.saved.offset[0]) % 8, (y + cut.saved.offset[1]) % 8) == (0, 0)
            assert cut.saved.tables == (LUMA, CHROMA)
            checked += 1
    assert checked > 2


def test_share_of_donors_is_saved_like_the_host_half_of_them_on_its_grid():
    saved = degrade.Jpeg(quality=77, subsampling="4:2:2", offset=(3, 6), tables=(LUMA, CHROMA))
    rng = np.random.default_rng(0)
    same, aligned, count = 0, 0, 2000
    for _ in range(count):
        for step in histories.donor_capture(rng, False, (5, 13), saved):
            if isinstance(step, degrade.Jpeg) and step.tables == saved.tables:
                same += 1
                assert (step.quality, step.subsampling) == (77, "4:2:2")
                # The donor's frame begins at (5, 13) of the host's.
                aligned += ((step.offset[0] + 5) % 8, (step.offset[1] + 13) % 8) == (3, 6)
    assert abs(same / count - histories.SAME_SAVE) < 0.03
    assert 0.43 < aligned / same < 0.6
