"""All instruments, run on one picture; evidence and regions leave here numbered.

Adding an instrument is one file, one line in `all_instruments`, one test.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from fakeexplain.errors import SettingsError
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.base import Instrument
from fakeexplain.instruments.copy_move import CopyMove
from fakeexplain.instruments.double_jpeg import DoubleJpeg
from fakeexplain.instruments.jpeg_grid import JpegGrid
from fakeexplain.instruments.metadata import Metadata
from fakeexplain.instruments.noise import NoiseLevel
from fakeexplain.instruments.region_contrast import RegionContrast
from fakeexplain.records import Evidence, Region

_KIND_ORDER = {"detection": 0, "measurement": 1, "fact": 2, "abstention": 3}


def all_instruments(trust_anchors: str = "") -> list[Instrument]:
    """Fresh instances, in the order in which they are listed to people; `trust_anchors` as for `Metadata`."""
    return [JpegGrid(), DoubleJpeg(), NoiseLevel(), CopyMove(), Metadata(trust_anchors), RegionContrast()]


def select_instruments(names: Sequence[str] | None = None, trust_anchors: str = "") -> list[Instrument]:
    """The named instruments in listing order; all that examine whole pictures when `names` is None.

    Raises:
        SettingsError: a name is unknown, given twice, or only measures regions that are asked about.
    """
    available = {i.name: i for i in all_instruments(trust_anchors) if i.examines_whole_pictures}
    if names is None:
        return list(available.values())
    unknown = [n for n in names if n not in available]
    if unknown or len(set(names)) != len(names) or not names:
        raise SettingsError(
            f"instruments {', '.join(names) or '(none)'}: each must be one of {', '.join(available)}, at most once"
        )
    return [i for n, i in available.items() if n in names]


def run_suite(
    source: SourceImage,
    instruments: Sequence[Instrument],
    *,
    threads: int = 2,
    on_done: Callable[[str], None] | None = None,
) -> tuple[list[Evidence], dict[str, float]]:
    """Runs the instruments side by side.

    An instrument that fails on a picture abstains with the error as its reason: one weak spot must not cost the answer.

    Args:
        threads: instruments at work at once; the result does not depend on it.
        on_done: called with an instrument's name when it has finished (from a worker thread).

    Returns:
        (evidence, not numbered yet; seconds per instrument).
    """
    seconds: dict[str, float] = {}

    def run(instrument: Instrument) -> list[Evidence]:
        start = time.perf_counter()
        try:
            found = instrument.examine(source)
        except (MemoryError, ArithmeticError, ValueError, IndexError, KeyError, OSError, RuntimeError) as error:
            found = [instrument.abstain(f"it failed on this picture ({type(error).__name__}: {error})")]
        seconds[instrument.name] = round(time.perf_counter() - start, 4)
        if on_done is not None:
            on_done(instrument.name)
        return found

    # What several instruments share is computed once, before they start side by side.
    _ = source.luma, source.luma_coefficients
    if threads > 1 and len(instruments) > 1:
        with ThreadPoolExecutor(max_workers=threads) as pool:
            results = list(pool.map(run, instruments))
    else:
        results = [run(i) for i in instruments]
    return [e for found in results for e in found], seconds


def _rarity(item: Evidence) -> float:
    """log10 NFA or log10 p: what is rarer by chance is read first."""
    if item.log10_nfa is not None:
        return item.log10_nfa
    return math.log10(max(item.p_value, 1e-12)) if item.p_value is not None else math.inf


def number_evidence(evidence: Sequence[Evidence], first: int = 1, first_region: int = 1) -> tuple[Evidence, ...]:
    """Sorts evidence for reading and gives ids E1, E2, ... and R1, R2, ... to it and its regions."""
    ordered = sorted(evidence, key=lambda e: (_KIND_ORDER[e.kind], _rarity(e)))
    numbered = []
    region_number = first_region

    def take(region: Region | None) -> Region | None:
        nonlocal region_number
        if region is None:
            return None
        region_number += 1
        return region.model_copy(update={"id": f"R{region_number - 1}"})

    for number, item in enumerate(ordered, start=first):
        update = {"id": f"E{number}", "region": take(item.region), "partner": take(item.partner)}
        numbered.append(item.model_copy(update=update))
    return tuple(numbered)
