"""What the annotation page asks for: plain dictionaries in and out, no gradio types.

One entry, `Workbench.call`, takes {"do": name, ...} and answers {"ok": True, ...} or {"ok": False, "error": words}.
What may be seen and done is decided by the store (blind mode too). Pixels of the pictures used last are kept, so that
zooming does not decode again. Deliberately left out: the page (`annotate_page`), views as JSON (`annotate_views`), and
who somebody is: a name is taken as given.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app.annotate_views import VERDICT_WORDS, data_uri, mask_from_page, mask_size, review_json
from app.layers import shown_picture
from data_tools.review_agreement import agreement
from data_tools.review_grounding import check_edit
from data_tools.review_import import picture_path
from data_tools.review_rows import ReviewView
from data_tools.review_state import REJECT_REASONS, SKIP_REASONS, VERDICTS, ReviewError
from data_tools.review_statistics import personal_progress, progress, task_list
from data_tools.review_store import ReviewStore, Stamp
from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.imaging.worker import Limits, load_guarded

DECODE = Limits(seconds=30.0, max_megapixels=64.0)
_LOSSLESS_MEGAPIXELS = 1.6  # overviews up to this size are PNG; of larger pictures `crop` gives the very pixels
_MOST_CROP = 6_500_000
_KEPT = 3  # decoded pictures
_CHANGE_MASKS = ("undo", "draft_mask", "reveal", "reopen")  # actions after which the page needs the mask
_log = logging.getLogger("fakeexplain.app")


def read_picture(path: Path, sha256: str) -> np.ndarray:
    """uint8 HxWx3 of a picture, decoded in the guarded process.

    Raises:
        SourceError: gone, changed since it was imported, or unreadable.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"the picture cannot be read ({error.strerror or error}); was it moved?") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceError("the picture's file was changed since it was imported; skip it and tell whoever imported it")
    source: SourceImage = load_guarded(data, DECODE, name="picture")
    return source.display_rgb


