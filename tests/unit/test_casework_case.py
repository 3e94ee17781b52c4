"""The case folder: bit-exact originals, statuses, hostile names and links; crashes, rivals and full disks."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fakeexplain.casework import storage, transaction
from fakeexplain.casework.case import Case
from fakeexplain.casework.errors import CaseDamagedError, CaseError, CaseLockedError
from fakeexplain.casework.storage import locked
from fakeexplain.casework.verify import verify
from fakeexplain.errors import OutputError, SourceError
from fakeexplain.examiner import Examiner
from tests.unit.cases import FAST, new_case, small_png


def test_originals_are_kept_bit_by_bit_and_read_only(tmp_path):
    data = small_png() + b"trailing \x00 bytes"
    outside = tmp_path / "photo.png"
    outside.write_bytes(data)
    outside.chmod(0o444)
    before = outside.stat()
    case, _ = Case.create(tmp_path / "case")
    added, _ = case.add(outside)
    stored = case.path / "originals" / hashlib.sha256(data).hexdigest()
    assert stored.read_bytes() == data
    assert stat.S_IMODE(stored.stat().st_mode) == 0o444
    assert (added.item, added.again, added.received_name) == ("I1", False, "photo.png")
    after = outside.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_mode) == (before.st_mtime_ns, before.st_size, before.st_mode)


def test_the_same_bytes_are_recognised_under_another_name(tmp_path):
    case = new_case(tmp_path, small_png())
    (tmp_path / "copy.png").write_bytes(small_png())
    added, _ = case.add(tmp_path / "copy.png")
    assert (added.item, added.again) == ("I1", True)
    assert len(list((case.path / "originals").iterdir())) == 1
    assert [a.received_name for _, a in case.state().items["I1"].receipts] == ["received 1.bin", "copy.png"]
    assert verify(case.path).intact


def test_a_source_that_changes_meanwhile_is_not_recorded(tmp_path, monkeypatch):
    case = new_case(tmp_path)
    growing = tmp_path / "growing.bin"
    growing.write_bytes(b"first")
    real = storage.hash_regular

    def grown(path, **options):
        if options.get("follow"):
            growing.write_bytes(b"first and second")
        return real(path, **options)

    monkeypatch.setattr(storage, "hash_regular", grown)
    with pytest.raises(SourceError, match="changed while it was copied"):
        case.add(growing)
    monkeypatch.undo()
    assert not case.state().items
    assert verify(case.path).intact


@pytest.mark.parametrize(
    "name", ["..", "a b\n<script>\x1b[31m.png", "=cmd().png", "-rf", "…/\u202e.png", b"\xff\xfe.png"]
)
def test_received_names_are_data(tmp_path, name):
    case = new_case(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    if name == "..":
        with pytest.raises(SourceError, match="not a regular file"):
            case.add(folder / name)
        return
    outside = Path(os.fsdecode(os.path.join(os.fsencode(folder), os.fsencode(name).replace(b"/", b"_"))))
    outside.write_bytes(small_png())
    case.add(outside)
    case.examine("I1", Examiner(FAST))
    assert case.state().items["I1"].name == outside.name
    assert sorted(p.name for p in case.path.iterdir()) == ["examinations", "lock", "log.jsonl", "originals", "staging"]
    assert verify(case.path, recompute_all=True).intact


def test_pipes_folders_and_missing_files_are_refused(tmp_path):
    case = new_case(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for bad in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        with pytest.raises(SourceError, match="cannot be read"):
            case.add(bad)
    assert len(case.state().entries) == 1


def test_links_are_not_followed_into_or_out_of_a_case(tmp_path):
    case = new_case(tmp_path, small_png())
    (tmp_path / "link").symlink_to(case.path)
    with pytest.raises(CaseError, match="symbolic link"):
        Case(tmp_path / "link")
    elsewhere = tmp_path / "elsewhere"
    shutil.move(case.path / "originals", elsewhere)
    (case.path / "originals").symlink_to(elsewhere)
    (tmp_path / "new.png").write_bytes(small_png("coffee"))
    with pytest.raises(CaseError, match="symbolic link"):
        case.add(tmp_path / "new.png")
    assert len(list(elsewhere.iterdir())) == 1
    assert any("link" in p for p in verify(case.path).problems)


def test_a_log_that_is_a_link_is_refused(tmp_path):
    case = new_case(tmp_path, small_png())
    shutil.move(case.path / "log.jsonl", tmp_path / "log")
    (case.path / "log.jsonl").symlink_to(tmp_path / "log")
    with pytest.raises(CaseDamagedError):
        case.note("I1", "remark")
    assert not verify(case.path).intact


def test_statuses_need_a_finding_and_a_reason(tmp_path):
    case = new_case(tmp_path, small_png(), small_png("coffee"), examine=True)
    for arguments, wanted in (
        (("I9", "x"), "no item"),
        (("I1", "   "), "empty"),
    ):
        with pytest.raises(CaseError, match=wanted):
            case.note(*arguments)
    with pytest.raises(CaseError, match="belongs to a finding"):
        case.note("I1", "reason", status="accepted")
    with pytest.raises(CaseError, match="no evidence of X1"):
        case.note("I1", "reason", evidence="E99", status="accepted")
    with pytest.raises(CaseError, match="no examination of I1"):
        case.note("I1", "reason", evidence="E1", examination="X2")
    assert case.state().status_of("X1", "E1") is None
    case.note("I1", "as the agency confirms", evidence="E1", status="accepted")
    case.note("I1", "on second thoughts", evidence="E1", status="needs second opinion")
    case.note("I1", "only a remark", evidence="E1")
    last = case.state().status_of("X1", "E1")
    assert (last.note.status, last.note.text) == ("needs second opinion", "on second thoughts")
    assert case.state().status_of("X2", "E1") is None


def test_what_cannot_be_examined_is_recorded_too(tmp_path):
    case = new_case(tmp_path, b"no picture")
    with pytest.raises(SourceError, match="not a readable image"):
        case.examine("I1", Examiner(FAST))
    item = case.state().items["I1"]
    assert "not a readable image" in item.failures[0][1]
    assert verify(case.path).intact


def test_nothing_is_added_to_a_damaged_case(tmp_path):
    case = new_case(tmp_path, small_png())
    log = case.path / "log.jsonl"
    data = log.read_bytes()
    log.write_bytes(data.replace(b'"size":', b'"size":1', 1))
    damaged = log.read_bytes()
    with pytest.raises(CaseDamagedError, match="nothing was added"):
        case.note("I1", "remark")
    assert log.read_bytes() == damaged


# --- crashes


def every_state(monkeypatch, case: Case, act, folder: Path) -> list[Path]:
    """Copies of the case before every call that changes the disk while `act` runs: each a state a crash can leave."""
    copies: list[Path] = []

    def snapshot() -> None:
        copies.append(folder / f"crash {len(copies)}")
        shutil.copytree(case.path, copies[-1])

    for name in ("write", "rename", "mkdir", "fsync", "fchmod", "unlink", "rmdir"):
        real = getattr(os, name)

        def recorded(*arguments, _real=real, **options):
            if not busy:
                busy.append(True)
                snapshot()
                busy.clear()
            return _real(*arguments, **options)

        monkeypatch.setattr(os, name, recorded)
    busy: list[bool] = []
    act()
    monkeypatch.undo()
    return copies


@pytest.mark.parametrize("action", ["add", "examine", "note"])
def test_every_state_that_a_crash_can_leave_is_mended(tmp_path, monkeypatch, action):
    case = new_case(tmp_path, small_png())
    (tmp_path / "more.png").write_bytes(small_png("coffee"))
    acknowledged = case.note("I1", "acknowledged")[1]
    acts = {
        "add": lambda: case.add(tmp_path / "more.png"),
        "examine": lambda: case.examine("I1", Examiner(FAST)),
        "note": lambda: case.note("I1", "another"),
    }
    copies = every_state(monkeypatch, case, acts[action], tmp_path)
    assert len(copies) > 5 or action == "note"
    outcomes = set()
    for copy in copies:
        revived = Case(copy)
        revived.note("I1", "after the crash")
        found = verify(copy, expect=acknowledged)
        assert found.intact, (copy, found.problems)
        assert not list((copy / "staging").iterdir())
        outcomes.add(found.entries)
    assert outcomes <= {4, 5}  # whole or not at all
    assert 4 in outcomes


def test_a_torn_last_line_is_set_aside_and_said_so(tmp_path):
    case = new_case(tmp_path, small_png())
    log = case.path / "log.jsonl"
    whole = log.read_bytes()
    case.note("I1", "this one is torn")
    line = log.read_bytes()[len(whole) :]
    for cut in (1, 10, len(line) // 2, len(line) - 2):
        log.write_bytes(whole + line[:cut])
        assert any("end of line" in p for p in verify(case.path).problems)
        again = Case(case.path)
        again.note("I1", "next")
        assert any("not finished" in n for n in again.notices)
        state = again.state()
        assert [e.action for e in state.entries] == ["new", "add", "recover", "note"]
        assert state.entries[2].payload["sha256"] == hashlib.sha256(line[:cut]).hexdigest()
        found = verify(case.path)
        assert found.intact
        assert any("set aside" in r for r in found.remarks)
    log.write_bytes((whole + line)[:-1])  # only the end of line is missing: nothing is lost
    again = Case(case.path)
    again.note("I1", "next")
    assert [r.note.text for r in again.state().remarks] == ["this one is torn", "next"]


def test_killed_at_random_moments(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "case_durability.py"
    command = [sys.executable, str(script), "--kills", "6", "--changes", "25", "--folder", str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| kills with an acknowledged entry lost | 0 of 6 |" in done.stdout


# --- rivals

_WORKER = """
import sys
from fakeexplain.casework.case import Case
case = Case(sys.argv[1])
for number in range(6):
    case.note("I1", f"{sys.argv[2]} {number}")
    print(case.add(sys.argv[3 + number])[0].item, flush=True)
