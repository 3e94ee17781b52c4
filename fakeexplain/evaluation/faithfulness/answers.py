"""Another model's answers, from a JSONL file, held against the same pictures by the same reading.

A line holds `image` (path, or file name in the data set), `question`, `answer`, and may hold `mask` (path beside the
file, white = claimed) or `box` (xyxy, pixels), `about` (box that a yes-or-no question is about) and `reference` (a text
to compare with). Such answers cite nothing that we measured unless they were given our evidence; what they say of the
picture as a whole and of places is scored all the same. Left out: asking the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.evaluation.datasets import Item, read_true_mask
from fakeexplain.evaluation.faithfulness import reading, text_scores
from fakeexplain.evaluation.faithfulness.claims import claim_scores
from fakeexplain.evaluation.faithfulness.facts import question_forms
from fakeexplain.evaluation.faithfulness.rows import Asked, Probe, Row, Trial
from fakeexplain.evaluation.table import Table, counted_rate, number
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.regions import mask_of_box
from fakeexplain.imaging.source import printable
from fakeexplain.reasoning import grounding_records as core

_TOUCHED = 0.01  # part of a box that the truth must cover for the answer to be yes


class Line(BaseModel):
    """One line of the file, see the module."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image: str
    question: str = ""
    answer: str
    mask: str | None = None
    box: tuple[int, int, int, int] | None = None
    about: tuple[int, int, int, int] | None = None
    reference: str | None = None


@dataclass(frozen=True)
class AnswerFile:
    """The lines by file name of their picture; `broken` are those that do not fit the schema, by number."""

    folder: Path
    lines: Mapping[str, Sequence[Line]]
    broken: Mapping[int, str]


def read_answers(path: Path) -> AnswerFile:
    """Raises SourceError when the file cannot be read or holds no usable line."""
    lines: dict[str, list[Line]] = {}
    broken: dict[int, str] = {}
    try:
        texts = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); --answers wants a JSONL file") from None
    for number_, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            line = Line.model_validate(json.loads(text))
        except ValidationError as error:
            first = error.errors()[0]
            broken[number_] = f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"
            continue
        except ValueError as error:
            broken[number_] = f"no JSON ({error})"
            continue
        lines.setdefault(Path(line.image).name, []).append(line)
    if not lines:
        raise SourceError(f'{path}: no line with "image" and "answer"; see docs/faithfulness.md')
    return AnswerFile(path.parent, lines, broken)


def score_answers(items: Sequence[Item], file: AnswerFile, examiner: Examiner) -> Iterator[Row]:
    """A row a picture. One without any answer is a row with an error: it counts as failed."""
    for item in items:
        lines = file.lines.get(item.image_path.name, ())
        row = Row(item.dataset, printable(item.image_path.name), item.key[2], item.mask_path is not None)
        if not lines:
            yield replace(row, error="no answer for this picture in the file")
            continue
        try:
            yield _score(row, item, lines, file.folder, examiner)
        except FakeExplainError as error:
            yield replace(row, error=printable(str(error)))


def _score(row: Row, item: Item, lines: Sequence[Line], folder: Path, examiner: Examiner) -> Row:
    source = examiner.load(item.image_path)
    examination = examiner.examine(source)
    true_mask = None if item.mask_path is None else read_true_mask(item.mask_path, source.height, source.width)
    known = reading.known_from(examination, examination.evidence)
    numbers = {f.text: f for f in question_forms()}
    claimed = np.zeros((source.height, source.width), bool)
    asked, probes, trials = [], [], []
    for line in lines:
        shown = reading.sentences_of(line.answer)
        factual = [s for s in shown if reading.is_factual(s, examination)]
        form = numbers.get(line.question)
        wrong = reading.invented(shown, known, examination)
        asked.append(
            Asked(
                form=form.id if form else 0,
                topic=form.topic if form else "other",
                question=printable(line.question, 400),
                text=printable(line.answer, 4000),
                schema=() if line.answer.strip() else ("is empty",),
                verdict=tuple(reading.verdict_problems(line.answer, examination.verdict.label)),
                sentences=len(shown),
                own=len(shown),
                factual=len(factual),
                cited=sum(bool(core.CITED.search(s)) for s in factual),
                invented=tuple(wrong),
                proposed=len(shown),
                proposed_invented=tuple(wrong),
            )
        )
        if line.about is None:
            claimed |= _claimed(line, known, folder, source.height, source.width)
            said = reading.claims_altered(line.answer)
            words = {True: "altered", False: "unaltered", None: "neither"}[said]
            trials.append(Trial("truth", None if said is None else said is row.forged, f"says {words}: {line.answer}"))
        else:
            mask = mask_of_box(line.about, source.height, source.width)
            truth = true_mask is not None and float(true_mask[mask].mean() if mask.any() else 0.0) > _TOUCHED
            said = reading.says_touched(line.answer)
            probes.append(Probe("true" if truth else "random", truth, said, line.answer, said))
    return replace(
        row,
        label=examination.verdict.label,
        probability=examination.verdict.probability,
        asked=tuple(asked),
        claims=asdict(claim_scores(claimed, true_mask)),
        probes=tuple(probes),
        trials=tuple(trials),
        writer="answers",
    )


def _claimed(line: Line, known: core.Known, folder: Path, height: int, width: int) -> np.ndarray:
    """The mask given, else the box given, else what the words claim."""
    if line.mask is not None:
        return read_true_mask(folder / line.mask, height, width)
    if line.box is not None:
        return mask_of_box(line.box, height, width)
    return reading.claimed_mask(line.answer, known, height, width)


def answer_tables(rows: Sequence[Row], file: AnswerFile) -> list[Table]:
    """What only such files have: whether the picture as a whole is called right, broken lines, reference texts."""
    lines: list[tuple[str, ...]] = []
    for forged in (True, False):
        told = [t for r in rows if r.forged is forged for t in r.trials if t.name == "truth"]
        if told:
            right = counted_rate([t.passed is True for t in told])
            neither = str(sum(t.passed is None for t in told))
            lines.append(("forged" if forged else "authentic", str(len(told)), right, neither))
    note = "What an answer says of the picture as a whole, read by words; an answer that says neither is not right."
    found = [Table("Right about the picture", ("pictures", "answers", "right", "says neither"), tuple(lines), note)]
    if file.broken:
        problems = tuple((f"line {n}", words) for n, words in file.broken.items())
        found.append(Table("Lines that do not fit the schema", ("line", "problem"), problems))
    pairs = [(a.answer, a.reference) for ls in file.lines.values() for a in ls if a.reference]
    if pairs:
        found.append(_extras(pairs))
    return found


def _extras(pairs: Sequence[tuple[str, Any]]) -> Table:
    rouge = float(np.mean([text_scores.rouge_l(a, r) for a, r in pairs]))
    cosine = float(np.mean([text_scores.word_cosine(a, r) for a, r in pairs]))
    note = (
        "Extras: nearness to a reference text says nothing about truth. The cosine is of word counts and stands where "
        "others put a cosine of sentence embeddings (CSS); figures of the two cannot be compared."
    )
    rows = (("ROUGE-L", str(len(pairs)), number(rouge)), ("cosine of word counts", str(len(pairs)), number(cosine)))
    return Table("Text scores, extras", ("score", "answers", "mean"), rows, note)
