"""The HTTP server over a real connection: examine, evidence, files; who is let in; what is refused and how."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from app.service import Service, ServiceLimits
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.records import Examination
from tests.integration.app_server import running
from tests.pictures import copy_move, encode, photograph

QUICK = Settings(instruments=("copy_move", "metadata"), expert=None)
FACTS = Settings(instruments=("metadata",), expert=None)
TOKEN = "a-token-of-some-length"


def png(seed: int, size: int = 48) -> bytes:
    return encode(np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    service = Service(QUICK, ServiceLimits(workers=1, max_bytes=2 << 20), folder=tmp_path_factory.mktemp("private"))
    with running(service, idle_seconds=1.0) as address, httpx.Client(base_url=address, timeout=120) as made:
        yield made
    assert not service.private.path.exists()


@pytest.fixture(scope="module")
def forged() -> bytes:
    return encode(copy_move(photograph("astronaut"))[0])


@pytest.fixture(scope="module")
def examined(client, forged) -> dict:
    answer = client.post("/v1/examine", files={"file": ("../../forged.png", forged)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_form_and_raw_bytes_give_the_same_examination(client, forged, examined):
    raw = client.post("/v1/examine", content=forged, headers={"x-filename": "forged.png"}).json()
    assert raw["examination"]["evidence"] == examined["examination"]["evidence"]
    assert raw["examination"]["source"]["sha256"] == hashlib.sha256(forged).hexdigest()
    assert examined["examination"]["source"]["name"] == "forged.png"
    examination = Examination.model_validate(examined["examination"])
    assert examination.verdict.label == "manipulated"
    assert raw["id"] != examined["id"]


def test_every_link_works(client, examined):
    links = examined["links"]
    view = client.get(links["self"]).json()
    assert view["card"]["label"] == "manipulated"
    for url in (*links["evidence"].values(), links["overlay"], *links["files"].values()):
        answer = client.get(url)
        assert answer.status_code == 200, url
    first = client.get(links["evidence"]["E1"]).json()
    assert [r["label"] for r in first["regions"]] == ["E1a", "E1b"]
    mask = client.get(links["files"]["mask"])
    assert hashlib.sha256(mask.content).hexdigest() == mask.headers["x-content-sha256"]
    with Image.open(io.BytesIO(mask.content)) as image:
        assert image.size == (512, 512)


def test_deleting(client, forged):
    made = client.post("/v1/examine", content=forged).json()
    assert client.delete(made["links"]["self"]).status_code == 204
    gone = client.get(made["links"]["self"])
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown_picture")


def test_headers_and_docs(client):
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert "/v1/examine" in answer.text
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace(str(client.base_url), "")
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in {k.lower() for k in client.get("/healthz").headers}
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/examine", "/v1/chat/completions", "/v1/models", "/healthz"} <= set(paths)


@pytest.mark.parametrize(
    ("headers", "method", "status", "code"),
    [
        ({"host": "evil.example"}, "GET", 403, "wrong_host"),
        ({"host": "127.0.0.1.evil.example:80"}, "GET", 403, "wrong_host"),
        ({"origin": "http://evil.example"}, "POST", 403, "wrong_origin"),
        ({"origin": "null"}, "POST", 403, "wrong_origin"),
        ({"sec-fetch-site": "cross-site"}, "POST", 403, "wrong_origin"),
    ],
)
def test_other_sites_are_kept_out(client, headers, method, status, code):
    answer = client.request(method, "/v1/examine" if method == "POST" else "/healthz", headers=headers, content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"hello", {}, 415),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, {}, 415),
        (png(1)[:200], {}, 422),
        (b"--x\r\nno form", {"content-type": "multipart/form-data; boundary=x"}, 400),
        (b"", {"content-type": "multipart/form-data"}, 400),
        (b"x" * (5 << 20), {}, 413),
    ],
)
def test_what_is_no_picture_is_told(client, body, headers, status):
    answer = client.post("/v1/examine", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert "Traceback" not in answer.text
    assert client.get("/healthz").json()["status"] == "ok"


def test_a_body_without_a_length_is_counted(client):
    answer = client.post("/v1/examine", content=(b"x" * (1 << 18) for _ in range(64)))
    assert answer.status_code == 413


def test_too_many_pixels_are_refused_before_decoding(client):
    start = time.monotonic()
    answer = client.post("/v1/examine", content=encode(np.zeros((9000, 9000), np.uint8)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_pixels")
    assert time.monotonic() - start < 20


def test_a_slow_client_is_given_up(client):
    with socket.create_connection((client.base_url.host, client.base_url.port)) as slow:
        slow.sendall(b"POST /v1/examine HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
        slow.settimeout(20)
        answer = b""
        while b"}" not in answer and (piece := slow.recv(4096)):  # head and body may arrive apart
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too slowly" in answer or b"too_slow" in answer


def test_names_of_strangers_come_back_harmless(client):
    name = '"><script>alert(1)</script>.png'
    made = client.post("/v1/examine", files={"file": (name, png(2))}).json()
    assert made["examination"]["source"]["name"] == "script_.png"
    page = client.get(made["links"]["files"]["html"])
    assert "<script" not in page.text
    assert page.headers["content-disposition"].startswith("attachment")


def test_tokens(tmp_path):
    service = Service(FACTS, ServiceLimits(workers=1), folder=tmp_path)
    with running(service, token=TOKEN) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/v1/models").status_code == 401
        assert client.post("/v1/examine", content=png(1)).headers["www-authenticate"] == "Bearer"
        right = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/v1/examine", content=png(1), headers=right).status_code == 200
        assert client.get(f"/v1/models?token={TOKEN}").status_code == 200
        assert client.post(f"/v1/examine?token={TOKEN}", content=png(1)).status_code == 401
        assert client.post("/login", data={"token": "wrong" * 5}).status_code == 401
        entered = client.post("/login", data={"token": TOKEN})
        assert entered.status_code == 303
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/v1/models").status_code == 200
        client.cookies.clear()
        seen = [client.get("/v1/models", headers={"authorization": f"Bearer wrong{i}"}).status_code for i in range(12)]
        assert seen[0] == 401
        assert seen[-1] == 429
        last = client.get("/v1/models", headers=right)
        assert last.status_code == 429
        assert int(last.headers["retry-after"]) > 0


@pytest.fixture
def blocked(tmp_path, monkeypatch):
    """A server with one worker and one place to wait, whose examinations last until they are let go or cancelled."""
    go_on, started, ended = threading.Event(), threading.Event(), []
    original = Examiner.examine

    def slow(self, source, *, name=None, on_done=None):
        started.set()
        try:
            while not go_on.wait(0.02):
                on_done("waiting")
            return original(self, source, name=name, on_done=on_done)
        finally:
            ended.append(source.sha256)

    monkeypatch.setattr(Examiner, "examine", slow)
    service = Service(FACTS, ServiceLimits(workers=1, waiting=1), folder=tmp_path)
    with running(service) as address:
        yield address, started, go_on, ended
        go_on.set()


def test_too_many_at_once_are_told_when_to_come_back(blocked):
    address, started, go_on, _ = blocked
    answers: list[httpx.Response] = []

    def send(seed: int) -> None:
        answers.append(httpx.post(f"{address}/v1/examine", content=png(seed), timeout=60))

    threads = [threading.Thread(target=send, args=(10,))]
    threads[0].start()
    assert started.wait(30)
    threads.append(threading.Thread(target=send, args=(11,)))
    threads[1].start()
    while httpx.get(f"{address}/healthz").json()["waiting"] < 1:
        time.sleep(0.02)
    refused = httpx.post(f"{address}/v1/examine", content=png(12), timeout=60)
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 120
    assert refused.json()["error"]["code"] == "busy"
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert [a.status_code for a in answers] == [200, 200]
    sent = {hashlib.sha256(png(seed)).hexdigest() for seed in (10, 11)}
    assert {a.json()["examination"]["source"]["sha256"] for a in answers} == sent


def test_a_client_that_hangs_up_stops_the_work(blocked):
    address, started, _, ended = blocked
    body = png(13)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as gone:
        head = f"POST /v1/examine HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        gone.sendall(head.encode() + body)
        assert started.wait(30)
    deadline = time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended == [hashlib.sha256(body).hexdigest()]
    assert httpx.get(f"{address}/healthz").json()["running"] == 0 or time.sleep(0.5) is None
    assert json.loads(httpx.get(f"{address}/healthz").text)["pictures"] == 0
