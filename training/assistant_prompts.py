"""Records as the messages that the assistant reads and writes: the very ones it will meet when it is used.

A dialogue about an examination becomes what `fakeexplain.reasoning.prompting` makes of the same question at the same
point, answer by answer; answers whose prompts continue each other share a sequence. Other records (descriptions,
regions, data from elsewhere) keep their turns. Deliberately left out: tokens of pictures and maps (the processor).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_tools.schema import IMAGE_TOKEN, InlineMask, Message, Record, TurnRegion, read_mask
from fakeexplain.imaging.regions import decode_mask, mask_of_box, region_of_mask
from fakeexplain.reasoning import prompting
from fakeexplain.reasoning.intents import understand
from fakeexplain.reasoning.references import References
from fakeexplain.records import Evidence, Region, Verdict
from training.assistant_data import Row

PROMPT_VERSION = 9  # raise it whenever messages change, so that no cache of tokens is read
DESCRIBE = "Describe this picture."
_MARK = re.compile(r"\s?<(?:image|mask|region)>\n?")
_VIEW = re.compile(r"(<image>|<mask>|<region>)")
_BEFORE = re.compile(r"(R\d+) $")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_FAILED = re.compile(r"\w+ on (R\d+): (.+)", re.DOTALL)
_CITATION = re.compile(r"\[E\d+\]")


@dataclass(frozen=True)
class Dialogue:
    """One sequence.

    Attributes:
        messages: {"role", "content"} in order, with marks; the last one is the assistant's.
        regions: bool HxW of every id that a `<region>` follows.
        targets: bool HxW for each `<SEG>` in what the assistant says, None for one without truth.
        given: bool HxW that stands for the expert's map, where the dialogue is about a given mask.
        peak: largest value of that map, (0, 1].
        repeated: how many of the assistant's first messages are history, learned in another sequence.
    """

    messages: tuple[dict[str, str], ...]
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    targets: tuple[np.ndarray | None, ...] = ()
    given: np.ndarray | None = None
    peak: float = 1.0
    repeated: int = 0


def spoken(message: dict[str, str]) -> str:
    """A message's text without the marks that stand for tokens of pictures and maps."""
    return _MARK.sub("", message["content"])


