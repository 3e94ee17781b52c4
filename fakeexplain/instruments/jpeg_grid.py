"""JPEG grid: where the 8x8 block grid that JPEG left lies, and regions whose grid differs from it or is missing.

Nikoukhah, Anger, Colom, Morel, Grompone von Gioi, "ZERO: a Local JPEG Grid Origin Detector Based on the Number of DCT
Zeros and its Applications in Image Forensics", IPOL 2021: every pixel votes for the grid whose block around it has most
DCT coefficients that round to zero. Own additions: a second ballot in which the main grid does not stand for election
(a later save hides the older grid of a pasted part, it does not erase it), grids that fill the picture are told apart
from local ones, and regions without a grid are counted only among blocks that would show one if they had been saved.

Deliberately left out: quantisation tables (see `instruments.double_jpeg`), chroma, grids other than 8x8. A grid origin
other than (0, 0) is a fact about cropping, never evidence of manipulation. Everything is computed in the stored frame,
for an EXIF rotation moves the origin; regions are turned upright at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import checked_region, region_of_mask
from fakeexplain.imaging.source import SourceImage, orient
from fakeexplain.instruments._grid_votes import (
    LOG10_TRACES,
    MIN_VOTES,
    NO_VOTE,
    Cluster,
    Election,
    cast_votes,
    foreign_clusters,
    hold_election,
    log10_boxes,
    main_grid,
    missing_clusters,
    usable_blocks,
    zero_counts,
)
from fakeexplain.instruments.base import Instrument
from fakeexplain.instruments.statistics import strength_of
from fakeexplain.records import Evidence

_MIN_SIDE = 32
_GLOBAL_LOG10_NFA = -2.0
_REPORTED_LOG10_NFA = -1.0
_MAX_DETECTIONS = 8
_WANDERING_GRIDS = 3
_WANDERING_LOG10_NFA = 2.0  # photographs not rescaled hardly ever reach even this with one grid
_LIMITS = {
    "foreign_grid": (
        "a picture-in-picture, logo or caption that was part of the picture from the start",
        "several photographs joined into one (panorama, collage)",
        "a regular structure with a period of eight pixels",
    ),
    "missing_grid": (
        "saturated, flat or strongly textured content in which no grid shows",
        "retouching of the whole picture that reached some parts more than others (denoising, blurring)",
        "text or a logo drawn after the last JPEG save",
    ),
}


def _pixel_mask(clusters: list[Cluster], shape: tuple[int, int]) -> np.ndarray:
    """Pixels of clusters of one grid as bool HxW, gaps of up to two blocks and holes closed."""
    grid = clusters[0].grid
    y0, x0 = grid >> 3, grid & 7
    canvas = np.zeros((-(-(shape[0] - y0) // 8) + 4, -(-(shape[1] - x0) // 8) + 4), np.uint8)
    for cluster in clusters:
        top, left, bottom, right = cluster.box
        canvas[top + 2 : bottom + 2, left + 2 : right + 2] |= cluster.block_mask.astype(np.uint8)
    closed = cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    filled = ndimage.binary_fill_holes(closed[2:-2, 2:-2])
    pixel_mask = np.zeros(shape, bool)
    pixel_mask[y0:, x0:] = np.kron(filled, np.ones((8, 8), bool))[: shape[0] - y0, : shape[1] - x0]
    return pixel_mask


@dataclass(frozen=True)
class _Group:
    """Clusters of one grid, best first."""

    trace: str
    clusters: list[Cluster]
    log10_tests: float


def _by_grid(trace: str, clusters: list[Cluster], log10_tests: float) -> list[_Group]:
    grids = dict.fromkeys(cluster.grid for cluster in clusters)
    return [_Group(trace, [c for c in clusters if c.grid == grid], log10_tests) for grid in grids]


@dataclass(frozen=True)
class _Reading:
    """What both `examine` and `measure` start from, in the stored frame."""

    luma: np.ndarray
    usable: np.ndarray
    zeros: np.ndarray
    election: Election
    main: int | None
    main_log10_nfa: float


def _read(source: SourceImage) -> _Reading:
    # Rounded as in the paper: it meets again the whole luma values that the JPEG decoder had (measured: clearer grid).
    luma = np.rint(_stored(source.luma, source.orientation)).astype(np.float32)
    zeros, usable = zero_counts(luma), usable_blocks(luma)
    election = hold_election(zeros, usable)
    grid, log10_nfa = main_grid(election)
    return _Reading(luma, usable, zeros, election, grid if log10_nfa < _GLOBAL_LOG10_NFA else None, log10_nfa)


def _wanders(reading: _Reading, clusters: list[Cluster], filling: list[tuple[int, float]], is_jpeg: bool) -> bool:
    """Several grids take turns and none of them rules: blocks of 8.02 pixels, say, pass through all 64 origins.

    A paste brings one grid into a picture that keeps its own. A grid that a JPEG's last save left is no sign of rule.
    Parts with three foreign grids, pasted into a picture without a grid or then saved as JPEG, are missed here.
    """
    share = 0.0 if reading.main is None else reading.election.totals[reading.main] / reading.election.turnout
    grids = {c.grid for c in clusters if c.log10_nfa < _WANDERING_LOG10_NFA} | {grid for grid, _ in filling}
    return len(grids) >= _WANDERING_GRIDS and (share < 0.5 or (is_jpeg and reading.main == 0))


def _stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Inverse of `orient`: only the two quarter turns are not their own inverse."""
    return orient(upright, {6: 8, 8: 6}.get(orientation, orientation))


