"""What the guarded worker costs: a 12-megapixel picture and its metadata, loaded in-process and through the worker.

    python benchmarks/guard_cost.py

Wall-clock time, best of several; neighbours are noisy, so compare the columns of one run.
"""

from __future__ import annotations

import io
import time

from fakeexplain.imaging.worker import load_guarded, start_worker

_STARTED = time.perf_counter()
start_worker()  # before the imports below, beside which it starts

import numpy as np  # noqa: E402
from PIL import Image, ImageCms  # noqa: E402
from skimage import data as pictures  # noqa: E402

from fakeexplain.imaging.source import SourceImage  # noqa: E402
from fakeexplain.provenance.reading import prepare_provenance, read_provenance  # noqa: E402

RUNS = 6


def _direct(data: bytes) -> SourceImage:
    source = SourceImage.from_bytes(data)
    _ = source.luma_coefficients, source.display_rgb  # both are handed over by the worker
    read_provenance(source)
    return source


def _best(load: object, data: bytes) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        load(data)  # type: ignore[operator]
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    small = Image.fromarray(pictures.astronaut())
    buffer = io.BytesIO()
    small.save(buffer, "JPEG")
    imported = time.perf_counter()
    load_guarded(buffer.getvalue())
    waited = time.perf_counter() - imported
    print(f"own imports {imported - _STARTED:.2f} s, then {waited:.2f} s of waiting until the first picture was there")
    rgb = np.asarray(small.resize((4000, 3000))).astype(np.int16)
    rgb = np.clip(rgb + np.random.default_rng(0).normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    print("| picture | in-process | guarded | more |\n|---|---|---|---|")
    for name, format_name, options in (
        ("JPEG", "JPEG", {"quality": 92}),
        ("JPEG with a colour profile", "JPEG", {"quality": 92, "icc_profile": profile}),
        ("PNG", "PNG", {"compress_level": 1}),
        ("WebP", "WEBP", {"quality": 90}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, format_name, **options)
        data = buffer.getvalue()
        direct = _best(_direct, data)
        guarded = _best(lambda d: load_guarded(d, prepare=prepare_provenance), data)
        more = 1000 * (guarded - direct)
        print(f"| {name} | {1000 * direct:.0f} ms | {1000 * guarded:.0f} ms | {more:.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
