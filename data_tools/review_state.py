"""What a review is: its words, its events, and the state that a sequence of events leads to. Pure; no database.

A state is never stored: it is folded from the events, leaving out those that were undone. An undo takes back the last
event that can be taken back and is not; `opened`, and `opinion` in blind mode, cannot (what was seen was seen).
Deliberately left out: who may review what, and when (`review_store`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fakeexplain.errors import FakeExplainError
from fakeexplain.records import Label

Stage = Literal["opinion", "review", "done", "skipped", "released"]
Role = Literal["review", "adjudication"]
Decision = Literal["accept", "edit", "reject", "unsure"]
Outcome = Literal["open", "reviewed", "agreed", "disputed", "adjudicated"]
VERDICTS: tuple[str, ...] = get_args(Label)
DECISIONS: tuple[str, ...] = get_args(Decision)
# Why a claim is rejected; codes are stored and counted, words are shown.
REJECT_REASONS: dict[str, str] = {
    "false": "it is not so",
    "unsupported": "the evidence does not carry it",
    "wrong_place": "the place is wrong",
    "unclear": "unclear or misleading",
    "repeated": "repeats another sentence",
    "other": "other (say what in the note)",
}
SKIP_REASONS: dict[str, str] = {
    "cannot_judge": "I cannot judge this picture",
    "unreadable": "the picture cannot be seen properly",
    "offensive": "I do not want to look at it",
    "other": "other",
}
UNDOABLE = ("verdict", "mask", "claim", "note", "finished", "skipped", "reopened")
MAX_TEXT = 4000  # characters of an edited claim or a note
_CITED = re.compile(r"\[((?:E\d+)(?:\s*[,;]\s*E\d+)*)\]")
_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]|<(?:image|mask|seg)>", re.IGNORECASE)


class ReviewError(FakeExplainError):
    """What a person wanted to do in a review is not possible now; the message says why and what to do."""


class ClaimDecision(BaseModel):
    """What a person decided about one claim.

    Attributes:
        decision: accept, edit (with `text`), reject (with `reason`), or unsure.
        text: the edited sentence, with its citations.
        reason: a code of REJECT_REASONS.
        note: anything to add.
        finding: what the grounding checker says of `text`: "supported", "no_claim", "unsupported", or "unchecked"
            where there is no checker; "" where nothing was edited.
        problems: what the checker found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Decision
    text: str = ""
    reason: str = ""
    note: str = ""
    finding: str = ""
    problems: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> ClaimDecision:
        if (self.decision == "edit") != bool(self.text.strip()):
            raise ValueError("an edit needs the new sentence, and nothing else has one")
        if (self.decision == "reject") != bool(self.reason):
            raise ValueError("a rejection needs a reason, and nothing else has one")
        if self.reason and self.reason not in REJECT_REASONS:
            raise ValueError(f"reason {self.reason!r}; wanted one of {', '.join(REJECT_REASONS)}")
        return self

    @property
    def kept(self) -> bool:
        return self.decision in ("accept", "edit")

    def same_as(self, other: ClaimDecision) -> bool:
        """Whether two people decided alike: the same decision, for edits the same words."""
        return self.decision == other.decision and self.text.split() == other.text.split()


@dataclass(frozen=True)
class DraftClaim:
    """One sentence of a draft: `turn` is the index into the draft's dialogue that it belongs to, -1 for none."""

    number: int
    text: str
    evidence_ids: tuple[str, ...]
    turn: int = -1
    section: str = "finding"
    finding: str = "unchecked"


@dataclass(frozen=True)
class Event:
    """One entry of the log of a review. `before` and `after` are JSON values; `undoes` is the event taken back."""

    id: int
    kind: str
    before: Any
    after: Any
    claim: int | None = None
    mask_id: int | None = None
    undoes: int | None = None
    at: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class State:
    """Where a review stands. `opinion_verdict` and `opinion_mask_id` are those given before the draft was shown."""

    stage: Stage
    verdict: Label | None = None
    mask_id: int | None = None
    decisions: dict[int, ClaimDecision] = field(default_factory=dict)
    note: str = ""
    opinion_verdict: Label | None = None
    opinion_mask_id: int | None = None
    skip_reason: str = ""
    undo: Event | None = None  # what an undo would take back


def fold(events: Iterable[Event]) -> State:
    """The state that events lead to, in order of their ids; the first one is `opened`."""
    listed = list(events)
    undone = {e.undoes for e in listed if e.undoes is not None}
    state, stack = State("review"), list[Event]()
    for event in listed:
        if event.id in undone or event.kind == "undo":
            continue
        state = _applied(state, event)
        if event.kind in UNDOABLE:
            stack.append(event)
        else:
            stack.clear()
    return replace(state, undo=stack[-1] if stack else None)


