"""The linear reader of questions: features, fitting, files, and the questions of the benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fakeexplain.errors import SettingsError
from fakeexplain.evaluation.faithfulness.facts import question_forms
from fakeexplain.reasoning.intent_reader import (
    BUCKETS,
    IntentReader,
    buckets_of,
    embedded_reader,
    features,
    load_reader,
)
from fakeexplain.reasoning.intent_speech import normal
from fakeexplain.reasoning.intents import INTENTS, pattern_scores, understand
from training.intents import BANK, Question, bank_questions, fit, misread, probabilities_of, read_questions, save

NONE = dict.fromkeys(INTENTS, 0.0)


def test_features_depend_on_the_words_and_each_kind_has_length_one() -> None:
    row = features("Is it real?", NONE)
    assert row.shape == (BUCKETS + len(INTENTS),)
    assert np.square(row).sum() == pytest.approx(3.0, abs=0.2)  # two kinds may share a bucket
    assert np.array_equal(row, features("is IT  real ?", NONE))
    assert not np.array_equal(row, features("it is real?", NONE))  # the order counts, in pairs
    assert all(len(set(v.tolist())) == len(v) and (v < BUCKETS).all() for v in buckets_of("a b a b a b").values())


@pytest.mark.parametrize("text", ["", "   ", "???", "\u202e\u0000", "\U0001f600" * 50, "a" * 100_000])
def test_anything_can_be_read(text: str) -> None:
    found = embedded_reader().probabilities(text, NONE)
    assert sum(found.values()) == pytest.approx(1.0)
    assert understand(text).intent


def test_what_says_nothing_is_unclear() -> None:
    assert [understand(q).intent for q in ("hm", "asdf qwer", "and?", "")] == ["unclear"] * 4


def test_a_reader_learns_what_it_is_shown_and_is_kept_in_a_file(tmp_path: Path) -> None:
    shown = [Question(f"is the {w} fake", "detect") for w in ("sky", "car", "man", "dog")]
    shown += [Question(f"which camera made the {w}", "file") for w in ("sky", "car", "man", "dog")]
    reader = fit(shown, 1e-3)
    save(reader, tmp_path)
    again = load_reader(tmp_path / "reader.safetensors")
    for kept in (reader, again):
        assert _likeliest(kept, "is the tree fake") == "detect"
        assert _likeliest(kept, "which camera made the tree") == "file"
    swapped = [Question(q.text, "file" if q.intent == "detect" else "detect") for q in shown]
    assert _likeliest(fit(swapped, 1e-3), "is the tree fake") == "file"


def _likeliest(reader: IntentReader, question: str) -> str:
    found = probabilities_of(reader, question)
    return max(found, key=lambda n: found[n])


def test_files_that_are_no_reader_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load_reader(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 64)
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load_reader(broken)
    values = {"weights": np.zeros((3, 5), np.float16), "bias": np.zeros(3, np.float32)}
    save_file(values, tmp_path / "names.safetensors", metadata={"intents": "a,b"})
    with pytest.raises(SettingsError, match="for 2 intents"):
        load_reader(tmp_path / "names.safetensors")
    save_file(values, tmp_path / "width.safetensors", metadata={"intents": "a,b,c"})
    with pytest.raises(SettingsError, match="fit it anew"):
        load_reader(tmp_path / "width.safetensors").probabilities("x", NONE)
    (tmp_path / "lines.jsonl").write_text('{"text": "a", "intent": "b"}\n{"text": 1}\n')
    with pytest.raises(SettingsError, match="line 2"):
        read_questions(tmp_path / "lines.jsonl")


def _hundred() -> list[Question]:
    """The faithfulness benchmark's questions about topics that are intents; nobody may write a bank against them."""
    questions = [Question(q.text, q.topic) for q in question_forms()]
    known = set(embedded_reader().names)
    return [q for q in questions if q.intent in known]


def test_questions_of_the_benchmark_are_read_as_often_as_measured() -> None:
    """Counts only: nothing is to be mended from what they misread."""
    questions = _hundred()
    count = len(questions)
    assert count == 73
    wrong = sum(map(len, misread(questions).values()))
    assert count - wrong >= 59  # 62 when it was measured, 44 by patterns alone; who took a picture is told since

    def by_patterns(question: str) -> str:
        scores = pattern_scores(normal(question))
        best = max(scores, key=lambda n: scores[n])
        return best if scores[best] > 0 else "unclear"

    both, patterns = (
        float(np.mean([read(q.text) == q.intent for q in questions]))
        for read in (lambda q: understand(q).intent, by_patterns)
    )
    assert both > patterns + 0.1


def test_strangers_questions_are_read_as_often_as_measured() -> None:
    """written from a description of the intents alone, by a writer who saw neither the bank nor the patterns."""
    questions = read_questions(Path(__file__).with_name("intent_strangers.jsonl"))
    assert not {q.text.lower() for q in questions} & {q.text.lower() for q in bank_questions(BANK)}
    count = len(questions)
    assert count == 287
    wrong = sum(map(len, misread(questions).values()))
    assert count - wrong >= 255  # 261 when it was measured, once


def test_the_bank_holds_no_question_of_the_benchmark_and_none_with_two_intents() -> None:
    bank = bank_questions(BANK)
    texts = {q.text.lower() for q in bank}
    assert not {q.text.lower() for q in question_forms()} & texts
    assert len(texts) == len({(q.text.lower(), q.intent) for q in bank})  # none with two intents
    lines = [q.text.lower() for q in read_questions(BANK)]
    assert len(lines) == len(set(lines))
    assert {q.intent for q in bank} == set(embedded_reader().names)
