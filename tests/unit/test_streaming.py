"""A language model's words while it writes: they come one by one, a failure is told, and nobody is waited for."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from fakeexplain.errors import WriterError
from fakeexplain.reasoning.streaming import streamed


class Words:
    """Decodes token n as "n "."""

    def decode(self, tokens: Any, **options: Any) -> str:
        return "".join(f"{int(t)} " for t in tokens)


class Counting:
    """Writes 1, 2, 3 ... until it is stopped, or fails at a number."""

    def __init__(self, last: int, failing: bool = False) -> None:
        self.last, self.failing, self.written, self.draw = last, failing, 0, 0.0

    def generate(self, streamer: Any, stopping_criteria: Any, input_ids: torch.Tensor) -> None:
        streamer.put(input_ids[0])
        self.draw = float(torch.rand(()))
        for number in range(1, self.last + 1):
            if bool(stopping_criteria(input_ids, None).all()):
                break
            self.written = number
            streamer.put(torch.tensor([number]))
            time.sleep(0.001)
        if self.failing:
            raise RuntimeError("out of words")
        streamer.end()


PROMPT = torch.tensor([[7, 7]])


def test_the_prompt_is_left_out_and_the_words_come_in_order() -> None:
    assert "".join(streamed("w", Counting(4), Words(), input_ids=PROMPT)) == "1 2 3 4 "


def test_who_stops_listening_stops_the_model() -> None:
    model = Counting(100_000)
    words = streamed("w", model, Words(), input_ids=PROMPT)
    assert next(w for w in words if w).strip() == "1"
    words.close()  # returns when the thread has ended
    written = model.written
    time.sleep(0.05)
    assert model.written == written < 100_000


def test_a_failure_is_told_to_who_listens_after_what_was_written() -> None:
    words = streamed("assistant 12ab", Counting(2, failing=True), Words(), input_ids=PROMPT)
    heard: list[str] = []
    with pytest.raises(WriterError, match="assistant 12ab: failed"):
        heard.extend(words)
    assert "".join(heard).startswith("1 ")


def test_draws_come_from_the_seed_and_leave_the_process_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = Counting(1), Counting(1), Counting(1)
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        list(streamed("w", model, Words(), seed=seed, input_ids=PROMPT))
    assert first.draw == again.draw != other.draw
    assert torch.equal(torch.get_rng_state(), before)
