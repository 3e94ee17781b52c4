"""A small grammar for varied wording: `{a|b|}` chooses, `{name}` is filled in; choices may nest.

Deliberately left out: anything that knows what the words mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

_SLOT = re.compile(r"\{([a-z_]+)\}")
_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_PLACEHOLDER = re.compile(r"\x00([a-z_]+)\x01")


def _protect(template: str) -> str:
    return _SLOT.sub("\x00\\1\x01", template)


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, a capital at the start of each sentence."""
    text = re.sub(r"\s+([,.;?!])", r"\1", " ".join(text.split()))
    text = re.sub(r"(?<=[.!?] )[a-z]", lambda m: m.group(0).upper(), text)
    return text[:1].upper() + text[1:]


def fill(template: str, values: Mapping[str, str], rng: np.random.Generator) -> str:
    """One wording of a template. What is filled in is not expanded again.

    Raises:
        KeyError: a slot without a value.
    """
    text = _protect(template)
    while (match := _CHOICE.search(text)) is not None:
        options = match.group(1).split("|")
        text = text[: match.start()] + options[int(rng.integers(len(options)))] + text[match.end() :]
    return tidy(_PLACEHOLDER.sub(lambda m: values[m.group(1)], text))


def choose(templates: Sequence[str], values: Mapping[str, str], rng: np.random.Generator) -> str:
    """One wording of one of the templates."""
    return fill(templates[int(rng.integers(len(templates)))], values, rng)


def forms(template: str) -> set[str]:
    """All wordings of a template; slots stay as "<name>"."""
    found: set[str] = set()
    waiting = [_protect(template)]
    while waiting:
        text = waiting.pop()
        match = _CHOICE.search(text)
        if match is None:
            found.add(tidy(_PLACEHOLDER.sub(r"<\1>", text)))
            continue
        waiting += [text[: match.start()] + option + text[match.end() :] for option in match.group(1).split("|")]
    return found
