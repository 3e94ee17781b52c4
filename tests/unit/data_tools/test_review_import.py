"""Drafts into the queue: claims of every kind of draft, repeated imports, pictures that are gone or changed."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from data_tools.review import app
from data_tools.review_import import ImportPlan, claims_of_draft, import_drafts, picture_path, split_sentences
from data_tools.review_rows import claims_of_task, inline_of, task_of
from data_tools.review_store import ReviewStore
from data_tools.schema import Message, Record, read_jsonl, write_jsonl
from fakeexplain.errors import SettingsError, SourceError
from tests.pictures import copy_move, encode, photograph
from tests.unit.data_tools.review_cases import QUESTION, draft, square, write_set


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two!", ["One.", "Two!"]),
        ("It is 3.5 px wide, e.g. Here. So", ["It is 3.5 px wide, e.g. Here.", "So"]),
        ("Noise [E1]. Copy [E2, E3]. End", ["Noise [E1].", "Copy [E2, E3].", "End"]),
        ("Noise. [E1] Copy. [E2]", ["Noise. [E1]", "Copy. [E2]"]),
        ("First\nSecond", ["First", "Second"]),
        ("", []),
    ],
)
def test_sentences_keep_their_citations(text, sentences):
    assert split_sentences(text) == sentences


def test_claims_belong_to_the_turns_they_came_from():
    assert [c.turn for c in claims_of_draft(draft("a.png", turns=2))] == [1, 1, 3, 3]
    assert [c.section for c in claims_of_draft(draft("a.png"))][::3] == ["conclusion", "not_tested"]


def test_drafts_of_others_are_split_into_sentences():
    written = Record(image="a.png", description="The arm is odd [E1]. It was pasted in.")
    assert [(c.text, c.evidence_ids, c.turn) for c in claims_of_draft(written)] == [
        ("The arm is odd [E1].", ("E1",), -1),
        ("It was pasted in.", (), -1),
    ]
    turns = (
        Message(role="user", content=QUESTION),
        Message(role="assistant", content="measure noise on R1"),
        Message(role="tool", content="E3 noise on R1: 3"),
        Message(role="assistant", content="It is higher [E3]. That is all."),
    )
    assert [(c.text, c.turn) for c in claims_of_draft(written.updated(dialogue=turns))] == [
        ("It is higher [E3].", 3),
        ("That is all.", 3),
    ]
    assert claims_of_draft(Record(image="a.png")) == ()


def test_an_import_can_be_repeated_and_the_machines_mask_is_the_deciding_evidence(tmp_path):
    file = write_set(tmp_path / "set", 3)
    with ReviewStore(tmp_path / "reviews.sqlite", create=True) as store:
        assert (import_drafts(store, file).added, import_drafts(store, file.parent).there) == (3, 3)
        with store.database.read() as connection:
            task = task_of(connection, 2)
            assert np.array_equal(inline_of(connection, task.draft_mask_id).mask(), square())
            assert len(claims_of_task(connection, 2)) == 4
        assert picture_path(store, 2)[0].resolve() == (tmp_path / "set" / "picture1.png").resolve()


def test_database_and_pictures_can_be_moved_together(tmp_path):
    file = write_set(tmp_path / "a" / "set", 1)
    with ReviewStore(tmp_path / "a" / "reviews.sqlite", create=True) as store:
        import_drafts(store, file)
    (tmp_path / "a").rename(tmp_path / "b")
    with ReviewStore(tmp_path / "b" / "reviews.sqlite") as store:
        assert picture_path(store, 1)[0].is_file()


def test_bad_drafts_cost_one_line_each(tmp_path):
    file = write_set(tmp_path / "set", 4)
    records = list(read_jsonl(file))
    records[1] = records[1].updated(sha256="0" * 64)
    records[2] = records[2].updated(image="gone.png")
    records[3] = Record(image="picture3.png")
    write_jsonl(records, file)
    with file.open("a") as lines:
        lines.write("{broken\n")
    with ReviewStore(tmp_path / "reviews.sqlite", create=True) as store:
        outcome = import_drafts(store, file)
        assert outcome.added == 1
        words = ["another file now", "gone.png does not exist", "holds no draft", "no JSON"]
        assert [any(w in p for p in outcome.problems) for w in words] == [True] * 4
        assert [p.split(":")[0] for p in outcome.problems] == ["line 2", "line 3", "line 4", "line 5"]
        with pytest.raises(SourceError, match="no such file"):
            import_drafts(store, tmp_path / "none")
        with pytest.raises(SettingsError, match="from 0 to 1"):
            import_drafts(store, file, ImportPlan(overlap=2))


def test_the_share_of_overlap_is_about_what_was_asked_for():
    keys = [f"{n * 2654435761 % 2**32:08x}" for n in range(4000)]
    wanted = [ImportPlan(annotators=3, overlap=0.25).wanted(key) for key in keys]
    assert set(wanted) == {1, 3}
    assert 0.22 < wanted.count(3) / len(keys) < 0.28


@pytest.mark.slow
def test_a_folder_of_pictures_is_drafted_on_import(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "forged.png").write_bytes(encode(copy_move(photograph("astronaut"))[0]))
    (folder / "broken.jpg").write_bytes(b"no picture")
    database = tmp_path / "work" / "reviews.sqlite"
    result = CliRunner().invoke(app, ["import", str(folder), "--database", str(database)])
    assert result.exit_code == 1, result.output
    assert "1 drafts added" in result.output
    with ReviewStore(database) as store:
        view = store.next_review(store.annotator("Anna"))
        assert view.claims[0].section == "conclusion"
        assert {c.finding for c in view.claims} <= {"supported", "no_claim"}
        assert view.draft_mask is not None
        assert picture_path(store, 1)[0].read_bytes() == (folder / "forged.png").read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == ["broken.jpg", "forged.png"]  # nothing was written there
