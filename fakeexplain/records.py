"""The frozen records every room speaks in: Region, Evidence, Verdict, Claim, QualityReport, Examination, Answer.

They are plain data: no computation on pixels here (see `imaging.regions`, `verdict`, `reasoning`), so that each can be
written to JSON, read back and compared. `SCHEMA_VERSION` changes whenever a field changes its name or meaning.

Frames and units: boxes are `xyxy` in pixels of the upright source image, x to the right, y down, right and bottom edges
exclusive. Fractions are in [0, 1]. NFA is the expected number of false detections per image under the instrument's
background model, given as log10; it is not a probability of forgery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from fakeexplain.errors import SourceError

SCHEMA_VERSION = "1.2"
_OPENER = "_opener"
REGION_TEST = "region_test"  # trace of the expert's test of a region that somebody chose

Scalar = bool | int | float | str | None
EvidenceKind = Literal["detection", "fact", "measurement", "abstention"]
Strength = Literal["none", "weak", "moderate", "strong", "very strong"]
Label = Literal["manipulated", "no_evidence", "inconclusive"]


class Record(BaseModel):
    """Frozen, with unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class RunLengths(Record):
    """A boolean mask of `height` x `width`, as COCO's uncompressed RLE: column-major runs, the first one of False."""

    height: int
    width: int
    counts: tuple[int, ...]


class Region(Record):
    """A set of pixels of the upright source image.

    Attributes:
        id: "R1", "R2", ... within one examination, or "" before the examiner numbered it.
        mask: the pixels as run lengths at source size.
        box_xyxy: tight bounding box in source pixels, right and bottom exclusive.
        area_fraction: pixels of the region over pixels of the image.
        words: place and size in words, e.g. "upper left, 12 % of the image".
    """

    id: str = ""
    mask: RunLengths
    box_xyxy: tuple[int, int, int, int]
    area_fraction: float
    words: str


class Evidence(Record):
    """One measured fact.

    Attributes:
        id: "E1", "E2", ... within one examination, or "" before the examiner numbered it.
        instrument, instrument_version: who measured.
        kind: `detection` (a localizing instrument's finding; carries `log10_nfa`, significant or not), `fact` (a
            deterministic statement about the file), `measurement` (taken on a region somebody chose: never changes the
            verdict, carries no NFA), `abstention` (could not be tested; `reason` says why).
        trace: machine name of the kind of trace, e.g. "foreign_grid", "noise_high", "duplicate_region".
        quantity: what was measured, in words, e.g. "blocks that vote for a JPEG grid other than the image's own".
        value, unit, reference: the figure, its unit ("" for a plain count or ratio) and what it is compared with.
        reference_text: what the reference is, in words.
        region: where; None for the whole image.
        partner: the other region of a pair (copy-move). Which of the two is the copy, the trace does not tell;
            `copy_and_source` does where the expert's map told.
        log10_nfa: log10 of the number of false alarms; detections only.
        log10_tests: log10 of the number of tests that NFA multiplies by.
        p_value: conformal p-value where an instrument calibrates on photographs instead of a background model.
        strength: in words, from `log10_nfa` (see `statistics.strength_of`).
        limits: what else could cause this, each a clause that can follow "could also come from".
        reason: why the instrument abstained; abstentions only.
        details: further figures, JSON scalars or lists of them.
        score_map: float32 HxW in [0, 1] at source size, larger means more suspicious, not calibrated; not serialised.
    """

    id: str = ""
    instrument: str
    instrument_version: str
    kind: EvidenceKind
    trace: str
    quantity: str
    value: Scalar = None
    unit: str = ""
    reference: Scalar = None
    reference_text: str = ""
    region: Region | None = None
    partner: Region | None = None
    log10_nfa: float | None = None
    log10_tests: float | None = None
    p_value: float | None = None
    strength: Strength = "none"
    limits: tuple[str, ...] = ()
    reason: str = ""
    details: dict[str, Any] = Field(default_factory=dict)
    score_map: SkipValidation[Any] = Field(default=None, exclude=True, repr=False)

    @property
    def copy_and_source(self) -> tuple[Region, Region] | None:
        """(copy, source) of a pair whose order is told in the details (`fakeexplain.copy_order`), else None."""
        if "order_told" not in self.details or self.region is None or self.partner is None:
            return None
        return self.region, self.partner

    @property
    def areas(self) -> tuple[Region, ...]:
        """Its region, or both of a pair; empty for the whole image."""
        return tuple(r for r in (self.region, self.partner) if r is not None)

    @property
    def open_point(self) -> str:
        """What `Verdict.not_tested` says of an abstention."""
        return f"{self.instrument}: {self.reason}"

    @property
    def area_labels(self) -> tuple[str, ...]:
        """What `areas` are called on pictures: "E1", or "E1a" and "E1b" of a pair."""
        if self.partner is not None and self.region is not None:
            return f"{self.id}a", f"{self.id}b"
        return (self.id,) * len(self.areas)


