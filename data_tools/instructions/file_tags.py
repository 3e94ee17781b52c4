"""Tags as cameras and programs write them, put into finished files, so that evidence holds as much as with real ones.

All values are made up: camera models, lenses, firmware, dates and places are drawn, and no person is named. A picture's
tags are drawn without knowing what was done to it. The pixels stay as they are: a block is put into the file, nothing
is encoded again. Deliberately left out: maker notes, previews, XMP and Content Credentials.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

# make -> (model, lens); # is a digit, so that a name has to be read and cannot be known by heart
_CAMERAS: tuple[tuple[str, str, str], ...] = (
    ("Canon", "Canon EOS ##D", "EF-S##-##mm f/#.#-#.# IS STM"),
    ("Canon", "Canon PowerShot G# X", ""),
    ("NIKON CORPORATION", "NIKON D##00", "##.0-##0.0 mm f/#.#-#.#"),
    ("SONY", "ILCE-#000", "E ##-##mm F#.#-#.# OSS"),
    ("FUJIFILM", "X-T##", "XF##mmF#.# R WR"),
    ("OLYMPUS CORPORATION", "E-M##", "OLYMPUS M.##-##mm F#.#-#.#"),
    ("Panasonic", "DMC-G##", "LUMIX G VARIO ##-##/F#.#-#.#"),
    ("Apple", "iPhone ##", "iPhone ## back camera #.##mm f/#.#"),
    ("samsung", "SM-G##0F", ""),
    ("Google", "Pixel #", "Pixel # back camera #.##mm f/#.#"),
    ("Xiaomi", "Mi ## Lite", ""),
)
_FIRMWARE = ("Ver.#.##", "Firmware Version #.#.#", "#.#.#", "V#.##")
_PROGRAMS = (
    *("Adobe Photoshop ##.# (Windows)", "Adobe Photoshop CC 201# (Macintosh)", "GIMP 2.##.#", "Snapseed 2.##"),
    *("Adobe Photoshop Lightroom Classic #.# (Windows)", "Capture One ##.#", "darktable #.#.#", "Picasa"),
    *("Google Photos", "Microsoft Windows Photo Viewer 10.0.#", "XnView MP #.##", "PicsArt ##.#"),
)
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825


@dataclass(frozen=True)
class Tags:
    """What a file is going to say: values by EXIF tag of its three directories.

    Attributes:
        main, camera, gps: tag -> value, as Pillow writes them.
        first: in a JPEG the block stands before JFIF, as cameras write it, else behind, as programs do.
        size_factor: the written size is this times the real one, 0 for none written.
        told: the same in words, for a record's history.
    """

    main: dict[int, Any]
    camera: dict[int, Any]
    gps: dict[int, Any]
    first: bool
    size_factor: float
    told: dict[str, str]


def _drawn(pattern: str, rng: np.random.Generator) -> str:
    """Every # replaced by a digit, 1 to 9."""
    return "".join(str(int(rng.integers(1, 10))) if c == "#" else c for c in pattern)


def _date(rng: np.random.Generator) -> str:
    year, month, day, hour, minute, second = (
        int(rng.integers(low, high)) for low, high in ((2009, 2025), (1, 13), (1, 29), (6, 22), (0, 60), (0, 60))
    )
    return f"{year}:{month:02d}:{day:02d} {hour:02d}:{minute:02d}:{second:02d}"


def draw_tags(rng: np.random.Generator) -> Tags:
    """The tags of one file: most name a camera, many a date and exposure, some a program, a place or another size."""
    make, model, lens = _CAMERAS[int(rng.integers(len(_CAMERAS)))]
    main: dict[int, Any] = {}
    camera: dict[int, Any] = {}
    gps: dict[int, Any] = {}
    if rng.random() < 0.85:
        main |= {0x010F: make, 0x0110: _drawn(model, rng)}
        if lens and rng.random() < 0.7:
            camera[0xA434] = _drawn(lens, rng)
    if rng.random() < 0.7:
        stop, iso = int(rng.choice((30, 60, 125, 250, 500, 1000))), int(rng.choice((50, 100, 200, 400, 800, 1600)))
        number, focal = int(rng.integers(14, 111)), int(rng.integers(18, 201))
        camera |= {
            0x829A: IFDRational(1, stop),
            0x829D: IFDRational(number, 10),
            0x8827: iso,
            0x920A: IFDRational(focal, 1),
        }
    if rng.random() < 0.75:
        taken = _date(rng)
        camera |= {0x9003: taken, 0x9004: taken}
        main[0x0132] = _date(rng) if rng.random() < 0.35 else taken  # saved again later, or dates that contradict
    draw = rng.random()
    if draw < 0.7:
        named = _FIRMWARE if draw < 0.3 else _PROGRAMS
        main[0x0131] = _drawn(named[int(rng.integers(len(named)))], rng)
    if rng.random() < 0.3:
        north, east = (tuple(IFDRational(int(rng.integers(0, top)), 1) for top in (most, 60, 60)) for most in (60, 150))
        gps = {1: "NS"[int(rng.integers(2))], 2: north, 3: "EW"[int(rng.integers(2))], 4: east}
    factor = float(rng.choice((0.0, 1.0, 2.0, 4.0), p=(0.3, 0.4, 0.15, 0.15)))
    names = {0x010F: "make", 0x0110: "model", 0x0131: "software", 0x0132: "date"}
    told = {name: str(main[tag]) for tag, name in names.items() if tag in main}
    told |= {"taken": str(camera[0x9003])} if 0x9003 in camera else {}
    return Tags(main, camera, gps, bool(rng.random() < 0.6), factor, told | ({"place": "yes"} if gps else {}))


def exif_block(tags: Tags, size: tuple[int, int]) -> bytes:
    """The EXIF block (TIFF structure) for a picture of (width, height) pixels."""
    exif = Image.Exif()
    exif.update(tags.main)
    camera = exif.get_ifd(_EXIF_IFD)
    camera.update(tags.camera)
    if tags.size_factor:
        camera.update({0xA002: round(size[0] * tags.size_factor), 0xA003: round(size[1] * tags.size_factor)})
    exif.get_ifd(_GPS_IFD).update(tags.gps)
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


def with_tags(data: bytes, tags: Tags, size: tuple[int, int]) -> bytes:
    """A file with an EXIF block put in: JPEG, PNG or WebP without one.

    Args:
        size: (width, height) of its picture.

    Raises:
        ValueError: a file of another kind.
    """
    block = exif_block(tags, size)
    if data[:2] == b"\xff\xd8":
        payload = b"Exif\x00\x00" + block
        at = 2
        if data[2:4] == b"\xff\xe0" and not tags.first:
            at = 4 + int.from_bytes(data[4:6], "big")
        return data[:at] + struct.pack(">2sH", b"\xff\xe1", len(payload) + 2) + payload + data[at:]
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        end = 8 + 12 + int.from_bytes(data[8:12], "big")  # behind IHDR
        chunk = b"eXIf" + block
        return data[:end] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end:]
    if data[:4] == b"RIFF" and data[12:15] == b"VP8" and data[15:16] in b" L":
        width, height = size
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        head = b"VP8X" + struct.pack("<I", 10) + b"\x08\x00\x00\x00" + canvas
        tail = b"EXIF" + struct.pack("<I", len(block)) + block + b"\x00" * (len(block) % 2)
        body = b"WEBP" + head + data[12:] + tail
        return b"RIFF" + struct.pack("<I", len(body)) + body
    raise ValueError(f"a file that begins with {data[:12]!r}; wanted JPEG, PNG or simple WebP")
