"""One random edit: draws the region and the parameters for an operation and applies it.

Between `operations` (what an edit is) and `forge` (which edits a sample gets). Ranges of the parameters live here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np

from data_tools.forge import histories, operations
from data_tools.forge.blending import Blend
from data_tools.forge.config import ForgeConfig, SameContent
from data_tools.forge.operations import Edit
from data_tools.forge.photos import Photo
from data_tools.forge.regions import MINIMUM_PIXELS, Shape, draw_region, object_region, padded_box, sample_area
from fakeexplain.imaging import degrade

__all__ = ["MINIMUM_PIXELS", "Made", "changes_enough", "cut_out", "same_content", "splice", "within_picture"]

LEAST_CHANGED = 0.1  # an edit that leaves nine pixels in ten of its region as they were is not one
_BLENDS: dict[Blend, float] = {"alpha": 0.8, "multiscale": 0.1, "poisson": 0.1}
LEAST_DIFFERENCE = 0.3  # grey levels on average; below it the finish of any photograph changes more


@dataclass(frozen=True, eq=False)
class Cut:
    """A piece of a photograph.

    Attributes:
        rgb: uint8 HxWx3.
        labels: uint8 HxW category ids, or None.
        shrunk: whether it was made smaller first.
        saved: how the piece was last saved, with the grid's offset in the piece; None when that is unknown or wiped
            out.
    """

    rgb: np.ndarray
    labels: np.ndarray | None
    shrunk: bool
    saved: degrade.Jpeg | None


@dataclass(frozen=True, eq=False)
class Made:
    """An edit, the donor photograph if there was one, and its part of the history."""

    edit: Edit
    donor: Photo | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def changes_enough(host: np.ndarray, edit: Edit) -> bool:
    """Whether a tenth of the region's pixels (and 32 of them) differ, and the region by 0.3 grey levels on average."""
    x0, y0, x1, y1 = padded_box(edit.mask, 0)
    view = np.s_[y0:y1, x0:x1]
    difference = cv2.absdiff(edit.image[view], host[view])[edit.mask[view]]
    changed = int(np.count_nonzero(difference.max(axis=1)))
    return changed >= max(LEAST_CHANGED * len(difference), 32) and float(difference.mean()) >= LEAST_DIFFERENCE


def cut_out(photo: Photo, size: tuple[int, int], rng: np.random.Generator, history: list[dict[str, Any]]) -> Cut:
    """A piece of at most `size` (width, height) of a photograph.

    Half of the web photographs that are large enough are shrunk first, which wipes out most of their past; camera
    originals never. The corner is a multiple of 8 in half of the cases (the photograph's JPEG grid is kept) and any
    place in the other.
    """
    rgb, labels = photo.read(), photo.read_labels()
    height, width = rgb.shape[:2]
    steps: list[degrade.Step] = []
    least = max(0.35, size[0] / width, size[1] / height)
    shrunk = not photo.camera and least < 0.9 and bool(rng.random() < 0.5)
    if shrunk:
        factor = float(rng.uniform(least, 0.9))
        width, height = max(round(width * factor), size[0]), max(round(height * factor), size[1])
        steps.append(
            degrade.Resize(width=width, height=height, method=histories.pick({"area": 0.6, "bicubic": 0.4}, rng))
        )
        rgb = steps[-1].apply(rgb)
        if labels is not None:
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    w, h = min(width, size[0]), min(height, size[1])
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    if rng.random() < 0.5:
        x, y = x // 8 * 8, y // 8 * 8
    crop = degrade.Crop(box_xyxy=(x, y, x + w, y + h))
    history.append({"on": "host", "photo": photo.path.name})
    history.extend({"on": "host", **entry} for entry in degrade.chain_to_json([*steps, crop]))
    saved = None if shrunk else photo.saved()
    if saved is not None:
        saved = saved.model_copy(update={"offset": (-x % 8, -y % 8)})
    return Cut(crop.apply(rgb), None if labels is None else crop.apply(labels), shrunk, saved)


