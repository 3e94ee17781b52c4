"""Copy-move: two places of the picture that share what only a copy shares.

Proposals come from `keypoints` (affine maps that SIFT matches agree on, mirrored ones too; whole-pixel shifts at which
blocks are bit-identical). For each, `_copy_move_compare` registers both places, grows the region and correlates the
high-pass residuals in small windows. The law then asks whether two *genuine* similar things could agree in so many.

Background model: a genuinely similar pair (windows of a facade, tiles, glasses of one set) agrees to a degree of its
own. The mean Fisher z of its windows' correlations is taken as normal from pair to pair, with centre and spread fitted
on the pairs that authentic photographs produce, and NFA = such pairs expected in a photograph x levels x tail: a
calibrated tail, not a theorem. Pairs whose map keeps shapes (a similarity, as editing programs apply) are rare among
genuine ones, which perspective distorts; they have a law of their own. So have bit-identical windows, for smooth places
whose residual is too weak to correlate (share of windows, beta-binomial).

Left out: saying which place is the original (not known from the picture), and repetitions with little texture, few grey
levels or clipped light, which innocent pictures are full of (printed or rendered characters, skies, letterbox bars).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import special

from fakeexplain.errors import MeasurementError
from fakeexplain.imaging.regions import box_of_mask, checked_region, region_of_mask
from fakeexplain.imaging.source import SourceImage
from fakeexplain.instruments._copy_move_compare import (
    Comparison,
    apply_map,
    compare,
    high_pass,
    image_of,
    invert_map,
    is_shift,
    scale_of,
)
from fakeexplain.instruments.base import Instrument
from fakeexplain.instruments.keypoints import Proposal, consensus, extract, identical_blocks, self_match
from fakeexplain.instruments.statistics import LOG10_E, log10_normal_tail, strength_of
from fakeexplain.records import Evidence

_SEED = 20181
_MIN_DISTANCE = 24.0  # pixels between two places that count as different
_KEYPOINT_PROPOSALS, _BLOCK_PROPOSALS = 6, 3
_MAX_GEOMETRY = 1.0  # log10 NFA of the consensus above which a group of matches is chance
_MIN_SIDE = 64
_MIN_WINDOWS = 8  # to judge by correlation
_MIN_IDENTICAL = 5
_MIN_SHARE = 0.1  # of the region's windows that can be judged; drawings have only edges between flat parts
_MAX_EFFECTIVE = 60.0  # windows; more of one pair say nothing new about the pair
_MAX_RECORDS = 6
_MEASURE_PIXELS = 400_000

# Least residual std of a window in grey levels; centre, spread between genuine pairs of the mean Fisher z.
_SIMILARITY_LEVELS = ((0.8, 0.65, 0.35), (4.0, 0.75, 0.35))
_AFFINE_LEVELS = ((0.8, 0.85, 0.42), (4.0, 0.93, 0.42))
_SIMILARITY_PAIRS, _AFFINE_PAIRS = 0.25, 0.75  # genuine pairs expected in a photograph, rounded up
_MAX_DISTORTION = 0.01  # ratio of the map's singular values, minus 1, that still counts as a similarity
_WITHIN = 0.4  # spread of Fisher z from window to window of one genuine pair
_DEPENDENCE = 2.0  # windows per independent window
_TOP_Z = 3.0  # atanh(0.995): rounding to whole grey levels alone costs that much
_EXACT_LAW = (0.02, 4.0)  # beta law of the share of bit-identical windows

_LIMITS = (
    "mass-produced or printed things that repeat to the pixel, such as pattern, logos and rendered text",
    "renderings and computer graphics, where objects are instanced on purpose",
    "a panorama or multi-exposure picture that shows one thing twice",
    "dust removal, healing or texture filling done by the camera or scanner",
)
_QUANTITIES = {
    False: "agreement of the finest detail of two places that look alike (correlation, mean over small windows)",
    True: "share of small windows that are identical bit for bit in two places",
}
_REFERENCE_TEXT = "mean of genuinely similar pairs in authentic photographs"


@dataclass(frozen=True)
class _Finding:
    proposal: Proposal
    comparison: Comparison
    log10_nfa: float
    log10_tests: float
    value: float
    reference: float
    identical: bool
    windows: int


class CopyMove(Instrument):
    """Looks for pairs of duplicated regions; each record names both, `region` and `partner`."""

    name = "copy_move"
    version = "1.0"
    title = "Duplicated regions"
    needs = "textured places of at least about 48 x 48 pixels"
    measures = "whether two places of the picture are one and the same, down to the fine residual"

    def examine(self, source: SourceImage) -> list[Evidence]:
        """Detections, best first, or an abstention."""
        if min(source.height, source.width) < _MIN_SIDE:
            return [self.abstain(f"the picture is smaller than {_MIN_SIDE} pixels on a side")]
        proposals, keypoint_count = _propose(source)
        if keypoint_count < 20 and not proposals:
            return [
                self.abstain("the picture has too little texture to recognise a place again", keypoints=keypoint_count)
            ]
        findings = [f for f in (_judge(source, p) for p in proposals) if f is not None]
        findings = _distinct(source, sorted(findings, key=lambda f: f.log10_nfa))
        if not findings:
            return [self._nothing_alike(keypoint_count, len(proposals))]
        shown = [f for f in findings if f.log10_nfa < -1.0][:_MAX_RECORDS] or findings[:1]
        score_map = _score_map(source, findings)
        return [self._record(source, f, score_map if i == 0 else None) for i, f in enumerate(shown)]

    def _nothing_alike(self, keypoint_count: int, proposal_count: int) -> Evidence:
        """A search without a candidate is a result, not an abstention: its NFA is that of no pair at all."""
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace="duplicate_region",
            quantity="pairs of places that resemble each other closely enough to be compared",
            value=0,
            log10_nfa=0.0,
            limits=_LIMITS,
            details={"keypoints": keypoint_count, "proposals": proposal_count},
        )

    def _record(self, source: SourceImage, finding: _Finding, score_map: np.ndarray | None) -> Evidence:
        comparison = finding.comparison
        region_mask, partner_mask = _masks(source, comparison)
        linear = comparison.transform[:, :2]
        mirrored = bool(np.linalg.det(linear) < 0)
        angle = math.degrees(math.atan2(linear[1, 0], linear[0, 0]) if not mirrored else _mirror_angle(linear))
        centre = np.argwhere(region_mask)[:, ::-1].mean(axis=0, keepdims=True)
        shift = (apply_map(comparison.transform, centre) - centre)[0]
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="detection",
            trace="duplicate_region",
            quantity=_QUANTITIES[finding.identical],
            value=round(finding.value, 3),
            reference=round(finding.reference, 3),
            reference_text=_REFERENCE_TEXT,
            region=region_of_mask(region_mask),
            partner=region_of_mask(partner_mask),
            log10_nfa=finding.log10_nfa,
            log10_tests=finding.log10_tests,
            strength=strength_of(finding.log10_nfa),
            limits=_LIMITS,
            details={
                "rotation_degrees": round(angle, 2),
                "scale": round(scale_of(comparison.transform), 4),
                "mirrored": mirrored,
                "shift_pixels": [round(float(shift[0]), 2), round(float(shift[1]), 2)],
                "transform": [[round(float(v), 5) for v in row] for row in comparison.transform],
                "inliers": finding.proposal.inliers,
                "found_by": "identical blocks" if finding.proposal.exact else "keypoints",
                "log10_nfa_geometry": round(float(finding.proposal.log10_nfa), 1),
                "residual_correlation": round(float(np.median(comparison.correlation)), 3),
                "windows": finding.windows,
                "identical_windows": int(comparison.exact.sum()),
            },
            score_map=score_map,
        )

    def measure(self, source: SourceImage, region_mask: np.ndarray) -> Evidence:
        """Best match of the region elsewhere (unturned): residual correlation there; `partner` is the place.

        Raises:
            MeasurementError: under 256 pixels, wrong frame, flat, or so large that nothing is left to search.
        """
        mask = checked_region(region_mask, source.height, source.width, 256, self.name)
        x0, y0, x1, y1 = box_of_mask(mask)
        if 2 * (x1 - x0) > source.width and 2 * (y1 - y0) > source.height:
            raise MeasurementError(f"{self.name}: the region leaves no place of its size to compare with; narrow it")
        if float(source.luma[mask].std()) < 1.0:
            raise MeasurementError(f"{self.name}: the region is flat and would match any flat place; choose texture")
        shift, likeness, runner_up = _best_shift(source.luma, mask)
        dx, dy = shift
        a = high_pass(np.ascontiguousarray(source.luma[y0:y1, x0:x1]), 1.0)
        b = high_pass(np.ascontiguousarray(source.luma[y0 + dy : y1 + dy, x0 + dx : x1 + dx]), 1.0)
        inside = mask[y0:y1, x0:x1]
        residual = float(np.corrcoef(a[inside], b[inside])[0, 1]) if a[inside].std() * b[inside].std() > 0 else 0.0
        partner = np.zeros(mask.shape, bool)
        partner[y0 + dy : y1 + dy, x0 + dx : x1 + dx] = inside
        return Evidence(
            instrument=self.name,
            instrument_version=self.version,
            kind="measurement",
            trace="duplicate_region",
            quantity="correlation of the fine residual of the region with its best match elsewhere, unturned",
            value=round(residual, 3),
            reference=0.5,
            reference_text="genuinely similar things mostly stay below this, untouched copies come close to 1",
            region=region_of_mask(mask),
            partner=region_of_mask(partner),
            limits=_LIMITS[:2],
            details={
                "shift_pixels": [dx, dy],
                "grey_level_correlation": round(likeness, 3),
                "second_best_grey_level_correlation": round(runner_up, 3),
            },
        )


def other_way_round(item: Evidence) -> Evidence:
    """A pair's record told from its other place: `region` and `partner` exchanged, the map between them inverted."""
    details = dict(item.details)
    turned = invert_map(np.asarray(details["transform"], dtype=np.float64))
    details["transform"] = [[round(float(v), 5) for v in row] for row in turned]
    details["scale"] = round(scale_of(turned), 4)
    details["shift_pixels"] = [-v for v in details["shift_pixels"]]
    if not details["mirrored"]:  # a mirrored turn undoes itself
        details["rotation_degrees"] = -details["rotation_degrees"]
    return item.model_copy(update={"region": item.partner, "partner": item.region, "details": details})


