"""What a benchmark reads: manifests of the forge, spread limits, maps of other tools, the robustness grid."""

import json

import numpy as np
import pytest
from PIL import Image

from data_tools.forge.writer import write
from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.evaluation.datasets import Item, read_dataset, refuse_unmasked, spread
from fakeexplain.evaluation.external_maps import (
    check_names,
    find_maps,
    fitted_map,
    parse_map_option,
    read_map,
    run_maps,
    score_maps,
)
from fakeexplain.evaluation.robustness import CELLS, degrade_source
from fakeexplain.evaluation.rows import Row
from tests.pictures import copy_move, encode, photograph, source


def test_manifests_of_the_forge_are_understood(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("astronaut", "coffee", "rocket"):
        (tmp_path / "photos" / f"{name}.png").write_bytes(encode(photograph(name)))
    written = write(tmp_path / "photos", tmp_path / "set", count=12, size=160, seed=1, quiet=True)
    items = {i.image_path.name: i for i in read_dataset(tmp_path / "set")}
    assert len(items) == 12
    for row in written:
        item = items[row["image"].split("/")[1]]
        assert (item.mask_path is not None) == bool(row["label"])
        assert item.recipe["format"] == row["format"]
        names = row["operations"]
        assert item.recipe["operation"] == ("none" if not names else names[0] if len(names) == 1 else "several")
        assert item.recipe["finish"] == next(e["finish"] for e in row["history"] if "finish" in e)
        assert item.group == "set", "numbered pictures are of one source"
    assert {bool(r["label"]) for r in written} == {True, False}
    refuse_unmasked(list(items.values()))


def make_items(folder, count=10, forged=()):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        (folder / f"images/p_{i:02d}.png").write_bytes(encode(photograph("rocket")[i : i + 24, 40:72]))
        if i in forged:
            mask = np.zeros((24, 32), np.uint8)
            mask[:12] = 255
            Image.fromarray(mask).save(folder / f"masks/p_{i:02d}.png")
    return read_dataset(folder)


def test_pictures_called_forged_without_a_mask_do_not_count_as_authentic(tmp_path):
    make_items(tmp_path / "set", 3)
    (tmp_path / "set/manifest.jsonl").write_text(json.dumps({"image": "images/p_01.png", "label": "forged"}) + "\n")
    with pytest.raises(SourceError, match="p_01"):
        refuse_unmasked(read_dataset(tmp_path / "set"))


def test_a_limit_is_spread_over_the_sorted_list(tmp_path):
    items = make_items(tmp_path / "set")
    assert [i.image_path.stem[-2:] for i in spread(items, 3)] == ["01", "05", "08"]
    assert spread(items, 10) == spread(items, None) == spread(items, 99) == items
    assert len({i.key for i in spread(items, 9)}) == 9


def test_a_cell_is_another_key(tmp_path):
    item = make_items(tmp_path / "set", 1)[0]
    cell = Item(item.dataset, item.image_path, None, item.group, cell="jpeg 80")
    assert item.key != cell.key
    assert item.key[:2] == cell.key[:2]


def test_option_and_names(tmp_path):
    assert parse_map_option("some/tool") == (parse_map_option("some/tool=x")[0], "tool")
    assert parse_map_option("some/tool=My tool")[1] == "My tool"
    (tmp_path / "a=b").mkdir()
    assert parse_map_option(str(tmp_path / "a=b")) == (tmp_path / "a=b", "a=b")
    for wrong in ("=x", "folder=", ""):
        with pytest.raises(SettingsError, match="wanted FOLDER"):
            parse_map_option(wrong)
    check_names(["x", "y"], ["noise"])
    for taken in (["suite"], ["noise map"], ["all_ones"], ["x", "x"]):
        with pytest.raises(SettingsError, match="is taken"):
            check_names(taken, ["noise"])


def test_every_missing_map_is_listed(tmp_path):
    items = make_items(tmp_path / "set", 4)
    maps = tmp_path / "maps"
    maps.mkdir()
    np.save(maps / "p_00.npy", np.zeros((24, 32), np.float32))
    with pytest.raises(SourceError, match="3 of 4 maps are missing") as raised:
        find_maps(items, maps, "x")
    assert all(f"set/p_{i:02d}" in str(raised.value) for i in (1, 2, 3))
    assert "p_00" not in str(raised.value)
    for i in (1, 2, 3):
        np.save(maps / f"p_{i:02d}.npy", np.zeros((24, 32), np.float32))
    assert len(find_maps(items, maps, "x").files) == 4
    Image.new("L", (32, 24)).save(maps / "p_02.png")
    with pytest.raises(SourceError, match="stand for one picture"):
        find_maps(items, maps, "x")
    with pytest.raises(SourceError, match="no such folder"):
        find_maps(items, tmp_path / "nowhere", "x")


def test_equal_stems_of_two_sets_need_subfolders(tmp_path):
    items = make_items(tmp_path / "a", 1) + make_items(tmp_path / "b", 1)
    for place in ("maps", "maps/a", "maps/b"):
        (tmp_path / place).mkdir()
        np.save(tmp_path / place / "p_00.npy", np.zeros((24, 32), np.float32))
    found = find_maps(items, tmp_path / "maps", "x").files
    assert [found[i.key].parent.name for i in items] == ["a", "b"]
    for name in ("a", "b"):
        (tmp_path / "maps" / name / "p_00.npy").unlink()
        (tmp_path / "maps" / name).rmdir()
    with pytest.raises(SourceError, match="subfolder named after"):
        find_maps(items, tmp_path / "maps", "x")


def test_map_files_of_every_kind(tmp_path):
    values = np.linspace(0, 1, 48).reshape(6, 8)
    np.save(tmp_path / "float.npy", values)
    np.save(tmp_path / "batch.npy", values[None, None].astype(np.float32))
    np.save(tmp_path / "bool.npy", values > 0.5)
    Image.fromarray(np.round(values * 255).astype(np.uint8)).save(tmp_path / "eight.png")
    Image.fromarray(np.round(values * 65535).astype(np.uint16)).save(tmp_path / "sixteen.png")
    Image.fromarray(np.repeat(np.round(values * 255).astype(np.uint8)[..., None], 3, 2)).save(tmp_path / "grey.png")
    Image.fromarray(values > 0.5).save(tmp_path / "one.png")
    tolerance = {"float.npy": 1e-6, "batch.npy": 1e-6, "sixteen.png": 1e-5, "eight.png": 0.002, "grey.png": 0.002}
    for name, allowed in tolerance.items():
        read = read_map(tmp_path / name)
        assert read.dtype == np.float32
        assert np.abs(read - values).max() <= allowed, name
    for name in ("bool.npy", "one.png"):
        assert (read_map(tmp_path / name) == (values > 0.5)).all()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("range.npy", np.array([[0.0, 1.5]]), "wanted probabilities"),
        ("nan.npy", np.array([[0.0, np.nan]]), "wanted probabilities"),
        ("cube.npy", np.zeros((2, 3, 4)), "wanted height x width"),
        ("integers.npy", np.zeros((2, 3), np.int64), "wanted float"),
        ("pickle.npy", np.array([{"a": 1}], dtype=object), "cannot be read"),
        ("colour.png", np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8), "coloured"),
        ("text.png", b"no picture", "cannot be read"),
    ],
)
def test_unusable_maps_are_named(tmp_path, name, value, wanted):
    if isinstance(value, bytes):
        (tmp_path / name).write_bytes(value)
    elif name.endswith(".npy"):
        np.save(tmp_path / name, value, allow_pickle=True)
    else:
        Image.fromarray(value).save(tmp_path / name)
    with pytest.raises(SourceError, match=wanted):
        read_map(tmp_path / name)


