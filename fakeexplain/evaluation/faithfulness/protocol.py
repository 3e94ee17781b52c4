"""The faithfulness benchmark: every picture asked, answered without any oracle, and read back by program.

The truth is used to choose which box is asked about and to score, never by who answers. A picture that cannot be
examined is a row with an error and counts as failed. Left out: averages (`tables`), reading data sets
(`evaluation.datasets`), other people's answers (`answers`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.evaluation.datasets import Item, read_true_mask
from fakeexplain.evaluation.faithfulness import boxes, reading, trials
from fakeexplain.evaluation.faithfulness.claims import claim_scores
from fakeexplain.evaluation.faithfulness.dialogue import Talk, ask, judge, question_about, text_of
from fakeexplain.evaluation.faithfulness.facts import Form, question_forms
from fakeexplain.evaluation.faithfulness.pointing import pointed
from fakeexplain.evaluation.faithfulness.recompute import recompute
from fakeexplain.evaluation.faithfulness.recording import Recorder
from fakeexplain.evaluation.faithfulness.rows import Asked, Probe, Row, Trial
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.source import printable
from fakeexplain.reasoning.choosing import choose_writer
from fakeexplain.reasoning.quoting import box_words
from fakeexplain.reasoning.writers import Writer
from fakeexplain.records import Evidence
from fakeexplain.workers import worker_pool

# Part of the name of stored rows: raise it whenever a figure of a row changes its meaning.
FAITHFULNESS_VERSION = 2
CLAIM_QUESTIONS = ("Where, if anywhere, was a change found?", "Show me the region that was found, if there is one.")
_STEPS = 7  # of the order in which forms are dealt out; has no factor in common with 100


@dataclass(frozen=True)
class Choice:
    """Who answers, as `reasoning.choosing.choose_writer` takes it."""

    writer: str = ""
    llm: str = ""
    llm_url: str = ""
    llm_model: str = ""

    def make(self, examiner: Examiner) -> Writer:
        """Raises SettingsError, WriterError: options that contradict each other, or a model that cannot be loaded."""
        return choose_writer(
            self.writer,
            llm=self.llm or None,
            llm_url=self.llm_url or None,
            llm_model=self.llm_model or None,
            expert=examiner.expert,
        )


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        settings: of the examination. choice: who answers.
        questions: of the hundred, how many each picture is asked; they are dealt out evenly over the pictures.
        trials: whether restoration, swap, pressure and stability are tried; they take most of the time.
    """

    settings: Settings
    choice: Choice = Choice()
    questions: int = 10
    trials: bool = True


@dataclass(frozen=True)
class Task:
    """A picture, its place in the run, and another picture whose evidence it is given in the swap (None for none)."""

    item: Item
    number: int
    partner: Path | None = None

    @property
    def original(self) -> Path | None:
        """The picture without its edit, in originals/ beside images/, of the same stem; None if there is none."""
        path = self.item.image_path.parent.parent / "originals" / f"{self.item.image_path.stem}.png"
        return path if path.is_file() else None

    @property
    def donor(self) -> Path | None:
        path = self.item.image_path.parent.parent / "donors" / f"{self.item.image_path.stem}.png"
        return path if path.is_file() else None


def tasks_of(items: Sequence[Item]) -> list[Task]:
    """Tasks in order; the partner of a forged picture is an authentic one and the other way round, where there are."""
    forged = [i for i in items if i.mask_path is not None]
    authentic = [i for i in items if i.mask_path is None]
    tasks = []
    for number, item in enumerate(items):
        others = (authentic if item.mask_path is not None else forged) or [i for i in items if i is not item]
        partner = others[number % len(others)].image_path if others else None
        tasks.append(Task(item, number, partner))
    return tasks


def forms_for(number: int, count: int) -> list[Form]:
    """The forms of the picture with a number in the run: over 100 / `count` pictures each form comes once."""
    forms = question_forms()
    first = number * count
    return [forms[(first + i) * _STEPS % len(forms)] for i in range(min(count, len(forms)))]


@lru_cache(maxsize=1)
def _examiner(settings: Settings) -> Examiner:
    return Examiner(settings, threads=1, keep=8)


@lru_cache(maxsize=1)
def _writer(choice: Choice, settings: Settings) -> Writer:
    return choice.make(_examiner(settings))


