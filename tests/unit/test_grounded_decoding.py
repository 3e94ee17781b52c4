"""A model that babbles writes no id and no figure that it was not given."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from fakeexplain.models.assistant_tokenizer import train_tokenizer
from fakeexplain.reasoning.grounded_decoding import EndWhereLost, OnlyKnown

TEXTS = ["The finding R1 lies 53.5 % there [E1][E12], 1,000 of 2. 0 1 2 3 4 5 6 7 8 9 E R measure noise on R3"] * 3
IDS, FIGURES = {"E1", "E12", "R3"}, {"53.5", "8", "1,000", "0.04"}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 320)


def allowed_after(tokenizer, text: str) -> set[str]:
    """Single characters that may follow."""
    written = tokenizer.encode("a prompt with R7 and 99", add_special_tokens=False)
    start = len(written)
    ids = torch.tensor([written + tokenizer.encode(text, add_special_tokens=False)])
    scores = OnlyKnown(tokenizer, start, IDS, FIGURES)(ids, torch.zeros(1, len(tokenizer)))
    return {tokenizer.decode([i]) for i in torch.isfinite(scores[0]).nonzero()[:, 0].tolist()}


@pytest.mark.parametrize(
    ("text", "digits", "leaves"),
    [
        ("so ", set("5810"), True),
        ("so [E", {"1"}, True),  # "E" may begin a word
        ("so [E1", {"2"}, True),
        ("so R", {"3"}, True),
        ("so 5", {"3"}, False),
        ("so 53", set(), False),
        ("so 53.", {"5"}, False),
        ("so 53.5", set(), True),
        ("so 8", set(), True),
        ("so 1,00", {"0"}, False),
        ("so 0", set(), False),
        ("so 0.", {"0"}, False),
    ],
)
def test_only_digits_that_lead_to_what_is_known(tokenizer, text, digits, leaves):
    found = allowed_after(tokenizer, text)
    assert {c for c in found if c.isdigit()} == digits
    assert (" " in found) == leaves


def test_a_point_goes_on_with_a_figure_and_ends_a_sentence(tokenizer):
    assert "." in allowed_after(tokenizer, "so 53")
    assert "," not in allowed_after(tokenizer, "so 53")
    assert "." in allowed_after(tokenizer, "so 8")
    assert {"5", "8"} <= allowed_after(tokenizer, "so 8. ")


def test_a_random_model_writes_nothing_else(tokenizer):
    torch.manual_seed(0)
    digits = [tokenizer.convert_tokens_to_ids(d) for d in "0123456789"]
    known = OnlyKnown(tokenizer, 1, IDS, FIGURES)
    processor = LogitsProcessorList([known])
    ids = torch.tensor([[1]])
    for _ in range(600):
        scores = torch.randn(1, len(tokenizer))
        scores[0, digits] += 3  # it loves digits
        scores[0, [tokenizer.convert_tokens_to_ids(t) for t in ("E", "R", ".")]] += 4
        probabilities = torch.softmax(processor(ids, scores), dim=-1)
        ids = torch.cat([ids, torch.multinomial(probabilities, 1)], dim=1)
    text = tokenizer.decode(ids[0, 1:])
    said = re.findall(r"(?<![A-Za-z])[ER]\d+|\d+(?:[.,]\d+)*", text)
    assert len(said) > 40
    assert set(said[:-1]) <= IDS | FIGURES


def test_tokens_of_several_digits_are_read_whole():
    class Coarse:
        """A tokenizer whose tokens hold several digits, as GPT-2's do."""

        pieces = (" ", "E", "12", "1", " 53", ".5", "99", " 8 and 53", " 8 and 99", "x", ".")

        def __len__(self) -> int:
            return len(self.pieces)

        def decode(self, ids, skip_special_tokens=False) -> str:
            return "".join(self.pieces[int(i)] for i in ids)

    tokenizer = Coarse()
    known = OnlyKnown(tokenizer, 0, IDS, FIGURES)

    def allowed(*ids: int) -> set[str]:
        scores = known(torch.tensor([ids]), torch.zeros(1, len(tokenizer)))
        return {tokenizer.pieces[i] for i in torch.isfinite(scores[0]).nonzero()[:, 0].tolist()}

    assert allowed(0, 1) & {"12", "1", "99"} == {"12", "1"}
    assert allowed(0) & {" 53", "99", " 8 and 53", " 8 and 99"} == {" 53", " 8 and 53"}
    assert allowed(4) == {".5", "."}


