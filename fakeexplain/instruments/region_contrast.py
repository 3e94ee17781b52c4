"""How a region that somebody chose differs from what surrounds it and from the rest of the picture.

Noise, sharpness, JPEG grid and colour are measured inside the region, in a ring around it, and in regions of the same
size and shape moved to other places; the rank among those tells what is ordinary in this picture. It measures, it does
not judge: the region was chosen because of how it looks, so no false-alarm law can hold, and nothing here reaches the
verdict. The percentile is no p-value either, for neighbouring places resemble each other: on 150 authentic photographs
a random rectangle lay outside the middle 95 % in 10 to 13 % of the cases for each statistic, in 49 % for any of the
seven. Left out on purpose: any search for regions (the localizing instruments do that), JPEG grids of other phases.

All of it works on a table of 8x8 blocks of the *stored* frame, where JPEG's grid starts at the origin.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import checked_region, region_of_mask
from fakeexplain.imaging.source import SourceImage, orient
from fakeexplain.instruments.base import Instrument
from fakeexplain.records import Evidence

BLOCK = 8
MIN_PIXELS = 512
MIN_BLOCKS = 8  # full blocks inside the region
MIN_ELSEWHERE = 8  # regions of the same size that a rank needs
_MAX_SHIFTS = 240
_MAX_BLOCKS = 3000  # blocks of a region that are looked at; larger ones are thinned evenly
_MAX_OVERLAP = 0.1  # part of a moved region that may lie on the chosen one
_FLATTEST = 0.25  # part of the blocks, the flattest, that noise is read from
_INVERSE = {6: 8, 8: 6}  # of the EXIF orientations; the others undo themselves

# name -> (words, unit); the order is that of the table.
STATISTICS: dict[str, tuple[str, str]] = {
    "noise": ("noise (standard deviation of the finest detail in the flattest blocks)", "grey levels"),
    "sharpness": ("sharpness (energy of the finest detail over that of detail twice as coarse)", ""),
    "jpeg_grid": ("strength of the 8x8 JPEG grid (1 = no grid)", ""),
    "lightness": ("mean lightness (L* of CIELAB)", ""),
    "green_red": ("mean green-red balance (a* of CIELAB)", ""),
    "blue_yellow": ("mean blue-yellow balance (b* of CIELAB)", ""),
    "saturation": ("mean saturation (0 to 1)", ""),
}


def _laplacian(plane: np.ndarray) -> np.ndarray:
    """Immerkaer's noise mask (CVIU 1996), scaled to keep the standard deviation of white noise."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
    return cv2.filter2D(plane, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)


