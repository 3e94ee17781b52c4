"""The measure of what tokens are used for: a model that looks and one that is blind."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from data_tools.schema import Message, Record, TurnRegion, inline_mask
from fakeexplain.errors import SettingsError
from training.assistant_data import Row

_SPEC = importlib.util.spec_from_file_location("token_use", Path(__file__).parents[2] / "benchmarks" / "token_use.py")
assert _SPEC is not None
assert _SPEC.loader is not None
token_use: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["token_use"] = token_use
_SPEC.loader.exec_module(token_use)

YES, NO, END, ASK = 3, 4, 5, 6


def test_answers_are_counted_one_by_one() -> None:
    labels = torch.tensor([[-100, 1, 2, -100, 3, -100, 4], [-100, -100, 5, 6, -100, -100, -100]])
    logits = torch.nn.functional.one_hot(labels.clamp(min=0).roll(-1, 1), 8).float()
    assert token_use.exact_answers(logits, labels) == [True, True, True, True]
    logits[0, 1] = torch.nn.functional.one_hot(torch.tensor(7), 8).float()  # the second token of the first answer
    assert token_use.exact_answers(logits, labels) == [False, True, True, True]


def test_the_other_sample_is_of_another_photograph() -> None:
    assert token_use.others(["a", "a", "b", "c", "c"]) == [2, 2, 3, 0, 0]
    with pytest.raises(SettingsError, match="two photographs"):
        token_use.others(["a", "a"])


def _sample(answer: int, upper: bool) -> dict[str, torch.Tensor]:
    maps = torch.zeros(1, 3, 4, 4)
    maps[:, :, : 2 if upper else 0] = 1
    return {
        "input_ids": torch.tensor([[ASK, answer, END]]),
        "labels": torch.tensor([[-100, answer, END]]),
        "attention_mask": torch.ones(1, 3, dtype=torch.long),
        "mask_inputs": maps,
        "trace_features": torch.zeros(1, 1, 4, 4),
        "mask_present": torch.tensor([True]),
        "pixel_values": torch.rand(1, 3, 4, 4),
    }


def _record(number: int, upper: bool) -> Record:
    mask = np.zeros((8, 8), bool)
    mask[:4] = upper
    turns = (
        Message(
            role="user",
            content="<image>\nDoes the map mark anything?",
            region=TurnRegion(id="R1", mask=inline_mask(mask)),
        ),
        Message(role="assistant", content="Yes." if upper else "No."),
    )
    entry = {"on": "map", "peak": 1.0, "read": "map"}
    return Record(image=f"{number}.png", source=f"p{number}", width=8, height=8, dialogue=turns, history=(entry,))


class _Model:
    """Says yes where the map marks anything; a blind one always says yes."""

    def __init__(self, looks: bool) -> None:
        self.looks = looks

    def __call__(self, input_ids: torch.Tensor, mask_inputs: torch.Tensor, **_: Any) -> Any:
        marked = mask_inputs.flatten(1).amax(1) > 0 if self.looks else torch.ones(len(input_ids), dtype=torch.bool)
        logits = torch.zeros(*input_ids.shape, 8)
        logits[:, 0, YES], logits[:, 0, NO] = 4.0 * marked, 4.0 * ~marked
        logits[:, 1, END] = 4.0
        return SimpleNamespace(logits=logits)


def _measured(looks: bool) -> Any:
    uppers = [True, False] * 10
    samples = [(_sample(YES if u else NO, u), Row(i, _record(i, u), Path())) for i, u in enumerate(uppers)]

    class Dataset:
        @staticmethod
        def collate(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
            return {n: torch.cat([part[n] for part in parts]) for n in parts[0]}

    return token_use.measure(_Model(looks), Dataset(), samples)


def test_a_model_that_looks_is_told_from_a_blind_one() -> None:
    looks, blind = _measured(True), _measured(False)
    exact = {
        name: [table.totals["short answers, map", t].exact for t in ("own", "other", "absent")]
        for name, table in (("looks", looks), ("blind", blind))
    }
    assert exact == {"looks": [20, 0, 10], "blind": [10, 10, 10]}
    assert looks.totals["short answers, map", "own"].loss < looks.totals["short answers, map", "other"].loss / 2
    assert blind.totals["short answers, map", "own"].loss == pytest.approx(
        blind.totals["short answers, map", "other"].loss
    )
    assert looks.commonest("short answers, map") == 0.5
    assert any("short answers, map | 20" in line and "50.0 %" in line for line in token_use.lines(looks))
