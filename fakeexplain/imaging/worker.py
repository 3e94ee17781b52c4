"""Decoding and parsing in a process of their own, so that a codec that crashes, hangs or swells costs one file.

One worker process serves all files of a calling process, one after another; after a crash or a kill the next file
gets a fresh one. It is a plain `python -c` process that talks over its own pipes: nothing is forked after threads were
started, and no `__main__` of the caller is imported. What libraries print goes nowhere, so that a file cannot write on
the terminal; their temporary files die with the worker.

Limits hold inside the worker: wall-clock time everywhere; address space, on top of what the libraries take themselves,
on Linux only (other systems do not enforce RLIMIT_AS). Left out on purpose: confinement. A worker runs with the rights
of the user, so this contains accidents of codecs, not an attacker who takes one over; run untrusted files as a user who
may do nothing else, or in a container.

This module imports nothing heavy, so that `start_worker` can be called first and the start-up runs beside the caller's.
"""

from __future__ import annotations

import atexit
import copy
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakeexplain.errors import SettingsError, SourceError
from fakeexplain.imaging._worker_messages import STAGES, receive, send

if TYPE_CHECKING:
    from fakeexplain.imaging.source import SourceImage

    Prepare = Callable[..., None]

_START_SECONDS = 120.0
_PIPE_BYTES = 1 << 20
_BROKEN_PIPE = (EOFError, BrokenPipeError, ConnectionResetError)


class DecoderCrashError(SourceError):
    """Decoding the file ended the worker process."""


class DecoderTimeoutError(SourceError):
    """Decoding the file took longer than the limit."""


class DecoderMemoryError(SourceError):
    """Decoding the file needed more memory than the limit."""


class WorkerStartError(SourceError):
    """The worker process cannot be started here; no fault of the file."""


@dataclass(frozen=True)
class Limits:
    """What one file may cost.

    Attributes:
        seconds: wall-clock time from handing over the bytes to having the picture and its metadata.
        memory_bytes: address space of the worker on top of its libraries, the file's bytes included. The most that an
            honest file of 150 megapixels takes is measured in docs/hostile_files.md.
        max_megapixels: as for `SourceImage.from_bytes`.
    """

    seconds: float = 60.0
    memory_bytes: int = 4 << 30
    max_megapixels: float = 150.0  # source.DEFAULT_MAX_MEGAPIXELS, which would import the decoders

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.memory_bytes >= 64 << 20 and self.max_megapixels > 0):
            raise SettingsError(
                f"limits of {self.seconds:g} s, {self.memory_bytes} bytes, {self.max_megapixels:g} megapixels: wanted "
                "positive numbers and at least 64 MiB"
            )


def load_guarded(
    picture: str | os.PathLike[str] | bytes,
    limits: Limits | None = None,
    *,
    name: str | None = None,
    prepare: Prepare | None = None,
) -> SourceImage:
    """A SourceImage whose decoding and parsing happened in the worker; equal to that of `from_path` or `from_bytes`.

    `luma_coefficients` and, where a profile is embedded, `display_rgb` are computed in the worker too and handed over.
    When one of these or `prepare` fails, the picture is still returned: without coefficients, with unconverted colours,
    or with `prepare`'s own record of the failure, and with a remark.

    Args:
        picture: path or bytes.
        limits: None for the defaults.
        name: what to call it in answers; by default the path, or "image".
        prepare: importable function (or `functools.partial` of one); in the worker `prepare(source)` parses more of
            the file and keeps it in `vars(source)`, all of which is handed over; when that failed,
            `prepare(source, reason)` is called in this process and must not parse anything. See
            `provenance.reading.prepare_provenance`.

    Raises:
        SourceError: as `SourceImage.from_path`.
        DecoderCrashError, DecoderTimeoutError, DecoderMemoryError: the file broke a limit of the worker.
        WorkerStartError: no process can be started here.
    """
    from fakeexplain.imaging.source import printable, read_file

    if isinstance(picture, bytes):
        label, data = printable(name or "image"), picture
    else:
        label = printable(name if name is not None else str(Path(picture)))
        data = read_file(Path(picture), label)
    return _shared.load(data, label, limits or Limits(), prepare)


def renamed(source: SourceImage, name: str) -> SourceImage:
    """The same picture under another name, with all that was handed over; `dataclasses.replace` would drop that."""
    from fakeexplain.imaging.source import printable

    other = copy.copy(source)
    vars(other)["name"] = printable(name)
    return other


def start_worker() -> None:
    """Starts the worker without waiting for it, so that its start-up runs beside other work. Needless but quicker."""
    with suppress(WorkerStartError):
        _shared.start()


def stop_worker() -> None:
    """Ends the worker; the next file starts another. Done by itself at exit."""
    _shared.stop()


