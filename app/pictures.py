"""The uploads of a service: pictures by id, their examinations and pixels by sha256, each kept within its limit.

Everything here is quick but for one file written or deleted; decoding and examining are `service`'s.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import BusyError, UnknownPictureError
from app.store import PrivateFolder
from fakeexplain.imaging.worker import renamed

if TYPE_CHECKING:
    from fakeexplain.conversation import Conversation
    from fakeexplain.imaging.source import SourceImage
    from fakeexplain.reasoning.sights import MapSight
    from fakeexplain.records import Examination


@dataclass(frozen=True)
class ServiceLimits:
    """What one request, and all of them together, may cost.

    Attributes:
        max_bytes: of one uploaded file.
        max_megapixels: of one picture; larger ones are refused from the header, before decoding.
        decode_seconds: for decoding and parsing one file, in a process of its own.
        seconds: for one examination or answer; checked between instruments and between sentences.
        workers: examinations and answers at once.
        waiting: requests that may wait; more are told to come back.
        pictures: uploads kept at once; then the one used longest ago is deleted.
        keep_minutes: an upload unused for so long is deleted.
        warm_megapixels: pixels kept decoded; about 15 bytes each.
    """

    max_bytes: int = 64 << 20
    max_megapixels: float = 64.0
    decode_seconds: float = 30.0
    seconds: float = 300.0
    workers: int = 2
    waiting: int = 32
    pictures: int = 256
    keep_minutes: float = 60.0
    warm_megapixels: float = 48.0


@dataclass(frozen=True)
class FindingNote:
    """What the person at the screen says about a finding, or about the picture where `evidence_id` is ""."""

    evidence_id: str
    status: str
    text: str
    author: str
    time: str


@dataclass(eq=False)
class Picture:
    """One upload: a random id nobody can guess, its bytes on disk, its examination without maps, what was said on it.

    `lock` is held while its conversation answers. `notes` are appended in order.
    """

    id: str
    name: str
    sha256: str
    size: int
    path: Path
    examination: Examination
    notes: list[FindingNote] = field(default_factory=list)
    conversation: Conversation | None = None
    writer_name: str = ""
    used: float = field(default_factory=time.monotonic)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)


class PictureStore:
    """See the module.

    Args:
        private: where bytes and maps lie.
        limits: how much is kept.
    """

    def __init__(self, private: PrivateFolder, limits: ServiceLimits) -> None:
        self._private = private
        self._limits = limits
        self._lock = threading.RLock()
        self._pictures: OrderedDict[str, Picture] = OrderedDict()  # used last at the end, as in the others
        self._examinations: OrderedDict[str, Examination] = OrderedDict()
        self._map_sights: dict[str, MapSight | None] = {}  # of the examinations that are kept
        self._sources: OrderedDict[str, SourceImage] = OrderedDict()

    def __len__(self) -> int:
        with self._lock:
            return len(self._pictures)

    def get(self, picture_id: str) -> Picture:
        """Raises UnknownPictureError."""
        with self._lock:
            found = self._pictures.get(picture_id)
            if found is None:
                raise UnknownPictureError("no such picture; it was deleted or never uploaded, so upload it again")
            found.used = time.monotonic()
            self._pictures.move_to_end(picture_id)
            return found

    def add(self, data: bytes, name: str, examination: Examination) -> Picture:
        """Stores an upload under a new id. Raises BusyError: the disk does not take it."""
        picture_id = secrets.token_urlsafe(18)
        path = self._private.upload_path(picture_id, name)
        try:
            path.write_bytes(data)
        except OSError as error:
            self._private.forget_upload(picture_id)
            raise BusyError(f"the upload cannot be stored ({error.strerror or error}); try again later", 60) from None
        picture = Picture(picture_id, name, examination.source.sha256, len(data), path, examination)
        with self._lock:
            self._pictures[picture_id] = picture
            surplus = list(self._pictures)[: max(0, len(self._pictures) - self._limits.pictures)]
        for old in surplus:
            self.forget(old)
        return picture

    def forget(self, picture_id: str) -> None:
        """Deletes an upload and what was made of it, where no other upload has the same bytes."""
        with self._lock:
            picture = self._pictures.pop(picture_id, None)
            if picture is None:
                return
            if not any(p.sha256 == picture.sha256 for p in self._pictures.values()):
                self._sources.pop(picture.sha256, None)
                self._examinations.pop(picture.sha256, None)
                self._map_sights.pop(picture.sha256, None)
                self._private.forget_map(picture.sha256)
        self._private.forget_upload(picture_id)

    def forget_unused(self, seconds: float) -> int:
        """Deletes uploads unused for so long; returns how many."""
        limit = time.monotonic() - seconds
        with self._lock:
            old = [p.id for p in self._pictures.values() if p.used < limit]
        for picture_id in old:
            self.forget(picture_id)
        return len(old)

    def clear(self) -> None:
        with self._lock:
            self._pictures.clear()
            self._sources.clear()
            self._examinations.clear()
            self._map_sights.clear()

    def examination(self, sha256: str) -> Examination | None:
        """The examination of these bytes, under the name of whoever sent them first."""
        with self._lock:
            found = self._examinations.get(sha256)
            if found is not None:
                self._examinations.move_to_end(sha256)
            return found

    def map_sight(self, sha256: str) -> MapSight | None:
        """What stands out on the expert's map of these bytes; None where there is none, or it is not known any more."""
        with self._lock:
            return self._map_sights.get(sha256)

    def keep_examination(self, examination: Examination, map_sight: MapSight | None = None) -> None:
        with self._lock:
            self._examinations[examination.source.sha256] = examination
            self._map_sights[examination.source.sha256] = map_sight
            while len(self._examinations) > self._limits.pictures:
                gone, _ = self._examinations.popitem(last=False)
                self._map_sights.pop(gone, None)

    def source(self, sha256: str, name: str) -> SourceImage | None:
        """The pixels if they are still there, under this name."""
        with self._lock:
            found = self._sources.get(sha256)
            if found is None:
                return None
            self._sources.move_to_end(sha256)
        return found if found.name == name else renamed(found, name)

    def keep_source(self, source: SourceImage) -> None:
        """Keeps pixels, and lets go of those used longest ago beyond the budget."""
        with self._lock:
            self._sources[source.sha256] = source
            self._sources.move_to_end(source.sha256)
            total, gone = 0.0, set()
            for sha256, kept in reversed(list(self._sources.items())):
                total += kept.megapixels
                if total > self._limits.warm_megapixels and kept is not source:
                    del self._sources[sha256]
                    gone.add(sha256)
            cold = [p for p in self._pictures.values() if p.sha256 in gone and p.conversation is not None]
        for picture in cold:
            let_go(picture)


def let_go(picture: Picture) -> None:
    """Takes the pixels out of a conversation while nobody talks; `Service.conversation` puts them back in."""
    if picture.lock.acquire(blocking=False):
        try:
            if picture.conversation is not None:
                vars(picture.conversation).pop("source", None)
        finally:
            picture.lock.release()
