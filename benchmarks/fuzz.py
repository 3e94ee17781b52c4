"""Mutated files through decoders and parsers, or through whole examinations: crashes, hangs, wrong exit codes, memory.

    python benchmarks/fuzz.py --count 5000                        # decode and parse, in the guarded worker
    python benchmarks/fuzz.py --count 5000 --examine              # whole examinations, reports and the command line too
    python benchmarks/fuzz.py --only 1234 --save hostile.jpg      # the bytes of one file
    python benchmarks/fuzz.py --count 5000 --seeds DIR            # with files of your own to start from
    python benchmarks/fuzz.py --bombs                             # known bombs, each with its time and memory peak

File number N of seed S is the same bytes on every machine with the same library versions. The files run in a process of
its own, which the main one restarts when it dies: that is a crash to be mended, for in it only the calling side of the
guard runs. Exit code 0: nothing but pictures and refusals; 1: something to mend, listed with its number.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from fuzz_seeds import bombs, seeds

SILENCE_SECONDS = 200  # without a line from the runner: it hangs outside the guard
INTERESTING = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TO_MEND = ("main process crashed", "main process hung", "wrong exception", "wrong exit code", "bad output")


# ---- mutation ----


def mutate(start: bytes, other: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """(name of the mutation, mutated bytes) of one file; `other` is a second one to splice in."""
    data = bytearray(start)
    kind = str(rng.choice(["bits", "bytes", "lengths", "truncate", "swap", "splice", "insert", "repeat"]))
    # Half of the places lie in the first KiB, where the structure is.
    reach = len(data) if rng.random() < 0.5 else min(len(data), 1024)
    if kind == "bits":
        for at in rng.integers(0, reach, int(rng.integers(1, 16))):
            data[at] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        for at in rng.integers(0, reach, int(rng.integers(1, 9))):
            data[at] = int(rng.choice([0, 0xFF, 0x7F, int(rng.integers(256))]))
    elif kind == "lengths":
        for at in rng.integers(0, max(reach - 4, 1), int(rng.integers(1, 4))):
            form = str(rng.choice([">H", "<H", ">I", "<I"]))
            limit = 0xFFFF if form.endswith("H") else 0xFFFFFFFF
            value = int(rng.choice(INTERESTING)) & limit
            data[at : at + struct.calcsize(form)] = struct.pack(form, value)
    elif kind == "truncate":
        del data[int(rng.integers(1, len(data))) :]
    elif kind == "swap":
        places = _places(bytes(start))
        if len(places) > 3:
            one, two = sorted(rng.choice(len(places) - 1, 2, replace=False))
            a, b, c, d = places[one], places[one + 1], places[two], places[two + 1]
            data = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    elif kind == "splice":
        data = data[: int(rng.integers(1, len(data)))] + other[int(rng.integers(len(other))) :]
    elif kind == "insert":
        at = int(rng.integers(reach))
        data[at:at] = rng.integers(0, 256, int(rng.integers(1, 200)), dtype=np.uint8).tobytes()
    else:
        a, b = sorted(int(v) for v in rng.integers(0, len(data), 2))
        data[b:b] = data[a : min(b, a + 4096)] * int(rng.integers(1, 20))
    result = bytes(data)
    # Half of the PNGs get right checksums again: otherwise a decoder sees nothing but the first wrong one.
    return kind, mend_png(result) if result[:4] == b"\x89PNG" and rng.random() < 0.5 else result


def _places(data: bytes) -> list[int]:
    """Where parts of a file begin: JPEG segments, PNG and RIFF chunks, boxes; equal parts for anything else."""
    found, at = [], 2 if data[:2] == b"\xff\xd8" else 8 if data[:4] == b"\x89PNG" else 12 if data[:4] == b"RIFF" else 0
    while 0 <= at < len(data) - 8 and len(found) < 200:
        found.append(at)
        if data[:2] == b"\xff\xd8":
            at = -1 if data[at] != 0xFF else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        elif data[:4] == b"\x89PNG":
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        elif data[:4] == b"RIFF":
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            at += 8 + size + size % 2
        elif data[4:8] == b"ftyp":
            at += max(int.from_bytes(data[at : at + 4], "big"), 8)
        else:
            at += max(len(data) // 20, 9)
    return found


def mend_png(data: bytes) -> bytes:
    """The PNG with the checksum of each chunk made right."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]


class Cases:
    """The endless, numbered list of mutated files of one seed."""

    def __init__(self, seed: int, folder: Path | None) -> None:
        found = seeds()
        for path in sorted(folder.iterdir()) if folder else ():
            if path.is_file() and path.stat().st_size < 1 << 22:
                found[f"{path.suffix[1:].lower() or 'file'} {path.name}"] = path.read_bytes()
        self._seed, self._names, self._files = seed, list(found), found

    def __getitem__(self, number: int) -> tuple[str, str, bytes]:
        """(name of the start file, mutation, bytes)."""
        rng = np.random.default_rng([self._seed, number])
        name = str(rng.choice(self._names))
        other = self._files[str(rng.choice(self._names))]
        kind, data = mutate(self._files[name], other, rng)
        for _ in range(int(rng.integers(0, 3))):
            more, data = mutate(data, other, rng) if len(data) > 8 else (kind, data)
            kind += f"+{more}"
        return name, kind, data


