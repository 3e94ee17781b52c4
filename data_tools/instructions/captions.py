"""Caption files in COCO's form as image-text alignment records, for those who have one.

The captions are other people's words: they are taken as they are and not checked against the picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_tools.instructions.alignment import with_image
from data_tools.instructions.grammar import choose
from data_tools.instructions.questions import SEEN_QUESTIONS
from data_tools.schema import Message, Record, is_file
from fakeexplain.errors import SourceError


def read_captions(path: Path, images: str, seed: int = 0) -> Iterator[Record]:
    """One record per caption whose picture is there.

    Args:
        path: {"images": [{"id", "file_name", ...}], "annotations": [{"image_id", "caption"}, ...]}.
        images: folder of the pictures, relative to the folder of `path`, with forward slashes.

    Raises:
        SourceError: the file cannot be read or has another form.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = {int(i["id"]): (str(i["file_name"]), i.get("width"), i.get("height")) for i in data["images"]}
        captions = [(int(a["image_id"]), " ".join(str(a["caption"]).split())) for a in data["annotations"]]
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f'{path}: wanted COCO captions, {{"images", "annotations"}} ({error!r})') from None
    for number, (picture, caption) in enumerate(captions):
        if picture not in names or not caption or not is_file(path.parent / images / names[picture][0]):
            continue
        name, width, height = names[picture]
        rng = np.random.default_rng([seed, number])
        turns = [
            Message(role="user", content=choose(SEEN_QUESTIONS["all"], {}, rng)),
            Message(role="assistant", content=caption),
        ]
        yield Record(
            image=f"{images}/{name}",
            width=width,
            height=height,
            caption=caption,
            dialogue=with_image(turns),
            origin="captions",
        )
