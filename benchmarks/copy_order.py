"""How often the network tells rightly which of two equal places is the copy (`fakeexplain.copy_order`).

python benchmarks/copy_order.py SET [--expert FOLDER] [--record "WHAT THE SET IS"]

SET is what `fakeexplain bench` reads, best of copies alone, from photographs that the expert was not trained on:
`python -m data_tools.forge write` with {"new_content": {"copy_move": 1}, "same_content_share": 0, "several_share": 0,
"authentic_share": 0}. Every pair that passes `copy_move`'s threshold of a default examination counts, unless both
of its places or none were altered. --record writes the counts into the weights' calibration.json; without counts an
examination never tells which one is the copy.
"""

from __future__ import annotations

import argparse
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from fakeexplain.copy_order import CopyOrderCounts, copy_first, mean_logits
from fakeexplain.evaluation.datasets import Item, read_dataset, read_true_mask, spread
from fakeexplain.evaluation.metrics import clopper_pearson
from fakeexplain.imaging.regions import decode_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments.copy_move import CopyMove
from fakeexplain.instruments.suite import all_instruments
from fakeexplain.localization import Expert, embedded_folder, load_cached
from fakeexplain.verdict import Panel
from fakeexplain.workers import worker_pool

ALTERED, INTACT = 0.5, 0.3  # altered shares of a place: a copy has more than the first, its source less than the second


def look_at(item: Item, weights: Path | None) -> list[str]:
    """For each pair of one picture: "right", "wrong", "untold", or "unclear" where the truth is."""
    if item.mask_path is None:
        return []
    source = SourceImage.from_path(item.image_path)
    witnesses = tuple(i.name for i in all_instruments() if i.localizes)
    threshold = Panel(instruments=witnesses).threshold_log10(CopyMove.name)
    places = [
        (decode_mask(e.region.mask), decode_mask(e.partner.mask))
        for e in CopyMove().examine(source)
        if e.region is not None and e.partner is not None and e.log10_nfa is not None and e.log10_nfa < threshold
    ]
    if not places:
        return []
    truth = read_true_mask(item.mask_path, source.height, source.width)
    return list(judged(places, truth, load_cached(weights).localize(source, threads=1).map))


def judged(places: list[tuple[np.ndarray, np.ndarray]], truth: np.ndarray, map_: np.ndarray) -> Iterator[str]:
    """One word for each pair of places; truth bool HxW, map float32 HxW."""
    for pair in places:
        first, second = (float(truth[place].mean()) for place in pair)
        if max(first, second) <= ALTERED or min(first, second) >= INTACT:
            yield "unclear"
            continue
        said = copy_first(mean_logits(map_, *pair))
        yield "untold" if said is None else "right" if said == (first > second) else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--expert", type=Path, help="folder of weights; default: the embedded ones")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", metavar="WORDS", help="what the set is; writes the counts into calibration.json")
    arguments = parser.parse_args()
    items = spread(read_dataset(arguments.set), arguments.limit)
    found: Counter[str] = Counter()
    with worker_pool(arguments.jobs) as pool:
        for answers in track(
            pool.map(functools.partial(look_at, weights=arguments.expert), items),
            description="pictures",
            total=len(items),
        ):
            found.update(answers)
    told, pairs = found["right"] + found["wrong"], found["right"] + found["wrong"] + found["untold"]
    low, high = (100 * v for v in clopper_pearson(found["right"], told)) if told else (0.0, 100.0)
    print("| pictures | pairs | told | right | 95 % interval | unclear |\n|---|---|---|---|---|---|")
    print(f"| {len(items)} | {pairs} | {told} | {found['right']} | {low:.1f} to {high:.1f} % | {found['unclear']} |")
    if arguments.record:
        record(arguments.expert or embedded_folder(), pairs, told, found["right"], arguments.record)


def record(folder: Path, pairs: int, told: int, right: int, data: str) -> None:
    """Writes the counts beside the weights."""
    calibration = Expert.load(folder).calibration
    assert calibration is not None
    counts = CopyOrderCounts(pairs=pairs, told=told, right=right, data=data)
    print(f"{calibration.model_copy(update={'copy_order': counts}).write(folder)}: written")


if __name__ == "__main__":
    main()
