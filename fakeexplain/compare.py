"""Two pictures beside each other: how one lies on the other, what differs, how sure that is, what else could cause it.

For the investigator who has the photograph a questioned picture was made from. What differs is `imaging.pair_mask`'s;
here it becomes a record and plain sentences, beside both pictures' own examinations, which it never changes. Left out:
which of the two was first (the caller says so), what the change means, and scenes seen from two places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import ndimage

from fakeexplain.errors import MeasurementError
from fakeexplain.examiner import Examiner
from fakeexplain.imaging.pair_mask import PairMask, mask_from_sources
from fakeexplain.imaging.regions import encode_mask, percent_words, region_of_mask
from fakeexplain.imaging.registration import warp_to
from fakeexplain.imaging.source import SourceImage, printable
from fakeexplain.reasoning.numbers import percent_of
from fakeexplain.reasoning.wording import label_words, place_words
from fakeexplain.records import SCHEMA_VERSION, Examination, Record, Region, RunLengths

Answer = Literal["changed", "unclear", "no_change"]

_TRUSTED = 0.5  # quality below which a difference by noise is not told from what two saves differ by
_TRUSTED_EXACT = 0.3  # the same for a mask told by the file's own blocks, whose presence alone says something
_MOST_PLACES = 8
_LARGEST_SHARE = 0.02  # pieces below this share of the largest are counted but not listed

PHRASES = {
    "changed": "The questioned picture differs from the original beyond what saving, resizing and toning explain.",
    "unclear": "A difference was found, but it cannot be told from what two saves of one picture differ by.",
    "no_change": "No difference was found beyond what saving, resizing and toning explain.",
    "same_pixels": "Both files hold the same pixels.",
    "not_comparable": (
        "{original}, {questioned}: cannot be compared ({reason}); "
        "wanted two versions of one picture, the original first"
    ),
    "in_place": "The original lies on the questioned picture pixel for pixel.",
    "moved": "To lie on the questioned picture, the original was {steps}.",
    "scale": "scaled to {percent} %",
    "rotation": "turned clockwise by {degrees}°",
    "perspective": "tilted in perspective",
    "cropped": "{percent} of the original is seen in the questioned picture.",
    "uncovered": "{percent} of the questioned picture lies outside the original; nothing can be said about it.",
    "toned": "As a whole, it was toned by about {levels} grey levels.",
    "place": "{number}: {place}, changed by {levels} grey levels on average.",
    "more_places": "{count} smaller places are marked in the mask.",
    "one_more_place": "One smaller place is marked in the mask.",
    "sure_exact": (
        "The questioned file itself tells the changed places: it stores its picture in blocks, {percent} of the blocks "
        "with detail hold what saving the original gives, and those of the marked places cannot come from it."
    ),
    "sure_noise": (
        "The marked places stand out from the noise by which the two pictures differ everywhere "
        "(trust in the mask {quality} of 1; below {least} it is not trusted)."
    ),
    "unsure_exact": (
        "The questioned file stores its picture in blocks, and some cannot come from saving the original, but they "
        "do not hold together well enough (trust in the mask {quality} of 1; below {least} it is not trusted)."
    ),
    "border": "The border of the marks is an estimate (trust in the mask {quality} of 1).",
    "warning": "Note: {reason}.",
    "alternatives": "A difference can also come from {causes}.",
    "no_change_limit": "Changes smaller than what the last save discards cannot be seen in a comparison.",
    "examined": "{which}, examined alone: {label} ({percent} probability of a local alteration).",
    "original": "The original",
    "questioned": "The questioned picture",
    "or": "; or ",
}
ALTERNATIVES = (
    "a caption, logo or frame added in good faith",
    "another frame of the same scene taken moments later",
    "another development of the same raw file, with local corrections by the camera or its program",
)


class Geometry(Record):
    """How the original lies on the questioned picture.

    Attributes:
        model: simplest motion that explains the pair. matrix: 3x3, xy of the original -> xy of the questioned picture.
        shift_xy: where the original's centre moved against the questioned picture's, pixels.
        scale: questioned pixels per original pixel. rotation_degrees: clockwise.
        overlap_fraction: share of the questioned picture that the original covers.
        visible_fraction: share of the original that is seen in the questioned picture.
        correlation: median correlation of textured blocks, in [-1, 1].
    """

    model: str
    matrix: tuple[tuple[float, float, float], ...]
    shift_xy: tuple[float, float]
    scale: float
    rotation_degrees: float
    overlap_fraction: float
    visible_fraction: float
    correlation: float


class Place(Record):
    """One connected place that differs. levels: mean change of the largest channel, grey levels, tone not matched."""

    region: Region
    levels: float


class Comparison(Record):
    """Everything about a pair; regions in the frame of the questioned picture.

    Attributes:
        answer: `changed`, `unclear` (a difference that is not trusted) or `no_change`.
        quality: in [0, 1], trust in the mask. exact: whether the questioned file's own blocks told it.
        reasons: why not to trust it. sentences: the answer in words, in reading order.
        places: largest first, at most 8. mask: all places.
        original, questioned: both examinations, as if the other picture did not exist.
    """

    schema_version: str = SCHEMA_VERSION
    answer: Answer
    quality: float
    exact: bool
    reasons: tuple[str, ...]
    sentences: tuple[str, ...]
    geometry: Geometry
    places: tuple[Place, ...]
    place_count: int
    mask: RunLengths
    figures: dict[str, float]
    original: Examination
    questioned: Examination

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison and its pixels. moved_rgb: uint8 HxWx3, the original in the questioned picture's frame."""

    comparison: Comparison
    pair: PairMask = field(repr=False)
    moved_rgb: np.ndarray = field(repr=False)