def _origin(grid: int) -> str:
    return f"({grid & 7}, {grid >> 3})"


class JpegGrid(Instrument):
    """See the module. Law: number of boxes of whole blocks x grids x ballots, and twice for the two traces."""

    name = "jpeg_grid"
    version = "1.0"
    title = "JPEG grid"
    needs = f"at least {_MIN_SIDE} x {_MIN_SIDE} pixels with some structure; traces of a JPEG save of moderate quality"
    measures = "regions whose 8x8 JPEG block grid differs from that of the picture, or is missing"

    def examine(self, source: SourceImage) -> list[Evidence]:
        if min(source.height, source.width) < _MIN_SIDE:
            return [self.abstain(f"the picture is smaller than {_MIN_SIDE} x {_MIN_SIDE} pixels")]
        reading = _read(source)
        if reading.election.turnout < MIN_VOTES:
            return [self.abstain("nearly every block is flat, saturated or drawn and cannot vote for a grid")]
        excluded = tuple(sorted({g for g in (reading.main, 0 if source.jpeg is not None else None) if g is not None}))
        foreign, filling, foreign_tests = self._foreign(reading, excluded)
        if _wanders(reading, foreign, filling, source.jpeg is not None):
            reason = (
                "the JPEG grid wanders across the picture: the whole was rescaled by a few percent after a JPEG save"
            )
            return [self.abstain(reason), self._main_fact(reading, filling, reason)]
        missing: list[Cluster] = []
        not_tested = "the picture has no JPEG grid" if reading.main is None else ""
        # A JPEG's own last save put grid (0, 0) on every part of it; only an older or a decoded grid can be lost.
        if reading.main == 0 and source.jpeg is not None:
            not_tested = "the grid is that of the file's own last save, which covers pasted parts too"
        elif reading.main is not None:
            rgb = _stored(source.rgb, source.orientation)
            clipped_mask = (rgb.min(axis=2) <= 1) | (rgb.max(axis=2) >= 254)
            missing, not_tested = missing_clusters(reading.luma, clipped_mask, reading.election, reading.main)
        missing_tests = log10_boxes(source.height // 8, source.width // 8) + LOG10_TRACES
        groups = _by_grid("foreign_grid", foreign, foreign_tests) + _by_grid("missing_grid", missing, missing_tests)
        groups.sort(key=lambda group: group.clusters[0].log10_nfa)
        significant = [g for g in groups if g.clusters[0].log10_nfa < _REPORTED_LOG10_NFA][:_MAX_DETECTIONS]
        score_map = np.zeros((source.height, source.width), np.float32)
        detections = [self._detection(source, group, score_map) for group in significant or groups[:1]]
        if not detections:
            detections = [self._nothing_found(foreign_tests)]
        # The map is of all records, and the first one carries it.
        detections[0] = detections[0].model_copy(update={"score_map": score_map})
        return [*detections, self._main_fact(reading, filling, not_tested)]

    def _foreign(
        self, reading: _Reading, excluded: tuple[int, ...]
    ) -> tuple[list[Cluster], list[tuple[int, float]], float]:
        """Clusters of both ballots, grids that fill the picture, log10 of the number of tests."""
        rows, columns = reading.luma.shape[0] // 8, reading.luma.shape[1] // 8
        log10_tests = log10_boxes(rows, columns) + math.log10(2 * 64) + LOG10_TRACES
        clusters, filling = foreign_clusters(reading.election, log10_tests)
        if excluded:
            second = hold_election(reading.zeros, reading.usable, excluded)
            more_clusters, more_filling = foreign_clusters(second, log10_tests)
            clusters, filling = clusters + more_clusters, filling + more_filling
        everywhere = {grid for grid, _ in filling} | set(excluded)
        filling = [(grid, share) for grid, share in filling if grid not in excluded]
        local = [c for c in clusters if c.grid not in everywhere]
        return sorted(local, key=lambda c: c.log10_nfa), filling, log10_tests

    def _detection(self, source: SourceImage, group: _Group, score_map: np.ndarray) -> Evidence:
        """The record of one grid: its best cluster, joined by its other significant ones; raises `score_map` there."""
        best, foreign = group.clusters[0], group.trace == "foreign_grid"
        joined = [c for c in group.clusters if c is best or c.log10_nfa < _REPORTED_LOG10_NFA]
        stored_shape = source.rgb.shape[:2] if source.orientation < 5 else source.rgb.shape[1::-1]
        mask = source.upright(_pixel_mask(joined, stored_shape))
        weight = float(np.clip(0.5 - best.log10_nfa / 16.0, 0.02, 1.0))
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 4.0)
        np.maximum(score_map, np.clip(soft * weight, 0.0, 1.0), out=score_map)
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace=group.trace,
            quantity="share of the blocks there that vote for a JPEG grid other than the picture's own"
            if foreign
            else "share of the blocks there that lack the picture's JPEG grid although they could show it",
            value=round(best.votes / max(best.trials, 1.0), 4),
            reference=round(best.chance, 4),
            reference_text="the share that chance allows",
            region=region_of_mask(mask),
            log10_nfa=round(best.log10_nfa, 3),
            log10_tests=round(group.log10_tests, 3),
            strength=strength_of(best.log10_nfa),
            limits=_LIMITS[group.trace],
            details={
                "grid_origin_xy": [best.grid & 7, best.grid >> 3],
                "blocks_voting": round(best.votes, 2),
                "blocks_in_box": round(best.trials, 2),
                "clusters": len(joined),
            },
        )

    def _nothing_found(self, log10_tests: float) -> Evidence:
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace="foreign_grid",
            quantity="neighbouring blocks that vote for a JPEG grid other than the picture's own",
            value=0,
            reference=0,
            reference_text="what a picture saved as a whole shows",
            log10_nfa=round(log10_tests, 3),
            log10_tests=round(log10_tests, 3),
            limits=_LIMITS["foreign_grid"],
        )

    def _main_fact(self, reading: _Reading, filling: list[tuple[int, float]], not_tested: str) -> Evidence:
        """Where the main grid starts; a shifted one tells of a crop, a second one of a crop between two saves."""
        grid = reading.main
        share = 0.0 if grid is None else reading.election.totals[grid] / max(reading.election.turnout, 1.0)
        details = {
            "log10_nfa": round(reading.main_log10_nfa, 3),
            "origin_xy_stored_frame": None if grid is None else [grid & 7, grid >> 3],
            "cropped_after_jpeg": grid not in (None, 0),
            "voting_fraction": round(reading.election.turnout * 64 / reading.luma.size, 4),
            "second_grids_xy": [[g & 7, g >> 3] for g, _ in filling],
            "missing_grid_not_tested": not_tested,
        }
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="fact",
            trace="main_grid",
            quantity="origin (x, y) of the JPEG grid of the whole picture, as stored"
            if grid is not None
            else "no JPEG grid of the whole picture was found: never compressed, very gently compressed, or rescaled",
            value=None if grid is None else _origin(grid),
            reference="(0, 0)",
            reference_text="the origin in a picture not cropped since it was saved as JPEG",
            limits=("a crop of the whole picture after an earlier save", "a lossless rotation or flip"),
            details={**details, "share_of_votes": round(float(share), 4)},
        )

    def measure(self, source: SourceImage, region_mask: np.ndarray) -> Evidence:
        """Share of the votes for the main grid inside the region, against outside; the favourite grid inside.

        Raises:
            MeasurementError: wrong frame, fewer than 1024 pixels, too few votes inside, or no main grid.
        """
        mask = checked_region(region_mask, source.height, source.width, 1024, self.name)
        if min(source.height, source.width) < _MIN_SIDE:
            raise MeasurementError(f"{self.name}: the picture is smaller than {_MIN_SIDE} pixels; nothing to measure")
        reading = _read(source)
        votes, _ = cast_votes(reading.zeros, reading.usable)
        stored_mask = _stored(mask, source.orientation)
        inside = np.bincount(votes[stored_mask], minlength=NO_VOTE + 1)[:64] / 64.0
        outside = reading.election.totals - inside
        if inside.sum() < MIN_VOTES / 4:
            raise MeasurementError(
                f"{self.name}: {inside.sum():.1f} blocks' worth of votes inside, at least {MIN_VOTES / 4:g} are "
                "needed; choose a region that is larger or less flat"
            )
        grid = reading.main if reading.main is not None else 0
        favourite = int(inside.argmax())
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="measurement",
            trace="main_grid",
            quantity=f"share of the votes inside for the picture's JPEG grid with origin {_origin(grid)}",
            value=round(float(inside[grid] / inside.sum()), 4),
            reference=round(float(outside[grid] / outside.sum()), 4) if outside.sum() >= 1 else None,
            reference_text="the share outside the region",
            region=region_of_mask(mask),
            limits=_LIMITS["missing_grid"],
            details={
                "main_grid_found": reading.main is not None,
                "favourite_origin_xy_inside": [favourite & 7, favourite >> 3],
                "favourite_share_inside": round(float(inside[favourite] / inside.sum()), 4),
                "blocks_voting_inside": round(float(inside.sum()), 2),
            },
        )
