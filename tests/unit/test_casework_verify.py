"""Verification: changed bytes, files missing, extra or writable, forged histories, recomputation with its tolerance."""

from __future__ import annotations

import errno
import json
import random
import shutil
from pathlib import Path

import pytest

from fakeexplain.casework import recompute as recompute_module
from fakeexplain.casework import verify as verify_module
from fakeexplain.casework.case import Case
from fakeexplain.casework.errors import CaseError
from fakeexplain.casework.log import make_line, read_log
from fakeexplain.casework.recompute import compare, recompute
from fakeexplain.casework.transaction import FIRST_PREVIOUS, weights_hashes
from fakeexplain.casework.verify import verify
from fakeexplain.errors import SettingsError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import mask_of_box, region_of_mask
from fakeexplain.records import Evidence
from tests.pictures import encode, photograph
from tests.unit.cases import FAST, new_case, private_jpeg, small_png


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    case = new_case(tmp_path_factory.mktemp("verify"), small_png(), private_jpeg(), examine=True)
    case.note("I1", "a reason", evidence="E1", status="rejected")
    return case.path


@pytest.fixture
def case_path(pristine, tmp_path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "case"))


def problems(path: Path) -> str:
    return "\n".join(verify(path).problems)


def test_an_untouched_case_is_intact(case_path):
    found = verify(case_path, recompute_all=True)
    assert found.intact, found.problems
    assert (found.entries, found.items, found.examinations, found.files) == (6, 2, 2, 12)
    assert found.recomputed is not None
    assert found.recomputed > 4
    assert not found.remarks


def test_random_changed_bytes_are_found(case_path):
    rng = random.Random(5)
    files = sorted(p for p in case_path.rglob("*") if p.is_file() and p.stat().st_size)
    for _ in range(200):
        file = rng.choice(files)
        data, mode = file.read_bytes(), file.stat().st_mode
        at = rng.randrange(len(data))
        file.chmod(0o644)
        file.write_bytes(data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :])
        file.chmod(mode)
        assert not verify(case_path).intact, (file, at)
        file.chmod(0o644)
        file.write_bytes(data)
        file.chmod(mode)
    assert verify(case_path).intact


def test_all_problems_are_listed_at_once(case_path):
    original = next((case_path / "originals").iterdir())
    original.chmod(0o644)
    (case_path / "examinations/X1/mask.png").unlink()
    (case_path / "examinations/X2/extra\x1b.txt").write_text("x")
    (case_path / "originals/link").symlink_to("/etc/hostname")
    (case_path / "planted").mkdir()
    (case_path / "redaction.json").write_text("{}")
    report = case_path / "examinations/X2/report.html"
    report.unlink()
    report.write_text("other")
    report.chmod(0o444)
    text = problems(case_path)
    for wanted in (
        "can be written to (mode 0644)",
        "mask.png: is missing",
        "extra?.txt: is not in the log",
        "link: is a link",
        "planted: a folder that the log does not know",
        "redaction.json: is not in the log",
        "report.html: was changed",
    ):
        assert wanted in text


def test_a_log_that_was_cut_or_rewritten_shows_against_a_head_written_down(case_path):
    head = verify(case_path).head
    assert verify(case_path, expect=head.upper()).intact
    Case(case_path).note("I1", "later")
    found = verify(case_path, expect=head)
    assert found.intact
    assert "1 entries follow it" in found.remarks[0]
    log = case_path / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-2]))  # cut at the end of a line
    assert verify(case_path).intact  # the chain alone cannot show it
    assert any("rewritten or cut" in p for p in verify(case_path, expect=head).problems)
    log.write_bytes(rewritten(b"".join(lines)))
    assert verify(case_path).intact
    assert not verify(case_path, expect=head).intact
    with pytest.raises(SettingsError, match="64 hexadecimal"):
        verify(case_path, expect="abc")


def rewritten(log: bytes) -> bytes:
    """A log that somebody wrote anew from the first entry on, with another reason in it."""
    previous, out = FIRST_PREVIOUS, b""
    for entry in read_log(log).entries():
        payload = dict(entry.payload)
        if payload.get("text") == "a reason":
            payload["text"] = "another reason"
        line = make_line(entry.model_copy(update={"payload": payload, "previous": previous}))
        previous, out = line.hash, out + line.encode()
    return out


def forge(case_path: Path, change) -> None:
    """Rewrites the log with changed entries and right hashes: what an attacker with patience can do."""
    log = case_path / "log.jsonl"
    previous, out = FIRST_PREVIOUS, b""
    for entry in change(read_log(log.read_bytes()).entries()):
        line = make_line(entry.model_copy(update={"previous": previous}))
        previous, out = line.hash, out + line.encode()
    log.write_bytes(out)


def test_entries_that_do_not_fit_together_are_found(case_path):
    def payload(entries, index, **values):
        entries[index] = entries[index].model_copy(update={"payload": {**entries[index].payload, **values}})
        return entries

    forgeries = {
        "there is no item I7": lambda e: payload(e, 5, item="I7"),
        "cites E77": lambda e: payload(e, 5, evidence="E77"),
        "says something else than log entry": lambda e: payload(e, 2, label="manipulated"),
        "examination X5, wanted X1": lambda e: payload(e, 2, examination="X5"),
        "does not continue the items": lambda e: payload(e, 3, item="I5"),
        "string_pattern": lambda e: payload(e, 1, item="../../I1"),
        "extra": lambda e: payload(e, 1, surprise=1),
        "does not lead to the redacted copy": lambda e: payload(e, 2, redacted_sha256="0" * 64),
    }
    log = (case_path / "log.jsonl").read_bytes()
    for wanted, change in forgeries.items():
        (case_path / "log.jsonl").write_bytes(log)
        forge(case_path, change)
        text = problems(case_path)
        assert wanted.replace("string_pattern", "should match pattern").replace("extra", "Extra inputs") in text, text


