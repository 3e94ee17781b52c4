"""The store: queues, blind mode, undo, what is sent twice, adjudication, what the database itself refuses."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from data_tools import review_database, review_writing
from data_tools.review_import import ImportPlan
from data_tools.review_state import ReviewError
from data_tools.review_statistics import personal_progress, progress, task_list
from data_tools.review_store import ReviewStore, Stamp
from fakeexplain.errors import SourceError
from tests.unit.data_tools.review_cases import fresh_store, review_all, square


@pytest.fixture
def store(tmp_path):
    with fresh_store(tmp_path, 3, ImportPlan(annotators=2)) as made:
        yield made


def test_nobody_gets_a_picture_twice_and_no_more_people_than_wanted_get_one(store):
    people = [store.annotator(name) for name in ("Anna", "Ben", "Cleo")]
    got = {who: [] for who in people}
    for _ in range(4):
        for who in people:
            view = store.next_review(who)
            if view is not None:
                got[who].append(view.task_id)
                review_all(store, view, who)
    assert [len(set(tasks)) for tasks in got.values()] == [len(tasks) for tasks in got.values()]
    assert sorted(task for tasks in got.values() for task in tasks) == [1, 1, 2, 2, 3, 3]
    assert progress(store).outcomes == {"agreed": 3}
    assert personal_progress(store, people[0])["left"] == 0


def test_an_unfinished_review_comes_back_as_it_was_left(store):
    who = store.annotator("Anna")
    view = store.next_review(who)
    store.decide(view.id, who, 2, {"decision": "reject", "reason": "false", "note": "no"}, Stamp(seconds=3))
    store.close()
    with ReviewStore(store.database.path) as again:
        back = again.next_review(again.annotator("anna"))  # capitals do not matter
    assert back.id == view.id
    assert back.state.decisions[2].reason == "false"
    assert back.seconds == 3


def test_skipping_frees_the_place_and_taking_it_up_again_needs_one(store):
    anna, ben, cleo = (store.annotator(name) for name in ("Anna", "Ben", "Cleo"))
    first = store.next_review(anna)
    skipped = store.skip(first.id, anna, "cannot_judge", Stamp())
    assert skipped.state.stage == "skipped"
    assert store.next_review(anna).task_id == 2
    assert store.next_review(ben).task_id == 1
    assert store.next_review(cleo).task_id == 1
    with pytest.raises(ReviewError, match="somebody else has taken"):
        store.undo(first.id, anna, Stamp())
    assert store.view(first.id, anna).state.stage == "skipped"  # nothing of the refused undo was kept
    store.skip(store.next_review(ben).id, ben, "other", Stamp())
    assert store.undo(first.id, anna, Stamp()).state.stage == "review"
    assert progress(store).skip_reasons == {"other": 1}


def test_undo_goes_through_everything_and_stays_in_the_log(store):
    who = store.annotator("Anna")
    view = store.next_review(who)
    start = view.state
    done = review_all(store, view, who)
    assert done.state.stage == "done"
    for _ in range(7):  # four claims, verdict, mask, finish
        view = store.undo(view.id, who, Stamp())
    assert (view.state.stage, view.state.decisions, view.state.verdict) == ("review", {}, None)
    assert view.state.mask_id == start.mask_id
    with pytest.raises(ReviewError, match="nothing to undo"):
        store.undo(view.id, who, Stamp())
    found = progress(store)
    assert (found.events, found.undone) == (15, 7)


def test_what_is_sent_twice_is_done_once(store):
    who = store.annotator("Anna")
    view = store.next_review(who)
    stamp = Stamp(seconds=4, action_id="once")
    for _ in range(3):
        view = store.set_verdict(view.id, who, "inconclusive", stamp)
    assert view.seconds == 4
    assert store.undo(view.id, who, Stamp()).state.verdict is None
    with pytest.raises(ReviewError, match="used for something else"):
        store.finish(view.id, who, stamp)


def test_two_windows_do_not_overwrite_each_other(store):
    who = store.annotator("Anna")
    view = store.next_review(who)
    store.set_verdict(view.id, who, "manipulated", Stamp(after=view.last_event))
    with pytest.raises(ReviewError, match="another window"):
        store.set_verdict(view.id, who, "no_evidence", Stamp(after=view.last_event))
    assert store.view(view.id, who).state.verdict == "manipulated"


def test_a_review_is_its_annotators_own(store):
    anna, ben = store.annotator("Anna"), store.annotator("Ben")
    view = store.next_review(anna)
    with pytest.raises(ReviewError, match="not yours"):
        store.view(view.id, ben)
    with pytest.raises(ReviewError, match="not yours"):
        store.set_verdict(view.id, ben, "manipulated", Stamp())
    for name in ("", "  ", "x" * 81):
        with pytest.raises(ReviewError, match="say who you are"):
            store.annotator(name)


def test_unfinished_work_cannot_be_finished_and_wrong_masks_are_refused(store):
    who = store.annotator("Anna")
    view = store.next_review(who)
    with pytest.raises(ReviewError, match="decide claims 1, 2, 3, 4; give a verdict"):
        store.finish(view.id, who, Stamp())
    for mask in (np.zeros((4, 4), bool), square().astype(np.uint8)):
        with pytest.raises(ReviewError, match="wanted bool 96x96"):
            store.set_mask(view.id, who, mask, Stamp())
    with pytest.raises(ReviewError, match="no claim 9"):
        store.decide(view.id, who, 9, {"decision": "accept"}, Stamp())
    with pytest.raises(ReviewError, match="verdict 'forged'"):
        store.set_verdict(view.id, who, "forged", Stamp())


def test_blind_mode_hides_the_draft_until_the_opinion_is_in(tmp_path):
    with fresh_store(tmp_path, 2, ImportPlan(blind=True)) as store:
        who = store.annotator("Anna")
        view = store.next_review(who)
        hidden = (view.record, view.claims, view.draft_mask, view.mask, view.mask_area)
        assert hidden == (None, (), None, None, 0)
        assert task_list(store, annotator_id=who)[0]["image"] == ""
        for refused in (
            lambda: store.decide(view.id, who, 1, {"decision": "accept"}, Stamp()),
            lambda: store.take_draft_mask(view.id, who, Stamp()),
        ):
            with pytest.raises(ReviewError, match="your own verdict first"):
                refused()
        with pytest.raises(ReviewError, match="give your own verdict"):
            store.reveal(view.id, who, Stamp())
        with pytest.raises(ReviewError, match="not finished"):
            store.finish(view.id, who, Stamp())
        store.set_mask(view.id, who, square(50), Stamp())
        store.set_verdict(view.id, who, "no_evidence", Stamp())
        view = store.reveal(view.id, who, Stamp())
        assert view.revealed
        assert len(view.claims) == 4
        assert view.draft_mask is not None
        assert view.mask.mask()[30, 60]  # the person's mask stays
        assert not view.mask.mask()[30, 15]
        with pytest.raises(ReviewError, match="nothing to undo"):
            store.undo(view.id, who, Stamp())
        changed = store.set_verdict(view.id, who, "manipulated", Stamp())
        assert (changed.state.verdict, changed.state.opinion_verdict) == ("manipulated", "no_evidence")
        skipped = store.skip(store.open_task(2, who).id, who, "other", Stamp())
        assert not store.reopen(skipped.id, who, Stamp()).revealed  # skipping is no way round


def test_a_dispute_is_adjudicated_from_what_all_agreed_on(store):
    anna, ben, cleo = (store.annotator(name) for name in ("Anna", "Ben", "Cleo"))
    with pytest.raises(ReviewError, match="only disputed"):
        store.adjudicate(1, cleo)
    one, two = store.next_review(anna), store.next_review(ben)
    store.decide(two.id, ben, 3, {"decision": "reject", "reason": "unclear"}, Stamp())
    review_all(store, one, anna)
    for number in (1, 2, 4):
        store.decide(two.id, ben, number, {"decision": "accept"}, Stamp())
    store.set_verdict(two.id, ben, "manipulated", Stamp())
    assert store.finish(two.id, ben, Stamp()).outcome == "disputed"
    view = store.adjudicate(1, cleo)
    assert sorted(view.state.decisions) == [1, 2, 4]
    assert view.state.verdict == "manipulated"
    assert [(o.letter, o.state.decisions[3].decision) for o in view.others] == [("A", "accept"), ("B", "reject")]
    with pytest.raises(ReviewError, match="somebody else"):
        store.adjudicate(1, anna)
    with pytest.raises(ReviewError, match="adjudication of this picture has begun"):
        store.reopen(one.id, anna, Stamp())
    store.decide(view.id, cleo, 3, {"decision": "accept"}, Stamp())
    assert store.finish(view.id, cleo, Stamp()).outcome == "adjudicated"
    assert store.undo(view.id, cleo, Stamp()).outcome == "disputed"
    assert store.finish(view.id, cleo, Stamp()).outcome == "adjudicated"


def test_masks_that_hardly_overlap_are_a_dispute(store):
    anna, ben = store.annotator("Anna"), store.annotator("Ben")
    review_all(store, store.next_review(anna), anna)
    two = review_all(store, store.next_review(ben), ben)
    assert two.outcome == "agreed"
    store.reopen(two.id, ben, Stamp())
    store.set_mask(two.id, ben, square(50), Stamp())
    assert store.finish(two.id, ben, Stamp()).outcome == "disputed"


def test_what_somebody_opened_long_ago_and_left_goes_to_others(store, monkeypatch):
    anna, ben, cleo = (store.annotator(name) for name in ("Anna", "Ben", "Cleo"))
    for who in (anna, ben):
        for _ in range(2):
            review_all(store, store.next_review(who), who)
        left = store.next_review(who)
        assert left.task_id == 3
    assert store.next_review(cleo) is None
    monkeypatch.setattr(review_writing, "STALE_HOURS", -1.0)  # with 0, one of the two could be of this millisecond
    assert store.next_review(cleo).task_id == 3
    with pytest.raises(ReviewError, match="went to somebody else"):
        store.set_verdict(left.id, ben, "manipulated", Stamp())


def test_the_log_cannot_be_changed_or_shortened(store):
    who = store.annotator("Anna")
    store.next_review(who)
    connection = store.database.connection()
    for statement in (
        "UPDATE events SET after = '1'",
        "DELETE FROM events",
        "UPDATE claims SET text = 'x'",
        "DELETE FROM masks",
        "INSERT INTO reviews (task_id, annotator_id, role, stage, opened_at, changed_at) "
        "VALUES (99, 1, 'review', 'review', '', '')",
        "INSERT INTO events (review_id, task_id, action_id, kind, claim, before, after, at, seconds, model, "
        "config_hash, program) VALUES (1, 1, 'x', 'claim', 77, '', '', '', 0, '', '', '')",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    event = connection.execute("SELECT * FROM events").fetchone()
    assert event["model"] == "test writer"
    assert len(event["config_hash"]) == 64
    assert event["program"].startswith("fakeexplain")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_an_older_database_is_brought_up_and_a_newer_or_foreign_one_refused(tmp_path, monkeypatch):
    path = tmp_path / "old" / "reviews.sqlite"
    with ReviewStore(path, create=True) as old:
        old.annotator("Anna")
    later = (*review_database.MIGRATIONS, ("ALTER TABLE annotators ADD COLUMN team TEXT NOT NULL DEFAULT ''",))
    with monkeypatch.context() as patch:
        patch.setattr(review_database, "MIGRATIONS", later)
        with ReviewStore(path) as new:
            row = new.database.connection().execute("SELECT name, team FROM annotators").fetchone()
            assert tuple(row) == ("Anna", "")
    with pytest.raises(SourceError, match=r"schema version 2, this program reads up to 1"):
        ReviewStore(path)
    broken = (*later, ("CREATE TABLE extra (id)", "THIS IS NO SQL"))
    monkeypatch.setattr(review_database, "MIGRATIONS", broken)
    with pytest.raises(Exception, match="not saved"):
        ReviewStore(path)
    monkeypatch.setattr(review_database, "MIGRATIONS", later)
    with ReviewStore(path) as same:  # the failed step left nothing behind
        tables = same.database.connection().execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchall()
        assert tables == []
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    for wrong, words in ((foreign, "another program"), (tmp_path / "none.sqlite", "no such database")):
        with pytest.raises(SourceError, match=words):
            ReviewStore(wrong)
    (tmp_path / "text.sqlite").write_text("this is no database, but long enough to be taken for one " * 40)
    with pytest.raises(SourceError, match="cannot be used"):
        ReviewStore(tmp_path / "text.sqlite")
