"""`fakeexplain app --reviews`: that database is annotated; a wrong one is told before anything is served."""

from __future__ import annotations

import sqlite3

import click
import pytest
import typer
from typer.testing import CliRunner

from app import page, running
from app.service import Service
from fakeexplain.commands.app import app
from tests.unit.data_tools.review_cases import fresh_store


@pytest.fixture
def command():
    made = typer.Typer()
    made.command()(app)
    return made


def served(monkeypatch, command, *options: str) -> tuple[click.testing.Result, dict[str, object]]:
    """(what the command answered, what the server would have been started with)."""
    given: dict[str, object] = {}

    def serve(service, gatekeeper, listening, **values):
        given.update(values)
        listening.close()
        service.close()

    monkeypatch.setattr(running, "serve", serve)
    result = CliRunner().invoke(command, ["--no-browser", "--port", "0", "--expert", "none", *options])
    return result, given


def test_the_named_database_reaches_the_server(monkeypatch, command, tmp_path):
    fresh_store(tmp_path, 1).close()
    database = tmp_path / "reviews.sqlite"
    result, given = served(monkeypatch, command, "--reviews", str(database))
    assert result.exit_code == 0
    assert given["reviews"] == database
    result, given = served(monkeypatch, command)
    assert (result.exit_code, given["reviews"]) == (0, None)


def test_a_database_that_is_not_there_or_is_none_ends_with_a_sentence(monkeypatch, command, tmp_path):
    result, given = served(monkeypatch, command, "--reviews", str(tmp_path / "none.sqlite"))
    assert (result.exit_code, given) == (2, {})
    assert "none.sqlite" in result.output
    assert "data_tools.review import" in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE something (id INTEGER)")
    result, given = served(monkeypatch, command, "--reviews", str(other))
    assert (result.exit_code, given) == (2, {})


def test_the_page_annotates_the_named_database_and_not_the_one_among_the_cases(tmp_path):
    fresh_store(tmp_path, 1).close()
    seen = []
    original = page.annotate_page.build_tab

    def build_tab(service, reviews=None):
        seen.append(original(service, reviews))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch, Service(cases=tmp_path / "cases", folder=tmp_path) as service:
        patch.setattr(page.annotate_page, "build_tab", build_tab)
        page.build(service, tmp_path / "reviews.sqlite")
        page.build(service)
    assert [bench.path for bench in seen] == [tmp_path / "reviews.sqlite", tmp_path / "cases" / "reviews.sqlite"]
    assert seen[0].call({"do": "hello", "name": "Anna"})["ok"]


def test_the_rules_word_answers_unless_something_else_was_asked_for(tmp_path):
    """What was asked for, then the embedded assistant, then the rules."""
    from app.service import Service
    from fakeexplain.commands.app import _writers

    service = Service(folder=tmp_path)
    try:
        assert next(iter(_writers(service, None, None, None, None))) == "assistant"
        (tmp_path / "config.json").write_text("{}")
        assert list(_writers(service, str(tmp_path), None, None, None))[:3] == ["own assistant", "assistant", "plain"]
    finally:
        service.close()
