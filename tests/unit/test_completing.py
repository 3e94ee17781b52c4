"""A true answer that is beside the point gets what was asked for; one that has it gets nothing more."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from data_tools.instructions.grammar import forms
from data_tools.instructions.phrases import REGION_FREE
from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.reasoning.quoting import place_of, size_of
from fakeexplain.reasoning.writers import WriteRequest
from fakeexplain.records import Answer
from tests.pictures import copy_move, encode, photograph
from tests.unit.cases import private_jpeg
from tests.writers import Says

FORGED = encode(copy_move(photograph("astronaut"), size=90)[0])
BESIDE = "A change that leaves none of the tested traces would go unnoticed."


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return Examiner(Settings(instruments=("copy_move", "metadata", "noise"), expert=None), threads=1)


def answer(examiner: Examiner, picture: bytes, question: str, said: str, **options: object) -> Answer:
    return Conversation(examiner, picture, writer=Says(said)).ask(question, **options)  # type: ignore[arg-type]


CASES = (
    ("How sure are you?", "%"),
    ("Where was it changed?", "R1"),
    ("What does the metadata say?", "["),
    ("What was not tested?", "generative"),
    ("Which instruments were used?", "repeat"),
    ("What else could explain the finding?", "could also come from"),
    ("What should I do next?", "Ask for the file"),
    ("Explain it to a child.", "stamp used twice"),
    ("Show me the source of the copy.", "R2"),
    ("What does E1 say?", "[E1]"),
    ("Who is the president of France?", "leave it open"),
)


def test_that_a_copy_and_its_source_look_alike_is_said_once(examiner: Examiner) -> None:
    said = "Which of the two came first cannot be told from the trace [E1]."
    found = answer(examiner, FORGED, "Show me the source of the copy.", said)
    assert found.text.count("cannot be told") == 1
    assert "R2" in found.text


@pytest.mark.parametrize(("question", "wanted"), CASES)
def test_what_was_asked_for_is_added_by_rule(examiner: Examiner, question: str, wanted: str) -> None:
    found = answer(examiner, FORGED, question, BESIDE)
    added = [s for s in found.sentences if s.written_by == "rule"]
    assert added, found.text
    assert found.sentences[0].text == BESIDE, "the model's own sentence stays"
    assert wanted in " ".join(s.text for s in added)
    assert found.struck == 0


@pytest.mark.parametrize(("question", "wanted"), CASES)
def test_nothing_is_added_to_an_answer_that_has_it(examiner: Examiner, question: str, wanted: str) -> None:
    by_rule = Conversation(examiner, FORGED).ask(question)
    found = answer(examiner, FORGED, question, by_rule.text)
    assert {s.written_by for s in found.sentences} == {"model"}, found.text


def test_the_size_of_a_region_is_told_where_it_was_asked_for(examiner: Examiner) -> None:
    true = "The finding R1 lies there [E1]."
    found = answer(examiner, FORGED, "How large is R1?", true)
    assert [s.written_by for s in found.sentences] == ["model", "rule"]
    assert "of the image" in found.sentences[1].text
    assert not [s for s in answer(examiner, FORGED, "What is in R1?", true).sentences if s.written_by == "rule"]


def test_who_asks_for_the_size_of_a_region_is_told_its_size_alone(examiner: Examiner) -> None:
    talk = Conversation(examiner, FORGED)
    region = talk.add_region(box_xyxy=(400, 400, 500, 500))
    assert [s.evidence_ids for s in talk.ask(f"How large is {region.id}?").sentences] == [()]
    assert [s.evidence_ids for s in talk.ask("How large is R1?").sentences] == [("E1",)]
    told = f"{region.id} covers {size_of(region)}."
    found = answer(examiner, FORGED, "How large is it?", told, region=(400, 400, 500, 500))
    assert [s.written_by for s in found.sentences] == ["model"]


@pytest.mark.parametrize("form", sorted(f for template in REGION_FREE["manipulated"] for f in forms(template)))
def test_that_no_finding_touches_a_region_is_told_once(examiner: Examiner, form: str) -> None:
    """After "R3 is not touched by a finding" came "No finding touches R3"."""
    first = Conversation(examiner, FORGED)
    region = first.add_region(box_xyxy=(470, 470, 510, 510))
    place = place_of(first.examination.evidence[0].region)
    said = form.replace("<region>", region.id).replace("<place>", place).replace("<cites>", "[E1]")
    found = answer(examiner, FORGED, "Was this part edited?", said, region=(470, 470, 510, 510))
    assert said in found.text
    assert len(re.findall(r"[Nn]o finding|not touched|free of", found.text)) == 1, found.text


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("How large is the picture in pixels?", "512 x 512"),
        ("Is the file good enough for an examination?", "quality"),
        ("How was it altered?", "as it does when one was copied over the other"),
    ],
)
def test_what_no_writer_is_told_of_is_left_to_the_rules(examiner: Examiner, question: str, wanted: str) -> None:
    found = answer(examiner, FORGED, question, BESIDE)
    assert wanted in found.text
    assert BESIDE not in found.text


def test_a_probability_comes_with_its_promise(examiner: Examiner) -> None:
    whole = Conversation(examiner, FORGED).ask("How sure are you?")
    alone = whole.sentences[0].text
    found = answer(examiner, FORGED, "How sure are you?", alone)
    assert [s.text for s in found.sentences] == [alone, whole.sentences[-1].text]


def test_a_record_that_was_named_is_told_whatever_was_asked(examiner: Examiner) -> None:
    found = answer(examiner, FORGED, "Explain E1 to a child.", BESIDE)
    assert any("E1" in s.evidence_ids for s in found.sentences)


def test_a_measurement_asked_for_is_made(examiner: Examiner) -> None:
    found = answer(examiner, FORGED, "Measure the noise there.", BESIDE, region=(40, 200, 300, 460))
    assert [c.instrument for c in found.tool_calls] == ["noise"]
    assert found.evidence[0].id in {i for s in found.sentences for i in s.evidence_ids}


def test_a_measurement_that_was_made_is_told(examiner: Examiner) -> None:
    class Measures(Says):
        def write(self, request: WriteRequest) -> Iterator[str]:
            yield self.text + "\n" if request.calls else f"measure noise on {request.region_id}\n"

    talk = Conversation(examiner, FORGED, writer=Measures(BESIDE))
    region = talk.add_region(box_xyxy=(40, 200, 300, 460))
    found = talk.ask(f"Please measure the noise on {region.id}.")
    assert len(found.tool_calls) == 1
    assert found.evidence[0].id in {i for s in found.sentences for i in s.evidence_ids}


def test_the_metadata_asked_for_is_told(examiner: Examiner) -> None:
    found = answer(examiner, private_jpeg(), "Which camera took this picture?", BESIDE)
    facts = {e.id for e in examiner.examine(private_jpeg()).evidence if e.kind == "fact"}
    assert facts & {i for s in found.sentences for i in s.evidence_ids}


class GoesOn(Says):
    """Says one thing, and another when it is asked for more."""

    def __init__(self, text: str, more: str) -> None:
        super().__init__(text)
        self.more, self.asked = more, []

    def write(self, request: WriteRequest) -> Iterator[str]:
        self.asked.append(request)
        yield (self.more if request.more else self.text) + "\n"


def test_a_model_may_go_on_before_the_rules_complete_its_answer(examiner: Examiner) -> None:
    whole = [s.text for s in Conversation(examiner, FORGED).ask("How sure are you?").sentences]
    writer = GoesOn(whole[0], whole[-1])
    found = Conversation(examiner, FORGED, writer=writer).ask("How sure are you?")
    assert [(s.text, s.written_by) for s in found.sentences] == [(whole[0], "model"), (whole[-1], "model")]
    (request,) = (r for r in writer.asked if r.more)
    assert request.said == whole[0]
    assert whole[0] in request.feedback


@pytest.mark.parametrize("more", [BESIDE, "There are 12 % of it in R9 [E77].", "measure noise on R1", ""])
def test_what_goes_on_without_what_was_asked_for_is_left_out(examiner: Examiner, more: str) -> None:
    whole = [s.text for s in Conversation(examiner, FORGED).ask("How sure are you?").sentences]
    found = Conversation(examiner, FORGED, writer=GoesOn(whole[0], more)).ask("How sure are you?")
    assert [(s.text, s.written_by) for s in found.sentences] == [(whole[0], "model"), (whole[-1], "rule")]
    assert not found.tool_calls
    assert found.struck == 0


def test_nobody_goes_on_where_nothing_is_missing(examiner: Examiner) -> None:
    whole = Conversation(examiner, FORGED).ask("How sure are you?").text
    writer = GoesOn(whole, BESIDE)
    Conversation(examiner, FORGED, writer=writer).ask("How sure are you?")
    assert not [r for r in writer.asked if r.more]


def test_a_measurement_does_not_stand_for_what_was_found(examiner: Examiner) -> None:
    """Asked whether a finding lies in a region, a model measured its noise and said no more."""

    class Measures(Says):
        def write(self, request: WriteRequest) -> Iterator[str]:
            yield self.text + "\n" if request.calls else f"measure noise on {request.region_id}\n"

    for box, wanted in (((40, 200, 300, 460), "finding"), ((0, 0, 60, 40), "No finding touches")):
        talk = Conversation(examiner, FORGED, writer=Measures(BESIDE))
        region = talk.add_region(box_xyxy=box)
        found = talk.ask("Is any finding in there?", region=region.id)
        assert len(found.tool_calls) == 1
        added = " ".join(s.text for s in found.sentences if s.written_by == "rule")
        assert wanted in added
        assert region.id in added