class QualityReport(Record):
    """What the picture still allows to be examined, decided before the verdict and from the file alone.

    Attributes:
        band: name of the quality band, see `fakeexplain.quality.BANDS`.
        examinable: False when no trace can be expected to have survived; the verdict is then `inconclusive`.
        reasons: why it is not examinable, or what limits the examination, as full clauses.
        figures: the measured numbers behind it (megapixels, jpeg_quality, flat_fraction, ...).
        traces: names of what was recognised, see `fakeexplain.quality.TRACES`; neutral, none is evidence.
        added: what was drawn around or over the photograph; findings there are set aside. Without ids.
        set_aside: instrument and reason of each finding that the gate took out of the verdict, as clauses.
        rates: counted false alarms and detection of pictures like this one, as full sentences.
    """

    band: str
    examinable: bool
    reasons: tuple[str, ...] = ()
    figures: dict[str, Scalar] = Field(default_factory=dict)
    traces: tuple[str, ...] = ()
    added: tuple[Region, ...] = ()
    set_aside: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()


class Verdict(Record):
    """The one calibrated answer, computed from evidence alone.

    Attributes:
        label: `manipulated`, `no_evidence` (which is not "authentic") or `inconclusive`.
        probability: posterior probability of local manipulation in [0, 1]; `probability_basis` defines it.
        log10_nfa: the smallest log10 NFA among localizing instruments, multiplied by their number; None if none ran.
        threshold_log10: an instrument's detection counts when its log10 NFA is below this.
        expert_threshold_log10: the expert's detection counts when log10 of its p-value is below this; None without one.
        false_alarms: the promised rate of `manipulated` among authentic photographs.
        deciding_ids: evidence ids the label rests on.
        reason: one sentence saying how the label came about.
        probability_basis: prior, fitting data and counts, in one sentence.
        conflicts: contradictions between instruments, as full sentences.
        not_tested: what this examination could not look for, as clauses.
    """

    label: Label
    probability: float
    log10_nfa: float | None
    threshold_log10: float
    expert_threshold_log10: float | None = None
    false_alarms: float
    deciding_ids: tuple[str, ...] = ()
    reason: str
    probability_basis: str
    conflicts: tuple[str, ...] = ()
    not_tested: tuple[str, ...] = ()


class Claim(Record):
    """One sentence of the answer with the evidence ids it cites.

    `section` places it: conclusion, finding, fact, quality, not_tested.
    """

    text: str
    evidence_ids: tuple[str, ...] = ()
    section: Literal["conclusion", "finding", "fact", "quality", "not_tested"] = "finding"


class SourceFacts(Record):
    """What is known about the file as received; see `imaging.source.SourceImage` for the pixels."""

    name: str
    sha256: str
    size_bytes: int
    format: str
    width: int
    height: int
    mode: str
    bit_depth: int
    remarks: tuple[str, ...] = ()
    jpeg: dict[str, Any] | None = None


class ToolCall(Record):
    """One step of tool use in a dialogue.

    Attributes:
        text: as written, e.g. "measure noise on R2".
        instrument, region_id: who was asked to measure, and where.
        evidence_id: id of the new evidence it brought, "" if it failed.
        error: why it failed, as a clause; "" if it did not.
    """

    text: str
    instrument: str
    region_id: str
    evidence_id: str = ""
    error: str = ""


