"""Does the assistant look? Held-out answers with its own picture and map tokens, with another picture's, with none.

python benchmarks/token_use.py RUN --data SET [--maps MAPS] [--samples 400]

RUN is an output_dir of training (its final weights) or the folder of an assistant. SET is what training reads; only the
photographs that training holds out are used. Answers are given the true turns before them. "Exact" is the share of
answers of which every token is the likeliest one: what is written word for word when the likeliest token is taken each
time. "Commonest" is what one reaches who sees nothing and always gives the commonest answer to questions of that kind.
Another picture's tokens are those of another record about another photograph: its picture, map and regions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from data_tools.instructions.short_check import read_question
from data_tools.schema import IMAGE_TOKEN, Record
from fakeexplain.errors import FakeExplainError, SettingsError
from training.assistant_data import Row, open_records
from training.assistant_prompts import dialogues_of
from training.assistant_samples import IGNORED, AssistantDataset, list_sequences
from training.assistant_stages import MAP_INPUTS, answer_loss, build
from training.config import DialogueConfig
from training.data import Batch
from training.expert_maps import MapFolder
from training.export_assistant import run_config

TOKENS = ("own", "other", "absent")
_INPUTS = (*MAP_INPUTS, "pixel_values")
_BATCH = 16


@dataclass
class Totals:
    """Sums over the answers of one kind of record, for one kind of tokens."""

    loss: float = 0.0
    tokens: float = 0.0
    exact: int = 0
    answers: int = 0


@dataclass
class Table:
    """Totals by (kind of record, tokens), and how often each answer was due to a question of a kind."""

    totals: dict[tuple[str, str], Totals] = field(default_factory=lambda: defaultdict(Totals))
    due: dict[str, dict[str, Counter[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Counter)))

    def commonest(self, kind: str) -> float | None:
        """Share of answers that are the commonest to their kind of question; None where questions have no kinds."""
        counts = self.due.get(kind)
        if not counts:
            return None
        return sum(max(c.values()) for c in counts.values()) / sum(sum(c.values()) for c in counts.values())


def load(run: Path) -> tuple[Any, Any]:
    """(model in evaluation, processor) of a training run, or of an assistant's folder.

    Raises:
        SettingsError: neither of the two, or weights that do not fit.
    """
    if not (run / "training.json").is_file():
        from fakeexplain.models.assistant_loading import load_assistant

        return load_assistant(run)
    from training.checkpoints import load_weights

    config = run_config(run)
    if not config.task.startswith("assistant_"):
        raise SettingsError(f"{run}: a run of task {config.task}, wanted one of the assistant's")
    model, processor = build(config.model_copy(update={"expert": None}))
    load_weights(run / "final.safetensors", model)
    return model.eval(), processor


def kind_of(record: Record) -> str:
    """What answers of a record are about."""
    entries = {str(h.get("on")): h for h in record.history}
    if "map" in entries:
        return f"short answers, {entries['map']['read']}"
    names = {"sight": "short answers, picture", "examination": "dialogues", "mask": "masks described"}
    return next((name for key, name in names.items() if key in entries), "pictures described")


def questions_of(record: Record) -> Iterator[tuple[str, str]]:
    """(kind of question, answer) of a record of short answers; nothing of others."""
    about_map = any(h.get("on") == "map" for h in record.history)
    if about_map or any(h.get("on") == "sight" for h in record.history):
        for question, answer in zip(record.dialogue[::2], record.dialogue[1::2], strict=True):
            asked = read_question(question.content.replace(IMAGE_TOKEN, "").strip(), about_map)
            if asked is not None:
                name = f" {asked[1]}" if asked[0] in ("object", "has_colour") else ""
                yield asked[0] + name, answer.content


def exact_answers(logits: Tensor, labels: Tensor) -> list[bool]:
    """Of every answer in a batch, row by row: whether its tokens are the likeliest ones. B,T,V and B,T."""
    found = []
    right = logits[:, :-1].argmax(-1) == labels[:, 1:]
    for row, wanted in zip(right, labels[:, 1:] != IGNORED, strict=True):
        begins = wanted & ~torch.cat([torch.zeros_like(wanted[:1]), wanted[:-1]])
        number = begins.cumsum(0)[wanted]
        found += [bool(row[wanted][number == n].all()) for n in range(1, int(begins.sum()) + 1)]
    return found


def others(photographs: Sequence[str]) -> list[int]:
    """For each sample the next one (around the end) of another photograph. Raises SettingsError where there is none."""
    count = len(photographs)
    if len(set(photographs)) < 2:
        raise SettingsError(f"{count} samples of {len(set(photographs))} photographs; wanted two photographs at least")
    return [
        next(j % count for j in range(i + 1, i + count) if photographs[j % count] != photographs[i])
        for i in range(count)
    ]


def with_tokens(sample: Batch, other: Batch, tokens: str) -> Batch:
    """A sample that reads its own picture and map, another sample's, or none (a grey picture, no map)."""
    if tokens == "own":
        return sample
    if tokens == "other":
        swapped = {n: other[n] for n in _INPUTS if n in sample and n in other}
        if "region_inputs" in sample:  # as many regions as the text names, all the other's area
            shown = other["region_inputs"][:, :1] if "region_inputs" in other else other["mask_inputs"][:, None, :2]
            swapped["region_inputs"] = shown.expand_as(sample["region_inputs"])
        return {**sample, **swapped}
    empty = {n: torch.zeros_like(sample[n]) for n in MAP_INPUTS if n in sample}
    return {**sample, **empty, "pixel_values": torch.full_like(sample["pixel_values"], 0.5)}