class _Worker:
    """The calling process's end: one process at a time, guarded by a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = ""
        self._ready = False
        self._served = 0

    def start(self) -> None:
        with self._lock:
            self._start()

    def stop(self) -> None:
        with self._lock:
            self._discard()

    def load(self, data: bytes, name: str, limits: Limits, prepare: Prepare | None) -> SourceImage:
        from fakeexplain.imaging.source import SourceImage

        with self._lock:
            found, failures = self._gather(data, name, limits, prepare)
        source: SourceImage = object.__new__(SourceImage)
        values = vars(source)
        values.update(found["source"], data=data)
        values.update({k: found[k] for k in ("luma_coefficients", "display_rgb") if k in found})
        values.update(found.get("prepared", {}))
        for stage, reason in failures.items():
            values["remarks"] = (*values["remarks"], f"{STAGES[stage]}: {reason}")
            if stage == "luma_coefficients":
                values[stage] = None
            elif stage == "display_rgb":
                values[stage] = source.rgb
            elif prepare is not None:
                prepare(source, reason)
        return source

    def _gather(
        self, data: bytes, name: str, limits: Limits, prepare: Prepare | None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """(what each stage gave, why stages failed). A stage that ends the worker is left out of the next attempt."""
        failures: dict[str, str] = {}
        blameless = True
        while True:
            self._start(wait=True)
            others_before = self._served > 0
            request = (name, limits, prepare, tuple(failures))
            found, told, death = self._exchange(data, request, limits.seconds, name)
            if death is None:
                return found, failures | told
            if isinstance(death, DecoderCrashError) and others_before and blameless:
                blameless = False  # an earlier file may have damaged the worker: once more in a fresh one
                continue
            stage = next(s for s in STAGES if s not in found and s not in told and s not in failures)
            if stage == "source":
                raise death
            failures |= told | {stage: str(death).removeprefix(f"{name}: ").partition(";")[0]}

    def _exchange(
        self, data: bytes, request: tuple[Any, ...], seconds: float, name: str
    ) -> tuple[dict[str, Any], dict[str, str], SourceError | None]:
        """One request: (stages done, reasons of stages that failed, how the worker died, or None)."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        found: dict[str, Any] = {}
        told: dict[str, str] = {}
        expired = threading.Event()

        def kill() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        try:
            timer.start()
            send(process.stdin, (*request, len(data)))
            process.stdin.write(data)
            process.stdin.flush()
            while True:
                stage, value, failure = receive(process.stdout, process.pid)
                if stage == "error":
                    timer.cancel()
                    self._served += 1
                    raise value
                if stage == "done":
                    timer.cancel()
                    self._served += 1
                    if expired.is_set():  # killed while it sent its last word: all is here, but it is gone
                        self._discard()
                    return found, told, None
                if failure:
                    told[stage] = failure
                else:
                    found[stage] = value
        except _BROKEN_PIPE:
            self._discard()
            if expired.is_set():
                words = f"decoding took longer than {seconds:g} s; raise the limit if the file is trusted"
                return found, told, DecoderTimeoutError(f"{name}: {words}")
            words = "the decoder crashed; the file is broken or hostile"
            return found, told, DecoderCrashError(f"{name}: {words}")
        except SourceError:
            raise
        except BaseException:  # interrupted between request and answer: the next file must not get this one's answer
            self._discard()
            raise
        finally:
            timer.cancel()

    def _start(self, *, wait: bool = False) -> None:
        """Makes sure that a process runs; with `wait`, that it is ready, so that start-up counts against no file."""
        if self._process is not None and self._process.poll() is not None:
            self._discard()
        if self._process is None:
            self._scratch = tempfile.mkdtemp(prefix="fakeexplain-worker-")
            code = (
                f"import sys; sys.path[:] = {sys.path!r}\n"
                f"from fakeexplain.imaging._worker_process import serve; serve({self._scratch!r})"
            )
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    pipesize=_PIPE_BYTES,
                )
            except (OSError, ValueError) as error:
                self._discard()
                raise WorkerStartError(f"the decoding process cannot be started ({error})") from None
            self._ready, self._served = False, 0
        if wait and not self._ready:
            self._await_ready(self._process)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        timer = threading.Timer(_START_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        try:
            receive(process.stdout)
            self._ready = True
        except _BROKEN_PIPE:
            code = process.wait()
            self._discard()
            raise WorkerStartError(
                f"the decoding process ended while it started (exit code {code}); "
                f"try {Path(sys.executable).name} -c 'import fakeexplain.imaging.source'"
            ) from None
        except BaseException:
            self._discard()
            raise
        finally:
            timer.cancel()

    def _discard(self) -> None:
        """Ends the process, if there is one, and removes what its libraries left in temporary files."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):  # a full pipe whose reader is gone
                    if stream is not None:
                        stream.close()
            process.wait()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = ""


def _forget_in_child() -> None:
    """A forked process must not talk over the pipes of its parent."""
    global _shared
    _shared = _Worker()


_shared = _Worker()
atexit.register(stop_worker)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
