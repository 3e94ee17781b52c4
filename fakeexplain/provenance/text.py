"""Strings out of a file, made safe to show, and how much of a file's metadata is read at all.

Every such string is data: control characters are stripped and the length is capped. Left out on purpose: escaping,
since markup is never interpreted here (whoever renders it has to escape it).
"""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_TEXT = 200  # characters of any one string that is shown
MAX_GENERATOR_TEXT = 256 << 10  # bytes of one text that are searched for a prompt; ComfyUI's graphs take tens of KiB
MAX_BLOCK = 4 << 20  # bytes of an EXIF or XMP block that is read at all


def clean_text(value: Any, limit: int = MAX_TEXT) -> str:
    """Any stored value as one printable line of at most `limit` characters.

    Control, formatting (also bidirectional overrides), surrogate and unassigned characters become spaces; runs of
    spaces become one. Markup is left alone: it is text.
    """
    if isinstance(value, bytes):
        raw = value[: 8 * limit].split(b"\x00", 1)[0]
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:  # older programs; also a character cut in two at the end
            value = raw.decode("latin-1")
    text = str(value)[: 8 * limit]
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
