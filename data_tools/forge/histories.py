"""Random histories: what cameras, programs and services did to a picture before and after the edit.

Draws chains of `imaging.degrade` steps; nothing is applied here. The ranges below are the forge's idea of the world:
JPEG qualities of cameras and editors, sizes and qualities of services, sensors with and without visible noise.
Authentic and forged samples draw from the same functions, so that no chain gives the label away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from data_tools.forge.config import FinishKind
from fakeexplain.imaging import degrade

SAME_SAVE = 0.2  # of the donors, where the host's last save is known

Key = TypeVar("Key", bound=str)
_SAMPLING: dict[degrade.Subsampling, float] = {"4:2:0": 0.65, "4:4:4": 0.25, "4:2:2": 0.1}
_SHRINKING: dict[degrade.Interpolation, float] = {"area": 0.3, "bicubic": 0.3, "lanczos": 0.15, "bilinear": 0.25}


def pick(weights: Mapping[Key, float], rng: np.random.Generator) -> Key:
    """One key, with chance proportional to its weight."""
    names = list(weights)
    cumulated = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))]


def seed_of(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def jpeg(rng: np.random.Generator, low: int, high: int, *, offset: tuple[int, int] = (0, 0)) -> degrade.Jpeg:
    """Quality uniform in [low, high]; most files in the world are 4:2:0."""
    sampling: degrade.Subsampling = pick(_SAMPLING, rng)
    return degrade.Jpeg(quality=int(rng.integers(low, high + 1)), subsampling=sampling, offset=offset)


def sensor(rng: np.random.Generator) -> degrade.Sensor:
    """A sensor with noise of 0.3 to 4 grey levels at mid-grey (ISO 100 of a good camera to ISO 3200 of a poor one)."""
    level = float(np.exp(rng.uniform(np.log(0.3), np.log(4.0))))
    return degrade.Sensor(
        read_noise=round(0.5 * level, 4),
        shot_noise=round(0.75 * level * level / 128.0, 6),
        pattern=pick({"RGGB": 0.5, "GRBG": 0.5}, rng),
        demosaicing=pick({"bilinear": 0.4, "edge-aware": 0.6}, rng),
        seed=seed_of(rng),
    )


def capture(rng: np.random.Generator, shrunk: bool, found: degrade.Jpeg | None = None) -> list[degrade.Step]:
    """What came before the edit. `shrunk` pictures lost their camera's traces and mostly are given new ones.

    Args:
        found: a save with a camera's or program's own tables, used in place of libjpeg's where the picture is saved.
    """
    steps: list[degrade.Step] = []
    if shrunk and rng.random() < 0.6:
        steps.append(sensor(rng))
        if rng.random() < 0.3:
            steps.append(degrade.Sharpen(amount=round(float(rng.uniform(0.2, 0.8)), 3)))
    if rng.random() < (0.65 if shrunk else 0.35):
        steps.append(found or jpeg(rng, 60, 98))
    return steps


def donor_capture(
    rng: np.random.Generator, shrunk: bool, origin: tuple[int, int], saved: degrade.Jpeg | None
) -> list[degrade.Step]:
    """A donor's history.

    Args:
        origin: where (x, y) the donor's frame begins in the host's. The donor's grid lies anywhere.
        saved: the host's last save, grid offset in the host's frame. A fifth of the donors was saved like that, half
            of them on the host's grid (what mirrors or turns the piece later moves it off).
    """
    steps: list[degrade.Step] = []
    if shrunk and rng.random() < 0.5:
        steps.append(sensor(rng))
    grid = (int(rng.integers(8)), int(rng.integers(8)))
    offset = ((grid[0] - origin[0]) % 8, (grid[1] - origin[1]) % 8)
    if saved is not None and rng.random() < SAME_SAVE:
        if rng.random() < 0.5:
            offset = ((saved.offset[0] - origin[0]) % 8, (saved.offset[1] - origin[1]) % 8)
        steps.append(saved.model_copy(update={"offset": offset}))
    elif rng.random() < 0.6:
        steps.append(jpeg(rng, 60, 98, offset=offset))
    if rng.random() < 0.15:
        steps.append(degrade.Noise(sigma=round(float(rng.uniform(0.5, 4.0)), 3), seed=seed_of(rng)))
    return steps


def local_step(operation: str, rng: np.random.Generator) -> degrade.Step:
    """One step of those that may be applied to a region alone or to a whole picture and keep the size.

    Raises:
        ValueError: an operation that is none of blur, median, sharpen, tone, noise.
    """
    if operation == "blur":
        return degrade.Blur(sigma=round(float(np.exp(rng.uniform(np.log(0.5), np.log(4.0)))), 3))
    if operation == "median":
        return degrade.Median(window=3 if rng.random() < 0.6 else 5)
    if operation == "sharpen":
        return degrade.Sharpen(
            amount=round(float(rng.uniform(0.4, 2.0)), 3), sigma=round(float(rng.uniform(0.6, 2.0)), 3)
        )
    if operation == "noise":
        return degrade.Noise(sigma=round(float(np.exp(rng.uniform(np.log(0.8), np.log(8.0)))), 3), seed=seed_of(rng))
    if operation != "tone":
        raise ValueError(f"{operation!r} is not a step; wanted blur, median, sharpen, tone or noise")
    away = 1 if rng.random() < 0.5 else -1
    return degrade.Tone(
        contrast=round(float(np.exp(away * rng.uniform(0.05, 0.4))), 4),
        brightness=round(float(rng.uniform(-25, 25)), 2),
        gamma=round(float(np.exp(rng.uniform(-0.35, 0.35))), 4),
        saturation=round(float(rng.uniform(0.5, 1.5)), 3) if rng.random() < 0.5 else 1.0,
    )


def whole_processing(rng: np.random.Generator) -> list[degrade.Step]:
    """What an honest person does to a whole picture: tone, sharpening, denoising, another save."""
    steps: list[degrade.Step] = []
    for name in ("tone", "sharpen", "median", "blur", "noise"):
        if rng.random() < {"tone": 0.55, "sharpen": 0.3, "median": 0.08, "blur": 0.12, "noise": 0.12}[name]:
            step = local_step(name, rng)
            if isinstance(step, degrade.Blur):
                step = degrade.Blur(sigma=min(step.sigma, 1.2))
            steps.append(step)
    if rng.random() < 0.3 or not steps:
        steps.append(jpeg(rng, 60, 98))
    return steps


def finish_scale(kind: FinishKind, rng: np.random.Generator) -> float:
    """By how much the finish scales the sides; drawn before the picture is cut out, so that its size
    comes out right."""
    ranges = {
        "resize_jpeg": (0.5, 1.4),
        "social": (0.4, 1.0),
        "social_twice": (0.4, 0.9),
        "screenshot": (0.5, 1.25),
    }
    if kind not in ranges:
        return 1.0
    low, high = ranges[kind]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def finish_steps(
    kind: FinishKind,
    before: tuple[int, int],
    after: tuple[int, int],
    rng: np.random.Generator,
    found: degrade.Jpeg | None = None,
) -> list[degrade.Step]:
    """The finishing chain from a picture of `before` (width, height) to one of `after`.

    Args:
        found: the save of `jpeg` and `resize_jpeg`, with a camera's or program's own tables; None: libjpeg's.
    """
    steps: list[degrade.Step] = []
    method = "bilinear" if kind == "screenshot" else pick(_SHRINKING, rng)
    resized: list[degrade.Step] = []
    if after != before:
        resized = [degrade.Resize(width=after[0], height=after[1], method=method)]
    if kind == "jpeg":
        steps.append(found or jpeg(rng, 50, 98))
    elif kind == "webp":
        steps.append(degrade.WebP(quality=int(rng.integers(55, 96))))
    elif kind == "resize_jpeg":
        steps += [*resized, found or jpeg(rng, 50, 98)]
    elif kind == "screenshot":
        steps += resized
        if rng.random() < 0.4:
            steps.append(jpeg(rng, 75, 95))
    elif kind in ("social", "social_twice"):
        if kind == "social_twice":  # the first service keeps what the second one will shrink
            steps.append(degrade.Jpeg(quality=int(rng.integers(70, 93)), progressive=bool(rng.random() < 0.5)))
        steps += resized
        if rng.random() < 0.4:
            steps.append(degrade.Sharpen(amount=round(float(rng.uniform(0.1, 0.5)), 3)))
        steps.append(degrade.Jpeg(quality=int(rng.integers(68, 88)), progressive=bool(rng.random() < 0.7)))
    elif kind in ("noise", "blur"):
        if kind == "noise":
            steps.append(degrade.Noise(sigma=round(float(rng.uniform(0.5, 3.0)), 3), seed=seed_of(rng)))
        else:
            steps.append(degrade.Blur(sigma=round(float(rng.uniform(0.3, 1.0)), 3)))
        if rng.random() < 0.6:
            steps.append(jpeg(rng, 60, 98))
    return steps
