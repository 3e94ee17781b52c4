"""Writes the three data sets: images/, masks/, donors/, three JSONL files (see FILES) and README.md.

Each picture is made and examined once, in a worker, and gives all its records; each record is checked before it is
written, and one that fails is a bug and stops the run. A stopped run goes on where it stopped: `progress.json` says how
many pictures are complete and how long each file was then, and what was written after that is cut off.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_tools.forge.config import Split
from data_tools.forge.forge import Forge
from data_tools.forge.writer import save_sample, settings_of
from data_tools.instructions.alignment import chosen_region, mask_dialogue, seen_dialogue
from data_tools.instructions.dialogues import Dialogues
from data_tools.instructions.picture import CONFIG, Picture, make, open_forge
from data_tools.instructions.verify import check_record
from data_tools.schema import Record
from fakeexplain.errors import OutputError, SettingsError
from fakeexplain.examiner import Examiner

INSTRUCTIONS_VERSION = 3  # raise it whenever records change
FILES = ("alignment.jsonl", "mask_alignment.jsonl", "dialogues.jsonl")
PER_PROCESS = 400  # pictures that a process makes before another takes its place
SHARD = 20  # pictures between two notes of progress
FIRST_TOPICS = ("all", "objects", "light", "colours", "detail", "framing")


@dataclass(frozen=True)
class Plan:
    """What a set is made of; a resumed run must have the same one.

    Attributes:
        photos, object_masks: folders; labels are <stem>.png of COCO category ids.
        records_per_picture: alignment records, half of them (rounded up) image-text, the others mask-text.
        dialogues_per_picture, size, seed: as on the command line.
        split: side of the forge's split by photograph; `validation` are those that the expert was not trained on.
        box_share: share of the mask descriptions that give the region's box in pixels, which only a large language
            model on a fine grid can learn. tags_share: share of the files that carry tags, see `file_tags`.
    """

    photos: Path
    object_masks: Path | None = None
    records_per_picture: int = 4
    dialogues_per_picture: int = 4
    size: int = 512
    seed: int = 0
    split: Split = "all"
    box_share: float = 0.2
    tags_share: float = 0.4

    def forge(self) -> Forge:
        return open_forge(
            self.photos, self.object_masks, self.seed, self.size, CONFIG.model_copy(update={"split": self.split})
        )

    def __post_init__(self) -> None:
        if self.records_per_picture < 0 or self.dialogues_per_picture < 0 or self.size < 64:
            raise SettingsError("records and dialogues per picture must not be negative, and --size at least 64")


def records_of(picture: Picture, row: dict[str, Any], plan: Plan) -> tuple[list[Record], list[Record], list[Record]]:
    """(alignment, mask alignment, dialogue) records of a picture.

    Args:
        row: the forge's manifest row of the picture as saved.

    Raises:
        AssertionError: an answer does not agree with its record; a bug.
    """
    base = Record.from_row({**row, "history": row["history"], "origin": "instructions"})
    rng = np.random.default_rng([INSTRUCTIONS_VERSION, plan.seed, picture.index, 1])
    seen_count = (plan.records_per_picture + 1) // 2
    examined = {
        "on": "examination",
        "verdict": picture.examination.verdict.model_dump(mode="json"),
        "quality": picture.examination.quality.model_dump(mode="json"),
    }
    topics = [t for t in FIRST_TOPICS if t != "objects" or picture.facts["objects"]]
    alignment, masked, dialogues = [], [], []
    for number in range(seen_count):
        first = "all" if number == 0 else topics[int(rng.integers(len(topics)))]
        turns = seen_dialogue(picture.facts, rng, first)
        history = (*base.history, {"on": "seen", **picture.facts})
        alignment.append(base.updated(dialogue=turns, history=history, caption=turns[1].content))
    for number in range(plan.records_per_picture - seen_count):
        mask, operations = chosen_region(picture, number, rng)
        turns, evidence, facts = mask_dialogue(picture, mask, operations, rng, boxes=rng.random() < plan.box_share)
        masked.append(base.updated(dialogue=turns, evidence=evidence, history=(*base.history, facts)))
    writer = Dialogues(picture, rng)
    strata = {"verdict": picture.verdict}
    for _ in range(plan.dialogues_per_picture):
        turns, evidence = writer.write()
        history = (*base.history, examined)
        dialogues.append(base.updated(dialogue=turns, evidence=evidence, history=history, strata=strata))
    for record in (*alignment, *masked, *dialogues):
        problems = check_record(record)
        assert not problems, f"{record.image}: {'; '.join(problems)}"
    return alignment, masked, dialogues


_worker: tuple[Forge, Examiner, Plan, Path] | None = None


def _start_worker(plan: Plan, out: str) -> None:
    global _worker
    cv2.setNumThreads(1)
    forge = plan.forge()
    _worker = forge, Examiner(threads=1, keep=1), plan, Path(out)


def _make(index: int) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The lines for the three files, and what is counted."""
    assert _worker is not None
    forge, examiner, plan, out = _worker
    started = time.process_time()
    picture = make(forge, examiner, index, plan.seed, plan.tags_share)
    row = save_sample(picture.sample, index, out)
    groups = records_of(picture, row, plan)
    lines = tuple("".join(r.to_json() + "\n" for r in group) for group in groups)
    counted = {
        "label": "forged" if picture.sample.label else "authentic",
        "verdict": picture.verdict,
        "operations": list(picture.sample.operations),
        "licence": list(picture.sample.licence),
        "traces": sorted({e.trace for e in picture.findings}),
        "records": [len(g) for g in groups],
        "turns": sum(m.role == "assistant" for r in groups[2] for m in r.dialogue),
        "tool_turns": sum(m.role == "tool" for r in groups[2] for m in r.dialogue),
        "tagged": any(h.get("on") == "file" for h in row["history"]),
        "seconds": round(time.process_time() - started, 3),
    }
    return lines, counted


