"""The picture viewer: a canvas with slider, tint, outlines, map, zoom and the tools to point at a place.

One `gr.HTML` with our own template, style and script. Its value is small: {"id", "key", "select"}. The scene itself
(picture, map, outlines) it fetches once for each key, and where the screen shows more than the overview holds, the
visible part of the source without loss. Left out: what is in a scene (`scenes`), and any judgement.

Events for the page: `region` {"id", "kind": "box" or "brush", "box" or "mask"} and `refine` {"id", "x", "y", "add",
"selected"}. Choosing a finding stays in the browser: a document event `fx:select` that all parts of the page listen to.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib import resources
from typing import Any

import gradio as gr

from app.layers import jpeg_bytes, png_bytes

Value = dict[str, str]
NOTHING: Value = {"id": "", "key": "", "select": ""}


def viewer(
    scene: Callable[[dict[str, Any]], dict[str, Any]], crop: Callable[[dict[str, Any]], dict[str, Any]], elem_id: str
) -> gr.HTML:
    """A viewer component.

    Args:
        scene: {"id"} -> a scene, see `scenes.scene_of`.
        crop: {"id", "box": xyxy in source pixels} -> {"box", "picture": data URI without loss}.
        elem_id: of the component.
    """

    # The names below are those by which the script calls them.
    def serve_scene(request: dict[str, Any]) -> dict[str, Any]:
        return scene(request)

    def serve_crop(request: dict[str, Any]) -> dict[str, Any]:
        return crop(request)

    serve_scene.__name__, serve_crop.__name__ = "scene", "crop"
    return gr.HTML(
        value=dict(NOTHING),
        html_template=read("viewer.html"),
        js_on_load=read("viewer.js") + read("tools.js"),
        apply_default_css=False,
        server_functions=[serve_scene, serve_crop],
        elem_id=elem_id,
        elem_classes=["fx-viewer-block"],
        label="Picture viewer",
    )


def read(name: str) -> str:
    """A file of this package as text."""
    return resources.files("app.viewer").joinpath(name).read_text("utf-8")


def data_uri(rgb: Any, *, lossless: bool) -> str:
    """uint8 hxwx3 or hxw as a data URI: PNG, or JPEG of quality 92."""
    kind, content = ("png", png_bytes(rgb)) if lossless else ("jpeg", jpeg_bytes(rgb))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


__all__ = ["NOTHING", "Value", "data_uri", "read", "viewer"]
