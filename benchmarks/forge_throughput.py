"""Samples per second of the forge, finished files included: python benchmarks/forge_throughput.py --photos DIR.

Prints a table; stops with a message where the folder of photographs is absent. With `--memory N` it makes N samples in
one process instead and prints what that process holds every 1,000 samples (Linux with glibc only): as it is, and after
the allocator was told to give back what nobody uses. Only growth of the latter would be a leak.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import resource
import time
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

from data_tools.forge.forge import Forge
from fakeexplain.errors import SettingsError

_forge: Forge | None = None


def _start(photos: str, size: int) -> None:
    global _forge
    cv2.setNumThreads(1)
    _forge = Forge(Path(photos), seed=0, size=size)


def _make(index: int) -> tuple[int, float]:
    """(bytes of the file, processor seconds): the latter do not suffer from other programs on the machine."""
    assert _forge is not None
    started = time.process_time()
    return len(_forge.sample(index).file_bytes()), time.process_time() - started


def _resident_mb() -> float:
    """Resident memory of this process in MB (10**6 bytes), from /proc."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _watch_memory(photos: Path, size: int, count: int, every: int = 1000) -> None:
    _start(str(photos), size)
    console = Console()
    for index in range(count):
        _make(index)
        if (index + 1) % every == 0 or index + 1 == min(100, count):
            gc.collect()  # what a cycle still holds is no leak
            resident, peak = _resident_mb(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            used = _resident_mb()
            console.print(f"{size} px, {index + 1}: {resident:.0f} MB, {used:.1f} MB in use, {peak:.0f} MB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of authentic photographs")
    parser.add_argument("--count", type=int, default=600, help="samples per row")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--memory", type=int, metavar="N", help="make N samples in one process and watch its memory")
    arguments = parser.parse_args()
    if arguments.memory:
        for size in arguments.sizes:
            try:
                _watch_memory(arguments.photos, size, arguments.memory)
            except SettingsError as error:
                raise SystemExit(str(error)) from None
        return
    table = Table("size", "processes", "samples", "seconds", "samples/s", "CPU ms/sample", "kB/file")
    for size in arguments.sizes:
        try:
            Forge(arguments.photos, seed=0, size=size)
        except SettingsError as error:
            raise SystemExit(str(error)) from None
        for workers in arguments.workers:
            context = multiprocessing.get_context("spawn")
            with context.Pool(workers, initializer=_start, initargs=(str(arguments.photos), size)) as pool:
                pool.map(_make, range(workers * 2), chunksize=1)  # imports and the list of photographs are not counted
                started = time.perf_counter()
                made = pool.map(_make, range(arguments.count), chunksize=8)
                seconds = time.perf_counter() - started
            table.add_row(
                str(size),
                str(workers),
                str(arguments.count),
                f"{seconds:.1f}",
                f"{arguments.count / seconds:.1f}",
                f"{1e3 * sum(cpu for _, cpu in made) / len(made):.1f}",
                f"{sum(length for length, _ in made) / len(made) / 1e3:.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