def _applied(state: State, event: Event) -> State:
    after = event.after
    if event.kind == "opened":
        decisions = {int(n): ClaimDecision.model_validate(d) for n, d in after.get("decisions", {}).items()}
        return State(after["stage"], after.get("verdict"), event.mask_id, decisions)
    if event.kind == "opinion":
        return replace(state, stage="review", opinion_verdict=state.verdict, opinion_mask_id=state.mask_id)
    if event.kind == "verdict":
        return replace(state, verdict=after)
    if event.kind == "mask":
        return replace(state, mask_id=event.mask_id)
    if event.kind == "claim" and event.claim is not None:
        return replace(state, decisions=state.decisions | {event.claim: ClaimDecision.model_validate(after)})
    if event.kind == "note":
        return replace(state, note=after)
    if event.kind == "skipped":
        return replace(state, stage="skipped", skip_reason=after["reason"])
    return replace(state, stage=after["stage"], skip_reason="")  # finished, reopened, released


def missing(state: State, claims: Sequence[DraftClaim], mask_area: int) -> list[str]:
    """What is left to do before a review can be finished, in words; nothing when it can.

    Args:
        mask_area: pixels of the state's mask.
    """
    if state.stage == "opinion":
        return ["give your own verdict"] if state.verdict is None else ["show the draft"]
    open_claims = [c.number for c in claims if c.number not in state.decisions]
    found = []
    if open_claims:
        some = ", ".join(str(n) for n in open_claims[:5]) + (", ..." if len(open_claims) > 5 else "")
        found.append(f"decide claim{'s' if len(open_claims) > 1 else ''} {some}")
    if state.verdict is None:
        found.append("give a verdict")
    if state.verdict == "manipulated" and not mask_area:
        found.append("mark the place, or choose another verdict")
    return found


def cited_ids(text: str) -> tuple[str, ...]:
    """Evidence ids of `[E1]` and `[E1, E2]`, each once, in order."""
    found = (name for group in _CITED.findall(text) for name in re.findall(r"E\d+", group))
    return tuple(dict.fromkeys(found))


def clean_text(text: str, what: str) -> str:
    """A text as it may be stored: blanks joined, at most MAX_TEXT characters.

    Raises:
        ReviewError: too long, or it holds control characters or a mark of training data (`<image>`, `<SEG>`, ...).
    """
    joined = " ".join(text.split())
    if len(joined) > MAX_TEXT:
        raise ReviewError(f"{what}: {len(joined)} characters; wanted at most {MAX_TEXT}")
    if found := _UNWANTED.search(joined):
        raise ReviewError(f"{what}: holds {found.group()!a}, which has a meaning in training data; take it out")
    try:
        joined.encode()
    except UnicodeEncodeError:
        raise ReviewError(f"{what}: holds half of a character; type it again") from None
    return joined


def make_decision(values: dict[str, Any], evidence_ids: Iterable[str]) -> ClaimDecision:
    """A decision from a client's values, its texts cleaned.

    Args:
        values: fields of `ClaimDecision`; what the checker says is added later and not taken from here.
        evidence_ids: of the draft; an edited sentence may cite only these.

    Raises:
        ReviewError: incomplete, or it cites evidence that is not there.
    """
    fields = {key: values.get(key) or "" for key in ("decision", "text", "reason", "note")}
    if not all(isinstance(value, str) for value in fields.values()):
        raise ReviewError("a decision is made of texts: decision, text, reason, note")
    fields["text"] = clean_text(fields["text"], "the edited claim")
    fields["note"] = clean_text(fields["note"], "the note")
    known = list(evidence_ids)
    if unknown := [name for name in cited_ids(fields["text"]) if name not in known]:
        there = ", ".join(known) or "none"
        raise ReviewError(f"the edited claim cites {', '.join(unknown)}; evidence of this draft: {there}")
    try:
        return ClaimDecision.model_validate(fields)
    except ValidationError as error:
        said = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise ReviewError(f"decision {fields['decision']!r}: {said}") from None


def as_verdict(value: object) -> Label | None:
    """Raises ReviewError for what is none of the three words; None takes a verdict back."""
    if value is None or value in VERDICTS:
        return cast("Label | None", value)
    raise ReviewError(f"verdict {value!r}; wanted one of {', '.join(VERDICTS)}")
