"""`kill -9` of the app while people annotate: is every decision that was acknowledged still there?

    python benchmarks/app_kill.py                # prints one row; `app_abuse.py` puts it into its table

Three annotators send decisions through the page's own address as fast as they are answered; at a random moment the
server is killed and started again on the same database and the same folder of temporary files. Counted: acknowledged
actions that the database does not hold, what its integrity check finds, and files of the killed server that are left.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import httpx
from app_process import ROOT, ServerProcess

sys.path.insert(0, str(ROOT))  # for the drafts of the tests

from data_tools.review_import import ImportPlan
from tests.unit.data_tools.review_cases import fresh_store

ANNOTATORS = ("Anna", "Ben", "Cleo")
Row = tuple[str, int, str, bool]


class Annotator(threading.Thread):
    """Decides for ever; `acknowledged` holds the ids of the actions that the server said are done."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__(daemon=True)
        self.address, self.annotator_name = address, name
        self.acknowledged: list[str] = []
        self.faults: list[str] = []

    def run(self) -> None:
        try:
            self._work()
        except httpx.TransportError:
            pass  # the server was killed
        except Exception as error:
            self.faults.append(f"{self.annotator_name}: {type(error).__name__}: {error}")

    def _work(self) -> None:
        rng = random.Random(self.annotator_name)
        with httpx.Client(base_url=self.address, timeout=120) as client:
            parts = client.get("/config").json()["components"]
            (component,) = [p["id"] for p in parts if p["props"].get("elem_id") == "fx-annotate"]
            session = uuid.uuid4().hex

            def call(**request: object) -> dict[str, object]:
                body = {"session_hash": session, "component_id": component, "fn_name": "annotate", "data": request}
                answer = client.post("/gradio_api/component_server", json=body)
                answer.raise_for_status()
                found: dict[str, object] = answer.json()
                return found

            who = call(do="hello", name=self.annotator_name)["annotator"]
            review = call(do="next", annotator=who)["review"]["id"]  # type: ignore[index]
            while True:
                action = uuid.uuid4().hex
                values: dict[str, object] = {"what": "verdict", "verdict": rng.choice(["manipulated", "no_evidence"])}
                if rng.random() < 0.6:
                    decision = rng.choice(["accept", "unsure"])
                    values = {"what": "claim", "claim": rng.randrange(1, 5), "decision": decision}
                answer = call(do="act", annotator=who, review=review, id=action, seconds=0.1, **values)
                if not answer["ok"]:
                    raise RuntimeError(f"refused: {answer['error']}")
                self.acknowledged.append(action)


def killed_while_annotating(rounds: int, *options: str) -> Row:
    """The row of the table; see the module."""
    place = Path(tempfile.mkdtemp(prefix="app-kill-"))
    try:
        return _rounds(place, rounds, options)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _rounds(place: Path, rounds: int, options: tuple[str, ...]) -> Row:
    fresh_store(place, 4, ImportPlan(annotators=len(ANNOTATORS))).close()
    database = place / "reviews.sqlite"
    acknowledged: list[str] = []
    faults: list[str] = []
    folder: Path | None = None
    for number in range(rounds):
        server = ServerProcess("--reviews", str(database), "--expert", "none", *options, folder=folder)
        folder = server.folder
        server.await_page()
        people = [Annotator(server.address, name) for name in ANNOTATORS]
        for person in people:
            person.start()
        deadline = time.monotonic() + 120
        while not all(p.acknowledged or p.faults for p in people) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(random.Random(number).uniform(0.5, 2.0))
        server.kill()
        for person in people:
            person.join(120)
            acknowledged += person.acknowledged
            faults += person.faults
            faults += [] if person.acknowledged else [f"{person.annotator_name}: nothing was acknowledged"]
    with sqlite3.connect(database) as connection:
        stored = {row[0] for row in connection.execute("SELECT action_id FROM events")}
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sound = sound and not connection.execute("PRAGMA foreign_key_check").fetchall()
    last = ServerProcess("--reviews", str(database), "--expert", "none", *options, folder=folder)
    last.await_page()
    code, left = last.end()
    for fault in faults:
        print(f"FAULT {fault}", file=sys.stderr)
    lost = len(set(acknowledged) - stored)
    told = f"{lost} of {len(acknowledged)} acknowledged decisions lost, database {'sound' if sound else 'DAMAGED'}"
    told += f", {len(left)} files left after the next start and end"
    fine = not (lost or faults or left or code) and sound and bool(acknowledged)
    return f"kill -9 while {len(ANNOTATORS)} people annotate", rounds, told, fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often the server is killed")
    what, count, told, fine = killed_while_annotating(parser.parse_args().rounds)
    print(f"| {what} | {count} | {told} | {'yes' if fine else '**no**'} |")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
