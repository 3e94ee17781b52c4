"""How a case folder stands up to kill -9 at random moments and to single changed bytes.

    python benchmarks/case_durability.py --kills 200 --changes 2000

Kills: a process adds, examines and notes in a loop and tells every log head only after the command returned; it is
killed after a random time. Counted: acknowledged heads that are not in the log afterwards, and cases that do not
verify after the next command. Changes: one random byte of a random file of a case and of a bag gets another value.
Counted: changes that `verify` does not find. Prints a Markdown table; exit code 1 if anything was lost or missed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the test pictures

from fakeexplain.casework.case import Case  # noqa: E402
from fakeexplain.casework.export import pack  # noqa: E402
from fakeexplain.casework.log import LOG_NAME  # noqa: E402
from fakeexplain.casework.verify import verify  # noqa: E402
from fakeexplain.examiner import Examiner, Settings  # noqa: E402

FAST = Settings(instruments=("metadata",), expert=None)


def work(case_path: Path, pictures: list[Path], seed: int, acknowledged: int) -> None:
    """Acts on a case for ever; writes each log head to a pipe once the action returned."""
    rng = random.Random(seed)
    case, examiner = Case(case_path), Examiner(FAST)
    while True:
        choice = rng.random()
        if choice < 0.4:
            outside = pictures[0].with_name(f"made {rng.random()}.bin")
            outside.write_bytes(rng.randbytes(rng.randrange(1, 200_000)))
            head = case.add(outside)[1]
            outside.unlink()
        elif choice < 0.6:
            head = case.examine("I1", examiner)[2]
        else:
            head = case.note("I1", "a remark " * rng.randrange(1, 2000))[1]
        os.write(acknowledged, head.encode())


def kill_once(case_path: Path, pictures: list[Path], seed: int, longest: float) -> tuple[list[str], float]:
    """(heads that were acknowledged, seconds it lived) of one process that was killed with SIGKILL."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(case_path, pictures, seed, writing)
        finally:
            os._exit(1)
    os.close(writing)
    pause = random.Random(seed + 1).uniform(0.0, longest)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = b""
    while part := os.read(reading, 1 << 16):
        said += part
    os.close(reading)
    return [said[i : i + 64].decode() for i in range(0, len(said), 64)], pause


def kills(count: int, folder: Path, pictures: list[Path], longest: float) -> dict[str, str]:
    lost = broken = heads = mended = 0
    for seed in range(count):
        case_path = folder / f"case {seed}"
        case, _ = Case.create(case_path)
        case.add(pictures[0])
        said, _ = kill_once(case_path, pictures, 1000 * seed, longest)
        heads += len(said)
        before = verify(case_path)
        revived = Case(case_path)
        revived.note("I1", "after the kill")
        mended += bool(revived.notices)
        found = [verify(case_path, expect=head) for head in (said or [before.head])]
        lost += any("expected head" in p for v in found for p in v.problems)
        broken += not all(v.intact for v in found)
        shutil.rmtree(case_path)
    return {
        "kills with an acknowledged entry lost": f"{lost} of {count}",
        "cases that did not verify after the next command": f"{broken} of {count}",
        "acknowledged entries": str(heads),
        "kills that left something to mend": f"{mended} of {count}",
    }


def changes(count: int, folder: Path, pictures: list[Path]) -> dict[str, str]:
    case, _ = Case.create(folder / "changed")
    for picture in pictures:
        added, _ = case.add(picture)
        case.examine(added.item, Examiner(FAST))
        case.note(added.item, "a reason", evidence="E1", status="accepted")
    bags = {"bag": folder / "bag", "redacted bag": folder / "redacted"}
    pack(case, bags["bag"])
    pack(case, bags["redacted bag"], redact=True)
    rng, rows = random.Random(0), {}
    for name, place in {"case": case.path, **bags}.items():
        missed = 0
        files = sorted(p for p in place.rglob("*") if p.is_file() and p.stat().st_size)
        number = count // 3 + (1 if name == "case" else 0) * (count % 3)
        for k in range(number):
            file = rng.choice(files) if k % 4 else next(p for p in files if p.name == LOG_NAME)  # the log more often
            data, mode = file.read_bytes(), file.stat().st_mode
            at = rng.randrange(len(data))
            changed = bytes([data[at] ^ rng.randrange(1, 256)])
            file.chmod(0o644)
            file.write_bytes(data[:at] + changed + data[at + 1 :])
            file.chmod(mode)
            if verify(place).intact:
                missed += 1
                print(f"missed: {file.relative_to(folder)} byte {at}: {data[at : at + 1]!r} -> {changed!r}")
            file.chmod(0o644)
            file.write_bytes(data)
            file.chmod(mode)
        assert verify(place).intact
        rows[f"changed bytes not found, {name}"] = f"{missed} of {number}"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--changes", type=int, default=2000)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds a process lives at most")
    parser.add_argument("--folder", type=Path, help="where to work; default a temporary folder")
    options = parser.parse_args()
    from tests.unit.cases import private_jpeg, small_png

    folder = options.folder or Path(tempfile.mkdtemp(prefix="case_durability_"))
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, data in enumerate((small_png(), private_jpeg())):
        pictures.append(folder / f"picture {number}.bin")
        pictures[-1].write_bytes(data)
    started = time.perf_counter()
    rows = kills(options.kills, folder, pictures, options.longest) | changes(options.changes, folder, pictures)
    print("| what | count |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    print(f"\n{time.perf_counter() - started:.0f} s")
    if options.folder is None:
        shutil.rmtree(folder)
    bad = [n for n, v in rows.items() if ("lost" in n or "not" in n) and not v.startswith("0 of")]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
