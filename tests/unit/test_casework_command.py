"""`fakeexplain case`: a case from new to verify, exit codes, hostile strings on the terminal."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fakeexplain.commands.case import app
from tests.unit.cases import SECRETS, private_jpeg, small_png

HOSTILE_NAME = "\x1b[31m[bold]x[bold]\n<i>.jpg"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKEEXPLAIN_ACTOR", "Ada Lovelace")
    (tmp_path / "private.jpg").write_bytes(private_jpeg())
    (tmp_path / HOSTILE_NAME).write_bytes(small_png())
    (tmp_path / "bad.jpg").write_bytes(b"no picture")

    def call(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, (words, result.output, result.exception)
        assert "\x1b" not in result.output
        return result.output

    return call


def head_of(output: str) -> str:
    return output.rstrip().split("log head ")[-1].split()[0]


def test_a_case_from_new_to_verify(run, tmp_path):
    heads = [head_of(run("new", "c", "--title", "Bridge"))]
    heads.append(head_of(run("add", "c", "private.jpg", HOSTILE_NAME)))
    heads.append(head_of(run("examine", "c", "--expert", "none", "--instruments", "metadata")))
    heads.append(head_of(run("note", "c", "I1", "because", "--evidence", "E1", "--status", "needs second opinion")))
    assert "needs second opinion: " in run("show", "c")
    assert "private.jpg" in run("list", "c")
    assert json.loads(run("list", "c", "--json"))["items"][1]["name"] == HOSTILE_NAME
    assert "every item has been examined" in run("examine", "c", "--expert", "none")
    out = run("report", "c", "--out", "r", "--redact")
    assert "left out: originals" in out
    assert "gps (2)" in out
    heads.append(head_of(out))
    heads.append(head_of(run("pack", "c", "--out", "b")))
    run("pack", "c", "--out", "rb", "--redact", "--redact-remarks")
    for head in heads:
        assert "intact" in run("verify", "c", "--expect", head)
    assert "evidence records measured again" in run("verify", "b", "--recompute")
    assert "redacted copy" in run("verify", "rb", "--expect", heads[-1])
    whole = run("show", "c", "--json", "--redact")
    assert not [s for s in SECRETS if s in whole]
    assert json.loads(whole)["redacted"]["gps"] == 2
    shown = run("show", "c", "I1", "--redact")
    assert not [s for s in (*SECRETS, "Ada") if s in shown]


def test_exit_codes(run, tmp_path):
    run("new", "c")
    run("new", "c", code=3)
    run("add", "c", "missing.jpg", code=1)
    assert "I1" in run("add", "c", "missing.jpg", "bad.jpg", code=1)  # the good one is in
    run("add", "c", "private.jpg")
    run("examine", "c", "--expert", "none", "--instruments", "metadata", code=1)
    assert "X1" in run("list", "c")
    run("examine", "c", "I1", "--no-expert", "--instruments", "nonsense", code=2)
    run("examine", "c", "I9", "--no-expert", code=1)
    run("note", "c", "I1", "x", "--evidence", "E1", "--status", "perhaps", code=2)
    run("note", "c", "I1", "", code=1)
    run("report", "c", "--out", "r", "--redact-remarks", code=2)
    run("report", "c", "--out", "c/r", code=2)
    run("list", "nowhere", code=1)
    run("verify", "nowhere", code=2)
    run("verify", ".", code=2)
    run("verify", "c", "--expect", "abc", code=2)
    assert "DAMAGED" not in run("verify", "c")
    original = next((tmp_path / "c/originals").iterdir())
    original.chmod(0o644)
    damaged = run("verify", "c", code=1)
    assert "wanted read-only" in damaged
    assert json.loads(run("verify", "c", "--json", code=1))["intact"] is False
    original.unlink()
    assert "is missing" in run("verify", "c", code=1)
    run("pack", "c", "--out", "b", code=1)


def test_what_was_mended_is_said(run, tmp_path):
    run("new", "c")
    run("add", "c", "private.jpg")
    with (tmp_path / "c/log.jsonl").open("ab") as log:
        log.write(b'{"entry":{"act')
    assert "end of line" in run("verify", "c", code=1)
    assert "not finished" in run("note", "c", "I1", "next").replace("\n", " ")
    assert "set aside" in run("verify", "c")


def test_a_file_name_is_shown_as_it_is(run, tmp_path):
    (tmp_path / "file:cd:[bold]x.png").write_bytes(small_png())
    run("new", "c")
    assert "file:cd:[bold]x.png" in run("add", "c", "file:cd:[bold]x.png").replace("\n", "")
