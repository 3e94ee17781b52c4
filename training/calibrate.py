"""Calibrates exported weights: `python -m training.calibrate --weights FOLDER --photos PHOTOS --calibration AUTHENTIC`.

Five fits, each on pictures that the network was not trained on:
1. on the forge's held-out photographs: the map's temperature (by likelihood), the offset that makes 0.5 the threshold
   of the largest mean F1 - false area, and the confidence on either side of it;
2. image scores of the authentic photographs in AUTHENTIC, per quality band, for the conformal p-value;
3. bands with fewer than 300 of them are filled up with copies of the other photographs as such a band would hold them:
   PNG copies (`not_jpeg`), saved again at quality 45, 75, 92 (`jpeg_low`, `jpeg_medium`, `jpeg_high`), central crops of
   288 pixels (`small`). Of 300 photographs two may lie above a threshold of 1 %, of 150 none, and that finds less;
4. scores of places of the authentic photographs, per size, for the test of a region that somebody names;
5. how often the guess at the operation is right, on held-out forgeries with an alarm, for only then is it told.

Writes calibration.json beside the weights.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
import typer
from rich.progress import track
from scipy import optimize

from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge
from fakeexplain import region_test
from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.imaging import degrade
from fakeexplain.imaging.source import SUFFIXES, SourceImage
from fakeexplain.localization import LEAST_AREA, LEAST_BAND, Calibration, Expert
from fakeexplain.models.configuration import OPERATIONS
from fakeexplain.models.processing import run_expert
from fakeexplain.models.weights import weights_sha256
from fakeexplain.quality import assess
from fakeexplain.region_test import Law
from fakeexplain.workers import worker_pool
from training.data import OPERATION_OF

PIXELS_PER_PICTURE = 2000
LEVELS = np.arange(-8.0, 4.01, 0.125)  # of mask logits, tried as thresholds
LEAST_FORGED = 0.005  # of the picture: F1 of smaller regions is chance
ENOUGH = 300  # photographs of a band, so that what 1 % of them may do is more than nothing
QUALITIES = {"jpeg_low": 45, "jpeg_medium": 75, "jpeg_high": 92}  # of copies
ALARMS, LEAST_NAMED = 0.01, 10  # share of authentic pictures with an alarm; guesses of an operation that are counted
Level: TypeAlias = tuple[float, float]  # temperature and offset; without them no map is known to mark anything
Places: TypeAlias = dict[str, list[float]]  # per class of size, scores of places of one photograph
_expert: Expert | None = None


def _start(folder: Path) -> Expert:
    global _expert
    if _expert is None:
        torch.set_num_threads(1)
        _expert = Expert.load(folder, calibrated=False)
    return _expert


def forged_sample(arguments: tuple[Path, Path, ForgeConfig, int, int]) -> dict[str, Any] | None:
    """One held-out forgery: logits and truth of some of its pixels, operation named and true."""
    weights, photos, config, size, index = arguments
    expert = _start(weights)
    sample = Forge(photos, 7, size, config).sample(index)
    table = None if sample.jpeg is None else sample.jpeg.luma_table.astype(np.float32).ravel()
    raw = run_expert(expert.model, sample.image, table)
    chosen = np.random.default_rng(index).integers(sample.mask.size, size=PIXELS_PER_PICTURE)
    names = {OPERATION_OF[name] for name in sample.operations}
    marked = sample.mask.size - np.searchsorted(np.sort(raw.mask_logits, axis=None), LEVELS)
    inside = np.sort(raw.mask_logits[sample.mask], axis=None)
    f1 = 2 * (inside.size - np.searchsorted(inside, LEVELS)) / np.maximum(marked + inside.size, 1)
    return {
        "f1": f1 if sample.mask.mean() >= LEAST_FORGED else None,
        "marked": marked / sample.mask.size,
        "forged": bool(sample.label),
        "image_logit": float(raw.image_logit),
        "logits": raw.mask_logits.ravel()[chosen],
        "confidence": raw.confidence_logits.ravel()[chosen],
        "truth": sample.mask.ravel()[chosen],
        "named": OPERATIONS[int(np.argmax(raw.operation_logits))],
        "true": sorted(names),
    }


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The divisor of the logits with the smallest mean negative log likelihood, within 0.25 .. 4 (Guo et al., ICML
    2017); a divisor leaves the sign, and so the mask at 0.5, as it is."""
    candidates = np.exp(np.linspace(math.log(0.25), math.log(4.0), 81))
    losses = [float(np.mean(np.logaddexp(0.0, np.where(truth, -1.0, 1.0) * logits / t))) for t in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 4)


