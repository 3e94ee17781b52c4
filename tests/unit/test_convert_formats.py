"""Sets with descriptions, dialogue formats, COCO, Hugging Face: tiny trees, and round trips without loss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools.check import check
from data_tools.convert.base import Problems
from data_tools.convert.convert import convert, read_layout
from data_tools.convert.layouts import LAYOUTS
from data_tools.schema import Message, Record, TurnRegion, read_jsonl, read_mask, write_jsonl
from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.records import Evidence

from .trees import TRUE_MASK, H, Put, W, assert_marks, labels, photograph, putter, read, white


@pytest.fixture
def put(tmp_path: Path) -> Put:
    return putter(tmp_path / "in")


# ---- sets with descriptions -----------------------------------------------------------------------------------------


def test_fakeshield(put: Put, tmp_path: Path) -> None:
    put("photoshop/CASIAv2_Tp/image/a.jpg", 0)
    put("photoshop/CASIAv2_Tp/mask/a.png", mask=white())
    put("photoshop/CASIAv2_Au/image/a.jpg", 1)
    put("aigc/SD_Tp/image/c.jpg", 2)
    put("aigc/SD_Tp/mask/c.png", mask=white())
    root = tmp_path / "in"
    texts = [{"image": "a.jpg", "query": "<image>\nAltered?", "outputs": "The table was pasted in."}]
    (root / "photoshop/CASIAv2_Tp/lisa_train_gt.json").write_text(json.dumps(texts))
    turns = [{"from": "human", "value": "<image>\n?"}, {"from": "gpt", "value": "The hand is drawn."}]
    (root / "MMTD_Set").mkdir()
    listed = [{"id": "1", "image": "dataset/aigc/SD_Tp/image/c.jpg", "conversations": turns}]
    (root / "MMTD_Set/MMTD-Set-34k.json").write_text(json.dumps(listed))
    items = read(root, "fakeshield")
    assert items["photoshop/CASIAv2_Tp/image/a.jpg"].record.description == "The table was pasted in."
    assert items["photoshop/CASIAv2_Au/image/a.jpg"].record.description == "", "texts of one set stay in it"
    assert items["photoshop/CASIAv2_Au/image/a.jpg"].record.label == "authentic"
    assert items["aigc/SD_Tp/image/c.jpg"].record.description == "The hand is drawn."
    assert_marks(items["aigc/SD_Tp/image/c.jpg"])


def test_sida(put: Put, tmp_path: Path) -> None:
    put("train/real/r.jpg", 0)
    put("train/full_synthetic/s.png", 1)
    put("train/tampered/t.png", 2)
    put("train/masks/t_mask.png", mask=white())
    text = "Image: t.png\nDescription:\nType: part tampered\nAreas: the leg\n\n"
    file = tmp_path / "in/text_label_images/description/tampered/descriptions_GPT.txt"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    items = read(tmp_path / "in", "sida")
    assert labels(items) == {
        "train/real/r.jpg": "authentic",
        "train/full_synthetic/s.png": "unknown",
        "train/tampered/t.png": "forged",
    }
    forged = items["train/tampered/t.png"]
    assert forged.record.description == "Type: part tampered\nAreas: the leg"
    assert forged.record.split == "train"
    assert_marks(forged)


# ---- round trips ----------------------------------------------------------------------------------------------------


@pytest.fixture
def rich_set(put: Put, tmp_path: Path) -> Path:
    """A data set of ours that uses every field."""
    root = tmp_path / "rich"
    put("images/forged.jpg", 0, root=root)
    put("images/authentic.png", 1, root=root)
    put("masks/forged.png", mask=white(), root=root)
    put("donors/forged.png", mask=white(np.roll(TRUE_MASK, 15, axis=0)), root=root)
    evidence = Evidence(
        id="E1", instrument="n", instrument_version="1", kind="fact", trace="t", quantity="q", details={"a": [1, 2]}
    )
    forged = Record(
        image="images/forged.jpg",
        label="forged",
        mask="masks/forged.png",
        donor_mask="donors/forged.png",
        operations=("copy_move",),
        history=({"on": "region"},),
        dialogue=(
            Message(role="user", content="<image>\nWhat about R1?", region=TurnRegion(id="R1", words="upper left")),
            Message(role="assistant", content="It was copied [E1].", evidence_ids=("E1",)),
        ),
        caption="A woman in orange.",
        description="A patch was copied down.",
        evidence=(evidence,),
        source="astronaut",
        donors=("astronaut",),
        licence=("public domain",),
        split="val",
        origin="test",
        strata={"size": "small"},
    )
    turns = (Message(role="user", content="<image>\nAltered?"), Message(role="assistant", content="Nothing found."))
    authentic = Record(
        image="images/authentic.png", label="authentic", dialogue=turns, source="x", split="train", description="Plain."
    )
    write_jsonl([forged, authentic], root / "manifest.jsonl")
    return root


def records_of(root: Path) -> dict[str, Record]:
    return {Path(r.image).stem: r for r in read_jsonl(root / "manifest.jsonl")}


WRITTEN = [name for name, layout in LAYOUTS.items() if layout.write is not None and name != "huggingface"]
KEPT_WHOLE = ("jsonl", "coco", "llava", "sharegpt", "messages")


@pytest.mark.parametrize("name", WRITTEN)
def test_round_trip(name: str, rich_set: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    convert(rich_set, "jsonl", name, there)
    convert(there, name, "jsonl", back)
    assert check(back).errors == 0
    before, after = records_of(rich_set), records_of(back)
    assert before.keys() == after.keys()
    for key, old in before.items():
        new = after[key]
        assert (back / new.image).read_bytes() == (rich_set / old.image).read_bytes(), "byte for byte"
        assert new.label == old.label
        for field in ("mask", "donor_mask") if name in KEPT_WHOLE else ("mask",):
            was, is_now = getattr(old, field), getattr(new, field)
            assert (was is None) == (is_now is None)
            if was is not None:
                assert (read_mask(is_now, back) == read_mask(was, rich_set)).all()
        if name in KEPT_WHOLE:
            changed = {"image": "x", "mask": None, "donor_mask": None, "sha256": None, "width": None, "height": None}
            assert new.updated(**changed) == old.updated(**changed)
        if name in ("fakeshield", "sida"):
            assert new.description == old.description
        if name == "sida":
            assert new.split == old.split


def test_huggingface_round_trip(rich_set: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    there, back = tmp_path / "there", tmp_path / "back"
    convert(rich_set, "jsonl", "huggingface", there)
    loaded = datasets.load_dataset(str(there), cache_dir=str(tmp_path / "cache"))
    assert loaded["validation"][0]["image"].size == (W, H)
    assert loaded["validation"][0]["label"] == "forged"
    convert(there, "huggingface", "jsonl", back)
    before, after = records_of(rich_set), records_of(back)
    changed = {"image": "x", "mask": None, "donor_mask": None, "sha256": None, "width": None, "height": None}
    for key, old in before.items():
        new = after[key]
        assert new.updated(**changed) == old.updated(**changed)
        assert (back / new.image).read_bytes() == (rich_set / old.image).read_bytes()
    assert (read_mask(str(after["forged"].mask), back) == TRUE_MASK).all()


def test_huggingface_of_others(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["real", "tampered"])
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image(), "label": names})
    crop, mask = Image.fromarray(photograph()[:H, :W]), Image.fromarray(white())
    rows = [{"image": crop, "mask": mask, "label": 1}, {"image": crop.rotate(180), "mask": None, "label": 0}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "in"))
    problems = Problems(tmp_path)
    items = read_layout(tmp_path / "in", "huggingface", problems)
    assert not problems.texts
    assert [item.record.label for item in items] == ["forged", "authentic"]
    assert_marks(items[0])


def test_huggingface_without_the_package_says_what_to_install(
    rich_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(SettingsError, match="pip install datasets"):
        convert(rich_set, "jsonl", "huggingface", tmp_path / "out")


def test_images_masks_is_what_the_benchmark_reads(rich_set: Path, tmp_path: Path) -> None:
    from fakeexplain.evaluation.protocol import read_dataset

    convert(rich_set, "jsonl", "images-masks", tmp_path / "out")
    assert [item.mask_path is not None for item in read_dataset(tmp_path / "out")] == [False, True]


def test_imdl_files_have_the_documented_form(rich_set: Path, tmp_path: Path) -> None:
    convert(rich_set, "jsonl", "imdl-json", tmp_path / "json")
    rows = json.loads((tmp_path / "json/imdl.json").read_text())
    assert rows == [["Tp/forged.jpg", "Gt/forged.png"], ["Tp/authentic.png", "Negative"]]
    convert(rich_set, "jsonl", "tp-gt", tmp_path / "folders")
    stems = [sorted(p.stem for p in (tmp_path / "folders" / part).iterdir()) for part in ("Tp", "Gt")]
    assert stems[0] == stems[1], "IMDL-BenCo pairs the folders by sorting"


def test_llava_of_others_and_messages_with_parts(put: Put, tmp_path: Path) -> None:
    put("a.jpg", 0)
    root = tmp_path / "in"
    turns = [{"from": "human", "value": "<image>\nAltered?"}, {"from": "gpt", "value": "No."}]
    (root / "llava.json").write_text(json.dumps([{"id": "1", "image": "a.jpg", "conversations": turns}]))
    item = read(root, "llava")["a.jpg"]
    assert item.record.label == "unknown"
    assert [m.role for m in item.record.dialogue] == ["user", "assistant"]
    parts = [{"type": "image"}, {"type": "text", "text": "Altered?"}]
    row = {"messages": [{"role": "user", "content": parts}], "images": ["a.jpg"]}
    (root / "messages.jsonl").write_text(json.dumps(row) + "\n")
    assert read(root, "messages")["a.jpg"].record.dialogue[0].content == "<image>\nAltered?"


@pytest.mark.parametrize("named", [None, "truth/a.png"])
def test_masks_beside_dialogues_of_others_are_read(named: str | None, put: Put, tmp_path: Path) -> None:
    """They were once passed over, and stages that learn regions had nothing to learn."""
    put("images/a.jpg", 0)
    put("images/b.jpg", 1)
    put("images/c.jpg", 2)
    put(named or "masks/a.png", mask=white())
    put("masks/c.png", mask=np.zeros_like(white()))
    turns = [{"from": "human", "value": "<image>\nEdited?"}, {"from": "gpt", "value": "Yes, here: [SEG]."}]
    entries = [{"image": f"images/{n}.jpg", "conversations": turns} for n in "abc"]
    if named:
        entries[0]["mask"] = named
    file = tmp_path / "in/llava.json"
    file.write_text(json.dumps(entries))
    items = read(tmp_path / "in", "llava")
    assert_marks(items["images/a.jpg"])
    assert [items[f"images/{n}.jpg"].record.label for n in "abc"] == ["forged", "unknown", "authentic"]
    assert items["images/b.jpg"].mask is None
    answers = [items[f"images/{n}.jpg"].record.dialogue[1] for n in "abc"]
    assert answers[0].content == "Yes, here: <SEG>."
    assert (answers[0].region.mask.mask() == white().astype(bool)).all(), "a region for <SEG>"
    assert answers[1].region is answers[2].region is None
    for wrong in ("truth/none.png", "../a.png", 3):
        entries[0]["mask"] = wrong
        file.write_text(json.dumps(entries))
        with pytest.raises(SourceError, match="entry 1"):
            read(tmp_path / "in", "llava")


def test_tool_turns_pass_through_sharegpt_and_are_refused_by_llava(put: Put, tmp_path: Path) -> None:
    put("images/a.jpg", 0)
    roles = ("user", "assistant", "tool", "assistant")
    turns = tuple(Message.model_validate({"role": r, "content": "<image>" * (r == "user") + r}) for r in roles)
    write_jsonl([Record(image="images/a.jpg", dialogue=turns)], tmp_path / "in/manifest.jsonl")
    convert(tmp_path / "in", "jsonl", "sharegpt", tmp_path / "there")
    words = [t["from"] for t in json.loads((tmp_path / "there/sharegpt.json").read_text())[0]["conversations"]]
    assert words == ["human", "gpt", "observation", "gpt"]
    assert read(tmp_path / "there", "sharegpt")["images/a.jpg"].record.dialogue == turns
    with pytest.raises(SourceError, match="tool turns"):
        convert(tmp_path / "in", "jsonl", "llava", tmp_path / "no")