def _means(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Mean over the blocks: float32 (rows, columns); `plane` is a whole number of blocks high and wide."""
    return cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA)


def _block_table(source: SourceImage) -> dict[str, np.ndarray]:
    """What is known about each 8x8 block of the stored frame; float32 maps of (rows, columns).

    sigma: standard deviation of the Laplacian residual; activity: standard deviation of the 4x4 means of 2x2 pixels,
    inf where pixels are clipped; fine, coarse: mean squared residual at full and half resolution; edge, inner: mean
    absolute cross difference on block boundaries and inside; lightness, green_red, blue_yellow, saturation: of the
    mean colour.
    """
    back = _INVERSE.get(source.orientation, source.orientation)
    luma, rgb = orient(source.luma, back), orient(source.rgb, back)
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    luma, rgb = luma[: rows * BLOCK, : columns * BLOCK], rgb[: rows * BLOCK, : columns * BLOCK]

    fine = _means(np.square(_laplacian(luma)), rows, columns)
    halved = _means(luma, rows * 4, columns * 4)
    coarse = _means(np.square(_laplacian(halved)), rows, columns)
    spread = _means(np.square(halved), rows, columns) - np.square(_means(halved, rows, columns))
    clipped = _means(((luma < 1.5) | (luma > 253.5)).astype(np.float32), rows, columns) > 0.02
    activity = np.where(clipped, np.inf, np.sqrt(np.maximum(spread, 0))).astype(np.float32)

    # Chen and Hsu's cross difference (TIFS 2011) at (y, x) spans y..y+1 and x..x+1; 7 of 8 lies across a boundary.
    cross = np.zeros_like(luma)
    step = np.diff(luma, axis=1)
    np.abs(np.diff(step, axis=0), out=cross[:-1, :-1])
    vertical = cross[:, BLOCK - 1 :: BLOCK].reshape(rows, BLOCK, columns).mean(axis=1)
    horizontal = cross[BLOCK - 1 :: BLOCK].reshape(rows, columns, BLOCK).mean(axis=2)
    corner = cross[BLOCK - 1 :: BLOCK, BLOCK - 1 :: BLOCK]
    inner = (64 * _means(cross, rows, columns) - 8 * vertical - 8 * horizontal + corner) / 49
    edge = (8 * vertical + 8 * horizontal - 2 * corner) / 14

    colour = _means(rgb, rows, columns).astype(np.float32) / 255
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)
    largest = colour.max(axis=2)
    return {
        "sigma": np.sqrt(fine),
        "activity": activity,
        "fine": fine,
        "coarse": coarse,
        "edge": edge,
        "inner": np.maximum(inner, 0),
        "lightness": lab[..., 0],
        "green_red": lab[..., 1],
        "blue_yellow": lab[..., 2],
        "saturation": (largest - colour.min(axis=2)) / np.maximum(largest, 1e-3),
    }


def _statistics(table: dict[str, np.ndarray], blocks: np.ndarray) -> dict[str, np.ndarray]:
    """The statistics of several sets of blocks at once.

    Args:
        blocks: flat block numbers, int (sets, blocks of a set).

    Returns:
        float64 (sets,) for each name in STATISTICS; NaN where it cannot be measured (all clipped, no detail at all).
    """
    taken = {name: values.ravel()[blocks] for name, values in table.items()}
    count = max(1, round(_FLATTEST * blocks.shape[1]))
    flattest = np.argpartition(taken["activity"], count - 1, axis=1)[:, :count]
    usable = np.isfinite(np.take_along_axis(taken["activity"], flattest, axis=1))
    sigma = np.where(usable, np.take_along_axis(taken["sigma"], flattest, axis=1), np.nan)
    measured = usable.any(axis=1)
    noise = np.full(blocks.shape[0], np.nan)
    noise[measured] = np.nanmedian(sigma[measured], axis=1)

    def ratio(above: str, below: str) -> np.ndarray:
        bottom = taken[below].mean(axis=1, dtype=np.float64)
        return np.where(bottom > 1e-6, taken[above].mean(axis=1, dtype=np.float64) / np.maximum(bottom, 1e-6), np.nan)

    plain = ("lightness", "green_red", "blue_yellow", "saturation")
    return {
        "noise": noise,
        "sharpness": ratio("fine", "coarse"),
        "jpeg_grid": ratio("edge", "inner"),
        **{name: taken[name].mean(axis=1, dtype=np.float64) for name in plain},
    }


def _thinned(numbers: np.ndarray) -> np.ndarray:
    """At most _MAX_BLOCKS of the block numbers, evenly spread over the list."""
    if numbers.size <= _MAX_BLOCKS:
        return numbers
    return numbers[np.linspace(0, numbers.size - 1, _MAX_BLOCKS).round().astype(np.int64)]


def _moved(inside: np.ndarray) -> np.ndarray:
    """Block numbers of the region moved to other places: int (places, blocks), places evenly over the picture.

    A place counts when all of the moved region lies in the picture and it hardly overlaps the chosen one.
    """
    rows, columns = inside.shape
    y, x = np.nonzero(inside)
    top, left, height, width = y.min(), x.min(), np.ptp(y) + 1, np.ptp(x) + 1
    free_rows, free_columns = rows - height + 1, columns - width + 1
    pace = max(1.0, float(np.sqrt(free_rows * free_columns / _MAX_SHIFTS)))
    at_rows = np.unique(np.arange(0, free_rows, pace).astype(np.int64))
    at_columns = np.unique(np.arange(0, free_columns, pace).astype(np.int64))
    shifts = np.stack(np.meshgrid(at_rows - top, at_columns - left, indexing="ij"), axis=-1).reshape(-1, 2)
    numbers = _thinned(y * columns + x)
    moved = numbers[None, :] + (shifts[:, 0] * columns + shifts[:, 1])[:, None]
    overlap = inside.ravel()[moved].mean(axis=1)
    return moved[overlap <= _MAX_OVERLAP]


def _ring(inside: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Flat numbers of the blocks nearest to the region, as many as it has itself, none of them touching it."""
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    outside = np.flatnonzero((~touched & (distance > 1.5)).ravel())
    nearest = np.argsort(distance.ravel()[outside], kind="stable")[: max(int(inside.sum()), MIN_BLOCKS)]
    return np.sort(outside[nearest])


def contrast_table(source: SourceImage, region_mask: np.ndarray) -> dict[str, dict[str, float | None]]:
    """The statistics of a region beside those of its surroundings and of same-size regions elsewhere.

    Args:
        source: the picture.
        region_mask: bool HxW, upright frame.

    Returns:
        For each name in STATISTICS: inside, surroundings (a ring of as many blocks), median_elsewhere and percentile
        (0..100, rank of inside among the regions of the same size and shape elsewhere; 50 is ordinary); None where it
        cannot be measured. One further entry "places" with blocks, ring_blocks and same_size_regions.

    Raises:
        MeasurementError: the region holds fewer than MIN_BLOCKS full 8x8 blocks, or does not fit the picture.
    """
    if region_mask.shape != (source.height, source.width):
        raise MeasurementError(
            f"region is {region_mask.shape[1]}x{region_mask.shape[0]}, picture is {source.width}x{source.height}; "
            "give the region in the frame of the upright picture"
        )
    back = _INVERSE.get(source.orientation, source.orientation)
    stored = orient(np.asarray(region_mask, dtype=bool).view(np.uint8), back)
    rows, columns = stored.shape[0] // BLOCK, stored.shape[1] // BLOCK
    covered = np.zeros((0, 0), dtype=np.float32)
    if rows and columns:
        covered = _means(stored[: rows * BLOCK, : columns * BLOCK].astype(np.float32), rows, columns)
    inside = covered > 0.5
    if int(inside.sum()) < MIN_BLOCKS:
        raise MeasurementError(
            f"region_contrast: the region holds {int(inside.sum())} blocks of 8x8 pixels, at least {MIN_BLOCKS} are "
            "needed; widen it"
        )
    table = _block_table(source)
    ring, moved = _ring(inside, covered > 0), _moved(inside)
    own = _statistics(table, _thinned(np.flatnonzero(inside.ravel()))[None])
    around = _statistics(table, _thinned(ring)[None]) if ring.size >= MIN_BLOCKS else None
    elsewhere = _statistics(table, moved) if moved.shape[0] >= MIN_ELSEWHERE else None
    result: dict[str, dict[str, float | None]] = {}
    for name in STATISTICS:
        value = float(own[name][0])
        others = np.zeros(0) if elsewhere is None else elsewhere[name][np.isfinite(elsewhere[name])]
        ranked = np.isfinite(value) and others.size >= MIN_ELSEWHERE
        result[name] = {
            "inside": _rounded(value),
            "surroundings": None if around is None else _rounded(float(around[name][0])),
            "median_elsewhere": _rounded(float(np.median(others))) if others.size >= MIN_ELSEWHERE else None,
            "percentile": _rounded(_percentile(value, others)) if ranked else None,
        }
    places = {"blocks": inside.sum(), "ring_blocks": ring.size, "same_size_regions": moved.shape[0]}
    result["places"] = {name: int(count) for name, count in places.items()}
    return result


def _percentile(value: float, others: np.ndarray) -> float:
    """Rank in per cent, ties counted half, values that differ by rounding only counted as ties."""
    near = np.isclose(others, value, rtol=1e-5, atol=1e-6)
    return float(100 * ((others < value) & ~near).mean() + 50 * near.mean())


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


class RegionContrast(Instrument):
    """Compares a chosen region with its surroundings and with the rest of the picture."""

    name: ClassVar[str] = "region_contrast"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Region compared with the picture"
    needs: ClassVar[str] = "a region of at least 8 blocks of 8x8 pixels that somebody chose"
    measures: ClassVar[str] = "noise, sharpness, JPEG grid and colour of a region against the rest of the picture"
    localizes: ClassVar[bool] = False
    examines_whole_pictures: ClassVar[bool] = False

    def examine(self, source: SourceImage) -> list[Evidence]:
        """One abstention: there is nothing to measure before somebody names a region."""
        return [self.abstain("measures only regions that are asked about")]

    def measure(self, source: SourceImage, region_mask: np.ndarray) -> Evidence:
        """One measurement; `value` is the statistic that is most unlike the rest of the picture.

        Raises:
            MeasurementError: wrong frame, or a region of fewer than 8 full blocks.
        """
        mask = checked_region(region_mask, source.height, source.width, MIN_PIXELS, self.name)
        details: dict[str, Any] = dict(contrast_table(source, mask))
        places = details.pop("places")
        found = int(places["same_size_regions"])
        ranked = {n: row["percentile"] for n, row in details.items() if row["percentile"] is not None}
        reason = ""
        if ranked:
            name = max(ranked, key=lambda n: abs(ranked[n] - 50))
            reference = details[name]["median_elsewhere"]
            text = f"median of {found} regions of the same size elsewhere, of which it exceeds {ranked[name]:.0f} %"
        else:
            name = next((n for n, row in details.items() if row["inside"] is not None), "lightness")
            reference = details[name]["surroundings"]
            text = (
                "the surroundings" if reference is not None else "nothing to compare with: the region fills the image"
            )
            reason = (
                "the region is too large to be compared with regions of the same size elsewhere in the picture"
                if found < MIN_ELSEWHERE
                else "too little of the rest of the picture can be measured"
            )
        words, unit = STATISTICS[name]
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="measurement",
            trace="region_contrast",
            quantity=words,
            value=details[name]["inside"],
            unit=unit,
            reference=reference,
            reference_text=text,
            region=region_of_mask(mask),
            limits=(
                "another material, distance or lighting, which differ in every photograph",
                "focus and depth of field",
                "the choice of the region, made because of how it looks",
                "chance, since about every second region of an authentic photograph is unusual in one of these figures",
            ),
            reason=reason,
            details={**details, **places, "most_unlike": name},
        )
