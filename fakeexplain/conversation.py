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
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fakeexplain.answering import Event, Turn
from fakeexplain.errors import FakeExplainError, MeasurementError, SourceError
from fakeexplain.imaging.regions import decode_mask, mask_of_box, region_of_mask
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.reasoning.plain_writer import PlainWriter
from fakeexplain.reasoning.sights import MapSight, Sights
from fakeexplain.reasoning.writers import Writer
from fakeexplain.records import Answer, Evidence, Examination, Region, ToolCall
from fakeexplain.verdict import EXPERT

RegionChoice: TypeAlias = str | Sequence[float] | np.ndarray
_MARKED = "the network marked this region itself, so a test of it would tell nothing new"
_TURNS = TypeAdapter(tuple[Answer, ...])


class Measures(Protocol):
    """What a conversation needs of a `fakeexplain.examiner.Examiner`."""

    def load(self, picture: str | os.PathLike[str] | bytes | SourceImage) -> SourceImage: ...

    def examine(self, picture: SourceImage) -> Examination: ...

    def measure(self, picture: SourceImage, instrument: str, *, region_mask: np.ndarray) -> Evidence: ...

    @property
    def tests_regions(self) -> bool: ...


class Conversation:
    """One dialogue about one image. Only one question at a time is answered; others wait.

    Args:
        examiner: an `Examiner`.
        picture: path, bytes or SourceImage.
        writer: proposes sentences; None for the deterministic one.
        examination: of this picture, where it was made already.
        map_sight: what stands out on the expert's map, where the examination does not carry the map any more.

    Raises:
        SourceError: the picture cannot be read, or the examination is of another one.
    """

    def __init__(
        self,
        examiner: Measures,
        picture: str | os.PathLike[str] | bytes | SourceImage,
        *,
        writer: Writer | None = None,
        examination: Examination | None = None,
        map_sight: MapSight | None = None,
    ) -> None:
        self.examiner, self.source = examiner, examiner.load(picture)
        if examination is not None and examination.source.sha256 != self.source.sha256:
            raise SourceError(f"{self.source.name}: the examination is of another picture; examine this one")
        self.examination = examination or examiner.examine(self.source)
        self.writer: Writer = writer or PlainWriter()
        self.sights = Sights(lambda: self.source.rgb, self.examination.evidence, map_sight)
        self._plain = PlainWriter()
        self._lock = threading.Lock()
        self._measured: list[Evidence] = []
        self._failed: list[tuple[str, str]] = []
        self._turns: list[Answer] = []
        found = [r for e in self.examination.evidence for r in e.areas]
        self._regions: dict[str, Region] = {r.id: r for r in found if r.id}

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
            yield from Turn(self, question, region).run()

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
        marked = self.examination.marked_by.get(region_id)
        if instrument == EXPERT and marked is not None and marked.instrument == EXPERT:
            self._failed.append((region_id, _MARKED))
            return call.model_copy(update={"error": _MARKED})
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
