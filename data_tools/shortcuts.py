"""Shortcut test: can a probe tell forged from authentic pictures without looking at traces?

    python -m data_tools.shortcuts --photos DIR --samples 2000 --size 256       # samples of the forge, made on the fly
    python -m data_tools.shortcuts --dataset DIR                                # any data set with a manifest.jsonl

A network that can sort a training set by file size or brightness learns that and not the traces. Two probes (logistic
regression, gradient boosting) get only what `FEATURES` lists: the file and its header, the dimensions, and how colours
and brightness are distributed. Residuals, noise, spectra and block traces are left out on purpose: they are the signal.
The AUC is cross-validated, all pictures of one photograph in the same fold, and must not exceed the limit.

The second, boundary-only probe sees a thin band along the mask's outline, against the same outline laid on an
authentic picture. It is reported and not gated: a seam *is* a trace, but one should know how much it gives away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data_tools.forge.config import ForgeConfig
from data_tools.forge.forge import Forge
from data_tools.forge.photos import group_of
from data_tools.schema import read_jsonl, read_mask, resolve
from fakeexplain.errors import FakeExplainError, SettingsError
from fakeexplain.evaluation.metrics import auc_score
from fakeexplain.imaging.jpeg import JpegFacts
from fakeexplain.imaging.source import SourceImage

LIMIT = 0.55
FOLDS, REPEATS, RESAMPLES = 5, 3, 1000
LEAST_PER_LABEL = 40  # below this the interval is wider than any limit
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_QUANTILES = (1, 5, 25, 50, 75, 95, 99)

FEATURES: tuple[str, ...] = (
    *("log file size", "bits per pixel", "is JPEG", "is PNG", "is WebP", "JPEG quality", "JPEG 4:2:0", "progressive"),
    *("width", "height", "log pixels", "log aspect", "width mod 8", "height mod 8"),
    *(f"{channel} {moment}" for moment in ("mean", "std") for channel in ("red", "green", "blue", "luma")),
    *(f"luma quantile {q} %" for q in _QUANTILES),
    *("luma skewness", "share of black", "share of white"),
    *("saturation mean", "saturation std", *(f"saturation quantile {q} %" for q in (5, 50, 95))),
    *("blue-yellow mean", "blue-yellow std", "red-green mean", "red-green std"),
)
BOUNDARY_FEATURES: tuple[str, ...] = (
    *("gradient on the boundary", "gradient, boundary over inside", "gradient, boundary over outside"),
    *("second difference on the boundary", "second difference, boundary over inside"),
    *("second difference, boundary over outside", "luma step across", "colour step across", "saturation step across"),
    *("spread of the step", "luma std in the band"),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """What the probes may see of one picture: upright uint8 HxWx3, header facts, bytes in the file, truth, photograph.

    `mask` is bool HxW or None where the data set names none; `operations` are for the breakdown only.
    """

    rgb: np.ndarray = field(repr=False)
    jpeg: JpegFacts | None
    file_bytes: int
    file_format: str
    forged: bool
    group: str
    mask: np.ndarray | None = field(default=None, repr=False)
    operations: tuple[str, ...] = ()


def picture_features(picture: Picture) -> np.ndarray:
    """float64 (len(FEATURES),): file, dimensions, colour and brightness; see `FEATURES` for the order.

    Levels are in grey levels 0..255, saturation (HSV) in 0..1, sizes in bytes and pixels; quality is 0 without JPEG.
    """
    rgb, jpeg = picture.rgb, picture.jpeg
    height, width = rgb.shape[:2]
    luma = rgb @ _LUMA
    flat = rgb.reshape(-1, 3).astype(np.float32)
    saturation = _saturation(rgb)
    blue_yellow, red_green = flat[:, 2] - flat[:, :2].mean(1), flat[:, 0] - flat[:, 1]
    spread = float(luma.std())
    skewness = float(((luma - luma.mean()) ** 3).mean()) / max(spread, 1.0) ** 3
    values = [
        *(np.log(max(picture.file_bytes, 1)), 8.0 * picture.file_bytes / (height * width)),
        *(picture.file_format == name for name in ("JPEG", "PNG", "WEBP")),
        *((jpeg.quality, jpeg.subsampling == "4:2:0", jpeg.progressive) if jpeg is not None else (0, 0, 0)),
        *(width, height, np.log(height * width), np.log(width / height), width % 8, height % 8),
        *(*flat.mean(0), luma.mean(), *flat.std(0), spread),
        *np.percentile(luma, _QUANTILES),
        *(skewness, (luma <= 2).mean(), (luma >= 253).mean()),
        *(saturation.mean(), saturation.std(), *np.percentile(saturation, (5, 50, 95))),
        *(blue_yellow.mean(), blue_yellow.std(), red_green.mean(), red_green.std()),
    ]
    return np.array(values, dtype=np.float64)


def _saturation(rgb: np.ndarray) -> np.ndarray:
    high = rgb.max(axis=2).astype(np.float32)
    return (high - rgb.min(axis=2)) / np.maximum(high, 1.0)


def boundary_features(rgb: np.ndarray, region_mask: np.ndarray) -> np.ndarray | None:
    """float64 (len(BOUNDARY_FEATURES),) of a band two pixels to either side of the outline, the frame's edge left out.

    Compared with rings 3 to 6 px inside and outside. None without an outline, or where the region has no such inside.
    """
    kernel = np.ones((3, 3), np.uint8)
    region = region_mask.astype(np.uint8)

    def rings(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # OpenCV lets nothing grow in from beyond the frame, for the mask and for its complement alike.
        near, far = (cv2.dilate(mask, kernel, iterations=by).astype(bool) for by in (2, 6))
        return near & ~mask.astype(bool), far & ~near

    (near_out, far_out), (near_in, far_in) = rings(region), rings(1 - region)
    band = near_in | near_out
    if min(near_in.sum(), near_out.sum(), far_in.sum(), far_out.sum()) < 16:
        return None
    luma = rgb @ _LUMA
    gradient = np.hypot(cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)) / 32.0
    second = np.abs(cv2.Laplacian(luma, cv2.CV_32F))
    step = cv2.blur(rgb.astype(np.float32), (5, 5))[band] - rgb[band]
    saturation = _saturation(rgb)

    def ratio(plane: np.ndarray, beside: np.ndarray) -> float:
        return float(np.log((plane[band].mean() + 0.5) / (plane[beside].mean() + 0.5)))

    across = np.abs(rgb[near_in].mean(0) - rgb[near_out].mean(0))
    values = [
        *(np.log(gradient[band].mean() + 0.5), ratio(gradient, far_in), ratio(gradient, far_out)),
        *(np.log(second[band].mean() + 0.5), ratio(second, far_in), ratio(second, far_out)),
        *(across @ _LUMA, across.max(), abs(saturation[near_in].mean() - saturation[near_out].mean())),
        *(step.std(), luma[band].std()),
    ]
    return np.array(values, dtype=np.float64)


# --- the probes -----------------------------------------------------------------------------------------------------


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Chance that a forged picture (`labels` True) scores above an authentic one, ties counting half; needs both."""
    return auc_score(scores[labels], scores[~labels])


