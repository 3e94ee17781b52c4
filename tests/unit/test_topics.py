"""What stands behind a question in a prompt: what it is taken to ask for, and which findings touch its region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from data_tools.schema import Message, Record
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import decode_mask, mask_of_box, region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.reasoning.prompting import assistant_messages, messages, question_text, region_line, text_messages
from fakeexplain.reasoning.topics import topic_line
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.writers import WriteRequest
from tests.pictures import copy_move, encode, photograph
from training.assistant_data import Row
from training.assistant_prompts import dialogues_of

FAST = Settings(instruments=("copy_move", "metadata"), expert=None)


@pytest.fixture(scope="module")
def request_about_r1() -> WriteRequest:
    source = SourceImage.from_bytes(encode(copy_move(photograph("astronaut"), size=90)[0]), name="forged.png")
    examination = Examiner(FAST, threads=1).examine(source)
    assert examination.verdict.label == "manipulated"
    regions = {r.id: r for e in examination.evidence for r in (e.region, e.partner) if r is not None}
    return WriteRequest(
        source=source,
        examination=examination,
        evidence=examination.evidence,
        regions=MappingProxyType(regions),
        history=(("How certain is that?", "The probability is put at 97 % [E1]."),),
        question="What did you find in R1?",
        region_id="R1",
    )


def test_a_reader_that_is_not_sure_says_nothing():
    assert topic_line("Blorp the frindle?") == ""
    assert topic_line("What did you find there?", "R4") == "(asks for: what was found in R4)"


def test_the_line_stands_behind_every_question_for_our_own_models_only(request_about_r1):
    ours, others = messages(request_about_r1), text_messages(request_about_r1)
    asked = [m["content"] for m in ours if m["role"] == "user"]
    assert asked[0].endswith("How certain is that?\n(asks for: the probability)")
    assert asked[1].startswith("What did you find in R1?\n(asks for: what was found in R1)\nR1 <region> (")
    assert not any("asks for" in m["content"] for m in others)


def test_the_line_of_a_region_tells_the_findings_that_touch_it(request_about_r1):
    verdict, evidence = request_about_r1.examination.verdict, request_about_r1.evidence
    finding = request_about_r1.regions["R1"]
    assert "; is a finding [E1]" in region_line(finding, evidence, verdict)
    x0, y0, x1, y1 = finding.box_xyxy
    source = request_about_r1.source
    around = region_of_mask(mask_of_box((x0, y0, x1, y1), source.height, source.width), "R9")
    share = decode_mask(finding.mask)[y0:y1, x0:x1].mean()
    assert touching(around, evidence)[0][2] == pytest.approx(share)
    assert "of it lies inside R1 [E1]" in region_line(around, evidence, verdict)
    corner = region_of_mask(mask_of_box((0, 0, 12, 12), source.height, source.width), "R9")
    assert touching(corner, evidence) == []
    assert region_line(corner, evidence, verdict).endswith("; no finding touches it")


def test_training_reads_what_a_conversation_shows(request_about_r1):
    """Also where the question names a region that nobody drew: a conversation takes it to be about that one."""
    request, examination = request_about_r1, request_about_r1.examination
    question, answer = request.history[0]
    record = Record(
        image="forged.png",
        evidence=examination.evidence,
        history=({"on": "examination", "verdict": examination.verdict.model_dump(mode="json")},),
        dialogue=(
            Message(role="user", content=question),
            Message(role="assistant", content=answer),
            Message(role="user", content=request.question),
            Message(role="assistant", content="R1 is a finding [E1]."),
        ),
    )
    learned = list(dialogues_of(Row(0, record, Path())))
    assert list(learned[-1].messages[:-1]) == assistant_messages(request)
    assert (learned[-1].regions["R1"] == decode_mask(request.regions["R1"].mask)).all()


def test_the_line_of_a_record_that_a_question_names_is_told_again(request_about_r1):
    request = replace(request_about_r1, question="What does E1 say?", region_id=None)
    ours, others = assistant_messages(request)[-1]["content"], text_messages(request)[-1]["content"]
    line = next(line for line in assistant_messages(request)[1]["content"].splitlines() if line.startswith("E1 "))
    assert ours.splitlines() == ["What does E1 say?", "(asks for: record E1)", line]
    assert "{E1 cause1}" in line  # long quotations by reference here, too
    assert others == "What does E1 say?"
    nobody = replace(request, question="What does E77 say?")
    assert len(assistant_messages(nobody)[-1]["content"].splitlines()) == 2


def test_what_a_question_is_about_is_shown_again_behind_it():
    assert question_text("What does the heat map show?").splitlines()[1:] == [
        "(asks for: what the map marks)",
        "<mask>",
    ]
    assert question_text("Describe the picture.").endswith("\n<image>")
    assert "<mask>" not in question_text("How sure are you? <mask>")
    assert "<mask>" not in question_text("What does the heat map show?", topic=False)
