"""Fits the reader of questions: `python -m training.intents --out fakeexplain/weights/questions`.

Learns from questions with their intents (data_tools/instructions/question_bank.jsonl, and the forms of the grammar that
writes training dialogues): multinomial logistic regression over words, pairs, pieces of words and the hand-written
patterns, each intent weighing the same. `--test FILE` reads further questions as they are read in use and says
which are taken for something else; nothing is learned from them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from safetensors.numpy import save_file

from data_tools.instructions.grammar import forms
from data_tools.instructions.questions import QUESTIONS, SIGHT_QUESTIONS
from fakeexplain.errors import FakeExplainError, OutputError, SettingsError
from fakeexplain.reasoning.intent_reader import FILE, IntentReader, embedded_folder, features
from fakeexplain.reasoning.intent_speech import normal
from fakeexplain.reasoning.intents import pattern_scores, understand

BANK = Path("data_tools/instructions/question_bank.jsonl")
MOST_FORMS = 40  # of an intent's grammar: its forms share their skeletons
MOST_OF_ONE = 12  # forms of one line of the bank
DECAYS = (1e-5, 3e-5, 1e-4, 3e-4)
FOLDS = 5
# The grammar's topics by what they ask for; those that name ids, boxes and places are read by patterns.
_TOPICS = {
    "disagree_fake": "pressure",
    "disagree_real": "pressure",
    "camera": "file",
    "date": "file",
    "software": "file",
    "format": "dimensions",
}
_BY_PATTERN = frozenset({"evidence", "compare", "region_box", "region_size", "region_words", "tool"})


@dataclass(frozen=True)
class Question:
    """A question and what it asks for; `line` is the template it is a form of, "" for its own text."""

    text: str
    intent: str
    line: str = ""


def read_questions(path: Path) -> list[Question]:
    """Lines of {"text": ..., "intent": ...}.

    Raises:
        SettingsError: a line that is none, with its number.
    """
    found = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted a file of questions") from None
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            found.append(Question(str(row["text"]), str(row["intent"])))
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f'{path}, line {number}: {error!r}; wanted {{"text": ..., "intent": ...}}') from None
    return found


def bank_questions(path: Path, seed: int = 0) -> list[Question]:
    """The questions of a bank, up to `MOST_OF_ONE` forms of a line that offers choices ("{which|what} part")."""
    rng = np.random.default_rng(seed)
    found = []
    for question in read_questions(path):
        made = sorted(forms(question.text)) if "{" in question.text else [question.text]
        chosen = sorted(rng.permutation(len(made))[:MOST_OF_ONE].tolist())
        found += [Question(made[i], question.intent, question.text) for i in chosen]
    return found


def grammar_questions(seed: int = 0) -> list[Question]:
    """Up to `MOST_FORMS` forms of each topic of the dialogues' grammar."""
    rng = np.random.default_rng(seed)
    found = []
    for topic, templates in {**QUESTIONS, **SIGHT_QUESTIONS}.items():
        if topic in _BY_PATTERN:
            continue
        made = sorted((form, template) for template in templates for form in forms(template))
        chosen = sorted(rng.permutation(len(made))[:MOST_FORMS].tolist())
        found += [Question(made[i][0], _TOPICS.get(topic, topic), made[i][1]) for i in chosen]
    return found


def fit(questions: Sequence[Question], decay: float) -> IntentReader:
    """Minimises the mean cross entropy, each intent weighing the same, plus `decay` / 2 times the squared weights.

    The problem is convex; LBFGS (Nocedal, 1980) ends where its gradient is small.
    """
    names = sorted({q.intent for q in questions})
    rows = torch.from_numpy(np.stack([features(t, pattern_scores(t)) for t in (normal(q.text) for q in questions)]))
    wanted = torch.tensor([names.index(q.intent) for q in questions])
    share = 1.0 / torch.bincount(wanted, minlength=len(names)).float()[wanted] / len(names)
    weights = torch.zeros(len(names), rows.shape[1], requires_grad=True)
    bias = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=120, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        values = torch.nn.functional.cross_entropy(rows @ weights.T + bias, wanted, reduction="none")
        total = (values * share).sum() + decay / 2 * weights.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return IntentReader(names, weights.detach().numpy(), bias.detach().numpy())


def probabilities_of(reader: IntentReader, question: str) -> dict[str, float]:
    """By intent, of a question as somebody typed it."""
    text = normal(question)
    return reader.probabilities(text, pattern_scores(text))


def cross_validated(questions: Sequence[Question], decay: float, seed: int = 0) -> tuple[float, float]:
    """(accuracy, mean log loss in nats) on fifths of the lines that were left out, each line with all of its forms."""
    lines = sorted({q.line or q.text for q in questions})
    order = np.random.default_rng(seed).permutation(len(lines))
    fold = {lines[i]: j % FOLDS for j, i in enumerate(order)}
    right, losses = [], []
    for k in range(FOLDS):
        reader = fit([q for q in questions if fold[q.line or q.text] != k], decay)
        for question in (q for q in questions if fold[q.line or q.text] == k):
            found = probabilities_of(reader, question.text)
            right.append(max(found, key=lambda n: found[n]) == question.intent)
            losses.append(-np.log(max(found.get(question.intent, 0.0), 1e-9)))
    return float(np.mean(right)), float(np.mean(losses))


def save(reader: IntentReader, out: Path) -> None:
    """Writes `FILE` into a folder, in float16. Raises OutputError."""
    values: dict[str, np.ndarray] = {
        "weights": reader.weights.astype(np.float16),
        "bias": reader.bias.astype(np.float32),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_file(values, out / FILE, metadata={"intents": ",".join(reader.names)})
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None


def misread(questions: Sequence[Question]) -> dict[str, list[str]]:
    """By intent: questions that `understand` takes for something else, with what it took them for."""
    found: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        asked = understand(question.text)
        if question.intent not in (asked.intent, *asked.also):
            found[question.intent].append(f"{question.text}  -> {asked.intent}")
    return dict(found)


def main(
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: the embedded one.")] = None,
    bank: Annotated[
        Path, typer.Option(help='Questions with their intents; "{which|what} part" offers choices.')
    ] = BANK,
    test: Annotated[Path | None, typer.Option(help="Only read these questions with the embedded reader.")] = None,
) -> None:
    """Fit the reader of questions, or test it."""
    try:
        if test is not None:
            questions = read_questions(test)
            wrong = misread(questions)
            for intent, lines in sorted(wrong.items()):
                typer.echo(f"{intent}:")
                for line in lines:
                    typer.echo(f"  {line}")
            count = sum(map(len, wrong.values()))
            typer.echo(f"{len(questions) - count} of {len(questions)} read rightly")
            return
        questions = [*bank_questions(bank), *grammar_questions()]
        scores = {decay: cross_validated(questions, decay) for decay in DECAYS}
        for decay, (right, lost) in scores.items():
            typer.echo(f"decay {decay}: on fifths left out {100 * right:.1f} % read rightly, log loss {lost:.3f}")
        reader = fit(questions, min(scores, key=lambda d: scores[d][1]))
        save(reader, out or embedded_folder())
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(questions)} questions, {len(reader.names)} intents -> {(out or embedded_folder()) / FILE}")


if __name__ == "__main__":
    typer.run(main)
