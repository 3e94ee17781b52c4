from __future__ import annotations

import threading
import time

import pytest

from app.errors import BusyError, TaskCancelledError, TaskTimeoutError, WorkFailedError
from app.tasks import TaskQueue
from fakeexplain.errors import SourceError


@pytest.fixture
def line():
    made = TaskQueue(workers=1, waiting=2)
    yield made
    made.close(5)


@pytest.fixture
def blocker(line):
    """Work that holds the only worker until it is let go."""
    started, go_on = threading.Event(), threading.Event()

    def work(_):
        started.set()
        go_on.wait(10)

    line.submit(work, seconds=10)
    assert started.wait(5)
    yield go_on
    go_on.set()


def test_events_then_result(line):
    def work(task):
        task.emit("one")
        task.emit("two")
        return 3

    task = line.submit(work, seconds=5)
    assert list(task.events()) == ["one", "two"]
    assert task.result() == 3


def test_quick_work_goes_first(line, blocker):
    order = []
    slow = line.submit(lambda _: order.append("slow"), seconds=5)
    quick = line.submit(lambda _: order.append("quick"), seconds=5, quick=True)
    assert (line.ahead_of(quick), line.ahead_of(slow)) == (0, 1)
    blocker.set()
    slow.result(5)
    assert order == ["quick", "slow"]


def test_a_full_queue_refuses_and_says_when(line, blocker):
    for _ in range(2):
        line.submit(lambda _: None, seconds=5)
    with pytest.raises(BusyError) as caught:
        line.submit(lambda _: None, seconds=5)
    assert 1 <= caught.value.retry_after <= 120
    assert line.load() == {"running": 1, "waiting": 2, "workers": 1, "queue": 2}


def test_cancelled_work_gives_its_place_back(line, blocker):
    ran = []
    waiting = [line.submit(lambda _: ran.append(1), seconds=5) for _ in range(2)]
    waiting[0].cancel()
    third = line.submit(lambda _: ran.append(3), seconds=5)
    with pytest.raises(TaskCancelledError):
        waiting[0].result(5)
    blocker.set()
    third.result(5)
    assert ran == [1, 3]


def test_running_work_stops_at_its_next_step(line):
    seen = []

    def work(task):
        for i in range(1000):
            task.emit(i)
            seen.append(i)
            time.sleep(0.01)

    task = line.submit(work, seconds=30)
    events = task.events()
    assert next(events) == 0
    task.cancel()
    with pytest.raises(TaskCancelledError):
        list(events)
    assert len(seen) < 100


def test_time_limit(line):
    def work(task):
        while True:
            task.check()
            time.sleep(0.01)

    with pytest.raises(TaskTimeoutError, match=r"0\.1 s"):
        line.submit(work, seconds=0.1).result(10)


def test_the_queue_survives_whatever_work_does(line):
    def source(_):
        raise SourceError("a.jpg: broken")

    def bug(_):
        raise KeyError("secret inside")

    with pytest.raises(SourceError, match=r"a\.jpg"):
        line.submit(source, seconds=5).result(5)
    with pytest.raises(WorkFailedError) as caught:
        line.submit(bug, seconds=5).result(5)
    assert "secret" not in str(caught.value)
    assert line.submit(lambda _: 1, seconds=5).result(5) == 1


def test_closing_cancels_and_refuses():
    line = TaskQueue(workers=1, waiting=4)
    started = threading.Event()

    def work(task):
        started.set()
        while True:
            task.check()
            time.sleep(0.01)

    running, waiting = line.submit(work, seconds=60), line.submit(lambda _: None, seconds=60)
    assert started.wait(5)
    assert line.close(5)
    for task in (running, waiting):
        with pytest.raises(TaskCancelledError):
            task.result(5)
    with pytest.raises(BusyError):
        line.submit(lambda _: None, seconds=1)
