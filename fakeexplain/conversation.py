"""One dialogue about one picture: questions in, checked sentences out, regions and new evidence kept by id.

A writer proposes sentences; each is read back against the records (`reasoning.grounding`) before it is shown. One that
is not supported is asked for once more, then replaced by the deterministic sentence about what it cites, or dropped.
A line `measure noise on R2`, from the writer or from the user, is carried out by the examiner; what it brings gets the
next evidence id and never touches the verdict. Left out: wording (`reasoning`) and what is shown of it (commands, app).

>>> talk = Conversation(Examiner(), "photo.jpg")             # doctest: +SKIP
>>> talk.ask("Where was it changed, if anywhere?").text      # doctest: +SKIP
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fakeexplain.errors import FakeExplainError, MeasurementError, SourceError
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.regions import decode_mask, mask_of_box, region_of_mask
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.reasoning.grounding import Checked, Checker
from fakeexplain.reasoning.intents import understand
from fakeexplain.reasoning.plain_answers import PlainAnswers
from fakeexplain.reasoning.plain_writer import PlainWriter
from fakeexplain.reasoning.sentences import Sentences
from fakeexplain.reasoning.writers import SEG_MARK, SegmentingWriter, Writer, WriteRequest, tool_line
from fakeexplain.records import Answer, AnswerSentence, Evidence, Examination, Region, ToolCall

MAX_CALLS = 4  # measurements in one turn
MAX_SENTENCES = 60  # of one turn; a writer that goes on and on is stopped
MAX_AGAIN = 6  # regenerations in one turn
LONGEST_QUESTION = 4000
Event: TypeAlias = AnswerSentence | ToolCall | Answer
RegionChoice: TypeAlias = str | Sequence[float] | np.ndarray
_NO_MORE = (
    f"No more than {('zero', 'one', 'two', 'three', 'four', 'five')[MAX_CALLS]} measurements are made for one question."
)
_TURNS = TypeAdapter(tuple[Answer, ...])


class Conversation:
    """One dialogue about one image. Only one question at a time is answered; others wait.

    Args:
        examiner: examines and measures.
        picture: path, bytes or SourceImage.
        writer: proposes sentences; None for the deterministic one.
        examination: of this picture, where it was made already.

    Raises:
        SourceError: the picture cannot be read, or the examination is of another one.
    """

    def __init__(
        self,
        examiner: Examiner,
        picture: str | os.PathLike[str] | bytes | SourceImage,
        *,
        writer: Writer | None = None,
        examination: Examination | None = None,
    ) -> None:
        self.examiner, self.source = examiner, examiner.load(picture)
        if examination is not None and examination.source.sha256 != self.source.sha256:
            raise SourceError(f"{self.source.name}: the examination is of another picture; examine this one")
        self.examination = examination or examiner.examine(self.source)
        self.writer: Writer = writer or PlainWriter()
        self._plain = PlainWriter()
        self._lock = threading.Lock()
        self._measured: list[Evidence] = []
        self._failed: list[tuple[str, str]] = []
        self._turns: list[Answer] = []
        found = [r for e in self.examination.evidence for r in (e.region, e.partner)]
        self._regions: dict[str, Region] = {r.id: r for r in found if r is not None and r.id}

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The examination's, then what was measured in this dialogue."""
        return (*self.examination.evidence, *self._measured)

    @property
    def regions(self) -> dict[str, Region]:
        """Every region that can be spoken of, by id (a copy)."""
        return dict(self._regions)

    @property
    def turns(self) -> tuple[Answer, ...]:
        """Answers so far."""
        return tuple(self._turns)

    def to_json(self) -> str:
        """The turns as a JSON list; `turns_from_json` reads it."""
        return _TURNS.dump_json(self.turns, indent=1).decode()

    @staticmethod
    def turns_from_json(text: str) -> tuple[Answer, ...]:
        """Inverse of `to_json`. Raises SourceError."""
        try:
            return _TURNS.validate_json(text)
        except ValidationError as error:
            raise SourceError(f"no conversation: {error.errors()[0]['msg']}; wanted what to_json wrote") from None

    def add_region(self, *, box_xyxy: Sequence[float] | None = None, region_mask: np.ndarray | None = None) -> Region:
        """A region to speak of, with the next id; one that is known already keeps its id.

        Args:
            box_xyxy: in pixels of the upright picture, clipped to it; or
            region_mask: bool HxW of the upright picture.

        Raises:
            MeasurementError: both or none, not of this picture, or empty.
        """
        height, width = self.source.height, self.source.width
        if (box_xyxy is None) == (region_mask is None):
            raise MeasurementError("give either box_xyxy or region_mask")
        if box_xyxy is not None:
            if len(box_xyxy) != 4 or not all(np.isfinite(box_xyxy)):
                raise MeasurementError(f"box {tuple(box_xyxy)}: wanted four numbers x0, y0, x1, y1")
            x0, y0, x1, y1 = (float(v) for v in box_xyxy)
            region_mask = mask_of_box((x0, y0, x1, y1), height, width)
        assert region_mask is not None
        mask = np.asarray(region_mask, dtype=bool)
        if mask.shape != (height, width):
            raise MeasurementError(
                f"the region is {'x'.join(map(str, mask.shape[::-1]))}, the picture {width}x{height}; "
                "wanted a mask of the upright picture"
            )
        if not mask.any():
            raise MeasurementError(f"the region is empty or outside of the picture ({width}x{height})")
        region = region_of_mask(mask)
        for known in self._regions.values():
            if known.mask == region.mask:
                return known
        region = region.model_copy(update={"id": f"R{self._next('R', self._regions)}"})
        self._regions[region.id] = region
        return region

    def ask(self, question: str, *, region: RegionChoice | None = None) -> Answer:
        """The whole answer; see `stream`."""
        answer: Answer | None = None
        for event in self.stream(question, region=region):
            if isinstance(event, Answer):
                answer = event
        assert answer is not None
        return answer

    def stream(self, question: str, *, region: RegionChoice | None = None) -> Iterator[Event]:
        """Sentences and tool calls as they come; the whole answer comes last, once.

        Args:
            question: anything; longer ones than 4,000 characters are cut.
            region: what it is about: a known id, a box xyxy, or a mask bool HxW.

        Raises:
            MeasurementError: the region is not known or not of this picture.
            WriterError: the writer cannot answer; the turn is not kept.
        """
        with self._lock:
            yield from _Turn(self, question, region).run()

    @staticmethod
    def _next(letter: str, ids: Sequence[str] | dict[str, Region]) -> int:
        return 1 + max((int(i[1:]) for i in ids if re.fullmatch(letter + r"\d+", i)), default=0)

    def _choose(self, region: RegionChoice | None) -> Region | None:
        if region is None:
            return None
        if isinstance(region, str):
            if region.upper() not in self._regions:
                known = ", ".join(self._regions) or "none yet"
                raise MeasurementError(f"region {printable(region, 20)!r}: not known; wanted one of {known}, or a box")
            return self._regions[region.upper()]
        if isinstance(region, np.ndarray) and region.ndim == 2:
            return self.add_region(region_mask=region)
        return self.add_region(box_xyxy=tuple(float(v) for v in region))

    def _measure(self, instrument: str, region_id: str, text: str) -> ToolCall:
        """Carries a tool line out; what it brings is in `evidence` afterwards."""
        call = ToolCall(text=text, instrument=instrument, region_id=region_id)
        if region_id not in self._regions:
            return call.model_copy(update={"error": f"there is no region {region_id}"})
        for item in self._measured:
            if (item.instrument, item.region.id if item.region else "") == (instrument, region_id):
                return call.model_copy(update={"evidence_id": item.id})
        region = self._regions[region_id]
        try:
            item = self.examiner.measure(self.source, instrument, region_mask=decode_mask(region.mask))
        except FakeExplainError as error:
            reason = printable(str(error)).removeprefix(f"{instrument}: ")
            self._failed.append((region_id, reason))
            return call.model_copy(update={"error": reason})
        partner = item.partner
        if partner is not None:
            partner = partner.model_copy(update={"id": f"R{self._next('R', self._regions)}"})
            self._regions[partner.id] = partner
        number = self._next("E", [e.id for e in self.evidence])
        item = item.model_copy(update={"id": f"E{number}", "region": region, "partner": partner, "score_map": None})
        self._measured.append(item)
        return call.model_copy(update={"evidence_id": item.id})