def _propose(source: SourceImage) -> tuple[list[Proposal], int]:
    grey = np.clip(np.rint(source.luma), 0, 255).astype(np.uint8)
    points = extract(grey)
    proposals: list[Proposal] = []
    if len(points.xy) >= 8:
        matches = self_match(points, _MIN_DISTANCE)
        proposals = consensus(points, matches, float(grey.size), _KEYPOINT_PROPOSALS, _SEED)
        proposals = [p for p in proposals if p.log10_nfa < _MAX_GEOMETRY]
    return proposals + identical_blocks(source.rgb, _MIN_DISTANCE, _BLOCK_PROPOSALS), len(points.xy)


def _judge(source: SourceImage, proposal: Proposal) -> _Finding | None:
    transform, seeds = proposal.transform, proposal.seeds.astype(np.float64)
    if scale_of(transform) > 1.0:
        # The larger place comes first: the smaller one is enlarged to it, which invents nothing.
        seeds, transform = apply_map(transform, seeds), invert_map(transform)
    inside = ((seeds >= 0) & (seeds <= (source.width - 1, source.height - 1))).all(axis=1)
    if inside.sum() < 3:
        return None
    comparison = compare(source.luma, source.rgb, transform, seeds[inside], proposal.exact)
    if comparison is None or comparison.correlation.size < max(_MIN_IDENTICAL, _MIN_SHARE * comparison.windows):
        return None
    options = []
    singular = np.linalg.svd(comparison.transform[:, :2], compute_uv=False)
    rigid = bool(singular[0] <= (1.0 + _MAX_DISTORTION) * singular[1])
    levels = _SIMILARITY_LEVELS if rigid else _AFFINE_LEVELS
    log10_tests = math.log10((_SIMILARITY_PAIRS if rigid else _AFFINE_PAIRS) * (len(levels) + 1))
    for floor, centre, spread in levels:
        use = comparison.activity > floor
        count = int(use.sum())
        if count >= _MIN_WINDOWS:
            mean = float(np.minimum(np.arctanh(np.minimum(comparison.correlation[use], 0.9999)), _TOP_Z).mean())
            deviation = math.hypot(spread, _WITHIN / math.sqrt(count / _DEPENDENCE))
            tail = float(log10_normal_tail((mean - centre) / deviation))
            options.append((tail, math.tanh(mean), math.tanh(centre), False, count))
    # Blocks of smooth JPEG content can be equal by chance where the grid falls on itself: there, only lively windows.
    on_grid = is_shift(comparison.transform) and not (comparison.transform[:, 2] % 8).any()
    use = comparison.activity > (2.0 if on_grid else 0.0)
    count, identical = int(use.sum()), int(comparison.exact[use].sum())
    if count >= _MIN_IDENTICAL:
        alpha, beta = _EXACT_LAW
        options.append(
            (_log10_tail(count, identical, alpha, beta), identical / count, alpha / (alpha + beta), True, count)
        )
    if not options:
        return None
    tail, value, reference, exact, count = min(options, key=lambda o: o[0])
    return _Finding(proposal, comparison, log10_tests + tail, log10_tests, value, reference, exact, count)


