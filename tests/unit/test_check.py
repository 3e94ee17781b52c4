"""Every kind of problem is found, all at once, and a clean set has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from PIL import Image
from typer.testing import CliRunner

from data_tools.check import Report, app, check, dialogue_problems
from data_tools.schema import Message, Record, write_jsonl
from fakeexplain.errors import SourceError
from fakeexplain.records import Evidence

SIZE = 96
RUNNER = CliRunner()
MASK = np.zeros((SIZE, SIZE), dtype=bool)
MASK[20:50, 30:70] = True


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    """Different crops of two photographs, uint8 96x96x3."""
    found = []
    for name in ("astronaut.png", "coffee.png"):
        with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
            pixels = np.asarray(image.convert("RGB"))
        found += [pixels[y : y + SIZE, x : x + SIZE] for y in (0, 200, 300) for x in (0, 150, 400)]
    return found


Build = Callable[..., Path]


@pytest.fixture
def build(crops: list[np.ndarray], tmp_path: Path) -> Build:
    """Writes a data set of crops; each keyword argument is the number of a row whose fields it changes."""

    def _build(count: int = 4, **changes: dict[str, Any]) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        lines = []
        for number in range(count):
            forged = number % 2 == 0
            Image.fromarray(crops[number]).save(tmp_path / f"images/{number}.png")
            if forged:
                Image.fromarray(MASK.astype(np.uint8) * np.uint8(255)).save(tmp_path / f"masks/{number}.png")
            row: dict[str, Any] = {
                "image": f"images/{number}.png",
                "label": "forged" if forged else "authentic",
                "mask": f"masks/{number}.png" if forged else None,
                "source": f"photo {number}",
            }
            lines.append(json.dumps(row | changes.get(f"row{number}", {})) + "\n")
        (tmp_path / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
        return tmp_path

    return _build


def kinds(report: Report) -> list[str]:
    return sorted(f.kind for f in report.findings)


def test_a_clean_set_has_no_problems(build: Build) -> None:
    turns = [{"role": "user", "content": "<image>\nAltered?"}, {"role": "assistant", "content": "Yes [E1]."}]
    evidence = Evidence(id="E1", instrument="n", instrument_version="1", kind="fact", trace="t", quantity="q")
    row = {"dialogue": turns, "evidence": [evidence.model_dump(mode="json")], "width": SIZE, "height": SIZE}
    report = check(build(row0=row, row1={"split": "train"}, row2={"split": "val"}))
    assert report.findings == []
    assert report.records == 4
    assert report.counts["label"] == {"forged": 2, "authentic": 2}


def test_everything_wrong_is_named_at_once(build: Build, crops: list[np.ndarray]) -> None:
    root = build(
        count=14,
        row0={"image": "/etc/passwd"},
        row1={"image": "../x.png"},
        row2={"mask": "../m.png"},
        row3={"sha256": "0" * 64},
        row4={"width": 5},
        row5={"mask": "masks/6.png"},
        row7={"image": "images/none.png"},
        row9={"nonsense": 1},
        row11={"source": "photo 13", "split": "train"},
        row12={"donors": ["photo 13"], "split": "val"},
        row13={"split": "test"},
    )
    Image.new("L", (SIZE, SIZE)).save(root / "masks/6.png")
    Image.new("L", (SIZE, 8), 255).save(root / "masks/8.png")
    (root / "masks/10.png").write_bytes(b"x")
    # Row 6 has an empty mask; that of row 5 is the same file.
    report = check(root)
    found = {(f.line, f.kind) for f in report.findings}
    wanted = {
        (1, "path"),
        (2, "path"),
        (3, "path"),
        (4, "sha256"),
        (5, "size"),
        (7, "empty mask"),
        (8, "missing file"),
        (9, "mask size"),
        (9, "full mask"),
        (10, "record"),
        (11, "mask"),
        (12, "leak"),
        (13, "donor leak"),
    }
    assert found == wanted
    assert report.errors == len(wanted) - 2, "a full mask and a donor in another split are warnings"


def test_mask_on_an_authentic_picture(build: Build) -> None:
    assert kinds(check(build(row1={"mask": "masks/0.png"}))) == ["mask on authentic"]
    assert kinds(check(build(row0={"mask": None}))) == ["no mask"]


def test_broken_pictures_and_duplicates(build: Build) -> None:
    root = build(count=6, row3={"image": "images/1.png"}, row5={"split": "val"}, row1={"split": "train"})
    (root / "images/5.png").write_bytes((root / "images/1.png").read_bytes())
    (root / "images/4.png").write_bytes((root / "images/4.png").read_bytes()[:300])
    report = check(root)
    assert kinds(report) == ["duplicate", "duplicate", "unreadable"]
    assert any("another split (train, val)" in f.text for f in report.findings)


def test_a_picture_may_have_several_records(build: Build) -> None:
    def says(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "<image>\nAltered?"}, {"role": "assistant", "content": answer}]

    picture = {"image": "images/0.png", "label": "forged", "mask": "masks/0.png", "source": "photo 0"}
    root = build(
        count=6,
        row0={"dialogue": says("Yes.")},
        row1=picture | {"dialogue": says("It is.")},
        row2=picture | {"description": "A part was pasted in."},
        row3=picture | {"mask": "masks/2.png"},
        row4=picture | {"dialogue": says("Yes.")},
    )
    mask = np.roll(MASK, 20, axis=0)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(root / "masks/2.png")
    report = check(root)
    assert [(f.level, f.line, f.kind) for f in report.findings] == [("error", 5, "duplicate")]
    assert "line 1" in report.findings[0].text
    # The same picture and mask under other names say nothing new.
    build(row2={"dialogue": says("Yes.")}, row0={"dialogue": says("Yes.")})
    for folder in ("images", "masks"):
        (root / folder / "2.png").write_bytes((root / folder / "0.png").read_bytes())
    assert [(f.line, f.kind) for f in check(root).findings] == [(3, "duplicate")]


def test_records_of_one_picture_agree(build: Build) -> None:
    same = {"image": "images/0.png", "caption": "A cup."}
    assert kinds(check(build(count=2, row1=same))) == ["contradiction"]
    forged = same | {"label": "forged", "mask": "masks/0.png"}
    root = build(count=2, row0={"split": "train"}, row1=forged | {"split": "test"})
    assert kinds(check(root)) == ["leak"]


def test_near_duplicates_in_several_splits(build: Build, crops: list[np.ndarray]) -> None:
    root = build(row1={"split": "train"}, row3={"split": "test"})
    Image.fromarray(crops[1]).resize((80, 80)).save(root / "images/3.png")
    assert kinds(check(root)) == ["near-duplicates"]
    assert check(root).errors == 0
    (root / "manifest.jsonl").write_text((root / "manifest.jsonl").read_text().replace('"test"', '"train"'))
    assert check(root).findings == [], "within one split they do no harm"


def test_inline_masks_are_checked(build: Build) -> None:
    broken = {"size": [SIZE, SIZE], "counts": "zz"}
    wrong = {"size": [4, 4], "counts": [8, 8]}
    assert kinds(check(build(row0={"mask": broken}, row2={"mask": wrong}))) == ["mask", "mask size"]


def turn(role: str, content: str, *ids: str) -> Message:
    return Message.model_validate({"role": role, "content": content, "evidence_ids": ids})


ASK = turn("user", "<image>\nAltered?")
SAY = turn("assistant", "Yes.")


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ([], []),
        ([ASK, SAY], []),
        ([turn("system", "Be brief."), ASK, SAY, turn("user", "Sure?"), SAY], []),
        ([ASK, turn("assistant", "measure noise on R1"), turn("tool", "2.5"), SAY], []),
        ([SAY, ASK, SAY], ["role order"]),
        ([ASK, ASK, SAY], ["placeholder", "role order"]),
        ([ASK], ["role order"]),
        ([ASK, turn("tool", "2.5"), SAY], ["role order"]),
        ([ASK, SAY, turn("system", "x")], ["role order", "role order"]),
        ([turn("user", "Altered?"), SAY], ["placeholder"]),
        ([turn("user", "Hello"), SAY, ASK, SAY], ["placeholder"]),
        ([ASK, turn("assistant", "<image>")], ["placeholder"]),
        ([ASK, turn("assistant", " ")], ["empty turn"]),
        ([ASK, turn("assistant", "Noise [E1, E2] and E9 in words.")], []),
        ([ASK, turn("assistant", "Noise [E1; E7].")], ["unknown evidence"]),
        ([ASK, turn("assistant", "Noise.", "E3")], ["unknown evidence"]),
    ],
)
def test_dialogues(turns: list[Message], wanted: list[str]) -> None:
    assert sorted(kind for kind, _ in dialogue_problems(tuple(turns), {"E1", "E2"})) == wanted


@pytest.mark.parametrize(
    ("region", "wanted"),
    [
        ({"id": "R1", "box_xyxy": [0, 0, SIZE, SIZE], "mask": "masks/0.png"}, []),
        ({"box_xyxy": [0, 0, SIZE + 1, 5]}, ["region"]),
        ({"box_xyxy": [5, 5, 5, 9]}, ["region"]),
        ({"mask": "../m.png"}, ["region"]),
        ({"mask": {"size": [2, 2], "counts": [4]}}, ["region"]),
    ],
)
def test_regions_lie_in_the_picture(region: dict[str, Any], wanted: list[str], build: Build) -> None:
    turns = [{"role": "user", "content": "<image>", "region": region}, {"role": "assistant", "content": "Yes."}]
    assert kinds(check(build(row0={"dialogue": turns}))) == wanted


def test_evidence_ids_are_unique(build: Build) -> None:
    evidence = Evidence(id="E1", instrument="n", instrument_version="1", kind="fact", trace="t", quantity="q")
    assert kinds(check(build(row0={"evidence": [evidence.model_dump(mode="json")] * 2}))) == ["evidence"]


def test_folders_without_a_manifest(build: Build) -> None:
    root = build()
    (root / "manifest.jsonl").unlink()
    report = check(root)
    assert report.findings == []
    assert report.counts["label"] == {"forged": 2, "authentic": 2}
    (root / "masks/9.png").write_bytes((root / "masks/0.png").read_bytes())
    assert kinds(check(root)) == ["unpaired"]
    assert check(root / "images").counts["label"] == {"unknown": 4}
    with pytest.raises(SourceError, match=r"manifest\.jsonl"):
        check(root / "nowhere")


def test_command_line(build: Build, tmp_path: Path) -> None:
    root = build()
    clean = RUNNER.invoke(app, [str(root)])
    assert clean.exit_code == 0
    assert "0 errors, 0 warnings" in clean.output
    (root / "images/2.png").unlink()
    wrong = RUNNER.invoke(app, [str(root / "manifest.jsonl")])
    assert wrong.exit_code == 1
    assert "line 3" in wrong.output
    data = json.loads(RUNNER.invoke(app, [str(root), "--json"]).output)
    assert (data["errors"], data["findings"][0]["kind"]) == (1, "missing file")
    nothing = RUNNER.invoke(app, [str(tmp_path / "nowhere")])
    assert nothing.exit_code == 2
    assert "Traceback" not in nothing.output


def test_an_empty_list_is_an_error(tmp_path: Path) -> None:
    write_jsonl([], tmp_path / "m.jsonl")
    assert kinds(check(tmp_path / "m.jsonl")) == ["empty"]


def test_records_are_enough(tmp_path: Path) -> None:
    write_jsonl([Record(image="a.png")], tmp_path / "m.jsonl")
    assert kinds(check(tmp_path / "m.jsonl")) == ["missing file"]
