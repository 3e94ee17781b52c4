"""What one picture gave, as one line of JSON; and the scores of a picture that tables and curves are made of.

Predictors are named: "suite" is the verdict's mask, an instrument's (or the expert's) own name its significant regions,
"NAME map" its score map at the fixed threshold, "suite map" the joint map (`examiner.examination_map`); a map folder
of another tool has the name it was given; the rest are yardsticks that know nothing. Left out: how rows come about
(`protocol`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from fakeexplain.evaluation.metrics import YARDSTICKS
from fakeexplain.verdict import EXPERT, Panel

SUITE, SUITE_MAP = "suite", "suite map"


@dataclass(frozen=True)
class Row:
    """What one picture gave.

    Attributes:
        dataset, image, group, strata, recipe, cell: see `datasets.Item`. stamp: of the file, so that rows are reused
            only for the same bytes.
        forged: the truth.
        megapixels, band, label, probability: of the picture and its verdict; label "" when only maps of another tool
            were scored, "error" when the picture could not be examined.
        statistics: smallest log10 NFA (or p) per witness, None where it abstained.
        area: marked share of the picture (the verdict's mask). true_area: forged share.
        f1, iou, permuted_f1: per predictor; forged pictures only. permuted_f1 is an oracle.
        pixel_auc, pixel_ap, best_f1: per map; forged pictures only. best_f1 is an oracle.
        marked, largest: per predictor, share of the picture that is marked, in all and by the largest region.
        peak: per map, its largest value.
        resized: maps of another tool that had to be brought to the picture's size.
        seconds: the examination took. error: why the picture could not be examined, "" otherwise.
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
    cell: str = ""
    recipe: dict[str, str] = field(default_factory=dict)
    permuted_f1: dict[str, float] = field(default_factory=dict)
    best_f1: dict[str, float] = field(default_factory=dict)
    pixel_auc: dict[str, float] = field(default_factory=dict)
    pixel_ap: dict[str, float] = field(default_factory=dict)
    marked: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        """The same as its item's."""
        return self.dataset, self.image, self.stamp


FIGURES = ("f1", "iou", "permuted_f1", "best_f1", "pixel_auc", "pixel_ap", "marked", "largest", "peak")


def gather(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Figures by predictor (see `pixels`) -> a row's fields, each by predictor."""
    return {field_: {name: own[field_] for name, own in figures.items() if field_ in own} for field_ in FIGURES}


def row_to_json(row: Row) -> str:
    return json.dumps(asdict(row))


def row_from_json(line: str) -> Row:
    return Row(**json.loads(line))


def witnesses(rows: Sequence[Row]) -> list[str]:
    """Names of all witnesses of the rows' examinations, in panel order."""
    return list(dict.fromkeys(w for r in rows for w in r.statistics))


def predictors(rows: Sequence[Row]) -> list[str]:
    """All predictors but the yardsticks, in a stable order: suite first."""
    found = dict.fromkeys(name for r in rows for name in (*r.f1, *r.marked))
    return [name for name in found if name not in YARDSTICKS]


def maps(rows: Sequence[Row]) -> list[str]:
    """Those predictors that have a map."""
    return list(dict.fromkeys(name for r in rows for name in (*r.pixel_auc, *r.peak)))


def main_predictors(rows: Sequence[Row]) -> list[str]:
    """What a reader wants to see first: the verdict's mask, maps of other tools, and with an expert its own part.

    The expert's part is its significant region, its raw map, and the joint map, which only with an expert is meant to
    be read at the threshold.
    """
    names = witnesses(rows)
    detail = {*names, *(f"{w} map" for w in names), SUITE_MAP}
    if EXPERT in names:
        detail -= {EXPERT, f"{EXPERT} map", SUITE_MAP}
    return [p for p in predictors(rows) if p not in detail]


def passes(row: Row, witness: str, threshold: float) -> bool:
    """Whether a witness's smallest statistic lies below log10(threshold)."""
    statistic = row.statistics.get(witness)
    return statistic is not None and statistic < math.log10(threshold)


def image_score(row: Row) -> float:
    """`Panel.suspicion`, on which the verdict's likelihood ratios are fitted; -inf where nothing was examined."""
    panel = Panel(
        instruments=tuple(w for w in row.statistics if w != EXPERT), expert=EXPERT if EXPERT in row.statistics else None
    )
    return panel.suspicion(row.statistics.items()) if row.statistics else -math.inf


def witness_score(row: Row, witness: str) -> float:
    """-log10 of one witness's smallest statistic, clipped at 0; 0 where it abstained."""
    statistic = row.statistics.get(witness)
    return 0.0 if statistic is None else max(-statistic, 0.0)


def peak_of(row: Row, name: str) -> float:
    """The largest value of a map; 0 where there is none."""
    return row.peak.get(name, 0.0)
