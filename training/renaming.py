"""Other ids, figures and places in a dialogue, in lines and answers alike, so that they can only be copied.

Examinations repeat themselves: most quiet ones put the probability at the same figure, and the first region drawn is
nearly always R3. A small model learns such habits instead of looking, and is then wrong where a picture differs. All
dialogues of a picture are renamed alike, so that they still share a prompt (`shared_prompts`). Figures are moved by one
increasing function: what was higher stays higher.

Deliberately left out: boxes in pixels, grids, what the file says of itself. Pictures and maps would no longer fit, so
this is for the language model alone.
"""

from __future__ import annotations

import re

import numpy as np

from data_tools.instructions.dialogues import CELLS

_MOST = 60  # ids of a kind
_PLACES = tuple(CELLS)
_RATES = ("1 of 100", "2 of 100", "3 of 100", "5 of 100", "10 of 100")
_WHAT = re.compile(
    r"(?P<id>(?<![A-Za-z])[ER]\d+\b)|(?P<percent>\b\d+(?:\.\d+)?(?= %))"
    r"|(?P<rate>\b\d+ of 100\b)|(?P<decimal>\b0\.\d+\b)"
    r"|(?P<place>\b(?:upper|middle|lower) (?:left|centre|right)\b|\bcentre\b)"
)


class Renaming:
    """One way of renaming, drawn once for a picture.

    Args:
        rng: draws ids, places, the rate and the bend of the figures.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        numbers = {kind: np.sort(rng.permutation(99)[:_MOST] + 1) for kind in "ER"}
        self._ids = {f"{k}{i}": f"{k}{n}" for k, drawn in numbers.items() for i, n in enumerate(drawn, start=1)}
        self._places = dict(zip(_PLACES, (_PLACES[i] for i in rng.permutation(len(_PLACES))), strict=True))
        self._rate = _RATES[int(rng.integers(len(_RATES)))]
        self._bend = float(np.exp(rng.uniform(-1.2, 1.2)))

    def text(self, text: str) -> str:
        """The text with everything renamed."""
        return _WHAT.sub(self._renamed, text)

    def _renamed(self, found: re.Match[str]) -> str:
        said = found.group(0)
        if found.lastgroup == "id":
            return self._ids.get(said, said)
        if found.lastgroup == "place":
            return self._places[said]
        if found.lastgroup == "rate":
            return self._rate
        whole = 100.0 if found.lastgroup == "percent" else 1.0
        digits = len(said.partition(".")[2])
        return f"{whole * (float(said) / whole) ** self._bend:.{digits}f}" if float(said) <= whole else said
