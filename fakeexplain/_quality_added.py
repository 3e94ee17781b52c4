"""What was drawn around or over a photograph: borders, flat boxes, text. The measuring half of the quality gate.

Everything is told by exactness: a camera gives no rows of one colour that end on a straight edge, no rectangle of one
colour with straight contrasting sides, and no row of sharp signs of equal height in pure white or black. After a lossy
save "one colour" means within a few grey levels. Left out: blurred or patterned borders, see-through watermarks,
coloured or slanted lettering, stickers; and whether what was drawn is innocent, which pixels do not tell. Text and flat
boxes that belong to the scene (signs, screens) can pass for drawn ones: how often was counted (`quality_rates.json`).

Frames: rgb is uint8 HxWx3, upright; masks are bool HxW; boxes are xyxy in pixels, right and bottom exclusive.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

LOSSLESS_TOLERANCE, LOSSY_TOLERANCE = 2, 8  # grey levels that one colour may wander
EDGE_STEP = 16  # grey levels between what was drawn and the photograph beside it
EDGE_SHARE = 0.6  # of an edge must show that step ...
TWIN_EDGE_SHARE = 0.2  # ... or so much, where the opposite side has a strip as wide
RINGING = 8  # pixels beside a sharp edge that a lossy save disturbs
MAX_BORDER = 0.45  # of a side; a wider strip leaves no photograph in the middle
MIN_BORDER = 2  # pixels
MIN_BOX_SIDE = 12  # pixels
MIN_BOX_SHARE = 0.002  # of the picture
RECTANGULAR = 0.88  # agreement of a flat area, holes (the text in it) filled, with a rectangle
MAX_BOXES = 16  # largest flat areas looked at
MAX_BOX_SHARE = 0.8  # of the picture
SEED_SHARE = 12  # a flat area starts a box when it is this many times smaller than the smallest box
LOSSY_REACH = 24  # grey levels from its colour that a box reaches after a lossy save: beside letters it rings
INK_MARGIN = 24  # grey levels from pure white or black
MIN_GLYPHS = 6  # in one line
MIN_GLYPH_HEIGHT = 7  # pixels
MAX_GLYPH_HEIGHT = 0.12  # of the picture's height
ALIGNED = 0.15  # of the height by which signs of a line may differ, in their heights' median and their feet


@dataclass(frozen=True, eq=False)
class Added:
    """What was found.

    Attributes:
        borders: widths of the one-coloured strips in pixels: left, top, right, bottom.
        boxes: one-coloured rectangles inside the picture, text in them included.
        lines: lines of text drawn straight on the picture, with some room around them for signs that were missed.
        mask: bool HxW, union of all.
    """

    borders: tuple[int, int, int, int]
    boxes: tuple[tuple[int, int, int, int], ...]
    lines: tuple[tuple[int, int, int, int], ...]
    mask: np.ndarray

    @property
    def border_mask(self) -> np.ndarray:
        """bool HxW of the borders alone."""
        left, top, right, bottom = self.borders
        height, width = self.mask.shape
        mask = np.ones((height, width), bool)
        mask[top : height - bottom, left : width - right] = False
        return mask


def find_added(rgb: np.ndarray, *, lossy: bool) -> Added:
    """Borders, boxes and lines of text of a picture; about 40 ms per megapixel.

    Args:
        rgb: uint8 HxWx3.
        lossy: whether the pixels may have gone through a lossy save, which wants a wider tolerance.
    """
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width), bool)
    tolerance = LOSSY_TOLERANCE if lossy else LOSSLESS_TOLERANCE
    borders = _borders(rgb, tolerance)
    left, top, right, bottom = borders
    inner = rgb[top : height - bottom, left : width - right]
    if min(inner.shape[:2]) < 2 * MIN_BOX_SIDE:
        return Added((0, 0, 0, 0), (), (), mask)
    spread = _local_spread(inner)
    boxes = [_moved(b, left, top) for b in _flat_boxes(inner, spread, lossy)]
    lines = [_moved(b, left, top) for b in _text_lines(inner, spread)]
    lines = [_roomy(b, height, width) for b in lines]
    lines = [b for b in lines if not any(_inside(b, box) for box in boxes)]
    found = Added(borders, tuple(boxes), tuple(lines), mask)
    if any(borders):
        mask |= found.border_mask
    for x0, y0, x1, y1 in (*boxes, *lines):
        mask[y0:y1, x0:x1] = True
    return found


def _moved(box: tuple[int, int, int, int], x: int, y: int) -> tuple[int, int, int, int]:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _roomy(line: tuple[int, int, int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """Another sign and a half at both ends, and half the height of one above and below."""
    x0, y0, x1, y1 = line
    tall = y1 - y0
    return (
        max(x0 - 3 * tall // 2, 0),
        max(y0 - tall // 2, 0),
        min(x1 + 3 * tall // 2, width),
        min(y1 + tall // 2, height),
    )


def _inside(inner: tuple[int, int, int, int], outer: tuple[int, int, int, int]) -> bool:
    """Whether the middle of one box lies in another."""
    x, y = (inner[0] + inner[2]) // 2, (inner[1] + inner[3]) // 2
    return outer[0] <= x < outer[2] and outer[1] <= y < outer[3]


def _borders(rgb: np.ndarray, tolerance: int) -> tuple[int, int, int, int]:
    """Widths of the strips of one colour at the left, top, right and bottom edge; 0 where there is none.

    Top and bottom go first, and the sides are then measured between them, so that a frame is found whole.
    """
    top, bottom = _pair(rgb, tolerance)
    left, right = _pair(rgb[top : rgb.shape[0] - bottom].swapaxes(0, 1), tolerance)
    return left, top, right, bottom


def _pair(rows: np.ndarray, tolerance: int) -> tuple[int, int]:
    """Widths of the strips at the first and at the last row.

    Borders mostly come in pairs: beside a dark part of the photograph a black strip is believed for its twin's sake.
    """
    first, last = _strip(rows, tolerance), _strip(rows[::-1], tolerance)
    if first and not last:
        last = _strip(rows[::-1], tolerance, twin=first)
    elif last and not first:
        first = _strip(rows, tolerance, twin=last)
    return first, last


def _strip(rows: np.ndarray, tolerance: int, twin: int = 0) -> int:
    """Number of rows from the first one on that have one colour and end on a straight edge; 0 if there are none.

    Args:
        twin: width of the strip at the other side; one within a block of it needs less of an edge. 0 for none.
    """
    limit = int(MAX_BORDER * len(rows))
    if limit < MIN_BORDER or rows.shape[1] < MIN_BOX_SIDE:
        return 0
    colour = np.median(rows[0], axis=0).astype(np.int16)
    width, end, step = 0, limit + RINGING, 4
    while width < end:  # in strips that grow, for most pictures end in the first row
        part = _largest(np.abs(rows[width : min(width + step, end)].astype(np.int16) - colour))
        flat = (part <= tolerance).mean(axis=1) >= 0.98
        width += len(flat) if flat.all() else int(flat.argmin())
        if not flat.all():
            break
        step = 64
    if not MIN_BORDER <= width <= limit or (twin and abs(width - twin) > RINGING):
        return 0
    # A clipped sky ends on a ragged line: the photograph must begin along the whole edge, at most one block further on.
    beyond = _largest(np.abs(rows[width : width + RINGING + 1].astype(np.int16) - colour))
    starts = (beyond > EDGE_STEP).mean(axis=1) >= (TWIN_EDGE_SHARE if twin else EDGE_SHARE)
    if twin:
        return twin if starts.any() else 0
    return width + int(starts.argmax()) if starts.any() else 0


def _local_spread(rgb: np.ndarray) -> np.ndarray:
    """uint8 HxW: largest difference between neighbours in 3x3, over the channels."""
    kernel = np.ones((3, 3), np.uint8)
    return _largest(cv2.subtract(cv2.dilate(rgb, kernel), cv2.erode(rgb, kernel)))


def _largest(array: np.ndarray) -> np.ndarray:
    """Largest of the three channels, HxW; ten times as fast as numpy's reduction over a short axis."""
    return np.asarray(np.maximum(np.maximum(array[..., 0], array[..., 1]), array[..., 2]))


