"""Masks from pairs: how well the mask of an edit is recovered, and whether the quality score knows when it was not.

    python benchmarks/mask_from_pair.py PHOTOS [--pairs 200] [--half report] [--content-only] [--json FILE]

PHOTOS is a folder of authentic photographs. They are parted into two halves by a hash of the photograph's name: `tune`
is for whoever changes the method, `report` gives the figures. Each pair is one photograph, one random edit of the
forge, and one condition the edited picture went through.

What counts as the truth: the pixels that the edit really changed before the finish, that is, those of the region whose
largest channel differs by more than 2 grey levels (`changed`). A region of which only scattered pixels changed thus
has scattered truth, which no method recovers from a JPEG; IoU with the whole region as it was drawn is reported
beside it (`region`). Edits of which less than 64 pixels changed by that much are drawn again. `survives` is the IoU
that no mask can exceed: the share of the truth where the finished picture still differs, in any value, from the
original finished likewise. A save spreads a change over its block, so the bound is a generous one.

The edited picture is handed over as the file it was saved to (PNG or JPEG), for the comparison reads the coefficients
of a JPEG. The original is handed over as the very pixels that the edit began with; `raw95+jpeg75` asks what becomes of
it where the investigator has another save of the photograph, `jpeg75+png` where the edited JPEG was converted later.

Two groups of operations: *content* (splice, copy-move, two ways of removal, tone) change what is seen; *traces*
(blur, median, denoise, sharpen, resample, noise, old JPEG saves) often change pixels by less than a JPEG of quality 75
does, and are then out of reach for any comparison; they are reported by operation and not part of the headline.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from data_tools.forge import edits
from data_tools.forge.config import ForgeConfig
from data_tools.forge.operations import Edit
from data_tools.forge.photos import Photo, list_photos
from fakeexplain.evaluation.metrics import auc_score, iou_score
from fakeexplain.imaging import degrade
from fakeexplain.imaging.least_change import read_stored
from fakeexplain.imaging.pair_mask import PairMask, mask_from_pair
from fakeexplain.imaging.source import SourceImage

CONTENT = ("splice", "copy_move", "removal_diffusion", "removal_exemplar", "removal_patchmatch", "tone")
TRACES = ("blur", "median", "denoise", "sharpen", "resample", "noise", "jpeg_ghost", "foreign_grid")
CHANGED_LEVELS = 2
LEAST_CHANGED_PIXELS = 64
FAILED_IOU = 0.5

Geometry = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Pair:
    """original, edited: uint8 HxWx3 before the finish; changed, region: bool HxW in the same frame."""

    original: np.ndarray
    edited: np.ndarray
    changed: np.ndarray
    region: np.ndarray
    operation: str

    @property
    def strength(self) -> float:
        """Mean change of the changed pixels, grey levels of the largest channel, before the finish."""
        return float(cv2.absdiff(self.edited, self.original).max(axis=2)[self.changed].mean())


def _photo_half(photo: Photo) -> str:
    return "tune" if hashlib.sha256(photo.group.encode()).digest()[0] % 2 else "report"


def make_pair(photos: list[Photo], operation: str, config: ForgeConfig, rng: np.random.Generator) -> Pair:
    """One forged pair; draws photographs and regions until an edit changes enough."""
    while True:
        photo = photos[int(rng.integers(len(photos)))]
        host, labels = photo.read(), photo.read_labels()
        made: edits.Made | None
        if operation == "splice":
            donor = photos[int(rng.integers(len(photos)))]
            made = None if donor.group == photo.group else edits.splice(donor, host, config, rng)
        elif operation in ("copy_move", "removal_diffusion", "removal_exemplar", "removal_patchmatch"):
            made = edits.within_picture(operation, host, labels, config, rng)  # type: ignore[arg-type]
        else:
            made = edits.same_content(operation, host, labels, config, rng)  # type: ignore[arg-type]
        if made is None:
            continue
        edit: Edit = made.edit
        difference = cv2.absdiff(edit.image, host).max(axis=2)
        changed = (difference > CHANGED_LEVELS) & edit.mask
        if changed.sum() >= LEAST_CHANGED_PIXELS:
            return Pair(host, edit.image, changed, edit.mask, operation)


def _carried(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    return np.asarray(geometry(mask.astype(np.float32)) > 0.5)


def _as_is(image: np.ndarray) -> np.ndarray:
    return image


def _smaller(image: np.ndarray) -> np.ndarray:
    size = (round(image.shape[1] * 0.98), round(image.shape[0] * 0.98))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR)


def _turned(image: np.ndarray) -> np.ndarray:
    """Turned by one degree about the centre, straight edges cut off, as a person straightens a horizon."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 1.0, 1.0)
    flags = cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR
    turned = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    cut = int(np.ceil(np.tan(np.deg2rad(1.0)) * max(height, width) / 2)) + 2
    return np.ascontiguousarray(turned[cut : height - cut, cut : width - cut])