def compare(original: SourceImage, questioned: SourceImage, examiner: Examiner | None = None) -> Compared:
    """Compares a questioned picture with its original and examines both.

    Raises:
        MeasurementError: the pictures do not show the same scene, so that nothing can be compared.
    """
    pair = mask_from_sources(original, questioned)
    if not pair.found:
        raise MeasurementError(
            PHRASES["not_comparable"].format(
                original=printable(original.name, 200),
                questioned=printable(questioned.name, 200),
                reason=pair.reasons[0],
            )
        )
    examiner = examiner or Examiner()
    size = (questioned.width, questioned.height)
    moved = warp_to(original.rgb, pair.transform, size)
    places, count = _places(pair.mask, np.abs(moved.astype(np.int16) - questioned.rgb).max(axis=2))
    geometry = _geometry(pair, original, questioned)
    answer: Answer = "no_change"
    if pair.mask.any():
        answer = "changed" if pair.quality >= (_TRUSTED_EXACT if pair.exact else _TRUSTED) else "unclear"
    examinations = examiner.examine(original), examiner.examine(questioned)
    comparison = Comparison(
        answer=answer,
        quality=pair.quality,
        exact=pair.exact,
        reasons=pair.reasons if answer != "no_change" else (),
        sentences=tuple(_sentences(answer, pair, geometry, places, count, examinations)),
        geometry=geometry,
        places=places,
        place_count=count,
        mask=encode_mask(pair.mask),
        figures=pair.figures,
        original=examinations[0],
        questioned=examinations[1],
    )
    shown = warp_to(original.display_rgb, pair.transform, size) if original.display_rgb is not original.rgb else moved
    return Compared(comparison, pair, shown)