def _produce(plan: Plan, out: Path, indices: range, workers: int) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if workers == 1:
        _start_worker(plan, str(out))
        yield from map(_make, indices)
        return
    spawning = multiprocessing.get_context("spawn")  # OpenCV's threads do not survive a fork
    # Memory that pictures of many sizes leave in pieces is given back when a process ends: 3.7 GB after 2,500 pictures.
    start = {"initializer": _start_worker, "initargs": (plan, str(out))}
    with spawning.Pool(workers, maxtasksperchild=PER_PROCESS // 2, **start) as pool:  # type: ignore[arg-type]
        yield from pool.imap(_make, indices, chunksize=2)


def write(plan: Plan, out: Path, *, pictures: int, workers: int = 1, quiet: bool = False) -> dict[str, Any]:
    """Writes pictures 0 .. `pictures` - 1 with their records, or goes on with it; returns what was counted.

    Raises:
        SettingsError: no photographs, or `out` holds a set made with other settings.
        OutputError: the folder cannot be written.
    """
    if pictures < 1 or workers < 1:
        raise SettingsError(f"--pictures {pictures} and --workers {workers} must be at least 1")
    forge = plan.forge()
    settings = settings_of(forge) | {
        "instructions_version": INSTRUCTIONS_VERSION,
        "records_per_picture": plan.records_per_picture,
        "dialogues_per_picture": plan.dialogues_per_picture,
        "box_share": plan.box_share,
        "tags_share": plan.tags_share,
    }
    note = out / "progress.json"
    try:
        for name in ("images", "masks", "donors"):
            (out / name).mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {"settings": settings, "pictures": [], "bytes": [0, 0, 0]}
        if note.is_file():
            state = json.loads(note.read_text(encoding="utf-8"))
            if state["settings"] != settings:
                raise SettingsError(
                    f"{out}: holds a set made with other settings (progress.json); choose another --out"
                )
        done = len(state["pictures"])
        for name, size in zip(FILES, state["bytes"], strict=True):
            with (out / name).open("ab") as file:
                file.truncate(size)
        columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        pending: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        with Progress(*columns, disable=quiet) as progress:
            task = progress.add_task("pictures", total=pictures, completed=done)
            indices = range(done, pictures)
            for made in _produce(plan, out, indices, min(workers, max(len(indices), 1))):
                pending.append(made)
                progress.advance(task)
                if len(pending) == SHARD:
                    _commit(out, note, state, pending)
                    pending = []
            _commit(out, note, state, pending)
        (out / "README.md").write_text(data_card(state), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    return state


def _commit(out: Path, note: Path, state: dict[str, Any], made: list[tuple[tuple[str, ...], dict[str, Any]]]) -> None:
    """Appends the lines of some pictures to the files, then says so: the note is replaced at once or not at all."""
    for position, name in enumerate(FILES):
        with (out / name).open("ab") as file:
            file.write("".join(lines[position] for lines, _ in made).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
            state["bytes"][position] = file.tell()
    state["pictures"] += [counted for _, counted in made]
    part = note.with_suffix(".part")
    part.write_text(json.dumps(state), encoding="utf-8")
    os.replace(part, note)


def _table(counts: Counter[str], total: int) -> str:
    rows = "\n".join(f"| {name} | {n} | {100 * n / max(total, 1):.1f} % |" for name, n in counts.most_common())
    return f"| | number | share |\n|---|---|---|\n{rows}"


def _tagged(rows: list[dict[str, Any]], label: str) -> str:
    tagged = [bool(r["tagged"]) for r in rows if r["label"] == label]
    return f"{100 * sum(tagged) / len(tagged):.1f} %" if tagged else "none"


def data_card(state: dict[str, Any]) -> str:
    """README.md of a written set, counted from what was written."""
    rows, settings = state["pictures"], state["settings"]
    records = [sum(r["records"][i] for r in rows) for i in range(3)]
    outcome = Counter(f"{r['label']}, {r['verdict']}" for r in rows)
    neutral = sum(r["label"] == "authentic" or r["verdict"] == "inconclusive" for r in rows)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    operations, traces = (
        Counter(o for r in rows for o in r["operations"]),
        Counter(t for r in rows for t in r["traces"]),
    )
    licences = Counter(text for r in rows for text in r["licence"] or ["not stated"])
    return f"""# Instruction data about examined pictures: data card

{len(rows)} pictures of at most {settings["size"]}x{settings["size"]} pixels, made by the forge (version
{settings["forge_version"]}, seed {settings["seed"]}, settings {digest} in progress.json) and examined once each.

| file | records | what |
|---|---|---|
| alignment.jsonl | {records[0]} | picture -> what is plainly there |
| mask_alignment.jsonl | {records[1]} | picture and mask -> where, how large, what shape, what differs, what was done |
| dialogues.jsonl | {records[2]} | several turns about the examination, with tool turns and `<SEG>` |

short_answers.jsonl, where it is there, asks what only the map or the picture can answer, of these same pictures.

{sum(r["turns"] for r in rows)} assistant turns in the dialogues, {sum(r["tool_turns"] for r in rows)} tool turns.
Authentic or inconclusive pictures: {100 * neutral / max(len(rows), 1):.1f} %. Files with camera data and other tags:
{_tagged(rows, "forged")} of the forged, {_tagged(rows, "authentic")} of the authentic ones.
Processor time: {sum(r["seconds"] for r in rows) / max(len(rows), 1):.2f} s per picture.

The verdict of the library decides what the answers claim: where the forge altered a picture and the library finds
nothing, the answers say that no evidence was found. Evidence that no tool turn brings is known from the start.
Every answer was checked against its record by program before it was written
(`python -m data_tools.instructions verify FOLDER` checks again).

## Made, and found
{_table(outcome, len(rows))}

## Edits
{_table(operations, sum(operations.values()))}

## Traces that findings rest on
{_table(traces, sum(traces.values()))}

## Licences of the photographs behind the pictures
A picture inherits the strictest terms of the photographs in it.

{_table(licences, len(rows))}
"""
