"""Answers to everyday questions: places in words, things, and questions that one related record does not answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.reasoning.grounding import Checker
from fakeexplain.reasoning.intents import find_place, understand
from fakeexplain.reasoning.plain_records import TEXT
from fakeexplain.reasoning.writers import WriteRequest
from tests.writers import Says

SPLICE = Path(__file__).parents[2] / "examples" / "splice.jpg"


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return Examiner(Settings(expert=None, wording="plain"), threads=1)


@pytest.fixture
def talk(examiner: Examiner) -> Conversation:
    return Conversation(examiner, SPLICE)


def test_a_half_is_a_half_and_its_box_is_told(talk: Conversation) -> None:
    width, height = talk.source.width, talk.source.height
    answer = talk.ask("Was the left half edited?")
    (region,) = [r for r in answer.regions if r.box_xyxy == (0, 0, width // 2, height)]
    first = answer.sentences[0].text
    assert first == f"No finding touches {region.id}, along the left side; the finding lies in the lower right [E1]."
    assert answer.text.count("No finding touches") == 1, "told once"
    touched = talk.ask("And the right half?")
    assert re.match(r"\d[\d.]* % of R\d+, along the right side, lies inside the finding R1 \[E1\]", touched.text)
    assert touched.text.count("lies inside the finding R1") == 1
    third = talk.ask("And the lower third?").regions[0]
    assert third.box_xyxy == (0, 2 * height // 3, width, height)


@pytest.mark.parametrize(
    "question", ["Is this right?", "It is real, right?", "Are the colours right?", "Why is the noise lower?"]
)
def test_words_that_are_no_places(question: str) -> None:
    assert understand(question).place == ""


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What about the top?", "upper part"),
        ("And on the right?", "right side"),
        ("Is the left edited?", "left side"),
        ("and the lower right corner?", "lower right"),
        ("in the upper third", "upper part"),
        ("What about the bottom right corner?", "lower right"),
        ("Anything odd about the top left?", "upper left"),
    ],
)
def test_words_that_are_places(question: str, words: str) -> None:
    assert find_place(question)[0] == words


@pytest.mark.parametrize("question", ["Is the face real?", "What about the sky?"])
def test_a_thing_is_not_recognised_whoever_answers(talk: Conversation, question: str) -> None:
    assert TEXT["thing"] in talk.ask(question).text
    talk.writer = Says("The examination found evidence that a part of this picture was altered [E1].")
    assert TEXT["thing"] in talk.ask(question).text


@pytest.mark.parametrize("line", ["", "The search for areas that repeat each other found nothing beyond chance [E4]."])
def test_what_was_pasted_is_not_answered_with_nothing_where_something_was_found(talk: Conversation, line: str) -> None:
    assert talk.examination.verdict.label == "manipulated"
    if line:
        talk.writer = Says(line)
    answer = talk.ask("Which part is the copy of another one?")
    assert any(set(talk.examination.verdict.deciding_ids) & set(s.evidence_ids) for s in answer.sentences)
    assert "evidence" in answer.text


def test_what_was_not_tested_is_told_whole(talk: Conversation) -> None:
    first = talk.examination.verdict.not_tested[0]
    talk.writer = Says(f"Not tested: {first}.")
    answer = talk.ask("What was not tested?")
    for item in talk.examination.evidence:
        if item.kind == "abstention":
            assert f"[{item.id}]" in answer.text or item.reason in answer.text


def test_facts_about_the_file_are_those_of_the_file(talk: Conversation) -> None:
    facts = [e for e in talk.examination.evidence if e.kind == "fact"]
    grid = next(e for e in facts if e.instrument == "jpeg_grid")
    talk.writer = Says(f"Origin (x, y) of the JPEG grid of the whole picture, as stored: (0, 0) [{grid.id}].")
    answer = talk.ask("What does the file say about itself?")
    assert all(f"[{e.id}]" in answer.text for e in facts if e.instrument == "metadata")


def test_nobody_is_left_without_an_answer(examiner: Examiner) -> None:
    class Silent:
        name = "silent"

        def write(self, request: WriteRequest) -> Iterator[str]:
            return iter(())

    for question in ("Can I publish this picture?", "Thanks!", "asdf qwer", ""):
        assert Conversation(examiner, SPLICE, writer=Silent()).ask(question).sentences
        talk = Conversation(examiner, SPLICE, writer=Silent())
        talk._plain = Silent()  # type: ignore[assignment]
        assert talk.ask(question).sentences


def test_no_figure_is_told_of_a_region_that_could_be_measured(examiner: Examiner) -> None:
    talk = Conversation(examiner, SPLICE)
    region = talk.add_region(box_xyxy=(20, 20, 160, 160))
    talk.ask(f"measure region_contrast on {region.id}")
    item = talk.evidence[-1]
    checker = Checker(talk.examination, talk.evidence, talk.regions)
    glued = f"There is no figure for {region.id}: {item.quantity}, {item.value} [{item.id}]."
    assert checker.check(glued).finding == "unsupported"


def test_who_asks_what_can_be_asked_is_told(talk: Conversation) -> None:
    """The checker refused "how sure", and with it the whole answer."""
    assert TEXT["help"] in talk.ask("What can you do?").text
