"""Dates that a file carries in several places, and which of them contradict each other.

Left out on purpose: file-system dates (they tell about copying), time zones (most cameras store none), and any
judgement: a contradiction is only stated.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from fakeexplain.provenance.blocks import MetadataBlocks
from fakeexplain.provenance.text import clean_text


def _date(text: Any) -> datetime | None:
    match = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?", str(text))
    try:
        return datetime(*(int(g or 0) for g in match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:
        return None


def date_conflicts(blocks: MetadataBlocks) -> tuple[list[str], dict[str, str]]:
    """(sentences, all dates found). Time zones are not stored by most cameras, so a day's difference is tolerated
    wherever two clocks may stand in different zones."""
    dates: dict[str, str] = {
        n: blocks.exif[n]
        for n in ("DateTimeOriginal", "DateTimeDigitized", "DateTime")
        if isinstance(blocks.exif.get(n), str)
    }
    if 29 in blocks.gps:
        clock = blocks.gps.get(7, (0, 0, 0))
        try:
            hours = ":".join(f"{int(v):02d}" for v in clock)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            hours = "00:00:00"
        dates["GPS"] = clean_text(f"{blocks.gps[29]} {hours}")
    for name in ("CreateDate", "DateCreated", "ModifyDate"):
        if blocks.xmp.get(name):
            dates[f"XMP {name}"] = blocks.xmp[name][0]
    parsed = {name: _date(text) for name, text in dates.items()}
    rules = (
        ("DateTime", "DateTimeOriginal", 60),
        ("DateTimeDigitized", "DateTimeOriginal", 60),
        ("GPS", "DateTimeOriginal", 26 * 3600),
        ("XMP CreateDate", "DateTimeOriginal", 26 * 3600),
        ("XMP DateCreated", "DateTimeOriginal", 26 * 3600),
        ("XMP ModifyDate", "DateTime", 26 * 3600),
    )
    conflicts = []
    for later, earlier, tolerance in rules:
        a, b = parsed.get(later), parsed.get(earlier)
        if a is None or b is None:
            continue
        seconds = (a - b).total_seconds()
        if abs(seconds) > tolerance:
            gap = f"{abs(seconds) / 86400:.1f} days" if abs(seconds) > 86400 else f"{abs(seconds) / 3600:.2f} hours"
            conflicts.append(
                f"{later} ({dates[later]}) is {gap} {'after' if seconds > 0 else 'before'} {earlier} ({dates[earlier]})"
            )
    return conflicts, dates
