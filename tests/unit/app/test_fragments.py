"""The parts of the page: everything is escaped, every citation of something known is a link, nothing else is."""

from __future__ import annotations

import re

import pytest

from app import fragments
from app.service import Progress
from app.views import picture_view
from fakeexplain.examiner import Examiner, Settings
from tests.pictures import encode, photograph

HOSTILE = "<img src=x onerror=alert(1)> ${alert(1)} \x1b[31m [E1] [E99]"


class Upload:
    """What `picture_view` needs of an upload."""

    def __init__(self, examination, name):
        self.id, self.name, self.examination = "p1", name, examination
        self.notes, self.conversation = [], None


@pytest.fixture(scope="module")
def view():
    examiner = Examiner(Settings(expert=None, instruments=("jpeg_grid", "metadata")))
    examination = examiner.examine(encode(photograph("coffee")[:160, :200]), name=HOSTILE)
    return picture_view(Upload(examination, HOSTILE), has_map=False)


def test_citations_of_what_is_known_are_links_and_nothing_else_is():
    text = str(fragments.cited("One [E1], two [E2, R3], none [E9], <b>bold</b>.", {"E1", "E2", "R3"}))
    assert re.findall(r'data-select="(\w+)"', text) == ["E1", "E2", "R3"]
    assert "[E9]" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert text.count("<a ") == 3


def test_strings_out_of_the_file_are_text(view):
    for markup in (fragments.summary(view), fragments.findings(view, {}), fragments.notes(view)):
        assert "<img src=x" not in markup
        assert "\x1b" not in markup
    assert "&lt;img src=x" in fragments.summary(view)


def test_the_card_says_label_promise_hash_and_limits(view):
    markup = fragments.summary(view)
    assert view.card.title in markup
    assert view.card.promise in markup
    assert f'<code id="fx-sha256">{view.sha256}</code>' in markup
    assert view.card.not_tested
    assert all(str(fragments.cited(s.text, set())) in markup for s in view.card.not_tested if not s.evidence_ids)


def test_every_record_is_in_the_list_once_and_says_what_it_measures(view):
    markup = fragments.findings(view, fragments.tones_of(view.evidence))
    assert sorted(re.findall(r'data-finding="(E\d+)"', markup)) == sorted(e.id for e in view.evidence)
    for item in view.evidence:
        assert str(fragments.cited(item.sentence, {e.id for e in view.evidence})) in markup


def test_an_answer_that_ended_early_says_why_and_stops_blinking():
    pending = fragments.Pending("Why <here>?")
    assert "fx-typing" in fragments.thread((), pending, set(), {})
    pending.error = "took longer than 300 s"
    markup = fragments.thread((), pending, set(), {})
    assert "fx-typing" not in markup
    assert "took longer than 300 s" in markup
    assert "Why &lt;here&gt;?" in markup


def test_progress_counts_instruments():
    markup = fragments.progress(Progress("measuring", 2, 6, "noise"), "a<b>.jpg")
    assert '<progress max="6" value="2"' in markup
    assert "a&lt;b&gt;.jpg" in markup
    assert "<progress" not in fragments.status("done")
