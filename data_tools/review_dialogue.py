"""The dialogue that a review leaves of a draft: kept claims in the turns they came from, turns without any left out.

Deliberately left out: which claims are kept (`export`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_tools.drafts import QUESTION
from data_tools.review_import import answers
from data_tools.review_state import DraftClaim, cited_ids
from data_tools.schema import IMAGE_TOKEN, Message, Record


def reviewed_dialogue(draft: Record, claims: Sequence[DraftClaim], kept: Mapping[int, str]) -> tuple[Message, ...]:
    """Turns with the kept texts; () where none was kept.

    A question and all that answers it (with tool calls) goes when none of its claims was kept; `<image>` moves to the
    first question that stays. An answer without `<SEG>` has no region any more.

    Args:
        kept: claim number -> text, accepted or edited.
    """
    if not kept:
        return ()
    if not answers(draft.dialogue):
        text = " ".join(kept[n] for n in sorted(kept))
        question = Message(role="user", content=f"{IMAGE_TOKEN}\n{QUESTION}")
        return question, Message(role="assistant", content=text, evidence_ids=cited_ids(text))
    texts: dict[int, list[str]] = {}
    for claim in claims:
        if claim.number in kept:
            texts.setdefault(claim.turn, []).append(kept[claim.number])
    stating = set(answers(draft.dialogue))
    turns: list[Message] = []
    for group in _groups(draft.dialogue):
        if stating.intersection(group) and not any(i in texts for i in group):
            continue
        for index in group:
            message = draft.dialogue[index]
            if index not in stating:
                turns.append(message)
            elif index in texts:
                turns.append(_answer(message, " ".join(texts[index])))
    return _with_image(turns)


def _groups(dialogue: Sequence[Message]) -> list[list[int]]:
    """Indexes of the turns, each question with what follows it; a system turn stands alone."""
    groups: list[list[int]] = []
    for index, message in enumerate(dialogue):
        if message.role in ("system", "user") or not groups:
            groups.append([])
        groups[-1].append(index)
    return groups


def _answer(message: Message, text: str) -> Message:
    cited = cited_ids(text)
    # Ids that no text cites (of an answer whose wording names none) stay only where the answer was left as it was.
    ids = message.evidence_ids if text == message.content else cited
    region = message.region if "<SEG>" in text else None
    return message.model_copy(update={"content": text, "evidence_ids": ids, "region": region})


def _with_image(turns: Sequence[Message]) -> tuple[Message, ...]:
    """`<image>` once, in the first user turn."""
    found, placed = [], False
    for message in turns:
        text = message.content.replace(IMAGE_TOKEN, "").strip() if message.role == "user" else message.content
        if message.role == "user" and not placed:
            text, placed = f"{IMAGE_TOKEN}\n{text}", True
        found.append(message if text == message.content else message.model_copy(update={"content": text}))
    return tuple(found)
