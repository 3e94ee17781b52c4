"""The chat of the page for programs that speak OpenAI's API: `/v1/chat/completions` (streaming or not), `/v1/models`.

The picture comes as a data URL; a URL of another host is refused, for this server fetches nothing. An answer is that of
`Conversation`: each sentence with its citations, never a verdict from generated text. Beside the standard fields it
carries `fakeexplain`: verdict, ids, links. Requests are stateless as OpenAI's are: a conversation is recognised by its
picture and what was said so far. Accepted and without effect: temperature, top_p, max_tokens and other options of
sampling. Refused: tools, n > 1, other modalities.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from app.errors import AppError
from app.guard import error_body
from app.pictures import Picture
from app.service import Service
from app.tasks import Task
from fakeexplain.errors import FakeExplainError

if TYPE_CHECKING:
    from fakeexplain.records import Answer

MODEL = "fakeexplain"
_MOST_CONVERSATIONS = 64
_MOST_MESSAGES = 200
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)
_NO_PICTURE = (
    "no picture in this conversation; send one as an image_url with a data URL, say "
    "data:image/jpeg;base64,... in the first user message"
)
_SUFFIX = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/tiff": ".tif"}


class _ImageUrl(BaseModel):
    url: str


class _Part(BaseModel):
    type: str
    text: str | None = None
    image_url: _ImageUrl | None = None


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str) or self.content is None:
            return self.content or ""
        return "\n".join(p.text for p in self.content if p.type == "text" and p.text)

    @property
    def image(self) -> str | None:
        parts = self.content if isinstance(self.content, list) else []
        return next((p.image_url.url for p in reversed(parts) if p.image_url is not None), None)


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """What is read of a request; clients send much more, which has no effect here."""

    model_config = ConfigDict(extra="ignore")

    model: str = MODEL
    messages: list[_Message]
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: int | None = 1
    tools: list[Any] | None = None


class _Remembered:
    """Pictures by what was said about them so far, so that a stateless request goes on with its conversation."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def key(sha256: str, writer: str, said: Sequence[tuple[str, str]]) -> str:
        return hashlib.sha256(json.dumps([sha256, writer, list(said)]).encode()).hexdigest()

    def take(self, key: str) -> str | None:
        """The picture's id, once: of two requests that branch off, the second starts anew."""
        with self._lock:
            return self._ids.pop(key, None)

    def put(self, key: str, picture_id: str) -> list[str]:
        """Remembers; returns ids that are no longer remembered."""
        with self._lock:
            self._ids[key] = picture_id
            surplus = max(0, len(self._ids) - _MOST_CONVERSATIONS)
            return [self._ids.popitem(last=False)[1] for _ in range(surplus)]


def add_routes(api: FastAPI, service: Service) -> None:
    """Adds the routes to the server."""
    remembered = _Remembered()

    @api.get("/v1/models", tags=["chat"])
    def models() -> dict[str, Any]:
        """Who can word answers: `fakeexplain` is the default, `fakeexplain/NAME` a writer of the server."""
        return {"object": "list", "data": [_model(name) for name in model_names(service)]}

    @api.get("/v1/models/{name:path}", tags=["chat"])
    def model(name: str) -> Response:
        """One model."""
        if name not in model_names(service):
            return JSONResponse(error_body(404, "model_not_found", "no model of that name; see /v1/models"), 404)
        return JSONResponse(_model(name))

    @api.post("/v1/chat/completions", tags=["chat"], openapi_extra=_BODY)
    async def completions(request: Request) -> Response:
        """One answer about the picture of a conversation, in OpenAI's form; with `stream`, as server-sent events."""
        from app.server import finish

        asked = await run_in_threadpool(_parse, await request.body())
        writer = _writer_of(service, asked.model)
        data, name, said, question = await run_in_threadpool(_conversation, asked)
        task = service.submit(
            lambda task: _answer(task, service, remembered, data, name, said, question, writer), quick=False
        )
        if asked.stream:
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            events = task.events()
            picture = await _examined(request, task, events)  # until here an error is a status, not an event
            chunks = _stream(task, events, picture, asked.model, question, usage)
            return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        picture, answer = await finish(request, task)
        return JSONResponse(_completion(asked.model, picture, answer))


def model_names(service: Service) -> list[str]:
    return [MODEL, *(f"{MODEL}/{name}" for name in service.writers)]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "fakeexplain"}


def _writer_of(service: Service, model: str) -> str:
    if model not in model_names(service):
        raise _ModelError(f"no model {model[:80]!r}; wanted one of {', '.join(model_names(service))}")
    return next(iter(service.writers)) if model == MODEL else model.removeprefix(f"{MODEL}/")


class _ModelError(AppError):
    status = 404
    code = "model_not_found"


def _parse(body: bytes) -> ChatRequest:
    try:
        asked = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(p) for p in first["loc"]) or "body"
        raise AppError(f"{where}: {first['msg']}") from None
    if (asked.n or 1) != 1:
        raise AppError(f"n: {asked.n}, wanted 1; an answer here is measured, not sampled")
    if asked.tools:
        raise AppError("tools: not supported here; the instruments are used by asking, say 'measure noise on R1'")
    if not 0 < len(asked.messages) <= _MOST_MESSAGES:
        raise AppError(f"messages: {len(asked.messages)}, wanted 1 to {_MOST_MESSAGES}")
    return asked


