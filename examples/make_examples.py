"""Makes the bundled example pictures from photographs that ship inside scikit-image's wheel.

    python examples/make_examples.py [--out examples]

Writes copy_move.jpg, splice.jpg and authentic.jpg, masks/<stem>.png (white where forged) and donors/copy_move.png
(where the copied pixels came from). The photographs are free: `rocket` (SpaceX, CC0), `coffee` (Rachel Michetti, no
known restrictions), `astronaut` (NASA, public domain).

- copy_move: one of the lightning towers beside the rocket, with its two lamps, stands there a second time.
- splice: a mission patch of the astronaut's suit lies on the coffee table. The coffee picture was saved as JPEG of
  quality 70, the patch at 80 on a grid of its own, and the composite at 95.
- authentic: the coffee picture as it is, saved once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from data_tools.forge import blending, operations
from fakeexplain.imaging import degrade

TOWER = np.array([[439, 112], [456, 112], [461, 188], [466, 240], [473, 300], [483, 372], [488, 427], [405, 427],
                  [405, 372], [436, 355], [436, 188]])  # fmt: skip
TOWER_SHIFT = (73, 0)
PATCH_CENTRE, PATCH_AXES = (171.5, 386.5), (37.0, 38.5)  # an ellipse in the astronaut picture
TABLE_CENTRE, TABLE_AXES, TABLE_TURN = (528.0, 338.0), (56.0, 43.0), -24.0  # the same as seen lying on the table
PATCH_GRID = (3, 5)


def make_copy_move() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb, mask of the copy, mask of its source."""
    rocket = np.ascontiguousarray(data.rocket())
    source = np.zeros(rocket.shape[:2], np.uint8)
    cv2.fillPoly(source, [TOWER.astype(np.int32)], 1)
    edit = operations.copy_move(rocket, source.astype(bool), np.random.default_rng(0), shift=TOWER_SHIFT)
    assert edit is not None
    assert edit.donor_mask is not None
    # The sky darkens to the right: level the copy to its surroundings, as a healing brush does.
    copied = edit.image.astype(np.float32)
    shifted = np.roll(rocket, TOWER_SHIFT[0], axis=1).astype(np.float32)
    around = ~cv2.dilate(edit.mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    level = cv2.GaussianBlur(blending.membrane(rocket.astype(np.float32) - shifted, around), (0, 0), 6.0)
    levelled = np.clip(np.rint(copied + level), 0, 255).astype(np.uint8)
    return blending.composite(rocket, levelled, edit.mask, 4.0), edit.mask, edit.donor_mask


def make_splice() -> tuple[np.ndarray, np.ndarray]:
    """rgb, mask of the patch."""
    coffee = degrade.jpeg_round_trip(np.ascontiguousarray(data.coffee()), 70)
    astronaut = np.ascontiguousarray(data.astronaut())
    height, width = coffee.shape[:2]
    turn = np.deg2rad(TABLE_TURN)
    # Patch plane: turned first, then foreshortened as the saucer is.
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = np.diag(TABLE_AXES) @ rotation @ np.diag(1.0 / np.array(PATCH_AXES))
    matrix = np.hstack([linear, (np.array(TABLE_CENTRE) - linear @ np.array(PATCH_CENTRE))[:, None]])
    patch = cv2.warpAffine(astronaut, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    # Studio light -> warm lamp light of the table.
    patch = np.clip(patch.astype(np.float32) * np.array([1.02, 0.82, 0.66], np.float32), 0, 255).astype(np.uint8)
    patch = degrade.jpeg_round_trip(patch, 80, offset=PATCH_GRID)
    mask = np.zeros((height, width), np.uint8)
    centre = tuple(round(v * 16) for v in TABLE_CENTRE)
    axes = tuple(round(v * 16) for v in TABLE_AXES)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1, cv2.LINE_8, 4)
    edit = operations.splice(coffee, mask.astype(bool), patch, feather=1.0)
    return edit.image, edit.mask


def _save_mask(mask: np.ndarray, path: Path) -> None:
    path.write_bytes(degrade.encode_png(np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write")
    out: Path = parser.parse_args().out
    (out / "masks").mkdir(parents=True, exist_ok=True)
    copied, copy_mask, source_mask = make_copy_move()
    spliced, patch_mask = make_splice()
    authentic = np.ascontiguousarray(data.coffee())
    (out / "copy_move.jpg").write_bytes(degrade.encode_jpeg(copied, 92))
    (out / "splice.jpg").write_bytes(degrade.encode_jpeg(spliced, 95))
    (out / "authentic.jpg").write_bytes(degrade.encode_jpeg(authentic, 92))
    _save_mask(copy_mask, out / "masks" / "copy_move.png")
    (out / "donors").mkdir(exist_ok=True)
    _save_mask(source_mask, out / "donors" / "copy_move.png")
    _save_mask(patch_mask, out / "masks" / "splice.png")
    for path in sorted([*out.glob("*.jpg"), *(out / "masks").glob("*.png")]):
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
