"""The fuzzer: reproducible, its start files are sound, it notices what it is for, and a small run finds nothing."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fakeexplain.imaging.source import READABLE_FORMATS, SourceImage
from fakeexplain.imaging.worker import load_guarded

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("fuzz")


@pytest.fixture
def fuzz_seeds(fuzz):
    return importlib.import_module("fuzz_seeds")


def test_every_start_file_is_a_picture_and_every_format_is_there(fuzz_seeds):
    found = {}
    for name, data in fuzz_seeds.seeds().items():
        found[name] = load_guarded(data)
        assert np.array_equal(found[name].rgb, SourceImage.from_bytes(data).rgb)
    assert {s.format for s in found.values()} == set(READABLE_FORMATS)
    assert found["heic"].rgb.std() > 30  # decoded, not blank
    assert found["png 16"].bit_depth == 16


def test_files_are_reproducible_and_different(fuzz):
    one, two = fuzz.Cases(3, None), fuzz.Cases(3, None)
    assert [one[n] for n in (0, 7, 40)] == [two[n] for n in (0, 7, 40)]
    assert len({one[n][2] for n in range(60)}) > 55
    assert one[5] != fuzz.Cases(4, None)[5]


def test_mended_png_has_right_checksums(fuzz, fuzz_seeds):
    data = fuzz_seeds.seeds()["png rgb"]
    assert fuzz.mend_png(data) == data
    damaged = data.replace(data[29:33], b"\0\0\0\0", 1)
    assert damaged != data
    assert fuzz.mend_png(damaged) == data


@pytest.mark.parametrize(
    ("body", "outcome"),
    [("import os; os._exit(11)", "main process crashed"), ("import time; time.sleep(60)", "main process hung")],
)
def test_a_runner_that_dies_or_hangs_is_noticed_and_replaced(fuzz, monkeypatch, tmp_path, body, outcome):
    fake = tmp_path / "fake.py"
    fake.write_text(
        "import json, sys\n"
        "first = int(sys.argv[sys.argv.index('--first') + 1])\n"
        "print(json.dumps({'number': first, 'begin': True}), flush=True)\n"
        f"if first == 1:\n    {body}\n"
        "row = {'number': first, 'start': 'x', 'outcome': 'decoded', 'note': '', 'seconds': 0}\n"
        "print(json.dumps(row), flush=True)\n"
        "for n in range(first + 1, 3):\n"
        "    print(json.dumps({'number': n, 'begin': True}), flush=True)\n"
        f"    if n == 1:\n        {body}\n"
        "    print(json.dumps(row | {'number': n}), flush=True)\n"
    )
    monkeypatch.setattr(fuzz, "__file__", str(fake))
    monkeypatch.setattr(fuzz, "SILENCE_SECONDS", 3)
    arguments = argparse.Namespace(first=0, count=3, seed=0, seconds=5, examine=False, seeds=None)
    rows = fuzz.supervise(arguments)
    assert [(r["number"], r["outcome"]) for r in rows] == [(0, "decoded"), (1, outcome), (2, "decoded")]
    assert fuzz.print_table(rows) is False
    assert fuzz.print_table([rows[0], rows[2]]) is True


def test_an_exception_that_escapes_is_noticed(fuzz, fuzz_seeds, monkeypatch):
    def broken(self, source):
        raise KeyError("oops")

    monkeypatch.setattr("fakeexplain.instruments.metadata.Metadata.examine", broken)
    from fakeexplain.imaging.worker import Limits

    assert fuzz._decoded(fuzz_seeds.seeds()["gif"], Limits())[0] == "wrong exception"


def test_a_small_run_finds_nothing():
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), "--count", "150", "--seed", "11"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 150 |" in done.stdout


@pytest.mark.parametrize("name", ["png text", "png profile", "tiff loop", "tiff subloop", "tiff counts", "gif frames"])
def test_small_bombs_stay_small(fuzz, fuzz_seeds, monkeypatch, name):
    """The large ones, which need up to 1.6 GiB, are measured by `benchmarks/fuzz.py --bombs`."""
    monkeypatch.setattr(fuzz_seeds, "_zeros", lambda size, real=fuzz_seeds._zeros: real(min(size, 1 << 27)))
    data = fuzz_seeds.bombs()[name]()
    load_guarded(fuzz_seeds.seeds()["gif"])
    fuzz.worker_peak(reset=True)
    from fakeexplain.imaging.worker import Limits

    assert fuzz._decoded(data, Limits())[0] in ("decoded", "refused")
    peak = fuzz.worker_peak()
    assert 0 < peak < 300 or sys.platform != "linux"