def fit_offset(f1: np.ndarray, false_area: np.ndarray, temperature: float) -> float:
    """The offset after the temperature that puts the logit level with the largest mean F1 - false area at 0.

    The false area is there because F1 alone would mark nearly everything on forgeries without a usable trace.

    Args:
        f1: forged pictures x `LEVELS`, F1 when all cells from that level on are marked.
        false_area: authentic pictures x `LEVELS`, share of the picture marked then.
    """
    worth = f1.mean(axis=0) - false_area.mean(axis=0)
    return round(-float(LEVELS[int(np.argmax(worth))]) / temperature, 4)


def fit_confidence(
    logits: np.ndarray, marked: np.ndarray, truth: np.ndarray
) -> dict[Literal["marked", "unmarked"], tuple[float, float]]:
    """Slope and intercept of confidence logits on each side of the map's threshold, so that their sigmoid is the share
    of cells on whose side the map is right (Platt 1999).

    Args:
        logits: float N. marked, truth: bool N, of the same cells; both values occur in `marked`.
    """
    found: dict[Literal["marked", "unmarked"], tuple[float, float]] = {}
    sides: tuple[tuple[Literal["marked", "unmarked"], np.ndarray], ...] = (("marked", marked), ("unmarked", ~marked))
    for name, cells in sides:
        x, right = logits[cells].astype(np.float64), (marked == truth)[cells]

        def loss(parameters: np.ndarray, x: np.ndarray = x, right: np.ndarray = right) -> float:
            level = parameters[0] * x + parameters[1]
            return float(np.mean(np.logaddexp(0.0, np.where(right, -level, level))))

        # Slopes below 0 would say that the less sure the network is, the more often it is right.
        fitted = optimize.minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=((0.0, 10.0), (-10.0, 10.0)))
        found[name] = (round(float(fitted.x[0]), 4), round(float(fitted.x[1]), 4))
    return found