# ---- the runner: one process that does the work and tells one line a file ----


def run_cases(cases: Cases, first: int, last: int, examine: bool, seconds: float) -> None:
    """Prints {"number", "start", "mutation", "outcome", "note", "seconds", "worker_mib", "main_mib"} for each file."""
    import resource

    from fakeexplain.imaging.worker import Limits

    limits = Limits(seconds=seconds)
    for number in range(first, last):
        name, kind, data = cases[number]
        print(json.dumps({"number": number, "begin": True}), flush=True)
        started = time.perf_counter()
        outcome, note = (_examined if examine else _decoded)(data, limits)
        line = {
            "number": number,
            "start": name,
            "mutation": kind,
            "outcome": outcome,
            "note": note,
            "seconds": round(time.perf_counter() - started, 2),
            "worker_mib": worker_peak(),
            "main_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
        print(json.dumps(line), flush=True)


def _decoded(data: bytes, limits: object) -> tuple[str, str]:
    from fakeexplain.errors import SourceError
    from fakeexplain.imaging import worker
    from fakeexplain.instruments.metadata import Metadata
    from fakeexplain.provenance.reading import prepare_provenance

    try:
        source = worker.load_guarded(data, limits, name="fuzz", prepare=prepare_provenance)
        for record in Metadata().examine(source):
            record.model_dump_json()
    except worker.DecoderCrashError as error:
        return "worker crashed", str(error)
    except worker.DecoderTimeoutError as error:
        return "too slow", str(error)
    except worker.DecoderMemoryError as error:
        return "too much memory", str(error)
    except SourceError as error:
        text = str(error)
        return ("refused", "") if text.isprintable() and len(text) < 1500 else ("bad output", text)
    except BaseException as error:
        return "wrong exception", f"{type(error).__name__}: {error}"
    failed = [r for r in source.remarks if "could not be" in r and ": " in r]
    return ("decoded in part", failed[0]) if failed else ("decoded", "")


def _examined(data: bytes, limits: object) -> tuple[str, str]:
    from fakeexplain.batch import Job, examine_job
    from fakeexplain.examiner import Settings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzz.bin"
        path.write_bytes(data)
        try:
            outcome = examine_job(
                Job(path, Path("fuzz.bin")), Settings(expert=None), Path(folder) / "out", threads=1, resume=False
            )
        except BaseException as error:
            return "wrong exception", f"{type(error).__name__}: {error}"
        if outcome.examination is None:
            return ("refused", "") if outcome.error.isprintable() else ("bad output", outcome.error)
        failed = [e.reason for e in outcome.examination.evidence if "it failed on this picture" in e.reason]
        if failed:
            return "wrong exception", failed[0]
        page = (Path(folder) / "out" / "fuzz.bin" / "report.html").read_text("utf-8")
        return ("bad output", "control character") if "\x1b" in page else ("decoded", "")


def worker_peak(*, reset: bool = False) -> int:
    """Peak resident memory of the guarded worker in MiB, 0 where it is not told; `reset` starts a new peak."""
    from fakeexplain.imaging import worker

    process = worker._shared._process
    try:
        place = Path(f"/proc/{process.pid}")  # type: ignore[union-attr]
        if reset:
            (place / "clear_refs").write_text("5")
        lines = (place / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) >> 10
    except (OSError, AttributeError, StopIteration):
        return 0


# ---- the main process ----


def supervise(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Runs all files in runners that are replaced when they die or fall silent."""
    rows: list[dict[str, object]] = []
    number = arguments.first
    last = arguments.first + arguments.count
    while number < last:
        command = [sys.executable, __file__, "--runner", "--first", str(number), "--count", str(last - number)]
        command += ["--seed", str(arguments.seed), "--seconds", str(arguments.seconds)]
        command += ["--examine"] * arguments.examine
        command += ["--seeds", str(arguments.seeds)] if arguments.seeds else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as runner:
            lines: queue.Queue[str] = queue.Queue()
            reader = threading.Thread(target=_pump, args=(runner.stdout, lines), daemon=True)
            reader.start()
            outcome = ""
            while not outcome:
                try:
                    line = lines.get(timeout=SILENCE_SECONDS)
                except queue.Empty:
                    runner.kill()
                    outcome = "main process hung"
                    break
                if not line:
                    outcome = "ended" if runner.wait() == 0 else "main process crashed"
                    break
                row = json.loads(line)
                if row.get("begin"):
                    number = row["number"]
                    continue
                rows.append(row)
                number = row["number"] + 1
                if sys.stderr.isatty() or number % 500 == 0:
                    print(f"\r{number - arguments.first} of {arguments.count}", end="", file=sys.stderr, flush=True)
            errors = runner.stderr.read() if runner.stderr and outcome == "main process crashed" else ""
        if outcome != "ended":
            rows.append({"number": number, "start": "?", "outcome": outcome, "note": errors[-300:], "seconds": 0.0})
            number += 1
    print(file=sys.stderr)
    return rows


def _pump(stream: object, lines: queue.Queue[str]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        lines.put(line)
    lines.put("")


def check_command_line(cases: Cases, first: int, count: int) -> list[dict[str, object]]:
    """`fakeexplain examine` on a folder of mutated files: exit code, one JSON line a file, no control characters."""
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "pictures"
        inside.mkdir()
        for number in range(first, first + count):
            (inside / f"\x1b[31m{number}.jpg").write_bytes(cases[number][2])
        command = [sys.executable, "-m", "fakeexplain", "examine", str(inside), "--json", "--out", f"{folder}/out"]
        command += ["--instruments", "metadata,noise", "--jobs", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
        problems = []
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        wanted = 1 if any("error" in line for line in lines) else 0
        if done.returncode != wanted or len(lines) != count:
            note = f"exit code {done.returncode}, wanted {wanted}; {len(lines)} of {count} lines; {done.stderr[-300:]}"
            problems.append({"number": first, "start": "?", "outcome": "wrong exit code", "note": note})
        if "\x1b" in done.stdout + done.stderr or "Traceback" in done.stderr:
            problems.append({"number": first, "start": "?", "outcome": "bad output", "note": done.stderr[-300:]})
        return problems


def print_table(rows: list[dict[str, object]]) -> bool:
    """Outcomes by format, then what is to be mended; True when there is nothing."""
    outcomes = list(dict.fromkeys(["decoded", "refused", *sorted(str(r["outcome"]) for r in rows)]))
    formats = sorted({str(r["start"]).split()[0] for r in rows})
    counts = Counter((str(r["start"]).split()[0], str(r["outcome"])) for r in rows)
    print("| format | files | " + " | ".join(outcomes) + " |")
    print("|---|---|" + "---|" * len(outcomes))
    for name in [*formats, "all"]:
        chosen = formats if name == "all" else [name]
        cells = [sum(counts[f, o] for f in chosen) for o in outcomes]
        print(f"| {name} | {sum(cells)} | " + " | ".join(map(str, cells)) + " |")
    peaks = [max((int(str(r.get(k, 0))) for r in rows), default=0) for k in ("worker_mib", "main_mib")]
    slowest = max(rows, key=lambda r: float(str(r.get("seconds", 0))), default=None)
    print(f"\nmemory peak: worker {peaks[0]} MiB, main process {peaks[1]} MiB")
    if slowest:
        print(f"slowest: file {slowest['number']} ({slowest['start']}), {slowest['seconds']} s")
    told = [r for r in rows if r["outcome"] not in ("decoded", "refused")]
    for row in told[:40]:
        print(f"file {row['number']} ({row['start']}; {row.get('mutation', '')}): {row['outcome']}: {row['note']}")
    return not any(r["outcome"] in TO_MEND for r in rows)


def print_bombs(seconds: float) -> bool:
    """One row a bomb; True when all stayed within the limits and none broke the calling process."""
    from fakeexplain.imaging.worker import Limits, load_guarded

    limits, fine = Limits(seconds=seconds), True
    print("| bomb | bytes | seconds | worker peak MiB | outcome |\n|---|---|---|---|---|")
    harmless = seeds()["gif"]
    for name, make in bombs().items():
        data = make()
        load_guarded(harmless)
        worker_peak(reset=True)
        started = time.perf_counter()
        outcome, note = _decoded(data, limits)
        spent = time.perf_counter() - started
        peak = worker_peak()
        fine = fine and outcome not in TO_MEND and peak < limits.memory_bytes >> 20 and spent < 4 * seconds + 30
        print(f"| {name} | {len(data):,} | {spent:.1f} | {peak or 'ended'} | {outcome} {note} |", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0, help="time limit of the guard for one file")
    parser.add_argument("--examine", action="store_true", help="whole examinations instead of decoding and parsing")
    parser.add_argument("--seeds", type=Path, help="folder of further files to start from")
    parser.add_argument("--bombs", action="store_true", help="the known bombs instead of mutated files")
    parser.add_argument("--only", type=int, help="write the bytes of this file to --save")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--runner", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.bombs:
        return 0 if print_bombs(arguments.seconds) else 1
    cases = Cases(arguments.seed, arguments.seeds)
    if arguments.only is not None:
        name, kind, data = cases[arguments.only]
        (arguments.save or Path("fuzz.bin")).write_bytes(data)
        print(f"file {arguments.only}: {name}, {kind}, {len(data)} bytes")
        return 0
    if arguments.runner:
        run_cases(cases, arguments.first, arguments.first + arguments.count, arguments.examine, arguments.seconds)
        return 0
    started = time.perf_counter()
    rows = supervise(arguments)
    if arguments.examine:
        rows += check_command_line(cases, arguments.first, min(arguments.count, 50))
    fine = print_table(rows)
    print(f"{len(rows)} files in {time.perf_counter() - started:.0f} s, seed {arguments.seed}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
