"""The benchmark protocol: every picture at native size, fixed thresholds, authentic photographs always counted.

A data set is a folder with `images/` and `masks/` (white = forged, same stem; a picture without a mask file, or with a
black one, counts as authentic), or a folder of authentic photographs. A `manifest.jsonl` beside them may give a label
and strata of each picture ({"image": "images/a.png", "label": "authentic", "strata": {"size": 64}}). A forged picture
that cannot be examined counts as undetected; every such picture is listed and none is dropped in silence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from fakeexplain.errors import FakeExplainError, SourceError
from fakeexplain.evaluation.metrics import f1_score, iou_score, yardstick_masks
from fakeexplain.examiner import Examiner, Settings, examination_mask
from fakeexplain.imaging.source import SUFFIXES, printable
from fakeexplain.verdict import evidence_mask, significant, statistic_log10
from fakeexplain.workers import worker_pool


@dataclass(frozen=True)
class Item:
    """One picture of a data set; `mask_path` None for an authentic one."""

    dataset: str
    image_path: Path
    mask_path: Path | None
    group: str
    strata: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What a finished row is recognised by; another file under an old name is another picture."""
        status = self.image_path.stat()
        return self.dataset, printable(self.image_path.name), f"{status.st_size}-{status.st_mtime_ns}"


@dataclass(frozen=True)
class Row:
    """What one picture gave. F1 and IoU are empty for authentic pictures.

    `statistics` holds the smallest log10 NFA (or p) per instrument, None where it abstained; `f1` and `iou` hold one
    per predictor: "suite" (the verdict's mask), each instrument alone at its own threshold, the yardsticks.
    """

    dataset: str
    image: str
    group: str
    forged: bool
    strata: dict[str, str]
    megapixels: float = 0.0
    band: str = ""
    label: str = ""
    probability: float = 0.0
    statistics: dict[str, float | None] = field(default_factory=dict)
    area: float = 0.0
    true_area: float = 0.0
    f1: dict[str, float] = field(default_factory=dict)
    iou: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    stamp: str = ""


def read_dataset(folder: Path, name: str | None = None) -> list[Item]:
    """The pictures of a data set, sorted; `name` stands for the folder's own in rows and tables.

    Raises:
        SourceError: not a folder, or no pictures in it, or masks without pictures.
    """
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: no such folder; wanted one with images/ and masks/, or with authentic photographs"
        )
    images = folder / "images" if (folder / "images").is_dir() else folder
    masks = folder / "masks" if (folder / "masks").is_dir() else None
    pictures = sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES)
    if not pictures:
        raise SourceError(f"{images}: no pictures; wanted {folder}/images/* with {folder}/masks/*, or photographs")
    by_stem = {} if masks is None else {p.stem: p for p in masks.iterdir() if p.suffix.lower() in SUFFIXES}
    orphans = sorted(set(by_stem) - {p.stem for p in pictures})
    if orphans:
        raise SourceError(f"{folder}: {len(orphans)} masks without a picture of the same stem, first {orphans[0]}")
    strata, authentic = _read_manifest(folder / "manifest.jsonl")
    return [
        Item(
            dataset=name or folder.resolve().name,
            image_path=p,
            mask_path=None if p.name in authentic else _forged(by_stem.get(p.stem)),
            group=p.stem.split("_")[0],
            strata=strata.get(p.name, {}),
        )
        for p in pictures
    ]


def _forged(mask_path: Path | None) -> Path | None:
    """The path of a mask that marks something. A black mask says "authentic"; one that cannot be read fails later."""
    if mask_path is None:
        return None
    try:
        with Image.open(mask_path) as image:
            return mask_path if (np.asarray(image.convert("L")) >= 128).any() else None
    except (OSError, ValueError):
        return mask_path


def dataset_names(folders: Sequence[Path]) -> list[str]:
    """Distinct names of data sets: the folders' own, with as many parents before them as it takes.

    Raises:
        SourceError: one folder is given twice.
    """
    parts = [f.resolve().parts[1:] or ("data",) for f in folders]
    if len(set(parts)) < len(parts):
        raise SourceError("one data set is named twice; name each once")
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return [printable("/".join(p[-depth:])) for p in parts]