def test_maps_of_another_size_only_when_allowed(tmp_path):
    np.save(tmp_path / "m.npy", np.pad(np.ones((3, 8), np.float32), ((0, 3), (0, 0))))
    with pytest.raises(SourceError, match="map is 8x6, its picture 32x24"):
        fitted_map(tmp_path / "m.npy", 24, 32, resize=False)
    fitted, resized = fitted_map(tmp_path / "m.npy", 24, 32, resize=True)
    assert resized
    assert fitted.shape == (24, 32)
    assert fitted[:8].min() == 1.0
    assert fitted[16:].max() == 0.0
    assert fitted_map(tmp_path / "m.npy", 6, 8, resize=False)[1] is False


def test_maps_are_scored_like_our_own(tmp_path):
    items = make_items(tmp_path / "set", 3, forged=(0,))
    (tmp_path / "maps").mkdir()
    for i, item in enumerate(items):
        score_map = np.zeros((24, 32), np.float32)
        score_map[: (12, 6, 0)[i]] = 0.9
        np.save(tmp_path / "maps" / f"{item.image_path.stem}.npy", score_map)
    folder = find_maps(items, tmp_path / "maps", "tool")
    rows = {r.image: r for r in run_maps(items, {}, [folder], resize=False, workers=1)}
    assert rows["p_00.png"].f1["tool"] == rows["p_00.png"].pixel_ap["tool"] == 1.0
    assert rows["p_00.png"].f1["all_ones"] == pytest.approx(2 / 3)
    assert rows["p_01.png"].marked == {"tool": 0.25}
    assert not rows["p_01.png"].f1
    before = Row("set", "p_00.png", "p", True, {}, f1={"suite": 0.3}, label="no_evidence", stamp=items[0].key[2])
    merged = score_maps(items[0], before, [folder], False)
    assert merged.f1 == {"suite": 0.3, "tool": 1.0}
    assert merged.label == "no_evidence"