"""


def test_two_processes_at_once(tmp_path):
    case = new_case(tmp_path, small_png())
    files = []
    for number in range(6):
        files.append(tmp_path / f"{number}.bin")
        files[-1].write_bytes(bytes([number]) * 1000)
    command = [sys.executable, "-c", _WORKER, str(case.path)]
    both = [
        subprocess.Popen([*command, name, *map(str, files)], stdout=subprocess.PIPE, text=True) for name in ("a", "b")
    ]
    outputs = [process.communicate(timeout=120)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]  # both got the same item for the same bytes
    state = case.state()
    assert len(state.items) == 7
    assert len(state.entries) == 2 + 2 * 12
    for name in ("a", "b"):
        said = [r.note.text for r in state.remarks if r.note.text.startswith(name)]
        assert said == [f"{name} {k}" for k in range(6)]
    assert verify(case.path).intact


def test_a_lock_is_waited_for_and_told(tmp_path):
    case = new_case(tmp_path, small_png())
    impatient = Case(case.path, lock_timeout=0.1)
    with locked(case.path / "lock", 1):
        with pytest.raises(CaseLockedError, match="another process"):
            impatient.note("I1", "remark")
        with pytest.raises(CaseLockedError):
            verify(case.path, lock_timeout=0.1)
    impatient.note("I1", "remark")
    (case.path / "lock").unlink()  # a lock file that was removed comes back
    impatient.note("I1", "remark")
    assert verify(case.path).intact


# --- full disks


def test_a_full_disk_leaves_the_case_as_it_was(tmp_path):
    case = new_case(tmp_path, small_png())
    (tmp_path / "large.bin").write_bytes(os.urandom(400_000))
    head = case.note("I1", "acknowledged")[1]
    log = (case.path / "log.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(OutputError, match="cannot be written"):
            case.add(tmp_path / "large.bin")
        with pytest.raises(OutputError, match="cannot be written"):
            case.note("I1", "x" * 400_000)  # the line is torn, then taken back
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (case.path / "log.jsonl").read_bytes() == log
    assert verify(case.path, expect=head).intact
    assert not list((case.path / "staging").iterdir())
    case.add(tmp_path / "large.bin")
    assert verify(case.path).intact


def test_no_room_to_put_files_in_place_is_mended_later(tmp_path, monkeypatch):
    case = new_case(tmp_path, small_png())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transaction, "publish", full)
    with pytest.raises(OutputError, match="is recorded, but its files are not in place"):
        case.examine("I1", Examiner(FAST))
    monkeypatch.undo()
    found = verify(case.path)
    assert found.intact
    assert any("puts it in place" in r for r in found.remarks)
    case.note("I1", "next")
    assert "now in place" in case.notices[0]
    assert (case.path / "examinations/X1/report.html").exists()
    assert not verify(case.path).remarks


def test_the_folder_of_a_new_case_must_be_free(tmp_path):
    new_case(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        Case.create(tmp_path / "case")
    (tmp_path / "empty").mkdir()
    Case.create(tmp_path / "empty")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        Case.create(tmp_path / "link")
    with pytest.raises(CaseError, match=r"holds no log.jsonl"):
        Case(tmp_path)


def test_weights_are_hashed_into_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(transaction, "weights_hashes", lambda: {"expert.safetensors": "ab" * 32})
    case = new_case(tmp_path, small_png(), examine=True)
    entries = case.state().entries
    assert entries[-1].weights == {"expert.safetensors": "ab" * 32}
    assert entries[1].weights == {}
    assert entries[-1].settings["instruments"] == ["metadata"]
    assert entries[-1].settings["expert"] is None
    assert entries[-1].versions["instrument:metadata"]
