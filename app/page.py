"""The page: a head and four tabs. `build` makes it, `mount_options` says how it looks; the server mounts it.

    gr.mount_gradio_app(server, build(service), path="/", **mount_options())

Left out: everything a tab does (`investigate_page`, `compare_page`, `batch_page`, `annotate_page`).
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import gradio as gr

from app import annotate_page, batch_page, compare_page, fragments
from app.investigate_page import InvestigateTab
from app.service import Service
from app.theme import page_options

_AT_ONCE = 32  # handlers of one kind; the work itself waits in the service's own queue


def build(service: Service, reviews: Path | None = None) -> gr.Blocks:
    """The whole page over one service. reviews: database of the annotations, see `annotate_page.build_tab`."""
    seconds = max(60, int(60 * service.limits.keep_minutes))
    with gr.Blocks(
        title="fakeexplain", analytics_enabled=False, fill_width=True, delete_cache=(min(seconds, 600), seconds)
    ) as page:
        gr.HTML(fragments.header(), apply_default_css=False, js_on_load=None)
        with gr.Tabs(elem_id="fx-tabs"):
            with gr.Tab("Investigate", id="investigate"):
                investigate = InvestigateTab(service)
            with gr.Tab("Compare", id="compare"):
                compare_page.build_tab(service, investigate.session)
            with gr.Tab("Batch", id="batch"):
                batch_page.build_tab(service)
            with gr.Tab("Annotate", id="annotate"):
                workbench = annotate_page.build_tab(service, reviews)
    weakref.finalize(page, workbench.close)
    page.queue(default_concurrency_limit=_AT_ONCE, api_open=False)
    return page


def mount_options() -> dict[str, Any]:
    """theme, css and head for `gr.mount_gradio_app`."""
    return page_options()
