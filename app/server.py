"""The HTTP server: FastAPI over the handlers, the page mounted at /, everything behind `guard`.

    POST   /v1/examine                          picture in, examination and links out
    GET    /v1/pictures/ID                      what the page shows of it; DELETE deletes it
    GET    /v1/pictures/ID/evidence/E1[.png]    a piece of evidence: figures, polygons, run lengths; or its layer
    GET    /v1/pictures/ID/files/KIND           report, JSON, mask, ... to take away
    POST   /v1/chat/completions, GET /v1/models see `openai_api`
    ANY    /mcp                                 see `mcp_tools`
    GET    /healthz, /openapi.json, /docs, /login

Left out: TLS, users and their rights. Heavy modules are imported when first used, so that the first page comes quickly.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.errors import AppError, TaskCancelledError
from app.guard import Guard, error_body
from app.security import TOKEN_COOKIE, Gatekeeper, bearer
from app.service import Service
from app.tasks import Task
from fakeexplain import __version__
from fakeexplain.errors import FakeExplainError, ImageTooLargeError, SourceError, UnsupportedImageError, WriterError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_log = logging.getLogger("fakeexplain.app")
_POLL_SECONDS = 0.05


def create_app(
    service: Service,
    gatekeeper: Gatekeeper,
    *,
    page: bool = True,
    mcp: bool = True,
    idle_seconds: float = 20.0,
    reviews: Path | None = None,
) -> ASGIApp:
    """The whole server as an ASGI app; it closes the service when it ends.

    Args:
        page: mount the page (`app.page`); without it, / says what there is.
        mcp: serve the MCP tools over HTTP at /mcp.
        idle_seconds: the longest pause within a request's body.
        reviews: database of the annotations, see `annotate_page.build_tab`.
    """
    mcp_app = None
    if mcp:
        from app.mcp_tools import http_app

        mcp_app = http_app(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if mcp_app is not None:
                await stack.enter_async_context(mcp_app.router.lifespan_context(mcp_app))
            service.warm_up()
            yield
        await run_in_threadpool(service.close)

    api = FastAPI(
        title="fakeexplain",
        version=__version__,
        description="Was this photograph altered: where, why, how sure, and what cannot be told.",
        docs_url=None,  # both would load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_errors(api)
    _add_routes(api, service, gatekeeper)
    from app.openai_api import add_routes

    add_routes(api, service)
    if mcp_app is not None:
        api.router.routes.extend(mcp_app.routes)
    if page:
        _mount_page(api, service, reviews)
    else:
        api.get("/", include_in_schema=False)(lambda: HTMLResponse(_page("fakeexplain", _NO_PAGE)))
    most = service.limits.max_bytes
    return Guard(
        api,
        gatekeeper,
        api_bytes=most * 4 // 3 + (1 << 20),  # a data URL is a third longer than its bytes
        page_bytes=8 * most + (1 << 20),  # several files at once
        idle_seconds=idle_seconds,
    )


def _mount_page(api: FastAPI, service: Service, reviews: Path | None) -> None:
    """Gradio's page at /; what its upload box writes lies in the private folder."""
    os.environ["GRADIO_TEMP_DIR"] = str(service.private.path / "gradio")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    from app import page

    gradio.mount_gradio_app(
        api,
        page.build(service, reviews),
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=True,
        max_file_size=service.limits.max_bytes,
        **page.mount_options(),
    )


