"""`fakeexplain bench` on a tiny data set: what is counted, and that a stopped run goes on."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fakeexplain.errors import SourceError
from fakeexplain.evaluation.metrics import clopper_pearson
from fakeexplain.evaluation.protocol import Row, read_dataset, row_from_json, row_to_json
from fakeexplain.evaluation.robustness import CELLS
from fakeexplain.evaluation.tables import all_tables, false_alarm_tables, image_score
from tests.pictures import copy_move, encode, photograph


def bench(*arguments):
    """The command without the learned expert, whose weights a source tree may lack."""
    command = [sys.executable, "-m", "fakeexplain", "bench", "--expert", "none", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def make_set(folder):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    forged, mask = copy_move(photograph("astronaut"))
    (folder / "images/forged.png").write_bytes(encode(forged))
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks/forged.png")
    (folder / "images/clean.png").write_bytes(encode(photograph("rocket")[:256, :256]))
    (folder / "images/broken.png").write_bytes(b"no picture")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks/broken.png")
    return folder


def test_every_picture_is_counted_and_a_second_run_goes_on(tmp_path):
    make_set(tmp_path / "mine")
    done = bench(tmp_path / "mine", "--out", tmp_path / "out", "--instruments", "copy_move")
    assert done.returncode == 1, done.stderr  # one picture could not be examined
    rows_path = next((tmp_path / "out").glob("rows-*.jsonl"))
    rows = {r.image: r for r in map(row_from_json, rows_path.read_text().splitlines())}
    assert set(rows) == {"forged.png", "clean.png", "broken.png"}
    assert rows["forged.png"].f1["suite"] > 0.7
    assert rows["forged.png"].f1["suite"] > max(rows["forged.png"].f1[k] for k in ("all_ones", "random", "centre"))
    assert rows["broken.png"].f1["suite"] == 0.0
    assert not rows["clean.png"].forged
    text = (tmp_path / "out/tables.md").read_text()
    assert "broken.png" in text
    assert "False alarms" in text
    rows_path.write_text(rows_path.read_text().splitlines()[0] + "\n" + '{"dataset": "mi')  # as if killed while writing
    assert bench(tmp_path / "mine", "--out", tmp_path / "out", "--instruments", "copy_move").returncode == 1
    assert len({json.loads(line)["image"] for line in rows_path.read_text().splitlines()}) == 3


def test_data_set_mistakes_are_named(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        read_dataset(tmp_path / "nowhere")
    folder = make_set(tmp_path / "mine")
    (folder / "masks/orphan.png").write_bytes(encode(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(SourceError, match="orphan"):
        read_dataset(folder)
    done = bench(tmp_path / "mine")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_wrong_mask_size_stops_the_run(tmp_path):
    folder = make_set(tmp_path / "mine")
    Image.new("L", (10, 10), 255).save(folder / "masks/forged.png")
    done = bench(folder, "--instruments", "metadata", "--jobs", "1")
    assert done.returncode == 1
    assert "mask is 10x10" in done.stderr


def authentic(statistics, label="no_evidence", group="a"):
    return Row("set", "x", group, False, {}, 0.5, "jpeg_high", label, 0.4, statistics)


def test_false_alarms_are_counted_against_each_share():
    rows = [authentic({"noise": -2.1, "copy_move": None})] * 3 + [authentic({"noise": 0.3, "copy_move": -5.0})]
    rows += [authentic({"noise": None, "copy_move": 0.0})] * 6
    table = false_alarm_tables(rows)[0]
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["noise, NFA < 0.01 (abstained on 6)"][0] == "3 / 10"
    assert cells["noise, its share: NFA < 0.005"][0] == "0 / 10"
    assert cells["copy_move, its share: NFA < 0.005"][0] == "1 / 10"
    assert cells["suite at 0.01"][0] == "1 / 10"
    assert cells["suite at 0.05"][0] == "4 / 10"
    low, high = clopper_pearson(4, 10)
    assert cells["suite at 0.05"][2] == f"{100 * low:.2f} to {100 * high:.2f} %"
    assert cells["suite at 0.05"][4] == "BROKEN"


def test_rows_survive_json_and_tables_cope_with_little():
    row = authentic({"noise": -2.0})
    assert row_from_json(row_to_json(row)) == row
    assert image_score(row) == pytest.approx(2.0 - np.log10(2)), "half of the rate is the expert's"
    assert (
        image_score(authentic({"noise": None})) == image_score(authentic({"noise": 3.0})) == pytest.approx(-np.log10(2))
    )
    assert image_score(authentic({})) == -np.inf
    assert all_tables([]) == []


def test_manifest_names_authentic_pictures_and_strata(tmp_path):
    folder = make_set(tmp_path / "mine")
    Image.new("L", (256, 256), 0).save(folder / "masks/clean.png")  # some tools write an empty mask for these
    records = [
        {"image": "images/clean.png", "label": 0},
        {"image": "images/forged.png", "label": 1, "strata": {"size": 64}},
    ]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    items = {i.image_path.name: i for i in read_dataset(folder)}
    assert items["clean.png"].mask_path is None
    assert items["forged.png"].mask_path is not None
    assert items["forged.png"].strata == {"size": "64"}
    (folder / "manifest.jsonl").write_text("not json\n")
    with pytest.raises(SourceError, match="line 1"):
        read_dataset(folder)


def test_equal_folder_names_stay_apart(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "photos").mkdir(parents=True)
        (tmp_path / parent / "photos/x.png").write_bytes(encode(photograph("rocket")[:128, :128]))
    arguments = ("--out", tmp_path / "out", "--instruments", "metadata", "--jobs", "1")
    assert bench(tmp_path / "a/photos", *arguments).returncode == 0
    assert bench(tmp_path / "a/photos", tmp_path / "b/photos", *arguments).returncode == 0
    rows = [row_from_json(line) for line in next((tmp_path / "out").glob("rows-*.jsonl")).read_text().splitlines()]
    assert {r.dataset for r in rows} == {"photos", "a/photos", "b/photos"}
    assert bench(tmp_path / "a/photos", tmp_path / "a/photos").returncode == 1


def test_unexamined_authentic_pictures_are_no_silent_successes():
    rows = [authentic({"noise": 0.0})] * 3 + [Row("set", "broken", "a", False, {}, label="error", error="broken")] * 5
    cells = {row[0]: row[1:] for row in false_alarm_tables(rows)[0].rows}
    assert cells["suite at 0.01"][0] == "0 / 3"
    assert cells["suite at 0.01"][4] == "too few to tell"


def rows_of(out, pattern="rows-*.jsonl"):
    return [row_from_json(line) for line in next(out.glob(pattern)).read_text().splitlines()]


def test_a_run_leaves_a_page_tables_and_rows(tmp_path):
    folder = make_set(tmp_path / "mine")
    done = bench(folder, "--out", tmp_path / "out", "--instruments", "copy_move", "--jobs", "1")
    assert done.returncode == 1, done.stderr  # one picture could not be examined
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"bench.html", "tables.md", "tables.json", "rows.jsonl"} <= written
    assert not [n for n in written if n.startswith(".")], "scratch files left behind"
    row = next(r for r in rows_of(tmp_path / "out") if r.image == "forged.png")
    assert row.pixel_auc["copy_move map"] > 0.8
    assert row.pixel_ap["copy_move map"] > row.true_area
    clean = next(r for r in rows_of(tmp_path / "out") if r.image == "clean.png")
    assert clean.marked["suite"] == clean.largest["suite"] == 0.0
    stored = json.loads((tmp_path / "out/tables.json").read_text())
    assert "Forged pictures" in [t["title"] for t in stored["tables"]]
    assert stored["versions"]["fakeexplain"]
    page = (tmp_path / "out/bench.html").read_text()
    assert "<script" not in page
    assert "mine / broken.png" not in page, "nothing can be drawn of it"
    assert "mine/broken.png" in page, "but it is listed"
    log = next((tmp_path / "out").glob("rows-*.jsonl"))
    before = log.read_text()
    again = bench(folder, "--out", tmp_path / "out", "--instruments", "copy_move", "--jobs", "1")
    assert again.returncode == 1
    assert log.read_text() == before, "nothing is measured twice"


def test_the_robustness_grid_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/masks").mkdir()
    mask = np.zeros((96, 128), np.uint8)
    mask[20:60, 30:80] = 255
    for name in ("a", "b"):
        shift = 10 * (name == "b")
        (tmp_path / f"set/images/{name}.png").write_bytes(encode(photograph("coffee")[shift : 96 + shift, :128]))
    Image.fromarray(mask).save(tmp_path / "set/masks/a.png")
    arguments = (tmp_path / "set", "--out", tmp_path / "out", "--instruments", "jpeg_grid", "--jobs", "1")
    assert bench(*arguments).returncode == 0
    assert len(rows_of(tmp_path / "out")) == 2
    done = bench(*arguments, "--robustness")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len({r.key for r in rows}) == 2 * (1 + len(CELLS))
    assert {r.cell for r in rows} == {"", *CELLS}
    assert all(r.f1 for r in rows if r.forged)
    assert (tmp_path / "out/robustness.svg").read_text().startswith("<svg")
    text = (tmp_path / "out/tables.md").read_text()
    assert "| jpeg 50 | 1 |" in text
    log = next((tmp_path / "out").glob("rows-*.jsonl"))
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-3]))
    assert bench(*arguments, "--robustness").returncode == 0
    assert len(rows_of(tmp_path / "out")) == 2 * (1 + len(CELLS))
    assert bench(*arguments, "--degrade", "jpeg 70", "--degrade", "webp 80").returncode == 0
    assert {r.cell for r in rows_of(tmp_path / "out", "rows.jsonl")} == {"", "jpeg 70", "webp 80"}


def test_maps_of_another_tool_beside_ours_and_alone(tmp_path):
    folder = make_set(tmp_path / "mine")
    (folder / "images/broken.png").unlink()
    (folder / "masks/broken.png").unlink()
    (tmp_path / "maps").mkdir()
    true = Image.open(folder / "masks/forged.png")
    true.save(tmp_path / "maps/forged.png")
    missing = bench(folder, "--maps", tmp_path / "maps", "--maps-only")
    assert missing.returncode == 1
    assert "1 of 2 maps are missing" in missing.stderr
    assert "mine/clean" in missing.stderr
    np.save(tmp_path / "maps/clean.npy", np.zeros((128, 128), np.float32))
    small = bench(folder, "--maps", tmp_path / "maps", "--maps-only", "--jobs", "1")
    assert small.returncode == 1
    assert "map is 128x128, its picture 256x256" in small.stderr
    options = ("--maps", f"{tmp_path / 'maps'}=Other", "--resize-maps", "--jobs", "1")
    alone = bench(folder, *options, "--maps-only", "--expert", tmp_path / "no", "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert not list((tmp_path / "alone").glob("rows-*.jsonl"))
    row = next(r for r in rows_of(tmp_path / "alone", "rows.jsonl") if r.forged)
    assert row.f1["Other"] == row.pixel_ap["Other"] == 1.0
    assert not row.label
    beside = bench(folder, *options, "--out", tmp_path / "out", "--instruments", "copy_move")
    assert beside.returncode == 0, beside.stderr
    text = (tmp_path / "out/tables.md").read_text()
    table = text.split("### Pixel F1 and IoU of every predictor")[1].split("###")[0]
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:] == [
        "suite",
        "copy_move",
        "suite map",
        "copy_move map",
        "Other",
        "all_ones",
        "random",
        "centre",
    ]
    assert "resized to the picture for 1 of 2 pictures" in table
    assert not any("Other" in r.f1 for r in rows_of(tmp_path / "out")), "stored rows hold our own figures alone"


def test_wrong_usage_is_told_before_the_first_picture(tmp_path):
    folder = make_set(tmp_path / "mine")
    for arguments, wanted in (
        (("--exclude-from-mean", "other"), "there are mine"),
        (("--maps-only",), "need --maps"),
        (("--resize-maps",), "need --maps"),
        (("--maps", tmp_path, "--maps-only", "--robustness"), "leave one out"),
        (("--maps", tmp_path, "--maps-only", "--degrade", "jpeg 70"), "leave one out"),
        (("--degrade", "jpeg 71"), "wanted one of jpeg 100"),
        (("--maps", f"{tmp_path}=suite"), "is taken"),
        (("--false-alarms", "2"), "wanted a rate"),
    ):
        done = bench(folder, *arguments)
        assert done.returncode == 2, arguments
        assert wanted in done.stderr.replace("\n", " ")


def test_a_limit_reaches_every_part_of_a_set(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(6):
        (tmp_path / f"photos/{'abc'[i // 2]}_{i}.png").write_bytes(encode(photograph("rocket")[i : i + 64, :64]))
    done = bench(tmp_path / "photos", "--limit", "3", "--instruments", "metadata", "--out", tmp_path / "out", "-j", "1")
    assert done.returncode == 0, done.stderr
    assert {r.group for r in rows_of(tmp_path / "out")} == {"a", "b", "c"}
