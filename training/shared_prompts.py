"""Several dialogues about one picture as one sequence: the lines they share are read once.

What the dialogues have in common (instruction, evidence) stands first; each goes on behind it as a branch that sees
the common part and itself, at the positions it would have alone. Losses and gradients are those of the single
sequences, but for the first token of each further branch (a word of a question, or a role), which counts nothing, for
what precedes it in the sequence is another branch. Sequences about examinations shrink to less than half.

Deliberately left out: tokens (`assistant_prompts`) and the order of samples (`length_groups`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

COMMON = 0.4  # share of a dialogue that has to be common; the instruction alone, common to all pictures, is less
KEPT = 0.8  # share of the common part that a further dialogue may not shorten
PADDING = -1

Sequence = tuple[list[int], list[int]]


@dataclass
class _Open:
    """Dialogues that will share a sequence. `common`: tokens that all begin with, before the first answer of any."""

    members: list[Sequence] = field(default_factory=list)
    common: int = 0

    def length(self, common: int) -> int:
        return common + sum(len(ids) - common for ids, _ in self.members)

    def packed(self) -> tuple[list[int], list[int], list[int]]:
        ids, answers = self.members[0]
        if len(self.members) == 1:
            return ids, answers, [0] * len(ids)
        ids, answers, branches = ids[: self.common], answers[: self.common], [0] * self.common
        for number, (own, flags) in enumerate(self.members, start=1):
            ids = ids + own[self.common :]
            answers = answers + flags[self.common :]
            branches += [number] * (len(own) - self.common)
        return ids, answers, branches


def pack(sequences: Iterable[Sequence], size: int) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """(ids, 1 where an answer) in order -> (ids, answers, branches) of at most `size` tokens, where more than one fits.

    Branches are 0 for the common part and count from 1; a sequence that shares with none keeps its length and has 0s.
    Only neighbours share.
    """
    current = _Open()
    for sequence in sequences:
        before = _before_answers(sequence)
        if current.members:
            common = min(_common(current.members[0][0], sequence[0]), current.common, before)
            whole = current.length(common) + len(sequence[0]) - common
            keeps = len(current.members) == 1 or common >= KEPT * current.common
            if keeps and common >= COMMON * len(sequence[0]) and whole <= size:
                current.members.append(sequence)
                current.common = common
                continue
            yield current.packed()
        current = _Open([sequence], before)
    if current.members:
        yield current.packed()


def _before_answers(sequence: Sequence) -> int:
    """Tokens before the first answer's role."""
    ids, answers = sequence
    return max((answers.index(1) if 1 in answers else len(ids)) - 1, 0)


def _common(first: list[int], second: list[int]) -> int:
    shorter = min(len(first), len(second))
    differ = np.flatnonzero(np.asarray(first[:shorter]) != np.asarray(second[:shorter]))
    return int(differ[0]) if len(differ) else shorter


def beginnings(branches: np.ndarray) -> np.ndarray:
    """bool T: first tokens of the second and further branches, which count nothing."""
    before = np.concatenate([branches[:1], branches[:-1]])
    return np.asarray((branches > 1) & (branches != before))


def places(branches: Tensor) -> tuple[Tensor, Tensor]:
    """(positions int64 B,T; bool B,1,T,T, whether a token sees another) of branches int64 B,T, `PADDING` at the end."""
    length = branches.shape[1]
    index = torch.arange(length, device=branches.device).expand_as(branches)
    common = (branches == 0).sum(1, keepdim=True)
    changed = torch.zeros_like(branches, dtype=torch.bool)
    changed[:, 1:] = branches[:, 1:] != branches[:, :-1]
    start = torch.where(changed, index, 0).cummax(1).values
    positions = torch.where(branches == 0, index, common + index - start)
    causal = torch.ones(length, length, dtype=torch.bool, device=branches.device).tril()
    own = (branches[:, None, :] == 0) | (branches[:, :, None] == branches[:, None, :])
    return positions, (causal & own)[:, None]
