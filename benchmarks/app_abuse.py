"""What hostile or broken clients can do to the app's server: how each is answered, and whether the server lives.

    python benchmarks/app_abuse.py                     # prints the table of docs/app_server.md
    python benchmarks/app_abuse.py --malformed 6       # small

Every attack runs against one server with a token. After each: the server still answers, and no work is left running.
Exit code 1 if an answer was none of those wanted, if the server died, or if it left a file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable

import httpx
import numpy as np
from app_kill import killed_while_annotating
from app_process import ROOT, ServerProcess
from fuzz import mutate
from fuzz_seeds import bombs, seeds
from PIL import Image

sys.path.insert(0, str(ROOT))  # for the test pictures

from tests.pictures import copy_move, encode, photograph

TOKEN = "benchmark-token-benchmark"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
NAMES = (
    "../../../../etc/passwd",
    "..\\..\\..\\windows\\win.ini",
    "/etc/shadow",
    "C:\\a.jpg",
    "....//....//a.jpg",
    "%2e%2e%2fa.jpg",
    "a\x00.jpg",
    "con.jpg",
    ".bashrc",
    "~/a.jpg",
    "a" * 5000 + ".jpg",
    "file:///etc/passwd",
    "\u202egpj.exe",
    SCRIPT,
)
Row = tuple[str, int, str, bool]


class Attacks:
    """All attacks on one server."""

    def __init__(self, server: ServerProcess, malformed: int) -> None:
        self.server = server
        self.malformed = malformed
        self.client = httpx.Client(base_url=server.address, timeout=300, headers=AUTHORIZED)
        self.forged = encode(copy_move(photograph("astronaut"))[0])
        self.rows: list[Row] = []

    def run(self, *, skip_bombs: bool = False, only: str | None = None) -> None:
        for attack in (
            self.malformed_uploads,
            self.known_bombs,
            self.large_picture,
            self.large_bodies,
            self.wrong_hosts,
            self.names,
            self.markup_in_exif,
            self.markup_in_questions,
            self.broken_requests,
            self.broken_chats,
            self.other_paths,
            self.hang_ups,
            self.slow_clients,
            self.too_many_at_once,
            self.wrong_tokens,  # last: it locks this address out for a minute
        ):
            if only not in (None, attack.__name__) or (skip_bombs and attack in (self.known_bombs, self.large_bodies)):
                continue
            start = time.monotonic()
            what, count, answers, fine = attack()
            alive = self._lives()
            self.rows.append((what, count, answers, fine and alive))
            verdict = "ok" if fine and alive else "NOT AS WANTED"
            print(f"{what}: {answers} ({time.monotonic() - start:.0f} s) {verdict}", file=sys.stderr)

    def _lives(self) -> bool:
        try:
            return self.server.alive and self.client.get("/healthz").json()["status"] == "ok"
        except (httpx.TransportError, ValueError):
            return False

    def _send(self, data: bytes, name: str = "a.jpg") -> httpx.Response:
        return self.client.post("/v1/examine", files={"file": (name, data)})

    def malformed_uploads(self) -> Row:
        rng, sound = np.random.default_rng(7), list(seeds().values())
        files = [mutate(sound[i % len(sound)], sound[(i * 7 + 3) % len(sound)], rng)[1] for i in range(self.malformed)]
        return self._told(
            "malformed uploads (bits, lengths, cuts, splices in every format)", map(self._send, files), {200}
        )

    def known_bombs(self) -> Row:
        made = bombs()
        answers = (self._send(make()) for name, make in made.items() if "worker" not in name)
        return self._told("known decompression bombs (docs/hostile_files.md)", answers, {200})

    def large_picture(self) -> Row:
        """200 megapixels of one colour in a PNG of a few hundred kilobytes."""
        bomb = grey_png(20_000, 10_000)
        start = time.monotonic()
        row = self._told("200-megapixel PNG", [self._send(bomb, "bomb.png")], set())
        return row[0], row[1], f"{row[2]} in {time.monotonic() - start:.1f} s", row[3] and "413" in row[2]

    def large_bodies(self) -> Row:
        large = b"x" * (100 << 20)
        pieces = (b"x" * (1 << 20) for _ in range(100))
        answers = [
            self.client.post("/v1/examine", content=large),
            self.client.post("/v1/examine", content=pieces),
            self._send(large[: 65 << 20]),
            self.client.post("/v1/chat/completions", content=large),
        ]
        row = self._told("bodies of 65 to 100 MiB, with and without a length", answers, set())
        return row[0], row[1], row[2], row[3] and row[2] == "4 x 413"

    def wrong_hosts(self) -> Row:
        answers = [
            self.client.get("/v1/models", headers={"host": "evil.example"}),
            self.client.get("/v1/models", headers={"host": "127.0.0.1.evil.example"}),
            self.client.post("/v1/examine", content=b"x", headers={"origin": "http://evil.example"}),
            self.client.post("/v1/examine", content=b"x", headers={"origin": "null"}),
            self.client.post("/v1/examine", content=b"x", headers={"sec-fetch-site": "cross-site"}),
            self.client.post("/mcp", json={}, headers={"origin": "http://evil.example"}),
        ]
        row = self._told("DNS rebinding and requests of other sites' pages", answers, set())
        return row[0], row[1], row[2], row[3] and row[2] == "6 x 403"

    def names(self) -> Row:
        before = set(self.server.files())
        fine, answers = True, []
        for i, name in enumerate(NAMES):
            rgb = np.random.default_rng(i).integers(0, 255, (40, 40, 3), np.uint8)
            answer = self._send(encode(rgb), name)
            answers.append(answer)
            if answer.status_code != 200:  # a sentence that says no is an answer, too
                print(f"  name {name[:30]!r}: {answer.status_code} {answer.text[:200]}", file=sys.stderr)
                continue
            kept = answer.json()["examination"]["source"]["name"]
            fine = fine and not any(c in kept for c in '/\\<>"\x00\u202e') and not kept.startswith(".")
        new = set(self.server.files()) - before
        fine = fine and all("/uploads/" in f or "/maps/" in f for f in new)
        row = self._told("path tricks and markup in file names", answers, {200})
        return row[0], row[1], row[2], row[3] and fine

    def markup_in_exif(self) -> Row:
        exif = Image.Exif()
        for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298):
            exif[tag] = SCRIPT
        buffer = io.BytesIO()
        Image.fromarray(photograph("chelsea")).save(buffer, "JPEG", quality=90, exif=exif.tobytes())
        made = self._send(buffer.getvalue())
        links = made.json()["links"]
        page = self.client.get(links["files"]["html"])
        answers = [made, page, self.client.get(links["self"]), self.client.get(links["files"]["pdf"])]
        row = self._told("HTML in EXIF, then view, HTML and PDF report", answers, {200})
        harmless = "<script" not in page.text and "<img src=x" not in page.text and "alert(1)" in page.text
        return row[0], row[1], row[2], row[3] and harmless

    def markup_in_questions(self) -> Row:
        answers = [self._ask(q) for q in (SCRIPT, "{{7*7}} ${7*7}", "\x00\x1b[31m", "a" * 4000, "<SEG> <mask> <image>")]
        row = self._told("HTML, templates, control characters and model marks in questions", answers, {200})
        fine = all(
            "<script" not in a.json()["choices"][0]["message"]["content"] for a in answers if a.status_code == 200
        )
        return row[0], row[1], row[2], row[3] and fine

    def broken_requests(self) -> Row:
        """Raw bytes on the socket; each must get a 4xx or a closed connection."""
        long = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n"
        post = b"POST /v1/examine HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + TOKEN.encode()
        attempts = [
            b"\x16\x03\x01\x02\x00" + b"\0" * 200,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            long,
            post + b"\r\nContent-Length: -5\r\n\r\n",
            post + b"\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            post + b"\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello",
            post
            + b"\r\nContent-Type: multipart/form-data; boundary="
            + b"x" * 5000
            + b"\r\nContent-Length: 3\r\n\r\nabc",
        ]
        answers: Counter[str] = Counter()
        for attempt in attempts:
            with socket.create_connection(self._place(), timeout=30) as raw:
                try:
                    raw.sendall(attempt)
                    head = raw.recv(64)
                except (ConnectionError, TimeoutError):
                    head = b""
            answers[head.split(b" ")[1].decode() if head.startswith(b"HTTP") else "closed"] += 1
        fine = all(a == "closed" or a.startswith("4") for a in answers)
        return "broken HTTP on the socket", len(attempts), told(answers), fine

    def broken_chats(self) -> Row:
        bodies = [
            b"",
            b"{",
            b"[" * 100_000,
            b"null",
            b'{"messages": 5}',
            b"\xff\xfe",
            b'{"messages": [{"role": "user"}]}',
        ]
        answers = [self.client.post("/v1/chat/completions", content=b) for b in bodies]
        for url in ("http://169.254.169.254/latest", "file:///etc/passwd", "data:text/html;base64,PGI+", "data:,x"):
            answers.append(self._ask("Why?", url))
        return self._told("broken chat requests, URLs of other hosts and of files", answers, set())

    def other_paths(self) -> Row:
        paths = (
            "/v1/pictures/../../etc/passwd",
            "/v1/pictures/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "/v1/pictures/x/files/..%2f..%2fetc%2fpasswd",
            "/v1/pictures/'%20OR%201=1",
            "/gradio_api/file=/etc/passwd",
            "/.env",
            "/v1/models/../../healthz2",
        )
        answers = [self.client.get(p) for p in paths]
        row = self._told("paths to other files", answers, set())
        return row[0], row[1], row[2], row[3] and all("root:" not in a.text for a in answers)

    def hang_ups(self) -> Row:
        """Ten clients leave during an examination, ten in mid-answer; the work must stop."""
        for i in range(10):
            body = encode(photograph("coffee")[: 380 - i])
            with socket.create_connection(self._place()) as raw:
                raw.sendall(self._head("/v1/examine", len(body)) + body)
                time.sleep(0.05)
        for _ in range(10):
            with self.client.stream(
                "POST", "/v1/chat/completions", json={**self._chat("Why?"), "stream": True}
            ) as answer:
                next(answer.iter_lines())
        deadline = time.monotonic() + 60
        while self._busy() and time.monotonic() < deadline:
            time.sleep(0.1)
        return "clients that hang up in an examination or answer", 20, "work stopped", not self._busy()

    def slow_clients(self) -> Row:
        """Sixteen send a byte now and then; another client must not notice."""
        slow = [socket.create_connection(self._place()) for _ in range(16)]
        for raw in slow[:8]:
            raw.sendall(self._head("/v1/examine", 1000))
        start = time.monotonic()
        answer = self.client.get("/v1/models")
        waited = time.monotonic() - start
        statuses: Counter[str] = Counter()
        for raw in slow:
            raw.settimeout(60)
            head = raw.recv(64)
            statuses[head.split(b" ")[1].decode() if head.startswith(b"HTTP") else "closed"] += 1
            raw.close()
        fine = answer.status_code == 200 and waited < 2 and statuses == {"408": 8, "closed": 8}
        return (
            "slow clients, half of them without a request",
            16,
            f"{told(statuses)}; others waited {waited:.2f} s",
            fine,
        )

    def too_many_at_once(self) -> Row:
        pictures = [encode(np.random.default_rng(500 + i).integers(0, 255, (300, 300, 3), np.uint8)) for i in range(60)]
        answers: list[httpx.Response] = []

        def send(data: bytes) -> None:
            with httpx.Client(base_url=self.server.address, timeout=300, headers=AUTHORIZED) as client:
                answers.append(client.post("/v1/examine", content=data))

        threads = [threading.Thread(target=send, args=(p,)) for p in pictures]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent = {hashlib.sha256(p).hexdigest() for p in pictures}
        good = [a.json()["examination"]["source"]["sha256"] for a in answers if a.status_code == 200]
        refused = [a for a in answers if a.status_code == 503]
        fine = (
            len(answers) == 60 and len(good) + len(refused) == 60 and len(set(good)) == len(good) and set(good) <= sent
        )
        fine = fine and all(1 <= int(a.headers["retry-after"]) <= 120 for a in refused)
        counts = Counter(str(a.status_code) for a in answers)
        return "60 uploads at once (2 workers, 32 may wait)", 60, f"{told(counts)} with Retry-After", fine

    def wrong_tokens(self) -> Row:
        tries = ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü" * 30, *(f"guess-number-{i}" for i in range(14))]
        answers = []
        with httpx.Client(base_url=self.server.address, timeout=60) as client:
            for token in tries:
                headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
                answers.append(client.get("/v1/models", headers=headers))
        row = self._told("wrong tokens", answers, set())
        fine = {a.status_code for a in answers} == {401, 429} and answers[-1].status_code == 429
        return row[0], row[1], row[2], row[3] and fine

    def _told(self, what: str, answers: Iterable[httpx.Response], allowed: set[int]) -> Row:
        """A row: each answer must be 4xx with a sentence, or one of `allowed`."""
        counts: Counter[str] = Counter()
        fine = True
        for answer in answers:
            counts[str(answer.status_code)] += 1
            if answer.status_code not in allowed:
                clear = 400 <= answer.status_code < 500 and "Traceback" not in answer.text and len(answer.text) < 4000
                fine = fine and clear
        return what, sum(counts.values()), told(counts), fine

    def _ask(self, question: str, url: str = "") -> httpx.Response:
        return self.client.post("/v1/chat/completions", json=self._chat(question, url))

    def _chat(self, question: str, url: str = "") -> dict[str, object]:
        url = url or "data:image/png;base64," + base64.b64encode(self.forged).decode()
        content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}}]
        return {"model": "fakeexplain", "messages": [{"role": "user", "content": content}]}

    def _head(self, path: str, length: int) -> bytes:
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {TOKEN}",
            f"Content-Length: {length}",
        )
        return "\r\n".join((*lines, "", "")).encode()

    def _place(self) -> tuple[str, int]:
        url = httpx.URL(self.server.address)
        return url.host, url.port or 80

    def _busy(self) -> bool:
        health = self.client.get("/healthz").json()
        return bool(health["running"] or health["waiting"])


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{n} x {s}" for s, n in sorted(counts.items()))


def grey_png(width: int, height: int) -> bytes:
    """A grey PNG of one colour, written row by row, so that this needs no memory either."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--malformed", type=int, default=60, help="malformed uploads")
    parser.add_argument("--expert", default="embedded")
    parser.add_argument("--no-page", action="store_true", help="only the API")
    parser.add_argument("--skip-bombs", action="store_true", help="leave out what takes minutes to make")
    parser.add_argument("--only", help="one attack: a method's name, say wrong_tokens")
    arguments = parser.parse_args()
    page = ["--no-page"] if arguments.no_page else []
    server = ServerProcess("--token", TOKEN, "--expert", arguments.expert, *page)
    try:
        server.await_page("/healthz")
        attacks = Attacks(server, arguments.malformed)
        attacks.run(skip_bombs=arguments.skip_bombs, only=arguments.only)
    finally:
        code, left = server.end()
    if not (arguments.no_page or arguments.only):
        attacks.rows.append(killed_while_annotating(3))
    print("| attack | requests | answers | as wanted, server alive |\n|---|---|---|---|")
    for what, count, answers, fine in attacks.rows:
        print(f"| {what} | {count} | {answers} | {'yes' if fine else '**no**'} |")
    print(
        f"| told to end | | exit code {code}, {len(left)} files left | {'yes' if not code and not left else '**no**'} |"
    )
    return 0 if all(r[3] for r in attacks.rows) and not code and not left else 1


if __name__ == "__main__":
    sys.exit(main())
