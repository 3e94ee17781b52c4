"""Files that survive a crash: written once, fsynced, renamed into place; read without following links; one lock.

POSIX only (Linux, macOS): the promises rest on rename, fsync of folders and `flock`. Left out: what the files mean, and
defence against somebody who changes the case folder *while* a command runs; what was changed between two commands is
found by `verify`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fakeexplain.casework.errors import CaseError, CaseLockedError
from fakeexplain.errors import OutputError, SourceError
from fakeexplain.imaging.source import printable

READ_ONLY = 0o444
_CHUNK = 1 << 20
_POLL_SECONDS = 0.02


def shown(path: str | os.PathLike[str]) -> str:
    """A path for a message: without control characters."""
    return printable(str(path))


def sync(descriptor: int) -> None:
    """Down to the medium; macOS needs F_FULLFSYNC for that."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with suppress(OSError):  # not every file system knows it
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_new(path: Path, data: bytes, mode: int = READ_ONLY) -> None:
    """A new file with its content on the medium; the folder is not synced yet. Raises OSError, also if it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        write_all(descriptor, data)
        os.fchmod(descriptor, mode)
        sync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: str | os.PathLike[str], *, follow: bool = False) -> int:
    """A read-only descriptor of a regular file. Raises OSError; a link, a pipe or a device is one, too."""
    # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is not a regular file")
    return descriptor


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file that is no link. Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def hash_regular(path: str | os.PathLike[str], *, follow: bool = False) -> tuple[str, int]:
    """(sha256, size in bytes). Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(open_regular(path, follow=follow), "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def copy_exactly(source: str | os.PathLike[str], target: Path) -> tuple[str, int]:
    """Copies a file that is only ever opened for reading into a new read-only one; (sha256, size).

    The hash is taken of what is read, then of the copy as stored, then of the source again: all three must agree.

    Raises:
        SourceError: the source cannot be read, or changed while it was copied.
        OutputError: the copy cannot be written, or does not come back as it was written.
    """
    label = shown(source)
    try:
        reading = open_regular(source, follow=True)
    except OSError as error:
        raise SourceError(f"{label}: cannot be read ({error.strerror or error}); wanted a file") from None
    digest, size = hashlib.sha256(), 0
    with os.fdopen(reading, "rb") as file:
        try:
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise cannot_write(target, error) from None
        try:
            while True:
                try:
                    chunk = file.read(_CHUNK)
                except OSError as error:
                    raise SourceError(f"{label}: cannot be read to its end ({error.strerror or error})") from None
                if not chunk:
                    break
                digest.update(chunk)
                size += len(chunk)
                write_all(writing, chunk)
            os.fchmod(writing, READ_ONLY)
            sync(writing)
        except OSError as error:
            raise cannot_write(target, error) from None
        finally:
            os.close(writing)
    wanted = digest.hexdigest()
    try:
        stored = hash_regular(target)
    except OSError as error:
        raise cannot_write(target, error) from None
    if stored != (wanted, size):
        raise OutputError(
            f"{shown(target)}: does not read back as it was written; check the disk, nothing was recorded"
        )
    try:
        after = hash_regular(source, follow=True)
    except OSError as error:
        raise SourceError(f"{label}: cannot be read again ({error.strerror or error}); nothing was recorded") from None
    if after != (wanted, size):
        raise SourceError(f"{label}: changed while it was copied; nothing was recorded, add it again later")
    return wanted, size


def cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{shown(path)}: cannot be written ({error.strerror or error}); nothing was recorded, "
        "make room or check the permissions and try again"
    )


def require_folder(path: Path) -> None:
    """Raises CaseError unless `path` is a folder and not a link to one."""
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaseError(f"{shown(path)}: {reason}; wanted a case folder, see `fakeexplain case new`") from None
    if stat.S_ISLNK(mode):
        raise CaseError(f"{shown(path)}: is a symbolic link, wanted the case folder itself; give its real path")
    if not stat.S_ISDIR(mode):
        raise CaseError(f"{shown(path)}: is not a folder, wanted a case folder")


def write_folder(folder: Path, files: Mapping[str, bytes | Path]) -> None:
    """A new folder with these files (relative name -> bytes, or a file to copy), there whole or not at all.

    Raises:
        OutputError: it exists with something in it, or cannot be written.
    """
    scratch: Path | None = None
    try:
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{shown(folder)}: exists already, wanted a new or an empty folder; choose another name")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.", dir=folder.parent))
        for name, content in files.items():
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                write_new(target, content, 0o644)
            else:
                copy_exactly(content, target)
        for place, _, _ in os.walk(scratch, topdown=False):
            os.chmod(place, 0o755)
            sync_folder(Path(place))
        os.replace(scratch, folder)
        scratch = None
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(path: Path, timeout: float) -> Generator[None, None, None]:
    """Holds an exclusive lock on the file `path`, which stays empty.

    The lock belongs to the open file, not to its existence: the system releases it when its process ends, however it
    ends, so there is no stale lock to break and no way to break one wrongly.

    Raises:
        CaseLockedError: somebody else held it for `timeout` seconds.
        OSError: the lock file cannot be opened, e.g. on a read-only medium.
    """
    deadline = time.monotonic() + timeout
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been removed and made anew between opening and locking: then it is another lock.
            if os.path.lexists(path) and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                break
        except BlockingIOError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise CaseLockedError(
                f"{shown(path.parent)}: another process has been working on this case for {timeout:g} s; "
                "wait for it, or raise --lock-timeout"
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
