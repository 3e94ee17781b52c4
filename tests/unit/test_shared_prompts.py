"""Dialogues that share a sequence are learned from as if each stood alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.language import LanguageModel
from training.language_data import Tokens, padded, sequence
from training.shared_prompts import pack, places

LINES = list(range(20, 50))


def dialogue(*tail: int, lines: list[int] = LINES) -> tuple[list[int], list[int]]:
    """Lines, a question of three tokens, an answer."""
    ids = [*lines, 10, 11, *tail]
    return ids, [0] * (len(lines) + 3) + [1] * (len(tail) - 1)


def test_neighbours_share_their_lines_up_to_the_size():
    ones = [dialogue(60 + i, 70, 71, 80 + i) for i in range(5)]
    packed = list(pack(ones, 32 + 3 * 4))
    assert [max(b) for _, _, b in packed] == [3, 2]  # the first question's two tokens are common as well
    ids, answers, branches = packed[0]
    assert ids == [*LINES, 10, 11, 60, 70, 71, 80, 61, 70, 71, 81, 62, 70, 71, 82]
    assert answers == [0] * 32 + [0, 1, 1, 1] * 3
    assert branches == [0] * 32 + [1] * 4 + [2] * 4 + [3] * 4


def test_what_has_little_in_common_stands_alone_and_answers_are_never_common():
    other = dialogue(60, 70, lines=[*LINES[:8], *range(100, 122)])
    assert [max(b) for _, _, b in pack([dialogue(60, 70), other, dialogue(60, 70)], 500)] == [0, 0, 0]
    _, answers, branches = next(iter(pack([dialogue(60, 70), dialogue(60, 70)], 500)))
    assert branches.count(0) == 32  # the same words twice: both answers are learned
    assert sum(answers) == 2
    assert [max(b) for _, _, b in pack([dialogue(60, 70), dialogue(61, 71)], 0)] == [0, 0]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LanguageModel(LlamaForCausalLM(LlamaConfig(vocab_size=140, num_key_value_heads=2, **sizes)).double())


def gradients(model: LanguageModel, samples) -> tuple[float, list[torch.Tensor]]:
    """Sum of the losses of the answers, and its gradient."""
    model.zero_grad()
    total = torch.zeros((), dtype=torch.double)
    for ids, answers, branches in samples:
        tokens = Tokens.of([(ids, answers, branches)], 140)
        batch = padded(*sequence(tokens, 0, 500, 0.0), -(-len(ids) // 16) * 16, 0)
        total = total + model(**{k: v[None] for k, v in batch.items()})[0]
    total.backward()
    return float(total.detach()), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_losses_and_gradients_are_those_of_the_single_dialogues(model):
    ones = [dialogue(*tail) for tail in ((60, 70, 71), (61, 72, 73, 74, 75), (62, 76))]
    together = list(pack(ones, 500))
    assert len(together) == 1
    alone, packed = gradients(model, [(i, a, [0] * len(i)) for i, a in ones]), gradients(model, together)
    assert packed[0] == pytest.approx(alone[0], rel=1e-6)
    for one, other in zip(alone[1], packed[1], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_branches_do_not_see_each_other():
    positions, visible = places(torch.tensor([[0, 0, 1, 1, 2, 2, -1, -1]]))
    assert positions.tolist() == [[0, 1, 2, 3, 2, 3, 2, 3]]
    assert [np.flatnonzero(row).tolist() for row in visible[0, 0].numpy()][2:6] == [
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 4],
        [0, 1, 4, 5],
    ]


def test_the_first_token_of_a_further_branch_counts_nothing():
    tokens = Tokens.of([next(iter(pack([dialogue(60, 70), dialogue(61, 71)], 500)))], 140)
    _, weights, branches = sequence(tokens, 0, 500, 0.2)
    assert [float(w) for w in weights[32:]] == pytest.approx([0.2, 1.0, 0.0, 1.0])
    assert branches.tolist()[32:] == [1, 1, 2, 2]
