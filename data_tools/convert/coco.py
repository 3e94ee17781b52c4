"""COCO's annotation JSON with run lengths, read and written: category "forged", and "donor" for copied-from regions.

Annotations of one picture are joined. Crowd and plain annotations are read alike; polygons are refused, because
rasterising them differs between programs by a pixel at every edge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.convert.base import Item, Problems, Ready, inside, relative, write_text
from data_tools.convert.lists import list_file, load_json
from data_tools.rle import mask_to_rle
from data_tools.schema import InlineMask, Record, is_file
from fakeexplain.errors import SourceError
from fakeexplain.imaging.regions import box_of_mask

_IDS = ("id", "image_id", "category_id")
_CATEGORIES = ({"id": 1, "name": "forged"}, {"id": 2, "name": "donor"})


def _union(masks: list[InlineMask]) -> np.ndarray:
    decoded = [m.mask() for m in masks]
    if len({m.shape for m in decoded}) > 1:
        raise SourceError("masks of several sizes")
    return np.logical_or.reduce(decoded)


def _segmentation(annotation: dict[str, Any]) -> InlineMask:
    value = annotation.get("segmentation")
    if isinstance(value, list):
        raise ValueError("polygons are not read; turn them into run lengths first (pycocotools: annToRLE)")
    if not isinstance(value, dict):
        raise ValueError('no "segmentation" with size and counts')
    try:
        return InlineMask.model_validate(value)
    except ValueError:
        raise ValueError('"segmentation" is not {"size": [height, width], "counts": ...}') from None


def read_coco(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """{"images", "annotations", "categories"}; file_name relative to the file's folder, to images/ in it or --images.

    A picture without annotations is authentic. Categories named "donor" mark where content was copied from; all others
    are forged regions.
    """
    file = list_file(path, "coco.json")
    data = load_json(file)
    parts = [data.get(key) if isinstance(data, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) and all(isinstance(x, dict) for x in part) for part in parts):
        raise SourceError(f'{file}: wanted {{"images": [...], "annotations": [...], "categories": [...]}}')
    if any(isinstance(x.get(key), list | dict) for part in parts for x in part or [] for key in _IDS):
        raise SourceError(f"{file}: an id is a list or an object, wanted a number")
    pictures, annotations, categories = parts
    names = {c.get("id"): str(c.get("name", "")) for c in categories or []}
    ids = {p.get("id") for p in pictures or []}
    found: dict[tuple[Any, bool], list[InlineMask]] = {}
    for annotation in annotations or []:
        picture_id, name = annotation.get("image_id"), names.get(annotation.get("category_id"))
        where = f"annotation {annotation.get('id')}"
        if picture_id not in ids:
            problems.add(f"{where}: no picture with id {picture_id}")
        elif name is None:
            problems.add(f"{where}: no category with id {annotation.get('category_id')}")
        else:
            try:
                found.setdefault((picture_id, name == "donor"), []).append(_segmentation(annotation))
            except ValueError as error:
                problems.add(f"{where}: {error}")
    root = images or file.parent
    items: list[Item] = []
    for picture in pictures or []:
        try:
            items.append(_item(picture, found, root))
        except (ValueError, SourceError) as error:
            problems.add(f"picture {picture.get('id')}: {error}")
    return items


def _item(picture: dict[str, Any], found: dict[tuple[Any, bool], list[InlineMask]], root: Path) -> Item:
    name = picture.get("file_name")
    if not isinstance(name, str):
        raise ValueError('no "file_name"')
    image = inside(root, name)
    if not is_file(image):
        image = inside(root, f"images/{name}")
    if not is_file(image):
        raise ValueError(f"{name} does not exist")
    forged, donor = found.get((picture.get("id"), False)), found.get((picture.get("id"), True))
    extra = picture.get("record", {"label": "forged" if forged else "authentic"})
    if not isinstance(extra, dict):
        raise ValueError('"record" is not an object')
    record = Record.from_row(extra | {"image": relative(image, root.resolve())})
    sources: list[Callable[[], np.ndarray] | None] = [partial(_union, m) if m else None for m in (forged, donor)]
    return Item(record, image, *sources)


def write_coco(ready: Iterator[Ready], root: Path) -> None:
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(ready, start=1):
        masks = [m if m is not None and m.any() else None for m in (item.mask, item.donor_mask)]
        row = json.loads(item.record.to_json())
        name = item.save_image(root, "images")
        row.pop("image")
        size = {"width": item.record.width, "height": item.record.height}
        pictures.append({"id": number, "file_name": name, **size, "record": row})
        for category, mask in zip(_CATEGORIES, masks, strict=True):
            if mask is None:
                continue
            x0, y0, x1, y1 = box_of_mask(mask)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category["id"],
                    "segmentation": mask_to_rle(mask),
                    "area": int(mask.sum()),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": 1,
                }
            )
    data = {"images": pictures, "annotations": annotations, "categories": list(_CATEGORIES)}
    write_text(root / "coco.json", json.dumps(data, ensure_ascii=False) + "\n")
