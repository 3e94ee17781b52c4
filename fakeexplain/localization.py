"""The expert as a witness: network output -> a calibrated localization and one piece of evidence.

Calibration (`calibration.json` beside the weights, written by `python -m training.calibrate`):
- the map: a temperature by likelihood, and an offset that makes 0.5 the threshold of the largest mean F1 - false area,
  both fitted on the forge's held-out photographs;
- the picture: a split-conformal p-value (Vovk et al. 2005): the share of calibration photographs of the same quality
  band that scored at least as high, so that P(p <= a) <= a for a photograph like them. A picture in which all that
  the map marks is less than `LEAST_AREA` has no score at all: an alarm must be able to point at something;
- a region that somebody names: `region_test`;
- the operation: how often the hint was right on held-out forgeries.

Deliberately left out: the verdict, which weighs this witness against the instruments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy import ndimage, special

from fakeexplain import region_test
from fakeexplain.copy_order import CopyOrderCounts
from fakeexplain.errors import MeasurementError, SettingsError
from fakeexplain.imaging.regions import region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.models.configuration import OPERATIONS
from fakeexplain.models.forgery_expert import ForgeryLocalizationExpert
from fakeexplain.models.processing import as_stored, run_expert, stored_rgb, table_of
from fakeexplain.models.weights import load_expert, weights_sha256
from fakeexplain.records import REGION_TEST, Evidence, QualityReport
from fakeexplain.region_test import Law
from fakeexplain.verdict import EXPERT

CALIBRATION_FILE = "calibration.json"
MAP_THRESHOLD = 0.5
LEAST_AREA = 0.001  # of the picture, all marks together; less is neither an alarm nor a region
LEAST_PIXELS = 64  # of one connected mark
LEAST_BAND = 100  # calibration photographs; a band with fewer is judged by all photographs together
_QUANTITY = "share of the picture that the network marks"
LIMITS = (
    "content unlike the network's training photographs: screens, drawings, print, strong grain",
    "a stamped caption or logo, or an honest local correction",
    "out-of-focus or overexposed parts beside sharp ones",
)
REGION_LIMITS = (
    "a choice of the region that the network's own map suggested",
    "chance, where one region after the other is tried",
)
_OPERATION_WORDS = {
    "splice": "content from another picture",
    "copy_move": "content copied within the picture",
    "removal": "filled-in background",
    "processed": "its own content processed again (resampled, blurred, sharpened, toned, with noise)",
    "recompressed": "its own content with another JPEG history",
}


class Calibration(BaseModel):
    """What was fitted after training; `weights_sha256` ties it to its weights.

    Attributes:
        temperature: divides mask logits.
        offset: is added to them then, so that 0.5 is the threshold of the largest mean F1 - false area.
        scores: image scores of calibration photographs, rising, per quality band and under "all"; -inf (written as
            null) where the map marked no place.
        confidence: slope and intercept of the confidence logits, where the map marks and where it does not, by
            likelihood (Platt 1999); as they come without.
        operation_reliability: share of right hints per operation named, on held-out forgeries.
        regions: per class of size, the law of `region_test`; empty where it was never counted.
        region_photographs: authentic photographs behind it.
        copy_order: how often `copy_order` was right with these weights; None where it was never counted.
        data: what the calibration photographs were, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights_sha256: str
    temperature: float
    offset: float = 0.0
    confidence: dict[Literal["marked", "unmarked"], tuple[float, float]] = {}
    scores: dict[str, tuple[float | None, ...]]
    operation_reliability: dict[str, float]
    regions: dict[str, Law] = {}
    region_photographs: int = 0
    copy_order: CopyOrderCounts | None = None
    data: str

    def write(self, folder: Path) -> Path:
        """Writes calibration.json into a folder of weights; returns its path."""
        path = folder / CALIBRATION_FILE
        path.write_text(self.model_dump_json() + "\n", encoding="utf-8")
        return path

    def band_of(self, band: str) -> str:
        """The band whose photographs a picture of `band` is compared with."""
        return band if len(self.scores.get(band, ())) >= LEAST_BAND else "all"

    def p_value(self, score: float, band: str) -> tuple[float, int]:
        """(conformal p-value, calibration photographs behind it)."""
        known = np.array([-math.inf if s is None else s for s in self.scores[self.band_of(band)]])
        return (1 + int((known >= score).sum())) / (len(known) + 1), len(known)


