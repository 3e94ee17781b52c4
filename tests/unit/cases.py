"""Small cases for the casework tests: pictures, an examiner that only reads metadata, and a picture full of secrets."""

from __future__ import annotations

import struct
from pathlib import Path

from fakeexplain.casework.case import Case
from fakeexplain.examiner import Examiner, Settings
from tests.pictures import encode, photograph
from tests.unit.metadata_files import CAMERA, TAKEN, app_segment, exif_block, insert, jpeg, text

FAST = Settings(instruments=("metadata",), expert=None)
SECRETS = ("Jane Q. Witness", "Janes-MacBook", "jane@example.org", "48.858", "2.294", "SN-12345678", "/home/jane/plan")


def small_png(name: str = "rocket", size: int = 96) -> bytes:
    return encode(photograph(name)[:size, :size])


def private_jpeg() -> bytes:
    """A photograph whose metadata names a person, a place, devices and a path."""
    position = (
        (1, 2, 2, b"N\0"),
        (2, 5, 3, struct.pack("<6I", 48, 1, 51, 1, 30, 1)),
        (3, 2, 2, b"E\0"),
        (4, 5, 3, struct.pack("<6I", 2, 1, 17, 1, 40, 1)),
    )
    who = (
        text(0x013B, "Jane Q. Witness"),
        text(0x013C, "Janes-MacBook"),
        text(0x010E, "ask jane@example.org <script>alert(1)</script>"),
    )
    block = exif_block((*CAMERA, *who), (*TAKEN, text(0xA431, "SN-12345678")), position)
    data = jpeg(photograph("astronaut")[:200, :200], exif=b"Exif\0\0" + block)
    return insert(data, app_segment(0xFE, b"from /home/jane/plan, number SN-12345678"))


def new_case(folder: Path, *pictures: bytes, examine: bool = False) -> Case:
    """A case with these pictures as I1, I2, ..., examined if asked."""
    case, _ = Case.create(folder / "case", title="Test", actor="Ada Lovelace")
    for number, data in enumerate(pictures, 1):
        outside = folder / f"received {number}.bin"
        outside.write_bytes(data)
        added, _ = case.add(outside, actor="Ada Lovelace")
        if examine:
            case.examine(added.item, Examiner(FAST), actor="Ada Lovelace")
    return case
