"""States folded from events, and what may be written into a review."""

from __future__ import annotations

import random

import pytest

from data_tools.review_state import (
    ClaimDecision,
    DraftClaim,
    Event,
    ReviewError,
    State,
    cited_ids,
    clean_text,
    fold,
    make_decision,
    missing,
)

OPENED = Event(1, "opened", None, {"stage": "review"}, mask_id=7)
ACCEPT, UNSURE = ({"decision": d} for d in ("accept", "unsure"))


def test_an_undo_leads_back_to_the_state_before_whatever_came_between():
    rng = random.Random(3)
    events, before, number = [OPENED], [], 1
    for _ in range(300):
        number += 1
        if before and rng.random() < 0.4:
            expected, undone = before.pop()
            events.append(Event(number, "undo", None, None, undoes=undone))
            state = fold(events)
            assert (state.verdict, state.mask_id, state.decisions, state.note) == expected
            continue
        now = fold(events)
        before.append(((now.verdict, now.mask_id, now.decisions, now.note), number))
        events.append(
            rng.choice(
                [
                    Event(number, "claim", None, rng.choice([ACCEPT, UNSURE]), claim=rng.randrange(1, 4)),
                    Event(number, "verdict", None, rng.choice(["manipulated", "no_evidence"])),
                    Event(number, "mask", None, number, mask_id=number),
                    Event(number, "note", None, f"note {number}"),
                ]
            )
        )
        assert fold(events).undo.id == number
    assert len(events) == 301


def test_what_was_seen_cannot_be_unseen():
    events = [
        Event(1, "opened", None, {"stage": "opinion"}),
        Event(2, "verdict", None, "no_evidence"),
        Event(3, "opinion", None, {}),
    ]
    state = fold(events)
    assert state.stage == "review"
    assert state.opinion_verdict == "no_evidence"
    assert state.undo is None
    changed = fold([*events, Event(4, "verdict", "no_evidence", "manipulated")])
    assert (changed.verdict, changed.opinion_verdict) == ("manipulated", "no_evidence")
    assert changed.undo.id == 4


def test_what_is_missing_is_named():
    claims = [DraftClaim(n, "x", ()) for n in (1, 2)]
    state = State("review", None, None, {1: ClaimDecision(decision="accept")})
    assert missing(state, claims, 0) == ["decide claim 2", "give a verdict"]
    done = State("review", "manipulated", 1, {n: ClaimDecision(decision="accept") for n in (1, 2)})
    assert missing(done, claims, 0) == ["mark the place, or choose another verdict"]
    assert missing(done, claims, 9) == []
    assert missing(State("opinion"), claims, 0) == ["give your own verdict"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"decision": "reject"}, "needs a reason"),
        ({"decision": "reject", "reason": "because"}, "wanted one of"),
        ({"decision": "edit"}, "needs the new sentence"),
        ({"decision": "accept", "text": "x"}, "nothing else has one"),
        ({"decision": "maybe"}, "maybe"),
        ({"decision": "edit", "text": "It is so [E9]."}, "cites E9; evidence of this draft: E1, E2"),
        ({"decision": "edit", "text": "Look <image> here"}, "training data"),
        ({"decision": "edit", "text": "x" * 5000}, "at most 4000"),
        ({"decision": ["accept"]}, "made of texts"),
        ({"decision": "edit", "text": "half \ud800"}, "half of a character"),
        ({"decision": "edit", "text": "turned \u202e round"}, "training data"),
    ],
)
def test_incomplete_decisions_are_refused_with_words(values, words):
    with pytest.raises(ReviewError, match=words):
        make_decision(values, ["E1", "E2"])


def test_what_a_client_says_of_the_checkers_finding_is_not_taken():
    made = make_decision({"decision": "edit", "text": " It  is\nso [E1, E2]. ", "finding": "supported"}, ["E1", "E2"])
    assert (made.text, made.finding) == ("It is so [E1, E2].", "")


def test_citations_and_clean_texts():
    assert cited_ids("a [E2], b [E1, E2]; c [E3;E4] (E5) [R1]") == ("E2", "E1", "E3", "E4")
    assert clean_text("  <b>bold</b>\t& more ", "x") == "<b>bold</b> & more"
    with pytest.raises(ReviewError, match="<SEG>"):
        clean_text("here <SEG>", "x")