def _feather(rng: np.random.Generator) -> float:
    return 0.0 if rng.random() < 0.45 else round(float(rng.uniform(0.5, 5.0)), 2)


def _edge(rng: np.random.Generator) -> tuple[float, Blend]:
    """(feather, blend) of pasted content; one in five is blended with more care than a plain soft edge."""
    blend: Blend = histories.pick(_BLENDS, rng)
    if blend == "alpha":
        return _feather(rng), blend
    return (0.0 if blend == "poisson" else round(float(rng.uniform(0.5, 3.0)), 2)), blend


def _region(
    host: np.ndarray,
    labels: np.ndarray | None,
    config: ForgeConfig,
    rng: np.random.Generator,
    *,
    most: float = 1.0,
    inside: bool | None = None,
) -> tuple[np.ndarray, str]:
    """A region of a configured shape; objects only where labels name one of fitting size."""
    shape = histories.pick(config.shapes, rng)
    if shape == "object":
        mask = object_region(labels, rng) if labels is not None else None
        if mask is not None and config.area_low <= mask.mean() <= min(config.area_high, most):
            # A little wider than the object: nobody cuts exactly at its edge.
            width = 2 * int(rng.integers(0, 4)) + 1
            return cv2.dilate(mask.astype(np.uint8), np.ones((width, width), np.uint8)).astype(bool), "object"
        others: dict[Shape, float] = {
            name: weight for name, weight in config.shapes.items() if name != "object" and weight > 0
        }
        shape = histories.pick(others, rng) if others else "blob"
    area = sample_area(rng, config.area_low, min(config.area_high, most))
    return draw_region(shape, host, area, rng, inside=inside), shape


def _made(edit: Edit, shape: str, before: list[dict[str, Any]] | None = None, donor: Photo | None = None) -> Made:
    entry = {
        "on": "region",
        "operation": edit.operation,
        "shape": shape,
        "area_fraction": round(float(edit.mask.mean()), 5),
        **{key: value for key, value in edit.parameters.items() if key != "op"},
    }
    return Made(edit, donor, [*(before or []), entry])