def bootstrap_interval(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % percentile interval of the AUC when whole photographs (`groups`, int (N,) from 0) are drawn with return.

    The probes are not trained again, so it is too narrow: without any leak, 0.5 lay in it in 80 % of draws, not 95 %.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    aucs = []
    for _ in range(resamples):
        drawn = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        if 0 < labels[drawn].sum() < drawn.size:
            aucs.append(roc_auc(scores[drawn], labels[drawn]))
    low, high = np.percentile(aucs, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Probe:
    """A probe's cross-validated result: AUC, its 95 % interval, float (N,) held-out scores (larger = forged)."""

    name: str
    auc: float
    low: float
    high: float
    scores: np.ndarray = field(repr=False)


def _estimators(seed: int) -> dict[str, Any]:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        raise SettingsError("the shortcut test needs scikit-learn; pip install 'fakeexplain[probe]'") from None
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=100, max_leaf_nodes=8, min_samples_leaf=20, random_state=seed
    )
    return {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)),
        "gradient boosting": boosting,
    }


def run_probes(features: np.ndarray, labels: np.ndarray, groups: Iterable[str], seed: int = 0) -> list[Probe]:
    """Both probes, 3 times 5 folds, no photograph in two folds; a picture's score is the mean of its three log-odds.

    Args:
        features: float (N, F). labels: bool (N,), True = forged. groups: N names of photographs.

    Raises:
        SettingsError: scikit-learn is not installed; fewer than 40 pictures of a label or 5 photographs.
    """
    models = _estimators(seed)
    from sklearn.model_selection import StratifiedGroupKFold

    names, codes = np.unique(np.asarray(list(groups)), return_inverse=True)
    least = int(min(labels.sum(), (~labels).sum()))
    if least < LEAST_PER_LABEL or len(names) < FOLDS:
        raise SettingsError(
            f"{int(labels.sum())} forged and {int((~labels).sum())} authentic pictures of {len(names)} photographs; "
            f"wanted at least {LEAST_PER_LABEL} of each and {FOLDS} photographs: raise --samples"
        )
    probes = []
    for name, model in models.items():
        scores = np.zeros(labels.size)
        for repeat in range(REPEATS):
            folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
            for train, held_out in folds.split(features, labels, codes):
                model.fit(features[train], labels[train])
                scores[held_out] += model.decision_function(features[held_out]) / REPEATS
        low, high = bootstrap_interval(scores, labels, codes, seed)
        probes.append(Probe(name, roc_auc(scores, labels), low, high, scores))
    return probes


