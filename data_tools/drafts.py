"""Draft explanations of pictures, for a person to review: what the library measures, claim by claim, with evidence ids.

    python -m data_tools.drafts photo.jpg other.png --out drafts.jsonl
    python -m data_tools.drafts set/manifest.jsonl --out set/drafts.jsonl --with-mask

Label-blind by default: a draft knows the picture and nothing else, and says nothing about a label, operation, history
or mask that the data set holds. With `--with-mask` the given mask is measured too (a chosen region: it never changes
the verdict). A draft is a `schema.Record`: `description` and one dialogue turn hold the text, the last entry of
`history` ({"on": "draft"}) holds claims, verdict and versions, `evidence` what the claims cite.
With `--writer`, `--llm` or `--llm-url` a model words the claims; each is checked like any answer.
Deliberately left out: deciding about drafts (review).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from data_tools.schema import IMAGE_TOKEN, MaskField, Message, Record, TurnRegion, inline_mask, read_jsonl, read_mask
from data_tools.schema import resolve as resolve_path
from fakeexplain.conversation import Conversation
from fakeexplain.errors import FakeExplainError, MeasurementError, OutputError, SourceError
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.suite import all_instruments
from fakeexplain.reasoning.choosing import choose_writer
from fakeexplain.reasoning.wording import describe_bare
from fakeexplain.reasoning.writers import Writer
from fakeexplain.records import Claim, Evidence, Examination

QUESTION = "What does the examination of this picture show?"
MASK_QUESTION = "What do the instruments measure in R1?"


@dataclass(frozen=True)
class Task:
    """A picture to draft for: its file, its path in the draft's data set, and the mask that came with it."""

    path: Path
    image: str
    mask: MaskField = None
    root: Path = Path()


def measure_mask(
    examiner: Examiner, source: SourceImage, mask: np.ndarray, region_id: str, first: int
) -> list[Evidence]:
    """New evidence of every instrument that can measure the region (bool HxW), numbered from `first`.

    Raises:
        SourceError: the mask is empty or not of the picture's size.
    """
    if mask.shape != (source.height, source.width) or not mask.any():
        raise SourceError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} with {int(mask.sum())} pixels set, the picture is "
            f"{source.width}x{source.height}; wanted a mask of that size that is not empty"
        )
    region = region_of_mask(mask, region_id)
    found: list[Evidence] = []
    for instrument in all_instruments():
        try:
            item = examiner.measure(source, instrument.name, region_mask=mask)
        except MeasurementError:
            continue
        found.append(item.model_copy(update={"id": f"E{first + len(found)}", "region": region}))
    return found


def mask_claims(evidence: Sequence[Evidence]) -> list[Claim]:
    """One claim per measurement of the given mask."""
    return [
        Claim(text=f"{describe_bare(e).rstrip('.')} [{e.id}].", evidence_ids=(e.id,), section="finding")
        for e in evidence
    ]


def draft(examiner: Examiner, task: Task, *, with_mask: bool = False, writer: Writer | None = None) -> Record:
    """The draft of one picture.

    Args:
        examiner: makes the examination.
        task: the picture; its mask is looked at only with `with_mask`.
        writer: words the claims, each of them checked before it is kept; None for the library's own sentences.

    Raises:
        WriterError: the writer cannot answer.
        SourceError: the picture or the mask cannot be read, or they do not fit each other.
    """
    source = examiner.load(task.path, name=PurePosixPath(task.image).name)
    examination = examiner.examine(source)
    claims, evidence = list(examination.reasoning), list(examination.evidence)
    worded_by = "fakeexplain.reasoning.wording"
    if writer is not None:
        # Blind: the conversation sees the picture's examination and nothing of the data set.
        answer = Conversation(examiner, source, writer=writer, examination=examination).ask(QUESTION)
        claims = [Claim(text=s.text, evidence_ids=s.evidence_ids, section="finding") for s in answer.sentences]
        evidence += answer.evidence
        worded_by = answer.writer
    turns = [
        Message(role="user", content=f"{IMAGE_TOKEN}\n{QUESTION}"),
        _answer(claims),
    ]
    if with_mask and task.mask is not None:
        mask = read_mask(task.mask, task.root)
        regions = sum(len(e.areas) for e in evidence)
        name = f"R{regions + 1}"
        measured = measure_mask(examiner, source, mask, name, len(evidence) + 1)
        added = mask_claims(measured)
        claims, evidence = claims + added, evidence + measured
        if added:
            box = region_of_mask(mask).box_xyxy
            region = TurnRegion(id=name, box_xyxy=box, mask=inline_mask(mask))
            turns.append(Message(role="user", content=MASK_QUESTION.replace("R1", name), region=region))
            turns.append(_answer(added))
    return Record(
        image=task.image,
        sha256=source.sha256,
        width=source.width,
        height=source.height,
        mask=task.mask if with_mask else None,
        label="unknown",
        dialogue=tuple(turns),
        description=" ".join(c.text for c in claims),
        evidence=tuple(evidence),
        history=(_draft_entry(examination, claims, with_mask, worded_by),),
        origin="draft",
    )


def _answer(claims: Sequence[Claim]) -> Message:
    ids = tuple(dict.fromkeys(i for c in claims for i in c.evidence_ids))
    return Message(role="assistant", content=" ".join(c.text for c in claims), evidence_ids=ids)