class AnswerSentence(Record):
    """One sentence of an answer, as shown.

    Attributes:
        text: with its citations, e.g. "... [E3]."
        evidence_ids, region_ids: what it cites and names.
        written_by: `model`, or `rule` for deterministic wording, a replacement included.
        finding: the checker's: `supported` by what it cites, `no_claim` (it states nothing that needs support), or
            `replaced` (stands where an unsupported sentence stood). Unsupported ones are never shown.
    """

    text: str
    evidence_ids: tuple[str, ...] = ()
    region_ids: tuple[str, ...] = ()
    written_by: Literal["model", "rule"]
    finding: Literal["supported", "no_claim", "replaced"]


class Answer(Record):
    """One turn of a conversation.

    Attributes:
        question: as asked.
        text: the sentences joined by one blank.
        sentences: in order.
        regions: what this answer points at (asked about, or the answer itself), ids R#.
        evidence: measured in this turn; ids go on from the examination's and the earlier turns'.
        tool_calls: in order.
        struck: sentences of the model that were not supported and so were replaced or dropped.
        writer: "plain", "assistant <weights hash>", "llm <name>" or "url <host>/<model>".
        seconds: by step; "total" is among them.
    """

    question: str
    text: str
    sentences: tuple[AnswerSentence, ...]
    regions: tuple[Region, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    struck: int = 0
    writer: str
    seconds: dict[str, float] = Field(default_factory=dict)


class Examination(Record):
    """Everything about one image. `to_json` and `Examination.model_validate_json` are inverse to each other.

    Attributes:
        source: the file. quality: what it allowed to be examined.
        evidence: what was measured, numbered. verdict: decided from it. reasoning: both in deterministic sentences.
        mask: regions that the verdict rests on.
        settings, versions, seconds, examined_at: how it came about.
        account: what the assistant says about all this, each sentence checked; None with `--wording plain`.
    """

    schema_version: str = SCHEMA_VERSION
    source: SourceFacts
    quality: QualityReport
    evidence: tuple[Evidence, ...]
    verdict: Verdict
    reasoning: tuple[Claim, ...]
    mask: RunLengths
    settings: dict[str, Any]
    versions: dict[str, str]
    seconds: dict[str, float] = Field(default_factory=dict)
    examined_at: str = ""
    account: Answer | None = None

    @property
    def marked_by(self) -> dict[str, Evidence]:
        """By id of a region: the record of the evidence that marked it."""
        return {r.id: e for e in self.evidence for r in e.areas}

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    def ask(self, question: str, *, region: Any = None, stream: bool = False) -> Any:
        """Answers a question about this picture; the dialogue is kept, so that "and there?" is understood.

        Args:
            question: in the asker's own words.
            region: what it is about: an id ("R1"), a box xyxy in pixels of the upright picture, or a bool HxW mask.
            stream: sentences and tool calls as they come, the `Answer` last, instead of the `Answer` alone.

        Raises:
            SourceError: this examination did not come from an `Examiner` of this process (it was read from JSON, say),
                or its picture's file was changed since.
            MeasurementError: the region is not known or not of this picture.
            WriterError: the writer cannot answer now.
        """
        opener = self.__dict__.get(_OPENER)
        if opener is None:
            raise SourceError(
                "this examination has no picture at hand; ask with "
                "Examiner().conversation(PICTURE, examination=EXAMINATION).ask(QUESTION)"
            )
        talk = opener()
        return talk.stream(question, region=region) if stream else talk.ask(question, region=region)

    def answered_by(self, opener: Callable[[], Any]) -> Examination:
        """The same examination, which puts questions to the `Conversation` that `opener` gives."""
        bound = self.model_copy()
        bound.__dict__[_OPENER] = opener  # no field: neither compared nor written, as with pydantic's cached properties
        return bound

    def __getstate__(self) -> dict[Any, Any]:
        state = dict(super().__getstate__())
        state["__dict__"] = {name: value for name, value in state["__dict__"].items() if name != _OPENER}
        return state