# --- reading and reporting ------------------------------------------------------------------------------------------


def forge_pictures(photos: Path, count: int, size: int, seed: int = 0) -> Iterator[Picture]:
    """Samples 0 .. count - 1 of a forge with the default configuration. Raises SettingsError for no photographs."""
    forge = Forge(photos, seed, size, ForgeConfig())
    for index in range(count):
        sample = forge.sample(index)
        header = (sample.jpeg, len(sample.file_bytes()), sample.file_format)
        group = group_of(Path(sample.photo).stem)
        yield Picture(sample.image, *header, bool(sample.label), group, sample.mask, sample.operations)


def dataset_pictures(dataset: Path, count: int, seed: int = 0) -> Iterator[Picture]:
    """At most `count` pictures, drawn by chance, of a folder with manifest.jsonl or of a .jsonl file.

    Records of label "unknown" are passed over. Where a record names no photograph, its file counts as one.
    Raises SourceError for records or files that cannot be read.
    """
    manifest = dataset / "manifest.jsonl" if dataset.is_dir() else dataset
    records = [record for record in read_jsonl(manifest) if record.label != "unknown"]
    order = np.random.default_rng(seed).permutation(len(records))[:count]
    for record in (records[i] for i in sorted(order)):
        source = SourceImage.from_path(resolve(manifest.parent, record.image))
        header = (source.jpeg, len(source.data), source.format)
        forged, group = record.label == "forged", record.source or record.image
        mask = read_mask(record.mask, manifest.parent) if record.mask is not None and forged else None
        yield Picture(source.rgb, *header, forged, group, mask, record.operations)


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything the command prints, of N pictures: features float (N, F), labels bool (N,), and the probes over them.

    `outlined` int (M,) says which pictures the M outlines lie on, `outlines` float (M, B) holds their boundary
    features, `boundary` the boundary-only probes with M scores each ([] where there were too few outlines).
    """

    features: np.ndarray
    labels: np.ndarray
    groups: list[str]
    operations: list[tuple[str, ...]]
    probes: list[Probe]
    outlined: np.ndarray
    outlines: np.ndarray
    boundary: list[Probe]

    @property
    def worst(self) -> Probe:
        """The probe with the larger AUC: the one that is held against the limit."""
        return max(self.probes, key=lambda probe: probe.auc)


def examine(pictures: Iterable[Picture], seed: int = 0) -> Findings:
    """Runs both tests over a stream of pictures, of which only the figures and a few masks are kept.

    For the boundary probe every forged picture's mask is later laid, once, on an authentic picture of the same size.
    Raises SettingsError as `run_probes`.
    """
    rows, labels, groups, operations = [], [], [], []
    outlined, outlines = [], []
    waiting: deque[np.ndarray] = deque(maxlen=64)
    for number, picture in enumerate(pictures):
        rows.append(picture_features(picture))
        labels.append(picture.forged)
        groups.append(picture.group)
        operations.append(picture.operations)
        masks = [mask for mask in ([picture.mask] if picture.forged else waiting) if mask is not None]
        fitting = [i for i, mask in enumerate(masks) if mask.shape == picture.rgb.shape[:2]]
        if not fitting:
            continue
        mask = masks[fitting[0]]
        if picture.forged:
            waiting.append(mask)
        else:
            del waiting[fitting[0]]
        found = boundary_features(picture.rgb, mask)
        if found is not None:
            outlined.append(number)
            outlines.append(found)
    features, truth = np.array(rows).reshape(-1, len(FEATURES)), np.array(labels, dtype=bool)
    where, edges = np.array(outlined, dtype=np.intp), np.array(outlines).reshape(-1, len(BOUNDARY_FEATURES))
    probes = run_probes(features, truth, groups, seed)
    enough = min(truth[where].sum(), (~truth[where]).sum()) >= LEAST_PER_LABEL
    boundary = run_probes(edges, truth[where], [groups[i] for i in where], seed) if enough else []
    return Findings(features, truth, groups, operations, probes, where, edges, boundary)


def _feature_table(names: tuple[str, ...], features: np.ndarray, labels: np.ndarray) -> Table:
    """Single features, the most telling ones first; an AUC below 0.5 means: smaller when forged."""
    table = Table("feature", "median authentic", "median forged", "AUC")
    aucs = np.array([roc_auc(values, labels) for values in features.T])
    for i in np.argsort(-np.abs(aucs - 0.5), kind="stable"):
        medians = [f"{np.median(features[labels == truth, i]):.4g}" for truth in (False, True)]
        table.add_row(names[i], *medians, f"{aucs[i]:.3f}")
    return table


def _operation_table(findings: Findings) -> Table:
    """AUC of the pictures with one operation against all authentic ones, from the held-out scores."""
    columns = {"AUC": (findings.worst, np.arange(findings.labels.size))}
    if findings.boundary:
        columns["AUC, boundary only"] = (findings.boundary[-1], findings.outlined)
    table = Table("operation, against all authentic", "pictures", *columns)
    for name in sorted({name for names in findings.operations for name in names}):
        with_it = np.array([name in names for names in findings.operations]) & findings.labels
        cells = []
        for probe, where in columns.values():
            chosen, kept = with_it[where], (with_it | ~findings.labels)[where]
            cells.append(f"{roc_auc(probe.scores[kept], chosen[kept]):.3f}" if chosen.any() else "")
        table.add_row(escape(name), str(with_it.sum()), *cells)
    return table


def show(findings: Findings, limit: float, console: Console) -> None:
    """Prints tables and the conclusion."""

    def say(text: str, probes: Iterable[Probe] = ()) -> None:
        console.print(text, highlight=False, soft_wrap=True)
        for p in probes:
            console.print(f"  {p.name}: AUC {p.auc:.3f} (95 % interval {p.low:.3f} to {p.high:.3f})", highlight=False)

    labels, edges = findings.labels, findings.labels[findings.outlined]
    console.print(_feature_table(FEATURES, findings.features, labels))
    if findings.boundary:
        console.print(_feature_table(BOUNDARY_FEATURES, findings.outlines, edges))
    if any(findings.operations):
        console.print(_operation_table(findings))
    if findings.boundary:
        counts = f"{edges.sum()} outlines of forgeries, {(~edges).sum()} laid on authentic pictures"
        say(f"Boundary-only probes (reported, no limit), {counts}:", findings.boundary)
    else:
        say("Boundary-only probe: left out, too few masks with authentic pictures of the same size.")
    counts = f"{labels.sum()} forged, {(~labels).sum()} authentic pictures, {len(set(findings.groups))} photographs"
    say(f"Shortcut probes, {counts}:", findings.probes)
    word = "[red]over[/]" if findings.worst.auc > limit else "[green]within[/]"
    say(f"Largest AUC {findings.worst.auc:.3f}: {word} the limit of {limit:g}")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    photos: Annotated[Path | None, typer.Option(help="Photographs to forge from, with the default settings.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Folder with manifest.jsonl, or a .jsonl file.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many pictures at most.")] = 2000,
    size: Annotated[int, typer.Option(min=64, help="Side of a forged sample (with --photos).")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the forge, the choice of pictures and the folds.")] = 0,
    limit: Annotated[float, typer.Option(min=0.5, max=1.0, help="Largest AUC that passes.")] = LIMIT,
) -> None:
    """Test whether file, size, colour or brightness give forged pictures away. Exit code 1 when they do."""
    error_console = Console(stderr=True)
    try:
        if (photos is None) == (dataset is None):
            raise SettingsError("give either --photos or --dataset")
        _estimators(seed)  # a missing package is told before minutes of forging
        forged = forge_pictures(photos, samples, size, seed) if photos is not None else None
        pictures = forged or dataset_pictures(dataset or Path(), samples, seed)
        quiet = not error_console.is_terminal
        findings = examine(track(pictures, "reading", total=samples, console=error_console, disable=quiet), seed)
    except FakeExplainError as error:
        error_console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    show(findings, limit, Console())
    if findings.worst.auc > limit:
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m data_tools.shortcuts")