def tokens_of(
    dialogue: Dialogue, tokenizer: Any, words: Mapping[str, Sequence[int]] | None = None
) -> tuple[list[int], list[int]]:
    """(ids, 1 where the assistant writes the token) of a dialogue without its picture, in the chat template's order.

    Args:
        words: ids that stand for `<image>`, `<mask>`, and `<region>` behind each id; None leaves marks out.
    """
    from fakeexplain.models.assistant_tokenizer import END, SPECIALS, START

    ids, answers = [tokenizer.convert_tokens_to_ids(START)], [0]
    left = dialogue.repeated
    for message in dialogue.messages:
        own = message["role"] == "assistant"
        told = words is not None and not own
        parts = _VIEW.split(message["content"]) if told else [spoken(message)]
        said: list[int] = []
        for number, part in enumerate(parts):  # pieces as the processor cuts them, with the words of a mark between
            if number % 2:
                region = _BEFORE.search(parts[number - 1]) if part == prompting.REGION_MARK else None
                said += (words or {}).get(region.group(1) if region else part, ())
                continue
            for special in SPECIALS:  # what somebody wrote must not become a mark, as in the processor
                if special in part and not (own and special == "<SEG>"):
                    part = part.replace(special, special[0] + " " + special[1:])
            if text := part + (END if number == len(parts) - 1 else ""):
                said += tokenizer.encode(text, add_special_tokens=False)
        ids += [tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>"), *said]
        answers += [0, *[int(own and not left)] * len(said)]
        left -= own and left > 0
    return ids, answers


def dialogues_of(row: Row, *, lines: bool = True) -> Iterator[Dialogue]:
    """The sequences of one record, in order.

    Args:
        lines: False leaves the lines of evidence out, to find out what they are worth.
    """
    record = row.record
    examination = examined(record)
    if examination is not None and record.dialogue:
        yield from _examined(row, Verdict.model_validate(examination["verdict"]), lines)
        return
    turns = record.dialogue or (
        Message(role="user", content=DESCRIBE),
        Message(role="assistant", content=record.description or record.caption),
    )
    if (made := _plain(turns, row)) is not None:
        yield made


def examined(record: Record) -> dict[str, Any] | None:
    """The last examination that a record's texts are about; None where they are about something else."""
    return next((h for h in reversed(record.history) if h.get("on") == "examination"), None)


@dataclass
class _Open:
    """A sequence that is being put together, and what it shows."""

    messages: list[dict[str, str]] = field(default_factory=list)
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    targets: list[np.ndarray | None] = field(default_factory=list)
    repeated: int = 0

    def close(self) -> Dialogue:
        return Dialogue(tuple(self.messages), self.regions, tuple(self.targets), repeated=self.repeated)


def _examined(row: Row, verdict: Verdict, lines: bool) -> Iterator[Dialogue]:
    """A dialogue about an examination, as `prompting.messages` would put it to the assistant at each of its answers."""
    record = row.record
    brought = {i for m in record.dialogue if m.role == "tool" for i in m.evidence_ids}
    known = [e for e in record.evidence if e.id not in brought]
    history: list[tuple[str, str]] = []
    current: _Open | None = None
    chosen: dict[str, np.ndarray] = {}
    failed: list[tuple[str, str]] = []
    for question, turns in _exchanges(record.dialogue):
        region, mask = _region_of(question, row, known, chosen)
        asked = prompting.question_text(_bare(question.content), region, known, verdict if lines else None)
        if region is not None and mask is not None:
            chosen[region.id] = mask
        told = prompting.record_lines(verdict, known) if lines else []
        brings = [e for e in record.evidence if e.id in {i for t in turns if t.role == "tool" for i in t.evidence_ids}]
        failed += _failed(turns)
        # What this exchange measures is known when its answer is written, and so when earlier ones are read again.
        named = understand(_bare(question.content)).evidence_ids
        about = {"region_id": region.id if region is not None else None, "record_id": named[0] if named else None}
        references = References(verdict, [*known, *brings], _chosen(chosen), failed, **about)
        prompt = prompting.referred(told, [*history, ("user", asked)], references)
        if current is None or prompt[:-1] != current.messages:
            if current is not None:
                yield current.close()
            current = _Open(prompt, repeated=len(history) // 2)
        else:
            current.messages.append(prompt[-1])
        if region is not None and mask is not None:
            current.regions[region.id] = mask
        for turn in turns:
            said = _said(turn, record)
            said = references.put(said, answers=True) if turn.role == "assistant" else references.shorten(said)
            current.messages.append({"role": turn.role, "content": said})
            if turn.role == "assistant":
                current.targets += _targets(turn.content, _mask_of(turn.region, row))
        known += brings
        history += [("user", prompting.question_text(_bare(question.content))), ("assistant", _bare(turns[-1].content))]
    if current is not None:
        yield current.close()


def _chosen(masks: dict[str, np.ndarray]) -> dict[str, Region]:
    return {i: region_of_mask(mask, i) for i, mask in masks.items()}


def _failed(turns: list[Message]) -> list[tuple[str, str]]:
    """(region id, reason) of measurements that brought nothing."""
    said = (_FAILED.fullmatch(t.content) for t in turns if t.role == "tool" and not t.evidence_ids)
    return [(m.group(1), m.group(2)) for m in said if m is not None]


def _exchanges(turns: tuple[Message, ...]) -> Iterator[tuple[Message, list[Message]]]:
    """(question, what follows it up to an answer); what has no answer is left out."""
    question: Message | None = None
    following: list[Message] = []
    for turn in (*turns, None):
        if turn is None or turn.role == "user":
            if question is not None and following and following[-1].role == "assistant":
                yield question, following
            question, following = turn, []
        elif turn.role != "system":
            following.append(turn)


def _bare(content: str) -> str:
    return prompting.without_marks(content.replace(IMAGE_TOKEN, "").strip())


def _region_of(
    turn: Message, row: Row, known: list[Evidence], chosen: dict[str, np.ndarray]
) -> tuple[Region | None, np.ndarray | None]:
    """The region that a conversation would take a question to be about, and its mask: given with it, or named in it."""
    mask = _mask_of(turn.region, row)
    if mask is not None and turn.region is not None and turn.region.id:
        return region_of_mask(mask, turn.region.id), mask
    named = understand(_bare(turn.content)).region_ids[:1]
    for region in (r for e in known for r in (e.region, e.partner) if r is not None):
        if region.id in named:
            return region, decode_mask(region.mask)
    return next(((region_of_mask(m, i), m) for i, m in chosen.items() if i in named), (None, None))


def _said(turn: Message, record: Record) -> str:
    """What an instrument says is worded as when it is used; all else stays."""
    items = [e for e in record.evidence if e.id in turn.evidence_ids] if turn.role == "tool" else []
    return prompting.tool_text(items[0]) if items and items[0].region is not None else turn.content


def _plain(turns: tuple[Message, ...], row: Row) -> Dialogue | None:
    """Turns as they are, but for sentences that cite evidence, which these prompts do not hold.

    A region that comes with a turn is read as region tokens or, in every second record, as the map that the expert
    would give, so that both ways of seeing a mask learn the same words. Short answers say themselves which of the two
    they are about. None where nothing is left to learn.
    """
    short = next((h for h in row.record.history if h.get("on") == "map"), None)
    messages: list[dict[str, str]] = []
    regions: dict[str, np.ndarray] = {}
    targets: list[np.ndarray | None] = []
    given: np.ndarray | None = None
    waiting: tuple[str, np.ndarray] | None = None
    for question, following in _exchanges(turns):
        content, mask = _bare(question.content), _mask_of(question.region, row)
        if mask is not None and question.region is not None and question.region.id:
            waiting = question.region.id, mask
        answers = [(t, " ".join(s for s in _SENTENCE.split(t.content) if not _CITATION.search(s))) for t in following]
        if not answers[-1][1]:
            continue  # the region, if it came with this question, is shown with the next
        if waiting is not None:
            if short is not None and short["read"] == "map":
                given = waiting[1]
            elif short is None and not regions and given is None and row.number % 2:
                given = waiting[1]
                content = f"{waiting[0]} is what the map marks. {content}"
            else:
                regions[waiting[0]] = waiting[1]
                content = _marked(content, waiting[0])
            waiting = None
        messages.append({"role": "user", "content": content})
        for turn, text in answers:
            messages.append({"role": turn.role, "content": text})
            if turn.role == "assistant":
                targets += _targets(text, _mask_of(turn.region, row))
    if not messages:
        return None
    messages[0]["content"] = prompting.opening([], messages[0]["content"])
    peak = float(short["peak"]) if short is not None else 1.0
    return Dialogue(tuple(messages), regions, tuple(targets), given, peak)


def _marked(content: str, region_id: str) -> str:
    """The text with `<region>` behind the first mention of the region."""
    found = re.search(rf"\b{region_id}\b", content)
    if found is None:
        return f"{content} ({region_id} <region>)"
    return f"{content[: found.end()]} <region>{content[found.end() :]}"


def _targets(content: str, mask: np.ndarray | None) -> list[np.ndarray | None]:
    """True regions of the `<SEG>` in an answer: the turn's region belongs to the first."""
    count = content.count("<SEG>")
    return [mask, *[None] * (count - 1)] if count else []


def _mask_of(region: TurnRegion | None, row: Row) -> np.ndarray | None:
    """bool HxW of a turn's region, from its mask or its box; None where it has neither."""
    record = row.record
    if region is None:
        return None
    if region.mask is not None:
        return region.mask.mask() if isinstance(region.mask, InlineMask) else read_mask(region.mask, row.root)
    if region.box_xyxy is None or record.height is None or record.width is None:
        return None
    return mask_of_box(region.box_xyxy, record.height, record.width)