def _draft_entry(examination: Examination, claims: Sequence[Claim], with_mask: bool, worded_by: str) -> dict[str, Any]:
    return {
        "on": "draft",
        "label_blind": not with_mask,
        "worded_by": worded_by,
        "claims": [c.model_dump(mode="json") for c in claims],
        "verdict": examination.verdict.model_dump(mode="json"),
        "quality": examination.quality.model_dump(mode="json"),
        "versions": examination.versions,
    }


def tasks_of(inputs: Sequence[Path], out: Path) -> Iterator[Task | str]:
    """Tasks for pictures and for the records of JSONL files, or one line saying what is wrong with one.

    A draft names its picture relative to the folder of `out`; one from elsewhere is copied to drafts_images/ there.

    Raises:
        SourceError: a JSONL file cannot be read.
        OutputError: a picture cannot be copied.
    """
    for path in inputs:
        if path.suffix.lower() not in (".jsonl", ".ndjson"):
            yield Task(path, _placed(path, out.parent), root=out.parent) if path.is_file() else f"{path}: no such file"
            continue
        same = path.parent.resolve() == out.parent.resolve()
        for record in read_jsonl(path):
            try:
                file = resolve_path(path.parent, record.image)
                image = record.image if same else _placed(file, out.parent)
                mask = record.mask
                if isinstance(mask, str) and not same:  # the draft cannot name a file outside its own data set
                    mask = inline_mask(read_mask(mask, path.parent))
            except SourceError as error:
                yield f"{path}: {record.image}: {error}"
                continue
            yield Task(file, image, mask, path.parent) if file.is_file() else f"{path}: {record.image}: no such file"


def _placed(path: Path, folder: Path) -> str:
    """The path of a file relative to `folder`; a copy in it where the file lies outside."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        pass
    try:
        name = f"{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}_{path.name}"
        target = folder / "drafts_images" / name
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(name + ".part")
            shutil.copyfile(path, part)
            os.replace(part, target)
    except OSError as error:
        raise OutputError(f"{path}: cannot be copied beside --out ({error.strerror or error})") from None
    return f"drafts_images/{name}"


def write_drafts(
    inputs: Sequence[Path],
    out: Path,
    *,
    with_mask: bool = False,
    examiner: Examiner | None = None,
    writer: Writer | None = None,
) -> Iterator[str | None]:
    """Appends a draft for every picture that has none in `out` yet; yields None for each, or one line for an error.

    A last line that a stop cut off is taken out before.

    Raises:
        SourceError: an input file, or what `out` holds, cannot be read.
        OutputError: `out` cannot be written.
    """
    examiner = examiner or Examiner(keep=1)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_file():
            data = out.read_bytes()
            out.write_bytes(data[: data.rfind(b"\n") + 1]) if not data.endswith(b"\n") else None
        done = {_key(r.image, _blind(r)) for r in read_jsonl(out)} if out.is_file() else set()
        with out.open("a", encoding="utf-8") as file:
            for task in tasks_of(inputs, out):
                if isinstance(task, str):
                    yield task
                    continue
                if _key(task.image, not with_mask) in done:
                    continue
                try:
                    record = draft(examiner, task, with_mask=with_mask, writer=writer)
                except FakeExplainError as error:
                    yield f"{task.image}: {error}"
                    continue
                file.write(record.to_json() + "\n")
                file.flush()
                done.add(_key(task.image, not with_mask))
                yield None
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None


def _key(image: str, blind: bool) -> str:
    return f"{image} {blind}"


def _blind(record: Record) -> bool:
    return next((bool(e.get("label_blind")) for e in record.history if e.get("on") == "draft"), True)


def main(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, and data sets (*.jsonl).")],
    out: Annotated[Path, typer.Option(help="Drafts as records, one a line; a stopped run is resumed.")],
    with_mask: Annotated[
        bool, typer.Option("--with-mask", help="Measure the given masks too (not label-blind).")
    ] = False,
    writer: Annotated[
        str,
        typer.Option(
            "--wording", "--writer", help="`assistant`, or a folder of its weights; default the library's sentences."
        ),
    ] = "",
    llm: Annotated[str | None, typer.Option("--llm", help="Your own language model: folder or cached name.")] = None,
    llm_url: Annotated[str | None, typer.Option("--llm-url", help="An OpenAI-compatible server; text only.")] = None,
    llm_model: Annotated[str | None, typer.Option("--llm-model", help="The model's name on that server.")] = None,
) -> None:
    """Draft an explanation of each picture from evidence."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    made = failed = 0
    try:
        chosen = None
        examiner = Examiner(keep=1)
        if writer or llm or llm_url or llm_model:
            chosen = choose_writer(writer, llm=llm, llm_url=llm_url, llm_model=llm_model, expert=examiner.expert)
        for problem in write_drafts(inputs, out, with_mask=with_mask, examiner=examiner, writer=chosen):
            made += problem is None
            failed += problem is not None
            if problem is not None:
                errors.print(f"error: {problem}", markup=False)
    except FakeExplainError as error:
        errors.print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    Console(highlight=False, soft_wrap=True).print(f"{made} drafts written to {out}, {failed} errors")
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
