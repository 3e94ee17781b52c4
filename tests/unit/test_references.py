"""References: what an answer takes from the records is named, and put in from there."""

from __future__ import annotations

import pytest

from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.grounding import Checker
from fakeexplain.reasoning.prompting import assistant_messages, evidence_lines, messages, references_of
from fakeexplain.reasoning.references import REFERENCE, References
from tests.pictures import copy_move, encode, photograph

FAST = Settings(instruments=("copy_move", "metadata"), expert=None)
QUESTIONS = (
    "Why do you say so?",
    "Where was it changed?",
    "How certain is that?",
    "What else could cause it?",
    "What does the file say?",
    "How large is R1?",
    "measure noise on R1",
    "What was not tested?",
)


@pytest.fixture(scope="module")
def talk() -> Conversation:
    picture = SourceImage.from_bytes(encode(copy_move(photograph("astronaut"), size=90)[0]), name="forged.png")
    made = Conversation(Examiner(FAST, threads=1), picture)
    assert made.examination.verdict.label == "manipulated"
    for question in QUESTIONS:
        made.ask(question)
    return made


@pytest.fixture(scope="module")
def references(talk) -> References:
    return References(talk.examination.verdict, talk.evidence, talk.regions, talk._failed)


def test_what_is_put_is_filled_again_letter_by_letter(talk, references):
    referred = 0
    for answer in talk.turns:
        for text in (answer.text, *(s.text for s in answer.sentences)):
            assert references.fill(references.put(text)) == text
        referred += len(REFERENCE.findall(references.put(answer.text)))
    assert referred > 20
    for name in references.names:
        assert "{" not in references.fill("{" + name + "}")


def test_figures_places_and_quotations_become_references(talk, references):
    found = next(e for e in talk.evidence if e.id == "E1")
    assert found.region is not None
    put = references.put(f"In the {found.region.words.rpartition(', ')[0]} lies R1 [E1].")
    assert put == "{R1 Place} lies R1 [E1]."
    probability = references.fill("The probability is put at {probability} [E1].")
    assert "%" in probability
    assert references.put(probability) == "The probability is put at {probability} [E1]."
    assert references.put("The probability is put at 12.3 % [E1].") == "The probability is put at 12.3 % [E1]."
    said = references.fill("It was {E1 value}, beside {E1 reference} ({E1 against}) [E1].")
    assert "{" not in said
    assert said.count("[E1]") == 1
    assert references.put(said) == "It was {E1 value}, beside {E1 reference} ({E1 against}) [E1]."


def test_a_figure_belongs_to_the_record_that_is_cited(talk):
    """The same string in two records refers to the one that the sentence cites."""
    first = next(e for e in talk.evidence if e.kind == "detection")
    twin = first.model_copy(update={"id": "E77"})
    both = References(talk.examination.verdict, (*talk.evidence, twin), talk.regions)
    value = both.fill("{E77 value}")
    assert both.put(f"A figure of {value} [E77].") == "A figure of {E77 value} [E77]."
    assert both.put(f"A figure of {value} [E1].") == "A figure of {E1 value} [E1]."


def test_a_test_that_found_nothing_has_no_figure_to_tell(talk):
    quiet = talk.evidence[0].model_copy(update={"id": "E9", "log10_nfa": 0.0, "p_value": None})
    references = References(talk.examination.verdict, (quiet,), {})
    assert [n for n in references.names if n.startswith("E9 ")] == ["E9 instrument"]
    text = "The search for areas that repeat each other found nothing beyond chance [E9]."
    assert references.put(text) == "{E9 Instrument} found nothing beyond chance [E9]."
    assert references.fill("{E9 Instrument} found nothing beyond chance [E9].") == text
    assert references.fill("At {E9 value} it is high [E9].") == "At {E9 value} it is high [E9]."


