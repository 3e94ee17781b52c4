"""A linear reader of questions: what each intent's words and patterns weigh, learned from questions with their intents.

Features are the words of a question, their pairs, pieces of 3 to 5 letters (slips and other forms of a word share most
of them) and the sums of the hand-written patterns; multinomial logistic regression weighs them
(`python -m training.intents`). The features are hashed, so that there is no vocabulary to keep (Weinberger et al., ICML
2009). A question that resembles nothing learned has a low probability for every intent and is called unclear.

Left out: the patterns themselves, places, ids (`intents`), and orders to ignore the rules, which patterns alone decide.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np

from fakeexplain.errors import SettingsError

BUCKETS = 1 << 13
FILE = "reader.safetensors"
_HEAVIEST = 8.0  # a pattern's sum above it says no more
_GROUPS = ("words", "pairs", "pieces")


def embedded_folder() -> Path:
    """Where the weights lie."""
    return Path(str(resources.files("fakeexplain").joinpath("weights", "questions")))


def buckets_of(text: str) -> dict[str, np.ndarray]:
    """int64 numbers below `BUCKETS` of the features of a question, each once, by kind of feature.

    >>> {k: len(v) for k, v in buckets_of("Is it real?").items()}
    {'words': 4, 'pairs': 5, 'pieces': 11}
    """
    words = re.findall(r"[a-z0-9]+(?:'[a-z]+)?|\?", text.lower())
    bound = ["^", *words, "$"]
    bounded = [f"<{w}>" for w in words if w != "?"]
    pieces = [w[i : i + n] for w in bounded for n in (3, 4, 5) for i in range(len(w) - n + 1)]
    found: dict[str, Sequence[str]] = {
        "words": words,
        "pairs": [f"{a} {b}" for a, b in pairwise(bound)],
        "pieces": pieces,
    }
    return {
        name: np.unique([zlib.crc32(f"{name}:{t}".encode()) % BUCKETS for t in found[name]]).astype(np.int64)
        for name in _GROUPS
    }


def features(text: str, patterns: Mapping[str, float]) -> np.ndarray:
    """float32 (BUCKETS + number of patterns): each kind of feature has length 1, patterns lie in [0, 1].

    Args:
        text: a question as `intent_speech.normal` leaves it.
        patterns: sum of the patterns of each intent, in a fixed order.
    """
    row = np.zeros(BUCKETS + len(patterns), np.float32)
    for numbers in buckets_of(text).values():
        if len(numbers):
            row[numbers] += 1.0 / np.sqrt(len(numbers))
    row[BUCKETS:] = [min(v, _HEAVIEST) / _HEAVIEST for v in patterns.values()]
    return row


class IntentReader:
    """Probabilities of intents.

    Args:
        names: of the intents that were learned.
        weights: float16 or float32, len(names) x (BUCKETS + number of patterns). bias: len(names).
    """

    def __init__(self, names: Sequence[str], weights: np.ndarray, bias: np.ndarray) -> None:
        self.names, self.weights, self.bias = tuple(names), weights.astype(np.float32), bias.astype(np.float32)

    def probabilities(self, text: str, patterns: Mapping[str, float]) -> dict[str, float]:
        """By intent, summing to 1; arguments as in `features`.

        Raises:
            SettingsError: the reader was learned with other patterns.
        """
        row = features(text, patterns)
        if len(row) != self.weights.shape[1]:
            raise SettingsError(
                f"the reader of questions takes {self.weights.shape[1]} features, there are {len(row)}; "
                "fit it anew: python -m training.intents"
            )
        logits = self.weights @ row + self.bias
        values = np.exp(logits - logits.max())
        return dict(zip(self.names, (values / values.sum()).tolist(), strict=True))


def load_reader(path: Path) -> IntentReader:
    """What `training.intents` wrote.

    Raises:
        SettingsError: no such file, or a broken one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            names = (file.metadata() or {}).get("intents", "").split(",")
            weights, bias = file.get_tensor("weights"), file.get_tensor("bias")
    except (OSError, SafetensorError) as error:
        raise SettingsError(f"{path}: the reader of questions cannot be loaded ({error})") from None
    if weights.shape[0] != len(names) or bias.shape != (len(names),):
        raise SettingsError(f"{path}: weights {weights.shape} and bias {bias.shape} for {len(names)} intents")
    return IntentReader(names, weights, bias)


@cache
def embedded_reader() -> IntentReader:
    """The reader that comes with the library."""
    return load_reader(embedded_folder() / FILE)
