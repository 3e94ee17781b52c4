"""Files that are written whole or not at all. Left out: folders (`batch`, `casework.storage`)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes or replaces a file in one step; text in UTF-8. Nothing stays behind of one that could not be written.

    Raises:
        OSError: the file cannot be written; the one before is as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