class _Turn:
    """One question on its way to an answer."""

    def __init__(self, talk: Conversation, question: str, region: RegionChoice | None) -> None:
        self.talk, self.started = talk, time.perf_counter()
        self.question = printable(" ".join(question.split()), LONGEST_QUESTION)
        self.chosen = talk._choose(region)
        self.asked_rule = isinstance(talk.writer, PlainWriter)
        self.sentences: list[AnswerSentence] = []
        self.calls: list[ToolCall] = []
        self.fresh: list[Evidence] = []
        self.pointed: list[Region] = []
        self.struck = self.again = 0
        self.first_seconds: float | None = None

    def run(self) -> Iterator[Event]:
        talk = self.talk
        command = tool_line(self.question)
        asked = understand(self.question, has_region=self.chosen is not None)
        if self.chosen is None and asked.box_xyxy is not None:
            try:
                self.chosen = talk.add_region(box_xyxy=asked.box_xyxy)
            except MeasurementError:
                self.chosen = None  # four numbers that are no box of this picture
        elif self.chosen is None and asked.intent == "region" and asked.cells is not None:
            width, height = talk.source.width, talk.source.height
            x0, y0, x1, y1 = asked.cells
            self.chosen = talk.add_region(
                box_xyxy=(x0 * width // 3, y0 * height // 3, x1 * width // 3, y1 * height // 3)
            )
        elif self.chosen is None and asked.region_ids and asked.region_ids[0] in talk._regions:
            self.chosen = talk._regions[asked.region_ids[0]]
        if self.chosen is not None:
            self.pointed.append(self.chosen)
        if command is not None:
            yield self._call(*command, self.question)
        yield from self._rounds(self._commanded(command) if command else talk.writer)
        states = any(s.finding != "no_claim" for s in self.sentences)
        if not states and not self.asked_rule and (self.struck or not self.sentences):
            yield from self._rounds(talk._plain, replacing=True)
        yield self._finish()

    def _commanded(self, command: tuple[str, str]) -> Writer:
        return _Telling(command)

    def _rounds(self, writer: Writer, *, replacing: bool = False) -> Iterator[Event]:
        """Lets the writer speak; after each tool line it is asked anew, with what the tool brought."""
        for _ in range(MAX_CALLS + 2):
            called = yield from self._listen(writer, replacing)
            if not called or len(self.sentences) >= MAX_SENTENCES:
                return

    def _listen(self, writer: Writer, replacing: bool) -> Generator[Event, None, bool]:
        splitter = Sentences()
        pieces = writer.write(self._request())
        try:
            for piece in pieces:
                for sentence in splitter.feed(piece):
                    called = yield from self._take(sentence, writer, replacing)
                    if called or len(self.sentences) >= MAX_SENTENCES:
                        return called
            for sentence in splitter.flush():
                called = yield from self._take(sentence, writer, replacing)
                if called:
                    return True
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
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
        ruled = isinstance(writer, (PlainWriter, _Telling))
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
            if checked.finding == "supported" and checked.text not in {s.text for s in self.sentences}:
                yield from self._show(checked, "rule", "replaced")
                break
        return False

    def _check(self, sentence: str, writer: Writer) -> Checked:
        if SEG_MARK not in sentence:
            return self._checker().check(sentence)
        mask = None
        if isinstance(writer, SegmentingWriter):
            before = " ".join([*(s.text for s in self.sentences), sentence])
            mask = writer.segment(self._request(), before)
        if mask is None or not mask.any():
            return Checked(sentence, "unsupported", ("points at nothing",))
        region = self.talk.add_region(region_mask=mask)
        found = self._checker().check(sentence.replace(SEG_MARK, region.id, 1))
        if found.finding != "unsupported":
            self.pointed.append(region)
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
        splitter = Sentences()
        pieces = writer.write(self._request(feedback))
        heard = 0
        try:
            for piece in pieces:
                for sentence in splitter.feed(piece):
                    heard += 1
                    found = self._checker().check(sentence)
                    if tool_line(sentence) is None and found.finding == "supported" and not self._told(found):
                        return found
                    if heard >= 2:
                        return None
            for sentence in splitter.flush():
                found = self._checker().check(sentence)
                if tool_line(sentence) is None and found.finding == "supported" and not self._told(found):
                    return found
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        return None

    def _told(self, found: Checked) -> bool:
        return found.text in {s.text for s in self.sentences}

    def _deterministic(self, refused: Checked) -> Iterator[str]:
        """Sentences by rule about what the refused one cites."""
        answers = PlainAnswers(self._request(), understand(self.question, has_region=self.chosen is not None))
        known = {e.id: e for e in self.talk.evidence}
        for evidence_id in refused.evidence_ids:
            if evidence_id in known:
                yield from answers.about(known[evidence_id])
        if any("verdict" in p or "alter" in p for p in refused.problems):
            yield from answers.detect()[:1]

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
        self.fresh += self.talk._measured[before:]
        return call

    def _checker(self) -> Checker:
        return Checker(self.talk.examination, self.talk.evidence, self.talk._regions, self.talk._failed)

    def _request(self, feedback: str = "") -> WriteRequest:
        talk = self.talk
        return WriteRequest(
            source=talk.source,
            examination=talk.examination,
            evidence=talk.evidence,
            regions=MappingProxyType(dict(talk._regions)),
            history=tuple((a.question, a.text) for a in talk._turns),
            question=self.question,
            region_id=self.chosen.id if self.chosen is not None else None,
            feedback=feedback,
            calls=tuple(self.calls),
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


class _Telling:
    """Tells what a tool call of the user's brought, by rule."""

    name = "plain"

    def __init__(self, command: tuple[str, str]) -> None:
        self._instrument, self._region_id = command

    def write(self, request: WriteRequest) -> Iterator[str]:
        answers = PlainAnswers(request, understand(request.question))
        call = request.calls[0]
        item = next((e for e in request.evidence if e.id and e.id == call.evidence_id), None)
        if item is not None:
            yield from (s + "\n" for s in answers.measured(item))
        elif self._region_id in request.regions:
            yield from (s + "\n" for s in answers.failed(call))
        else:
            yield "There is no region of that number; mark one with a box.\n"
