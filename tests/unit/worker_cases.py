"""Functions that a guarded worker runs as `prepare`. It imports this module by name, so nothing heavy is imported here.

Each returns at once in the calling process, which passes the reason of a failure.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import time
from pathlib import Path


def dies(source, failure=""):
    if not failure:
        ctypes.string_at(0)  # a real segmentation fault
    vars(source)["_note"] = failure


def hangs(source, failure=""):
    if not failure:
        time.sleep(60)
    vars(source)["_note"] = failure


def swells(source, failure=""):
    if not failure:
        vars(source)["_kept"] = bytearray(1 << 30)
    vars(source)["_note"] = failure


def prints(source, failure=""):
    os.write(1, b"\x1b[31mstdout")
    os.write(2, b"\x1b[31mstderr")


def notes_process(source, failure=""):
    vars(source)["_note"] = (os.getpid(), tempfile.gettempdir())


def dies_once(source, failure="", flag=""):
    if not failure and Path(flag).exists():
        Path(flag).unlink()
        os._exit(3)
    vars(source)["_note"] = failure or "done"