def _copies(source: SourceImage) -> dict[str, Callable[[], bytes]]:
    """How a photograph would arrive in each of the bands."""
    rgb = source.rgb
    side = 288
    y, x = (max((n - side) // 2, 0) // 8 * 8 for n in rgb.shape[:2])
    return {
        "not_jpeg": lambda: degrade.encode_png(rgb),
        **{band: partial(degrade.encode_jpeg, rgb, quality) for band, quality in QUALITIES.items()},
        "small": lambda: degrade.encode_jpeg(np.ascontiguousarray(rgb[y : y + side, x : x + side]), 90),
    }


def photograph(arguments: tuple[Path, Level, Path]) -> tuple[str, float, Places]:
    """Band and image score of one photograph as it is, and the scores of some places; see `region_test`."""
    weights, level, path = arguments
    source = SourceImage.from_path(path)
    rng = np.random.default_rng(int(source.sha256[:12], 16))
    tried = list(region_test.places(source.rgb, rng))
    found = _leveled(weights, level).localize(source, threads=1, regions=[region for _, region in tried])
    places: Places = defaultdict(list)
    for (size, _), score in zip(tried, found.region_scores, strict=True):
        places[size].append(score)
    return assess(source).band, found.score, dict(places)


def copies(arguments: tuple[Path, Level, Path, tuple[str, ...]]) -> list[tuple[str, float]]:
    """(band, image score) of copies of one photograph, for those of the bands asked for that a copy really falls in."""
    weights, level, path, wanted = arguments
    expert = _leveled(weights, level)
    source = SourceImage.from_path(path)
    found = []
    own = assess(source).band  # a copy in the photograph's own band would count it twice
    for band, make in _copies(source).items():
        if band in wanted and band != own:
            copy = SourceImage.from_bytes(make(), name=path.name)
            if assess(copy).band == band:
                found.append((band, expert.localize(copy, threads=1).score))
    return found


def _looked_at(pool: Executor, weights: Path, level: Level, files: Sequence[Path]) -> list[tuple[str, float, Places]]:
    jobs = [(weights, level, f) for f in files]
    return list(_shown(pool.map(photograph, jobs), len(files), "photographs"))


def laws_of_regions(photographs: Iterable[Places]) -> dict[str, Law]:
    """The law of regions per class of size; a class that too few photographs have a place for is left out."""
    scores: dict[str, list[list[float]]] = defaultdict(list)
    for places in photographs:
        for size, values in places.items():
            scores[size].append(values)
    return {size: region_test.fit_law(found) for size, found in scores.items() if len(found) >= LEAST_BAND}


def _leveled(weights: Path, level: Level) -> Expert:
    """The expert with its map calibrated and nothing else yet."""
    temperature, offset = level
    expert = _start(weights)
    expert.calibration = Calibration(
        weights_sha256="", temperature=temperature, offset=offset, scores={}, operation_reliability={}, data=""
    )
    return expert


def _by_band(
    pool: Executor, weights: Path, level: Level, files: Sequence[Path], photographs: Iterable[tuple[str, float, Places]]
) -> tuple[dict[str, tuple[float | None, ...]], str]:
    """(rising scores per band and of all photographs as they are, what the bands hold in words)."""
    scores: dict[str, list[float]] = defaultdict(list)
    for band, score, _ in photographs:
        scores[band].append(score)
        scores["all"].append(score)
    few = tuple(b for b in ("not_jpeg", *QUALITIES, "small") if len(scores[b]) < ENOUGH)
    jobs = [(weights, level, f, few) for f in files]
    for found in _shown(pool.map(copies, jobs), len(files), "copies for bands with few"):
        for band, score in found:
            scores[band].append(score)
    words = f"{len(files)} authentic photographs; bands {', '.join(few) or 'none'} filled up with copies of them"
    return {b: tuple(_finite(s) for s in sorted(v)) for b, v in sorted(scores.items())}, words


def recalibrate_scores(weights: Path, calibration: Path, *, workers: int) -> Calibration:
    """The calibration of these weights with the scores of photographs counted anew, all else as it is."""
    known = Expert.load(weights).calibration
    assert known is not None
    files = _photographs(calibration)
    level = (known.temperature, known.offset)
    with worker_pool(workers) as pool:
        found = _looked_at(pool, weights, level, files)
        scores, words = _by_band(pool, weights, level, files, found)
    return known.model_copy(update={"scores": scores, "data": "; ".join([words, *known.data.split("; ")[2:]])})


def recalibrate_regions(weights: Path, calibration: Path, *, workers: int) -> Calibration:
    """The calibration of these weights with the law of regions counted anew, all else as it is."""
    known = Expert.load(weights).calibration
    assert known is not None
    files = _photographs(calibration)
    with worker_pool(workers) as pool:
        found = _looked_at(pool, weights, (known.temperature, known.offset), files)
    laws = laws_of_regions(places for _, _, places in found)
    return known.model_copy(update={"regions": laws, "region_photographs": len(files)})


def reliability_of_hints(
    samples: Iterable[dict[str, Any]], authentic: Sequence[float | None], level: Level
) -> dict[str, float]:
    """Share of right guesses per operation named at least ten times on forgeries with an alarm.

    Args:
        samples: of `forged_sample`.
        authentic: scores of photographs as they are kept, one in a hundred of which may have an alarm.
    """
    temperature, offset = level
    at = int(np.argmin(np.abs(LEVELS + offset * temperature)))  # what the map marks as it is shown
    least = sorted((-math.inf if s is None else s for s in authentic), reverse=True)[int(ALARMS * len(authentic))]
    hits = [s for s in samples if s["forged"] and s["marked"][at] >= LEAST_AREA and s["image_logit"] > least]
    named = {name: [name in s["true"] for s in hits if s["named"] == name] for name in OPERATIONS}
    return {name: round(sum(right) / len(right), 3) for name, right in named.items() if len(right) >= LEAST_NAMED}


def recalibrate_hints(
    weights: Path, photos: Path, *, samples: int, size: int, workers: int, validation_share: float
) -> Calibration:
    """The calibration of these weights with the guesses at operations counted anew, all else as it is."""
    known = Expert.load(weights).calibration
    assert known is not None
    config = ForgeConfig(split="validation", validation_share=validation_share)
    with worker_pool(workers) as pool:
        jobs = [(weights, photos, config, size, i) for i in range(samples)]
        found = [s for s in _shown(pool.map(forged_sample, jobs), samples, "guesses") if s is not None]
    reliability = reliability_of_hints(found, known.scores["all"], (known.temperature, known.offset))
    return known.model_copy(update={"operation_reliability": reliability})


def _photographs(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if len(files) < LEAST_BAND:
        raise SettingsError(f"{folder}: {len(files)} photographs, at least {LEAST_BAND} are needed")
    return files


def calibrate(
    weights: Path,
    photos: Path,
    calibration: Path,
    *,
    forged: int,
    size: int,
    workers: int,
    hints: int = 1200,
    validation_share: float = ForgeConfig().validation_share,
) -> Calibration:
    """Runs all fits.

    Args:
        forged, hints: samples of the forge, and how many more of them for the guesses at operations.
        validation_share: what the training held out of `photos`.

    Raises:
        SettingsError: a folder holds nothing to calibrate on.
    """
    files = _photographs(calibration)
    config = ForgeConfig(split="validation", validation_share=validation_share)
    with worker_pool(workers) as pool:
        jobs = [(weights, photos, config, size, i) for i in range(forged)]
        samples = [s for s in _shown(pool.map(forged_sample, jobs), forged, "forgeries") if s is not None]
        logits, truth, sure = (np.concatenate([s[k] for s in samples]) for k in ("logits", "truth", "confidence"))
        temperature = fit_temperature(logits, truth)
        offset = fit_offset(
            np.stack([s["f1"] for s in samples if s["f1"] is not None]),
            np.stack([s["marked"] for s in samples if not s["forged"]]),
            temperature,
        )
        level = (temperature, offset)
        photographs = _looked_at(pool, weights, level, files)
        scores, words = _by_band(pool, weights, level, files, photographs)
        jobs = [(weights, photos, config, size, i) for i in range(forged, forged + hints)]
        samples += [s for s in _shown(pool.map(forged_sample, jobs), hints, "guesses") if s is not None]
    reliability = reliability_of_hints(samples, scores["all"], level)
    return Calibration(
        weights_sha256=weights_sha256(weights),
        temperature=temperature,
        offset=offset,
        confidence=fit_confidence(sure, logits / temperature + offset >= 0, truth),
        scores=scores,
        operation_reliability=reliability,
        regions=laws_of_regions(places for _, _, places in photographs),
        region_photographs=len(files),
        data=(
            f"{words}; temperature and offset on {forged} held-out samples of the forge, operations on {forged + hints}"
        ),
    )


def _finite(score: float) -> float | None:
    return round(score, 5) if math.isfinite(score) else None


def _shown(results: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    yield from track(results, description=what, total=total)


def main(
    weights: Annotated[Path, typer.Option(help="Folder written by training.export.", show_default=False)],
    calibration: Annotated[Path, typer.Option(help="Authentic photographs that nothing was trained on.")],
    photos: Annotated[
        Path | None, typer.Option(help="Photographs of the training; its validation side is used.")
    ] = None,
    forged: Annotated[int, typer.Option(min=50, help="Held-out samples of the forge for the temperature.")] = 400,
    size: Annotated[int, typer.Option(min=64, help="Their side in pixels.")] = 384,
    validation_share: Annotated[
        float,
        typer.Option(
            min=0.001, max=1, help="`forge.validation_share` of the training; photographs above it were seen."
        ),
    ] = ForgeConfig().validation_share,
    hints: Annotated[int, typer.Option(min=0, help="Further samples for the guesses at operations.")] = 1200,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    operations: Annotated[
        bool, typer.Option("--operations", help="Only count the guesses at operations anew; keep the rest.")
    ] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="Only count the scores of photographs anew; keep the rest.")
    ] = False,
    regions: Annotated[
        bool, typer.Option("--regions", help="Only count the law of regions anew; keep the rest.")
    ] = False,
) -> None:
    """Fit temperature, conformal scores, operation hints and the law of regions; write calibration.json."""
    try:
        if regions:
            result = recalibrate_regions(weights, calibration, workers=workers)
        elif scores:
            result = recalibrate_scores(weights, calibration, workers=workers)
        elif photos is None:
            raise SettingsError("--photos: wanted the photographs of the training; --scores and --regions need none")
        elif operations:
            total, share = forged + hints, validation_share
            result = recalibrate_hints(
                weights, photos, samples=total, size=size, workers=workers, validation_share=share
            )
        else:
            result = calibrate(
                weights,
                photos,
                calibration,
                forged=forged,
                hints=hints,
                size=size,
                workers=workers,
                validation_share=validation_share,
            )
    except FakeExplainError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    path = result.write(weights)
    counts = ", ".join(f"{band} {len(values)}" for band, values in result.scores.items())
    typer.echo(f"{path}: temperature {result.temperature}, offset {result.offset}, photographs per band: {counts}")
    typer.echo(f"operation hints right: {result.operation_reliability}")
    typer.echo(
        f"sizes of region with a law: {', '.join(result.regions) or 'none'}, on {result.region_photographs} photographs"
    )


if __name__ == "__main__":
    typer.run(main)