def test_an_unopened_picture_still_has_its_map_scored(tmp_path):
    items = make_items(tmp_path / "set", 2, forged=(0,))
    (tmp_path / "maps").mkdir()
    for item in items:
        item.image_path.write_bytes(b"broken")
        np.save(tmp_path / "maps" / f"{item.image_path.stem}.npy", np.ones((24, 32), np.float32))
    items = read_dataset(tmp_path / "set")
    folder = find_maps(items, tmp_path / "maps", "tool")
    failed = [Row("set", i.image_path.name, "p", i.mask_path is not None, {}, label="error", error="x") for i in items]
    assert score_maps(items[0], failed[0], [folder], False).f1["tool"] == pytest.approx(2 / 3)
    assert score_maps(items[1], failed[1], [folder], False) == failed[1]


@pytest.mark.parametrize("cell", list(CELLS))
def test_every_cell_is_repeatable_and_takes_the_truth_along(cell):
    forged, true_mask = copy_move(photograph("astronaut"))
    original = source(forged, "JPEG", quality=92)
    made, again = degrade_source(original, true_mask, cell), degrade_source(original, true_mask, cell)
    assert made.source.sha256 == again.source.sha256
    assert made.source.sha256 != original.sha256
    assert made.true_mask is not None
    assert made.true_mask.shape == made.source.rgb.shape[:2]
    assert made.true_mask.mean() == pytest.approx(true_mask.mean(), rel=0.02)
    assert degrade_source(original, None, cell).true_mask is None
    wanted = "WEBP" if cell.startswith("webp") else "JPEG" if cell.startswith(("jpeg", "social")) else "PNG"
    assert made.source.format == wanted


def test_services_shrink_large_pictures_and_leave_small_ones_their_size():
    small, large = source(photograph("coffee")), source(np.tile(photograph("coffee"), (3, 3, 1)))
    for cell in ("social", "social twice"):
        assert degrade_source(small, None, cell).source.rgb.shape == small.rgb.shape
        made = degrade_source(large, None, cell).source
        assert max(made.width, made.height) == 1080
        assert made.width / made.height == pytest.approx(large.width / large.height, rel=0.01)