def _cropped(image: np.ndarray) -> np.ndarray:
    """5 % of each side cut off, unevenly, off the JPEG grid."""
    height, width = image.shape[:2]
    top, left = int(0.031 * height), int(0.017 * width)
    return np.ascontiguousarray(image[top : top + int(0.95 * height), left : left + int(0.95 * width)])


def _jpeg(quality: int) -> Callable[[np.ndarray], bytes]:
    return lambda rgb: degrade.encode_jpeg(rgb, quality)


def _gamma(rgb: np.ndarray) -> bytes:
    return degrade.encode_jpeg(degrade.tone(rgb, gamma=1.25, contrast=1.1), 90)


def _converted(rgb: np.ndarray) -> bytes:
    return degrade.encode_png(degrade.jpeg_round_trip(rgb, 75))


CONDITIONS: dict[str, tuple[Geometry, Callable[[np.ndarray], bytes]]] = {
    "png": (_as_is, degrade.encode_png),
    "jpeg75": (_as_is, _jpeg(75)),
    "jpeg50": (_as_is, _jpeg(50)),
    "jpeg90": (_as_is, _jpeg(90)),
    "jpeg75+png": (_as_is, _converted),
    "raw95+jpeg75": (_as_is, _jpeg(75)),
    "resize2": (_smaller, degrade.encode_png),
    "rotate1": (_turned, degrade.encode_png),
    "crop5": (_cropped, degrade.encode_png),
    "crop5+jpeg75": (_cropped, _jpeg(75)),
    "resize2+jpeg90": (_smaller, _jpeg(90)),
    "gamma+jpeg90": (_as_is, _gamma),
    "rotate1+jpeg90": (_turned, _jpeg(90)),
    "crop5+jpeg90": (_cropped, _jpeg(90)),
}
_NEGATIVES = ("jpeg75", "raw95+jpeg75", "resize2+jpeg90", "gamma+jpeg90", "rotate1+jpeg90", "crop5+jpeg90")


def compared(original: np.ndarray, edited: np.ndarray, condition: str) -> PairMask:
    """The mask of a pair whose edited side went through a condition. original, edited: uint8 HxWx3 of one size."""
    geometry, finish = CONDITIONS[condition]
    source = SourceImage.from_bytes(finish(geometry(edited)))
    if condition.startswith("raw95"):
        original = degrade.jpeg_round_trip(original, 95, subsampling="4:4:4")
    return mask_from_pair(original, source.rgb, read_stored(source))


def _surviving_iou(pair: Pair, condition: str, changed: np.ndarray) -> float:
    """IoU of the best mask made of pixels in which the edit can still be seen: an upper bound for any comparison."""
    geometry, finish = CONDITIONS[condition]
    with_edit, without = (SourceImage.from_bytes(finish(geometry(rgb))).rgb for rgb in (pair.edited, pair.original))
    return float((with_edit != without).any(axis=2)[changed].mean()) if changed.any() else 1.0


