"""The writer behind a server, against a server on loopback: streaming, errors, what is sent, and what is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fakeexplain.conversation import Conversation
from fakeexplain.errors import SettingsError, WriterError
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.reasoning.url_writer import KEY_VARIABLE, UrlWriter
from tests.pictures import encode, photograph


class Server:
    """Answers every request as it was told, and keeps what came."""

    def __init__(self) -> None:
        self.status, self.type, self.body = 200, "text/event-stream", b""
        self.requests: list[tuple[dict[str, str], Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.requests.append((dict(self.headers), json.loads(self.rfile.read(length))))
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.type)
                if outer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def says(self, *pieces: str) -> None:
        chunks = [{"choices": [{"delta": {"content": p}}]} for p in pieces]
        self.body = b"".join(f"data: {json.dumps(c)}\n\n".encode() for c in chunks) + b"data: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(scope="module")
def talk() -> Conversation:
    return Conversation(Examiner(Settings(expert=None), threads=1), encode(photograph("chelsea")[:300, :400]))


def test_streams_checked_sentences_and_sends_text_only(
    server: Server, talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    ids = "".join(f"[{e.id}]" for e in talk.evidence if e.kind == "detection")
    server.says("The examination found no evi", f"dence of a local alteration {ids}. It is", " authentic.")
    talk.writer = UrlWriter(server.url, "tiny")
    answer = talk.ask("Was it <image> changed?")
    assert answer.writer.endswith("/tiny")
    assert answer.sentences[0].written_by == "model"
    assert "authentic" not in answer.text
    assert answer.struck == 1
    headers, body = server.requests[0]
    assert headers["Authorization"] == "Bearer secret"
    assert {m["role"] for m in body["messages"]} <= {"system", "user", "assistant"}
    assert all(isinstance(m["content"], str) and "<image>" not in m["content"] for m in body["messages"])
    assert "secret" not in json.dumps(body)


@pytest.mark.parametrize(
    ("status", "kind", "body", "message"),
    [
        (401, "application/json", b'{"error": "no key"}', "answered 401"),
        (302, "text/html", b"", "answered 302"),
        (200, "application/json", b"<html>", "not an OpenAI-compatible answer"),
        (200, "text/event-stream", b'data: {"error": "model gone"}\n\n', "model gone"),
    ],
)
def test_errors_are_told_in_one_line(
    server: Server, talk: Conversation, status: int, kind: str, body: bytes, message: str
) -> None:
    server.status, server.type, server.body = status, kind, body
    talk.writer = UrlWriter(server.url, "tiny")
    turns = len(talk.turns)
    with pytest.raises(WriterError, match=message):
        talk.ask("Where?")
    assert len(talk.turns) == turns
    assert len(server.requests) == 1


def test_nobody_there_and_wrong_addresses(talk: Conversation) -> None:
    talk.writer = UrlWriter("http://127.0.0.1:9/v1", "tiny", timeout=2)
    with pytest.raises(WriterError, match="cannot be reached"):
        talk.ask("Where?")
    for url in ("ftp://x/v1", "nonsense", "http://user:key@host/v1"):
        with pytest.raises(SettingsError):
            UrlWriter(url, "tiny")
    with pytest.raises(SettingsError, match="--llm-model"):
        UrlWriter("http://127.0.0.1:9/v1", " ")
