"""What pictures go through before the quality gate is counted on them: saves, sizes, services, screenshots, drawings.

Borders, captions, lettering and the surroundings of a screenshot are drawn here, as people and programs add them in
good faith, from a seed: the same photograph gives the same bytes every time. Saves and services are real codecs
(`imaging.degrade`, `robustness`). Left out: examining and counting (`gate_tables`).

rgb is uint8 HxWx3, true masks are bool HxW or None; what a drawing covers is no longer part of the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fakeexplain.evaluation.robustness import CELLS as CHAINS
from fakeexplain.imaging import degrade

AS_RECEIVED = "as received"
SCREEN = (720, 1280)  # pixels of the drawn screen; larger ones only cost time
_WORDS = (
    *("seen yesterday at the market", "photo by a reader", "this is how it looked", "breaking news from town"),
    *("we were there last week", "share before it is gone", "www.example.org", "copyright our archive 2024"),
)

Picture = tuple[np.ndarray, np.ndarray | None]
_Draw = Callable[[np.ndarray, np.ndarray | None, np.random.Generator], Picture]


@dataclass(frozen=True)
class Cell:
    """One way for a picture to arrive.

    Attributes:
        group: heading in tables: quality, size, chain, screenshot, drawn or rescaled.
        before: what the photograph went through before anybody forged or drew anything; `run_cell` leaves it to its
            caller. draw: what is drawn, None for nothing.
        after: steps at the end, made for the picture's width and height.
        trace: name of the trace that the gate should find there (`quality.TRACES`), "" for none in particular.
    """

    group: str
    after: Callable[[int, int, int], list[degrade.Step]]
    before: tuple[degrade.Step, ...] = ()
    draw: _Draw | None = None
    trace: str = ""


def _shade(rng: np.random.Generator) -> tuple[int, int, int]:
    """Black and white mostly, as borders are; else any light or dark colour."""
    kind = rng.integers(4)
    if kind < 2:
        return (0, 0, 0) if kind == 0 else (255, 255, 255)
    level = rng.integers(0, 60, 3) if kind == 2 else rng.integers(200, 256, 3)
    return int(level[0]), int(level[1]), int(level[2])


def _contrast(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    return (255, 255, 255) if sum(colour) < 384 else (16, 16, 16)


def draw_border(rgb: np.ndarray, true_mask: np.ndarray | None, rng: np.random.Generator) -> Picture:
    """Strips of one colour above and below, or all around, of 2 to 14 % of the height."""
    tall = max(4, int(rgb.shape[0] * rng.uniform(0.02, 0.14)))
    wide = 0 if rng.integers(2) else max(4, int(tall * rng.uniform(0.3, 1.0)))
    colour = _shade(rng)
    sides = (tall, tall, wide, wide)
    bordered = cv2.copyMakeBorder(rgb, *sides, cv2.BORDER_CONSTANT, value=colour)
    if true_mask is None:
        return bordered, None
    moved = cv2.copyMakeBorder(true_mask.astype(np.uint8), *sides, cv2.BORDER_CONSTANT, value=0)
    return bordered, moved > 0


def draw_caption(rgb: np.ndarray, true_mask: np.ndarray | None, rng: np.random.Generator) -> Picture:
    """A flat box with a line of text, across the picture or inside it."""
    height, width = rgb.shape[:2]
    size = max(11, int(height * rng.uniform(0.03, 0.06)))
    text, font = _line(rng, size, width)
    pad = max(4, size // 2)
    left, _, right, bottom = font.getbbox(text)
    tall = int(bottom) + 2 * pad
    if rng.integers(2):
        x0, x1 = 0, width
    else:
        wide = min(width, int(right - left) + 4 * pad)
        x0 = int(rng.integers(0, width - wide + 1))
        x1 = x0 + wide
    y0 = int(rng.choice([height - tall, int(0.05 * height), int(0.8 * height)]))
    y0 = int(np.clip(y0, 0, height - tall))
    colour = _shade(rng)
    image = Image.fromarray(rgb)
    pen = ImageDraw.Draw(image)
    pen.rectangle((x0, y0, x1 - 1, y0 + tall - 1), fill=colour)
    pen.text((x0 + 2 * pad, y0 + pad), text, fill=_contrast(colour), font=font)
    return np.array(image), _without(true_mask, (x0, y0, x1, y0 + tall))


def draw_text(rgb: np.ndarray, true_mask: np.ndarray | None, rng: np.random.Generator) -> Picture:
    """A line of white lettering with a black outline, straight on the picture."""
    height, width = rgb.shape[:2]
    size = max(14, int(height * rng.uniform(0.045, 0.09)))
    text, font = _line(rng, size, width)
    box = font.getbbox(text)
    x = int(rng.integers(2, max(3, width - int(box[2]) - 2)))
    y = int(rng.choice([0.03, 0.85]) * height)
    image = Image.fromarray(rgb)
    pen = ImageDraw.Draw(image)
    pen.text((x, y), text, fill=(255, 255, 255), font=font, stroke_width=max(1, size // 12), stroke_fill=(0, 0, 0))
    return np.array(image), _without(true_mask, (x, y + int(box[1]), x + int(box[2]), y + int(box[3])))


def draw_screen(rgb: np.ndarray, true_mask: np.ndarray | None, rng: np.random.Generator) -> Picture:
    """The picture scaled to the width of a screen, between a status bar, a title, and a bar of buttons."""
    wide, tall = SCREEN
    shown_height = min(round(rgb.shape[0] * wide / rgb.shape[1]), tall - 300)
    shown_width = round(rgb.shape[1] * shown_height / rgb.shape[0])
    colour = (255, 255, 255) if rng.integers(2) else (18, 18, 18)
    image = Image.new("RGB", SCREEN, colour)
    x, y = (wide - shown_width) // 2, 150 + int(rng.integers(0, tall - 300 - shown_height + 1))
    image.paste(Image.fromarray(degrade.resize(rgb, shown_width, shown_height, "bilinear")), (x, y))
    pen, ink = ImageDraw.Draw(image), _contrast(colour)
    pen.text((24, 14), f"{rng.integers(10, 24)}:{rng.integers(10, 60)}", fill=ink, font=_font(22))
    pen.text((wide - 90, 14), f"{rng.integers(10, 100)} %", fill=ink, font=_font(22))
    pen.text((100, 80), str(rng.choice(_WORDS)), fill=ink, font=_font(30))
    pen.line((0, 140, wide, 140), fill=(128, 128, 128))
    for i in range(4):
        pen.rounded_rectangle((60 + 170 * i, tall - 100, 130 + 170 * i, tall - 40), 12, outline=ink, width=3)
    if true_mask is None:
        return np.array(image), None
    mask = np.zeros((tall, wide), bool)
    scaled = cv2.resize(true_mask.astype(np.float32), (shown_width, shown_height), interpolation=cv2.INTER_LINEAR)
    mask[y : y + shown_height, x : x + shown_width] = scaled >= 0.5
    return np.array(image), mask


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _line(rng: np.random.Generator, size: int, width: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """A line of text and its font, shrunk until it fits."""
    text = str(rng.choice(_WORDS))
    text = text.upper() if rng.integers(3) == 0 else text.capitalize()
    font = _font(size)
    while size > 9 and font.getlength(text) > 0.85 * width:
        size -= 1
        font = _font(size)
    return text, font


def _without(true_mask: np.ndarray | None, box: tuple[int, int, int, int]) -> np.ndarray | None:
    if true_mask is None:
        return None
    left = true_mask.copy()
    left[box[1] : box[3], box[0] : box[2]] = False
    return left


def _jpeg(quality: int) -> Callable[[int, int, int], list[degrade.Step]]:
    return lambda width, height, seed: [degrade.Jpeg(quality=quality)]


def _nothing(width: int, height: int, seed: int) -> list[degrade.Step]:
    return []


def _scaled(factor: float) -> Callable[[int, int, int], list[degrade.Step]]:
    return lambda width, height, seed: [
        degrade.Resize(width=round(width * factor), height=round(height * factor), method="bicubic")
    ]


def _side(side: int) -> Callable[[int, int, int], list[degrade.Step]]:
    """The long side shrunk to so many pixels, then a save at 90."""

    def steps(width: int, height: int, seed: int) -> list[degrade.Step]:
        factor = min(1.0, side / max(width, height))
        return [
            degrade.Resize(width=round(width * factor), height=round(height * factor), method="area"),
            degrade.Jpeg(quality=90),
        ]

    return steps


_FIRST = (degrade.Jpeg(quality=75),)
# In the order of the tables. Drawings come on a photograph that was saved at 75, as a messenger hands it over.
CELLS: dict[str, Cell] = {
    **{f"jpeg {q}": Cell("quality", _jpeg(q)) for q in (100, 90, 80, 70, 60, 50)},
    **{f"long side {s}": Cell("size", _side(s)) for s in (480, 320)},
    "social": Cell("chain", CHAINS["social"]),
    "social twice": Cell("chain", CHAINS["social twice"]),
    "screenshot": Cell("screenshot", CHAINS["screenshot"], trace="rescaled"),
    "screenshot with bars": Cell("screenshot", _nothing, _FIRST, draw_screen, "screenshot"),
    "screenshot with bars, jpeg 92": Cell("screenshot", _jpeg(92), _FIRST, draw_screen, "rescaled"),
    "border": Cell("drawn", _nothing, _FIRST, draw_border, "border"),
    "border, jpeg 92": Cell("drawn", _jpeg(92), _FIRST, draw_border, "border"),
    "caption": Cell("drawn", _nothing, _FIRST, draw_caption, "box"),
    "caption, jpeg 92": Cell("drawn", _jpeg(92), _FIRST, draw_caption, "box"),
    "text": Cell("drawn", _nothing, _FIRST, draw_text, "text"),
    "text, jpeg 92": Cell("drawn", _jpeg(92), _FIRST, draw_text, "text"),
    "rescaled by 1.004": Cell("rescaled", _scaled(1.004), _FIRST, trace="rescaled"),
}


def run_cell(
    rgb: np.ndarray, true_mask: np.ndarray | None, cell: str, seed: Sequence[int]
) -> tuple[bytes, np.ndarray | None]:
    """The file as it arrives and the truth that followed it.

    Args:
        rgb: uint8 HxWx3 of the photograph or forgery.
        true_mask: bool HxW, None for an authentic picture.
        cell: a name of CELLS.
        seed: of all that is drawn.
    """
    chosen, rng = CELLS[cell], np.random.default_rng(seed)
    picture = rgb
    if chosen.draw is not None:
        picture, true_mask = chosen.draw(picture, true_mask, rng)
    steps = chosen.after(picture.shape[1], picture.shape[0], int(rng.integers(2**31)))
    finished = degrade.finish(picture, () if true_mask is None else (true_mask,), steps)
    return finished.file_bytes(), None if true_mask is None else finished.masks[0]