def _read_manifest(manifest: Path) -> tuple[dict[str, dict[str, str]], set[str]]:
    """(strata of each picture, names of the pictures that are labelled authentic, whatever their mask file)."""
    strata: dict[str, dict[str, str]] = {}
    authentic: set[str] = set()
    if not manifest.is_file():
        return strata, authentic
    for number, line in enumerate(manifest.read_text("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            name = os.path.basename(record["image"])
            strata[name] = {str(k): str(v) for k, v in (record.get("strata") or {}).items()}
            if record.get("label") in (0, "authentic"):
                authentic.add(name)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SourceError(f'{manifest}: line {number} is not a record with "image"; mend or remove it') from None
    return strata, authentic


def read_true_mask(path: Path, height: int, width: int) -> np.ndarray:
    """bool HxW from a mask picture, values of 128 and more are forged.

    Raises:
        SourceError: unreadable, or of another size than its picture.
    """
    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) >= 128
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: mask cannot be read ({error})") from None
    if mask.shape != (height, width):
        raise SourceError(f"{path}: mask is {mask.shape[1]}x{mask.shape[0]}, its picture {width}x{height}")
    return mask


def score_item(item: Item, settings: Settings) -> Row:
    """Examines one picture and scores it."""
    forged = item.mask_path is not None
    name = printable(item.image_path.name)
    try:
        examiner = Examiner(settings, threads=1, keep=1)
        source = examiner.load(item.image_path)
        examination = examiner.examine(source)
    except FakeExplainError as error:
        predictors = ("suite", *yardstick_masks(1, 1)) if forged else ()
        zeros = dict.fromkeys(predictors, 0.0)
        return Row(
            item.dataset,
            name,
            item.group,
            forged,
            item.strata,
            label="error",
            stamp=item.key[2],
            f1=zeros,
            iou=zeros,
            error=printable(str(error)),
        )
    statistics: dict[str, float | None] = {}
    for witness in examiner.panel.witnesses():
        values = [s for e in examination.evidence if e.instrument == witness and (s := statistic_log10(e)) is not None]
        statistics[witness] = min(values) if values else None
    predicted_mask = examination_mask(examination)
    f1: dict[str, float] = {}
    iou: dict[str, float] = {}
    true_area = 0.0
    if item.mask_path is not None:
        true_mask = read_true_mask(item.mask_path, source.height, source.width)
        true_area = float(true_mask.mean())
        predictions = {"suite": predicted_mask}
        found = significant(examination.evidence, examiner.panel)
        for witness in examiner.panel.witnesses():
            own = [e for e in found if e.instrument == witness]
            predictions[witness] = evidence_mask(own, source.height, source.width)
        predictions |= yardstick_masks(source.height, source.width)
        f1 = {k: f1_score(m, true_mask) for k, m in predictions.items()}
        iou = {k: iou_score(m, true_mask) for k, m in predictions.items()}
    return Row(
        dataset=item.dataset,
        image=name,
        group=item.group,
        forged=forged,
        strata=item.strata,
        megapixels=source.megapixels,
        band=examination.quality.band,
        label=examination.verdict.label,
        probability=examination.verdict.probability,
        statistics=statistics,
        area=float(predicted_mask.mean()),
        true_area=true_area,
        f1=f1,
        iou=iou,
        seconds=examination.seconds["total"],
        stamp=item.key[2],
    )


def run_benchmark(items: Sequence[Item], settings: Settings, *, workers: int = 2) -> Iterator[Row]:
    """Rows as they are finished. An error of the data set itself (a mask of the wrong size) ends the run."""
    if workers <= 1:
        for item in items:
            yield score_item(item, settings)
        return
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(score_item, item, settings) for item in items]):
            yield future.result()


def row_to_json(row: Row) -> str:
    return json.dumps(asdict(row))


def row_from_json(line: str) -> Row:
    return Row(**json.loads(line))
