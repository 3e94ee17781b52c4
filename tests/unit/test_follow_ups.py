"""Words that point back are given ids; languages other than English are noticed, names and loanwords are not."""

from __future__ import annotations

import numpy as np
import pytest

from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.reasoning.follow_ups import foreign, resolved
from fakeexplain.records import Region
from tests.pictures import copy_move, encode, photograph


def _region(name: str, y: int, x: int, side: int) -> Region:
    mask = np.zeros((90, 90), bool)
    mask[y : y + side, x : x + side] = True
    return region_of_mask(mask, name)


REGIONS = {r.id: r for r in (_region("R1", 5, 5, 10), _region("R2", 60, 60, 20), _region("R3", 10, 70, 5))}


@pytest.mark.parametrize(
    ("question", "last", "meant"),
    [
        ("And there?", ["R2"], "R2"),
        ("what about that spot", ["R3", "R1"], "R3"),
        ("ok, and this one?", ["R2"], "R2"),
        ("How about the other one?", ["R1", "R2"], "R2"),
        ("How about the other one?", ["R2"], "R1"),
        ("and the second finding?", ["R1", "R2"], "R2"),
        ("what of the first place?", ["R1", "R2"], "R1"),
        ("What about the left one?", ["R2", "R1"], "R1"),
        ("and the lower one?", ["R1", "R2"], "R2"),
        ("Is the smaller spot edited too?", ["R1", "R2"], "R1"),
        ("Is the biggest area edited?", [], "R2"),
        ("How noisy is that area?", ["R3"], "R3"),
    ],
)
def test_words_that_point_back_get_the_id_they_mean(question, last, meant) -> None:
    assert resolved(question, last, REGIONS) == f"{question} ({meant})"


@pytest.mark.parametrize("question", ["Compare both places", "how do the two differ?", "Are these two areas alike?"])
def test_two_places_are_compared(question) -> None:
    assert resolved(question, ["R3", "R2"], REGIONS) == "compare R3 and R2"
    assert resolved(question, ["R2"], REGIONS) == "compare R2 and R1"


@pytest.mark.parametrize(
    "question",
    [
        "And there?",
        "Where was this picture taken?",
        "Is R2 edited?",
        "Was the sky changed?",
        "How does the file differ from other files?",
        "Was the other version changed?",
        "What is in the left corner?",
        "Is that true?",
    ],
)
def test_other_questions_stay_as_they_are(question) -> None:
    assert resolved(question, [], REGIONS) == question


@pytest.mark.parametrize(
    "question", ["Tell me more", "more details, please", "And?", "go on", "Please tell me more about it."]
)
def test_more_is_asked_for(question) -> None:
    assert resolved(question, ["R1"], REGIONS) == "explain in detail"


def test_languages() -> None:
    for question in (
        "Ist das Bild gefälscht?", "Warum?", "wo?", "Est-ce que cette photo a été truquée ?", "¿Dónde?", "Perché?",
        "Is deze foto bewerkt?", "Essa foto foi editada? Onde?", "这张照片被修改过吗？", "вот это фото настоящее?",
    ):  # fmt: skip
        assert foreign(question), question
    for question in (
        "Is this real?", "Why?", "Was it altered in São Paulo?", "Does the café sign look odd?", "noise on R2", "sky?",
        "Is die Zeit's photo real?", "r u sure", "E3?", "", "ok",
    ):  # fmt: skip
        assert not foreign(question), question


def test_a_dialogue_keeps_its_thread() -> None:
    forged = copy_move(photograph("astronaut")[:320, :400], size=80, shift=(10, 200))[0]
    talk = Conversation(Examiner(Settings(expert=None), threads=1), encode(forged))
    where = talk.ask("Where?")
    assert len(where.regions) == 2
    there, other = talk.ask("and there?"), talk.ask("And the bottom right?")
    assert there.question == "and there?", "what was typed is what is kept"
    assert there.regions[0] == where.regions[0]
    assert "not sure what you ask" not in there.text
    assert talk.ask("and that area?").regions[0] == other.regions[0]
    german = talk.ask("Ist das Bild gefälscht?")
    assert german.sentences[-1].finding == "no_claim"
    assert "English" in german.sentences[-1].text
    assert "English" not in talk.ask("Is it forged?").text
