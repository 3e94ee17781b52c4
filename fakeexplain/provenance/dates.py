"""Dates that a file carries in several places, and which of them contradict each other or the place on the map.

GPS time is UTC. Where the file stores a time zone, the two must agree to within an hour (a receiver may repeat an old
fix); where it stores none, the zone that follows from them must exist, and must suit the longitude. Left out on
purpose: file-system dates (they tell about copying), borders of time zones, and any judgement: a contradiction is only
stated.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from fakeexplain.provenance.blocks import MetadataBlocks
from fakeexplain.provenance.exif import degrees_of
from fakeexplain.provenance.text import clean_text

_HOUR = 3600.0
# Civil time strays from the sun's by up to 3.5 hours (western China) and one more in summer.
_MAX_FROM_SUN = 4.75
_EARLIEST, _LATEST = -12.25, 14.25  # hours; the zones that exist, with a quarter for the clock


def _date(text: Any) -> datetime | None:
    match = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?", str(text))
    try:
        return datetime(*(int(g or 0) for g in match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _zone(text: Any) -> float | None:
    """Hours of "+02:00" and the like; None for anything else."""
    match = re.match(r"([+-])(\d\d):(\d\d)$", str(text).strip())
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        return None
    return (int(match[2]) + int(match[3]) / 60) * (-1 if match[1] == "-" else 1)


def _gps_date(gps: dict[int, Any]) -> str:
    """Date and time (UTC) of the GPS entries as text, "" without a date; midnight when the time is unusable."""
    if 29 not in gps:
        return ""
    try:
        clock = ":".join(f"{int(v):02d}" for v in gps.get(7, (0, 0, 0)))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        clock = "00:00:00"
    return clean_text(f"{gps[29]} {clock}")


def _gap(seconds: float) -> str:
    return f"{abs(seconds) / 86400:.1f} days" if abs(seconds) > 86400 else f"{abs(seconds) / _HOUR:.2f} hours"


def date_conflicts(blocks: MetadataBlocks) -> tuple[list[str], dict[str, str]]:
    """(sentences, all dates and zones found). Where two clocks may stand in different zones, a day is tolerated."""
    dates: dict[str, str] = {
        n: blocks.exif[n]
        for n in ("DateTimeOriginal", "DateTimeDigitized", "DateTime", "OffsetTimeOriginal", "OffsetTime")
        if isinstance(blocks.exif.get(n), str)
    }
    gps = _gps_date(blocks.gps)
    if gps:
        dates["GPS"] = gps
    for name in ("CreateDate", "DateCreated", "ModifyDate"):
        if blocks.xmp.get(name):
            dates[f"XMP {name}"] = blocks.xmp[name][0]
    parsed = {name: _date(text) for name, text in dates.items()}
    rules = (
        ("DateTime", "DateTimeOriginal", 60),
        ("DateTimeDigitized", "DateTimeOriginal", 60),
        ("XMP CreateDate", "DateTimeOriginal", 26 * _HOUR),
        ("XMP DateCreated", "DateTimeOriginal", 26 * _HOUR),
        ("XMP ModifyDate", "DateTime", 26 * _HOUR),
    )
    conflicts = []
    for later, earlier, tolerance in rules:
        a, b = parsed.get(later), parsed.get(earlier)
        if a is None or b is None:
            continue
        seconds = (a - b).total_seconds()
        if abs(seconds) > tolerance:
            conflicts.append(
                f"{later} ({dates[later]}) is {_gap(seconds)} {'after' if seconds > 0 else 'before'} "
                f"{earlier} ({dates[earlier]})"
            )
    return conflicts + _gps_conflicts(blocks, dates, parsed), dates


def _gps_conflicts(blocks: MetadataBlocks, dates: dict[str, str], parsed: dict[str, datetime | None]) -> list[str]:
    """Contradictions of GPS time, local time, time zone and longitude."""
    utc, local = parsed.get("GPS"), parsed.get("DateTimeOriginal")
    zone = _zone(dates.get("OffsetTimeOriginal", ""))
    longitude = degrees_of(blocks.gps.get(4), blocks.gps.get(3))
    conflicts = []
    if utc is not None and local is not None:
        # A date without a usable time still bounds the day.
        timed = 7 in blocks.gps and not dates["GPS"].endswith("00:00:00")
        apart = (local - utc).total_seconds() / _HOUR
        if zone is not None and timed:
            off = (local - timedelta(hours=zone) - utc).total_seconds()
            if abs(off) > _HOUR:
                conflicts.append(
                    f"GPS ({dates['GPS']} UTC) is {_gap(off)} {'before' if off > 0 else 'after'} DateTimeOriginal "
                    f"({dates['DateTimeOriginal']}, zone {dates['OffsetTimeOriginal']})"
                )
        elif not (_EARLIEST if timed else -36) <= apart <= (_LATEST if timed else 38):
            conflicts.append(
                f"GPS ({dates['GPS']} UTC) is {_gap(apart * _HOUR)} {'before' if apart > 0 else 'after'} "
                f"DateTimeOriginal ({dates['DateTimeOriginal']}), more than any time zone explains"
            )
        elif timed and zone is None and longitude is not None and abs(apart - longitude / 15) > _MAX_FROM_SUN:
            conflicts.append(
                f"DateTimeOriginal ({dates['DateTimeOriginal']}) is UTC{apart:+.1f} h by GPS time, but the position at "
                f"{longitude:.1f} degrees east lies about UTC{longitude / 15:+.1f} h"
            )
    if zone is not None and longitude is not None and abs(zone - longitude / 15) > _MAX_FROM_SUN:
        conflicts.append(
            f"the time zone {dates['OffsetTimeOriginal']} does not suit the GPS position at {longitude:.1f} degrees "
            f"east, which lies about UTC{longitude / 15:+.1f} h"
        )
    return conflicts
