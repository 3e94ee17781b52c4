"""Messages between a calling process and its worker: pickles whose arrays travel beside them.

On Linux, large arrays go through anonymous memory files that the caller maps: one copy in the worker, none in the
caller. Elsewhere they go through the pipe. Left out on purpose: any distrust of what arrives; both ends are this
program, see `worker` on attackers.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from typing import IO, Any

# What is done to a file, in this order, and what it means when that fails; all but the first can be done without.
STAGES = {
    "source": "the picture could not be decoded",
    "luma_coefficients": "its JPEG coefficients could not be read",
    "display_rgb": "its colour profile could not be applied",
    "prepared": "its metadata could not be read",
}
_SHARED_FROM = 1 << 20  # bytes of arrays; below, the pipe is as quick
_ALIGNMENT = 64


def send(stream: IO[bytes], message: object) -> int:
    """Writes a message.

    Returns:
        A descriptor to keep open until the other end has answered, or -1.

    Raises:
        BrokenPipeError: the other end is gone.
    """
    buffers: list[pickle.PickleBuffer] = []
    header = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    raws = [b.raw() for b in buffers]
    shared = _share(raws) if sum(r.nbytes for r in raws) >= _SHARED_FROM else -1
    sizes = [r.nbytes for r in raws]
    stream.write(struct.pack(f"<qQQ{len(sizes)}Q", shared, len(header), len(sizes), *sizes))
    stream.write(header)
    for raw in raws if shared < 0 else ():
        stream.write(raw)
    stream.flush()
    return shared


def _share(parts: list[memoryview]) -> int:
    """An anonymous memory file with the parts, each aligned; -1 where the system has none or no memory left for it."""
    if not hasattr(os, "memfd_create"):
        return -1
    descriptor = os.memfd_create("fakeexplain")
    try:
        for part in parts:
            done = 0
            while done < part.nbytes:
                done += os.write(descriptor, part[done:])
            os.write(descriptor, bytes(-part.nbytes % _ALIGNMENT))
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def receive(stream: IO[bytes] | None, sender: int = 0) -> Any:
    """Reads a message; its arrays are read-only.

    Args:
        sender: process id of the other end, whose memory files are opened; only needed when it sends large arrays.

    Raises:
        EOFError: the other end is gone.
    """
    assert stream is not None
    shared, header_size, count = struct.unpack("<qQQ", receive_bytes(stream, 24))
    sizes = struct.unpack(f"<{count}Q", receive_bytes(stream, 8 * count))
    header = receive_bytes(stream, header_size)
    if shared < 0:
        buffers = [memoryview(receive_bytes(stream, size)).toreadonly() for size in sizes]
    else:
        buffers = _map(shared, sizes, sender)
    return pickle.loads(header, buffers=buffers)


def _map(descriptor: int, sizes: tuple[int, ...], sender: int) -> list[memoryview]:
    try:
        with open(f"/proc/{sender}/fd/{descriptor}", "rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    except OSError:  # it died between telling and being asked
        raise EOFError from None
    buffers, start = [], 0
    for size in sizes:
        buffers.append(view[start : start + size])
        start += size + -size % _ALIGNMENT
    return buffers


def receive_bytes(stream: IO[bytes], size: int) -> bytearray:
    """Exactly `size` bytes. Raises EOFError."""
    buffer = bytearray(size)
    view, done = memoryview(buffer), 0
    while done < size:
        read = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        done += read
    return buffer
