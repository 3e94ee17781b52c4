"""Label Studio's JSON: tasks with the reviewed texts, verdict and mask as completed annotations, to look at or go on.

`label_studio.json` is a list of tasks; `config.xml` is the labelling configuration they belong to. Pictures are named
as local files relative to the export's folder, as Label Studio's local storage takes them ("/data/local-files/?d=...",
document root = that folder). The brush mask is Label Studio's own run-length code of RGBA bytes, written here from its
published description and checked by decoding. Deliberately left out: reading Label Studio's exports back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from data_tools.convert.base import Ready, write_text
from data_tools.convert.lists import placed_record

CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="mask" toName="image">
    <Label value="forged" background="#E69F00"/>
  </BrushLabels>
  <Choices name="verdict" toName="image" choice="single">
    <Choice value="manipulated"/>
    <Choice value="no_evidence"/>
    <Choice value="inconclusive"/>
  </Choices>
  <TextArea name="description" toName="image" rows="6" editable="true" maxSubmissions="1"/>
</View>
"""
_WORD_BITS = 8
_SIZES = (3, 4, 8, 16)  # bits of a run length, by the two-bit code before it


def encode_brush(levels: np.ndarray) -> list[int]:
    """uint8 bytes (RGBA, row by row) -> Label Studio's run-length code, as a list of bytes.

    The code: 32 bits of length in words, 5 bits of word size less 1, four times 4 bits of size less 1, then blocks: a
    bit that says "one word, repeated", a two-bit code of the size of the count, the count less 1, and the word(s).
    """
    bits: list[str] = [f"{levels.size:032b}", f"{_WORD_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    edges = np.flatnonzero(np.diff(levels)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [levels.size]]))
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        while length > 0:
            part = min(length, 1 << _SIZES[-1])
            code = next(i for i, size in enumerate(_SIZES) if part <= 1 << size)
            bits.append(f"1{code:02b}{part - 1:0{_SIZES[code]}b}{int(levels[start]):08b}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def decode_brush(data: list[int]) -> np.ndarray:
    """Inverse of `encode_brush`, for plain words too: uint8 bytes."""
    text = "".join(f"{byte:08b}" for byte in data)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(text[place - count : place], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    words: list[int] = []
    while len(words) < total:
        repeated, count = take(1), 0
        count = take(sizes[take(2)]) + 1
        words += [take(word)] * count if repeated else [take(word) for _ in range(count)]
    return np.asarray(words, dtype=np.uint8)


def write_label_studio(ready: Iterator[Ready], root: Path) -> None:
    tasks: list[dict[str, Any]] = []
    for item in ready:
        record = placed_record(item, root)
        row = json.loads(record.to_json())
        results = [
            _result("verdict", "choices", {"choices": [record.strata.get("reviewer_verdict", "inconclusive")]}),
            _result("description", "textarea", {"text": [record.description]}),
        ]
        if item.mask is not None and item.mask.any():
            size = {"original_width": record.width, "original_height": record.height, "image_rotation": 0}
            rgba = np.repeat(item.mask.astype(np.uint8).reshape(-1) * np.uint8(255), 4)
            value = {"format": "rle", "rle": encode_brush(rgba), "brushlabels": ["forged"]}
            results.append(_result("mask", "brushlabels", value) | size)
        tasks.append(
            {
                "data": {"image": f"/data/local-files/?d={quote(record.image)}", "record": row},
                "annotations": [{"result": results, "ground_truth": False}],
            }
        )
    write_text(root / "label_studio.json", json.dumps(tasks, ensure_ascii=False) + "\n")
    write_text(root / "config.xml", CONFIG)


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "image", "type": kind, "value": value}
