"""Records and run lengths: what is read, what is refused, and that nothing is lost in between."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools.rle import counts_to_string, mask_to_rle, rle_to_mask, string_to_counts
from data_tools.schema import (
    Message,
    Record,
    TurnRegion,
    inline_mask,
    path_problem,
    read_jsonl,
    read_mask,
    resolve,
    write_jsonl,
)
from fakeexplain.errors import OutputError, SourceError
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.records import Evidence

FORGE_ROW = {
    "index": 7,
    "image": "images/0000007.jpg",
    "mask": "masks/0000007.png",
    "donor_mask": None,
    "sha256": "a" * 64,
    "label": 1,
    "granularity": "once",
    "operations": ["splice"],
    "width": 64,
    "height": 48,
    "forged_fraction": 0.031,
    "format": "JPEG",
    "jpeg_quality": 90,
    "photo": "desk_3.jpg",
    "donors": ["cat_1.jpg"],
    "licence": ["CC0"],
    "history": [{"on": "region", "operation": "splice"}],
}


def full_record() -> Record:
    mask = np.zeros((6, 9), dtype=bool)
    mask[2:4, 3:7] = True
    evidence = Evidence(
        id="E1",
        instrument="noise",
        instrument_version="1",
        kind="detection",
        trace="noise_high",
        quantity="noise",
        value=2.5,
        region=region_of_mask(mask, "R1"),
        log10_nfa=-4.0,
    )
    turns = (
        Message(role="user", content="<image>\nWhat of the left?", region=TurnRegion(id="R1", box_xyxy=(3, 2, 7, 4))),
        Message(role="assistant", content="Noisier [E1].", evidence_ids=("E1",)),
    )
    return Record(
        image="images/ä b.png",
        label="forged",
        mask=inline_mask(mask),
        dialogue=turns,
        evidence=(evidence,),
        strata={"size": "64"},
        split="val",
    )


def test_rle_strings_are_those_of_pycocotools() -> None:
    # Strings written by pycocotools 2.0 for these runs.
    assert counts_to_string((6, 1, 40, 4, 5, 4, 5, 4, 21)) == "61X13mN000`0"
    assert counts_to_string((0, 5, 1, 100000, 7)) == "051kdQ36"
    assert string_to_counts("61X13mN000`0") == (6, 1, 40, 4, 5, 4, 5, 4, 21)


@pytest.mark.parametrize("fill", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 53)])
def test_rle_round_trip(fill: float, shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(1).random(shape) < fill
    rle = mask_to_rle(mask)
    assert rle["size"] == list(shape)
    assert (rle_to_mask(shape, str(rle["counts"])) == mask).all()
    assert (rle_to_mask(shape, string_to_counts(str(rle["counts"]))) == mask).all()


@pytest.mark.parametrize(
    ("size", "counts"), [((2, 2), "5"), ((2, 2), "ü"), ((2, 2), "o"), ((-1, 2), "0"), ((10**6, 10**6), "0")]
)
def test_broken_rle_is_refused(size: tuple[int, int], counts: str) -> None:
    with pytest.raises(SourceError):
        rle_to_mask(size, counts)


def test_forge_rows_are_read_as_they_are() -> None:
    record = Record.from_json(json.dumps(FORGE_ROW))
    assert record.label == "forged"
    assert record.operation == "splice"
    assert record.source == "desk", "crops of one photograph share a source"
    assert record.photo == "desk_3.jpg"
    assert record.donor_photographs == ("cat",)
    assert Record.from_json(json.dumps(FORGE_ROW | {"label": 0, "operations": []})).label == "authentic"
    planted = {"image": "images/a.png", "mask": "masks/a.png", "strata": {"size": 64}, "host": "h.jpg", "history": []}
    record = Record.from_json(json.dumps(planted))
    assert (record.label, record.source, record.strata) == ("forged", "h", {"size": "64"})


def test_records_survive_writing(tmp_path: Path) -> None:
    records = [full_record(), Record.from_row(FORGE_ROW), Record(image="images/c.png", label="authentic")]
    file = tmp_path / "set" / "manifest.jsonl"
    assert write_jsonl(records, file) == 3
    assert list(read_jsonl(file)) == records
    assert [p.name for p in file.parent.iterdir()] == ["manifest.jsonl"]
    mask = read_mask(records[0].mask, tmp_path)  # type: ignore[arg-type]
    assert mask.sum() == 8
    assert mask[2:4, 3:7].all()


def test_the_benchmark_reads_the_same_lines(tmp_path: Path) -> None:
    from fakeexplain.evaluation.protocol import read_dataset

    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 6)).save(tmp_path / "images/ä b.png")
    write_jsonl([full_record()], tmp_path / "manifest.jsonl")
    assert [item.strata for item in read_dataset(tmp_path)] == [{"size": "64"}]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("{", "no JSON"),
        ("[1]", "wanted an object"),
        ('{"image": "a.png", "lable": "forged", "width": 0}', "lable: unknown field"),
        ('{"image": "a.png", "lable": "forged", "width": 0}', "width:"),
        ('{"label": "forged"}', "image: missing"),
        ('{"image": "a.png", "label": "fake"}', "label:"),
        ('{"image": "a.png", "schema_version": "2.0"}', "update it"),
        ('{"image": "a.png", "sha256": "12"}', "sha256:"),
        ('{"image": "a.png", "dialogue": [{"role": "human", "content": "x"}]}', "dialogue.0.role"),
        ('{"image": "a.png", "operation": "x", "operations": ["y"]}', "keep"),
    ],
)
def test_wrong_lines_are_named(line: str, wanted: str, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"image": "ok.png"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match="line 3") as raised:
        list(read_jsonl(file))
    assert wanted in str(raised.value)


def test_reading_streams(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"image": "ok.png"}\nbroken\n', encoding="utf-8")
    assert next(read_jsonl(file)).image == "ok.png", "what comes before the broken line is there before it is met"
    with pytest.raises(SourceError, match="no such file"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_records_are_frozen() -> None:
    record = full_record()
    with pytest.raises(ValueError, match="frozen"):
        record.label = "authentic"
    assert record.updated(split="train").split == "train"
    with pytest.raises(ValueError, match="split"):
        record.updated(split="dev")


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    write_jsonl([full_record()], file)
    before = file.read_bytes()
    with pytest.raises(OutputError, match="leads out"):
        write_jsonl([full_record(), Record(image="../a.png")], file)
    with pytest.raises(OutputError, match="JSON"):
        write_jsonl([Record(image="a.png", history=({"x": float("inf")},))], file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.png", "a/../../b.png", "C:/a.png", "a\\b.png"])
def test_paths_out_of_the_set_are_refused(path: str, tmp_path: Path) -> None:
    assert path_problem(path) is not None
    with pytest.raises(SourceError):
        resolve(tmp_path, path)


def test_links_out_of_the_set_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(SourceError, match="link"):
        resolve(root, "a.png")
    assert path_problem("images/a..b.png") is None
