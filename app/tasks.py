"""Work in worker threads: a bounded queue, progress events, cancellation, a time limit for each piece of work.

A thread cannot be killed, so work stops where it calls `Task.check` or `Task.emit`: an examination does so after each
instrument, an answer after each sentence. Decoding, the one step a hostile file can hang, has a process and a limit of
its own (`fakeexplain.imaging.worker`). Left out: what the work is (`service`), and anything about HTTP.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from app.errors import BusyError, TaskCancelledError, TaskTimeoutError, WorkFailedError
from fakeexplain.errors import FakeExplainError

T = TypeVar("T")
_END = object()
_log = logging.getLogger("fakeexplain.app")


class Task(Generic[T]):
    """One piece of work: its events, its result, and the means to stop it. Made by `TaskQueue.submit`.

    Attributes:
        done: set when there is a result or an error.
    """

    def __init__(self, work: Callable[[Task[T]], T], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._deadline = math.inf
        self._cancelled = threading.Event()
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._value: T | None = None
        self._error: BaseException | None = None
        self.done = threading.Event()

    def check(self) -> None:
        """Raises TaskCancelledError or TaskTimeoutError when the work must stop; called by the work."""
        if self._cancelled.is_set():
            raise TaskCancelledError("cancelled before it was finished; ask again")
        if time.monotonic() > self._deadline:
            raise TaskTimeoutError(f"took longer than {self._seconds:g} s, the limit of this server; try a smaller one")

    def emit(self, event: object) -> None:
        """Hands an event to whoever listens; raises as `check`."""
        self.check()
        self._events.put(event)

    def cancel(self) -> None:
        """Asks the work to stop; it does so at its next step. Work that still waits never starts."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def events(self) -> Iterator[Any]:
        """Events as they come, until the work ends; then raises its error, if it had one. For one listener."""
        while (event := self._events.get()) is not _END:
            yield event
        self.result()

    def result(self, timeout: float | None = None) -> T:
        """The result. Raises the work's error; TaskTimeoutError when `timeout` seconds were not enough."""
        if not self.done.wait(timeout):
            raise TaskTimeoutError(f"not finished within {timeout:g} s; ask again later")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # None only where T is

    def run(self) -> None:
        """Carries the work out; called by a worker, once."""
        self._deadline = time.monotonic() + self._seconds
        try:
            self.check()
            self._finish(value=self._work(self))
        except FakeExplainError as error:
            self._finish(error=error)
        except MemoryError:
            self._finish(error=WorkFailedError("not enough memory for this picture on this machine; try a smaller one"))
        except Exception as error:
            _log.exception("work failed")
            words = "this failed inside the program; its log says why"
            self._finish(error=WorkFailedError(f"{words} ({type(error).__name__})"))

    def refuse(self, error: FakeExplainError) -> None:
        """Ends work that never started."""
        self._finish(error=error)

    def _finish(self, *, value: T | None = None, error: BaseException | None = None) -> None:
        self._value, self._error = value, error
        self.done.set()
        self._events.put(_END)


class TaskQueue:
    """Worker threads and what waits for them; quick work (answers) goes before slow work (examinations).

    Args:
        workers: pieces of work at once.
        waiting: pieces of work that may wait; more are refused.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._waiting = waiting
        self._quick: deque[Task[Any]] = deque()
        self._slow: deque[Task[Any]] = deque()
        self._running: set[Task[Any]] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._mean_seconds = 5.0  # of recent work; what Retry-After is estimated from
        self._threads = [
            threading.Thread(target=self._serve, name=f"fakeexplain-{i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[Task[T]], T], *, seconds: float, quick: bool = False) -> Task[T]:
        """Queues work. Raises BusyError when too much waits or the queue is closed."""
        task: Task[T] = Task(work, seconds)
        with self._changed:
            if self._closed:
                raise BusyError("the server is shutting down; nothing new is started", 10)
            self._drop_cancelled()
            waiting = len(self._quick) + len(self._slow)
            if waiting >= self._waiting:
                retry = max(1, min(120, math.ceil(self._mean_seconds * waiting / len(self._threads))))
                raise BusyError(f"{waiting} requests wait already; try again in about {retry} s", retry)
            (self._quick if quick else self._slow).append(task)
            self._changed.notify()
        return task

    def ahead_of(self, task: Task[Any]) -> int:
        """How many pieces of work wait before this one; 0 once it runs."""
        with self._changed:
            order = [*self._quick, *self._slow]
            return order.index(task) if task in order else 0

    def load(self) -> dict[str, int]:
        """{"running", "waiting", "workers", "queue"} at this moment."""
        with self._changed:
            waiting = len(self._quick) + len(self._slow)
            running = len(self._running)
        return {"running": running, "waiting": waiting, "workers": len(self._threads), "queue": self._waiting}

    def close(self, timeout: float = 20.0) -> bool:
        """Refuses what waits, cancels what runs, waits for the workers; True when all have ended in time."""
        with self._changed:
            self._closed = True
            refused = [*self._quick, *self._slow]
            self._quick.clear()
            self._slow.clear()
            for task in self._running:
                task.cancel()
            self._changed.notify_all()
        for task in refused:
            task.refuse(TaskCancelledError("the server is shutting down; ask again when it is back"))
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _drop_cancelled(self) -> None:
        for line in (self._quick, self._slow):
            for task in [t for t in line if t.cancelled]:
                line.remove(task)
                task.refuse(TaskCancelledError("cancelled before it was started"))

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._quick or self._slow):
                    self._changed.wait()
                if self._closed:
                    return
                task = (self._quick or self._slow).popleft()
                self._running.add(task)
            started = time.monotonic()
            task.run()
            with self._changed:
                self._running.discard(task)
                self._mean_seconds = 0.8 * self._mean_seconds + 0.2 * (time.monotonic() - started)
