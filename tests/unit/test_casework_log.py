"""Sealing and the log: what is hashed, that any byte changed is found, and that openings can go without a trace."""

from __future__ import annotations

import dataclasses

import pytest

from fakeexplain.casework.case import Case
from fakeexplain.casework.log import make_line, read_log
from fakeexplain.casework.records import replay
from fakeexplain.casework.sealing import (
    apply_openings,
    canonical,
    opening_problems,
    seal,
    sealed_kind,
    sha256_of,
    shortened,
    unseal,
)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    (folder / 'a\n"b".png').write_bytes(b"not a picture")
    case, _ = Case.create(folder / "case", title="Zürich \u2028 \ud800", actor="Ada")
    case.add(folder / 'a\n"b".png', actor="Ada")
    case.note("I1", "first line\nsecond line", actor="Ada")
    return (case.path / "log.jsonl").read_bytes()


def test_a_log_reads_back_what_was_said(log):
    reading = read_log(log)
    assert not reading.problems
    assert log.count(b"\n") == 3  # newlines in names and remarks are no ends of line
    state, problems = replay(reading.entries())
    assert not problems
    assert state.title == "Zürich \u2028 \ud800"
    assert state.items["I1"].name == 'a\n"b".png'
    assert state.remarks[0].note.text == "first line\nsecond line"


def test_every_byte_of_a_log_counts(log):
    missed = []
    for place in range(len(log)):
        changed = log[:place] + bytes([log[place] ^ 0x01]) + log[place + 1 :]
        reading = read_log(changed)
        if not reading.problems and not reading.torn:
            missed.append((place, log[max(0, place - 20) : place + 20]))
    assert not missed


def test_lines_cannot_be_taken_moved_or_repeated(log):
    first, second, third = log.splitlines(keepends=True)
    for lines in ([first, third], [first, third, second], [first, second, second, third], [second, third], [third]):
        assert read_log(b"".join(lines)).problems
    alien = make_line(read_log(second).lines[0].entry().model_copy(update={"previous": "0" * 64})).encode()
    assert any("does not continue" in p for p in read_log(first + alien).problems)
    assert not read_log(first + second).problems  # only a head written down elsewhere shows a log that was cut


def test_other_forms_of_the_same_line_are_refused(log):
    first = log.splitlines(keepends=True)[0]
    assert read_log(first.replace(b'{"entry"', b'{ "entry"', 1)).problems
    assert read_log(first[:-2] + b',"hash":"' + b"0" * 64 + b'"}\n').problems  # a key twice
    assert read_log(b"[" * 100_000 + b"\n").problems
    assert read_log(b'{"entry":NaN,"hash":"","open":{}}\n').problems
    assert read_log(b"\xff\xfe\n").problems


def test_openings_can_be_taken_away_but_not_exchanged(log):
    reading = read_log(log)
    bare = b"".join(dataclasses.replace(line, openings={}).encode() for line in reading.lines)
    redacted = read_log(bare)
    assert not redacted.problems
    assert redacted.head == reading.head
    assert redacted.hidden_kinds == {"name": 4, "file name": 1, "path": 1, "remark": 1}
    assert b"Ada" not in bare
    assert b"second line" not in bare
    third = reading.lines[2]
    lie = third.openings["/payload/text"].model_copy(update={"value": "something else"})
    changed = dataclasses.replace(third, openings={**third.openings, "/payload/text": lie})
    forged = read_log(b"".join(bare.splitlines(keepends=True)[:2]) + changed.encode())
    assert any("not the one that was recorded" in p for p in forged.problems)


def test_folders_in_the_settings_are_paths(log):
    entry = read_log(log).lines[0].entry()
    line = make_line(entry.model_copy(update={"settings": {"expert": "/home/jane/weights", "instruments": ["noise"]}}))
    assert line.openings["/settings/expert"].kind == "path"
    assert line.sealed["settings"]["instruments"] == ["noise"]


def test_sealing_is_undone_by_its_openings_alone():
    document = {"a": "Jane", "b": [1, {"c": 2.5, "d": None}], "e": {"x": 1}, "~/": "tilde"}
    sealed, openings = seal(document, {"/a": "name", "/b/1/c": "gps", "/e": "text", "/~0~1": "path", "/b/1/d": "gps"})
    assert {sealed_kind(sealed["a"]), sealed_kind(sealed["b"][1]["c"]), sealed_kind(sealed["~/"])} == {
        "name",
        "gps",
        "path",
    }
    assert sealed_kind(sealed["e"]["redacted"]) == "text"  # an object stays an object
    assert sealed["b"][1]["d"] is None
    assert unseal(sealed, openings) == document
    assert apply_openings(document, openings) == sealed
    assert opening_problems(sealed, openings) == ([], set())
    assert opening_problems(sealed, {k: v for k, v in openings.items() if k != "/a"}) == ([], {"/a"})
    again, _ = seal(document, {"/a": "name"})
    assert again["a"] != sealed["a"]  # salted: equal values do not show
    assert shortened(sealed)["a"].startswith("[redacted: name, ")


def test_a_value_that_poses_as_redacted_is_sealed():
    fake = "[redacted:name:" + "0" * 64 + "]"
    sealed, openings = seal({"a": fake, "b": {"redacted": fake}}, {})
    assert sealed["a"] != fake
    assert unseal(sealed, openings) == {"a": fake, "b": {"redacted": fake}}
    assert set(openings) == {"/a", "/b/redacted"}


def test_canonical_json_is_one_form():
    assert canonical({"b": 1, "a": "ü\n"}) == b'{"a":"\\u00fc\\n","b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))
    assert sha256_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
