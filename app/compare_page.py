"""The Compare tab: a picture beside its alleged original; registered difference, mask from the pair, both examinations.

Only wiring: what differs is `comparing`'s. Left out: which of the two was first, which the person at the screen says.
"""

from __future__ import annotations

import base64
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from app import fragments, handlers
from app.comparing import CompareView, compare_events
from app.errors import AppError
from app.investigate_page import QUIET, Session, html, problem, take_upload, upload_box
from app.service import Progress, Service
from app.viewer import data_uri, read, viewer
from fakeexplain.errors import FakeExplainError

_MOST_KEPT = 16


class Kept:
    """The comparisons made last, by a random id; the viewer fetches their pictures from here."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, CompareView] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, view: CompareView) -> str:
        token = secrets.token_urlsafe(18)
        with self._lock:
            self._views[token] = view
            while len(self._views) > _MOST_KEPT:
                self._views.popitem(last=False)
        return token

    def get(self, token: str) -> CompareView:
        """Raises AppError."""
        with self._lock:
            if token not in self._views:
                raise AppError("this comparison is no longer kept; compare again")
            return self._views[token]


def build_tab(service: Service, investigated: gr.State) -> None:
    """The tab's content; `investigated` is the Investigate tab's session, whose picture can be the questioned one."""
    kept = Kept()

    def scene(request: dict[str, Any]) -> dict[str, Any]:
        token = str(request.get("id", ""))
        view = kept.get(token)
        return scene_of_pair(view, handlers.plain_picture(service, view.questioned.id), token)

    def crop(request: dict[str, Any]) -> dict[str, Any]:
        raise AppError("a comparison has no finer picture; open the files that can be taken away")

    def file(request: dict[str, Any]) -> dict[str, str]:
        files = kept.get(str(request.get("id", ""))).files
        index = request.get("index")
        if not isinstance(index, int) or not 0 <= index < len(files):
            raise AppError("no such file of this comparison")
        made = files[index]
        return {
            "name": made.name,
            "media_type": made.media_type,
            "sha256": made.sha256,
            "data": base64.b64encode(made.data).decode(),
        }

    def run(original: str | None, questioned: str | None, session: Session) -> Iterator[Any]:
        skip = gr.skip()
        pictures: list[str] = []
        try:
            if not original or not (questioned or session["picture"]):
                raise AppError("two pictures are needed: drop the original, and the questioned one or open it first")
            for path in (original, questioned):
                if path is None:
                    pictures.append(session["picture"])
                    continue
                name, data = take_upload(path)
                for event in handlers.examine_events(service, data, name):
                    if isinstance(event, Progress):
                        yield skip, skip, fragments.progress(event, name), skip, skip
                    else:
                        pictures.append(event.id)
            yield None, None, fragments.status("Laying one picture on the other …", "busy"), skip, skip
            for found in compare_events(service, pictures[0], pictures[1]):
                if isinstance(found, CompareView):
                    token = kept.add(found)
                    value = {"id": token, "key": token, "select": ""}
                    line = fragments.comparison_line(found)
                    yield None, None, line, fragments.comparison(found, token), value
        except FakeExplainError as error:
            yield None, None, problem(error), skip, skip

    with gr.Column(elem_classes=["fx-compare"]):
        with gr.Row(elem_classes=["fx-row"]):
            first = upload_box("fx-original", "Alleged original")
            second = upload_box("fx-questioned", "Questioned picture")
        start = gr.Button("Compare", variant="primary", elem_id="fx-compare-start")
        message = html("", "fx-compare-message")
        pair = viewer(scene, crop, "fx-pair-viewer")
        result = gr.HTML(
            "",
            apply_default_css=False,
            js_on_load=read("files.js"),
            server_functions=[file],
            elem_id="fx-comparison",
            elem_classes=["fx-bare", "fx-quiet"],
        )
    start.click(run, [first, second, investigated], [first, second, message, result, pair], **QUIET)


def scene_of_pair(view: CompareView, questioned_rgb: np.ndarray, token: str) -> dict[str, Any]:
    """The viewer's scene of a comparison: left of the slider the original, right of it the questioned picture.

    questioned_rgb: uint8 hxwx3 at display size, without marks.
    """
    width, height = view.questioned.width, view.questioned.height
    return {
        "id": token,
        "name": view.questioned.name,
        "width": width,
        "height": height,
        "picture": data_uri(questioned_rgb, lossless=False),
        "second": data_uri(view.before, lossless=False),
        "second_name": "Original",
        "mode": "slider",
        "lossless": True,  # there is nothing finer to fetch
        "map": data_uri(view.difference, lossless=False),
        "map_coloured": True,
        "regions": [
            {
                "id": layer.id,
                "evidence": "",
                "label": layer.label,
                "words": layer.words,
                "box_xyxy": layer.box_xyxy,
                "area_fraction": layer.area_fraction,
                "polygons": layer.polygons,
                "colour": "#{:02x}{:02x}{:02x}".format(*layer.colour),
                "dashed": False,
                "shown": True,
            }
            for layer in view.places
        ],
    }
