"""The false alarms that were counted, for `fakeexplain instruments`; written by `benchmarks/record_figures.py`."""

from __future__ import annotations

import json
from importlib import resources

from fakeexplain.evaluation.metrics import clopper_pearson


def measured_false_alarms() -> dict[str, str]:
    """Instrument name -> "2 of 320 photographs at NFA < 0.01 (0.1 to 2.2 %), ..."; empty if never counted."""
    file = resources.files("fakeexplain").joinpath("evaluation", "measured.json")
    if not file.is_file():
        return {}
    out = {}
    for name, counted in json.loads(file.read_text("utf-8"))["instruments"].items():
        examined = counted["photographs"] - counted["abstained"]
        low, high = clopper_pearson(counted["alarms"], counted["photographs"])
        out[name] = (
            f"{counted['alarms']} of {counted['photographs']} photographs at NFA < {counted['alpha']:g} "
            f"({100 * low:.1f} to {100 * high:.1f} %); it could examine {examined} of them"
        )
    return out
