"""Examines a stored original again and compares every record with the one that was stored.

With the same versions of everything, figures must agree to 1e-6 (other processors round differently), regions exactly.
Where versions differ, figures to 1 %, log10 NFA to 0.5, a region to an IoU of 0.9, and what differs in version is
named. Left out: sentences, which follow from the records and the version, and times.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from fakeexplain.casework.transaction import weights_hashes
from fakeexplain.errors import FakeExplainError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.records import Evidence, Examination, Region, RunLengths

SAME_RELATIVE, OTHER_RELATIVE = 1e-6, 1e-2
OTHER_LOG10_NFA = 0.5
OTHER_IOU = 0.9
_EXACT = ("id", "instrument", "kind", "trace", "quantity", "unit", "reference_text", "strength", "limits", "reason")
_FIGURES = ("value", "reference", "log10_nfa", "log10_tests", "p_value", "details")


@dataclasses.dataclass(frozen=True)
class Recomputation:
    """What came of examining again.

    Attributes:
        differences: one clause each, empty if everything agrees.
        other_versions: "name: THEN, now NOW" for everything whose version differs.
        compared: number of evidence records compared.
    """

    differences: tuple[str, ...]
    other_versions: tuple[str, ...]
    compared: int


def recompute(stored: Examination, data: bytes, weights: Mapping[str, str]) -> Recomputation:
    """Examines the bytes of an original with the settings of a stored examination and compares.

    Args:
        weights: file -> sha256 of the weights that were used then.
    """
    settings = settings_of(stored)
    try:
        examiner = Examiner(settings)
        again = examiner.examine(data, name=stored.source.name)
        again = Examination.model_validate_json(again.to_json())  # tuples become lists, as in what was stored
    except FakeExplainError as error:
        return Recomputation((f"cannot be examined again ({error})",), (), 0)
    then, now = dict(stored.versions), dict(again.versions)
    then |= {f"weights/{n}": h[:12] for n, h in weights.items()}
    now |= {f"weights/{n}": h[:12] for n, h in weights_hashes().items()}
    other = tuple(
        f"{n}: {then.get(n, 'none')}, now {now.get(n, 'none')}"
        for n in sorted(then.keys() | now.keys())
        if then.get(n) != now.get(n)
    )
    differences = compare(stored, again, exact=not other)
    return Recomputation(tuple(differences), other, len(again.evidence))


def settings_of(stored: Examination) -> Settings:
    """The settings that an examination records; fields that it does not record keep their defaults."""
    known = {f.name for f in dataclasses.fields(Settings)}
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in stored.settings.items() if k in known
    }
    return Settings(**values)


def compare(stored: Examination, again: Examination, *, exact: bool) -> list[str]:
    """Every difference between two examinations of the same bytes, as clauses.

    Args:
        exact: True where the versions are the same, see above for what is tolerated.
    """
    found = []
    if (stored.verdict.label, stored.verdict.deciding_ids) != (again.verdict.label, again.verdict.deciding_ids):
        found.append(f"the verdict was {stored.verdict.label}, is now {again.verdict.label}")
    elif not _close(stored.verdict.probability, again.verdict.probability, exact):
        found.append(f"the probability was {stored.verdict.probability:.6g}, is now {again.verdict.probability:.6g}")
    if not _same_mask(stored.mask, again.mask, exact):
        found.append("the mask of the verdict is another")
    by_id = {e.id: e for e in again.evidence}
    for item in stored.evidence:
        other = by_id.pop(item.id, None)
        if other is None:
            found.append(f"{item.id} ({item.instrument}) was not found again")
        else:
            found += [
                f"{item.id} ({item.instrument}): {clause}" for clause in _evidence_differences(item, other, exact)
            ]
    return found + [f"{e.id} ({e.instrument}) was not there before" for e in by_id.values()]


def _evidence_differences(then: Evidence, now: Evidence, exact: bool) -> list[str]:
    found = []
    for name in _EXACT if exact else _EXACT[:4]:
        if getattr(then, name) != getattr(now, name):
            found.append(f"{name} was {getattr(then, name)!r}, is now {getattr(now, name)!r}")
    for name in _FIGURES:
        a, b = getattr(then, name), getattr(now, name)
        slack = OTHER_LOG10_NFA if name.startswith("log10") and not exact else 0.0
        if not _close(a, b, exact, slack):
            found.append(f"{name} was {a!r}, is now {b!r}" if name != "details" else "further figures differ")
    for name in ("region", "partner"):
        if not _same_region(getattr(then, name), getattr(now, name), exact):
            found.append(f"{name} is another")
    return found


def _close(a: Any, b: Any, exact: bool, slack: float = 0.0) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[k], b[k], exact) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_close(x, y, exact) for x, y in zip(a, b, strict=True))
    numbers = [v for v in (a, b) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == 2:
        relative = SAME_RELATIVE if exact else OTHER_RELATIVE
        return math.isclose(a, b, rel_tol=relative, abs_tol=max(slack, 1e-9)) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def _same_region(a: Region | None, b: Region | None, exact: bool) -> bool:
    if a is None or b is None:
        return a is b
    return _same_mask(a.mask, b.mask, exact)


def _same_mask(a: RunLengths, b: RunLengths, exact: bool) -> bool:
    if a == b or exact:
        return a == b
    if (a.height, a.width) != (b.height, b.width):
        return False
    first, second = decode_mask(a), decode_mask(b)
    union = int((first | second).sum())
    return union == 0 or int((first & second).sum()) / union >= OTHER_IOU
