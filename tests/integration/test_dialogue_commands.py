"""`fakeexplain ask` and `fakeexplain chat` as a user types them: what is printed, where, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fakeexplain.cli import app
from tests.pictures import copy_move, encode, photograph

PLAIN = ["--expert", "none", "--writer", "plain"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("dialogue") / "forged.png"
    path.write_bytes(encode(copy_move(photograph("astronaut")[:400, :450], size=90)[0]))
    return str(path)


def test_an_answer_is_text_with_citations(picture: str) -> None:
    result = CliRunner().invoke(app, ["ask", picture, "Where was it changed?", *PLAIN])
    assert result.exit_code == 0, result.output
    assert "R1" in result.stdout
    assert "[E" in result.stdout


def test_json_is_one_answer(picture: str) -> None:
    result = CliRunner().invoke(app, ["ask", picture, "How sure are you?", "--json", *PLAIN])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["question"] == "How sure are you?"
    assert "%" in " ".join(s["text"] for s in answer["sentences"])
    cited = {i for s in answer["sentences"] for i in s["evidence_ids"]}
    assert cited == {e["id"] for e in answer["cited"]}
    assert cited
    assert answer["verdict"]["label"] in ("manipulated", "no_evidence", "inconclusive")


def test_a_region_is_measured(picture: str) -> None:
    result = CliRunner().invoke(app, ["ask", picture, "Anything odd here?", "--region", "10,10,120,120", *PLAIN])
    assert result.exit_code == 0, result.output
    assert "measured region_contrast" in result.stdout


@pytest.mark.parametrize(
    ("region", "code", "words"),
    [
        ("1,2,3", 2, "wanted four numbers"),
        ("a,b,c,d", 2, "wanted four numbers"),
        ("R99", 1, "not known"),
        ("9000,9000,9100,9100", 1, "outside of the picture"),
    ],
)
def test_a_bad_region_is_one_line(picture: str, region: str, code: int, words: str) -> None:
    result = CliRunner().invoke(app, ["ask", picture, "Here?", "--region", region, *PLAIN])
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_a_broken_file_is_one_line(tmp_path: Path, command: str) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    arguments = [command, str(broken), *(["Why?"] if command == "ask" else []), *PLAIN]
    result = CliRunner().invoke(app, arguments, input="")
    assert result.exit_code == 1, result.output
    assert "broken.jpg" in result.output
    assert "Traceback" not in result.output


def test_chat_commands_until_the_input_ends(picture: str, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    lines = ["/help", "/region 10 10 120 120", "Anything odd?", "/region", "Why?", "/evidence", "/evidence E1"]
    result = CliRunner().invoke(app, ["chat", picture, *PLAIN], input="\n".join([*lines, f"/save {saved}"]))
    assert result.exit_code == 0, result.output
    assert "/measure noise" in result.stdout
    assert "questions are about the whole picture" in result.stdout
    assert "saved 2 turns" in result.stdout.replace("\n", " ")
    assert [t["question"] for t in json.loads(saved.read_text())] == ["Anything odd?", "Why?"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/nonsense", "no such command"),
        ("/evidence E99", "no such record"),
        ("/region R99", "no such region"),
        ("/save ~nobody-of-that-name/talk.json", "cannot be written"),
    ],
)
def test_a_wrong_chat_command_is_told_and_the_talk_goes_on(picture: str, line: str, words: str) -> None:
    result = CliRunner().invoke(app, ["chat", picture, *PLAIN], input=f"{line}\nHow sure are you?\n/quit\nnever read\n")
    assert result.exit_code == 1
    assert words in result.output
    assert "%" in result.output
    assert "never read" not in result.output
