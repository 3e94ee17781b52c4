"""`fakeexplain bench` on a tiny data set: what is counted, and that a stopped run goes on."""

import json

import numpy as np
import pytest
from PIL import Image

from fakeexplain.errors import SourceError
from fakeexplain.evaluation.metrics import clopper_pearson
from fakeexplain.evaluation.protocol import Row, read_dataset, row_from_json, row_to_json
from fakeexplain.evaluation.tables import all_tables, false_alarm_tables, image_score
from tests.integration.test_examine import run
from tests.pictures import copy_move, encode, photograph


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
    done = run("bench", tmp_path / "mine", "--out", tmp_path / "out", "--instruments", "copy_move")
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
    assert run("bench", tmp_path / "mine", "--out", tmp_path / "out", "--instruments", "copy_move").returncode == 1
    assert len({json.loads(line)["image"] for line in rows_path.read_text().splitlines()}) == 3


def test_data_set_mistakes_are_named(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        read_dataset(tmp_path / "nowhere")
    folder = make_set(tmp_path / "mine")
    (folder / "masks/orphan.png").write_bytes(encode(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(SourceError, match="orphan"):
        read_dataset(folder)
    done = run("bench", tmp_path / "mine")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_wrong_mask_size_stops_the_run(tmp_path):
    folder = make_set(tmp_path / "mine")
    Image.new("L", (10, 10), 255).save(folder / "masks/forged.png")
    done = run("bench", folder, "--instruments", "metadata", "--jobs", "1")
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
    assert image_score(row) == 2.0
    assert image_score(authentic({"noise": None})) == 0.0
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
    assert run("bench", tmp_path / "a/photos", *arguments).returncode == 0
    assert run("bench", tmp_path / "a/photos", tmp_path / "b/photos", *arguments).returncode == 0
    rows = [row_from_json(line) for line in next((tmp_path / "out").glob("rows-*.jsonl")).read_text().splitlines()]
    assert {r.dataset for r in rows} == {"photos", "a/photos", "b/photos"}
    assert run("bench", tmp_path / "a/photos", tmp_path / "a/photos").returncode == 1


def test_unexamined_authentic_pictures_are_no_silent_successes():
    rows = [authentic({"noise": 0.0})] * 3 + [Row("set", "broken", "a", False, {}, label="error", error="broken")] * 5
    cells = {row[0]: row[1:] for row in false_alarm_tables(rows)[0].rows}
    assert cells["suite at 0.01"][0] == "0 / 3"
    assert cells["suite at 0.01"][4] == "too few to tell"
