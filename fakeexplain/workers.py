"""A pool of worker processes that stops when it is told to: Ctrl-C ends the work at hand instead of the whole queue."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides; a worker would only print a trace
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Like `with ProcessPoolExecutor(...)`, but any exception in the body drops the queue and ends the workers.

    What workers write must therefore be moved into place in one step, which all of ours do.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    except BaseException:
        processes = list((getattr(pool, "_processes", None) or {}).values())
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)
        # A worker that was ended while it wrote leaves half an answer, and the pool's thread would wait for the other
        # half as long as anybody could still write it.
        with suppress(AttributeError, OSError):
            pool._result_queue._writer.close()  # type: ignore[attr-defined]
        pool.shutdown(wait=True, cancel_futures=True)  # at once now; without waiting, its thread fails at exit
        raise
    pool.shutdown()
