"""How often a region that somebody names stands out: boxes around edits, and boxes where nothing was altered.

python benchmarks/region_rates.py SET [--expert FOLDER] [--limit N]

SET is what `fakeexplain bench` reads, of pictures that the expert was not trained on and its calibration does not come
from. The boxes are those of region POPE (`fakeexplain.evaluation.faithfulness.boxes`); the expert alone is asked, once
a picture, so this is quicker than asking the assistant. A box that is too small or too large never stands out.
"""

from __future__ import annotations

import argparse
import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from fakeexplain import region_test
from fakeexplain.errors import MeasurementError
from fakeexplain.evaluation.datasets import Item, read_dataset, read_true_mask, spread
from fakeexplain.evaluation.faithfulness.boxes import region_boxes
from fakeexplain.evaluation.metrics import auc_score
from fakeexplain.imaging.regions import mask_of_box
from fakeexplain.imaging.source import SourceImage
from fakeexplain.localization import Expert, load_cached
from fakeexplain.quality import assess
from fakeexplain.workers import worker_pool

LEVELS = (0.02, 0.05, 0.1)
ALARM = 0.01  # p-value of the picture: the expert's half of the default promise
EDIT, UNFOUND = "around the edit", "around the edit, where the expert raised no alarm"
Found = list[tuple[str, float, float]]  # row of the table, share of authentic photographs as high, score


def look_at(item: Item, weights: Path | None) -> Found:
    """Rows for each box of one picture."""
    expert = load_cached(weights)
    source = SourceImage.from_path(item.image_path)
    truth = None if item.mask_path is None else read_true_mask(item.mask_path, source.height, source.width)
    donors = item.image_path.parent.parent / "donors" / f"{item.image_path.stem}.png"
    donor = read_true_mask(donors, source.height, source.width) if donors.is_file() else None
    rng = np.random.default_rng(int(source.sha256[:12], 16))
    boxes = region_boxes(source.rgb, truth, rng, donor)
    masks = {kind: mask_of_box(box, source.height, source.width) for kind, box in boxes.items()}
    masks = {kind: mask for kind, mask in masks.items() if testable(mask)}
    found = expert.localize(source, threads=1, regions=list(masks.values()))
    assert expert.calibration is not None
    alarm = expert.calibration.p_value(found.score, assess(source).band)[0] < ALARM
    scores = dict(zip(masks, found.region_scores, strict=True))
    rows: Found = []
    for kind in boxes:
        share = share_of(expert, masks[kind], scores[kind]) if kind in masks else 1.0
        score = scores.get(kind, -np.inf)
        if truth is None:
            rows.append((f"authentic, {kind}", share, score))
        elif kind != "true":
            rows.append(("forged, none of the edit", share, score))
        else:
            rows.append((EDIT, share, score))
            rows += [] if alarm else [(UNFOUND, share, score)]
    return rows


def testable(mask: np.ndarray) -> bool:
    """Whether the expert takes such a region."""
    try:
        region_test.checked(mask, *mask.shape)
    except MeasurementError:
        return False
    return True


def share_of(expert: Expert, mask: np.ndarray, score: float) -> float:
    assert expert.calibration is not None
    return region_test.share_as_high(region_test.law_of(expert.calibration.regions, float(mask.mean()))[1], score)


def table(found: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Markdown, and the rank of edits over all other boxes."""
    lines = ["| box | boxes | " + " | ".join(f"{100 * level:.0f} %" for level in LEVELS) + " |"]
    lines.append("|---|---|" + "---|" * len(LEVELS))
    for name in sorted(found):
        shares = np.array([s for s, _ in found[name]])
        rates = " | ".join(f"{100 * np.mean(shares <= level):.1f} %" for level in LEVELS)
        lines.append(f"| {name} | {len(shares)} | {rates} |")
    others = [s for name, rows in found.items() if name not in (EDIT, UNFOUND) for _, s in rows]
    rank = auc_score([s for _, s in found.get(EDIT, ())], others)
    return "\n".join([*lines, "", f"AUC of boxes around edits against all others: {rank:.3f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--expert", type=Path, help="folder of weights; default: the embedded ones")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    items = spread(read_dataset(arguments.set), arguments.limit)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with worker_pool(arguments.jobs) as pool:
        jobs = pool.map(functools.partial(look_at, weights=arguments.expert), items)
        for rows in track(jobs, description="pictures", total=len(items)):
            for name, share, score in rows:
                found[name].append((share, score))
    print(table(found))


if __name__ == "__main__":
    main()