def _flat_boxes(rgb: np.ndarray, spread: np.ndarray, lossy: bool) -> list[tuple[int, int, int, int]]:
    """One-coloured rectangles with straight contrasting sides, at least one of which is inside the picture."""
    height, width = spread.shape
    rgb = rgb.copy()  # OpenCV wants what it floods writable, though it only writes the mask
    tolerance = LOSSY_TOLERANCE if lossy else LOSSLESS_TOLERANCE
    flat = (spread <= tolerance).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    least = max(MIN_BOX_SIDE**2, MIN_BOX_SHARE * height * width)
    found: list[tuple[int, int, int, int]] = []
    seen = np.zeros((height, width), np.uint8)
    for i in np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:MAX_BOXES] + 1:
        x, y, w, h, area = (int(v) for v in stats[i])
        if area < least / SEED_SHARE or w * h > MAX_BOX_SHARE * height * width:
            continue
        seed = np.argwhere(labels[y : y + h, x : x + w] == i)[area // 2]
        at = (x + int(seed[1]), y + int(seed[0]))
        if seen[at[1], at[0]]:
            continue
        grown = _box_around(rgb, seen, at, least, lossy)
        if grown is not None and not any(_inside(grown, other) for other in found):
            found.append(grown)
    return found


def _box_around(
    rgb: np.ndarray, seen: np.ndarray, at: tuple[int, int], least: float, lossy: bool
) -> tuple[int, int, int, int] | None:
    """The one-coloured rectangle around a pixel (x, y); None if its colour spreads over some other shape.

    Marks in `seen` (uint8 HxW) where that colour spreads, so that no other flat area there is tried again.
    """
    height, width = rgb.shape[:2]
    reach = LOSSY_REACH if lossy else LOSSLESS_TOLERANCE
    canvas = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
    _, _, _, (x, y, w, h) = cv2.floodFill(rgb, canvas, at, 0, (reach,) * 3, (reach,) * 3, flags)
    part = canvas[y + 1 : y + 1 + h, x + 1 : x + 1 + w]
    seen[y : y + h, x : x + w] |= part
    if w * h < least or min(w, h) < MIN_BOX_SIDE or w * h > MAX_BOX_SHARE * height * width:
        return None
    (x0, y0, x1, y1), share = _rectangle(part)
    if share < RECTANGULAR:
        return None
    colour = np.median(rgb[y : y + h, x : x + w][part > 0], axis=0)
    away = np.abs(rgb[y : y + h, x : x + w][part > 0].astype(np.int16) - colour.astype(np.int16)).max(axis=1)
    if np.quantile(away, 0.6) > (LOSSY_TOLERANCE // 2 if lossy else LOSSLESS_TOLERANCE):
        return None  # smooth, but not of one colour: sky
    return _grown(rgb, (x + x0, y + y0, x + x1, y + y1), colour)


def _rectangle(part: np.ndarray) -> tuple[tuple[int, int, int, int], float]:
    """(box of the rows and columns that a shape with its holes filled mostly covers, how well the two agree).

    Agreement is intersection over union. Colour that bleeds across a side after a lossy save is cut off by the box.
    """
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(part.shape, np.uint8)
    cv2.drawContours(canvas, contours, -1, 1, cv2.FILLED)
    rows, columns = np.flatnonzero(canvas.mean(axis=1) > 0.5), np.flatnonzero(canvas.mean(axis=0) > 0.5)
    if not rows.size or not columns.size:
        return (0, 0, 0, 0), 0.0
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    inside = int(canvas[y0:y1, x0:x1].sum())
    return (x0, y0, x1, y1), inside / ((x1 - x0) * (y1 - y0) + int(canvas.sum()) - inside)


def _grown(rgb: np.ndarray, box: tuple[int, int, int, int], colour: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box up to its sides; None unless each side that is not the picture's shows a straight step of colour.

    The flat part ends short of the side by the window of the spread, and by up to a block after a lossy save.
    """
    height, width = rgb.shape[:2]
    sides = list(box)
    inside = 0
    for axis, end in ((0, 0), (1, 0), (0, 1), (1, 1)):  # left, top, right, bottom
        length = width if axis == 0 else height
        edge = sides[axis + 2 * end]
        room = length - edge if end else edge
        if room <= RINGING // 2:
            sides[axis + 2 * end] = length if end else 0
            continue
        inside += 1
        reach = min(room, RINGING + 2)
        x0, y0, x1, y1 = sides
        along = slice(y0, y1) if axis == 0 else slice(x0, x1)
        across = slice(edge, edge + reach) if end else slice(edge - reach, edge)
        strip = rgb[along, across] if axis == 0 else rgb[across, along].swapaxes(0, 1)
        strip = strip if end else strip[:, ::-1]  # outwards
        step = np.abs(strip.astype(np.int16) - colour.astype(np.int16)).max(axis=2) > EDGE_STEP
        shares = step.mean(axis=0)
        if shares.max(initial=0.0) < EDGE_SHARE:
            return None
        # Straight: the step comes within two pixels for most of the side.
        offset = int((shares >= EDGE_SHARE).argmax())
        if step[:, max(offset - 2, 0) : offset + 1].any(axis=1).mean() < EDGE_SHARE:
            return None
        sides[axis + 2 * end] = edge + offset if end else edge - offset
    return (sides[0], sides[1], sides[2], sides[3]) if inside else None


def _text_lines(rgb: np.ndarray, spread: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Rows of sharp signs in white or black: boxes of whole lines, those of outlined letters joined."""
    darkest = np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])
    lightest = _largest(rgb)
    lines = []
    for ink in (darkest >= 255 - INK_MARGIN, lightest <= INK_MARGIN):
        if ink.any():
            lines += _lines_of(ink, spread)
    joined: list[tuple[int, int, int, int]] = []
    for line in sorted(lines):
        x0, y0, x1, y1 = line
        for i, (u0, v0, u1, v1) in enumerate(joined):
            overlap = min(y1, v1) - max(y0, v0)
            if overlap > 0.5 * min(y1 - y0, v1 - v0) and x0 - u1 <= 2 * (v1 - v0):
                joined[i] = (min(x0, u0), min(y0, v0), max(x1, u1), max(y1, v1))
                break
        else:
            joined.append(line)
    return joined


def _lines_of(ink: np.ndarray, spread: np.ndarray) -> list[tuple[int, int, int, int]]:
    height = ink.shape[0]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    x, y, w, h, area = (stats[:, i].astype(np.int64) for i in range(5))
    fill = area / np.maximum(w * h, 1)
    shaped = (h >= MIN_GLYPH_HEIGHT) & (h <= max(MAX_GLYPH_HEIGHT * height, 3 * MIN_GLYPH_HEIGHT)) & (w <= 2 * h)
    shaped &= (fill > 0.12) & (fill < 0.97) & (area >= 8)
    shaped[0] = False
    chosen = np.flatnonzero(shaped)
    if chosen.size < MIN_GLYPHS or chosen.size > 20_000:
        return []
    sharp = _sharpness(labels, spread, count)
    chosen = chosen[sharp[chosen] > 0.5]
    found: list[tuple[int, int, int, int]] = []
    for line in _chains(x[chosen], y[chosen], w[chosen], h[chosen]):
        at = chosen[line]
        found.append((int(x[at].min()), int(y[at].min()), int((x + w)[at].max()), int((y + h)[at].max())))
    return found


def _sharpness(labels: np.ndarray, spread: np.ndarray, count: int) -> np.ndarray:
    """float (count,): share of a component's rim at which the neighbourhood holds a strong step of colour."""
    inked = (labels > 0).astype(np.uint8)
    rim = inked.astype(bool) & (cv2.erode(inked, np.ones((3, 3), np.uint8)) == 0)
    strong = np.bincount(labels[rim & (spread > 6 * EDGE_STEP)], minlength=count)
    return np.asarray(strong / np.maximum(np.bincount(labels[rim], minlength=count), 1))


def _chains(x: np.ndarray, y: np.ndarray, w: np.ndarray, h: np.ndarray) -> list[list[int]]:
    """Groups of signs that stand in one line: feet level, heights alike, gaps no wider than a blank or two."""
    order = np.argsort(x, kind="stable")
    feet = y + h
    taken = np.zeros(len(x), bool)
    lines = []
    for first in order:
        if taken[first]:
            continue
        line = [int(first)]
        for other in order:
            last = line[-1]
            if taken[other] or x[other] <= x[last]:
                continue
            if x[other] - (x[last] + w[last]) > 1.5 * h[first]:
                break
            level = abs(int(feet[other]) - int(feet[last])) <= max(1.0, ALIGNED * h[first])
            if level and 0.55 * h[first] <= h[other] <= 1.8 * h[first]:
                line.append(int(other))
        if len(line) >= MIN_GLYPHS and _even(h[line], feet[line]):
            taken[line] = True
            lines.append(line)
    return lines


def _even(heights: np.ndarray, feet: np.ndarray) -> bool:
    """Two heights only (small and capital letters), one foot: most signs of a line share each."""
    level = np.abs(feet - np.median(feet)) <= np.maximum(1.0, 0.5 * ALIGNED * heights)
    small, large = np.quantile(heights, 0.25), np.quantile(heights, 0.9)
    near = np.minimum(np.abs(heights - small), np.abs(heights - large)) <= np.maximum(1.0, ALIGNED * heights)
    return bool(level.mean() >= 0.7 and near.mean() >= 0.7)
