"""The guarded worker: the same pictures as in-process decoding, and whatever goes wrong costs one file."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fakeexplain.errors import ImageTooLargeError, SettingsError, SourceError, UnsupportedImageError
from fakeexplain.imaging import worker
from fakeexplain.imaging.source import DEFAULT_MAX_MEGAPIXELS, SourceImage
from fakeexplain.imaging.worker import (
    DecoderCrashError,
    DecoderMemoryError,
    DecoderTimeoutError,
    Limits,
    load_guarded,
    renamed,
    start_worker,
    stop_worker,
)
from fakeexplain.instruments.metadata import Metadata
from fakeexplain.provenance.reading import prepare_provenance, read_provenance
from tests.pictures import encode, photograph
from tests.unit.test_source import png_of
from tests.unit.worker_cases import dies, dies_once, hangs, notes_process, prints, swells

RGB = photograph("astronaut")[:200, :240]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(autouse=True, scope="module")
def fresh_worker():
    yield
    stop_worker()


# ---- the same picture ----


@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        ("JPEG", {"quality": 90, "icc_profile": PROFILE}),
        ("JPEG", {"quality": 60, "progressive": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("AVIF", {}),
    ],
)
def test_guarded_equals_direct_loading(format_name, options):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(RGB, format_name, **options, **({"exif": exif} if format_name in ("JPEG", "PNG") else {}))
    direct, guarded = SourceImage.from_bytes(data, name="a"), load_guarded(data, name="a")
    assert guarded.data is data
    for field in dataclasses.fields(SourceImage):
        if field.name not in ("rgb", "jpeg"):
            assert getattr(guarded, field.name) == getattr(direct, field.name), field.name
    assert np.array_equal(guarded.rgb, direct.rgb)
    assert not guarded.rgb.flags.writeable
    assert guarded.facts() == direct.facts()
    assert np.array_equal(guarded.luma, direct.luma)
    assert np.array_equal(guarded.display_rgb, direct.display_rgb)
    assert (guarded.luma_coefficients is None) == (direct.luma_coefficients is None)
    if direct.luma_coefficients is not None:
        assert np.array_equal(guarded.luma_coefficients, direct.luma_coefficients)


def test_a_large_picture_arrives_whole():
    rgb = np.random.default_rng(1).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    guarded = load_guarded(encode(rgb, "BMP"))
    assert np.array_equal(guarded.rgb, rgb)
    first = guarded.rgb
    load_guarded(encode(255 - rgb, "BMP"))
    assert np.array_equal(first, rgb)  # later files do not write into arrays handed over before


def test_coefficients_are_handed_over_and_not_read_again(monkeypatch):
    guarded = load_guarded(encode(RGB, "JPEG", quality=90, icc_profile=PROFILE))
    monkeypatch.setattr("fakeexplain.imaging.source.read_luma_coefficients", None)
    monkeypatch.setattr("fakeexplain.imaging.source.ImageCms", None)
    guarded = renamed(guarded, "b\x1b.jpg")
    assert guarded.name == "b?.jpg"
    assert guarded.luma_coefficients.shape == (25, 30, 8, 8)
    assert guarded.display_rgb.shape == RGB.shape


def test_metadata_are_parsed_in_the_worker_and_not_again(monkeypatch):
    data = encode(RGB, "JPEG", quality=90)
    direct = Metadata().examine(SourceImage.from_bytes(data))
    guarded = load_guarded(data, prepare=prepare_provenance)
    monkeypatch.setattr("fakeexplain.provenance.reading.read_blocks", None)
    assert Metadata().examine(guarded) == direct


def test_one_process_serves_all_and_frees_nothing_to_the_next():
    ids = {vars(load_guarded(encode(RGB), prepare=notes_process))["_note"][0] for _ in range(3)}
    assert len(ids) == 1
    assert os.getpid() not in ids
    with ThreadPoolExecutor(4) as pool:
        sources = list(pool.map(load_guarded, [encode(RGB[: 20 + i]) for i in range(12)]))
    assert [s.height for s in sources] == [20 + i for i in range(12)]


# ---- refusals are those of direct loading ----


@pytest.mark.parametrize("data", [b"", b"no picture", png_of(30000, 30000), encode(RGB, "JPEG")[:300]])
def test_refusals_are_the_same(data):
    with pytest.raises(SourceError) as direct:
        SourceImage.from_bytes(data, name="a")
    with pytest.raises(SourceError) as guarded:
        load_guarded(data, name="a")
    assert type(guarded.value) is type(direct.value)
    assert str(guarded.value) == str(direct.value)


def test_paths_and_their_errors(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(RGB))
    assert load_guarded(tmp_path / "a.png").name == str(tmp_path / "a.png")
    with pytest.raises(SourceError, match="no such file"):
        load_guarded(tmp_path / "b.png")
    with pytest.raises(SourceError, match="is a folder"):
        load_guarded(tmp_path)
    with pytest.raises(ImageTooLargeError):
        load_guarded(tmp_path / "a.png", Limits(max_megapixels=0.01))
    with pytest.raises(UnsupportedImageError):
        load_guarded(b"xx")


def test_limits_are_checked_and_the_default_is_that_of_the_library():
    assert Limits().max_megapixels == DEFAULT_MAX_MEGAPIXELS
    for wrong in ({"seconds": 0}, {"seconds": float("nan")}, {"memory_bytes": 1}, {"max_megapixels": -1}):
        with pytest.raises(SettingsError):
            Limits(**wrong)


# ---- whatever goes wrong costs one file ----


@pytest.mark.parametrize("prepare", [dies, hangs, swells])
def test_a_failure_after_decoding_costs_that_stage_only(prepare):
    limits = Limits(seconds=5, memory_bytes=512 << 20)
    source = load_guarded(encode(RGB, "JPEG", quality=90), limits, prepare=prepare)
    assert source.rgb.shape == RGB.shape
    assert source.luma_coefficients is not None
    reason = {dies: "crashed", hangs: "longer than 5 s", swells: "more than 0.5 GiB"}[prepare]
    assert reason in vars(source)["_note"]
    assert any(reason in r and "metadata" in r for r in source.remarks)
    assert load_guarded(encode(RGB)).rgb.shape == RGB.shape


def test_a_parser_that_dies_is_told_as_a_fact(monkeypatch):
    def broken(source, failure=""):
        raise AssertionError("runs in the worker only")

    source = load_guarded(encode(RGB, "JPEG", quality=90), prepare=dies)
    prepare_provenance(source, "the decoder crashed")
    monkeypatch.setattr("fakeexplain.provenance.reading.read_blocks", broken)
    facts = {e.trace: e for e in Metadata().examine(source)}
    assert facts["broken_metadata"].value == "the decoder crashed"
    assert facts["content_credentials_unreadable"].reference_text == "the decoder crashed"
    assert read_provenance(source, "other anchors").failure


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("ctypes.string_at(0)", DecoderCrashError, "the decoder crashed"),
        ("os._exit(0)", DecoderCrashError, "the decoder crashed"),
        ("time.sleep(60)", DecoderTimeoutError, "took longer than 5 s"),
        ("bytearray(1 << 31)", DecoderMemoryError, "needed more than 0.5 GiB"),
    ],
)
def test_a_decoder_that_breaks_a_limit_costs_one_file(monkeypatch, tmp_path, body, error, words):
    """In the worker, and in it only, a module found first registers a BMP codec that misbehaves."""
    load_guarded(encode(RGB))  # this process has the real module by now
    (tmp_path / "pi_heif.py").write_text(
        "import ctypes, os, time\n"
        "from PIL import BmpImagePlugin\n"
        "def load(self, *rest):\n"
        f"    {body}\n"
        "def register_heif_opener():\n"
        "    BmpImagePlugin.BmpImageFile.load = load\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    stop_worker()
    try:
        with pytest.raises(error, match=words) as told:
            load_guarded(encode(RGB, "BMP"), Limits(seconds=5, memory_bytes=512 << 20), name="a.bmp")
        assert str(told.value).startswith("a.bmp: ")
        assert "\n" not in str(told.value)
        assert load_guarded(encode(RGB)).rgb.shape == RGB.shape
    finally:
        stop_worker()


def test_a_worker_damaged_by_an_earlier_file_is_not_blamed_on_the_next(tmp_path):
    """The first death of a worker that has served other files is tried again in a fresh one."""
    flag = tmp_path / "flag"
    load_guarded(encode(RGB))
    flag.touch()
    source = load_guarded(encode(RGB), prepare=functools.partial(dies_once, flag=str(flag)))
    assert vars(source)["_note"] == "done"
    assert source.remarks == ()


def test_nothing_that_libraries_print_reaches_the_terminal(capfd):
    stop_worker()
    load_guarded(encode(RGB), prepare=prints)
    assert capfd.readouterr() == ("", "")


def test_temporary_files_of_a_dead_worker_are_removed():
    _, folder = vars(load_guarded(encode(RGB), prepare=notes_process))["_note"]
    assert Path(folder).is_dir()
    assert Path(folder) != Path(tempfile.gettempdir())
    load_guarded(encode(RGB), prepare=dies)
    assert not Path(folder).exists()


def test_starting_does_not_wait_and_imports_nothing_heavy():
    code = (
        "import sys, time\n"
        "from fakeexplain.imaging.worker import start_worker\n"
        "start_worker()\n"
        "print(sorted(m for m in ('numpy', 'cv2', 'PIL', 'pydantic') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_a_script_without_a_main_guard_is_not_run_twice(tmp_path):
    """multiprocessing's spawn would import the caller's script in the child."""
    (tmp_path / "picture.png").write_bytes(encode(RGB))
    script = tmp_path / "script.py"
    script.write_text(
        "from fakeexplain.imaging.worker import load_guarded\n"
        f"print(load_guarded({str(tmp_path / 'picture.png')!r}).height)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("200\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gets_a_worker_of_its_own():
    mine = vars(load_guarded(encode(RGB), prepare=notes_process))["_note"][0]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            theirs = vars(load_guarded(encode(RGB), prepare=notes_process))["_note"][0]
            os.write(write, str(theirs).encode())
            stop_worker()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) not in (b"", str(mine).encode())
    assert vars(load_guarded(encode(RGB), prepare=notes_process))["_note"][0] == mine


def test_the_worker_ends_with_its_caller():
    code = (
        "import os, signal\n"
        "from fakeexplain.imaging import worker\n"
        "worker.start_worker()\n"
        "print(worker._shared._process.pid, worker._shared._scratch, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid, folder = done.stdout.split()
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            break
        if state == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker outlived its caller")
    assert not Path(folder).exists()


def test_start_worker_twice_keeps_the_process():
    start_worker()
    first = worker._shared._process
    start_worker()
    assert worker._shared._process is first


def test_an_interrupt_does_not_leave_an_answer_for_the_next_file(monkeypatch):
    load_guarded(encode(RGB))
    real = worker.receive

    def interrupted(*rest):
        monkeypatch.setattr(worker, "receive", real)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_guarded(encode(RGB))
    assert load_guarded(encode(RGB[:50]), name="next").height == 50


def test_truncated_answers_are_a_crash():
    with pytest.raises(EOFError):
        worker.receive(io.BytesIO(b"\x00" * 10))