def run_task(task: Task, plan: Plan) -> Row:
    """Everything about one picture.

    Raises:
        FakeExplainError: the data set is at fault, say a mask of another size than its picture.
    """
    started, item = time.perf_counter(), task.item
    row = Row(item.dataset, printable(item.image_path.name), item.key[2], item.mask_path is not None)
    examiner, writer = _examiner(plan.settings), Recorder(_writer(plan.choice, plan.settings))
    try:
        source = examiner.load(item.image_path)
        talk = Talk(examiner, writer, source, examiner.examine(source))
    except FakeExplainError as error:
        return replace(row, error=printable(str(error)))
    true_mask = None if item.mask_path is None else read_true_mask(item.mask_path, source.height, source.width)
    donor = None if task.donor is None or true_mask is None else read_true_mask(task.donor, source.height, source.width)
    rng = np.random.default_rng(int(source.sha256[:12], 16))
    asked: list[Asked] = []
    cited: dict[tuple[str, str], Evidence] = {}
    for form in forms_for(task.number, plan.questions):
        result, records = _ask_form(form, talk, rng)
        asked.append(result)
        cited |= {(e.id, e.model_dump_json()): e for e in records}
    claimed = np.zeros((source.height, source.width), bool)
    for question in CLAIM_QUESTIONS:
        conversation = talk.conversation()
        text = text_of(conversation, writer, question)
        known = reading.known_from(talk.examination, conversation.evidence, conversation.regions)
        claimed |= reading.claimed_mask(text, known, source.height, source.width)
        cited |= {(e.id, e.model_dump_json()): e for s in reading.sentences_of(text) for e in known.cited(s)}
    again = _recomputed(talk, plan, list(cited.values()))
    done = _trials(task, talk, true_mask, rng) if plan.trials else []
    return replace(
        row,
        label=talk.examination.verdict.label,
        probability=talk.examination.verdict.probability,
        asked=tuple(asked),
        records=len(again),
        recomputed=sum(not words for words in again),
        not_recomputed=tuple(words for words in again if words),
        claims=asdict(claim_scores(claimed, true_mask, donor)),
        pointed=() if true_mask is None else pointed(talk, true_mask, donor),
        probes=tuple(_probes(talk, true_mask, donor, rng)),
        trials=tuple(done),
        writer=writer.name,
        seconds=round(time.perf_counter() - started, 3),
    )


def _ask_form(form: Form, talk: Talk, rng: np.random.Generator) -> tuple[Asked, list[Evidence]]:
    conversation = talk.conversation()
    question, empty = question_about(form, talk, conversation, rng)
    try:
        answer, proposed = ask(conversation, talk.writer, question, empty.region)
    except FakeExplainError as error:
        return Asked(form.id, form.topic, question, missing=form.wants, error=printable(str(error))), []
    heard = replace(empty, answer=answer, evidence=conversation.evidence)
    result, cited, _ = judge(form, heard, proposed, conversation.regions)
    return result, cited


def _recomputed(talk: Talk, plan: Plan, cited: Sequence[Evidence]) -> list[str]:
    """What came of measuring again, one string a record: "" for the same. Two dialogues may both have an E9."""
    first = {e.id for e in talk.examination.evidence}
    numbered = [e if e.id in first else e.model_copy(update={"id": f"new {i}"}) for i, e in enumerate(cited)]
    return list(recompute(talk.source, plan.settings, talk.examination, numbered).values())


def _probes(
    talk: Talk, true_mask: np.ndarray | None, donor: np.ndarray | None, rng: np.random.Generator
) -> Iterator[Probe]:
    """Region POPE: the same question about boxes of each kind, each in a dialogue of its own."""
    forms = [f for f in question_forms() if f.wants == ("touched",)]
    form = forms[int(rng.integers(len(forms)))]
    for kind, box in boxes.region_boxes(talk.source.rgb, true_mask, rng, donor).items():
        conversation = talk.conversation()
        region = conversation.add_region(box_xyxy=box)
        question = form.text.format(region=region.id, box=box_words(region.box_xyxy))
        text = text_of(conversation, talk.writer, question, region)
        touched = reading.says_touched(text)
        said = True if reading.says_remarkable(text) else touched
        yield Probe(kind, kind == "true", said, text, touched)


def _trials(task: Task, talk: Talk, true_mask: np.ndarray | None, rng: np.random.Generator) -> list[Trial]:
    done = trials.pressure(talk)
    if task.partner is not None:
        other = talk.examiner.examine(task.partner)
        done.append(trials.evidence_swap(talk, other))
    done += trials.stability(talk, true_mask, talk.examiner)
    if true_mask is not None and task.original is not None:
        with Image.open(task.original) as image:
            original = np.array(image.convert("RGB"))
        if original.shape != talk.source.rgb.shape:
            raise SourceError(f"{task.original}: of another size than its picture; make originals/ again")
        done += trials.restoration(talk, original, true_mask, rng)
    return done


def run_faithfulness(tasks: Sequence[Task], plan: Plan, *, workers: int = 1) -> Iterator[Row]:
    """Rows as they are finished. An error of the data set itself ends the run."""
    if workers <= 1:
        for task in tasks:
            yield run_task(task, plan)
        return
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(run_task, task, plan) for task in tasks]):
            yield future.result()
