"""One examiner in memory for everybody who asks: uploads, examinations, conversations, and their limits.

Examinations and answers run in the workers of a bounded queue (`tasks`); looking at what is there (`handlers`) does not
wait for them. An examination is made once for each sha256. Pixels are kept for the pictures used last, within a budget;
those of others are decoded again when needed (`pictures`). Left out: what a page shows (`handlers`), HTTP (`server`).
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.errors import AppError, TooLargeError, UnknownPictureError
from app.pictures import FindingNote, Picture, PictureStore, ServiceLimits
from app.security import safe_name
from app.store import PrivateFolder
from app.tasks import Task, TaskQueue
from fakeexplain.imaging.worker import Limits, load_guarded, start_worker, stop_worker

if TYPE_CHECKING:
    from fakeexplain.conversation import Conversation
    from fakeexplain.examiner import Examiner, Settings
    from fakeexplain.imaging.source import SourceImage
    from fakeexplain.reasoning.sights import MapSight
    from fakeexplain.reasoning.writers import Writer
    from fakeexplain.records import Examination

_log = logging.getLogger("fakeexplain.app")


@dataclass(frozen=True)
class Progress:
    """How far an examination is.

    stage: "waiting" (`done` requests are served before), "reading" or "measuring"; name: the instrument that finished.
    """

    stage: str
    done: int = 0
    total: int = 0
    name: str = ""


class Service:
    """See the module. Close it when done; it is a context manager, too.

    Args:
        settings: of every examination; pictures are never larger than the limits allow.
        limits: see `ServiceLimits`.
        cases: folder that holds case folders and batches, None to offer none.
        folder: parent of the private folder, None for the system's temporary files.
        writers: name -> maker of a writer for conversations; the first is the default. None: plain wording only.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        limits: ServiceLimits | None = None,
        *,
        cases: Path | None = None,
        folder: Path | None = None,
        writers: dict[str, Callable[[], Writer | None]] | None = None,
    ) -> None:
        self.limits = limits or ServiceLimits()
        self.cases = cases
        self.private = PrivateFolder(folder)
        self.pictures = PictureStore(self.private, self.limits)
        self.writers = writers or {"plain": lambda: None}
        self._given_settings = settings
        self._made_writers: dict[str, Writer | None] = {}
        self._making: dict[str, threading.Lock] = {}  # by sha256
        self._making_lock = threading.Lock()
        self._model_lock = threading.Lock()
        self._local = threading.local()
        self._tasks = TaskQueue(self.limits.workers, self.limits.waiting)
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_forever, name="fakeexplain-sweeper", daemon=True)
        self._sweeper.start()

    # ---- life

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Starts the decoding process and loads the model beside whatever the caller does next."""
        start_worker()
        with suppress(AppError):
            self.submit(lambda _: self.examiner())

    def close(self) -> None:
        """Ends all work and deletes every upload; safe to call twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        if not self._tasks.close():
            _log.warning("work did not stop in time and is left to end with the process")
        stop_worker()
        self.pictures.clear()
        self.private.remove()

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    def health(self) -> dict[str, Any]:
        """What `/healthz` says."""
        status = "closing" if self.closing else "ok"
        load = self._tasks.load()
        return {"status": status, "model_loaded": self._ready.is_set(), "pictures": len(self.pictures), **load}

    # ---- work

    def submit(self, work: Callable[[Task[Any]], Any], *, quick: bool = False) -> Task[Any]:
        """Queues work under the limits; quick work goes first. Raises BusyError."""
        return self._tasks.submit(work, seconds=self.limits.seconds, quick=quick)

    def waiting_before(self, task: Task[Any]) -> int:
        """How many requests are served before this one."""
        return self._tasks.ahead_of(task)

    def submit_examination(self, data: bytes, name: str | None) -> Task[Picture]:
        """Queues an upload. Its events are `Progress`, its result a `Picture`.

        Raises:
            TooLargeError: more bytes than allowed. BusyError: the queue is full.
        """
        if len(data) > self.limits.max_bytes:
            raise TooLargeError(
                f"{safe_name(name)}: {len(data) / 2**20:.1f} MiB, wanted at most {self.limits.max_bytes / 2**20:g} MiB"
            )
        return self.submit(lambda task: self.examine_now(task, data, name))

    def examine_now(self, task: Task[Any], data: bytes, name: str | None) -> Picture:
        """Examines within a task that already runs. Raises SourceError and what `Task.check` raises."""
        shown = safe_name(name)
        sha256 = hashlib.sha256(data).hexdigest()
        task.emit(Progress("reading"))
        with self._made_once(sha256):
            task.check()
            source = self.load(data, shown, sha256)
            examination = self.pictures.examination(sha256)
            if examination is None:
                examination, sight = self._examine(task, source)
                self.pictures.keep_examination(examination, sight)
            return self.pictures.add(data, shown, _under_name(examination, source.name))

    def _examine(self, task: Task[Any], source: SourceImage) -> tuple[Examination, MapSight | None]:
        """A whole examination without maps, and what stands out on the expert's; the joint map goes to the disk."""
        from fakeexplain.examiner import examination_map
        from fakeexplain.reasoning.sights import Sights

        examiner = self.examiner()
        total = len(examiner.instruments) + (examiner.expert is not None)
        finished: list[str] = []

        def on_done(instrument: str) -> None:
            finished.append(instrument)
            task.emit(Progress("measuring", len(finished), total, instrument))

        task.emit(Progress("measuring", 0, total))
        found = examiner.examine(source, on_done=on_done)
        self._store_map(source.sha256, examination_map(found))
        sight = Sights(None, found.evidence).map
        bare = tuple(e.model_copy(update={"score_map": None}) for e in found.evidence)
        return found.model_copy(update={"evidence": bare}), sight

    # ---- the model

    @property
    def settings(self) -> Settings:
        """Of every examination."""
        from fakeexplain.examiner import Settings

        given = self._given_settings or Settings()
        return replace(given, max_megapixels=min(given.max_megapixels, self.limits.max_megapixels))

    def examiner(self) -> Examiner:
        """This thread's examiner; all of them share the one model."""
        found: Examiner | None = getattr(self._local, "examiner", None)
        if found is None:
            from fakeexplain.examiner import Examiner

            with self._model_lock:  # the first one loads the model; the others must find it loaded
                found = self._local.examiner = Examiner(self.settings, keep=0)
            self._ready.set()
        return found

    def writer(self, name: str) -> Writer | None:
        """A writer by name, made once. Raises AppError for an unknown name."""
        if name not in self.writers:
            raise AppError(f"no writer {name!r}; wanted one of {', '.join(self.writers)}")
        self.examiner()  # before the lock: a writer may want the expert
        with self._model_lock:
            if name not in self._made_writers:
                self._made_writers[name] = self.writers[name]()
            return self._made_writers[name]

    # ---- pictures

    def picture(self, picture_id: str) -> Picture:
        """Raises UnknownPictureError."""
        return self.pictures.get(picture_id)

    def forget(self, picture_id: str) -> None:
        """Deletes an upload and all that was made of it, but for what was saved in a case."""
        self.pictures.forget(picture_id)

    def source(self, picture: Picture) -> SourceImage:
        """The pixels, decoded again where they were let go."""
        found = self.pictures.source(picture.sha256, picture.name)
        if found is not None:
            return found
        try:
            data = picture.path.read_bytes()
        except OSError:
            raise UnknownPictureError("this picture was deleted meanwhile; upload it again") from None
        return self.load(data, picture.name, picture.sha256)

    def load(self, data: bytes, name: str, sha256: str) -> SourceImage:
        """Decodes under the limits in the guarded process, unless the pixels are still there. Raises SourceError."""
        from fakeexplain.provenance.reading import prepare_provenance

        found = self.pictures.source(sha256, name)
        if found is not None:
            return found
        settings = self.settings
        limits = Limits(seconds=self.limits.decode_seconds, max_megapixels=settings.max_megapixels)
        prepare = functools.partial(prepare_provenance, trust_anchors=settings.trust_anchors)
        source = load_guarded(data, limits, name=name, prepare=prepare)
        self.pictures.keep_source(source)
        return source

    def score_map(self, picture: Picture) -> np.ndarray | None:
        """float32 HxW in [0, 1], in steps of 1/255; None where nothing localizes."""
        import cv2

        levels = cv2.imread(str(self.private.map_path(picture.sha256)), cv2.IMREAD_UNCHANGED)
        return None if levels is None else levels.astype(np.float32) / np.float32(255)

    def conversation(
        self, picture: Picture, writer: str | None = None, check: Callable[[], None] = lambda: None
    ) -> Conversation:
        """The picture's conversation, gone on by the named writer (None: the one before). Hold the picture's lock.

        Args:
            check: raises when the writer must stop; see `stopping`.

        Raises:
            AppError: an unknown writer. UnknownPictureError: the upload was deleted.
        """
        from app.stopping import stoppable
        from fakeexplain.conversation import Conversation

        name = writer or picture.writer_name or next(iter(self.writers))
        made, source = self.writer(name), self.source(picture)
        if picture.conversation is None:
            picture.conversation = Conversation(
                self.examiner(),
                source,
                examination=picture.examination,
                map_sight=self.pictures.map_sight(picture.sha256),
            )
        talk, picture.writer_name = picture.conversation, name
        talk.source, talk.writer = source, stoppable(made, check)
        return talk

    def _store_map(self, sha256: str, score_map: np.ndarray | None) -> None:
        import cv2

        if score_map is not None:
            levels = np.rint(np.clip(score_map, 0, 1) * 255).astype(np.uint8)
            self.private.map_path(sha256).write_bytes(cv2.imencode(".png", levels)[1].tobytes())

    def _made_once(self, sha256: str) -> threading.Lock:
        """One lock a file, so that two who send the same picture wait for one examination."""
        with self._making_lock:
            if len(self._making) > 512:
                self._making = {k: v for k, v in self._making.items() if v.locked()}
            return self._making.setdefault(sha256, threading.Lock())

    def sweep(self) -> int:
        """Deletes what was not used for `keep_minutes`; returns how many uploads."""
        seconds = 60 * self.limits.keep_minutes
        self.private.sweep(seconds)
        return self.pictures.forget_unused(seconds)

    def _sweep_forever(self) -> None:
        pause = min(60.0, max(1.0, 15 * self.limits.keep_minutes))
        while not self._closing.wait(pause):
            try:
                self.sweep()
            except Exception:
                _log.exception("sweeping failed")


def _under_name(examination: Examination, name: str) -> Examination:
    """The same examination with the picture called as this user called it."""
    if examination.source.name == name:
        return examination
    return examination.model_copy(update={"source": examination.source.model_copy(update={"name": name})})


__all__ = ["FindingNote", "Picture", "Progress", "Service", "ServiceLimits"]
