"""Time and memory of an examination, per instrument, at 1 and 12 megapixels.

    python benchmarks/speed.py PHOTO [PHOTO ...]      # photographs are cut to the sizes asked for, never enlarged much
    python benchmarks/speed.py                         # scikit-image photographs tiled (dev extra)

Each size runs in a process of its own, so that the peak is its own; figures are the median of several runs. Machines
differ and neighbours are noisy: compare rows of one run.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {"1 MP": (1152, 868), "12 MP": (4000, 3000)}


def picture(width: int, height: int, photos: list[str]) -> bytes:
    """A JPEG of quality 90: photographs side by side, each at native resolution, until the frame is full."""
    if photos:
        tiles = [np.asarray(Image.open(p).convert("RGB")) for p in photos]
    else:
        from skimage import data

        tiles = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), data.retina()[300:1100, 300:1100]]
    canvas = np.zeros((height, width, 3), np.uint8)
    y = number = 0
    while y < height:
        x = row_height = 0
        while x < width:
            tile = tiles[number % len(tiles)]
            # Turned and mirrored as it recurs, so that the picture is not one great copy-move.
            tile = np.rot90(tile, number // len(tiles) % 4)[:, :: -1 if number // len(tiles) // 4 % 2 else 1]
            h, w = min(tile.shape[0], height - y), min(tile.shape[1], width - x)
            canvas[y : y + h, x : x + w] = tile[:h, :w]
            row_height = max(row_height, h)
            x += w
            number += 1
        y += row_height
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def measure(width: int, height: int, photos: list[str], runs: int) -> None:
    """Prints one JSON line; run in a process of its own."""
    from fakeexplain.examiner import Examiner
    from fakeexplain.instruments.suite import select_instruments

    data = picture(width, height, photos)
    names = [i.name for i in select_instruments()]
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    totals, each = [], {n: [] for n in (*names, "open")}
    for _ in range(runs):
        start = time.perf_counter()
        examination = Examiner().examine(data)
        totals.append(time.perf_counter() - start)
        for name in each:
            each[name].append(examination.seconds[name])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    medians = {n: statistics.median(v) for n, v in each.items()}
    print(json.dumps({"total": statistics.median(totals), "each": medians, "peak_mb": peak, "before_mb": baseline}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(*options.child, options.photos, options.runs)
        return
    found = {}
    for label, (width, height) in SIZES.items():
        command = [sys.executable, str(Path(__file__)), "--child", str(width), str(height), "--runs", str(options.runs)]
        done = subprocess.run([*command, *options.photos], capture_output=True, text=True, check=True)
        found[label] = json.loads(done.stdout)
    print("| seconds | " + " | ".join(found) + " |\n|---|" + "---|" * len(found))
    for name in next(iter(found.values()))["each"]:
        print(f"| {name} | " + " | ".join(f"{f['each'][name]:.2f}" for f in found.values()) + " |")
    print("| **whole examination** (two threads) | " + " | ".join(f"{f['total']:.2f}" for f in found.values()) + " |")
    print("| peak memory, MB | " + " | ".join(f"{f['peak_mb']:.0f}" for f in found.values()) + " |")


if __name__ == "__main__":
    main()
