"""Rows on disk that a stopped measurement goes on from.

Another version or setting gets another file, so that figures are never mixed. Left out: what a row is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def open_rows(out: Path, prefix: str, parts: tuple[object, ...]) -> tuple[Path, list[str]]:
    """The file for rows made with these settings and versions, and the whole lines that an earlier run left there.

    Args:
        parts: everything that can change a row; its `repr` must be the same in every process.
    """
    log = out / f"{prefix}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}.jsonl"
    lines: list[str] = []
    if log.exists():
        lines = [line for line in log.read_text("utf-8").splitlines() if line.endswith("}")]
        log.write_text("".join(line + "\n" for line in lines), encoding="utf-8")  # without a torn last line
    return log, lines