@dataclass(frozen=True, eq=False)
class Localization:
    """The expert's answer in the frame of the upright source.

    Attributes:
        map: float32 HxW in [0, 1], larger means more suspicious; marked from 0.5 on (see `Calibration.offset`).
        confidence: float32 HxW in [0, 1], estimated probability that the map's side of 0.5 is right.
        mask: bool HxW, the map at 0.5 without marks of fewer than `LEAST_PIXELS`.
        score: image score, -inf when the mask is smaller than `LEAST_AREA`; only its rank means something.
        image_logit: the image head's raw output.
        operation_probability: per name of `OPERATIONS`, adding up to 1; a hint.
        region_scores: of the regions that were asked about, see `region_test`; only their rank means something.
    """

    map: np.ndarray
    confidence: np.ndarray
    mask: np.ndarray
    score: float
    image_logit: float
    operation_probability: dict[str, float]
    region_scores: tuple[float, ...] = ()


class Expert:
    """A loaded network with its calibration.

    Args:
        model: in evaluation mode.
        calibration: fitted for these very weights.
        version: short name of the weights in records.
    """

    name = EXPERT

    def __init__(self, model: ForgeryLocalizationExpert, calibration: Calibration | None, version: str) -> None:
        self.model, self.calibration, self.version = model, calibration, version

    @classmethod
    def load(cls, folder: Path | str | None = None, *, calibrated: bool = True) -> Expert:
        """The expert of a folder; the embedded default when None.

        Raises:
            SettingsError: no such weights, or a calibration that belongs to other weights.
        """
        path = Path(folder) if folder is not None else embedded_folder()
        model, digest = load_expert(path), weights_sha256(path)
        calibration = None
        if calibrated:
            file = path / CALIBRATION_FILE
            try:
                calibration = Calibration.model_validate_json(file.read_text("utf-8"))
            except (OSError, ValidationError) as error:
                raise SettingsError(
                    f"{file}: cannot be read ({error}); calibrate with: python -m training.calibrate --weights {path}"
                ) from None
            if calibration.weights_sha256 != digest:
                raise SettingsError(
                    f"{file}: made for weights {calibration.weights_sha256[:12]}, these are {digest[:12]}; "
                    f"calibrate again with: python -m training.calibrate --weights {path}"
                )
        return cls(model, calibration, digest[:12])

    def localize(
        self, source: SourceImage, *, threads: int | None = None, regions: Sequence[np.ndarray] = ()
    ) -> Localization:
        """Runs the network on a picture of any size; never resizes it.

        Args:
            threads: torch's, as they are when None.
            regions: bool HxW each, upright, to be scored; such as `region_test.checked` lets pass.

        Raises:
            MeasurementError: the network's numbers overflowed.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            asked = [as_stored(source, r) for r in regions]
            raw = run_expert(self.model, stored_rgb(source), table_of(source), regions=asked)
        finally:
            torch.set_num_threads(before)
        scale, offset = (self.calibration.temperature, self.calibration.offset) if self.calibration else (1.0, 0.0)
        # in place: a large picture's maps are large, and nobody else holds them
        raw.mask_logits[...] /= np.float32(scale)
        raw.mask_logits[...] += np.float32(offset)
        if not np.isfinite(raw.image_logit) or not np.isfinite(raw.mask_logits).all():
            raise MeasurementError(f"{source.name}: the network gave no figure for it")
        self._level_confidence(raw.confidence_logits, raw.mask_logits >= 0.0)
        map_ = source.upright(special.expit(raw.mask_logits, out=raw.mask_logits))
        confidence = source.upright(special.expit(raw.confidence_logits, out=raw.confidence_logits))
        mask = without_specks(map_ >= MAP_THRESHOLD)
        share = float(mask.mean())
        score = raw.image_logit if share >= LEAST_AREA else -math.inf
        chances = special.softmax(raw.operation_logits)
        operations = {name: round(float(p), 4) for name, p in zip(OPERATIONS, chances, strict=True)}
        scores = raw.region_logits.tolist() or [region_test.contrast(map_, r) for r in regions]
        return Localization(map_, confidence, mask, score, raw.image_logit, operations, tuple(scores))

    def _level_confidence(self, logits: np.ndarray, marked: np.ndarray) -> None:
        """Calibrates confidence logits (float32 HxW) in place; marked: bool HxW, the map at 0.5."""
        held = self.calibration.confidence if self.calibration is not None else {}
        if not held:
            return
        inside = logits[marked]
        for part, (slope, intercept) in ((logits, held["unmarked"]), (inside, held["marked"])):
            part *= np.float32(slope)
            part += np.float32(intercept)
        logits[marked] = inside

    def evidence(self, found: Localization, quality: QualityReport) -> Evidence:
        """The localization as a record that the verdict can weigh.

        Raises:
            SettingsError: the expert was loaded without calibration.
        """
        if self.calibration is None:
            raise SettingsError("this expert has no calibration; run: python -m training.calibrate")
        band = self.calibration.band_of(quality.band)
        p_value, count = self.calibration.p_value(found.score, quality.band)
        details = {
            "calibration_band": band,
            "calibration_photographs": count,
            "smallest_possible_p": round(1 / (count + 1), 5),
            "image_logit": round(found.image_logit, 4),
            "operation_hint": found.operation_probability,
        }
        region = None
        share = float(found.mask.mean())
        if found.score > -math.inf:
            region = region_of_mask(found.mask)
            operation = max(found.operation_probability, key=lambda k: found.operation_probability[k])
            reliability = self.calibration.operation_reliability.get(operation)
            details |= {
                "operation": operation,
                "operation_words": _OPERATION_WORDS[operation],
                "operation_reliability": reliability,
                "mean_map_inside": round(float(found.map[found.mask].mean()), 4),
                "mean_confidence_inside": round(float(found.confidence[found.mask].mean()), 4),
            }
        return Evidence(
            instrument=EXPERT,
            instrument_version=self.version,
            kind="detection",
            trace="expert_region",
            quantity=_QUANTITY,
            value=round(share, 5),
            reference=None,
            reference_text="marked at a map value of 0.5 or more",
            region=region,
            p_value=p_value,
            strength="none" if p_value > 0.05 else "weak" if p_value > 0.01 else "moderate",
            limits=LIMITS,
            details=details,
            score_map=found.map,
        )

    def test_region(
        self, source: SourceImage, region_mask: np.ndarray, false_alarms: float, *, threads: int | None = None
    ) -> Evidence:
        """One region that somebody named, against regions of its size on authentic photographs; see `region_test`.

        Args:
            region_mask: bool HxW, upright.
            false_alarms: share of such regions that may be called remarkable, in (0, 1).
            threads: as for `localize`.

        Raises:
            MeasurementError: a region of another frame, too small or too large, or no law was counted for these
                weights.
        """
        mask = region_test.checked(region_mask, source.height, source.width)
        laws = self.calibration.regions if self.calibration is not None else {}
        size, law = region_test.law_of(laws, float(mask.mean()))
        found = self.localize(source, threads=threads, regions=[mask])
        (score,) = found.region_scores
        share = region_test.share_as_high(law, score)
        stands_out = share <= false_alarms
        assert self.calibration is not None
        return Evidence(
            instrument=EXPERT,
            instrument_version=self.version,
            kind="measurement",
            trace=REGION_TEST,
            quantity="how far this region stands apart from the rest of the picture to the network, in logits",
            value=round(score, 3),
            region=region_of_mask(mask),
            p_value=share,
            strength="weak" if stands_out else "none",
            limits=REGION_LIMITS + LIMITS if stands_out else (),
            details={
                "size_class": size,
                "calibration_photographs": self.calibration.region_photographs,
                "false_alarms": false_alarms,
                "mean_map_inside": round(float(found.map[mask].mean()), 4),
            },
        )

    def abstain(self, reason: str) -> Evidence:
        """A record that says why nothing was measured."""
        return Evidence(
            instrument=EXPERT,
            instrument_version=self.version,
            kind="abstention",
            trace="none",
            quantity=_QUANTITY,
            reason=reason,
        )


def without_specks(mask: np.ndarray) -> np.ndarray:
    """bool HxW without 8-connected marks of fewer than `LEAST_PIXELS`."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), bool))
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= LEAST_PIXELS
    keep[0] = False
    kept: np.ndarray = keep[labels]
    return kept


def embedded_folder() -> Path:
    """Where the embedded default lies; it may be missing in a source tree that was never trained."""
    return Path(str(resources.files("fakeexplain").joinpath("weights", "expert")))


@lru_cache(maxsize=2)
def load_cached(folder: Path | None) -> Expert:
    """`Expert.load`, once per process."""
    return Expert.load(folder)
