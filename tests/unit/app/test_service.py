from __future__ import annotations

import hashlib
import threading
import time

import numpy as np
import pytest

from app import handlers
from app.errors import TaskCancelledError, TooLargeError, UnknownPictureError
from app.service import Progress, Service, ServiceLimits
from fakeexplain.errors import ImageTooLargeError, UnsupportedImageError
from fakeexplain.examiner import Examiner, Settings, examination_map
from fakeexplain.records import Examination
from tests.pictures import copy_move, encode, photograph
from tests.unit.app.conftest import QUICK

FACTS = Settings(instruments=("metadata",), expert=None)


@pytest.fixture
def small(tmp_path):
    """A service that only reads facts, so that it is quick."""
    with Service(FACTS, ServiceLimits(workers=2, pictures=4), folder=tmp_path) as made:
        yield made


def png(seed: int, size: int = 64) -> bytes:
    return encode(np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8))


def test_bytes_arrive_unaltered(small):
    data = encode(photograph("coffee")[:200, :200], "JPEG", quality=80)
    view = handlers.examine(small, data, "a.jpg")
    assert view.sha256 == hashlib.sha256(data).hexdigest()
    assert small.picture(view.id).path.read_bytes() == data


def test_one_examination_a_file_and_each_user_their_own_name(small, monkeypatch):
    calls = []
    original = Examiner.examine
    monkeypatch.setattr(Examiner, "examine", lambda self, *a, **k: (calls.append(1), original(self, *a, **k))[1])
    data = png(1)
    first, second = handlers.examine(small, data, "first-user.png"), handlers.examine(small, data, "yours.png")
    assert len(calls) == 1
    assert (first.name, second.name) == ("first-user.png", "yours.png")
    assert first.id != second.id
    assert small.picture(second.id).examination.source.name == "yours.png"
    assert small.source(small.picture(second.id)).name == "yours.png"
    assert "first-user" not in small.picture(second.id).examination.to_json()


def test_two_who_send_the_same_file_at_once_wait_for_one_examination(small, monkeypatch):
    calls = []
    original = Examiner.examine

    def slow(self, *args, **kwargs):
        calls.append(1)
        time.sleep(0.3)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Examiner, "examine", slow)
    tasks = [small.submit_examination(png(2), f"{i}.png") for i in range(2)]
    assert {t.result(60).name for t in tasks} == {"0.png", "1.png"}
    assert len(calls) == 1


def test_the_map_is_kept_on_disk(service, examined, forged_png):
    expected = examination_map(Examiner(QUICK).examine(forged_png))
    kept = service.score_map(service.picture(examined.id))
    assert np.abs(kept - expected).max() <= 0.5 / 255 + 1e-6
    assert all(e.score_map is None for e in service.picture(examined.id).examination.evidence)


def test_limits(tmp_path):
    limits = ServiceLimits(workers=1, max_bytes=20_000, max_megapixels=0.01)
    with Service(FACTS, limits, folder=tmp_path) as made:
        with pytest.raises(TooLargeError, match="at most"):
            handlers.examine(made, b"x" * 20_001, "big.png")
        with pytest.raises(ImageTooLargeError):
            handlers.examine(made, encode(np.zeros((200, 200, 3), np.uint8)), "wide.png")
        with pytest.raises(UnsupportedImageError, match="not a readable image"):
            handlers.examine(made, b"hello", "a.png")
        assert list((made.private.path / "uploads").iterdir()) == []
        assert handlers.examine(made, png(1, 32), "ok.png").name == "ok.png"


def test_the_upload_used_longest_ago_gives_way(small):
    views = [handlers.examine(small, png(10 + i), f"{i}.png") for i in range(3)]
    small.picture(views[0].id)  # used again
    views += [handlers.examine(small, png(20 + i), f"{i}.png") for i in range(2)]
    with pytest.raises(UnknownPictureError):
        small.picture(views[1].id)
    assert small.picture(views[0].id)
    assert len(list((small.private.path / "uploads").iterdir())) == 4


def test_unused_uploads_are_deleted(tmp_path):
    with Service(FACTS, ServiceLimits(workers=1, keep_minutes=0.01), folder=tmp_path) as made:
        view = handlers.examine(made, png(3), "a.png")
        deadline = time.monotonic() + 20
        while any((made.private.path / "uploads").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(UnknownPictureError, match="deleted"):
            handlers.view(made, view.id)
        assert made.health()["pictures"] == 0
        assert [p for p in made.private.path.rglob("*") if p.is_file()] == []


def test_forgetting_one_of_two_equal_uploads_keeps_the_other(service, forged_png, examined):
    again = handlers.examine(service, forged_png, "again.png")
    handlers.forget(service, again.id)
    assert service.score_map(service.picture(examined.id)) is not None
    with pytest.raises(UnknownPictureError):
        service.picture(again.id)


def test_pixels_beyond_the_budget_are_read_again(tmp_path):
    with Service(FACTS, ServiceLimits(workers=1, warm_megapixels=0.005), folder=tmp_path) as made:
        first, second = handlers.examine(made, png(4), "a.png"), handlers.examine(made, png(5), "b.png")
        assert made.pictures.source(first.sha256, "a.png") is None
        assert made.pictures.source(second.sha256, "b.png") is not None
        assert made.source(made.picture(first.id)).sha256 == first.sha256


def test_a_listener_who_leaves_stops_the_work(tmp_path, monkeypatch):
    reached = threading.Event()
    ended = []

    def endless(self, source, *, name=None, on_done=None) -> Examination:
        reached.set()
        try:
            while True:
                on_done("x")
                time.sleep(0.01)
        except TaskCancelledError:
            ended.append(1)
            raise

    monkeypatch.setattr(Examiner, "examine", endless)
    with Service(FACTS, ServiceLimits(workers=1), folder=tmp_path) as made:
        events = handlers.examine_events(made, png(6), "a.png")
        assert isinstance(next(events), Progress)
        assert reached.wait(30)
        events.close()
        deadline = time.monotonic() + 10
        while not ended and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ended


def test_closing_leaves_no_file(tmp_path):
    made = Service(FACTS, ServiceLimits(workers=1), folder=tmp_path)
    handlers.examine(made, png(7), "a.png")
    made.close()
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_progress_names_every_instrument(small, tmp_path):
    data = encode(copy_move(photograph("chelsea"))[0])
    with Service(QUICK, ServiceLimits(workers=1), folder=tmp_path) as made:
        events = list(handlers.examine_events(made, data, "a.png"))
    measured = [e for e in events[:-1] if e.stage == "measuring"]
    assert events[0] == Progress("reading")
    assert (measured[0].done, measured[0].total) == (0, 2)
    assert {e.name for e in measured} == {"", "copy_move", "metadata"}
    assert measured[-1].done == 2
    assert isinstance(events[-1], handlers.PictureView)