REFERENCES = {"E1 value", "E1 cause2", "R3 place", "R3 in R1", "probability"}


def test_only_references_that_can_be_filled_stand_in_braces():
    texts = ["In {R1 place}, {E1 value} and {probability}: [E1] [R3] 0 1 2 3 4 5 6 7 8 9 abc xyz"] * 3
    tokenizer = train_tokenizer(texts, 330)

    def after(text: str) -> set[str]:
        written = tokenizer.encode(text, add_special_tokens=False)
        processor = OnlyKnown(tokenizer, 1, IDS, FIGURES, REFERENCES)
        scores = processor(torch.tensor([[1, *written]]), torch.zeros(1, len(tokenizer)))
        return {tokenizer.decode([i]) for i in torch.isfinite(scores[0]).nonzero()[:, 0].tolist()}

    assert after("so {") >= {"E", "R", "p"}
    assert not {"x", "1", "}", " "} & after("so {")
    assert after("so {E") == {"1"}
    assert {t[0] for t in after("so {E1 ")} == {"v", "c"}
    assert after("so {E1 cause") == {"2"}
    assert after("so {E1 value") == {"}"}
    assert "x" in after("so {E1 value}")
    assert "R" in after("so {R3 in ")
    assert after("so {R3 in R") == {"1"}


def test_a_random_model_refers_to_nothing_else():
    tokenizer = train_tokenizer(["{E1 value} {R3 place} {probability} [E1]"] * 3, 300)
    torch.manual_seed(1)
    brace = tokenizer.convert_tokens_to_ids("{")
    known = OnlyKnown(tokenizer, 1, IDS, FIGURES, REFERENCES)
    ids = torch.tensor([[1]])
    for _ in range(500):
        scores = torch.randn(1, len(tokenizer))
        scores[0, brace] += 4
        ids = torch.cat([ids, torch.multinomial(torch.softmax(known(ids, scores), dim=-1), 1)], dim=1)
    said = re.findall(r"\{([^{}]*)\}", tokenizer.decode(ids[0, 1:]))
    assert len(said) > 20
    assert set(said) <= REFERENCES


def test_a_token_that_opens_a_reference_and_goes_on_has_to_lead_to_one():
    class Coarse:
        pieces = (" ", " {E1", " {x", "{", " value", "} of", "}", "x")

        def __len__(self) -> int:
            return len(self.pieces)

        def decode(self, ids, skip_special_tokens=False) -> str:
            return "".join(self.pieces[int(i)] for i in ids)

    coarse = Coarse()
    processor = OnlyKnown(coarse, 0, IDS, FIGURES, REFERENCES)

    def after(*ids: int) -> set[str]:
        scores = processor(torch.tensor([list(ids)]), torch.zeros(1, len(coarse)))
        return {coarse.pieces[i] for i in torch.isfinite(scores[0]).nonzero()[:, 0].tolist()}

    assert {" {E1", "{", "x"} <= after(0)
    assert " {x" not in after(0)
    assert after(1) == {" ", " value"}  # whatever begins " value}", or " cause2}"
    assert after(1, 4) == {"}"}


def test_an_answer_ends_where_the_next_word_could_be_any() -> None:
    class Forbids(LogitsProcessor):
        def __call__(self, input_ids, scores):  # type: ignore[no-untyped-def]
            return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([7]), 0.0)

    scores = torch.zeros(2, 50)  # as even as can be: ln 50 = 3.9 nats
    scores[1, 3] = 9.0
    found = EndWhereLost(Forbids(), 3.0, end=2)(torch.zeros(2, 4, dtype=torch.long), scores)
    assert torch.isfinite(found).nonzero().tolist() == [[0, 2], [1, 7]]
