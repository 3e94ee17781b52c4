"""The app's server under load: several users at once, then many uploads in a row.

    python benchmarks/app_load.py                                      # 4 users x 5 pictures x 5 questions, 200 uploads
    python benchmarks/app_load.py --start 3                            # only cold starts, three of them
    python benchmarks/app_load.py --users 2 --pictures 2 --questions 2 --uploads 10 --side 256       # small

Each user uploads pictures of their own (forged and not) and asks about each through the OpenAI-compatible API, while
another client asks for evidence again and again. Counted: requests without an answer, answers about another picture or
with another verdict than the same picture gets alone, turns that are missing. Then uploads in a row, all different:
memory of the server after the first 20 and at the end, files it holds and files left when it has ended. Prints a
Markdown table; exit code 1 if something was lost, mixed up, left behind, or slower or larger than wanted.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import statistics
import sys
import threading
import time
from collections import Counter

import httpx
import numpy as np
from app_process import ROOT, ServerProcess

sys.path.insert(0, str(ROOT))  # for the test pictures

from tests.pictures import PHOTOGRAPHS, copy_move, encode, photograph

QUESTIONS = (
    "What did you find?",
    "How sure are you?",
    "What else could cause E1?",
    "Where is it?",
    "What could not be tested?",
)
WANTED_P95_MS, WANTED_GROWTH, WANTED_START = 300.0, 1.10, 10.0


def picture(number: int, side: int) -> bytes:
    """Every number another picture; every second one forged."""
    rng = np.random.default_rng(number)
    rgb = photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
    y, x = (int(rng.integers(0, max(1, n - side + 1))) for n in rgb.shape[:2])
    rgb = rgb[y : y + side, x : x + side].copy()
    rgb[0, :8] = rng.integers(0, 255, (8, 3))
    if number % 2 and min(rgb.shape[:2]) >= 400:
        rgb = copy_move(rgb)[0]
    return encode(rgb, "JPEG", quality=92) if number % 3 else encode(rgb)


class Users:
    """What several users saw."""

    def __init__(self, address: str, arguments: argparse.Namespace) -> None:
        self.address = address
        self.arguments = arguments
        self.faults: list[str] = []
        self.answers = 0
        self.first_words: list[float] = []
        self.examined: list[float] = []
        self.evidence_ms: list[float] = []
        self.verdicts: dict[int, tuple[str, float]] = {}
        self.ids: list[str] = []
        self.finished = threading.Event()

    def run(self) -> float:
        start = time.monotonic()
        users = [threading.Thread(target=self._user, args=(u,)) for u in range(self.arguments.users)]
        prober = threading.Thread(target=self._probe)
        for thread in (*users, prober):
            thread.start()
        for thread in users:
            thread.join()
        self.finished.set()
        prober.join()
        return time.monotonic() - start

    def _user(self, user: int) -> None:
        try:
            with httpx.Client(base_url=self.address, timeout=600) as client:
                for i in range(self.arguments.pictures):
                    self._one_picture(client, user * self.arguments.pictures + i, f"user{user}-{i}.jpg")
        except Exception as error:
            self.faults.append(f"user {user}: {type(error).__name__}: {error}")

    def _one_picture(self, client: httpx.Client, number: int, name: str) -> None:
        data = picture(number, self.arguments.side)
        start = time.monotonic()
        made = self._patiently(client, "/v1/examine", content=data, headers={"x-filename": name}).json()
        self.examined.append(time.monotonic() - start)
        source, verdict = made["examination"]["source"], made["examination"]["verdict"]
        sha256 = hashlib.sha256(data).hexdigest()
        if (source["sha256"], source["name"]) != (sha256, name):
            self.faults.append(f"{name}: came back as {source['name']} {source['sha256'][:8]}")
        self.verdicts[number] = verdict["label"], verdict["probability"]
        self.ids.append(made["id"])
        url = "data:image/jpeg;base64," + base64.b64encode(data).decode()
        messages: list[dict[str, object]] = []
        chat = ""
        for i in range(self.arguments.questions):
            content: object = QUESTIONS[i % len(QUESTIONS)]
            if not messages:
                content = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {"url": url}}]
            messages.append({"role": "user", "content": content})
            body = {"model": "fakeexplain", "messages": messages}
            start = time.monotonic()
            answer = self._patiently(client, "/v1/chat/completions", json=body).json()
            self.first_words.append(time.monotonic() - start)
            own, text = answer["fakeexplain"], answer["choices"][0]["message"]["content"]
            self.answers += 1
            if own["sha256"] != sha256 or (own["verdict"], own["probability"]) != self.verdicts[number]:
                self.faults.append(f"{name}: question {i} was answered about another picture")
            if chat and own["picture"] != chat:
                self.faults.append(f"{name}: question {i} began another conversation")
            chat = own["picture"]
            messages.append({"role": "assistant", "content": text})

    def _patiently(self, client: httpx.Client, path: str, **body: object) -> httpx.Response:
        """As the server asks: comes back after Retry-After."""
        for _ in range(100):
            answer = client.post(path, **body)  # type: ignore[arg-type]
            if answer.status_code != 503:
                answer.raise_for_status()
                return answer
            time.sleep(int(answer.headers["retry-after"]))
        raise TimeoutError(f"{path}: still busy after 100 attempts")

    def _probe(self) -> None:
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self.finished.is_set():
                if self.ids:
                    start = time.perf_counter()
                    answer = client.get(f"/v1/pictures/{self.ids[len(self.evidence_ms) % len(self.ids)]}/evidence/E1")
                    self.evidence_ms.append(1000 * (time.perf_counter() - start))
                    if answer.status_code != 200:
                        self.faults.append(f"evidence: {answer.status_code} {answer.text[:100]}")
                time.sleep(0.1)


def alone(address: str, users: Users) -> int:
    """How many pictures get another verdict on a server where nothing else runs."""
    others = 0
    with httpx.Client(base_url=address, timeout=600) as client:
        for number, seen in users.verdicts.items():
            answer = client.post("/v1/examine", content=picture(number, users.arguments.side)).json()
            verdict = answer["examination"]["verdict"]
            others += (verdict["label"], verdict["probability"]) != seen
    return others


def uploads(server: ServerProcess, count: int) -> tuple[float, float, Counter[int]]:
    """(MiB after the first tenth, but 20 at most; MiB at the end; answers by status)."""
    answers: Counter[int] = Counter()
    early = 0.0
    with httpx.Client(base_url=server.address, timeout=600) as client:
        for i in range(count):
            answers[client.post("/v1/examine", content=picture(100_000 + i, 256)).status_code] += 1
            if i + 1 == min(20, max(1, count // 10)):
                early = server.resident_mib()
    return early, server.resident_mib(), answers


def starts(count: int, options: list[str]) -> int:
    """Prints how long the first page takes, several times; 1 where one took longer than wanted."""
    print("| start | first page | processor time until then | load of the machine |\n|---|---|---|---|")
    slow = 0
    for i in range(count):
        load = os.getloadavg()[0]
        server = ServerProcess(*options)
        seconds, processor = server.await_page(), server.processor_seconds()
        server.end()
        slow += seconds > WANTED_START
        print(f"| {i + 1} | {seconds:.1f} s | {processor:.1f} s | {load:.1f} on {os.cpu_count()} cores |", flush=True)
    return 1 if slow else 0


def percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, 100 * share)) if values else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--questions", type=int, default=5)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--side", type=int, default=512, help="pixels of the users' pictures")
    parser.add_argument("--expert", default="embedded")
    parser.add_argument("--no-page", action="store_true", help="only the API")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="measure N cold starts and nothing else")
    arguments = parser.parse_args()
    page = ["--no-page"] if arguments.no_page else []
    if arguments.start:
        return starts(arguments.start, ["--expert", arguments.expert, *page])

    load_average = os.getloadavg()[0]
    server = ServerProcess("--expert", arguments.expert, *page)
    first_page, processor = server.await_page(), server.processor_seconds()
    model = server.await_model()
    users = Users(server.address, arguments)
    seconds = users.run()
    code, left = server.end()
    bad = len(users.faults) + len(left) + abs(code)
    for fault in users.faults:
        print(f"FAULT {fault}", file=sys.stderr)

    second = ServerProcess("--expert", arguments.expert, *page)
    second.await_page()
    second.await_model()
    different = alone(second.address, users)
    early, late, answers = uploads(second, arguments.uploads)
    held = len(second.files())
    second_code, second_left = second.end()
    wanted = arguments.users * arguments.pictures * arguments.questions
    p95 = percentile(users.evidence_ms, 0.95)
    load = f"{arguments.users} users x {arguments.pictures} pictures x {arguments.questions} questions"
    load += f", {arguments.side} px"
    rows = [
        ("load of the machine at the start", f"{load_average:.1f} on {os.cpu_count()} cores"),
        ("first page after start (processor time)", f"{first_page:.1f} s ({processor:.1f} s)"),
        ("model loaded after start", f"{model:.1f} s"),
        (load, f"{seconds:.0f} s"),
        ("examinations: median, longest", f"{statistics.median(users.examined):.1f} s, {max(users.examined):.1f} s"),
        ("answers: median, longest", f"{statistics.median(users.first_words):.2f} s, {max(users.first_words):.2f} s"),
        ("answers wanted, got", f"{wanted}, {users.answers}"),
        ("lost or mixed up", str(len(users.faults))),
        ("verdicts that differ from the picture alone", f"{different} of {len(users.verdicts)}"),
        (
            f"select evidence ({len(users.evidence_ms)} times): median, p95",
            f"{percentile(users.evidence_ms, 0.5):.0f} ms, {p95:.0f} ms",
        ),
        (f"{arguments.uploads} uploads in a row: answers", ", ".join(f"{n} x {s}" for s, n in answers.items())),
        (
            "memory after the first uploads, at the end",
            f"{early:.0f} MiB, {late:.0f} MiB ({100 * (late / early - 1):+.1f} %)",
        ),
        ("files held while it runs", str(held)),
        ("files left after the end (both servers)", str(len(left) + len(second_left))),
    ]
    print("| what | measured |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    bad += different + len(second_left) + abs(second_code) + (users.answers != wanted)
    bad += p95 > WANTED_P95_MS or late > WANTED_GROWTH * early or set(answers) - {200} != set()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
