"""One question on its way to an answer: what a writer proposes is read back, then shown, replaced or dropped.

Works on a `fakeexplain.conversation.Conversation`, which keeps regions, evidence and turns. Left out: the checking
(`reasoning.grounding`) and the wording (the writers).
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.completing import alike, completion
from fakeexplain.reasoning.follow_ups import foreign, resolved
from fakeexplain.reasoning.grounding import Checked, Checker
from fakeexplain.reasoning.intents import ANSWERABLE, Asked, part_box, understand
from fakeexplain.reasoning.particulars import intent_of
from fakeexplain.reasoning.plain_answers import PlainAnswers
from fakeexplain.reasoning.plain_records import TEXT
from fakeexplain.reasoning.plain_writer import PlainWriter, TellingWriter
from fakeexplain.reasoning.sentences import Sentences
from fakeexplain.reasoning.touching import touching
from fakeexplain.reasoning.writers import SEG_MARK, SegmentingWriter, Writer, WriteRequest, tool_line
from fakeexplain.records import Answer, AnswerSentence, Evidence, Region, ToolCall
from fakeexplain.verdict import EXPERT

if TYPE_CHECKING:
    from fakeexplain.conversation import Conversation, RegionChoice

MAX_CALLS = 4  # measurements in one turn
MAX_SENTENCES = 60  # of one turn; a writer that goes on and on is stopped
MAX_AGAIN, MAX_ON = 6, 3  # regenerations in one turn, and times that a writer is asked to go on
LONGEST_QUESTION = 4000
Event = AnswerSentence | ToolCall | Answer
_DECLINES = re.compile(r"\b(?:cannot help with|have no answer to) that\b|\boutside of what an examination")
_PLAINLY = {
    "detect": "Was this picture altered?",
    "locate": "Where was it altered?",
    "confidence": "How sure are you?",
    "causes": "What else could cause it?",
    "not_tested": "What was not tested?",
    "next_steps": "What should be done next?",
    "file": "What does the file say about itself?",
    "source_of_copy": "Which area was copied?",
    "map": "What does the heat map show?",
    "picture": "Describe the picture.",
}
_UNTOLD = frozenset({"quality", "operation", "glossary"})
_OF_FILE = re.compile(r"\b(?:file|picture|photo\w*|image|pics?|pixels?|resolution|width|height)\b", re.IGNORECASE)
_NO_MORE = (
    f"No more than {('zero', 'one', 'two', 'three', 'four', 'five')[MAX_CALLS]} measurements are made for one question."
)
_LEFT_OUT = (
    "Your answer so far: “{said}” It leaves out something that was asked for. Go on with one sentence that says it."
)
_ENGLISH_ONLY = (
    "Only English is understood well here, and answers come in English; where this one does not fit, ask in English."
)


def _sentences(writer: Writer, request: WriteRequest) -> Generator[str, None, None]:
    """What a writer proposes, sentence by sentence; whoever stops listening stops the writer."""
    splitter = Sentences()
    pieces = writer.write(request)
    try:
        for piece in pieces:
            yield from splitter.feed(piece)
        yield from splitter.flush()
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _by_rule(writer: Writer) -> bool:
    return isinstance(writer, (PlainWriter, TellingWriter))


class Turn:
    """One question on its way to an answer."""

    def __init__(self, talk: Conversation, question: str, region: RegionChoice | None) -> None:
        self.talk, self.started = talk, time.perf_counter()
        self.question = printable(" ".join(question.split()), LONGEST_QUESTION)
        self.chosen = talk._choose(region)
        last = next(([r.id for r in turn.regions] for turn in reversed(talk._turns) if turn.regions), [])
        self.meant = self.question if self.chosen is not None else resolved(self.question, last, talk._regions)
        self.asked = Asked("unclear")  # read once `run` knows what the question is about
        self.asked_rule = isinstance(talk.writer, PlainWriter)
        self.sentences: list[AnswerSentence] = []
        self.calls: list[ToolCall] = []
        self.fresh: list[Evidence] = []
        self.pointed: list[Region] = []
        self.struck = self.again = 0
        self.told_otherwise: set[str] = set()  # sentences that would say again what was shown in other words
        self.told_before = 0  # sentences shown before the last call, which the writer's prompt begins anew after
        self.first_seconds: float | None = None

    def run(self) -> Iterator[Event]:
        talk = self.talk
        command = tool_line(self.question)
        asked = understand(self.meant, has_region=self.chosen is not None)
        if self.chosen is None and asked.box_xyxy is not None:
            try:
                self.chosen = talk.add_region(box_xyxy=asked.box_xyxy)
            except MeasurementError:
                self.chosen = None  # four numbers that are no box of this picture
        elif self.chosen is None and asked.intent == "region" and asked.part is not None:
            self.chosen = talk.add_region(box_xyxy=part_box(asked.part, talk.source.width, talk.source.height))
            answers = self._answers()
            yield from self._told_by_rule(answers.touching(self.chosen, placed=True))
            self.told_otherwise = set(answers.touching(self.chosen) if self.sentences else ())
        elif self.chosen is None and asked.region_ids and asked.region_ids[0] in talk._regions:
            self.chosen = talk._regions[asked.region_ids[0]]
        if self.chosen is not None:
            self.pointed.append(self.chosen)
            asked = understand(self.meant, has_region=True)
        self.asked = asked
        if command is not None:
            yield self._call(*command, self.question)
        elif (region := self._to_test()) is not None:
            yield self._call(EXPERT, region.id, f"measure {EXPERT} on {region.id}")
        yield from self._rounds(TellingWriter(*command) if command else self._writer())
        states = any(s.finding != "no_claim" for s in self.sentences)
        if not states and not self.asked_rule and (self.struck or not self.sentences):
            yield from self._rounds(talk._plain, replacing=True)
        if not self.asked_rule and command is None:
            yield from self._completed()
        if not self.sentences:  # whatever happened, somebody asked
            yield from self._told_by_rule(self._answers().detect())
        if foreign(self.question):
            yield from self._show(Checked(_ENGLISH_ONLY, "no_claim"), "rule", "no_claim")
        yield self._finish()

    def _writer(self) -> Writer:
        """Who answers: of quality, kind of edit, file size and single entries of the file, writers are told nothing or
        not enough (`prompting`)."""
        asked = self.asked
        untold = _UNTOLD | {intent_of(t) for t in asked.things}
        if asked.intent == "dimensions" and _OF_FILE.search(self.question):
            untold |= {"dimensions"}
        by_rule = asked.certain and untold.issuperset((asked.intent, *asked.also))
        return self.talk._plain if by_rule else self.talk.writer

    def _to_test(self) -> Region | None:
        """The region to ask the expert about by itself: one that the question is about, that no finding touches, and
        that the examination did not mark itself."""
        talk, region = self.talk, self.chosen
        wanted = self.asked.intent == "region" and self.asked.certain and not self.asked.size
        if region is None or not wanted or not talk.examiner.tests_regions or not talk.examination.quality.examinable:
            return None
        if region.id in talk.examination.marked_by or touching(region, self._answers().findings):
            return None
        return region

    def _completed(self) -> Iterator[Event]:
        """What was asked for, by rule, where a model's sentences are true and beside the point."""
        asked = self.asked
        if asked.intent == "tool" and not any(self._asked_for(c) for c in self.calls):
            yield from self._rounds(self.talk._plain)  # the measurement that the model did not make
        if asked.thing and TEXT["thing"] not in (s.text for s in self.sentences):
            yield from self._show(Checked(TEXT["thing"], "no_claim"), "rule", "no_claim")
        if not asked.certain or (asked.intent == "instruments" and self.calls):
            return  # who is not sure what was asked adds nothing; what was measured for the question answers it
        yield from self._go_on()
        yield from self._asked_plainly()
        yield from self._told_by_rule(self._missing())

    def _told_by_rule(self, sentences: Iterable[str]) -> Iterator[Event]:
        for text in sentences:
            found = self._checker().check(text)
            if found.finding != "unsupported":
                yield from self._show(found, "rule", found.finding)

    def _asked_for(self, call: ToolCall) -> bool:
        """Whether a measurement is the one that the question asks for."""
        named = self.chosen.id if self.chosen is not None else next(iter(self.asked.region_ids), call.region_id)
        return (call.instrument, call.region_id) == (self.asked.instrument or call.instrument, named)

    def _go_on(self) -> Iterator[Event]:
        """Lets a writer go on while its answer leaves out what was asked for; shows what makes less of that missing."""
        for _ in range(MAX_ON):
            before = len(self.sentences)
            if not before or self.sentences[-1].written_by != "model" or not (missing := self._missing()):
                return
            yield from self._one_more(missing)
            if len(self.sentences) == before:
                return

    def _asked_plainly(self) -> Iterator[Event]:
        """Asks a writer that took the question for another one in the plainest words; shows what makes less missing."""
        for intent in (self.asked.intent, *self.asked.also):
            missing = self._missing()
            if not missing or intent not in _PLAINLY:
                continue
            request = replace(self._request(), question=_PLAINLY[intent], history=(), said="")
            with closing(_sentences(self.talk.writer, request)) as proposed:
                for sentence in islice(proposed, 4):
                    found = self._checker().check(sentence)
                    if tool_line(sentence) is not None or found.finding == "unsupported" or self._told(found):
                        continue
                    if len(self._missing(found.text)) < len(missing):
                        yield from self._show(found, "model", found.finding)
                        missing = self._missing()

    def _one_more(self, missing: list[str]) -> Iterator[AnswerSentence]:
        """One more sentence of the writer's, if it tells any of what is missing."""
        told = printable(" ".join(s.text for s in self.sentences), 600)
        request = self._request(_LEFT_OUT.format(said=told), more=True)
        with closing(_sentences(self.talk.writer, request)) as proposed:
            for sentence in islice(proposed, 2):
                found = self._checker().check(sentence)
                if tool_line(sentence) is not None or found.finding == "unsupported" or self._told(found):
                    return
                if len(self._missing(found.text)) < len(missing):
                    yield from self._show(found, "model", found.finding)
                    return

    def _missing(self, *further: str) -> list[str]:
        """What the rules would add to what is shown, were these sentences shown too."""
        return completion(self._answers(), " ".join([*(s.text for s in self.sentences), *further]))

    def _answers(self) -> PlainAnswers:
        """What the rules would say now."""
        return PlainAnswers(self._request(), self.asked)

    def _rounds(self, writer: Writer, *, replacing: bool = False) -> Iterator[Event]:
        """Lets the writer speak; after each tool line it is asked anew, with what the tool brought."""
        for _ in range(MAX_CALLS + 2):
            called = yield from self._listen(writer, replacing)
            if not called or len(self.sentences) >= MAX_SENTENCES:
                return

    def _listen(self, writer: Writer, replacing: bool) -> Generator[Event, None, bool]:
        with closing(_sentences(writer, self._request())) as proposed:
            for sentence in proposed:
                called = yield from self._take(sentence, writer, replacing)
                if called or len(self.sentences) >= MAX_SENTENCES:
                    return called
        return False

    def _take(self, sentence: str, writer: Writer, replacing: bool) -> Generator[Event, None, bool]:
        """Deals with one proposed sentence; True when it was a tool line that was carried out."""
        command = tool_line(sentence)
        if command is not None:
            done = {(c.instrument, c.region_id) for c in self.calls}
            if command in done:
                return False
            if len(self.calls) >= MAX_CALLS:
                yield from self._show(Checked(_NO_MORE, "no_claim"), "rule", "no_claim")
                return False
            yield self._call(*command, sentence.strip())
            return True
        ruled = _by_rule(writer)
        found = self._check(sentence, writer)
        if found.finding != "unsupported":
            by: Literal["model", "rule"] = "rule" if ruled else "model"
            yield from self._show(found, by, "replaced" if replacing else found.finding)
            return False
        if ruled:
            return False  # tests hold that this never happens; what is not supported is not shown
        better = self._once_more(found, writer)
        if better is not None:
            yield from self._show(better, "model", better.finding)
            return False
        self.struck += 1
        for text in self._deterministic(found):
            checked = self._checker().check(text)
            if checked.finding == "supported" and not self._told(checked):
                yield from self._show(checked, "rule", "replaced")
                break
        return False

    def _check(self, sentence: str, writer: Writer) -> Checked:
        if SEG_MARK not in sentence:
            found = self._checker().check(sentence)
            # A refusal claims nothing, but of what the examination does answer it is wrong.
            if self.asked.certain and self.asked.intent in ANSWERABLE and _DECLINES.search(found.text):
                return Checked(sentence, "unsupported", ("declines what can be answered",))
            return found
        mask = None
        if isinstance(writer, SegmentingWriter):
            before = " ".join([*(s.text for s in self.sentences), sentence])
            mask = writer.segment(self._request(), before)
        if mask is None or not mask.any():
            return Checked(sentence, "unsupported", ("points at nothing",))
        known = set(self.talk._regions)
        region = self.talk.add_region(region_mask=mask)
        found = self._checker().check(sentence.replace(SEG_MARK, region.id, 1))
        if found.finding != "unsupported":
            self.pointed.append(region)
        elif region.id not in known:
            del self.talk._regions[region.id]  # nobody hears of it
        return found

    def _once_more(self, refused: Checked, writer: Writer) -> Checked | None:
        """The first sentence of a second try that is supported and new."""
        if self.again >= MAX_AGAIN:
            return None
        self.again += 1
        feedback = (
            f"This sentence is not carried by the lines above ({'; '.join(refused.problems[:3])}): "
            f"“{printable(refused.text, 200)}” Write one sentence in its place that is."
        )
        with closing(_sentences(writer, self._request(feedback))) as proposed:
            for sentence in islice(proposed, 2):
                found = self._checker().check(sentence)
                if tool_line(sentence) is None and found.finding == "supported" and not self._told(found):
                    return found
        return None

    def _told(self, found: Checked) -> bool:
        """Whether an answer holds a sentence already, or the same in other words: that a record is quiet, what was not
        tested, or that no finding touches a region."""
        shown = found.text in self.told_otherwise
        return shown or any(s.text == found.text or alike(s, found) for s in self.sentences)

    def _deterministic(self, refused: Checked) -> Iterator[str]:
        """Sentences by rule about what the refused one cites."""
        answers = self._answers()
        known = {e.id: e for e in self.talk.evidence}
        if self.asked.intent in ("map", "picture", "source_of_copy"):
            yield from self._missing()
        if any("verdict" in p or "alter" in p for p in refused.problems):
            yield from answers.detect()[:1]
        for item in (known[i] for i in refused.evidence_ids if i in known):
            # What the file says of itself is beside the point of most questions, however it came up.
            if item.kind != "fact" or {"file", "evidence"} & {self.asked.intent, *self.asked.also}:
                yield from answers.about(item)

    def _show(
        self, found: Checked, by: Literal["model", "rule"], finding: Literal["supported", "no_claim", "replaced"] | str
    ) -> Iterator[AnswerSentence]:
        if self._told(found):
            return
        sentence = AnswerSentence(
            text=found.text,
            evidence_ids=found.evidence_ids,
            region_ids=found.region_ids,
            written_by=by,
            finding=finding,  # type: ignore[arg-type]
        )
        self.sentences.append(sentence)
        if self.first_seconds is None:
            self.first_seconds = time.perf_counter() - self.started
        yield sentence

    def _call(self, instrument: str, region_id: str, text: str) -> ToolCall:
        before = len(self.talk._measured)
        call = self.talk._measure(instrument, region_id, printable(text, 200))
        self.calls.append(call)
        self.told_before = len(self.sentences)
        self.fresh += self.talk._measured[before:]
        return call

    def _checker(self) -> Checker:
        talk = self.talk
        # What map and picture show is beside the point of any other question, however true.
        sights = talk.sights if {"map", "picture"} & {self.asked.intent, *self.asked.also} else None
        return Checker(talk.examination, talk.evidence, talk._regions, talk._failed, sights)

    def _request(self, feedback: str = "", *, more: bool = False) -> WriteRequest:
        """What a writer is given."""
        talk = self.talk
        return WriteRequest(
            source=talk.source,
            examination=talk.examination,
            evidence=talk.evidence,
            regions=MappingProxyType(dict(talk._regions)),
            history=tuple((a.question, a.text) for a in talk._turns),
            question=self.meant,
            region_id=self.chosen.id if self.chosen is not None else None,
            feedback=feedback,
            calls=tuple(self.calls),
            failed=tuple(talk._failed),
            more=more,
            sights=talk.sights,
            said=" ".join(s.text for s in self.sentences[self.told_before :] if s.written_by == "model"),
        )

    def _finish(self) -> Answer:
        named = [i for s in self.sentences for i in s.region_ids]
        regions = {r.id: r for r in self.pointed}
        regions |= {i: self.talk._regions[i] for i in named if i in self.talk._regions}
        seconds = {"total": round(time.perf_counter() - self.started, 4)}
        if self.first_seconds is not None:
            seconds["first_sentence"] = round(self.first_seconds, 4)
        answer = Answer(
            question=self.question,
            text=" ".join(s.text for s in self.sentences),
            sentences=tuple(self.sentences),
            regions=tuple(regions.values()),
            evidence=tuple(self.fresh),
            tool_calls=tuple(self.calls),
            struck=self.struck,
            writer=self.talk.writer.name,
            seconds=seconds,
        )
        self.talk._turns.append(answer)
        return answer