def test_what_no_record_holds_is_refused_by_the_checker(talk):
    checker = Checker(talk.examination, talk.evidence, talk.regions)
    for sentence in ("The value is {E1 cause9} [E1].", "The finding lies {R1 place [E1].", "At {E99 value} [E1]."):
        found = checker.check(references_in(talk).fill(sentence))
        assert found.finding == "unsupported"
        assert "refers to something that no record holds" in found.problems


def references_in(talk: Conversation) -> References:
    return References(talk.examination.verdict, talk.evidence, talk.regions)


def test_braces_of_a_stranger_are_not_filled(talk):
    """A file that writes a reference into its own tags gets it back as it is."""
    fact = talk.examination.evidence[-1].model_copy(
        update={"id": "E50", "kind": "fact", "instrument": "metadata", "value": "{E1 value} {probability}"}
    )
    references = References(talk.examination.verdict, (*talk.evidence, fact), talk.regions)
    assert references.fill("It says “{E50 value}” [E50].") == "It says “{E1 value} {probability}” [E50]."


def test_pieces_are_filled_once_a_reference_is_whole(references):
    text = "It lies {R1 place}, {R1 size}. {R1 Place} and { alone, and {E1 "
    for size in (1, 3, 7, 100):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        given = list(references.filled(pieces))
        assert "".join(given) == references.fill(text)
    first = next(references.filled(iter(["It ", "lies {R1 place}."])))
    assert first == "It "


def test_lines_keep_figures_and_refer_to_long_quotations(talk, references):
    whole = evidence_lines(talk.examination, talk.evidence)
    short = [references.shorten(line) for line in whole]
    assert sum(map(len, short)) < 0.8 * sum(map(len, whole))
    line = next(s for s in short if s.startswith("E1 "))
    assert "{E1 cause1}" in line
    assert references.fill("{E1 value}") in line
    assert "{E1 value}" not in line
    assert [references.fill(s) for s in short] == whole


def test_only_our_own_assistant_is_asked_to_refer(talk):
    from dataclasses import replace

    from fakeexplain.answering import Turn

    request = Turn(talk, "Why do you say so?", None)._request()
    ours, others = assistant_messages(request), messages(request)
    assert [m["role"] for m in ours] == [m["role"] for m in others]
    assert "{E1 " in ours[1]["content"]
    assert not any(REFERENCE.search(m["content"]) for m in others)
    references = references_of(request)
    for mine, theirs in zip(ours[1:], others[1:], strict=True):
        assert references.fill(mine["content"]) == theirs["content"]
    failed = replace(request, failed=(("R1", "too small"),))
    assert (
        references_of(failed).fill("R1 could not be measured: {R1 failure}.") == "R1 could not be measured: too small."
    )


def test_what_the_question_is_about_has_a_name_of_its_own(talk):
    about = References(
        talk.examination.verdict, talk.evidence, talk.regions, [("R1", "too small")], region_id="R1", record_id="E1"
    )
    for text, named in (
        ("R1 could not be measured: too small.", "{region} could not be measured: {region failure}."),
        ("measure noise on R1", "measure noise on {region}"),
        (f"R1 lies {about.fill('{R1 place}')} [E1].", "{region} lies {region place} [{record}]."),
        (f"The figure is {about.fill('{E1 value}')} [E1].", "The figure is {record value} [{record}]."),
        (f"{about.fill('{R2 in R1}')} of R2 is inside R1 [E1].", "{R2 in region} of R2 is inside {region} [{record}]."),
        ("R10 and E12 are others.", "R10 and E12 are others."),
    ):
        assert about.put(text, answers=True) == named
        assert about.fill(named) == text
        assert "region" not in about.put(text).replace("region}", "")  # in answers of earlier turns ids stay
    assert {"region", "record", "region place", "record value", "region in R2", "R2 in region"} <= set(about.names)
    plain = References(talk.examination.verdict, talk.evidence, talk.regions)
    assert plain.put("R1 [E1].", answers=True) == "R1 [E1]."
    assert not {"region", "record"} & set(plain.names)
