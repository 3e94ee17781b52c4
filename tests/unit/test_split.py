"""Splits never cut a group, keep the strata in proportion and come out the same again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from PIL import Image
from typer.testing import CliRunner

from data_tools.schema import Record, Split, read_jsonl, write_jsonl
from data_tools.split import SPLITS, app, divide, group
from fakeexplain.errors import SettingsError
from fakeexplain.imaging.perceptual import Groups, near_pairs, perceptual_hash

SHARES: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
RUNNER = CliRunner()
NAMES = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "camera.png", "brick.png", "grass.png")


def photographs() -> list[np.ndarray]:
    """uint8 HxWx3 of skimage's wheel."""
    found = []
    for name in NAMES:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
            found.append(np.asarray(image.convert("RGB")))
    return found


def many(count: int, seed: int = 0) -> list[Record]:
    """Records of photographs that each have one to six pictures, a rare operation among them."""
    rng = np.random.default_rng(seed)
    records: list[Record] = []
    photo = 0
    while len(records) < count:
        for _ in range(int(rng.integers(1, 7))):
            operation = ("", "splice", "copy_move", "removal")[int(rng.choice(4, p=(0.5, 0.25, 0.2, 0.05)))]
            row = {
                "image": f"images/{len(records)}.png",
                "label": "forged" if operation else "authentic",
                "operation": operation,
                "source": f"photo{photo}",
            }
            records.append(Record.from_row(row))
        photo += 1
    return records


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_hash_survives_processing_and_tells_photographs_apart() -> None:
    hashes = []
    for rgb in photographs():
        value = perceptual_hash(rgb)
        assert value is not None
        half = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
        for other in (half, jpeg, (rgb * 0.8).astype(np.uint8)):
            near = perceptual_hash(np.ascontiguousarray(other))
            assert near is not None
            assert bits(value, near) <= 8
        hashes.append(value)
    assert min(bits(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 12
    assert perceptual_hash(np.full((50, 60, 3), 7, np.uint8)) is None


def test_near_pairs_equal_brute_force() -> None:
    rng = np.random.default_rng(3)
    values: list[int | None] = [int(v) for v in rng.integers(0, 2**63, 300)]
    for _ in range(200):  # neighbours at all small distances
        value = values[int(rng.integers(300))]
        assert value is not None
        for bit in rng.choice(64, int(rng.integers(0, 14)), replace=False):
            value ^= 1 << int(bit)
        values.append(value)
    values.append(None)
    values.append(None)
    for distance in (0, 4, 8):
        wanted = [
            (i, j)
            for j, b in enumerate(values)
            for i, a in enumerate(values[:j])
            if a is not None and b is not None and bits(a, b) <= distance
        ]
        assert near_pairs(values, distance) == sorted(wanted)
    assert near_pairs([], 4) == near_pairs([None], 4) == []


def test_groups_join_transitively() -> None:
    groups = Groups(6)
    groups.join(4, 2)
    groups.join(5, 4)
    assert [groups.find(i) for i in range(6)] == [0, 1, 2, 3, 2, 2]


def test_what_binds_records() -> None:
    records = [
        Record(image="a.png", source="x"),
        Record(image="b.png", source="x"),
        Record(image="c.png", source="y", donors=("x",)),
        Record(image="d.png", sha256="a" * 64),
        Record(image="e.png", sha256="a" * 64),
        Record(image="f.png"),
        Record(image="g.png"),
        Record.from_row({"image": "h.png", "photo": "p_1.jpg", "donors": ["q_0.jpg"]}),
        Record.from_row({"image": "i.png", "photo": "q_2.jpg"}),
    ]
    hashes: list[int | None] = [None] * 5 + [0b1111, 0b1110] + [None] * 2
    assert group(records, hashes, 1) == [0, 0, 0, 3, 3, 5, 5, 7, 7]
    assert group(records, hashes, 0) == [0, 0, 0, 3, 3, 5, 6, 7, 7]
    assert group(records, hashes, 1, donors=False) == [0, 0, 2, 3, 3, 5, 5, 7, 8]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_photograph_is_cut_and_the_strata_are_kept(seed: int) -> None:
    records = many(1000, seed)
    division = divide(records, group(records, [None] * len(records)), SHARES, seed)
    of_photo: dict[str, set[str | None]] = {}
    for record in division.records:
        of_photo.setdefault(record.source, set()).add(record.split)
    assert all(len(splits) == 1 for splits in of_photo.values())
    assert [r.image for r in division.records] == [r.image for r in records]
    for name in SPLITS:
        assert division.sizes[name] == pytest.approx(1000 * SHARES[name], abs=15)
    for (label, operation), counts in division.strata.items():
        total = sum(counts.values())
        assert total == sum(r.label == label and r.operation == operation for r in records)
        for name in SPLITS:
            assert counts[name] == pytest.approx(total * SHARES[name], abs=max(4, 0.03 * total)), (label, operation)


@pytest.mark.parametrize("seed", range(8))
def test_large_groups_find_room(seed: int) -> None:
    sizes = [30, 20, 9] + [1] * 41
    records = [Record(image=f"{g}-{i}.png", source=f"g{g}") for g, size in enumerate(sizes) for i in range(size)]
    division = divide(records, group(records, [None] * len(records)), SHARES, seed)
    assert division.sizes == {"train": 80, "val": 10, "test": 10}


def test_same_seed_same_split_whatever_the_order() -> None:
    records = many(200)
    none: list[int | None] = [None] * len(records)

    def splits(rows: list[Record], seed: int) -> dict[str, str | None]:
        return {r.image: r.split for r in divide(rows, group(rows, none), SHARES, seed).records}

    assert splits(records, 5) == splits(records, 5) == splits(records[::-1], 5)
    assert splits(records, 5) != splits(records, 6)


def test_shares_are_checked() -> None:
    records = many(5)
    with pytest.raises(SettingsError, match="add up to"):
        divide(records, [0] * 5, {"train": 0.8, "val": 0.1, "test": 0.3}, 0)
    with pytest.raises(SettingsError, match="no records"):
        divide([], [], SHARES, 0)
    only = divide(records, group(records, [None] * len(records)), {"train": 1.0, "val": 0.0, "test": 0.0}, 0)
    assert only.sizes == {"train": len(records), "val": 0, "test": 0}


def test_command_line(tmp_path: Path) -> None:
    pictures = photographs()
    (tmp_path / "images").mkdir()
    records = []
    for number, rgb in enumerate(pictures):
        for version, side in enumerate((200, 150)):  # the same photograph at two sizes, without a source
            name = f"images/{number}-{version}.png"
            Image.fromarray(rgb).resize((side, side)).save(tmp_path / name)
            records.append(Record(image=name, label="authentic"))
    file = tmp_path / "manifest.jsonl"
    write_jsonl(records, file)
    arguments = [str(tmp_path), "--train", "0.5", "--val", "0.25", "--test", "0.25"]
    result = RUNNER.invoke(app, [*arguments, "--out", str(tmp_path / "split.jsonl")])
    assert result.exit_code == 0, result.output
    assert "14 records in 7 groups" in result.output
    split = {r.image: r.split for r in read_jsonl(tmp_path / "split.jsonl")}
    assert all(split[f"images/{n}-0.png"] == split[f"images/{n}-1.png"] for n in range(7))
    assert set(Counter(split.values())) == set(SPLITS)
    assert all(r.split is None for r in read_jsonl(file)), "the input is left as it was"
    elsewhere = RUNNER.invoke(app, [*arguments, "--out", str(tmp_path / "sub" / "x.jsonl")])
    assert elsewhere.exit_code == 2
    assert "beside" in elsewhere.output
    wrong = RUNNER.invoke(app, [str(tmp_path), "--train", "0.5"])
    assert wrong.exit_code == 2
    (tmp_path / "images/0-0.png").unlink()
    missing = RUNNER.invoke(app, [str(tmp_path)])
    assert missing.exit_code == 1
    assert "Traceback" not in missing.output
