"""What was uploaded: one private folder, one sub-folder a picture, deleted after a set time and when the server ends.

    ROOT/uploads/ID/NAME     the bytes as they arrived, under a cleaned name
    ROOT/maps/SHA256.png     8-bit copies of score maps, so that they need no memory
    ROOT/batches/NAME/...    batches, where the user named no folder for cases
    ROOT/gradio/             what the page's own upload box writes

A folder that a killed server left behind is removed by the next one. Left out: cases, kept where the user says.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "fakeexplain-app-"


class PrivateFolder:
    """A folder of mode 0700 that lives as long as the server.

    Args:
        parent: where to make it; None for the system's folder of temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        base = Path(tempfile.gettempdir()) if parent is None else parent
        remove_abandoned(base)
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        for name in ("uploads", "maps", "batches", "gradio"):
            (self.path / name).mkdir(mode=0o700)

    def upload_path(self, picture_id: str, name: str) -> Path:
        """Where a picture's bytes lie; makes its folder. `name` is a cleaned one (`security.safe_name`)."""
        folder = self.path / "uploads" / picture_id
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / name

    def map_path(self, sha256: str) -> Path:
        return self.path / "maps" / f"{sha256}.png"

    def forget_upload(self, picture_id: str) -> None:
        shutil.rmtree(self.path / "uploads" / picture_id, ignore_errors=True)

    def forget_map(self, sha256: str) -> None:
        self.map_path(sha256).unlink(missing_ok=True)

    def sweep(self, seconds: float) -> int:
        """Deletes files of the page's upload box older than `seconds`, and batches in which nothing was written for so
        long: one that runs writes after every picture. Returns how many of both."""
        limit, count = time.time() - seconds, 0
        # Read before anything is deleted, which counts as writing in a folder.
        old = [path for path in (self.path / "gradio").rglob("*") if _last_written(path) < limit]
        for path in sorted(old, key=lambda p: -len(p.parts)):
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()  # fails where it is not empty: in use
                else:
                    path.unlink()
                    count += 1
        for batch in (self.path / "batches").iterdir():
            written = [_last_written(path) for path in (batch, *batch.rglob("*"))]
            if max(written) < limit:
                shutil.rmtree(batch, ignore_errors=True)
                count += 1
        return count

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned(base: Path) -> None:
    """Removes private folders of servers of this user that no longer run."""
    for folder in base.glob(f"{_PREFIX}*"):
        match = re.match(rf"{_PREFIX}(\d+)-", folder.name)
        with suppress(OSError):
            owner = folder.lstat().st_uid if hasattr(os, "getuid") else None
            ours = owner is None or owner == os.getuid()
            if match and ours and not folder.is_symlink() and not _runs(int(match.group(1))):
                shutil.rmtree(folder, ignore_errors=True)


def _last_written(path: Path) -> float:
    """Seconds since the epoch; infinity for what has gone meanwhile."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return math.inf


def _runs(process_id: int) -> bool:
    if os.name != "posix":
        return True  # asking is not harmless elsewhere: os.kill would end the process
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
