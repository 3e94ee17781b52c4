"""The worker's end of `imaging.worker`: decodes one file after another under limits and hands the results back.

Runs as a process of its own and never in the caller's. Left out on purpose: deciding what a failure means (the caller
does), and the time limit, which the caller keeps because a process that hangs cannot keep its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

from fakeexplain.errors import SourceError
from fakeexplain.imaging._worker_messages import receive, receive_bytes, send
from fakeexplain.imaging.source import SourceImage, _prepare_pillow
from fakeexplain.imaging.worker import DecoderMemoryError, Limits

_GRACE_SECONDS = 10  # of processor time after which a worker whose caller died is ended by the system


def serve(scratch: str) -> None:
    """Answers requests on the standard streams until the caller closes them.

    Args:
        scratch: folder for temporary files, removed at the end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides; it kills when it is interrupted
    requests, replies = _take_over_streams()
    tempfile.tempdir = scratch
    shared: list[int] = []
    try:
        _prepare_libraries()
        base = _address_space()
        send(replies, "ready")
        while True:
            name, limits, prepare, skip, size = receive(requests)
            for descriptor in shared:  # a further request says that the last answer was read
                os.close(descriptor)
            _limit(limits, base)
            data = bytes(receive_bytes(requests, size))
            shared = _answer(replies, data, name, limits, prepare, skip)
            del data
    except (EOFError, BrokenPipeError):
        pass
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes under numbers of their own, and the standard ones pointing nowhere: libraries print what files say."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    return requests, replies


def _prepare_libraries() -> None:
    """Imports and initialises everything before the address space is measured and limited."""
    import cv2
    import jpeglib  # noqa: F401
    from PIL import Image

    cv2.setNumThreads(1)
    _prepare_pillow()
    Image.init()


def _address_space() -> int:
    """Bytes of address space in use, 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _limit(limits: Limits, base: int) -> None:
    """Bounds address space (where its present size is known) and processor time for the next file."""
    try:
        import resource
    except ImportError:  # Windows
        return
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, int(spent + limits.seconds) + _GRACE_SECONDS)]
    if base:
        wanted.append((resource.RLIMIT_AS, base + limits.memory_bytes))
    for kind, value in wanted:
        hard = resource.getrlimit(kind)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _answer(
    replies: BinaryIO,
    data: bytes,
    name: str,
    limits: Limits,
    prepare: Callable[..., None] | None,
    skip: tuple[str, ...],
) -> list[int]:
    """Sends one (stage, value, reason) after another, ending with "done", or a single "error".

    Returns:
        Descriptors of memory files to keep open until the caller has read the answer.
    """
    try:
        source = SourceImage.from_bytes(data, name=name, max_megapixels=limits.max_megapixels)
    except Exception as error:
        send(replies, ("error", _refusal(error, name, limits), ""))
        return []
    shared = [send(replies, ("source", {k: v for k, v in vars(source).items() if k != "data"}, ""))]
    stages: dict[str, Callable[[], object]] = {"luma_coefficients": lambda: source.luma_coefficients}
    if source.icc_profile is not None:
        stages["display_rgb"] = lambda: source.display_rgb
    if prepare is not None:
        stages["prepared"] = lambda: _prepared(source, prepare)
    for stage, work in stages.items():
        if stage in skip:
            continue
        try:
            message = (stage, work(), "")
        except Exception as error:
            message = (stage, None, _reason(error, limits))
        shared.append(send(replies, message))
    send(replies, ("done", None, ""))
    return [descriptor for descriptor in shared if descriptor >= 0]


def _prepared(source: SourceImage, prepare: Callable[..., None]) -> dict[str, Any]:
    """What `prepare` kept with the source, without what it computed on the way (luminance is quick and large)."""
    before = set(vars(source)) | {"luma", "luma_coefficients", "display_rgb"}
    prepare(source)
    return {k: v for k, v in vars(source).items() if k not in before}


def _refusal(error: BaseException, name: str, limits: Limits) -> SourceError:
    """The error to raise in the caller."""
    chain: BaseException | None = error
    while chain is not None:  # decoders' memory errors come wrapped in "the data is broken"
        if isinstance(chain, MemoryError):
            return DecoderMemoryError(f"{name}: {_memory_words(limits)}; raise the limit if the file is trusted")
        chain = chain.__context__
    if isinstance(error, SourceError):
        return type(error)(str(error))
    return SourceError(f"{name}: the decoder failed ({_reason(error, limits)}); try to obtain the file again")


def _reason(error: BaseException, limits: Limits) -> str:
    if isinstance(error, MemoryError):
        return _memory_words(limits)
    from fakeexplain.imaging.source import printable

    return printable(f"{type(error).__name__}: {error}", 160)


def _memory_words(limits: Limits) -> str:
    return f"decoding needed more than {limits.memory_bytes / 2**30:.3g} GiB of memory"