def run_forged(
    photos: list[Photo], operations: tuple[str, ...], count: int, seed: int, conditions: list[str]
) -> list[dict[str, object]]:
    """One row per pair and condition."""
    config, rows = ForgeConfig(), []
    for number in range(count):
        operation = operations[number % len(operations)]
        pair = make_pair(photos, operation, config, np.random.default_rng([seed, number]))
        for name in conditions:
            geometry = CONDITIONS[name][0]
            changed, region = _carried(pair.changed, geometry), _carried(pair.region, geometry)
            start = time.perf_counter()
            found = compared(pair.original, pair.edited, name)
            seconds = time.perf_counter() - start
            rows.append(
                {
                    "number": number,
                    "operation": operation,
                    "condition": name,
                    "area": float(changed.mean()),
                    "region_area": float(region.mean()),
                    "strength": pair.strength,
                    "iou": iou_score(found.mask, changed),
                    "iou_region": iou_score(found.mask, region),
                    "quality": found.quality,
                    "reasons": list(found.reasons),
                    "exact": found.exact,
                    "figures": found.figures,
                    "survives": _surviving_iou(pair, name, changed),
                    "seconds": seconds,
                }
            )
        print(f"\r{number + 1}/{count} pairs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def run_negatives(photos: list[Photo], count: int, seed: int) -> list[dict[str, object]]:
    """Different photographs, and one photograph saved again: no mask is to be believed, or found."""
    rows: list[dict[str, object]] = []
    rng = np.random.default_rng([seed, 99])
    for number in range(count):
        first, second = (photos[int(i)] for i in rng.choice(len(photos), 2, replace=False))
        host = first.read()
        found_of = {"identical": mask_from_pair(host, host.copy())}
        if first.group != second.group:
            found_of["different photograph"] = mask_from_pair(host, second.read())
        found_of |= {f"unedited, {name}": compared(host, host, name) for name in _NEGATIVES}
        for name, found in found_of.items():
            share = float(found.mask.mean())
            reasons = list(found.reasons)
            rows.append(
                {"condition": name, "number": number, "area": share, "quality": found.quality, "reasons": reasons}
            )
        print(f"\r{number + 1}/{count} negatives", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def _bootstrap(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the mean."""
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _print_table(title: str, rows: list[dict[str, object]], key: Callable[[dict[str, object]], str]) -> None:
    groups: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    print(f"\n| {title} | pairs | mean IoU (changed), bootstrap 95 % | median | mean IoU (region) | survives ", end="")
    print("| IoU < 0.5 | AUC of quality | ms per pair |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, members in {**groups, "**all**": rows}.items():
        values = np.array([m["iou"] for m in members], float)
        region = np.array([m["iou_region"] for m in members], float)
        quality = np.array([m["quality"] for m in members], float)
        survives = np.mean(np.array([m["survives"] for m in members], float))
        milliseconds = 1000 * np.median(np.array([m["seconds"] for m in members], float))
        failed = values < FAILED_IOU
        low, high = _bootstrap(values)
        print(
            f"| {name} | {len(members)} | {values.mean():.3f} ({low:.3f} to {high:.3f}) | {np.median(values):.3f} "
            f"| {region.mean():.3f} | {survives:.3f} | {failed.sum()} "
            f"| {auc_score(quality[~failed], quality[failed]):.3f} | {milliseconds:.0f} |"
        )


def _area(row: dict[str, object]) -> float:
    return float(row["area"])  # type: ignore[arg-type]


def _area_bin(row: dict[str, object]) -> str:
    area = _area(row)
    edges = (0.002, 0.01, 0.05, 0.15, 1.0)
    low = 0.0
    for edge in edges:
        if area < edge:
            return f"{100 * low:g}-{100 * edge:g} % of the picture"
        low = edge
    return "all of it"


def _strength(row: dict[str, object]) -> float:
    return float(row["strength"])  # type: ignore[arg-type]


def _strength_bin(row: dict[str, object]) -> str:
    low, high = next((a, b) for a, b in pairwise((0, 6, 12, 24, 256)) if _strength(row) < b)
    return f"changed by {low} to {high} grey levels on average" if high < 256 else f"changed by {low} and more"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pairs", type=int, default=200, help="forged pairs of the content group, and 2/5 of traces")
    parser.add_argument("--half", choices=("report", "tune"), default="report")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--content-only", action="store_true", help="neither negatives nor traces: the headline alone")
    parser.add_argument("--json", type=Path, help="write every row here")
    options = parser.parse_args()
    photos = [p for p in list_photos(options.photos, 64, ForgeConfig()) if _photo_half(p) == options.half]
    print(f"{len(photos)} photographs of the half `{options.half}`, seed {options.seed}")
    content = run_forged(photos, CONTENT, options.pairs, options.seed, options.conditions)
    _print_table("content edits, by condition", content, lambda r: str(r["condition"]))
    _print_table("content edits, by operation", content, lambda r: str(r["operation"]))
    _print_table("content edits, by changed area", sorted(content, key=_area), _area_bin)
    _print_table("content edits, by strength", sorted(content, key=_strength), _strength_bin)
    sys.stdout.flush()
    if options.content_only:
        if options.json:
            options.json.write_text(json.dumps({"content": content}, indent=1))
        return
    negatives = run_negatives(photos, max(options.pairs // 10, 1), options.seed)
    print("\n| negatives | pairs | empty masks | largest mask | mean quality | largest quality of a mask |")
    print("|---|---|---|---|---|---|")
    for name in dict.fromkeys(str(r["condition"]) for r in negatives):
        members = [r for r in negatives if r["condition"] == name]
        areas = np.array([r["area"] for r in members], float)
        quality = np.array([r["quality"] for r in members], float)
        most = quality[areas > 0].max() if (areas > 0).any() else float("nan")
        empty = int((areas == 0).sum())
        print(f"| {name} | {len(members)} | {empty} | {areas.max():.4f} | {quality.mean():.2f} | {most:.2f} |")
    sys.stdout.flush()
    traces = run_forged(photos, TRACES, options.pairs * 2 // 5, options.seed + 1, options.conditions)
    _print_table("traces, by operation", traces, lambda r: str(r["operation"]))
    _print_table("traces, by condition", traces, lambda r: str(r["condition"]))
    _print_table("content and traces", content + traces, lambda r: str(r["condition"]))
    seconds = np.array([r["seconds"] for r in content + traces], float)
    print(f"\n{np.median(seconds):.2f} s per pair (median), {np.percentile(seconds, 95):.2f} s (95 %)")
    if options.json:
        options.json.write_text(json.dumps({"content": content, "traces": traces, "negatives": negatives}, indent=1))


if __name__ == "__main__":
    main()