class Workbench:
    """The handlers over one database; thread-safe.

    Args:
        database: of the reviews; opened when it is first needed, so that a page can be shown before there is one.
        read: (path, sha256) -> uint8 HxWx3.

    Raises (by `call`): nothing; every FakeExplainError becomes an answer.
    """

    def __init__(self, database: Path, read: Callable[[Path, str], np.ndarray] = read_picture) -> None:
        self.path = database
        self._read = read
        self._store: ReviewStore | None = None
        self._lock = threading.Lock()
        self._decoding = threading.Lock()
        self._pixels: OrderedDict[str, np.ndarray] = OrderedDict()
        self._doing: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "next": self._next,
            "open": self._open,
            "picture": self._picture,
            "crop": self._crop,
            "act": self._act,
            "list": self._list,
            "adjudicate": self._adjudicate,
            "figures": self._figures,
        }

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._store = None

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answers one request; see the module."""
        try:
            do = self._doing.get(str(request.get("do")))
            if do is None:
                raise ReviewError(f"unknown request {request.get('do')!r}")
            return {"ok": True} | do(request)
        except FakeExplainError as error:
            return {"ok": False, "error": str(error)}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            _log.exception("a request of the annotation page failed")
            return {"ok": False, "error": f"the request is incomplete ({type(error).__name__}); reload the page"}

    def store(self) -> ReviewStore:
        """Raises SourceError where there is no database yet."""
        with self._lock:
            if self._store is None:
                self._store = ReviewStore(self.path, checker=check_edit)
            return self._store

    def _known(self, request: dict[str, Any]) -> tuple[ReviewStore, int]:
        """The store and who asks. Raises ReviewError for nobody known."""
        store, annotator = self.store(), int(request["annotator"])
        store.need_annotator(annotator)
        return store, annotator

    # ---- requests

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        """Who is there: {"name"} -> {"annotator", "progress", words of the page}."""
        store = self.store()
        annotator = store.annotator(str(request.get("name") or ""))
        return {
            "annotator": annotator,
            "progress": personal_progress(store, annotator),
            "verdicts": [{"code": code, "words": VERDICT_WORDS[code]} for code in VERDICTS],
            "reject_reasons": [{"code": code, "words": words} for code, words in REJECT_REASONS.items()],
            "skip_reasons": [{"code": code, "words": words} for code, words in SKIP_REASONS.items()],
        }

    def _next(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next review of this person, or {"review": None}."""
        store, annotator = self._known(request)
        view = store.next_review(annotator)
        return {"review": None if view is None else review_json(view), "progress": personal_progress(store, annotator)}

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        """A review by its id, or a task by its number: {"annotator", "review" or "task"}."""
        store, annotator = self._known(request)
        if request.get("review") is not None:
            view = store.view(int(request["review"]), annotator)
        else:
            view = store.open_task(int(request["task"]), annotator)
        return {"review": review_json(view), "progress": personal_progress(store, annotator)}

    def _adjudicate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begins or goes on with an adjudication: {"annotator", "task"}; without a task the first disputed one."""
        store, annotator = self._known(request)
        task = request.get("task")
        if task is None:
            waiting = task_list(store, annotator_id=annotator, outcome="disputed", limit=1)
            if not waiting:
                return {"review": None, "progress": personal_progress(store, annotator)}
            task = waiting[0]["task"]
        view = store.adjudicate(int(task), annotator)
        return {"review": review_json(view), "progress": personal_progress(store, annotator)}

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        store = self.store()
        rows = task_list(
            store, annotator_id=int(request["annotator"]), offset=int(request.get("offset") or 0), limit=200
        )
        return {"tasks": rows}

    def _figures(self, request: dict[str, Any]) -> dict[str, Any]:
        """Progress of all and agreement; annotators by number."""
        store = self.store()
        return {"all": progress(store).to_dict() | {"people": []}, "agreement": agreement(store).to_dict()}

    def _picture(self, request: dict[str, Any]) -> dict[str, Any]:
        """Overview of a picture: {"task"} -> {"picture": data URI, "width", "height", "lossless", "mask_size"}."""
        rgb = self._rgb(int(request["task"]))
        small = shown_picture(rgb, 2048)
        lossless = small.shape[0] * small.shape[1] <= _LOSSLESS_MEGAPIXELS * 1e6
        height, width = rgb.shape[:2]
        return {
            "picture": data_uri(small, lossless=lossless),
            "width": width,
            "height": height,
            "lossless": lossless and small.shape == rgb.shape,
            "mask_size": list(mask_size(height, width)),
        }

    def _crop(self, request: dict[str, Any]) -> dict[str, Any]:
        """A part at its own pixels, without loss: {"task", "box": xyxy}."""
        rgb = self._rgb(int(request["task"]))
        x0, y0, x1, y1 = (int(v) for v in request["box"])
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, rgb.shape[1]), min(y1, rgb.shape[0])
        if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) > _MOST_CROP:
            raise ReviewError(f"part {x0}, {y0}, {x1}, {y1}: wanted one inside the picture of at most 6.5 megapixels")
        return {"box": [x0, y0, x1, y1], "picture": data_uri(np.ascontiguousarray(rgb[y0:y1, x0:x1]), lossless=True)}

    def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        """One action: {"annotator", "review", "what", "seconds", "id", "after", and what it needs}; see `ReviewStore`.

        The answer holds what the action may have changed and the page does not know already. A refused action answers
        with the whole review as it stands, so that the page shows what is stored.
        """
        store, annotator = self._known(request)
        review = int(request["review"])
        after = request.get("after")
        stamp = Stamp(
            float(request.get("seconds") or 0), str(request["id"])[:80], None if after is None else int(after)
        )
        try:
            view = self._acted(store, review, annotator, request, stamp)
        except ReviewError as error:
            view = store.view(review, annotator)
            return {"ok": False, "error": str(error), "review": review_json(view)}
        what = request.get("what")
        found = review_json(view, mask=what in _CHANGE_MASKS, draft=what == "reveal")
        return {"review": found, "progress": personal_progress(store, annotator)}

    def _acted(
        self, store: ReviewStore, review: int, annotator: int, request: dict[str, Any], stamp: Stamp
    ) -> ReviewView:
        what = request.get("what")
        if what == "claim":
            values = {key: request.get(key) for key in ("decision", "text", "reason", "note")}
            return store.decide(review, annotator, int(request["claim"]), values, stamp)
        if what == "verdict":
            return store.set_verdict(review, annotator, request.get("verdict"), stamp)
        if what == "mask":
            view = store.view(review, annotator)
            mask = mask_from_page(request["mask"], view.height, view.width)
            return store.set_mask(review, annotator, mask, stamp)
        if what == "note":
            return store.set_note(review, annotator, str(request.get("text") or ""), stamp)
        if what == "skip":
            return store.skip(review, annotator, str(request.get("reason")), stamp)
        plain = {
            "draft_mask": store.take_draft_mask,
            "reveal": store.reveal,
            "finish": store.finish,
            "reopen": store.reopen,
            "undo": store.undo,
        }
        if what not in plain:
            raise ReviewError(f"unknown action {what!r}")
        return plain[what](review, annotator, stamp)

    def _rgb(self, task_id: int) -> np.ndarray:
        path, sha256 = picture_path(self.store(), task_id)
        with self._decoding:
            if sha256 not in self._pixels:
                self._pixels[sha256] = self._read(path, sha256)
            self._pixels.move_to_end(sha256)
            while len(self._pixels) > _KEPT:
                self._pixels.popitem(last=False)
            return self._pixels[sha256]
