"""What the checker says of edited sentences, for drafts with a verdict and for texts that came without one."""

from __future__ import annotations

import pytest

from data_tools.review_grounding import check_text, finding_of_claim
from data_tools.review_import import claims_of_draft
from data_tools.schema import Record
from tests.unit.data_tools.review_cases import draft, evidence


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("The evidence points to a local alteration [E1].", "supported"),
        ("No evidence was found [E1].", "unsupported"),
        ("The noise there is 99 grey levels [E1].", "unsupported"),
        ("It lies in the lower right [E1].", "unsupported"),
        ("The evidence points to a local alteration [E1]. It lies in the lower right [E1].", "unsupported"),
        ("A unicorn was pasted in by my uncle.", "unsupported"),
    ],
)
def test_edits_of_a_draft_with_a_verdict(text, finding):
    found, problems = check_text(text, draft("a.png"))
    assert (found, bool(problems)) == (finding, finding == "unsupported"), problems


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("The noise is 3.5 grey levels [E1].", "supported"),
        ("The noise is 99 grey levels [E1].", "unsupported"),
        ("It lies in the lower right [E1].", "unsupported"),
        ("See for yourself.", "no_claim"),
    ],
)
def test_texts_of_others_without_a_verdict(text, finding):
    record = Record(image="a.png", width=96, height=96, description=text, evidence=evidence())
    assert check_text(text, record)[0] == finding
    assert finding_of_claim(claims_of_draft(record)[0], record) == finding


def test_sentences_made_by_rule_are_not_checked_again():
    record = draft("a.png", worded_by="fakeexplain.reasoning.wording")
    assert [finding_of_claim(c, record) for c in claims_of_draft(record)] == ["supported"] * 3 + ["no_claim"]