def same_content(
    operation: SameContent, host: np.ndarray, labels: np.ndarray | None, config: ForgeConfig, rng: np.random.Generator
) -> Made:
    """The region's own content, processed again."""
    mask, shape = _region(host, labels, config, rng)
    feather = _feather(rng)
    if operation == "resample":
        away = 1 if rng.random() < 0.7 else -1
        scale = float(np.exp(away * rng.uniform(0.04, 0.3)))
        angle = round(float(rng.uniform(-8, 8)), 2) if rng.random() < 0.4 else 0.0
        edit = operations.resample(host, mask, scale=round(scale, 4), angle=angle, feather=feather)
    elif operation == "denoise":
        edit = operations.denoise(host, mask, strength=round(float(rng.uniform(10, 40)), 1), feather=feather)
    elif operation == "jpeg_ghost":
        edit = operations.jpeg_ghost(host, mask, int(rng.integers(50, 91)), feather=feather)
    elif operation == "foreign_grid":
        grid = int(rng.integers(1, 64))
        quality = int(rng.integers(60, 93))
        edit = operations.foreign_grid(host, mask, quality, (grid % 8, grid // 8), feather=feather)
    else:
        edit = operations.process(host, mask, histories.local_step(operation, rng), feather=feather)
    return _made(edit, shape)


def within_picture(
    operation: Literal["copy_move", "removal_diffusion", "removal_exemplar", "removal_patchmatch"],
    host: np.ndarray,
    labels: np.ndarray | None,
    config: ForgeConfig,
    rng: np.random.Generator,
) -> Made | None:
    """Copy-move and removals; None when the picture has no place for it."""
    edit: Edit | None
    if operation == "copy_move":
        mask, shape = _region(host, labels, config, rng, most=0.2, inside=True)
        angle = round(float(rng.uniform(-180, 180) if rng.random() < 0.4 else rng.uniform(-20, 20)), 2)
        feather, blend = _edge(rng)
        edit = operations.copy_move(
            host,
            mask,
            rng,
            angle=angle if rng.random() < 0.35 else 0.0,
            scale=round(float(np.exp(rng.uniform(-0.4, 0.4))), 4) if rng.random() < 0.35 else 1.0,
            mirror=bool(rng.random() < 0.15),
            feather=feather,
            blend=blend,
        )
    else:
        mask, shape = _region(host, labels, config, rng, most=0.15)
        if operation == "removal_exemplar":
            edit = operations.remove_by_exemplar(host, mask, rng)
        elif operation == "removal_patchmatch":
            edit = operations.remove_by_patchmatch(host, mask, rng)
        else:
            edit = operations.remove_by_diffusion(host, mask, "telea" if rng.random() < 0.5 else "ns")
    return None if edit is None else _made(edit, shape)


def splice(
    donor: Photo,
    host: np.ndarray,
    config: ForgeConfig,
    rng: np.random.Generator,
    *,
    by_object: bool = False,
    saved: degrade.Jpeg | None = None,
) -> Made | None:
    """Content of another photograph: one of its objects (`by_object`, needs labels), or any piece in any shape.

    Args:
        saved: how the host was last saved. One donor in five was saved in the same way, half of these on the host's own
            grid: then neither quality nor grid tells the two apart, unless the piece is mirrored or turned afterwards.
    """
    rgb = donor.read()
    history: list[dict[str, Any]] = [{"on": "donor", "photo": donor.path.name}]
    if by_object:
        placed = _object_piece(donor, rgb, host, config, rng, history, saved)
        if placed is None:
            return None
        piece, mask, (x0, y0) = placed
        shape = "object"
    else:
        mask, shape = _region(host, None, config, rng)
        x0, y0, x1, y1 = padded_box(mask, 8)
        piece = _any_piece(donor, rgb, (x1 - x0, y1 - y0), (x0, y0), rng, history, saved)
    h, w = piece.shape[:2]
    if rng.random() < (0.5 if by_object else 0.35):
        strength = round(float(rng.uniform(0.3, 1.0)), 3)
        light_only = bool(rng.random() < 0.4)
        if by_object:
            piece = _match_surroundings(piece, mask, host, (x0, y0), strength, light_only)
        else:
            under = host[y0 : y0 + h, x0 : x0 + w]
            piece = operations.transfer_colour(piece, under, strength, light_only=light_only)
        history.append({"on": "donor", "op": "colour_transfer", "strength": strength, "light_only": light_only})
    patch = host.copy()
    patch[y0 : y0 + h, x0 : x0 + w] = piece
    feather, blend = _edge(rng)
    return _made(operations.splice(host, mask, patch, feather=feather, blend=blend), shape, history, donor)


def _match_surroundings(
    piece: np.ndarray, mask: np.ndarray, host: np.ndarray, origin: tuple[int, int], strength: float, light_only: bool
) -> np.ndarray:
    """The piece, its object's light (and colour) moved towards what the host shows around the object's new place."""
    (x, y), (h, w) = origin, piece.shape[:2]
    x0, y0, x1, y1 = padded_box(mask, max(8, max(h, w) // 4))
    around = ~mask[y0:y1, x0:x1]
    if not around.any():
        return piece
    own = mask[y : y + h, x : x + w]
    view = host[y0:y1, x0:x1]
    return operations.transfer_colour(piece, view, strength, donor_mask=own, host_mask=around, light_only=light_only)


def _log(steps: list[degrade.Step], history: list[dict[str, Any]]) -> None:
    history.extend({"on": "donor", **entry} for entry in degrade.chain_to_json(steps))


def _any_piece(
    donor: Photo,
    rgb: np.ndarray,
    size: tuple[int, int],
    origin: tuple[int, int],
    rng: np.random.Generator,
    history: list[dict[str, Any]],
    saved: degrade.Jpeg | None,
) -> np.ndarray:
    """A window of `size` (width, height) of the donor, in one of three ways: as it is, shrunk first, or warped."""
    w, h = size
    height, width = rgb.shape[:2]
    least = max(w / width, h / height)
    steps: list[degrade.Step] = []
    shrunk = not donor.camera and least < 0.85 and bool(rng.random() < 0.5)
    if shrunk or least > 1.0:  # a donor that is too small has to be enlarged
        factor = float(rng.uniform(max(least, 0.35), 0.9)) if shrunk else least
        width, height = max(round(width * factor), w), max(round(height * factor), h)
        steps.append(degrade.Resize(width=width, height=height, method="area" if shrunk else "bicubic"))
    turned = bool(rng.random() < 0.35)
    scale = round(float(np.exp(rng.uniform(-0.35, 0.35))), 4) if turned else 1.0
    angle = round(float(rng.uniform(-30, 30)), 2) if turned else 0.0
    reach = int(np.ceil(np.hypot(w, h) / scale)) if turned else 0
    ww, wh = min(max(reach, w), width), min(max(reach, h), height)
    x, y = int(rng.integers(width - ww + 1)), int(rng.integers(height - wh + 1))
    steps.append(degrade.Crop(box_xyxy=(x, y, x + ww, y + wh)))
    steps += histories.donor_capture(rng, shrunk, (0, 0) if turned else origin, saved)
    if not turned and rng.random() < 0.25:
        steps.append(degrade.Turn(quarters=0, mirror=True))
    _log(steps, history)
    window = degrade.apply_steps(rgb, steps)
    if not turned:
        return window
    history.append({"on": "donor", "op": "warp", "scale": scale, "angle": angle})
    matrix = cv2.getRotationMatrix2D((ww / 2, wh / 2), angle, scale)
    matrix[:, 2] += [w / 2 - ww / 2, h / 2 - wh / 2]
    return cv2.warpAffine(window, matrix, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _object_piece(
    donor: Photo,
    rgb: np.ndarray,
    host: np.ndarray,
    config: ForgeConfig,
    rng: np.random.Generator,
    history: list[dict[str, Any]],
    saved: degrade.Jpeg | None,
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]] | None:
    """One labelled object of the donor with a margin, scaled to a drawn area and put somewhere in the host's frame.

    Returns:
        piece uint8 hxwx3 (clipped to the frame), mask bool of the host's size, (x, y) of the piece's corner; or None.
    """
    labels = donor.read_labels()
    whole = object_region(labels, rng, minimum=400, uncut=True) if labels is not None else None
    if whole is None:
        return None
    height, width = host.shape[:2]
    x0, y0, x1, y1 = padded_box(whole, 8)
    wanted = sample_area(rng, max(config.area_low, 0.005), config.area_high) * height * width
    factor = float(np.clip(np.sqrt(wanted / whole.sum()), 0.3, 1.4))
    factor = min(factor, 0.95 * width / (x1 - x0), 0.95 * height / (y1 - y0))
    w, h = max(int((x1 - x0) * factor), 8), max(int((y1 - y0) * factor), 8)
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    steps: list[degrade.Step] = [degrade.Crop(box_xyxy=(x0, y0, x1, y1))]
    resized = degrade.Resize(width=w, height=h, method="area" if factor < 1 else "bicubic")
    mirror = degrade.Turn(quarters=0, mirror=bool(rng.random() < 0.3))
    steps += [resized, *histories.donor_capture(rng, factor < 0.9, (x, y), saved), mirror]
    _log(steps, history)
    part = whole[y0:y1, x0:x1].astype(np.float32)
    outline = mirror.apply(cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR) > 0.5)
    if outline.sum() < MINIMUM_PIXELS:
        return None
    mask = np.zeros((height, width), dtype=bool)
    mask[y : y + h, x : x + w] = outline
    return degrade.apply_steps(rgb, steps), mask, (x, y)