def _log10_tail(n: int, k: int, alpha: float, beta: float) -> float:
    """log10 P(X >= k), X beta-binomial; n is cut to an effective number, k in proportion (rounded down)."""
    if k <= 0:
        return 0.0
    if n > _MAX_EFFECTIVE:
        n, k = int(_MAX_EFFECTIVE), int(k * _MAX_EFFECTIVE / n)
    j = np.arange(k, n + 1)
    log_terms = (
        special.gammaln(n + 1)
        - special.gammaln(j + 1)
        - special.gammaln(n - j + 1)
        + special.betaln(j + alpha, n - j + beta)
        - special.betaln(alpha, beta)
    )
    return min(float(special.logsumexp(log_terms)) * LOG10_E, 0.0)


def _masks(source: SourceImage, comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """(region, partner) as bool HxW."""
    x0, y0, x1, y1 = comparison.box_xyxy
    region_mask = np.zeros((source.height, source.width), bool)
    region_mask[y0:y1, x0:x1] = comparison.region_mask
    frame = _image_box(source, comparison)
    partner_mask = np.zeros_like(region_mask)
    partner_mask[frame[1] : frame[3], frame[0] : frame[2]] = image_of(
        comparison.region_mask, comparison.transform, comparison.box_xyxy, frame
    )
    return region_mask, partner_mask


def _image_box(source: SourceImage, comparison: Comparison) -> tuple[int, int, int, int]:
    """Box of the picture that holds the image of the region's own box."""
    bx0, by0, bx1, by1 = box_of_mask(comparison.region_mask)
    x0, y0 = comparison.box_xyxy[:2]
    corners = np.array([(x0 + u, y0 + v) for u in (bx0, bx1) for v in (by0, by1)], float)
    moved = apply_map(comparison.transform, corners)
    low = np.clip(np.floor(moved.min(axis=0)) - 2, 0, (source.width - 1, source.height - 1)).astype(int)
    high = np.clip(np.ceil(moved.max(axis=0)) + 2, low + 1, (source.width, source.height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _distinct(source: SourceImage, findings: list[_Finding]) -> list[_Finding]:
    """Without findings that repeat a better one: keypoints and blocks often propose the same pair."""
    kept: list[_Finding] = []
    unions: list[np.ndarray] = []
    for finding in findings:
        region_mask, partner_mask = _masks(source, finding.comparison)
        if not partner_mask.any():
            continue
        union = region_mask | partner_mask
        if any((union & other).sum() > 0.5 * min(union.sum(), other.sum()) for other in unions):
            continue
        kept.append(finding)
        unions.append(union)
    return kept


def _score_map(source: SourceImage, findings: list[_Finding]) -> np.ndarray:
    """float32 HxW: for each pair its likeness, weighted down where the pair itself is not significant."""
    score = np.zeros((source.height, source.width), np.float32)
    for finding in findings:
        trust = float(np.clip(0.25 - 0.15 * finding.log10_nfa, 0.05, 1.0))
        for place in _masks(source, finding.comparison):
            score[place] = np.maximum(score[place], trust)
    return score


def _mirror_angle(linear: np.ndarray) -> float:
    """Turn (radians) that follows a left-right flip."""
    return math.atan2(-linear[1, 0], -linear[0, 0])


def _best_shift(luma: np.ndarray, mask: np.ndarray) -> tuple[tuple[int, int], float, float]:
    """((dx, dy), grey-level correlation, that of the best place further away) of the region's best match elsewhere."""
    height, width = luma.shape
    factor = max(1.0, math.sqrt(luma.size / _MEASURE_PIXELS))
    x0, y0, x1, y1 = box_of_mask(mask)
    if factor > 1.0:
        size = (max(round(width / factor), 1), max(round(height / factor), 1))
        small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        small_mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    else:
        small, small_mask = luma, mask
    if int(small_mask.sum()) < 64:  # too small for the reduced view: search at full size
        factor, small, small_mask = 1.0, luma, mask
    sx0, sy0, sx1, sy1 = box_of_mask(small_mask)
    response = _masked_response(small, small[sy0:sy1, sx0:sx1], small_mask[sy0:sy1, sx0:sx1])
    _ban(response, (sx0, sy0), (sx1 - sx0) // 2, (sy1 - sy0) // 2)
    _, likeness, _, (bx, by) = cv2.minMaxLoc(response)
    _ban(response, (bx, by), (sx1 - sx0) // 2, (sy1 - sy0) // 2)
    runner_up = float(response.max())
    if factor == 1.0:
        return (bx - sx0, by - sy0), float(likeness), max(runner_up, -1.0)
    reach = math.ceil(factor) + 2
    gx, gy = round((bx - sx0) * factor) + x0, round((by - sy0) * factor) + y0
    left, top = int(np.clip(gx - reach, 0, width - (x1 - x0))), int(np.clip(gy - reach, 0, height - (y1 - y0)))
    part = luma[top : top + (y1 - y0) + 2 * reach, left : left + (x1 - x0) + 2 * reach]
    fine = _masked_response(part, luma[y0:y1, x0:x1], mask[y0:y1, x0:x1])
    _, likeness, _, (fx, fy) = cv2.minMaxLoc(fine)
    return (left + fx - x0, top + fy - y0), float(likeness), max(runner_up, -1.0)


def _masked_response(plane: np.ndarray, template: np.ndarray, inside: np.ndarray) -> np.ndarray:
    weights = inside.astype(np.float32)
    response = cv2.matchTemplate(
        np.ascontiguousarray(plane), np.ascontiguousarray(template), cv2.TM_CCOEFF_NORMED, mask=weights
    )
    # Over flat places the norm is rounding noise.
    return np.where(np.isfinite(response) & (np.abs(response) <= 1.001), response, -1.0).astype(np.float32)


def _ban(response: np.ndarray, place: tuple[int, int], reach_x: int, reach_y: int) -> None:
    x, y = place
    response[max(y - reach_y, 0) : y + reach_y + 1, max(x - reach_x, 0) : x + reach_x + 1] = -2.0