def measure(model: Any, dataset: AssistantDataset, samples: list[tuple[Batch, Row]]) -> Table:
    """Losses and exact answers of all samples with each kind of tokens."""
    table = Table()
    partner = others([row.record.source or row.record.image for _, row in samples])
    names = ("input_ids", "attention_mask", *_INPUTS)
    for start in range(0, len(samples), _BATCH):
        chosen = range(start, min(start + _BATCH, len(samples)))
        kinds = [kind_of(samples[i][1].record) for i in chosen]
        for i, kind in zip(chosen, kinds, strict=True):
            for question, answer in questions_of(samples[i][1].record):
                table.due[kind][question][answer] += 1
        for tokens in TOKENS:
            parts = [with_tokens(samples[i][0], samples[partner[i]][0], tokens) for i in chosen]
            batch = dataset.collate(parts)
            with torch.no_grad():
                logits = model(**{n: batch[n] for n in names if n in batch}, use_cache=False).logits
            for row, kind in enumerate(kinds):
                loss = answer_loss(logits[row : row + 1], batch["labels"][row : row + 1])
                exact = exact_answers(logits[row : row + 1], batch["labels"][row : row + 1])
                total = table.totals[kind, tokens]
                total.loss, total.tokens = total.loss + float(loss.total), total.tokens + float(loss.count)
                total.exact, total.answers = total.exact + sum(exact), total.answers + len(exact)
    return table


def lines(table: Table) -> Iterator[str]:
    """The table in Markdown."""
    yield "| records | answers | perplexity own | other | absent | exact own | other | absent | commonest |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for kind in sorted({k for k, _ in table.totals}):
        found = [table.totals[kind, t] for t in TOKENS]
        perplexities = [f"{math.exp(t.loss / max(t.tokens, 1)):.3f}" for t in found]
        exact = [f"{100 * t.exact / max(t.answers, 1):.1f} %" for t in found]
        common = table.commonest(kind)
        cells = [kind, str(found[0].answers), *perplexities, *exact, "" if common is None else f"{100 * common:.1f} %"]
        yield f"| {' | '.join(cells)} |"


def main(
    run: Annotated[Path, typer.Argument(help="output_dir of a training run, or folder of an assistant.")],
    data: Annotated[list[Path], typer.Option(help="What training reads: files or folders.")],
    maps: Annotated[Path | None, typer.Option(help="Folder of training.expert_maps.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="Records, drawn at random.")] = 400,
    held_out: Annotated[float, typer.Option(min=0.001, max=0.999, help="Share of photographs held out.")] = 0.05,
    cache: Annotated[Path, typer.Option(help="Folder for tables of records.")] = Path("runs/token_use"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Perplexity and exact answers of held-out records with own, another picture's and no tokens."""
    try:
        model, processor = load(run)
        rows = open_records(tuple(data), cache=cache)
        numbers = rows.held_out(held_out)[1]
        chosen = sorted(np.random.default_rng(seed).permutation(numbers)[:samples].tolist())
        sequences = list_sequences(rows, chosen, processor, cache)
        settings = DialogueConfig(predicted_share=1.0, absent_share=0.0, held_out=held_out, group=1)
        folder = None if maps is None else MapFolder(maps)
        dataset = AssistantDataset(rows, sequences, processor, settings, processor.context, seed, folder)
        made = []
        for number, position in zip(dataset.sequences.rows, dataset.sequences.positions, strict=True):
            row = rows[int(number)]
            dialogue = list(dialogues_of(row))[int(position)]
            made.append((dataset.sample(row, dialogue, np.random.default_rng([seed, int(number)])), row))
        table = measure(model, dataset, made)
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    for line in lines(table):
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
