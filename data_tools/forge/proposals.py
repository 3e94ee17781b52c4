"""Object proposals of Segment Anything (Kirillov et al. 2023) as label pictures, computed once per photograph.

The forge reads the folder through `ForgeConfig.labels_dir` and cuts its "object" regions from it. The weights are the
user's: nothing is downloaded, and the forge itself never runs a network. Deliberately left out: names of objects (a
number here is one proposal, no category, so such labels must not be used to *name* anything).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data_tools.forge.photos import Photo
from data_tools.forge.regions import MINIMUM_PIXELS
from fakeexplain.errors import OutputError, SettingsError, SourceError

MODEL_TYPES = ("vit_b", "vit_l", "vit_h")
SIDE = 1024  # Segment Anything looks at pictures of this longer side; more would only cost memory
LARGEST = 0.6  # share of the picture above which a proposal is background, not an object
_POINTS_AT_ONCE = 16  # each point yields three masks of the picture's size


def load_generator(
    checkpoint: Path,
    model_type: str,
    *,
    device: str = "cpu",
    points_per_side: int = 16,
    quality: float = 0.88,
    stability: float = 0.95,
) -> Any:
    """A `SamAutomaticMaskGenerator` with the user's weights, in evaluation mode.

    Args:
        checkpoint: weights as published (.pth, read without running code from it).
        model_type: one of `MODEL_TYPES`.
        device: of torch, for instance "cpu" or "cuda".
        points_per_side: the picture is asked at a grid of so many points squared.
        quality: least predicted IoU of a proposal, 0..1.
        stability: least IoU of a proposal's masks at a higher and a lower threshold, 0..1.

    Raises:
        SettingsError: packages are missing, or the checkpoint is absent or does not fit the model type.
    """
    if model_type not in MODEL_TYPES:
        raise SettingsError(f"--model-type {model_type!r}: wanted one of {', '.join(MODEL_TYPES)}")
    try:
        import torch
        from segment_anything import SamAutomaticMaskGenerator, sam_model_registry
    except ImportError as error:
        raise SettingsError(f"{error.name} is missing; pip install torch torchvision segment_anything") from None
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise SettingsError(f"{checkpoint}: cannot be read as weights ({reason}); --checkpoint wants a .pth") from None
    model = sam_model_registry[model_type]()
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())[:160]
        raise SettingsError(
            f"{checkpoint}: these are no weights of {model_type} ({line}); check --model-type"
        ) from None
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise SettingsError(f"--device {device}: cannot be used ({str(error).splitlines()[0]})") from None
    return SamAutomaticMaskGenerator(
        model.eval(),
        points_per_side=points_per_side,
        points_per_batch=_POINTS_AT_ONCE,
        pred_iou_thresh=quality,
        stability_score_thresh=stability,
    )


def label_picture(masks: Sequence[np.ndarray], scores: Sequence[float], height: int, width: int) -> np.ndarray:
    """Numbers the proposals in one picture: larger ones first, so that what lies on them stays visible.

    Args:
        masks: bool HxW each. scores: of each; the 255 best are kept, for a label picture has no more numbers.

    Returns:
        uint8 HxW, 0 where no proposal is. Proposals under `MINIMUM_PIXELS` or over `LARGEST` of the picture are left
        out.
    """
    areas = [int(mask.sum()) for mask in masks]
    fitting = [i for i, area in enumerate(areas) if MINIMUM_PIXELS <= area <= LARGEST * height * width]
    best = sorted(fitting, key=lambda i: -scores[i])[:255]
    labels = np.zeros((height, width), np.uint8)
    for number, i in enumerate(sorted(best, key=lambda i: -areas[i]), start=1):
        labels[masks[i]] = number
    return labels


def propose(generator: Any, rgb: np.ndarray) -> np.ndarray:
    """uint8 HxW label picture of a photograph (uint8 HxWx3), looked at with a longer side of at most `SIDE`."""
    height, width = rgb.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    view = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if factor < 1.0 else rgb
    found = generator.generate(view)
    labels = label_picture([f["segmentation"] for f in found], [f["predicted_iou"] for f in found], size[1], size[0])
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)


def write_proposals(photos: Sequence[Photo], generator: Any, out: Path) -> Iterator[tuple[Photo, int | None]]:
    """Writes `out`/<stem>.png for each photograph that has none yet, so that a stopped run goes on.

    Yields:
        (photograph, number of proposals that are visible); None in place of the number where the photograph cannot be
        decoded.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for photo in photos:
            path = out / f"{photo.path.stem}.png"
            if path.is_file():
                with Image.open(path) as image:
                    labels = np.array(image)
            else:
                try:
                    labels = propose(generator, photo.read())
                except SourceError:
                    yield photo, None
                    continue
                unfinished = path.with_suffix(".part")
                Image.fromarray(labels).save(unfinished, "PNG")
                os.replace(unfinished, path)
            yield photo, int(np.unique(labels[labels > 0]).size)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
