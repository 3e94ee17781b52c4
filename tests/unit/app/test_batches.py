from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import batches
from app.errors import AppError, TooLargeError
from app.service import Service, ServiceLimits
from fakeexplain.errors import OutputError
from fakeexplain.examiner import Settings
from tests.pictures import encode

FACTS = Settings(instruments=("metadata",), expert=None)


@pytest.fixture
def made(tmp_path):
    with Service(
        FACTS, ServiceLimits(workers=1, max_bytes=100_000), cases=tmp_path / "cases", folder=tmp_path
    ) as service:
        yield service


def png(seed: int) -> bytes:
    return encode(np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8))


def test_a_batch_from_files_to_csv(made):
    files = [("b.png", png(1)), ("a.png", png(2)), ("a.png", png(3)), ("a.png", png(2)), ("=bad.png", b"no picture")]
    rows = batches.add_pictures(made, "monday", files)
    assert [(r.name, r.state) for r in rows] == [
        ("=bad.png", "waiting"),
        ("a-2.png", "waiting"),
        ("a.png", "waiting"),
        ("b.png", "waiting"),
    ]
    done = {r.name: r for r in batches.run_batch(made, "monday")}
    assert done["=bad.png"].state == "failed"
    assert "not a readable image" in done["=bad.png"].error
    assert {r.state for n, r in done.items() if n != "=bad.png"} == {"examined"}
    assert done["a.png"].label
    assert len(done["a.png"].sha256) == 64
    with Image.open(done["a.png"].thumbnail) as image:
        assert image.size == (64, 64)
    assert batches.batch_rows(made, "monday") == tuple(done[n] for n in sorted(done))
    table = list(csv.DictReader(io.StringIO(batches.batch_csv(made, "monday").data.decode())))
    assert len(table) == 4
    assert table[0]["picture"] == "'=bad.png"
    assert batches.list_batches(made) == ("monday",)


def test_a_batch_goes_on_where_it_stopped(made):
    batches.add_pictures(made, "b", [(f"{i}.png", png(i)) for i in range(4)])
    running = batches.run_batch(made, "b")
    stopped = [next(running), next(running)]
    running.close()
    assert [r.state for r in stopped] == ["examined", "examined"]
    assert [r.state for r in batches.batch_rows(made, "b")] == ["examined", "examined", "waiting", "waiting"]
    assert [r.state for r in batches.run_batch(made, "b")] == ["kept", "kept", "examined", "examined"]
    assert {r.state for r in batches.run_batch(made, "b")} == {"kept"}


def test_a_restarted_server_finds_the_table(tmp_path):
    for expected in ("examined", "kept"):
        with Service(FACTS, ServiceLimits(workers=1), cases=tmp_path / "cases", folder=tmp_path) as service:
            batches.add_pictures(service, "b", [("1.png", png(1))])
            assert [r.state for r in batches.run_batch(service, "b")] == [expected]


def test_names_and_limits(made):
    for name in ("..", "a/b", ""):
        with pytest.raises(AppError, match="batch name"):
            batches.add_pictures(made, name, [])
    with pytest.raises(TooLargeError):
        batches.add_pictures(made, "b", [("a.png", b"x" * 100_001)])
    rows = batches.add_pictures(made, "b", [("../../../evil.png", png(1))])
    assert [r.name for r in rows] == ["evil.png"]
    assert not (Path(made.cases).parent / "evil.png").exists()
    with pytest.raises(AppError, match="run it first"):
        batches.batch_csv(made, "b")


def test_a_batch_that_nobody_made(made):
    with pytest.raises(AppError, match="drop pictures first"):
        list(batches.run_batch(made, "never made"))


def test_results_that_cannot_be_written(made):
    batches.add_pictures(made, "b", [("1.png", png(1))])
    (batches.batch_folder(made, "b") / "results").write_bytes(b"in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        list(batches.run_batch(made, "b"))


def test_sorting():
    rows = [
        batches.BatchRow("c", label="no_evidence", probability=0.1),
        batches.BatchRow("b", label="manipulated", probability=0.7),
        batches.BatchRow("a"),
        batches.BatchRow("d", label="manipulated", probability=0.9),
        batches.BatchRow("e", label="inconclusive", probability=0.5),
    ]
    assert [r.name for r in batches.sorted_rows(rows)] == ["d", "b", "e", "c", "a"]
    assert [r.name for r in batches.sorted_rows(rows, "name")] == ["a", "b", "c", "d", "e"]
