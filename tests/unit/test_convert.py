"""The benchmarks as released, as tiny trees; one message for everything that is wrong; the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from data_tools.check import check
from data_tools.convert.__main__ import app
from data_tools.convert.base import Item, MaskFile, Problems, read_source, unique_names
from data_tools.convert.convert import Options, convert, read_layout
from data_tools.convert.layouts import LAYOUTS
from data_tools.schema import Record, read_jsonl
from fakeexplain.errors import OutputError, SourceError

from .trees import TRUE_MASK, H, Put, W, assert_marks, black, labels, putter, read, white

RUNNER = CliRunner()


@pytest.fixture
def put(tmp_path: Path) -> Put:
    return putter(tmp_path / "in")


# ---- the benchmarks as released -------------------------------------------------------------------------------------


def test_casia1(put: Put, tmp_path: Path) -> None:
    put("AU/Au_ani_0001.jpg", 0)
    put("Tp/Sp/Sp_D_CND_A_pla0005_pla0023_0281.jpg", 1)
    put("CASIA 1.0 groundtruth/Sp/Sp_D_CND_A_pla0005_pla0023_0281_gt.png", mask=white(value=90))
    put("Tp/CM/Sp_S_NND_A_nat0054_nat0054_0189.jpg", 2)
    put("CASIA 1.0 groundtruth/CM/Sp_S_NND_A_nat0054_nat0054_0189_gt.png", mask=white())
    items = read(tmp_path / "in", "casia1")
    splice = items["Tp/Sp/Sp_D_CND_A_pla0005_pla0023_0281.jpg"]
    assert splice.record.operations == ("splice",)
    assert (splice.record.source, splice.record.donors) == ("pla0023", ("pla0005",))
    assert_marks(splice)  # grey 90 is forged: the layout says "not black"
    copied = items["Tp/CM/Sp_S_NND_A_nat0054_nat0054_0189.jpg"].record
    assert (copied.operations, copied.source, copied.donors) == (("copy_move",), "nat0054", ())
    authentic = items["AU/Au_ani_0001.jpg"].record
    assert (authentic.label, authentic.source, authentic.origin) == ("authentic", "ani0001", "casia1")


def test_casia2(put: Put, tmp_path: Path) -> None:
    put("Au/Au_pla_00035.jpg", 0)
    put("Tp/Tp_D_CRN_M_N_pla00035_pla00033_10997.tif", 1)
    put("CASIA 2 Groundtruth/Tp_D_CRN_M_N_pla00035_pla00033_10997_gt.png", mask=white())
    put("Tp/Tp_S_NRN_S_O_sec00036_sec00036_00764.jpg", 2)
    put("CASIA 2 Groundtruth/Tp_S_NRN_S_O_sec00036_sec00036_00764_gt.png", mask=white())
    put("Tp/Tp_D_NRD_M_B_arc20062_xxx00000_02482.tif", 3)
    put("CASIA 2 Groundtruth/Tp_D_NRD_M_B_arc20062_xxx00000_02482_gt.png", mask=white())
    items = read(tmp_path / "in", "casia2")
    splice = items["Tp/Tp_D_CRN_M_N_pla00035_pla00033_10997.tif"]
    assert_marks(splice)
    assert splice.record.operations == ("splice",)
    assert splice.record.donors == (items["Au/Au_pla_00035.jpg"].record.source,), "donor and authentic picture meet"
    assert items["Tp/Tp_S_NRN_S_O_sec00036_sec00036_00764.jpg"].record.operations == ("copy_move",)
    foreign = items["Tp/Tp_D_NRD_M_B_arc20062_xxx00000_02482.tif"].record
    assert (foreign.source, foreign.donors) == ("arc20062", ()), "xxx00000 is no photograph that binds pictures"


def test_columbia_reads_the_green_part_of_edge_masks(put: Put, tmp_path: Path) -> None:
    put("4cam_auth/canong3_02_sub_02.tif", 0)
    put("4cam_splc/canong3_canonxt_sub_16.tif", 1)
    coloured = np.zeros((H, W, 3), np.uint8)
    coloured[~TRUE_MASK] = (200, 0, 0)
    coloured[TRUE_MASK] = (0, 200, 0)
    coloured[9, 20:44] = (255, 0, 0)  # brighter near the boundary
    coloured[10, 20:44] = (0, 255, 0)
    put("4cam_splc/edgemask/canong3_canonxt_sub_16_edgemask.jpg", mask=coloured)
    items = read(tmp_path / "in", "columbia")
    assert_marks(items["4cam_splc/canong3_canonxt_sub_16.tif"], tolerance=0.02)  # the edge mask is a JPEG
    assert items["4cam_auth/canong3_02_sub_02.tif"].record.label == "authentic"


def test_coverage(put: Put, tmp_path: Path) -> None:
    put("image/1.tif", 0)
    put("image/1t.tif", 1)
    put("mask/1forged.tif", mask=white())
    put("mask/1copy.tif", mask=white(np.roll(TRUE_MASK, -12, axis=1)))
    put("mask/1paste.tif", mask=white())
    items = read(tmp_path / "in", "coverage")
    assert labels(items) == {"image/1.tif": "authentic", "image/1t.tif": "forged"}
    assert_marks(items["image/1t.tif"])
    donor = read_source(items["image/1t.tif"].donor_mask)
    assert donor is not None
    assert (donor == np.roll(TRUE_MASK, -12, axis=1)).all()
    assert {item.record.source for item in items.values()} == {"1"}


def test_dso1_marks_forged_black(put: Put, tmp_path: Path) -> None:
    put("DSO-1/normal-01.png", 0)
    put("DSO-1/splicing-01.png", 1)
    put("DSO-1-Fake-Images-Masks/splicing-01.png", mask=black())
    items = read(tmp_path / "in", "dso1")
    assert_marks(items["DSO-1/splicing-01.png"])
    assert items["DSO-1/normal-01.png"].record.label == "authentic"


def put_nist16(put: Put, root: Path) -> Path:
    put("probe/NC2016_0001.jpg", 0)
    put("probe/NC2016_0002.jpg", 1)
    put("world/NC2016_9000.jpg", 2)
    put("reference/manipulation/mask/NC2016_7777.png", mask=black())
    columns = ("ProbeFileName", "ProbeMaskFileName", "BaseFileName", "IsTarget")
    kinds = ("IsManipulationTypeSplice", "IsManipulationTypeCopyClone", "IsManipulationTypeRemoval")
    row = ("probe/NC2016_0001.jpg", "reference/manipulation/mask/NC2016_7777.png", "world/NC2016_9000.jpg", "Y")
    rows = [columns + kinds, (*row, "N", "Y", "N"), ("probe/NC2016_0002.jpg", "", "", "N", "N", "N", "N")]
    table = root / "in/reference/manipulation/NC2016-manipulation-ref.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="|").writerows(rows)
    return table


def test_nist16_is_paired_by_its_table_and_marks_forged_black(put: Put, tmp_path: Path) -> None:
    put_nist16(put, tmp_path)
    items = read(tmp_path / "in", "nist16")
    forged = items["probe/NC2016_0001.jpg"]
    assert_marks(forged)
    assert (forged.record.operations, forged.record.source) == (("copy_move",), "NC2016_9000")
    assert items["probe/NC2016_0002.jpg"].record.label == "authentic"


def test_imd2020(put: Put, tmp_path: Path) -> None:
    put("00019/00019_orig.jpg", 0)
    put("00019/c8q3_0.png", 1)
    put("00019/c8q3_0_mask.png", mask=white())
    items = read(tmp_path / "in", "imd2020")
    assert labels(items) == {"00019/00019_orig.jpg": "authentic", "00019/c8q3_0.png": "forged"}
    assert {item.record.source for item in items.values()} == {"00019"}
    assert_marks(items["00019/c8q3_0.png"])


def test_korus_counts_both_grey_levels(put: Put, tmp_path: Path) -> None:
    put("Nikon_D90/pristine/r1t.TIF", 0)
    put("Nikon_D90/tampered-realistic/r1t.TIF", 1)
    levels = white()
    levels[10:20, 20:44] = 127
    put("Nikon_D90/ground-truth/r1t.PNG", mask=levels)
    items = read(tmp_path / "in", "korus")
    assert_marks(items["Nikon_D90/tampered-realistic/r1t.TIF"])
    assert {item.record.source for item in items.values()} == {"Nikon_D90-r1t"}


def test_cocoglide_is_paired_by_its_table(put: Put, tmp_path: Path) -> None:
    put("real/dining table_114871.png", 0)
    put("fake/glide_inpainting_val2017_114871_up.png", 1)
    put("mask/dining table_114871_mask.png", mask=white())
    names = "real/dining table_114871.png,fake/glide_inpainting_val2017_114871_up.png,mask/dining table_114871_mask.png"
    (tmp_path / "in/table.csv").write_text(f"real,fake,mask,prompt\n{names},a red table\n", encoding="utf-8-sig")
    items = read(tmp_path / "in", "cocoglide")
    forged = items["fake/glide_inpainting_val2017_114871_up.png"]
    assert_marks(forged)
    assert forged.record.history[0]["prompt"] == "a red table"
    assert {item.record.source for item in items.values()} == {"114871"}


def test_autosplice(put: Put, tmp_path: Path) -> None:
    put("Authentic/123.jpg", 0)
    put("Forged_JPEG100/123_0.jpg", 1)
    put("Forged_JPEG75/123_0.jpg", 2)
    put("Mask/123_mask.png", mask=white())
    items = read(tmp_path / "in", "autosplice")
    assert items["Forged_JPEG75/123_0.jpg"].record.strata == {"jpeg_quality": "75"}
    assert_marks(items["Forged_JPEG100/123_0.jpg"])
    outcome = convert(tmp_path / "in", "autosplice", "jsonl", tmp_path / "out")
    names = [r.image for r in read_jsonl(tmp_path / "out/manifest.jsonl")]
    assert len(outcome.records) == len(set(names)) == 3, "pictures of the same name do not overwrite each other"


# ---- wrong trees ----------------------------------------------------------------------------------------------------


def test_one_message_lists_every_problem(put: Put, tmp_path: Path) -> None:
    put("Tp/a.jpg", 0)
    put("Tp/b.jpg", 1)
    put("Tp/c.jpg", 2)
    put("Gt/a.png", mask=white(TRUE_MASK[:20]))  # wrong size
    put("Gt/c.png", mask=white())
    put("Gt/d.png", mask=white())
    (tmp_path / "in/Tp/c.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError) as raised:
        convert(tmp_path / "in", "tp-gt", "jsonl", tmp_path / "out")
    text = str(raised.value)
    assert "4 problems" in text
    for wanted in ("Tp/b.jpg: no mask", "Gt/d.png: mask without", "Tp/a.jpg: mask is 64x20", "Tp/c.jpg"):
        assert wanted in text
    assert not (tmp_path / "out").exists(), "nothing is left behind"
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_skip_leaves_them_out_and_names_them(put: Put, tmp_path: Path) -> None:
    put("Tp/a.jpg", 0)
    put("Tp/b.jpg", 1)
    put("Gt/a.png", mask=white())
    outcome = convert(tmp_path / "in", "tp-gt", "jsonl", tmp_path / "out", Options(skip=True))
    assert [r.image for r in outcome.records] == ["Tp/a.jpg"]
    assert outcome.left_out == ("Tp/b.jpg: no mask",)
    assert check(tmp_path / "out").errors == 0


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_an_empty_folder_is_no_data_set(name: str, tmp_path: Path) -> None:
    if name == "huggingface":
        pytest.importorskip("datasets")
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError):
        convert(tmp_path / "in", name, "jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "file", "text", "wanted"),
    [
        ("imdl-json", "imdl.json", '[["a.jpg"], ["gone.jpg", "Negative"], ["../x.jpg", "Negative"]]', "3 problems"),
        ("imdl-json", "imdl.json", "{}", "wanted a list"),
        ("imdl-json", "imdl.json", "{", "JSON"),
        ("llava", "llava.json", '[{"image": "gone.jpg", "conversations": []}, {}, 3]', "3 problems"),
        ("coco", "coco.json", '{"images": 3}', "annotations"),
        ("messages", "messages.jsonl", "{}\nx\n", "2 problems"),
        ("fakeshield", "t.json", '[{"image": "x.jpg"}]', "2 problems"),
        ("nist16", "reference/manipulation/NC2016-manipulation-ref.csv", "a|b\n1|2\n", "no column"),
    ],
)
def test_broken_lists(name: str, file: str, text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(SourceError, match=wanted):
        convert(tmp_path / "in", name, "jsonl", tmp_path / "out")


def test_coco_polygons_and_strangers_are_named(put: Put, tmp_path: Path) -> None:
    put("a.jpg", 0)
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 5, 0, 5, 5]]},
        {"id": 2, "image_id": 9, "category_id": 1, "segmentation": {}},
        {"id": 3, "image_id": 1, "category_id": 8, "segmentation": {}},
    ]
    data = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": annotations, "categories": [{"id": 1}]}
    (tmp_path / "in/coco.json").write_text(json.dumps(data))
    problems = Problems(tmp_path)
    read_layout(tmp_path / "in", "coco", problems)
    assert len(problems.texts) == 3
    assert "polygons" in problems.texts[0]


def test_records_that_lead_out_are_refused(put: Put, tmp_path: Path) -> None:
    put("secret.png", 0, root=tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/manifest.jsonl").write_text('{"image": "../secret.png"}\n')
    with pytest.raises(SourceError, match="leads out"):
        convert(tmp_path / "in", "jsonl", "jsonl", tmp_path / "out")


def test_links_share_the_file(put: Put, tmp_path: Path) -> None:
    put("images/a.jpg", 0)
    convert(tmp_path / "in", "images-masks", "jsonl", tmp_path / "out", Options(link=True))
    assert (tmp_path / "out/images/a.jpg").samefile(tmp_path / "in/images/a.jpg")


def test_a_mask_is_not_read_before_its_turn() -> None:
    with pytest.raises(SourceError, match="does not exist"):
        MaskFile(Path("none.png")).read()


# ---- command line ---------------------------------------------------------------------------------------------------


def test_command_line(put: Put, tmp_path: Path) -> None:
    put("Tp/a.jpg", 0)
    put("Gt/a.png", mask=white())
    arguments = ["tp-gt", str(tmp_path / "in"), "--to", "jsonl", "--out", str(tmp_path / "out")]
    result = RUNNER.invoke(app, [*arguments, "--licence", "CC0", "--split", "test", "--origin", "mine"])
    assert result.exit_code == 0
    record = next(read_jsonl(tmp_path / "out/manifest.jsonl"))
    assert (record.licence, record.split, record.origin) == (("CC0",), "test", "mine")
    again = RUNNER.invoke(app, arguments)
    assert again.exit_code == 3
    assert "not empty" in again.output
    listed = RUNNER.invoke(app, ["list"])
    assert all(name in listed.output for name in LAYOUTS)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["casia9", ".", "--out", "x"], "no layout"),
        (["casia1", ".", "--to", "casia1", "--out", "x"], "only read"),
        (["casia1"], "wanted FROM-LAYOUT"),
        (["casia1", "/no/such/folder", "--out", "x"], "no such file"),
    ],
)
def test_user_errors_are_one_message(arguments: list[str], wanted: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "x") if a == "x" else a for a in arguments]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code in (1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert wanted in result.output


def test_output_that_cannot_be_written(put: Put, tmp_path: Path) -> None:
    put("images/a.jpg", 0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        convert(tmp_path / "in", "images-masks", "jsonl", tmp_path / "file" / "out")


def test_names_are_kept_where_they_are_unique() -> None:
    found = ("Au/one.jpg", "Au/two.jpg", "Tp/two.png", "Tp/TWO.tif", "Au/x y.jpg", "deep/Au-one.jpg", "Tp/two.bmp")
    items = [Item(Record(image=name), b"") for name in found]
    names = unique_names(items)
    assert names[:3] == ["one", "Au-two", "Tp-two"]
    assert names[4:6] == ["x_y", "Au-one"]
    assert len({name.lower() for name in names}) == len(found)


def test_lists_do_not_reach_files_outside(put: Put, tmp_path: Path) -> None:
    put("secret.png", 0, root=tmp_path)
    put("a.png", 0)
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        (tmp_path / "in/imdl.json").write_text(json.dumps([[name, "Negative"]]))
        with pytest.raises(SourceError, match="--images"):
            convert(tmp_path / "in", "imdl-json", "jsonl", tmp_path / "out")
    (tmp_path / "in/imdl.json").write_text(json.dumps([[str(tmp_path / "secret.png"), "Negative"]]))
    outcome = convert(tmp_path / "in", "imdl-json", "jsonl", tmp_path / "out", Options(images=tmp_path))
    assert len(outcome.records) == 1