def test_a_clock_that_ran_backwards_is_remarked(case_path):
    forge(case_path, lambda e: [*e[:-1], e[-1].model_copy(update={"time": "2001-01-01T00:00:00.000000Z"})])
    found = verify(case_path)
    assert found.intact
    assert any("earlier time" in r for r in found.remarks)


def test_a_folder_that_is_no_case_is_wrong_usage(tmp_path):
    for bad in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CaseError):
            verify(bad)


def test_a_read_only_medium_can_be_verified(case_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(verify_module, "locked", read_only)
    found = verify(case_path)
    assert found.intact
    assert any("could not be locked" in r for r in found.remarks)


# --- recomputation


def test_figures_that_were_not_measured_are_found(tmp_path):
    case = new_case(tmp_path)
    rgb = photograph("chelsea")[:160, :160]
    (tmp_path / "cat.jpg").write_bytes(encode(rgb, "JPEG", quality=80))
    case.add(tmp_path / "cat.jpg")

    class Liar(Examiner):
        def examine(self, picture, **options):
            true = super().examine(picture, **options)
            first = true.evidence[0].model_copy(update={"value": "Leica M11"})
            return true.model_copy(update={"evidence": (first, *true.evidence[1:])})

    case.examine("I1", Liar(FAST))
    assert verify(case.path).intact  # every hash fits: it was stored like that
    found = verify(case.path, recompute_all=True)
    assert any("X1: recomputed: E1 (metadata): value was 'Leica M11'" in p for p in found.problems)


@pytest.fixture(scope="module")
def measured():
    data = encode(photograph("coffee")[:192, :192], "JPEG", quality=90)
    return Examiner(Settings(instruments=("jpeg_grid", "metadata"), expert=None)).examine(data, name="x"), data


def test_the_same_versions_give_the_same_figures(measured):
    stored, data = measured
    result = recompute(stored, data, weights_hashes())
    assert not result.differences
    assert not result.other_versions
    assert result.compared == len(stored.evidence)


def test_other_versions_and_weights_are_named(measured, monkeypatch):
    stored, data = measured
    older = stored.model_copy(update={"versions": {**stored.versions, "numpy": "1.0"}})
    monkeypatch.setattr(recompute_module, "weights_hashes", lambda: {"expert.safetensors": "b" * 64})
    result = recompute(older, data, {"expert.safetensors": "a" * 64})
    assert not result.differences
    assert any(v.startswith("numpy: 1.0, now ") for v in result.other_versions)
    assert "weights/expert.safetensors: aaaaaaaaaaaa, now bbbbbbbbbbbb" in result.other_versions


def test_the_tolerance_is_as_documented(measured):
    stored, _ = measured
    region = region_of_mask(mask_of_box((10, 10, 110, 110), 192, 192))
    shifted = region_of_mask(mask_of_box((12, 10, 112, 110), 192, 192))
    elsewhere = region_of_mask(mask_of_box((60, 60, 160, 160), 192, 192))
    item = Evidence(
        id="E1",
        instrument="noise",
        instrument_version="1",
        kind="detection",
        trace="noise_low",
        quantity="noise",
        value=2.0,
        log10_nfa=-5.0,
        region=region,
        details={"levels": [1.0, 2.0]},
    )

    def differs(exact, **values):
        one = stored.model_copy(update={"evidence": (item,)})
        other = stored.model_copy(update={"evidence": (item.model_copy(update=values),)})
        return bool(compare(one, other, exact=exact))

    assert not differs(True, value=2.0 * (1 + 1e-7))
    assert differs(True, value=2.0 * (1 + 1e-5))
    assert not differs(False, value=2.01)
    assert differs(False, value=2.05)
    assert not differs(False, log10_nfa=-5.4)
    assert differs(False, log10_nfa=-5.6)
    assert differs(True, log10_nfa=-5.4)
    assert differs(True, region=shifted)
    assert not differs(False, region=shifted)
    assert differs(False, region=elsewhere)
    assert differs(False, region=None)
    assert differs(False, details={"levels": [1.0, 2.1]})
    assert differs(False, trace="noise_high")
    assert compare(stored, stored.model_copy(update={"evidence": ()}), exact=False)


def test_a_changed_original_cannot_be_recomputed(case_path):
    original = next((case_path / "originals").iterdir())
    original.chmod(0o644)
    original.write_bytes(original.read_bytes() + b"x")
    original.chmod(0o444)
    text = "\n".join(verify(case_path, recompute_all=True).problems)
    assert "cannot be recomputed" in text


def test_lines_hold_what_the_documentation_says(case_path):
    line = json.loads((case_path / "log.jsonl").read_bytes().splitlines()[2])
    wanted = "sequence time actor action payload versions settings weights previous"
    assert set(line["entry"]) == set(wanted.split())