def _places(mask: np.ndarray, difference: np.ndarray) -> tuple[tuple[Place, ...], int]:
    """(the largest connected places, how many there are)."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return (), 0
    sizes = np.bincount(labels.ravel())[1:]
    chosen = [i for i in np.argsort(-sizes, kind="stable")[:_MOST_PLACES] if sizes[i] >= _LARGEST_SHARE * sizes.max()]
    places = []
    for number, i in enumerate(chosen, start=1):
        place_mask = labels == i + 1
        levels = round(float(difference[place_mask].mean()), 1)
        places.append(Place(region=region_of_mask(place_mask, f"D{number}"), levels=levels))
    return tuple(places), int(count)


def _geometry(pair: PairMask, original: SourceImage, questioned: SourceImage) -> Geometry:
    matrix, quality = pair.transform, pair.registration.quality
    centre = np.array([(original.width - 1) / 2, (original.height - 1) / 2, 1.0])
    x, y, w = matrix @ centre
    # Derivative of the projective map at the centre of the original.
    jacobian = (matrix[:2, :2] - np.outer([x / w, y / w], matrix[2, :2])) / w
    scale = math.sqrt(abs(float(np.linalg.det(jacobian))))
    rotation = math.degrees(math.atan2(jacobian[1, 0] - jacobian[0, 1], jacobian[0, 0] + jacobian[1, 1]))
    visible = float(pair.registration.overlap_mask.sum()) / (scale**2 * original.width * original.height)
    return Geometry(
        model=quality.model,
        matrix=tuple((round(float(a), 9), round(float(b), 9), round(float(c), 9)) for a, b, c in matrix),
        shift_xy=(
            round(float(x / w - (questioned.width - 1) / 2), 2),
            round(float(y / w - (questioned.height - 1) / 2), 2),
        ),
        scale=round(scale, 5),
        rotation_degrees=round(rotation, 3),
        overlap_fraction=quality.overlap_fraction,
        visible_fraction=round(min(visible, 1.0), 4),
        correlation=quality.correlation,
    )


def _sentences(
    answer: Answer,
    pair: PairMask,
    geometry: Geometry,
    places: tuple[Place, ...],
    count: int,
    examinations: tuple[Examination, Examination],
) -> list[str]:
    """Answer, where, how sure, how the pictures lie on each other, what else could cause it, the examinations."""
    words = [PHRASES[answer]]
    if answer == "no_change" and not pair.figures:
        words = [PHRASES["same_pixels"]]
    for place in places:
        where = place_words(place.region)
        words.append(PHRASES["place"].format(number=place.region.id, place=where, levels=max(round(place.levels), 1)))
    if count > len(places):
        left = count - len(places)
        words.append(PHRASES["one_more_place"] if left == 1 else PHRASES["more_places"].format(count=left))
    if answer != "no_change":
        quality = f"{pair.quality:.2f}"
        if pair.exact and answer == "unclear":
            words.append(PHRASES["unsure_exact"].format(quality=quality, least=_TRUSTED_EXACT))
        elif pair.exact:
            share = percent_words(pair.figures["consistent"])
            words += [PHRASES["sure_exact"].format(percent=share), PHRASES["border"].format(quality=quality)]
        else:
            words.append(PHRASES["sure_noise"].format(quality=quality, least=_TRUSTED))
        words += [PHRASES["warning"].format(reason=reason) for reason in pair.reasons]
    elif pair.figures:
        words.append(PHRASES["no_change_limit"])
    words += _geometry_words(geometry)
    if pair.figures.get("tone_change", 0.0) >= 2.0:
        words.append(PHRASES["toned"].format(levels=round(pair.figures["tone_change"])))
    if answer != "no_change":
        causes = "; ".join(ALTERNATIVES[:-1]) + PHRASES["or"] + ALTERNATIVES[-1]
        words.append(PHRASES["alternatives"].format(causes=causes))
    for which, examination in zip(("original", "questioned"), examinations, strict=True):
        verdict = examination.verdict
        label, percent = label_words(verdict).lower(), percent_of(verdict.probability)
        words.append(PHRASES["examined"].format(which=PHRASES[which], label=label, percent=percent))
    return words


def _geometry_words(geometry: Geometry) -> list[str]:
    steps = []
    if abs(geometry.scale - 1) >= 0.0005:
        steps.append(PHRASES["scale"].format(percent=f"{100 * geometry.scale:.4g}"))
    if abs(geometry.rotation_degrees) >= 0.02:
        steps.append(PHRASES["rotation"].format(degrees=f"{geometry.rotation_degrees:.2g}"))
    if geometry.model == "homography":
        steps.append(PHRASES["perspective"])
    words = [PHRASES["moved"].format(steps=", ".join(steps))] if steps else []
    if not steps and geometry.visible_fraction == 1.0 and geometry.overlap_fraction == 1.0:
        words.append(PHRASES["in_place"])
    if geometry.visible_fraction < 0.995:
        words.append(PHRASES["cropped"].format(percent=percent_words(geometry.visible_fraction)))
    if geometry.overlap_fraction < 0.995:
        words.append(PHRASES["uncovered"].format(percent=percent_words(1 - geometry.overlap_fraction)))
    return words
