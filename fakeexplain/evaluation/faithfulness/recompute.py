"""Every cited record measured again from the same bytes by an Examiner that has seen nothing yet.

With the same versions on the same machine, figures must agree to 1e-6 and regions exactly. Left out: other machines and
other versions (`casework.recompute` says what is tolerated there).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fakeexplain.errors import FakeExplainError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.records import Evidence, Examination

_RELATIVE = 1e-6


def recompute(
    source: SourceImage, settings: Settings, examination: Examination, cited: Iterable[Evidence]
) -> dict[str, str]:
    """What came of measuring again: evidence id -> "" if it came out the same, else what differs.

    Args:
        source: the picture; only its bytes are used.
        examination: what answers cited from. cited: records of it, or measured in a dialogue about it.
    """
    examiner = Examiner(settings, threads=1, keep=1)
    try:
        again = examiner.load(source.data, name=source.name)
        found = {e.id: e for e in examiner.examine(again).evidence}
    except FakeExplainError as error:
        return {e.id: f"cannot be examined again ({error})" for e in cited}
    first = {e.id for e in examination.evidence}
    results = {}
    for item in cited:
        other: Evidence | None
        if item.id in first:
            other = found.get(item.id)
        else:
            assert item.region is not None
            try:
                other = examiner.measure(again, item.instrument, region_mask=decode_mask(item.region.mask))
            except FakeExplainError as error:
                results[item.id] = f"cannot be measured again ({error})"
                continue
        results[item.id] = "was not found again" if other is None else difference(item, other)
    return results


def difference(a: Evidence, b: Evidence) -> str:
    """The first field in which two records of one measurement differ, "" for none; ids do not count."""
    first, second = (_plain(e) for e in (a, b))
    for name, value in first.items():
        if not _same(value, second[name]):
            return f"{a.instrument}: {name} was {_short(value)}, is now {_short(second[name])}"
    return ""


def _plain(item: Evidence) -> dict[str, Any]:
    value = item.model_dump(mode="json", exclude={"id"})
    for name in ("region", "partner"):
        if value[name] is not None:
            value[name] = value[name]["mask"]
    return value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)