def _add_routes(api: FastAPI, service: Service, gatekeeper: Gatekeeper) -> None:
    from app import exports, handlers

    @api.get("/healthz", tags=["server"])
    def healthz(request: Request) -> dict[str, Any]:
        """Whether the server lives, and how busy it is. Needs no token; with one set, a stranger learns only that."""
        health = service.health()
        offered, address = bearer(request.headers.get("authorization")), request.client.host if request.client else ""
        if gatekeeper.token is None or (offered and not gatekeeper.wait_for(address)):
            if gatekeeper.token_allowed(offered):
                return health
            gatekeeper.failed(address)  # no place to guess tokens unseen
        return {"status": health["status"]}

    @api.post("/v1/examine", tags=["pictures"], openapi_extra=_EXAMINE_BODY)
    async def examine(request: Request) -> Response:
        """Examines a picture: multipart form with one file, or the bytes themselves with `X-Filename`.

        Answers with the examination as JSON, the id of the upload and links to everything made of it.
        """
        data, name = await _upload(request)
        task = service.submit_examination(data, name)
        picture = await finish(request, task)
        return Response(await run_in_threadpool(_examined, picture), media_type="application/json")

    @api.get("/v1/pictures/{picture_id}", tags=["pictures"])
    def view(picture_id: str) -> dict[str, Any]:
        """What a page shows of a picture."""
        return handlers.view(service, picture_id).to_dict()

    @api.delete("/v1/pictures/{picture_id}", tags=["pictures"], status_code=204)
    def forget(picture_id: str) -> None:
        """Deletes an upload and all that was made of it now, not only after a while."""
        service.picture(picture_id)
        service.forget(picture_id)

    @api.get("/v1/pictures/{picture_id}/evidence/{evidence_id}", tags=["pictures"])
    def evidence(picture_id: str, evidence_id: str) -> dict[str, Any]:
        """A piece of evidence and its regions: polygons and run lengths in pixels of the upright picture."""
        from dataclasses import asdict

        chosen = handlers.select_evidence(service, picture_id, evidence_id)
        return {"evidence": asdict(chosen.item), "regions": [layer.to_dict() for layer in chosen.layers]}

    @api.get("/v1/pictures/{picture_id}/overlay.png", tags=["pictures"])
    def overlay(picture_id: str, opacity: float = 0.35, threshold: float | None = None) -> Response:
        """The picture with the mask drawn on it; with a threshold, the map above it."""
        from app.layers import png_bytes

        drawn = handlers.overlay_picture(service, picture_id, opacity=opacity, threshold=threshold)
        return Response(png_bytes(drawn), media_type="image/png")

    @api.get("/v1/pictures/{picture_id}/files/{kind}", tags=["pictures"])
    def file(picture_id: str, kind: str) -> Response:
        """A file to take away; its sha256 is in `X-Content-SHA256`."""
        made = exports.export(service, picture_id, kind)
        ascii_name = made.name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
        headers = {"X-Content-SHA256": made.sha256, "Content-Disposition": f'attachment; filename="{ascii_name}"'}
        return Response(made.data, media_type=made.media_type, headers=headers)

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_page("The API", _docs(api.openapi())))

    @api.get("/login", include_in_schema=False)
    def login_form() -> HTMLResponse:
        return HTMLResponse(_page("Token", _LOGIN), headers={"Content-Security-Policy": _LOGIN_POLICY})

    @api.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        address = request.client.host if request.client else ""
        wait = gatekeeper.wait_for(address)
        if wait:
            raise HTTPException(429, f"too many wrong tokens; wait {wait} s", {"Retry-After": str(wait)})
        async with request.form(max_files=0, max_fields=2) as form:
            offered = str(form.get("token", ""))
        if not gatekeeper.token_allowed(offered):
            gatekeeper.failed(address)
            raise HTTPException(401, "wrong token")
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(TOKEN_COOKIE, offered, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer


async def _upload(request: Request) -> tuple[bytes, str | None]:
    """(bytes exactly as sent, name as given). Raises AppError."""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=8, max_part_size=1 << 16) as form:
            files = [v for v in form.values() if isinstance(v, UploadFile)]
            if not files:
                raise AppError("the form holds no file; send one picture, say: curl -F file=@photo.jpg URL")
            return await files[0].read(), files[0].filename
    data = await request.body()
    if not data:
        raise AppError("the request is empty; send the bytes of a picture, or a form with one file")
    return data, request.headers.get("x-filename")


async def finish(request: Request, task: Task[Any]) -> Any:
    """Waits for a task; a client that hangs up cancels it."""
    try:
        while not task.done.is_set():
            if await request.is_disconnected():
                raise TaskCancelledError("the client hung up")
            await asyncio.sleep(_POLL_SECONDS)
        return task.result()
    finally:
        task.cancel()