def _conversation(asked: ChatRequest) -> tuple[bytes, str, list[tuple[str, str]], str]:
    """(picture, name, earlier (question, answer) pairs about it, question)."""
    last = asked.messages[-1]
    if last.role != "user" or not last.text.strip():
        raise AppError("messages: the last one must be of the user and hold a question as text")
    start = next((i for i, m in reversed(list(enumerate(asked.messages))) if m.role == "user" and m.image), None)
    if start is None:
        raise AppError(_NO_PICTURE)
    data, name = decode_data_url(asked.messages[start].image or "")
    said: list[tuple[str, str]] = []
    question = ""
    for message in asked.messages[start:-1]:
        if message.role == "user":
            question = message.text.strip()
        elif message.role == "assistant" and question:
            said.append((question, message.text.strip()))
            question = ""
    return data, name, said, last.text.strip()


def decode_data_url(url: str) -> tuple[bytes, str]:
    """(bytes, a name) of a data URL. Raises AppError for anything else, other hosts' URLs included."""
    match = _DATA_URL.match(url[:200])
    if match is None:
        raise AppError("image_url: wanted a data URL (data:image/jpeg;base64,...); this server fetches nothing")
    try:
        data = base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise AppError("image_url: the base64 of the data URL is broken") from None
    if not data:
        raise AppError("image_url: the data URL holds no bytes")
    return data, f"picture{_SUFFIX.get(match.group('type') or '', '')}"


def _answer(
    task: Task[Any],
    service: Service,
    remembered: _Remembered,
    data: bytes,
    name: str,
    said: list[tuple[str, str]],
    question: str,
    writer: str,
) -> tuple[Picture, Answer]:
    """Within a task: the conversation that was meant, gone on; sentences are emitted."""
    from app.handlers import answer_now

    sha256 = hashlib.sha256(data).hexdigest()
    known = remembered.take(remembered.key(sha256, writer, said)) if said else None
    picture = None
    if known is not None:
        try:
            picture = service.picture(known)
        except AppError:  # deleted meanwhile
            picture = None
    if picture is None:
        picture = service.examine_now(task, data, name)
    task.emit(picture)
    answer = answer_now(task, service, picture, question, None, writer)
    for old in remembered.put(remembered.key(sha256, writer, [*said, (question, answer.text)]), picture.id):
        service.forget(old)
    return picture, answer


def _completion(model: str, picture: Picture, answer: Answer) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage(answer.question, answer.text),
        "fakeexplain": _own_fields(picture, answer),
    }


async def _examined(request: Request, task: Task[Any], events: Iterator[Any]) -> Picture:
    """Passes over events until the picture is examined; a client that hangs up meanwhile cancels the task."""
    from app.errors import TaskCancelledError

    def until_picture() -> Picture:
        return next(e for e in events if isinstance(e, Picture))

    waiting = asyncio.ensure_future(run_in_threadpool(until_picture))
    try:
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=0.1)
            if not waiting.done() and await request.is_disconnected():
                raise TaskCancelledError("the client hung up")
        return waiting.result()
    except BaseException:
        task.cancel()
        raise


async def _stream(
    task: Task[Any], events: Iterator[Any], picture: Picture, model: str, question: str, usage: bool
) -> AsyncIterator[str]:
    """Server-sent events: one chunk a sentence; an error in OpenAI's form; always [DONE] unless the client is gone."""
    from app.server import status_of
    from fakeexplain.records import Answer, AnswerSentence

    head = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n"

    written = ""
    try:
        yield chunk({"role": "assistant", "content": ""})
        while True:
            event = await to_thread.run_sync(next, events, None, abandon_on_cancel=True)
            if event is None:
                break
            if isinstance(event, AnswerSentence):
                piece = event.text if not written else f" {event.text}"
                written += piece
                yield chunk({"content": piece})
            elif isinstance(event, Answer):
                yield chunk({}, "stop", fakeexplain=_own_fields(picture, event))
        if usage:
            yield f"data: {json.dumps({**head, 'choices': [], 'usage': _usage(question, written)})}\n\n"
    except FakeExplainError as error:
        status, code, _ = status_of(error)
        yield f"data: {json.dumps(error_body(status, code, str(error)))}\n\n"
    finally:
        task.cancel()
    yield "data: [DONE]\n\n"


def _own_fields(picture: Picture, answer: Answer) -> dict[str, Any]:
    verdict = picture.examination.verdict
    cited = sorted({i for s in answer.sentences for i in s.evidence_ids}, key=lambda i: (len(i), i))
    return {
        "picture": picture.id,
        "sha256": picture.sha256,
        "verdict": verdict.label,
        "probability": verdict.probability,
        "evidence": cited,
        "regions": [r.id for r in answer.regions],
        "writer": answer.writer,
        "struck": answer.struck,
        "links": {"self": f"/v1/pictures/{picture.id}", "overlay": f"/v1/pictures/{picture.id}/overlay.png"},
    }


def _usage(question: str, answer: str) -> dict[str, int]:
    """Words, not tokens: what worded the answer may have none."""
    asked, said = len(question.split()), len(answer.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["messages"], "description": "as in OpenAI's API"}
            }
        },
    }
}
