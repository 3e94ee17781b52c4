"""Decoding that cannot write an id or a figure that it was not given: a logits processor for any causal model here.

While a model writes "[E" or "53.", only digits may follow that lead to an id or a figure of the prompt's lines, and an
unfinished one cannot be left. So a slip of a digit, the commonest invention of a small model, never gets on paper. What
a right figure is said *of* is not looked at; that is the checker's (`grounding`), which reads every sentence all the
same. Lexically constrained decoding over sets of prefixes (after Hokamp and Liu, ACL 2017; De Cao et al., ICLR 2021).

Left out: servers (`url_writer`), whose decoding is theirs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from fakeexplain.reasoning.prompting import REGION_MARK, evidence_lines, messages
from fakeexplain.reasoning.references import References, capital
from fakeexplain.reasoning.writers import WriteRequest

ALWAYS = ("256", "8")  # of "SHA-256" and of JPEG's blocks of 8 by 8, which no line holds
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_ID = re.compile(r"(?<![A-Za-z])[ER]\d+")
_OPEN = re.compile(r"(?:(?<![A-Za-z])[ER]\d*|\d[\d.,]*)$")
_BRACE = re.compile(r"\{[^{}]{0,40}$")
_TAIL = 24  # tokens read back; no id or figure is longer


class OnlyKnown(LogitsProcessor):
    """Forbids tokens by which an id or a figure could no longer be one of the known.

    Args:
        tokenizer: of the model. prompt_length: tokens before what is generated.
        ids: "E1", "R2", ... figures: as they stand in the lines, "53.5", "2".
        references: what may stand in braces, "E1 value", where the model refers instead of copying.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompt_length: int,
        ids: Iterable[str],
        figures: Iterable[str],
        references: Iterable[str] = (),
    ) -> None:
        self._tokenizer, self._from = tokenizer, prompt_length
        self._whole = frozenset((*ids, *figures))
        self._begun = frozenset(w[:end] for w in self._whole for end in range(1, len(w) + 1))
        self._digits, self._joints = _numeric_tokens(tokenizer)
        self._references = frozenset(f"{{{name}}}" for name in references)
        self._by_text, opening = _texts(tokenizer) if self._references else ({}, ())
        self._dead_ends = [i for i, begun in opening if not any(r.startswith(begun) for r in self._references)]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids B,T and scores B,V -> scores with what is forbidden at minus infinity."""
        allowed = torch.stack([self._allowed(row, scores.shape[1]) for row in input_ids]).to(scores.device)
        return scores.masked_fill(~allowed, -torch.inf)  # type: ignore[return-value]

    def _allowed(self, row: Tensor, size: int) -> Tensor:
        written: Any = self._tokenizer.decode(row[self._from :][-_TAIL:], skip_special_tokens=False)
        if self._references and (brace := _BRACE.search(written)) is not None:
            return self._of_reference(brace.group(0), size)
        found = _OPEN.search(written)
        begun = found.group(0) if found else ""
        allowed = torch.ones(size, dtype=torch.bool)
        if re.search(r"\d", begun) and begun.rstrip(".,") not in self._whole:
            allowed[:] = False  # unfinished: only what goes on with it
            for number, text in self._joints:
                allowed[number] = begun + text in self._begun
        for number, text in self._digits:
            allowed[number] = self._leads_on(begun, text)
        allowed[self._dead_ends] = False
        if not allowed.any():  # what stands already leads nowhere, as a name with a number in it cut off by `_TAIL`
            allowed[:] = True
            allowed[[number for number, _ in self._digits]] = False
        return allowed

    def _of_reference(self, begun: str, size: int) -> Tensor:
        """Only what goes on with a reference that can be filled."""
        allowed = torch.zeros(size, dtype=torch.bool)
        for reference in self._references:
            if reference.startswith(begun):
                rest = reference[len(begun) :]
                for end in range(1, len(rest) + 1):
                    allowed[list(self._by_text.get(rest[:end], ()))] = True
        return allowed if allowed.any() else ~allowed

    def _leads_on(self, begun: str, text: str) -> bool:
        """Whether the ids and figures of a token with digits can be known ones; the first may have begun before it."""
        together = begun + text
        spans = [m.group(0) for m in re.finditer(r"(?<![A-Za-z])[ER]\d+|\d+(?:[.,]\d+)*", together)]
        last_is_open = bool(re.search(r"\d$", together))
        for position, span in enumerate(spans):
            known = self._begun if last_is_open and position == len(spans) - 1 else self._whole
            if span not in known:
                return False
        return True


class EndWhereLost(LogitsProcessor):
    """Ends an answer at the first word that could be nearly any.

    Asked what it never learned, a small model goes on with pieces of sentences. Cut off there, the last sentence is
    unfinished, and the checker refuses it.

    Args:
        inner: forbids tokens elsewhere. largest: entropy in nats of the next token's distribution, before anything is
            forbidden. end: id of the token that ends an answer, which nothing forbids where the model is lost.
    """

    def __init__(self, inner: LogitsProcessor, largest: float, end: int) -> None:
        self._inner, self._largest, self._end = inner, largest, end

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids B,T and scores B,V -> scores as `inner` leaves them, of the end alone in rows that are lost."""
        lost = torch.special.entr(torch.softmax(scores.float(), dim=-1)).sum(dim=-1) > self._largest
        ended = torch.full_like(scores, -torch.inf)
        ended[:, self._end] = 0.0
        return torch.where(lost[:, None], ended, self._inner(input_ids, scores))  # type: ignore[return-value]


def only_known(
    tokenizer: Any, prompt_length: int, request: WriteRequest, references: References | None = None
) -> OnlyKnown:
    """For one request: known ids that stand in its prompt; figures of our lines, none of the questions'.

    Args:
        references: for a model that refers to the records instead of copying them.
    """
    told = "\n".join(m["content"] for m in messages(request) if m["role"] in ("user", "tool"))
    chosen = [line for line in told.splitlines() if REGION_MARK in line]  # a user's words hold no marks
    lines = "\n".join([*evidence_lines(request.examination, request.evidence), *chosen])
    known = {e.id for e in request.evidence} | set(request.regions)
    ids = known & set(_ID.findall(told))
    figures = {*_FIGURE.findall(lines), *ALWAYS}
    names = [n for n in references.names if set(_ID.findall(n)) <= ids] if references is not None else []
    return OnlyKnown(tokenizer, prompt_length, ids, figures, [*names, *map(capital, names)])


@functools.lru_cache(maxsize=4)
def _numeric_tokens(tokenizer: Any) -> tuple[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]]:
    """((id, text) of tokens that hold a digit, of those that are a point or a comma between digits)."""
    texts = [(i, str(tokenizer.decode([i]))) for i in range(len(tokenizer))]
    return (
        tuple((i, t) for i, t in texts if re.search(r"[0-9]", t)),
        tuple((i, t) for i, t in texts if t in (".", ",")),
    )


@functools.lru_cache(maxsize=4)
def _texts(tokenizer: Any) -> tuple[dict[str, tuple[int, ...]], tuple[tuple[int, str], ...]]:
    """(ids by text, (id, text from the brace on) of tokens that hold a brace and go on behind it)."""
    ids: dict[str, tuple[int, ...]] = {}
    opening = []
    for number in range(len(tokenizer)):
        text = str(tokenizer.decode([number]))
        ids[text] = (*ids.get(text, ()), number)
        if "{" in text and not text.endswith("{"):
            opening.append((number, text[text.index("{") :]))
    return ids, tuple(opening)
