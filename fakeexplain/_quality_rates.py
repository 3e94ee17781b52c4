"""False alarms and detection that were counted per quality band and trace; written by `fakeexplain bench-gate`.

Left out: the counting itself (`evaluation.gate_tables`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from fakeexplain.records import Scalar

FILE = "quality_rates.json"
LEAST = 50  # pictures, below which a rate is not told in words


@lru_cache(maxsize=1)
def load_rates() -> dict[str, Any]:
    """The counts: {"data": words, "false_alarms": promised rate, "bands": {band: {trace or "any": counts}}}; {} if
    never counted. Counts: authentic, alarms, alarms_without (the gate), forged, detected, detected_without.
    """
    file = resources.files("fakeexplain").joinpath(FILE)
    return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def counts_for(band: str, traces: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
    """(trace or "any", counts) that speak of such a picture: its band as a whole, then each of its traces there."""
    found = load_rates().get("bands", {}).get(band, {})
    return [(name, found[name]) for name in ("any", *traces) if name in found]


def rate_figures(band: str, traces: Sequence[str]) -> dict[str, Scalar]:
    """What a quality report keeps of the band: counts of authentic and forged pictures, alarms and detections."""
    for name, counts in counts_for(band, traces):
        if name == "any":
            return {
                "band_authentic": counts["authentic"],
                "band_false_alarms": counts["alarms"],
                "band_forged": counts["forged"],
                "band_detected": counts["detected"],
            }
    return {}


def rate_sentences(band: str, traces: Sequence[str]) -> tuple[str, ...]:
    """What was counted on pictures of this band, and on those of them with the same traces."""
    sentences = []
    for name, counts in counts_for(band, traces):
        among = "of this quality band" if name == "any" else f"of this band with the same trace ({name})"
        if counts["authentic"] >= LEAST:
            said = f"Of {counts['authentic']} unaltered pictures {among}, {_counted(counts['alarms'])}"
            sentences.append(f"{said} called manipulated")
        if counts["forged"] >= LEAST:
            sentences.append(f"Of {counts['forged']} altered pictures {among}, {_counted(counts['detected'])} found")
    return tuple(s + "." for s in sentences)


def _counted(number: int) -> str:
    return f"{number} {'was' if number == 1 else 'were'}"
