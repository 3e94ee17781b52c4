"""How templated a set of answers is, and how near to reference texts: plain counting of words, no model.

Distinct-n (Li et al., NAACL 2016) and self-BLEU (Zhu et al., SIGIR 2018) describe variety; ROUGE-L (Lin 2004) and the
cosine of word counts compare with references. The latter two say nothing about truth and are extras. The cosine stands
where papers of this field put a cosine of sentence embeddings (CSS): no embedding model is shipped.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"[a-z0-9]+(?:[.'-][a-z0-9]+)*|%")
_FIGURES = re.compile(r"\[E\d+\]|\b[ER]\d+\b|\d[\d.,]*")
SAMPLE = 200  # texts of a self-BLEU


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def template_of(text: str) -> str:
    """A sentence with its ids and figures taken out: two that differ only there are one template."""
    return " ".join(words_of(_FIGURES.sub("0", text)))


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams, in [0, 1]; nan where there are none."""
    grams = [g for t in texts for g in _grams(words_of(t), n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def self_bleu(texts: Sequence[str], *, seed: int = 0, sample: int = SAMPLE) -> float:
    """Mean BLEU-4 of each text against all others, add-one smoothed above one word, in [0, 1]; nan for under two texts.

    1 means that every text is made of pieces of the others. Of more than `sample` texts, that many are drawn.
    """
    if len(texts) < 2:
        return float("nan")
    chosen = list(texts)
    if len(chosen) > sample:
        order = np.random.default_rng(seed).permutation(len(chosen))[:sample]
        chosen = [chosen[i] for i in order]
    tokens = [words_of(t) for t in chosen]
    counts = [[Counter(_grams(t, n)) for t in tokens] for n in range(1, 5)]
    scores = []
    for i, words in enumerate(tokens):
        if not words:
            continue
        logs = []
        for n in range(1, 5):
            own = counts[n - 1][i]
            best: Counter[tuple[str, ...]] = Counter()
            for j, other in enumerate(counts[n - 1]):
                if j != i:
                    for gram in own.keys() & other.keys():
                        best[gram] = max(best[gram], other[gram])
            hits, total = sum(min(c, best[g]) for g, c in own.items()), sum(own.values())
            smooth = n > 1
            logs.append(math.log(max((hits + smooth) / max(total + smooth, 1), 1e-9)))
        nearest = min((len(t) for j, t in enumerate(tokens) if j != i), key=lambda length: abs(length - len(words)))
        scores.append(math.exp(min(0.0, 1 - nearest / len(words)) + sum(logs) / 4))
    return float(np.mean(scores)) if scores else float("nan")


def rouge_l(text: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, in [0, 1]."""
    a, b = words_of(text), words_of(reference)
    if not a or not b:
        return float(a == b)
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for j, other in enumerate(b, start=1):
            before, row[j] = row[j], before + 1 if word == other else max(row[j], row[j - 1])
    common = row[-1]
    return 2 * common / (len(a) + len(b))


def word_cosine(text: str, reference: str) -> float:
    """Cosine of the two word counts, in [0, 1]."""
    a, b = Counter(words_of(text)), Counter(words_of(reference))
    norm = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return sum(v * b[w] for w, v in a.items()) / norm if norm else 0.0
