"""The Batch tab: several pictures, a table with thumbnails, sorted by verdict, as CSV; going on where it stopped.

Only wiring: batches are `batches`'. Left out: searching folders of the machine, which a page must not name.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from app import fragments
from app.batches import BatchRow, add_pictures, batch_csv, batch_rows, list_batches, run_batch, sorted_rows
from app.errors import AppError
from app.investigate_page import QUIET, html, problem, take_upload, upload_box
from app.service import Service
from app.viewer import read
from fakeexplain.errors import FakeExplainError


def build_tab(service: Service) -> None:
    """The tab's content."""

    def file(request: dict[str, Any]) -> dict[str, str]:
        made = batch_csv(service, str(request.get("id", "")))
        data = base64.b64encode(made.data).decode()
        return {"name": made.name, "media_type": made.media_type, "sha256": made.sha256, "data": data}

    def add(paths: Sequence[str] | None, name: str | None) -> Any:
        skip = gr.skip()
        if not paths:
            return skip, skip, skip, skip
        chosen = (name or "").strip() or f"batch {datetime.now():%Y-%m-%d %H.%M.%S}"
        try:
            rows = add_pictures(service, chosen, (take_upload(path) for path in paths))
        except FakeExplainError as error:
            return None, skip, skip, problem(error)
        names = gr.update(choices=list(list_batches(service)), value=chosen)
        return None, names, _table(rows, chosen), _said(rows, "Ready.")

    def show(name: str | None) -> Any:
        if not name:
            return "", ""
        try:
            rows = batch_rows(service, name)
        except FakeExplainError as error:
            return "", problem(error)
        return _table(rows, name), _said(rows, "")

    def run(name: str | None) -> Iterator[Any]:
        try:
            if not name:
                raise AppError("no batch is open; drop pictures first, or choose one")
            rows = {row.name: row for row in batch_rows(service, name)}
            yield gr.skip(), _said(tuple(rows.values()), "Examining …", busy=True)
            for row in run_batch(service, name):
                rows[row.name] = row
                yield _table(tuple(rows.values()), name), _said(tuple(rows.values()), "Examining …", busy=True)
            yield _table(tuple(rows.values()), name), _said(tuple(rows.values()), "Finished.")
        except FakeExplainError as error:
            yield gr.skip(), problem(error)

    with gr.Column(elem_classes=["fx-batch"]):
        drop = upload_box("fx-many", "Pictures of the batch", "multiple")
        with gr.Row(elem_classes=["fx-row"]):
            batch = gr.Dropdown(
                list(list_batches(service)),
                value=None,
                label="Batch (a name before you drop pictures, or one to go on with)",
                allow_custom_value=True,
                elem_id="fx-batch-name",
            )
            start = gr.Button("Examine all", variant="primary", elem_id="fx-batch-start")
            stop = gr.Button("Stop", elem_id="fx-batch-stop")
        message = html("", "fx-batch-message")
        table = gr.HTML(
            "",
            apply_default_css=False,
            js_on_load=read("files.js"),
            server_functions=[file],
            elem_id="fx-batch-table",
            elem_classes=["fx-bare", "fx-quiet"],
        )
    drop.upload(add, [drop, batch], [drop, batch, table, message], **QUIET)
    batch.change(show, [batch], [table, message], **QUIET)
    running = start.click(run, [batch], [table, message], **QUIET)
    stop.click(
        lambda: fragments.status("Stopped. What is done is kept; “Examine all” goes on.", "done"),
        None,
        [message],
        cancels=[running],
        **QUIET,
    )


def _table(rows: Sequence[BatchRow], name: str) -> str:
    ordered = sorted_rows(rows)
    return fragments.batch_table(ordered, {r.name: uri for r in ordered if (uri := _thumbnail(r))}, name)


def _thumbnail(row: BatchRow) -> str:
    """A small picture as a data URI, "" where there is none."""
    try:
        data = Path(row.thumbnail).read_bytes() if row.thumbnail else b""
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else ""


def _said(rows: Sequence[BatchRow], words: str, *, busy: bool = False) -> str:
    done = sum(r.state != "waiting" for r in rows)
    failed = sum(r.state == "failed" for r in rows)
    count = f"{done - failed} of {len(rows)} pictures examined" + (f", {failed} could not be" if failed else "") + "."
    return fragments.batch_status(words, count, done, len(rows), busy=busy)