def _examined(picture: Any) -> bytes:
    base = f"/v1/pictures/{picture.id}"
    links = {
        "self": base,
        "evidence": {e.id: f"{base}/evidence/{e.id}" for e in picture.examination.evidence},
        "overlay": f"{base}/overlay.png",
        "files": {kind: f"{base}/files/{kind}" for kind in ("html", "pdf", "json", "mask", "map", "zip")},
    }
    head = json.dumps({"id": picture.id, "links": links})
    return head[:-1].encode() + b', "examination": ' + picture.examination.model_dump_json().encode() + b"}"


def _add_errors(api: FastAPI) -> None:
    """Every error in one form (`guard.error_body`); what was not foreseen says nothing about the inside."""

    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, FakeExplainError)
        status, code, retry = status_of(error)
        headers = {"Retry-After": str(retry)} if retry else None
        return JSONResponse(error_body(status, code, str(error)), status, headers)

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse(error_body(error.status_code, "http", str(error.detail)), error.status_code, error.headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(p) for p in first.get("loc", ()))
        return JSONResponse(error_body(422, "invalid_request", f"{where}: {first.get('msg', 'is not valid')}"), 422)

    async def gone(_: Request, __: Exception) -> Response:
        return JSONResponse(error_body(400, "incomplete", "the request ended before it was complete"), 400)

    async def unknown(request: Request, error: Exception) -> Response:
        _log.error("request failed: %s %s", request.method, request.url.path, exc_info=error)
        return JSONResponse(error_body(500, "internal", "this failed inside the program; its log says why"), 500)

    api.add_exception_handler(FakeExplainError, known)
    api.add_exception_handler(HTTPException, http)
    api.add_exception_handler(RequestValidationError, invalid)
    api.add_exception_handler(ClientDisconnect, gone)
    api.add_exception_handler(Exception, unknown)


def status_of(error: FakeExplainError) -> tuple[int, str, int | None]:
    """(HTTP status, machine name, seconds to wait or None) of an error."""
    if isinstance(error, AppError):
        return error.status, error.code, error.retry_after
    if isinstance(error, WriterError):
        return 502, "writer_failed", None
    if isinstance(error, ImageTooLargeError):
        return 413, "too_many_pixels", None
    if isinstance(error, UnsupportedImageError):
        return 415, "unsupported_image", None
    return (422, "unreadable_image", None) if isinstance(error, SourceError) else (400, "bad_request", None)


_LOGIN_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
_LOGIN = (
    '<h1>Token</h1><form method="post" action="/login"><label for="token">The token this server was started with'
    '</label><p><input id="token" name="token" type="password" autocomplete="off" required autofocus> '
    "<button>Open</button></p></form>"
)
_NO_PAGE = (
    "<h1>fakeexplain</h1><p>The API runs; the page is switched off. See <a href='/docs'>what it answers</a> and "
    "<a href='/healthz'>how it is</a>.</p>"
)
_EXAMINE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:3rem auto;"
    "padding:0 1rem}code{font-size:.95em}dt{margin-top:1rem}"
)


def _page(title: str, body: str) -> str:
    """A small page without scripts. body: trusted markup."""
    return (
        f'<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _docs(schema: dict[str, Any]) -> str:
    """The OpenAPI description as a page."""
    rows = []
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            words = html.escape(about.get("description") or about.get("summary", ""))
            rows.append(f"<dt><code>{method.upper()} {html.escape(path)}</code></dt><dd>{words}</dd>")
    about = html.escape(schema["info"]["description"])
    return (
        f"<h1>fakeexplain {html.escape(schema['info']['version'])}</h1><p>{about}</p><p>For programs: "
        f'<a href="/openapi.json">openapi.json</a>. Errors are <code>{{"error": {{"message", "type", "code"}}}}</code>.'
        f"</p><dl>{''.join(rows)}</dl>"
    )
