"""Conversations within the service: they outlive their pixels, change writers, and stop in mid-sentence."""

from __future__ import annotations

import time

import numpy as np
import pytest

from app import handlers
from app.errors import TaskCancelledError
from app.service import Service, ServiceLimits
from fakeexplain.examiner import Settings
from fakeexplain.records import Answer
from tests.pictures import encode, photograph

FACTS = Settings(instruments=("metadata",), expert=None)


class Endless:
    """Writes for ever without ending a sentence."""

    name = "endless"
    closed = 0

    def write(self, request):
        try:
            while True:
                time.sleep(0.01)
                yield "and "
        finally:
            Endless.closed += 1


@pytest.fixture
def made(tmp_path):
    writers = {"plain": lambda: None, "endless": Endless}
    limits = ServiceLimits(workers=1, warm_megapixels=0.01)
    with Service(FACTS, limits, folder=tmp_path, writers=writers) as service:
        yield service


def png(seed: int) -> bytes:
    return encode(np.random.default_rng(seed).integers(0, 255, (96, 96, 3), np.uint8))


def test_a_conversation_outlives_its_pixels(made):
    first = handlers.examine(made, png(1), "a.png")
    region = handlers.add_region(made, first.id, box_xyxy=(90, 90, 10, 10))
    assert region.box_xyxy == (10, 10, 90, 90)
    answer = list(handlers.ask(made, first.id, "How sure are you?"))[-1]
    handlers.examine(made, png(2), "b.png")  # beyond the budget: the first one's pixels are let go
    assert "source" not in vars(made.picture(first.id).conversation)
    assert handlers.show_region(made, first.id, region.id).mask == region.mask
    again = list(handlers.ask(made, first.id, "What could not be tested?", region=region.id))[-1]
    talk = made.picture(first.id).conversation
    assert [t.text for t in talk.turns] == [answer.text, again.text]


def test_an_answer_ends_with_the_whole_of_it(made):
    view = handlers.examine(made, png(3), "a.png")
    events = list(handlers.ask(made, view.id, "How sure are you?"))
    assert [isinstance(e, Answer) for e in events].count(True) == 1
    assert isinstance(events[-1], Answer)
    assert events[-1].text == " ".join(s.text for s in events[-1].sentences)


def test_a_refined_region_can_be_asked_about(made):
    view = handlers.examine(made, png(4), "a.png")
    layer = handlers.refine(made, view.id, [(48, 48, True)])
    assert layer.id in handlers.all_regions(made.picture(view.id))


def test_a_writer_stops_in_mid_sentence_and_the_turn_is_not_kept(made):
    view = handlers.examine(made, png(5), "a.png")
    task = handlers.submit_question(made, view.id, "Why?", writer="endless")
    time.sleep(0.3)
    task.cancel()
    with pytest.raises(TaskCancelledError):
        task.result(20)
    assert Endless.closed == 1
    assert made.picture(view.id).conversation.turns == ()
    assert list(handlers.ask(made, view.id, "How sure are you?", writer="plain"))[-1].writer == "plain"


def test_the_expert_s_map_can_be_asked_about_though_it_is_not_kept(tmp_path):
    with Service(Settings(instruments=("metadata",)), ServiceLimits(workers=1), folder=tmp_path) as service:
        picture = handlers.examine(service, encode(photograph("chelsea")), "a.png")
        answer = list(handlers.ask(service, picture.id, "What does the heat map show?", writer="plain"))[-1]
        assert "The expert's map marks" in answer.text or "stand" in answer.text
        assert "not kept" not in answer.text
        talk = service.picture(picture.id).conversation
        assert all(e.score_map is None for e in talk.examination.evidence)
