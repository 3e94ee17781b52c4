"""Figures of a set of instruction data: how varied its wording is, what its pictures are, whether its answers hold.

    python -m data_tools.instructions write --photos DIR --out SET --pictures 100
    python benchmarks/instruction_figures.py SET

Distinct-n (Li et al., NAACL 2016): different n-grams over all n-grams, over the whole set, so it falls with its size.
Self-BLEU (Zhu et al., SIGIR 2018): mean BLEU-4 of a text against the others, on a random sample of 200 texts; high is
monotonous. Figures, ids, boxes and places are replaced by one sign before, so that they do not pass for variety.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from data_tools.instructions.questions import question_forms
from data_tools.instructions.verify import check_files
from data_tools.instructions.write import FILES
from data_tools.schema import Record, read_jsonl

SAMPLE = 200
_DATA = re.compile(
    r"\(\d[\d, ]*\)|\[E\d+\]|\b[ER]\d+\b|-?\d[\d,.]*|\b(?:upper|middle|lower) (?:left|centre|right)\b|<image>\n?"
)


def words_of(text: str) -> list[str]:
    """Lower-case words and signs of a text, its data as "#"."""
    return re.findall(r"[a-z'-]+|#|[^\sa-z]", _DATA.sub("#", text).lower())


def n_grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def distinct(texts: list[list[str]], n: int) -> float:
    grams = [g for words in texts for g in n_grams(words, n)]
    return len(set(grams)) / max(len(grams), 1)


def self_bleu(texts: list[list[str]], rng: np.random.Generator) -> float:
    """Mean BLEU-4 (smoothed by adding one) of each of at most SAMPLE texts against the others."""
    chosen = [texts[i] for i in rng.permutation(len(texts))[:SAMPLE] if len(texts[i]) >= 4]
    counts = [[Counter(n_grams(words, n)) for n in range(1, 5)] for words in chosen]
    best: list[dict[tuple[str, ...], list[tuple[int, int]]]] = [{} for _ in range(4)]
    for number, per_text in enumerate(counts):
        for n in range(4):
            for gram, count in per_text[n].items():
                best[n].setdefault(gram, []).append((count, number))
    scores = []
    for number, words in enumerate(chosen):
        logs = 0.0
        for n in range(4):
            total = sum(counts[number][n].values())
            hits = 0
            for gram, count in counts[number][n].items():
                others = [c for c, i in best[n][gram] if i != number]
                hits += min(count, max(others, default=0))
            logs += math.log((hits + 1) / (total + 1)) / 4
        lengths = [len(other) for i, other in enumerate(chosen) if i != number]
        nearest = min(lengths, key=lambda length: abs(length - len(words)))
        scores.append(min(1.0, math.exp(1 - nearest / len(words))) * math.exp(logs))
    return float(np.mean(scores))


def main(folder: Path) -> None:
    forms = question_forms()
    print(f"question forms by hand-written templates: {sum(forms.values())} ({len(forms)} kinds)")
    for name in FILES:
        records: list[Record] = list(read_jsonl(folder / name))
        asked = [words_of(m.content) for r in records for m in r.dialogue if m.role == "user"]
        answers = [
            words_of(m.content)
            for r in records
            for m in r.dialogue
            if m.role == "assistant" and not m.content.startswith("measure ")
        ]
        print(f"{name}: {len(records)} records, {len(answers)} answers")
        for title, texts in (("questions", asked), ("answers", answers)):
            figures = ", ".join(f"distinct-{n} {distinct(texts, n):.4f}" for n in (1, 2, 3))
            different = len({" ".join(t) for t in texts})
            bleu = self_bleu(texts, np.random.default_rng(0))
            print(f"  {title}: {different} different of {len(texts)}, {figures}, self-BLEU {bleu:.3f}")
    rows = json.loads((folder / "progress.json").read_text(encoding="utf-8"))["pictures"]
    outcome = Counter((row["label"], row["verdict"]) for row in rows)
    neutral = sum(n for (label, verdict), n in outcome.items() if label == "authentic" or verdict == "inconclusive")
    print(f"pictures: {dict(outcome)}; authentic or inconclusive {100 * neutral / len(rows):.1f} %")
    print(f"processor time: {np.mean([row['seconds'] for row in rows]):.2f} s per picture")
    checked = [not problems for _, _, problems in check_files([folder / name for name in FILES])]
    print(f"checked by program: {sum(checked)} of {len(checked)} records agree ({100 * np.mean(checked):.2f} %)")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
